"""What `check` prints: whether the gate is passed, and a word on each finding that fails it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from capflog.gate import Wanted, judge
from capflog.model import Evidence
from capflog.reports.gate import render
from capflog.results import Result
from tests.reports import handmade as h

if TYPE_CHECKING:
    from capflog.model import Report

LEVELS = ("error", "warning", "info")


def judged(report: Report, fail_on: str) -> Result:
    return Result(report, judge(report, Wanted(fail_on=(fail_on,))))


def text_of(report: Report, fail_on: str = "error", width: int = 80, **look: Any) -> str:
    """The gate's answer; the findings that fail it are chosen as the command does."""
    given = {"width": width, "color": False, "unicode": True} | look
    return render([judged(report, fail_on)], **given)


BEHIND = h.finding(
    "clock-behind", "The CA's clock runs behind the CUCM node's", severity="warning", devices=[], evidence=[]
)
ODD = h.finding(
    "version-odd", "This version was never published", severity="info", devices=[h.PHONE],
    evidence=[Evidence(h.NGINX, 7, "OpenSSL 1.0.2 in use", None, "nginx")],
)  # fmt: skip


def test_a_bundle_without_findings_passes() -> None:
    assert text_of(h.healthy()) == "PASS  good.zip: 0 findings at or above error; the bundle is healthy\n"


def test_findings_below_the_gate_pass_it_and_are_counted() -> None:
    report = h.empty(findings=[BEHIND, ODD], verdict="degraded")
    assert text_of(report) == (
        "PASS  empty.zip: 0 findings at or above error; the bundle is degraded\n"
        "  2 findings below error: capflog analyze shows them\n"
    )


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (
            80,
            (
                "FAIL  empty.zip: 1 finding at or above error; the bundle is failing\n"
                "  error:   ca-chain-untrusted: CES does not trust the certificate of the CA's\n"
                "           web server (2 devices)\n"
                "           cucm-pub/2019-03-05_13-20-11/cm/trace/capf/sdi/nginx00000001.txt:13:\n"
                "           nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed\n"
                "           with return code 60 (SSL certificate problem: unable to get local\n"
                "           issuer certificate)\n"
            ),
        ),
        (
            160,
            (
                "FAIL  empty.zip: 1 finding at or above error; the bundle is failing\n"
                "  error:   ca-chain-untrusted: CES does not trust the certificate of the CA's web server (2 devices)\n"
                "           cucm-pub/2019-03-05_13-20-11/cm/trace/capf/sdi/nginx00000001.txt:13: nginx: [warn] "
                "login_to_certsrv_ca: Curl call for MS CA login failed with return\n"
                "           code 60 (SSL certificate problem: unable to get local issuer certificate)\n"
            ),
        ),
    ],
)
def test_a_finding_fails_the_gate_with_its_first_line_of_proof(width: int, text: str) -> None:
    assert text_of(h.empty(findings=[h.chain()], verdict="failing"), width=width) == text


def test_several_findings_in_their_order_each_below_the_other() -> None:
    chain = h.chain(evidence=[Evidence("a.log", 3, "return code 60", None, "ciscora")], devices=[h.PHONE])
    report = h.empty(findings=[chain, BEHIND, ODD], verdict="failing")
    assert text_of(report, "info", 100) == (
        "FAIL  empty.zip: 3 findings at or above info; the bundle is failing\n"
        "  error:   ca-chain-untrusted: CES does not trust the certificate of the CA's web server (1 device)\n"
        "           a.log:3: return code 60\n"
        "  warning: clock-behind: The CA's clock runs behind the CUCM node's\n"
        "  info:    version-odd: This version was never published (1 device)\n"
        "           cucm-pub/error.log:7: OpenSSL 1.0.2 in use\n"
    )


