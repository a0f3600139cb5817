"""Whose line it is: every line of CES and the CA put to the enrollment that caused it, or left alone.

Ids join first (CAPF's device and session, NGINX's connection), then windows of time that only one enrollment fits, then
the order of the steps. What stays open is put to none: a wrong line in a phone's story costs more than a missing one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING, Literal

import numpy as np

from capflog.clocks import FIRST_MS, LAST_MS, NONE, Alignment
from capflog.steps import STEPS, Columns, in_order, is_fault, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capflog.attempts import Attempt, Trace
    from capflog.starts import Start

Sure = Literal["certain", "likely"]

#: libEST's client gives up this long after it sent its request (EST_SSL_READ_TIMEOUT_DEF, 10 s); less a margin. (ms)
GAVE_UP_MS = 9_000

#: How long after CAPF gave up CES's late answer is still looked for. (ms)
LATE_MS = 60_000

#: CAPF's lines and CES's may stand this much outside of each other's bounds. (ms)
SLACK_MS = 1_000

#: Requests of CES to the CA that follow one another by less than this belong to one enrollment. (ms)
CHAIN_GAP_MS = 30_000


#: Calls of CAPF that are this far apart reach CES in their order. (ms)
APART_MS = 100


#: A span of time longer than this is a long one. (ms)
LONG_MS = 2_000

#: CES's requests to the CA stand at most this far from the other lines of its start. (ms)
START_MS = 12_000


@dataclass(slots=True, eq=False)
class Story:
    """One enrollment while it is put together: rows of the table with how surely each is its own."""

    device: str | None
    begin: int
    end: int
    answered: int | None
    outcome: Literal["issued", "failed", "incomplete"]
    error: str | None
    value: int | None
    rows: dict[int, Sure] = field(default_factory=dict)
    started: int | None = None
    ended: int | None = None
    order: list[int] = field(default_factory=list)
    """Its rows in the order in which things happened."""

    @property
    def gave_up(self) -> bool:
        """Whether CAPF was not answered in time."""
        waited = self.answered - self.begin if self.answered is not None else 0
        return self.error == "EST_ERR_SSL_READ" and waited >= GAVE_UP_MS

    @property
    def until(self) -> int:
        """The latest time at which CES or the CA may have been at work for it."""
        return self.end + (LATE_MS if self.gave_up else SLACK_MS)


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


@dataclass(slots=True)
class Joined:
    """All enrollments with their rows, and what could be put to none."""

    stories: list[Story]
    strays: list[list[int]]
    """Rows of exchanges with CES, and of CES with the CA, that belong to no enrollment for sure."""
    unattributed: int


def join(
    columns: Columns, trace: Trace, attempts: Sequence[Attempt], starts: Sequence[Start], alignment: Alignment
) -> Joined:
    """Put the lines of all logs to enrollments; what that tells of their times is put into ``columns``."""
    stories = [_from_capf(columns, trace, attempt) for attempt in attempts]
    covered = _coverage(columns, trace)
    of_starts = {row for start in starts for row in start.rows}
    exchanges = find_exchanges(columns, of_starts)
    pairs, unpaired = _pair(exchanges)
    strays = [exchange.rows for exchange in exchanges if exchange.begin == NONE or exchange in unpaired]
    clients = {exchange.client for exchange in exchanges if exchange.serious and exchange.client is not None}
    # Who was asked for credentials and is never served is a stranger at CES's port.
    pairs = [pair for pair in pairs if pair[-1].serious or not clients or pair[-1].client in clients]
    owners = _assign([(p[0].begin, p[-1].begin, p[-1].end) for p in pairs], stories, pairs)
    for pair, (owner, sure) in zip(pairs, owners, strict=True):
        rows = [row for exchange in pair for row in exchange.rows]
        if owner is not None:
            stories[owner].rows.update(dict.fromkeys(rows, sure))
        elif not _inside(pair[0].begin, covered):
            stories.append(_from_ces(pair, rows))
        elif pair[-1].serious:
            strays.append(rows)
    requests = _ca_requests(columns)
    untimed = [row for row in requests if columns.time[row] == NONE]
    if untimed:
        strays.append(untimed)
    requests = requests[len(untimed) :]
    own = _of_starts(columns, requests, starts)
    strays += [[row] for row, start in own.items() if start is None and is_fault(columns, row)]
    requests = [row for row in requests if row not in own]
    if alignment.iis_known or not (set(alignment.sources) & {"capf", "nginx"}):
        strays += _join_ca(columns, requests, stories, covered, bool(len(trace.rows)) or bool(pairs))
    elif requests:
        strays.append(requests)
    for story in stories:
        _tighten(columns, story)
        story.order = _in_order(columns, story)
        if story.device is None:
            times = [at for at in (_moment(columns, row) for row in story.rows) if at is not None]
            if times:
                story.started, story.ended = min(times), max(times)
    stories.sort(key=lambda s: (s.begin, s.device or "~", min(s.rows, default=0)))
    return Joined(stories, strays, sum(len(rows) for rows in strays))


def _moment(columns: Columns, row: int) -> int | None:
    """Give the time that a line bears itself: its stamp's, or that at which its request was received."""
    if columns.integer("stamp", row) is not None:
        return int(columns.time[row]) if columns.time[row] != NONE else None
    received = columns.integer("utc", row)
    return received if received is not None and FIRST_MS <= received < LAST_MS else None


