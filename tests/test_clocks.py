"""One clock for all logs: the node's zone, the date of CAPF's lines, the offset of IIS, and how sure each is."""

from __future__ import annotations

import random
import re
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from capflog import intervals
from tests.scenes import (
    EASTERN,
    ISSUED,
    NOT_ALLOWED,
    NOT_ANSWERED,
    Held,
    Lines,
    analyzed,
    at,
    begins_session,
    ca_answers,
    capf_starts,
    ces_starts,
    chain_fetched,
    clock_of,
    enrollments,
    held,
    iis,
    lacking,
    raw,
    seconds,
    tags,
    tries,
    utc,
    whole,
)

PHONES = {"SEP74A02FC0A675": "14:05:04.628", "CSFjsmith": "14:13:29.871", "ATA1C17D3A40B77": "14:36:10.118"}


def bundle(
    phones: dict[str, datetime], zone: timedelta = EASTERN, ahead: float = 0.0, ca: dict[str, datetime] | None = None
) -> tuple[Held, Held, Held]:
    """Give CAPF's trace, error.log and IIS's log of phones; ``ca``: IIS's log is of these phones instead."""
    here = [whole(device, when, zone=zone, connection=2 * n) for n, (device, when) in enumerate(phones.items(), 1)]
    there = [whole(device, when, zone=zone, ahead=ahead) for device, when in (ca or phones).items()]
    return (
        held("capf00000001.txt", *(scene[0] for scene in here)),
        held("error.log", *(scene[1] for scene in here)),
        iis("u_ex190116.log", *(scene[2] for scene in there)),
    )


def today(phones: dict[str, str] | None = None) -> dict[str, datetime]:
    return {device: at(clock) for device, clock in (phones or PHONES).items()}


def started(*members: Held) -> list[datetime | None]:
    return [enrollment.started for enrollment in enrollments(*members)]


def scattered(count: int, seed: int, day: int = 0) -> dict[str, datetime]:
    """Phones that come at their own times over a working day."""
    chance = random.Random(seed)
    return {f"SEP{seed}{n:011d}": at("09:00:00", day) + seconds(chance.random() * 30_000) for n in range(count)}


# ---- the zone ------------------------------------------------------------------------------------------------------

ZONES = [timedelta(hours=hours) for hours in (5.5, -3.5, 14, -12, 0, 5.75)]


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_the_zone_stands_in_the_access_records(zone: timedelta) -> None:
    """IIS is half a second behind or ahead of the node: the zone is not its doing."""
    members = bundle(today(), zone, ahead=3)
    analysis = analyzed(*members)
    for source in ("capf", "nginx"):
        clock = clock_of(analysis, source)
        assert (clock.utc_offset_seconds, clock.quality, clock.assumed) == (
            zone / timedelta(seconds=1),
            "reference",
            False,
        )
        assert "log_access carries UTC" in clock.basis
    assert [e.started for e in analysis.report.enrollments] == [utc(when, zone) for when in today().values()]
    offset = clock_of(analysis, "iis")
    assert offset.offset_seconds is not None
    assert offset.uncertainty_seconds is not None
    assert abs(offset.offset_seconds - 3) <= offset.uncertainty_seconds <= 1


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_without_error_log_the_zone_is_taken_from_the_match_with_iis(zone: timedelta) -> None:
    """A zone of fourteen hours has a twin a day apart: nothing tells the two, and the times are right in both."""
    trace, _, web = bundle(today(), zone, ahead=-40)
    analysis = analyzed(trace, web)
    clock = clock_of(analysis, "capf")
    assert clock.utc_offset_seconds is not None
    assert (clock.utc_offset_seconds - zone / timedelta(seconds=1)) % 86_400 == 0
    assert not clock.assumed
    assert "taken from the match with IIS" in clock.basis
    assert [e.started for e in analysis.report.enrollments] == [utc(when, zone) for when in today().values()]
    assert tags(analysis, web) == [{device} for device in PHONES]


def test_one_phone_is_enough_for_the_zone() -> None:
    trace, _, web = bundle({"SEPA": at("14:05:04.628")})
    analysis = analyzed(trace, web)
    assert clock_of(analysis, "capf").utc_offset_seconds == -18_000
    assert clock_of(analysis, "iis").quality == "weak"
    assert tags(analysis, trace, web) == [{"SEPA"}]


