"""CAPF's attempts: where one begins and ends, whose each line of the trace is, and on which day it was written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from capflog import attempts, unnamed
from capflog.events import Event
from capflog.rotation import rotation_key
from capflog.table import TableBuilder
from tests.scenes import (
    DAY,
    ISSUED,
    NOT_ALLOWED,
    NOT_ANSWERED,
    Held,
    Line,
    Lines,
    analyzed,
    at,
    begins_session,
    comes_by,
    enrollments,
    held,
    lacking,
    said,
    seconds,
    tags,
    tries,
)

PHONE, OTHER = "SEP74A02FC0A675", "SEP001F6C81118B"
#: The folder says that the trace was collected in the evening of the scenes' first day.
SDI = "pub/2019-01-16_23-59-59/cm/trace/capf/sdi"


def trace(*scenes: Lines, name: str = "capf00000001.txt") -> Held:
    return held(f"{SDI}/{name}", *scenes)


def local(when: datetime) -> datetime:
    """Nothing in these traces tells the node's zone: its stamps stand as if they were UTC."""
    return when.replace(tzinfo=UTC)


def texts(lines: Lines) -> list[str]:
    return [line.text for line in lines]


# ---- an attempt ----------------------------------------------------------------------------------------------------


def test_an_attempt_begins_with_the_mode_and_ends_with_the_session() -> None:
    lines = tries(PHONE, at("14:05:04.628"))
    (found,) = enrollments(trace(lines))
    assert (found.device, found.outcome, found.est_error, found.est_value) == (PHONE, "issued", "EST_ERR_NONE", 0)
    assert (found.started, found.ended) == (local(at("14:05:04.628")), local(at("14:05:05.236")))
    assert [record.text for record in found.records] == texts(lines)
    assert {record.confidence for record in found.records} == {"certain"}


def test_without_the_mode_an_attempt_begins_with_the_call() -> None:
    call = tries(PHONE, at("14:05:04.628"), mode=False)
    (found,) = enrollments(trace(begins_session(PHONE, at("14:05:02")), call))
    assert found.started == local(at("14:05:04.628"))
    assert found.records[0].event == "est.enroll.call"


def test_what_went_before_the_mode_is_no_part_of_the_enrollment() -> None:
    (found,) = enrollments(trace(begins_session(PHONE, at("14:05:02")), tries(PHONE, at("14:05:04.628"))))
    assert [record.event for record in found.records][:2] == ["est.enroll.mode", "est.enroll.call"]


def test_a_phone_that_nothing_is_to_be_done_for_has_no_enrollment() -> None:
    analysis = analyzed(trace(comes_by(OTHER, at("14:00:00"))))
    assert analysis.report.enrollments == []
    assert analysis.report.devices == []


@pytest.mark.parametrize("session", [2, 3])
def test_retries_of_a_phone_are_attempts_of_their_own(session: int) -> None:
    """The phone comes again after thirty seconds, over the same number of a connection or another."""
    first = tries(PHONE, at("14:47:54.741"), NOT_ANSWERED, taken=10.038, of="first")
    again = begins_session(PHONE, at("14:48:32"), session)
    second = tries(PHONE, at("14:48:35"), NOT_ANSWERED, taken=10.038, session=session, of="second")
    third = tries(PHONE, at("14:49:15"), ISSUED, session=session, of="third")
    member = trace(first, again, second, begins_session(PHONE, at("14:49:12"), session), third)
    analysis = analyzed(member)
    assert [e.outcome for e in analysis.report.enrollments] == ["failed", "failed", "issued"]
    assert [e.est_value for e in analysis.report.enrollments] == [35, 35, 0]
    assert tags(analysis, member) == [{"first"}, {"second"}, {"third"}]
    assert lacking(analysis, member) == []


def test_a_new_session_ends_the_attempt_of_the_old_one() -> None:
    """The log of the old session breaks off; what the new one says of the phone is not the old attempt's."""
    broken = tries(PHONE, at("14:00:00"), of="broken")[:4]
    again = said(at("14:00:03"), f"debug 7:{PHONE}:Sending KEY_GEN_REQ msg", "debug addded 11 to readset")
    analysis = analyzed(member := trace(broken, again))
    (found,) = analysis.report.enrollments
    assert found.outcome == "incomplete"
    assert tags(analysis, member) == [{"broken"}]


def test_the_end_of_the_session_ends_the_attempt() -> None:
    """What CAPF says of the phone after it, half a minute before the phone comes again, is not the attempt's."""
    failed = tries(PHONE, at("14:47:54.741"), NOT_ANSWERED, taken=10.038)
    again = begins_session(PHONE, failed[-1].at + seconds(28))
    analysis = analyzed(member := trace(failed, again))
    assert tags(analysis, member) == [{PHONE}]
    assert lacking(analysis, member) == []


