"""SARIF 2.1.0, for code scanning: one run, whatever number of bundles, for GitHub takes one of a category.

Beside the standard (OASIS, SARIF 2.1.0) it keeps to what GitHub documents of its support: every result has a location
with a region (a finding without evidence: the bundle), and ``primaryLocationLineHash`` knows it again. Text went
through :func:`capflog.safe_text.visible`, since viewers show it; paths are percent-encoded and relative to where the
bundle lies. :mod:`capflog.reports.sarif_rules` describes the rules.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import capflog
from capflog.reports import ci
from capflog.reports.layout import some
from capflog.reports.sarif_rules import LEVELS, message, rules_of, text_message
from capflog.results import damage
from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from capflog.model import Evidence, Finding
    from capflog.outputs import Look
    from capflog.results import Gate, Judged, Result

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

#: Lines of proof in a message; the locations have all.
_PROOF = 3


def results(results: Sequence[Result], look: Look) -> Iterator[str]:
    """Write results as one log with one run."""
    made = [item for result, prints in ci.fingerprints(results) for item in _results(result, prints, look)]
    rules = rules_of(results)
    places = {rule["id"]: place for place, rule in enumerate(rules)}
    for item in made:
        item["ruleIndex"] = places[item["ruleId"]]
    yield json.dumps(_log(results, rules, made), indent=1) + "\n"


def _log(results: Sequence[Result], rules: list[dict[str, Any]], made: list[dict[str, Any]]) -> dict[str, Any]:
    names = ", ".join(result.report.bundle for result in results)
    run = {
        "tool": {"driver": {"name": "capflog", "semanticVersion": capflog.__version__, "rules": rules}},
        "automationDetails": {
            # What stands before the stroke is GitHub's category: what one upload says replaces what the last one said.
            "id": "capflog/",
            "description": text_message(f"Why phones do not get their certificates, by {names or 'no bundle'}"),
        },
        "invocations": [_invocation(results)],
        "columnKind": "unicodeCodePoints",
        "results": made,
        "properties": {"bundles": [_bundle(result) for result in results]},
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _bundle(result: Result) -> dict[str, Any]:
    gate = result.gate
    facts: dict[str, Any] = {"name": visible(result.report.bundle), "verdict": result.report.verdict}
    if gate is not None:
        coverage = None if gate.coverage is None else round(gate.coverage, 3)
        facts |= {"passed": gate.passed, "failOn": [visible(one) for one in gate.fail_on], "coverage": coverage}
    return facts


def _invocation(results: Sequence[Result]) -> dict[str, Any]:
    """Tell whether the analysis can be trusted, and what could not be read or asked."""
    notes: list[dict[str, Any]] = []
    for result in results:
        report = result.report
        notes += [_note("error", f"{report.bundle}: {line}") for line in _untrusted(result.gate)]
        notes += [_note("warning", f"{report.bundle}: {line}") for line in report.notices]
        notes += [
            _note("warning", f"{member.member}: {member.reason}", result, member.member)
            for member in report.members
            if member.status in ("partial", "unreadable") and member.reason
        ]
        ended = [line for line in (result.gate.remarks if result.gate else ()) if line not in damage(report)]
        notes += [_note("warning", line) for line in ended]
        notes += [_note("note", f"{report.bundle}: {gap.message}") for gap in report.gaps]
        if report.not_checked:
            told = f"{some(len(report.not_checked), 'rule')} not asked, for the logs are not there that would tell"
            notes.append(_note("note", f"{report.bundle}: {told}"))
    sound = not any(_untrusted(result.gate) for result in results)
    return {"executionSuccessful": sound, **({"toolExecutionNotifications": notes} if notes else {})}


def _untrusted(gate: Gate | None) -> Sequence[str]:
    return gate.untrusted if gate is not None else ()


def _note(level: str, text: str, result: Result | None = None, member: str = "") -> dict[str, Any]:
    where = [{"physicalLocation": {"artifactLocation": {"uri": _uri(result, member)}}}] if result is not None else []
    return {"level": level, "message": text_message(text), **({"locations": where} if where else {})}


def _results(result: Result, prints: Sequence[str], look: Look) -> Iterator[dict[str, Any]]:
    """Give a bundle's results, without the places of their rules."""
    bundle, gate = result.report.bundle, result.gate
    for complaint, mark in zip(ci.complaints(gate), prints[len(result.judged) :], strict=False):
        told = message([f"{complaint.title}.", f"{visible(bundle)}: {complaint.text}"])
        yield _item(complaint.rule, "error", told, [_location(result)], mark)
    for judged, mark in zip(result.judged, prints, strict=False):
        if judged.held == "not selected":
            continue
        finding = judged.finding
        rule = visible(finding.rule)
        where = [_location(result, line) for line in finding.evidence] or [_location(result)]
        item = _item(rule, LEVELS[finding.severity], message(_told(finding, result, look)), where[:1], mark)
        if where[1:]:
            item["relatedLocations"] = [
                {"id": number, **place, "message": message([ci.proof(line)])}
                for number, (place, line) in enumerate(zip(where[1:], finding.evidence[1:], strict=True), 1)
            ]
        item["properties"] = _facts(judged, bundle)
        yield item | _held(judged, gate)


