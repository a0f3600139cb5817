"""What is said of all rows at once is what :mod:`capflog.steps` says of each."""

from __future__ import annotations

import pytest

from capflog.advance import NO_STEP, step_named
from capflog.analysis import Analysis, analyze
from capflog.facts import Facts, ordered
from capflog.sieve import gathered
from capflog.steps import in_order, is_fault, last_step, steps_done

from .scenes import analyzed, at, ca_answers, exchange, held, iis, whole

SAMPLES = ["samples/healthy.zip", "samples/ca-dns-failure.zip", "samples/template-misconfigured.zip"]


def scene() -> Analysis:
    trace, log, web = whole("SEP74A02FC0A675", at("13:00:00"))
    return analyzed(
        held("capf1.txt", trace),
        held("error.log", exchange(at("11:00:00"), "early", connection=9), log),
        iis("u_ex.log", ca_answers(at("11:00:00.07"), "early"), web),
    )


@pytest.fixture(params=["scene", *SAMPLES])
def analysis(request: pytest.FixtureRequest) -> Analysis:
    return scene() if request.param == "scene" else analyze([request.param])


def test_steps_of_all_enrollments_are_those_of_each(analysis: Analysis) -> None:
    columns, stories = analysis.columns, analysis.stories
    rows, owner = gathered([story.order for story in stories])
    steps = analysis.advance.steps(rows, owner).tolist()
    reached = analysis.advance.reached(stories).tolist()
    for number, story in enumerate(stories):
        shown = steps_done(columns, story.order)
        own = [step for step, of in zip(steps, owner.tolist(), strict=True) if of == number]
        assert [step_named(step) for step in own] == [shown.get(row) for row in story.order]
        assert step_named(reached[number]) == last_step(columns, shown, issued=story.outcome == "issued")
    assert any(step != NO_STEP for step in steps)


def test_faults_of_all_rows_are_those_of_each(analysis: Analysis) -> None:
    rows = range(len(analysis.events))
    every, _ = gathered([rows])
    assert analysis.advance.faults(every).tolist() == [is_fault(analysis.columns, row) for row in rows]


def test_rows_are_sorted_alike_however_many_they_are(analysis: Analysis) -> None:
    rows = list(range(len(analysis.events)))[::-1]
    for count in (3, len(rows)):
        assert ordered(analysis.columns, analysis.events, rows[:count]) == in_order(analysis.columns, rows[:count])


def test_a_column_of_facts_says_what_each_fact_says(analysis: Analysis) -> None:
    facts, table = Facts(analysis.events, analysis.columns), analysis.events
    for kind in table.kinds:
        rows = table.rows_of(kind)
        for field in ("error", "code", "detail", "url", "level", "device", "session", "source", "status", "raw"):
            numbers, values = facts.column(field, kind, rows)
            told = [values[number] for number in numbers.tolist()]
            assert told == [facts.of(row, raw=True).get(field) for row in rows.tolist()]
