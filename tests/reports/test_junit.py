"""JUnit XML as CI servers read it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cache

import junitparser
import pytest
import xmlschema

from capflog.model import Evidence
from capflog.rulebook import builtin
from tests.conftest import ROOT, SAMPLES
from tests.reports import ci_cases as ci
from tests.reports import handmade as h

SCHEMA = ROOT / "tests" / "data" / "schemas" / "junit-10.xsd"


@cache
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(SCHEMA)


def read(text: str) -> ET.Element:
    """Read a document, and prove that it is one that the published schema allows."""
    root = ET.fromstring(text)
    schema().validate(root)
    return root


def by_name(text: str) -> dict[str, ET.Element]:
    return {case.attrib["name"]: case for case in read(text).iter("testcase")}


@ci.every_case
def test_every_document_is_valid_and_of_ascii(case: str) -> None:
    text = ci.written("junit", case)
    read(text)
    assert text.isascii()
    assert text.endswith("\n")


def test_the_schema_would_find_a_fault() -> None:
    text = ci.written("junit", "mixed")
    for fault in (
        text.replace(' classname="', ' class="'),
        text.replace("<failure ", "<fault ").replace("</failure", "</fault"),
    ):
        with pytest.raises(xmlschema.XMLSchemaValidationError):
            read(fault)


@ci.every_case
def test_every_count_is_that_of_the_cases(case: str) -> None:
    root = read(ci.written("junit", case))
    suites = root.findall("testsuite")
    assert len(suites) == len(ci.CASES[case]())
    for of in (root, *suites):
        counted = {
            "tests": len(list(of.iter("testcase"))),
            "failures": len(list(of.iter("failure"))),
            "errors": 0,
        }
        assert {name: int(of.attrib[name]) for name in counted} == counted
    assert [int(suite.attrib["skipped"]) for suite in suites] == [len(list(suite.iter("skipped"))) for suite in suites]


@ci.every_case
def test_another_reader_finds_the_same(case: str) -> None:
    text = ci.written("junit", case)
    read_by_other = junitparser.JUnitXml.fromstring(text.encode())
    cases = [one for suite in read_by_other for one in suite]
    assert len(cases) == read_by_other.tests
    assert sum(one.is_failure for one in cases) == read_by_other.failures
    assert len({(one.classname, one.name) for suite in list(read_by_other)[:1] for one in suite}) == len(
        [one for suite in list(read_by_other)[:1] for one in suite]
    )


def test_every_rule_has_a_case_and_those_that_spoke_fail() -> None:
    result = ci.judged(h.failing())
    cases = by_name(ci.written("junit", [result]))
    assert set(builtin().rules) | {"clock-behind", "gate-rules"} == set(cases)
    failed = {name: case.find("failure") for name, case in cases.items() if case.find("failure") is not None}
    assert set(failed) == {"ca-chain-untrusted", "ca-self-signed"}
    failure = failed["ca-chain-untrusted"]
    assert failure is not None
    assert failure.attrib == {
        "type": "ca-chain-untrusted",
        "message": "CES does not trust the certificate of the CA's web server",
    }
    text = failure.text or ""
    for told in (
        f"2 devices: {h.PHONE}, {h.OTHER}",
        f"{h.CISCORA}:13: {h.UNTRUSTED}",
        "1. Export the root and every intermediate",
        "   utils service restart Cisco Certificate Enrollment Service",
        "https://www.cisco.com/",
    ):
        assert told in text
    passing = cases["clock-behind"]
    assert passing.find("failure") is None
    assert "The clocks differ by 2.4 seconds." in (passing.findtext("system-out") or "")
    assert not list(cases["ca-cert-expired"])


def test_rules_of_ones_own_that_did_not_speak_have_a_case_too() -> None:
    result = ci.judged(h.healthy())
    result.rules = ("mine", "ca-dns-failure")
    assert list(by_name(ci.written("junit", [result]))) == ["mine", "ca-dns-failure", "gate-rules"]


def test_what_the_gate_passes_over_is_skipped_and_says_why() -> None:
    cases = by_name(ci.written("junit", "mixed"))
    skipped = {name: case.find("skipped") for name, case in cases.items()}
    assert {name: one.attrib["message"] for name, one in skipped.items() if one is not None} == {
        "known-one": "known: since the baseline was written",
        "excused-one": "ignored: until 2027-02-01: being repaired",
        "quiet-one": "ignored: by --ignore",
        "ca-dns-failure": "no log of IIS or HTTPERR",
    }
    assert "The known-one" in (cases["known-one"].findtext("system-out") or "")
    failed = {name: case.find("failure") for name, case in cases.items()}
    assert {name: one.attrib["message"] for name, one in failed.items() if one is not None} == {
        "grown-one": f"The grown-one [known, but not for {h.OTHER}]",
        "new-one": "The new-one",
        "gate-rules": "The gate did not ask all its rules",
        "gate-coverage": "Too few of the logs' lines are understood",
    }
    coverage = failed["gate-coverage"]
    assert coverage is not None
    assert "90.00 % of the lines are understood, 95 % are wanted" in (coverage.text or "")
    # Those that are not selected are no rules of this gate.
    assert "other" not in cases
    assert "ces-no-answer" not in cases


def test_a_rule_whose_logs_are_not_there_is_skipped_for_that() -> None:
    cases = by_name(ci.written("junit", [ci.sample("ces-no-answer")]))
    skipped = {name: case.find("skipped") for name, case in cases.items()}
    missing = {name: one.attrib["message"] for name, one in skipped.items() if one is not None}
    assert len(missing) > 50
    assert all(message.startswith("no log of ") for message in missing.values())
    assert "CiscoRA" in missing["ca-hostname-mismatch"]


def test_coverage_that_suffices_is_a_case_that_passes() -> None:
    cases = by_name(ci.written("junit", [ci.sample("healthy")]))
    assert cases["gate-coverage"].find("failure") is None
    assert "% of the lines are understood; 99.5 % are wanted" in (cases["gate-coverage"].findtext("system-out") or "")
    assert "gate-coverage" not in by_name(ci.written("junit", [ci.judged(h.healthy())]))


def test_several_findings_of_a_rule_are_one_case() -> None:
    report = h.empty(findings=[ci.found("twice", devices=[h.PHONE]), ci.found("twice", devices=[h.OTHER])])
    failures = by_name(ci.written("junit", [ci.judged(report)]))["twice"].findall("failure")
    assert [one.attrib["message"] for one in failures] == ["The twice"]
    assert {device in (failures[0].text or "") for device in (h.PHONE, h.OTHER)} == {True}


def test_each_sample_is_a_suite_that_fails_or_not() -> None:
    suites = read(ci.written("junit", "samples")).findall("testsuite")
    assert [suite.attrib["name"] for suite in suites] == [f"{name}.zip" for name in SAMPLES]
    assert [suite.attrib["name"] for suite in suites if suite.attrib["failures"] == "0"] == ["healthy.zip"]


@pytest.mark.parametrize("case", ["hostile", "hostile, judged", "evil", "evil, ignored"])
def test_no_text_is_markup_or_more_than_a_line(case: str) -> None:
    root = read(ci.written("junit", case))
    assert "[[ATTACHMENT|" not in "".join(root.itertext())
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "properties", "property", "testcase", "failure", "skipped", "system-out",
            "system-err",
    }  # fmt: skip
    for element in root.iter():
        assert all(value.isprintable() for value in element.attrib.values())
        assert (element.text or "").replace("\n", "").isprintable()


def test_letters_of_every_script_stay_what_they_are() -> None:
    report = h.empty(
        bundle="Zürich.zip", findings=[ci.found("x", evidence=[Evidence("Köln.log", 1, "漢字", None, "nginx")])]
    )
    text = ci.written("junit", [ci.judged(report)])
    assert text.isascii()
    root = read(text)
    assert [suite.attrib["name"] for suite in root] == ["Zürich.zip"]
    assert "Köln.log:1: 漢字" in "".join(root.itertext())
