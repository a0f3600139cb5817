"""What `capflog analyze` prints: the verdict first, then the causes with their proof, then what stands behind them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from capflog.events import SOURCES
from capflog.reports import problems, starts
from capflog.reports.layout import PROSE, Column, Page, joined, short_names, some, source_name
from capflog.reports.times import Times, of_ca, of_node, unaligned, zone_assumed, zone_words
from capflog.zones import SECOND_MS, offset_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.text import Text

    from capflog.model import Clock, Enrollment, Member, Report
    from capflog.reports.problems import Problem
    from capflog.zones import Zone

#: Rows of the table of devices, and of the list of members.
DEVICES_SHOWN = 30
MEMBERS_SHOWN = 12

#: Jumps of a clock that are shown; a drift below this many millionths is no more than any clock's. (ppm)
STEPS_SHOWN = 4
DRIFT_SAID = 5.0

_VERDICTS = {"failing": "bold red", "degraded": "bold yellow", "healthy": "bold green", "inconclusive": "bold magenta"}
_OUTCOMES = {"failed": "red", "incomplete": "yellow", "issued": "green"}
_LABEL = 9

#: A clock's name that is longer stands on a line of its own.
_NAME = 18


def render(
    report: Report, *, width: int, color: bool, unicode: bool, zone: Zone | None, display: Zone | None = None
) -> str:
    """Set the report as text.

    ``width`` is in cells; no line is wider (a page has at least :data:`capflog.reports.layout.NARROWEST`). ``zone``:
    the node's, in which times are shown; None: not known, its times stand as it stamped them. ``display``: another
    zone to show them in. Without ``color`` the text has no escape sequence, without ``unicode`` no character beyond
    ASCII.
    """
    page = Page(width, color=color, unicode=unicode)
    times = Times(
        zone,
        display,
        assumed=zone_assumed(report.clocks),
        node=of_node(report.clocks),
        first=min((m.first for m in report.members if m.first), default=None),
        last=max((m.last for m in report.members if m.last), default=None),
    )
    found = problems.by_severity(problems.problems(report.findings))
    _head(page, report, found, times)
    _causes(page, report, found, times)
    _devices(page, report, found, times)
    starts.show(page, report, times)
    _clocks(page, report, times)
    _lacking(page, report)
    _members(page, report.members)
    return page.text()


def _head(page: Page, report: Report, found: list[Problem], times: Times) -> None:
    word = report.verdict.upper() if report.where is None else "CHOSEN"
    verdict = page.say(f"{word}  ", _VERDICTS[report.verdict] if report.where is None else "bold cyan")
    hang = verdict.cell_len
    for line in verdict_words(report, found):
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

    span = times.span(times.first, times.last, bare=True)
    if span:
        page.add(page.say(f"{span}; times are {times.whose}"), first=_label(page, "Time"), hang=_LABEL)
        unaligned(page, (c.source for c in report.clocks), aligned=report.aligned, hang=_LABEL)

    counts = [f"{report.count(o):,} {o}" for o in ("issued", "failed", "incomplete") if report.count(o)]
    told = f"{some(len(report.devices), 'device')}, {some(len(report.enrollments), 'enrollment')}"
    told = f"{told}: {', '.join(counts)}" if counts else told
    begun = [f"{whose} {len(its):,}" for whose, its in (("CAPF", report.capf_starts), ("CES", report.starts)) if its]
    told += f"; starts: {', '.join(begun)}" if begun else ""
    page.add(page.say(told), first=_label(page, "Found"), hang=_LABEL)
    if report.unattributed:
        page.add(
            page.say(f"{some(report.unattributed, 'record')} of CES and the CA could be put to no enrollment for sure"),
            hang=_LABEL,
        )


def verdict_words(report: Report, found: list[Problem]) -> list[str]:
    """Say the verdict in words, a line for each thought; ``found``: the problems, by severity."""
    every, failed = len(report.enrollments), report.count("failed")
    if report.where is not None:
        # (What is left out may have failed: there is no verdict on some.)
        return [f"{every:,} of {some(report.every, 'enrollment')}, those with: {report.where}"]
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


def _causes(page: Page, report: Report, found: list[Problem], times: Times) -> None:
    titles = {f.rule: f.title for f in report.findings}
    headings = {"error": "Causes", "warning": "Warnings", "info": "Notes"}
    before = ""
    for number, problem in enumerate(found, 1):
        if problem[0].severity != before:
            before = problem[0].severity
            page.heading(headings[before])
        problems.show(page, number, problem, times, titles)


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


def _devices(page: Page, report: Report, found: list[Problem], times: Times) -> None:
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
    ends = [its.time for its in attempts.values() if its.time is not None]
    days = {times.date(time) for time in (min(ends), max(ends))} if ends else set()
    title, below = times.column("at", (attempts[device].time for device in ranked))
    page.heading("Devices")
    rows: list[list[Text]] = []
    for device in ranked:
        last, time = attempts[device].last, attempts[device].time
        error = last.est_error if last.outcome != "issued" else None
        shown = "" if time is None else below.clock(time) if len(days) == 1 else below.stamp(time)
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
        Column(title, yields=True, least=14 if below.each else 10, folds=True),
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


#: So much of a server's name is shown.
_WHOSE = 64

#: What tells what the logs do not.
_TELL = (
    "What is assumed can be told: --tz ZONE ('show timezone config' on the node says it), --date DAY. RTMT's "
    "TraceCollectionResult XML and NGINX's error.log in the bundle tell it, too."
)


def _clocks(page: Page, report: Report, times: Times) -> None:
    clocks = report.clocks
    if not clocks:
        return
    page.heading("Clocks")
    names = short_names(m for c in clocks for m in c.members)
    alike = Counter((c.source, c.whose) for c in clocks)
    gap = page.say("  ")
    several = len({c.whose for c in clocks if not of_ca(c.source)}) > 1
    firsts = [
        page.join(
            page.say(source_name(c.source), "bold"), page.log(f" {c.whose[:_WHOSE]}" if c.whose else "", "bold"), gap
        )
        for c in clocks
    ]
    hang = min(max(first.cell_len for first in firsts), _NAME)
    for clock, first in zip(clocks, firsts, strict=True):
        body = _clock(page, clock, _its_zone(clock, report), times, several=several)
        if alike[clock.source, clock.whose] > 1 and clock.members:
            more = len(clock.members) - 3
            body.append_text(page.say(" ("))
            body.append_text(page.log(", ".join(names[m] for m in clock.members[:3])))
            body.append_text(page.say(f" and {more:,} more)" if more > 0 else ")"))
        page.add(body, first=first, indent=2, hang=hang, width=PROSE)
    if any(clock.assumed and not of_ca(clock.source) for clock in clocks):
        page.add(page.say(_TELL), indent=2, width=PROSE)


def clock_words(page: Page, clock: Clock, report: Report, times: Times) -> str:
    """Say all of a clock in a line, whatever the page's width."""
    several = len({c.whose for c in report.clocks if not of_ca(c.source)}) > 1
    return _clock(page, clock, _its_zone(clock, report), times, several=several).plain


