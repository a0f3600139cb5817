"""A device's way through all logs: its enrollments' lines, CAPF's other lines of it, and what explains its failures.

Beside these there are lines that could be put to nobody for sure, in groups, and may be of its enrollments.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from bisect import bisect
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from capflog.events import SOURCES
from capflog.facts import moments
from capflog.model import Timeline
from capflog.sieve import blocks, gathered
from capflog.steps import STEPS
from capflog.unpacking import Lines, Sheaf, Strays, timeline_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capflog.analysis import Analysis

_Part = TypeVar("_Part", Lines, Sheaf, Strays)

#: What stands in a sheaf's columns: sureness and marks, and from these places on the steps and the enrollments.
_WORDS: list[str | None] = [None, "certain", "likely", "", "fault", "cause", *STEPS]
_CERTAIN, _LIKELY, _UNMARKED, _FAULT, _CAUSE = range(1, 6)
_STEPS = 6

#: How many lines a block that is kept takes: a megabyte or so.
_LINES_AT_ONCE = 1 << 13

#: How many rows the timelines of a sheaf take together.
_ROWS_AT_ONCE = 1 << 16

#: How many rows of groups a block that is kept takes.
_STRAYS_AT_ONCE = 1 << 14

#: A MAC address in the spellings that people use: 74A02FC0A675, 74:a0:2f:c0:a6:75, 74-A0-..., 74a0.2fc0.a675; with
#: what CUCM puts before it, or without.
_MAC = re.compile(
    r"([A-Za-z]{3}[:\-. ]?)?"
    r"((?:[0-9A-Fa-f]{2}([:\-. ]?)(?:[0-9A-Fa-f]{2}\3){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}[.:\- ]){2}[0-9A-Fa-f]{4}))"
)


class UnknownDeviceError(LookupError):
    """No device of the bundle fits; the message offers the nearest."""


def match_devices(wanted: str, known: Sequence[str]) -> list[str]:
    """Give the devices that a name, a name with ``*``, or a MAC address in any spelling means.

    Raises :class:`UnknownDeviceError` where there is none.
    """
    if wanted in known:
        return [wanted]
    by_fold = {name.casefold(): name for name in known}
    if wanted.casefold() in by_fold:
        return sorted(name for name in known if name.casefold() == wanted.casefold())
    if any(sign in wanted for sign in "*?["):
        found = sorted(name for name in known if fnmatch.fnmatchcase(name.casefold(), wanted.casefold()))
        if found:
            return found
    elif mac := _MAC.fullmatch(wanted.strip()):
        digits = ((mac[1] or "")[:3] + re.sub(r"[^0-9A-Fa-f]", "", mac[2])).casefold()
        found = sorted(name for name in known if digits in name.casefold())
        if found:
            return found
    if not known:
        raise UnknownDeviceError(f"{wanted}: no line of these logs names a device")
    near = difflib.get_close_matches(wanted.casefold(), list(by_fold), n=3, cutoff=0.6)
    offer = ", ".join(by_fold[name] for name in near) if near else ", ".join(sorted(known)[:3])
    more = "" if near or len(known) <= 3 else f", and {len(known) - 3} more"
    raise UnknownDeviceError(
        f"{wanted}: no such device in these logs; {'did you mean' if near else 'there are'}: {offer}{more}"
    )


def names(analysis: Analysis) -> list[str]:
    """List what a timeline can be asked of: every device that a line names, and the ids of enrollments without one."""
    there = np.zeros(len(analysis.events.devices) + 1, dtype=bool)
    there[analysis.events.device] = True
    named = [analysis.events.devices[code] for code in np.flatnonzero(there[:-1]).tolist()]
    return sorted(named) + [e.id for e in analysis.report.enrollments if e.device is None]


def timelines(analysis: Analysis, only: Iterable[str] | None = None, *, every: bool = False) -> Iterator[Timeline]:
    """Make the timelines of the given devices (all of them where none are given).

    ``every``: with the lines that may be of their enrollments.
    """
    ways = _Ways(analysis, list(names(analysis) if only is None else only))
    lines = [_listed(block) for block in _lines(analysis, ways.shown(every=every))]
    firsts = [block.number[0] for block in lines]
    groups = [_listed(block) for block in ways.strays()] if every else []
    firsts_of_groups = [block.first for block in groups]

    def kept(numbers: Sequence[int]) -> list[Lines]:
        return [lines[place - 1] for place in sorted({bisect(firsts, number) for number in numbers})]

    def strays(numbers: Sequence[int]) -> list[Strays]:
        return [groups[place - 1] for place in sorted({bisect(firsts_of_groups, number) for number in numbers})]

    # They come back as the store gives them: there is one way to make a timeline of columns.
    for sheaf in map(_listed, ways.sheaves()):
        for place in range(len(sheaf.timelines)):
            yield timeline_of(sheaf, place, kept, strays if every else None)


def _listed(part: _Part) -> _Part:
    """Give a part with its columns as lists."""
    columns = {column.name: getattr(part, column.name) for column in fields(part)}
    return replace(part, **{name: c.tolist() for name, c in columns.items() if isinstance(c, np.ndarray)})


def parts(analysis: Analysis) -> Iterator[Lines | Sheaf | Strays]:
    """Give all timelines taken apart, as the store keeps them: first the lines that they show, each once."""
    ways = _Ways(analysis, names(analysis))
    yield from _lines(analysis, ways.shown(every=True))
    yield from ways.strays()
    yield from ways.sheaves()


def _lines(analysis: Analysis, rows: np.ndarray) -> Iterator[Lines]:
    """Give lines of the table with their texts, which are read back in one walk through the bundle."""
    table = analysis.events
    levels = sorted({shape.level for shape in table.vocabulary.shapes if shape.level is not None})
    place = {level: number for number, level in enumerate(levels)}
    level_of = np.array([place.get(shape.level or "", -1) for shape in table.vocabulary.shapes] or [-1], dtype=np.int64)
    fixed: list[str | None] = [*SOURCES, *table.kinds, *levels, None]
    kinds, at_levels = len(SOURCES), len(SOURCES) + len(table.kinds)
    texts = table.texts_of(rows)
    for begin in range(0, len(rows), _LINES_AT_ONCE):
        block = rows[begin : begin + _LINES_AT_ONCE]
        members, member = np.unique(table.member[block], return_inverse=True)
        level = level_of[table.shape[block]]
        yield Lines(
            unit=1000,
            names=[*fixed, *(table.members[code] for code in members.tolist())],
            number=block,
            time=table.time[block],
            earliest=table.earliest[block],
            latest=table.latest[block],
            line=table.line[block].astype(np.int64),
            source=table.source[block],
            member=member + len(fixed),
            level=np.where(level < 0, len(fixed) - 1, level + at_levels),
            event=table.kind[block] + kinds,
            texts=[text for _, text in islice(texts, len(block))],
        )


@dataclass(slots=True)
class _Own:
    """Rows of timelines as columns: the number of the timeline, and what a sheaf tells of each row."""

    row: np.ndarray
    of: np.ndarray
    enrollment: np.ndarray
    confidence: np.ndarray
    step: np.ndarray
    mark: np.ndarray

    def __add__(self, other: _Own) -> _Own:
        return _Own(*(np.concatenate((getattr(self, name), getattr(other, name))) for name in self.__slots__))

    def __getitem__(self, order: np.ndarray) -> _Own:
        return _Own(*(getattr(self, name)[order] for name in self.__slots__))


class _Ways:
    """Whose timeline shows which rows, in which order: the timelines' names have numbers, in the order given."""

    def __init__(self, analysis: Analysis, wanted: Sequence[str]) -> None:
        self._analysis, self._wanted = analysis, wanted
        table = analysis.events
        number_of = {name: number for number, name in enumerate(wanted)}
        # Behind the devices that a line can name stands the line that names none.
        self._of_device = np.array([*(number_of.get(name, -1) for name in table.devices), -1], dtype=np.int32)
        enrollments = analysis.report.enrollments
        of = np.array([number_of.get(e.device or e.id, -1) for e in enrollments], dtype=np.int32)
        # The enrollments of one name after those of another.
        self._order = np.argsort(of, kind="stable")
        self._bounds = np.searchsorted(of[self._order], np.arange(len(wanted) + 1)).tolist()
        self._of_enrollment = of.astype(np.int64)
        self._taken = np.zeros(table.count, dtype=bool)
        self._shown: np.ndarray = self._of_device[table.device] >= 0
        self._sizes = np.bincount(self._of_device[table.device] + 1, minlength=len(wanted) + 1)[1:]
        stories = analysis.stories
        for begin, end in blocks([len(story.order) for story in stories]):
            rows, owner = gathered([story.order for story in stories[begin:end]])
            own = of[begin:end][owner]
            self._shown[rows[own >= 0]] = True
            self._taken[rows[(own >= 0) & (self._of_device[table.device[rows]] == own)]] = True
            self._sizes = self._sizes + np.bincount(own[own >= 0], minlength=len(wanted))
        self._groups, self._groups_of = self._perhaps()

    def _perhaps(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the groups of lines that may be of each timeline's enrollments, and where each timeline's begin."""
        found = self._analysis.candidates
        of = self._of_enrollment[found.places]
        wanted = np.flatnonzero(of >= 0)
        groups = np.repeat(np.arange(len(found)), np.diff(found.bounds))[wanted]
        # A timeline and a group in one number: of two of its enrollments that a group may be of it is shown once.
        pairs = np.sort(of[wanted] * max(len(found), 1) + groups)
        pairs = pairs[np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]]
        bounds = np.searchsorted(pairs, np.arange(len(self._wanted) + 1) * max(len(found), 1))
        return pairs % max(len(found), 1), bounds

    def shown(self, *, every: bool) -> np.ndarray:
        """List all rows that some timeline shows, in the table's order; ``every``: also those that may be of it."""
        shown = self._shown.copy()
        for rows in {id(rows): rows for rows in self._analysis.cause_rows.values()}.values():
            shown[rows] = True
        if every and len(self._groups):
            shown[np.concatenate([self._analysis.strays[group] for group in np.unique(self._groups).tolist()])] = True
        return np.flatnonzero(shown)

    def strays(self) -> Iterator[Strays]:
        """Give the groups of lines that may be of some enrollment, some thousand lines of them at a time."""
        analysis, table = self._analysis, self._analysis.events
        counts = analysis.candidates.counts
        sizes = [len(group) for group in analysis.strays]
        for first, last in blocks(sizes, _STRAYS_AT_ONCE):
            rows, owner = gathered(analysis.strays[first:last])
            in_turn = np.lexsort((table.line[rows], table.member[rows], moments(table, rows), owner))
            rows = rows[in_turn]
            steps = analysis.advance.steps(rows, owner).astype(np.int32)
            step = np.where(steps == 0, 0, steps - 1 + _STEPS)
            mark = np.where(analysis.advance.faults(rows), _FAULT, _UNMARKED)
            own = np.array(sizes[first:last], dtype=np.int64)
            yield Strays(first, [*_WORDS], own, rows, counts[first:last][owner].astype(np.int64), step, mark)

    def sheaves(self) -> Iterator[Sheaf]:
        """Make the timelines, some thousand rows of them at a time."""
        report, alignment = self._analysis.report, self._analysis.alignment
        lacking = [gap.message for gap in report.gaps]
        assumed = any(clock.assumed for clock in report.clocks)
        titles = {finding.rule: finding.title for finding in report.findings}
        sizes_of_groups = np.array([len(group) for group in self._analysis.strays], dtype=np.int64)
        lines_before = np.concatenate(([0], np.cumsum(sizes_of_groups[self._groups])))[self._groups_of]
        more = np.diff(lines_before).tolist()
        for first, last in blocks(self._sizes.tolist(), _ROWS_AT_ONCE):
            places = self._order[self._bounds[first] : self._bounds[last]]
            own = self._own(places) + self._others(first, last, places)
            at = moments(self._analysis.events, own.row)
            own = own[np.lexsort((at, own.of))]
            bare = []
            for number in range(first, last):
                its = self._order[self._bounds[number] : self._bounds[number + 1]].tolist()
                enrollments = [replace(report.enrollments[place], records=[]) for place in its]
                causes = {rule: titles[rule] for e in enrollments for rule in e.causes if rule in titles}
                name = self._wanted[number]
                one = Timeline(name, report.bundle, alignment.display_zone, enrollments, [], causes, lacking, assumed)
                beyond = int(self._analysis.candidates.beyond[its].sum())
                told = {"aligned": report.aligned, "ahead_ms": report.ahead_ms, "more": more[number], "beyond": beyond}
                bare.append(replace(one, **told))
            ids: list[str | None] = [report.enrollments[place].id for place in places.tolist()]
            sizes = np.bincount(own.of - first, minlength=last - first).tolist()
            columns = own.row, own.enrollment, own.confidence, own.step, own.mark
            begin, end = self._groups_of[first], self._groups_of[last]
            groups_of = np.diff(self._groups_of[first : last + 1]).tolist()
            yield Sheaf(bare, sizes, [*_WORDS, *ids], *columns, groups_of, self._groups[begin:end])

    def _own(self, places: np.ndarray) -> _Own:
        """Give the rows of enrollments (by their places in the report), each one's in its order."""
        analysis = self._analysis
        stories = [analysis.stories[place] for place in places.tolist()]
        rows, owner = gathered([story.order for story in stories])
        of = self._of_enrollment[places][owner]
        steps = analysis.advance.steps(rows, owner)
        confidence = np.full(len(rows), _CERTAIN, dtype=np.int32)
        some = [number for number, story in enumerate(stories) if story.likely]
        if some:
            bounds = np.searchsorted(owner, np.arange(len(stories) + 1))
            for number in some:
                span = slice(bounds[number], bounds[number + 1])
                confidence[span][np.isin(rows[span], list(stories[number].likely))] = _LIKELY
        failed = np.array([story.outcome != "issued" for story in stories], dtype=bool)
        fault = analysis.advance.faults(rows) & failed[owner]
        return _Own(
            rows,
            of,
            owner + len(_WORDS),
            confidence,
            np.where(steps == 0, 0, steps.astype(np.int32) - 1 + _STEPS),
            np.where(fault, _FAULT, _UNMARKED),
        )

    def _others(self, first: int, last: int, places: np.ndarray) -> _Own:
        """Give what the devices say besides, and what explains their failures from outside, in the order of time."""
        analysis, table = self._analysis, self._analysis.events
        wanted = (self._of_device >= first) & (self._of_device < last)
        said = np.flatnonzero(wanted[table.device] & ~self._taken)
        of_said = self._of_device[table.device[said]].astype(np.int64)
        # Enrollments that failed for one start have one array.
        pairs: dict[tuple[int, int], np.ndarray] = {}
        for place, of in zip(places.tolist(), self._of_enrollment[places].tolist(), strict=True):
            proof = analysis.cause_rows.get(place)
            if proof is not None:
                pairs[of, id(proof)] = proof
        cause, pair = gathered(list(pairs.values()))
        of_cause = np.array([of for of, _ in pairs], dtype=np.int64)[pair] if pairs else pair
        # A device and a row in one number: of two starts that share a line it is shown once.
        causes = np.unique(of_cause * table.count + cause)
        row = np.concatenate((said, causes % max(table.count, 1)))
        of = np.concatenate((of_said, causes // max(table.count, 1)))
        mark = np.where(analysis.advance.faults(row), _FAULT, _UNMARKED)
        mark[np.isin(of * table.count + row, causes)] = _CAUSE
        nothing = np.zeros(len(row), dtype=np.int64)
        order = np.lexsort((table.line[row], table.member[row], table.source[row]))
        return _Own(row, of, nothing, nothing, nothing, mark)[order]
