"""A line of JSON for each event: whoever reads it gets the text as it was logged, and nothing acts on a terminal."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from capflog.analysis import analyze
from capflog.events import VALUES
from capflog.outputs import FORMATS, Look
from capflog.reports.json import document
from capflog.results import Result
from capflog.steps import STEPS
from tests.conftest import ROOT
from tests.hostile import DETAIL, HOSTILE, hostile_members
from tests.scenes import analyzed, raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Said

RECORD = (
    "member",
    "line",
    "source",
    "event",
    "time",
    "earliest",
    "latest",
    "confidence",
    "level",
    "step",
    "fault",
    "text",
)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(files("capflog").joinpath("event.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())


def written(*results: Result) -> str:
    return "".join(FORMATS["jsonl"].pieces(results, Look()))


def read(text: str) -> list[dict[str, Any]]:
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_keeps_the_contract(
    capflog: Callable[..., Said], sample: Callable[..., Any], validator: Any
) -> None:
    given = capflog("analyze", sample("ca-dns-failure"), "--format", "jsonl")
    assert (given.status, given.err) == (0, "")
    lines = read(given.out)
    for line in lines:
        validator.validate(line)
    report = json.loads(capflog("analyze", sample("ca-dns-failure"), "--format", "json").out)
    assert len(lines) == sum(member["events"] for member in report["bundle"]["members"])
    assert {line["bundle"] for line in lines} == {report["bundle"]["name"]}


def test_an_enrollments_lines_say_what_its_records_say(sample: Callable[..., Any]) -> None:
    analysis = analyze([str(sample("ces-overloaded"))])
    report = document(analysis.report)
    records = {
        (e["id"], r["member"], r["line"]): (e["device"], {name: r[name] for name in RECORD})
        for e in report["enrollments"]
        for r in e["records"]
    }
    found = {
        (line["enrollment"], line["member"], line["line"]): (line["device"], {name: line[name] for name in RECORD})
        for line in read(written(Result(analysis.report, analysis=analysis)))
        if line["enrollment"] is not None
    }
    assert found == records


def test_a_condition_leaves_its_enrollments(capflog: Callable[..., Said], sample: Callable[..., Any]) -> None:
    given = capflog(
        "analyze", sample("ces-overloaded"), "--format", "jsonl", "--where", "enrollment with outcome = failed"
    )
    lines = read(given.out)
    report = json.loads(capflog("analyze", sample("ces-overloaded"), "--format", "json").out)
    failed = {e["id"] for e in report["enrollments"] if e["outcome"] == "failed"}
    assert {line["enrollment"] for line in lines} == failed
    assert 0 < len(failed) < len(report["enrollments"])


def test_a_condition_that_nothing_fits_gives_nothing(capflog: Callable[..., Said], sample: Callable[..., Any]) -> None:
    given = capflog("analyze", sample("healthy"), "--format", "jsonl", "--where", "enrollment with outcome = failed")
    assert (given.status, given.out) == (0, "")


def test_values_stand_by_their_names(sample: Callable[..., Any]) -> None:
    analysis = analyze([str(sample("healthy"))])
    lines = read(written(Result(analysis.report, analysis=analysis)))
    request = next(line for line in lines if line["event"] == "iis.request")
    assert request["values"]["method"] in ("GET", "POST")
    assert isinstance(request["values"]["taken"], int)
    assert all(set(line["values"]) <= set(VALUES) for line in lines)


def test_several_bundles_stand_one_behind_the_other(sample: Callable[..., Any]) -> None:
    both = [analyze([str(sample(name))]) for name in ("healthy", "ca-dns-failure")]
    lines = read(written(*(Result(one.report, analysis=one) for one in both)))
    assert [line["bundle"] for line in lines] == [one.report.bundle for one in both for _ in range(len(one.events))]


def test_no_events_no_line() -> None:
    analysis = analyzed(
        raw("u_ex190116.log", "#Software: Microsoft Internet Information Services 10.0\n#Version: 1.0\n")
    )
    assert written(Result(analysis.report, analysis=analysis)) == ""
    assert written() == ""


def test_text_stays_as_logged_and_acts_on_nothing(validator: Any) -> None:
    """Names of a bundle and its members may hold bytes that are no text, and lines whatever anybody sent."""
    analysis = analyzed(*hostile_members())
    analysis.report.bundle = "bad\udce9\x1b.zip"
    text = written(Result(analysis.report, analysis=analysis))
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    lines = read(text)
    for line in lines:
        validator.validate(line)
        assert line["bundle"] == "bad\\udce9\x1b.zip"
    (told,) = {line["values"]["detail"] for line in lines if DETAIL in line["values"].get("detail", "")}
    assert told == DETAIL
    own = [line for line in lines if line["member"] == "nginx0000000\\udce9.txt"]
    assert any(HOSTILE in line["text"] for line in own)


def test_the_schema_is_printed_and_says_all_names(capflog: Callable[..., Said]) -> None:
    given = capflog("schema", "--event")
    assert given.status == 0
    assert given.out == (ROOT / "capflog" / "event.schema.json").read_text(encoding="utf-8")
    schema = json.loads(given.out)
    values = schema["properties"]["values"]["properties"]
    assert {name: one["type"] for name, one in values.items()} == {
        name: "integer" if dtype == "Int64" else "string" for name, (dtype, _) in VALUES.items()
    }
    assert schema["properties"]["step"]["enum"] == [*STEPS, None]
    assert schema["required"] == list(schema["properties"])


def test_two_schemas_at_once_are_none(capflog: Callable[..., Said]) -> None:
    given = capflog("schema", "--event", "--rule")
    assert (given.status, given.out) == (2, "")
    assert given.err.count("\n") == 1
