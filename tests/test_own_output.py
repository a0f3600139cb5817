"""What capflog writes is no log to it: reports that are kept beside the logs are left out, and no log is."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import capflog.analysis as capflog_analysis
from capflog.bundle import Member, open_bundle
from capflog.exports import EXPORTS
from capflog.outputs import FORMATS
from capflog.own_output import OWN, other_form, own_output
from capflog.parsing import parse
from tests.conftest import ROOT, SAMPLES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

#: Answers to queries are of any columns: what they are is told, if not that capflog wrote them.
QUERIES = {"sql.csv": "csv", "sql.json": "json", "sql.jsonl": "jsonl"}


def written(capflog: Call, bundle: Path, folder: Path) -> set[str]:
    """Write everything that capflog can write of a bundle into a folder; the names of the files."""
    calls: dict[str, tuple[str | Path, ...]] = {}
    for name, form in FORMATS.items():
        for command in ("analyze", "check"):
            calls[f"{command}{form.suffixes[0]}"] = (command, bundle, "--format", name)
    for color, width in (("never", "40"), ("always", "80"), ("never", "160")):
        for command in ("analyze", "check", "devices", "inspect"):
            calls[f"{command}-{color}-{width}"] = (command, bundle, "--color", color)
        calls[f"timeline-{color}-{width}"] = ("timeline", "*", bundle, "--color", color)
        calls[f"window-{color}-{width}"] = ("timeline", "*", bundle, "--color", color, "--since", "00:00")
        calls[f"diff-{color}-{width}"] = ("diff", bundle, ROOT / "samples/ca-dns-failure.zip", "--color", color)
    calls["chosen.txt"] = ("analyze", bundle, "--where", "enrollment with waited >= 0")
    calls["two.txt"] = ("check", bundle, bundle)
    calls["required.txt"] = ("check", bundle, "--require", "httperr")
    calls["same.txt"] = ("diff", bundle, bundle)
    calls["same.md"] = ("diff", bundle, bundle, "--format", "markdown")
    calls["diff.md"] = ("diff", bundle, ROOT / "samples/ca-dns-failure.zip", "--format", "markdown")
    calls["diff.json"] = ("diff", bundle, ROOT / "samples/ca-dns-failure.zip", "--format", "json")
    calls["devices.csv"] = ("devices", bundle, "--format", "csv")
    calls["devices.json"] = ("devices", bundle, "--format", "json")
    for name, kind in QUERIES.items():
        calls[name] = ("sql", "SELECT time, text FROM events", bundle, "--format", kind)
    for name, export in EXPORTS.items():
        if export.file:
            assert capflog("export", bundle, "--output", folder / f"export{export.suffixes[0]}").status == 0
        else:
            calls[f"export-{name}"] = ("export", bundle, "--format", name)
    for name, words in calls.items():
        width = name.rpartition("-")[2]
        said = capflog(*words, env={"COLUMNS": width if width.isdigit() else "80"})
        assert said.status < 2 or name == "required.txt", said.err
        (folder / name).write_bytes(said.out.encode("utf-8", "surrogateescape"))
    capflog("check", bundle, "--baseline", folder / "known.json", "--write-baseline")
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def analyzed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Analyze each bundle once: what is written of it is all that counts."""
    found: dict[tuple[str, ...], capflog_analysis.Analysis] = {}
    analyze = capflog_analysis.analyze

    def kept(paths: Sequence[str], *rest: Any, **named: Any) -> capflog_analysis.Analysis:
        if tuple(paths) not in found:
            found[tuple(paths)] = analyze(paths, *rest, **named)
        return found[tuple(paths)]

    monkeypatch.setattr(capflog_analysis, "analyze", kept)


@pytest.mark.usefixtures("analyzed_once")
@pytest.mark.parametrize("name", ["ca-hostname-mismatch", "healthy"])
def test_nothing_that_capflog_writes_is_read_as_a_log(capflog: Call, sample: Find, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    reports = written(capflog, sample(name), folder)
    shutil.copy(sample(name), folder / "bundle.zip")
    found = json.loads(capflog("analyze", folder, "--no-store", "--format", "json").out)
    alone = json.loads(capflog("analyze", sample(name), "--no-store", "--format", "json").out)
    members = {one["member"]: one for one in found["bundle"]["members"]}
    told = {report: (members[report]["source"], members[report]["status"]) for report in reports}
    assert told == dict.fromkeys(reports, (None, "skipped"))
    others = {*QUERIES, "export.sqlite", "export.parquet"}
    assert {r: members[r]["reason"] for r in reports - others} == dict.fromkeys(reports - others, OWN)
    assert all(members[report]["why"] == OWN for report in reports - others)
    assert found["summary"] == alone["summary"]
    assert [f["rule"] for f in found["findings"]] == [f["rule"] for f in alone["findings"]]
    assert len([m for m in members.values() if m["source"]]) == len(
        [m for m in alone["bundle"]["members"] if m["source"]]
    )


def test_a_report_alone_is_told_for_what_it_is(capflog: Call, sample: Find, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    capflog("analyze", sample("healthy"), "--quiet", "--output", report)
    for words in (("analyze", report), ("check", report), ("devices", report), ("inspect", report)):
        said = capflog(*words)
        assert said.status == 2
        assert "r.json: a report of capflog's own, no log; 'capflog diff' compares those that are JSON" in said.err
    text = tmp_path / "reports" / "r.txt"
    text.parent.mkdir()
    report.rename(text.parent / "r.json")
    text.write_text(capflog("analyze", sample("healthy")).out, encoding="utf-8")
    folder = capflog("analyze", text.parent)
    assert folder.status == 2
    assert "reports of capflog's own, no logs (r.json, r.txt)" in folder.err


def test_no_log_of_a_sample_is_taken_for_a_report() -> None:
    for name in SAMPLES:
        for item in open_bundle([str(ROOT / "samples" / f"{name}.zip")], None):
            assert isinstance(item, Member)
            lines = next(item.chunks()).decode("utf-8", "replace").splitlines()
            assert not own_output(lines[:100]), item.name
            assert (other_form(lines[:100]) is None) == (not item.name.endswith(".xml")), item.name


NGINX = "2019/03/05 12:31:21 [info] 31067#0: ra_certsrv_ca_plugin_postconf: CA Cert chain retrieved from CA"


@pytest.mark.parametrize(
    "text",
    [
        f"{NGINX}\n" + '{"schema": "capflog-report-1"}\n' + f"{NGINX}\n",
        # What is cut at its start may begin with anything.
        f'{{"a": 1,\n{NGINX}\n{NGINX}\n',
        f"<html><pre>\n{NGINX}\n{NGINX}\n",
        f"warn, client\n{NGINX}\n{NGINX}\n",
        f"PASS through\n{NGINX}\n",
    ],
)
def test_a_log_stays_a_log(text: str) -> None:
    parser = parse([text.encode()], "error.log").parser
    assert parser is not None
    assert parser.source == "nginx"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f'{{"log": "{NGINX}"}}\n', "JSON, not a log"),
        (f'[\n {{"log":\n  "{NGINX}"}}\n]\n', "JSON, not a log"),
        (f'<?xml version="1.0"?>\n<a>{NGINX}</a>\n', "XML or HTML, not a log"),
        (f"time,text\n2019,{NGINX.replace(',', '')}\n", "comma-separated values, not a log"),
        ("[]\n", "JSON, not a log"),
    ],
)
def test_another_form_is_named(text: str, what: str) -> None:
    found = parse([text.encode()], "x")
    assert found.parser is None
    assert found.why.startswith(what)
