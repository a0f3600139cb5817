"""The option that adds the user's own rules, and the rulebook that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.console import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from capflog.rulebook import Rulebook

_KEY, _LEFT_OUT, _TOLD = "capflog.rules", "capflog.rules.left_out", "capflog.rules.told"


def rules_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--rules``; :func:`rulebook` knows of it."""
    return click.option(
        "--rules",
        metavar="DIR",
        multiple=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        expose_value=False,
        callback=_keep,
        help="Ask the rules (*.yaml) in this folder, too.",
    )(command)


def _keep(context: click.Context, _option: click.Parameter, folders: tuple[Path, ...]) -> None:
    context.meta[_KEY] = folders


def folders(context: click.Context) -> tuple[Path, ...]:
    """Give the folders of rules that a call names."""
    named: tuple[Path, ...] = context.meta.get(_KEY) or ()
    return named


def rulebook() -> Rulebook:
    """Load the shipped rules and those of the option's folders; tell of each that is left out."""
    from capflog.rulebook import builtin, with_folders  # noqa: PLC0415

    meta = click.get_current_context().meta
    folders = meta.get(_KEY, ())
    book = with_folders(folders) if folders else builtin()
    empty = [folder for folder in folders if not any(path.suffix in (".yaml", ".yml") for path in folder.iterdir())]
    meta[_LEFT_OUT] = bool(book.errors or empty)
    if meta.get(_TOLD) == folders:
        return book
    meta[_TOLD] = folders
    tell(book)
    for folder in empty:
        say(f"--rules {folder}: no rule in it: files that end in .yaml or .yml, not in folders below")
    return book


def left_out() -> bool:
    """Tell whether a rule of the rulebook that was loaded could not be read, or a folder of rules has none."""
    return bool(click.get_current_context().meta.get(_LEFT_OUT))


def tell(book: Rulebook) -> None:
    """Say what is wrong with rules, and which are left out for it."""
    for error in book.errors:
        say(f"rule left out: {error}")
    for remark in book.remarks:
        say(f"rule: {remark}")
