"""What the logs in W3C's extended format share: directives, columns, and rows that lack their header.

W3C's working draft names the directives and the columns; IIS and HTTP.sys write one blank between the columns, ``-``
for an empty one, ``+`` for a blank in one, and stamps in UTC (Microsoft IIS W3C reference).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from capflog.events import VALUES, Event
from capflog.parsing import Idle, Line
from capflog.stamps import StampLayout

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

Values = dict[str, str | int]

#: How a row begins whose first columns are date and time.
LAYOUT = StampLayout("YYYY-MM-DD hh:mm:ss ")

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
#: Rows come in order of time; one this much earlier than the row before it belongs to the next day.
_MIDNIGHT_MS = 3_600_000

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)", re.ASCII)
_DIRECTIVE = re.compile(r"#([A-Za-z-]+):[ \t]*(.*)", re.DOTALL)
#: An IPv4 or IPv6 address, the latter with its zone; a time of day is none.
ADDRESS = (
    r"(?:\d{1,3}(?:\.\d{1,3}){3}|(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}"
    r"|[0-9A-Fa-f:]{0,40}::[0-9A-Fa-f:.]{0,40})(?:%\w{1,40})?)"
)

#: What a column holds where it is not empty, as far as it tells the column; any other may hold anything.
_COLUMNS: dict[str, re.Pattern[str]] = {
    "date": _DATE,
    "time": _CLOCK,
    "s-ip": re.compile(ADDRESS, re.ASCII),
    "c-ip": re.compile(ADDRESS, re.ASCII),
    "s-port": re.compile(r"\d{1,5}", re.ASCII),
    "c-port": re.compile(r"\d{1,5}", re.ASCII),
    "cs-method": re.compile(r"[A-Z][A-Z_-]*"),
    "cs-uri-stem": re.compile(r"/.*|\*", re.DOTALL),
    "cs-uri": re.compile(r".+", re.DOTALL),
    "cs-version": re.compile(r"HTTP/[\d?]\.[\d?]", re.ASCII),
    "sc-status": re.compile(r"\d{3}", re.ASCII),
    "sc-substatus": re.compile(r"\d{1,5}", re.ASCII),
    "sc-win32-status": re.compile(r"\d{1,10}", re.ASCII),
    "sc-bytes": re.compile(r"\d+", re.ASCII),
    "cs-bytes": re.compile(r"\d+", re.ASCII),
    "time-taken": re.compile(r"\d{1,18}", re.ASCII),
    "s-siteid": re.compile(r"\d+", re.ASCII),
    "s-reason": re.compile(r"[A-Za-z][\w/]*", re.ASCII),
}


@lru_cache(maxsize=64)
def _columns(names: str, words: tuple[tuple[str, str], ...]) -> Columns:
    """Make the columns of a ``#Fields``; those that are alike are the same object."""
    return Columns(names.split(), dict(words))


@lru_cache(maxsize=64)
def _day(text: str) -> int | None:
    """Make ms since 1970-01-01 of ``YYYY-MM-DD``."""
    if _DATE.fullmatch(text) is None:
        return None
    try:
        return (date.fromisoformat(text).toordinal() - _EPOCH) * _DAY_MS
    except ValueError:
        return None


@lru_cache(maxsize=64)
def _clock(text: str) -> int | None:
    """Make ms since midnight of ``HH:MM:SS``."""
    if (match := _CLOCK.fullmatch(text)) is None:
        return None
    return (int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])) * 1000


def under_certsrv(url: str) -> bool:
    """Tell whether a path is the CA's web enrollment, or below it."""
    return url[:8].lower() == "/certsrv" and url[8:9] in {"", "/"}


