"""Measure what the events cost beyond the analysis: ``python -m tests.benchmarks.exports --size 100M --runs 2``.

In each round every way to have the events out of one bundle is gone once, in turns, and the analysis that all of them
begin with; what is told are medians, and the medians of the ratios within a round. ``--write FILE`` puts the section
into that page, in the place of the one that is there.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .measure import EXPORTS as TITLE
from .measure import Bundle, Contestant, _seconds, _table, _tell, _times, prepared, ratio
from .watch import run

if TYPE_CHECKING:
    from collections.abc import Sequence

ANALYSIS = "analyze --no-store BUNDLE"
#: The formats of ``capflog export``; those behind are files.
LINES, FILES = ("ecs", "timesketch", "timesketch-csv", "otlp-json"), ("sqlite", "parquet")
QUERIES = ("SELECT device, count(*) FROM events GROUP BY 1", "SELECT text FROM events LIMIT 20000")

HOW = """\
Of every event a line, a row or an object. Figures are as above, of a bundle of its own; "x analyze" is to the analysis
alone, which each begins with, "x CPU" the same of CPU time, which other work on the machine hardly moves. Memory is
looked at in the rounds that are timed. {about} Written by

    {command}

on {cores} cores."""


def everyone(bundle: Bundle, where: Path) -> list[Contestant]:
    """Give the analysis and all ways to have the events; ``where``: a folder for what is a file."""
    path = str(bundle.path)
    calls = [("analyze", "--no-store", path), ("analyze", "--no-store", path, "--format", "jsonl")]
    calls += [("export", path, "--format", form) for form in LINES]
    calls += [("export", path, "--format", form, "-o", str(where / f"events.{form}")) for form in FILES]
    calls += [("sql", query, path) for query in QUERIES]
    return [_contestant(bundle, call) for call in calls]


def _contestant(bundle: Bundle, call: Sequence[str]) -> Contestant:
    words = ["BUNDLE" if word == str(bundle.path) else Path(word).name if word[:1] == "/" else word for word in call]
    shown = " ".join(f'"{word}"' if " " in word else word for word in words)
    return Contestant(shown, f"capflog {shown}", [sys.executable, "-m", "capflog", *call], zipped=True)


def section(contestants: Sequence[Contestant], about: str, command: str) -> str:
    """Set the section of the page."""
    analysis = next(one for one in contestants if one.name == ANALYSIS)
    rows = []
    for one in contestants:
        if (failure := one.failure) is not None:
            rows.append([f"`{one.shown}`", f"*{failure}*", *["-"] * 6])
            continue
        walls = [run.wall for run in one.runs]
        peak = one.watched.peak if one.watched else None
        figures = [
            _seconds(value) for value in (median(walls), min(walls), max(walls), median(r.cpu for r in one.runs))
        ]
        memory = f"{peak / 1e6:,.0f}" if peak else "-"
        rows.append([f"`{one.shown}`", *figures, memory, _times(ratio(one, analysis)), _times(_of_cpu(one, analysis))])
    table = _table(("call", "median s", "min s", "max s", "CPU s", "peak MB", "x analyze", "x CPU"), rows)
    how = HOW.format(about=about, command=command, cores=len(os.sched_getaffinity(0)))
    return "\n".join([TITLE, "", how, "", *table, ""])


def _of_cpu(one: Contestant, to: Contestant) -> float | None:
    """Give the median of the ratios of CPU time; None: there was none to compare with."""
    found = [mine.cpu / its.cpu for mine, its in zip(one.runs, to.runs, strict=False) if its.cpu]
    return median(found) if found and not to.failure else None


def put_into(page: str, section: str) -> str:
    """Put the section into a page: in the place of the one that is there, else at its end."""
    there = re.compile(rf"^{re.escape(TITLE)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if there.search(page):
        return there.sub(lambda found: section + ("\n" if found.end() < len(page) else ""), page)
    return f"{page.rstrip()}\n\n{section}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="100M", help="bytes of text of the bundle")
    parser.add_argument("--kind", default="day")
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bundles", type=Path, help="a folder to keep the bundle in, and to take it from")
    parser.add_argument("--write", type=Path, help="the page that gets the section: docs/performance.md")
    given = parser.parse_args()
    kept = nullcontext(str(given.bundles)) if given.bundles else tempfile.TemporaryDirectory()
    with kept as where, tempfile.TemporaryDirectory() as home:
        bundle = prepared(given.kind, given.size, given.seed, Path(where), folder=False)
        contestants = everyone(bundle, Path(home))
        for number in range(given.runs):
            turn = number % len(contestants)
            for one in contestants[turn:] + contestants[:turn]:
                one.watched = run(one.command, watched=True)
                one.runs.append(one.watched)
                _tell(f"  round {number + 1}: {one.name}: {one.watched.wall:.2f} s, {one.watched.cpu:.2f} s of CPU")
        lines = sum(bundle.truth["lines"].values())
        busy = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
        about = f"*{given.kind}*, {given.size}: {lines:,} lines; rounds: {given.runs}; {busy}."
    command = f"python -m tests.benchmarks.exports --size {given.size} --kind {given.kind} --runs {given.runs}"
    command += f" --seed {given.seed}" + (" --write docs/performance.md" if given.write else "")
    text = section(contestants, about, command)
    sys.stdout.write(text)
    if given.write is not None:
        given.write.write_text(put_into(given.write.read_text(encoding="utf-8"), text), encoding="utf-8")
        _tell(f"{given.write}: written")


if __name__ == "__main__":
    main()
