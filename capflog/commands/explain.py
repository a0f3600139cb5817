"""``capflog explain``: what a code means."""

from __future__ import annotations

import click

from capflog.commands.base import Command
from capflog.commands.completing import known_codes
from capflog.commands.console import put, screen, stop
from capflog.commands.rule_options import rulebook


@click.command(
    cls=Command,
    examples=(
        ("capflog explain EST_ERR_AUTH_FAIL", ""),
        ("capflog explain 22", ""),
        ("capflog explain curl:60", ""),
        ("capflog explain iis:401.1.2148074254", ""),
    ),
)
@click.argument("code", shell_complete=known_codes)
def explain(code: str) -> None:
    """Tell what a code means in this feature, and what to do."""
    from capflog import codes  # noqa: PLC0415
    from capflog.reports import rules as rules_report  # noqa: PLC0415

    try:
        found = codes.explain(code)
    except LookupError as error:
        if code.lower() in rulebook().rules:
            stop(f"{code} is a rule: capflog rule {code.lower()}")
        stop(str(error.args[0]))
    look = screen()
    for number, explanation in enumerate(found):
        if number:
            put("")
        put(rules_report.render_explanation(explanation, **look))
