"""The steps of an enrollment, and what each kind of event shows of them.

The order is the protocol's (Cisco 214396, message flow): CAPF calls EST; CES is connected to, logs in to the CA, opens
the form, logs in again, posts the request, fetches the certificate; CAPF gets its answer and stores the certificate.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from capflog.clock_log import FIRST_MS, LAST_MS
from capflog.events import SOURCES
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from collections.abc import Set as AbstractSet

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


#: What libEST logs of a request that it refuses: its answer.
ANSWERS = frozenset({"est.auth.failed", "est.enroll.failed", "est.error.page", "est.response", "est.request.failed"})

#: What a row's mark says: its step (the place in :data:`STEPS` and one, ``CHAIN``, or 0 for none), and that the step
#: did not succeed, that the row tells of a failure, that it is libEST's answer, that its own values have to be asked.
STEP, UNDONE, FAULT, ANSWER, _OWN = 15, 16, 32, 64, 128

#: The step of CES's own start: it fetches the chain.
CHAIN = len(STEPS) + 1

#: The names of steps by what a mark says.
STEP_NAMES: tuple[str | None, ...] = (None, *STEPS, "chain")

_PLACE = {name: place for place, name in enumerate(STEP_NAMES)}


class Named:
    """A column of numbers seen as the words that they stand for, row by row."""

    __slots__ = ("_codes", "_words")

    def __init__(self, codes: np.ndarray, words: Sequence[str]) -> None:
        self._codes, self._words = codes, words

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, row: int) -> str:
        word: str = self._words[self._codes[row]]
        return word


class Columns:
    """The table as the later steps see it: single rows by their numbers, and what each row shows of an enrollment.

    ``kind`` and ``source`` give words, row by row; ``member`` and ``line`` numbers; ``time``, ``earliest`` and
    ``latest`` are the table's own, in ms since 1970 UTC. Who wants many rows at once asks ``table``.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.kind, self.source = Named(table.kind, table.kinds), Named(table.source, SOURCES)
        self.member, self.line = table.member, table.line
        self.time, self.earliest, self.latest = table.time, table.earliest, table.latest

    @cached_property
    def libest(self) -> str | None:
        """The version of libEST that the logs name, if they name one alone: what its numbers mean depends on it."""
        said = set(self.table.words("version", self.table.rows_of("est.version")).tolist())
        found = {re.search(r"\d+\.\d+\.\d+", version or "") for version in said}
        versions = {match[0] for match in found if match is not None}
        return versions.pop() if len(versions) == 1 else None

    def integer(self, name: str, row: int) -> int | None:
        """Give a whole number that the row bears, or None."""
        if name == "stamp":
            stamp = int(self.table.stamp[row])
            return None if stamp == NONE else stamp
        return self.table.number(name, row)

    def text_of(self, name: str, row: int) -> str | None:
        """Give a text that the row bears, or None."""
        return self.table.word(name, row)

    def est_error(self, row: int) -> tuple[str | None, int | None]:
        """Give the EST error that the row names and its number; by the number where it has no name."""
        return self._est_error(self.text_of("error", row), self.integer("code", row))

    def est_errors(self, rows: np.ndarray) -> list[tuple[str | None, int | None]]:
        """Give the EST errors of many rows and their numbers."""
        made, places = self.told_errors(rows)
        return [made[place] for place in places.tolist()]

    def told_errors(self, rows: np.ndarray) -> tuple[list[tuple[str | None, int | None]], np.ndarray]:
        """Give the EST errors that many rows tell, each once, and for each row the place of its own among them."""
        codes, words = self.table.codes("error", rows)
        numbers = self.table.numbers("code", rows)
        # None is in the way of numbers that are near to one another.
        some = np.flatnonzero(numbers != NONE)
        pairs = np.zeros(len(rows), dtype=np.int64)
        pairs[some] = ranked(numbers[some]) + 1
        places = ranked(pairs * (len(words) + 1) + codes + 1)
        rows_of_each = np.zeros(int(places.max(initial=-1)) + 1, dtype=np.int64)
        rows_of_each[places] = np.arange(len(rows))
        made = [
            self._est_error(words[code] if code >= 0 else None, None if number == NONE else number)
            for code, number in zip(codes[rows_of_each].tolist(), numbers[rows_of_each].tolist(), strict=True)
        ]
        return made, places

    def _est_error(self, name: str | None, value: int | None) -> tuple[str | None, int | None]:
        from capflog.codes import est_name  # noqa: PLC0415  (the tables are read only where an error has no name)

        if name is None and value is not None:
            name = "EST_ERR_NONE" if value == 0 else est_name(value, self.libest)
            name = name or f"EST error {value}"
        return name, value

    def moments(self, rows: np.ndarray) -> np.ndarray:
        """Give the times that lines bear themselves, in ms: their stamps', or when their requests were received."""
        received = self.table.numbers("utc", rows)
        received[(received < FIRST_MS) | (received >= LAST_MS)] = NONE
        return np.where(self.table.stamp[rows] != NONE, self.time[rows], received)

    def marks(self, rows: np.ndarray) -> np.ndarray:
        """Tell what rows show, as a byte of the bits above: their kinds tell it, or their own values."""
        kinds = self.table.kind[rows]
        marks: np.ndarray = self._mark_of_kind[kinds]
        own = np.flatnonzero(marks & _OWN)
        if len(own):
            kinds = kinds[own]
            for kind in codes_in(kinds, len(self.table.kinds)):
                at = own[kinds == kind]
                marks[at] = _READ[self.table.kinds[kind]](self, rows[at])
        return marks

    @cached_property
    def _mark_of_kind(self) -> np.ndarray:
        return np.array([*map(_mark_of_kind, self.table.kinds), 0], dtype=np.uint8)


