"""SQLite and Parquet as those read them for whom they are made."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capflog.analysis import analyze
from capflog.commands.analyzing import keep_in
from capflog.eventlines import EventLine, event_lines
from capflog.events import VALUES
from capflog.exports import parquet, sqlite
from capflog.exports.common import stamp
from capflog.exports.event_table import EVENTS, NAMED, OWN, event_rows, locals_of, zone_of
from capflog.exports.tables import TABLES, VERSION
from capflog.reports.json import document, pieces
from capflog.store import Store
from capflog.zones import Zone
from tests.conftest import ROOT
from tests.hostile import DETAIL, HOSTILE, hostile_members
from tests.scenes import analyzed, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capflog.analysis import Analysis
    from tests.conftest import Said

    Call = Callable[..., Said]

SITES = ("ca-dns-failure", "ces-overloaded", "template-misconfigured", "hostile", "empty")
Write = Any


@cache
def of(name: str) -> Analysis:
    if name == "hostile":
        return analyzed(*hostile_members())
    if name == "empty":
        return analyzed(raw("u_ex190116.log", "#Software: Microsoft Internet Information Services 10.0\n"))
    return analyze([str(ROOT / "samples" / f"{name}.zip")])


@cache
def lines_of(name: str) -> list[EventLine]:
    return list(event_lines(of(name)))


@cache
def document_of(name: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads("".join(pieces(of(name).report, records=False)))
    return made


@pytest.fixture(params=SITES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, sqlite3.Connection]]:
    path = tmp_path / f"{request.param}.sqlite"
    sqlite.write(path, document_of(request.param), lines_of(request.param))
    with closing(sqlite3.connect(path)) as db:
        yield request.param, db


@pytest.fixture(params=SITES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    path = tmp_path / f"{request.param}.parquet"
    parquet.write(path, document_of(request.param), lines_of(request.param))
    return request.param, path


def said(line: EventLine, name: str) -> Any:
    """What an event says under a column's name; a byte that is no UTF-8 as in the report."""
    value = line.values.get(name) if name in VALUES else getattr(line, name)
    return value.replace("\udce9", "\\udce9") if isinstance(value, str) else value


def asked(db: sqlite3.Connection, query: str, *values: Any) -> list[Any]:
    found = db.execute(query, values).fetchall()
    return [row[0] for row in found] if found and len(found[0]) == 1 else found


# ---- SQLite --------------------------------------------------------------------------------------------------------


def test_every_event_is_in_the_database(database: tuple[str, sqlite3.Connection]) -> None:
    name, db = database
    names = [column.name for column in (*OWN, *NAMED)]
    found = asked(db, f"SELECT {', '.join(names)} FROM events ORDER BY rowid")
    times = {"time", "earliest", "latest"}
    assert found == [
        tuple(stamp(said(line, one)) if one in times else said(line, one) for one in names) for line in lines_of(name)
    ]


def test_the_tables_say_what_the_report_says(database: tuple[str, sqlite3.Connection]) -> None:
    name, db = database
    report = document_of(name)
    own = document(of(name).report)
    assert asked(db, "SELECT id, device, outcome, causes, est_error FROM enrollments") == [
        (e["id"], e["device"], e["outcome"], ", ".join(e["causes"]), e["est_error"] and e["est_error"]["name"])
        for e in own["enrollments"]
    ]
    assert asked(db, "SELECT rule, severity, explanation, devices, resolved FROM findings") == [
        (f["rule"], f["severity"], f["explanation"], len(f["devices"]), f["resolved"]) for f in own["findings"]
    ]
    assert asked(db, "SELECT rule, device FROM affected") == [
        (f["rule"], device) for f in own["findings"] for device in f["devices"]
    ]
    assert asked(db, "SELECT rule, member, line, text FROM evidence") == [
        (f["rule"], e["member"], e["line"], e["text"]) for f in own["findings"] for e in f["evidence"]
    ]
    assert asked(db, "SELECT member, source, status, lines, events, first FROM members") == [
        (m["member"], m["source"], m["status"], m["lines"], m["events"], m["first"]) for m in own["bundle"]["members"]
    ]
    assert asked(db, "SELECT source, offset_seconds, quality, zone, assumed, basis FROM clocks") == [
        (c["source"], c["offset_seconds"], c["quality"], c["zone"], c["assumed"], c["basis"]) for c in own["clocks"]
    ]
    assert asked(db, "SELECT service, started, ok, missing FROM starts") == [
        *(("ces", s["started"], s["ok"], s["missing"]) for s in own["starts"]),
        *(("capf", s["started"], s["ok"], s["missing"]) for s in own["capf_starts"]),
    ]
    assert asked(db, "SELECT name, verdict, devices, enrollments, issued, failed, incomplete FROM bundle") == [
        (
            report["bundle"]["name"],
            *(
                report["summary"][key]
                for key in ("verdict", "devices", "enrollments", "issued", "failed", "incomplete")
            ),
        )
    ]


