"""What the formats of CI systems share: a finding told in plain lines, where it is, and by what it is known again.

Every line that is given here went through :func:`capflog.safe_text.visible` and is one line.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capflog.reports.layout import joined, some, source_name
from capflog.reports.times import Times, of_node, zone_assumed
from capflog.results import damage
from capflog.safe_text import shortened, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capflog.model import Evidence, Finding, NotChecked, Severity
    from capflog.outputs import Look
    from capflog.results import Gate, Held, Judged, Result

#: Names that the gate's own failures have beside the rules' ids, and what it is to be told.
COVERAGE, RULES, GATE, REMARK = "gate-coverage", "gate-rules", "gate", "gate-remark"

#: By what a sentence of the gate is about: the failure's name and title.
_ABOUT = {
    "rules": (RULES, "The gate did not ask all its rules"),
    "input": ("gate-input", "What the gate is asked of could not be read"),
    "coverage": (COVERAGE, "Too few of the logs' lines are understood"),
    "logs": ("gate-logs", "A log lacks that the gate requires"),
    "whole": ("gate-whole", "Not all of the bundle could be read"),
}

#: So many devices are named where there is room for a sentence.
NAMED = 6


@dataclass(frozen=True, slots=True)
class Complaint:
    """What fails a gate besides the findings. ``rule``: one of the names above; both texts are visible."""

    rule: str
    title: str
    text: str


def complaints(gate: Gate | None) -> list[Complaint]:
    """List what fails a gate besides the findings, in the order in which it says so."""
    if gate is None:
        return []
    return [_complaint(line) for line in (*gate.untrusted, *gate.lacking)]


def _complaint(line: str) -> Complaint:
    about, _, text = line.partition(": ")
    rule, title = _ABOUT.get(about, (GATE, "The gate lacks what it asks for"))
    return Complaint(rule, title, visible(text if about in _ABOUT else line))


def remarks(result: Result) -> list[str]:
    """List what is to be known of a result and fails nothing: what could not be read whole, ignores that ended."""
    return [visible(line) for line in (damage(result.report) if result.gate is None else result.gate.remarks)]


def fingerprints(results: Sequence[Result]) -> Iterator[tuple[Result, list[str]]]:
    """Give each result with a fingerprint for each of its findings, behind these for each complaint, then each remark.

    A fingerprint is the same in every run in which a bundle of that name has that finding, and no two of a document are
    the same. Devices and lines are not part of it: one more phone makes no other finding.
    """
    often: Counter[tuple[str, str]] = Counter()
    for result in results:
        rules = [one.finding.rule for one in result.judged] + [one.rule for one in complaints(result.gate)]
        rules += [REMARK] * len(remarks(result))
        made = []
        for rule in rules:
            key = result.report.bundle, rule
            often[key] += 1
            text = json.dumps(["capflog", *key, often[key]])
            made.append(hashlib.sha256(text.encode()).hexdigest()[:32])
        yield result, made


def parts(result: Result, member: str = "") -> list[str]:
    """Give the relative path of a bundle's member, part by part: none is empty and none leads upwards.

    It begins where the bundle lies, as far as that is known: a pipeline shows findings beside its files. A single log
    is a bundle whose one member has its name; it is one file.
    """
    return [part for part in _path(result, member).split("/") if part not in ("", ".", "..")] or ["bundle"]


def _path(result: Result, member: str) -> str:
    bundle, inputs = result.report.bundle, result.inputs
    if len(inputs) > 1 and member:
        for path in inputs:
            folder, _, name = path.rpartition("/")
            if member == name or member.startswith((f"{name}!/", f"{name}/")):
                return f"{folder}/{member}"
        return member
    place = inputs[0] if len(inputs) == 1 else bundle
    return place if member in ("", bundle, place.rpartition("/")[2]) else f"{place}/{member}"


def path(result: Result, member: str = "") -> str:
    """Give the relative path of a bundle's member as it is shown."""
    return visible("/".join(parts(result, member)))


def lines_of(prose: str) -> list[str]:
    """Break a rule's prose into its lines; without the empty ones."""
    return [visible(line.rstrip()) for line in prose.split("\n") if line.strip()]


def title(finding: Finding) -> str:
    """Give a finding's title in a line."""
    return visible(" ".join(finding.title.split()))


def whom(finding: Finding, named: int = NAMED) -> str:
    """Say in a sentence whom a finding hits; "" where nothing says it."""
    told = []
    if finding.scope == "service":
        told.append("the service itself, so every device" + ("; seen with " if finding.devices else ""))
    if finding.devices:
        names = ", ".join(visible(device) for device in finding.devices[:named])
        more = len(finding.devices) - named
        told.append(f"{some(len(finding.devices), 'device')}: {names}" + (f" and {more:,} more" if more > 0 else ""))
    return "".join(told)