def test_ces_logins_at_its_start_tell_no_zone() -> None:
    """They fall into no phone's call, whatever the zone."""
    trace = held("capf00000001.txt", capf_starts(at("12:31:03")), tries("SEPA", at("14:10:00"), NOT_ANSWERED, taken=10))
    analysis = analyzed(trace, iis("u_ex.log", chain_fetched(at("12:31:21"))))
    assert clock_of(analysis, "capf").assumed
    assert (clock_of(analysis, "iis").offset_seconds, clock_of(analysis, "iis").quality) == (None, "none")


def test_phones_that_are_refused_tell_the_zone_by_their_logins() -> None:
    refused = [tries(device, when, NOT_ALLOWED, taken=0.35) for device, when in today().items()]
    logins = [ca_answers(when, device, taken=0.3, steps=3) for device, when in today().items()]
    analysis = analyzed(member := held("capf00000001.txt", *refused), web := iis("u_ex.log", *logins))
    assert clock_of(analysis, "capf").utc_offset_seconds == -18_000
    assert tags(analysis, member, web) == [{device} for device in PHONES]


def test_a_zone_that_nothing_tells_is_assumed() -> None:
    analysis = analyzed(bundle(today())[0])
    clock = clock_of(analysis, "capf")
    assert (clock.utc_offset_seconds, clock.assumed) == (None, True)
    assert clock.basis
    assert analysis.alignment.display_zone is None


# ---- the offset of IIS ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [-2.4, 0.7, 90, -420, 3600, -7200, 10_000, -86_400])
def test_iis_may_be_behind_or_ahead_by_seconds_to_a_day(ahead: float) -> None:
    members = bundle(today(), ahead=ahead)
    analysis = analyzed(*members)
    clock = clock_of(analysis, "iis")
    assert clock.offset_seconds is not None
    assert clock.uncertainty_seconds is not None
    assert abs(clock.offset_seconds - ahead) <= clock.uncertainty_seconds + 0.001
    assert clock.quality == "good"
    assert clock.utc_offset_seconds == 0
    assert [e.started for e in analysis.report.enrollments] == [utc(when) for when in today().values()]
    assert tags(analysis, *members) == [{device} for device in PHONES]
    assert lacking(analysis, *members) == []


def test_the_offset_is_taken_off_iis_times() -> None:
    (found,) = enrollments(*bundle({"SEPA": at("14:05:04.628")}, ahead=-420))
    answered = utc(at("14:05:05.236"))
    for record in found.records:
        if record.source == "iis":
            assert record.earliest is not None
            assert record.latest is not None
            assert found.started is not None
            assert found.started - seconds(1) <= record.earliest <= record.latest <= answered + seconds(1)


def test_a_day_of_phones_narrows_the_offset_down() -> None:
    """The times at which seconds change on the one clock and the other bracket it more and more."""
    few, many = (clock_of(analyzed(*bundle(scattered(count, 5), ahead=-2.4)), "iis") for count in (1, 30))
    assert few.uncertainty_seconds is not None
    assert many.uncertainty_seconds is not None
    assert many.offset_seconds is not None
    assert many.uncertainty_seconds < few.uncertainty_seconds
    assert abs(many.offset_seconds + 2.4) <= many.uncertainty_seconds + 0.1


@pytest.mark.parametrize("day", [-1, -2, -30])
def test_an_iis_log_of_another_day_matches_nothing(day: int) -> None:
    """Some of its lines would fit some phones by chance, at some offset or other."""
    members = bundle(scattered(12, 1), ca=scattered(12, 2, day=day))
    analysis = analyzed(*members)
    clock = clock_of(analysis, "iis")
    assert (clock.offset_seconds, clock.uncertainty_seconds, clock.quality) == (None, None, "none")
    assert "could be matched" in clock.basis
    assert all(record.source != "iis" for e in analysis.report.enrollments for record in e.records)
    assert len(analysis.report.enrollments) == 12
    assert analysis.report.unattributed == 12 * 7


def test_without_error_log_an_iis_log_of_other_phones_matches_nothing() -> None:
    trace, _, web = bundle(scattered(12, 1), ca=scattered(12, 2, day=-1))
    analysis = analyzed(trace, web)
    assert clock_of(analysis, "capf").assumed
    assert clock_of(analysis, "iis").quality == "none"
    assert tags(analysis, trace, web) == [{device} for device in sorted(scattered(12, 1), key=scattered(12, 1).get)]  # type: ignore[arg-type]


