"""The JSON report: ``report.schema.json`` to the letter, and beside it what else the analysis knows.

Beyond the contract stand: ``starts`` (CES's), ``capf_starts``, ``unattributed`` and ``aligned``; a member's ``why`` and
``unknown``; a clock's ``whose``, ``zone``, ``zone_error_seconds``, ``steps`` and ``drift_ppm``; an enrollment's
``missing``; a record's ``text``, ``level``, ``step`` and ``fault``; a finding's ``evidence_total`` and its evidence's
``source``.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC
from typing import TYPE_CHECKING, Any

import capflog
from capflog.records import in_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from capflog.model import CapfStart, Clock, Enrollment, Evidence, Finding, Member, Record, Report, ServiceStart
    from capflog.outputs import Look
    from capflog.results import Gate, Result

SCHEMA = "capflog-report-1"

#: Of the document that holds those of several bundles.
SEVERAL = "capflog-reports-1"

_SURROGATE = re.compile("[\ud800-\udfff]")
_BEYOND_ASCII = re.compile("[\x7f-\U0010ffff]+")


def document(report: Report) -> dict[str, Any]:
    r"""Make the document of the contract, ready for ``json.dumps``.

    Text stands as it was logged. A lone surrogate (a byte of a file's name that is no UTF-8) is no character and many
    readers of JSON refuse it: it is written as the six characters ``\udce9``.
    """
    enrollments = [_enrollment(enrollment) for block in in_blocks(report.enrollments) for enrollment in block]
    clean: dict[str, Any] = _without_surrogates(_document(report, enrollments))
    return clean


def _document(report: Report, enrollments: list[dict[str, Any]]) -> dict[str, Any]:
    chosen = {} if report.where is None else {"where": {"condition": report.where, "of": report.every}}
    return {
        "schema": SCHEMA,
        "tool": {"name": "capflog", "version": capflog.__version__},
        "summary": {
            "verdict": report.verdict,
            "devices": len(report.devices),
            "enrollments": len(report.enrollments),
            "issued": report.count("issued"),
            "failed": report.count("failed"),
            "incomplete": report.count("incomplete"),
        },
        **chosen,
        "findings": [_finding(finding) for finding in report.findings],
        "gaps": [{"id": gap.id, "message": gap.message, "collect": gap.collect} for gap in report.gaps],
        "not_checked": [{"rule": one.rule, "lacking": one.lacking} for one in report.not_checked],
        "bundle": {"name": report.bundle, "members": [_member(member) for member in report.members]},
        "clocks": [_clock(clock) for clock in report.clocks],
        "starts": [_start(start) for start in report.starts],
        "capf_starts": [_capf_start(start) for start in report.capf_starts],
        "enrollments": enrollments,
        "unattributed": report.unattributed,
        "aligned": report.aligned,
    }


def dumps(report: Report) -> str:
    """Write the document as text that ends with a line end: one line for each member, finding, enrollment and so on.

    Characters that a terminal could take for a command, or that nobody can see, are written as JSON escapes: it stays
    the same text for whoever reads the JSON.
    """
    return "".join(pieces(report))


def pieces(report: Report, *, records: bool = True, gate: Gate | None = None) -> Iterator[str]:
    """Give the text of :func:`dumps` piece by piece: no more than some hundred enrollments are held at a time.

    ``records``: with the enrollments' records; without, each has none. ``gate``: what the gate makes of it stands
    beside the contract, as ``gate``.
    """
    yield from map(_harmless, _pieces(report, records=records, gate=gate))


def results(results: Sequence[Result], _look: Look) -> Iterator[str]:
    """Write results: of one bundle its document; of several one that holds theirs, as ``reports``."""
    if len(results) == 1:
        yield from pieces(results[0].report, gate=results[0].gate)
        return
    gates = [result.gate for result in results if result.gate is not None]
    head = {
        "schema": SEVERAL,
        "tool": {"name": "capflog", "version": capflog.__version__},
        "passed": all(gate.passed for gate in gates) if gates else None,
    }
    yield "{\n" + "".join(f"{json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    yield '"reports": [\n'
    for number, result in enumerate(results):
        if number:
            yield ",\n"
        yield from pieces(result.report, gate=result.gate)
    yield "]\n}\n"


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "passed": gate.passed,
        "fail_on": list(gate.fail_on),
        "coverage": None if gate.coverage is None else round(gate.coverage, 3),
        "min_coverage": gate.least,
        "lacking": list(gate.lacking),
        "untrusted": list(gate.untrusted),
        "remarks": list(gate.remarks),
        "settings": list(gate.settings),
        "findings": [{"rule": one.finding.rule, "held": one.held, "why": one.why} for one in gate.judged],
    }


def _pieces(report: Report, *, records: bool, gate: Gate | None = None) -> Iterator[str]:
    lead = "{\n"
    judged = {} if gate is None else {"gate": _gate(gate)}
    for name, value in (_document(report, []) | judged).items():
        if name == "enrollments" and report.enrollments:
            yield f"{lead}{json.dumps(name)}: ["
            lead = "\n"
            for block in in_blocks(report.enrollments) if records else (report.enrollments,):
                for enrollment in block:
                    yield lead + _item(_enrollment(enrollment, records=records))
                    lead = ",\n"
            yield "\n]"
        else:
            yield f"{lead}{json.dumps(name)}: {_value(value)}"
        lead = ",\n"
    yield "\n}\n"


def _harmless(text: str) -> str:
    if text.isascii() and "\x7f" not in text:
        return text
    return _BEYOND_ASCII.sub(lambda found: _quoted(found[0]), text)


def _item(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _properties(properties: dict[str, Any]) -> str:
    return ",\n".join(f"{json.dumps(name)}: {_value(value)}" for name, value in properties.items())


def _value(value: Any) -> str:
    if isinstance(value, list) and value:
        items = ",\n".join(map(_item, value))
        return f"[\n{items}\n]"
    if isinstance(value, dict) and any(isinstance(part, list) for part in value.values()):
        return f"{{\n{_properties(value)}\n}}"
    return _item(value)


def _quoted(text: str) -> str:
    """Write a piece of a JSON text so that it is harmless; a surrogate as in :func:`document`."""
    if text.isprintable():
        return text
    text = _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)
    return "".join(c if c.isprintable() else "\\u007f" if c == "\x7f" else json.dumps(c)[1:-1] for c in text)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        if value.isascii():
            return value
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    if isinstance(value, dict):
        return {name: _without_surrogates(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(part) for part in value]
    return value


def _time(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _number(number: float | None) -> float | None:
    """Seconds to the millisecond; JSON has no word for infinite, so that is null: not known."""
    return None if number is None or not math.isfinite(number) else round(number, 3)


def _member(member: Member) -> dict[str, Any]:
    return {
        "member": member.member,
        "source": member.source,
        "status": member.status,
        "reason": member.reason,
        "lines": member.lines,
        "events": member.events,
        "unparsed": member.unparsed,
        "first": _time(member.first),
        "last": _time(member.last),
        "why": member.why,
        "unknown": [{"line": line, "text": text} for line, text in member.unknown],
    }


def _clock(clock: Clock) -> dict[str, Any]:
    return {
        "source": clock.source,
        "members": list(clock.members),
        "utc_offset_seconds": clock.utc_offset_seconds,
        "offset_seconds": _number(clock.offset_seconds),
        "uncertainty_seconds": _number(clock.uncertainty_seconds),
        "quality": clock.quality,
        "assumed": clock.assumed,
        "basis": clock.basis,
        "whose": clock.whose,
        "zone": None if clock.zone is None else clock.zone.name,
        "zone_error_seconds": clock.zone_error_seconds,
        "steps": [
            {"time": _time(step.time), "before": _number(step.before), "after": _number(step.after)}
            for step in clock.steps
        ],
        "drift_ppm": _number(clock.drift_ppm),
    }


def _record(record: Record) -> dict[str, Any]:
    time = _time(record.time)
    return {
        "member": record.member,
        "line": record.line,
        "source": record.source,
        "event": record.event,
        "time": time,
        "earliest": time if record.earliest is record.time else _time(record.earliest),
        "latest": time if record.latest is record.time else _time(record.latest),
        "confidence": record.confidence,
        "level": record.level,
        "step": record.step,
        "fault": record.fault,
        "text": record.text,
    }


def _enrollment(enrollment: Enrollment, *, records: bool = True) -> dict[str, Any]:
    told = None if enrollment.est_error is None else {"name": enrollment.est_error, "value": enrollment.est_value}
    return {
        "id": enrollment.id,
        "device": enrollment.device,
        "started": _time(enrollment.started),
        "ended": _time(enrollment.ended),
        "outcome": enrollment.outcome,
        "reached": enrollment.reached,
        "missing": enrollment.missing,
        "est_error": told,
        "causes": list(enrollment.causes),
        "records": [_record(record) for record in enrollment.records] if records else [],
    }


def _start(start: ServiceStart) -> dict[str, Any]:
    return {
        "started": _time(start.started),
        "earliest": _time(start.earliest),
        "latest": _time(start.latest),
        "ok": start.ok,
        "pid": start.pid,
        "reached": start.reached,
        "missing": start.missing,
        "ca": start.ca,
        "libest": start.libest,
        "causes": list(start.causes),
        "records": [_record(record) for record in start.records],
    }


def _capf_start(start: CapfStart) -> dict[str, Any]:
    return {
        "started": _time(start.started),
        "ended": _time(start.ended),
        "node": start.node,
        "ok": start.ok,
        "reached": start.reached,
        "missing": start.missing,
        "parameters": dict(start.parameters),
        "changed": [{"parameter": name, "before": before, "after": after} for name, before, after in start.changed],
        "lines": [
            {
                "member": line.member,
                "line": line.line,
                "event": line.event,
                "time": _time(line.time),
                "step": line.step,
                "fault": line.fault,
            }
            for line in start.lines
        ],
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {
        "member": evidence.member,
        "line": evidence.line,
        "text": evidence.text,
        "time": _time(evidence.time),
        "source": evidence.source,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "title": finding.title,
        "severity": finding.severity,
        "confidence": finding.confidence,
        "devices": list(finding.devices),
        "scope": finding.scope,
        "first": _time(finding.first),
        "last": _time(finding.last),
        "occurrences": finding.occurrences,
        "resolved": finding.resolved,
        "evidence": [_evidence(evidence) for evidence in finding.evidence],
        "evidence_total": finding.evidence_total,
        "explanation": finding.explanation,
        "remedy": list(finding.remedy),
        "verify": list(finding.verify),
        "alternatives": list(finding.alternatives),
        "references": [dict(reference) for reference in finding.references],
    }
