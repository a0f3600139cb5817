"""Tar and zip, read forwards or by their directory: what they hold as entries, each with its bytes as a stream.

Every generator here yields all that it can and raises Damaged last; nothing is written to disk. The forms are those of
POSIX.1-2001 pax with the GNU extensions (tar) and of PKWARE's APPNOTE 6.3 (zip).
"""

from __future__ import annotations

import bz2
import lzma
import re
import stat
import struct
import tarfile
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, BinaryIO, Literal

from capflog.streams import (
    CUT,
    DECODER_MEMORY,
    READ,
    WRONG_CRC,
    Damaged,
    Stream,
    crc32,
    cut,
    expand,
    inflate,
    part_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The longest name or attribute record of a tar that is believed, in bytes.
TAR_RECORD = 1024 * 1024

#: How many damaged places of one archive are named; the rest goes with them.
FAULTS_TOLD = 3

BEFORE_CUT = "what stands before the cut was read"

Status = Literal["unreadable", "skipped"]


# --- tar -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Entry:
    """What an archive holds under one name, its bytes in ``body``; ``refusal`` (reason, status): not to be read."""

    name: str
    body: Stream = field(repr=False)
    modified: datetime | None = None
    modified_is_local: bool = False
    size: int | None = None
    refusal: tuple[str, Status] | None = None


#: A header's own checksum in octal, at byte 148; it spares most of what is no header the sum of 512 bytes.
_TAR_CHECKSUM = re.compile(rb" *[0-7]{1,7}[\0 ]")


def tar_header(block: bytes) -> tarfile.TarInfo | None:
    """Read a tar header of 512 bytes; None where it is none (its checksum says so)."""
    if not _TAR_CHECKSUM.match(block, 148):
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return header if header.size >= 0 else None


_PAX_RECORD = re.compile(rb"(\d{1,7}) ([^=]+)=")


def _pax(data: bytes) -> dict[str, str]:
    """Read pax records, ``LENGTH NAME=VALUE``; what has not that form ends them."""
    records: dict[str, str] = {}
    at = 0
    while match := _PAX_RECORD.match(data, at):
        end = at + int(match[1])
        if end <= match.end() or end > len(data):
            break
        records[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1].decode("utf-8", "replace")
        at = end
    return records


def moment(seconds: float) -> datetime | None:
    """Return a time since 1970 in UTC; None for 0, which archivers write for want of one, and for what is no time."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


_TAR_REFUSED = {
    tarfile.SYMTYPE: "a symbolic link, not followed",
    tarfile.LNKTYPE: "a hard link: its data stand under another name",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
}


def untar(stream: Stream) -> Iterator[Entry]:
    """Yield what a tar holds, in its order. After a damaged header it reads on from the next valid one.

    tarfile is used for the headers alone: it takes a damaged header for the end and keeps every header in memory.
    """
    faults: list[str] = []
    lost = short = False
    common: dict[str, str] = {}
    own: dict[str, str] = {}
    while True:
        start = stream.at
        block = stream.read(512)
        if len(block) < 512:
            if not lost or short:
                place = "inside a member" if short else "inside a header" if block else "before its end mark"
                faults.append(f"{stream.damage or f'truncated: it ends {place}'}; {BEFORE_CUT}")
            raise Damaged("; ".join(faults))
        header = tar_header(block)
        if header is None:
            if not lost and not block.strip(b"\0"):
                break
            if not lost and len(faults) < FAULTS_TOLD:
                faults.append(f"damaged at byte {start}: no header there; read on from the next one")
            lost = True
            continue
        lost = False
        kind, size = header.type, header.size
        if kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, b"L", b"K"):
            end = stream.at + _in_blocks(size)
            data = stream.read(min(size, TAR_RECORD))
            stream.skip(end - stream.at)
            if kind == b"L":
                own["path"] = data.split(b"\0")[0].decode("utf-8", "replace")
            elif kind == tarfile.XGLTYPE:
                common.update(_pax(data))
            elif kind != b"K":
                own.update(_pax(data))
            continue
        records, own = common | own, {}
        if kind == tarfile.GNUTYPE_SPARSE:
            more = block[482]
            while more:
                block = stream.read(512)
                more = block[504] if len(block) == 512 else 0
        if re.fullmatch(r"\d{1,18}", records.get("size", "")):
            size = int(records["size"])
        if not header.isreg() and kind in tarfile.SUPPORTED_TYPES:
            size = 0
        try:
            modified = moment(float(records.get("mtime", header.mtime)))
        except ValueError:
            modified = None
        refusal: tuple[str, Status] | None = None
        if kind in _TAR_REFUSED:
            refusal = (_TAR_REFUSED[kind], "skipped")
        elif kind == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse.") for key in records):
            refusal = ("a sparse file: capflog cannot read this form", "unreadable")
        elif not header.isreg():
            refusal = (f"an entry of the unknown type {kind.decode('latin-1')!r}", "skipped")
        end = stream.at + _in_blocks(size)
        if not header.isdir():
            name = records.get("GNU.sparse.name") or records.get("path") or header.name
            yield Entry(name, stream.part(size), modified, False, size, refusal)
        stream.skip(end - stream.at)
        short = stream.at < end
    if faults:
        raise Damaged("; ".join(faults))


def _in_blocks(size: int) -> int:
    return -(-size // 512) * 512


# --- zip -------------------------------------------------------------------------------------------------

LOCAL, CENTRAL, DESCRIPTOR, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08", b"PK\x05\x06"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_UNKNOWN_SIZE = 0xFFFFFFFF

#: zip's compression methods (APPNOTE 4.4.5); read are 0, 8, 12 and 14.
METHODS = {
    0: "stored",
    1: "shrink",
    2: "reduce",
    3: "reduce",
    4: "reduce",
    5: "reduce",
    6: "implode",
    8: "deflate",
    9: "deflate64",
    10: "DCL implode",
    12: "bzip2",
    14: "lzma",
    16: "CMPSC",
    18: "TERSE",
    19: "LZ77",
    20: "zstd",
    93: "zstd",
    94: "MP3",
    95: "xz",
    96: "JPEG",
    97: "WavPack",
    98: "PPMd",
    99: "AES",
}


class DirectoryError(Exception):
    """A zip's directory is missing or of no use; its text is a short reason."""


#: A named pipe is not among these: Info-ZIP marks so what it packed from one (`... | zip logs.zip -`).
_ZIP_REFUSED = {
    stat.S_IFLNK: "a symbolic link, not followed",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def _zip_refusal(flags: int, method: int, mode: int = 0) -> tuple[str, Status] | None:
    if flags & 0x2041 or method == 99:
        return "encrypted: capflog has no password for it", "unreadable"
    if method not in (0, 8, 12, 14):
        known = f" ({METHODS[method]})" if method in METHODS else ""
        return f"unsupported compression method {method}{known}", "unreadable"
    reason = _ZIP_REFUSED.get(stat.S_IFMT(mode))
    return (reason, "skipped") if reason else None


def _extras(extra: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    while len(extra) >= 4:
        key, length = struct.unpack_from("<HH", extra)
        fields.setdefault(key, extra[4 : 4 + length])
        extra = extra[4 + length :]
    return fields


def _zip_time(dos: tuple[int, ...], fields: dict[int, bytes]) -> tuple[datetime | None, bool]:
    """Return (time, is local) of a zip's member.

    The extra fields of Info-ZIP (0x5455) and NTFS (0x000a) hold UTC and go before the DOS time, which has no zone.
    """
    stamp = fields.get(0x5455, b"")
    if len(stamp) >= 5 and stamp[0] & 1 and (told := moment(int.from_bytes(stamp[1:5], "little", signed=True))):
        return told, False
    ntfs = fields.get(0x000A, b"")
    if len(ntfs) >= 16 and ntfs[4:8] == b"\x01\x00\x18\x00" and (ticks := int.from_bytes(ntfs[8:16], "little")):
        try:
            return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10), False
        except OverflowError:
            pass
    try:
        wall = datetime(*dos[:6])  # type: ignore[arg-type]  # noqa: DTZ001  (a DOS time has no zone)
    except ValueError:
        return None, True
    # The first DOS time of all is what archivers write for want of one.
    return (None if wall == datetime(1980, 1, 1) else wall), True  # noqa: DTZ001


def _dos(date: int, time: int) -> tuple[int, ...]:
    return 1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2


def _lzma(stream: Stream, flags: int, size: int | None) -> Iterator[bytes]:
    """Read zip's lzma: a version, the length of the properties, the properties, raw data (APPNOTE 5.8)."""
    head = stream.read(9)
    if len(head) < 9:
        raise cut(stream)
    # As an .lzma file the decoder heeds a limit of memory, which raw it does not. Flag 2: an end mark stands behind.
    known = -1 if flags & 2 or size is None else size
    stream.unread(head[4:] + struct.pack("<q", known))
    yield from expand(stream, lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=DECODER_MEMORY))


def _expanded(raw: Stream, method: int, flags: int, size: int | None) -> Iterator[bytes]:
    if method == 8:
        yield from inflate(raw)
    elif method == 12:
        yield from expand(raw, bz2.BZ2Decompressor())
    elif method == 14:
        yield from _lzma(raw, flags, size)
    else:
        yield from raw
        if raw.damage:
            raise Damaged(raw.damage)


def _checked(pieces: Iterator[bytes], crc: int, size: int) -> Iterator[bytes]:
    made = actual = 0
    for piece in pieces:
        made += len(piece)
        actual = crc32(piece, actual)
        yield piece
    if actual != crc:
        raise Damaged(WRONG_CRC)
    if made != size:
        raise Damaged(f"wrong size: {made} bytes where the archive says {size}")


def zip_directory(file: BinaryIO) -> list[zipfile.ZipInfo]:
    """Read a zip's directory. Raises DirectoryError where it is missing, damaged or another archive's."""
    file.seek(0)
    head = file.read(4)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, OSError, struct.error) as error:
        raise DirectoryError(str(error)) from None
    # A cut archive may end in a whole one that it holds, whose directory then is found instead of its own.
    if head == LOCAL and all(info.header_offset for info in infos):
        raise DirectoryError("it is not that of the first member")
    return infos