def test_an_iis_log_of_a_part_of_the_time_is_matched() -> None:
    phones = scattered(12, 1)
    late = dict(sorted(phones.items(), key=lambda pair: pair[1])[8:])
    for members in (bundle(phones, ahead=-2.4, ca=late), (bundle(phones)[0], bundle(late)[2])):
        analysis = analyzed(*members)
        assert clock_of(analysis, "iis").offset_seconds is not None
        assert clock_of(analysis, "capf").utc_offset_seconds == -18_000
        assert tags(analysis, members[-1])[8:] == [{device} for device in late]
        assert tags(analysis, members[-1])[:8] == [set()] * 8


def test_iis_without_a_request_of_ces_has_no_offset() -> None:
    trace, log, _ = bundle(today())
    monitor = [ca_answers(when, None, agent="check_http/v2.2") for when in today().values()]
    analysis = analyzed(trace, log, iis("u_ex.log", *monitor))
    clock = clock_of(analysis, "iis")
    assert (clock.offset_seconds, clock.uncertainty_seconds, clock.quality) == (None, None, "none")
    assert clock.basis


def test_iis_alone_has_no_offset_and_its_times_are_its_own() -> None:
    analysis = analyzed(bundle(today())[2])
    (clock,) = analysis.report.clocks
    assert (clock.source, clock.quality, clock.offset_seconds) == ("iis", "none", None)
    assert [e.started for e in analysis.report.enrollments] == [
        utc(when + seconds(0.11)).replace(microsecond=0) for when in today().values()
    ]


# ---- the date ------------------------------------------------------------------------------------------------------


def test_the_date_of_the_trace_is_error_logs() -> None:
    trace, log, _ = bundle(today())
    analysis = analyzed(trace, log)
    clock = clock_of(analysis, "capf")
    assert not clock.assumed
    assert "date by 3 of 3" in clock.basis
    assert [e.started for e in analysis.report.enrollments] == [utc(when) for when in today().values()]


def test_a_start_of_ces_tells_the_date_too() -> None:
    ciscora, log = ces_starts(at("12:31:21"))
    phones = tries("SEPA", at("14:00:00"), NOT_ANSWERED, taken=10)
    trace = held("capf00000001.txt", capf_starts(at("12:31:03.354")), phones)
    analysis = analyzed(trace, held("nginx00000001.txt", ciscora), held("error.log", log))
    assert "date by 1 of 2" in clock_of(analysis, "capf").basis
    assert [e.started and e.started.date() for e in analysis.report.enrollments] == [at("00:00:00").date()]


def test_the_date_of_the_trace_is_iis_where_error_log_is_missing() -> None:
    trace, _, web = bundle(today())
    clock = clock_of(analyzed(trace, web), "capf")
    assert "date by 3 of 3 enrollments that IIS shows too" in clock.basis
    assert not clock.assumed


@pytest.mark.parametrize("with_iis", [True, False])
def test_logs_of_another_day_do_not_tell_the_date(with_iis: bool) -> None:
    """The date is then assumed, and no line of theirs is put to a phone."""
    other = bundle(scattered(12, 2, day=-1))
    trace = bundle(scattered(12, 1))[0]
    analysis = analyzed(trace, *other[1 : 3 if with_iis else 2])
    clock = clock_of(analysis, "capf")
    assert clock.assumed
    assert "date assumed" in clock.basis
    assert clock.utc_offset_seconds == -18_000
    wrong = [tag for tag in tags(analysis, trace, *other) if len(tag) != 1]
    assert wrong == []


def guessed(*members: Held) -> tuple[str, str]:
    """Give the day on which the trace's first enrollment is said to have begun, and what tells it."""
    analysis = analyzed(*members)
    clock = clock_of(analysis, "capf")
    assert clock.assumed
    first = analysis.report.enrollments[0].started
    assert first is not None
    return f"{first:%m-%d}", clock.basis.partition("date assumed: ")[2]


FAILED: Lines = tries("SEPA", at("14:47:54.741"), NOT_ANSWERED, taken=10.038)


