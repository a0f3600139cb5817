"""The access log of IIS in W3C's extended format: the CA's web enrollment pages, as CES asked for them.

Columns, defaults and stamps are those of Microsoft's IIS W3C reference. A row is written when its answer is done.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from capflog.events import Event, StampForm
from capflog.parsing import Line, Sample, Signature

from .w3c import ADDRESS, LAYOUT, Columns, Values, W3cReader, under_certsrv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capflog.stamps import StampLayout

_WORDS: dict[str, str] = {
    "cs-method": "method",
    "cs-uri-stem": "url",
    "cs-uri-query": "query",
    "cs-uri": "url",
    "s-port": "port",
    "cs-username": "user",
    "c-ip": "client",
    "s-ip": "server",
    "cs(user-agent)": "agent",
    "cs(referer)": "referer",
    # Microsoft spells it so in one place.
    "cs(referrer)": "referer",
    "sc-status": "status",
    "sc-substatus": "substatus",
    "sc-win32-status": "win32",
    "time-taken": "taken",
    "s-sitename": "site",
    "s-computername": "computer",
    "cs-host": "host",
}

_ASKED = "cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip"
_ANSWERED = "sc-status sc-substatus sc-win32-status"
#: Rows without ``#Fields``: the defaults of IIS 8 and later, those of IIS 7, and every standard column.
_LAYOUTS = tuple(
    Columns(names.split(), _WORDS)
    for names in (
        f"date time s-ip {_ASKED} cs(User-Agent) cs(Referer) {_ANSWERED} time-taken",
        f"date time s-ip {_ASKED} cs(User-Agent) {_ANSWERED} time-taken",
        (
            f"date time s-sitename s-computername s-ip {_ASKED} cs-version cs(User-Agent) cs(Cookie) cs(Referer) "
            f"cs-host {_ANSWERED} sc-bytes cs-bytes time-taken"
        ),
    )
)

_REQUEST_ID = re.compile(r"(?:^|[&?])ReqID=(\d{1,18})(?=&|$)", re.I | re.ASCII)
#: What ASP adds to the query for each error: line of the page (or ``-``), HRESULT (or ``ASP_`` number), text.
_ASP_ERROR = re.compile(r"\|(\d{1,9}|-)\|([0-9A-Fa-f]{8}|ASP_\d+)\|", re.ASCII)


def _part_asp_errors(values: Values) -> None:
    """Part the errors of an ASP page from the query: the first is named, the texts of all are kept."""
    query = str(values["query"])
    errors = list(_ASP_ERROR.finditer(query))
    if not errors:
        return
    first = errors[0]
    if first[1] != "-":
        values["asp_line"] = int(first[1])
    values["error"] = first[2] if first[2].startswith("ASP_") else first[2].lower()
    ends = [error.start() for error in errors[1:]] + [len(query)]
    texts = [query[error.end() : end].replace("_", " ").strip() for error, end in zip(errors, ends, strict=True)]
    told = [texts[0], *(f"{error[2].lower()}: {text}" for error, text in zip(errors[1:], texts[1:], strict=True))]
    if detail := "; ".join(filter(None, told)):
        values["detail"] = detail
    if (asked := query[: first.start()]) in {"", "-"}:
        del values["query"]
    else:
        values["query"] = asked


class IisReader(W3cReader):
    """Reads one access log of IIS."""

    def __init__(self) -> None:
        """Start at the first line."""
        super().__init__(_WORDS, _LAYOUTS, "certsrv")

    def _make(self, values: Values) -> Event | Line | None:
        url = values.get("url")
        if url is None:
            return Line.QUIET
        url = values["url"] = str(url)
        if url[0] not in "/*":
            return None
        if "?" in url and "query" not in values:
            values["url"], _, values["query"] = url.partition("?")
            url = str(values["url"])
        if not under_certsrv(url):
            return Line.QUIET
        if (agent := values.get("agent")) is not None:
            values["agent"] = str(agent).replace("+", " ")
        if (query := values.get("query")) is not None:
            if "|" in str(query):
                _part_asp_errors(values)
            if (asked := _REQUEST_ID.search(str(values.get("query", "")))) is not None:
                values["reqid"] = int(asked[1])
        return Event("iis.request", values=values)


#: Columns in which HTTP.sys's error log differs from the access log.
_NOT_HTTPERR = r"(?!\S+ \S+ \S+ (?:\d+|-) \S+ (?:\d+|-) (?:HTTP/|- ))"


class IisW3cLog:
    """The access log of the CA's web server."""

    source: ClassVar[str] = "iis"
    title: ClassVar[str] = "IIS access log (W3C)"
    stamp: ClassVar[StampForm] = StampForm.UTC
    resolution_ms: ClassVar[int] = 1000
    signatures: ClassVar[tuple[Signature, ...]] = (
        Signature(re.compile(r"^#Software: Microsoft Internet Information Services\b"), 3, "IIS names itself"),
        Signature(re.compile(r"^#Fields: (?:\S+ )*cs-uri-stem(?:\s|$)"), 3, "the columns of a W3C access log"),
        Signature(
            re.compile(
                rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {_NOT_HTTPERR}(?:\S+ ){{0,2}}{ADDRESS} [A-Z][A-Z_-]+ [/*]\S* \S+ "
                rf"(?:\d{{1,5}} \S+ )?{ADDRESS} ",
                re.ASCII,
            ),
            2,
            "requests with IIS's columns",
        ),
        Signature(
            re.compile(
                rf"^{_NOT_HTTPERR}(?=(?:\S+ )*?\d\d:\d\d:\d\d(?: |$))(?=(?:\S+ )*?{ADDRESS}(?: |$))"
                r"(?=(?:\S+ )*?(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PROPFIND|TRACE) )(?=(?:\S+ )*?/\S*(?: |$))"
                r"(?:\S+ ){6,}\S*$",
                re.ASCII,
            ),
            1,
            "requests in W3C columns",
        ),
    )
    kinds: ClassVar[Mapping[str, str]] = {"iis.request": "a request for the CA's web enrollment and its answer"}
    samples: ClassVar[tuple[Sample, ...]] = (
        Sample(
            "#Software: Microsoft Internet Information Services 8.5\n#Version: 1.0\n#Date: 2019-03-05 17:31:15\n"
            "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) "
            "cs(Referer) sc-status sc-substatus sc-win32-status time-taken\n"
            "2019-03-05 17:31:15 14.48.31.152 GET /certsrv - 443 - 14.48.31.128 CiscoRA+1.0 - 401 1 2148074254 0\n"
            "2019-03-05 17:31:16 14.48.31.152 GET /iisstart.htm - 80 - 14.48.31.9 Mozilla/5.0+(X11) - 200 0 0 3",
            (None, None, None, None, "iis.request", None),
        ),
        Sample(
            "2019-01-16 14:05:02 14.48.31.152 GET /certsrv/certnew.cer ReqID=10&ENC=b64 443 MICHAMEN\\ciscora "
            "14.48.31.125 CiscoRA+1.0 - 200 0 0 0",
            ("iis.request",),
        ),
        Sample(
            "2019-01-16 14:05:02 14.48.31.152 POST /certsrv/certfnsh.asp |25|800706ba|The_RPC_server_is_unavailable. "
            "443 MICHAMEN\\ciscora 14.48.31.125 CiscoRA+1.0 500 0 0 15",
            ("iis.request",),
        ),
    )
    path_hint: ClassVar[re.Pattern[str]] = re.compile(r"(?i)(?:^|[/\\])(?:u_)?ex(?:tend)?\d+[^/\\]*\.log|W3SVC\d+[/\\]")

    layout: ClassVar[StampLayout] = LAYOUT

    def reader(self) -> IisReader:
        """Make a reader for one member."""
        return IisReader()
