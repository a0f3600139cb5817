"""Zones that change within a bundle: the hour that happens twice, the one that never does, and who tells of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from capflog.analysis import Analysis, analyze_members
from capflog.folds import second_pass
from capflog.rows import NONE
from capflog.told import Told
from capflog.zones import Zone, read_zone
from tests.scenes import DAY, FIELDS, NODE, Held, Line, Lines, clock_of, exchange, raw, seconds, tries, whole

NEW_YORK = "America/New_York"

#: When summer time ended in New York, and when it began, in UTC.
ENDED, BEGAN = datetime(2019, 11, 3, 6, tzinfo=UTC), datetime(2019, 3, 10, 7, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone that enrolled at a moment, and what the clocks of a zone showed then."""

    device: str
    at: datetime
    zone: str = NEW_YORK

    @property
    def offset(self) -> timedelta:
        offset = self.at.astimezone(ZoneInfo(self.zone)).utcoffset()
        assert offset is not None
        return offset

    @property
    def local(self) -> datetime:
        return self.at.replace(tzinfo=None) + self.offset

    @property
    def second(self) -> bool:
        """Whether it came in the second pass of an hour."""
        return bool(self.at.astimezone(ZoneInfo(self.zone)).fold)


def around(change: datetime, *minutes: float, zone: str = NEW_YORK) -> list[Phone]:
    """Give phones that came so many minutes after a change of the zone, or before it."""
    return [
        Phone(f"SEP{number:012X}", change + timedelta(minutes=after, milliseconds=7 * number + 1), zone)
        for number, after in enumerate(minutes, 1)
    ]


def written(name: str, *scenes: Lines) -> Held:
    """Make a member of scenes in the order given: their clock goes back."""
    lines = [line for scene in scenes for line in scene]
    return Held(name, "".join(f"{line.text}\n" for line in lines).encode(), owners=tuple(line.of for line in lines))


def capf(phones: list[Phone], name: str = "capf00000001.txt") -> Held:
    return written(name, *(tries(phone.device, phone.local) for phone in phones))


def error_log(phones: list[Phone], *, access: bool = True) -> Held:
    scenes = [
        exchange(phone.local, phone.device, zone=phone.offset, connection=2 * n) for n, phone in enumerate(phones, 1)
    ]
    return written(
        "error.log",
        *([line for line in scene if access or "[log_" not in line.text] for scene in scenes),
    )


def web_lines(phones: list[Phone], ahead: float) -> list[Lines]:
    return [whole(phone.device, phone.local, zone=phone.offset, ahead=ahead)[2] for phone in phones]


def web(phones: list[Phone], ahead: float = 0.0) -> Held:
    return written("u_ex191103.log", [Line(DAY, FIELDS)], *web_lines(phones, ahead))


def record(files: dict[str, str]) -> Held:
    tags = "".join(
        f'<FileName name="/var/log/active/cm/trace/capf/sdi/{name}" modifiedDate="{when}" size="1"/>\n'
        for name, when in files.items()
    )
    text = f'<TraceCollectionResult>\n<Node name="{NODE}">\n{tags}</Node>\n</TraceCollectionResult>\n'
    return raw("TraceCollectionResult_2019-11-04_10-00-00_pub.xml", text)


def java(phone: Phone) -> str:
    """Say when a phone's last line was written, as Java does."""
    last = max(line.at for line in tries(phone.device, phone.local)).replace(microsecond=0)
    return f"{last:%a %b %d %H:%M:%S} {'EST' if phone.offset == timedelta(hours=-5) else 'EDT'} {last:%Y}"


def analyzed(*members: Held, zone: str | None = None, date: datetime | None = None) -> Analysis:
    zones = () if zone is None else (("", read_zone(zone)),)
    day = () if date is None else (("", int(datetime(date.year, date.month, date.day, tzinfo=UTC).timestamp()) * 1000),)
    return analyze_members("bundle", members, told=Told(zones=zones, dates=day))


def started(analysis: Analysis) -> dict[str, datetime | None]:
    """Say when each phone's enrollment began, but of those that show in error.log alone."""
    return {e.device: e.started for e in analysis.report.enrollments if e.device is not None}


