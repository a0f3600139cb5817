"""Which zones a log may mean by a short name."""

from __future__ import annotations

from functools import partial

import pytest

from capflog import zone_names
from capflog.tzfiles import offset_in, rules_of
from capflog.zone_names import called
from capflog.zones import Zone
from tests.test_zones import HOUR, NEW_YORK, ms

JANUARY, JULY = ms(2020, 1, 10, 12), ms(2020, 7, 10, 12)


@pytest.mark.parametrize(
    ("abbreviation", "names", "hours"),
    [
        ("SGT", "Asia/Singapore", 8), ("HKT", "Asia/Hong_Kong", 8), ("JST", "Asia/Tokyo", 9), ("KST", "Asia/Seoul", 9),
        ("COT", "America/Bogota", -5), ("PET", "America/Lima", -5), ("VET", "America/Caracas", -4),
        ("UYT", "America/Montevideo", -3), ("ART", "America/Argentina/Buenos_Aires", -3), ("BOT", "America/La_Paz", -4),
        ("ECT", "America/Guayaquil", -5), ("MSK", "Europe/Moscow", 3), ("TRT", "Europe/Istanbul", 3),
        ("GST", "Asia/Dubai", 4), ("PKT", "Asia/Karachi", 5), ("BDT", "Asia/Dhaka", 6), ("NPT", "Asia/Kathmandu", 5.75),
        ("ICT", "Asia/Bangkok", 7), ("WIB", "Asia/Jakarta", 7), ("MYT", "Asia/Kuala_Lumpur", 8),
        ("PHT", "Asia/Manila", 8), ("AWST", "Australia/Perth", 8), ("SAST", "Africa/Johannesburg", 2),
        ("EAT", "Africa/Nairobi", 3), ("WAT", "Africa/Lagos", 1), ("CAT", "Africa/Maputo", 2), ("UTC", "UTC", 0),
        ("HST", "Pacific/Honolulu", -10), ("ChST", "Pacific/Guam", 10), ("SAMT", "Europe/Samara", 4),
        ("hkt", "Asia/Hong_Kong", 8), ("AFT", "Asia/Kabul", 4.5), ("AST", "America/Puerto_Rico", -4),
    ],
)  # fmt: skip
def test_zones_without_summer(abbreviation: str, names: str, hours: float) -> None:
    assert (called(abbreviation, JULY)[0].name, called(abbreviation, JULY)[0].offset_at(JULY)) == (names, hours * HOUR)


@pytest.mark.parametrize(
    ("winter", "summer", "name", "hours"),
    [
        ("EST", "EDT", "America/New_York", -5), ("CST", "CDT", "America/Chicago", -6),
        ("MST", "MDT", "America/Denver", -7), ("PST", "PDT", "America/Los_Angeles", -8),
        ("AKST", "AKDT", "America/Anchorage", -9), ("AST", "ADT", "America/Halifax", -4),
        ("NST", "NDT", "America/St_Johns", -3.5), ("GMT", "BST", "Europe/London", 0),
        ("WET", "WEST", "Europe/Lisbon", 0), ("CET", "CEST", "Europe/Berlin", 1),
        ("EET", "EEST", "Europe/Athens", 2), ("IST", "IDT", "Asia/Jerusalem", 2),
        ("IRST", "IRDT", "Asia/Tehran", 3.5), ("GMT", "IST", "Europe/Dublin", 0),
    ],
)  # fmt: skip
def test_zones_with_summer(winter: str, summer: str, name: str, hours: float) -> None:
    found = called(winter, JANUARY), called(summer, JULY)
    # Dublin's times are London's; it has no name of its own in winter.
    assert (name if name != "Europe/Dublin" else "Europe/London") in [zone.name for zone in found[0]]
    assert name in [zone.name for zone in found[1]]
    assert called(winter, JANUARY)[0].offset_at(JANUARY) == hours * HOUR or winter == "IST"
    assert name not in [zone.name for zone in (*called(winter, JULY), *called(summer, JANUARY))]