class Columns:
    """The columns of a row, and which of them are values of an event.

    ``words`` says which: W3C's name in small letters -> a name of :data:`capflog.events.VALUES`. ``empty`` names the
    columns that may be empty in a row without a header, of those whose content tells them.
    """

    __slots__ = ("clock", "day", "empty", "names", "plan", "width")

    def __init__(self, names: Sequence[str], words: Mapping[str, str], empty: frozenset[str] = frozenset()) -> None:
        """Take the names as ``#Fields`` has them; of two columns for one value the first counts."""
        self.names = tuple(name.lower() for name in names)
        self.width = len(self.names)
        self.empty = empty
        self.day = self.names.index("date") if "date" in self.names else None
        self.clock = self.names.index("time") if "time" in self.names else None
        plan: dict[str, tuple[int, str, bool]] = {}
        for index, name in enumerate(self.names):
            if (word := words.get(name)) is not None:
                plan.setdefault(word, (index, word, VALUES[word][0] == "Int64"))
        self.plan = tuple(plan.values())

    def fit(self, cells: Sequence[str]) -> bool:
        """Tell whether each cell is what its column holds."""
        return len(cells) == self.width and all(
            (pattern := _COLUMNS.get(name)) is None
            or pattern.fullmatch(cell) is not None
            or (cell == "-" and name in self.empty)
            for name, cell in zip(self.names, cells, strict=True)
        )

    def values(self, cells: Sequence[str]) -> Values | None:
        """Read a row of this width; None: it has not these columns."""
        values: Values = {}
        for index, name, number in self.plan:
            cell = cells[index]
            if cell == "-":
                continue
            if not number:
                values[name] = cell
            elif cell.isdecimal() and cell.isascii() and len(cell) <= 18:
                values[name] = int(cell)
            else:
                return None
        status = values.get("status", 200)
        return values if isinstance(status, int) and 100 <= status <= 999 else None


class W3cReader(ABC):
    """Reads one member in W3C's extended format.

    ``layouts`` are the columns that rows without a header may have, ``literal`` is the word that each row of interest
    holds (small letters): of the others only the number of columns is looked at.
    """

    def __init__(self, words: Mapping[str, str], layouts: Sequence[Columns], literal: str = "") -> None:
        """Start at the first line."""
        self._words = words
        self._layouts = layouts
        self._literal = literal
        self._columns: Columns | None = None
        self._today: int | None = None
        self._before: int | None = None
        self._set_idle(frozenset(layout.width - 1 for layout in layouts))

    def _set_idle(self, blanks: frozenset[int]) -> None:
        self.idle = Idle(self._literal.encode("ascii"), blanks) if self._literal and blanks else None

    parts = False

    def carry(self) -> Hashable:
        """Give what the reading of later rows depends on."""
        return self._columns, self._today, self._before, self.idle

    def resume(self, carry: Hashable) -> None:
        """Go on where such rows were left behind."""
        self._columns, self._today, self._before, self.idle = carry  # type: ignore[misc]

    def read(self, text: str) -> Event | Line:
        """Say what the next line is."""
        if self.idle is not None and self.idle.line(text):
            return Line.QUIET
        # After a crash Windows leaves zero bytes where it had not yet written.
        text = text.strip("\0 \t\r")
        if not text:
            return Line.QUIET
        if text[0] == "#":
            return self._directive(text)
        cells = text.split(" ")
        columns = self._columns
        if columns is not None and columns.width == len(cells) and (said := self._row(columns, cells)) is not None:
            return said
        for layout in self._layouts:
            if columns is not None and layout.names == columns.names[: layout.width]:
                # A row that would end there is the file's own, cut.
                continue
            if layout.fit(cells) and (said := self._row(layout, cells)) is not None:
                if columns is None:
                    self._columns = layout
                return said
        return Line.UNKNOWN

    def _directive(self, text: str) -> Line:
        if (match := _DIRECTIVE.match(text)) is None:
            return Line.UNKNOWN
        name = match[1].lower()
        if name == "fields":
            columns = self._columns = _columns(match[2], tuple(self._words.items()))
            # Rows that bear no date are all read: only their order tells midnight.
            self._set_idle(frozenset() if columns.day != 0 else frozenset({columns.width - 1}))
        elif name == "date":
            self._today, self._before = _day(match[2][:10]), None
        return Line.QUIET

    def _row(self, columns: Columns, cells: Sequence[str]) -> Event | Line | None:
        values = columns.values(cells)
        if values is None:
            return None
        stamp: int | None = None
        if columns.clock is not None:
            stamp = _clock(cells[columns.clock])
            if stamp is None:
                return None
        if columns.day is not None:
            day = _day(cells[columns.day])
            if day is None:
                return None
            stamp = None if stamp is None else day + stamp
        elif stamp is not None:
            stamp = self._dated(stamp)
        said = self._make(values)
        if isinstance(said, Event):
            said.stamp = stamp
        return said

    def _dated(self, clock: int) -> int | None:
        """Put a time of day on the day that ``#Date`` names, or a later one; None: no day is known."""
        if self._today is None:
            return None
        if self._before is not None and clock < self._before - _MIDNIGHT_MS:
            self._today += _DAY_MS
        self._before = clock
        return self._today + clock

    @abstractmethod
    def _make(self, values: Values) -> Event | Line | None:
        """Make an event of a row's values; QUIET: of no interest; None: the row has not these columns after all."""
        raise NotImplementedError