def _its_zone(clock: Clock, report: Report) -> str:
    """Name the zone of a clock's stamps; "" where it is UTC, as IIS always writes."""
    if clock.zone is not None:
        own = set(clock.members)
        members = [m for m in report.members if m.member in own]
        first = min((m.first for m in members if m.first), default=None)
        last = max((m.last for m in members if m.last), default=None)
        named = zone_words(clock.zone, first, last)
        if first is None and last is None and not clock.zone.constant and clock.utc_offset_seconds is not None:
            named += f", {offset_name(clock.utc_offset_seconds * SECOND_MS)}"
    elif clock.utc_offset_seconds is None:
        return "zone not known"
    else:
        named = offset_name(clock.utc_offset_seconds * SECOND_MS)
    return "" if named == "UTC" and of_ca(clock.source) else named


def _clock(page: Page, clock: Clock, zone: str, times: Times, *, several: bool) -> Text:
    """Say all of a clock. ``several``: there are clocks of more than one node; then "the CUCM node" would be which?"""
    if clock.quality == "none" and clock.offset_seconds is None and clock.utc_offset_seconds is None:
        told = ["no time known"]
    else:
        told = [_difference(clock, several=several), _drift(clock), _steps(clock, times), zone]
    body = page.say("; ".join(part for part in told if part))
    if clock.assumed:
        body.append_text(page.say("; "))
        body.append_text(page.say("ASSUMED", "bold yellow"))
        body.append_text(page.say(", not told by the logs" + (": " if clock.basis else "")))
        body.append_text(page.say(clock.basis))
    elif clock.basis:
        bracketed = clock.quality == "reference"
        body.append_text(page.say(" (" if bracketed else ": " if _told_by_basis(clock) else "; "))
        body.append_text(page.say(clock.basis))
        body.append_text(page.say(")" if bracketed else ""))
    return body


