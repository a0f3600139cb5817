"""``capflog check``: the analysis as a gate."""

from __future__ import annotations

import difflib
import fnmatch
import tarfile
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capflog.commands.analyzing import analyzed, bundles_argument, store_options
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.completing import known_failures, known_rules
from capflog.commands.console import FAILED, note, say, stop
from capflog.commands.output_options import Outputs, output_options, write_whole
from capflog.commands.rule_options import left_out, rulebook, rules_option
from capflog.commands.settings import Words, at_call
from capflog.events import SOURCES
from capflog.gate import BaselineError, Known, Wanted, baseline_of, gone, idle, judge, read_baseline
from capflog.results import SEVERITIES, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.model import Report


@click.command(
    cls=Command,
    short_help="The analysis as a gate: exit status 1 where it fails.",
    examples=(
        ('capflog check bundle.zip || echo "CES is not well"', ""),
        ("capflog check monday.zip tuesday.zip", "a verdict for each, and one exit status"),
        ("capflog check --together cucm.zip u_ex190116.log", "of one collection: one verdict"),
        ("capflog check bundle.zip --fail-on warning --min-coverage 95", ""),
        ("capflog check bundle.zip --require capf --require iis", "a bundle without them is not passed as healthy"),
        ("capflog check bundle.zip --fail-on 'ca-cert-*'", "of these rules alone, whatever their severity"),
        ("capflog check bundle.zip --baseline known.json --write-baseline", "what is known today"),
        ("capflog check bundle.zip --baseline known.json", "fails for what is new alone"),
        ("capflog check bundle.zip --output junit=report.xml --output report.sarif", ""),
    ),
)
@bundles_argument
@click.option(
    "--together/--each",
    default=None,
    help="Read several BUNDLEs as one, or judge each by itself.  [default: each, where all are archives or folders; "
    "single logs are read as one]",
)
@click.option(
    "--fail-on",
    metavar="LEVEL|RULE",
    shell_complete=known_failures,
    type=Words(),
    multiple=True,
    default=("error",),
    help="What fails the gate: error, warning or info (that and what is worse), or a rule, * in it; may be given "
    "several times.  [default: error]",
)
@click.option(
    "--select",
    metavar="RULE",
    type=Words(),
    multiple=True,
    shell_complete=known_rules,
    help="Ask these rules alone, * in them.",
)
@click.option(
    "--ignore",
    metavar="RULE",
    type=Words(),
    multiple=True,
    shell_complete=known_rules,
    help="Do not fail for these rules, * in them.",
)
@click.option(
    "--min-coverage",
    metavar="PERCENT",
    type=click.FloatRange(0, 100),
    help="Fail where less of the logs' lines is understood.",
)
@click.option(
    "--require",
    metavar="LOG",
    type=Words(SOURCES),
    multiple=True,
    help=f"Fail where a bundle has no such log: {', '.join(SOURCES)}; may be given several times.",
)
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Fail only for what this file, written before, does not know.",
)
@click.option("--write-baseline", is_flag=True, help="Write what is found into --baseline; nothing fails then.")
@output_options
@rules_option
@clock_options
@store_options
def check(
    bundles: tuple[str, ...],
    together: bool | None,
    fail_on: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    min_coverage: float | None,
    require: tuple[str, ...],
    baseline: Path | None,
    write_baseline: bool,
    outputs: Outputs,
    clocks: Clocks,
    store: Path | None,
    no_store: bool,
) -> None:
    """Analyze BUNDLE as a gate: exit status 1 where a finding is at or above --fail-on.

    Several archives or folders have a verdict each. What is ignored in the settings needs a reason and an end; see
    'capflog config --help'.
    """
    if write_baseline and baseline is None:
        stop("--write-baseline: name the file, too: --baseline known.json")
    for option, names in (("--fail-on", fail_on), ("--select", select), ("--ignore", ignore)):
        _known_rules(option, names)
    excuses = tuple(at_call(click.get_current_context()).ignores)
    _known_rules("ignore", [excuse.rule for excuse in excuses], warn=True)
    today = datetime.now(UTC).date()
    wanted = Wanted(
        fail_on, select, ignore, min_coverage, excuses, None if write_baseline else _baseline(baseline), today, require
    )
    results, unread = _judged(_groups(bundles, together=together), wanted, outputs, clocks, store, keep=not no_store)
    for line in idle(excuses, [result.report for result in results], today) if results else ():
        note(line)
    _one_collection(results)
    if wanted.known is not None and (old := gone(wanted.known, [r.gate for r in results if r.gate is not None])):
        note(f"--baseline {baseline}: gone since it was written: {', '.join(old)}; --write-baseline takes them out")
    if write_baseline and baseline is not None:
        gates = [result.gate for result in results if result.gate is not None]
        _write(baseline, baseline_of(gates, today), sum(len(gate.failing) for gate in gates))
        results = [
            replace(result, gate=judge(result.report, replace(wanted, known=_baseline(baseline)))) for result in results
        ]
    if results:
        outputs.write(results, clocks.display)
    if unread:
        stop(f"a gate needs all that it is asked of; not read: {', '.join(unread)}")
    if any(result.gate is not None and result.gate.untrusted for result in results):
        stop("a gate needs all its rules; some could not be asked, see above")
    if any(result.gate is not None and not result.gate.passed for result in results):
        raise click.exceptions.Exit(FAILED)


