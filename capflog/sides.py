"""A side of a comparison: what a document of the contract says of it, read with care, for it may be anybody's file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from capflog.devices import devices_of
from capflog.model import Enrollment
from capflog.reports.json import SCHEMA
from capflog.results import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The logs in the order in which they are named.
ORDER = ("capf", "ciscora", "nginx", "iis", "httperr")
OF_CA = frozenset({"iis", "httperr"})
_VERDICTS = ("healthy", "degraded", "failing", "inconclusive")


class SideError(ValueError):
    """A document is no report of capflog's; the message says why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A cause on one side."""

    severity: str
    scope: str
    devices: tuple[str, ...]
    occurrences: int
    resolved: bool


@dataclass(frozen=True, slots=True)
class Latest:
    """What came of a device's latest attempt."""

    outcome: str
    causes: tuple[str, ...]


@dataclass(slots=True)
class Side:
    """What a side is, for the head. Times are in UTC; ``sources``: the logs that it has."""

    name: str
    verdict: str
    first: datetime | None
    last: datetime | None
    counts: dict[str, int]
    sources: list[str]
    lacks: list[str] = field(default_factory=list)
    """The logs that the other has."""


def checked(document: Any) -> dict[str, Any]:
    """Give a document that can be compared; raises :class:`SideError`."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise SideError(f"its 'schema' is not {SCHEMA}")
    try:
        _fit(document, _SHAPE, "")
        side_of(document)
        findings_of(document)
        latest_of(document)
        for clock in document["clocks"]:
            _check_clock(clock)
        for start in (*document.get("starts", ()), *document.get("capf_starts", ())):
            _check_start(start)
        unchecked_of(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SideError(f"something in it is missing or wrong: {type(error).__name__}: {error}") from error
    return document


_TEXT, _TRUTH, _AMOUNT = (str, type(None)), (bool, type(None)), (int, float, type(None))

#: What a comparison looks into, as it must be where it is there: a dict of these keys, a list of such, a value.
_SHAPE: dict[str, Any] = {
    "tool": {"version": _TEXT},
    "where": {"condition": _TEXT},
    "bundle": {"name": _TEXT, "members": [{"member": _TEXT, "source": _TEXT, "status": _TEXT}]},
    "findings": [{"rule": _TEXT, "scope": _TEXT, "devices": [_TEXT], "evidence": [{"member": _TEXT, "source": _TEXT}]}],
    "enrollments": [{"device": _TEXT, "outcome": _TEXT, "causes": [_TEXT]}],
    "clocks": [
        {
            "source": _TEXT,
            "whose": _TEXT,
            "zone": _TEXT,
            "quality": _TEXT,
            "utc_offset_seconds": _AMOUNT,
            "offset_seconds": _AMOUNT,
            "uncertainty_seconds": _AMOUNT,
            "assumed": _TRUTH,
        }
    ],
    "starts": [{}],
    "capf_starts": [{"node": _TEXT, "parameters": {}}],
    "not_checked": [{"rule": _TEXT, "lacking": [_TEXT]}],
}


def _fit(value: Any, shape: Any, place: str) -> None:
    """Raise TypeError where a value is not of a shape; what a document lacks is not looked for here."""
    if isinstance(shape, tuple):
        if not isinstance(value, shape) or (isinstance(value, bool) and bool not in shape):
            raise TypeError(f"'{place}' is {type(value).__name__}")
    elif not isinstance(value, type(shape)):
        # (The condition is absent or null in reports of whole bundles, as the writer's version is in old ones.)
        if value is not None or place not in ("tool", "where"):
            raise TypeError(f"'{place}' is {type(value).__name__}")
    elif isinstance(shape, dict):
        for name in shape.keys() & value.keys():
            _fit(value[name], shape[name], name)
    else:
        for one in value:
            _fit(one, shape[0], place)


def _check_clock(clock: Mapping[str, Any]) -> None:
    if not isinstance(clock["source"], str):
        raise TypeError(clock["source"])
    for name in ("utc_offset_seconds", "offset_seconds", "uncertainty_seconds"):
        amount = clock.get(name)
        if amount is not None and not math.isfinite(amount):
            raise ValueError(name)


def _check_start(start: Mapping[str, Any]) -> None:
    told = [
        *start.get("parameters", {}).values(),
        *(start.get(name) for name in ("reached", "missing", "ca", "libest")),
    ]
    if not all(isinstance(value, str | None) for value in told) or not isinstance(start.get("ok"), bool | None):
        raise TypeError("starts")


def body_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Give all that a report says, without its name and what the gate made of it; records may have been left out."""
    own = {name: value for name, value in document.items() if name not in ("tool", "gate", "bundle", "enrollments")}
    own["members"] = document["bundle"]["members"]
    own["enrollments"] = [
        {name: value for name, value in one.items() if name != "records"} for one in document["enrollments"]
    ]
    return own


def side_of(document: Mapping[str, Any]) -> Side:
    members = [one for one in document["bundle"]["members"] if one["source"]]
    sources = {str(one["source"]) for one in members}
    node = [one for one in members if one["source"] not in OF_CA]
    # IIS's log is that of a whole day, whatever was collected.
    timed = [one for one in node if one.get("first")] or members
    summary = document["summary"]
    if summary["verdict"] not in _VERDICTS:
        raise ValueError(summary["verdict"])
    return Side(
        name=str(document["bundle"]["name"]),
        verdict=summary["verdict"],
        first=min((time for one in timed if (time := _time(one.get("first")))), default=None),
        last=max((time for one in timed if (time := _time(one.get("last")))), default=None),
        counts={n: int(summary[n]) for n in ("devices", "enrollments", "issued", "failed", "incomplete")},
        sources=[*(s for s in ORDER if s in sources), *sorted(sources - set(ORDER))],
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time


def findings_of(document: Mapping[str, Any]) -> dict[str, tuple[Seen, Mapping[str, Any]]]:
    found = {}
    for one in document["findings"]:
        if one["severity"] not in SEVERITIES:
            raise ValueError(one["severity"])
        devices = tuple(map(str, one["devices"]))
        seen = Seen(one["severity"], str(one.get("scope")), devices, int(one["occurrences"]), bool(one.get("resolved")))
        str(one["title"]), [str(proof["member"]) for proof in one["evidence"]]
        found[str(one["rule"])] = (seen, one)
    return found


def unchecked_of(document: Mapping[str, Any]) -> dict[str, list[str]]:
    return {str(one["rule"]): [str(s) for s in one.get("lacking", ())] for one in document.get("not_checked", ())}


def latest_of(document: Mapping[str, Any]) -> dict[str, Latest]:
    made = [
        Enrollment(
            id=str(one["id"]),
            device=str(one["device"]),
            started=_time(one["started"]),
            ended=_time(one["ended"]),
            outcome=one["outcome"],
            reached="",
            missing=None,
            est_error=None,
            est_value=None,
            records=[],
            causes=[str(rule) for rule in one["causes"]],
        )
        for one in document["enrollments"]
        if one["device"] is not None
    ]
    return {one.name: Latest(str(one.last.outcome), tuple(one.last.causes)) for one in devices_of(made)}
