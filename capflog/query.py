"""SQL over an analysis: one query that reads, over the tables of :mod:`capflog.exports.tables`."""

from __future__ import annotations

import difflib
import re
import sqlite3
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from capflog.exports.sqlite import create, fill
from capflog.exports.tables import TABLES
from capflog.stopping import Stopped, stopped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from capflog.eventlines import EventLine

#: What a query may do, by SQLite's names of it.
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})

#: Functions that reach beyond the tables.
_BEYOND = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "lsdir"})

#: So many steps of SQLite's machine are done between two looks at what the user wants (some ms).
_STEPS = 100_000

#: So much of the tables is held in memory, in KiB; what is more goes into a temporary file.
_HELD = 256 << 10


#: What a query is made of, as far as it matters where names, texts and comments end; some may be without an end.
_TOKENS = re.compile(
    r"""'[^']*(?:''[^']*)*'?
    | "[^"]*(?:""[^"]*)*"?
    | `[^`]*(?:``[^`]*)*`?
    | \[[^\]]*\]?
    | --[^\n]*
    | /\*.*?(?:\*/|\Z)
    | \s+
    | [^'"`\[\s;/-]+
    | .
    """,
    re.VERBOSE | re.DOTALL,
)

#: The first events, with columns of theirs alone: nothing is looked for, put in order, counted.
_COLUMN = r"\s*[a-z_]\w*(?:\.\w+)?(?:\s+as\s+\w+)?\s*"
_FIRST = re.compile(
    rf"select(?:\s*\*\s*|\s{_COLUMN}(?:,{_COLUMN})*)from\s+events\s+limit\s+(\d{{1,18}})(?:\s+offset\s+(\d{{1,18}}))?",
    re.IGNORECASE | re.ASCII,
)

#: Of these what does nothing: blanks, the end of a statement, comments.
_NOTHING = re.compile(r"\s|;|--|/\*")


class QueryError(ValueError):
    """A query cannot be done; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query gives: the names of the columns, and the rows, which are made while they are asked for.

    A value is a text, a number, bytes, or None. Iterating raises :class:`QueryError`.
    """

    names: list[str]
    rows: Iterator[tuple[Any, ...]]


def reads(query: str) -> dict[str, set[str]]:
    """Tell which tables and columns a query reads, without any of them at hand; QueryError if it is none that can be.

    So a wrong query is told before a bundle is read, and nothing is put into tables that nobody asks.
    """
    query = _statement(query)
    found: dict[str, set[str]] = {}
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        create(db)
        with _told(query):
            _restrict(db, found)
            db.execute(_explained(query))
            _check_names(db, query)
    finally:
        db.close()
    return {name: columns - {""} for name, columns in found.items() if name in TABLES}


def tables_of(
    document: dict[str, Any], lines: Iterable[EventLine], wanted: Mapping[str, set[str]]
) -> sqlite3.Connection:
    """Fill the tables that are ``wanted`` (see :func:`reads`); they are in memory, large ones in a temporary file.

    Raises :class:`QueryError` where there is no room for them.
    """
    # A database without a name is held in memory as far as the cache goes.
    db = sqlite3.connect("", isolation_level=None)
    try:
        db.execute(f"PRAGMA cache_size = -{_HELD}")
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("BEGIN")
        create(db)
        fill(db, document, lines, wanted)
        db.execute("COMMIT")
    except BaseException as error:
        db.close()
        if isinstance(error, sqlite3.Error):
            raise QueryError(f"the tables cannot be filled: {error}") from error
        raise
    return db


def run(db: sqlite3.Connection, query: str) -> Rows:
    """Run a query, which can do nothing but read; raises QueryError. A signal ends it (:mod:`capflog.stopping`)."""
    query = _statement(query)
    # Python looks for signals when it comes by; what is cut out of a text may be no text.
    db.set_progress_handler(lambda: 0, _STEPS)
    db.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
    with _told(query):
        _restrict(db, {})
        cursor = db.execute(query)
        if cursor.description is None:
            raise QueryError("there is no query")
        names = [name for name, *_ in cursor.description]
    return Rows(names, _rows(cursor, query))


def _rows(cursor: sqlite3.Cursor, query: str) -> Iterator[tuple[Any, ...]]:
    with _told(query):
        yield from cursor


