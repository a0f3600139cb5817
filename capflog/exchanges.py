"""Requests to CES as error.log shows them: NGINX's records of a connection, and libEST's lines among them.

libEST's lines bear no connection. They go to the request whose worker wrote around them; where several are under way,
to the one whose work is done, or they are marked as unclear.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from capflog.steps import ANSWERS, by_words, of_kinds
from capflog.story import CHAIN_GAP_MS, NO_ROWS, SLACK_MS
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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


#: What matters of a row while error.log is cut: whether it bears a connection, or is of a start of CES; what it is of
#: CES's work and of libEST's lines; whether it is an access record of an enrollment.
_CONNECTION, _START, _WORK, _EST, _AFTERWARDS, _TRAILER, _PEER, _CERT, _ANSWER, _CHALLENGE, _ACCESS, _ENROLL = (
    1 << bit for bit in range(12)
)

#: Among how many requests, and how many rows after its last one, a line may still be of a request of libEST's.
_AT_ONCE, _NEAR_ROWS = 16, 64

#: So many rows of error.log are read at once.
_PIECE = 1 << 18

#: What libEST logs of a request after its access record; errors of TLS come at any time.
_AFTER = frozenset({"est.referer", "est.agent", "est.shutdown"})

_TRAILERS = _AFTER | {"est.ssl.error"}

_REFUSALS = frozenset({"est.enroll.failed", "est.response", "est.request.failed"})

#: What shows that CES was at work for a request.
_AT_WORK = frozenset({"curl.ok", "curl.failed", "curl.data", "est.auth.failed"})

#: What libEST's server logs as the status of an answer that the application wrote: a success (seen in 2.1.0).
UNSET_STATUS = -1


def _told_by(kind: str) -> int:
    """Say what the kind of a row tells while error.log is cut."""
    est = kind.startswith("est.")
    return (
        kind.startswith(("curl.", "ces.")) * _WORK
        | est * _EST
        | (kind in _AFTER) * _AFTERWARDS
        | (kind in _TRAILERS) * _TRAILER
        | (kind == "est.peer") * _PEER
        | (kind in ("est.client.nocert", "est.client.cert")) * _CERT
        | (kind in ANSWERS or kind == "est.access") * _ANSWER
        | (kind == "est.auth.challenge") * _CHALLENGE
        | (kind == "est.access") * _ACCESS
    )


#: A connection of NGINX's: its worker's process id and the connection's number, NONE where there is none.
Connection = tuple[int, int]


def find_exchanges(columns: Columns, of_starts: np.ndarray) -> Exchanges:
    """Cut error.log into requests: by connection where a record names one, else by the order of libEST's lines.

    ``of_starts``: the rows that are of CES's starts, sorted.
    """
    table = columns.table
    cut = _Cut()
    told = np.array([*map(_told_by, table.kinds), 0], dtype=np.int16)
    for source in ("nginx", "ciscora"):
        for mine in _members(columns, table.of_source(source)):
            file = _File.of(columns, mine)
            cut.current = -1
            for begin in range(0, len(mine), _PIECE):
                _cut_piece(cut, columns, mine[begin : begin + _PIECE], file, told, of_starts)
    return _described(columns, cut)


def _members(columns: Columns, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Give the rows of each member, in the order of the members' names."""
    member = columns.member[rows]
    order = np.argsort(member, kind="stable")
    rows, member = rows[order], member[order]
    if len(rows):
        yield from np.split(rows, np.flatnonzero(np.diff(member)) + 1)


@dataclass(slots=True)
class _File:
    """What is known of the connections of one file."""

    worked: np.ndarray
    """The numbers of those that CES worked on, sorted."""
    at_work: dict[Connection, int]
    """The row of the last request to the CA that CES made for each."""
    requests: dict[Connection, int] = field(default_factory=dict)
    """The request that each is, as far as the file has been read."""

    @staticmethod
    def of(columns: Columns, rows: np.ndarray) -> _File:
        """Read the rows of CES's work."""
        table = columns.table
        told = np.array([*map(_told_by, table.kinds), 0], dtype=np.int16)
        rows = rows[(told[table.kind[rows]] & _WORK) != 0]
        connection = table.numbers("connection", rows)
        worked = np.sort(connection)
        mine = (connection != NONE) & np.array([*(k.startswith("curl.") for k in table.kinds), False])[table.kind[rows]]
        rows, connection = rows[mine], connection[mine]
        named = zip(table.numbers("pid", rows).tolist(), connection.tolist(), strict=True)
        return _File(worked, dict(zip(named, rows.tolist(), strict=True)))

    def works_on(self, connection: np.ndarray) -> np.ndarray:
        """Tell of connections whether CES may have worked on them, by their numbers."""
        if not len(self.worked):
            return np.zeros(len(connection), dtype=bool)
        at = np.searchsorted(self.worked, connection)
        works: np.ndarray = self.worked[np.minimum(at, len(self.worked) - 1)] == connection
        return works


