"""Times as a person types them, and one clear line where they cannot be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from datetime import date, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.typed import Typed, read_span, read_time
from capflog.zones import Zone, named

DAY = date(2019, 1, 16)


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("14:05", time(14, 5)),
        ("14:05:02", time(14, 5, 2)),
        (" 14:05:02 ", time(14, 5, 2)),
        ("2:05pm", time(14, 5)),
        ("2:05 p.m.", time(14, 5)),
        ("2pm", time(14)),
        ("14h05", time(14, 5)),
        ("T14:05", time(14, 5)),
        ("00:00", time(0)),
    ],
)
def test_a_time_of_day(text: str, clock: time) -> None:
    assert read_time(text) == Typed(None, clock)


@pytest.mark.parametrize("text", ["14:05:02.345", "14:05:02,345"])
def test_a_part_of_a_second(text: str) -> None:
    assert read_time(text) == Typed(None, time(14, 5, 2, 345_000), whole=False)


@pytest.mark.parametrize("text", ["2019-01-16", "2019/01/16", "20190116", "16 Jan 2019", "Jan 16, 2019", "16.01.2019"])
def test_a_day_alone(text: str) -> None:
    assert read_time(text) == Typed(DAY, None)


@pytest.mark.parametrize(
    "text",
    [
        "2019-01-16 14:05:02",
        "2019-01-16T14:05:02",
        "2019-01-16, 14:05:02",
        "20190116T140502",
        "16 Jan 2019 14:05:02",
        "Jan 16, 2019 2:05:02 PM",
        "Wed Jan 16 14:05:02 2019",
        "14:05:02 2019-01-16",
        "01/16/2019 14:05:02",
    ],
)
def test_a_day_and_a_time(text: str) -> None:
    assert read_time(text) == Typed(DAY, time(14, 5, 2))


def test_a_year_in_front_is_followed_by_the_month() -> None:
    assert read_time("2019-03-05 14:05") == Typed(date(2019, 3, 5), time(14, 5))


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("14:05Z", Zone.fixed(0)),
        ("14:05 UTC", Zone.fixed(0)),
        ("14:05-05:00", Zone.fixed(-18_000)),
        ("14:05 -0500", Zone.fixed(-18_000)),
        ("14:05-5", Zone.fixed(-18_000)),
        ("2:05pm -05:00", Zone.fixed(-18_000)),
        ("14:05 UTC-05:00", Zone.fixed(-18_000)),
        ("14:05 GMT+2", Zone.fixed(7_200)),
        ("14:05 America/New_York", named("America/New_York")),
        ("14:05 asia/kolkata", named("Asia/Kolkata")),
    ],
)
def test_a_zone_behind_a_time(text: str, zone: Zone) -> None:
    assert read_time(text) == Typed(None, time(14, 5), zone)


def test_what_a_timeline_shows_can_be_typed() -> None:
    """Its "Started" bears all of it."""
    read = read_time("2019-01-16 14:05:04.628 UTC-05:00")
    assert read == Typed(DAY, time(14, 5, 4, 628_000), Zone.fixed(-18_000), whole=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is no time: write "),
        ("now", "this is no time: write "),
        ("yesterday", "this is no time: write "),
        ("25:00", "this is no time: write "),
        ("14:05:61", "this is no time: write "),
        ("14:05 15:05", "this is no time: write "),
        ("1547665502", "this is no time: write "),
        ("5m", "this is no time of day: write "),
        ("14", "this tells a part of a day: write "),
        ("Wed 14:05", "this tells a part of a day: write "),
        ("Jan 16 14:05", "this tells a part of a day: write "),
        ("03/05/2019 14:05", "this can be 2019-03-05 or 2019-05-03: write "),
        ("2019-02-30", "there is no such day "),
        ("2019-13-01 14:05", "there is no such day "),
        ("1066-10-14", "no log can be of the year 1066: write "),
        ("14:05 Mars/Olympus", "'Mars/Olympus' is not a time zone: "),
        ("14:05 +25:00", "'+25:00' is not a zone's offset: "),
        ("14:05 CEST", "CEST is an abbreviation; "),
    ],
)
def test_what_is_no_time_gets_one_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_time(text)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.text(max_size=30) | st.text("0123456789:-/. TZapmJn+,", max_size=24))
def test_nothing_that_is_typed_is_a_fault(text: str) -> None:
    for read in (read_time, read_span):
        with suppress(ValueError):
            read(text)


def test_the_hosts_zone_has_no_say() -> None:
    code = "from capflog.typed import read_time\nfor t in ('2pm IST', '2pm EST', '14:05'):\n"
    code += "    try: print(read_time(t).zone)\n    except ValueError as error: print(error)\n"
    said = [
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "TZ": zone}, capture_output=True, check=True)
        for zone in ("Asia/Kolkata", "America/New_York", "UTC")
    ]
    assert len({one.stdout for one in said}) == 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("30s", 30),
        ("1h", 3_600),
        ("1.5 h", 5_400),
        ("10 min", 600),
        ("2 minutes", 120),
        ("500ms", 0.5),
        ("1d", 86_400),
    ],
)
def test_a_span(text: str, seconds: float) -> None:
    assert read_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "0s", "1e9h", "999999999h", "5 parsecs"])
def test_what_is_no_span_gets_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^this is no span of time.*: write 5m, 30s or 1h$"):
        read_span(text)
