"""The file that the store is kept in: where it is, how it is opened, and what is done with one that is damaged.

The store is a convenience and never the only copy of anything, so a file that cannot be read, or that another version
of capflog made, is put aside and a new one begun. Three things are guarded from each other: writers by SQLite's own
locks; a run half written by its transaction; and a file that is put aside while others have it open by a lock on the
folder, because SQLite finds its write-ahead log by name and must not meet another database's log there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sqlite3
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from capflog.unpacking import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

FILE_NAME = "capflog.db"

#: The environment variable that says where the store is.
ENVIRONMENT = "CAPFLOG_STORE"

#: SQLite's ``user_version`` of a store that this capflog reads and writes. Count it up with every change of the tables
#: or of what is packed in them.
SCHEMA = 4

#: SQLite's ``application_id`` of every store, whatever its version: "CAPF".
APPLICATION = 0x43415046

#: How long to wait for others that use the store, in seconds.
BUSY_SECONDS = 30.0

_TABLES = {
    b"runs": b"CREATE TABLE runs (id INTEGER PRIMARY KEY, head BLOB NOT NULL, devices BLOB NOT NULL,"
    b" report BLOB NOT NULL)",
    b"blocks": b"CREATE TABLE blocks (run INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL,"
    b" PRIMARY KEY (run, number))",
}

#: Result codes of a damaged file. SQLITE_ERROR too: the statements are fixed, so it is the tables that are wrong.
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR)

#: What a damaged file raises besides: Python decodes SQLite's messages, in which names out of the file may stand.
_MISREAD = (UnreadableError, UnicodeDecodeError)

#: What to do instead, at the end of a problem's line.
ELSEWHERE = "say where with --store PATH, or keep nothing with --no-store"
AGAIN = "analyze the bundle again"

_T = TypeVar("_T")


class StoreProblem(Exception):  # noqa: N818  (the user reads it; nothing need be wrong with the program)
    """The store cannot be used: one line for the user, what is the matter and what to do."""


class UnfitError(Exception):
    """The file at hand is no store of this capflog: ``version`` is another one's schema; None: it is damaged."""

    def __init__(self, version: int | None = None) -> None:
        super().__init__(version)
        self.version = version


def default_path() -> Path:
    """Say where the store is: ``CAPFLOG_STORE``, else ``capflog.db`` in the user's data folder.

    Raises :class:`StoreProblem` where the user has no home.
    """
    named = os.environ.get(ENVIRONMENT)
    if named:
        return file_at(Path(named))
    import platformdirs  # noqa: PLC0415  (not needed where a path is given)

    nowhere = f"no home folder is known to keep the store in: {ELSEWHERE}"
    try:
        folder = platformdirs.user_data_path("capflog", appauthor=False)
    except (OSError, RuntimeError, KeyError) as error:
        raise StoreProblem(nowhere) from error
    # Before it raised, platformdirs left the "~" of a user without a home as it is.
    if not folder.is_absolute():
        raise StoreProblem(nowhere)
    return folder / FILE_NAME


