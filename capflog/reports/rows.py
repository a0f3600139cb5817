"""The rows of a query: as a table that fits the width, as CSV, as JSON."""

from __future__ import annotations

import math
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from rich.text import Text

from capflog.csv_cells import LINE_ENDS, line
from capflog.exports.common import json_line
from capflog.reports.layout import Column, Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capflog.exports.event_table import Table
    from capflog.query import Rows

#: So many rows tell how wide columns are, and are set at a time: a result may have millions.
ROWS_AT_ONCE = 2000

#: A column of text becomes no narrower than a time is; where the page has no room for that, each row is set by itself.
LEAST = 24

#: What kinds of columns are, in words.
KINDS = {"text": "text", "integer": "integer", "real": "number", "flag": "0 or 1", "time": "time, UTC"}


def as_text(found: Rows, *, width: int, color: bool, unicode: bool) -> Iterator[str]:
    """Set rows as a table, or, where that is too wide, each by itself; piece by piece. No value: nothing."""
    first = list(islice(found.rows, ROWS_AT_ONCE))

    def page() -> Page:
        return Page(width, color=color, unicode=unicode)

    here = page()
    columns = [_column(here, name, [row[place] for row in first]) for place, name in enumerate(found.names)]
    cells = [[_cell(here, value) for value in row] for row in first]
    wants = [column.wants([row[i] for row in cells], folded=False) for i, column in enumerate(columns)]
    least = sum(want if c.right else min(want, c.least) for c, want in zip(columns, wants, strict=True))
    if least + 2 * (len(columns) - 1) > here.width:
        yield from _one_by_one(found.names, chain(first, found.rows), page)
        return
    widths = here.widths(columns, cells)
    right = frozenset(place for place, column in enumerate(columns) if column.right)
    here.row([here.log(name, "dim") for name in found.names], widths, right=right)
    while True:
        for row in cells:
            here.row(row, widths, right=right)
        yield here.text()
        here = page()
        cells = [[_cell(here, value) for value in row] for row in islice(found.rows, ROWS_AT_ONCE)]
        if not cells:
            return
        # What comes later may be longer; it is not broken as long as there is room.
        wider = [max(pair) for pair in zip(widths, here.widths(columns, cells), strict=True)]
        widths = wider if sum(wider) + 2 * (len(wider) - 1) <= here.width else widths


def _column(page: Page, name: str, values: Sequence[Any]) -> Column:
    there = [value for value in values if value is not None]
    number = bool(there) and all(isinstance(value, int | float) for value in there)
    return Column(page.log(name).plain, right=number, yields=not number, least=LEAST)


def _one_by_one(names: Sequence[str], rows: Iterable[tuple[Any, ...]], page: Any) -> Iterator[str]:
    """Set each row by itself, a line for each value that there is."""
    rest = iter(rows)
    number = 0
    while block := list(islice(rest, ROWS_AT_ONCE)):
        here: Page = page()
        if number:
            # The page before ends without the empty line that stands between rows.
            yield "\n"
        titles = [here.log(name) for name in names]
        hang = min(max(title.cell_len for title in titles) + 2, here.width // 2)
        for row in block:
            number += 1
            here.blank()
            here.add(here.say(f"row {number:,}", "bold"))
            for title, value in zip(titles, row, strict=True):
                if value is not None:
                    here.add(_cell(here, value), first=title.copy(), indent=2, hang=hang)
        yield here.text()


def _cell(page: Page, value: Any) -> Text:
    """Set a value; each line of a text that has several (the steps of a remedy) is a line of the cell."""
    text = _shown(value)
    if "\n" not in text:
        return page.log(text)
    lines = [page.log(line) for line in LINE_ENDS.split(text.rstrip("\r\n"))]
    return Text("\n").join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return _hex(value) if isinstance(value, bytes) else str(value)


def _hex(value: bytes) -> str:
    """Write bytes as SQL does."""
    return f"x'{value.hex()}'"


def as_csv(found: Rows) -> Iterator[str]:
    """Write rows as CSV, the names first."""
    yield line(found.names)
    for row in found.rows:
        yield line((_hex(value) if isinstance(value, bytes) else value for value in row), folded=True)


def as_json(found: Rows) -> Iterator[str]:
    """Write rows as an array of objects, each in a line."""
    lead = "[\n"
    for text in as_jsonl(found):
        yield lead + text.removesuffix("\n")
        lead = ",\n"
    yield "[]\n" if lead == "[\n" else "\n]\n"


def as_jsonl(found: Rows) -> Iterator[str]:
    """Write each row as an object in a line."""
    names = _distinct(found.names)
    for row in found.rows:
        yield json_line(dict(zip(names, map(_json, row), strict=True)))


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return _hex(value)
    # JSON has no word for infinite.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _distinct(names: Sequence[str]) -> list[str]:
    """Give names that differ: an object cannot hold two values of one name (``n``, ``n_2``)."""
    taken = set(names)
    found: list[str] = []
    for name in names:
        own, number = name, 1
        while own in found or (number > 1 and own in taken):
            number += 1
            own = f"{name}_{number}"
        found.append(own)
    return found


def tables_as_text(tables: Iterable[Table], *, width: int, color: bool, unicode: bool) -> str:
    """Say which tables there are, and what their columns are."""
    page = Page(width, color=color, unicode=unicode)
    for table in tables:
        page.blank()
        page.add(page.say(f": {table.what}"), first=page.say(table.name, "bold"), hang=len(table.name))
        hang = max(len(column.name) for column in table.columns) + 2
        for column in table.columns:
            kind = "" if column.kind == "text" else f" ({KINDS[column.kind]})"
            page.add(page.say(column.what + kind), first=page.say(column.name), indent=2, hang=hang)
    return page.text()


def rows_of_tables(tables: Iterable[Table]) -> Rows:
    """Give the same as rows."""
    from capflog.query import Rows  # noqa: PLC0415

    rows = ((table.name, c.name, KINDS[c.kind], c.what) for table in tables for c in table.columns)
    return Rows(["table", "column", "kind", "what"], rows)
