"""What can be set for good: in ``capflog.toml``, in ``[tool.capflog]`` of pyproject.toml, and in the environment.

A key is an option's name without its dashes. What a call says goes before the environment (``CAPFLOG_...``),
that before the files: first the nearest one upwards from the working folder, then the user's own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from capflog.events import SOURCES
from capflog.gate import Excuse
from capflog.outputs import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Kind = Literal["word", "words", "flag", "number", "path", "paths"]

_META = "capflog.settings"

#: The names that a file of settings may have; in the second it is the table ``[tool.capflog]``.
NAMES = ("capflog.toml", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Key:
    """Something that can be set. ``own``: in the user's own file alone, never in a folder's that may be anybody's."""

    name: str
    kind: Kind
    what: str
    default: str
    own: bool = False
    choices: tuple[str, ...] = ()


KEYS = (
    Key("rules", "paths", "folders of rules of your own", "none"),
    Key("tz", "words", "the CUCM node's zone, or PART=ZONE", "told by the logs"),
    Key("iis-tz", "word", "the zone of IIS's stamps", "UTC"),
    Key("date", "words", "the day on which CAPF's trace begins, or PART=DATE", "told by the logs"),
    Key("no-align", "flag", "show times of IIS as its clock has them", "false"),
    Key("display-tz", "word", "the zone in which text shows times", "the node's"),
    Key("fail-on", "words", "what fails 'check': error, warning, info, or a rule", "error"),
    Key("select", "words", "the rules that 'check' asks", "all"),
    Key("ignore", "words", "the rules that 'check' does not ask; in a file: tables, see below", "none"),
    Key("min-coverage", "number", "the least share of lines understood, in percent", "none"),
    Key("require", "words", "the logs that a bundle must have for 'check'", "none", choices=SOURCES),
    Key("baseline", "path", "the file of what is known", "none"),
    Key("format", "word", "what standard output gets, of a command that has it", "text", choices=tuple(FORMATS)),
    Key("color", "word", "auto, always or never", "auto", choices=("auto", "always", "never")),
    Key("pager", "flag", "page a long result", "false"),
    Key("quiet", "flag", "no progress, no notes", "false"),
    Key("verbose", "flag", "say what is done", "false"),
    Key("store", "path", "where analyses are kept", "the user's data folder", own=True),
    Key("no-store", "flag", "keep nothing", "false"),
)
BY_NAME = {key.name: key for key in KEYS}


class SettingsError(ValueError):
    """A file of settings cannot be used; the message names the file and the place."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value out of a file, as click takes it; ``shown``: as the file has it."""

    value: Any
    shown: Any
    source: Path


@dataclass(slots=True)
class Settings:
    """What the files say. ``files``: those that were read, what they say counting in this order."""

    values: dict[str, Value] = field(default_factory=dict)
    ignores: list[Excuse] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    looked: list[Path] = field(default_factory=list)

    def defaults(self, command: click.Command) -> dict[str, Any]:
        """Give what the files say of a command's options, by their parameters' names."""
        found: dict[str, Any] = {}
        for option in command.params:
            key = key_of(option)
            if option.name is None or key not in BY_NAME:
                continue
            value = self.values[key].value if key in self.values else None
            if key == "format" and isinstance(option.type, click.Choice):
                # Commands have different formats: of one that another command has, this one takes no notice.
                said = os.environ.get(variable(key)) or value
                value = said if said in option.type.choices or said not in FORMATS else None
            if value is not None:
                found[option.name] = value
        return found


def key_of(option: click.Parameter) -> str:
    """Name the key that an option would have: its longest name, without dashes ("": it is none)."""
    names = [name for name in option.opts if name.startswith("--")] if isinstance(option, click.Option) else []
    return max(names, key=len, default="").removeprefix("--")


def variable(key: str) -> str:
    """Name the environment variable of a key."""
    return "CAPFLOG_" + key.upper().replace("-", "_")


