"""A Parquet file with the table of events (:mod:`capflog.exports.event_table`), for pandas, DuckDB, Spark."""

from __future__ import annotations

import json
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from capflog.exports.event_table import EVENTS, LOCAL, OWN, Column, locals_of, plain, zone_of
from capflog.exports.tables import VERSION
from capflog.exports.whole import whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from capflog.eventlines import EventLine

#: How many rows a group has: readers take one at a time, and it is held while it is written.
ROWS_AT_ONCE = 1 << 16

#: Nearly every line is another one: there is nothing to look up in a dictionary.
_ALL_DIFFER = frozenset({"text", "line", "time", "earliest", "latest", "utc", "local"})


def write(path: Path, document: dict[str, Any], lines: Iterable[EventLine]) -> None:
    """Write a file whole or not at all, in the place of any that is there; raises OSError.

    Times are timestamps in UTC, to the millisecond. The file's own metadata say ``capflog``: a JSON object with the
    bundle's name and the versions of capflog and of the tables.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  (no other part of capflog has need of it)
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise OSError(f"Parquet needs the package pyarrow, which is not there ({error}); sqlite does not") from error
    told = {"bundle": document["bundle"]["name"], "capflog": document["tool"]["version"], "tables": VERSION}
    schema = pa.schema([(column.name, _type(pa, column)) for column in EVENTS.columns], {"capflog": json.dumps(told)})
    words = [column.name for column in EVENTS.columns if column.kind != "flag" and column.name not in _ALL_DIFFER]
    try:
        with whole(path) as name, pq.ParquetWriter(name, schema, use_dictionary=words, compression="zstd") as out:
            rest, local = iter(lines), locals_of(zone_of(document))
            while block := list(islice(rest, ROWS_AT_ONCE)):
                out.write_batch(_batch(pa, schema, block, local))
    except pa.ArrowException as error:
        raise OSError(str(error)) from error


def _type(arrow: Any, column: Column) -> pa.DataType:
    """Give the type of a column."""
    found: pa.DataType = {
        "text": arrow.string(),
        "integer": arrow.int64(),
        "real": arrow.float64(),
        "flag": arrow.bool_(),
        "time": arrow.timestamp("ms", tz="UTC"),
    }[column.kind]
    return found


def _batch(
    arrow: Any, schema: pa.Schema, block: list[EventLine], local: Callable[[datetime | None], str | None]
) -> pa.RecordBatch:
    """Make a group of rows of lines."""
    columns: dict[str, list[Any]] = {column.name: list(map(attrgetter(column.name), block)) for column in OWN}
    columns[LOCAL.name] = [local(line.time) for line in block]
    for place, line in enumerate(block):
        for name, value in line.values.items():
            found = columns.get(name)
            if found is None:
                found = columns[name] = [None] * len(block)
            found[place] = value
    arrays = [
        _array(arrow, columns[field.name], field.type) if field.name in columns else arrow.nulls(len(block), field.type)
        for field in schema
    ]
    return arrow.record_batch(arrays, schema=schema)


def _array(arrow: Any, values: list[Any], of: pa.DataType) -> pa.Array:
    try:
        return arrow.array(values, type=of)
    except UnicodeEncodeError:
        return arrow.array(list(map(plain, values)), type=of)
