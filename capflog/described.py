"""What a report says of each clock: its zone, how far it is off, how sure that is, and by what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from capflog.model import Clock, ClockStep, Quality
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.clock_tracks import Track
    from capflog.clocks import Machine
    from capflog.nodes import Node
    from capflog.table import Table
    from capflog.told import Told
    from capflog.tracks import Piece

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: An offset this near to quarters of an hour is a zone that was set wrong; farther off where it is whole hours. (s)
_NEAR_QUARTER, _NEAR_HOUR = 30, 60

#: No zone is wrong by more than from the one end of the world to the other. (s)
_ZONES_APART = 26 * 3600

#: A line of the node that shows the offset stands this near to IIS's. (ms)
_NEAR_MS = 15_000

#: What no jump is: the bounds may be as wide. (s)
_JUMP = 1.0

#: So many brackets, and so close a bound (s), make a good measurement.
_MANY, _CLOSE = 5, 1.0


def described(table: Table, nodes: Sequence[Node], machines: Sequence[Machine], told: Told) -> list[Clock]:
    """Describe each clock that stamped lines: the reference node's first."""
    clocks: list[Clock] = []
    for number, node in enumerate(nodes):
        clocks += _of_node(node, reference=number == 0, several=len(nodes) > 1)
    for machine in machines:
        clocks += _of_machine(table, machine, nodes, told)
    if not machines or table.runs_of("httperr").size:
        clocks += _of_refusals(table, machines, told, nodes)
    return clocks


def _of_node(node: Node, *, reference: bool, several: bool) -> list[Clock]:
    clocks = []
    zone, whose = node.zone, node.name if several else ""
    unclear = node.unclear or "no line of the logs tells the node's zone"
    basis = node.basis or f"{unclear}: its stamps stand as if they were UTC"
    if node.unsure:
        basis += f"; of {node.unsure} stamps of an hour that happened twice nothing tells which of the two it was"
    ahead = None if not reference and not node.related else node.ahead / 1000
    bound = None if ahead is None else 0.0 if reference else node.bound / 1000
    quality: Quality = (
        "reference"
        if reference
        else "none"
        if ahead is None
        else "good"
        if (bound or 0) <= _CLOSE and not node.apart
        else "weak"
    )
    if not reference:
        basis += "; against the first node's clock " + (
            "it is not known: no server of IIS shows both" if ahead is None else "by the IIS that both asked"
        )
    capf = sorted(
        {
            node.log.table.members[int(code)]
            for folder in node.folders
            for code in np.unique(node.log.table.member[folder.trace.rows])
        }
    )
    if capf:
        days = [folder.days for folder in node.folders]
        dates = "; ".join(dict.fromkeys(own.basis for own in days))
        assumed = zone is None or node.assumed or not all(own.known for own in days)
        first = min(int(folder.utc(np.array([0]), node.clock)[0]) for folder in node.folders)
        clocks.append(
            Clock(
                "capf", capf, _offset_at(node, first), ahead, bound, quality, assumed, f"{basis}; {dates}", zone, whose
            )
        )
    stamped = node.log.members("nginx")
    if stamped:
        _, utc = node.told_utc()
        clocks.append(
            Clock(
                "nginx",
                stamped,
                _offset_at(node, int(utc.min())),
                ahead,
                bound,
                quality,
                zone is None or node.assumed,
                basis,
                zone,
                whose,
            )
        )
    return clocks


def _offset_at(node: Node, utc: int) -> int | None:
    return None if node.zone is None else node.zone.offset_at(utc) // 1000


def _of_machine(table: Table, machine: Machine, nodes: Sequence[Node], told: Told) -> list[Clock]:
    known = machine.at != NONE
    if not known.any():
        return []
    codes = np.unique(table.member[machine.server.rows[known]]).tolist()
    names = [table.members[int(code)] for code in codes]
    return [_measured_clock(table, "iis", names, machine, int(machine.at[known].min()), nodes, told)]


def _of_refusals(table: Table, machines: Sequence[Machine], told: Told, nodes: Sequence[Node]) -> list[Clock]:
    names = nodes[0].log.members("httperr")
    if not names:
        return []
    known = [machine for machine in machines if machine.track is not None]
    best = max(known, key=lambda machine: len(machine.asked), default=None)
    first = nodes[0].log.utc_of_iis(table.of_source("httperr"), told.iis_zone)
    first = first[first != NONE]
    return [_measured_clock(table, "httperr", names, best, int(first.min()) if len(first) else 0, nodes, told)]


