"""From what the logs say to what is wrong: which rule speaks, how sure it is, whom it hits, whether it is over."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from capflog import enrollments
from capflog.analysis import analyze_members
from capflog.diagnosis import EVIDENCE_KEPT, Diagnosis, diagnose
from capflog.model import Clock, ClockStep, Quality
from capflog.rulebook import Rulebook, builtin, known_kinds, read_rule
from capflog.starts import find_starts

from .scenes import (
    ISSUED,
    NOT_ALLOWED,
    NOT_ANSWERED,
    Held,
    Line,
    Lines,
    at,
    ca_answers,
    ces_starts,
    challenged,
    exchange,
    held,
    iis,
    noted,
    raw,
    seconds,
    tries,
    utc,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from capflog.model import Finding, Report

PHONE, OTHER, THIRD = "SEP001F6C81118B", "SEP74A02FC0A675", "SEP00000000BEEF"
BAD_REQUEST = "13 (EST_ERR_HTTP_BAD_REQ)"
NO_CONNECTION = "43 (EST_ERR_IP_CONNECT)"

LOGIN = "Curl call for MS CA login failed with return code"
DNS = f"{LOGIN} 6 (Could not resolve: lab-dcc.michamen.com (Domain name not found))"
REFUSED = f"{LOGIN} 7 (Failed to connect to lab-dc.michamen.com port 443: Connection refused)"
#: What no rule knows better than by its code.
UNKNOWN = f"{LOGIN} 23 (Failed writing body)"
CHAIN_RULES = ["ca-chain-untrusted", "ca-self-signed"]


def report_of(*members: Held, rules: Rulebook | None = None) -> Report:
    return analyze_members("bundle", members, rules or builtin()).report


def book(**rules: str | dict[str, Any]) -> Rulebook:
    """A rulebook of small rules by their ids (``_`` for ``-``): a condition, or a condition with other keys."""
    made = {}
    for name, given in rules.items():
        keys = {
            "id": name.replace("_", "-"),
            "title": name,
            "severity": "error",
            "status": "documented",
            "since": "0.1.0",
            "scope": "service",
            "explanation": "It is so.",
            "remedy": ["Do this."],
            "verify": ["Look there."],
            "references": [{"title": "A page"}],
        } | (given if isinstance(given, dict) else {"when": given})
        rule = read_rule(yaml.safe_dump(keys), f"{name}.yaml", known_kinds())
        made[rule.id] = rule
    return Rulebook(made, [])


def ids(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings]


def the(rule: str, report: Report) -> Finding:
    (finding,) = (f for f in report.findings if f.rule == rule)
    return finding


def causes(report: Report) -> dict[tuple[str | None, str], list[str]]:
    """The causes of each enrollment, by its phone and the node's time of day at which it began (zone not known)."""
    return {(e.device, f"{e.started:%H:%M}" if e.started else ""): e.causes for e in report.enrollments}


def capf(*scenes: Lines) -> Held:
    return held("capf00000001.txt", *scenes)


def ces(*starts: tuple[Lines, Lines]) -> tuple[Held, Held]:
    """Both logs of CES's starts."""
    return (
        held("nginx00000001.txt", *(ciscora for ciscora, _ in starts)),
        held("error.log", *(nginx for _, nginx in starts)),
    )


def fails(when: datetime, error: str = DNS, pid: int = 31067) -> tuple[Lines, Lines]:
    return ces_starts(when, pid, fails=True, error=error)


def ciscora(*messages: str) -> Held:
    """A CiscoRA log alone, which bears no time."""
    return raw("nginx00000001.txt", "".join(f"{message}\n" for message in messages))


def login_fails(error: str = DNS) -> str:
    return f"nginx: [warn] login_to_certsrv_ca: {error}"


def unanswered(device: str, clock: str) -> Lines:
    return tries(device, at(clock), NOT_ANSWERED, taken=10.038)


# ---- which rule speaks ---------------------------------------------------------------------------------------------


def test_a_rule_silences_those_that_say_less() -> None:
    rules = book(any_failure="curl.failed", code={"when": "curl.failed with code = 6", "supersedes": ["any-failure"]})
    assert ids(report_of(ciscora(login_fails()), rules=rules)) == ["code"]
    assert ids(report_of(ciscora(login_fails(REFUSED)), rules=rules)) == ["any-failure"]


def test_it_silences_them_where_it_speaks_itself_and_nowhere_else() -> None:
    rules = book(any_failure="curl.failed", code={"when": "curl.failed with code = 6", "supersedes": ["any-failure"]})
    report = report_of(
        ciscora(login_fails(), "EnrollmentService.sh : nginx server PID value = 9", login_fails(UNKNOWN))
    )
    assert [start.causes for start in report.starts] == [["ca-dns-failure"], ["ca-request-failed"]]
    report = report_of(*ces(fails(at("12:00:00")), fails(at("12:10:00"), UNKNOWN, 40)), rules=rules)
    assert [start.causes for start in report.starts] == [["code"], ["any-failure"]]
    assert the("any-failure", report).occurrences == 1


def test_a_last_resort_speaks_where_no_other_error_does() -> None:
    last = {"when": "curl.failed", "last_resort": True}
    with_error = book(last=last, code="curl.failed with code = 6")
    assert ids(report_of(ciscora(login_fails()), rules=with_error)) == ["code"]
    assert ids(report_of(ciscora(login_fails(REFUSED)), rules=with_error)) == ["last"]
    with_warning = book(last=last, code={"when": "curl.failed with code = 6", "severity": "warning"})
    assert ids(report_of(ciscora(login_fails()), rules=with_warning)) == ["last", "code"]