def test_without_an_end_of_the_session_a_coming_again_is_not_the_old_attempts() -> None:
    failed = tries(PHONE, at("14:47:54.741"), NOT_ANSWERED, taken=10.038, ends=False)
    again = begins_session(PHONE, failed[-1].at + seconds(28))
    assert tags(analyzed(member := trace(failed, again)), member) == [{PHONE}]


def test_the_phone_may_take_its_time_to_store_the_certificate() -> None:
    """Between CAPF's STORE_CERT_REQ and what it says after the phone's answer lie seconds."""
    lines = tries(PHONE, at("14:05:04.628"), ends=False)
    late = said(lines[-1].at + seconds(9), f"debug 2:{PHONE}:pubKey length: 270", of=PHONE)
    end = said(lines[-1].at + seconds(9.5), "debug MsgType : CAPF_MSG_END_SESSION", of=PHONE)
    analysis = analyzed(member := trace(lines, late, end))
    assert lacking(analysis, member) == []
    assert tags(analysis, member) == [{PHONE}]


def test_an_answer_may_come_after_minutes() -> None:
    """CES's read timeout can be set up to an hour: the call waits, whatever else goes on."""
    slow = tries(PHONE, at("14:00:00"), ISSUED, taken=200, of="slow")
    others = [comes_by(OTHER, at("14:01:00")), tries(OTHER, at("14:02:00"), of="other")]
    analysis = analyzed(member := trace(slow, *others))
    assert [(e.device, e.outcome) for e in analysis.report.enrollments] == [(PHONE, "issued"), (OTHER, "issued")]
    assert tags(analysis, member) == [{"slow"}, {"other"}]


def test_an_answer_after_hours_is_not_that_of_the_call() -> None:
    """libEST's client waits an hour at most: between the two the trace lost something."""
    lines = tries(PHONE, at("08:00:00"), ISSUED, taken=4 * 3600)
    found = enrollments(trace(lines))
    assert [(e.outcome, e.est_error) for e in found] == [("incomplete", None), ("incomplete", "EST_ERR_NONE")]


def test_traces_of_two_folders_share_no_attempt() -> None:
    """Each was collected at its own time, and nothing tells what lies between them."""
    lines = tries(PHONE, at("14:05:04.628"), NOT_ANSWERED, taken=10.038)
    begun, ended = (held(f"{folder}/capf1.txt", part) for folder, part in (("a", lines[:4]), ("b", lines[4:])))
    assert [(e.outcome, e.est_error) for e in enrollments(begun, ended)] == [
        ("incomplete", None),
        ("incomplete", "EST_ERR_SSL_READ"),
    ]


def test_an_answer_without_a_name_is_told_by_its_number() -> None:
    lines = tries(PHONE, at("14:47:54.741"), "35", taken=10.038)
    assert any("Enrollment rv = 35 with pkcs7 length = 0" in line.text for line in lines)
    (found,) = enrollments(trace(lines))
    assert (found.outcome, found.est_error, found.est_value) == ("failed", "EST_ERR_SSL_READ", 35)


def test_a_name_counts_more_than_its_number() -> None:
    """libEST 1.1.0 numbers EST_ERR_AUTH_FAIL 19."""
    (found,) = enrollments(trace(tries(PHONE, at("14:00:00"), "19 (EST_ERR_AUTH_FAIL)")))
    assert (found.est_error, found.est_value) == ("EST_ERR_AUTH_FAIL", 19)


def test_what_the_call_returned_stands_for_an_answer_that_is_cut() -> None:
    lines = [
        Line(line.at, line.text[:40], line.of) if "Enrollment rv" in line.text else line
        for line in tries(PHONE, at("14:00:00"), NOT_ALLOWED)
    ]
    (found,) = enrollments(trace(lines))
    assert (found.outcome, found.est_error, found.est_value) == ("failed", "EST_ERR_AUTH_FAIL", 22)


# ---- a trace that is cut -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 2, 4])
def test_a_trace_that_ends_in_the_middle_leaves_the_attempt_incomplete(kept: int) -> None:
    (found,) = enrollments(trace(tries(PHONE, at("14:05:04.628"))[:kept]))
    assert (found.outcome, found.est_error, found.ended) == ("incomplete", None, None)
    assert found.started == local(at("14:05:04.628"))
    assert found.causes == []


