"""SARIF as code scanning reads it."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import jsonschema
import pytest
from markdown_it import MarkdownIt

from capflog.model import Evidence
from capflog.results import Result
from tests.conftest import ROOT, SAMPLES
from tests.reports import ci_cases as ci
from tests.reports import handmade as h


@cache
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads((ROOT / "tests" / "data" / "schemas" / "sarif-2.1.0.json").read_text(encoding="utf-8-sig"))
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def run_of(case: str | list[Result]) -> dict[str, Any]:
    """Write a case, prove that the published schema allows it, and give its one run."""
    document = json.loads(ci.written("sarif", case))
    validator().validate(document)
    (run,) = document["runs"]
    assert isinstance(run, dict)
    return run


def results_of(case: str | list[Result]) -> dict[str, dict[str, Any]]:
    return {one["ruleId"]: one for one in run_of(case)["results"]}


def texts(value: Any, name: str = "") -> list[tuple[str, str]]:
    """List every text in a document with the name of its property."""
    if isinstance(value, str):
        return [(name, value)]
    if isinstance(value, dict):
        return [text for key, part in value.items() for text in texts(part, key)]
    return [text for part in value for text in texts(part, name)] if isinstance(value, list) else []


@ci.every_case
def test_every_log_is_valid_of_ascii_and_has_one_run(case: str) -> None:
    text = ci.written("sarif", case)
    assert text.isascii()
    assert text.endswith("}\n")
    run = run_of(case)
    assert run["tool"]["driver"]["name"] == "capflog"
    assert run["automationDetails"]["id"] == "capflog/"
    assert run["columnKind"] == "unicodeCodePoints"


def test_the_schema_would_find_a_fault() -> None:
    good = json.loads(ci.written("sarif", "failing"))
    for place, fault in (("level", "grave"), ("locations", {}), ("ruleIndex", "1")):
        bad = json.loads(json.dumps(good))
        bad["runs"][0]["results"][0][place] = fault
        with pytest.raises(jsonschema.ValidationError):
            validator().validate(bad)
    bad = json.loads(json.dumps(good))
    bad["runs"][0]["tool"]["driver"]["rules"][0]["helpUri"] = "https://no address"
    with pytest.raises(jsonschema.ValidationError):
        validator().validate(bad)


@ci.every_case
def test_every_result_points_to_its_rule_and_has_what_github_asks_for(case: str) -> None:
    run = run_of(case)
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert {rule["id"] for rule in rules} == {result["ruleId"] for result in run["results"]}
    marks = set()
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"].strip()
        (place,) = result["locations"]
        region = place["physicalLocation"]["region"]
        assert {"startLine", "startColumn", "endLine", "endColumn"} <= set(region)
        assert min(value for name, value in region.items() if name != "snippet") >= 1
        marks.add(result["partialFingerprints"]["primaryLocationLineHash"])
    assert len(marks) == len(run["results"])
    for rule in rules:
        assert rule["help"]["text"].strip()
        for name in ("shortDescription", "fullDescription"):
            assert 0 < len(rule[name]["text"]) <= 1024


@ci.every_case
def test_every_address_is_relative_and_leads_nowhere_else(case: str) -> None:
    for name, text in texts(json.loads(ci.written("sarif", case))):
        if name == "uri":
            assert re.fullmatch(r"(?:[A-Za-z0-9._~!$&'()*+,;=@/-]|%[0-9A-F]{2})+", text)
            assert not text.startswith("/")
            assert not {"", ".", ".."} & set(text.split("/"))


def test_a_finding_says_what_where_for_whom_and_what_to_do() -> None:
    result = results_of([ci.judged(h.failing())])["ca-chain-untrusted"]
    assert result["level"] == "error"
    said = result["message"]["text"]
    assert said.startswith("CES does not trust the certificate of the CA's web server.\n")
    for told in (h.PHONE, "The root or an intermediate", h.UNTRUSTED, "1. Export the root", "12:31:03"):
        assert told in said
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == f"case-700123.zip/{h.CISCORA}"
    assert physical["region"]["startLine"] == 13
    assert physical["region"]["snippet"]["text"] == h.UNTRUSTED
    (second,) = result["relatedLocations"]
    assert second["physicalLocation"]["region"]["startLine"] == 14
    assert result["properties"] == {
        "bundle": "case-700123.zip",
        "gate": "fails",
        "confidence": "likely",
        "scope": "service",
        "devices": [h.PHONE, h.OTHER],
        "first": "2019-03-05T17:31:03.390Z",
        "last": "2019-03-05T17:32:09.172Z",
        "occurrences": 1,
        "resolved": False,
        "alternatives": ["ca-self-signed"],
        "evidenceTotal": 2,
    }


def test_a_rule_says_how_grave_it_is_and_where_to_read_on() -> None:
    rules = {rule["id"]: rule for rule in run_of([ci.judged(h.failing())])["tool"]["driver"]["rules"]}
    chain = rules["ca-chain-untrusted"]
    assert chain["name"] == "CaChainUntrusted"
    assert chain["helpUri"].startswith("https://www.cisco.com/")
    assert "helpUri" not in rules["ca-self-signed"]
    assert "## What to do\n\n1. Export the root" in chain["help"]["markdown"]
    assert "Do:\n1. Export the root" in chain["help"]["text"]
    levels = {name: rule["defaultConfiguration"]["level"] for name, rule in rules.items()}
    assert levels == {"ca-chain-untrusted": "error", "ca-self-signed": "error", "clock-behind": "warning"}
    assert "security-severity" not in chain["properties"]


def test_a_rule_that_spoke_in_several_bundles_says_of_each_what_to_do() -> None:
    results = [
        ci.judged(h.empty(bundle=f"{name}.zip", findings=[ci.found("x", severity, remedy=[f"Mend {name}."])]))
        for name, severity in (("a", "warning"), ("b", "error"), ("c", "error"))
    ]
    (rule,) = run_of(results)["tool"]["driver"]["rules"]
    assert rule["defaultConfiguration"]["level"] == "error"
    assert [line for line in rule["help"]["text"].split("\n") if line.endswith(".zip:") or "Mend" in line] == [
        "a.zip:", "1. Mend a.", "b.zip:", "1. Mend b.", "c.zip:", "1. Mend c.",
    ]  # fmt: skip


def test_what_the_gate_makes_of_a_finding_is_said() -> None:
    results = results_of("mixed")
    assert set(results) == {
        "gate-rules", "gate-coverage", "low-one", "known-one", "grown-one", "excused-one", "quiet-one", "new-one",
    }  # fmt: skip
    states = {rule: one["baselineState"] for rule, one in results.items() if "baselineState" in one}
    assert states == {"known-one": "unchanged", "grown-one": "updated", "new-one": "new"}
    suppressed = {rule: one["suppressions"] for rule, one in results.items() if "suppressions" in one}
    assert suppressed == {
        rule: [{"kind": "external", "status": "accepted", "justification": why}]
        for rule, why in (("excused-one", "until 2027-02-01: being repaired"), ("quiet-one", "by --ignore"))
    }
    assert results["low-one"]["level"] == "note"
    assert "95 % are wanted" in results["gate-coverage"]["message"]["text"]
    (invocation,) = run_of("mixed")["invocations"]
    assert invocation["executionSuccessful"] is False
    notes = [(note["level"], note["message"]["text"]) for note in invocation["toolExecutionNotifications"]]
    assert ("error", "mixed.zip: rules: some could not be asked") in notes
    assert any(level == "note" and "2 rules not asked" in text for level, text in notes)


def test_without_a_baseline_nothing_is_new() -> None:
    assert not any("baselineState" in one for one in run_of("failing, judged")["results"])
    assert run_of("failing, judged")["invocations"][0]["executionSuccessful"] is True


def test_a_finding_without_evidence_is_in_the_bundle() -> None:
    place = results_of("mixed")["low-one"]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "mixed.zip"


def test_a_finding_is_known_again_whatever_else_changes() -> None:
    def marks(*findings: Any, bundle: str = "a.zip") -> dict[str, Any]:
        found = results_of([ci.judged(h.empty(bundle=bundle, findings=list(findings)))])
        return {rule: one["partialFingerprints"] for rule, one in found.items()}

    before = marks(ci.found("x"))
    line = Evidence("b.log", 99, "another line", None, "nginx")
    assert marks(ci.found("y"), ci.found("x", "warning", devices=["SEP0"], evidence=[line]))["x"] == before["x"]
    assert marks(ci.found("x"), bundle="b.zip")["x"] != before["x"]


def test_names_of_files_are_percent_encoded_and_come_back() -> None:
    names = ["a b/c#d?.log", "Köln/漢字.log", "x:y%41.log", "../up/./a.log", "odd\udce9.log"]
    findings = [ci.found(f"r{n}", evidence=[Evidence(name, 1, "", None, "nginx")]) for n, name in enumerate(names)]
    for bundle, start in (("a.zip", "a.zip/"), ("/tmp/x/../a b.zip", "tmp/x/a b.zip/")):
        results = results_of([ci.judged(h.empty(bundle=bundle, findings=findings))])
        uris = [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in results.values()]
        assert [unquote(uri) for uri in uris[:4]] == [start + name for name in (*names[:3], "up/a.log")]
        assert unquote_to_bytes(uris[4]).endswith(b"/odd\xe9.log")


def test_a_single_log_is_one_file() -> None:
    report = h.empty(bundle="a.log", findings=[ci.found("x", evidence=[Evidence("a.log", 7, "y", None, "nginx")])])
    place = results_of([ci.judged(report)])["x"]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a.log"


@pytest.mark.parametrize("case", ["hostile", "hostile, judged", "evil", "evil, ignored", "several"])
def test_no_text_acts_on_who_reads_it(case: str) -> None:
    for name, text in texts(json.loads(ci.written("sarif", case))):
        assert text.replace("\n", "").isprintable(), name
        if name == "markdown":
            tokens = [
                part for token in MarkdownIt("commonmark").parse(text) for part in (token, *(token.children or ()))
            ]
            assert not {"html_block", "html_inline", "image"} & {token.type for token in tokens}
            links = [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]
            assert all(link.startswith("https://www.cisco.com/") for link in links)


def test_a_message_holds_no_link_and_no_place_for_an_argument() -> None:
    finding = ci.found("x", evidence=[Evidence("a.log", 1, "[click](1) {0} {a}", None, "nginx")])
    said = results_of([ci.judged(h.empty(findings=[finding]))])["x"]["message"]["text"]
    assert "[click] (1) {{0}} {{a}}" in said


def test_each_sample_has_the_results_that_its_report_has() -> None:
    run = run_of("samples")
    for name in SAMPLES:
        rules = [one["ruleId"] for one in run["results"] if one["properties"]["bundle"] == f"{name}.zip"]
        assert rules == [finding.rule for finding in ci.sample(name).report.findings]
    assert [bundle["name"] for bundle in run["properties"]["bundles"]] == [f"{name}.zip" for name in SAMPLES]
