"""Annotations of GitHub Actions: workflow commands, a line each, that a step prints.

The grammar is that of GitHub's documentation and of actions/runner (``ActionCommand``): ``::name key=value,...::text``.
In values ``%``, line ends, ``:`` and ``,`` are written as ``%25``, ``%0D``, ``%0A``, ``%3A`` and ``%2C``, in the text
``%`` and line ends. Each line begins with its command, so nothing that a log says can be one.

GitHub shows the first ten errors, warnings and notices of a step: what matters most stands first, and the last notice
sums up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.reports import ci
from capflog.reports.layout import some
from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.model import Finding
    from capflog.outputs import Look
    from capflog.results import Judged, Result

#: So many annotations of a kind GitHub shows of one step.
SHOWN = 10

_KINDS = {"error": "error", "warning": "warning", "info": "notice"}

#: Of what the gate does not fail for: that is no error.
_KINDS_BELOW = {"error": "warning", "warning": "warning", "info": "notice"}

_ORDER = ("error", "warning", "notice")

#: Lines of proof in an annotation, and so many characters of each.
_PROOF, _LONGEST = 3, 400


def results(results: Sequence[Result], look: Look) -> Iterator[str]:
    """Write results as annotations, the most important first, and a notice that sums up."""
    told = [
        *(_complaint(result, complaint) for result in results for complaint in ci.complaints(result.gate)),
        *(_remark(result, line) for result in results for line in ci.remarks(result)),
        *(_failing(result, one.finding, look) for result in results for one in _held(result, "fails")),
        *(_below(result, one.finding, look) for result in results for one in _held(result, "below")),
    ]
    notices = [line for kind, line in told if kind == "notice"]
    for kind in _ORDER[:2]:
        yield from (line for of, line in told if of == kind)
    # The last notice must be among those that GitHub shows.
    yield from notices[: SHOWN - 1]
    yield _command("notice", {"title": "capflog"}, _sum(results, len(notices) - (SHOWN - 1)))


def _held(result: Result, held: str) -> list[Judged]:
    return [one for one in result.judged if one.held == held]


def _complaint(result: Result, complaint: ci.Complaint) -> tuple[str, str]:
    bundle = result.report.bundle
    facts = {"file": ci.path(result), "title": complaint.title}
    return "error", _command("error", facts, f"{visible(bundle)}: {complaint.text}")


def _remark(result: Result, line: str) -> tuple[str, str]:
    facts = {"file": ci.path(result), "title": "Not all is well with the gate or its bundle"}
    return "warning", _command("warning", facts, f"{visible(result.report.bundle)}: {line}")


def _failing(result: Result, finding: Finding, look: Look) -> tuple[str, str]:
    return _finding(_KINDS[finding.severity], result, finding, look)


def _below(result: Result, finding: Finding, look: Look) -> tuple[str, str]:
    return _finding(_KINDS_BELOW[finding.severity], result, finding, look)


def _finding(kind: str, result: Result, finding: Finding, look: Look) -> tuple[str, str]:
    bundle = result.report.bundle
    facts = {"file": ci.path(result)}
    if finding.evidence:
        first = finding.evidence[0]
        facts = {"file": ci.path(result, first.member), "line": str(max(first.line, 1))}
    facts["title"] = ci.title(finding)
    hit = ci.whom(finding)
    lines = [
        f"{visible(bundle)}: {visible(finding.rule)}, {finding.confidence}",
        *([f"Whom: {hit}"] if hit else []),
        f"When: {ci.when(finding, result, look)}",
    ]
    if finding.severity != "info":  # else nothing is wrong
        lines += [_short(line) for line in ci.proofs(finding, _PROOF)]
        lines += ["Do:", *ci.steps(finding.remedy)] if finding.remedy else []
    return kind, _command(kind, facts, "\n".join(lines))


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."


def _sum(results: Sequence[Result], more: int) -> str:
    lines = []
    for result in results:
        over = ci.passed_over(result.gate) if result.gate is not None else []
        lines.append(f"{visible(result.report.bundle)}: {ci.verdict(result)}{''.join(f'; {one}' for one in over)}")
    gates = [result.gate for result in results if result.gate is not None]
    if len(gates) > 1:
        failed = sum(not gate.passed for gate in gates)
        lines.append(f"{failed:,} of {len(gates):,} bundles fail" if failed else f"all {len(gates):,} bundles pass")
    if more > 0:
        lines.append(f"{some(more, 'note')} more: capflog analyze shows them")
    return "\n".join(lines) or "no bundle was read"


def _command(name: str, facts: dict[str, str], text: str) -> str:
    # (The runner takes the blanks at a value's ends, and a "=" at its start, for its own.)
    known = ",".join(f"{key}={_value(value.strip().lstrip('='))}" for key, value in facts.items())
    # Where the text is printed line by line, none is a command either.
    lines = (f"- {line}" if line.lstrip().startswith(("::", "##[")) else line for line in text.split("\n"))
    return f"::{name} {known}::{_text(chr(10).join(lines))}\n"


def _text(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _text(text).replace(":", "%3A").replace(",", "%2C")
