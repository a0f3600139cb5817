"""Whose the lines of CAPF's trace are that name no device: the attempt's around them, as far as nobody else is near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from capflog.attempts import Columns, Found, Lines

#: Another device's line within so many named lines, and so close, may be of an unnamed line's session. (ms)
_AROUND, _CLOSE = 8, 200

#: How long after an attempt's last line a line that names no device may still be its own. (ms)
AFTERMATH = 2_000

#: How many lines are looked at together: what is made of them on the way takes some ten to a hundred bytes each, and
#: stays in the processor's cache.
TOGETHER = 1 << 17


def following(where: np.ndarray, at: np.ndarray, none: int) -> np.ndarray:
    """Give the first of the (sorted) numbers ``where`` that is above each of ``at``; ``none`` where there is none."""
    found: np.ndarray = np.append(where, none)[np.searchsorted(where, at, side="right")]
    return found


def give_unnamed(columns: Columns, found: Found, lines: Lines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the lines that name no device to the attempt around them: certain where no other is under way.

    Gives for each such line its attempt (by its place in ``lines``), its position, and whether it is only likely.
    """
    named, count = columns.named, len(columns.device)
    order = np.argsort(lines.named)
    place, k = lines.gaps[order], lines.named[order].astype(np.int64)
    owner = np.searchsorted(lines.edges, place, side="right") - 1
    last = place + 1 == lines.edges[owner + 1]
    before = named[k].astype(np.int64)
    after = np.where(k + 1 < len(named), named[np.minimum(k + 1, len(named) - 1)], count).astype(np.int64)
    # What follows on the session's end after an attempt's last line is of another session.
    until = np.where(last, np.minimum(after, following(columns.ends, before, count) + 1), after)
    gaps = _Gaps(k + 1, owner, before, after, until, last)
    if not len(gaps.k):
        return (np.zeros(0, dtype=np.int64),) * 2 + (np.zeros(0, dtype=bool),)
    sizes = np.cumsum(gaps.until - gaps.before - 1)
    edges = sorted({*(np.searchsorted(sizes, np.arange(TOGETHER, sizes[-1], TOGETHER)) + 1).tolist()})
    alone = _Alone(columns, found)
    parts = [
        _give_gaps(columns, found, lines, alone, _Gaps(*(getattr(gaps, name)[begin:end] for name in _Gaps.__slots__)))
        for begin, end in zip([0, *edges], [*edges, len(gaps.k)], strict=True)
        if end > begin
    ]
    owners, positions, likely = (np.concatenate([part[n] for part in parts]) for n in range(3))
    return owners, positions, likely


@dataclass(slots=True)
class _Gaps:
    """Where lines that name no device may be an attempt's, as columns: between two of its lines, or after its last.

    ``k``: the place in ``named`` of the next line that names a device, which is at ``after`` (the trace's length where
    there is none); ``owner``: the attempt, by its place in ``lines``; ``before``: the attempt's line; ``until``: the
    first position that is in question no more; ``last``: whether no line of the attempt that names its device follows.
    """

    k: np.ndarray
    owner: np.ndarray
    before: np.ndarray
    after: np.ndarray
    until: np.ndarray
    last: np.ndarray


