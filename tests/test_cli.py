"""The commands as a user calls them: output, errors and exit status together."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from capflog import __version__
from tests.conftest import ROOT, SAMPLES, TRUTH, Said, validator
from tests.scenes import at, held, iis, tries, whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion

    from tests.scenes import Held

    Call = Callable[..., Said]
    Report = Callable[..., dict[str, Any]]
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
    assert expected == ["template-misconfigured", "capf-trace-not-collected"]
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


# ---- what a user tells of the clocks --------------------------------------------------------------------------------

PHONE, OTHER = "SEP74A02FC0A675", "SEP001F6C81118B"
COMMANDS = (["analyze"], ["check"], ["inspect"], ["timeline", PHONE])


def zipped(path: Path, *members: Held) -> Path:
    """Make a bundle of members that a test holds."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(member.name, (2019, 1, 20, 12, 0, 0)), member.content)
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tz", "Mars/Olympus"], "--tz Mars/Olympus: "),
        (["--tz", "pub=Mars/Olympus"], "--tz pub=Mars/Olympus: "),
        (["--tz", "pub="], "--tz pub=: "),
        (["--tz", "=-05:00"], "--tz =-05:00: before = a part of the members' path is wanted"),
        (["--tz", "-05:00", "--tz", "-06:00"], "--tz -06:00: another was given too"),
        (["--tz", "pub=-05:00", "--tz", "pub=-06:00"], "--tz pub=-06:00: another was given for pub"),
        (["--iis-tz", "+25:00"], "--iis-tz +25:00: "),
        (["--display-tz", "nowhere"], "--display-tz nowhere: "),
        (["--date", "03/05/2019"],
         "--date 03/05/2019: this can be 2019-03-05 or 2019-05-03: write 2019-03-05 or 5 Mar 2019"),
        (["--date", "pub=then"], "--date pub=then: this is no day"),
        (["--date", "2019-03-05", "--date", "2019-03-06"], "--date 2019-03-06: another was given too"),
        (["--tz", "\x1b[2J\nx"], "--tz \\x1b[2J\\x0ax: "),
    ],
)  # fmt: skip
def test_what_cannot_be_a_zone_or_a_day_gets_one_line_before_anything_is_read(
    command: list[str], words: list[str], said: str, capflog: Call, tmp_path: Path
) -> None:
    told = capflog(*command, *words, tmp_path / "no-such.zip")
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"capflog: {said}")
    assert told.err.count("\n") == 1
    assert "no-such.zip" not in told.err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_every_command_that_reads_a_bundle_takes_what_is_told_of_clocks(
    command: list[str], capflog: Call, sample: Find
) -> None:
    words = ["--tz", "-05:00", "--tz", "cucm-pub=-05:00", "--iis-tz", "UTC", "--date", "16 Jan 2019", "--no-align",
             "--display-tz", "Asia/Kolkata"]  # fmt: skip
    said = capflog(*command, *words, sample("healthy"))
    assert (said.status, said.err) == (0, "")
    if command != ["check"]:
        assert "imes are Asia/Kolkata, UTC+05:30, as --display-tz asks" in " ".join(said.out.split())
        assert "IIS's times are its own clock's (--no-align)\n" in said.out
        assert "UTC-05:00" not in said.out.split("\nCLOCKS\n")[0]


def test_a_part_that_no_path_holds_is_told(capflog: Call, sample: Find) -> None:
    said = capflog("analyze", "--tz", "sub9=-05:00", "--date", "sub8=2019-01-16", "--no-store", sample("healthy"))
    assert said.status == 0
    assert said.err == (
        "capflog: --tz sub9=...: no member's path holds sub9\ncapflog: --date sub8=...: no member's path holds sub8\n"
    )


def test_json_is_in_utc_whatever_zone_is_asked_for(capflog: Call, sample: Find) -> None:
    for command in ("analyze", "check"):
        words = [command, "--format", "json", "--no-store", sample("healthy")]
        assert capflog(*words, "--display-tz", "Asia/Tokyo") == capflog(*words)


def test_the_zone_of_what_is_kept_can_be_another(capflog: Call, sample: Find) -> None:
    assert capflog("analyze", sample("healthy"), "--display-tz", "Asia/Tokyo").status == 0
    assert "UTC-05:00, the CUCM node's zone\n" in capflog("timeline", PHONE).out
    said = capflog("timeline", PHONE, "--display-tz", "America/New_York")
    assert "times are America/New_York, UTC-05:00, as --display-tz asks\n" in said.out
    assert said == capflog("timeline", PHONE, sample("healthy"), "--display-tz", "America/New_York")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--tz", "UTC"], "--tz"),
        (["--iis-tz", "UTC"], "--iis-tz"),
        (["--date", "2019-01-16"], "--date"),
        (["--no-align"], "--no-align"),
        (["--no-align", "--display-tz", "UTC", "--tz", "UTC"], "--tz and --no-align"),
    ],
)
def test_what_is_told_of_clocks_needs_a_bundle(words: list[str], named: str, capflog: Call, sample: Find) -> None:
    assert capflog("analyze", sample("healthy")).status == 0
    said = capflog("timeline", PHONE, *words)
    assert (said.status, said.out) == (2, "")
    assert said.err == f"capflog: {named}: name the bundle too, so that it is analyzed with that\n"


def test_that_times_are_not_shifted_is_kept(capflog: Call, sample: Find) -> None:
    assert capflog("analyze", "--no-align", sample("healthy")).status == 0
    assert "IIS's times are its own clock's (--no-align)\n" in capflog("timeline", PHONE).out
    assert capflog("analyze", sample("healthy")).status == 0
    assert "--no-align" not in capflog("timeline", PHONE).out


