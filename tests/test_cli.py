"""The commands as a user calls them: output, errors and exit status together."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from capflog import __version__
from tests.conftest import ROOT, SAMPLES, TRUTH, Said, validator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion

    Call = Callable[..., Said]
    Find = Callable[[str], Path]


@pytest.mark.parametrize("name", SAMPLES)
def test_analyze_says_the_same_as_ever(name: str, capflog: Call, sample: Find, pinned: SnapshotAssertion) -> None:
    assert capflog("analyze", sample(name)).together() == pinned


@pytest.mark.parametrize("name", SAMPLES)
def test_inspect_says_the_same_as_ever(name: str, capflog: Call, sample: Find, pinned: SnapshotAssertion) -> None:
    assert capflog("inspect", sample(name)).together() == pinned


@pytest.mark.parametrize("device", ["SEP74A02FC0A675", "SEP001F6C81118B"])
@pytest.mark.parametrize("name", SAMPLES)
def test_timeline_says_the_same_as_ever(
    name: str, device: str, capflog: Call, sample: Find, pinned: SnapshotAssertion
) -> None:
    assert capflog("timeline", device, sample(name)).together() == pinned


@pytest.mark.parametrize("name", SAMPLES)
def test_check_fails_where_something_is_wrong(name: str, capflog: Call, sample: Find) -> None:
    said = capflog("check", sample(name))
    assert said.status == (0 if TRUTH[f"{name}.zip"]["verdict"] == "healthy" else 1)
    for rule in TRUTH[f"{name}.zip"]["rules"]:
        assert rule in said.out


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_analysed_to_its_cause(name: str, report: Callable[..., dict[str, Any]], sample: Find) -> None:
    found = report(sample(name))
    assert sorted(f["rule"] for f in found["findings"] if f["severity"] == "error") == sorted(
        TRUTH[f"{name}.zip"]["rules"]
    )
    assert found["summary"]["verdict"] == TRUTH[f"{name}.zip"]["verdict"]


def test_timeline_without_a_bundle_is_of_what_was_analyzed_last(capflog: Call, sample: Find, tmp_path: Path) -> None:
    bundle = tmp_path / "support.zip"
    bundle.write_bytes(sample("ca-dns-failure").read_bytes())
    assert capflog("analyze", bundle).status == 0
    there = capflog("timeline", "SEP001F6C81118B", bundle)
    bundle.unlink()
    assert capflog("timeline", "SEP001F6C81118B") == there
    assert capflog("analyze", "--no-store", sample("healthy")).status == 0
    assert capflog("timeline", "SEP001F6C81118B") == there


def test_timeline_of_standard_input_works_when_the_bundle_is_gone(capflog: Call, sample: Find) -> None:
    assert capflog("analyze", "-", stdin=sample("healthy").read_bytes()).status == 0
    said = capflog("timeline", "74-a0-2f-c0-a6-75")
    assert said.status == 0
    assert "SEP74A02FC0A675" in said.out


def test_timeline_takes_wildcards_and_any_spelling_of_a_mac(capflog: Call, sample: Find) -> None:
    assert capflog("analyze", sample("healthy")).status == 0
    whole = capflog("timeline", "SEP74A02FC0A675")
    for spelling in ("74a02fc0a675", "74:A0:2F:C0:A6:75", "74a0.2fc0.a675", "sep74a02fc0a675", "*C0A675"):
        assert capflog("timeline", spelling) == whole
    assert "CSFjsmith" in capflog("timeline", "CSF*").out


def test_an_unknown_device_gets_one_line_with_the_nearest(capflog: Call, sample: Find) -> None:
    said = capflog("timeline", "SEP74A02FC0A676", sample("healthy"))
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "SEP74A02FC0A676" in said.err
    assert "SEP74A02FC0A675" in said.err


def test_timeline_before_any_analysis_says_what_to_do(capflog: Call) -> None:
    said = capflog("timeline", "SEP74A02FC0A675")
    assert (said.status, said.out) == (2, "")
    assert "capflog analyze" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("command", ["analyze", "check", "inspect"])
@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no-such.zip", None, "no such file"),
        ("empty.log", b"", "empty"),
        ("report.zip", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "PDF"),
        ("notes.txt", b"Dear all,\nthe phones do not work.\n", "notes.txt"),
    ],
)
def test_what_cannot_be_read_gets_one_clear_line(
    command: str, name: str, content: bytes | None, words: str, capflog: Call, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    said = capflog(command, path)
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert name in said.err


def test_a_zip_without_any_log_gets_one_clear_line(capflog: Call, tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing of use\n")
        archive.writestr("a.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
    said = capflog("analyze", path)
    assert (said.status, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert "photos.zip" in said.err


def test_of_a_truncated_zip_what_could_be_read_is_reported_with_the_damage(capflog: Call, tmp_path: Path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "samples" / "published" / "01-ces-startup").iterdir()):
            archive.writestr(path.name, path.read_bytes())
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole.getvalue()[: int(len(whole.getvalue()) * 0.6)])
    said = capflog("analyze", "--format", "json", cut)
    assert said.status == 0
    assert "truncated" in said.err
    document = json.loads(said.out)
    validator().validate(document)
    states = {m["member"]: m["status"] for m in document["bundle"]["members"]}
    assert states["capf00000001.txt"] == "parsed"
    assert any(state != "parsed" for state in states.values())
    assert all(m["reason"] for m in document["bundle"]["members"] if m["status"] != "parsed")
    assert "truncated" in capflog("analyze", cut).out


def test_the_same_logs_in_any_container_give_the_same_findings(
    capflog: Call, report: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    source = ROOT / "samples" / "published" / "16-certificate-template-misconfiguration" / "error.log"
    expected = [f["rule"] for f in report(source)["findings"]]
    assert expected == ["template-misconfigured"]
    packed = tmp_path / "logs.tar.xz"
    with tarfile.open(packed, "w:xz") as archive:
        archive.add(source, arcname="logs/error.log")
    nested = tmp_path / "case.zip"
    with zipfile.ZipFile(nested, "w") as outer:
        outer.write(packed, "attachments/logs.tar.xz")
    for bundle in (packed, nested, source.parent):
        assert [f["rule"] for f in report(bundle)["findings"]] == expected
    members = [m["member"] for m in report(nested)["bundle"]["members"]]
    assert members == ["attachments/logs.tar.xz!/logs/error.log"]
    said = capflog("analyze", "--format", "json", "-", stdin=packed.read_bytes())
    assert [f["rule"] for f in json.loads(said.out)["findings"]] == expected


def test_schema_is_the_contract_that_the_reports_follow(capflog: Call) -> None:
    said = capflog("schema")
    assert said.status == 0
    assert json.loads(said.out)["$id"] == "capflog-report-1"


def test_rule_and_rules_and_explain_answer(capflog: Call) -> None:
    assert "ca-dns-failure" in capflog("rules").out
    one = capflog("rule", "ca-dns-failure")
    assert "curl.failed with code = 6" in one.out
    wrong = capflog("rule", "ca-dns-failur")
    assert (wrong.status, wrong.out) == (2, "")
    assert "ca-dns-failure" in wrong.err
    for code in ("EST_ERR_AUTH_FAIL", "22", "curl:60", "iis:401.1.2148074254"):
        said = capflog("explain", code)
        assert said.status == 0
        assert said.out.strip()
    nonsense = capflog("explain", "EST_ERR_AUTH_FIAL")
    assert (nonsense.status, nonsense.out) == (2, "")
    assert "EST_ERR_AUTH_FAIL" in nonsense.err


def test_rules_test_runs_the_cases(capflog: Call) -> None:
    said = capflog("rules", "test")
    assert said.status == 0
    assert said.out.endswith("0 wrong\n")


@pytest.mark.parametrize("words", [[], ["--help"], ["analyze", "--help"], ["timeline", "-h"]])
def test_help_is_there(words: list[str], capflog: Call) -> None:
    said = capflog(*words)
    assert "Usage:" in said.out + said.err


def test_a_wrong_call_is_told_in_words_and_exit_status_2(capflog: Call) -> None:
    said = capflog("analyze")
    assert said.status == 2
    assert "BUNDLE" in said.err
    assert capflog("analyse", "x.zip").status == 2


def run(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Call capflog as its own process."""
    return subprocess.run([sys.executable, "-m", "capflog", *map(str, words)], capture_output=True, check=False, **more)


