"""Timelines come back from their packing as they went in."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.model import Enrollment, Outcome, Record, Row, Timeline
from capflog.packing import dump, pack, parts_of, seal
from capflog.unpacking import Lines, UnreadableError, load, timeline_of, unpack_lines, unpack_sheaf, unseal
from capflog.zones import Zone, named

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

EASTERN = Zone.fixed(-18_000)

# Lone surrogates (an odd file name), NUL, line ends, ESC: whatever a log or an archive may hold.
texts = st.text(st.characters(exclude_categories=()), max_size=30)
names = st.one_of(st.sampled_from(["capf", "iis", ""]), texts)
lines = st.integers(min_value=1, max_value=2**53)


def times(*, microseconds: bool = False) -> SearchStrategy[datetime | None]:
    moments = st.datetimes(timezones=st.just(UTC))
    if not microseconds:
        moments = moments.map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))
    return st.none() | moments


def zones() -> SearchStrategy[Zone]:
    """Zones that never change, that did some times, and those of the world."""
    changes = st.lists(st.integers(-(2**45), 2**45), max_size=4, unique=True).map(sorted).map(tuple)
    offsets = st.integers(-86_399_999, 86_399_999)
    made = changes.flatmap(lambda c: st.builds(Zone, names, st.tuples(*[offsets] * (len(c) + 1)), st.just(c)))
    return st.one_of(st.integers(-43_200, 50_400).map(Zone.fixed), made, st.just(named("America/New_York")))


def timelines(*, microseconds: bool = False) -> SearchStrategy[Timeline]:
    moments = times(microseconds=microseconds)
    rows = st.builds(
        Row,
        time=moments,
        earliest=moments,
        latest=moments,
        source=names,
        member=names,
        line=lines,
        level=st.none() | names,
        event=names,
        text=texts,
        enrollment=st.none() | names,
        confidence=st.none() | names,
        step=st.none() | names,
        mark=names,
    )
    enrollments = st.builds(
        Enrollment,
        id=names,
        device=st.none() | names,
        started=moments,
        ended=moments,
        outcome=st.sampled_from(get_args(Outcome)),
        reached=names,
        missing=st.none() | names,
        est_error=st.none() | names,
        est_value=st.none() | st.integers(),
        records=st.just([]),
        causes=st.lists(names, max_size=3),
    )
    return st.builds(
        Timeline,
        device=texts,
        bundle=texts,
        zone=st.none() | zones(),
        enrollments=st.lists(enrollments, max_size=3),
        rows=st.lists(rows, max_size=6),
        findings=st.dictionaries(names, texts, max_size=3),
        lacking=st.lists(texts, max_size=3),
        assumed=st.booleans(),
        aligned=st.booleans(),
    )


def packed(*found: Timeline) -> tuple[list[bytes], list[bytes]]:
    """Pack timelines: the blocks of lines, and the sheaves."""
    parts = list(parts_of(found, 1 << 20))
    lines = [pack(part) for part in parts if isinstance(part, Lines)]
    return lines, [pack(part) for part in parts if not isinstance(part, Lines)]


def back(timeline: Timeline) -> Timeline:
    """Pack a timeline and read it back."""
    lines, (sheaf,) = packed(timeline)
    return timeline_of(unpack_sheaf(sheaf), 0, lambda _: map(unpack_lines, lines))


steady = settings(deadline=None, derandomize=True, database=None, max_examples=60)


@steady
@given(timelines())
def test_a_timeline_comes_back_as_it_was(timeline: Timeline) -> None:
    assert back(timeline) == timeline


@steady
@given(timelines(microseconds=True))
def test_microseconds_come_back_too(timeline: Timeline) -> None:
    assert back(timeline) == timeline


@steady
@given(st.lists(timelines(), max_size=4), st.integers(1, 60))
def test_timelines_of_many_blocks_come_back(found: list[Timeline], size: int) -> None:
    parts = list(parts_of(found, size))
    lines = [unpack_lines(pack(part)) for part in parts if isinstance(part, Lines)]
    sheaves = [unpack_sheaf(pack(part)) for part in parts if not isinstance(part, Lines)]
    places = [(sheaf, place) for sheaf in sheaves for place in range(len(sheaf.timelines))]
    assert [timeline_of(sheaf, place, lambda _: lines) for sheaf, place in places] == found
    assert all(len(block.number) for block in lines)


def test_the_order_of_findings_stays() -> None:
    timeline = Timeline("SEP1", "b", None, [], [], {"z": "last", "a": "first"})
    assert list(back(timeline).findings) == ["z", "a"]


@pytest.mark.parametrize("assumed", [True, False])
@pytest.mark.parametrize("aligned", [True, False])
def test_what_is_known_of_the_times_comes_back(assumed: bool, aligned: bool) -> None:
    timeline = back(Timeline("SEP1", "b", EASTERN, [], [], assumed=assumed, aligned=aligned, ahead_ms=-2400))
    assert (timeline.assumed, timeline.aligned) == (assumed, aligned)


@pytest.mark.parametrize(
    "zone",
    [7, "UTC", [], ["UTC"], ["UTC", [0, 1], []], ["UTC", [10**9], []], ["UTC", ["x"], []], ["UTC", [0] * 3, [2, 1]]],
)
def test_what_is_no_zone_is_unreadable(zone: object) -> None:
    head = [1000, [["b", zone, False, True, 0, []]], [["SEP1", 0, [], {}, 0, 0]], [0], [], [0], [["i1", 0]] * 6]
    with pytest.raises(UnreadableError):
        unpack_sheaf(dump(head) + b"\n")
    head[1] = [["b", None, False, True, 0, []]]
    assert unpack_sheaf(dump(head) + b"\n").timelines == [Timeline("SEP1", "b", None, [], [])]


def test_two_surrogates_do_not_become_one_character() -> None:
    timeline = Timeline("SEP1", "\ud83d\ude00 \x00 \udc80", None, [], [])
    assert back(timeline).bundle == "\ud83d\ude00 \x00 \udc80"


def test_a_time_comes_back_in_utc_whatever_zone_it_bore() -> None:
    local = datetime(2024, 5, 6, 14, 5, 4, 628000, tzinfo=timezone(timedelta(hours=-5)))
    row = Row(local, local, local, "capf", "m", 1, None, "e", "t", None, None, None, "")
    time = back(Timeline("SEP1", "b", EASTERN, [], [row])).rows[0].time
    assert time == local
    assert time is not None
    assert time.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2024, 5, 6)  # noqa: DTZ001
    row = Row(naive, None, None, "capf", "m", 1, None, "e", "t", None, None, None, "")
    with pytest.raises(TypeError):
        back(Timeline("SEP1", "b", None, [], [row]))


def test_a_line_without_a_time_keeps_its_bounds() -> None:
    at = datetime(2024, 5, 6, 10, tzinfo=UTC)
    known = Row(at, at, at, "capf", "m", 5, None, "e", "t", None, None, None, "")
    between = Row(None, at, at + timedelta(seconds=9), "ciscora", "n", 2, "warn", "e", "t", None, None, None, "cause")
    timeline = Timeline("SEP1", "b", None, [], [between, known, between])
    assert back(timeline) == timeline


def test_records_of_enrollments_are_left_out() -> None:
    record = Record("m", 1, "capf", "e", None, None, None, "certain", "secret words")
    bare = Enrollment("e1", "SEP1", None, None, "failed", "call", None, None, None, [])
    timeline = Timeline("SEP1", "b", None, [replace(bare, records=[record])], [])
    assert back(timeline).enrollments == [bare]
    assert not any(b"secret words" in block for blocks in packed(timeline) for block in blocks)


def test_numbers_out_of_a_data_frame_are_taken() -> None:
    row = Row(None, None, None, "capf", "m", np.int64(7), None, "e", "t", None, None, None, "")  # type: ignore[arg-type]
    zone = Zone("UTC-05:00", (np.int64(-18_000_000),))  # type: ignore[arg-type]
    assert back(Timeline("SEP1", "b", zone, [], [row])) == Timeline("SEP1", "b", EASTERN, [], [row])


@pytest.mark.parametrize("data", [b"", b"a", b"debug " * 1000, bytes(range(256))])
def test_what_was_sealed_comes_back(data: bytes) -> None:
    assert unseal(seal(data)) == data


def test_a_changed_byte_anywhere_breaks_the_seal() -> None:
    blob = seal(b"SEP0011223344AA " * 20)
    for place in range(len(blob)):
        changed = bytearray(blob)
        changed[place] ^= 0x10
        with pytest.raises(UnreadableError):
            unseal(bytes(changed))


def test_a_cut_blob_breaks_the_seal() -> None:
    blob = seal(b"SEP0011223344AA " * 20)
    for length in range(len(blob)):
        with pytest.raises(UnreadableError):
            unseal(blob[:length])


@pytest.mark.parametrize("odd", [None, 7, "CL\x01", b"CL\x02" + seal(b"a")[3:]])
def test_what_is_no_blob_of_this_version_breaks_the_seal(odd: object) -> None:
    with pytest.raises(UnreadableError):
        unseal(odd)


@pytest.mark.parametrize("odd", [b"", b"{", b"\xff\xfe", b"[1,2", b"nul"])
def test_what_is_no_packed_text_is_unreadable(odd: bytes) -> None:
    with pytest.raises(UnreadableError):
        load(odd)


@pytest.mark.parametrize(
    "odd", [7, [], {}, "x", ["SEP1"] * 3, ["SEP1"] * 6, [None] * 3, [None] * 6, [[]] * 3, [[]] * 6, [1000, [], [[]]]]
)
@pytest.mark.parametrize("rest", [b"", b"\n", b"\n" + bytes(64)])
def test_what_is_no_packed_block_is_unreadable(odd: object, rest: bytes) -> None:
    for read in (unpack_lines, unpack_sheaf):
        with pytest.raises(UnreadableError):
            read(dump(odd) + rest)


def test_a_timeline_whose_lines_are_not_kept_is_unreadable() -> None:
    row = Row(None, None, None, "capf", "m", 1, None, "e", "t", None, None, None, "")
    _, (sheaf,) = packed(Timeline("SEP1", "b", None, [], [row]))
    with pytest.raises(UnreadableError):
        timeline_of(unpack_sheaf(sheaf), 0, lambda _: [])


def test_a_line_that_two_timelines_show_is_read_for_both() -> None:
    row = Row(None, None, None, "capf", "m", 1, None, "e", "t", None, None, None, "")
    lines, (sheaf,) = packed(Timeline("SEP1", "b", None, [], [row]), Timeline("SEP2", "b", None, [], [row]))
    both = unpack_sheaf(sheaf)
    both.number = [0, 0]
    assert [timeline_of(both, place, lambda _: map(unpack_lines, lines)).rows for place in (0, 1)] == [[row], [row]]
