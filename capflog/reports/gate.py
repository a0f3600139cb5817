"""What ``capflog check`` prints: a line for the verdict, then one for each finding that fails the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.reports.layout import Page, some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.model import Finding, Report


def render(report: Report, failing: Sequence[Finding], *, fail_on: str, width: int, color: bool, unicode: bool) -> str:
    """Set the gate's answer as text; ``failing`` are the findings at or above ``fail_on``."""
    page = Page(width, color=color, unicode=unicode)
    word, style = ("FAIL", "bold red") if failing else ("PASS", "bold green")
    told = f"{some(len(failing), 'finding')} at or above {fail_on}; the bundle is {report.verdict}"
    head = page.say(f"{word}  ", style)
    page.add(page.join(page.log(report.bundle), page.say(f": {told}")), first=head, hang=head.cell_len)
    for finding in failing:
        whom = f" ({some(len(finding.devices), 'device')})" if finding.devices else ""
        over = ", resolved within the bundle" if finding.resolved else ""
        page.add(
            page.say(f"{finding.rule}: {finding.title}{whom}{over}"),
            first=page.say(f"{finding.severity}: "),
            indent=2,
            hang=9,
        )
        if finding.evidence:
            proof = finding.evidence[0]
            page.add(page.join(page.log(f"{proof.member}:{proof.line}: {proof.text}")), indent=11)
    other = len(report.findings) - len(failing)
    if other:
        page.add(page.say(f"{some(other, 'finding')} below {fail_on}: capflog analyze shows them"), indent=2)
    return page.text()