def test_the_program_answers_version_and_help_without_the_heavy_libraries() -> None:
    assert run("--version").stdout.decode().strip() == f"capflog {__version__}"
    code = (
        "import sys\n"
        "import capflog.cli\n"
        "try:\n    capflog.cli.cli(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('pandas', 'numpy', 'rich', 'yaml', 'pyparsing', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1] == "[]"


def test_a_reader_that_has_enough_is_no_error(sample: Find) -> None:
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "capflog", "analyze", "--no-store", str(sample("healthy"))],
        stdout=write,
        stderr=subprocess.PIPE,
    )
    os.close(write)
    os.close(read)
    _, err = process.communicate()
    assert err == b""
    assert process.returncode == 0


def test_an_encoding_that_lacks_a_character_breaks_nothing(tmp_path: Path) -> None:
    log = tmp_path / "capf00000001.txt"
    log.write_text(
        "14:05:04.628 | debug 2:SEP74A02FC0A675:Calling enrollCertUsingEST() csr_file=/tmp/Größe‚\u202e.csr\n"
        "14:05:05.236 | debug 2:SEP74A02FC0A675:Enrollment rv = 13 (EST_ERR_HTTP_BAD_REQ) with pkcs7 length = 0\n",
        encoding="utf-8",
    )
    for encoding in ("cp1252", "ascii", "utf-8"):
        done = run("timeline", "SEP74A02FC0A675", log, env={**os.environ, "PYTHONIOENCODING": encoding})
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
        assert b"SEP74A02FC0A675" in done.stdout


def test_no_escape_reaches_a_pipe_and_no_line_is_wider_than_it_should_be(capflog: Call, sample: Find) -> None:
    for width in (80, 160):
        for words in (["analyze"], ["inspect"], ["timeline", "SEP001F6C81118B"]):
            said = capflog(*words, sample("template-misconfigured"), env={"COLUMNS": str(width)})
            assert "\x1b" not in said.out
            assert max(len(line) for line in said.out.splitlines()) <= width


def test_a_gate_needs_all_that_it_is_asked_of(capflog: Call, sample: Find, tmp_path: Path) -> None:
    missing = capflog("check", tmp_path / "gone.zip", sample("healthy"))
    assert missing.status == 2
    assert "gone.zip" in missing.err
    twice = capflog("check", sample("healthy"), sample("healthy"))
    assert (twice.status, twice.err) == (0, "")
    log = ROOT / "samples" / "published" / "01-ces-startup" / "nginx00000001.txt"
    assert capflog("check", log, log).status == 0
