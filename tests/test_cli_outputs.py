"""What a call says of files and shares is looked at before anything is read; collections read as one are told."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

#: A bundle that is not there: who tells of an output first has read nothing.
NONE = "none.zip"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", ["analyze", "check"])
@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (["no/a.json"], "--output no/a.json: cannot be written: there is no folder no"),
        (["json=no/a.txt"], "--output json=no/a.txt: cannot be written: there is no folder no"),
        (["file/a.json"], "--output file/a.json: cannot be written: file is no folder"),
        (["folder.json"], "--output folder.json: cannot be written: it is a folder"),
        (["-"], "--output -: standard output gets what --format says"),
        (["json=-"], "--output json=-: standard output gets what --format says"),
        (["a.json", "sarif=./a.json"],
         "--output sarif=./a.json: --output a.json writes there, too: one file takes one format"),
        (["a.json", "sarif=link"], "--output sarif=link: --output a.json writes there, too: one file takes one format"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_told_before_anything_is_read(
    command: str, outputs: list[str], words: str, capflog: Call, here: Path
) -> None:
    (here / "file").write_text("", encoding="utf-8")
    (here / "folder.json").mkdir()
    (here / "link").symlink_to("a.json")
    said = capflog(command, NONE, *(word for output in outputs for word in ("-o", output)))
    assert (said.status, said.out, said.err) == (2, "", f"capflog: {words}\n")
    assert sorted(path.name for path in here.iterdir()) == ["file", "folder.json", "link"]


def test_a_folder_that_may_not_be_written(capflog: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    for words in (("analyze", NONE, "-o", "a.json"), ("export", NONE, "--format", "ecs", "-o", "a.json")):
        said = capflog(*words)
        assert (said.status, said.err) == (
            2,
            "capflog: --output a.json: cannot be written: .: Permission denied\n",
        )


def test_devices_take_as_much_as_they_are_given(capflog: Call, sample: Find) -> None:
    said = capflog("check", sample("healthy"), "-o", "json=/dev/null", "-o", "sarif=/dev/null")
    assert (said.status, said.err) == (0, "")


@pytest.mark.parametrize("share", ["95%", "95 %", "95", "95.0"])
def test_a_share_may_bear_its_sign(share: str, capflog: Call, sample: Find) -> None:
    assert capflog("check", sample("healthy"), "--min-coverage", share).status == 0


@pytest.mark.parametrize("share", ["-1", "100.1%", "nan", "inf", "%", "95%%", ""])
def test_what_is_no_share_is_told(share: str, capflog: Call) -> None:
    said = capflog("check", NONE, "--min-coverage", share)
    assert (said.status, said.out) == (2, "")
    assert said.err.splitlines()[0].endswith("is no share in percent, from 0 to 100")


def test_several_collections_read_as_one_are_told(capflog: Call, sample: Find, here: Path) -> None:
    healthy, faulty = sample("healthy"), sample("ca-dns-failure")
    told = "collections are read as one; 'capflog check' judges each by itself"
    assert capflog("analyze", healthy, faulty).err == f"capflog: 2 {told}\n"
    assert capflog("analyze", healthy, faulty, "-q").err == ""
    # Two of one name are two, in folders as in archives.
    for name in ("monday", "tuesday"):
        (here / name / "logs").mkdir(parents=True)
        with zipfile.ZipFile(healthy) as archive:
            archive.extractall(here / name / "logs")
    assert capflog("analyze", "monday/logs", "tuesday/logs", faulty).err == f"capflog: 3 {told}\n"
    # Of one collection are a folder of archives, the logs of CUCM beside those of IIS, and files that are named.
    assert told not in capflog("analyze", "monday").err
    (ca,) = (here / "monday").rglob("u_ex*.log")
    (here / "iis").mkdir()
    ca.rename(here / "iis" / ca.name)
    assert told not in capflog("analyze", "monday", "iis").err
    assert told not in capflog("analyze", "monday", here / "iis" / ca.name).err


def test_no_file_is_written_over_one_that_is_read(capflog: Call, sample: Find, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.zip"
    bundle.write_bytes(before := sample("healthy").read_bytes())
    (tmp_path / "link.zip").symlink_to(bundle)
    known = tmp_path / "known.json"
    assert capflog("check", bundle, "--baseline", known, "--write-baseline").status == 0
    for words in (
        ("analyze", bundle, "-o", f"json={bundle}"),
        ("check", bundle, "-o", f"json={tmp_path / 'link.zip'}"),
        ("check", bundle, "--baseline", known, "-o", known),
        ("check", bundle, "--baseline", bundle, "--write-baseline"),
        ("export", bundle, "--format", "ecs", "-o", bundle),
    ):
        said = capflog(*words)
        assert (said.status, said.out, said.err.count("\n")) == (2, "", 1), words
        assert "it is read in this call, and would be lost" in said.err
    assert bundle.read_bytes() == before


def test_a_file_that_is_written_anew_keeps_its_mode(capflog: Call, sample: Find, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.touch()
    path.chmod(0o600)
    assert capflog("analyze", sample("healthy"), "-o", path).status == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size


@pytest.mark.parametrize("word", ["Junit=report.xml", "sarfi=x.sarif", "jsn=r.json", "JSON=r.json"])
def test_a_misspelt_format_makes_no_file_of_that_name(
    word: str, capflog: Call, sample: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = capflog("check", sample("healthy"), "-o", word)
    assert (said.status, said.out) == (2, "")
    assert "did you mean" in said.err
    assert capflog("check", sample("healthy"), "-o", "./a=b.json").status == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a=b.json"]


def process(*words: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "capflog", *map(str, words)], cwd=ROOT, check=False, **more)


def test_what_standard_output_goes_to_is_not_lost(sample: Find, tmp_path: Path) -> None:
    log = tmp_path / "ci.log"
    log.write_text("earlier\n", encoding="utf-8")
    for place in ("/dev/stdout", "/dev/fd/1", str(log)):
        with log.open("ab") as out:
            done = process("check", sample("healthy"), "-o", f"json={place}", stdout=out, stderr=subprocess.PIPE)
        assert done.returncode == 2
        assert b"goes there already" in done.stderr
    assert log.read_text(encoding="utf-8") == "earlier\n"


def test_a_status_stays_where_nobody_reads_errors(sample: Find, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = process("check", sample("healthy"), tmp_path / "gone.zip", stdout=subprocess.DEVNULL, stderr=write)
    os.close(write)
    assert done.returncode == 2


@pytest.mark.parametrize("words", ["check -", "analyze -", "sql -", "diff - BUNDLE"])
def test_a_closed_standard_input_is_told(words: str, sample: Find) -> None:
    called = [str(sample("healthy")) if word == "BUNDLE" else word for word in words.split()]
    code = f"import os, sys; os.close(0); os.execv(sys.executable, [sys.executable, '-m', 'capflog', *{called!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"capflog: -: standard input is closed\n")


def test_a_line_of_a_megabyte_fills_no_screen(capflog: Call, tmp_path: Path) -> None:
    log = tmp_path / "nginx00000001.txt"
    lead = "nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code 6 (Could not resolve: "
    log.write_text(f"{lead}{'w' * 1_000_000})\n", encoding="utf-8")
    for words in (["check"], ["analyze"], ["check", "--format", "junit"], ["check", "--format", "markdown"]):
        said = capflog(*words, log)
        assert "ca-dns-failure" in said.out
        assert len(said.out) < 100_000
    assert "more characters)" in capflog("check", log).out
