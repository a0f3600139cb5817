"""What was analyzed last, asked of the store: for the commands that need no bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from capflog.commands.console import detail, note, stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capflog.commands.clock_options import Clocks
    from capflog.store import Run, Store

_T = TypeVar("_T")


def of_last(clocks: Clocks, store: Path | None, ask: Callable[[Store, Run], _T]) -> _T:
    """Ask of what was analyzed last; where nothing was, or ``clocks`` need a bundle, the command ends with a line."""
    if clocks.given:
        stop(f"{' and '.join(clocks.given)}: name the bundle too, so that it is analyzed with that")
    from capflog.store import Store, StoreProblem  # noqa: PLC0415

    found: list[_T] = []
    try:
        with Store.open(store, create=False) as kept:
            run = kept.latest()
            detail(f"asked of {kept.path}")
            if run is not None:
                found.append(ask(kept, run))
            for notice in kept.notices:
                note(notice)
    except StoreProblem as problem:
        stop(str(problem))
    if not found:
        stop("nothing has been analyzed yet: run 'capflog analyze BUNDLE' first, or name the bundle here")
    return found[0]
