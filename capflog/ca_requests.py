"""CES's requests to the CA as IIS shows them: whose each is, or that nothing tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.rows import NONE
from capflog.steps import CHAIN, STEP, STEP_NAMES, by_words
from capflog.story import CHAIN_GAP_MS, GAVE_UP_MS, NO_ROWS, Outcome, Story
from capflog.windows import pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.starts import Start
    from capflog.steps import Columns

#: CES's requests to the CA stand at most this far from the other lines of its start. (ms)
START_MS = 12_000

_LOGIN, _FORM, _POST, _CERTIFICATE = (STEP_NAMES.index(name) for name in ("login", "form", "post", "certificate"))

#: The number of the step that a login shows.
LOGIN_STEP = _LOGIN

#: What CES asks for an enrollment alone, by the steps' numbers.
BEYOND_LOGIN = (_FORM, _POST, _CERTIFICATE)


@dataclass(slots=True)
class Requests:
    """CES's requests to the CA in the order of time, as columns: times in ms since 1970 UTC, the step that each shows
    (as a mark of :mod:`capflog.steps` says it), the HTTP status, the client's code.
    """

    rows: np.ndarray
    time: np.ndarray
    earliest: np.ndarray
    latest: np.ndarray
    step: np.ndarray
    status: np.ndarray
    client: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, which: np.ndarray) -> Requests:
        """Give some of them."""
        return Requests(*(getattr(self, name)[which] for name in self.__slots__))


def ca_requests(columns: Columns, strangers: np.ndarray = NO_ROWS) -> Requests:
    """List the requests that CES made of the CA, in the order of time; those of browsers and others are nobody's.

    ``strangers``: rows, in order, of requests of CES on nodes that none of the logs is of: they are nobody's, too.
    """
    table = columns.table
    rows = table.of_source("iis")
    rows = rows[by_words(columns, "agent", rows, lambda agent: (agent or "CiscoRA").startswith("CiscoRA")) != 0]
    if len(strangers):
        rows = rows[~np.isin(rows, strangers)]
    # HTTP.sys logs no User-Agent: what asks for /certsrv from where CES asks is taken for CES.
    refused = table.of_source("httperr")
    asks = by_words(columns, "url", refused, lambda url: (url or "").lower().startswith("/certsrv")) != 0
    refused = refused[asks]
    if len(rows):
        refused = refused[np.isin(table.codes("client", refused)[0], table.codes("client", rows)[0])]
    rows = np.concatenate([rows, refused])
    rows = rows[np.lexsort((columns.line[rows], columns.member[rows], columns.time[rows]))]
    return Requests(
        rows,
        columns.time[rows],
        columns.earliest[rows],
        columns.latest[rows],
        columns.marks(rows) & STEP,
        table.numbers("status", rows),
        table.codes("client", rows)[0],
    )


def requests_of_starts(columns: Columns, requests: Requests, starts: Sequence[Start]) -> tuple[np.ndarray, np.ndarray]:
    """Find the requests that CES made while it started: the chain's, and the login before it; put them to the start.

    Gives back the places of those of a start and, of these, the places of those whose start is not known.
    """
    own = requests.step == CHAIN
    for k in np.flatnonzero(own).tolist():
        for login in range(k - 1, max(0, k - 4) - 1, -1):
            alike = requests.client[login] == requests.client[k]
            near = requests.time[k] - requests.time[login] <= CHAIN_GAP_MS
            if requests.step[login] != _LOGIN or not alike or not near:
                break
            own[login] = True
            if requests.status[login] == 401:
                break
    spans: list[tuple[int, int]] = []
    known: list[Start] = []
    for start in starts:
        times = columns.time[np.array(start.rows, dtype=np.int64)]
        times = times[times != NONE]
        if len(times):
            spans.append((int(times.min()) - START_MS, int(times.max()) + START_MS))
            known.append(start)
    begin, end = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    failed = np.array([start.ok is False for start in known], dtype=bool)
    asked = np.flatnonzero(own | (requests.step == _LOGIN))
    lost: list[int] = []
    for lo, hi, near_by in pieces(requests.time[asked], requests.time[asked], begin, end):
        near_by.sort()
        at = requests.time[asked[lo:hi], None]
        found = (begin[near_by] <= at) & (at <= end[near_by])
        own[asked[lo:hi]] |= (found & failed[near_by]).any(axis=1)
        for n in np.flatnonzero(own[asked[lo:hi]]).tolist():
            k, which = int(asked[lo + n]), found[n]
            if which.any():
                known[near_by[which.argmax()]].requests.append(int(requests.rows[k]))
            else:
                lost.append(k)
    return np.flatnonzero(own), np.array(lost, dtype=np.int64)


def along(requests: Requests, chain: np.ndarray, link: np.ndarray) -> np.ndarray:
    """Give of each request of a chain how sure it is of one enrollment with the one by which that is known.

    ``link``: of each request how sure it is that it follows on the one before it. An enrollment is known by the form
    that it opens, else by what comes after that.
    """
    step = requests.step[chain]
    known = next((int(np.flatnonzero(step == own)[0]) for own in BEYOND_LOGIN if (step == own).any()), 0)
    before = np.cumprod(link[chain][known:0:-1])[::-1]
    return np.concatenate([before, [1.0], np.cumprod(link[chain][known + 1 :])])


def story_of_ca(requests: Requests, chain: np.ndarray) -> Story:
    """Make an enrollment without a device of what the CA alone shows.

    Fetching the certificate is taken for success, if CAPF can still have waited for it; what CAPF was told, nobody
    here knows. A chain that broke off is a failure where IIS goes on logging well after it, else it is incomplete: IIS
    writes up to 64 KB late.
    """
    times = requests.time[chain]
    begin, end = int(times.min()), int(times.max())
    fetched = bool(((requests.step[chain] == _CERTIFICATE) & (requests.status[chain] == 200)).any())
    later = int(requests.time[-1]) - end > CHAIN_GAP_MS
    outcome: Outcome = "issued" if fetched else "failed" if later else "incomplete"
    if fetched and end - begin >= GAVE_UP_MS:
        outcome = "incomplete"
    return Story(None, begin, end, None, outcome, None, None, begin, end, requests.rows[chain])
