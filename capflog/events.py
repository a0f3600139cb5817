"""The event table: what one line of any of the logs says, in the words and units that all of them share.

A parser makes an :class:`Event` of each record that bears a fact. The table of all of them is one pandas frame
(:func:`frame`), a row for each event, with the columns of :data:`COLUMNS`. The kinds of events are the parsers' own:
each says in its ``kinds`` what it makes, and :func:`capflog.rulebook.known_kinds` lists them all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

Value = str | int

#: The sources that a report can name, in the order in which an enrollment meets them.
SOURCES = ("capf", "ciscora", "nginx", "iis", "httperr")


class StampForm(Enum):
    """What a log's own stamp is, in milliseconds."""

    TIME_OF_DAY = "time of day"
    """Since midnight of a day that the line does not name, node's local time (CAPF)."""
    LOCAL = "local"
    """Since 1970-01-01 of a clock without a zone, node's local time (NGINX)."""
    UTC = "utc"
    """Since 1970-01-01 UTC (IIS)."""
    NONE = "none"
    """The log bears no time (CiscoRA)."""


@dataclass(slots=True)
class Event:
    """One record of a log, as its parser understood it.

    ``line`` is the 1-based physical line in its member, ``span`` how many physical lines the record takes (the engine
    sets both); ``stamp`` is the time as logged, in the unit of its source's :class:`StampForm`; ``level`` is the level
    as logged, in small letters; ``values`` are the named values of the event's kind, by the names in :data:`VALUES`.
    """

    kind: str
    stamp: int | None = None
    device: str | None = None
    session: str | None = None
    level: str | None = None
    values: dict[str, Value] = field(default_factory=dict)
    line: int = 0
    span: int = 1
    text: str = ""


#: The named values that events may carry: name -> (pandas dtype, what it is, unit).
VALUES: dict[str, tuple[str, str]] = {
    "function": ("category", "the program's function that logged the record"),
    "pid": ("Int64", "process that logged it (NGINX: the worker; EnrollmentService.sh: the NGINX master)"),
    "connection": ("Int64", "NGINX's number of the connection, counted from 1 after each start"),
    "client": ("category", "address of the client, as logged"),
    "server": ("category", "address or name of the server, as logged"),
    "port": ("Int64", "TCP port of the server"),
    "code": ("Int64", "number of the error: CURLcode, EST_ERROR value, CAPF_OP code, errno; the kind says which"),
    "error": ("category", "name of the error: EST_ERR_..., CAPF_OP_..., an HTTP.sys reason"),
    "detail": ("category", "the program's own words about it (libcurl's text, OpenSSL's, a message)"),
    "url": ("category", "URL or path as logged, without the query"),
    "query": ("category", "query string as logged; ASP errors are cut off it"),
    "method": ("category", "HTTP method"),
    "status": ("Int64", "HTTP status"),
    "substatus": ("Int64", "IIS substatus"),
    "win32": ("Int64", "IIS sc-win32-status"),
    "taken": ("Int64", "IIS time-taken, in ms"),
    "bytes": ("Int64", "length that the record names, in bytes"),
    "user": ("category", "user name as logged"),
    "agent": ("category", "User-Agent, blanks restored"),
    "referer": ("category", "Referer as logged"),
    "host": ("category", "host name that the record names"),
    "site": ("category", "IIS site"),
    "computer": ("category", "name of the server that logged it, as logged"),
    "reqid": ("Int64", "request id that the CA gave"),
    "subject": ("category", "certificate subject"),
    "parameter": ("category", "name of a service parameter or of a device's setting"),
    "value": ("category", "its value"),
    "message": ("category", "name of a CAPF protocol message, event or state"),
    "action": ("category", "what NGINX was doing (`while ...`)"),
    "utc": ("Int64", "a time with its zone inside the record, in ms since 1970-01-01 UTC"),
    "zone": ("Int64", "that zone: local minus UTC, in seconds"),
    "asp_line": ("Int64", "line of the ASP page that failed"),
    "version": ("category", "version of a program or library"),
}

#: The table's own columns: name -> what it is. The values of :data:`VALUES` follow them.
COLUMNS: dict[str, str] = {
    "kind": "what happened, a dotted name",
    "source": "which of the logs: capf, ciscora, nginx, iis, httperr",
    "member": "the member that holds the record",
    "line": "its first physical line there, 1-based",
    "span": "how many physical lines it takes",
    "stamp": "the time as logged, in ms; StampForm of its source says since when",
    "device": "device name where the line bears one",
    "session": "CAPF's session number where the line bears one",
    "level": "the level as logged",
    "time": "on the one clock, UTC; missing where nothing tells it",
    "earliest": "the earliest time that it can have happened, UTC",
    "latest": "the latest time that it can have happened, UTC",
    "text": "the record's first line, as logged",
}


def frame(rows: Iterable[tuple[str, str, Event]]) -> pd.DataFrame:
    """Make the event table of ``(source, member, event)`` rows as a pandas frame."""
    from capflog.table import TableBuilder  # noqa: PLC0415  (it is made of the words of this module)

    builder = TableBuilder()
    for source, member, event in rows:
        builder.add(source, member, (event,))
    return builder.table().frame()