def test_what_the_lines_do_not_tell_apart_is_possible_on_either_side() -> None:
    report = report_of(
        ciscora(login_fails(f"{LOGIN} 60 (SSL certificate problem: unable to get local issuer certificate)"))
    )
    chain, self_signed = report.findings
    assert (chain.rule, chain.confidence, chain.alternatives) == ("ca-chain-untrusted", "possible", ["ca-self-signed"])
    assert (self_signed.rule, self_signed.confidence) == ("ca-self-signed", "possible")
    assert self_signed.alternatives == ["ca-chain-untrusted"]
    assert report.starts[0].causes == CHAIN_RULES


def test_what_they_do_tell_apart_is_certain() -> None:
    report = report_of(ciscora(login_fails(f"{LOGIN} 60 (SSL certificate problem: self signed certificate)")))
    assert [(f.rule, f.confidence, f.alternatives) for f in report.findings] == [("ca-self-signed", "certain", [])]


def test_rules_on_different_lines_are_no_alternatives_though_they_show_the_same_ones() -> None:
    rules = book(
        login={"when": "curl.failed with code = 6", "alternatives": ["chain"], "show": ["ces.login.failed"]},
        chain={"when": "ces.login.failed", "alternatives": ["login"], "show": ["curl.failed"]},
    )
    unable = "nginx: [error] retrieve_cacerts: Unable to execute login to certsrv with curl"
    report = report_of(ciscora(login_fails(), unable), rules=rules)
    assert [(f.rule, f.confidence, f.alternatives) for f in report.findings] == [
        ("chain", "certain", []),
        ("login", "certain", []),
    ]
    assert [f.evidence_total for f in report.findings] == [2, 2]


def test_the_empty_text_of_libcurl_is_missing() -> None:
    rules = book(without="curl.failed with text is missing", text="curl.failed with text is present")
    assert ids(report_of(ciscora(f"nginx: [warn] login_to_certsrv_ca: {LOGIN} 60 ()"), rules=rules)) == ["without"]
    assert ids(report_of(ciscora(login_fails()), rules=rules)) == ["text"]


def test_what_rules_may_ask_of_an_enrollment_as_a_whole() -> None:
    rules = book(
        gave_up="enrollment with outcome = failed and error = EST_ERR_SSL_READ and waited >= 9 and waited < 11",
        opened="enrollment with reached = form",
        of_phone=f"enrollment with device = {PHONE}",
        good="enrollment with outcome = issued",
        begun="enrollment with outcome = incomplete",
    )
    failed, good = unanswered(PHONE, "12:37:54.741"), tries(OTHER, at("12:50:00"))
    assert sorted(ids(report_of(capf(failed), rules=rules))) == ["gave-up", "of-phone"]
    log = iis("u_ex190116.log", ca_answers(at("12:37:54.800"), PHONE, steps=3), ca_answers(at("12:50:00.070"), OTHER))
    assert sorted(ids(report_of(capf(failed, good), log, rules=rules))) == ["gave-up", "good", "of-phone", "opened"]
    assert ids(report_of(capf(good[:3]), rules=rules)) == ["begun"]


def test_a_challenge_alone_is_no_finding() -> None:
    report = report_of(held("error.log", challenged(at("12:37:54"), PHONE)))
    assert ids(report) == []
    assert report.verdict == "inconclusive"


def test_a_good_enrollment_with_its_challenge_is_no_finding() -> None:
    report = report_of(
        capf(tries(PHONE, at("12:37:54"))),
        held("error.log", exchange(at("12:37:54"), PHONE)),
        iis("u_ex190116.log", ca_answers(at("12:37:54.070"), PHONE)),
    )
    assert (ids(report), report.verdict) == ([], "healthy")
    assert [e.causes for e in report.enrollments] == [[]]


# ---- how sure it is ------------------------------------------------------------------------------------------------


def confidence(members: tuple[Held, ...], **rule: str) -> str:
    (finding,) = report_of(*members, rules=book(one=rule)).findings
    return finding.confidence


def test_a_documented_sign_is_certain_and_an_inferred_one_likely() -> None:
    log = (ciscora(login_fails()),)
    assert confidence(log, when="curl.failed") == "certain"
    assert confidence(log, when="curl.failed", status="inferred") == "likely"


def test_a_likely_condition_makes_it_likely_where_the_sure_one_does_not_hold() -> None:
    log = (ciscora(login_fails()),)
    assert confidence(log, when="curl.failed with code = 7", likely="curl.failed") == "likely"
    assert confidence(log, when="curl.failed with code = 6", likely="curl.failed") == "certain"
    assert confidence(log, when="nginx.bind.failed", likely="curl.failed") == "likely"


def test_a_rule_speaks_once_on_one_and_the_same_failure() -> None:
    rules = book(one={"when": "curl.failed with code = 6", "likely": "curl.failed"})
    finding = the("one", report_of(ciscora(login_fails()), rules=rules))
    assert (finding.occurrences, finding.evidence_total) == (1, 1)


def refused_by_template(*, beside: bool) -> Report:
    """A phone that is refused; ``beside``: another enrolls in the same second, and the answer tells them apart."""
    begun, next_one = at("12:37:54.100"), at("12:37:54.400")
    lines = exchange(begun, PHONE, status=401, rc=NOT_ALLOWED, curls=2, taken=0.1)
    trace = [tries(PHONE, begun, NOT_ALLOWED, taken=0.6)]
    if beside:
        lines += exchange(next_one, OTHER, connection=5, taken=0.1)
        trace.append(tries(OTHER, next_one, session=3))
    return report_of(capf(*trace), held("error.log", lines))


