"""What a user tells of the clocks: days as people type them, and of which members it is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.told import NOTHING, WRITTEN, Told, read_date, unused
from capflog.zones import named


def ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    "text",
    ["2019-03-05", "2019-3-5", "2019/03/05", "2019.03.05", "2019 03 05", "20190305", " 2019-03-05 ", "5 Mar 2019",
     "05-Mar-2019", "March 5 2019", "march 5, 2019", "Mar 5 2019", "5th of March 2019", "Tue 5 Mar 2019", "2019 Mar 5"],
)  # fmt: skip
def test_a_day_is_read_as_people_type_it(text: str) -> None:
    assert read_date(text) == ms("2019-03-05")


@pytest.mark.parametrize(
    ("text", "day"), [("13/05/2019", "2019-05-13"), ("05/13/2019", "2019-05-13"), ("5/5/2019", "2019-05-05")]
)
def test_a_day_that_can_be_one_alone_is_that(text: str, day: str) -> None:
    assert read_date(text) == ms(day)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("03/05/2019", f"this can be 2019-03-05 or 2019-05-03: {WRITTEN}"),
        ("5.3.2019", f"this can be 2019-03-05 or 2019-05-03: {WRITTEN}"),
        ("5/3/19", f"this can be 2005-03-19 or 2019-03-05 or 2019-05-03: {WRITTEN}"),
        ("5 Mar 19", f"this can be 2005-03-19 or 2019-03-05: {WRITTEN}"),
        ("5 Mar", f"a day, a month and a year are wanted: {WRITTEN}"),
        ("March 2019", f"a day, a month and a year are wanted: {WRITTEN}"),
        ("2019", f"a day, a month and a year are wanted: {WRITTEN}"),
        ("Tue", f"a day, a month and a year are wanted: {WRITTEN}"),
        ("2019-03-05 12:00", f"a day is wanted, without a time or a zone: {WRITTEN}"),
        ("5 Mar 2019 00:00", f"a day is wanted, without a time or a zone: {WRITTEN}"),
        ("2019-03-05T00:00Z", f"a day is wanted, without a time or a zone: {WRITTEN}"),
        ("5 Mar 2019 FOO", f"this is no day: {WRITTEN}"),
        ("yesterday", f"this is no day: {WRITTEN}"),
        ("", f"this is no day: {WRITTEN}"),
        ("99999999999999999999", f"this is no day: {WRITTEN}"),
        ("29 Feb 2019", f"this is no day: {WRITTEN}"),
        ("0019-03-05", f"no trace can be of the year 19: {WRITTEN}"),
        ("9999-12-31", f"no trace can be of the year 9999: {WRITTEN}"),
    ],
)
def test_what_is_no_day_or_may_be_two_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_date(text)
    assert str(caught.value) == said


@pytest.mark.parametrize("text", ["2019-13-05", "2019-02-29", "2019-00-01", "20191305"])
def test_a_day_that_there_never_was_is_not_read_as_another(text: str) -> None:
    with pytest.raises(ValueError, match=r"there is no such day \(.+\)"):
        read_date(text)


@settings(deadline=None, derandomize=True, database=None, max_examples=300)
@given(st.text(st.sampled_from("0123456789-/. :,+eTZabMarch\u0665\x00\n"), max_size=14) | st.text(max_size=12))
def test_any_text_is_a_day_or_gets_one_line(text: str) -> None:
    said = ""
    day = 0
    try:
        day = read_date(text)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said
    assert day % 86_400_000 == 0


NEW_YORK, CHICAGO = named("America/New_York"), named("America/Chicago")


def test_parts_that_no_path_holds_are_named() -> None:
    told = Told(zones=(("", NEW_YORK), ("pub", NEW_YORK), ("bup", CHICAGO)), dates=(("sub", 0), ("pub", 0)))
    assert list(unused(told, ["cucm-pub/capf1.txt", "iis/u_ex.log"])) == [("--tz", "bup"), ("--date", "sub")]
    assert list(unused(NOTHING, [])) == []