def unzip(file: BinaryIO, infos: Iterable[zipfile.ZipInfo]) -> Iterator[Entry]:
    """Yield what a zip holds, by its directory and in that order.

    zipfile is used for the directory alone: it refuses members whose local name differs from the directory's and drops
    the data before a damaged place.
    """

    def place(info: zipfile.ZipInfo) -> int:
        try:
            file.seek(info.header_offset)
            head = file.read(_LOCAL_HEADER.size)
        except (ValueError, OverflowError):
            head = b""
        if len(head) < _LOCAL_HEADER.size or head[:4] != LOCAL:
            raise Damaged("damaged: no member stands where the archive's directory says")
        name_length, extra_length = struct.unpack_from("<HH", head, 26)
        return int(info.header_offset + len(head) + name_length + extra_length)

    def content(info: zipfile.ZipInfo) -> Iterator[bytes]:
        raw = Stream.over(file, place(info), info.compress_size)
        pieces = _expanded(raw, info.compress_type, info.flag_bits, info.file_size)
        yield from _checked(pieces, info.CRC, info.file_size)

    def body(info: zipfile.ZipInfo) -> Stream:
        stream = Stream(content(info))
        if info.compress_type == zipfile.ZIP_STORED:
            with suppress(Damaged, OSError):
                stream.place = file, place(info), info.compress_size
        return stream

    for info in infos:
        name = info.filename.replace("\\", "/")
        if name.endswith("/"):
            continue
        modified, is_local = _zip_time(info.date_time, _extras(info.extra))
        mode = info.external_attr >> 16 if info.create_system == 3 else 0
        refusal = _zip_refusal(info.flag_bits, info.compress_type, mode)
        yield Entry(name, body(info), modified, is_local, info.file_size, refusal)


