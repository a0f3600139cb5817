"""The bundle: archives, folders, single logs and standard input -> members as streams of bytes, under limits.

Nothing is extracted to disk. What a file is, its bytes say, never its name. A damaged place costs what stands there and
is named; what cannot be read, or is no log, is named too.
"""

from __future__ import annotations

import io
import re
import stat
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from capflog.archives import (
    BEFORE_CUT,
    DirectoryError,
    Entry,
    Status,
    moment,
    untar,
    unzip,
    unzip_forwards,
    zip_directory,
)
from capflog.forms import HEAD, form_of, is_program, no_log, text_size, unread_form
from capflog.streams import (
    CHUNK,
    COMPRESSED,
    Damaged,
    Stream,
    decompress,
    gzip_time,
    pieces_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

__all__ = [
    "BundleError",
    "Damage",
    "Damaged",
    "Item",
    "Limits",
    "Member",
    "Refused",
    "labels",
    "name_of",
    "open_bundle",
    "text_size",
    "told_apart",
]

GIB = 1 << 30

_ONCE = "a member is read once, and before the next one is asked for"

#: Smaller pieces of a member are joined up to this size, in bytes.
ENOUGH = 512 * 1024


@dataclass(slots=True)
class Limits:
    """What a bundle may ask for. Beyond a limit reading stops there, and the report says so.

    ``member_bytes``: of one member, unpacked; ``total_bytes``: of all members together, unpacked; ``members``: their
    number; ``depth``: archives inside archives (1: the bundle itself); ``held_bytes``: of zips held in memory because
    they stand inside an archive or come through a pipe (a larger one is read forwards by its local headers).
    """

    member_bytes: int = 64 * GIB
    total_bytes: int = 256 * GIB
    members: int = 200_000
    depth: int = 5
    held_bytes: int = GIB // 2


class BundleError(Exception):
    """Nothing can be read at all; its text is one line for the user."""


@dataclass(slots=True)
class Refused:
    """What is not read: ``unreadable`` where capflog cannot, ``skipped`` where it is no log by its bytes."""

    name: str
    reason: str
    status: Status


@dataclass(slots=True)
class Damage:
    """A fault of an archive itself (``name``); the members it costs are not known."""

    name: str
    reason: str


@dataclass(slots=True, eq=False)
class Member:
    """One file of the bundle.

    ``name``: its path inside the bundle, '/' between parts, as stored: hostile text. ``modified``: UTC, of a gzip file
    what its header says; a naive wall-clock time of an unknown zone where ``modified_is_local`` (a zip's DOS time);
    None where nothing tells it. ``size``: in bytes as stored (of a gzip file: compressed), None where it is not known.
    ``number``: how many items of any kind the walk has yielded before it; with ``name`` the same in every walk of an
    unchanged bundle, whichever members are read (as long as no limit of the whole bundle is reached).
    """

    name: str
    modified: datetime | None
    modified_is_local: bool
    size: int | None
    _stream: Stream | None = field(repr=False)
    _walk: _Walk = field(repr=False)
    number: int = 0

    def chunks(self) -> Iterator[bytes]:
        """Yield the member's bytes, unpacked, in pieces of 1 byte to 1 MiB; once, before the next member is asked for.

        Raises Damaged after the last piece if that is not all of it, or not what was stored.
        """
        stream, self._stream = self._stream, None
        if stream is None:
            raise RuntimeError(_ONCE)
        return self._walk.read(stream)


Item = Member | Refused | Damage


class _RefusalError(Exception):
    """What was to be opened is refused as a whole; raised before anything of it is yielded."""

    def __init__(self, reason: str, status: Status) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status: Status = status


class _EnoughError(Exception):
    """A limit of the whole bundle is reached."""


def _tidy(name: str) -> str:
    """Make a stored name printable as UTF-8 and drop what says nothing; it stays hostile."""
    name = re.sub("[\ud800-\udfff]", "\ufffd", name)
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name or "(no name)"


def _amount(count: int) -> str:
    for size, unit in ((GIB, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count} bytes"


def _words(error: OSError | ValueError) -> str:
    """Say in a few words why a file cannot be opened."""
    if isinstance(error, FileNotFoundError | NotADirectoryError | ValueError):
        return "no such file or folder"
    if isinstance(error, PermissionError):
        return "permission denied"
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def _alike(path: str, error: OSError | ValueError) -> str:
    """Offer what is spelt most like a file that is not there."""
    if not isinstance(error, FileNotFoundError):
        return ""
    import difflib  # noqa: PLC0415

    place = Path(path)
    try:
        near = difflib.get_close_matches(place.name, [one.name for one in place.parent.iterdir()], n=1, cutoff=0.75)
    except OSError:
        return ""
    return f"; did you mean {place.with_name(near[0])}?" if near else ""


def _ends_as_zip(file: BinaryIO) -> bool:
    """Say whether a file that begins as something else is a zip with something before it (a self-extracting one)."""
    try:
        return bool(zip_directory(file))
    except DirectoryError:
        return False


class _Walk:
    """One way through a bundle: what was handed out so far, against the limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._names: Counter[str] = Counter()
        self._members = 0
        self._handed = 0
        self._unpacked = 0
        self._held = 0

    def refused(self, name: str, refusal: _RefusalError) -> Refused:
        """Make the entry of the report for what is not read."""
        return Refused(self._name(name), refusal.reason, refusal.status)

    def _name(self, name: str) -> str:
        """Register a name and return it, with '#2' and so on behind it where it was there before."""
        limits = self.limits
        if self._members >= limits.members:
            raise _EnoughError(f"over a limit: more than {limits.members} members; the rest was not read")
        if self._handed >= limits.total_bytes:
            raise _EnoughError(f"over a limit: more than {_amount(limits.total_bytes)} in all; the rest was not read")
        self._members += 1
        self._names[name] += 1
        count = self._names[name]
        if count == 1:
            return name
        while (own := f"{name}#{count}") in self._names:
            count += 1
        self._names[name] = count
        self._names[own] = 1
        return own

    def read(self, stream: Stream) -> Iterator[bytes]:
        """Yield a member's bytes, small pieces joined, as far as limits allow; see Member.chunks."""
        limits = self.limits
        pieces: list[bytes] = []
        gathered, taken = 0, stream.at
        fault: str | None = None
        while fault is None and (piece := stream.some()):
            in_member, in_all = limits.member_bytes - taken, limits.total_bytes - self._handed
            if len(piece) > min(in_member, in_all):
                piece = piece[: max(min(in_member, in_all), 0)]
                most, where = (
                    (limits.total_bytes, "in all") if in_all < in_member else (limits.member_bytes, "in one member")
                )
                fault = f"over a limit: more than {_amount(most)} {where}; the rest was not read"
            taken += len(piece)
            self._handed += len(piece)
            if gathered + len(piece) > CHUNK:
                yield b"".join(pieces)
                pieces, gathered = [], 0
            gathered += len(piece)
            pieces.append(piece)
            if gathered >= ENOUGH:
                yield b"".join(pieces)
                pieces, gathered = [], 0
        if gathered:
            yield b"".join(pieces)
        fault = fault or stream.damage
        if fault:
            raise Damaged(fault)

    def _layer(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Count what decompression makes: archives that hold nothing but zero bytes come to an end too."""
        for piece in pieces:
            self._unpacked += len(piece)
            if self._unpacked > self.limits.total_bytes:
                raise Damaged(f"over a limit: more than {_amount(self.limits.total_bytes)} unpacked")
            yield piece

    def _open(
        self, name: str, inner: str, entry: Entry, depth: int, *, file: BinaryIO | None = None, top: bool = False
    ) -> Iterator[Item]:
        """Yield the log, or what the archive holds, of which ``entry`` has the bytes; ``inner`` goes before its names.

        ``depth``: how many archives stand around it; ``file``: the same bytes where they can be positioned; ``top``:
        the user named it. Raises _RefusalError before anything is yielded.
        """
        stream = entry.body
        head = stream.peek(HEAD)
        if not head:
            if stream.damage:
                raise _RefusalError(stream.damage, "unreadable")
            raise _RefusalError("the file is empty", "skipped")
        held = self._held
        try:
            form = form_of(head)
            if form is None and file is None and is_program(head):
                file = self._hold(stream)
            if form is None and file is not None and _ends_as_zip(file):
                form = "zip"
            if form is None:
                if what := unread_form(head):
                    raise _RefusalError(f"{what}: capflog cannot read that form, unpack it first", "unreadable")
                if what := no_log(head):
                    raise _RefusalError(f"{what}, not {'an archive or ' if top else ''}a log", "skipped")
                member = Member(self._name(name), entry.modified, entry.modified_is_local, entry.size, stream, self)
                try:
                    yield member
                finally:
                    member._stream = None
                return
            # A compressed log is no archive: it may stand in the innermost one.
            if depth >= self.limits.depth + (form in COMPRESSED):
                raise _RefusalError(f"over a limit: archives nested more than {self.limits.depth} deep", "unreadable")
            if form == "zip":
                yield from self._zip(name, inner, stream, depth, file)
            elif form == "tar":
                yield from self._archive(name, inner, untar(stream), depth, stream=stream)
            else:
                body = Stream(self._layer(decompress(stream, form)))
                unpacked = replace(entry, body=body)
                if form == "gzip" and (told := gzip_time(head)):
                    unpacked.modified, unpacked.modified_is_local = told, False
                again = form_of(body.peek(HEAD)) in COMPRESSED
                yield from self._open(name, inner, unpacked, depth + again, top=top)
        finally:
            self._held = held

    def _hold(self, stream: Stream) -> io.BytesIO | None:
        """Read a stream into memory; None: it is too large, and stands again as it was."""
        memory = io.BytesIO()
        most = self.limits.held_bytes - self._held
        while memory.tell() <= most and (piece := stream.some()):
            memory.write(piece)
        if memory.tell() <= most:
            self._held += memory.tell()
            return memory
        size = memory.tell()
        memory.seek(0)
        stream.put_back(pieces_of(memory), size)
        return None

    def _zip(self, name: str, inner: str, stream: Stream, depth: int, file: BinaryIO | None) -> Iterator[Item]:
        source: Stream | None = None
        if file is None:
            file, source = self._hold(stream), stream
        if file is None:
            yield from self._archive(name, inner, unzip_forwards(stream), depth, stream=stream)
            return
        why = ""
        try:
            infos = zip_directory(file)
        except DirectoryError as error:
            entries = unzip_forwards(Stream.over(file))
            why = f"its directory is of no use ({error}); its members were read one after another"
        else:
            if any(info.filename == "[Content_Types].xml" for info in infos):
                raise _RefusalError("a Microsoft Office document, not a log", "skipped")
            entries = unzip(file, infos)
        yield from self._archive(name, inner, entries, depth, stream=source, why=why)

    def _archive(
        self, name: str, inner: str, entries: Iterator[Entry], depth: int, *, stream: Stream | None, why: str = ""
    ) -> Iterator[Item]:
        """Yield what an archive holds, then what is wrong with itself.

        ``stream``: what it is read from, if that can be damaged too; ``why``: a fault that is known already.
        """
        empty = True
        try:
            for entry in entries:
                for item in self._entry(inner + _tidy(entry.name), entry, depth + 1):
                    empty = False
                    yield item
        except Damaged as damaged:
            why = str(damaged)
        if stream is not None:
            stream.drain()
            if stream.damage and stream.damage not in why:
                why = f"{stream.damage}; {why}" if why else stream.damage
        if empty and why:
            why = why.replace(f"; {BEFORE_CUT}", "")
            raise _RefusalError(f"a damaged archive of which no member can be read: {why}", "unreadable")
        if empty:
            raise _RefusalError("the archive is empty", "skipped")
        if why:
            yield Damage(name, why)

    def _entry(self, name: str, entry: Entry, depth: int, file: BinaryIO | None = None) -> Iterator[Item]:
        """Yield what stands under one name of an archive or a folder: a log, what an archive holds, or its refusal."""
        refusal = _RefusalError(*entry.refusal) if entry.refusal else None
        try:
            if refusal is None:
                yield from self._open(name, f"{name}!/", entry, depth, file=file)
        except _RefusalError as refused:
            refusal = refused
        if refusal:
            yield self.refused(name, refusal)

    def _folder(self, root: Path, inner: str) -> Iterator[Item]:
        """Yield what a folder holds, in the order of the names; links to folders are not followed."""
        try:
            waiting = _listed(root, inner)
        except OSError as error:
            raise _RefusalError(_words(error), "unreadable") from None
        empty = True
        while waiting:
            path, name = waiting.pop()
            entry, file = Entry(name, Stream(())), None
            try:
                linked, found = stat.S_ISLNK(path.lstat().st_mode), path.stat()
                kind = stat.S_IFMT(found.st_mode)
                if kind == stat.S_IFDIR and not linked:
                    waiting += _listed(path, f"{name}/")
                    continue
                if kind == stat.S_IFREG:
                    file = path.open("rb")
                else:
                    entry.refusal = (_SPECIAL.get(kind, "a device"), "skipped")
            except FileNotFoundError:
                entry.refusal = ("a link that leads nowhere, or a file that is gone", "unreadable")
            except OSError as error:
                entry.refusal = (_words(error), "unreadable")
            empty = False
            if file is None:
                yield from self._entry(name, entry, 0)
                continue
            with file:
                entry = Entry(name, Stream.over(file), moment(found.st_mtime), False, found.st_size)
                yield from self._entry(name, entry, 0, file)
        if empty:
            raise _RefusalError("the folder is empty", "unreadable")

    def given(self, path: str, label: str, alone: bool, stdin: BinaryIO | None) -> Iterator[Item]:
        """Yield what one of the bundle's paths holds, under the name ``label``; or raise _RefusalError."""
        inner = "" if alone else f"{label}!/"
        entry = Entry(label, Stream(()))
        if path == "-":
            try:
                positioned = stdin is not None and stdin.seekable() and stdin.tell() == 0
            except (OSError, ValueError):
                stdin = None
            if stdin is None:
                raise _RefusalError("there is no standard input", "unreadable")
            entry.body = Stream.over(stdin) if positioned else Stream(pieces_of(stdin))
            if not entry.body.peek(1) and not entry.body.damage:
                raise _RefusalError("standard input is empty", "unreadable")
            yield from self._open(label, inner, entry, 0, file=stdin if positioned else None, top=True)
            return
        try:
            # Path("") is the current folder.
            found = Path(path or "\0").stat()
            kind = stat.S_IFMT(found.st_mode)
            if kind in (stat.S_IFSOCK, stat.S_IFBLK):
                raise _RefusalError(f"{_SPECIAL.get(kind, 'a device')}, not an archive or a log", "unreadable")
            file = None if stat.S_ISDIR(kind) else Path(path).open("rb")  # noqa: SIM115  (closed below)
        except (OSError, ValueError) as error:
            raise _RefusalError(_words(error) + _alike(path, error), "unreadable") from None
        if file is None:
            yield from self._folder(Path(path), "" if alone else f"{label}/")
            return
        with file:
            if stat.S_ISREG(kind):
                entry = Entry(label, Stream.over(file), moment(found.st_mtime), False, found.st_size)
                yield from self._open(label, inner, entry, 0, file=file, top=True)
            else:
                entry.body = Stream(pieces_of(file))
                yield from self._open(label, inner, entry, 0, top=True)


#: What stands in folders beside files. A link to a folder may lead round in a circle; reading a pipe may never end.
_SPECIAL = {
    stat.S_IFDIR: "a link to a folder, not followed",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


def _listed(folder: Path, inner: str) -> list[tuple[Path, str]]:
    """List a folder, the last name first, each with its name in the bundle."""
    found = sorted(folder.iterdir(), key=lambda path: path.name, reverse=True)
    return [(path, inner + _tidy(path.name)) for path in found]


def _label(path: str) -> str:
    """Name a path by its last part."""
    last = Path(path).name
    if path and last in ("", ".."):
        last = Path(path).resolve().name
    return _tidy(last or path)


def name_of(paths: Sequence[str]) -> str:
    """Name the bundle in a report, by the last parts of its paths; those that are called alike, by what differs."""
    told = told_apart(paths)
    return ", ".join(told) if len(told) <= 3 else f"{', '.join(told[:2])} and {len(told) - 2} more"


def told_apart(paths: Sequence[str]) -> list[str]:
    """Name each path by its last part, or by as many of its last parts as tell it from the others: ``mon/logs.zip``."""
    told = ["standard input" if path == "-" else _label(path) for path in paths]
    for name in {name for name in told if told.count(name) > 1}:
        alike = [place for place, one in enumerate(told) if one == name]
        whole = {place: Path(paths[place]).absolute().parts for place in alike}
        for count in range(2, max(map(len, whole.values())) + 1):
            names = {place: _tidy(Path(*parts[-count:]).as_posix()) for place, parts in whole.items()}
            if len({*names.values()}) == len({*whole.values()}):
                if len({*names.values()}) > 1:
                    for place, one in names.items():
                        told[place] = one
                break
    return told


def labels(paths: Sequence[str]) -> list[str]:
    """Give the names that stand before those of the members, of each path its own: ``archive!/``, ``folder/``."""
    last = [_label(path) for path in paths]
    often = Counter(last)
    return [
        name if often[name] == 1 or not path else _tidy(Path(path).as_posix())
        for path, name in zip(paths, last, strict=True)
    ]


def open_bundle(paths: Sequence[str], stdin: BinaryIO | None, limits: Limits | None = None) -> Iterator[Item]:
    """Yield the members of a bundle one at a time, in the order of the paths, and what cannot be read between them.

    ``paths``: zips, tars, compressed files, single logs, folders, pipes; ``-`` is ``stdin``, which stays open. Each
    member is to be read before the next is asked for. One path: names are those inside it; several: ``archive!/`` or
    ``folder/`` goes before them. Raises BundleError, at the first step, if no path can be read.
    """
    if not paths:
        raise BundleError("nothing to read: no archive, folder or log was named")
    walk = _Walk(limits or Limits())
    alone = len(paths) == 1
    failed: list[tuple[str, str, _RefusalError]] = []
    opened = False
    number = 0
    try:
        for path, label in zip(paths, labels(paths), strict=True):
            try:
                for item in walk.given(path, label, alone, stdin):
                    if not opened:
                        opened = True
                        for _, name, refusal in failed:
                            yield walk.refused(name, refusal)
                            number += 1
                    if isinstance(item, Member):
                        item.number = number
                    yield item
                    number += 1
            except _RefusalError as refusal:
                if opened:
                    yield walk.refused(label, refusal)
                    number += 1
                else:
                    failed.append((path, label, refusal))
    except _EnoughError as enough:
        yield Damage(name_of(paths), str(enough))
        return
    if not opened:
        raise BundleError("; ".join(f"{_tidy(path)}: {refusal.reason}" for path, _, refusal in failed))
