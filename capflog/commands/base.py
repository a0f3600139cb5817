"""What all commands share: how they are found, the options that each of them has, examples, values out of files.

A command's module is loaded when it is called: ``capflog --version`` needs none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.console import COLOR, PAGER, QUIET, VERBOSE, flush_pager
from capflog.commands.settings import BY_NAME, at_call, key_of, variable

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A call to show in help, and what it does ("": that is plain).
Example = tuple[str, str]


def manners() -> list[click.Option]:
    """Make the options that every command has."""

    def keep(name: str) -> Any:
        def callback(context: click.Context, _option: click.Parameter, value: Any) -> None:
            context.meta[name] = value

        return callback

    return [
        click.Option(
            ["--color"],
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            show_default=True,
            expose_value=False,
            callback=keep(COLOR),
            help="Whether text is coloured; auto: on a terminal, unless NO_COLOR is set.",
        ),
        click.Option(
            ["--pager/--no-pager"],
            default=False,
            expose_value=False,
            callback=keep(PAGER),
            help="Whether a long result on a terminal is shown page by page, by $PAGER.  [default: no]",
        ),
        click.Option(
            ["--quiet", "-q"],
            is_flag=True,
            expose_value=False,
            callback=keep(QUIET),
            help="Say on standard error only what ends in failure: no progress, no notes.",
        ),
        click.Option(
            ["--verbose", "-v"],
            is_flag=True,
            expose_value=False,
            callback=keep(VERBOSE),
            help="Say on standard error what is done, and from which files settings come.",
        ),
    ]


class _Extended(click.Command):
    """A command with examples, with the common options, whose options may be set in files and in the environment."""

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)
        self.params += manners()
        for option in self.params:
            key = key_of(option)
            if key in BY_NAME and key != "format":  # (see Settings.defaults)
                option.envvar = variable(key)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the call; a wrong value out of a file is told with the file's name."""
        if parent is not None and not extra.get("resilient_parsing") and not {"-h", "--help"} & set(args):
            extra.setdefault("default_map", at_call(parent).defaults(self))
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Do it; what is to be paged is shown in the end."""
        result = super().invoke(ctx)
        flush_pager(ctx)
        return result

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Put the examples behind the options."""
        if self.examples:
            with formatter.section("Examples"):
                for call, words in self.examples:
                    for line in ([f"# {words}"] if words else []) + [call]:
                        formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        super().format_epilog(ctx, formatter)


class Command(_Extended):
    """A command."""


class Group(click.Group, _Extended):
    """A command with commands of its own."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command; for one that there is not the nearest is offered."""
        return resolve(self, ctx, args, super().resolve_command)


def resolve(group: click.Group, ctx: click.Context, args: list[str], look: Any) -> Any:
    """Find a command of a group as click does, and say in one line what it may be where there is none of the name."""
    name = args[0]
    if ctx.resilient_parsing or name.startswith("-") or group.get_command(ctx, name) is not None:
        return look(ctx, args)
    import difflib  # noqa: PLC0415

    known = group.list_commands(ctx)
    near = difflib.get_close_matches(name.lower(), known, n=3)
    near = near or [one for one in known if one.startswith(name.lower()[:3])]
    own = ctx.command_path
    from pathlib import Path  # noqa: PLC0415

    if Path(name).exists():
        offer = f"it is a file: '{own} analyze {name}'?" if own == "capflog" else f"'{own} --help' lists them"
    else:
        offer = f"did you mean {' or '.join(near)}?" if near else f"'{own} --help' lists them"
    raise click.UsageError(f"no such command: {name}; {offer}", ctx)


class Commands(click.Group):
    """The program: its commands by name, each ``module:name`` and loaded when it is asked for."""

    def __init__(self, *args: Any, lazy: dict[str, str], **more: Any) -> None:
        super().__init__(*args, **more)
        self._lazy = lazy

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Name the commands, in the order in which one meets them."""
        return list(self._lazy)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Load a command."""
        where = self._lazy.get(name)
        if where is None:
            return None
        module, attribute = where.split(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command; for one that there is not the nearest is offered."""
        return resolve(self, ctx, args, super().resolve_command)
