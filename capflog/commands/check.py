"""``capflog check``: the analysis as a gate."""

from __future__ import annotations

import difflib
import fnmatch
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capflog.commands.analyzing import bundles_argument, store_options, wants_store
from capflog.commands.base import Command
from capflog.commands.clock_options import Clocks, clock_options
from capflog.commands.completing import known_failures, known_rules
from capflog.commands.console import FAILED, note, say, stop
from capflog.commands.files import unwritable, write_whole
from capflog.commands.judging import groups_of, judged, one_collection
from capflog.commands.output_options import Outputs, output_options
from capflog.commands.rule_options import rulebook, rules_option
from capflog.commands.settings import Words
from capflog.commands.this_call import at_call, is_typed
from capflog.commands.types import Percent
from capflog.events import SOURCES
from capflog.gate import WHOLE, BaselineError, Known, Wanted, baseline_of, ended, gone, idle, judge, read_baseline
from capflog.results import SEVERITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@click.command(
    cls=Command,
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
    type=Percent(),
    help="Fail where less of the logs' lines is understood.",
)
@click.option(
    "--require",
    metavar="LOG",
    type=Words(),
    multiple=True,
    help=f"Fail where a bundle has no such log: {', '.join(SOURCES)}; {WHOLE}: where one of its members could not be "
    "read to its end. May be given several times.",
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
    fail_on, select, ignore, require = map(parted, (fail_on, select, ignore, require))
    for option, names in (("--fail-on", fail_on), ("--select", select), ("--ignore", ignore)):
        for why in unknown_rules(option, names):
            stop(why)
    _can_fail(fail_on, select)
    for one in set(require) - {*SOURCES, WHOLE}:
        stop(f"--require {one}: it is none of {', '.join((*SOURCES, WHOLE))}")
    excuses = tuple(at_call(click.get_current_context()).ignores)
    today = datetime.now(UTC).date()
    over = ended(excuses, today)
    outputs.spare([*bundles, *([baseline] if baseline else [])])
    if write_baseline and baseline is not None and (broken := unwritable(baseline, bundles)):
        stop(f"--baseline {baseline}: cannot be written: {broken}")
    wanted = Wanted(fail_on, select, ignore, min_coverage, excuses, today=today, require=require, remarks=tuple(over))
    wanted = replace(wanted, settings=_settings())
    if not write_baseline:
        wanted = replace(wanted, known=_baseline(baseline))
    keep = wants_store(no_store=no_store)
    results = judged(groups_of(bundles, together=together), wanted, outputs, clocks, store, keep=keep)
    gates = [result.gate for result in results if result.gate is not None]
    void = [line.partition(": ")[2] for gate in gates for line in gate.untrusted if line.startswith("input: ")]
    if len(results) == 1 and not any(member.source for member in results[0].report.members):
        for why in outputs.write_files(results, clocks.display):
            say(why)
        stop(void[0])
    misnamed = {excuse.rule: list(unknown_rules("ignore", [excuse.rule])) for excuse in excuses}
    meant = [excuse for excuse in excuses if not misnamed[excuse.rule]]
    told = [why for whys in misnamed.values() for why in whys]
    for line in (*told, *over, *idle(meant, [result.report for result in results], today)):
        note(line)
    one_collection(results)
    if wanted.known is not None and not void and (old := gone(wanted.known, gates)):
        note(f"--baseline {baseline}: gone since it was written: {', '.join(old)}; --write-baseline takes them out")
    if write_baseline and baseline is not None:
        if any(gate.untrusted for gate in gates):
            say(f"--baseline {baseline}: not written, for not all that it is to know could be judged")
        else:
            _write(baseline, baseline_of(gates, today))
            wanted = replace(wanted, known=_baseline(baseline))
            results = [replace(result, gate=judge(result.report, wanted)) for result in results]
    outputs.write(results, clocks.display)
    if void:
        stop(f"a gate needs all that it is asked of; {'; '.join(void)}")
    if any(gate.untrusted for gate in gates):
        stop("a gate needs all its rules; some could not be asked, see above")
    if any(result.gate is not None and not result.gate.passed for result in results):
        raise click.exceptions.Exit(FAILED)


def _settings() -> tuple[str, ...]:
    """Name the files of settings that have a word in this gate: whoever reads its answer must know of them."""
    context = click.get_current_context()
    settings = at_call(context)
    said = {str(value.source) for key, value in settings.values.items() if key in _ASKED and not is_typed(f"--{key}")}
    return tuple(sorted(said | {excuse.source for excuse in settings.ignores}))


#: The keys by which settings have a word in a gate.
_ASKED = ("fail-on", "select", "ignore", "min-coverage", "require", "baseline", "rules")


def _can_fail(fail_on: Sequence[str], select: Sequence[str]) -> None:
    """End where nothing could fail the gate: a gate that always passes is none."""
    if not fail_on:
        stop("--fail-on: nothing is named, so that nothing could fail: error, warning, info, or a rule is wanted")
    if not select:
        return
    levels = [SEVERITIES.index(word) for word in fail_on if word in SEVERITIES]
    for rule in rulebook().rules.values():
        asked = any(fnmatch.fnmatchcase(rule.id, word) for word in select)
        worst = min(SEVERITIES.index(word) for word in (rule.severity, *(one.severity for one in rule.raised)))
        if asked and (worst <= max(levels, default=-1) or any(fnmatch.fnmatchcase(rule.id, word) for word in fail_on)):
            return
    stop(f"--select {','.join(select)}: none of these rules is ever so severe as to fail on {' or '.join(fail_on)}")


def parted(words: Sequence[str]) -> tuple[str, ...]:
    """Take words apart that stand between commas: a rule's id has none in it."""
    return tuple(part.strip() for word in words for part in word.split(",") if part.strip())


def unknown_rules(option: str, names: Sequence[str]) -> Iterator[str]:
    """Say of each word that is neither a rule nor, for --fail-on, a severity, that it is none, with the nearest."""
    levels = SEVERITIES if option == "--fail-on" else ()
    asked = [name for name in names if name not in levels]
    if not asked:
        return
    known = sorted(rulebook().rules)
    for name in asked:
        if any(fnmatch.fnmatchcase(rule, name) for rule in known):
            continue
        near = difflib.get_close_matches(name, [*known, *levels], n=3)
        offer = f"did you mean {' or '.join(near)}?" if near else "'capflog rules' lists them"
        yield f"{option} {name}: no such rule; {offer}"


def _baseline(path: Path | None) -> Known | None:
    if path is None:
        return None
    try:
        return read_baseline(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        stop(f"--baseline {path}: no such file; --write-baseline writes it")
    except OSError as error:
        stop(f"--baseline {path}: {error.strerror or error}")
    except UnicodeDecodeError:
        stop(f"--baseline {path}: not a baseline: it is no text")
    except BaselineError as error:
        stop(f"--baseline {path}: {error}")


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, [text.encode()])
    except OSError as error:
        stop(f"--baseline {path}: not written: {error.strerror or error}")
    count = len(read_baseline(text).rules)
    note(f"{path}: written, {count} rule{'' if count == 1 else 's'} in it")
