"""Whose line it is: what the samples' truth says, and what stays open where nothing tells."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from capflog import enrollments as joining
from capflog import sequence, windows
from capflog import steps as steps_of_ces
from capflog.analysis import Analysis, analyze
from capflog.attempts import find_attempts, unroll
from capflog.clocks import align
from capflog.enrollments import Joined, join
from capflog.reading import read_stored
from capflog.starts import find_starts
from tests.scenes import (
    BROWSER,
    ISSUED,
    NODE,
    NOT_ALLOWED,
    NOT_ANSWERED,
    TOO_LATE,
    Held,
    Lines,
    analyzed,
    at,
    ca_answers,
    capf_starts,
    ces_starts,
    chain_fetched,
    challenged,
    clock_of,
    enrollments,
    est,
    exchange,
    held,
    iis,
    lacking,
    lasts,
    noted,
    said,
    seconds,
    serves,
    tags,
    tries,
    utc,
    whole,
)
from tests.sites import PLAIN, measure, site

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.model import Enrollment

SAMPLES = Path(__file__).parent.parent / "samples"
TRUTH: dict[str, Any] = json.loads((SAMPLES / "truth.json").read_text("utf-8"))

#: Enrollments that begin closer than this may be at work at the same time.
AT_ONCE = timedelta(seconds=12)


@cache
def sample(name: str) -> Analysis:
    return analyze([str(SAMPLES / name)])


def true_lines(known: dict[str, Any]) -> set[tuple[str, int]]:
    """Give the lines of CES and CA that an enrollment really has."""
    files = [*known["nginx_lines"].items(), *known["iis_lines"].items()]
    return {(member, number) for member, numbers in files for number in numbers}


def put_lines(analysis: Analysis, enrollment: Enrollment) -> set[tuple[str, int]]:
    """Give the physical lines of CES and CA that were put to an enrollment; empty lines do not count."""
    table = analysis.table
    spans = {
        (str(member), int(line)): int(span)
        for member, line, span in zip(table["member"], table["line"], table["span"], strict=True)
    }
    return {
        (record.member, record.line + more)
        for record in enrollment.records
        if record.source in ("nginx", "iis")
        for more in range(spans[record.member, record.line])
    }


@pytest.mark.parametrize("name", TRUTH)
def test_the_enrollments_of_a_sample_are_its_true_ones(name: str) -> None:
    analysis = sample(name)
    known = TRUTH[name]["enrollments"]
    found = analysis.report.enrollments
    assert [(e.device, e.outcome, sorted(e.causes)) for e in found] == [
        (k["device"], k["outcome"], sorted(k["causes"])) for k in known
    ]
    # Where there is no other log the collection's own record tells zone and day.
    assert not clock_of(analysis, "capf").assumed
    assert [e.started for e in found] == [datetime.fromisoformat(k["started"]) for k in known]


@pytest.mark.parametrize("name", TRUTH)
def test_no_line_of_a_sample_is_put_to_a_wrong_enrollment(name: str) -> None:
    analysis = sample(name)
    wrong = [
        (found.device, sorted(put_lines(analysis, found) - true_lines(known)))
        for found, known in zip(analysis.report.enrollments, TRUTH[name]["enrollments"], strict=True)
        if put_lines(analysis, found) - true_lines(known)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", [name for name in TRUTH if name != "ces-no-answer.zip"])
def test_all_lines_of_a_samples_lone_enrollments_are_found(name: str) -> None:
    analysis = sample(name)
    known = TRUTH[name]["enrollments"]
    begun = [datetime.fromisoformat(k["started"]) for k in known]
    alone = [not any(abs(one - other) < AT_ONCE for other in begun if other is not one) for one in begun]
    missing = [
        (found.device, sorted(true_lines(k) - put_lines(analysis, found)))
        for found, k, lone in zip(analysis.report.enrollments, known, alone, strict=True)
        if lone and true_lines(k) - put_lines(analysis, found)
    ]
    assert missing == []
    assert sum(alone) >= len(known) - 2
    unsure = {
        (e.outcome, r.source)
        for e, lone in zip(analysis.report.enrollments, alone, strict=True)
        if lone
        for r in e.records
        if r.confidence != "certain"
    }
    # CES may still be at an attempt that CAPF has given up: IIS alone does not say for which it is asked.
    assert unsure == ({("failed", "iis")} if name == "ces-overloaded.zip" else set())


@pytest.mark.parametrize("name", ["healthy.zip", "template-misconfigured.zip"])
def test_of_a_samples_phones_that_come_at_once_no_line_is_left_open(name: str) -> None:
    """In the healthy one two come in the same second: IIS shows fourteen requests for them, and does not say whose."""
    assert sample(name).report.unattributed == 0


# ---- one phone in all logs -----------------------------------------------------------------------------------------

FIRST, PHONE, OTHER = "SEP0C75BD1A2B30", "SEP74A02FC0A675", "SEP001F6C81118B"
CALL = at("14:36:10.118")


def logs(capf: list[Lines], ces: list[Lines], ca: list[Lines]) -> tuple[Held, Held, Held]:
    """Give the logs of a lab in which a first phone got its certificate before, so that the clocks are known."""
    trace, log, web = whole(FIRST, at("13:00:00"), connection=1)
    return held("capf1.txt", trace, *capf), held("error.log", log, *ces), iis("u_ex.log", web, *ca)


def owners(*members: Held) -> dict[str | None, set[str | None]]:
    """Give whose lines each device was given."""
    analysis = analyzed(*members)
    return {e.device: tag for e, tag in zip(analysis.report.enrollments, tags(analysis, *members), strict=True)}


def of(analysis: Analysis, device: str | None) -> Enrollment:
    (found,) = (e for e in analysis.report.enrollments if e.device == device)
    return found


def test_the_challenge_belongs_to_the_request_that_follows_on_it() -> None:
    """Each enrollment has two connections to CES: the first is refused for want of credentials."""
    analysis = analyzed(*(members := logs([tries(PHONE, CALL)], [exchange(CALL, PHONE, connection=4)], [])))
    assert tags(analysis, *members) == [{FIRST}, {PHONE}]
    assert lacking(analysis, *members) == []
    found = of(analysis, PHONE)
    assert [r.event for r in found.records].count("est.access") == 2
    assert {r.confidence for r in found.records} == {"certain"}
    assert not any(r.fault for r in found.records)


def test_the_steps_of_an_enrollment_follow_one_another() -> None:
    found = of(analyzed(*logs([tries(PHONE, CALL)], [exchange(CALL, PHONE)], [ca_answers(CALL, PHONE)])), PHONE)
    for source, steps in (
        ("capf", ["mode", "call", "csr", "answer", "stored", "end"]),
        ("nginx", ["connect", "login", "form", "second-login", "post", "certificate", "answer"]),
        ("iis", ["login", "form", "second-login", "post", "certificate"]),
    ):
        shown = [r.step for r in found.records if r.source == source and r.step is not None]
        assert list(dict.fromkeys(shown)) == steps
    assert (found.reached, found.missing) == ("end", None)


@pytest.mark.parametrize(
    ("sources", "reached", "missing"),
    [("capf", "csr", "answer"), ("capf nginx", "post", "certificate"), ("capf iis", "post", "certificate")],
)
def test_how_far_an_enrollment_came_is_told_by_what_logs_there_are(sources: str, reached: str, missing: str) -> None:
    """The CA refuses the request: CES posts it and gets no certificate."""
    refused = tries(PHONE, CALL, "13 (EST_ERR_HTTP_BAD_REQ)")
    served = exchange(CALL, PHONE, status=400, rc="25 (EST_ERR_CA_ENROLL_FAIL)", curls=4)
    members = logs([refused], [served], [ca_answers(CALL + seconds(0.07), PHONE, steps=6)])
    wanted = [m for m, source in zip(members, ("capf", "nginx", "iis"), strict=True) if source in sources.split()]
    found = of(analyzed(*wanted), PHONE)
    assert found.reached == reached
    assert found.missing == (missing if sources != "capf nginx" else "answer")


def test_a_stranger_at_the_port_is_nobodys() -> None:
    """A monitor opens the port, somebody looks what is there, a third asks for a certificate without credentials."""
    strange = [
        [
            noted(CALL + seconds(0.1), f"[info] 31072#0: *77 {text}, client: 14.48.31.60, server: 0.0.0.0:8084")
            for text in (
                "client closed connection while SSL handshaking",
                "SSL_do_handshake() failed (SSL: error:0A000102:SSL routines::unsupported protocol)",
                "client sent invalid request while reading client request line",
            )
        ],
        challenged(CALL + seconds(0.9), None, client="14.48.31.99"),
        challenged(at("14:50:00"), None, client="14.48.31.99"),
        [
            est(at("14:51:00"), "[INFO][parse_http_message:1149]--> request uri=/"),
            est(
                at("14:51:00"),
                '[INFO][log_access:1298]--> 14.48.31.60 [16/Jan/2019:14:51:00 -0500] "GET / HTTP/1.1" 404 0',
            ),
        ],
    ]
    capf = [tries(PHONE, CALL, NOT_ALLOWED, taken=2)]
    ces = [exchange(CALL, PHONE, status=401, rc="22 (EST_ERR_AUTH_FAIL)", curls=2, connection=4), *strange]
    analysis = analyzed(*(members := logs(capf, ces, [])))
    assert tags(analysis, *members) == [{FIRST}, {PHONE}]
    assert lacking(analysis, *members) == []
    assert analysis.report.unattributed == 0


def test_a_stranger_outside_of_capfs_trace_is_nobodys_either() -> None:
    analysis = analyzed(*logs([], [challenged(at("16:50:00"), None, client="14.48.31.99")], []))
    assert [e.device for e in analysis.report.enrollments] == [FIRST]


def test_other_clients_of_iis_are_nobodys() -> None:
    """An administrator requests a certificate in the browser just then, and a monitor looks at the login page."""
    others = [
        ca_answers(CALL, None, agent=BROWSER, client="14.48.31.77", taken=0.5),
        ca_answers(CALL, None, agent="check_http/v2.2+(monitoring-plugins+2.2)", client="14.48.31.60", steps=2),
        ca_answers(at("16:00:00"), None, agent="Microsoft-CryptoAPI/6.3", client="14.48.31.101"),
    ]
    capf, ces = [tries(PHONE, CALL)], [exchange(CALL, PHONE, connection=4)]
    analysis = analyzed(*(members := logs(capf, ces, [ca_answers(CALL + seconds(0.07), PHONE), *others])))
    assert tags(analysis, *members) == [{FIRST}, {PHONE}]
    assert lacking(analysis, *members) == []
    assert analysis.report.unattributed == 0


@pytest.mark.parametrize("begun", [at("12:31:21"), CALL + seconds(4)])
def test_what_ces_asks_of_the_ca_as_it_starts_is_nobodys(begun: datetime) -> None:
    """Be it before any phone comes, or while one waits for an answer that it does not get."""
    capf = [capf_starts(begun - seconds(18)), tries(PHONE, CALL, NOT_ANSWERED, taken=10.04)]
    members = logs(capf, [ces_starts(begun)[1]], [chain_fetched(begun)])
    analysis = analyzed(*members)
    assert tags(analysis, *members) == [{FIRST}, {PHONE}]
    assert {r.source for r in of(analysis, PHONE).records} == {"capf"}
    assert analysis.report.unattributed == 0


def test_a_login_of_a_failed_start_is_nobodys() -> None:
    """The CA does not answer it for ten seconds, so CES does not come to ask for the chain."""
    began = CALL + seconds(2)
    failed = ces_starts(
        began,
        fails=True,
        error=TOO_LATE,
    )[1]
    login = ca_answers(began + seconds(9), None, steps=1)
    analysis = analyzed(*logs([tries(PHONE, CALL, NOT_ANSWERED, taken=10.04)], [failed], [login]))
    assert {r.source for r in of(analysis, PHONE).records} == {"capf"}


# ---- an answer that comes too late ---------------------------------------------------------------------------------


def late_answer(*sources: str, taken: float = 18) -> tuple[Analysis, tuple[Held, ...]]:
    """CES needs longer than CAPF waits."""
    served = challenged(CALL + seconds(0.03), PHONE)
    served += serves(CALL + seconds(0.07), PHONE, taken=taken, status=400, rc="10 (EST_ERR_HTTP_WRITE)", connection=4)
    capf = [tries(PHONE, CALL, NOT_ANSWERED, taken=10.04)]
    members = logs(capf, [served], [ca_answers(CALL + seconds(0.07), PHONE, taken=taken, timed=True)])
    wanted = tuple(m for m, source in zip(members, ("capf", "nginx", "iis"), strict=True) if source in sources)
    return analyzed(*wanted), wanted


@pytest.mark.parametrize("sources", [("capf", "nginx", "iis"), ("capf", "iis")], ids=" ".join)
def test_what_the_ca_answers_after_capf_gave_up_is_likely_its_phones(sources: tuple[str, ...]) -> None:
    analysis, members = late_answer(*sources)
    assert tags(analysis, *members) == [{FIRST}, {PHONE}]
    assert lacking(analysis, *members) == []
    found = of(analysis, PHONE)
    assert (found.outcome, found.causes, found.reached) == ("failed", ["ces-overloaded"], "certificate")
    sure = {r.text.split()[4].rpartition("/")[2]: r.confidence for r in found.records if r.source == "iis"}
    assert sure["certrqxt.asp"] == "certain"
    assert (sure["certfnsh.asp"], sure["certnew.cer"]) == ("likely", "likely")


def test_ces_says_itself_that_it_was_too_late() -> None:
    analysis, members = late_answer("capf", "nginx")
    found = of(analysis, PHONE)
    assert found.causes == ["ces-overloaded"]
    assert lacking(analysis, *members) == []
    assert {r.confidence for r in found.records} == {"certain"}


def test_what_comes_minutes_after_capf_gave_up_is_nobodys() -> None:
    capf = [tries(PHONE, CALL, NOT_ANSWERED, taken=10.04), tries(OTHER, at("15:00:00"), NOT_ANSWERED, taken=10.04)]
    analysis = analyzed(*(members := logs(capf, [], [ca_answers(CALL + seconds(100), "nobody")])))
    assert all("nobody" not in tag for tag in tags(analysis, *members))
    assert analysis.report.unattributed == 7


def test_a_late_answer_that_may_be_two_phones_is_neithers() -> None:
    capf = [tries(device, CALL + seconds(n), NOT_ANSWERED, taken=10.04) for n, device in enumerate((PHONE, OTHER))]
    analysis = analyzed(*(members := logs(capf, [], [ca_answers(CALL + seconds(20), PHONE)])))
    assert {r.source for device in (PHONE, OTHER) for r in of(analysis, device).records} == {"capf"}
    assert analysis.report.unattributed == len(lacking(analysis, members[2])) == 7


# ---- two at once ---------------------------------------------------------------------------------------------------


def two(
    gap: float, one: str = ISSUED, other: str = ISSUED, taken: float = 0.4, *, turned: bool = False
) -> tuple[Held, Held, Held]:
    """Two phones come within ``gap`` seconds, and CES serves them in two processes.

    ``turned``: of what happens at the same moment at CES and the CA the other one's is written first.
    """
    told = {ISSUED: (200, None, 5, 7), NOT_ALLOWED: (401, NOT_ALLOWED, 2, 3)}
    capf, ces, ca = [], [], []
    # NGINX numbers connections as it accepts them.
    numbers = (4, 6) if gap > 0.04 else (5, 6)
    for number, (device, rv) in enumerate(((PHONE, one), (OTHER, other))):
        when = CALL + seconds(number * gap)
        status, rc, curls, steps = told[rv]
        capf.append(tries(device, when, rv, taken=0.09 + lasts(taken, curls), session=2 + number))
        ces.append(
            challenged(when + seconds(0.03), device)
            + serves(
                when + seconds(0.07),
                device,
                taken=taken,
                status=status,
                rc=rc,
                curls=curls,
                connection=numbers[number],
                worker=31071 + number,
            )
        )
        ca.append(ca_answers(when + seconds(0.07), device, taken=taken, steps=steps, timed=True))
    return logs(capf, ces[:: -1 if turned else 1], ca[:: -1 if turned else 1])


@pytest.mark.parametrize("gap", [0.003, 0.05, 0.2])
@pytest.mark.parametrize(
    ("one", "other"), [(ISSUED, ISSUED), (ISSUED, NOT_ALLOWED), (NOT_ALLOWED, ISSUED), (NOT_ALLOWED, NOT_ALLOWED)]
)
def test_of_two_phones_at_once_each_is_given_its_own_lines(gap: float, one: str, other: str) -> None:
    """Their requests stand between one another in every log, within the same second."""
    analysis = analyzed(*(members := two(gap, one, other)))
    assert [(e.device, e.outcome) for e in analysis.report.enrollments] == [
        (FIRST, "issued"),
        (PHONE, "issued" if one == ISSUED else "failed"),
        (OTHER, "issued" if other == ISSUED else "failed"),
    ]
    assert tags(analysis, *members) == [{FIRST}, {PHONE}, {OTHER}]
    _, log, web = members
    assert lacking(analysis, log) == []
    assert analysis.report.unattributed == len(lacking(analysis, web)) <= (2 if gap > 0.04 else 4)
    # The farther they are apart the surer it is.
    count = put(analysis, *members)
    assert count.certain >= (0.8 if gap > 0.04 else 0.5) * (count.certain + count.likely)


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_phones_in_the_same_moment_nothing_is_certain_that_is_not_so(turned: bool) -> None:
    """CAPF calls for both in the same ms, and is answered so: which of them CES served first, nothing tells."""
    analysis = analyzed(*(members := two(0, turned=turned)))
    assert {(e.device, e.outcome) for e in analysis.report.enrollments[1:]} == {(PHONE, "issued"), (OTHER, "issued")}
    assert put(analysis, *members).certain_wrong == 0
    # What CAPF says is as certain as ever.
    said_by_capf = [r.confidence for e in analysis.report.enrollments for r in e.records if r.source == "capf"]
    assert said_by_capf == ["certain"] * (10 + 2 * 8)


@pytest.mark.parametrize("gap", [0.9, 1.5, 5])
def test_order_tells_two_phones_apart_that_come_one_after_the_other(gap: float) -> None:
    """IIS tells them apart where there is more between them than its clock is known by."""
    analysis = analyzed(*(members := two(gap)))
    trace, log, web = members
    assert tags(analysis, *members) == [{FIRST}, {PHONE}, {OTHER}]
    assert lacking(analysis, log) == []
    assert analysis.report.unattributed == len(lacking(analysis, web))
    if gap > 1:
        assert lacking(analysis, web) == []
    if gap == 5:
        assert lacking(analysis, trace) == []
        assert {r.confidence for e in analysis.report.enrollments for r in e.records} == {"certain"}


def test_a_phone_that_comes_while_another_waits_is_given_its_own_lines() -> None:
    """CES does not answer the one and serves the other: the seconds are the same, the other's connection is not."""
    capf = [tries(PHONE, CALL, NOT_ANSWERED, taken=10.04), tries(OTHER, CALL + seconds(3), session=3)]
    served = exchange(CALL + seconds(3), OTHER, connection=4)
    found = owners(*logs(capf, [served], [ca_answers(CALL + seconds(3.07), OTHER)]))
    assert found[PHONE] == {PHONE}
    assert found[OTHER] == {OTHER}