def codes_in(codes: np.ndarray, count: int) -> list[int]:
    """List the codes that there are, of those from 0 to below ``count`` or -1, which is given as ``count``."""
    if len(codes) < count:
        found = {count if code < 0 else code for code in codes.tolist()}
        return sorted(found)
    there = np.zeros(count + 1, dtype=bool)
    there[codes] = True
    listed: list[int] = np.flatnonzero(there).tolist()
    return listed


def _mark_of_kind(kind: str) -> int:
    if kind in _READ:
        return _OWN
    fault = kind in FAULTS or kind == "httperr.request"
    return _PLACE[_BY_KIND.get(kind)] | fault * FAULT | (kind in ANSWERS) * ANSWER


def ranked(values: np.ndarray) -> np.ndarray:
    """Number values by their order: equal ones have one number, from 0 on."""
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    least, most = int(values.min()), int(values.max())
    if most - least > 8 * len(values) + 65536:
        return np.unique(values, return_inverse=True)[1]
    # Values that are near to one another need no sorting.
    there = np.zeros(most - least + 1, dtype=bool)
    there[values - least] = True
    ranks: np.ndarray = (np.cumsum(there, dtype=np.int32) - 1)[values - least]
    return ranks


def by_words(columns: Columns, name: str, rows: np.ndarray, say: Callable[[str | None], int]) -> np.ndarray:
    """Say a number of the word that each of the rows bears, or of None; each word is asked about once."""
    codes, words = columns.table.codes(name, rows)
    # Where a row bears no word its code is -1: the last place.
    told = np.zeros(len(words) + 1, dtype=np.uint8)
    for code in codes_in(codes, len(words)):
        told[code] = say(words[code] if code < len(words) else None)
    found: np.ndarray = told[codes]
    return found


def _page(url: str | None) -> int:
    """Tell the step of the CA's page."""
    path = (url or "").lower()
    return next((_PLACE[step] for page, step in _CA_PAGES if path.endswith(page)), 0)


def _read_curl(columns: Columns, rows: np.ndarray) -> np.ndarray:
    functions = by_words(
        columns,
        "function",
        rows,
        lambda function: next((_PLACE[step] for part, step in _CES_FUNCTIONS if part in (function or "")), 0),
    )
    pages = by_words(columns, "url", rows, _page)
    read: np.ndarray = np.where(pages != 0, pages, functions)
    return read


def _read_iis(columns: Columns, rows: np.ndarray) -> np.ndarray:
    """Read requests to the CA; IIS's first answer to a login, a 401 by itself, tells of no failure."""
    table = columns.table
    steps = by_words(
        columns,
        "url",
        rows,
        lambda url: _page(url) or ((url or "").lower().rstrip("/") == "/certsrv") * _PLACE["login"],
    )
    status, win32 = table.numbers("status", rows), table.numbers("win32", rows)
    anonymous = table.codes("user", rows)[0] < 0
    refused = ~np.isin(win32, (SEC_E_NO_CREDENTIALS, 5, NONE)) | ~anonymous
    fault = np.where(status == 401, refused, (status >= 400) | np.isin(win32, (64, 1236)))
    undone = (status < 200) | (status >= 400)
    read: np.ndarray = steps | undone * UNDONE | fault * FAULT
    return read


def _read_result(columns: Columns, rows: np.ndarray) -> np.ndarray:
    made, places = columns.told_errors(rows)
    told = [_PLACE["answer"] if error == "EST_ERR_NONE" else FAULT for error, _ in made]
    read: np.ndarray = np.array(told, dtype=np.uint8)[places]
    return read


def _read_return(columns: Columns, rows: np.ndarray) -> np.ndarray:
    code = columns.table.numbers("code", rows)
    read: np.ndarray = ((code != 0) & (code != NONE)) * FAULT
    return read


