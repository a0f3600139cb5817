"""The rules that ship: each speaks on what is its cause, falls silent without its proof, and takes no other's cause."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capflog.bundle import BundleError
from capflog.rulebook import builtin
from capflog.rulecases import run_case

from .scenes import analyzed, raw

if TYPE_CHECKING:
    from capflog.model import Report
    from capflog.rulebook import Case, Rule

BOOK = builtin()
SILENT, SPEAKING, OF_CLOCKS = (
    [
        pytest.param(rule, case, id=f"{rule.id}-{case.name}")
        for rule in BOOK.rules.values()
        for case in rule.cases
        if case.speaks == speaks and speaks * rule.condition.of_clocks == of_clocks
    ]
    for speaks, of_clocks in ((False, False), (True, False), (True, True))
)


def report_of(logs: dict[str, str]) -> Report:
    return analyzed(*(raw(name, text) for name, text in logs.items())).report


# ---- the cases that stand in the rules -----------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "case"), SILENT)
def test_a_rule_is_silent_where_its_case_says_so(rule: Rule, case: Case) -> None:
    assert run_case(rule, case, BOOK).wrong == ""


@pytest.mark.parametrize(("rule", "case"), SPEAKING)
def test_a_rule_speaks_where_its_case_says_so_and_not_without_its_proof(rule: Rule, case: Case) -> None:
    report = report_of(case.logs)
    assert [m.member for m in report.members if m.source is None or m.unparsed] == []
    (finding,) = (f for f in report.findings if f.rule == rule.id)
    assert finding.evidence_total == len(finding.evidence) > 0
    proof = {(e.member, e.line) for e in finding.evidence}
    for e in finding.evidence:
        assert case.logs[e.member].splitlines()[e.line - 1] == e.text
    left = {
        name: "".join(f"{line}\n" for number, line in enumerate(text.splitlines(), 1) if (name, number) not in proof)
        for name, text in case.logs.items()
    }
    try:
        spoke = {f.rule for f in report_of(left).findings}
    except BundleError:
        spoke = set()
    assert rule.id not in spoke


@pytest.mark.parametrize(("rule", "case"), OF_CLOCKS)
def test_a_rule_about_clocks_speaks_where_its_case_says_so_and_not_without_a_clock(rule: Rule, case: Case) -> None:
    assert run_case(rule, case, BOOK).wrong == ""
    (finding,) = (f for f in report_of(case.logs).findings if f.rule == rule.id)
    assert finding.evidence_total == len(finding.evidence) > 0
    for e in finding.evidence:
        assert case.logs[e.member].splitlines()[e.line - 1] == e.text
    assert (finding.devices, finding.scope, finding.resolved) == ([], "service", False)
    assert not re.search(r"(?<!%)\{\w+\}", " ".join((finding.explanation, *finding.remedy, *finding.verify)))
    left = {name: text for name, text in case.logs.items() if not name.startswith("u_ex")}
    assert rule.id not in {f.rule for f in report_of(left).findings}


# ---- what libcurl says ---------------------------------------------------------------------------------------------

#: Texts of libcurl from 7.29 to 8.23, with OpenSSL and GnuTLS, by what was wrong.
TEXTS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "curl_texts.json").read_text("utf-8"))
NUMBERED = [pytest.param(number, id=f"{row['cause']}-{number}") for number, row in enumerate(TEXTS)]

#: The rule of each cause that one knows; of the others the text is shown as it is, by ca-request-failed.
KNOWN = {
    "ca_untrusted": {"ca-chain-untrusted"},
    "self_signed": {"ca-self-signed"},
    "name_mismatch": {"ca-hostname-mismatch"},
    "dns": {"ca-dns-failure"},
    "dns_server": {"ca-dns-failure", "ca-dns-timeout"},
    "cert_expired": {"ca-cert-expired"},
    "cert_not_yet_valid": {"ca-cert-not-yet-valid"},
    "read_timeout": {"ces-auth-timeout"},
    "connect_timeout": {"ca-connect-timeout"},
    "tls_stall": {"ca-tls-timeout"},
}
LOGIN = "login_to_certsrv_ca: Curl call for MS CA login failed with return code"
CHAIN = "retrieve_cacerts: Curl request failed with return code"


@cache
def spoken(head: str) -> list[tuple[list[str], int]]:
    """Read each text out of a CiscoRA log of its own: the rules that speak on it, and how many lines were not read."""
    names = [f"nginx{number:08d}.txt" for number in range(1, len(TEXTS) + 1)]
    logs = [f"nginx: [warn] {head} {row['code']} ({row['text']})\n" for row in TEXTS]
    report = report_of(dict(zip(names, logs, strict=True)))
    unread = {member.member: member.unparsed for member in report.members}
    causes = {start.records[0].member: start.causes for start in report.starts}
    assert len(causes) == len(report.starts)
    return [(causes[name], unread[name]) for name in names]


@pytest.mark.parametrize("number", NUMBERED)
def test_a_text_of_libcurl_in_the_login(number: int) -> None:
    row = TEXTS[number]
    rules, unread = spoken(LOGIN)[number]
    assert unread == 0
    if row["cause"] in KNOWN:
        assert set(rules) & KNOWN[row["cause"]]
        assert len(rules) <= 4
        assert "ca-request-failed" not in rules
    else:
        assert rules == ["ca-request-failed"]


def test_after_the_login_a_timeout_is_another_cause_and_all_else_the_same() -> None:
    after = {"ces-auth-timeout": "ces-enroll-timeout"}
    in_login = [sorted(after.get(rule, rule) for rule in rules) for rules, _ in spoken(LOGIN)]
    assert [sorted(rules) for rules, _ in spoken(CHAIN)] == in_login
    assert ["ces-enroll-timeout"] in in_login


@pytest.mark.parametrize("cause", sorted(KNOWN))
def test_a_text_that_names_its_cause_has_one_rule_alone(cause: str) -> None:
    alone = {tuple(spoken(LOGIN)[n][0]) for n, row in enumerate(TEXTS) if row["cause"] == cause} - {()}
    assert {(rule,) for rule in KNOWN[cause]} & alone


def test_the_texts_are_of_many_causes() -> None:
    causes = Counter(row["cause"] for row in TEXTS)
    assert causes.keys() > KNOWN.keys()
    assert min(causes[cause] for cause in KNOWN) >= 3
    assert len({(row["cause"], row["code"], row["text"]) for row in TEXTS}) == len(TEXTS) > 60


@pytest.mark.parametrize(
    ("ending", "rules"),
    [
        ("60", ["ca-chain-untrusted", "ca-self-signed"]),
        ("60 ()", ["ca-chain-untrusted", "ca-self-signed"]),
        ("51", ["ca-hostname-mismatch"]),
        ("28", ["ces-auth-timeout"]),
        ("28 ()", ["ces-auth-timeout"]),
        ("28 (Timeout was reached)", ["ces-auth-timeout"]),
        ("6", ["ca-dns-failure"]),
        ("7", ["ca-request-failed"]),
        ("999 (what is to come)", ["ca-request-failed"]),
    ],
)
def test_a_code_without_words_of_its_own(ending: str, rules: list[str]) -> None:
    report = report_of({"nginx00000001.txt": f"nginx: [warn] {LOGIN} {ending}\n"})
    assert [finding.rule for finding in report.findings] == rules


# ---- what the rules read out of the lines --------------------------------------------------------------------------


def explained(rule: str, text: str) -> str:
    (finding,) = (f for f in report_of({"nginx00000001.txt": text}).findings if f.rule == rule)
    return " ".join((finding.explanation, *finding.remedy, *finding.verify))


def test_the_names_are_read_out_of_the_text() -> None:
    text = "SSL: certificate subject name 'ca' does not match target host name 'ca.a.example'"
    said = explained("ca-hostname-mismatch", f"nginx: [warn] {LOGIN} 51 ({text})\n")
    assert "CES asked for ca.a.example and the certificate that it got is for ca." in said
    assert "openssl s_client -connect ca.a.example:443" in said


def test_a_name_that_no_line_gives_is_put_in_words() -> None:
    said = explained("ca-hostname-mismatch", f"nginx: [warn] {LOGIN} 51 ()\n")
    assert "CES asked for the name in 'Online CA Hostname' and the certificate that it got is for other names." in said


def test_the_host_is_read_out_of_the_url_where_the_text_has_none() -> None:
    line = f"nginx: [warn] {LOGIN} 28 (Operation timed out after 10041 milliseconds with 0 bytes received)\n"
    url = "nginx: [warn] login_to_certsrv_ca: URL used: https://ca.a.example:443/certsrv\n"
    assert "login to ca.a.example and had no answer after 10041 ms" in explained("ces-auth-timeout", line + url)


def test_what_a_shell_would_act_upon_goes_into_no_command() -> None:
    text = "SSL: certificate subject name 'ca' does not match target host name 'ca;reboot'"
    report = report_of({"nginx00000001.txt": f"nginx: [warn] {LOGIN} 51 ({text})\n"})
    (finding,) = report.findings
    assert "CES asked for ca;reboot and" in finding.explanation
    assert "reboot" not in " ".join((*finding.remedy, *finding.verify))
    assert any("-connect the name in 'Online CA Hostname':443" in step for step in finding.verify)


def test_what_a_line_says_is_not_filled_once_more() -> None:
    line = f"nginx: [warn] {LOGIN} 51 (SSL: certificate subject name '{{host}}' does not match target host name 'ca')\n"
    assert "is for {host}." in explained("ca-hostname-mismatch", line)
