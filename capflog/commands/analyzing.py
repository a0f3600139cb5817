"""The analysis as commands ask for it: with progress shown, damage told, and kept in the store."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.completing import known_files
from capflog.commands.console import detail, note, quiet, stdin, stop, verbose
from capflog.commands.rule_options import rulebook
from capflog.commands.this_call import is_typed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from capflog.analysis import Analysis
    from capflog.commands.clock_options import Clocks
    from capflog.model import Report
    from capflog.progress import Progress
    from capflog.told import Told

#: The argument of every command that reads a bundle.
bundles_argument = click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True, shell_complete=known_files)
optional_bundles = click.argument("bundles", metavar="[BUNDLE...]", nargs=-1, shell_complete=known_files)


def store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that writes the store."""
    command = click.option("--no-store", is_flag=True, help="Keep nothing of this analysis.")(command)
    return store_option(command)


store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Where analyses are kept: a folder or a .db file.  [default: the user's data folder]",
)


def wants_store(*, no_store: bool) -> bool:
    """Tell whether an analysis is kept: a store that the call names goes before settings that want none."""
    return not no_store or (is_typed("--store") and not is_typed("--no-store"))


def read(bundles: Sequence[str], told: Told, progress: Progress, stream: BinaryIO | None = None) -> Analysis:
    """Analyze bundles as one; raises :class:`capflog.bundle.BundleError` where nothing could be read.

    ``stream``: what ``-`` is, instead of standard input.
    """
    from capflog.analysis import analyze  # noqa: PLC0415  (numpy is behind it)

    book = rulebook()
    detail(f"{len(book.rules)} rules are asked")
    # An analysis makes millions of objects and drops none before it ends: looking for cycles among them is in vain.
    gc.disable()
    return analyze(bundles, stream or (stdin() if "-" in bundles else None), book, progress, told=told)


@contextmanager
def unreadable_ends(piped: str = "-") -> Iterator[None]:
    """End the command with one line where nothing could be read. ``piped``: what ``-`` is called."""
    from capflog.bundle import BundleError  # noqa: PLC0415

    try:
        yield
    except BundleError as error:
        name, colon, why = str(error).partition(": ")
        if piped == "-" or name not in ("-", "standard input"):
            stop(str(error))
        stop(f"{piped}{colon}{why.replace('standard input', 'the pipe')}")


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show progress on standard error while something is done; nothing of it stays."""
    from capflog.progress import progress_on  # noqa: PLC0415

    progress = progress_on(quiet=quiet(), lines=verbose())
    try:
        yield progress
    finally:
        progress.close()


def analyzed(bundles: Sequence[str], told: Told, store: Path | None, *, keep: bool, naming: bool = False) -> Analysis:
    """Analyze, tell what is damaged, and keep it; raises BundleError as :func:`read` does.

    ``naming``: others are read, too, so that what is told names the bundle.
    """
    with shown_progress() as progress:
        analysis = read(bundles, told, progress)
        progress.close()
        remarks(analysis.report, told, naming=naming)
        if keep:
            progress.stage("keeping the analysis")
            notices = keep_in(analysis, store)
    if keep:
        for notice in notices:
            note(notice)
    return analysis


def remarks(report: Report, told: Told, *, naming: bool = False) -> None:
    """Name on standard error what could not be read (the report names it too), and what was told of no member."""
    from capflog.told import unused  # noqa: PLC0415

    for option, part in unused(told, (member.member for member in report.members)):
        note(f"{option} {part}=...: no member's path holds {part}")
    bundle = f"{report.bundle}: " if naming else ""
    for notice in report.notices:
        note(f"{bundle}{notice}")
    for member in report.members:
        if member.status in ("partial", "unreadable") and member.reason:
            note(f"{bundle}{member.member}: {member.reason}")
        elif member.status == "skipped":
            detail(f"{bundle}{member.member}: skipped: {member.reason or 'no log'}")


def keep_in(analysis: Analysis, store: Path | None) -> list[str]:
    """Keep an analysis in the store and return what is to be told of that.

    A store that cannot be used costs a line, not the analysis.
    """
    from capflog.reports import json as json_report  # noqa: PLC0415
    from capflog.store import Store, StoreProblem  # noqa: PLC0415
    from capflog.timelines import parts  # noqa: PLC0415

    # The records are those of the timelines.
    report = json_report.pieces(analysis.report, records=False)
    try:
        with Store.open(store, create=True) as kept:
            kept.keep(report, analysis.report.bundle, parts(analysis))
            detail(f"kept in {kept.path}")
            return list(kept.notices)
    except StoreProblem as problem:
        return [f"this analysis is not kept: {problem}"]


def read_only(bundles: Sequence[str], clocks: Clocks, stream: BinaryIO | None = None) -> Analysis:
    """Analyze and tell what is damaged; nothing is kept.

    ``stream``: what the one path named, a pipe that was opened already.
    """
    from capflog.commands.last import asked_of  # noqa: PLC0415

    if (name := asked_of()) is not None:
        stop(f"--of {name}: it is asked of what was analyzed before, so no bundle can be named beside it")
    with unreadable_ends("-" if stream is None else bundles[0]), shown_progress() as progress:
        analysis = read(bundles if stream is None else ("-",), clocks.told, progress, stream)
    remarks(analysis.report, clocks.told)
    return analysis
