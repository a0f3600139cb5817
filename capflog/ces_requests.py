"""Requests to CES as the pieces of error.log show them: what each says, and between which times it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.pieces import cut
from capflog.rows import NONE
from capflog.serving import LINE
from capflog.steps import by_words, of_kinds

if TYPE_CHECKING:
    from capflog.pieces import Pieces
    from capflog.steps import Columns

#: What libEST's server logs as the status of an answer that the application wrote: a success (seen in 2.1.0).
UNSET_STATUS = -1

#: What a piece is: a first request without credentials, the work for one with them, what answers that, a connection
#: that broke off before any request, another's than an enrollment's.
ASKED, WORK, TAIL, BROKEN, STRANGER = range(5)

#: A record is written this much after the second of its stamp at the latest, libEST's access record of a request
#: without credentials this much after the second in which that came. (ms)
_SECOND, _AT_ONCE = 999, 1_500

#: So long may CES be at a request: five calls of the CA of ten seconds each, and as many of what it was at before. (ms)
_LONGEST = 120_000

_REFUSALS = ("est.enroll.failed", "est.response", "est.request.failed")
#: Of one worker's pieces some overlap where lines are lost.
_TORN = 0.05

#: So many workers are supposed where nothing tells their number.
_MANY = 8

_NEVER = int(np.iinfo(np.int64).max)


@dataclass(slots=True)
class CesRequests:
    """Pieces of requests to CES, in columns with an item for each; places are those in ``pieces.rows``.

    ``low``, ``high``: between which times (ms since 1970 UTC) each row was written, by the order of all rows.
    """

    pieces: Pieces
    what: np.ndarray
    begin: np.ndarray
    """The place of the first row of each."""
    end: np.ndarray
    """The place of the last one."""
    head: np.ndarray
    """The place of its request's head, -1: none."""
    answer: np.ndarray
    """The place of its access record, else of the last row of its answer; -1: none."""
    work: np.ndarray
    """How far CES came with it: the code of the last record of work; 0: no record."""
    status: np.ndarray
    """The HTTP status of the answer, NONE: not known."""
    received: np.ndarray
    """The second in which the request came in, as its access record tells it (ms); NONE: not known."""
    error: list[str | None]
    """What libEST says why it refused the request."""
    client: np.ndarray
    file: np.ndarray
    """The number of the member that each stands in."""
    low: np.ndarray
    high: np.ndarray
    workers: int
    """How many processes serve."""
    told: bool
    """CES tells of the certificate that it fetched."""
    logged: bool
    """libEST logs what it answers."""

    def of(self, what: int) -> np.ndarray:
        """Give the numbers of the pieces of a sort."""
        return np.flatnonzero(self.what == what)


def find_requests(columns: Columns, of_starts: np.ndarray) -> CesRequests:
    """Cut error.log into pieces, and read what their rows say; ``of_starts``: rows of CES's starts, sorted."""
    pieces = cut(columns, of_starts)
    rows, piece, line = pieces.rows, pieces.piece, pieces.line
    count = len(pieces.key)
    place = np.arange(len(rows))
    begin, end = np.full(count, _NEVER), np.full(count, -1)
    np.minimum.at(begin, piece, place)
    np.maximum.at(end, piece, place)

    def last_of(mask: np.ndarray) -> np.ndarray:
        found = np.full(count, -1, dtype=np.int64)
        at = np.flatnonzero(mask)
        found[piece[at]] = at
        return found

    head = last_of((line >= LINE.length) & (line <= LINE.cert))
    asked = last_of(line == LINE.challenge)
    access = last_of(line == LINE.access)
    broken = last_of(line == LINE.broken)
    worked = last_of(pieces.work != 0)
    # What was received tells of no step.
    step = last_of((pieces.work != 0) & (pieces.work != 1))
    worked = np.where(step >= 0, step, worked)
    answering = last_of((line >= LINE.unauthorized) & (line <= LINE.access))
    head = np.where(asked >= 0, asked, head)
    answer = np.where(access >= 0, access, answering)
    # Without access records a success shows by the end of its connection alone.
    answer = np.where(pieces.tail & (answer < 0), end, answer)
    status = np.full(count, NONE)
    told = access >= 0
    status[told] = columns.table.numbers("status", rows[access[told]])
    received = np.full(count, NONE)
    received[told] = columns.moments(rows[access[told]])
    work = np.where(worked >= 0, pieces.work[worked], 0)
    error: list[str | None] = [None] * count
    refused = of_kinds(columns, rows, set(_REFUSALS))
    for number, (name, _) in zip(piece[refused].tolist(), columns.est_errors(rows[refused]), strict=True):
        error[number] = name
    page = of_kinds(columns, rows, {"est.error.page"})
    unknown = page[status[piece[page]] == NONE]
    status[piece[unknown]] = columns.table.numbers("status", rows[unknown])

    enrolls = np.zeros(count, dtype=bool)
    other = np.zeros(count, dtype=bool)
    paths = np.flatnonzero((line == LINE.uri) | (line == LINE.access))
    enroll = by_words(columns, "url", rows[paths], lambda url: "enroll" in (url or "")) != 0
    enrolls[piece[paths[enroll]]] = True
    other[piece[paths[~enroll]]] = True
    what = np.full(count, STRANGER)
    what[(head >= 0) | (worked >= 0)] = WORK
    what[asked >= 0] = ASKED
    what[pieces.tail] = TAIL
    what[(broken >= 0) & (head < 0)] = BROKEN
    what[other & ~enrolls & (worked < 0)] = STRANGER
    client = np.full(count, -1, dtype=np.int64)
    codes, _ = columns.table.codes("client", rows)
    nobody = columns.table.vocabulary.of("client").code("")
    named = np.flatnonzero((codes >= 0) & (codes != nobody))
    client[piece[named]] = codes[named]
    # What is nothing but the end of a connection is the answer's end where no access records are logged.
    logged = bool((told & enrolls).any())
    bare = pieces.tail & (answering < 0)
    if logged:
        what[bare] = STRANGER
    low, high = _bounds(columns, pieces, asked, access)
    return CesRequests(
        pieces,
        what,
        begin,
        end,
        head,
        answer,
        work,
        status,
        received,
        error,
        client,
        columns.member[rows[np.maximum(end, 0)]] if len(rows) else end,
        low,
        high,
        _workers(columns, pieces),
        bool((pieces.work == 5).any()),
        logged,
    )


