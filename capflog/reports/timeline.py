"""What `capflog timeline` prints: all that the logs say of one device, on one clock, enrollment by enrollment.

Lines that may be of its enrollments, and could be put to none for sure, stand between the others where they were asked
for. Of a window of time that was asked for what lies in it is shown, and what does not is counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from capflog.reports.excerpt import FIRST, LAST, bounded
from capflog.reports.layout import Page, joined, seconds, short_names, some, source_name
from capflog.reports.times import Times, of_ca, unaligned
from capflog.safe_text import shortened
from capflog.steps import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    from rich.text import Text

    from capflog.model import Enrollment, Row, Timeline
    from capflog.reports.excerpt import Excerpt, Window
    from capflog.zones import Zone

#: From this width on the place of a line has its own column; on a narrower page it stands behind the text.
WIDE = 120

#: Logs whose stamps have milliseconds; the times of the others are shown in whole seconds.
EXACT = frozenset({"capf"})

_OUTCOMES = {"failed": "bold red", "incomplete": "bold yellow", "issued": "bold green"}
_MARKS = {"fault": "FAULT", "cause": "CAUSE"}

# A time at the line's start, with the bar that some logs set behind it: the row has it in its own column.
_STAMP = re.compile(r"\s*(?:\d{4}[-/]\d\d[-/]\d\d[ T])?\d\d:\d\d:\d\d(?:[.,]\d+)?Z?\s*\|?\s*")

_LABEL = 10

#: So many spans of a window that is of every day are named.
SPANS_SHOWN = 2

#: So many of the devices of which nothing lies in a window are named.
EMPTY_SHOWN = 8

#: Text narrower than this cannot be read: then the column of seconds since the start goes.
_LEAST_TEXT = 20


def render(
    timeline: Timeline,
    *,
    width: int,
    color: bool,
    unicode: bool,
    display: Zone | None = None,
    every: bool = False,
    excerpt: Excerpt | None = None,
) -> str:
    """Set the timeline as text; ``width``, ``color`` and ``unicode`` as in :func:`capflog.reports.terminal.render`.

    Times are in the zone ``display``, else in the node's where it is known, else as the node stamped them; without its
    lines, UTC. The text of a line stands as it was logged, without the stamp at its start where the row has a time.
    ``every``: with what may be of its enrollments. ``excerpt``: the window that the timeline was cut down to.
    """
    page = Page(width, color=color, unicode=unicode)
    shown = _merged(timeline.rows, timeline.perhaps) if every else timeline.rows
    blocks = [_Block(*block) for block in _blocks(timeline, shown)]
    if excerpt is not None:
        kept = set(map(id, (*excerpt.rows, *excerpt.perhaps)))
        shown = [row for row in shown if id(row) in kept]
        blocks = [part for block in blocks if (part := block.of(kept)) is not None]
    ends = [time for row in shown if (time := _moment(row))]
    times = Times(
        timeline.zone,
        display,
        assumed=timeline.assumed,
        node=any(not of_ca(row.source) for row in shown),
        first=min(ends, default=None),
        last=max(ends, default=None),
    )
    beside = any(beside and not row.among for block in blocks for row, beside in block.rows)
    _head(page, timeline, shown, times, beside=beside)
    if excerpt is not None:
        _limits(page, excerpt, times, sum(1 for block in blocks if block.enrollment is not None), every=every)
    _perhaps(page, timeline, excerpt, every=every)
    rows = _Rows(page, timeline, shown, times)
    for block in blocks:
        page.blank()
        if block.enrollment is None:
            page.add(page.say(block.title.upper(), "bold dim"))
        else:
            _enrollment(page, timeline, block.enrollment, block.number, times)
            if block.own < block.whole:
                told = f"{block.own:,} of its {some(block.whole, 'line')}"
                page.add(page.say(told), first=page.say("Shown"), indent=2, hang=_LABEL)
        rows.show(block.rows, block.enrollment)
    if timeline.lacking:
        page.heading("What the bundle lacks")
        for gap in timeline.lacking:
            page.prose(gap, first=page.say("- "), indent=2, hang=2)
    return page.text()


def render_empty(devices: Sequence[str], window: Window, *, width: int, color: bool, unicode: bool) -> str:
    """Name the devices of which nothing lies in a window."""
    page = Page(width, color=color, unicode=unicode)
    names = page.log(", ".join(devices[:EMPTY_SHOWN]))
    more = len(devices) - EMPTY_SHOWN
    rest = page.say(f" and {some(more, 'more device')}" if more > 0 else "")
    page.add(page.join(page.say(f"No line there ({window.words}): "), names, rest))
    return page.text()


def _moment(row: Row) -> datetime | None:
    return row.time or row.earliest or row.latest


def _merged(rows: Sequence[Row], perhaps: Sequence[Row]) -> list[Row]:
    """Put rows that may be a device's between its own, which stay in their order; without a time they come last."""
    own = [(_moment(row), row) for row in rows]
    first = min((time for time, _ in own if time is not None), default=None)
    if first is None:
        return [*rows, *perhaps]
    # Where a row stands after one that is later, it stands there for a reason.
    ranks = list(accumulate((time or first for time, _ in own), max))
    timed = [(time, 1, row) for row in perhaps if (time := _moment(row)) is not None]
    every = [*((rank, 0, row) for rank, row in zip(ranks, rows, strict=True)), *timed]
    every.sort(key=lambda one: one[:2])
    return [*(row for *_, row in every), *(row for row in perhaps if _moment(row) is None)]


