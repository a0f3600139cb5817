"""Whose line it is: every line of CES and the CA put to the enrollment that caused it, or left alone.

Ids join first (CAPF's device and session, NGINX's connection), then windows of time that only one enrollment fits, then
the order of the steps. What stays open is put to none: a wrong line in a phone's story costs more than a missing one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from capflog.ca_requests import ca_requests, join_ca, requests_of_starts
from capflog.exchanges import UNSET_STATUS, find_exchanges, pair_up
from capflog.owners import TOLD_BY_STATUS, find_owners
from capflog.rows import NONE
from capflog.sequence import Given, put_in_order
from capflog.steps import Columns, is_fault, of_kinds
from capflog.story import NO_ROWS, NONE_LIKELY, SLACK_MS, Outcome, Story, inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.attempts import Attempt, Trace
    from capflog.clocks import Alignment
    from capflog.exchanges import Exchanges
    from capflog.starts import Start


#: So many rows are gone through at once.
_PIECE = 1 << 17


@dataclass(slots=True)
class Joined:
    """All enrollments with their rows, and what could be put to none."""

    stories: list[Story]
    strays: list[np.ndarray]
    """Rows of exchanges with CES, and of CES with the CA, that belong to no enrollment for sure."""
    unattributed: int


def join(
    columns: Columns, trace: Trace, attempts: Sequence[Attempt], starts: Sequence[Start], alignment: Alignment
) -> Joined:
    """Put the lines of all logs to enrollments; what that tells of their times is put into ``columns``."""
    stories = _from_capf(columns, trace, attempts)
    covered = _coverage(columns, trace)
    of_starts = np.unique(np.array([row for start in starts for row in start.rows], dtype=np.int64))
    of_ces, strays, paired = _join_ces(find_exchanges(columns, of_starts), stories, covered)
    given = [of_ces]
    requests = ca_requests(columns, alignment.strangers)
    timed = requests.time != NONE
    if not timed.all():
        strays.append(requests.rows[~timed])
    requests = requests.chosen(timed)
    own, lost = requests_of_starts(columns, requests, starts)
    strays += [requests.rows[k : k + 1] for k in lost.tolist() if is_fault(columns, int(requests.rows[k]))]
    requests = requests.chosen(np.delete(np.arange(len(requests)), own))
    if alignment.iis_known or not (alignment.sources & {"capf", "nginx"}):
        joined = join_ca(columns, requests, stories, covered, bool(len(trace.rows)) or paired)
        given.append(Given.of(joined.owner, requests.rows, joined.likely))
        strays += [requests.rows[places] for places in joined.strays]
    elif len(requests):
        strays.append(requests.rows)
    first = put_in_order(columns, stories, given).tolist()
    turns = sorted(range(len(stories)), key=lambda k: (stories[k].begin, stories[k].device or "~", first[k]))
    return Joined([stories[k] for k in turns], strays, sum(len(rows) for rows in strays))


def _from_capf(columns: Columns, trace: Trace, attempts: Sequence[Attempt]) -> list[Story]:
    """Make the enrollments of the attempts in CAPF's trace."""

    def rows_at(places: list[int]) -> np.ndarray:
        known = np.array(places, dtype=np.int64)
        return np.where(known < 0, -1, trace.rows[known] if len(trace.rows) else -1)

    first = rows_at([attempt.first for attempt in attempts])
    call = rows_at([-1 if attempt.call is None else attempt.call for attempt in attempts])
    result = rows_at([-1 if attempt.result is None else attempt.result for attempt in attempts])
    errors = iter(columns.est_errors(result[result >= 0]))
    seen = call >= 0
    seen[of_kinds(columns, first, {"est.enroll.mode"})] = True
    times = [columns.time[rows].tolist() for rows in (first, np.where(call < 0, first, call), result)]
    sizes = [len(attempt.positions) for attempt in attempts]
    every = trace.rows[np.concatenate([attempt.positions for attempt in attempts])] if attempts else NO_ROWS
    ends = list(accumulate(sizes))
    stories: list[Story] = []
    for attempt, started, begin, answered, seen_from_start, size, stop in zip(
        attempts, *times, seen.tolist(), sizes, ends, strict=True
    ):
        rows = every[stop - size : stop]
        unsure = attempt.unsure
        likely = frozenset(trace.rows[unsure].tolist()) if len(unsure) else NONE_LIKELY
        if attempt.result is None:
            last = int(columns.time[rows].max())
            story = Story(attempt.device, begin, last, None, "incomplete", None, None, started, None, rows, likely)
        else:
            error, value = next(errors)
            outcome: Outcome = "issued" if error == "EST_ERR_NONE" else "failed"
            story = Story(
                attempt.device,
                begin,
                answered,
                answered,
                outcome if seen_from_start else "incomplete",
                error,
                value,
                started if seen_from_start else None,
                answered,
                rows,
                likely,
            )
        stories.append(story)
    return stories