@pytest.mark.parametrize(
    ("name", "modified", "day", "basis"),
    [
        ("capf1.txt", None, "01-01", "nothing in the bundle tells it"),
        ("capf1.txt", at("15:00:00"), "01-16", "file's own time"),
        ("capf1.txt", at("14:48:04"), "01-16", "file's own time"),
        ("capf1.txt", at("14:00:00"), "01-15", "file's own time"),
        ("pub/2019-01-16_15-30-00/cm/trace/capf/sdi/capf1.txt", None, "01-16", "folder"),
        ("pub/2019-01-16_15-30-00/cm/trace/capf/sdi/capf1.txt", at("15:00:00", 90), "01-16", "folder"),
        ("pub/2019-01-16_14-00-00/cm/trace/capf/sdi/capf1.txt", None, "01-15", "folder"),
        ("pub/2019-02-30_15-30-00/cm/trace/capf/sdi/capf1.txt", at("15:00:00"), "01-16", "file's own time"),
        ("pub/9999-99-99_99-99-99/capf1.txt", None, "01-01", "nothing in the bundle tells it"),
    ],
)
def test_the_date_is_guessed_by_folder_and_file(name: str, modified: datetime | None, day: str, basis: str) -> None:
    """A file's time may be two seconds early: a zip keeps even seconds."""
    said_day, said_basis = guessed(held(name, FAILED, modified=modified))
    assert said_day == day
    assert basis in said_basis


def test_the_date_is_guessed_by_when_the_operation_should_be_done() -> None:
    day, basis = guessed(held("capf1.txt", begins_session("SEPA", at("14:47:52")), FAILED))
    assert day == "01-19"  # the operation should finish on the 20th, at noon
    assert "Operation Should Finish By" in basis


@pytest.mark.parametrize("wish", ["2019:13:40:99:99", "tomorrow", "", "2019:02:30:12:00", "0000:00:00:00:00"])
def test_a_wish_that_is_no_time_is_no_hint(wish: str) -> None:
    odd = raw("capf1.txt", f"14:47:52.000 |   Select(SEPA) Operation Should Finish By={wish}\n")
    text = held("", FAILED).content
    assert guessed(Held("capf1.txt", odd.content + text))[1].startswith("nothing in the bundle tells it")


def test_the_date_is_guessed_by_the_other_logs() -> None:
    """They do not show its phones, but they were collected with it."""
    _, log = ces_starts(at("12:31:21", -3))
    day, basis = guessed(held("capf1.txt", FAILED, modified=at("23:00:00", 40)), held("error.log", log))
    assert (day, basis) == ("01-13", "the last day of the other logs")


def test_a_guessed_date_is_that_of_the_last_line() -> None:
    trace = held("2019-01-17_00-30-00/capf1.txt", tries("SEPA", at("23:50:00")), tries("SEPB", at("00:10:00", 1)))
    assert [when and f"{when:%d %H:%M}" for when in started(trace)] == ["16 23:50", "17 00:10"]


@pytest.mark.parametrize("with_log", [True, False])
def test_midnight_on_the_node_and_in_iis_are_not_the_same(with_log: bool) -> None:
    """In New York IIS begins its file of the next day at seven in the evening."""
    phones = {"SEPA": at("22:30:00.5"), "SEPB": at("23:59:59.9"), "SEPC": at("00:20:00", 1)}
    trace, log, web = bundle(phones, ahead=-2.4)
    members = (trace, log, web) if with_log else (trace, web)
    analysis = analyzed(*members)
    assert [e.started for e in analysis.report.enrollments] == [utc(when) for when in phones.values()]
    assert tags(analysis, *members) == [{device} for device in phones]
    assert lacking(analysis, *members) == []


# ---- all of it -----------------------------------------------------------------------------------------------------


def test_the_order_of_the_members_does_not_matter() -> None:
    phones = {"SEPA": at("22:30:00.5"), "SEPB": at("23:50:00.3"), "SEPC": at("00:20:00", 1)}
    trace, log, web = bundle(phones, ahead=-2.4)
    ciscora, start = ces_starts(at("12:31:21"))
    early = held("capf00000009.txt", capf_starts(at("12:31:03.354")), tries("SEPD", at("13:00:00"), NOT_ANSWERED))
    members = [
        early,
        Held("capf00000010.txt", trace.content, owners=trace.owners),
        log,
        held("error.log.1", start),
        web,
        held("nginx00000001.txt", ciscora),
    ]
    reports = []
    for seed in range(4):
        random.Random(seed).shuffle(members)
        reports.append(analyzed(*members).report)
    assert all(report == reports[0] for report in reports)
    assert [e.started for e in reports[0].enrollments] == [
        utc(at("13:00:00")),
        *(utc(when) for when in phones.values()),
    ]


def test_lines_without_a_stamp_lie_between_their_neighbours() -> None:
    _, log, _ = bundle({"SEPA": at("14:05:04.628"), "SEPB": at("14:13:29.871")})
    analysis = analyzed(log)
    for e, clock in zip(analysis.report.enrollments, ("14:05:04", "14:13:29"), strict=True):
        for record in e.records:
            if record.text.startswith("***EST"):
                assert record.earliest is not None
                assert utc(at(clock)) <= record.earliest <= utc(at(clock)) + seconds(2)