def _from_capf(columns: Columns, trace: Trace, attempt: Attempt) -> Story:
    """Make an enrollment of an attempt in CAPF's trace."""
    rows = {int(trace.rows[p]): sure for p, sure in attempt.lines.items()}
    first = int(trace.rows[attempt.first])
    call = int(trace.rows[attempt.call]) if attempt.call is not None else first
    begin = int(columns.time[call])
    if attempt.result is None:
        last = max(int(columns.time[row]) for row in rows)
        return Story(attempt.device, begin, last, None, "incomplete", None, None, rows, int(columns.time[first]))
    result = int(trace.rows[attempt.result])
    error, value = columns.est_error(result)
    issued = error == "EST_ERR_NONE"
    answered = int(columns.time[result])
    seen_from_start = attempt.call is not None or columns.kind[first] == "est.enroll.mode"
    started = int(columns.time[first]) if seen_from_start else None
    outcome: Literal["issued", "failed", "incomplete"] = "issued" if issued else "failed"
    return Story(
        attempt.device,
        begin,
        answered,
        answered,
        outcome if seen_from_start else "incomplete",
        error,
        value,
        rows,
        started,
        answered,
    )


def _tighten(columns: Columns, story: Story) -> None:
    """Narrow the bounds of CES's and the CA's records: they came after CAPF's call and before CAPF's answer.

    CES goes on after CAPF gave up, so then the answer is no bound.
    """
    if story.device is None:
        return
    for row in story.rows:
        low, high = int(columns.earliest[row]), int(columns.latest[row])
        if columns.source[row] == "capf" or (high != NONE and high < story.begin) or low > story.end:
            continue
        columns.earliest[row] = max(low, story.begin)
        if not story.gave_up and story.answered is not None:
            columns.latest[row] = story.end if high == NONE else min(high, story.end)
        if columns.time[row] != NONE:
            columns.time[row] = max(int(columns.time[row]), story.begin)
            if columns.latest[row] != NONE:
                columns.time[row] = min(columns.time[row], columns.latest[row])


def _in_order(columns: Columns, story: Story) -> list[int]:
    """Put an enrollment's rows in the order in which things happened; where times cannot tell, by the steps.

    CES and the CA work between CAPF's call and CAPF's answer, the CA answers a step before CES tells of it. Times of
    whole seconds are moved within their bounds, so that they rise in that order.
    """
    rows = in_order(columns, story.rows)
    if story.device is None or story.answered is None:
        return rows
    answered = story.answered
    progress: dict[str, float] = {}
    opened: set[str] = set()
    place: dict[int, tuple[int, float]] = {}
    for row in sorted(story.rows, key=lambda row: (columns.member[row], columns.line[row])):
        source = str(columns.source[row])
        at = int(columns.time[row])
        if source == "capf":
            place[row] = (0 if at < answered else 2, 0.0)
            continue
        step = step_of(columns, row)
        if step == "login" and source in opened:
            step = "second-login"
        if step == "form":
            opened.add(source)
        known = STEPS.index(step) + (0.5 if source == "nginx" else 0.0) if step in STEPS else 0.0
        if columns.kind[row] in _ANSWERS or (
            columns.kind[row] == "est.access" and columns.integer("status", row) != 401
        ):
            known = float(STEPS.index("answer"))
        progress[source] = max(progress.get(source, float(STEPS.index("connect"))), known)
        place[row] = (1, progress[source]) if at <= answered else (2, 0.0)
    rows.sort(key=lambda row: place[row])
    late = [row for row in rows if place[row][0] == 2]
    rows = [row for row in rows if place[row][0] < 2] + in_order(columns, late)
    last = NONE
    for row in rows:
        at = int(columns.time[row])
        if at == NONE:
            continue
        if columns.source[row] != "capf" and at < last:
            high = int(columns.latest[row])
            columns.time[row] = at = last if high == NONE else max(at, min(last, high))
        last = max(last, at)
    return rows


