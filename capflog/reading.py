"""Members in, the event table out: on one core, or on all of them.

Several processes walk the same bundle. Each takes the members, and of large ones the stripes, that nobody has taken;
what it does not take costs it no reading, or in a compressed stream the inflating alone. What they made is put together
in the order of the bundle: the table is the same whatever their number was.
"""

from __future__ import annotations

import ctypes
import hashlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from capflog.bundle import BundleError, Damage, Damaged, Refused, open_bundle, text_size
from capflog.dates import Dated
from capflog.model import Member, Status
from capflog.parsing import parsers
from capflog.progress import SILENT, Progress
from capflog.streams import crc32
from capflog.stretches import (
    STRIPED_FROM,
    Books,
    Stretch,
    count_lines,
    joined,
    read_stretches,
    recognised,
    state_behind,
    stream_of,
)
from capflog.table import Table, TableBuilder, Vocabulary
from capflog.texts import BundleTexts, KeptTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from multiprocessing.sharedctypes import SynchronizedArray

    from capflog.scanning import Scanner
    from capflog.table import Mapped, Packed, Texts

#: A bundle of less text than this is read by one process: starting others would take longer.
PARALLEL_FROM = 24 << 20

#: How many times as large text is as what it is packed into, where no directory says so.
PACKED = 10

#: How many members can be shared out; what stands behind them one process reads.
_SHARED_MEMBERS = 1 << 18

#: How often progress is told. (s)
_TICK = 0.1


class Stored(Protocol):
    """A member whose bytes can be read once: :class:`capflog.bundle.Member`, or text that a rule's case holds."""

    @property
    def name(self) -> str: ...
    @property
    def modified(self) -> datetime | None: ...
    @property
    def modified_is_local(self) -> bool: ...
    def chunks(self) -> Iterator[bytes]: ...


@dataclass(slots=True)
class Scanned:
    """What was read of a member by one process."""

    source: str | None
    why: str
    damage: str | None
    mark: tuple[int, int | bytes]
    stretches: list[Stretch] = field(default_factory=list)
    lines: int = 0
    """Of a member that no parser knows."""


@dataclass(slots=True)
class Reading:
    """What reading a bundle gives."""

    members: list[Member]
    table: Table
    dated: dict[str, Dated]


class _Watched:
    """A member's bytes that end quietly where they are damaged, and remember why."""

    def __init__(self, member: Stored, *, digest: bool) -> None:
        self._member = member
        self._digest = hashlib.blake2b(digest_size=16) if digest else None
        self.damage: str | None = None
        self._crc = self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._member.chunks():
                if self._digest is not None:
                    self._digest.update(chunk)
                else:
                    self._crc = crc32(chunk, self._crc)
                self._size += len(chunk)
                yield chunk
        except Damaged as damaged:
            self.damage = str(damaged)

    @property
    def mark(self) -> tuple[int, int | bytes]:
        """What other bytes hardly have: their number and their sum, or a digest of them."""
        return self._size, self._crc if self._digest is None else self._digest.digest()


def same_bytes(paths: Sequence[str], one: str, other: str) -> bool:
    """Tell whether two members of a bundle are the same byte for byte."""
    digests = []
    for item in open_bundle(paths, None):
        if not isinstance(item, Refused | Damage) and item.name in (one, other):
            watched = _Watched(item, digest=True)
            for _ in watched:
                pass
            digests.append(watched.mark)
    return len(digests) == 2 and digests[0] == digests[1]


def scan(
    member: Stored,
    books: Books,
    claim: Callable[[], int],
    *,
    striped: bool,
    learning: bool = True,
    keeping: bool = False,
    watch: Callable[[Scanner, bytes], None] | None = None,
) -> Scanned:
    """Read what ``claim`` gives of one member (see :func:`capflog.stretches.read_stretches`)."""
    chunks = _Watched(member, digest=keeping)
    stream = stream_of(chunks)
    recognition, head = recognised(stream, member.name)
    parser = recognition.parser
    if parser is None:
        lines = count_lines(stream) if claim() == 0 else 0
        return Scanned(None, recognition.why, chunks.damage, chunks.mark, lines=lines)
    guess = state_behind(parser, head) if striped else None
    stretches = list(
        read_stretches(stream, books.of(parser), guess, claim, learning=learning, keeping=keeping, watch=watch)
    )
    # To the end, wherever the last stretch ended: damage shows there, and the digest is of all bytes.
    stream.skip_to(1 << 62)
    return Scanned(parser.source, recognition.why, chunks.damage, chunks.mark, stretches)


