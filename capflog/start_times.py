"""When CES started, as far as its log on standard error (CiscoRA) is concerned, of which no line bears a time.

NGINX writes each start-up record both to error.log, stamped, and to standard error: the twin gives a line its time, and
the lines between two that have twins lie between these. Where error.log does not show a start, CAPF's account of it
bounds it, and its process's number, which error.log's later lines bear; the starts before and after it do so, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.clock_log import Log, first_since
from capflog.rows import NONE
from capflog.starts import PIDS_APART

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capflog.starts import Start

#: Bounds closer than this make a time to show; farther apart a record has bounds alone. (ms)
NARROW_MS = 2_000

#: CAPF starts CES at the most this long before it says so where it did not say that it read its parameters; and CES is
#: up at the most this long after. (ms)
_BEFORE_MS, _AFTER_MS = 120_000, 60_000

_NEVER = int(np.iinfo(np.int64).max)

_PREFIX = re.compile(r"^(?:nginx: \[\w+\] |\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: )")


@dataclass(frozen=True, slots=True)
class _Columns:
    time: np.ndarray
    earliest: np.ndarray
    latest: np.ndarray


def place_ciscora(
    log: Log, starts: Sequence[Start], time: np.ndarray, earliest: np.ndarray, latest: np.ndarray
) -> None:
    """Give CiscoRA's lines the time of their twins in error.log, or bounds."""
    table, columns = log.table, _Columns(time, earliest, latest)
    table.keep_texts(row for start in starts if start.ciscora is not None for row in start.rows)

    def said(row: int) -> str:
        return _PREFIX.sub("", table.text(row))

    for start in starts:
        if start.ciscora is not None and start.nginx is not None:
            _by_twins(start, said, columns)
    _by_account(log, starts, columns)


def _by_twins(start: Start, said: Callable[[int], str], columns: _Columns) -> None:
    """Give lines that error.log has, too, its times, and the others those around them."""
    assert start.ciscora is not None
    assert start.nginx is not None
    time, earliest, latest = columns.time, columns.earliest, columns.latest
    twins: dict[str, list[int]] = {}
    for row in start.nginx.rows:
        twins.setdefault(said(row), []).append(row)
    rows = start.ciscora.rows
    for row in rows:
        twin = twins.get(said(row))
        if twin:
            match = twin.pop(0) if len(twin) > 1 else twin[0]
            time[row], earliest[row], latest[row] = time[match], earliest[match], latest[match]
    known = [int(at) for at in time[start.nginx.rows] if at != NONE]
    low, high = (min(known), max(known) + 999) if known else (NONE, NONE)
    told = [time[row] != NONE for row in rows]
    for row, own in zip(rows, told, strict=True):
        if own:
            low = max(low, int(earliest[row]))
        else:
            earliest[row] = low
    for row, own in zip(rows[::-1], told[::-1], strict=True):
        if own:
            high = min(high, int(latest[row]))
            continue
        latest[row] = max(high, int(earliest[row])) if high != NONE else NONE
        if NONE not in (int(earliest[row]), high) and latest[row] - earliest[row] <= NARROW_MS:
            time[row] = earliest[row]


def _by_account(log: Log, starts: Sequence[Start], columns: _Columns) -> None:
    """Bound the starts that have no twin by CAPF's account of them, by their process and by the starts around them."""
    spans = [_known(start, columns) for start in starts]
    asked = _asked(log, columns)
    free = [ask for ask in asked if not any(low is not None and ask[0] <= low <= ask[1] for low, _ in spans)]
    bounded: dict[int, tuple[int | None, int | None]] = {}
    since: int | None = None
    ahead = len(starts)
    for place in range(len(starts)):
        if spans[place] != (None, None):
            since = spans[place][1]
            continue
        if ahead <= place or ahead == len(starts):
            ahead = next((n for n in range(place + 1, len(starts)) if spans[n] != (None, None)), len(starts))
        until = spans[ahead][0] if ahead < len(starts) else None
        left = ahead - place
        # Of CAPF's starts of CES in that time the last ones are those of which lines are left.
        between = [a for a in free if (since is None or a[1] > since) and (until is None or a[0] < until)]
        low, high = between[-left] if left <= len(between) else (None, None)
        low, high = _later(low, since, 1), _earlier(high, until, -1)
        seen = _seen(log, starts[place], columns, _later(low, since, 0))
        high = _earlier(high, seen, 0)
        if low is not None and high is not None and high < low:
            low = high
        bounded[place] = low, high
        since = _later(since, low, 0)
    # What comes after a start bounds it, too.
    until = None
    for place in range(len(starts) - 1, -1, -1):
        if place in bounded:
            low, high = bounded[place]
            high = _earlier(high, until, -1)
            _bound(starts[place], low, high, columns)
            until = _earlier(until, low, 0)
        else:
            until = _earlier(until, spans[place][0], 0)


def _later(one: int | None, other: int | None, more: int) -> int | None:
    known = [at for at in (one, None if other is None else other + more) if at is not None]
    return max(known, default=None)


def _earlier(one: int | None, other: int | None, more: int) -> int | None:
    known = [at for at in (one, None if other is None else other + more) if at is not None]
    return min(known, default=None)


def _known(start: Start, columns: _Columns) -> tuple[int | None, int | None]:
    """Give from when to when a start's lines are, as far as they have times."""
    lows = [int(columns.earliest[row]) for row in start.rows if columns.earliest[row] != NONE]
    highs = [int(columns.latest[row]) for row in start.rows if columns.latest[row] != NONE]
    return min(lows, default=None), max(highs, default=None)


def _asked(log: Log, columns: _Columns) -> list[tuple[int, int]]:
    """List when CAPF had CES started: from when it read its parameters to when CES must have been up."""
    reads, asks = log.of("capf", "capf.init", "capf.param"), log.of("capf", "ces.start.requested")
    found = []
    for begun, row in zip(first_since(reads, asks).tolist(), asks.tolist(), strict=True):
        at = int(columns.time[row])
        if at == NONE:
            continue
        low = int(columns.time[begun]) if begun >= 0 else NONE
        found.append((low if low != NONE else at - _BEFORE_MS, at + _AFTER_MS))
    return sorted(found)


def _seen(log: Log, start: Start, columns: _Columns, since: int | None) -> int | None:
    """Give the first moment at which error.log shows a process of a start: NGINX's workers follow on their master."""
    if start.pid is None:
        return None
    rows = log.of("nginx")
    has, pids = log.table.borne("pid", rows)
    own = rows[has[(pids >= start.pid) & (pids <= start.pid + PIDS_APART)]]
    at = columns.time[own]
    at = at[(at != NONE) & (at >= (since if since is not None else -_NEVER))]
    return int(at.min()) + 999 if len(at) else None


def _bound(start: Start, low: int | None, high: int | None, columns: _Columns) -> None:
    for row in start.rows:
        columns.earliest[row] = NONE if low is None else low
        columns.latest[row] = NONE if high is None else high
        if low is not None and high is not None and high - low <= NARROW_MS:
            columns.time[row] = low
