"""Runs the cases that stand in the rules: the whole way of the data, on a few lines each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
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
        yield self.text.encode(errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one case. ``wrong``: what is wrong about it, or "" where it is as it should be."""

    rule: str
    case: str
    wrong: str


#: So often lines of proof are taken out of a case: what is shown of them each time is cut off somewhere.
_ROUNDS = 12


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


def without_proof(rule: Rule, case: Case, rulebook: Rulebook) -> str:
    """Take the lines that prove a rule out of a case on which it speaks; "" where it then falls silent, else why not.

    A rule that an absence proves has no such lines.
    """
    from capflog.analysis import analyze_members  # noqa: PLC0415
    from capflog.bundle import BundleError  # noqa: PLC0415

    logs = dict(case.logs)
    for _ in range(_ROUNDS):
        try:
            report = analyze_members(case.name, [_Held(*log) for log in logs.items()], rulebook).report
        except BundleError:
            # No log is left.
            return ""
        proof = {(e.member, e.line) for f in report.findings if f.rule == rule.id for e in f.evidence}
        if not proof:
            return ""
        logs = {
            name: "".join(line for number, line in enumerate(text.splitlines(True), 1) if (name, number) not in proof)
            for name, text in logs.items()
        }
    return "speaks on, whichever of its proof is taken away"


def run_cases(rulebook: Rulebook, rules: Collection[str] | None = None) -> Iterator[Outcome]:
    """Run every case of every rule, or of these; those on which it speaks without their proof, too."""
    for rule in rulebook.rules.values():
        if rules is not None and rule.id not in rules:
            continue
        for case in rule.cases:
            outcome = run_case(rule, case, rulebook)
            if case.speaks and not outcome.wrong:
                outcome = Outcome(rule.id, case.name, without_proof(rule, case, rulebook))
            yield outcome
