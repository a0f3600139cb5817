"""A side of a comparison: what a document of the contract says of it, read with care, for it may be anybody's file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from capflog.devices import devices_of
from capflog.kept_report import REPORT, UnfitError, check
from capflog.model import Enrollment
from capflog.reports.json import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The logs in the order in which they are named.
ORDER = ("capf", "ciscora", "nginx", "iis", "httperr")
OF_CA = frozenset({"iis", "httperr"})


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
        check(document, REPORT)
    except UnfitError as error:
        raise SideError(f"something in it is missing or wrong: {error}") from error
    return document


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
    return Side(
        name=str(document["bundle"]["name"]),
        verdict=summary["verdict"],
        first=min((time for one in timed if (time := _time(one.get("first")))), default=None),
        last=max((time for one in timed if (time := _time(one.get("last")))), default=None),
        counts={n: int(summary[n]) for n in ("devices", "enrollments", "issued", "failed", "incomplete")},
        sources=[*(s for s in ORDER if s in sources), *sorted(sources - set(ORDER))],
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def findings_of(document: Mapping[str, Any]) -> dict[str, tuple[Seen, Mapping[str, Any]]]:
    found = {}
    for one in document["findings"]:
        devices = tuple(map(str, one["devices"]))
        seen = Seen(one["severity"], str(one.get("scope")), devices, int(one["occurrences"]), bool(one.get("resolved")))
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