def _statement(query: str) -> str:
    """Give a query without the comments and empty statements around it; QueryError where nothing is left."""
    tokens = _TOKENS.findall(query)
    while tokens and _NOTHING.match(tokens[0]):
        del tokens[0]
    while tokens and _NOTHING.match(tokens[-1]):
        del tokens[-1]
    if not tokens:
        raise QueryError("there is no query")
    return "".join(tokens)


def rows_enough(query: str) -> int | None:
    """Tell how many of the events suffice for a query that wants the first ones as they come; None: it wants others."""
    found = _FIRST.fullmatch(_statement(query))
    return None if found is None else min(int(found[1]) + int(found[2] or 0), sys.maxsize)


def _explained(query: str) -> str:
    return query if query[:7].lower() == "explain" else f"EXPLAIN {query}"


def _check_names(db: sqlite3.Connection, query: str) -> None:
    """Find a name between double quotes that nothing has: SQLite would take it for text, and find no row by it.

    Between backticks a name is a name and nothing else ("Double-quoted String Literals Are Accepted", in SQLite's page
    on quirks), so it is asked once more with these. What SQLite takes such a query otherwise for is not looked at.
    """
    tokens = _TOKENS.findall(query)
    if not any(token[0] == '"' for token in tokens):
        return
    try:
        db.execute(_explained("".join(map(_backticked, tokens))))
    except sqlite3.Error as error:
        if found := re.match(r"no such column: (.+)", str(error)):
            name = found[1]
            meant = _column_meant(name.rsplit(".", 1)[-1].lower(), query)
            text = "" if "single quotes" in meant else "; text stands between single quotes"
            raise QueryError(f'no such column: "{name}"; {meant}{text}') from error


def _backticked(token: str) -> str:
    if token[0] != '"' or len(token) < 2:
        return token
    return "`" + token[1:-1].replace('""', '"').replace("`", "``") + "`"


def _restrict(db: sqlite3.Connection, found: dict[str, set[str]]) -> None:
    """Allow reading alone; what is read is put into ``found``."""

    def allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action not in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _BEYOND):
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ and first is not None:
            found.setdefault(first, set()).add(second or "")
        return sqlite3.SQLITE_OK

    db.set_authorizer(allowed)


@contextmanager
def _told(query: str) -> Iterator[None]:
    """Make of SQLite's errors one that tells what to do."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        if stopped():
            raise Stopped from None
        raise QueryError(_why(str(error), query)) from error
    except ValueError as error:
        if isinstance(error, QueryError):
            raise
        # Bytes that are no UTF-8, or a NUL.
        raise QueryError("the query is no text that SQL can be") from error


def _why(message: str, query: str) -> str:
    """Say in one line why a query cannot be done, with what may be meant."""
    if "not authorized" in message or "prohibited" in message or "authorization denied" in message:
        return "a query can read the tables and nothing else: SELECT ..."
    if "one statement" in message:
        return "there is more than one statement: one query at a time"
    if "number of bindings" in message or "parameter" in message:
        return "the query has a placeholder (?, :name), and nothing to put in its place"
    if "null character" in message:
        return "the query is no text that SQL can be"
    if message == "incomplete input":
        return "the query ends too soon"
    if found := re.match(r"no such table: (.+)", message):
        name = found[1].removeprefix("main.")
        near = difflib.get_close_matches(name.lower(), TABLES, n=1)
        return f"no such table: {name}; " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(TABLES)}")
    if found := re.match(r'no such column: "?([^"]+)"?', message):
        return f"no such column: {found[1]}; {_column_meant(found[1].rsplit('.', 1)[-1].lower(), query)}"
    return f"the query cannot be done: {message}"


def _column_meant(name: str, query: str) -> str:
    words = set(re.findall(r"\w+", query.lower()))
    asked = [table for table in TABLES.values() if table.name in words]
    columns = {column.name: table.name for table in reversed(asked) for column in table.columns}
    near = difflib.get_close_matches(name, columns, n=1)
    if near:
        return f"did you mean {columns[near[0]]}.{near[0]}?"
    elsewhere = [table.name for table in TABLES.values() if name in {column.name for column in table.columns}]
    if elsewhere:
        return f"it is a column of {' and '.join(elsewhere)}"
    return "'capflog sql --tables' lists them; text stands between single quotes"