def _limits(page: Page, excerpt: Excerpt, times: Times, enrollments: int, *, every: bool) -> None:
    """Say what the window is, and how much of the timeline lies outside of it."""
    timeline = excerpt.timeline
    lines = len(timeline.rows)
    outside = (
        (lines - len(excerpt.rows), "line", ""),
        (len(timeline.perhaps) - len(excerpt.perhaps) if every else 0, "line that may be its", "lines that may be its"),
        (len(timeline.enrollments) - enrollments, "enrollment", ""),
    )
    left = [some(count, one, many) for count, one, many in outside if count]
    rest = f"{joined(left)} {'is' if left == ['1 line'] else 'are'} left out" if left else "nothing is left out"
    shown = f"{len(excerpt.rows):,} of {some(lines, 'line')}"
    page.add(page.say(f"Limited to {_span(excerpt, times)} ({excerpt.words}): {shown}; {rest}", "bold"))


def _span(excerpt: Excerpt, times: Times) -> str:
    """Say a window in the zone of the page; with parts of seconds where there are some."""
    exact = any(time.microsecond not in (0, 999_999) for span in excerpt.spans for time in span)

    def clock(time: datetime) -> str:
        return times.clock(time, exact=exact)

    said = []
    for begin, end in excerpt.spans:
        if end == LAST:
            said.append(f"{times.date(begin)} {clock(begin)} and later")
        elif begin == FIRST:
            said.append(f"{times.date(end)} {clock(end)} and earlier")
        else:
            day = "" if times.date(begin) == times.date(end) else f"{times.date(end)} "
            upto = "" if clock(begin) == clock(end) and not day else f" to {day}{clock(end)}"
            said.append(f"{times.date(begin)} {clock(begin)}{upto}")
    if len(said) > SPANS_SHOWN:
        return f"{said[0]}, and so on each of {len(said):,} days"
    return joined(said)


def _perhaps(page: Page, timeline: Timeline, excerpt: Excerpt | None, *, every: bool) -> None:
    """Say how many lines may be of its enrollments, in the window where there is one."""
    who = "enrollment" if any(e.id == timeline.device for e in timeline.enrollments) else "phone"
    count = timeline.more if excerpt is None else len(excerpt.perhaps)
    place = "" if excerpt is None else " there"
    if not every and count:
        shows = f"--all shows {'it' if count == 1 else 'them'}"
        page.add(page.say(f"{some(count, 'more line')}{place} may be of this {who}: {shows}"))
    elif every and count:
        told = f"PERHAPS (of N): {some(count, 'line')}{place}, nobody's for sure"
        its = f"{'it' if count == 1 else 'each'} may be of any of N enrollments, this {who}'s among them"
        page.add(page.say(f"{told}; {its}", "dim"), first=page.say(" ?"), hang=3)
    elif every:
        page.add(page.say(f"No further line{place} may be of this {who}"))
    if timeline.beyond:
        told = f"Up to {some(timeline.beyond, 'further line')} may be of this {who}"
        page.add(page.say(f"{told}, but of very many others too: only those nearest in time have them in --all"))


def _head(page: Page, timeline: Timeline, shown: Sequence[Row], times: Times, *, beside: bool) -> None:
    page.add(page.join(page.log(timeline.device, "bold"), page.say("  in "), page.log(timeline.bundle)))
    counts = [
        f"{count:,} {outcome}"
        for outcome in ("issued", "failed", "incomplete")
        if (count := sum(1 for e in timeline.enrollments if e.outcome == outcome))
    ]
    told = some(len(timeline.enrollments), "enrollment")
    page.add(page.say(f"{told}: {', '.join(counts)}" if counts else told))
    days = sorted({times.date(time) for time in (times.first, times.last) if time})
    when = " to ".join(map(str, days)) + ", times" if days else "Times"
    page.add(page.say(f"{when} are {times.whose}"))
    unaligned(page, (row.source for row in shown), aligned=timeline.aligned, ahead_ms=timeline.ahead_ms)
    for mark, meaning, used in (
        (">>", "tells of the failure or its cause", any(row.mark and not row.among for row in shown)),
        (" ~", "most likely, not for sure, this enrollment's", any(r.confidence == "likely" for r in shown)),
        (" .", "at the time of the enrollment, not its own", beside),
    ):
        if used:
            page.add(page.say(meaning, "dim"), first=page.say(mark), hang=3)
    if not shown:
        page.add(page.say("No line of the logs is this device's."))