def _read_access(columns: Columns, rows: np.ndarray) -> np.ndarray:
    status = columns.table.numbers("status", rows)
    # libEST 2.1.0 logs -1 for an answer that the application wrote itself: that of a success.
    read: np.ndarray = np.isin(status, (200, -1)) * _PLACE["answer"] | (status != 401) * ANSWER
    return read


def _read_message(columns: Columns, rows: np.ndarray) -> np.ndarray:
    return by_words(columns, "message", rows, lambda message: (message == "END_SESSION") * _PLACE["end"])


def _read_operation(columns: Columns, rows: np.ndarray) -> np.ndarray:
    return by_words(columns, "error", rows, lambda error: ("FAIL" in (error or "")) * FAULT)


#: Kinds whose rows tell what they show only by their own values.
_READ: dict[str, Callable[[Columns, np.ndarray], np.ndarray]] = {
    "curl.ok": _read_curl,
    "iis.request": _read_iis,
    "est.enroll.result": _read_result,
    "est.enroll.return": _read_return,
    "est.access": _read_access,
    "capf.message": _read_message,
    "capf.op.status": _read_operation,
}


def _mark(columns: Columns, row: int) -> int:
    return int(columns.marks(np.array([row], dtype=np.int64))[0])


def step_of(columns: Columns, row: int) -> str | None:
    """Name the step that a record shows to be done; "chain" is CES's own, at its start. None: it shows no step."""
    return STEP_NAMES[_mark(columns, row) & STEP]


def is_fault(columns: Columns, row: int) -> bool:
    """Tell whether a record tells of a failure (IIS's first answer to a login, a 401 by itself, does not)."""
    return bool(_mark(columns, row) & FAULT)


def steps_done(columns: Columns, rows: Iterable[int]) -> dict[int, str]:
    """Give the step that each row shows, of rows in the order of time.

    A login after the form is the second one; each log counts for itself, since their clocks agree to a second at best.
    """
    every = rows_of(rows)
    marks = columns.marks(every)
    steps = marks & STEP
    showing = np.flatnonzero((steps != 0) & (steps != CHAIN))
    every = every[showing]
    shown: dict[int, str] = {}
    opened: set[int] = set()
    for row, mark, source in zip(
        every.tolist(), marks[showing].tolist(), columns.table.source[every].tolist(), strict=True
    ):
        step = STEP_NAMES[mark & STEP] or ""
        if step == "login" and source in opened:
            step = "second-login"
        if step == "form" and not mark & UNDONE:
            opened.add(source)
        shown[row] = step
    return shown


def last_step(columns: Columns, shown: dict[int, str], *, issued: bool) -> str | None:
    """Name the last step in the protocol's order that succeeded; a session that ends without a certificate is none."""
    undone = (columns.marks(rows_of(shown)) & UNDONE).tolist()
    done = {step for step, failed in zip(shown.values(), undone, strict=True) if not failed}
    return next((step for step in (_BACKWARDS if issued else _BACKWARDS[_UNISSUED:]) if step in done), None)


_BACKWARDS = STEPS[::-1]

#: Where in them the steps begin that an enrollment without a certificate can have reached.
_UNISSUED = _BACKWARDS.index("answer") + 1


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


def rows_of(rows: Iterable[int]) -> np.ndarray:
    """Give rows as an array of int64."""
    return rows if isinstance(rows, np.ndarray) else np.array(list(rows), dtype=np.int64)


def of_kinds(columns: Columns, rows: np.ndarray, kinds: AbstractSet[str]) -> np.ndarray:
    """Give the places, among the given rows, of those that are of these kinds."""
    known = np.array([*(kind in kinds for kind in columns.table.kinds), False], dtype=bool)
    return np.flatnonzero(known[columns.table.kind[rows]])


def known_time(columns: Columns, rows: np.ndarray) -> np.ndarray:
    """Give the time by which rows are sorted, in ms: where they have none, the bounds that they have."""
    at: np.ndarray = columns.time[rows]
    for bound in (columns.earliest, columns.latest):
        at = np.where(at == NONE, bound[rows], at)
    return at


def places(columns: Columns, rows: np.ndarray) -> np.ndarray:
    """Give numbers that rise in the order of sources, members by their names, and lines."""
    line = columns.line[rows]
    member = columns.table.source[rows].astype(np.int64)
    member *= len(columns.table.members)
    member += columns.member[rows]
    found: np.ndarray = member << int(line.max(initial=0)).bit_length() | line
    return found


def in_order(columns: Columns, rows: Iterable[int]) -> list[int]:
    """Sort rows by time; those without one by the bounds they have, and lines of one member in their order."""
    every = rows_of(rows)
    if len(every) > 1:
        every = every[np.lexsort((places(columns, every), known_time(columns, every)))]
    found: list[int] = every.tolist()
    return found
