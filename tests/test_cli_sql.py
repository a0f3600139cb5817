"""``capflog sql`` as a user calls it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from capflog.events import VALUES
from capflog.exports.tables import TABLES
from capflog.query import QueryError, Rows, reads, rows_enough
from capflog.reports import rows as rows_report
from tests.hostile import DETAIL, HOSTILE, PHONE, hostile_bundle
from tests.test_stopping import heed_signals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]
    Sample = Callable[[str], Path]

NAME = "ca-dns-failure"
EVENTS = 1308


def shown(names: list[str], rows: list[tuple[Any, ...]], width: int = 80) -> str:
    return "".join(rows_report.as_text(Rows(names, iter(rows)), width=width, color=False, unicode=True))


# ---- what is asked of what -----------------------------------------------------------------------------------------


def test_a_query_of_a_bundle(capflog: Call, sample: Sample) -> None:
    said = capflog("sql", "SELECT source, count(*) AS n FROM events GROUP BY 1 ORDER BY 1", sample(NAME))
    report = json.loads(capflog("analyze", sample(NAME), "--format", "json", "--no-store").out)
    counts: dict[str, int] = {}
    for member in report["bundle"]["members"]:
        if member["source"]:
            counts[member["source"]] = counts.get(member["source"], 0) + member["events"]
    assert (said.status, said.err) == (0, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert lines == [["source", "n"], *([source, str(counts[source])] for source in sorted(counts))]


def test_of_what_was_analyzed_last(capflog: Call, sample: Sample) -> None:
    capflog("analyze", sample("healthy"))
    capflog("analyze", sample(NAME))
    query = "SELECT device, outcome, causes FROM enrollments ORDER BY id"
    last = capflog("sql", query, "--format", "json")
    assert (last.status, last.err) == (0, "")
    assert last.out == capflog("sql", query, sample(NAME), "--format", "json").out
    assert json.loads(last.out)


def test_what_the_store_does_not_keep_of_events_is_told(capflog: Call, sample: Sample) -> None:
    capflog("analyze", sample(NAME))
    own = "SELECT count(*) AS n FROM events WHERE device = ?".replace("?", f"'{PHONE}'")
    last, every = capflog("sql", own, "--format", "json"), capflog("sql", own, sample(NAME), "--format", "json")
    assert last.out == every.out
    assert "events of ca-dns-failure.zip, analyzed last, are those that timelines show: name the bundle" in last.err
    said = capflog("sql", "SELECT code, status FROM events WHERE taken > 5")
    assert "code, status and taken are not kept and empty here" in said.err
    assert said.err.count("\n") == 2
    assert capflog("sql", "SELECT count(code) FROM events", "--quiet").err == ""
    said = capflog("sql", "SELECT * FROM events LIMIT 1")
    assert f"and {len(VALUES) + 1 - 3} more columns are not kept" in said.err


def test_nothing_was_analyzed_yet(capflog: Call) -> None:
    said = capflog("sql", "SELECT 1")
    assert (said.status, said.out) == (2, "")
    assert "nothing has been analyzed yet" in said.err


def test_a_query_from_standard_input(capflog: Call, sample: Sample) -> None:
    text = b"-- how many\nSELECT count(*) AS n\nFROM events;\n"
    said = capflog("sql", "-", sample(NAME), "--format", "jsonl", stdin=text)
    assert (said.status, said.out) == (0, f'{{"n":{EVENTS}}}\n')
    assert capflog("sql", "-", "-", stdin=text).status == 2


def test_slow_answers_of_the_ca(capflog: Call, sample: Sample) -> None:
    query = "SELECT device, url, taken FROM events WHERE taken > 200 ORDER BY taken DESC"
    found = json.loads(capflog("sql", query, sample("healthy"), "--format", "json").out)
    assert found
    assert [row["taken"] for row in found] == sorted((row["taken"] for row in found), reverse=True)
    assert all(row["taken"] > 200 and row["url"].startswith("/certsrv") for row in found)


def test_tables_go_together(capflog: Call, sample: Sample) -> None:
    query = """
        WITH worst AS (SELECT rule FROM findings WHERE severity = 'error' LIMIT 1)
        SELECT f.rule, count(DISTINCT a.device) AS phones, min(e.time) AS first, max(f.devices) AS told
        FROM worst JOIN findings f USING (rule) JOIN affected a USING (rule) JOIN events e ON e.device = a.device
    """
    (found,) = json.loads(capflog("sql", query, sample(NAME), "--format", "json").out)
    assert found["rule"] == NAME
    assert found["phones"] == found["told"] > 1
    assert re.fullmatch(r"2019-01-1\dT\d\d:\d\d:\d\d\.\d{3}Z", found["first"])


def test_a_query_tells_what_it_reads() -> None:
    assert reads("SELECT device, taken FROM events") == {"events": {"device", "taken"}}
    assert reads("SELECT count(*) FROM events") == {"events": set()}
    assert reads("SELECT 1") == {}
    assert reads("WITH d AS (SELECT id FROM enrollments) SELECT (SELECT max(line) FROM events) FROM d, starts") == {
        "enrollments": {"id"},
        "events": {"line"},
        "starts": set(),
    }
    assert reads("explain query plan select rule from findings") == {"findings": {"rule"}}


# ---- what it looks like --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 80, 160])
def test_text_fits_the_width(capflog: Call, sample: Sample, width: int) -> None:
    for query in (
        "SELECT time, device, event, text FROM events WHERE fault LIMIT 40",
        "SELECT * FROM events LIMIT 5",
        "SELECT rule, title, explanation FROM findings",
        "SELECT basis FROM clocks",
    ):
        said = capflog("sql", query, sample(NAME), env={"COLUMNS": str(width)})
        assert said.status == 0
        assert max(map(cell_len, said.out.splitlines())) <= width
        assert said.out.endswith("\n")
        assert not said.out.endswith("\n\n")


def test_steps_of_a_remedy_are_lines(capflog: Call, sample: Sample) -> None:
    query = "SELECT rule, remedy FROM findings LIMIT 1"
    steps = json.loads(capflog("sql", query, sample(NAME), "--format", "json").out)[0]["remedy"].split("\n")
    assert len(steps) > 2
    for width in ("40", "80", "600"):
        text = capflog("sql", query, sample(NAME), env={"COLUMNS": width}).out
        assert "\\x0a" not in text
        begins = [line.split("  ")[-1].strip() for line in text.splitlines()]
        assert all(any(begun and step.startswith(begun) for begun in begins) for step in steps), text
    (_, row) = csv.reader(StringIO(capflog("sql", query, sample(NAME), "--format", "csv").out, newline=""))
    assert row[1].split("\n") == steps


def test_lines_within_a_cell_do_no_harm() -> None:
    hostile = "a\n=cmd()\r\n\x1b[2J\r\n\n+1\rb"
    written = "".join(rows_report.as_csv(Rows(["x", "y"], iter([(hostile, 1)]))))
    assert list(csv.reader(StringIO(written, newline="")))[1:] == [["a\n'=cmd()\n\\x1b[2J\n\n'+1\\x0db", "1"]]
    assert "\x1b" not in shown(["x", "y"], [(hostile, 1)])
    assert shown(["x", "y"], [("one\ntwo three\n", 1), ("b", 2)]) == (
        "x          y\none        1\ntwo three\nb          2\n"
    )


def test_a_table_for_people() -> None:
    assert shown(["device", "n"], [("SEP1", 5), (None, 12345), ("ATA", None)]) == (
        "device      n\nSEP1        5\n        12345\nATA\n"
    )
    assert shown(["n"], []) == "n\n"
    # More than one page of rows is set in one way.
    many = [(f"SEP{number}", number) for number in range(10_500)]
    lines = shown(["device", "n"], many).splitlines()
    assert [line.split() for line in lines[1:]] == [[device, str(number)] for device, number in many]
    assert lines[1] == "SEP0        0"
    assert lines[-1] == "SEP10499  10499"


def test_a_time_is_never_broken() -> None:
    moment = "2019-01-16T19:48:04.779Z"
    for width in (60, 80, 160):
        lines = shown(["time", "text"], [(moment, "some words " * 40), (moment, "x" * 300)], width).splitlines()
        assert sum(line.startswith(f"{moment}  ") for line in lines) == 2
        assert max(map(len, lines)) <= width


def test_rows_too_wide_for_a_table_are_set_one_by_one() -> None:
    names = [f"column{number}" for number in range(10)]
    found = shown(names, [tuple("value of something" for _ in names), (1, *(None for _ in names[1:]))], 60)
    assert found.startswith("row 1\n  column0  value of something\n")
    assert found.endswith("\n\nrow 2\n  column0  1\n")
    many = shown(names, [("x" * 20,) * 10] * 2001, 60)
    assert many.count("\n\nrow ") == 2000


def test_csv_is_for_spreadsheets(capflog: Call, sample: Sample) -> None:
    said = capflog(
        "sql", "SELECT rule, severity, devices, '=1+1' AS sum FROM findings", sample(NAME), "--format", "csv"
    )
    rows = list(csv.reader(StringIO(said.out)))
    assert rows[0] == ["rule", "severity", "devices", "sum"]
    assert rows[1][0] == NAME
    assert {row[3] for row in rows[1:]} == {"'=1+1"}


def test_no_row_is_a_document_too(capflog: Call, sample: Sample) -> None:
    query = "SELECT device, line FROM events WHERE device = 'nobody'"
    wanted = {"text": "device  line\n", "csv": "device,line\n", "json": "[]\n", "jsonl": ""}
    for form, text in wanted.items():
        said = capflog("sql", query, sample(NAME), "--format", form)
        assert (said.status, said.out, said.err) == (0, text, "capflog: no row\n")


def test_json_loses_no_value(capflog: Call, sample: Sample) -> None:
    query = "SELECT 1 AS n, 2 AS n, 3 AS n_2, 4 AS n, x'00ff' AS b, 9e999 AS i, NULL AS x, 0.5 AS h, '' AS e"
    (row,) = json.loads(capflog("sql", query, sample(NAME), "--format", "json").out)
    assert list(row.items()) == [
        *(("n", 1), ("n_3", 2), ("n_2", 3), ("n_4", 4)),
        *(("b", "x'00ff'"), ("i", None), ("x", None), ("h", 0.5), ("e", "")),
    ]


def test_formats_say_the_same(capflog: Call, sample: Sample) -> None:
    query = "SELECT id, device, seconds, causes FROM enrollments"
    found = {form: capflog("sql", query, sample(NAME), "--format", form).out for form in ("csv", "json", "jsonl")}
    rows = json.loads(found["json"])
    assert [json.loads(line) for line in found["jsonl"].splitlines()] == rows
    assert [tuple(row.values()) for row in csv.DictReader(StringIO(found["csv"]))] == [
        tuple("" if value is None else str(value) for value in row.values()) for row in rows
    ]


def test_the_tables_are_listed(capflog: Call) -> None:
    said = capflog("sql")
    assert (said.status, said.err) == (0, "")
    assert said.out == capflog("sql", "--tables").out
    for table in TABLES.values():
        assert re.search(rf"^{table.name}: {re.escape(table.what[:30])}", said.out, re.MULTILINE)
        for column in table.columns:
            assert re.search(rf"^  {column.name} ", said.out, re.MULTILINE)
    assert max(map(len, said.out.splitlines())) <= 80
    rows = json.loads(capflog("sql", "--tables", "--format", "json").out)
    assert len(rows) == sum(len(table.columns) for table in TABLES.values())
    assert {row["table"] for row in rows} == set(TABLES)


# ---- what is wrong with a query ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("SELECT devise FROM events", "no such column: devise; did you mean events.device?"),
        ("SELECT e.tme FROM events e", "no such column: e.tme; did you mean events.time?"),
        ("SELECT taken FROM enrollments", "no such column: taken; it is a column of events"),
        ("SELECT zzzzzz FROM events", "'capflog sql --tables' lists them"),
        ("SELECT 1 FROM event", "no such table: event; did you mean events?"),
        ("SELECT 1 FROM zzzzzz", "there are events, enrollments, "),
        ("SELECT * FRM events", 'near "FRM": syntax error'),
        ("SELECT nosuch(1)", "no such function: nosuch"),
        ("SELECT * FROM events WHERE", "the query ends too soon"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1 WHERE 1 = ?", "placeholder"),
        ("", "there is no query"),
        (" ;\n", "there is no query"),
        ("SELECT '\udce9'", "no text that SQL can be"),
        ("SELECT '\0'", "no text that SQL can be"),
        ("SELECT \x1b[2J", "\\x1b"),
    ],
)
def test_it_is_told_in_one_line_before_anything_is_read(capflog: Call, query: str, told: str) -> None:
    said = capflog("sql", query, "no/such/bundle.zip")
    assert (said.status, said.out) == (2, "")
    assert told in said.err
    assert said.err.startswith("capflog: ")
    assert said.err.count("\n") == 1
    assert said.err[:-1].isprintable()


def test_a_bundle_in_the_place_of_the_query(capflog: Call, sample: Sample) -> None:
    said = capflog("sql", sample(NAME))
    assert said.status == 2
    assert "is a file: the query comes first" in said.err


def test_an_error_on_the_way_is_told_too(capflog: Call, sample: Sample) -> None:
    said = capflog("sql", "SELECT json_extract('{', '$.a')", sample(NAME))
    assert (said.status, said.out) == (2, "")
    assert said.err == "capflog: the query cannot be done: malformed JSON\n"


def test_no_room_for_the_tables_is_told(capflog: Call, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("capflog.query.fill", full)
    for bundle in ([sample(NAME)], []):
        capflog("analyze", sample(NAME))
        said = capflog("sql", "SELECT device FROM enrollments", *bundle)
        assert (said.status, said.out) == (2, "")
        assert said.err == "capflog: the tables cannot be filled: database or disk is full\n"


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE events",
        "DELETE FROM events",
        "UPDATE events SET device = 'x'",
        "INSERT INTO events (device) VALUES ('x')",
        "WITH x AS (SELECT 1) INSERT INTO events (device) SELECT 'x'",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "CREATE VIRTUAL TABLE x USING fts5(a)",
        "ATTACH 'FILE' AS other",
        "DETACH main",
        "VACUUM INTO 'FILE'",
        "PRAGMA user_version = 3",
        "PRAGMA temp_store_directory = '/'",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('FILE')",
        "BEGIN",
        "ANALYZE",
    ],
)
def test_a_query_can_do_nothing_but_read(capflog: Call, sample: Sample, tmp_path: Path, query: str) -> None:
    made = tmp_path / "made.db"
    said = capflog("sql", query.replace("FILE", str(made)), sample(NAME))
    assert (said.status, said.out) == (2, "")
    assert said.err == "capflog: a query can read the tables and nothing else: SELECT ...\n"
    assert not made.exists()


def test_reading_alone_is_held_where_the_query_runs_too(tmp_path: Path) -> None:
    from capflog.query import run, tables_of

    db = tables_of({}, [], {})
    for query in ("DROP TABLE events", f"ATTACH '{tmp_path / 'a.db'}' AS a", f"VACUUM INTO '{tmp_path / 'a.db'}'"):
        with pytest.raises(QueryError, match="read the tables and nothing else"):
            run(db, query)
    assert list(run(db, "SELECT count(*) FROM events").rows) == [(0,)]
    db.close()
    assert list(tmp_path.iterdir()) == []


# ---- hostile logs --------------------------------------------------------------------------------------------------


def test_hostile_text_acts_on_nothing(capflog: Call, tmp_path: Path) -> None:
    bundle = hostile_bundle(tmp_path / "logs")
    query = "SELECT member, detail, text FROM events WHERE code = 60"
    for width in ("60", "300"):
        text = capflog("sql", query, bundle, env={"COLUMNS": width}).out
        assert all(line.isprintable() for line in text.splitlines())
    cells = list(csv.reader(StringIO(capflog("sql", query, bundle, "--format", "csv").out)))
    assert cells[1][1].startswith("'=cmd|' /C calc'!A0")
    assert all(cell.isprintable() for row in cells for cell in row)
    said = capflog("sql", query, bundle, "--format", "jsonl").out
    assert said.isascii()
    rows = [json.loads(line) for line in said.splitlines()]
    assert {row["detail"] for row in rows} == {DETAIL}
    assert any(HOSTILE in row["text"] for row in rows)
    assert any(row["member"].endswith("nginx0000000\ufffd.txt") for row in rows)


def test_a_name_of_a_column_is_harmless_too(capflog: Call, sample: Sample) -> None:
    query = 'SELECT 1 AS "\x1b[2J=x\u202e", \'a\' AS "=1+1"'
    text = capflog("sql", query, sample(NAME)).out
    assert all(line.isprintable() for line in text.splitlines())
    assert "\\x1b[2J=x\\u202e" in text
    assert capflog("sql", query, sample(NAME), "--format", "csv").out.splitlines()[0].endswith(",'=1+1")
    (row,) = json.loads(capflog("sql", query, sample(NAME), "--format", "json").out)
    assert list(row) == ["\x1b[2J=x\u202e", "=1+1"]


# ---- a process of its own ------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as POSIX has it")
def test_ctrl_c_ends_a_query_that_never_ends(capflog: Call, sample: Sample, own_store: Path) -> None:
    capflog("analyze", sample(NAME))
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    words = [sys.executable, "-m", "capflog", "sql", endless, "--format", "jsonl"]
    # (Whoever runs the tests in the background may have Ctrl-C ignored, which a process inherits.)
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,  # noqa: PLW1509
    ) as process:
        # Time for it to be at work; where it is not, it must end alike.
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        try:
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, err) == (130, "capflog: interrupted\n")


# ---- names between double quotes, and what stands around a query -----------------------------------------------------


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('SELECT "devce" FROM events', 'no such column: "devce"; did you mean events.device?; text stands between'),
        ('SELECT e."devce" FROM events e', "no such column: e.devce; did you mean events.device?"),
        (
            'SELECT count(*) FROM events WHERE device = "SEP74A02FC0A675"',
            "no such column: \"SEP74A02FC0A675\"; 'capflog sql --tables' lists them; text stands between single quotes",
        ),
        ('SELECT 1 FROM events WHERE text LIKE "it""s `so`"', 'no such column: "it"s `so`"; '),
        ('SELECT device AS "phone" FROM events ORDER BY "phnoe"', 'no such column: "phnoe"; '),
    ],
)
def test_a_name_that_nothing_has_is_no_text(capflog: Call, query: str, words: str) -> None:
    said = capflog("sql", query, "/nowhere.zip")
    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert words in said.err


@pytest.mark.parametrize(
    "query",
    [
        'SELECT "device" FROM "events"',
        'SELECT "E"."DEVICE" AS "no ""column""" FROM events AS "E" GROUP BY "no ""column""" HAVING count("line") > 0',
        'WITH "w`x" AS (SELECT id AS "a b" FROM enrollments) SELECT "a b" FROM "w`x"',
        'SELECT \'say "so"\' -- "none"\n/* "nor this" */ FROM events',
        'SELECT count(*) AS [a "b"], max(line) AS `c "d"` FROM events',
    ],
)
def test_names_between_double_quotes_are_names(query: str) -> None:
    assert reads(query)


