"""What libcurl says, and the rule that it calls: every text of eight builds, and of others what is known of them.

``data/curl_answers.tsv`` holds what the builds answered to faults that were made on purpose, so the cause of each text
is known. Of a text that fits several causes the rules of these causes speak as alternatives of each other.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capflog.rulebook import builtin

from .scenes import analyzed, raw

if TYPE_CHECKING:
    from capflog.model import Finding, Report

LOGIN = "login_to_certsrv_ca: Curl call for MS CA login failed with return code"
CHAIN = "retrieve_cacerts: Curl request failed with return code"

Said = frozenset[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A code of libcurl with its text, the causes that brought it, and the builds in which they did."""

    code: int
    text: str
    causes: dict[str, tuple[str, ...]]


def answers() -> list[Answer]:
    found: dict[tuple[int, str], dict[str, tuple[str, ...]]] = {}
    rows = (Path(__file__).parent / "data" / "curl_answers.tsv").read_text("utf-8").splitlines()
    for row in rows:
        if not row.startswith("#"):
            code, cause, builds, text = row.split("\t")
            found.setdefault((int(code), json.loads(text)), {})[cause] = tuple(builds.split())
    return [Answer(code, text, causes) for (code, text), causes in found.items()]


ANSWERS = answers()

#: The rules of each cause: of a text that names its cause, one of them speaks alone.
OF_CAUSE: dict[str, Said] = {
    "bad_cert": frozenset({"ca-cert-unsupported"}),
    "bad_issuer": frozenset({"ca-issuer-invalid", "ca-chain-too-long", "ca-name-constraint"}),
    "bad_purpose": frozenset({"ca-cert-wrong-purpose"}),
    "bad_url": frozenset({"ca-url-malformed"}),
    "ca_file": frozenset({"ces-trust-unreadable"}),
    "ca_untrusted": frozenset({"ca-chain-untrusted"}),
    "ca_untrusted+name_mismatch": frozenset({"ca-chain-untrusted", "ca-hostname-mismatch"}),
    "cert_expired": frozenset({"ca-cert-expired"}),
    "cert_expired+name_mismatch": frozenset({"ca-cert-expired", "ca-hostname-mismatch"}),
    "cert_not_yet_valid": frozenset({"ca-cert-not-yet-valid"}),
    "client_cert": frozenset({"ca-demands-client-cert", "ces-client-cert-unusable"}),
    "client_config": frozenset({"ces-cipher-list-invalid"}),
    "connect_refused": frozenset({"ca-connection-refused"}),
    "connect_timeout": frozenset({"ca-connect-timeout"}),
    "crl": frozenset({"ca-crl-unusable"}),
    "dns": frozenset({"ca-dns-failure", "ces-proxy-failed"}),
    "dns_server": frozenset({"ca-dns-server-failed", "ca-dns-timeout"}),
    "empty_reply": frozenset({"ca-answer-cut-short"}),
    "http_auth": frozenset({"ca-http-unauthorized"}),
    "http_status": frozenset(
        {"ca-http-forbidden", "ca-http-not-found", "ca-http-rejected", "ca-http-server-error", "ces-proxy-failed"}
    ),
    "name_mismatch": frozenset({"ca-hostname-mismatch"}),
    "no_route": frozenset({"ca-no-route"}),
    "not_http": frozenset({"ca-port-not-http"}),
    "not_tls": frozenset({"ca-port-not-tls"}),
    "read_timeout": frozenset({"ces-auth-timeout"}),
    "redirect_loop": frozenset({"ca-redirect-loop"}),
    "reset": frozenset({"ca-connection-reset"}),
    "revoked": frozenset({"ca-cert-revoked"}),
    "self_signed": frozenset({"ca-self-signed"}),
    "tls_cipher": frozenset({"ca-tls-cipher-mismatch"}),
    "tls_reset": frozenset({"ca-tls-broken-off"}),
    "tls_stall": frozenset({"ca-tls-timeout"}),
    "tls_version": frozenset({"ca-tls-version-mismatch"}),
    "truncated": frozenset({"ca-answer-cut-short"}),
    "weak_crypto": frozenset({"ca-cert-weak"}),
}


