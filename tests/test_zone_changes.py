"""What records of offsets tell of their zone, and what zones agree on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.zone_changes import agreed, observed
from capflog.zones import Zone, named
from tests.test_zones import CHANGING, DAY, HOUR, NEW_YORK, column, ms


def records(zone: Zone, *spans: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Give (first, last, count) records evenly over each span, and the offsets that they name."""
    utc = np.concatenate([np.linspace(*span).astype(np.int64) for span in spans])
    return utc, zone.local(utc) - utc


WINTER = (ms(2019, 1, 10), ms(2019, 3, 1), 200)
SUMMER = (ms(2019, 3, 20), ms(2019, 10, 20), 300)
MARCH, NOVEMBER = ms(2019, 3, 10, 7), ms(2019, 11, 3, 6)


def test_no_records() -> None:
    assert observed(column(), column()) is None
    assert observed(column(0, 1), column(15 * HOUR, -13 * HOUR)) is None


def test_one_offset_is_a_fixed_zone() -> None:
    assert observed(*records(NEW_YORK, WINTER)) == Zone.fixed(-18000)
    assert observed(column(5), column(19_800_000)) == Zone.fixed(19800)


def test_a_change_is_where_zones_change_so() -> None:
    utc, offset = records(NEW_YORK, WINTER, SUMMER)
    zone = Zone("UTC-05:00/-04:00", (-5 * HOUR, -4 * HOUR), (MARCH,))
    assert observed(utc, offset) == zone
    order = np.random.default_rng(1).permutation(len(utc) * 2) % len(utc)
    assert observed(utc[order], offset[order]) == zone


def test_two_records_are_enough() -> None:
    zone = observed(column(WINTER[1], SUMMER[0]), column(-5 * HOUR, -4 * HOUR))
    assert zone is not None
    assert zone.changes == (MARCH,)


def test_a_year_and_more() -> None:
    utc, offset = records(NEW_YORK, (ms(2018, 2, 1), ms(2020, 2, 1), 5000))
    zone = observed(utc, offset)
    assert zone is not None
    expected = NEW_YORK.within(int(utc[0]), int(utc[-1]))
    assert (zone.offsets, zone.changes) == (expected.offsets, expected.changes)


def test_changes_that_no_record_saw_are_those_of_the_zone() -> None:
    """Between winter and the summer after next there were three changes."""
    zone = observed(column(ms(2019, 2, 1), ms(2020, 6, 1)), column(-5 * HOUR, -4 * HOUR))
    assert zone is not None
    assert zone.changes == NEW_YORK.within(ms(2019, 2, 1), ms(2020, 6, 1)).changes
    assert len(zone.changes) == 3


def test_one_zone_tells_of_all_changes() -> None:
    """Havana changes at other hours than New York; records an hour after each change tell which it is."""
    havana = named("America/Havana")
    spring, autumn = havana.within(ms(2019, 1, 1), ms(2020, 1, 1)).changes
    utc, offset = records(havana, (ms(2019, 1, 10), spring - HOUR, 50), (spring + HOUR, ms(2019, 10, 1), 50))
    after = records(havana, (ms(2019, 12, 1), ms(2019, 12, 5), 50))
    zone = observed(np.append(utc, after[0]), np.append(offset, after[1]))
    assert zone is not None
    assert zone.changes == (spring, autumn)


