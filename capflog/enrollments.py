"""Whose line it is: every line of CES and the CA put to the enrollment that caused it, or left alone.

Ids join first (CAPF's device and session, NGINX's connection), then windows of time that only one enrollment fits, then
the order of the steps. What stays open is put to none: a wrong line in a phone's story costs more than a missing one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from capflog.ca_requests import ca_requests, join_ca, requests_of_starts
from capflog.clocks import Alignment
from capflog.exchanges import UNSET_STATUS, Exchange, find_exchanges, moment, pair_up
from capflog.steps import Columns, is_fault
from capflog.story import SLACK_MS, Story, Sure, in_sequence, inside, tighten
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.attempts import Attempt, Trace
    from capflog.starts import Start

#: Calls of CAPF that are this far apart reach CES in their order. (ms)
APART_MS = 100


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
    pairs, unpaired = pair_up(exchanges)
    strays = [exchange.rows for exchange in (*(e for e in exchanges if e.begin == NONE), *unpaired)]
    clients = {exchange.client for exchange in exchanges if exchange.serious and exchange.client is not None}
    # Who was asked for credentials and is never served is a stranger at CES's port.
    pairs = [pair for pair in pairs if pair[-1].serious or not clients or pair[-1].client in clients]
    owners = _assign(pairs, stories)
    for pair, (owner, sure) in zip(pairs, owners, strict=True):
        rows = [row for exchange in pair for row in exchange.rows]
        if owner is not None:
            stories[owner].rows.update(dict.fromkeys(rows, sure))
        elif not inside(pair[0].begin, covered):
            stories.append(_from_ces(pair, rows))
        elif pair[-1].serious:
            strays.append(rows)
    requests = ca_requests(columns)
    untimed = [row for row in requests if columns.time[row] == NONE]
    if untimed:
        strays.append(untimed)
    requests = requests[len(untimed) :]
    own = requests_of_starts(columns, requests, starts)
    strays += [[row] for row, start in own.items() if start is None and is_fault(columns, row)]
    requests = [row for row in requests if row not in own]
    if alignment.iis_known or not (alignment.sources & {"capf", "nginx"}):
        strays += join_ca(columns, requests, stories, covered, bool(len(trace.rows)) or bool(pairs))
    elif requests:
        strays.append(requests)
    for story in stories:
        tighten(columns, story)
        story.order = in_sequence(columns, story)
        if story.device is None:
            times = [at for at in (moment(columns, row) for row in story.rows) if at is not None]
            if times:
                story.started, story.ended = min(times), max(times)
    stories.sort(key=lambda s: (s.begin, s.device or "~", min(s.rows, default=0)))
    return Joined(stories, strays, sum(len(rows) for rows in strays))


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


def _coverage(columns: Columns, trace: Trace) -> list[tuple[int, int]]:
    """Give the spans of time that CAPF's trace covers: an enrollment inside of them has a device."""
    if not len(trace.rows):
        return []
    times = columns.time[trace.rows]
    return [(int(times.min()) - SLACK_MS, int(times.max()) + SLACK_MS)]


def _assign(pairs: list[list[Exchange]], stories: Sequence[Story]) -> list[tuple[int | None, Sure]]:
    """Give each exchange to the one enrollment whose time it fits, or to none.

    ``certain``: it fits only one, and no other exchange fits that one; ``likely``: only one is left when those are
    taken away and the answer is the one that CAPF was told, or as many are left on either side and came in one order.
    """
    result: list[tuple[int | None, Sure]] = [(None, "likely")] * len(pairs)
    fits = _fitting([pair[0].begin for pair in pairs], stories)
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


def _fitting(moments: Sequence[int], stories: Sequence[Story]) -> list[set[int]]:
    """Give, for each exchange, the enrollments that were waiting for CES when it began."""
    order = sorted(range(len(stories)), key=lambda k: stories[k].begin)
    begins = [stories[k].begin for k in order]
    reach = max((stories[k].end - stories[k].begin for k in order), default=0) + SLACK_MS
    fits: list[set[int]] = []
    for begin in moments:
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
