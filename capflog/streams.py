"""Streams of bytes read forwards, and the compressed forms of them.

Every generator here yields all that it can and raises :class:`Damaged` last. The forms are those of RFC 1951 and 1952
(deflate, gzip), RFC 8878 (Zstandard), bzip2 and xz.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections import deque
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Protocol

# Intel's library inflates in less than half of zlib's time and makes the CRC in a fifth. It has wheels for the usual
# processors; on others zlib does all of it.
try:
    from isal import igzip_lib as igzip
    from isal.isal_zlib import crc32 as fast_crc32
except ImportError:  # pragma: no cover
    igzip = None  # type: ignore[assignment]
    fast_crc32 = zlib.crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: crc32(data, before) of data that stand behind others.
crc32 = fast_crc32

#: The window in which a stream that is no file is searched, in bytes.
READ = 256 * 1024

#: The most that one piece of a stream holds, and what is read or inflated at once, in bytes; the first time it is less,
#: for of many a member only the head is looked at.
CHUNK = 1024 * 1024
FIRST = 16 * 1024

#: Bytes fed to a decompressor at once, and the most that zlib makes at once: blocks that stay in the processor's cache
#: are made faster, by half, than blocks of a megabyte.
FEED = 64 * 1024
MADE = 512 * 1024

#: How much of a compressed stream that is no file is kept, so that it can be read once more, in bytes.
KEPT = 4 * 1024 * 1024

#: bzip2, xz and lzma lose what the failing call had made; so little is fed to them at once (bytes).
STEP = 4096

#: Memory that one xz or lzma stream may ask for, in bytes (xz -9 asks for 65 MiB).
DECODER_MEMORY = 256 * 1024 * 1024

CUT = "truncated: the archive ends inside this member"
WRONG_CRC = "wrong CRC: what was read is not what was stored"


class Damaged(Exception):  # noqa: N818  (it comes after the data, which stand)
    """Something is wrong with what was just read; raised after everything that could be read was yielded.

    Its text is the reason, a short phrase.
    """


class Stream:
    """Bytes read forwards with a look ahead.

    It raises nothing: where its source fails it ends, and ``damage`` says why.
    ``at`` is the offset of the next byte from where the stream began. ``place`` (file, start, size): where its bytes
    stand as they are in a file that can be positioned, None elsewhere.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._ahead: deque[bytes] = deque()
        self._used = 0
        self._held = 0
        self._jumps = False
        self.place: tuple[BinaryIO, int, int | None] | None = None
        self.at = 0
        self.damage: str | None = None

    @classmethod
    def over(cls, file: BinaryIO, start: int = 0, size: int | None = None) -> Stream:
        """Make the stream of ``size`` bytes of a file from ``start`` (None: all the rest), which can be positioned."""
        stream = cls(range_of(file, start, size))
        stream.place, stream._jumps = (file, start, size), True
        return stream

    def part(self, size: int) -> Stream:
        """Make the stream of the next ``size`` bytes of this one; it can be positioned where this one can.

        This one follows until it is: skip() here what is left.
        """
        part = Stream(part_of(self, size))
        if self.place is not None:
            file, start, _ = self.place
            part.place, part._jumps = (file, start + self.at, size), self._jumps
        return part

    def to(self, offset: int) -> bool:
        """Go to an offset, before or behind, without reading what lies between; False: the stream has no place.

        What would have been checked on the way (a CRC) is not from then on.
        """
        if self.place is None:
            return False
        file, start, size = self.place
        self._pieces = range_of(file, start + offset, None if size is None else max(size - offset, 0))
        self._ahead.clear()
        self._used = self._held = 0
        self.at, self.damage = offset, None
        return True

    def _reaches(self, offset: int) -> bool:
        """Say whether all up to an offset stands in a file of which nothing is checked on the way."""
        if self.place is None or not self._jumps:
            return False
        file, start, size = self.place
        try:
            file.seek(start + offset - 1)
            return (size is None or offset <= size) and len(file.read(1)) == 1
        except (OSError, ValueError, OverflowError):
            return False

    def _pull(self) -> bool:
        try:
            for piece in self._pieces:
                if piece:
                    self._ahead.append(piece)
                    self._held += len(piece)
                    return True
        except Damaged as damaged:
            self.damage = str(damaged)
        except OSError as error:
            self.damage = f"it cannot be read further: {error.strerror or error}"
        return False

    def peek(self, count: int) -> bytes:
        """Return the next ``count`` bytes (fewer at the end) and leave them where they are."""
        while self._held < count and self._pull():
            pass
        if not self._ahead:
            return b""
        if len(self._ahead) > 1 and len(self._ahead[0]) - self._used < count:
            self._ahead[0] = self._ahead[0][self._used :]
            self._ahead = deque([b"".join(self._ahead)])
            self._used = 0
        return self._ahead[0][self._used : self._used + count]

    def some(self, most: int = CHUNK) -> bytes:
        """Take what is at hand, at most ``most`` bytes; empty at the end alone."""
        if not self._ahead and not self._pull():
            return b""
        first = self._ahead[0]
        taken = first if not self._used and len(first) <= most else first[self._used : self._used + most]
        self._used += len(taken)
        if self._used == len(first):
            self._ahead.popleft()
            self._used = 0
        self._held -= len(taken)
        self.at += len(taken)
        return taken

    def read(self, count: int) -> bytes:
        """Take ``count`` bytes, fewer at the end."""
        taken = self.peek(count)
        self.skip(len(taken))
        return taken

    def skip(self, count: int) -> None:
        """Pass over ``count`` bytes, fewer at the end; of a file far ones are not read."""
        if count - self._held > READ and self._reaches(self.at + count):
            self.to(self.at + count)
            return
        while count > 0 and (self._ahead or self._pull()):
            step = min(count, len(self._ahead[0]) - self._used)
            self._used += step
            if self._used == len(self._ahead[0]):
                self._ahead.popleft()
                self._used = 0
            self._held -= step
            self.at += step
            count -= step

    def unread(self, taken: bytes) -> None:
        """Put back bytes that were taken."""
        if not taken:
            return
        if self._used:
            self._ahead[0] = self._ahead[0][self._used :]
            self._used = 0
        self._ahead.appendleft(taken)
        self._held += len(taken)
        self.at -= len(taken)

    def put_back(self, pieces: Iterator[bytes], size: int) -> None:
        """Put back what was taken in many pieces, ``size`` bytes together."""
        if self._used:
            self._ahead[0] = self._ahead[0][self._used :]
        self._pieces = chain(pieces, tuple(self._ahead), self._pieces)
        self._ahead.clear()
        self._used = self._held = 0
        self.at -= size

    def drain(self) -> None:
        """Read to the end, so that ``damage`` is known."""
        while self.some():
            pass

    def __iter__(self) -> Iterator[bytes]:
        """Yield the rest in pieces of at most :data:`CHUNK` bytes."""
        while piece := self.some():
            yield piece


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield what comes through a pipe or another file that cannot be positioned."""
    read = _read1(file)
    while piece := read(READ):
        yield piece


def range_of(file: BinaryIO, start: int = 0, size: int | None = None) -> Iterator[bytes]:
    """Yield ``size`` bytes of a file from ``start`` (None: all the rest), wherever others position it meanwhile."""
    read = _read1(file)
    end = None if size is None else start + size
    most = FIRST
    while end is None or start < end:
        file.seek(start)
        piece = read(most if end is None else min(most, end - start))
        if not piece:
            if end is not None:
                raise Damaged(CUT)
            return
        start += len(piece)
        most = CHUNK
        yield piece


def _read1(file: BinaryIO) -> Callable[[int], bytes]:
    """Return what reads a file once; read() reads on until it has enough, and an error on the way costs all of it."""
    read1: Callable[[int], bytes] = getattr(file, "read1", file.read)
    return read1


def part_of(stream: Stream, size: int) -> Iterator[bytes]:
    """Yield the next ``size`` bytes of a stream."""
    while size:
        piece = stream.some(min(size, CHUNK))
        if not piece:
            raise Damaged(stream.damage or CUT)
        size -= len(piece)
        yield piece


# --- compressed streams ----------------------------------------------------------------------------------


class _Unended(Damaged):
    """Compressed data stop before their end mark; ``flushed``: right behind a flush, as in a file being written."""

    def __init__(self, flushed: bool = False) -> None:
        super().__init__("truncated: its compressed data end in the middle")
        self.flushed = flushed


def cut(stream: Stream, flushed: bool = False) -> Damaged:
    """Make the exception for compressed data that end too early: the stream itself may know why."""
    return Damaged(stream.damage) if stream.damage else _Unended(flushed)


def _damaged_at(offset: int, error: Exception) -> Damaged:
    words = str(error).rpartition(": ")[2] or "invalid data"
    return Damaged(f"damaged at byte {offset} of its compressed data: {words}")


def inflate(stream: Stream) -> Iterator[bytes]:
    """Inflate raw deflate data up to their end mark and leave the stream behind it.

    igzip is fast, but what it had made before a fault is lost, and it has no copies to go back to: where it does not
    come to the end mark, zlib does all of it again, and what was yielded already is dropped. (igzip takes a table of
    codes that is not complete, which zlib refuses. Of a thousand damaged bits three make one: then the data behind it
    are read too, and their CRC tells whether they are right.)
    """
    if igzip is None:
        yield from _inflate_slowly(stream)
        return
    start, given, most = stream.at, 0, FIRST
    kept: list[bytes] = []
    inflater = igzip.IgzipDecompressor(igzip.DECOMP_DEFLATE)
    while not inflater.eof:
        data = b""
        if inflater.needs_input:
            if stream.place is None and stream.at - start > KEPT:
                break
            data = stream.some(FEED)
            if not data:
                break
            if stream.place is None:
                kept.append(data)
        try:
            made = inflater.decompress(data, most)
        except igzip.IsalError:  # type: ignore[misc]
            # (Its stub calls it an instance.)
            break
        if made:
            given += len(made)
            most = min(most * 4, CHUNK)
            yield made
    else:
        stream.unread(inflater.unused_data)
        return
    if not stream.to(start):
        stream.unread(b"".join(kept))
    for made in _inflate_slowly(stream):
        if given < len(made):
            yield made[given:] if given else made
        given = max(given - len(made), 0)


def _inflate_slowly(stream: Stream) -> Iterator[bytes]:
    """Do the same with zlib, which finds the last byte before a fault."""
    start, tail = stream.at, b""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflater.eof:
        data = stream.some(FEED)
        if not data:
            raise cut(stream, flushed=tail == b"\x00\x00\xff\xff")
        tail = (tail + data[-4:])[-4:]
        while True:
            # zlib throws away what the failing call had made: a copy from before it makes that again.
            before = inflater.copy()
            try:
                made = inflater.decompress(data, MADE)
            except zlib.error as error:
                done = 0
                for step in (4096, 64, 1):
                    while done < len(data):
                        again = before.copy()
                        try:
                            made = before.decompress(data[done : done + step])
                        except zlib.error:
                            before = again
                            break
                        done += step
                        if made:
                            yield made
                stream.unread(data[done:])
                raise _damaged_at(stream.at - start, error) from None
            if made:
                yield made
            data = inflater.unconsumed_tail
            if inflater.eof or (not data and len(made) < MADE):
                break
    stream.unread(inflater.unused_data)


class _Decompressor(Protocol):
    """What the decompressors of bz2 and lzma have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def expand(stream: Stream, decompressor: _Decompressor) -> Iterator[bytes]:
    """Decompress one bzip2, xz or lzma stream and leave ``stream`` behind it."""
    start = stream.at
    while not decompressor.eof:
        data = b""
        if decompressor.needs_input:
            data = stream.some(STEP)
            if not data:
                raise cut(stream)
        try:
            made = decompressor.decompress(data, MADE)
        except (OSError, lzma.LZMAError) as error:
            damaged = _damaged_at(stream.at - start, error)
            stream.unread(data)
            raise damaged from None
        if made:
            yield made
    stream.unread(decompressor.unused_data)


