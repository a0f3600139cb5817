"""The time of records that bear none, or whole seconds: between neighbours, by their twins, on IIS's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import by_member
from capflog.clock_log import told
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.clock_tracks import Track
    from capflog.nodes import Folder, Node
    from capflog.table import Table

#: Bounds closer than this make a time to show; farther apart a record has bounds alone. (ms)
NARROW_MS = 2_000

#: So many rows are placed at a time: what is made of them on the way stays in the processor's cache.
_PIECE = 1 << 16

#: Later than any time that can be told. (ms)
_NEVER = int(np.iinfo(np.int64).max)


def place_capf(folder: Folder, node: Node, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray) -> None:
    """Place CAPF's lines, whose stamps are exact but in an hour that happened twice."""
    trace, zone = folder.trace, node.clock
    for begin in range(0, len(trace.rows), _PIECE):
        some = slice(begin, min(begin + _PIECE, len(trace.rows)))
        at = folder.utc(some, zone)
        if node.ahead:
            at -= node.ahead
        rows: slice | np.ndarray = trace.rows[some]
        if trace.first is not None:
            rows = slice(trace.first + begin, trace.first + begin + len(at))
        time[rows] = earliest[rows] = latest[rows] = at
        if folder.unsure is not None and (unsure := folder.unsure[some]).any():
            latest[trace.rows[some][unsure]] = zone.utc(folder.local(some)[unsure], later=True) - node.ahead


@dataclass(frozen=True, slots=True)
class _Stamps:
    """The stamps of one member of NGINX's log on the reference clock, a piece of its rows after the other, in ms."""

    node: Node
    pieces: list[slice | np.ndarray]
    folded: np.ndarray | None
    """All of them, where the order of all lines tells which pass of an hour each is of."""
    width: np.ndarray | None
    """How much later each may be, where nothing tells the pass."""
    begins: list[int]

    @staticmethod
    def of(node: Node, mine: np.ndarray) -> _Stamps:
        pieces = _pieces(mine)
        sizes = [rows.stop - rows.start if isinstance(rows, slice) else len(rows) for rows in pieces]
        begins = np.cumsum([0, *sizes]).tolist()
        zone = node.clock
        if zone.constant:
            return _Stamps(node, pieces, None, None, begins)
        local = told(node.log.table.stamp[mine])
        utc, unsure = node.nginx_utc(mine, local)
        folded = np.where(utc != NONE, utc - node.ahead, NONE)
        width = None
        if unsure is not None:
            unsure &= local != NONE
            node.unsure += int(unsure.sum())
            width = np.where(unsure, zone.utc(local, later=True) - zone.utc(local), 0)
        return _Stamps(node, pieces, folded, width, begins)

    def known(self, number: int) -> np.ndarray:
        """Give the n-th piece's; NONE where a line bears none."""
        if self.folded is not None:
            return self.folded[self.begins[number] : self.begins[number + 1]]
        stamp = told(self.node.log.table.stamp[self.pieces[number]])
        return np.where(stamp != NONE, self.node.clock.utc(stamp) - self.node.ahead, NONE)

    def last(self, number: int) -> np.ndarray | int:
        """Give how long after its stamp each line of the n-th piece may have been written."""
        if self.width is None:
            return 999
        return self.width[self.begins[number] : self.begins[number + 1]] + 999


