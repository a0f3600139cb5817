"""An hour that happens twice: which lines of it are of its first pass, and which of its second.

When summer time ends the local clock goes back, and a stamp of that hour is of two moments. Lines stand in the order in
which they were written, so where the stamps step back the second pass begins. Where no line steps back, what is known
of some lines tells of those before or after them, else how close the hour's lines are to those around it; and where
nothing tells it, that is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capflog.rows import NONE

if TYPE_CHECKING:
    from capflog.zones import Zone

#: Lines of several threads may be so much out of order. (ms)
_JITTER_MS = 60_000

#: Lines that follow one another by less than this are taken to be of one pass. (ms)
_CLOSE_MS = 600_000


def second_pass(
    zone: Zone, local: np.ndarray, hints: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Tell of each local time (ms, in the order of the lines, NONE: no stamp) whether it is of the second pass.

    ``hints``: places of which another record tells it, in order, and whether they are. Gives, too, of which it is
    merely supposed that they are of the first.
    """
    later = np.zeros(len(local), dtype=bool)
    unsure = np.zeros(len(local), dtype=bool)
    known = np.flatnonzero(local != NONE)
    stamps = local[known]
    twice = np.flatnonzero(zone.twice(stamps))
    if not len(twice):
        return later, unsure
    places, which = hints if hints is not None else (known[:0], later[:0])
    # Lines of one such hour: nothing but they, and stragglers, stands between them.
    first = zone.utc(stamps[twice])
    heads = np.flatnonzero(
        np.append(True, np.diff(first) > 6 * 3_600_000) | np.append(True, np.diff(first) < -6 * 3_600_000)
    )
    for begin, end in zip(heads.tolist(), [*heads[1:].tolist(), len(twice)], strict=True):
        own = twice[begin:end]
        lo, hi = int(known[own[0]]), int(known[own[-1]])
        told = (places >= lo) & (places <= hi)
        cut, sure = _border(zone, stamps, own, places[told], which[told], known)
        later[known[own[cut:]]] = True
        unsure[known[own]] = not sure
    return later, unsure


def _border(
    zone: Zone, stamps: np.ndarray, own: np.ndarray, places: np.ndarray, which: np.ndarray, known: np.ndarray
) -> tuple[int, bool]:
    """Give from which of the hour's lines on they are of the second pass, and whether that is sure."""
    hour = stamps[own]
    back = np.maximum.accumulate(hour)[:-1] - hour[1:]
    if len(back) and back.max() > _JITTER_MS:
        return int(np.argmax(back)) + 1, True
    if len(places):
        at = np.searchsorted(known[own], places, side="right")
        seconds = at[which]
        firsts = at[~which]
        low, high = int(firsts.max(initial=0)), int(seconds.min(initial=len(own) + 1)) - 1
        if low == high or not len(firsts) or not len(seconds):
            # What stands between a line of the first pass and one of the second is where it is closest to.
            return (high if len(seconds) and not len(firsts) else low if not len(seconds) else high), True
        gap = int(np.argmax(np.diff(hour[max(low - 1, 0) : high + 1]))) if high > low else 0
        return min(low + gap, high), True
    length = int(np.abs(zone.utc(hour[:1], later=True) - zone.utc(hour[:1]))[0])
    before = hour[0] - stamps[own[0] - 1] if own[0] > 0 else None
    after = stamps[own[-1] + 1] - hour[-1] if own[-1] + 1 < len(stamps) else None
    if before is not None and 0 <= before < _CLOSE_MS and (after is None or after > _CLOSE_MS):
        return len(own), True
    if after is not None and 0 <= after < _CLOSE_MS and (before is None or before > _CLOSE_MS):
        return 0, True
    if before is not None and after is not None and before < _CLOSE_MS and after < _CLOSE_MS:
        # Both ends are close to what is around: the hour that is missing lies in the longest silence.
        gaps = np.diff(hour)
        if len(gaps) and gaps.max() > length / 3:
            return int(np.argmax(gaps)) + 1, True
    return len(own), False
