"""GitLab's code quality report as GitLab reads it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema
import pytest

from capflog.model import Evidence
from capflog.results import Result
from tests.conftest import ROOT, SAMPLES
from tests.reports import ci_cases as ci
from tests.reports import handmade as h

#: GitLab's own schema is of one finding, and asks less than its documentation does: this is the documented table.
DOCUMENTED = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "minLength": 1},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    # Relative, and without "./" before it.
                    "path": {"type": "string", "pattern": r"^(?![./]*/).+"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
        "additionalProperties": False,
    },
}


@cache
def published() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(
        (ROOT / "tests" / "data" / "schemas" / "gitlab-codeclimate.json").read_text(encoding="utf-8")
    )
    return schema


def read(case: str | list[Result]) -> list[dict[str, Any]]:
    """Write a case, and prove that GitLab's schema and its documentation allow it."""
    document = json.loads(ci.written("gitlab", case))
    jsonschema.validate(document, {"type": "array", "items": published()})
    jsonschema.validate(document, DOCUMENTED)
    assert isinstance(document, list)
    return document


def by_rule(case: str | list[Result]) -> dict[str, dict[str, Any]]:
    return {item["check_name"]: item for item in read(case)}


@ci.every_case
def test_every_report_is_valid_of_ascii_and_no_fingerprint_is_there_twice(case: str) -> None:
    text = ci.written("gitlab", case)
    assert text.isascii()
    assert text.endswith("]\n")
    items = read(case)
    assert len({item["fingerprint"] for item in items}) == len(items)


@pytest.mark.parametrize("case", ["none", "nothing found", "healthy", "healthy, judged"])
def test_nothing_found_is_an_empty_list(case: str) -> None:
    assert ci.written("gitlab", case) == "[]\n"


def test_the_schemas_would_find_a_fault() -> None:
    for fault in ({"severity": "grave"}, {"location": {"path": "/a", "lines": {"begin": 1}}}, {"description": 1}):
        items = [item | fault for item in read("failing")]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(items, DOCUMENTED)


def test_a_finding_says_what_where_and_for_whom() -> None:
    items = by_rule([ci.judged(h.failing())])
    chain = dict(items["ca-chain-untrusted"])
    assert len(chain.pop("fingerprint")) == 32
    assert chain == {
        "description": "CES does not trust the certificate of the CA's web server "
        f"(the service itself, so every device; seen with 2 devices: {h.PHONE}, {h.OTHER})",
        "check_name": "ca-chain-untrusted",
        "severity": "critical",
        "location": {"path": f"case-700123.zip/{h.CISCORA}", "lines": {"begin": 13}},
    }
    assert items["clock-behind"]["severity"] == "major"
    assert items["clock-behind"]["location"] == {"path": "case-700123.zip", "lines": {"begin": 1}}


def test_a_crowd_of_phones_is_counted() -> None:
    crowd = [f"SEP{number:012X}" for number in range(5000)]
    (item,) = read([ci.judged(h.empty(findings=[ci.found("x", devices=crowd, scope="devices")]))])
    assert item["description"].endswith("SEP000000000005 and 4,994 more)")
    assert "5,000 devices" in item["description"]


def test_what_the_gate_passes_over_is_left_out_and_its_own_failures_stand_first() -> None:
    assert [(item["check_name"], item["severity"]) for item in read("mixed")] == [
        ("gate-rules", "blocker"),
        ("gate-coverage", "blocker"),
        ("low-one", "info"),
        ("grown-one", "critical"),
        ("new-one", "critical"),
    ]


def test_a_fingerprint_is_of_the_bundle_and_the_rule_and_stays() -> None:
    def marks(*findings: Any, bundle: str = "a.zip") -> list[str]:
        return [item["fingerprint"] for item in read([ci.judged(h.empty(bundle=bundle, findings=list(findings)))])]

    (before,) = marks(ci.found("x"))
    line = Evidence("b.log", 99, "another line", None, "nginx")
    assert marks(ci.found("y"), ci.found("x", devices=["SEP0"], evidence=[line]))[1] == before
    assert before not in marks(ci.found("x"), bundle="b.zip")
    first, second = marks(ci.found("x"), ci.found("x"))
    assert (first, second != before) == (before, True)


def test_what_is_passed_over_changes_no_fingerprint() -> None:
    report = h.empty(findings=[ci.found("x"), ci.found("y"), ci.found("x")])
    every = [item["fingerprint"] for item in read([ci.judged(report)])]
    assert [item["fingerprint"] for item in read([ci.judged(report, ignore=("y",))])] == [every[0], every[2]]


@pytest.mark.parametrize("case", ["hostile", "hostile, judged", "evil", "several"])
def test_no_text_acts_on_who_reads_it(case: str) -> None:
    for item in read(case):
        for text in (item["description"], item["check_name"], item["location"]["path"]):
            assert text.isprintable()


def test_each_sample_has_the_findings_that_its_report_has() -> None:
    items = read("samples")
    for name in SAMPLES:
        own = [item["check_name"] for item in items if item["location"]["path"].startswith(f"{name}.zip")]
        assert own == [finding.rule for finding in ci.sample(name).report.findings]
