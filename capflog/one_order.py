"""Two logs tell of the same things in the same order: which line of the one is which of the other, and how surely.

Items of either side are about in the order of time; each may lack its partner, two neighbours may have changed places.
All ways to put them side by side are weighed together (the forward-backward algorithm of a pair hidden Markov model;
Durbin et al., Biological Sequence Analysis, chapter 4), so that what is given for an item is the probability of its
partner, and not only the best way.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from capflog import weighing
from capflog.compiling import fast

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How far the band of what is compared may reach for an item, and how many items are weighed together.
_WIDEST, _TOGETHER, _OVERLAP = 400, 2048, 128

#: From so many items on compiled code is worth while.
_COMPILED_FROM = 5_000

#: Beyond any time: what has no bound.
_FAR = 1 << 60

#: No tag: it agrees with none and contradicts none.
NO_TAG = -1


@dataclass(frozen=True, slots=True)
class Side:
    """Items in about the order of time: each was between ``low`` and ``high`` (int64, any unit).

    ``kind``: on the left a number from 0 to 62, on the right a mask of the numbers that an item can be a partner of.
    ``tag``: what is supposed of each from elsewhere, :data:`NO_TAG` where nothing is.
    """

    low: np.ndarray
    high: np.ndarray
    kind: np.ndarray | None = None
    tag: np.ndarray | None = None
    also: tuple[np.ndarray, np.ndarray] | None = None
    """Another span of each, in another unit or of another event: partners' spans meet there, too."""
    lacks: np.ndarray | None = None
    """Of left items: the weight of having no partner, where that differs from one to another."""
    close: np.ndarray | None = None
    """Of right items: the weight of this one and the next having changed places, where it exceeds the usual one."""


class Weights(NamedTuple):
    """What counts how much.

    ``early``, ``late``: how far, in the items' unit, a left item may stand before or behind the span of its partner
    until that weighs e times less; ``reach``: no farther than so many times that; ``least``: what is late weighs so
    much at least. ``apart``: the same of their other spans. ``lacks_left``, ``lacks_right``: an item of that side has
    no partner. ``swapped``: two neighbours changed places. ``unlike``: their tags differ; ``unknown``: one has none.
    """

    early: float
    late: float
    reach: float = 8.0
    lacks_left: float = 0.01
    lacks_right: float = 0.01
    swapped: float = 0.003
    unlike: float = 1.0
    unknown: float = 1.0
    apart: float = 50.0
    least: float = 0.0


class Partners(NamedTuple):
    """The partner of each left item (its place; -1: none is likelier than that there is none), and its probability."""

    partner: np.ndarray
    sure: np.ndarray


def partners(left: Side, right: Side, weights: Weights) -> Partners:
    """Find the right item that each left one is."""
    count = len(left.low)
    partner, sure = np.full(count, -1, dtype=np.int64), np.zeros(count)
    if not count or not len(right.low):
        return Partners(partner, sure)
    first, last = _bands(left, right, weights)
    parts = list(_parts(first, last))
    weigh: Any = weighing.weigh if count < _COMPILED_FROM else fast(weighing).weigh
    columns = [np.ascontiguousarray(column) for column in (*_columns(left, 0), *_columns(right, -1))]
    numbers = [float(value) for name, value in weights._asdict().items() if name != "reach"]

    def weighed(part: tuple[int, int, int, int]) -> None:
        lo, hi, begin, end = part
        own = [column[lo:hi] for column in columns[:7]]
        base = int(first[lo])
        others = [column[base : int(last[hi - 1])] for column in columns[7:]]
        found, told = weigh(*own, *others, first[lo:hi] - base, last[lo:hi] - base, *numbers)
        chosen = found[begin - lo : end - lo]
        partner[begin:end] = np.where(chosen >= 0, chosen + base, -1)
        sure[begin:end] = told[begin - lo : end - lo]

    if count < _COMPILED_FROM:
        for part in parts:
            weighed(part)
    else:
        # Compiled code lets other threads run.
        weighed(parts[0])
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            list(pool.map(weighed, parts[1:]))
    return Partners(partner, sure)


def _columns(side: Side, kind: int) -> Iterator[np.ndarray]:
    count = len(side.low)
    yield np.clip(side.low, -_FAR, _FAR).astype(np.int64)
    yield np.clip(side.high, -_FAR, _FAR).astype(np.int64)
    yield np.full(count, kind, dtype=np.int64) if side.kind is None else side.kind.astype(np.int64)
    yield np.full(count, NO_TAG, dtype=np.int64) if side.tag is None else side.tag.astype(np.int64)
    low, high = (np.full(count, -_FAR), np.full(count, _FAR)) if side.also is None else side.also
    yield np.clip(low, -_FAR, _FAR).astype(np.int64)
    yield np.clip(high, -_FAR, _FAR).astype(np.int64)
    special = side.lacks if kind == 0 else side.close
    yield np.zeros(count) if special is None else special.astype(np.float64)


def _bands(left: Side, right: Side, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Give for each left item the span of right ones that come into question; either end never goes back."""
    early, late = int(weights.early * weights.reach), int(weights.late * weights.reach)
    highs = np.maximum.accumulate(right.high)
    lows = np.minimum.accumulate(right.low[::-1])[::-1]
    first = np.searchsorted(highs, np.maximum(left.low, -_FAR) - late)
    last = np.searchsorted(lows, np.minimum(left.high, _FAR) + early, side="right")
    first = np.minimum.accumulate(first[::-1])[::-1]
    last = np.maximum(np.maximum.accumulate(last), first)
    wide = last - first > _WIDEST
    if wide.any():
        # Nothing narrower is known: the middle is as good as any.
        middle = (first + last) // 2
        first = np.minimum.accumulate(np.where(wide, middle - _WIDEST // 2, first)[::-1])[::-1]
        last = np.maximum.accumulate(np.where(wide, middle + _WIDEST // 2, last))
    return first.astype(np.int64), last.astype(np.int64)


def _parts(first: np.ndarray, last: np.ndarray) -> Iterator[tuple[int, int, int, int]]:
    """Cut left items where none before shares a right one with any behind; long parts with some overlap.

    Yields the span that is weighed, and the span within it that counts.
    """
    cuts = [0, *(np.flatnonzero(first[1:] >= last[:-1]) + 1).tolist(), len(first)]
    at = 0
    for _, hi in pairwise(cuts):
        # Small ones are weighed together: a cut costs more than it spares.
        if hi - at < _TOGETHER // 8 and hi < len(first):
            continue
        begin = at
        while hi - begin > _TOGETHER:
            end = begin + _TOGETHER
            yield max(at, begin - _OVERLAP), min(hi, end + _OVERLAP), begin, end
            begin = end
        yield max(at, begin - _OVERLAP), hi, begin, hi
        at = hi
