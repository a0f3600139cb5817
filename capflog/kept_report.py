"""What a kept report must be like to be compared: anybody may have written the file.

A form says of a value what it has to be: a dict of names and forms is an object (a name that ends with ``?`` may be
missing, whatever else the object has is not looked at), a list with one form is a list of these, all else is a test.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from capflog.devices import OUTCOMES
from capflog.results import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Callable

VERDICTS = ("healthy", "degraded", "failing", "inconclusive")

#: Numbers up to here are the same for every reader of JSON (RFC 8259, section 6).
_EXACT = (1 << 53) - 1

#: A zone is no further from UTC than a day, in seconds; no clock is further off than some thousand years.
_DAY, _AGES = 86_400, 1e11

#: In these years a time can be told in every zone.
_YEARS = range(2, 9999)


class UnfitError(ValueError):
    """A value is not what it has to be; the message names its place."""


class _Maybe:
    """A form of which there may be null instead."""

    def __init__(self, form: Any) -> None:
        self.form = form


class _Each:
    """An object whose values are all of a form."""

    def __init__(self, form: Any) -> None:
        self.form = form


def text(value: object) -> str:
    """Say why a value is no text; "": it is one. So do the other tests."""
    return "" if isinstance(value, str) else "is no text"


def truth(value: object) -> str:
    return "" if isinstance(value, bool) else "is neither true nor false"


def count(value: object) -> str:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _EXACT
    return "" if fits else "is no count"


def _seconds(most: float) -> Callable[[object], str]:
    def test(value: object) -> str:
        # (NaN is not within any bounds.)
        fits = isinstance(value, int | float) and not isinstance(value, bool) and -most <= value <= most
        return "" if fits else "is no number of seconds that can be"

    return test


def time(value: object) -> str:
    if not isinstance(value, str):
        return "is no time"
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return "is no time"
    if found.tzinfo is None:
        return "is a time without a zone"
    return "" if found.year in _YEARS else "is a time of a year that cannot be"


def _one_of(*words: str) -> Callable[[object], str]:
    def test(value: object) -> str:
        return "" if isinstance(value, str) and value in words else f"is none of {', '.join(words)}"

    return test


_WORD = _Maybe(text)
_START = {
    "ok?": _Maybe(truth),
    "reached?": _WORD,
    "missing?": _WORD,
    "ca?": _WORD,
    "libest?": _WORD,
    "node?": _WORD,
    "parameters?": _Each(_WORD),
}

#: What a comparison uses of a report.
REPORT = {
    "tool?": _Maybe({"version?": _WORD}),
    "where?": _Maybe({"condition?": _WORD}),
    "summary": {
        "verdict": _one_of(*VERDICTS),
        **dict.fromkeys(("devices", "enrollments", "issued", "failed", "incomplete"), count),
    },
    "bundle": {
        "name": text,
        "members": [
            {"member": text, "source": _WORD, "status?": _WORD, "first?": _Maybe(time), "last?": _Maybe(time)},
        ],
    },
    "findings": [
        {
            "rule": text,
            "title": text,
            "severity": _one_of(*SEVERITIES),
            "scope?": _WORD,
            "devices": [text],
            "occurrences": count,
            "resolved?": _Maybe(truth),
            "evidence": [{"member": text, "source?": _WORD}],
        }
    ],
    "not_checked?": [{"rule": text, "lacking?": [text]}],
    "clocks": [
        {
            "source": text,
            "whose?": _WORD,
            "zone?": _WORD,
            "utc_offset_seconds?": _Maybe(_seconds(_DAY)),
            "offset_seconds?": _Maybe(_seconds(_AGES)),
            "uncertainty_seconds?": _Maybe(_seconds(_AGES)),
            "quality?": _WORD,
            "assumed?": _Maybe(truth),
        }
    ],
    "starts?": [_START],
    "capf_starts?": [_START],
    "enrollments": [
        {
            "id": text,
            "device": _WORD,
            "started": _Maybe(time),
            "ended": _Maybe(time),
            "outcome": _one_of(*OUTCOMES),
            "causes": [text],
        }
    ],
}


def check(value: object, form: Any, place: str = "") -> None:
    """Raise :class:`UnfitError` where a value is not of a form; ``place``: where it stands, ``clocks[0].zone``."""
    if isinstance(form, _Maybe):
        if value is not None:
            check(value, form.form, place)
    elif isinstance(form, list):
        if not isinstance(value, list):
            raise UnfitError(f"{place} is no list")
        for number, one in enumerate(value):
            check(one, form[0], f"{place}[{number}]")
    elif isinstance(form, dict | _Each):
        if not isinstance(value, dict):
            raise UnfitError(f"{place or 'it'} is no object")
        if isinstance(form, _Each):
            for name, one in value.items():
                check(one, form.form, f"{place}.{name}")
            return
        for name, own in form.items():
            key = name.removesuffix("?")
            where = f"{place}.{key}" if place else key
            if key in value:
                check(value[key], own, where)
            elif key == name:
                raise UnfitError(f"{where} is missing")
    elif why := form(value):
        raise UnfitError(f"{place} {why}")
