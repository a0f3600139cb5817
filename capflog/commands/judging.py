"""Which bundles ``capflog check`` judges by themselves, and what came of each."""

from __future__ import annotations

import os
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from capflog.commands.analyzing import analyzed
from capflog.commands.console import note, say
from capflog.commands.rule_options import left_out, rulebook
from capflog.gate import judge
from capflog.results import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.commands.clock_options import Clocks
    from capflog.commands.output_options import Outputs
    from capflog.gate import Wanted
    from capflog.model import Report


def groups_of(bundles: Sequence[str], *, together: bool | None) -> list[tuple[str, ...]]:
    """Part what is to be read into what is judged by itself.

    ``together`` None: archives and folders are, single logs are of one bundle, with whatever is named beside them.
    """
    distinct = tuple(dict.fromkeys(bundles))
    if together is None:
        parted = [path == "-" or _holds_members(Path(path)) for path in distinct]
        together = not all(parted)
        if together and sum(parted) > 1:
            note(
                "single logs stand beside archives or folders: all is read as one bundle (--each judges each by itself)"
            )
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


def judged(
    groups: Sequence[tuple[str, ...]],
    wanted: Wanted,
    outputs: Outputs,
    clocks: Clocks,
    store: Path | None,
    *,
    keep: bool,
) -> list[Result]:
    """Analyze and judge each group; one that could not be read has a result, too, whose gate cannot be trusted."""
    from capflog.bundle import BundleError  # noqa: PLC0415

    names = [Path(group[0]).name for group in groups]
    results: list[Result] = []
    asked = tuple(rulebook().rules)
    for group in groups:
        # Two of one name are told apart by their folders.
        alike = len(groups) > 1 and names.count(Path(group[0]).name) > 1
        try:
            analysis = analyzed(group, clocks.told, store, keep=keep, naming=len(groups) > 1)
        except BundleError as error:
            if len(groups) > 1:
                say(str(error))
            results.append(
                _unread(
                    group,
                    group[0] if alike else Path(group[0]).name or group[0],
                    str(error),
                    wanted,
                    several=len(groups) > 1,
                )
            )
            continue
        report = replace(analysis.report, bundle=group[0]) if alike else analysis.report
        untrusted = []
        if left_out() or any(finding.rule == "rule-failed" for finding in report.findings):
            untrusted.append("rules: some could not be asked")
        missing = [m for m in report.members if m.source is None and m.status != "partial"]
        own = _names(group)
        untrusted += [
            f"input: {m.member}: not read{f': {m.reason}' if m.reason else ''}"
            for m in missing
            if len(group) > 1 and m.member in own
        ]
        gate = judge(report, wanted, untrusted)
        if not (outputs.records or outputs.events):
            # Else the events of every bundle would be held until the last is read.
            report = replace(report, enrollments=[replace(one, records=[]) for one in report.enrollments])
        held = analysis if outputs.events else None
        zone = analysis.alignment.display_zone
        results.append(Result(report, gate, held, zone=zone, rules=asked, inputs=places(group)))
    return results


def _unread(group: tuple[str, ...], name: str, why: str, wanted: Wanted, *, several: bool) -> Result:
    from capflog.model import Member, Report  # noqa: PLC0415

    bare = why.removeprefix(f"{group[0]}: ").removeprefix(f"{name}: ")
    report = Report(name, [Member(name, None, "unreadable", bare)], [], [], [], [], [], "inconclusive", [], 0)
    gate = judge(report, wanted, [f"input: {f'{name}: {bare}' if several else why}"])
    return Result(report, replace(gate, lacking=[], remarks=list(wanted.remarks)), rules=(), inputs=places(group))


def places(bundles: Sequence[str]) -> tuple[str, ...]:
    """Give paths as the working folder has them; those outside of it by their names alone."""
    found = []
    for bundle in bundles:
        try:
            path = os.path.relpath(bundle)
        except ValueError:  # on another drive
            path = os.pardir
        outside = path == os.pardir or path.startswith((os.pardir + os.sep, os.pardir + "/"))
        found.append((Path(bundle).name or "bundle") if outside else Path(path).as_posix())
    return tuple(found)


def _names(bundles: Sequence[str]) -> set[str]:
    """Give the names that a report may have for the inputs themselves."""
    return {name for bundle in bundles for name in (bundle, Path(bundle).name)}


def one_collection(results: Sequence[Result]) -> None:
    """Say it where bundles that are judged by themselves look like parts of one collection."""

    def sources(report: Report) -> set[str]:
        return {member.source for member in report.members if member.source}

    read = [result.report for result in results if sources(result.report)]
    of_ca = [report.bundle for report in read if sources(report) <= {"iis", "httperr"}]
    lacking = [report.bundle for report in read if not sources(report) & {"iis", "httperr"}]
    if of_ca and lacking:
        note(
            f"{of_ca[0]} holds logs of IIS alone, {lacking[0]} none: if they are of one collection, "
            "--together reads them as one"
        )
