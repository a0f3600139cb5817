"""Generated bundles are the same each time, and what capflog finds in them is what was put into them."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from capflog.analysis import analyze

from . import generate
from .generate import Plan, amount, make

if TYPE_CHECKING:
    from pathlib import Path

    from capflog.model import Report

SMALL = 2_000_000


def analyzed(bundle: Path, truth: dict[str, Any]) -> Report:
    """Analyze a bundle and compare it with its counts."""
    report = analyze([str(bundle)]).report
    outcomes = [enrollment.outcome for enrollment in report.enrollments]
    assert len(outcomes) == truth["enrollments"]
    assert (outcomes.count("issued"), outcomes.count("failed")) == (truth["issued"], truth["failed"])
    assert all(enrollment.device for enrollment in report.enrollments)
    lines = dict.fromkeys(truth["lines"], 0)
    for member in report.members:
        assert member.source is not None
        assert member.unparsed == 0, member.unknown
        lines[member.source] += member.lines
    assert lines == truth["lines"]
    return report


@pytest.mark.parametrize("kind", ["day", "storm"])
def test_a_bundle_holds_what_its_counts_say(kind: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "first.zip"
    truth = make(Plan(kind, SMALL, 1), bundle)
    assert truth["failed"]
    analyzed(bundle, truth)

    with zipfile.ZipFile(bundle) as archive:
        in_all = sum(entry.file_size for entry in archive.infolist())
        traces = sum(entry.file_size for entry in archive.infolist() if "capf" in entry.filename)
    sizes: Any = truth["bytes"]
    assert sum(sizes.values()) == in_all == pytest.approx(SMALL, rel=0.05)
    assert sizes["capf"] == traces
    for source, share in (("capf", 50), ("nginx", 20), ("iis", 30)):
        assert 100 * sizes[source] / in_all == pytest.approx(share, abs=5)


@pytest.mark.parametrize("kind", ["day", "storm"])
def test_a_seed_makes_the_same_bytes_and_another_seed_others(kind: Any, tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        make(Plan(kind, SMALL // 4, seed), tmp_path / f"{name}.zip")
    first, again, other = ((tmp_path / f"{name}.zip").read_bytes() for name in ("first", "again", "other"))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("kind", "digest"),
    [("day", "948dcd11ed91d4fa"), ("storm", "5280f0b133529d1e")],
)
def test_the_text_is_the_same_on_every_machine(kind: Any, digest: str, tmp_path: Path) -> None:
    make(Plan(kind, SMALL // 4, 1), tmp_path / "bundle")
    files = sorted(path for path in (tmp_path / "bundle").rglob("*") if path.is_file())
    assert hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16] == digest


def test_a_folder_holds_the_same_as_a_zip(tmp_path: Path) -> None:
    plan = Plan("day", SMALL // 4, 1)
    assert make(plan, tmp_path / "bundle.zip") == make(plan, tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        for name in archive.namelist():
            assert archive.read(name) == (tmp_path / "folder" / name).read_bytes()


@pytest.mark.parametrize(
    ("begin", "files"),
    [
        pytest.param(24 * 3_600_000 - 9_000, ["u_ex190117.log"], id="midnight on the node"),
        pytest.param(19 * 3_600_000 - 6_000, ["u_ex190116.log", "u_ex190117.log"], id="midnight UTC"),
    ],
)
def test_days_roll_over(begin: int, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(generate.BEGIN, "storm", begin)
    bundle = tmp_path / "bundle.zip"
    truth = make(Plan("storm", SMALL // 4, 1), bundle)
    with zipfile.ZipFile(bundle) as archive:
        assert [name.rpartition("/")[2] for name in archive.namelist() if "W3SVC1" in name] == files
    report = analyzed(bundle, truth)
    last = max(enrollment.started for enrollment in report.enrollments if enrollment.started is not None)
    first = min(enrollment.started for enrollment in report.enrollments if enrollment.started is not None)
    assert (last - first).total_seconds() < 60


@pytest.mark.parametrize(("text", "size"), [("10M", 10_000_000), ("1.5G", 1_500_000_000), ("7k", 7_000), ("12", 12)])
def test_sizes_are_read(text: str, size: int) -> None:
    assert amount(text) == size