def test_devices_are_counted_as_capflog_devices_does(
    database: tuple[str, sqlite3.Connection], capflog: Callable[..., Any], sample: Callable[[str], Path]
) -> None:
    name, db = database
    if name in ("hostile", "empty"):
        count = len({e.device for e in of(name).report.enrollments} - {None})
        assert asked(db, "SELECT count(*) FROM devices") == [count]
        return
    told = json.loads(capflog("devices", sample(name), "--format", "json").out)["devices"]
    names = ("device", "outcome", "attempts", "issued", "failed", "incomplete", "reached", "missing", "est_error")
    found = asked(db, f"SELECT {', '.join(names)}, causes, last FROM devices")
    assert found == [(*(d[n] for n in names), ", ".join(d["causes"]), d["ended"] or d["started"]) for d in told]
    assert found
    joined = asked(
        db,
        "SELECT device, count(*), sum(outcome = 'failed'), min(started) FROM enrollments GROUP BY 1 ORDER BY 1",
    )
    assert asked(db, "SELECT device, attempts, failed, first FROM devices ORDER BY 1") == joined


def test_times_are_such_as_sqlite_reckons_with(tmp_path: Path) -> None:
    sqlite.write(tmp_path / "a.db", document_of("ces-overloaded"), lines_of("ces-overloaded"))
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        for started, ended, seconds in asked(db, "SELECT started, ended, seconds FROM enrollments"):
            (days,) = asked(db, "SELECT julianday(?) - julianday(?)", ended, started)
            assert days * 86400 == pytest.approx(seconds, abs=0.002)
        assert asked(db, "SELECT count(*) FROM events WHERE time IS NOT NULL AND strftime('%s', time) IS NULL") == [0]


def test_the_database_says_its_version_and_is_found_fast(database: tuple[str, sqlite3.Connection]) -> None:
    _, db = database
    assert asked(db, "PRAGMA user_version") == [VERSION]
    assert asked(db, "PRAGMA integrity_check") == ["ok"]
    for column in ("device", "time", "enrollment"):
        plan = asked(db, f"EXPLAIN QUERY PLAN SELECT * FROM events WHERE {column} = 'x'")
        assert f"INDEX events_{column}" in plan[0][-1]


def test_no_column_needs_quotes(database: tuple[str, sqlite3.Connection]) -> None:
    _, db = database
    for table in TABLES.values():
        for column in table.columns:
            db.execute(f"SELECT {table.name}.{column.name}, {column.name} FROM {table.name}")
        assert all(column.what for column in table.columns)


def test_the_store_gives_the_same_tables(tmp_path: Path) -> None:
    keep_in(of("ca-dns-failure"), tmp_path / "kept.db")
    with Store.open(tmp_path / "kept.db", create=False) as store:
        run = store.latest()
        assert run is not None
        kept = json.loads(store.report(run.id))
    for table in TABLES.values():
        assert list(table.rows(kept)) == list(table.rows(document_of("ca-dns-failure")))


# ---- Parquet -------------------------------------------------------------------------------------------------------


def test_every_event_is_in_the_file(file: tuple[str, Path]) -> None:
    name, path = file
    columns = [column.name for column in (*OWN, *NAMED)]
    found = pq.read_table(path, columns=columns).to_pylist()
    assert [list(row.values()) for row in found] == [[said(line, one) for one in columns] for line in lines_of(name)]


def test_the_file_has_its_schema_whatever_is_in_it(file: tuple[str, Path]) -> None:
    name, path = file
    schema = pq.read_schema(path)
    assert schema.names == [column.name for column in EVENTS.columns]
    kinds = {"text": pa.string(), "integer": pa.int64(), "flag": pa.bool_(), "time": pa.timestamp("ms", tz="UTC")}
    assert [field.type for field in schema] == [kinds[column.kind] for column in EVENTS.columns]
    told = json.loads(schema.metadata[b"capflog"])
    assert told == {
        "bundle": document_of(name)["bundle"]["name"],
        "capflog": document_of(name)["tool"]["version"],
        "tables": VERSION,
    }


