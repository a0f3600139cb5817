"""A report is the same to the byte wherever, and in whatever order, a bundle is read."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from capflog.analysis import analyze
from capflog.reports import json as json_report
from capflog.reports import terminal
from tests.conftest import ROOT
from tests.hostile import hostile_members
from tests.simulator import Site, simulate, write

#: What each bundle of the simulator holds that a host could have a word in.
SITES: dict[str, tuple[int, dict[str, Any]]] = {
    "summer-ends": (
        11,
        {"zone": "America/St_Johns", "change": "autumn", "hours": 6.0, "night": 1.0, "modified": "local"},
    ),
    "jumps": (12, {"step": -95.5, "drift": 40.0, "hours": 20.0, "modified": "utc", "files": 3}),
    "rtmt": (13, {"layout": "rtmt", "record": True, "zone": "America/Chicago", "files": 4, "logs": ("capf", "iis")}),
}
SAMPLES = ("ca-hostname-mismatch", "healthy")

#: A host's settings: where it is, what it speaks, how it orders sets. A locale need not be installed to be set.
HOSTS = (
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"},
    {"TZ": "Asia/Kolkata", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    {"TZ": "America/St_Johns", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "2"},
)

#: Has the bundles named be analysed, and both reports of each written into a folder.
PROGRAM = "import sys; from tests.test_same_everywhere import write_reports; write_reports(*sys.argv[1:])"


def reports_of(path: str | Path) -> dict[str, str]:
    """Give the reports of a bundle, as ``capflog analyze`` prints them on a screen of a hundred cells."""
    analysis = analyze([str(path)])
    zone = analysis.alignment.display_zone
    return {
        "json": json.dumps(json_report.document(analysis.report), ensure_ascii=False),
        "text": terminal.render(analysis.report, width=100, color=False, unicode=True, zone=zone),
    }


def write_reports(folder: str, *paths: str) -> None:
    for path in paths:
        for form, text in reports_of(path).items():
            (Path(folder) / f"{Path(path).stem}.{form}").write_text(text, encoding="utf-8", newline="")


@cache
def site(name: str) -> Site:
    seed, choices = SITES[name]
    return simulate(seed, **({"enrollments": 20, "noise": 0.0, "starts": 1} | choices))


def test_the_bundles_hold_what_they_are_for() -> None:
    offsets = {site("summer-ends").node.offset(at) for at in site("summer-ends").truth.lines.values()}
    assert len(offsets) == 2
    assert site("jumps").truth.step
    assert any(member.name.startswith("TraceCollectionResult") for member in site("rtmt").members)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    for name in SITES:
        write(site(name), folder / f"{name}.zip")
    with zipfile.ZipFile(folder / "hostile.zip", "w") as archive:
        for member in hostile_members("x"):
            archive.writestr(member.name, member.content)
    return [
        folder / "hostile.zip",
        *(folder / f"{name}.zip" for name in SITES),
        *(ROOT / "samples" / f"{name}.zip" for name in SAMPLES),
    ]


def test_reports_are_the_same_on_every_host(bundles: list[Path], tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "PYTHONPATH"}}
    running = []
    for number, host in enumerate(HOSTS):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        words = [sys.executable, "-c", PROGRAM, str(folder), *map(str, bundles)]
        env = {**kept, **host}
        running.append(subprocess.Popen(words, cwd=ROOT, env=env, stderr=subprocess.PIPE))
    for process in running:
        _, err = process.communicate()
        assert process.returncode == 0, err.decode()
    first, *others = (
        {path.name: path.read_bytes() for path in (tmp_path / f"{number}").iterdir()} for number in range(len(HOSTS))
    )
    assert sorted(first) == sorted(f"{path.stem}.{form}" for path in bundles for form in ("json", "text"))
    assert all(len(content) > 1000 for content in first.values())
    for host, other in zip(HOSTS[1:], others, strict=True):
        assert [name for name in first if other[name] != first[name]] == [], host


@pytest.mark.parametrize("number", range(1 + len(SITES) + len(SAMPLES)))
def test_reports_are_the_same_whatever_the_order_of_members(number: int, bundles: list[Path], tmp_path: Path) -> None:
    path = bundles[number]
    with zipfile.ZipFile(path) as archive:
        members = [(entry, archive.read(entry)) for entry in archive.infolist()]
    assert len(members) > 1
    names = [entry.filename for entry, _ in members]
    wanted = reports_of(path)
    random.Random(number).shuffle(members)
    other = tmp_path / path.name
    with zipfile.ZipFile(other, "w") as archive:
        for entry, content in members:
            archive.writestr(entry, content)
    assert [entry.filename for entry, _ in members] != names
    assert reports_of(other) == wanted
