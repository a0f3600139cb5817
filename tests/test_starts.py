"""The starts of CES: which lines of the CiscoRA log and of error.log are one start, when it was and how it went."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.scenes import (
    EASTERN,
    ISSUED,
    NODE,
    NOT_ANSWERED,
    RESOLVE,
    UNTRUSTED,
    Held,
    Line,
    Lines,
    analyzed,
    at,
    capf_starts,
    ces_starts,
    challenged,
    est,
    exchange,
    held,
    noted,
    raw,
    seconds,
    serves,
    tries,
    utc,
)

if TYPE_CHECKING:
    from datetime import datetime

    from capflog.model import ServiceStart

#: A phone that is served tells the zone and the date.
SERVED = exchange(at("13:00:00"), "SEPA")
PHONE = tries("SEPA", at("13:00:00"))


def starts(*members: Held) -> list[ServiceStart]:
    return analyzed(*members).report.starts


def both(*scenes: tuple[Lines, Lines]) -> tuple[Held, Held]:
    """Give the CiscoRA log and error.log of starts, one after the other, and of the phone."""
    return held("nginx1.txt", *(scene[0] for scene in scenes)), held("error.log", *(s[1] for s in scenes), SERVED)


def lines(start: ServiceStart, source: str) -> int:
    return sum(record.source == source for record in start.records)


def test_a_start_is_told_in_both_logs_and_has_the_time_of_error_log() -> None:
    ciscora, log = ces_starts(at("12:31:21"))
    (start,) = starts(*both((ciscora, log)))
    assert (start.ok, start.causes) == (True, [])
    assert start.started == start.earliest == utc(at("12:31:21"))
    assert start.latest == utc(at("12:31:21.999"))
    assert (lines(start, "ciscora"), lines(start, "nginx")) == (len(ciscora), len(log))


def test_each_line_has_the_time_of_its_twin() -> None:
    """A start that waits ten seconds for the CA says so: its lines are not all of one moment."""
    ciscora, log = ces_starts(at("12:31:21"), fails=True)
    late = [Line(line.at + seconds(10), line.text, line.of) for line in ciscora[3:]]
    late_log = [Line(line.at + seconds(10), line.text.replace("12:31:21", "12:31:31"), line.of) for line in log[3:]]
    (start,) = starts(*both((ciscora[:3] + late, log[:3] + late_log)))
    told = {record.text: record.time for record in start.records if record.source == "ciscora"}
    assert told[ciscora[0].text] == utc(at("12:31:21"))
    assert told[ciscora[3].text] == utc(at("12:31:31"))
    assert (start.earliest, start.latest) == (utc(at("12:31:21")), utc(at("12:31:31.999")))


def test_a_line_without_a_twin_lies_within_the_start() -> None:
    """libEST's lines and the start script's stand in the CiscoRA log alone."""
    (start,) = starts(*both(ces_starts(at("12:31:21"))))
    script = next(record for record in start.records if "EnrollmentService.sh" in record.text)
    assert (script.earliest, script.latest) == (utc(at("12:31:21")), utc(at("12:31:21.999")))


def test_the_process_of_a_start_is_the_one_that_the_script_names() -> None:
    (start,) = starts(*both(ces_starts(at("12:31:21"), pid=31067)))
    assert start.pid == 31070
    (alone,) = starts(held("error.log", ces_starts(at("12:31:21"), pid=31067)[1], SERVED))
    assert alone.pid == 31070


def test_two_starts_in_one_file_are_two() -> None:
    scenes = ces_starts(at("10:00:00"), pid=100), ces_starts(at("12:31:21"), pid=31067)
    found = starts(*both(*scenes))
    assert [start.started for start in found] == [utc(at("10:00:00")), utc(at("12:31:21"))]
    assert [start.pid for start in found] == [103, 31070]
    assert [start.ok for start in found] == [True, True]
    for start, (ciscora, log) in zip(found, scenes, strict=True):
        assert (lines(start, "ciscora"), lines(start, "nginx")) == (len(ciscora), len(log))


@pytest.mark.parametrize("first", [True, False])
def test_a_failed_start_and_a_good_one(first: bool) -> None:
    """CES is started again after a change: for the better or for the worse."""
    second = not first
    scenes = (
        ces_starts(at("10:00:00"), pid=100, fails=first),
        ces_starts(at("12:31:21"), pid=31067, fails=second),
    )
    found = starts(*both(*scenes))
    assert [start.ok for start in found] == [second, first]
    assert [start.started for start in found] == [utc(at("10:00:00")), utc(at("12:31:21"))]
    assert [bool(start.causes) for start in found] == [first, second]


def test_starts_that_fail_in_their_own_ways_are_told_apart() -> None:
    """Of the first one error.log is gone: what is left there is the other's."""
    early, late = (
        ces_starts(at("10:00:00"), fails=True),
        ces_starts(at("12:31:21"), fails=True, error=RESOLVE),
    )
    found = starts(held("nginx1.txt", early[0], late[0]), held("error.log", late[1], SERVED))
    assert [start.causes for start in found] == [["ca-chain-untrusted", "ca-self-signed"], ["ca-dns-failure"]]
    assert [start.started for start in found] == [None, utc(at("12:31:21"))]
    assert [lines(start, "nginx") for start in found] == [0, len(late[1])]