def test_a_trace_that_begins_in_the_middle_leaves_the_attempt_incomplete() -> None:
    """When it began nobody knows, nor how long CAPF waited; what it was told is told."""
    lines = tries(PHONE, at("14:05:04.628"), NOT_ANSWERED, taken=10.038)
    begun = next(number for number, line in enumerate(lines) if "Enrollment rv" in line.text)
    (found,) = enrollments(trace(lines[begun:]))
    assert (found.outcome, found.started) == ("incomplete", None)
    assert (found.est_error, found.ended) == ("EST_ERR_SSL_READ", local(at("14:05:14.666")))
    assert [record.text for record in found.records] == texts(lines[begun:])


def test_a_line_in_the_middle_of_nothing_is_no_attempt() -> None:
    lines = said(at("14:00:00"), f"debug 2:{PHONE}:Online Cert Signing successful", "debug addded 6 to readset")
    assert enrollments(trace(lines)) == []


# ---- phones at the same time ---------------------------------------------------------------------------------------


def test_phones_at_the_same_time_keep_their_own_lines() -> None:
    one = tries(PHONE, at("14:00:00.000"), NOT_ANSWERED, taken=10.0, ends=False)
    two = tries(OTHER, at("14:00:00.000"), ISSUED, taken=10.0, session=3, ends=False)
    interleaved = [line for both in zip(one, two, strict=False) for line in both] + two[len(one) :]
    member = trace(interleaved)
    analysis = analyzed(member)
    found = {e.device: e for e in analysis.report.enrollments}
    assert (found[PHONE].outcome, found[OTHER].outcome) == ("failed", "issued")
    assert sorted(tags(analysis, member), key=str) == sorted([{PHONE}, {OTHER}], key=str)


def in_between(*, alone: bool, waiting: bool) -> tuple[str | None, str | None]:
    """Tell how surely a line without a name was put to the phone around it, and to another one that is under way.

    ``waiting``: it stands between CAPF's call and the answer, else behind the answer.
    """
    when = at("14:00:05") if waiting else at("14:00:11")
    one = tries(PHONE, at("14:00:00"), NOT_ANSWERED, taken=10.038, ends=False)
    unnamed = said(when, "debug addded 6 to readset")
    around = [line for apart in (-0.1, 0.1) for line in said(when + seconds(apart), f"debug 2:{PHONE}:going on")]
    two = [] if alone else tries(OTHER, at("14:00:02"), NOT_ANSWERED, taken=10.038, session=3)
    sure: dict[str | None, str] = {}
    for enrollment in enrollments(trace(one, around, two, unnamed)):
        for record in enrollment.records:
            if record.text == unnamed[0].text:
                sure[enrollment.device] = record.confidence
    return sure.get(PHONE), sure.get(OTHER)


@pytest.mark.parametrize("waiting", [True, False])
def test_a_line_without_a_name_is_certain_where_one_attempt_is_under_way(waiting: bool) -> None:
    assert in_between(alone=True, waiting=waiting) == ("certain", None)


def test_a_line_without_a_name_is_likely_its_neighbours_where_two_are_under_way() -> None:
    assert in_between(alone=False, waiting=False) == ("likely", None)


def test_while_a_phone_waits_for_ces_a_line_without_a_name_is_rather_anothers() -> None:
    """CAPF does nothing in its session until CES has answered."""
    assert in_between(alone=False, waiting=True) == (None, None)


def test_a_line_without_a_name_between_two_phones_is_nobodys() -> None:
    one = tries(PHONE, at("14:00:00"), NOT_ANSWERED, taken=10.038)
    two = tries(OTHER, at("14:00:01"), NOT_ANSWERED, taken=10.038, session=3)
    between = said(at("14:00:10.5"), "debug addded 6 to readset")
    analysis = analyzed(member := trace(one, two, between))
    assert sorted(tags(analysis, member), key=str) == sorted([{PHONE}, {OTHER}], key=str)
    assert not any(r.text == between[0].text for e in analysis.report.enrollments for r in e.records)


def test_another_phone_that_comes_by_leaves_the_attempt_its_own_lines() -> None:
    one = tries(PHONE, at("14:00:00"), NOT_ANSWERED, taken=10.038)
    analysis = analyzed(member := trace(one, comes_by(OTHER, at("14:00:05"))))
    assert tags(analysis, member) == [{PHONE}]
    assert lacking(analysis, member) == []


def test_a_phone_that_comes_at_once_after_the_end_takes_nothing_and_gives_nothing() -> None:
    one = tries(PHONE, at("14:00:00"), NOT_ALLOWED)
    analysis = analyzed(member := trace(one, comes_by(OTHER, one[-1].at + seconds(0.3))))
    assert tags(analysis, member) == [{PHONE}]
    assert lacking(analysis, member) == []


