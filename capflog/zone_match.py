"""A node's zone by what IIS shows of it: quarters of an hour of what IIS's clock seems to be ahead, and their turns.

Where no record names the zone, the node's local times are laid beside IIS's in UTC: what they differ by is the zone,
and the little that remains the clocks. Where summer time begins or ends the difference turns by just an hour, as zones
do at that time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.clock_tracks import Measured, measured
from capflog.offsets import QUARTER_MS
from capflog.rotation import DAY_MS
from capflog.zone_changes import changes_so, observed, offsets_at
from capflog.zones import Zone, offset_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.asked import Asked
    from capflog.nodes import Node
    from capflog.tracks import Piece

_HALF_HOUR_MS = 1_800_000

#: Where a zone changes, IIS's offset turns by just so much, give or take this. (ms)
_TURN_MS = 5_000


def match_zone(node: Node, servers: Sequence[Asked]) -> None:
    """Find a node's zone by the server that matches best."""
    found: list[tuple[Measured, Zone | None]] = []
    # Where the stamps step back as a zone does, they are compared as if it had changed there, too.
    for turned in dict.fromkeys((node.turned(), None)):
        node.zone = turned
        node.fold()
        here = node.here()
        found += [(measured(here, asked, zone_known=False), turned) for asked in servers]
    node.zone = None
    best, turned = max(found, key=lambda one: one[0].matched)
    if best.pieces:
        _take_zone(node, best.pieces, turned)
    node.fold()


def _take_zone(node: Node, pieces: Sequence[Piece], turned: Zone | None = None) -> None:
    """Take quarters of an hour of IIS's offset for the node's zone; where that turns as a zone does, for its change.

    ``turned``: the zone of the clock that they were found by, a change already taken out; None: there was none.
    """
    low, high = pieces[0].bounds(np.array([pieces[0].zero]))
    quarters = _quarters(pieces[0]) if float(high[0] - low[0]) < QUARTER_MS else None
    if quarters is None:
        return
    taken = [(pieces[0], quarters)]
    for before, piece in pairwise(pieces):
        turn = float(piece.offset(np.array([piece.first]))[0] - before.offset(np.array([before.last]))[0])
        near = round(turn / _HALF_HOUR_MS) * _HALF_HOUR_MS
        if turned is not None or abs(turn - near) > _TURN_MS or not _changes_by(-near, before.last, piece.first):
            # A clock that was set, not a zone that changed.
            break
        quarters -= near
        taken.append((piece, quarters))
    moments = [np.linspace(piece.first, piece.last, 50).astype(np.int64) for piece, _ in taken]
    utc = [
        at - np.round(piece.offset(at)).astype(np.int64) - zone
        for at, (piece, zone) in zip(moments, taken, strict=True)
    ]
    found = observed(np.concatenate(utc), np.repeat([zone for _, zone in taken], 50))
    assert found is not None
    if turned is not None and found.constant:
        first, last = (found.offsets[0] + offset for offset in turned.offsets)
        name = "/".join((found.name, offset_name(last).removeprefix("UTC") or "+00:00"))
        found = Zone(name, (first, last), (turned.changes[0] - first,))
    node.zone = found
    node.basis = "zone taken from the match with IIS, if its clock is not off by quarters of an hour"
    if not found.constant:
        node.basis += f": {' then '.join(_names(found))}"
    node.matched = True
    node.fold()


def turns(node: Node, pieces: Sequence[Piece]) -> bool:
    """Have a zone that was read off the last lines change where IIS's offset turns as zones do; tell whether so."""
    if len(pieces) < 2 or node.zone is None or not node.zone.constant:
        return False
    used = node.zone.offsets[0]
    zones, moments = [used], [_moments(pieces[-1], 0)]
    for before, after in reversed([*pairwise(pieces)]):
        turn = float(before.offset(np.array([before.last]))[0] - after.offset(np.array([after.first]))[0])
        near = round(turn / _HALF_HOUR_MS) * _HALF_HOUR_MS
        earlier = zones[0] - near
        own = _moments(before, earlier - used)
        if abs(turn - near) > _TURN_MS or not changes_so(earlier, zones[0], int(own[1]), int(moments[0][0])):
            # IIS's clock was set.
            earlier, own = zones[0], _moments(before, zones[0] - used)
        zones.insert(0, earlier)
        moments.insert(0, own)
    found = observed(np.concatenate(moments), np.repeat(zones, 2))
    if found is None or found.constant:
        return False
    node.zone = found
    node.basis += f", and IIS tells of its change: {' then '.join(_names(found))}"
    node.fold()
    return True


def _changes_by(turn: int, first: int, last: int) -> bool:
    """Tell whether any zone changed so much between two moments, which may be off by what zones are."""
    first, last = first - DAY_MS // 2, last + DAY_MS // 2
    return not turn or any(changes_so(zone, zone + turn, first, last) for zone in offsets_at(first))


def _quarters(piece: Piece) -> int | None:
    """Give the offset, of those that zones have, that is nearest to what IIS is ahead of the node's local time, in ms.

    They are quarters of an hour. None: IIS's clock is off by more than zones are, which tells nothing of the node's,
    unless it is off by whole days.
    """
    ahead = round(float(piece.offset(np.array([piece.zero]))[0]))
    zones = [zone for zone in offsets_at(piece.zero) if zone % QUARTER_MS == 0]
    nearest = min(zones, key=lambda zone: abs(ahead + zone))
    if abs(ahead + nearest) <= _HALF_HOUR_MS + _TURN_MS:
        return nearest

    def rest(zone: int) -> int:
        return min((ahead + zone) % DAY_MS, -(ahead + zone) % DAY_MS)

    nearest = min(zones, key=lambda zone: (rest(zone), abs(zone)))
    return nearest if rest(nearest) <= _TURN_MS else None


def _moments(piece: Piece, wrong: int) -> np.ndarray:
    """Give a piece's first and last moment by the node's clock, whose zone was taken to be less by ``wrong``."""
    at = np.array([piece.first, piece.last])
    return at - np.round(piece.offset(at)).astype(np.int64) - wrong


def _names(zone: Zone) -> list[str]:
    return [Zone.fixed(offset // 1000).name for offset in zone.offsets]
