"""What ``capflog diff`` prints as Markdown, to paste into a ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.reports.difference import (
    ROOMS,
    by_fate,
    counts,
    lacks,
    logs,
    moved,
    named,
    owner,
    said,
    same_words,
    span,
    whom,
)
from capflog.reports.markup import Sheet

if TYPE_CHECKING:
    from capflog.comparing import Difference, Fared
    from capflog.zones import Zone

#: Rows of the table of devices in Markdown.
ROWS_SHOWN = 20


def markdown(difference: Difference, *, unicode: bool, display: Zone | None = None) -> str:
    """Set it as Markdown; of ASCII alone without ``unicode``. ``display``: the zone to say times in (None: UTC)."""
    sheet = Sheet(unicode=unicode)
    old, new = difference.before, difference.after
    arrow = sheet.prose("→") if unicode else "to"
    names = f"{sheet.code(old.name)} {arrow} {sheet.code(new.name)}"
    if difference.same:
        sheet.add(f"**NO DIFFERENCE** {names}: {sheet.prose(same_words(difference))}")
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
                sheet.prose(span(side, display), cell=True),
                counts(side),
                sheet.prose(logs(side.sources), cell=True),
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
                    whom(cause.after or cause.before),
                    sheet.prose(moved(cause), cell=True),
                ]
                for cause in difference.causes
            ],
        )
    _markdown_devices(sheet, difference)
    for room, title in ROOMS.items():
        its = [change for change in difference.changes if change.room == room]
        if its:
            sheet.heading(3, title)
            sheet.table(
                ["Of", "What", "Before", "After"],
                [
                    [sheet.code(text, cell=True) for text in (owner(change), named(change))]
                    + [sheet.code(said(change, its), cell=True) for its in (change.before, change.after)]
                    for change in its
                ],
            )
    missing = lacks(difference)
    if missing:
        sheet.heading(3, "What one side lacks")
        sheet.listed(f"{sheet.code(side.name)} {sheet.prose(told)}" for side, told in missing)
    return sheet.text()


def _markdown_devices(sheet: Sheet, difference: Difference) -> None:
    parts = by_fate(difference)
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
