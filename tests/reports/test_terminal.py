"""What `analyze` prints: the verdict in words, causes with their proof, and nothing that a log could forge."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from capflog.model import Clock, ClockStep, Evidence, Gap, Member, ServiceStart
from capflog.reports.terminal import render
from capflog.zones import Zone, named
from tests.reports import handmade as h

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from capflog.model import Report


def text_of(report: Report, width: int = 80, zone: Zone | None = h.ZONE, **look: Any) -> str:
    return render(report, **({"width": width, "color": False, "unicode": True, "zone": zone} | look))


def section(text: str, title: str) -> str:
    """The lines below a heading, up to the next one."""
    found = re.search(rf"^{title}\n(.*?)(?:\n\n(?=[A-Z ]+\n)|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, text
    return found[1].rstrip("\n")


@pytest.mark.parametrize("width", [80, 160])
def test_a_failing_bundle(width: int, snapshot: SnapshotAssertion) -> None:
    assert text_of(h.failing(), width) == snapshot


def test_a_failing_bundle_in_ascii_and_without_a_zone(snapshot: SnapshotAssertion) -> None:
    assert text_of(h.failing(), zone=None, unicode=False) == snapshot


def test_a_healthy_bundle() -> None:
    assert text_of(h.healthy()) == (
        "HEALTHY  1 of 1 enrollment was issued, and CES started well.\n"
        "\n"
        "Read     good.zip: 1 of 1 member read as logs of CAPF\n"
        "Time     2019-03-05 14:05:04 to 14:05:05; times are UTC-05:00, the CUCM node's\n"
        "         zone\n"
        "Found    1 device, 1 enrollment: 1 issued; starts: CES 1\n"
        "\n"
        "DEVICES\n"
        "  device           tries  last one  at UTC-05:00\n"
        "  SEP74A02FC0A675      1  issued    14:05:05\n"
        "\n"
        "STARTS OF CES\n"
        "  at UTC-05:00         result    pid\n"
        "  2019-03-05 12:31:21  ok      31067\n"
        "\n"
        "CLOCKS\n"
        "  CAPF  the reference: the CUCM node's clock; UTC-05:00 (log_access carries\n"
        "        -0500)\n"
    )


def test_an_empty_report_has_no_empty_sections() -> None:
    assert text_of(h.empty()) == (
        "INCONCLUSIVE  Nothing in the bundle is a log that capflog knows.\n"
        "\n"
        "Read     empty.zip: 0 of 0 members read as logs\n"
        "Found    0 devices, 0 enrollments\n"
    )


CAPF_READ = Member(h.CAPF, "capf", "parsed")
FAILED = h.enrollment(1, h.PHONE, "12:00:00", "failed")
ISSUED = h.enrollment(2, h.PHONE, "12:10:00", "issued")
STARTED = ServiceStart(h.at("11:00:00"), None, None, True, 1, [])


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (
            {"verdict": "failing", "findings": [h.finding("x", "A note", severity="info"), h.chain()]},
            ["FAILING  CES does not trust the certificate of the CA's web server"],
        ),
        (
            {"verdict": "failing", "findings": [h.finding("old", "Gone", resolved=True), h.chain()]},
            ["FAILING  CES does not trust the certificate of the CA's web server"],
        ),
        (
            {
                "verdict": "failing",
                "findings": [
                    h.chain(alternatives=["ca-self-signed"]),
                    h.self_signed(alternatives=["ca-chain-untrusted"]),
                ],
            },
            [
                "FAILING  One of these, which the logs cannot tell apart:",
                "         - CES does not trust the certificate of the CA's web server",
                "         - The CA's web server presents a self-signed certificate",
            ],
        ),
        (
            {"verdict": "failing", "enrollments": [FAILED, ISSUED]},
            ["FAILING  1 of 2 enrollments failed, and no rule says why."],
        ),
        ({"verdict": "failing"}, ["FAILING  The last start of CES failed, and no rule says why."]),
        (
            {"verdict": "degraded", "enrollments": [FAILED, ISSUED], "findings": [h.chain(resolved=True)]},
            [
                "DEGRADED  1 of 2 enrollments failed.",
                "          A later success shows that the cause is gone:",
                "          CES does not trust the certificate of the CA's web server",
            ],
        ),
        (
            {"verdict": "degraded", "enrollments": [FAILED, ISSUED], "findings": [h.chain()]},
            [
                "DEGRADED  1 of 2 enrollments failed.",
                "          CES does not trust the certificate of the CA's web server",
            ],
        ),
        ({"verdict": "degraded"}, ["DEGRADED  Not all went well."]),
        ({"verdict": "healthy", "enrollments": [ISSUED, ISSUED]}, ["HEALTHY  2 of 2 enrollments were issued."]),
        (
            {"verdict": "healthy", "enrollments": [ISSUED, ISSUED], "starts": [STARTED]},
            ["HEALTHY  2 of 2 enrollments were issued, and CES started well."],
        ),
        ({"verdict": "healthy", "starts": [STARTED]}, ["HEALTHY  CES started well; no device tried to enroll."]),
        ({"verdict": "healthy"}, ["HEALTHY  Nothing failed."]),
        (
            {"members": [CAPF_READ], "gaps": [Gap("g", "The CA's log is missing.", "Fetch it.")]},
            ["INCONCLUSIVE  The logs do not tell enough.", "              The CA's log is missing."],
        ),
        (
            {"members": [CAPF_READ], "enrollments": [h.enrollment(1, h.PHONE, "12:00:00", "incomplete")]},
            ["INCONCLUSIVE  No enrollment is seen from its start to its answer; 1 is in part."],
        ),
        ({"members": [CAPF_READ]}, ["INCONCLUSIVE  The logs show no enrollment and no start of CES."]),
    ],
)
def test_the_verdict_says_it_in_words(given: dict[str, Any], verdict: list[str]) -> None:
    assert text_of(h.empty(**given)).split("\n\n")[0].splitlines() == verdict


def test_a_cause_in_full() -> None:
    cause = h.finding(
        "ca-dns-failure",
        "DNS does not know the CA's name",
        scope="device",
        devices=[h.PHONE],
        occurrences=12,
        resolved=True,
        evidence=[Evidence(h.CISCORA, 3, "nginx: [warn] Could not resolve: lab-dcc.michamen.com", h.at("12:31:21.500"),
                             "ciscora")],
        evidence_total=9,
        explanation="The name is misspelt.",
        remedy=["Correct it.", "Restart CAPF."],
        verify=["Ask DNS:\n  utils network host lab-dcc.michamen.com"],
        alternatives=["ca-dns-timeout", "clock-behind"],
        references=[{"title": "Cisco 214396"}],
    )  # fmt: skip
    other = h.finding("clock-behind", "The CA's clock is behind", severity="warning")
    text = section(text_of(h.empty(findings=[cause, other])), "CAUSES")
    assert text == (
        "\n"
        "1  DNS does not know the CA's name\n"
        "   ca-dns-failure, error, certain\n"
        "   Whom     1 device: SEP001F6C81118B\n"
        "   When     2019-03-05 12:31:03 to 12:32:09 UTC-05:00; 12 times; resolved: a\n"
        "            later success shows that it is gone\n"
        "   Why      The name is misspelt.\n"
        "   Proof    cucm-pub/2019-03-05_13-20-11/cm/trace/capf/sdi/nginx00000001.txt:3\n"
        "            2019-03-05 12:31:21 UTC-05:00\n"
        "              nginx: [warn] Could not resolve: lab-dcc.michamen.com\n"
        "            and 8 more\n"
        "   Do       1. Correct it.\n"
        "            2. Restart CAPF.\n"
        "   Confirm  1. Ask DNS:\n"
        "                 utils network host lab-dcc.michamen.com\n"
        "   Or       ca-dns-timeout\n"
        "            clock-behind: The CA's clock is behind\n"
        "            The same lines allow this too; to tell them apart: capflog rule ID\n"
        "   See      Cisco 214396"
    )


def test_a_proof_line_can_be_read_in_full() -> None:
    line = "curl " + "w" * 300 + " end of the line"
    report = h.empty(findings=[h.chain(evidence=[Evidence("m", 1, line, None, "ciscora")], evidence_total=1)])
    proof = section(text_of(report), "CAUSES").split("Proof")[1].split("\n   Do")[0]
    assert "".join(proof.split()).endswith("".join(line.split()))


def test_many_proof_lines_are_cut_and_a_member_is_named_in_full_once() -> None:
    evidence = [Evidence(h.CISCORA if n % 2 else h.NGINX, n, f"line {n}", None, "ciscora") for n in range(1, 13)]
    report = h.empty(findings=[h.chain(evidence=evidence, evidence_total=36)])
    proof = section(text_of(report), "CAUSES").split("Proof")[1].split("\n   Do")[0]
    assert [line.strip() for line in proof.splitlines()] == [
        f"{h.CISCORA}:1",
        "line 1",
        f"{h.NGINX}:2",
        "line 2",
        "nginx00000001.txt:3",
        "line 3",
        "error.log:4",
        "line 4",
        "nginx00000001.txt:5",
        "line 5",
        "error.log:6",
        "line 6",
        "and 30 more",
    ]


def proof_of(*evidence: Evidence, total: int = 0) -> list[str]:
    """The lines of a cause's proof, without their indents."""
    found = h.chain(evidence=list(evidence), evidence_total=total or len(evidence))
    proof = section(text_of(h.empty(findings=[found]), 300), "CAUSES").split("Proof")[1].split("\n   Do")[0]
    return [line.strip() for line in proof.splitlines()]