def test_duckdb_and_pandas_read_it(file: tuple[str, Path]) -> None:
    name, path = file
    lines = lines_of(name)
    frame = pd.read_parquet(path)
    assert len(frame) == len(lines)
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        query = (
            "SELECT source, count(*), count(device), sum(taken), min(time) FROM read_parquet(?) GROUP BY 1 ORDER BY 1"
        )
        found = db.execute(query, [str(path)]).fetchall()
        (text,) = db.execute("SELECT list(text) FROM read_parquet(?)", [str(path)]).fetchone() or ([],)
    assert (text or []) == [line.text for line in lines]
    wanted = []
    for source in sorted({line.source for line in lines}):
        own = [line for line in lines if line.source == source]
        taken = [line.values["taken"] for line in own if "taken" in line.values]
        first = min((line.time for line in own if line.time), default=None)
        wanted.append(
            (source, len(own), sum(1 for e in own if e.device), sum(map(int, taken)) if taken else None, first)
        )
    assert found == wanted
    if len(lines):
        assert str(frame["time"].dtype).startswith("datetime64[ms, UTC")
        assert frame["fault"].sum() == sum(line.fault for line in lines)


def test_row_groups_are_small_and_words_are_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_AT_ONCE", 500)
    path = tmp_path / "some.parquet"
    lines = lines_of("ces-overloaded")
    parquet.write(path, document_of("ces-overloaded"), iter(lines))
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [500] * (len(lines) // 500) + [len(lines) % 500] * (len(lines) % 500 > 0)
    columns = {file.schema_arrow.names[i]: file.metadata.row_group(0).column(i) for i in range(len(EVENTS.columns))}
    assert columns["event"].has_dictionary_page
    assert not columns["text"].has_dictionary_page
    assert file.read().column("text").to_pylist() == [line.text for line in lines]


def test_without_pyarrow_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.partition(".")[0] == "pyarrow":
            raise ImportError("No module named 'pyarrow'")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(OSError, match="Parquet needs the package pyarrow"):
        parquet.write(tmp_path / "a.parquet", document_of("empty"), [])
    assert list(tmp_path.iterdir()) == []


def test_analyze_does_without_pandas_and_pyarrow(sample: Callable[[str], Path]) -> None:
    """They take a third of a second each, and pandas asks for pyarrow where it is there."""
    program = (
        "import sys; from capflog.cli import cli; "
        "cli.main(['analyze', sys.argv[1], '--no-store', '--format', 'jsonl'], standalone_mode=False); "
        "sys.exit(str({'pandas', 'pyarrow', 'duckdb'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(sample("healthy"))], capture_output=True, check=False)
    assert (done.stderr.strip(), bool(done.stdout)) == (b"", True)


# ---- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [sqlite.write, parquet.write])
def test_a_file_is_written_whole_or_not_at_all(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "events.out"
    path.write_text("what was there before")

    def breaks() -> Iterator[EventLine]:
        yield from lines_of("ca-dns-failure")[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, document_of("ca-dns-failure"), breaks())
    assert [one.name for one in tmp_path.iterdir()] == ["events.out"]
    assert path.read_text() == "what was there before"
    write(path, document_of("ca-dns-failure"), lines_of("ca-dns-failure"))
    assert [one.name for one in tmp_path.iterdir()] == ["events.out"]
    assert path.read_bytes()[:4] in (b"SQLi", b"PAR1")


@pytest.mark.parametrize("write", [sqlite.write, parquet.write])
def test_where_nothing_can_be_written_it_is_an_error_of_the_system(write: Write, tmp_path: Path) -> None:
    for path in (tmp_path / "no" / "such" / "folder.out", tmp_path):
        with pytest.raises(OSError):  # noqa: PT011  (each system has its own words)
            write(path, document_of("empty"), [])


def test_what_is_hostile_is_kept_as_data(tmp_path: Path) -> None:
    assert any(HOSTILE in line.text for line in lines_of("hostile"))
    sqlite.write(tmp_path / "a.db", document_of("hostile"), lines_of("hostile"))
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        assert asked(db, "SELECT DISTINCT detail FROM events WHERE code = 60") == [DETAIL]
        assert asked(db, "SELECT count(*) FROM events WHERE instr(text, ?)", HOSTILE)[0] > 0
    parquet.write(tmp_path / "a.parquet", document_of("hostile"), lines_of("hostile"))
    frame = pd.read_parquet(tmp_path / "a.parquet")
    assert set(frame[frame["code"] == 60]["detail"]) == {DETAIL}
    assert "nginx0000000\\udce9.txt" in set(frame["member"])


def test_odd_text_and_numbers_go_through_both(tmp_path: Path) -> None:
    """What no parser gives today: any text and any number that the table of events can hold."""
    base = lines_of("ca-dns-failure")[0]
    odd = ["", "\0", "a\0b", "\ud800", "\udce9\U0001f4a9", "'; DROP TABLE events; --", "x" * 100_000]
    lines = [replace(base, text=text, device=text, values={"detail": text, "taken": 2**63 - 1}) for text in odd]
    lines.append(replace(base, values={"taken": -(2**63) + 1}))
    clean = [line.text.replace("\ud800", "\\ud800").replace("\udce9", "\\udce9") for line in lines]
    sqlite.write(tmp_path / "a.db", document_of("ca-dns-failure"), lines)
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        assert asked(db, "SELECT text FROM events") == clean
        assert asked(db, "SELECT detail FROM events") == [*clean[:-1], None]
        assert asked(db, "SELECT taken FROM events") == [2**63 - 1] * len(odd) + [-(2**63) + 1]
    parquet.write(tmp_path / "a.parquet", document_of("ca-dns-failure"), lines)
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.column("text").to_pylist() == clean
    assert found.column("detail").to_pylist() == [*clean[:-1], None]
    assert found.column("taken").to_pylist() == [2**63 - 1] * len(odd) + [-(2**63) + 1]


def test_only_the_columns_that_are_asked_for() -> None:
    lines = lines_of("ces-overloaded")
    for names in (["line"], ["time"], ["taken"], ["device", "taken", "url"], ["time", "latest"]):
        found = list(event_rows(lines, names))
        times = {"time", "earliest", "latest"}
        assert found == [tuple(stamp(said(e, n)) if n in times else said(e, n) for n in names) for e in lines]
    assert [column.name for column in OWN] == [name for name in EventLine.__slots__ if name != "values"]


def test_the_node_s_own_time_stands_beside(tmp_path: Path) -> None:
    name = "ca-dns-failure"
    sqlite.write(tmp_path / "a.db", document_of(name), lines_of(name))
    parquet.write(tmp_path / "a.parquet", document_of(name), lines_of(name))
    shown = [e.time and f"{e.time - timedelta(hours=5):%Y-%m-%d %H:%M:%S.%f}"[:-3] for e in lines_of(name)]
    assert len({*shown}) > 300
    with closing(sqlite3.connect(tmp_path / "a.db")) as db:
        assert asked(db, "SELECT local FROM events ORDER BY rowid") == shown
    assert pq.read_table(tmp_path / "a.parquet").column("local").to_pylist() == shown
    assert list(event_rows(lines_of(name), ["local"], Zone.fixed(-5 * 3600))) == [(one,) for one in shown]
    # Nobody says what the time was where nobody knows the zone, or where nodes have different ones.
    clocks = [{"quality": "reference", "zone": None, "utc_offset_seconds": hours * 3600} for hours in (1, 2)]
    for told in ([], clocks, [{"quality": "good", "zone": "UTC", "utc_offset_seconds": 0}]):
        assert zone_of({"clocks": told}) is None
    assert zone_of({"clocks": [{**clocks[0], "zone": "CET or MET"}]}) == Zone.fixed(3600)
    summer = zone_of({"clocks": [{**clocks[0], "zone": "America/New_York"}]})
    assert locals_of(summer)(datetime(2019, 7, 1, tzinfo=UTC)) == "2019-06-30 20:00:00.000"


def test_the_page_names_all_tables_and_columns() -> None:
    page = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    for table in TABLES.values():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{table.name}` | {table.what} |"))
        assert row.split("`")[3::2] == [column.name for column in table.columns]
    assert f"metadata `capflog`) is {VERSION}." in page


QUERY = re.compile(r'capflog sql "([^"]+)" bundle.zip')


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")


def test_the_page_s_queries_find_something(capflog: Call, page: str) -> None:
    queries = [*QUERY.findall(page), *re.findall(r"```sql\n(.+?)```", page, re.DOTALL)]
    assert len(queries) >= 6
    assert "before.sql" not in page or len(queries) > len(QUERY.findall(page))
    for query in queries:
        said = capflog("sql", query, ROOT / "samples" / "ces-overloaded.zip", "--format", "json")
        rows = json.loads(said.out)
        assert (said.status, bool(rows)) == (0, True), query
        assert any(value is not None for row in rows for value in row.values()), query


def test_the_page_s_words_for_pandas_and_duckdb_find_something(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parquet.write(tmp_path / "events.parquet", document_of("ces-overloaded"), lines_of("ces-overloaded"))
    (code,) = re.findall(r"```python\n(.+?)```", page, re.DOTALL)
    *before, last = code.strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(before), names)
    assert eval(last, names).sum() > 0
    (query,) = re.findall(r'duckdb -c "([^"]+)"', page)
    with duckdb.connect() as db:
        assert db.execute(query).fetchall()
