"""Nothing that befalls the store's file stops capflog, and no process hurts another."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capflog import store as store_module
from capflog import store_file
from capflog.store import KEPT_RUNS, Store, StoreProblem
from capflog.unpacking import UnreadableError
from tests.test_store import DEVICES, environment, fill, opened, posix_only, problem, timeline_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.model import Timeline


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "capflog.db"


# Where it cannot be kept


def test_a_file_where_a_folder_should_be_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "notes.txt" in problem(opened(tmp_path / "notes.txt"))
    assert "notes.txt" in problem(opened(tmp_path / "notes.txt", create=False))
    assert (tmp_path / "notes.txt").read_text() == "mine"


@posix_only
def test_a_pipe_is_no_store(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    assert "not a file" in problem(opened(tmp_path / "pipe.db"))


def test_a_path_with_nul_in_it_is_a_problem(tmp_path: Path) -> None:
    problem(opened(tmp_path / "a\0b"))


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.db"
    with closing(sqlite3.connect(theirs)) as db:
        db.executescript("CREATE TABLE runs (id INTEGER); INSERT INTO runs VALUES (7)")
    before = theirs.read_bytes()
    for create in (True, False):
        assert "another program's" in problem(opened(theirs, create=create))
    assert theirs.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.db"]


def test_a_full_disk_is_a_problem_and_loses_nothing(file: Path) -> None:
    kept = fill(file)
    with Store.open(file, create=True) as store:
        db = store._file._db
        assert db is not None
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 2}")
        assert "no space" in problem(lambda: store.save(os.urandom(50_000).hex(), "large.zip", []))
        assert {run.id for run in store.runs()} == set(kept)
    check_whole(file, kept)


def test_a_store_that_stays_locked_is_a_problem(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fill(file)
    monkeypatch.setattr(store_file, "BUSY_SECONDS", 0.0)
    with closing(sqlite3.connect(file, isolation_level=None)) as other, Store.open(file, create=True) as store:
        other.execute("BEGIN IMMEDIATE")
        assert "in use" in problem(lambda: store.save("{}", "b.zip", []))
        assert {run.id for run in store.runs()} == set(kept)
        other.execute("ROLLBACK")
        store.save("{}", "b.zip", [])


@contextmanager
def plain_user() -> Iterator[Path]:
    """A folder of a user who is not root: root may write anywhere."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        try:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        except OSError:
            folder.rmdir()
            pytest.skip("root alone is here")
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o700)
        shutil.rmtree(folder)


@posix_only
def test_a_folder_that_cannot_be_written_is_a_problem() -> None:
    with plain_user() as folder:
        folder.chmod(0o500)
        assert "permission denied" in problem(opened(folder))
        assert "permission denied" in problem(opened(folder / "deep" / "x.db"))
        assert list(folder.iterdir()) == []


@posix_only
def test_a_store_in_a_folder_that_cannot_be_written_can_be_asked() -> None:
    with plain_user() as folder:
        kept = fill(folder)
        (folder / "capflog.db").chmod(0o400)
        folder.chmod(0o500)
        check_whole(folder, kept)
        assert "cannot be used" in problem(opened(folder))
        check_whole(folder, kept)


@posix_only
def test_a_file_that_cannot_be_written_can_be_asked_and_saving_is_a_problem() -> None:
    with plain_user() as folder:
        kept = fill(folder)
        (folder / "capflog.db").chmod(0o400)
        check_whole(folder, kept)
        with Store.open(folder, create=True) as store:
            problem(lambda: store.save("{}", "b.zip", []))
            assert {run.id for run in store.runs()} == set(kept)
            assert store.notices == []
        check_whole(folder, kept)


@posix_only
def test_a_file_that_cannot_be_read_is_a_problem() -> None:
    with plain_user() as folder:
        fill(folder)
        (folder / "capflog.db").chmod(0)
        for create in (True, False):
            problem(opened(folder, create=create))
        assert [path.name for path in folder.iterdir()] == ["capflog.db"]


