"""``--format`` and ``--output``: what standard output gets, and which files."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.completing import known_files
from capflog.commands.console import put, put_bytes, say, screen, stop
from capflog.commands.files import unwritable, write_whole
from capflog.commands.helping import Named
from capflog.outputs import FORMATS, Format, Look, format_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from capflog.results import Result
    from capflog.zones import Zone


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a call wants: a format on standard output, and formats in files."""

    form: Format
    files: tuple[tuple[Format, Path], ...]

    @property
    def records(self) -> bool:
        """Tell whether one of them shows records."""
        return any(form.records for form in self._all())

    @property
    def events(self) -> bool:
        """Tell whether one of them shows events."""
        return any(form.events for form in self._all())

    def spare(self, read: Iterable[str | Path]) -> None:
        """End the call where a file would be written over one that it reads."""
        for _, path in self.files:
            if why := unwritable(path, read):
                stop(f"--output {path}: cannot be written: {why}")

    def _all(self) -> Iterable[Format]:
        return (self.form, *(form for form, _ in self.files))

    def write(self, results: Sequence[Result], display: Zone | None) -> None:
        """Write the files, then standard output; a file that cannot be written costs a line and exit status 2."""
        broken = self.write_files(results, display)
        look = Look(**screen(), display=display)
        if self.form.terminal:
            put(self.form.pieces(results, look))
        else:
            put_bytes(_encoded(self.form.pieces(results, look)))
        if broken:
            for why in broken[:-1]:
                say(why)
            stop(broken[-1])

    def write_files(self, results: Sequence[Result], display: Zone | None) -> list[str]:
        """Write the files alone; give why those that cannot be written are not."""
        return [why for form, path in self.files if (why := _write(form, path, results, display))]


def _encoded(pieces: Iterable[str]) -> Iterable[bytes]:
    # A lone surrogate (a byte of a file's name that is no UTF-8) is no character: it is escaped.
    return (piece.encode("utf-8", "backslashreplace") for piece in pieces)


def _write(form: Format, path: Path, results: Sequence[Result], display: Zone | None) -> str:
    """Write one file, whole or not at all; give why it cannot be, or ""."""
    try:
        write_whole(path, _encoded(form.pieces(results, Look(display=display))))
    except OSError as error:
        return f"{path}: not written: {error.strerror or error}"
    return ""


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command has what they ask for as ``outputs``."""

    @wraps(command)
    def called(form: str, output: tuple[str, ...], **more: Any) -> Any:
        return command(**more, outputs=Outputs(FORMATS[form], _files(output)))

    for option in (
        click.option(
            "--output",
            "-o",
            metavar="[NAME=]FILE",
            multiple=True,
            shell_complete=known_files,
            help="Write this format into a file, too; without NAME the file's own name tells it. May be given several "
            "times.",
        ),
        click.option(
            "--format",
            "form",
            cls=Named,
            meanings={form.name: form.what for form in FORMATS.values()},
            metavar="NAME",
            type=click.Choice(list(FORMATS)),
            default="text",
            help="What standard output gets.  [default: text]",
        ),
    ):
        called = option(called)
    return called


def _files(output: Sequence[str]) -> tuple[tuple[Format, Path], ...]:
    """Read what --output says; what cannot be written ends the call before anything is read."""
    files: list[tuple[Format, Path]] = []
    taken: dict[Path, str] = {}
    for text in output:
        form, path = _file(text)
        why = unwritable(path)
        if why:
            stop(f"--output {text}: cannot be written: {why}")
        place = Path(os.path.realpath(path))
        if place in taken and (place.is_file() or not place.exists()):
            stop(f"--output {text}: --output {taken[place]} writes there, too: one file takes one format")
        taken[place] = text
        files.append((form, path))
    return tuple(files)


def _file(text: str) -> tuple[Format, Path]:
    name, equals, path = text.partition("=")
    if text == "-" or (equals and name in FORMATS and path == "-"):
        stop(f"--output {text}: standard output gets what --format says")
    if equals and name in FORMATS and path:
        return FORMATS[name], Path(path)
    form = format_of(text)
    if form is None or (equals and re.fullmatch(r"[A-Za-z-]+", name)):
        # (A file may have such a name: ./a=b.json.)
        import difflib  # noqa: PLC0415

        near = difflib.get_close_matches(name.lower(), list(FORMATS), n=1) if equals else []
        offer = f"did you mean {near[0]}={path}?" if near else f"the formats are {', '.join(FORMATS)}"
        stop(f"--output {text}: NAME=FILE is wanted, such as json=report.json; {offer}")
    return form, Path(text)
