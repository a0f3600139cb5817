"""Clocks that were set, that drift, that several machines have: each line where it was, and what is said of it."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from capflog.analysis import Analysis, analyze_members
from capflog.told import Told
from tests.scenes import (
    CES_AGENT,
    EASTERN,
    FIELDS,
    NODE,
    Held,
    Line,
    Lines,
    analyzed,
    at,
    ca_answers,
    clock_of,
    exchange,
    held,
    raw,
    seconds,
    serves,
    tags,
    tries,
    utc,
)
from tests.simulator import Site, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from capflog.model import Clock

AHEAD = -2.4
HOUR, DAY = 3_600.0, 86_400.0
CENTRAL = timedelta(hours=-6)
PUBLISHER, SUBSCRIBER = (f"{name}/2019-01-16_22-30-00/cm/trace/capf/sdi/" for name in ("cucm-pub", "cucm-sub"))
NODE_2 = "14.48.31.126"

Truth = dict[tuple[str, int], "datetime"]
"""When each line of a log was written, in UTC by the reference clock: by its member and its number."""


def web(lines: Iterable[Line], name: str = "u_ex190116.log") -> tuple[Held, Truth]:
    """Write a log of IIS's in the order of time (``at``: UTC), and the truth of it."""
    ordered = sorted(lines, key=lambda line: line.at)
    log = held(name, [Line(ordered[0].at, FIELDS)], ordered)
    return log, {(name, number): utc(line.at, timedelta(0)) for number, line in enumerate(ordered, start=2)}


def asks(
    device: str | None, when: datetime, ahead: float = AHEAD, *, zone: timedelta = EASTERN, client: str = NODE
) -> Lines:
    """IIS's lines of a call, at their times in UTC by the node's clock, which is that of the reference."""
    lines = ca_answers(when + seconds(0.07), device, zone=zone, ahead=ahead, client=client)
    return [Line(line.at - zone, line.text, line.of) for line in lines]


def phones(count: int, seed: int = 1, every: float = 420.0, begin: str = "09:00:00") -> dict[str, datetime]:
    """Phones that come one after another, at their own times."""
    chance = random.Random(seed)
    return {
        f"SEP{seed:02d}{n:010d}": at(begin) + seconds(round((n + chance.random() / 2) * every, 3)) for n in range(count)
    }


def node_logs(
    those: dict[str, datetime],
    folder: str = "",
    zone: timedelta = EASTERN,
    client: str = NODE,
    *,
    access: bool = True,
) -> list[Held]:
    """CAPF's trace and error.log of phones; ``access``: error.log holds libEST's records, which tell the zone."""
    logs: Lines = []
    for n, (device, when) in enumerate(those.items(), start=1):
        logs += exchange(when, device, zone=zone, client=client, connection=2 * n)
    if not access:
        logs = [line for line in logs if "[log_" not in line.text]
    trace = held(f"{folder}capf00000001.txt", *(tries(device, when) for device, when in those.items()))
    return [trace, held(f"{folder}error.log", logs)]


def misplaced(analysis: Analysis, truth: Truth) -> list[tuple[str, int]]:
    """List the lines whose interval does not hold the truth."""
    frame = analysis.table
    own = frame[frame["source"] == "iis"]
    places = zip(own["member"].astype(str), own["line"].tolist(), strict=True)
    slack = timedelta(milliseconds=2)
    return [
        place
        for place, earliest, latest in zip(places, own["earliest"], own["latest"], strict=True)
        if not earliest - slack <= truth[place] <= latest + slack
    ]


def known(clock: Clock) -> tuple[float, float]:
    assert clock.offset_seconds is not None
    assert clock.uncertainty_seconds is not None
    return clock.offset_seconds, clock.uncertainty_seconds


def is_about(clock: Clock, offset: float) -> bool:
    found, bound = known(clock)
    return abs(found - offset) <= bound + 0.001


def servers(analysis: Analysis) -> dict[str, Clock]:
    return {clock.whose: clock for clock in analysis.report.clocks if clock.source == "iis"}


# ---- a clock that was set ------------------------------------------------------------------------------------------

SET = [5.0, -5.0, 90.0, -90.0, HOUR, -HOUR, 3 * DAY, -3 * DAY]


def stamped_day(line: Line) -> str:
    return f"u_ex{line.text[2:10].replace('-', '')}.log"


