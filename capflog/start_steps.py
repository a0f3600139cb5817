"""The steps of CES's start, and how far a start came.

The order is that of NGINX and of CES's plugin in it. NGINX reads its configuration (nginx ngx_cycle.c), and within
that the plugin's ``postconf`` asks the CA for its chain: libcurl takes up the certificates that CES trusts as TLS
begins, the login follows, then ``certnew.p7b`` (Cisco 214396, "CES Starting Up": error.log and IIS). The chain goes to
libEST, NGINX opens its port, the start script names its process, and its master starts the workers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from capflog.starts import FAILURES
from capflog.steps import STEP, STEP_NAMES, UNDONE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from capflog.starts import Start
    from capflog.steps import Columns

#: The steps in their order.
STEPS = ("config", "trust", "login", "chain", "postconf", "libest", "pop", "service", "workers")

#: Steps in words, for people.
WORDS = {
    "config": "configuration",
    "trust": "trust store",
    "login": "login to the CA",
    "chain": "CA's chain (certnew.p7b)",
    "postconf": "chain handed to EST",
    "libest": "libEST",
    "pop": "proof of possession off",
    "service": "NGINX's process",
    "workers": "NGINX's workers",
}

#: The logs that show a step; what a setting decides (``pop``) is never missing. NGINX copies no record below warn to
#: standard error, which is the CiscoRA log (nginx ngx_log.c); IIS has CES's requests alone.
_SHOWN_IN = {
    "config": ("ciscora", "nginx"),
    "trust": ("ciscora", "nginx"),
    "login": ("nginx", "iis"),
    "chain": ("nginx", "iis"),
    "postconf": ("nginx",),
    "libest": ("ciscora",),
    "service": ("ciscora",),
    "workers": ("nginx",),
}

_BY_KIND = {
    "ces.chain.unset": "config",
    "ces.cert.added": "trust",
    "ces.chain.ok": "postconf",
    "est.version": "libest",
    "est.ssl.version": "libest",
    "ces.pop.off": "pop",
    "ces.started": "service",
    "nginx.started": "workers",
    "ces.login.failed": "login",
    "ces.chain.failed": "chain",
    "nginx.bind.failed": "service",
}

#: CES is up when one of these is done.
_UP = frozenset({"service", "workers"})

_CES_FUNCTIONS = (("login", "login"), ("cacerts", "chain"))
_HOST = re.compile(r"[a-z]+://(?:[^/@\s]*@)?([^/?#@\s]+)", re.I)
_VERSION = re.compile(r"\d+(?:\.\d+)+\w*")


@dataclass(slots=True)
class Way:
    """How far a start came.

    ``reached``: the last step that was done before the missing one. ``steps``: the step of each row that shows one.
    ``missing``: the step that failed, or, where the lines break off, the next one that they could show.
    """

    reached: str | None = None
    missing: str | None = None
    steps: dict[int, str] = field(default_factory=dict)


def way_of(columns: Columns, start: Start) -> Way:
    """Tell how far a start came, by the rows of its blocks and by its requests to the CA."""
    way = Way()
    done: set[str] = set()
    failed: set[str] = set()
    failures = 0
    rows = np.array(start.rows, dtype=np.int64)
    for row, mark in zip(rows.tolist(), columns.marks(rows).tolist(), strict=True):
        kind = columns.kind[row]
        step = _step_of(columns, row, kind, mark)
        if kind in FAILURES:
            failures += 1
            if step is not None:
                failed.add(step)
            if kind == "curl.failed" and step == "chain":
                # The chain is asked for by who is logged in: the login's failure would have been told of as one.
                done.add("login")
        elif step is not None and not mark & UNDONE:
            done.add(step)
        if step is not None:
            way.steps[row] = step
    if failures:
        way.missing = min(failed, key=STEPS.index) if failed else _after(_last(done), _SHOWN_IN)
        way.reached = _last(step for step in done if way.missing is None or _before(step, way.missing))
        return way
    way.reached = _last(done)
    if not done & _UP and not start.served:
        logs = {block.source for block in start.blocks} | ({"iis"} if start.requests else set())
        way.missing = _after(way.reached, {step for step, shown in _SHOWN_IN.items() if logs.intersection(shown)})
    return way


def ca_of(columns: Columns, start: Start) -> str | None:
    """Give ``host:port`` of the CA by the first URL that a start's rows name, without a user's name and password."""
    for row in start.rows:
        url = columns.text_of("url", row) if columns.kind[row].startswith("curl.") else None
        if url is not None and (found := _HOST.match(url)) is not None:
            return found[1]
    return None


def libest_of(columns: Columns, start: Start) -> str | None:
    """Give the version of libEST that a start names."""
    for row in start.rows:
        if columns.kind[row] == "est.version" and (said := columns.text_of("version", row)):
            found = _VERSION.search(said)
            return said if found is None else found[0]
    return None


def _step_of(columns: Columns, row: int, kind: str, mark: int) -> str | None:
    if kind in ("curl.ok", "iis.request"):
        step = STEP_NAMES[mark & STEP]
        return step if step in ("login", "chain") else None
    function = columns.text_of("function", row) or ""
    if kind == "curl.failed":
        return next((step for part, step in _CES_FUNCTIONS if part in function), None)
    if kind == "ces.cert.added" and function.endswith("_raw"):
        # libEST takes the same certificates up once more (Cisco 214396; libEST: ossl_init_cert_store_from_raw).
        return "libest"
    return _BY_KIND.get(kind)


def _before(step: str, other: str) -> bool:
    return STEPS.index(step) < STEPS.index(other)


def _last(steps: Iterable[str]) -> str | None:
    return max(steps, key=STEPS.index, default=None)


def _after(reached: str | None, able: Collection[str]) -> str | None:
    """Name the first step after the one reached that is able to be missing."""
    since = 0 if reached is None else STEPS.index(reached) + 1
    return next((step for step in STEPS[since:] if step in able), None)
