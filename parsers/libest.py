"""Lines of libEST, ``***EST [LEVEL][function:line]--> text``, which bear no time and no connection.

libEST's default logger writes to standard error (libEST 2.1.0 est.c), so its lines stand in the CiscoRA log while CES
starts and in NGINX's error.log afterwards. Texts are those of libEST 2.1.0 and 3.2.0, src/est/. Line numbers of
functions and the numbers of EST_ERROR differ from build to build: nothing here depends on them.

A message may take more physical lines (an error page, a certificate in base64, OpenSSL's errors), and libEST may print
a backtrace after a warning. Lines of several processes mix: what continues a message need not follow it at once.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from capflog.events import Event
from capflog.parsing import Derived
from capflog.stamps import StampLayout

from .ces import split_url, subject

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from capflog.events import Value

KINDS: dict[str, str] = {
    "est.version": "the version of libEST",
    "est.ssl.version": "the TLS library that libEST was built for or runs with",
    "est.peer": "an EST client connected",
    "est.peer.port": "the port of an EST client",
    "est.request": "the path that an EST client asks for",
    "est.request.length": "the length of a request's head",
    "est.client.nocert": "the EST client shows no certificate",
    "est.client.cert": "the EST client shows a certificate",
    "est.auth.challenge": "the EST client is asked for its credentials: every enrollment begins so",
    "est.auth.failed": "CES turned the credentials down, or failed as it passed them on to the CA",
    "est.enroll.failed": "an enrollment failed at CES; code and error are libEST's",
    "est.response": "the error that CES answers with",
    "est.request.failed": "a request failed at CES",
    "est.error.page": "the page that CES answers with, for status",
    "est.access": "a request that CES answered, with its time and zone",
    "est.referer": "the Referer of the request before",
    "est.agent": "the User-Agent of the request before",
    "est.retry": "the CA has not decided yet: the client is told to ask again",
    "est.pop": "a check of the proof of possession",
    "est.csr.bad": "the certificate request is not usable",
    "est.ssl.error": "errors of the TLS library",
    "est.shutdown": "the end of a TLS connection: no fault, whatever it says",
    "est.client.connect.failed": "the EST client could not connect",
    "est.client.timeout": "the EST client waited for an answer in vain",
    "est.client.status": "the EST client got an answer with this status; -1: one that it does not know",
    "est.client.failed": "the EST client's request failed",
    "est.client.record": "another message of the EST client",
    "est.message": "another message of libEST",
}

#: What libEST calls its levels, in the words of nginx.
LEVELS = {"info": "info", "warning": "warn", "error": "error", "timer": "info"}

HEAD = "***EST ["
_HEAD = re.compile(r"\*\*\*EST \[([A-Za-z]+)\](?:\[([^\]\s]*)\])? ?-+> ?")
_ERROR = re.compile(r"(-?[0-9]{1,9})(?![0-9])(?: ?\(([A-Z][A-Z0-9_]*)\))?")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?![0-9])")
_ENROLL = re.compile(r"(?i)[^=]{0,40}enroll[a-z]* failed with rc ?= ?")
_ACCESS = re.compile(r'(\S+) \[([^\]"]*)\] "(.*)" (-?[0-9]{1,9}) (-?[0-9]{1,18})')
_TIME = re.compile(r"([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})")
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_PAGE = re.compile(r"\[Error ([0-9]{1,9}): ?(.*)")
_CLIENT = ("est_client_", "tcw_", "est_io_", "est_ssl_read")
_WORDS_OF_CSR = (
    "CSR signature",
    "CSR did not contain",
    "PKCS10 CSR",
    "Problem reading DER encoded certificate request",
    "Unable to parse the PKCS10 CSR",
    "Unable to extract public key from CSR",
)

_BACKTRACE = re.compile(r"[^\s()]*(?:\([^)\s]*\))? ?\[0x[0-9a-fA-F]+\]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{1,76}={0,2}")
_BASE64_END = re.compile(r"(?:^|\s)[A-Za-z0-9+/]{64,76}$")
_OPENSSL = re.compile(r"[0-9A-Fa-f]{1,20}:error:")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*: ?")
_BARE_SUBJECT = re.compile(r"/(?:[A-Za-z][A-Za-z0-9]{0,30}|[0-9]+(?:\.[0-9]+)+)=")


def bare_subject(text: str) -> bool:
    """Tell whether a line is nothing but a certificate's subject (``/C=US/CN=...``), as a verify callback prints it."""
    return _BARE_SUBJECT.match(text) is not None


