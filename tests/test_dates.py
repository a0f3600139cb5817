"""The days of CAPF's lines, which bear none: through midnights and silences, by logs, records and files' times."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from capflog.analysis import Analysis, analyze_members
from capflog.told import Told, read_date
from tests.scenes import EASTERN, NODE, Held, Lines, analyzed, at, clock_of, held, iis, raw, seconds, tries, utc, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

Phones = dict[str, datetime]


def phones(*whens: datetime) -> Phones:
    return {f"SEP{number:012X}": when for number, when in enumerate(whens, 1)}


#: Two days of phones, a whole day without a line between them.
AROUND = phones(
    *(at(f"{hour:02}:17:04.250") + seconds(hour * 1.37) for hour in range(9, 18, 2)),
    *(at(f"{hour:02}:42:31.500", 2) + seconds(hour * 0.61) for hour in range(8, 17, 2)),
)


def logs(some: Phones, zone: timedelta = EASTERN, ahead: float = 0.0) -> tuple[list[Lines], Held, Held]:
    """Give CAPF's lines of each phone, error.log and IIS's log."""
    scenes = [
        whole(device, when, zone=zone, ahead=ahead, connection=2 * n) for n, (device, when) in enumerate(some.items())
    ]
    return (
        [scene[0] for scene in scenes],
        held("error.log", *(scene[1] for scene in scenes)),
        iis("u_ex190116.log", *(scene[2] for scene in scenes)),
    )


def trace(some: Phones, name: str = "capf00000001.txt", modified: datetime | None = None, local: bool = True) -> Held:
    return held(
        name,
        *(tries(device, when) for device, when in some.items()),
        modified=modified,
        modified_is_local=modified is not None and modified.tzinfo is None and local,
    )


def part(some: Phones, begin: int, end: int) -> Phones:
    return dict([*some.items()][begin:end])


def last_of(some: Phones) -> datetime:
    """Say when CAPF's last line of some phones is stamped, in whole seconds: files' times have no more."""
    return max(line.at for device, when in some.items() for line in tries(device, when)).replace(microsecond=0)


def record(files: dict[str, str]) -> Held:
    """Make RTMT's record of files: their ``modifiedDate`` as it stands there."""
    tags = "".join(
        f'<FileName name="/var/log/active/cm/trace/capf/sdi/{name}" modifiedDate="{when}" size="88452"/>\n'
        for name, when in files.items()
    )
    text = f'<TraceCollectionResult>\n<Node name="{NODE}">\n{tags}</Node>\n</TraceCollectionResult>\n'
    return raw("TraceCollectionResult_2019-01-20_10-00-00_pub.xml", text)


def java(when: datetime, zone: str = "EST") -> str:
    return f"{when:%a %b %d %H:%M:%S} {zone} {when:%Y}"


def told(*members: Held, **what: object) -> Analysis:
    return analyze_members("bundle", members, told=Told(**what))  # type: ignore[arg-type]


def started(analysis: Analysis) -> list[datetime | None]:
    return [enrollment.started for enrollment in analysis.report.enrollments]


def true(some: Phones, zone: timedelta = EASTERN) -> list[datetime]:
    return [utc(when, zone) for when in some.values()]


def dates(analysis: Analysis) -> list[str]:
    return [f"{when:%Y-%m-%d}" for when in started(analysis) if when is not None]


# ---- days that a silence hides ---------------------------------------------------------------------------------------


def test_error_log_tells_of_a_day_without_a_line() -> None:
    _, log, _ = logs(AROUND)
    analysis = analyzed(trace(AROUND), log)
    clock = clock_of(analysis, "capf")
    assert started(analysis) == true(AROUND)
    assert not clock.assumed
    assert "date by 10 of 10" in clock.basis
    assert "1 days without a line in 1 places" in clock.basis


def test_iis_alone_tells_of_a_day_without_a_line() -> None:
    _, _, web = logs(AROUND, ahead=-2.5)
    analysis = analyzed(trace(AROUND), web)
    clock = clock_of(analysis, "capf")
    assert started(analysis) == true(AROUND)
    assert (clock.utc_offset_seconds, clock.assumed) == (-18_000, False)
    offset = clock_of(analysis, "iis")
    assert offset.offset_seconds is not None
    assert offset.uncertainty_seconds is not None
    assert abs(offset.offset_seconds + 2.5) <= offset.uncertainty_seconds < 1