@dataclass(frozen=True, slots=True)
class Open:
    """Texts of a code that do not tell which cause it was: the rules that speak as alternatives."""

    code: int
    text: str
    rules: Said

    def fits(self, answer: Answer) -> bool:
        return answer.code == self.code and re.fullmatch(self.text, answer.text) is not None


#: No one text fits two of these.
OPEN = [
    Open(
        6, r"Could not resolve host: certsrv", frozenset({"ca-dns-failure", "ca-dns-server-failed", "ca-url-malformed"})
    ),
    Open(6, r"Could not resolve: certsrv \(Domain name not found\)", frozenset({"ca-dns-failure", "ca-url-malformed"})),
    Open(
        6,
        r"Could not resolve host: (?!certsrv)[\w.-]+|Could not resolve host: \(nil\); Unknown error",
        frozenset({"ca-dns-failure", "ca-dns-server-failed"}),
    ),
    # (The host is not named: it may be one that is no name.)
    Open(6, r"Could not resolve host: \(nil\); Name or service not known", frozenset({"ca-dns-failure"})),
    Open(
        7,
        r"Failed to connect to \S+ port [0-9]+ after 3 ms: Could(?:n't| not) connect to server",
        frozenset({"ca-connection-refused", "ca-no-route"}),
    ),
    Open(28, r"Connection timed out after 10001 milliseconds", frozenset({"ca-connect-timeout", "ca-tls-timeout"})),
    Open(
        35,
        r".*:(?:ssl3_read_bytes)?:ssl(?:v3|/tls) alert handshake failure|gnutls_handshake\(\) failed: Handshake failed",
        frozenset({"ca-demands-client-cert", "ca-tls-cipher-mismatch"}),
    ),
    Open(35, r"Send failure: Broken pipe", frozenset({"ca-demands-client-cert", "ca-tls-broken-off"})),
    Open(35, r".*Key usage violation in certificate.*", frozenset({"ca-cert-wrong-purpose", "ca-self-signed"})),
    Open(60, r".*: unable to get local issuer certificate", frozenset({"ca-chain-untrusted", "ca-self-signed"})),
    Open(
        60,
        r"server certificate verification failed. CAfile: \S+ CRLfile: none",
        frozenset({"ca-cert-expired", "ca-cert-not-yet-valid", "ca-chain-untrusted", "ca-self-signed"}),
    ),
    Open(
        60,
        r"server certificate verification failed. CAfile: \S+ CRLfile: /\S+",
        frozenset({"ca-cert-expired", "ca-cert-revoked", "ca-chain-untrusted", "ca-self-signed"}),
    ),
]

#: Causes of an open text whose own rule is none of its alternatives: the cause is rarer than these, its text the same.
UNTOLD = {
    ("bad_cert", "server certificate verification failed"),
    ("bad_issuer", "SSL certificate problem: unable to get local issuer certificate"),
    ("bad_issuer", "server certificate verification failed"),
    ("bad_url", "Could not resolve host: (nil); Name or service not known"),
    ("ca_file", "server certificate verification failed"),
    ("weak_crypto", "server certificate verification failed"),
}


def expected(answer: Answer) -> Said | None:
    """Give the rules that speak as alternatives; None: one of the cause's own speaks alone."""
    fitting = [one.rules for one in OPEN if one.fits(answer)]
    assert len(fitting) < 2
    return fitting[0] if fitting else None


def report_of(texts: list[tuple[int, str]], head: str = LOGIN) -> Report:
    """Read each text out of a CiscoRA log of its own, as CES prints it."""
    logs = (raw(f"nginx{n:08d}.txt", f"nginx: [warn] {head} {code} ({text})\n") for n, (code, text) in enumerate(texts))
    return analyzed(*logs).report


def of_requests(report: Report) -> list[Finding]:
    """Give all that is said of CES's requests, be it no error; other rules may tell of logs that are not there."""
    rules = builtin().rules
    return [f for f in report.findings if "curl.failed" in f"{rules[f.rule].when} {rules[f.rule].likely}"]


