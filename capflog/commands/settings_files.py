"""The files of settings, as they are read: what each key may have, and what is told of one that cannot be."""

from __future__ import annotations

import math
import os
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capflog.commands.settings import BY_NAME, NAMES, Key, Settings, SettingsError, Value, user_file
from capflog.gate import Excuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


#: The largest file that is read. (bytes)
_MOST = 1_000_000


def _there(path: Path) -> bool:
    """Tell whether there is something of that name: of what cannot be read it is told, it is not passed over."""
    return path.is_file() if path.name == "pyproject.toml" else os.path.lexists(path)


def load(folder: Path, *, named: Path | None = None, lenient: bool = False) -> Settings:
    """Read the settings that hold in a folder: of the file ``named``, or of the nearest and of the user's own.

    Raises :class:`SettingsError`; ``lenient``: it is kept in ``faults``, and what else the files say is read.
    """
    found = Settings()
    if named is not None:
        found.looked = [named]
        read(found, named, own=True, lenient=lenient)
        return found
    own = user_file()
    for place in (folder, *folder.parents):
        paths = [place / name for name in NAMES]
        found.looked += paths
        # The first that has something to say; the user's own is read as that.
        if any(_there(path) and path != own and read(found, path, own=False, lenient=lenient) for path in paths):
            break
    found.looked.append(own)
    if _there(own):
        read(found, own, own=True, lenient=lenient)
    return found


def read(found: Settings, path: Path, *, own: bool, lenient: bool = False) -> bool:
    """Take what a file says of keys that have no value yet; tell whether it says anything to capflog.

    Raises SettingsError; ``lenient``: it is kept in ``found.faults``, and what else the file says is taken.
    """
    try:
        document = _document(path)
    except SettingsError as error:
        if not lenient:
            raise
        found.faults.append(str(error))
        return True
    if document is None:
        return False
    found.files.append(path)
    for name, value in document.items():
        try:
            _take(found, path, name, value, own=own)
        except SettingsError as error:
            if not lenient:
                raise
            found.faults.append(str(error))
            if name in BY_NAME and name not in found.values:
                found.wrong.setdefault(name, Value(None, value, path))
    return True


def _document(path: Path) -> dict[str, Any] | None:
    """Read what a file says to capflog; None: it is another program's."""
    import tomllib  # noqa: PLC0415  (only where there is a file)

    try:
        document = tomllib.loads(_text(path))
    except (OSError, ValueError, RecursionError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if words.startswith("Invalid value"):
            words += '; texts stand in quotes: "..."'
        if path.name == "pyproject.toml" and not _speaks_of_capflog(path):
            return None  # another program's file, and another program's fault
        raise SettingsError(f"{path}: {words}") from error
    if path.name == "pyproject.toml":
        tool = document.get("tool")
        table = tool.get("capflog") if isinstance(tool, dict) else None
        return table if isinstance(table, dict) else None
    return document


def _text(path: Path) -> str:
    """Read a file of settings. Raises OSError, ValueError."""
    if not path.is_file():
        # A pipe would be waited for, a device has no end; of a link that leads nowhere it is told where that is.
        path.stat()
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise ValueError(f"it is larger than {_MOST:,} bytes: no file of settings is")
    return content.decode("utf-8-sig")


def _take(found: Settings, path: Path, name: str, value: Any, *, own: bool) -> None:
    key = BY_NAME.get(name)
    if key is None:
        if name in ("tool", "capflog") and isinstance(value, dict):
            raise SettingsError(
                f"{path}: [tool.capflog] belongs into pyproject.toml; in {path.name} the keys stand by themselves"
            )
        raise SettingsError(f"{path}: {_unknown(name, BY_NAME)}")
    if key.own and not own:
        raise SettingsError(f"{path}: '{name}' is taken from your own settings alone ({user_file()})")
    if name == "ignore":
        found.ignores += _ignores(path, value)
    elif name not in found.values and name not in found.wrong:
        found.values[name] = Value(_value(path, key, value), value, path)


def _speaks_of_capflog(path: Path) -> bool:
    try:
        return path.is_file() and b"[tool.capflog" in path.read_bytes()
    except OSError:
        return False


def _unknown(name: str, known: Mapping[str, Any]) -> str:
    import difflib  # noqa: PLC0415

    near = difflib.get_close_matches(name, list(known), n=1)
    offer = f"did you mean '{near[0]}'?" if near else "'capflog config' lists those that there are"
    return f"there is no key '{name}'; {offer}"


def _value(path: Path, key: Key, value: Any) -> Any:
    """Make of a value what click takes; paths are relative to the file that names them."""
    if key.kind == "flag":
        if isinstance(value, bool):
            return value
        raise SettingsError(f"{path}: '{key.name}' is true or false")
    if key.kind == "number":
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
        raise SettingsError(f"{path}: '{key.name}' is a number")
    several = key.kind in ("words", "paths")
    many = value if several and isinstance(value, list) else [value]
    if not all(isinstance(one, str | date) for one in many) or (not several and isinstance(value, list)):
        example = '"my-rules"' if key.kind in ("path", "paths") else '"..."'
        raise SettingsError(
            f"{path}: '{key.name}' is {f'a list of texts, such as [{example}]' if several else 'a text'}"
        )
    texts = [str(one) for one in many]
    if key.name == "fail-on" and not texts:
        raise SettingsError(f"{path}: 'fail-on' names nothing, so that no gate could fail")
    for text in texts:
        if key.choices and text not in key.choices:
            raise SettingsError(f"{path}: '{key.name}' is one of {', '.join(key.choices)}")
    if key.kind in ("path", "paths"):
        texts = [str(path.parent / Path(text).expanduser()) for text in texts]
    return tuple(texts) if several else texts[0]


def _ignores(path: Path, value: Any) -> Iterator[Excuse]:
    tables = value if isinstance(value, list) else [value]
    for number, table in enumerate(tables, 1):
        place = f"{path}: ignore {number}"
        if not isinstance(table, dict):
            raise SettingsError(f"{place}: in a file it is a table [[ignore]] with rule, reason and until (a day)")
        known = {"rule": str, "reason": str, "until": date, "devices": list}
        for name in table:
            if name not in known:
                raise SettingsError(f"{place}: {_unknown(name, known)}")
        rule, reason, until, devices = (table.get(name) for name in known)
        if not isinstance(rule, str) or not rule.strip():
            raise SettingsError(f"{place}: 'rule' is wanted: a rule's id, * in it")
        if not isinstance(reason, str) or not reason.strip():
            raise SettingsError(f"{place} ({rule}): 'reason' is wanted: why it may be, in a few words")
        if isinstance(until, str):
            try:
                until = date.fromisoformat(until)
            except ValueError:
                until = None
        if isinstance(until, datetime):
            until = until.date()
        if not isinstance(until, date):
            raise SettingsError(f"{place} ({rule}): 'until' is wanted: the last day on which it holds, 2027-01-31")
        devices = [devices] if isinstance(devices, str) else devices
        if devices is not None and (
            not isinstance(devices, list) or not devices or not all(isinstance(device, str) for device in devices)
        ):
            # (An empty list must not come to mean all devices.)
            raise SettingsError(f"{place} ({rule}): 'devices' is a list of names, * in them; without it it is of all")
        yield Excuse(rule.strip(), " ".join(reason.split()), until, tuple(devices or ()), str(path))
