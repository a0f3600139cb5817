"""One clock: the date of CAPF's lines, the node's zone, the time of CiscoRA's lines and the offset of IIS.

The reference is the clock of the CUCM node on which CAPF runs, which CAPF and NGINX share. Stamps as logged are never
changed; :func:`align` fills the table's ``time``, ``earliest`` and ``latest``:

- the zone is told, or read off libEST's ``log_access`` records or the collection's own, or taken from the match with
  IIS (whole quarters of an hour);
- the day of CAPF's lines comes from lines of CES or IIS in its attempts, from the collection's records of its files,
  else from hints, and then is assumed;
- the offset of IIS is the line that most brackets of its requests allow (:mod:`capflog.tracks`), for each server;
- a record without a stamp lies between its neighbours, or has the time of its twin in error.log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import Asked, Server, asked_of, servers_of
from capflog.clock_log import Log, calls_of
from capflog.clock_tracks import Measured, Track, measured, track_of
from capflog.collected import CollectedFiles
from capflog.described import described
from capflog.events import SOURCES
from capflog.nodes import Node, date_traces, find_zone, nodes_of
from capflog.offsets import QUARTER_MS
from capflog.placing import place_capf, place_iis, place_nginx
from capflog.rows import NONE
from capflog.start_times import place_ciscora
from capflog.told import NOTHING, Told
from capflog.zone_changes import changes_so, observed, offsets_at
from capflog.zones import Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from capflog.attempts import Attempt, Trace
    from capflog.dates import Dated
    from capflog.model import Clock, Evidence
    from capflog.starts import Start
    from capflog.table import Table
    from capflog.tracks import Piece

_DAY_MS, _HALF_HOUR_MS = 86_400_000, 1_800_000

#: Where a zone changes, IIS's offset turns by just so much, give or take this. (ms)
_TURN_MS = 5_000


@dataclass(slots=True)
class Alignment:
    """What was found out: the clocks for the report, whether IIS's offset is known, the node's zone (None: it is not).

    ``moved``: what was taken off the stamps of rows, in ms, so that it can be put back where nothing is to be shifted.
    """

    clocks: list[Clock]
    iis_known: bool
    display_zone: Zone | None
    sources: set[str]
    moved: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


@dataclass
class Machine:
    """A server of IIS: its requests of CES, its rows with their stamps, and its clock by what a node tells of it."""

    server: Server
    asked: Asked
    at: np.ndarray
    by: Node | None = None
    found: Measured | None = None
    track: Track | None = None


def align(
    table: Table,
    trace: Trace,
    attempts: Sequence[Attempt],
    starts: Sequence[Start],
    dated: Mapping[str, Dated],
    files: CollectedFiles | None = None,
    told: Told = NOTHING,
) -> Alignment:
    """Put every event on the reference clock; fills ``time``, ``earliest`` and ``latest`` of the table."""
    log = Log(table)
    files = files if files is not None else CollectedFiles(())
    machines = [
        Machine(server, asked_of(log, server, told.iis_zone), log.utc_of_iis(server.rows, told.iis_zone))
        for server in servers_of(log)
    ]
    nodes = nodes_of(table, trace, calls_of(log, trace, attempts), told)
    for node in nodes:
        find_zone(node, told, files, dated)
        date_traces(node, told, [machine.asked for machine in machines], files, dated)
        node.fold()
    _measure(nodes, machines)

    time, earliest, latest = table.time, table.earliest, table.latest
    for node in nodes:
        for folder in node.folders:
            place_capf(folder, node, time, earliest, latest)
        place_nginx(node, time, earliest, latest)
    moved = [_place(machine, time, earliest, latest) for machine in machines]
    moved.append(_place_refusals(log, machines, told, time, earliest, latest))
    place_ciscora(log, starts, time, earliest, latest)
    clocks = described(table, nodes, machines, told)
    sources = {source for source in SOURCES if len(table.runs_of(source))}
    known = any(machine.track is not None for machine in machines)
    return Alignment(clocks, known, nodes[0].zone, sources, moved)


def unalign(table: Table, alignment: Alignment, evidence: Iterable[Evidence]) -> None:
    """Put back what was taken off the stamps of IIS's records: their times are then those of its own clock.

    ``evidence``: what findings show of them.
    """
    codes = {name: code for code, name in enumerate(table.members)}
    shown = [line for line in evidence if line.time is not None]
    for rows, shift in alignment.moved:
        for column in (table.time, table.earliest, table.latest):
            own = column[rows]
            column[rows] = np.where(own == NONE, NONE, own + shift)
        for line in shown:
            at = np.flatnonzero((table.member[rows] == codes[line.member]) & (table.line[rows] == line.line))
            if len(at) and line.time is not None:
                line.time += timedelta(milliseconds=int(shift[at[0]]))


def _measure(nodes: Sequence[Node], machines: Sequence[Machine]) -> None:
    """Find the servers' clocks by what each node tells of them, and by them how the nodes' own clocks differ."""
    found: list[list[Measured]] = []
    for node in nodes:
        here = node.here()
        if node.zone is None and machines:
            first = [measured(here, machine.asked, zone_known=False) for machine in machines]
            best = max(first, key=lambda one: one.matched)
            if best.pieces:
                _take_zone(node, best.pieces)
                here = node.here()
        known = node.zone is not None
        own = [measured(here, machine.asked, zone_known=known) for machine in machines]
        if node.by_files and any(_turn(node, one.pieces) for one in own):
            here = node.here()
            own = [measured(here, machine.asked, zone_known=True) for machine in machines]
        found.append(own)
    # From the reference node on: what it tells of a server, another node's words about the same server tell of that.
    reached = {0}
    waiting = list(range(1, len(nodes)))
    for _ in nodes:
        for machine, *by in zip(machines, *found, strict=True):
            if machine.by is None:
                order = sorted(reached, key=lambda n: (not by[n].pieces, n))
                _take(machine, nodes[order[0]], by[order[0]])
        for n in [*waiting]:
            related = next((m for m, own in zip(machines, found[n], strict=True) if _relates(nodes[n], own, m)), None)
            if related is not None:
                reached.add(n)
                waiting.remove(n)
    for n in waiting:
        nodes[n].related = False
    for machine, *by in zip(machines, *found, strict=True):
        if machine.found is None or not machine.found.pieces:
            # A node of which nothing tells how it stands to the reference: it is taken to be in step.
            n = max(range(len(nodes)), key=lambda n: (bool(by[n].pieces), by[n].matched, -n))
            _take(machine, nodes[n], by[n])
    for machine in machines:
        if machine.found is not None and machine.found.pieces and machine.by is not None:
            rows, at = machine.server.rows, machine.at
            known = at != NONE
            machine.track = track_of(
                nodes[0].log.table, rows[known], at[known], machine.found.asked, machine.found.pieces, machine.by.ahead
            )


def _relates(node: Node, own: Measured, machine: Machine) -> bool:
    """Tell how far a node's clock is ahead of the reference, if both have their lines in one server's log."""
    if machine.by is None or machine.found is None or not machine.found.pieces or not own.pieces:
        return False
    by_it, by_other = own.pieces[0], machine.found.pieces[0]
    at = np.array([(by_it.first + by_it.last) // 2])
    node.ahead = round(float(by_other.offset(at)[0] - by_it.offset(at)[0])) + machine.by.ahead
    spreads = [high[0] - low[0] for low, high in (by_it.bounds(at), by_other.bounds(at))]
    node.bound = machine.by.bound + round(float(sum(spreads)) / 2)
    return True


def _take(machine: Machine, node: Node, found: Measured) -> None:
    if found.pieces or machine.found is None:
        machine.by, machine.found = (node if found.pieces else None), found


def _take_zone(node: Node, pieces: Sequence[Piece]) -> None:
    """Take quarters of an hour of IIS's offset for the node's zone; where that turns as a zone does, for its change."""
    taken: list[tuple[Piece, int]] = []
    for piece in pieces:
        quarters = _quarters(piece)
        if taken:
            before, zone = taken[-1]
            turn = float(piece.offset(np.array([piece.first]))[0] - before.offset(np.array([before.last]))[0])
            if abs(turn + quarters - zone) > _TURN_MS or (quarters - zone) % _HALF_HOUR_MS or abs(turn) > _DAY_MS // 8:
                # A clock that was set, not a zone that changed.
                break
        taken.append((piece, quarters))
    moments = [np.linspace(piece.first, piece.last, 50).astype(np.int64) for piece, _ in taken]
    utc = [
        at - np.round(piece.offset(at)).astype(np.int64) - zone
        for at, (piece, zone) in zip(moments, taken, strict=True)
    ]
    found = observed(np.concatenate(utc), np.repeat([zone for _, zone in taken], 50))
    assert found is not None
    node.zone = found
    node.basis = "zone taken from the match with IIS"
    if not found.constant:
        node.basis += f": {' then '.join(_names(found))}"
    node.matched = True
    node.fold()


def _quarters(piece: Piece) -> int:
    """Give the offset, of those that zones have, that is nearest to what IIS is ahead of the node's local time, in ms.

    They are quarters of an hour; where IIS's clock is off by days these are no part of the zone.
    """
    ahead = round(float(piece.offset(np.array([piece.zero]))[0]))
    zones = [zone for zone in offsets_at(piece.zero) if zone % QUARTER_MS == 0]
    whole = [zone for zone in zones if abs(ahead + zone) < _DAY_MS // 2]
    if not whole:
        rest = (ahead + _DAY_MS // 2) % _DAY_MS - _DAY_MS // 2
        return min(zones, key=lambda zone: (min((rest + zone) % _DAY_MS, -(rest + zone) % _DAY_MS), abs(zone)))
    return min(whole, key=lambda zone: abs(ahead + zone))


def _turn(node: Node, pieces: Sequence[Piece]) -> bool:
    """Have a zone that was read off the last lines change where IIS's offset turns as zones do; tell whether so."""
    if len(pieces) < 2 or node.zone is None or not node.zone.constant:
        return False
    last, zone = pieces[-1], node.zone.offsets[0]
    ahead = round(float(last.offset(np.array([last.first]))[0]))
    moments, zones = [], []
    for piece in pieces:
        turn = round(float(piece.offset(np.array([piece.last]))[0]) - ahead)
        near = round(turn / _HALF_HOUR_MS) * _HALF_HOUR_MS
        if abs(turn - near) > _TURN_MS or abs(near) > 2 * _HALF_HOUR_MS:
            return False
        moments.append(np.array([piece.first, piece.last]) - ahead)
        zones.append(zone - near)
    for (before, after), (one, other) in zip(pairwise(moments), pairwise(zones), strict=True):
        if one != other and not changes_so(one, other, int(before[1]), int(after[0])):
            return False
    found = observed(np.concatenate(moments), np.repeat(zones, 2))
    if found is None or found.constant:
        return False
    node.zone = found
    node.basis += f", and IIS tells of its change: {' then '.join(_names(found))}"
    node.fold()
    return True


def _names(zone: Zone) -> list[str]:
    return [Zone.fixed(offset // 1000).name for offset in zone.offsets]


def _place(
    machine: Machine, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Place the rows of a server; gives them with what was taken off."""
    known = machine.at != NONE
    shift = place_iis(machine.server.rows, machine.at, machine.track, time, earliest, latest)
    return machine.server.rows[known], shift


def _place_refusals(
    log: Log, machines: Sequence[Machine], told: Told, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Place what HTTP.sys logged: it is of a server whose clock is known, the same one as IIS's."""
    rows = log.of("httperr")
    at = log.utc_of_iis(rows, told.iis_zone)
    known = [machine for machine in machines if machine.track is not None]
    best = max(known, key=lambda machine: len(machine.asked), default=None)
    track = None
    if best is not None and best.track is not None:
        # Its files are others: the clock as it was in the end.
        last = best.track.pieces[-1]
        track = Track([last], best.track.rank, members=log.table.member, ahead=best.track.ahead)
    shift = place_iis(rows, at, track, time, earliest, latest)
    return rows[at != NONE], shift
