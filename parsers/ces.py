"""What the Certificate Enrollment Service (CES, "Cisco RA") says: messages of its NGINX and of its plugin for the CA.

Here is the grammar of a message without its head and its context; :mod:`nginx_error` takes these off. The plugin's
messages are ``function: text`` and known from Cisco 214396 alone, nginx's own from its source (src/os/unix,
src/event, src/http, src/core). Where the plugin's words are not known, the shape is enough: the kind is ``ces.plugin``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from capflog.events import Event, Value

KINDS: dict[str, str] = {
    "curl.ok": "a request to the CA succeeded",
    "curl.failed": "a request to the CA failed; code is the CURLcode, detail libcurl's text",
    "curl.url": "the URL of the request to the CA that failed",
    "curl.data": "the CA's answer came, so many bytes",
    "ces.cert.added": "a certificate that CES trusts goes to its store",
    "ces.chain.unset": "CES has no CA chain yet",
    "ces.login.failed": "CES could not log in to the CA",
    "ces.chain.failed": "CES did not get the CA's chain as it started",
    "ces.chain.ok": "CES got the CA's chain as it started",
    "ces.pop.off": "CES does not ask for proof of possession",
    "ces.started": "NGINX runs; pid is its master process",
    "ces.service": "another line of the service's start script",
    "ces.plugin": "another message of the CES plugin",
    "nginx.bind.failed": "NGINX could not take its port",
    "nginx.config.failed": "NGINX cannot run so: a record of level emerg, alert or crit outside a connection",
    "nginx.handshake.failed": "a TLS handshake failed",
    "nginx.connect.failed": "NGINX could not connect to an upstream; code is the errno",
    "nginx.upstream.failed": "an upstream did not answer as it should; code is the errno or OpenSSL's verify result",
    "nginx.client.closed": "the client went away or said nothing for too long",
    "nginx.started": "NGINX's master starts its workers",
    "nginx.worker.started": "a worker process starts",
    "nginx.stopping": "NGINX or one of its workers ends as asked",
    "nginx.reload": "NGINX reads its configuration again",
    "nginx.worker.died": "a worker process died; code is the signal",
    "nginx.record": "another record of NGINX",
}

#: Levels of nginx that tell of a fault (nginx ngx_log.c).
FAULTS = frozenset({"emerg", "alert", "crit", "error", "warn"})
_FATAL = frozenset({"emerg", "alert", "crit"})

_FUNCTION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*): *")
_ERRNO = re.compile(r"\(([0-9]{1,9}): ?")
_BOUND = re.compile(r"bind\(\) to (\S+) failed")
_IN_FILE = re.compile(r" in (\S+:[0-9]+)\Z")
_DIED = re.compile(r"worker process [0-9]+ exited on signal ([0-9]{1,9})")
_CODE = re.compile(r"\breturn code:? ?(-?[0-9]{1,9})(?![0-9])")
_BYTES = re.compile(r"Rcvd data len: ?([0-9]{1,18})(?![0-9])")
_PID = re.compile(r"\bPID value ?= ?([0-9]{1,18})(?![0-9])")
_SERVICE = re.compile(r"EnrollmentService\.sh ?: ?")

_CURL_OK = "Secure connection to MS CertServ completed successfully"


def split_url(url: str, values: dict[str, Value]) -> None:
    """Put a URL into ``url`` and, where it has one, ``query``."""
    path, mark, query = url.partition("?")
    values["url"] = path
    if mark:
        values["query"] = query


def subject(text: str) -> str | None:
    """Take the certificate's subject out of ``Adding cert to store (...)``; a subject may hold brackets."""
    begin, end = text.find("("), text.rfind(")")
    if begin < 0:
        return None
    return text[begin + 1 : end if end > begin else len(text)]


def service_line(text: str) -> tuple[str, dict[str, Value]] | None:
    """Read a line of the start script ``EnrollmentService.sh``: kind and values."""
    match = _SERVICE.match(text)
    if match is None:
        return None
    said = text[match.end() :].rstrip()
    pid = _PID.search(said)
    if pid is None:
        return "ces.service", {"detail": said}
    return "ces.started", {"pid": int(pid[1])}


# ---- libcurl's text ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class CurlText:
    """libcurl's text in the brackets of a ``curl.failed`` message.

    Neither the plugin nor libcurl escapes anything: a text may hold brackets of its own, also an odd one
    (``subject name 'a' (old)' does not match``), and line breaks (code 77). So the last bracket of the message is the
    closing one, and the text goes on in the next line only while the message does not end in a bracket, or the count
    of brackets says that the next line has the one that is missing.
    """

    text: str
    depth: int
    closed: bool

    LINES = 5
    """How many further lines a text may take; libcurl's longest known one takes two (code 77)."""

    @classmethod
    def of(cls, rest: str, *, whole: bool) -> CurlText:
        """Read what follows the opening bracket; ``whole``: nothing of the message can follow in a next line."""
        depth = 1 + rest.count("(") - rest.count(")")
        end = rest.rstrip()
        if end.endswith(")"):
            return cls(end[:-1], depth, closed=True)
        if (closing := _closing(rest)) >= 0:
            return cls(rest[:closing], 0, closed=True)
        return cls(rest, depth, closed=whole)

    def takes(self, line: str, *, last: bool) -> bool:
        """Take one more line if it belongs to the text; ``last``: the record's context follows it."""
        depth = self.depth + line.count("(") - line.count(")")
        end = line.strip()
        closes = end.endswith(")")
        if self.closed:
            if self.depth <= 0 or not closes or depth > 0:
                return False
            self.text += ")"
        piece = end[:-1].rstrip() if closes else end
        self.text = f"{self.text.rstrip()} {piece}".rstrip() if piece else self.text.rstrip()
        self.depth = depth
        self.closed = closes or last
        return True


def _closing(text: str) -> int:
    """Find the bracket that closes the one before ``text``, by count; -1: none does."""
    depth = 1
    for match in _BRACKET.finditer(text):
        depth += 1 if match[0] == "(" else -1
        if depth == 0:
            return match.start()
    return -1


_BRACKET = re.compile(r"[()]")


def _curl_rest(message: str) -> str | None:
    """Give what follows the opening bracket of a ``curl.failed`` message; None: it has no bracket."""
    match = _CODE.search(message)
    if match is None:
        return None
    rest = message[match.end() :].lstrip()
    return rest[1:] if rest.startswith("(") else None


def resume(event: Event, message: str) -> CurlText | None:
    """Give the text of a ``curl.failed`` event that may go on in the next line; None: it is complete."""
    rest = _curl_rest(message) if event.kind == "curl.failed" else None
    if rest is None:
        return None
    text = CurlText.of(rest, whole=False)
    return None if text.closed and text.depth <= 0 else text


# ---- the plugin's messages -----------------------------------------------------------------------------------------


def _curl_failed(text: str, values: dict[str, Value]) -> str | None:
    match = _CODE.search(text)
    if match is None or "url" not in text[: match.start()].lower():
        return None
    code = int(match[1])
    if code == 0 and "fail" not in text.lower():
        return None
    values["code"] = code
    rest = text[match.end() :].lstrip()
    if rest.startswith("("):
        values["detail"] = CurlText.of(rest[1:], whole=True).text
    elif said := rest.strip(" \t:;,.-"):
        values["detail"] = said
    return "curl.failed"


def _of_ca(url: str, values: dict[str, Value]) -> None:
    """Put the URL of a request to the CA; a request to NGINX itself, in the same record's context, must not mix in."""
    values.pop("query", None)
    values.pop("method", None)
    split_url(url, values)


def _plugin(function: str, text: str, level: str | None, values: dict[str, Value]) -> str | None:
    """Name the kind of a ``function: text`` message; None: it only looks like one (``OS: Linux 4.18``)."""
    values["function"] = function
    kind: str | None = None
    if text.startswith("Adding cert to store"):
        kind = "ces.cert.added"
        if (name := subject(text)) is not None:
            values["subject"] = name
    elif text.startswith("Rcvd data len"):
        kind = "curl.data"
        if (match := _BYTES.match(text)) is not None:
            values["bytes"] = int(match[1])
    elif text.startswith(_CURL_OK):
        kind = "curl.ok"
        if (at := text.find(" URL ")) >= 0:
            _of_ca(text[at + 5 :].strip(), values)
    elif text.startswith("URL used:"):
        kind = "curl.url"
        _of_ca(text[9:].strip(), values)
    elif (kind := _curl_failed(text, values)) is None:
        for sign, named in _SAID:
            if sign in text:
                kind = named
                break
        else:
            if level not in FAULTS and "_" not in function:
                del values["function"]
                return None
            kind = "ces.plugin"
        values["detail"] = text
    return kind


_SAID = (
    ("Unable to execute login to certsrv", "ces.login.failed"),
    ("Unable to retrieve CA Cert chain", "ces.chain.failed"),
    ("CA Cert chain retrieved from CA", "ces.chain.ok"),
)


# ---- nginx's messages ----------------------------------------------------------------------------------------------


def _errno(text: str, values: dict[str, Value]) -> None:
    if (match := _ERRNO.search(text)) is not None:
        values["code"] = int(match[1])


def _bind(text: str, values: dict[str, Value]) -> str | None:
    match = _BOUND.match(text)
    if match is None:
        return None
    values["host"] = match[1]
    _errno(text, values)
    return "nginx.bind.failed"


def _still(text: str, _values: dict[str, Value]) -> str | None:
    return "nginx.bind.failed" if text.startswith("still could not bind()") else None


def _handshake(text: str, _values: dict[str, Value]) -> str | None:
    return "nginx.handshake.failed" if text.startswith("SSL_do_handshake() failed") else None


def _connect(text: str, values: dict[str, Value]) -> str | None:
    if " failed" not in text:
        return None
    _errno(text, values)
    return "nginx.connect.failed"


def _upstream(text: str, values: dict[str, Value]) -> str | None:
    _errno(text, values)
    return "nginx.upstream.failed"


def _no_upstream(text: str, _values: dict[str, Value]) -> str | None:
    return "nginx.upstream.failed" if text.startswith("no live upstreams") else None


def _client(text: str, values: dict[str, Value]) -> str | None:
    # "client sent ..." quotes what the client sent: its words prove nothing.
    if text.startswith("client sent") or not ("closed" in text or "timed out" in text):
        return None
    _errno(text, values)
    return "nginx.client.closed"


def _transfer(text: str, values: dict[str, Value]) -> str | None:
    """``recv() failed (104: ...)`` and its like: the peer's fault, client or upstream by what nginx was doing."""
    if "client prematurely closed" in text:
        return "nginx.client.closed"
    if " failed" not in text and "closed connection" not in text:
        return None
    _errno(text, values)
    return "nginx.upstream.failed" if "upstream" in str(values.get("action", "")) else "nginx.client.closed"


def _start(text: str, _values: dict[str, Value]) -> str | None:
    if text.startswith("start worker processes"):
        return "nginx.started"
    return "nginx.worker.started" if text.startswith("start worker process ") else None


def _signal(text: str, _values: dict[str, Value]) -> str | None:
    if text.endswith(", reconfiguring"):
        return "nginx.reload"
    return "nginx.stopping" if text.endswith((", exiting", ", shutting down")) else None


def _worker(text: str, values: dict[str, Value]) -> str | None:
    if (match := _DIED.match(text)) is not None:
        values["code"] = int(match[1])
        return "nginx.worker.died"
    return "nginx.worker.died" if " exited with fatal code " in text else None


def _stopping(_text: str, _values: dict[str, Value]) -> str | None:
    return "nginx.stopping"


def _reload(_text: str, _values: dict[str, Value]) -> str | None:
    return "nginx.reload"


def _no_chain(text: str, _values: dict[str, Value]) -> str | None:
    return "ces.chain.unset" if " requested but this value has not yet been set" in text else None


def _pop(text: str, _values: dict[str, Value]) -> str | None:
    return "ces.pop.off" if text.startswith("pop_enabled off") else None


#: By a message's first word.
_NGINX: dict[str, Callable[[str, dict[str, Value]], str | None]] = {
    "CA": _no_chain,
    "pop_enabled": _pop,
    "bind()": _bind,
    "still": _still,
    "SSL_do_handshake()": _handshake,
    "connect()": _connect,
    "upstream": _upstream,
    "no": _no_upstream,
    "client": _client,
    **dict.fromkeys(("epoll_wait()", "kevent()", "recv()", "send()", "readv()", "writev()", "sendfile()"), _transfer),
    **dict.fromkeys(("SSL_read()", "SSL_write()", "peer"), _transfer),
    "start": _start,
    "signal": _signal,
    "worker": _worker,
    "exiting": _stopping,
    "gracefully": _stopping,
    "reconfiguring": _reload,
}


def message_kind(text: str, level: str | None, values: dict[str, Value]) -> str:
    """Name the kind of a message of nginx or of its CES plugin and add the message's values to ``values``.

    ``values`` holds the record's context already: a record of a connection is no failure of the configuration.
    """
    match = _FUNCTION.match(text)
    if match is not None and (kind := _plugin(match[1], text[match.end() :].strip(), level, values)) is not None:
        return kind
    reader = _NGINX.get(text.partition(" ")[0])
    named = reader(text, values) if reader is not None else None
    if named is None:
        named = "nginx.config.failed" if level in _FATAL and "connection" not in values else "nginx.record"
    if named in {"nginx.config.failed", "nginx.record"} and "connection" not in values:
        place = _IN_FILE.search(text)
        if place is not None:
            text = text[: place.start()]
            values["url"] = place[1]
    values["detail"] = text
    return named