@pytest.mark.parametrize(
    ("fail_on", "named", "below"),
    [
        ("error", ["ca-chain-untrusted"], "  2 findings below error: capflog analyze shows them"),
        ("warning", ["ca-chain-untrusted", "clock-behind"], "  1 finding below warning: capflog analyze shows them"),
        ("info", ["ca-chain-untrusted", "clock-behind", "version-odd"], None),
    ],
)
def test_only_what_fails_the_gate_is_named_and_the_rest_is_counted(
    fail_on: str, named: list[str], below: str | None
) -> None:
    report = h.empty(findings=[h.chain(), BEHIND, ODD], verdict="failing")
    text = text_of(report, fail_on)
    assert f"{len(named)} finding{'' if len(named) == 1 else 's'} at or above {fail_on};" in text
    assert [f.rule for f in report.findings if f"{f.rule}:" in text] == named
    assert [line for line in text.splitlines() if " below " in line] == ([below] if below else [])


def test_a_resolved_finding_fails_the_gate_and_is_said_to_be_resolved() -> None:
    gone = h.finding("ca-dns-failure", "DNS does not know the CA's name", resolved=True, evidence=[])
    report = h.empty(findings=[gone, h.chain()], verdict="failing")
    text = text_of(report, width=160)
    assert text.startswith("FAIL  empty.zip: 2 findings at or above error;")
    assert "ca-dns-failure: DNS does not know the CA's name (2 devices), resolved within the bundle\n" in text
    assert text.count("resolved") == 1


def test_the_first_line_of_proof_alone_is_shown_in_full() -> None:
    long = "curl " + "w" * 300 + " end of the line"
    evidence = [Evidence("m.log", 1, long, None, "ciscora"), Evidence("m.log", 2, "the second line", None, "ciscora")]
    text = text_of(h.empty(findings=[h.chain(evidence=evidence)]))
    assert "".join(f"m.log:1: {long}".split()) in "".join(text.split())
    assert "the second line" not in text


def test_no_text_forges_a_line() -> None:
    forged = "x\nPASS  all is well\r\nPASS  \u2028PASS  \x1b[2JPASS  \x85PASS "
    cause = h.chain(devices=[forged], evidence=[Evidence(forged, 1, forged, None, "nginx")])
    text = text_of(h.empty(bundle=forged, findings=[cause], verdict="failing"), width=1000)
    shown = r"x\x0aPASS  all is well\x0d\x0aPASS  \u2028PASS  \x1b[2JPASS  \x85PASS"
    assert [line.count(shown) for line in text.splitlines()] == [1, 0, 2]
    assert not any(line.strip().startswith("PASS") for line in text.splitlines())


@pytest.mark.parametrize("fail_on", LEVELS)
@pytest.mark.parametrize(
    "report",
    [
        h.healthy(),
        h.failing(),
        h.poisoned(h.failing()),
        h.poisoned(h.empty(findings=[h.chain(resolved=True), BEHIND, ODD])),
    ],
    ids=["healthy", "failing", "hostile", "hostile and resolved"],
)
def test_no_text_breaks_the_page(report: Report, fail_on: str) -> None:
    h.check_page(partial(render, [judged(report, fail_on)]))


@pytest.mark.parametrize("width", [80, 160])
def test_ascii_alone_where_no_more_can_be_shown(width: int) -> None:
    named = h.finding("x", "“Online CA” – it’s Müller’s…", evidence=[Evidence("Köln.log", 1, "漢字", None, "nginx")])
    report = h.empty(bundle="Zürich.zip", findings=[named])
    text = text_of(report, width=width, unicode=False)
    assert text.isascii()
    assert text.startswith(r"FAIL  Z\xfcrich.zip: 1 finding")
    assert "\"Online CA\" - it's M\\xfcller's..." in text
    assert r"K\xf6ln.log:1: \u6f22\u5b57" in text
    assert "Zürich.zip" in text_of(report, width=width)


def test_a_page_that_is_wide_enough_is_used_and_no_line_passes_its_edge() -> None:
    for width in (40, 80, 160):
        lines = text_of(h.failing(), "info", width).splitlines()
        assert max(map(cell_len, lines)) <= width
    assert max(map(cell_len, text_of(h.failing(), "info", 160).splitlines())) > 80


@pytest.mark.parametrize(("report", "start"), [(h.healthy(), "\x1b[1;32mPASS"), (h.failing(), "\x1b[1;31mFAIL")])
def test_colour_is_there_when_it_is_wanted(report: Report, start: str) -> None:
    assert text_of(report, color=True).startswith(start)
    assert "\x1b" not in text_of(report)