def test_without_error_log_two_at_once_are_told_apart_as_little() -> None:
    trace, _, web = two(0.2, ISSUED, NOT_ALLOWED)
    assert owners(trace, web) == {FIRST: {FIRST}, PHONE: {PHONE}, OTHER: {OTHER}}


def join_of(*members: Held) -> Joined:
    """Go the way of the data as far as the enrollments."""
    reading = read_stored(members)
    table = reading.table
    trace = unroll(table)
    attempts, starts = find_attempts(table, trace), find_starts(table)
    alignment = align(table, trace, attempts, starts, reading.dated)
    return join(steps_of_ces.Columns(table), trace, attempts, starts, alignment)


class Attempt(NamedTuple):
    """A call of EST for a phone; ``waited``: so long did CAPF."""

    tag: str
    when: datetime
    taken: float
    waited: float
    rv: str
    status: int
    rc: str | None
    curls: int
    steps: int

    @staticmethod
    def drawn(chance: random.Random, tag: str, when: datetime) -> Attempt:
        """Let CES serve it well, refuse it, be too late for it, or not answer."""
        fate = chance.choice(["issued", "refused", "denied", "late", "dead"])
        rv, status, rc, curls, steps = {
            "issued": (ISSUED, 200, None, 5, 7),
            "refused": (NOT_ALLOWED, 401, NOT_ALLOWED, 2, 3),
            "denied": ("13 (EST_ERR_HTTP_BAD_REQ)", 400, "25 (EST_ERR_CA_ENROLL_FAIL)", 4, 6),
            "late": (NOT_ANSWERED, 400, "10 (EST_ERR_HTTP_WRITE)", 5, 7),
            "dead": (NOT_ANSWERED, 0, None, 0, 0),
        }[fate]
        # CES itself gives up a call of the CA after ten seconds, CAPF the whole.
        taken = chance.uniform(12, 28) if fate == "late" else chance.uniform(0.3, 4)
        waited = 10.04 if rv == NOT_ANSWERED else 0.09 + lasts(taken, curls)
        return Attempt(tag, when, taken, waited, rv, status, rc, curls, steps)


