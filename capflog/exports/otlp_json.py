"""OpenTelemetry logs: lines of OTLP/JSON as the collector's file receiver reads them, some hundred events in each.

A line is a ``LogsData`` (OpenTelemetry's specification, "OTLP File Exporter"): numbers of 64 bits are decimal strings,
``traceId`` is hex in small letters (OTLP specification, "JSON Protobuf Encoding"). Names of attributes are those of the
semantic conventions 1.44.0; what these do not name stands below ``capflog.``. The events of an enrollment share a trace
id, so that a backend shows them together; there are no spans. An event whose line bears no time is dated by its bounds,
and ``capflog.time`` says so; one that nothing dates has the time at which it was exported alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from capflog import __version__
from capflog.exports.common import PROGRAMS, Enrollments, json_line, moment, stamp
from capflog.exports.said import said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capflog.eventlines import EventLine

SCHEMA = "https://opentelemetry.io/schemas/1.44.0"

#: How many events a line holds, and how many characters at most (but one event): the collector's file receiver cuts
#: lines at a MiB (its ``max_log_size``), and a line that is cut is lost.
EVENTS, CHARACTERS = 256, 768 * 1024

#: NGINX's levels, which are syslog's, by the numbers that the data model of logs gives those ("Appendix B").
_SEVERITIES = {
    "emerg": 21,
    "alert": 19,
    "crit": 18,
    "error": 17,
    "warn": 13,
    "notice": 10,
    "info": 9,
    "debug": 5,
}

#: Methods that are written as they are; any other is ``_OTHER`` (semantic conventions, HTTP).
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def pieces(document: dict[str, Any], lines: Iterable[EventLine], now: datetime | None = None) -> Iterator[str]:
    """Write the events; ``now``: when they were exported."""
    observed = _nanoseconds(now or datetime.now(UTC))
    enrollments, bundle = Enrollments(document), document["bundle"]["name"]
    batch: dict[str, list[str]] = {}
    count = size = 0
    written = False
    for line in lines:
        # Each record is written once, and put into its batch as text.
        record = json_line(_record(line, enrollments, observed))[:-1]
        if count and (count >= EVENTS or size + len(record) > CHARACTERS):
            yield _logs(bundle, batch)
            batch, count, size, written = {}, 0, 0, True
        batch.setdefault(line.source, []).append(record)
        count += 1
        size += len(record) + 1
    if count or not written:
        yield _logs(bundle, batch)


def _logs(bundle: str, batch: dict[str, list[str]]) -> str:
    """Write a line: the records of each log below the program that wrote it."""
    scope = json_line({"name": "capflog", "version": __version__})[:-1]
    parts = []
    for source, records in batch.items():
        resource = {"service.name": PROGRAMS[source], "capflog.source": source, "capflog.bundle": bundle}
        head = json_line({"attributes": _attributes(resource)})[:-1]
        parts.append(
            f'{{"resource":{head},"scopeLogs":[{{"scope":{scope},"logRecords":[{",".join(records)}],'
            f'"schemaUrl":"{SCHEMA}"}}],"schemaUrl":"{SCHEMA}"}}'
        )
    return f'{{"resourceLogs":[{",".join(parts)}]}}\n'


def _record(line: EventLine, enrollments: Enrollments, observed: str) -> dict[str, Any]:
    at, whose = moment(line), enrollments.of(line)
    level = (line.level or "").lower()
    found: dict[str, Any] = {} if at is None else {"timeUnixNano": _nanoseconds(at[0])}
    found["observedTimeUnixNano"] = observed
    if level in _SEVERITIES:
        found["severityNumber"] = _SEVERITIES[level]
    if line.level:
        found["severityText"] = line.level
    found["body"] = {"stringValue": line.text}
    found["attributes"] = _attributes(_names(line, None if at is None else at[1], enrollments))
    if whose is not None:
        found["traceId"] = whose.trace
    found["eventName"] = line.event
    return found


def _names(line: EventLine, told: str | None, enrollments: Enrollments) -> dict[str, Any]:
    what, whose = said(line), enrollments.of(line)
    shared: dict[str, Any] = dict(what.shared)
    method = shared.get("http.request.method")
    if method is not None and method not in _METHODS:
        shared |= {"http.request.method": "_OTHER", "http.request.method_original": method}
    return {
        "log.file.path": line.member,
        "log.file.name": line.member.rpartition("/")[2],
        "code.function.name": what.own.pop("function", None),
        "http.request.header.referer": _several(what.own.pop("referer", None)),
        **shared,
        "capflog.line": line.line,
        "capflog.time": told,
        "capflog.earliest": stamp(line.earliest),
        "capflog.latest": stamp(line.latest),
        "capflog.device": line.device,
        "capflog.session": line.session,
        "capflog.enrollment.id": line.enrollment,
        "capflog.enrollment.outcome": None if whose is None else whose.outcome,
        "capflog.enrollment.causes": None if whose is None else whose.causes or None,
        "capflog.confidence": line.confidence,
        "capflog.step": line.step,
        "capflog.fault": line.fault,
        "capflog.outcome": what.outcome,
        "capflog.detail": what.error or None,
        **{f"capflog.{name}": value for name, value in what.own.items()},
    }


def _several(value: Any) -> list[Any] | None:
    # A header's value is a list: it may come several times.
    return None if value is None else [value]


def _attributes(names: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in names.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        # What does not fit into 64 bits is no number there.
        return {"intValue": str(value)} if -(1 << 63) <= value < 1 << 63 else {"stringValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(part) for part in value]}}
    return {"stringValue": str(value)}


def _nanoseconds(time: datetime) -> str:
    """Give nanoseconds since 1970 as the decimal string that JSON has for a number of 64 bits without a sign."""
    return str(max((time - _EPOCH) // _MICROSECOND, 0) * 1000)