@pytest.mark.parametrize(
    ("source", "time"),
    [("capf", "12:31:21.500"), ("ciscora", "12:31:21"), ("nginx", "12:31:21"), ("iis", "12:31:21")],
)
def test_only_capfs_proof_lines_have_milliseconds(source: str, time: str) -> None:
    line = Evidence("a.log", 7, "hello", h.at("12:31:21.500"), source)
    assert proof_of(line) == [f"a.log:7  2019-03-05 {time} UTC-05:00", "hello"]


NAKED = h.UNTRUSTED.removeprefix("nginx: [warn] ")
IN_ERROR_LOG = "2019/03/05 12:31:21 [warn] 31067#0: "


def test_a_message_of_both_nginx_logs_is_shown_once() -> None:
    assert proof_of(
        Evidence("sdi/nginx00000001.txt", 13, h.UNTRUSTED, None, "ciscora"),
        Evidence("sdi/nginx00000001.txt", 14, h.URL_USED, None, "ciscora"),
        Evidence("root/error.log", 212, IN_ERROR_LOG + NAKED, h.at("12:31:21"), "nginx"),
        total=9,
    ) == [
        "sdi/nginx00000001.txt:13",
        h.UNTRUSTED,
        "also error.log:212",
        "nginx00000001.txt:14",
        h.URL_USED,
        "and 6 more",
    ]


