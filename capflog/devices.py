"""Devices: how often each tried to have its certificate enrolled, and what came of its latest attempt."""

from __future__ import annotations

import difflib
import fnmatch
from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from capflog.model import Clock, Enrollment, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from capflog.zones import Zone

#: The outcomes in the order in which devices are listed.
OUTCOMES: tuple[Outcome, ...] = ("failed", "incomplete", "issued")

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Device:
    """A device with its latest attempt; an enrollment of which no line names the device stands for itself.

    ``counts``: its attempts by their outcomes.
    """

    name: str
    last: Enrollment
    counts: Mapping[str, int]

    @property
    def attempts(self) -> int:
        """How often it tried."""
        return sum(self.counts.values())

    @property
    def time(self) -> datetime | None:
        """When its latest attempt ended, else when it began."""
        return self.last.ended or self.last.started

    @property
    def seconds(self) -> float | None:
        """How long its latest attempt took; None: the logs do not show all of it."""
        if self.last.started is None or self.last.ended is None:
            return None
        took = (self.last.ended - self.last.started).total_seconds()
        return took if took >= 0 else None


@dataclass(frozen=True, slots=True)
class Wish:
    """Which devices are asked for: by the outcome of the latest attempt and by its causes; None: any.

    ``words``: as it was asked for.
    """

    outcomes: tuple[str, ...] | None = None
    rules: tuple[str, ...] | None = None
    words: str = ""

    def fits(self, device: Device) -> bool:
        """Tell whether a device is one of them."""
        if self.outcomes is not None and device.last.outcome not in self.outcomes:
            return False
        return self.rules is None or any(rule in self.rules for rule in device.last.causes)


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices of a bundle, in the order of :func:`devices_of`. ``zone``: the node's; None: not known."""

    bundle: str
    every: list[Device]
    clocks: list[Clock]
    zone: Zone | None


def outcomes_of(devices: Iterable[Device]) -> dict[str, int]:
    """Count devices by the outcomes of their latest attempts."""
    counts = Counter(device.last.outcome for device in devices)
    return {outcome: counts[outcome] for outcome in OUTCOMES if counts[outcome]}


def causes_of(devices: Iterable[Device]) -> list[tuple[tuple[str, ...], int]]:
    """Count devices that failed by the causes of their latest attempts, the most frequent first; (): not known."""
    counts = Counter(tuple(device.last.causes) for device in devices if device.last.outcome == "failed")
    return sorted(counts.items(), key=lambda pair: (not pair[0], -pair[1], pair[0]))


def devices_of(enrollments: Iterable[Enrollment]) -> list[Device]:
    """Give the devices that tried: those that failed last first, then those not seen to the end, each by time.

    Of two attempts at the same time, or without one, the later in the report is the later.
    """
    last: dict[str, tuple[bool, datetime, Enrollment]] = {}
    counts: dict[str, Counter[str]] = {}
    for one in enrollments:
        name = one.device or one.id
        time = one.ended or one.started
        rank = (time is not None, time or _NEVER)
        if name not in last or rank >= last[name][:2]:
            last[name] = (*rank, one)
        counts.setdefault(name, Counter())[one.outcome] += 1
    found = [Device(name, one, counts[name]) for name, (_, _, one) in last.items()]
    return sorted(found, key=lambda d: (OUTCOMES.index(d.last.outcome), d.time or _NEVER, d.name))


def rules_meant(wanted: Sequence[str], known: Iterable[str]) -> list[str]:
    """Give the rules that ids, or ids with ``*``, mean; LookupError, with the nearest ids, where one means none."""
    every = sorted(known)
    found: list[str] = []
    for name in wanted:
        fold = name.strip().casefold()
        wild = any(sign in fold for sign in "*?[")
        own = [rule for rule in every if fnmatch.fnmatchcase(rule, fold)] if wild else [r for r in every if r == fold]
        if not own:
            near = difflib.get_close_matches(fold.strip("*"), every, n=3)
            near = near or [rule for rule in every if fold.strip("*?") and fold.strip("*?") in rule][:3]
            offer = f"did you mean {', '.join(near)}?" if near else "'capflog rules' lists them"
            raise LookupError(f"{name}: no such rule; {offer}")
        found += own
    return list(dict.fromkeys(found))


def devices_in(document: Mapping[str, Any], zone: Zone | None) -> Devices:
    """Read the devices of a JSON report, of which no more is kept than that."""
    enrollments = [
        Enrollment(
            id=one["id"],
            device=one["device"],
            started=_time(one["started"]),
            ended=_time(one["ended"]),
            outcome=one["outcome"],
            reached=one["reached"],
            missing=one["missing"],
            est_error=(one["est_error"] or {}).get("name"),
            est_value=(one["est_error"] or {}).get("value"),
            records=[],
            causes=one["causes"],
        )
        for one in document["enrollments"]
    ]
    known = {field.name for field in fields(Clock)} - {"zone", "steps"}
    clocks = [Clock(**{name: value for name, value in one.items() if name in known}) for one in document["clocks"]]
    return Devices(document["bundle"]["name"], devices_of(enrollments), clocks, zone)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
