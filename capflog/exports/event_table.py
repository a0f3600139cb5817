"""The table of events as a database takes it, and what a table is.

Text stands as it was logged, but for a lone surrogate (a byte of a file's name that is no UTF-8), which no database
takes: it is written as the six characters ``\\udce9``, as in the report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

from capflog.events import VALUES
from capflog.exports.common import stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from capflog.eventlines import EventLine

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
#: The named values of its kind.
NAMED = tuple(Column(name, "integer" if dtype == "Int64" else "text", what) for name, (dtype, what) in VALUES.items())


def event_rows(lines: Iterable[EventLine], names: Sequence[str]) -> Iterator[Row]:
    """Give the rows of ``events`` with the columns of these names, in the order of :data:`EVENTS`; times as text.

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
    for line in lines:
        row = [*read(line)[:-2], *nothing]
        for place in times:
            # The three times of an event, and those of its neighbours, are mostly the same.
            if row[place] is not told[0]:
                told = row[place], stamp(row[place])
            row[place] = told[1]
        for place in words:
            word = row[place]
            if word is not None and not word.isascii():
                row[place] = plain(word)
        if values:
            for name, value in line.values.items():
                if name in place_of:
                    row[place_of[name]] = plain(value)
        yield tuple(row)


EVENTS = Table("events", "every event of the logs, in the order of time", (*OWN, *NAMED), lambda _: ())
