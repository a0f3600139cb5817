"""error.log cut into pieces that are of one request to CES each, by the order in which NGINX and libEST write.

A record of NGINX's names its worker and its connection. libEST's lines name neither, but a worker serves one connection
at a time and writes its lines in the order of libEST's code (est_server.c, est_server_http.c): the peer, after the
handshake the request's head, then either that credentials are lacking, or what CES's work came to; the access record;
the end of the connection. So each line goes to the piece that waits for just such a line: that which the line before is
of, else the one that has waited longest.

What answers a request is a piece of its own, the *tail*: between the last record of CES's work and the tail others may
have come in, so whose it is is found in :mod:`capflog.exchanges`, where CAPF's answers can be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog import serving
from capflog.compiling import fast
from capflog.rows import NONE
from capflog.serving import LINE
from capflog.steps import STEP, STEP_NAMES, by_words, ranked
from capflog.story import NO_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.steps import Columns

#: What libEST logs of a request after its access record; errors of TLS come at any time.
TRAILERS = frozenset({"est.referer", "est.agent", "est.shutdown", "est.ssl.error"})

_LINE_OF_KIND = {
    "est.peer": LINE.peer,
    "est.peer.port": LINE.port,
    "est.request.length": LINE.length,
    "est.request": LINE.uri,
    "est.client.nocert": LINE.cert,
    "est.client.cert": LINE.cert,
    "est.auth.challenge": LINE.challenge,
    "est.auth.failed": LINE.unauthorized,
    "est.enroll.failed": LINE.failed,
    "est.error.page": LINE.page,
    "est.response": LINE.response,
    "est.request.failed": LINE.refused,
    "est.retry": LINE.retry,
    "est.access": LINE.access,
    "est.referer": LINE.referer,
    "est.agent": LINE.agent,
    "est.shutdown": LINE.shutdown,
    "est.ssl.error": LINE.broken,
}

#: From so many rows on compiled code is worth while.
_COMPILED_FROM = 100_000

#: Steps of CES's work, as far as they tell the records of a connection apart.
_STEP_OF = {"login": 2, "form": 3, "post": 4, "certificate": 5}


@dataclass(frozen=True, slots=True)
class Pieces:
    """Rows of error.log, in the order of their files, and the piece each is of, by its number."""

    rows: np.ndarray
    piece: np.ndarray
    line: np.ndarray
    """What each row is (see :class:`capflog.serving.LINE`)."""
    work: np.ndarray
    """Of records of CES's work: the step that they tell of (1: any, 2: login, 3: form, 4: post, 5: certificate), -1
    where it failed; 0: none."""
    choices: np.ndarray
    """How many pieces waited for such a line as each row is; 0: nothing was to be chosen."""
    key: np.ndarray
    """Of each piece its connection (a number of its own for each), -1: not known."""
    tail: np.ndarray
    """Of each piece whether it is a tail."""
    number: np.ndarray
    """Of each piece NGINX's number of its connection, those after another start behind those before; -1: not known."""
    pid: np.ndarray
    """Of each piece the worker that served it, -1: not known."""


def cut(columns: Columns, of_starts: np.ndarray) -> Pieces:
    """Cut error.log into pieces. ``of_starts``: the rows that are of CES's starts, sorted."""
    table = columns.table
    parts: list[tuple[np.ndarray, ...]] = []
    pieces = keys = 0
    every_key: list[np.ndarray] = []
    every_tail: list[np.ndarray] = []
    every_number: list[np.ndarray] = []
    every_pid: list[np.ndarray] = []
    for source in ("nginx", "ciscora"):
        for mine in _members(columns, table.of_source(source)):
            file = _File.of(columns, mine, of_starts)
            if not len(file.rows):
                continue
            whole = (
                file.line,
                file.key,
                file.work,
                file.last,
                file.client,
                file.status,
                file.ending,
                file.clock,
                file.moment,
                file.coming,
            )
            serve = serving.serve if len(file.rows) < _COMPILED_FROM else fast(serving).serve
            piece, choices, key, tail = serve(*(column.astype(np.int64) for column in whole))
            held = np.flatnonzero(piece >= 0)
            parts.append((file.rows[held], piece[held] + pieces, file.line[held], file.work[held], choices[held]))
            every_key.append(np.where(key >= 0, key + keys, -1))
            every_tail.append(tail)
            of_key = np.zeros(int(file.key.max(initial=-1)) + 1, dtype=np.int64)
            of_key[file.key[file.key >= 0]] = file.number[file.key >= 0]
            pid_of = np.full(len(of_key), -1, dtype=np.int64)
            pid_of[file.key[file.key >= 0]] = table.numbers("pid", file.rows[file.key >= 0])
            every_pid.append(np.where(key >= 0, pid_of[np.maximum(key, 0)] if len(pid_of) else -1, -1))
            every_number.append(np.where(key >= 0, of_key[np.maximum(key, 0)] if len(of_key) else -1, -1))
            pieces += len(key)
            keys += int(file.key.max(initial=-1)) + 1
    if not parts:
        nothing = np.zeros(0, dtype=np.int64)
        return Pieces(nothing, nothing, nothing, nothing, nothing, nothing, nothing != 0, nothing, nothing)
    rows, piece, line, work, choices = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Pieces(
        rows,
        piece,
        line,
        work,
        choices,
        np.concatenate(every_key),
        np.concatenate(every_tail),
        np.concatenate(every_number),
        np.concatenate(every_pid),
    )


