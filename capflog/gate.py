"""The gate: which findings of a report fail it, and which are passed over, for what reason."""

from __future__ import annotations

import fnmatch
import json
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from capflog.results import SEVERITIES, Gate, Held, Judged, damage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capflog.model import Finding, Report, Severity

BASELINE = "capflog-baseline-1"

#: What it keeps of a finding.
_KEPT = ("rule", "severity", "scope", "devices", "resolved")
_SCOPES = ("device", "devices", "service")

#: What can be required beside logs: that no member is damaged or cannot be read.
WHOLE = "whole"


class BaselineError(ValueError):
    """A file is no baseline; the message says why."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """A finding that is not to fail the gate: a rule (``*`` in it), for devices (none: all), until a day inclusive."""

    rule: str
    reason: str
    until: date
    devices: tuple[str, ...] = ()
    source: str = ""

    def fits(self, finding: Finding) -> bool:
        """Tell whether it is of a finding: where it names devices, of every one that the finding names."""
        if not fnmatch.fnmatchcase(finding.rule, self.rule):
            return False
        if not self.devices:
            return True
        return bool(finding.devices) and all(map(self.covers, finding.devices))

    def covers(self, device: str) -> bool:
        """Tell whether it is of a device."""
        return any(fnmatch.fnmatchcase(device.casefold(), pattern.casefold()) for pattern in self.devices)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a baseline keeps of a rule: how severe it was, whom it hit (of a rule of the service: nobody by name)."""

    severity: Severity
    scope: str
    devices: frozenset[str]
    resolved: bool


@dataclass(slots=True)
class Known:
    """What a baseline knows, by rule."""

    rules: dict[str, Kept] = field(default_factory=dict)

    def new_in(self, finding: Finding) -> str | None:
        """Say in words what is new about a finding; ``""``: it is not known at all; None: nothing is new."""
        before = self.rules.get(finding.rule)
        if before is None:
            return ""
        if SEVERITIES.index(finding.severity) < SEVERITIES.index(before.severity):
            return f"known as {before.severity}"
        if before.resolved and not finding.resolved:
            return "known as resolved, and it is back"
        if finding.scope == "service":
            return None if before.scope == "service" else "known of devices, now it is of the service"
        if before.scope == "service":
            return None
        if not finding.devices and before.devices:
            return "known of devices, now no line names one"
        more = sorted(set(finding.devices) - before.devices)
        return f"known, but not for {_named(more)}" if more else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the gate asks. ``fail_on``: severities (that and above) and rules; ``select`` and ``ignore``: rules.

    ``require``: the sources that a bundle must have logs of, for what nobody looked at is not well, and :data:`WHOLE`.
    ``remarks``: what each gate is to tell; ``settings``: the files that say some of this.
    """

    fail_on: tuple[str, ...] = ("error",)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    least: float | None = None
    excuses: tuple[Excuse, ...] = ()
    known: Known | None = None
    today: date = date.max
    require: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def judge(report: Report, wanted: Wanted, untrusted: Sequence[str] = ()) -> Gate:
    """Judge one bundle's report."""
    gate = Gate(wanted.fail_on, [_judged(finding, wanted) for finding in report.findings], coverage(report))
    gate.least, gate.select, gate.baseline = wanted.least, wanted.select, wanted.known is not None
    gate.untrusted = list(untrusted)
    unread = [line for line in damage(report) if wanted.least is not None]
    if unread:
        # What lines there were is not known: of no share can it be told that they are understood.
        more = f", and {len(unread) - 1:,} more" if len(unread) > 1 else ""
        gate.lacking.append(f"coverage: not all could be read, so it cannot be told: {unread[0]}{more}")
    elif wanted.least is not None and gate.coverage is not None and gate.coverage < wanted.least:
        gate.lacking.append(
            f"coverage: {_percent(gate.coverage)} of the lines are understood, {wanted.least:g} % are wanted: "
            "capflog inspect shows the others"
        )
    there = {member.source for member in report.members if member.source}
    gate.settings = wanted.settings
    gate.remarks = [*damage(report), *wanted.remarks]
    for source in wanted.require:
        if source == WHOLE:
            gate.lacking += [f"whole: {line}" for line in damage(report)]
        elif source not in there:
            gate.lacking.append(f"logs: the bundle has no log of {source}, which --require asks for")
    return gate


def coverage(report: Report) -> float | None:
    """Tell how many of the lines of logs are understood, in percent; None where there is no line."""
    lines = sum(member.lines for member in report.members if member.source)
    unknown = sum(member.unparsed for member in report.members if member.source)
    return None if not lines else 100 * (lines - unknown) / lines


def _percent(share: float) -> str:
    # 99.996 is not 100.
    return f"{int(share * 100) / 100:.2f} %"


def _judged(finding: Finding, wanted: Wanted) -> Judged:
    held, why = _held(finding, wanted)
    return Judged(finding, held, why)


