"""Zones as numbers: both ways over columns, and what a person calls them."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog import tzfiles
from capflog.zone_names import called
from capflog.zones import Zone, named, read_zone

HOUR = 3_600_000
DAY = 24 * HOUR

NEW_YORK = named("America/New_York")
CHANGING = ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Gaza", "Asia/Tehran"]


def ms(*parts: int) -> int:
    """Give what a clock shows, whatever its zone, in ms."""
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


def column(*times: int) -> np.ndarray:
    return np.array(times, dtype=np.int64)


def as_tzdata_has_it(name: str) -> ZoneInfo:
    """Give the zone of the package: the host's may be of another year."""
    file = files("tzdata").joinpath("zoneinfo", *name.split("/"))
    return ZoneInfo.from_file(BytesIO(file.read_bytes()), key=name)


# ---- there and back --------------------------------------------------------------------------------------------------


def test_spring_in_new_york() -> None:
    """2:00 to 3:00 on 10 March 2019 never was; it is read by the offset before."""
    local = column(ms(2019, 3, 10, 1, 59, 59), ms(2019, 3, 10, 2), ms(2019, 3, 10, 2, 59, 59), ms(2019, 3, 10, 3))
    assert NEW_YORK.missing(local).tolist() == [False, True, True, False]
    assert not NEW_YORK.twice(local).any()
    expected = [ms(2019, 3, 10, 6, 59, 59), ms(2019, 3, 10, 7), ms(2019, 3, 10, 7, 59, 59), ms(2019, 3, 10, 7)]
    assert NEW_YORK.utc(local).tolist() == expected
    assert NEW_YORK.utc(local, later=True).tolist() == expected


def test_autumn_in_new_york() -> None:
    """1:00 to 2:00 on 3 November 2019 was twice."""
    local = column(ms(2019, 11, 3, 0, 59, 59), ms(2019, 11, 3, 1), ms(2019, 11, 3, 1, 59, 59), ms(2019, 11, 3, 2))
    assert NEW_YORK.twice(local).tolist() == [False, True, True, False]
    assert not NEW_YORK.missing(local).any()
    first, last = ms(2019, 11, 3, 4, 59, 59), ms(2019, 11, 3, 7)
    assert NEW_YORK.utc(local).tolist() == [first, ms(2019, 11, 3, 5), ms(2019, 11, 3, 5, 59, 59), last]
    assert NEW_YORK.utc(local, later=True).tolist() == [first, ms(2019, 11, 3, 6), ms(2019, 11, 3, 6, 59, 59), last]