def test_lines_that_are_the_phone_s_for_sure_make_it_certain() -> None:
    report = refused_by_template(beside=False)
    assert causes(report)[PHONE, "17:37"] == ["template-misconfigured"]
    assert the("template-misconfigured", report).confidence == "certain"


def test_lines_that_are_likely_the_phone_s_make_it_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    report = refused_by_template(beside=True)
    assert causes(report) == {(PHONE, "17:37"): ["template-misconfigured"], (OTHER, "17:37"): []}
    assert the("template-misconfigured", report).confidence == "certain"
    # Were nothing sure enough:
    monkeypatch.setattr(enrollments, "CERTAIN", 2.0)
    report = refused_by_template(beside=True)
    assert causes(report) == {(PHONE, "17:37"): ["template-misconfigured"], (OTHER, "17:37"): []}
    assert the("template-misconfigured", report).confidence == "likely"


def test_causes_stand_in_the_order_of_their_sureness() -> None:
    rules = book(
        a_guess={"when": "curl.failed", "status": "inferred"},
        b_sign="curl.failed",
        c_note={"when": "curl.failed", "severity": "info"},
    )
    (start,) = report_of(ciscora(login_fails()), rules=rules).starts
    assert start.causes == ["b-sign", "a-guess"]


# ---- proof ---------------------------------------------------------------------------------------------------------


def test_the_proof_is_the_lines_themselves_in_the_order_of_time() -> None:
    log = held("error.log", exchange(at("12:37:54"), PHONE, status=401, rc=NOT_ALLOWED, curls=2))
    report = report_of(log)
    evidence = the("template-misconfigured", report).evidence
    lines = log.content.decode().splitlines()
    assert [lines[e.line - 1] for e in evidence] == [e.text for e in evidence]
    assert [e.line for e in evidence] == sorted(e.line for e in evidence)
    assert {e.member for e in evidence} == {"error.log"}
    assert {e.source for e in evidence} == {"nginx"}


def test_of_much_proof_the_first_lines_are_kept_and_all_are_counted() -> None:
    report = report_of(ciscora(*[login_fails()] * 30))
    finding = the("ca-dns-failure", report)
    assert len(finding.evidence) == EVIDENCE_KEPT
    assert [e.line for e in finding.evidence] == list(range(1, EVIDENCE_KEPT + 1))
    assert finding.evidence_total == 30
    assert finding.occurrences == 1


def test_lines_that_are_proof_twice_are_counted_once() -> None:
    rules = book(one={"when": "curl.failed or curl.failed with code = 6", "show": ["curl.failed", "curl.url"]})
    url = "nginx: [warn] login_to_certsrv_ca: URL used: https://lab-dc.michamen.com:443/certsrv"
    assert the("one", report_of(ciscora(login_fails(), url), rules=rules)).evidence_total == 2


def test_an_absence_has_no_proof() -> None:
    rules = book(none={"when": "no curl.ok and start"})
    finding = the("none", report_of(ciscora(login_fails()), rules=rules))
    assert (finding.evidence, finding.evidence_total, finding.occurrences) == ([], 0, 1)


# ---- what one failure explains -------------------------------------------------------------------------------------


def test_whoever_is_not_answered_after_a_failed_start_bears_its_cause() -> None:
    report = report_of(
        capf(
            unanswered(PHONE, "11:50:00"),
            unanswered(PHONE, "12:10:00"),
            tries(OTHER, at("12:20:00"), NO_CONNECTION, taken=0.2),
            tries(THIRD, at("12:30:00"), BAD_REQUEST),
        ),
        *ces(fails(at("12:00:00"))),
    )
    assert causes(report) == {
        (PHONE, "11:50"): ["ces-no-answer"],
        (PHONE, "12:10"): ["ca-dns-failure"],
        (OTHER, "12:20"): ["ca-dns-failure"],
        (THIRD, "12:30"): ["enrollment-failed"],
    }
    finding = the("ca-dns-failure", report)
    assert finding.devices == [PHONE, OTHER]
    assert finding.occurrences == 3
    assert finding.scope == "service"
    assert (finding.first, finding.last) == (utc(at("12:00:00"), seconds(0)), utc(at("12:20:00.200"), seconds(0)))
    assert {e.source for e in finding.evidence} == {"ciscora", "nginx"}
    assert the("ces-no-answer", report).devices == [PHONE]


def test_all_causes_of_a_start_are_inherited() -> None:
    error = f"{LOGIN} 60 (SSL certificate problem: unable to get local issuer certificate)"
    report = report_of(capf(unanswered(PHONE, "12:10:00")), *ces(fails(at("12:00:00"), error)))
    assert causes(report) == {(PHONE, "12:10"): CHAIN_RULES}
    # (The list of what CES trusts is a note beside them, and no cause.)
    assert ids(report) == [*CHAIN_RULES, "ces-trusts-no-ca"]


def test_a_good_start_ends_it() -> None:
    report = report_of(
        capf(unanswered(PHONE, "12:10:00"), unanswered(OTHER, "13:10:00")),
        *ces(fails(at("12:00:00")), ces_starts(at("13:00:00"), 40)),
    )
    assert causes(report) == {(PHONE, "12:10"): ["ca-dns-failure"], (OTHER, "13:10"): ["ces-no-answer"]}


def test_the_last_start_before_counts() -> None:
    report = report_of(
        capf(unanswered(PHONE, "12:10:00"), unanswered(OTHER, "13:10:00")),
        *ces(fails(at("12:00:00")), fails(at("13:00:00"), UNKNOWN, 40)),
    )
    assert causes(report) == {(PHONE, "12:10"): ["ca-dns-failure"], (OTHER, "13:10"): ["ca-request-failed"]}


