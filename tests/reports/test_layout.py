"""Lines fit their width and are broken where a reader would break them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from capflog.reports.layout import Column, Page, joined, seconds, short_names, some, wrap
from capflog.reports.times import Times, of_node, zone_assumed, zone_words
from capflog.safe_text import visible
from capflog.zones import Zone, named
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
    ("zone", "label", "stamp"),
    [
        (None, "node's time", "2019-03-05 17:31:03"),
        (Zone.fixed(0), "UTC", "2019-03-05 17:31:03"),
        (h.ZONE, "UTC-05:00", "2019-03-05 12:31:03"),
        (h.NEW_YORK, "UTC-05:00", "2019-03-05 12:31:03"),
        (Zone.fixed(20700), "UTC+05:45", "2019-03-05 23:16:03"),
    ],
)
def test_times_in_a_zone(zone: Zone | None, label: str, stamp: str) -> None:
    time = h.at("12:31:03.388")
    assert Times(zone).label(time) == label
    assert Times(zone).stamp(time) == stamp
    assert Times(zone).stamp(time, exact=True) == stamp + ".388"
    assert Times(zone).told(time) == f"{stamp} {label}"
    assert Times(None, node=False).told(time) == "2019-03-05 17:31:03 UTC"
    assert Times(zone, Zone.fixed(3600), node=False).told(time) == "2019-03-05 18:31:03 UTC+01:00"


UNKNOWN = "the CUCM node's local time, of a zone that is not known"


@pytest.mark.parametrize(
    ("times", "whose"),
    [
        (Times(h.ZONE), "UTC-05:00, the CUCM node's zone"),
        (Times(Zone.fixed(0)), "UTC, the CUCM node's zone"),
        (Times(None), UNKNOWN),
        (Times(None, node=False), "UTC"),
        (Times(h.ZONE, node=False), "UTC-05:00, the CUCM node's zone"),
        (Times(h.NEW_YORK), "America/New_York, the CUCM node's zone"),
        (Times(h.NEW_YORK, first=h.at("12:00:00")), "America/New_York, UTC-05:00, the CUCM node's zone"),
        (Times(named("Asia/Tokyo")), "Asia/Tokyo, UTC+09:00, the CUCM node's zone"),
        (Times(h.ZONE, named("Asia/Tokyo")), "Asia/Tokyo, UTC+09:00, as --display-tz asks"),
        (Times(h.ZONE, Zone.fixed(0)), "UTC, as --display-tz asks"),
        (Times(None, Zone.fixed(0)), f"{UNKNOWN}: --display-tz needs that, --tz tells it"),
        (Times(None, Zone.fixed(3600), node=False), "UTC+01:00, as --display-tz asks"),
    ],
)
def test_whose_times_are_shown(times: Times, whose: str) -> None:
    assert times.whose == whose
    assert replace(times, assumed=True).whose == f"{whose} (partly ASSUMED: see CLOCKS in capflog analyze)"


def test_a_zone_that_is_not_known_is_not_shown_in_another() -> None:
    assert Times(None, h.ZONE).told(h.at("12:00:00")) == "2019-03-05 17:00:00 node's time"


def zulu(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


#: Zones with changes, made of their parts: as a log's records show it, and as no zone with a name is.
OBSERVED = Zone("UTC-05:00/-04:00", (-18_000_000, -14_400_000), (1_552_201_200_000,))
WILD = Zone("Wild", tuple(range(0, 7_200_000, 900_000)), tuple(1_552_201_200_000 + n * 86_400_000 for n in range(7)))


@pytest.mark.parametrize(
    ("zone", "first", "last", "words"),
    [
        (h.NEW_YORK, "2019-03-05", "2019-03-10 06:59:59", "America/New_York, UTC-05:00"),
        (h.NEW_YORK, "2019-03-05", "2019-03-10 07:00:00",
         "America/New_York, UTC-05:00, from 2019-03-10 03:00 on UTC-04:00"),
        (h.NEW_YORK, "2019-03-10 07:00:00", "2019-03-11", "America/New_York, UTC-04:00"),
        (h.NEW_YORK, "2019-11-02", "2019-11-04",
         "America/New_York, UTC-04:00, from the second 2019-11-03 01:00 on UTC-05:00"),
        (OBSERVED, "2019-03-09", "2019-03-11", "UTC-05:00, from 2019-03-10 03:00 on UTC-04:00"),
        (OBSERVED, "2019-03-11", "2019-03-12", "UTC-04:00"),
        (WILD, "2019-03-09", "2019-03-31",
         ("Wild, UTC, from 2019-03-10 07:15 on UTC+00:15, from 2019-03-11 07:30 on UTC+00:30, "
          "from 2019-03-12 07:45 on UTC+00:45 and 4 more changes")),
        (named("Europe/London"), "2019-03-30", "2019-04-01", "Europe/London, UTC, from 2019-03-31 02:00 on UTC+01:00"),
        (Zone("Same", (3_600_000, 3_600_000), (1_552_201_200_000,)), "2019-03-09", "2019-03-11", "Same, UTC+01:00"),
        (Zone.fixed(-17_762), "2019-03-09", "2019-03-11", "UTC-04:56:02"),
    ],
)  # fmt: skip
def test_a_zone_and_its_changes_in_words(zone: Zone, first: str, last: str, words: str) -> None:
    assert zone_words(zone, zulu(first), zulu(last)) == words
    crosses = " from " in words
    times = Times(zone, first=zulu(first), last=zulu(last))
    assert times.crosses is crosses
    assert times.whose == f"{words}{':' if crosses else ','} the CUCM node's zone"


@pytest.mark.parametrize(
    ("zone", "utc", "clock"),
    [
        (h.NEW_YORK, "2019-11-03 04:59:59", "00:59:59"),
        (h.NEW_YORK, "2019-11-03 05:00:00", "01:00:00-04:00"),
        (h.NEW_YORK, "2019-11-03 05:30:00", "01:30:00-04:00"),
        (h.NEW_YORK, "2019-11-03 05:59:59.999", "01:59:59-04:00"),
        (h.NEW_YORK, "2019-11-03 06:00:00", "01:00:00-05:00"),
        (h.NEW_YORK, "2019-11-03 06:59:59", "01:59:59-05:00"),
        (h.NEW_YORK, "2019-11-03 07:00:00", "02:00:00"),
        (h.NEW_YORK, "2019-03-10 06:59:59", "01:59:59"),
        (h.NEW_YORK, "2019-03-10 07:00:00", "03:00:00"),
        (named("Europe/London"), "2019-10-27 00:30:00", "01:30:00+01:00"),
        (named("Europe/London"), "2019-10-27 01:30:00", "01:30:00+00:00"),
        (named("Australia/Lord_Howe"), "2019-04-06 14:45:00", "01:45:00+11:00"),
        (named("Australia/Lord_Howe"), "2019-04-06 15:29:00", "01:59:00+10:30"),
        (named("Australia/Lord_Howe"), "2019-04-06 15:30:00", "02:00:00"),
    ],
)
def test_in_an_hour_that_comes_twice_a_time_bears_its_offset(zone: Zone, utc: str, clock: str) -> None:
    assert Times(zone).clock(zulu(utc)) == clock
    assert Times(h.ZONE, zone).clock(zulu(utc)) == clock
    assert Times(None, zone).clock(zulu(utc)) == utc[11:19]


@pytest.mark.parametrize(
    ("first", "last", "said", "bare"),
    [
        (None, None, "", ""),
        ("2019-03-05 17:00:00", None, "2019-03-05 12:00:00 UTC-05:00", "2019-03-05 12:00:00"),
        ("2019-03-05 17:00:00", "2019-03-05 17:00:00.5", "2019-03-05 12:00:00 UTC-05:00", "2019-03-05 12:00:00"),
        ("2019-03-05 17:00:00", "2019-03-05 17:00:09", "2019-03-05 12:00:00 to 12:00:09 UTC-05:00",
         "2019-03-05 12:00:00 to 12:00:09"),
        ("2019-03-05 17:00:00", "2019-03-06 17:00:00", "2019-03-05 12:00:00 to 2019-03-06 12:00:00 UTC-05:00",
         "2019-03-05 12:00:00 to 2019-03-06 12:00:00"),
        ("2019-03-10 06:00:00", "2019-03-10 08:00:00", "2019-03-10 01:00:00-05:00 to 04:00:00-04:00",
         "2019-03-10 01:00:00-05:00 to 04:00:00-04:00"),
        ("2019-11-03 05:30:00", "2019-11-03 06:30:00", "2019-11-03 01:30:00-04:00 to 01:30:00-05:00",
         "2019-11-03 01:30:00-04:00 to 01:30:00-05:00"),
        ("2019-11-03 06:30:00", "2019-11-03 08:00:00", "2019-11-03 01:30:00 to 03:00:00 UTC-05:00",
         "2019-11-03 01:30:00-05:00 to 03:00:00-05:00"),
        ("2019-11-03 06:30:00", None, "2019-11-03 01:30:00 UTC-05:00", "2019-11-03 01:30:00-05:00"),
    ],
)  # fmt: skip
def test_spans(first: str | None, last: str | None, said: str, bare: str) -> None:
    start, end = (None if time is None else zulu(time) for time in (first, last))
    assert Times(h.NEW_YORK).span(start, end) == said
    assert Times(h.NEW_YORK).span(start, end, bare=True) == bare


def test_a_columns_title_says_the_zone_or_each_time_does() -> None:
    times = Times(h.NEW_YORK)
    early, late, twice = zulu("2019-03-10 06:00:00"), zulu("2019-03-10 08:00:00"), zulu("2019-11-03 05:30:00")
    assert times.column("at", [early, None]) == ("at UTC-05:00", times)
    assert times.column("at", []) == ("at", times)
    assert Times(None).column("at", [early])[0] == "at node's time"
    for known in ([early, late], [twice]):
        title, below = times.column("at", known)
        assert title == "at"
        assert below.stamp(late) == "2019-03-10 04:00:00-04:00"


def test_a_title_is_folded_where_the_table_has_no_room() -> None:
    columns = [Column("at UTC-05:00", yields=True, folds=True), Column("one two", yields=True)]
    rows = [[Text("12:00:00"), Text("x" * 40)]]
    wide, narrow = (Page(width, color=False, unicode=True) for width in (60, 51))
    assert wide.widths(columns, rows) == [12, 40]
    assert narrow.widths(columns, rows) == [9, 40]
    assert narrow.wants(columns, rows) == 51


def test_a_time_at_the_edge_of_the_calendar_is_shown_in_utc() -> None:
    assert Times(h.ZONE).stamp(datetime.min.replace(tzinfo=UTC)) == "0001-01-01 00:00:00"
    assert Times(Zone.fixed(3600)).stamp(datetime.max.replace(tzinfo=UTC)) == "9999-12-31 23:59:59"


def test_a_guess_of_either_of_the_nodes_logs_is_said() -> None:
    """Where CAPF's day is a guess its times are, though NGINX's are not."""
    capf, ciscora, nginx, iis = h.clocks()
    assert not zone_assumed([iis, ciscora, capf])
    capf.assumed, capf.utc_offset_seconds = True, 0
    assert zone_assumed([capf, nginx])
    assert zone_assumed([replace(capf, utc_offset_seconds=None)])
    assert not zone_assumed([nginx])
    assert not zone_assumed([replace(iis, assumed=True), ciscora])


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
