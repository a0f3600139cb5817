"""What SECURITY.md promises: each promise names a test that there is, and what no other test proves is proven here."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.conftest import ROOT, SAMPLES

if TYPE_CHECKING:
    from pathlib import Path

SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@cache
def names_in(path: Path) -> frozenset[str]:
    """Name the tests of a file, as they stand in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_promise_names_tests_that_there_are() -> None:
    rows = [line.split("|")[1:-1] for line in SECURITY.splitlines() if line.startswith("| ") and "---" not in line]
    promises = [row for row in rows if row[0].strip() != "promise"]
    assert len(promises) > 10
    for promise, proofs in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", proofs)
        assert named, f"no test is named for: {promise}"
        for path, name in named:
            assert (ROOT / path).is_file(), path
            assert name in names_in(ROOT / path), f"{path} has no {name}"


#: Analyzes bundles, and does all else with them, while Python itself tells of what is done (PEP 578).
WATCHED = """
import io, json, os, sys
told = []
def heard(event, given):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty.",
                         "urllib.", "ftplib.", "http.", "webbrowser.", "shutil.", "code.", "pickle.")):
        told.append([event, repr(given)[:200]])
    elif event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if not isinstance(given[0], int):  # (a number is of a file that is open already)
            told.append(["writes", os.path.realpath(os.fsdecode(given[0]))])
    elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.chmod", "os.remove", "os.rmdir"):
        told.append(["writes", os.path.realpath(os.fsdecode(given[0]))])
from click.testing import CliRunner
from capflog.cli import cli
import capflog.analysis, capflog.reports.text, platformdirs, pyarrow.parquet, sqlite3, zoneinfo  # (once for all)
CliRunner().invoke(cli, ["analyze", "--no-store", sys.argv[2]])
out = sys.argv[1]
sys.addaudithook(heard)
for number, path in enumerate(sys.argv[2:]):
    every = [["analyze", path, "-q", "-o", f"{out}/{number}.json", "-o", f"{out}/{number}.md"]]
    if number == 0:
        every += [["timeline", "*"], ["devices"], ["inspect", path],
                  ["export", path, "-q", "-o", f"{out}/{number}.sqlite"],
                  ["check", path], ["diff", path, path], ["sql", "select count(*) from events", path]]
    for words in every:
        result = CliRunner().invoke(cli, words)
        assert result.exit_code < 2, (words, result)
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result)
print(json.dumps(told))
# That it would have been heard:
told.clear()
import socket, subprocess
socket.socket().close()
subprocess.run(["true"], check=True)
open(f"{out}/../else", "w").close()
print(json.dumps(told))
"""


def watched(tmp_path: Path, names: list[str]) -> list[list[str]]:
    """Give all that Python told while these samples were read."""
    out = tmp_path / "out"
    out.mkdir()
    paths = [str(ROOT / "samples" / f"{name}.zip") for name in names]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(out), *paths], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    told, heard = map(json.loads, done.stdout.splitlines())
    assert {kind for kind, _ in heard} >= {"socket.__new__", "subprocess.Popen", "writes"}
    assert ["writes", str(tmp_path.resolve() / "else")] in heard
    found: list[list[str]] = told
    return found


def only_what_is_named(names: list[str], tmp_path: Path, own_store: Path) -> None:
    told = watched(tmp_path, names)
    assert [one for one in told if one[0] != "writes"] == []
    written = {str(path) for kind, path in told if kind == "writes"}
    assert written
    ours = (str((tmp_path / "out").resolve()), str(own_store.resolve()))
    assert [path for path in written if not path.startswith(ours) and path != "/dev/null"] == []


def test_no_network_no_other_program_and_nothing_written_but_the_store_and_what_is_named(
    tmp_path: Path, own_store: Path
) -> None:
    only_what_is_named(SAMPLES[:1], tmp_path, own_store)


def test_so_it_is_with_every_sample(tmp_path: Path, own_store: Path) -> None:
    only_what_is_named(SAMPLES, tmp_path, own_store)


def test_the_lock_file_has_every_dependency_with_hashes() -> None:
    import tomllib

    text = (ROOT / "requirements" / "ci.txt").read_text(encoding="utf-8")
    assert "://" not in text
    pinned: dict[str, str] = {}
    for block in re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text)):
        first, *hashes = block.replace("\\\n", "").split()
        name, _, version = first.partition("==")
        pinned[re.sub(r"[-_.]+", "-", name).lower()] = version.rstrip(";")
        assert version
        assert any(one.startswith("--hash=sha256:") for one in hashes), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    env = {**default_environment(), "platform_machine": "x86_64", "sys_platform": "linux", "python_version": "3.11"}
    for words in (*project["dependencies"], *project["optional-dependencies"]["dev"]):
        wanted = Requirement(words)
        if wanted.marker is None or wanted.marker.evaluate({str(key): str(value) for key, value in env.items()}):
            assert wanted.specifier.contains(pinned[re.sub(r"[-_.]+", "-", wanted.name).lower()]), words