def file_at(path: Path) -> Path:
    """Find the file that a path names, which may be that of a folder."""
    try:
        path = path.expanduser()
        if path.is_dir() or path.suffix.lower() != ".db":
            path /= FILE_NAME
        # SQLite names its files after the real path; whatever is put aside must be that too.
        return Path(os.path.realpath(path))
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreProblem(f"{path} cannot be a store's place ({_reason(error)}): {ELSEWHERE}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error)


def _uri(path: Path, parameters: str) -> str:
    posix = path.as_posix()
    if not posix.startswith("/"):
        posix = "/" + posix
    return f"file://{quote(os.fsencode(posix))}?{parameters}"


class _FolderLock:
    """An advisory lock on a folder, shared or held alone; it goes with the process. Void where the system has none."""

    def __init__(self) -> None:
        self._fd: int | None = None

    def share(self, folder: Path) -> None:
        """Wait until nobody holds the folder alone, and share it."""
        if sys.platform == "win32":
            # An open file cannot be renamed there at all.
            return
        if self._fd is None:
            try:
                self._fd = os.open(folder, os.O_RDONLY)
            except OSError:
                return
        self._take(alone=False)

    def alone(self) -> None:
        """Wait until nobody else has the folder, and hold it alone."""
        self._take(alone=True)

    def release(self) -> None:
        """Let go of the folder."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _take(self, *, alone: bool) -> None:
        if sys.platform == "win32" or self._fd is None:
            return
        import fcntl  # noqa: PLC0415  (not on Windows)

        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                fcntl.flock(self._fd, how | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                    return  # a file system without such locks
                if time.monotonic() > end:
                    raise StoreProblem(f"the store is in use by another capflog: try again, or {ELSEWHERE}") from error
                time.sleep(0.02)
            else:
                return


class StoreFile:
    """A database that transactions are run on; connected after :meth:`attach` unless there is nothing to read.

    ``check`` reads enough of a store to see that it is whole, raising :class:`UnreadableError` if not. ``notices`` are
    for the user, a line each. Methods raise :class:`StoreProblem`, and :meth:`transact` also :class:`UnfitError`, upon
    which :meth:`replace` is to be called.
    """

    def __init__(self, path: Path, *, create: bool, check: Callable[[sqlite3.Connection], object]) -> None:
        self.path = path
        self.notices: list[str] = []
        self._create = create
        self._check = check
        self._db: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._lock = _FolderLock()

    @property
    def connected(self) -> bool:
        """Say whether there is a database to read."""
        return self._db is not None

    def close(self) -> None:
        """Let go of the file; a second time does nothing."""
        self._disconnect()
        self._lock.release()

    def attach(self) -> None:
        """Open the file, or make it; one that is unfit is replaced."""
        if self._create:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except (OSError, ValueError) as error:
                raise self._problem(error) from error
        self._lock.share(self.path.parent)
        try:
            self._connect()
        except UnfitError as unfit:
            self.notices.append(self.replace(unfit))

    def _connect(self) -> None:
        """Open the file as a store; without one, or with an empty one, stay unconnected where none may be made."""
        try:
            if self._create:
                # Not left to SQLite, which would let everybody read it.
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            status = self.path.stat()
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise self._problem(error) from error
        if not stat.S_ISREG(status.st_mode):
            raise StoreProblem(f"{self.path} is not a file: {ELSEWHERE}")
        self._identity = status.st_dev, status.st_ino
        try:
            self._dial("mode=rw")
        except sqlite3.Error as error:
            if self._create or _primary(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise self._judged(error) from error
        else:
            return
        # A folder where nothing can be written has no place for the files by which readers and writers agree.
        try:
            self._dial("mode=ro&immutable=1")
        except sqlite3.Error as error:
            raise self._judged(error) from error
        with contextlib.suppress(OSError):
            if Path(f"{self.path}-wal").stat().st_size:
                self.notices.append(f"the last changes of the store {self.path} cannot be read in this folder")

    def _dial(self, parameters: str) -> None:
        self._disconnect()
        uri = _uri(self.path, parameters)
        db = self._db = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        # No text is kept as such; what stands in a damaged file need not be UTF-8.
        db.text_factory = bytes
        try:
            fit = _within(db, "BEGIN", self._examine)
            if self._create:
                if not fit:
                    # What is deleted leaves the file, for log text is private and one bundle can be large.
                    db.execute("PRAGMA auto_vacuum = FULL")
                    _within(db, "BEGIN EXCLUSIVE", _make)
                    fit = _within(db, "BEGIN", self._examine)
                _log_ahead(db)
        except _MISREAD as error:
            raise UnfitError from error
        if not fit:
            self._disconnect()

    def _examine(self, db: sqlite3.Connection) -> bool:
        """Say whether a database is a store (True) or empty; it is one of another program, :class:`StoreProblem`."""
        application, version = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        # The statement as it stands in the file: a damaged one may still name columns, though others.
        listed = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        tables = dict(listed.fetchall())
        if (application, version, tables) == (0, 0, {}):
            return False
        if application != APPLICATION and tables != _TABLES:
            raise StoreProblem(f"{self.path} is another program's database: {ELSEWHERE}")
        if application == APPLICATION and version != SCHEMA:
            raise UnfitError(version)
        if application != APPLICATION or tables != _TABLES:
            raise UnfitError
        self._check(db)
        return True

    def replace(self, unfit: UnfitError) -> str:
        """Put the file aside, begin a new one where one may be made, and say so in a line for the user."""
        self._disconnect()
        if unfit.version is None:
            label, state = "damaged", "damaged"
        else:
            label, state = "version", f"of {'an older' if unfit.version < SCHEMA else 'a newer'} capflog"
            if not self._create:
                # It is whole: whoever only asks leaves it to the capflog that it belongs to.
                return f"the store {self.path} is {state} and was not read: {AGAIN}"
        self._lock.alone()
        try:
            status = self.path.stat()
            # Another process may have been here first.
            same = (status.st_dev, status.st_ino) == self._identity
            kept = self._put_aside(label) if same else None
        except FileNotFoundError:
            kept = None
        except OSError as error:
            if self._create:
                raise StoreProblem(
                    f"the store {self.path} is {state} and cannot be put aside ({_reason(error)}): {ELSEWHERE}"
                ) from error
            return f"the store {self.path} is {state} and cannot be read: {AGAIN}"
        finally:
            self._lock.share(self.path.parent)
        try:
            self._connect()
        except UnfitError as error:
            raise StoreProblem(f"the store {self.path} is damaged time and again: {ELSEWHERE}") from error
        if kept is None:
            return f"the store was {state} and another capflog made it anew"
        if not self._create:
            return f"the store was {state} and is kept as {kept}: {AGAIN}"
        return f"the store was {state} and was made anew (the old one is kept as {kept})"

    def _put_aside(self, label: str) -> Path:
        """Rename the file, with what SQLite keeps beside it; of those put aside for one reason the newest stays."""
        folder, name = self.path.parent, self.path.name
        pattern = re.compile(rf"{re.escape(name)}\.{label}-(\d{{1,9}})(?:-wal|-journal)?")
        earlier = {path: int(m[1]) for path in folder.iterdir() if (m := pattern.fullmatch(path.name))}
        aside = folder / f"{name}.{label}-{max(earlier.values(), default=0) + 1}"
        # The database goes last: a log or journal that were left behind would be played into its successor.
        for end in ("-wal", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{end}").replace(f"{aside}{end}")
        Path(f"{self.path}-shm").unlink(missing_ok=True)
        self.path.replace(aside)
        for path in earlier:
            with contextlib.suppress(OSError):
                path.unlink()
        return aside

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def transact(self, begin: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do ``work`` in one transaction that starts with ``begin``, or nothing of it."""
        if self._db is None:
            raise StoreProblem(f"the store {self.path} is closed: {ELSEWHERE}")
        try:
            return _within(self._db, begin, work)
        except _MISREAD as error:
            raise UnfitError from error
        except sqlite3.Error as error:
            judged = self._judged(error)
            if self._db is None and isinstance(judged, StoreProblem):
                with contextlib.suppress(StoreProblem, UnfitError):
                    self._connect()
            raise judged from error

    def _judged(self, error: sqlite3.Error) -> Exception:
        """Tell a damaged file from a store that cannot be used now."""
        code = _primary(error)
        if code in _DAMAGE:
            return UnfitError()
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
            return StoreProblem(f"the store {self.path} is in use by another capflog: try again, or {ELSEWHERE}")
        if code == sqlite3.SQLITE_FULL:
            return StoreProblem(f"no space is left for the store {self.path}: free some, or {ELSEWHERE}")
        if code == sqlite3.SQLITE_READONLY:
            # SQLite takes a damaged format number for a wish that nobody write. The database is let go of before the
            # look, since closing a file loses all locks that the process has on it.
            self._disconnect()
            with contextlib.suppress(OSError), self.path.open("rb") as file:
                versions = file.read(20)[18:]
                if len(versions) == 2 and not set(versions) <= {1, 2}:
                    return UnfitError()
        return self._problem(error)

    def _problem(self, error: Exception) -> StoreProblem:
        return StoreProblem(f"the store {self.path} cannot be used ({_reason(error)}): {ELSEWHERE}")


def _primary(error: sqlite3.Error) -> int | None:
    """Give SQLite's primary result code of an error; None: the error is not SQLite's but the caller's."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _within(db: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], _T]) -> _T:
    """Do ``work`` in one transaction, or nothing of it."""
    db.execute(begin)
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise
    return result


def _make(db: sqlite3.Connection) -> None:
    """Make the tables, unless another process was first."""
    if db.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in _TABLES.values():
            db.execute(statement.decode())
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")


def _log_ahead(db: sqlite3.Connection) -> None:
    """Have SQLite write ahead to a log, so that readers and a writer do not wait for each other."""
    db.execute("PRAGMA synchronous = NORMAL")
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # SQLite does not wait here itself. A file system that has no such log keeps the journal, which serves too.
            if _primary(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > end:
                return
            time.sleep(0.02)
        else:
            return
