"""A zone made of records that name the offsets which they were written at, and what several zones agree on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.tzfiles import NEAR, STEP, alike, changes_in, held, offset_in, rules_of
from capflog.zones import EAST, SECOND_MS, WEST, Zone, offset_name

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of a column of offsets with more stretches than this, no zone can be made.
_MOST_RUNS = 200

#: More records than this in a row are no mistake.
_MOST_NOISE = 20


def observed(utc: np.ndarray, offset: np.ndarray) -> Zone | None:
    """Make a zone of records that name the offset which they were written at; None where there are none.

    Where the offset changed, it did so as most of the zones did that changed just so between the same two records;
    where no zone did, in the middle between them. What few records say and no zone ever did is a mistake; of offsets
    that go to and fro as no zone's do, the most frequent is taken for all.
    """
    sane = (offset >= WEST * SECOND_MS) & (offset <= EAST * SECOND_MS)
    if not sane.all():
        utc, offset = utc[sane], offset[sane]
    if not len(utc):
        return None
    offsets, counts = np.unique(offset, return_counts=True)
    frequent = int(offsets[counts.argmax()])
    fixed = Zone(offset_name(frequent), (frequent,))
    if len(offsets) == 1:
        return fixed
    rows = _without_noise(_runs(utc, offset))
    # Of two programs that write to one log, each with its own zone, there may be as many runs as records.
    if len(rows) > _MOST_RUNS:
        return fixed
    runs = _sound([_Run(*row) for row in rows.tolist()], len(utc))
    told = [_told(a, b) for a, b in pairwise(runs)]
    starts = [run.first for run in runs[1:]]
    often = any(b - a <= NEAR * SECOND_MS for a, b in zip(starts, starts[3:], strict=False))
    if (often and not all(told)) or any(a.last == b.first for a, b in pairwise(runs)):
        return fixed
    # A zone that tells of all the changes knows better than those that tell of one.
    sure = [zones.keys() for zones in told if zones]
    common = set(sure[0]).intersection(*sure[1:]) if sure else set()
    changes: list[tuple[int, int]] = []
    for (a, b), zones in zip(pairwise(runs), told, strict=True):
        votes: Counter[tuple[tuple[int, int], ...]] = Counter()
        for name, steps in zones.items():
            if name in common or not common:
                votes[steps] += len(alike()[held(name)])
        if not votes:
            votes[(((a.last + b.first + 1) // 2, b.offset),)] = 1
        changes += max(votes.items(), key=lambda vote: (vote[1], vote[0]))[0]
    all_offsets = (runs[0].offset, *(offset for _, offset in changes))
    first, *others = (offset_name(offset) for offset in dict.fromkeys(all_offsets))
    name = "/".join((first, *(other.removeprefix("UTC") or "+00:00" for other in others)))
    return Zone(name, all_offsets, tuple(change for change, _ in changes))


@dataclass(frozen=True, slots=True)
class _Run:
    """Records one after another that name the same offset."""

    offset: int
    count: int
    first: int
    last: int


def _runs(utc: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Give the runs of records as rows of (offset, count, first, last)."""
    order = np.lexsort((offset, utc))
    utc, offset = utc[order], offset[order]
    return _joined(np.column_stack((offset, np.ones(len(utc), dtype=np.int64), utc, utc)))


def _joined(rows: np.ndarray) -> np.ndarray:
    """Join neighbours of the same offset."""
    heads = np.flatnonzero(np.append(True, np.diff(rows[:, 0]) != 0))
    tails = np.append(heads[1:], len(rows)) - 1
    return np.column_stack((rows[heads, 0], np.add.reduceat(rows[:, 1], heads), rows[heads, 2], rows[tails, 3]))


def _without_noise(rows: np.ndarray) -> np.ndarray:
    """Drop the few records that differ from many around them for a shorter time than any zone ever did."""
    while len(rows) > 2:
        before, here, after = rows[:-2], rows[1:-1], rows[2:]
        noise = (after[:, 2] - before[:, 3] < STEP * SECOND_MS) & (here[:, 1] * 10 <= before[:, 1] + after[:, 1])
        if not noise.any():
            break
        rows = _joined(rows[np.concatenate(([True], ~noise, [True]))])
    return rows


def _sound(runs: list[_Run], records: int) -> list[_Run]:
    """Drop the smallest runs, one by one, as long as they are few records and no zone changes as they say."""
    while len(runs) > 1:
        edges = [True, *(bool(_told(a, b)) for a, b in pairwise(runs)), True]
        doubtful: list[tuple[int, int]] = []
        for n, run in enumerate(runs):
            most = records / 50
            if 0 < n < len(runs) - 1 and runs[n - 1].offset == runs[n + 1].offset:
                most = max(most, (runs[n - 1].count + runs[n + 1].count) / 10)
            if run.count <= min(most, _MOST_NOISE) and not (edges[n] and edges[n + 1]):
                doubtful.append((run.count, n))
        if not doubtful:
            break
        _, n = min(doubtful)
        left = [[run.offset, run.count, run.first, run.last] for run in runs[:n] + runs[n + 1 :]]
        runs = [_Run(*row) for row in _joined(np.array(left, dtype=np.int64)).tolist()]
    return runs


def _told(a: _Run, b: _Run) -> dict[str, tuple[tuple[int, int], ...]]:
    """Give the changes, in ms, of each zone whose offset was that of ``a`` at its end and that of ``b`` as it began."""
    return _between(a.offset, b.offset, a.last // SECOND_MS, b.first // SECOND_MS)


@lru_cache(maxsize=4096)
def _between(before: int, after: int, first: int, last: int) -> dict[str, tuple[tuple[int, int], ...]]:
    found: dict[str, tuple[tuple[int, int], ...]] = {}
    for names in alike().values():
        rules = rules_of(names[0])
        if offset_in(rules, first) * SECOND_MS == before and offset_in(rules, last) * SECOND_MS == after:
            steps = changes_in(rules, first, last)
            found[names[0]] = tuple((change * SECOND_MS, offset * SECOND_MS) for change, offset in steps)
    return found


@lru_cache(maxsize=64)
def offsets_at(utc: int) -> tuple[int, ...]:
    """List the offsets that zones have at a moment, in ms."""
    second = utc // SECOND_MS
    return tuple(sorted({offset_in(rules_of(names[0]), second) * SECOND_MS for names in alike().values()}))


def changes_so(before: int, after: int, first_utc: int, last_utc: int) -> bool:
    """Tell whether any zone, ``before`` ahead of UTC at the first of two moments, was ``after`` ahead at the last."""
    return bool(_between(before, after, first_utc // SECOND_MS, last_utc // SECOND_MS))


def agreed(zones: Sequence[Zone], first_utc: int, last_utc: int) -> Zone | None:
    """Give what all zones are from ``first_utc`` to ``last_utc``, by the first one's name; None where they differ."""
    if not zones:
        return None
    first, *others = (zone.within(first_utc, last_utc) for zone in zones)
    same = all((zone.offsets, zone.changes) == (first.offsets, first.changes) for zone in others)
    return first if same else None
