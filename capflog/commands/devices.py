"""``capflog devices``: how each phone fared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capflog.commands.analyzing import optional_bundles, read_only, store_option
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.console import put, screen, stop
from capflog.commands.device_options import device_options
from capflog.commands.last import of_last, of_option
from capflog.commands.rule_options import rules_option
from capflog.commands.where import chosen, needs_bundle, restricted, where_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.conditions import Condition
    from capflog.devices import Devices, Wish
    from capflog.store import Run, Store

#: What devices are called: SEP, ATA and so on with a MAC address, or that alone; CSF and a user's name.
_DEVICE = re.compile(
    r"[A-Z]{0,3}(?:[0-9A-F]{12}|(?:[0-9A-F]{2}[:-]){5}[0-9A-F]{2})|(?:CSF|TCT|BOT|TAB)\w+", re.IGNORECASE
)


@click.command(
    cls=Command,
    examples=(
        ("capflog devices bundle.zip", ""),
        ("capflog devices --outcome failed --outcome incomplete", "of what was analyzed last"),
        ("capflog devices --of bundle.zip", "of an earlier analysis"),
        ("capflog devices bundle.zip --cause 'ca-*' --format csv", ""),
        ("capflog devices bundle.zip --where 'enrollment with waited > 5'", ""),
    ),
)
@optional_bundles
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "csv"]),
    default="text",
    show_default=True,
    help="What standard output gets.",
)
@device_options
@where_option
@rules_option
@clock_options
@of_option
@store_option
def devices(
    bundles: tuple[str, ...],
    form: str,
    wish: Wish,
    where: Condition | None,
    clocks: Clocks,
    store: Path | None,
) -> None:
    """List the devices: how often each tried, and what came of its latest attempt.

    Those whose latest attempt failed come first, then those not seen to the end, each by time. An enrollment of which
    no line names the device stands for itself, by its id. Without BUNDLE it is asked of what was analyzed last.
    """
    from capflog.reports import devices as devices_report  # noqa: PLC0415

    found = _devices_of(bundles, clocks, store, where)
    if form == "json":
        put(devices_report.as_json(found, wish))
    elif form == "csv":
        put(devices_report.as_csv(found, wish))
    else:
        put(devices_report.render(found, wish, **screen(), display=clocks.display))


def _devices_of(bundles: Sequence[str], clocks: Clocks, store: Path | None, where: Condition | None) -> Devices:
    from capflog.devices import Devices, devices_in, devices_of  # noqa: PLC0415

    for name in bundles:
        if _DEVICE.fullmatch(name) and not Path(name).exists():
            stop(f"{name}: no such file or folder; if that is a device: capflog timeline {name}")
    if bundles:
        analysis = read_only(bundles, clocks)
        report, zone = analysis.report, analysis.alignment.display_zone
        if where is not None:
            report = restricted(report, chosen(analysis, where), where)
        return Devices(report.bundle, devices_of(report.enrollments), report.clocks, zone)

    needs_bundle(where, bundles)

    def ask(kept: Store, run: Run) -> Devices:
        import json  # noqa: PLC0415

        return devices_in(json.loads(kept.report(run.id)), kept.zone(run.id))

    return of_last(clocks, store, ask)