def _give_gaps(
    columns: Columns, found: Found, lines: Lines, alone: _Alone, gaps: _Gaps
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the lines in the gaps to their attempts, as :func:`give_unnamed` does."""
    at = columns.at
    sizes = gaps.until - gaps.before - 1
    g = np.repeat(np.arange(len(sizes)), sizes)
    p = np.arange(len(g)) + (gaps.until - np.cumsum(sizes))[g]
    ends = np.append(columns.ends, -1)[np.searchsorted(columns.ends, p)] == p
    owner, last = gaps.owner[g], gaps.last[g]
    attempt = lines.attempt[owner]
    call, result = found.call[attempt], found.result[attempt]
    # While CAPF waits for CES nothing happens in the phone's session: least of all does it end.
    waits = (call >= 0) & (call < p) & ((result < 0) | (p < result))
    after = gaps.after[g]
    open_ = np.where(last, (after == len(at)) | (at[p] < at[np.minimum(after, len(at) - 1)]), ~(waits & ends))
    asked = np.flatnonzero(open_)
    sure = np.zeros(len(p), dtype=bool)
    sure[asked] = alone.at(p[asked], gaps.k[g[asked]], gaps.before[g[asked]])

    own = open_ & ~last & (sure | ~waits)
    own[_follow(at, p, g, np.flatnonzero(open_ & last & sure), gaps)] = True
    followed = np.flatnonzero(own & last)
    latest = at[gaps.before]
    latest[g[followed]] = at[p[followed]]
    own |= last & ends & ~(open_ & sure) & (at[p] == latest[g])
    return owner[own], p[own], ~(open_ & sure)[own]


def _follow(at: np.ndarray, p: np.ndarray, g: np.ndarray, lines: np.ndarray, gaps: _Gaps) -> np.ndarray:
    """Choose of ``lines`` (of ``p``, each of the gap ``g``) those that follow closely on the attempt's lines."""
    gap, when = g[lines], at[p[lines]]
    heads = np.append(True, gap[1:] != gap[:-1])[: len(gap)]
    step = np.diff(when, prepend=0)
    step[heads] = (when - at[gaps.before[gap]])[heads]
    late = np.cumsum(step > AFTERMATH)
    own = late == (late - (step > AFTERMATH))[heads][np.cumsum(heads) - 1]
    # Where threads wrote out of turn a line may follow again after one that does not.
    for one in sorted({*gap[step < 0].tolist()}):
        latest = at[gaps.before[one]]
        for k in range(*np.searchsorted(gap, (one, one + 1))):
            own[k] = when[k] - latest <= AFTERMATH
            latest = when[k] if own[k] else latest
    found: np.ndarray = lines[own]
    return found


class _Alone:
    """Tells where one attempt alone is under way, and no other device is near."""

    def __init__(self, columns: Columns, found: Found) -> None:
        self._columns = columns
        self._first, order = found.first, np.argsort(found.last)
        self._last, self._begun = found.last[order], found.first[order]
        self._ended = columns.at[self._last]
        self._longest = int((found.last - found.first).max())
        # The latest of all that ended up to there, and the one that began last.
        self._latest, self._youngest = np.maximum.accumulate(self._ended), np.maximum.accumulate(self._begun)

    def at(self, p: np.ndarray, k: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Tell it of positions (sorted); ``k``: the next place in ``named``, ``own``: a line of the device itself."""
        alone: np.ndarray = self._under_way(p) == 1
        lines = np.flatnonzero(alone)
        alone[lines[self._others_near(p[lines], k[lines], own[lines])]] = False
        return alone

    def _under_way(self, p: np.ndarray) -> np.ndarray:
        """Count the attempts whose first and last named line lie around ``p``, or just before it; at most two."""
        before = np.searchsorted(self._last, p)
        count = np.searchsorted(self._first, p, side="right") - before
        since, oldest = self._columns.at[p] - AFTERMATH, p - self._longest - 1000
        open_ = np.flatnonzero(count < 2)
        j = before[open_] - 1
        while len(open_):
            # Back from the attempt that ended last, until two are found or none before can be one.
            on = (j >= 0) & (self._latest[j] >= since[open_]) & (self._youngest[j] >= oldest[open_])
            open_, j = open_[on], j[on]
            count[open_] += (self._ended[j] >= since[open_]) & (self._begun[j] >= oldest[open_])
            on = count[open_] < 2
            open_, j = open_[on], j[on] - 1
        return count

    def _others_near(self, p: np.ndarray, k: np.ndarray, own: np.ndarray) -> np.ndarray:
        """List the places in ``p`` by which a line of another device stands, of a session that need not enroll."""
        named, device, at = self._columns.named, self._columns.device, self._columns.at
        near = np.zeros(len(p), dtype=bool)
        for back in range(-_AROUND, _AROUND):
            place = k + back
            there = (place >= 0) & (place < len(named))
            line = named[np.where(there, place, 0)]
            near |= there & (device[line] != device[own]) & (np.abs(at[line] - at[p]) <= _CLOSE)
        places: np.ndarray = np.flatnonzero(near)
        return places