@cache
def spoken(head: str) -> list[Said]:
    """Give what speaks on each text."""
    report = report_of([(answer.code, answer.text) for answer in ANSWERS], head)
    assert [member.member for member in report.members if member.unparsed or member.source is None] == []
    causes = {start.records[0].member: frozenset(start.causes) for start in report.starts}
    assert len(causes) == len(report.starts) == len(ANSWERS)
    assert {finding.rule for finding in of_requests(report)} == frozenset().union(*causes.values())
    return [causes[f"nginx{number:08d}.txt"] for number in range(len(ANSWERS))]


@pytest.mark.parametrize(
    "number", [pytest.param(n, id=f"{answer.code}-{min(answer.causes)}-{n}") for n, answer in enumerate(ANSWERS)]
)
def test_a_text_calls_its_rule_alone_or_those_that_it_allows(number: int) -> None:
    answer, rules = ANSWERS[number], spoken(LOGIN)[number]
    several = expected(answer)
    if several is not None:
        assert rules == several
        return
    assert len(rules) == 1
    for cause in answer.causes:
        assert rules <= OF_CAUSE[cause]


@pytest.mark.parametrize(
    ("status", "rule"),
    [
        ("400", "ca-http-rejected"),
        ("401", "ca-http-unauthorized"),
        ("403", "ca-http-forbidden"),
        ("404", "ca-http-not-found"),
        ("407", "ces-proxy-failed"),
        ("500", "ca-http-server-error"),
        ("502", "ca-http-server-error"),
        ("503", "ca-http-server-error"),
    ],
)
def test_each_http_status_has_its_rule(status: str, rule: str) -> None:
    of_status = [n for n, a in enumerate(ANSWERS) if a.code == 22 and re.search(rf"error: {status}\b", a.text)]
    assert len(of_status) == 2
    assert {spoken(LOGIN)[number] for number in of_status} == {frozenset({rule})}


def test_after_the_login_a_timeout_is_another_cause_and_all_else_the_same() -> None:
    after = {"ces-auth-timeout": "ces-enroll-timeout"}
    in_login = [frozenset(after.get(rule, rule) for rule in rules) for rules in spoken(LOGIN)]
    assert spoken(CHAIN) == in_login
    assert frozenset({"ces-enroll-timeout"}) in in_login


@pytest.mark.parametrize("one", [pytest.param(one, id=f"{one.code}-{'-'.join(sorted(one.rules))}") for one in OPEN])
def test_alternatives_name_each_other_and_none_is_certain(one: Open) -> None:
    texts = [(answer.code, answer.text) for answer in ANSWERS if one.fits(answer)]
    assert texts
    assert len(one.rules) <= 4
    for finding in of_requests(report_of(texts)):
        assert set(finding.alternatives) == one.rules - {finding.rule}
        assert (finding.confidence == "possible") == (len(one.rules) > 1)


def test_a_cause_is_among_the_alternatives_but_for_those_that_no_text_tells() -> None:
    lost = {
        (cause, answer.text)
        for answer in ANSWERS
        for cause in answer.causes
        if (several := expected(answer)) is not None and not several & OF_CAUSE[cause]
    }
    assert {(cause, text.partition(". CAfile")[0]) for cause, text in lost} == UNTOLD


def test_each_cause_has_a_text_that_calls_its_rule_alone() -> None:
    told = [(answer, rules) for answer, rules in zip(ANSWERS, spoken(LOGIN), strict=True) if len(rules) == 1]
    for cause, own in OF_CAUSE.items():
        # Two faults at once: libcurl tells of one of them.
        if "+" not in cause:
            assert own == frozenset().union(*(rules & own for answer, rules in told if cause in answer.causes))


def test_the_texts_are_of_every_cause_and_the_rules_of_the_tables_exist() -> None:
    assert {cause for answer in ANSWERS for cause in answer.causes} == OF_CAUSE.keys()
    assert {build for answer in ANSWERS for builds in answer.causes.values() for build in builds} == {
        *("7.29", "7.29c", "7.61", "7.62c", "7.74", "7.88", "7.88g", "8.14")
    }
    assert len(ANSWERS) > 200
    named = frozenset().union(*OF_CAUSE.values(), *(one.rules for one in OPEN))
    assert named <= builtin().rules.keys()


