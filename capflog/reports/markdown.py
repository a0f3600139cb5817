"""What ``analyze`` and ``check`` say, as Markdown to paste into a ticket: the verdict, the causes, proof and remedies.

How text gets into it, and what renderers make of that: :mod:`capflog.reports.markup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.devices import devices_of
from capflog.events import SOURCES
from capflog.reports import problems, terminal
from capflog.reports.layout import PROSE, Page, joined, some, source_name
from capflog.reports.markup import Sheet, marked
from capflog.reports.times import Times, of_node, zone_assumed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.model import Enrollment, Finding, Member
    from capflog.outputs import Look
    from capflog.reports.problems import Problem
    from capflog.results import Gate, Judged, Result

#: Rows of the tables of devices and of members; names of devices beside a cause; lines of proof.
DEVICES_SHOWN = 20
MEMBERS_SHOWN = 20
DEVICES_NAMED = 6
PROOF_SHOWN = 8

#: Characters of a line of proof; ticket systems limit a text (GitHub: 65,536).
LINE_SHOWN = 1_000


def results(results: Sequence[Result], look: Look) -> Iterator[str]:
    """Write results: where there are several, their sum, then each under a heading of its own."""
    gates = [result.gate for result in results if result.gate is not None]
    if len(gates) > 1:
        failed = sum(not gate.passed for gate in gates)
        told = f"{failed:,} of {len(gates):,} bundles fail" if failed else f"all {len(gates):,} bundles pass"
        yield f"**{'FAIL' if failed else 'PASS'}** {told}\n\n"
    for number, result in enumerate(results):
        if number:
            yield "\n---\n\n"
        yield _Ticket(result, look).text()


class _Ticket:
    """One bundle's result."""

    def __init__(self, result: Result, look: Look) -> None:
        self.report, self.gate = result.report, result.gate
        self.sheet = Sheet(unicode=look.unicode)
        self.page = Page(PROSE, color=False, unicode=look.unicode)
        members = self.report.members
        self.times = Times(
            result.zone,
            look.display,
            assumed=zone_assumed(self.report.clocks),
            node=of_node(self.report.clocks),
            first=min((m.first for m in members if m.first), default=None),
            last=max((m.last for m in members if m.last), default=None),
        )
        self.held = {id(judged.finding): judged for judged in result.judged}
        self.found = problems.by_severity(problems.problems(self.report.findings))
        self.numbers = problems.numbers(self.found)

    def text(self) -> str:
        """Write all of it."""
        if self.gate is not None:
            self._gate(self.gate)
        self._verdict()
        self._causes()
        for number, problem in enumerate(self.found, 1):
            if self._told_in_full(problem):
                self._problem(number, problem)
        self._devices()
        self._lacking()
        self._clocks()
        self._members()
        return self.sheet.text()

    def _gate(self, gate: Gate) -> None:
        sheet = self.sheet
        word = "VOID" if gate.untrusted else "PASS" if gate.passed else "FAIL"
        over = f" at or above {gate.fail_on[0]}" if gate.by_severity else f" of {gate.level}"
        sheet.add(
            f"**{word}** {sheet.code(self.report.bundle)}: "
            + sheet.prose(f"{some(len(gate.failing), 'finding')}{over}; the bundle is {self.report.verdict}")
        )
        sheet.listed(
            [sheet.prose(line) for line in (*gate.untrusted, *gate.lacking)]
            + [self._why_it_fails(judged) for judged in gate.failing]
            + [sheet.prose(f"note: {line}") for line in gate.remarks]
        )

    def _why_it_fails(self, judged: Judged) -> str:
        finding, sheet = judged.finding, self.sheet
        new = f" ({sheet.prose(judged.why)})" if judged.why else ""
        return f"{finding.severity}: {sheet.code(finding.rule)}: {sheet.prose(finding.title)}{new}"

    def _verdict(self) -> None:
        report, sheet = self.report, self.sheet
        word = report.verdict.upper() if report.where is None else "CHOSEN"
        sheet.heading(2, f"{word}: {sheet.code(report.bundle)}")
        first, *more = terminal.verdict_words(report, self.found)
        sheet.add(f"**{sheet.prose(first)}**")
        sheet.listed(sheet.prose(line.removeprefix("- ")) for line in more)
        span = self.times.span(self.times.first, self.times.last, bare=True)
        if span:
            sheet.add(f"Time: {sheet.prose(f'{span}; times are {self.times.whose}')}")
        counts = [f"{report.count(o):,} {o}" for o in ("issued", "failed", "incomplete") if report.count(o)]
        found = f"{some(len(report.devices), 'device')}, {some(len(report.enrollments), 'enrollment')}"
        sheet.add(f"Found: {found}{': ' + ', '.join(counts) if counts else ''}")

    def _causes(self) -> None:
        """A row for each finding, whatever the gate makes of it."""
        sheet = self.sheet
        rows = []
        for problem in self.found:
            for finding in problem:
                judged = self.held[id(finding)]
                since = "" if finding.first is None else self.times.told(finding.first)
                rows.append(
                    [
                        self.numbers[finding.rule],
                        finding.severity,
                        sheet.prose(finding.title, cell=True),
                        sheet.code(finding.rule, cell=True),
                        self._whom(finding),
                        since,
                        "" if finding.severity == "info" else "yes" if finding.resolved else "no",
                        sheet.prose(f"{judged.held}: {judged.why}" if judged.why else judged.held, cell=True)
                        if self.gate is not None
                        else "",
                    ]
                )
        if rows:
            sheet.heading(3, "Causes and notes")
            sheet.table(["No.", "Severity", "What", "Rule", "Whom", "Since", "Resolved", "Gate"], rows)

    def _whom(self, finding: Finding) -> str:
        devices = finding.devices
        if finding.scope == "service" or not devices:
            return "the service"
        return some(len(devices), "device") if len(devices) > 1 else self.sheet.code(devices[0], cell=True)

    def _told_in_full(self, problem: Problem) -> bool:
        if self.gate is not None:
            return any(self.held[id(finding)].held == "fails" for finding in problem)
        return problem[0].severity != "info"

    def _problem(self, number: int, problem: Problem) -> None:
        sheet, head = self.sheet, problem[0]
        alone = len(problem) == 1
        title = head.title if alone else f"One problem with {len(problem)} possible causes"
        sheet.heading(3, f"{number}. {sheet.prose(title)}")
        told = [f"Rule: {sheet.code(head.rule)}, {head.severity}, {head.confidence}"] if alone else []
        sheet.listed([*told, f"Whom: {self._whom_by_name(problem)}", f"When: {self._when(problem)}"])
        if not alone:
            sheet.add("The logs cannot tell these apart:")
            sheet.listed(
                f"{self.numbers[f.rule]}: {sheet.prose(f.title)} ({sheet.code(f.rule)}, {f.confidence})"
                for f in problem
            )
        if alone:
            sheet.paragraphs(head.explanation)
        self._proof(problem)
        for finding in problem:
            if not alone:
                sheet.heading(4, f"If it is {self.numbers[finding.rule]}: {sheet.prose(finding.title)}")
                sheet.paragraphs(finding.explanation)
            self._what(finding, {f.rule for f in problem})

    def _whom_by_name(self, problem: Problem) -> str:
        sheet = self.sheet
        devices = list(dict.fromkeys(device for finding in problem for device in finding.devices))
        named = ", ".join(map(sheet.code, devices[:DEVICES_NAMED]))
        more = len(devices) - DEVICES_NAMED
        by_name = f"{some(len(devices), 'device')}: {named}{f' and {more:,} more' if more > 0 else ''}"
        if any(finding.scope == "service" for finding in problem) or not devices:
            return "the service itself, so every device" + (f"; seen with {by_name}" if devices else "")
        return by_name

    def _when(self, problem: Problem) -> str:
        first = min((f.first for f in problem if f.first), default=None)
        last = max((f.last for f in problem if f.last), default=None)
        times = max(f.occurrences for f in problem)
        when = [self.times.span(first, last) or "at an unknown time", "once" if times == 1 else f"{times:,} times"]
        if all(f.resolved for f in problem):
            when.append("resolved: a later success shows that it is gone")
        elif problem[0].severity == "error":
            when.append("not resolved in these logs")
        return self.sheet.prose("; ".join(when))

    def _proof(self, problem: Problem) -> None:
        sheet = self.sheet
        best = max(problem, key=lambda finding: len(finding.evidence))
        if not best.evidence:
            return
        total, shown = max(f.evidence_total for f in problem), best.evidence[:PROOF_SHOWN]
        more = f"the first {len(shown):,} of {total:,} lines" if total > len(shown) else some(len(shown), "line")
        sheet.add(f"**Proof** ({more}):")
        sheet.add(sheet.fence(_cut(f"{one.member}:{one.line}: {one.text}") for one in shown))

    def _what(self, finding: Finding, known: set[str]) -> None:
        sheet = self.sheet
        for label, steps in (("What to do", finding.remedy), ("How to confirm", finding.verify)):
            if steps:
                sheet.add(f"**{label}**")
                sheet.numbered(steps)
        others = [rule for rule in finding.alternatives if rule not in known]
        if others:
            sheet.add(f"The same lines allow this, too: {', '.join(map(sheet.code, others))}")
        references = [sheet.link(one.get("title", ""), one.get("url", "")) for one in finding.references]
        if any(references):
            sheet.add(f"See: {'; '.join(filter(None, references))}")

    def _devices(self) -> None:
        sheet = self.sheet
        devices = devices_of(self.report.enrollments)
        if not devices:
            return
        sheet.heading(3, "Devices")
        title, below = self.times.column("At", (device.time for device in devices[:DEVICES_SHOWN]))
        rows = [
            [
                sheet.code(device.name, cell=True),
                device.last.outcome,
                f"{device.attempts:,}",
                "" if device.time is None else below.stamp(device.time),
                _told_to_capf(sheet, device.last),
                " or ".join(sheet.code(rule, cell=True) for rule in device.last.causes),
            ]
            for device in devices[:DEVICES_SHOWN]
        ]
        sheet.table(["Device", "Latest attempt", "Tries", title, "Told to CAPF", "Cause"], rows)
        if len(devices) > DEVICES_SHOWN:
            sheet.add(f"and {len(devices) - DEVICES_SHOWN:,} more: {sheet.code('capflog devices')}")

    def _lacking(self) -> None:
        report, sheet = self.report, self.sheet
        if not report.gaps and not report.not_checked:
            return
        sheet.heading(3, "What the bundle lacks")
        for gap in report.gaps:
            sheet.paragraphs(gap.message)
            if gap.collect.strip():
                sheet.paragraphs(f"Collect: {gap.collect}")
        if report.not_checked:
            lacking = {source for one in report.not_checked for source in one.lacking}
            logs = joined([source_name(source) for source in SOURCES if source in lacking])
            count = some(len(report.not_checked), "cause")
            sheet.add(sheet.prose(f"Not checked: {count} of which nothing but the logs of {logs} would tell."))

    def _clocks(self) -> None:
        report, sheet = self.report, self.sheet
        if not report.clocks:
            return
        sheet.heading(3, "Clocks")
        lines = []
        for clock in report.clocks:
            whose = f" {sheet.code(clock.whose)}" if clock.whose else ""
            words = marked(terminal.clock_words(self.page, clock, report, self.times))
            lines.append(f"{sheet.prose(source_name(clock.source))}{whose}: {words}")
        sheet.listed(lines)

    def _members(self) -> None:
        """What was read, the damaged first."""
        sheet, members = self.sheet, self.report.members
        sheet.heading(3, "What was read")
        known = sum(1 for member in members if member.source is not None)
        sheet.add(f"{known:,} of {some(len(members), 'member')} of {sheet.code(self.report.bundle)} read as logs")
        order = {"unreadable": 0, "partial": 1, "parsed": 2, "skipped": 3}
        ranked = sorted(members, key=lambda member: order[member.status])
        sheet.table(
            ["Member", "Log", "Lines", "Read"],
            [
                [
                    sheet.code(member.member, cell=True),
                    sheet.prose(source_name(member.source), cell=True) if member.source else "",
                    f"{member.lines:,}",
                    self._read(member),
                ]
                for member in ranked[:MEMBERS_SHOWN]
            ],
        )
        if len(members) > MEMBERS_SHOWN:
            sheet.add(f"and {len(members) - MEMBERS_SHOWN:,} more: {sheet.code('capflog inspect')}")

    def _read(self, member: Member) -> str:
        told: list[str] = ["in full" if member.status == "parsed" and not member.unparsed else member.status]
        if member.reason:
            told.append(self.sheet.prose(member.reason, cell=True))
        if member.unparsed and member.source is not None:
            told.append(f"{some(member.unparsed, 'unknown line')}")
        return ", ".join(told)


def _cut(text: str) -> str:
    return text if len(text) <= LINE_SHOWN else f"{text[:LINE_SHOWN]}... ({len(text) - LINE_SHOWN:,} characters more)"


def _told_to_capf(sheet: Sheet, last: Enrollment) -> str:
    return sheet.code(last.est_error, cell=True) if last.est_error and last.outcome != "issued" else ""
