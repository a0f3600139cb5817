"""Requests to CES as error.log shows them: NGINX's records of a connection, and libEST's lines among them.

libEST's lines bear no connection. They go to the request whose worker wrote around them; where several are under way,
to the one whose work is done, or they are marked as unclear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from capflog.clock_log import FIRST_MS, LAST_MS
from capflog.story import ANSWERS, CHAIN_GAP_MS, SLACK_MS
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.steps import Columns


@dataclass(slots=True, eq=False)
class Exchange:
    """One request to CES as error.log shows it: NGINX's records of a connection and libEST's among them."""

    rows: list[int] = field(default_factory=list)
    connection: int | None = None
    client: str | None = None
    begin: int = NONE
    end: int = NONE
    status: int | None = None
    error: str | None = None
    value: int | None = None
    challenged: bool = False
    curl_failed: bool = False
    worked_until: int = 0
    """The row of CES's last request to the CA for it."""
    serious: bool = False
    """It has lines of libEST's enrollment or of CES's own work; a stranger at the port has not."""
    over: bool = False
    unclear: bool = False
    """It was answered before CES did anything for it, while others were under way: the answer may be theirs."""


def moment(columns: Columns, row: int) -> int | None:
    """Give the time that a line bears itself: its stamp's, or that at which its request was received."""
    if columns.integer("stamp", row) is not None:
        return int(columns.time[row]) if columns.time[row] != NONE else None
    received = columns.integer("utc", row)
    return received if received is not None and FIRST_MS <= received < LAST_MS else None


def find_exchanges(columns: Columns, of_starts: set[int]) -> list[Exchange]:
    """Cut error.log into exchanges: by connection where a record names one, else by the order of libEST's lines."""
    exchanges: list[Exchange] = []
    for source in ("nginx", "ciscora"):
        rows = np.flatnonzero(columns.source == source)
        for member in np.unique(columns.member[rows]):
            by_connection: dict[tuple[int | None, int], Exchange] = {}
            current: Exchange | None = None
            mine = rows[columns.member[rows] == member].tolist()
            at_work = _last_work(columns, mine)
            for row in mine:
                if row in of_starts:
                    current = None
                    continue
                kind = columns.kind[row]
                connection = columns.integer("connection", row)
                if connection is not None:
                    key = (columns.integer("pid", row), connection)
                    known = by_connection.get(key)
                    if known is None and not kind.startswith(("curl.", "ces.")):
                        # A connection that CES did not work on: a stranger at the port.
                        continue
                    if known is None:
                        begun = [e for e in exchanges[-_AT_ONCE:] if e.connection is None and not e.over]
                        begun = [e for e in begun if row - e.rows[-1] < _NEAR_ROWS]
                        # Of two that libEST has just begun, nothing tells which one this connection is.
                        adopted = current is not None and begun == [current]
                        known = current if adopted and current is not None else Exchange()
                        if not adopted:
                            exchanges.append(known)
                        known.connection = connection
                        known.worked_until = at_work.get(key, row)
                        by_connection[key] = known
                    current = known
                elif kind.startswith("est."):
                    if kind in _AFTER and (current is None or not current.over):
                        # Of a request that is over, while another goes on.
                        continue
                    done = current is not None and current.over and kind not in _TRAILERS
                    if current is None or done or _starts_request(columns, current, kind):
                        current = Exchange()
                        exchanges.append(current)
                    elif kind in ANSWERS | {"est.access"} and current.connection is not None:
                        # libEST answers a request when CES has done its work for it: not while more of that follows.
                        near = [e for e in exchanges[-_AT_ONCE:] if row - e.rows[-1] < _NEAR_ROWS]
                        done_with = [
                            e for e in near if e.connection is not None and not e.over and e.worked_until < row
                        ]
                        if len(done_with) == 1:
                            (current,) = done_with
                        elif len(done_with) > 1 or current not in done_with:
                            current.unclear = True
                    if current.connection is None and not current.challenged and kind in ANSWERS | {"est.access"}:
                        near = [e for e in exchanges[-_AT_ONCE:] if e.rows and row - e.rows[-1] < _NEAR_ROWS]
                        current.unclear = any(e.connection is not None and not e.over for e in near)
                else:
                    continue
                _take(columns, current, row)
    return [e for e in exchanges if e.serious or e.challenged]


