"""Cells of CSV: no text of a log becomes a formula, none is lost."""

from __future__ import annotations

import csv
import re
import unicodedata
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capflog.csv_cells import cell, line

#: What a spreadsheet may take for the beginning of a formula.
STARTS = [c for c in map(chr, range(0x110000)) if unicodedata.normalize("NFKC", c) in tuple("=+-@")] + ["\u2212"]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("before", ["", " ", "  ", "\t", "\t ", '"', "'", "''", " '"])
def test_what_a_spreadsheet_may_take_for_a_formula_gets_an_apostrophe(start: str, before: str) -> None:
    shown = cell(f'{before}{start}HYPERLINK("http://evil.example";A1)')
    assert shown.startswith("'")
    assert shown[1:] == f'{before}{start}HYPERLINK("http://evil.example";A1)'.replace("\t", " ")


@pytest.mark.parametrize(
    "before", ["\r", "\n", "\r\n", "\x00", "\x0b", "\u00a0", "\u3000", "\u200b", "\ufeff", "\u2028"]
)
def test_controls_and_blanks_nobody_sees_do_not_begin_a_cell(before: str) -> None:
    assert cell(f"{before}=1+1").startswith("\\")
    assert cell(f"{before}=1+1").isprintable()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a;=1+1", "a;'=1+1"),
        ('UA; "=1+1', "UA;' \"=1+1"),
        ("a;b;@x", "a;b;'@x"),
        ("a,=1+1", "a,=1+1"),
        ("1-2", "1-2"),
        ("a=b", "a=b"),
        ("Mozilla/5.0 (compatible; x)", "Mozilla/5.0 (compatible; x)"),
        ("", ""),
        (" ", " "),
        ("'quoted'", "'quoted'"),
        ("SEP74A02FC0A675", "SEP74A02FC0A675"),
    ],
)
def test_behind_a_semicolon_too_and_nowhere_else(text: str, shown: str) -> None:
    assert cell(text) == shown


def test_numbers_stay_numbers_and_nothing_is_empty() -> None:
    assert [cell(value) for value in (-2.4, -1, 0, None, True, False, "-2.4")] == [
        "-2.4", "-1", "0", "", "true", "false", "'-2.4",
    ]  # fmt: skip


def test_a_line_is_of_rfc_4180() -> None:
    assert line(["a", 'b"c', "d,e", None, -1]) == 'a,"b""c","d,e",,-1\r\n'
    assert line(["a", "b"], "\n") == "a,b\n"


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_whatever_the_text_a_line_is_one_row_without_a_formula(texts: list[str]) -> None:
    made = line(texts, "\n")
    assert made.count("\n") == 1
    assert made[:-1].isprintable()
    (row,) = csv.reader(StringIO(made))
    assert len(row) == len(texts)
    for part in (part for shown in row for part in shown.split(";")):
        assert unicodedata.normalize("NFKC", re.sub(r"^[\s\"]+", "", part))[:1] not in tuple("=+-@")