@pytest.mark.parametrize(
    ("winter", "summer", "name", "year"),
    [
        ("AEST", "AEDT", "Australia/Sydney", 2020), ("ACST", "ACDT", "Australia/Adelaide", 2020),
        ("NZST", "NZDT", "Pacific/Auckland", 2020), ("CLT", "CLST", "America/Santiago", 2020),
        ("BRT", "BRST", "America/Sao_Paulo", 2018), ("PYT", "PYST", "America/Asuncion", 2020),
    ],
)  # fmt: skip
def test_summer_in_the_south(winter: str, summer: str, name: str, year: int) -> None:
    assert called(winter, ms(year, 7, 10))[0].name == name
    assert called(summer, ms(year, 1, 10))[0].name == name
    assert name not in [zone.name for zone in (*called(winter, ms(year, 1, 10)), *called(summer, ms(year, 7, 10)))]


def test_morocco_goes_back_for_ramadan() -> None:
    """tzdata has its summer as the standard, Java as summer."""
    assert [zone.name for zone in called("WEST", JANUARY)] == ["Africa/Casablanca"]
    ramadan = ms(2020, 5, 10)
    assert [zone.name for zone in called("WET", ramadan)] == ["Africa/Casablanca"]
    assert "Africa/Casablanca" not in [zone.name for zone in called("WEST", ramadan)]


@pytest.mark.parametrize(
    ("abbreviation", "at", "names"),
    [
        ("EDT", ms(2020, 4, 10), ["America/New_York"]),
        ("EST", JANUARY, ["America/New_York", "America/Panama"]),
        ("EST", JULY, ["America/Panama"]),
        ("IST", JANUARY, ["Asia/Kolkata", "Asia/Jerusalem"]),
        ("IST", JULY, ["Asia/Kolkata", "Europe/Dublin"]),
        ("BST", JULY, ["Europe/London", "Pacific/Bougainville"]),
        ("XYZ", JULY, []),
        ("", JULY, []),
        ("É", JULY, []),
        ("EDT", JANUARY, []),
    ],
)
def test_an_abbreviation_of_several_zones(abbreviation: str, at: int, names: list[str]) -> None:
    assert [zone.name for zone in called(abbreviation, at)] == names


def test_cst_is_chicago_and_shanghai_and_havana() -> None:
    found = [zone.name for zone in called("CST", JANUARY)]
    assert found[0] == "America/Chicago"
    assert {"Asia/Shanghai", "America/Havana", "America/Mexico_City"} < {*found}


def test_both_passes_of_an_hour_have_their_names() -> None:
    for abbreviation in ("EST", "EDT"):
        assert called(abbreviation, ms(2019, 11, 3, 1, 30))[0] == NEW_YORK
    assert NEW_YORK not in called("EST", ms(2019, 11, 3, 0, 59, 59))
    assert NEW_YORK not in called("EDT", ms(2019, 11, 3, 2))


@pytest.mark.parametrize(
    ("text", "seconds"), [("GMT+05:30", 19800), ("GMT-03:00", -10800), ("GMT+5", 18000), ("UTC+08:00", 28800)]
)
def test_java_names_an_offset(text: str, seconds: int) -> None:
    assert called(text, JULY) == [Zone.fixed(seconds)]


@pytest.mark.parametrize("at", [-(1 << 63), -1, ms(2200, 1, 1), (1 << 63) - 1])
def test_no_zone_is_known_at_such_times(at: int) -> None:
    assert called("EST", at) == []
    assert called("GMT+99", at) == []


def test_each_of_javas_names_is_some_zones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each zone is found by one of its two names, all year round."""

    def now(name: str, at: int) -> Zone:
        return Zone.fixed(offset_in(rules_of(name), at // 1000), name)

    for at in (JANUARY, JULY):
        # As they are then: to make hundreds with all of their changes takes long.
        monkeypatch.setattr(zone_names, "named", partial(now, at=at))
        for line in zone_names._JAVA.strip().split("\n"):
            *both, name = line.split()[:3]
            # HAST and the like were in use before; the zone's offset is the same.
            found = {zone.offset_at(at) for abbreviation in both for zone in called(abbreviation, at)}
            assert now(name, at).offset_at(at) in found, line
