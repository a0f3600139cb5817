"""The event table: what one line of any of the logs says, in the words and units that all of them share.

A parser makes an :class:`Event` of each record that bears a fact. The table of all of them is one pandas frame
(:func:`frame`), a row for each event, with the columns of :data:`COLUMNS`. The kinds of events are the parsers' own:
each says in its ``kinds`` what it makes, and :func:`capflog.rulebook.known_kinds` lists them all.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
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


class _Words:
    """A column of words: a number for each row that has one, and the words by their numbers."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self.codes = array("i")

    def add(self, word: str | None) -> None:
        self.codes.append(-1 if word is None else self.known.setdefault(word, len(self.known)))


class TableBuilder:
    """Gathers events into columns as they come, so that an event's object need not live until all are there."""

    def __init__(self) -> None:
        self._sources: list[str] = []
        self._words = {name: _Words() for name in ("kind", "member", "device", "session", "level")}
        self._line, self._span, self._stamp = array("q"), array("q"), array("q")
        self._stamped = bytearray()
        self._texts: list[str] = []
        # Most events bear few of the values: each is gathered with the rows that bear it.
        self._places = {name: array("q") for name in VALUES}
        self._borne: dict[str, _Words | array[int]] = {
            name: _Words() if dtype == "category" else array("q") for name, (dtype, _) in VALUES.items()
        }

    def add(self, source: str, member: str, events: Iterable[Event]) -> None:
        """Take the events of one member."""
        kinds, members, devices, sessions, levels = self._words.values()
        for event in events:
            row = len(self._texts)
            self._sources.append(source)
            kinds.add(event.kind)
            members.add(member)
            devices.add(event.device)
            sessions.add(event.session)
            levels.add(event.level)
            self._line.append(event.line)
            self._span.append(event.span)
            self._stamp.append(0 if event.stamp is None else event.stamp)
            self._stamped.append(event.stamp is not None)
            self._texts.append(event.text)
            for name, value in event.values.items():
                column = self._borne.get(name)
                if column is None or value is None:
                    continue
                self._places[name].append(row)
                if isinstance(column, _Words):
                    column.add(str(value))
                else:
                    column.append(int(value))

    def frame(self) -> pd.DataFrame:
        """Make the event table of what was taken; the columns of the one clock are still empty."""
        import numpy as np  # noqa: PLC0415
        import pandas as pd  # noqa: PLC0415  (460 ms: only where it is needed)

        count = len(self._texts)

        def words(column: _Words, places: array[int] | None = None) -> pd.Categorical:
            codes = np.full(count, -1, dtype=np.int32)
            codes[slice(None) if places is None else np.asarray(places)] = np.asarray(column.codes)
            return pd.Categorical.from_codes(codes, categories=pd.Index(list(column.known), dtype=object))

        def numbers(column: array[int], places: array[int]) -> pd.arrays.IntegerArray:
            data, mask = np.zeros(count, dtype=np.int64), np.ones(count, dtype=bool)
            data[np.asarray(places)], mask[np.asarray(places)] = np.asarray(column), False
            return pd.arrays.IntegerArray(data, mask)

        stamped = np.frombuffer(bytes(self._stamped), dtype=bool)
        data: dict[str, object] = {
            "kind": words(self._words["kind"]),
            "source": pd.Categorical(self._sources, categories=list(SOURCES)),
            "member": words(self._words["member"]).reorder_categories(sorted(self._words["member"].known)),
            "line": np.array(self._line),
            "span": np.array(self._span),
            "stamp": pd.arrays.IntegerArray(np.array(self._stamp), ~stamped),
            "device": words(self._words["device"]),
            "session": words(self._words["session"]),
            "level": words(self._words["level"]),
        }
        for name in ("time", "earliest", "latest"):
            data[name] = pd.Series(np.full(count, "NaT", dtype="datetime64[ms]")).dt.tz_localize("UTC")
        data["text"] = np.array(self._texts, dtype=object)
        for name, column in self._borne.items():
            places = self._places[name]
            data[name] = words(column, places) if isinstance(column, _Words) else numbers(column, places)
        return pd.DataFrame(data)


def set_times(table: pd.DataFrame, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray) -> None:
    """Fill the columns of the one clock: ms since 1970 UTC, numpy's NaT (the least int64) where nothing is known."""
    import pandas as pd  # noqa: PLC0415

    for name, values in (("time", time), ("earliest", earliest), ("latest", latest)):
        table[name] = pd.Series(values.view("datetime64[ms]")).dt.tz_localize("UTC")


def frame(rows: Iterable[tuple[str, str, Event]]) -> pd.DataFrame:
    """Make the event table of ``(source, member, event)`` rows; the columns of the one clock are still empty."""
    builder = TableBuilder()
    for source, member, event in rows:
        builder.add(source, member, (event,))
    return builder.frame()
