"""NGINX's error.log on the CUCM node, and the reader of the records that it shares with the CiscoRA log.

A record is ``YYYY/MM/DD HH:MM:SS [level] PID#TID: *CONNECTION MESSAGE while ACTION, client: .., server: .., request:
"..", upstream: "..", host: "..", referrer: ".."``; what follows the message is its context and there for a connection
alone (nginx ngx_log.c, ngx_http_request.c). The time is local, in seconds, without a zone. Records that nginx copies
to standard error while it starts are ``nginx: [level] MESSAGE in FILE:LINE``, without time and process; they make the
CiscoRA log, see :mod:`cisco_ra`. libEST's lines (:mod:`libest`) stand in both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import unquote

from capflog.events import Event, StampForm
from capflog.parsing import Derived, Line, Sample, Signature
from capflog.stamps import StampLayout

from . import ces, ces_samples, libest
from .ces import message_kind, service_line, split_url

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from capflog.events import Value

KINDS: dict[str, str] = {**ces.KINDS, **libest.KINDS}

#: Where nginx cuts a record, in bytes without its line end (nginx ngx_log.h: NGX_MAX_ERROR_STR is 2048).
CUT = 2047

_LEVELS = "emerg|alert|crit|error|warn|notice|info|debug"
_STAMPED = re.compile(
    r"([0-9]{4}/[0-9]{2}/[0-9]{2}) ([0-9]{2}:[0-9]{2}:[0-9]{2}) "
    rf"\[({_LEVELS})\] ([0-9]{{1,18}})#[0-9]{{1,18}}: ?(?:\*([0-9]{{1,18}}) )?"
)
_PROCESS = re.compile(r"\] [0-9]{1,18}#[0-9]")
_UNSTAMPED = re.compile(rf"nginx: \[({_LEVELS})\] ?")
_CLIENT = ", client: "
_PEER = re.compile(r', client: ([^\s,"]+)(?:, server: ([^,"]*(?:,(?! |\Z)[^,"]*)*))?')
_ACTION = re.compile(r"[A-Za-z][A-Za-z0-9 /_.-]*")
_PIECES = ("request", "subrequest", "upstream", "host", "referrer")
_PIECE = re.compile(rf', ({"|".join(_PIECES)}): "')
_END = re.compile(rf'"(?:\Z|, ({"|".join(_PIECES[1:])}): "|,(?: [a-z]{{0,10}}(?:: ?)?)?\Z)')
_PLAIN = re.compile("".join(rf'(?:, {name}: "([^"]*)")?' for name in _PIECES) + r"\Z")
_PROTOCOL = re.compile(r" HTTP/[0-9](?:\.[0-9])?\Z")
_PLUGIN = re.compile(r"[A-Za-z][A-Za-z0-9]*_\w*: ")

# ---- a record's context --------------------------------------------------------------------------------------------


def at_limit(text: str) -> bool:
    """Tell whether a record is as long as nginx lets it be: its last word may be cut."""
    if len(text) * 4 < CUT:
        return False
    # Bytes that are no UTF-8 (a cut letter makes such) were read as one character each.
    return CUT <= len(text) <= CUT + 1 or CUT <= len(text.encode("utf-8", "replace")) <= CUT + 1


def _peer(text: str, at: int) -> re.Match[str] | None:
    """Match ``, client: A, server: B`` where it can be a context's: at the end, or before the request."""
    match = _PEER.match(text, at)
    if match is None:
        return None
    rest = text[match.end() : match.end() + 16]
    if match[2] is None:
        # nginx never leaves the server out: the record is cut within the address or within ", server: ".
        return match if ", server: ".startswith(rest) else None
    if not rest or _PIECE.match(text, match.end()) is not None:
        return match
    return match if ', request: "'.startswith(rest) else None


def _true_peer(text: str, start: int) -> re.Match[str] | None:
    """Find the client and server of the context among text that looks like them.

    Whoever sends a request may put ``, client: 9.9.9.9, server: x`` into its path, which the message quotes before the
    context, or into its request line and its headers, which the context quotes. A message of the plugin is followed by
    no request: the last one is the context's. Other messages bear foreign text in quotes alone: what stands before
    any quote is the context's; what stands within a quote, or in the path of a later request, is not.
    """
    found: list[re.Match[str]] = []
    at = text.find(_CLIENT, start)
    while at >= 0:
        if (match := _peer(text, at)) is not None:
            found.append(match)
        at = text.find(_CLIENT, at + 1)
    if len(found) < 2:
        return found[0] if found else None
    if _PLUGIN.match(text, start) is not None:
        return found[-1]
    if text.find('"', start, found[0].start()) < 0:
        return found[0]
    requests = [unquote(_pieces(text, match.end()).get("request", "")) for match in found[-8:]]
    found = found[-8:]
    for number, match in enumerate(found):
        quoted = text.count('"', start, match.start()) % 2 == 1
        if not quoted and not any(match[0] in later for later in requests[number + 1 :]):
            return match
    return found[-1]


