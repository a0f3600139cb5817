"""When CES started, by its log that bears no time: twins, neighbours, processes, and CAPF's account."""

from __future__ import annotations

from datetime import timedelta

from tests.scenes import (
    EASTERN,
    RESOLVE,
    Held,
    Line,
    Lines,
    analyzed,
    at,
    capf_starts,
    ces_starts,
    exchange,
    held,
    noted,
    raw,
    seconds,
    tries,
    utc,
)

PHONE = tries("SEP74A02FC0A675", at("19:00:00"))
NONE = timedelta(0)


def text(*scenes: Lines) -> str:
    """Write lines one after the other, whenever they were written."""
    return "".join(f"{line.text}\n" for scene in scenes for line in scene)


def ciscora(*scenes: Lines) -> Held:
    return raw("nginx1.txt", text(*scenes))


def slow_start(pid: int = 31067) -> tuple[Lines, Lines]:
    """A start that waits ten seconds for the CA in its midst."""
    early, late = at("12:31:21"), at("12:31:31")
    head = ["nginx: [warn] CA Chain requested but this value has not yet been set"]
    between = ["***EST [INFO][est_log_version:216]--> libest 2.2.0 (API level 4)"]
    tail = ["nginx: [warn] pop_enabled off in nginx.conf. Disabling EST Proof of Possession"]
    log = [
        noted(when, f"[warn] {pid}#0: {line.removeprefix('nginx: [warn] ')}")
        for when, lines in ((early, head), (late, tail))
        for line in lines
    ]
    return [Line(early, line) for line in head + between + tail], log


def test_a_line_without_a_twin_lies_between_its_neighbours() -> None:
    """It was written before the start was over, and after what stands before it."""
    own, log = slow_start()
    later = ["EnrollmentService.sh : nginx server PID value = 31070"]
    analysis = analyzed(
        ciscora(own, [Line(at("12:31:31"), line) for line in later]),
        held("error.log", log, exchange(at("14:00:00"), "SEPA")),
    )
    (start,) = analysis.report.starts
    placed = {r.text: (r.time, r.earliest, r.latest) for r in start.records if r.source == "ciscora"}
    early, late = utc(at("12:31:21")), utc(at("12:31:31"))
    second = timedelta(milliseconds=999)
    assert placed[own[0].text] == (early, early, early + second)
    assert placed[own[1].text] == (None, early, late + second)
    assert placed[own[2].text] == (late, late, late + second)
    assert placed[later[0]] == (late, late, late + second)


def test_starts_alike_are_told_apart_by_their_processes() -> None:
    """Of two good starts error.log lacks the last one: its process is not that of the first."""
    first, last = ces_starts(at("10:00:20"), pid=5000), ces_starts(at("12:31:21"), pid=9000)
    found = analyzed(
        ciscora(first[0], last[0]), held("error.log", first[1], exchange(at("10:30:00"), "SEPA"))
    ).report.starts
    assert [(start.pid, start.started) for start in found] == [(5003, utc(at("10:00:20"))), (9003, None)]
    assert found[1].earliest is not None
    assert found[1].earliest > utc(at("10:00:20"))


def test_a_start_was_before_its_processes_lines() -> None:
    """error.log has no start-up records (its level is error), but a worker's complaint."""
    own = ces_starts(at("12:31:21"), pid=31067)[0]
    worker = [noted(at("12:40:00"), "[error] 31071#0: *1 open() failed (2: No such file or directory)")]
    other = [noted(at("11:00:00"), "[error] 4000#0: *7 open() failed (2: No such file or directory)")]
    log = held("error.log", other, worker, exchange(at("14:00:00"), "SEPA", worker=31071))
    (start,) = analyzed(ciscora(own), log).report.starts
    assert (start.started, start.earliest) == (None, None)
    assert start.latest == utc(at("12:40:00")) + timedelta(milliseconds=999)


def test_capfs_account_goes_to_the_start_that_its_place_is() -> None:
    """Of three starts error.log shows the second; CAPF tells of the first and the last."""
    one, two, three = (
        ces_starts(at(clock), pid=pid, fails=fails, error=RESOLVE)
        for clock, pid, fails in (("10:00:20", 1000, True), ("11:00:20", 2000, False), ("12:31:21", 3000, True))
    )
    begun = at("10:00:02"), at("12:31:03")
    trace = held("capf1.txt", *(capf_starts(when) for when in begun), PHONE)
    log = held("error.log", two[1], exchange(at("11:30:00"), "SEPB"), exchange(at("19:00:00"), "SEP74A02FC0A675"))
    found = analyzed(ciscora(one[0], two[0], three[0]), log, trace).report.starts
    assert [start.started for start in found] == [None, utc(at("11:00:20")), None]
    for start, when in zip((found[0], found[2]), begun, strict=True):
        assert (start.earliest, start.latest) == (utc(when), utc(when + seconds(65.8 + 60)))


def test_a_process_number_that_began_anew_is_one_more() -> None:
    """Linux counts processes to 32768 and begins again."""
    odd = ces_starts(at("12:31:21"), pid=32760)
    near = raw("nginx1.txt", text(odd[0]).replace("PID value = 32763", "PID value = 5"))
    log = held("error.log", [line for line in odd[1] if "start worker" not in line.text], exchange(at("14:00:00"), "A"))
    assert [start.started for start in analyzed(near, log).report.starts] == [utc(at("12:31:21"))]


def test_times_are_the_nodes_whatever_its_zone() -> None:
    own, log = ces_starts(at("12:31:21"))
    for zone in (NONE, EASTERN):
        found = analyzed(
            ciscora(own), held("error.log", log, exchange(at("14:00:00"), "SEPA", zone=zone))
        ).report.starts
        assert [start.started for start in found] == [utc(at("12:31:21"), zone)]
