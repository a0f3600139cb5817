"""error.log cut into requests to CES: by connection where a record names one, else by the order of libEST's lines.

Most lines say nothing that depends on another request: whole requests that libEST logged in one go are found by arrays.
What is left goes line by line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.steps import ANSWERS, by_words, ranked
from capflog.story import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.steps import Columns

#: What matters of a row while error.log is cut: whether it bears a connection, or is of a start of CES; what it is of
#: CES's work and of libEST's lines; whether it is an access record of an enrollment.
_CONNECTION, _START, _WORK, _EST, _AFTERWARDS, _TRAILER, _PEER, _CERT, _ANSWER, _CHALLENGE, _ACCESS, _ENROLL = (
    1 << bit for bit in range(12)
)

_SAYS = _CERT | _CHALLENGE | _ACCESS

#: Instead of a connection's number: the row is of a start of CES.
_OF_START = -2

#: Among how many requests, and how many rows after its last one, a line may still be of a request of libEST's.
_AT_ONCE, _NEAR_ROWS = 16, 64

#: So many runs of rows are cut at once.
_RUNS = 1 << 16

#: What libEST logs of a request after its access record; errors of TLS come at any time.
_AFTER = frozenset({"est.referer", "est.agent", "est.shutdown"})

TRAILERS = _AFTER | {"est.ssl.error"}


def _told_by(kind: str) -> int:
    """Say what the kind of a row tells while error.log is cut."""
    est = kind.startswith("est.")
    return (
        kind.startswith(("curl.", "ces.")) * _WORK
        | est * _EST
        | (kind in _AFTER) * _AFTERWARDS
        | (kind in TRAILERS) * _TRAILER
        | (kind == "est.peer") * _PEER
        | (kind in ("est.client.nocert", "est.client.cert")) * _CERT
        | (kind in ANSWERS or kind == "est.access") * _ANSWER
        | (kind == "est.auth.challenge") * _CHALLENGE
        | (kind == "est.access") * _ACCESS
    )


#: What is known of a request while error.log is cut: NGINX's connection; it is over; libEST asked it for credentials;
#: it was answered before CES did anything for it; libEST said whether the client has a certificate; its access record
#: is of an enrollment, and it was not asked for credentials.
CONNECTED, _OVER, ASKED, UNCLEAR, _PRESENTED, ENROLLING = (1 << bit for bit in range(6))


@dataclass(frozen=True, slots=True)
class Found:
    """The rows of requests, in the order of their files, and which request each is of; what is known of these."""

    rows: np.ndarray
    owner: np.ndarray
    known: np.ndarray
    """A byte of the bits above for each request."""


def cut(columns: Columns, of_starts: np.ndarray) -> Found:
    """Cut error.log into requests. ``of_starts``: the rows that are of CES's starts, sorted."""
    table = columns.table
    told = np.array([*map(_told_by, table.kinds), 0], dtype=np.int16)
    cutter = _Cutter()
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    whole: list[np.ndarray] = []
    for source in ("nginx", "ciscora"):
        for mine in _members(columns, table.of_source(source)):
            file = _File.of(columns, mine, told, of_starts)
            if len(file.rows):
                parts.append(_cut_file(cutter, file, _Runs.of(file), whole))
    known = np.zeros(len(cutter.known) + cutter.passed, dtype=np.uint8)
    known[np.array(cutter.number, dtype=np.int64)] = np.frombuffer(cutter.known, dtype=np.uint8)
    for numbers in whole:
        known[numbers] = _PRESENTED | ASKED | _OVER
    return Found(
        np.concatenate([NO_ROWS, *(rows for rows, _ in parts)]),
        np.concatenate([np.zeros(0, dtype=np.int32), *(owner for _, owner in parts)]),
        known,
    )