def crowd(seed: int) -> tuple[Held, Held, Held]:
    """Phones that come within a minute, at times at once, and come again until they get their certificate.

    CES has as many workers as are needed; NGINX numbers connections as it accepts them.
    """
    chance = random.Random(seed)
    attempts = []
    for number in range(chance.choice([2, 3, 5])):
        when = CALL + seconds(chance.random() * chance.choice([2, 20, 60]))
        for attempt in range(chance.choice([1, 2, 4])):
            attempts.append(Attempt.drawn(chance, f"SEP{number} {attempt}", when))
            if attempts[-1].rv == ISSUED:
                break
            when += seconds(attempts[-1].waited + 30 + chance.random())
    trace, log, web = whole(FIRST, at("13:00:00"), ahead=-2.4, connection=2)
    return held("capf1.txt", trace, *asks(attempts)), held("error.log", log, *served(attempts)), answers(web, attempts)


def asks(attempts: list[Attempt]) -> list[Lines]:
    """Give CAPF's lines; a phone's session has its number."""
    return [
        tries(device, one.when, one.rv, taken=one.waited, session=int(device[3:]), of=one.tag)
        for one in attempts
        for device in one.tag.split()[:1]
    ]


def served(attempts: list[Attempt], first: int = 3) -> list[Lines]:
    """Give CES's lines: each connection is of a worker that has nothing else to do just then."""
    came = [(one.when + seconds(0.03 + 0.04 * again), again, one) for one in attempts if one.steps for again in (0, 1)]
    lines, until = [], [CALL - seconds(60)] * 16
    for number, (when, again, one) in enumerate(sorted(came, key=lambda it: it[0]), start=first):
        idle = next(n for n, busy in enumerate(until) if busy < when)
        until[idle] = when + seconds(lasts(one.taken, one.curls) + 0.005 if again else 0.006)
        if again:
            lines.append(
                serves(
                    when,
                    one.tag,
                    taken=one.taken,
                    status=one.status,
                    rc=one.rc,
                    curls=one.curls,
                    connection=number,
                    worker=31071 + idle,
                )
            )
        else:
            lines.append(challenged(when, one.tag))
    return lines


