"""Bundles of every form, whole and broken: what is read of them, under which names, and what is said of the rest."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import socket
import stat
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.bundle import BundleError, Damage, Damaged, Limits, Member, Refused, name_of, open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
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
    """Inflate byte by byte as far as it goes."""
    inflater = zlib.decompressobj(-15)
    made = []
    for at in range(len(data)):
        try:
            made.append(inflater.decompress(data[at : at + 1]))
        except zlib.error:
            break
    return b"".join(made)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
}


# --- forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("through", ["file", "pipe", "pipe, too large to hold"])
def test_a_zip_of_each_method(tmp_path: Path, method: int, through: str) -> None:
    members = {"cm/trace/capf/sdi/capf00000001.txt": big(20_000), "ces/nginx/error.log": OTHER}
    data = zipped(members, method)
    if through == "file":
        assert whole(put(tmp_path / "logs.zip", data)) == members
    else:
        assert whole("-", stdin=data, limits=Limits() if through == "pipe" else Limits(held_bytes=10)) == members


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("held", [10, 10_000_000])
def test_a_zip_whose_sizes_stand_behind_the_data(tmp_path: Path, method: int, held: int) -> None:
    # A stored zip inside bears descriptors of its own, which must not end the member.
    members = {"a.log": streamed_zip({"x": LOG}, zipfile.ZIP_STORED)[5:], "b.log": big(30_000), "c.log": OTHER}
    assert whole("-", stdin=streamed_zip(members, method), limits=Limits(held_bytes=held)) == members


@pytest.mark.parametrize("held", [10, 10_000_000])
def test_a_zip64(tmp_path: Path, held: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.log", "b.log"):
            with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(LOG)
    assert whole(put(tmp_path / "logs.zip", file.getvalue())) == {"a.log": LOG, "b.log": LOG}
    assert set(whole("-", stdin=file.getvalue(), limits=Limits(held_bytes=held))) == {"a.log", "b.log"}


def test_a_self_extracting_zip(tmp_path: Path) -> None:
    program = b"MZ" + bytes(500)
    data = zipped({"a.log": LOG})
    assert whole(put(tmp_path / "logs.exe", program + data)) == {"a.log": LOG}
    assert whole("-", stdin=program + data) == {"a.log": LOG}
    assert whole(put(tmp_path / "out.zip", zipped({"logs.exe": program + data}))) == {"logs.exe!/a.log": LOG}
    assert whole(put(tmp_path / "logs.sh", b"#!/bin/sh\nunzip $0\n" + data)) == {"a.log": LOG}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("packing", ["", *COMPRESS])
@pytest.mark.parametrize("through", ["file", "pipe"])
def test_a_tar_of_each_form(tmp_path: Path, form: int, packing: str, through: str) -> None:
    deep = "/".join(["folder"] * 20) + "/capf00000001.txt"
    members = {deep: LOG * 1000, "long" * 24: b"", "b.log": OTHER}
    data = tarred(members, form)
    if packing:
        data = COMPRESS[packing](data)
    found = read(put(tmp_path / "logs", data)) if through == "file" else read("-", stdin=data)
    assert found.data == {deep: LOG * 1000, "b.log": OTHER}
    assert found.refused == {"long" * 24: "the file is empty"}
    assert (found.damaged, found.broken) == ({}, {})


def test_pax_names_sizes_and_times() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "of all"}) as archive:
        info = entry("Ünïcode/" + "ä" * 200, LOG, mtime=1_551_798_352.25)
        archive.addfile(info, io.BytesIO(LOG))
        archive.addfile(entry("none", LOG, mtime=0), io.BytesIO(LOG))
    found = read("-", stdin=file.getvalue())
    member = found.members["Ünïcode/" + "ä" * 200]
    assert member.modified == datetime(2019, 3, 5, 15, 5, 52, 250_000, tzinfo=UTC)
    assert (member.modified_is_local, member.size) == (False, len(LOG))
    assert found.members["none"].modified is None


@pytest.mark.parametrize("packing", COMPRESS)
def test_a_compressed_log_keeps_its_name_whatever_that_is(tmp_path: Path, packing: str) -> None:
    text = big(50_000)
    data = COMPRESS[packing](text)
    assert whole(put(tmp_path / "capf00000001.txt.gzo", data)) == {"capf00000001.txt.gzo": text}
    assert whole("-", stdin=data) == {"-": text}
    assert whole("-", stdin=zipped({"a/capf.txt": data, "plain.gz": LOG})) == {"a/capf.txt": text, "plain.gz": LOG}


@pytest.mark.parametrize("packing", COMPRESS)
def test_compressed_data_one_after_another(packing: str) -> None:
    pack = COMPRESS[packing]
    assert whole("-", stdin=pack(LOG) + pack(b"") + pack(OTHER)) == {"-": LOG + OTHER}
    assert whole("-", stdin=pack(LOG) + bytes(512) + pack(OTHER) + bytes(1024)) == {"-": LOG + OTHER}
    found = read("-", stdin=pack(LOG) + b"something else")
    assert found.data == {"-": LOG}
    assert found.damaged["-"].startswith(f"from byte {len(pack(LOG))} on it is not")


def test_zstandard_frames_of_each_kind() -> None:
    text = big(20_000)
    checked = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=False).compress(text)
    sized = zstandard.ZstdCompressor(level=19).compress(bytes(3_000_000) + b"\n")
    skipped = b"\x53\x2a\x4d\x18" + struct.pack("<I", 5) + b"notes"
    assert whole("-", stdin=skipped + checked + skipped + sized) == {"-": text + bytes(3_000_000) + b"\n"}


def test_gzip_headers_with_every_field() -> None:
    fields = struct.pack("<H", 4) + b"abcd" + b"capf00000001.txt\0" + b"a comment\0" + b"\x12\x34"
    data = b"\x1f\x8b\x08\x1e" + struct.pack("<I", 1_551_798_352) + b"\0\x03" + fields + deflated(LOG)
    data += struct.pack("<II", zlib.crc32(LOG), len(LOG))
    found = read("-", stdin=data)
    assert found.data == {"-": LOG}
    assert found.damaged == {}
    assert found.members["-"].modified == datetime(2019, 3, 5, 15, 5, 52, tzinfo=UTC)


# --- times --------------------------------------------------------------------------------------


def test_a_zip_time_has_no_zone_unless_an_extra_field_has() -> None:
    def local(extra: bytes, when: tuple[int, int, int, int, int, int] = (2019, 3, 5, 15, 5, 52)) -> zipfile.ZipInfo:
        info = zipfile.ZipInfo(f"{len(infos)}", when)
        info.extra = extra
        infos.append(info)
        return info

    infos: list[zipfile.ZipInfo] = []
    local(b"")
    local(struct.pack("<HHBi", 0x5455, 5, 1, 1_551_798_352))
    ticks = (1_551_798_352 + 11_644_473_600) * 10_000_000
    local(struct.pack("<HHIHHQQQ", 0x000A, 32, 0, 1, 24, ticks, ticks, ticks))
    local(b"", (1980, 1, 1, 0, 0, 0))
    local(b"", (2019, 2, 31, 0, 0, 0))
    local(b"\x55\x54\xff")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info in infos:
            archive.writestr(info, LOG)
    wall = datetime(2019, 3, 5, 15, 5, 52)  # noqa: DTZ001
    utc = wall.replace(tzinfo=UTC)
    expected = [(wall, True), (utc, False), (utc, False), (None, True), (None, True), (wall, True)]
    for limits in (Limits(), Limits(held_bytes=10)):
        members = read("-", stdin=file.getvalue(), limits=limits).members
        assert [(m.modified, m.modified_is_local) for m in members.values()] == expected


def test_the_time_of_a_file_and_of_a_compressed_member(tmp_path: Path) -> None:
    path = put(tmp_path / "a.log", LOG)
    os.utime(path, (1_551_798_352, 1_551_798_352))
    member = read(path).members["a.log"]
    utc = datetime(2019, 3, 5, 15, 5, 52, tzinfo=UTC)
    assert (member.modified, member.modified_is_local, member.size) == (utc, False, len(LOG))
    member = read("-", stdin=zipped({"timed.gz": gzip.compress(LOG, mtime=1_551_798_352)})).members["timed.gz"]
    assert (member.modified, member.modified_is_local) == (utc, False)
    packed = gzip.compress(LOG, mtime=0)
    member = read("-", stdin=zipped({"untimed.gz": packed})).members["untimed.gz"]
    assert (member.modified, member.modified_is_local, member.size) == (utc.replace(tzinfo=None), True, len(packed))
    assert read("-", stdin=LOG).members["-"].modified is None


# --- archives inside archives -------------------------------------------------------------------


@pytest.mark.parametrize("held", [10, 10_000_000])
def test_archives_inside_archives(tmp_path: Path, held: int) -> None:
    inner = zipped({"x/a.log": LOG})
    members = {
        "cm/first.zip": inner,
        "cm/second.tar.gz": gzip.compress(tarred({"b.log": OTHER, "third": inner})),
        "zip.gz": gzip.compress(inner),
        "twice.gz": gzip.compress(gzip.compress(LOG)),
    }
    expected = {
        "cm/first.zip!/x/a.log": LOG,
        "cm/second.tar.gz!/b.log": OTHER,
        "cm/second.tar.gz!/third!/x/a.log": LOG,
        "zip.gz!/x/a.log": LOG,
        "twice.gz": LOG,
    }
    limits = Limits(held_bytes=held)
    assert whole("-", stdin=zipped(members), limits=limits) == expected
    assert whole("-", stdin=tarred(members), limits=limits) == expected
    assert whole(put(tmp_path / "out.zip", zipped(members, zipfile.ZIP_STORED)), limits=limits) == expected
    for name, data in members.items():
        put(tmp_path / "folder" / name, data)
    assert whole(tmp_path / "folder", limits=limits) == expected


def test_archives_nested_too_deep_are_named_and_not_opened() -> None:
    data, name = zipped({"a.log.gz": gzip.compress(LOG)}), ""
    for _ in range(4):
        data, name = zipped({"n.zip": data}), name + "n.zip!/"
    assert whole("-", stdin=data) == {f"{name}a.log.gz": LOG}
    found = read("-", stdin=zipped({"n.zip": data, "beside.log": OTHER}))
    assert found.data == {"beside.log": OTHER}
    deepest = name + "n.zip"
    assert found.refused == {deepest: "over a limit: archives nested more than 5 deep"}
    assert found.status == {deepest: "unreadable"}
    often = LOG
    for _ in range(30):
        often = gzip.compress(often)
    with pytest.raises(BundleError, match="^-: over a limit: archives nested more than 5 deep$"):
        read("-", stdin=often)


# --- folders, files, several of them ------------------------------------------------------------


def test_a_folder_in_the_order_of_its_names(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.log", OTHER)
    root = tmp_path / "logs"
    for name in ("b.log", "a/z.log", "a/.hidden", "c/c.log.gz", ".d/e.log"):
        put(root / name, gzip.compress(LOG) if name.endswith(".gz") else LOG)
    (root / "linked.log").symlink_to(outside)
    assert list(whole(root)) == [".d/e.log", "a/.hidden", "a/z.log", "b.log", "c/c.log.gz", "linked.log"]
    assert whole(root)["linked.log"] == OTHER


def test_what_stands_in_folders_beside_files(tmp_path: Path) -> None:
    put(tmp_path / "logs" / "a.log", LOG)
    (tmp_path / "logs" / "back").symlink_to(tmp_path / "logs")
    (tmp_path / "logs" / "nowhere").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "logs" / "pipe")
    (tmp_path / "logs" / "circle").symlink_to("circle")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        try:
            os.chdir(tmp_path / "logs")
            listener.bind("socket")
        finally:
            os.chdir(here)
        found = read(tmp_path / "logs")
    assert found.data == {"a.log": LOG}
    assert found.refused == {
        "back": "a link to a folder, not followed",
        "circle": "too many levels of symbolic links",
        "nowhere": "a link that leads nowhere, or a file that is gone",
        "pipe": "a named pipe",
        "socket": "a socket",
    }
    assert {name for name, status in found.status.items() if status == "unreadable"} == {"circle", "nowhere"}


def test_what_may_not_be_read_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.log", "shut/b.log", "secret.log"):
        put(tmp_path / name, LOG)
    listed, opened = Path.iterdir, Path.open

    def iterdir(self: Path) -> Iterator[Path]:
        if self.name == "shut":
            raise PermissionError(13, "Permission denied")
        return iter(list(listed(self)))

    def openly(self: Path, *how: str) -> object:
        if self.name == "secret.log":
            raise PermissionError(13, "Permission denied")
        return opened(self, *how)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "iterdir", iterdir)
    monkeypatch.setattr(Path, "open", openly)
    found = read(tmp_path)
    assert found.data == {"a.log": LOG}
    assert found.refused == {"secret.log": "permission denied", "shut": "permission denied"}
    with pytest.raises(BundleError, match=r"secret\.log: permission denied$"):
        read(tmp_path / "secret.log")
    with pytest.raises(BundleError, match=r"shut: permission denied$"):
        read(tmp_path / "shut")


def test_several_inputs_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "logs.zip", zipped({"a.log": LOG}))
    put(tmp_path / "node1" / "logs" / "b.log", LOG)
    put(tmp_path / "node1" / "inner.zip", zipped({"x.log": LOG}))
    put(tmp_path / "node2" / "error.log", OTHER)
    put(tmp_path / "error.log", LOG)
    put(tmp_path / "capf.txt.gz", gzip.compress(LOG))
    monkeypatch.chdir(tmp_path)
    inputs = ["logs.zip", "node1", "node2/error.log", "./error.log", "capf.txt.gz", "-"]
    assert whole(*inputs, stdin=OTHER) == {
        "logs.zip!/a.log": LOG,
        "node1/inner.zip!/x.log": LOG,
        "node1/logs/b.log": LOG,
        "node2/error.log": OTHER,
        "error.log": LOG,
        "capf.txt.gz": LOG,
        "-": OTHER,
    }
    assert set(whole("node1/logs", "-", stdin=zipped({"s.log": LOG}))) == {"logs/b.log", "-!/s.log"}
    assert set(whole("error.log", "error.log")) == {"error.log", "error.log#2"}
    monkeypatch.chdir(tmp_path / "node1")
    assert set(whole(".", "../error.log")) == {"node1/inner.zip!/x.log", "node1/logs/b.log", "error.log"}


def test_the_name_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "collected").mkdir()
    monkeypatch.chdir(tmp_path / "collected")
    assert name_of(["../x/logs.zip"]) == "logs.zip"
    assert name_of(["logs/"]) == "logs"
    assert name_of(["."]) == "collected"
    assert name_of(["-"]) == "standard input"
    assert name_of(["a/b.zip", "c", "-"]) == "b.zip, c, standard input"
    assert name_of(["a", "b", "c", "d"]) == "a, b and 2 more"


def test_pipes_among_the_paths(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "63")
    data = zipped({"a.log": LOG})
    writer = threading.Thread(target=(tmp_path / "63").write_bytes, args=(data,))
    writer.start()
    try:
        assert whole(tmp_path / "63") == {"a.log": LOG}
    finally:
        writer.join()


def test_standard_input_from_a_file_and_from_its_middle(tmp_path: Path) -> None:
    path = put(tmp_path / "x", b"MZ\0" + bytes(100) + zipped({"a.log": LOG}))
    with path.open("rb") as file:
        assert [item.name for item in open_bundle(["-"], file)] == ["a.log"]
        assert not file.closed
        file.seek(103)
        assert [item.name for item in open_bundle(["-"], file)] == ["a.log"]
    with pytest.raises(BundleError, match="^-: there is no standard input$"):
        list(open_bundle(["-"], None))
    with pytest.raises(BundleError, match="^-: there is no standard input$"):
        list(open_bundle(["-"], file))


# --- names --------------------------------------------------------------------------------------

HOSTILE = ["../../etc/passwd", "/etc/shadow", "C:\\logs\\..\\u_ex.log", "\x1b[31mred\n.log", "a\u202eb", "x" * 300]


def test_hostile_names_are_kept_and_lead_nowhere(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    members = {name: LOG + bytes([i]) for i, name in enumerate(HOSTILE)}
    assert whole("-", stdin=tarred(members)) == members
    expected = {name.replace("\\", "/"): data for name, data in members.items()}
    for limits in (Limits(), Limits(held_bytes=10)):
        assert whole("-", stdin=zipped(members), limits=limits) == expected
    assert sorted(tmp_path.iterdir()) == before
    assert not Path("/etc/passwd").read_bytes().startswith(LOG)


def test_names_that_say_nothing_or_cannot_be_decoded(tmp_path: Path) -> None:
    assert set(whole("-", stdin=tarred({"././a.log": LOG, ".//b.log": LOG}))) == {"a.log", "b.log"}
    data = tarred({"na\x7fme": LOG}, tarfile.USTAR_FORMAT)
    header = bytearray(data[:512])
    header[2] = 0xFF
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    assert set(whole("-", stdin=bytes(header) + data[512:])) == {"na\ufffdme"}
    wrong = zipped({"ä.log": LOG}).replace("ä".encode(), b"\xff\xfe")
    found = read(put(tmp_path / "x.zip", wrong))
    assert found.data == {"\ufffd\ufffd.log": LOG}
    assert "directory" in found.broken["x.zip"]
    os.mkdir(tmp_path / "f")  # noqa: PTH102
    with open(os.fsencode(tmp_path / "f") + b"/\xff.log", "wb") as file:  # noqa: PTH123
        file.write(LOG)
    assert set(whole(tmp_path / "f")) == {"\ufffd.log"}
    for name in whole(tmp_path / "f"):
        name.encode()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("held", [10, 10_000_000])
def test_the_same_name_twice(held: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (("a.log", LOG), ("a.log#2", b"own name\n"), ("a.log", OTHER), ("a.log", b"third\n")):
            archive.writestr(name, data)
    expected = {"a.log": LOG, "a.log#2": b"own name\n", "a.log#3": OTHER, "a.log#4": b"third\n"}
    assert whole("-", stdin=file.getvalue(), limits=Limits(held_bytes=held)) == expected


# --- refused ------------------------------------------------------------------------------------

NO_LOGS = {
    "a PDF document": b"%PDF-1.7\n",
    "a PNG image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "a JPEG image": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "a GIF image": b"GIF89a\1\0\1\0",
    "a packet capture (pcap)": struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1),
    "a packet capture (pcapng)": struct.pack("<IIIHHq", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1),
    "a Linux program or core dump (ELF)": b"\x7fELF\2\1\1" + bytes(60),
    "a Windows program": b"MZ\x90\0\3\0\0\0" + bytes(60),
    "an SQLite database": b"SQLite format 3\0" + bytes(80),
    "an old Microsoft Office document (OLE)": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
    "an RTF document": b"{\\rtf1\\ansi}",
    "a Windows event log (evtx)": b"ElfFile\0" + bytes(100),
    "a Microsoft Office document": zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<x/>"}),
}


@pytest.mark.parametrize("what", NO_LOGS)
def test_what_is_no_log_by_its_bytes(tmp_path: Path, what: str) -> None:
    path = put(tmp_path / "report.log", NO_LOGS[what])
    with pytest.raises(BundleError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {what}, not a")
    beside = put(tmp_path / "a.log", LOG)
    found = read(path, beside)
    assert found.data == {"a.log": LOG}
    assert found.refused["report.log"].startswith(f"{what}, not a")
    assert found.status == {"report.log": "skipped"}
    for packed in (tarred, zipped):
        found = read("-", stdin=packed({"x.log": NO_LOGS[what], "gz": gzip.compress(NO_LOGS[what]), "a.log": LOG}))
        assert found.data == {"a.log": LOG}
        assert found.refused == {"x.log": f"{what}, not a log", "gz": f"{what}, not a log"}


@pytest.mark.parametrize(
    "text", [b"MZ is how this line begins\n", b"<?xml version='1.0'?>", b"\xff\xfe1\0", b"PK\n", b"BZh9 x"]
)
def test_what_only_looks_like_it_is_taken_for_a_log(text: bytes) -> None:
    assert whole("-", stdin=text) == {"-": text}


def test_the_error_for_a_document_under_a_log_archive_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "report.zip", b"%PDF-1.4 ...")
    put(tmp_path / "empty.log", b"")
    put(tmp_path / "empty.zip", zipped({}))
    put(tmp_path / "bad.zip", b"PK\x03\x04" + b"?" * 500)
    put(tmp_path / "cut.gz", gzip.compress(LOG)[:7])
    put(tmp_path / "logs.7z", b"7z\xbc\xaf\x27\x1c\0\4")
    (tmp_path / "folder" / "in it").mkdir(parents=True)
    expected = {
        "report.zip": "a PDF document, not an archive or a log",
        "empty.log": "the file is empty",
        "no-such.zip": "no such file or folder",
        "a\0b": "no such file or folder",
        "empty.log/x": "no such file or folder",
        "empty.zip": "the archive is empty",
        "folder": "the folder is empty",
        "bad.zip": "a damaged archive of which no member can be read: truncated: its directory is missing",
        "cut.gz": "truncated: its compressed data end in the middle",
        "logs.7z": "a 7z archive: capflog cannot read that form, unpack it first",
    }
    for path, reason in expected.items():
        with pytest.raises(BundleError) as error:
            read(path)
        assert str(error.value) == f"{path}: {reason}"
    with pytest.raises(BundleError, match="^-: standard input is empty$"):
        read("-", stdin=b"")
    with pytest.raises(BundleError, match="no such file or folder$"):
        read("")
    with pytest.raises(BundleError, match="^nothing to read"):
        read()


def test_inputs_that_cannot_be_read_beside_one_that_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.log", LOG)
    put(tmp_path / "empty.log", b"")
    found = read("gone.zip", "a.log", "empty.log", "lost.zip")
    assert found.data == {"a.log": LOG}
    assert found.refused == {
        "gone.zip": "no such file or folder",
        "empty.log": "the file is empty",
        "lost.zip": "no such file or folder",
    }
    assert found.status == {"gone.zip": "unreadable", "empty.log": "skipped", "lost.zip": "unreadable"}
    with pytest.raises(BundleError) as error:
        read("gone.zip", "empty.log")
    assert str(error.value) == "gone.zip: no such file or folder; empty.log: the file is empty"


def patched(data: bytes, at_local: int, at_central: int, value: int) -> bytes:
    """Set a 16-bit field in each local header and in each of the directory's."""
    out = bytearray(data)
    for mark, at in ((b"PK\x03\x04", at_local), (b"PK\x01\x02", at_central)):
        found = out.find(mark)
        struct.pack_into("<H", out, found + at, value)
    return bytes(out)


