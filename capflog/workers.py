"""Several processes that read a bundle together: each walks all of it and takes what nobody has taken.

A process keeps the rows that it made until all have come to the end; then the parent says what becomes of them, and has
them written, column by column, to where they belong in the table: memory is touched once.
"""

from __future__ import annotations

import gc
import mmap
import multiprocessing
import os
import pickle
import signal
import tempfile
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from capflog.bundle import BundleError, Damage, Refused, open_bundle
from capflog.compiling import made_ready
from capflog.dates import Dated
from capflog.parsing import parsers
from capflog.reading import Gathered, Reading, Scanned, digests_of, file_of, keep_memory, once, scan, vocabulary_for
from capflog.rows import Rows, write_columns
from capflog.stretches import STRIPED_FROM, Books, Stretch
from capflog.table import TableBuilder
from capflog.texts import BundleTexts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from multiprocessing.process import BaseProcess
    from multiprocessing.sharedctypes import SynchronizedArray

    from capflog.progress import Progress
    from capflog.rows import Mapped, Packed
    from capflog.stretches import Reads

#: How many members can be shared out; what stands behind them the first process reads.
_SHARED_MEMBERS = 1 << 18

#: How often progress is told. (s)
_TICK = 0.1


class ReadingError(BundleError):
    """A process has come to an end that it should not have; its text is one line for the user."""

    def __init__(self) -> None:
        super().__init__("a process that read the bundle was ended before its time; there may not be enough memory")


@dataclass(slots=True)
class _Received:
    """What one process has sent."""

    connection: Connection
    members: list[tuple[int, str, Dated, Scanned]] = field(default_factory=list)
    items: list[tuple[int, Refused | Damage]] = field(default_factory=list)
    vocabulary: Packed | None = None


