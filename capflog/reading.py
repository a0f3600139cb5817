"""Members in, the event table out: on one core, or (:mod:`capflog.workers`) on all of them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from capflog.bundle import Damage, Damaged, Refused, open_bundle, text_size
from capflog.collected import Collected
from capflog.collection_records import TITLES, Record, form_of_record, read_record
from capflog.compiling import made_ready, worthwhile_from
from capflog.dates import Dated
from capflog.events import SOURCES
from capflog.linestream import count_lines, stream_of
from capflog.model import Member, Status
from capflog.progress import SILENT, Progress
from capflog.rows import OwnPart, Vocabulary, own_room
from capflog.streams import crc32
from capflog.stretches import (
    Books,
    Stretch,
    joined,
    read_stretches,
    recognised,
    state_behind,
)
from capflog.table import Table, TableBuilder
from capflog.texts import BundleTexts, KeptTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from capflog.rows import Part, Room
    from capflog.stretches import Reads
    from capflog.table import Texts

#: A bundle of less text than this is read by one process: starting others would take longer.
PARALLEL_FROM = 40 << 20

#: How many times as large text is as what it is packed into, where no directory says so.
PACKED = 10


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
    record: Record | None = None
    """What it tells of other members, where it is a record of the collection."""


@dataclass(slots=True)
class Reading:
    """What reading a bundle gives."""

    members: list[Member]
    table: Table
    dated: dict[str, Dated]
    records: list[Collected] = field(default_factory=list)
    """What records of the collection tell of files, in an order that is always the same."""


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


def digests_of(paths: Sequence[str], names: Collection[str]) -> dict[str, object]:
    """Give digests of members of a bundle, which is walked through once more."""
    found: dict[str, object] = {}
    for item in open_bundle(paths, None):
        if not isinstance(item, Refused | Damage) and item.name in names:
            watched = _Watched(item, digest=True)
            for _ in watched:
                pass
            found[item.name] = watched.mark
    return found


def file_of(name: str) -> str:
    """Give a member's own name, without the folder and without what says that it is compressed."""
    return name.rpartition("/")[2].removesuffix(".gz").removesuffix(".gzo")


def scan(
    member: Stored,
    books: Books,
    claim: Callable[[], int],
    *,
    striped: bool,
    keeping: bool = False,
    digest: bool = True,
    watch: Callable[[Reads, bytes], None] | None = None,
) -> Scanned:
    """Read what ``claim`` gives of one member (see :func:`capflog.stretches.read_stretches`).

    ``digest``: tell its bytes from all others; else from most.
    """
    chunks = _Watched(member, digest=digest)
    stream = stream_of(chunks)
    recognition, head = recognised(stream, member.name)
    parser = recognition.parser
    if parser is None:
        form = form_of_record(head)
        why = recognition.why if form is None else TITLES[form]
        if claim() != 0:
            return Scanned(None, why, chunks.damage, chunks.mark)
        if form is None:
            lines = count_lines(stream)
            return Scanned(None, why, chunks.damage, chunks.mark, lines=lines)
        record = read_record(form, member.name, stream.until(float("inf")))
        return Scanned(None, why, chunks.damage, chunks.mark, lines=record.lines, record=record)
    guess = state_behind(parser, head) if striped else None
    stretches = list(read_stretches(stream, books.of(parser, stream), guess, claim, keeping=keeping, watch=watch))
    # To the end, wherever the last stretch ended: damage shows there, and the digest is of all bytes.
    stream.skip_to(1 << 62)
    return Scanned(parser.source, recognition.why, chunks.damage, chunks.mark, stretches)


