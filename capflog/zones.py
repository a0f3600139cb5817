"""The zone of a log's stamps, as numbers: from UTC to local time and back, over whole columns.

What zones there are is told by the package tzdata, never by the host: neither its zone nor its tables matter here.
Times are milliseconds since 1970, local ones on a clock that shows local time; offsets are local time minus UTC.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from capflog.tzfiles import LAST, best_of, changes_in, known_names, offset_in, rules_of

if TYPE_CHECKING:
    import numpy as np

SECOND_MS = 1000
DAY_MS = 86_400_000

#: Local times and UTC are never farther apart: fixed offsets a person may name. (s)
WEST, EAST = -12 * 3600, 14 * 3600

_OFFSET = re.compile(r"(UTC|GMT)?\s*([+\-\u2212])(\d{1,2})(?::?(\d\d))?(?::?(\d\d))?", re.ASCII | re.IGNORECASE)

_EXPECTED = "a zone's name such as America/New_York, or an offset from UTC such as -05:00, from -12:00 to +14:00"


@dataclass(frozen=True, slots=True)
class Zone:
    """A zone: ``offsets`` (local minus UTC), and ``changes``, the moments in UTC at which the next of them begins."""

    name: str
    offsets: tuple[int, ...]
    changes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no zone: everything below relies on it."""
        if len(self.offsets) != len(self.changes) + 1 or any(a >= b for a, b in pairwise(self.changes)):
            raise ValueError("a zone has one offset more than changes, and they rise")
        if any(abs(offset) >= DAY_MS for offset in self.offsets):
            raise ValueError("an offset is less than a day")

    @staticmethod
    def fixed(seconds: int, name: str = "") -> Zone:
        """Give the zone that is always ``seconds`` ahead of UTC."""
        return Zone(name or offset_name(seconds * SECOND_MS), (seconds * SECOND_MS,))

    @property
    def constant(self) -> bool:
        """Whether the offset never changes."""
        return not self.changes

    def offset_at(self, utc: int) -> int:
        """Give the offset at a moment."""
        return self.offsets[bisect_right(self.changes, utc)]

    def within(self, first_utc: int, last_utc: int) -> Zone:
        """Give the zone as it is from ``first_utc`` to ``last_utc``: without the changes before and after."""
        if self.constant:
            return self
        begin, end = bisect_right(self.changes, first_utc), bisect_right(self.changes, max(first_utc, last_utc))
        return Zone(self.name, self.offsets[begin : end + 1], self.changes[begin:end])

    def local(self, utc: np.ndarray) -> np.ndarray:
        """Give the local times of moments."""
        from capflog import zone_columns  # noqa: PLC0415  (numpy is behind it; who reads the store has no need of it)

        return zone_columns.local(self, utc)

    def utc(self, local: np.ndarray, *, later: bool = False) -> np.ndarray:
        """Give the moments of local times.

        A time that there was twice is taken for its first pass, or with ``later`` for its second; a time that there
        never was is read by the offset before the change, either way.
        """
        from capflog import zone_columns  # noqa: PLC0415

        return zone_columns.utc(self, local, later=later)

    def twice(self, local: np.ndarray) -> np.ndarray:
        """Tell of each local time whether there was such a time twice."""
        from capflog import zone_columns  # noqa: PLC0415

        return zone_columns.twice(self, local)

    def missing(self, local: np.ndarray) -> np.ndarray:
        """Tell of each local time whether there never was such a time."""
        from capflog import zone_columns  # noqa: PLC0415

        return zone_columns.missing(self, local)

    def tzinfo(self) -> tzinfo:
        """Give the zone as datetimes want it; the same object for the same zone."""
        return _tzinfo(self)