def test_what_no_zone_did_is_in_the_middle() -> None:
    zone = observed(column(1000, 2001, 9000, 9500) * DAY, column(0, 0, 7 * HOUR + 1, 7 * HOUR + 1))
    assert zone is not None
    assert (zone.offsets, zone.changes) == ((0, 7 * HOUR + 1), ((2001 + 9000) * DAY // 2,))


@pytest.mark.parametrize("place", [0, 1, 100, 198, 199])
@pytest.mark.parametrize("wrong", [0, -4 * HOUR, 19_800_000])
def test_a_single_wrong_record_changes_nothing(place: int, wrong: int) -> None:
    utc, offset = records(NEW_YORK, (*WINTER[:2], 200))
    offset[place] = wrong
    assert observed(utc, offset) == Zone.fixed(-18000)


def test_a_wrong_record_among_few() -> None:
    """Far between, too: none of them is within days of the next."""
    utc = np.arange(31) * 10 * DAY + WINTER[0]
    assert observed(utc, np.where(np.arange(31) == 15, 0, 9 * HOUR)) == Zone.fixed(32400)


def test_a_wrong_record_in_the_gap_does_not_hide_the_change() -> None:
    utc, offset = records(NEW_YORK, WINTER, SUMMER)
    zone = observed(np.append(utc, (WINTER[1] + SUMMER[0]) // 2), np.append(offset, 0))
    assert zone is not None
    assert (zone.offsets, zone.changes) == ((-5 * HOUR, -4 * HOUR), (MARCH,))


def test_the_first_record_after_a_change_is_no_noise() -> None:
    utc, offset = records(NEW_YORK, (ms(2019, 2, 1), MARCH - HOUR, 300), (MARCH + HOUR, MARCH + HOUR, 1))
    zone = observed(utc, offset)
    assert zone is not None
    assert zone.changes == (MARCH,)


def test_much_noise() -> None:
    utc, offset = records(NEW_YORK, (ms(2019, 1, 1), ms(2019, 12, 31), 100_000))
    chance = np.random.default_rng(1)
    wrong = chance.integers(0, len(utc), 4000)
    offset[wrong] = chance.integers(-12, 15, len(wrong)) * HOUR
    zone = observed(utc, offset)
    assert zone is not None
    assert (zone.offsets, zone.changes) == ((-5 * HOUR, -4 * HOUR, -5 * HOUR), (MARCH, NOVEMBER))


@pytest.mark.parametrize("count", [7, 100, 5000])
def test_offsets_to_and_fro_are_the_most_frequent(count: int) -> None:
    """Two programs with zones of their own wrote to one log."""
    utc = np.linspace(ms(2019, 1, 1), ms(2019, 2, 1), count).astype(np.int64)
    offset = np.where(np.arange(count) % 5 % 2, -5 * HOUR, 0)
    assert observed(utc, offset) == Zone.fixed(0)


def test_records_of_one_moment_that_contradict() -> None:
    assert observed(column(5, 5, 5), column(0, HOUR, HOUR)) == Zone.fixed(3600)


def test_four_changes_in_a_year_are_egypts() -> None:
    """More than any other zone has, and yet no noise."""
    cairo = named("Africa/Cairo")
    utc, offset = records(cairo, (ms(2014, 1, 1), ms(2014, 12, 31), 500))
    zone = observed(utc, offset)
    assert zone is not None
    assert zone.changes == cairo.within(int(utc[0]), int(utc[-1])).changes
    assert len(zone.changes) == 4


@settings(max_examples=30, deadline=None, derandomize=True)
@given(name=st.sampled_from(CHANGING), first=st.integers(ms(1990, 1, 1), ms(2030, 1, 1)), days=st.integers(1, 900))
def test_records_of_a_zone_are_of_the_zone_observed(name: str, first: int, days: int) -> None:
    utc, offset = records(named(name), (first, first + days * DAY, 3000))
    zone = observed(utc, offset)
    assert zone is not None
    assert (zone.local(utc) - utc == offset).mean() > 0.99


def test_agreed() -> None:
    summer, year = (ms(2020, 4, 1), ms(2020, 9, 1)), (ms(2020, 4, 1), ms(2020, 12, 1))
    toronto, fixed, havana = named("America/Toronto"), Zone.fixed(-14400), named("America/Havana")
    assert agreed([], *year) is None
    assert agreed([fixed], *year) == fixed
    assert agreed([NEW_YORK, toronto], *year) == NEW_YORK.within(*year)
    assert agreed([NEW_YORK, fixed, havana], *summer) == Zone("America/New_York", (-4 * HOUR,))
    assert agreed([fixed, NEW_YORK], *summer) == fixed
    assert agreed([NEW_YORK, fixed], *year) is None
    assert agreed([NEW_YORK, havana], *year) is None
