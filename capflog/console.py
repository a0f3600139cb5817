"""How a command speaks: its result on standard output, all else in lines on standard error, and exit statuses."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Exit statuses: done; a finding fails the gate; nothing could be read, or a wrong call.
OK, FAILED, UNUSABLE = 0, 1, 2

#: How wide text is where no terminal says it.
PIPED_WIDTH = 80


def screen() -> dict[str, Any]:
    """Say what standard output can show, as the arguments of the text reports."""
    import shutil  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    columns = os.environ.get("COLUMNS", "")
    told = terminal or columns.isdigit()
    width = shutil.get_terminal_size((PIPED_WIDTH, 24)).columns if told else PIPED_WIDTH
    color = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    encoding = (sys.stdout.encoding or "ascii").lower().replace("-", "")
    return {"width": max(width, 40), "color": color, "unicode": encoding.startswith("utf")}


def say(message: str) -> None:
    """Tell something on standard error, in one line."""
    from capflog.safe_text import visible  # noqa: PLC0415

    encoding = (sys.stderr.encoding or "ascii").lower()
    click.echo(f"capflog: {visible(message, ascii=not encoding.startswith('utf'))}", err=True)


def stop(message: str) -> NoReturn:
    say(message)
    raise click.exceptions.Exit(UNUSABLE)


def put(text: str | Iterable[str]) -> None:
    """Write a result, or the pieces of one, to standard output; a reader that has enough (``| head``) is no error."""
    try:
        if isinstance(text, str):
            text = (text if text.endswith("\n") else text + "\n",)
        for piece in text:
            sys.stdout.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain once more of the pipe while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
