"""CES's requests to the CA as the clocks see them: what IIS logged of them, by server and by who asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from capflog.clock_log import each_once
from capflog.rotation import rotation_key
from capflog.rows import NONE

if TYPE_CHECKING:
    from capflog.clock_log import Log
    from capflog.zones import Zone

#: The pages that CES asks the CA for, in the order of an enrollment; ``chain`` is asked for when CES starts.
PAGES = {
    "login": re.compile(r"/certsrv/?$", re.IGNORECASE),
    "form": re.compile("certrqxt", re.IGNORECASE),
    "post": re.compile("certfnsh", re.IGNORECASE),
    "certificate": re.compile(r"certnew\.cer", re.IGNORECASE),
    "chain": re.compile(r"certnew\.p7b", re.IGNORECASE),
}
LOGIN, FORM, POST, CERTIFICATE, CHAIN = range(len(PAGES))

#: So many servers have a clock of their own in a report.
_SERVERS = 16

#: A page that none of these is.
OTHER = -1


def steps_of(log: Log, rows: np.ndarray) -> np.ndarray:
    """Tell of each row that bears a URL which page of the CA it is of: a number of :data:`PAGES`' places."""
    codes, words = log.table.codes("url", rows)
    used = np.zeros(len(words) + 1, dtype=bool)
    used[codes] = True
    steps = np.full(len(words) + 1, OTHER, dtype=np.int8)
    # There are many rows, but few words that they bear.
    for code in np.flatnonzero(used[:-1]).tolist():
        steps[code] = next((n for n, page in enumerate(PAGES.values()) if page.search(words[code])), OTHER)
    found: np.ndarray = steps[codes]
    return found


@dataclass(frozen=True, slots=True)
class Server:
    """A server whose IIS logged requests: its name ("" where there is but one), and its rows of the table."""

    name: str
    rows: np.ndarray


@dataclass(frozen=True)
class Asked:
    """CES's requests to one server, as columns, in the order of its log: times in ms, by that server's own clock.

    ``at``: the second in which the answer was done; ``taken``: how long it took; ``step``: which page it is, by its
    place in :data:`PAGES`; ``good``: answered with a page, or sent on to one; ``client``: the code of who asked.
    """

    rows: np.ndarray
    at: np.ndarray
    taken: np.ndarray
    step: np.ndarray
    good: np.ndarray
    client: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, which: np.ndarray) -> Asked:
        """Give some of them."""
        return Asked(*(getattr(self, name)[which] for name in ("rows", "at", "taken", "step", "good", "client")))

    @cached_property
    def by_time(self) -> np.ndarray:
        """Their places in the order of time."""
        return np.argsort(self.at, kind="stable")

    def of_step(self, step: int) -> np.ndarray:
        """Give the moments of those of a page that were answered well, each once, sorted."""
        return each_once(self.at[(self.step == step) & self.good])

    @cached_property
    def clients(self) -> list[int]:
        """The codes of those who asked, whoever asked most first."""
        codes, first, often = np.unique(self.client, return_index=True, return_counts=True)
        # Numbers of words depend on the order of reading, the order of the log does not.
        found: list[int] = codes[np.lexsort((first, -often))].tolist()
        return found


def servers_of(log: Log) -> list[Server]:
    """Part IIS's rows by the server that logged them: by its name where it is logged, else by its address.

    Rows that name neither are of the server that most rows of their member are of.
    """
    table = log.table
    rows = table.of_source("iis")
    if not len(rows):
        return []
    names, words = table.codes("computer", rows)
    addresses, address_words = table.codes("server", rows)
    own = np.where(names >= 0, names, np.where(addresses >= 0, addresses + len(words), -1))
    if not (own >= 0).any() or (own == own[0]).all():
        return [Server("", rows)]
    members = table.member[rows]
    for member in each_once(members[own < 0]).tolist():
        mine = members == member
        known = own[mine & (own >= 0)]
        codes, often = np.unique(known if len(known) else own[own >= 0], return_counts=True)
        own[mine & (own < 0)] = codes[np.argmax(often)]
    codes, often = np.unique(own, return_counts=True)
    if len(codes) == 1:
        return [Server("", rows)]
    if len(codes) > _SERVERS:
        # Of very many the busiest are told apart; the others' clocks are not looked at one by one.
        first = np.unique(own, return_index=True)[1]
        busy = codes[np.lexsort((first, -often))][:_SERVERS]
        own[~np.isin(own, busy)] = -1
        codes = each_once(own)
    codes = codes.tolist()
    called = {code: words[code] if code < len(words) else address_words[code - len(words)] for code in codes}
    called |= {-1: "other servers"} if -1 in called else {}
    return [Server(called[code], rows[own == code]) for code in sorted(codes, key=lambda code: called[code])]


def asked_of(log: Log, server: Server, zone: Zone | None) -> Asked:
    """Read CES's requests out of a server's log; ``zone``: what its stamps are told to be of, None: UTC."""
    table = log.table
    agents, words = table.codes("agent", server.rows)
    used = np.zeros(len(words) + 1, dtype=bool)
    used[agents] = True
    of_ces = np.zeros(len(words) + 1, dtype=bool)
    # Logs without that column may be of CES's requests, too.
    of_ces[-1] = True
    for code in np.flatnonzero(used[:-1]).tolist():
        of_ces[code] = words[code].startswith("CiscoRA")
    rows = server.rows[of_ces[agents]]
    at = log.utc_of_iis(rows, zone)
    rows, at = rows[at != NONE], at[at != NONE]
    members = table.member[rows]
    if len(rows) and members.min() != members.max():
        codes = each_once(members).tolist()
        rank = np.zeros(len(table.members), dtype=np.int32)
        for number, code in enumerate(sorted(codes, key=lambda code: rotation_key(table.members[code]))):
            rank[code] = number
        turn = np.lexsort((rows, rank[members]))
        rows, at = rows[turn], at[turn]
    taken = table.numbers("taken", rows)
    status = table.numbers("status", rows)
    return Asked(
        rows,
        at,
        np.where(taken == NONE, 0, np.clip(taken, 0, 3_600_000)),
        steps_of(log, rows),
        (status >= 200) & (status < 400),
        table.codes("client", rows)[0],
    )