def was_set(
    before: int, after: int, by: float, *, by_day: bool = False, with_log: bool = True
) -> tuple[list[Held], Truth, list[datetime]]:
    """IIS's clock is set between two phones; ``by_day``: each day of IIS's clock has a file of its own."""
    those = phones(before + after)
    lines: Lines = []
    for n, (device, when) in enumerate(those.items()):
        lines += asks(device, when, AHEAD + (by if n >= before else 0))
    members, truth = node_logs(those)[: 2 if with_log else 1], Truth()
    for name in dict.fromkeys(stamped_day(line) if by_day else "u_ex190116.log" for line in lines):
        log, own = web([line for line in lines if not by_day or stamped_day(line) == name], name)
        members.append(log)
        truth |= own
    return members, truth, [*those.values()]


@pytest.mark.parametrize(("before", "after"), [(3, 3), (6, 6), (20, 20), (3, 20), (20, 3), (6, 20)])
@pytest.mark.parametrize("by", SET)
def test_a_clock_that_was_set_is_measured_before_and_after(by: float, before: int, after: int) -> None:
    members, truth, whens = was_set(before, after, by)
    analysis = analyzed(*members)
    clock = clock_of(analysis, "iis")
    assert is_about(clock, AHEAD + by)
    assert known(clock)[1] < 1
    assert clock.quality == "good"
    (step,) = clock.steps
    assert abs(step.before - AHEAD) < 1
    assert abs(step.after - AHEAD - by) < 1
    assert utc(whens[before - 1]) < step.time <= utc(whens[before] + seconds(2))
    assert misplaced(analysis, truth) == []
    assert tags(analysis, *members) == [{device} for device in phones(before + after)]


@pytest.mark.parametrize("by", [5.0, -5.0, 90.0, -90.0, HOUR, -HOUR])
def test_a_clock_that_was_set_is_measured_by_capf_and_iis_alone(by: float) -> None:
    """Then IIS tells the node's zone, too."""
    for before, after in ((3, 3), (6, 6), (20, 20), (20, 3)):
        members, truth, _ = was_set(before, after, by, with_log=False)
        analysis = analyzed(*members)
        (step,) = clock_of(analysis, "iis").steps
        assert abs(step.after - step.before - by) < 1
        if abs(by) < HOUR:
            assert is_about(clock_of(analysis, "iis"), AHEAD + by)
            assert misplaced(analysis, truth) == []


@pytest.mark.parametrize("by", [3 * DAY, -3 * DAY])
@pytest.mark.parametrize(("before", "after"), [(3, 3), (20, 6), (6, 20)])
def test_a_clock_that_was_set_by_days_goes_on_in_another_file(by: float, before: int, after: int) -> None:
    """The file of a clock that was set back has the lower number."""
    members, truth, _ = was_set(before, after, by, by_day=True)
    assert len(members) == 4
    analysis = analyzed(*members)
    clock = clock_of(analysis, "iis")
    assert is_about(clock, AHEAD + by)
    assert known(clock)[1] < 1
    assert [(round(step.before - AHEAD), round(step.after - AHEAD)) for step in clock.steps] == [(0, round(by))]
    assert misplaced(analysis, truth) == []


def test_the_rows_of_a_clock_that_was_set_keep_their_stamps_and_their_places() -> None:
    members, _, _ = was_set(6, 6, -HOUR)
    table = analyzed(*members).table
    own = table[table["source"] == "iis"]
    assert own["line"].tolist() == list(range(2, 2 + len(own)))
    log = members[-1].content.decode().splitlines()[1:]
    shown = np.array([np.datetime64(line[:19].replace(" ", "T"), "ms") for line in log]).astype("int64")
    assert own["stamp"].tolist() == shown.tolist()
    assert (np.diff(own["stamp"]) < 0).any()
    assert own["time"].is_monotonic_increasing


@pytest.mark.parametrize("by", [5.0, -90.0, HOUR])
def test_a_clock_that_was_set_and_put_right_again(by: float) -> None:
    those = phones(30)
    lines = [line for n, (d, w) in enumerate(those.items()) for line in asks(d, w, AHEAD + (by if 10 <= n < 20 else 0))]
    log, truth = web(lines)
    analysis = analyzed(*node_logs(those), log)
    clock = clock_of(analysis, "iis")
    assert is_about(clock, AHEAD)
    first, second = clock.steps
    assert abs(first.after - AHEAD - by) < 1
    assert abs(second.before - AHEAD - by) < 1
    assert abs(second.after - AHEAD) < 1
    assert first.time < second.time
    assert misplaced(analysis, truth) == []


