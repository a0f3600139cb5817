"""CES's requests to the CA as IIS shows them: whose each is, or that nothing tells it."""

from __future__ import annotations

from bisect import bisect_right
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

import numpy as np

from capflog.steps import Columns, step_of
from capflog.story import CHAIN_GAP_MS, GAVE_UP_MS, Story, Sure, inside
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capflog.starts import Start

#: A span of time longer than this is a long one. (ms)
LONG_MS = 2_000

#: CES's requests to the CA stand at most this far from the other lines of its start. (ms)
START_MS = 12_000

#: What CES asks of the CA for one enrollment; a login takes two or three requests (NTLM).
WHOLE = ["login", "form", "login", "post", "certificate"]


def ca_requests(columns: Columns) -> list[int]:
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


def requests_of_starts(columns: Columns, requests: Sequence[int], starts: Sequence[Start]) -> dict[int, Start | None]:
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


def join_ca(
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
        elif not common and _asks(columns, chain) and not (others and inside(int(columns.time[chain[0]]), covered)):
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