def _told_by_basis(clock: Clock) -> bool:
    """Its difference has no number: the basis says which side is bounded."""
    return clock.quality == "one-sided" and clock.offset_seconds is None


def _difference(clock: Clock, *, several: bool) -> str:
    if clock.quality == "reference":
        return f"the reference: {'this' if several else 'the'} CUCM node's clock"
    to = "the reference" if several else "the CUCM node"
    its = "the reference" if several else "the CUCM node's clock"
    if clock.quality == "conflict":
        return f"its difference to {its} is not known: its requests contradict each other"
    if _told_by_basis(clock):
        return f"its difference to {its} is bounded on one side only"
    if clock.offset_seconds is None:
        return f"its difference to {its} is not known"
    offset, bound = clock.offset_seconds, clock.uncertainty_seconds
    hedge = {"weak": ", on few requests", "one-sided": ", bounded on one side only", "none": ", not measured"}
    exact = ("" if bound is None else f" (±{_amount(bound)})") + hedge.get(clock.quality, "")
    if clock.zone_error_seconds:
        zone = f"{_side(clock.zone_error_seconds)} {to}: a zone that is set wrong on one of the two, not a clock"
        rest = offset - clock.zone_error_seconds
        return f"{zone} that runs wrong; apart from that {'in step' if _in_step(rest, bound) else _ahead(rest)}{exact}"
    if _in_step(offset, bound):
        return f"in step with {to}{exact}"
    return f"{_side(offset)} {to}{exact}"


def _drift(clock: Clock) -> str:
    ppm = clock.drift_ppm
    if ppm is None or abs(ppm) < DRIFT_SAID:
        return ""
    return f"{'gains' if ppm > 0 else 'loses'} {_amount(ppm * 0.0864)} a day ({abs(ppm):,.0f} ppm)"


def _steps(clock: Clock, times: Times) -> str:
    if not clock.steps:
        return ""
    count = len(clock.steps)
    shown = [
        f"{times.told(step.time)} from {_ahead(step.before)} to {_ahead(step.after)}"
        for step in clock.steps[:STEPS_SHOWN]
    ]
    more = f" and {count - STEPS_SHOWN:,} more" if count > STEPS_SHOWN else ""
    return f"was set {'once' if count == 1 else f'{count:,} times'}: {', '.join(shown)}{more}"


def _side(offset: float) -> str:
    return _ahead(offset) + (" of" if offset > 0 else "")


def _in_step(offset: float, bound: float | None = None) -> bool:
    """Tell whether an offset is no more than its bound, or than the digits that are shown."""
    return abs(offset) < 0.05 or abs(offset) <= (bound or 0.0)


def _ahead(offset: float) -> str:
    """``3.2 s ahead``, ``1 h behind``, ``in step``."""
    if _in_step(offset):
        return "in step"
    return f"{_amount(offset)} {'behind' if offset < 0 else 'ahead'}"


def _amount(amount: float) -> str:
    """Say an offset's size: ``1.3 s``, ``1 min 5 s``, ``1 h``, ``1 h 1 s``, ``3 d 11 h``."""
    amount = abs(amount)
    if round(amount, 1) < 60:
        return f"{amount:.1f} s"
    minutes, secs = divmod(round(amount), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24) if hours >= 48 else (0, hours)
    parts = [(days, "d"), (hours, "h"), (0 if days else minutes, "min"), (0 if days else secs, "s")]
    return " ".join(f"{count:,} {unit}" for count, unit in parts if count)


def _lacking(page: Page, report: Report) -> None:
    if not report.gaps and not report.not_checked:
        return
    page.heading("What the bundle lacks")
    for gap in report.gaps:
        page.prose(gap.message, first=page.say("- "), indent=2, hang=2)
        if gap.collect.strip():
            page.prose(gap.collect, first=page.say("Collect: ", "bold"), indent=4, hang=9)
    if report.not_checked:
        lacking = {source for one in report.not_checked for source in one.lacking}
        logs = joined([source_name(source) for source in SOURCES if source in lacking])
        told = (
            f"Not checked: {some(len(report.not_checked), 'cause')} of which nothing but the logs of {logs} would tell."
        )
        page.prose(told, first=page.say("- "), indent=2, hang=2)


def _members(page: Page, members: Sequence[Member]) -> None:
    """The members that were not read to the last line, the damaged ones first."""
    order = {"unreadable": 0, "partial": 1, "parsed": 2, "skipped": 3}
    marred = [m for m in members if (m.status != "parsed" and not m.taken) or m.unparsed]
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
