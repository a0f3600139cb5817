"""What an analysis found: the shapes that every report is made of.

Times are timezone-aware UTC datetimes on the reference clock (the CUCM node's). ``Report`` holds what the JSON contract
(``report.schema.json``) names and what the other outputs show besides; ``capflog.reports.json`` writes the contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from capflog.zones import Zone

Status = Literal["parsed", "partial", "skipped", "unreadable"]
Severity = Literal["error", "warning", "info"]
Confidence = Literal["certain", "likely", "possible"]
Outcome = Literal["issued", "failed", "incomplete"]
Verdict = Literal["healthy", "degraded", "failing", "inconclusive"]
Quality = Literal["reference", "good", "weak", "one-sided", "none", "conflict"]


@dataclass(slots=True)
class Member:
    """One member of the bundle, read or not. ``why``: what it was taken for and by which signs."""

    member: str
    source: str | None
    status: Status
    reason: str | None = None
    why: str = ""
    lines: int = 0
    events: int = 0
    unparsed: int = 0
    first: datetime | None = None
    last: datetime | None = None
    unknown: list[tuple[int, str]] = field(default_factory=list)
    """The first lines that no pattern takes: (line number, text)."""
    taken: bool = False
    """It is no log, but all that it tells of the others was taken from it."""


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A jump of one clock against the reference clock: its offset before and after, in seconds.

    ``time``: when, on the reference clock, at the latest (the first record after it).
    """

    time: datetime
    before: float
    after: float


@dataclass(slots=True)
class Clock:
    """One clock that stamped lines; the first eight fields as in the contract.

    ``zone``: the zone of its stamps with its changes, where it is known. ``whose``: the node or server that it is of,
    where the bundle holds several of its kind, else "". ``zone_error_seconds``: the part of the offset that is a zone
    set wrong (a multiple of a quarter of an hour, signed as the offset is), 0: none. ``steps``: its jumps, in order of
    time; the offset is then that after the last one. ``drift_ppm``: how much it gains on the reference (microseconds a
    second), None where it is not measured. ``proof``: rows of the table that show the offset best, in pairs of a line
    here and a line there.
    """

    source: str
    members: list[str]
    utc_offset_seconds: int | None
    offset_seconds: float | None
    uncertainty_seconds: float | None
    quality: Quality
    assumed: bool
    basis: str
    zone: Zone | None = None
    whose: str = ""
    zone_error_seconds: int = 0
    steps: list[ClockStep] = field(default_factory=list)
    drift_ppm: float | None = None
    proof: list[int] = field(default_factory=list, compare=False)


@dataclass(slots=True)
class Record:
    """One log record put to an enrollment, or shown beside it.

    ``step`` is the enrollment's step that the record shows ("call", "login", ...; None: it shows none); ``fault``
    marks a record that tells of the failure.
    """

    member: str
    line: int
    source: str
    event: str
    time: datetime | None
    earliest: datetime | None
    latest: datetime | None
    confidence: Literal["certain", "likely"]
    text: str
    level: str | None = None
    step: str | None = None
    fault: bool = False


@dataclass(slots=True)
class Enrollment:
    """One attempt of a device to have its certificate enrolled."""

    id: str
    device: str | None
    started: datetime | None
    ended: datetime | None
    outcome: Outcome
    reached: str
    missing: str | None
    est_error: str | None
    est_value: int | None
    records: Sequence[Record]
    """Its records in the order in which things happened; an analysis makes them only where they are asked for."""
    causes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ServiceStart:
    """One start of CES: what it logged until it served, or did not."""

    started: datetime | None
    earliest: datetime | None
    latest: datetime | None
    ok: bool | None
    """True: it got the CA's chain; False: it failed; None: its lines do not say."""
    pid: int | None
    records: list[Record]
    causes: list[str] = field(default_factory=list)
    reached: str = "none"
    """The last of :data:`capflog.start_steps.STEPS` that it is seen to have done before the missing one."""
    missing: str | None = None
    """The step at which it failed, or the next one that its logs could show where they break off; None: none is."""
    ca: str | None = None
    """``host:port`` that it asked for the CA's chain."""
    libest: str | None = None
    """The version of libEST that it named."""


@dataclass(slots=True)
class StartLine:
    """Where a line of a start of CAPF stands and what it shows; its text, which may bear a secret, is not read back.

    ``step``: of :data:`capflog.capf_starts.STEPS`; ``fault``: it tells of a failure.
    """

    member: str
    line: int
    event: str
    time: datetime | None
    step: str | None = None
    fault: bool = False


