"""SARIF's descriptions of rules, and its messages.

The rules are those with a result, described in the words of their findings: these name the hosts and the commands of
the site. GitHub shows ``help.markdown`` beside each alert; of short texts it takes 1,024 characters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from capflog.reports import ci
from capflog.results import SEVERITIES
from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.model import Finding
    from capflog.results import Result

LEVELS = {"error": "error", "warning": "warning", "info": "note"}

#: How GitHub names how sure a rule is, and how grave.
_PRECISION = {"certain": "very-high", "likely": "high", "possible": "medium"}
_GRAVITY = {"error": "error", "warning": "warning", "info": "recommendation"}

#: Characters of a rule's short texts.
_LONGEST = 1024

#: So many bundles that differ in what is to be done are told of in a rule's help; the results tell of all.
_TOLD = 5

#: An address that may be a rule's ``helpUri``.
_ADDRESS = re.compile(
    r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?:[?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
)


def rules_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Describe each rule with a result, in the order of the results."""
    of_gate: dict[str, dict[str, Any]] = {}
    found: dict[str, list[tuple[str, Finding]]] = {}
    for result in results:
        for complaint in ci.complaints(result.gate):
            of_gate.setdefault(complaint.rule, _rule_of_gate(complaint))
        for judged in result.judged:
            if judged.held != "not selected":
                rule = visible(judged.finding.rule)
                found.setdefault(rule, []).append((result.report.bundle, judged.finding))
    return [*of_gate.values(), *(_rule(rule, every) for rule, every in found.items() if rule not in of_gate)]


def _rule(rule: str, every: Sequence[tuple[str, Finding]]) -> dict[str, Any]:
    """Describe a rule by its findings, each with its bundle: in their words, since these say what to do here.

    Of several findings the gravest says how grave the rule is.
    """
    gravest = min((finding for _, finding in every), key=lambda finding: SEVERITIES.index(finding.severity))
    told: dict[tuple[str, ...], tuple[str, Finding]] = {}
    for bundle, finding in every:
        told.setdefault((finding.explanation, *finding.remedy, *finding.verify), (bundle, finding))
    alike = len(told) == 1
    described: dict[str, Any] = {
        "id": rule,
        "name": _pascal(rule),
        "shortDescription": _short(gravest.title),
        "fullDescription": _short((alike and " ".join(gravest.explanation.split())) or gravest.title),
        "help": _help(list(told.values())),
        "defaultConfiguration": {"level": LEVELS[gravest.severity]},
        "properties": {
            "tags": ["capf-online-ca", "certificate-enrollment", gravest.scope],
            "precision": _PRECISION[gravest.confidence],
            "problem.severity": _GRAVITY[gravest.severity],
        },
    }
    address = _help_uri(gravest)
    return described | ({"helpUri": address} if address else {})


def _rule_of_gate(complaint: ci.Complaint) -> dict[str, Any]:
    text = f"{complaint.title}."
    return {
        "id": complaint.rule,
        "name": _pascal(complaint.rule),
        "shortDescription": text_message(text),
        "fullDescription": text_message(text),
        "help": text_message(f"{text} What it says of the bundle cannot be taken for all that there is to say."),
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["capf-online-ca", "gate"], "precision": "very-high", "problem.severity": "error"},
    }


def _help(told: Sequence[tuple[str, Finding]]) -> dict[str, str]:
    """Tell why, what to do and how to confirm it; where bundles differ in that, for each by itself."""
    from capflog.reports.markup import Sheet  # noqa: PLC0415

    sheet = Sheet(unicode=True)
    plain: list[str] = []
    for bundle, finding in told[:_TOLD]:
        if len(told) > 1:
            sheet.heading(1, sheet.prose(bundle))
            plain.append(f"{visible(bundle)}:")
        sheet.paragraphs(finding.explanation)
        plain += ci.lines_of(finding.explanation)
        for heading, label, items in (
            ("What to do", "Do", finding.remedy),
            ("How to confirm it", "Confirm", finding.verify),
        ):
            if items:
                sheet.heading(2, heading)
                sheet.numbered(items)
                plain += [f"{label}:", *ci.steps(items)]
    links = [sheet.link(one.get("title", ""), one.get("url", "")) for one in told[0][1].references]
    if any(links):
        sheet.heading(2, "References")
        sheet.listed(link for link in links if link)
    return message(plain or [ci.title(told[0][1])]) | {"markdown": braced(sheet.text())}


def _help_uri(finding: Finding) -> str:
    for reference in finding.references:
        address = reference.get("url", "")
        if _ADDRESS.fullmatch(address):
            return address
    return ""


def _pascal(rule: str) -> str:
    """Name a rule as SARIF's rules are: ``CaHostnameMismatch``."""
    return "".join(part.capitalize() for part in re.findall(r"[A-Za-z0-9]+", rule)) or "Rule"


def _short(text: str) -> dict[str, str]:
    """Make a message that is no longer than GitHub takes one."""
    shown = visible(text)
    # (Braces become two.)
    room = max(_LONGEST - shown.count("{") - shown.count("}"), (_LONGEST - 3) // 2)
    return message([shown if len(shown) <= room else f"{shown[: room - 3]}..."])


def message(lines: Sequence[str]) -> dict[str, str]:
    """Make a message of lines that are visible already."""
    # "[text](1)" would be a link.
    return {"text": braced("\n".join(lines).replace("](", "] ("))}


def text_message(text: str) -> dict[str, str]:
    """Make a message of one line of anything."""
    return message([visible(text)])


def braced(text: str) -> str:
    """Double braces: one by itself would begin a place for an argument."""
    return text.replace("{", "{{").replace("}", "}}")