def test_a_record_of_two_files_tells_of_a_day_without_a_line() -> None:
    first, second = part(AROUND, 0, 5), part(AROUND, 5, 10)
    analysis = analyzed(
        trace(first, "capf1.txt"),
        trace(second, "capf2.txt"),
        record({"capf1.txt": java(last_of(first)), "capf2.txt": java(last_of(second))}),
    )
    clock = clock_of(analysis, "capf")
    assert started(analysis) == true(AROUND)
    assert (clock.utc_offset_seconds, clock.assumed) == (-18_000, False)
    assert "1 days without a line in 1 places" in clock.basis


def test_two_weeks_of_silence_and_then_one_night() -> None:
    some = phones(
        *(at(f"1{n}:05:04.628") for n in range(5)),
        *(at(f"1{n}:25:04.628", 14) for n in range(5)),
        *(at(f"1{n}:45:04.628", 15) for n in range(5)),
    )
    analysis = analyzed(trace(some), logs(some)[1])
    assert started(analysis) == true(some)
    assert "13 days without a line in 1 places" in clock_of(analysis, "capf").basis


def test_a_day_without_a_line_of_which_nothing_tells_is_assumed_not_to_be() -> None:
    analysis = analyzed(trace(AROUND, modified=at("16:50:00", 2)))
    clock = clock_of(analysis, "capf")
    assert clock.assumed
    assert "date assumed" in clock.basis
    assert dates(analysis) == ["2019-01-17"] * 5 + ["2019-01-18"] * 5


def test_one_line_of_another_day_hides_none() -> None:
    """error.log has one request at a phone's time of day on another day: it may be anybody's."""
    some = part(AROUND, 0, 5)
    _, log, _ = logs(some)
    odd = whole("SEPF", next(iter(some.values())) + timedelta(days=3), connection=90)[1]
    content = log.content + "".join(f"{line.text}\n" for line in odd).encode()
    analysis = analyzed(trace(some), Held("error.log", content))
    assert started(analysis)[:5] == true(some)
    assert "without a line" not in clock_of(analysis, "capf").basis


# ---- midnights -------------------------------------------------------------------------------------------------------

MIDNIGHTS = phones(
    at("23:59:58.900"),
    at("00:00:01.050", 1),
    at("12:00:00.000", 1),
    at("23:59:30.000", 1),
    at("00:29:00.000", 2),
    at("23:50:00.000", 2),
    at("01:10:00.000", 3),
)


@pytest.mark.parametrize("by", ["error.log", "iis", "record", "nothing"])
def test_each_midnight_begins_a_day(by: str) -> None:
    _, log, web = logs(MIDNIGHTS)
    own = trace(MIDNIGHTS)
    tells = {"error.log": [log], "iis": [web], "nothing": []}.get(by)
    if tells is None:
        tells = [record({"capf00000001.txt": java(last_of(MIDNIGHTS))})]
    analysis = analyzed(own, *tells)
    if by == "nothing":
        assert clock_of(analysis, "capf").assumed
        assert [date[8:] for date in dates(analysis)] == ["29", "30", "30", "30", "31", "31", "01"]
    else:
        assert started(analysis) == true(MIDNIGHTS)


def test_hours_without_a_line_are_no_midnight() -> None:
    some = phones(at("01:00:00.100"), at("22:59:00.200"), at("20:00:00.300", 1), at("23:00:00.400", 1))
    analysis = analyzed(trace(some), logs(some)[1])
    assert started(analysis) == true(some)
    assert "without a line" not in clock_of(analysis, "capf").basis