#: How sure it is that a line is of its piece where two or more waited for such a line: of the first ones of a
#: connection, of which the head tells; of what comes within some ms; of the rest. (Counted on simulated sites.)
_SURE_PEER, _SURE_SOON, _SURE_ELSE = 0.7, 0.5, 0.98


def row_sureness(pieces: Pieces) -> np.ndarray:
    """Say of each row how sure it is that it is of its piece: less where several pieces waited for such a line."""
    several = pieces.choices > 1
    soon = several & np.isin(pieces.line, (LINE.access, LINE.shutdown, LINE.broken))
    sure = np.where(soon, _SURE_SOON, np.where(several, _SURE_ELSE, 1.0))
    # What follows in one go on a line is as sure as that.
    after = np.flatnonzero(soon & (pieces.line == LINE.access))
    for step in (1, 2):
        at = np.minimum(after + step, len(sure) - 1)
        alike = (pieces.piece[at] == pieces.piece[after]) & np.isin(pieces.line[at], (LINE.referer, LINE.agent))
        sure[at[alike]] = _SURE_SOON
    heads = np.flatnonzero((pieces.line == LINE.length) & several)
    unsure = np.zeros(len(pieces.key), dtype=bool)
    unsure[pieces.piece[heads]] = True
    peers = (pieces.line == LINE.peer) | (pieces.line == LINE.port)
    sure[peers & unsure[pieces.piece]] = _SURE_PEER
    follows = np.isin(pieces.line, (LINE.uri, LINE.path, LINE.cert)) & unsure[pieces.piece]
    sure[follows] = np.minimum(sure[follows], _SURE_ELSE)
    return sure