#: What is known of a request while error.log is cut: NGINX's connection; it is over; libEST asked it for credentials;
#: it was answered before CES did anything for it; libEST said whether the client has a certificate; its access record
#: is of an enrollment, and it was not asked for credentials.
_CONNECTED, _OVER, _ASKED, _UNCLEAR, _PRESENTED, _ENROLLING = (1 << bit for bit in range(6))


@dataclass(slots=True)
class _Cut:
    """The requests found so far: of each, by its number, what the next line's place depends on."""

    last: list[int] = field(default_factory=list)
    """The last row of each."""
    worked_until: list[int] = field(default_factory=list)
    """The row of CES's last request to the CA for it, once its connection is known."""
    known: bytearray = field(default_factory=bytearray)
    newest: int = -_AT_ONCE
    """The newest one whose connection is known."""
    current: int = -1
    """The request that the file is at, or -1."""
    rows: list[np.ndarray] = field(default_factory=list)
    owners: list[np.ndarray] = field(default_factory=list)

    def new(self) -> int:
        """Begin another request."""
        self.last.append(-_NEAR_ROWS)
        self.worked_until.append(0)
        self.known.append(0)
        return len(self.last) - 1

    def near(self, row: int) -> list[int]:
        """List the requests that libEST's line at ``row`` may be of and that are not over."""
        last, known = self.last, self.known
        count = len(last)
        return [
            e for e in range(max(0, count - _AT_ONCE), count) if not known[e] & _OVER and row - last[e] < _NEAR_ROWS
        ]

    def all_that_are(self, what: int) -> np.ndarray:
        """Tell of each request whether that is known of it."""
        is_known: np.ndarray = (np.frombuffer(self.known, dtype=np.uint8) & what) != 0
        return is_known


def _cut_piece(
    cut: _Cut,
    columns: Columns,
    rows: np.ndarray,
    file: _File,
    told: np.ndarray,
    of_starts: np.ndarray,
) -> None:
    """Put a piece of a file to the requests that it tells of."""
    table = columns.table
    what = told[table.kind[rows]].astype(np.int64)
    connection = table.numbers("connection", rows)
    # A connection that CES did not work on is a stranger's at the port.
    strange = (connection != NONE) & ~file.works_on(connection)
    what |= (connection != NONE) * _CONNECTION
    if len(of_starts):
        at = np.searchsorted(of_starts, rows)
        what[of_starts[np.minimum(at, len(of_starts) - 1)] == rows] |= _START
    access = np.flatnonzero(what & _ACCESS)
    what[access] |= by_words(columns, "url", rows[access], lambda url: ("enroll" in (url or "")) * _ENROLL)
    mine = (what & (_CONNECTION | _START | _EST) != 0) & ~(strange & (what & _START == 0))
    rows, what, connection = rows[mine], what[mine], connection[mine]
    if not len(rows):
        return
    pid = np.full(len(rows), NONE)
    pid[connection != NONE] = table.numbers("pid", rows[connection != NONE])
    leads = np.flatnonzero(~_follows(what, connection, pid))
    ends = np.append(leads[1:], len(rows))
    named = zip(pid[leads].tolist(), connection[leads].tolist(), strict=True)
    owners = _cut_runs(cut, rows[leads].tolist(), rows[ends - 1].tolist(), what[leads].tolist(), named, file)
    owner = np.repeat(np.array(owners, dtype=np.int32), ends - leads)
    cut.rows.append(rows[owner >= 0])
    cut.owners.append(owner[owner >= 0])


def _follows(what: np.ndarray, connection: np.ndarray, pid: np.ndarray) -> np.ndarray:
    """Tell of each row whether it is in any case of the same request as the row before it, and tells nothing more."""
    follows = np.zeros(len(what), dtype=bool)
    bits, before = what[1:], what[:-1]
    told = _CONNECTION | _START
    of_est, after_est = ((each & (told | _EST)) == _EST for each in (bits, before))
    says = _PEER | _CERT | _ANSWER | _CHALLENGE | _ACCESS
    plain = of_est & ((bits & (says | _TRAILER)) == 0)
    # What goes on before the request is over; what comes after that.
    follows[1:] = plain & after_est & ((before & (_ACCESS | _TRAILER)) == 0)
    follows[1:] |= of_est & ((bits & _AFTERWARDS) != 0) & after_est & ((before & (_AFTERWARDS | _ACCESS)) != 0)
    same = (connection[1:] == connection[:-1]) & (pid[1:] == pid[:-1])
    both = ((bits & told) == _CONNECTION) & ((before & told) == _CONNECTION)
    known = ((before & _WORK) != 0) | ((bits & _WORK) == 0)
    follows[1:] |= same & both & known & ((bits & says) == 0)
    return follows