def test_a_start_without_a_time_is_taken_for_the_one_before() -> None:
    report = report_of(capf(unanswered(PHONE, "12:10:00")), ciscora(login_fails()))
    assert causes(report) == {(PHONE, "12:10"): ["ca-dns-failure"]}
    assert ids(report) == ["ca-dns-failure"]


def test_a_cause_of_its_own_is_not_replaced_by_that_of_a_start() -> None:
    begun = at("12:10:00")
    where = "while SSL EST handshaking, client: 14.48.31.125, server: 0.0.0.0:8084"
    own = [
        Line(begun, "***EST [INFO][est_enroll_auth:356]--> TLS: no peer certificate"),
        noted(begun + seconds(5), f"[warn] 31071#0: *2 login_to_certsrv_ca: {UNKNOWN} {where}"),
    ]
    cis, nginx = fails(at("12:00:00"))
    report = report_of(
        capf(unanswered(PHONE, "12:10:00")), held("nginx00000001.txt", cis), held("error.log", nginx, own)
    )
    assert causes(report) == {(PHONE, "12:10"): ["ca-request-failed"]}


def test_a_warning_about_an_enrollment_stays_though_its_cause_is_a_start_s() -> None:
    rules = book(
        cause="curl.failed",
        late={"when": "enrollment with waited >= 9", "severity": "warning", "scope": "device"},
    )
    report = report_of(capf(unanswered(PHONE, "12:10:00")), *ces(fails(at("12:00:00"))), rules=rules)
    assert causes(report) == {(PHONE, "12:10"): ["cause"]}
    assert [(f.rule, f.devices) for f in report.findings] == [("cause", [PHONE]), ("late", [PHONE])]


def test_what_is_wrong_about_a_good_start_is_no_cause() -> None:
    rules = book(unset="ces.chain.unset")
    report = report_of(capf(unanswered(PHONE, "12:10:00")), *ces(ces_starts(at("12:00:00"))), rules=rules)
    assert causes(report) == {(PHONE, "12:10"): []}
    assert (ids(report), report.starts[0].causes) == (["unset"], [])


def test_a_success_has_no_cause() -> None:
    report = report_of(capf(tries(PHONE, at("12:10:00"))), *ces(fails(at("12:00:00"))))
    assert causes(report) == {(PHONE, "12:10"): []}


# ---- whom it hits, and whether it is over --------------------------------------------------------------------------


def test_the_scope_is_the_rule_s_and_counts_the_phones() -> None:
    one = report_of(capf(tries(PHONE, at("12:10:00"), BAD_REQUEST)))
    assert the("enrollment-failed", one).scope == "device"
    two = report_of(capf(tries(PHONE, at("12:10:00"), BAD_REQUEST), tries(OTHER, at("12:20:00"), BAD_REQUEST)))
    assert the("enrollment-failed", two).scope == "devices"
    assert the("enrollment-failed", two).devices == [PHONE, OTHER]
    nobody = report_of(held("error.log", exchange(at("12:37:54"), None, status=400, rc="69 (EST_ERR_CB_FAILED)")))
    assert (the("enrollment-failed", nobody).scope, the("enrollment-failed", nobody).devices) == ("device", [])
    service = report_of(ciscora(login_fails()))
    assert (service.findings[0].scope, service.findings[0].devices) == ("service", [])


def test_of_a_service_any_later_success_shows_that_it_is_over() -> None:
    bad = fails(at("12:00:00"))
    assert not the("ca-dns-failure", report_of(capf(tries(PHONE, at("11:50:00"))), *ces(bad))).resolved
    assert the("ca-dns-failure", report_of(capf(tries(PHONE, at("12:10:00"))), *ces(bad))).resolved
    failed = unanswered(OTHER, "12:05:00")
    assert the("ca-dns-failure", report_of(capf(failed, tries(PHONE, at("12:10:00"))), *ces(bad))).resolved


def test_a_failure_after_ces_got_over_its_start_is_not_blamed_on_it() -> None:
    later = report_of(capf(unanswered(OTHER, "12:15:00"), tries(PHONE, at("12:10:00"))), *ces(fails(at("12:00:00"))))
    assert the("ca-dns-failure", later).resolved
    assert the("ca-dns-failure", later).devices == []
    assert the("ces-no-answer", later).devices == [OTHER]
    assert later.verdict == "failing"


def test_a_later_good_start_shows_it_too() -> None:
    bad, good = fails(at("12:00:00")), ces_starts(at("13:00:00"), 40)
    assert the("ca-dns-failure", report_of(*ces(bad, good))).resolved
    bad, good = fails(at("13:00:00")), ces_starts(at("12:00:00"), 40)
    assert not the("ca-dns-failure", report_of(*ces(bad, good))).resolved


def test_of_what_failed_in_an_enrollment_no_start_shows_that_it_is_over() -> None:
    begun = at("12:10:00")
    head = "[warn] 31071#0: *2 login_to_certsrv_ca:"
    late = f"{head} {LOGIN} 28 (Operation timed out after 10000 milliseconds with 0 bytes received)"
    where = "while SSL EST handshaking, client: 14.48.31.125, server: 0.0.0.0:8084"
    own = [
        Line(begun, "***EST [INFO][est_enroll_auth:356]--> TLS: no peer certificate"),
        noted(begun + seconds(10), f"{late} {where}"),
    ]
    cis, nginx = ces_starts(at("13:00:00"), 40)
    report = report_of(
        capf(unanswered(PHONE, "12:10:00")), held("nginx00000001.txt", cis), held("error.log", nginx, own)
    )
    assert [start.ok for start in report.starts] == [True]
    assert not the("ces-auth-timeout", report).resolved


