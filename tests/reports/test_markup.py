"""Markdown's door: whatever the text, it is shown, and it is neither markup nor anything that a tracker links."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capflog.reports.markup import Sheet, marked
from capflog.safe_text import visible
from tests.reports.rendered import LINKED_BY_TRACKERS, page

SHEET = Sheet(unicode=True)

#: Text out of what is markup somewhere.
NASTY = st.lists(
    st.sampled_from(
        [*"`*_[]()<>#!@$~&|\\:.-+=1a \n\t\"'{}^%/", "``", "```", "~~~", "<b>", "</table>", "<!--", "http://e.vil",
         "@team", "#12", "!34", "www.e.vil", ":smile:", "&lt;", "![x](y)", "---", "===", "| --- |", "1. ", "- ", "    ",
         "deadbeef1", "GH-12", "a@e.vil", "x.exe", "\u202e", "\x1b[2J", "é", "漢"]
    ),
    max_size=14,
).map("".join)  # fmt: skip


@given(NASTY)
def test_code_is_code_to_the_letter(text: str) -> None:
    shown = visible(text)
    found = page(f"a {SHEET.code(text)} b")
    if not shown:
        assert found.plain == ["a  b\n"] or "".join(found.plain).split() == ["a", "b"]
        return
    assert set(found.count) == {"p", "code"}
    assert "".join(found.plain).strip().split() == ["a", "b"]
    assert "".join(found.code) == re.sub("`{4,}", lambda run: r"\x60" * len(run[0]), shown)


@given(NASTY, NASTY)
def test_two_pieces_of_code_stay_two(one: str, other: str) -> None:
    if visible(one) and visible(other):
        assert page(f"{SHEET.code(one)}: {SHEET.code(other)}").count == {"p": 1, "code": 2}


@given(NASTY)
def test_prose_is_neither_markup_nor_linked(text: str) -> None:
    found = page(SHEET.prose(text))
    assert set(found.count) <= {"p", "code"}
    assert not re.search(LINKED_BY_TRACKERS, "".join(found.plain), re.IGNORECASE)
    words = "".join("".join(found.plain + found.code).split())
    assert len(words) >= len("".join(visible(" ".join(text.split("\n"))).split())) - text.count("`")


@given(NASTY, NASTY)
def test_a_cell_ends_where_it_ends(one: str, other: str) -> None:
    sheet = Sheet(unicode=True)
    sheet.table(["A", "B", "C"], [[sheet.code(one, cell=True), sheet.prose(other, cell=True), "end"]])
    found = page(sheet.text())
    assert {len(row) for row in found.rows} <= {1, 2, 3}
    assert len(found.rows) == 2
    assert found.rows[1][-1] == "end"
    assert len(found.rows[0]) == len(found.rows[1])
    assert set(found.count) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}


@given(st.lists(NASTY, min_size=1))
def test_a_fence_ends_where_it_ends(lines: list[str]) -> None:
    found = page(SHEET.fence(lines))
    assert found.count == {"pre": 1, "code": 1}
    assert "".join(found.code) == "".join(f"{visible(line)}\n" for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "CES does not trust the certificate of the CA's web server (IIS): at 12:31:03 it said so.",
        "Take 1/2 of it, 95 % or 95%; then OS Administration > Security > Certificate Management.",
        "UTC-05:00 on 2019-03-05, e.g. 10.0.0.1 and 7.5(1) - or +1, i.e. a=b.",
        "It is \"quoted\" and 'quoted', é and 漢字… done!",
    ],
)
def test_plain_prose_stays_as_it_is(text: str) -> None:
    assert marked(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("See EST_ERR_AUTH_FAIL.", "See `EST_ERR_AUTH_FAIL`."),
        ("run w32tm /resync now", "run w32tm `/resync` now"),
        ("-config <CA host>\\<CA name>, run", "`-config <CA host>\\<CA name>`, run"),
        ("ask (u_ex190305.log), then error.log", "ask (`u_ex190305.log`), then `error.log`"),
        ("by @team, #12 or !34", "by `@team`, `#12` or `!34`"),
        ("at https://e.vil/x?a=b now", "at `https://e.vil/x?a=b` now"),
        ("12:31:03 but :smile: and 8d1f2e3", "12:31:03 but `:smile`: and `8d1f2e3`"),
        ("- no list", "\\- no list"),
        ("1. no list", "1\\. no list"),
        ("1) no list", "1\\) no list"),
        ("=== no heading", "`===` no heading"),
        ("> no quotation", "\\> no quotation"),
        ("a | b", "a `|` b"),
        ("", ""),
    ],
)
def test_other_words_are_code(text: str, shown: str) -> None:
    assert marked(text) == shown


def test_of_ascii_alone_where_asked() -> None:
    sheet = Sheet(unicode=False)
    assert sheet.prose("give or take ±2 s… “é”") == 'give or take +/-2 s... "`\\xe9`"'
    assert sheet.code("é") == "`\\xe9`"


def test_commands_of_a_rule_stand_in_fences_of_their_step() -> None:
    sheet = Sheet(unicode=True)
    sheet.numbered(["Restart:\n  utils service restart\n  show `x`\nThen wait.", *("More.",) * 9])
    found = page(sheet.text())
    assert (found.count["ol"], found.count["li"], found.count["pre"]) == (1, 10, 1)
    assert found.code == ["utils service restart\nshow `x`\n"]
    assert "".join(found.plain).split() == ["Restart:", "Then", "wait.", *("More.",) * 9]


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "http://plain.example/", "https://a b", "https://x/)[y](z", "https://x/<b>",
     "https://e\u202e", "//x"],
)  # fmt: skip
def test_an_odd_address_is_no_link(url: str) -> None:
    found = page(SHEET.link("A page", url))
    assert found.links == []
    assert visible(url) in "".join(found.code)


def test_a_reference_is_a_link() -> None:
    url = "https://www.cisco.com/c/en/us/td/docs/x_1-2.html#a"
    assert page(SHEET.link("CSCvo28048: [a] title", url)).links == [url]
    assert page(SHEET.link("", url)).links == [url]
    assert SHEET.link("A title", "") == "A title"


@pytest.mark.parametrize("text", ["漢" * 50_000 + "_", "." * 100_000 + "x", "(" * 100_000, "<" * 50_000, ":a" * 50_000])
def test_no_text_takes_long(text: str) -> None:
    # (What grows faster than the text would not end.)
    assert page(SHEET.prose(text)).count["p"] == 1