class Workers:
    """The processes that read a bundle together."""

    def __init__(self, paths: Sequence[str], count: int, *, learning: bool) -> None:
        self._paths = paths
        self._learning = learning
        self._count = count
        # What is loaded by now, the children have; and no thread is about.
        self._context = multiprocessing.get_context("fork")
        self._claims: SynchronizedArray[int] = self._context.Array("i", _SHARED_MEMBERS)
        self._done = self._context.RawArray("q", count)

    def read(self, progress: Progress, total: int | None) -> Reading:
        """Have the bundle read and put together what comes."""
        parsers()
        if self._learning:
            self._learning = made_ready(progress)
        processes: list[BaseProcess] = []
        received: list[_Received] = []
        self._shared = _Shared()
        try:
            # What is loaded by now stays: the children need not look through it for rubbish.
            gc.freeze()
            try:
                for number in range(self._count):
                    self._begin(number, processes, received)
            finally:
                gc.unfreeze()
            self._receive(received, progress, total)
            try:
                reading = self._together(received)
            except ReadingError:
                _raise_last_words(received)
                raise
        except BaseException:
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            raise
        finally:
            # A process whose pipe is closed ends by itself: nobody waits until its memory is given back.
            for one in received:
                one.connection.close()
            self._shared.close()
        return reading

    def _begin(self, number: int, processes: list[BaseProcess], received: list[_Received]) -> None:
        """Start a process; a signal that comes meanwhile is heard when it is known to those who end it."""
        ours, theirs = self._context.Pipe()
        strange = [ours, *(one.connection for one in received)]
        process = self._context.Process(target=self._work, args=(number, theirs, strange), daemon=True)
        with _deaf(), warnings.catch_warnings():
            # numpy's own threads, which have nothing to do before any of it is asked, make newer Pythons warn.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
            processes.append(process)
            received.append(_Received(ours))
            theirs.close()

    def _receive(self, received: Sequence[_Received], progress: Progress, total: int | None) -> None:
        waiting = {one.connection: one for one in received}
        while waiting:
            for ready in wait(list(waiting), _TICK):
                assert isinstance(ready, Connection)
                kind, *what = _get(ready)
                if kind == "member":
                    number, name, dated, scanned = what
                    waiting[ready].members.append((number, name, dated, scanned))
                elif kind == "item":
                    waiting[ready].items.append((what[0], what[1]))
                elif kind == "end":
                    waiting[ready].vocabulary = what[0]
                    del waiting[ready]
                elif kind == "bundle":
                    raise BundleError(what[0])
                else:
                    raise what[0]
            progress.reading(sum(self._done), total)

    def _together(self, received: Sequence[_Received]) -> Reading:
        where: dict[int, Connection] = {}
        gathered = Gathered(
            paths=self._paths,
            builder=TableBuilder(vocabulary_for(learning=self._learning)),
            part_of=partial(_AwayPart.of, where, self._shared),
        )
        vocabulary = gathered.builder.vocabulary
        maps = [vocabulary.absorb(one.vocabulary) for one in received if one.vocabulary is not None]
        by_place: dict[int, tuple[str, Dated, list[Scanned]]] = {}
        for one, mapped in zip(received, maps, strict=True):
            _put(one.connection, ("map", mapped))
            for place, name, dated, scanned in one.members:
                where |= {id(stretch): one.connection for stretch in scanned.stretches}
                by_place.setdefault(place, (name, dated, []))[2].append(scanned)
        items = {place: item for one in received for place, item in one.items}
        self._digest_alike(gathered, by_place)
        for place in sorted({*by_place, *items}):
            if place in items:
                gathered.refused(items[place])
            if place in by_place:
                name, dated, parts = by_place[place]
                gathered.member(name, dated, _merged(parts))
        return gathered.reading(BundleTexts(self._paths, gathered.marks), self._shared.room)

    @staticmethod
    def _digest_alike(gathered: Gathered, by_place: dict[int, tuple[str, Dated, list[Scanned]]]) -> None:
        """Have the members that may be the same read once more, all in one walk."""
        alike: dict[tuple[str, object], list[str]] = {}
        for name, _, parts in by_place.values():
            alike.setdefault((file_of(name), parts[0].mark), []).append(name)
        wanted = {name for names in alike.values() if len(names) > 1 for name in names}
        if wanted and gathered.paths is not None:
            gathered.digests = digests_of(gathered.paths, wanted)

    # ---- in a child -------------------------------------------------------------------------------------------------

    def _work(self, number: int, connection: Connection, strange: Sequence[Connection]) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        # With the parent's ends open it would not notice that the parent has gone.
        for other in strange:
            other.close()
        keep_memory()
        try:
            _serve(connection, self._walk(number, connection), self._shared)
        except (BrokenPipeError, ReadingError):
            # The parent has gone, or has what it wants.
            pass
        except BundleError as error:
            with suppress(OSError):
                _put(connection, ("bundle", str(error)))
        except BaseException as error:  # noqa: BLE001  (whatever it is: the parent raises it)
            with suppress(OSError):
                _put(connection, ("error", _sendable(error)))
        finally:
            connection.close()
            # Nothing of the parent's (its buffers, its locks) is the child's to tidy up.
            os._exit(0)

    def _walk(self, number: int, connection: Connection) -> list[Rows]:
        vocabulary = vocabulary_for(learning=self._learning)
        books = Books(vocabulary, learning=self._learning)
        kept: list[Rows] = []
        done = 0

        def watch(_scanner: Reads, block: bytes) -> None:
            nonlocal done
            done += len(block)
            self._done[number] = done

        for place, item in enumerate(open_bundle(self._paths, None)):
            if isinstance(item, Refused | Damage):
                if number == 0:
                    _put(connection, ("item", place, item))
                continue
            striped = item.size is not None and item.size >= STRIPED_FROM and place < _SHARED_MEMBERS
            if not striped and not self._takes(place, number):
                continue
            claim = partial(self._claim, place) if striped else once()
            scanned = scan(item, books, claim, striped=striped, digest=False, watch=watch)
            for at, stretch in enumerate(scanned.stretches):
                assert stretch.rows is not None
                kept.append(stretch.rows)
                scanned.stretches[at] = replace(stretch, rows=None, away=(len(kept) - 1, len(stretch.rows)))
            dated = Dated(item.modified, item.modified_is_local)
            _put(connection, ("member", place, item.name, dated, scanned))
        _put(connection, ("end", vocabulary.packed()))
        return kept

    def _takes(self, place: int, number: int) -> bool:
        return self._claim(place) == 0 if place < _SHARED_MEMBERS else number == 0

    def _claim(self, place: int) -> int:
        with self._claims.get_lock():
            claimed: int = self._claims[place]
            self._claims[place] = claimed + 1
        return claimed


