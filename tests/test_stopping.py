"""Ctrl-C and SIGTERM: one line, an exit status, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bundles import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")

#: More than a pipe holds: once it is written, the program reads.
MUCH = LOG * 30_000


def heed_signals() -> None:
    """Let a process be interrupted, even where the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start capflog, or Python code, in a process group of its own; whatever happens, it ends with the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(*words: str, code: str | None = None, **more: Any) -> subprocess.Popen[bytes]:
        called = ["-m", "capflog"] if code is None else ["-c", code]
        processes.append(
            subprocess.Popen(
                [sys.executable, *called, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=heed_signals,  # noqa: PLW1509
                **more,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def group_is_empty(process: subprocess.Popen[bytes]) -> bool:
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Wait for the end with standard input still open: status, output, errors."""
    status = process.wait(60)
    assert process.stdout is not None
    assert process.stderr is not None
    return status, process.stdout.read().decode(), process.stderr.read().decode()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [(signal.SIGINT, 130, "capflog: interrupted\n"), (signal.SIGTERM, 143, "capflog: terminated\n")],
)
def test_a_signal_while_it_reads(
    number: signal.Signals, status: int, said: str, times: int, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = start("analyze", "-")
    assert process.stdin is not None
    process.stdin.write(MUCH)
    process.stdin.flush()
    for _ in range(times):
        process.send_signal(number)
    assert ended(process) == (status, "", said)
    assert group_is_empty(process)


#: Runs capflog and interrupts it itself as soon as it comes to a certain call.
AT = """
import os, signal, sys
from importlib import import_module
from capflog import __main__ as capflog
module, _, name = WHERE.partition(":")
def interrupted(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    return original(*_, **__)
if name:
    module = import_module(module)
    *path, name = name.split(".")
    for part in path:
        module = getattr(module, part)
    original = getattr(module, name)
    setattr(module, name, interrupted)
else:
    class Finder:
        def find_spec(self, wanted, *_):
            if wanted == module:
                os.kill(os.getpid(), signal.SIGINT)
    sys.meta_path.insert(0, Finder())
capflog.main()
"""


@pytest.mark.parametrize(
    "where",
    [
        "click",
        "numpy",
        "numpy.linalg",
        "capflog.reading:scan",
        "capflog.onebyone:OneByOne.read",
        "capflog.streams:Stream.peek",
        "capflog.analysis:align",
        "capflog.analysis:diagnose",
        "capflog.reports.json:pieces",
        "capflog.store:Store.keep",
        "capflog.commands.output_options:put",
    ],
)
def test_a_signal_in_each_phase(
    where: str, start: Callable[..., subprocess.Popen[bytes]], sample: Callable[[str], Path]
) -> None:
    process = start("analyze", str(sample("healthy")), code=AT.replace("WHERE", repr(where)))
    assert ended(process) == (130, "", "capflog: interrupted\n")


def test_a_signal_while_it_is_kept_leaves_the_store_as_it_was(
    start: Callable[..., subprocess.Popen[bytes]], sample: Callable[[str], Path], own_store: Path
) -> None:
    assert ended(start("analyze", str(sample("healthy"))))[0] == 0
    (file,) = own_store.glob("*.db")

    def kept() -> list[str]:
        with sqlite3.connect(file) as database:
            lines = list(database.iterdump())
        database.close()
        return lines

    before = kept()
    code = """
import os, signal
from capflog import __main__ as capflog, store_file
original = store_file._within
def within(db, begin, work):
    def interrupted(db):
        result = work(db)
        if begin == "BEGIN IMMEDIATE":
            os.kill(os.getpid(), signal.SIGINT)
        return result
    return original(db, begin, interrupted)
store_file._within = within
capflog.main()
"""
    files = sorted(own_store.iterdir())
    process = start("analyze", str(sample("ca-dns-failure")), code=code)
    assert ended(process) == (130, "", "capflog: interrupted\n")
    assert kept() == before
    assert sorted(own_store.iterdir()) == files


def test_a_signal_in_a_finalizer_is_not_lost(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    code = """
import os, signal, time
from capflog import __main__ as capflog, cli
class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(10))
def work():
    thing = Thing()
    del thing
    time.sleep(100)
cli.main = work
capflog.main()
"""
    assert ended(start(code=code)) == (130, "", "capflog: interrupted\n")


def test_a_third_signal_does_not_wait_for_the_cleaning_up(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    code = """
import sys, time
from capflog import __main__ as capflog, cli
def work():
    try:
        print("ready", flush=True)
        time.sleep(100)
    finally:
        print("cleaning up", flush=True)
        time.sleep(100)
cli.main = work
capflog.main()
"""
    process = start(code=code)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"cleaning up\n"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    # Two that come at the same time may be one.
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "", "capflog: interrupted\n")


def test_the_progress_is_wiped_before_it_says_so(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    code = """
import sys, time
from capflog import progress
begun = time.monotonic() - 10
progress.time.monotonic = lambda: begun
sys.stderr.isatty = lambda: True
from capflog import __main__ as capflog
class Line(progress.Line):
    def __init__(self, stream):
        super().__init__(stream, iter(range(0, 10**9, 2)).__next__)
progress.Line = Line
sys.argv = ["capflog", "analyze", "-"]
capflog.main()
"""
    process = start(code=code)
    assert process.stdin is not None
    process.stdin.write(MUCH)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    status, _, errors = ended(process)
    assert status == 130
    assert errors.endswith("\rcapflog: interrupted\n")
    wiped = errors.removesuffix("\rcapflog: interrupted\n")
    assert not wiped or wiped.rsplit("\r", 2)[1].strip() == ""


def test_a_signal_that_is_ignored_stays_so(start: Callable[..., subprocess.Popen[bytes]]) -> None:
    code = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from capflog import __main__ as capflog, cli
def work():
    os.kill(os.getpid(), signal.SIGINT)
    print("done")
cli.main = work
capflog.main()
"""
    assert ended(start(code=code)) == (0, "done\n", "")


#: Runs capflog in several processes, each of which is at work for a long time, and says so.
TOGETHER = """
import os, time
from capflog import reading, workers
from capflog import __main__ as capflog
reading.PARALLEL_FROM = 0
def at_work(*_, **__):
    os.write(1, b"at work\\n")
    time.sleep(60)
workers.scan = at_work
reading.cores = lambda: 3
capflog.main()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork one process reads")
@pytest.mark.parametrize("together", [True, False], ids=["the terminal's Ctrl-C", "a signal to the one"])
def test_a_signal_ends_all_processes_that_read(
    together: bool, start: Callable[..., subprocess.Popen[bytes]], sample: Callable[[str], Path]
) -> None:
    process = start("analyze", str(sample("healthy")), code=TOGETHER)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == [b"at work\n"] * 3
    if together:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "", "capflog: interrupted\n")
    assert group_is_empty(process)


def test_a_process_that_dies_ends_in_one_line(
    start: Callable[..., subprocess.Popen[bytes]], sample: Callable[[str], Path]
) -> None:
    code = TOGETHER.replace("time.sleep(60)", "os.kill(os.getpid(), 9)")
    status, _, said = ended(start("analyze", str(sample("healthy")), code=code))
    assert (status, said) == (
        2,
        "capflog: a process that read the bundle was ended before its time; there may not be enough memory\n",
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork one process reads")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_that_comes_while_a_process_begins_ends_that_one_too(
    number: str, start: Callable[..., subprocess.Popen[bytes]], sample: Callable[[str], Path]
) -> None:
    code = TOGETHER.replace(
        "capflog.main()",
        f"""import signal
from multiprocessing.process import BaseProcess
original = BaseProcess.start
def started(self):
    original(self)
    os.kill(os.getpid(), signal.{number})
BaseProcess.start = started
capflog.main()""",
    )
    process = start("analyze", str(sample("healthy")), code=code)
    status, _, said = ended(process)
    assert (status, said) in ((130, "capflog: interrupted\n"), (143, "capflog: terminated\n"))
    assert group_is_empty(process)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork one process reads")
def test_what_fails_while_the_table_is_written_is_told_as_it_is(
    start: Callable[..., subprocess.Popen[bytes]], sample: Callable[[str], Path]
) -> None:
    code = """
from capflog import __main__ as capflog, reading, workers
reading.PARALLEL_FROM = 0
reading.cores = lambda: 2
def failing(*_, **__):
    raise MemoryError
workers.write_columns = failing
capflog.main()
"""
    process = start("analyze", str(sample("healthy")), code=code)
    assert ended(process) == (2, "", "capflog: there is not enough memory for this bundle\n")


def test_a_signal_ends_the_reading_back_of_lines_at_once(
    start: Callable[..., subprocess.Popen[bytes]], sample: Callable[[str], Path]
) -> None:
    code = """
import os, signal, threading, time
from capflog import __main__ as capflog, texts
original = texts._lines
def slow(*given):
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(3600)
    yield from original(*given)
texts._lines = slow
capflog.main()
"""
    process = start("analyze", str(sample("ca-dns-failure")), code=code)
    assert ended(process) == (130, "", "capflog: interrupted\n")


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["analyze", "nowhere.zip"], 2)])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_do_not_change_the_exit_status(words: list[str], status: int, closed: str) -> None:
    command = f'exec "$0" -m capflog "$@" {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
