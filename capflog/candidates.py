"""Whose lines may be that could be put to nobody for sure: of the enrollments that were under way at their time.

They come in groups, each of them one request's lines. There may be a million of them, and thousands of enrollments
under way at once: so all groups are asked at once, of enrollments that take about as long, and what may be of very
many is told of the nearest alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from capflog.rows import NONE
from capflog.sieve import gathered
from capflog.story import SLACK_MS
from capflog.windows import counted

if TYPE_CHECKING:
    from capflog.clocks import Alignment
    from capflog.steps import Columns
    from capflog.story import Story

#: Of a group that may be of more enrollments than this the nearest are told.
KEPT = 64

#: No request's lines are farther apart: what is, is a heap of lines of many requests. (ms)
TOGETHER_MS = 120_000

#: Before and after any time: what bounds are where there is none. (ms)
_EVER = 1 << 60

#: So many enrollments of one length are looked at, at first, that began before a group's time, and half as many after.
_REACH = 48

#: About so many pairs of a group and an enrollment are held at once.
_AT_ONCE = 1 << 21


class Candidates(Sequence[np.ndarray]):
    """For each group the places (int32, rising) of the enrollments that it may be of, the nearest :data:`KEPT` at most.

    ``counts``: of how many each may be in truth. ``beyond``: for each enrollment, how many lines may be its own of
    groups that are told of others alone, which are nearer. ``places`` and ``bounds``: all of it, group after group.
    """

    def __init__(self, places: np.ndarray, bounds: np.ndarray, counts: np.ndarray, beyond: np.ndarray) -> None:
        self.places, self.bounds, self.counts, self.beyond = places, bounds, counts, beyond

    def __len__(self) -> int:
        return len(self.counts)

    @overload
    def __getitem__(self, group: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, group: slice) -> list[np.ndarray]: ...
    def __getitem__(self, group: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(group, slice):
            return [self[number] for number in range(*group.indices(len(self)))]
        number = range(len(self))[group]
        return self.places[self.bounds[number] : self.bounds[number + 1]]


def asked_about(columns: Columns, strays: Sequence[np.ndarray], alignment: Alignment) -> list[np.ndarray]:
    """Give the groups whose enrollments can be asked for, in the order of time; heaps are taken apart by seconds.

    Left out are lines of IIS where nothing tells how its clock stands to the others', and lines that name a device.
    """
    groups = [group[columns.table.device[group] < 0] for group in strays]
    groups = [group for group in groups if len(group)]
    if not alignment.iis_known and alignment.sources & {"capf", "nginx"}:
        groups = [group for group in groups if columns.source[int(group[0])] not in ("iis", "httperr")]
    low, high = spans(columns, groups)
    heaps = np.flatnonzero(high - low > TOGETHER_MS).tolist()
    if heaps:
        apart = [piece for k in heaps for piece in _seconds(columns, groups[k])]
        groups = [*(group for k, group in enumerate(groups) if high[k] - low[k] <= TOGETHER_MS), *apart]
        low, high = spans(columns, groups)
    return [groups[k] for k in np.lexsort((high, low)).tolist()]


def _seconds(columns: Columns, rows: np.ndarray) -> list[np.ndarray]:
    """Take a heap apart: what is of the same second stays together."""
    low, high = (bound // 1000 for bound in _bounds(columns, rows))
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    return np.split(rows[order], np.flatnonzero((low[1:] != low[:-1]) | (high[1:] != high[:-1])) + 1)


def _bounds(columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the earliest and the latest time of rows, in ms; far off where a row has no such bound."""
    time, earliest, latest = columns.time[rows], columns.earliest[rows], columns.latest[rows]
    alone = (earliest == NONE) & (latest == NONE) & (time != NONE)
    low = np.where(alone, time, np.where(earliest == NONE, -_EVER, earliest))
    return low, np.where(alone, time, np.where(latest == NONE, _EVER, latest))


