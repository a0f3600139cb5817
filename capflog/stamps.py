"""Stamps of fixed width: how they stand in a log, and what one tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cached_property

_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()

#: What each letter of a form counts in ms, beside the date's.
_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "f": 1}

#: The letters of a form that stand for digits; b stands for a letter of a month, S for a sign, and all others for
#: themselves.
DIGITS = "YMDhmsfHN"

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

#: Two clocks to try on a reader in place of a stamp's own.
_CLOCKS = ({"h": "23", "m": "45", "s": "06", "f": "789"}, {"h": "01", "m": "00", "s": "59", "f": "010"})


@dataclass(frozen=True)
class StampLayout:
    """How a stamp stands in full: ``YYYY/MM/DD hh:mm:ss `` (f: thousandths; bbb: an English month; SHHNN: the zone, its
    sign, hours and minutes); all else is literal.

    Compiled code reads such stamps as :meth:`read` does (:func:`capflog.lookup.read_stamp`).
    """

    form: str

    @property
    def width(self) -> int:
        """How many bytes it takes."""
        return len(self.form)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = []
        for run in re.finditer(r"(.)\1*", self.form, re.DOTALL):
            letter, count = run[1], len(run[0])
            inside = "[0-9]" if letter in DIGITS else "[A-Za-z]" if letter == "b" else "[+-]" if letter == "S" else None
            parts.append(re.escape(run[0]) if inside is None else f"(?P<{letter}>{inside}{{{count}}})")
        return re.compile("".join(parts))

    def read(self, text: str) -> tuple[int, int] | None:
        """Give a stamp's ms since midnight, or since 1970 UTC with a date, and its zone (local minus UTC, in s; 0: the
        form has none); None: the text is no stamp of this form, or no time.
        """
        match = self._pattern.fullmatch(text)
        if match is None:
            return None
        said = match.groupdict()
        number = {letter: int(digits) for letter, digits in said.items() if letter in DIGITS}
        if any(
            number.get(letter, 0) > most for letter, most in (("h", 23), ("m", 59), ("s", 59), ("H", 15), ("N", 59))
        ):
            return None
        stamp = sum(number.get(letter, 0) * ms for letter, ms in _MS.items())
        if "Y" in number:
            try:
                month = _MONTHS.index(said["b"]) + 1 if "b" in said else number["M"]
                stamp += (date(number["Y"], month, number["D"]).toordinal() - _EPOCH) * _DAY_MS
            except ValueError:
                return None
        zone = number.get("H", 0) * 3600 + number.get("N", 0) * 60
        if said.get("S") == "-":
            zone = -zone
        return stamp - zone * 1000, zone

    def samples(self, text: str) -> list[tuple[str, int]]:
        """Write two other stamps, each with its ms; ``text``: a stamp of this form, whose day they have."""
        found = []
        for clock in _CLOCKS:
            written = "".join(
                clock[letter][self.form[:place].count(letter)] if letter in clock else text[place]
                for place, letter in enumerate(self.form)
            )
            if (read := self.read(written)) is not None:
                found.append((written, read[0]))
        return found
