"""Findings as CSV: a row for each, whatever is in it, and none that a spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import unicodedata
from io import StringIO
from typing import TYPE_CHECKING

from capflog.model import Evidence
from capflog.outputs import Look
from capflog.reports.csv import TITLES
from capflog.reports.csv import results as written
from capflog.results import Gate, Judged, Result
from tests.reports import handmade as h

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said


def rows_of(*results: Result) -> list[dict[str, str]]:
    text = "".join(written(list(results), Look()))
    assert text.endswith("\r\n")
    assert text.replace("\r\n", "").isprintable()
    made = list(csv.reader(StringIO(text, newline="")))
    assert made[0] == list(TITLES)
    assert {len(row) for row in made} == {len(TITLES)}
    return [dict(zip(TITLES, row, strict=True)) for row in made[1:]]


def test_a_row_for_each_finding() -> None:
    first, second, third = rows_of(Result(h.failing()))
    assert first == {
        "bundle": "case-700123.zip",
        "rule": "ca-chain-untrusted",
        "title": "CES does not trust the certificate of the CA's web server",
        "severity": "error",
        "confidence": "likely",
        "scope": "service",
        "held": "",
        "why": "",
        "resolved": "false",
        "occurrences": "1",
        "devices": "2",
        "names": f"{h.PHONE}, {h.OTHER}",
        "first": "2019-03-05T17:31:03.390Z",
        "last": "2019-03-05T17:32:09.172Z",
        "evidence": f"{h.CISCORA}:13: {h.UNTRUSTED}",
        "lines": "2",
        "remedy": "1. Export the root and every intermediate of the chain of the IIS certificate (Base-64). "
        "2. Upload each as CAPF-trust: OS Administration > Security > Certificate Management. "
        "3. Restart Cisco Certificate Enrollment Service, then Cisco CAPF, on the publisher: "
        "utils service restart Cisco Certificate Enrollment Service",
        "verdict": "failing",
    }
    assert second["rule"] == "ca-self-signed"
    assert (third["devices"], third["names"], third["evidence"], third["lines"]) == ("0", "", "", "0")


def test_what_the_gate_makes_of_it_stands_beside_it() -> None:
    report = h.failing()
    held = zip(
        report.findings, ("fails", "ignored", "below"), ("", "until 2030-01-01: asked of Cisco", ""), strict=True
    )
    gate = Gate(("error",), [Judged(finding, its, why) for finding, its, why in held])  # type: ignore[arg-type]
    assert [(row["held"], row["why"]) for row in rows_of(Result(report, gate))] == [
        ("fails", ""),
        ("ignored", "until 2030-01-01: asked of Cisco"),
        ("below", ""),
    ]


def test_nothing_found_is_the_titles_alone() -> None:
    assert rows_of(Result(h.healthy()), Result(h.empty())) == []
    assert rows_of() == []


def test_several_bundles_stand_below_one_line_of_titles() -> None:
    rows = rows_of(Result(h.failing()), Result(h.healthy()), Result(h.failing()))
    assert len(rows) == 6
    assert {row["bundle"] for row in rows} == {"case-700123.zip"}


def test_hostile_text_stays_in_its_cell_and_is_no_formula() -> None:
    assert len(rows_of(Result(h.poisoned(h.failing())))) == 3
    for start in ("=", "+", "-", "@", "\t=", " -", "\uff1d", "\r@"):
        evil = f'{start}HYPERLINK("http://evil.example","x")'
        report = h.empty(bundle=evil, findings=[h.finding(evil, evil, devices=[evil], remedy=[evil])])
        (row,) = rows_of(Result(report))
        for cell in row.values():
            assert unicodedata.normalize("NFKC", cell.lstrip())[:1] not in tuple("=+-@")
        assert "HYPERLINK" in row["bundle"]


def test_no_cell_is_longer_than_a_spreadsheet_takes() -> None:
    many = [f"SEP{number:012X}" for number in range(20_000)]
    long = [Evidence(h.IIS, 1, "\x1b" * 50_000, None, "iis")]
    (row,) = rows_of(
        Result(h.empty(findings=[h.finding("r", "t", devices=many, evidence=long, remedy=["\x1b" * 9999])]))
    )
    assert max(map(len, row.values())) < 32_767
    assert row["devices"] == "20000"
    names, _, more = row["names"].rpartition(" and ")
    assert len(names.split(", ")) + int(more.split()[0].replace(",", "")) == 20_000
    assert row["evidence"].endswith("characters more)")


def test_analyze_and_check_write_it(
    capflog: Callable[..., Said], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "findings.csv"
    said = capflog("check", sample("ca-hostname-mismatch"), "--no-store", "--format", "csv", "--output", out)
    assert said.status == 1
    rows = list(csv.DictReader(StringIO(out.read_bytes().decode(), newline="")))
    assert out.read_bytes().endswith(b"\r\n")
    assert ("ca-hostname-mismatch", "fails", "failing") in {(row["rule"], row["held"], row["verdict"]) for row in rows}
    assert said.out.splitlines() == out.read_text(encoding="utf-8").splitlines()
