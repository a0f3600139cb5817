"""The event table as the clocks see it: stamps, zones and calls as arrays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import APART, DAY_MS, Attempt, Trace
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capflog.table import Table

#: Times are told from year 2 to year 9998, so that zones and days can be added within the years that datetime has. (ms)
FIRST_MS, LAST_MS = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (2, 9999))

#: Zones are whole quarters of an hour (IANA time zone database); local minus UTC lies between these. (ms)
QUARTER_MS = 900_000

ZONE_MIN, ZONE_MAX = -12 * 3_600_000, 14 * 3_600_000


#: So many rows are gone through at a time: what is made of them on the way stays in the processor's cache.
_PIECE = 1 << 16

#: What tells that CES is at work, and the pages that it asks the CA for.
_AT_WORK = ("curl.ok", "curl.failed", "curl.data")
_PAGES = {"login": r"/certsrv/?$", "form": "certrqxt", "chain": r"certnew\.p7b", "certificate": r"certnew\.cer"}


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

    def __init__(self, table: Table) -> None:
        self.table = table
        self._asked: dict[str, np.ndarray] = {}
        self._stamped: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def of(self, source: str, *kinds: str) -> np.ndarray:
        """List the rows of a source (and of these kinds), in order."""
        return self.table.rows_of(*kinds, source=source) if kinds else self.table.of_source(source)

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
        return [self.table.members[member] for member in sorted(found)]

    def zones(self) -> list[int]:
        """List the zones that libEST's access records carry, most frequent first, in s."""
        zones = self.table.numbers("zone", self.table.rows_of("est.access"))
        zones = zones[zones != NONE]
        if len(zones) and (zones == zones[0]).all():
            return [int(zones[0])]
        found, first, often = np.unique(zones, return_index=True, return_counts=True)
        zones_by_number: list[int] = found[np.lexsort((first, -often))].tolist()
        return zones_by_number

    @cached_property
    def ces_moments(self) -> np.ndarray:
        """Node's local times at which CES was at work on a request, in ms, sorted."""
        table = self.table
        stamps = self.stamped("nginx", *_AT_WORK)[1]
        rows = self.of("nginx", "est.access")
        utc = told(table.numbers("utc", rows))
        rows, utc = rows[utc != NONE], utc[utc != NONE]
        enrolling = self.holding("url", rows, lambda url: "enroll" in url)
        received = utc[enrolling] + table.numbers("zone", rows[enrolling]) * 1000
        return np.sort(np.concatenate([stamps, received]), kind="stable")

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

    def starts_of_capf(self, trace: Trace) -> np.ndarray:
        """Windows (n, 2) from CAPF's reading of its parameters to its report that CES was started, in trace ms."""
        table = self.table
        asks = trace.positions(table.rows_of("ces.start.requested"))
        reads = trace.positions(table.rows_of("capf.init", "capf.param"))
        begun = first_since(reads, asks)
        asks, begun = asks[begun >= 0], begun[begun >= 0]
        return np.stack([trace.unrolled[begun], trace.unrolled[asks]], axis=1)

    def iis(self, step: str) -> np.ndarray:
        """Stamps of CES's requests of one kind that IIS answered well, in ms, each once, sorted."""
        if step not in self._asked:
            rows, stamps = self._of_ces
            asked = re.compile(_PAGES[step], re.IGNORECASE)
            there = self.holding("url", rows, asked.search)
            status = self.table.numbers("status", rows[there])
            self._asked[step] = each_once(stamps[there][(status >= 200) & (status < 400)])
        return self._asked[step]

    @cached_property
    def _of_ces(self) -> tuple[np.ndarray, np.ndarray]:
        """IIS's rows that may be of CES's requests, and their stamps."""
        rows, stamps = self.stamped("iis")
        own = self.holding("agent", rows, lambda agent: agent.startswith("CiscoRA"), none=True)
        return rows[own], stamps[own]


def first_since(marks: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Give the first mark between each end and the end before it, -1 where none is; both are sorted, none is both."""
    if not len(marks):
        return np.full(len(ends), -1)
    at = np.searchsorted(marks, np.append(-1, ends[:-1])[: len(ends)])
    first = marks[np.minimum(at, len(marks) - 1)]
    return np.where((at < len(marks)) & (first < ends), first, -1)


@dataclass(frozen=True, slots=True)
class Calls:
    """CAPF's calls of EST: (n, 2), the call and its answer in ms; ``issued``: those that were answered well."""

    all: np.ndarray
    issued: np.ndarray

    def of_folder(self, number: int) -> Calls:
        """Give the calls of the n-th folder's trace, since its own first midnight."""
        parts = [p[(p[:, 0] + DAY_MS) // APART == number] - number * APART for p in (self.all, self.issued)]
        return Calls(*parts)

    @staticmethod
    def together(parts: Sequence[Calls]) -> Calls:
        """Put the calls of several traces together."""
        none = np.zeros((0, 2), dtype=np.int64)
        return Calls(
            np.concatenate([none, *(part.all for part in parts)]),
            np.concatenate([none, *(part.issued for part in parts)]),
        )

    def later(self, ms: int) -> Calls:
        """Give the same calls on another day."""
        return Calls(self.all + ms, self.issued + ms)


def calls_of(log: Log, trace: Trace, attempts: Sequence[Attempt]) -> Calls:
    """Give the calls of the attempts that have both ends, in trace ms."""
    ends = np.empty((len(attempts), 2), dtype=np.int64)
    ends[:, 0] = [-1 if a.call is None else a.call for a in attempts]
    ends[:, 1] = [-1 if a.result is None else a.result for a in attempts]
    ends = ends[(ends >= 0).all(axis=1)]
    windows = trace.unrolled[ends]
    results = trace.rows[ends[:, 1]]
    named, words = log.table.codes("error", results)
    issued = (named == words.code("EST_ERR_NONE")) | ((named < 0) & (log.table.numbers("code", results) == 0))
    return Calls(windows, windows[issued])


def midnight(ms: int) -> int:
    return ms // DAY_MS * DAY_MS


def ms_of(when: datetime) -> int:
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
