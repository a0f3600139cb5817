"""What this call is given: which files of settings hold, and whether a value is from it, the environment or a file."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

import click

from capflog.commands.settings import Settings, SettingsError, key_of, variable

_META = "capflog.settings"


class _AtCall:
    """The files of this call, read when they are asked for: a call for help needs none."""

    def __init__(self, named: Path | None, *, without: bool) -> None:
        self._named, self._without = named, without
        self.lenient = False

    @cached_property
    def settings(self) -> Settings:
        if self._without:
            return Settings()
        from capflog.commands.settings_files import load  # noqa: PLC0415  (only where there may be a file)

        return load(Path.cwd(), named=self._named, lenient=self.lenient)


def keep(context: click.Context, named: Path | None, *, without: bool) -> None:
    """Remember which files a call wants: one that it names, none, or those that are found."""
    context.find_root().meta[_META] = _AtCall(named, without=without)


def be_lenient(context: click.Context) -> None:
    """Have a call's files read to be shown: what is wrong with them is kept beside what they say."""
    meta = context.find_root().meta
    meta.setdefault(_META, _AtCall(None, without=False)).lenient = True


def at_call(context: click.Context) -> Settings:
    """Give what the files of this call say; where they cannot be used it ends with a line.

    Raises click.ClickException.
    """
    kept = context.find_root().meta.get(_META) or _AtCall(None, without=False)
    try:
        return kept.settings
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def origin(context: click.Context | None, option: str) -> str:
    """Say where an option's value is from, if the call itself does not give it: ``" (from .../capflog.toml)"``."""
    from click.core import ParameterSource  # noqa: PLC0415

    while context is not None:
        for param in context.command.params:
            if option in getattr(param, "opts", ()) and param.name is not None:
                source = context.get_parameter_source(param.name)
                key = key_of(param)
                of_environment = key == "format" and os.environ.get(variable(key))  # see Settings.defaults
                if source is ParameterSource.ENVIRONMENT or (source is ParameterSource.DEFAULT_MAP and of_environment):
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