def test_of_two_phones_that_end_at_once_neither_is_given_the_others_end() -> None:
    one = tries(PHONE, at("14:00:00"), NOT_ALLOWED, taken=0.3)
    two = tries(OTHER, at("14:00:00.001"), NOT_ALLOWED, taken=0.3, session=3)
    analysis = analyzed(member := trace(one, two))
    assert sorted(tags(analysis, member), key=str) == sorted([{PHONE}, {OTHER}], key=str)


# ---- midnight and rotation -----------------------------------------------------------------------------------------


def days(*members: Held) -> list[datetime]:
    """Tell when each enrollment began, by the node's clock, counted from the day of the first."""
    started = [e.started for e in enrollments(*members)]
    assert None not in started
    known = [when.replace(tzinfo=None) for when in started if when is not None]
    first = known[0].replace(hour=0, minute=0, second=0, microsecond=0)
    return [DAY + (when - first) for when in known]


def test_midnight_inside_a_file() -> None:
    before, after = at("23:58:00.100"), at("00:03:00.200", day=1)
    assert days(trace(tries(PHONE, before), tries(OTHER, after))) == [before, after]


def test_midnight_inside_an_attempt() -> None:
    lines = tries(PHONE, at("23:59:55"), NOT_ANSWERED, taken=10.038)
    (found,) = enrollments(trace(lines))
    assert found.ended is not None
    assert found.started is not None
    assert found.ended - found.started == timedelta(milliseconds=10_038)
    assert [record.text for record in found.records] == texts(lines)


def test_midnight_between_rotated_files() -> None:
    before, after = at("10:00:00"), at("09:00:00", day=1)
    files = [trace(tries(PHONE, before)), trace(tries(OTHER, after), name="capf00000002.txt")]
    assert days(*files) == [before, after]


@pytest.mark.parametrize("quiet", [("18:00:00", "08:00:00"), ("23:50:00", "13:30:00"), ("16:00:00", "12:00:00")])
def test_a_quiet_night_is_a_night(quiet: tuple[str, str]) -> None:
    """Nobody comes between the evening and the next day's work: the time of day steps back by a few hours alone."""
    evening, morning = at(quiet[0]), at(quiet[1], day=1)
    assert days(trace(tries(PHONE, evening), tries(OTHER, morning))) == [evening, morning]


def test_a_quiet_day_after_midnight_is_that_day() -> None:
    """More than half a day of silence is no reason to take a line for one of the evening before."""
    moments = [at("23:59:00"), at("00:01:00", day=1), at("13:30:00", day=1), at("14:30:00", day=1)]
    assert days(trace(*(tries(PHONE, when) for when in moments))) == moments


def test_a_line_from_before_midnight_that_was_written_after_it() -> None:
    before, after = at("23:59:59.998"), at("00:00:00.001", day=1)
    lines = tries(PHONE, before, taken=0.001, ends=False)[:2]
    late = said(before, f"debug 2:{PHONE}:Inside X509_REQ *read_csr()", of=PHONE)
    rest = said(after + seconds(1), f"debug 2:{PHONE}:Enrollment rv = {ISSUED} with pkcs7 length = 9", of=PHONE)
    other = tries(OTHER, at("08:00:00", day=1))
    text = "".join(
        f"{line.text}\n" for line in [*lines, *said(after, f"debug 2:{PHONE}:waiting"), *late, *rest, *other]
    )
    found = enrollments(Held(f"{SDI}/capf00000001.txt", text.encode()))
    assert [e.outcome for e in found] == ["issued", "issued"]
    assert found[0].started is not None
    assert found[1].started is not None
    assert found[1].started - found[0].started == at("08:00:00", day=1) - before
    assert all(e.started <= r.time for e in found for r in e.records if r.time is not None and e.started is not None)


def test_a_trace_that_begins_at_midnight_with_a_line_from_before_it() -> None:
    lines = tries(PHONE, at("00:00:00.001"), NOT_ALLOWED)
    text = "".join(
        f"{line.text}\n" for line in [lines[0], *said(at("23:59:59.999", day=-1), "debug Recd event"), *lines[1:]]
    )
    (found,) = enrollments(Held("pub/2019-01-16_12-00-00/capf1.txt", text.encode()))
    assert found.started is not None
    assert found.ended is not None
    assert found.ended - found.started == timedelta(milliseconds=608)
    assert f"{found.started:%m-%d %H:%M}" == "01-16 00:00"


