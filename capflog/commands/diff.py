"""``capflog diff``: what differs between two bundles, or two reports."""

from __future__ import annotations

import gc
import io
import json
import re
import stat
from contextlib import ExitStack, nullcontext
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

#: How a report of capflog's own begins, whole or not.
_REPORT = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"schema"\s*:\s*"capflog-')

#: Bundles that are named of those that can be chosen from.
_NAMED = 8


@click.command(
    cls=Command,
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
    try:
        found = compare(*documents)
    except RecursionError:
        stop("BEFORE and AFTER: what is in them is nested too deep to be compared")
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
        text, self.stream = _opened(path)
        self.reports = None if text is None else _kept(path, text)
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
            return _analyzed(self.path, self.stream, clocks)
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


def _analyzed(path: str, stream: BinaryIO | None, clocks: Clocks) -> dict[str, Any]:
    """Analyze a side now. ``stream``: the pipe that its path named, of which no byte comes a second time."""
    from capflog.bundle import name_of  # noqa: PLC0415
    from capflog.reports import json as json_report  # noqa: PLC0415

    with stream or nullcontext():
        report = read_only((path,), clocks, stream).report
    bare = [replace(one, records=[]) for one in report.enrollments]
    made = json_report.document(replace(report, bundle=name_of((path,)), enrollments=bare))
    del report
    gc.collect()  # (an analysis turns it off, and two need not be held at once)
    return made


def _kept(path: str, text: bytes) -> list[Any] | None:
    """Read the reports of a side that may be JSON; None: it is none of capflog's."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if _REPORT.match(text):
            stop(f"{path}: not a report that can be compared: {_broken(error)}")
        return None
    schema = document.get("schema") if isinstance(document, dict) else None
    if not isinstance(schema, str) or not schema.startswith("capflog-"):
        return None
    from capflog.reports.json import SEVERAL  # noqa: PLC0415

    if schema != SEVERAL:
        return [document]
    reports = document.get("reports")
    return reports if isinstance(reports, list) else []


def _broken(error: ValueError | RecursionError) -> str:
    """Say what is wrong with a report that is no JSON."""
    if isinstance(error, RecursionError):
        return "what is in it is nested too deep"
    if isinstance(error, json.JSONDecodeError):
        # (A word that is cut is told by its first character.)
        cut = error.msg.startswith("Unterminated") or error.pos >= len(error.doc.rstrip()) - len("false")
        return "it is cut, its end is missing" if cut else f"it is damaged: line {error.lineno}: {error.msg}"
    return (
        "it is cut or damaged"
        if isinstance(error, UnicodeDecodeError)
        else "it is damaged: a number in it has too many digits"
    )


def _opened(path: str) -> tuple[bytes | None, BinaryIO | None]:
    """Give the bytes of a side that may be JSON (None: it is none, or cannot be read, as the analysis then says).

    Beside them stands what the analysis is to read instead of the path: a pipe gives its bytes once.
    """
    if path == "-":
        stream = stdin()
        return _taken(stream) if _may_be(path, _start(stream)) else (None, None)
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFCHR):
            return None, None
        with ExitStack() as closing:
            stream = closing.enter_context(Path(path).open("rb"))
            if _may_be(path, _start(stream)):
                return (stream.read(), None) if kind == stat.S_IFREG else _taken(stream)
            if kind == stat.S_IFREG:
                return None, None
            closing.pop_all()  # it stays open for the analysis
            return None, stream
    except (OSError, ValueError):
        return None, None


def _taken(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    text = stream.read()
    return text, io.BytesIO(text)


def _start(stream: BinaryIO) -> bytes:
    """Look at how a stream begins; nothing of it is used up, as long as it can be peeked at or positioned."""
    peek = getattr(stream, "peek", None)
    if peek is not None:
        return bytes(peek(_LOOK))
    if not stream.seekable():
        return b""
    start = stream.read(_LOOK)
    stream.seek(0)
    return start


def _may_be(path: str, start: bytes) -> bool:
    if start.startswith(_EVENTS):
        stop(f"{path}: it has events, a line for each, and no report to compare: keep --format json")
    return start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