@dataclass(slots=True)
class _Gathered:
    """The members in the order of the bundle, as they come."""

    members: list[Member] = field(default_factory=list)
    builder: TableBuilder = field(default_factory=TableBuilder)
    dated: dict[str, Dated] = field(default_factory=dict)
    paths: Sequence[str] | None = None
    """From where members can be read again; None: they cannot, and have full digests."""
    mapped: dict[int, Mapped] = field(default_factory=dict)
    """What makes the codes of a stretch (its id) those of the builder's vocabulary; others' are that already."""
    _seen: dict[tuple[str, tuple[int, int | bytes]], list[str]] = field(default_factory=dict)

    def refused(self, item: Refused | Damage) -> None:
        """Take what was not read."""
        status = item.status if isinstance(item, Refused) else "partial"
        self.members.append(Member(item.name, None, status, item.reason))

    def member(self, name: str, dated: Dated, scanned: Scanned) -> bool:
        """Take a member with its rows; False: its rows are not wanted."""
        if scanned.source is None:
            reason = scanned.damage or scanned.why
            status: Status = "unreadable" if scanned.damage else "skipped"
            self.members.append(Member(name, None, status, reason, scanned.why, scanned.lines))
            return False
        whole = joined(scanned.stretches)
        file = name.rpartition("/")[2].removesuffix(".gz").removesuffix(".gzo")
        alike = self._seen.setdefault((file, scanned.mark), [])
        twin = next((one for one in alike if self.paths is None or same_bytes(self.paths, one, name)), None)
        alike.append(name)
        if twin is not None:
            # Overlapping collections are daily life: what happened once is told once. Two starts of CES may well have
            # the same lines, but then they stand in files of different numbers.
            reason = f"the same, byte for byte, as {twin}"
            self.members.append(Member(name, scanned.source, "skipped", reason, scanned.why, whole.lines))
            return False
        self.members.append(
            Member(
                name,
                scanned.source,
                "parsed" if scanned.damage is None else "partial",
                scanned.damage,
                scanned.why,
                whole.lines,
                whole.events,
                whole.unparsed,
                unknown=whole.unknown,
            )
        )
        for stretch, rows, lines in whole.parts:
            self.builder.add_rows(scanned.source, name, rows, lines=lines, mapped=self.mapped.get(id(stretch)))
        self.dated[name] = dated
        return True

    def reading(self, texts: Texts) -> Reading:
        return Reading(self.members, self.builder.table(texts), self.dated)


def read_stored(
    stored: Iterable[Stored | Refused | Damage], progress: Progress = SILENT, *, learning: bool = True
) -> Reading:
    """Read members one after the other in this process; their lines are kept, since nobody can read them again."""
    gathered = _Gathered()
    books = Books(gathered.builder.vocabulary)
    texts = KeptTexts()
    done = 0

    def watch(scanner: Scanner, block: bytes) -> None:
        nonlocal done
        done += len(block)
        texts.keep(scanner.taken_lines())
        progress.reading(done, None)

    for item in stored:
        if isinstance(item, Refused | Damage):
            gathered.refused(item)
            continue
        texts.begin()
        scanned = scan(item, books, _once(), striped=False, learning=learning, keeping=True, watch=watch)
        if not gathered.member(item.name, Dated(item.modified, item.modified_is_local), scanned):
            texts.drop()
    return gathered.reading(texts)


def _once() -> Callable[[], int]:
    """Claim all of a member."""
    numbers = iter(range(1 << 62))
    return lambda: next(numbers)


