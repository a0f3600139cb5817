"""Which enrollment each request to CES is of: by CAPF's calls and answers, and by what follows on what at CES.

CAPF's answers come in the order in which CES gave them, its calls reach CES in their order; the request with
credentials follows on the one without, the answer on the end of CES's work. Each of these is two rows of the same
things in nearly one order (see :mod:`capflog.one_order`), and what they tell together decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.ces_calls import Calls, Load, find_answers, find_calls, tighten
from capflog.ces_links import find_first_requests, find_work
from capflog.ces_requests import ASKED, BROKEN, TAIL, WORK, in_turn
from capflog.found import NEVER, agreed, at_places, named
from capflog.one_order import NO_TAG
from capflog.rows import NONE
from capflog.serving import LINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.ces_requests import CesRequests
    from capflog.steps import Columns
    from capflog.story import Story


#: How much less sure all is where libEST does not log what it answers: nothing is certain then. Where CES writes no
#: times either, nothing but the order is left, and one line that lacks makes all behind it another's.
_UNLOGGED, _TIMELESS = 0.98, 0.9


@dataclass(slots=True)
class Owners:
    """Of each piece the number of its enrollment (-1: none), and the probability of it.

    ``work_of``: of each tail and each first request the piece of the work for the same request, -1: not known; with
    the probability.
    """

    owner: np.ndarray
    sure: np.ndarray
    work_of: np.ndarray
    linked: np.ndarray


def find_owners(columns: Columns, requests: CesRequests, stories: Sequence[Story]) -> Owners:
    """Find the enrollment of each piece."""
    count = len(requests.what)
    calls = Calls.of(stories)
    owners = Owners(np.full(count, -1), np.zeros(count), np.full(count, -1), np.zeros(count))
    tails, asked, work = requests.of(TAIL), requests.of(ASKED), requests.of(WORK)
    # (When error.log is rotated, a worker that is at work goes on in the old file.)
    tails = tails[np.lexsort((requests.answer[tails], requests.low[requests.answer[tails]]))]
    answered, answered_sure = find_answers(requests, tails, calls)
    tighten(columns, requests, tails, answered, answered_sure, calls)
    work = work[np.argsort(requests.begin[work])]
    nothing, never = np.full(len(work), -1), np.zeros(len(work))
    done, done_sure = find_work(requests, work, tails, nothing, never, answered, answered_sure, calls)
    back, back_sure = _told_back(done, done_sure, answered, answered_sure, len(work))
    load = Load.of(requests, work, tails, done)
    asked, broken = requests.of(ASKED), requests.of(BROKEN)
    asked = asked[np.lexsort((requests.begin[asked], requests.low[requests.begin[asked]]))]
    seconds = np.concatenate([work, broken])
    supposed = np.concatenate([np.where(back_sure > 0.9, back, NO_TAG), np.full(len(broken), NO_TAG)])
    after, after_sure = find_first_requests(requests, asked, seconds, calls, supposed)
    first, first_sure = after[: len(work)], after_sure[: len(work)]
    # What the request that followed is of.
    follower, follower_sure = np.full(len(asked), -1), np.zeros(len(asked))
    some = np.flatnonzero(first >= 0)
    follower[first[some]], follower_sure[first[some]] = some, first_sure[some]
    by_follower = named(back, follower)
    by_follower_sure = np.where(by_follower >= 0, at_places(back_sure, follower, 0.0) * follower_sure, 0.0)
    _bound_by_followers(columns, requests, asked, work, follower, follower_sure)
    # First requests, and connections that broke off before theirs: as they were served.
    alone = broken[after[len(work) :] < 0]
    served = np.concatenate([asked, alone])
    served = served[np.lexsort((requests.begin[served], requests.low[requests.begin[served]]))]
    own = requests.what[served] == ASKED
    tag = np.full(len(served), NO_TAG)
    tag[own] = np.where(by_follower_sure > 0.9, by_follower, NO_TAG)
    served_of, served_sure = find_calls(requests, served, load, calls, tag)
    called, called_sure = served_of[own], served_sure[own]
    owners.owner[served[~own]], owners.sure[served[~own]] = served_of[~own], served_sure[~own]
    front = named(called, first)
    front_sure = np.where(front >= 0, at_places(called_sure, first, 0.0) * first_sure, 0.0)
    done, done_sure = find_work(requests, work, tails, front, front_sure, answered, answered_sure, calls)
    # Of each piece of work: what its answer tells, else what its first request does.
    back, back_sure = _told_back(done, done_sure, answered, answered_sure, len(work))
    own_work, own_sure = agreed(back, back_sure, front, front_sure)
    owners.owner[work], owners.sure[work] = own_work, own_sure
    own = own_work
    # Tails: what CAPF says, else what the work is of.
    by_work = named(own, done)
    by_work_sure = at_places(own_sure, done, 0.0) * done_sure
    tail_own = np.where(answered >= 0, answered, by_work)
    tail_sure = np.where(answered >= 0, answered_sure, by_work_sure)
    owners.owner[tails], owners.sure[tails] = tail_own, tail_sure
    linked = np.flatnonzero(done >= 0)
    owners.work_of[tails[linked]], owners.linked[tails[linked]] = work[done[linked]], done_sure[linked]
    # First requests: what the request that followed is of, else the order of the calls.
    by_follower = named(own, follower)
    by_follower_sure = np.where(by_follower >= 0, at_places(own_sure, follower, 0.0) * follower_sure, 0.0)
    asked_own = np.where(by_follower >= 0, by_follower, called)
    asked_sure = np.where(by_follower >= 0, by_follower_sure, called_sure)
    owners.owner[asked], owners.sure[asked] = asked_own, asked_sure
    there = np.flatnonzero(follower >= 0)
    owners.work_of[asked[there]], owners.linked[asked[there]] = work[follower[there]], follower_sure[there]
    # Second requests that broke off: those of their first ones.
    later = after[len(work) :]
    of_first = named(asked_own, later)
    there = np.flatnonzero(of_first >= 0)
    owners.owner[broken[there]] = of_first[there]
    owners.sure[broken[there]] = (at_places(asked_sure, later, 0.0) * after_sure[len(work) :])[there]
    if not requests.logged:
        pieces = requests.pieces
        stamped = pieces.piece[(pieces.line == LINE.record) & (columns.moments(pieces.rows) != NONE)]
        timeless = np.count_nonzero(np.isin(work, stamped)) < len(work) / 2
        owners.sure *= _TIMELESS if timeless else _UNLOGGED
        owners.linked *= _TIMELESS if timeless else _UNLOGGED
    known = owners.owner >= 0
    owners.owner[known] = calls.number[owners.owner[known]]
    return owners


def _bound_by_followers(
    columns: Columns,
    requests: CesRequests,
    asked: np.ndarray,
    work: np.ndarray,
    follower: np.ndarray,
    follower_sure: np.ndarray,
) -> None:
    """Bound the first requests by what follows on them.

    However late a record is written: NGINX stamps it with the time at which the worker woke to serve the connection,
    or a later one (ngx_epoll_process_events of ngx_epoll_module.c), so that the request before it came before that.
    """
    pieces = requests.pieces
    stamped = np.flatnonzero(pieces.line == LINE.record)
    moments = columns.moments(pieces.rows[stamped])
    stamped, moments = stamped[moments != NONE], moments[moments != NONE]
    first = np.full(len(requests.what), NEVER)
    np.minimum.at(first, pieces.piece[stamped], moments)
    known = np.flatnonzero((follower >= 0) & (follower_sure > 0.9))
    stamp = first[work[follower[known]]]
    known, stamp = known[stamp != NEVER], stamp[stamp != NEVER]
    at = requests.begin[asked[known]]
    high = requests.high.copy()
    high[at] = np.minimum(high[at], stamp + 999)
    requests.low, requests.high = in_turn(columns, pieces.rows, requests.low, high)


def _told_back(
    done: np.ndarray, done_sure: np.ndarray, answered: np.ndarray, answered_sure: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Say of each piece of work the call whose answer it came to, as CAPF logged that."""
    back, sure = np.full(count, -1), np.zeros(count)
    linked = np.flatnonzero((done >= 0) & (answered >= 0))
    back[done[linked]] = answered[linked]
    sure[done[linked]] = answered_sure[linked] * done_sure[linked]
    return back, sure