class _Local(tzinfo):
    """A zone for datetimes. It has no abbreviations and does not know which of its offsets is that of summer."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        steps = [(change, *pair) for change, pair in zip(zone.changes, pairwise(zone.offsets), strict=True)]
        #: By fold, as PEP 495 has it: with fold 1 a time that there never was is read by the offset after the change.
        self._edges = (
            [change + max(before, after) for change, before, after in steps],
            [change + min(before, after) for change, before, after in steps],
        )

    def __reduce__(self) -> tuple[object, tuple[Zone]]:
        return _tzinfo, (self._zone,)

    def __repr__(self) -> str:
        return f"<{self._zone.name}>"

    def __str__(self) -> str:
        return self._zone.name

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        if when is None:
            return timedelta(milliseconds=self._zone.offsets[0]) if self._zone.constant else None
        return timedelta(milliseconds=self._zone.offsets[bisect_right(self._edges[when.fold], _reading(when))])

    def dst(self, _when: datetime | None) -> None:
        return None

    def tzname(self, _when: datetime | None) -> str:
        return self._zone.name

    def fromutc(self, when: datetime) -> datetime:
        if when.tzinfo is not self:
            raise ValueError("fromutc: the datetime's tzinfo is another")
        offset = timedelta(milliseconds=self._zone.offset_at(_reading(when)))
        try:
            local = when.replace(fold=0) + offset
        except OverflowError:
            # What lies outside of the years 1 to 9999 is shown as the first or the last moment of them.
            return datetime.max.replace(tzinfo=self) if offset > timedelta(0) else datetime.min.replace(tzinfo=self)
        return local.replace(fold=int(self.utcoffset(local) != offset))


def _reading(when: datetime) -> int:
    """Give what the clock of a datetime shows, in ms, whatever its zone."""
    seconds = (when.toordinal() - 719_163) * 86_400 + when.hour * 3600 + when.minute * 60 + when.second
    return seconds * SECOND_MS + when.microsecond // 1000


@cache
def _tzinfo(zone: Zone) -> tzinfo:
    return _Local(zone)


def offset_name(offset: int) -> str:
    """Name an offset: UTC, UTC-05:00, UTC+00:19:32."""
    minutes, seconds = divmod(abs(offset) // SECOND_MS, 60)
    if not minutes and not seconds:
        return "UTC"
    name = f"UTC{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{name}:{seconds:02}" if seconds else name


def named(name: str) -> Zone:
    """Give a zone by its IANA name, in any case; ValueError where there is none."""
    known = known_names().get(name.lower()) if name.isascii() else None
    if known is None:
        raise ValueError(_refusal(name))
    return _named(known)


@cache
def _named(name: str) -> Zone:
    rules = rules_of(name)
    changes = changes_in(rules, 0, LAST)
    offsets = (offset_in(rules, 0), *(offset for _, offset in changes))
    return Zone(name, tuple(o * SECOND_MS for o in offsets), tuple(change * SECOND_MS for change, _ in changes))


def read_zone(text: str) -> Zone:
    """Read what a person calls a zone: an IANA name in any case, ``-05:00``, ``+0530``, ``-5``, ``UTC+2``, ``Z``.

    ``GMT+2`` is two hours east, as people mean it; ``Etc/GMT+2`` is a name, and two hours west. ValueError says in one
    line what was expected.
    """
    stripped = text.strip()
    if stripped.lower() in {"z", "utc"}:
        return Zone.fixed(0)
    seconds = read_offset(stripped)
    if seconds is None:
        return named(stripped)
    if not WEST <= seconds <= EAST:
        raise ValueError(f"{_shown(stripped)} is not a zone's offset: expected one from -12:00 to +14:00")
    return Zone.fixed(seconds)


def read_offset(text: str) -> int | None:
    """Read an offset; None where it is none."""
    found = _OFFSET.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[2:])
    if minutes > 59 or seconds > 59:
        return None
    return (hours * 3600 + minutes * 60 + seconds) * (1 if found[2] == "+" else -1)


def _shown(text: str) -> str:
    """Give a text as an error may show it: short, and nothing in it that a terminal obeys."""
    return ascii(text) if len(text) <= 40 else ascii(text[:40]) + "..."


def _refusal(text: str) -> str:
    """Say that a text is no zone, and what may have been meant."""
    from capflog.zone_names import called  # noqa: PLC0415  (which is made of what is here)

    if re.fullmatch(r"[A-Za-z]{2,5}", text):
        moments = (int(datetime(2020, month, 15, tzinfo=UTC).timestamp()) * SECOND_MS for month in (1, 7))
        users = [zone.name for moment in moments for zone in called(text, moment)]
        if users:
            _, user = best_of(users)
            return f"{text.upper()} is an abbreviation; {user} is a zone that uses it (expected {_EXPECTED})"
    near = _nearest(text[:64])
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{_shown(text)} is not a time zone: expected {_EXPECTED}{meant}"


def _nearest(text: str) -> list[str]:
    """Give up to three names that look like a text, or whose city does."""
    from difflib import get_close_matches  # noqa: PLC0415

    wanted = re.sub(r"[\s_]+", "_", text.strip().lower())
    names = known_names()
    cities: dict[str, list[str]] = {}
    for name in names:
        cities.setdefault(name.rpartition("/")[2], []).append(name)
    near = get_close_matches(wanted, names, n=3, cutoff=0.7)
    if not near:
        near = [name for city in get_close_matches(wanted, cities, n=3, cutoff=0.75) for name in cities[city]]
    return [names[name] for name in near[:3]]