def _pieces(text: str, at: int) -> dict[str, str]:
    """Split the quoted pieces that follow the server, in nginx's order; a piece that is cut is left out.

    Nothing escapes a quote within. A request ends where its protocol does, a host where the referrer begins, and the
    referrer, which a client is free to fill, with the line.
    """
    found: dict[str, str] = {}
    match = _PIECE.match(text, at)
    while match is not None:
        name, begin = match[1], match.end()
        rank = _PIECES.index(name)
        chosen: re.Match[str] | None = None
        for end in _END.finditer(text, begin):
            if end[1] is not None and _PIECES.index(end[1]) <= rank:
                continue
            if name == "request" and _PROTOCOL.search(text, max(begin, end.start() - 9), end.start()) is None:
                chosen = chosen or end
                continue
            chosen = end
            break
        if chosen is None:
            break
        found[name] = text[begin : chosen.start()]
        match = _PIECE.match(text, chosen.start() + 1) if chosen[1] is not None else None
    return found


def context(text: str, start: int, values: dict[str, Value], *, cut: bool) -> str:
    """Take the context off a record, put its values into ``values`` and return the message."""
    at = text.find(_CLIENT, start)
    if at < 0:
        return text[start:].rstrip()
    match = _peer(text, at) if text.find(_CLIENT, at + 1) < 0 else _true_peer(text, start)
    if match is None:
        return text[start:].rstrip()
    whole = not cut or match.end() < len(text)
    if match[2] is not None or match.end() < len(text):
        values["client"] = match[1]
    if match[2] and whole:
        values["server"] = match[2]
    message = text[start : match.start()]
    doing = message.rfind(" while ")
    if doing >= 0 and _ACTION.fullmatch(message, doing + 7) is not None:
        values["action"] = message[doing + 7 :]
        message = message[:doing]
    if (end := match.end()) < len(text):
        if (plain := _PLAIN.match(text, end)) is not None:
            request, _, _, host, referer = plain.groups()
        else:
            pieces = _pieces(text, end)
            request, host, referer = pieces.get("request"), pieces.get("host"), pieces.get("referrer")
        _named(request, host, referer, values)
    return message


def _named(request: str | None, host: str | None, referer: str | None, values: dict[str, Value]) -> None:
    if request:
        method, blank, rest = request.partition(" ")
        if blank and method.isalpha():
            values["method"] = method
            end = _PROTOCOL.search(rest, max(0, len(rest) - 9))
            split_url(rest if end is None else rest[: end.start()], values)
    if host:
        values["host"] = host
    if referer:
        values["referer"] = referer


# ---- lines in order ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Unfinished:
    """A record whose message, by its brackets or by a missing context, may go on in the next physical line."""

    event: Event
    curl: ces.CurlText | None
    connection: bool
    lines: int