def test_a_member_named_only_beside_another_is_still_named_in_full() -> None:
    assert proof_of(
        Evidence("sdi/nginx00000001.txt", 13, h.UNTRUSTED, None, "ciscora"),
        Evidence("root/error.log", 212, IN_ERROR_LOG + NAKED, None, "nginx"),
        Evidence("root/error.log", 213, IN_ERROR_LOG + "something else", None, "nginx"),
    ) == [
        "sdi/nginx00000001.txt:13",
        h.UNTRUSTED,
        "also error.log:212",
        "root/error.log:213",
        IN_ERROR_LOG + "something else",
    ]


def test_many_places_of_one_message_are_counted() -> None:
    again = [
        Evidence("root/error.log", n, f"2019/03/05 12:31:2{n} [warn] 3106{n}#0: *{n} {NAKED}", None, "nginx")
        for n in range(1, 7)
    ]
    first = Evidence("sdi/nginx00000001.txt", 13, h.UNTRUSTED, None, "ciscora")
    assert proof_of(first, *again) == [
        "sdi/nginx00000001.txt:13",
        h.UNTRUSTED,
        "also error.log:1, error.log:2, error.log:3 and 3 more",
    ]


@pytest.mark.parametrize(
    "other",
    [
        IN_ERROR_LOG + NAKED + " ",
        IN_ERROR_LOG + NAKED.replace("60", "51"),
        NAKED.replace("Curl", IN_ERROR_LOG + "Curl"),
        "12:31:21.500 |   " + NAKED,
    ],
)
def test_messages_that_differ_stand_each_for_itself(other: str) -> None:
    shown = proof_of(Evidence("a.log", 1, h.UNTRUSTED, None, "ciscora"), Evidence("b.log", 2, other, None, "nginx"))
    assert [line for line in shown if line.startswith(("a.log", "b.log", "also"))] == ["a.log:1", "b.log:2"]


def test_causes_on_other_lines_are_two_problems() -> None:
    elsewhere = [Evidence(h.CISCORA, 99, h.UNTRUSTED, None, "ciscora")]
    report = h.empty(
        findings=[
            h.chain(alternatives=["ca-self-signed"]),
            h.self_signed(alternatives=["ca-chain-untrusted"], evidence=elsewhere),
        ]
    )
    text = text_of(report)
    assert "possible causes" not in text
    assert "\n1  CES does not trust" in text
    assert "\n2  The CA's web server presents" in text


def test_causes_that_do_not_both_name_each_other_are_two_problems() -> None:
    text = text_of(h.empty(findings=[h.chain(alternatives=["ca-self-signed"]), h.self_signed()]))
    assert "possible causes" not in text


