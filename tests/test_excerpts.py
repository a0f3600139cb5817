"""Each published excerpt, zipped as it is, is analysed to its documented cause."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Reporter = Callable[..., dict[str, Any]]
    Maker = Callable[[str], Path]

DOCUMENTED = {
    "01": set[str](),
    "02": set[str](),
    "03": {"ces-no-answer"},
    "11": {"ca-chain-untrusted", "ca-self-signed"},
    "12": {"ca-chain-untrusted", "ca-self-signed"},
    "13": {"ca-hostname-mismatch"},
    "14": {"ca-dns-failure"},
    "15": {"ca-cert-not-yet-valid"},
    "16": {"template-misconfigured"},
    "17": {"ces-auth-timeout"},
    "18": {"ces-enroll-timeout"},
}

#: A line of the excerpt that proves its cause: (member, line).
PROOF = {
    "03": ("capf00000001.txt", 14),
    "11": ("nginx00000001.txt", 1),
    "12": ("nginx00000001.txt", 1),
    "13": ("nginx00000001.txt", 1),
    "14": ("nginx00000001.txt", 3),
    "15": ("nginx00000001.txt", 1),
    "16": ("error.log", 8),
    "17": ("nginx00000001.txt", 1),
    "18": ("nginx00000001.txt", 1),
}


@pytest.mark.parametrize("number", DOCUMENTED)
def test_the_documented_cause_is_found_and_no_other_error(number: str, report: Reporter, excerpt: Maker) -> None:
    found = report(excerpt(number))
    assert {f["rule"] for f in found["findings"] if f["severity"] == "error"} == DOCUMENTED[number]
    assert found["summary"]["verdict"] == ("failing" if DOCUMENTED[number] else "healthy")


@pytest.mark.parametrize("number", PROOF)
def test_the_excerpts_own_lines_are_the_evidence(number: str, report: Reporter, excerpt: Maker) -> None:
    member, line = PROOF[number]
    (folder,) = PUBLISHED.glob(f"{number}-*")
    text = (folder / member).read_text(encoding="utf-8").splitlines()[line - 1]
    for finding in report(excerpt(number))["findings"]:
        proofs = {(e["member"], e["line"]): e["text"] for e in finding["evidence"]}
        assert finding["severity"] == "info" or proofs[member, line] == text
        for (name, at), shown in proofs.items():
            assert shown == (folder / name).read_text(encoding="utf-8").splitlines()[at - 1]


@pytest.mark.parametrize("number", DOCUMENTED)
def test_every_line_is_understood_but_the_marks_of_what_was_left_out(
    number: str, report: Reporter, excerpt: Maker
) -> None:
    (folder,) = PUBLISHED.glob(f"{number}-*")
    for member in report(excerpt(number))["bundle"]["members"]:
        lines = (folder / member["member"]).read_text(encoding="utf-8").splitlines()
        assert member["lines"] == len(lines)
        assert member["unparsed"] == Counter(lines)["[…]"]
        assert member["status"] == "parsed"


def test_11_and_12_offer_each_other_and_say_how_to_tell_them_apart(report: Reporter, excerpt: Maker) -> None:
    for number in ("11", "12"):
        chain, self_signed = sorted(report(excerpt(number))["findings"], key=lambda f: str(f["rule"]))
        assert chain["alternatives"] == ["ca-self-signed"]
        assert self_signed["alternatives"] == ["ca-chain-untrusted"]
        assert chain["confidence"] == self_signed["confidence"] == "possible"
        assert any("openssl s_client" in check and "lab-dc.michamen.com" in check for check in chain["verify"])


def test_02_is_one_issued_enrollment_with_its_seven_requests(report: Reporter, excerpt: Maker) -> None:
    found = report(excerpt("02"))
    (enrollment,) = found["enrollments"]
    assert enrollment["device"] == "SEP74A02FC0A675"
    assert enrollment["outcome"] == "issued"
    assert enrollment["est_error"] == {"name": "EST_ERR_NONE", "value": 0}
    assert enrollment["started"] == "2019-01-16T14:05:04.628Z"
    assert enrollment["ended"] == "2019-01-16T14:05:05.236Z"
    assert [r["line"] for r in enrollment["records"] if r["source"] == "iis"] == [1, 2, 3, 4, 5, 6, 7]
    # Every record of CAPF is the phone's own: it was alone.
    capf = next(m for m in found["bundle"]["members"] if m["source"] == "capf")
    assert len([r for r in enrollment["records"] if r["source"] == "capf"]) == capf["events"]
    assert {r["confidence"] for r in enrollment["records"]} == {"certain"}


def test_03_alone_names_what_the_bundle_lacks(report: Reporter, excerpt: Maker) -> None:
    found = report(excerpt("03"))
    assert {gap["id"] for gap in found["gaps"]} == {"no-ciscora", "no-nginx", "no-iis"}
    (enrollment,) = found["enrollments"]
    assert enrollment["causes"] == ["ces-no-answer"]
    assert enrollment["est_error"] == {"name": "EST_ERR_SSL_READ", "value": 35}
    assert next(c for c in found["clocks"] if c["source"] == "capf")["assumed"] is True


def test_16_is_an_enrollment_without_a_device(report: Reporter, excerpt: Maker) -> None:
    (enrollment,) = report(excerpt("16"))["enrollments"]
    assert enrollment["device"] is None
    assert enrollment["outcome"] == "failed"
    assert enrollment["est_error"] == {"name": "EST_ERR_AUTH_FAIL", "value": 22}
    assert enrollment["started"] == "2019-02-27T21:53:28.000Z"


def test_the_clocks_of_the_lab_are_found(report: Reporter, excerpt: Maker) -> None:
    clocks = {c["source"]: c for c in report(excerpt("01"))["clocks"]}
    assert clocks["nginx"]["utc_offset_seconds"] == clocks["capf"]["utc_offset_seconds"] == -5 * 3600
    assert clocks["iis"]["offset_seconds"] == pytest.approx(-6, abs=1)
    clocks = {c["source"]: c for c in report(excerpt("02"))["clocks"]}
    assert clocks["capf"]["utc_offset_seconds"] == 0
    assert clocks["iis"]["offset_seconds"] - clocks["iis"]["uncertainty_seconds"] > -3.3
    assert clocks["iis"]["offset_seconds"] + clocks["iis"]["uncertainty_seconds"] < -1.6