def access_time(text: str) -> tuple[int, int] | None:
    """Read the time of a ``log_access`` line: ms since 1970-01-01 UTC, and the zone in seconds (local minus UTC)."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, hour, minute, second, sign, hours, minutes = match.groups()
    midnight = _midnight(day)
    if midnight is None or hour > "23" or minute > "59" or second > "60" or hours > "15" or minutes > "59":
        return None
    zone = int(hours) * 3600 + int(minutes) * 60
    if sign == "-":
        zone = -zone
    return (midnight + (int(hour) * 60 + int(minute)) * 60 + int(second) - zone) * 1000, zone


@lru_cache(maxsize=16)
def _midnight(day: str) -> int | None:
    """Count the seconds from 1970-01-01 to a day such as ``27/Feb/2019``; None: no such day."""
    month, beside = divmod(_MONTHS.find(day[3:6]), 3)
    if beside:
        return None
    try:
        return (date(int(day[7:]), month + 1, int(day[:2])).toordinal() - 719163) * 86400
    except ValueError:
        return None


# ---- a message -----------------------------------------------------------------------------------------------------


def _error_of(text: str, at: int, values: dict[str, Value]) -> bool:
    match = _ERROR.match(text, at)
    if match is None:
        return False
    values["code"] = int(match[1])
    if match[2] is not None:
        values["error"] = match[2]
    return True


def _version(text: str, values: dict[str, Value]) -> str | None:
    if not text.startswith("libest ") and "(API level" not in text:
        return None
    values["version"] = text.removeprefix("libest ").partition(" (")[0].strip()
    return "est.version"


def _ssl_version(text: str, values: dict[str, Value]) -> str | None:
    for lead in ("Compiled against ", "Linking to "):
        if text.startswith(lead):
            values["version"] = text[len(lead) :].strip()
            return "est.ssl.version"
    return None


def _added(text: str, values: dict[str, Value]) -> str | None:
    if not text.startswith("Adding cert to store"):
        return None
    if (name := subject(text)) is not None:
        values["subject"] = name
    return "ces.cert.added"


def _peer(text: str, values: dict[str, Value]) -> str | None:
    lead, colon, said = text.partition(":")
    said = said.strip()
    if lead == "Peer IP address" and said:
        values["client"] = said
        return "est.peer"
    if lead.rstrip() == "Peer port" and colon and (match := _NUMBER.fullmatch(said)) is not None:
        values["port"] = int(match[0])
        return "est.peer.port"
    return None


def _request(text: str, values: dict[str, Value]) -> str | None:
    if text.startswith("request uri="):
        split_url(text[12:], values)
        return "est.request"
    if text.startswith("request_len=") and (match := _NUMBER.fullmatch(text, 12)) is not None:
        values["bytes"] = int(match[0])
        return "est.request.length"
    return None


def _tls(text: str, values: dict[str, Value]) -> str | None:
    if text.startswith("TLS: no peer certificate"):
        return "est.client.nocert"
    if text.startswith("TLS: client certificate"):
        values["detail"] = text
        return "est.client.cert"
    return None


def _http(text: str, values: dict[str, Value]) -> str | None:
    if text.startswith("HTTP auth headers missing"):
        return "est.auth.challenge"
    if text.startswith("HTTP authentication failed"):
        if (at := text.find("Auth type=")) >= 0 and (match := _NUMBER.match(text, at + 10)) is not None:
            values["code"] = int(match[0])
        return "est.auth.failed"
    if text.startswith("HTTP status ") and (match := _NUMBER.match(text, 12)) is not None:
        values["status"] = int(match[0])
        return "est.client.status"
    return None


def _enroll(text: str, values: dict[str, Value]) -> str | None:
    match = _ENROLL.match(text)
    return "est.enroll.failed" if match is not None and _error_of(text, match.end(), values) else None


def _est(text: str, values: dict[str, Value]) -> str | None:
    for lead, kind in (
        ("EST error response code: ", "est.response"),
        ("EST request failed: ", "est.client.failed"),
        ("EST enrollment failed, error code is ", "est.client.failed"),
    ):
        if text.startswith(lead) and _error_of(text, len(lead), values):
            return kind
    return None


def _incoming(text: str, values: dict[str, Value]) -> str | None:
    lead = "Incoming request failed rv="
    return "est.request.failed" if text.startswith(lead) and _error_of(text, len(lead), values) else None


def _page(text: str, values: dict[str, Value]) -> str | None:
    match = _PAGE.match(text)
    if match is None:
        return None
    values["status"] = int(match[1])
    said = match[2].rstrip()
    values["detail"] = said[:-1].rstrip() if said.endswith("]") else said
    return "est.error.page"


def _retry(text: str, _values: dict[str, Value]) -> str | None:
    return "est.retry" if text.startswith("CA server requests retry") else None


def _openssl(text: str, values: dict[str, Value]) -> str | None:
    if not text.startswith("OSSL error:"):
        return None
    values["detail"] = text[11:].strip()
    return "est.ssl.error"


def _shutdown(text: str, values: dict[str, Value]) -> str | None:
    if not text.startswith(("SSL_shutdown", "Two-phase SSL_shutdown")):
        return None
    values["detail"] = text
    return "est.shutdown"


def _unable(text: str, values: dict[str, Value]) -> str | None:
    if text.startswith(("Unable to connect", "Could not connect")):
        values["detail"] = text
        return "est.client.connect.failed"
    return None


def _timeout(text: str, values: dict[str, Value]) -> str | None:
    if not text.startswith("Socket poll timeout"):
        return None
    values["detail"] = text
    return "est.client.timeout"


#: The time of an access record: what is made of it does not stand in the line.
DERIVED = (
    Derived(("utc", "zone"), re.compile(r' \[([^\]"]*)\] "'), access_time, StampLayout("DD/bbb/YYYY:hh:mm:ss SHHNN")),
)

#: By the first three letters of a message.
_TEXTS: dict[str, Callable[[str, dict[str, Value]], str | None]] = {
    "lib": _version,
    "Com": _ssl_version,
    "Lin": _ssl_version,
    "Add": _added,
    "Pee": _peer,
    "req": _request,
    "TLS": _tls,
    "HTT": _http,
    "Enr": _enroll,
    "Ree": _enroll,
    "Re-": _enroll,
    "EST": _est,
    "Inc": _incoming,
    "[Er": _page,
    "CA ": _retry,
    "OSS": _openssl,
    "SSL": _shutdown,
    "Two": _shutdown,
    "Una": _unable,
    "Cou": _unable,
    "Soc": _timeout,
}


def _access(text: str, values: dict[str, Value]) -> str | None:
    match = _ACCESS.fullmatch(text)
    if match is None:
        return None
    values["client"] = match[1]
    if (when := access_time(match[2])) is not None:
        values["utc"], values["zone"] = when
    method, blank, rest = match[3].partition(" ")
    if blank:
        values["method"] = method
        split_url(rest.rpartition(" HTTP/")[0] or rest, values)
    values["status"], values["bytes"] = int(match[4]), int(match[5])
    return "est.access"


def _kind(function: str, text: str, values: dict[str, Value]) -> str:
    reader = _TEXTS.get(text[:3])
    if reader is not None and (kind := reader(text, values)) is not None:
        return kind
    if (function == "log_access" or text[-1:].isdigit()) and (kind := _access(text, values)) is not None:
        return kind
    values["detail"] = text
    if function.startswith(_CLIENT):
        return "est.client.record"
    if "PoP" in text or "TLS channel binding" in text:
        return "est.pop"
    if text.startswith(_WORDS_OF_CSR):
        return "est.csr.bad"
    return "est.message"


# ---- lines in order ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Page:
    """An error page that has not ended: how many of its lines and of other lines may still come."""

    event: Event
    body: int
    patience: int


class EstReader:
    """Reads libEST's lines and remembers, within bounds, what their messages still wait for."""

    PAGES = 8
    """Open error pages remembered at once: as many as workers may write at the same time."""
    BODY = 2
    """Lines of a page's body; libEST 2.1.0 and 3.2.0 write one."""
    PATIENCE = 30
    """Lines of others that may stand between a page's head and its end."""
    RECORDS = 100
    """Records that may stand between a message and what continues it."""
    BASE64 = 200
    HEADERS = 40
    ERRORS = 16

    def __init__(self) -> None:
        self._seen = False
        self._pages: deque[_Page] = deque(maxlen=self.PAGES)
        self._base64 = self._headers = self._errors = 0
        self._failed: Event | None = None
        self._fresh: _Page | None = None
        self._referers = self._agents = 0
        self._records = 0

    def carry(self) -> Hashable | None:
        """Give what the reading of later lines depends on; None: a record may still go on."""
        if self._pages or self._failed is not None or self._base64 or self._headers:
            return None
        return self._seen, self._referers, self._agents

    def resume(self, carry: Hashable) -> None:
        """Go on where such lines were left behind."""
        self._seen, self._referers, self._agents = carry  # type: ignore[misc]
        self._pages.clear()
        self._failed = self._fresh = None
        self._errors = self._base64 = self._headers = 0

    def record(self, line: str, at: int = 0) -> Event | None:
        """Read the record that begins at ``at``; None: there is none, or its head is cut."""
        head = _HEAD.match(line, at)
        if head is None:
            return None
        level, place = head.groups()
        text = line[head.end() :].strip()
        values: dict[str, Value] = {}
        function = ""
        if place:
            function = place.partition(":")[0]
            values["function"] = function
        kind = self._header(text, values) if function == "log_header" else _kind(function, text, values)
        level = level.lower()
        event = Event(kind, None, None, None, LEVELS.get(level, level), values)
        self._seen = True
        self._waited()
        self._expect(event, kind, text)
        return event

    def _waited(self) -> None:
        """Take note of a record: what has not gone on after so many of them does not go on."""
        if not self._pages and self._failed is None and not self._base64 and not self._headers:
            return
        self._records += 1
        if self._records >= self.RECORDS:
            self._pages.clear()
            self._failed, self._errors = None, 0
            self._base64 = self._headers = 0

    def _expect(self, event: Event, kind: str, text: str) -> None:
        """Note what may follow a message in lines of its own."""
        self._fresh = None
        if kind == "est.peer":
            # The headers of a request before it that are still to come show what they are by themselves.
            self._referers = self._agents = 0
        elif kind == "est.access":
            self._referers = min(self._referers + 1, self.PAGES)
        elif kind == "est.error.page":
            if not text.endswith("]"):
                self._records = 0
                self._fresh = _Page(event, self.BODY, self.PATIENCE)
                self._pages.append(self._fresh)
        elif kind == "est.ssl.error":
            self._errors, self._failed, self._records = self.ERRORS, event, 0
        elif kind in {"est.client.record", "est.message"}:
            if len(text) > 63 and _BASE64_END.search(text) is not None:
                self._base64, self._records = self.BASE64, 0
            elif "HTTP response HTTP/" in text:
                self._headers, self._records = self.HEADERS, 0

    def _header(self, text: str, values: dict[str, Value]) -> str:
        """Tell Referer from User-Agent: libEST writes both with the same words, Referer first, ``-`` for none.

        With the lines of several requests mixed, a referer shows by its scheme and an agent by being there at all.
        """
        quoted = len(text) > 1 and text[0] == text[-1] == '"'
        said = text[1:-1] if quoted else text
        like_url = "://" in said or said.startswith("/")
        referer = self._referers > 0 and (self._agents == 0 or not quoted or like_url)
        if not self._referers and not self._agents:
            referer = like_url or not quoted
        if referer:
            self._referers = max(self._referers - 1, 0)
            self._agents = min(self._agents + 1, self.PAGES)
        else:
            self._agents = max(self._agents - 1, 0)
        if said not in {"", "-"}:
            values["referer" if referer else "agent"] = said
        return "est.referer" if referer else "est.agent"

    def interrupted(self) -> None:
        """Take note of another program's record: what follows it need not be the last page's words."""
        self._fresh = None
        self._waited()

    def blank(self) -> None:
        """Take note of an empty line: headers of an answer end there."""
        self._headers = 0

    def part(self, text: str) -> bool:
        """Tell whether a line without a head, stripped and not empty, belongs to a libEST record before it."""
        if not self._seen:
            return False
        if text[-1] == "]" and "[0x" in text and _BACKTRACE.fullmatch(text) is not None:
            return True
        if self._pages and self._page(text):
            return True
        if self._base64 and _BASE64.fullmatch(text) is not None:
            self._base64 = self._base64 - 1 if len(text) >= 64 and not text.endswith("=") else 0
            return True
        if self._errors and _OPENSSL.match(text) is not None:
            self._errors -= 1
            if self._failed is not None:
                self._failed.values["detail"] = f"{self._failed.values['detail']} {text}".strip()
            if not self._errors:
                self._failed = None
            return True
        if self._headers and _HEADER.match(text) is not None:
            self._headers -= 1
            return True
        return False

    def _page(self, text: str) -> bool:
        """Take a line for the oldest page that waits for one; right behind a page's head any words are its own."""
        fresh, self._fresh = self._fresh, None
        if text == "]":
            self._pages.popleft()
            return True
        if fresh is not None and text[0].isalnum():
            return self._body(fresh, text)
        if _sentence(text):
            waiting = max(self._pages, key=lambda page: page.body)
            if waiting.body:
                return self._body(waiting, text)
        for page in self._pages:
            page.patience -= 1
        while self._pages and self._pages[0].patience <= 0:
            self._pages.popleft()
        return False

    def _body(self, page: _Page, text: str) -> bool:
        page.body -= 1
        values = page.event.values
        values["detail"] = f"{values['detail']} {text.removesuffix(']').rstrip()}".strip()
        if text.endswith("]"):
            self._pages.remove(page)
        return True


def _sentence(text: str) -> bool:
    """Tell whether a line reads like an error page's words, not like the output of another program."""
    return text[0].isalpha() and " " in text and text.rstrip("]").rstrip().endswith((".", "!"))