def read_bundle(
    paths: Sequence[str],
    stdin: BinaryIO | None = None,
    progress: Progress = SILENT,
    *,
    processes: int | None = None,
    learning: bool = True,
) -> Reading:
    """Read a bundle. ``processes`` None: as many as there are cores, where there is enough to read.

    Raises :class:`capflog.bundle.BundleError` where no path can be read.
    """
    keep_memory()
    if not all(path != "-" and _again(path) for path in paths):
        return read_stored(open_bundle(paths, stdin), progress, learning=learning)
    total = text_size(paths)
    if processes is None:
        processes = cores() if (_stored_size(paths) * PACKED if total is None else total) >= PARALLEL_FROM else 1
    if processes < 2 or not hasattr(os, "fork"):
        return _read_alone(paths, progress, total, learning=learning)
    return _Workers(paths, processes, learning=learning).read(progress, total)


def cores() -> int:
    """Say how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_memory() -> None:
    """Have the C library keep what was freed for the arrays to come, where it can be told so (glibc).

    It gives large blocks back at once and asks for them again for the next array: a quarter of all time goes there.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for parameter in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            library.mallopt(parameter, 256 << 20)


#: Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def _stored_size(paths: Sequence[str]) -> int:
    """Give the bytes of all files, packed as they are."""
    return sum(
        file.stat().st_size
        for path in paths
        for file in ((Path(path),) if Path(path).is_file() else Path(path).rglob("*"))
        if file.is_file()
    )


def _again(path: str) -> bool:
    """Tell whether a path can be read a second time."""
    found = Path(path or "\0")
    return found.is_file() or found.is_dir()


def _read_alone(paths: Sequence[str], progress: Progress, total: int | None, *, learning: bool) -> Reading:
    gathered = _Gathered(paths=paths)
    books = Books(gathered.builder.vocabulary)
    done = 0

    def watch(_scanner: Scanner, block: bytes) -> None:
        nonlocal done
        done += len(block)
        progress.reading(done, total)

    for item in open_bundle(paths, None):
        if isinstance(item, Refused | Damage):
            gathered.refused(item)
        else:
            scanned = scan(item, books, _once(), striped=False, learning=learning, watch=watch)
            gathered.member(item.name, Dated(item.modified, item.modified_is_local), scanned)
    return gathered.reading(BundleTexts(paths))


# ---- several processes ---------------------------------------------------------------------------------------------