def true(phones: list[Phone]) -> dict[str, datetime]:
    return {phone.device: phone.at for phone in phones}


def check_iis(analysis: Analysis, phones: list[Phone], member: Held, ahead: float) -> None:
    """IIS's lines are their phones', and each lies where the phone's enrollment was."""
    when = true(phones)
    found = [
        (e.device, record)
        for e in analysis.report.enrollments
        for record in e.records
        if record.source == "iis" and record.member == member.name
    ]
    assert len(found) == 7 * len(phones)
    for device, one in found:
        assert device is not None
        assert member.owners[one.line - 1] == device
        assert one.earliest is not None
        assert one.latest is not None
        assert one.earliest - seconds(1) <= when[device] + seconds(0.07) + seconds(0.4)
        assert one.latest + seconds(0.05) >= when[device] + seconds(0.1)
        assert one.latest - one.earliest < seconds(2.5)


#: Both passes of the hour, and what comes before and after it; the first three are of summer time.
TWICE = around(ENDED, -95, -41, -12.5, 8.25, 33, 55.5, 90)

#: The same without a step back: the first pass has lines in its first half alone, the second in its second half.
ONWARD = around(ENDED, -95, -55, -41, 33, 55.5, 90)


def test_the_scene_has_both_passes() -> None:
    assert [phone.second for phone in TWICE] == [False, False, False, True, True, True, False]
    assert [f"{phone.local:%H:%M}" for phone in TWICE] == [
        "00:25",
        "01:19",
        "01:47",
        "01:08",
        "01:33",
        "01:55",
        "02:30",
    ]
    assert sorted(phone.local for phone in ONWARD) == [phone.local for phone in ONWARD]


# ---- the order of lines ----------------------------------------------------------------------------------------------


def test_lines_that_step_back_are_of_the_second_pass() -> None:
    """Nothing but the order of its lines tells it in CAPF's trace; the zone is told."""
    analysis = analyzed(capf(TWICE), zone=NEW_YORK, date=TWICE[0].local)
    clock = clock_of(analysis, "capf")
    assert started(analysis) == true(TWICE)
    assert (clock.utc_offset_seconds, clock.assumed) == (-14_400, False)
    assert "twice" not in clock.basis


@pytest.mark.parametrize("cut", range(1, 7))
def test_files_that_end_anywhere_in_the_hour(cut: int) -> None:
    """A first stamp of a file before the last of the one before it is no midnight then."""
    members = [capf(TWICE[:cut], "capf1.txt"), capf(TWICE[cut:], "capf2.txt")]
    analysis = analyzed(*members, error_log(TWICE))
    assert started(analysis) == true(TWICE)


def test_error_log_steps_back_with_it() -> None:
    members = capf(TWICE), error_log(TWICE)
    analysis = analyzed(*members)
    assert started(analysis) == true(TWICE)
    for source in ("capf", "nginx"):
        clock = clock_of(analysis, source)
        assert (clock.utc_offset_seconds, clock.assumed) == (-14_400, False)
        assert "UTC-04:00, from 2019-11-03 06:00 UTC on UTC-05:00" in clock.basis
        assert "twice" not in clock.basis
    of_ces = {
        e.device: [record.time for record in e.records if record.source == "nginx" and record.time is not None]
        for e in analysis.report.enrollments
    }
    for phone in TWICE:
        assert of_ces[phone.device]
        assert all(abs(at - phone.at) < seconds(1.1) for at in of_ces[phone.device])


def test_error_log_alone_steps_back() -> None:
    analysis = analyzed(error_log(TWICE))
    found = sorted(e.started for e in analysis.report.enrollments if e.started is not None)
    assert len(found) == len(TWICE)
    assert all(abs(at - phone.at) < seconds(1.1) for at, phone in zip(found, TWICE, strict=True))


# ---- without a step back ---------------------------------------------------------------------------------------------


