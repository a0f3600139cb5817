"""The event table as the clocks see it: stamps, zones and calls as arrays."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import APART, DAY_MS, Attempt, Trace
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.table import Table

#: Times are told from year 2 to year 9998, so that zones and days can be added within the years that datetime has. (ms)
FIRST_MS, LAST_MS = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (2, 9999))

#: Zones are whole quarters of an hour (IANA time zone database); local minus UTC lies between these. (ms)
QUARTER_MS = 900_000

ZONE_MIN, ZONE_MAX = -12 * 3_600_000, 14 * 3_600_000


def ints(table: Table, column: str) -> np.ndarray:
    return table.stamp.copy() if column == "stamp" else table.numbers(column)


def times(table: Table, column: str) -> np.ndarray:
    """Give a column of times in ms, without those that no report can tell."""
    times = ints(table, column)
    return np.where((times >= FIRST_MS) & (times < LAST_MS), times, NONE)


@dataclass(slots=True)
class Log:
    """The table's columns that the clocks need, as arrays."""

    table: Table
    kind: np.ndarray
    source: np.ndarray
    stamp: np.ndarray
    function: np.ndarray
    url: np.ndarray
    utc: np.ndarray
    zone: np.ndarray

    def of(self, source: str) -> np.ndarray:
        return np.flatnonzero(self.source == source)

    def zones(self) -> list[int]:
        """List the zones that libEST's access records carry, most frequent first, in s."""
        rows = np.flatnonzero((self.kind == "est.access") & (self.zone != NONE))
        return [int(z) for z, _ in Counter(self.zone[rows].tolist()).most_common()]

    def ces_moments(self) -> np.ndarray:
        """Node's local times at which CES was at work on a request, in ms, sorted."""
        nginx = self.source == "nginx"
        at_work = np.isin(self.kind, ["curl.ok", "curl.failed", "curl.data"])
        stamped = self.stamp[nginx & at_work & (self.stamp != NONE)]
        enrolling = np.array([isinstance(url, str) and "enroll" in url for url in self.url], dtype=bool)
        access = nginx & (self.kind == "est.access") & (self.utc != NONE) & enrolling
        return np.sort(np.concatenate([stamped, self.utc[access] + self.zone[access] * 1000]))

    def starts_of_capf(self, trace: Trace) -> np.ndarray:
        """Windows (n, 2) from CAPF's reading of its parameters to its report that CES was started, in trace ms."""
        windows = []
        begun = None
        for p, row in enumerate(trace.rows):
            kind = self.kind[row]
            if kind in ("capf.init", "capf.param"):
                begun = begun if begun is not None else trace.unrolled[p]
            elif kind == "ces.start.requested":
                if begun is not None:
                    windows.append((begun, trace.unrolled[p]))
                begun = None
        return np.array(windows, dtype=np.int64).reshape(-1, 2)

    def iis(self, step: str) -> np.ndarray:
        """Stamps of CES's requests of one kind that IIS answered well, in ms."""
        rows = self.of("iis")
        agents = self.table.words("agent", rows)
        rows = rows[[agent is None or agent.startswith("CiscoRA") for agent in agents]]
        status = self.table.numbers("status", rows)
        paths = {"login": r"/certsrv/?$", "form": "certrqxt", "chain": r"certnew\.p7b", "certificate": r"certnew\.cer"}
        asked = re.compile(paths[step], re.IGNORECASE)
        path = np.array(
            [bool(url) and asked.search(url) is not None for url in self.table.words("url", rows)], dtype=bool
        )
        good = (status >= 200) & (status < 400)
        stamp = self.stamp[rows]
        return np.unique(stamp[path & good & (stamp != NONE)])


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
    whole = [a for a in attempts if a.call is not None and a.result is not None]
    rows = [(trace.unrolled[a.call], trace.unrolled[a.result]) for a in whole]
    windows = np.array(rows, dtype=np.int64).reshape(-1, 2)
    errors = log.table.words("error")
    codes = ints(log.table, "code")
    issued = [
        errors[row] == "EST_ERR_NONE" or (not isinstance(errors[row], str) and codes[row] == 0)
        for row in (trace.rows[a.result] for a in whole)
    ]
    return Calls(windows, windows[np.array(issued, dtype=bool)])


def midnight(ms: int) -> int:
    return ms // DAY_MS * DAY_MS


def ms_of(when: datetime) -> int:
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
