"""``capflog help``: what a command's ``--help`` shows, as people type it."""

from __future__ import annotations

import click

from capflog.commands.base import Command, resolve
from capflog.commands.completing import known_commands
from capflog.commands.console import put


@click.command(
    "help",
    cls=Command,
    examples=(("capflog help analyze", ""), ("capflog help rules test", "")),
)
@click.argument("command", nargs=-1, shell_complete=known_commands)
@click.pass_context
def help_of(context: click.Context, command: tuple[str, ...]) -> None:
    """Show how COMMAND is called, as its --help does; without COMMAND, which commands there are."""
    color = context.color
    context = context.find_root()
    words = list(command)
    while words:
        group = context.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"'{context.command_path}' has no commands: {words[0]}", context)
        name, found, words = resolve(group, context, words, group.resolve_command)
        context = found.context_class(found, info_name=name, parent=context, color=color)
    put(context.get_help())