def _known_rules(option: str, names: Sequence[str], *, warn: bool = False) -> None:
    """End where a word is neither a severity nor a rule, with the nearest; ``warn``: tell it and go on."""
    asked = [name for name in names if name not in SEVERITIES or option != "--fail-on"]
    if not asked:
        return
    known = sorted(rulebook().rules)
    for name in asked:
        if any(fnmatch.fnmatchcase(rule, name) for rule in known):
            continue
        near = difflib.get_close_matches(name, [*known, *(SEVERITIES if option == "--fail-on" else ())], n=3)
        offer = f"did you mean {' or '.join(near)}?" if near else "'capflog rules' lists them"
        (say if warn else stop)(f"{option} {name}: no such rule; {offer}")


def _baseline(path: Path | None) -> Known | None:
    if path is None:
        return None
    try:
        return read_baseline(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        stop(f"--baseline {path}: no such file; --write-baseline writes it")
    except (OSError, UnicodeDecodeError) as error:
        stop(f"--baseline {path}: {getattr(error, 'strerror', None) or error}")
    except BaselineError as error:
        stop(f"--baseline {path}: {error}")


def _write(path: Path, text: str, count: int) -> None:
    try:
        write_whole(path, [text.encode()])
    except OSError as error:
        stop(f"--baseline {path}: not written: {error.strerror or error}")
    note(f"{path}: written, {count} finding{'' if count == 1 else 's'} in it")


def _groups(bundles: Sequence[str], *, together: bool | None) -> list[tuple[str, ...]]:
    """Part what is to be read into what is judged by itself."""
    distinct = tuple(dict.fromkeys(bundles))
    if together is None:
        together = not all(path == "-" or _holds_members(Path(path)) for path in distinct)
    return [distinct] if together else [(path,) for path in distinct]


def _holds_members(path: Path) -> bool:
    """Tell whether a path is a folder or an archive (of one that is not there: by its name), no single log."""
    if path.is_dir():
        return True
    if path.name.lower().endswith(
        (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
    ):
        return True
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    except (OSError, EOFError):
        return False


def _judged(
    groups: Sequence[tuple[str, ...]],
    wanted: Wanted,
    outputs: Outputs,
    clocks: Clocks,
    store: Path | None,
    *,
    keep: bool,
) -> tuple[list[Result], list[str]]:
    """Analyze and judge each group; what could not be read is told, and named."""
    from capflog.bundle import BundleError  # noqa: PLC0415

    names = [Path(group[0]).name for group in groups]
    results: list[Result] = []
    unread: list[str] = []
    asked = tuple(rulebook().rules)
    for group in groups:
        try:
            analysis = analyzed(group, clocks.told, store, keep=keep)
        except BundleError as error:
            if len(groups) == 1:
                stop(str(error))
            say(str(error))
            unread += group
            continue
        report = analysis.report
        if len(groups) > 1 and names.count(Path(group[0]).name) > 1:
            # Two of one name are told apart by their folders.
            report = replace(report, bundle=group[0])
        missing = [m.member for m in report.members if m.source is None and m.status != "partial"]
        unread += [name for name in missing if len(group) > 1 and name in _names(group)]
        untrusted = []
        if left_out() or any(finding.rule == "rule-failed" for finding in report.findings):
            untrusted.append("some rules could not be asked")
        gate = judge(report, wanted, untrusted)
        if not (outputs.records or outputs.events):
            # Else the events of every bundle would be held until the last is read.
            report = replace(report, enrollments=[replace(one, records=[]) for one in report.enrollments])
        held = analysis if outputs.events else None
        results.append(Result(report, gate, held, zone=analysis.alignment.display_zone, rules=asked))
    return results, unread


def _names(bundles: Sequence[str]) -> set[str]:
    """Give the names that a report may have for the inputs themselves."""
    return {name for bundle in bundles for name in (bundle, Path(bundle).name)}


def _one_collection(results: Sequence[Result]) -> None:
    """Say it where bundles that are judged by themselves look like parts of one collection."""

    def sources(report: Report) -> set[str]:
        return {member.source for member in report.members if member.source}

    of_ca = [result.report.bundle for result in results if sources(result.report) <= {"iis", "httperr"}]
    lacking = [result.report.bundle for result in results if not sources(result.report) & {"iis", "httperr"}]
    if of_ca and lacking:
        note(
            f"{of_ca[0]} holds logs of IIS alone, {lacking[0]} none: if they are of one collection, "
            "--together reads them as one"
        )
