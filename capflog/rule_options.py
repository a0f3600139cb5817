"""The option that adds the user's own rules, and the rulebook that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.console import say, stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from capflog.rulebook import Rulebook

_KEY, _LEFT_OUT = "capflog.rules", "capflog.rules.left_out"


def rules_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--rules``; :func:`rulebook` knows of it."""
    return click.option(
        "--rules",
        metavar="DIR",
        multiple=True,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        envvar="CAPFLOG_RULES",
        default=_configured,
        expose_value=False,
        callback=_keep,
        help="Ask the rules (*.yaml) in this folder, too.  [env: CAPFLOG_RULES; or 'rules' in capflog.toml]",
    )(command)


def _configured() -> tuple[str, ...]:
    """Give the folders that the nearest ``capflog.toml`` names, upwards from the working folder, as ``rules``."""
    import tomllib  # noqa: PLC0415  (only where rules are loaded)

    here = Path.cwd()
    path = next((found for folder in (here, *here.parents) if (found := folder / "capflog.toml").is_file()), None)
    if path is None:
        return ()
    try:
        rules = tomllib.loads(path.read_text(encoding="utf-8")).get("rules", [])
    except (OSError, ValueError) as error:
        stop(f"{path}: {error}")
    if not isinstance(rules, list) or not all(isinstance(folder, str) for folder in rules):
        stop(f"{path}: 'rules' must be a list of folders, such as [\"my-rules\"]")
    return tuple(str(path.parent / folder) for folder in rules)


def _keep(context: click.Context, _option: click.Parameter, folders: tuple[Path, ...]) -> None:
    context.meta[_KEY] = folders


def rulebook() -> Rulebook:
    """Load the shipped rules and those of the option's folders; tell of each that is left out."""
    from capflog.rulebook import builtin, with_folders  # noqa: PLC0415

    meta = click.get_current_context().meta
    folders = meta.get(_KEY, ())
    book = with_folders(folders) if folders else builtin()
    meta[_LEFT_OUT] = bool(book.errors)
    tell(book)
    for folder in folders:
        if not any(path.suffix in (".yaml", ".yml") for path in folder.iterdir()):
            say(f"--rules {folder}: no rule in it: files that end in .yaml or .yml, not in folders below")
    return book


def left_out() -> bool:
    """Tell whether a rule of the rulebook that was loaded could not be read."""
    return bool(click.get_current_context().meta.get(_LEFT_OUT))


def tell(book: Rulebook) -> None:
    """Say what is wrong with rules, and which are left out for it."""
    for error in book.errors:
        say(f"rule left out: {error}")
    for remark in book.remarks:
        say(f"rule: {remark}")