def _last_work(columns: Columns, rows: Sequence[int]) -> dict[tuple[int | None, int], int]:
    """Give the row of the last request to the CA that CES made for each connection of a file."""
    last: dict[tuple[int | None, int], int] = {}
    for row in rows:
        if columns.kind[row].startswith("curl."):
            connection = columns.integer("connection", row)
            if connection is not None:
                last[columns.integer("pid", row), connection] = row
    return last


#: Among how many requests, and how many rows after its last one, a line may still be of a request of libEST's.
_AT_ONCE, _NEAR_ROWS = 16, 64

#: What libEST logs of a request after its access record; errors of TLS come at any time.
_AFTER = frozenset({"est.referer", "est.agent", "est.shutdown"})

_TRAILERS = _AFTER | {"est.ssl.error"}


def _starts_request(columns: Columns, exchange: Exchange, kind: str) -> bool:
    """Tell whether this libEST line begins another request than the one under way."""
    if kind == "est.peer":
        return bool(exchange.rows)
    if kind in ("est.client.nocert", "est.client.cert"):
        return any(columns.kind[row] in ("est.client.nocert", "est.client.cert") for row in exchange.rows)
    return False


def _take(columns: Columns, exchange: Exchange, row: int) -> None:
    """Put a row to an exchange and read what it says of it."""
    kind = columns.kind[row]
    exchange.rows.append(row)
    high, at = int(columns.latest[row]), int(columns.time[row])
    # A line without a stamp lies somewhere after the stamp before it: that may be another request's.
    begin = moment(columns, row)
    if begin is not None and (exchange.begin == NONE or begin < exchange.begin):
        exchange.begin = begin
    end = at if high == NONE else high
    if end != NONE and not (high == NONE and kind in _TRAILERS):
        exchange.end = max(exchange.end, min(end, at + 999) if at != NONE else end)
    client = columns.text_of("client", row)
    if client:
        exchange.client = client
    if kind == "est.auth.challenge":
        exchange.challenged = True
    elif kind in ("est.enroll.failed", "est.response", "est.request.failed"):
        exchange.error, exchange.value = columns.est_error(row)
        exchange.serious = True
    elif kind == "est.access":
        exchange.status = columns.integer("status", row)
        exchange.over = True
        url = columns.text_of("url", row) or ""
        exchange.serious = exchange.serious or ("enroll" in url and not exchange.challenged)
    elif kind in ("curl.ok", "curl.failed", "curl.data", "est.auth.failed"):
        exchange.serious = True
        exchange.curl_failed = exchange.curl_failed or kind == "curl.failed"


def pair_up(exchanges: list[Exchange]) -> tuple[list[list[Exchange]], list[Exchange]]:
    """Put each challenge (a first request without credentials, answered 401) before the request that follows on it.

    Gives back the challenges, too, of which several stood before a request, so that nothing tells which is its own.
    """
    exchanges = sorted((e for e in exchanges if e.begin != NONE), key=lambda e: (e.begin, e.rows[0]))
    pairs: list[list[Exchange]] = []
    waiting: list[Exchange] = []
    left: list[Exchange] = []
    unclear: dict[int, Exchange] = {}
    for exchange in exchanges:
        if exchange.challenged and not exchange.serious:
            waiting.append(exchange)
            continue
        left += [w for w in waiting if exchange.begin - w.begin > CHAIN_GAP_MS]
        waiting = [w for w in waiting if exchange.begin - w.begin <= CHAIN_GAP_MS]
        near = [w for w in waiting if w.client is None or exchange.client is None or w.client == exchange.client]
        # libEST's client comes again at once: of challenges that are well apart the last one is meant.
        at_once = [w for w in near if near[-1].begin - w.begin <= 2 * SLACK_MS]
        if len(at_once) > 1:
            unclear |= {id(w): w for w in at_once}
            pairs.append([exchange])
        else:
            pairs.append([*at_once, exchange])
            waiting = [w for w in waiting if w not in at_once]
    pairs += [[exchange] for exchange in (*left, *waiting) if id(exchange) not in unclear]
    return sorted(pairs, key=lambda p: p[0].begin), list(unclear.values())


#: What libEST's server logs as the status of an answer that the application wrote: a success (seen in 2.1.0).
UNSET_STATUS = -1
