"""Small models made by hand, after the log lines of Cisco 214396."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from capflog.model import (
    Clock,
    Enrollment,
    Evidence,
    Finding,
    Gap,
    Member,
    Record,
    Report,
    Row,
    ServiceStart,
    Timeline,
)
from capflog.zones import Zone, named

if TYPE_CHECKING:
    from collections.abc import Callable

EASTERN = -5 * 3600
ZONE = Zone.fixed(EASTERN)
NEW_YORK = named("America/New_York")

CAPF = "cucm-pub/2019-03-05_13-20-11/cm/trace/capf/sdi/capf00000001.txt"
CISCORA = "cucm-pub/2019-03-05_13-20-11/cm/trace/capf/sdi/nginx00000001.txt"
NGINX = "cucm-pub/error.log"
IIS = "ca/u_ex190305.log"
PHONE, OTHER, THIRD = "SEP001F6C81118B", "SEP74A02FC0A675", "SEPB8621F9C4D10"

UNTRUSTED = (
    "nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code 60 "
    "(SSL certificate problem: unable to get local issuer certificate)"
)
RESTART = """Restart Cisco Certificate Enrollment Service, then Cisco CAPF, on the publisher:
  utils service restart Cisco Certificate Enrollment Service
"""
URL_USED = "nginx: [warn] login_to_certsrv_ca: URL used: https://lab-dc.michamen.com:443/certsrv"


def at(clock: str, day: str = "2019-03-05") -> datetime:
    """A time of the node's clock, UTC-05:00, as the model has it: in UTC."""
    return (datetime.fromisoformat(f"{day} {clock}") - timedelta(seconds=EASTERN)).replace(tzinfo=UTC)


def finding(rule: str, title: str, **given: Any) -> Finding:
    """A finding with everything that a rule says."""
    values: dict[str, Any] = {
        "severity": "error",
        "confidence": "certain",
        "devices": [PHONE, OTHER],
        "scope": "service",
        "first": at("12:31:03.390"),
        "last": at("12:32:09.172"),
        "occurrences": 1,
        "resolved": False,
        "evidence": [
            Evidence(CISCORA, 13, UNTRUSTED, None, "ciscora"),
            Evidence(CISCORA, 14, URL_USED, at("12:31:21"), "ciscora"),
        ],
        "evidence_total": 2,
        "explanation": (
            "CES checks the certificate that the CA's web server (IIS) presents against its trust store.\n"
            "The root or an intermediate of that certificate's chain is not in CAPF-trust, so CES\n"
            "breaks off before it logs in.\n"
        ),
        "remedy": [
            "Export the root and every intermediate of the chain of the IIS certificate (Base-64).",
            "Upload each as CAPF-trust: OS Administration > Security > Certificate Management.",
            RESTART,
        ],
        "verify": [
            "Look at the chain that IIS presents:\n  openssl s_client -connect lab-dc.michamen.com:443 -showcerts"
        ],
        "alternatives": [],
        "references": [
            {
                "title": "Cisco 214396, Troubleshooting CAPF Online CA",
                "url": "https://www.cisco.com/c/en/us/support/docs/unified-communications/214396-online-ca.html",
            }
        ],
    }
    return Finding(rule=rule, title=title, **(values | given))


def chain(**given: Any) -> Finding:
    """A CA certificate that CES lacks."""
    return finding("ca-chain-untrusted", "CES does not trust the certificate of the CA's web server", **given)


def self_signed(**given: Any) -> Finding:
    """What the same lines can mean as well."""
    values: dict[str, Any] = {
        "explanation": "The web server presents a certificate that no CA has signed. CES supports none such.",
        "remedy": ["Have the CA issue a web server certificate and bind it in IIS to port 443."],
        "verify": ["Issuer and subject of the certificate are the same."],
        "references": [],
    }
    return finding("ca-self-signed", "The CA's web server presents a self-signed certificate", **(values | given))


def enrollment(number: int, device: str | None, clock: str, outcome: str, **given: Any) -> Enrollment:
    """An enrollment that took ten seconds, without its records."""
    started = at(clock)
    told = {"issued": ("EST_ERR_NONE", 0), "failed": ("EST_ERR_SSL_READ", 35), "incomplete": (None, None)}[outcome]
    values: dict[str, Any] = {
        "started": started,
        "ended": None if outcome == "incomplete" else started + timedelta(seconds=10.038),
        "reached": "call",
        "missing": None if outcome == "issued" else "connect",
        "est_error": told[0],
        "est_value": told[1],
        "records": [],
        "causes": ["ca-chain-untrusted", "ca-self-signed"] if outcome == "failed" else [],
    }
    return Enrollment(id=f"e{number}", device=device, outcome=outcome, **(values | given))  # type: ignore[arg-type]


def record(line: int = 2, **given: Any) -> Record:
    """A record of the phone's failing enrollment."""
    values: dict[str, Any] = {
        "member": CAPF,
        "source": "capf",
        "event": "est.enroll.call",
        "time": at("12:37:54.741"),
        "earliest": at("12:37:54.741"),
        "latest": at("12:37:54.741"),
        "confidence": "certain",
        "text": f"12:37:54.741 |   debug 2:{PHONE}:Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{PHONE}.csr",
        "step": "call",
    }
    return Record(line=line, **(values | given))


