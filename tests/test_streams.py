"""Compressed logs, whole, cut and damaged."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from capflog import streams
from capflog.streams import Damaged, Stream, inflate, pieces_of
from tests.bundles import COMPRESS, LOG, OTHER, all_inflated, big, deflated, pipe, put, read, whole, zipped

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["igzip", "zlib"], autouse=True)
def inflater(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every test with either; where isal is not installed both are zlib."""
    name: str = request.param
    if name == "zlib":
        monkeypatch.setattr(streams, "igzip", None)
        monkeypatch.setattr(streams, "crc32", zlib.crc32)
    return name


@pytest.mark.parametrize("packing", COMPRESS)
def test_a_compressed_log_keeps_its_name_whatever_that_is(tmp_path: Path, packing: str) -> None:
    text = big(9_000)
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
    text = big(12_000)
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


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
@pytest.mark.parametrize("inside", [False, True])
def test_a_cut_gzip_gives_all_that_it_holds(share: float, inside: bool) -> None:
    text = big(12_000)
    data = gzip.compress(text)
    cut = data[: int(len(data) * share)]
    name = "a.txt.gz" if inside else "-"
    found = read("-", stdin=zipped({"a.txt.gz": cut}) if inside else cut)
    assert found.data[name] == all_inflated(cut[10:])
    assert len(found.data[name]) > len(text) * (share - 0.05)
    assert found.damaged == {name: "truncated: its compressed data end in the middle"}


def test_what_zlib_has_made_but_not_yet_given_counts() -> None:
    data = gzip.compress(bytes(3_000_000) + LOG)
    # Some of these ends lie where one call's worth, 512 KiB, is full in the middle of a repetition.
    for end in range(500, 560):
        assert read("-", stdin=data[:end]).data["-"] == all_inflated(data[10:end])


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
    text = big(30_000)
    data = COMPRESS[packing](text)
    found = read("-", stdin=data[: len(data) // 2])
    assert found.damaged == {"-": "truncated: its compressed data end in the middle"}
    assert text.startswith(found.data["-"])
    # bzip2 has nothing to give of a block that is not whole.
    assert len(found.data["-"]) > len(text) * 0.3
    bad = bytearray(data)
    bad[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    found = read("-", stdin=bytes(bad))
    assert found.damaged["-"].startswith("damaged at byte ")
    assert len(found.data["-"]) > len(text) * 0.2


def test_a_damaged_gzip_gives_every_byte_before_the_fault() -> None:
    text = big(12_000)
    data = bytearray(gzip.compress(text))
    middle = len(data) // 2
    for seed in range(6):
        bad = bytearray(data)
        at = middle + seed * 497
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


def drained(stream: Stream) -> tuple[bytes, str | None, bytes]:
    """Inflate: what came, why it ended early, and what stands behind it."""
    made: list[bytes] = []
    damage = None
    try:
        made += inflate(stream)
    except Damaged as damaged:
        damage = str(damaged)
    return b"".join(made), damage, stream.read(8)


def streams_of(data: bytes) -> Iterator[Stream]:
    """Give data as a file, in one piece, and as a pipe."""
    yield Stream.over(io.BytesIO(b"before" + data), 6, len(data))
    yield Stream.over(io.BytesIO(data))
    yield Stream([data])
    yield Stream(pieces_of(pipe(data)))


@pytest.mark.parametrize("kept", [4 << 20, 70_000, 0])
def test_a_fault_far_behind_the_start_is_found_to_the_byte(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEPT", kept)
    text = big(120_000)
    data = deflated(text)
    assert len(data) > 20 * streams.FEED
    for share in (0.01, 0.3, 0.98):
        packer = zlib.compressobj(wbits=-15)
        before = text[: int(len(text) * share)]
        good = packer.compress(before) + packer.flush(zlib.Z_SYNC_FLUSH)
        # A block of the reserved type 3.
        for stream in streams_of(good + b"\x07" + bytes(100_000)):
            made, damage, _ = drained(stream)
            assert (made, damage) == (before, f"damaged at byte {len(good)} of its compressed data: invalid block type")
        cut = data[: int(len(data) * share)]
        for stream in streams_of(cut):
            made, damage, _ = drained(stream)
            assert (made, damage) == (all_inflated(cut), "truncated: its compressed data end in the middle")
    for stream in streams_of(data + b"and more"):
        assert drained(stream) == (text, None, b"and more")


def test_a_stream_goes_where_it_is_told_without_reading_what_lies_between() -> None:
    class Counted(io.BytesIO):
        count = 0

        def read1(self, size: int | None = -1, /) -> bytes:
            data = super().read1(size)
            self.count += len(data)
            return data

    text = big(200_000)
    file = Counted(text)
    stream = Stream.over(file, 100)
    assert stream.read(10) == text[100:110]
    stream.skip(4_000_000)
    assert (stream.at, stream.read(10)) == (4_000_010, text[4_000_110:4_000_120])
    assert stream.to(50)
    part = stream.part(3_000_000)
    part.skip(2_000_000)
    assert (part.at, part.read(10)) == (2_000_000, text[2_000_150:2_000_160])
    assert file.count < 200_000
    part.skip(2_000_000)
    assert (part.at, part.damage) == (3_000_000, None)
    # Further than the file reaches: it ends at its end.
    stream.skip(len(text))
    assert (stream.at, stream.read(1), stream.damage) == (len(text) - 100, b"", None)
    assert not Stream([text]).to(5)
