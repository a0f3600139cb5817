"""Whose line it is: every line of CES and the CA put to the enrollment that caused it, or left alone.

Ids join first (CAPF's device and session, NGINX's connection), then windows of time that only one enrollment fits, then
the order of the steps. What stays open is put to none: a wrong line in a phone's story costs more than a missing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from capflog.ca_owners import find_ca_owners
from capflog.ca_requests import BEYOND_LOGIN, LOGIN_STEP, along, ca_requests, requests_of_starts, story_of_ca
from capflog.ces_calls import LONGEST_QUEUE, TOLD_BY_STATUS
from capflog.ces_owners import find_owners
from capflog.ces_requests import ASKED, BROKEN, TAIL, UNSET_STATUS, WORK, find_requests
from capflog.pieces import row_sureness
from capflog.rows import NONE
from capflog.sequence import Given, put_in_order
from capflog.steps import Columns, is_fault, of_kinds
from capflog.story import NO_ROWS, NONE_LIKELY, SLACK_MS, Outcome, Story, inside
from capflog.windows import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.attempts import Attempt, Trace
    from capflog.ca_requests import Requests
    from capflog.ces_owners import Owners
    from capflog.ces_requests import CesRequests
    from capflog.clocks import Alignment
    from capflog.starts import Start


#: So many rows are gone through at once.
_PIECE = 1 << 17

#: What is no time any more. (ms)
_UNKNOWN = 1 << 60

#: From which probability on a line is put to an enrollment as certain, from which as likely; from which on two pieces
#: of error.log are taken to be of one request.
CERTAIN, LIKELY, LINKED = 0.995, 0.95, 0.6

#: Where several enrollments are under way (up to four, up to sixteen) the orders of IIS's lines share what is not known
#: of them: what they say is less sure than it seems, by so much (measured on simulated sites, see docs/accuracy.md).
_CROWDS = (1.2, 1.5)

#: An enrollment is logged in to the CA twice.
_LOGINS = 2

#: What cannot be certain is this sure at the most.
_PROBABLE = (CERTAIN + LIKELY) / 2


@dataclass(slots=True)
class Joined:
    """All enrollments with their rows, and what could be put to none."""

    stories: list[Story]
    strays: list[np.ndarray]
    """Rows of exchanges with CES, and of CES with the CA, that belong to no enrollment for sure."""
    unattributed: int


def join(
    columns: Columns, trace: Trace, attempts: Sequence[Attempt], starts: Sequence[Start], alignment: Alignment
) -> Joined:
    """Put the lines of all logs to enrollments; what that tells of their times is put into ``columns``."""
    stories = _from_capf(columns, trace, attempts)
    covered = _coverage(columns, trace)
    of_starts = np.unique(np.array([row for start in starts for row in start.rows], dtype=np.int64))
    ces = find_requests(columns, of_starts)
    owners = find_owners(columns, ces, stories)
    of_ces, strays = _join_ces(columns, ces, owners, stories, covered)
    given = [of_ces]
    requests = ca_requests(columns, alignment.strangers)
    timed = requests.time != NONE
    if not timed.all():
        strays.append(requests.rows[~timed])
    requests = requests.chosen(timed)
    own, lost = requests_of_starts(columns, requests, starts)
    strays += [requests.rows[k : k + 1] for k in lost.tolist() if is_fault(columns, int(requests.rows[k]))]
    requests = requests.chosen(np.delete(np.arange(len(requests)), own))
    if alignment.iis_known or not (alignment.sources & {"capf", "nginx"}):
        others = bool(len(trace.rows) or len(ces.what))
        covered = [*covered, *_coverage_of_ces(columns, ces)]
        of_ca, more = _join_ca(columns, requests, ces, owners, stories, covered, others=others)
        given.append(of_ca)
        strays += more
    elif len(requests):
        strays.append(requests.rows)
    first = put_in_order(columns, stories, given).tolist()
    turns = sorted(range(len(stories)), key=lambda k: (stories[k].begin, stories[k].device or "~", first[k]))
    return Joined([stories[k] for k in turns], strays, sum(len(rows) for rows in strays))


def _from_capf(columns: Columns, trace: Trace, attempts: Sequence[Attempt]) -> list[Story]:
    """Make the enrollments of the attempts in CAPF's trace."""

    def rows_at(places: list[int]) -> np.ndarray:
        known = np.array(places, dtype=np.int64)
        return np.where(known < 0, -1, trace.rows[known] if len(trace.rows) else -1)

    first = rows_at([attempt.first for attempt in attempts])
    call = rows_at([-1 if attempt.call is None else attempt.call for attempt in attempts])
    result = rows_at([-1 if attempt.result is None else attempt.result for attempt in attempts])
    errors = iter(columns.est_errors(result[result >= 0]))
    seen = call >= 0
    seen[of_kinds(columns, first, {"est.enroll.mode"})] = True
    times = [columns.time[rows].tolist() for rows in (first, np.where(call < 0, first, call), result)]
    sizes = [len(attempt.positions) for attempt in attempts]
    every = trace.rows[np.concatenate([attempt.positions for attempt in attempts])] if attempts else NO_ROWS
    ends = list(accumulate(sizes))
    stories: list[Story] = []
    for attempt, started, begin, answered, seen_from_start, size, stop in zip(
        attempts, *times, seen.tolist(), sizes, ends, strict=True
    ):
        rows = every[stop - size : stop]
        unsure = attempt.unsure
        likely = frozenset(trace.rows[unsure].tolist()) if len(unsure) else NONE_LIKELY
        if attempt.result is None:
            last = int(columns.time[rows].max())
            story = Story(attempt.device, begin, last, None, "incomplete", None, None, started, None, rows, likely)
        else:
            error, value = next(errors)
            outcome: Outcome = "issued" if error == "EST_ERR_NONE" else "failed"
            story = Story(
                attempt.device,
                begin,
                answered,
                answered,
                outcome if seen_from_start else "incomplete",
                error,
                value,
                started if seen_from_start else None,
                answered,
                rows,
                likely,
            )
        stories.append(story)
    return stories


