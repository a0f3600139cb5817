"""What conditions ask beside the events of one enrollment: of many phones, parameters, missing logs, clocks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from capflog import grammar
from capflog.conditions import ConditionError
from capflog.rulebook import Rulebook, builtin, known_kinds, read_rule

from .scenes import analyzed, raw

if TYPE_CHECKING:
    from capflog.model import Finding

KINDS = known_kinds()
PHONES = [f"SEP0C75BD0000{n:02X}" for n in range(1, 40)]


def rule_on(condition: str, name: str = "a-rule") -> Rulebook:
    text = (
        f"id: {name}\ntitle: A\nseverity: error\nstatus: documented\nsince: 0.1.0\nscope: service\n"
        f"when: >\n  {condition}\nexplanation: E\nremedy: [r]\nverify: [v]\nreferences: [{{title: t}}]\n"
    )
    rules = dict(builtin().rules)
    rules[name] = read_rule(text, f"{name}.yaml", KINDS)
    return Rulebook(rules, [])


def spoken(condition: str, **logs: str) -> Finding | None:
    """The finding of a rule with that condition, on these logs (``capf``, ``ciscora``, ``nginx``, ``iis``)."""
    names = {"capf": "capf1.txt", "ciscora": "nginx1.txt", "nginx": "error.log", "iis": "u_ex190227.log"}
    members = [raw(names[source], text) for source, text in logs.items()]
    report = analyzed(*members, rulebook=rule_on(condition)).report
    return next((finding for finding in report.findings if finding.rule == "a-rule"), None)


def at(seconds: float) -> str:
    whole = timedelta(hours=12, seconds=seconds)
    ms = round(whole.total_seconds() * 1000)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


def tried(*calls: tuple[int, float, str]) -> str:
    """CAPF's lines of enrollments: the phone's number, when it called (s), what it was told."""
    numbers = {"EST_ERR_NONE": 0, "EST_ERR_AUTH_FAIL": 22, "EST_ERR_SSL_READ": 35}
    lines = []
    for session, (phone, when, told) in enumerate(calls, 1):
        head = f"debug {session}:{PHONES[phone]}:"
        lines.append(f"{at(when)} |   {head}Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{PHONES[phone]}.csr\n")
        lines.append(f"{at(when + 0.3)} |   {head}Enrollment rv = {numbers[told]} ({told}) with pkcs7 length = 1963\n")
    return "".join(lines)


PARAMETERS = (
    "11:31:03.358 |-->CServiceParameters::OnlineCAInit()\n"
    "11:31:03.388 |   CServiceParameters::OnlineCAInit() Online CA hostname is lab-dc.michamen.com\n"
    "11:31:03.389 |   CServiceParameters::OnlineCAInit() Online CA Port : {port}\n"
)
FAIL, GOOD = "EST_ERR_AUTH_FAIL", "EST_ERR_NONE"


# ---- how many phones -----------------------------------------------------------------------------------------------


def test_so_many_devices_within_a_time() -> None:
    condition = "at least 3 devices with outcome = failed within 10 min"
    near = spoken(condition, capf=tried((0, 0, FAIL), (1, 300, FAIL), (2, 590, FAIL), (3, 595, GOOD)))
    assert near is not None
    assert near.devices == sorted(PHONES[:3])
    assert near.evidence_total == 3
    assert all("Enrollment rv = 22" in line.text for line in near.evidence)
    assert spoken(condition, capf=tried((0, 0, FAIL), (1, 300, FAIL), (2, 610, FAIL))) is None
    # One phone that tries again is one phone.
    assert spoken(condition, capf=tried((0, 0, FAIL), (0, 60, FAIL), (1, 120, FAIL))) is None
    assert spoken(condition, capf=tried((0, 0, GOOD), (1, 60, GOOD), (2, 120, GOOD))) is None


def test_so_many_enrollments_and_no_time() -> None:
    condition = "at least 2 enrollments with error = EST_ERR_AUTH_FAIL and waited < 1"
    assert spoken(condition, capf=tried((0, 0, FAIL), (0, 3000, FAIL))) is not None
    assert spoken(condition, capf=tried((0, 0, FAIL), (0, 3000, GOOD))) is None


def test_the_first_spell_in_which_enough_devices_are() -> None:
    calls = [(n % 2, 10.0 * n, FAIL) for n in range(20)] + [(n, 5000.0 + n, FAIL) for n in range(3, 7)]
    found = spoken("at least 4 devices with outcome = failed within 1 min", capf=tried(*calls))
    assert found is not None
    assert found.devices == sorted(PHONES[3:7])


def test_every_enrollment_since_something() -> None:
    start = "nginx: [warn] login_to_certsrv_ca: Secure connection to MS CertServ completed successfully\n"
    log = "2019/02/27 12:10:00 [notice] 31070#0: start worker process 31071\n"
    condition = "every enrollment since nginx.worker.started has outcome = failed"
    capf = tried((0, 0, GOOD), (1, 900, FAIL), (2, 960, FAIL))
    found = spoken(condition, capf=capf, nginx=log, ciscora=start)
    assert found is not None
    assert [line.source for line in found.evidence] == ["nginx", "capf", "capf"]
    assert spoken(condition, capf=tried((0, 0, FAIL), (1, 900, GOOD), (2, 960, FAIL)), nginx=log) is None
    # Nobody came since then, or it never was.
    assert spoken(condition, capf=tried((0, 0, FAIL)), nginx=log) is None
    assert spoken(condition, capf=tried((0, 0, FAIL))) is None


def test_every_enrollment_of_some() -> None:
    condition = f"every enrollment with device = {PHONES[1]} has outcome = failed"
    assert spoken(condition, capf=tried((0, 0, GOOD), (1, 60, FAIL))) is not None
    assert spoken(condition, capf=tried((1, 0, GOOD), (1, 60, FAIL))) is None


# ---- how many events -----------------------------------------------------------------------------------------------

TAIL = " while SSL EST handshaking, client: 14.48.31.128, server: 0.0.0.0:8084\n"
CURL = (
    "2019/02/27 12:{minute:02d}:{second:02d} [warn] 31071#0: *{n} login_to_certsrv_ca: Curl call for MS CA login "
    "failed with return code 28 (Operation timed out after 10001 milliseconds with 0 bytes received)"
    f"{TAIL}"
)


def test_so_many_events_of_an_episode() -> None:
    trust = "nginx: [warn] ossl_init_cert_store: Adding cert to store (/O=Cisco/CN=ACT2 SUDI CA)\n"
    assert spoken("at least 3 ces.cert.added", ciscora=trust * 3) is not None
    assert spoken("at least 4 ces.cert.added", ciscora=trust * 3) is None


def test_so_many_events_within_a_time() -> None:
    times = [(10, 0), (10, 20), (40, 0)]
    log = "".join(CURL.format(minute=m, second=s, n=n) for n, (m, s) in enumerate(times, 1))
    condition = "at least {} curl.failed with code = 28 within 1 min and at least 1 curl.failed in the same bundle"
    assert spoken(condition.format(2), nginx=log) is not None
    assert spoken(condition.format(3), nginx=log) is None


# ---- parameters, trust list, logs, clocks --------------------------------------------------------------------------

REFUSED = (
    "nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code 7 "
    "(Failed to connect to lab-dc.michamen.com port 8443: Connection refused)\n"
)


def test_a_parameter_as_it_was_read() -> None:
    condition = "curl.failed and parameter ca_port != 443"
    found = spoken(condition, capf=PARAMETERS.format(port=8443), ciscora=REFUSED)
    assert found is not None
    assert {line.source for line in found.evidence} == {"capf", "ciscora"}
    assert spoken(condition, capf=PARAMETERS.format(port=443), ciscora=REFUSED) is None
    # What CAPF did not tell is not unlike anything.
    assert spoken(condition, ciscora=REFUSED) is None


def test_of_a_parameter_that_is_read_again_the_one_before_counts() -> None:
    again = PARAMETERS.format(port=443).replace("11:31", "12:30")
    capf = PARAMETERS.format(port=80) + tried((0, 0, FAIL)) + again
    assert spoken("enrollment with outcome = failed and parameter ca_port = 80", capf=capf) is not None
    assert spoken("enrollment with outcome = failed and parameter ca_port = 443", capf=capf) is None
    # Of the whole bundle it is the last one.
    assert spoken("parameter ca_port = 443", capf=capf) is not None
    assert spoken("parameter ca_port = 80", capf=capf) is None


def test_the_trust_list() -> None:
    trust = "nginx: [warn] ossl_init_cert_store: Adding cert to store (/O=Cisco/CN=ACT2 SUDI CA)\n"
    assert spoken('trust list lacks "michamen" and curl.failed', ciscora=trust + REFUSED) is not None
    assert spoken('trust list names "SUDI" and curl.failed', ciscora=trust + REFUSED) is not None
    assert spoken('trust list names "michamen" and curl.failed', ciscora=trust + REFUSED) is None
    # CES prints some of it with each request: what counts is the list of its start.
    log = (
        "2019/02/27 12:00:05 [warn] 31071#0: *2 ossl_init_cert_store: Adding cert to store (/DC=com/CN=lab-ca)"
        + TAIL
        + "2019/02/27 12:00:05 [info] 31071#0: *2 login_to_certsrv_ca: Secure connection to MS CertServ completed "
        "successfully using the following URL https://lab-dc.michamen.com:443/certsrv" + TAIL
    )
    for condition in ('trust list lacks "SUDI"', 'trust list names "lab-ca"'):
        assert spoken(f"{condition} in the same enrollment", ciscora=trust, nginx=log) is None
    # None was told: nothing is known of it.
    assert spoken('trust list lacks "michamen" and curl.failed', ciscora=REFUSED) is None


def test_a_log_that_is_missing() -> None:
    condition = "enrollment with outcome = failed and no nginx log"
    assert spoken(condition, capf=tried((0, 0, FAIL))) is not None
    assert spoken(condition, capf=tried((0, 0, FAIL)), nginx=CURL.format(minute=0, second=5, n=1)) is None
    assert spoken("capf log and no iis log", capf=tried((0, 0, GOOD))) is not None


def test_how_far_a_clock_is_off() -> None:
    iis = (
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) "
        "cs(Referer) sc-status sc-substatus sc-win32-status time-taken\n"
    )
    capf, nginx = "", ""
    for n in range(12):
        capf += tried((n, 60.0 * n, GOOD)).replace("debug 1:", f"debug {n + 1}:")
        for page in ("certsrv", "certsrv/certrqxt.asp"):
            nginx += (
                f"2019/02/27 12:{n:02d}:00 [info] 31071#0: *{n + 1} navigate_to_certsrv_page: Secure connection to MS "
                "CertServ completed successfully using the following URL "
                f"https://lab-dc.michamen.com:443/{page}{TAIL}"
            )
        nginx += (
            f"***EST [INFO][log_access:1298]--> 14.48.31.128 [27/Feb/2019:12:{n:02d}:00 -0500] "
            '"POST /.well-known/est/simpleenroll HTTP/1.1" 200 1963\n'
        )
        for page in ("certrqxt.asp", "certfnsh.asp", "certnew.cer"):
            query = f"ReqID={n + 1}&ENC=b64" if page == "certnew.cer" else "-"
            method = "POST" if page == "certfnsh.asp" else "GET"
            iis += (
                f"2019-02-27 17:{n:02d}:08 14.48.31.152 {method} /certsrv/{page} {query} 443 MICHAMEN\\ciscora "
                "14.48.31.128 CiscoRA+1.0 - 200 0 0 15\n"
            )
    assert spoken("offset of iis over 2 s", capf=capf, nginx=nginx, iis=iis) is not None
    assert spoken("offset of iis over 60 s", capf=capf, nginx=nginx, iis=iis) is None
    assert spoken("offset of iis under 2 s", capf=capf, nginx=nginx, iis=iis) is None
    assert spoken("offset of iis over 0 s", iis=iis) is None


def test_in_the_same_enrollment_or_start() -> None:
    assert spoken("curl.failed in the same start", ciscora=REFUSED) is not None
    assert spoken("curl.failed in the same enrollment", ciscora=REFUSED) is None


def test_not_turns_a_condition_round() -> None:
    one = "enrollment with outcome = failed"
    capf = tried((0, 0, FAIL))
    assert spoken(f"{one} and not (est.enroll.result with code = 22 and est.enroll.call)", capf=capf) is None
    assert spoken(f"{one} and not (est.enroll.result with code = 35 or curl.failed)", capf=capf) is not None
    assert spoken(f"{one} and not (not (est.enroll.result with code = 22))", capf=capf) is not None
    assert spoken(f"{one} and not (at least 2 est.enroll.result)", capf=capf) is not None
    assert spoken(f"{one} and not (iis log)", capf=capf) is not None


def test_in_the_same_bundle() -> None:
    log = CURL.format(minute=40, second=0, n=1)
    both = "curl.failed with code = 28 and curl.failed with code = 7"
    assert spoken(f"{both} in the same bundle", ciscora=REFUSED, nginx=log) is not None
    assert spoken(both, ciscora=REFUSED, nginx=log) is None


@pytest.mark.parametrize(
    ("sentence", "column", "message"),
    [
        ("offset of foo over 2 s", 11, "expected one of capf, ciscora, nginx, iis, httperr"),
        ("offset of iis above 2 s", 15, "expected 'over' or 'under'"),
        ("at least 0 devices", 1, "at least 1 of it must be asked for, and no more than 1,000"),
        ("at least some devices", 10, "expected a whole number"),
        ("at least 2 enrollment", 1, "'enrollment' is a fact of the whole: there is one"),
        ("every enrollment has", 21, "expected a field"),
        ("every phone has outcome = failed", 7, "expected 'enrollment'"),
        (
            "every enrollment has code = 5",
            1,
            "'enrollment' has no field 'code'; it has outcome, error, waited, reached, device, previous",
        ),
        ('trust list has "a"', 12, "expected 'names' or 'lacks'"),
        (
            "enrollment with outcome = succeeded",
            1,
            "no enrollment has the outcome 'succeeded': it is one of issued, failed, incomplete",
        ),
        ("start with outcome in (ok, good)", 1, "no start has the outcome 'good': it is one of ok, failed, unknown"),
        ("not curl.failed", 5, "expected '('"),
        ("parameter ca_port", 18, "expected an operator and a value"),
        ("curl.failed in the same phone", 25, "expected 'enrollment', 'start' or 'bundle'"),
        (
            "at least 3 devices and enrollment with outcome = failed",
            1,
            "'enrollment' is of one episode, the rest is asked of the whole bundle",
        ),
    ],
)
def test_a_wrong_sentence_is_told_with_its_place(sentence: str, column: int, message: str) -> None:
    with pytest.raises(ConditionError) as caught:
        grammar.read(sentence, KINDS)
    assert (caught.value.column, caught.value.message) == (column, message)


# ---- rules that cannot be asked ------------------------------------------------------------------------------------


def test_a_rule_that_needs_a_log_that_is_missing_is_not_checked() -> None:
    report = analyzed(raw("capf1.txt", tried((0, 0, FAIL)))).report
    lacking = {one.rule: one.lacking for one in report.not_checked}
    assert lacking["ca-dns-failure"] == ["ciscora", "nginx"]
    assert "enrollment-failed" not in lacking
    assert "ca-dns-failure" not in {one.rule for one in analyzed(raw("nginx1.txt", REFUSED)).report.not_checked}


def test_a_rule_whose_pattern_takes_too_long_is_told_of_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capflog.patterns.ONE_SEARCH", 0.05)
    book = rule_on(r'curl.failed with text matches "^(\w+\s?)*\W$|(x+x+)+y"')
    text = REFUSED.replace("Failed to connect", "x" * 1500)
    report = analyzed(raw("nginx1.txt", text), rulebook=book).report
    (told,) = (finding for finding in report.findings if finding.rule == "rule-failed")
    assert (told.severity, told.title) == ("warning", "The rule a-rule could not be asked")
    assert "took longer than 0.05 s" in told.explanation
    assert "a-rule" not in {finding.rule for finding in report.findings}
    assert {finding.rule for finding in report.findings} > {"rule-failed"}


SLOW = r"(?=.)(?:\w|\w|\w|\w|\w)+[-#]"


@pytest.mark.parametrize(
    "condition",
    [
        f'enrollment with error matches "{SLOW}"',
        f'enrollment with device matches "{SLOW}"',
        f'at least 1 devices with device matches "{SLOW}"',
        f'every enrollment has device matches "{SLOW}"',
        f'capf.debug with text matches "{SLOW}" or enrollment with error matches "{SLOW}"',
    ],
)
def test_wherever_a_pattern_stands_its_fault_is_its_rules_alone(
    condition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capflog.patterns.ONE_SEARCH", 0.02)
    report = analyzed(raw("capf1.txt", tried((0, 0, FAIL))), rulebook=rule_on(condition)).report
    found = {finding.rule: finding for finding in report.findings}
    assert found["rule-failed"].title == "The rule a-rule could not be asked"
    assert "a-rule" not in found
    assert found.keys() > {"rule-failed"}


def test_a_severity_and_a_name_that_cannot_be_told_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capflog.patterns.ONE_SEARCH", 0.02)
    text = (
        "id: a-rule\ntitle: A\nseverity: warning\nstatus: documented\nsince: 0.1.0\nscope: service\n"
        "when: est.enroll.result\nexplanation: So it is {what}.\nremedy: [r]\nverify: [v]\nreferences: [{title: t}]\n"
    )
    slow = rf"read: {{what: {{pattern: '({SLOW}|x)', else: unknown}}}}" + "\n"
    raised = f"raised: {{error: 'enrollment with error matches \"{SLOW}\"'}}\n"
    for more in (slow, raised):
        book = Rulebook(
            dict(builtin().rules)
            | {
                "a-rule": read_rule(
                    text.replace(" {what}", "") + more if more is raised else text + more, "a.yaml", KINDS
                )
            },
            [],
        )
        report = analyzed(raw("capf1.txt", tried((0, 0, FAIL))), rulebook=book).report
        found = {finding.rule: finding for finding in report.findings}
        assert "rule-failed" in found
        assert len(found) > 1
        if more is slow:
            assert found["a-rule"].explanation == "So it is unknown."


def test_what_a_phone_got_over_is_resolved() -> None:
    wrong = "12:04:00.000 |   SetOperationStatus(Fail:CAPF_OP_FAIL_INVALID_AUTH_STR):3 Operation status is set to 3\n"
    head = f"12:03:59.900 |   debug 9:{PHONES[0]}:Select({PHONES[0]})\n"
    found = {f.rule: f for f in analyzed(raw("capf1.txt", head + wrong)).report.findings}
    assert found["phone-auth-string-wrong"].resolved is False
    later = tried((0, 1800, GOOD))
    found = {f.rule: f for f in analyzed(raw("capf1.txt", head + wrong + later)).report.findings}
    again = found["phone-auth-string-wrong"]
    assert again.resolved is (again.devices == [PHONES[0]])


def test_a_rule_that_asks_of_a_parameter_is_not_checked_without_capfs_trace() -> None:
    report = analyzed(raw("nginx1.txt", REFUSED)).report
    lacking = {one.rule: one.lacking for one in report.not_checked}
    assert lacking["ca-hostname-not-fqdn"] == ["capf"]


def test_many_parameters_are_no_burden() -> None:
    lines = "".join(f"11:31:03.388 |   CServiceParameters::Init() NAME{n} = {n}\n" for n in range(20_000))
    log = PARAMETERS.format(port=8443) + lines
    found = spoken("curl.failed and parameter ca_port != 443", capf=log, ciscora=REFUSED)
    assert found is not None
