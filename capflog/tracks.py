"""How far one clock is ahead of another, as time goes on: the lines that brackets allow, and jumps between them.

A bracket says of one moment that the offset then lay between two bounds. Clocks drift, so what is sought is a straight
line through all brackets; of the lines that pass through them all (a convex polygon of starts and slopes) the middle is
taken, and their reach is the bound. Brackets that contradict the most are left out; where the contradictions begin at
some moment, the clock was set then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

#: No clock that anybody looks at gains or loses more than this (a quartz is good to some 100, a bad virtual machine to
#: some 500 parts in a million).
DRIFT_MAX = 500e-6

#: Where brackets allow it no clock is taken to drift farther than a quartz does: few of them would allow any drift.
DRIFT_USUAL = 60e-6

#: How much quartz clocks differ (standard deviation): of the slopes that are possible small ones are likelier.
_DRIFT_SPREAD = 20e-6

#: Brackets that leave so many times as much room with a greater drift all but contradict a usual one.
_PINCHED = 3

#: From so many brackets on more than a usual drift can be told.
_MANY = 10

#: So many brackets are compared with each other at the most.
_COMPARED = 600

#: A smaller share of contradicting brackets tells of a jump only if none of them contradicts the others.
_JUMP_SHARE = 0.12

#: Where between the lowest and the highest line the offset is sought. What CES does before its first request to the CA
#: (its client's two TLS handshakes and its own) takes longer than what it does after the last answer: the offset is
#: nearer to the bound that the answers give. Of few brackets that is of little weight, and the middle is taken.
_NEARER_LOW = 1 / 3

#: Bounds at more moments than this are told at so many of them, and between them by straight lines.
_KNOTS = 129

#: How many slopes stand for all that are possible.
_SLOPES = 65


@dataclass(frozen=True, slots=True)
class Brackets:
    """Bounds of an offset: at moment ``at`` it was above ``low`` and below ``high``; all in ms, sorted by ``order``.

    ``at`` is on the clock whose offset it is. ``order``: where the lines that say it stand in that clock's log, since a
    clock that was set back shows the same moment twice.
    """

    at: np.ndarray
    low: np.ndarray
    high: np.ndarray
    order: np.ndarray

    def __len__(self) -> int:
        return len(self.at)

    def chosen(self, which: np.ndarray | slice) -> Brackets:
        """Give some of them."""
        return Brackets(self.at[which], self.low[which], self.high[which], self.order[which])

    @staticmethod
    def together(parts: list[Brackets]) -> Brackets:
        """Put brackets of several kinds together."""
        none = np.zeros(0, dtype=np.int64)
        columns = [
            np.concatenate([none, *(getattr(part, name) for part in parts)]) for name in ("at", "low", "high", "order")
        ]
        turn = np.lexsort((columns[0], columns[3]))
        return Brackets(*(column[turn] for column in columns))


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a clock's log over which its offset is one line; offsets in ms.

    The offset at moment ``x`` (ms, by the clock itself) is ``start + slope * (x - zero)``; ``slopes``, ``lows`` and
    ``highs`` are the lines that are possible: for each slope the lowest and the highest start.
    """

    zero: int
    start: float
    slope: float
    slopes: np.ndarray = field(repr=False)
    lows: np.ndarray = field(repr=False)
    highs: np.ndarray = field(repr=False)
    first: int = 0
    """The first and the last moment that a bracket tells of."""
    last: int = 0
    matched: int = 0
    """How many brackets allow it, and of how many."""
    of: int = 0
    begin: int = 0
    """``order`` of its first bracket and of its last one."""
    end: int = 0

    def offset(self, at: np.ndarray) -> np.ndarray:
        """Give the offset at moments."""
        found: np.ndarray = self.start + self.slope * (at - self.zero)
        return found

    def bounds(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the lowest and the highest offset that is possible at moments."""
        since = np.asarray(at, dtype=np.float64) - self.zero
        if len(since) <= _KNOTS:
            return self._bounds(since)
        # The lowest is a concave function of the time, the highest a convex one: between knots a straight line is
        # beyond it, never within.
        knots = np.linspace(since.min(), since.max(), _KNOTS)
        low, high = self._bounds(knots)
        return np.interp(since, knots, low), np.interp(since, knots, high)

    def _bounds(self, since: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.full(len(since), np.inf), np.full(len(since), -np.inf)
        for slope, least, most in zip(self.slopes.tolist(), self.lows.tolist(), self.highs.tolist(), strict=True):
            np.minimum(low, least + slope * since, out=low)
            np.maximum(high, most + slope * since, out=high)
        return low, high

    @property
    def drift_known(self) -> bool:
        """Whether the brackets tell of a drift: they allow no line without one."""
        return bool(self.slopes.min() > 0 or self.slopes.max() < 0)


def pieces_of(brackets: Brackets) -> list[Piece]:
    """Find the lines that most brackets allow, in the order of the log; more than one where the clock was set."""
    if not len(brackets):
        return []
    return [piece for part in _parts(brackets, 3) if (piece := fitted(part)) is not None]


def _parts(brackets: Brackets, depth: int) -> list[Brackets]:
    """Cut brackets where that makes most of what contradicts agree."""
    wrong = _contradicting(brackets)
    count = int(wrong.sum())
    if not depth or count < 3:
        return [brackets]
    few = count < _JUMP_SHARE * len(brackets)
    # Where the one line ends and the other begins those that contradict change from few to many.
    share = np.cumsum(wrong - count / len(brackets))
    edges = sorted({int(np.argmin(share)) + 1, int(np.argmax(share)) + 1})
    tries = dict.fromkeys([*edges, *([] if few else np.linspace(0, len(brackets), 9)[1:-1].astype(int).tolist())])
    best, least = [brackets], count
    for cut in tries:
        if 0 < cut < len(brackets):
            best, least = min((best, least), _cut(brackets, [cut]), key=lambda found: found[1])
    if len(edges) > 1:
        # A clock that was set and put right again: neither cut alone leaves less that contradicts.
        twice, left = _cut(brackets, edges)
        if min(len(part) for part in twice) >= 3 and left * 2 < least:
            best, least = twice, left
    # A few may be mere mistakes, unless they agree with each other.
    if least * 2 > count or (few and least):
        return [brackets]
    return [part for side in best for part in _parts(side, depth - 1)]


def _cut(brackets: Brackets, cuts: list[int]) -> tuple[list[Brackets], int]:
    """Cut brackets at places; gives the parts, and how many contradict most of their part."""
    parts = [brackets.chosen(slice(begin, end)) for begin, end in pairwise([0, *cuts, len(brackets)])]
    return parts, sum(int(_contradicting(part).sum()) for part in parts if len(part))


def _limit(since: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Give the farthest drift that there may be: the usual one, unless enough brackets contradict it, or nearly do."""
    if len(since) < _MANY:
        return DRIFT_USUAL
    usual, most = (_width(since, low, high, _widest(since, low, high, limit)) for limit in (DRIFT_USUAL, DRIFT_MAX))
    return DRIFT_MAX if usual <= 0 or usual * _PINCHED < most else DRIFT_USUAL


def _contradicting(brackets: Brackets) -> np.ndarray:
    """Tell of each bracket whether it allows no line that most allow."""
    zero = int(brackets.at.mean())
    since = (brackets.at - zero).astype(np.float64)
    low, high = brackets.low.astype(np.float64), brackets.high.astype(np.float64)
    limit = _limit(since, low, high)
    slope = _widest(since, low, high, limit)
    if _width(since, low, high, slope) > 0:
        return np.zeros(len(brackets), dtype=bool)
    few = np.unique(np.linspace(0, len(low) - 1, _COMPARED).astype(int)) if len(low) > _COMPARED else slice(None)
    reach = max(float(np.abs(since).max()), 1.0)
    # Slopes so close that no bracket moves by more than a tenth of a second from one to the next.
    steps = int(min(120, np.ceil(limit * reach / 100.0)))
    best: tuple[int, float, float, float, float] | None = None
    for number in range(-steps, steps + 1):
        own = number * limit / max(steps, 1)
        count, least, most = _most(low[few] - own * since[few], high[few] - own * since[few])
        if best is None or (count, -abs(own)) > (best[0], best[1]):
            best = (count, -abs(own), own, least, most)
    assert best is not None
    _, _, own, least, most = best
    slack = limit / max(steps, 1) / 2 * np.abs(since)
    return np.asarray((low - own * since - slack > most) | (high - own * since + slack < least))


def _most(low: np.ndarray, high: np.ndarray) -> tuple[int, float, float]:
    """Find the interval that most intervals hold (Marzullo 1984): how many, from where, to where."""
    edges = np.concatenate([low, high])
    signs = np.concatenate([np.ones(len(low), dtype=np.int32), np.full(len(high), -1, dtype=np.int32)])
    turn = np.lexsort((signs, edges))
    held = np.cumsum(signs[turn])
    at = int(np.argmax(held))
    return int(held[at]), float(edges[turn[at]]), float(edges[turn[min(at + 1, len(edges) - 1)]])


def _width(since: np.ndarray, low: np.ndarray, high: np.ndarray, slope: float) -> float:
    """Say how far lines of this slope can be moved; less than 0: none goes through all."""
    return float((high - slope * since).min() - (low - slope * since).max())


def _widest(since: np.ndarray, low: np.ndarray, high: np.ndarray, limit: float) -> float:
    """Give the slope of which lines can be moved farthest: the width is concave in the slope."""
    least, most = -limit, limit
    for _ in range(48):
        third = (most - least) / 3
        if _width(since, low, high, least + third) < _width(since, low, high, most - third):
            least += third
        else:
            most -= third
    return (least + most) / 2


def _edge(since: np.ndarray, low: np.ndarray, high: np.ndarray, inside: float, outside: float) -> float:
    """Give the slope between these two from which on no line goes through all."""
    if _width(since, low, high, outside) > 0:
        return outside
    for _ in range(32):
        middle = (inside + outside) / 2
        if _width(since, low, high, middle) > 0:
            inside = middle
        else:
            outside = middle
    return inside


def fitted(brackets: Brackets) -> Piece | None:
    """Find the line that most brackets allow, and how far it can be moved and turned; None: no two agree."""
    wrong = _contradicting(brackets)
    agreed = brackets.chosen(~wrong)
    if not len(agreed) or (len(agreed) < 2 <= len(brackets)):
        return None
    zero = int(agreed.at.mean())
    since = (agreed.at - zero).astype(np.float64)
    low, high = agreed.low.astype(np.float64), agreed.high.astype(np.float64)
    limit = _limit(since, low, high)
    slope = _widest(since, low, high, limit)
    spoilt = int(wrong.sum())
    if spoilt:
        # Of wrong ones that do not show some are among the rest: as many as showed may lie on either side.
        since, low, high = _without(since, low, high, slope, min(spoilt, len(low) // 10))
        slope = _widest(since, low, high, limit)
    if _width(since, low, high, slope) <= 0:
        # They agree but for the steps in which slopes were tried.
        least = -_width(since, low, high, slope) / 2 + 1
        low, high = low - least, high + least
    slopes = np.linspace(_edge(since, low, high, slope, -limit), _edge(since, low, high, slope, limit), _SLOPES)
    lows = np.array([(low - one * since).max() for one in slopes.tolist()])
    highs = np.array([(high - one * since).min() for one in slopes.tolist()])
    weight = np.maximum(highs - lows, 1e-3) * np.exp(-((slopes / _DRIFT_SPREAD) ** 2) / 2)
    if weight.sum() < 1e-12:
        weight = np.maximum(highs - lows, 1e-3)
    weight /= weight.sum()
    return Piece(
        zero,
        float((weight * (lows + (highs - lows) * (_NEARER_LOW if len(agreed) >= _MANY else 0.5))).sum()),
        float((weight * slopes).sum()),
        slopes,
        lows,
        highs,
        int(brackets.at.min()),
        int(brackets.at.max()),
        len(agreed),
        len(brackets),
        int(agreed.order.min()),
        int(agreed.order.max()),
    )


def _without(
    since: np.ndarray, low: np.ndarray, high: np.ndarray, slope: float, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leave out the brackets that say the most on either side."""
    if not count or len(low) <= 2 * count + 2:
        return since, low, high
    keep = np.ones(len(low), dtype=bool)
    keep[np.argsort(low - slope * since)[-count:]] = False
    keep[np.argsort(high - slope * since)[:count]] = False
    return since[keep], low[keep], high[keep]