def _coverage(columns: Columns, trace: Trace) -> list[tuple[int, int]]:
    """Give the spans of time that CAPF's trace covers: an enrollment inside of them has a device."""
    if not len(trace.rows):
        return []
    first, last = np.iinfo(np.int64).max, NONE
    for begin in range(0, len(trace.rows), _PIECE):
        times = columns.time[trace.rows[begin : begin + _PIECE]]
        first, last = min(first, int(times.min())), max(last, int(times.max()))
    return [(first - SLACK_MS, last + SLACK_MS)]


def _coverage_of_ces(columns: Columns, ces: CesRequests) -> list[tuple[int, int]]:
    """Give the span of time in which error.log shows what CES does for enrollments."""
    moments = columns.moments(ces.pieces.rows[ces.begin[ces.what == WORK]])
    moments = np.concatenate([moments, ces.low[ces.end[ces.what == WORK]]])
    moments = moments[moments != NONE]
    return [(int(moments.min()) - SLACK_MS, int(moments.max()) + SLACK_MS)] if len(moments) else []


def _in_crowd(sure: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Weigh the doubt more where several enrollments were under way."""
    weight = np.select([count <= 1, count <= 4, count <= 16], [1.0, *_CROWDS], 1.0)
    found: np.ndarray = np.maximum(1 - (1 - sure) * weight, 0.0)
    return found


def _join_ces(
    columns: Columns, ces: CesRequests, owners: Owners, stories: list[Story], covered: Sequence[tuple[int, int]]
) -> tuple[Given, list[np.ndarray]]:
    """Put requests to CES to enrollments; those outside of CAPF's trace make enrollments of their own.

    Gives back what was put to enrollments, and what was put to none, a request's rows together.
    """
    pieces = ces.pieces
    told = len(stories)
    served = np.isin(ces.what, (ASKED, WORK, TAIL, BROKEN))
    clients = np.unique(ces.client[np.isin(ces.what, (WORK, TAIL)) & (ces.client >= 0)])
    if len(clients):
        # Who was asked for credentials and is never served is a stranger at CES's port.
        served &= (ces.what != ASKED) | np.isin(ces.client, clients) | (ces.client < 0)
    # Who was alone at the time is the one.
    since, until = _moments_of(columns, ces)
    met = _Met.of(stories, since, until)
    free = served & (met.alone >= 0) & ((owners.owner < 0) | (owners.sure < met.sure))
    whole = np.flatnonzero(free | (owners.owner >= 0) & (owners.owner == met.alone))
    whole = whole[np.isin(ces.what[whole], (ASKED, WORK, TAIL))]
    free[_spare(whole, met.alone, ces.what, whole, owners.owner)] = False
    owners.owner[free], owners.sure[free] = met.alone[free], met.sure[free]
    unknown = served & ((owners.owner < 0) | (owners.sure < LIKELY))
    owners.owner[unknown | ~served] = -1
    # A request's pieces together: what it was asked first, the work, its answer.
    group = np.arange(len(ces.what))
    linked = (owners.work_of >= 0) & (owners.linked > LINKED)
    group[linked] = owners.work_of[linked]
    by_group = np.argsort(pieces.piece, kind="stable")
    rows, each = pieces.rows[by_group], row_sureness(pieces)
    each_by_group = (each * np.where(linked, owners.linked, 1.0)[pieces.piece])[by_group]
    bounds = np.searchsorted(pieces.piece[by_group], np.arange(len(ces.what) + 1))
    strays: list[np.ndarray] = []
    left = np.flatnonzero(unknown)
    torn = _torn(ces, left, since, until, np.where(linked, owners.work_of, -1)[left])
    heaps: dict[int, list[int]] = {}
    for piece in left.tolist():
        heaps.setdefault(int(group[piece]), []).append(piece)
    for members in heaps.values():
        at = np.concatenate([np.arange(bounds[n], bounds[n + 1]) for n in members])
        at = at[np.argsort(rows[at])]
        mine = rows[at]
        known = since[members][since[members] != NONE]
        first = int(known.min()) if len(known) else NONE
        # What may be of an enrollment that is known is none of its own.
        if first == NONE or met.count[members].any() or torn[members].all() or inside(np.array([first]), covered)[0]:
            strays.append(mine)
        elif any(ces.what[n] != BROKEN for n in members):
            kept, likely = each_by_group[at] >= LIKELY, each_by_group[at] < CERTAIN
            strays += [mine[k : k + 1] for k in np.flatnonzero(~kept).tolist()]
            story = _from_ces(ces, members, mine[kept], first, _last(first, until[members]))
            story.likely = frozenset(mine[kept & likely].tolist())
            stories.append(story)
            owners.owner[members] = len(stories) - 1
            owners.sure[members] = 1.0
    # (Those that make enrollments bear their rows already.)
    owner = owners.owner[pieces.piece]
    own = (owner >= 0) & (owner < told)
    sure = owners.sure[pieces.piece] * each
    alone = own & (met.alone[pieces.piece] == owner)
    sure = np.where(alone, np.maximum(sure, met.sure[pieces.piece]), sure)
    good = own & (sure >= LIKELY)
    strays += [pieces.rows[k : k + 1] for k in np.flatnonzero(own & ~good).tolist()]
    return Given.of(np.where(good, owner, -1).astype(np.int32), pieces.rows, sure < CERTAIN), strays


def _torn(ces: CesRequests, left: np.ndarray, since: np.ndarray, until: np.ndarray, work_of: np.ndarray) -> np.ndarray:
    """Mark first requests and answers that must be some work's which lacks one: those are no enrollments themselves.

    ``work_of``: of each of ``left`` the work that it is known to belong to, -1: none. Which is whose is not known; each
    work takes the nearest one.
    """
    torn = np.zeros(len(ces.what), dtype=bool)
    work = left[(ces.what[left] == WORK) & (since[left] != NONE)]
    for what, when, sign in ((ASKED, since, 1), (TAIL, until, -1)):
        mine = ces.what[left] == what
        pieces = left[mine & (work_of < 0)]
        pieces = pieces[when[pieces] != NONE]
        lacking = work[~np.isin(work, work_of[mine])]
        times = np.concatenate([when[pieces] * sign, when[lacking] * sign + SLACK_MS])
        waiting: list[int] = []
        for n in np.argsort(times, kind="stable").tolist():
            if n < len(pieces):
                waiting.append(n)
            elif waiting and times[n] - times[waiting[-1]] <= LONGEST_QUEUE:
                torn[pieces[waiting.pop()]] = True
    return torn


def _spare(items: np.ndarray, story: np.ndarray, step: np.ndarray, chain: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Give those of ``items`` that one enrollment, alone at the time, would have twice: each step it takes only once.

    ``story``, ``step`` and ``owner`` are of all items, ``chain`` of these: what hangs together is one. What the order
    of steps gave to the enrollment stays; of several that it might have had instead, each is spare.
    """
    if not len(items):
        return items
    mine = owner[items] == story[items]
    # (Of each enrollment and step the chains, those that it has been given first.)
    order = np.lexsort((chain, ~mine, step[items], story[items]))
    key = np.stack([story[items][order], step[items][order]])
    new = np.append(True, (np.diff(key) != 0).any(axis=0))
    group = np.cumsum(new) - 1
    first = np.flatnonzero(new)
    other = chain[order] != chain[order][first][group]
    several = np.zeros(len(first), dtype=bool)
    several[group[other]] = True
    given = mine[order][first][group]
    spare: np.ndarray = items[order][several[group] & ~mine[order] & (~given | other)]
    return spare


def _moments_of(columns: Columns, ces: CesRequests) -> tuple[np.ndarray, np.ndarray]:
    """Give the first and the last time that the rows of each piece bear, in ms; NONE where none bears one."""
    moments = columns.moments(ces.pieces.rows)
    known = np.flatnonzero(moments != NONE)
    first = np.full(len(ces.what), np.iinfo(np.int64).max)
    last = np.full(len(ces.what), NONE)
    np.minimum.at(first, ces.pieces.piece[known], moments[known])
    np.maximum.at(last, ces.pieces.piece[known], moments[known])
    last = np.where(last == NONE, NONE, last + 999)
    # Without a time of its own it lies between its neighbours'.
    bare = np.flatnonzero(last == NONE)
    if len(bare):
        first[bare], last[bare] = ces.low[ces.begin[bare]], ces.high[ces.end[bare]]
    return first, last


def _last(first: int, until: np.ndarray) -> int:
    """Give the last of some times, of those that are known."""
    known = until[(until != NONE) & (until < _UNKNOWN)]
    return int(known.max()) if len(known) else first + 999


@dataclass(frozen=True, slots=True)
class _Met:
    """Which enrollments were under way, or just over, in spans of time."""

    count: np.ndarray
    """How many were."""
    alone: np.ndarray
    """The one that was, and within whose time the span lies; -1: none, or several."""
    sure: np.ndarray
    """How sure it is that what happened then is that one's: less, once CAPF had given it up."""

    @staticmethod
    def of(stories: Sequence[Story], low: np.ndarray, high: np.ndarray) -> _Met:
        alone, sure = np.full(len(low), -1, dtype=np.int64), np.zeros(len(low))
        many = np.zeros(len(low), dtype=np.int64)
        known = np.flatnonzero((low != NONE) & (high != NONE) & (low <= high))
        if not len(known) or not stories:
            return _Met(many, alone, sure)
        low, high = low[known], high[known]
        begin = np.array([story.begin for story in stories], dtype=np.int64)
        end = np.array([max(story.end, story.begin) for story in stories], dtype=np.int64)
        until = np.array([max(story.until, story.begin) for story in stories], dtype=np.int64)
        count, which = counted(begin, until, low, high)
        many[known] = count
        one = np.flatnonzero(count == 1)
        one = one[(low[one] >= begin[which[one]] - 2 * SLACK_MS) & (high[one] <= until[which[one]] + SLACK_MS)]
        found = which[one]
        alone[known[one]] = found
        gave_up = np.array([story.gave_up for story in stories], dtype=bool)
        late = gave_up[found] & (low[one] > end[found])
        sure[known[one]] = np.where(late, _PROBABLE, 1.0)
        return _Met(many, alone, sure)


def _from_ces(ces: CesRequests, members: Sequence[int], rows: np.ndarray, begin: int, end: int) -> Story:
    """Make an enrollment without a device of what CES alone shows; ``members``: its pieces."""
    work = [n for n in members if ces.what[n] == WORK]
    tails = [n for n in members if ces.what[n] == TAIL]
    told = next((ces.error[n] for n in tails if ces.error[n] is not None), None)
    status = next((int(ces.status[n]) for n in tails if ces.status[n] != NONE), None)
    error, value = TOLD_BY_STATUS.get(status or 0, (None, None))
    outcome: Outcome = "incomplete"
    if work or tails:
        if status in (200, UNSET_STATUS) and told is None:
            outcome = "issued"
        elif status is not None or told is not None or any(ces.work[n] == -1 for n in work):
            outcome = "failed"
    if outcome == "failed" and told == "EST_ERR_HTTP_WRITE":
        # CAPF had gone away before this answer: it was not told of it.
        error, value = None, None
    if outcome == "incomplete":
        error, value = None, None
    return Story(None, begin, end, None, outcome, error, value, begin, end, rows)


def _join_ca(
    columns: Columns,
    requests: Requests,
    ces: CesRequests,
    owners: Owners,
    stories: list[Story],
    covered: Sequence[tuple[int, int]],
    *,
    others: bool,
) -> tuple[Given, list[np.ndarray]]:
    """Put CES's requests to the CA to enrollments; some that fit none make enrollments of their own.

    ``others``: CAPF or CES tell of enrollments, too.
    """
    found = find_ca_owners(columns, requests, ces, owners.owner, owners.sure, stories)
    met = _Met.of(stories, requests.earliest, requests.latest)
    found.sure = _in_crowd(found.sure, met.count)
    free = (met.alone >= 0) & (found.sure < met.sure) & ~found.foreign
    free &= (found.owner < 0) | (found.owner == met.alone) | (found.sure < LIKELY)
    acts = np.flatnonzero(
        (free | (found.owner >= 0) & (found.owner == met.alone)) & np.isin(requests.step, BEYOND_LOGIN)
    )
    spare = _spare(acts, met.alone, requests.step, found.chain[acts], np.where(found.sure >= LIKELY, found.owner, -1))
    free &= ~np.isin(found.chain, found.chain[spare])
    # So many logins are not one enrollment's, however alone it was: whose they are is not known.
    logins = requests.step == LOGIN_STEP
    done = logins & (requests.status < 400) & (requests.status != NONE)
    done &= (met.alone >= 0) & (free | (found.owner == met.alone) & (found.sure >= LIKELY))
    crowded = np.bincount(met.alone[done], minlength=len(stories)) > _LOGINS
    free &= ~(logins & np.isin(met.alone, np.flatnonzero(crowded)))
    found.owner[free], found.sure[free] = met.alone[free], met.sure[free]
    # What the CA answered after CAPF had given up is not as sure.
    gave_up = np.array([story.gave_up for story in stories] or [False], dtype=bool)
    ended = np.array([story.end for story in stories] or [0], dtype=np.int64)
    late = (found.owner >= 0) & gave_up[found.owner] & (requests.earliest > ended[found.owner])
    found.sure[late] = np.minimum(found.sure[late], _PROBABLE)
    good = (found.owner >= 0) & (found.sure >= LIKELY)
    strays: list[np.ndarray] = []
    # (What another cluster's CES asks is nobody's, and of no interest here.)
    left = np.flatnonzero(~good & ~found.foreign)
    left = left[np.argsort(found.chain[left], kind="stable")]
    cuts = np.flatnonzero(np.diff(found.chain[left], prepend=-1))
    if len(left):
        # It is of an enrollment of its own if it opens the form, or goes beyond it, when none is known to be under way.
        asks = np.logical_or.reduceat(np.isin(requests.step[left], BEYOND_LOGIN), cuts)
        asks &= ~np.logical_or.reduceat(met.count[left] > 0, cuts) & ~good[found.chain[left[cuts]]]
        asks &= ~(inside(requests.time[left[cuts]], covered) & others)
        for own, begin, end in zip(asks.tolist(), cuts.tolist(), [*cuts[1:].tolist(), len(left)], strict=True):
            chain = np.sort(left[begin:end])
            if own:
                between = slice(int(chain[0]), int(chain[-1]) + 1)
                alone = (found.chain[between] == found.chain[chain[0]]).all()
                sure = np.ones(len(chain))
                if not alone:
                    # (The IIS alone tells no more than the likely way.)
                    sure = np.minimum(along(requests, chain, found.link), _PROBABLE)
                story = story_of_ca(requests, chain)
                story.order = requests.rows[chain[sure >= LIKELY]]
                story.likely = frozenset(requests.rows[chain[(sure >= LIKELY) & (sure < CERTAIN)]].tolist())
                stories.append(story)
                strays += [requests.rows[k : k + 1] for k in chain[sure < LIKELY].tolist()]
            else:
                strays.append(requests.rows[chain])
    owner = np.where(good, found.owner, -1).astype(np.int32)
    return Given.of(owner, requests.rows, found.sure < CERTAIN), strays