def _plausible(header: bytes) -> bool:
    """Say whether 30 bytes that begin like a local header go on like one."""
    if len(header) < _LOCAL_HEADER.size:
        return False
    mark, version, flags, method, *_, length, _ = _LOCAL_HEADER.unpack(header)
    return mark == LOCAL and version & 0xFF < 100 and method in METHODS and not flags & 0xD000 and 0 < length < 4096


def _resume(stream: Stream) -> bool:
    """Pass on to the next local header or the directory; False: there is none."""
    while window := stream.peek(READ):
        ended = len(window) < READ
        for match in re.finditer(rb"PK(?:\x03\x04|\x01\x02)", window):
            at = match.start()
            if not ended and at > READ - _LOCAL_HEADER.size:
                break
            if match[0] == CENTRAL or _plausible(window[at : at + _LOCAL_HEADER.size]):
                stream.skip(at)
                return True
        stream.skip(len(window) if ended else READ - _LOCAL_HEADER.size)
    return False


def _stored_until_descriptor(stream: Stream) -> Iterator[bytes]:
    """Yield a stored member whose size stands behind it: it ends where a descriptor bears the size read so far."""
    crc = size = 0
    while window := stream.peek(READ):
        last = len(window) < READ
        at = found = told = 0
        for match in re.finditer(DESCRIPTOR, window):
            here = match.start()
            if not last and here > READ - 24:
                break
            for form in ("<III", "<IQQ"):
                fields = window[here + 4 : here + 4 + struct.calcsize(form)]
                if len(fields) == struct.calcsize(form) and struct.unpack(form, fields)[1:] == (size + here,) * 2:
                    at, found, told = here, 4 + len(fields), int.from_bytes(fields[:4], "little")
                    break
            if found:
                break
        if not found:
            at = len(window) if last else READ - 24
        crc = crc32(window[:at], crc)
        size += at
        stream.skip(at + found)
        yield window[:at]
        if found:
            if told != crc:
                raise Damaged(WRONG_CRC)
            return
    raise Damaged(stream.damage or CUT)


