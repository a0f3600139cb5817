"""What goes wrong around an analysis: it is killed, the disk is full, there is no home, others are at work."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, Said
from tests.kills import SAMPLES, loop, runs_of, start, warm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it has no such signals and limits")


def test_killed_at_any_moment_the_store_opens_and_is_right(tmp_path: Path) -> None:
    killed, _ = loop(6, 1, tmp_path)
    assert killed > 2


def test_two_dozen_analyses_at_once_are_all_kept(tmp_path: Path) -> None:
    warm()
    store = tmp_path / "store" / "capflog.db"
    processes = [start(store, SAMPLES[n % 3], tmp_path / f"{n}.json") for n in range(24)]
    assert [os.waitpid(process, 0)[1] for process in processes] == [0] * 24
    # (The last ten stay.)
    assert len(runs_of(store)) == 10
    assert len({(tmp_path / f"{n}.json").read_text(encoding="utf-8") for n in range(24)}) == 3


#: Runs capflog where no file may be larger than so many bytes: as if the disk were full from there on.
LIMITED = """
import resource, signal, sys
from capflog import __main__ as program
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))
program.main()
"""


def limited(most: int, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIMITED.replace("MOST", str(most)), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_a_disk_that_is_full_costs_the_store_not_the_analysis(sample: Find, own_store: Path, capflog: Call) -> None:
    assert capflog("analyze", sample("healthy")).status == 0
    (before,) = runs_of(own_store / "capflog.db")
    done = limited((own_store / "capflog.db").stat().st_size, "analyze", sample("ca-dns-failure"))
    assert done.returncode == 0
    assert "ca-dns-failure" in done.stdout
    assert done.stderr.startswith("capflog: this analysis is not kept: ")
    assert done.stderr.count("\n") == 1
    assert runs_of(own_store / "capflog.db") == [before]


def test_a_disk_that_is_full_leaves_the_old_file(sample: Find, tmp_path: Path) -> None:
    for name, command in (("report.json", "analyze"), ("events.sqlite", "export")):
        folder = tmp_path / command
        folder.mkdir()
        (folder / name).write_text("as it was", encoding="utf-8")
        more = ["--no-store"] if command == "analyze" else []
        done = limited(4096, command, "-q", sample("ca-dns-failure"), *more, "-o", folder / name)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"capflog: {folder / name}: not written: ")
        assert [path.name for path in folder.iterdir()] == [name]
        assert (folder / name).read_text(encoding="utf-8") == "as it was"


def without_store(monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    for name in ("CAPFLOG_STORE", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)


@pytest.mark.parametrize("home", ["/proc", "/dev/null", "a file"])
def test_a_home_in_which_nothing_can_be_written(
    home: str, capflog: Call, sample: Find, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if home == "a file":
        # (Root may write in any folder; a file is none.)
        (tmp_path / "home\x1b[2J").write_bytes(b"")
        home = str(tmp_path / "home\x1b[2J" / "x")
    without_store(monkeypatch, home)
    said = capflog("analyze", sample("healthy"))
    assert said.status == 0
    assert said.out
    assert said.err.startswith("capflog: this analysis is not kept: ")
    assert said.err.count("\n") == 1
    assert said.err.replace("\n", "").isprintable()
    asked = capflog("devices")
    assert (asked.status, asked.out, asked.err.count("\n")) == (2, "", 1)


def test_no_home_at_all(capflog: Call, sample: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def nobody(_: int) -> None:
        raise KeyError

    without_store(monkeypatch, None)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    from capflog.cli import _have_a_home

    _have_a_home()
    said = capflog("analyze", sample("healthy"))
    monkeypatch.delenv("HOME", raising=False)
    assert said.status == 0
    assert said.out
    assert said.err.startswith("capflog: this analysis is not kept: ")
    assert said.err.count("\n") == 1


def test_a_store_from_the_future_is_left_to_whom_it_belongs(capflog: Call, sample: Find, own_store: Path) -> None:
    assert capflog("analyze", sample("healthy")).status == 0
    path = own_store / "capflog.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    content = path.read_bytes()
    asked = capflog("devices")
    assert asked.status == 2
    assert asked.err.startswith(f"capflog: the store {path} is of a newer capflog and was not read: ")
    assert path.read_bytes() == content
    said = capflog("analyze", sample("healthy"))
    assert said.status == 0
    assert (
        said.err
        == f"capflog: the store was of a newer capflog and was made anew (the old one is kept as {path}.version-1)\n"
    )
    assert (own_store / "capflog.db.version-1").read_bytes() == content
    assert len(runs_of(path)) == 1
