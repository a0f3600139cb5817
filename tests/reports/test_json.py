"""The JSON report keeps the contract, and whoever reads it gets the text as it was logged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

import capflog
from capflog.model import Clock, ClockStep, Evidence
from capflog.reports.json import SCHEMA, document, dumps
from tests.reports import handmade as h

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.model import Report

TIMES = {"first", "last", "started", "ended", "time", "earliest", "latest"}
REPORTS = {
    "failing": h.failing(),
    "healthy": h.healthy(),
    "empty": h.empty(),
    "hostile": h.poisoned(h.failing()),
}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("capflog").joinpath("report.schema.json").read_text(encoding="utf-8"))
    return found


def times(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, part in value.items():
            if name in TIMES and part is not None:
                yield part
            yield from times(part)
    elif isinstance(value, list):
        for part in value:
            yield from times(part)


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_every_report_keeps_the_contract(report: Report) -> None:
    written = json.loads(dumps(report))
    Draft202012Validator(schema(), format_checker=FormatChecker()).validate(written)
    assert all(RFC3339.fullmatch(time) for time in times(written))


def test_a_clock_tells_more_than_the_contract() -> None:
    step = ClockStep(h.at("12:00:01"), 3.20001, 3600.0)
    clock = replace(
        h.clocks()[3], zone=h.NEW_YORK, whose="14.48.31.152", zone_error_seconds=3600, steps=[step], drift_ppm=50.1234
    )
    written = document(h.empty(clocks=[clock, h.clocks()[3]], aligned=False))
    more = ("whose", "zone", "zone_error_seconds", "steps", "drift_ppm")
    first, second = ({name: clock[name] for name in more} for clock in written["clocks"])
    assert first == {
        "whose": "14.48.31.152",
        "zone": "America/New_York",
        "zone_error_seconds": 3600,
        "steps": [{"time": "2019-03-05T17:00:01.000Z", "before": 3.2, "after": 3600.0}],
        "drift_ppm": 50.123,
    }
    assert second == {"whose": "", "zone": None, "zone_error_seconds": 0, "steps": [], "drift_ppm": None}
    assert written["aligned"] is False
    assert document(h.empty())["aligned"] is True


def test_the_contracts_own_version_is_the_one_that_is_written() -> None:
    assert schema()["properties"]["schema"]["const"] == SCHEMA
    assert document(h.empty())["tool"] == {"name": "capflog", "version": capflog.__version__}


def test_nothing_of_the_contract_is_left_out_where_it_is_optional() -> None:
    written = document(h.failing())
    contract = schema()["properties"]
    for place, entry in (
        ("findings", written["findings"][0]),
        ("clocks", written["clocks"][0]),
        ("enrollments", written["enrollments"][0]),
    ):
        assert set(contract[place]["items"]["properties"]) <= set(entry)
    members = contract["bundle"]["properties"]["members"]["items"]["properties"]
    assert set(members) <= set(written["bundle"]["members"][0])
    records = contract["enrollments"]["items"]["properties"]["records"]["items"]["properties"]
    assert set(records) <= set(written["enrollments"][1]["records"][0])


def test_an_enrollment_as_it_is_written() -> None:
    report = h.empty(enrollments=[h.enrollment(2, h.PHONE, "12:37:54.741", "failed", records=[h.record(line=5)])])
    assert document(report)["enrollments"] == [
        {
            "id": "e2",
            "device": "SEP001F6C81118B",
            "started": "2019-03-05T17:37:54.741Z",
            "ended": "2019-03-05T17:38:04.779Z",
            "outcome": "failed",
            "reached": "call",
            "missing": "connect",
            "est_error": {"name": "EST_ERR_SSL_READ", "value": 35},
            "causes": ["ca-chain-untrusted", "ca-self-signed"],
            "records": [
                {
                    "member": h.CAPF,
                    "line": 5,
                    "source": "capf",
                    "event": "est.enroll.call",
                    "time": "2019-03-05T17:37:54.741Z",
                    "earliest": "2019-03-05T17:37:54.741Z",
                    "latest": "2019-03-05T17:37:54.741Z",
                    "confidence": "certain",
                    "level": None,
                    "step": "call",
                    "fault": False,
                    "text": "12:37:54.741 |   debug 2:SEP001F6C81118B:Calling enrollCertUsingEST() "
                    "csr_file=/tmp/capf/csr/SEP001F6C81118B.csr",
                }
            ],
        }
    ]


def test_bounds_that_differ_from_the_time_are_written_as_they_are() -> None:
    record = h.record()
    assert record.time is not None
    record = replace(record, earliest=record.time - timedelta(seconds=1), latest=None)
    report = h.empty(enrollments=[h.enrollment(1, None, "12:00:00", "incomplete", records=[record])])
    enrollment = document(report)["enrollments"][0]
    assert (enrollment["device"], enrollment["ended"], enrollment["est_error"]) == (None, None, None)
    written = enrollment["records"][0]
    assert (written["time"], written["earliest"], written["latest"]) == (
        "2019-03-05T17:37:54.741Z",
        "2019-03-05T17:37:53.741Z",
        None,
    )


def test_the_summary_counts() -> None:
    assert document(h.failing())["summary"] == {
        "verdict": "failing",
        "devices": 3,
        "enrollments": 4,
        "issued": 1,
        "failed": 2,
        "incomplete": 1,
    }


def test_the_text_of_a_small_report() -> None:
    version = capflog.__version__
    assert dumps(h.empty(bundle="Büro.zip")) == (
        "{\n"
        '"schema": "capflog-report-1",\n'
        f'"tool": {{"name": "capflog", "version": "{version}"}},\n'
        '"summary": {"verdict": "inconclusive", "devices": 0, "enrollments": 0, '
        '"issued": 0, "failed": 0, "incomplete": 0},\n'
        '"findings": [],\n'
        '"gaps": [],\n'
        '"not_checked": [],\n'
        '"bundle": {\n"name": "Büro.zip",\n"members": []\n},\n'
        '"clocks": [],\n'
        '"starts": [],\n'
        '"capf_starts": [],\n'
        '"enrollments": [],\n'
        '"unattributed": 0,\n'
        '"aligned": true\n'
        "}\n"
    )


def test_log_text_is_unchanged_and_yet_harmless_on_a_terminal() -> None:
    text = '株\t\\ \x1b[2J \x9b31m \u202e \u2028 \x7f \x85 \U000e0041 "quoted" é\n'
    report = h.empty(findings=[h.chain(evidence=[Evidence("m", 1, text, None, "capf")])])
    written = dumps(report)
    assert all(line.isprintable() for line in written.split("\n"))
    assert json.loads(written)["findings"][0]["evidence"][0]["text"] == text
    assert "株" in written


def test_what_is_no_character_is_written_out() -> None:
    report = h.empty(bundle="caf\udce9.zip", findings=[h.finding("x", "\x9b\udc80\u202e")])
    written = dumps(report)
    assert json.loads(written.encode("utf-8"))["bundle"]["name"] == r"caf\udce9.zip"
    assert json.loads(written)["findings"][0]["title"] == "\x9b\\udc80\u202e"
    assert json.loads(written) == document(report)


def test_text_and_document_say_the_same_and_always_the_same() -> None:
    for report in (h.failing(), h.poisoned(h.failing())):
        assert json.loads(dumps(report)) == document(report)
        assert dumps(report) == dumps(report)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_has_no_word_for_is_not_known(number: float) -> None:
    clock = Clock("iis", [h.IIS], 0, number, number, "none", False, "no request matches")
    written = json.loads(dumps(h.empty(clocks=[clock])))["clocks"][0]
    assert written["offset_seconds"] is None
    assert written["uncertainty_seconds"] is None


def test_seconds_are_written_to_the_millisecond() -> None:
    clock = Clock("iis", [h.IIS], 0, -2.3999999999, 0.80000001, "good", False, "matched 7 of 7 requests")
    assert document(h.empty(clocks=[clock]))["clocks"][0]["offset_seconds"] == -2.4