def _skip_descriptor(stream: Stream, fits: tuple[int, int, int] | None) -> bool:
    """Pass over a data descriptor, in whichever of its four forms (APPNOTE 4.3.9); say whether it fits (crc, sizes)."""
    head = stream.peek(28)
    marks = (LOCAL, CENTRAL, END)
    for form in ("<4sIII", "<4sIQQ", "<III", "<IQQ"):
        length = struct.calcsize(form)
        if len(head) < length or ("4s" in form) != head.startswith(DESCRIPTOR):
            continue
        told = struct.unpack_from(form, head)[-3:]
        if told == fits or (fits is None and head[length : length + 4] in marks):
            stream.skip(length)
            return True
    if head.startswith(DESCRIPTOR):
        stream.skip(24 if head[24:28] in marks else 16)
    return False


def unzip_forwards(stream: Stream) -> Iterator[Entry]:
    """Yield what a zip holds by its local headers, for one that is cut or too large to hold.

    Raises Damaged at the end if the directory is not reached, and for what had to be passed over. The package
    stream-unzip was tried: it hands out all that stands before a cut, but ends at the first damaged, encrypted or
    otherwise unsupported member, cannot read stored members with a data descriptor and tells no times.
    """
    if stream.peek(8)[4:] == LOCAL and stream.peek(4) in (DESCRIPTOR, b"PK00"):
        stream.skip(4)
    faults: list[str] = []
    while stream.peek(4) not in (CENTRAL, END, _END64):
        header = stream.peek(_LOCAL_HEADER.size)
        if _plausible(header):
            yield from _forward(stream)
            continue
        start, ended = stream.at, len(header) < _LOCAL_HEADER.size
        if ended or not _resume(stream):
            faults.append(f"{stream.damage or 'truncated: its directory is missing'}; {BEFORE_CUT}")
            raise Damaged("; ".join(faults))
        if len(faults) < FAULTS_TOLD:
            faults.append(f"damaged at byte {start}: no member there; read on from the next one")
    while (mark := stream.peek(4)) != END:
        if mark == CENTRAL:
            lengths = struct.unpack_from("<HHH", stream.peek(34).ljust(34, b"\0"), 28)
            stream.skip(46 + sum(lengths))
        elif mark == _END64:
            stream.skip(12 + int.from_bytes(stream.peek(12)[4:], "little"))
        elif mark == _LOCATOR64:
            stream.skip(20)
        else:
            faults.append(stream.damage or f"{'damaged' if mark else 'truncated'} inside its directory")
            break
    if faults:
        raise Damaged("; ".join(faults))


def _forward(stream: Stream) -> Iterator[Entry]:
    """Yield the member whose local header comes next, unless it is a folder, and leave the stream behind it."""
    header = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
    _, _, flags, method, time, date, crc, packed, size, name_length, extra_length = header
    raw_name = stream.read(name_length)
    fields = _extras(stream.read(extra_length))
    name = raw_name.decode("utf-8" if flags & 0x800 else "cp437", "replace").replace("\\", "/")
    wide = fields.get(1, b"")
    if size == _UNKNOWN_SIZE and len(wide) >= 8:
        size, wide = int.from_bytes(wide[:8], "little"), wide[8:]
    if packed == _UNKNOWN_SIZE and len(wide) >= 8:
        packed = int.from_bytes(wide[:8], "little")
    described = bool(flags & 8)
    bounded = not described or packed not in (0, _UNKNOWN_SIZE)
    start, end = stream.at, stream.at + packed

    def content() -> Iterator[bytes]:
        if method == 0 and not bounded:
            yield from _stored_until_descriptor(stream)
            return
        raw = Stream(part_of(stream, packed)) if bounded else stream
        pieces = _expanded(raw, method, flags, None if described else size)
        if not described:
            yield from _checked(pieces, crc, size)
            return
        actual = made = 0
        for piece in pieces:
            actual = crc32(piece, actual)
            made += len(piece)
            yield piece
        if bounded:
            raw.drain()
        if not _skip_descriptor(stream, (actual, stream.at - start, made)):
            raise Damaged(WRONG_CRC if stream.peek(1) else stream.damage or CUT)

    body = Stream(content())
    refusal = _zip_refusal(flags, method)
    if not name.endswith("/"):
        modified, is_local = _zip_time(_dos(date, time), fields)
        yield Entry(name, body, modified, is_local, None if described else size, refusal)
    if refusal is None and described:
        body.drain()
    if bounded and stream.at <= end:
        stream.skip(end - stream.at)
        if described:
            _skip_descriptor(stream, None)
    elif refusal:
        _resume(stream)