@pytest.mark.parametrize("held", [10, 10_000_000])
def test_members_of_a_zip_that_cannot_be_read_cost_themselves_alone(held: int) -> None:
    data = zipped({"secret.log": LOG, "a.log": OTHER})
    limits = Limits(held_bytes=held)
    for flags in (1, 0x41):
        found = read("-", stdin=patched(data, 6, 8, flags), limits=limits)
        assert found.data == {"a.log": OTHER}
        assert found.refused == {"secret.log": "encrypted: capflog has no password for it"}
        assert found.status == {"secret.log": "unreadable"}
        assert found.broken == {}
    for method, words in ((93, "93 (zstd)"), (9, "9 (deflate64)"), (98, "98 (PPMd)")):
        found = read("-", stdin=patched(data, 8, 10, method), limits=limits)
        assert found.data == {"a.log": OTHER}
        assert found.refused == {"secret.log": f"unsupported compression method {words}"}
        assert found.broken == {}
    behind = patched(streamed_zip({"secret.log": LOG, "a.log": OTHER}), 6, 8, 9)
    found = read("-", stdin=behind, limits=limits)
    assert (found.data, list(found.refused), found.broken) == ({"a.log": OTHER}, ["secret.log"], {})


def test_links_and_devices_inside_archives() -> None:
    file = io.BytesIO()
    kinds = {
        "link": (tarfile.SYMTYPE, "a symbolic link, not followed"),
        "hard": (tarfile.LNKTYPE, "a hard link: its data stand under another name"),
        "null": (tarfile.CHRTYPE, "a device"),
        "disk": (tarfile.BLKTYPE, "a device"),
        "pipe": (tarfile.FIFOTYPE, "a named pipe"),
        "odd": (b"V", "an entry of the unknown type 'V'"),
    }
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(entry("folder", kind=tarfile.DIRTYPE))
        for name, (kind, _) in kinds.items():
            info = entry(name, kind=kind)
            info.linkname = "/etc/passwd"
            archive.addfile(info)
        archive.addfile(entry("a.log", LOG), io.BytesIO(LOG))
    found = read("-", stdin=file.getvalue())
    assert found.data == {"a.log": LOG}
    assert found.refused == {name: reason for name, (_, reason) in kinds.items()}
    assert set(found.status.values()) == {"skipped"}

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive_:
        archive_.writestr("folder/", b"")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive_.writestr(link, b"/etc/passwd")
        archive_.writestr("a.log", LOG)
    found = read("-", stdin=file.getvalue())
    assert found.data == {"a.log": LOG}
    assert found.refused == {"link": "a symbolic link, not followed"}