def test_an_offset_begins_at_its_change() -> None:
    change = ms(2019, 3, 10, 7)
    assert change in NEW_YORK.changes
    assert [NEW_YORK.offset_at(change + n) // HOUR for n in (-1, 0)] == [-5, -4]
    assert (NEW_YORK.local(column(change - 1, change)) - column(change - 1, change)).tolist() == [-5 * HOUR, -4 * HOUR]


def test_lord_howe_changes_by_half_an_hour() -> None:
    zone = named("Australia/Lord_Howe")
    summer, winter = ms(2019, 10, 5, 15, 30), ms(2019, 4, 6, 15)
    assert [zone.offset_at(at) / HOUR for at in (winter - 1, winter, summer - 1, summer)] == [11, 10.5, 10.5, 11]
    assert zone.twice(column(*(ms(2019, 4, 7, 1, minute) for minute in (29, 30, 59)))).tolist() == [False, True, True]


def test_samoa_had_no_30th_of_december_2011() -> None:
    zone = named("Pacific/Apia")
    local = column(ms(2011, 12, 29, 23, 59, 59), ms(2011, 12, 30), ms(2011, 12, 30, 23, 59, 59), ms(2011, 12, 31))
    assert zone.missing(local).tolist() == [False, True, True, False]
    assert np.diff(zone.utc(local[[0, 3]])).tolist() == [1000]


def test_kolkata_does_not_change() -> None:
    zone = named("asia/kolkata")
    assert (zone.name, zone.constant, zone.offsets) == ("Asia/Kolkata", True, (19_800_000,))


@pytest.mark.parametrize(
    ("seconds", "name"),
    [(0, "UTC"), (-18000, "UTC-05:00"), (20700, "UTC+05:45"), (-12600, "UTC-03:30"), (1172, "UTC+00:19:32")],
)
def test_a_fixed_zone_is_a_subtraction(seconds: int, name: str) -> None:
    zone, times = Zone.fixed(seconds), column(-5, 0, ms(2019, 3, 10, 2))
    assert zone.name == name
    assert zone.constant
    assert (times - zone.utc(times)).tolist() == [seconds * 1000] * 3
    assert (zone.local(times) - times).tolist() == [seconds * 1000] * 3
    assert not zone.twice(times).any()
    assert not zone.missing(times).any()


def test_a_fixed_zone_may_bear_a_name() -> None:
    assert Zone.fixed(-18000, "the node's").name == "the node's"


def test_what_was_given_is_not_changed() -> None:
    times = column(ms(2019, 1, 1), ms(2019, 7, 1))
    for zone in (NEW_YORK, Zone.fixed(0)):
        zone.local(times)[:] = zone.utc(times)[:] = 0
    assert times.tolist() == [ms(2019, 1, 1), ms(2019, 7, 1)]


@pytest.mark.parametrize("zone", [NEW_YORK, Zone.fixed(0)], ids=str)
def test_an_empty_column(zone: Zone) -> None:
    for made in (zone.local(column()), zone.utc(column())):
        assert (str(made.dtype), len(made)) == ("int64", 0)
    for told in (zone.twice(column()), zone.missing(column())):
        assert (str(told.dtype), len(told)) == ("bool", 0)


@pytest.mark.parametrize(
    ("offsets", "changes"), [((0, HOUR), ()), ((), ()), ((0, 1, 2), (5, 5)), ((0, 1, 2), (6, 5)), ((DAY,), ())]
)
def test_what_is_no_zone_is_refused(offsets: tuple[int, ...], changes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="offset"):
        Zone("", offsets, changes)


MOMENTS = st.integers(ms(1970, 1, 2), ms(2099, 12, 30))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(name=st.sampled_from(CHANGING), moments=st.lists(MOMENTS, min_size=1, max_size=40), data=st.data())
def test_there_and_back(name: str, moments: list[int], data: st.DataObject) -> None:
    """Wherever a moment lies: its local time has one moment, or two, of which it is the one."""
    zone = named(name)
    near = st.builds(int.__add__, st.sampled_from(zone.changes), st.integers(-2 * HOUR, 2 * HOUR))
    utc = column(*moments, *data.draw(st.lists(near, max_size=40)))
    local = zone.local(utc)
    assert (local - utc).tolist() == [zone.offset_at(moment) for moment in utc.tolist()]
    first, second, twice = zone.utc(local), zone.utc(local, later=True), zone.twice(local)
    assert not zone.missing(local).any()
    assert ((first == utc) | (second == utc)).all()
    assert (first[~twice] == second[~twice]).all()
    assert (first[twice] < second[twice]).all()
    assert (zone.local(first) == local).all()
    assert (zone.local(second) == local).all()


@settings(max_examples=50, deadline=None, derandomize=True)
@given(name=st.sampled_from(CHANGING), changes=st.integers(0, 300), span=st.integers(1, 20), data=st.data())
def test_few_changes_and_many_are_the_same(name: str, changes: int, span: int, data: st.DataObject) -> None:
    """A column of a year and one of a century go different ways to the same."""
    zone = named(name)
    begin = zone.changes[changes % len(zone.changes)] - 3 * HOUR
    times = column(*data.draw(st.lists(st.integers(begin, begin + span * 30 * DAY), min_size=1, max_size=20)))
    all_along = np.append(times, column(ms(1971, 1, 1), ms(2099, 1, 1)))
    for one in (zone.local, zone.utc, lambda t: zone.utc(t, later=True), zone.twice, zone.missing):
        assert one(times).tolist() == one(all_along)[:-2].tolist()


# ---- a part of it ----------------------------------------------------------------------------------------------------


def test_within() -> None:
    march, november = ms(2019, 3, 10, 7), ms(2019, 11, 3, 6)
    year = NEW_YORK.within(ms(2019, 1, 1), ms(2020, 1, 1))
    assert year == Zone("America/New_York", (-5 * HOUR, -4 * HOUR, -5 * HOUR), (march, november))
    summer = NEW_YORK.within(march, november - 1)
    assert summer == Zone("America/New_York", (-4 * HOUR,))
    assert NEW_YORK.within(march - 1, november).changes == (march, november)
    assert NEW_YORK.within(november, march) == Zone("America/New_York", (-5 * HOUR,))
    assert Zone.fixed(60).within(0, 1) == Zone.fixed(60)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(first=MOMENTS, length=st.integers(0, 700 * DAY), share=st.floats(0, 1))
def test_within_changes_nothing_within(first: int, length: int, share: float) -> None:
    part, moment = NEW_YORK.within(first, first + length), first + round(length * share)
    assert part.offset_at(moment) == NEW_YORK.offset_at(moment)
    assert all(first < change <= first + length for change in part.changes)


# ---- for datetimes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CHANGING, "Asia/Kolkata", "America/St_Johns", "Europe/Dublin", "Etc/GMT+5"])
def test_datetimes_are_those_of_zoneinfo(name: str) -> None:
    zone, theirs, chance = named(name), as_tzdata_has_it(name), random.Random(name)
    ours = zone.tzinfo()
    moments = [chance.randrange(ms(1970, 1, 2), ms(2099, 12, 30)) for _ in range(200)]
    moments += [change + chance.randrange(-3 * HOUR, 3 * HOUR) for change in zone.changes for _ in range(2)]
    for moment in moments:
        utc = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=moment)
        here, there = utc.astimezone(ours), utc.astimezone(theirs)
        assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold)
        assert (here.utcoffset(), here.astimezone(UTC)) == (there.utcoffset(), utc)
        # Times that there never were, too.
        for fold in (0, 1):
            wall = utc.replace(tzinfo=None, fold=fold)
            assert wall.replace(tzinfo=ours).utcoffset() == wall.replace(tzinfo=theirs).utcoffset()


