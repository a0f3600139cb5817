"""What was analysed can be asked for later, and nothing that befalls the file stops capflog."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import capflog
from capflog import store as store_module
from capflog.model import Enrollment, Row, Timeline
from capflog.store import KEPT_RUNS, Store, StoreProblem, default_path
from capflog.zones import named
from tests.test_packing import texts, timelines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POSIX = os.name == "posix"
posix_only = pytest.mark.skipif(not POSIX, reason="file modes and signals as POSIX has them")

ZONE = named("America/New_York")
START = datetime(2024, 5, 6, 14, 5, 4, 628000, tzinfo=UTC)
STEPS = (
    ("capf.mode", None, "CA Mode is OnlineCA, Initiating Automatic Certificate Enrollment"),
    ("est.enroll.call", "call", "Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{device}.csr"),
    ("capf.csr.read", None, "Inside X509_REQ *read_csr()"),
    ("est.enroll.result", "answer", "Enrollment rv = 35 (EST_ERR_SSL_READ) with pkcs7 length = 0"),
)


def timeline_of(device: str, bundle: str = "bundle.zip", attempts: int = 2) -> Timeline:
    """A device's failed attempts, as a timeline tells them."""
    rows, enrollments = [], []
    for attempt in range(attempts):
        start = START + timedelta(minutes=7 * attempt, milliseconds=sum(map(ord, device)))
        name = f"{device}-{attempt + 1}"
        for i, (event, step, text) in enumerate(STEPS):
            at = start + timedelta(milliseconds=13 * i)
            said = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} |   debug 2:{device}:{text.format(device=device)}"
            mark = "fault" if step == "answer" else ""
            rows.append(
                Row(at, at, at, "capf", "capf00000001.txt", 40 + i, None, event, said, name, "certain", step, mark)
            )
        end = start + timedelta(seconds=10)
        enrollments.append(
            Enrollment(name, device, start, end, "failed", "call", None, "EST_ERR_SSL_READ", 35, [], ["ces-no-answer"])
        )
    gone = "nothing in the bundle says why CES did not answer"
    return Timeline(device, bundle, ZONE, enrollments, rows, {"ces-no-answer": "CES did not answer"}, [gone])


DEVICES = [f"SEP0011223344{i:02X}" for i in range(6)]


def fill(path: Path, runs: int = 3) -> dict[int, list[Timeline]]:
    """Keep some analyses, each of its own bundle, and say what of each."""
    kept = {}
    with Store.open(path, create=True) as store:
        assert store.notices == []
        for i in range(runs):
            bundle = f"bundle-{i}.zip"
            found = [timeline_of(device, bundle) for device in DEVICES]
            kept[store.save(f'{{"bundle": "{bundle}"}}', bundle, found)] = found
    return kept


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "capflog.db"


def environment() -> dict[str, str]:
    root = Path(capflog.__file__).parent.parent
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def problem(call: Callable[[], object]) -> str:
    """The line that a user gets, which says what to do."""
    with pytest.raises(StoreProblem) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert "--no-store" in said
    assert "--store PATH" in said
    return said


def opened(path: Path | None, *, create: bool = True) -> Callable[[], object]:
    def call() -> None:
        with Store.open(path, create=create):
            pass

    return call


# What is kept


def test_an_analysis_comes_back_when_the_store_is_opened_again(file: Path) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    kept = fill(file, 1)
    after = datetime.now(UTC)
    ((run_id, found),) = kept.items()
    with Store.open(file, create=False) as store:
        run = store.latest()
        assert run is not None
        assert (run.id, run.bundle, run.devices) == (run_id, "bundle-0.zip", len(DEVICES))
        assert run.analysed.tzinfo is UTC
        assert before <= run.analysed <= after
        assert store.runs() == [run]
        assert store.report(run_id) == '{"bundle": "bundle-0.zip"}'
        assert store.devices(run_id) == DEVICES
        assert [store.timeline(run_id, device) for device in DEVICES] == found
        assert store.notices == []


