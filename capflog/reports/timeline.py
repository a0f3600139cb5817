"""What `capflog timeline` prints: all that the logs say of one device, on one clock, enrollment by enrollment."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from capflog.reports.layout import Page, seconds, short_names, some, source_name
from capflog.reports.times import Times, of_ca, unaligned
from capflog.steps import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    from rich.text import Text

    from capflog.model import Enrollment, Row, Timeline
    from capflog.zones import Zone

#: From this width on the place of a line has its own column; on a narrower page it stands behind the text.
WIDE = 120

#: A time that is known no better than this is shown with its bounds.
BOUNDS = timedelta(seconds=3)

#: Logs whose stamps have milliseconds; the times of the others are shown in whole seconds.
EXACT = frozenset({"capf"})

_OUTCOMES = {"failed": "bold red", "incomplete": "bold yellow", "issued": "bold green"}
_MARKS = {"fault": "FAULT", "cause": "CAUSE"}

# A time at the line's start, with the bar that some logs set behind it: the row has it in its own column.
_STAMP = re.compile(r"\s*(?:\d{4}[-/]\d\d[-/]\d\d[ T])?\d\d:\d\d:\d\d(?:[.,]\d+)?Z?\s*\|?\s*")

_LABEL = 10

#: Text narrower than this cannot be read: then the column of seconds since the start goes.
_LEAST_TEXT = 20


def render(timeline: Timeline, *, width: int, color: bool, unicode: bool, display: Zone | None = None) -> str:
    """Set the timeline as text; ``width``, ``color`` and ``unicode`` as in :func:`capflog.reports.terminal.render`.

    Times are in the zone ``display``, else in the node's where it is known, else as the node stamped them; without its
    lines, UTC. The text of a line stands as it was logged, without the stamp at its start where the row has a time.
    """
    page = Page(width, color=color, unicode=unicode)
    ends = [time for row in timeline.rows if (time := _moment(row))]
    times = Times(
        timeline.zone,
        display,
        assumed=timeline.assumed,
        node=any(not of_ca(row.source) for row in timeline.rows),
        first=min(ends, default=None),
        last=max(ends, default=None),
    )
    blocks = list(_blocks(timeline))
    _head(page, timeline, times, beside=any(beside for *_, rows in blocks for _, beside in rows))
    rows = _Rows(page, timeline, times)
    for title, enrollment, number, chosen in blocks:
        page.blank()
        if enrollment is None:
            page.add(page.say(title.upper(), "bold dim"))
        else:
            _enrollment(page, timeline, enrollment, number, times)
        rows.show(chosen, enrollment)
    if timeline.lacking:
        page.heading("What the bundle lacks")
        for gap in timeline.lacking:
            page.prose(gap, first=page.say("- "), indent=2, hang=2)
    return page.text()


def _moment(row: Row) -> datetime | None:
    return row.time or row.earliest or row.latest


def _head(page: Page, timeline: Timeline, times: Times, *, beside: bool) -> None:
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
    unaligned(page, (row.source for row in timeline.rows), aligned=timeline.aligned, ahead_ms=timeline.ahead_ms)
    for mark, meaning, used in (
        (">>", "tells of the failure or its cause", any(row.mark for row in timeline.rows)),
        (" ~", "most likely, not for sure, this enrollment's", any(r.confidence == "likely" for r in timeline.rows)),
        (" .", "at the time of the enrollment, not its own", beside),
    ):
        if used:
            page.add(page.say(meaning, "dim"), first=page.say(mark), hang=3)
    if not timeline.rows:
        page.add(page.say("No line of the logs is this device's."))


Rows = list[tuple["Row", bool]]
"""Rows, each with whether it stands within an enrollment without being its own."""


def _blocks(timeline: Timeline) -> Iterator[tuple[str, Enrollment | None, int, Rows]]:
    """Cut the rows into enrollments and what lies between them.

    A row that is no enrollment's stands among the rows of the one that was under way.
    """
    every = timeline.rows
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

    def __init__(self, page: Page, timeline: Timeline, times: Times) -> None:
        self.page = page
        self.times = times
        self.crosses = times.crosses
        self.wide = page.width >= WIDE
        self.names = short_names(row.member for row in timeline.rows)
        self.day: tuple[date, float] | None = None
        started = {e.id: e.started for e in timeline.enrollments}
        offsets = [self._offset(row, started.get(row.enrollment or "")) for row in timeline.rows]
        self.widths = [
            2,
            max((len(text) for text in offsets), default=0),
            max((self._fitted(self._time(row)) for row in timeline.rows), default=0),
            min(max((len(source_name(row.source)) for row in timeline.rows), default=0), 8),
            min(max((len(row.level or "") for row in timeline.rows), default=0), 8) if self.wide else 0,
            0,
            min(max((self._place(row).cell_len for row in timeline.rows), default=0), 36) if self.wide else 0,
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
        style = "dim" if (beside or outside) and not word else ""
        strong = "bold red" if word else style
        mark = ">>" if word else " ~" if row.confidence == "likely" else " ." if beside else ""
        text = row.text
        if row.time is not None and (stamp := _STAMP.match(text)) and stamp.end() < len(text):
            text = text[stamp.end() :]
        words = page.join(page.say(f"{word}  " if word else "", "bold red"), page.log(text, style))
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

    def _bounded(self, row: Row) -> bool:
        if row.time is None:
            return True
        return row.earliest is not None and row.latest is not None and row.latest - row.earliest > BOUNDS

    def _exact(self, row: Row) -> bool:
        return row.source in EXACT

    def _time(self, row: Row) -> str:
        if row.time is not None and not self._bounded(row):
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
        if started is None or row.time is None or self._bounded(row):
            return ""
        passed = (row.time - started).total_seconds()
        return f"{passed:+.3f}" if self._exact(row) else f"{round(passed):+d}    "
