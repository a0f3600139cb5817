"""JUnit XML, for CI servers that show tests: a suite for each bundle, and in it a case for each rule that was asked.

A finding that fails the gate is a failure of its rule; one that is ignored or known, and a rule whose logs the bundle
lacks, is skipped; one below the gate passes, and is told in the case's output. What else fails the gate has cases of
its own (``gate-rules``, ``gate-coverage``). The elements are those of the schema of Jenkins' xUnit plugin
(junit-10.xsd), which GitLab and the reporters of GitHub Actions read, too.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import capflog
from capflog.reports import ci
from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.outputs import Look
    from capflog.results import Gate, Judged, Result

#: So many devices are named in a failure; JSON has all.
_NAMED = 100

#: No test takes time by itself: a bundle is read once for all rules.
_NO_TIME = "0"

_COUNTED = ("tests", "failures", "errors", "skipped")


def results(results: Sequence[Result], look: Look) -> Iterator[str]:
    """Write results as one document."""
    root = ET.Element("testsuites", {"name": "capflog"})
    counts = dict.fromkeys(_COUNTED, 0)
    for result in results:
        for name, count in _suite(root, result, look).items():
            counts[name] += count
    # (The schema knows no "skipped" of all suites.)
    root.attrib.update({name: str(counts[name]) for name in _COUNTED[:3]}, time=_NO_TIME)
    ET.indent(root)
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    # ASCII with character references: whatever takes it for another encoding reads the same.
    yield ET.tostring(root, encoding="us-ascii", xml_declaration=False).decode("ascii") + "\n"


def _suite(root: ET.Element, result: Result, look: Look) -> dict[str, int]:
    """Add a bundle's suite; give its counts."""
    report, gate = result.report, result.gate
    suite = ET.SubElement(root, "testsuite", {"name": visible(report.bundle)})
    _properties(suite, result)
    group = f"capflog.{visible(report.bundle).replace('.', '_')}"
    by_rule: dict[str, list[Judged]] = {}
    for judged in result.judged:
        if judged.held != "not selected":
            by_rule.setdefault(judged.finding.rule, []).append(judged)
    unasked = {one.rule: ci.lacking(one) for one in report.not_checked}
    rules = [rule for rule in _asked(result) if gate is None or gate.asks(rule)]
    for rule in dict.fromkeys([*rules, *by_rule]):
        case = _case(suite, group, rule)
        if rule in by_rule:
            _judged(case, by_rule[rule], result, look)
        elif rule in unasked:
            ET.SubElement(case, "skipped", {"message": unasked[rule]})
    if gate is not None:
        _gate(suite, group, gate)
    ET.SubElement(suite, "system-out").text = _shown([ci.verdict(result), *_lacks(result)])
    if remarks := ci.remarks(result):
        ET.SubElement(suite, "system-err").text = _shown(remarks)
    counts = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": 0,
        "skipped": len(suite.findall("testcase/skipped")),
    }
    suite.attrib.update({name: str(count) for name, count in counts.items()}, time=_NO_TIME)
    return counts


def _asked(result: Result) -> Sequence[str]:
    if result.rules is not None:
        return result.rules
    from capflog.rulebook import builtin  # noqa: PLC0415

    return tuple(builtin().rules)


def _properties(suite: ET.Element, result: Result) -> None:
    gate, report = result.gate, result.report
    facts = {
        "capflog": capflog.__version__,
        "verdict": report.verdict,
        "devices": str(len(report.devices)),
        "enrollments": str(len(report.enrollments)),
        "issued": str(report.count("issued")),
        "failed": str(report.count("failed")),
    }
    if gate is not None:
        facts["fail_on"] = ", ".join(map(visible, gate.fail_on))
        if gate.coverage is not None:
            facts["coverage"] = f"{gate.coverage:.3f}"
    made = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(made, "property", {"name": name, "value": value})


def _case(suite: ET.Element, group: str, rule: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", {"name": visible(rule), "classname": group, "time": _NO_TIME})


def _judged(case: ET.Element, every: Sequence[Judged], result: Result, look: Look) -> None:
    """Tell in a rule's case what came of its findings; those that fail are one failure."""
    failing = [one for one in every if one.held == "fails"]
    passed_over = [one for one in every if one.held in ("ignored", "known")]
    if failing:
        facts = {"type": visible(failing[0].finding.rule), "message": _message(failing)}
        ET.SubElement(case, "failure", facts).text = _shown(_told(failing, result, look))
    elif passed_over:
        why = "; ".join(dict.fromkeys(_why(one) for one in passed_over))
        ET.SubElement(case, "skipped", {"message": why})
    others = [one for one in every if one not in failing]
    if others:
        ET.SubElement(case, "system-out").text = _shown(_told(others, result, look))


def _message(failing: Sequence[Judged]) -> str:
    new = [ci.why_held(one) for one in failing if one.why]
    titles = "; ".join(dict.fromkeys(ci.title(one.finding) for one in failing))
    return titles + (f" [{'; '.join(new)}]" if new else "")


def _why(judged: Judged) -> str:
    return f"{judged.held}: {ci.why_held(judged)}" if judged.why else judged.held


def _told(every: Sequence[Judged], result: Result, look: Look) -> list[str]:
    lines: list[str] = []
    for one in every:
        if lines:
            lines.append("")
        lines += [ci.title(one.finding), *ci.told(one.finding, result, look, named=_NAMED)]
    return lines


def _gate(suite: ET.Element, group: str, gate: Gate) -> None:
    """Add the cases of the gate itself: all its rules were asked, enough is understood."""
    complaints = ci.complaints(gate)
    names = [ci.RULES, *([ci.COVERAGE] if gate.least is not None else []), *(one.rule for one in complaints)]
    for name in dict.fromkeys(names):
        case = _case(suite, group, name)
        own = [one for one in complaints if one.rule == name]
        if own:
            ET.SubElement(case, "failure", {"type": name, "message": own[0].title}).text = _shown(
                [one.text for one in own]
            )
        elif name == ci.COVERAGE:
            told = f"{_share(gate.coverage)}; {gate.least:g} % are wanted"
            ET.SubElement(case, "system-out").text = _shown([told])


def _share(coverage: float | None) -> str:
    # 99.996 is not 100.
    return "no line" if coverage is None else f"{int(coverage * 100) / 100:.2f} % of the lines are understood"


def _lacks(result: Result) -> list[str]:
    return [visible(line) for gap in result.report.gaps for line in (gap.message, *gap.collect.split("\n")) if line]


def _shown(lines: Sequence[str]) -> str:
    # GitLab and Jenkins take such a mark, wherever it stands, for the name of a file to offer.
    return "\n".join(["", *lines, ""]).replace("[[ATTACHMENT|", "[[ATTACHMENT |")
