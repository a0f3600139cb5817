"""The rules that ship: each speaks on what is its cause, falls silent without its proof, and takes no other's cause."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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


# ---- what libcurl says (its texts: test_curl_texts) ------------------------------------------------------------------

LOGIN = "login_to_certsrv_ca: Curl call for MS CA login failed with return code"


@pytest.mark.parametrize(
    ("ending", "rules"),
    [
        ("60", ["ca-chain-untrusted", "ca-self-signed"]),
        ("60 ()", ["ca-chain-untrusted", "ca-self-signed"]),
        ("51", ["ca-hostname-mismatch"]),
        ("28", ["ces-auth-timeout"]),
        ("28 ()", ["ces-auth-timeout"]),
        ("28 (Timeout was reached)", ["ces-auth-timeout"]),
        ("6", ["ca-dns-failure", "ca-dns-server-failed"]),
        ("7", ["ca-no-route"]),
        ("23", ["ca-request-failed"]),
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