def answers(web: Lines, attempts: list[Attempt]) -> Held:
    """Give IIS's lines, of a clock that is 2.4 s behind."""
    lines = [
        ca_answers(one.when + seconds(0.07), one.tag, taken=one.taken, steps=one.steps, ahead=-2.4, timed=True)
        for one in attempts
    ]
    return iis("u_ex.log", web, *lines)


SOURCES = ["capf nginx iis", "capf nginx", "capf iis"]


def some_of(members: Sequence[Held], sources: str) -> list[Held]:
    names = {"capf1.txt": "capf", "error.log": "nginx", "u_ex.log": "iis"}
    return [member for member in members if names[member.name] in sources.split()]


class Put(NamedTuple):
    """How many lines were put to enrollments, by how sure it is said to be."""

    certain: int
    certain_wrong: int
    likely: int
    likely_wrong: int

    @property
    def right(self) -> int:
        return self.certain + self.likely - self.certain_wrong - self.likely_wrong


def put(analysis: Analysis, *members: Held) -> Put:
    """Count the lines that were put to enrollments, right or wrong; whose an enrollment is, its lines of CAPF say."""
    owners = {member.name: member.owners for member in members}
    count = Counter[tuple[str, bool]]()
    for enrollment in analysis.report.enrollments:
        own = {owners[r.member][r.line - 1] for r in enrollment.records if r.source == "capf"}
        for record in enrollment.records:
            owner = owners[record.member][record.line - 1]
            count[record.confidence, owner is not None and owner in own] += 1
    certain, likely = ((count[name, True], count[name, False]) for name in ("certain", "likely"))
    return Put(sum(certain), certain[1], sum(likely), likely[1])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sources", SOURCES)