def test_the_names_of_columns_stay_as_they_are_asked_for(capflog: Call, sample: Sample) -> None:
    said = capflog("sql", 'SELECT count("line") FROM "events";', sample(NAME), "--format", "csv")
    assert (said.status, said.out.splitlines()) == (0, ['"count(""line"")"', str(EVENTS)])


@pytest.mark.parametrize(
    "query",
    ["SELECT 1;;", "/* a */ -- b\n SELECT 1 ; -- c\n ;/* d */;", "; SELECT 1", "SELECT 1 /* not closed", "SELECT 1 --"],
)
def test_comments_and_empty_statements_around_a_query(capflog: Call, sample: Sample, query: str) -> None:
    said = capflog("sql", query, sample(NAME), "--format", "jsonl")
    assert (said.status, said.err, said.out) == (0, "", '{"1":1}\n')


def test_a_query_behind_a_comment_can_be_explained(capflog: Call, sample: Sample) -> None:
    said = capflog("sql", "/* how? */ EXPLAIN QUERY PLAN SELECT device FROM events", sample(NAME), "--format", "csv")
    assert (said.status, said.err) == (0, "")
    assert "SCAN events" in said.out
    assert "there is no query" in capflog("sql", "/* nothing */ -- at all", sample(NAME)).err
    assert "more than one statement" in capflog("sql", "SELECT 1; -- and\nSELECT 2", sample(NAME)).err
    assert "can read the tables and nothing else" in capflog("sql", "/* x */ DROP TABLE events", sample(NAME)).err