def test_of_starts_without_a_time_the_order_of_the_log_tells() -> None:
    bad, good = fails(at("12:00:00")), ces_starts(at("13:00:00"), 40)
    assert the("ca-dns-failure", report_of(held("nginx00000001.txt", bad[0], good[0]))).resolved
    bad, good = fails(at("13:00:00")), ces_starts(at("12:00:00"), 40)
    report = report_of(held("nginx00000001.txt", bad[0], good[0]))
    assert not the("ca-dns-failure", report).resolved
    assert (the("ca-dns-failure", report).first, the("ca-dns-failure", report).last) == (None, None)


def test_of_a_phone_its_own_later_success_alone() -> None:
    failed = tries(PHONE, at("12:10:00"), BAD_REQUEST)
    assert not the("enrollment-failed", report_of(capf(failed, tries(OTHER, at("12:20:00"))))).resolved
    assert not the("enrollment-failed", report_of(capf(tries(PHONE, at("12:00:00")), failed))).resolved
    assert the("enrollment-failed", report_of(capf(failed, tries(PHONE, at("12:20:00"))))).resolved


def test_of_several_phones_each_has_its_own_later_success() -> None:
    first, second = tries(PHONE, at("12:00:00"), BAD_REQUEST), tries(OTHER, at("12:20:00"), BAD_REQUEST)
    good, late = tries(PHONE, at("12:10:00")), tries(OTHER, at("12:30:00"))
    assert the("enrollment-failed", report_of(capf(first, good, second, late))).resolved
    assert not the("enrollment-failed", report_of(capf(first, good, second))).resolved


def test_of_a_phone_that_no_log_names_no_success_tells() -> None:
    bad = exchange(at("12:00:00"), None, status=400, rc="69 (EST_ERR_CB_FAILED)")
    report = report_of(held("error.log", bad, exchange(at("12:10:00"), None, connection=6)))
    assert [e.outcome for e in report.enrollments] == ["failed", "issued"]
    assert not the("enrollment-failed", report).resolved


# ---- the verdict ---------------------------------------------------------------------------------------------------

BAD_START, LATER_START = fails(at("12:00:00")), ces_starts(at("13:00:00"), 40)
GOOD_START, LATER_BAD = ces_starts(at("12:00:00"), 40), fails(at("13:00:00"))
VERDICTS: list[tuple[str, tuple[Held, ...], str]] = [
    ("a good enrollment", (capf(tries(PHONE, at("12:10:00"))),), "healthy"),
    ("a good start", ces(GOOD_START), "healthy"),
    ("no enrollment was ended", (capf(tries(PHONE, at("12:10:00"))[:3]),), "inconclusive"),
    ("browsers at the CA", (iis("u_ex.log", ca_answers(at("12:10:00"), None, agent="Mozilla/5.0")),), "inconclusive"),
    ("the last enrollment failed", (capf(tries(PHONE, at("12:10:00"), BAD_REQUEST)),), "failing"),
    (
        "the last enrollment failed after good ones",
        (capf(tries(OTHER, at("12:00:00")), tries(PHONE, at("12:10:00"), BAD_REQUEST)),),
        "failing",
    ),
    (
        "an enrollment failed before good ones",
        (capf(tries(PHONE, at("12:00:00"), BAD_REQUEST), tries(OTHER, at("12:10:00"))),),
        "degraded",
    ),
    (
        "a phone failed and then did not",
        (capf(tries(PHONE, at("12:00:00"), BAD_REQUEST), tries(PHONE, at("12:10:00"))),),
        "degraded",
    ),
    (
        "a failed enrollment and one whose end is cut off",
        (capf(tries(PHONE, at("12:00:00"), BAD_REQUEST), tries(OTHER, at("12:10:00"))[:3]),),
        "failing",
    ),
    ("a failed start", ces(BAD_START), "failing"),
    ("a failed start without a time", (ciscora(login_fails()),), "failing"),
    ("a failed start, then a good one", ces(BAD_START, LATER_START), "degraded"),
    ("a good start, then a failed one", ces(GOOD_START, LATER_BAD), "failing"),
    ("a failed start, then a good enrollment", (capf(tries(PHONE, at("12:10:00"))), *ces(BAD_START)), "degraded"),
    ("a good enrollment, then a failed start", (capf(tries(PHONE, at("11:50:00"))), *ces(BAD_START)), "failing"),
    (
        "what failed for a start that is put right by now",
        (capf(unanswered(PHONE, "12:10:00")), *ces(BAD_START, LATER_START)),
        "degraded",
    ),
    (
        # The last one's cause is gone; that another phone's stands makes it degraded, no more.
        "what failed last is put right, what failed before is not",
        (
            capf(tries(OTHER, at("11:50:00"), BAD_REQUEST), unanswered(PHONE, "12:10:00")),
            *ces(BAD_START, LATER_START),
        ),
        "degraded",
    ),
    (
        "an enrollment failed after a good start",
        (capf(tries(PHONE, at("12:10:00"), BAD_REQUEST)), *ces(GOOD_START)),
        "failing",
    ),
]


@pytest.mark.parametrize(("members", "verdict"), [pytest.param(m, v, id=name) for name, m, v in VERDICTS])
def test_the_verdict(members: tuple[Held, ...], verdict: str) -> None:
    assert report_of(*members).verdict == verdict


def test_warnings_are_no_failure() -> None:
    rules = book(warned={"when": "enrollment", "severity": "warning"})
    report = report_of(capf(tries(PHONE, at("12:10:00"))), rules=rules)
    assert (ids(report), report.verdict) == (["warned"], "healthy")


