"""Enrollments get their rows, and these the order in which things happened: of many enrollments at once.

CES and the CA work between CAPF's call and CAPF's answer, and the CA answers a step before CES tells of it: that
narrows the bounds of their lines, and puts those in order whose times cannot tell it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.events import SOURCES
from capflog.rows import NONE
from capflog.steps import ANSWER, CHAIN, STEP, STEP_NAMES, known_time, places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.steps import Columns
    from capflog.story import Story

#: So many enrollments are put in order at once: what is needed for it stays small, and their times, one enrollment's
#: behind the other's, fit into 63 bits (a time of this calendar has 49). At most 65,536, for numbers of 16 bits.
_AT_ONCE = 4096

_CAPF, _NGINX = SOURCES.index("capf"), SOURCES.index("nginx")

_LOGIN, _FORM, _SECOND, _CONNECT, _ANSWERED = (
    STEP_NAMES.index(name) for name in ("login", "form", "second-login", "connect", "answer")
)


@dataclass(frozen=True, slots=True)
class Given:
    """Rows of a log that were given to enrollments: of each row the enrollment's number, and whether it is likely."""

    owner: np.ndarray
    rows: np.ndarray
    likely: np.ndarray

    @staticmethod
    def of(owner: np.ndarray, rows: np.ndarray, likely: np.ndarray) -> Given:
        """Put them in the order of the enrollments; those that were given to none (-1) are left out."""
        order = np.argsort(owner, kind="stable")
        order = order[np.searchsorted(owner[order], 0) :]
        return Given(owner[order], rows[order], likely[order])


def put_in_order(columns: Columns, stories: Sequence[Story], given: Sequence[Given]) -> np.ndarray:
    """Give the enrollments their rows, in the order in which things happened, and move times within their bounds.

    Of those that no device is known of the times of their lines tell when they began and ended. Gives back the first
    row of the table of each.
    """
    first = np.zeros(len(stories), dtype=np.int64)
    for begin in range(0, len(stories), _AT_ONCE):
        some = stories[begin : begin + _AT_ONCE]
        numbers = [np.repeat(np.arange(len(some)), [len(story.order) for story in some])]
        parts = [story.order for story in some]
        for each in given:
            lo, hi = np.searchsorted(each.owner, (begin, begin + len(some))).tolist()
            numbers.append(each.owner[lo:hi] - begin)
            parts.append(each.rows[lo:hi])
            _take_likely(some, numbers[-1][each.likely[lo:hi]], parts[-1][each.likely[lo:hi]])
        number, rows = np.concatenate(numbers), np.concatenate(parts)
        by_place = _turns(number, places(columns, rows), None)
        number, rows = number[by_place], rows[by_place]
        bounds = _Bounds.of(some)
        _tighten(columns, bounds, number, rows)
        number, rows = _in_sequence(columns, bounds, number, rows)
        ends = np.searchsorted(number, np.arange(len(some) + 1))
        for story, lo, hi in zip(some, ends.tolist(), ends[1:].tolist(), strict=False):
            story.order = rows[lo:hi]
        full = np.flatnonzero(ends[1:] > ends[:-1])
        if len(full):
            first[begin + full] = np.minimum.reduceat(rows, ends[full])
        _bound_by_lines(columns, some)
    return first


def _turns(number: np.ndarray, values: np.ndarray, stage: np.ndarray | None) -> np.ndarray:
    """Tell how rows are sorted by enrollment, stage and value (NONE comes first); equal ones stay in their order."""
    known = values != NONE
    least = int(values.min(initial=np.iinfo(np.int64).max, where=known))
    span = int(values.max(initial=least, where=known)) - least + 2
    stages = 1 if stage is None else 256
    if span * stages * (int(number.max(initial=0)) + 1) >= np.iinfo(np.int64).max:
        keys = (values, number.astype(np.uint16))
        return np.lexsort(keys if stage is None else (keys[0], stage, keys[1]))
    key = number if stage is None else number * stages + stage
    key = key * span
    key += np.where(known, values - (least - 1), 0)
    # Each log's rows are in their order: what is sorted in long stretches is sorted fast.
    return np.argsort(key, kind="stable")


