"""What was analyzed last, or before that, asked of the store: for the commands that need no bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

from capflog.commands.completing import kept_bundles
from capflog.commands.console import detail, note, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from capflog.commands.clock_options import Clocks
    from capflog.store import Run, Store

_T = TypeVar("_T")

#: Where a call's context keeps which of the kept analyses is asked.
_OF = "capflog.of"


def _keep(context: click.Context, _param: click.Parameter, name: str | None) -> None:
    if name is not None:
        context.meta[_OF] = name


of_option = click.option(
    "--of",
    metavar="NAME",
    expose_value=False,
    callback=_keep,
    shell_complete=kept_bundles,
    help="Without BUNDLE: ask the newest kept analysis of the bundle of this name (* in it), not the last one.",
)


def asked_of() -> str | None:
    """Give the name of the bundle whose analysis is asked; None: what was analyzed last."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_OF)


def analyzed_when(run: Run) -> str:
    """Say which analysis it is: ``analyzed last``, or when."""
    return "analyzed last" if asked_of() is None else f"analyzed {_time(run)}"


def of_last(clocks: Clocks, store: Path | None, ask: Callable[[Store, Run], _T]) -> _T:
    """Ask of what was analyzed last, or of what --of names; where there is none, the command ends with a line.

    It does, too, where ``clocks`` need a bundle.
    """
    if clocks.given:
        stop(f"{' and '.join(clocks.given)}: name the bundle too, so that it is analyzed with that")
    from capflog.store import Store, StoreProblem  # noqa: PLC0415

    found: list[_T] = []
    try:
        with Store.open(store, create=False) as kept:
            runs = kept.runs()
            detail(f"asked of {kept.path}")
            if runs:
                found.append(ask(kept, _wanted(runs)))
            for notice in kept.notices:
                note(notice)
    except StoreProblem as problem:
        stop(str(problem))
    if not found:
        stop("nothing has been analyzed yet: run 'capflog analyze BUNDLE' first, or name the bundle here")
    return found[0]


def _wanted(runs: Sequence[Run]) -> Run:
    """Choose among the kept analyses, the newest first."""
    name = asked_of()
    if name is None:
        return runs[0]
    import re  # noqa: PLC0415
    from pathlib import PurePath  # noqa: PLC0415

    patterns = [
        re.compile(".*".join(map(re.escape, one.split("*"))), re.IGNORECASE | re.DOTALL)
        for one in (name, PurePath(name).name)
    ]
    found = next((run for pattern in patterns for run in runs if pattern.fullmatch(run.bundle)), None)
    if found is None:
        newest: dict[str, Run] = {}
        for run in runs:
            newest.setdefault(run.bundle, run)
        there = ", ".join(f"{run.bundle} ({_time(run)})" for run in newest.values())
        stop(f"--of {name}: no analysis of that name is kept; there are {there}")
    return found


def _time(run: Run) -> str:
    return f"{run.analysed:%Y-%m-%d %H:%M} UTC"