def _coverage(columns: Columns, trace: Trace) -> list[tuple[int, int]]:
    """Give the spans of time that CAPF's trace covers: an enrollment inside of them has a device."""
    if not len(trace.rows):
        return []
    times = columns.time[trace.rows]
    return [(int(times.min()) - SLACK_MS, int(times.max()) + SLACK_MS)]


def _inside(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(lo <= at <= hi for lo, hi in spans)


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
                    elif kind in _ANSWERS | {"est.access"} and current.connection is not None:
                        # libEST answers a request when CES has done its work for it: not while more of that follows.
                        near = [e for e in exchanges[-_AT_ONCE:] if row - e.rows[-1] < _NEAR_ROWS]
                        done_with = [
                            e for e in near if e.connection is not None and not e.over and e.worked_until < row
                        ]
                        if len(done_with) == 1:
                            (current,) = done_with
                        elif len(done_with) > 1 or current not in done_with:
                            current.unclear = True
                    if current.connection is None and not current.challenged and kind in _ANSWERS | {"est.access"}:
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

#: What libEST logs of a request that it refuses: its answer.
_ANSWERS = frozenset({"est.auth.failed", "est.enroll.failed", "est.error.page", "est.response", "est.request.failed"})

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
    begin = _moment(columns, row)
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


def _pair(exchanges: list[Exchange]) -> tuple[list[list[Exchange]], list[Exchange]]:
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


def _assign(
    items: list[tuple[int, int, int]], stories: Sequence[Story], pairs: list[list[Exchange]]
) -> list[tuple[int | None, Sure]]:
    """Give each exchange to the one enrollment whose time it fits, or to none.

    ``certain``: it fits only one, and no other exchange fits that one; ``likely``: only one is left when those are
    taken away and the answer is the one that CAPF was told, or as many are left on either side and came in one order.
    """
    result: list[tuple[int | None, Sure]] = [(None, "likely")] * len(items)
    fits = _fitting(items, stories)
    wanted = Counter(owner for candidates in fits for owner in candidates)
    for i, candidates in enumerate(fits):
        if len(candidates) == 1 and wanted[next(iter(candidates))] == 1 and not pairs[i][-1].unclear:
            result[i] = (next(iter(candidates)), "certain")
    taken = {owner for owner, _ in result if owner is not None}
    open_items = {i for i, candidates in enumerate(fits) if candidates and result[i][0] is None}
    for group in _groups(open_items, dict(enumerate(fits))):
        if any(_in_pieces(pairs[i][-1]) for i in group):
            # Requests at once whose lines could not be told apart: what is left of each is no ground to judge upon.
            open_items.difference_update(group)
    left = {i: {k for k in fits[i] - taken if _agrees(pairs[i][-1], stories[k])} for i in open_items}
    changed = True
    while changed:
        changed = False
        for i in sorted(open_items):
            if len(left[i]) != 1:
                continue
            (owner,) = left[i]
            if any(owner in left[j] for j in open_items if j != i):
                continue
            result[i] = (owner, "likely")
            open_items.discard(i)
            changed = True
    for group in _groups(open_items, left):
        owners = sorted(set().union(*(left[i] for i in group)), key=lambda k: stories[k].begin)
        inside = sorted(group, key=lambda i: pairs[i][0].rows[0])
        apart = all(stories[b].begin - stories[a].begin >= APART_MS for a, b in pairwise(owners))
        # What CES does for the one and the other takes its time: only the challenges come in the order of the calls.
        apart = apart and all(pairs[i][0].challenged for i in group)
        if len(owners) == len(inside) and apart and all(k in left[i] for i, k in zip(inside, owners, strict=True)):
            for i, owner in zip(inside, owners, strict=True):
                result[i] = (owner, "likely")
    return result


def _fitting(items: list[tuple[int, int, int]], stories: Sequence[Story]) -> list[set[int]]:
    """Give, for each exchange, the enrollments that were waiting for CES when it began."""
    order = sorted(range(len(stories)), key=lambda k: stories[k].begin)
    begins = [stories[k].begin for k in order]
    reach = max((stories[k].end - stories[k].begin for k in order), default=0) + SLACK_MS
    fits: list[set[int]] = []
    for begin, _last, _end in items:
        found: set[int] = set()
        k = bisect_right(begins, begin + SLACK_MS + 999) - 1
        while k >= 0 and begins[k] >= begin - reach:
            story = stories[order[k]]
            if story.begin - SLACK_MS <= begin + 999 and begin <= story.end:
                found.add(order[k])
            k -= 1
        fits.append(found)
    return fits


def _groups(items: set[int], left: dict[int, set[int]]) -> list[list[int]]:
    """Put together the items that vie for the same enrollments."""
    groups: list[tuple[set[int], list[int]]] = []
    for i in sorted(items):
        if not left[i]:
            continue
        near = [group for group in groups if group[0] & left[i]]
        owners = left[i].union(*(group[0] for group in near))
        members = [j for group in near for j in group[1]] + [i]
        groups = [group for group in groups if not group[0] & left[i]]
        groups.append((owners, members))
    return [members for _, members in groups]


def _in_pieces(exchange: Exchange) -> bool:
    """Tell whether a request that CES worked on lacks its connection or its answer."""
    return exchange.unclear or (exchange.serious and (exchange.connection is None or exchange.status is None))


def _agrees(exchange: Exchange, story: Story) -> bool:
    """Tell whether what CES answered, and when, is what CAPF was told (libEST client 2.x and 3.x)."""
    if story.answered is not None and exchange.end != NONE:
        if story.gave_up and exchange.end < story.answered - SLACK_MS:
            return False
        if not story.gave_up and exchange.end - 999 > story.answered + SLACK_MS:
            return False
    if exchange.status is None or exchange.status < 0 or story.gave_up or story.error is None:
        return True
    if exchange.error == "EST_ERR_HTTP_WRITE":
        return False
    told = TOLD_BY_STATUS.get(exchange.status)
    return story.error == told[0] if told is not None else story.outcome != "issued"


#: What CES asks of the CA for one enrollment; a login takes two or three requests (NTLM).
WHOLE = ["login", "form", "login", "post", "certificate"]

#: What libEST's server logs as the status of an answer that the application wrote: a success (seen in 2.1.0).
UNSET_STATUS = -1

#: What libEST's client makes of CES's HTTP status (est_client.c of 2.1.0; 3.2.0 differs for 500 alone).
TOLD_BY_STATUS = {
    UNSET_STATUS: ("EST_ERR_NONE", 0),
    200: ("EST_ERR_NONE", 0),
    202: ("EST_ERR_CA_ENROLL_RETRY", 26),
    400: ("EST_ERR_HTTP_BAD_REQ", 13),
    401: ("EST_ERR_AUTH_FAIL", 22),
    404: ("EST_ERR_HTTP_NOT_FOUND", 14),
}


def _from_ces(pair: list[Exchange], rows: list[int]) -> Story:
    """Make an enrollment without a device of what CES alone shows."""
    last = pair[-1]
    error, value = TOLD_BY_STATUS.get(last.status or 0, (None, None))
    outcome: Literal["issued", "failed", "incomplete"] = "incomplete"
    if last.serious:
        if last.status in (200, UNSET_STATUS) and last.error is None:
            outcome = "issued"
        elif last.status is not None or last.error is not None or last.curl_failed:
            outcome = "failed"
    if outcome == "failed" and last.error == "EST_ERR_HTTP_WRITE":
        # CAPF had gone away before this answer: it was not told of it.
        error, value = None, None
    if outcome == "incomplete":
        error, value = None, None
    begin = min(e.begin for e in pair)
    end = max(max(e.begin, e.end) for e in pair)
    return Story(None, begin, end, None, outcome, error, value, dict.fromkeys(rows, "certain"), begin, end)


def _ca_requests(columns: Columns) -> list[int]:
    """List the requests that CES made of the CA, in the order of time; those of browsers and others are nobody's."""
    rows = np.flatnonzero(columns.source == "iis").tolist()
    mine = [row for row in rows if (columns.text_of("agent", row) or "CiscoRA").startswith("CiscoRA")]
    # HTTP.sys logs no User-Agent: what asks for /certsrv from where CES asks is taken for CES.
    clients = {columns.text_of("client", row) for row in mine}
    for row in np.flatnonzero(columns.source == "httperr").tolist():
        asks = (columns.text_of("url", row) or "").lower().startswith("/certsrv")
        if asks and (not clients or columns.text_of("client", row) in clients):
            mine.append(row)
    return sorted(mine, key=lambda row: (columns.time[row], columns.member[row], columns.line[row]))


def _of_starts(columns: Columns, requests: Sequence[int], starts: Sequence[Start]) -> dict[int, Start | None]:
    """Find the requests that CES made while it started: the chain's, and the login before it; put them to the start."""
    own: set[int] = set()
    for k, row in enumerate(requests):
        if step_of(columns, row) != "chain":
            continue
        own.add(row)
        for before in reversed(requests[max(0, k - 4) : k]):
            alike = columns.text_of("client", before) == columns.text_of("client", row)
            near = columns.time[row] - columns.time[before] <= CHAIN_GAP_MS
            if step_of(columns, before) != "login" or not alike or not near:
                break
            own.add(before)
            if columns.integer("status", before) == 401:
                break
    spans = []
    for start in starts:
        times = [int(columns.time[row]) for row in start.rows if columns.time[row] != NONE]
        if times:
            spans.append((min(times) - START_MS, max(times) + START_MS, start))
    found: dict[int, Start | None] = {}
    for row in requests:
        at = int(columns.time[row])
        near_by = [start for lo, hi, start in spans if lo <= at <= hi]
        if row in own or (step_of(columns, row) == "login" and any(start.ok is False for start in near_by)):
            found[row] = near_by[0] if near_by else None
            if near_by:
                near_by[0].requests.append(row)
    return found


def _join_ca(
    columns: Columns,
    requests: list[int],
    stories: list[Story],
    covered: Sequence[tuple[int, int]],
    others: bool,
) -> list[list[int]]:
    """Put CES's requests to the CA to enrollments; gives back those that fit none for sure."""
    waiting = _Spans([(story.begin, story.end, k) for k, story in enumerate(stories)])
    # Only a call that was given up is worked for long after its end.
    after = _Spans([(story.end + 1, story.until, k) for k, story in enumerate(stories)])
    open_rows: list[int] = []
    calls: dict[int, set[int]] = {}
    choices: dict[int, set[int]] = {}
    for row in requests:
        low, high = int(columns.earliest[row]), int(columns.latest[row])
        fits = waiting.over(low, high)
        late = after.over(low, high) - fits
        if len(fits) == 1 and not late:
            (owner,) = fits
            stories[owner].rows[row] = "certain"
        else:
            calls[row], choices[row] = fits, fits | late
            open_rows.append(row)
    strays: list[list[int]] = []
    chains: list[list[int]] = []
    for group in _together(columns, open_rows, choices):
        found, mixed = _chains(columns, group)
        if mixed:
            strays.append(group)
        else:
            chains += found
    taken: set[int] = set()
    for chain in chains:
        common = set.intersection(*(choices[row] for row in chain))
        if any(step_of(columns, row) == "form" for row in chain):
            # CES does not begin only after CAPF gave up, if there is a call that it may have begun for.
            common = set.intersection(*(calls[row] for row in chain)) or common
        left = [k for k in common - taken if _chain_agrees(columns, chain, stories[k])]
        if len(left) == 1:
            taken.add(left[0])
            stories[left[0]].rows.update(dict.fromkeys(chain, "likely"))
        elif not common and _asks(columns, chain) and not (others and _inside(int(columns.time[chain[0]]), covered)):
            stories.append(_from_ca(columns, chain, requests))
        else:
            strays.append(chain)
    return strays


class _Spans:
    """Spans of time that can be asked which of them touch another; short and long ones apart, so that it is quick."""

    def __init__(self, spans: Sequence[tuple[int, int, int]]) -> None:
        self._groups: list[tuple[list[tuple[int, int, int]], list[int], int]] = []
        for long in (False, True):
            group = sorted(span for span in spans if (span[1] - span[0] > LONG_MS) == long)
            reach = max((end - begin for begin, end, _ in group), default=0)
            self._groups.append((group, [begin for begin, _, _ in group], reach))

    def over(self, low: int, high: int) -> set[int]:
        """Give the numbers of the spans that share a moment with ``low`` to ``high``."""
        found = set()
        for group, begins, reach in self._groups:
            k = bisect_right(begins, high) - 1
            while k >= 0 and begins[k] >= low - reach:
                if group[k][1] >= low:
                    found.add(group[k][2])
                k -= 1
        return found


def _asks(columns: Columns, chain: Sequence[int]) -> bool:
    """Tell whether a chain of requests is of an enrollment: it opens the form, or goes beyond it."""
    return any(step_of(columns, row) in ("form", "post", "certificate") for row in chain)


def _together(columns: Columns, rows: Sequence[int], choices: Mapping[int, set[int]]) -> list[list[int]]:
    """Cut requests where one cannot be of the same enrollment as those before it."""
    groups: list[list[int]] = []
    wanted: set[int] = set()
    for row in rows:
        near = bool(groups) and columns.time[row] - columns.time[groups[-1][-1]] <= CHAIN_GAP_MS
        if near and (choices[row] & wanted or not (choices[row] or wanted)):
            groups[-1].append(row)
            wanted |= choices[row]
        else:
            groups.append([row])
            wanted = set(choices[row])
    return groups


def _chains(columns: Columns, rows: Sequence[int]) -> tuple[list[list[int]], bool]:
    """Cut CES's requests into chains, one for each enrollment: login, form, login, post, certificate.

    A login belongs to what follows on it: a form begins a chain, a post goes on with one. True, and no chains: requests
    of several enrollments stand between one another, so that nothing tells whose which is.
    """
    chains: list[list[int]] = []
    login: list[int] = []
    for row in rows:
        step = step_of(columns, row)
        gap = bool(login) and columns.time[row] - columns.time[login[-1]] > CHAIN_GAP_MS
        begins = step == "login" and bool(login) and columns.integer("status", row) == 401
        if begins and not gap and columns.integer("status", login[-1]) != 401:
            return [], True
        if gap or begins:
            chains.append(login)
            login = []
        if step == "login":
            login.append(row)
            continue
        since = columns.time[row] - CHAIN_GAP_MS
        near = list(takewhile(lambda chain: columns.time[chain[-1]] >= since, reversed(chains)))  # noqa: B023
        waiting = [chain for chain in near if step is not None and _waits_for(columns, chain, step)]
        if len(waiting) > 1 or (waiting and step == "certificate" and login):
            return [], True
        if waiting:
            waiting[0] += [*login, row]
        elif near and (not login or step != "form"):
            return [], True
        else:
            chains.append([*login, row])
        login = []
    if login:
        chains.append(login)
    return chains, False


def _waits_for(columns: Columns, chain: Sequence[int], step: str) -> bool:
    """Tell whether a chain goes on with this step: a post after its form, the certificate after its post."""
    done = {step_of(columns, row) for row in chain}
    before = {"post": "form", "certificate": "post"}.get(step)
    return before in done and step not in done


def _chain_agrees(columns: Columns, chain: Sequence[int], story: Story) -> bool:
    """Tell whether a chain goes on where the enrollment's own requests end; one that was issued has them all."""
    rows = sorted({*chain, *(row for row in story.rows if columns.source[row] == "iis")})
    rows.sort(key=lambda row: (columns.time[row], columns.member[row], columns.line[row]))
    steps = [step_of(columns, row) for row in rows]
    done = [step for k, step in enumerate(steps) if k == 0 or step != "login" or steps[k - 1] != "login"]
    return done == WHOLE[: len(done)] and (story.outcome != "issued" or len(done) == len(WHOLE))


def _from_ca(columns: Columns, chain: list[int], requests: Sequence[int]) -> Story:
    """Make an enrollment without a device of what the CA alone shows.

    Fetching the certificate is taken for success, if CAPF can still have waited for it; what CAPF was told, nobody
    here knows. A chain that broke off is a failure where IIS goes on logging well after it, else it is incomplete: IIS
    writes up to 64 KB late.
    """
    times = [int(columns.time[row]) for row in chain]
    fetched = any(step_of(columns, r) == "certificate" and columns.integer("status", r) == 200 for r in chain)
    later = bool(requests) and int(columns.time[requests[-1]]) - max(times) > CHAIN_GAP_MS
    outcome: Literal["issued", "failed", "incomplete"] = "issued" if fetched else "failed" if later else "incomplete"
    if fetched and max(times) - min(times) >= GAVE_UP_MS:
        outcome = "incomplete"
    rows: dict[int, Sure] = dict.fromkeys(chain, "certain")
    return Story(None, min(times), max(times), None, outcome, None, None, rows, min(times), max(times))
