"""``capflog diff``: what differs between two bundles, or two reports."""

from __future__ import annotations

import gc
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.analyzing import read_only
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.completing import known_files
from capflog.commands.console import FAILED, put, screen, stdin, stop
from capflog.commands.rule_options import rules_option

if TYPE_CHECKING:
    from typing import BinaryIO

#: So much is looked at to tell whether a file may be JSON.
_LOOK = 64

#: How --format jsonl and the exports in JSON begin.
_EVENTS = (b'{"bundle":"', b'{"@timestamp":', b'{"message":', b'{"resourceLogs":')

#: Bundles that are named of those that can be chosen from.
_NAMED = 8


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
@click.option("--before", "old", metavar="NAME", help="Of several reports in BEFORE: the one of this bundle.")
@click.option("--after", "new", metavar="NAME", help="Of several reports in AFTER: the one of this bundle.")
@rules_option
@clock_options
def diff(before: str, after: str, form: str, exit_code: bool, old: str | None, new: str | None, clocks: Clocks) -> None:
    """Tell what differs between BEFORE and AFTER: causes that came and went, devices healed and broken, settings.

    Each is a bundle, or a report that 'analyze' or 'check' wrote with --format json (of several in one file that which
    has the other side's name). A cause whose logs AFTER lacks is not called gone. Nothing is kept.
    """
    if before == after == "-":
        stop("BEFORE and AFTER: only one of them can be standard input")
    from capflog.comparing import compare  # noqa: PLC0415
    from capflog.reports import difference, difference_json, difference_markdown  # noqa: PLC0415

    sides = _Side("--before", before, old), _Side("--after", after, new)
    documents = [side.document(other.name, clocks) for side, other in (sides, sides[::-1])]
    if before != after and documents[0]["bundle"]["name"] == documents[1]["bundle"]["name"]:
        _tell_apart(sides, documents)
    found = compare(*documents)
    if form == "json":
        put(difference_json.text(found))
    elif form == "markdown":
        put(difference_markdown.markdown(found, unicode=screen()["unicode"], display=clocks.display))
    else:
        put(difference.text(found, **screen(), display=clocks.display))
    if exit_code and found.worse:
        raise click.exceptions.Exit(FAILED)


class _Side:
    """A side: a bundle, or the reports that were kept of some. ``wanted``: the name of that which is meant of these."""

    def __init__(self, option: str, path: str, wanted: str | None) -> None:
        self.option, self.path, self.wanted = option, path, wanted
        self.reports = _kept(path)
        if wanted is not None and self.reports is None:
            stop(f"{option}: {path} is a bundle, there is nothing to choose")

    @property
    def name(self) -> str | None:
        """The name of its bundle; None: it is to be chosen."""
        if self.reports is None:
            from capflog.bundle import name_of  # noqa: PLC0415

            return name_of((self.path,))
        return self.wanted or (_bundle_of(self.reports[0]) if len(self.reports) == 1 else None)

    def document(self, other: str | None, clocks: Clocks) -> dict[str, Any]:
        """Give the report: as it was written, or of the bundle that is analyzed now. ``other``: the other's name."""
        if self.reports is None:
            return _analyzed(self.path, clocks)
        from capflog.sides import SideError, checked  # noqa: PLC0415

        try:
            return checked(self._chosen(self.reports, other))
        except SideError as error:
            stop(f"{self.path}: not a report that can be compared: {error}")

    def _chosen(self, reports: list[Any], other: str | None) -> Any:
        if self.wanted is None and len(reports) == 1:
            return reports[0]
        names = [_bundle_of(one) for one in reports]
        name = self.wanted or other
        if names.count(name) != 1:
            more = len(names) - _NAMED
            there = ", ".join(map(str, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
            if not reports:
                stop(f"{self.path}: it holds no report")
            if self.wanted is None:
                stop(f"{self.path}: it holds {len(reports)} reports, one is wanted: {self.option} NAME, of {there}")
            stop(f"{self.option} {self.wanted}: not one report in {self.path} is of that name; they are of {there}")
        return reports[names.index(name)]


def _bundle_of(report: Any) -> str | None:
    """Name the bundle of what may be a report."""
    bundle = report.get("bundle") if isinstance(report, dict) else None
    name = bundle.get("name") if isinstance(bundle, dict) else None
    return name if isinstance(name, str) else None


def _tell_apart(sides: tuple[_Side, _Side], documents: list[dict[str, Any]]) -> None:
    """Name sides whose bundles have one name by their paths."""
    from capflog.bundle import told_apart  # noqa: PLC0415

    for side, document, label in zip(sides, documents, told_apart([side.path for side in sides]), strict=True):
        bundle = document["bundle"]
        name = label if side.reports is None else f"{bundle['name']} in {label}"
        document["bundle"] = {**bundle, "name": name}


def _analyzed(path: str, clocks: Clocks) -> dict[str, Any]:
    from capflog.reports import json as json_report  # noqa: PLC0415

    report = read_only((path,), clocks).report
    made = json_report.document(replace(report, enrollments=[replace(one, records=[]) for one in report.enrollments]))
    del report
    gc.collect()  # (an analysis turns it off, and two need not be held at once)
    return made


def _kept(path: str) -> list[Any] | None:
    """Read the reports of a side that is JSON; None: it is a bundle."""
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

    if schema != SEVERAL:
        return [document]
    reports = document.get("reports")
    return reports if isinstance(reports, list) else []


def _text(path: str) -> str | bytes | None:
    """Read what may be JSON; None: it is none, or cannot be read (the analysis then says why)."""
    if path == "-":
        stream: BinaryIO = stdin()
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
            start = file.read(_LOOK)
            if start.startswith(_EVENTS):
                stop(f"{path}: it has events, a line for each, and no report to compare: keep --format json")
            return file.read() if _may_be(start) and not file.seek(0) else None
    except (OSError, ValueError):
        return None


def _may_be(start: bytes) -> bool:
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
