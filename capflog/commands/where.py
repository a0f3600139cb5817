"""``--where``: the enrollments on which a condition holds, in the language of the rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.console import note, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capflog.analysis import Analysis
    from capflog.conditions import Condition
    from capflog.model import Report, Timeline


def where_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--where``; the command has the condition as ``where``, read before anything else, or None."""
    return click.option(
        "--where",
        metavar="CONDITION",
        callback=_read,
        help="Only enrollments on which this holds, in the language of the rules: 'curl.failed with code = 28'.",
    )(command)


def _read(_context: click.Context, _option: click.Parameter, text: str | None) -> Condition | None:
    if text is None:
        return None
    from capflog.conditions import ConditionError  # noqa: PLC0415  (pyparsing is behind it)
    from capflog.grammar import read  # noqa: PLC0415
    from capflog.rulebook import known_kinds  # noqa: PLC0415

    try:
        condition = read(text, known_kinds())
    except ConditionError as error:
        stop(f"--where, {error}")
    if condition.of_clocks or condition.of_bundle:
        stop("--where is asked of each enrollment: this condition asks of a clock, or of the whole bundle")
    return condition


def needs_bundle(where: Condition | None, bundles: Sequence[str]) -> None:
    """End with one line where a condition is asked of what was analyzed last: its lines are in the bundle alone."""
    if where is not None and not bundles:
        stop("--where asks the lines themselves: name the bundle, too")


def chosen(analysis: Analysis, where: Condition) -> set[str]:
    """Give the ids of the enrollments on which a condition holds, and say how many they are."""
    from capflog.advance import step_named  # noqa: PLC0415
    from capflog.asking import Asking  # noqa: PLC0415
    from capflog.clock_facts import compared  # noqa: PLC0415
    from capflog.starts import find_starts  # noqa: PLC0415
    from capflog.world import History  # noqa: PLC0415

    columns, facts, stories = analysis.columns, analysis.facts, analysis.stories
    reached = analysis.advance.reached(stories)
    asking = Asking(
        columns,
        facts,
        stories,
        [],
        [],
        compared(analysis.report.clocks),
        [_rule(where)],
        lambda number: step_named(int(reached[number])),
        {member.source for member in analysis.report.members if member.source},
        History(columns, facts.table, find_starts(analysis.events), [where]),
    )
    for why in asking.failed.values():
        stop(f"--where: {why}")
    every = analysis.report.enrollments
    ids = {every[number].id for number in asking.spoken}
    note(f"--where: {len(ids):,} of {len(every):,} enrollments")
    return ids


def _rule(where: Condition) -> Any:
    from capflog.rulebook import Rule  # noqa: PLC0415

    return Rule(
        id="where",
        title="",
        severity="error",
        status="documented",
        since="",
        scope="device",
        when=where.text,
        likely=None,
        explanation="",
        remedy=[],
        verify=[],
        alternatives=[],
        supersedes=[],
        references=[],
        condition=where,
        likely_condition=None,
    )


def restricted(report: Report, ids: set[str], where: Condition) -> Report:
    """Give the report of some enrollments alone: with the findings of their phones, and those that are of no phone.

    Its verdict stays the whole bundle's.
    """
    enrollments = [one for one in report.enrollments if one.id in ids]
    devices = sorted({one.device for one in enrollments if one.device is not None})
    causes = {cause for one in enrollments for cause in one.causes}
    findings = [f for f in report.findings if f.rule in causes or not f.devices or set(f.devices) & set(devices)]
    text = " ".join(where.text.split())
    every = len(report.enrollments)
    return replace(report, enrollments=enrollments, devices=devices, findings=findings, where=text, every=every)


def cut(timeline: Timeline, ids: set[str]) -> Timeline:
    """Give the timeline of some enrollments alone."""
    return replace(
        timeline,
        enrollments=[one for one in timeline.enrollments if one.id in ids],
        rows=[row for row in timeline.rows if row.enrollment in ids],
    )
