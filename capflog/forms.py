"""What a file is by its first bytes: an archive, compressed, known to be no log; all else is taken for a log.

And how much text is in it, where that can be told without reading it.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from capflog.archives import DirectoryError, tar_header, untar, unzip, zip_directory
from capflog.streams import CHUNK, COMPRESSED, Damaged, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capflog.archives import Entry
    from capflog.bundle import Limits

#: How much of a file's start is looked at, in bytes: a tar's header has 512.
HEAD = 512

#: How files begin that are no logs.
NOT_LOGS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\xd4\xc3\xb2\xa1", "a packet capture (pcap)"),
    (b"\xa1\xb2\xc3\xd4", "a packet capture (pcap)"),
    (b"\x4d\x3c\xb2\xa1", "a packet capture (pcap)"),
    (b"\xa1\xb2\x3c\x4d", "a packet capture (pcap)"),
    (b"\x0a\x0d\x0d\x0a", "a packet capture (pcapng)"),
    (b"\x7fELF", "a Linux program or core dump (ELF)"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document (OLE)"),
    (b"{\\rtf", "an RTF document"),
    (b"ElfFile\0", "a Windows event log (evtx)"),
)

#: How archives and compressed files begin that capflog does not read.
NOT_READ: tuple[tuple[bytes, str], ...] = (
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"MSCF\0\0\0\0", "a Windows cabinet"),
    (b"\x1f\x9d", "a file compressed with compress (.Z)"),
    (b"\x04\x22\x4d\x18", "a file compressed with lz4"),
    (b"LZIP\x01", "a file compressed with lzip"),
    (b"\x89LZO\0\r\n\x1a\n", "a file compressed with lzop"),
)

ZIP_MAGIC = re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08PK\x03\x04|00PK\x03\x04)", re.DOTALL)


def form_of(head: bytes) -> str | None:
    """Tell an archive or a compressed file by its first 512 bytes; None: neither."""
    if ZIP_MAGIC.match(head):
        return "zip"
    for form, (magic, _) in COMPRESSED.items():
        if magic.match(head):
            return form
    # A tar whose first header is damaged still says "ustar" there.
    return "tar" if head[257:262] == b"ustar" or tar_header(head) else None


def is_program(head: bytes) -> bool:
    """Say whether it may be a self-extracting archive; a text that begins with MZ has no zero byte."""
    return head.startswith(b"\x7fELF") or (head.startswith(b"MZ") and b"\0" in head[:64])


def unread_form(head: bytes) -> str | None:
    """Name the archive or compressed form that capflog does not read, None if it is none."""
    return next((what for magic, what in NOT_READ if head.startswith(magic)), None)


def no_log(head: bytes) -> str | None:
    """Name what is known to be no log, None for all else."""
    what = next((what for magic, what in NOT_LOGS if head.startswith(magic)), None)
    return what or ("a Windows program" if is_program(head) else None)


#: Names of what is packed once more inside an archive; they serve for a guess alone.
_PACKED = re.compile(r"\.(?:gzo?|tgz|zip|tar|bz2|xz|zst)\Z", re.IGNORECASE)


def _size_of_file(file: BinaryIO) -> int | None:
    """Tell how many bytes of text a file holds, unpacked, by its size or its directory; None: they do not tell."""
    head = file.read(HEAD)
    form = form_of(head)
    if form == "zip" or is_program(head):
        try:
            return _size_of(unzip(file, zip_directory(file)))
        except DirectoryError:
            return None if form else 0
    if form == "tar":
        return _size_of(untar(Stream.over(file)))
    if form or unread_form(head) or no_log(head):
        return None if form else 0
    return file.seek(0, 2)


def _size_of(entries: Iterable[Entry]) -> int | None:
    """Add up what an archive says of its members. Of the large ones the heads are looked at, of others the names."""
    total = 0
    try:
        for entry in entries:
            if entry.refusal or not entry.size:
                continue
            if entry.size > CHUNK:
                head = entry.body.peek(HEAD)
                if form_of(head):
                    return None
                if unread_form(head) or no_log(head):
                    continue
            elif _PACKED.search(entry.name):
                return None
            total += entry.size
    except Damaged:
        pass  # what stands before it was counted
    return total


def text_size(paths: Sequence[str], limits: Limits | None = None) -> int | None:
    """Tell how many bytes the members of a bundle have together, unpacked, as far as directories and file sizes say it.

    None: it is not known without reading (standard input, pipes, compressed files, archives inside archives). What
    cannot be opened counts nothing. It is meant for showing how far a walk has come: a directory may lie.
    """
    total = 0
    for path in paths:
        files = [path]
        if path != "-" and Path(path).is_dir():
            files = [str(Path(folder, name)) for folder, _, names in os.walk(path) for name in names]
        for file in files:
            try:
                kind = stat.S_IFMT(Path(file).stat().st_mode) if file != "-" else stat.S_IFIFO
                if kind != stat.S_IFREG and file == path:
                    return None
                if kind != stat.S_IFREG:
                    continue
                with Path(file).open("rb") as opened:
                    size = _size_of_file(opened)
            except (OSError, ValueError):
                continue
            if size is None:
                return None
            total += size
    return total if limits is None else min(total, limits.total_bytes)
