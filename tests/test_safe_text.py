"""What reaches a terminal is one line of harmless text, and it still tells what was logged."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.safe_text import visible

ANY_TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from("\\xuU0123456789abcdef \t\n\x1b\x9b\u202e\u200b\u0301\udce9[/]e"))
)


@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        ("\x1b[2J\x1b[31mred", r"\x1b[2J\x1b[31mred"),
        ("\x1b]8;;http://x\x07here\x1b]8;;\x07", r"\x1b]8;;http://x\x07here\x1b]8;;\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\r\nb\x00\x7f\x08", r"a\x0d\x0ab\x00\x7f\x08"),
        ("moc.\u202egro.oncsic\u2066x\u2069", r"moc.\u202egro.oncsic\u2066x\u2069"),
        ("lab\u200bdc\ufeff\u00ad\u2060", r"lab\u200bdc\ufeff\xad\u2060"),
        ("one\u2028two\u2029three\x85", r"one\u2028two\u2029three\x85"),
        ("lab-dc\u00a0.michamen.com", r"lab-dc\xa0.michamen.com"),
        ("caf\udce9", r"caf\udce9"),
        ("\U000e0041\ue000\u0378", r"\U000e0041\ue000\u0378"),
        ("hidden\u3164\u115f\u034f\ufe0f\u2800", r"hidden\u3164\u115f\u034f\ufe0f\u2800"),
        ("tab\tand\ttab", "tab and tab"),
        ("\u0301alone", r"\u0301alone"),
        ("e\u0301\u0302\u0303\u0304", "e\u0301\u0302\u0303" + r"\u0304"),
    ],
)
def test_what_acts_or_hides_is_shown_as_an_escape(logged: str, shown: str) -> None:
    assert visible(logged) == shown


@pytest.mark.parametrize(
    ("logged", "shown"),
    [
        ("::error::x", r"\x3a:error::x"),
        ("a ::set-output name=x,y=1::v", r"a \x3a:set-output name=x,y=1::v"),
        ("longword::stop-commands::t", r"longword\x3a:stop-commands::t"),
        ("::a::b::c::", r"\x3a:a\x3a:b\x3a:c::"),
        ("##vso[task.setvariable variable=PATH]x", r"\x23#vso[task.setvariable variable=PATH]x"),
        ("x ##[error]y", r"x \x23#[error]y"),
        ("##teamcity[buildStop]", r"\x23#teamcity[buildStop]"),
        ("fe80::1 ::1 2001:db8::a:1", "fe80::1 ::1 2001:db8::a:1"),
        ("std::vector ## heading", "std::vector ## heading"),
    ],
)
def test_what_a_ci_system_takes_for_a_command_is_none(logged: str, shown: str) -> None:
    assert visible(logged) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12:38:04.779 |   debug 2:SEP001F6C81118B:Enrollment rv = 35 (EST_ERR_SSL_READ)",
        r"LAB\ciscora",
        r"C:\users\ubuntu",
        "[bold]not markup[/bold] [/x] :smile: %s {0}",
        "Zertifikat für Müller, 株式会社, שלום, Việt",
    ],
)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_backslash_is_told_from_an_escape_that_capflog_wrote() -> None:
    assert visible("\x1b") == r"\x1b"
    assert visible(r"\x1b") == r"\x5cx1b"
    assert visible(r"\x1b" + "\x1b") == r"\x5cx1b\x1b"


def test_on_a_terminal_without_more_than_ascii_every_other_character_is_named() -> None:
    assert visible("Müller 株 😀 …", ascii=True) == r"M\xfcller \u682a \U0001f600 \u2026"
    assert visible("plain", ascii=True) == "plain"


@given(ANY_TEXT, st.booleans())
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_text_becomes_one_line_of_visible_characters(text: str, only_ascii: bool) -> None:
    shown = visible(text, ascii=only_ascii)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    shown.encode("ascii" if only_ascii else "utf-8")


@given(ANY_TEXT, st.booleans())
@settings(derandomize=True, deadline=None, max_examples=300)
def test_what_was_logged_can_be_told_from_what_is_shown(text: str, only_ascii: bool) -> None:
    escape = r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))"
    back = re.sub(escape, lambda m: chr(int(m[1] or m[2] or m[3], 16)), visible(text, ascii=only_ascii))
    assert back == text.replace("\t", " ")
