"""The findings as a person reads them: what it is, whom it hits, why, the proof, what to do and how to confirm it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capflog.reports.layout import PROSE, Page, short_names, some
from capflog.reports.times import Times
from capflog.safe_text import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from capflog.model import Evidence, Finding

#: Names of devices that a finding lists; the table of devices has the others.
DEVICES_NAMED = 6

#: Lines of proof that are shown; the JSON report has what else is at hand.
PROOF_SHOWN = 6

SEVERITY_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold"}

_COUNTS = {2: "two", 3: "three", 4: "four"}
_INDENT = 3
_LABEL = 9

Problem = list["Finding"]
"""One finding; or several that name each other as alternatives on the same evidence: one problem, several causes."""


def _proof(finding: Finding) -> set[tuple[str, int]]:
    return {(e.member, e.line) for e in finding.evidence}


def problems(findings: Sequence[Finding]) -> list[Problem]:
    """Put the findings that the logs cannot tell apart together; the order of the first of each stays."""
    found: list[Problem] = []
    for finding in findings:
        for problem in found:
            if all(
                f.rule in finding.alternatives
                and finding.rule in f.alternatives
                and f.severity == finding.severity
                and _proof(f) == _proof(finding)
                for f in problem
            ):
                problem.append(finding)
                break
        else:
            found.append([finding])
    return found


def by_severity(found: Sequence[Problem]) -> list[Problem]:
    """Put problems in the order in which they are shown: errors, warnings, notes."""
    order = list(SEVERITY_STYLES)
    return sorted(found, key=lambda problem: order.index(problem[0].severity))


def numbers(found: Sequence[Problem]) -> dict[str, str]:
    """Number the rules of problems in the order in which they are shown: "1"; "2a" and "2b" of one problem."""
    return {
        finding.rule: f"{number}{_letter(place)}" if len(problem) > 1 else f"{number}"
        for number, problem in enumerate(found, 1)
        for place, finding in enumerate(problem)
    }


def _letter(place: int) -> str:
    return chr(ord("a") + place % 26)


def show(page: Page, number: int, problem: Problem, times: Times, titles: dict[str, str]) -> None:
    """Set one problem; ``titles`` has the titles of all rules that spoke, by their ids."""
    head = problem[0]
    mark = page.say(f"{number}".ljust(_INDENT), "bold")
    page.blank()
    if len(problem) == 1:
        page.add(page.say(head.title, SEVERITY_STYLES[head.severity]), first=mark, hang=_INDENT)
        page.add(_kind(page, head), indent=_INDENT)
        if head.severity == "info":
            _note(page, head)
            return
        _where(page, problem, times)
        _why(page, head)
        _prove(page, problem, times)
        _what(page, head, titles, known=set())
        return
    page.add(
        page.say(
            f"One problem with {_COUNTS.get(len(problem), len(problem))} possible causes. "
            "The logs cannot tell these apart:",
            SEVERITY_STYLES[head.severity],
        ),
        first=mark,
        hang=_INDENT,
    )
    letters = [f"{number}{_letter(place)}" for place in range(len(problem))]
    for letter, finding in zip(letters, problem, strict=True):
        page.add(page.say(finding.title, "bold"), first=page.say(letter, "bold"), indent=_INDENT, hang=4)
        page.add(_kind(page, finding), indent=_INDENT + 4)
    _where(page, problem, times)
    _prove(page, problem, times)
    for letter, finding in zip(letters, problem, strict=True):
        page.blank()
        page.add(
            page.say(f"If it is {letter}: {finding.title}", "bold"),
            indent=_INDENT,
            width=PROSE,
        )
        _why(page, finding)
        _what(page, finding, titles, known={f.rule for f in problem})


def _note(page: Page, finding: Finding) -> None:
    """Say what a note says in a sentence or two: nothing is wrong."""
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z])", finding.explanation)
    page.add(page.say(" ".join(sentences[:2])), indent=_INDENT, width=PROSE)
    more = page.join(page.say("What it means and what can be done: capflog rule "), page.log(finding.rule))
    page.add(more, indent=_INDENT, width=PROSE)


def _kind(page: Page, finding: Finding) -> Text:
    sure = {"certain": "certain", "likely": "likely", "possible": "possible"}[finding.confidence]
    return page.join(page.log(finding.rule), page.say(f", {finding.severity}, {sure}"))


def _label(page: Page, word: str) -> Text:
    return page.say(word.ljust(_LABEL), "bold")


def _where(page: Page, problem: Problem, shown: Times) -> None:
    """Whom it hits, and when."""
    devices = list(dict.fromkeys(d for f in problem for d in f.devices))
    whom: list[Text] = []
    if any(f.scope == "service" for f in problem):
        whom.append(page.say("the service itself, so every device" + ("; seen with " if devices else "")))
    if devices:
        named = ", ".join(devices[:DEVICES_NAMED])
        more = len(devices) - DEVICES_NAMED
        whom += [
            page.say(f"{some(len(devices), 'device')}: "),
            page.log(named),
            page.say(f" and {more:,} more" if more > 0 else ""),
        ]
    if whom:
        page.add(page.join(*whom), first=_label(page, "Whom"), indent=_INDENT, hang=_LABEL, width=PROSE)

    first = min((f.first for f in problem if f.first), default=None)
    last = max((f.last for f in problem if f.last), default=None)
    times = max(f.occurrences for f in problem)
    when = [shown.span(first, last) or "at an unknown time", "once" if times == 1 else f"{times:,} times"]
    if problem[0].severity != "info":
        gone = all(f.resolved for f in problem)
        if gone:
            when.append("resolved: a later success shows that it is gone")
        elif problem[0].severity == "error":
            when.append("not resolved in these logs")
    page.add(page.say("; ".join(when)), first=_label(page, "When"), indent=_INDENT, hang=_LABEL, width=PROSE)


#: What stands before a message in NGINX's two logs: the same message stands in both.
_HEAD = re.compile(r"^(?:nginx: \[\w+\] |\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: (?:\*\d+ )?)")

#: How many further places of the same line are named.
_ALSO = 3


def _prove(page: Page, problem: Problem, times: Times) -> None:
    """The lines that prove it, in full; a member is named in full once, then by its file."""
    every = max((f.evidence for f in problem), key=len)
    said: dict[str, list[Evidence]] = {}
    for line in every:
        said.setdefault(_HEAD.sub("", line.text), []).append(line)
    shown = list(said.values())[:PROOF_SHOWN]
    names = short_names(line.member for line in every)
    named: set[str] = set()
    label: Text | None = _label(page, "Proof")
    for line, *others in shown:
        name = names[line.member] if line.member in named else line.member
        named.add(line.member)
        place = page.log(f"{name}:{line.line}", "cyan")
        if line.time is not None:
            place = page.join(place, page.say("  " + times.told(line.time, exact=line.source == "capf")))
        page.add(place, first=label, indent=_INDENT, hang=_LABEL)
        page.add(page.log(shortened(line.text)), indent=_INDENT + _LABEL + 2)
        if others:
            places = ", ".join(f"{names[other.member]}:{other.line}" for other in others[:_ALSO])
            more_places = f" and {len(others) - _ALSO} more" if len(others) > _ALSO else ""
            also = page.join(page.say("also "), page.log(places), page.say(more_places))
            page.add(also, indent=_INDENT + _LABEL + 2)
        label = None
    more = max(f.evidence_total for f in problem) - sum(len(lines) for lines in shown)
    if more > 0:
        page.add(page.say(f"and {more:,} more"), first=label, indent=_INDENT, hang=_LABEL)


def _why(page: Page, finding: Finding) -> None:
    if finding.explanation.strip():
        page.prose(finding.explanation, first=_label(page, "Why"), indent=_INDENT, hang=_LABEL)


def _what(page: Page, finding: Finding, titles: dict[str, str], known: set[str]) -> None:
    """What to do, how to confirm it, what else it may be, and where it is documented."""
    page.numbered(finding.remedy, first=_label(page, "Do"), indent=_INDENT, hang=_LABEL)
    page.numbered(finding.verify, first=_label(page, "Confirm"), indent=_INDENT, hang=_LABEL)
    others = [rule for rule in finding.alternatives if rule not in known]
    label: Text | None = _label(page, "Or")
    for rule in others:
        told = page.say(f": {titles[rule]}") if rule in titles else page.say("")
        page.add(page.join(page.log(rule), told), first=label, indent=_INDENT, hang=_LABEL, width=PROSE)
        label = None
    if others:
        more = "The same lines allow this too; to tell them apart: capflog rule ID"
        page.add(page.say(more), indent=_INDENT, hang=_LABEL, width=PROSE)
    label = _label(page, "See")
    for reference in finding.references:
        title, url = reference.get("title", ""), reference.get("url", "")
        for text in (page.say(title), page.log(url)):
            if text.plain:
                page.add(text, first=label, indent=_INDENT, hang=_LABEL)
                label = None
