"""What rules are asked about: the facts of the table's rows, one at a time or a whole column of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.events import SOURCES, VALUES
from capflog.rows import NONE, NUMBERS
from capflog.steps import in_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from capflog.lexicon import Lexicon
    from capflog.steps import Columns
    from capflog.table import Table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

#: Rows from which on numpy sorts faster than Python.
_MANY = 40

#: So many different numbers are looked for one by one.
_FEW = 24


def when(ms: int | None) -> datetime | None:
    """Make an aware datetime of ms since 1970 UTC; None of None."""
    return None if ms is None or ms == NONE else _EPOCH + ms * _MILLISECOND


def moments(table: Table, rows: np.ndarray) -> np.ndarray:
    """Give for each row its time, else the bound that it has, in ms; NONE where nothing dates it."""
    at: np.ndarray = table.time[rows]
    for other in (table.earliest, table.latest):
        open_ = np.flatnonzero(at == NONE)
        if not len(open_):
            break
        at[open_] = other[rows[open_]]
    return at


def by_moment(table: Table, rows: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Give the order in which each owner's rows (the owners rise) are sorted as :func:`ordered` does."""
    found: np.ndarray = np.lexsort(
        (table.line[rows], table.member[rows], table.source[rows], moments(table, rows), owner)
    )
    return found


def ordered(columns: Columns, table: Table, rows: Collection[int]) -> list[int]:
    """Sort rows as :func:`capflog.steps.in_order` does, however many they are."""
    if len(rows) < _MANY:
        return in_order(columns, rows)
    given = np.fromiter(rows, dtype=np.int64, count=len(rows))
    keys = (table.line[given], table.member[given], table.source[given], moments(table, given))
    found: list[int] = given[np.lexsort(keys)].tolist()
    return found


def distinct(codes: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the codes that there are, of -1 to ``count`` - 1, and for each item the place of its code among them."""
    if len(codes) < count:
        return np.unique(codes, return_inverse=True)
    there = np.zeros(count + 1, dtype=bool)
    there[codes + 1] = True
    used = np.flatnonzero(there)
    place = np.zeros(count + 1, dtype=np.int32)
    place[used] = np.arange(len(used))
    return used - 1, place[codes + 1]


def distinct_numbers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the numbers that there are, each once, and for each item the place of its number among them."""
    if len(values) < _MANY:
        return np.unique(values, return_inverse=True)
    known = values[values != NONE]
    least = int(known.min(initial=0))
    span = int(known.max(initial=0)) - least + 1
    if span <= 2 * len(values):
        used, places = distinct(np.where(values == NONE, -1, values - least), span)
        return np.where(used < 0, NONE, used + least), places
    # Nearly always few differ: each of them is looked for by itself, which is faster than to sort them all.
    places = np.zeros(len(values), dtype=np.int32)
    open_ = np.ones(len(values), dtype=bool)
    found: list[int] = []
    for place in range(_FEW):
        at = int(open_.argmax())
        if not open_[at]:
            return np.array(found, dtype=values.dtype), places
        same = values == values[at]
        places[same] = place
        open_ &= ~same
        found.append(values[at])
    return np.unique(values, return_inverse=True)


class Facts:
    """Makes the facts that conditions ask about out of the table's rows, each once."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self.table = table
        self._columns = columns
        self._kept: dict[int, dict[str, Any]] = {}

    def of(self, row: int, *, raw: bool = False) -> dict[str, Any]:
        """Give the fact of a row; values that it does not bear are absent. ``raw``: with the line as logged."""
        fact = self._kept.get(row)
        if fact is None:
            table = self.table
            at = int(table.time[row])
            kind = table.kind_of(row)
            fact = {"kind": kind, "at": None if at == NONE else at, "row": row, "source": table.source_of(row)}
            for name, value in table.values(row).items():
                # An empty error buffer of libcurl's is no text: "return code 60 ()".
                if value != "":
                    fact[name] = value
            for name in ("device", "session", "level"):
                if text := table.word(name, row):
                    fact[name] = text
            if kind.startswith("est."):
                error, _ = self._columns.est_error(row)
                if error is not None:
                    fact["error"] = error
            self._kept[row] = fact
        if raw and "raw" not in fact:
            fact["raw"] = self.table.text(row)
        return fact

    def column(self, field: str, kind: str, rows: np.ndarray) -> tuple[np.ndarray, list[Any]]:
        """Give a field of rows of one kind, each value once: (for each row the number of its value, the values).

        It is what :meth:`of` says of each of them; None among the values: not borne.
        """
        table = self.table
        if field == "source":
            return table.source[rows], list(SOURCES)
        if field == "raw":
            table.keep_texts(rows.tolist())
            return np.arange(len(rows)), [table.text(row) for row in rows.tolist()]
        if field == "error" and kind.startswith("est."):
            return self._est_errors(rows)
        if field in NUMBERS:
            values, numbers = distinct_numbers(table.numbers(field, rows))
            return numbers, [None if value == NONE else value for value in values.tolist()]
        if field in ("device", "session"):
            codes = table.device[rows] if field == "device" else table.session[rows]
            words: Sequence[str] | Lexicon = table.devices if field == "device" else table.sessions
        elif field == "level":
            shapes, numbers = distinct(table.shape[rows], len(table.vocabulary.shapes))
            return numbers, [table.vocabulary.shapes[shape].level or None for shape in shapes.tolist()]
        elif field in VALUES:
            codes, words = table.codes(field, rows)
        else:
            return np.zeros(len(rows), dtype=np.int64), [None]
        used, numbers = distinct(codes, len(words))
        return numbers, [(words[code] or None) if code >= 0 else None for code in used.tolist()]

    def _est_errors(self, rows: np.ndarray) -> tuple[np.ndarray, list[Any]]:
        """Name EST's errors by what a row says of it, the name and the number: few differ."""
        names, _ = self.table.codes("error", rows)
        values, places = distinct_numbers(self.table.numbers("code", rows))
        both = (names.astype(np.int64) + 1) * len(values) + places
        sorts, numbers = distinct_numbers(both)
        # What is written last stays: the first of each sort.
        first = np.zeros(len(sorts), dtype=np.int64)
        first[numbers[::-1]] = np.arange(len(rows))[::-1]
        return numbers, [self._columns.est_error(int(row))[0] for row in rows[first].tolist()]

    def keep_texts(self, rows: Iterable[int]) -> None:
        """Read the lines of rows back, all at once."""
        self.table.keep_texts(rows)

    def text(self, row: int) -> str:
        """Give the row's line as logged."""
        return self.table.text(row)

    def member(self, row: int) -> str:
        """Give the member that holds the row."""
        return self.table.member_of(row)
