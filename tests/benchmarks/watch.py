"""Runs a command and says what it took: wall and CPU time, and the memory of all its processes together."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How often memory is looked at. (s)
EVERY = 0.05

_PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Run:
    """One run: seconds, peak bytes of memory (None: not looked at), the exit status and its last words of error."""

    wall: float
    cpu: float
    peak: int | None
    status: int
    said: str


def memory(session: int) -> int:
    """Sum the memory of a session's processes, what they share counted once (Pss; where it cannot be read, RSS)."""
    total = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        # Processes end while they are looked at.
        with suppress(OSError, ValueError, IndexError):
            stat = (process / "stat").read_text().rpartition(")")[2].split()
            if int(stat[3]) == session:
                total += _of_process(process)
    return total


def _of_process(process: Path) -> int:
    try:
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except PermissionError:
        pass
    return int((process / "statm").read_text().split()[1]) * _PAGE


def run(command: Sequence[str], *, watched: bool, environment: dict[str, str] | None = None) -> Run:
    """Run a command to its end, its output thrown away; ``watched``: look at its memory, which slows it a little."""
    peak = 0
    done = threading.Event()

    def watch(session: int) -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, memory(session))
            done.wait(EVERY)

    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    ) as process:
        watcher = threading.Thread(target=watch, args=(process.pid,), daemon=True)
        if watched:
            watcher.start()
        try:
            said = process.stderr.read() if process.stderr else b""
            # wait4 gives the CPU time of the process and of all those that it waited for.
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            done.set()
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if watched:
        watcher.join()
    last = said.decode(errors="replace").strip().splitlines()[-1:]
    return Run(wall, used.ru_utime + used.ru_stime, peak if watched else None, process.returncode, "".join(last))