def test_a_failure_that_no_rule_knows_is_a_failure() -> None:
    report = report_of(capf(tries(PHONE, at("12:10:00"), BAD_REQUEST)), rules=book(other="curl.failed"))
    assert (ids(report), report.verdict) == ([], "failing")
    report = report_of(capf(tries(PHONE, at("12:10:00"))), *ces(fails(at("12:00:00"))), rules=book(other="est.pop"))
    assert (ids(report), report.verdict) == ([], "degraded")


# ---- clocks --------------------------------------------------------------------------------------------------------

NOT_YET = f"{LOGIN} 60 (SSL certificate problem: certificate is not yet valid)"
EXPIRED = f"{LOGIN} 51 (SSL: certificate has expired)"
CLOCK_RULES = {"clock-offset", "clock-zone-mismatch", "clock-step"}


def clock(
    offset: float | None, bound: float | None = 0.5, quality: Quality = "good", source: str = "iis", **more: Any
) -> Clock:
    return Clock(source, ["u_ex.log"], 0, offset, bound, quality, assumed=False, basis="", **more)


def diagnosed(*members: Held, clocks: Sequence[Clock], rules: Rulebook | None = None) -> Diagnosis:
    """Diagnose logs, with clocks of which this is known."""
    found = analyze_members("bundle", members)
    starts = find_starts(found.events)
    return diagnose(found.columns, found.facts, found.stories, starts, [], rules or builtin(), clocks=clocks)


def of_clocks(*members: Held, clocks: Sequence[Clock]) -> list[tuple[str, str, str]]:
    findings = diagnosed(*(members or (ciscora("nginx: [warn] x"),)), clocks=clocks).findings
    return [(f.rule, f.severity, f.confidence) for f in findings if f.rule in CLOCK_RULES]


@pytest.mark.parametrize(
    ("offset", "error", "severity"),
    [
        (1.99, "", ""),
        (2.0, "", "info"),
        (-2.0, "", "info"),
        (59.9, NOT_YET, "info"),
        (60.0, "", "warning"),
        (-3600.0, "", "warning"),
        (60.0, NOT_YET, "error"),
        (-60.0, EXPIRED, "error"),
        (-60.0, NOT_YET, "warning"),
        (60.0, EXPIRED, "warning"),
        (60.0, DNS, "warning"),
        (60.0, f"{LOGIN} 60 (SSL certificate problem: CRL is not yet valid)", "warning"),
    ],
)
def test_how_grave_it_is_that_clocks_differ(offset: float, error: str, severity: str) -> None:
    members = (ciscora(login_fails(error)),) if error else ()
    found = of_clocks(*members, clocks=[clock(offset)])
    assert found == ([("clock-offset", severity, "certain")] if severity else [])


@pytest.mark.parametrize(
    ("offset", "zone_error", "error", "severities"),
    [
        (3600.0, 3600, "", {"clock-zone-mismatch": "warning"}),
        (3600.0, 3600, NOT_YET, {"clock-zone-mismatch": "error"}),
        (3600.0, 3600, EXPIRED, {"clock-zone-mismatch": "warning"}),
        (-18000.0, -18000, EXPIRED, {"clock-zone-mismatch": "error"}),
        # What remains beside the zone its own text says.
        (3603.0, 3600, "", {"clock-zone-mismatch": "warning"}),
        (3720.0, 3600, NOT_YET, {"clock-zone-mismatch": "error"}),
        (-3480.0, -3600, NOT_YET, {"clock-zone-mismatch": "warning"}),
    ],
)
def test_a_zone_that_is_set_wrong_is_told_apart_from_a_clock_that_runs_wrong(
    offset: float, zone_error: int, error: str, severities: dict[str, str]
) -> None:
    members = (ciscora(login_fails(error)),) if error else ()
    found = of_clocks(*members, clocks=[clock(offset, zone_error_seconds=zone_error)])
    assert {rule: severity for rule, severity, _ in found} == severities


def test_a_clock_that_was_set_is_a_warning() -> None:
    steps = [ClockStep(utc(at("12:30:00")), 120.0, 0.25), ClockStep(utc(at("12:40:00")), 0.25, -0.5)]
    (finding,) = diagnosed(capf(tries(PHONE, at("12:10:00"))), clocks=[clock(-0.5, steps=steps, proof=[0])]).findings
    assert (finding.rule, finding.severity) == ("clock-step", "warning")
    assert "by 2019-01-16 17:30:00 UTC from 2 min 0 s ahead to 0.25 s ahead" in finding.explanation
    assert "then by 2019-01-16 17:40:00 UTC from 0.25 s ahead to 0.50 s behind" in finding.explanation
    assert (finding.first, finding.last) == (utc(at("12:30:00")), utc(at("12:40:00")))


@pytest.mark.parametrize(
    ("quality", "confidence"),
    [("good", "certain"), ("weak", "likely"), ("conflict", ""), ("none", ""), ("one-sided", "")],
)
def test_how_well_a_clock_is_known_says_how_sure_it_is(quality: Quality, confidence: str) -> None:
    found = of_clocks(clocks=[clock(120.0, quality=quality)])
    assert found == ([("clock-offset", "warning", confidence)] if confidence else [])
    strange = clock(3600.0, quality=quality, zone_error_seconds=3600, steps=[ClockStep(utc(at("12:30:00")), 0.0, 9.0)])
    assert {sure for _, _, sure in of_clocks(clocks=[strange])} == ({"likely"} if confidence else set())


def test_nothing_is_said_where_the_bound_allows_that_the_clocks_agree() -> None:
    assert of_clocks(clocks=[clock(5.0, 5.0)]) == []
    assert of_clocks(clocks=[clock(5.0, 4.9)]) == [("clock-offset", "info", "certain")]
    assert of_clocks(clocks=[clock(None, None, "none"), clock(0.0, 0.0, "reference", "capf")]) == []


