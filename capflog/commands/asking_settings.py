"""Whether what is set can be: each value is asked of the option of ``capflog check`` that would take it.

That command has an option for every key. What is wrong is told as it would tell it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from capflog.commands.console import say, stop
from capflog.commands.settings import BY_NAME, key_of, variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.commands.settings import Settings

#: The keys that name rules.
_OF_RULES = ("fail-on", "select", "ignore")


def wrong_keys(context: click.Context, settings: Settings, *, tell: bool) -> set[str]:
    """Give the keys whose values, of the environment or of the files, cannot be; ``tell``: each in a line."""
    command = _check(context)
    options = {key: option for option in command.params if (key := key_of(option)) in BY_NAME}
    wrong = set()
    # What one option keeps (the folders of rules) another may need.
    meta = dict(context.meta)
    for key in BY_NAME:
        raw, source = os.environ.get(variable(key)), ParameterSource.ENVIRONMENT
        option = options[key]
        value: Any = option.type.split_envvar_value(raw) if raw and option.multiple else raw
        if not raw:
            if key in settings.wrong:
                wrong.add(key)
            if key not in settings.values:
                continue
            value, source = settings.values[key].value, ParameterSource.DEFAULT_MAP
        # Where a shell asks for words, nothing is told.
        trial = click.Context(command, info_name="check", resilient_parsing=not tell)
        trial.meta.update(meta)
        if option.name is not None:
            trial.set_parameter_source(option.name, source)
        with trial.scope():
            if not _taken(trial, option, key, value):
                wrong.add(key)
        meta.update(trial.meta)
    if tell:
        trial = click.Context(command, info_name="check")
        trial.meta.update(meta)
        with trial.scope():
            _ask_ignores(settings)
    return wrong


def _check(context: click.Context) -> click.Command:
    group = context.find_root().command
    command = group.get_command(context, "check") if isinstance(group, click.Group) else None
    if command is None:
        raise LookupError("check")
    return command


def _taken(trial: click.Context, option: click.Parameter, key: str, value: Any) -> bool:
    """Tell whether an option takes a value, and the command what comes of it."""
    from capflog.commands.clock_options import ask_clock  # noqa: PLC0415
    from capflog.commands.wrong_calls import words  # noqa: PLC0415  (which knows of settings)

    try:
        value = option.process_value(trial, value)
        ask_clock(key, value)
    except click.ClickException as error:
        say(words(error))
        return False
    except click.exceptions.Exit:
        return False
    faults = list(_faults(key, value))
    for fault in faults:
        try:
            stop(fault)
        except click.exceptions.Exit:
            continue
    return not faults


def _faults(key: str, value: Any) -> Iterator[str]:
    """Say of each word of a value that the command would not know."""
    from capflog.commands.check import parted, unknown_rules  # noqa: PLC0415

    choices = BY_NAME[key].choices
    if key in _OF_RULES:
        yield from unknown_rules(f"--{key}", parted(value))
    elif choices and isinstance(value, tuple):  # (of one word click has a choice)
        for word in parted(value):
            if word not in choices:
                yield f"--{key} {word}: it is none of {', '.join(choices)}"


def _ask_ignores(settings: Settings) -> None:
    from capflog.commands.check import unknown_rules  # noqa: PLC0415

    for excuse in settings.ignores:
        for why in unknown_rules("ignore", [excuse.rule]):
            say(f"{why} (from {excuse.source})")
