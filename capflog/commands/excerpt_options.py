"""The options that limit a timeline to a window of time."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from capflog.commands.console import stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from capflog.reports.excerpt import Window

_T = TypeVar("_T")

#: How much is shown around a time where that is not told.
WITHIN = "5m"


def excerpt_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a window; the command has it as ``window`` (None: all), read before anything else."""

    @wraps(command)
    def called(since: str | None, until: str | None, around: str | None, within: str | None, **more: Any) -> Any:
        return command(**more, window=_window(since, until, around, within))

    for option in (
        click.option(
            "--within", metavar="SPAN", help=f"So much before and after --around: 30s, 5m, 1h.  [default: {WITHIN}]"
        ),
        click.option("--around", metavar="TIME", help="Only lines around TIME, see --within."),
        click.option("--until", metavar="TIME", help="Only lines until TIME; a day alone: until its end."),
        click.option("--since", metavar="TIME", help="Only lines from TIME on."),
    ):
        called = option(called)
    return called


def _window(since: str | None, until: str | None, around: str | None, within: str | None) -> Window | None:
    if within is not None and around is None:
        stop("--within tells how much is shown around a time: give --around TIME, too")
    if around is not None and (since is not None or until is not None):
        stop("--around tells the window by itself: give it without --since and --until")
    if since is None and until is None and around is None:
        return None
    from capflog.reports.excerpt import EmptyWindowError, Window  # noqa: PLC0415  (not needed by most calls)
    from capflog.typed import read_span, read_time  # noqa: PLC0415

    options = (("--since", since), ("--until", until), ("--around", around), ("--within", within))
    words = " ".join(f"{option} {text}" for option, text in options if text is not None)
    told = {option: text for option, text in options[:3] if text is not None}
    typed = {option: _read(f"{option} {text}", text, read_time) for option, text in told.items()}
    if around is not None and typed["--around"].clock is None:
        stop(f"--around {around}: a day has no middle: give a time of day, too, or --since {around} --until {around}")
    span = _read(f"--within {within}", within or WITHIN, read_span)
    window = Window(words, typed.get("--since"), typed.get("--until"), typed.get("--around"), span)
    if not window.zoned:
        from datetime import UTC, datetime  # noqa: PLC0415

        try:
            # Whatever the zone and the day are: that it ends before it begins shows before the logs are read.
            window.spans(None, *[datetime(2019, 1, 16, tzinfo=UTC)] * 2)
        except EmptyWindowError as error:
            stop(str(error))
    return window


def _read(words: str, text: str, read: Callable[[str], _T]) -> _T:
    try:
        return read(text)
    except ValueError as error:
        stop(f"{words}: {error}")
