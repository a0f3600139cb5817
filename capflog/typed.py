"""Times as a person types them: ``14:05:02``, ``2019-01-16 14:05``, ``16 Jan 2019``, ``14:05Z``, ``5m``."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import product
from typing import TYPE_CHECKING

from capflog.zones import Zone, read_zone

if TYPE_CHECKING:
    from typing import Any

#: How a time is written so that everybody reads the same.
WRITTEN = "write 14:05:02, 2019-01-16 14:05:02 or 2019-01-16"

#: Times outside of these years are no log's, and zones need room.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998

#: Four digits of a year first: then month and day follow, everywhere.
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d\d?)\2(\d\d?)(?:[Tt, _]\s*(.*))?", re.ASCII)

#: A zone behind a clock: an offset, or a name.
_ZONED = re.compile(
    r"(?P<rest>.*\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:\s*[ap]\.?m\b\.?)?)\s*"
    r"(?P<zone>(?:UTC|GMT)?\s*[+\-\u2212]\d{1,2}(?::?\d\d){0,2}|(?![ap]\.?m\b)[a-z][a-z_]*(?:/[\w+\-]+)*)",
    re.ASCII | re.IGNORECASE,
)

#: A part of a second, and a time of day that is no offset's.
_FRACTION = re.compile(r":\d\d[.,]\d", re.ASCII)
_CLOCK = re.compile(r"(?<![\d:+\-\u2212])\d\d?:\d\d", re.ASCII)

#: Two moments that differ in every part: what a text does not say is read out of them, and differs.
_LACKING = datetime(2000, 1, 1), datetime(2004, 2, 2, 1, 1, 1, 1)  # noqa: DTZ001  (times of no zone)

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_UNITS |= {f"{word}{plural}": _UNITS[word[0]] for word in ("second", "minute", "hour", "day") for plural in ("", "s")}
_UNITS |= {"secs": 1.0, "mins": 60.0, "hr": 3600.0, "hrs": 3600.0}

#: A span is no longer than this.
_LONGEST = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Typed:
    """A time as it was typed: a day, a time of day, or both.

    ``zone`` None: none was typed. ``whole``: no part of a second was, so that all of the second is meant.
    """

    day: date | None
    clock: time | None
    zone: Zone | None = None
    whole: bool = True


def read_time(text: str) -> Typed:
    """Read a time; ValueError, with one line that says what is wrong, for anything else."""
    rest, zone = text.strip(), None
    if zoned := _ZONED.fullmatch(rest):
        rest, zone = zoned["rest"], read_zone(zoned["zone"])
    day = None
    if dated := _YEAR_FIRST.fullmatch(rest):
        try:
            day = date(int(dated[1]), int(dated[3]), int(dated[4]))
        except ValueError as error:
            raise ValueError(f"there is no such day ({error})") from error
        rest = (dated[5] or "").strip()
    found = {_told(rest, *first) for first in product((False, True), repeat=2)} if rest or day is None else set()
    days = {one[0] for one in found} | ({day} if day else set())
    if len(days - {None}) > 1:
        raise ValueError(f"this can be {' or '.join(sorted(str(one) for one in days if one))}: {WRITTEN}")
    _, clock, offset = next(iter(found), (None, None, None))
    if offset is not None:
        zone = Zone.fixed(offset)
    known = next((one for one in days if one is not None), None)
    if known is not None and not _FIRST_YEAR <= known.year <= _LAST_YEAR:
        raise ValueError(f"no log can be of the year {known.year}: {WRITTEN}")
    if (known is None and clock is None) or len(_CLOCK.findall(text)) > 1:
        raise ValueError(f"this is no time: {WRITTEN}")
    return Typed(known, clock, zone, whole=not _FRACTION.search(text))


def _told(text: str, day_first: bool, year_first: bool) -> tuple[date | None, time | None, int | None]:
    """Read the day, the time of day and the offset (s) that a text tells."""
    first, second = (_read(text, lacking, day_first=day_first, year_first=year_first) for lacking in _LACKING)
    day = first.date() if first.date() == second.date() else None
    if day is None and (first.date(), second.date()) != (_LACKING[0].date(), _LACKING[1].date()):
        raise ValueError(f"this tells a part of a day: {WRITTEN}")
    offset = first.utcoffset()
    seconds = None if offset is None else round(offset.total_seconds())
    if first.hour != second.hour:
        if first.minute == second.minute or first.second == second.second:
            raise ValueError(f"this is no time of day: {WRITTEN}")
        return day, None, seconds
    minute, second_, micro = (
        getattr(first, part) if getattr(first, part) == getattr(second, part) else 0
        for part in ("minute", "second", "microsecond")
    )
    return day, time(first.hour, minute, second_, micro), seconds


def _read(text: str, lacking: datetime, *, day_first: bool, year_first: bool) -> datetime:
    """Read a text, what it does not say out of ``lacking``."""
    from dateutil.parser import parse  # noqa: PLC0415

    def zone(name: str | None, offset: int | None) -> tzinfo | None:
        """Give a zone that a text names; never the host's."""
        if offset is not None:
            return Zone.fixed(offset).tzinfo()
        return None if name is None else read_zone(name).tzinfo()

    reader: dict[str, Any] = {"dayfirst": day_first, "yearfirst": year_first, "tzinfos": zone}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read: datetime = parse(text, default=lacking, **reader)
    except (ValueError, OverflowError, ArithmeticError, TypeError, AttributeError, Warning) as error:
        raise ValueError(f"this is no time: {WRITTEN}") from error
    return read


def read_span(text: str) -> timedelta:
    """Read how long something is: ``5m``, ``90 s``, ``1h``; ValueError for anything else."""
    found = _SPAN.fullmatch(text.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise ValueError("this is no span of time: write 5m, 30s or 1h")
    amount = float(found[1]) * unit
    if not 0 < amount <= _LONGEST.total_seconds():
        raise ValueError("this is no span of time that a log can have: write 5m, 30s or 1h")
    return timedelta(seconds=amount)
