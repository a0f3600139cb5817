"""Every event comes once, in the order of time, with what the report and the timelines say of it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from capflog import eventlines as eventlines_module
from capflog import keptlines as keptlines_module
from capflog.analysis import analyze
from capflog.commands.analyzing import keep_in
from capflog.eventlines import EventLine, event_lines, kept_lines
from capflog.events import VALUES
from capflog.store import Store, StoreProblem
from capflog.timelines import timelines
from tests.conftest import ROOT
from tests.scenes import analyzed, raw
from tests.sites import PLAIN, site

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from capflog.analysis import Analysis

#: Failures caused elsewhere; lines that are likely an enrollment's; a crowd in which lines could be put to nobody; no
#: log that names a device.
SITES = ("ca-dns-failure", "ces-overloaded", "crowd", "nameless")
OWN = ("time", "earliest", "latest", "source", "event", "level", "device", "enrollment", "confidence", "step", "text")


@cache
def of(name: str) -> Analysis:
    if name == "crowd":
        return analyzed(*site(3, **PLAIN | {"phones": 40, "rate": 9, "form": 200, "faults": 0.4}).members)
    if name == "nameless":
        made = site(2, **PLAIN | {"phones": 6, "form": 200})
        return analyzed(*(member for member in made.members if made.sources[member.name] != "capf"))
    return analyze([str(ROOT / "samples" / f"{name}.zip")])


@cache
def lines_of(name: str) -> list[EventLine]:
    return list(event_lines(of(name)))


def places(lines: Iterable[EventLine]) -> list[tuple[str, int]]:
    return [(line.member, line.line) for line in lines]


def moment(line: EventLine) -> datetime | None:
    return line.time or line.earliest or line.latest


def test_the_sites_have_what_is_tested() -> None:
    assert of("ca-dns-failure").cause_rows
    assert any(line.confidence == "likely" for line in lines_of("ces-overloaded"))
    assert len(of("crowd").strays)
    assert {e.device for e in of("nameless").report.enrollments} == {None}
    assert any(moment(line) is None for line in lines_of("ca-dns-failure"))


@pytest.mark.parametrize("name", SITES)
def test_every_event_comes_once_with_its_line(name: str) -> None:
    lines, table = lines_of(name), of(name).table
    frame = {(m, n): row for m, n, row in zip(table["member"], table["line"], table.to_dict("records"), strict=True)}
    assert len(lines) == len(table) > 0
    assert set(places(lines)) == set(frame)
    for line in lines:
        row = frame[line.member, line.line]
        assert (line.source, line.event, line.text) == (row["source"], row["kind"], row["text"])
        assert line.values == {name: row[name] for name in VALUES if not pd.isna(row[name])}
        if isinstance(row["device"], str):
            assert line.device == row["device"]


@pytest.mark.parametrize("name", SITES)
def test_they_are_in_the_order_of_time_and_undated_ones_come_last(name: str) -> None:
    moments = [moment(line) for line in lines_of(name)]
    dated = [at for at in moments if at is not None]
    assert dated == sorted(dated)
    assert moments[len(dated) :] == [None] * (len(moments) - len(dated))
    # Lines of a member of one moment stay as they were logged.
    last: dict[str, EventLine] = {}
    for line in lines_of(name):
        before = last.get(line.member)
        if before is not None and moment(before) == moment(line):
            assert before.line < line.line
        last[line.member] = line


@pytest.mark.parametrize("name", SITES)
def test_an_enrollment_has_the_records_that_the_report_says(name: str) -> None:
    told = {
        (r.member, r.line): (e.id, r.confidence, r.step, r.fault, r.level, r.time, r.earliest, r.latest, r.text)
        for e in of(name).report.enrollments
        for r in e.records
    }
    found = {
        (o.member, o.line): (
            *(o.enrollment, o.confidence, o.step, o.fault, o.level),
            *(o.time, o.earliest, o.latest, o.text),
        )
        for o in lines_of(name)
        if o.enrollment is not None
    }
    assert found == told
    assert all(o.confidence is None and o.step is None for o in lines_of(name) if o.enrollment is None)


@pytest.mark.parametrize("name", SITES)
def test_a_device_has_the_lines_of_its_timeline(name: str) -> None:
    """What proves that its failure was caused elsewhere aside, which is not its own."""
    for timeline in timelines(of(name)):
        shown = {(r.member, r.line) for r in timeline.rows if r.mark != "cause"}
        ids = {e.id for e in timeline.enrollments}
        of_device = {
            (line.member, line.line)
            for line in lines_of(name)
            if line.device == timeline.device or line.enrollment in ids
        }
        assert shown == of_device, timeline.device


def test_only_those_that_are_asked_for() -> None:
    every, analysis = lines_of("ca-dns-failure"), of("ca-dns-failure")
    ids = {e.id for e in analysis.report.enrollments[3:5]}
    assert list(event_lines(analysis, ids)) == [line for line in every if line.enrollment in ids]
    device = analysis.report.devices[1]
    assert list(event_lines(analysis, devices=[device])) == [line for line in every if line.device == device]
    both = [line for line in every if line.device == device and line.enrollment in ids]
    assert list(event_lines(analysis, ids, [device])) == both
    assert list(event_lines(analysis, set())) == list(event_lines(analysis, devices=[])) == []
    assert list(event_lines(analysis, {"e9999"}, ["SEP000000000000"])) == []


def test_many_blocks_make_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    analysis, every = of("ces-overloaded"), lines_of("ces-overloaded")
    store = tmp_path / "some.db"
    keep_in(analysis, store)
    kept = of_store(store)
    monkeypatch.setattr(eventlines_module, "ROWS_AT_ONCE", 37)
    monkeypatch.setattr(keptlines_module, "ROWS_AT_ONCE", 37)
    assert list(event_lines(analysis)) == every
    assert of_store(store) == kept


def test_a_bundle_without_events_has_no_line(tmp_path: Path) -> None:
    analysis = analyzed(
        raw("u_ex190116.log", "#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n")
    )
    assert analysis.events.count == 0
    assert list(event_lines(analysis)) == []
    keep_in(analysis, tmp_path / "none.db")
    assert of_store(tmp_path / "none.db") == []


# ---- what the store holds ------------------------------------------------------------------------------------------


def of_store(path: Path) -> list[EventLine]:
    with Store.open(path, create=False) as store:
        run = store.latest()
        assert run is not None
        return list(kept_lines(store, run.id))


@pytest.mark.parametrize("name", SITES)
def test_the_store_gives_the_same_of_what_timelines_show(name: str, tmp_path: Path) -> None:
    keep_in(of(name), tmp_path / "kept.db")
    kept, every = of_store(tmp_path / "kept.db"), lines_of(name)
    shown = {(row.member, row.line) for timeline in timelines(of(name)) for row in timeline.rows}
    assert places(kept) == [place for place in places(every) if place in shown]
    known = dict(zip(places(every), every, strict=True))
    for line in kept:
        other = known[line.member, line.line]
        assert [getattr(line, one) for one in OWN] == [getattr(other, one) for one in OWN]
        assert (line.values, line.session) == ({}, None)
        assert other.fault or not line.fault
    failed = {e.id for e in of(name).report.enrollments if e.outcome != "issued"}
    assert all(line.fault == known[line.member, line.line].fault for line in kept if line.enrollment in failed)


def test_what_was_let_go_of_is_told(tmp_path: Path) -> None:
    keep_in(of("ca-dns-failure"), tmp_path / "kept.db")
    with Store.open(tmp_path / "kept.db", create=False) as store:
        run = store.latest()
        assert run is not None
        lines = kept_lines(store, run.id)
        assert next(lines)
        assert list(kept_lines(store, run.id + 1)) == []
        with pytest.raises(StoreProblem, match="is not kept"):
            store.lines(run.id + 1, 1)