def _measured_clock(
    table: Table,
    source: str,
    names: list[str],
    machine: Machine | None,
    first: int,
    nodes: Sequence[Node],
    told: Told,
) -> Clock:
    """Describe a clock of the CA's server."""
    zone = told.iis_zone
    offset_of_zone = 0 if zone is None else zone.offset_at(first) // 1000
    declared = "" if zone is None else f"its stamps are declared with --iis-tz to be of {zone.name}; "
    whose = machine.server.name if machine is not None else ""
    found = machine.found if machine is not None else None
    track = machine.track if machine is not None else None
    clock = Clock(source, names, offset_of_zone, None, None, "none", False, "", zone, whose)
    if found is None or track is None or machine is None:
        clock.basis = declared + "no request of CES here could be matched with a line of the CUCM node"
        if found is not None and found.torn:
            clock.quality = "conflict"
            clock.basis = (
                declared + f"its requests and the lines of the CUCM node contradict each other ({found.of} compared)"
            )
        elif found is not None and found.highest is not None:
            clock.quality = "one-sided"
            at_most, at_least = "ahead of the CUCM node by at most", "behind the CUCM node by at least"
            bound = f"{at_most if found.highest >= 0 else at_least} {abs(found.highest) / 1000:.1f} s"
            clock.basis = f"{declared}it is {bound}: requests to CES bound it on this side alone"
        return clock
    last = track.pieces[-1]
    mine = found.asked.at[track.piece_of(found.asked.rows) == len(track.pieces) - 1]
    offset, reach = _offset_and_bound(last, track.ahead, mine)
    clock.offset_seconds, clock.uncertainty_seconds = round(offset / 1000, 3), round(reach / 1000 + 0.0005, 3)
    good = min(found.matched, last.matched) >= _MANY and reach <= _CLOSE * 1000 and found.matched * 2 >= found.of
    clock.quality = "good" if good else "weak"
    clock.basis = f"{declared}matched {found.matched} of {found.of} requests with lines of the CUCM node"
    if len(nodes) > 1 and machine.by is not None and machine.by.name:
        clock.basis += f" {machine.by.name}"
    if machine.by is None or (machine.by.zone is not None and not machine.by.matched and not machine.by.assumed):
        clock.zone_error_seconds = _zone_error(clock.offset_seconds, clock.uncertainty_seconds)
    if last.drift_known:
        clock.drift_ppm = round(last.slope * 1e6, 1)
    clock.steps = _steps(track)
    if machine.by is not None and machine.by.zone is None:
        # The logs can be laid together, but against what IIS's clock should be compared nothing tells.
        clock.offset_seconds = clock.uncertainty_seconds = None
        clock.quality = "none"
    clock.proof = _proof(table, machine)
    return clock


def _offset_and_bound(last: Piece, ahead: int, stamps: np.ndarray) -> tuple[float, float]:
    """Give a clock's offset in the middle of CES's requests of its last piece, and its bound; in ms.

    ``stamps``: those of the requests. Logs of IIS reach farther than the node's: what is far from all that the offset
    was measured by does not count.

    The bound covers what it drifts from there to either end, too, where that is not more than a second in all: a clock
    that drifts farther has no one offset, and its drift is told beside it.
    """
    span = last.last - last.first
    begin = max(int(stamps.min(initial=last.first)), last.first - span)
    end = min(int(stamps.max(initial=last.last)), last.last + span)
    at = np.array([(begin + end) // 2])
    low, high = (float(bound[0]) for bound in last.bounds(at))
    offset = float(last.offset(at)[0])
    reach = max(high - offset, offset - low)
    drifted = abs(last.slope) * (end - begin) / 2
    return offset + ahead, reach + (drifted if reach + drifted <= _CLOSE * 1000 else 0)


def _zone_error(offset: float, bound: float) -> int:
    """Give the quarters of an hour that an offset is near to, in s; 0 where it is near to none."""
    quarters = round(offset / 900) * 900
    near = _NEAR_HOUR if quarters % 3600 == 0 else _NEAR_QUARTER
    # A day is no zone's error: a date was set, or told, wrong.
    if not quarters % 86_400 or abs(quarters) > _ZONES_APART or abs(offset - quarters) > near or bound > near:
        return 0
    return quarters


def _steps(track: Track) -> list[ClockStep]:
    """List where the clock was set."""
    steps = []
    for before, after in zip(track.pieces, track.pieces[1:], strict=False):
        # By the clock itself the last moment before and the first one after may be days apart.
        ends = (before, np.array([before.last])), (after, np.array([after.first]))
        was, became = (float(piece.offset(at)[0]) + track.ahead for piece, at in ends)
        spread = sum(float(high[0] - low[0]) / 2 for low, high in (piece.bounds(at) for piece, at in ends))
        if abs(became - was) > _JUMP * 1000 + spread:
            when = _EPOCH + timedelta(milliseconds=after.first - round(became))
            steps.append(ClockStep(when, round(was / 1000, 3), round(became / 1000, 3)))
    return steps


def _proof(table: Table, machine: Machine) -> list[int]:
    """Choose rows that show the offset: of the first and the last enrollment that were compared a line there, and the
    node's nearest one.
    """
    assert machine.found is not None
    asked, last = machine.found.asked, machine.found.pieces[-1]
    rows = []
    here = table.rows_of("est.enroll.call", "curl.ok")
    # Of several lines of one moment it is the same one whatever the order of the members was.
    here = here[np.lexsort((table.line[here], table.member[here]))]
    times = table.time[here]
    for order in dict.fromkeys((last.begin, last.end)):
        row = int(asked.rows[order])
        if len(here):
            near = int(np.argmin(np.abs(times - table.time[row])))
            if abs(int(times[near]) - int(table.time[row])) <= _NEAR_MS:
                rows.append(int(here[near]))
        rows.append(row)
    return rows