def test_access_records_tell_the_pass_of_error_logs_lines() -> None:
    analysis = analyzed(error_log(ONWARD))
    clock = clock_of(analysis, "nginx")
    assert "twice" not in clock.basis
    found = sorted(e.started for e in analysis.report.enrollments if e.started is not None)
    assert all(abs(at - phone.at) < seconds(1.1) for at, phone in zip(found, ONWARD, strict=True))


def test_ces_tells_the_pass_of_capfs_lines() -> None:
    analysis = analyzed(capf(ONWARD), error_log(ONWARD))
    assert started(analysis) == true(ONWARD)
    assert "twice" not in clock_of(analysis, "capf").basis


@pytest.mark.parametrize(
    ("minutes", "why"),
    [
        ((-75, -63, -58, -52, 200), "close to what is before it"),
        ((-300, 44, 52, 61, 70), "close to what is after it"),
        ((-66, -59, -55, 55, 58, 63), "close to both ends, and a silence between"),
    ],
)
def test_how_close_lines_are_tells_the_pass(minutes: tuple[float, ...], why: str) -> None:
    phones = around(ENDED, *minutes)
    analysis = analyzed(capf(phones), zone=NEW_YORK, date=phones[0].local)
    assert started(analysis) == true(phones), why
    assert "twice" not in clock_of(analysis, "capf").basis


def test_where_nothing_tells_the_pass_the_bounds_are_of_both() -> None:
    """One phone in the middle of the hour, and hours of silence before it and after it."""
    phones = around(ENDED, -200, 20, 250)
    analysis = analyzed(capf(phones), zone=NEW_YORK, date=phones[0].local)
    count = len(tries(phones[1].device, phones[1].local))
    basis = clock_of(analysis, "capf").basis
    assert f"of {count} stamps of an hour that happened twice nothing tells which" in basis
    for enrollment in analysis.report.enrollments:
        for one in enrollment.records:
            assert one.earliest is not None
            assert one.latest is not None
            width = seconds(3600) if enrollment.device == phones[1].device else seconds(0)
            assert one.latest - one.earliest == width
            if width:
                assert one.earliest <= phones[1].at <= one.latest
    first, _, last = (phone.at for phone in phones)
    assert [started(analysis)[phone.device] for phone in (phones[0], phones[2])] == [first, last]


def test_where_nothing_tells_it_error_log_says_so_too() -> None:
    phones = around(ENDED, -200, 20, 250)
    analysis = analyzed(error_log(phones, access=False), zone=NEW_YORK)
    assert "stamps of an hour that happened twice nothing tells" in clock_of(analysis, "nginx").basis
    rows = analysis.table
    stamped = rows[(rows["source"] == "nginx") & rows["stamp"].notna()]
    assert set((stamped["latest"] - stamped["earliest"]).dt.total_seconds().astype(int)) == {0, 3600}


# ---- the zone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [NEW_YORK, "america/toronto", "US/Eastern"])
def test_a_zone_that_is_told_by_name_changes(zone: str) -> None:
    analysis = analyzed(capf(TWICE), zone=zone, date=TWICE[0].local)
    assert started(analysis) == true(TWICE)


def test_a_zone_that_is_told_as_an_offset_does_not() -> None:
    analysis = analyzed(capf(TWICE), zone="-04:00", date=TWICE[0].local)
    late = [started(analysis)[phone.device] != phone.at for phone in TWICE]
    assert late == [False] * 3 + [True] * 4


def test_both_names_in_rtmts_record_tell_of_the_change() -> None:
    members = [capf(TWICE[:3], "capf1.txt"), capf(TWICE[3:], "capf2.txt")]
    rtmt = record({"capf1.txt": java(TWICE[2]), "capf2.txt": java(TWICE[-1])})
    assert b" EDT " in rtmt.content
    assert b" EST " in rtmt.content
    analysis = analyzed(*members, rtmt)
    clock = clock_of(analysis, "capf")
    assert started(analysis) == true(TWICE)
    assert (clock.utc_offset_seconds, clock.assumed) == (-14_400, False)


