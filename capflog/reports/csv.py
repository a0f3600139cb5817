"""The findings as CSV (RFC 4180, UTF-8, lines end with CR LF): a line of titles, and a row for each finding.

Times are RFC 3339 in UTC with milliseconds. ``held`` and ``why``: what the gate makes of it (empty for ``analyze``).
``devices``: how many; ``names``: which, parted by commas. ``evidence``: the first line that proves it as
``member:line: text``; ``lines``: how many do. ``remedy``: all steps, numbered. No cell is longer than
spreadsheets take. Text reaches a cell through :mod:`capflog.csv_cells`.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from capflog.csv_cells import line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from capflog.outputs import Look
    from capflog.results import Judged, Result

#: The columns.
TITLES = (
    "bundle", "rule", "title", "severity", "confidence", "scope", "held", "why", "resolved", "occurrences", "devices",
    "names", "first", "last", "evidence", "lines", "remedy", "verdict",
)  # fmt: skip

#: A cell holds 32,767 characters in Excel; characters that are escaped take up to ten.
LONGEST = 3_000


def results(results: Sequence[Result], _look: Look) -> Iterator[str]:
    """Write results: the findings of each bundle, in its order."""
    yield line(TITLES)
    for result in results:
        for judged in result.judged:
            yield line(_row(result, judged))


def _row(result: Result, judged: Judged) -> list[object]:
    finding, gate = judged.finding, result.gate is not None
    proof = finding.evidence[0] if finding.evidence else None
    return [
        result.report.bundle,
        finding.rule,
        _prose(finding.title),
        finding.severity,
        finding.confidence,
        finding.scope,
        judged.held if gate else None,
        judged.why if gate else None,
        finding.resolved,
        finding.occurrences,
        len(finding.devices),
        _names(finding.devices),
        _utc(finding.first),
        _utc(finding.last),
        None if proof is None else _short(f"{proof.member}:{proof.line}: {proof.text}"),
        finding.evidence_total,
        _short(" ".join(f"{number}. {_prose(step)}" for number, step in enumerate(finding.remedy, 1))),
        result.report.verdict,
    ]


def _prose(text: str) -> str:
    """Put a rule's prose into one line."""
    return " ".join(text.split())


def _names(devices: Sequence[str]) -> str:
    """Name devices, as many as a cell has room for."""
    shown, room = 0, LONGEST
    while shown < len(devices) and room >= len(devices[shown]) + 2:
        room -= len(devices[shown]) + 2
        shown += 1
    more = len(devices) - shown
    return ", ".join(devices[:shown]) + (f" and {more:,} more" if more else "")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text) - LONGEST:,} characters more)"


def _utc(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
