"""The bundle as a whole, as conditions ask about it: which logs there are, its clocks, and how many phones it hits."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.conditions import crowded
from capflog.facts import ordered
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from capflog.conditions import Condition, EventTest, Fact, Match, Test
    from capflog.model import Clock
    from capflog.starts import Start
    from capflog.steps import Columns
    from capflog.story import Story
    from capflog.table import Table

#: Of the enrollments that prove something so many are shown: more prove no more.
_SHOWN = 6


class World:
    """A bundle. ``sources``: the logs that it has. ``rows_of``: gives the rows that fit a test."""

    def __init__(
        self,
        table: Table,
        sources: Collection[str],
        stories: Sequence[Story],
        clocks: Sequence[Clock],
        reached: Callable[[int], str | None],
        rows_of: Callable[[EventTest], np.ndarray],
    ) -> None:
        self.sources = frozenset(sources)
        self._table, self._stories, self._clocks = table, stories, clocks
        self._reached, self._rows_of = reached, rows_of
        self._begin = np.array([story.begin for story in stories], dtype=np.int64)
        self._columns: dict[str, tuple[np.ndarray, list[Any]]] = {}

    def offset(self, source: str, holds: Callable[[Any], bool]) -> Match | None:
        """Give the rows that prove how far the clocks of a log are off, where that is known and ``holds`` of one."""
        found: Match = []
        for clock in self._clocks:
            if clock.source == source and clock.offset_seconds is not None and holds(abs(clock.offset_seconds)):
                found += [{"kind": "clock", "at": None, "row": row} for row in clock.proof] or [{"kind": "clock"}]
        return found or None

    def spread(self, least: int, tests: Sequence[Test], seconds: float | None, *, devices: bool) -> Match | None:
        """Give the enrollments that fit where there are so many of them, or of so many devices, in so many seconds."""
        own = np.flatnonzero(self._fitting(tests))
        own = own[np.argsort(self._begin[own], kind="stable")]
        if devices:
            own = np.array([n for n in own.tolist() if self._stories[n].device is not None], dtype=np.int64)
        if len(own) < least:
            return None
        if seconds is None:
            chosen = own
        elif not devices:
            spell = crowded(self._begin[own].tolist(), least, seconds)
            if spell is None:
                return None
            chosen = own[spell[0] : spell[1]]
        else:
            found = self._spell_of_devices(own, least, seconds)
            if found is None:
                return None
            chosen = found
        if devices and len({self._stories[n].device for n in chosen.tolist()}) < least:
            return None
        return self._shown(chosen)

    def _spell_of_devices(self, own: np.ndarray, least: int, seconds: float) -> np.ndarray | None:
        """Give those of the first spell of so many seconds in which enough devices are."""
        times = self._begin[own]
        inside: dict[str | None, int] = {}
        first = 0
        for last, number in enumerate(own.tolist()):
            device = self._stories[number].device
            inside[device] = inside.get(device, 0) + 1
            while times[last] - times[first] > seconds * 1000:
                gone = self._stories[int(own[first])].device
                inside[gone] -= 1
                if not inside[gone]:
                    del inside[gone]
                first += 1
            if len(inside) >= least:
                behind = int(np.searchsorted(times, times[first] + seconds * 1000, side="right"))
                return own[first:behind]
        return None

    def every(self, chosen: Sequence[Test], since: EventTest | None, tests: Sequence[Test]) -> Match | None:
        """Give the chosen enrollments that begin after the last such event, where all of them, one at least, fit."""
        own = self._fitting(chosen)
        proof: Match = []
        if since is not None:
            rows = self._rows_of(since)
            times = self._table.time[rows]
            rows, times = rows[times != NONE], times[times != NONE]
            if not len(rows):
                return None
            last = int(times.argmax())
            own &= self._begin > times[last]
            proof = [{"kind": since.kind, "at": int(times[last]), "row": int(rows[last])}]
        if not own.any() or not self._fitting(tests)[own].all():
            return None
        return proof + self._shown(np.flatnonzero(own))

    def _shown(self, numbers: np.ndarray) -> Match:
        """Make facts of enrollments: each has its number as ``story``, the first few the row in which it ends."""
        found: Match = []
        for place, number in enumerate(numbers.tolist()):
            fact: dict[str, Any] = {"kind": "enrollment", "at": int(self._begin[number]), "story": number}
            order = self._stories[number].order
            if place < _SHOWN and len(order):
                ends = order[np.isin(self._table.kind[order], self._results)]
                fact["row"] = int(ends[0] if len(ends) else order[-1])
            found.append(fact)
        return found

    @property
    def _results(self) -> list[int]:
        return [code for code, kind in enumerate(self._table.kinds) if kind == "est.enroll.result"]

    def _fitting(self, tests: Sequence[Test]) -> np.ndarray:
        """Tell of each enrollment whether it fits; each value is asked of once."""
        fits = np.ones(len(self._stories), dtype=bool)
        for test in tests:
            places, values = self._column(test.field)
            fits &= np.array([test.holds(value) for value in values], dtype=bool)[places]
        return fits

    def _column(self, name: str) -> tuple[np.ndarray, list[Any]]:
        if name not in self._columns:
            numbers: dict[Any, int] = {}
            places = np.array(
                [numbers.setdefault(self._value(n, name), len(numbers)) for n in range(len(self._stories))],
                dtype=np.int64,
            )
            self._columns[name] = places, list(numbers)
        return self._columns[name]

    def _value(self, number: int, name: str) -> Any:
        story = self._stories[number]
        if name == "reached":
            return self._reached(number)
        if name == "waited":
            return None if story.answered is None else (story.answered - story.begin) / 1000
        if name == "previous":
            return self.previous[number]
        return getattr(story, name)

    @cached_property
    def previous(self) -> list[str | None]:
        """Of each enrollment how the same device's last one before it ended; None: there is none, or no device."""
        found: list[str | None] = [None] * len(self._stories)
        last: dict[str, str] = {}
        for number in np.argsort(self._begin, kind="stable").tolist():
            story = self._stories[number]
            if story.device is not None:
                found[number] = last.get(story.device)
                last[story.device] = story.outcome
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """What had been told up to a time: CAPF's service parameters by name, and the certificates that CES trusts.

    Each is a fact with its row and ``value``. ``trusted`` is empty where CES printed no list.
    """

    parameters: Mapping[str, Fact]
    trusted: Sequence[Fact]


