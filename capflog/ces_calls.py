"""CAPF's calls and answers, and which of CES's pieces they are.

The answers come in the order in which CES gave them, the calls reach CES in theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from capflog.ces_requests import ASKED, BROKEN, UNSET_STATUS, WORK, in_turn
from capflog.found import FAR, NEVER, named
from capflog.one_order import Side, Weights, partners
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.ces_requests import CesRequests
    from capflog.steps import Columns
    from capflog.story import Story

#: What libEST's client makes of CES's HTTP status (est_client.c of 2.1.0; 3.2.0 differs for 500 alone).
TOLD_BY_STATUS = {
    UNSET_STATUS: ("EST_ERR_NONE", 0),
    200: ("EST_ERR_NONE", 0),
    202: ("EST_ERR_CA_ENROLL_RETRY", 26),
    400: ("EST_ERR_HTTP_BAD_REQ", 13),
    401: ("EST_ERR_AUTH_FAIL", 22),
    404: ("EST_ERR_HTTP_NOT_FOUND", 14),
}

#: What 2.1.0 makes of 500 as well (3.2.0 of CES answers so).
_TOLD = {**{status: name for status, (name, _) in TOLD_BY_STATUS.items()}, 500: "EST_ERR_UNKNOWN"}
_ERRORS = {name: number for number, name in enumerate(dict.fromkeys(_TOLD.values()))}
_ANY, _NOBODY = 61, 62

#: CAPF logs an answer at most this much after CES wrote it. (ms)
_SOON = 60

#: So long a connection may wait for being served. (ms)
LONGEST_QUEUE = 120_000


@dataclass(slots=True)
class Calls:
    """The enrollments as CAPF tells of them, in the order of their calls."""

    number: np.ndarray
    called: np.ndarray
    answered: np.ndarray
    """NONE: CAPF does not say."""
    until: np.ndarray
    gave_up: np.ndarray
    error: np.ndarray
    """The number of the error that CAPF was told (see ``_ERRORS``); -1: another, or none."""

    @staticmethod
    def of(stories: Sequence[Story]) -> Calls:
        called = np.array([story.begin for story in stories], dtype=np.int64)
        order = np.argsort(called, kind="stable")
        return Calls(
            order,
            called[order],
            np.array([NONE if s.answered is None else s.answered for s in stories], dtype=np.int64)[order],
            np.array([s.until for s in stories], dtype=np.int64)[order],
            np.array([s.gave_up for s in stories], dtype=bool)[order],
            np.array([_ERRORS.get(s.error or "", -1) for s in stories], dtype=np.int64)[order],
        )


def find_answers(requests: CesRequests, tails: np.ndarray, calls: Calls) -> tuple[np.ndarray, np.ndarray]:
    """Find of each tail the call (its place) that CAPF logged this answer of."""
    status = requests.status[tails]
    kind = np.full(len(tails), _ANY)
    for code, name in _TOLD.items():
        kind[status == code] = _ERRORS[name]
    # Who had gone away was not told.
    gone = np.array([requests.error[n] == "EST_ERR_HTTP_WRITE" for n in tails.tolist()], dtype=bool)
    kind[gone] = _NOBODY
    if not requests.logged:
        # The bare end of a connection tells too little: one line lost, and all behind it are taken for others.
        kind[(kind == _ANY) & np.array([requests.error[n] is None for n in tails.tolist()], dtype=bool)] = _NOBODY
    right = np.flatnonzero((calls.answered != NONE) & ~calls.gave_up)
    right = right[np.argsort(calls.answered[right], kind="stable")]
    error = calls.error[right]
    mask = np.where(error >= 0, 1 << np.maximum(error, 0) | 1 << _ANY, (1 << _ANY) | ((1 << 16) - 1) & ~1)
    at = requests.answer[tails]
    came = requests.received[tails]
    answered = calls.answered[right]
    # Of two answers within some ms nothing tells which was first.
    close = 0.4 * np.exp(-np.minimum(np.append(np.diff(answered), 1000)[: len(answered)], 1000) / 0.5)
    found = partners(
        Side(
            requests.low[at],
            np.minimum(requests.high[at], FAR),
            kind,
            also=(np.where(came != NONE, came, -NEVER), np.where(came != NONE, came + 999, NEVER)),
        ),
        Side(answered - _SOON, answered + 5, mask, also=(calls.called[right], answered), close=close),
        Weights(early=150, late=150, lacks_left=5e-4, lacks_right=5e-4, swapped=0.0005, apart=50),
    )
    return named(right, found.partner), found.sure


def tighten(
    columns: Columns,
    requests: CesRequests,
    tails: np.ndarray,
    answered: np.ndarray,
    sure: np.ndarray,
    calls: Calls,
) -> None:
    """Bound all rows by the answers whose time CAPF tells to the ms."""
    told = np.flatnonzero((answered >= 0) & (sure > 0.9))
    at, time = requests.answer[tails[told]], calls.answered[answered[told]]
    ok = (time >= requests.low[at] - _SOON) & (time <= requests.high[at] + _SOON)
    at, time = at[ok], time[ok]
    low, high = requests.low.copy(), requests.high.copy()
    low[at] = np.maximum(low[at], time - _SOON)
    high[at] = np.minimum(high[at], time + 5)
    requests.low, requests.high = in_turn(columns, requests.pieces.rows, low, high)


@dataclass(frozen=True, slots=True)
class Load:
    """How busy CES's workers are."""

    idle: np.ndarray
    """How many rows up to each one (that one counts) find a worker idle."""

    @staticmethod
    def of(requests: CesRequests, work: np.ndarray, tails: np.ndarray, done: np.ndarray) -> Load:
        count = len(requests.pieces.rows)
        end = requests.end.copy()
        linked = np.flatnonzero(done >= 0)
        # What is not known to be done goes on until its worker does something else.
        after = np.full(len(work), count - 1)
        order = np.lexsort((requests.begin[work], requests.pieces.pid[work]))
        again = requests.pieces.pid[work[order]]
        follows = (again[1:] == again[:-1]) & (again[1:] >= 0)
        after[order[:-1][follows]] = requests.begin[work[order[1:]]][follows]
        end[work] = np.maximum(end[work], after)
        end[work[done[linked]]] = np.maximum(requests.end[work[done[linked]]], requests.end[tails[linked]])
        served = np.isin(requests.what, (ASKED, WORK, BROKEN))
        change = np.zeros(count + 1, dtype=np.int64)
        np.add.at(change, requests.begin[served], 1)
        np.add.at(change, end[served], -1)
        busy = np.cumsum(change)[:count]
        return Load(np.cumsum(busy < requests.workers))

    def some_idle(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Tell of spans of rows whether a worker was idle after any of them."""
        if not len(self.idle):
            return np.zeros(len(first), dtype=bool)
        last = np.clip(last, 0, len(self.idle) - 1)
        first = np.clip(first, 0, last)
        before = np.where(first > 0, self.idle[np.maximum(first - 1, 0)], 0)
        found: np.ndarray = self.idle[last] > before
        return found


def find_calls(
    requests: CesRequests, asked: np.ndarray, load: Load, calls: Calls, tag: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find of each first request the call (its place): those come in the order of these, at once as a rule."""
    answered = np.where(calls.answered == NONE, calls.until, calls.answered)
    at = requests.begin[asked]
    low, high = requests.low[at], np.minimum(requests.high[at], FAR)
    left = Side(low, np.maximum(low, high), None, tag)
    right = Side(calls.called, answered, None, np.arange(len(calls.number)))
    first = np.searchsorted(np.minimum(requests.high, FAR), calls.called) - 1
    last = np.searchsorted(requests.low, calls.called, side="right") - 1
    prompt = load.some_idle(first, last)
    gap = np.append(np.diff(calls.called), FAR)[: len(calls.called)]
    close = 0.4 * np.exp(-np.minimum(gap, 1000) / 4.0)
    soon = np.where(prompt, np.minimum(calls.called + 15, answered), answered)
    right = Side(calls.called, soon, None, right.tag, None, close)
    # Who is gone when its turn comes gave up before; the others are there still.
    gone = requests.what[asked] == BROKEN
    left = Side(
        np.where(gone, low - LONGEST_QUEUE, low),
        np.maximum(low, high),
        None,
        tag,
        (np.where(gone, low, -NEVER), np.where(gone, np.maximum(low, high), NEVER)),
        np.where(gone, 0.1, 0.0),
    )
    right = replace(right, also=(answered - 50, answered + LONGEST_QUEUE))
    weights = Weights(10, 50, 200, 1e-5, 1e-4, 0.01, 0.001, 0.3, 50, 0.02)
    found = partners(left, right, weights)
    return found.partner, found.sure
