"""What ``capflog diff`` prints: the two verdicts, then what came, what stayed and what went.

The JSON document (``diff.schema.json``) has ``before`` and ``after`` (each side: bundle, verdict, first, last, counts,
sources, and ``lacks``: logs that the other side has), ``same`` (nothing differs), ``worse`` (an error came, or a device
broke), ``notes``, ``causes``, ``devices`` (all but those that are well on both sides) and ``well`` (how many are),
``changes`` of clocks and settings. Times are RFC 3339 in UTC; text stands as it was logged.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

import capflog
from capflog.comparing import FATES, TURNS, Cause, Change, Difference, Fared, Seen, Side
from capflog.reports.layout import PROSE, Page, joined, seconds, some, source_name
from capflog.reports.markup import Sheet
from capflog.zones import SECOND_MS, offset_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


SCHEMA = "capflog-diff-1"

#: Names of devices that are shown of each kind.
DEVICES_SHOWN = 12

#: Rows of the table of devices in Markdown.
ROWS_SHOWN = 20

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
_ROOMS = {"clocks": "Clocks", "capf": "CAPF's service parameters, at its last start", "ces": "CES's last start"}
_LABEL, _COUNT = 8, 5


# ---- words that text and Markdown share ----------------------------------------------------------------------------


def _span(side: Side) -> str:
    if side.first is None or side.last is None:
        return "no time known"
    first, last = (f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}" for time in (side.first, side.last))
    return f"{first} to {last if last[:10] != first[:10] else last[11:]} UTC"


def _counts(side: Side) -> str:
    counts = side.counts
    told = [f"{counts[word]:,} {word}" for word in ("issued", "failed", "incomplete") if counts[word]]
    head = f"{some(counts['devices'], 'device')}, {some(counts['enrollments'], 'enrollment')}"
    return f"{head}: {', '.join(told)}" if told else head


def _logs(sources: Sequence[str]) -> str:
    return joined([source_name(source) for source in sources]) if sources else "no log"


def _whom(seen: Seen | None) -> str:
    if seen is None:
        return ""
    whom = [] if seen.scope != "service" else ["the service"]
    return ", ".join(whom + ([some(len(seen.devices), "device")] if seen.devices else []))


def _moved(cause: Cause) -> str:
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


def _value(change: Change, value: Any) -> str:
    """Say a value that was logged or measured."""
    if change.room == "clocks" and change.what == "offset" and isinstance(value, int | float):
        return "in step" if abs(value) < 0.05 else f"{seconds(value)} {'ahead' if value > 0 else 'behind'}"
    if change.room == "clocks" and change.what == "zone" and isinstance(value, int | float):
        return offset_name(round(value) * SECOND_MS)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "nothing" if change.what == "missing" else "no value" if change.room == "capf" else "not known"
    return str(value) or '""'


def _owner(change: Change) -> str:
    source, _, whose = change.of.partition(" ")
    if change.room != "clocks":
        return change.of
    return f"{source_name(source)} {whose}".strip()


def _by_fate(difference: Difference) -> list[tuple[str, list[Fared]]]:
    parts = []
    for fate in FATES:
        its = [one for one in difference.devices if one.fate == fate]
        if fate == "failing":
            other = [one for one in its if _causes_of(one)[0] != _causes_of(one)[1]]
            alike = [one for one in its if _causes_of(one)[0] == _causes_of(one)[1]]
            parts += [("still failing, for another cause", other), ("still failing, for the same cause", alike)]
        elif fate == "new":
            bad = [one for one in its if one.after is not None and one.after.outcome == "failed"]
            parts += [("in AFTER alone, failing", bad), ("in AFTER alone", [one for one in its if one not in bad])]
        elif fate in _FATES:
            parts.append((_FATES[fate], its))
    return [(words, its) for words, its in parts if its]


def _causes_of(one: Fared) -> tuple[set[str], set[str]]:
    return set(one.before.causes if one.before else ()), set(one.after.causes if one.after else ())


def _same_words(difference: Difference) -> str:
    old, new = difference.before, difference.after
    if difference.equal:
        return f"both are {new.verdict}, and say the same of {some(new.counts['enrollments'], 'enrollment')}"
    return (
        f"both are {new.verdict}, for the same causes; no device fares otherwise ({_counts(old)}; now {_counts(new)})"
    )


# ---- text ----------------------------------------------------------------------------------------------------------


def as_text(difference: Difference, *, width: int, color: bool, unicode: bool) -> str:
    """Set it as text; ``width``, ``color`` and ``unicode`` as in :func:`capflog.reports.terminal.render`."""
    page = Page(width, color=color, unicode=unicode)
    old, new = difference.before, difference.after
    names = page.join(page.log(old.name), page.say(" → "), page.log(new.name))
    if difference.same:
        told = page.join(names, page.say(f": {_same_words(difference)}"))
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
                page.log(side.name), page.say(f": {_span(side)}; {_counts(side)}; logs of {_logs(side.sources)}")
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
            whom = _whom(cause.after or cause.before)
            page.add(
                page.join(page.log(cause.rule), page.say(f": {cause.title}{f' ({whom})' if whom else ''}")),
                first=page.say(f"{cause.severity}: "),
                indent=4,
                hang=9,
            )
            if _moved(cause):
                page.add(page.say(_moved(cause)), indent=13)
        if its and len(shown) < len(its):
            rest = ", ".join(cause.rule for cause in its if cause not in shown)
            page.add(page.join(page.say(f"{turn}, of less weight: "), page.log(rest)), indent=2)


def _text_devices(page: Page, difference: Difference) -> None:
    parts = _by_fate(difference)
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
    for room, title in _ROOMS.items():
        its = [change for change in difference.changes if change.room == room]
        if its:
            page.heading(title)
        for change in its:
            owner = _owner(change)
            page.add(
                page.join(
                    page.log(f"{owner}, {change.what}: " if owner else f"{change.what}: ", "bold"),
                    page.log(_value(change, change.before)),
                    page.say(" → "),
                    page.log(_value(change, change.after)),
                ),
                indent=2,
            )


def _text_lacks(page: Page, difference: Difference) -> None:
    lacks = _lacks(difference)
    if lacks:
        page.heading("What one side lacks")
    for side, told in lacks:
        page.add(page.join(page.log(side.name), page.say(told)), indent=2)


def _lacks(difference: Difference) -> list[tuple[Side, str]]:
    sides = (("BEFORE", difference.before), ("AFTER", difference.after))
    return [(side, f" ({word}) has no logs of {_logs(side.lacks)}") for word, side in sides if side.lacks]


# ---- Markdown ------------------------------------------------------------------------------------------------------


def as_markdown(difference: Difference, *, unicode: bool) -> str:
    """Set it as Markdown to paste into a ticket; of ASCII alone without ``unicode``."""
    sheet = Sheet(unicode=unicode)
    old, new = difference.before, difference.after
    arrow = sheet.prose("→") if unicode else "to"
    names = f"{sheet.code(old.name)} {arrow} {sheet.code(new.name)}"
    if difference.same:
        sheet.add(f"**NO DIFFERENCE** {names}: {sheet.prose(_same_words(difference))}")
        if not difference.equal:
            sheet.listed(map(sheet.prose, difference.notes))
        return sheet.text()
    verdicts = [sheet.prose(side.verdict.upper()) for side in (old, new)]
    head = f"STILL {verdicts[1]}" if old.verdict == new.verdict else f"{verdicts[0]} {arrow} {verdicts[1]}"
    sheet.heading(2, f"{head}: {names}")
    sheet.table(
        ["", "Bundle", "Verdict", "Time", "Found", "Logs"],
        [
            [
                word,
                sheet.code(side.name, cell=True),
                sheet.prose(side.verdict, cell=True),
                _span(side),
                _counts(side),
                sheet.prose(_logs(side.sources), cell=True),
            ]
            for word, side in (("Before", old), ("After", new))
        ],
    )
    sheet.listed(map(sheet.prose, difference.notes))
    if difference.causes:
        sheet.heading(3, "Causes")
        sheet.table(
            ["Now", "Severity", "What", "Rule", "Whom", "Differs"],
            [
                [
                    cause.turn,
                    cause.severity,
                    sheet.prose(cause.title, cell=True),
                    sheet.code(cause.rule, cell=True),
                    _whom(cause.after or cause.before),
                    sheet.prose(_moved(cause), cell=True),
                ]
                for cause in difference.causes
            ],
        )
    _markdown_devices(sheet, difference)
    for room, title in _ROOMS.items():
        its = [change for change in difference.changes if change.room == room]
        if its:
            sheet.heading(3, title)
            sheet.table(
                ["Of", "What", "Before", "After"],
                [
                    [sheet.code(text, cell=True) for text in (_owner(change), change.what)]
                    + [sheet.code(_value(change, value), cell=True) for value in (change.before, change.after)]
                    for change in its
                ],
            )
    lacks = _lacks(difference)
    if lacks:
        sheet.heading(3, "What one side lacks")
        sheet.listed(f"{sheet.code(side.name)}{told}" for side, told in lacks)
    return sheet.text()


def _markdown_devices(sheet: Sheet, difference: Difference) -> None:
    parts = _by_fate(difference)
    well = sum(one.fate == "well" for one in difference.devices)
    if not parts and not well:
        return
    sheet.heading(3, "Devices")
    sheet.listed([f"{len(its):,} {words}" for words, its in parts] + ([f"{well:,} issued in both"] if well else []))
    flat = [(words, one) for words, its in parts for one in its]

    def causes(one: Fared, place: int) -> str:
        side = (one.before, one.after)[place]
        told = " or ".join(sheet.code(rule, cell=True) for rule in side.causes) if side else ""
        return "" if side is None else f"{sheet.prose(side.outcome, cell=True)}{f': {told}' if told else ''}"

    sheet.table(
        ["Device", "Fared", "Before", "After"],
        [
            [sheet.code(one.device, cell=True), words, causes(one, 0), causes(one, 1)]
            for words, one in flat[:ROWS_SHOWN]
        ],
    )
    if len(flat) > ROWS_SHOWN:
        sheet.add(f"and {len(flat) - ROWS_SHOWN:,} more: {sheet.code('capflog diff --format json')}")


# ---- JSON ----------------------------------------------------------------------------------------------------------


def document(difference: Difference) -> dict[str, Any]:
    """Make the document of ``diff.schema.json``."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "capflog", "version": capflog.__version__},
        "before": _side(difference.before),
        "after": _side(difference.after),
        "same": difference.same,
        "worse": difference.worse,
        "notes": list(difference.notes),
        "causes": [
            {
                "rule": cause.rule,
                "title": cause.title,
                "turn": cause.turn,
                "severity": cause.severity,
                "why": cause.why,
                "changed": cause.changed,
                "before": _seen(cause.before),
                "after": _seen(cause.after),
            }
            for cause in difference.causes
        ],
        "devices": [
            {
                "device": one.device,
                "fate": one.fate,
                "before": None
                if one.before is None
                else {"outcome": one.before.outcome, "causes": [*one.before.causes]},
                "after": None if one.after is None else {"outcome": one.after.outcome, "causes": [*one.after.causes]},
            }
            for one in difference.devices
            if one.fate != "well"
        ],
        "well": sum(one.fate == "well" for one in difference.devices),
        "changes": [
            {"room": one.room, "of": one.of, "what": one.what, "before": one.before, "after": one.after}
            for one in difference.changes
        ],
    }


def as_json(difference: Difference) -> str:
    """Write the document, a line for each cause and device; ASCII alone: nothing in it acts on a terminal."""
    parts = []
    for name, value in document(difference).items():
        lines = ",\n".join(map(json.dumps, value)) if isinstance(value, list) else ""
        parts.append(f'"{name}": ' + (f"[\n{lines}\n]" if lines else json.dumps(value, allow_nan=False)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _side(side: Side) -> dict[str, Any]:
    return {
        "bundle": side.name,
        "verdict": side.verdict,
        "first": _utc(side.first),
        "last": _utc(side.last),
        **side.counts,
        "sources": list(side.sources),
        "lacks": list(side.lacks),
    }


def _seen(seen: Seen | None) -> dict[str, Any] | None:
    if seen is None:
        return None
    return {
        "severity": seen.severity,
        "scope": seen.scope,
        "devices": list(seen.devices),
        "occurrences": seen.occurrences,
        "resolved": seen.resolved,
    }


def _utc(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