def _take_likely(stories: Sequence[Story], number: np.ndarray, rows: np.ndarray) -> None:
    cuts = np.flatnonzero(np.diff(number)) + 1
    for which, part in zip(number[[0, *cuts]].tolist() if len(number) else (), np.split(rows, cuts), strict=False):
        stories[which].likely |= frozenset(part.tolist())


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Of each enrollment: whether CAPF tells of it, and of its answer; begin and end; whether CAPF gave up."""

    known: np.ndarray
    answered: np.ndarray
    gave_up: np.ndarray
    begin: np.ndarray
    end: np.ndarray

    @staticmethod
    def of(stories: Sequence[Story]) -> _Bounds:
        return _Bounds(
            np.array([story.device is not None for story in stories], dtype=bool),
            np.array([story.answered is not None for story in stories], dtype=bool),
            np.array([story.gave_up for story in stories], dtype=bool),
            np.array([story.begin for story in stories], dtype=np.int64),
            np.array([story.end for story in stories], dtype=np.int64),
        )


def _tighten(columns: Columns, bounds: _Bounds, number: np.ndarray, rows: np.ndarray) -> None:
    """Narrow the bounds of CES's and the CA's records: they came after CAPF's call and before CAPF's answer.

    CES goes on after CAPF gave up, so then the answer is no bound.
    """
    mine = np.flatnonzero((columns.table.source[rows] != _CAPF) & bounds.known[number])
    number, rows = number[mine], rows[mine]
    begin, end = bounds.begin[number], bounds.end[number]
    low, high = columns.earliest[rows], columns.latest[rows]
    near = ((high == NONE) | (high >= begin)) & (low <= end)
    number, rows, begin, end = number[near], rows[near], begin[near], end[near]
    low, high, at = low[near], high[near], columns.time[rows]
    columns.earliest[rows] = np.maximum(low, begin)
    ended = bounds.answered[number] & ~bounds.gave_up[number]
    high = np.where(ended, np.where(high == NONE, end, np.minimum(high, end)), high)
    columns.latest[rows] = high
    moved = np.maximum(at, begin)
    moved = np.where(high == NONE, moved, np.minimum(moved, high))
    columns.time[rows] = np.where(at == NONE, NONE, moved)


def _in_sequence(
    columns: Columns, bounds: _Bounds, number: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put rows, which are sorted by enrollment and place, in the order of what happened; where times cannot tell it, by
    the steps. Times of whole seconds are moved within their bounds, so that they rise in that order.
    """
    source, at = columns.table.source[rows], columns.time[rows]
    # Those that CAPF tells nothing of, or no answer of, are in the order of time.
    told = bounds.known[number] & bounds.answered[number]
    late = np.where(source == _CAPF, at >= bounds.end[number], at > bounds.end[number])
    stage = np.zeros(len(rows), dtype=np.uint8)
    others = np.flatnonzero(told & (source != _CAPF))
    stage[others] = _progress(columns, number[others], rows[others], source[others])
    stage[told & late] = 255
    order = _turns(number, known_time(columns, rows), stage)
    number, rows, source, at, told = number[order], rows[order], source[order], at[order], told[order]
    if not len(rows):
        return number, rows
    stamped = at != NONE
    least, span = int(at.min(initial=0, where=stamped)), 0
    span = int(at.max(initial=0, where=stamped)) - least + 2
    # The latest time so far within each enrollment: each has the span of all times for itself.
    ahead = number * span
    last = np.maximum.accumulate(np.where(stamped, at - least + 1, 0) + ahead) - ahead + least - 1
    high = columns.latest[rows]
    behind = told & stamped & (source != _CAPF) & (at < last)
    moved = np.where(high == NONE, last, np.maximum(at, np.minimum(last, high)))
    columns.time[rows[behind]] = moved[behind]
    return number, rows


def _progress(columns: Columns, number: np.ndarray, rows: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Tell how far each log has come with its enrollment at each row, as twice the step's place; CES tells of a step
    after the CA.
    """
    marks = columns.marks(rows)
    step = (marks & STEP).astype(np.int64)
    log = number * len(SOURCES) + source
    opened = _highest(log, (step == _FORM).astype(np.int64), 2) > 0
    step[(step == _LOGIN) & opened] = _SECOND
    come = np.where((step == 0) | (step == CHAIN), 0, 2 * step + (source == _NGINX))
    come[(marks & ANSWER) != 0] = 2 * _ANSWERED
    return _highest(log, np.maximum(come, 2 * _CONNECT), 64)


def _highest(group: np.ndarray, values: np.ndarray, above: int) -> np.ndarray:
    """Give the highest value so far within each group; groups rise, values are from 0 to below ``above``."""
    found: np.ndarray = np.maximum.accumulate(group * above + values) - group * above
    return found


def _bound_by_lines(columns: Columns, stories: Sequence[Story]) -> None:
    """Say of enrollments without a device when they began and ended, by the times that their lines bear."""
    nameless = [story for story in stories if story.device is None and len(story.order)]
    if not nameless:
        return
    moments = columns.moments(np.concatenate([story.order for story in nameless]))
    cuts = np.cumsum([0, *(len(story.order) for story in nameless[:-1])])
    lasts = np.maximum.reduceat(moments, cuts).tolist()
    firsts = np.minimum.reduceat(np.where(moments == NONE, np.iinfo(np.int64).max, moments), cuts).tolist()
    for story, first, last in zip(nameless, firsts, lasts, strict=True):
        if last != NONE:
            story.started, story.ended = first, last
