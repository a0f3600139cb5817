"""CES's requests to the CA as IIS shows them: whose each is, or that nothing tells it."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.events import SOURCES
from capflog.rows import NONE
from capflog.steps import CHAIN, STEP, STEP_NAMES, by_words
from capflog.story import CHAIN_GAP_MS, GAVE_UP_MS, NO_ROWS, Outcome, Story, inside
from capflog.windows import before, counted, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.starts import Start
    from capflog.steps import Columns

#: CES's requests to the CA stand at most this far from the other lines of its start. (ms)
START_MS = 12_000

_LOGIN, _FORM, _POST, _CERTIFICATE = (STEP_NAMES.index(name) for name in ("login", "form", "post", "certificate"))

#: What CES asks of the CA for one enrollment; a login takes two or three requests (NTLM).
WHOLE = [_LOGIN, _FORM, _LOGIN, _POST, _CERTIFICATE]

#: So many requests are read at once.
_PIECE = 1 << 12


@dataclass(slots=True)
class Requests:
    """CES's requests to the CA in the order of time, as columns: times in ms since 1970 UTC, the step that each shows
    (as a mark of :mod:`capflog.steps` says it), the HTTP status, the client's code.
    """

    rows: np.ndarray
    time: np.ndarray
    earliest: np.ndarray
    latest: np.ndarray
    step: np.ndarray
    status: np.ndarray
    client: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, which: np.ndarray) -> Requests:
        """Give some of them."""
        return Requests(*(getattr(self, name)[which] for name in self.__slots__))


def ca_requests(columns: Columns, strangers: np.ndarray = NO_ROWS) -> Requests:
    """List the requests that CES made of the CA, in the order of time; those of browsers and others are nobody's.

    ``strangers``: rows, in order, of requests of CES on nodes that none of the logs is of: they are nobody's, too.
    """
    table = columns.table
    rows = table.of_source("iis")
    rows = rows[by_words(columns, "agent", rows, lambda agent: (agent or "CiscoRA").startswith("CiscoRA")) != 0]
    if len(strangers):
        rows = rows[~np.isin(rows, strangers)]
    # HTTP.sys logs no User-Agent: what asks for /certsrv from where CES asks is taken for CES.
    refused = table.of_source("httperr")
    asks = by_words(columns, "url", refused, lambda url: (url or "").lower().startswith("/certsrv")) != 0
    refused = refused[asks]
    if len(rows):
        refused = refused[np.isin(table.codes("client", refused)[0], table.codes("client", rows)[0])]
    rows = np.concatenate([rows, refused])
    rows = rows[np.lexsort((columns.line[rows], columns.member[rows], columns.time[rows]))]
    return Requests(
        rows,
        columns.time[rows],
        columns.earliest[rows],
        columns.latest[rows],
        columns.marks(rows) & STEP,
        table.numbers("status", rows),
        table.codes("client", rows)[0],
    )


def requests_of_starts(columns: Columns, requests: Requests, starts: Sequence[Start]) -> tuple[np.ndarray, np.ndarray]:
    """Find the requests that CES made while it started: the chain's, and the login before it; put them to the start.

    Gives back the places of those of a start and, of these, the places of those whose start is not known.
    """
    own = requests.step == CHAIN
    for k in np.flatnonzero(own).tolist():
        for login in range(k - 1, max(0, k - 4) - 1, -1):
            alike = requests.client[login] == requests.client[k]
            near = requests.time[k] - requests.time[login] <= CHAIN_GAP_MS
            if requests.step[login] != _LOGIN or not alike or not near:
                break
            own[login] = True
            if requests.status[login] == 401:
                break
    spans: list[tuple[int, int]] = []
    known: list[Start] = []
    for start in starts:
        times = columns.time[np.array(start.rows, dtype=np.int64)]
        times = times[times != NONE]
        if len(times):
            spans.append((int(times.min()) - START_MS, int(times.max()) + START_MS))
            known.append(start)
    begin, end = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    failed = np.array([start.ok is False for start in known], dtype=bool)
    asked = np.flatnonzero(own | (requests.step == _LOGIN))
    lost: list[int] = []
    for lo, hi, near_by in pieces(requests.time[asked], requests.time[asked], begin, end):
        near_by.sort()
        at = requests.time[asked[lo:hi], None]
        found = (begin[near_by] <= at) & (at <= end[near_by])
        own[asked[lo:hi]] |= (found & failed[near_by]).any(axis=1)
        for n in np.flatnonzero(own[asked[lo:hi]]).tolist():
            k, which = int(asked[lo + n]), found[n]
            if which.any():
                known[near_by[which.argmax()]].requests.append(int(requests.rows[k]))
            else:
                lost.append(k)
    return np.flatnonzero(own), np.array(lost, dtype=np.int64)


@dataclass(slots=True)
class JoinedCa:
    """Whose CES's requests to the CA are: each one's enrollment by its number (-1: none), and whether it is likely.

    ``strays``: places of requests that fit none for sure, those together that are of one enrollment.
    """

    owner: np.ndarray
    likely: np.ndarray
    strays: list[np.ndarray]


def join_ca(
    columns: Columns,
    requests: Requests,
    stories: list[Story],
    covered: Sequence[tuple[int, int]],
    others: bool,
) -> JoinedCa:
    """Put CES's requests to the CA to enrollments; some that fit none make enrollments of their own.

    ``others``: CAPF or CES tell of enrollments, too.
    """
    under_way = _UnderWay(requests, stories)
    owner, opened = under_way.fitting()
    joined = JoinedCa(owner, np.zeros(len(requests), dtype=bool), [])
    chains: list[list[int]] = []
    for group in _together(requests, opened):
        found = _chains(requests, group)
        if found is None:
            joined.strays.append(group)
        else:
            chains += found
    agreement = _Agreement(columns, requests, stories, owner)
    taken = np.zeros(len(stories), dtype=bool)
    for chain, common in zip(chains, under_way.common(chains), strict=True):
        left = agreement.of(chain, common[~taken[common]])
        if len(left) == 1:
            taken[left] = True
            owner[chain], joined.likely[chain] = left[0], True
        elif (
            not len(common)
            and any(requests.step[k] in (_FORM, _POST, _CERTIFICATE) for k in chain)
            and not (others and inside(requests.time[chain[:1]], covered)[0])
        ):
            # It is of an enrollment: it opens the form, or goes beyond it.
            stories.append(_from_ca(requests, chain))
        else:
            joined.strays.append(np.array(chain, dtype=np.int64))
    return joined


class _UnderWay:
    """The enrollments under way when CES asked the CA: called for, or given up and perhaps worked for still."""

    def __init__(self, requests: Requests, stories: Sequence[Story]) -> None:
        self._low, self._high = requests.earliest, requests.latest
        self._count = len(stories)
        self._begin = np.array([story.begin for story in stories], dtype=np.int64)
        self._end = np.array([story.end for story in stories], dtype=np.int64)
        # Only a call that was given up is worked for long after its end.
        self._until = np.array([story.until for story in stories], dtype=np.int64)
        self._form = requests.step == _FORM
        # From the first to the last moment of either.
        self._first = np.minimum(self._begin, self._end + 1)
        # Then a call was under way, or was or was just over, exactly where the one span or the other meets a request's.
        self._in_turn = bool(
            (self._begin <= self._end).all()
            and (self._end <= self._until).all()
            and (self._low <= self._high).all()
            and (self._low[1:] >= self._low[:-1]).all()
            and (self._high[1:] >= self._high[:-1]).all()
        )

    def _fits(self, asked: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell of each request and enrollment whether it was called for, and whether it was or was just over."""
        low, high = self._low[asked, None], self._high[asked, None]
        begin, end, until = self._begin[near], self._end[near], self._until[near]
        called = (begin <= high) & (end >= low)
        return called, called | ((end < high) & (until >= low))

    def fitting(self) -> tuple[np.ndarray, _Open]:
        """Give each request's one enrollment (-1: none or several fit), and the requests that are open."""
        return self._counted() if self._in_turn else self._compared()

    def _counted(self) -> tuple[np.ndarray, _Open]:
        """Do so by counting: those that a request fits have begun, less those that were over."""
        called, which = counted(self._begin, self._end, self._low, self._high)
        fits, _ = counted(self._begin, self._until, self._low, self._high)
        sure = (fits == 1) & (called == 1)
        owner = np.where(sure, which, -1).astype(np.int32)
        places = np.flatnonzero(~sure)
        # What fits one and an earlier one fits those between them, too.
        linked = np.full(len(places), -1, dtype=np.int64)
        by_begin = np.argsort(self._begin, kind="stable")
        reach = np.concatenate([[NONE], np.maximum.accumulate(self._until[by_begin])])
        begun = np.searchsorted(self._begin[by_begin], self._high[places[:-1]], side="right")
        both = reach[begun] >= self._low[places[1:]]
        linked[1:][both] = np.flatnonzero(both)
        return owner, _Open(places, linked, fits[places] > 0)

    def _compared(self) -> tuple[np.ndarray, _Open]:
        """Do so by comparing each with those around it."""
        owner = np.full(len(self._low), -1, dtype=np.int32)
        last = np.full(self._count, -1, dtype=np.int32)
        places, linked, choice = [NO_ROWS], [NO_ROWS], [NO_ROWS != 0]
        count = 0
        for lo, hi, near in pieces(self._low, self._high, self._first, self._until):
            called, either = self._fits(np.arange(lo, hi), near)
            fits = np.count_nonzero(either, axis=1)
            sure = (fits == 1) & (np.count_nonzero(called, axis=1) == 1)
            if sure.any():
                owner[lo:hi][sure] = near[called[sure].argmax(axis=1)]
            left = np.flatnonzero(~sure)
            if len(left):
                earlier = before(either[left], np.arange(count, count + len(left)), near, last)
                places.append(lo + left)
                linked.append(earlier.max(axis=1, initial=-1))
                choice.append(fits[left] > 0)
                count += len(left)
        return owner, _Open(*(np.concatenate(parts) for parts in (places, linked, choice)))

    def common(self, chains: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
        """Yield the enrollments that all requests of a chain fit, of each chain; these are in the order of time."""
        sizes = np.array([len(chain) for chain in chains], dtype=np.int64)
        every = np.array([k for chain in chains for k in chain], dtype=np.int64)
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        if not len(every):
            return
        low = np.maximum.reduceat(self._low[every], bounds[:-1])
        high = np.minimum.reduceat(self._high[every], bounds[:-1])
        # CES does not begin only after CAPF gave up, if there is a call that it may have begun for.
        begins = np.logical_or.reduceat(self._form[every], bounds[:-1])
        if self._in_turn:
            yield from self._common(low, high, begins)
            return
        for lo, hi, near in pieces(low, high, self._first, self._until):
            called, either = self._fits(every[bounds[lo] : bounds[hi]], near)
            cuts = bounds[lo:hi] - bounds[lo]
            called, either = (np.logical_and.reduceat(fits, cuts, axis=0) for fits in (called, either))
            prefer = begins[lo:hi] & called.any(axis=1)
            for common in np.where(prefer[:, None], called, either):
                yield near[common]

    def _common(self, low: np.ndarray, high: np.ndarray, begins: np.ndarray) -> Iterator[np.ndarray]:
        order = np.argsort(self._begin, kind="stable")
        end, until = self._end[order], self._until[order]
        begun = np.searchsorted(self._begin[order], high, side="right")
        ended = np.searchsorted(np.maximum.accumulate(until), low)
        for since, lo, hi, prefer in zip(low.tolist(), ended.tolist(), begun.tolist(), begins.tolist(), strict=True):
            called = order[lo:hi][end[lo:hi] >= since] if prefer else NO_ROWS
            yield called if len(called) else order[lo:hi][until[lo:hi] >= since]


@dataclass(frozen=True, slots=True)
class _Open:
    """Requests that several enrollments fit, or none, as columns."""

    places: np.ndarray
    linked: np.ndarray
    """The last one before it (by its number among these; -1: none) that fits an enrollment that it fits."""
    choice: np.ndarray
    """Whether it fits any."""


def _together(requests: Requests, opened: _Open) -> list[np.ndarray]:
    """Cut requests where one cannot be of the same enrollment as those before it; gives their places."""
    far = np.diff(requests.time[opened.places], prepend=NONE) > CHAIN_GAP_MS
    # What fits an enrollment together with the one just before it is never cut off.
    parts = far | (opened.linked != np.arange(len(far)) - 1)
    parts[:1] = True
    asked = np.flatnonzero(parts)
    cuts: list[int] = []
    begun, some = 0, False
    columns = (asked, far[asked], opened.linked[asked], opened.choice[asked])
    for number, apart, linked, choice in zip(*(column.tolist() for column in columns), strict=True):
        if not number or apart or (linked < begun and (choice or some)):
            cuts.append(number)
            begun, some = number, choice
    return [opened.places[lo:hi] for lo, hi in pairwise([*cuts, len(opened.places)])]


class _Chains:
    """Chains of requests while they are cut: which of the latest ones wait for a step."""

    def __init__(self) -> None:
        self.chains: list[list[int]] = []
        self._done: list[set[int]] = []
        self._last: list[int] = []
        self._old = -1
        """The last chain that went on too long ago; those before it are not asked any more."""
        self._times: list[tuple[int, int]] = []
        self._waiting: dict[int, set[int]] = {_FORM: set(), _POST: set(), _CERTIFICATE: set()}

    def forget(self, since: int) -> bool:
        """Forget the chains up to the last one that went on before ``since``; tell whether any is left."""
        while self._times and self._times[0][0] < since:
            at, number = heappop(self._times)
            if at == self._last[number]:
                self._old = max(self._old, number)
        return self._old < len(self.chains) - 1

    def waiting(self, step: int) -> list[int]:
        """Give the chains that go on with this step: a post after its form, the certificate after its post."""
        waiting = self._waiting.get(step, set())
        found: list[int] = []
        for number in list(waiting):
            if number <= self._old:
                waiting.discard(number)
            else:
                found.append(number)
                if len(found) > 1:
                    break
        return found

    def add(self, requests: Sequence[int], steps: Sequence[int], at: int, number: int | None = None) -> None:
        """Begin a chain with requests, or let the chain of this number go on with them; ``at``: the last one's time."""
        if number is None:
            number = len(self.chains)
            self.chains.append([])
            self._done.append(set())
            self._last.append(at)
        self.chains[number] += requests
        done = self._done[number]
        done.update(steps)
        self._last[number] = at
        heappush(self._times, (at, number))
        # What a chain of an unknown page waits for is the form.
        for step, after in ((_FORM, 0), (_POST, _FORM), (_CERTIFICATE, _POST)):
            if after in done and step not in done:
                self._waiting[step].add(number)
            else:
                self._waiting[step].discard(number)


def _one_by_one(requests: Requests, group: np.ndarray) -> Iterator[tuple[int, int, int, bool]]:
    """Yield requests: place, step, time, whether it was refused; the first ones may tell already that it is no use."""
    for begin in range(0, len(group), _PIECE):
        some = group[begin : begin + _PIECE]
        refused = requests.status[some] == 401
        yield from zip(
            some.tolist(), requests.step[some].tolist(), requests.time[some].tolist(), refused.tolist(), strict=True
        )


def _chains(requests: Requests, group: np.ndarray) -> list[list[int]] | None:
    """Cut CES's requests into chains, one for each enrollment: login, form, login, post, certificate.

    A login belongs to what follows on it: a form begins a chain, a post goes on with one. None: requests of several
    enrollments stand between one another, so that nothing tells whose which is.
    """
    chains = _Chains()
    login: list[int] = []
    last_at, last_refused = 0, False
    for k, step, at, first in _one_by_one(requests, group):
        gap = bool(login) and at - last_at > CHAIN_GAP_MS
        begins = step == _LOGIN and bool(login) and first
        if begins and not gap and not last_refused:
            return None
        if gap or begins:
            chains.add(login, [_LOGIN], last_at)
            login = []
        if step == _LOGIN:
            login.append(k)
            last_at, last_refused = at, first
            continue
        near = chains.forget(at - CHAIN_GAP_MS)
        waiting = chains.waiting(step)
        if len(waiting) > 1 or (waiting and step == _CERTIFICATE and login):
            return None
        if not waiting and near and (not login or step != _FORM):
            return None
        chains.add([*login, k], [_LOGIN, step] if login else [step], at, waiting[0] if waiting else None)
        login = []
    if login:
        chains.add(login, [_LOGIN], last_at)
    return chains.chains


class _Agreement:
    """Tells whether requests go on where an enrollment's own end; one that was issued has them all."""

    def __init__(self, columns: Columns, requests: Requests, stories: Sequence[Story], owner: np.ndarray) -> None:
        self._steps = requests.step
        self._issued = np.array([story.outcome == "issued" for story in stories], dtype=bool)
        own = np.flatnonzero(owner >= 0)
        own = own[columns.table.source[requests.rows[own]] == SOURCES.index("iis")]
        own = own[np.argsort(owner[own], kind="stable")]
        self._own = own
        self._bounds = np.searchsorted(owner[own], np.arange(len(stories) + 1))

    def of(self, chain: Sequence[int], stories: np.ndarray) -> np.ndarray:
        """Give those of the enrollments that the chain agrees with."""
        if not len(stories):
            return stories
        alone = self._bounds[stories] == self._bounds[stories + 1]
        good, whole = self._judged(chain)
        agrees = alone & good & (whole | ~self._issued[stories])
        for n in np.flatnonzero(~alone).tolist():
            story = stories[n]
            own = self._own[self._bounds[story] : self._bounds[story + 1]].tolist()
            good, whole = self._judged(sorted({*chain, *own}))
            agrees[n] = good and (whole or not self._issued[story])
        found: np.ndarray = stories[agrees]
        return found

    def _judged(self, places: Sequence[int]) -> tuple[bool, bool]:
        """Tell whether requests are what CES asks for one enrollment, from its beginning, and whether they are all."""
        steps = self._steps[places].tolist()
        done = [step for k, step in enumerate(steps) if k == 0 or step != _LOGIN or steps[k - 1] != _LOGIN]
        return done == WHOLE[: len(done)], len(done) == len(WHOLE)


def _from_ca(requests: Requests, chain: Sequence[int]) -> Story:
    """Make an enrollment without a device of what the CA alone shows.

    Fetching the certificate is taken for success, if CAPF can still have waited for it; what CAPF was told, nobody
    here knows. A chain that broke off is a failure where IIS goes on logging well after it, else it is incomplete: IIS
    writes up to 64 KB late.
    """
    times = requests.time[chain]
    begin, end = int(times.min()), int(times.max())
    fetched = bool(((requests.step[chain] == _CERTIFICATE) & (requests.status[chain] == 200)).any())
    later = int(requests.time[-1]) - end > CHAIN_GAP_MS
    outcome: Outcome = "issued" if fetched else "failed" if later else "incomplete"
    if fetched and end - begin >= GAVE_UP_MS:
        outcome = "incomplete"
    return Story(None, begin, end, None, outcome, None, None, begin, end, requests.rows[chain])
