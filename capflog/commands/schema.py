"""``capflog schema``: the contract of what capflog prints."""

from __future__ import annotations

import click

from capflog.commands.base import Command
from capflog.commands.console import put


@click.command(
    cls=Command,
    short_help="JSON Schemas of what capflog prints and reads.",
    examples=(
        ("capflog schema > report.schema.json", ""),
        ("capflog schema --rule > rule.schema.json", ""),
    ),
)
@click.option("--rule", "of_rule", is_flag=True, help="That of a rule file, for an editor.")
def schema(of_rule: bool) -> None:
    """Print the JSON Schema of the report that --format json gives, or of a rule file."""
    from importlib.resources import files  # noqa: PLC0415

    name = "rule.schema.json" if of_rule else "report.schema.json"
    put(files("capflog").joinpath(name).read_text(encoding="utf-8"))
