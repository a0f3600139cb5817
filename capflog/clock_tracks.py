"""The clock of one server of IIS: what it was ahead of the reference clock at each of its log's rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import Asked
from capflog.brackets import Guess, bracket_of_spell, brackets_of, highest_of
from capflog.clock_log import each_once
from capflog.intervals import SECOND_MS
from capflog.offsets import Here, Spell, searched, spells_of, torn
from capflog.rotation import rotation_key
from capflog.tracks import DRIFT_MAX, Brackets, Piece, pieces_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.table import Table

#: A jump of less than this is no more than the bounds may hide. (ms)
_JUMP_MS = 1_000

#: So many of those that ask are looked at, whoever asks most first.
_CLIENTS = 32

#: Fewer brackets than this may contradict each other without its being said: the spells are taken.
_FEW = 5


@dataclass
class Track:
    """Pieces of a clock's log, in the order of time, each with its offset.

    ``order``: their numbers in the order of the log: where a clock is set back by days its older file comes first.
    ``cuts``: the first row of all but the first of these.

    ``rank``: the place of each member among those of the log, by its number in the table. ``ahead``: how far the node
    that it was measured by is ahead of the reference, in ms.
    """

    pieces: list[Piece]
    rank: np.ndarray
    cuts: list[tuple[int, int]] = field(default_factory=list)
    """(place of the member, row) of the first row of each piece but the first."""
    order: list[int] = field(default_factory=list)
    members: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int16))
    ahead: int = 0

    def at(self, rows: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give for rows, with their stamps in ms, what the clock was ahead, and its bounds; in ms."""
        return self._at(self.piece_of(rows), at)

    def _at(self, which: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        offset, low, high = (np.zeros(len(at), dtype=np.int64) for _ in range(3))
        for number, piece in enumerate(self.pieces):
            mine = which == number
            if not mine.any():
                continue
            own = at[mine]
            least, most = piece.bounds(own)
            offset[mine] = np.round(piece.offset(own)).astype(np.int64) + self.ahead
            low[mine] = np.floor(least).astype(np.int64) + self.ahead
            high[mine] = np.ceil(most).astype(np.int64) + self.ahead
        return offset, low, high

    def at_times(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the same for stamps of another log of the same clock: by the piece that is of their time."""
        begins = np.array([piece.first for piece in self.pieces])
        turn = np.argsort(begins, kind="stable")
        which = turn[np.maximum(np.searchsorted(begins[turn], at, side="right") - 1, 0)]
        return self._at(which, at)

    def piece_of(self, rows: np.ndarray) -> np.ndarray:
        """Tell of which piece each row is, by its number."""
        which = np.zeros(len(rows), dtype=np.int64)
        if not self.cuts:
            return which
        place = self.rank[self.members[rows]].astype(np.int64)
        for member, row in self.cuts:
            which += (place > member) | ((place == member) & (rows >= row))
        found: np.ndarray = np.array(self.order)[which]
        return found


@dataclass
class Measured:
    """What one node tells of one server's clock.

    ``pieces`` are empty where nothing does. ``matched`` of ``of`` lines and calls here have their line there.
    ``highest``: it is ahead by no more than this (ms), which is all that is known. ``torn``: what is known contradicts
    itself.
    """

    asked: Asked
    pieces: list[Piece] = field(default_factory=list)
    matched: int = 0
    of: int = 0
    brackets: int = 0
    highest: int | None = None
    torn: bool = False


def measured(here: Here, asked: Asked, zone_known: bool) -> Measured:
    """Find how far a server's clock is ahead of a node's."""
    mine = _of_this_node(here, asked, zone_known)
    spells, of = spells_of(here, mine, zone_known)
    matched = sum(spell.matched for spell in spells)
    if not spells:
        return Measured(mine, of=of, torn=torn(searched(here, mine), zone_known))
    if not len(here.calls) and not len(here.told):
        return Measured(mine, [], matched, of, highest=highest_of(here, mine, spells[0]))
    # One spell on which all agree bounds the offset, whichever line there is whose.
    agreed = [bracket_of_spell(spell, mine) for spell in spells if len(spells) == 1 and spell.matched == spell.of]
    brackets = brackets_of(here, mine, Guess.of_spells(spells))
    pieces = [piece for part in _joined(spells, brackets) for piece in pieces_of(Brackets.together([part, *agreed]))]
    count = sum(len(part) for part in brackets)
    if pieces:
        # With what that tells, enrollments can be told apart that follow one another closely.
        again = brackets_of(here, mine, Guess.of_pieces(pieces))
        closer = sum(len(part) for part in again)
        if closer > count and all(len(part) for part in again):
            pieces = [piece for part in again for piece in pieces_of(Brackets.together([part, *agreed]))]
            count = closer
    elif count < _FEW:
        pieces = pieces_of(Brackets.together([bracket_of_spell(spell, mine) for spell in spells]))
    return Measured(mine, pieces, matched, of, count, torn=not pieces)


def _joined(spells: Sequence[Spell], brackets: Sequence[Brackets]) -> list[Brackets]:
    """Put the brackets of spells together that may be of one clock that drifts, but not those of one that was set."""
    found: list[list[Brackets]] = []
    before: Spell | None = None
    for spell, part in zip(spells, brackets, strict=True):
        drifted = 0.0 if before is None else DRIFT_MAX * (spell.end - before.begin)
        if before is None or abs(spell.middle - before.middle) > 2 * SECOND_MS + drifted:
            found.append([])
        found[-1].append(part)
        before = spell
    return [Brackets.together(parts) for parts in found]


def _of_this_node(here: Here, asked: Asked, zone_known: bool) -> Asked:
    """Choose the requests of the client that is this node's CES, where several ask."""
    if len(asked.clients) < 2:
        return asked
    found: list[tuple[int, Asked, list[Spell]]] = []
    for client in asked.clients[:_CLIENTS]:
        own = asked.chosen(asked.client == client)
        spells, _ = spells_of(here, own, zone_known)
        found.append((sum(spell.matched for spell in spells), own, spells))
    # CAPF asks CES from the node that both are on: who asks CES asks the CA, too, wherever no NAT lies between.
    best = max(found, key=lambda one: (one[0] > 0 and int(one[1].client[0]) in here.peers, one[0]))
    if not best[0]:
        return asked
    # A node may have several addresses: who shows the same offset is it, too.
    alike = [
        own
        for matched, own, spells in found
        if matched * 3 >= best[0] and any(abs(a.middle - b.middle) <= 2 * SECOND_MS for a in spells for b in best[2])
    ]
    codes = [int(own.client[0]) for own in alike]
    return asked.chosen(np.isin(asked.client, codes))


def track_of(table: Table, rows: np.ndarray, at: np.ndarray, asked: Asked, pieces: list[Piece], ahead: int) -> Track:
    """Make the track of a server whose log are these rows, with their stamps; ``ahead``: of the node measured by."""
    rank = np.zeros(len(table.members), dtype=np.int32)
    codes = each_once(table.member[rows].astype(np.int64)).tolist()
    for number, code in enumerate(sorted(codes, key=lambda code: rotation_key(table.members[code]))):
        rank[code] = number
    track = Track(pieces, rank, members=table.member, ahead=ahead)
    if len(pieces) < 2:
        return track
    turn = np.lexsort((rows, rank[table.member[rows]]))
    rows, at = rows[turn], at[turn]
    key = _keys(rank[table.member[rows]], rows)
    own = _keys(rank[table.member[asked.rows]], asked.rows)
    track.order = sorted(range(len(pieces)), key=lambda number: pieces[number].begin)
    for before, after in pairwise([pieces[number] for number in track.order]):
        begin, end = np.searchsorted(key, own[[before.end, after.begin]])
        jumps = np.diff(at[begin : end + 1])
        middle = np.array([(int(at[begin]) + int(at[end])) // 2])
        jump = float(after.offset(middle)[0] - before.offset(middle)[0])
        # A clock that is put back shows it, unless it is by less than nothing was logged; otherwise there is a hole.
        shown = jump < -_JUMP_MS and jumps.min(initial=0) < 0
        cut = end if not len(jumps) else begin + 1 + int(np.argmin(jumps) if shown else np.argmax(jumps))
        track.cuts.append((int(rank[table.member[rows[cut]]]), int(rows[cut])))
    return track


def _keys(rank: np.ndarray, rows: np.ndarray) -> np.ndarray:
    keys: np.ndarray = rank.astype(np.int64) << 40 | rows
    return keys
