"""Bundles for the tests: what makes them, and what reads them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from capflog.bundle import BundleError, Damage, Damaged, Limits, Member, Refused, open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable


LOG = b"14:05:04.628 |   debug CA Mode is OnlineCA\n14:05:04.629 |<--debug\n"
OTHER = b"2019/03/05 15:05:51 [warn] 9500#0: a log of another kind\n"


def big(lines: int, seed: int = 1) -> bytes:
    """Make a log that compresses like one."""
    numbers = random.Random(seed)
    return b"".join(
        b"14:05:%02d.%03d |   debug %d\n" % (i % 60, i % 1000, numbers.getrandbits(60)) for i in range(lines)
    )


@dataclass
class Found:
    """What a bundle gave: each member's bytes, and the reason where it was damaged, refused, or its archive damaged."""

    data: dict[str, bytes] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)


class Pipe(io.RawIOBase):
    """A stream that cannot be positioned, like a pipe."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return self._file.readinto(memoryview(buffer)[:1000])


def pipe(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(Pipe(data))


def read(*paths: Path | str, stdin: bytes | None = None, limits: Limits | None = None) -> Found:
    found = Found()
    for item in open_bundle([str(path) for path in paths], None if stdin is None else pipe(stdin), limits):
        if isinstance(item, Refused):
            assert item.name not in found.refused
            found.refused[item.name] = item.reason
            found.status[item.name] = item.status
        elif isinstance(item, Damage):
            assert item.name not in found.broken
            found.broken[item.name] = item.reason
        else:
            assert item.name not in found.data
            found.members[item.name] = item
            found.data[item.name] = b""
            try:
                for chunk in item.chunks():
                    assert 0 < len(chunk) <= 1024 * 1024
                    found.data[item.name] += chunk
            except Damaged as damaged:
                found.damaged[item.name] = str(damaged)
    return found


def tried(*paths: Path | str, stdin: bytes | None = None, limits: Limits | None = None) -> Found | str:
    """Read a bundle; the text of its error where nothing can be read."""
    try:
        return read(*paths, stdin=stdin, limits=limits)
    except BundleError as error:
        return str(error)


def whole(*paths: Path | str, stdin: bytes | None = None, limits: Limits | None = None) -> dict[str, bytes]:
    """Read a bundle in which nothing is wrong."""
    found = read(*paths, stdin=stdin, limits=limits)
    assert (found.damaged, found.refused, found.broken) == ({}, {}, {})
    return found.data


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2019, 3, 5, 15, 5, 52)), data, method)
    return file.getvalue()


def streamed_zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Make a zip as it is written to a pipe: sizes and CRC stand behind the data."""

    class Sink(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += bytes(data)
            return len(data)

    sink = Sink()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return sink.data


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, mtime: float = 1_551_798_352) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mtime = len(data), kind, mtime
    return info


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in members.items():
            archive.addfile(entry(name, data), io.BytesIO(data))
    return file.getvalue()


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def all_inflated(data: bytes) -> bytes:
    """Inflate as far as it goes, at last byte by byte."""
    inflater = zlib.decompressobj(-15)
    made, at, step = [], 0, 1000
    while at < len(data):
        before = inflater.copy()
        try:
            made.append(inflater.decompress(data[at : at + step]))
            at += step
        except zlib.error:
            if step == 1:
                break
            inflater, step = before, 1
    return b"".join(made)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": lambda data: bz2.compress(data, 1),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zst": zstandard.compress,
}