class _Workers:
    """The processes that read a bundle together, and what they send."""

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
        processes = []
        connections: list[Connection] = []
        received: list[_Received] = []
        try:
            for number in range(self._count):
                ours, theirs = self._context.Pipe(duplex=False)
                process = self._context.Process(target=self._work, args=(number, theirs), daemon=True)
                with _deaf(), warnings.catch_warnings():
                    # numpy's own threads, which have nothing to do before any of it is asked, make newer Pythons warn.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    process.start()
                theirs.close()
                processes.append(process)
                connections.append(ours)
                received.append(_Received())
            self._receive(connections, received, progress, total)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
            for process in processes:
                process.join()
            for connection in connections:
                connection.close()
        return self._together(received)

    def _receive(
        self,
        connections: Sequence[Connection],
        received: Sequence[_Received],
        progress: Progress,
        total: int | None,
    ) -> None:
        waiting = dict(zip(connections, received, strict=True))
        while waiting:
            for ready in wait(list(waiting), _TICK):
                assert isinstance(ready, Connection)
                try:
                    kind, *what = _receive(ready)
                except EOFError:
                    raise ReadingError("a process that read the bundle has ended before its time") from None
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

    # -- in a child --

    def _work(self, number: int, connection: Connection) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        keep_memory()
        try:
            self._walk(number, connection)
        except BrokenPipeError:
            pass
        except BundleError as error:
            with suppress(OSError):
                _send(connection, ("bundle", str(error)))
        except BaseException as error:  # noqa: BLE001  (whatever it is: the parent raises it)
            with suppress(OSError):
                _send(connection, ("error", _sendable(error)))
        finally:
            connection.close()
            # Nothing of the parent's (its buffers, its locks) is the child's to tidy up.
            os._exit(0)

    def _walk(self, number: int, connection: Connection) -> None:
        vocabulary = Vocabulary()
        books = Books(vocabulary)
        done = 0

        def watch(_scanner: Scanner, block: bytes) -> None:
            nonlocal done
            done += len(block)
            self._done[number] = done

        for place, item in enumerate(open_bundle(self._paths, None)):
            if isinstance(item, Refused | Damage):
                if number == 0:
                    _send(connection, ("item", place, item))
                continue
            striped = item.size is not None and item.size >= STRIPED_FROM
            if not striped and self._claim(place) != 0:
                continue
            claim = partial(self._claim, place) if striped else _once()
            scanned = scan(item, books, claim, striped=striped, learning=self._learning, watch=watch)
            dated = Dated(item.modified, item.modified_is_local)
            _send(connection, ("member", place, item.name, dated, scanned))
        _send(connection, ("end", vocabulary.packed()))

    def _claim(self, place: int) -> int:
        if place >= _SHARED_MEMBERS:
            return 0 if os.getpid() % 2 else 1
        with self._claims.get_lock():
            claimed: int = self._claims[place]
            self._claims[place] = claimed + 1
        return claimed

    # -- put together --

    def _together(self, received: Sequence[_Received]) -> Reading:
        gathered = _Gathered(paths=self._paths)
        maps = [gathered.builder.vocabulary.absorb(one.vocabulary) for one in received if one.vocabulary is not None]
        by_place: dict[int, tuple[str, Dated, list[Scanned]]] = {}
        items = {place: item for one in received for place, item in one.items}
        for one, mapping in zip(received, maps, strict=True):
            for place, name, dated, scanned in one.members:
                gathered.mapped |= {id(stretch): mapping for stretch in scanned.stretches}
                by_place.setdefault(place, (name, dated, []))[2].append(scanned)
            one.members.clear()
        for place in sorted({*by_place, *items}):
            if place in items:
                gathered.refused(items[place])
            if place in by_place:
                name, dated, parts = by_place.pop(place)
                gathered.member(name, dated, _merged(parts))
        return gathered.reading(BundleTexts(self._paths))


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore Ctrl-C for a moment: a process that is begun in it never hears it, and leaves it to its parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class ReadingError(Exception):
    """Reading has come to an end that it should not have; its text is one line for the user."""


def _merged(parts: Sequence[Scanned]) -> Scanned:
    """Put together what several processes read of one member."""
    first = parts[0]
    return Scanned(
        first.source,
        first.why,
        next((part.damage for part in parts if part.damage), None),
        first.mark,
        [stretch for part in parts for stretch in part.stretches],
        max(part.lines for part in parts),
    )


@dataclass(slots=True)
class _Received:
    """What one process has sent."""

    members: list[tuple[int, str, Dated, Scanned]] = field(default_factory=list)
    items: list[tuple[int, Refused | Damage]] = field(default_factory=list)
    vocabulary: Packed | None = None


def _sendable(error: BaseException) -> BaseException:
    """Give an exception that can be sent, for one that may not be."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  (what was pickled here, a line ago)
    except Exception:  # noqa: BLE001  (whatever its class makes of it)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _send(connection: Connection, message: tuple[object, ...]) -> None:
    """Send a message; arrays go as they are, without being written into one more buffer."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    connection.send_bytes(len(buffers).to_bytes(4, "little") + data)
    for buffer in buffers:
        connection.send_bytes(buffer.raw())


def _receive(connection: Connection) -> tuple[Any, ...]:
    data = connection.recv_bytes()
    buffers = [bytearray(connection.recv_bytes()) for _ in range(int.from_bytes(data[:4], "little"))]
    message: tuple[Any, ...] = pickle.loads(memoryview(data)[4:], buffers=buffers)  # noqa: S301  (our own child's)
    return message
