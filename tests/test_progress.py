"""The line that tells how far a long run has come, as a user sees it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from capflog.progress import SILENT, Line, progress_on, reading_words
from tests.bundles import LOG

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said


class Terminal(io.StringIO):
    """A terminal of one line."""

    def isatty(self) -> bool:
        return True


def screen(written: str, width: int = 80) -> str:
    """Show what a terminal shows after all this was written to it."""
    line: list[str] = []
    column = 0
    for character in written:
        if character == "\r":
            column = 0
            continue
        assert character.isprintable()
        line[column : column + 1] = [character]
        column += 1
        assert column < width, "it would wrap"
    return "".join(line).rstrip()


class Run:
    """A run with a clock that goes only when it is told to."""

    def __init__(self, width: int = 80) -> None:
        self.now = 100.0
        self.width = width
        self.terminal = Terminal()
        self.line = Line(self.terminal, lambda: self.now, lambda: self.width)

    def read(self, seconds: float, done: int, total: int | None = None) -> str:
        self.now += seconds
        self.line.reading(done, total)
        return self.shown()

    def shown(self) -> str:
        return screen(self.terminal.getvalue(), self.width)


def test_what_is_known_to_last_is_shown_at_once() -> None:
    run = Run()
    run.line.stage("compiling", lasting=True)
    assert run.shown() == "compiling"


def test_what_is_done_within_a_second_shows_nothing() -> None:
    run = Run()
    for step in range(9):
        assert run.read(0.1, step * 100, 900) == ""
    run.line.close()
    assert run.terminal.getvalue() == ""
    run = Run()
    run.read(0.1, 100, 900)
    run.line.stage("correlating 3 events")
    assert run.shown() == ""


def test_bytes_rate_and_time_left() -> None:
    run = Run()
    run.read(0, 0, 997_000_000)
    assert run.read(2, 122_000_000, 997_000_000) == "reading 122 of 997 MB, 61 MB/s, 14 s left"
    assert run.read(8, 610_000_000, 997_000_000) == "reading 610 of 997 MB, 61 MB/s, 6 s left"
    run.line.stage("correlating 622,345 events")
    assert run.shown() == "correlating 622,345 events"
    run.line.close()
    assert run.shown() == ""
    run.line.close()
    assert run.shown() == ""


def test_a_total_that_is_not_known_or_was_wrong() -> None:
    run = Run()
    run.read(0, 0)
    assert run.read(2, 122_000_000) == "reading 122 MB, 61 MB/s"
    assert run.read(2, 244_000_000, 200_000_000) == "reading 244 MB, 61 MB/s"


def test_it_is_drawn_ten_times_a_second_at_most() -> None:
    run = Run()
    for step in range(5000):
        run.read(0.001, step * 1000, 5_000_000)
    assert 30 < run.terminal.getvalue().count("\r") <= 41


@pytest.mark.parametrize("width", [10, 40, 41, 60, 80, 300])
@pytest.mark.parametrize("total", [None, 900, 31_000, 997_000_000, 64 << 30, 256 << 30])
def test_no_width_makes_it_wrap(width: int, total: int | None) -> None:
    run = Run(width)
    run.read(0, 0, total)
    for done in (1, 5_000_000, 20 << 30, 255 << 30):
        shown = run.read(10_000, min(done, total or done), total)
        assert shown
        assert len(shown) < width
        if width >= 40:
            assert "/s" in shown or "left" in shown
    run.line.stage("correlating 622,345 events " * 20)
    assert len(run.shown()) < width
    run.line.close()
    assert run.shown() == ""


def test_a_terminal_that_becomes_narrower_or_puts_the_break_behind() -> None:
    run = Run(100)
    run.read(0, 0, 10**9)
    run.read(5, 10**6, 10**9)
    run.terminal.write("^C")
    run.line.close()
    assert run.shown() == ""


def test_how_times_and_amounts_are_said() -> None:
    assert reading_words(0, 5000, 0, 79) == "reading 0 of 5.0 kB"
    assert reading_words(1_500_000, None, 1, 79) == "reading 1.5 MB, 1.5 MB/s"
    assert reading_words(10**9, 64 * 10**9, 100, 79) == "reading 1.0 of 64.0 GB, 10 MB/s, 1 h 45 min left"
    assert reading_words(10**9, 9 * 10**9, 100, 79) == "reading 1,000 of 9,000 MB, 10 MB/s, 13 min left"


def test_where_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress_on(Terminal()), Line)
    assert progress_on(io.StringIO()) is SILENT
    assert progress_on(Terminal(), quiet=True) is SILENT
    monkeypatch.setenv("TERM", "dumb")
    assert progress_on(Terminal()) is SILENT


def test_a_terminal_that_is_gone_ends_nothing() -> None:
    class Gone(Terminal):
        def write(self, text: str, /) -> int:
            raise OSError(5, "Input/output error")

    now = [0.0]
    line = Line(Gone(), lambda: now[0])
    now[0] = 10
    line.reading(10, 100)
    line.stage("correlating")
    line.close()


@pytest.mark.parametrize("words", [["analyze"], ["check"], ["inspect"], ["timeline", "SEP74A02FC0A675"]])
@pytest.mark.parametrize("quiet", ["-q", "--quiet"])
def test_every_command_that_reads_bundles_can_be_quiet(
    words: list[str], quiet: str, capflog: Callable[..., Said], sample: Callable[[str], Path]
) -> None:
    assert capflog(*words, quiet, sample("healthy")) == capflog(*words, sample("healthy"))


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such terminals")
@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_a_run_on_a_real_terminal_leaves_nothing(options: list[str], tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "capflog", "analyze", "--no-store", *options, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    assert process.stdin is not None
    seen = threading.Event()
    written: list[bytes] = []

    def watch() -> None:
        while True:
            try:
                piece = os.read(ours, 1000)
            except OSError:  # the other end is closed
                piece = b""
            if not piece:
                return
            written.append(piece)
            if b"reading" in b"".join(written):
                seen.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    text = LOG * 9000
    # It reads as long as we write: until it has told so (a quiet one is given up after a while).
    for _ in range(6 if options else 400):
        process.stdin.write(text)
        process.stdin.flush()
        if seen.wait(0.3 if options else 0.05):
            break
    process.stdin.close()
    assert process.wait(120) == 0
    watcher.join(60)
    os.close(ours)
    if options:
        assert b"".join(written) == b""
    else:
        assert seen.is_set()
        assert screen(b"".join(written).decode(), 50) == ""
