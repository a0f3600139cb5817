"""What a user tells of the clocks, where the logs do not: zones, dates, whether times are shifted."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from capflog.zones import Zone

#: The days that a trace can have been written on: before the first there was no such clock, and zones have room.
_FIRST_YEAR, _LAST_YEAR = 1970, 9998

#: How a day is written so that everybody reads the same.
WRITTEN = "write 2019-03-05 or 5 Mar 2019"

#: Four digits of a year first: then month and day follow, everywhere.
_YEAR_FIRST = re.compile(r"\s*(\d{4})(?:([-/. ])(\d\d?)\2(\d\d?)|(\d\d)(\d\d))\s*", re.ASCII)

#: Two moments that differ in every part: what a text does not say is read out of them, and differs.
_LACKING = datetime(2000, 1, 1), datetime(2004, 2, 2, 1, 1, 1, 1)  # noqa: DTZ001  (days of no zone)


@dataclass(frozen=True, slots=True)
class Told:
    """What was told; what was not told is found out.

    ``zones`` and ``dates`` are pairs of a part of a member's path ("": every member; the longest part that fits
    counts) and the CUCM node's zone there, or the day on which CAPF's trace there begins (ms of its midnight on the
    node's clock since 1970-01-01, as if that clock ran on UTC). ``iis_zone``: IIS's stamps are of this zone and not
    UTC. ``align`` False: times of IIS are shown as its clock has them.
    """

    zones: tuple[tuple[str, Zone], ...] = ()
    dates: tuple[tuple[str, int], ...] = ()
    iis_zone: Zone | None = None
    align: bool = True


NOTHING = Told()


def unused(told: Told, members: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name the parts that no member's path holds, each with the option that told it."""
    every = list(members)
    for option, parts in (("--tz", [part for part, _ in told.zones]), ("--date", [part for part, _ in told.dates])):
        yield from ((option, part) for part in parts if not any(part in member for member in every))


def read_date(text: str) -> int:
    """Read a day as a person types it; the ms of its midnight since 1970-01-01.

    Raises ValueError, with one line that says what is wrong, for anything that is no day, or that can be read as two:
    ``03/05/2019``.
    """
    day = _day(text)
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"no trace can be of the year {day.year}: {WRITTEN}")
    return (day - date(1970, 1, 1)).days * 86_400_000


def _day(text: str) -> date:
    found = _YEAR_FIRST.fullmatch(text)
    if found is not None:
        year, month, day = (int(number) for number in found.groups() if number and number.isdigit())
        try:
            return date(year, month, day)
        except ValueError as error:
            raise ValueError(f"there is no such day ({error})") from error
    days: set[date] = set()
    for day_first, year_first in product((False, True), repeat=2):
        readings = [_read(text, lacking, day_first=day_first, year_first=year_first) for lacking in _LACKING]
        if any(reading.timetz() != lacking.timetz() for reading, lacking in zip(readings, _LACKING, strict=True)):
            raise ValueError(f"a day is wanted, without a time or a zone: {WRITTEN}")
        if readings[0].date() != readings[1].date():
            raise ValueError(f"a day, a month and a year are wanted: {WRITTEN}")
        days.add(readings[0].date())
    if len(days) > 1:
        raise ValueError(f"this can be {' or '.join(map(str, sorted(days)))}: {WRITTEN}")
    return days.pop()


def _read(text: str, lacking: datetime, *, day_first: bool, year_first: bool) -> datetime:
    """Read a day, what it does not say out of ``lacking``."""
    from dateutil.parser import parse  # noqa: PLC0415

    try:
        with warnings.catch_warnings():
            # An unknown zone is one.
            warnings.simplefilter("error")
            return parse(text, default=lacking, dayfirst=day_first, yearfirst=year_first)
    except (ValueError, OverflowError, ArithmeticError, TypeError, Warning) as error:
        raise ValueError(f"this is no day: {WRITTEN}") from error
