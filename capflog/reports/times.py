"""Times in reports for people: in which zone they are, how its changes are said, and whose clock they are of."""

from __future__ import annotations

import re
from bisect import bisect
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from capflog.reports.layout import seconds, some
from capflog.zones import SECOND_MS, offset_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from capflog.model import Clock
    from capflog.reports.layout import Page
    from capflog.zones import Zone

#: Logs of the CA's server; every other is the CUCM node's.
_NOT_THE_NODES = frozenset({"iis", "httperr"})

#: So many changes of a zone are said in words.
CHANGES_SAID = 3

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

#: Names that say no more than the distance from UTC.
_FIXED = re.compile(r"UTC(?:[+-]\d\d:\d\d(?::\d\d)?)?(?:/[+-]\d\d:\d\d(?::\d\d)?)*")


def _offset(offset: float) -> str:
    """Say a distance from UTC, given in seconds, as a time bears it: ``-05:00``."""
    return _named(offset).removeprefix("UTC") or "+00:00"


def _named(offset: float) -> str:
    return offset_name(round(offset) * SECOND_MS)


def zone_words(zone: Zone, first: datetime | None, last: datetime | None) -> str:
    """Say a zone, and how its distance from UTC changes from ``first`` to ``last``.

    ``UTC-05:00``; ``America/New_York, UTC-05:00, from 2019-03-10 03:00 on UTC-04:00``.
    """
    name = [] if _FIXED.fullmatch(zone.name) else [zone.name]
    start = first or last
    if start is None and not zone.constant:
        return zone.name
    parts = [*name, _named(_seconds_of(zone, EPOCH if start is None else start))]
    changes = _changes(zone, first, last)
    for change, before, after in changes[:CHANGES_SAID]:
        local = EPOCH + timedelta(milliseconds=change + after)
        # Where a clock is set back, what it then says it has said before.
        parts.append(f"from {'the second ' if after < before else ''}{local:%Y-%m-%d %H:%M} on {offset_name(after)}")
    more = len(changes) - CHANGES_SAID
    return ", ".join(parts) + (f" and {some(more, 'more change')}" if more > 0 else "")


def _changes(zone: Zone, first: datetime | None, last: datetime | None) -> list[tuple[int, int, int]]:
    """List the zone's changes after ``first``, not after ``last``: when (ms), the distances before and after (ms)."""
    if first is None or last is None:
        return []
    begin, end = (bisect(zone.changes, _ms(time)) for time in (first, last))
    steps = zip(zone.changes[begin:end], pairwise(zone.offsets[begin : end + 1]), strict=True)
    return [(change, before, after) for change, (before, after) in steps if before != after]


def _ms(time: datetime) -> int:
    return (time - EPOCH) // _MILLISECOND


def _seconds_of(zone: Zone, time: datetime) -> float:
    return zone.offset_at(_ms(time)) / 1000


