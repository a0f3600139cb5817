"""The commands: arguments in, one call, one report out. What they need is imported where they need it."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from capflog import __version__
from capflog.clock_options import Clocks, clock_options
from capflog.console import FAILED, OK, UNUSABLE, put, say, screen, stop
from capflog.device_options import device_options
from capflog.excerpt_options import excerpt_options
from capflog.last import of_last
from capflog.rule_options import left_out, rulebook, rules_option, tell
from capflog.stopping import stopped
from capflog.where import chosen, cut, needs_bundle, restricted, where_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from capflog.analysis import Analysis
    from capflog.conditions import Condition
    from capflog.devices import Devices, Wish
    from capflog.model import Report, Timeline
    from capflog.progress import Progress
    from capflog.reports.excerpt import Window
    from capflog.rulebook import Rule, Rulebook
    from capflog.store import Run, Store
    from capflog.told import Told

_bundles = click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True)
_quiet = click.option("--quiet", "-q", is_flag=True, help="Show no progress on standard error.")


def _store_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that writes the store."""
    command = click.option("--no-store", is_flag=True, help="Keep nothing of this analysis.")(command)
    return _store_option(command)


_store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    envvar="CAPFLOG_STORE",
    help="Where analyses are kept: a folder or a .db file.  [env: CAPFLOG_STORE; default: the user's data folder]",
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done; 1 'check' found something; 2 nothing could be read, or a wrong call.",
)
@click.version_option(__version__, prog_name="capflog", message="%(prog)s %(version)s")
def cli() -> None:
    """Find out why Cisco IP phones do not get their certificates (CAPF Online CA).

    BUNDLE is a zip or tar, a folder, a log file, or - for standard input; several are read as one. What a file is, its
    content says: CAPF trace, CiscoRA log, NGINX error.log, IIS W3C log, HTTP.sys error log.

    \b
      capflog analyze bundle.zip         what is wrong, why, and what to do
      capflog devices bundle.zip         how each phone fared
      capflog timeline SEP74A02FC0A675   one phone's way through all logs
      capflog check bundle.zip           the same analysis as a gate in CI
      capflog explain EST_ERR_AUTH_FAIL  what a code means here
    """


