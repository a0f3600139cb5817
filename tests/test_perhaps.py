"""Lines that may be of a device and are nobody's for sure: from the bundle and from the store, the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from capflog import timelines as timelines_module
from capflog.candidates import candidates
from capflog.model import Row, Timeline
from capflog.packing import pack, parts_of
from capflog.store import Store
from capflog.timelines import names, parts, timelines
from capflog.unpacking import (
    Lines,
    Sheaf,
    Strays,
    UnreadableError,
    timeline_of,
    unpack_lines,
    unpack_sheaf,
    unpack_strays,
)
from tests.scenes import (
    BROWSER,
    NOT_ANSWERED,
    analyzed,
    at,
    ca_answers,
    comes_by,
    exchange,
    held,
    iis,
    seconds,
    tries,
    utc,
    whole,
)
from tests.sites import site

if TYPE_CHECKING:
    from pathlib import Path

    from capflog.analysis import Analysis

PHONE, OTHER, LATE, QUIET = "SEP74A02FC0A675", "SEP001F6C81118B", "SEP0C75BD1A2B30", "ATA00270DC3F5E9"


@cache
def lab() -> Analysis:
    """Two phones at about the same time and one that fails an hour later; a browser's requests stand for strays.

    Whose requests they are is of no matter here, only that they are nobody's.
    """
    one, two = whole(PHONE, at("14:00:00")), whole(OTHER, at("14:00:00.5"), connection=4)
    browser = [
        ca_answers(at(clock), None, agent=BROWSER) for clock in ("14:00:00.2", "14:00:01.6", "15:00:01", "18:00:00")
    ]
    three = tries(LATE, at("15:00:00"), NOT_ANSWERED, taken=10.038)
    analysis = analyzed(
        held("capf1.txt", one[0], two[0], three, comes_by(QUIET, at("16:00:00"))),
        held("error.log", one[1], two[1], exchange(at("11:00:00"), "early", connection=9)),
        iis("u_ex.log", one[2], two[2], *browser),
    )
    table = analysis.events
    agents, words = table.codes("agent", np.arange(table.count))
    rows = np.flatnonzero(np.array([*(word.startswith("Mozilla") for word in words), False])[agents])
    strays = [group for group in np.split(rows, np.flatnonzero(np.diff(table.time[rows]) > 1_000) + 1) if len(group)]
    return replace(analysis, strays=strays, candidates=candidates(analysis.columns, analysis.stories, strays))


def shown(device: str) -> Timeline:
    (timeline,) = timelines(lab(), [device], every=True)
    return timeline


def test_lines_at_the_time_of_an_enrollment_may_be_of_it() -> None:
    for device in (PHONE, OTHER):
        timeline = shown(device)
        assert {row.source for row in timeline.perhaps} == {"iis"}
        assert all(BROWSER in row.text for row in timeline.perhaps)
        assert {row.among for row in timeline.perhaps} == {2}
        assert {(row.enrollment, row.confidence) for row in timeline.perhaps} == {(None, None)}
        assert timeline.more == len(timeline.perhaps) > 7
        assert timeline.beyond == 0
    late = shown(LATE)
    assert [row.among for row in late.perhaps] == [1] * 7
    times = [row.time for row in late.perhaps if row.time is not None]
    assert times == sorted(times)
    assert utc(at("15:00:00")) <= times[0] <= times[-1] <= utc(at("15:00:03"))


def test_who_did_not_try_has_none() -> None:
    assert (shown(QUIET).more, shown(QUIET).perhaps) == (0, [])


def test_an_enrollment_without_a_device_is_asked_by_its_id() -> None:
    (early,) = (e for e in lab().report.enrollments if e.device is None)
    assert shown(early.id).more == 0


def test_no_line_is_shown_twice() -> None:
    for timeline in timelines(lab(), every=True):
        own = [(row.member, row.line) for row in (*timeline.rows, *timeline.perhaps)]
        assert len(set(own)) == len(own)
        assert not any(row.among for row in timeline.rows)


def test_without_being_asked_for_they_are_only_counted() -> None:
    for bare, full in zip(timelines(lab()), timelines(lab(), every=True), strict=True):
        assert bare == replace(full, perhaps=[])
        assert full.more == len(full.perhaps)


def test_of_two_enrollments_of_one_device_a_line_is_counted_once() -> None:
    analysis = lab()
    enrollments = [
        replace(e, device=PHONE, records=[]) if e.device == OTHER else e for e in analysis.report.enrollments
    ]
    both = replace(analysis, report=replace(analysis.report, enrollments=enrollments))
    (timeline,) = timelines(both, [PHONE], every=True)
    assert timeline.more == shown(PHONE).more


def test_lines_that_tell_of_a_failure_are_marked() -> None:
    analysis = lab()
    table = analysis.events
    rows = table.rows_of("est.enroll.result")
    strays = [rows]
    odd = replace(analysis, strays=strays, candidates=candidates(analysis.columns, analysis.stories, strays))
    (timeline,) = timelines(odd, [LATE], every=True)
    assert {row.mark for row in timeline.perhaps if "EST_ERR_SSL_READ" in row.text} == {"fault"}
    assert {row.mark for row in timeline.perhaps if "EST_ERR_NONE" in row.text} == {""}


@pytest.mark.parametrize(("seed", "lost"), [(2, 0.0), (9, 0.1)])
def test_what_the_store_keeps_is_the_same(
    seed: int, lost: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small its blocks are; a crowd of which many lines are lost leaves as many open."""
    analysis = analyzed(*site(seed, lost=lost).members)
    for name, size in (("_LINES_AT_ONCE", 50), ("_ROWS_AT_ONCE", 300), ("_STRAYS_AT_ONCE", 20)):
        monkeypatch.setattr(timelines_module, name, size)
    full, bare = list(timelines(analysis, every=True)), list(timelines(analysis))
    assert len(analysis.strays) > 20
    with Store.open(tmp_path, create=True) as store:
        run = store.keep(["{}"], "site", parts(analysis))
        assert [store.timeline(run, name, every=True) for name in names(analysis)] == full
        assert [store.timeline(run, name) for name in names(analysis)] == bare
        assert store.zone(run) == full[0].zone
    for name in names(analysis)[::9]:
        assert list(timelines(analysis, [name], every=True)) == [one for one in full if one.device == name]


