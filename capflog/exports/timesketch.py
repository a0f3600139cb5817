"""Timesketch: a line of JSON for each event, with the fields that its importer demands.

``message``, ``datetime`` and ``timestamp_desc`` must be there (Timesketch's guide "Create timeline from JSONL or CSV
file"), the file's name must end with ``.jsonl``. ``timestamp`` is the same moment in microseconds since 1970, ``tag``
what Timesketch shows as tags. An event that nothing dates is left out: the importer would put it into 1970.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from capflog.events import VALUES
from capflog.exports.common import Enrollments, json_line, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capflog.eventlines import EventLine

#: What the moment of an event is.
_DESCRIPTIONS = {"logged": "Event Logged", "earliest": "Earliest Possible Time", "latest": "Latest Possible Time"}

#: The tag of an event that tells of a failure.
FAULT = "capflog_fault"

#: Values whose names Timesketch gives a meaning of its own.
_NAMES = {name: "capf_message" if name == "message" else name for name in VALUES}

#: The fields in the order of a table's columns: those that Timesketch wants come first.
FIELDS = (
    "message",
    "datetime",
    "timestamp_desc",
    "timestamp",
    "data_type",
    "tag",
    "source",
    "event",
    "level",
    "device",
    "session",
    "enrollment",
    "outcome",
    "causes",
    "confidence",
    "step",
    "fault",
    "member",
    "line",
    "earliest",
    "latest",
    *_NAMES.values(),
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def pieces(document: dict[str, Any], lines: Iterable[EventLine]) -> Iterator[str]:
    """Write an object for each event that has a moment; what is not known has no field."""
    for fields in rows(document, lines):
        yield json_line({name: value for name, value in fields.items() if value is not None and value != []})


def rows(document: dict[str, Any], lines: Iterable[EventLine]) -> Iterator[dict[str, Any]]:
    """Give the fields of each event that has a moment, by the names in :data:`FIELDS`."""
    enrollments = Enrollments(document)
    for line in lines:
        at = moment(line)
        if at is None:
            continue
        whose = enrollments.of(line)
        yield {
            "message": line.text,
            "datetime": _iso(at[0]),
            "timestamp_desc": _DESCRIPTIONS[at[1]],
            "timestamp": (at[0] - _EPOCH) // _MICROSECOND,
            "data_type": f"capflog:{line.source}:{line.event}",
            "tag": [FAULT] if line.fault else [],
            "source": line.source,
            "event": line.event,
            "level": line.level,
            "device": line.device,
            "session": line.session,
            "enrollment": line.enrollment,
            "outcome": None if whose is None else whose.outcome,
            "causes": [] if whose is None else whose.causes,
            "confidence": line.confidence,
            "step": line.step,
            "fault": line.fault,
            "member": line.member,
            "line": line.line,
            "earliest": None if line.earliest is None else _iso(line.earliest),
            "latest": None if line.latest is None else _iso(line.latest),
            **{_NAMES.get(name, name): value for name, value in line.values.items()},
        }


@lru_cache(1 << 10)
def _iso(time: datetime) -> str:
    """ISO 8601 with microseconds and the offset."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
