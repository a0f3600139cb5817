"""What the rules say to logs that the real programs printed: libEST's server and client, NGINX, and both in one file.

``data/real_logs.zip`` holds one folder for each scenario that was played in a lab (libEST 2.1.0 with its example server
and client, NGINX 1.22.1; no CUCM, no CES plugin). The table says what was done in each, and which rules of severity
error or warning must speak on it: none but these. What other programs wrote into the same files is counted, too.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .scenes import Held, analyzed

if TYPE_CHECKING:
    from capflog.model import Report

LOGS = Path(__file__).parent / "data" / "real_logs.zip"

#: A record of the programs whose lines capflog reads.
RECORD = re.compile(r"\*\*\*EST \[|nginx: \[|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[")


@dataclass(frozen=True)
class Played:
    """A scenario: what was done, the rules that name its cause, and how many lines of each file are others' output."""

    done: str
    rules: frozenset[str] = frozenset()
    others: dict[str, int] = field(default_factory=dict)


def cause(*rules: str) -> frozenset[str]:
    return frozenset(rules)


NONE = cause()

#: The example client's own words, which are no libEST record: "Using EST server ...", "enrollment rv = ...".
CLIENT = {"estclient.log": 7}

TABLE = {
    # libEST alone
    "est-2.1.0-auth-none": Played(
        "the client gives neither user name nor password", cause("capf-credentials-empty"), CLIENT
    ),
    "est-2.1.0-auth-wrong-password": Played("the client gives a wrong password", cause("ces-login-refused"), CLIENT),
    "est-2.1.0-client-fqdn-mismatch": Played(
        "the client calls the server by a name that its certificate lacks", cause("est-client-name-mismatch"), CLIENT
    ),
    "est-2.1.0-client-http-400": Played(
        "the server answers 400; its log is not there", cause("est-client-refused"), CLIENT
    ),
    "est-2.1.0-client-http-500": Played(
        "the server answers 500; its log is not there", cause("est-client-refused"), CLIENT
    ),
    "est-2.1.0-client-read-timeout-10s": Played(
        "the server takes the request and is silent", cause("est-client-not-answered"), CLIENT
    ),
    "est-2.1.0-client-untrusted-server-cert": Played(
        "the client trusts another CA than the server's",
        cause("est-client-tls-failed"),
        # The client prints the certificate as openssl does.
        {"estclient.log": 46},
    ),
    "est-2.1.0-ok-simpleenroll": Played(
        "an enrollment that succeeds", NONE, {"estclient.log": 28, "estserver.log": 121}
    ),
    "est-2.1.0-pop-missing": Played(
        "the server asks for a proof of possession, the client gives none", cause("ces-pop-expected"), CLIENT
    ),
    "est-2.1.0-raw-bad-csr-signature": Played("a CSR whose signature is broken", cause("phone-csr-signature-bad")),
    "est-2.1.0-raw-client-reset-after-post": Played(
        "the client resets the connection right after its request",
        cause("capf-gone-before-answer"),
        {"estserver.log": 270},
    ),
    "est-2.1.0-raw-ok": Played("a request made by hand that succeeds", NONE, {"estserver.log": 90}),
    "est-2.1.0-retry-after-202": Played(
        "the server holds the request for approval (202)",
        cause("ca-request-pending"),
        {"estclient.log": 4, "estserver.log": 22},
    ),
    "est-2.1.0-server-down": Played("nothing listens at the server's port", cause("est-client-not-connected"), CLIENT),
    # What failed is the example server's own listening, in its own words ("bind call failed"); CES listens by NGINX.
    "est-2.1.0-start-port-in-use": Played("the port is taken", NONE, {"estserver.log": 5}),
    "est-2.1.0-threads-interleaved": Played(
        "four clients at once, three enrollments each, all succeed",
        NONE,
        {"estclient.log": 284, "estserver.log": 1452},
    ),
    # A client that offers what the server does not take is a scanner, as far as the log tells: of severity info.
    "est-2.1.0-tls-version-mismatch": Played("the client offers TLS 1.3 alone", NONE),
    "mixed-nginx-libest": Played(
        "NGINX before libEST: six single enrollments and four at once; wrong passwords, one that waits for approval",
        cause("ces-login-refused", "ca-request-pending"),
        {"error.log": 506, "estclient.log": 86},
    ),
    # NGINX alone. CES is no proxy: an upstream that fails is no cause of this feature's.
    "nginx-client-handshake-garbage": Played("a client sends no TLS (info)"),
    "nginx-client-tls-version": Played("a client offers TLS 1.1 at most (info)"),
    "nginx-ipv6-clients": Played("clients ask for files that are not there"),
    "nginx-long-lines": Played("names so long that NGINX cuts its records"),
    "nginx-odd-characters": Played("names and headers that look like a record's context"),
    "nginx-ok-proxy-new-york-tz": Played("requests that succeed, in another time zone"),
    "nginx-reload": Played("the configuration is read again; the upstream refuses"),
    "nginx-start-host-not-found-upstream": Played(
        "the configuration names a host that does not resolve", cause("ces-config-host-not-found")
    ),
    "nginx-start-port-in-use": Played("the port is taken", cause("ces-port-in-use")),
    "nginx-start-warn-stapling": Played("a warning as it starts, which is none of ours"),
    "nginx-upstream-read-timeout-10s": Played("the upstream is silent and the client goes away"),
    "nginx-upstream-refused": Played("the upstream refuses the connection"),
    "nginx-upstream-verify-untrusted": Played("the upstream's certificate is not trusted"),
    "nginx-worker-killed": Played("a worker is killed twice", cause("ces-worker-died")),
}


@cache
def members() -> dict[str, list[Held]]:
    """Give the logs of each folder."""
    found: dict[str, list[Held]] = {}
    with zipfile.ZipFile(LOGS) as archive:
        for name in archive.namelist():
            folder, _, file = name.partition("/")
            found.setdefault(folder, []).append(Held(file, archive.read(name)))
    return found


@cache
def report_of(folder: str) -> Report:
    return analyzed(*members()[folder]).report


def test_the_table_has_every_folder_and_no_other() -> None:
    assert sorted(TABLE) == sorted(members())


@pytest.mark.parametrize("folder", TABLE)
def test_the_rules_name_what_was_done_and_nothing_else(folder: str) -> None:
    spoke = {finding.rule for finding in report_of(folder).findings if finding.severity != "info"}
    assert spoke == TABLE[folder].rules


@pytest.mark.parametrize("folder", TABLE)
def test_every_line_of_these_programs_is_understood(folder: str) -> None:
    report = report_of(folder)
    assert all(member.source for member in report.members)
    assert {m.member: m.unparsed for m in report.members if m.unparsed} == TABLE[folder].others
    assert [text for m in report.members for _, text in m.unknown if RECORD.match(text)] == []


def test_a_success_is_told_as_one() -> None:
    succeed = ("est-2.1.0-ok-simpleenroll", "est-2.1.0-raw-ok", "est-2.1.0-threads-interleaved")
    assert {report_of(folder).verdict for folder in succeed} == {"healthy"}
    assert {e.outcome for folder in succeed for e in report_of(folder).enrollments} == {"issued"}