def test_lines_of_several_threads_are_no_midnight() -> None:
    """A line may be written after one that is stamped some seconds later."""
    first, second = tries("SEPA", at("14:05:04.628"), taken=9), tries("SEPB", at("14:05:06.100"), session=3)
    lines = [*first[:-4], *second, *first[-4:]]
    mixed = Held("capf1.txt", "".join(f"{line.text}\n" for line in lines).encode())
    analysis = analyzed(mixed, record({"capf1.txt": java(at("14:05:20"))}))
    assert [when for when in started(analysis) if when is not None] == [
        utc(at("14:05:04.628")),
        utc(at("14:05:06.100")),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_files_are_in_the_order_of_their_numbers(seed: int) -> None:
    some = phones(at("10:00:00.5"), at("23:00:00.5"), at("22:00:00.5", 1), at("09:00:00.5", 2))
    members = [trace(part(some, n, n + 1), f"capf{number:08d}.txt") for n, number in enumerate((9, 10, 99, 100))]
    members.append(logs(some)[1])
    random.Random(seed).shuffle(members)
    assert started(analyzed(*members)) == true(some)


# ---- records and files' times ----------------------------------------------------------------------------------------

EVENING = phones(at("22:40:10.500"), at("23:59:40.250"))


def test_a_file_that_was_closed_after_midnight_is_of_the_day_before() -> None:
    analysis = analyzed(trace(EVENING), record({"capf00000001.txt": java(at("00:00:07", 1))}))
    clock = clock_of(analysis, "capf")
    assert started(analysis) == true(EVENING)
    assert not clock.assumed
    assert "collection's own record" in clock.basis


def test_a_record_that_is_hours_off_its_file_is_only_a_bound() -> None:
    """The file was touched, or it is another: that it cannot be later is all that the record tells."""
    analysis = analyzed(trace(EVENING), record({"capf00000001.txt": java(at("05:30:00", 3))}))
    clock = clock_of(analysis, "capf")
    assert clock.assumed
    assert "the last day that the collection's record of the trace file allows" in clock.basis
    assert dates(analysis) == ["2019-01-19", "2019-01-19"]  # 22:40 EST on the 18th


def test_error_log_is_believed_against_a_record() -> None:
    _, log, _ = logs(AROUND)
    wrong = record({"capf00000001.txt": java(last_of(AROUND) + timedelta(days=9))})
    analysis = analyzed(trace(AROUND), log, wrong)
    assert started(analysis)[:5] == true(AROUND)[:5]


def test_a_time_that_is_the_last_lines_is_no_copys() -> None:
    """A zip keeps even seconds of local time; error.log is missing, and no zone is known."""
    analysis = analyzed(trace(EVENING, modified=last_of(EVENING).replace(second=40)))
    clock = clock_of(analysis, "capf")
    assert "date by the trace files' own times" in clock.basis
    assert started(analysis) == true(EVENING, timedelta())
    assert clock.assumed  # the zone


@pytest.mark.parametrize("late", [timedelta(minutes=5), timedelta(hours=2), timedelta(days=40, hours=1)])
def test_a_copys_time_is_only_a_bound(late: timedelta) -> None:
    analysis = analyzed(trace(EVENING, modified=last_of(EVENING) + late))
    clock = clock_of(analysis, "capf")
    assert "the last day that the trace file's own time allows" in clock.basis
    days = late // timedelta(days=1)
    assert dates(analysis) == [f"{when + timedelta(days=days):%Y-%m-%d}" for when in EVENING.values()]


@pytest.mark.parametrize("away", [timedelta(hours=9), timedelta(hours=-4, minutes=-30)])
def test_a_zip_made_in_another_zone_is_off_by_the_same_for_each_file(away: timedelta) -> None:
    first, second = part(AROUND, 0, 2), part(AROUND, 2, 5)
    members = [
        trace(own, f"capf{n}.txt", modified=last_of(own) + away) for n, own in enumerate((first, second), start=1)
    ]
    analysis = analyzed(*members)
    assert started(analysis) == true(part(AROUND, 0, 5), timedelta())
    assert "date by the trace files' own times" in clock_of(analysis, "capf").basis
    (alone,) = (analyzed(member) for member in members[:1])
    assert "date assumed" in clock_of(alone, "capf").basis


@pytest.mark.parametrize(
    ("modified", "day", "basis"),
    [
        (at("08:07:00", 1), "2019-01-16", "the trace file's own time"),
        (at("08:07:00", 30), "2019-01-17", "the folder that the trace was collected into"),
    ],
)
def test_the_lowest_bound_is_the_date(modified: datetime, day: str, basis: str) -> None:
    """The line is of a quarter past nine, the folder of nine on the 18th."""
    folder = "pub/2019-01-18_09-00-00/cm/trace/capf/sdi/capf1.txt"
    analysis = analyzed(trace(part(AROUND, 0, 1), folder, modified=modified))
    assert f"the last day that {basis} allows" in clock_of(analysis, "capf").basis
    assert dates(analysis) == [day]


# ---- the zone of files' times ----------------------------------------------------------------------------------------


def in_utc(some: Phones, name: str, zone: timedelta) -> Held:
    return trace(some, name, modified=utc(last_of(some), zone))


@pytest.mark.parametrize("zone", [timedelta(hours=5.5), timedelta(hours=-10), timedelta(hours=12.75)])
def test_two_files_times_in_utc_tell_zone_and_date(zone: timedelta) -> None:
    first, second = part(AROUND, 0, 5), part(AROUND, 5, 10)
    analysis = analyzed(in_utc(first, "capf1.txt", zone), in_utc(second, "capf2.txt", zone))
    clock = clock_of(analysis, "capf")
    # Times of even seconds alone may be what somebody's zip program made of the node's local ones.
    even = all(last_of(some).replace(microsecond=0).second % 2 == 0 for some in (first, second))
    assert (clock.utc_offset_seconds, clock.assumed) == (zone / timedelta(seconds=1), even)
    assert "the files' own times are those of their last lines" in clock.basis
    assert started(analysis) == true(AROUND, zone)


@pytest.mark.parametrize("zone", [timedelta(hours=-10), timedelta(hours=14), timedelta(hours=12), timedelta(hours=-12)])
def test_of_two_zones_a_day_apart_error_logs_dates_tell_which(zone: timedelta) -> None:
    _, log, _ = logs(AROUND)
    mute = replace(log, content=b"\n".join(line for line in log.content.split(b"\n") if b"[log_" not in line))
    parts = [part(AROUND, begin, begin + 5) for begin in (0, 5)]
    analysis = analyzed(*(in_utc(own, f"capf{n}.txt", zone) for n, own in enumerate(parts)), mute)
    assert clock_of(analysis, "capf").utc_offset_seconds == zone / timedelta(seconds=1)
    assert started(analysis) == true(AROUND, zone)


def test_one_file_may_be_so_by_chance() -> None:
    analysis = analyzed(in_utc(part(AROUND, 0, 5), "capf1.txt", EASTERN))
    assert clock_of(analysis, "capf").utc_offset_seconds is None
    assert clock_of(analysis, "capf").assumed


def test_files_that_say_two_things_tell_no_zone() -> None:
    """No zone was at -5 and, some hours later in January, at +2."""
    parts = [part(AROUND, n, n + 1) for n in range(4)]
    zones = [EASTERN, EASTERN, timedelta(hours=2), timedelta(hours=2)]
    members = [in_utc(own, f"capf{n}.txt", zone) for n, (own, zone) in enumerate(zip(parts, zones, strict=True))]
    assert clock_of(analyzed(*members), "capf").utc_offset_seconds is None


def test_files_before_and_after_a_change_of_the_zone_tell_both() -> None:
    """Four files on the day on which summer time began in New York: 2019-03-10, at two."""
    whens = [at("00:30:00.5", 53), at("01:40:00.5", 53), at("04:10:00.5", 53), at("09:00:00.5", 53)]
    assert f"{whens[0]:%Y-%m-%d}" == "2019-03-10"
    zones = [EASTERN, EASTERN, timedelta(hours=-4), timedelta(hours=-4)]
    members = [
        in_utc(phones(when), f"capf{n}.txt", zone) for n, (when, zone) in enumerate(zip(whens, zones, strict=True))
    ]
    analysis = analyzed(*members)
    clock = clock_of(analysis, "capf")
    assert (clock.utc_offset_seconds, clock.assumed) == (-18_000, False)
    assert clock.zone is not None
    assert [offset // 3_600_000 for offset in clock.zone.offsets] == [-5, -4]
    assert started(analysis) == [utc(when, zone) for when, zone in zip(whens, zones, strict=True)]


@pytest.mark.parametrize("days", [21, -1])
def test_the_files_own_times_are_believed_against_an_iis_of_another_day(days: int) -> None:
    """Nobody has set the date of the CA's clock right; what it shows of the day's hours is."""
    first, second = part(AROUND, 0, 2), part(AROUND, 2, 5)
    some = part(AROUND, 0, 5)
    web = logs(some, ahead=days * 86_400 + 3.5)[2]
    analysis = analyzed(in_utc(first, "capf1.txt", EASTERN), in_utc(second, "capf2.txt", EASTERN), web)
    assert started(analysis) == true(some)
    offset = clock_of(analysis, "iis")
    assert offset.offset_seconds is not None
    assert offset.uncertainty_seconds is not None
    assert abs(offset.offset_seconds - days * 86_400 - 3.5) <= offset.uncertainty_seconds < 1
    assert "IIS is of another day" in clock_of(analysis, "capf").basis


def test_an_iis_that_is_off_by_days_and_hours_tells_no_zone() -> None:
    """The date is error.log's, which names no zone: no zone there is makes up for ten days and four hours."""
    some = part(AROUND, 0, 5)
    _, log, web = logs(some, ahead=10 * 86_400 + 15_000)
    mute = replace(log, content=b"\n".join(line for line in log.content.split(b"\n") if b"[log_" not in line))
    clock = clock_of(analyzed(trace(some), mute, web), "capf")
    assert clock.assumed
    assert clock.utc_offset_seconds is None


# ---- --date ----------------------------------------------------------------------------------------------------------


def test_the_date_that_is_told_is_that_of_the_first_line() -> None:
    analysis = told(trace(MIDNIGHTS), dates=(("", read_date("5 Mar 2011")),))
    assert dates(analysis)[0] == "2011-03-05"
    assert dates(analysis)[-1] == "2011-03-08"
    assert "date declared with --date" in clock_of(analysis, "capf").basis


def test_what_is_told_is_believed_against_the_logs() -> None:
    _, log, _ = logs(AROUND)
    analysis = told(trace(AROUND), log, dates=(("", read_date("2019-03-05")),))
    called = [e.started for e in analysis.report.enrollments if any(record.source == "capf" for record in e.records)]
    # That a day went by without a line error.log still tells.
    assert [when and f"{when:%m-%d}" for when in called] == ["03-05"] * 5 + ["03-07"] * 5


def test_dates_are_told_for_each_folder() -> None:
    members = [trace(part(AROUND, n, n + 1), f"{folder}/capf1.txt") for n, folder in enumerate("abc")]
    analysis = told(*members, dates=(("a/", read_date("2019-03-05")), ("b/", read_date("2018-07-09"))))
    found = {e.records[0].member: f"{e.started:%Y-%m-%d}" for e in analysis.report.enrollments if e.started}
    assert found["a/capf1.txt"] == "2019-03-05"
    assert found["b/capf1.txt"] == "2018-07-09"
    assert clock_of(analysis, "capf").assumed


# ---- the year --------------------------------------------------------------------------------------------------------


def moved(members: Sequence[Held], years: int) -> list[Held]:
    """Have logs been written so many years earlier, on the same day."""
    assert all(b"2019" in member.content for member in members)
    return [replace(member, content=member.content.replace(b"2019", b"%d" % (2019 - years))) for member in members]


@pytest.mark.parametrize("years", [1, 8, 20])
def test_a_trace_of_years_ago(years: int) -> None:
    some = part(AROUND, 0, 5)
    _, log, web = logs(some)
    wanted = [when.replace(year=2019 - years) for when in true(some)]
    own = replace(trace(some), modified=datetime(2026, 11, 27, 12, 0, tzinfo=UTC))
    assert started(analyzed(own, *moved([log, web], years))) == wanted
    assert started(analyzed(own, *moved([log], years))) == wanted
    assert started(analyzed(own, *moved([web], years))) == wanted
    (old,) = moved([record({"capf00000001.txt": java(last_of(some))})], years)
    weekday = f"{last_of(some).replace(year=2019 - years):%a}".encode()
    old = replace(old, content=old.content.replace(f'"{last_of(some):%a} '.encode(), b'"' + weekday + b" "))
    analysis = analyzed(own, old)
    assert started(analysis) == wanted
    assert not clock_of(analysis, "capf").assumed


def test_the_last_day_of_february_and_the_last_of_a_year() -> None:
    for first in (datetime(2020, 2, 28, 23, 30), datetime(2019, 2, 28, 23, 30), datetime(2019, 12, 31, 23, 30)):  # noqa: DTZ001
        some = phones(first, first + timedelta(hours=1), first + timedelta(hours=23))
        assert started(analyzed(trace(some), logs(some)[1])) == true(some)