# ---- other builds and other words ----------------------------------------------------------------------------------

BRACKETS = "SSL certificate OpenSSL verify result: "
BORING = "error:100000f7:SSL routines:OPENSSL_internal:"


@pytest.mark.parametrize(
    ("code", "text", "rules"),
    [
        # libcurl 8.23 gives OpenSSL's number too.
        (60, f"{BRACKETS}unable to get local issuer certificate (20)", {"ca-chain-untrusted", "ca-self-signed"}),
        (60, f"{BRACKETS}self-signed certificate (18)", {"ca-self-signed"}),
        (60, f"{BRACKETS}self-signed certificate in certificate chain (19)", {"ca-chain-untrusted"}),
        (60, f"{BRACKETS}certificate has expired (10)", {"ca-cert-expired"}),
        (60, f"{BRACKETS}certificate revoked (23)", {"ca-cert-revoked"}),
        (60, f"{BRACKETS}CRL has expired (12)", {"ca-crl-unusable"}),
        (60, f"{BRACKETS}CA signature digest algorithm too weak (68)", {"ca-cert-weak"}),
        (7, "Failed to connect to ca.a.example:443 after 3 ms: Connection refused", {"ca-connection-refused"}),
        (6, "Could not resolve host: ca.a.example (Name or service not known)", {"ca-dns-failure"}),
        (6, "Could not resolve host: ca.a.example (Temporary failure in name resolution)", {"ca-dns-server-failed"}),
        (
            60,
            "SSL: no alternative certificate subject name matches target IPv4 address '::1'",
            {"ca-hostname-mismatch"},
        ),
        # OpenSSL 3.6
        (
            60,
            "SSL certificate problem: certificate is not yet valid or the system clock is incorrect",
            {"ca-cert-not-yet-valid"},
        ),
        # BoringSSL
        (35, f"{BORING}WRONG_VERSION_NUMBER", {"ca-port-not-tls"}),
        (35, f"{BORING}TLSV1_ALERT_PROTOCOL_VERSION", {"ca-tls-version-mismatch"}),
        (35, f"{BORING}UNSUPPORTED_PROTOCOL", {"ca-tls-version-mismatch"}),
        (35, f"{BORING}SSLV3_ALERT_HANDSHAKE_FAILURE", {"ca-demands-client-cert", "ca-tls-cipher-mismatch"}),
        (35, f"{BORING}KEY_USAGE_BIT_INCORRECT", {"ca-cert-wrong-purpose", "ca-self-signed"}),
        # GnuTLS with libcurl 8
        (
            60,
            "server verification failed: certificate signer not trusted. (CAfile: /etc/trust/ca.pem CRLfile: none)",
            {"ca-chain-untrusted", "ca-self-signed"},
        ),
        (
            60,
            "server verification failed: certificate has expired. (CAfile: /etc/trust/ca.pem CRLfile: none)",
            {"ca-cert-expired"},
        ),
        (60, "certificate error, no details available", {"ca-cert-not-yet-valid"}),
        # NSS
        (60, "Peer's Certificate issuer is not recognized.", {"ca-chain-untrusted", "ca-self-signed"}),
        (60, "Peer's Certificate has expired.", {"ca-cert-expired", "ca-cert-not-yet-valid"}),
        (60, "Peer's Certificate has been revoked.", {"ca-cert-revoked"}),
        (60, "Issuer certificate is invalid.", {"ca-issuer-invalid", "ca-self-signed"}),
        (
            51,
            "Unable to communicate securely with peer: requested domain name does not match the server's certificate.",
            {"ca-hostname-mismatch"},
        ),
        (35, "Peer reports incompatible or unsupported protocol version.", {"ca-tls-version-mismatch"}),
        (35, "SSL received a record that exceeded the maximum permissible length.", {"ca-port-not-tls"}),
        (35, "Cannot communicate securely with peer: no common encryption algorithm(s).", {"ca-tls-cipher-mismatch"}),
        # The TLS library's words, in the packages of 8.6 and 8.14
        (35, "error:0A0000C6:SSL routines::packet length too long", {"ca-port-not-tls"}),
        # c-ares
        (6, "Could not resolve: ca.a.example (Timeout while contacting DNS servers)", {"ca-dns-timeout"}),
        (6, "Could not resolve: ca.a.example (DNS server refused query)", {"ca-dns-server-failed"}),
        # Resolvers before 7.76
        (6, "Couldn't resolve host 'ca.a.example'", {"ca-dns-failure", "ca-dns-server-failed"}),
        (6, "Couldn't resolve host 'ca a.example'", {"ca-url-malformed"}),
        (6, "Could not resolve host: ca.a.example; Name or service not known", {"ca-dns-failure"}),
        # Timeouts
        (28, "Connection timeout after 10001 ms", {"ca-connect-timeout"}),
        (28, "Connection time-out", {"ca-connect-timeout"}),
        (28, "Operation timed out after 0 milliseconds with 0 out of 0 bytes received", {"ca-tls-timeout"}),
        (28, "name lookup timed out", {"ca-dns-timeout"}),
        (28, "Operation timed out after 30001 milliseconds with 0 bytes received", {"ces-auth-timeout"}),
        # A client certificate with TLS 1.3: timing decides.
        (55, "Send failure: Broken pipe", {"ca-connection-reset", "ca-demands-client-cert"}),
        (98, "TLS cert problem: certificate required", {"ca-demands-client-cert"}),
        # curl_easy_strerror, where the buffer is empty
        (6, "Couldn't resolve host name", {"ca-dns-failure", "ca-dns-server-failed"}),
        (7, "Couldn't connect to server", {"ca-connection-refused", "ca-no-route"}),
        (28, "Timeout was reached", {"ces-auth-timeout"}),
        (51, "SSL peer certificate or SSH remote key was not OK", {"ca-hostname-mismatch"}),
        (60, "SSL peer certificate or SSH remote key was not OK", {"ca-chain-untrusted", "ca-self-signed"}),
        (
            60,
            "Peer certificate cannot be authenticated with given CA certificates",
            {"ca-chain-untrusted", "ca-self-signed"},
        ),
        (52, "Server returned nothing (no headers, no data)", {"ca-answer-cut-short"}),
        (77, "Problem with the SSL CA cert (path? access rights?)", {"ces-trust-unreadable"}),
        # Codes that no rule knows better
        (23, "Failed writing body", {"ca-request-failed"}),
        (35, "SSL connect error", {"ca-request-failed"}),
        (92, "HTTP/2 stream 0 was not closed cleanly: PROTOCOL_ERROR (err 1)", {"ca-request-failed"}),
        (999, "what is to come", {"ca-request-failed"}),
    ],
)
def test_a_text_of_another_build(code: int, text: str, rules: set[str]) -> None:
    report = report_of([(code, text)])
    (start,) = report.starts
    assert set(start.causes) == rules