@settings(deadline=None, derandomize=True, database=None, max_examples=20)
@given(
    st.lists(timelines(), max_size=5, unique_by=lambda t: t.device), texts, texts, st.sampled_from([1, 200, 1 << 20])
)
def test_whatever_was_saved_comes_back(found: list[Timeline], bundle: str, report: str, block: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "BLOCK_BYTES", block)
        with Store.open(Path(folder), create=True) as store:
            run_id = store.save(report, bundle, iter(found))
        with Store.open(Path(folder), create=False) as store:
            run = store.latest()
            assert run is not None
            assert (run.bundle, run.devices) == (bundle, len(found))
            assert store.report(run_id) == report
            assert store.devices(run_id) == [t.device for t in found]
            assert [store.timeline(run_id, t.device) for t in found] == found


def test_devices_that_fill_many_blocks_come_back(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "BLOCK_BYTES", 3000)
    ((run_id, found),) = fill(file, 1).items()
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(*) FROM blocks").fetchone()[0] > 1
    with Store.open(file, create=False) as store:
        assert [store.timeline(run_id, device) for device in DEVICES] == found


def test_a_device_that_the_analysis_lacks_has_no_timeline(file: Path) -> None:
    run_id = max(fill(file))
    with Store.open(file, create=False) as store:
        assert store.timeline(run_id, "SEP000000000000") is None
        assert store.timeline(run_id + 1, DEVICES[0]) is None
        assert store.devices(run_id + 1) == []
        with pytest.raises(StoreProblem, match=f"analysis {run_id + 1} is not kept"):
            store.report(run_id + 1)


def test_an_analysis_without_devices_is_kept(file: Path) -> None:
    with Store.open(file, create=True) as store:
        run_id = store.save("{}", "empty.zip", [])
        run = store.latest()
        assert run is not None
        assert (run.bundle, run.devices) == ("empty.zip", 0)
        assert store.devices(run_id) == []


def test_a_timeline_without_rows_is_kept(file: Path) -> None:
    empty = Timeline("SEP0011223344AA", "b", None, [], [])
    with Store.open(file, create=True) as store:
        assert store.timeline(store.save("{}", "b", [empty]), empty.device) == empty


def test_the_newest_analyses_are_kept_and_older_ones_go(file: Path) -> None:
    with Store.open(file, create=True) as store:
        ids = [store.save("{}", f"{i}.zip", [timeline_of(DEVICES[0])]) for i in range(KEPT_RUNS + 3)]
        assert [run.id for run in store.runs()] == ids[: -KEPT_RUNS - 1 : -1]
        assert [run.bundle for run in store.runs()] == [f"{i}.zip" for i in range(KEPT_RUNS + 2, 2, -1)]
        assert store.timeline(ids[0], DEVICES[0]) is None
        assert store.timeline(ids[3], DEVICES[0]) is not None
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("SELECT count(DISTINCT run) FROM blocks").fetchone()[0] == KEPT_RUNS


def test_the_file_gives_back_the_room_of_analyses_that_went(file: Path) -> None:
    with Store.open(file, create=True) as store:
        store.save(os.urandom(500_000).hex(), "large.zip", [])
    assert file.stat().st_size > 500_000
    with Store.open(file, create=True) as store:
        for _ in range(KEPT_RUNS):
            store.save("{}", "small.zip", [])
    assert file.stat().st_size < 100_000


def test_a_row_costs_few_bytes(file: Path) -> None:
    found = [timeline_of(f"SEP{i * 7919:012X}", attempts=15) for i in range(100)]
    with Store.open(file, create=True) as store:
        store.save("{}", "bundle.zip", found)
    assert file.stat().st_size < 15 * sum(len(t.rows) for t in found)


def test_a_failing_source_of_timelines_leaves_what_was_kept(file: Path) -> None:
    kept = fill(file)

    def broken() -> Iterator[Timeline]:
        yield timeline_of(DEVICES[0])
        raise KeyboardInterrupt

    with Store.open(file, create=True) as store:
        with pytest.raises(KeyboardInterrupt):
            store.save("{}", "cut.zip", broken())
        assert {run.id for run in store.runs()} == set(kept)
        store.save("{}", "whole.zip", [])