def test_three_causes_that_cannot_be_told_apart_show_their_proof_once() -> None:
    names = ["a-one", "b-two", "c-three"]
    found = [h.finding(n, f"Title {n}", alternatives=[o for o in names if o != n]) for n in names]
    text = text_of(h.empty(findings=found))
    assert "One problem with three possible causes. The logs cannot tell these apart:" in text
    assert text.count("Proof") == 1
    assert text.count("Why") == 3
    assert "   Or  " not in text


def test_devices_those_that_fail_come_first_then_the_latest() -> None:
    enrollments = [
        h.enrollment(1, "SEPA", "10:00:00", "failed", causes=["ces-no-answer"]),
        h.enrollment(2, "SEPB", "10:05:00", "issued"),
        h.enrollment(3, "SEPC", "11:00:00", "failed", causes=["ces-no-answer"]),
        h.enrollment(4, "SEPD", "09:00:00", "incomplete"),
        h.enrollment(5, "SEPE", "09:30:00", "failed"),
        h.enrollment(6, "SEPE", "09:45:00", "issued"),
        h.enrollment(7, None, "09:50:00", "issued"),
    ]
    assert section(text_of(h.empty(enrollments=enrollments)), "DEVICES") == (
        "  device     tries  last one    at UTC-05:00  told to CAPF      cause\n"
        "  SEPC           1  failed      11:00:10      EST_ERR_SSL_READ  ces-no-answer\n"
        "  SEPA           1  failed      10:00:10      EST_ERR_SSL_READ  ces-no-answer\n"
        "  SEPD           1  incomplete  09:00:00\n"
        "  SEPB           1  issued      10:05:10\n"
        "  (no name)      1  issued      09:50:10\n"
        "  SEPE           2  issued      09:45:10"
    )


def test_causes_have_their_numbers_where_their_names_have_no_room() -> None:
    report = h.failing()
    assert "  cause no.\n" in section(text_of(report, 80), "DEVICES")
    assert "EST_ERR_SSL_READ  1a or 1b" in section(text_of(report, 80), "DEVICES")
    assert "EST_ERR_SSL_READ  ca-chain-untrusted or ca-self-signed" in section(text_of(report, 160), "DEVICES")


def test_errors_come_before_warnings_before_notes() -> None:
    found = [
        h.finding("a-note", "A note", severity="info"),
        h.finding("a-warning", "A warning", severity="warning"),
        h.finding("an-error", "An error"),
    ]
    text = text_of(h.empty(findings=found))
    order = [
        text.index(t) for t in ("\nCAUSES\n\n1  An error\n", "\nWARNINGS\n\n2  A warning\n", "\nNOTES\n\n3  A note\n")
    ]
    assert order == sorted(order)


def test_a_note_is_said_in_two_sentences() -> None:
    """Nothing is wrong: what can be done stands in the rule."""
    told = "The clock is 2.4 s behind. It matters little. There is more to say of it. And more."
    note = h.finding("clock-offset", "Clocks differ", severity="info", explanation=told)
    shown = section(text_of(h.empty(findings=[note])), "NOTES")
    assert "The clock is 2.4 s behind. It matters little." in " ".join(shown.split())
    assert "capflog rule clock-offset" in shown
    assert not any(word in shown for word in ("There is more", "Do ", "Confirm", "Proof", h.CISCORA))
    loud = section(text_of(h.empty(findings=[replace(note, severity="warning")])), "WARNINGS")
    assert all(word in loud for word in ("There is more", "Do ", "Confirm", "Proof"))


def test_days_are_shown_where_there_is_more_than_one() -> None:
    second = h.enrollment(2, "SEPB", "10:00:00", "issued", started=h.at("10:00:00", "2019-03-06"), ended=None)
    text = text_of(h.empty(enrollments=[h.enrollment(1, "SEPA", "10:00:00", "issued"), second]))
    assert "2019-03-05 10:00:10" in section(text, "DEVICES")
    assert "2019-03-06 10:00:00" in section(text, "DEVICES")


def test_the_table_of_devices_ends_at_thirty() -> None:
    many = [h.enrollment(i, f"SEP{i:012X}", "10:00:00", "failed") for i in range(1234)]
    lines = section(text_of(h.empty(enrollments=many)), "DEVICES").splitlines()
    assert len([line for line in lines if line.startswith("  SEP")]) == 30
    assert lines[-1] == "  and 1,204 more: capflog analyze --format json"


def test_many_devices_of_a_cause_are_counted() -> None:
    devices = [f"SEP{i:012X}" for i in range(12)]
    text = " ".join(text_of(h.empty(findings=[h.chain(devices=devices)])).split())
    assert "seen with 12 devices: SEP000000000000, SEP000000000001, " in text
    assert ", SEP000000000005 and 6 more When" in text


