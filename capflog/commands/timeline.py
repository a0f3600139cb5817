"""``capflog timeline``: everything that happened to one phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.analyzing import optional_bundles, read_only, store_option
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.completing import known_devices
from capflog.commands.console import note, put, screen, stop
from capflog.commands.excerpt_options import excerpt_options
from capflog.commands.last import of_last, of_option
from capflog.commands.rule_options import rules_option
from capflog.commands.where import chosen, cut, needs_bundle, where_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.conditions import Condition
    from capflog.model import Timeline
    from capflog.reports.excerpt import Window
    from capflog.store import Run, Store


@click.command(
    cls=Command,
    examples=(
        ("capflog timeline SEP74A02FC0A675", "of what was analyzed last"),
        ("capflog timeline 74:a0:2f:c0:a6:75 bundle.zip", ""),
        ("capflog timeline 'CSF*' --since 13:00 --until 14:30", ""),
        ("capflog timeline SEP74A02FC0A675 --around 14:05:02 --within 30s --all", ""),
        ("capflog timeline 'SEP*' bundle.zip --where 'enrollment with outcome = failed'", ""),
    ),
)
@click.argument("device", shell_complete=known_devices)
@optional_bundles
@excerpt_options
@click.option("--all", "every", is_flag=True, help="Show lines, too, that may be DEVICE's but are nobody's for sure.")
@where_option
@rules_option
@clock_options
@of_option
@store_option
def timeline(
    device: str,
    bundles: tuple[str, ...],
    window: Window | None,
    every: bool,
    where: Condition | None,
    clocks: Clocks,
    store: Path | None,
) -> None:
    """Show everything that happened to DEVICE, over all logs, on one clock.

    DEVICE is a name, a name with *, or a MAC address in any spelling. Without BUNDLE it is asked of what was analyzed
    last; then of the options that tell of clocks --display-tz alone is of use.

    TIME is read as one types it: 14:05:02, 2:05pm, 2019-01-16 14:05, 16 Jan 2019, 14:05Z, "14:05 -05:00". Without a
    zone it is in that of the times shown. Without a day it is that time on every day of the logs, or on that day which
    the other of --since and --until has. Lines without a time are shown where they may lie in the window.
    """
    from capflog.reports import timeline as timeline_report  # noqa: PLC0415
    from capflog.timelines import UnknownDeviceError  # noqa: PLC0415

    look: dict[str, Any] = {**screen(), "display": clocks.display, "every": every}
    try:
        found = _timelines_of(device, bundles, clocks, store, where, every=every or window is not None)
    except UnknownDeviceError as error:
        stop(str(error))
    if window is None:
        pages = [timeline_report.render(one, **look) for one in found]
    else:
        from capflog.reports.excerpt import EmptyWindowError, excerpts  # noqa: PLC0415

        try:
            parts, empty = excerpts(found, window, clocks.display, every=every)
        except EmptyWindowError as error:
            stop(str(error))
        pages = [timeline_report.render(part.timeline, **look, excerpt=part) for part in parts]
        if empty:
            pages.append(timeline_report.render_empty(empty, window, **screen()))
    for number, page in enumerate(pages):
        if number:
            put("")
        put(page)


def _timelines_of(
    device: str,
    bundles: Sequence[str],
    clocks: Clocks,
    store: Path | None,
    where: Condition | None,
    *,
    every: bool,
) -> list[Timeline]:
    from capflog.timelines import match_devices, names, timelines  # noqa: PLC0415

    if bundles and Path(device).exists() and not any(Path(bundle).exists() for bundle in bundles):
        stop(f"{device} is a file: the device comes first, then the bundle (capflog timeline DEVICE BUNDLE)")
    if bundles:
        analysis = read_only(bundles, clocks)
        wanted = match_devices(device, names(analysis))
        if where is None:
            return list(timelines(analysis, wanted, every=every))
        ids = chosen(analysis, where)
        there = {e.device or e.id for e in analysis.report.enrollments if e.id in ids}
        fit = [name for name in wanted if name in there]
        if not fit:
            note(f"no enrollment of {device} fits --where")
            return []
        return [cut(one, ids) for one in timelines(analysis, fit, every=every)]
    needs_bundle(where, bundles)
    # (A folder may be called as a device is.)
    if Path(device).is_file():
        stop(
            f"{device}: that is a file, and no device is named; 'capflog timeline DEVICE {device}', and "
            f"'capflog devices {device}' lists the devices"
        )

    def ask(kept: Store, run: Run) -> list[Timeline]:
        wanted = match_devices(device, kept.devices(run.id))
        return [one for name in wanted if (one := kept.timeline(run.id, name, every=every)) is not None]

    return of_last(clocks, store, ask)
