"""What all commands share: how they are found, the options that each of them has, examples, values out of files.

A command's module is loaded when it is called: ``capflog --version`` needs none of them.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.console import (
    COLOR,
    OK,
    PAGER,
    QUIET,
    UNUSABLE,
    VERBOSE,
    detail,
    flush_pager,
    note,
    verbose,
)
from capflog.commands.helping import Context, Named, aligned, in_lines, remark, sections, summary
from capflog.commands.settings import BY_NAME, key_of, shown_environment, strangers, variable
from capflog.commands.this_call import at_call, be_lenient

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A call to show in help, and what it does ("": that is plain).
Example = tuple[str, str]

#: The variable by which a shell's script asks what may stand at the cursor.
COMPLETE = "_CAPFLOG_COMPLETE"

#: Commands that tell nothing of what is set wrong.
_SILENT = frozenset({"help", "completion"})
#: Where a call remembers that it has told of variables without a meaning.
_STRANGERS = "capflog.strangers"


def manners() -> list[click.Option]:
    """Make the options that every command has."""

    def keep(name: str) -> Any:
        def callback(context: click.Context, _option: click.Parameter, value: Any) -> None:
            context.meta[name] = value

        return callback

    def color(context: click.Context, _option: click.Parameter, value: str) -> None:
        context.meta[COLOR] = value
        if value != "auto":
            context.color = value == "always"

    return [
        click.Option(
            ["--color"],
            metavar="WHEN",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            expose_value=False,
            # Before --help, which is coloured, too.
            is_eager=True,
            callback=color,
            help="Colour text: auto, always, never.  [default: auto]",
        ),
        click.Option(
            ["--pager/--no-pager"],
            default=False,
            expose_value=False,
            callback=keep(PAGER),
            help="Page the result, by $PAGER.  [default: no]",
        ),
        click.Option(
            ["--quiet", "-q"],
            is_flag=True,
            expose_value=False,
            callback=keep(QUIET),
            help="Tell only failures on standard error.",
        ),
        click.Option(
            ["--verbose", "-v"],
            is_flag=True,
            expose_value=False,
            callback=keep(VERBOSE),
            help="Tell what is done, and where settings are from.",
        ),
    ]


class _Extended(click.Command):
    """A command with examples, with the common options, whose options may be set in files and in the environment."""

    context_class = Context

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)
        self.params += manners()
        for option in self.params:
            key = key_of(option)
            if key in BY_NAME and key != "format":  # (which commands have differently, see Settings.defaults)
                option.envvar = variable(key)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the call; a wrong value out of a file is told with the file's name."""
        if parent is not None and not extra.get("resilient_parsing") and not {"-h", "--help"} & set(args):
            if info_name in _SILENT:
                be_lenient(parent)  # help is to be had in any case
            extra.setdefault("default_map", at_call(parent).defaults(self))
        return super().make_context(info_name, args, parent, **extra)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words of the call; each fault knows of which command it is."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Do it; what is to be paged is shown in the end."""
        if ctx.info_name not in _SILENT and not ctx.meta.get(_STRANGERS):
            ctx.meta[_STRANGERS] = True  # once, where a command is of another
            for line in strangers():
                note(line)
        if verbose():
            for path in at_call(ctx).files:
                detail(f"settings of {path}")
            for key, text in shown_environment().items():
                detail(f"{variable(key)} is set: {text}")
        try:
            result = super().invoke(ctx)
        except click.exceptions.Exit:
            flush_pager(ctx)  # a gate that fails has a result, too
            raise
        flush_pager(ctx)
        return result

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Set the options in sections, and the names that one of them takes in a section of their own."""
        parts = sections(self, ctx)
        wide = max(len(term) for _, rows in parts for term, _ in rows)
        for title, rows in parts:
            with formatter.section(title):
                formatter.write_dl(aligned(rows, wide))
        for option in self.get_params(ctx):
            if isinstance(option, Named):
                with formatter.section(option.title):
                    formatter.write_dl(aligned(list(option.meanings.items()), wide))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Put the examples behind the options."""
        if self.examples:
            with formatter.section("Examples"):
                apart = any(words for _, words in self.examples)
                for number, (call, words) in enumerate(self.examples):
                    formatter.write("\n" if apart and number else "")
                    if words:
                        remark(formatter, words)
                    formatter.write(in_lines(call, formatter.width, formatter.current_indent))
        super().format_epilog(ctx, formatter)


class Command(_Extended):
    """A command."""


class Group(click.Group, _Extended):
    """A command with commands of its own."""

    context_class = Context
    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the commands before the options."""
        self.format_commands(ctx, formatter)
        _Extended.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands."""
        names = self.list_commands(ctx)
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary(self.get_command(ctx, name))) for name in names])

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
    """The program: its commands by name, each ``(module:name, summary)`` and loaded when it is asked for.

    The module is one of capflog.commands; a list of all commands takes none.

    ``sections``: under which titles help lists them; those in none come last.
    """

    context_class = Context

    def __init__(
        self, *args: Any, lazy: dict[str, tuple[str, str]], sections: dict[str, tuple[str, ...]], **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self._lazy = lazy
        self._sections = sections

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = COMPLETE,
        standalone_mode: bool = True,
        **more: Any,
    ) -> Any:
        """Run a call; a wrong one is told in a line or two."""
        from capflog.commands import wrong_calls  # noqa: PLC0415  (which knows of settings and of this module)

        if os.environ.get(COMPLETE):
            from capflog.commands import shells  # noqa: F401, PLC0415  (click finds it)
        try:
            status = super().main(args, prog_name, complete_var, standalone_mode=False, **more)
        except click.ClickException as error:
            wrong_calls.tell(error)
            status = UNUSABLE
        if standalone_mode:
            sys.exit(status if isinstance(status, int) else OK)
        return status

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Name the commands, in the order in which one meets them."""
        return list(self._lazy)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        """Load a command."""
        if name not in self._lazy:
            return None
        where, summary = self._lazy[name]
        module, attribute = where.split(":")
        found: click.Command = getattr(import_module(f"capflog.commands.{module}"), attribute)
        found.short_help = summary
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the commands before the options."""
        self.format_commands(ctx, formatter)
        with formatter.section("Options"):
            formatter.write_dl([row for option in self.get_params(ctx) if (row := option.get_help_record(ctx))])

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in their sections."""
        wide = max(map(len, self._lazy))
        for title, names in self.in_sections():
            with formatter.section(title):
                formatter.write_dl(aligned([(name, self._lazy[name][1]) for name in names], wide))

    def in_sections(self) -> list[tuple[str, list[str]]]:
        """Give the titles of help with the commands under each."""
        placed = {name for names in self._sections.values() for name in names}
        parts = [(title, [name for name in names if name in self._lazy]) for title, names in self._sections.items()]
        return [part for part in (*parts, ("More", [n for n in self._lazy if n not in placed])) if part[1]]

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find a command; for one that there is not the nearest is offered."""
        return resolve(self, ctx, args, super().resolve_command)
