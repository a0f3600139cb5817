"""What `inspect` prints: what every member was taken for, and the lines that no pattern takes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from capflog.model import Clock, Member
from capflog.reports.inspect import render
from capflog.zones import Zone, named
from tests.reports import handmade as h

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from capflog.model import Report


def text_of(report: Report, width: int = 80, zone: Zone | None = h.ZONE, display: Zone | None = None) -> str:
    return render(report, width=width, color=False, unicode=True, zone=zone, display=display)


@pytest.mark.parametrize("width", [80, 160])
def test_the_members_of_a_bundle(width: int, snapshot: SnapshotAssertion) -> None:
    assert text_of(h.failing(), width) == snapshot


def test_a_small_bundle() -> None:
    members = [
        Member("capf.txt", "capf", "parsed", None, "1 of 1 lines: CAPF's stamp", 1, 1, 0, h.at("12:00:00"), None),
        Member("core.gz", None, "unreadable", "damaged at byte 12"),
    ]
    assert text_of(h.empty(members=members, clocks=h.clocks())) == (
        "empty.zip: 2 members, 1 read as logs\n"
        "Times are UTC-05:00, the CUCM node's zone\n"
        "IIS's times are put on the CUCM node's clock: its own is 2.4 s behind\n"
        "\n"
        "member    log   status      lines  events  unknown\n"
        "capf.txt  CAPF  parsed          1       1        0\n"
        "    2019-03-05 12:00:00 UTC-05:00\n"
        "    1 of 1 lines: CAPF's stamp\n"
        "core.gz   -     unreadable      0       0        -\n"
        "    damaged at byte 12\n"
    )


def test_nothing_at_all() -> None:
    assert text_of(h.empty()) == "empty.zip: 0 members, 0 read as logs\n"


def test_three_unknown_lines_of_each_member_are_shown_and_the_rest_counted() -> None:
    unknown = [(number, f"odd line {number}") for number in (3, 14, 159, 2653)]
    members = [
        Member("a.log", "nginx", "parsed", lines=9000, unparsed=1200, unknown=unknown),
        Member("b.log", "nginx", "parsed", lines=9, unparsed=9),
        Member("c.bin", None, "skipped", unparsed=70, unknown=[(1, "not a log")]),
    ]
    assert text_of(h.empty(members=members)).split("LINES THAT NO PATTERN TAKES\n")[1] == (
        "a.log\n  :3    odd line 3\n  :14   odd line 14\n  :159  odd line 159\n  and 1,197 more\nb.log\n  9 lines\n"
    )


def test_times_are_utc_where_no_line_is_the_nodes() -> None:
    iis = Clock("iis", [h.IIS], 0, None, None, "none", False, "")
    member = Member(h.IIS, "iis", "parsed", lines=1, events=1, first=h.at("12:00:00"), last=h.at("12:00:01"))
    text = text_of(h.empty(members=[member], clocks=[iis]), zone=None)
    assert "Times are UTC\n" in text
    assert "2019-03-05 17:00:00 to 17:00:01 UTC\n" in text


@pytest.mark.parametrize(("assumed", "more"), [(False, ""), (True, " (partly ASSUMED: see CLOCKS in capflog analyze)")])
def test_times_of_the_node_say_what_is_known_of_its_zone(assumed: bool, more: str) -> None:
    member = Member(h.CAPF, "capf", "parsed", lines=1, events=1, first=h.at("12:00:00"), last=h.at("12:00:01"))
    known = Clock("capf", [h.CAPF], h.EASTERN, 0.0, 0.0, "reference", assumed, "")
    said = " ".join(text_of(h.empty(members=[member], clocks=[known])).split())
    assert f"Times are UTC-05:00, the CUCM node's zone{more} member" in said


def test_the_nodes_own_times_are_not_said_to_be_utc_where_its_zone_is_not_known() -> None:
    member = Member(h.CAPF, "capf", "parsed", lines=1, events=1, first=h.at("12:00:00"), last=h.at("12:00:01"))
    clocks = [
        Clock("capf", [h.CAPF], None, 0.0, 0.0, "reference", False, ""),
        Clock("iis", [h.IIS], 0, None, None, "none", False, ""),
    ]
    for display in (None, Zone.fixed(0)):
        text = text_of(h.empty(members=[member], clocks=clocks), 160, None, display)
        assert "Times are the CUCM node's local time, of a zone that is not known" in text
        assert "  first node's time    last node's time\n" in text
        assert "  2019-03-05 17:00:00  2019-03-05 17:00:01\n" in text
        assert "UTC" not in text


def test_members_on_both_sides_of_a_change_of_the_zone() -> None:
    days = ("2019-03-09", "2019-03-11")
    members = [Member(f"{day}.txt", "capf", "parsed", first=h.at("12:00:00", day), last=h.at("12:00:01", day))
               for day in days]  # fmt: skip
    report = h.empty(members=members, clocks=h.clocks(), aligned=False)
    words = "America/New_York, UTC-05:00, from 2019-03-10 03:00 on UTC-04:00: the CUCM node's zone"
    own = "IIS's times are its own clock's (--no-align)"
    narrow, wide = (text_of(report, width, h.NEW_YORK) for width in (80, 160))
    assert f"Times are {words} {own} member" in " ".join(narrow.split())
    assert "\n    2019-03-09 12:00:00 to 12:00:01 UTC-05:00\n" in narrow
    assert "\n    2019-03-11 13:00:00 to 13:00:01 UTC-04:00\n" in narrow
    assert f"Times are {words}\n{own}\n" in wide
    assert "  first                      last\n" in wide
    assert "  2019-03-09 12:00:00-05:00  2019-03-09 12:00:01-05:00\n" in wide
    assert "  2019-03-11 13:00:00-04:00  2019-03-11 13:00:01-04:00\n" in wide
    tokyo = text_of(report, 160, h.NEW_YORK, named("Asia/Tokyo"))
    assert "Times are Asia/Tokyo, UTC+09:00, as --display-tz asks\n" in tokyo
    assert "  first UTC+09:00      last UTC+09:00\n" in tokyo
    assert "  2019-03-10 02:00:00  2019-03-10 02:00:01\n" in tokyo


def test_no_name_forges_a_row() -> None:
    forged = "x\nother.log  CAPF  parsed"
    member = Member(forged, "nginx", "partial", forged, forged, 1, 0, 1, unknown=[(1, forged)])
    text = text_of(h.empty(members=[member]), 1000)
    assert r"x\x0aother.log  CAPF  parsed" in text
    assert not any(line.strip().startswith("other.log") for line in text.splitlines())


@pytest.mark.parametrize("report", [h.failing(), h.empty(), h.poisoned(h.failing())], ids=lambda r: r.bundle[:5])
def test_no_text_breaks_the_page(report: Report) -> None:
    h.check_page(partial(render, report, zone=h.ZONE))
    h.check_page(partial(render, report, zone=h.NEW_YORK, display=h.poisoned(h.NEW_YORK)))