def test_a_clock_that_was_not_set_has_no_steps() -> None:
    those = phones(40)
    log, truth = web(line for device, when in those.items() for line in asks(device, when))
    analysis = analyzed(*node_logs(those), log)
    assert clock_of(analysis, "iis").steps == []
    assert misplaced(analysis, truth) == []
    assert "clock-step" not in {finding.rule for finding in analysis.report.findings}


def test_a_step_is_a_finding() -> None:
    members, _, _ = was_set(6, 6, 90.0)
    (finding,) = (finding for finding in analyzed(*members).report.findings if finding.rule == "clock-step")
    shown = [line.member for line in finding.evidence]
    assert "u_ex190116.log" in shown
    # Beside IIS's line stands the node's, which shows how far apart they are.
    assert len({*shown}) > 1


# ---- a clock that drifts -------------------------------------------------------------------------------------------


def errors(site: Site, analysis: Analysis) -> np.ndarray:
    """Say how far what was taken off each stamp of its enrollments is from the truth, in s."""
    frame, truth = analysis.table, site.truth
    members, lines = frame["member"].astype(str).tolist(), frame["line"].tolist()
    places = {place for enrolled in truth.enrollments for place in enrolled.asked}
    return np.array(
        [
            taken / 1000 - truth.offset_at(truth.answers[place])
            for rows, offsets in analysis.alignment.moved
            for row, taken in zip(rows.tolist(), offsets.tolist(), strict=True)
            if (place := (members[row], lines[row])) in places
        ]
    )


