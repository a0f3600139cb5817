"""``capflog export``: the events, for log platforms and databases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.analyzing import optional_bundles, read_only, shown_progress, store_option
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.completing import known_devices
from capflog.commands.console import note, put_bytes, stop
from capflog.commands.files import unwritable, write_whole
from capflog.commands.helping import Named
from capflog.commands.last import analyzed_when, of_last, of_option
from capflog.commands.rule_options import rules_option
from capflog.commands.where import chosen, needs_bundle, restricted, where_option
from capflog.exports import EXPORTS, Export, export_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from capflog.conditions import Condition
    from capflog.eventlines import EventLine
    from capflog.store import Run, Store


@click.command(
    cls=Command,
    examples=(
        ("capflog export bundle.zip --format timesketch -o timeline.jsonl", ""),
        ("capflog export bundle.zip --format ecs | gzip > events.ndjson.gz", ""),
        ("capflog export bundle.zip --format otlp-json -o logs.jsonl", ""),
        ("capflog export --format sqlite -o last.sqlite", "of what was analyzed last"),
        ("capflog export --of bundle.zip --format ecs", "of what is kept of an earlier analysis"),
        ("capflog export bundle.zip -o events.parquet --device 'SEP74*'", "the file's name tells the format"),
        ("capflog export bundle.zip --format ecs --where 'enrollment with outcome = failed'", ""),
    ),
)
@optional_bundles
@click.option(
    "--format",
    "form",
    cls=Named,
    meanings={export.name: export.what for export in EXPORTS.values()},
    metavar="NAME",
    type=click.Choice(list(EXPORTS)),
    help="What is written.  [default: as the name of --output tells]",
)
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write this file, whole or not at all, instead of standard output (which is -, too).",
)
@click.option(
    "--device",
    metavar="NAME",
    shell_complete=known_devices,
    help="Only events of this device: a name, * in it, or a MAC address.",
)
@where_option
@rules_option
@clock_options
@of_option
@store_option
def export(
    bundles: tuple[str, ...],
    form: str | None,
    output: Path | None,
    device: str | None,
    where: Condition | None,
    clocks: Clocks,
    store: Path | None,
) -> None:
    """Write the events of all logs, on one clock, each with its phone and its enrollment, for another program.

    With --device or --where only events of these phones, of these enrollments. Without BUNDLE it is done of what was
    analyzed last; the store has the lines that timelines show, but not what was read out of them (URL, status, user).
    """
    output = None if output == Path("-") else output
    wanted = _format(form, output)
    if output is not None and (why := unwritable(output, bundles)):
        stop(f"--output {output}: cannot be written: {why}")
    if bundles:
        document, lines = _of_bundles(bundles, clocks, device, where)
        _write(wanted, output, document, lines)
        return
    needs_bundle(where, bundles)

    def ask(kept: Store, run: Run) -> None:
        # Written while the store is open: it is read as it is written.
        document, lines = _of_store(kept, run, device)
        note(
            f"of {run.bundle}, {analyzed_when(run)}: the lines that timelines show; all lines, and what was read out "
            "of them (URL, status, user), are had with the bundle's name"
        )
        _write(wanted, output, document, lines)

    of_last(clocks, store, ask)


# No format that settings or the environment may name for the other commands is one of these.
next(option for option in export.params if option.name == "form").envvar = None


def _format(form: str | None, output: Path | None) -> Export:
    """Tell which format is wanted: the one that is named, else that of the file by its name."""
    wanted = EXPORTS.get(form or "") or (None if output is None else export_of(output.name))
    if wanted is None:
        which = f"which of {', '.join(EXPORTS)} is wanted"
        untold = "say" if output is None else f"the name {output.name} does not tell"
        stop(f"--format is missing: {untold} {which}")
    if wanted.file and output is None:
        stop(f"--format {wanted.name}: name the file, too: -o events{wanted.suffixes[0]}")
    if output is not None and wanted.named and not output.name.lower().endswith(wanted.named):
        note(f"{output}: Timesketch's importer takes a file only if its name ends with {wanted.named}")
    return wanted


def _of_bundles(
    bundles: Sequence[str], clocks: Clocks, device: str | None, where: Condition | None
) -> tuple[dict[str, Any], Iterator[EventLine]]:
    from capflog.eventlines import event_lines  # noqa: PLC0415
    from capflog.reports.json import document  # noqa: PLC0415
    from capflog.timelines import UnknownDeviceError, match_devices, names  # noqa: PLC0415

    analysis = read_only(bundles, clocks)
    # The events are among the lines: millions of them are not held here, too.
    report = replace(analysis.report, enrollments=[replace(one, records=[]) for one in analysis.report.enrollments])
    ids, wanted = None, None
    if where is not None:
        ids = chosen(analysis, where)
        report = restricted(report, ids, where)
    if device is not None:
        try:
            wanted = set(match_devices(device, names(analysis)))
        except UnknownDeviceError as error:
            stop(str(error))
        if ids is not None and not any((one.device or one.id) in wanted for one in report.enrollments):
            note(f"no enrollment of {device} fits --where")
    whole = document(report)
    if wanted is None:
        return whole, event_lines(analysis, ids)
    # An enrollment without a device is named by its id, which is no device of the table.
    named = sorted(wanted) if wanted <= set(analysis.events.devices) else None
    return _of_devices(whole, wanted), _only(event_lines(analysis, ids, named), wanted)


def _of_store(kept: Store, run: Run, device: str | None) -> tuple[dict[str, Any], Iterator[EventLine]]:
    import json  # noqa: PLC0415

    from capflog.eventlines import kept_lines  # noqa: PLC0415
    from capflog.timelines import UnknownDeviceError, match_devices  # noqa: PLC0415

    document, lines = json.loads(kept.report(run.id)), kept_lines(kept, run.id)
    if device is None:
        return document, lines
    try:
        wanted = set(match_devices(device, kept.devices(run.id)))
    except UnknownDeviceError as error:
        stop(str(error))
    return _of_devices(document, wanted), _only(lines, wanted)


def _only(lines: Iterable[EventLine], wanted: AbstractSet[str]) -> Iterator[EventLine]:
    """Give the lines of some devices, or of enrollments without a device, which are named by their ids."""
    return (line for line in lines if (line.device or line.enrollment) in wanted)


def _of_devices(document: dict[str, Any], wanted: AbstractSet[str]) -> dict[str, Any]:
    """Cut a document to some devices: their enrollments, and the findings that are theirs or of no device."""
    enrollments = [one for one in document["enrollments"] if (one["device"] or one["id"]) in wanted]
    causes = {cause for one in enrollments for cause in one["causes"]}
    findings = [
        one
        for one in document["findings"]
        if not one["devices"] or one["rule"] in causes or wanted & set(one["devices"])
    ]
    return {**document, "enrollments": enrollments, "findings": findings}


class _Counted:
    """Lines on their way, counted: those that a format has no place for are left out, and never in silence."""

    def __init__(self, lines: Iterable[EventLine], *, dated: bool) -> None:
        self._lines, self._dated = lines, dated
        self.given = self.undated = 0

    def __iter__(self) -> Iterator[EventLine]:
        from capflog.exports.common import moment  # noqa: PLC0415

        for line in self._lines:
            if self._dated and moment(line) is None:
                self.undated += 1
                continue
            self.given += 1
            yield line


def _write(wanted: Export, output: Path | None, document: dict[str, Any], lines: Iterable[EventLine]) -> None:
    counted = _Counted(lines, dated=wanted.dated)
    if output is None:
        put_bytes(_encoded(wanted.pieces(document, counted)))
    else:
        try:
            with shown_progress() as progress:
                progress.stage(f"writing {output.name}")
                if wanted.file:
                    wanted.write(output, document, counted)
                else:
                    write_whole(output, _encoded(wanted.pieces(document, counted)))
        except OSError as error:
            stop(f"{output}: not written: {error.strerror or error}")
        note(f"{output}: written, {counted.given:,} event{'' if counted.given == 1 else 's'} in it")
    if counted.undated:
        note(
            f"{counted.undated:,} event{'' if counted.undated == 1 else 's'} left out: nothing in the logs tells when "
            f"{'it was' if counted.undated == 1 else 'they were'}, and {wanted.name} wants a time"
        )


def _encoded(pieces: Iterable[str]) -> Iterator[bytes]:
    return (piece.encode("utf-8", "backslashreplace") for piece in pieces)