def clock(offset: float | None, bound: float | None, quality: str = "good", **given: Any) -> Clock:
    values = {"utc_offset_seconds": 0, "assumed": False, "basis": "matched 7 of 7 requests"} | given
    return Clock("iis", [h.IIS], offset_seconds=offset, uncertainty_seconds=bound, quality=quality, **values)  # type: ignore[arg-type]


AT_NOON = ClockStep(h.at("12:00:01"), 3.2, 3600.0)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (clock(-2.4, 0.8), "IIS  2.4 s behind the CUCM node (±0.8 s); matched 7 of 7 requests"),
        (clock(65, 0.1), "IIS  1 min 5 s ahead of the CUCM node (±0.1 s); matched 7 of 7 requests"),
        (clock(59.97, 0.1), "IIS  1 min ahead of the CUCM node (±0.1 s); matched 7 of 7 requests"),
        (clock(-90_061, 0.1), "IIS  25 h 1 min 1 s behind the CUCM node (±0.1 s); matched 7 of 7 requests"),
        (clock(300_000, 0.1), "IIS  3 d 11 h ahead of the CUCM node (±0.1 s); matched 7 of 7 requests"),
        (clock(-0.3, 0.8), "IIS  in step with the CUCM node (±0.8 s); matched 7 of 7 requests"),
        (clock(0.04, 0.01), "IIS  in step with the CUCM node (±0.0 s); matched 7 of 7 requests"),
        (clock(0.0, None), "IIS  in step with the CUCM node; matched 7 of 7 requests"),
        (clock(1.5, None, "weak"), "IIS  1.5 s ahead of the CUCM node, on few requests; matched 7 of 7 requests"),
        (
            clock(1.5, 1.0, "one-sided", basis=""),
            "IIS  1.5 s ahead of the CUCM node (±1.0 s), bounded on one side only",
        ),
        (
            clock(None, None, "one-sided", basis="at most 2.0 s ahead"),
            "IIS  its difference to the CUCM node's clock is bounded on one side only: at most 2.0 s ahead",
        ),
        (
            clock(None, None, "none", basis="no request matches"),
            "IIS  its difference to the CUCM node's clock is not known; no request matches",
        ),
        (
            clock(3.0, 1.0, "conflict", basis=""),
            "IIS  its difference to the CUCM node's clock is not known: its requests contradict each other",
        ),
        (clock(None, None, "none", utc_offset_seconds=None, basis="no stamps"), "IIS  no time known; no stamps"),
        (
            clock(0.0, 0.0, "reference", utc_offset_seconds=19800, basis="log_access carries UTC+05:30"),
            "IIS  the reference: the CUCM node's clock; UTC+05:30 (log_access carries UTC+05:30)",
        ),
        (
            clock(0.0, 0.0, "reference", utc_offset_seconds=19800, assumed=True, basis="this computer's zone"),
            "IIS  the reference: the CUCM node's clock; UTC+05:30; ASSUMED, not told by the logs: this computer's zone",
        ),
        (
            clock(None, None, "good", utc_offset_seconds=None, assumed=True, basis=""),
            "IIS  its difference to the CUCM node's clock is not known; zone not known; ASSUMED, not told by the logs",
        ),
        (
            clock(3601.3, 0.2, zone_error_seconds=3600, basis=""),
            (
                "IIS  1 h ahead of the CUCM node: a zone that is set wrong on one of the two, not a clock that "
                "runs wrong; apart from that 1.3 s ahead (±0.2 s)"
            ),
        ),
        (
            clock(-20_700.1, 0.2, "weak", zone_error_seconds=-20_700, basis=""),
            (
                "IIS  5 h 45 min behind the CUCM node: a zone that is set wrong on one of the two, not a clock that "
                "runs wrong; apart from that in step (±0.2 s), on few requests"
            ),
        ),
        (
            clock(-3598.7, None, zone_error_seconds=-3600, basis=""),
            (
                "IIS  1 h behind the CUCM node: a zone that is set wrong on one of the two, not a clock that "
                "runs wrong; apart from that 1.3 s ahead"
            ),
        ),
        (
            clock(1.0, 0.2, drift_ppm=50.0),
            "IIS  1.0 s ahead of the CUCM node (±0.2 s); gains 4.3 s a day (50 ppm); matched 7 of 7 requests",
        ),
        (
            clock(1.0, 0.2, drift_ppm=-1200.4, basis=""),
            "IIS  1.0 s ahead of the CUCM node (±0.2 s); loses 1 min 44 s a day (1,200 ppm)",
        ),
        (clock(1.0, 0.2, drift_ppm=4.9, basis=""), "IIS  1.0 s ahead of the CUCM node (±0.2 s)"),
        (
            clock(3600.0, 0.2, zone_error_seconds=3600, steps=[AT_NOON], basis=""),
            (
                "IIS  1 h ahead of the CUCM node: a zone that is set wrong on one of the two, not a clock that "
                "runs wrong; apart from that in step (±0.2 s); was set once: 2019-03-05 12:00:01 UTC-05:00 from 3.2 s "
                "ahead to 1 h ahead"
            ),
        ),
        (
            clock(-0.01, 0.2, steps=[AT_NOON, ClockStep(h.at("13:00:00"), 3601.3, -0.01)], basis=""),
            (
                "IIS  in step with the CUCM node (±0.2 s); was set 2 times: 2019-03-05 12:00:01 UTC-05:00 from 3.2 s "
                "ahead to 1 h ahead, 2019-03-05 13:00:00 UTC-05:00 from 1 h 1 s ahead to in step"
            ),
        ),
        (
            clock(1.0, 0.2, utc_offset_seconds=-18_000, zone=h.NEW_YORK, basis="declared with --iis-tz"),
            "IIS  1.0 s ahead of the CUCM node (±0.2 s); America/New_York, UTC-05:00; declared with --iis-tz",
        ),
    ],
)
def test_clocks_in_words(told: Clock, words: str) -> None:
    shown = section(text_of(h.empty(clocks=[told]), 200), "CLOCKS")
    assert " ".join(shown.split()) == " ".join(words.split())


