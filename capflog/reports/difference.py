"""What ``capflog diff`` prints as text, and the words of it: the verdicts, then what came, stayed and went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capflog import start_steps
from capflog.comparing import FATES, TURNS, Cause, Change, Difference, Fared
from capflog.reports import starts
from capflog.reports.layout import PROSE, Page, joined, seconds, some, source_name
from capflog.reports.times import Times
from capflog.zones import SECOND_MS, offset_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.sides import Seen, Side
    from capflog.zones import Zone


#: Names of devices that are shown of each kind.
DEVICES_SHOWN = 12

_STYLES = {"failing": "bold red", "degraded": "bold yellow", "healthy": "bold green", "inconclusive": "bold magenta"}
_TURN_STYLES = {"come": "red", "gone": "green"}
_FATES = {
    "broken": "issued before, failing now",
    "failing": "still failing",
    "healed": "failing before, issued now",
    "unclear": "not seen to the end on one side",
    "new": "in AFTER alone",
    "missing": "in BEFORE alone",
}
ROOMS = {"clocks": "Clocks", "capf": "CAPF's service parameters, at its last start", "ces": "CES's last start"}
#: Of CES's last start.
_PROPERTIES = {"ok": "result", "ca": "CA", "libest": "libEST"}
_LABEL, _COUNT = 8, 5


def span(side: Side, display: Zone | None) -> str:
    """Say from when to when a side is; ``display``: the zone to say it in (None: UTC)."""
    return Times(None, display, node=False).span(side.first, side.last) or "no time known"


def counts(side: Side) -> str:
    """Say how many devices and enrollments a side has, and what came of them."""
    counts = side.counts
    told = [f"{counts[word]:,} {word}" for word in ("issued", "failed", "incomplete") if counts[word]]
    head = f"{some(counts['devices'], 'device')}, {some(counts['enrollments'], 'enrollment')}"
    return f"{head}: {', '.join(told)}" if told else head


def logs(sources: Sequence[str]) -> str:
    """Name logs."""
    return joined([source_name(source) for source in sources]) if sources else "no log"


def whom(seen: Seen | None) -> str:
    """Say whom a cause hits."""
    if seen is None:
        return ""
    whom = [] if seen.scope != "service" else ["the service"]
    return ", ".join(whom + ([some(len(seen.devices), "device")] if seen.devices else []))


def moved(cause: Cause) -> str:
    """Say what differs about a cause, in words; "" where nothing does."""
    old, new = cause.before, cause.after
    if old is None or new is None:
        return cause.why and f"{'AFTER' if new is None else 'BEFORE'} could not tell: {_named_logs(cause.why)}"
    told = []
    if old.severity != new.severity:
        told.append(f"{old.severity} before, {new.severity} now")
    more, fewer = (len(set(a.devices) - set(b.devices)) for a, b in ((new, old), (old, new)))
    if more or fewer:
        counts = [f"{more:,} more" if more else "", f"{fewer:,} fewer" if fewer else ""]
        told.append(f"{joined([count for count in counts if count])}: {some(len(new.devices), 'device')} now")
    if old.resolved != new.resolved:
        told.append("resolved now" if new.resolved else "resolved before, not any more")
    elif new.resolved:
        told.append("resolved in both")
    return "; ".join(told)


def _named_logs(why: str) -> str:
    head, mark, sources = why.partition("without logs of ")
    return head + mark + joined([source_name(one) for one in sources.split(" and ")], "or") if mark else why


def said(change: Change, value: Any) -> str:
    """Say a value that was logged or measured."""
    if change.room == "clocks" and change.what == "offset" and isinstance(value, int | float):
        return "in step" if abs(value) < 0.05 else f"{seconds(value)} {'ahead' if value > 0 else 'behind'}"
    if change.room == "clocks" and change.what == "zone" and isinstance(value, int | float):
        return offset_name(round(value) * SECOND_MS)
    if change.room == "ces" and change.what == "ok":
        return starts.RESULTS[value]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if change.room == "ces" and change.what in ("reached", "missing") and value in start_steps.WORDS:
        return start_steps.WORDS[value]
    if value is None:
        return "nothing" if change.what == "missing" else "no value" if change.room == "capf" else "not known"
    return "no step" if change.what == "reached" and value == "none" else str(value) or '""'


def named(change: Change) -> str:
    """Say which property it is, in the words of the report."""
    if change.room == "capf":
        return starts.parameter_name(change.what)
    return _PROPERTIES.get(change.what, change.what) if change.room == "ces" else change.what


def owner(change: Change) -> str:
    """Say whose a property is; "" where nobody else could be meant."""
    source, _, whose = change.of.partition(" ")
    if change.room != "clocks":
        return change.of
    return f"{source_name(source)} {whose}".strip()


def by_fate(difference: Difference) -> list[tuple[str, list[Fared]]]:
    """Part the devices by how they fared, in words; those well on both sides are left out."""
    parts = []
    for fate in FATES:
        its = [one for one in difference.devices if one.fate == fate]
        if fate == "failing":
            other = [one for one in its if _causes_of(one)[0] != _causes_of(one)[1]]
            alike = [one for one in its if _causes_of(one)[0] == _causes_of(one)[1]]
            parts += [("still failing, for another cause", other), ("still failing, for the same cause", alike)]
        elif fate == "new":
            for words, failed in (("in AFTER alone, failing", True), ("in AFTER alone", False)):
                parts.append((words, [one for one in its if (one.after and one.after.outcome == "failed") == failed]))
        elif fate in _FATES:
            parts.append((_FATES[fate], its))
    return [(words, its) for words, its in parts if its]


def _causes_of(one: Fared) -> tuple[set[str], set[str]]:
    return set(one.before.causes if one.before else ()), set(one.after.causes if one.after else ())


def same_words(difference: Difference) -> str:
    """Say that nothing differs."""
    old, new = difference.before, difference.after
    if difference.equal:
        return f"both are {new.verdict}, and say the same of {some(new.counts['enrollments'], 'enrollment')}"
    return f"both are {new.verdict}, for the same causes; no device fares otherwise ({counts(old)}; now {counts(new)})"


def text(difference: Difference, *, width: int, color: bool, unicode: bool, display: Zone | None = None) -> str:
    """Set it as text; ``width``, ``color`` and so on as in :func:`capflog.reports.terminal.render`."""
    page = Page(width, color=color, unicode=unicode)
    old, new = difference.before, difference.after
    names = page.join(page.log(old.name), page.say(" → "), page.log(new.name))
    if difference.same:
        told = page.join(names, page.say(f": {same_words(difference)}"))
        page.add(told, first=page.say("NO DIFFERENCE  ", "bold green"), hang=15)
        if not difference.equal:
            _text_notes(page, difference)
        return page.text()
    if old.verdict == new.verdict:
        verdict = page.say(f"STILL {new.verdict.upper()}", _STYLES.get(new.verdict, ""))
    else:
        verdict = page.join(
            page.say(old.verdict.upper(), _STYLES.get(old.verdict, "")),
            page.say(" → "),
            page.say(new.verdict.upper(), _STYLES.get(new.verdict, "")),
        )
    page.add(page.join(verdict, page.say("  "), names))
    page.blank()
    for word, side in (("Before", old), ("After", new)):
        page.add(
            page.join(
                page.log(side.name), page.say(f": {span(side, display)}; {counts(side)}; logs of {logs(side.sources)}")
            ),
            first=page.say(word.ljust(_LABEL), "bold"),
            hang=_LABEL,
            width=PROSE,
        )
    _text_notes(page, difference)
    _text_causes(page, difference)
    _text_devices(page, difference)
    _text_changes(page, difference)
    _text_lacks(page, difference)
    return page.text()


def _text_notes(page: Page, difference: Difference) -> None:
    for note in difference.notes:
        page.add(page.say(note), first=page.say("Note".ljust(_LABEL), "bold yellow"), hang=_LABEL, width=PROSE)


def _text_causes(page: Page, difference: Difference) -> None:
    if not difference.causes:
        return
    page.heading("Causes")
    for turn in TURNS:
        its = [cause for cause in difference.causes if cause.turn == turn]
        shown = [cause for cause in its if cause.severity == "error" or (cause.changed and cause.severity == "warning")]
        if shown:
            page.add(page.say(turn, _TURN_STYLES.get(turn, "bold")), indent=2)
        for cause in shown:
            hit = whom(cause.after or cause.before)
            page.add(
                page.join(page.log(cause.rule), page.say(f": {cause.title}{f' ({hit})' if hit else ''}")),
                first=page.say(f"{cause.severity}: "),
                indent=4,
                hang=9,
            )
            if moved(cause):
                page.add(page.say(moved(cause)), indent=13)
        if its and len(shown) < len(its):
            rest = ", ".join(cause.rule for cause in its if cause not in shown)
            page.add(page.join(page.say(f"{turn}, of less weight: "), page.log(rest)), indent=2)


def _text_devices(page: Page, difference: Difference) -> None:
    parts = by_fate(difference)
    well = sum(one.fate == "well" for one in difference.devices)
    if not parts and not well:
        return
    page.heading("Devices")
    for words, its in parts:
        names = ", ".join(one.device for one in its[:DEVICES_SHOWN])
        more = len(its) - DEVICES_SHOWN
        told = page.join(page.say(f"{words}: "), page.log(names), page.say(f" and {more:,} more" if more > 0 else ""))
        page.add(told, first=page.say(f"{len(its):,}".rjust(_COUNT) + "  "), indent=2, hang=_COUNT + 2)
    if well:
        page.add(
            page.say("issued in both"), first=page.say(f"{well:,}".rjust(_COUNT) + "  "), indent=2, hang=_COUNT + 2
        )


def _text_changes(page: Page, difference: Difference) -> None:
    for room, title in ROOMS.items():
        its = [change for change in difference.changes if change.room == room]
        if its:
            page.heading(title)
        for change in its:
            whose = owner(change)
            page.add(
                page.join(
                    page.log(f"{whose}, {named(change)}: " if whose else f"{named(change)}: ", "bold"),
                    page.log(said(change, change.before)),
                    page.say(" → "),
                    page.log(said(change, change.after)),
                ),
                indent=2,
            )


def _text_lacks(page: Page, difference: Difference) -> None:
    missing = lacks(difference)
    if missing:
        page.heading("What one side lacks")
    for side, told in missing:
        page.add(page.join(page.log(side.name), page.say(f" {told}")), indent=2)


def lacks(difference: Difference) -> list[tuple[Side, str]]:
    """Say which logs a side lacks, in words to put behind its name."""
    sides = (("BEFORE", difference.before), ("AFTER", difference.after))
    return [(side, f"({word}) has no logs of {logs(side.lacks)}") for word, side in sides if side.lacks]