def test_one_name_in_rtmts_record_does_not_tell_of_a_change() -> None:
    """EST is New York's and Jamaica's, which knows no summer time: two days from a change that is no zone."""
    rtmt = record({"capf00000001.txt": java(TWICE[-1])})
    clock = clock_of(analyzed(capf(TWICE), rtmt), "capf")
    assert (clock.utc_offset_seconds, clock.assumed) == (None, True)
    assert "EST, which several zones bear" in clock.basis
    # With one line of libEST's from before the change it is.
    analysis = analyzed(capf(TWICE), rtmt, error_log(TWICE[:1]))
    assert started(analysis) == true(TWICE)


@pytest.mark.parametrize("ahead", [0.0, -2.5, 301.25])
def test_iis_tells_of_the_change(ahead: float) -> None:
    """In UTC there is neither a step nor a hole; nothing else is there but CAPF's trace."""
    chance = random.Random(3)
    phones = around(ENDED, *sorted(chance.choice((-1, 1)) * chance.randint(65, 700) + n / 100 for n in range(32)))
    logged = web(phones, ahead)
    analysis = analyzed(capf(phones), logged)
    clock = clock_of(analysis, "capf")
    assert started(analysis) == true(phones)
    assert (clock.utc_offset_seconds, clock.assumed) == (-14_400, False)
    offset = clock_of(analysis, "iis")
    assert offset.offset_seconds is not None
    assert offset.uncertainty_seconds is not None
    assert abs(offset.offset_seconds - ahead) <= offset.uncertainty_seconds < 1
    assert offset.steps == []
    check_iis(analysis, phones, logged, ahead)


@pytest.mark.parametrize("ahead", [0.0, -2.5, 3601.25])
def test_iis_tells_the_zone_of_a_trace_that_steps_back(ahead: float) -> None:
    """All within four hours, both passes of one among them; of hours that IIS is ahead by nothing tells."""
    chance = random.Random(5)
    phones = around(ENDED, *sorted(chance.randint(-100, 130) + n / 100 for n in range(40)))
    assert sum(phone.second for phone in phones) > 5
    logged = web(phones, ahead)
    analysis = analyzed(capf(phones), logged)
    hours = timedelta(hours=round(ahead / 3600))
    assert started(analysis) == {device: when + hours for device, when in true(phones).items()}
    clock = clock_of(analysis, "capf")
    assert (clock.utc_offset_seconds, clock.assumed) == (-14_400 - hours.total_seconds(), False)
    assert clock_of(analysis, "iis").steps == []


def test_iis_tells_of_the_change_before_the_files_last_lines_and_its_clock_was_set_besides() -> None:
    """The files' own times, in UTC, tell the zone of their last lines alone: -05:00."""
    chance = random.Random(7)
    minutes = sorted(chance.choice((-1, 1)) * chance.randint(65, 700) + n / 100 for n in range(60))
    phones = around(ENDED, *minutes)
    early, late = ([p for p in phones if (p.at < ENDED + timedelta(hours=6)) is before] for before in (True, False))
    logged = written("u_ex191103.log", [Line(DAY, FIELDS)], *web_lines(early, 2.5), *web_lines(late, 590.25))
    traces = []
    for n, some in enumerate((phones[:-9], phones[-9:])):
        last = max(line.at for line in tries(some[-1].device, some[-1].local)).replace(microsecond=0, tzinfo=UTC)
        traces.append(replace(capf(some, f"capf{n}.txt"), modified=last + timedelta(hours=5)))
    analysis = analyzed(*traces, logged)
    assert started(analysis) == true(phones)
    clock = clock_of(analysis, "capf")
    assert "IIS tells of its change: UTC-04:00 then UTC-05:00" in clock.basis
    assert (clock.utc_offset_seconds, clock.assumed) == (-14_400, False)
    assert [round(step.after - step.before) for step in clock_of(analysis, "iis").steps] == [588]


@pytest.mark.parametrize("ahead", [0.0, 3.25])
def test_iis_lines_of_both_passes_are_their_phones(ahead: float) -> None:
    logged = web(TWICE, ahead)
    analysis = analyzed(capf(TWICE), error_log(TWICE), logged)
    assert started(analysis) == true(TWICE)
    check_iis(analysis, TWICE, logged, ahead)
    offset = clock_of(analysis, "iis").offset_seconds
    assert offset is not None
    assert abs(offset - ahead) < 0.6


