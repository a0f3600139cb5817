"""The way of the data, as one function.

Bundle -> members -> events -> one clock -> enrollments -> findings -> report.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from capflog.advance import NO_STEP, Advance, step_named
from capflog.attempts import find_attempts, unroll
from capflog.bundle import BundleError, Damage, Refused, name_of
from capflog.candidates import Candidates, asked_about, candidates
from capflog.capf_starts import Begun, described, find_capf_starts
from capflog.clocks import Alignment, align, unalign
from capflog.collected import CollectedFiles
from capflog.dates import changes_by
from capflog.diagnosis import Diagnosis, diagnose
from capflog.enrollments import Joined, join
from capflog.facts import Facts, when
from capflog.gaps import gaps_of
from capflog.model import Enrollment, Member, Report, ServiceStart
from capflog.own_output import OWN
from capflog.parsing import KNOWN_LOGS
from capflog.progress import SILENT, Progress
from capflog.reading import Reading, Stored, read_bundle, read_stored
from capflog.records import Recorder, Records
from capflog.rows import NONE
from capflog.rulebook import Rulebook, builtin
from capflog.start_steps import ca_of, libest_of, way_of
from capflog.starts import Start, find_starts
from capflog.steps import STEPS, Columns, next_step
from capflog.told import NOTHING, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from capflog.story import Story
    from capflog.table import Table


#: So many rows are gone through at a time: they stay in the processor's cache.
_PIECE = 1 << 16


@dataclass
class Analysis:
    """What ``analyze`` found, with the event table that it found it in."""

    report: Report
    events: Table
    columns: Columns
    facts: Facts
    alignment: Alignment
    stories: Sequence[Story]
    """The rows of the report's enrollments, in its order."""
    advance: Advance
    cause_rows: dict[int, np.ndarray]
    """Rows outside an enrollment (by its place in the report) that prove its cause; one array for each start."""
    strays: Sequence[np.ndarray]
    """Groups of rows that could be put to no enrollment for sure, those whose times can be compared with others'."""
    candidates: Candidates
    """Of each of these groups the enrollments that it may be of."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """The event table as a pandas frame."""
        return self.events.frame()


def analyze(
    paths: Sequence[str],
    stdin: BinaryIO | None = None,
    rulebook: Rulebook | None = None,
    progress: Progress = SILENT,
    *,
    processes: int | None = None,
    learning: bool | None = None,
    told: Told = NOTHING,
) -> Analysis:
    """Read bundles, correlate what their logs say, find the causes; ``progress`` is told how far that has come.

    ``processes``: how many read (None: as many as serve). ``learning`` False: the parsers are asked for every line; the
    result is the same. ``told``: what the user tells of the clocks. Raises :class:`capflog.bundle.BundleError` where
    nothing could be read that is a log.
    """
    reading = read_bundle(paths, stdin, progress, processes=processes, learning=learning)
    return analyze_reading(name_of(paths), reading, rulebook, progress, told)


def analyze_members(
    name: str, stored: Iterable[Stored | Refused | Damage], rulebook: Rulebook | None = None, told: Told = NOTHING
) -> Analysis:
    """Analyze the members of a bundle of that name, which can be read once."""
    return analyze_reading(name, read_stored(stored), rulebook, told=told)


def analyze_reading(
    name: str,
    reading: Reading,
    rulebook: Rulebook | None = None,
    progress: Progress = SILENT,
    told: Told = NOTHING,
) -> Analysis:
    """Analyze what was read of a bundle of that name: the way of the data, step by step."""
    members, table, dated = reading.members, reading.table, reading.dated
    if not any(member.source for member in members):
        raise BundleError(_no_log(name, members))
    progress.stage(f"correlating {len(table):,} events")
    files = CollectedFiles(reading.records)
    trace = unroll(table, changes_by(dated, files))
    attempts = find_attempts(table, trace)
    starts = find_starts(table)
    capf_starts = find_capf_starts(table, trace)
    alignment = align(table, trace, attempts, starts, dated, files, told)
    columns = Columns(table)
    joined = join(columns, trace, attempts, starts, alignment)
    strays = asked_about(columns, joined.strays, alignment)
    perhaps = strays, candidates(columns, joined.stories, strays)
    facts = Facts(table, columns)
    diagnosis = diagnose(
        columns,
        facts,
        joined.stories,
        starts,
        joined.strays,
        rulebook or builtin(),
        clocks=alignment.clocks,
        sources={member.source for member in members if member.source},
    )
    if not told.align:
        unalign(table, alignment, (line for finding in diagnosis.findings for line in finding.evidence))
    return _report(
        name, members, table, columns, facts, alignment, joined, perhaps, starts, capf_starts, diagnosis, told
    )


def _no_log(name: str, members: Sequence[Member]) -> str:
    """Say in one line why a bundle without any log is no use."""
    own = [m.member for m in members if m.reason == OWN]
    if own and len(own) == len(members):
        told = OWN if len(own) == 1 else f"reports of capflog's own, no logs ({', '.join(own[:3])})"
        return f"{name}: {told}; 'capflog diff' compares those that are JSON"
    if len(members) == 1 and members[0].reason:
        return f"{name}: {members[0].reason}"
    damaged = [m for m in members if m.status in ("unreadable", "partial") and m.reason]
    if damaged:
        first = damaged[0]
        return f"{name}: no log could be read of its {len(members)} members; {first.member}: {first.reason}"
    return f"{name}: none of its {len(members)} members is a log that capflog knows ({KNOWN_LOGS})"


def _report(
    name: str,
    members: list[Member],
    table: Table,
    columns: Columns,
    facts: Facts,
    alignment: Alignment,
    joined: Joined,
    perhaps: tuple[Sequence[np.ndarray], Candidates],
    starts: Sequence[Start],
    capf_starts: Sequence[Begun],
    diagnosis: Diagnosis,
    told: Told,
) -> Analysis:
    """Put together what the reports show."""
    sources = {member.source for member in members if member.source}
    _spans(members, table)
    recorder = Recorder(table, diagnosis.advance)
    # Of the steps that can be reached, each lacks one alone.
    missing = [next_step(step_named(step), sources) for step in range(len(STEPS) + 1)]
    enrollments = [
        Enrollment(
            id=f"e{number:04d}",
            device=story.device,
            started=when(story.started),
            ended=when(story.ended),
            outcome=story.outcome,
            reached=step_named(reached) or "none",
            missing=None if story.outcome == "issued" else missing[reached],
            est_error=story.error,
            est_value=story.value,
            records=Records(recorder, story),
            causes=diagnosis.causes_of_stories.get(number - 1, []),
        )
        for number, (story, reached) in enumerate(zip(joined.stories, diagnosis.reached.tolist(), strict=True), 1)
    ]
    table.keep_texts([row for start in starts for row in start.rows])
    service_starts = [
        _service_start(columns, start, causes, recorder)
        for start, causes in zip(starts, diagnosis.causes_of_starts, strict=True)
    ]
    table.forget_texts()
    report = Report(
        bundle=name,
        members=sorted(members, key=lambda m: m.member),
        clocks=alignment.clocks,
        enrollments=enrollments,
        starts=service_starts,
        findings=diagnosis.findings,
        gaps=gaps_of(sources, joined.stories, table),
        verdict=diagnosis.verdict,
        devices=sorted({e.device for e in enrollments if e.device is not None}),
        unattributed=joined.unattributed,
        aligned=told.align,
        notices=alignment.notices,
        capf_starts=described(capf_starts, table),
        not_checked=diagnosis.not_checked,
    )
    advance, causes = diagnosis.advance, diagnosis.cause_rows
    return Analysis(report, table, columns, facts, alignment, joined.stories, advance, causes, *perhaps)


def _spans(members: list[Member], table: Table) -> None:
    """Tell of each member the first and the last time of its events."""
    places = {name: code for code, name in enumerate(table.members)}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for begin, end, code, _ in table.runs.tolist():
        for at in range(begin, end, _PIECE):
            piece = table.time[at : min(at + _PIECE, end)]
            earliest, latest = int(piece.min()), int(piece.max())
            if latest == NONE:
                continue
            if earliest == NONE:
                # NONE is less than any time.
                earliest = int(piece[piece != NONE].min())
            first[code] = min(first.get(code, earliest), earliest)
            last[code] = max(last.get(code, latest), latest)
    for member in members:
        place = places.get(member.member) if member.source else None
        if place is not None and place in last:
            member.first, member.last = when(first[place]), when(last[place])


def _service_start(columns: Columns, start: Start, causes: list[str], recorder: Recorder) -> ServiceStart:
    rows = np.asarray(start.rows, dtype=np.int64)
    records = recorder.of_rows(rows, np.full(len(rows), NO_STEP, dtype=np.uint8))
    way = way_of(columns, start)
    for row, record in zip(start.rows, records, strict=True):
        record.step = way.steps.get(row)
    own = [r for r in records if r.source != "iis"]
    known = [r.time for r in own if r.time is not None]
    lows = [r.earliest for r in own if r.earliest is not None]
    highs = [r.latest for r in own if r.latest is not None]
    return ServiceStart(
        min(known, default=None),
        min(lows, default=None),
        max(highs, default=None),
        start.ok,
        start.pid,
        records,
        causes,
        way.reached or "none",
        way.missing,
        ca_of(columns, start),
        libest_of(columns, start),
    )