def test_stamps_as_logged_are_not_changed() -> None:
    trace, log, web = bundle({"SEPA": at("14:05:04.628")}, ahead=-7200)
    table = analyzed(trace, log, web).table
    day = 17_912 * 86_400_000  # 2019-01-16 since 1970
    clock = ((14 * 60 + 5) * 60 + 4) * 1000
    assert table.loc[table["source"] == "capf", "stamp"].iloc[0] == clock + 628
    assert table.loc[(table["source"] == "nginx") & table["stamp"].notna(), "stamp"].iloc[0] == day + clock
    assert table.loc[table["source"] == "iis", "stamp"].iloc[0] == day + clock + (5 - 2) * 3_600_000


def test_of_two_zones_the_more_frequent_one_is_taken() -> None:
    """Summer time begins between the phones."""
    summer = timedelta(hours=-4)
    scenes = [whole(f"SEP{n}", at(f"0{n}:30:00"), zone=EASTERN if n < 3 else summer) for n in range(1, 8)]
    log = held("error.log", *(scene[1] for scene in scenes))
    assert clock_of(analyzed(log), "nginx").utc_offset_seconds == -14_400


def test_a_record_of_no_known_date_keeps_the_order_of_its_log() -> None:
    """A trace of years ago, of which nothing tells the year, is still a report."""
    (found,) = enrollments(held("capf1.txt", tries("SEPA", at("14:05:04.628"), ISSUED)))
    assert found.started is not None
    assert [record.line for record in found.records] == list(range(1, len(found.records) + 1))


@pytest.mark.parametrize(
    ("year", "month", "day", "clock", "zone"),
    [("0001", "01", "Jan", "00:05:04.628", timedelta(hours=14)), ("9999", "12", "Dec", "23:05:04.628", EASTERN)],
)
def test_the_ends_of_the_calendar_are_no_end(year: str, month: str, day: str, clock: str, zone: timedelta) -> None:
    """A clock that was never set, or a joke: beyond the years that there are a time is not known."""
    last = "31" if month == "12" else "01"
    members = []
    for member in bundle({"SEPA": at(clock)}, zone):
        text = re.sub(r"2019([/-])01[/-]1[567]", rf"{year}\g<1>{month}\g<1>{last}", member.content.decode())
        text = text.replace("16/Jan/2019", f"{last}/{day}/{year}")
        assert "2019" not in text
        members.append(raw(member.name, text))
    trace, log, web = members
    assert [e.outcome for e in enrollments(*members)][:1] == ["issued"]
    assert analyzed(log).report.unattributed > 0
    assert analyzed(web).report.unattributed == 7
    far = f"pub/{year}-{month}-{last}_00-00-00/capf1.txt"
    assert [e.outcome for e in enrollments(Held(far, trace.content))] == ["issued"]


# ---- the offset of many lines ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("matching", [1.0, 0.95, 0.6])
def test_no_offset_is_held_by_more_lines_than_the_one_found(
    seed: int, matching: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few lines are asked first where the offset can be, all of them say where it is."""
    monkeypatch.setattr(intervals, "_AT_ONCE", 300)
    chance = np.random.default_rng(seed)
    here = np.sort(chance.integers(0, 3_600_000, 150))
    there = np.unique((here[chance.random(150) < matching] + 7_300) // 1000 * 1000)
    begin, end = here - chance.integers(0, 800, 150), here + chance.integers(0, 800, 150)
    limits = (-900_000, 900_000)
    lows, highs = intervals.most_agreed([intervals.Claims(there, begin, end)], limits)

    def holding(offset: float) -> int:
        return int((((there[:, None] - end) < offset) & (offset < there[:, None] + 1000 - begin)).any(axis=0).sum())

    every = np.unique([there[:, None] - end, there[:, None] + 1000 - begin])
    every = every[(every > limits[0]) & (every < limits[1])]
    most = max(holding((low + high) / 2) for low, high in pairwise(every.tolist()))
    assert {holding((low + high) / 2) for low, high in zip(lows.tolist(), highs.tolist(), strict=True)} == {most}
    assert all(abs((low + high) / 2 - 7_300) < 1_500 for low, high in zip(lows.tolist(), highs.tolist(), strict=True))