def _members(columns: Columns, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Give the rows of each member, in the order of the members' names."""
    member = columns.member[rows]
    if (member[1:] < member[:-1]).any():
        order = np.argsort(member, kind="stable")
        rows, member = rows[order], member[order]
    if len(rows):
        yield from np.split(rows, np.flatnonzero(member[1:] != member[:-1]) + 1)


class _Worked:
    """The connections that CES worked on, by their numbers."""

    def __init__(self, numbers: np.ndarray) -> None:
        self._least = int(numbers.min()) if len(numbers) else 0
        span = int(numbers.max()) - self._least + 1 if len(numbers) else 0
        self._there, self._sorted = None, numbers
        if 0 < span <= 64 * len(numbers) + 65536:
            self._there = np.zeros(span, dtype=bool)
            self._there[numbers - self._least] = True
        else:
            self._sorted = np.sort(numbers)

    def has(self, connection: np.ndarray) -> np.ndarray:
        """Tell of each number whether CES worked on a connection of that number."""
        if not len(self._sorted):
            return np.zeros(len(connection), dtype=bool)
        if self._there is not None:
            at = connection - self._least
            within = (connection >= self._least) & (at < len(self._there))
            return within & self._there[np.where(within, at, 0)]
        at = np.searchsorted(self._sorted, connection)
        works: np.ndarray = self._sorted[np.minimum(at, len(self._sorted) - 1)] == connection
        return works


@dataclass(frozen=True, slots=True)
class _File:
    """The rows of a file that may be of requests, and what each tells."""

    rows: np.ndarray
    what: np.ndarray
    key: np.ndarray
    """The number of its connection, a worker's process id and what NGINX calls it together; -1: none."""
    at_work: np.ndarray
    """For each connection the row of the last request to the CA that CES made for it; -1: none."""

    @staticmethod
    def of(columns: Columns, rows: np.ndarray, told: np.ndarray, of_starts: np.ndarray) -> _File:
        """Choose them: a connection that CES did not work on is a stranger's at the port."""
        table = columns.table
        what = told[table.kind[rows]]
        worked = _Worked(table.borne("connection", rows[(what & _WORK) != 0])[1])
        if len(of_starts):
            at = np.minimum(np.searchsorted(rows, of_starts), len(rows) - 1)
            what[at[rows[at] == of_starts]] |= _START
        mine = (what & (_START | _EST)) != 0
        has, connection = table.borne("connection", rows)
        what[has] |= _CONNECTION
        chosen = worked.has(connection) | ((what[has] & _START) != 0)
        mine[has] = chosen
        rows, what, connection = rows[mine], what[mine], connection[chosen]
        access = np.flatnonzero(what & _ACCESS)
        enroll = by_words(columns, "url", rows[access], lambda url: "enroll" in (url or ""))
        what[access] |= enroll.astype(np.int16) * _ENROLL
        borne = np.flatnonzero(what & _CONNECTION)
        pid = ranked(table.numbers("pid", rows[borne]))
        number = ranked(ranked(connection) * (int(pid.max(initial=0)) + 1) + pid)
        key = np.full(len(rows), -1, dtype=np.int32)
        key[borne] = number
        asked = np.array([*(kind.startswith("curl.") for kind in table.kinds), False])[table.kind[rows[borne]]]
        key[(what & _START) != 0] = _OF_START
        at_work = np.full(int(number.max(initial=-1)) + 1, -1, dtype=np.int64)
        at_work[number[asked]] = rows[borne[asked]]
        return _File(rows, what, key, at_work)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs of rows that are of one request in any case, as columns."""

    begin: np.ndarray
    """The place of the first row of each, and behind them that of the end."""
    what: np.ndarray
    """What its rows tell together."""
    single: np.ndarray
    """The places of those that go one by one; those between them are whole requests."""
    challenged: np.ndarray
    """The places of the runs with which whole requests begin that were asked for credentials: each of four runs."""
    strange: np.ndarray
    """The same of those that are no enrollments: each of two runs."""

    @staticmethod
    def of(file: _File) -> _Runs:
        """Find them."""
        begin = np.flatnonzero(~_follows(file.what, file.key))
        what = file.what[begin]
        alone = (what & (_CONNECTION | _START)) == 0
        peer, cert, challenge, access = (alone & ((what & bit) != 0) for bit in (_PEER, _CERT, _CHALLENGE, _ACCESS))
        # What follows on these has nothing to do with the request before it.
        parts = peer | ((what & (_CONNECTION | _WORK)) == _CONNECTION | _WORK) | ((what & _START) != 0)
        count = len(what)

        def in_turn(*runs: np.ndarray) -> np.ndarray:
            length = max(0, count - len(runs) + 1)
            found = np.ones(length, dtype=bool)
            for n, run in enumerate(runs):
                found &= run[n : n + length]
            return np.flatnonzero(found)

        challenged = in_turn(peer, cert, challenge, access, parts)
        strange = in_turn(peer, access & ((what & _ENROLL) == 0), parts)
        single = np.ones(count, dtype=bool)
        for places, length in ((challenged, 4), (strange, 2)):
            for n in range(length):
                single[places + n] = False
        # What libEST says of a certificate right after the peer is of the same request.
        told = in_turn(peer, cert)
        told = told[single[told]]
        single[told + 1] = False
        what[told] |= _CERT
        return _Runs(np.append(begin, len(file.what)), what, np.flatnonzero(single), challenged, strange)


def _follows(what: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Tell of each row whether it is in any case of the same request as the row before it, and tells nothing more."""
    follows = np.zeros(len(what), dtype=bool)
    bits, before = what[1:], what[:-1]
    told = _CONNECTION | _START
    of_est = (what & (told | _EST)) == _EST
    of_est, after_est = of_est[1:], of_est[:-1]
    says = _PEER | _CERT | _ANSWER | _CHALLENGE | _ACCESS
    plain = of_est & ((bits & (says | _TRAILER)) == 0)
    # What goes on before the request is over; what comes after that.
    follows[1:] = plain & after_est & ((before & (_ACCESS | _TRAILER)) == 0)
    follows[1:] |= of_est & ((bits & _AFTERWARDS) != 0) & after_est & ((before & (_AFTERWARDS | _ACCESS)) != 0)
    both = ((bits & told) == _CONNECTION) & ((before & told) == _CONNECTION)
    known = ((before & _WORK) != 0) | ((bits & _WORK) == 0)
    follows[1:] |= (key[1:] == key[:-1]) & both & known & ((bits & says) == 0)
    return follows


class _Cutter:
    """The requests that are cut run by run: of each, by its place among these, what the next line's place depends on.

    Requests are numbered in the order in which they begin; whole ones in between have numbers, too.
    """

    def __init__(self) -> None:
        self.number: list[int] = []
        self.known = bytearray()
        self.passed = 0
        """How many whole requests there were in the files before this one."""
        self._last: list[int] = []
        """The last row of each."""
        self._worked_until: list[int] = []
        """The row of CES's last request to the CA for it, once its connection is known."""
        self._begun: list[int] = []
        """Those that may not be over and whose connection is not known."""
        self._at_work: list[int] = []
        """Those that may not be over and whose connection is known."""
        self._current = -1
        """The request that the file is at, or -1."""
        self._passed = 0
        """How many whole requests there were before the last run."""
        self._of_key: list[int] = []
        """The request that each connection is, as far as the file has been read; -1: none."""
        self._key_until: list[int] = []

    def enter(self, file: _File) -> None:
        """Go on to another file."""
        self._current = -1
        self._of_key = [-1] * len(file.at_work)
        self._key_until = file.at_work.tolist()

    def _new(self, passed: int) -> int:
        """Begin another request."""
        place = len(self.number)
        self.number.append(place + passed)
        self._last.append(-_NEAR_ROWS)
        self._worked_until.append(0)
        self.known.append(0)
        return place

    def _kept(self, requests: list[int], since: int) -> list[int]:
        """Leave out those that are over, or from before ``since``: no line will be put to them by being near."""
        if len(requests) > _AT_ONCE:
            number, known = self.number, self.known
            requests[:] = [e for e in requests if number[e] >= since and not known[e] & _OVER]
        return requests

    def _is_alone(self, request: int, row: int, passed: int) -> bool:
        """Tell whether of those that libEST has just begun the connection at ``row`` can be this one alone."""
        number, last, known = self.number, self._last, self.known
        since = len(number) + passed - _AT_ONCE
        alone = False
        for e in reversed(self._kept(self._begun, since)):
            if not known[e] & (_OVER | CONNECTED) and row - last[e] < _NEAR_ROWS and number[e] >= since:
                if e != request:
                    return False
                alone = True
        return alone

    def _done_with(self, row: int, passed: int) -> int:
        """Give the one request for which CES has done its work at ``row``; -1: several, or none."""
        number, last, known = self.number, self._last, self.known
        since = len(number) + passed - _AT_ONCE
        found = -1
        for e in reversed(self._kept(self._at_work, since)):
            if (
                self._worked_until[e] < row
                and not known[e] & _OVER
                and row - last[e] < _NEAR_ROWS
                and number[e] >= since
            ):
                if found >= 0:
                    return -1
                found = e
        return found

    def _is_unclear(self, row: int, passed: int) -> bool:
        """Tell whether the answer at ``row`` may be that of a request that CES is at work for."""
        number, last, known = self.number, self._last, self.known
        since = len(number) + passed - _AT_ONCE
        for e in reversed(self._kept(self._at_work, since)):
            if not known[e] & _OVER and row - last[e] < _NEAR_ROWS and number[e] >= since:
                return True
        return False

    def cut(
        self, firsts: np.ndarray, lasts: np.ndarray, whats: np.ndarray, keys: np.ndarray, before: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the request that each run of rows is of, from its first row to its last one, by its number; -1: none.

        ``before``: how many whole requests there were before each. Gives, too, the runs with which a request begins.
        """
        owners: list[int] = []
        begun: list[int] = []
        number, last, known, of_key = self.number, self._last, self.known, self._of_key
        worked_until, at_work, not_connected = self._worked_until, self._at_work, self._begun
        current, went = self._current, self._passed
        for row, until, bits, key, passed in zip(
            firsts.tolist(), lasts.tolist(), whats.tolist(), keys.tolist(), before.tolist(), strict=True
        ):
            if passed != went:
                # The one that the file was at is over.
                current, went = -1, passed
            if key >= 0:
                request = of_key[key]
                if request < 0:
                    if not bits & _WORK:
                        # A stranger's, unless CES's work follows.
                        owners.append(-1)
                        continue
                    # Of two that libEST has just begun, nothing tells which one this connection is.
                    alone = current >= 0 and self._is_alone(current, row, passed)
                    if alone:
                        request = current
                    else:
                        begun.append(len(owners))
                        request = self._new(passed)
                    of_key[key] = request
                    known[request] |= CONNECTED
                    at_work.append(request)
                    done = self._key_until[key]
                    worked_until[request] = row if done < 0 else done
                current = request
            elif key == _OF_START:
                current = -1
                owners.append(-1)
                continue
            else:
                state = known[current] if current >= 0 else 0
                if bits & _AFTERWARDS and not state & _OVER:
                    # Of a request that is over, while another goes on.
                    owners.append(-1)
                    continue
                if (
                    current < 0
                    or bits & _PEER
                    or (state & _OVER and not bits & _TRAILER)
                    or (bits & _CERT and state & _PRESENTED)
                ):
                    begun.append(len(owners))
                    current, state = self._new(passed), 0
                    not_connected.append(current)
                elif bits & _ANSWER and state & CONNECTED:
                    # libEST answers a request when CES has done its work for it: not while more of that follows.
                    done = self._done_with(row, passed)
                    if done >= 0:
                        current = done
                    else:
                        known[current] |= UNCLEAR
                if bits & _ANSWER and not known[current] & (CONNECTED | ASKED):
                    unclear = self._is_unclear(row, passed)
                    known[current] = known[current] & ~UNCLEAR | unclear * UNCLEAR
            owners.append(current)
            last[current] = until
            if bits & _SAYS:
                if bits & _CERT:
                    known[current] |= _PRESENTED
                elif bits & _CHALLENGE:
                    known[current] |= ASKED
                elif bits & _ENROLL and not known[current] & ASKED:
                    known[current] |= _OVER | ENROLLING
                else:
                    known[current] |= _OVER
        self._current, self._passed = current, went
        found = np.array(owners, dtype=np.int32)
        least = int(found.min(initial=len(number), where=found >= 0))
        found[found >= 0] = np.array(number[least:], dtype=np.int32)[found[found >= 0] - least]
        return found, np.array(begun, dtype=np.int64)


def _cut_file(cutter: _Cutter, file: _File, runs: _Runs, whole: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Put the runs of a file to requests: gives their rows, those of strangers left out, and whose each is.

    ``whole`` gets the numbers of those whole requests that were asked for credentials.
    """
    single, begin = runs.single, runs.begin
    passed = np.sort(np.concatenate([runs.challenged, runs.strange]))
    before = np.searchsorted(passed, single) + cutter.passed
    begun_before = len(cutter.number)
    cutter.enter(file)
    owner = np.full(len(runs.what), -1, dtype=np.int32)
    begun: list[np.ndarray] = []
    for lo in range(0, len(single), _RUNS):
        some = single[lo : lo + _RUNS]
        what, first = runs.what[some], begin[some]
        both = (what & (_PEER | _CERT)) == _PEER | _CERT
        last = begin[some + 1 + both] - 1
        owners, new = cutter.cut(file.rows[first], file.rows[last], what, file.key[first], before[lo : lo + _RUNS])
        owner[some] = owners
        owner[some[both] + 1] = owners[both]
        begun.append(some[new])
    places = runs.challenged
    numbers = np.searchsorted(passed, places) + cutter.passed + begun_before
    numbers += np.searchsorted(np.concatenate([NO_ROWS, *begun]), places)
    for n in range(4):
        owner[places + n] = numbers
    whole.append(numbers)
    cutter.passed += len(passed)
    of_rows = np.repeat(owner, np.diff(begin))
    mine = np.flatnonzero(of_rows >= 0)
    return file.rows[mine], of_rows[mine]