def test_names_that_read_like_words_of_libcurl_call_no_rule() -> None:
    name = "refused.reset.resolve.tls-alert.expired-self-signed.timeout.corp.example"
    texts = {
        (6, f"Could not resolve: {name} (Domain name not found)"): {"ca-dns-failure"},
        (7, f"Failed to connect to {name} port 443: No route to host"): {"ca-no-route"},
        (28, f"Failed to connect to {name} port 443 after 10001 ms: Timeout was reached"): {"ca-connect-timeout"},
        (35, f"Unknown SSL protocol error in connection to {name}:443 "): {"ca-tls-broken-off"},
        (60, f"SSL: certificate subject name '{name}' does not match target host name 'ca'"): {"ca-hostname-mismatch"},
    }
    for (code, text), rules in texts.items():
        assert {finding.rule for finding in of_requests(report_of([(code, text)]))} == rules


def test_another_limit_than_ten_seconds_is_told_beside_the_cause() -> None:
    said = {}
    for limit in (10000, 10041, 30001):
        report = report_of([(28, f"Operation timed out after {limit} milliseconds with 0 bytes received")])
        said[limit] = {(finding.rule, finding.severity, finding.confidence) for finding in of_requests(report)}
    cause = ("ces-auth-timeout", "error", "certain")
    assert said == {
        10000: {cause},
        10041: {cause},
        30001: {cause, ("ces-timeout-configurable", "info", "likely")},
    }
