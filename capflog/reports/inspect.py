"""What `capflog inspect` prints: every member of the bundle, what it was taken for and why, and what it left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.reports.layout import Column, Page, some, source_name
from capflog.reports.times import Times, of_node, unaligned, zone_assumed

if TYPE_CHECKING:
    from rich.text import Text

    from capflog.model import Member, Report
    from capflog.zones import Zone

#: From this width on first and last time have columns of their own.
WIDE = 120

#: Unknown lines that are shown of each member.
LINES_SHOWN = 3

_STATUS = {"parsed": "green", "partial": "bold yellow", "skipped": "dim", "unreadable": "bold red"}


def render(
    report: Report, *, width: int, color: bool, unicode: bool, zone: Zone | None, display: Zone | None = None
) -> str:
    """Set the members as text; all that says how is as in :func:`capflog.reports.terminal.render`."""
    page = Page(width, color=color, unicode=unicode)
    ends = [time for m in report.members for time in (m.first, m.last) if time is not None]
    times = Times(
        zone,
        display,
        assumed=zone_assumed(report.clocks),
        node=of_node(report.clocks),
        first=min(ends, default=None),
        last=max(ends, default=None),
    )
    known = sum(1 for m in report.members if m.source is not None)
    read = f": {some(len(report.members), 'member')}, {known:,} read as logs"
    page.add(page.join(page.log(report.bundle, "bold"), page.say(read)))
    if not report.members:
        return page.text()
    if ends:
        page.add(page.say(f"Times are {times.whose}"))
        unaligned(page, (c.source for c in report.clocks), aligned=report.aligned, ahead_ms=report.ahead_ms)
    page.blank()
    _table(page, report, times)
    _unknown(page, report)
    return page.text()


def _table(page: Page, report: Report, times: Times) -> None:
    wide = page.width >= WIDE
    first, below = times.column("first", (time for m in report.members for time in (m.first, m.last)))
    columns = [
        Column("member", yields=True, least=24),
        Column("log"),
        Column("status"),
        Column("lines", right=True),
        Column("events", right=True),
        Column("unknown", right=True),
        *([Column(first), Column(first.replace("first", "last", 1))] if wide else []),
    ]
    rows = [_cells(page, member, below if wide else None) for member in report.members]
    widths = page.widths(columns, rows)
    page.titles(columns, widths)
    right = frozenset(i for i, c in enumerate(columns) if c.right)
    for member, cells in zip(report.members, rows, strict=True):
        page.row(cells, widths, right=right)
        span = "" if wide else times.span(member.first, member.last)
        if span:
            page.add(page.say(span), indent=4)
        if member.reason:
            page.add(page.log(member.reason, "" if member.status == "skipped" else "yellow"), indent=4)
        if member.why and (member.source is not None or not member.reason):
            page.add(page.log(member.why, "dim"), indent=4)


def _cells(page: Page, member: Member, times: Times | None) -> list[Text]:
    """Set the cells of a member, with ``times`` those of its first and last time too."""
    cells = [
        page.log(member.member, "bold"),
        page.say("-") if member.source is None else page.log(source_name(member.source)),
        page.say(member.status, _STATUS[member.status]),
        page.say(f"{member.lines:,}"),
        page.say(f"{member.events:,}"),
        page.say("-" if member.source is None else f"{member.unparsed:,}", "yellow" if member.unparsed else ""),
    ]
    if times is not None:
        cells += [page.say(times.stamp(time) if time else "-") for time in (member.first, member.last)]
    return cells


def _unknown(page: Page, report: Report) -> None:
    shown = [m for m in report.members if m.source is not None and m.unparsed]
    if not shown:
        return
    page.heading("Lines that no pattern takes")
    for member in shown:
        page.add(page.log(member.member, "bold"))
        lines = member.unknown[:LINES_SHOWN]
        hang = max((len(str(number)) for number, _ in lines), default=0) + 3
        for number, text in lines:
            page.add(page.log(text), first=page.say(f":{number}", "cyan"), indent=2, hang=hang)
        more = member.unparsed - len(lines)
        if more > 0:
            page.add(page.say(f"and {more:,} more" if lines else some(more, "line")), indent=2)
