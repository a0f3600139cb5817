"""``capflog schema``: the contract of what capflog prints."""

from __future__ import annotations

import click

from capflog.commands.base import Command
from capflog.commands.console import put, stop


@click.command(
    cls=Command,
    examples=(
        ("capflog schema > report.schema.json", ""),
        ("capflog schema --rule > rule.schema.json", ""),
        ("capflog schema --event > event.schema.json", ""),
        ("capflog schema --diff > diff.schema.json", ""),
    ),
)
@click.option("--rule", "of_rule", is_flag=True, help="That of a rule file, for an editor.")
@click.option("--event", "of_event", is_flag=True, help="That of a line that --format jsonl gives.")
@click.option("--diff", "of_diff", is_flag=True, help="That of what 'capflog diff --format json' gives.")
def schema(of_rule: bool, of_event: bool, of_diff: bool) -> None:
    """Print the JSON Schema of the report that --format json gives, of an event, a difference, or a rule file."""
    names = [name for name, asked in (("rule", of_rule), ("event", of_event), ("diff", of_diff)) if asked]
    if len(names) > 1:
        stop(f"--{names[1]}: it cannot be given with --{names[0]}, each is a schema of its own")
    from importlib.resources import files  # noqa: PLC0415

    name = f"{names[0] if names else 'report'}.schema.json"
    put(files("capflog").joinpath(name).read_text(encoding="utf-8"))