GZIP_MAGIC = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]", re.DOTALL)
BZIP2_MAGIC = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)", re.DOTALL)
XZ_MAGIC = re.compile(rb"\xfd7zXZ\x00", re.DOTALL)
ZSTD_MAGIC = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)


def gzip_time(head: bytes) -> datetime | None:
    """Return the time in a gzip header (of the file that was compressed, UTC), None where it bears none."""
    seconds = int.from_bytes(head[4:8], "little")
    return datetime.fromtimestamp(seconds, UTC) if seconds and len(head) >= 8 else None


def _gzip_one(stream: Stream) -> Iterator[bytes]:
    head = stream.read(10)
    flags = head[3] if len(head) == 10 else 0
    if flags & 4:
        stream.skip(int.from_bytes(stream.read(2), "little"))
    for flag in (8, 16):
        if flags & flag:
            stream.skip(stream.peek(READ).find(b"\0") + 1)
    if flags & 2:
        stream.skip(2)
    crc = size = 0
    try:
        for piece in inflate(stream):
            crc = crc32(piece, crc)
            size += len(piece)
            yield piece
    except _Unended as unended:
        if unended.flushed:
            raise Damaged("no trailer: the file was still being written") from None
        raise
    trailer = stream.read(8)
    if len(trailer) < 8:
        raise Damaged(stream.damage or "no trailer: the file was still being written")
    if struct.unpack("<II", trailer) != (crc, size & 0xFFFFFFFF):
        raise Damaged(WRONG_CRC)


