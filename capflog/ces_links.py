"""What follows on what at CES: the request with credentials on the one without, the answer on the end of CES's work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capflog.ces_calls import LONGEST_QUEUE
from capflog.ces_requests import BROKEN, UNSET_STATUS
from capflog.found import FAR, NEVER, at_places, named, take
from capflog.one_order import NO_TAG, Partners, Side, Weights, partners
from capflog.rows import NONE
from capflog.serving import LINE

if TYPE_CHECKING:
    from capflog.ces_calls import Calls
    from capflog.ces_requests import CesRequests

#: So many connections that were accepted later may be served earlier.
_OUT_OF_TURN = 64


def _by_number(requests: CesRequests, pieces: np.ndarray) -> np.ndarray:
    """Sort pieces by NGINX's number of their connections, which begins anew with each start."""
    place = requests.begin[pieces]
    in_turn = np.argsort(place, kind="stable")
    number, at = requests.pieces.number[pieces][in_turn], requests.low[place][in_turn]
    highest = np.maximum.accumulate(number)
    when = at[np.maximum.accumulate(np.where(number == highest, np.arange(len(number)), 0))]
    # None is served so much later than those that came after it.
    anew = (number < highest) & ((highest - number > _OUT_OF_TURN) | (at - np.maximum(when, 0) > LONGEST_QUEUE))
    if not anew.any():
        return np.argsort(requests.pieces.number[pieces], kind="stable")
    starts = np.zeros(len(number), dtype=np.int64)
    most, last, count = -1, 0, 0
    for n, (value, moment) in enumerate(zip(number.tolist(), at.tolist(), strict=True)):
        if value < most and (most - value > _OUT_OF_TURN or moment - max(last, 0) > LONGEST_QUEUE):
            most, count = -1, count + 1
        if value > most:
            most, last = value, moment
        starts[n] = count
    start = np.empty(len(number), dtype=np.int64)
    start[in_turn] = starts
    return np.lexsort((requests.pieces.number[pieces], start))