Rows = list[tuple["Row", bool]]
"""Rows, each with whether it stands within an enrollment without being its own."""


@dataclass(slots=True)
class _Block:
    """An enrollment (the ``number``-th), or what lies between: its rows.

    ``own``: so many are the enrollment's own, of so many (``whole``) that it has.
    """

    title: str
    enrollment: Enrollment | None
    number: int
    rows: Rows
    own: int = 0
    whole: int = 0

    def of(self, kept: set[int]) -> _Block | None:
        """Give what is left of it where some rows are kept, which are told by their ids; None: nothing."""
        rows = [(row, beside) for row, beside in self.rows if id(row) in kept]
        if not rows and self.rows:
            return None
        own, whole = (sum(1 for _, beside in some_ if not beside) for some_ in (rows, self.rows))
        return replace(self, rows=rows, own=own, whole=whole)


def _blocks(timeline: Timeline, shown: Sequence[Row]) -> Iterator[tuple[str, Enrollment | None, int, Rows]]:
    """Cut the rows into enrollments and what lies between them.

    A row that is no enrollment's stands among the rows of the one that was under way.
    """
    dark = [row for row in shown if row.among and _moment(row) is None]
    every = [row for row in shown if not (row.among and _moment(row) is None)]
    places: dict[str, list[int]] = {e.id: [] for e in timeline.enrollments}
    for place, row in enumerate(every):
        if row.enrollment in places:
            places[row.enrollment].append(place)
    taken = [row.enrollment in places for row in every]
    done = 0
    count = len(timeline.enrollments)
    for number, enrollment in enumerate(timeline.enrollments, 1):
        own = places[enrollment.id]
        if own:
            before: Rows = [(every[i], False) for i in range(done, own[0]) if not taken[i]]
            if before:
                between = f"Between enrollments {number - 1} and {number}" if number > 1 else "Before enrollment 1"
                yield between, None, 0, before
            first, last = max(own[0], done), own[-1] + 1
            mine = set(own)
            inside = sorted(mine | {i for i in range(first, last) if not taken[i]})
            yield "", enrollment, number, [(every[i], i not in mine) for i in inside]
            done = max(done, last)
        else:
            yield "", enrollment, number, []
    after: Rows = [(every[i], False) for i in range(done, len(every)) if not taken[i]]
    if after:
        yield (f"After enrollment {count}" if count else "No enrollment"), None, 0, after
    if dark:
        yield "At times that nothing tells", None, 0, [(row, False) for row in dark]


def _enrollment(page: Page, timeline: Timeline, enrollment: Enrollment, number: int, times: Times) -> None:
    took = ""
    if enrollment.started is not None and enrollment.ended is not None:
        length = (enrollment.ended - enrollment.started).total_seconds()
        took = f" after {seconds(length)}" if length >= 0 else ""
    elif enrollment.outcome == "incomplete":
        took = ": the logs show a part of it"
    title = f"ENROLLMENT {number} of {len(timeline.enrollments)}  "
    told = page.log(f"  {enrollment.est_error}" if enrollment.est_error and enrollment.outcome != "issued" else "")
    page.add(
        page.join(
            page.say(title, "bold"), page.say(enrollment.outcome.upper() + took, _OUTCOMES[enrollment.outcome]), told
        )
    )
    label = page.say
    if enrollment.started is not None:
        page.add(page.say(times.told(enrollment.started, exact=True)), first=label("Started"), indent=2, hang=_LABEL)
    for place, rule in enumerate(enrollment.causes):
        named = page.join(
            page.log(rule),
            page.say(": " if rule in timeline.findings else ""),
            page.say(timeline.findings.get(rule, "")),
        )
        first = label("Cause") if place == 0 else label("or")
        page.add(named, first=first, indent=2, hang=_LABEL)
    if enrollment.reached:
        page.add(page.say(_step(enrollment.reached)), first=label("Reached"), indent=2, hang=_LABEL)
    if enrollment.missing:
        page.add(page.say(_step(enrollment.missing)), first=label("Not seen"), indent=2, hang=_LABEL)


def _step(step: str) -> str:
    if step == "none":
        return "no step"
    return f"{WORDS[step]} ({step})" if step in WORDS else step


