"""What is told of a wrong call: one line that says what is wrong, and one that says where to look."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import click

from capflog.commands.console import say
from capflog.commands.settings import key_of
from capflog.commands.this_call import origin

if TYPE_CHECKING:
    from collections.abc import Iterable

_EXTRA = re.compile(r"Got unexpected extra arguments? \((.*)\)", re.DOTALL)
_NO_CHOICE = re.compile(r"(['\"])(.*)\1 is not one of ", re.DOTALL)
_NO_FLAG = re.compile(r"'(.*)' is not a valid boolean", re.DOTALL)


def tell(error: click.ClickException) -> None:
    """Tell what is wrong with a call; a call without a command shows help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    say(words(error))
    if isinstance(error, click.UsageError) and error.ctx is not None and "--help'" not in error.message:
        shown = error.ctx if not _before(error) else error.ctx.find_root()
        say(f"'{shown.command_path} --help' shows how it is called")


def words(error: click.ClickException) -> str:
    """Say in a line what is wrong with a call."""
    early = _before(error)
    if early:
        return early
    if isinstance(error, click.exceptions.NoSuchOption):
        return f"no such option: {error.option_name}{_offer(error.possibilities or ())}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_name(error.param, error.ctx)} is missing"
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = _name(error.param, error.ctx)
        return f"{name}: {_of_value(error)}{origin(error.ctx, name)}"
    if isinstance(error, click.BadOptionUsage):
        if "requires an argument" in error.message:
            return f"{error.option_name}: a value is missing"
        if "does not take a value" in error.message:
            return f"{error.option_name} takes no value"
    extra = _EXTRA.match(error.message)
    if extra is not None:
        return f"more arguments than it takes: {extra[1]}"
    return _plain(error.format_message())


def _before(error: click.ClickException) -> str:
    """Say where an option stands that is the program's and not the command's ("": it is none)."""
    if not isinstance(error, click.exceptions.NoSuchOption) or error.ctx is None or error.ctx.parent is None:
        return ""
    root = error.ctx.find_root()
    for param in root.command.params:
        if isinstance(param, click.Option) and error.option_name in param.opts:
            call = error.option_name if param.is_flag else f"{error.option_name} FILE"
            command = "" if param.is_eager else error.ctx.command_path.removeprefix(root.command_path) + " ..."
            where = "by itself" if param.is_eager else "before the command"
            return f"{error.option_name} stands {where}: '{root.command_path} {call}{command}'"
    return ""


def _name(param: click.Parameter, ctx: click.Context | None) -> str:
    """Name a parameter as one types it."""
    if isinstance(param, click.Option):
        return f"--{key_of(param)}" if key_of(param) else param.opts[0]
    return param.make_metavar(ctx or click.Context(click.Command("capflog"))).strip("[]")


def _of_value(error: click.BadParameter) -> str:
    """Say what is wrong with a value; of a word out of a list the nearest is offered."""
    kind = None if error.param is None else error.param.type
    given = _NO_CHOICE.match(error.message)
    flag = _NO_FLAG.match(error.message)
    if flag is not None:
        return f"{flag[1]} is neither true nor false"
    if not isinstance(kind, click.Choice) or given is None:
        return _plain(error.message)
    near = difflib.get_close_matches(given[2], kind.choices, n=1)
    return f"{given[2]} is none of {', '.join(map(str, kind.choices))}{_offer(near)}"


def _offer(near: Iterable[str]) -> str:
    names = " or ".join(near)
    return f"; did you mean {names}?" if names else ""


def _plain(text: str) -> str:
    """Take a message of click's as a part of a line: no capital, no full stop."""
    return f"{text[:1].lower()}{text[1:]}".rstrip(".")
