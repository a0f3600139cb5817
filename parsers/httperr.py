"""The error log of HTTP.sys (``httperr<number>.log``): requests that IIS never saw, and connections that ended.

Columns and stamps are those of Microsoft's "Format of the HTTP Server API error logs"; newer systems write a header and
more columns (HTTP/2 streams, the transport).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from capflog.events import Event, StampForm
from capflog.parsing import Line, Sample, Signature

from .w3c import LAYOUT, Columns, Values, W3cReader, under_certsrv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capflog.stamps import StampLayout

_WORDS: dict[str, str] = {
    "c-ip": "client",
    "s-ip": "server",
    "s-port": "port",
    "cs-version": "version",
    "cs-method": "method",
    "cs-uri": "url",
    "sc-status": "status",
    "s-siteid": "site",
    "s-reason": "error",
}

_ASKED = "date time c-ip c-port s-ip s-port cs-version cs-method cs-uri"
#: A connection that ended before a request was read has none of these.
_EMPTY = frozenset({"c-ip", "c-port", "s-ip", "s-port", "cs-version", "cs-method", "sc-status", "s-siteid"})
#: Rows without ``#Fields``, by the releases of HTTP.sys.
_LAYOUTS = tuple(
    Columns(f"{_ASKED} {names}".split(), _WORDS, _EMPTY)
    for names in (
        "sc-status s-siteid s-reason",
        "sc-status s-siteid s-reason s-queuename",
        "streamid sc-status s-siteid s-reason s-queuename",
        "streamid sc-status s-siteid s-reason s-queuename transport",
        "streamid streamid_ex sc-status s-siteid s-reason s-queuename transport",
    )
)


class HttperrReader(W3cReader):
    """Reads one error log of HTTP.sys."""

    def __init__(self) -> None:
        """Start at the first line."""
        super().__init__(_WORDS, _LAYOUTS)

    def _make(self, values: Values) -> Event | Line | None:
        if (asked := values.get("url")) is not None:
            url, _, query = str(asked).partition("?")
            if not under_certsrv(url):
                return Line.QUIET
            values["url"] = url
            if query:
                values["query"] = query
        return Event("httperr.request", values=values)


class HttperrLog:
    """The log of what HTTP.sys turned away or cut off."""

    source: ClassVar[str] = "httperr"
    title: ClassVar[str] = "HTTP.sys error log"
    stamp: ClassVar[StampForm] = StampForm.UTC
    resolution_ms: ClassVar[int] = 1000
    signatures: ClassVar[tuple[Signature, ...]] = (
        Signature(re.compile(r"^#Software: Microsoft HTTP API\b"), 3, "HTTP.sys names itself"),
        Signature(re.compile(r"^#Fields: (?:\S+ )*s-reason(?:\s|$)"), 3, "the columns of HTTP.sys's error log"),
        Signature(
            re.compile(
                r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?:[0-9A-Fa-f.:]+(?:%\w+)? \d{1,5} ){2}"
                r"(?:HTTP/[\d?]\.[\d?]|-) \S+ \S+ (?:(?:\d+|-) ){2,4}[A-Za-z][\w/]*(?: |$)",
                re.ASCII,
            ),
            3,
            "two addresses with ports, a request and a reason",
        ),
    )
    kinds: ClassVar[Mapping[str, str]] = {
        "httperr.request": "a request for web enrollment that HTTP.sys ended, or a connection without a request"
    }
    samples: ClassVar[tuple[Sample, ...]] = (
        Sample(
            "#Software: Microsoft HTTP API 2.0\n#Version: 1.0\n#Date: 2019-03-05 17:31:15\n"
            "#Fields: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri sc-status s-siteid s-reason "
            "s-queuename\n"
            "2019-03-05 17:31:15 14.48.31.128 50123 14.48.31.152 443 HTTP/1.1 GET /certsrv 503 1 AppOffline "
            "DefaultAppPool\n"
            "2019-03-05 17:31:16 14.48.31.9 50124 14.48.31.152 80 HTTP/1.1 GET /favicon.ico 503 1 AppOffline "
            "DefaultAppPool",
            (None, None, None, None, "httperr.request", None),
        ),
        Sample(
            "2019-03-05 17:33:15 14.48.31.128 50130 14.48.31.152 443 - - - - - Timer_ConnectionIdle -",
            ("httperr.request",),
        ),
    )
    path_hint: ClassVar[re.Pattern[str]] = re.compile(r"(?i)httperr")

    layout: ClassVar[StampLayout] = LAYOUT

    def reader(self) -> HttperrReader:
        """Make a reader for one member."""
        return HttperrReader()