def clocks() -> list[Clock]:
    """Clocks of each kind: the reference, one behind, one that logs no time."""
    return [
        Clock("capf", [CAPF], EASTERN, 0.0, 0.0, "reference", False, "log_access carries -0500"),
        Clock("ciscora", [CISCORA], None, None, None, "none", False, "its lines bear no time"),
        Clock("nginx", [NGINX], EASTERN, 0.0, 0.5, "good", False, "runs on the node's own clock"),
        Clock("iis", [IIS], 0, -2.4, 0.8, "good", False, "matched 7 of 7 requests"),
    ]


def empty(**given: Any) -> Report:
    """A report on a bundle in which nothing is."""
    values: dict[str, Any] = {
        "bundle": "empty.zip",
        "members": [],
        "clocks": [],
        "enrollments": [],
        "starts": [],
        "findings": [],
        "gaps": [],
        "verdict": "inconclusive",
        "devices": [],
        "unattributed": 0,
    }
    return Report(**(values | given))


def failing() -> Report:
    """A start of CES that failed, two phones that got no answer, one that had its certificate before."""
    first = enrollment(1, THIRD, "12:10:05.100", "issued", reached="answer")
    second = enrollment(2, PHONE, "12:37:54.741", "failed", records=[record()])
    third = enrollment(3, OTHER, "12:41:10.002", "failed")
    fourth = enrollment(4, OTHER, "13:02:44.950", "incomplete")
    return empty(
        bundle="case-700123.zip",
        members=[
            Member(CAPF, "capf", "parsed", None, "40 of 40 lines: CAPF's stamp and bar", 12345, 3210, 0,
                   at("12:10:05.100"), at("13:02:44.950")),
            Member(CISCORA, "ciscora", "parsed", None, "18 of 33 lines: nginx's start-up copy", 33, 30, 2,
                   None, None, [(7, "Segmentation fault"), (8, "  \x1b[2Jcore dumped")]),
            Member(NGINX, "nginx", "partial", "damaged at byte 81920", "12 of 12 lines: nginx's stamp and level", 912,
                   64, 0, at("12:31:21"), at("12:58:00")),
            Member(IIS, "iis", "parsed", None, "#Fields: of IIS", 20, 14, 0, at("12:10:03"), at("12:10:04")),
            Member("cucm-pub/TraceCollectionResult.xml", None, "skipped", "not a log that capflog knows",
                   "no line has the shape of a log that capflog knows", 44, 0, 44, None, None),
        ],
        clocks=clocks(),
        enrollments=[first, second, third, fourth],
        starts=[
            ServiceStart(at("12:05:00"), at("12:05:00"), at("12:05:01"), True, 2011, [record(1)]),
            ServiceStart(None, at("12:31:03"), at("12:32:09"), False, 31067, [],
                         ["ca-chain-untrusted", "ca-self-signed"]),
        ],
        findings=[
            chain(alternatives=["ca-self-signed"], confidence="likely"),
            self_signed(alternatives=["ca-chain-untrusted"], confidence="likely"),
            finding(
                "clock-behind", "The CA's clock runs behind the CUCM node's", severity="warning", scope="service",
                devices=[], evidence=[], evidence_total=0, explanation="The clocks differ by 2.4 seconds.",
                remedy=["Point both at the same NTP server."], verify=[], references=[],
            ),
        ],
        gaps=[
            Gap("iis-window", "The IIS log ends before the failed enrollments begin.",
                "On the CA: %SystemDrive%\\inetpub\\logs\\LogFiles\\W3SVC1\\u_ex190305.log"),
        ],
        verdict="failing",
        devices=[PHONE, OTHER, THIRD],
        unattributed=3,
    )  # fmt: skip


def healthy() -> Report:
    """One phone that got its certificate, and a start of CES that went well."""
    return empty(
        bundle="good.zip",
        members=[Member(CAPF, "capf", "parsed", None, "", 63, 12, 0, at("14:05:04.628"), at("14:05:05.971"))],
        clocks=clocks()[:1],
        enrollments=[enrollment(1, OTHER, "14:05:04.628", "issued", ended=at("14:05:05.236"), reached="answer")],
        starts=[ServiceStart(at("12:31:21"), None, None, True, 31067, [])],
        verdict="healthy",
        devices=[OTHER],
    )


def row(clock: str | None, source: str, member: str, line: int, text: str, **given: Any) -> Row:
    """A row of the timeline, at an exact time."""
    time = None if clock is None else at(clock)
    values: dict[str, Any] = {
        "time": time,
        "earliest": time,
        "latest": time,
        "level": None,
        "event": "some.event",
        "enrollment": "e1",
        "confidence": "certain",
        "step": None,
        "mark": "",
    }
    return Row(source=source, member=member, line=line, text=text, **(values | given))