@dataclass(frozen=True, slots=True)
class Times:
    """How times are shown.

    ``zone``: the CUCM node's; None: not known, its times stand as they were stamped. ``display``: the zone that was
    asked for instead. ``assumed``: nothing in the bundle fixes the zone, or the date, of the node's clock. ``node``:
    there are lines of the CUCM node. ``first``, ``last``: the ends of what is shown. ``each``: every time bears its
    distance from UTC.
    """

    zone: Zone | None
    display: Zone | None = None
    assumed: bool = False
    node: bool = True
    first: datetime | None = None
    last: datetime | None = None
    each: bool = False

    @property
    def unknown(self) -> bool:
        """The times are of a zone that is not known: nothing can be said in another."""
        return self.zone is None and self.node

    @property
    def shown(self) -> Zone | None:
        """The zone of the times; None: UTC, or :attr:`unknown`."""
        return None if self.unknown else self.display or self.zone

    @property
    def crosses(self) -> bool:
        """The zone's distance from UTC changes within what is shown."""
        return self.shown is not None and bool(_changes(self.shown, self.first, self.last))

    @property
    def whose(self) -> str:
        """The zone's name, its changes, and why it is this one."""
        if self.unknown:
            told = "the CUCM node's local time, of a zone that is not known"
            told += ": --display-tz needs that, --tz tells it" if self.display else ""
        elif self.shown is None:
            told = "UTC"
        else:
            why = "as --display-tz asks" if self.display else "the CUCM node's zone"
            told = zone_words(self.shown, self.first, self.last) + (": " if self.crosses else ", ") + why
        return f"{told} (partly ASSUMED: see CLOCKS in capflog analyze)" if self.assumed else told

    def offset(self, time: datetime) -> float:
        """The zone's distance from UTC at a time, in seconds."""
        return 0.0 if self.shown is None else _seconds_of(self.shown, time)

    def label(self, time: datetime) -> str:
        """The zone at a time, as a time or a column bears it: ``UTC-05:00``."""
        return "node's time" if self.unknown else _named(self.offset(time))

    def local(self, time: datetime) -> datetime:
        """What clocks in the zone say at a time (marked as UTC); a time at the edge of the calendar stays in UTC."""
        time = time.astimezone(UTC)
        try:
            return time + timedelta(seconds=self.offset(time))
        except OverflowError:
            return time

    def date(self, time: datetime) -> date:
        """The day in the zone."""
        return self.local(time).date()

    def clock(self, time: datetime, *, exact: bool = False) -> str:
        """``12:31:03``; ``12:31:03.388`` where ``exact``; ``01:30:00-04:00`` in an hour that clocks show twice."""
        return self._clock(time, exact=exact, zoned=self.each or self._twice(time))

    def stamp(self, time: datetime, *, exact: bool = False) -> str:
        """``2019-03-05 12:31:03``, otherwise as :meth:`clock`."""
        return f"{self.date(time)} {self.clock(time, exact=exact)}"

    def told(self, time: datetime, *, exact: bool = False) -> str:
        """A time that stands alone, with its zone: ``2019-03-05 12:31:03 UTC-05:00``."""
        return f"{self.date(time)} {self._clock(time, exact=exact)} {self.label(time)}"

    def span(self, first: datetime | None, last: datetime | None, *, bare: bool = False) -> str:
        """Say from when to when, the day once where it is one day; "" where neither is known.

        With the zone, unless ``bare``: then another place says it.
        """
        if first is None or last is None:
            known = first or last
            return "" if known is None else self.stamp(known) if bare else self.told(known)
        alike = self.offset(first) == self.offset(last)
        zoned = self.each or not alike or (bare and (self._twice(first) or self._twice(last)))
        start, end = (self._clock(time, zoned=zoned) for time in (first, last))
        days = self.date(first), self.date(last)
        said = f"{days[0]} {start}"
        if days[0] != days[1]:
            said += f" to {days[1]} {end}"
        elif start != end:
            said += f" to {end}"
        return said if bare or zoned else f"{said} {self.label(first)}"

    def column(self, title: str, times: Iterable[datetime | None]) -> tuple[str, Times]:
        """Give the title of a column of times with their zone, and how they are shown below it.

        Where one title cannot say it of all of them, each time bears its own distance from UTC.
        """
        known = [time for time in times if time is not None]
        labels = {self.label(time) for time in known}
        if len(labels) > 1 or any(map(self._twice, known)):
            return title, replace(self, each=True)
        return " ".join([title, *labels]), self

    def _clock(self, time: datetime, *, exact: bool = False, zoned: bool = False) -> str:
        shown = self.local(time).time().isoformat("milliseconds" if exact else "seconds")
        return shown + _offset(self.offset(time)) if zoned and not self.unknown else shown

    def _twice(self, time: datetime) -> bool:
        """Tell whether clocks in the zone say the same at another time, because they are set back."""
        zone = self.shown
        if zone is None or not zone.changes:
            return False
        ms = _ms(time)
        place = bisect(zone.changes, ms)
        for change in range(max(place - 1, 0), min(place + 1, len(zone.changes))):
            back = zone.offsets[change] - zone.offsets[change + 1]
            if -back <= ms - zone.changes[change] < back:
                return True
        return False


def zone_assumed(clocks: Iterable[Clock]) -> bool:
    """Tell whether the CUCM node's zone or date is a guess."""
    own = [c for c in clocks if c.source not in _NOT_THE_NODES]
    reference = [c for c in own if c.quality == "reference"] or own
    return any(clock.assumed for clock in reference)


def of_node(clocks: Iterable[Clock]) -> bool:
    """Tell whether any clock is the CUCM node's, its zone known or not."""
    return any(not of_ca(c.source) for c in clocks)


def of_ca(source: str) -> bool:
    """Tell whether a log is of the CA's server, and not of a CUCM node."""
    return source in _NOT_THE_NODES


def unaligned(page: Page, sources: Iterable[str], *, aligned: bool, ahead_ms: int = 0, hang: int = 0) -> None:
    """Say that times of the CA's server are its own clock's, where they were asked for so, or how far they are not."""
    if not any(map(of_ca, sources)):
        return
    if not aligned:
        page.add(page.say("IIS's times are its own clock's (--no-align)"), hang=hang)
    elif abs(ahead_ms) >= 1000:
        side = "ahead" if ahead_ms > 0 else "behind"
        amount = seconds(ahead_ms / 1000) if abs(ahead_ms) >= 60_000 else f"{abs(ahead_ms) / 1000:.1f} s"
        told = f"IIS's times are put on the CUCM node's clock: its own is {amount} {side}"
        page.add(page.say(told), hang=hang)
