"""Every format of `analyze` and `check`, as a user asks for it: on standard output, and in files."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from capflog.outputs import FORMATS, Look, format_of
from capflog.results import Result
from tests.conftest import Said
from tests.reports import ci_cases as ci
from tests.reports import handmade as h

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

NAMES = list(FORMATS)


def read(form: str, text: str) -> Any:
    """Read a document of a format as whoever takes it does; raises where it is none."""
    assert text == "" or text.endswith("\n")
    if form in ("json", "sarif", "gitlab"):
        return json.loads(text)
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()]
    if form == "csv":
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert len({len(row) for row in rows}) == 1
        return rows
    if form == "junit":
        return ET.fromstring(text)
    if form == "github":
        assert all(line.startswith("::") for line in text.splitlines())
    return text


def outputs(folder: Path) -> list[str]:
    """Ask for every format in a file of its own."""
    return [f"--output={name}={folder / name}" for name in NAMES]


def test_one_call_writes_every_format_and_each_is_what_standard_output_gets(
    capflog: Call, sample: Find, tmp_path: Path
) -> None:
    bundles = sample("healthy"), sample("ca-hostname-mismatch")
    said = capflog("check", "--no-store", *bundles, *outputs(tmp_path), env={"COLUMNS": "100"})
    assert said.status == 1, said.err
    assert (tmp_path / "text").read_text() == said.out
    for name in NAMES:
        text = (tmp_path / name).read_bytes().decode()
        read(name, text)
        assert "ca-hostname-mismatch" in text, name


@pytest.mark.parametrize("form", [name for name in NAMES if name != "text"])
def test_a_format_on_standard_output_is_that_in_a_file(capflog: Call, sample: Find, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"report{FORMATS[form].suffixes[0]}"
    said = capflog(
        "analyze", "--no-store", "--quiet", sample("ces-no-answer"), "--format", form, "--output", path,
        env={"COLUMNS": "100"},
    )  # fmt: skip
    assert (said.status, said.err) == (0, "")
    text = path.read_bytes().decode()
    # (What is called here gives line ends as one character, CSV has two.)
    assert said.out == text.replace("\r\n", "\n")
    read(form, text)
    assert "ces-no-answer" in said.out or form == "jsonl"


def test_analyze_writes_every_format_of_a_bundle_in_which_nothing_is_wrong(
    capflog: Call, sample: Find, tmp_path: Path
) -> None:
    said = capflog("analyze", "--no-store", "--quiet", sample("healthy"), *outputs(tmp_path))
    assert (said.status, said.err) == (0, "")
    for name in NAMES:
        read(name, (tmp_path / name).read_bytes().decode())


@pytest.mark.parametrize("form", [name for name in NAMES if not FORMATS[name].events])
@pytest.mark.parametrize("judged", [False, True])
def test_where_nothing_is_found_the_document_is_valid(form: str, judged: bool) -> None:
    for report in (h.empty(), h.healthy()):
        result = ci.judged(report) if judged else Result(report)
        text = "".join(FORMATS[form].pieces([result], Look()))
        assert text
        read(form, text)


@pytest.mark.parametrize("form", [name for name in NAMES if not FORMATS[name].events])
@ci.every_case
def test_every_format_takes_every_result_and_is_utf_8(form: str, case: str) -> None:
    text = ci.written(form, case)
    read(form, text.encode("utf-8", "backslashreplace").decode())
    assert text.replace("\n", "").replace("\r", "").isprintable() or form == "csv"


def test_the_files_name_tells_the_format() -> None:
    for name, form in FORMATS.items():
        for suffix in form.suffixes:
            told = format_of(f"/tmp/report{suffix}")
            assert told is not None
            assert told.name == name
    assert format_of("report.zip") is None


def test_a_rule_that_could_not_be_asked_and_one_of_ones_own_show_where_pipelines_look(
    capflog: Call, sample: Find, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    shipped = files("capflog.rules").joinpath("ca-dns-failure.yaml").read_text(encoding="utf-8")
    (own / "mine.yaml").write_text(shipped.replace("id: ca-dns-failure", "id: mine", 1), encoding="utf-8")
    (own / "broken.yaml").write_text("id: [", encoding="utf-8")
    said = capflog("check", "--no-store", "--rules", own, sample("healthy"), *outputs(tmp_path))
    assert said.status == 2
    cases = {case.attrib["name"]: case for case in ET.parse(tmp_path / "junit").getroot().iter("testcase")}
    assert not list(cases["mine"])
    assert [part.tag for part in cases["gate-rules"]] == ["failure"]
    (run,) = json.loads((tmp_path / "sarif").read_text())["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert "gate-rules" in [result["ruleId"] for result in run["results"]]
    assert "gate-rules" in [item["check_name"] for item in json.loads((tmp_path / "gitlab").read_text())]
    assert "healthy.zip,title=The gate did not ask all its rules::" in (tmp_path / "github").read_text().split("\n")[0]


def test_a_choice_of_enrollments_has_no_verdict(capflog: Call, sample: Find) -> None:
    call = ("analyze", "--no-store", "--quiet", sample("ca-dns-failure"), "--where", "enrollment with outcome = issued")
    text = capflog(*call, "--format", "github").out
    assert "of 5 of 17 enrollments, those with: enrollment with outcome = issued" in text.splitlines()[-1]
    assert "the bundle is" not in text
