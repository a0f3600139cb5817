"""What `capflog rule`, `capflog rules` and `capflog explain` print."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from capflog.reports.layout import PROSE, Column, Page, some

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capflog.codes import Explanation

_SEVERITIES = {"error": "red", "warning": "yellow", "info": ""}
_STATUS = {
    "documented": "documented: a published source shows its lines",
    "inferred": "inferred from how the programs work; no published source shows its lines",
}
_LABEL = 9


class Raised(Protocol):
    """A higher severity of a rule, and on which condition it has it."""

    @property
    def severity(self) -> str:
        """error or warning."""
        ...

    @property
    def when(self) -> str:
        """The condition."""
        ...


class Rule(Protocol):
    """What is shown of a rule: :class:`capflog.rulebook.Rule` bears it."""

    @property
    def id(self) -> str:
        """The rule's id, a slug."""
        ...

    @property
    def title(self) -> str:
        """The problem, in a sentence."""
        ...

    @property
    def severity(self) -> str:
        """error, warning or info."""
        ...

    @property
    def status(self) -> str:
        """documented or inferred."""
        ...

    @property
    def since(self) -> str:
        """The version of capflog that had it first."""
        ...

    @property
    def raised(self) -> Sequence[Raised]:
        """Its higher severities, the highest first."""
        ...

    @property
    def when(self) -> str:
        """The condition, as its file has it."""
        ...

    @property
    def likely(self) -> str | None:
        """The condition on which it speaks, but is only likely."""
        ...

    @property
    def explanation(self) -> str:
        """Why it happens."""
        ...

    @property
    def remedy(self) -> list[str]:
        """What to do, step by step."""
        ...

    @property
    def verify(self) -> list[str]:
        """How to confirm it."""
        ...

    @property
    def alternatives(self) -> list[str]:
        """Ids of rules that the same lines may allow."""
        ...

    @property
    def supersedes(self) -> list[str]:
        """Ids of rules that say less of the same thing."""
        ...

    @property
    def references(self) -> list[dict[str, str]]:
        """Where it is documented: title, url."""
        ...


def render_rule(rule: Rule, *, width: int, color: bool, unicode: bool) -> str:
    """Set one rule as text, with all that its file says.

    ``width``, ``color`` and ``unicode`` as in :func:`capflog.reports.terminal.render`, here and below.
    """
    page = Page(width, color=color, unicode=unicode)
    page.add(page.say(rule.title, "bold"), width=PROSE)
    page.add(page.join(page.log(rule.id), page.say(", "), page.log(rule.severity, _SEVERITIES.get(rule.severity, ""))))
    status = _STATUS.get(rule.status, rule.status)
    page.add(page.say(f"{status}; since {rule.since}" if rule.since else status, "dim"), width=PROSE)
    if rule.explanation.strip():
        page.heading("Why")
        page.prose(rule.explanation, indent=2)
    raised = [(f"Is of severity {own.severity} when", own.when) for own in rule.raised]
    speaks = [("Speaks when", rule.when), ("Speaks, but only as likely, when", rule.likely or "")]
    for heading, condition in (*speaks, *raised):
        if condition.strip():
            page.heading(heading)
        for line in _alternatives(condition):
            page.add(page.log(line), indent=2)
    for heading, items in (("Do", rule.remedy), ("Confirm", rule.verify)):
        if items:
            page.heading(heading)
            page.numbered(items, indent=2)
    _ids(page, "The same lines may mean", rule.alternatives)
    _ids(page, "Says more than", rule.supersedes)
    if rule.references:
        page.heading("See")
        for reference in rule.references:
            url = reference.get("url", "")
            page.add(page.say(reference.get("title", url)), indent=2, width=PROSE)
            if url and "title" in reference:
                page.add(page.log(url), indent=4)
    return page.text()


def _alternatives(condition: str) -> list[str]:
    """Set each `or` of a condition on its own line; quoted text stays whole."""
    parts = re.findall(r'"[^"]*"?|[^"]+', condition.strip())
    return "".join(p if p.startswith('"') else re.sub(r"\s+or\b", "\nor", p) for p in parts).splitlines()


def _ids(page: Page, heading: str, rules: Sequence[str]) -> None:
    if rules:
        page.heading(heading)
        for rule in rules:
            page.add(page.log(rule), indent=2)


def render_rules(rules: Iterable[Rule], *, width: int, color: bool, unicode: bool) -> str:
    """Set a table of rules: errors, warnings, notes, each in the order of their ids."""
    page = Page(width, color=color, unicode=unicode)
    order = list(_SEVERITIES)
    every = sorted(rules, key=lambda r: (order.index(r.severity) if r.severity in order else len(order), r.id))
    rows = [
        [
            page.log(r.id, "bold"),
            page.log(r.severity, _SEVERITIES.get(r.severity, "")),
            page.log(r.status),
            page.say(r.title),
        ]
        for r in every
    ]
    columns = [
        Column("rule", yields=True, least=22),
        Column("severity"),
        Column("status"),
        Column("problem", yields=True, least=20),
    ]
    page.table(columns, rows)
    page.blank()
    page.add(page.say(f"{some(len(every), 'rule')}; one in full: capflog rule ID"))
    return page.text()


def render_explanation(explanation: Explanation, *, width: int, color: bool, unicode: bool) -> str:
    """Set what a code or a name means as text."""
    page = Page(width, color=color, unicode=unicode)
    page.prose(explanation.title, style="bold")
    page.blank()
    hang = min(max((len(label) for label, _ in explanation.lines), default=0) + 2, 24)
    for label, text in explanation.lines:
        page.prose(text, first=page.say(label, "bold"), hang=hang)
    if explanation.next:
        page.heading("Next")
        page.numbered(explanation.next, indent=2)
    return page.text()