@posix_only
def test_a_damaged_store_in_a_folder_that_cannot_be_written_is_told() -> None:
    with plain_user() as folder:
        (folder / "capflog.db").write_bytes(b"junk" * 2000)
        folder.chmod(0o500)
        with Store.open(folder, create=False) as store:
            assert store.latest() is None
            (notice,) = store.notices
            assert "damaged" in notice
            assert "analyze the bundle again" in notice
        assert "damaged" in problem(opened(folder))


@posix_only
def test_changes_that_cannot_be_read_are_told() -> None:
    with plain_user() as folder:
        kept = fill(folder / "made")
        with Store.open(folder / "made", create=True) as store:
            store.save("{}", "later.zip", [])
            (folder / "copy").mkdir()
            for name in ("capflog.db", "capflog.db-wal"):
                shutil.copy(folder / "made" / name, folder / "copy" / name)
        (folder / "copy").chmod(0o500)
        with Store.open(folder / "copy", create=False) as store:
            assert {run.id for run in store.runs()} <= {*kept, max(kept) + 1}
            assert any("last changes" in notice for notice in store.notices)


# Damage


def check_whole(path: Path, kept: dict[int, list[Timeline]]) -> None:
    """All that was kept can be read, word for word."""
    with Store.open(path, create=False) as store:
        assert [run.id for run in store.runs()] == sorted(kept, reverse=True)
        for run_id, found in kept.items():
            assert [store.timeline(run_id, t.device) for t in found] == found
        assert store.notices == []


def ask_all(store: Store, kept: dict[int, list[Timeline]]) -> None:
    """Whatever can be read of a damaged store is right."""
    for run in store.runs():
        assert store.report(run.id) == f'{{"bundle": "{run.bundle}"}}'
        for device in store.devices(run.id):
            timeline = store.timeline(run.id, device)
            assert timeline is not None
            assert timeline in kept[run.id]


def survives(file: Path, kept: dict[int, list[Timeline]]) -> bool:
    """A store in any state answers rightly or says that it is damaged, and takes the next analysis; was it damaged?"""
    told = False
    for create in (False, True):
        try:
            with Store.open(file, create=create) as store:
                told = told or bool(store.notices)
                ask_all(store, kept)
        except StoreProblem as said:
            if "damaged" not in str(said):
                raise
            told = True
    mine = timeline_of("SEP00AABBCCDDEE")
    with Store.open(file, create=True) as store:
        run_id = store.save("{}", "mine.zip", [mine])
        told = told or bool(store.notices)
    with Store.open(file, create=False) as store:
        assert store.notices == []
        assert store.timeline(run_id, mine.device) == mine
    return told


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[int, list[Timeline]]]:
    """A store's bytes, with trees and chains of several pages, and what is in it."""
    file = tmp_path_factory.mktemp("whole") / "capflog.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "BLOCK_BYTES", 3000)
        kept = fill(file)
    return file.read_bytes(), kept


HEADER = [0, 15, 16, 17, 18, 19, 20, 21, 24, 28, 31, 35, 39, 43, 44, 47, 52, 55, 56, 59, 60, 63, 64, 67, 68, 71, 95]
PAGES = [4096 * page + at for page in range(9) for at in (0, 1, 3, 5, 7, 9, 11, 1500, 4000, 4092)][1:]


def test_any_changed_byte_is_told_or_harmless(tmp_path: Path, whole: tuple[bytes, dict[int, list[Timeline]]]) -> None:
    data, kept = whole
    told = 0
    for at in HEADER + [place for place in PAGES if place < len(data)]:
        file = tmp_path / str(at) / "capflog.db"
        file.parent.mkdir()
        changed = bytearray(data)
        changed[at] ^= 0xFF
        file.write_bytes(changed)
        told += survives(file, kept)
    assert told > 40


