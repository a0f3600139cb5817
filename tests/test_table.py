"""The event table: how rows are found in it, whatever is looked at together."""

from __future__ import annotations

import numpy as np
import pytest

from capflog import table as table_module
from capflog.attempts import by_member, unroll
from capflog.clock_log import each_once
from capflog.events import Event
from capflog.facts import distinct_numbers
from capflog.rows import NONE, Shape, rows_of_events
from capflog.table import Table, TableBuilder


def a_table() -> Table:
    """Two of CAPF's files, of which one is read in two parts, with error.log between them."""
    builder = TableBuilder()
    one = [Event("capf.message", 1_000 * k, values={"message": "END_SESSION" if k % 3 else "HELLO"}) for k in range(7)]
    builder.add("capf", "b/capf2.txt", one[:4])
    builder.add("nginx", "error.log", [Event("est.peer", None), Event("curl.ok", 5_000), Event("est.peer", None)])
    builder.add("capf", "b/capf2.txt", one[4:])
    builder.add("capf", "b/capf1.txt", [Event("capf.poll", None), Event("capf.message", 9_000)])
    return builder.table()


@pytest.fixture(params=[1, 2, 1 << 18])
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Table:
    monkeypatch.setattr(table_module, "_PIECE", request.param)
    return a_table()


def test_rows_of_one_member_stand_together_in_runs(table: Table) -> None:
    members = [table.members[code] for code in table.runs[:, 2].tolist()]
    assert table.runs[:, :2].tolist() == [[0, 4], [4, 7], [7, 10], [10, 12]]
    assert members == ["b/capf2.txt", "error.log", "b/capf2.txt", "b/capf1.txt"]
    assert table.of_source("capf").tolist() == [0, 1, 2, 3, 7, 8, 9, 10, 11]
    assert table.of_source("iis").tolist() == []
    parts = by_member(table, table.of_source("capf"))
    assert {table.members[code]: rows.tolist() for code, rows in parts.items()} == {
        "b/capf1.txt": [10, 11],
        "b/capf2.txt": [0, 1, 2, 3, 7, 8, 9],
    }


def test_rows_are_found_by_their_kinds(table: Table) -> None:
    assert table.rows_of("est.peer", "curl.ok", "no.such.kind").tolist() == [4, 5, 6]
    assert table.rows_of("capf.message", "est.peer", source="nginx").tolist() == [4, 6]
    each = table.rows_of_each(["est.peer", "capf.poll", "no.such.kind"])
    assert {kind: rows.tolist() for kind, rows in each.items()} == {
        "est.peer": [4, 6],
        "capf.poll": [10],
        "no.such.kind": [],
    }


def test_rows_are_found_by_a_word_that_they_say(table: Table) -> None:
    assert table.rows_saying("message", "END_SESSION").tolist() == [1, 2, 7, 8]
    assert table.rows_saying("message", "nothing").tolist() == []


def test_what_a_row_says_itself_counts_more_than_what_its_shape_says() -> None:
    builder = TableBuilder()
    shape = builder.vocabulary.shape(Shape("capf.message", words=(("message", "END_SESSION"),)))
    other = builder.vocabulary.of("message").codes_of(["HELLO", "END_SESSION"])
    rows = rows_of_events([Event("capf.message", 1_000)] * 4, builder.vocabulary)
    rows.shape[:] = shape
    rows.words["message"] = np.array([1, 2], dtype=np.int64), other
    builder.add_rows("capf", "capf1.txt", rows)
    assert builder.table().rows_saying("message", "END_SESSION").tolist() == [0, 2, 3]


def test_a_trace_that_is_no_piece_of_the_table_gives_the_same_columns(table: Table) -> None:
    trace = unroll(table)
    assert trace.first is None
    assert trace.rows.tolist() == [11, 0, 1, 2, 3, 7, 8, 9]
    assert trace.of(table.line).tolist() == table.line[trace.rows].tolist()
    assert trace.positions(np.array([2, 4, 7, 11])).tolist() == [0, 3, 5]


@pytest.mark.parametrize("values", [[], [3], [3, 3, 3], [1, 2, 2, 5], [9, NONE, 3, 9, NONE]])
def test_distinct_numbers_are_those_that_there_are(values: list[int]) -> None:
    assert each_once(np.array(values, dtype=np.int64)).tolist() == sorted(set(values))
    for times, far in ((1, 1), (50, 1), (50, 1 << 40)):
        many = np.array([v if v == NONE else v * far for v in values] * times, dtype=np.int64)
        found, places = distinct_numbers(many)
        assert found[places].tolist() == many.tolist()
        assert len(set(found.tolist())) == len(found)


def test_many_distinct_numbers_are_found_too() -> None:
    many = np.arange(100, dtype=np.int64) * (1 << 40)
    found, places = distinct_numbers(many)
    assert found[places].tolist() == many.tolist()
