"""``capflog rule`` and ``capflog rules``: what capflog knows, and the proof of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from capflog.commands.base import Command, Group
from capflog.commands.completing import known_rules
from capflog.commands.console import FAILED, put, screen, stop
from capflog.commands.rule_options import rulebook, rules_option, tell

if TYPE_CHECKING:
    from capflog.rulebook import Rule, Rulebook


@click.command(
    cls=Command,
    examples=(("capflog rule ca-dns-failure", ""),),
)
@click.argument("rule_id", metavar="ID", shell_complete=known_rules)
@rules_option
def rule(rule_id: str) -> None:
    """Show one rule: what the cause is, how it is recognised, what to do."""
    import difflib  # noqa: PLC0415

    from capflog.reports import rules as rules_report  # noqa: PLC0415

    known: dict[str, Rule] = rulebook().rules
    found = known.get(rule_id.lower())
    if found is None:
        near = difflib.get_close_matches(rule_id.lower(), sorted(known), n=3)
        near = near or [name for name in sorted(known) if rule_id.lower() in name]
        offer = f"did you mean {', '.join(near)}?" if near else "'capflog rules' lists them"
        stop(f"{rule_id}: no such rule; {offer}")
    put(rules_report.render_rule(found, **screen()))


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=(("capflog rules", ""), ("capflog rules lint my-rules/", ""), ("capflog rules test my-rules/", "")),
)
@rules_option
@click.pass_context
def rules(context: click.Context) -> None:
    """List every rule; 'rules test' runs their cases, 'rules lint' tells what else is wrong with them."""
    if context.invoked_subcommand is not None:
        return
    from capflog.reports import rules as rules_report  # noqa: PLC0415

    put(rules_report.render_rules(list(rulebook().rules.values()), **screen()))


_folder = click.argument(
    "folder", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@rules.command(
    name="test",
    short_help="Run the rules' cases.",
    examples=(("capflog rules test", ""), ("capflog rules test my-rules/", "")),
)
@_folder
def rules_test(folder: Path | None) -> None:
    """Run the cases of every rule, or of those in DIR: it must speak on some lines and be silent on others.

    Where it speaks it must fall silent without the lines that prove it. Rules in DIR are asked together with those
    that capflog ships.
    """
    from capflog.reports.layout import some  # noqa: PLC0415
    from capflog.rulecases import run_cases  # noqa: PLC0415
    from capflog.safe_text import visible  # noqa: PLC0415

    book, own = _own_rules(folder)
    outcomes = list(run_cases(book, own))
    wrong = [f"{outcome.rule}: {outcome.case}: {outcome.wrong}" for outcome in outcomes if outcome.wrong]
    wrong += [f"{name}: it has no case" for name in sorted(own) if not book.rules[name].cases]
    for line in wrong:
        put(visible(line))
    put(f"{some(len(own), 'rule')}, {some(len(outcomes), 'case')}, {len(wrong)} wrong")
    if wrong or book.errors:
        raise click.exceptions.Exit(FAILED)


@rules.command(
    name="lint",
    short_help="What is wrong with rules, without their cases.",
    examples=(("capflog rules lint my-rules/", ""),),
)
@_folder
def rules_lint(folder: Path | None) -> None:
    """Tell all that is wrong with the rules, or with those in DIR, without running their cases."""
    from capflog.reports.layout import some  # noqa: PLC0415
    from capflog.rulelint import remarks  # noqa: PLC0415
    from capflog.safe_text import visible  # noqa: PLC0415

    book, own = _own_rules(folder)
    found = [remark for name in sorted(own) for remark in remarks(book.rules[name], book.rules)]
    for remark in found:
        put(visible(f"{remark.rule}: {remark.text}" if remark.fault else f"{remark.rule}: note: {remark.text}"))
    faults = sum(remark.fault for remark in found) + len(book.errors) + len(book.remarks)
    put(f"{some(len(own), 'rule')}, {some(faults, 'fault')}")
    if faults:
        raise click.exceptions.Exit(FAILED)


def _own_rules(folder: Path | None) -> tuple[Rulebook, set[str]]:
    """Load the rules, and name those that are asked for: all that ship, or those of a folder."""
    from capflog.rulebook import builtin, with_folders  # noqa: PLC0415

    if folder is None:
        book = builtin()
        tell(book)
        return book, set(book.rules)
    book = with_folders([folder])
    tell(book)
    own = set(book.rules) - set(builtin().rules)
    if not own and not book.errors:
        stop(f"{folder}: no rule in it: files that end in .yaml or .yml, not in folders below")
    return book, own
