"""Stamps of fixed width at the beginning of lines, read for many lines at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np

from capflog.digests import windows
from capflog.table import NONE

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()

#: What each letter of a form counts, beside the date's.
_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "f": 1}
_MOST = {"h": 24, "m": 60, "s": 60}


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Their letters as numbers, in order, and which month each is.
_MONTH_WORDS = np.array(sorted(int.from_bytes(month.encode(), "big") for month in _MONTHS), dtype=np.int32)
_MONTH_NUMBERS = np.array(
    [_MONTHS.index(int(word).to_bytes(3, "big").decode()) + 1 for word in _MONTH_WORDS], dtype=np.int32
)


@lru_cache(maxsize=4096)
def _day(number: int) -> int:
    """Make ms since 1970-01-01 of a day written as YYYYMMDD; NONE: there is no such day."""
    try:
        return (date(number // 10000, number // 100 % 100, number % 100).toordinal() - _EPOCH) * _DAY_MS
    except ValueError:
        return NONE


@dataclass(frozen=True, slots=True)
class StampLayout:
    """How a stamp stands in full: ``YYYY/MM/DD hh:mm:ss `` (f: thousandths; bbb: an English month; SHHNN: the zone, its
    sign, hours and minutes); all else is literal.
    """

    form: str

    @property
    def width(self) -> int:
        """How many bytes it takes."""
        return len(self.form)

    def read(self, buffer: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give for each start whether a stamp stands there, and its ms since midnight, or since 1970 with a date.

        The buffer must go on for a stamp's width behind the last start. A stamp that is no time is none.
        """
        good, stamp, _ = self.zoned(buffer, starts)
        return good, stamp

    def zoned(self, buffer: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the same with the zone taken off, and the zone: local minus UTC, in s (0 where the form has none)."""
        return self.of_windows(windows(buffer, len(self.form))[starts])

    def of_windows(self, window: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the same for pieces (n, width) of a buffer."""
        form, count = self.form, len(window)
        if not count:
            none = np.zeros(0, dtype=np.int64)
            return np.zeros(0, dtype=bool), none, none
        digits = np.array([letter in "YMDhmsfHN" for letter in form])
        # By columns: each is then one row in memory.
        columns = np.ascontiguousarray(window.T)
        good = np.ones(count, dtype=bool)
        month = self._month(columns, good) if "b" in form else None
        if "S" in form:
            behind = columns[form.index("S")] == 45
            good &= behind | (columns[form.index("S")] == 43)
        for place in np.flatnonzero(~digits).tolist():
            if form[place] not in "bS":
                good &= columns[place] == ord(form[place])
        columns -= 48
        for place in np.flatnonzero(digits).tolist():
            good &= columns[place] < 10

        def number(letter: str) -> np.ndarray:
            value = np.zeros(count, dtype=np.int32)
            for place, found in enumerate(form):
                if found == letter:
                    value *= 10
                    value += columns[place]
            return value

        stamp = np.zeros(count, dtype=np.int64)
        for letter, ms in _MS.items():
            if letter in form:
                part = number(letter)
                if letter in _MOST:
                    good &= part < _MOST[letter]
                stamp += part * ms
        if "Y" in form:
            day = number("Y") * 10000 + (number("M") if month is None else month) * 100 + number("D")
            # Lines of one day stand together.
            change = np.flatnonzero(np.diff(day)) + 1
            firsts = np.concatenate([[0], change])
            midnights = np.array([_day(int(day[at])) for at in firsts], dtype=np.int64)
            midnight = np.repeat(midnights, np.diff(np.append(firsts, len(day))))
            good &= midnight != NONE
            stamp += np.where(good, midnight, 0)
        zone = np.zeros(count, dtype=np.int64)
        if "S" in form:
            hours, minutes = number("H"), number("N")
            good &= (hours <= 15) & (minutes <= 59)
            zone += hours * 3600 + minutes * 60
            np.negative(zone, out=zone, where=behind)
            stamp -= zone * 1000
        return good, stamp, zone

    def _month(self, columns: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Read the English month of each stamp; those that have none are no longer good."""
        at = self.form.index("b")
        letters = columns[at : at + 3].astype(np.int32)
        word = letters[0] << 16 | letters[1] << 8 | letters[2]
        number = np.searchsorted(_MONTH_WORDS, word)
        number[number == len(_MONTH_WORDS)] = 0
        good &= _MONTH_WORDS[number] == word
        months: np.ndarray = _MONTH_NUMBERS[number]
        return months

    def samples(self, text: str) -> list[tuple[str, int]]:
        """Write two other stamps, each with its ms; ``text``: a stamp of this form, whose day they have."""
        return list(_samples(self, "".join(text[k] if letter in "YMD" else "0" for k, letter in enumerate(self.form))))


@lru_cache(maxsize=64)
def _samples(layout: StampLayout, text: str) -> tuple[tuple[str, int], ...]:
    found = []
    for clock in ({"h": "23", "m": "45", "s": "06", "f": "789"}, {"h": "01", "m": "00", "s": "59", "f": "010"}):
        written = "".join(
            clock[letter][layout.form[:place].count(letter)]
            if letter in clock
            else text[place]
            if letter in "YMD"
            else letter
            for place, letter in enumerate(layout.form)
        )
        buffer = np.frombuffer(written.encode(), dtype=np.uint8)
        good, stamp = layout.read(buffer, np.zeros(1, dtype=np.intp))
        if good[0]:
            found.append((written, int(stamp[0])))
    return tuple(found)