def test_another_node_s_clock_is_none_of_the_ca_s() -> None:
    assert of_clocks(clocks=[clock(120.0, source="nginx", whose="cucm2")]) == []


def test_the_two_logs_of_a_server_are_one_clock() -> None:
    (finding,) = diagnosed(
        capf(tries(PHONE, at("12:10:00"))), clocks=[clock(9.0), clock(9.0, source="httperr")]
    ).findings
    assert finding.occurrences == 1


def test_of_several_clocks_the_gravest_is_told_and_the_others_named() -> None:
    clocks = [clock(-3.0, whose="ca1"), clock(90.0, whose="ca2"), clock(0.1, whose="ca3")]
    (finding,) = diagnosed(capf(tries(PHONE, at("12:10:00"))), clocks=clocks).findings
    assert (finding.severity, finding.occurrences) == ("warning", 2)
    assert finding.explanation.startswith("The clock of the CA's server ca2 (IIS) is 1 min 30 s ahead,")
    assert finding.explanation.endswith(" So it is with the CA's server ca1 (IIS) (3.0 s behind).")
    assert any("On the CA's server ca2 (IIS):" in text for text in finding.remedy)


def test_what_a_bundle_calls_a_server_goes_into_no_command() -> None:
    found = diagnosed(capf(tries(PHONE, at("12:10:00"))), clocks=[clock(90.0, whose="ca;reboot")])
    (finding,) = found.findings
    assert "ca;reboot" in finding.explanation
    assert "reboot" not in " ".join((*finding.remedy, *finding.verify))


def test_a_clock_is_no_cause_and_makes_no_verdict_worse() -> None:
    good, bad = capf(tries(PHONE, at("12:10:00"))), capf(tries(PHONE, at("12:10:00"), BAD_REQUEST))
    for offset in (3.0, 90.0):
        found = diagnosed(good, clocks=[clock(offset)])
        assert (found.verdict, found.causes_of_stories) == ("healthy", {})
        found = diagnosed(bad, clocks=[clock(offset)])
        assert found.causes_of_stories == {0: ["enrollment-failed"]}
        assert [f.rule for f in found.findings] == ["enrollment-failed", "clock-offset"]


def test_where_a_clock_is_an_error_the_certificate_stays_the_cause() -> None:
    members = (capf(unanswered(PHONE, "12:10:00")), *ces(fails(at("12:00:00"), NOT_YET)))
    found = diagnosed(*members, clocks=[clock(3600.0)])
    assert [(f.rule, f.severity) for f in found.findings] == [
        ("ca-cert-not-yet-valid", "error"),
        ("clock-offset", "error"),
    ]
    assert found.causes_of_stories == {0: ["ca-cert-not-yet-valid"]}
    assert found.causes_of_starts == [["ca-cert-not-yet-valid"]]
    assert found.verdict == "failing"
    assert [f.occurrences for f in found.findings] == [2, 1]


def test_how_a_clock_stands_no_later_success_refutes() -> None:
    members = (capf(tries(PHONE, at("12:10:00"))), *ces(fails(at("12:00:00"), NOT_YET)))
    found = diagnosed(*members, clocks=[clock(90.0)])
    assert {f.rule: f.resolved for f in found.findings} == {"ca-cert-not-yet-valid": True, "clock-offset": False}
    assert found.verdict == "degraded"


def test_the_proof_of_a_clock_is_its_own_and_what_makes_it_an_error() -> None:
    trace = capf(*(tries(PHONE, at(f"12:1{minute}:00")) for minute in range(5)))
    found = diagnosed(trace, ciscora(*[login_fails(NOT_YET)] * 30), clocks=[clock(90.0, proof=[0, 3])])
    (finding,) = (f for f in found.findings if f.rule == "clock-offset")
    assert Counter(e.source for e in finding.evidence) == {"capf": 2, "ciscora": 2}
    assert (finding.evidence_total, finding.devices, finding.scope) == (4, [], "service")
    assert f"{finding.first:%H:%M} {finding.last:%H:%M}" == "12:10 12:10"
    silent = diagnosed(trace, clocks=[clock(90.0)])
    (finding,) = (f for f in silent.findings if f.rule == "clock-offset")
    assert (finding.evidence, finding.first, finding.last) == ([], None, None)


def test_what_is_asked_of_clocks_is_asked_of_nothing_else_nor_the_other_way_round() -> None:
    rules = book(none="no curl.ok", here="clock and no curl.ok", code="curl.failed with code = 6")
    found = diagnosed(ciscora(login_fails()), clocks=[clock(90.0)], rules=rules)
    assert {f.rule: f.occurrences for f in found.findings} == {"none": 1, "code": 1, "here": 1}
    rules = book(beside="clock and ces.login.failed before curl.failed")
    assert diagnosed(ciscora(login_fails()), clocks=[clock(90.0)], rules=rules).findings == []


def test_without_a_rule_about_them_clocks_are_not_looked_at() -> None:
    assert diagnosed(ciscora(login_fails()), clocks=[clock(90.0)], rules=book(other="est.pop")).findings == []


# ---- severities that depend ----------------------------------------------------------------------------------------

GRAVE = {"when": "curl.failed", "severity": "info", "raised": {"error": "curl.failed with code = 7"}}


