"""A timeline that is limited to a window of time: what is shown, what is counted, and what is no window."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from capflog.model import Timeline
from capflog.reports.excerpt import EmptyWindowError, Excerpt, Window, excerpts
from capflog.reports.timeline import render, render_empty
from capflog.typed import read_time
from capflog.zones import named
from tests.reports import handmade as h

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capflog.model import Row
    from capflog.zones import Zone

OUTSIDE: dict[str, Any] = {"enrollment": None, "confidence": None}


def window(**given: str) -> Window:
    """A window as it is typed; the words are those of the options."""
    typed = {name: read_time(text) for name, text in given.items() if name != "within"}
    within = timedelta(seconds=float(given.get("within", "300")))
    return Window(" ".join(f"--{name} {text}" for name, text in given.items()), **typed, within=within)


def cut(timeline: Timeline, given: Mapping[str, str], display: Zone | None = None, *, every: bool = False) -> Excerpt:
    (one,), empty = excerpts([timeline], window(**given), display, every=every)
    assert empty == []
    return one


def lines(excerpt: Excerpt) -> list[int]:
    return [row.line for row in excerpt.rows]


def of_rows(*rows: Row) -> Timeline:
    return replace(h.timeline(), rows=list(rows), enrollments=h.timeline().enrollments[:1], lacking=[])


def at_times(*clocks: str) -> Timeline:
    """A timeline of lines of CAPF at these times, numbered from 1 on."""
    return of_rows(*(h.row(clock, "capf", h.CAPF, number, "x") for number, clock in enumerate(clocks, 1)))


TIMES = ("12:00:00.000", "12:00:00.900", "12:00:01.000", "12:05:00.000", "12:05:01.000", "13:00:00.000")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"since": "12:05"}, [4, 5, 6]),
        ({"since": "12:05:00.001"}, [5, 6]),
        ({"until": "12:00"}, [1, 2]),
        ({"until": "12:00:00"}, [1, 2]),
        ({"until": "12:00:00.5"}, [1]),
        ({"since": "12:00:01", "until": "12:05:00"}, [3, 4]),
        ({"around": "12:00:30", "within": "30"}, [1, 2, 3]),
        ({"around": "12:05", "within": "0.5"}, [4, 5]),
        ({"around": "12:05", "within": "300"}, [1, 2, 3, 4, 5]),
        ({"since": "2019-03-05 12:05"}, [4, 5, 6]),
        ({"since": "2019-03-05", "until": "2019-03-05"}, [1, 2, 3, 4, 5, 6]),
        ({"since": "2019-03-05 12:05", "until": "12:30"}, [4, 5]),
        ({"since": "12:05", "until": "5 Mar 2019 12:30"}, [4, 5]),
        ({"since": "17:05Z", "until": "12:05:00 -05:00"}, [4]),
        ({"since": "17:05 Europe/London"}, [4, 5, 6]),
    ],
    ids=str,
)
def test_lines_of_the_window_are_shown(given: dict[str, str], shown: list[int]) -> None:
    assert lines(cut(at_times(*TIMES), given)) == shown


def test_times_are_read_in_the_zone_that_is_shown() -> None:
    assert lines(cut(at_times(*TIMES), {"since": "2019-03-06 02:05"}, named("Asia/Tokyo"))) == [4, 5, 6]
    assert lines(cut(at_times(*TIMES), {"since": "02:05"}, named("Asia/Tokyo"))) == [4, 5, 6]
    unknown = replace(at_times(*TIMES), zone=None)
    assert lines(cut(unknown, {"since": "17:05"})) == [4, 5, 6]
    assert lines(cut(unknown, {"since": "17:05"}, named("Asia/Tokyo"))) == [4, 5, 6]


def days() -> Timeline:
    """Lines at noon and at two, on three days."""
    stamps = [(day, clock) for day in (5, 6, 7) for clock in ("12:00:00", "14:00:00")]
    rows = []
    for number, (day, clock) in enumerate(stamps, 1):
        time = h.at(clock, f"2019-03-0{day}")
        rows.append(
            replace(h.row(clock, "capf", h.CAPF, number, "x", **OUTSIDE), time=time, earliest=time, latest=time)
        )
    return replace(of_rows(*rows), enrollments=[])


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"around": "14:00"}, [2, 4, 6]),
        ({"since": "13:00", "until": "15:00"}, [2, 4, 6]),
        ({"since": "13:00"}, [2, 4, 6]),
        ({"until": "13:00"}, [1, 3, 5]),
        ({"since": "2019-03-06 13:00"}, [4, 5, 6]),
        ({"until": "2019-03-06"}, [1, 2, 3, 4]),
        ({"since": "13:00", "until": "2019-03-06"}, [4]),
        ({"around": "2019-03-06 14:00"}, [4]),
        ({"around": "00:00", "within": str(9 * 3600)}, []),
        ({"around": "23:00", "within": str(13 * 3600 + 1)}, [1, 2, 3, 4, 5, 6]),
    ],
    ids=str,
)
def test_a_time_of_day_alone_is_of_every_day(given: dict[str, str], shown: list[int]) -> None:
    if shown:
        assert lines(cut(days(), given)) == shown
    else:
        with pytest.raises(EmptyWindowError):
            cut(days(), given)


def test_an_hour_that_comes_twice_is_meant_twice() -> None:
    stamps = [h.at(clock, "2019-11-03") for clock in ("00:30:00", "01:30:00", "02:30:00")]
    rows = [
        replace(h.row("12:00:00", "capf", h.CAPF, n, "x"), time=time, earliest=time, latest=time)
        for n, time in enumerate(stamps, 1)
    ]
    twice = replace(of_rows(*rows), zone=h.NEW_YORK)
    # In UTC 05:30, 06:30 and 07:30: 01:30, 01:30 again and 02:30 in New York.
    assert lines(cut(twice, {"around": "2019-11-03 01:30", "within": "60"})) == [1, 2]
    assert lines(cut(twice, {"since": "01:30", "until": "01:30"})) == [1, 2]


@pytest.mark.parametrize(
    ("earliest", "latest", "shown"),
    [
        ("12:00:00", "12:04:00", False),
        ("12:00:00", "12:05:00", True),
        ("12:06:00", "12:20:00", True),
        ("12:11:00", "12:20:00", False),
        (None, "12:05:00", True),
        (None, "12:04:00", False),
        ("12:10:00", None, True),
        ("12:10:01", None, False),
        (None, None, True),
    ],
)
@pytest.mark.parametrize("timed", [False, True])
def test_a_line_without_an_exact_time_is_shown_where_it_may_lie_in_the_window(
    earliest: str | None, latest: str | None, shown: bool, timed: bool
) -> None:
    bounds = {"earliest": earliest and h.at(earliest), "latest": latest and h.at(latest)}
    time = h.at("09:00:00") if timed and earliest and latest else None
    row = replace(h.row(None, "iis", h.IIS, 2, "x", **bounds), time=time)
    found = cut(of_rows(h.row("12:06:00", "capf", h.CAPF, 1, "x"), row), {"since": "12:05", "until": "12:10:00.000"})
    assert lines(found) == ([1, 2] if shown else [1])


NOTHING = f"no line of {h.PHONE} lies there; its timeline spans 2019-03-05 12:00:00 "


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"since": "12:00", "until": "11:00"}, "this ends before it begins: if it goes over midnight, tell both days"),
        ({"since": "2019-03-06", "until": "2019-03-05"}, "this ends before it begins"),
        ({"since": "12:00Z", "until": "06:00 -05:00"}, "this ends before it begins"),
        ({"since": "15:00"}, f"{NOTHING}to 13:00:00 UTC-05:00"),
        ({"until": "2018-01-01"}, NOTHING),
        ({"around": "2019-03-06 12:00"}, NOTHING),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_window_and_what_holds_nothing_gets_one_line(given: dict[str, str], said: str) -> None:
    words = " ".join(f"--{name} {text}" for name, text in given.items())
    with pytest.raises(EmptyWindowError) as caught:
        cut(at_times(*TIMES), given)
    assert str(caught.value).startswith(f"{words}: {said}")
    assert "\n" not in str(caught.value)


def test_lines_without_any_time_alone_are_no_answer() -> None:
    dark = h.row(None, "ciscora", h.CISCORA, 9, "x")
    with pytest.raises(EmptyWindowError, match=r"no line of .* lies there"):
        cut(of_rows(*at_times(*TIMES).rows, dark), {"since": "15:00"})
    with pytest.raises(EmptyWindowError, match=f"no line of {h.PHONE} has a time"):
        cut(of_rows(dark), {"since": "15:00"})
    with pytest.raises(EmptyWindowError, match="no line of these 2 devices has a time"):
        excerpts([of_rows(dark), of_rows()], window(since="15:00"), None, every=False)


def test_where_the_zone_is_not_known_none_can_be_typed() -> None:
    unknown = replace(at_times(*TIMES), zone=None)
    with pytest.raises(EmptyWindowError, match="the zone of these logs is not known"):
        cut(unknown, {"since": "12:00Z"})
    only_iis = replace(of_rows(h.row("12:00:00", "iis", h.IIS, 1, "x")), zone=None)
    assert lines(cut(only_iis, {"since": "17:00Z"})) == [1]


def test_devices_of_which_nothing_lies_there_are_named() -> None:
    late = replace(at_times("15:00:00"), device="SEP1")
    found, empty = excerpts([at_times(*TIMES), late], window(since="14:00"), None, every=False)
    assert ([part.timeline.device for part in found], empty) == (["SEP1"], [h.PHONE])
    look: dict[str, Any] = {"width": 160, "color": False, "unicode": True}
    assert render_empty(empty, window(since="14:00"), **look) == f"No line there (--since 14:00): {h.PHONE}\n"
    many = render_empty([f"D{n}" for n in range(20)], window(since="14:00"), **look)
    assert many == "No line there (--since 14:00): D0, D1, D2, D3, D4, D5, D6, D7 and 12 more devices\n"


# ---- how it is shown ------------------------------------------------------------------------------------------------


def shown_as(excerpt: Excerpt, width: int = 160, **look: Any) -> str:
    look = {"width": width, "color": False, "unicode": True} | look
    return render(excerpt.timeline, excerpt=excerpt, **look)


def limits(excerpt: Excerpt, **look: Any) -> str:
    (line,) = (line for line in shown_as(excerpt, **look).splitlines() if line.startswith("Limited to "))
    return line


@pytest.mark.parametrize(
    ("timeline", "given", "span", "left"),
    [
        (h.timeline(), {"around": "12:38", "within": "5"},
         "12:37:55 to 12:38:05", "4 of 10 lines; 6 lines and 1 enrollment are left out"),
        (h.timeline(), {"since": "2019-03-05 12:38"},
         "12:38:00 and later", "5 of 10 lines; 5 lines are left out"),
        (h.timeline(), {"until": "2019-03-05 23:59:59.600"},
         "23:59:59.600 and earlier", "9 of 10 lines; 1 line is left out"),
        (h.timeline(), {"since": "2019-03-05"},
         "00:00:00 and later", "10 of 10 lines; nothing is left out"),
        (h.timeline(), {"since": "2019-03-05 23:59", "until": "2019-03-06 1am"},
         "23:59:00 to 2019-03-06 01:00:00", "2 of 10 lines; 8 lines and 1 enrollment are left out"),
        (h.timeline(), {"until": "12:38"},
         "00:00:00 to 12:38:00 and 2019-03-06 00:00:00 to 12:38:00", "7 of 10 lines; 3 lines are left out"),
        (days(), {"since": "13:00", "until": "15:00"},
         "13:00:00 to 15:00:00, and so on each of 3 days", "3 of 6 lines; 3 lines are left out"),
        (days(), {"around": "2019-03-05 14:00:00.5", "within": "0.75"},
         "13:59:59.750 to 14:00:01.250", "1 of 6 lines; 5 lines are left out"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_the_head_says_what_is_left_out(timeline: Timeline, given: dict[str, str], span: str, left: str) -> None:
    words = " ".join(f"--{name} {text}" for name, text in given.items())
    assert limits(cut(timeline, given), width=400) == f"Limited to 2019-03-05 {span} ({words}): {left}"


def test_enrollments_keep_their_numbers_and_those_outside_are_not_shown() -> None:
    text = shown_as(cut(h.timeline(), {"since": "23:59"}))
    assert "\nENROLLMENT 2 of 2  ISSUED after 0.608 s\n" in text
    assert "ENROLLMENT 1" not in text
    assert "2 enrollments: 1 issued, 1 failed\n" in text
    assert "Shown     1 of its 2 lines\n" in text
    before = shown_as(cut(h.timeline(), {"until": "2019-03-05 12:37"}))
    assert re.findall(r"^(ENROLLMENT|BEFORE|AFTER|BETWEEN).*", before, re.MULTILINE) == ["BEFORE"]


def test_whole_enrollments_say_nothing_of_it() -> None:
    assert "Shown " not in shown_as(cut(h.timeline(), {"since": "2019-03-05"}))


def test_a_limited_timeline_fits_any_page() -> None:
    for timeline in (h.timeline(), h.poisoned(h.timeline())):
        part = cut(timeline, {"since": "2019-03-05 12:37:55", "until": "2019-03-05 23:00"})
        h.check_page(partial(render, part.timeline, excerpt=part))
    h.check_page(partial(render_empty, [h.HOSTILE] * 3, window(since="12:00")))


# ---- what may be of it ----------------------------------------------------------------------------------------------


def perhaps(clock: str | None, line: int, among: int = 12, **given: Any) -> Row:
    return replace(h.row(clock, "iis", h.IIS, line, f"row-{line}", **OUTSIDE, **given), among=among)


def with_perhaps(*rows: Row, **given: Any) -> Timeline:
    return replace(h.timeline(), perhaps=list(rows), more=len(rows), **given)


def test_what_may_be_of_it_is_told_and_not_shown() -> None:
    timeline = replace(h.timeline(), more=12)
    look: dict[str, Any] = {"width": 160, "color": False, "unicode": True}
    assert "\n12 more lines may be of this phone: --all shows them\n" in render(timeline, **look)
    assert "\n1 more line may be of this phone: --all shows it\n" in render(replace(timeline, more=1), **look)
    assert "may be of this phone" not in render(h.timeline(), **look)
    alone = replace(timeline, device="e1")
    assert "\n12 more lines may be of this enrollment: --all shows them\n" in render(alone, **look)
    assert "PERHAPS" not in render(with_perhaps(perhaps("12:37:58", 77)), **look)


def test_with_all_they_stand_at_their_time_and_are_marked() -> None:
    rows = [perhaps("12:00:00", 71), perhaps("12:37:58", 72), perhaps("12:37:59", 73, 1_200, mark="fault")]
    text = render(with_perhaps(*rows, perhaps(None, 74)), width=160, color=False, unicode=True, every=True)
    lines_ = text.splitlines()
    marked = {re.findall(r"row-\d+", line)[0]: " ".join(line.split()) for line in lines_ if "row-" in line}
    assert marked == {
        "row-71": "? 12:00:00 IIS PERHAPS (of 12) row-71 u_ex190305.log:71",
        "row-72": "? 12:37:58 IIS PERHAPS (of 12) row-72 u_ex190305.log:72",
        "row-73": "? 12:37:59 IIS PERHAPS (of 1,200), FAULT row-73 u_ex190305.log:73",
        "row-74": "? no time IIS PERHAPS (of 12) row-74 u_ex190305.log:74",
    }
    order = [n for line in lines_ for n in re.findall(r"^(?:BEFORE|ENROLLMENT \d|BETWEEN|AT TIMES)|row-\d+", line)]
    assert order == [
        "BEFORE", "row-71", "ENROLLMENT 1", "row-72", "row-73", "BETWEEN", "ENROLLMENT 2", "AT TIMES", "row-74"
    ]  # fmt: skip
    said = "PERHAPS (of N): 4 lines, nobody's for sure; each may be of any of N enrollments, this phone's among them"
    assert f"\n ? {said}\n" in text
    assert "--all" not in text
    assert " . at the time of the enrollment" in text


def test_with_all_it_is_said_that_there_are_none() -> None:
    text = render(h.timeline(), width=160, color=False, unicode=True, every=True)
    assert "\nNo further line may be of this phone\n" in text
    assert " ?" not in text


def test_what_very_many_may_have_is_told() -> None:
    beyond = "Up to 2,688 further lines may be of this phone, but of very many others too: "
    said = f"\n{beyond}only those nearest in time have them in --all\n"
    for every in (False, True):
        text = render(replace(h.timeline(), beyond=2_688), width=160, color=False, unicode=True, every=every)
        assert said in text


def test_of_a_window_what_may_be_of_it_is_counted_there() -> None:
    timeline = with_perhaps(perhaps("12:37:58", 72), perhaps("13:00:00", 73))
    text = shown_as(cut(timeline, {"since": "12:55", "until": "13:05"}))
    assert "\n1 more line there may be of this phone: --all shows it\n" in text
    part = cut(timeline, {"since": "12:55", "until": "13:05"}, every=True)
    text = shown_as(part, every=True)
    assert "1 of 10 lines; 9 lines, 1 line that may be its and 2 enrollments are left out\n" in text
    assert "PERHAPS (of N): 1 line there, nobody's for sure; it may be of any of N enrollments" in text
    assert "row-73" in text
    assert "row-72" not in text


def test_a_window_with_nothing_else_than_what_may_be_of_it() -> None:
    timeline = with_perhaps(perhaps("14:00:00", 72))
    with pytest.raises(EmptyWindowError, match=r"lies there; .*; 1 line there may be: --all shows$"):
        cut(timeline, {"since": "2019-03-05 13:55", "until": "14:05"})
    assert "row-72" in shown_as(cut(timeline, {"since": "2019-03-05 13:55", "until": "14:05"}, every=True), every=True)


def test_what_may_be_of_it_breaks_no_page() -> None:
    timeline = h.poisoned(with_perhaps(perhaps("12:37:58", 72), perhaps(None, 73), beyond=7))
    h.check_page(partial(render, timeline, every=True))
    empty = Timeline("SEP1", "b", None, [], [], perhaps=[perhaps(None, 1), perhaps("12:00:00", 2)], more=2)
    h.check_page(partial(render, empty, every=True))