def test_threads_that_write_out_of_order_make_no_midnight() -> None:
    lines = tries(PHONE, at("14:00:00"), NOT_ALLOWED)
    text = "".join(f"{line.text}\n" for line in [*lines[:4], *said(at("13:59:59.990"), "debug Recd event"), *lines[4:]])
    (found,) = enrollments(Held(f"{SDI}/capf00000001.txt", text.encode()))
    assert found.started is not None
    assert found.ended is not None
    assert found.ended - found.started == timedelta(milliseconds=608)


def test_the_end_of_summer_time_makes_no_midnight() -> None:
    """At two o'clock it is one again."""
    lines = [*tries(PHONE, at("01:59:00")), *tries(OTHER, at("01:00:30"))]
    member = Held(f"{SDI}/capf00000001.txt", "".join(f"{line.text}\n" for line in lines).encode())
    started = {e.device: e.started for e in enrollments(member)}
    assert started == {PHONE: local(at("01:59:00")), OTHER: local(at("01:00:30"))}


def test_ten_comes_after_nine() -> None:
    ninth, tenth = tries(PHONE, at("22:00:00")), tries(OTHER, at("02:00:00", day=1))
    names = ("capf9.txt", "capf10.txt")
    files = [trace(lines, name=name) for lines, name in zip((ninth, tenth), names, strict=True)]
    assert days(*files) == days(*reversed(files)) == [at("22:00:00"), at("02:00:00", day=1)]


def test_an_attempt_goes_on_in_the_next_file() -> None:
    lines = tries(PHONE, at("14:05:04.628"), NOT_ANSWERED, taken=10.038)
    files = trace(lines[:3]), trace(lines[3:], name="capf00000002.txt.gz")
    (found,) = enrollments(*reversed(files))
    assert [record.text for record in found.records] == texts(lines)
    assert found.outcome == "failed"


def test_files_are_ordered_by_their_numbers_as_numbers() -> None:
    names = ["sdi/capf00000010.txt", "sdi/capf9.txt", "sdi/capf00000009.txt.gz", "sdi/capf00000011.txt", "a/capf12.txt"]
    in_order = sorted(names, key=rotation_key)
    assert in_order[0] == "a/capf12.txt"
    assert in_order[-2:] == ["sdi/capf00000010.txt", "sdi/capf00000011.txt"]


@pytest.mark.parametrize("name", ["capf1².txt", "²", "capf" + "9" * 5000, "capf٣.txt", "", "/", "1/2/3", "capf-1.txt"])
def test_any_name_can_be_ordered(name: str) -> None:
    sorted([name, "capf1.txt", "capf00000002.txt", "9", "", "x²"], key=rotation_key)
    (found,) = enrollments(Held(name, trace(tries(PHONE, at("14:00:00"))).content))
    assert found.outcome == "issued"


@pytest.mark.parametrize("together", [1, 5, 40])
def test_however_few_lines_are_looked_at_together_the_attempts_are_the_same(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    phones = [f"SEP74A02FC0A{number:03d}" for number in range(6)]
    scenes = [tries(phone, at("23:59:50") + seconds(3.1 * k), taken=5, session=k) for k, phone in enumerate(phones)]
    member = trace(*scenes, *(comes_by(OTHER, at("23:59:59") + seconds(k)) for k in range(5)))
    wanted = enrollments(member)
    for module in (attempts, unnamed):
        monkeypatch.setattr(module, "TOGETHER", together)
    assert enrollments(member) == wanted
    assert sorted(e.device or "" for e in wanted) == phones


def test_an_attempt_tells_its_lines_in_order_and_which_are_only_likely() -> None:
    builder = TableBuilder()
    lines = [
        Event("est.enroll.mode", 1_000, PHONE, "2"),
        Event("est.enroll.call", 1_000, PHONE, "2"),
        Event("est.enroll.call", 1_000, OTHER, "3"),
        Event("est.enroll.result", 2_000, PHONE, "2"),
        Event("capf.op.status", 2_000),
        Event("lsc.signed", 2_000, PHONE, "2"),
        Event("est.enroll.result", 9_000, OTHER, "3"),
    ]
    builder.add("capf", "capf1.txt", lines)
    table = builder.table()
    first, second = attempts.find_attempts(table, attempts.unroll(table))
    assert first.positions.tolist() == [0, 1, 3, 4, 5]
    assert first.likely == {4}
    assert first.lines == {p: "likely" if p == 4 else "certain" for p in (0, 1, 3, 4, 5)}
    assert (first.first, first.call, first.result) == (0, 1, 3)
    assert second.lines == {2: "certain", 6: "certain"}