def test_sparse_files_of_a_tar_are_refused_and_passed_over() -> None:
    header = bytearray(entry("sparse", bytes(1024)).tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    extension = bytearray(512)
    extension[504] = 1
    data = bytes(header) + bytes(extension) + bytes(512) + b"x" * 1024 + tarred({"a.log": LOG})
    found = read("-", stdin=data)
    assert (found.data, found.broken) == ({"a.log": LOG}, {})
    assert found.refused == {"sparse": "a sparse file: capflog cannot read this form"}


# --- damage: compressed data --------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
@pytest.mark.parametrize("inside", [False, True])
def test_a_cut_gzip_gives_all_that_it_holds(share: float, inside: bool) -> None:
    text = big(60_000)
    data = gzip.compress(text)
    cut = data[: int(len(data) * share)]
    name = "a.txt.gz" if inside else "-"
    found = read("-", stdin=zipped({"a.txt.gz": cut}) if inside else cut)
    assert found.data[name] == all_inflated(cut[10:])
    assert len(found.data[name]) > len(text) * (share - 0.05)
    assert found.damaged == {name: "truncated: its compressed data end in the middle"}


def test_a_gzip_that_is_still_being_written() -> None:
    reason = {"-": "no trailer: the file was still being written"}
    data = gzip.compress(LOG)
    for end in (8, 5):
        found = read("-", stdin=data[:-end])
        assert (found.data, found.damaged) == ({"-": LOG}, reason)
    packer = zlib.compressobj(wbits=31)
    flushed = packer.compress(LOG) + packer.flush(zlib.Z_SYNC_FLUSH)
    found = read("-", stdin=flushed)
    assert (found.data, found.damaged) == ({"-": LOG}, reason)


@pytest.mark.parametrize("packing", ["bz2", "xz", "zst"])
def test_other_compressed_data_that_are_cut_or_damaged(packing: str) -> None:
    text = big(120_000)
    data = COMPRESS[packing](text)
    found = read("-", stdin=data[: len(data) // 2])
    assert found.damaged == {"-": "truncated: its compressed data end in the middle"}
    assert text.startswith(found.data["-"])
    # bzip2 has nothing to give before a block of 900 kB is whole.
    assert len(found.data["-"]) > len(text) * (0.4 if packing != "bz2" else 0.2)
    bad = bytearray(data)
    bad[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    found = read("-", stdin=bytes(bad))
    assert found.damaged["-"].startswith("damaged at byte ")
    assert len(found.data["-"]) > len(text) * 0.2


def test_a_damaged_gzip_gives_every_byte_before_the_fault() -> None:
    text = big(60_000)
    data = bytearray(gzip.compress(text))
    middle = len(data) // 2
    for seed in range(6):
        bad = bytearray(data)
        at = middle + seed * 997
        bad[at] ^= 1 << seed % 8
        found = read("-", stdin=bytes(bad))
        assert found.data["-"] == all_inflated(bytes(bad[10:]))
        assert found.damaged["-"].startswith(("damaged at byte ", "wrong CRC", "truncated", "no trailer", "from byte"))
    bad = bytearray(data)
    bad[-6] ^= 1
    found = read("-", stdin=bytes(bad))
    assert found.data == {"-": text}
    assert found.damaged == {"-": "wrong CRC: what was read is not what was stored"}


def test_the_place_of_the_damage_is_named() -> None:
    header = gzip.compress(LOG)[:10]
    # A block of the reserved type 3 right behind a stored one.
    stored = b"\0" + struct.pack("<HH", len(LOG), len(LOG) ^ 0xFFFF) + LOG
    found = read("-", stdin=header + stored + b"\x07" + b"x" * 100)
    assert found.data == {"-": LOG}
    assert found.damaged == {"-": f"damaged at byte {len(stored)} of its compressed data: invalid block type"}


# --- damage: zip --------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", ["before", "behind"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_zip_cut_in_a_big_member(tmp_path: Path, sizes: str, method: int, share: float) -> None:
    text = big(60_000)
    make = zipped if sizes == "before" else streamed_zip
    data = make({"first.log": LOG, "big.log": text, "lost.log": OTHER}, method)
    start = data.index(b"big.log") + len(b"big.log")
    cut = int(len(data) * share)
    found = read(put(tmp_path / "logs.zip", data[:cut]))
    held = data[start:cut]
    expected = all_inflated(held) if method == zipfile.ZIP_DEFLATED else held
    assert len(expected) > len(text) * (share - 0.1)
    assert found.data == {"first.log": LOG, "big.log": expected}
    assert found.damaged["big.log"].startswith("truncated: ")
    assert found.broken == {"logs.zip": "truncated: its directory is missing; what stands before the cut was read"}
    assert read("-", stdin=data[:cut]).data == found.data
    assert read("-", stdin=data[:cut], limits=Limits(held_bytes=10)).data == found.data


def test_a_zip_cut_anywhere_says_so_and_gives_what_it_holds(tmp_path: Path) -> None:
    members = {"a.log": big(40), "b/c.log": LOG, "d.log": OTHER}
    for make in (zipped, streamed_zip):
        data = make(members)
        for cut in range(80, len(data), 3):
            path = put(tmp_path / "logs.zip", data[:cut])
            try:
                found = read(path)
            except BundleError as error:
                assert "truncated" in str(error)
                assert cut < 300
                continue
            assert found.broken
            for name, text in found.data.items():
                assert members[name].startswith(text)
                assert text == members[name] or name in found.damaged or name == list(found.data)[-1]


@pytest.mark.parametrize("make", [zipped, streamed_zip])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("held", [10, 10_000_000])
def test_a_damaged_member_costs_itself_alone(
    make: Callable[[dict[str, bytes], int], bytes], method: int, held: int
) -> None:
    data = bytearray(make({"a.log": LOG, "bad.log": big(20_000), "c.log": OTHER}, method))
    at = data.index(b"bad.log") + 60_000
    data[at : at + 30] = b"\xff" * 30
    found = read("-", stdin=bytes(data), limits=Limits(held_bytes=held))
    assert found.data["a.log"] == LOG
    assert found.data["c.log"] == OTHER
    assert list(found.damaged) == ["bad.log"]
    assert found.damaged["bad.log"].startswith(("damaged at byte ", "wrong CRC"))


def test_a_wrong_crc_and_a_wrong_size_come_after_the_data() -> None:
    data = bytearray(zipped({"a.log": LOG, "b.log": OTHER}))
    central = data.index(b"PK\x01\x02")
    data[central + 16] ^= 1
    found = read("-", stdin=bytes(data))
    assert found.data == {"a.log": LOG, "b.log": OTHER}
    assert found.damaged == {"a.log": "wrong CRC: what was read is not what was stored"}
    data[central + 16] ^= 1
    data[central + 24] ^= 1
    found = read("-", stdin=bytes(data))
    assert found.data == {"a.log": LOG, "b.log": OTHER}
    assert found.damaged["a.log"].startswith("wrong size: ")


def test_a_member_that_is_not_where_the_directory_says() -> None:
    data = bytearray(zipped({"x.log": OTHER, "a.log": LOG}))
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    struct.pack_into("<I", data, second + 42, 7)
    found = read("-", stdin=bytes(data))
    assert found.data == {"x.log": OTHER}
    assert found.refused == {"a.log": "damaged: no member stands where the archive's directory says"}


def test_a_local_name_that_differs_from_the_directory_does_not_matter() -> None:
    data = zipped({"a.log": LOG}).replace(b"a.log", b"b.log", 1)
    assert whole("-", stdin=data) == {"a.log": LOG}


def test_a_damaged_directory_is_done_without(tmp_path: Path) -> None:
    data = zipped({"a.log": LOG, "b.log": OTHER})
    central = data.index(b"PK\x01\x02")
    for bad in (data[:central] + b"?" * 300, data.replace(b"PK\x05\x06", b"PK\x05?"), data[: central + 60]):
        found = read(put(tmp_path / "logs.zip", bad))
        assert found.data == {"a.log": LOG, "b.log": OTHER}
        assert found.damaged == {}
        assert set(found.broken) == {"logs.zip"}
    found = read(put(tmp_path / "logs.zip", data + b"\n" * 70_000))
    assert found.data == {"a.log": LOG, "b.log": OTHER}
    assert "directory" in found.broken["logs.zip"]


def test_the_directory_of_an_archive_inside_is_not_taken_for_the_outer_one(tmp_path: Path) -> None:
    inner = zipped({"in.log": OTHER})
    data = zipped({"a.log": LOG, "inner.zip": inner, "lost.log": big(500)}, zipfile.ZIP_STORED)
    cut = data.index(inner) + len(inner) + 20
    found = read(put(tmp_path / "logs.zip", data[:cut]))
    assert found.data == {"a.log": LOG, "inner.zip!/in.log": OTHER}
    assert found.broken == {"logs.zip": "truncated: its directory is missing; what stands before the cut was read"}


@pytest.mark.parametrize("held", [10, 10_000_000])
def test_a_cut_archive_inside_an_archive_names_the_inner_one(held: int) -> None:
    text = big(20_000)
    inner = zipped({"first.log": LOG, "big.log": text})
    found = read(
        "-", stdin=tarred({"cut.zip": inner[: len(inner) // 2], "z.log": OTHER}), limits=Limits(held_bytes=held)
    )
    assert found.data["cut.zip!/first.log"] == LOG
    assert found.data["z.log"] == OTHER
    assert text.startswith(found.data["cut.zip!/big.log"])
    assert len(found.data["cut.zip!/big.log"]) > len(text) * 0.4
    assert list(found.damaged) == ["cut.zip!/big.log"]
    assert list(found.broken) == ["cut.zip"]


# --- damage: tar --------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["", "gz", "zst"])
def test_a_tar_cut_in_the_middle(packing: str) -> None:
    text = big(60_000)
    data = tarred({"a.log": LOG, "big.log": text, "lost.log": OTHER})
    if packing:
        data = COMPRESS[packing](data)
    found = read("-", stdin=data[: len(data) // 2])
    assert found.data["a.log"] == LOG
    assert text.startswith(found.data["big.log"])
    assert len(found.data["big.log"]) > len(text) * 0.4
    reason = "its compressed data end in the middle" if packing else "the archive ends inside this member"
    assert found.damaged == {"big.log": f"truncated: {reason}"}
    container = "its compressed data end in the middle" if packing else "it ends inside a member"
    assert found.broken == {"-": f"truncated: {container}; what stands before the cut was read"}


def test_a_tar_cut_anywhere_says_so() -> None:
    members = {"a.log": LOG * 20, "b.log": OTHER, "c" * 200: LOG}
    data = tarred(members)
    ends = data.index(bytes(1024), len(data) - 10240)
    for cut in range(512 + 64, ends, 64):
        found = read("-", stdin=data[:cut])
        assert found.broken["-"].startswith("truncated: ")
        assert found.data
        for name, text in found.data.items():
            assert text == members[name] or (members[name].startswith(text) and name in found.damaged)


def test_a_damaged_tar_header_costs_its_member_alone() -> None:
    data = bytearray(tarred({"a.log": LOG, "bad.log": b"x\n" * 3000, "c.log": OTHER}, tarfile.USTAR_FORMAT))
    at = data.index(b"bad.log")
    data[at] ^= 0x40
    found = read("-", stdin=bytes(data))
    assert found.data == {"a.log": LOG, "c.log": OTHER}
    assert found.broken == {"-": f"damaged at byte {at}: no header there; read on from the next one"}
    data = bytearray(tarred({"a.log": LOG, "c.log": OTHER}, tarfile.USTAR_FORMAT))
    data[0] ^= 0x40
    found = read("-", stdin=bytes(data))
    assert found.data == {"c.log": OTHER}
    assert found.broken == {"-": "damaged at byte 0: no header there; read on from the next one"}


def test_a_tar_in_a_gzip_with_a_wrong_crc_is_read_and_named() -> None:
    data = bytearray(gzip.compress(tarred({"a.log": LOG})))
    data[-7] ^= 1
    found = read("-", stdin=bytes(data))
    assert (found.data, found.damaged) == ({"a.log": LOG}, {})
    assert found.broken == {"-": "wrong CRC: what was read is not what was stored"}


# --- limits -------------------------------------------------------------------------------------


def test_the_limit_of_one_member() -> None:
    data = zipped({"a.log": big(4000), "b.log": LOG})
    found = read("-", stdin=data, limits=Limits(member_bytes=100_000))
    assert found.data == {"a.log": big(4000)[:100_000], "b.log": LOG}
    assert found.damaged == {"a.log": "over a limit: more than 100000 bytes in one member; the rest was not read"}
    assert read("-", stdin=LOG, limits=Limits(member_bytes=len(LOG))).damaged == {}


def test_the_limit_of_all_members() -> None:
    data = tarred({"a.log": b"a" * 3000, "b.log": b"b" * 3000, "c.log": b"c" * 3000})
    found = read("-", stdin=data, limits=Limits(total_bytes=4096))
    assert found.data == {"a.log": b"a" * 3000, "b.log": b"b" * 1096}
    assert found.damaged == {"b.log": "over a limit: more than 4 KiB in all; the rest was not read"}
    assert found.broken == {"standard input": "over a limit: more than 4 KiB in all; the rest was not read"}


def test_the_limit_of_what_is_unpacked_without_being_a_member() -> None:
    bomb = gzip.compress(tarred({"a.log": LOG})[:1024] + b"junk" * 1_000_000)
    found = read("-", stdin=bomb, limits=Limits(total_bytes=1 << 20))
    assert found.data == {"a.log": LOG}
    assert "over a limit: more than 1 MiB unpacked" in found.broken["-"]


@pytest.mark.parametrize("packed", [tarred, zipped])
def test_the_limit_of_the_number_of_members(packed: Callable[[dict[str, bytes]], bytes]) -> None:
    data = packed({f"{i}.log": LOG for i in range(10)})
    found = read("-", stdin=data, limits=Limits(members=4))
    assert list(found.data) == ["0.log", "1.log", "2.log", "3.log"]
    assert found.broken == {"standard input": "over a limit: more than 4 members; the rest was not read"}
    assert len(whole("-", stdin=data, limits=Limits(members=10))) == 10


def test_held_memory_is_given_back() -> None:
    # A link is told by the directory alone: that the second one is refused shows that it was held.
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, b"/etc/passwd")
    outer = tarred({f"{i}.zip": file.getvalue() for i in range(3)})
    found = read("-", stdin=outer, limits=Limits(held_bytes=len(file.getvalue())))
    assert set(found.refused) == {f"{i}.zip!/link" for i in range(3)}
    found = read("-", stdin=outer, limits=Limits(held_bytes=len(file.getvalue()) - 1))
    assert found.data == {f"{i}.zip!/link": b"/etc/passwd" for i in range(3)}


# --- how it is used -----------------------------------------------------------------------------


def test_a_member_is_read_once_and_in_its_turn(tmp_path: Path) -> None:
    items = open_bundle([str(put(tmp_path / "x.tar", tarred({"a.log": LOG, "b.log": OTHER})))], None)
    first = next(items)
    assert isinstance(first, Member)
    second = next(items)
    assert isinstance(second, Member)
    with pytest.raises(RuntimeError):
        first.chunks()
    assert b"".join(second.chunks()) == OTHER
    with pytest.raises(RuntimeError):
        second.chunks()
    assert list(items) == []


@pytest.mark.parametrize("make", [zipped, tarred, streamed_zip])
def test_members_that_are_not_read_to_their_end_do_not_disturb_the_next(
    make: Callable[[dict[str, bytes]], bytes],
) -> None:
    data = make({"a.log": big(40_000), "b.log": big(40_000, seed=2), "c.log": OTHER})
    for limits in (Limits(), Limits(held_bytes=10)):
        last: list[bytes] = []
        for item in open_bundle(["-"], pipe(data), limits):
            assert isinstance(item, Member)
            last = [next(item.chunks())]
        assert last == [OTHER]


def test_abandoned_half_way_nothing_stays_open(tmp_path: Path) -> None:
    inner = zipped({"a.log": LOG, "b.log": LOG})
    put(tmp_path / "logs" / "x.tar.gz", gzip.compress(tarred({"in.zip": inner, "c.log": LOG})))
    put(tmp_path / "logs" / "x.zip", inner)
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for count in range(1, 5):
        items = open_bundle([str(tmp_path / "logs"), str(tmp_path / "logs" / "x.zip")], None)
        chunks: list[Iterator[bytes]] = []
        for _ in range(count):
            item = next(items)
            assert isinstance(item, Member)
            chunks.append(item.chunks())
        items.close()  # type: ignore[attr-defined]
        assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_file_that_stops_being_readable_is_damaged_there() -> None:
    class Failing(Pipe):
        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            if self._file.tell() > 5000:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    text = big(1000)
    (item,) = open_bundle(["-"], io.BufferedReader(Failing(text)))
    assert isinstance(item, Member)
    got = b""
    with pytest.raises(Damaged, match="^it cannot be read further: Input/output error$"):
        for chunk in item.chunks():
            got += chunk
    assert text.startswith(got)


# --- anything at all ----------------------------------------------------------------------------

SEEDS = [
    zipped({"a.log": LOG, "b/c.log": OTHER * 20}),
    streamed_zip({"a.log": LOG, "b.log": OTHER}, zipfile.ZIP_STORED),
    zipped({"a.log": LOG, "in.zip": zipped({"x.log": OTHER})}, zipfile.ZIP_LZMA),
    zipped({"a.log": LOG}, zipfile.ZIP_BZIP2),
    tarred({"a.log": LOG, "b" * 150: OTHER}, tarfile.GNU_FORMAT),
    tarred({"a.log": LOG, "b" * 150: OTHER}),
    *(pack(tarred({"a.log": LOG})) for pack in COMPRESS.values()),
    *(pack(LOG * 10) for pack in COMPRESS.values()),
    b"\x7fELF" + bytes(70) + zipped({"a.log": LOG}),
]


def survives(data: bytes, paths: Sequence[str] = ("-",)) -> None:
    """Read bytes as a file, as a pipe and as a pipe too large to hold; only what is documented may be raised."""
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "x", data)
        for limits in (Limits(), Limits(held_bytes=20), Limits(total_bytes=100, members=2, depth=1)):
            for source in (str(path), "-"):
                try:
                    found = read(source, stdin=data, limits=limits)
                except BundleError as error:
                    assert "\n" not in str(error)
                    continue
                assert found.data or found.refused or found.broken
                for name in (*found.data, *found.refused, *found.broken):
                    name.encode()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.binary(max_size=700))
def test_arbitrary_bytes(data: bytes) -> None:
    survives(data)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_archives(seed: bytes, data: st.DataObject) -> None:
    broken = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(broken) - 1))
        change = data.draw(st.binary(max_size=6))
        broken[at : at + data.draw(st.sampled_from([len(change), 0, 3, 40]))] = change
        if not broken:
            return
    survives(bytes(broken))