def test_however_phones_crowd_no_line_is_for_certain_anothers(seed: int, sources: str) -> None:
    members = some_of(crowd(seed), sources)
    analysis = analyzed(*members)
    assert put(analysis, *members).certain_wrong == 0
    # All that CAPF calls for is found, and nothing else.
    of_each = [{owner for owner in tag if owner is not None} for tag in tags(analysis, members[0])]
    assert [len(tag) for tag in of_each] == [1] * len(of_each)
    assert sorted(tag.pop() for tag in of_each) == sorted({owner for owner in members[0].owners if owner is not None})


@pytest.mark.parametrize("sources", SOURCES)
def test_however_phones_crowd_nearly_all_that_is_put_is_put_right(sources: str) -> None:
    every = [put(analyzed(*members), *members) for members in (some_of(crowd(seed), sources) for seed in range(24))]
    total = sum(one.certain + one.likely for one in every)
    assert total > 1_500
    assert sum(one.right for one in every) >= 0.99 * total


# ---- logs that are missing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "rc", "outcome", "error", "value"),
    [
        (200, None, "issued", "EST_ERR_NONE", 0),
        (202, "26 (EST_ERR_CA_ENROLL_RETRY)", "failed", "EST_ERR_CA_ENROLL_RETRY", 26),
        (400, "25 (EST_ERR_CA_ENROLL_FAIL)", "failed", "EST_ERR_HTTP_BAD_REQ", 13),
        (401, "22 (EST_ERR_AUTH_FAIL)", "failed", "EST_ERR_AUTH_FAIL", 22),
        (404, None, "failed", "EST_ERR_HTTP_NOT_FOUND", 14),
        (400, "10 (EST_ERR_HTTP_WRITE)", "failed", None, None),
        (500, "25 (EST_ERR_CA_ENROLL_FAIL)", "failed", None, None),
    ],
)
def test_without_capf_the_status_says_what_it_was_told(
    status: int, rc: str | None, outcome: str, error: str | None, value: int | None
) -> None:
    """What the client makes of 500 depends on its version, and one that has gone away is told nothing."""
    log = held("error.log", exchange(CALL, "somebody", status=status, rc=rc, curls=2 if status == 401 else 5))
    analysis = analyzed(log)
    (found,) = analysis.report.enrollments
    assert (found.device, found.outcome, found.est_error, found.est_value) == (None, outcome, error, value)
    assert found.started == utc(CALL).replace(microsecond=0)
    assert lacking(analysis, log) == []
    assert analysis.report.devices == []