@dataclass(slots=True)
class CapfStart:
    """One start of CAPF: what it logged until its EST client was set up, or was not.

    ``parameters``: the service parameters by their names (as the parser of CAPF's trace gives them), in the order in
    which it read them; None: it has no value, or one that nobody may see. ``changed``: those that the node's start
    before had otherwise: (name, value before, value now).
    """

    started: datetime | None
    ended: datetime | None
    ok: bool | None
    """True: its EST client was set up, or is not wanted; False: a step failed; None: its lines do not say."""
    parameters: dict[str, str | None]
    reached: str
    """The last of :data:`capflog.capf_starts.STEPS` that it is seen to have done before the missing one."""
    missing: str | None
    """The step that failed, or the next one where the lines break off; None: none is."""
    lines: list[StartLine]
    changed: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    node: str = ""
    """The node that it is of, where the bundle holds starts of several, else ""."""

    @property
    def hostname(self) -> str | None:
        """The CA's host name."""
        return self.parameters.get("ca_hostname")

    @property
    def port(self) -> str | None:
        """The CA's port, as logged."""
        return self.parameters.get("ca_port")

    @property
    def template(self) -> str | None:
        """The name of the CA's template."""
        return self.parameters.get("ca_template")


@dataclass(slots=True)
class Evidence:
    """A line that proves a finding."""

    member: str
    line: int
    text: str
    time: datetime | None
    source: str


@dataclass(slots=True)
class Finding:
    """A rule that spoke; fields as in the contract. ``evidence`` holds the first lines of ``evidence_total``."""

    rule: str
    title: str
    severity: Severity
    confidence: Confidence
    devices: list[str]
    scope: Literal["device", "devices", "service"]
    first: datetime | None
    last: datetime | None
    occurrences: int
    resolved: bool
    evidence: list[Evidence]
    evidence_total: int
    explanation: str
    remedy: list[str]
    verify: list[str]
    alternatives: list[str]
    references: list[dict[str, str]]


@dataclass(slots=True)
class Gap:
    """What the bundle lacks for a firm answer, and how to collect it."""

    id: str
    message: str
    collect: str


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A rule that could not be asked. ``lacking``: the logs of which any would do more, in the order of the sources."""

    rule: str
    lacking: list[str]


@dataclass(slots=True)
class Report:
    """What ``analyze`` found in one bundle."""

    bundle: str
    members: list[Member]
    clocks: list[Clock]
    enrollments: list[Enrollment]
    starts: list[ServiceStart]
    findings: list[Finding]
    gaps: list[Gap]
    verdict: Verdict
    devices: list[str]
    """Every device with an enrollment, in the order of their names."""
    unattributed: int
    """Records of CES and CA, of enrollments by their kind, that could be put to none for sure."""
    aligned: bool = True
    """Times of IIS are on the reference clock; False: they are shown as its own clock has them."""
    notices: list[str] = field(default_factory=list)
    """What contradicts what the user told, a sentence each."""
    capf_starts: list[CapfStart] = field(default_factory=list)
    """CAPF's starts, in the order of time; ``starts`` are those of CES."""
    where: str | None = None
    """The condition that chose the enrollments, of ``every`` so many; None: all are there."""
    every: int = 0
    not_checked: list[NotChecked] = field(default_factory=list)
    """The rules that no log of the bundle lets speak: of what they tell, nothing is known."""

    @property
    def ahead_ms(self) -> int:
        """How far the clock of IIS is ahead in the end, in ms; of several that which is farthest off; 0: not known."""
        known = [c.offset_seconds for c in self.clocks if c.source == "iis" and c.offset_seconds is not None]
        return round(max(known, key=abs, default=0.0) * 1000)

    def count(self, outcome: Outcome) -> int:
        """Count the enrollments of an outcome."""
        return sum(1 for e in self.enrollments if e.outcome == outcome)


@dataclass(slots=True)
class Row:
    """One line of a device's timeline. ``mark``: "fault" for a line that tells of the failure, "cause" for evidence of
    its cause that stands outside the enrollment (a failed start of CES), else "". ``among``: of so many enrollments may
    it be that could be put to none for sure; 0: it is no such line.
    """

    time: datetime | None
    earliest: datetime | None
    latest: datetime | None
    source: str
    member: str
    line: int
    level: str | None
    event: str
    text: str
    enrollment: str | None
    confidence: str | None
    step: str | None
    mark: str
    among: int = 0


@dataclass(slots=True)
class Timeline:
    """Everything that the logs say of one device, on one clock.

    ``zone``: the node's, in which times are shown (None: not known, shown as UTC). ``aligned``: as in :class:`Report`.
    """

    device: str
    bundle: str
    zone: Zone | None
    enrollments: list[Enrollment]
    """Without their records: those are among ``rows``."""
    rows: list[Row]
    findings: dict[str, str] = field(default_factory=dict)
    """Title of each cause that the enrollments bear, by rule id."""
    lacking: list[str] = field(default_factory=list)
    """The gaps of the bundle, a sentence each."""
    assumed: bool = False
    """Nothing in the bundle fixes the node's zone, or the date of CAPF's lines."""
    aligned: bool = True
    ahead_ms: int = 0
    """What was taken off the times of IIS in the end, whose clock is so far ahead."""
    more: int = 0
    """How many lines may be of its enrollments that could be put to none for sure."""
    beyond: int = 0
    """At most so many lines beside these may be, too, but were told of other enrollments alone, which are nearer."""
    perhaps: list[Row] = field(default_factory=list)
    """Those of ``more``, where they were asked for."""