def place_nginx(node: Node, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray) -> None:
    """Place NGINX's stamped records at their second and libEST's unstamped ones between their neighbours."""
    log, table = node.log, node.log.table
    for mine in by_member(table, log.of("nginx")).values():
        stamps = _Stamps.of(node, mine)
        pieces = stamps.pieces
        # From the last to the first: not later than what follows.
        ceiling = _NEVER
        for number in reversed(range(len(pieces))):
            known = stamps.known(number)
            after = np.where(known != NONE, known + stamps.last(number), _NEVER)
            after[-1] = min(int(after[-1]), ceiling)
            after = np.minimum.accumulate(after[::-1])[::-1]
            ceiling = int(after[0])
            latest[pieces[number]] = np.where(after != _NEVER, after, NONE)
        # A record's own time with its zone is when the request came in: it cannot have been written before.
        received = [told(table.numbers("utc", rows)) for rows in pieces]
        if node.ahead:
            received = [np.where(its != NONE, its - node.ahead, NONE) for its in received]
        leads = _requests_received(table, pieces, received)
        floor = NONE
        for number, (rows, its, lead) in enumerate(zip(pieces, received, leads, strict=True)):
            known, high = stamps.known(number), latest[rows]
            low = np.maximum(known, its)
            low[0] = max(int(low[0]), floor)
            low = np.maximum.accumulate(low)
            floor = int(low[-1])
            low = np.maximum(low, lead)
            own = known != NONE
            time[rows] = np.where(own, known, np.where((low != NONE) | (high == NONE), low, high - 999))
            earliest[rows] = np.where(own, known, low)
            latest[rows] = np.where(own, known + stamps.last(number), np.where(high >= low, high, NONE))


def _pieces(rows: np.ndarray) -> list[slice | np.ndarray]:
    """Cut rows (sorted) into pieces; what stands together in the table is a piece of it."""
    together = rows[-1] - rows[0] == len(rows) - 1
    return [
        slice(int(rows[at]), int(rows[min(at + _PIECE, len(rows)) - 1]) + 1) if together else rows[at : at + _PIECE]
        for at in range(0, len(rows), _PIECE)
    ]


def _requests_received(
    table: Table, pieces: Sequence[slice | np.ndarray], received: Sequence[np.ndarray]
) -> Iterator[np.ndarray]:
    """Give each libEST record of a request the time at which the request came in: its access record tells it later."""
    own = np.array([kind.startswith("est.") and kind != "est.shutdown" for kind in table.kinds], dtype=bool)
    ending = np.array([kind in ("est.shutdown", "est.peer") for kind in table.kinds], dtype=bool)
    kinds = [table.kind[rows] for rows in pieces]
    begins = np.cumsum([0, *(len(kind) for kind in kinds)]).tolist()
    told_at = [np.flatnonzero(its != NONE) for its in received]
    values = np.concatenate([its[at] for its, at in zip(received, told_at, strict=True)])
    tells = np.concatenate([at + begin for at, begin in zip(told_at, begins, strict=False)])
    ends = np.concatenate([np.flatnonzero(ending[kind]) + at for kind, at in zip(kinds, begins, strict=False)])
    # A new peer, or the end of a connection, ends what went before it.
    since = np.append(0, ends)[np.searchsorted(ends, tells, side="right")]
    since = np.maximum(since, np.append(0, tells[:-1] + 1)[: len(tells)])
    for kind, begin in zip(kinds, begins, strict=False):
        # Of each record the access record that follows next, if it is of the same request.
        low, high = np.searchsorted(tells, (begin, begin + len(kind)))
        edges = np.stack([since[low : high + 1], tells[low : high + 1] + 1], axis=1).reshape(-1) - begin
        sizes = np.diff(np.clip(edges, 0, len(kind)), prepend=0, append=len(kind))
        which = np.full(len(sizes), NONE, dtype=np.int64)
        which[1::2] = values[low : high + 1]
        lead = np.repeat(which, sizes)
        lead[~own[kind]] = NONE
        yield lead


def place_iis(
    rows: np.ndarray,
    at: np.ndarray,
    track: Track | None,
    time: np.ndarray,
    earliest: np.ndarray,
    latest: np.ndarray,
    *,
    other_log: bool = False,
) -> np.ndarray:
    """Place IIS's records on the reference clock: the stamp less the offset, within the second and the offset's bound.

    ``at``: their stamps in UTC, in ms; ``track``: the offset of that server's clock, None: not known; ``other_log``:
    they are not of the log that the track is of. Gives what was taken off, in ms.
    """
    known = at != NONE
    rows, at = rows[known], at[known]
    if track is None:
        time[rows] = earliest[rows] = at
        latest[rows] = at + 999
        return np.zeros(len(rows), dtype=np.int64)
    offset, low, high = track.at_times(at) if other_log else track.at(rows, at)
    time[rows] = at - offset
    earliest[rows] = at - high
    latest[rows] = at + 999 - low
    return offset
