"""All ways to put two rows of items side by side, weighed together: the forward-backward algorithm.

Plain loops over arrays, so that they can be compiled (:func:`capflog.compiling.fast`).
"""

from __future__ import annotations

import numpy as np

#: Powers of the weight of a gap are taken in pieces of so many, so that none is too small for a float.
_SEGMENT = 64


def _skipping(row: np.ndarray, gap: float) -> np.ndarray:
    """Let right items be passed over: each state adds to those behind it."""
    power = gap ** np.arange(_SEGMENT)
    found = np.empty_like(row)
    carry = 0.0
    for begin in range(0, len(row), _SEGMENT):
        some = row[begin : begin + _SEGMENT]
        own = power[: len(some)]
        sums = own * np.cumsum(some / own) + carry * gap * own
        found[begin : begin + len(some)] = sums
        carry = sums[-1]
    return found


def weigh(
    low: np.ndarray,
    high: np.ndarray,
    kind: np.ndarray,
    tag: np.ndarray,
    also_low: np.ndarray,
    also_high: np.ndarray,
    lacks: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
    mask: np.ndarray,
    label: np.ndarray,
    also_begin: np.ndarray,
    also_end: np.ndarray,
    close: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    early: float,
    late: float,
    lacks_left: float,
    lacks_right: float,
    swapped: float,
    unlike: float,
    unknown: float,
    apart: float,
    least: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Weigh all ways; gives each left item's likeliest partner and its probability.

    The state before the n-th left item is how many right ones are done with, from ``first[n]`` to ``last[n]``.
    """
    count = len(low)
    offset = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(last - first + 1)))
    forward = np.zeros(offset[-1] + 1)
    scale = np.ones(count + 1)
    forward[0] = 1.0
    # (Behind the last item there is one state: all are done with.)
    place = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(last - first)))
    weights = np.zeros(place[-1])
    for n in range(count):
        lo, hi = first[n], last[n]
        weights[place[n] : place[n + 1]] = _row(
            low[n],
            high[n],
            kind[n],
            tag[n],
            also_low[n],
            also_high[n],
            begin[lo:hi],
            end[lo:hi],
            mask[lo:hi],
            label[lo:hi],
            also_begin[lo:hi],
            also_end[lo:hi],
            early,
            late,
            unlike,
            unknown,
            apart,
            least,
        )
    for n in range(count):
        lo, width = first[n], last[n] - first[n]
        row = forward[offset[n] : offset[n] + width + 1]
        total = row.sum()
        if total <= 0.0:
            row[:] = 1.0
            total = width + 1.0
        scale[n] = total
        row /= total
        row[:] = _skipping(row, lacks_right)
        weight = weights[place[n] : place[n + 1]]
        final = n + 1 == count
        onto = last[n] if final else first[n + 1]
        ahead = forward[offset[n + 1] : (offset[n + 1] + 1 if final else offset[n + 2])]
        ahead /= total
        moved = np.zeros(width + 2)
        lack = max(lacks_left, lacks[n])
        moved[:-1] = row * lack
        moved[1:-1] += row[:-1] * weight
        _add(ahead, onto, moved[:-1], lo, lacks_right)
        if not final:
            after = weights[place[n + 1] : place[n + 2]]
            if swapped > 0.0 and width > 1:
                both = _crossed(weight, after, lo, first[n + 1])
                done = n + 2 == count
                beyond = forward[offset[n + 2] : (offset[n + 2] + 1 if done else offset[n + 3])]
                _add(
                    beyond,
                    last[n + 1] if done else first[n + 2],
                    row[: len(both)] * both * np.maximum(swapped, close[lo : lo + len(both)]),
                    lo + 2,
                    lacks_right,
                )
    partner = np.full(count, -1, dtype=np.int64)
    sure = np.zeros(count)
    if count == 0:
        return partner, sure
    # Backwards: what may follow on each state, of the two next left items.
    next1, next1_first = np.ones(1), last[count - 1] + 0
    next2, next2_first = np.zeros(0), last[count - 1] + 0
    pending, pending_skip = np.zeros(0), 0.0
    for n in range(count - 1, -1, -1):
        lo, width = first[n], last[n] - first[n]
        row = forward[offset[n] : offset[n] + width + 1]
        weight = weights[place[n] : place[n + 1]]
        stay = _onto(next1, next1_first, lo, width + 1, lacks_right)
        goes = _onto(next1, next1_first, lo + 1, width, lacks_right)
        lack = max(lacks_left, lacks[n])
        here = stay * lack
        matched = weight * goes
        here[:-1] += matched
        own = row[:-1] * matched
        skip = float((row * stay).sum()) * lack
        if n + 1 < count:
            crossing = np.zeros(0)
            if swapped > 0.0 and width > 1 and n + 2 <= count:
                both = _crossed(weight, weights[place[n + 1] : place[n + 2]], lo, first[n + 1])
                behind = _onto(next2, next2_first, lo + 2, len(both), lacks_right)
                crossing = both * behind * np.maximum(swapped, close[lo : lo + len(both)])
                here[: len(both)] += crossing
                crossing = crossing * row[: len(both)]
                own[1 : len(both) + 1] += crossing
                # The one behind is this one's partner then.
                at = lo - first[n + 1]
                one, other = max(0, -at), min(len(both), len(pending) - at)
                if one < other:
                    pending[one + at : other + at] += crossing[one:other] / scale[n + 1]
            _settle(partner, sure, n + 1, pending, pending_skip, first[n + 1])
        pending, pending_skip = own, skip
        back = _skipping(here[::-1].copy(), lacks_right)[::-1].copy()
        size = back.max()
        if size <= 0.0:
            size = 1.0
            back[:] = 1.0
        next2, next2_first = next1 / size, next1_first
        next1, next1_first = back / size, lo
        pending, pending_skip = pending / size, pending_skip / size
    _settle(partner, sure, 0, pending, pending_skip, first[0])
    return partner, sure


def _settle(partner: np.ndarray, sure: np.ndarray, n: int, found: np.ndarray, skip: float, lo: int) -> None:
    """Take the likeliest partner of the n-th left item."""
    total = found.sum() + skip
    if len(found) == 0 or total <= 0.0:
        return
    best = int(found.argmax())
    if found[best] > skip:
        partner[n], sure[n] = best + lo, found[best] / total
    else:
        sure[n] = skip / total


def _row(
    low: int,
    high: int,
    kind: int,
    tag: int,
    also_low: int,
    also_high: int,
    begin: np.ndarray,
    end: np.ndarray,
    mask: np.ndarray,
    label: np.ndarray,
    also_begin: np.ndarray,
    also_end: np.ndarray,
    early: float,
    late: float,
    unlike: float,
    unknown: float,
    apart: float,
    least: float,
) -> np.ndarray:
    """Weigh a left item with each of its right ones."""
    off = np.maximum(begin - high, 0) / early
    off = off + (np.maximum(also_begin - also_high, 0) + np.maximum(also_low - also_end, 0)) / apart
    weight: np.ndarray = np.exp(-np.minimum(off, 60.0)) * ((mask >> kind) & 1)
    weight = weight * np.maximum(np.exp(-np.minimum(np.maximum(low - end, 0) / late, 60.0)), least)
    if unlike != 1.0 or unknown != 1.0:
        if tag < 0:
            weight = weight * unknown
        else:
            weight = weight * np.where(label < 0, unknown, np.where(label == tag, 1.0, unlike))
    return weight


def _crossed(weight: np.ndarray, after: np.ndarray, lo: int, after_lo: int) -> np.ndarray:
    """Weigh that a left item is the second of two right ones and the one behind it the first."""
    found = np.zeros(max(len(weight) - 1, 0))
    at = lo - after_lo
    begin, end = max(0, -at), min(len(found), len(after) - at)
    if begin < end:
        found[begin:end] = weight[1 + begin : 1 + end] * after[begin + at : end + at]
    return found


def _add(row: np.ndarray, row_first: int, values: np.ndarray, first: int, gap: float) -> None:
    """Add what comes to states of another row, whose first one is ``row_first``; those before it are passed over."""
    skipped = row_first - first
    carried = 0.0
    for k in range(min(skipped, len(values))):
        carried = carried * gap + values[k]
    if skipped > 0:
        row[0] += carried * gap ** max(skipped - len(values) + 1, 1)
        rest = values[skipped:]
        row[: len(rest)] += rest[: len(row)]
    else:
        part = values[: len(row) + skipped]
        row[-skipped : -skipped + len(part)] += part


def _onto(row: np.ndarray, row_first: int, first: int, width: int, gap: float) -> np.ndarray:
    """Give what follows on each of ``width`` states from ``first`` on, of a row whose first state is ``row_first``."""
    found = np.zeros(width)
    for k in range(min(max(row_first - first, 0), width)):
        if len(row):
            found[k] = row[0] * gap ** (row_first - first - k)
    begin = max(row_first - first, 0)
    if begin < width:
        part = row[first + begin - row_first : first + width - row_first]
        found[begin : begin + len(part)] = part
    return found


def _skipping_one_by_one(row: np.ndarray, gap: float) -> np.ndarray:
    """Do what :func:`_skipping` does, item by item: that is faster where it is compiled."""
    found = np.empty_like(row)
    carry = 0.0
    for k in range(len(row)):
        carry = row[k] + gap * carry
        found[k] = carry
    return found


def _row_one_by_one(
    low: int,
    high: int,
    kind: int,
    tag: int,
    also_low: int,
    also_high: int,
    begin: np.ndarray,
    end: np.ndarray,
    mask: np.ndarray,
    label: np.ndarray,
    also_begin: np.ndarray,
    also_end: np.ndarray,
    early: float,
    late: float,
    unlike: float,
    unknown: float,
    apart: float,
    least: float,
) -> np.ndarray:
    """Do what :func:`_row` does, item by item."""
    found = np.zeros(len(begin))
    for k in range(len(begin)):
        if not (mask[k] >> kind) & 1:
            continue
        off = max(begin[k] - high, 0) / early
        off += (max(also_begin[k] - also_high, 0) + max(also_low - also_end[k], 0)) / apart
        behind = max(low - end[k], 0) / late
        if least == 0.0:
            off += behind
        weight = np.exp(-min(off, 60.0)) if off > 0.0 else 1.0
        if least != 0.0:
            weight *= max(np.exp(-min(behind, 60.0)), least)
        if tag < 0 or label[k] < 0:
            weight *= unknown
        elif label[k] != tag:
            weight *= unlike
        found[k] = weight
    return found


#: What is put in the place of what where it is compiled.
COMPILED = {"_skipping": "_skipping_one_by_one", "_row": "_row_one_by_one"}