class History:
    """When CAPF read its service parameters, and when CES printed what it trusts: each start of theirs is a version.

    ``conditions``: those that may ask of it; other parameters than they name are not kept.
    """

    def __init__(
        self, columns: Columns, table: Table, starts: Sequence[Start], conditions: Iterable[Condition]
    ) -> None:
        names = {name for condition in conditions for name in condition.parameters}
        rows = ordered(columns, table, table.rows_of("capf.param").tolist())
        read: dict[str, Fact] = {}
        self._read: list[tuple[int, dict[str, Fact]]] = []
        for row in rows:
            name, value = table.word("parameter", row), table.word("value", row)
            if name is None or name not in names or value is None:
                continue
            number: str | int = int(value) if value.isascii() and value.isdecimal() and len(value) <= 9 else value
            known = read.get(name)
            read[name] = {"kind": "capf.param", "at": int(table.time[row]), "row": row, "value": number}
            # (Most are read as they were before: that is no new version.)
            if self._read and known is not None and known["value"] == number:
                continue
            # (What bears no time was read no earlier than what stands before it.)
            at = max(int(table.time[row]), self._read[-1][0] if self._read else NONE)
            if self._read and self._read[-1][0] == at:
                self._read[-1] = (at, dict(read))
            else:
                self._read.append((at, dict(read)))
        kinds = table.kinds.index("ces.cert.added") if "ces.cert.added" in table.kinds else -1
        self._lists: list[tuple[int, list[Fact]]] = []
        for start in starts:
            own = np.asarray(start.rows, dtype=np.int64)
            added = own[table.kind[own] == kinds]
            if not len(added):
                continue
            known_times = table.latest[own][table.latest[own] != NONE]
            at = int(known_times.max()) if len(known_times) else NONE
            facts: list[Fact] = [
                {"kind": "ces.cert.added", "at": None, "row": row, "value": table.word("subject", row)}
                for row in added.tolist()
            ]
            self._lists.append((at, facts))
        self._lists.sort(key=lambda pair: pair[0])
        self._read_at, self._listed_at = [at for at, _ in self._read], [at for at, _ in self._lists]

    def version(self, time: int | None) -> tuple[int, int]:
        """Give the version of what was told up to a time, in ms (None: all of it).

        Two numbers, of the parameters and of the list: 0 is nothing yet.
        """
        if time is None or time == NONE:
            return len(self._read), len(self._lists)
        return bisect_right(self._read_at, time), bisect_right(self._listed_at, time)

    def of(self, version: tuple[int, int]) -> Told:
        """Give what was told in a version."""
        read, lists = version
        return Told(self._read[read - 1][1] if read else {}, self._lists[lists - 1][1] if lists else [])
