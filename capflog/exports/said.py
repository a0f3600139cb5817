"""What an event says, by the names that Elastic Common Schema and OpenTelemetry's conventions share.

Both call an HTTP status ``http.response.status_code`` and a client's address ``client.address``; what has no such name
keeps the one that it has in :data:`capflog.events.VALUES`, for a room of capflog's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from capflog.eventlines import EventLine

Value = str | int

#: Kinds that tell of a failure by their last word.
_FAILED = (".failed", ".aborted", ".bad", ".died", ".timeout")

#: Kinds that tell of a success, whatever else they say.
_SUCCEEDED = frozenset({"ces.chain.ok", "curl.ok", "lsc.received", "lsc.verified", "lsc.written"})

#: Kinds whose code is a result: 0 is success.
_RESULTS = frozenset({"est.enroll.result", "est.enroll.return", "est.response", "capf.op.status"})

#: Kinds whose code is no error's: the number of a parameter, a flag.
_NO_ERROR = frozenset({"capf.param", "capf.device"})

#: Names of errors that say that there was none.
_NO_FAULTS = frozenset({"EST_ERR_NONE", "CAPF_OP_SUCCESS"})

#: Names that stand for a value as it is.
_PLAIN = {
    "method": "http.request.method",
    "status": "http.response.status_code",
    "query": "url.query",
    "agent": "user_agent.original",
    "user": "user.name",
    "pid": "process.pid",
}

_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*):(?P<port>\d{1,5})", re.ASCII)


@dataclass(slots=True)
class Said:
    """What an event says. ``shared``: by the names of both; ``own``: the values that have no such name.

    ``outcome``: "success", "failure" or None: it is neither. ``error``: what went wrong, in words ("": nothing did).
    """

    outcome: str | None
    error: str = ""
    shared: dict[str, Value] = field(default_factory=dict)
    own: dict[str, Value] = field(default_factory=dict)


def said(line: EventLine) -> Said:
    """Sort what an event says."""
    found = Said(_outcome(line))
    shared, own = found.shared, found.own
    for name, value in line.values.items():
        if (known := _PLAIN.get(name)) is not None:
            shared[known] = value
        elif name == "url":
            _place(line, str(value), shared)
        elif name == "host":
            _host(line, str(value), shared)
        elif name in ("client", "server"):
            _address(name, str(value), shared)
        elif name == "port":
            _set_port("client.port" if line.event == "est.peer.port" else "server.port", int(value), shared)
        elif name == "error" and value not in _NO_FAULTS:
            shared["error.type"] = value
        elif name == "detail" and found.outcome == "failure":
            found.error = str(value)
        else:
            own[name] = value
    return found


def is_error_code(line: EventLine) -> bool:
    """Tell whether the event's code is that of an error."""
    return bool(line.values.get("code")) and line.event not in _NO_ERROR


def _outcome(line: EventLine) -> str | None:
    """Tell an event's own outcome, which is not its enrollment's."""
    if line.fault or line.event.endswith(_FAILED):
        return "failure"
    if line.event in _SUCCEEDED:
        return "success"
    told = line.values.get("code") if line.event in _RESULTS else None
    if told is not None:
        return "failure" if told else "success"
    status = line.values.get("status")
    # 0: HTTP.sys or IIS had none to give.
    return None if not status else "failure" if int(status) >= 400 else "success"


def of_web(line: EventLine) -> bool:
    """Tell whether what the event calls a URL is one of the web, and no file of CAPF's or CES's."""
    if line.source == "capf":
        return False
    return "method" in line.values or line.event.startswith(("est.", "curl.", "iis.", "httperr."))


def _place(line: EventLine, text: str, shared: dict[str, Value]) -> None:
    """Take a URL or a path apart; what is no URL of the web is a file's path."""
    if "://" not in text and not of_web(line):
        shared["file.path"] = text
        return
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        # Whoever asks may write anything there.
        shared["url.original"] = text
        return
    if parts.scheme and host:
        query = line.values.get("query")
        shared["url.full"] = f"{text}?{query}" if query else text
        shared["url.scheme"] = parts.scheme
        shared["url.domain"] = host
        if port is not None:
            shared["url.port"] = port
        shared["url.path"] = parts.path or "/"
    else:
        shared["url.path"] = text


def _host(line: EventLine, text: str, shared: dict[str, Value]) -> None:
    """Take a host: what NGINX could not bind is its own address, all others are what a request asks for."""
    if line.event == "nginx.bind.failed":
        _address("server", text, shared)
        return
    host, port = _parted(text)
    shared["url.domain"] = host
    if port is not None:
        shared["url.port"] = port


def _address(side: str, text: str, shared: dict[str, Value]) -> None:
    host, port = _parted(text)
    shared[f"{side}.address"] = host
    if port is not None:
        _set_port(f"{side}.port", port, shared)


def _set_port(name: str, port: int, shared: dict[str, Value]) -> None:
    if 0 <= port <= 65535:
        shared[name] = port


def _parted(text: str) -> tuple[str, int | None]:
    """Part an address from its port; one of IPv6 alone has colons and no port."""
    match = _PORT.fullmatch(text)
    if match is None:
        return text.strip("[]") if text[:1] == "[" else text, None
    port = int(match["port"])
    return match["host"].strip("[]"), port if port <= 65535 else None