@dataclass(slots=True)
class Gathered:
    """The members in the order of the bundle, as they come."""

    members: list[Member] = field(default_factory=list)
    builder: TableBuilder = field(default_factory=TableBuilder)
    dated: dict[str, Dated] = field(default_factory=dict)
    paths: Sequence[str] | None = None
    """From where members can be read again; None: they have full digests."""
    digests: dict[str, object] = field(default_factory=dict)
    """Of the members that may be the same as others."""
    part_of: Callable[[int, int, Stretch, int, int], Part] = field(default_factory=lambda: own_part)
    """Makes a part of a table: of the numbers of source and member, a stretch, its lines left out, those before it."""
    marks: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Where lines of the members stand."""
    records: list[Collected] = field(default_factory=list)
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
            if scanned.record is not None:
                # What stands before the damage counts: it is not what could not be read.
                reason, status = scanned.record.reason(scanned.damage), "skipped"
                self.records += scanned.record.files
            taken = scanned.record is not None and scanned.record.whole and not scanned.damage
            self.members.append(Member(name, None, status, reason, scanned.why, scanned.lines, taken=taken))
            return False
        whole = joined(scanned.stretches)
        alike = self._seen.setdefault((file_of(name), scanned.mark), [])
        own = self.digests.get(name)
        twin = next(
            (one for one in alike if self.paths is None or (own is not None and own == self.digests.get(one))), None
        )
        alike.append(name)
        if twin is not None:
            # Overlapping collections are daily life: what happened once is told once. Two starts of CES may well have
            # the same lines, but then they stand in files of different numbers.
            reason = f"the same, byte for byte, as {twin}"
            self.members.append(Member(name, scanned.source, "skipped", reason, scanned.why, whole.lines))
            return False
        numbers = SOURCES.index(scanned.source), self.builder.number(name)
        parts = [self.part_of(*numbers, stretch, skipped, lines) for stretch, skipped, lines in whole.parts]
        self.members.append(
            Member(
                name,
                scanned.source,
                "parsed" if scanned.damage is None else "partial",
                scanned.damage,
                scanned.why,
                whole.lines,
                sum(part.count for part in parts),
                whole.unparsed,
                unknown=whole.unknown,
            )
        )
        for part in parts:
            self.builder.add_part(part)
        self.dated[name] = dated
        self.marks[name] = whole.marks
        return True

    def reading(self, texts: Texts, room: Room = own_room) -> Reading:
        records = sorted(self.records, key=lambda file: file.order)
        return Reading(self.members, self.builder.table(texts, room), self.dated, records)


def own_part(source: int, member: int, stretch: Stretch, skipped: int, lines: int) -> Part:
    """Make a part of a stretch that this process read; ``skipped``: its lines that do not count."""
    assert stretch.rows is not None
    return OwnPart(source, member, stretch.rows.after(skipped) if skipped else stretch.rows, lines)


def read_stored(
    stored: Iterable[Stored | Refused | Damage], progress: Progress = SILENT, *, learning: bool | None = None
) -> Reading:
    """Read members one after the other in this process; their lines are kept, since nobody can read them again."""
    gathered = Gathered()
    books = Books(gathered.builder.vocabulary, learning=learning)
    texts = KeptTexts()
    done = 0

    def watch(scanner: Reads, block: bytes) -> None:
        nonlocal done
        done += len(block)
        texts.keep(scanner.taken_lines())
        progress.reading(done, None)

    for item in stored:
        if isinstance(item, Refused | Damage):
            gathered.refused(item)
            continue
        texts.begin()
        scanned = scan(item, books, once(), striped=False, keeping=True, watch=watch)
        if not gathered.member(item.name, Dated(item.modified, item.modified_is_local), scanned):
            texts.drop()
    return gathered.reading(texts)


def once() -> Callable[[], int]:
    """Claim all of a member."""
    numbers = iter(range(1 << 62))
    return lambda: next(numbers)


def read_bundle(
    paths: Sequence[str],
    stdin: BinaryIO | None = None,
    progress: Progress = SILENT,
    *,
    processes: int | None = None,
    learning: bool | None = None,
) -> Reading:
    """Read a bundle. ``processes`` None: as many as there are cores, where there is enough to read.

    Raises :class:`capflog.bundle.BundleError` where no path can be read.
    """
    keep_memory()
    if not all(path != "-" and _again(path) for path in paths):
        return read_stored(open_bundle(paths, stdin), progress, learning=learning)
    total = text_size(paths)
    size = _stored_size(paths) * PACKED if total is None else total
    if processes is None:
        processes = cores() if size >= PARALLEL_FROM else 1
    if learning is None:
        learning = size >= worthwhile_from()
    if processes < 2 or not hasattr(os, "fork"):
        return _read_alone(paths, progress, total, learning=learning)
    from capflog.workers import Workers  # noqa: PLC0415  (it reads by the functions of this module)

    return Workers(paths, processes, learning=learning).read(progress, total)


def vocabulary_for(*, learning: bool) -> Vocabulary:
    """Make what rows are written in; ``learning``: they are made by compiled code, and so are the words' numbers."""
    if not learning:
        return Vocabulary()
    from capflog.shapebook import CompiledLexicon  # noqa: PLC0415  (500 ms: not for small logs)

    return Vocabulary(lexicon=CompiledLexicon)


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
    size = 0
    for path in map(Path, paths):
        with suppress(OSError):
            for file in (path,) if path.is_file() else path.rglob("*"):
                # What cannot be looked at is named when it is opened.
                with suppress(OSError):
                    size += file.stat().st_size if file.is_file() else 0
    return size


def _again(path: str) -> bool:
    """Tell whether a path can be read a second time."""
    found = Path(path or "\0")
    return found.is_file() or found.is_dir()


def _read_alone(paths: Sequence[str], progress: Progress, total: int | None, *, learning: bool) -> Reading:
    learning = learning and made_ready(progress)
    gathered = Gathered(builder=TableBuilder(vocabulary_for(learning=learning)))
    books = Books(gathered.builder.vocabulary, learning=learning)
    done = 0

    def watch(_scanner: Reads, block: bytes) -> None:
        nonlocal done
        done += len(block)
        progress.reading(done, total)

    for item in open_bundle(paths, None):
        if isinstance(item, Refused | Damage):
            gathered.refused(item)
        else:
            scanned = scan(item, books, once(), striped=False, watch=watch)
            gathered.member(item.name, Dated(item.modified, item.modified_is_local), scanned)
    return gathered.reading(BundleTexts(paths, gathered.marks))