def _members(columns: Columns, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Give the rows of each member, in the order in which they begin."""
    member = columns.member[rows]
    if (member[1:] < member[:-1]).any():
        order = np.argsort(member, kind="stable")
        rows, member = rows[order], member[order]
    if len(rows):
        files = np.split(rows, np.flatnonzero(member[1:] != member[:-1]) + 1)
        yield from sorted(files, key=lambda own: _first_moment(columns, own))


def _first_moment(columns: Columns, rows: np.ndarray) -> int:
    moments = columns.moments(rows[:256])
    known = moments[moments != NONE]
    return int(known[0]) if len(known) else 0


@dataclass(frozen=True, slots=True)
class _File:
    """The rows of a file that may be of requests, and what each tells."""

    rows: np.ndarray
    line: np.ndarray
    key: np.ndarray
    """The number of its connection, a worker's process id and what NGINX calls it together; -1: none."""
    number: np.ndarray
    """NGINX's number of the connection, with that of the start above its 40 bits."""
    work: np.ndarray
    last: np.ndarray
    """Whether no row of its connection follows."""
    client: np.ndarray
    """A code of the table's words, -1: none."""
    status: np.ndarray
    ending: np.ndarray
    """Of the end of a connection: 1, as where credentials were asked for; 2, as elsewhere; 0: nothing tells it."""
    clock: np.ndarray
    """The latest time that any line so far bears, in ms."""
    moment: np.ndarray
    """The time that each bears itself; -1: none."""
    coming: np.ndarray
    """The time of the next one that bears any."""

    @staticmethod
    def of(columns: Columns, rows: np.ndarray, of_starts: np.ndarray) -> _File:
        """Choose them: a connection that CES did not work on is a stranger's at the port."""
        table = columns.table
        kinds = table.kinds
        line_of = np.array(
            [*(_LINE_OF_KIND.get(k, LINE.message if k.startswith("est.") else LINE.other) for k in kinds), LINE.other],
            dtype=np.int8,
        )
        kind = table.kind[rows]
        line = line_of[kind]
        works = np.array([*(k.startswith(("curl.", "ces.")) for k in kinds), False])[kind]
        at, number = table.borne("connection", rows)
        if len(of_starts):
            place = np.minimum(np.searchsorted(rows, of_starts), len(rows) - 1)
            line[place[rows[place] == of_starts]] = LINE.start
        line[at[line[at] != LINE.start]] = LINE.record
        # The same numbers after another start are other connections.
        epoch = np.cumsum(np.diff((line == LINE.start).astype(np.int8), prepend=0) == 1)
        pid = table.numbers("pid", rows[at])
        key = np.full(len(rows), -1, dtype=np.int64)
        if len(at):
            key[at] = ranked((ranked(number) * (int(epoch[-1]) + 1) + epoch[at]) * (len(at) + 1) + ranked(pid))
        numbers = np.full(len(rows), -1, dtype=np.int64)
        numbers[at] = epoch[at] << 40 | np.clip(number, 0, (1 << 40) - 1)
        worked = np.bincount(key[at], weights=works[at]) > 0 if len(at) else np.zeros(0, dtype=bool)
        mine = (line != LINE.record) & (line != LINE.other)
        mine[at] = worked[key[at]] | (line[at] == LINE.start)
        rows, line, key, works, numbers = rows[mine], line[mine], key[mine], works[mine], numbers[mine]
        key[line == LINE.start] = -1
        work = _work(columns, rows, works & (key >= 0))
        messages = np.flatnonzero(line == LINE.message)
        line[messages] = by_words(columns, "detail", rows[messages], _message)
        last = np.zeros(len(rows), dtype=bool)
        borne = np.flatnonzero(key >= 0)
        if len(borne):
            behind = np.full(int(key.max()) + 1, -1, dtype=np.int64)
            told = borne[works[borne]]
            behind[key[told]] = told
            last[behind[behind >= 0]] = True
        return _File(
            rows,
            line,
            key,
            numbers,
            work,
            last,
            _clients(columns, rows),
            table.numbers("status", rows),
            _endings(columns, rows, line),
            *_clock(columns, rows),
        )


def _message(text: str | None) -> int:
    """Tell what a message of libEST's is that has no kind of its own."""
    said = text or ""
    if said.startswith("/"):
        return LINE.path
    if said.startswith("id-kp"):
        return LINE.cmc
    if said.startswith(("OpenSSL system call", "SSL_read error", "SSL_accept")):
        return LINE.broken
    return LINE.message


def _work(columns: Columns, rows: np.ndarray, works: np.ndarray) -> np.ndarray:
    """Tell which step of CES's work each row tells of."""
    found = np.zeros(len(rows), dtype=np.int8)
    own = np.flatnonzero(works)
    steps = np.array([_STEP_OF.get(name or "", 1) for name in STEP_NAMES] + [1] * STEP, dtype=np.int8)
    found[own] = steps[columns.marks(rows[own]) & STEP]
    failed = np.array([kind == "curl.failed" for kind in columns.table.kinds])
    found[own[failed[columns.table.kind[rows[own]]]]] = -1
    return found


def _clock(columns: Columns, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give of each row the latest time that any line so far bears, its own (-1: none), and that of the next one.

    Before the first and behind the last one that bears a time it is that one's.
    """
    moments = columns.moments(rows)
    known = np.flatnonzero(moments != NONE)
    if not len(known):
        nothing = np.zeros(len(rows), dtype=np.int64)
        return nothing, nothing - 1, nothing
    clock = np.maximum.accumulate(np.where(moments == NONE, moments[known[0]], moments))
    after = known[np.minimum(np.searchsorted(known, np.arange(len(rows))), len(known) - 1)]
    return clock, np.where(moments == NONE, -1, moments), moments[after]


def _clients(columns: Columns, rows: np.ndarray) -> np.ndarray:
    codes, _ = columns.table.codes("client", rows)
    nobody = columns.table.vocabulary.of("client").code("")
    found: np.ndarray = np.where(codes == nobody, -1, codes)
    return found


def _endings(columns: Columns, rows: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Learn what libEST says at the end of a connection on which it asked for credentials, and on others."""
    found = np.zeros(len(rows), dtype=np.int8)
    ends = np.flatnonzero(line == LINE.shutdown)
    if not len(ends):
        return found
    said, words = columns.table.codes("detail", rows[ends])
    asked = np.zeros(len(words) + 1)
    others = np.zeros(len(words) + 1)
    status = columns.table.numbers("status", rows)
    # Only where the access record, or the challenge, stands right before.
    for back in (1, 2, 3):
        at = ends - back
        ok = at >= 0
        at = np.maximum(at, 0)
        before = np.where(ok, line[at], -1)
        between = np.ones(len(ends), dtype=bool)
        for step in range(1, back):
            between &= np.isin(line[np.maximum(ends - step, 0)], (LINE.agent, LINE.referer))
        access = ok & between & (before == LINE.access)
        challenged = ok & between & (before == LINE.challenge) | (access & (status[at] == 401))
        np.add.at(asked, said[challenged], 1)
        np.add.at(others, said[access & ~challenged], 1)
    total = asked + others
    share = np.where(total > 0, asked / np.maximum(total, 1), 0.5)
    sure = (total >= 5) & (share >= 0.98)
    # What is said else is of the others, if nearly all that were asked for credentials end in the one way.
    if asked[sure].sum() >= 0.9 * asked.sum() and sure.any():
        found[ends] = np.where(sure[said], 1, np.where(total[said] > 0, 2, 0))
    return found


__all__ = ["LINE", "NO_ROWS", "TRAILERS", "Pieces", "cut"]