def _serve(connection: Connection, kept: list[Rows], shared: _Shared) -> None:
    """Do with the rows as the parent says, until it says no more."""
    mapped: Mapped | None = None
    while True:
        kind, *what = _get(connection)
        if kind == "map":
            (mapped,) = what
            continue
        if kind == "wait":
            _put(connection, ("reply", None))
            continue
        number, skipped, *rest = what
        rows = kept[number].after(skipped) if skipped else kept[number]
        assert mapped is not None
        if kind == "count":
            _put(connection, ("reply", len(rows)))
        elif kind == "columns":
            places, kinds, lines = rest
            columns = {name: shared.column(len(rows), *place) for name, place in places.items()}
            write_columns(rows, columns, kinds, lines, mapped)
        else:
            found = getattr(rows, rest[0])
            if rest[0] == "words":
                found = {name: (places, mapped.words[name][codes]) for name, (places, codes) in found.items()}
            narrow = {name: (_narrow(own), _narrow(values)) for name, (own, values) in found.items()}
            _put(connection, ("reply", narrow))


def _narrow(values: np.ndarray) -> np.ndarray:
    """Write whole numbers in half as many bytes, where they fit: less goes through the pipe."""
    if values.dtype != np.int64 or not len(values):
        return values
    low, high = int(values.min()), int(values.max())
    return values.astype(np.int32) if low >= -(1 << 31) and high < 1 << 31 else values


