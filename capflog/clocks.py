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
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import Asked, Server, asked_of, servers_of
from capflog.clock_log import FIRST_MS, LAST_MS, Log, calls_of
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
from capflog.zones import Zone, offset_name

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
    ``strangers``: IIS's rows of requests of CES on nodes that none of these logs is of, in order.
    """

    clocks: list[Clock]
    iis_known: bool
    display_zone: Zone | None
    sources: set[str]
    moved: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    strangers: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    notices: list[str] = field(default_factory=list)
    """What contradicts what the user told, in words."""


@dataclass
class Machine:
    """A server of IIS: its requests of CES, its rows with their stamps, and its clock by what a node tells of it."""

    server: Server
    asked: Asked
    at: np.ndarray
    by: Node | None = None
    found: Measured | None = None
    track: Track | None = None
    strangers: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Rows of requests of CES on other nodes, of which the bundle holds no log."""


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
    for column in (time, earliest, latest):
        _clip(column)
    clocks = described(table, nodes, machines, told)
    sources = {source for source in SOURCES if len(table.runs_of(source))}
    known = any(machine.track is not None for machine in machines)
    notices = [notice for node in nodes for notice in node.notices]
    strangers = np.sort(np.concatenate([moved[0][0][:0], *(machine.strangers for machine in machines)]))
    return Alignment(clocks, known, nodes[0].zone, sources, moved, strangers, notices)


def _clip(times: np.ndarray) -> None:
    """Take away the times that no report can tell: zones and offsets lead beyond the calendar where clocks are odd."""
    odd = (times >= LAST_MS) | ((times < FIRST_MS) & (times != NONE))
    if odd.any():
        times[odd] = NONE


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
        if node.zone is None and machines:
            _match_zone(node, machines)
        if node.zone is None and node.zone_of_files is not None:
            node.zone, node.assumed = node.zone_of_files, True
            node.basis = (
                f"zone assumed: the files' own times are those of their last lines at {node.zone.name}, "
                "unless they were unpacked"
            )
            node.fold()
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
    for machine, *by in zip(machines, *found, strict=True):
        if all(own.pieces for own in by):
            ours = np.concatenate([own.asked.rows for own in by])
            machine.strangers = machine.asked.rows[~np.isin(machine.asked.rows, ours)]
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
    rows = machine.asked.rows
    by_row = np.argsort(rows)

    def span(found: Measured, piece: Piece) -> tuple[int, int]:
        ends = found.asked.rows[[piece.begin, piece.end]]
        first, last = by_row[np.searchsorted(rows, ends, sorter=by_row)].tolist()
        return first, last

    def together(pair: tuple[Piece, Piece]) -> int:
        ours, others = span(own, pair[0]), span(machine_found, pair[1])
        return min(ours[1], others[1]) - max(ours[0], others[0])

    # The server's clock may have been set: what is compared has to be of one time.
    machine_found = machine.found
    by_it, by_other = max(product(own.pieces, machine_found.pieces), key=together)
    at = np.array([(max(by_it.first, by_other.first) + min(by_it.last, by_other.last)) // 2])
    node.ahead = round(float(by_other.offset(at)[0] - by_it.offset(at)[0])) + machine.by.ahead
    spreads = [high[0] - low[0] for low, high in (by_it.bounds(at), by_other.bounds(at))]
    node.bound = machine.by.bound + round(float(sum(spreads)) / 2)
    # Of different times it is the server's clock, too, that may have been set between.
    node.apart = together((by_it, by_other)) < 0
    return True


def _take(machine: Machine, node: Node, found: Measured) -> None:
    if found.pieces or machine.found is None:
        machine.by, machine.found = (node if found.pieces else None), found


def _turn(node: Node, pieces: Sequence[Piece]) -> bool:
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


def _match_zone(node: Node, machines: Sequence[Machine]) -> None:
    """Find a node's zone by the server that matches best."""
    found: list[tuple[Measured, Zone | None]] = []
    # Where the stamps step back as a zone does, they are compared as if it had changed there, too.
    for turned in dict.fromkeys((node.turned(), None)):
        node.zone = turned
        node.fold()
        here = node.here()
        found += [(measured(here, machine.asked, zone_known=False), turned) for machine in machines]
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


def _changes_by(turn: int, first: int, last: int) -> bool:
    """Tell whether any zone changed so much between two moments, which may be off by what zones are."""
    first, last = first - _DAY_MS // 2, last + _DAY_MS // 2
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
        return min((ahead + zone) % _DAY_MS, -(ahead + zone) % _DAY_MS)

    nearest = min(zones, key=lambda zone: (rest(zone), abs(zone)))
    return nearest if rest(nearest) <= _TURN_MS else None


def _moments(piece: Piece, wrong: int) -> np.ndarray:
    """Give a piece's first and last moment by the node's clock, whose zone was taken to be less by ``wrong``."""
    at = np.array([piece.first, piece.last])
    return at - np.round(piece.offset(at)).astype(np.int64) - wrong


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
    track = None if best is None else best.track
    shift = place_iis(rows, at, track, time, earliest, latest, other_log=True)
    return rows[at != NONE], shift
