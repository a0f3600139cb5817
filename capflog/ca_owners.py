"""Which enrollment each of CES's requests to the CA is of.

CES tells in error.log of what the CA answered, a ms or two after IIS has logged that it did: both logs tell of the same
answers in the same order. Where CES's level or the lack of error.log hides that, IIS's own lines tell how requests
follow on one another (login, form, second login, post, certificate), and CAPF's answers follow on the certificates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.ces_requests import WORK, in_turn
from capflog.found import agreed
from capflog.one_order import Partners, Side, Weights, partners
from capflog.rows import NONE
from capflog.steps import FAULT, SEC_E_NO_CREDENTIALS, STEP_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.ca_requests import Requests
    from capflog.ces_requests import CesRequests
    from capflog.steps import Columns
    from capflog.story import Story

_LOGIN, _FORM, _POST, _CERTIFICATE = (STEP_NAMES.index(name) for name in ("login", "form", "post", "certificate"))

#: The codes of CES's records of work by the steps of requests (see :class:`capflog.pieces.Pieces`).
_CODE_OF = {_LOGIN: 2, _FORM: 3, _POST: 4, _CERTIFICATE: 5}

#: How soon what follows begins after an answer: within a login, or once that is done; after the form, when CES sets up
#: TLS anew; CAPF's answer after the certificate. The tick of the clock that IIS's time-taken goes by. (ms)
_NEXT_MS, _TLS_MS, _ANSWER_MS, _TICK_MS = 20, 250, 90, 17

#: Records of answers that come at once may stand so many rows out of order.
_ROWS = 8

#: Within about so much the begin of a request is known by the lines around it; a call of CAPF's is asked for at the CA
#: later than another one that came so much after it. (ms)
_ABOUT_MS, _SETUP_MS = 80, 200

#: Of so many certificates the time is known to some ms where the others' is supposed by it.
_TIMED = 0.5

#: So sure at the most is what the order of the calls says where something else tells, too.
_BY_TIME = 0.93

#: CES tells of an answer within so much. (ms)
_TOLD_MS = 40

#: CES gives up a call of the CA after ten seconds (Cisco 214396: "timed out after 10001 milliseconds"). (ms)
_CURL_WAITS = 10_000

#: Of so many of their certificates a cluster's own CES tells at least, and of so many of another's at the most.
_OURS, _THEIRS = 0.5, 0.1

#: Where others tell who CES is, so many certificates that are known here make a client one of ours.
_MANY = 5

#: So many certificates with the same id on either side tell how far IIS's times are off.
_ANCHORS = 3

#: A certificate's query: ReqID=10&ENC=b64.
_REQID = re.compile(r"(?i)\breqid=([0-9]{1,15})\b")

_NEVER = 1 << 60


@dataclass(slots=True)
class CaOwners:
    """Of each request the story that it is of (-1: none), and the probability.

    ``chain``: those of one number follow on one another, and are of one enrollment.
    """

    owner: np.ndarray
    sure: np.ndarray
    chain: np.ndarray
    link: np.ndarray
    """Of each request how sure it is that it follows on the one before it in its chain; 1.0: it is the first."""
    foreign: np.ndarray
    """Whether each is of a CES that none of the logs is of: another cluster's, which asks the same CA."""


