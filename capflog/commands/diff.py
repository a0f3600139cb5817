"""``capflog diff``: what differs between two bundles, or two reports."""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.analyzing import read_only
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.completing import known_files
from capflog.commands.console import FAILED, put, screen, stop
from capflog.commands.rule_options import rules_option

if TYPE_CHECKING:
    from typing import BinaryIO

#: So much is looked at to tell whether a file may be JSON.
_LOOK = 64


@click.command(
    cls=Command,
    short_help="What differs between two bundles.",
    examples=(
        ("capflog diff before.zip after.zip", ""),
        ("capflog diff before.json after.zip --format markdown", "before.json: of 'capflog analyze --format json'"),
        ("capflog diff before.json after.zip --exit-code", "exit status 1 where an error came or a device broke"),
    ),
)
@click.argument("before", metavar="BEFORE", shell_complete=known_files)
@click.argument("after", metavar="AFTER", shell_complete=known_files)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="What standard output gets; for json see 'capflog schema --diff'.",
)
@click.option(
    "--exit-code", is_flag=True, help="Exit with status 1 where an error came or a device broke.  [default: 0 always]"
)
@rules_option
@clock_options
def diff(before: str, after: str, form: str, exit_code: bool, clocks: Clocks) -> None:
    """Tell what differs between BEFORE and AFTER: causes that came and went, devices healed and broken, settings.

    Each is a bundle, or a report that 'analyze' or 'check' wrote with --format json. A cause whose logs AFTER lacks is
    not called gone. Nothing is kept.
    """
    if before == after == "-":
        stop("BEFORE and AFTER: only one of them can be standard input")
    from capflog.comparing import compare  # noqa: PLC0415
    from capflog.reports import difference, difference_json, difference_markdown  # noqa: PLC0415

    found = compare(_document(before, clocks), _document(after, clocks))
    if form == "json":
        put(difference_json.text(found))
    elif form == "markdown":
        put(difference_markdown.markdown(found, unicode=screen()["unicode"], display=clocks.display))
    else:
        put(difference.text(found, **screen(), display=clocks.display))
    if exit_code and found.worse:
        raise click.exceptions.Exit(FAILED)


def _document(path: str, clocks: Clocks) -> dict[str, Any]:
    """Give the report of a side: as it was written, or of the bundle that is analyzed now."""
    kept = _kept(path)
    if kept is not None:
        return kept
    from capflog.reports import json as json_report  # noqa: PLC0415

    report = read_only((path,), clocks).report
    made = json_report.document(replace(report, enrollments=[replace(one, records=[]) for one in report.enrollments]))
    del report
    gc.collect()  # (an analysis turns it off, and two need not be held at once)
    return made


def _kept(path: str) -> dict[str, Any] | None:
    """Read a side that is JSON; None: it is a bundle."""
    text = _text(path)
    if text is None:
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith("capflog-"):
        return None
    from capflog.reports.json import SEVERAL  # noqa: PLC0415
    from capflog.sides import SideError, checked  # noqa: PLC0415

    if schema == SEVERAL:
        reports = document.get("reports")
        if not isinstance(reports, list) or len(reports) != 1:
            count = len(reports) if isinstance(reports, list) else 0
            stop(f"{path}: it holds {count} reports, one is wanted: write one for each bundle")
        document = reports[0]
    try:
        return checked(document)
    except SideError as error:
        stop(f"{path}: not a report that can be compared: {error}")


def _text(path: str) -> str | bytes | None:
    """Read what may be JSON; None: it is none, or cannot be read (the analysis then says why)."""
    if path == "-":
        stream: BinaryIO = sys.stdin.buffer
        peek = getattr(stream, "peek", None)
        if peek is not None:
            return stream.read() if _may_be(peek(_LOOK)) else None
        if not stream.seekable():
            return None
        start = stream.read(_LOOK)
        stream.seek(0)
        return stream.read() if _may_be(start) else None
    try:
        if not Path(path).is_file():
            return None
        with Path(path).open("rb") as file:
            return file.read() if _may_be(file.read(_LOOK)) and not file.seek(0) else None
    except (OSError, ValueError):
        return None


def _may_be(start: bytes) -> bool:
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
