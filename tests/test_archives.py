"""Zips and tars of every form, whole, cut and damaged."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.bundle import BundleError, Damaged, Limits, Member, open_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

from tests.bundles import (
    COMPRESS,
    LOG,
    OTHER,
    all_inflated,
    big,
    deflated,
    entry,
    pipe,
    put,
    read,
    streamed_zip,
    tarred,
    tried,
    whole,
    zipped,
)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("through", ["file", "pipe", "pipe, too large to hold"])
def test_a_zip_of_each_method(tmp_path: Path, method: int, through: str) -> None:
    members = {"cm/trace/capf/sdi/capf00000001.txt": big(9_000), "ces/nginx/error.log": OTHER}
    data = zipped(members, method)
    if through == "file":
        assert whole(put(tmp_path / "logs.zip", data)) == members
    else:
        assert whole("-", stdin=data, limits=Limits() if through == "pipe" else Limits(held_bytes=10)) == members


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("held", [10, 10_000_000])
def test_a_zip_whose_sizes_stand_behind_the_data(tmp_path: Path, method: int, held: int) -> None:
    # A stored zip inside bears descriptors of its own, which must not end the member.
    members = {"a.log": streamed_zip({"x": LOG}, zipfile.ZIP_STORED)[5:], "b.log": big(9_000), "c.log": OTHER}
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


@pytest.mark.parametrize("sizes", ["before", "behind"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_zip_cut_in_a_big_member(tmp_path: Path, sizes: str, method: int, share: float) -> None:
    text = big(12_000)
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
        for cut in range(80, len(data), 7):
            path = put(tmp_path / "logs.zip", data[:cut])
            found = tried(path)
            if isinstance(found, str):
                assert "truncated" in found
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
    data = bytearray(make({"a.log": LOG, "bad.log": big(9_000), "c.log": OTHER}, method))
    at = data.index(b"bad.log") + 60_000
    data[at : at + 30] = b"\xff" * 30
    found = read("-", stdin=bytes(data), limits=Limits(held_bytes=held))
    assert found.data["a.log"] == LOG
    assert found.data["c.log"] == OTHER
    # bzip2 has one block, of which nothing comes.
    assert [*found.damaged, *found.refused] == ["bad.log"]
    for reason in (*found.damaged.values(), *found.refused.values()):
        assert reason.startswith(("damaged at byte ", "wrong CRC"))


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


def test_a_wrong_crc_of_a_compressed_log_in_a_zip() -> None:
    data = bytearray(zipped({"a.log.gz": gzip.compress(LOG)}))
    data[data.index(b"PK\x01\x02") + 16] ^= 1
    found = read("-", stdin=bytes(data))
    assert found.data == {"a.log.gz": LOG}
    assert found.damaged == {"a.log.gz": "wrong CRC: what was read is not what was stored"}


def described(name: bytes, data: bytes, flags: int = 8, mark: bytes = b"PK\x07\x08", excess: bytes = b"") -> bytes:
    """Make a zip member whose sizes stand before its data and again, with the CRC, behind them."""
    packed = deflated(data) + excess
    header = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, flags, 8, 0, 0, 0, len(packed), len(data), len(name), 0)
    return header + name + packed + mark + struct.pack("<III", zlib.crc32(data), len(packed), len(data))


@pytest.mark.parametrize("mark", [b"PK\x07\x08", b""])
def test_sizes_before_and_behind_the_data(mark: bytes) -> None:
    data = described(b"a.log", LOG, mark=mark) + described(b"excess.log", LOG, mark=mark, excess=bytes(5000))
    data += (
        described(b"secret.log", LOG, 9, mark=mark) + described(b"z.log", OTHER, mark=mark) + b"PK\x05\x06" + bytes(18)
    )
    found = read("-", stdin=data, limits=Limits(held_bytes=10))
    assert found.data == {"a.log": LOG, "excess.log": LOG, "z.log": OTHER}
    assert (list(found.refused), found.damaged, found.broken) == (["secret.log"], {}, {})
    wrong = data.replace(struct.pack("<I", zlib.crc32(LOG)), b"\0\0\0\0", 1)
    found = read("-", stdin=wrong, limits=Limits(held_bytes=10))
    assert found.data == {"a.log": LOG, "excess.log": LOG, "z.log": OTHER}
    assert found.damaged == {"a.log": "wrong CRC: what was read is not what was stored"}


def test_the_place_of_a_damaged_header_in_a_zip_that_is_not_held() -> None:
    data = bytearray(zipped({"a.log": LOG, "bad.log": LOG, "c.log": OTHER}))
    at = data.index(b"PK\x03\x04", 4)
    data[at] ^= 1
    found = read("-", stdin=bytes(data), limits=Limits(held_bytes=100))
    assert found.data == {"a.log": LOG, "c.log": OTHER}
    assert found.broken == {"-": f"damaged at byte {at}: no member there; read on from the next one"}


def lzma_without_end_mark(data: bytes) -> bytes:
    """Encode data as LZMA literals (lc=3, lp=0, pb=2) and no end mark, which the encoders at hand always write."""
    low, width, cache, pending = 0, 0xFFFFFFFF, 0, 0
    out = bytearray()
    odds: dict[tuple[int, ...], int] = {}

    def shift() -> None:
        nonlocal low, cache, pending
        if low < 0xFF000000 or low > 0xFFFFFFFF:
            out.append(cache + (low >> 32) & 0xFF)
            out.extend([0xFF + (low >> 32) & 0xFF] * pending)
            cache, pending = low >> 24 & 0xFF, 0
        else:
            pending += 1
        low = (low & 0x00FFFFFF) << 8

    def encode(context: tuple[int, ...], bit: int) -> None:
        nonlocal low, width
        odd = odds.get(context, 1024)
        bound = (width >> 11) * odd
        if bit:
            low, width = low + bound, width - bound
            odds[context] = odd - (odd >> 5)
        else:
            width = bound
            odds[context] = odd + (2048 - odd >> 5)
        while width < 1 << 24:
            width <<= 8
            shift()

    for at, byte in enumerate(data):
        encode((0, at & 3), 0)
        symbol = 1
        for place in range(7, -1, -1):
            bit = byte >> place & 1
            encode((1, data[at - 1] >> 5 if at else 0, symbol), bit)
            symbol = symbol << 1 | bit
    for _ in range(5):
        shift()
    return struct.pack("<BBHBI", 9, 4, 5, 93, 1 << 16) + bytes(out)


def test_lzma_without_an_end_mark_ends_at_its_size() -> None:
    packed, crc = lzma_without_end_mark(LOG), zlib.crc32(LOG)
    fields = struct.pack("<5H3I2H", 20, 0, 14, 0, 0, crc, len(packed), len(LOG), 5, 0)
    local = b"PK\x03\x04" + fields + b"a.log" + packed
    central = b"PK\x01\x02\x14\0" + fields + bytes(14) + b"a.log"
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local), 0)
    for limits in (Limits(), Limits(held_bytes=10)):
        assert whole("-", stdin=local + central + end, limits=limits) == {"a.log": LOG}


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
    text = big(12_000)
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


@pytest.mark.parametrize("packing", ["", "gz", "zst"])
def test_a_tar_cut_in_the_middle(packing: str) -> None:
    text = big(12_000)
    data = tarred({"a.log": LOG, "big.log": text, "lost.log": OTHER})
    if packing:
        data = COMPRESS[packing](data)
    found = read("-", stdin=data[: len(data) // 2])
    assert found.data["a.log"] == LOG
    assert text.startswith(found.data["big.log"])
    assert len(found.data["big.log"]) > len(text) * 0.2
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
    text = b"x\n" * 3000 + bytes(4096) + b"y\n" * 3000
    data = bytearray(tarred({"a.log": LOG, "bad.log": text, "c.log": OTHER}, tarfile.USTAR_FORMAT))
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


def walked(source: str, data: bytes, limits: Limits, reads: Callable[[int], bool]) -> list[tuple[Any, ...]]:
    """Walk through a bundle and read some of its members: what the walk says of all of them."""
    items: list[tuple[Any, ...]] = []
    with suppress(BundleError):
        for place, item in enumerate(open_bundle([source], pipe(data), limits)):
            if not isinstance(item, Member):
                items.append((type(item), item.name, item.reason))
                continue
            items.append((item.number, item.name, item.modified, item.size))
            assert item.number == place
            if reads(place):
                with suppress(Damaged):
                    for _ in item.chunks():
                        pass
    return items


def survives(data: bytes) -> None:
    """Read bytes as a file, as a pipe and as a pipe too large to hold; only what is documented may be raised.

    Whichever members are read, the walk must be the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "x", data)
        for limits in (Limits(), Limits(held_bytes=20), Limits(total_bytes=100, members=2, depth=1)):
            for source in (str(path), "-"):
                found = tried(source, stdin=data, limits=limits)
                if isinstance(found, str):
                    assert "\n" not in found
                    continue
                assert found.data or found.refused or found.broken
                for name in (*found.data, *found.refused, *found.broken):
                    name.encode()
                if limits.total_bytes > 100:
                    walk = walked(source, data, limits, lambda place: True)
                    assert walked(source, data, limits, lambda place: False) == walk
                    assert walked(source, data, limits, lambda place: place % 2 == 1) == walk


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(max_size=700))
def test_arbitrary_bytes(data: bytes) -> None:
    survives(data)


@settings(max_examples=100, deadline=None, derandomize=True)
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
