"""What can be set for good: in ``capflog.toml``, in ``[tool.capflog]`` of pyproject.toml, and in the environment.

A key is an option's name without its dashes. What a call says goes before the environment (``CAPFLOG_...``),
that before the files: first the nearest one upwards from the working folder, then the user's own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from capflog.gate import Excuse

Kind = Literal["word", "words", "flag", "number", "path", "paths"]

_PREFIX = "CAPFLOG_"

#: Variables that are of no key: of the program's own options, of a fault, of the tests.
OTHER_VARIABLES = ("CAPFLOG_CONFIG", "CAPFLOG_NO_CONFIG", "CAPFLOG_DEBUG", "CAPFLOG_VENV")

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
    among: Callable[[], tuple[str, ...]] | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """Give the words that it may be (none: any)."""
        return self.among() if self.among else ()


def _logs() -> tuple[str, ...]:
    # (Whoever sets nothing need not wait for what the gate is made of.)
    from capflog.events import SOURCES  # noqa: PLC0415
    from capflog.gate import WHOLE  # noqa: PLC0415

    return (*SOURCES, WHOLE)


def _formats() -> tuple[str, ...]:
    from capflog.outputs import FORMATS  # noqa: PLC0415

    return tuple(FORMATS)


KEYS = (
    Key("rules", "paths", "folders of rules of your own", "none"),
    Key("tz", "words", "the CUCM node's zone, or PART=ZONE", "told by the logs"),
    Key("iis-tz", "word", "the zone of IIS's stamps", "UTC"),
    Key("date", "words", "the day on which CAPF's trace begins, or PART=DATE", "told by the logs"),
    Key("no-align", "flag", "show times of IIS as its clock has them", "false"),
    Key("display-tz", "word", "the zone in which text shows times", "the node's"),
    Key("fail-on", "words", "what fails 'check': error, warning, info, or a rule", "error"),
    Key("select", "words", "the rules that 'check' asks", "all"),
    Key("ignore", "words", "the rules that 'check' does not fail for; in a file: tables [[ignore]]", "none"),
    Key("min-coverage", "number", "the least share of lines understood, in percent", "none"),
    Key("require", "words", "the logs that a bundle must have for 'check'", "none", among=_logs),
    Key("baseline", "path", "the file of what is known", "none"),
    Key("format", "word", "what standard output gets, of a command that has it", "text", among=_formats),
    Key("color", "word", "auto, always or never", "auto", among=lambda: ("auto", "always", "never")),
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
    """What the files say. ``files``: those that were read, what they say counting in this order.

    ``faults``: what is wrong with them, and ``wrong``: the values that cannot be; both where they are read to be shown.
    """

    values: dict[str, Value] = field(default_factory=dict)
    ignores: list[Excuse] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    looked: list[Path] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    wrong: dict[str, Value] = field(default_factory=dict)

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
                value = said if said in option.type.choices or said not in _formats() else None
            if value is not None:
                found[option.name] = value
        return found


def key_of(option: click.Parameter) -> str:
    """Name the key that an option would have: its longest name, without dashes ("": it is none)."""
    names = [name for name in option.opts if name.startswith("--")] if isinstance(option, click.Option) else []
    return max(names, key=len, default="").removeprefix("--")


def variable(key: str) -> str:
    """Name the environment variable of a key."""
    return _PREFIX + key.upper().replace("-", "_")


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


def user_file() -> Path:
    """Give where the user's own file is."""
    from platformdirs import user_config_path  # noqa: PLC0415

    return user_config_path("capflog", appauthor=False) / "capflog.toml"


def shown_environment() -> dict[str, str]:
    """Give the keys that the environment sets, with what it says."""
    return {key.name: os.environ[variable(key.name)] for key in KEYS if os.environ.get(variable(key.name))}


def strangers() -> Iterator[str]:
    """Tell of each variable that begins as capflog's do and is none, with the nearest: it may be a gate that is off."""
    known = [*(variable(key.name) for key in KEYS), *OTHER_VARIABLES]
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name not in known:
            import difflib  # noqa: PLC0415

            own = [one.removeprefix(_PREFIX) for one in known]
            near = difflib.get_close_matches(name.removeprefix(_PREFIX), own, n=1)
            offer = f"did you mean {_PREFIX}{near[0]}?" if near else "'capflog config' lists the keys that there are"
            yield f"{name} is set, but there is no such variable; {offer}"
