"""Write a large bundle whose logs belong together: ``python -m tests.benchmarks.generate OUT.zip|OUT_FOLDER``.

About 50 % of its bytes are CAPF's trace, 20 % NGINX's error.log, 30 % IIS's access log. Every enrollment is whole in
all three, on one clock (the node's zone is UTC-5, IIS is 2.4 s behind); one in fifty is not answered by the CA within
ten seconds. *day* has 10,000 enrollments a GB, a GB a day, and else what CAPF says of phones that nothing is to be done
for, strangers at CES's port and other sites' traffic; *storm* has 100,000 a GB, up to some twenty a second.

Everything follows from the seed by whole-number arithmetic: the same bytes on every machine. ``OUT.truth.json`` beside
the bundle counts what is in it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import zipfile
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import blocks
from .scenes import (
    DAY,
    HOUR,
    IIS_BEHIND,
    LEAD,
    MIDNIGHT,
    TAIL,
    UTC_MIDNIGHT,
    Chatter,
    Enrollments,
    Kind,
    Piece,
    capf_enrollments,
    day_of,
    enrollments,
    iis_enrollments,
    is_fault,
    nginx_enrollments,
    other_site,
    quiet_phone,
    storm_length,
    strangers_to,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

GB = 1_000_000_000
SHARES = {"capf": 50, "nginx": 20, "iis": 30}
PER_GB = {"day": 10_000, "storm": 100_000}
#: When the first line is written: a day's begins in the morning, a storm two hours before midnight.
BEGIN = {"day": 8 * HOUR, "storm": 22 * HOUR}

#: Text between two cuts of the writer, and where CAPF goes on in a new file. (bytes)
WINDOW, ROTATED = 6_000_000, 32_000_000
CHUNK = 1 << 20
SMALL = 20_000_000

# ---- the bundle ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What is to be written: the kind, how much text, and the seed."""

    kind: Kind
    size: int
    seed: int

    @property
    def full(self) -> bool:
        """Whether an enrollment has all its lines."""
        return self.kind == "day"

    @property
    def count(self) -> int:
        """How many enrollments."""
        return max(1, self.size * PER_GB[self.kind] // GB)

    @property
    def length(self) -> int:
        """How long it takes, in ms, if no phone has to wait for CES."""
        return LEAD + TAIL + (storm_length(self.count) if self.kind == "storm" else self.size * DAY // GB)

    @cached_property
    def enrollments(self) -> Enrollments:
        """Place the enrollments."""
        return enrollments(self.kind, self.seed, self.count, BEGIN[self.kind], self.length)

    @property
    def span(self) -> tuple[int, int]:
        """From when to when, in ms."""
        begin = BEGIN[self.kind]
        return begin, max(begin + self.length, int(self.enrollments.call[-1]) + TAIL)

    def room(self, source: str, used: int) -> int:
        """Give the bytes that a log's share leaves for others than enrollments."""
        return max(self.size * SHARES[source] // 100 - used, 0)


def _average(pieces: Iterator[Piece], scenes: int) -> int:
    return max(1, sum(len(text) for _, text in pieces) // scenes)


def _chatter(
    plan: Plan,
    source: str,
    stream: int,
    of_enrollments: Callable[[int, int], Iterator[Piece]],
    all_of: Enrollments,
    scene: Callable[[int, int, int], Iterator[Piece]],
) -> Chatter:
    """Fill up a log's share with scenes: as many as their average size and that of the enrollments leave room for."""
    shown = min(plan.count, 500)
    until = int(all_of.call[shown - 1]) - LEAD + 1
    used = _average(of_enrollments(0, until), len(all_of.starting(0, until))) * plan.count
    sizes = Chatter(scene, plan.seed, stream, 2_000, plan.span)
    count = plan.room(source, used) // _average(sizes(*plan.span), 2_000)
    return Chatter(scene, plan.seed, stream, max(count, plan.count // 50, 1), plan.span)


@dataclass(slots=True)
class Written:
    """What a log amounts to: lines, bytes and its files with the time of their last line (ms)."""

    lines: int = 0
    bytes: int = 0
    files: list[tuple[str, int]] = field(default_factory=list)


class _Log:
    """Writes a log's text into one file after the other."""

    def __init__(self, folder: Path, names: Iterator[str]) -> None:
        self.written = Written()
        self._folder, self._names = folder, names
        self._begun = 0

    def new(self, header: bytes = b"") -> None:
        """Go on in a new file."""
        name = next(self._names)
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / name
        self._path.write_bytes(b"")
        self._begun = self.written.bytes
        self.written.files.append((name, 0))
        if header:
            self.add(header, 0)

    @property
    def size(self) -> int:
        """The bytes in the present file."""
        return self.written.bytes - self._begun

    def add(self, text: bytes, last: int) -> None:
        """Append text whose last line is of the time ``last``."""
        with self._path.open("ab") as file:
            file.write(text)
        written = self.written
        written.lines += text.count(b"\n")
        written.bytes += len(text)
        written.files[-1] = (written.files[-1][0], last)
        seconds = (MIDNIGHT + timedelta(milliseconds=last)).timestamp()
        os.utime(self._path, (seconds, seconds))


def merged(sources: Sequence[Callable[[int, int], Iterator[Piece]]], borders: Sequence[int]) -> Iterator[Piece]:
    """Put what is written at once into one order, window by window; what reaches beyond a window waits for the next.

    Yields the time of a window's last line and its text.
    """
    waiting: list[Piece] = []
    for number, (begin, end) in enumerate(pairwise(borders), start=2):
        pieces = waiting
        for source in sources:
            pieces.extend(source(begin, end))
        times = np.array([at for at, _ in pieces], np.int64)
        order = np.argsort(times, kind="stable")
        ready = len(order) if number == len(borders) else int(np.searchsorted(times[order], end))
        if ready:
            yield int(times[order[ready - 1]]), b"".join([pieces[k][1] for k in order[:ready].tolist()])
        waiting = [pieces[k] for k in order[ready:].tolist()]


def _borders(plan: Plan, source: str) -> list[int]:
    begin, end = plan.span
    number = plan.size * SHARES[source] // 100 // WINDOW + 1
    return [begin + (end - begin) * n // number for n in range(number + 1)]


def write_capf(plan: Plan, folder: Path) -> Written:
    """Write CAPF's trace, rotated."""
    all_of = plan.enrollments
    own = capf_enrollments(all_of, full=plan.full)
    chatter = _chatter(plan, "capf", 10, own, all_of, quiet_phone)
    log = _Log(folder, (f"cm/trace/capf/sdi/capf{number:08d}.txt" for number in range(1, 1_000_000)))
    log.new()
    for last, text in merged((own, chatter), _borders(plan, "capf")):
        if log.size >= ROTATED:
            log.new()
        log.add(text, last)
    return log.written


def write_nginx(plan: Plan, folder: Path) -> Written:
    """Write error.log."""
    all_of = plan.enrollments
    stranger = strangers_to(all_of)
    nobody = Chatter(stranger, plan.seed, 20, 0, plan.span)
    strangers = _chatter(plan, "nginx", 20, nginx_enrollments(all_of, nobody, full=plan.full), all_of, stranger)
    own = nginx_enrollments(all_of, strangers, full=plan.full)
    log = _Log(folder, iter(("error.log",)))
    log.new()
    for last, text in merged((own, strangers), _borders(plan, "nginx")):
        log.add(text, last)
    return log.written


def write_iis(plan: Plan, folder: Path) -> Written:
    """Write IIS's access log, a file for each day of UTC."""
    all_of = plan.enrollments
    own = iis_enrollments(all_of)
    others = _chatter(plan, "iis", 30, own, all_of, other_site)
    begin, end = plan.span
    ahead = UTC_MIDNIGHT - IIS_BEHIND
    days = range((begin + ahead) // DAY, (end + TAIL + ahead) // DAY + 1)
    log = _Log(folder, (f"W3SVC1/u_ex{day_of(day, '%y%m%d').decode()}.log" for day in days))
    midnights = [day * DAY - ahead for day in days[1:] if day * DAY - ahead < end]
    open_day = -1
    for last, text in merged((own, others), sorted({*_borders(plan, "iis"), *midnights})):
        if (last + ahead) // DAY != open_day:
            open_day = (last + ahead) // DAY
            log.new(blocks.IIS_HEADER.replace(b"{stamp}", text[:19]))
        log.add(text, last)
    return log.written


WRITERS = {"capf": write_capf, "nginx": write_nginx, "iis": write_iis}


def pack(archive: zipfile.ZipFile, file: Path, name: str, last: int) -> None:
    """Put a file into a zip, with the time of its last line on the node's clock (ms)."""
    entry = zipfile.ZipInfo(name, (MIDNIGHT + timedelta(milliseconds=last)).timetuple()[:6])
    entry.create_system = 3  # else the platform that this runs on stands in the file
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.file_size = file.stat().st_size
    with file.open("rb") as text, archive.open(entry, "w") as packed:
        shutil.copyfileobj(text, packed, CHUNK)


def _pool(plan: Plan) -> Executor:
    return ThreadPoolExecutor(1) if plan.size < SMALL else ProcessPoolExecutor(2, get_context("spawn"))


def generate(plan: Plan, folder: Path | None, bundle: Path | None) -> dict[str, object]:
    """Write a bundle into a folder, into a zip, or into both; gives what OUT.truth.json says.

    Two processes write text while this one packs what is finished; what is small they are not started for.
    """
    keep = folder is not None
    with tempfile.TemporaryDirectory(dir=bundle.parent if bundle else None) as temporary:
        target = folder or Path(temporary)
        with _pool(plan) as pool:
            logs: dict[str, Future[Written]] = {
                source: pool.submit(writer, plan, target) for source, writer in WRITERS.items()
            }
            if bundle is not None:
                with zipfile.ZipFile(bundle, "w", compresslevel=6) as archive:
                    for log in logs.values():
                        for name, last in log.result().files:
                            pack(archive, target / name, name, last)
                            if not keep:
                                (target / name).unlink()
            written = {source: log.result() for source, log in logs.items()}
    failed = int(is_fault(np.arange(plan.count)).sum())
    return {
        **asdict(plan),
        "enrollments": plan.count,
        "issued": plan.count - failed,
        "failed": failed,
        "lines": {source: log.lines for source, log in written.items()},
        "bytes": {source: log.bytes for source, log in written.items()},
    }


def truth_of(out: Path) -> Path:
    """Say where the counts of a bundle stand: ``OUT.truth.json``."""
    stem = out.with_suffix("") if out.suffix == ".zip" else out
    return stem.with_name(f"{stem.name}.truth.json")


def make(plan: Plan, out: Path) -> dict[str, object]:
    """Write a bundle, a zip or a folder by its name, and its counts; gives the counts."""
    zipped = out.suffix == ".zip"
    out.parent.mkdir(parents=True, exist_ok=True)
    truth = generate(plan, None if zipped else out, out if zipped else None)
    truth_of(out).write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
    return truth


def amount(text: str) -> int:
    """Read a size: ``100M`` is 100,000,000 bytes."""
    unit = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:].upper(), 1)
    return int(float(text.rstrip("KMGkmg")) * unit)


def main() -> None:
    """Write one bundle, and what is in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("day", "storm"), default="day")
    parser.add_argument("--size", type=amount, default="1G", help="bytes of text: 10M to 10G")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("out", type=Path, metavar="OUT.zip|OUT_FOLDER")
    given = parser.parse_args()
    sys.stdout.write(f"{json.dumps(make(Plan(given.kind, given.size, given.seed), given.out))}\n")


if __name__ == "__main__":
    main()