# ---- spring, and other changes ---------------------------------------------------------------------------------------

SPRING = around(BEGAN, -90, -20, -1.5, 0.75, 12, 61, 150)


def test_the_hour_that_never_was() -> None:
    assert [f"{phone.local:%H:%M}" for phone in SPRING[2:5]] == ["01:58", "03:00", "03:12"]
    logged = web(SPRING, -1.5)
    for members, zone in (((capf(SPRING), error_log(SPRING), logged), None), ((capf(SPRING),), NEW_YORK)):
        analysis = analyzed(*members, zone=zone, date=SPRING[0].local if zone else None)
        assert started(analysis) == true(SPRING)
        assert clock_of(analysis, "capf").utc_offset_seconds == -18_000
        if zone is None:
            check_iis(analysis, SPRING, logged, -1.5)


@pytest.mark.parametrize(
    ("zone", "change", "before"),
    [
        ("Australia/Lord_Howe", datetime(2019, 4, 6, 15, tzinfo=UTC), 39_600),  # back by half an hour
        ("Australia/Lord_Howe", datetime(2019, 10, 5, 15, 30, tzinfo=UTC), 37_800),
        ("Europe/Dublin", datetime(2019, 10, 27, 1, tzinfo=UTC), 3_600),
        ("Pacific/Chatham", datetime(2019, 4, 6, 14, tzinfo=UTC), 49_500),
        ("America/Sao_Paulo", datetime(2019, 2, 17, 2, tzinfo=UTC), -7_200),  # at midnight: the day happens twice
        ("Africa/Casablanca", datetime(2019, 5, 5, 2, tzinfo=UTC), 3_600),
    ],
)
@pytest.mark.parametrize("by", ["told", "access"])
def test_changes_of_other_zones(zone: str, change: datetime, before: int, by: str) -> None:
    phones = around(change, -70, -22, -4.5, 2, 6.5, 26, 64, zone=zone)
    assert {phone.offset.total_seconds() for phone in phones[:3]} == {before}
    assert len({phone.offset for phone in phones}) == 2
    members = (capf(phones),) if by == "told" else (capf(phones), error_log(phones))
    analysis = analyzed(*members, zone=zone if by == "told" else None, date=phones[0].local if by == "told" else None)
    assert started(analysis) == true(phones)
    assert clock_of(analysis, "capf").utc_offset_seconds == before


# ---- of many lines ---------------------------------------------------------------------------------------------------

EASTERN = Zone("Eastern", (-14_400_000, -18_000_000), (int(ENDED.timestamp()) * 1000,))


@pytest.mark.parametrize("seed", range(6))
def test_dense_lines_are_put_right_however_threads_mix_them(seed: int) -> None:
    chance = np.random.default_rng(seed)
    utc = np.sort(chance.integers(-9_000_000, 9_000_000, 3000)) + EASTERN.changes[0]
    local = EASTERN.local(utc)
    true_later = (utc >= EASTERN.changes[0]) & EASTERN.twice(local)
    local[chance.random(len(local)) < 0.2] = NONE
    later, unsure = second_pass(EASTERN, local)
    known = local != NONE
    assert (later == (true_later & known)).all()
    assert not unsure.any()


def test_a_bundle_of_years_has_several_such_hours() -> None:
    zone = read_zone(NEW_YORK)
    chance = random.Random(1)
    whens = [datetime(year, 11, day, 6, tzinfo=UTC) for year, day in ((2018, 4), (2019, 3), (2020, 1))]
    utc = np.array(
        sorted(
            int(when.timestamp() * 1000) + chance.randrange(-4_000_000, 4_000_000) for when in whens for _ in range(400)
        )
    )
    local = zone.local(utc)
    later, unsure = second_pass(zone, local)
    assert not unsure.any()
    found = np.where(later, zone.utc(local, later=True), zone.utc(local))
    assert (found == utc).all()
