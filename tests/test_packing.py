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
from capflog.packing import UnreadableError, dump, load, pack, seal, unpack, unseal

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# Lone surrogates (an odd file name), NUL, line ends, ESC: whatever a log or an archive may hold.
texts = st.text(st.characters(exclude_categories=()), max_size=30)
names = st.one_of(st.sampled_from(["capf", "iis", ""]), texts)
lines = st.integers(min_value=1, max_value=2**53)


def times(*, microseconds: bool = False) -> SearchStrategy[datetime | None]:
    moments = st.datetimes(timezones=st.just(UTC))
    if not microseconds:
        moments = moments.map(lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000))
    return st.none() | moments


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
        utc_offset_seconds=st.none() | st.integers(-86400, 86400),
        enrollments=st.lists(enrollments, max_size=3),
        rows=st.lists(rows, max_size=6),
        findings=st.dictionaries(names, texts, max_size=3),
        lacking=st.lists(texts, max_size=3),
        assumed=st.booleans(),
    )


steady = settings(deadline=None, derandomize=True, database=None, max_examples=60)


@steady
@given(timelines())
def test_a_timeline_comes_back_as_it_was(timeline: Timeline) -> None:
    assert unpack(pack(timeline)) == timeline


@steady
@given(timelines(microseconds=True))
def test_microseconds_come_back_too(timeline: Timeline) -> None:
    assert unpack(pack(timeline)) == timeline


@steady
@given(timelines())
def test_a_packed_timeline_is_one_line(timeline: Timeline) -> None:
    assert b"\n" not in pack(timeline)


def test_the_order_of_findings_stays() -> None:
    timeline = Timeline("SEP1", "b", None, [], [], {"z": "last", "a": "first"})
    assert list(unpack(pack(timeline)).findings) == ["z", "a"]


@pytest.mark.parametrize("assumed", [True, False])
def test_whether_the_zone_is_assumed_comes_back(assumed: bool) -> None:
    timeline = Timeline("SEP1", "b", -18000, [], [], assumed=assumed)
    assert unpack(pack(timeline)).assumed is assumed


def test_two_surrogates_do_not_become_one_character() -> None:
    timeline = Timeline("SEP1", "\ud83d\ude00 \x00 \udc80", None, [], [])
    assert unpack(pack(timeline)).bundle == "\ud83d\ude00 \x00 \udc80"


def test_a_time_comes_back_in_utc_whatever_zone_it_bore() -> None:
    local = datetime(2024, 5, 6, 14, 5, 4, 628000, tzinfo=timezone(timedelta(hours=-5)))
    row = Row(local, local, local, "capf", "m", 1, None, "e", "t", None, None, None, "")
    time = unpack(pack(Timeline("SEP1", "b", -18000, [], [row]))).rows[0].time
    assert time == local
    assert time is not None
    assert time.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2024, 5, 6)  # noqa: DTZ001
    row = Row(naive, None, None, "capf", "m", 1, None, "e", "t", None, None, None, "")
    with pytest.raises(TypeError):
        pack(Timeline("SEP1", "b", None, [], [row]))


def test_a_line_without_a_time_keeps_its_bounds() -> None:
    at = datetime(2024, 5, 6, 10, tzinfo=UTC)
    known = Row(at, at, at, "capf", "m", 5, None, "e", "t", None, None, None, "")
    between = Row(None, at, at + timedelta(seconds=9), "ciscora", "n", 2, "warn", "e", "t", None, None, None, "cause")
    timeline = Timeline("SEP1", "b", None, [], [between, known, between])
    assert unpack(pack(timeline)) == timeline


def test_records_of_enrollments_are_left_out() -> None:
    record = Record("m", 1, "capf", "e", None, None, None, "certain", "secret words")
    bare = Enrollment("e1", "SEP1", None, None, "failed", "call", None, None, None, [])
    packed = pack(Timeline("SEP1", "b", None, [replace(bare, records=[record])], []))
    assert unpack(packed).enrollments == [bare]
    assert b"secret words" not in packed


def test_numbers_out_of_a_data_frame_are_taken() -> None:
    row = Row(None, None, None, "capf", "m", np.int64(7), None, "e", "t", None, None, None, "")  # type: ignore[arg-type]
    assert unpack(pack(Timeline("SEP1", "b", np.int64(-18000), [], [row]))).rows[0].line == 7  # type: ignore[arg-type]


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


@pytest.mark.parametrize("odd", [7, [], {}, "x", ["SEP1"] * 14, ["SEP1"] * 15, [None] * 15, [[]] * 15])
def test_what_is_no_packed_timeline_is_unreadable(odd: object) -> None:
    with pytest.raises(UnreadableError):
        unpack(dump(odd))