def timeline() -> Timeline:
    """A failing enrollment after a failed start of CES, and a good one the next day."""
    outside: dict[str, Any] = {"enrollment": None, "confidence": None}
    return Timeline(
        device=PHONE,
        bundle="case-700123.zip",
        zone=ZONE,
        enrollments=[
            enrollment(1, PHONE, "12:37:54.741", "failed"),
            enrollment(2, PHONE, "09:00:00.000", "issued", started=at("23:59:59.500"),
                       ended=at("00:00:00.108", "2019-03-06"), reached="answer"),
        ],
        rows=[
            row(None, "ciscora", CISCORA, 13, UNTRUSTED, level="warn", earliest=at("12:31:03.390"),
                latest=at("12:32:09.172"), mark="cause", **outside),
            row("12:37:54.741", "capf", CAPF, 2, f"12:37:54.741 |   debug 2:{PHONE}:CA Mode is OnlineCA, "
                "Initiating Automatic Certificate Enrollment", step="call"),
            row("12:37:54.741", "capf", CAPF, 5,
                f"12:37:54.741 |   debug 2:{PHONE}:Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{PHONE}.csr",
                step="call"),
            row("12:37:55", "nginx", NGINX, 40, "2019/03/05 12:37:55 [info] 3187#0: *2 ra_certsrv_auth_curl_data_cb: "
                "Rcvd data len: 163 while SSL EST handshaking, client: 14.48.31.128, server: 0.0.0.0:8084",
                level="info", latest=at("12:37:56"), confidence="likely"),
            row("12:37:57.100", "iis", IIS, 9, "2019-03-05 17:37:54 14.48.31.152 GET /certsrv - 443 - 14.48.31.125 "
                "CiscoRA+1.0 - 401 1 2148074254 0", earliest=at("12:37:56.300"), latest=at("12:37:57.900"),
                confidence="likely", step="login"),
            row("12:38:00.000", "capf", CAPF, 9, "12:38:00.000 |   debug addded 6 to readset", **outside),
            row("12:38:04.779", "capf", CAPF, 14,
                f"12:38:04.779 |   debug 2:{PHONE}:Enrollment rv = 35 (EST_ERR_SSL_READ) with pkcs7 length = 0",
                mark="fault", step="answer"),
            row("13:00:00.000", "capf", CAPF, 90, "13:00:00.000 |   findAndPost Device found in the cache map",
                **outside),
            row("23:59:59.500", "capf", CAPF, 112, f"23:59:59.500 |   debug 3:{PHONE}:CA Mode is OnlineCA, Initiating "
                "Automatic Certificate Enrollment", enrollment="e2", step="call"),
            row("00:00:00.108", "capf", CAPF, 120, f"00:00:00.108 |   debug 3:{PHONE}:Enrollment rv = 0 (EST_ERR_NONE) "
                "with pkcs7 length = 1963", enrollment="e2", time=at("00:00:00.108", "2019-03-06"), step="answer"),
        ],
        findings={"ca-chain-untrusted": "CES does not trust the certificate of the CA's web server",
                  "ca-self-signed": "The CA's web server presents a self-signed certificate"},
        lacking=["The IIS log ends before the failed enrollments begin."],
    )  # fmt: skip


HOSTILE = (
    "[/x][bold] :smile: \x1b[2J\x1b]8;;http://evil.example\x07click\x1b]8;;\x07 \x9b31m \u202eabc\u2066 "
    "a\nFORGED\r\nFORGED\u2028FORGED\x85 \x00\x7f\u200b \udce9 "
    + "漢字" * 45
    + "e" + "\u0301" * 9 + " 😀\ufe0f " + "x" * 90
)  # fmt: skip

_WORDS_OF_THE_MODEL = {"outcome", "status", "severity", "confidence", "scope", "verdict", "quality", "mark", "source"}


def poisoned(thing: Any, name: str = "") -> Any:
    """The same model, with hostile text behind every text that a log, a bundle or a rule can fill."""
    if isinstance(thing, str):
        return thing if name in _WORDS_OF_THE_MODEL else thing + HOSTILE
    if isinstance(thing, list):
        return [poisoned(part, name) for part in thing]
    if isinstance(thing, tuple):
        return tuple(poisoned(part, name) for part in thing)
    if isinstance(thing, dict):
        # A timeline's titles go by the rules' ids, which are poisoned too; a reference's parts have fixed names.
        return {poisoned(k) if name == "findings" else k: poisoned(part, k) for k, part in thing.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        return replace(thing, **{f.name: poisoned(getattr(thing, f.name), f.name) for f in fields(thing)})
    return thing


WIDTHS = (40, 80, 160)


def check_page(render: Callable[..., str]) -> None:
    """Prove of a page, whatever its text: no line too wide, nothing that acts, colour adds nothing but colour."""
    for width in WIDTHS:
        for unicode in (True, False):
            plain = render(width=width, color=False, unicode=unicode)
            assert plain.endswith("\n")
            assert not plain.endswith("\n\n")
            for line in plain[:-1].split("\n"):
                assert line.isprintable(), line
                assert line == line.rstrip()
                assert cell_len(line) <= width, line
            assert unicode or plain.isascii()
            assert "\n\n\n" not in plain
            if width == 80:
                colored = render(width=width, color=True, unicode=unicode)
                assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain
