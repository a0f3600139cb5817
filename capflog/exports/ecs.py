"""Elastic Common Schema: a document of JSON in a line for each event, to be indexed by Elasticsearch.

Field names and their types are those of ECS 9.4.0 (https://www.elastic.co/docs/reference/ecs; the list of them is
published as the npm package @elastic/ecs). What the schema has no name for stands below ``capflog``. ``message`` is the
line as logged, so there is no ``event.original`` beside it. An event whose line bears no time is dated by its bounds,
and ``capflog.time`` says so; one that nothing dates has no document: ``@timestamp`` must be there.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from capflog.exports.common import PROGRAMS, Enrollments, event_id, json_line, moment, stamp
from capflog.exports.said import Said, is_error_code, said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capflog.eventlines import EventLine

VERSION = "9.4.0"

#: ECS's category of a kind of event and the types that it allows there; kinds that fit none have none.
_CATEGORIES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("iis.request", "httperr.request", "est.access", "est.request", "est.error.page", "curl.ok"), ("web", "access")
    ),
    "curl.failed": ("web", "error"),
    **dict.fromkeys(("curl.url", "curl.data"), ("web", "info")),
    **dict.fromkeys(("est.auth.challenge", "est.auth.failed", "ces.login.failed"), ("authentication", "info")),
    **dict.fromkeys(("ces.started", "nginx.started", "nginx.worker.started"), ("process", "start")),
    **dict.fromkeys(("nginx.stopping", "nginx.worker.died"), ("process", "end")),
    **dict.fromkeys(("nginx.reload", "capf.param", "nginx.config.failed"), ("configuration", "info")),
    **dict.fromkeys(
        ("nginx.connect.failed", "nginx.upstream.failed", "est.client.connect.failed", "est.client.timeout"),
        ("network", "connection"),
    ),
    **dict.fromkeys(("nginx.client.closed", "est.shutdown"), ("network", "end")),
    **dict.fromkeys(("nginx.handshake.failed", "est.ssl.error", "capf.message", "capf.message.sent"),
                    ("network", "protocol")),
}  # fmt: skip

#: The side of a connection as ECS names it, and the role that must be filled beside it.
_ROLES = {"client": "source", "server": "destination"}


def pieces(document: dict[str, Any], lines: Iterable[EventLine]) -> Iterator[str]:
    """Write a document for each event that has a moment."""
    enrollments, bundle = Enrollments(document), document["bundle"]["name"]
    for line in lines:
        made = _document(line, enrollments, bundle)
        if made is not None:
            yield json_line(made)


def _document(line: EventLine, enrollments: Enrollments, bundle: str) -> dict[str, Any] | None:
    at = moment(line)
    if at is None:
        return None
    told, whose = said(line), enrollments.of(line)
    flat: dict[str, Any] = {
        "@timestamp": stamp(at[0]),
        "message": line.text,
        "ecs.version": VERSION,
        **_event(line, told, bundle),
        "service.name": PROGRAMS[line.source],
        "log.file.path": line.member,
        "log.level": line.level,
        **_shared(told),
        "host.name": told.own.pop("computer", None),
        "http.request.referrer": told.own.pop("referer", None),
        "log.origin.function": told.own.pop("function", None),
        "error.code": str(told.own["code"]) if is_error_code(line) else None,
        "error.message": told.error or None,
        "trace.id": None if whose is None else whose.trace,
        **_related(line, told),
        "capflog.bundle": bundle,
        "capflog.source": line.source,
        "capflog.line": line.line,
        "capflog.time": at[1],
        "capflog.earliest": stamp(line.earliest),
        "capflog.latest": stamp(line.latest),
        "capflog.device": line.device,
        "capflog.session": line.session,
        "capflog.step": line.step,
        "capflog.fault": line.fault,
        "capflog.confidence": line.confidence,
        "capflog.enrollment.id": line.enrollment,
        "capflog.enrollment.outcome": None if whose is None else whose.outcome,
        "capflog.enrollment.causes": None if whose is None else whose.causes or None,
        **{f"capflog.{name}": value for name, value in told.own.items()},
    }
    if flat["event.duration"] is not None:
        del flat["capflog.taken"]
    if isinstance(utc := told.own.get("utc"), int):
        flat["capflog.utc"] = _of_ms(utc)
    return _nested(flat)


def _event(line: EventLine, told: Said, bundle: str) -> dict[str, Any]:
    category = _CATEGORIES.get(line.event)
    types = None if category is None else [category[1]]
    if types == ["access"] and told.outcome == "failure":
        types = ["access", "error"]
    taken = line.values.get("taken")
    return {
        "event.kind": "event",
        "event.module": "capflog",
        "event.dataset": f"capflog.{line.source}",
        "event.provider": PROGRAMS[line.source],
        "event.action": line.event,
        "event.id": event_id(bundle, line),
        "event.category": None if category is None else [category[0]],
        "event.type": types,
        "event.outcome": told.outcome,
        # Of milliseconds nanoseconds; a log that somebody wrote by hand may hold any number.
        "event.duration": taken * 1_000_000 if isinstance(taken, int) and 0 <= taken < 1 << 40 else None,
    }


def _shared(told: Said) -> dict[str, Any]:
    """Give what ECS and OpenTelemetry call alike, and the fields that ECS wants beside."""
    found: dict[str, Any] = dict(told.shared)
    for side, role in _ROLES.items():
        address, port = found.get(f"{side}.address"), found.get(f"{side}.port")
        for name in (side, role):
            if address is not None:
                found[f"{name}.address"] = address
                found[f"{name}.{'ip' if _is_ip(str(address)) else 'domain'}"] = address
            if port is not None:
                found[f"{name}.port"] = port
    if isinstance(user := found.get("user.name"), str) and "\\" in user:
        found["user.domain"], _, found["user.name"] = user.partition("\\")
    return found


def _related(line: EventLine, told: Said) -> dict[str, Any]:
    addresses = [str(told.shared[name]) for name in ("client.address", "server.address") if name in told.shared]
    domain, user = told.shared.get("url.domain"), told.shared.get("user.name")
    hosts = [line.device, domain, *(address for address in addresses if not _is_ip(address))]
    return {
        "related.ip": list(dict.fromkeys(address for address in addresses if _is_ip(address))) or None,
        "related.hosts": list(dict.fromkeys(host for host in hosts if host)) or None,
        "related.user": None if user is None else [str(user).rpartition("\\")[2]],
    }


@lru_cache(1 << 12)
def _is_ip(text: str) -> bool:
    """Tell whether Elasticsearch takes a text for an address: one with a zone (``fe80::1%eth0``) it refuses."""
    if "%" in text:
        return False
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _of_ms(milliseconds: int) -> str | None:
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415

    try:
        return stamp(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds))
    except OverflowError:
        return None


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Make objects of dotted names; what is not known is left out."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        if value is None:
            continue
        rooms, last = _rooms(name)
        place = found
        for room in rooms:
            inner = place.get(room)
            if inner is None:
                inner = place[room] = {}
            place = inner
        place[last] = value
    return found


@lru_cache(1 << 10)
def _rooms(name: str) -> tuple[tuple[str, ...], str]:
    *rooms, last = name.split(".")
    return tuple(rooms), last
