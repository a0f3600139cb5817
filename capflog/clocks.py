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
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import Asked, Server, asked_of, servers_of
from capflog.clock_log import FIRST_MS, LAST_MS, Log, calls_of
from capflog.clock_tracks import Measured, Track, measured, track_of
from capflog.collected import CollectedFiles
from capflog.described import described
from capflog.events import SOURCES
from capflog.nodes import Node, date_traces, find_zone, nodes_of
from capflog.placing import place_capf, place_iis, place_nginx
from capflog.rows import NONE
from capflog.start_times import place_ciscora
from capflog.told import NOTHING, Told
from capflog.zone_match import match_zone, turns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from capflog.attempts import Attempt, Trace
    from capflog.dates import Dated
    from capflog.model import Clock, Evidence
    from capflog.starts import Start
    from capflog.table import Table
    from capflog.tracks import Piece
    from capflog.zones import Zone


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
            match_zone(node, [machine.asked for machine in machines])
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
        if node.by_files and any(turns(node, one.pieces) for one in own):
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
