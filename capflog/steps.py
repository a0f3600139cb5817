"""The steps of an enrollment, and what each kind of event shows of them.

The order is the protocol's (Cisco 214396, message flow): CAPF calls EST; CES is connected to, logs in to the CA, opens
the form, logs in again, posts the request, fetches the certificate; CAPF gets its answer and stores the certificate.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from capflog.events import SOURCES
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capflog.table import Table

#: The steps in their order. The second login is told from the first by what went before it.
STEPS = (
    "mode",
    "call",
    "csr",
    "connect",
    "login",
    "form",
    "second-login",
    "post",
    "certificate",
    "answer",
    "stored",
    "end",
)

#: Steps in words, for people.
WORDS = {
    "mode": "CAPF decided to enroll",
    "call": "CAPF called EST",
    "csr": "CAPF read the phone's CSR",
    "connect": "CES was connected to",
    "login": "CES logged in to the CA",
    "form": "CES opened the CA's request form",
    "second-login": "CES logged in a second time",
    "post": "CES posted the CSR to the CA",
    "certificate": "CES fetched the certificate",
    "answer": "CAPF got the certificate",
    "stored": "CAPF sent the certificate to the phone",
    "end": "the phone's session ended",
}

_BY_KIND = {
    "est.enroll.mode": "mode",
    "est.enroll.call": "call",
    "csr.read.begin": "csr",
    "csr.read.end": "csr",
    "est.peer": "connect",
    "est.request": "connect",
    "est.auth.challenge": "connect",
    "est.client.nocert": "connect",
    "lsc.signed": "answer",
    "capf.message.sent": "stored",
}

_CES_FUNCTIONS = (("login", "login"), ("navigate", "form"), ("cacerts", "chain"), ("cert_resp", "certificate"))
_CA_PAGES = (
    ("certrqxt.asp", "form"),
    ("certfnsh.asp", "post"),
    ("certnew.cer", "certificate"),
    ("certnew.p7b", "chain"),
)

#: Kinds that always tell of a failure.
FAULTS = frozenset(
    {
        "curl.failed",
        "ces.login.failed",
        "ces.chain.failed",
        "est.auth.failed",
        "est.enroll.failed",
        "est.response",
        "est.request.failed",
        "est.error.page",
        "est.csr.bad",
        "est.retry",
        "est.enroll.aborted",
        "est.client.failed",
        "est.client.timeout",
        "est.client.connect.failed",
        "lsc.unsigned",
        "nginx.bind.failed",
        "nginx.config.failed",
        "nginx.connect.failed",
        "nginx.upstream.failed",
        "nginx.handshake.failed",
        "nginx.worker.died",
    }
)

#: sc-win32-status of the first leg of an NTLM login, which is no fault: SEC_E_NO_CREDENTIALS (Microsoft winerror.h).
SEC_E_NO_CREDENTIALS = 2_148_074_254


class Columns:
    """The table's columns as arrays, for those who go through them row by row."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.kind: list[str] = np.array(table.kinds, dtype=object)[table.kind].tolist()
        self.source = np.array(SOURCES, dtype=object)[table.source]
        self.member, self.line = table.member, table.line
        self.time, self.earliest, self.latest = table.time, table.earliest, table.latest

    @cached_property
    def libest(self) -> str | None:
        """The version of libEST that the logs name, if they name one alone: what its numbers mean depends on it."""
        rows = [row for row, kind in enumerate(self.kind) if kind == "est.version"]
        found = {re.search(r"\d+\.\d+\.\d+", self.text_of("version", row) or "") for row in rows}
        versions = {match[0] for match in found if match is not None}
        return versions.pop() if len(versions) == 1 else None

    def integer(self, name: str, row: int) -> int | None:
        """Give a whole number that the row bears, or None."""
        if name == "stamp":
            stamp = int(self._table.stamp[row])
            return None if stamp == NONE else stamp
        return self._table.number(name, row)

    def text_of(self, name: str, row: int) -> str | None:
        """Give a text that the row bears, or None."""
        return self._table.word(name, row)

    def est_error(self, row: int) -> tuple[str | None, int | None]:
        """Give the EST error that the row names and its number; by the number where it has no name."""
        from capflog.codes import est_name  # noqa: PLC0415  (the tables are read only where an error has no name)

        value = self.integer("code", row)
        name = self.text_of("error", row)
        if name is None and value is not None:
            name = "EST_ERR_NONE" if value == 0 else est_name(value, self.libest)
            name = name or f"EST error {value}"
        return name, value