def _bounds(columns: Columns, pieces: Pieces, asked: np.ndarray, access: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bound the time of each row by what it and the rows around it bear.

    NGINX stamps records with the time at which the worker woke, unless something asks for the time anew
    (ngx_times.c): such a stamp is no bound for how late the record was written.
    """
    rows, key = pieces.rows, pieces.key[pieces.piece]
    moments = columns.moments(rows)
    known = moments != NONE
    low = np.where(known, moments, NONE)
    # Whatever its stamp is of: CES was not at it for longer than this.
    high = np.where(known, moments + _LONGEST, _NEVER)
    stamped = np.flatnonzero(known & (pieces.line == LINE.record) & (key >= 0))
    if len(stamped):
        by_key = stamped[np.argsort(key[stamped], kind="stable")]
        alike = key[by_key][1:] == key[by_key][:-1]
        moves = alike & (moments[by_key][1:] != moments[by_key][:-1])
        if moves.any():
            high[stamped] = moments[stamped] + _SECOND
    challenges = access[(access >= 0) & (asked >= 0)]
    challenges = challenges[known[challenges]]
    high[challenges] = moments[challenges] + _AT_ONCE
    return in_turn(columns, rows, low, high)


def in_turn(columns: Columns, rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Narrow bounds by the order of the rows of each file: none was written before the one before it."""
    low, high = low.copy(), high.copy()
    edges = np.flatnonzero(np.diff(columns.member[rows])) + 1
    for some in np.split(np.arange(len(rows)), edges):
        if len(some):
            part = slice(int(some[0]), int(some[-1]) + 1)
            low[part] = np.maximum.accumulate(low[part])
            high[part] = np.minimum.accumulate(high[part][::-1])[::-1]
    return low, np.maximum(high, low)


def _workers(columns: Columns, pieces: Pieces) -> int:
    """Count the processes that serve at a time: as NGINX starts them, or as they write of connections."""
    table = columns.table
    started = table.rows_of("nginx.worker.started")
    masters = np.unique(table.numbers("pid", started))
    # (After another start there are others: those count that write side by side.)
    place = np.flatnonzero(pieces.line == LINE.record)
    piece = pieces.piece[place]
    most = max(_side_by_side(place, pieces.pid[piece]), _side_by_side(place, pieces.key[piece]))
    if most == 1 and _overlap(pieces) > _TORN:
        most = 2
    told = -(-len(started) // len(masters)) if len(masters) else 0
    return max(most, told) or _MANY


def _side_by_side(place: np.ndarray, what: np.ndarray) -> int:
    """Count how many there are at a time, at the most, of those that write on these rows."""
    if not len(place):
        return 0
    order = np.argsort(what, kind="stable")
    cuts = np.flatnonzero(np.diff(what[order], prepend=-2))
    first, last = place[order][cuts], place[order][np.append(cuts[1:], len(order)) - 1]
    change = np.zeros(int(place[-1]) + 2, dtype=np.int64)
    np.add.at(change, first, 1)
    np.add.at(change, last + 1, -1)
    return int(np.cumsum(change).max())


def _overlap(pieces: Pieces) -> float:
    """Give the share of pieces that begin while another one goes on, as one worker's never do."""
    place = np.arange(len(pieces.rows))
    count = len(pieces.key)
    first, last = np.full(count, len(place)), np.full(count, -1)
    np.minimum.at(first, pieces.piece, place)
    np.maximum.at(last, pieces.piece, place)
    order = np.argsort(first, kind="stable")
    reach = np.maximum.accumulate(last[order])
    return float(np.count_nonzero(first[order][1:] < reach[:-1])) / max(count, 1)
