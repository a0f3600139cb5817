"""The way of the data, as one function.

Bundle -> members -> events -> one clock -> enrollments -> findings -> report.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from capflog.attempts import find_attempts, unroll
from capflog.bundle import BundleError, Damage, Damaged, Refused, name_of, open_bundle
from capflog.clocks import Alignment, align
from capflog.dates import Dated
from capflog.diagnosis import Diagnosis, Facts, diagnose, when
from capflog.enrollments import Joined, join
from capflog.gaps import gaps_of
from capflog.model import Enrollment, Member, Record, Report, ServiceStart
from capflog.parsing import KNOWN_LOGS, parse
from capflog.rulebook import Rulebook, builtin
from capflog.starts import Start, find_starts
from capflog.steps import Columns, is_fault, last_step, next_step, steps_done
from capflog.story import Story
from capflog.table import NONE, TableBuilder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    import pandas as pd

    from capflog.table import Table


class Stored(Protocol):
    """A member whose bytes can be read once: :class:`capflog.bundle.Member`, or text that a rule's case holds."""

    @property
    def name(self) -> str: ...
    @property
    def modified(self) -> datetime | None: ...
    @property
    def modified_is_local(self) -> bool: ...
    def chunks(self) -> Iterator[bytes]: ...


@dataclass
class Analysis:
    """What ``analyze`` found, with the event table that it found it in."""

    report: Report
    events: Table
    columns: Columns
    facts: Facts
    alignment: Alignment
    cause_rows: dict[str, list[int]]
    """Rows outside an enrollment (by its id) that prove its cause."""

    @cached_property
    def table(self) -> pd.DataFrame:
        """The event table as a pandas frame."""
        return self.events.frame()


def analyze(paths: Sequence[str], stdin: BinaryIO | None = None, rulebook: Rulebook | None = None) -> Analysis:
    """Read bundles, correlate what their logs say, find the causes.

    Raises :class:`capflog.bundle.BundleError` where nothing could be read that is a log.
    """
    return analyze_members(name_of(paths), open_bundle(paths, stdin), rulebook)


def analyze_members(
    name: str, stored: Iterable[Stored | Refused | Damage], rulebook: Rulebook | None = None
) -> Analysis:
    """Analyze the members of a bundle of that name: the way of the data, step by step."""
    members, builder, dated = read_members(stored)
    if not any(member.source for member in members):
        raise BundleError(_no_log(name, members))
    table = builder.table()
    # The table has all of it: what it was made of would only be missing later on.
    del builder
    trace = unroll(table)
    attempts = find_attempts(table, trace)
    starts = find_starts(table)
    alignment = align(table, trace, attempts, starts, dated)
    columns = Columns(table)
    joined = join(columns, trace, attempts, starts, alignment)
    facts = Facts(table, columns)
    diagnosis = diagnose(columns, facts, joined.stories, starts, joined.strays, rulebook or builtin())
    return _report(name, members, table, columns, facts, alignment, joined, starts, diagnosis)


def read_members(
    stored: Iterable[Stored | Refused | Damage],
) -> tuple[list[Member], TableBuilder, dict[str, Dated]]:
    """Parse each member of a bundle; what cannot be read becomes a member with its reason."""
    members: list[Member] = []
    builder = TableBuilder()
    dated: dict[str, Dated] = {}
    seen: dict[tuple[str, bytes], str] = {}
    for item in stored:
        if isinstance(item, Refused):
            members.append(Member(item.name, None, item.status, item.reason))
            continue
        if isinstance(item, Damage):
            members.append(Member(item.name, None, "partial", item.reason))
            continue
        chunks = _Watched(item)
        parsed = parse(chunks, item.name)
        if parsed.parser is None:
            if chunks.damage is not None:
                members.append(Member(item.name, None, "unreadable", chunks.damage, parsed.why, parsed.lines))
            else:
                members.append(Member(item.name, None, "skipped", parsed.why, parsed.why, parsed.lines))
            continue
        source = parsed.parser.source
        file = item.name.rpartition("/")[2].removesuffix(".gz").removesuffix(".gzo")
        twin = seen.setdefault((file, chunks.digest.digest()), item.name)
        if twin != item.name:
            # Overlapping collections are daily life: what happened once is told once. Two starts of CES may well have
            # the same lines, but then they stand in files of different numbers.
            reason = f"the same, byte for byte, as {twin}"
            members.append(Member(item.name, source, "skipped", reason, parsed.why, parsed.lines))
            continue
        members.append(
            Member(
                item.name,
                source,
                "parsed" if chunks.damage is None else "partial",
                chunks.damage,
                parsed.why,
                parsed.lines,
                len(parsed.events),
                parsed.unparsed,
                unknown=parsed.unknown,
            )
        )
        builder.add(source, item.name, parsed.events)
        dated[item.name] = Dated(item.modified, item.modified_is_local)
    return members, builder, dated