def step_of(columns: Columns, row: int) -> str | None:
    """Name the step that a record shows to be done; "chain" is CES's own, at its start. None: it shows no step."""
    kind = columns.kind[row]
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if kind in ("curl.ok", "iis.request"):
        path = (columns.text_of("url", row) or "").lower()
        page = next((step for page, step in _CA_PAGES if path.endswith(page)), None)
        if page is not None or kind == "iis.request":
            return page or ("login" if path.rstrip("/") == "/certsrv" else None)
        function = columns.text_of("function", row) or ""
        return next((step for part, step in _CES_FUNCTIONS if part in function), None)
    if kind == "est.enroll.result":
        return "answer" if columns.est_error(row)[0] == "EST_ERR_NONE" else None
    if kind == "est.access":
        # libEST 2.1.0 logs -1 for an answer that the application wrote itself: that of a success.
        return "answer" if columns.integer("status", row) in (200, -1) else None
    if kind == "capf.message":
        return "end" if columns.text_of("message", row) == "END_SESSION" else None
    return None


def is_fault(columns: Columns, row: int) -> bool:
    """Tell whether a record tells of a failure (IIS's first answer to a login, a 401 by itself, does not)."""
    kind = columns.kind[row]
    if kind in FAULTS:
        return True
    if kind == "est.enroll.result":
        return columns.est_error(row)[0] != "EST_ERR_NONE"
    if kind == "est.enroll.return":
        return (columns.integer("code", row) or 0) != 0
    if kind == "iis.request":
        status = columns.integer("status", row) or 0
        if status == 401:
            anonymous = columns.text_of("user", row) is None
            return columns.integer("win32", row) not in (SEC_E_NO_CREDENTIALS, 5, None) or not anonymous
        return status >= 400 or columns.integer("win32", row) in (64, 1236)
    if kind == "capf.op.status":
        return "FAIL" in (columns.text_of("error", row) or "")
    return kind == "httperr.request"


def _done(columns: Columns, row: int) -> bool:
    """Tell whether the step that a record shows succeeded."""
    if columns.kind[row] == "iis.request":
        status = columns.integer("status", row) or 0
        return 200 <= status < 400
    return True


def steps_done(columns: Columns, rows: Iterable[int]) -> dict[int, str]:
    """Give the step that each row shows, of rows in the order of time.

    A login after the form is the second one; each log counts for itself, since their clocks agree to a second at best.
    """
    shown: dict[int, str] = {}
    opened: set[str] = set()
    for row in rows:
        step = step_of(columns, row)
        if step is None or step == "chain":
            continue
        source = str(columns.source[row])
        if step == "login" and source in opened:
            step = "second-login"
        if step == "form" and _done(columns, row):
            opened.add(source)
        shown[row] = step
    return shown


def last_step(columns: Columns, shown: dict[int, str], *, issued: bool) -> str | None:
    """Name the last step in the protocol's order that succeeded; a session that ends without a certificate is none."""
    done = [STEPS.index(step) for row, step in shown.items() if _done(columns, row)]
    if not issued:
        done = [place for place in done if place < STEPS.index("answer")]
    return STEPS[max(done)] if done else None


def next_step(reached: str | None, sources: set[str]) -> str:
    """Name the step after ``reached`` that the bundle's sources could have shown."""
    if not sources & {"nginx", "iis"}:
        return "answer"
    after = STEPS[STEPS.index(reached) + 1 :] if reached is not None else STEPS
    if "nginx" not in sources:
        after = tuple(step for step in after if step != "connect")
    if "iis" not in sources:
        after = tuple(step for step in after if step not in ("second-login", "post", "certificate"))
    return after[0] if after else STEPS[-1]


def in_order(columns: Columns, rows: Iterable[int]) -> list[int]:
    """Sort rows by time; those without one by the bounds they have, and lines of one member in their order."""

    def key(row: int) -> tuple[int, int, int, int]:
        at = next((int(t[row]) for t in (columns.time, columns.earliest, columns.latest) if t[row] != NONE), NONE)
        return at, SOURCES.index(columns.source[row]), int(columns.member[row]), int(columns.line[row])

    return sorted(rows, key=key)