def test_many_steps_of_a_clock_are_counted() -> None:
    text = text_of(h.empty(clocks=[clock(1.0, 0.2, steps=[AT_NOON] * 7)]), 200)
    said = " ".join(section(text, "CLOCKS").split())
    assert "; was set 7 times: " in said
    assert said.count("from 3.2 s ahead to 1 h ahead") == 4
    assert " and 3 more; matched 7 of 7" in said


def test_clocks_of_several_nodes_and_servers_bear_their_names() -> None:
    reference = "log_access carries UTC-05:00"
    clocks = [
        Clock("capf", [h.CAPF], h.EASTERN, 0.0, 0.0, "reference", False, reference, zone=h.ZONE, whose="cucm-pub"),
        Clock("capf", ["b/capf.txt"], -21_600, -7.0, 0.2, "good", False, "matched 3 of 3 requests", whose="cucm-sub1"),
        Clock("iis", ["c/u.log"], 0, 1.0, 0.5, "good", False, "matched 3 of 3 requests", whose="14.48.31.152"),
        Clock("iis", ["d/u.log"], 0, None, None, "none", False, "nothing matches", whose="a.long.name.of.a.server"),
    ]
    assert section(text_of(h.empty(clocks=clocks)), "CLOCKS") == (
        "  CAPF cucm-pub     the reference: this CUCM node's clock; UTC-05:00 (log_access\n"
        "                    carries UTC-05:00)\n"
        "  CAPF cucm-sub1    7.0 s behind the reference (±0.2 s); UTC-06:00; matched 3 of\n"
        "                    3 requests\n"
        "  IIS 14.48.31.152  1.0 s ahead of the reference (±0.5 s); matched 3 of 3\n"
        "                    requests\n"
        "  IIS a.long.name.of.a.server\n"
        "                    its difference to the reference is not known; nothing\n"
        "                    matches"
    )


def test_clocks_that_nothing_names_are_told_apart_by_their_members() -> None:
    clocks = [clock(1.0, 0.2, basis=""), replace(clock(2.0, 0.2, basis=""), members=["b/u1.log", "b/u2.log"])]
    assert section(text_of(h.empty(clocks=clocks)), "CLOCKS") == (
        "  IIS  1.0 s ahead of the CUCM node (±0.2 s) (u_ex190305.log)\n"
        "  IIS  2.0 s ahead of the CUCM node (±0.2 s) (u1.log, u2.log)"
    )


def test_a_nodes_zone_with_changes_is_said_with_them() -> None:
    member = Member(h.CAPF, "capf", "parsed", first=h.at("12:00:00"), last=h.at("12:00:00", "2019-03-12"))
    basis = "log_access carries it"
    node = Clock("capf", [h.CAPF], h.EASTERN, 0.0, 0.0, "reference", False, basis, zone=h.NEW_YORK)
    words = "America/New_York, UTC-05:00, from 2019-03-10 03:00 on UTC-04:00"
    said = " ".join(text_of(h.empty(members=[member], clocks=[node]), 160, h.NEW_YORK).split())
    assert f"2019-03-05 12:00:00-05:00 to 2019-03-12 13:00:00-04:00; times are {words}: the CUCM node's zone" in said
    assert f"CAPF the reference: the CUCM node's clock; {words} ({basis})" in said
    without = " ".join(text_of(h.empty(clocks=[node]), 160, h.NEW_YORK).split())
    assert f"clock; America/New_York, UTC-05:00 ({basis})" in without