def test_a_start_of_which_one_log_alone_tells_takes_no_lines_of_another() -> None:
    """The CiscoRA log of the last start was not collected."""
    early, late = ces_starts(at("10:00:00"), pid=100, fails=True), ces_starts(at("12:31:21"), pid=31067)
    found = starts(held("nginx1.txt", early[0]), held("error.log", early[1], late[1], SERVED))
    assert [(lines(start, "ciscora"), start.ok) for start in found] == [(len(early[0]), False), (0, True)]


def test_starts_of_several_files_are_in_the_order_of_the_files() -> None:
    names = "nginx00000009.txt", "nginx00000010.txt"
    scenes = ces_starts(at("10:00:00"), pid=100, fails=True), ces_starts(at("12:31:21"), pid=31067)
    logs = [held(name, scene[0]) for name, scene in zip(names, scenes, strict=True)]
    found = starts(*reversed(logs))
    assert [start.ok for start in found] == [False, True]
    assert [{record.member for record in start.records} for start in found] == [{name} for name in names]


# ---- the CiscoRA log alone -----------------------------------------------------------------------------------------


def bounds(
    *begun: datetime, log: tuple[Held, ...] = ()
) -> list[tuple[datetime | None, datetime | None, datetime | None]]:
    """Give time and bounds of two starts in the CiscoRA log, with CAPF's account of these starts."""
    ciscora = ces_starts(at("10:00:20"), fails=True)[0] + ces_starts(at("12:31:21"))[0]
    trace = held("2019-01-16_20-00-00/capf1.txt", *(capf_starts(when) for when in begun), PHONE)
    members = [raw("nginx1.txt", "".join(f"{line.text}\n" for line in ciscora)), trace, *log]
    return [(start.started, start.earliest, start.latest) for start in starts(*members)]


def within(begun: datetime, zone: timedelta) -> tuple[None, datetime, datetime]:
    """CES started after CAPF read its parameters, and not more than a minute after CAPF said that it had asked."""
    return None, utc(begun, zone), utc(begun + seconds(65.8 + 60), zone)


def test_capf_tells_when_a_start_was_that_bears_no_time() -> None:
    begun = at("10:00:02"), at("12:31:03")
    assert bounds(*begun) == [within(when, timedelta(0)) for when in begun]


def test_of_a_start_that_capf_does_not_tell_of_its_neighbours_are_the_bounds() -> None:
    told = within(at("12:31:03"), timedelta(0))
    (started, earliest, latest), second = bounds(at("12:31:03"))
    assert second == told
    assert (started, earliest) == (None, None)
    assert latest == told[1] - timedelta(milliseconds=1)
    assert bounds() == [(None, None, None)] * 2


def test_capfs_account_of_a_start_whose_time_is_known_is_not_that_of_another() -> None:
    """error.log begins after the first start: the second has its time there, the first its bounds from CAPF."""
    log = held("error.log", ces_starts(at("12:31:21"))[1], SERVED)
    begun = at("10:00:02"), at("12:31:03")
    first, second = bounds(*begun, log=(log,))
    assert first == within(begun[0], EASTERN)
    assert second[0] == utc(at("12:31:21"))


