"""What `timeline` prints: one device's lines on one clock, enrollment by enrollment."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from capflog.model import Row, Timeline
from capflog.reports.layout import source_name
from capflog.reports.timeline import render
from capflog.zones import Zone, named
from tests.reports import handmade as h

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion


def text_of(timeline: Timeline, width: int = 80, **look: Any) -> str:
    return render(timeline, **({"width": width, "color": False, "unicode": True} | look))


def of_rows(*rows: Row) -> Timeline:
    """One failing enrollment, e1, from 12:37:54.741 on."""
    return replace(h.timeline(), rows=list(rows), enrollments=h.timeline().enrollments[:1], lacking=[])


def last_lines(timeline: Timeline, width: int = 160, **look: Any) -> list[str]:
    """The rows of the only enrollment, blanks squeezed."""
    lines = text_of(timeline, width, **look).split("Not seen")[1].splitlines()[1:]
    return [" ".join(line.split()) for line in lines]


@pytest.mark.parametrize("width", [80, 160])
def test_a_timeline(width: int, snapshot: SnapshotAssertion) -> None:
    assert text_of(h.timeline(), width) == snapshot


def test_a_timeline_in_ascii(snapshot: SnapshotAssertion) -> None:
    assert text_of(h.timeline(), unicode=False) == snapshot


def test_a_device_of_which_the_logs_say_nothing() -> None:
    empty = Timeline("SEP000000000000", "case.zip", None, [], [])
    assert text_of(empty) == (
        "SEP000000000000  in case.zip\n0 enrollments\nTimes are UTC\nNo line of the logs is this device's.\n"
    )


UNKNOWN = "the CUCM node's local time, of a zone that is not known"
GUESS = " (partly ASSUMED: see CLOCKS in capflog analyze)"


@pytest.mark.parametrize(
    ("source", "zone", "assumed", "whose"),
    [
        ("capf", h.ZONE, False, "UTC-05:00, the CUCM node's zone"),
        ("capf", h.ZONE, True, f"UTC-05:00, the CUCM node's zone{GUESS}"),
        ("capf", h.NEW_YORK, False, "America/New_York, UTC-05:00, the CUCM node's zone"),
        ("capf", None, False, UNKNOWN),
        ("nginx", None, True, f"{UNKNOWN}{GUESS}"),
        ("iis", None, False, "UTC"),
        ("httperr", None, False, "UTC"),
    ],
)
def test_the_head_says_whose_times_these_are(source: str, zone: Zone | None, assumed: bool, whose: str) -> None:
    row = h.row("12:37:55", source, h.CAPF, 1, "hello")
    timeline = replace(of_rows(row), zone=zone, assumed=assumed)
    assert f"2019-03-05, times are {whose}\n" in text_of(timeline, 160)


@pytest.mark.parametrize(("source", "there"), [("iis", True), ("httperr", True), ("capf", False), ("nginx", False)])
def test_that_times_of_iis_are_not_shifted_is_said_where_there_are_some(source: str, there: bool) -> None:
    timeline = replace(of_rows(h.row("12:37:55", source, h.CAPF, 1, "hello")), aligned=False)
    line = "\nIIS's times are its own clock's (--no-align)\n"
    assert (line in text_of(timeline)) is there
    assert line not in text_of(replace(timeline, aligned=True))


def test_another_zone_is_used_for_every_time() -> None:
    text = text_of(h.timeline(), display=named("Asia/Tokyo"))
    assert "2019-03-06, times are Asia/Tokyo, UTC+09:00, as --display-tz asks\n" in text
    assert "  Started   2019-03-06 02:37:54.741 UTC+09:00\n" in text
    assert "02:38:04.779 CAPF" in text
    assert "12:3" not in re.sub(r"\S+\.txt:\d+", "", text)


def test_another_zone_is_of_no_use_where_the_nodes_is_not_known() -> None:
    text = text_of(replace(h.timeline(), zone=None), 160, display=named("Asia/Tokyo"))
    assert f"times are {UNKNOWN}: --display-tz needs that, --tz tells it\n" in text
    assert "  Started   2019-03-05 17:37:54.741 node's time\n" in text


def change_of(day: str, *clocks: str) -> Timeline:
    """A timeline of rows on a day of which New York's clocks are changed, at these times in UTC."""
    times = [datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=UTC) for clock in clocks]
    rows = [
        replace(h.row(None, "capf", h.CAPF, n, f"row-{n}"), time=time, earliest=time, latest=time)
        for n, time in enumerate(times, 1)
    ]
    started = replace(h.timeline().enrollments[0], started=times[0])
    return replace(of_rows(*rows), zone=h.NEW_YORK, enrollments=[started])