def test_an_enrollment_that_ces_has_not_answered_yet_is_incomplete() -> None:
    lines = exchange(CALL, "somebody")[:-4]
    (found,) = enrollments(held("error.log", lines))
    assert (found.outcome, found.est_error, found.causes) == ("incomplete", None, [])
    (found,) = enrollments(held("error.log", challenged(CALL, "somebody")))
    assert (found.outcome, found.reached) == ("incomplete", "connect")


def test_a_log_that_breaks_off_in_a_request_takes_no_other_for_it() -> None:
    """Without its access record nothing tells when a request came in, but that it was after the line before it."""
    cut = exchange(CALL, PHONE, connection=4)[:-4]
    for kept in (len(cut), 15, 5):
        capf = [tries(PHONE, CALL, NOT_ANSWERED, taken=10.04)]
        analysis = analyzed(*(members := logs(capf, [cut[:kept]], [])))
        assert tags(analysis, *members) == [{FIRST}, {PHONE}]
        assert len(lacking(analysis, *members)) == analysis.report.unattributed


def test_ces_before_capfs_trace_begins_has_enrollments_without_a_device() -> None:
    analysis = analyzed(*(members := logs([], [exchange(at("11:00:00"), "early", connection=9)], [])))
    assert [(e.device, e.started) for e in analysis.report.enrollments] == [
        (None, utc(at("11:00:00"))),
        (FIRST, utc(at("13:00:00"))),
    ]
    assert tags(analysis, *members) == [{"early"}, {FIRST}]


def test_ces_at_work_for_nobody_in_capfs_trace_is_unattributed() -> None:
    """CAPF's trace covers the time and knows of no such phone: it is no enrollment of its own."""
    capf = [tries(PHONE, at("16:00:00"))]
    analysis = analyzed(
        *(members := logs(capf, [exchange(CALL, "nobody", connection=4)], [ca_answers(CALL, "nobody")]))
    )
    assert [e.device for e in analysis.report.enrollments] == [FIRST, PHONE]
    assert tags(analysis, *members) == [{FIRST}, {PHONE}]
    assert analysis.report.unattributed == len(lacking(analysis, *members)) > 0


def test_iis_alone_shows_enrollments_by_their_requests() -> None:
    """Whoever fetched a certificate was issued one; the last one may still be at it."""
    web = iis(
        "u_ex.log",
        chain_fetched(at("12:31:21")),
        ca_answers(at("14:00:00"), "issued"),
        ca_answers(at("14:10:00"), "posted", steps=6),
        ca_answers(at("14:20:00"), "opened", steps=3),
        ca_answers(at("14:30:00"), "last", steps=3),
        ca_answers(at("13:00:00"), None, agent=BROWSER, client="14.48.31.77"),
    )
    analysis = analyzed(web)
    assert tags(analysis, web) == [{"issued"}, {"posted"}, {"opened"}, {"last"}]
    found = analysis.report.enrollments
    assert [e.outcome for e in found] == ["issued", "failed", "failed", "incomplete"]
    assert [e.reached for e in found] == ["certificate", "post", "form", "form"]
    # What CAPF was told, the CA does not know.
    assert [e.est_error for e in found] == [None] * 4
    assert {e.device for e in found} == {None}


