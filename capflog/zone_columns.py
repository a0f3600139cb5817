"""Whole columns from UTC to local time and back: the part of ``Zone`` that numpy is behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from capflog.zones import Zone

#: Above so many changes a search is faster than a pass for each.
_FEW = 8


def local(zone: Zone, utc: np.ndarray) -> np.ndarray:
    """Give the local times of moments."""
    if zone.constant:
        return utc + np.int64(zone.offsets[0])
    return _shifted(utc, np.array(zone.changes, dtype=np.int64), np.array(zone.offsets, dtype=np.int64))


def utc(zone: Zone, local: np.ndarray, *, later: bool) -> np.ndarray:
    """Give the moments of local times, as ``Zone.utc`` says it."""
    if zone.constant:
        return local - np.int64(zone.offsets[0])
    begins, ends, back = _turns(zone)
    edges = np.where(back, begins if later else ends, ends)
    # Changes hours apart, as only a made-up zone has them, may overlap on the local clock.
    return _shifted(local, np.maximum.accumulate(edges), -np.array(zone.offsets, dtype=np.int64))


def twice(zone: Zone, local: np.ndarray) -> np.ndarray:
    """Tell of each local time whether there was such a time twice."""
    begins, ends, back = _turns(zone)
    return _inside(local, begins[back], ends[back])


def missing(zone: Zone, local: np.ndarray) -> np.ndarray:
    """Tell of each local time whether there never was such a time."""
    begins, ends, back = _turns(zone)
    return _inside(local, begins[~back], ends[~back])


def _turns(zone: Zone) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give from and to which local time each change repeats or leaves out, and whether it repeats."""
    offsets, changes = np.array(zone.offsets, dtype=np.int64), np.array(zone.changes, dtype=np.int64)
    before, after = offsets[:-1], offsets[1:]
    return changes + np.minimum(before, after), changes + np.maximum(before, after), after < before


def _shifted(times: np.ndarray, edges: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Give each time plus the shift of the stretch that it lies in; at ``edges`` the next ones begin."""
    if not len(times):
        return times.astype(np.int64)
    first, last = np.searchsorted(edges, np.array((times.min(), times.max())), side="right").tolist()
    if last - first > _FEW:
        moved: np.ndarray = shifts[np.searchsorted(edges, times, side="right")]
        moved += times
        return moved
    moved = times + shifts[first]
    for n in range(first, last):
        np.add(moved, shifts[n + 1] - shifts[n], out=moved, where=times >= edges[n])
    return moved


def _inside(times: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Tell of each time whether it lies in one of the intervals, which do not contain their ends."""
    inside = np.zeros(len(times), dtype=bool)
    if not len(times):
        return inside
    some = np.flatnonzero((begins <= times.max()) & (ends > times.min()))
    if len(some) > _FEW:
        begun = np.searchsorted(np.sort(begins[some]), times, side="right")
        return begun > np.searchsorted(np.sort(ends[some]), times, side="right")
    for n in some.tolist():
        inside |= (times >= begins[n]) & (times < ends[n])
    return inside