def test_a_day_on_which_clocks_are_set_forward() -> None:
    timeline = change_of("2019-03-10", "06:59:59", "07:00:00", "07:00:01")
    words = "America/New_York, UTC-05:00, from 2019-03-10 03:00 on UTC-04:00: the CUCM node's zone"
    assert f"2019-03-10, times are {words}\n" in text_of(timeline, 160)
    assert f"2019-03-10, times are {words} " in " ".join(text_of(timeline).split())
    assert last_lines(timeline) == [
        "+0.000 01:59:59.000 CAPF row-1 capf00000001.txt:1",
        "-- 2019-03-10, UTC-04:00",
        "+1.000 03:00:00.000 CAPF row-2 capf00000001.txt:2",
        "+2.000 03:00:01.000 CAPF row-3 capf00000001.txt:3",
    ]


def test_a_day_on_which_an_hour_comes_twice() -> None:
    timeline = change_of("2019-11-03", "04:59:59", "05:30:00", "06:30:00", "07:00:00")
    words = "America/New_York, UTC-04:00, from the second 2019-11-03 01:00 on UTC-05:00: the CUCM node's zone"
    assert f"2019-11-03, times are {words}\n" in text_of(timeline, 160)
    assert last_lines(timeline) == [
        "+0.000 00:59:59.000 CAPF row-1 capf00000001.txt:1",
        "+1801.000 01:30:00.000-04:00 CAPF row-2 capf00000001.txt:2",
        "-- 2019-11-03, UTC-05:00",
        "+5401.000 01:30:00.000-05:00 CAPF row-3 capf00000001.txt:3",
        "+7201.000 02:00:00.000 CAPF row-4 capf00000001.txt:4",
    ]


def test_bounds_in_an_hour_that_comes_twice() -> None:
    timeline = change_of("2019-11-03", "05:30:00")
    early, late = (datetime(2019, 11, 3, hour, 30, tzinfo=UTC) for hour in (5, 6))
    row = replace(timeline.rows[0], time=None, earliest=early, latest=late)
    shown = last_lines(replace(timeline, rows=[row]))
    assert shown[0].startswith("01:30:00-04:00…01:30:00-05:00 CAPF")
    assert "01:30:00-04:00…\n" in re.sub(r" +CAPF.*", "", text_of(replace(timeline, rows=[row])))


@pytest.mark.parametrize(
    ("source", "logged", "shown"),
    [
        ("capf", "12:37:54.741 |   debug Recd event", "debug Recd event"),
        ("capf", "12:37:54.741 |-->debug", "-->debug"),
        ("nginx", "2019/03/05 12:37:54 [info] 3187#0: up", "[info] 3187#0: up"),
        ("iis", "2019-03-05 17:37:54 14.48.31.152 GET /certsrv", "14.48.31.152 GET /certsrv"),
        ("ciscora", "***EST [INFO][log_access:1298]--> [27/Feb/2019:16:53:28 -0500]",
         "***EST [INFO][log_access:1298]--> [27/Feb/2019:16:53:28 -0500]"),
        ("capf", "12:37:54.741", "12:37:54.741"),
    ],
)  # fmt: skip
def test_the_stamp_is_not_said_twice(source: str, logged: str, shown: str) -> None:
    timeline = of_rows(h.row("12:37:54.741", source, h.CAPF, 1, logged))
    time = "12:37:54.741" if source == "capf" else "12:37:54"
    assert last_lines(timeline)[0].split(f" {time} ", 1)[1] == f"{source_name(source)} {shown} capf00000001.txt:1"
    assert logged == shown or logged not in text_of(timeline, 160)