def test_logins_to_the_ca_alone_are_no_enrollment() -> None:
    analysis = analyzed(iis("u_ex.log", ca_answers(CALL, "somebody", steps=2)))
    assert analysis.report.enrollments == []
    assert analysis.report.unattributed == 2


def test_iis_alone_tells_two_at_once_apart_by_what_follows_on_what() -> None:
    web = iis("u_ex.log", ca_answers(CALL, "one", timed=True), ca_answers(CALL + seconds(0.3), "two", timed=True))
    analysis = analyzed(web)
    assert tags(analysis, web) == [{"one"}, {"two"}]
    assert analysis.report.unattributed == len(lacking(analysis, web)) == 0
    # (Nobody but the IIS tells of them: that is not certain.)
    assert {r.confidence for e in analysis.report.enrollments for r in e.records} == {"likely"}


def test_what_the_iis_alone_does_not_tell_apart_is_left_out_and_counted() -> None:
    # (What is asked next begins a sixth of a second after an answer: it may be the other one's as well.)
    web = iis("u_ex.log", ca_answers(CALL, "one", taken=2), ca_answers(CALL + seconds(0.3), "two", taken=2))
    analysis = analyzed(web)
    assert tags(analysis, web) == [{"one"}, {"two"}]
    assert [e.outcome for e in analysis.report.enrollments] == ["issued", "issued"]
    assert analysis.report.unattributed == len(lacking(analysis, web)) > 0


@pytest.mark.parametrize("level", ["info", "warn"])
def test_a_first_request_whose_second_is_not_known_is_no_enrollment_of_its_own(level: str) -> None:
    # (Without CAPF's trace, at a rush: which of them each piece of work follows on is not known for all.)
    given = {**PLAIN, "rate": 8.0, "workers": 4, "phones": 60, "form": 80.0, "logs": ("nginx",), "level": level}
    made = site(5400, **given)
    measured = measure(made, analyzed(*made.members))
    assert measured.extra <= 1
    assert sum(measured.enrollments.values()) - sum(measured.found.values()) <= 3


def test_without_times_and_access_records_the_order_alone_puts_nothing_to_a_phone() -> None:
    # (CAPF's trace begins in the midst of it: the k-th exchange of CES is not the k-th call.)
    made = site(5313, access=False, cached=True)
    measured = measure(made, analyzed(*made.members))
    assert not measured.wrong


def test_ces_and_iis_without_capf_are_joined() -> None:
    log = held("error.log", exchange(CALL, "one"), exchange(at("14:50:00"), "two", connection=4))
    web = iis("u_ex.log", *(ca_answers(w + seconds(0.07), tag) for w, tag in ((CALL, "one"), (at("14:50:00"), "two"))))
    analysis = analyzed(log, web)
    assert tags(analysis, log, web) == [{"one"}, {"two"}]
    assert lacking(analysis, log, web) == []


def test_iis_whose_clock_is_not_known_is_unattributed() -> None:
    """Its log is of other phones, in another night."""
    trace, log, _ = logs([], [], [])
    far = [ca_answers(at(f"03:{10 + n}:{7 * n:02d}", -3), "far") for n in range(5)]
    analysis = analyzed(trace, log, iis("u_ex.log", *far))
    assert analysis.report.unattributed == 35
    assert [e.device for e in analysis.report.enrollments] == [FIRST]


def test_an_enrollments_records_are_in_the_order_of_time() -> None:
    found = of(analyzed(*logs([tries(PHONE, CALL)], [exchange(CALL, PHONE)], [ca_answers(CALL, PHONE)])), PHONE)
    times = [record.time for record in found.records]
    assert None not in times
    assert times == sorted(time for time in times if time is not None)
    for member in ("capf1.txt", "error.log", "u_ex.log"):
        numbers = [record.line for record in found.records if record.member == member]
        assert numbers == sorted(numbers)


def test_a_phone_by_another_name_of_a_client_is_the_same_enrollment() -> None:
    """CES may be asked over the loopback: the address of a client is no name of a phone."""
    log = held("error.log", exchange(CALL, PHONE, client="127.0.0.1"))
    analysis = analyzed(trace := held("capf1.txt", tries(PHONE, CALL), said(CALL, "debug Recd event")), log)
    assert tags(analysis, log) == [{PHONE}]
    assert NODE not in trace.content.decode()


# ---- many at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_in_however_small_pieces_it_is_done_it_comes_out_the_same(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """What is compared, cut, read and put in order at once is a matter of memory alone."""
    trace, log, web = crowd(seed)
    starting = held("nginx00000001.txt", ces_starts(at("12:31:21"))[0])
    whole = analyzed(trace, log, web, starting).report
    for module, name, size in (
        (windows, "_PIECE", 3),
        (sequence, "_AT_ONCE", 2),
        (joining, "_PIECE", 7),
    ):
        monkeypatch.setattr(module, name, size)
    assert analyzed(trace, log, web, starting).report == whole