def test_an_empty_run_has_no_zone(tmp_path: Path) -> None:
    with Store.open(tmp_path, create=True) as store:
        assert store.zone(store.save("{}", "b", [])) is None
        assert store.zone(99) is None


def test_timelines_with_such_lines_can_be_saved(tmp_path: Path) -> None:
    time = utc(at("14:00:00"))
    rows = [
        Row(time + seconds(n), time, None, "iis", "m", n, None, "e", f"text {n}", None, None, "login", "fault", n)
        for n in range(1, 6)
    ]
    found = [
        Timeline("SEP1", "b", None, [], rows[:1], perhaps=rows[1:3], more=2, beyond=7),
        Timeline("SEP2", "b", None, [], [], perhaps=rows[3:], more=2),
        Timeline("SEP3", "b", None, [], []),
    ]
    found[0].rows = [replace(rows[0], among=0)]
    with Store.open(tmp_path, create=True) as store:
        run = store.save("{}", "b", found)
        assert [store.timeline(run, one.device, every=True) for one in found] == found
    for size in (1, 1 << 20):
        made = list(parts_of(found, size))
        lines = [unpack_lines(pack(part)) for part in made if isinstance(part, Lines)]
        strays = [unpack_strays(pack(part)) for part in made if isinstance(part, Strays)]
        sheaves = [unpack_sheaf(pack(part)) for part in made if isinstance(part, Sheaf)]
        places = [(sheaf, place) for sheaf in sheaves for place in range(len(sheaf.timelines))]
        kept, known = (lambda _, lines=lines: lines), (lambda _, strays=strays: strays)
        assert [timeline_of(sheaf, place, kept, known) for sheaf, place in places] == found


def test_groups_that_do_not_hold_together_are_unreadable() -> None:
    row = Row(None, None, None, "iis", "m", 1, None, "e", "t", None, None, None, "", 3)
    lines, strays, sheaf = parts_of([Timeline("SEP1", "b", None, [], [], perhaps=[row], more=1)], 1)
    assert isinstance(sheaf, Sheaf)
    assert isinstance(lines, Lines)
    assert isinstance(strays, Strays)
    kept = [unpack_lines(pack(lines))]
    whole_ = [unpack_strays(pack(strays))]
    back = unpack_sheaf(pack(sheaf))
    assert timeline_of(back, 0, lambda _: kept, lambda _: whole_).perhaps == [row]
    for odd in ([], [replace(whole_[0], first=5)], [replace(whole_[0], step=[9])], [replace(whole_[0], number=[77])]):
        with pytest.raises(UnreadableError):
            timeline_of(back, 0, lambda _: kept, lambda _, odd=odd: odd)  # type: ignore[misc]
    for sizes in ([], [2], [-1]):
        with pytest.raises(UnreadableError):
            unpack_strays(pack(replace(strays, sizes=np.array(sizes, dtype=np.int64))))
    with pytest.raises(UnreadableError):
        unpack_sheaf(pack(replace(sheaf, groups_of=[2])))