@pytest.mark.parametrize(("source", "there"), [("iis", True), ("httperr", True), ("capf", False)])
def test_that_times_of_iis_are_not_shifted_is_said_where_there_are_some(source: str, there: bool) -> None:
    member = Member(h.CAPF, "capf", "parsed", first=h.at("12:00:00"))
    report = h.empty(members=[member], clocks=[replace(h.clocks()[0], source=source)], aligned=False)
    line = "\n         IIS's times are its own clock's (--no-align)\n"
    assert (line in text_of(report)) is there
    assert line not in text_of(replace(report, aligned=True))


def test_another_zone_is_used_everywhere() -> None:
    tokyo = named("Asia/Tokyo")
    text = text_of(h.failing(), 160, display=tokyo)
    assert "Time     2019-03-06 02:10:03 to 03:02:44; times are Asia/Tokyo, UTC+09:00, as --display-tz asks\n" in text
    assert "When     2019-03-06 02:31:03 to 02:32:09 UTC+09:00; once" in text
    assert "nginx00000001.txt:14  2019-03-06 02:31:21 UTC+09:00\n" in text
    assert "  device           tries  last one    at UTC+09:00  told to CAPF " in text
    assert "\n  at UTC+09:00 " in text
    assert "UTC-05:00" not in text.split("CLOCKS")[0]


def test_every_time_of_a_day_that_changes_its_zone_bears_its_offset() -> None:
    def on(clock: str, day: str) -> datetime:
        return datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=UTC)

    early, late = on("06:30:00", "2019-03-10"), on("07:30:00", "2019-03-10")
    report = h.empty(
        members=[Member(h.CAPF, "capf", "parsed", first=early, last=late)],
        enrollments=[h.enrollment(1, "SEPA", "10:00:00", "issued", started=early, ended=early),
                     h.enrollment(2, "SEPB", "10:00:00", "failed", started=late, ended=late)],
        starts=[ServiceStart(early, None, None, True, 1, []), ServiceStart(None, early, late, None, 1, [])],
        findings=[h.chain(first=early, last=late, evidence=[Evidence(h.CAPF, 1, "x", late, "capf")])],
        clocks=h.clocks(),
    )  # fmt: skip
    text = text_of(report, zone=h.NEW_YORK)
    assert "When     2019-03-10 01:30:00-05:00 to 03:30:00-04:00; once" in text
    assert "2019-03-10 03:30:00.000 UTC-04:00\n" in text
    devices = section(text, "DEVICES").splitlines()
    assert [line.split()[0:4] for line in devices if "SEP" in line] == [
        ["SEPB", "1", "failed", "03:30:00-04:00"],
        ["SEPA", "1", "issued", "01:30:00-05:00"],
    ]
    starts = section(text, "STARTS OF CES")
    assert "  2019-03-10 01:30:00-05:00 " in starts
    assert "  between 2019-03-10 01:30:00-05:00 and 03:30:00-04:00" in starts


def test_two_clocks_of_one_log_say_whose_they_are() -> None:
    other = Clock("iis", ["ca2/u_ex190305.log"], 0, None, None, "none", False, "")
    text = section(text_of(h.empty(clocks=[clock(-2.4, 0.8), other])), "CLOCKS")
    assert "(ca/u_ex190305.log)" in text
    assert "(ca2/u_ex190305.log)" in text


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ((h.at("12:05:00"), None, None, True), "  2019-03-05 12:05:00  ok"),
        (
            (None, h.at("12:31:03"), h.at("12:32:09"), False),
            "  between 2019-03-05 12:31:03 and 12:32:09  failed",
        ),
        ((None, h.at("12:31:03"), None, None), "  after 2019-03-05 12:31:03  not told"),
        ((None, None, h.at("12:31:03"), None), "  before 2019-03-05 12:31:03  not told"),
        ((None, None, None, None), "  time not known  not told"),
    ],
)
def test_starts_of_ces(given: tuple[Any, Any, Any, Any], line: str) -> None:
    started, earliest, latest, ok = given
    start = ServiceStart(started, earliest, latest, ok, None, [], ["ca-dns-failure"] if ok is False else [])
    assert section(text_of(h.empty(starts=[start])), "STARTS OF CES").splitlines()[1] == line


