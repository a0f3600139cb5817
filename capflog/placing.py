"""The time of records that bear none, or whole seconds: between neighbours, by their twins, on IIS's own clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from capflog.clock_log import Log
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.starts import Start

#: Bounds closer than this make a time to show; farther apart a record has bounds alone. (ms)
NARROW_MS = 2_000


def place_nginx(log: Log, zone: int, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray) -> None:
    """Place NGINX's stamped records at their second and libEST's unstamped ones between their neighbours."""
    rows = log.of("nginx")
    if not len(rows):
        return
    codes = log.table.member
    for member in np.unique(codes[rows]):
        mine = rows[codes[rows] == member]
        known = np.where(log.stamp[mine] != NONE, log.stamp[mine] - zone * 1000, NONE)
        # A record's own time with its zone is when the request came in: it cannot have been written before.
        received = np.where(log.utc[mine] != NONE, log.utc[mine], NONE)
        floor = np.maximum.accumulate(np.maximum(known, received))
        after = np.where(known != NONE, known + 999, np.iinfo(np.int64).max)
        ceiling = np.minimum.accumulate(after[::-1])[::-1]
        lead = _request_received(log, mine, received)
        for k, row in enumerate(mine):
            if known[k] != NONE:
                time[row], earliest[row], latest[row] = known[k], known[k], known[k] + 999
                continue
            low = max(floor[k], lead[k])
            high = ceiling[k] if ceiling[k] != np.iinfo(np.int64).max else NONE
            if low == NONE and high == NONE:
                continue
            if low == NONE:
                time[row] = high - 999
            else:
                time[row] = low
            earliest[row], latest[row] = low, high if high == NONE or high >= low else NONE


def _request_received(log: Log, mine: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Give each libEST record of a request the time at which the request came in: its access record tells it later."""
    lead = np.full(len(mine), NONE, dtype=np.int64)
    pending: list[int] = []
    for k, row in enumerate(mine):
        kind = log.kind[row]
        if kind == "est.shutdown":
            pending = []
        elif kind == "est.peer":
            pending = [k]
        elif isinstance(kind, str) and kind.startswith("est."):
            pending.append(k)
        if received[k] != NONE:
            lead[pending] = received[k]
            pending = []
    return lead


def place_iis(
    log: Log, offset: tuple[int, int] | None, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray
) -> None:
    """Place IIS's records on the node's clock: the stamp less the offset, within the second and the offset's bound."""
    lo, hi = offset if offset is not None else (0, 0)
    for source in ("iis", "httperr"):
        rows = log.of(source)
        rows = rows[log.stamp[rows] != NONE]
        earliest[rows] = log.stamp[rows] - hi
        latest[rows] = log.stamp[rows] + 999 - lo
        time[rows] = log.stamp[rows] - round((lo + hi) / 2)


def place_ciscora(
    log: Log, starts: Sequence[Start], time: np.ndarray, earliest: np.ndarray, latest: np.ndarray
) -> None:
    """Give CiscoRA's lines the time of their twins in error.log, or bounds by CAPF's own account of the starts."""
    asked: list[tuple[int, int]] = []
    begun = None
    for row in log.of("capf"):
        if log.kind[row] in ("capf.init", "capf.param"):
            begun = begun if begun is not None else int(time[row])
        elif log.kind[row] == "ces.start.requested":
            asked.append((begun if begun is not None else int(time[row]) - 120_000, int(time[row]) + 60_000))
            begun = None
    log.table.keep_texts(row for start in starts if start.ciscora is not None for row in start.rows)

    def said(row: int) -> str:
        return re.sub(r"^(?:nginx: \[\w+\] |\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: )", "", log.table.text(row))

    for back, start in enumerate(reversed(starts), start=1):
        if start.ciscora is None:
            continue
        rows = start.ciscora.rows
        if start.nginx is not None:
            twins: dict[str, list[int]] = {}
            for row in start.nginx.rows:
                twins.setdefault(said(row), []).append(row)
            for row in rows:
                twin = twins.get(said(row))
                if twin:
                    match = twin.pop(0) if len(twin) > 1 else twin[0]
                    time[row], earliest[row], latest[row] = time[match], earliest[match], latest[match]
            known = [int(t) for t in time[start.nginx.rows] if t != NONE]
            low, high = (min(known), max(known) + 999) if known else (NONE, NONE)
        elif back <= len(asked):
            low, high = asked[-back]
        else:
            low, high = NONE, NONE
        for row in rows:
            if time[row] == NONE:
                earliest[row], latest[row] = low, high
                if low != NONE and high - low <= NARROW_MS:
                    time[row] = low
    _bound_by_order(starts, earliest, latest)


def _bound_by_order(starts: Sequence[Start], earliest: np.ndarray, latest: np.ndarray) -> None:
    """Bound the starts of which nothing tells the time by the starts before and after them in the logs."""
    untold = [start for start in starts if all(earliest[row] == latest[row] == NONE for row in start.rows)]
    for edge, order, pick in ((earliest, starts, max), (latest, starts[::-1], min)):
        other = latest if edge is earliest else earliest
        known: int | None = None
        for start in order:
            if any(start is one for one in untold):
                edge[start.rows] = NONE if known is None else known + (1 if edge is earliest else -1)
                continue
            bounds = [int(other[row]) for row in start.rows if other[row] != NONE]
            known = pick(bounds) if bounds else known
