"""Requests to CES as error.log shows them: NGINX's records of a connection, and libEST's lines among them.

libEST's lines bear no connection. They go to the request whose worker wrote around them; where several are under way,
to the one whose work is done, or they are marked as unclear.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from capflog.cutting import ASKED, CONNECTED, ENROLLING, TRAILERS, UNCLEAR, cut
from capflog.rows import NONE
from capflog.steps import of_kinds
from capflog.story import CHAIN_GAP_MS, SLACK_MS

if TYPE_CHECKING:
    from capflog.cutting import Found
    from capflog.steps import Columns


@dataclass(slots=True)
class Exchanges:
    """Requests to CES as error.log shows them, as columns with an item for each; times in ms since 1970 UTC.

    ``bounds`` has an item more: the rows of the n-th request are ``rows[bounds[n]:bounds[n + 1]]``, in the order of
    their file. ``client`` is a code of the table's words, -1 where no line names it; ``status`` and times may be NONE.
    """

    rows: np.ndarray
    bounds: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    client: np.ndarray
    status: np.ndarray
    error: list[str | None]
    """What libEST says why it refused the request."""
    challenged: np.ndarray
    """It came without credentials and was asked for them."""
    serious: np.ndarray
    """It has lines of libEST's enrollment or of CES's own work; a stranger at the port has not."""
    curl_failed: np.ndarray
    connected: np.ndarray
    """NGINX's connection is known."""
    unclear: np.ndarray
    """It was answered before CES did anything for it, while others were under way: the answer may be theirs."""

    def rows_of(self, number: int) -> np.ndarray:
        """List the rows of a request, in the order of their file."""
        return self.rows[self.bounds[number] : self.bounds[number + 1]]


_REFUSALS = frozenset({"est.enroll.failed", "est.response", "est.request.failed"})

#: What shows that CES was at work for a request.
_AT_WORK = frozenset({"curl.ok", "curl.failed", "curl.data", "est.auth.failed"})

#: What libEST's server logs as the status of an answer that the application wrote: a success (seen in 2.1.0).
UNSET_STATUS = -1


def find_exchanges(columns: Columns, of_starts: np.ndarray) -> Exchanges:
    """Cut error.log into requests, and read what their rows say; ``of_starts``: rows of CES's starts, sorted."""
    return _described(columns, cut(columns, of_starts))


def _described(columns: Columns, found: Found) -> Exchanges:
    """Read what the rows of each request say of it; those that nothing tells to be enrollments are left out."""
    table = columns.table
    owner, rows = found.owner, found.rows
    challenged, serious = (found.known & ASKED) != 0, (found.known & ENROLLING) != 0
    serious[owner[of_kinds(columns, rows, _AT_WORK | _REFUSALS)]] = True
    kept = challenged | serious
    owner, rows = (np.cumsum(kept) - 1)[owner[kept[owner]]], rows[kept[owner]]
    in_turn = np.argsort(owner, kind="stable")
    owner, rows = owner[in_turn], rows[in_turn]
    count = int(np.count_nonzero(kept))
    bounds = np.searchsorted(owner, np.arange(count + 1))

    # Of several rows that say the same thing of a request the last one counts.
    curl_failed = np.zeros(count, dtype=bool)
    curl_failed[owner[of_kinds(columns, rows, {"curl.failed"})]] = True
    status = np.full(count, NONE)
    access = of_kinds(columns, rows, {"est.access"})
    status[owner[access]] = table.numbers("status", rows[access])
    error: list[str | None] = [None] * count
    refused = of_kinds(columns, rows, _REFUSALS)
    for number, (name, _) in zip(owner[refused].tolist(), columns.est_errors(rows[refused]), strict=True):
        error[number] = name
    client = np.full(count, -1, dtype=np.int32)
    codes, _ = table.codes("client", rows)
    named = (codes >= 0) & (codes != table.vocabulary.of("client").code(""))
    client[owner[named]] = codes[named]

    moments = columns.moments(rows)
    begin = _of_each(np.minimum, np.where(moments == NONE, _NEVER, moments), bounds)
    begin[begin == _NEVER] = NONE
    at, high = columns.time[rows], columns.latest[rows]
    until = np.where(high == NONE, at, high)
    until = np.where((until == NONE) | (at == NONE), until, np.minimum(until, at + 999))
    # A line without a stamp lies somewhere after the stamp before it: that may be another request's.
    trailers = of_kinds(columns, rows, TRAILERS)
    until[trailers[high[trailers] == NONE]] = NONE
    return Exchanges(
        rows,
        bounds,
        begin,
        _of_each(np.maximum, until, bounds),
        client,
        status,
        error,
        challenged[kept],
        serious[kept],
        curl_failed,
        (found.known[kept] & CONNECTED) != 0,
        (found.known[kept] & UNCLEAR) != 0,
    )