def _item(rule: str, level: str, told: dict[str, str], where: list[dict[str, Any]], mark: str) -> dict[str, Any]:
    return {
        "ruleId": rule,
        "ruleIndex": 0,
        "level": level,
        "message": told,
        "locations": where,
        # The second is the one that GitHub looks at.
        "partialFingerprints": {"capflogFinding/v1": mark, "primaryLocationLineHash": f"{mark[:16]}:1"},
    }


def _held(judged: Judged, gate: Gate | None) -> dict[str, Any]:
    """Say what the gate makes of it: suppressed where it is ignored; new, changed or known where it has a baseline."""
    if judged.held == "ignored":
        return {"suppressions": [{"kind": "external", "status": "accepted", "justification": visible(judged.why)}]}
    if judged.held == "known":
        return {"baselineState": "unchanged"}
    if judged.held == "fails" and gate is not None and gate.baseline:
        return {"baselineState": "updated" if judged.why else "new"}
    return {}


def _facts(judged: Judged, bundle: str) -> dict[str, Any]:
    finding = judged.finding
    return {
        "bundle": visible(bundle),
        "gate": judged.held,
        "confidence": finding.confidence,
        "scope": finding.scope,
        "devices": [visible(device) for device in finding.devices],
        "first": _stamp(finding.first),
        "last": _stamp(finding.last),
        "occurrences": finding.occurrences,
        "resolved": finding.resolved,
        "alternatives": [visible(rule) for rule in finding.alternatives],
        "evidenceTotal": finding.evidence_total,
    }


def _stamp(time: datetime | None) -> str | None:
    """RFC 3339 in UTC with milliseconds."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _told(finding: Finding, result: Result, look: Look) -> list[str]:
    """Tell a finding: its first sentence stands alone where there is no room, the rest where it is opened."""
    hit = ci.whom(finding)
    return [
        f"{ci.title(finding).rstrip('.')}.",
        f"Bundle: {visible(result.report.bundle)}, {finding.confidence}",
        *([f"Whom: {hit}"] if hit else []),
        f"When: {ci.when(finding, result, look)}",
        *(["Why:", *ci.lines_of(finding.explanation)] if finding.explanation.strip() else []),
        *(["Proof:", *ci.proofs(finding, _PROOF)] if finding.evidence else []),
        *(["Do:", *ci.steps(finding.remedy)] if finding.remedy else []),
    ]


def _location(result: Result, line: Evidence | None = None) -> dict[str, Any]:
    """Say where a line stands; None: in the bundle as a whole, by the first line, for GitHub asks for one."""
    if line is None:
        region: dict[str, Any] = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
        return {"physicalLocation": {"artifactLocation": {"uri": _uri(result)}, "region": region}}
    number = max(line.line, 1)
    region = {"startLine": number, "startColumn": 1, "endLine": number, "endColumn": len(line.text) + 1}
    region["snippet"] = {"text": visible(line.text)}
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(result, line.member)}, "region": region}}


def _uri(result: Result, member: str = "") -> str:
    """Give the address of a member, relative to where the bundle lies; a byte that is no UTF-8 stays that byte."""
    return "/".join(quote(_bytes(part), safe="!$&'()*+,;=@") for part in ci.parts(result, member))


def _bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "surrogatepass")