def test_the_first_events_alone_are_put_into_the_table() -> None:
    enough = {
        "SELECT text FROM events LIMIT 20": 20,
        "-- so many\nselect e.time as t, line, text from events limit 5 offset 7 ;": 12,
        "SELECT * FROM events LIMIT 3": 3,
    }
    for query in (
        "SELECT count(*) FROM events LIMIT 1",
        "SELECT DISTINCT device FROM events LIMIT 5",
        "SELECT text FROM events",
        "SELECT text FROM events WHERE fault LIMIT 5",
        "SELECT text FROM events ORDER BY line LIMIT 5",
        "SELECT text FROM events LIMIT -1",
        "SELECT id FROM enrollments UNION SELECT device FROM events LIMIT 5",
        "SELECT text FROM findings LIMIT 5",
        "SELECT text FROM events LIMIT 5 + 5",
    ):
        assert rows_enough(query) is None, query
    assert {query: rows_enough(query) for query in enough} == enough


def test_a_limit_gives_the_same_first_events(capflog: Call, sample: Sample) -> None:
    some = capflog("sql", "SELECT time, line FROM events LIMIT 5 OFFSET 2", sample(NAME), "--format", "csv")
    every = capflog("sql", "SELECT time, line FROM events", sample(NAME), "--format", "csv")
    assert some.out.splitlines()[1:] == every.out.splitlines()[3:8]
    assert some.err == ""
