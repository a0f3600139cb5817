"""The options that choose devices: by the outcome of the latest attempt, and by its causes."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.completing import known_rules
from capflog.commands.console import stop
from capflog.commands.rule_options import rulebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from capflog.devices import Wish


def device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; the command has what they ask for as ``wish``, read before anything else."""

    @wraps(command)
    def called(outcome: tuple[str, ...], cause: tuple[str, ...], **more: Any) -> Any:
        return command(**more, wish=_wish(outcome, cause))

    for option in (
        click.option(
            "--cause",
            metavar="RULE",
            shell_complete=known_rules,
            multiple=True,
            help="Only devices whose latest attempt has this cause: a rule's id, * in it; several: any of them.",
        ),
        click.option(
            "--outcome",
            type=click.Choice(["issued", "failed", "incomplete"]),
            multiple=True,
            help="Only devices whose latest attempt ended so; several: any of them.",
        ),
    ):
        called = option(called)
    return called


def _wish(outcomes: tuple[str, ...], causes: tuple[str, ...]) -> Wish:
    from capflog.devices import Wish, rules_meant  # noqa: PLC0415

    rules: list[str] = []
    if causes:
        # (It takes a while, and most calls name no rule.)
        try:
            rules = rules_meant(causes, rulebook().rules)
        except LookupError as error:
            stop(f"--cause {error.args[0]}")
    asked = dict.fromkeys([*(f"--outcome {one}" for one in outcomes), *(f"--cause {one}" for one in causes)])
    return Wish(tuple(dict.fromkeys(outcomes)) or None, tuple(rules) or None, " ".join(asked))