def test_the_ciscora_log_alone_has_no_time_at_all() -> None:
    (start,) = starts(held("nginx1.txt", ces_starts(at("12:31:21"), fails=True)[0]))
    assert (start.started, start.earliest, start.latest, start.ok) == (None, None, None, False)
    assert start.causes == ["ca-chain-untrusted", "ca-self-signed"]


# ---- what is a start, and what is not ------------------------------------------------------------------------------


def test_a_start_is_over_when_ces_serves() -> None:
    """What CES says of a phone afterwards is not the start's, though it is said in the same words."""
    _, log = ces_starts(at("12:31:21"))
    refused = noted(at("13:10:00"), f"[warn] 31071#0: *4 login_to_certsrv_ca: {UNTRUSTED} while SSL EST handshaking, "
                    f"client: {NODE}, server: 0.0.0.0:8084")  # fmt: skip
    report = analyzed(held("error.log", log, SERVED, challenged(at("13:10:00"), None), [refused])).report
    (start,) = report.starts
    assert start.ok is True
    assert lines(start, "nginx") == len(log)


def test_lines_of_several_processes_are_several_starts() -> None:
    """Nothing but the process tells that the one broke off and the other began."""
    _, first = ces_starts(at("12:31:21"), pid=100, fails=True)
    _, second = ces_starts(at("12:31:21"), pid=200, fails=True, error=RESOLVE)
    found = starts(held("error.log", first[:-1], second[2:], SERVED))
    assert [start.causes for start in found] == [["ca-chain-untrusted", "ca-self-signed"], ["ca-dns-failure"]]


def test_a_port_that_is_taken_is_a_failed_start() -> None:
    taken = "bind() to 0.0.0.0:8084 failed (98: Address already in use)"
    log = [
        noted(at("12:00:00"), f"[emerg] 100#0: {taken}"),
        noted(at("12:00:00"), "[emerg] 100#0: still could not bind()"),
    ]
    ciscora = [
        Line(at("12:00:00"), f"nginx: [emerg] {taken}"),
        Line(at("12:00:00"), "nginx: [emerg] still could not bind()"),
    ]
    (start,) = starts(held("nginx1.txt", ciscora), held("error.log", log, SERVED))
    assert (start.ok, start.started) == (False, utc(at("12:00:00")))


def test_a_start_that_breaks_off_says_neither() -> None:
    ciscora, _ = ces_starts(at("12:31:21"))
    (start,) = starts(held("nginx1.txt", ciscora[:4]))
    assert start.ok is None
    assert starts(held("nginx1.txt", ciscora[2:3])) == []


def test_a_failed_start_bears_on_the_phones_that_are_not_answered() -> None:
    ciscora, log = ces_starts(at("12:31:21"), fails=True)
    early, late = (
        tries("SEPA", at("12:00:00"), NOT_ANSWERED, taken=10.04),
        tries("SEPB", at("14:00:00"), NOT_ANSWERED, taken=10.04),
    )
    served = exchange(at("11:00:00"), "SEPC", connection=1)
    trace = held("capf1.txt", tries("SEPC", at("11:00:00"), ISSUED), early, capf_starts(at("12:31:03")), late)
    report = analyzed(trace, held("nginx1.txt", ciscora), held("error.log", served, log)).report
    assert {e.device: e.causes for e in report.enrollments} == {
        "SEPC": [],
        "SEPA": ["ces-no-answer"],
        "SEPB": ["ca-chain-untrusted", "ca-self-signed"],
    }


def test_other_lines_of_nginx_are_no_start() -> None:
    log = [
        noted(at("13:30:00"), "[notice] 31070#0: signal 15 (SIGTERM) received, exiting"),
        noted(at("13:30:00"), "[notice] 31071#0: exiting"),
        est(at("13:30:01"), "[WARNING][est_server_handle_request:1716]--> SSL_shutdown failed"),
    ]
    assert starts(held("error.log", SERVED, serves(at("13:20:00"), None, connection=9), log)) == []
