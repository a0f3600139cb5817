"""``capflog analyze``: what is wrong, why, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from capflog.commands.analyzing import analyzed, bundles_argument, store_options, unreadable_ends, wants_store
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.console import note
from capflog.commands.judging import places
from capflog.commands.output_options import Outputs, output_options
from capflog.commands.rule_options import rulebook, rules_option
from capflog.commands.where import chosen, restricted, where_option
from capflog.results import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.conditions import Condition
    from capflog.model import Report


@click.command(
    cls=Command,
    examples=(
        ("capflog analyze bundle.zip", ""),
        ("capflog analyze capf00000001.txt nginx00000001.txt u_ex190116.log", "several files are read as one bundle"),
        ("capflog analyze bundle.zip --where 'enrollment with outcome = failed and waited > 9'", ""),
        ("capflog analyze bundle.zip --output report.json --output markdown=ticket.txt", ""),
        ("cat bundle.zip | capflog analyze - --format json", "or of ssh: it need not lie on this machine"),
    ),
)
@bundles_argument
@output_options
@where_option
@rules_option
@clock_options
@store_options
def analyze(
    bundles: tuple[str, ...],
    outputs: Outputs,
    where: Condition | None,
    clocks: Clocks,
    store: Path | None,
    no_store: bool,
) -> None:
    """Read BUNDLE and tell what is wrong, why, the lines that prove it, and what to do."""
    outputs.spare(bundles)
    with unreadable_ends():
        analysis = analyzed(bundles, clocks.told, store, keep=wants_store(no_store=no_store))
    report, ids = analysis.report, None
    collections = _collections(bundles, report)
    if collections > 1:
        note(f"{collections} collections are read as one; 'capflog check' judges each by itself")
    if where is not None:
        ids = chosen(analysis, where)
        report = restricted(report, ids, where)
    zone, asked = analysis.alignment.display_zone, tuple(rulebook().rules)
    result = Result(report, analysis=analysis, enrollments=ids, zone=zone, rules=asked, inputs=places(bundles))
    outputs.write([result], clocks.display)


def _collections(bundles: Sequence[str], report: Report) -> int:
    """Count the archives and folders named that hold traces of CAPF: each may be a collection of its own."""
    from capflog.bundle import labels  # noqa: PLC0415

    traced = [member.member for member in report.members if member.source == "capf"]
    return sum(any(name.startswith((f"{label}!/", f"{label}/")) for name in traced) for label in set(labels(bundles)))