def test_a_finding_bears_the_highest_severity_of_what_it_was_said_on() -> None:
    starts = ces(fails(at("12:00:00")), fails(at("12:10:00"), REFUSED, 40))
    report = report_of(*starts, rules=book(one=GRAVE, two={"when": "curl.failed", "severity": "warning"}))
    assert [(f.rule, f.severity, f.occurrences) for f in report.findings] == [
        ("one", "error", 2),
        ("two", "warning", 2),
    ]
    assert [start.causes for start in report.starts] == [[], ["one"]]
    assert [f.severity for f in report_of(ciscora(login_fails()), rules=book(one=GRAVE)).findings] == ["info"]


def test_the_highest_severity_that_holds_counts() -> None:
    raised = {"warning": "curl.failed", "error": "curl.failed with code = 7"}
    rules = book(one=GRAVE | {"raised": raised})
    assert [report_of(ciscora(login_fails(e)), rules=rules).findings[0].severity for e in (DNS, REFUSED)] == [
        "warning",
        "error",
    ]


def test_an_error_by_its_circumstances_is_one_for_last_resorts_too() -> None:
    last = {"when": "curl.failed", "last_resort": True}
    rules = book(one=GRAVE, last=last)
    assert ids(report_of(ciscora(login_fails(REFUSED)), rules=rules)) == ["one"]
    assert ids(report_of(ciscora(login_fails()), rules=rules)) == ["last", "one"]


def test_what_raises_the_severity_is_shown_as_proof() -> None:
    unable = "nginx: [error] retrieve_cacerts: Unable to execute login to certsrv with curl"
    one = {"when": "curl.failed", "severity": "info", "raised": {"error": "ces.login.failed after curl.failed"}}
    (finding,) = report_of(ciscora(login_fails(), unable), rules=book(one=one)).findings
    assert (finding.severity, [e.line for e in finding.evidence]) == ("error", [1, 2])
    (finding,) = report_of(ciscora(unable, login_fails()), rules=book(one=one)).findings
    assert (finding.severity, [e.line for e in finding.evidence]) == ("info", [2])


def test_a_severity_by_the_time_between_lines_is_asked_of_each_alone() -> None:
    one = {
        "when": "enrollment with outcome = failed",
        "severity": "info",
        "raised": {"error": "est.enroll.result within 5 s of est.enroll.call"},
    }
    trace = capf(unanswered(PHONE, "12:10:00"), tries(OTHER, at("12:20:00"), BAD_REQUEST))
    report = report_of(trace, rules=book(one=one))
    assert causes(report) == {(PHONE, "12:10"): [], (OTHER, "12:20"): ["one"]}


# ---- the order of findings -----------------------------------------------------------------------------------------


def test_findings_come_by_severity_then_by_what_still_stands_then_by_sureness() -> None:
    failed, good = tries(PHONE, at("12:00:00"), BAD_REQUEST), tries(PHONE, at("12:10:00"))
    later = tries(OTHER, at("12:20:00"), NOT_ALLOWED)
    rules = book(
        a_note={"when": "enrollment", "severity": "info"},
        b_warning={"when": "enrollment", "severity": "warning"},
        c_over={"when": "enrollment with error = EST_ERR_HTTP_BAD_REQ", "scope": "device"},
        d_guess={"when": "enrollment with error = EST_ERR_AUTH_FAIL", "status": "inferred"},
        e_once="enrollment with error = EST_ERR_AUTH_FAIL",
        f_once="enrollment with error = EST_ERR_AUTH_FAIL",
        g_often="enrollment",
    )
    report = report_of(capf(failed, good, later), rules=rules)
    assert ids(report) == ["g-often", "e-once", "f-once", "d-guess", "c-over", "b-warning", "a-note"]
    assert [f.rule for f in report.findings if f.resolved] == ["c-over"]
    assert the("g-often", report).occurrences == 3


def test_a_last_resort_comes_after_what_knows_more() -> None:
    report = report_of(
        capf(
            tries(PHONE, at("11:40:00"), BAD_REQUEST),
            tries(PHONE, at("11:45:00"), BAD_REQUEST),
            unanswered(OTHER, "12:10:00"),
        ),
        *ces(fails(at("12:00:00"), f"{LOGIN} 60 (SSL certificate problem: unable to get local issuer certificate)")),
    )
    assert [(f.rule, f.confidence) for f in report.findings] == [
        ("ca-chain-untrusted", "possible"),
        ("ca-self-signed", "possible"),
        ("enrollment-failed", "certain"),
        ("ces-trusts-no-ca", "likely"),
    ]


# ---- what is lacking -----------------------------------------------------------------------------------------------

MEMBERS = {
    "capf": capf(tries(PHONE, at("12:10:00"))),
    "ciscora": held("nginx00000001.txt", GOOD_START[0]),
    "nginx": held("error.log", exchange(at("12:10:00"), PHONE)),
    "iis": iis("u_ex190116.log", ca_answers(at("12:10:00.070"), PHONE)),
}


@pytest.mark.parametrize("source", MEMBERS)
def test_each_log_that_is_not_there_is_a_gap(source: str) -> None:
    report = report_of(*(member for name, member in MEMBERS.items() if name != source))
    (gap,) = report.gaps
    assert gap.id == f"no-{source}"
    assert gap.message
    assert gap.collect


def test_a_whole_bundle_has_no_gap() -> None:
    assert report_of(*MEMBERS.values()).gaps == []


def test_an_iis_log_that_ends_before_the_enrollments_is_a_gap() -> None:
    late = tries(OTHER, at("12:40:00"), ISSUED), tries(THIRD, at("12:41:00"), BAD_REQUEST)
    members = MEMBERS | {"capf": capf(tries(PHONE, at("12:10:00")), *late)}
    (gap,) = report_of(*members.values()).gaps
    assert gap.id == "iis-ends-early"
    assert "before 2 of 3 enrollments" in gap.message
    assert "netsh http flush logbuffer" in gap.collect