def test_any_cut_is_told(tmp_path: Path, whole: tuple[bytes, dict[int, list[Timeline]]]) -> None:
    data, kept = whole
    # SQLite takes a file of a single byte for an empty one.
    lengths = [2, 15, 16, 99, 100, 101, 512, 4095, 4096, 5000, 8192]
    for length in (*lengths, len(data) // 2, len(data) - 4096, len(data) - 1):
        file = tmp_path / str(length) / "capflog.db"
        file.parent.mkdir()
        file.write_bytes(data[:length])
        assert survives(file, kept), length


def test_a_store_that_is_whole_is_left_alone(tmp_path: Path, whole: tuple[bytes, dict[int, list[Timeline]]]) -> None:
    data, kept = whole
    (tmp_path / "capflog.db").write_bytes(data)
    assert not survives(tmp_path / "capflog.db", kept)
    assert [path.name for path in tmp_path.iterdir()] == ["capflog.db"]


@pytest.mark.parametrize("junk", [b"no", b"not a database\n" * 400, bytes(8192), b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_kept_aside(file: Path, junk: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(junk)
    aside = file.with_name("capflog.db.damaged-1")
    with Store.open(file, create=True) as store:
        assert store.notices == [f"the store was damaged and was made anew (the old one is kept as {aside})"]
        assert store.latest() is None
        store.save("{}", "b.zip", [])
    assert aside.read_bytes() == junk
    with Store.open(file, create=False) as store:
        assert store.notices == []
        assert store.latest() is not None


def test_who_only_asks_puts_a_damaged_store_aside_and_makes_none(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"junk" * 2000)
    with Store.open(file, create=False) as store:
        assert store.latest() is None
        (notice,) = store.notices
        assert "damaged" in notice
        assert "analyze the bundle again" in notice
    assert [path.name for path in file.parent.iterdir()] == ["capflog.db.damaged-1"]


def test_the_newest_damaged_store_alone_is_kept(file: Path) -> None:
    file.parent.mkdir()
    mine = file.with_name("capflog.db.damaged-soon")
    mine.write_text("not capflog's")
    for i in range(3):
        file.write_bytes(b"junk %d" % i * 2000)
        with Store.open(file, create=True) as store:
            assert f"damaged-{i + 1})" in store.notices[0]
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["capflog.db", "capflog.db.damaged-3", "capflog.db.damaged-soon"]
    assert file.with_name("capflog.db.damaged-3").read_bytes() == b"junk 2" * 2000


def spoil_blocks(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE blocks SET data = zeroblob(length(data))")
        db.commit()


def test_damage_that_a_question_meets_is_told_once(file: Path) -> None:
    run_id = max(fill(file))
    spoil_blocks(file)
    with Store.open(file, create=False) as store:
        assert store.notices == []
        assert store.devices(run_id) == DEVICES
        with pytest.raises(StoreProblem, match=r"damaged and is kept as .*damaged-1: analyze the bundle again"):
            store.timeline(run_id, DEVICES[0])
        assert store.notices == []
        assert store.timeline(run_id, DEVICES[0]) is None
    assert not file.exists()


def test_damage_that_saving_meets_does_not_stop_it(file: Path) -> None:
    fill(file)
    found = [timeline_of(DEVICES[0])]
    with Store.open(file, create=True) as store:
        with closing(sqlite3.connect(file)) as db:
            db.execute("DROP TABLE blocks")
        run_id = store.save("{}", "b.zip", iter(found))
        assert [notice[:43] for notice in store.notices] == ["the store was damaged and was made anew (th"]
        assert [run.id for run in store.runs()] == [run_id]
        assert store.timeline(run_id, DEVICES[0]) == found[0]


def test_a_run_whose_blocks_are_gone_is_damage_and_no_missing_device(file: Path) -> None:
    run_id = max(fill(file))
    with closing(sqlite3.connect(file)) as db:
        db.execute("DELETE FROM blocks")
        db.commit()
    with Store.open(file, create=True) as store, pytest.raises(StoreProblem, match="damaged"):
        store.timeline(run_id, DEVICES[0])


def test_blocks_that_changed_places_are_damage_and_no_other_devices_story(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BLOCK_BYTES", 1)
    run_id = max(fill(file))
    with closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE blocks SET number = number - 1000")
        db.execute("UPDATE blocks SET number = -995 - number")
        db.commit()
    with Store.open(file, create=True) as store, pytest.raises(StoreProblem, match="damaged"):
        store.timeline(run_id, DEVICES[0])


def test_two_analyses_of_one_number_are_damage(file: Path) -> None:
    fill(file)
    with closing(sqlite3.connect(file)) as db:
        heads = db.execute("SELECT 7, head FROM runs").fetchall()
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE runs (id, head)")
        db.executemany("INSERT INTO runs VALUES (?, ?)", heads)
        with pytest.raises(UnreadableError):
            store_module._runs(db)


def test_the_log_and_journal_of_a_damaged_store_go_with_it(file: Path) -> None:
    file.parent.mkdir()
    for turn in (1, 2):
        for end in ("", "-wal", "-journal", "-shm"):
            file.with_name(f"capflog.db{end}").write_text(f"{turn}{end}")
        store_file.StoreFile(file, create=True, check=store_module._runs)._put_aside("damaged")
        found = {path.name: path.read_text() for path in file.parent.iterdir()}
        assert found == {f"capflog.db.damaged-{turn}{end}": f"{turn}{end}" for end in ("", "-wal", "-journal")}


# Other versions


@pytest.mark.parametrize(
    ("version", "age"), [(0, "an older"), (2, "an older"), (store_file.SCHEMA + 1, "a newer"), (-1, "an older")]
)
def test_a_store_of_another_version_is_made_anew(file: Path, version: int, age: str) -> None:
    fill(file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE more (a)")
        db.execute(f"PRAGMA user_version = {version}")
    before = file.read_bytes()
    with Store.open(file, create=False) as store:
        assert store.latest() is None
        assert store.notices == [f"the store {file} is of {age} capflog and was not read: analyze the bundle again"]
    assert file.read_bytes() == before
    aside = file.with_name("capflog.db.version-1")
    with Store.open(file, create=True) as store:
        assert store.notices == [f"the store was of {age} capflog and was made anew (the old one is kept as {aside})"]
        store.save("{}", "b.zip", [])
    assert aside.read_bytes() == before
    with Store.open(file, create=True) as store:
        assert store.notices == []
        assert [run.bundle for run in store.runs()] == ["b.zip"]


# Others at work on it


SAVE = """
import sys
from pathlib import Path
from capflog.model import Timeline
from capflog.store import Store
print("ready", flush=True)
sys.stdin.readline()
for turn in range(3):
    with Store.open(Path(sys.argv[1]), create=True) as store:
        found = [Timeline(f"SEP{i}", sys.argv[2], None, [], []) for i in range(30)]
        run = store.save("{}", f"{sys.argv[2]}-{turn}", found)
        found = store.timeline(run, "SEP7")
        assert found is None or found.bundle == sys.argv[2]
        for notice in store.notices:
            print(notice)
"""


@pytest.mark.parametrize("before", ["none", "junk", "damaged"])
def test_processes_that_save_at_once_do_not_hurt_each_other(file: Path, before: str) -> None:
    if before != "none":
        fill(file)
    if before == "junk":
        file.write_bytes(b"junk" * 2000)
    if before == "damaged":
        with closing(sqlite3.connect(file)) as db:
            db.execute("UPDATE runs SET head = zeroblob(9)")
            db.commit()
    others = [
        subprocess.Popen(
            [sys.executable, "-c", SAVE, str(file), str(i)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(8)
    ]
    for other in others:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
    for other in others:
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
    said = [other.communicate() for other in others]
    assert [(other.returncode, error) for other, (_, error) in zip(others, said, strict=True)] == [(0, "")] * 8
    notices = [line for out, _ in said for line in out.splitlines()]
    assert sum("made anew (the old one is kept as" in line for line in notices) == (before != "none")
    with Store.open(file, create=False) as store:
        assert store.notices == []
        assert len({run.bundle for run in store.runs()}) == KEPT_RUNS
        for run in store.runs():
            assert len(store.devices(run.id)) == 30
            timeline = store.timeline(run.id, "SEP7")
            assert timeline is not None
            assert timeline.bundle == run.bundle.partition("-")[0]


def test_a_question_is_answered_while_another_saves(file: Path) -> None:
    kept = fill(file)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM blocks")
        check_whole(file, kept)
        other.execute("ROLLBACK")


@posix_only
def test_a_store_in_use_is_not_put_aside(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(file)
    monkeypatch.setattr(store_file, "BUSY_SECONDS", 0.0)
    with Store.open(file, create=False):
        spoil_blocks(file)
        with Store.open(file, create=True) as store:
            run = store.latest()
            assert run is not None
            assert "in use" in problem(lambda: store.timeline(run.id, DEVICES[0]))
    assert [path.name for path in file.parent.iterdir()] == ["capflog.db"]


@posix_only
def test_what_another_process_made_anew_is_not_put_aside_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(file)
    spoil_blocks(file)
    monkeypatch.setattr(store_file._FolderLock, "alone", lambda self: replaced())

    def replaced() -> None:
        monkeypatch.undo()
        if not (aside := file.with_name("capflog.db.damaged-1")).exists():
            file.rename(aside)
            fill(file, 1)

    with Store.open(file, create=True) as store:
        with pytest.raises(StoreProblem, match="another capflog"):
            store.timeline(max(run.id for run in store.runs()), DEVICES[0])
        assert [run.bundle for run in store.runs()] == ["bundle-0.zip"]
    assert sorted(path.name for path in file.parent.iterdir()) == ["capflog.db", "capflog.db.damaged-1"]


KILLED = """
import os, signal, sys
from pathlib import Path
from capflog import store_file
from capflog.model import Timeline
from capflog.store import Store
left = int(sys.argv[2])
within, dial = store_file._within, store_file.sqlite3.connect
def connect(*arguments, **more):
    db = dial(*arguments, **more)
    def step():
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    db.set_trace_callback(lambda statement: step())
    return db
store_file.sqlite3.connect = connect
with Store.open(Path(sys.argv[1]), create=True) as store:
    for turn in range(3):
        store.save("{}" * 5000, f"{turn}.zip", [Timeline(f"SEP{i}", f"{turn}", None, [], []) for i in range(30)])
print("lived")
"""


@posix_only
@pytest.mark.parametrize("statements", [0, 1, 3, 4, 5, 7, 8, 9, 10, 12, 14, 17, 18, 19, 20, 22, 25, 29])
def test_a_process_killed_at_any_statement_leaves_whole_analyses(file: Path, statements: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(file), str(statements)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    with Store.open(file, create=True) as store:
        assert store.notices == []
        bundles = [run.bundle for run in store.runs()]
        assert bundles == ["2.zip", "1.zip", "0.zip"][3 - len(bundles) :]
        for run in store.runs():
            assert len(store.devices(run.id)) == 30
            timeline = store.timeline(run.id, "SEP29")
            assert timeline is not None
            assert f"{timeline.bundle}.zip" == run.bundle
            assert store.report(run.id) == "{}" * 5000
        store.save("{}", "after.zip", [])


def test_closing_twice_is_harmless(file: Path) -> None:
    store = Store.open(file, create=True)
    store.close()
    store.close()
    assert problem(lambda: store.save("{}", "b.zip", []))
