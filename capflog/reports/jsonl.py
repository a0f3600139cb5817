"""The events as lines of JSON (``event.schema.json``): one object for each event, in the order of time.

A record of an enrollment has here what the report has of it, and beside it what no report shows: the events that are
nobody's, and the named values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capflog.eventlines import event_lines
from capflog.exports.common import json_line, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.eventlines import EventLine
    from capflog.outputs import Look
    from capflog.results import Result


def results(results: Sequence[Result], _look: Look) -> Iterator[str]:
    """Write the events of results, one bundle after the other; of no event there is no line at all."""
    for result in results:
        if result.analysis is not None:
            for line in event_lines(result.analysis, result.enrollments):
                yield json_line(event(result.report.bundle, line))


def event(bundle: str, line: EventLine) -> dict[str, Any]:
    """Make the object of one event."""
    time = stamp(line.time)
    return {
        "bundle": bundle,
        "time": time,
        "earliest": time if line.earliest is line.time else stamp(line.earliest),
        "latest": time if line.latest is line.time else stamp(line.latest),
        "source": line.source,
        "event": line.event,
        "level": line.level,
        "device": line.device,
        "session": line.session,
        "enrollment": line.enrollment,
        "confidence": line.confidence,
        "step": line.step,
        "fault": line.fault,
        "member": line.member,
        "line": line.line,
        "text": line.text,
        "values": line.values,
    }
