"""What differs between two reports: the causes, how the phones fared, the clocks, the settings that CAPF and CES read.

Both sides are documents of the contract (``report.schema.json``), made now or kept as JSON; what an older one lacks
beyond the contract is taken for not known. A cause that the later side could not see is not called gone: its logs may
be missing there, its phones may not have tried again, the rule may have had nothing to be asked of.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from capflog.results import SEVERITIES
from capflog.sides import (
    OF_CA,
    ORDER,
    Latest,
    Seen,
    Side,
    body_of,
    findings_of,
    latest_of,
    side_of,
    unchecked_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Turn = Literal["come", "not checked before", "stayed", "not checked any more", "gone"]
Fate = Literal["broken", "failing", "healed", "unclear", "new", "missing", "well"]

#: In the order in which they are shown.
TURNS: tuple[Turn, ...] = ("come", "not checked before", "stayed", "not checked any more", "gone")
FATES: tuple[Fate, ...] = ("broken", "failing", "healed", "unclear", "new", "missing", "well")

#: Logs that tell the same things: NGINX's start stands in both.
_GROUPS = {"ciscora": "ces", "nginx": "ces"}


@dataclass(frozen=True, slots=True)
class Cause:
    """A rule that spoke on either side. ``why``: why it could not be checked on the side that lacks it, in words."""

    rule: str
    title: str
    turn: Turn
    before: Seen | None
    after: Seen | None
    why: str = ""

    @property
    def severity(self) -> str:
        """How severe it is: now, else as it was."""
        seen = self.after or self.before
        return "" if seen is None else seen.severity

    @property
    def changed(self) -> bool:
        """Tell whether anything about it differs."""
        if self.before is None or self.after is None:
            return True
        old, new = self.before, self.after
        return (old.severity, old.resolved, set(old.devices)) != (new.severity, new.resolved, set(new.devices))

    @property
    def worse(self) -> bool:
        """Tell whether an error is there now that was none before."""
        return self.after is not None and self.after.severity == "error" and _severity(self.before) != "error"


def _severity(seen: Seen | None) -> str:
    return "" if seen is None else seen.severity


@dataclass(frozen=True, slots=True)
class Fared:
    """A device. ``failing``: its latest attempt failed on both sides; ``unclear``: one of them was not seen to the end.

    ``new``, ``missing``: the other side has no attempt of it.
    """

    device: str
    fate: Fate
    before: Latest | None
    after: Latest | None


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was otherwise. ``room``: clocks, capf, ces; ``of``: whose; ``what``: which property.

    Of a clock: zone (a name or seconds), offset (seconds, ahead of the CUCM node), quality, assumed. Of CAPF: a service
    parameter of its last start. Of CES's last start: ok, reached, missing, ca, libest.
    """

    room: Literal["clocks", "capf", "ces"]
    of: str
    what: str
    before: Any
    after: Any


