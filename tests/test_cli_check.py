"""`capflog check` as a pipeline calls it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from capflog.rulebook import builtin
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
    first, second, last = heads(said.out)
    assert first == "VOID  gone.zip: no such file or folder"
    assert second.startswith("FAIL  ca-dns-failure.zip")
    assert last == "VOID  1 of 2 bundles could not be judged, 1 fails"
    assert said.err.endswith("capflog: a gate needs all that it is asked of; gone.zip: no such file or folder\n")


def test_what_could_not_be_judged_shows_in_every_file(capflog: Call, sample: Find, tmp_path: Path) -> None:
    files = {"json": "a.json", "junit": "a.xml", "sarif": "a.sarif", "gitlab": "a.gitlab.json", "markdown": "a.md"}
    for bundles in ([tmp_path / "gone.zip", sample("healthy")], [tmp_path / "gone.zip"]):
        outputs = [word for name in files.values() for word in ("-o", tmp_path / name)]
        assert capflog("check", *bundles, *outputs).status == 2
        for name in files.values():
            assert "gone.zip" in (tmp_path / name).read_text(encoding="utf-8")
        assert "gate-input" in (tmp_path / "a.xml").read_text()
        assert "gate-input" in (tmp_path / "a.gitlab.json").read_text()
        (run,) = json.loads((tmp_path / "a.sarif").read_text())["runs"]
        assert run["invocations"][0]["executionSuccessful"] is False
        report = json.loads((tmp_path / "a.json").read_text())
        for one in report.get("reports", [report]):
            validator().validate(one)
        assert report.get("passed", report.get("gate", {}).get("passed")) is False


def test_findings_lie_where_the_bundle_does(
    capflog: Call, sample: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundles").mkdir()
    shutil.copy(sample("ca-dns-failure"), tmp_path / "bundles")
    shutil.copy(PUBLISHED / "14-dns-resolution" / "nginx00000001.txt", tmp_path / "bundles")
    shutil.copytree(PUBLISHED / "14-dns-resolution", tmp_path / "bundles" / "cucm")
    monkeypatch.chdir(tmp_path)

    def places(*bundles: str) -> set[str]:
        items = json.loads(capflog("check", *bundles, "--format", "gitlab").out)
        return {item["location"]["path"] for item in items if item["check_name"] == "ca-dns-failure"}

    (place,) = places("bundles/ca-dns-failure.zip")
    assert place.startswith("bundles/ca-dns-failure.zip/")
    assert places(str(tmp_path / "bundles" / "ca-dns-failure.zip")) == {place}
    assert places("bundles/nginx00000001.txt") == {"bundles/nginx00000001.txt"}
    assert places("bundles/cucm") == {"bundles/cucm/nginx00000001.txt"}
    log = str(PUBLISHED / "02-phone-lsc-install" / "capf00000001.txt")
    assert places("bundles/nginx00000001.txt", log) == {"bundles/nginx00000001.txt"}
    monkeypatch.chdir(tmp_path / "bundles" / "cucm")
    (place,) = places("../ca-dns-failure.zip")
    assert place.startswith("ca-dns-failure.zip/")


def test_a_bundle_that_is_cut_is_not_passed_without_a_word(capflog: Call, sample: Find, tmp_path: Path) -> None:
    bundle = tmp_path / "cut.zip"
    bundle.write_bytes(sample("ca-dns-failure").read_bytes()[:7000])
    said = capflog("check", bundle, "-q")
    assert (said.status, said.err) == (0, "")
    assert "note:    cut.zip: truncated: its directory is missing" in said.out
    for form, words in (("junit", "<system-err>"), ("github", "::warning "), ("gitlab", "gate-remark")):
        assert words in capflog("check", bundle, "--format", form).out
    said = capflog("check", bundle, "--require", "whole", "--format", "json")
    assert said.status == 1
    assert "whole: cut.zip: truncated" in "; ".join(json.loads(said.out)["gate"]["lacking"])
    assert capflog("check", sample("healthy"), "--require", "whole").status == 0


def test_severities_and_rules_fail_it(capflog: Call, sample: Find) -> None:
    bundle = sample("healthy")
    assert capflog("check", bundle).status == 0
    noted = capflog("check", bundle, "--fail-on", "info")
    assert noted.status == 1
    rule = noted.out.split("info:    ")[1].split(":")[0]
    assert capflog("check", bundle, "--fail-on", rule).status == 1
    assert capflog("check", bundle, "--fail-on", "ca-*").status == 0
    assert capflog("check", bundle, "--fail-on", f"ca-*, {rule}").status == 1
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


def test_a_gate_that_could_never_fail_is_refused(
    capflog: Call, sample: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = sample("ca-dns-failure")
    said = capflog("check", bundle, "--select", "iis-log-only")
    assert said.status == 2
    said = capflog("check", bundle, "--fail-on", ",")
    assert (said.status, said.out) == (2, "")
    assert "nothing could fail" in said.err
    notes = [rule.id for rule in builtin().rules.values() if rule.severity == "info" and not rule.raised]
    said = capflog("check", bundle, "--select", notes[0])
    assert (said.status, said.out) == (2, "")
    assert "ever so severe" in said.err
    assert capflog("check", bundle, "--select", notes[0], "--fail-on", "info").status in (0, 1)
    assert capflog("check", bundle, "--select", notes[0], "--fail-on", notes[0]).status in (0, 1)
    # One that may be raised can fail.
    assert capflog("check", bundle, "--select", "clock-offset").status == 0
    monkeypatch.chdir(tmp_path)
    for text in ("fail-on = []", '[[ignore]]\nrule = "*"\nreason = "x"\nuntil = 2999-01-01\ndevices = []'):
        (tmp_path / "capflog.toml").write_text(text + "\n", encoding="utf-8")
        said = capflog("check", bundle)
        assert (said.status, said.out) == (2, "")


def test_the_answer_names_the_settings_that_had_a_word_in_it(
    capflog: Call, sample: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "capflog.toml"
    file.write_text('display-tz = "UTC"\n', encoding="utf-8")
    assert " says" not in capflog("check", sample("healthy")).out
    file.write_text('fail-on = "warning"\n', encoding="utf-8")
    assert "capflog.toml says" in capflog("check", sample("healthy"), env={"COLUMNS": "400"}).out
    assert json.loads(capflog("check", sample("healthy"), "--format", "json").out)["gate"]["settings"] == [str(file)]
    assert " says" not in capflog("check", sample("healthy"), "--fail-on", "error").out


def test_a_folder_without_a_rule_is_no_gate(capflog: Call, sample: Find, tmp_path: Path) -> None:
    (tmp_path / "rules" / "below").mkdir(parents=True)
    assert capflog("check", sample("healthy"), "--rules", tmp_path / "rules").status == 2


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
    assert said.err == "capflog: --require cucm: it is none of capf, ciscora, nginx, iis, httperr, whole\n"


def test_with_a_baseline_only_what_is_new_fails(capflog: Call, sample: Find, tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    bundle = sample("ca-dns-failure")
    said = capflog("check", bundle, "--baseline", file)
    assert said.status == 2
    assert "--write-baseline writes it" in said.err
    said = capflog("check", bundle, "--baseline", file, "--write-baseline")
    assert said.status == 0
    assert said.err == f"capflog: {file}: written, 1 rule in it\n"
    said = capflog("check", bundle, "--baseline", file)
    assert (said.status, said.err) == (0, "")
    assert "known:   ca-dns-failure: CES cannot resolve the host name of the CA (since the\n" in said.out
    said = capflog("check", bundle, sample("ca-cert-expired"), "--baseline", file)
    assert said.status == 1
    assert [line[:4] for line in heads(said.out)] == ["PASS", "FAIL", "FAIL"]
    assert "gone since it was written: ca-dns-failure" in capflog("check", sample("healthy"), "--baseline", file).err
    assert capflog("check", bundle, "--write-baseline").status == 2
    # From half of what it is to know none is written.
    before = file.read_text(encoding="utf-8")
    said = capflog("check", bundle, tmp_path / "gone.zip", "--baseline", file, "--write-baseline")
    assert (said.status, file.read_text(encoding="utf-8")) == (2, before)
    assert "not written, for not all that it is to know could be judged" in said.err
    file.write_text("[]", encoding="utf-8")
    said = capflog("check", bundle, "--baseline", file)
    assert (said.status, said.err.count("\n")) == (2, 1)


def test_a_baseline_that_cannot_be_written_is_told(capflog: Call, sample: Find, tmp_path: Path) -> None:
    said = capflog("check", sample("healthy"), "--baseline", tmp_path / "no" / "known.json", "--write-baseline")
    assert said.status == 2
    assert "known.json: cannot be written: there is no folder" in said.err


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
    assert "ended on 2020-01-01" in said.err
    assert "ended on 2020-01-01" in capflog("check", bundle, "-q").out
    ignore("ca-dns-failur", "2999-12-31")
    said = capflog("check", bundle)
    assert said.err.count("\n") == 1
    assert "did you mean ca-dns-failure" in said.err


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
    # What is known before costs no analysis.
    missing = tmp_path / "no" / "a.json"
    said = capflog("check", sample("healthy"), "-o", missing, "-o", tmp_path / "b.json")
    assert (said.status, said.out) == (2, "")
    assert said.err == f"capflog: --output {missing}: cannot be written: there is no folder {missing.parent}\n"
    assert not (tmp_path / "b.json").exists()
    said = capflog("check", sample("healthy"), "-o", "json=/dev/full", "-o", tmp_path / "b.json")
    assert said.status == 2
    assert said.out.startswith("PASS")
    assert said.err == "capflog: /dev/full: not written: No space left on device\n"
    assert (tmp_path / "b.json").is_file()
    for words in ("x.bin", "jsn=x.json.gz", "=x"):
        said = capflog("check", sample("healthy"), "-o", words)
        assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
        assert "NAME=FILE is wanted" in said.err
    assert "did you mean json=x.json.gz?" in capflog("check", sample("healthy"), "-o", "jsn=x.json.gz").err