def _bzip2_one(stream: Stream) -> Iterator[bytes]:
    return expand(stream, bz2.BZ2Decompressor())


def _xz_one(stream: Stream) -> Iterator[bytes]:
    return expand(stream, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=DECODER_MEMORY))


def _zstd_one(stream: Stream) -> Iterator[bytes]:
    """Decompress one Zstandard frame, block by block.

    So one call never makes more than a block of 128 KiB, damage costs its block alone, and a cut shows; the package's
    own readers grant two of these at most.
    """
    import zstandard  # noqa: PLC0415  (rarely needed)

    start = stream.at
    head = stream.peek(8)
    if len(head) == 8 and head[1:4] == b"\x2a\x4d\x18":
        stream.skip(8 + int.from_bytes(head[4:], "little"))
        return
    flags = head[4] if len(head) > 4 else 0
    single = flags >> 5 & 1
    # Magic and flags, window, dictionary id, content size: RFC 8878, 3.1.1.1.
    length = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    last = False
    try:
        made = decompressor.decompress(stream.read(length))
        while not last:
            header = stream.read(3)
            word = int.from_bytes(header, "little")
            last = bool(word & 1)
            length = 1 if word >> 1 & 3 == 1 else word >> 3
            block = stream.read(length)
            if len(header) < 3 or len(block) < length:
                raise cut(stream)
            made = decompressor.decompress(header + block)
            if made:
                yield made
        if flags & 4:
            checksum = stream.read(4)
            if len(checksum) < 4:
                raise cut(stream)
            made = decompressor.decompress(checksum)
            if made:
                yield made
    except zstandard.ZstdError as error:
        raise _damaged_at(stream.at - start, error) from None


