"""Timesketch's CSV: a row for each event, with a column for all that an event may say.

Its importer reads numbers of a column with gaps as fractions (``401.0``), so the lines of JSON are the better choice
where both will do.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from capflog.csv_cells import LINE_END, cell, quoted
from capflog.csv_cells import line as row
from capflog.exports.timesketch import FIELDS, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capflog.eventlines import EventLine


_PLACES = {name: place for place, name in enumerate(FIELDS)}


def pieces(document: dict[str, Any], lines: Iterable[EventLine]) -> Iterator[str]:
    """Write the names of the columns and a row for each event that has a moment."""
    yield row(FIELDS)
    for fields in rows(document, lines):
        # Without the brackets Timesketch makes the tag "nan" of an empty cell.
        fields["tag"] = json.dumps(fields["tag"])
        fields["causes"] = " ".join(fields["causes"])
        # Of some fifty columns an event fills half.
        cells = [""] * len(FIELDS)
        for name, value in fields.items():
            if value is not None:
                cells[_PLACES[name]] = quoted(cell(value))
        yield ",".join(cells) + LINE_END
