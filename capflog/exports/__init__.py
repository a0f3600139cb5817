"""The formats of ``capflog export``: which there are, and how each is written.

A format that is text is a module of this room with ``pieces(document, lines)``, which gives the text piece by piece;
the others have ``write(path, document, lines)``. ``document`` is the contract's (:mod:`capflog.reports.json`) without
the records of its enrollments: ``lines`` (:class:`capflog.eventlines.EventLine`) are all the events.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from capflog.eventlines import EventLine


@dataclass(frozen=True, slots=True)
class Export:
    """A format. ``suffixes``: of files that are in it, where these tell it; ``file``: it can be a file alone.

    ``dated``: it has no place for events of which nothing tells the time. ``named``: what the platform wants a file's
    name to end with ("": anything will do).
    """

    name: str
    module: str
    what: str
    suffixes: tuple[str, ...] = ()
    file: bool = False
    dated: bool = False
    named: str = ""

    def pieces(self, document: dict[str, Any], lines: Iterable[EventLine]) -> Iterator[str]:
        """Write events in this format, piece by piece; of a format that is text."""
        made: Iterator[str] = import_module(f"capflog.exports.{self.module}").pieces(document, lines)
        return made

    def write(self, path: Path, document: dict[str, Any], lines: Iterable[EventLine]) -> None:
        """Write events into a file; of a format that is none of text."""
        import_module(f"capflog.exports.{self.module}").write(path, document, lines)


EXPORTS = {
    export.name: export
    for export in (
        Export("ecs", "ecs", "Elastic Common Schema, a line of JSON for each event", dated=True),
        Export("timesketch", "timesketch", "Timesketch, a line of JSON for each event", dated=True, named=".jsonl"),
        Export("timesketch-csv", "timesketch_csv", "the same as CSV", (".csv",), dated=True, named=".csv"),
        Export("otlp-json", "otlp_json", "OpenTelemetry logs, some hundred of them in a line of JSON"),
        Export("sqlite", "sqlite", "a database with a table of events", (".sqlite", ".sqlite3", ".db"), file=True),
        Export("parquet", "parquet", "the table of events for pandas, DuckDB and Spark", (".parquet",), file=True),
    )
}


def export_of(path: str) -> Export | None:
    """Tell the format of a file by its name; None: it tells none."""
    name = path.lower()
    return next((export for export in EXPORTS.values() if name.endswith(export.suffixes or ("\0",))), None)