def when(finding: Finding, result: Result, look: Look) -> str:
    """Say in a sentence from when to when, how often, and whether it is over."""
    report = result.report
    times = Times(
        result.zone,
        look.display,
        assumed=zone_assumed(report.clocks),
        node=of_node(report.clocks),
        first=finding.first,
        last=finding.last,
    )
    told = [times.span(finding.first, finding.last) or "at an unknown time"]
    told.append("once" if finding.occurrences == 1 else f"{finding.occurrences:,} times")
    if finding.resolved:
        told.append("resolved: a later success shows that it is gone")
    elif finding.severity == "error":
        told.append("not resolved in these logs")
    return "; ".join(told)


def proof(line: Evidence) -> str:
    """Show a line that proves a finding: where it stands, and the line."""
    return visible(f"{line.member}:{line.line}: {shortened(line.text)}")


def proofs(finding: Finding, most: int | None = None) -> list[str]:
    """Show the lines that prove a finding, ``most`` of them (None: all at hand), and how many more there are."""
    shown = [proof(line) for line in finding.evidence[:most]]
    more = finding.evidence_total - len(shown)
    return [*shown, f"and {more:,} more"] if more > 0 else shown


def steps(items: Sequence[str]) -> list[str]:
    """Number what is to be done, step by step; the further lines of a step are indented."""
    told = []
    for number, item in enumerate(items, 1):
        first, *others = lines_of(item) or [""]
        told += [f"{number}. {first}", *(f"   {line}" for line in others)]
    return told


def told(finding: Finding, result: Result, look: Look, *, named: int = NAMED) -> list[str]:
    """Tell all of a finding but its title, line by line, as :mod:`capflog.reports.problems` does for a terminal."""
    made = [visible(f"{finding.rule}, {finding.severity}, {finding.confidence}")]
    hit = whom(finding, named)
    made += [f"Whom: {hit}"] if hit else []
    made.append(f"When: {when(finding, result, look)}")
    for label, lines in (
        ("Why", lines_of(finding.explanation)),
        ("Proof", proofs(finding)),
        ("Do", steps(finding.remedy)),
        ("Confirm", steps(finding.verify)),
        ("Or", [visible(rule) for rule in finding.alternatives]),
        ("See", [visible(" ".join(part for part in _of(one) if part)) for one in finding.references]),
    ):
        if lines:
            made += [f"{label}:", *(f"  {line}" for line in lines)]
    return made


def _of(reference: dict[str, str]) -> tuple[str, str]:
    return reference.get("title", ""), reference.get("url", "")


def why_held(judged: Judged) -> str:
    """Say why a finding that is passed over is; of one that fails: what is new about it."""
    return visible(judged.why)


def lacking(unasked: NotChecked) -> str:
    """Say which logs a rule lacks: ``no log of IIS or HTTPERR``."""
    return visible(f"no log of {joined([source_name(source) for source in unasked.lacking], 'or')}")


def verdict(result: Result) -> str:
    """Say in a line what came of a bundle: ``FAIL: 1 finding at or above error; the bundle is failing``."""
    gate, report = result.gate, result.report
    bundle = f"the bundle is {report.verdict}"
    if report.where is not None:
        # (What is left out may have failed: there is no verdict on some.)
        chosen = f"{len(report.enrollments):,} of {some(report.every, 'enrollment')}"
        bundle = f"of {chosen}, those with: {visible(report.where)}"
    if gate is None:
        return f"{counted(one.finding for one in result.judged)}; {bundle}"
    word = "VOID" if gate.untrusted else "PASS" if gate.passed else "FAIL"
    over = f"at or above {gate.fail_on[0]}" if gate.by_severity else f"of {visible(gate.level)}"
    return f"{word}: {some(len(gate.failing), 'finding')} {over}; {bundle}"


def counted(findings: Iterable[Finding]) -> str:
    """Count findings: ``1 error, 2 warnings``; ``0 findings``."""
    often = Counter(finding.severity for finding in findings)
    words: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "note"}
    return ", ".join(some(often[severity], word) for severity, word in words.items() if often[severity]) or "0 findings"


def passed_over(gate: Gate) -> list[str]:
    """Count what a gate passes over, of each kind that there is: ``1 below error``, ``2 ignored``."""
    often = Counter(one.held for one in gate.judged)
    said: dict[Held, str] = {
        "below": f"below {gate.fail_on[0]}" if gate.by_severity else "of other rules",
        "ignored": "ignored",
        "known": "known by the baseline",
        "not selected": "not selected",
    }
    return [f"{often[held]:,} {words}" for held, words in said.items() if often[held]]
