"""What `capflog analyze` prints: the verdict first, then the causes with their proof, then what stands behind them."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from capflog.events import SOURCES
from capflog.reports import problems
from capflog.reports.layout import (
    PROSE,
    Column,
    Page,
    Zone,
    joined,
    of_node,
    seconds,
    short_names,
    some,
    source_name,
    zone_assumed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.text import Text

    from capflog.model import Clock, Enrollment, Member, Report, ServiceStart
    from capflog.reports.problems import Problem

#: Rows of the table of devices, and of the list of members.
DEVICES_SHOWN = 30
MEMBERS_SHOWN = 12

_VERDICTS = {"failing": "bold red", "degraded": "bold yellow", "healthy": "bold green", "inconclusive": "bold magenta"}
_OUTCOMES = {"failed": "red", "incomplete": "yellow", "issued": "green"}
_LABEL = 9


def render(report: Report, *, width: int, color: bool, unicode: bool, zone_offset: int | None) -> str:
    """Set the report as text.

    ``width`` is in cells; no line is wider (a page has at least :data:`capflog.reports.layout.NARROWEST`).
    ``zone_offset`` is the zone in which times are shown: local minus UTC in seconds; None: the node's zone is not
    known, its times stand as it stamped them. Without ``color`` the text has no escape sequence, without ``unicode``
    no character beyond ASCII.
    """
    page = Page(width, color=color, unicode=unicode)
    zone = Zone(zone_offset, zone_assumed(report.clocks), of_node(report.clocks))
    found = problems.by_severity(problems.problems(report.findings))
    _head(page, report, found, zone)
    _causes(page, report, found, zone)
    _devices(page, report, found, zone)
    _starts(page, report.starts, zone)
    _clocks(page, report.clocks)
    _lacking(page, report)
    _members(page, report.members)
    return page.text()


def _head(page: Page, report: Report, found: list[Problem], zone: Zone) -> None:
    verdict = page.say(f"{report.verdict.upper()}  ", _VERDICTS[report.verdict])
    hang = verdict.cell_len
    for line in _verdict(report, found):
        page.add(page.say(line, "bold"), first=verdict, hang=hang, width=PROSE)
        verdict = page.say("")
    page.blank()

    read_as = {m.source for m in report.members if m.source is not None}
    order = [*(s for s in SOURCES if s in read_as), *sorted(read_as - set(SOURCES))]
    sources = [source_name(source) for source in order]
    known = sum(1 for m in report.members if m.source is not None)
    read = f": {known:,} of {some(len(report.members), 'member')} read as logs"
    bundle = page.join(page.log(report.bundle), page.say(f"{read} of {joined(sources)}" if sources else read))
    page.add(bundle, first=_label(page, "Read"), hang=_LABEL)

    span = zone.span(
        min((m.first for m in report.members if m.first), default=None),
        max((m.last for m in report.members if m.last), default=None),
    )
    if span:
        page.add(page.say(f"{span}; times are {zone.whose}"), first=_label(page, "Time"), hang=_LABEL)

    counts = [f"{report.count(o):,} {o}" for o in ("issued", "failed", "incomplete") if report.count(o)]
    told = f"{some(len(report.devices), 'device')}, {some(len(report.enrollments), 'enrollment')}"
    told = f"{told}: {', '.join(counts)}" if counts else told
    if report.starts:
        told += f"; {some(len(report.starts), 'start of CES', 'starts of CES')}"
    page.add(page.say(told), first=_label(page, "Found"), hang=_LABEL)
    if report.unattributed:
        page.add(
            page.say(f"{some(report.unattributed, 'record')} of CES and the CA could be put to no enrollment for sure"),
            hang=_LABEL,
        )


def _verdict(report: Report, found: list[Problem]) -> list[str]:
    """The verdict in words, a line for each thought."""
    every, failed = len(report.enrollments), report.count("failed")
    errors = [p for p in found if p[0].severity == "error"]
    standing = [p for p in errors if not all(f.resolved for f in p)]
    if report.verdict == "failing":
        if standing or errors:
            return _named((standing or errors)[0])
        if failed:
            return [f"{failed:,} of {some(every, 'enrollment')} failed, and no rule says why."]
        return ["The last start of CES failed, and no rule says why."]
    if report.verdict == "degraded":
        told = [f"{failed:,} of {some(every, 'enrollment')} failed."] if failed else []
        if standing:
            return told + _named(standing[0])
        if errors:
            return [*told, "A later success shows that the cause is gone:", *_named(errors[0])]
        return told or ["Not all went well."]
    if report.verdict == "healthy":
        well = bool(report.starts) and report.starts[-1].ok is True
        if not every:
            return ["CES started well; no device tried to enroll." if well else "Nothing failed."]
        issued = report.count("issued")
        told = [f"{issued:,} of {some(every, 'enrollment')} {'was' if issued == 1 else 'were'} issued"]
        return [f"{told[0]}, and CES started well." if well else f"{told[0]}."]
    if not any(m.source is not None for m in report.members):
        return ["Nothing in the bundle is a log that capflog knows."]
    if report.gaps:
        return ["The logs do not tell enough.", report.gaps[0].message]
    if every:
        return [
            f"No enrollment is seen from its start to its answer; {every:,} {'is' if every == 1 else 'are'} in part."
        ]
    return ["The logs show no enrollment and no start of CES."]


def _named(problem: Problem) -> list[str]:
    if len(problem) == 1:
        return [problem[0].title]
    return ["One of these, which the logs cannot tell apart:", *(f"- {f.title}" for f in problem)]


def _label(page: Page, word: str) -> Text:
    return page.say(word.ljust(_LABEL), "bold")


def _causes(page: Page, report: Report, found: list[Problem], zone: Zone) -> None:
    titles = {f.rule: f.title for f in report.findings}
    headings = {"error": "Causes", "warning": "Warnings", "info": "Notes"}
    before = ""
    for number, problem in enumerate(found, 1):
        if problem[0].severity != before:
            before = problem[0].severity
            page.heading(headings[before])
        problems.show(page, number, problem, zone, titles)


@dataclass(slots=True)
class _Attempts:
    """How often a device tried, and its last attempt with the time of that."""

    count: int
    last: Enrollment
    time: datetime | None


def _attempts(report: Report) -> dict[str | None, _Attempts]:
    found: dict[str | None, _Attempts] = {}
    for enrollment in report.enrollments:
        time = enrollment.ended or enrollment.started
        before = found.get(enrollment.device)
        if before is None:
            found[enrollment.device] = _Attempts(1, enrollment, time)
            continue
        before.count += 1
        # Of two enrollments at the same time, or without one, the later in the report is the later.
        if before.time is None or (time is not None and time >= before.time):
            before.last, before.time = enrollment, time
    return found


def _devices(page: Page, report: Report, found: list[Problem], zone: Zone) -> None:
    """The devices, those whose last enrollment failed first, then the latest first."""
    attempts = _attempts(report)
    if not attempts:
        return
    order = list(_OUTCOMES)

    def rank(device: str | None) -> tuple[int, float, bool, str]:
        its = attempts[device]
        since = float("-inf") if its.time is None else its.time.timestamp()
        return order.index(its.last.outcome), -since, device is None, device or ""

    ranked = nsmallest(DEVICES_SHOWN, attempts, key=rank)
    times = [its.time for its in attempts.values() if its.time is not None]
    days = {zone.date(time) for time in (min(times), max(times))} if times else set()
    page.heading("Devices")
    rows: list[list[Text]] = []
    for device in ranked:
        last, time = attempts[device].last, attempts[device].time
        error = last.est_error if last.outcome != "issued" else None
        shown = "" if time is None else zone.clock(time) if len(days) == 1 else zone.stamp(time)
        rows.append(
            [
                page.say("(no name)", "dim") if device is None else page.log(device),
                page.say(f"{attempts[device].count:,}"),
                page.say(last.outcome, _OUTCOMES[last.outcome]),
                page.say(shown),
                page.log(error or ""),
                page.log(" or ".join(last.causes)),
            ]
        )
    columns = [
        Column("device", yields=True, least=15),
        Column("tries", right=True),
        Column("last one"),
        Column("at", yields=True, least=10),
        Column("told to CAPF", yields=True, least=16),
        Column("cause", yields=True, least=14),
    ]
    if page.wants(columns, rows) > page.width - 2:
        # The ids of the rules would be broken; the numbers under "Causes" say the same.
        numbers = problems.numbers(found)
        columns[-1] = Column("cause no.", yields=True, least=8)
        for device, row in zip(ranked, rows, strict=True):
            row[-1] = page.log(" or ".join(numbers.get(rule, rule) for rule in attempts[device].last.causes))
    page.table(columns, rows, indent=2)
    if len(attempts) > DEVICES_SHOWN:
        more = len(attempts) - DEVICES_SHOWN
        page.add(page.say(f"and {more:,} more: capflog analyze --format json"), indent=2)


def _starts(page: Page, starts: Sequence[ServiceStart], zone: Zone) -> None:
    if not starts:
        return
    page.heading("Starts of CES")
    rows = []
    for start in starts:
        if start.started is not None:
            time = zone.stamp(start.started)
        elif start.earliest is not None and start.latest is not None:
            time = "between " + zone.span(start.earliest, start.latest).replace(" to ", " and ")
        elif start.earliest is not None:
            time = "after " + zone.stamp(start.earliest)
        elif start.latest is not None:
            time = "before " + zone.stamp(start.latest)
        else:
            time = "time not known"
        result, style = {True: ("ok", "green"), False: ("failed", "red"), None: ("not told", "yellow")}[start.ok]
        rows.append([page.say(time), page.say(result, style), page.log(" or ".join(start.causes))])
    page.table([Column("at", yields=True, least=20), Column("result"), Column("cause", yields=True)], rows, indent=2)


def _clocks(page: Page, clocks: Sequence[Clock]) -> None:
    if not clocks:
        return
    page.heading("Clocks")
    hang = max(len(source_name(c.source)) for c in clocks) + 2
    names = short_names(m for c in clocks for m in c.members)
    twice = {c.source for c in clocks if sum(1 for other in clocks if other.source == c.source) > 1}
    for clock in clocks:
        parts = [page.say(_told(clock))]
        if clock.basis:
            parts.append(page.say(("; ASSUMED, not told by the logs: " if clock.assumed else "; ") + clock.basis))
        elif clock.assumed:
            parts.append(page.say("; ASSUMED, not told by the logs"))
        if clock.source in twice and clock.members:
            more = len(clock.members) - 3
            parts.append(page.say(" ("))
            parts.append(page.log(", ".join(names[m] for m in clock.members[:3])))
            parts.append(page.say(f" and {more:,} more)" if more > 0 else ")"))
        first = page.say(source_name(clock.source), "bold")
        page.add(page.join(*parts), first=first, indent=2, hang=hang, width=PROSE)


def _told(clock: Clock) -> str:
    if clock.quality == "none" and clock.offset_seconds is None and clock.utc_offset_seconds is None:
        return "no time known"
    zone = "zone not known" if clock.utc_offset_seconds is None else Zone(clock.utc_offset_seconds).name
    return f"{_difference(clock)}; {zone}"


def _difference(clock: Clock) -> str:
    if clock.quality == "reference":
        return "the reference: the CUCM node's clock"
    if clock.quality == "conflict":
        return "its difference to the CUCM node's clock is not known: its requests contradict each other"
    if clock.offset_seconds is None:
        return "its difference to the CUCM node's clock is not known"
    offset, bound = clock.offset_seconds, clock.uncertainty_seconds
    exact = "" if bound is None else f" (±{_short(bound)})"
    if bound is not None and abs(offset) <= bound:
        told = f"in step with the CUCM node{exact}"
    else:
        told = f"{_short(offset)} {'behind' if offset < 0 else 'ahead of'} the CUCM node{exact}"
    hedge = {"weak": ", on few requests", "one-sided": ", bounded on one side only", "none": ", not measured"}
    return told + hedge.get(clock.quality, "")


def _short(amount: float) -> str:
    return f"{abs(amount):.1f} s" if abs(amount) < 60 else seconds(amount)


def _lacking(page: Page, report: Report) -> None:
    if not report.gaps:
        return
    page.heading("What the bundle lacks")
    for gap in report.gaps:
        page.prose(gap.message, first=page.say("- "), indent=2, hang=2)
        if gap.collect.strip():
            page.prose(gap.collect, first=page.say("Collect: ", "bold"), indent=4, hang=9)


def _members(page: Page, members: Sequence[Member]) -> None:
    """The members that were not read to the last line, the damaged ones first."""
    order = {"unreadable": 0, "partial": 1, "parsed": 2, "skipped": 3}
    marred = [m for m in members if m.status != "parsed" or m.unparsed]
    if not marred:
        return
    marred.sort(key=lambda m: order[m.status])
    page.heading("Members not read in full")
    style = {"unreadable": "red", "partial": "yellow"}
    for member in marred[:MEMBERS_SHOWN]:
        told = [] if member.status == "parsed" else [page.say(member.status, style.get(member.status, ""))]
        if member.reason:
            told.append(page.log(member.reason))
        if member.unparsed and member.source is not None:
            told.append(page.say(f"{some(member.unparsed, 'unknown line')} of {member.lines:,}"))
        body = page.join(page.log(member.member, "cyan"), page.say("  "))
        for place, part in enumerate(told):
            body.append_text(page.say(", " if place else ""))
            body.append_text(part)
        page.add(body, indent=2, hang=2, first=page.say("- "))
    hint = "capflog inspect shows them" if any(m.unparsed and m.source for m in marred) else "see capflog inspect"
    more = len(marred) - MEMBERS_SHOWN
    page.add(page.say(f"and {more:,} more: {hint}" if more > 0 else hint), indent=2)