def test_a_stamp_that_no_clock_could_read_is_kept() -> None:
    row = h.row(None, "capf", h.CAPF, 1, "12:37:54.741 |   debug Recd event")
    assert last_lines(of_rows(row)) == ["no time CAPF 12:37:54.741 | debug Recd event capf00000001.txt:1"]


@pytest.mark.parametrize(
    ("source", "earliest", "latest", "time", "shown"),
    [
        ("capf", "12:37:55.100", "12:37:55.100", "12:37:55.100", "+0.359 12:37:55.100"),
        ("capf", "12:37:55", "12:37:55", "12:37:55", "+0.259 12:37:55.000"),
        ("capf", None, None, "12:37:55.100", "+0.359 12:37:55.100"),
        ("capf", "12:37:50", "12:37:59", "12:37:55.100", "12:37:50…12:37:59"),
        ("iis", "12:37:55.100", "12:37:55.100", "12:37:55.100", "+0 12:37:55"),
        ("ciscora", "12:37:55.100", "12:37:55.100", "12:37:55.100", "+0 12:37:55"),
        ("nginx", "12:37:55", "12:37:56", "12:37:55", "+0 12:37:55"),
        ("iis", "12:37:54", "12:37:54.999", "12:37:54.500", "+0 12:37:54"),
        ("iis", "12:37:54", "12:37:55.500", "12:37:54", "-1 12:37:54"),
        ("iis", "12:37:50", "12:37:59", "12:37:55", "12:37:50…12:37:59"),
        ("iis", "12:37:50", "12:37:59", None, "12:37:50…12:37:59"),
        ("iis", "12:37:50", None, None, "after 12:37:50"),
        ("iis", None, "12:37:59", None, "before 12:37:59"),
        ("iis", None, None, "12:37:55.100", "+0 12:37:55"),
    ],
)
def test_a_time_is_shown_as_well_as_it_is_known(
    source: str, earliest: str | None, latest: str | None, time: str | None, shown: str
) -> None:
    bounds = {"earliest": earliest and h.at(earliest), "latest": latest and h.at(latest)}
    timeline = of_rows(h.row(time, source, h.IIS, 9, "GET /certsrv", **bounds))
    assert last_lines(timeline) == [f"{shown} {source_name(source)} GET /certsrv u_ex190305.log:9"]


def test_bounds_over_midnight_name_the_day() -> None:
    row = h.row(None, "iis", h.IIS, 9, "x", earliest=h.at("23:59:50"), latest=h.at("00:00:10", "2019-03-06"))
    assert last_lines(of_rows(row))[0].startswith("23:59:50…2019-03-06 00:00:10")


def test_fault_cause_and_doubt_are_said_in_signs_and_words() -> None:
    rows = [
        h.row("12:37:55.000", "capf", h.CAPF, 1, "one", mark="fault"),
        h.row("12:37:56.000", "ciscora", h.CISCORA, 2, "two", mark="cause"),
        h.row("12:37:57.000", "iis", h.IIS, 3, "three", confidence="likely"),
        h.row("12:37:58.000", "capf", h.CAPF, 4, "four", enrollment=None, confidence=None),
        h.row("12:37:59.000", "capf", h.CAPF, 5, "five"),
    ]
    text = text_of(of_rows(*rows))
    shown = {line.split()[-2]: line for line in text.splitlines() if re.search(r":\d$", line)}
    assert shown["one"].startswith(">> +0.259 12:37:55.000 CAPF    FAULT  one")
    assert shown["two"].startswith(">>     +1 12:37:56     CiscoRA CAUSE  two")
    assert shown["three"].startswith(" ~     +2 12:37:57     IIS     three")
    assert shown["four"].startswith(" .        12:37:58.000 CAPF    four")
    assert shown["five"].startswith("   +4.259 12:37:59.000 CAPF    five")
    for line in (
        ">> tells of the failure or its cause",
        " ~ most likely, not for sure, this enrollment's",
        " . at the time of the enrollment, not its own",
    ):
        assert line in text.splitlines()


def test_signs_that_are_not_used_are_not_explained() -> None:
    text = text_of(of_rows(h.row("12:37:55.000", "capf", h.CAPF, 1, "one")))
    assert "most likely" not in text
    assert ">>" not in text


