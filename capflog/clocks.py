"""One clock: the date of CAPF's lines, the node's zone, the time of CiscoRA's lines and the offset of IIS.

The reference is the CUCM node's clock, which CAPF and NGINX share. Stamps as logged are never changed; :func:`align`
fills the table's ``time``, ``earliest`` and ``latest``:

- the zone is read off libEST's ``log_access`` records, or taken from the match with IIS (whole quarters of an hour);
- the date of CAPF's lines comes from lines of CES or IIS in its attempts, else from hints, and then is assumed;
- the offset of IIS is the one interval that most pairs of a line there and a line here agree on (Marzullo 1984);
- a record without a stamp lies between its neighbours, or has the time of its twin in error.log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import Attempt, Trace
from capflog.clock_log import QUARTER_MS, Calls, Log, calls_of
from capflog.dates import Dated, date_by_ces, date_by_hints, date_by_iis
from capflog.events import SOURCES
from capflog.model import Clock, Quality
from capflog.offsets import iis_delta
from capflog.placing import place_ciscora, place_iis, place_nginx

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capflog.starts import Start
    from capflog.table import Table


#: So many rows are placed at a time: what is made of them on the way stays in the processor's cache.
_PIECE = 1 << 16


@dataclass(slots=True)
class Alignment:
    """What was found out: the clocks for the report, the node's zone (s), the shift of IIS (ms), CAPF's times."""

    clocks: list[Clock]
    iis_known: bool
    display_zone: int | None
    sources: set[str]


def align(
    table: Table,
    trace: Trace,
    attempts: Sequence[Attempt],
    starts: Sequence[Start],
    dated: Mapping[str, Dated],
) -> Alignment:
    """Put every event on the reference clock; fills ``time``, ``earliest`` and ``latest`` of the table."""
    log = Log(table)
    zones = log.zones()
    zone = zones[0] if zones else None
    calls = calls_of(log, trace, attempts)
    date_known = True
    bases: list[str] = []
    folders = trace.folders()
    dates: list[int] = []
    parts: list[Calls] = []
    for number, part in enumerate(folders):
        own = calls.of_folder(number)
        date, basis, known = date_by_ces(log, part, own.all)
        if date is None:
            date, basis = date_by_iis(log, own, zone)
            known = date is not None
        if date is None:
            date, basis = date_by_hints(log, part, dated)
        date_known = date_known and known
        bases += [basis] if basis not in bases else []
        dates.append(date)
        parts.append(own.later(date))
    date_basis = "; ".join(bases)
    lo, hi, matched, of = iis_delta(log, Calls.together(parts), zone)
    zone_known = zone is not None
    zone_basis = "log_access carries " + _zone_name(zone) if zone is not None else ""
    if zone is None and matched:
        zone = -round((lo + hi) / 2 / QUARTER_MS) * QUARTER_MS // 1000
        zone_known = True
        zone_basis = f"{_zone_name(zone)}, taken from the match with IIS"
    if zone is None:
        zone = 0
        zone_basis = "no line of the logs tells the node's zone: its stamps stand as if they were UTC"
    offset = (lo + zone * 1000, hi + zone * 1000) if matched else None

    time, earliest, latest = table.time, table.earliest, table.latest
    for part, date in zip(folders, dates, strict=True):
        _place_capf(part, date - zone * 1000, time, earliest, latest)
    place_nginx(log, zone, time, earliest, latest)
    place_iis(log, offset, time, earliest, latest)
    place_ciscora(log, starts, time, earliest, latest)
    clocks = _clocks(log, zone, zone_known, zone_basis, date_known, date_basis, offset, matched, of, trace)
    sources = {source for source in SOURCES if len(table.runs_of(source))}
    return Alignment(clocks, offset is not None, zone if zone_known else None, sources)


def _place_capf(trace: Trace, shift: int, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray) -> None:
    """Place CAPF's lines, whose stamps are exact."""
    for begin in range(0, len(trace.rows), _PIECE):
        at = trace.unrolled[begin : begin + _PIECE] + shift
        rows: slice | np.ndarray = trace.rows[begin : begin + _PIECE]
        if trace.first is not None:
            rows = slice(trace.first + begin, trace.first + begin + len(at))
        time[rows] = earliest[rows] = latest[rows] = at


def _zone_name(seconds: int) -> str:
    sign = "-" if seconds < 0 else "+"
    minutes = abs(seconds) // 60
    return f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _clocks(
    log: Log,
    zone: int,
    zone_known: bool,
    zone_basis: str,
    date_known: bool,
    date_basis: str,
    offset: tuple[int, int] | None,
    matched: int,
    of: int,
    trace: Trace,
) -> list[Clock]:
    """Describe each clock that stamped lines."""
    clocks = []
    told = zone if zone_known else None
    if len(trace.rows):
        basis = "; ".join(part for part in (zone_basis, date_basis) if part)
        assumed = not (zone_known and date_known)
        names = [log.table.members[code] for code in trace.members]
        clocks.append(Clock("capf", names, told, 0.0, 0.0, "reference", assumed, basis))
    stamped = log.members("nginx")
    if stamped:
        clocks.append(Clock("nginx", stamped, told, 0.0, 0.0, "reference", not zone_known, zone_basis))
    for source in ("iis", "httperr"):
        names = log.members(source)
        if not names:
            continue
        if offset is None:
            basis = "no request of CES here could be matched with a line of the CUCM node"
            clocks.append(Clock(source, names, 0, None, None, "none", False, basis))
            continue
        middle, half = sum(offset) / 2000, (offset[1] - offset[0]) / 2000
        quality: Quality = "good" if matched >= 5 and half <= 1.0 and matched * 2 >= of else "weak"
        basis = f"matched {matched} of {of} requests with lines of the CUCM node"
        clocks.append(Clock(source, names, 0, round(middle, 3), round(half, 3), quality, False, basis))
    return clocks