def find_first_requests(
    requests: CesRequests, asked: np.ndarray, seconds: np.ndarray, calls: Calls, supposed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find of each second request the first one (its place among these) that it follows on.

    ``seconds``: pieces of work, and connections that broke off, which may be second ones. NGINX numbers connections as
    it accepts them, and they are accepted as they come: in the order in which credentials were asked for.
    """
    ends = np.where(requests.answer[asked] >= 0, requests.answer[asked], requests.head[asked])
    heads = np.where(requests.head[seconds] >= 0, requests.head[seconds], requests.begin[seconds])
    place = requests.begin[seconds].copy()
    numbered = np.flatnonzero(requests.pieces.number[seconds] >= 0)
    by_number = numbered[_by_number(requests, seconds[numbered])]
    place[by_number] = np.sort(place[numbered])
    by_end = np.argsort(ends, kind="stable")
    # What CAPF was answered tells whose the work is: its first request lies between that call and that answer.
    since = at_places(calls.called - 5, supposed, -NEVER)
    until = at_places(np.where(calls.answered != NONE, calls.answered, NEVER), supposed, NEVER)
    broken = requests.what[seconds] == BROKEN
    # Nearly all come again; nobody is there any more for some.
    lacking = max(1e-4, min(0.1, 1 - len(seconds) / max(len(asked), 1)))
    partner, sure = np.full(len(seconds), -1, dtype=np.int64), np.zeros(len(seconds))
    # (What has no number where others have one is a piece that was torn off.)
    some = np.ones(len(seconds), dtype=bool)
    if len(numbered):
        some = broken | (requests.pieces.number[seconds] >= 0)
    for some_of, most in ((some, 0.03), (~some, 0.03)):
        in_turn = np.flatnonzero(some_of & (partner < 0))
        in_turn = in_turn[np.argsort(place[in_turn], kind="stable")]
        free = by_end[~np.isin(by_end, partner[partner >= 0])]
        if not len(in_turn) or not len(free):
            continue
        found = partners(
            Side(
                heads[in_turn],
                heads[in_turn],
                also=(since[in_turn], until[in_turn]),
                lacks=np.where(broken[in_turn], 0.1, 0.0),
            ),
            Side(ends[free] + 1, ends[free] + 30, also=(requests.low[ends[free]], requests.high[ends[free]])),
            Weights(0.3, 2000, 4, 1e-5, lacking, most),
        )
        take(partner, sure, found, in_turn, free)
    return partner, sure


def find_work(
    requests: CesRequests,
    work: np.ndarray,
    tails: np.ndarray,
    front: np.ndarray,
    front_sure: np.ndarray,
    answered: np.ndarray,
    answered_sure: np.ndarray,
    calls: Calls,
) -> tuple[np.ndarray, np.ndarray]:
    """Find of each tail the piece of work (its place) that it ends.

    A certificate is followed by its answer at once, a call of the CA that failed, too: those come in one order. Of what
    CES tells less of, the access record tells the second in which the request came in.
    """
    pieces, error = requests.pieces, requests.error
    finish = np.full(len(requests.what), -1, dtype=np.int64)
    own = np.flatnonzero((pieces.line == LINE.record) | ((pieces.line >= LINE.length) & (pieces.line <= LINE.cmc)))
    finish[pieces.piece[own]] = own
    reached = requests.work[work]
    head = np.where(requests.head[work] >= 0, requests.head[work], requests.begin[work])
    status = requests.status[tails]
    good = np.isin(status, (200, UNSET_STATUS)) | np.array(
        [error[n] == "EST_ERR_HTTP_WRITE" for n in tails.tolist()], dtype=bool
    )
    silent = np.array([error[n] is None for n in tails.tolist()], dtype=bool) & (status == NONE)
    auth = np.array([error[n] == "EST_ERR_AUTH_FAIL" for n in tails.tolist()], dtype=bool)
    kind = np.where(good | silent, 0, np.where(auth, 1, 2))
    mask = np.full(len(work), 7)
    if requests.told:
        mask[reached == 5] = 1
        mask[reached == 4] = 4 | 1
    for step in (2, 3):
        mask[reached == step] = 2 | 4 if requests.told else 7
    mask[reached == -1] = 2 | 4
    if requests.workers == 1:
        return _one_after_the_other(requests, work, tails)
    received = requests.received[tails]
    sure_of = np.where(answered_sure > 0.9, answered, -1)
    since = at_places(calls.called - 5, sure_of, -NEVER)
    until = at_places(calls.answered + 5, sure_of, NEVER)
    spans = (
        np.maximum(since, np.where(received != NONE, received, -NEVER)),
        np.minimum(until, np.where(received != NONE, received + 999, NEVER)),
    )
    left = Side(
        requests.begin[tails],
        requests.begin[tails],
        kind,
        np.where(answered_sure > 0.9, answered, NO_TAG),
        spans,
    )
    right = Side(
        finish[work] + 1,
        finish[work] + 1,
        mask,
        np.where(front_sure > 0.95, front, NO_TAG),
        (np.maximum(requests.low[head], -FAR) - 30, np.minimum(requests.high[head], FAR) + 30),
    )
    short = ((reached == 5) | (reached == -1)) & (finish[work] >= 0)
    soon = np.where(short, finish[work] + 8, finish[work] + 40)
    partner, sure = np.full(len(tails), -1), np.zeros(len(tails))
    # First what ends at once.
    in_turn = np.flatnonzero(short)
    found = _chosen(
        left,
        right,
        np.arange(len(tails)),
        in_turn,
        finish[work][in_turn] + 1,
        soon[in_turn],
        Weights(0.25, 20, 32, 1e-3, 1e-3, 0.02, 0.1, 0.7, 100),
    )
    take(partner, sure, found, np.arange(len(tails)), in_turn)
    here = np.flatnonzero(partner < 0)
    there = np.setdiff1d(np.arange(len(work)), partner[partner >= 0])
    # Then the others, by when they came in.
    if len(here) and len(there):
        by_time = here[np.lexsort((requests.begin[tails[here]], received[here]))]
        order = there[np.argsort(head[there])]
        found = partners(
            Side(
                spans[0][by_time],
                spans[1][by_time],
                kind[by_time],
                left.tag[by_time] if left.tag is not None else None,
                (left.low[by_time], left.high[by_time]),
            ),
            Side(
                requests.low[head[order]],
                requests.high[head[order]],
                mask[order],
                right.tag[order] if right.tag is not None else None,
                (finish[work][order] + 1, np.full(len(order), NEVER)),
            ),
            Weights(50, 50, 8, 1e-4, 1e-4, 0.3, 0.2, 0.5, 2),
        )
        take(partner, sure, found, by_time, order)
    return partner, sure


def _one_after_the_other(requests: CesRequests, work: np.ndarray, tails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the work that each tail ends where one worker serves: it is done with one before it takes the next."""
    partner, sure = np.full(len(tails), -1, dtype=np.int64), np.zeros(len(tails))
    order = np.argsort(requests.begin[work], kind="stable")
    at = np.searchsorted(requests.begin[work][order], requests.begin[tails]) - 1
    member = requests.file
    free = np.ones(len(work), dtype=bool)
    for n in np.argsort(requests.begin[tails], kind="stable").tolist():
        if at[n] < 0:
            continue
        found = int(order[at[n]])
        alike = member[work[found]] == member[tails[n]]
        if alike and free[found]:
            partner[n], sure[n], free[found] = found, 0.999, False
    return partner, sure


def _chosen(
    left: Side, right: Side, here: np.ndarray, there: np.ndarray, low: np.ndarray, high: np.ndarray, weights: Weights
) -> Partners:
    """Find partners among some items, the right ones within other spans; sorts neither."""

    def some(side: Side, which: np.ndarray, low: np.ndarray, high: np.ndarray) -> Side:
        kind = None if side.kind is None else side.kind[which]
        tag = None if side.tag is None else side.tag[which]
        also = None if side.also is None else (side.also[0][which], side.also[1][which])
        close = None
        if side is right:
            # (Two that come to their end within a few rows may have changed places.)
            close = 0.4 * np.exp(-np.append(np.diff(low), FAR)[: len(low)] / 6)
        return Side(low, high, kind, tag, also, close=close)

    order_left, order_right = np.argsort(left.low[here], kind="stable"), np.argsort(low, kind="stable")
    mine = here[order_left]
    found = partners(
        some(left, mine, left.low[mine], left.high[mine]),
        some(right, there[order_right], low[order_right], high[order_right]),
        weights,
    )
    partner, sure = np.full(len(here), -1, dtype=np.int64), np.zeros(len(here))
    partner[order_left] = named(order_right, found.partner)
    sure[order_left] = found.sure
    return Partners(partner, sure)