def test_every_row_is_shown_once_wherever_it_stands() -> None:
    rows = [
        h.row("12:00:00", "capf", h.CAPF, 1, "row-a", enrollment=None),
        h.row("12:37:55", "capf", h.CAPF, 2, "row-b", enrollment="e1"),
        h.row("12:37:56", "capf", h.CAPF, 3, "row-c", enrollment="e2"),
        h.row("12:37:57", "capf", h.CAPF, 4, "row-d", enrollment=None),
        h.row("12:37:58", "capf", h.CAPF, 5, "row-e", enrollment="e1"),
        h.row("12:37:59", "capf", h.CAPF, 6, "row-f", enrollment=None),
        h.row("12:38:00", "capf", h.CAPF, 7, "row-g", enrollment="e2"),
        h.row("12:38:01", "capf", h.CAPF, 8, "row-h", enrollment="no-such"),
        h.row("12:38:02", "capf", h.CAPF, 9, "row-i", enrollment=None),
    ]
    three = [*h.timeline().enrollments, h.enrollment(3, h.PHONE, "14:00:00", "incomplete")]
    text = text_of(replace(h.timeline(), rows=rows, enrollments=three))
    assert sorted(re.findall(r"row-\w", text)) == [f"row-{letter}" for letter in "abcdefghi"]
    blocks = re.findall(r"^(ENROLLMENT \d|BEFORE .*|BETWEEN .*|AFTER .*)", text, re.MULTILINE)
    assert blocks == ["BEFORE ENROLLMENT 1", "ENROLLMENT 1", "ENROLLMENT 2", "ENROLLMENT 3", "AFTER ENROLLMENT 3"]


def test_rows_without_any_enrollment() -> None:
    timeline = replace(of_rows(h.row("12:00:00", "capf", h.CAPF, 1, "alone", enrollment=None)), enrollments=[])
    assert "\nNO ENROLLMENT\n-- 2019-03-05\n12:00:00.000 CAPF alone  capf00000001.txt:1\n" in re.sub(
        r"\n +", "\n", text_of(timeline)
    )


def test_files_of_the_same_name_are_told_apart() -> None:
    rows = [
        h.row("12:37:55", "capf", f"{node}/cm/trace/capf/sdi/capf00000001.txt", 7, "hello") for node in ("pub", "sub")
    ]
    text = text_of(of_rows(*rows), 160)
    assert "pub/.../capf00000001.txt:7" in text
    assert "sub/.../capf00000001.txt:7" in text


def test_an_enrollment_says_how_far_it_came() -> None:
    assert "  Reached   CAPF called EST (call)\n  Not seen  CES was connected to (connect)\n" in text_of(h.timeline())
    lost = h.enrollment(1, h.PHONE, "12:37:54.741", "incomplete", reached="none", missing="another-step")
    text = text_of(replace(h.timeline(), enrollments=[lost]))
    assert "ENROLLMENT 1 of 1  INCOMPLETE: the logs show a part of it\n" in text
    assert "  Reached   no step\n  Not seen  another-step\n" in text


def test_no_line_forges_another() -> None:
    forged = "x\n  >> FAULT\r\n12:00:00.000 CAPF"
    timeline = replace(
        of_rows(h.row("12:37:55", "capf", forged, 1, forged, level=forged)), device=forged, bundle=forged
    )
    text = text_of(timeline, 1000)
    assert r"x\x0a  >> FAULT\x0d\x0a12:00:00.000 CAPF" in text
    assert not any(line.strip().startswith((">> FAULT", "12:00:00.000")) for line in text.splitlines())


@pytest.mark.parametrize(
    "timeline",
    [h.timeline(), h.poisoned(h.timeline()), change_of("2019-11-03", "05:30:00", "06:30:00", "07:00:00")],
    ids=["plain", "hostile", "twice"],
)
def test_no_text_breaks_the_page(timeline: Timeline) -> None:
    h.check_page(partial(render, timeline))
    h.check_page(partial(render, replace(timeline, zone=h.poisoned(h.NEW_YORK))))
    h.check_page(partial(render, timeline, display=h.NEW_YORK))
