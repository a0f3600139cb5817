"""What ``capflog check`` prints: a line for each bundle's verdict, then one for each finding that fails the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.reports.layout import Page, some
from capflog.safe_text import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.results import Gate, Judged, Result

#: How a verdict is said, and its style.
_PASS, _FAIL, _VOID = ("PASS", "bold green"), ("FAIL", "bold red"), ("VOID", "bold red")


def render(results: Sequence[Result], *, width: int, color: bool, unicode: bool) -> str:
    """Set the gate's answers as text, one for each bundle, and their sum where they are several."""
    page = Page(width, color=color, unicode=unicode)
    gates = [result.gate for result in results if result.gate is not None]
    for result, gate in zip(results, gates, strict=True):
        _one(page, result, gate)
    for path in dict.fromkeys(path for gate in gates for path in gate.settings):
        page.add(page.log(f"as {path} says", "dim"), indent=2)
    if len(gates) > 1:
        page.blank()
        failed = sum(not gate.passed for gate in gates)
        word, style = _PASS if not failed else _FAIL
        head = page.say(f"{word}  ", style)
        void = sum(bool(gate.untrusted) for gate in gates)
        told = f"{failed:,} of {len(gates):,} bundles {_fail(failed)}" if failed else f"all {len(gates):,} bundles pass"
        if void:
            word, style = _VOID
            head = page.say(f"{word}  ", style)
            more = f", {failed - void:,} {_fail(failed - void)}" if failed > void else ""
            told = f"{void:,} of {len(gates):,} bundles could not be judged{more}"
        page.add(page.say(told), first=head, hang=head.cell_len)
    return page.text()


def _one(page: Page, result: Result, gate: Gate) -> None:
    word, style = _VOID if gate.untrusted else _PASS if gate.passed else _FAIL
    failing = gate.failing
    if gate.untrusted and not any(member.source for member in result.report.members):
        # Nothing of it was read.
        page.add(page.log(_bare(gate.untrusted[0])), first=page.say(f"{word}  ", style), hang=6)
        return
    over = f" at or above {gate.fail_on[0]}" if gate.by_severity else f" of {gate.level}"
    told = f"{some(len(failing), 'finding')}{over}; the bundle is {result.report.verdict}"
    head = page.say(f"{word}  ", style)
    page.add(page.join(page.log(result.report.bundle), page.say(f": {told}")), first=head, hang=head.cell_len)
    for line in (*gate.untrusted, *gate.lacking):
        page.add(page.log(line), indent=2)
    for line in gate.remarks:
        page.add(page.log(line), first=page.say("note: "), indent=2, hang=9)
    for judged in failing:
        _failing(page, judged)
    for judged in gate.judged:
        if judged.held in ("ignored", "known"):
            passed_over = page.join(
                page.say(f"{judged.finding.rule}: {judged.finding.title} ("), page.log(f"{judged.why})")
            )
            page.add(passed_over, first=page.say(f"{judged.held}: "), indent=2, hang=9)
    below = sum(one.held == "below" for one in gate.judged)
    if below:
        page.add(page.say(f"{some(below, 'finding')}{_below(gate)}: capflog analyze shows them"), indent=2)
    unasked = sum(one.held == "not selected" for one in gate.judged)
    if unasked:
        page.add(page.say(f"{some(unasked, 'finding')} of rules that this gate does not ask"), indent=2)


def _fail(count: int) -> str:
    return "fails" if count == 1 else "fail"


def _bare(line: str) -> str:
    return line.partition(": ")[2] or line


def _below(gate: Gate) -> str:
    return f" below {gate.fail_on[0]}" if gate.by_severity else " of other rules"


def _failing(page: Page, judged: Judged) -> None:
    finding = judged.finding
    whom = f" ({some(len(finding.devices), 'device')})" if finding.devices else ""
    over = ", resolved within the bundle" if finding.resolved else ""
    new = f" [{judged.why}]" if judged.why else ""
    page.add(
        page.say(f"{finding.rule}: {finding.title}{whom}{over}{new}"),
        first=page.say(f"{finding.severity}: "),
        indent=2,
        hang=9,
    )
    if finding.evidence:
        proof = finding.evidence[0]
        page.add(page.join(page.log(f"{proof.member}:{proof.line}: {shortened(proof.text)}")), indent=11)