def test_zones_of_all_kinds_are_those_of_zoneinfo() -> None:
    """The changes are looked for in steps, and none lies between two of them."""
    chance = random.Random(1)
    for zone in map(named, chance.sample(sorted(tzfiles.known_names()), 20)):
        theirs = as_tzdata_has_it(zone.name)
        for moment in [chance.randrange(0, ms(2099, 12, 30)) for _ in range(200)]:
            offset = datetime.fromtimestamp(moment // 1000, theirs).utcoffset()
            assert offset == timedelta(milliseconds=zone.offset_at(moment)), (zone.name, moment)


@pytest.mark.parametrize(
    ("name", "begin", "end"),
    [
        ("America/Argentina/Tucuman", (2004, 6, 1, 3), (2004, 6, 13, 4)),
        ("America/Noronha", (2000, 10, 8, 2), (2000, 10, 15, 1)),
        ("America/Recife", (2000, 10, 8, 3), (2000, 10, 15, 2)),
        ("America/Boa_Vista", (2000, 10, 8, 4), (2000, 10, 15, 3)),
        ("Asia/Gaza", (2040, 10, 20), (2040, 10, 26, 23)),
        ("Asia/Gaza", (2054, 3, 28), (2054, 4, 3, 23)),
        ("Asia/Gaza", (2072, 10, 22), (2072, 10, 28, 23)),
    ],
)
def test_the_shortest_stretches(name: str, begin: tuple[int, ...], end: tuple[int, ...]) -> None:
    changes = named(name).changes
    assert changes[changes.index(ms(*begin)) + 1] == ms(*end)


@pytest.mark.parametrize("hours", [-12, 14])
def test_the_ends_of_time(hours: int) -> None:
    zone = Zone.fixed(hours * 3600).tzinfo()
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    shown = [moment.astimezone(zone).replace(tzinfo=None) for moment in (first, last)]
    if hours < 0:
        assert shown == [datetime.min, last.replace(tzinfo=None) - timedelta(hours=12)]  # noqa: DTZ901
    else:
        assert shown == [first.replace(tzinfo=None) + timedelta(hours=14), datetime.max]  # noqa: DTZ901
    assert {moment.replace(tzinfo=zone).utcoffset() for moment in (first, last)} == {timedelta(hours=hours)}
    assert first.astimezone(NEW_YORK.tzinfo()).year == 1
    assert last.astimezone(NEW_YORK.tzinfo()).year == 9999


def test_a_tzinfo_is_one_object_wherever_it_goes() -> None:
    zone = NEW_YORK.within(ms(2019, 1, 1), ms(2020, 1, 1))
    again = Zone(zone.name, zone.offsets, zone.changes)
    assert again.tzinfo() is zone.tzinfo() is pickle.loads(pickle.dumps(zone.tzinfo()))
    assert datetime(2019, 7, 1, tzinfo=zone.tzinfo()).isoformat() == "2019-07-01T00:00:00-04:00"
    assert datetime(2019, 7, 1, tzinfo=zone.tzinfo()).tzname() == "America/New_York"
    assert datetime(2019, 7, 1, tzinfo=zone.tzinfo()).dst() is None
    assert pickle.loads(pickle.dumps(zone)) == zone


# ---- what a person types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "hours"),
    [
        ("-05:00", "UTC-05:00", -5),
        ("+0530", "UTC+05:30", 5.5),
        ("+530", "UTC+05:30", 5.5),
        ("-5", "UTC-05:00", -5),
        ("\u22125", "UTC-05:00", -5),
        (" UTC-5 ", "UTC-05:00", -5),
        ("utc+05:30", "UTC+05:30", 5.5),
        ("GMT+2", "UTC+02:00", 2),
        ("GMT-03:00", "UTC-03:00", -3),
        ("UTC", "UTC", 0),
        ("z", "UTC", 0),
        ("+00:00", "UTC", 0),
        ("GMT", "GMT", 0),
        ("Etc/GMT+5", "Etc/GMT+5", -5),
        ("etc/gmt-5", "Etc/GMT-5", 5),
        ("-12:00", "UTC-12:00", -12),
        ("+14", "UTC+14:00", 14),
        ("asia/calcutta", "Asia/Calcutta", 5.5),
    ],
)
def test_read_zone(text: str, name: str, hours: float) -> None:
    assert read_zone(text) == Zone(name, (round(hours * HOUR),))