def test_members_that_were_not_read_in_full_the_worst_first() -> None:
    members = [
        Member("a.log", "nginx", "parsed", lines=10, events=5),
        Member("b.txt", None, "skipped", "not a log that capflog knows", lines=9, unparsed=9),
        Member("c.log", "nginx", "parsed", lines=1000, events=5, unparsed=7),
        Member("d.log", "iis", "partial", "damaged at byte 77", lines=10, unparsed=1),
        Member("e.zip!/f.log", None, "unreadable", "encrypted"),
    ]
    assert section(text_of(h.empty(members=members)), "MEMBERS NOT READ IN FULL") == (
        "  - e.zip!/f.log  unreadable, encrypted\n"
        "  - d.log  partial, damaged at byte 77, 1 unknown line of 10\n"
        "  - c.log  7 unknown lines of 1,000\n"
        "  - b.txt  skipped, not a log that capflog knows\n"
        "  capflog inspect shows them"
    )


def test_a_long_list_of_members_is_cut() -> None:
    members = [Member(f"{i}.txt", None, "skipped", "not a log that capflog knows") for i in range(500)]
    lines = section(text_of(h.empty(members=members)), "MEMBERS NOT READ IN FULL").splitlines()
    assert len(lines) == 13
    assert lines[-1] == "  and 488 more: see capflog inspect"


def test_what_the_bundle_lacks_says_how_to_collect_it() -> None:
    gap = Gap("no-iis", "The CA's own log is missing.", "On the CLI:\n  file get activelog cm/trace/capf/sdi/*")
    assert section(text_of(h.empty(gaps=[gap])), "WHAT THE BUNDLE LACKS") == (
        "  - The CA's own log is missing.\n"
        "    Collect: On the CLI:\n"
        "               file get activelog cm/trace/capf/sdi/*"
    )


def test_a_guessed_zone_is_said_to_be_one() -> None:
    guessed = Clock("capf", [h.CAPF], 0, 0.0, 0.0, "reference", True, "nothing tells the node's zone")
    member = Member(h.CAPF, "capf", "parsed", first=h.at("12:00:00"))
    text = text_of(h.empty(members=[member], clocks=[guessed]), 160, zone=Zone.fixed(0))
    assert "times are UTC, the CUCM node's zone (partly ASSUMED: see CLOCKS in capflog analyze)\n" in text
    assert "\nCLOCKS\n" in text
    assert "assumed" not in text_of(h.failing(), 160).lower()


def test_times_without_a_known_zone_are_the_nodes_where_it_has_lines_and_utc_where_it_has_none() -> None:
    capf, _, _, iis = h.clocks()
    for clocks, whose in (
        ([capf, iis], "the CUCM node's local time, of a zone that is not known"),
        ([replace(capf, utc_offset_seconds=None), iis], "the CUCM node's local time, of a zone that is not known"),
        ([iis], "UTC"),
    ):
        report = h.empty(members=[Member(h.IIS, "iis", "parsed", first=h.at("12:00:00"))], clocks=clocks)
        assert f"Time     2019-03-05 17:00:00; times are {whose}\n" in text_of(report, 160, zone=None)


@pytest.mark.parametrize(
    "report", [h.failing(), h.healthy(), h.empty(), h.poisoned(h.failing())], ids=lambda r: r.bundle[:5]
)
def test_no_text_breaks_the_page(report: Report) -> None:
    h.check_page(partial(render, report, zone=h.ZONE))
    h.check_page(partial(render, report, zone=h.NEW_YORK, display=h.poisoned(h.NEW_YORK)))


def test_no_name_forges_a_line() -> None:
    forged = "a.log\n\nHEALTHY  all is well\r\nHEALTHY  \u2028HEALTHY "
    member = Member(forged, "nginx", "partial", forged, lines=1, unparsed=1)
    cause = h.chain(devices=[forged], evidence=[Evidence(forged, 1, forged, None, "nginx")])
    clock = Clock("iis", [forged], 0, None, None, "none", False, forged, zone=Zone(forged, (0,)), whose=forged)
    report = h.empty(
        bundle=forged,
        members=[member],
        findings=[cause],
        clocks=[clock],
        enrollments=[h.enrollment(1, forged, "12:00:00", "failed")],
    )
    text = text_of(report, 1000)
    assert r"a.log\x0a\x0aHEALTHY  all is well\x0d\x0aHEALTHY  \u2028HEALTHY" in text
    assert not any(line.startswith("HEALTHY") for line in text.splitlines())


def test_colour_is_there_when_it_is_wanted() -> None:
    assert text_of(h.failing(), color=True).startswith("\x1b[1;31mFAILING")