class _Watched:
    """A member's bytes that end quietly where they are damaged, and remember why."""

    def __init__(self, member: Stored) -> None:
        self._member = member
        self.damage: str | None = None
        self.digest = hashlib.blake2b(digest_size=16)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._member.chunks():
                self.digest.update(chunk)
                yield chunk
        except Damaged as damage:
            self.damage = str(damage)


def _no_log(name: str, members: Sequence[Member]) -> str:
    """Say in one line why a bundle without any log is no use."""
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
    starts: Sequence[Start],
    diagnosis: Diagnosis,
) -> Analysis:
    """Put together what the reports show."""
    sources = {member.source for member in members if member.source}
    _spans(members, table)
    enrollments = [
        _enrollment(number, story, causes, columns, facts, sources)
        for number, (story, causes) in enumerate(zip(joined.stories, diagnosis.causes_of_stories, strict=True), 1)
    ]
    service_starts = [
        _service_start(start, causes, columns, facts)
        for start, causes in zip(starts, diagnosis.causes_of_starts, strict=True)
    ]
    report = Report(
        bundle=name,
        members=sorted(members, key=lambda m: m.member),
        clocks=alignment.clocks,
        enrollments=enrollments,
        starts=service_starts,
        findings=diagnosis.findings,
        gaps=gaps_of(sources, joined.stories, columns),
        verdict=diagnosis.verdict,
        devices=sorted({e.device for e in enrollments if e.device is not None}),
        unattributed=joined.unattributed,
    )
    cause_rows = {e.id: rows for e, rows in zip(enrollments, diagnosis.cause_rows, strict=True) if rows}
    return Analysis(report, table, columns, facts, alignment, cause_rows)


def _spans(members: list[Member], table: Table) -> None:
    """Tell of each member the first and the last time of its events."""
    places = {name: code for code, name in enumerate(table.members)}
    known = table.time != NONE
    first = np.full(len(places), np.iinfo(np.int64).max)
    last = np.full(len(places), NONE)
    np.minimum.at(first, table.member[known], table.time[known])
    np.maximum.at(last, table.member[known], table.time[known])
    for member in members:
        place = places.get(member.member) if member.source else None
        if place is not None and last[place] != NONE:
            member.first, member.last = when(int(first[place])), when(int(last[place]))


def _record(columns: Columns, facts: Facts, row: int, sure: str, step: str | None) -> Record:
    return Record(
        member=facts.member(row),
        line=int(columns.line[row]),
        source=str(columns.source[row]),
        event=columns.kind[row],
        time=when(int(columns.time[row])),
        earliest=when(int(columns.earliest[row])),
        latest=when(int(columns.latest[row])),
        confidence="certain" if sure == "certain" else "likely",
        text=facts.text(row),
        level=columns.text_of("level", row),
        step=step,
        fault=is_fault(columns, row),
    )


def _enrollment(
    number: int, story: Story, causes: list[str], columns: Columns, facts: Facts, sources: set[str]
) -> Enrollment:
    rows = story.order.tolist()
    shown = steps_done(columns, rows)
    reached = last_step(columns, shown, issued=story.outcome == "issued")
    records = [
        _record(columns, facts, row, "likely" if row in story.likely else "certain", shown.get(row)) for row in rows
    ]
    return Enrollment(
        id=f"e{number:04d}",
        device=story.device,
        started=when(story.started),
        ended=when(story.ended),
        outcome=story.outcome,
        reached=reached or "none",
        missing=None if story.outcome == "issued" else next_step(reached, sources),
        est_error=story.error,
        est_value=story.value,
        records=records,
        causes=causes,
    )


def _service_start(start: Start, causes: list[str], columns: Columns, facts: Facts) -> ServiceStart:
    records = [_record(columns, facts, row, "certain", None) for row in start.rows]
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
    )