def _cut_runs(
    cut: _Cut,
    firsts: Sequence[int],
    lasts: Sequence[int],
    what: Sequence[int],
    named: Iterable[Connection],
    file: _File,
) -> list[int]:
    """Give the request, or -1, that each run of rows is of: from its first row to its last one."""
    owners: list[int] = []
    current = cut.current
    last, known, requests = cut.last, cut.known, file.requests
    for row, until, bits, key in zip(firsts, lasts, what, named, strict=True):
        if bits & _START:
            current = -1
            owners.append(-1)
            continue
        if bits & _CONNECTION:
            request = requests.get(key, -1)
            if request < 0:
                if not bits & _WORK:
                    # A stranger's, unless CES's work follows.
                    owners.append(-1)
                    continue
                # Of two that libEST has just begun, nothing tells which one this connection is.
                begun = [e for e in cut.near(row) if not known[e] & _CONNECTED]
                request = current if current >= 0 and begun == [current] else cut.new()
                known[request] |= _CONNECTED
                cut.newest = max(cut.newest, request)
                cut.worked_until[request] = file.at_work.get(key, row)
                requests[key] = request
            current = request
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
                current, state = cut.new(), 0
            elif bits & _ANSWER and state & _CONNECTED:
                # libEST answers a request when CES has done its work for it: not while more of that follows.
                done_with = [e for e in cut.near(row) if known[e] & _CONNECTED and cut.worked_until[e] < row]
                if len(done_with) == 1:
                    (current,) = done_with
                else:
                    known[current] |= _UNCLEAR
            if bits & _ANSWER and not known[current] & (_CONNECTED | _ASKED):
                others = cut.near(row) if cut.newest >= len(last) - _AT_ONCE else ()
                unclear = any(known[e] & _CONNECTED for e in others)
                known[current] = known[current] & ~_UNCLEAR | unclear * _UNCLEAR
        owners.append(current)
        last[current] = until
        if bits & (_CERT | _CHALLENGE | _ACCESS):
            if bits & _CERT:
                known[current] |= _PRESENTED
            elif bits & _CHALLENGE:
                known[current] |= _ASKED
            elif bits & _ENROLL and not known[current] & _ASKED:
                known[current] |= _OVER | _ENROLLING
            else:
                known[current] |= _OVER
    cut.current = current
    return owners


def _described(columns: Columns, cut: _Cut) -> Exchanges:
    """Read what the rows of each request say of it; those that nothing tells to be enrollments are left out."""
    table = columns.table
    owner = np.concatenate([np.zeros(0, np.int32), *cut.owners])
    rows = np.concatenate([NO_ROWS, *cut.rows])
    challenged, serious = cut.all_that_are(_ASKED), cut.all_that_are(_ENROLLING)
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
    trailers = of_kinds(columns, rows, _TRAILERS)
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
        cut.all_that_are(_CONNECTED)[kept],
        cut.all_that_are(_UNCLEAR)[kept],
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
    only_asked = (exchanges.challenged & ~exchanges.serious)[order].tolist()
    pairs: list[tuple[int, int]] = []
    waiting: dict[int, _Waiting] = {}
    alone: dict[int, None] = {}
    unclear: dict[int, None] = {}
    for place, (begin, client, asked) in enumerate(
        zip(begins, exchanges.client[order].tolist(), only_asked, strict=True)
    ):
        if asked:
            waiting.setdefault(client, _Waiting()).add(place, begin)
            alone[place] = None
            continue
        # Without a client's address it may be anybody's.
        queues = waiting.values() if client < 0 else [waiting[c] for c in (client, -1) if c in waiting]
        near = [queue for queue in queues if queue.since(begin - CHAIN_GAP_MS)]
        if not near:
            pairs.append((place, place))
            continue
        latest = max(near, key=_Waiting.latest)
        # libEST's client comes again at once: of challenges that are well apart the last one is meant.
        since = begins[latest.latest()] - 2 * SLACK_MS
        if sum(queue.count(since) for queue in near) > 1:
            unclear |= dict.fromkeys(sorted(challenge for queue in near for challenge in queue.confuse(since)))
            pairs.append((place, place))
        else:
            challenge = latest.take()
            pairs.append((challenge, place))
            del alone[challenge]
    pairs += [(place, place) for place in alone if place not in unclear]
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    both = both[np.argsort(exchanges.begin[order[both[:, 0]]], kind="stable")]
    return Pairs(order[both[:, 0]], order[both[:, 1]]), order[np.array(list(unclear), dtype=np.int64)].tolist()


class _Waiting:
    """Challenges of one client that nothing has followed yet, in the order of time, by their places in that order."""

    __slots__ = ("_begins", "_confused", "_gone", "_places")

    def __init__(self) -> None:
        self._places: list[int] = []
        self._begins: list[int] = []
        self._gone = 0
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
        return len(self._begins) - bisect_left(self._begins, begin, self._gone)

    def confuse(self, begin: int) -> list[int]:
        """Note that nothing tells those from ``begin`` on apart; gives those of which that was not known."""
        first, end = bisect_left(self._begins, begin, self._gone), len(self._begins)
        low, high = self._confused
        if first == end:
            return []
        if first > high:
            low = high = first
        self._confused = (min(low, first), end)
        return self._places[first:low] + self._places[max(high, first) : end]
