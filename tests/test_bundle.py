"""What is read of a bundle, under which names, and what is said of the rest."""

from __future__ import annotations

import gzip
import io
import os
import socket
import stat
import struct
import sys
import tarfile
import threading
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capflog.bundle import BundleError, Damaged, Limits, Member, name_of, open_bundle, text_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

from tests.bundles import LOG, OTHER, Pipe, big, entry, pipe, put, read, streamed_zip, tarred, whole, zipped

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="pipes, sockets and names of any bytes")


# --- times ------------------------------------------------------------------------------------------


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


# --- archives inside archives -----------------------------------------------------------------------


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
    with pytest.raises(BundleError, match=r"^-: over a limit: archives nested more than 5 deep$"):
        read("-", stdin=often)


# --- folders, files, several of them ----------------------------------------------------------------


def test_a_folder_in_the_order_of_its_names(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.log", OTHER)
    root = tmp_path / "logs"
    for name in ("b.log", "a/z.log", "a/.hidden", "c/c.log.gz", ".d/e.log"):
        put(root / name, gzip.compress(LOG) if name.endswith(".gz") else LOG)
    (root / "linked.log").symlink_to(outside)
    assert list(whole(root)) == [".d/e.log", "a/.hidden", "a/z.log", "b.log", "c/c.log.gz", "linked.log"]
    assert whole(root)["linked.log"] == OTHER


@linux_only
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


@linux_only
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
    with pytest.raises(BundleError, match=r"^-: there is no standard input$"):
        list(open_bundle(["-"], None))
    with pytest.raises(BundleError, match=r"^-: there is no standard input$"):
        list(open_bundle(["-"], file))


# --- names ------------------------------------------------------------------------------------------

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


@linux_only
def test_a_file_name_that_cannot_be_decoded(tmp_path: Path) -> None:
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
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("a.log", "a.log", "a.log#2"):
            archive.writestr(name, LOG)
    assert list(whole("-", stdin=file.getvalue())) == ["a.log", "a.log#2", "a.log#2#2"]


# --- refused ----------------------------------------------------------------------------------------

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
    with pytest.raises(BundleError, match=r"^-: standard input is empty$"):
        read("-", stdin=b"")
    with pytest.raises(BundleError, match=r"no such file or folder$"):
        read("")
    with pytest.raises(BundleError, match=r"^nothing to read"):
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
        # What Info-ZIP packs from its standard input is marked as a pipe, and is a log all the same.
        piped = zipfile.ZipInfo("-")
        piped.external_attr = (stat.S_IFIFO | 0o600) << 16
        archive_.writestr(piped, OTHER)
        archive_.writestr("a.log", LOG)
    found = read("-", stdin=file.getvalue())
    assert found.data == {"-": OTHER, "a.log": LOG}
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
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = entry("GNUSparseFile.1/real.log", LOG)
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "real.log"}
        archive.addfile(info, io.BytesIO(LOG))
    assert list(read("-", stdin=file.getvalue()).refused) == ["real.log"]


# --- limits -----------------------------------------------------------------------------------------


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


# --- how it is used ---------------------------------------------------------------------------------


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
    data = make({"a.log": big(9_000), "b.log": big(9_000, seed=2), "c.log": OTHER})
    for limits in (Limits(), Limits(held_bytes=10)):
        last: list[bytes] = []
        for item in open_bundle(["-"], pipe(data), limits):
            assert isinstance(item, Member)
            last = [next(item.chunks())]
        assert last == [OTHER]


class Watched(io.BytesIO):
    """A file that counts what is read of it, and where."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.count = 0

    def read1(self, size: int | None = -1, /) -> bytes:
        data = super().read1(size)
        self.count += len(data)
        return data


@pytest.mark.parametrize("make", [zipped, tarred, lambda data: zipped(data, zipfile.ZIP_STORED)])
def test_a_member_that_is_skipped_costs_its_head_alone(make: Callable[[dict[str, bytes]], bytes]) -> None:
    data = make({f"{i}.log": big(90_000, seed=i) for i in range(3)})
    file = Watched(data)
    items = list(open_bundle(["-"], file))
    assert [(item.name, item.number) for item in items if isinstance(item, Member)] == [
        ("0.log", 0),
        ("1.log", 1),
        ("2.log", 2),
    ]
    assert file.count < 200_000 < len(data)


def test_the_number_of_a_member_counts_what_was_refused_too(tmp_path: Path) -> None:
    put(tmp_path / "b" / "a.log", LOG)
    put(tmp_path / "b" / "b.pdf", b"%PDF-1.7")
    put(tmp_path / "b" / "c.zip", zipped({"a.log": LOG, "e.log": b"", "z.log": OTHER})[:-30])
    put(tmp_path / "b" / "d.log", OTHER)
    paths = [str(tmp_path / "none.zip"), str(tmp_path / "b"), str(tmp_path / "none.tar"), str(tmp_path / "b" / "d.log")]
    items = list(open_bundle(paths, None))
    numbers = {item.name: item.number for item in items if isinstance(item, Member)}
    assert numbers == {"b/a.log": 1, "b/c.zip!/a.log": 3, "b/c.zip!/z.log": 5, "b/d.log": 7, "d.log": 9}
    assert [items[number].name for number in numbers.values()] == list(numbers)


def test_how_much_text_is_in_a_bundle(tmp_path: Path) -> None:
    text = big(50_000)
    folder = tmp_path / "b"
    put(folder / "a" / "a.log", LOG)
    put(folder / "x.zip", zipped({"a.log": text, "b/c.log": OTHER, "p.pcap": b"\xd4\xc3\xb2\xa1" + text}))
    put(folder / "y.tar", tarred({"a.log": text, "b/c.log": OTHER}))
    put(folder / "doc.pdf", b"%PDF-1.7")
    put(folder / "empty.log", b"")
    for path in (folder / "a" / "a.log", folder / "x.zip", folder / "y.tar", folder):
        assert text_size([str(path)]) == sum(len(data) for data in read(path).data.values())
    both = [str(folder), str(tmp_path / "none"), str(folder / "x.zip")]
    assert text_size(both) == len(LOG) + 3 * len(text) + 3 * len(OTHER)
    assert text_size(both, Limits(total_bytes=1000)) == 1000
    assert text_size([*both, "-"]) is None
    for unknown in (
        gzip.compress(LOG),
        zipped({"a.log.gz": gzip.compress(LOG)}),
        zipped({"a.log": gzip.compress(os.urandom(2_000_000))}),
        gzip.compress(tarred({"a.log": LOG})),
        zipped({"a.log": text})[:-30],
    ):
        assert text_size([str(put(tmp_path / "x.log", unknown))]) is None


@linux_only
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
        def readinto(self, buffer: Any, /) -> int:
            if self._file.tell() > 5000:
                raise OSError(5, "Input/output error")
            return super().readinto(buffer)

    text = big(1000)
    items = open_bundle(["-"], io.BufferedReader(Failing(text)))
    item = next(items)
    assert isinstance(item, Member)
    chunks = item.chunks()
    got = next(chunks)
    with pytest.raises(Damaged, match=r"^it cannot be read further: Input/output error$"):
        next(chunks)
    assert text.startswith(got)
    assert len(got) > 5000
