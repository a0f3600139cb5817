"""Which enrollment each request to CES is of: by the time when CAPF waited for CES, and by what CAPF was told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.exchanges import UNSET_STATUS
from capflog.rows import NONE
from capflog.story import SLACK_MS
from capflog.windows import before, counted, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.exchanges import Exchanges, Pairs
    from capflog.story import Story

#: Calls of CAPF that are this far apart reach CES in their order. (ms)
APART_MS = 100

#: CES's stamps are of whole seconds: what they tell may have been this much later. (ms)
_SECOND_MS = 999

#: What libEST's client makes of CES's HTTP status (est_client.c of 2.1.0; 3.2.0 differs for 500 alone).
TOLD_BY_STATUS = {
    UNSET_STATUS: ("EST_ERR_NONE", 0),
    200: ("EST_ERR_NONE", 0),
    202: ("EST_ERR_CA_ENROLL_RETRY", 26),
    400: ("EST_ERR_HTTP_BAD_REQ", 13),
    401: ("EST_ERR_AUTH_FAIL", 22),
    404: ("EST_ERR_HTTP_NOT_FOUND", 14),
}

#: What a request's answer asks of an enrollment besides: nothing, what no enrollment can have been told, that it was
#: not issued. From 0 on: the number of the error that CAPF must have been told.
_ANY, _NOBODY, _NOT_ISSUED = -1, -2, -3


def find_owners(exchanges: Exchanges, pairs: Pairs, stories: Sequence[Story]) -> tuple[np.ndarray, np.ndarray]:
    """Give each pair of requests to the one enrollment whose time it fits, or to none (-1); and whether that is likely.

    Certain: it fits only one, and no other pair fits that one; likely: only one is left when those are taken away and
    the answer is the one that CAPF was told, or as many are left on either side and came in one order.
    """
    waits = _Waits.of(exchanges, pairs, stories)
    owner = np.full(len(pairs.first), -1, dtype=np.int32)
    likely = np.zeros(len(owner), dtype=bool)
    every = np.arange(len(owner))
    alone, fits = waits.alone(every, np.zeros(len(stories), dtype=bool), agreeing=False)
    certain = (alone >= 0) & ~exchanges.unclear[pairs.last]
    owner[certain] = alone[certain]
    taken = np.zeros(len(stories), dtype=bool)
    taken[owner[certain]] = True
    opened = waits.judged(every[fits & ~certain])
    if not len(opened):
        return owner, likely
    alone, _ = waits.alone(opened, taken, agreeing=True)
    owner[opened] = alone
    likely[opened] = alone >= 0
    for items, owners in waits.groups(opened, taken):
        ordered = waits.in_one_order(items, owners)
        if ordered is not None:
            items_in_order, owners_in_order = ordered
            owner[items_in_order], likely[items_in_order] = owners_in_order, True
    return owner, likely


@dataclass(frozen=True, slots=True)
class _Waits:
    """Pairs of requests, sorted by their begin, and the enrollments that waited for CES. Times in ms."""

    begin: np.ndarray
    """When each pair began; it may have been a second later."""
    end: np.ndarray
    asks: np.ndarray
    """What its answer asks of an enrollment."""
    first_row: np.ndarray
    challenged: np.ndarray
    in_pieces: np.ndarray
    """CES worked on it, and it lacks its connection or its answer."""
    since: np.ndarray
    """From when on a request may be of each enrollment."""
    until: np.ndarray
    called: np.ndarray
    answered: np.ndarray
    gave_up: np.ndarray
    told: np.ndarray
    """The number of the error that CAPF was told, -1: of none."""
    issued: np.ndarray

    @staticmethod
    def of(exchanges: Exchanges, pairs: Pairs, stories: Sequence[Story]) -> _Waits:
        """Make columns of them."""
        names = [*(error for error, _ in TOLD_BY_STATUS.values()), *(story.error for story in stories if story.error)]
        errors = {error: number for number, error in enumerate(dict.fromkeys(names))}
        last = pairs.last
        status = exchanges.status[last]
        asks = np.full(len(last), _NOT_ISSUED)
        for told, (error, _) in TOLD_BY_STATUS.items():
            asks[status == told] = errors[error]
        unwritten = [exchanges.error[number] == "EST_ERR_HTTP_WRITE" for number in last.tolist()]
        asks[np.array(unwritten, dtype=bool)] = _NOBODY
        # NONE is below 0, too.
        asks[status < 0] = _ANY
        unclear, serious = exchanges.unclear[last], exchanges.serious[last]
        begin = np.array([story.begin for story in stories], dtype=np.int64)
        return _Waits(
            exchanges.begin[pairs.first],
            exchanges.end[last],
            asks,
            exchanges.rows[exchanges.bounds[pairs.first]] if len(last) else last,
            exchanges.challenged[pairs.first],
            unclear | (serious & (~exchanges.connected[last] | (status == NONE))),
            begin - SLACK_MS - _SECOND_MS,
            np.array([story.end for story in stories], dtype=np.int64),
            begin,
            np.array([NONE if story.answered is None else story.answered for story in stories], dtype=np.int64),
            np.array([story.gave_up for story in stories], dtype=bool),
            np.array([errors.get(story.error or "", -1) for story in stories], dtype=np.int64),
            np.array([story.outcome == "issued" for story in stories], dtype=bool),
        )

    def fit(self, items: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """Tell of pairs of requests whether enrollments were waiting for CES when they began."""
        begin = self.begin[items]
        fit: np.ndarray = (self.since[owners] <= begin) & (begin <= self.until[owners])
        return fit

    def agree(self, items: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """Tell whether what CES answered, and when, is what CAPF was told (libEST client 2.x and 3.x)."""
        end, asks = self.end[items], self.asks[items]
        answered, gave_up, told = self.answered[owners], self.gave_up[owners], self.told[owners]
        early = gave_up & (end < answered - SLACK_MS)
        late = ~gave_up & (end - _SECOND_MS > answered + SLACK_MS)
        timely = (answered == NONE) | (end == NONE) | ~(early | late)
        free = (asks == _ANY) | gave_up | (told < 0)
        agree: np.ndarray = timely & (free | (asks == told) | ((asks == _NOT_ISSUED) & ~self.issued[owners]))
        return agree

    def _pieces(self, items: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        begin = self.begin[items]
        return pieces(begin, begin, self.since, self.until)

    def alone(self, items: np.ndarray, taken: np.ndarray, *, agreeing: bool) -> tuple[np.ndarray, np.ndarray]:
        """Give the enrollment that each pair alone is left to, and that is left to it alone; -1: none. And whether any
        is left to it. ``taken``: enrollments that are none's any more.
        """
        if not agreeing and not taken.any() and (self.since <= self.until).all():
            return self._alone_in_time(items)
        return self._compared(items, taken, agreeing=agreeing)

    def _compared(self, items: np.ndarray, taken: np.ndarray, *, agreeing: bool) -> tuple[np.ndarray, np.ndarray]:
        """Do so by comparing each with the enrollments around it."""
        lone = np.full(len(items), -1, dtype=np.int32)
        some = np.zeros(len(items), dtype=bool)
        wanted = np.zeros(len(taken), dtype=np.int64)
        for lo, hi, near in self._pieces(items):
            left = self._left(items[lo:hi], near, taken, agreeing=agreeing)
            count = np.count_nonzero(left, axis=1)
            wanted[near] += np.count_nonzero(left, axis=0)
            some[lo:hi] = count > 0
            one = np.flatnonzero(count == 1)
            if len(one):
                lone[lo + one] = near[left[one].argmax(axis=1)]
        known = np.flatnonzero(lone >= 0)
        lone[known[wanted[lone[known]] != 1]] = -1
        return lone, some

    def _alone_in_time(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Do the same by counting, where the time alone tells what is left."""
        begin = self.begin[items]
        count, which = counted(self.since, self.until, begin, begin)
        begin = np.sort(begin)
        wanted = np.searchsorted(begin, self.until, side="right") - np.searchsorted(begin, self.since)
        lone = np.full(len(items), -1, dtype=np.int32)
        one = np.flatnonzero(count == 1)
        one = one[wanted[which[one]] == 1]
        lone[one] = which[one]
        return lone, count > 0

    def _left(self, items: np.ndarray, near: np.ndarray, taken: np.ndarray, *, agreeing: bool) -> np.ndarray:
        """Tell of each pair and each enrollment near by whether this is left to that."""
        near = near[None, :]
        left: np.ndarray = self.fit(items[:, None], near) & ~taken[near]
        if agreeing:
            left &= self.agree(items[:, None], near)
        return left

    def judged(self, items: np.ndarray) -> np.ndarray:
        """Leave out those that vie for an enrollment with requests at once whose lines could not be told apart: what is
        left of each is no ground to judge upon.
        """
        if not len(items):
            return items
        order = np.argsort(self.since, kind="stable")
        reach = np.maximum.accumulate(self.until[order])
        begin = self.begin[items]
        # Some enrollment that waited at the one waited still at the next one.
        last = reach[np.searchsorted(self.since[order], begin, side="right") - 1]
        group = np.cumsum(np.concatenate([[0], last[:-1] < begin[1:]]))
        bad = np.zeros(group[-1] + 1, dtype=bool)
        bad[group[self.in_pieces[items]]] = True
        good: np.ndarray = items[~bad[group]]
        return good

    def groups(self, items: np.ndarray, taken: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the pairs that vie for the same enrollments, and these; only where there are as many of either."""
        leader = list(range(len(items)))

        def leader_of(item: int) -> int:
            while leader[item] != item:
                leader[item] = item = leader[leader[item]]
            return item

        last = np.full(len(taken), -1, dtype=np.int32)
        for lo, hi, near in self._pieces(items):
            left = self._left(items[lo:hi], near, taken, agreeing=True)
            numbers = np.arange(lo, hi)
            vied = before(left, numbers, near, last)
            # Most vie with the one just before.
            follows = vied == numbers[:, None] - 1
            follows &= vied >= 0
            for item in (lo + np.flatnonzero(follows.any(axis=1))).tolist():
                leader[leader_of(item)] = leader_of(item - 1)
            item_at, near_at = np.nonzero((vied >= 0) & ~follows)
            for item, other in set(zip((lo + item_at).tolist(), vied[item_at, near_at].tolist(), strict=True)):
                leader[leader_of(item)] = leader_of(other)
        owners = np.flatnonzero(last >= 0)
        of_items = np.array([leader_of(item) for item in range(len(items))], dtype=np.int64)
        of_owners = of_items[last[owners]]
        sizes = np.bincount(of_items, minlength=len(items))
        even = (sizes > 0) & (sizes == np.bincount(of_owners, minlength=len(items)))
        in_turn, owners_in_turn = np.argsort(of_items, kind="stable"), np.argsort(of_owners, kind="stable")
        begins = np.searchsorted(of_items[in_turn], np.flatnonzero(even)).tolist()
        owners_begin = np.searchsorted(of_owners[owners_in_turn], np.flatnonzero(even)).tolist()
        for size, at, owners_at in zip(sizes[even].tolist(), begins, owners_begin, strict=True):
            yield items[in_turn[at : at + size]], owners[owners_in_turn[owners_at : owners_at + size]]

    def in_one_order(self, items: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Pair requests with as many enrollments by the order in which both came; None: that tells nothing."""
        items, owners = items[np.argsort(self.first_row[items])], owners[np.argsort(self.called[owners])]
        # What CES does for the one and the other takes its time: only the challenges come in the order of the calls.
        told = self.challenged[items].all() and (np.diff(self.called[owners]) >= APART_MS).all()
        if not told or not (self.fit(items, owners) & self.agree(items, owners)).all():
            return None
        return items, owners
