"""The table of events as a database takes it, and what a table is.

Text stands as it was logged, but for a lone surrogate (a byte of a file's name that is no UTF-8), which no database
takes: it is written as the six characters ``\\udce9``, as in the report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from capflog.events import VALUES
from capflog.exports.common import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from capflog.eventlines import EventLine
    from capflog.zones import Zone

#: A time is text in SQLite, RFC 3339 in UTC with milliseconds, and a timestamp in Parquet; a flag is 0 or 1 there.
Kind = Literal["text", "integer", "real", "flag", "time"]

Row = tuple[Any, ...]

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, what kind of values it has (each may be missing), what it says."""

    name: str
    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what a row of it is, its columns, and how its rows are made of a document (``events``: of lines)."""

    name: str
    what: str
    columns: tuple[Column, ...]
    rows: Callable[[dict[str, Any]], Iterable[Row]]


def plain(value: Any) -> Any:
    """Give a value as a database takes it."""
    if not isinstance(value, str) or value.isascii():
        return value
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


def columns(*said: tuple[str, Kind, str]) -> tuple[Column, ...]:
    return tuple(Column(*one) for one in said)


#: What :class:`capflog.eventlines.EventLine` has of an event, by its names.
OWN = columns(
    ("time", "time", "when, on the reference clock, which is the CUCM node's"),
    ("earliest", "time", "the earliest time that it can have happened"),
    ("latest", "time", "the latest time that it can have happened"),
    ("source", "text", "which log: capf, ciscora, nginx, iis, httperr"),
    ("event", "text", "what happened, a dotted name"),
    ("level", "text", "the level as logged"),
    ("device", "text", "the device that the line names, else that of its enrollment"),
    ("session", "text", "CAPF's session number"),
    ("enrollment", "text", "the enrollment that it was put to: enrollments.id"),
    ("confidence", "text", "how sure that is: certain, likely"),
    ("step", "text", "the enrollment's step that it shows"),
    ("fault", "flag", "it tells of a failure"),
    ("member", "text", "the file in the bundle"),
    ("line", "integer", "its line there, counted from 1"),
    ("text", "text", "the line as logged"),
)
#: What follows of an event's time where the node's zone is known.
LOCAL = Column("local", "text", "the time in the node's zone, 2019-01-16 14:05:04.628; missing where that is not known")
#: The named values of its kind.
NAMED = tuple(Column(name, "integer" if dtype == "Int64" else "text", what) for name, (dtype, what) in VALUES.items())


def zone_of(document: Mapping[str, Any]) -> Zone | None:
    """Give the CUCM node's zone as a document tells it; None: it does not, or tells of nodes in different ones."""
    from capflog.zones import Zone, read_zone  # noqa: PLC0415

    told = {
        (clock.get("zone"), clock.get("utc_offset_seconds"))
        for clock in document["clocks"]
        if clock.get("quality") == "reference"
    }
    if len(told) != 1:
        return None
    ((name, offset),) = told
    if name:
        try:
            return read_zone(name)
        except ValueError:  # two names of one zone, or one that this version does not know
            pass
    return None if offset is None else Zone.fixed(offset)


def locals_of(zone: Zone | None) -> Callable[[datetime | None], str | None]:
    """Make what writes a time as the clocks of a zone show it, with milliseconds."""
    own = None if zone is None else zone.tzinfo()

    @lru_cache(1 << 10)
    def ahead(minute: datetime) -> timedelta:
        found = minute.astimezone(own).utcoffset()
        assert found is not None  # a zone tells it of any time
        return found

    @lru_cache(1 << 10)
    def local(time: datetime | None) -> str | None:
        if time is None or own is None:
            return None
        # (No zone has changed within a minute since there have been such logs.)
        shown = time.astimezone(UTC).replace(tzinfo=None) + ahead(time.replace(second=0, microsecond=0))
        return shown.isoformat(" ", timespec="milliseconds")

    return local


def event_rows(lines: Iterable[EventLine], names: Sequence[str], zone: Zone | None = None) -> Iterator[Row]:
    """Give the rows of ``events`` with the columns of these names, in the order of :data:`EVENTS`; times as text.

    ``zone``: the node's, for the column ``local``.

    Millions of lines pass here, and of the named values each bears a few.
    """
    own = [column for column in OWN if column.name in names]
    times = [place for place, column in enumerate(own) if column.kind == "time"]
    words = [place for place, column in enumerate(own) if column.kind == "text"]
    place_of = {name: place for place, name in enumerate(names)}
    nothing = [None] * (len(names) - len(own))
    # One name alone would give no tuple.
    read = attrgetter(*(column.name for column in own), "line", "line")
    values = any(name in VALUES for name in names)
    told: tuple[datetime | None, str | None] = (None, None)
    local, here = locals_of(zone), place_of.get(LOCAL.name) if zone is not None else None
    shown: tuple[datetime | None, str | None] = (None, None)
    for line in lines:
        row = [*read(line)[:-2], *nothing]
        for place in times:
            # The three times of an event, and those of its neighbours, are mostly the same.
            if row[place] is not told[0]:
                told = row[place], stamp(row[place])
            row[place] = told[1]
        if here is not None:
            if line.time is not shown[0]:
                shown = line.time, local(line.time)
            row[here] = shown[1]
        for place in words:
            word = row[place]
            if word is not None and not word.isascii():
                row[place] = plain(word)
        if values:
            for name, value in line.values.items():
                if name in place_of:
                    row[place_of[name]] = plain(value)
        yield tuple(row)


EVENTS = Table("events", "every event of the logs, in the order of time", (*OWN, LOCAL, *NAMED), lambda _: ())
