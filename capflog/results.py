"""What ``analyze`` and ``check`` hand to an output: a report, and what the gate made of its findings."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.analysis import Analysis
    from capflog.model import Finding, Report
    from capflog.zones import Zone

#: Most severe first.
SEVERITIES = ("error", "warning", "info")

Held = Literal["fails", "below", "ignored", "known", "not selected"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding and what the gate makes of it. ``why``: of what is passed over, the reason, in words."""

    finding: Finding
    held: Held
    why: str = ""


@dataclass(slots=True)
class Gate:
    """What the gate makes of one bundle.

    ``fail_on``: severities and rules; ``judged``: each finding of the report, in its order; ``coverage``: the share of
    lines understood, in percent (None: there is no line); ``least``: what was asked of it.

    ``lacking``: what else fails it, a sentence each that begins with what it is about (``coverage: ``, ``logs: ``,
    ``whole: ``); ``untrusted``: why it cannot be trusted (``rules: ``, ``input: ``), likewise; ``remarks``: what is to
    be known of it and fails nothing. ``select``: the rules that it asks, ``*`` in them (none: all); ``baseline``:
    whether it knows what was found before; ``settings``: the files that have a word in all that.
    """

    fail_on: tuple[str, ...]
    judged: list[Judged]
    coverage: float | None = None
    least: float | None = None
    lacking: list[str] = field(default_factory=list)
    untrusted: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    settings: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    baseline: bool = False

    def asks(self, rule: str) -> bool:
        """Tell whether a rule is one of those that it asks."""
        return not self.select or any(fnmatch.fnmatchcase(rule, pattern) for pattern in self.select)

    @property
    def failing(self) -> list[Judged]:
        """Give the findings that fail it."""
        return [one for one in self.judged if one.held == "fails"]

    @property
    def passed(self) -> bool:
        """Tell whether nothing fails it."""
        return not (self.failing or self.lacking or self.untrusted)

    @property
    def by_severity(self) -> bool:
        """Tell whether a severity alone says what fails it."""
        return len(self.fail_on) == 1 and self.fail_on[0] in SEVERITIES

    @property
    def level(self) -> str:
        """Name in words what fails it: ``error``, ``warning or clock-offset``."""
        return " or ".join(self.fail_on)


#: How the reason of a member begins that was still being written when it was collected: nothing of it is lost.
_STILL_WRITTEN = "no trailer:"


def damage(report: Report) -> list[str]:
    """Name the members that could not be read whole, with the reason, a sentence each."""
    return [
        f"{member.member}: {member.reason}"
        for member in report.members
        if member.status in ("partial", "unreadable") and member.reason and not member.reason.startswith(_STILL_WRITTEN)
    ]


@dataclass(slots=True)
class Result:
    """One bundle's result. ``gate``: None where nothing is judged (``analyze``).

    ``report`` is whole or, with ``where``, of some enrollments; ``enrollments``: the ids of these (None: all).
    ``analysis`` has the events, for outputs that show them; None where no output of the call does.
    """

    report: Report
    gate: Gate | None = None
    analysis: Analysis | None = None
    enrollments: set[str] | None = None
    zone: Zone | None = None
    """The node's zone: in it text shows times."""
    rules: Sequence[str] | None = None
    """The ids of the rules that were asked; None: those that capflog ships."""
    inputs: tuple[str, ...] = ()
    """The paths that were read as one, relative to the working folder where they lie in it; else their names."""

    @property
    def judged(self) -> Sequence[Judged]:
        """Give each finding with what the gate makes of it; without a gate an error fails and all else is below."""
        if self.gate is not None:
            return self.gate.judged
        return [Judged(one, "fails" if one.severity == "error" else "below") for one in self.report.findings]