@pytest.mark.parametrize("drift", [50.0, -50.0, 300.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_clock_that_drifts_is_followed(seed: int, drift: float) -> None:
    """Over eight hours 50 ppm are 1.44 s."""
    site = simulate(
        seed,
        drift=drift,
        hours=8.0,
        enrollments=60,
        offset=AHEAD,
        step=0.0,
        change=None,
        wrong=0.0,
        dead=0.0,
        late=0.0,
        access=True,
        level="info",
        pace=1.0,
        slow=0.0,
        logs=("capf", "nginx", "iis"),
    )
    analysis = analyzed(*site.members)
    assert np.abs(errors(site, analysis)).max() < 0.3
    clock = clock_of(analysis, "iis")
    assert clock.drift_ppm == pytest.approx(drift, abs=12)
    assert clock.steps == []


# ---- several servers -----------------------------------------------------------------------------------------------


def on_server(lines: Lines, address: str, computer: str | None = None) -> Lines:
    """Have another server log lines: its address, and its name after it."""
    named = f"{address} {computer}" if computer else address
    return [Line(line.at, line.text.replace(" 14.48.31.152 ", f" {named} ", 1), line.of) for line in lines]


def test_two_servers_have_a_clock_each() -> None:
    """By their addresses, each in its own file."""
    those = phones(24)
    one: dict[str, datetime] = {}
    other: dict[str, datetime] = {}
    for n, (device, when) in enumerate(those.items()):
        (other if n % 2 else one)[device] = when
    first, truth = web((line for device, when in one.items() for line in asks(device, when)), "W3SVC1/u_ex190116.log")
    second, more = web(
        (line for device, when in other.items() for line in on_server(asks(device, when, 61.3), "14.48.31.153")),
        "other/u_ex190116.log",
    )
    analysis = analyzed(*node_logs(those), first, second)
    clocks = servers(analysis)
    assert clocks.keys() == {"14.48.31.152", "14.48.31.153"}
    assert clocks["14.48.31.152"].members == ["W3SVC1/u_ex190116.log"]
    assert is_about(clocks["14.48.31.152"], AHEAD)
    assert is_about(clocks["14.48.31.153"], 61.3)
    assert all(clock.quality == "good" and not clock.steps for clock in clocks.values())
    assert misplaced(analysis, truth | more) == []
    assert tags(analysis, first, second) == [{device} for device in those]
    findings = [finding for finding in analysis.report.findings if finding.rule == "clock-offset"]
    assert any("14.48.31.153" in finding.explanation for finding in findings)


def test_two_servers_in_one_merged_log_have_a_clock_each() -> None:
    """By their names, whatever their addresses are; their lines stand among each other."""
    those = phones(24)
    lines: Lines = []
    for n, (device, when) in enumerate(those.items()):
        ahead, name = (61.3, "CA2") if n % 2 else (AHEAD, "CA1")
        lines += on_server(asks(device, when, ahead), "10.0.0.1", name)
    merged, truth = web(lines)
    merged = raw(merged.name, merged.content.decode().replace("s-ip cs-method", "s-ip s-computername cs-method"))
    analysis = analyzed(*node_logs(those), merged)
    clocks = servers(analysis)
    assert clocks.keys() == {"CA1", "CA2"}
    assert is_about(clocks["CA1"], AHEAD)
    assert is_about(clocks["CA2"], 61.3)
    assert misplaced(analysis, truth) == []


# ---- several nodes -------------------------------------------------------------------------------------------------


def two_nodes(
    ahead: float, there: Callable[[datetime], float] = lambda _: AHEAD, begin: str = "09:02:00"
) -> tuple[list[Held], Truth, dict[str, datetime], dict[str, datetime]]:
    """Two nodes ask one CA: the second's clock is ahead of the first's, its zone is another.

    Phones of the second are given with their times by the first one's clock.
    """
    ours, theirs = phones(24), phones(12, seed=2, begin=begin)
    own = {device: when - EASTERN + CENTRAL + seconds(ahead) for device, when in theirs.items()}
    lines = [line for device, when in ours.items() for line in asks(device, when, there(when))]
    for device, when in theirs.items():
        lines += asks(device, when, there(when), client=NODE_2)
    log, truth = web(lines)
    members = [*node_logs(ours, PUBLISHER), *node_logs(own, SUBSCRIBER, CENTRAL, NODE_2), log]
    return members, truth, ours, theirs


@pytest.mark.parametrize("ahead", [0.0, 3.7, -41.0, 600.0, HOUR])
def test_a_second_node_is_measured_by_the_ca_that_both_ask(ahead: float) -> None:
    members, truth, ours, theirs = two_nodes(ahead)
    analysis = analyzed(*members)
    first, second = (clock for clock in analysis.report.clocks if clock.source == "capf")
    assert (first.whose, first.quality, first.utc_offset_seconds) == ("cucm-pub", "reference", -18_000)
    assert (second.whose, second.utc_offset_seconds) == ("cucm-sub", -21_600)
    assert is_about(second, ahead)
    assert known(second)[1] < 1
    assert second.quality == "good"
    assert is_about(clock_of(analysis, "iis"), AHEAD)
    assert misplaced(analysis, truth) == []
    bound = seconds(known(second)[1] + 0.002)
    found = {e.device: e.started for e in analysis.report.enrollments}
    assert {device: found[device] for device in ours} == {device: utc(when) for device, when in ours.items()}
    for device, when in theirs.items():
        started = found[device]
        assert started is not None
        assert abs(started - utc(when)) <= bound


def test_a_second_node_is_measured_where_the_ca_s_clock_was_set() -> None:
    """It asked only after that."""
    members, truth, _, _ = two_nodes(3.7, lambda when: AHEAD if when < at("10:24:00") else 90.0, begin="10:26:00")
    analysis = analyzed(*members)
    first, second = (clock for clock in analysis.report.clocks if clock.source == "capf")
    assert (first.whose, second.whose) == ("cucm-pub", "cucm-sub")
    assert is_about(second, 3.7)
    assert is_about(clock_of(analysis, "iis"), 90.0)
    assert misplaced(analysis, truth) == []


def test_of_a_node_that_asked_another_ca_nothing_is_known() -> None:
    ours, theirs = phones(12), phones(12, seed=2, begin="09:02:00")
    log, truth = web(line for device, when in ours.items() for line in asks(device, when))
    own = {device: when - EASTERN + CENTRAL + seconds(30) for device, when in theirs.items()}
    analysis = analyzed(*node_logs(ours, PUBLISHER), *node_logs(own, SUBSCRIBER, CENTRAL, NODE_2), log)
    second = next(clock for clock in analysis.report.clocks if clock.whose == "cucm-sub")
    assert (second.offset_seconds, second.uncertainty_seconds, second.quality) == (None, None, "none")
    assert "no server of IIS shows both" in second.basis
    assert is_about(clock_of(analysis, "iis"), AHEAD)
    assert misplaced(analysis, truth) == []


@pytest.mark.parametrize("theirs", [6, 24, 80])
def test_another_cluster_s_requests_do_not_matter(theirs: int) -> None:
    """Its CES is of the same kind, and asks more often; its logs are not in the bundle."""
    ours = phones(24)
    others = phones(theirs, seed=3, every=10_000 / theirs)
    lines = [line for device, when in ours.items() for line in asks(device, when)]
    lines += [line for _, when in others.items() for line in asks(None, when, client="14.49.31.125")]
    log, truth = web(lines)
    analysis = analyzed(*node_logs(ours), log)
    clock = clock_of(analysis, "iis")
    assert is_about(clock, AHEAD)
    assert clock.quality == "good"
    assert [place for place in misplaced(analysis, truth) if log.owners[place[1] - 1] is not None] == []
    # Whose CES it is the clocks tell: the other's requests are no phone's here.
    assert None not in set().union(*tags(analysis, log))


# ---- what is told of it --------------------------------------------------------------------------------------------


def test_times_may_be_left_as_iis_has_them() -> None:
    """Its offset is told all the same, and evidence bears the times of IIS's clock, too."""
    those = phones(12)
    log, _ = web(line for device, when in those.items() for line in asks(device, when, 90.0))
    members = [*node_logs(those), log]
    aligned, own = analyzed(*members), analyze_members("bundle", members, told=Told(align=False))
    assert (aligned.report.aligned, own.report.aligned) == (True, False)
    assert own.report.clocks == aligned.report.clocks
    assert is_about(clock_of(own, "iis"), 90.0)
    frame = own.table[own.table["source"] == "iis"]
    # A line keeps its place among the others within its second.
    time = frame["time"].astype("datetime64[ms, UTC]").astype("int64")
    assert (time - frame["stamp"]).abs().max() < 1_000
    others = [analysis.table[analysis.table["source"] != "iis"] for analysis in (aligned, own)]
    assert others[0]["time"].tolist() == others[1]["time"].tolist()
    assert tags(own, *members) == tags(aligned, *members) == [{device} for device in those]
    stamps = dict(zip(frame["line"], frame["time"], strict=True))
    shown = [line for finding in own.report.findings for line in finding.evidence if line.source == "iis" and line.time]
    assert shown
    assert [line.time for line in shown] == [stamps[line.line] for line in shown]
    before = [line for finding in aligned.report.findings for line in finding.evidence if line.source == "iis"]
    for one, other in zip(before, shown, strict=True):
        assert one.time is not None
        assert other.time is not None
        assert abs(other.time - one.time - seconds(90)) < seconds(1)


@pytest.mark.parametrize(
    ("ahead", "words"), [(AHEAD, "behind the CUCM node by at least"), (40.0, "ahead of the CUCM node by at most")]
)
def test_requests_to_ces_alone_bound_the_offset_on_one_side(ahead: float, words: str) -> None:
    """CES tells of no page (its log is of warnings alone), and CAPF's trace is not there."""
    those = phones(20)
    logs = [line for when in those.values() for line in serves(when, None, curls=0)]
    log, _ = web(line for when in those.values() for line in asks(None, when, ahead))
    analysis = analyzed(held("error.log", logs), log)
    clock = clock_of(analysis, "iis")
    assert (clock.quality, clock.offset_seconds, clock.uncertainty_seconds) == ("one-sided", None, None)
    assert words in clock.basis
    assert "on this side alone" in clock.basis
    told = float(clock.basis.split(words)[1].split(" s")[0])
    assert ahead <= (-told if ahead < 0 else told) <= ahead + 1.5
    # No time is shifted by it.
    frame = analysis.table[analysis.table["source"] == "iis"]
    time = frame["time"].astype("datetime64[ms, UTC]").astype("int64")
    assert (time - frame["stamp"]).abs().max() < 1_000
    assert not {finding.rule for finding in analysis.report.findings} & {"clock-offset", "clock-zone-mismatch"}


def test_logs_that_contradict_each_other_tell_no_offset() -> None:
    """Of every two phones one is shown late: as many lines tell one offset as tell another."""
    those = phones(12)
    lines = [line for n, (device, when) in enumerate(those.items()) for line in asks(device, when, (6.0, -6.1)[n % 2])]
    log, _ = web(lines)
    clock = clock_of(analyzed(*node_logs(those), log), "iis")
    assert (clock.quality, clock.offset_seconds, clock.uncertainty_seconds) == ("conflict", None, None)
    assert "contradict each other" in clock.basis


def test_logs_of_other_phones_tell_no_offset() -> None:
    log, _ = web(line for device, when in phones(20, seed=9, every=401).items() for line in asks(device, when))
    clock = clock_of(analyzed(*node_logs(phones(20)), log), "iis")
    assert (clock.quality, clock.offset_seconds, clock.uncertainty_seconds) == ("none", None, None)
    assert clock.steps == []
    assert clock.drift_ppm is None


@pytest.mark.parametrize(
    "seeds", [range(begin, begin + 3) for begin in range(0, 30, 3)], ids=lambda s: f"from-{s.start}"
)
def test_ten_enrollments_that_both_show_always_tell_the_offset(seeds: range) -> None:
    sites = [
        simulate(seed, enrollments=30, hours=2.0, step=0.0, wrong=0.0, dead=0.0, logs=("capf", "nginx", "iis"))
        for seed in seeds
    ]
    enough = [site for site in sites if site.truth.bracketed >= 10]
    assert len(enough) >= 2
    for site in enough:
        clock = clock_of(analyzed(*site.members), "iis")
        assert clock.quality == "good", site.seed
        assert known(clock)[1] < 1, site.seed


# ---- a zone that is set wrong --------------------------------------------------------------------------------------


def zoned(ahead: float, *, access: bool = True) -> Analysis:
    those = phones(12)
    log, _ = web(line for device, when in those.items() for line in asks(device, when, ahead))
    return analyzed(*node_logs(those, access=access), log)


def rules(analysis: Analysis) -> set[str]:
    return {finding.rule for finding in analysis.report.findings if finding.rule.startswith("clock-")}


@pytest.mark.parametrize(
    ("ahead", "zone_error"),
    [
        (3_601.3, 3_600),
        (-3_598.2, -3_600),
        (920.0, 900),
        (-19_800.4, -19_800),
        (7_140.5, 7_200),
        (50_400.0, 50_400),
        (420.0, 0),
        (2.4, 0),
        (1_000.0, 0),
        (108_000.0, 0),
        (-86_400.5, 0),
    ],
)
def test_whole_quarters_of_an_hour_are_a_zone_that_is_set_wrong(ahead: float, zone_error: int) -> None:
    """Zones are at most 26 hours apart; what is near no quarter of an hour is a clock that is wrong, a day a date."""
    analysis = zoned(ahead)
    clock = clock_of(analysis, "iis")
    assert is_about(clock, ahead)
    assert clock.zone_error_seconds == zone_error
    assert "clock-zone-mismatch" in rules(analysis) or not zone_error
    assert "clock-zone-mismatch" not in rules(analysis) or zone_error
    rest = abs(ahead - zone_error)
    if not 1.5 < rest < 2.5:
        assert ("clock-offset" in rules(analysis)) == (rest > 2 and not zone_error)
    assert clock_of(analysis, "capf").utc_offset_seconds == -18_000


@pytest.mark.parametrize("ahead", [3_601.3, -7_200.4, 17_999.0])
def test_where_nothing_tells_the_zone_a_quarter_is_taken_for_it(ahead: float) -> None:
    """Then no zone is said to be wrong: which of the two it is nothing tells."""
    analysis = zoned(ahead, access=False)
    quarters = round(ahead / 900) * 900
    capf, iis = clock_of(analysis, "capf"), clock_of(analysis, "iis")
    assert capf.utc_offset_seconds == -18_000 - quarters
    assert "taken from the match with IIS" in capf.basis
    assert is_about(iis, ahead - quarters)
    assert iis.zone_error_seconds == 0
    assert "clock-zone-mismatch" not in rules(analysis)


def test_a_quarter_that_no_zone_has_is_not_taken_for_one() -> None:
    """In January 2019 no zone was at -5:15."""
    analysis = zoned(920.0, access=False)
    assert clock_of(analysis, "capf").utc_offset_seconds == -18_000
    assert is_about(clock_of(analysis, "iis"), 920.0)


def test_whose_agent_it_is_matters() -> None:
    """The same requests by something else than CES tell nothing."""
    those = phones(12)
    lines = [line for device, when in those.items() for line in asks(device, when)]
    log, _ = web(lines)
    strange = raw(log.name, log.content.decode().replace(CES_AGENT, "curl/7.61"))
    assert clock_of(analyzed(*node_logs(those), strange), "iis").quality == "none"
