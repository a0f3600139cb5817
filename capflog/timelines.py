"""A device's way through all logs: its enrollments' lines, CAPF's other lines of it, and what explains its failures."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import re
from typing import TYPE_CHECKING

import numpy as np

from capflog.facts import when
from capflog.model import Enrollment, Row, Timeline
from capflog.steps import in_order, is_fault
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capflog.analysis import Analysis

#: A MAC address in the spellings that people use: 74A02FC0A675, 74:a0:2f:c0:a6:75, 74-A0-..., 74a0.2fc0.a675.
_MAC = re.compile(
    r"(?:[0-9A-Fa-f]{2}([:\-. ]?)(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}|(?:[0-9A-Fa-f]{4}[.:\-]){2}[0-9A-Fa-f]{4})"
)


class UnknownDeviceError(LookupError):
    """No device of the bundle fits; the message offers the nearest."""


def match_devices(wanted: str, known: Sequence[str]) -> list[str]:
    """Give the devices that a name, a name with ``*``, or a MAC address in any spelling means.

    Raises :class:`UnknownDeviceError` where there is none.
    """
    if wanted in known:
        return [wanted]
    by_fold = {name.casefold(): name for name in known}
    if wanted.casefold() in by_fold:
        return sorted(name for name in known if name.casefold() == wanted.casefold())
    if any(sign in wanted for sign in "*?["):
        found = sorted(name for name in known if fnmatch.fnmatchcase(name.casefold(), wanted.casefold()))
        if found:
            return found
    elif _MAC.fullmatch(wanted):
        digits = re.sub(r"[^0-9A-Fa-f]", "", wanted).casefold()
        found = sorted(name for name in known if digits in name.casefold())
        if found:
            return found
    if not known:
        raise UnknownDeviceError(f"{wanted}: no line of these logs names a device")
    near = difflib.get_close_matches(wanted.casefold(), list(by_fold), n=3, cutoff=0.6)
    offer = ", ".join(by_fold[name] for name in near) if near else ", ".join(sorted(known)[:3])
    more = "" if near or len(known) <= 3 else f", and {len(known) - 3} more"
    raise UnknownDeviceError(
        f"{wanted}: no such device in these logs; {'did you mean' if near else 'there are'}: {offer}{more}"
    )


def names(analysis: Analysis) -> list[str]:
    """List what a timeline can be asked of: every device that a line names, and the ids of enrollments without one."""
    named = [analysis.events.devices[c] for c in np.unique(analysis.events.device).tolist() if c >= 0]
    return sorted(named) + [e.id for e in analysis.report.enrollments if e.device is None]


def timelines(analysis: Analysis, only: Iterable[str] | None = None) -> Iterator[Timeline]:
    """Make the timelines of the given devices (all of them where none are given)."""
    wanted = list(names(analysis) if only is None else only)
    report, columns, facts = analysis.report, analysis.columns, analysis.facts
    places = {e.id: place for place, e in enumerate(report.enrollments)}
    by_device: dict[str, list[Enrollment]] = {}
    for enrollment in report.enrollments:
        by_device.setdefault(enrollment.device or enrollment.id, []).append(enrollment)
    device = analysis.events.device
    rows_of = {analysis.events.devices[c]: np.flatnonzero(device == c) for c in np.unique(device).tolist() if c >= 0}
    members = {name: k for k, name in enumerate(analysis.events.members)}
    line_rows = {(int(m), int(n)): row for row, (m, n) in enumerate(zip(columns.member, columns.line, strict=True))}
    titles = {finding.rule: finding.title for finding in report.findings}
    for name in wanted:
        enrollments = by_device.get(name, [])
        rows: list[Row] = []
        taken: set[int] = set()
        causes: set[int] = set()
        for enrollment in enrollments:
            place = places[enrollment.id]
            for record in enrollment.records:
                taken.add(line_rows[members[record.member], record.line])
                rows.append(
                    Row(
                        record.time,
                        record.earliest,
                        record.latest,
                        record.source,
                        record.member,
                        record.line,
                        record.level,
                        record.event,
                        record.text,
                        enrollment.id,
                        record.confidence,
                        record.step,
                        "fault" if record.fault and enrollment.outcome != "issued" else "",
                    )
                )
            causes.update(analysis.cause_rows.get(place, np.zeros(0, np.int64)).tolist())
        others = [int(row) for row in rows_of.get(name, ()) if int(row) not in taken]
        for row in in_order(columns, [*others, *causes]):
            at, low, high = (int(t[row]) for t in (columns.time, columns.earliest, columns.latest))
            rows.append(
                Row(
                    when(at),
                    when(low),
                    when(high),
                    str(columns.source[row]),
                    facts.member(row),
                    int(columns.line[row]),
                    columns.text_of("level", row),
                    columns.kind[row],
                    facts.text(row),
                    None,
                    None,
                    None,
                    "cause" if row in causes else "fault" if is_fault(columns, row) else "",
                )
            )
        rows.sort(key=_at)
        yield Timeline(
            name,
            report.bundle,
            analysis.alignment.display_zone,
            [dataclasses.replace(e, records=[]) for e in enrollments],
            rows,
            {rule: titles[rule] for e in enrollments for rule in e.causes if rule in titles},
            [gap.message for gap in report.gaps],
            any(clock.assumed for clock in report.clocks),
        )


def _at(row: Row) -> int:
    """Order rows by their time, those without one by their bounds; what nothing dates comes first."""
    at = row.time or row.earliest or row.latest
    return NONE if at is None else int(at.timestamp() * 1000)
