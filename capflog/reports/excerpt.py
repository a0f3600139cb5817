"""A part of timelines: what lies, or may lie, within a window of time that was asked for."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from capflog.reports.layout import some
from capflog.reports.times import Times, of_ca
from capflog.zones import Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capflog.model import Row, Timeline
    from capflog.typed import Typed

#: A time that is known no better than this is shown with its bounds, and counts by them.
BOUNDS = timedelta(seconds=3)

#: What a window without a beginning begins with, and one without an end ends with.
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DAY = timedelta(days=1)
_TICK = timedelta(microseconds=1)

#: Of a second that was typed without parts all of it is meant.
_WHOLE = timedelta(seconds=1) - _TICK

Span = tuple[datetime, datetime]


class EmptyWindowError(Exception):
    """The window is none, or nothing lies in it: one line for the user."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked for: from ``since`` to ``until``, or ``within`` so much of ``around``; ``words``: as it was typed.

    A time without a day is that time on every day of the timelines; beside one with a day it is of that one's day.
    """

    words: str
    since: Typed | None = None
    until: Typed | None = None
    around: Typed | None = None
    within: timedelta = timedelta(0)

    @property
    def typed(self) -> list[Typed]:
        """All times that were typed."""
        return [one for one in (self.since, self.until, self.around) if one is not None]

    @property
    def daily(self) -> bool:
        """Whether it is of every day."""
        return all(one.day is None for one in self.typed)

    @property
    def zoned(self) -> bool:
        """Whether some time was typed with its zone."""
        return any(one.zone is not None for one in self.typed)

    def spans(self, zone: Zone | None, first: datetime, last: datetime) -> list[Span]:
        """Give the spans of time that it means, in their order; those of every day, on the days from first to last.

        ``zone``: that of times which bear none; None: UTC. Raises :class:`EmptyWindowError` where one ends before it
        begins.
        """
        days = [one.day for one in self.typed if one.day is not None][:1]
        own = next((one.zone for one in self.typed if one.zone is not None), zone)
        found = sorted({span for day in days or _days(first, last, own) for span in self._on(day, zone)})
        if any(begin > end for begin, end in found):
            apart = any(one.day is None for one in self.typed)
            over = ": if it goes over midnight, tell both days" if apart else ""
            raise EmptyWindowError(f"{self.words}: this ends before it begins{over}")
        return found

    def _on(self, day: date, zone: Zone | None) -> list[Span]:
        """Give its spans on a day, which is that of times without one."""
        if self.around is not None:
            clock, whole = self.around.clock or time(), _WHOLE if self.around.whole else timedelta(0)
            # Of an hour that happens twice both are meant.
            at = {_moment(self.around, day, clock, zone, later=later) for later in (False, True)}
            return [(_shifted(one, -self.within), _shifted(one, self.within + whole)) for one in at]
        begin, end = FIRST, LAST
        if self.since is not None:
            begin = _moment(self.since, self.since.day or day, self.since.clock or time(), zone)
        elif self.until is not None and self.daily:
            begin = _moment(self.until, day, time(), zone)
        if self.until is not None and self.until.clock is not None:
            end = _moment(self.until, self.until.day or day, self.until.clock, zone, later=True)
            end = _shifted(end, _WHOLE if self.until.whole else timedelta(0))
        elif (last := self.until or self.since) is not None and (self.until is not None or self.daily):
            end = _shifted(_moment(last, (last.day or day) + _DAY, time(), zone), -_TICK)
        return [(begin, end)]


def _moment(typed: Typed, day: date, clock: time, zone: Zone | None, *, later: bool = False) -> datetime:
    """Give the moment of a time of day; ``later``: of two moments that clocks call so the second."""
    zone = typed.zone or zone or Zone.fixed(0)
    return datetime.combine(day, clock.replace(fold=int(later)), zone.tzinfo()).astimezone(UTC)


def _shifted(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        return LAST if by > timedelta(0) else FIRST


def _days(first: datetime, last: datetime, zone: Zone | None) -> list[date]:
    """List the days in a zone from one moment to another."""
    begin, end = (moment.astimezone(zone.tzinfo() if zone else UTC).date() for moment in (first, last))
    return [begin + timedelta(days=number) for number in range((end - begin).days + 1)]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What a timeline shows of a window: of its ``rows``, and of those that may be of its enrollments (``perhaps``).

    They lie in it, or may. ``spans``: the window, ``words``: as it was typed.
    """

    timeline: Timeline
    rows: list[Row]
    perhaps: list[Row]
    words: str
    spans: list[Span]


def excerpts(
    found: Sequence[Timeline], window: Window, display: Zone | None, *, every: bool
) -> tuple[list[Excerpt], list[str]]:
    """Cut timelines down to a window; gives, too, the devices of which nothing lies there.

    The timelines have their rows that may be of their enrollments; with ``every`` these count, too. ``display``: the
    zone in which they are shown, where it is not the node's. Raises :class:`EmptyWindowError` where nothing lies there.
    """
    rows = [row for timeline in found for row in (timeline.rows + timeline.perhaps if every else timeline.rows)]
    who = found[0].device if len(found) == 1 else f"these {some(len(found), 'device')}"
    ends = [bound for row in rows if _placed(row) for bound in _reach(row)]
    if not ends:
        raise EmptyWindowError(f"{window.words}: no line of {who} has a time")
    node = any(not of_ca(row.source) for row in rows)
    times = Times(found[0].zone, display, node=node, first=min(ends), last=max(ends))
    if window.zoned and times.unknown:
        raise EmptyWindowError(
            f"{window.words}: the zone of these logs is not known, so a time here has none (--tz tells it)"
        )
    spans = window.spans(times.shown, min(ends), max(ends))
    # Of every day: only those are named in which something could lie.
    spans = [span for span in spans if span[1] >= min(ends) and span[0] <= max(ends)] or spans[:1]
    made: list[Excerpt] = []
    empty: list[str] = []
    more = 0
    for timeline in found:
        own, perhaps = _within(timeline.rows, spans), _within(timeline.perhaps, spans)
        more += len(perhaps)
        if any(_placed(row) for row in (own + perhaps if every else own)):
            made.append(Excerpt(timeline, own, perhaps, window.words, spans))
        else:
            empty.append(timeline.device)
    if not made:
        whose = "its timeline spans" if len(found) == 1 else "their timelines span"
        told = f"{window.words}: no line of {who} lies there; {whose} {times.span(times.first, times.last)}"
        raise EmptyWindowError(told + (f"; {some(more, 'line')} there may be: --all shows" if more else ""))
    return made, empty


def _reach(row: Row) -> Span:
    """Give the bounds of a row's time."""
    if row.time is not None and not bounded(row):
        return row.time, row.time
    return row.earliest or FIRST, row.latest or LAST


def bounded(row: Row) -> bool:
    """Tell whether a row's time is known by its bounds alone."""
    if row.time is None:
        return True
    return row.earliest is not None and row.latest is not None and row.latest - row.earliest > BOUNDS


def _placed(row: Row) -> bool:
    """Tell whether a row has a time, or bounds on either side."""
    return row.time is not None or (row.earliest is not None and row.latest is not None)


def _within(rows: Iterable[Row], spans: Sequence[Span]) -> list[Row]:
    """Give the rows that lie in one of the spans, or may."""
    ends = [end for _, end in spans]
    kept = []
    for row in rows:
        low, high = _reach(row)
        place = bisect_left(ends, low)
        if place < len(spans) and spans[place][0] <= high:
            kept.append(row)
    return kept
