"""The offset that most claims hold, of many millions: where intervals overlap most (Marzullo 1984), in parts.

A line here and a line there say of the offset that it lies in an interval. Of a thousand lines on either side that is a
million intervals, but nearly all of them are far from the offset. A few lines tell where it cannot be, and only what is
left is looked at with all of them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: IIS's stamps are whole seconds. (ms)
SECOND_MS = 1000

#: One in so many claims tells where the offset cannot be; first few of them are asked, then more.
_SHARES = (64, 16, 8)

#: About so many intervals are compared at once: each takes some fifty bytes on the way.
_AT_ONCE = 1 << 18

#: What is left is looked at in about so many windows at the most.
_WINDOWS = 64

#: Before and behind every interval. (ms)
_FAR = 1 << 60


class Claims:
    """Lines or calls here, each of which claims that one of the moments there lies between its ``begin`` and ``end``.

    ``there`` (ms, distinct, sorted) is the second in which the moment lies: it allows each offset above ``there - end``
    and below ``there + 1000 - begin``. What one line claims with several moments is one interval where they overlap.
    """

    def __init__(self, there: np.ndarray, begin: np.ndarray, end: np.ndarray) -> None:
        self._there, self._begin, self._end = there, begin, end
        # Moments that overlap for all of the lines need not be told apart.
        apart = np.diff(there) >= SECOND_MS + (end - begin).min()
        self._heads = there[np.append(True, apart)]
        self._tails = there[np.append(apart, True)]
        self._run = np.append(0, np.cumsum(apart))

    def __len__(self) -> int:
        return len(self._begin)

    @property
    def most(self) -> int:
        """How many intervals there may be."""
        return len(self._begin) * len(self._heads)

    @property
    def sound(self) -> bool:
        """Whether each of the intervals ends after it begins: time does not run back between ``begin`` and ``end``."""
        return bool(((self._end - self._begin) > -SECOND_MS).all())

    def intervals(self, window: tuple[int, int], share: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Give what one in ``share`` lines claims within the window as (low, high), in ms.

        An end of it that lies outside of the window need not be the true one.
        """
        begin, end = self._begin[::share], self._end[::share]
        first = np.searchsorted(self._there, window[0] + begin - SECOND_MS, side="left")
        last = np.searchsorted(self._there, window[1] + end, side="right") - 1
        some = np.flatnonzero(last >= first)
        begin, end, first, last = begin[some], end[some], first[some], last[some]
        sizes = self._run[last] - self._run[first] + 1
        line = np.repeat(np.arange(len(sizes)), sizes)
        run = np.arange(len(line)) + (self._run[last] + 1 - np.cumsum(sizes))[line]
        low = np.maximum(self._heads[run], self._there[first][line]) - end[line]
        high = np.minimum(self._tails[run], self._there[last][line]) + SECOND_MS - begin[line]
        heads = np.append(True, (line[1:] > line[:-1]) | (low[1:] >= high[:-1]))[: len(line)]
        return low[heads], high[np.append(heads[1:], True)[: len(line)]]


def most_agreed(claims: Sequence[Claims], limits: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Find the intervals of the offset that most claims hold, in order: (low, high), in ms.

    Only claims that reach into the limits count. Intervals are open: where one ends and another begins in the same
    millisecond they do not agree.
    """
    none = np.zeros(0, dtype=np.int64)
    most, lows, highs = -_FAR, [none], [none]
    for window in _windows(claims, limits):
        low, high, count = _held(claims, limits, window)
        best = int(count.max(initial=-_FAR))
        if best > most:
            most, lows, highs = best, [], []
        if best == most:
            lows.append(low[count == best])
            highs.append(high[count == best])
    return np.concatenate(lows), np.concatenate(highs)


def _windows(claims: Sequence[Claims], limits: tuple[int, int]) -> list[tuple[int, int]]:
    """Tell where the offset that most claims hold can be; windows end where an interval does, so they cut none."""
    whole = [(-_FAR, _FAR)]
    many = sum(one.most for one in claims)
    if many <= _AT_ONCE or not all(one.sound for one in claims):
        return whole
    lines = sum(len(one) for one in claims)
    for share in _SHARES:
        low, high, count = _held(claims, limits, whole[0], share)
        if not len(count):
            continue
        together = max(1, _AT_ONCE // share)
        peak = int(np.argmax(count))
        asked = sum(-(-len(one) // share) for one in claims)
        # What the others hold at the most where those asked hold too little is less than what is held at their peak.
        least = int(_held(claims, limits, (int(low[peak]), int(high[peak])))[2].max(initial=0)) - (lines - asked)
        if least * 2 >= asked:
            return _runs(low, high, np.flatnonzero(count >= least), together)
    edges = [-_FAR, *(high[together:-1:together].tolist() if len(count) else ()), _FAR]
    return list(pairwise(edges))


def _runs(low: np.ndarray, high: np.ndarray, kept: np.ndarray, together: int) -> list[tuple[int, int]]:
    """Put intervals that stand close together into windows."""
    breaks = np.flatnonzero(np.diff(kept) > max(1, len(low) // _WINDOWS)) + 1
    windows: list[tuple[int, int]] = []
    for begin, end in pairwise((0, *breaks.tolist(), len(kept))):
        first, last = int(kept[begin]), int(kept[end - 1])
        windows += [(int(low[k]), int(high[min(k + together - 1, last)])) for k in range(first, last + 1, together)]
    return windows


def _held(
    claims: Sequence[Claims], limits: tuple[int, int], window: tuple[int, int], share: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut the window at each interval's end; gives (low, high, how many hold it) of the pieces."""
    within = max(limits[0], window[0]), min(limits[1], window[1])
    parts = [one.intervals(within, share) for one in claims]
    # Ends sort before the beginnings of the same millisecond.
    key = np.concatenate(
        [np.zeros(0, dtype=np.int64), *(low * 2 + 1 for low, _ in parts), *(high * 2 for _, high in parts)]
    )
    del parts
    key.sort()
    count = np.cumsum((key & 1) * 2 - 1)
    key >>= 1
    count = np.where(np.diff(key) > 0, count[:-1], 0)
    inside = np.flatnonzero((key[:-1] >= window[0]) & (key[1:] <= window[1]))
    return key[inside], key[inside + 1], count[inside]