class ErrorReader:
    """Reads both logs of CES: records with and without a stamp, libEST's lines, the start script's."""

    def __init__(self, *, stamped: bool) -> None:
        """Make a reader; ``stamped``: events bear the stamp as logged (error.log), else none does (CiscoRA)."""
        self._stamped = stamped
        self._est = libest.EstReader()
        self._unfinished: _Unfinished | None = None
        self._day, self._midnight = "", 0
        self._clock, self._stamp = "", 0

    def carry(self) -> Hashable | None:
        """Give what the reading of later lines depends on; None: a record may still go on."""
        return None if self._unfinished is not None else self._est.carry()

    def resume(self, carry: Hashable) -> None:
        """Go on where such lines were left behind."""
        self._unfinished = None
        self._est.resume(carry)

    def read(self, text: str) -> Event | Line:
        """Say what the next physical line is."""
        first = text[:1]
        event: Event | None = None
        if first == "*":
            event = self._est.record(text)
        elif "0" <= first <= "9":
            event = self._record(text, 0)
        elif first == "n":
            event = self._start(text, 0)
        elif first == "E":
            event = self._service(text)
        if event is None:
            return self._other(text)
        if first != "*":
            self._est.interrupted()
        if self._unfinished is not None and self._unfinished.event is not event:
            self._unfinished = None
        return event

    def _time(self, day: str, clock: str) -> int | None:
        """Count the ms since 1970-01-01 of the log's own clock; None: no such time."""
        if day != self._day:
            try:
                midnight = date(int(day[:4]), int(day[5:7]), int(day[8:])).toordinal() - 719163
            except ValueError:
                return None
            self._day, self._midnight, self._clock = day, midnight * 86_400_000, ""
        if clock != self._clock:
            hour, minute, second = int(clock[:2]), int(clock[3:5]), int(clock[6:])
            if hour > 23 or minute > 59 or second > 60:
                return None
            self._clock = clock
            self._stamp = self._midnight + ((hour * 60 + minute) * 60 + second) * 1000
        return self._stamp

    def _record(self, text: str, at: int) -> Event | None:
        head = _STAMPED.match(text, at)
        if head is None:
            return None
        day, clock, level, pid, connection = head.groups()
        values: dict[str, Value] = {"pid": int(pid)}
        start = head.end()
        cut = at_limit(text)
        text = text.rstrip()
        if connection is not None:
            values["connection"] = int(connection)
        # nginx puts no context behind a record of level debug.
        of_connection = connection is not None and level != "debug"
        message = context(text, start, values, cut=cut) if of_connection else text[start:]
        kind = message_kind(message, level, values)
        event = Event(kind, self._time(day, clock) if self._stamped else None, None, None, level, values)
        if not cut and "client" not in values and (kind == "curl.failed" or of_connection):
            self._await(event, message, connection=of_connection)
        return event

    def _start(self, text: str, at: int) -> Event | None:
        head = _UNSTAMPED.match(text, at)
        if head is None:
            # What `nginx -t` prints: "nginx: configuration file ... test is successful".
            if not text.startswith("nginx: ", at):
                return None
            return Event("nginx.record", values={"detail": text[at + 7 :].strip()})
        message = text[head.end() :].rstrip()
        values: dict[str, Value] = {}
        kind = message_kind(message, head[1], values)
        event = Event(kind, None, None, None, head[1], values)
        if kind == "curl.failed" and not at_limit(text):
            self._await(event, message, connection=False)
        return event

    def _service(self, text: str) -> Event | None:
        said = service_line(text)
        return None if said is None else Event(said[0], values=said[1])

    def _await(self, event: Event, message: str, *, connection: bool) -> None:
        curl = ces.resume(event, message)
        if curl is not None or connection:
            self._unfinished = _Unfinished(event, curl, connection, ces.CurlText.LINES)

    def _other(self, text: str) -> Event | Line:
        """Judge a line that begins with no record: more of a message, or one behind other output."""
        event = self._embedded(text)
        if event is not None:
            self._unfinished = None
            return event
        stripped = text.strip()
        if self._unfinished is not None and self._goes_on(stripped):
            return Line.PART
        if not stripped:
            self._est.blank()
            return Line.QUIET
        if self._est.part(stripped):
            return Line.PART
        return Line.QUIET if stripped[0] == "/" and libest.bare_subject(stripped) else Line.UNKNOWN

    def _goes_on(self, stripped: str) -> bool:
        """Take a line for the unfinished record's if its text or its context goes on there."""
        record = self._unfinished
        if record is None:
            return False
        record.lines -= 1
        values: dict[str, Value] = {}
        said = context(f" {stripped}", 0, values, cut=False).strip() if record.connection else stripped
        last = "client" in values
        curl = record.curl
        if curl is not None:
            taken = curl.takes(said, last=last)
            if taken:
                record.event.values["detail"] = curl.text
            done = not taken or last or record.lines <= 0 or (curl.closed and curl.depth <= 0)
        else:
            taken, done = last, True
            if taken and said and "detail" in record.event.values:
                record.event.values["detail"] = f"{record.event.values['detail']} {said}"
        if taken:
            for name in ("client", "server", "action"):
                if name in values:
                    record.event.values[name] = values[name]
        if done:
            self._unfinished = None
        return taken

    def _embedded(self, text: str) -> Event | None:
        """Find a record behind blanks, or behind what another program left unfinished on the line."""
        if (at := text.find(libest.HEAD, 1)) > 0:
            return self._est.record(text, at)
        if (at := text.find("nginx: [", 1)) > 0:
            return self._start(text, at)
        for process in _PROCESS.finditer(text):
            level = text.rfind("[", max(0, process.start() - 8), process.start())
            if level >= 20 and (event := self._record(text, level - 20)) is not None:
                return event
        return None


