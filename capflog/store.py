"""What was analysed, kept for ``capflog timeline`` when the bundle is gone.

One SQLite file (:mod:`capflog.store_file`). Each analysis is a row of ``runs`` and some rows of ``blocks``, which are
packed (:mod:`capflog.packing`): those of lines have the numbers -1, -2 and so on, those of timelines 0, 1 and so on,
those that put lines into groups which may be of many devices :data:`STRAYS_FROM` and so on. Whoever asks about a device
reads the run's list of names, one block of timelines and the blocks of its lines.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from capflog.store_file import AGAIN, ELSEWHERE, StoreFile, StoreProblem, UnfitError, default_path, file_at
from capflog.unpacking import (
    Lines,
    Strays,
    UnreadableError,
    load,
    timeline_of,
    unpack_lines,
    unpack_sheaf,
    unpack_strays,
    unseal,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from capflog.model import Timeline
    from capflog.unpacking import Sheaf
    from capflog.zones import Zone

__all__ = ["KEPT_RUNS", "Run", "Store", "StoreProblem", "default_path"]

#: How many analyses are kept.
KEPT_RUNS = 10

#: How much text a block of lines takes, before compression. More saves hundredths and slows questions.
BLOCK_BYTES = 1 << 20

#: How many blocks of lines stay unpacked for the next question: devices that come together stand in the same.
BLOCKS_HELD = 32

#: The number of the first block of lines in groups.
STRAYS_FROM = 1 << 32

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
        self._held: dict[tuple[int, int], Lines] = {}
        self._sheaf: tuple[int, int, Sheaf] | None = None

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
        from capflog.packing import parts_of  # noqa: PLC0415  (numpy is behind it; who asks has no need of it)

        return self.keep((report_json,), bundle, parts_of(timelines, BLOCK_BYTES))

    def keep(self, report_json: Iterable[str], bundle: str, parts: Iterable[Lines | Sheaf | Strays]) -> int:
        """Keep an analysis as :meth:`save` does: the pieces of its report, and its timelines taken apart.

        The numbers of lines, and those of groups, rise from each block of them to the next; no block of these is empty.
        """
        from capflog.packing import dump, pack, seal  # noqa: PLC0415

        if not self._file.connected:
            raise StoreProblem(f"there is no store at {self.path}: {ELSEWHERE}")
        # Packed before the transaction: others that save need not wait for it.
        names: list[str] = []
        sizes: list[int] = []
        firsts: list[int] = []
        groups: list[int] = []
        blocks: list[tuple[int, bytes]] = []
        for part in parts:
            if isinstance(part, Lines):
                firsts.append(int(part.number[0]))
                number = -len(firsts)
            elif isinstance(part, Strays):
                number = STRAYS_FROM + len(groups)
                groups.append(part.first)
            else:
                number = len(sizes)
                sizes.append(len(part.timelines))
                names += [timeline.device for timeline in part.timelines]
            blocks.append((number, seal(pack(part))))
        analysed = (datetime.now(UTC) - _EPOCH) // _MILLISECOND
        head = seal(dump([bundle, analysed, len(names)]))
        devices = seal(dump([names, sizes, firsts, groups]))
        report = seal(piece.encode("utf-8", "surrogatepass") for piece in report_json)

        def write(db: sqlite3.Connection) -> int:
            # The old go first: the new then takes their pages.
            kept = "SELECT id FROM runs ORDER BY id DESC LIMIT ?"
            db.execute(f"DELETE FROM runs WHERE id NOT IN ({kept})", (KEPT_RUNS - 1,))  # noqa: S608
            db.execute("DELETE FROM blocks WHERE run NOT IN (SELECT id FROM runs)")
            cursor = db.execute("INSERT INTO runs (head, devices, report) VALUES (?, ?, ?)", (head, devices, report))
            run = cursor.lastrowid or 0
            db.executemany("INSERT INTO blocks VALUES (?, ?, ?)", ((run, i, data) for i, data in blocks))
            return run

        self._forget()
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

    def zone(self, run_id: int) -> Zone | None:
        """Give the zone in which the timelines of an analysis are shown."""

        def read(db: sqlite3.Connection) -> Zone | None:
            first = next(iter(self._sheaf_of(db, run_id, 0).timelines), None) if _devices(db, run_id)[1] else None
            return None if first is None else first.zone

        return self._ask(read, None)

    def timeline(self, run_id: int, device: str, *, every: bool = False) -> Timeline | None:
        """Give the timeline of one device; None: the analysis has none of it.

        ``every``: with the lines that may be of its enrollments.
        """

        def read(db: sqlite3.Connection) -> Timeline | None:
            names, sizes, firsts, groups = _devices(db, run_id)
            if device not in names:
                return None
            place, number = names.index(device), 0
            while number < len(sizes) and place >= sizes[number]:
                place -= sizes[number]
                number += 1
            sheaf = self._sheaf_of(db, run_id, number)
            if place >= len(sheaf.timelines) or sheaf.timelines[place].device != device:
                raise UnreadableError("a block holds other devices than its run says")

            def kept(numbers: Sequence[int]) -> Iterator[Lines]:
                for block in sorted({bisect(firsts, number) for number in numbers}):
                    yield self._lines(db, run_id, block)

            def strays(numbers: Sequence[int]) -> Iterator[Strays]:
                for block in sorted({bisect(groups, number) for number in numbers}):
                    yield unpack_strays(_block(db, run_id, STRAYS_FROM + block - 1))

            return timeline_of(sheaf, place, kept, strays if every else None)

        return self._ask(read, None)

    def sheaves(self, run_id: int) -> Iterator[Sheaf]:
        """Give the timelines of an analysis without their lines, block by block."""
        for number in range(self._ask(lambda db: len(_devices(db, run_id)[1]), 0)):
            yield self._ask_of_run(run_id, partial(self._sheaf_of, run_id=run_id, number=number))

    def blocks_of_lines(self, run_id: int) -> int:
        """Say how many blocks of lines an analysis has."""
        return self._ask(lambda db: len(_devices(db, run_id)[2]), 0)

    def lines(self, run_id: int, block: int) -> Lines:
        """Give a block of an analysis's lines, counted from 1."""
        return self._ask_of_run(run_id, lambda db: self._lines(db, run_id, block))

    def _ask_of_run(self, run_id: int, read: Callable[[sqlite3.Connection], _T]) -> _T:
        """Ask of an analysis that was there before; another run of capflog may have let go of it since."""

        def asked(db: sqlite3.Connection) -> _T | None:
            return read(db) if db.execute("SELECT 1 FROM runs WHERE id = ?", (run_id,)).fetchone() else None

        found = self._ask(asked, None)
        if found is None:
            raise StoreProblem(f"analysis {run_id} is not kept in {self.path}: {AGAIN}")
        return found

    def _sheaf_of(self, db: sqlite3.Connection, run_id: int, number: int) -> Sheaf:
        """Give a run's block of timelines."""
        if self._sheaf is None or self._sheaf[:2] != (run_id, number):
            self._sheaf = (run_id, number, unpack_sheaf(_block(db, run_id, number)))
        return self._sheaf[2]

    def _lines(self, db: sqlite3.Connection, run_id: int, block: int) -> Lines:
        """Give the lines of a run's block, counted from 1."""
        lines = self._held.pop((run_id, block), None)
        if lines is None:
            lines = unpack_lines(_block(db, run_id, -block))
        while len(self._held) >= BLOCKS_HELD:
            del self._held[next(iter(self._held))]
        self._held[run_id, block] = lines
        return lines

    def _forget(self) -> None:
        self._held.clear()
        self._sheaf = None

    def _ask(self, read: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
        if not self._file.connected:
            return nothing
        try:
            return self._file.transact("BEGIN", read)
        except UnfitError as unfit:
            self._forget()
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


def _devices(db: sqlite3.Connection, run_id: int) -> tuple[list[str], list[int], list[int], list[int]]:
    """Give the names in a run, how many each block of timelines holds, where each block of lines, of groups begins."""
    row = db.execute("SELECT devices FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        return [], [], [], []
    names, sizes, firsts, groups = load(unseal(row[0]))
    return names, sizes, firsts, groups


def _block(db: sqlite3.Connection, run_id: int, number: int) -> bytes:
    """Read a block of a run."""
    row = db.execute("SELECT data FROM blocks WHERE run = ? AND number = ?", (run_id, number)).fetchone()
    return unseal(row[0] if row else None)