_NEVER = np.iinfo(np.int64).max


def _of_each(fold: np.ufunc, values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Fold the values of each request into one; every request has some."""
    found: np.ndarray = fold.reduceat(values, bounds[:-1]) if len(values) else values
    return found


@dataclass(frozen=True, slots=True)
class Pairs:
    """Requests that belong together, by their numbers: the challenge and the request; twice the same without one."""

    first: np.ndarray
    last: np.ndarray

    def chosen(self, which: np.ndarray) -> Pairs:
        """Give some of them."""
        return Pairs(self.first[which], self.last[which])


def pair_up(exchanges: Exchanges) -> tuple[Pairs, list[int]]:
    """Put each challenge (a first request without credentials, answered 401) before the request that follows on it.

    Gives back the pairs in the order of time and, too, the challenges of which several stood before a request, so that
    nothing tells which is its own.
    """
    order = np.flatnonzero(exchanges.begin != NONE)
    order = order[np.lexsort((exchanges.rows[exchanges.bounds[order]], exchanges.begin[order]))]
    begins = exchanges.begin[order].tolist()
    only_asked = (exchanges.challenged & ~exchanges.serious)[order]
    # Of each request the challenge that is its own: itself where it has none, -1 where it is only a challenge.
    own = np.arange(len(order))
    own[only_asked] = -1
    waiting: dict[int, _Waiting] = {}
    unclear: list[int] = []
    taken: list[int] = []
    takers: list[int] = []
    clients = exchanges.client[order].tolist()
    for place, (begin, client, asked) in enumerate(zip(begins, clients, only_asked.tolist(), strict=True)):
        if asked:
            if client not in waiting:
                waiting[client] = _Waiting()
            waiting[client].add(place, begin)
            continue
        # Without a client's address it may be anybody's.
        queues = waiting.values() if client < 0 else (waiting.get(client), waiting.get(-1))
        near = [queue for queue in queues if queue is not None and queue.since(begin - CHAIN_GAP_MS)]
        if not near:
            continue
        latest = near[0] if len(near) == 1 else max(near, key=_Waiting.latest)
        # libEST's client comes again at once: of challenges that are well apart the last one is meant.
        since = begins[latest.latest()] - 2 * SLACK_MS
        count = latest.count(since) if len(near) == 1 else sum([queue.count(since) for queue in near])
        if count > 1:
            confused = [queue.confuse() for queue in near]
            unclear += confused[0] if len(near) == 1 else sorted(chain.from_iterable(confused))
        else:
            taken.append(latest.take())
            takers.append(place)
    own[takers] = taken
    last = np.flatnonzero(own >= 0)
    # Who was asked for credentials and did not come again stands alone.
    alone = only_asked.copy()
    alone[taken] = False
    alone[unclear] = False
    alone = np.flatnonzero(alone)
    first, last = np.concatenate([own[last], alone]), np.concatenate([last, alone])
    in_turn = np.argsort(exchanges.begin[order[first]], kind="stable")
    return Pairs(order[first[in_turn]], order[last[in_turn]]), order[list(dict.fromkeys(unclear))].tolist()


class _Waiting:
    """Challenges of one client that nothing has followed yet, in the order of time, by their places in that order."""

    __slots__ = ("_begins", "_confused", "_first", "_gone", "_places")

    def __init__(self) -> None:
        self._places: list[int] = []
        self._begins: list[int] = []
        self._gone = 0
        self._first = 0
        self._confused = (0, 0)
        """From which on, and up to which, they are known to be confused with others."""

    def add(self, place: int, begin: int) -> None:
        """Take one more, the latest."""
        self._places.append(place)
        self._begins.append(begin)

    def since(self, begin: int) -> bool:
        """Forget those before ``begin``; tell whether any is left."""
        self._gone = bisect_left(self._begins, begin, self._gone)
        return self._gone < len(self._begins)

    def latest(self) -> int:
        """Give the last one."""
        return self._places[-1]

    def take(self) -> int:
        """Take the last one away."""
        self._begins.pop()
        low, high = self._confused
        self._confused = (min(low, len(self._begins)), min(high, len(self._begins)))
        return self._places.pop()

    def count(self, begin: int) -> int:
        """Count those from ``begin`` on."""
        self._first = bisect_left(self._begins, begin, self._gone)
        return len(self._begins) - self._first

    def confuse(self) -> list[int]:
        """Note that nothing tells those that were counted apart; gives those of which that was not known."""
        first, end = self._first, len(self._begins)
        low, high = self._confused
        if first == end or (low <= first and end <= high):
            return []
        if first > high:
            low = high = first
        self._confused = (min(low, first), end)
        return self._places[first:low] + self._places[max(high, first) : end]
