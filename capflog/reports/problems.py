"""The findings as a person reads them: what it is, whom it hits, why, the proof, what to do and how to confirm it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.reports.layout import PROSE, Page, Zone, some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from capflog.model import Evidence, Finding

#: Names of devices that a finding lists; the table of devices has the others.
DEVICES_NAMED = 6

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


def show(page: Page, number: int, problem: Problem, zone: Zone, titles: dict[str, str]) -> None:
    """Set one problem; ``titles`` has the titles of all rules that spoke, by their ids."""
    head = problem[0]
    mark = page.say(f"{number}".ljust(_INDENT), "bold")
    page.blank()
    if len(problem) == 1:
        page.add(page.say(head.title, SEVERITY_STYLES[head.severity]), first=mark, hang=_INDENT)
        page.add(_kind(page, head), indent=_INDENT)
        _where(page, problem, zone)
        _why_and_what(page, head, titles, known=set())
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
    letters = [f"{number}{chr(ord('a') + i % 26)}" for i in range(len(problem))]
    for letter, finding in zip(letters, problem, strict=True):
        page.add(page.say(finding.title, "bold"), first=page.say(letter, "bold"), indent=_INDENT, hang=4)
        page.add(_kind(page, finding), indent=_INDENT + 4)
    _where(page, problem, zone)
    for letter, finding in zip(letters, problem, strict=True):
        page.blank()
        page.add(
            page.say(f"If it is {letter}: {finding.title}", "bold"),
            indent=_INDENT,
            width=PROSE,
        )
        _why_and_what(page, finding, titles, known={f.rule for f in problem})


def _kind(page: Page, finding: Finding) -> Text:
    sure = {"certain": "certain", "likely": "likely", "possible": "possible"}[finding.confidence]
    return page.join(page.log(finding.rule), page.say(f", {finding.severity}, {sure}"))


def _label(page: Page, word: str) -> Text:
    return page.say(word.ljust(_LABEL), "bold")


def _where(page: Page, problem: Problem, zone: Zone) -> None:
    """Whom it hits, when, and the lines that prove it."""
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
    when = [zone.span(first, last) or "at an unknown time", "once" if times == 1 else f"{times:,} times"]
    if problem[0].severity != "info":
        gone = all(f.resolved for f in problem)
        if gone:
            when.append("resolved: a later success shows that it is gone")
        elif problem[0].severity == "error":
            when.append("not resolved in these logs")
    page.add(page.say("; ".join(when)), first=_label(page, "When"), indent=_INDENT, hang=_LABEL, width=PROSE)

    evidence = max((f.evidence for f in problem), key=len)
    label: Text | None = _label(page, "Proof")
    for line in evidence:
        page.add(_place(page, line, zone), first=label, indent=_INDENT, hang=_LABEL)
        page.add(page.log(line.text), indent=_INDENT + _LABEL + 2)
        label = None
    more = max(f.evidence_total for f in problem) - len(evidence)
    if more > 0:
        page.add(page.say(f"and {more:,} more"), first=label, indent=_INDENT, hang=_LABEL)


def _place(page: Page, evidence: Evidence, zone: Zone) -> Text:
    place = page.log(f"{evidence.member}:{evidence.line}", "cyan")
    if evidence.time is not None:
        place.append_text(page.say("  " + zone.stamp(evidence.time, exact=evidence.time.microsecond > 0)))
    return place


def _why_and_what(page: Page, finding: Finding, titles: dict[str, str], known: set[str]) -> None:
    if finding.explanation.strip():
        page.prose(finding.explanation, first=_label(page, "Why"), indent=_INDENT, hang=_LABEL)
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
        url = reference.get("url", "")
        page.add(
            page.join(page.say(reference.get("title", "")), page.say("  " if url else ""), page.log(url)),
            first=label,
            indent=_INDENT,
            hang=_LABEL,
        )
        label = None
