"""Stamps read by compiled code are those that a parser reads one by one; what is no time is none."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import numpy as np
import pytest

from capflog.lookup import read_stamp
from capflog.parsing import parsers
from capflog.shapebook import forms_of
from capflog.stamps import StampLayout


def read(form: str, *texts: str) -> list[tuple[int, int] | None]:
    """Read stamps, one by one and by compiled code, which must agree; None: it is none."""
    layout = StampLayout(form)
    forms = forms_of([layout])
    found = []
    for given in texts:
        text = given.ljust(layout.width)[: layout.width]
        buffer = np.frombuffer(text.encode("latin-1"), dtype=np.uint8)
        good, stamp, zone = read_stamp(buffer, 0, forms.letters[0], forms.fixed[0], layout.width)
        assert ((stamp, zone) if good else None) == layout.read(text), text
        found.append(layout.read(text))
    return found


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


def test_times_of_day() -> None:
    clock = ((14 * 60 + 5) * 60 + 4) * 1000 + 628
    assert read(
        "hh:mm:ss.fff ", "14:05:04.628 ", "24:00:00.000 ", "14:60:00.000 ", "14:05:0x.000 ", "14.05:04.628 "
    ) == [
        (clock, 0),
        None,
        None,
        None,
        None,
    ]


def test_days_and_leap_years() -> None:
    form = "YYYY-MM-DD hh:mm:ss "
    assert read(
        form, "2020-02-29 23:59:59 ", "2019-02-29 00:00:00 ", "2019-13-01 00:00:00 ", "0000-01-01 00:00:00 "
    ) == [
        (ms(2020, 2, 29, 23, 59, 59), 0),
        None,
        None,
        None,
    ]


def test_zones_and_months() -> None:
    form = "DD/bbb/YYYY:hh:mm:ss SHHNN"
    assert read(form, "27/Feb/2019:16:53:28 -0500", "01/Dec/2019:00:00:00 +0545", "01/dec/2019:00:00:00 +0000") == [
        (ms(2019, 2, 27, 21, 53, 28), -18_000),
        (ms(2019, 11, 30, 18, 15), 20_700),
        None,
    ]
    assert read(form, "27/Feb/2019:16:53:28 *0500", "27/Feb/2019:16:53:28 -1600", "27/Feb/2019:16:53:28 -0560") == [
        None,
        None,
        None,
    ]


def test_the_samples_of_a_stamp_are_of_its_day_and_readable() -> None:
    layout = StampLayout("YYYY/MM/DD hh:mm:ss ")
    day = ms(2019, 2, 27)
    assert layout.samples("2019/02/27 16:53:28 ") == [
        ("2019/02/27 23:45:06 ", day + 85_506_000),
        ("2019/02/27 01:00:59 ", day + 3_659_000),
    ]


@pytest.mark.parametrize("parser", parsers(), ids=lambda parser: parser.source)
def test_values_made_in_bulk_are_those_that_the_parser_makes(parser: object) -> None:
    chance = random.Random(3)
    for derived in getattr(parser, "derived", ()):
        texts = [
            f"{chance.randrange(33):02d}/{chance.choice(('Jan', 'Feb', 'Jun', 'Sep', 'Dec', 'Foo'))}/"
            f"{chance.choice((1, 1970, 2019, 2020, 9999)):04d}:{chance.randrange(26):02d}:{chance.randrange(62):02d}:"
            f"{chance.randrange(62):02d} {chance.choice('+- ')}{chance.randrange(18):02d}{chance.randrange(64):02d}"
            for _ in range(3000)
        ]
        found = read(derived.layout.form, *texts)
        assert sum(one is not None for one in found) > 500
        for text, one in zip(texts, found, strict=True):
            # What the bulk does not take is left to the parser, which may (a leap second).
            assert one is None or one == derived.make(text), text
