"""What rules are asked of a clock, and the words for it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from capflog.clock_facts import clock_fact, compared, likewise, span, words_of
from capflog.model import Clock, ClockStep, Quality

AT = datetime(2019, 1, 16, 17, 30, tzinfo=UTC)


def clock(
    offset: float | None = 0.0,
    bound: float | None = 0.5,
    quality: Quality = "good",
    source: str = "iis",
    **more: Any,
) -> Clock:
    return Clock(source, [f"{source}.log"], 0, offset, bound, quality, assumed=False, basis="", **more)


def step(before: float, after: float) -> ClockStep:
    return ClockStep(AT, before, after)


# ---- the fact ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "offset", "side"),
    [
        (clock(120.0), 120, "ahead"),
        (clock(-2.9), 2.9, "behind"),
        (clock(-0.4), 0.4, None),
        (clock(0.5), 0.5, None),
        (clock(0.501), 0.501, "ahead"),
        (clock(5.0, None), 5, "ahead"),
        (clock(0.0, None), 0, None),
        (clock(3600.3, zone_error_seconds=3600), 0.3, None),
        (clock(-3602.0, zone_error_seconds=-3600), 2, "behind"),
        (clock(3540.0, zone_error_seconds=3600), 60, "behind"),
        (clock(None, None, "none"), None, None),
    ],
)
def test_the_offset_is_what_remains_without_the_zone_s_error(
    given: Clock, offset: float | None, side: str | None
) -> None:
    fact = clock_fact(given)
    assert (fact.get("offset"), fact.get("side")) == (offset, side)


def test_a_whole_number_is_written_as_one() -> None:
    assert str(clock_fact(clock(60.0))["offset"]) == "60"
    assert str(clock_fact(clock(60.0004))["offset"]) == "60"
    assert str(clock_fact(clock(3600.1, zone_error_seconds=3600))["offset"]) == "0.1"


def test_all_that_is_known_of_a_clock() -> None:
    given = clock(
        -3598.0,
        0.25,
        "weak",
        whose="ca2",
        zone_error_seconds=-3600,
        steps=[step(1.0, -2.5), step(-2.5, 0.0)],
        drift_ppm=-12.5,
    )
    assert clock_fact(given) == {
        "kind": "clock",
        "at": None,
        "source": "iis",
        "quality": "weak",
        "whose": "ca2",
        "offset": 2,
        "side": "ahead",
        "bound": 0.25,
        "zone_error": 3600,
        "zone_side": "behind",
        "step": 3.5,
        "drift": 12.5,
    }


def test_what_is_not_known_is_absent() -> None:
    assert clock_fact(clock(None, None, "none")) == {"kind": "clock", "at": None, "source": "iis", "quality": "none"}


# ---- which clocks --------------------------------------------------------------------------------------------------


def test_the_reference_is_not_held_against_itself() -> None:
    assert compared([clock(0.0, 0.0, "reference", "capf"), clock(0.0, 0.0, "reference", "nginx")]) == []


def test_two_logs_of_one_server_are_one_clock() -> None:
    first, second = clock(3.0, proof=[1, 2]), clock(3.0, source="httperr", proof=[5])
    (one,) = compared([first, second])
    assert (one.source, one.proof) == ("iis", [1, 2, 5])
    assert (first.proof, second.proof) == ([1, 2], [5])
    assert len(compared([clock(3.0), clock(3.0, whose="ca2")])) == 2
    assert len(compared([clock(3.0), clock(4.0, source="httperr")])) == 2


# ---- the words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0.0, "0.00 s"),
        (0.354, "0.35 s"),
        (0.996, "1.0 s"),
        (-3.21, "3.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (123.4, "2 min 3 s"),
        (18_000, "5 h 0 min"),
        (172_799, "47 h 59 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_span_is_told_with_the_digits_that_matter(amount: float, words: str) -> None:
    assert span(amount) == words


def test_the_words_for_a_clock() -> None:
    given = clock(
        3602.9, 0.8, whose="ca2", zone_error_seconds=3600, steps=[step(3482.9, 3602.9), step(0.0, -5.0)], drift_ppm=11.6
    )
    assert words_of(given) == {
        "whose": "the CA's server ca2 (IIS)",
        "offset": "2.9 s",
        "side": "ahead",
        "bound": "0.80 s",
        "zone_error": "1 h 0 min ahead",
        "step": "by 2019-01-16 17:30:00 UTC from 58 min 3 s ahead to 1 h 0 min ahead, "
        "then by 2019-01-16 17:30:00 UTC from in step to 5.0 s behind",
        "drift": "gains 1.0 s a day",
    }


def test_the_words_for_what_is_not_known() -> None:
    assert words_of(clock(None, None, "none")) == {
        "whose": "the CA's server (IIS)",
        "offset": "an amount that is not known",
        "side": "ahead or behind",
        "bound": "an amount that is not known",
        "zone_error": "in step",
        "step": "no step",
        "drift": "not measured",
    }


def test_a_node_is_no_server_of_a_ca() -> None:
    assert words_of(clock(source="nginx", whose="cucm2"))["whose"] == "the CUCM node cucm2"


def test_many_steps_are_counted() -> None:
    assert words_of(clock(steps=[step(0.0, 1.0)] * 5))["step"].endswith("to 1.0 s ahead, and 2 times more")


def test_a_name_that_a_shell_would_act_upon_is_not_told() -> None:
    pattern = re.compile(r"\w+")
    assert words_of(clock(whose="ca;reboot"), safe=pattern)["whose"] == "the CA's server (IIS)"
    assert words_of(clock(whose="ca;reboot"))["whose"] == "the CA's server ca;reboot (IIS)"
    assert words_of(clock(whose="ca2"), safe=pattern)["whose"] == "the CA's server ca2 (IIS)"


def test_other_clocks_are_told_with_how_far_they_are_off() -> None:
    assert likewise([]) == ""
    others = [clock(-3.0, whose="ca2"), clock(3600.0, whose="ca3", zone_error_seconds=3600, steps=[step(2.0, 0.0)])]
    assert likewise(others) == (
        " So it is with the CA's server ca2 (IIS) (3.0 s behind), the CA's server ca3 (IIS) (in step; 1 h 0 min ahead "
        "by its zone; set by 2019-01-16 17:30:00 UTC from 2.0 s ahead to in step)."
    )
