"""``capflog schema``: the contract of what capflog prints."""

from __future__ import annotations

import click

from capflog.commands.base import Command
from capflog.commands.console import put, stop


@click.command(
    cls=Command,
    short_help="JSON Schemas of what capflog prints and reads.",
    examples=(
        ("capflog schema > report.schema.json", ""),
        ("capflog schema --rule > rule.schema.json", ""),
        ("capflog schema --event > event.schema.json", ""),
    ),
)
@click.option("--rule", "of_rule", is_flag=True, help="That of a rule file, for an editor.")
@click.option("--event", "of_event", is_flag=True, help="That of a line that --format jsonl gives.")
def schema(of_rule: bool, of_event: bool) -> None:
    """Print the JSON Schema of the report that --format json gives, of an event, or of a rule file."""
    if of_rule and of_event:
        stop("--event: it cannot be given with --rule, each is a schema of its own")
    from importlib.resources import files  # noqa: PLC0415

    name = "rule.schema.json" if of_rule else "event.schema.json" if of_event else "report.schema.json"
    put(files("capflog").joinpath(name).read_text(encoding="utf-8"))