class Words(click.types.StringParamType):
    """A word, or one of ``choices``; in the environment several stand between commas (a date may have blanks in it)."""

    name = "text"
    envvar_list_splitter = ","

    def __init__(self, choices: Sequence[str] = ()) -> None:
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it without blanks around it."""
        word = str(value).strip()
        if self._choices and word not in self._choices:
            self.fail(f"{word!r} is not one of {', '.join(self._choices)}.", param, ctx)
        return word


class _AtCall:
    """The files of this call, read when they are asked for: a call for help needs none."""

    def __init__(self, named: Path | None, *, without: bool) -> None:
        self._named, self._without = named, without

    @cached_property
    def settings(self) -> Settings:
        if self._without:
            return Settings()
        return load(Path.cwd(), named=self._named)


def keep(context: click.Context, named: Path | None, *, without: bool) -> None:
    """Remember which files a call wants: one that it names, none, or those that are found."""
    context.find_root().meta[_META] = _AtCall(named, without=without)


def at_call(context: click.Context) -> Settings:
    """Give what the files of this call say; where they cannot be used it ends with a line."""
    from capflog.commands.console import stop  # noqa: PLC0415  (which knows of settings, too)

    kept = context.find_root().meta.get(_META) or _AtCall(None, without=False)
    try:
        return kept.settings
    except SettingsError as error:
        stop(str(error))


def user_file() -> Path:
    """Give where the user's own file is."""
    from platformdirs import user_config_path  # noqa: PLC0415

    return user_config_path("capflog", appauthor=False) / "capflog.toml"


def load(folder: Path, *, named: Path | None = None) -> Settings:
    """Read the settings that hold in a folder: of the file ``named``, or of the nearest and of the user's own.

    Raises :class:`SettingsError`.
    """
    found = Settings()
    if named is not None:
        found.looked = [named]
        _read(found, named, own=True)
        return found
    own = user_file()
    for place in (folder, *folder.parents):
        paths = [place / name for name in NAMES]
        found.looked += paths
        # The first that has something to say; the user's own is read as that.
        if any(path.is_file() and path != own and _read(found, path, own=False) for path in paths):
            break
    found.looked.append(own)
    if own.is_file():
        _read(found, own, own=True)
    return found


def _read(found: Settings, path: Path, *, own: bool) -> bool:
    """Take what a file says of keys that have no value yet; tell whether it says anything to capflog."""
    import tomllib  # noqa: PLC0415  (only where there is a file)

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if path.name == "pyproject.toml" and not _speaks_of_capflog(path):
            return False  # another program's file, and another program's fault
        raise SettingsError(f"{path}: {words}") from error
    if path.name == "pyproject.toml":
        tool = document.get("tool")
        document = tool.get("capflog") if isinstance(tool, dict) else None  # type: ignore[assignment]
        if not isinstance(document, dict):
            return False
    found.files.append(path)
    for name, value in document.items():
        key = BY_NAME.get(name)
        if key is None:
            raise SettingsError(f"{path}: {_unknown(name, BY_NAME)}")
        if key.own and not own:
            raise SettingsError(f"{path}: '{name}' is taken from your own settings alone ({user_file()})")
        if name == "ignore":
            found.ignores += _ignores(path, value)
        elif name not in found.values:
            found.values[name] = Value(_value(path, key, value), value, path)
    return True


def _speaks_of_capflog(path: Path) -> bool:
    try:
        return b"[tool.capflog" in path.read_bytes()
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
        if isinstance(value, int | float) and not isinstance(value, bool):
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
        devices = [devices] if isinstance(devices, str) else [] if devices is None else devices
        if not isinstance(devices, list) or not all(isinstance(device, str) for device in devices):
            raise SettingsError(f"{place} ({rule}): 'devices' is a list of names, * in them")
        yield Excuse(rule.strip(), " ".join(reason.split()), until, tuple(devices), str(path))


def origin(context: click.Context | None, option: str) -> str:
    """Say where an option's value is from, if the call itself does not give it: ``" (from .../capflog.toml)"``."""
    from click.core import ParameterSource  # noqa: PLC0415

    while context is not None:
        for param in context.command.params:
            if option in getattr(param, "opts", ()) and param.name is not None:
                source = context.get_parameter_source(param.name)
                key = key_of(param)
                if source is ParameterSource.ENVIRONMENT:
                    return f" (from {variable(key)})"
                if source is ParameterSource.DEFAULT_MAP and key in (values := at_call(context).values):
                    return f" (from {values[key].source})"
                return ""
        context = context.parent
    return ""


def is_typed(option: str) -> bool:
    """Tell whether the call itself gives an option, and not a file or the environment."""
    from click.core import ParameterSource  # noqa: PLC0415

    context = click.get_current_context()
    return any(
        option in param.opts and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        for param in context.command.params
        if param.name is not None
    )


def shown_environment() -> dict[str, str]:
    """Give the keys that the environment sets, with what it says."""
    return {key.name: os.environ[variable(key.name)] for key in KEYS if os.environ.get(variable(key.name))}