class _Rows:
    """Sets rows in columns that are the same on the whole page."""

    def __init__(self, page: Page, timeline: Timeline, shown: Sequence[Row], times: Times) -> None:
        self.page = page
        self.times = times
        self.crosses = times.crosses
        self.wide = page.width >= WIDE
        self.names = short_names(row.member for row in shown)
        self.day: tuple[date, float] | None = None
        started = {e.id: e.started for e in timeline.enrollments}
        offsets = [self._offset(row, started.get(row.enrollment or "")) for row in shown]
        self.widths = [
            2,
            max((len(text) for text in offsets), default=0),
            max((self._fitted(self._time(row)) for row in shown), default=0),
            min(max((len(source_name(row.source)) for row in shown), default=0), 8),
            min(max((len(row.level or "") for row in shown), default=0), 8) if self.wide else 0,
            0,
            min(max((self._place(row).cell_len for row in shown), default=0), 36) if self.wide else 0,
        ]
        self.gap = 2 if self.wide else 1
        self.widths[5] = self._rest()
        if self.widths[5] < _LEAST_TEXT:
            self.widths[1] = self.widths[5] = 0
            self.widths[5] = self._rest()
        self.kept = [place for place, width in enumerate(self.widths) if width]

    def _rest(self) -> int:
        return self.page.width - sum(self.widths) - self.gap * sum(1 for width in self.widths if width)

    def _fitted(self, time: str) -> int:
        return max(self.page.say(part).cell_len for part in ([time] if self.wide else time.split(" ")))

    def _place(self, row: Row) -> Text:
        return self.page.log(f"{self.names[row.member]}:{row.line}", "dim")

    def show(self, rows: Sequence[tuple[Row, bool]], enrollment: Enrollment | None) -> None:
        """Set the rows of one block; a line with the date stands wherever the day, or the zone, is another."""
        started = enrollment.started if enrollment else None
        if started is not None:
            self.day = self._day(started)
        for row, beside in rows:
            time = _moment(row)
            if time is not None and (day := self._day(time)) != self.day:
                self.day = day
                zoned = f", {self.times.label(time)}" if self.crosses else ""
                self.page.add(self.page.say(f"-- {day[0]}{zoned}", "dim"))
            self._show(row, started, beside=beside, outside=enrollment is None)

    def _day(self, time: datetime) -> tuple[date, float]:
        return self.times.date(time), self.times.offset(time)

    def _show(self, row: Row, started: datetime | None, *, beside: bool, outside: bool) -> None:
        page = self.page
        word = _MARKS.get(row.mark, "")
        style = "dim" if (beside or outside) and not word and not row.among else ""
        strong = "bold magenta" if row.among else "bold red" if word else style
        mark = ">>" if word else " ~" if row.confidence == "likely" else " ." if beside else ""
        if row.among:
            mark = " ?"
            word = f"PERHAPS (of {row.among:,})" + (f", {word}" if word else "")
        text = shortened(row.text)
        if row.time is not None and (stamp := _STAMP.match(text)) and stamp.end() < len(text):
            text = text[stamp.end() :]
        words = page.join(page.say(f"{word}  " if word else "", strong), page.log(text, style))
        if not self.wide:
            words = page.join(words, page.say("  "), self._place(row))
        cells = [
            page.say(mark, strong),
            page.say("" if beside or outside else self._offset(row, started), style),
            page.say(self._time(row), style),
            page.say(source_name(row.source), style),
            page.log(row.level or "", style),
            words,
            self._place(row),
        ]
        page.row(
            [cells[i] for i in self.kept],
            [self.widths[i] for i in self.kept],
            right=frozenset({self.kept.index(1)} if 1 in self.kept else ()),
            gap=self.gap,
        )

    def _exact(self, row: Row) -> bool:
        return row.source in EXACT

    def _time(self, row: Row) -> str:
        if row.time is not None and not bounded(row):
            return self.times.clock(row.time, exact=self._exact(row))
        if row.earliest is not None and row.latest is not None:
            same = self.times.date(row.earliest) == self.times.date(row.latest)
            end = self.times.clock(row.latest) if same else self.times.stamp(row.latest)
            return f"{self.times.clock(row.earliest)}…{'' if self.wide else ' '}{end}"
        if row.earliest is not None:
            return f"after {self.times.clock(row.earliest)}"
        if row.latest is not None:
            return f"before {self.times.clock(row.latest)}"
        return self.times.clock(row.time) if row.time is not None else "no time"

    def _offset(self, row: Row, started: datetime | None) -> str:
        """Seconds since the enrollment's start; the decimal points of all rows stand below each other."""
        if started is None or row.time is None or bounded(row):
            return ""
        passed = (row.time - started).total_seconds()
        return f"{passed:+.3f}" if self._exact(row) else f"{round(passed):+d}    "
