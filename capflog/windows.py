"""Which enrollments were under way when: of many moments at once, without comparing each with all.

Moments come in about the order of time, and so do enrollments. So the moments are gone through in pieces, and a piece
is compared only with the enrollments that were under way around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: So many moments are compared at once.
_PIECE = 256


def pieces(
    low: np.ndarray, high: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Go through items, of which each is about from ``low`` to ``high``, in pieces of those that follow one another.

    Yields the places of a piece's first item and of the one behind its last, and the numbers of all spans, from
    ``begin`` to ``end``, that may share a moment with one of them: no other does.
    """
    order = np.argsort(begin, kind="stable")
    begun = np.searchsorted(begin[order], np.maximum.accumulate(high), side="right").tolist()
    lows = np.minimum.accumulate(low[::-1])[::-1].tolist()
    near, seen = order[:0], 0
    for lo in range(0, len(low), _PIECE):
        hi = min(lo + _PIECE, len(low))
        near = np.concatenate([near, order[seen : begun[hi - 1]]])
        near, seen = near[end[near] >= lows[lo]], begun[hi - 1]
        yield lo, hi, near


def counted(begin: np.ndarray, end: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count the spans, from ``begin`` to ``end``, with which each item, from ``low`` to ``high``, shares a moment.

    Gives, too, the number of the one span where it is one, else anything. No span and no item ends before it begins:
    then those that it meets have begun, less those that were over.
    """
    by_begin, by_end = np.argsort(begin, kind="stable"), np.argsort(end, kind="stable")
    begun = np.searchsorted(begin[by_begin], high, side="right")
    over = np.searchsorted(end[by_end], low)
    # The sum of the numbers of all that it meets.
    up_to_begin, up_to_end = (np.concatenate([[0], np.cumsum(order)]) for order in (by_begin, by_end))
    return begun - over, up_to_begin[begun] - up_to_end[over]
