"""GitLab's code quality report: a JSON array with an object for each finding that the gate does not pass over.

The fields are those of GitLab's documentation ("Code Quality report format"): ``description``, ``check_name``,
``fingerprint``, ``severity``, ``location.path``, ``location.lines.begin``. Findings that are ignored, known or not
selected are left out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from capflog.reports import ci
from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.model import Finding
    from capflog.outputs import Look
    from capflog.results import Result

#: What stands above all findings is what keeps the gate from judging them.
_SEVERITIES = {"error": "critical", "warning": "major", "info": "info"}
_OF_THE_GATE = "blocker"


def results(results: Sequence[Result], _look: Look) -> Iterator[str]:
    """Write results as one array; ``[]`` where there is nothing to tell."""
    lead = "[\n"
    for item in _items(results):
        yield lead + json.dumps(item)
        lead = ",\n"
    yield "[]\n" if lead == "[\n" else "\n]\n"


def _items(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    for result, prints in ci.fingerprints(results):
        complaints = ci.complaints(result.gate)
        for complaint, mark in zip(complaints, prints[len(result.judged) :], strict=False):
            yield _item(f"{complaint.title}: {complaint.text}", complaint.rule, mark, _OF_THE_GATE, ci.path(result), 1)
        bundle, whole = visible(result.report.bundle), ci.path(result)
        for remark, mark in zip(ci.remarks(result), prints[len(result.judged) + len(complaints) :], strict=True):
            yield _item(f"{bundle}: {remark}", ci.REMARK, mark, _SEVERITIES["info"], whole, 1)
        for judged, mark in zip(result.judged, prints, strict=False):
            if judged.held not in ("fails", "below"):
                continue
            finding = judged.finding
            place, line = _place(result, finding)
            severity = _SEVERITIES[finding.severity]
            yield _item(_description(finding), visible(finding.rule), mark, severity, place, line)


def _item(description: str, check: str, mark: str, severity: str, place: str, line: int) -> dict[str, Any]:
    return {
        "description": description,
        "check_name": check,
        "fingerprint": mark,
        "severity": severity,
        "location": {"path": place, "lines": {"begin": line}},
    }


def _place(result: Result, finding: Finding) -> tuple[str, int]:
    if not finding.evidence:
        return ci.path(result), 1
    first = finding.evidence[0]
    return ci.path(result, first.member), max(first.line, 1)


def _description(finding: Finding) -> str:
    """Say what it is and whom it hits: GitLab shows it in a line."""
    hit = ci.whom(finding)
    over = "; resolved: a later success shows that it is gone" if finding.resolved else ""
    return f"{ci.title(finding)}{f' ({hit})' if hit else ''}{over}"