@dataclass(slots=True)
class _Asked:
    """CES's requests to the CA, as this room sees them: in the order in which they were answered."""

    step: np.ndarray
    first: np.ndarray
    """The first leg of a login: it bears no user, and is refused."""
    low: np.ndarray
    high: np.ndarray
    """Between which times each was answered. (ms)"""
    taken: np.ndarray
    """NONE: not known."""
    reqid: np.ndarray
    good: np.ndarray
    client: np.ndarray

    @staticmethod
    def of(columns: Columns, requests: Requests) -> _Asked:
        table, rows = columns.table, requests.rows
        status, win32 = requests.status, table.numbers("win32", rows)
        anonymous = table.codes("user", rows)[0] < 0
        login = requests.step == _LOGIN
        first = login & (status == 401) & anonymous & np.isin(win32, (SEC_E_NO_CREDENTIALS, 5, NONE))
        # What CES did not wait for is no first leg that the second one follows on.
        taken = table.numbers("taken", rows)
        first &= (taken == NONE) | (taken < _CURL_WAITS - 200)
        member, line = columns.member[rows], columns.line[rows]
        low, high = _in_turn(
            member, line, requests.earliest, np.where(requests.latest == NONE, _NEVER, requests.latest)
        )
        good = (columns.marks(rows) & FAULT == 0) & (status != 401)
        return _Asked(
            requests.step,
            first,
            low,
            high,
            taken,
            _reqids(columns, rows),
            good,
            requests.client,
            rows,
            member,
            line,
        )

    rows: np.ndarray
    member: np.ndarray
    line: np.ndarray

    def begun(self, which: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Give between which times requests were begun; time-taken goes by a clock that ticks."""
        taken = np.where(self.taken == NONE, 0, self.taken)[which]
        return self.low[which] - taken - _TICK_MS, self.high[which] - taken + _TICK_MS

    def about(self) -> np.ndarray | None:
        """Give about when each was answered, in ms: between those of which that is known well, by the lines.

        None: it is known well of none.
        """
        low, high = self.low, np.minimum(self.high, self.low + 5_000)
        known = np.flatnonzero(high - low < 200)
        if not len(known):
            return None
        # (What is before the first of these, and behind the last, is spread over the time that there is.)
        places = np.concatenate([[-1], known, [len(low)]])
        times = np.concatenate([low[:1], ((low + high) / 2)[known], high[-1:]])
        about = np.interp(np.arange(len(low)), places, times)
        clipped: np.ndarray = np.maximum.accumulate(np.clip(about, low, high))
        return clipped

    def shift(self, which: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Where some are known to have been answered at other times than their clock tells, move all around them."""
        if len(which) < _ANCHORS:
            return
        order = np.argsort(self.low[which], kind="stable")
        which, low, high = which[order], low[order], np.minimum(high[order], _NEVER)
        off = np.maximum(self.low[which] - high, 0) - np.maximum(low - self.high[which], 0)
        if not off.any():
            return
        # A single one may be wrong: of three that follow one another the middle one counts.
        padded = np.concatenate([off[:1], off, off[-1:]])
        off = np.median(np.stack([padded[:-2], padded[1:-1], padded[2:]]), axis=0)
        moved = np.interp(self.low, self.low[which], off).astype(np.int64)
        self.low, self.high = self.low - moved, self.high - moved

    def narrow(self, which: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """Narrow the bounds of some, where that leaves any, and with them those of the requests around them."""
        lows, highs = np.maximum(self.low[which], low), np.minimum(self.high[which], high)
        ok = lows <= highs
        self.low[which[ok]], self.high[which[ok]] = lows[ok], highs[ok]
        self.low, self.high = _in_turn(self.member, self.line, self.low, self.high)


def _in_turn(member: np.ndarray, line: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Narrow the bounds of requests by their order in each file: IIS logs a request when it is answered."""
    low, high = low.copy(), high.copy()
    for code in np.unique(member).tolist():
        own = np.flatnonzero(member == code)
        own = own[np.argsort(line[own], kind="stable")]
        lows, highs = np.maximum.accumulate(low[own]), np.minimum.accumulate(high[own][::-1])[::-1]
        ok = lows <= highs
        low[own], high[own] = np.where(ok, lows, low[own]), np.where(ok, highs, high[own])
    return low, high


def _reqids(columns: Columns, rows: np.ndarray) -> np.ndarray:
    """Read the request ids that rows name, in a column of their own or in the query; NONE where they name none."""
    found = columns.table.numbers("reqid", rows)
    codes, words = columns.table.codes("query", rows)
    bare = np.flatnonzero((found == NONE) & (codes >= 0))
    told = np.full(len(words) + 1, NONE)
    for code in np.unique(codes[bare]).tolist():
        if (match := _REQID.search(words[code])) is not None:
            told[code] = int(match[1])
    found[bare] = told[codes[bare]]
    return found


def find_ca_owners(
    columns: Columns,
    requests: Requests,
    ces: CesRequests,
    of_piece: np.ndarray,
    sure_of_piece: np.ndarray,
    stories: Sequence[Story],
) -> CaOwners:
    """Find the story of each request. ``of_piece``: the story of each piece of error.log, -1: none; its probability."""
    found, asked, told = _found(columns, requests, ces, of_piece, sure_of_piece, stories)
    found.foreign = _foreign(asked, told, np.unique(ces.client[ces.what == WORK]))
    if not found.foreign.any():
        return found
    ours = np.flatnonzero(~found.foreign)
    again, _, _ = _found(columns, requests.chosen(ours), ces, of_piece, sure_of_piece, stories)
    found.owner[:], found.sure[:] = -1, 0.0
    found.owner[ours], found.sure[ours] = again.owner, again.sure
    found.chain[ours], found.link[ours] = ours[again.chain], again.link
    return found


def _foreign(asked: _Asked, told: np.ndarray, peers: np.ndarray) -> np.ndarray:
    """Tell which requests are of another cluster's CES.

    CES and CAPF run on one node, so that a client of the CA that is a peer of CES, too, is this one; what comes from
    elsewhere is taken for ours only if many of its certificates are known here. Without peers those are foreign of
    whose certificates hardly any is known, while another's are.

    ``told``: whether CES or CAPF tells of the request. ``peers``: the clients of CES, as codes.
    """
    foreign = np.zeros(len(told), dtype=bool)
    certificates = (asked.step == _CERTIFICATE) & asked.good
    clients = np.unique(asked.client).tolist()
    here = np.isin(clients, peers[peers >= 0])
    shares = {
        client: float(told[mine].mean())
        for client in clients
        if (mine := certificates & (asked.client == client)).any()
    }
    if here.any():
        for client in [client for client, own in zip(clients, here.tolist(), strict=True) if not own]:
            mine = asked.client == client
            if shares.get(client, 0.0) < _OURS or int((told & certificates & mine).sum()) < _MANY:
                foreign |= mine
        return foreign
    if any(share >= _OURS for share in shares.values()):
        for client, share in shares.items():
            # (Without a certificate nothing is known of it.)
            foreign |= (asked.client == client) & (share < _THEIRS)
    return foreign


def _found(
    columns: Columns,
    requests: Requests,
    ces: CesRequests,
    of_piece: np.ndarray,
    sure_of_piece: np.ndarray,
    stories: Sequence[Story],
) -> tuple[CaOwners, _Asked, np.ndarray]:
    """Find the story of each request; gives, too, of which certificates CES or CAPF tell."""
    asked = _Asked.of(columns, requests)
    count = len(requests)
    chain = _Chain(count)
    told, told_sure = _told_by_ces(columns, requests, asked, ces, of_piece, sure_of_piece)
    by_answer, by_answer_sure = _told_by_capf(asked, stories)
    best = np.where((told >= 0) & (asked.step == _CERTIFICATE) & (told_sure > 0.9), told, NONE)
    best = np.where((best == NONE) & (by_answer >= 0) & (by_answer_sure > 0.9), by_answer, best)
    answered = np.array([NONE if s.answered is None or s.gave_up else s.answered for s in stories], dtype=np.int64)
    ended = np.full(count, NONE)
    ended[best != NONE] = answered[best[best != NONE]]
    _follow(asked, chain, ended)
    owner, sure = chain.settle(told, told_sure, by_answer, by_answer_sure)
    by_time, by_time_sure = _by_time(asked, chain, stories, told)
    by_time_sure = np.where(owner >= 0, np.minimum(by_time_sure, _BY_TIME), by_time_sure)
    owner, sure = agreed(owner, sure, by_time, by_time_sure)
    foreign = np.zeros(count, dtype=bool)
    link = np.where(chain.before >= 0, chain.sure, 1.0)
    return CaOwners(owner, sure, chain.number, link, foreign), asked, best != NONE


class _Chain:
    """Requests that follow on one another, while they are joined."""

    def __init__(self, count: int) -> None:
        self.before = np.full(count, -1, dtype=np.int64)
        self.after = np.full(count, -1, dtype=np.int64)
        self.sure = np.zeros(count)
        """Of each request how sure it is that it follows on the one before it."""
        self.number = np.full(count, -1, dtype=np.int64)

    def join(self, before: np.ndarray, after: np.ndarray, sure: np.ndarray) -> None:
        """Note which follow on which."""
        self.before[after] = before
        self.after[before] = after
        self.sure[after] = sure

    def settle(
        self, told: np.ndarray, told_sure: np.ndarray, answer: np.ndarray, answer_sure: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give each request the story that it, or what it is joined with, is known to be of."""
        count = len(self.before)
        owner, sure = told.copy(), told_sure.copy()
        better = (answer >= 0) & (answer_sure > sure) & (owner < 0)
        owner[better], sure[better] = answer[better], answer_sure[better]
        # From either end along the chains: at most a few steps.
        for _ in range(8):
            changed = False
            for near, link in ((self.after, self.sure[self.after]), (self.before, self.sure)):
                known = np.flatnonzero(near >= 0)
                through = near[known]
                offer = sure[through] * link[known]
                take = (owner[through] >= 0) & (offer > sure[known] + 1e-9) & (told[known] < 0)
                if near is self.before:
                    # What follows on it at once is known better than what it follows on.
                    take &= (self.after[known] < 0) | (owner[self.after[known]] < 0)
                if take.any():
                    owner[known[take]], sure[known[take]] = owner[through[take]], offer[take]
                    changed = True
            if not changed:
                break
        number = np.arange(count)
        for _ in range(8):
            follow = self.before >= 0
            number[follow] = number[self.before[follow]]
        self.number = number
        return owner, sure


def _follow(asked: _Asked, chain: _Chain, ended: np.ndarray) -> None:
    """Join requests that follow on one another.

    ``ended``: when CAPF logged the answer that followed on a certificate, in ms; NONE: not known.
    """
    certificates = np.flatnonzero(ended != NONE)
    asked.narrow(certificates, ended[certificates] - _ANSWER_MS, ended[certificates] + 5)
    place = np.arange(len(asked.step))
    fetched = np.count_nonzero(asked.step == _CERTIFICATE)
    timed = fetched > 0 and len(certificates) >= _TIMED * fetched

    def about() -> np.ndarray | None:
        return asked.about() if timed else None

    for client in np.unique(asked.client).tolist():
        mine = asked.client == client
        # A certificate is fetched right after its post; ids rise in the order of the posts.
        posts = np.flatnonzero(mine & (asked.step == _POST))
        certificates = np.flatnonzero(mine & (asked.step == _CERTIFICATE))
        order = np.lexsort((place[certificates], asked.reqid[certificates]))
        if (np.diff(place[certificates[order]]) < -64).any():
            order = np.argsort(place[certificates])
        certificates = certificates[order]
        low, high = asked.begun(certificates)
        found = partners(
            Side(place[posts], place[posts], also=(asked.low[posts], asked.high[posts])),
            Side(place[certificates] - 6, place[certificates] - 1, also=(low - _NEXT_MS, high)),
            Weights(3, 0.5, 12, 1e-2, 1e-3, 0.005, apart=15),
        )
        _join(asked, chain, posts, certificates, found, _NEXT_MS)
        # The second leg of a login follows at once; what is asked with it begins as soon as that is done.
        firsts = np.flatnonzero(mine & asked.first)
        seconds = np.flatnonzero(mine & (asked.step == _LOGIN) & ~asked.first)
        _before(asked, chain, firsts, seconds, _NEXT_MS, 1e-3, 2.0)
        logins = seconds[asked.good[seconds]]
        forms = np.flatnonzero(mine & (asked.step == _FORM))
        _before(asked, chain, logins, np.sort(np.concatenate([forms, posts])), _NEXT_MS, 1e-3, 4.0, about=about())
        # The second login follows on the form.
        again = chain.before[chain.before[posts[chain.before[posts] >= 0]]]
        again = np.unique(again[again >= 0])
        _before(asked, chain, forms, again[asked.first[again]], _TLS_MS, 1e-2, 6.0, 300, about=about())


def _before(
    asked: _Asked,
    chain: _Chain,
    earlier: np.ndarray,
    later: np.ndarray,
    within: int,
    lacking: float,
    apart: float,
    late: float = 10,
    *,
    about: np.ndarray | None = None,
) -> None:
    """Join requests with those that begin within so many ms after their answers, as a rule on the lines behind."""
    if not len(earlier) or not len(later):
        return
    low, high = asked.begun(later)
    close = None
    if about is None:
        # (In the order of the lines: that of their begins is not known as well.)
        order = np.argsort(later, kind="stable")
        place = later - 1
    else:
        begun = about[later] - np.where(asked.taken == NONE, 0, asked.taken)[later]
        order = np.lexsort((later, begun))
        place = np.minimum(np.searchsorted(about, begun, side="right") - 1, later - 1)
        close = 0.4 * np.exp(-np.diff(begun[order], append=_NEVER) / _ABOUT_MS)
    later, low, high, place = later[order], low[order], high[order], place[order]
    # (Of those that are farther on it must be said how far: ``apart`` lines weigh e times less.)
    found = partners(
        Side(asked.low[earlier], asked.high[earlier], also=(earlier, earlier)),
        Side(low - within, high, also=(place, place), close=close),
        Weights(late, 10, 25, lacking, 1e-3, 0.05, apart=apart),
    )
    # No answer comes before the one that it waits for.
    wrong = (found.partner >= 0) & (later[found.partner] < earlier)
    found.partner[wrong] = -1
    _join(asked, chain, earlier, later, found, within)


def _join(asked: _Asked, chain: _Chain, before: np.ndarray, after: np.ndarray, found: Partners, within: int) -> None:
    good = np.flatnonzero((found.partner >= 0) & (found.sure > 0.4))
    one, other = before[good], after[found.partner[good]]
    chain.join(one, other, found.sure[good])
    sure = found.sure[good] > 0.9
    low, high = asked.begun(other[sure])
    asked.narrow(one[sure], low - within, high)


def _told_by_ces(
    columns: Columns,
    requests: Requests,
    asked: _Asked,
    ces: CesRequests,
    of_piece: np.ndarray,
    sure_of_piece: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each request the record in which CES tells of it, and so whose it is."""
    owner, sure = np.full(len(requests), -1, dtype=np.int64), np.zeros(len(requests))
    pieces = ces.pieces
    table = columns.table
    ok = np.flatnonzero(np.array([kind == "curl.ok" for kind in [*table.kinds, ""]])[table.kind[pieces.rows]])
    failed = np.flatnonzero(np.array([kind == "curl.failed" for kind in [*table.kinds, ""]])[table.kind[pieces.rows]])
    code = table.numbers("code", pieces.rows[failed])

    def match(mine: np.ndarray, places: np.ndarray, low: np.ndarray, high: np.ndarray, begun: bool) -> None:
        if not len(mine) or not len(places):
            return
        span = asked.begun() if begun else (asked.low, asked.high)
        order = np.argsort(low, kind="stable") if begun else np.arange(len(places))
        turn = mine[np.argsort(span[0][mine], kind="stable")] if begun else mine
        between = (after[turn], before[turn])
        if begun:
            between = (np.full(len(turn), -_NEVER), np.full(len(turn), _NEVER))
        found = partners(
            Side(span[0][turn], span[1][turn], also=between),
            Side(low[order], high[order], also=(places[order], places[order])),
            Weights(60, 60, 10, 1e-3, 1e-3, 0.002, apart=2),
        )
        good = np.flatnonzero(found.partner >= 0)
        piece = pieces.piece[places[order[found.partner[good]]]]
        owner[turn[good]] = of_piece[piece]
        sure[turn[good]] = found.sure[good] * sure_of_piece[piece]

    reqids = _reqids(columns, pieces.rows)
    certificates = np.flatnonzero(asked.step == _CERTIFICATE)
    named, said = _by_reqid(asked, certificates, ok[pieces.work[ok] == _CODE_OF[_CERTIFICATE]], reqids)
    asked.shift(named, ces.low[said] - _TOLD_MS, ces.high[said])
    # What IIS answered between two certificates CES tells of between its records of these.
    after, before = np.full(len(requests), -_NEVER), np.full(len(requests), _NEVER)
    after[named] = before[named] = said
    after, before = np.maximum.accumulate(after) - _ROWS, np.minimum.accumulate(before[::-1])[::-1] + _ROWS
    # The other way round IIS's time tells when CES wrote its record, and so those around it.
    low, high = ces.low.copy(), np.minimum(ces.high, _NEVER)
    lows, highs = np.maximum(low[said], asked.low[named]), np.minimum(high[said], asked.high[named] + _TOLD_MS)
    meet = lows <= highs
    low[said[meet]], high[said[meet]] = lows[meet], highs[meet]
    low, high = in_turn(columns, pieces.rows, low, high)
    late = (asked.taken != NONE) & (asked.taken >= _CURL_WAITS - 300)
    login = (asked.step == _LOGIN) & ~asked.first
    denied = failed[code != 28]
    for step, number in _CODE_OF.items():
        mine = np.flatnonzero((login if step == _LOGIN else asked.step == step) & ~late)
        places = ok[pieces.work[ok] == number]
        if step == _LOGIN:
            places = np.sort(np.concatenate([places, denied]))
        # CES tells a ms or some after the answer.
        match(mine, places, low[places] - _TOLD_MS, high[places], begun=False)
    slow = failed[code == 28]
    match(
        np.flatnonzero(late),
        slow,
        low[slow] - _CURL_WAITS - 200,
        high[slow] - _CURL_WAITS + 200,
        begun=True,
    )
    # The same id is the same certificate.
    owner[named], sure[named] = of_piece[pieces.piece[said]], sure_of_piece[pieces.piece[said]]
    owner[sure <= 0] = -1
    return owner, sure


def _by_reqid(asked: _Asked, mine: np.ndarray, places: np.ndarray, reqids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the certificates whose request id is named once on either side, and where CES names it."""
    here, there = asked.reqid[mine], reqids[places]
    values, counts = np.unique(here[here != NONE], return_counts=True)
    others, other_counts = np.unique(there[there != NONE], return_counts=True)
    both = np.intersect1d(values[counts == 1], others[other_counts == 1])
    one, other = mine[np.isin(here, both)], places[np.isin(there, both)]
    return one[np.argsort(asked.reqid[one])], other[np.argsort(reqids[other])]


def _told_by_capf(asked: _Asked, stories: Sequence[Story]) -> tuple[np.ndarray, np.ndarray]:
    """Find for each certificate the answer of CAPF's that followed on it."""
    owner, sure = np.full(len(asked.step), -1, dtype=np.int64), np.zeros(len(asked.step))
    issued = np.array([n for n, s in enumerate(stories) if s.error == "EST_ERR_NONE" and s.answered is not None])
    certificates = np.flatnonzero((asked.step == _CERTIFICATE) & asked.good)
    if not len(issued) or not len(certificates):
        return owner, sure
    answered = np.array([stories[n].answered for n in issued.tolist()], dtype=np.int64)
    order = np.argsort(answered, kind="stable")
    # Of two answers within some ms nothing tells whose certificate was fetched first.
    gap = np.diff(answered[order], append=_NEVER)
    close = 0.4 * np.exp(-np.minimum(gap, 1000) / 2.0)
    found = partners(
        Side(asked.low[certificates], asked.high[certificates]),
        Side(answered[order] - _ANSWER_MS, answered[order], close=close),
        Weights(60, 60, 10, 1e-2, 1e-3, 0.003),
    )
    good = np.flatnonzero(found.partner >= 0)
    owner[certificates[good]] = issued[order[found.partner[good]]]
    sure[certificates[good]] = found.sure[good]
    return owner, sure


def _by_time(asked: _Asked, chain: _Chain, stories: Sequence[Story], told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put chains to calls: those of CAPF's come in the order in which CES begins to ask for them.

    ``told``: of each request the story that CES tells it is of, which is better known than by the time; -1: none.
    """
    owner, sure = np.full(len(asked.step), -1, dtype=np.int64), np.zeros(len(asked.step))
    heads = np.flatnonzero(chain.number == np.arange(len(owner)))
    # What goes on with a post, and opens no form, is of a chain that was torn.
    opens, posts = np.zeros(len(owner), dtype=bool), np.zeros(len(owner), dtype=bool)
    opens[chain.number[asked.step == _FORM]] = True
    posts[chain.number[(asked.step == _POST) | (asked.step == _CERTIFICATE)]] = True
    heads = heads[opens[heads] | ~posts[heads]]
    heads = heads[~np.isin(heads, chain.number[told >= 0])]
    free = np.setdiff1d(np.arange(len(stories)), told[(told >= 0) & (asked.step != _LOGIN)])
    if not len(heads) or not len(free):
        return owner, sure
    begin_low, begin_high = asked.begun()
    heads = heads[np.argsort(begin_low[heads], kind="stable")]
    called = np.array([stories[n].begin for n in free.tolist()], dtype=np.int64)
    until = np.array([stories[n].until for n in free.tolist()], dtype=np.int64)
    gave_up = np.array([stories[n].gave_up for n in free.tolist()], dtype=bool)
    order = np.argsort(called, kind="stable")
    gap = np.diff(called[order], append=_NEVER)
    # (What comes in turn may be asked for out of turn: each sets up its connection first.)
    close = 0.4 * np.exp(-np.minimum(gap, 10_000) / _SETUP_MS)
    found = partners(
        Side(begin_low[heads], begin_high[heads]),
        Side(called[order], np.where(gave_up, until, np.minimum(until, called + 1500))[order], close=close),
        Weights(30, 300, 8, 1e-2, 1e-2, 0.02),
    )
    good = np.flatnonzero(found.partner >= 0)
    of_head, sure_of_head = np.full(len(owner), -1, dtype=np.int64), np.zeros(len(owner))
    of_head[heads[good]], sure_of_head[heads[good]] = free[order[found.partner[good]]], found.sure[good]
    number = chain.number
    owner = of_head[number]
    # As sure as all the links from the head to here.
    link, near = np.ones(len(owner)), np.arange(len(owner))
    for _ in range(8):
        there = chain.before[near] >= 0
        link[there] *= chain.sure[near[there]]
        near[there] = chain.before[near[there]]
    return owner, np.where(owner >= 0, sure_of_head[number] * link, 0.0)
