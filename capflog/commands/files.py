"""Files that a command writes: whole or not at all, and never in the place of what it reads."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file beside its place and move it there in the end: nobody sees a half of it. Raises OSError.

    One that is there keeps its mode: a report that its owner alone may read stays such.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as out:  # a device, a pipe
            out.writelines(pieces)
        return
    place = Path(os.path.realpath(path))
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=place.parent)
    try:
        with os.fdopen(number, "wb") as out:
            out.writelines(pieces)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(place.stat().st_mode & 0o7777 if place.exists() else 0o666 & ~mask)
        Path(name).replace(place)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def unwritable(path: Path, read: Iterable[str | Path] = ()) -> str:
    """Say why no file can be written there, as far as that can be told before ("": it may be).

    ``read``: what the command reads, which must not be written over.
    """
    place, refused = Path(os.path.realpath(path)), os.strerror(errno.EACCES)
    try:
        if place.is_dir():
            return "it is a folder"
        if place.exists() and not place.is_file():
            return "" if os.access(place, os.W_OK) else refused  # a device, a pipe
        if not place.parent.exists():
            return f"there is no folder {path.parent}"
        if not place.parent.is_dir():
            return f"{path.parent} is no folder"
        if place.exists():
            if any(_goes_to(stream, place) for stream in (1, 2)):
                return "what the command prints goes there already"
            for one in read:
                if Path(one).is_file() and place.samefile(one):
                    return "it is read in this call, and would be lost"
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(place.parent, os.W_OK | os.X_OK) else f"{path.parent}: {refused}"


def _goes_to(stream: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream), place.stat())
    except OSError:  # it is closed
        return False