@pytest.mark.parametrize("text", ["america/new_york", "AMERICA/NEW_YORK", "America/New_York\n"])
def test_a_name_in_any_case(text: str) -> None:
    assert read_zone(text) == NEW_YORK


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Amercia/New_York", "'Amercia/New_York' is not a time zone: expected a zone's name such as America/New_York"),
        ("Amercia/New_York", ", or an offset from UTC such as -05:00, from -12:00 to +14:00"),
        ("Amercia/New_York", "+14:00; did you mean America/New_York?"),
        ("new york", "did you mean America/New_York?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("EDT", "EDT is an abbreviation; America/New_York is a zone that uses it (expected "),
        ("pst", "PST is an abbreviation; America/Los_Angeles is a zone that uses it (expected "),
        ("AEDT", "AEDT is an abbreviation; Australia/Sydney is a zone"),
        ("+15", "'+15' is not a zone's offset: expected one from -12:00 to +14:00"),
        ("-12:01", "'-12:01' is not a zone's offset"),
        ("+05:60", "'+05:60' is not a time zone: expected"),
        ("5", "'5' is not a time zone: expected"),
    ],
)  # fmt: skip
def test_what_an_error_says(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="expected") as raised:
        read_zone(text)
    assert said in str(raised.value)


HOSTILE = [
    "", " ", "../../etc/passwd", "/etc/localtime", "America/New_York\0", "America/../UTC", "Factory", "zones",
    "America", "America/", "x" * 1_000_000, "+" * 100_000, "\ud800", "\x1b[31mred", "a\nb", "+١", "Aſia/Tokyo",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_no_zone(text: str) -> None:
    for read in (read_zone, named):
        with pytest.raises(ValueError, match="is not a time zone: expected") as raised:
            read(text)
        said = str(raised.value)
        assert said.isprintable()
        assert len(said) < 400


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(max_size=12) | st.text("+-:0123456789UTCGMZ/", max_size=9))
def test_any_text_is_a_zone_or_a_value_error(text: str) -> None:
    try:
        zone = read_zone(text)
    except ValueError as error:
        said = str(error)
        assert "expected" in said
    else:
        assert -12 * HOUR <= zone.offsets[0] <= 14 * HOUR


def test_a_name_is_no_offset() -> None:
    with pytest.raises(ValueError, match="expected"):
        named("-05:00")


# ---- the host --------------------------------------------------------------------------------------------------------


def test_the_host_has_no_say(tmp_path: Path) -> None:
    """Neither its zone nor its tables, which are wrong here; and what a zone is needs no numpy."""
    wrong = files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes()
    for name in ("Europe/Berlin", "America/Chicago", "Asia/Shanghai", "America/Havana"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(wrong)
    code = (
        "import sys; from capflog.zone_names import called; from capflog.zones import named, read_zone\n"
        "print([named('Europe/Berlin'), *called('CST', 1578657600000), read_zone('-5')], 'numpy' in sys.modules)\n"
    )
    env = os.environ | {"TZ": "Asia/Kolkata", "PYTHONTZPATH": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    here = [named("Europe/Berlin"), *called("CST", 1578657600000), read_zone("-5")]
    assert run.stdout.strip() == f"{here} False"
    assert "America/Chicago" in run.stdout
