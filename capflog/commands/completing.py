"""What may stand at the cursor, for the shells: rules, devices of the last analysis, codes, zones, files.

Nothing here may fail or take long: a shell waits for it, and where it fails there is nothing to choose from. Only names
are given that no shell reads anything into: a phone may call itself ``$(reboot)``.
"""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING, Any

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from capflog.store import Store

    Supply = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]

_HARMLESS = re.compile(r"[A-Za-z0-9_.:@+/-]+")


def _supply(names: Callable[[click.Context], Iterable[str | tuple[str, str]]]) -> Supply:
    """Make of what gives names (with a few words on each) what gives those that begin as the word at the cursor."""

    @wraps(names)
    def given(context: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem[str]]:
        try:
            found = [name if isinstance(name, tuple) else (name, "") for name in names(context)]
        except Exception:  # noqa: BLE001  (whatever is wrong with the store or a rule file: no choice is no harm)
            return []
        return [
            CompletionItem(name, help=words or None)
            for name, words in found
            if name.lower().startswith(begun.lower()) and _HARMLESS.fullmatch(name)
        ]

    return given


def known_files(_context: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """Have the shell offer files."""
    return [CompletionItem(begun, type="file")]


@_supply
def known_rules(context: click.Context) -> Iterable[str]:
    """Name the rules: those that ship, and those of --rules (each stands in a file of its name)."""
    from importlib.resources import files  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from capflog.commands.rule_options import folders  # noqa: PLC0415

    shipped = [entry.name for entry in files("capflog.rules").iterdir()]
    own = [path.name for folder in folders(context) for path in Path(folder).iterdir()]
    return sorted({name.rpartition(".")[0] for name in (*shipped, *own) if name.endswith((".yaml", ".yml"))})


@_supply
def known_failures(context: click.Context) -> Iterable[str]:
    """Name what can fail the gate: severities and rules."""
    return ["error", "warning", "info", *(item.value for item in known_rules(context, context.command.params[0], ""))]


@_supply
def known_devices(context: click.Context) -> Iterable[str]:
    """Name the devices of what was analyzed last."""
    with _store(context) as kept:
        run = kept.latest()
        return [] if run is None else kept.devices(run.id)


@_supply
def kept_bundles(context: click.Context) -> Iterable[tuple[str, str]]:
    """Name the bundles whose analyses are kept, the newest first."""
    with _store(context) as kept:
        runs = {run.bundle: f"analyzed {run.analysed:%Y-%m-%d %H:%M} UTC" for run in reversed(kept.runs())}
        return [*reversed(runs.items())]


def _store(context: click.Context) -> Store:
    """Open the store that a call asks."""
    import os  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from capflog.commands.settings_files import load  # noqa: PLC0415
    from capflog.store import Store  # noqa: PLC0415

    told = context.params.get("store") or os.environ.get("CAPFLOG_STORE")
    if not told and "store" in (values := load(Path.cwd()).values):
        told = values["store"].value
    return Store.open(Path(told) if told else None, create=False)


@_supply
def known_codes(_context: click.Context) -> Iterable[tuple[str, str]]:
    """Name the codes: as logs have them, or with the kind before a number."""
    from capflog.codes import names  # noqa: PLC0415

    return names()


@_supply
def known_zones(_context: click.Context) -> Iterable[str]:
    """Name the zones of the world."""
    from zoneinfo import available_timezones  # noqa: PLC0415

    return sorted(available_timezones())


@_supply
def known_commands(context: click.Context) -> Iterable[tuple[str, str]]:
    """Name the commands, or those of the command that was named."""
    import click  # noqa: PLC0415

    group: Any = context.find_root().command
    for word in context.params.get("command") or ():
        group = group.get_command(context, word)
    if not isinstance(group, click.Group):
        return []
    return [
        (name, command.get_short_help_str(1000))
        for name in group.list_commands(context)
        if (command := group.get_command(context, name)) is not None
    ]
