"""What a call says of files and shares is looked at before anything is read; collections read as one are told."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import pytest

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