@dataclass(slots=True)
class Difference:
    """What differs. ``notes``: what to bear in mind, a sentence each."""

    before: Side
    after: Side
    causes: list[Cause]
    devices: list[Fared]
    changes: list[Change]
    notes: list[str]
    equal: bool = False
    """Both sides are one and the same report, their names apart."""

    @property
    def same(self) -> bool:
        """Tell whether nothing that is compared differs."""
        return (
            self.before.verdict == self.after.verdict
            and not self.changes
            and not any(cause.changed for cause in self.causes)
            and all(one.before == one.after for one in self.devices)
            and not self.before.lacks
            and not self.after.lacks
        )

    @property
    def worse(self) -> bool:
        """Tell whether an error came or a device broke."""
        return any(cause.worse for cause in self.causes) or any(one.fate == "broken" for one in self.devices)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Compare two documents of which :func:`capflog.sides.checked` has nothing to say."""
    old, new = side_of(before), side_of(after)
    old.lacks = [source for source in new.sources if source not in old.sources]
    new.lacks = [source for source in old.sources if source not in new.sources]
    return Difference(
        before=old,
        after=new,
        causes=_causes(before, after, old, new),
        devices=_devices(before, after),
        changes=[*_clocks(before, after), *_capf(before, after), *_ces(before, after)],
        notes=_notes(before, after, old, new),
        equal=body_of(before) == body_of(after),
    )


# ---- causes --------------------------------------------------------------------------------------------------------


def _causes(before: Mapping[str, Any], after: Mapping[str, Any], old: Side, new: Side) -> list[Cause]:
    was, now = findings_of(before), findings_of(after)
    causes = []
    for rule, (_, finding) in (was | now).items():
        there, here, title = was.get(rule), now.get(rule), str(finding["title"])
        if there and here:
            causes.append(Cause(rule, title, "stayed", there[0], here[0]))
        elif there:
            why = _unseen(rule, there[1], before, after, new)
            causes.append(Cause(rule, title, "not checked any more" if why else "gone", there[0], None, why))
        elif here:
            why = _unseen(rule, here[1], after, before, old)
            causes.append(Cause(rule, title, "not checked before" if why else "come", None, here[0], why))
    return sorted(causes, key=lambda c: (TURNS.index(c.turn), SEVERITIES.index(c.severity)))


def _unseen(rule: str, finding: Mapping[str, Any], its: Mapping[str, Any], other: Mapping[str, Any], side: Side) -> str:
    """Say why the other side could not see a finding; "": it could have."""
    if rule in (unchecked := unchecked_of(other)):
        return _without(unchecked[rule]) if unchecked[rule] else "the rule could not be asked"
    sources = {one["member"]: one["source"] for one in its["bundle"]["members"]}
    named = (one.get("source") or sources.get(one["member"]) for one in finding["evidence"])
    proofs = {str(source) for source in named if source}
    known = {_GROUPS.get(source, source) for source in side.sources}
    lost = [source for source in proofs if _GROUPS.get(source, source) not in known]
    if lost:
        return _without([source for source in ORDER if source in lost] or sorted(lost))
    if other.get("where"):
        return "that report holds chosen enrollments alone"
    if not other["enrollments"] and (finding["devices"] or not other.get("starts")):
        return "no phone tried to enroll"
    devices = set(map(str, finding["devices"]))
    if finding.get("scope") in ("device", "devices") and devices:
        tried = {one["device"] for one in other["enrollments"]}
        if not devices & tried:
            return "none of its devices tried"
    return ""


def _without(sources: Sequence[str]) -> str:
    return f"without logs of {' and '.join(sources)}"


# ---- devices -------------------------------------------------------------------------------------------------------


def _devices(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Fared]:
    was, now = latest_of(before), latest_of(after)
    fared = [Fared(name, _fate(was.get(name), now.get(name)), was.get(name), now.get(name)) for name in was | now]
    return sorted(fared, key=lambda one: (FATES.index(one.fate), one.device))


def _fate(before: Latest | None, after: Latest | None) -> Fate:
    if before is None or after is None:
        return "new" if before is None else "missing"
    fates: dict[tuple[str, str], Fate] = {
        ("issued", "failed"): "broken",
        ("failed", "failed"): "failing",
        ("failed", "issued"): "healed",
        ("issued", "issued"): "well",
    }
    return fates.get((before.outcome, after.outcome), "unclear")


# ---- clocks and settings -------------------------------------------------------------------------------------------


def _clocks(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Change]:
    def by_name(document: Mapping[str, Any]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
        found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for clock in document["clocks"]:
            found.setdefault((clock["source"], str(clock.get("whose") or "")), []).append(clock)
        return found

    was, now = by_name(before), by_name(after)
    for name in was:
        for old, new in zip_longest(was[name], now.get(name, ())):
            if old is None or new is None:
                continue  # which logs a side lacks is told by itself
            whose = " ".join(filter(None, name))
            yield from _clock(whose, old, new)


def _clock(whose: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[Change]:
    if _zone_differs(old, new):
        yield Change(
            "clocks", whose, "zone", *(clock.get("zone") or clock["utc_offset_seconds"] for clock in (old, new))
        )
    offsets = [clock.get("offset_seconds") for clock in (old, new)]
    if offsets[0] is not None and offsets[1] is not None:
        bounds = sum(clock.get("uncertainty_seconds") or 0.0 for clock in (old, new))
        if abs(offsets[0] - offsets[1]) > bounds + 0.001:
            yield Change("clocks", whose, "offset", *offsets)
    for what in ("quality", "assumed"):
        if old.get(what) != new.get(what) and None not in (old.get(what), new.get(what)):
            yield Change("clocks", whose, what, old[what], new[what])


def _zone_differs(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell whether two clocks are of different zones: a zone's summer is no other zone, nor are two names for one."""
    names = [clock.get("zone") for clock in (old, new)]
    offsets = [clock.get("utc_offset_seconds") for clock in (old, new)]
    if None in offsets or names[0] == names[1] is not None:
        return False
    # (Beside America/New_York are EST and UTC-05:00 the same where they are the same.)
    return offsets[0] != offsets[1] or all("/" in str(name) and "UTC" not in str(name) for name in names)


def _capf(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Change]:
    def last(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        return {str(start.get("node") or ""): start for start in document.get("capf_starts", ())}

    was, now = last(before), last(after)
    for node in was:
        old, new = (side.get(node, {}).get("parameters", {}) for side in (was, now))
        for name in old:
            if name in new and old[name] != new[name]:
                yield Change("capf", node, name, old[name], new[name])


def _ces(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Change]:
    was, now = before.get("starts") or (), after.get("starts") or ()
    if was and now:
        for name in ("ok", "reached", "missing", "ca", "libest"):
            old, new = was[-1].get(name), now[-1].get(name)
            # What it asked and its version are not always logged.
            if old != new and not (name in ("ca", "libest") and None in (old, new)):
                yield Change("ces", "", name, old, new)


# ---- notes ---------------------------------------------------------------------------------------------------------


def _notes(before: Mapping[str, Any], after: Mapping[str, Any], old: Side, new: Side) -> list[str]:
    notes = []
    if old.first and old.last and new.first and new.last:
        if new.first < old.first and new.last < old.last:
            notes.append("AFTER lies before BEFORE in time: are the two the wrong way round?")
        if new.first < old.last and old.first < new.last:
            notes.append("The two overlap in time: what lies in both is counted on both sides.")
    for word, document, side in (("BEFORE", before, old), ("AFTER", after, new)):
        if side.lacks and "capf" in side.lacks:
            notes.append(f"{word} has no trace of CAPF, which alone names the phones.")
        if document.get("where"):
            notes.append(f"{word} holds chosen enrollments alone, those with: {document['where'].get('condition')}")
        if any(clock.get("assumed") and clock["source"] not in OF_CA for clock in document["clocks"]):
            notes.append(f"The CUCM node's zone or date is ASSUMED in {word}: its times may be off by hours or days.")
        damaged = [m for m in document["bundle"]["members"] if m.get("status") in ("partial", "unreadable")]
        if damaged:
            notes.append(f"{word} was not read in full: {len(damaged):,} of its members {_is(damaged)} damaged.")
    versions = [str((document.get("tool") or {}).get("version")) for document in (before, after)]
    if versions[0] != versions[1]:
        notes.append(f"BEFORE was written by capflog {versions[0]}, AFTER by {versions[1]}: their rules may differ.")
    return notes


def _is(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"