def test_neither_pandas_nor_rich_is_loaded(file: Path) -> None:
    fill(file)
    code = (
        "import sys; from pathlib import Path; from capflog.store import Store\n"
        "with Store.open(Path(sys.argv[1]), create=False) as store: store.timeline(store.latest().id, sys.argv[2])\n"
        "print({'pandas', 'numpy', 'rich', 'platformdirs'} & set(sys.modules))"
    )
    assert run_python(code, str(file), DEVICES[0]).stdout == "set()\n"


# Where it is kept


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CAPFLOG_STORE", raising=False)
    for name in ("HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="the folder's name is the system's")
def test_the_store_stands_in_the_users_data_folder(home: Path) -> None:
    assert default_path() == home / ".local" / "share" / "capflog" / "capflog.db"
    with Store.open(None, create=True) as store:
        assert store.path == default_path()
    assert default_path().is_file()


def test_the_environment_says_where_the_store_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPFLOG_STORE", str(home / "elsewhere"))
    assert default_path() == home / "elsewhere" / "capflog.db"
    monkeypatch.setenv("CAPFLOG_STORE", str(home / "mine.db"))
    assert default_path() == home / "mine.db"


@pytest.mark.parametrize(
    ("named", "at"),
    [
        ("folder", "folder/capflog.db"),
        ("new/deep", "new/deep/capflog.db"),
        ("mine.db", "mine.db"),
        ("new/MINE.DB", "new/MINE.DB"),
        ("folder.db", "folder.db/capflog.db"),
        ("odd ?#%20 name.db", "odd ?#%20 name.db"),
    ],
)
def test_a_path_is_a_folder_or_a_file_that_ends_in_db(tmp_path: Path, named: str, at: str) -> None:
    if os.name == "nt" and "?" in named:
        pytest.skip("no such names on Windows")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.db").mkdir()
    with Store.open(tmp_path / named, create=True) as store:
        store.save("{}", "b.zip", [])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / at]
    with Store.open(tmp_path / named, create=False) as store:
        assert store.latest() is not None


@posix_only
def test_a_store_behind_a_link_is_the_one_it_points_to(tmp_path: Path) -> None:
    real = tmp_path / "real.db"
    fill(real, 1)
    (tmp_path / "link.db").symlink_to(real)
    with Store.open(tmp_path / "link.db", create=False) as store:
        assert store.path == real
        assert store.latest() is not None


@posix_only
@pytest.mark.parametrize("odd", ["caf\udce9", "with\nline"])
def test_a_folder_with_an_odd_name_serves(tmp_path: Path, odd: str) -> None:
    try:
        (tmp_path / odd).mkdir()
    except OSError:
        pytest.skip("the file system has no such names")
    fill(tmp_path / odd, 1)
    with Store.open(tmp_path / odd, create=False) as store:
        assert store.latest() is not None


@posix_only
def test_only_the_user_may_read_the_store(file: Path) -> None:
    before = os.umask(0)
    try:
        with Store.open(file, create=True) as store:
            store.save("{}", "b.zip", [timeline_of(DEVICES[0])])
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"capflog.db": 0o600, "capflog.db-wal": 0o600, "capflog.db-shm": 0o600}
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["capflog.db"]


@posix_only
def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    fill(tmp_path, 1)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_asking_a_store_that_is_missing_makes_nothing(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none", tmp_path / "none" / "x.db"):
        with Store.open(place, create=False) as store:
            assert store.latest() is None
            assert store.runs() == []
            assert store.devices(1) == []
            assert store.timeline(1, DEVICES[0]) is None
            assert store.notices == []
            with pytest.raises(StoreProblem, match="not kept"):
                store.report(1)
            with pytest.raises(StoreProblem, match="there is no store"):
                store.save("{}", "b.zip", [])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_store_without_a_word(file: Path) -> None:
    file.parent.mkdir()
    file.touch()
    with Store.open(file, create=False) as store:
        assert store.latest() is None
        assert store.notices == []
    assert file.stat().st_size == 0
    fill(file)


@posix_only
def test_a_user_without_a_home_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))
    assert "home" in problem(opened(None))
    monkeypatch.setenv("CAPFLOG_STORE", "~/kept")
    assert "home" in problem(opened(None))
