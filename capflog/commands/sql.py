"""``capflog sql``: questions that no report answers."""

from __future__ import annotations

from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capflog.commands.analyzing import optional_bundles, read_only, shown_progress, store_option
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.console import detail, note, put, put_bytes, screen, stdin, stop
from capflog.commands.helping import Named
from capflog.commands.last import analyzed_when, of_last, of_option
from capflog.commands.rule_options import rules_option

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from capflog.query import Rows
    from capflog.store import Run, Store

_FORMATS = {
    "text": "a table for people",
    "csv": "a line for each row, the names first",
    "json": "an array with an object for each row",
    "jsonl": "an object for each row, in a line",
}


@click.command(
    cls=Command,
    examples=(
        ('capflog sql "SELECT device, count(*) FROM events GROUP BY 1"', "of what was analyzed last"),
        ('capflog sql "SELECT causes, count(*) FROM enrollments GROUP BY 1" bundle.zip', ""),
        (
            'capflog sql "SELECT local, url, taken FROM events ORDER BY taken DESC LIMIT 10" bundle.zip',
            "the slowest answers of the CA, in ms",
        ),
        ('capflog sql "SELECT * FROM events WHERE fault" bundle.zip --format csv > faults.csv', ""),
        ('echo "SELECT count(*) FROM events" | capflog sql - bundle.zip', ""),
        ("capflog sql --tables", "what can be asked"),
    ),
)
@click.argument("query", required=False)
@optional_bundles
@click.option(
    "--tables", is_flag=True, help="List the tables and what their columns are; so does a call without QUERY."
)
@click.option(
    "--format",
    "form",
    cls=Named,
    meanings=_FORMATS,
    metavar="NAME",
    type=click.Choice(list(_FORMATS)),
    default="text",
    help="What standard output gets.  [default: text]",
)
@rules_option
@clock_options
@of_option
@store_option
def sql(
    query: str | None, bundles: tuple[str, ...], tables: bool, form: str, clocks: Clocks, store: Path | None
) -> None:
    """Ask QUERY, one SELECT in SQLite's SQL, of the tables of an analysis; - reads it from standard input.

    Without BUNDLE it is asked of what was analyzed last. The store has the lines that timelines show, but not what was
    read out of them (code, status, taken). Times are text in UTC, such as 2019-01-16T19:05:04.628Z, which SQLite's
    functions of time take; events.local is the time in the node's zone, as reports show it.
    """
    from capflog.exports.tables import TABLES  # noqa: PLC0415
    from capflog.reports import rows as rows_report  # noqa: PLC0415

    if tables or query is None:
        if form == "text":
            put(rows_report.tables_as_text(TABLES.values(), **screen()))
        else:
            _write(rows_report.rows_of_tables(TABLES.values()), form)
        return
    from capflog.query import reads, rows_enough, run  # noqa: PLC0415

    if clocks.display is not None and _called_with("display_tz"):
        note("--display-tz: times in tables are in UTC whatever it says")
    asked = _text_of(query, bundles)
    with _wrong_ends(asked):
        wanted = reads(asked)
        db = _of_bundles(bundles, clocks, wanted, rows_enough(asked)) if bundles else _of_last(clocks, store, wanted)
    with closing(db), _wrong_ends(asked):
        _write(run(db, asked), form)


def _called_with(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is click.core.ParameterSource.COMMANDLINE


def _text_of(query: str, bundles: Sequence[str]) -> str:
    if query != "-":
        return query
    if "-" in bundles:
        stop("-: standard input cannot be both the query and the bundle")
    return stdin().read().decode("utf-8-sig", "replace")


@contextmanager
def _wrong_ends(query: str) -> Iterator[None]:
    """End the command with one line where a query cannot be done."""
    from capflog.query import QueryError  # noqa: PLC0415

    try:
        yield
    except QueryError as error:
        try:
            is_file = 0 < len(query.strip()) < 1000 and Path(query).exists()
        except (OSError, ValueError):
            is_file = False
        stop(f"{query} is a file: the query comes first, capflog sql 'SELECT ...' {query}" if is_file else str(error))


def _of_bundles(
    bundles: Sequence[str], clocks: Clocks, wanted: Mapping[str, set[str]], enough: int | None
) -> sqlite3.Connection:
    """Fill the tables. ``enough``: so many events will do (None: all are wanted)."""
    import json  # noqa: PLC0415

    from capflog.eventlines import event_lines  # noqa: PLC0415
    from capflog.query import tables_of  # noqa: PLC0415
    from capflog.reports import json as json_report  # noqa: PLC0415

    analysis = read_only(bundles, clocks)
    with shown_progress() as progress:
        progress.stage("filling the tables")
        document = json.loads("".join(json_report.pieces(analysis.report, records=False)))
        return tables_of(document, islice(event_lines(analysis), enough), wanted)


def _of_last(clocks: Clocks, store: Path | None, wanted: Mapping[str, set[str]]) -> sqlite3.Connection:
    def ask(kept: Store, run: Run) -> sqlite3.Connection:
        import json  # noqa: PLC0415

        from capflog.eventlines import kept_lines  # noqa: PLC0415
        from capflog.query import tables_of  # noqa: PLC0415

        if "events" in wanted:
            note(_lacking(run, wanted["events"]))
        with shown_progress() as progress:
            progress.stage("filling the tables")
            return tables_of(json.loads(kept.report(run.id)), kept_lines(kept, run.id), wanted)

    return of_last(clocks, store, ask)


def _lacking(run: Run, columns: set[str]) -> str:
    """Say what the store does not have of the events that are asked for."""
    from capflog.events import VALUES  # noqa: PLC0415
    from capflog.reports.layout import joined  # noqa: PLC0415

    lost = sorted(columns & {*VALUES, "session"})
    words = joined(lost) if len(lost) <= 5 else f"{', '.join(lost[:3])} and {len(lost) - 3} more columns"
    none = f"; {words} {'is' if len(lost) == 1 else 'are'} not kept and empty here" if lost else ""
    whose = f"events of {run.bundle}, {analyzed_when(run)}, are those that timelines show"
    return f"{whose}{none}: name the bundle to have all"


def _write(found: Rows, form: str) -> None:
    from capflog.query import Rows  # noqa: PLC0415
    from capflog.reports import rows as rows_report  # noqa: PLC0415

    counted = _Counted(found.rows)
    rows = Rows(found.names, iter(counted))
    if form == "text":
        put(rows_report.as_text(rows, **screen()))
    else:
        made = {"csv": rows_report.as_csv, "json": rows_report.as_json, "jsonl": rows_report.as_jsonl}[form](rows)
        put_bytes(piece.encode("utf-8") for piece in made)
    if not counted.count:
        note("no row")
    detail(f"{counted.count:,} row{'' if counted.count == 1 else 's'}")


class _Counted:
    """Rows on their way, counted."""

    def __init__(self, rows: Iterable[tuple[object, ...]]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        for row in self._rows:
            self.count += 1
            yield row
