"""`capflog check` as a pipeline calls it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, Said, validator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

PUBLISHED = ROOT / "samples" / "published"


def heads(text: str) -> list[str]:
    """Give the lines that begin with a verdict."""
    return [line for line in text.splitlines() if line.startswith(("PASS", "FAIL", "VOID"))]


def test_several_bundles_have_a_verdict_each_and_one_exit_status(capflog: Call, sample: Find) -> None:
    said = capflog("check", sample("healthy"), sample("ca-dns-failure"), sample("ca-cert-expired"))
    assert said.status == 1
    assert [line.split(":")[0] for line in heads(said.out)] == [
        "PASS  healthy.zip",
        "FAIL  ca-dns-failure.zip",
        "FAIL  ca-cert-expired.zip",
        "FAIL  2 of 3 bundles fail",
    ]
    said = capflog("check", sample("healthy"), sample("healthy").parent / "healthy.zip")
    assert (said.status, len(heads(said.out))) == (0, 1)


def test_bundles_of_one_name_are_told_apart(capflog: Call, sample: Find, tmp_path: Path) -> None:
    paths = [tmp_path / day / "bundle.zip" for day in ("mon", "tue")]
    for path, name in zip(paths, ("healthy", "ca-dns-failure"), strict=True):
        path.parent.mkdir()
        shutil.copy(sample(name), path)
    assert [line.split(": ")[0] for line in heads(capflog("check", *paths, env={"COLUMNS": "400"}).out)[:2]] == [
        f"PASS  {paths[0]}",
        f"FAIL  {paths[1]}",
    ]


def test_single_logs_are_of_one_bundle_and_archives_of_one_each_unless_told(
    capflog: Call, sample: Find, tmp_path: Path
) -> None:
    logs = sorted((PUBLISHED / "01-ces-startup").iterdir())
    assert len(heads(capflog("check", *logs).out)) == 1
    assert len(heads(capflog("check", "--each", *logs[:2]).out)) == 3
    two = sample("healthy"), sample("ca-dns-failure")
    said = capflog("check", "--together", *two)
    assert heads(said.out)[0].startswith("FAIL  healthy.zip, ca-dns-failure.zip: ")
    # A folder is a bundle; beside a single log it is a part of one.
    folder = tmp_path / "cucm"
    shutil.copytree(PUBLISHED / "02-phone-lsc-install", folder)
    assert len(heads(capflog("check", folder, sample("healthy")).out)) == 3
    assert len(heads(capflog("check", folder, logs[0]).out)) == 1


def test_parts_of_one_collection_are_noticed(capflog: Call, tmp_path: Path) -> None:
    cucm, ca = tmp_path / "cucm", tmp_path / "ca"
    cucm.mkdir()
    ca.mkdir()
    for path in (PUBLISHED / "02-phone-lsc-install").iterdir():
        shutil.copy(path, ca if path.name.startswith("u_ex") else cucm)
    said = capflog("check", cucm, ca)
    assert "capflog: ca holds logs of IIS alone, cucm none: if they are of one collection, --together" in said.err
    assert capflog("check", cucm, ca, "--together").err == ""
    assert capflog("check", cucm, ca, "-q").err == ""


def test_a_bundle_that_cannot_be_read_costs_the_gate_but_not_the_others(
    capflog: Call, sample: Find, tmp_path: Path
) -> None:
    said = capflog("check", tmp_path / "gone.zip", sample("ca-dns-failure"))
    assert said.status == 2
    assert heads(said.out)[0].startswith("FAIL  ca-dns-failure.zip")
    assert "gone.zip: no such file" in said.err
    assert said.err.endswith(f"capflog: a gate needs all that it is asked of; not read: {tmp_path / 'gone.zip'}\n")


def test_severities_and_rules_fail_it(capflog: Call, sample: Find) -> None:
    bundle = sample("healthy")
    assert capflog("check", bundle).status == 0
    noted = capflog("check", bundle, "--fail-on", "info")
    assert noted.status == 1
    rule = noted.out.split("info:    ")[1].split(":")[0]
    assert capflog("check", bundle, "--fail-on", rule).status == 1
    assert capflog("check", bundle, "--fail-on", "ca-*").status == 0
    assert capflog("check", bundle, "--fail-on", "info", "--ignore", rule).status == 0
    assert capflog("check", bundle, "--fail-on", "info", "--select", "ca-*").status == 0
    told = " ".join(capflog("check", bundle, "--fail-on", "info", "--ignore", rule).out.split())
    assert f"ignored: {rule}: " in told
    assert "(by --ignore)" in told


@pytest.mark.parametrize("option", ["--fail-on", "--select", "--ignore"])
def test_a_rule_that_there_is_not_gets_the_nearest(option: str, capflog: Call, sample: Find) -> None:
    said = capflog("check", sample("healthy"), option, "ca-dns-failur")
    assert (said.status, said.out) == (2, "")
    assert said.err.startswith(f"capflog: {option} ca-dns-failur: no such rule; did you mean ca-dns-failure")


def test_coverage_fails_it(capflog: Call, sample: Find, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(PUBLISHED / "02-phone-lsc-install", folder)
    assert capflog("check", folder, "--min-coverage", "95").status == 0
    (log,) = folder.glob("capf*")
    log.write_text(log.read_text(encoding="utf-8") + "what is this\n" * 200, encoding="utf-8")
    said = capflog("check", folder, "--min-coverage", "95")
    assert said.status == 1
    assert "coverage: " in said.out
    assert "95 % are wanted" in said.out
    gate = json.loads(capflog("check", folder, "--min-coverage", "95", "--format", "json").out)["gate"]
    assert (gate["passed"], gate["min_coverage"]) == (False, 95)
    assert gate["coverage"] < 95
    assert capflog("check", folder, "--min-coverage", "101").status == 2


def test_a_bundle_without_a_log_that_is_wanted_fails(capflog: Call, sample: Find, tmp_path: Path) -> None:
    (log,) = (PUBLISHED / "02-phone-lsc-install").glob("u_ex*")
    assert capflog("check", log).status == 0
    said = capflog("check", log, "--require", "iis", "--require", "capf")
    assert said.status == 1
    assert "logs: the bundle has no log of capf, which --require asks for" in said.out
    assert capflog("check", sample("healthy"), env={"CAPFLOG_REQUIRE": "iis, capf"}).status == 0
    said = capflog("check", log, "--require", "cucm")
    assert said.status == 2
    assert "'cucm' is not one of capf, ciscora, nginx, iis, httperr" in said.err


def test_with_a_baseline_only_what_is_new_fails(capflog: Call, sample: Find, tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    bundle = sample("ca-dns-failure")
    said = capflog("check", bundle, "--baseline", file)
    assert said.status == 2
    assert "--write-baseline writes it" in said.err
    said = capflog("check", bundle, "--baseline", file, "--write-baseline")
    assert said.status == 0
    assert said.err == f"capflog: {file}: written, 1 finding in it\n"
    said = capflog("check", bundle, "--baseline", file)
    assert (said.status, said.err) == (0, "")
    assert "known:   ca-dns-failure: CES cannot resolve the host name of the CA (since the\n" in said.out
    said = capflog("check", bundle, sample("ca-cert-expired"), "--baseline", file)
    assert said.status == 1
    assert [line[:4] for line in heads(said.out)] == ["PASS", "FAIL", "FAIL"]
    assert "gone since it was written: ca-dns-failure" in capflog("check", sample("healthy"), "--baseline", file).err
    assert capflog("check", bundle, "--write-baseline").status == 2
    file.write_text("[]", encoding="utf-8")
    said = capflog("check", bundle, "--baseline", file)
    assert (said.status, said.err.count("\n")) == (2, 1)


def test_a_baseline_that_cannot_be_written_is_told(capflog: Call, sample: Find, tmp_path: Path) -> None:
    said = capflog("check", sample("healthy"), "--baseline", tmp_path / "no" / "known.json", "--write-baseline")
    assert said.status == 2
    assert "known.json: not written: No such file or directory" in said.err


def test_ignores_of_the_settings_have_a_reason_and_an_end(
    capflog: Call, sample: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "capflog.toml"

    def ignore(rule: str, until: str) -> None:
        file.write_text(f'[[ignore]]\nrule = "{rule}"\nreason = "CHG0042"\nuntil = {until}\n', encoding="utf-8")

    bundle = sample("ca-dns-failure")
    ignore("ca-dns-failure", "2999-12-31")
    said = capflog("check", bundle)
    assert (said.status, said.err) == (0, "")
    told = "ignored: ca-dns-failure: CES cannot resolve the host name of the CA (until 2999-12-31: CHG0042)"
    assert told in " ".join(said.out.split())
    # What is analyzed shows it all the same.
    assert "ca-dns-failure" in capflog("analyze", bundle).out
    said = capflog("check", sample("healthy"))
    assert said.err == f"capflog: {file}: the ignore of ca-dns-failure matches nothing any more: remove it\n"
    ignore("ca-dns-failure", "2020-01-01")
    said = capflog("check", bundle)
    assert said.status == 1
    assert "ended on 2020-01-01; it counts again" in said.err
    ignore("ca-dns-failur", "2999-12-31")
    assert "did you mean ca-dns-failure" in capflog("check", bundle).err


def test_json_is_the_contract_with_the_gate_beside_it(capflog: Call, sample: Find) -> None:
    one = json.loads(capflog("check", sample("ca-dns-failure"), "--format", "json").out)
    validator().validate(one)
    assert one["gate"]["passed"] is False
    assert {"rule": "ca-dns-failure", "held": "fails", "why": ""} in one["gate"]["findings"]
    both = json.loads(capflog("check", sample("ca-dns-failure"), sample("healthy"), "--format", "json").out)
    assert (both["schema"], both["passed"]) == ("capflog-reports-1", False)
    for report in both["reports"]:
        validator().validate(report)
    assert [report["gate"]["passed"] for report in both["reports"]] == [False, True]
    assert [len(report["enrollments"]) > 0 for report in both["reports"]] == [True, True]


def test_files_are_written_whole_and_in_the_format_that_their_name_tells(
    capflog: Call, sample: Find, tmp_path: Path
) -> None:
    said = capflog(
        "check",
        sample("healthy"),
        "-o",
        tmp_path / "a.json",
        "-o",
        f"json={tmp_path / 'b.txt'}",
        "-o",
        tmp_path / "c.txt",
    )
    assert said.status == 0
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.txt").read_text())
    assert (tmp_path / "c.txt").read_text() == said.out
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a.json", "b.txt", "c.txt"]


def test_a_file_that_cannot_be_written_costs_a_line_and_the_status(capflog: Call, sample: Find, tmp_path: Path) -> None:
    said = capflog("check", sample("healthy"), "-o", tmp_path / "no" / "a.json", "-o", tmp_path / "b.json")
    assert said.status == 2
    assert said.out.startswith("PASS")
    assert said.err == f"capflog: {tmp_path / 'no' / 'a.json'}: not written: No such file or directory\n"
    assert (tmp_path / "b.json").is_file()
    for words in ("x.bin", "jsn=x.json.gz", "=x"):
        said = capflog("check", sample("healthy"), "-o", words)
        assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
        assert "NAME=FILE is wanted" in said.err
    assert "did you mean json=x.json.gz?" in capflog("check", sample("healthy"), "-o", "jsn=x.json.gz").err
