"""How far a long run has come: one line on standard error, redrawn in place and wiped in the end.

Nothing here runs by itself: a line is drawn where the work calls, so no thread is in the way of worker processes.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds before anything is shown, and between two drawings. A stage may be the last call for long: it shows earlier.
AFTER, EVERY, STAGE_AFTER = 1.0, 0.1, 0.5

#: Seconds of reading before a rate is told, and the longest time left that is told.
RATED, DAYS = 0.5, 99 * 3600


class Progress(Protocol):
    """What a long run tells of itself; each call costs next to nothing."""

    def reading(self, done: int, total: int | None) -> None:
        """Tell how many bytes were read, unpacked, of how many (None: not known)."""
        ...

    def stage(self, words: str, *, lasting: bool = False) -> None:
        """Tell in a few words what is done now; ``lasting``: it is known to last, so it is shown at once."""
        ...

    def close(self) -> None:
        """Wipe what is shown; what is told later is shown again."""
        ...


class Silent:
    """Shows nothing."""

    def reading(self, done: int, total: int | None) -> None:
        """Do nothing."""

    def stage(self, words: str, *, lasting: bool = False) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


SILENT = Silent()


class Line:
    """One line of a terminal. ``clock`` gives seconds, ``width`` the terminal's columns at that moment."""

    def __init__(
        self, stream: TextIO, clock: Callable[[], float] = time.monotonic, width: Callable[[], int] | None = None
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._width = width or self._columns
        self._begun = clock()
        self._reading_since: float | None = None
        self._next = self._begun + AFTER
        self._shown = 0

    def reading(self, done: int, total: int | None) -> None:
        """See Progress.reading."""
        now = self._clock()
        if self._reading_since is None:
            self._reading_since = now
        if now >= self._next:
            self._next = now + EVERY
            self._draw(reading_words(done, total, now - self._reading_since, self._width() - 1))

    def stage(self, words: str, *, lasting: bool = False) -> None:
        """See Progress.stage."""
        now = self._clock()
        if lasting or self._shown or now >= self._begun + STAGE_AFTER:
            self._next = now + EVERY
            self._draw(visible(words, ascii=True))

    def close(self) -> None:
        """See Progress.close."""
        if self._shown:
            # The terminal may have put ^C behind the line.
            self._write("\r" + " " * max(self._width() - 1, self._shown) + "\r")
            self._shown = 0

    def _draw(self, text: str) -> None:
        text = text[: max(self._width() - 1, 0)]
        self._write("\r" + text.ljust(self._shown))
        self._shown = len(text)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._next = float("inf")  # a terminal that is gone is no reason to stop

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return 80


class Log:
    """Tells each stage in a line of its own, with the seconds since the start."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock, self._begun = stream, clock, clock()
        self._told = False

    def reading(self, _done: int, total: int | None) -> None:
        """Tell once that it reads, and how much that is."""
        if not self._told:
            self._told = True
            self.stage("reading" if total is None else f"reading {_bytes(total)}")

    def stage(self, words: str, *, lasting: bool = False) -> None:  # noqa: ARG002  (told in any case)
        """See Progress.stage."""
        print(f"capflog: {self._clock() - self._begun:6.1f} s  {visible(words, ascii=True)}", file=self._stream)

    def close(self) -> None:
        """Do nothing: what was told stays."""


def progress_on(stream: TextIO | None = None, *, quiet: bool = False, lines: bool = False) -> Line | Log | Silent:
    """Make what shows progress on a stream (standard error); none is shown where that is no terminal, or a dumb one.

    ``lines``: each stage in a line that stays, on whatever stream.
    """
    stream = stream or sys.stderr
    if lines and stream is not None:
        return Log(stream)
    if quiet or stream is None or not stream.isatty() or os.environ.get("TERM") == "dumb":
        return SILENT
    return Line(stream)


def reading_words(done: int, total: int | None, seconds: float, width: int) -> str:
    """Say how far reading has come, in at most ``width`` columns: what matters least goes first."""
    if total is not None and done > total:
        total = None  # it was a guess
    amount = _bytes(done) if total is None else _share(done, total)
    parts = [amount]
    if seconds >= RATED and done:
        rate = done / seconds
        parts.append(f"{_bytes(rate)}/s")
        if total is not None and total - done < rate * DAYS:
            parts.append(f"{_time((total - done) / rate)} left")
    for text in (f"reading {', '.join(parts)}", ", ".join(parts), f"{parts[0]}, {parts[-1]}"):
        if len(text) <= width:
            return text
    return amount[: max(width, 0)]


def _unit(count: float) -> tuple[float, str]:
    return (1e9, "GB") if count >= 1e10 else (1e6, "MB") if count >= 1e6 else (1e3, "kB")


def _number(count: float, unit: float) -> str:
    count /= unit
    return f"{count:,.1f}" if unit == 1e9 or 0 < count < 10 else f"{count:,.0f}"


def _bytes(count: float) -> str:
    unit, name = _unit(count)
    return f"{_number(count, unit)} {name}"


def _share(done: int, total: int) -> str:
    unit, name = _unit(total)
    return f"{_number(done, unit)} of {_number(total, unit)} {name}"


def _time(seconds: float) -> str:
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