class _Shared:
    """Memory that all the processes see: the children write the table's columns to where the parent has them."""

    def __init__(self) -> None:
        # A file of no name, which is there before there are other processes, and has a size when all is read.
        self._on_disk = False
        try:
            self._file = os.memfd_create("capflog")
        except (AttributeError, OSError):
            # Linux alone has it, and not everywhere.
            with tempfile.TemporaryFile() as file:
                self._file = os.dup(file.fileno())
            self._on_disk = True
        self._map: mmap.mmap | None = None

    def close(self) -> None:
        """Let go of the file; what is mapped stays."""
        os.close(self._file)

    def room(self, count: int, types: Mapping[str, np.dtype[Any]]) -> dict[str, np.ndarray]:
        """See :data:`capflog.table.Room`."""
        at, places = 0, {}
        for name, dtype in types.items():
            places[name] = at, dtype.str
            at += -(-count * dtype.itemsize // _ALIGNED) * _ALIGNED
        os.ftruncate(self._file, max(at, 1))
        if self._on_disk and hasattr(os, "posix_fallocate"):
            # Without room a write into the memory would end the program.
            try:
                os.posix_fallocate(self._file, 0, max(at, 1))
            except OSError as error:
                raise BundleError(f"no room for {at:,} bytes of temporary data: {error.strerror}") from None
        return {name: self.column(count, *place) for name, place in places.items()}

    def column(self, count: int, at: int, dtype: str) -> np.ndarray:
        """Give so many items from a place on."""
        if self._map is None:
            self._map = mmap.mmap(self._file, 0)
        return np.frombuffer(self._map, dtype=dtype, count=count, offset=at)

    def place(self, column: np.ndarray) -> tuple[int, str]:
        """Say where a column, or a piece of it, is: see :meth:`column`."""
        assert self._map is not None
        begin = np.frombuffer(self._map, dtype=np.uint8).ctypes.data
        return column.ctypes.data - begin, column.dtype.str


#: Columns begin at multiples of so many bytes.
_ALIGNED = 4096


@dataclass(slots=True)
class _AwayPart:
    """Rows of a process: see :class:`capflog.table.Part`."""

    source: int
    member: int
    count: int
    connection: Connection
    shared: _Shared
    number: int
    skipped: int
    lines: int

    @classmethod
    def of(
        cls,
        where: dict[int, Connection],
        shared: _Shared,
        source: int,
        member: int,
        stretch: Stretch,
        skipped: int,
        lines: int,
    ) -> _AwayPart:
        """Make a part of a stretch; ``skipped``: its lines that do not count; ``lines``: those before it."""
        connection = where[id(stretch)]
        assert stretch.away is not None
        number, count = stretch.away
        if skipped:
            count = _ask(connection, "count", number, skipped)
        return cls(source, member, count, connection, shared, number, skipped, lines)

    def give(self, columns: Mapping[str, np.ndarray], kinds: np.ndarray) -> None:
        """See :class:`capflog.table.Part`."""
        places = {name: self.shared.place(column) for name, column in columns.items()}
        _put(self.connection, ("columns", self.number, self.skipped, places, kinds, self.lines))

    def wait(self) -> None:
        """See :class:`capflog.table.Part`."""
        _ask(self.connection, "wait")

    def values(self, which: Literal["numbers", "words"]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Have what differs from line to line sent."""
        found: dict[str, tuple[np.ndarray, np.ndarray]] = _ask(
            self.connection, "values", self.number, self.skipped, which
        )
        return found


def _raise_last_words(received: Sequence[_Received]) -> None:
    """Raise what a process failed with, if one has said so before it went."""
    said: list[tuple[Any, ...]] = []
    for one in received:
        with suppress(ReadingError, OSError):
            while one.connection.poll():
                said.append(_get(one.connection))
    for kind, *what in said:
        if kind == "error":
            raise what[0]


def _merged(parts: Sequence[Scanned]) -> Scanned:
    """Put together what several processes read of one member."""
    first = parts[0]
    return replace(
        first,
        damage=next((part.damage for part in parts if part.damage), None),
        stretches=[stretch for part in parts for stretch in part.stretches],
        lines=max(part.lines for part in parts),
        record=next((part.record for part in parts if part.record is not None), None),
    )


@contextmanager
def _deaf() -> Iterator[None]:
    """Hold Ctrl-C and SIGTERM back for a moment: a process that is begun in it never hears Ctrl-C, the parent does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- messages --------------------------------------------------------------------------------------------------------


def _ask(connection: Connection, *message: object) -> Any:
    """Send a message and give the reply to it; what a process failed with is raised."""
    _put(connection, message)
    kind, said = _get(connection)
    if kind == "bundle":
        raise BundleError(said)
    if kind == "error":
        raise said
    return said


def _sendable(error: BaseException) -> BaseException:
    """Give an exception that can be sent, for one that may not be."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (what was pickled here, a line ago)
    except Exception:  # noqa: BLE001  (whatever its class makes of it)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _put(connection: Connection, message: tuple[object, ...]) -> None:
    """Send a message; arrays go as they are, without being written into one more buffer."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    try:
        connection.send_bytes(len(buffers).to_bytes(4, "little") + data)
        for buffer in buffers:
            view = buffer.raw()
            connection.send_bytes(len(view).to_bytes(8, "little"))
            _write(connection, view)
    except ConnectionError:
        raise ReadingError from None


def _get(connection: Connection) -> tuple[Any, ...]:
    """Receive a message; raises ReadingError where the other side has gone."""
    try:
        data = connection.recv_bytes()
        buffers = []
        for _ in range(int.from_bytes(data[:4], "little")):
            buffer = np.empty(int.from_bytes(connection.recv_bytes(), "little"), dtype=np.uint8)
            _read(connection, _bytes_of(buffer))
            buffers.append(buffer)
    except (EOFError, ConnectionError):
        raise ReadingError from None
    message: tuple[Any, ...] = pickle.loads(memoryview(data)[4:], buffers=buffers)  # noqa: S301  (our own process's)
    return message


def _bytes_of(array: np.ndarray) -> memoryview:
    return array.view(np.uint8).data.cast("B")


def _write(connection: Connection, view: memoryview) -> None:
    """Write bytes as they are."""
    done = 0
    while done < len(view):
        done += os.write(connection.fileno(), view[done:])


def _read(connection: Connection, view: memoryview) -> None:
    """Read so many bytes to where they belong."""
    done = 0
    while done < len(view):
        try:
            count = os.readv(connection.fileno(), [view[done:]])
        except ConnectionError:
            count = 0
        if not count:
            raise ReadingError
        done += count