def _coverage(columns: Columns, trace: Trace) -> list[tuple[int, int]]:
    """Give the spans of time that CAPF's trace covers: an enrollment inside of them has a device."""
    if not len(trace.rows):
        return []
    first, last = np.iinfo(np.int64).max, NONE
    for begin in range(0, len(trace.rows), _PIECE):
        times = columns.time[trace.rows[begin : begin + _PIECE]]
        first, last = min(first, int(times.min())), max(last, int(times.max()))
    return [(first - SLACK_MS, last + SLACK_MS)]


def _join_ces(
    exchanges: Exchanges, stories: list[Story], covered: Sequence[tuple[int, int]]
) -> tuple[Given, list[np.ndarray], bool]:
    """Put requests to CES to enrollments; those outside of CAPF's trace make enrollments of their own.

    Gives back what was put to the others, the strays, and whether there is any request.
    """
    pairs, unpaired = pair_up(exchanges)
    untimed = np.flatnonzero(exchanges.begin == NONE).tolist()
    strays = [exchanges.rows_of(number) for number in (*untimed, *unpaired)]
    clients = np.unique(exchanges.client[exchanges.serious & (exchanges.client >= 0)])
    if len(clients):
        # Who was asked for credentials and is never served is a stranger at CES's port.
        served = exchanges.serious[pairs.last] | np.isin(exchanges.client[pairs.last], clients)
        pairs = pairs.chosen(served)
    owners, likely = find_owners(exchanges, pairs, stories)
    owner = np.full(len(exchanges.begin), -1, dtype=np.int32)
    unsure = np.zeros(len(owner), dtype=bool)
    for ends in (pairs.first, pairs.last):
        owner[ends], unsure[ends] = owners, likely
    nobodys = np.flatnonzero(owners < 0)
    firsts, lasts = pairs.first[nobodys], pairs.last[nobodys]
    known = inside(exchanges.begin[firsts], covered)
    told = np.flatnonzero(~known | exchanges.serious[lasts])
    rows, bounds = exchanges.rows, exchanges.bounds
    spans = (bounds[firsts], bounds[firsts + 1], bounds[lasts], bounds[lasts + 1])
    for first, last, stray, lo, hi, low, high in zip(
        *(column[told].tolist() for column in (firsts, lasts, known, *spans)), strict=True
    ):
        mine = rows[lo:hi] if first == last else np.concatenate([rows[lo:hi], rows[low:high]])
        if stray:
            strays.append(mine)
        else:
            stories.append(_from_ces(exchanges, first, last, mine))
    sizes = np.diff(exchanges.bounds)
    given = Given.of(np.repeat(owner, sizes), exchanges.rows, np.repeat(unsure, sizes))
    return given, strays, bool(len(pairs.first))


def _from_ces(exchanges: Exchanges, first: int, last: int, rows: np.ndarray) -> Story:
    """Make an enrollment without a device of what CES alone shows."""
    told = exchanges.error[last]
    status = None if exchanges.status[last] == NONE else int(exchanges.status[last])
    error, value = TOLD_BY_STATUS.get(status or 0, (None, None))
    outcome: Outcome = "incomplete"
    if exchanges.serious[last]:
        if status in (200, UNSET_STATUS) and told is None:
            outcome = "issued"
        elif status is not None or told is not None or exchanges.curl_failed[last]:
            outcome = "failed"
    if outcome == "failed" and told == "EST_ERR_HTTP_WRITE":
        # CAPF had gone away before this answer: it was not told of it.
        error, value = None, None
    if outcome == "incomplete":
        error, value = None, None
    begin = min(int(exchanges.begin[number]) for number in (first, last))
    end = max(int(at[number]) for number in (first, last) for at in (exchanges.begin, exchanges.end))
    return Story(None, begin, end, None, outcome, error, value, begin, end, rows)