def main() -> NoReturn:
    """Run the command line; a failure ends in one line on standard error, never in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # Text that the terminal's encoding lacks is escaped, not raised.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        say("interrupted")
        status = 130
    except click.ClickException as error:
        error.show()
        status = UNUSABLE
    except click.exceptions.Exit as done:
        status = done.exit_code
    except MemoryError:
        say("there is not enough memory for this bundle")
        status = UNUSABLE
    except Exception as error:
        if os.environ.get("CAPFLOG_DEBUG") or stopped():
            raise
        say(f"a fault of capflog's own: {type(error).__name__}: {error} (CAPFLOG_DEBUG=1 shows where)")
        status = UNUSABLE
    sys.exit(status if isinstance(status, int) else OK)


def _analyze(bundles: Sequence[str], told: Told, progress: Progress) -> Analysis:
    from capflog.analysis import analyze  # noqa: PLC0415  (pandas is behind it)
    from capflog.bundle import BundleError  # noqa: PLC0415

    book = rulebook()
    # An analysis makes millions of objects and drops none before it ends: looking for cycles among them is in vain.
    gc.disable()
    try:
        return analyze(bundles, sys.stdin.buffer if "-" in bundles else None, book, progress, told=told)
    except BundleError as error:
        progress.close()
        stop(str(error))


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """Show progress on standard error while something is done; nothing of it stays."""
    from capflog.progress import progress_on  # noqa: PLC0415

    progress = progress_on(quiet=quiet)
    try:
        yield progress
    finally:
        progress.close()


def _analyzed(bundles: Sequence[str], told: Told, store: Path | None, *, keep: bool, quiet: bool) -> Analysis:
    """Analyze, tell what is damaged, and keep it."""
    with _progress(quiet) as progress:
        analysis = _analyze(bundles, told, progress)
        progress.close()
        _remarks(analysis.report, told)
        if keep:
            progress.stage("keeping the analysis")
            notices = _keep(analysis, store)
    if keep:
        for notice in notices:
            say(notice)
    return analysis


def _remarks(report: Report, told: Told) -> None:
    """Name on standard error what could not be read (the report names it too), and what was told of no member."""
    from capflog.told import unused  # noqa: PLC0415

    for option, part in unused(told, (member.member for member in report.members)):
        say(f"{option} {part}=...: no member's path holds {part}")
    for notice in report.notices:
        say(notice)
    for member in report.members:
        if member.status in ("partial", "unreadable") and member.reason:
            say(f"{member.member}: {member.reason}")


def _keep(analysis: Analysis, store: Path | None) -> list[str]:
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
            return list(kept.notices)
    except StoreProblem as problem:
        return [f"this analysis is not kept: {problem}"]


@cli.command()
@_bundles
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@where_option
@rules_option
@clock_options
@_quiet
@_store_options
def analyze(
    bundles: tuple[str, ...],
    form: str,
    where: Condition | None,
    clocks: Clocks,
    quiet: bool,
    store: Path | None,
    no_store: bool,
) -> None:
    """Read BUNDLE and tell what is wrong, why, the lines that prove it, and what to do.

    \b
      capflog analyze bundle.zip
      capflog analyze capf00000001.txt.gz nginx00000001.txt u_ex190116.log
      capflog analyze bundle.zip --where 'enrollment with outcome = failed and waited > 9'
      ssh host cat bundle.tar.gz | capflog analyze - --format json
    """
    analysis = _analyzed(bundles, clocks.told, store, keep=not no_store, quiet=quiet)
    report = analysis.report
    if where is not None:
        report = restricted(report, chosen(analysis, where), where)
    if form == "json":
        from capflog.reports import json as json_report  # noqa: PLC0415

        put(json_report.pieces(report))
        return
    from capflog.reports import terminal  # noqa: PLC0415

    put(terminal.render(report, **screen(), zone=analysis.alignment.display_zone, display=clocks.display))


@cli.command()
@_bundles
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "info"]),
    default="error",
    show_default=True,
    help="The least severe finding that fails the gate.",
)
@rules_option
@clock_options
@_quiet
@_store_options
def check(
    bundles: tuple[str, ...],
    form: str,
    fail_on: str,
    clocks: Clocks,
    quiet: bool,
    store: Path | None,
    no_store: bool,
) -> None:
    """Analyze BUNDLE as a gate: exit status 1 where a finding is at or above --fail-on.

    \b
      capflog check bundle.zip || echo "CES is not well"
    """
    report = _analyzed(bundles, clocks.told, store, keep=not no_store, quiet=quiet).report
    unread = [m.member for m in report.members if m.source is None and m.status != "partial"]
    unread = [name for name in unread if len(bundles) > 1 and name in _names(bundles)]
    levels = ("error", "warning", "info")
    failing = [f for f in report.findings if levels.index(f.severity) <= levels.index(fail_on)]
    if form == "json":
        from capflog.reports import json as json_report  # noqa: PLC0415

        put(json_report.pieces(report))
    else:
        from capflog.reports import gate  # noqa: PLC0415

        put(gate.render(report, failing, fail_on=fail_on, **screen()))
    if unread:
        stop(f"a gate needs all that it is asked of; not read: {', '.join(unread)}")
    if left_out() or any(finding.rule == "rule-failed" for finding in report.findings):
        stop("a gate needs all its rules; some could not be asked, see above")
    if failing:
        raise click.exceptions.Exit(FAILED)


def _names(bundles: Sequence[str]) -> set[str]:
    """Give the names that a report may have for the inputs themselves."""
    return {name for bundle in bundles for name in (bundle, Path(bundle).name)}


@cli.command()
@click.argument("device")
@click.argument("bundles", metavar="[BUNDLE...]", nargs=-1)
@excerpt_options
@click.option("--all", "every", is_flag=True, help="Show lines, too, that may be DEVICE's but are nobody's for sure.")
@where_option
@rules_option
@clock_options
@_quiet
@_store_option
def timeline(
    device: str,
    bundles: tuple[str, ...],
    window: Window | None,
    every: bool,
    where: Condition | None,
    clocks: Clocks,
    quiet: bool,
    store: Path | None,
) -> None:
    """Show everything that happened to DEVICE, over all logs, on one clock.

    DEVICE is a name, a name with *, or a MAC address in any spelling. Without BUNDLE it is asked of what was analyzed
    last; then of the options that tell of clocks --display-tz alone is of use.

    TIME is read as one types it: 14:05:02, 2:05pm, 2019-01-16 14:05, 16 Jan 2019, 14:05Z, "14:05 -05:00". Without a
    zone it is in that of the times shown. Without a day it is that time on every day of the logs, or on that day which
    the other of --since and --until has. Lines without a time are shown where they may lie in the window.

    \b
      capflog timeline SEP74A02FC0A675
      capflog timeline 74:a0:2f:c0:a6:75 bundle.zip
      capflog timeline 'CSF*' --since 14:00 --until 14:30
      capflog timeline SEP74A02FC0A675 --around 14:05:02 --within 30s --all
      capflog timeline 'SEP*' bundle.zip --where 'curl.failed with code = 28 in the same enrollment'
    """
    from capflog.reports import timeline as timeline_report  # noqa: PLC0415
    from capflog.timelines import UnknownDeviceError  # noqa: PLC0415

    look: dict[str, Any] = {**screen(), "display": clocks.display, "every": every}
    try:
        found = _timelines_of(device, bundles, clocks, store, quiet, where, every=every or window is not None)
    except UnknownDeviceError as error:
        stop(str(error))
    if window is None:
        pages = [timeline_report.render(one, **look) for one in found]
    else:
        from capflog.reports.excerpt import EmptyWindowError, excerpts  # noqa: PLC0415

        try:
            parts, empty = excerpts(found, window, clocks.display, every=every)
        except EmptyWindowError as error:
            stop(str(error))
        pages = [timeline_report.render(part.timeline, **look, excerpt=part) for part in parts]
        if empty:
            pages.append(timeline_report.render_empty(empty, window, **screen()))
    for number, page in enumerate(pages):
        if number:
            put("")
        put(page)


def _timelines_of(
    device: str,
    bundles: Sequence[str],
    clocks: Clocks,
    store: Path | None,
    quiet: bool,
    where: Condition | None,
    *,
    every: bool,
) -> list[Timeline]:
    from capflog.timelines import match_devices, names, timelines  # noqa: PLC0415

    if bundles and Path(device).exists() and not any(Path(bundle).exists() for bundle in bundles):
        stop(f"{device} is a file: the device comes first, then the bundle (capflog timeline DEVICE BUNDLE)")
    if bundles:
        analysis = _read_only(bundles, clocks, quiet)
        wanted = match_devices(device, names(analysis))
        if where is None:
            return list(timelines(analysis, wanted, every=every))
        ids = chosen(analysis, where)
        there = {e.device or e.id for e in analysis.report.enrollments if e.id in ids}
        fit = [name for name in wanted if name in there]
        if not fit:
            say(f"no enrollment of {device} fits --where")
            return []
        return [cut(one, ids) for one in timelines(analysis, fit, every=every)]
    needs_bundle(where, bundles)

    def ask(kept: Store, run: Run) -> list[Timeline]:
        wanted = match_devices(device, kept.devices(run.id))
        return [one for name in wanted if (one := kept.timeline(run.id, name, every=every)) is not None]

    return of_last(clocks, store, ask)


def _read_only(bundles: Sequence[str], clocks: Clocks, quiet: bool) -> Analysis:
    """Analyze and tell what is damaged; nothing is kept."""
    with _progress(quiet) as progress:
        analysis = _analyze(bundles, clocks.told, progress)
    _remarks(analysis.report, clocks.told)
    return analysis


@cli.command()
@click.argument("bundles", metavar="[BUNDLE...]", nargs=-1)
@click.option("--format", "form", type=click.Choice(["text", "json", "csv"]), default="text", show_default=True)
@device_options
@where_option
@rules_option
@clock_options
@_quiet
@_store_option
def devices(
    bundles: tuple[str, ...],
    form: str,
    wish: Wish,
    where: Condition | None,
    clocks: Clocks,
    quiet: bool,
    store: Path | None,
) -> None:
    """List the devices: how often each tried, and what came of its latest attempt.

    Those whose latest attempt failed come first, then those not seen to the end, each by time. An enrollment of which
    no line names the device stands for itself, by its id. Without BUNDLE it is asked of what was analyzed last.

    \b
      capflog devices bundle.zip
      capflog devices --outcome failed --outcome incomplete
      capflog devices --cause 'ca-cert-*' --format csv
      capflog devices bundle.zip --where 'enrollment with waited > 5'
    """
    from capflog.reports import devices as devices_report  # noqa: PLC0415

    found = _devices_of(bundles, clocks, store, quiet, where)
    if form == "json":
        put(devices_report.as_json(found, wish))
    elif form == "csv":
        put(devices_report.as_csv(found, wish))
    else:
        put(devices_report.render(found, wish, **screen(), display=clocks.display))


def _devices_of(
    bundles: Sequence[str], clocks: Clocks, store: Path | None, quiet: bool, where: Condition | None
) -> Devices:
    from capflog.devices import Devices, devices_in, devices_of  # noqa: PLC0415

    if bundles:
        analysis = _read_only(bundles, clocks, quiet)
        report, zone = analysis.report, analysis.alignment.display_zone
        if where is not None:
            report = restricted(report, chosen(analysis, where), where)
        return Devices(report.bundle, devices_of(report.enrollments), report.clocks, zone)

    needs_bundle(where, bundles)

    def ask(kept: Store, run: Run) -> Devices:
        import json  # noqa: PLC0415

        return devices_in(json.loads(kept.report(run.id)), kept.zone(run.id))

    return of_last(clocks, store, ask)


@cli.command()
@_bundles
@clock_options
@_quiet
def inspect(bundles: tuple[str, ...], clocks: Clocks, quiet: bool) -> None:
    """List every member of BUNDLE: what it was taken for and why, its lines, events, unknown lines and times."""
    from capflog.reports import inspect as inspect_report  # noqa: PLC0415

    analysis = _read_only(bundles, clocks, quiet)
    zone = analysis.alignment.display_zone
    put(inspect_report.render(analysis.report, **screen(), zone=zone, display=clocks.display))


@cli.command()
@click.option("--rule", "of_rule", is_flag=True, help="That of a rule file, for an editor.")
def schema(of_rule: bool) -> None:
    """Print the JSON Schema of the report that --format json gives, or of a rule file."""
    from importlib.resources import files  # noqa: PLC0415

    name = "rule.schema.json" if of_rule else "report.schema.json"
    put(files("capflog").joinpath(name).read_text(encoding="utf-8"))


@cli.command()
@click.argument("rule_id", metavar="ID")
@rules_option
def rule(rule_id: str) -> None:
    """Show one rule: what the cause is, how it is recognised, what to do.

    \b
      capflog rule ca-dns-failure
    """
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


@cli.group(invoke_without_command=True)
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


@rules.command(name="test")
@_folder
def rules_test(folder: Path | None) -> None:
    """Run the cases of every rule, or of those in DIR: it must speak on some lines and be silent on others.

    Where it speaks it must fall silent without the lines that prove it. Rules in DIR are asked together with those
    that capflog ships.

    \b
      capflog rules test my-rules/
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


@rules.command(name="lint")
@_folder
def rules_lint(folder: Path | None) -> None:
    """Tell all that is wrong with the rules, or with those in DIR, without running their cases.

    \b
      capflog rules lint my-rules/
    """
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


@cli.command()
@click.argument("code")
def explain(code: str) -> None:
    """Tell what a code means in this feature, and what to do.

    \b
      capflog explain EST_ERR_AUTH_FAIL
      capflog explain 22
      capflog explain curl:60
      capflog explain iis:401.1.2148074254
    """
    from capflog import codes  # noqa: PLC0415
    from capflog.reports import rules as rules_report  # noqa: PLC0415

    try:
        found = codes.explain(code)
    except LookupError as error:
        if code.lower() in rulebook().rules:
            stop(f"{code} is a rule: capflog rule {code.lower()}")
        stop(str(error.args[0]))
    look = screen()
    for number, explanation in enumerate(found):
        if number:
            put("")
        put(rules_report.render_explanation(explanation, **look))
