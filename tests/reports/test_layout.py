"""Lines fit their width and are broken where a reader would break them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from capflog.reports.layout import Zone, joined, node_zone, of_node, seconds, short_names, some, wrap
from capflog.safe_text import visible
from tests.reports import handmade as h


def lines(text: str, width: int) -> list[str]:
    return [line.plain for line in wrap(Text(text), width)]


@pytest.mark.parametrize(
    ("text", "width", "broken"),
    [
        ("", 10, [""]),
        ("fits", 4, ["fits"]),
        ("between words", 10, ["between", "words"]),
        ("exactly ten", 7, ["exactly", "ten"]),
        ("many    blanks", 8, ["many", "blanks"]),
        ("https://lab-dc/certsrv/certnew.cer", 26, ["https://lab-dc/certsrv/", "certnew.cer"]),
        ("unified-communications-manager", 15, ["unified-", "communications-", "manager"]),
        ("abcdefghijklmnop", 6, ["abcdef", "ghijkl", "mnop"]),
        ("URL https://lab-dc.michamen.com/certsrv", 20, ["URL https://lab-dc.", "michamen.com/certsrv"]),
        ("漢字漢字", 5, ["漢字", "漢字"]),
        ("漢", 1, ["漢"]),
    ],
)
def test_text_is_broken_between_words_and_long_words_where_it_hurts_least(
    text: str, width: int, broken: list[str]
) -> None:
    assert lines(text, width) == broken


@given(st.text(), st.integers(2, 60))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_nothing_but_blanks_is_lost(text: str, width: int) -> None:
    text = visible(text)
    broken = lines(text, width)
    assert all(cell_len(line) <= width for line in broken)
    assert "".join(broken).replace(" ", "") == text.replace(" ", "")


def test_members_are_named_by_what_tells_them_apart() -> None:
    names = short_names(
        ["pub/sdi/capf1.txt", "sub/sdi/capf1.txt", "pub/error.log", "sub/error.log", "u_ex.log", "x/a", "a"]
    )
    assert names == {
        "pub/sdi/capf1.txt": "pub/.../capf1.txt",
        "sub/sdi/capf1.txt": "sub/.../capf1.txt",
        "pub/error.log": "pub/error.log",
        "sub/error.log": "sub/error.log",
        "u_ex.log": "u_ex.log",
        "x/a": "x/a",
        "a": "a",
    }
    tangled = ["a/x/f", "a/y/f", "b/x/f"]
    assert short_names(tangled) == {name: name for name in tangled}


@pytest.mark.parametrize(
    ("offset", "name", "stamp"),
    [
        (None, "UTC", "2019-03-05 17:31:03"),
        (0, "UTC", "2019-03-05 17:31:03"),
        (h.EASTERN, "UTC-05:00", "2019-03-05 12:31:03"),
        (20700, "UTC+05:45", "2019-03-05 23:16:03"),
        (10**6, "UTC", "2019-03-05 17:31:03"),
    ],
)
def test_zones(offset: int | None, name: str, stamp: str) -> None:
    assert Zone(offset).name == name
    assert Zone(offset).stamp(h.at("12:31:03.388")) == stamp
    assert Zone(offset).stamp(h.at("12:31:03.388"), exact=True) == stamp + ".388"


@pytest.mark.parametrize(
    ("zone", "whose"),
    [
        (Zone(h.EASTERN), "UTC-05:00, the CUCM node's zone"),
        (Zone(0), "UTC, the CUCM node's zone"),
        (Zone(None), "the CUCM node's local time, of a zone that is not known"),
        (Zone(None, node=False), "UTC"),
        (Zone(h.EASTERN, node=False), "UTC-05:00, the CUCM node's zone"),
    ],
)
def test_whose_times_are_shown(zone: Zone, whose: str) -> None:
    assert zone.whose == whose
    assert replace(zone, assumed=True).whose == f"{whose} (partly ASSUMED: see CLOCKS in capflog analyze)"


def test_a_time_at_the_edge_of_the_calendar_is_shown_in_utc() -> None:
    assert Zone(h.EASTERN).stamp(datetime.min.replace(tzinfo=UTC)) == "0001-01-01 00:00:00"


def test_the_nodes_zone_is_that_of_its_own_clocks_the_told_one_first() -> None:
    capf, ciscora, nginx, iis = h.clocks()
    assert node_zone([iis, ciscora, capf]) == h.EASTERN
    assert node_zone([iis, ciscora]) is None
    capf.assumed, capf.utc_offset_seconds = True, 0
    assert node_zone([capf, nginx]) == h.EASTERN
    assert node_zone([capf]) == 0


def test_the_node_has_lines_where_one_of_its_clocks_ran() -> None:
    capf, ciscora, nginx, iis = h.clocks()
    assert [of_node([clock]) for clock in (capf, ciscora, nginx, iis)] == [True, True, True, False]
    assert of_node([iis, replace(iis, source="httperr"), nginx])
    assert not of_node([iis, replace(iis, source="httperr")])
    assert not of_node([])


@pytest.mark.parametrize(
    ("amount", "words"),
    [(0.6084, "0.608 s"), (-2.4, "2.400 s"), (125, "2 min 5 s"), (3600.4, "1 h 0 min"), (300000, "3 d 11 h")],
)
def test_time_spans_in_words(amount: float, words: str) -> None:
    assert seconds(amount) == words


def test_amounts_and_lists_in_words() -> None:
    assert (some(1, "line"), some(1200, "line"), some(2, "entry", "entries")) == ("1 line", "1,200 lines", "2 entries")
    assert (joined([]), joined(["a"]), joined(["a", "b"]), joined(["a", "b", "c"])) == (
        "",
        "a",
        "a and b",
        "a, b and c",
    )