#: The compressed forms: name -> (how it begins, what reads one stream of it).
COMPRESSED: dict[str, tuple[re.Pattern[bytes], Callable[[Stream], Iterator[bytes]]]] = {
    "gzip": (GZIP_MAGIC, _gzip_one),
    "bzip2": (BZIP2_MAGIC, _bzip2_one),
    "xz": (XZ_MAGIC, _xz_one),
    "zstd": (ZSTD_MAGIC, _zstd_one),
}


def decompress(stream: Stream, form: str) -> Iterator[bytes]:
    """Decompress all of a stream: one after another where several stand behind each other, zero bytes between them."""
    magic, one = COMPRESSED[form]
    fault: str | None = None
    while True:
        start = stream.at
        try:
            yield from one(stream)
        except Damaged as damaged:
            fault = fault or str(damaged)
        while (zeros := stream.peek(READ)) and not zeros.strip(b"\0"):
            stream.skip(len(zeros))
        stream.skip(len(zeros) - len(zeros.lstrip(b"\0")))
        if stream.at > start and magic.match(stream.peek(16)):
            continue
        if fault is None and stream.peek(1):
            fault = f"from byte {stream.at} on it is not {form} data: that part was not read"
        fault = fault or stream.damage
        if fault:
            raise Damaged(fault)
        return
