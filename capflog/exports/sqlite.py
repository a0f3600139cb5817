"""A SQLite database with all tables (:mod:`capflog.exports.tables`)."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from capflog.exports.event_table import Table, event_rows, plain, zone_of
from capflog.exports.tables import TABLES, VERSION
from capflog.exports.whole import whole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from capflog.eventlines import EventLine

_TYPES = {"text": "TEXT", "integer": "INTEGER", "real": "REAL", "flag": "INTEGER", "time": "TEXT"}

#: What most is asked by.
_INDEXES = (("events", "device"), ("events", "time"), ("events", "enrollment"), ("enrollments", "device"))


def write(path: Path, document: dict[str, Any], lines: Iterable[EventLine]) -> None:
    """Write a database whole or not at all, in the place of any file that is there; raises OSError."""
    try:
        with whole(path) as name:
            _write(name, document, lines)
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error


def _write(name: str, document: dict[str, Any], lines: Iterable[EventLine]) -> None:
    with closing(sqlite3.connect(name, isolation_level=None)) as db:
        # Nobody sees the file before it is whole: there is nothing to go back to.
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        create(db)
        fill(db, document, lines)
        for table, column in _INDEXES:
            db.execute(f"CREATE INDEX {table}_{column} ON {table} ({column})")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")


def create(db: sqlite3.Connection) -> None:
    """Make the tables, empty."""
    for table in TABLES.values():
        columns = ", ".join(f'"{column.name}" {_TYPES[column.kind]}' for column in table.columns)
        db.execute(f'CREATE TABLE "{table.name}" ({columns})')


def fill(
    db: sqlite3.Connection,
    document: dict[str, Any],
    lines: Iterable[EventLine],
    wanted: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Fill the tables. ``wanted``: only these tables, of ``events`` only these columns (None: all of all).

    Lines are not so much as asked for where ``events`` is not wanted.
    """
    for table in TABLES.values():
        if wanted is not None and table.name not in wanted:
            continue
        if table.name != "events":
            _insert(db, table, [c.name for c in table.columns], (map(plain, row) for row in table.rows(document)))
            continue
        names = [c.name for c in table.columns if wanted is None or c.name in wanted[table.name]]
        # A row is there even where none of its columns is asked for: it may be counted.
        names = names or ["line"]
        _insert(db, table, names, event_rows(lines, names, zone_of(document)))


def _insert(db: sqlite3.Connection, table: Table, names: list[str], rows: Iterable[Any]) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    places = ", ".join("?" * len(names))
    db.executemany(f'INSERT INTO "{table.name}" ({columns}) VALUES ({places})', map(tuple, rows))  # noqa: S608
