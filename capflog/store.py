"""What was analysed, kept for ``capflog timeline`` when the bundle is gone.

One SQLite file (:mod:`capflog.store_file`). Each analysis is a row of ``runs`` and some rows of ``blocks``; a block
holds the packed timelines of as many devices as fill about a megabyte (:mod:`capflog.packing`). Whoever asks about a
device reads the run's list of names and one block.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from capflog.packing import UnreadableError, dump, load, pack, seal, unpack, unseal
from capflog.store_file import AGAIN, ELSEWHERE, StoreFile, StoreProblem, UnfitError, default_path, file_at

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from capflog.model import Timeline

__all__ = ["KEPT_RUNS", "Run", "Store", "StoreProblem", "default_path"]

#: How many analyses are kept.
KEPT_RUNS = 10

#: How much packed text a block takes, before compression. More shrinks the file by hundredths and slows each question.
BLOCK_BYTES = 1 << 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Run:
    """One analysis that is kept. ``devices``: how many have a timeline in it."""

    id: int
    bundle: str
    analysed: datetime
    devices: int


class Store:
    """The analyses that are kept; a context manager.

    ``notices``: what the user must be told, a line each; look at it after every call (paths stand in it as the system
    spells them). Every method raises :class:`StoreProblem` where the store cannot be used. One that reads and meets
    damage puts the file aside before it does so: the next call finds an empty store.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self._file = StoreFile(path, create=create, check=_runs)

    @classmethod
    def open(cls, path: Path | None, *, create: bool) -> Self:
        """Open the store at ``path`` (a folder, or a file that ends in .db; None: :func:`default_path`).

        ``create``: make it if there is none. Without it nothing is written where nothing is, and a store that is
        missing, or that another version of capflog made, reads as an empty one.
        """
        store = cls(default_path() if path is None else file_at(path), create=create)
        try:
            store._file.attach()
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._file.close()

    @property
    def path(self) -> Path:
        """Give the file that the store is kept in."""
        return self._file.path

    @property
    def notices(self) -> list[str]:
        """Give what the user must be told so far."""
        return self._file.notices

    def save(self, report_json: str, bundle: str, timelines: Iterable[Timeline]) -> int:
        """Keep an analysis, one timeline for each device, and say its id; all but the newest ``KEPT_RUNS`` go.

        All of it is kept or, with :class:`StoreProblem`, nothing. Enrollments' records are not: the rows say as much.
        """
        if not self._file.connected:
            raise StoreProblem(f"there is no store at {self.path}: {ELSEWHERE}")
        # Packed before the transaction: others that save need not wait for it.
        names: list[str] = []
        sizes: list[int] = []
        blocks: list[bytes] = []
        for block in _blocks(timelines, names):
            sizes.append(len(block))
            blocks.append(seal(b"\n".join(block)))
        analysed = (datetime.now(UTC) - _EPOCH) // _MILLISECOND
        head = seal(dump([bundle, analysed, len(names)]))
        devices = seal(dump([names, sizes]))
        report = seal(report_json.encode("utf-8", "surrogatepass"))

        def write(db: sqlite3.Connection) -> int:
            # The old go first: the new then takes their pages.
            kept = "SELECT id FROM runs ORDER BY id DESC LIMIT ?"
            db.execute(f"DELETE FROM runs WHERE id NOT IN ({kept})", (KEPT_RUNS - 1,))  # noqa: S608
            db.execute("DELETE FROM blocks WHERE run NOT IN (SELECT id FROM runs)")
            cursor = db.execute("INSERT INTO runs (head, devices, report) VALUES (?, ?, ?)", (head, devices, report))
            run = cursor.lastrowid or 0
            db.executemany("INSERT INTO blocks VALUES (?, ?, ?)", ((run, i, data) for i, data in enumerate(blocks)))
            return run

        try:
            return self._file.transact("BEGIN IMMEDIATE", write)
        except UnfitError as unfit:
            self.notices.append(self._file.replace(unfit))
        try:
            return self._file.transact("BEGIN IMMEDIATE", write)
        except UnfitError as unfit:
            raise StoreProblem(f"the store {self.path} is damaged time and again: {ELSEWHERE}") from unfit

    def latest(self) -> Run | None:
        """Give the newest analysis; None: nothing is kept."""
        runs = self.runs()
        return runs[0] if runs else None

    def runs(self) -> list[Run]:
        """Give the analyses, the newest first."""
        return self._ask(_runs, [])

    def report(self, run_id: int) -> str:
        """Give the JSON report of an analysis; :class:`StoreProblem` if it is not kept."""

        def read(db: sqlite3.Connection) -> str | None:
            row = db.execute("SELECT report FROM runs WHERE id = ?", (run_id,)).fetchone()
            return None if row is None else unseal(row[0]).decode("utf-8", "surrogatepass")

        report = self._ask(read, None)
        if report is None:
            raise StoreProblem(f"analysis {run_id} is not kept in {self.path}: {AGAIN}")
        return report

    def devices(self, run_id: int) -> list[str]:
        """Give the devices that have a timeline in an analysis, in the order in which they were saved."""
        return self._ask(lambda db: _devices(db, run_id)[0], [])

    def timeline(self, run_id: int, device: str) -> Timeline | None:
        """Give the timeline of one device; None: the analysis has none of it."""

        def read(db: sqlite3.Connection) -> Timeline | None:
            names, sizes = _devices(db, run_id)
            if device not in names:
                return None
            place, number = names.index(device), 0
            while number < len(sizes) and place >= sizes[number]:
                place -= sizes[number]
                number += 1
            row = db.execute("SELECT data FROM blocks WHERE run = ? AND number = ?", (run_id, number)).fetchone()
            lines = unseal(row[0] if row else None).split(b"\n")
            timeline = unpack(lines[place]) if place < len(lines) else None
            if timeline is None or timeline.device != device:
                raise UnreadableError("a block holds other devices than its run says")
            return timeline

        return self._ask(read, None)

    def _ask(self, read: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
        if not self._file.connected:
            return nothing
        try:
            return self._file.transact("BEGIN", read)
        except UnfitError as unfit:
            raise StoreProblem(self._file.replace(unfit)) from unfit


def _runs(db: sqlite3.Connection) -> list[Run]:
    """Read what is kept, the newest first; ids are not under any sum, but their order shows damage."""
    runs: list[Run] = []
    for number, head in db.execute("SELECT id, head FROM runs ORDER BY id DESC"):
        if runs and number >= runs[-1].id:
            raise UnreadableError("the analyses are not in order")
        bundle, analysed, devices = load(unseal(head))
        runs.append(Run(number, bundle, _EPOCH + analysed * _MILLISECOND, devices))
    return runs


def _devices(db: sqlite3.Connection, run_id: int) -> tuple[list[str], list[int]]:
    """Give the names in a run, and how many of them each block holds."""
    row = db.execute("SELECT devices FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        return [], []
    names, sizes = load(unseal(row[0]))
    return names, sizes


def _blocks(timelines: Iterable[Timeline], names: list[str]) -> Iterator[list[bytes]]:
    """Pack timelines and give them out by blocks; ``names`` takes the device of each."""
    block: list[bytes] = []
    size = 0
    for timeline in timelines:
        names.append(timeline.device)
        block.append(pack(timeline))
        size += len(block[-1])
        if size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block
