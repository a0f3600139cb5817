"""How a command speaks: its result on standard output, all else in lines on standard error, and exit statuses."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import click

from capflog.commands.this_call import is_typed, origin

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Exit statuses: done; a finding fails the gate; nothing could be read, or a wrong call.
OK, FAILED, UNUSABLE = 0, 1, 2

#: How wide text is where no terminal says it.
PIPED_WIDTH = 80

#: Where a call's context keeps what the common options say, and what is to be paged.
COLOR, PAGER, QUIET, VERBOSE, PAGED = (f"capflog.{name}" for name in ("color", "pager", "quiet", "verbose", "paged"))


def _said(name: str) -> Any:
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(name)


def quiet() -> bool:
    """Tell whether nothing but failures is to be told; -v in the call goes before settings that say so."""
    return bool(_said(QUIET)) and not (_said(VERBOSE) and is_typed("--verbose") and not is_typed("--quiet"))


def verbose() -> bool:
    """Tell whether more is to be told."""
    return bool(_said(VERBOSE)) and not quiet()


def stdin() -> BinaryIO:
    """Give standard input; where it is closed the command ends with a line."""
    if sys.stdin is None:
        stop("-: standard input is closed")
    return sys.stdin.buffer


def encodes_unicode(stream: Any) -> bool:
    """Tell whether a stream's encoding has every character."""
    return (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "").startswith("utf")


def colored(stream: Any) -> bool:
    """Tell whether text on a stream is to be coloured: as --color says, else on a terminal that wants it.

    NO_COLOR (no-color.org) and FORCE_COLOR (force-color.org) count where they are not empty, in this order.
    """
    wish = _said(COLOR) or "auto"
    if wish != "auto":
        return bool(wish == "always")
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def screen() -> dict[str, Any]:
    """Say what standard output can show, as the arguments of the text reports."""
    import shutil  # noqa: PLC0415

    terminal = sys.stdout.isatty()
    columns = os.environ.get("COLUMNS", "")
    told = terminal or columns.isdigit()
    width = shutil.get_terminal_size((PIPED_WIDTH, 24)).columns if told else PIPED_WIDTH
    return {"width": max(width, 40), "color": colored(sys.stdout), "unicode": encodes_unicode(sys.stdout)}


def say(message: str) -> None:
    """Tell something on standard error, in one line; a shell that asks what may stand at the cursor is told nothing."""
    from capflog.safe_text import visible  # noqa: PLC0415

    context = click.get_current_context(silent=True)
    if context is not None and context.resilient_parsing:
        return
    # (Nobody may read it any more: what is done, and its exit status, stay the same.)
    with suppress(OSError):
        click.echo(f"capflog: {visible(message, ascii=not encodes_unicode(sys.stderr))}", err=True)


def note(message: str) -> None:
    """Tell something that the result tells, too, or that is good to know: not with --quiet."""
    if not quiet():
        say(message)


def detail(message: str) -> None:
    """Tell something that only those want to know who ask for it: with --verbose."""
    if verbose():
        say(message)


def stop(message: str) -> NoReturn:
    """Tell why it cannot be done, in one line, and end; of an option's value it is told if it is from elsewhere."""
    option = re.match(r"(--[a-z-]+)\b", message)
    say(message + (origin(click.get_current_context(silent=True), option[1]) if option else ""))
    raise click.exceptions.Exit(UNUSABLE)


def put(text: str | Iterable[str]) -> None:
    """Write a result, or the pieces of one, to standard output; a reader that has enough (``| head``) is no error."""
    pieces = (text if text.endswith("\n") else text + "\n",) if isinstance(text, str) else text
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.get(PAGER) and sys.stdout.isatty():
        context.meta.setdefault(PAGED, []).extend(pieces)
        return
    try:
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:
        _unplug()
    except OSError as error:
        _full(error)


def put_bytes(pieces: Iterable[bytes]) -> None:
    """Write bytes to standard output as they are, whatever the terminal's encoding."""
    out = getattr(sys.stdout, "buffer", None)
    try:
        sys.stdout.flush()
        for piece in pieces:
            if out is None:
                sys.stdout.write(piece.decode("utf-8"))
            else:
                out.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:
        _unplug()
    except OSError as error:
        _full(error)


def _unplug() -> None:
    # Python would complain once more of the pipe while it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _full(error: OSError) -> NoReturn:
    """End where standard output takes no more: a disk is full."""
    _unplug()
    stop(f"standard output cannot be written: {error.strerror or error}")


def flush_pager(context: click.Context) -> None:
    """Show what is to be paged; where there is no pager, or none that runs, it is printed.

    A pager that shows no colours (less without -R) gets none, unless they are asked for.
    """
    pieces = context.meta.pop(PAGED, None)
    if not pieces:
        return
    import shutil  # noqa: PLC0415
    import signal  # noqa: PLC0415

    # less as others set it up who page: it shows colours, and ends at once where all fits on the screen.
    os.environ.setdefault("LESS", "-FRX")
    if not os.environ.get("PAGER") and not shutil.which("less") and shutil.which("more"):
        os.environ["PAGER"] = "more"
    color = True if _said(COLOR) == "always" else None if colored(sys.stdout) else False
    pieces[-1] = pieces[-1].removesuffix("\n")  # click puts one there
    # Ctrl-C is the pager's: less stops searching for it, and must not lose who feeds it. (The pager gets no handler.)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        click.echo_via_pager(pieces, color=color)
    except (OSError, ValueError):  # $PAGER is no program, or no words of a shell
        context.meta[PAGER] = False
        put([*pieces, "\n"])
    finally:
        signal.signal(signal.SIGINT, before)
