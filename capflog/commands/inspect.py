"""``capflog inspect``: what each member of a bundle is."""

from __future__ import annotations

import click

from capflog.commands.analyzing import bundles_argument, read_only
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.console import put, screen


@click.command(
    cls=Command,
    examples=(
        ("capflog inspect bundle.zip", ""),
        ("capflog inspect capf00000001.txt nginx00000001.txt", ""),
    ),
)
@bundles_argument
@clock_options
def inspect(bundles: tuple[str, ...], clocks: Clocks) -> None:
    """List every member of BUNDLE: what it was taken for and why, its lines, events, unknown lines and times."""
    from capflog.reports import inspect as inspect_report  # noqa: PLC0415

    analysis = read_only(bundles, clocks)
    zone = analysis.alignment.display_zone
    put(inspect_report.render(analysis.report, **screen(), zone=zone, display=clocks.display))
