"""What the tests share: the published excerpts as bundles, the samples, the command line as a user calls it."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from click.testing import CliRunner
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from capflog.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    from syrupy.assertion import SnapshotAssertion

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "samples" / "published"
SAMPLES = sorted(path.stem for path in (ROOT / "samples").glob("*.zip"))
TRUTH: dict[str, Any] = json.loads((ROOT / "samples" / "truth.json").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Said:
    """What a call of capflog gave: output, errors and exit status."""

    out: str
    err: str
    status: int

    def together(self) -> str:
        """All of it in one text, for a snapshot."""
        return f"{self.out}--- errors\n{self.err}--- exit status {self.status}\n"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the measured bundles (tests/test_accuracy.py) be chosen."""
    parser.addoption("--bundles", type=int, default=12, help="measure the clocks on so many random bundles")
    parser.addoption("--bundles-from", type=int, default=5000, help="the seed of the first of them")
    parser.addoption("--every", action="store_true", help="run those that take long, too (see SLOW in conftest.py)")


#: What the everyday run leaves out, for it takes long and is seldom the one that breaks: by module, or module and test.
SLOW = frozenset(
    {
        "test_accuracy",
        "test_clock_tracks",
        "test_encodings",
        "test_every_output",
        "test_faults",
        "test_own_output",
        "test_promises",
        "test_formats",
        "test_manners",
        "test_ready_pieces",
        "test_same_everywhere",
        "test_site_accuracy",
        "test_stopping",
        "test_tracks",
        "test_cli::test_rules_test_runs_the_cases",
        "test_cli_help::test_the_examples_with_pipes_run_in_a_shell",
        "test_cli_sql",
        "test_clocks::test_no_offset_is_held_by_more_lines_than_the_one_found",
        "test_enrollments::test_a_wave_of_phones_is_told_apart",
        "test_exports_tables",
        "test_faults::test_killed_at_any_moment_the_store_opens_and_is_right",
        "test_faults::test_two_dozen_analyses_at_once_are_all_kept",
        "test_perhaps::test_what_the_store_keeps_is_the_same",
        "test_progress::test_a_run_on_a_real_terminal_leaves_nothing",
        "test_promises::test_so_it_is_with_every_sample",
        "test_scanning::test_borders_may_stand_at_every_byte",
        "test_scanning::test_lines_of_every_kind_in_any_variation_say_what_the_parser_says",
        "test_scanning::test_many_stripes_of_a_dirty_log_make_the_whole",
        "test_scanning::test_the_report_is_the_same_for_any_number_of_processes",
        "test_store_file::test_any_changed_byte_is_told_or_harmless",
        "test_store_file::test_processes_that_save_at_once_do_not_hurt_each_other",
        "test_streams::test_a_fault_far_behind_the_start_is_found_to_the_byte",
    }
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it is asked for by name or with ``--every``."""
    if config.getoption("every") or any(".py" in word for word in config.args):
        return
    left_out = [item for item in items if _names_of(item) & SLOW]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _names_of(item) & SLOW]


def _names_of(item: pytest.Item) -> set[str]:
    module = item.path.stem
    return {module, f"{module}::{getattr(item, 'originalname', item.name)}"}


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a store of its own, and a terminal of no particular kind."""
    for name in (
        "NO_COLOR",
        "FORCE_COLOR",
        "COLUMNS",
        "TERM",
        *(name for name in os.environ if name.startswith("CAPFLOG_")),
    ):
        monkeypatch.delenv(name, raising=False)
    # Nor are the settings of whoever runs the tests to have a word in them.
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    store = tmp_path / "store"
    monkeypatch.setenv("CAPFLOG_STORE", str(store))
    return store


@pytest.fixture
def capflog() -> Callable[..., Said]:
    """Call capflog as a user does, in this process."""

    def call(*words: str | Path, stdin: bytes | None = None, env: dict[str, str] | None = None) -> Said:
        result = CliRunner().invoke(cli, [str(word) for word in words], input=stdin, env=env, catch_exceptions=False)
        return Said(result.stdout, result.stderr, result.exit_code)

    return call


@pytest.fixture
def sample() -> Callable[[str], Path]:
    """Find a sample by its name."""
    return lambda name: ROOT / "samples" / f"{name}.zip"


@pytest.fixture
def excerpt(tmp_path: Path) -> Callable[[str], Path]:
    """Zip a folder of the published excerpts as it is."""

    def make(number: str) -> Path:
        (folder,) = PUBLISHED.glob(f"{number}-*")
        bundle = tmp_path / f"{folder.name}.zip"
        with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.iterdir()):
                archive.writestr(zipfile.ZipInfo(path.name, (2026, 11, 23, 16, 8, 0)), path.read_bytes())
        return bundle

    return make


@cache
def validator() -> jsonschema.Draft202012Validator:
    """Make a validator of the report's contract, formats included."""
    schema = json.loads(files("capflog").joinpath("report.schema.json").read_text(encoding="utf-8"))
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


@pytest.fixture
def report(capflog: Callable[..., Said]) -> Callable[..., dict[str, Any]]:
    """Analyze bundles and give the JSON report, checked against its contract."""

    def make(*bundles: str | Path) -> dict[str, Any]:
        said = capflog("analyze", "--format", "json", *bundles)
        assert said.status == 0, said.err
        document: dict[str, Any] = json.loads(said.out)
        validator().validate(document)
        return document

    return make


class TextFile(SingleFileSnapshotExtension):
    """A snapshot is a text file that one can read."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


@pytest.fixture
def pinned(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Compare with a text file beside the test; `pytest --snapshot-update` writes them anew."""
    return snapshot.use_extension(TextFile)