def test_the_nodes_zone_and_the_traces_date_can_be_told(capflog: Call, report: Report, tmp_path: Path) -> None:
    bundle = zipped(tmp_path / "case.zip", held("capf00000001.txt", tries(PHONE, at("14:05:04.628"))))
    for zone in ("America/New_York", "-05:00"):
        found = report("--tz", zone, "--date", "March 5 2019", bundle)
        assert found["enrollments"][0]["started"] == "2019-03-05T19:05:04.628Z"
        (clock,) = found["clocks"]
        assert (clock["utc_offset_seconds"], clock["assumed"], clock["quality"]) == (-18_000, False, "reference")
        assert "--tz" in clock["basis"]
        assert "--date" in clock["basis"]
    said = " ".join(capflog("analyze", "--tz", "America/New_York", "--date", "2019-03-05", bundle).out.split())
    assert "times are America/New_York, UTC-05:00, the CUCM node's zone Found" in said
    assert "ASSUMED" not in said


def test_a_day_on_which_an_hour_comes_twice_is_shown_so(capflog: Call, tmp_path: Path) -> None:
    trace = held("capf00000001.txt", tries(PHONE, at("00:30:00.000")), tries(OTHER, at("03:30:00.000")))
    bundle = zipped(tmp_path / "case.zip", trace)
    options = ("--tz", "America/New_York", "--date", "2019-11-03")
    said = " ".join(capflog("analyze", *options, bundle).out.split())
    words = "America/New_York, UTC-04:00, from the second 2019-11-03 01:00 on UTC-05:00: the CUCM node's zone"
    assert f"2019-11-03 00:30:00-04:00 to 03:30:01-05:00; times are {words}" in said
    assert "2019-11-03, times are America/New_York, UTC-04:00, the CUCM node's zone\n" in capflog("timeline", PHONE).out
    assert "2019-11-03, times are America/New_York, UTC-05:00, the CUCM node's zone\n" in capflog("timeline", OTHER).out


@pytest.mark.parametrize("folders", ["", "2019-01-18_15-30-00/cm/trace/capf/sdi/"], ids=["plain", "RTMT's"])
def test_each_nodes_zone_and_date_can_be_told(folders: str, report: Report, tmp_path: Path) -> None:
    bundle = zipped(
        tmp_path / "case.zip",
        held(f"cucm-pub/{folders}capf00000001.txt", tries(PHONE, at("14:05:04.628"))),
        held(f"cucm-sub1/{folders}capf00000001.txt", tries(OTHER, at("14:05:04.628"))),
    )
    zones = ("--tz", "cucm-pub=America/New_York", "--tz", "cucm-sub1=America/Chicago")
    found = report(*zones, "--date", "2019-01-16", bundle)
    assert {e["device"]: e["started"] for e in found["enrollments"]} == {
        PHONE: "2019-01-16T19:05:04.628Z",
        OTHER: "2019-01-16T20:05:04.628Z",
    }
    found = report("--tz", "-05:00", "--date", "2019-01-16", "--date", "sub=2019-01-17", bundle)
    assert {e["device"]: e["started"] for e in found["enrollments"]} == {
        PHONE: "2019-01-16T19:05:04.628Z",
        OTHER: "2019-01-17T19:05:04.628Z",
    }


def lab(path: Path, **clock: Any) -> Path:
    """Three phones get their certificates; ``clock``: how IIS's runs."""
    scenes = [whole(f"SEP74A02FC0A67{n}", at(f"14:0{n}:04.628"), connection=n, **clock) for n in range(1, 4)]
    trace, error_log, requests = (list(logs) for logs in zip(*scenes, strict=True))
    return zipped(path, held("capf1.txt", *trace), held("error.log", *error_log), iis("u_ex190116.log", *requests))


def iis_of(found: dict[str, Any]) -> tuple[dict[str, Any], list[datetime]]:
    """Give IIS's clock, and the times of its records."""
    (clock,) = (clock for clock in found["clocks"] if clock["source"] == "iis")
    records = [r for e in found["enrollments"] for r in e["records"] if r["source"] == "iis"]
    return clock, sorted(datetime.fromisoformat(record["time"]) for record in records)


def test_times_of_iis_can_be_left_as_its_clock_has_them(report: Report, tmp_path: Path) -> None:
    bundle = lab(tmp_path / "case.zip", ahead=40.0)
    clock, shifted = iis_of(report(bundle))
    same, own = iis_of(report("--no-align", bundle))
    assert clock["offset_seconds"] == pytest.approx(40.0, abs=1.0)
    assert (same["offset_seconds"], same["uncertainty_seconds"]) == (
        clock["offset_seconds"],
        clock["uncertainty_seconds"],
    )
    assert len(own) == len(shifted) > 0
    for before, after in zip(own, shifted, strict=True):
        assert (before - after).total_seconds() == pytest.approx(40.0, abs=1.5)
    assert own[0].isoformat().startswith("2019-01-16T19:01:44")


def test_the_zone_of_iis_can_be_told(report: Report, tmp_path: Path) -> None:
    """Its stamps are the node's local ones: five hours before UTC, a whole number of hours as a wrong zone is."""
    bundle = lab(tmp_path / "case.zip", ahead=-5 * 3600.0)
    clock, _ = iis_of(report("--iis-tz", "America/New_York", bundle))
    assert clock["utc_offset_seconds"] == -18_000
    assert clock["zone"] == "America/New_York"
    assert clock["offset_seconds"] == pytest.approx(0.0, abs=1.0)
    assert clock["zone_error_seconds"] == 0
    assert "--iis-tz" in clock["basis"]
    without, _ = iis_of(report(bundle))
    assert without["utc_offset_seconds"] == 0
    assert without["zone_error_seconds"] == -18_000
