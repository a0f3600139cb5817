"""Of which enrollments lines may be that could be put to nobody: by comparing each with all, and what is special."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from capflog.candidates import KEPT, TOGETHER_MS, Candidates, asked_about, candidates
from capflog.rows import NONE
from capflog.story import LATE_MS, SLACK_MS, Story
from tests.scenes import analyzed
from tests.sites import site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.clocks import Alignment
    from capflog.steps import Columns


def stories_at(*spans: tuple[int, int]) -> list[Story]:
    """Enrollments from one time to another, each issued."""
    return [Story(None, begin, end, end, "issued", "EST_ERR_NONE", 0) for begin, end in spans]


@dataclass
class Rows:
    """A table of rows that have no more than times, which stand in groups."""

    time: list[int]
    earliest: list[int]
    latest: list[int]
    groups: list[np.ndarray]

    @property
    def columns(self) -> Columns:
        times = {name: np.array(getattr(self, name), dtype=np.int64) for name in ("time", "earliest", "latest")}
        count = len(self.time)
        table = SimpleNamespace(device=np.full(count, -1))
        return cast("Columns", SimpleNamespace(**times, table=table, source=["nginx"] * count))


def rows_at(*groups: Sequence[tuple[int, int]]) -> Rows:
    """Groups of rows with these bounds; their times are the middles, where both bounds are there."""
    bounds = [bound for group in groups for bound in group]
    ends = np.cumsum([0, *map(len, groups)])
    numbers = [np.arange(first, last) for first, last in pairwise(ends)]
    times = [NONE if NONE in bound else sum(bound) // 2 for bound in bounds]
    return Rows(times, [low for low, _ in bounds], [high for _, high in bounds], numbers)


def found(stories: Sequence[Story], rows: Rows) -> Candidates:
    return candidates(rows.columns, stories, rows.groups)


def listed(stories: Sequence[Story], *groups: Sequence[tuple[int, int]]) -> list[list[int]]:
    return [places.tolist() for places in found(stories, rows_at(*groups))]


def test_an_enrollment_that_was_under_way_may_be_it() -> None:
    begin, end = 100_000, 101_000
    stories = stories_at((begin, end))
    low, high = begin - SLACK_MS, end + SLACK_MS
    assert listed(stories, [(low - 50, low)], [(high, high + 50)], [(begin, end)]) == [[0], [0], [0]]
    assert listed(stories, [(low - 50, low - 1)], [(high + 1, high + 50)]) == [[], []]


def test_who_was_given_up_may_be_answered_late() -> None:
    story = Story(None, 0, 10_038, 10_038, "failed", "EST_ERR_SSL_READ", 35)
    late = 10_038 + LATE_MS
    assert listed([story], [(late, late)], [(late + 1, late + 1)]) == [[0], []]


def test_a_group_is_from_its_first_row_to_its_last() -> None:
    stories = stories_at((10_000, 10_500), (20_000, 20_500), (30_000, 30_500))
    assert listed(stories, [(9_000, 9_000), (12_000, 12_000)], [(15_000, 15_100), (21_000, 21_000)]) == [[0], [1]]
    assert listed(stories, [(9_000, 9_000), (20_000, 20_000)]) == [[0, 1]]


def test_a_row_without_a_bound_is_bounded_by_its_group_or_not_at_all() -> None:
    stories = stories_at((10_000, 10_500), (20_000, 20_500), (30_000, 30_500))
    assert listed(stories, [(20_000, 20_100), (NONE, NONE)]) == [[1]]
    assert listed(stories, [(NONE, 20_000)], [(20_000, NONE)], [(NONE, NONE)]) == [[0, 1], [1, 2], [0, 1, 2]]
    alone = Rows([20_000], [NONE], [NONE], [np.array([0])])
    assert [places.tolist() for places in found(stories, alone)] == [[1]]


def test_without_rows_or_enrollments_there_is_nothing() -> None:
    assert listed([]) == []
    assert listed(stories_at((0, 1))) == []
    assert listed([], [(0, 1)], [(NONE, NONE)]) == [[], []]
    assert listed(stories_at((0, 1)), [], [(0, 1)]) == [[], [0]]


def test_of_very_many_the_nearest_are_told_and_the_others_counted() -> None:
    stories = stories_at(*((1_000 * n, 1_000 * n + 500_000) for n in range(200)))
    rows = rows_at([(150_000, 150_000), (150_000, 150_010)], [(199_000 + 501_000, 800_000)])
    own = found(stories, rows)
    assert own.counts.tolist() == [152, 1]
    assert len(own[0]) == KEPT
    assert set(own[0].tolist()) <= set(range(152))
    assert {149, 150, 151} <= set(own[0].tolist())
    assert own[1].tolist() == [199]
    left = [2 if place < 152 and place not in own[0] else 0 for place in range(200)]
    assert own.beyond.tolist() == left


def test_it_reads_like_a_list() -> None:
    own = found(stories_at((0, 10), (5_000, 5_010)), rows_at([(0, 0)], [(5_000, 5_000)], [(99_000, 99_000)]))
    assert len(own) == 3
    assert [part.tolist() for part in own[:2]] == [[0], [1]]
    assert own[-2].tolist() == [1]
    with pytest.raises(IndexError):
        own[3]


def drawn(seed: int) -> tuple[list[Story], Rows]:
    """Enrollments of several lengths, and groups of which some rows have no bounds."""
    chance = random.Random(seed)
    over = chance.choice([3_000, 60_000, 900_000])
    longest = chance.choice([500, 90_000])
    stories = []
    for _ in range(chance.randrange(300)):
        begin = chance.randrange(over)
        end = begin + chance.choice([chance.randrange(700), chance.randrange(longest)])
        error = chance.choice(["EST_ERR_NONE", "EST_ERR_SSL_READ"])
        stories.append(Story(None, begin, end, end, "issued", error, None))
    bare = chance.choice([0.0, 0.2])
    groups = []
    for _ in range(chance.randrange(120)):
        begin = chance.randrange(-over // 4, over * 2)
        lows = [begin + chance.randrange(1_000) for _ in range(chance.randrange(5))]
        groups.append([
            (NONE if chance.random() < bare else low, NONE if chance.random() < bare else low + chance.randrange(2_000))
            for low in lows
        ])  # fmt: skip
    return stories, rows_at(*groups)


@pytest.mark.parametrize("seed", range(60))
def test_it_finds_what_comparing_each_with_all_finds(seed: int) -> None:
    stories, rows = drawn(seed)
    own = found(stories, rows)
    beyond = [0] * len(stories)
    for group, places in zip(rows.groups, own, strict=True):
        lows = [rows.earliest[row] for row in group.tolist() if rows.earliest[row] != NONE]
        highs = [rows.latest[row] for row in group.tolist() if rows.latest[row] != NONE]
        low, high = min(lows, default=-(10**12)), max(highs, default=10**12)
        high = max(low, high)
        meeting = [
            place
            for place, story in enumerate(stories)
            if len(group) and story.begin - SLACK_MS <= high and low <= story.until
        ]
        assert len(places) == min(len(meeting), KEPT)
        assert set(places.tolist()) <= set(meeting)
        assert sorted(places.tolist()) == places.tolist()
        for place in set(meeting) - set(places.tolist()):
            beyond[place] += len(group)
    assert own.beyond.tolist() == beyond
    assert [len(places) for places in own] == np.minimum(own.counts, KEPT).tolist()


def test_a_storm_takes_a_second_or_so() -> None:
    """100,000 enrollments in a day and a million rows: measured with plenty of room for a busy machine."""
    chance = np.random.default_rng(1)
    begins = np.sort(chance.integers(0, 86_400_000, 100_000)).tolist()
    stories = stories_at(*((begin, begin + 600) for begin in begins))
    at = np.sort(chance.integers(0, 86_400_000, 100_000)).repeat(10)
    times: dict[str, Any] = {"time": at, "earliest": at, "latest": at + 999}
    start = time.perf_counter()
    own = candidates(cast("Columns", SimpleNamespace(**times)), stories, np.split(np.arange(len(at)), 100_000))
    assert time.perf_counter() - start < 10
    assert len(own.places) > 100_000


# ---- which groups can be asked about --------------------------------------------------------------------------------


def asked(rows: Rows, *, known: bool = True, sources: str = "nginx capf iis", of: str = "nginx") -> list[list[int]]:
    columns = cast("Any", rows.columns)
    columns.source = [of] * len(rows.time)
    alignment = cast("Alignment", SimpleNamespace(iis_known=known, sources=set(sources.split())))
    return [group.tolist() for group in asked_about(columns, rows.groups, alignment)]


def test_groups_come_in_the_order_of_time() -> None:
    assert asked(rows_at([(9_000, 9_000)], [], [(1_000, 2_000)], [(NONE, 500)])) == [[2], [1], [0]]


def test_a_heap_is_taken_apart_by_seconds() -> None:
    late = TOGETHER_MS + 5_000
    rows = rows_at([(5_000, 5_100), (late, late), (5_200, 5_300), (late + 1_000, late + 1_000), (NONE, NONE)])
    assert sorted(asked(rows)) == [[0, 2], [1], [3], [4]]
    assert asked(rows_at([(5_000, 5_000), (5_000 + TOGETHER_MS, 5_000 + TOGETHER_MS)])) == [[0, 1]]


def test_where_nothing_tells_the_clock_of_iis_its_lines_may_be_of_nobody() -> None:
    rows = rows_at([(0, 1)], [(5, 6)])
    assert asked(rows, known=False, of="iis") == []
    assert asked(rows, known=False, of="httperr") == []
    assert asked(rows, known=False, of="nginx") == [[0], [1]]
    assert asked(rows, known=False, of="iis", sources="iis") == [[0], [1]]
    assert asked(rows, known=True, of="iis") == [[0], [1]]


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_of_an_analysis_the_groups_are_rows_that_belong_to_nobody(seed: int) -> None:
    analysis = analyzed(*site(seed).members)
    taken = np.concatenate([story.order for story in analysis.stories])
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *analysis.strays])
    assert len(np.unique(rows)) == len(rows)
    assert not np.isin(rows, taken).any()
    assert len(analysis.candidates) == len(analysis.strays)
    assert len(analysis.candidates.beyond) == len(analysis.stories)