def spans(columns: Columns, groups: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Give the earliest and the latest time that each group's rows have, in ms; far off where none has a bound."""
    rows, owner = gathered(groups)
    low = np.full(len(groups), -_EVER, dtype=np.int64)
    high = np.full(len(groups), _EVER, dtype=np.int64)
    if len(rows):
        heads = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
        earliest, latest = _bounds(columns, rows)
        # A request's lines stand together: what one of them tells bounds those that tell nothing.
        first = np.minimum.reduceat(np.where(earliest == -_EVER, _EVER, earliest), heads)
        last = np.maximum.reduceat(np.where(latest == _EVER, -_EVER, latest), heads)
        low[owner[heads]] = np.where(first == _EVER, -_EVER, first)
        high[owner[heads]] = np.where(last == -_EVER, _EVER, last)
    return low, np.maximum(low, high)


def candidates(columns: Columns, stories: Sequence[Story], strays: Sequence[np.ndarray]) -> Candidates:
    """Give for each group of rows the places of the stories that were under way at its time.

    That is from :data:`SLACK_MS` before they began until CES or the CA can no longer have been at work for them.
    """
    begin = np.array([story.begin for story in stories], dtype=np.int64) - SLACK_MS
    until = np.maximum(begin, np.array([story.until for story in stories], dtype=np.int64))
    sizes = np.array([len(group) for group in strays], dtype=np.int64)
    low, high = spans(columns, strays)
    # A group without rows is nobody's.
    low[sizes == 0] = high[sizes == 0] = 2 * _EVER
    counts, _ = counted(begin, until, low, high)
    groups, found = _Near(begin, until, low, high).of(np.flatnonzero(counts), counts)
    bounds = np.searchsorted(groups, np.arange(len(strays) + 1))
    # Each enrollment shares a moment with these lines: with those that begin before its end, less those that were over.
    by_low, by_high = np.argsort(low, kind="stable"), np.argsort(high, kind="stable")
    begun, over = (np.concatenate(([0], np.cumsum(sizes[order]))) for order in (by_low, by_high))
    beyond = begun[np.searchsorted(low[by_low], until, side="right")] - over[np.searchsorted(high[by_high], begin)]
    beyond -= np.bincount(found, weights=sizes[groups], minlength=len(stories)).astype(np.int64)
    return Candidates(found, bounds, counts, beyond)


class _Near:
    """Finds, for items that are each from ``low`` to ``high``, those spans nearest to them that share a moment."""

    def __init__(self, begin: np.ndarray, until: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        self._order = np.argsort(begin, kind="stable")
        self._begin, self._until = begin[self._order], until[self._order]
        self._low, self._high = low, high
        # Of spans that are about as long nearly all that began shortly enough before a moment hold it.
        length = np.log2(self._until - self._begin + 1).astype(np.int64)
        self._alike = [np.flatnonzero(length == one) for one in np.unique(length).tolist()]

    def of(self, items: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give pairs of an item and a span, in the order of both; ``counts``: how many there are of each item."""
        found = [(items[:0], np.zeros(0, dtype=np.int32))]
        left, reach = items, _REACH
        while len(left):
            short = []
            step = max(1, _AT_ONCE // (reach * max(1, len(self._alike))))
            for at in range(0, len(left), step):
                some = left[at : at + step]
                owner, span = self._pairs(some, reach)
                lacking = np.bincount(owner, minlength=len(some)) < np.minimum(counts[some], KEPT)
                if lacking.any():
                    # Among very many that began shortly before and are over: these are looked for farther back.
                    short.append(some[lacking])
                    whole = ~lacking[owner]
                    owner, span = owner[whole], span[whole]
                found.append((some[owner], span))
            left, reach = np.concatenate([items[:0], *short]), reach * 8
        owner, span = (np.concatenate(column) for column in zip(*found, strict=True))
        in_turn = np.argsort(owner, kind="stable")
        return owner[in_turn], span[in_turn]

    def _pairs(self, items: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
        """Give the nearest spans of some items, as (place among them, span); of each length ``reach`` are looked at."""
        low, high = self._low[items], self._high[items]
        count = len(self._begin)
        keys = [np.zeros(0, dtype=np.int64), *(self._meeting(alike, low, high, reach) for alike in self._alike)]
        # Each is in order: to merge them is all that a stable sort has to do.
        pairs = np.sort(np.concatenate(keys), kind="stable")
        owner = pairs // count
        edges = np.searchsorted(owner, np.arange(len(items) + 1))
        if len(pairs) and int(np.diff(edges).max()) > KEPT:
            # As many on either side of where the item begins, as far as there are.
            since = np.searchsorted(self._begin, np.where(low == -_EVER, high, low))
            middle = np.searchsorted(pairs, np.arange(len(items)) * count + since) - edges[:-1]
            first = np.clip(middle - KEPT // 2, 0, np.maximum(np.diff(edges) - KEPT, 0))
            turn = np.arange(len(pairs)) - edges[owner] - first[owner]
            pairs = pairs[(turn >= 0) & (turn < KEPT)]
            owner = pairs // count
        span = self._order[pairs - owner * count].astype(np.int32)
        by_place = np.lexsort((span, owner)) if (np.diff(self._order) < 0).any() else slice(None)
        return owner[by_place], span[by_place]

    def _meeting(self, alike: np.ndarray, low: np.ndarray, high: np.ndarray, reach: int) -> np.ndarray:
        """Give the pairs of items and spans of one length, each pair as one number."""
        begin, until = self._begin[alike], self._until[alike]
        longest = int((until - begin).max())
        since = np.searchsorted(begin, low - longest)
        middle, behind = np.searchsorted(begin, low), np.searchsorted(begin, high, side="right")
        middle = np.where(low == -_EVER, behind, middle)
        first = np.maximum(since, middle - reach)
        sizes = np.minimum(behind, middle + reach // 2) - first
        owner = np.repeat(np.arange(len(low)), sizes)
        place = np.arange(len(owner)) + np.repeat(first - np.cumsum(sizes) + sizes, sizes)
        holds = until[place] >= low[owner]
        found: np.ndarray = owner[holds] * len(self._begin) + alike[place[holds]]
        return found