@pytest.mark.parametrize("seed", range(4))
def test_spans_that_items_meet_are_counted(seed: int) -> None:
    chance = np.random.default_rng(seed)
    low, begin = chance.integers(0, 3_000, 400), chance.integers(0, 3_000, 60)
    high, end = low + chance.integers(0, 30, 400), begin + chance.integers(0, 50, 60)
    meets = (begin <= high[:, None]) & (end >= low[:, None])
    count, which = windows.counted(begin, end, low, high)
    assert count.tolist() == meets.sum(axis=1).tolist()
    one = count == 1
    assert which[one].tolist() == meets[one].argmax(axis=1).tolist()
    assert one.any()


@pytest.mark.parametrize("rate", [10, 20])
def test_a_wave_of_phones_is_told_apart(rate: int) -> None:
    """As many a second, some seconds long; CES serves each in a process of its own."""
    chance = random.Random(rate)
    attempts = []
    for number in range(300):
        when, taken = CALL + seconds(number / rate + chance.random() * 0.05), chance.uniform(0.25, 0.5)
        waited = 0.09 + lasts(taken, 5)
        attempts.append(Attempt(f"SEP{number:012d}", when, taken, waited, ISSUED, 200, None, 5, 7))
    trace, log, web = whole(FIRST, at("13:00:00"), ahead=-2.4, connection=2)
    members = (
        held("capf1.txt", trace, *asks(attempts)),
        held("error.log", log, *served(attempts)),
        answers(web, attempts),
    )
    analysis = analyzed(*members)
    assert [e.device for e in analysis.report.enrollments] == [FIRST, *(f"SEP{n:012d}" for n in range(300))]
    count = put(analysis, *members)
    # What is certain is so in 995 of 1000 cases.
    assert count.certain_wrong <= 0.002 * count.certain
    assert count.certain > count.likely
    assert count.right >= 0.99 * (count.certain + count.likely)
    # IIS's logins, each within a second of ten others, are what is left open.
    assert len(lacking(analysis, *members[1:])) <= 0.16 * count.right
    # In error.log it is the first lines of connections that waited for their requests side by side.
    assert len(lacking(analysis, members[1])) <= 0.06 * len(members[1].owners)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_leave_out_no_span_that_an_item_touches(seed: int) -> None:
    chance = np.random.default_rng(seed)
    low = np.sort(chance.integers(0, 5_000, 700)) + chance.integers(-30, 30, 700)
    high = low + chance.integers(0, 40, 700)
    begin = chance.integers(0, 5_000, 300)
    end = begin + chance.integers(-5, 200, 300)
    end[chance.integers(0, 300, 3)] += 4_000
    behind = 0
    for lo, hi, near in windows.pieces(low, high, begin, end):
        assert lo == behind < hi
        behind = hi
        touches = (begin <= high[lo:hi, None]) & (end >= low[lo:hi, None])
        assert set(np.flatnonzero(touches.any(axis=0)).tolist()) <= set(near.tolist())
    assert behind == 700


def test_an_enrollments_rows_are_kept_small() -> None:
    members = two(0.9)
    analysis = analyzed(*members)
    table = analysis.events
    joined = join_of(*members)
    assert [story.device for story in joined.stories] == [e.device for e in analysis.report.enrollments]
    for story, enrollment in zip(joined.stories, analysis.report.enrollments, strict=True):
        assert story.order.dtype == np.int64
        shown = [(table.member_of(row), int(table.line[row])) for row in story.order.tolist()]
        assert shown == [(r.member, r.line) for r in enrollment.records]
        likely = {
            row for row, r in zip(story.order.tolist(), enrollment.records, strict=True) if r.confidence != "certain"
        }
        assert story.likely == likely


@pytest.mark.parametrize("later", [0.01, 0.3, 1.2])
def test_a_phone_does_not_get_a_second_exchange_of_one_whose_trace_is_lost(later: float) -> None:
    # (The other one's lines of CAPF are not in the bundle; what is left of it looks as the first one's does.)
    when = at("14:00:00")
    members = (
        held("capf00000001.txt", tries(PHONE, when)),
        held("error.log", exchange(when, PHONE), exchange(when + seconds(later), OTHER, worker=31075, connection=9)),
        iis(
            "u_ex190116.log",
            ca_answers(when + seconds(0.07), PHONE, timed=True),
            ca_answers(when + seconds(0.07 + later), OTHER, timed=True),
        ),
    )
    owners = {member.name: member.owners for member in members}
    (enrolled,) = [each for each in enrollments(*members) if each.device == PHONE]
    assert {owners[record.member][record.line - 1] for record in enrolled.records} == {PHONE}


@pytest.mark.parametrize(("seed", "phones", "rate"), [(9590, 1, 0.02), (9156, 2, 0.02), (9328, 2, 0.2)])
def test_what_another_clusters_ces_asks_of_the_ca_is_no_phones_of_this_one(seed: int, phones: int, rate: float) -> None:
    # (Next to no lines of the node's own CES are left in IIS's log.)
    made = site(seed, phones=phones, rate=rate)
    assert b" 14.49.31.125 CiscoRA+1.0 " in b"".join(member.content for member in made.members)
    assert measure(made, analyzed(*made.members)).wrong == []