def _held(finding: Finding, wanted: Wanted) -> tuple[Held, str]:
    if wanted.select and not _of(finding.rule, wanted.select):
        return "not selected", ""
    named = _of(finding.rule, wanted.fail_on)
    if not named and not any(
        SEVERITIES.index(finding.severity) <= SEVERITIES.index(word) for word in wanted.fail_on if word in SEVERITIES
    ):
        return "below", ""
    if _of(finding.rule, wanted.ignore):
        return "ignored", "by --ignore"
    for excuse in wanted.excuses:
        if excuse.until >= wanted.today and excuse.fits(finding):
            return "ignored", f"until {excuse.until.isoformat()}: {excuse.reason}"
    if wanted.known is not None:
        new = wanted.known.new_in(finding)
        if new is None:
            return "known", "since the baseline was written"
        return "fails", new
    return "fails", ""


def _of(rule: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(rule, pattern) for pattern in patterns)


def ended(excuses: Sequence[Excuse], today: date) -> list[str]:
    """Name the excuses that have ended, a sentence each."""
    return [
        f"{_place(excuse)}the ignore of {excuse.rule} ended on {excuse.until.isoformat()}"
        for excuse in excuses
        if excuse.until < today
    ]


def idle(excuses: Sequence[Excuse], reports: Sequence[Report], today: date) -> list[str]:
    """Name the excuses that hold and serve for nothing, a sentence each, with what is to be done."""
    findings = [finding for report in reports for finding in report.findings]
    found = []
    for excuse in excuses:
        if excuse.until < today or any(excuse.fits(finding) for finding in findings):
            continue
        of_rule = [finding for finding in findings if fnmatch.fnmatchcase(finding.rule, excuse.rule)]
        if not of_rule:
            why = "matches nothing any more: remove it"
        elif any(not finding.devices for finding in of_rule):
            why = "names devices, and the finding is of none: it does not hold"
        else:
            whom = sorted({device for finding in of_rule for device in finding.devices if not excuse.covers(device)})
            why = f"does not cover {_named(whom)}: it does not hold"
        found.append(f"{_place(excuse)}the ignore of {excuse.rule} {why}")
    return found


def _place(excuse: Excuse) -> str:
    return f"{excuse.source}: " if excuse.source else ""


def _named(devices: Sequence[str]) -> str:
    return ", ".join(devices[:3]) + (f" and {len(devices) - 3:,} more" if len(devices) > 3 else "")


def gone(known: Known, gates: Sequence[Gate]) -> list[str]:
    """Name the rules that a baseline knows and of which no bundle has a finding any more."""
    there = {judged.finding.rule for gate in gates for judged in gate.judged}
    return sorted(set(known.rules) - there)


def read_baseline(text: str) -> Known:
    """Read a baseline; raises :class:`BaselineError`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BaselineError(f"not a baseline: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != BASELINE:
        raise BaselineError(f"not a baseline: its 'schema' is not {BASELINE}; --write-baseline writes one")
    known = Known()
    for number, one in enumerate(_list(document.get("findings")), 1):
        rule, severity, scope, devices, resolved = (one.get(name) for name in _KEPT)
        if (
            not isinstance(rule, str)
            or severity not in SEVERITIES
            or scope not in _SCOPES
            or not isinstance(devices, list)
            or not isinstance(resolved, bool)
        ):
            raise BaselineError(f"finding {number}: {', '.join(_KEPT)} are wanted; --write-baseline writes them")
        known.rules[rule] = Kept(severity, scope, frozenset(map(str, devices)), resolved)
    return known


def _list(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BaselineError("'findings' is not a list")
    return value


def baseline_of(gates: Iterable[Gate], written: date) -> str:
    """Write the baseline by which all findings of these gates that fail, or were known, are known."""
    rules: dict[str, Kept] = {}
    for gate in gates:
        for judged in gate.judged:
            if judged.held not in ("fails", "known"):
                continue
            one = judged.finding
            devices = frozenset(one.devices if one.scope != "service" else ())
            new = Kept(one.severity, one.scope, devices, one.resolved)
            old = rules.get(one.rule, new)
            rules[one.rule] = Kept(
                min(old.severity, new.severity, key=SEVERITIES.index),
                "service" if "service" in (old.scope, new.scope) else new.scope,
                old.devices | new.devices,
                old.resolved and new.resolved,
            )
    findings = [
        json.dumps(dict(zip(_KEPT, (rule, one.severity, one.scope, sorted(one.devices), one.resolved), strict=True)))
        for rule, one in sorted(rules.items())
    ]
    body = ",\n".join(f"    {line}" for line in findings)
    listed = f"[\n{body}\n  ]" if findings else "[]"
    return f'{{\n  "schema": "{BASELINE}",\n  "written": "{written.isoformat()}",\n  "findings": {listed}\n}}\n'
