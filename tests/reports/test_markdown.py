"""What is pasted into a ticket: it says what the report says, and nothing in it is markup but ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from capflog.model import Evidence
from capflog.outputs import Look
from capflog.reports.markdown import DEVICES_SHOWN
from capflog.reports.markdown import results as written
from capflog.results import Gate, Judged, Result
from tests.reports import handmade as h
from tests.reports.rendered import LINKED_BY_TRACKERS, html, page

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capflog.model import Report
    from tests.conftest import Said

#: What makes trouble in Markdown and in trackers, put behind every text of a report.
TROUBLE = (
    " @team #12 !34 ~bug GH-12 deadbeef1 :tada: http://evil.example www.evil.example mail@evil.example <img src=x> "
    "<!-- ![x](http://evil.example/x.png) [y](http://evil.example) | a | b | `` ``` ```` ~~~ $x$ &lt; **b** __c__\n"
    "# heading\n- item\n1. item\n> quote\n---\n| a |\n| --- |\n    code\n</details>\n"
)


def text_of(*results: Result, **look: Any) -> str:
    text = "".join(written(list(results), Look(**look)))
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text.split("\n"))
    return text


def gate_of(report: Report, *held: tuple[str, str], **more: Any) -> Gate:
    judged = [Judged(one, *its) for one, its in zip(report.findings, held, strict=True)]  # type: ignore[arg-type]
    return Gate(("error",), judged, **more)


def shape(markdown: str) -> list[str]:
    """The blocks of a page: their elements in order, without text, code in lines and links."""
    return re.findall(r"<(?!/|a |code|br|strong)(\w+)", html(markdown))


def test_it_says_what_the_report_says() -> None:
    found = page(text_of(Result(h.failing(), zone=h.ZONE)))
    text = " ".join("".join(found.plain).split())
    assert text.startswith("FAILING: One of these, which the logs cannot tell apart: CES does not trust")
    for words in (
        "times are UTC-05:00, the CUCM node's zone",
        "3 devices, 4 enrollments: 1 issued, 2 failed, 1 incomplete",
        "2019-03-05 12:31:03 to 12:32:09 UTC-05:00; once; not resolved in these logs",
        "If it is 1b: The CA's web server presents a self-signed certificate",
        "CES breaks off before it logs in.",
        "The IIS log ends before the failed enrollments begin.",
        "IIS: 2.4 s behind the CUCM node (±0.8 s); matched 7 of 7 requests",
        "4 of 5 members of read as logs",
    ):
        assert words in text
    causes, devices, members = (
        [row for row in found.rows if len(row) == width] for width in (len(found.rows[0]), 6, 4)
    )
    assert causes[1][:5] == [
        "1a", "error", "CES does not trust the certificate of the CA's web server", "ca-chain-untrusted", "the service",
    ]  # fmt: skip
    assert causes[1][5:] == ["2019-03-05 12:31:03 UTC-05:00", "no"]
    assert devices[1] == [
        h.PHONE, "failed", "1", "2019-03-05 12:38:04", "EST_ERR_SSL_READ", "ca-chain-untrusted or ca-self-signed",
    ]  # fmt: skip
    assert members[1] == ["cucm-pub/error.log", "NGINX", "912", "partial, damaged at byte 81920"]
    assert f"{h.CISCORA}:13: {h.UNTRUSTED}\n{h.CISCORA}:14: {h.URL_USED}\n" in found.code
    assert "utils service restart Cisco Certificate Enrollment Service\n" in found.code
    assert found.links == [h.chain().references[0]["url"]]


@pytest.mark.parametrize("poison", [TROUBLE, h.HOSTILE], ids=["markup", "terminal"])
@pytest.mark.parametrize("gated", [True, False])
def test_hostile_text_is_neither_markup_nor_linked(
    poison: str, monkeypatch: pytest.MonkeyPatch, *, gated: bool
) -> None:
    def result(report: Report, more: str = "") -> Result:
        held = ("fails", "new" + more), ("fails", more), ("ignored", "until" + more)
        return Result(report, gate_of(report, *held, lacking=["coverage" + more]) if gated else None)

    monkeypatch.setattr(h, "HOSTILE", poison)
    report = h.failing()
    bad = result(h.poisoned(report), poison)
    markdown = text_of(bad)
    found = page(markdown)
    assert found.links == []
    assert not re.search(LINKED_BY_TRACKERS, "".join(found.plain), re.IGNORECASE)
    assert not {"img", "hr", "blockquote", "em", "del", "details", "b"} & set(found.count)
    clean = page(text_of(result(report)))
    for element in ("h2", "h3", "h4", "table", "tr", "th", "td", "ol"):
        assert found.count.get(element, 0) == clean.count.get(element, 0), element
    assert {len(row) for row in found.rows} == {len(row) for row in clean.rows}
    assert "evil.example" in "".join(found.code)


def test_the_gate_s_answer_comes_first() -> None:
    report = h.failing()
    gate = gate_of(report, ("fails", "known, but not for SEP1"), ("ignored", "until 2030-01-01: waits"), ("below", ""))
    text = text_of(Result(report, gate, zone=h.ZONE))
    assert text.startswith(
        "**FAIL** `case-700123.zip`: 1 finding at or above error; the bundle is failing\n\n"
        "- error: `ca-chain-untrusted`: CES does not trust the certificate of the CA's web server "
        "(known, but not for SEP1)\n\n## FAILING: "
    )
    assert "| ignored: until 2030-01-01: waits |" in text
    assert "### 1. " in text
    # What is below the gate is in the table alone.
    assert "### 2. " not in text
    passed = text_of(Result(h.healthy(), Gate(("error",), [])))
    assert passed.startswith("**PASS** `good.zip`: 0 findings at or above error; the bundle is healthy\n\n## HEALTHY: ")
    assert text_of(Result(h.healthy(), Gate(("error",), [], untrusted=["no rules"]))).startswith(
        "**VOID** `good.zip`: 0 findings at or above error; the bundle is healthy\n\n- no rules\n"
    )


def test_several_bundles_have_a_part_each() -> None:
    gates = [Gate(("error",), []), Gate(("error",), [], lacking=["coverage"])]
    text = text_of(*(Result(h.healthy(), gate) for gate in gates))
    assert text.startswith("**FAIL** 1 of 2 bundles fail\n")
    assert page(text).count["h2"] == 2
    assert page(text).count["hr"] == 1


def test_an_empty_bundle_is_a_page_too() -> None:
    found = page(text_of(Result(h.empty())))
    assert "INCONCLUSIVE: " in "".join(found.plain)
    assert "0 of 0 members of" in "".join(found.plain)
    assert found.rows == []


def test_of_many_devices_and_lines_of_proof_the_first_are_shown_and_the_rest_counted() -> None:
    many = [h.enrollment(n, f"SEP{n:012X}", "12:00:00", "failed") for n in range(1, 51)]
    proof = [Evidence(h.IIS, n, "x" * 5000, None, "iis") for n in range(1, 60)]
    finding = h.finding("r", "t", devices=[e.device or "" for e in many], evidence=proof, evidence_total=1234)
    text = text_of(Result(h.empty(enrollments=many, findings=[finding])))
    rows = [row for row in page(text).rows if row[0].startswith("SEP")]
    assert len(rows) == DEVICES_SHOWN
    assert f"and {50 - DEVICES_SHOWN} more: `capflog devices`" in text
    assert "**Proof** (the first 8 of 1,234 lines):" in text
    assert re.search(r"x{900,1000}\.\.\. \(4,0\d\d characters more\)", text)
    assert len(text) < 65_536


def test_of_ascii_alone_where_the_terminal_has_no_more() -> None:
    assert text_of(Result(h.poisoned(h.failing())), unicode=False).isascii()


def test_analyze_and_check_write_it(
    capflog: Callable[..., Said], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "ticket.md"
    said = capflog("analyze", sample("ca-hostname-mismatch"), "--no-store", "--format", "markdown", "--output", out)
    assert (said.status, said.err) == (0, "")
    assert out.read_text(encoding="utf-8") == said.out
    assert shape(said.out)[:3] == ["h2", "p", "p"]
    assert said.out.startswith("## FAILING: `ca-hostname-mismatch.zip`\n")
