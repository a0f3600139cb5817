"""Runs the cases that stand in the rules: the whole way of the data, on a few lines each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from capflog.rulebook import Case, Rule, Rulebook


@dataclass(frozen=True, slots=True)
class _Held:
    """A member whose text a case holds."""

    name: str
    text: str
    modified: datetime | None = None
    modified_is_local: bool = False

    def chunks(self) -> Iterator[bytes]:
        yield self.text.encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case. ``wrong``: what is wrong about it, or "" where it is as it should be."""

    rule: str
    case: str
    wrong: str


def run_case(rule: Rule, case: Case, rulebook: Rulebook) -> Outcome:
    """Analyze a case's lines and see whether its rule speaks, and whether every log in it was understood."""
    from capflog.analysis import analyze_members  # noqa: PLC0415  (pandas is behind it)
    from capflog.bundle import BundleError  # noqa: PLC0415

    try:
        report = analyze_members(case.name, [_Held(*log) for log in case.logs.items()], rulebook).report
    except BundleError as error:
        return Outcome(rule.id, case.name, f"not understood as a log: {error}")
    unread = [member.member for member in report.members if member.source is None or member.unparsed]
    if unread:
        return Outcome(rule.id, case.name, f"not understood as a log: {', '.join(unread)}")
    spoke = {finding.rule: finding.severity for finding in report.findings}
    if case.speaks == (rule.id in spoke):
        severity = spoke.get(rule.id)
        wrong = f"should be of severity {case.severity}, is {severity}" if case.severity not in (None, severity) else ""
        return Outcome(rule.id, case.name, wrong)
    said = ", ".join(sorted(spoke)) or "nothing"
    return Outcome(rule.id, case.name, f"should {'speak' if case.speaks else 'be silent'}; what spoke: {said}")


def run_cases(rulebook: Rulebook) -> Iterator[Outcome]:
    """Run every case of every rule."""
    for rule in rulebook.rules.values():
        for case in rule.cases:
            yield run_case(rule, case, rulebook)
