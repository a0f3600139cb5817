"""The event table as the clocks see it: stamps, zones and calls as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import APART, Attempt, Trace
from capflog.rotation import DAY_MS
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capflog.table import Table
    from capflog.zones import Zone

#: Times are told from year 2 to year 9998, so that zones and days can be added within the years that datetime has. (ms)
FIRST_MS, LAST_MS = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (2, 9999))

#: So many rows are gone through at a time: what is made of them on the way stays in the processor's cache.
_PIECE = 1 << 16

#: What tells that CES is at work.
_AT_WORK = ("curl.ok", "curl.failed", "curl.data")


def told(times: np.ndarray) -> np.ndarray:
    """Give times in ms, those that no report can tell as NONE."""
    return np.where((times >= FIRST_MS) & (times < LAST_MS), times, NONE)


def each_once(values: np.ndarray) -> np.ndarray:
    """Give the distinct of some numbers, sorted: what numpy.unique does, without what it imports at its first call."""
    if len(values) > 1 and not (values[1:] >= values[:-1]).all():
        # What is nearly in order is put in order fastest by this kind.
        values = np.sort(values, kind="stable")
    first = np.ones(len(values), dtype=bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    found: np.ndarray = values[first]
    return found


class Log:
    """What the clocks need of the table, as arrays of the rows that bear it."""

    def __init__(self, table: Table, members: np.ndarray | None = None) -> None:
        """Look at a table; ``members``: tells of each member whether it is looked at (None: all are)."""
        self.table = table
        self._members = members
        self._stamped: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def forget(self) -> None:
        """Have what libEST's access records say be read anew."""
        self.__dict__.pop("accesses", None)
        self.__dict__.pop("ces_moments", None)

    def mine(self, rows: np.ndarray) -> np.ndarray:
        """Give those of the rows whose members are looked at."""
        return rows if self._members is None else rows[self._members[self.table.member[rows]]]

    def of(self, source: str, *kinds: str) -> np.ndarray:
        """List the rows of a source (and of these kinds), in order."""
        return self.mine(self.table.rows_of(*kinds, source=source) if kinds else self.table.of_source(source))

    def stamped(self, source: str, *kinds: str) -> tuple[np.ndarray, np.ndarray]:
        """Give the rows of a source (and of these kinds) whose stamps can be told, and the stamps in ms."""
        found = None if kinds else self._stamped.get(source)
        if found is None:
            rows = self.of(source, *kinds)
            stamps = told(self.table.stamp[rows])
            known = stamps != NONE
            found = (rows, stamps) if known.all() else (rows[known], stamps[known])
            if not kinds:
                self._stamped[source] = found
        return found

    def members(self, source: str) -> list[str]:
        """Name the members of a source that hold a stamp that can be told."""
        found: set[int] = set()
        for begin, end, member, _ in self.table.runs_of(source).tolist():
            for at in range(begin, end, _PIECE):
                if member in found:
                    break
                if (told(self.table.stamp[at : min(at + _PIECE, end)]) != NONE).any():
                    found.add(member)
        return [
            self.table.members[member] for member in sorted(found) if self._members is None or self._members[member]
        ]

    @cached_property
    def accesses(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """libEST's access records: their rows, when each request came in (UTC), and the zone that it names; in ms."""
        rows = self.of("nginx", "est.access")
        utc, zone = told(self.table.numbers("utc", rows)), self.table.numbers("zone", rows)
        known = (utc != NONE) & (zone != NONE)
        return rows[known], utc[known], zone[known] * 1000

    @cached_property
    def ces_moments(self) -> np.ndarray:
        """Node's local times at which CES was at work on a request, in ms, sorted."""
        stamps = self.stamped("nginx", *_AT_WORK)[1]
        rows, utc, zone = self.accesses
        enrolling = self.holding("url", rows, lambda url: "enroll" in url)
        return np.sort(np.concatenate([stamps, (utc + zone)[enrolling]]), kind="stable")

    def holding(
        self, name: str, rows: np.ndarray, wanted: Callable[[str], object], *, none: bool = False
    ) -> np.ndarray:
        """Tell of each row whether its word is wanted; ``none``: whether a row is that bears no word."""
        codes, words = self.table.codes(name, rows)
        used = np.zeros(len(words) + 1, dtype=bool)
        used[codes] = True
        answer = np.zeros(len(words) + 1, dtype=bool)
        answer[-1] = none
        # There are many rows, but few words that they bear.
        for code in np.flatnonzero(used[:-1]).tolist():
            answer[code] = bool(wanted(words[code]))
        found: np.ndarray = answer[codes]
        return found

    def starts_of_capf(self, trace: Trace) -> Windows:
        """CAPF's starts of CES: from its reading of its parameters to its report that CES was started, in trace ms."""
        table = self.table
        asks = trace.positions(table.rows_of("ces.start.requested"))
        reads = trace.positions(table.rows_of("capf.init", "capf.param"))
        begun = first_since(reads, asks)
        asks, begun = asks[begun >= 0], begun[begun >= 0]
        return Windows(np.stack([trace.unrolled[begun], trace.unrolled[asks]], axis=1), begun)

    def utc_of_iis(self, rows: np.ndarray, zone: Zone | None) -> np.ndarray:
        """Give the stamps of IIS's rows in UTC, in ms; ``zone``: what they are told to be of, None: UTC."""
        stamps = told(self.table.stamp[rows])
        return stamps if zone is None else np.where(stamps == NONE, NONE, zone.utc(stamps))


def first_since(marks: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Give the first mark between each end and the end before it, -1 where none is; both are sorted, none is both."""
    if not len(marks):
        return np.full(len(ends), -1)
    at = np.searchsorted(marks, np.append(-1, ends[:-1])[: len(ends)])
    first = marks[np.minimum(at, len(marks) - 1)]
    return np.where((at < len(marks)) & (first < ends), first, -1)


@dataclass(frozen=True, slots=True)
class Windows:
    """Stretches of CAPF's trace: (n, 2), from when to when, in trace ms; and the position of the first line of each."""

    windows: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True, slots=True)
class Calls:
    """CAPF's calls of EST, in the order of the trace: (n, 2), the call and its answer, in trace ms.

    ``positions``: (n, 2), where both stand in the trace; ``issued``: whether it was answered well.
    """

    windows: np.ndarray
    positions: np.ndarray
    issued: np.ndarray

    def __len__(self) -> int:
        return len(self.windows)

    def of_folder(self, number: int, begin: int) -> Calls:
        """Give the calls of the n-th folder's trace, which begins at a position, since its own first midnight."""
        own = (self.windows[:, 0] + DAY_MS) // APART == number
        return Calls(self.windows[own] - number * APART, self.positions[own] - begin, self.issued[own])


def calls_of(log: Log, trace: Trace, attempts: Sequence[Attempt]) -> Calls:
    """Give the calls of the attempts that have both ends, in trace ms."""
    ends = np.empty((len(attempts), 2), dtype=np.int64)
    ends[:, 0] = [-1 if a.call is None else a.call for a in attempts]
    ends[:, 1] = [-1 if a.result is None else a.result for a in attempts]
    ends = ends[(ends >= 0).all(axis=1)]
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    results = trace.rows[ends[:, 1]]
    named, words = log.table.codes("error", results)
    issued = (named == words.code("EST_ERR_NONE")) | ((named < 0) & (log.table.numbers("code", results) == 0))
    return Calls(trace.unrolled[ends], ends, issued)


def ms_of(when: datetime) -> int:
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