#: libEST's lines by the time of their writing: while CES starts (standard error: CiscoRA) or as it serves (error.log).
EST_START = re.compile(
    r"\*\*\*EST \[[A-Z]+\]\[(?:est_log_version|ossl_init_cert_store\w*|set_ssl_option\w*|est_(?:server_)?init\w*"
    r"|est_server_(?:start|set|enable|disable)\w*|est_load_\w+):"
)
EST_REQUEST = re.compile(
    r"\*\*\*EST \[[A-Z]+\]\[(?:log_access|log_header|handle_request|est_http_request|est_enroll_auth|parse_http_\w+"
    r"|mg_\w+|est_mg_\w+|est_handle_\w+|est_tls_uid_auth|est_server_(?:handle|check|send)\w*|est_proxy_\w+"
    r"|ossl_verify_cb|cert_verify_cb|est_client_\w+|tcw_\w+|est_io_\w+|est_ssl_read):"
    r"|\*\*\*EST \[[A-Z]+\]\[[^\]]*\]--> (?:Peer IP address|Peer port|request uri=|TLS: |\[Error )"
)
EST_ANY = re.compile(r"\*\*\*EST \[[A-Z]+\]\[[^\]]*\]-->")

#: In front of libEST's lines, which other logs may hold too, so that each sample is one of this log.
_LEAD = Sample(
    "2019/03/05 12:31:21 [info] 31067#0: ra_certsrv_ca_plugin_postconf: CA Cert chain retrieved from CA, "
    "will be passed to EST\n"
    "2019/03/05 12:31:21 [notice] 31067#0: start worker processes",
    ("ces.chain.ok", "nginx.started"),
)
_OF_CLIENT = " while SSL EST handshaking, client: 192.0.2.128, server: 0.0.0.0:8084"
_OF_REQUEST = (
    ' while connecting to upstream, client: 2001:db8::80, server: ces, request: "GET /a?b=c HTTP/1.1", '
    'upstream: "https://192.0.2.10:443/a?b=c", host: "ces:8084", referrer: "https://ces/"'
)


def _records() -> tuple[Sample, ...]:
    return tuple(
        Sample(f"2019/02/27 16:53:28 [{level}] 3187#0: {connection}{message}{context}", (kind,))
        for level, message, kind in ces_samples.MESSAGES
        for connection, context in (
            (("", ""),) if kind in ces_samples.OUTSIDE_CONNECTIONS else (("*2 ", _OF_CLIENT), ("*3 ", _OF_REQUEST))
        )
    )


class NginxErrorLog:
    """NGINX's error.log."""

    source: ClassVar[str] = "nginx"
    title: ClassVar[str] = "NGINX error.log of the Certificate Enrollment Service"
    stamp: ClassVar[StampForm] = StampForm.LOCAL
    resolution_ms: ClassVar[int] = 1000
    signatures: ClassVar[tuple[Signature, ...]] = (
        Signature(_STAMPED, 6, "a record of NGINX with time and process"),
        Signature(EST_REQUEST, 4, "a line of libEST about a request"),
        Signature(EST_ANY, 1, "another line of libEST"),
    )
    kinds: ClassVar[Mapping[str, str]] = KINDS
    samples: ClassVar[tuple[Sample, ...]] = (
        *_records(),
        Sample(
            "2019/02/27 16:53:28 [warn] 3187#0: *2 login_to_certsrv_ca: Curl call for MS CA login failed with return "
            "code 77 (error setting certificate verify locations:\n  CAfile: /etc/ca.pem\n  CApath: none)"
            f"{_OF_CLIENT}",
            ("curl.failed", None, None),
        ),
        *(Sample(f"{_LEAD.text}\n{text}", (*_LEAD.kinds, kind)) for text, kind in ces_samples.SERVICE),
        *ces_samples.est_samples(_LEAD),
    )
    layout: ClassVar[StampLayout] = StampLayout("YYYY/MM/DD hh:mm:ss ")
    derived: ClassVar[tuple[Derived, ...]] = libest.DERIVED
    path_hint: ClassVar[re.Pattern[str]] = re.compile(r"(?i)error[^/\\]*\.log[^/\\]*\Z")

    def reader(self) -> ErrorReader:
        """Make a reader for one member."""
        return ErrorReader(stamped=True)
