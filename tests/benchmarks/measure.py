"""Measure capflog beside the floor and its peers: ``python -m tests.benchmarks.measure --size 1G --kinds day,storm``.

In each round every program reads the same bundle once, one after the other, the order turned by one from round to
round; what is told are medians over the rounds, and the medians of the ratios within a round. The first round is not
timed: it fills the page cache and is the one in which memory is looked at. ``--scaling`` measures capflog and the floor
alone over several sizes. ``--write FILE`` writes what is printed there, with the machine and the command.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from .generate import Plan, amount, make, truth_of
from .scenes import MIDNIGHT
from .watch import Run, run

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Memory that is allowed for, in bytes: at rest, and for each event.
MEMORY, MEMORY_OF_EVENT = 400_000_000, 150

#: A program that takes so many times as long as the floor is timed in so many rounds and no more.
SLOW, SLOW_ROUNDS = 4, 1

#: What a search would have to look for to see what capflog does.
LITERALS = (
    "CA Mode is", "enrollCertUsingEST", "read_csr()", "Enrollment rv", "Online Cert Signing", "write_binary_file",
    "MsgType :", "Rcvd Event", "Select(", "SetOperationStatus", "***EST [", "login_to_certsrv_ca",
    "navigate_to_certsrv_page", "return code", "failed (", "/certsrv",
)  # fmt: skip

PANDAS = """
import sys, pandas
for path in sys.argv[1:]:
    pandas.read_csv(path, sep=" ", comment="#", header=None, encoding="utf-8", encoding_errors="replace")
"""
EVENTS = """
import sys
from capflog.reading import read_bundle
print(len(read_bundle(sys.argv[1:]).table))
"""

#: The title of the section of ``tests.benchmarks.exports``, the last one of the page.
EXPORTS = "## What exports take"

FLOOR, READ, CAPFLOG, CAPFLOG_FOLDER = "unzip -p | wc -l", "cat | wc -l", "capflog, zip", "capflog, folder"
NAIVE, LNAV = "naive regex loop, zip", "lnav, headless count"


@dataclass(frozen=True)
class Bundle:
    """A generated bundle: as zip, and as folder where it is needed."""

    path: Path
    folder: Path | None
    truth: dict[str, Any]

    @property
    def size(self) -> int:
        """The bytes of its text."""
        return sum(self.truth["bytes"].values())

    def files(self, pattern: str = "*") -> list[str]:
        """List its files in the order of their names."""
        return sorted(str(p) for p in self.folder.rglob(pattern) if p.is_file()) if self.folder else []


@dataclass
class Contestant:
    """A program to measure.

    ``needs``: the command that must be installed; ``zipped``: it reads the zip, else files; ``of``: the logs that it
    reads (None: all).
    """

    name: str
    shown: str
    command: list[str]
    needs: str = ""
    zipped: bool = False
    of: str | None = None
    runs: list[Run] = field(default_factory=list)
    watched: Run | None = None

    @property
    def missing(self) -> bool:
        """Whether it is not installed."""
        return bool(self.needs) and shutil.which(self.needs) is None

    @property
    def failure(self) -> str | None:
        """Say why it gave no result."""
        if self.missing:
            return f"{self.needs} is not installed"
        bad = next((r for r in (*self.runs, self.watched) if r is not None and r.status), None)
        return None if bad is None else f"failed with status {bad.status}: {bad.said[:100]}"


def _shell(script: str, *words: str) -> list[str]:
    return ["sh", "-c", script, "sh", *words]


def _capflog(*paths: str) -> list[str]:
    return [sys.executable, "-m", "capflog", "analyze", "--no-store", *paths]


def of_zip(bundle: Bundle) -> list[Contestant]:
    """Give the floor and capflog on a zip."""
    path = str(bundle.path)
    return [
        Contestant(FLOOR, "unzip -p BUNDLE | wc -l", _shell('unzip -p "$1" | wc -l', path), "unzip", zipped=True),
        Contestant(CAPFLOG, "capflog analyze --no-store BUNDLE", _capflog(path), zipped=True),
    ]


def everyone(bundle: Bundle) -> list[Contestant]:
    """Give all that are measured on one bundle."""
    files, iis = bundle.files(), bundle.files("u_ex*.log")
    literals = [word for literal in LITERALS for word in ("-e", literal)]
    query = ";SELECT count(*) FROM all_logs"
    naive = [sys.executable, "-m", "tests.benchmarks.naive", str(bundle.path)]
    return [
        *of_zip(bundle),
        Contestant(NAIVE, "tests/benchmarks/naive.py BUNDLE", naive, zipped=True),
        Contestant(READ, "cat FILES | wc -l", _shell('cat "$@" | wc -l', *files)),
        Contestant(CAPFLOG_FOLDER, "capflog analyze --no-store FOLDER", _capflog(str(bundle.folder))),
        Contestant(
            f"ripgrep, {len(LITERALS)} literals",
            "rg -c -F -e LITERAL ... FILES",
            ["rg", "-c", "-F", *literals, *files],
            "rg",
        ),
        Contestant(LNAV, f"lnav -n -c '{query}' FILES", ["lnav", "-n", "-c", query, *files], "lnav"),
        Contestant(
            "pandas.read_csv, IIS alone",
            'read_csv(FILE, sep=" ", comment="#", header=None)',
            [sys.executable, "-c", PANDAS, *iis],
            of="iis",
        ),
    ]


def rounds(contestants: Sequence[Contestant], count: int, home: str) -> None:
    """Run everyone ``count`` times in turns, and once before, watched; ``home``: a folder for what others may keep."""
    present = [c for c in contestants if not c.missing]
    for number in range(count + 1):
        turn = number % len(present)
        for contestant in present[turn:] + present[:turn]:
            if contestant.failure is not None or (number > SLOW_ROUNDS and _slow(contestant, present)):
                continue
            environment = {"HOME": home} if contestant.needs else None
            done = run(contestant.command, watched=number == 0, environment=environment)
            if number == 0:
                contestant.watched = done
            else:
                contestant.runs.append(done)
            _tell(f"  {'watched' if number == 0 else f'round {number}'}: {contestant.name}: {done.wall:.2f} s")


def _slow(contestant: Contestant, beside: Sequence[Contestant]) -> bool:
    """Tell whether a program is so slow that a few rounds say enough of it."""
    floor = next((c for c in beside if c.name == FLOOR), None)
    if contestant.name in (FLOOR, CAPFLOG, CAPFLOG_FOLDER) or floor is None:
        return False
    return bool(contestant.watched and floor.watched and contestant.watched.wall > SLOW * floor.watched.wall)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def ratio(contestant: Contestant, to: Contestant) -> float | None:
    """Give the median of the ratios within each round; None: one of them has no result."""
    if contestant.failure or to.failure or not contestant.runs or not to.runs:
        return None
    # One that was slow has run in the first rounds alone.
    return median(a.wall / b.wall for a, b in zip(contestant.runs, to.runs, strict=False))


# ---- bundles -------------------------------------------------------------------------------------------------------


def _made_by() -> str:
    """Name the generator's present state: a bundle of another one is made anew."""
    here = Path(__file__).parent
    sources = b"".join((here / f"{name}.py").read_bytes() for name in ("blocks", "scenes", "generate"))
    return hashlib.sha256(sources).hexdigest()[:12]


def prepared(kind: Any, size: str, seed: int, where: Path, *, folder: bool) -> Bundle:
    """Make a bundle of this kind and size, or take the one that is there."""
    path = where / f"{kind}-{size}.zip"
    mark, wanted = where / f"{kind}-{size}.made-by", f"{_made_by()} {seed}"
    if not (path.exists() and mark.exists() and mark.read_text() == wanted):
        _tell(f"generating {path.name}")
        mark.unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        make(Plan(kind, amount(size), seed), path)
        mark.write_text(wanted)
    unpacked = path.with_suffix("")
    if folder and not unpacked.exists():
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                archive.extract(entry, unpacked)
                changed = datetime(*entry.date_time, tzinfo=MIDNIGHT.tzinfo).timestamp()
                os.utime(unpacked / entry.filename, (changed, changed))
    return Bundle(path, unpacked if folder else None, json.loads(truth_of(path).read_text()))


# ---- tables --------------------------------------------------------------------------------------------------------


def _row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Set a Markdown table; all columns but the first are numbers."""
    return [_row(titles), _row(["---", *["---:"] * (len(titles) - 1)]), *map(_row, rows)]


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _figures(contestant: Contestant, text: int) -> list[str]:
    walls = [r.wall for r in contestant.runs]
    peak = contestant.watched.peak if contestant.watched else None
    return [
        *(_seconds(value) for value in (median(walls), min(walls), max(walls))),
        f"{text / median(walls) / 1e6:,.0f}",
        _seconds(median(r.cpu for r in contestant.runs)),
        # A run that is over before the first look at its memory has none.
        f"{peak / 1e6:,.0f}" if peak else "-",
    ]


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def side_by_side(bundle: Bundle, contestants: Sequence[Contestant]) -> list[str]:
    """Set the table of one bundle."""
    known = {c.name: c for c in contestants}
    titles = ("program", "median s", "min s", "max s", "MB/s", "CPU s", "peak MB", "x floor", "x capflog")
    rows = []
    for c in contestants:
        if (failure := c.failure) is not None:
            rows.append([c.name, f"*{failure}*", *["-"] * 7])
            continue
        text = bundle.truth["bytes"][c.of] if c.of else bundle.size
        ours = None if c.of else ratio(c, known[CAPFLOG if c.zipped else CAPFLOG_FOLDER])
        rows.append([c.name, *_figures(c, text), _times(ratio(c, known[FLOOR])), _times(ours)])
    return _table(titles, rows)


def _in_words(contestants: Sequence[Contestant], text: int) -> list[str]:
    """Say what the table says of capflog."""
    known = {c.name: c for c in contestants}
    ours, folder = known[CAPFLOG], known[CAPFLOG_FOLDER]
    said = []
    if (to_floor := ratio(ours, known[FLOOR])) is not None:
        said.append(f"capflog takes {to_floor:.2f} times what unzipping and counting lines takes")
    if folder.runs and folder.failure is None:
        said.append(f"from files it reads {text / median(r.wall for r in folder.runs) / 1e6:,.0f} MB/s")
    for name, words, beside in ((NAIVE, "the naive loop takes", ours), (LNAV, "lnav's count takes", folder)):
        if (to_ours := ratio(known[name], beside)) is not None:
            said.append(f"{words} {to_ours:.2f} times as long as capflog on the same input")
    return [f"In short: {'; '.join(said)}."] if said else []


def _about(bundle: Bundle) -> str:
    truth = bundle.truth
    lines = sum(truth["lines"].values())
    return (
        f"{bundle.size / 1e6:,.0f} MB of text in {lines:,} lines ({bundle.path.stat().st_size / 1e6:,.0f} MB as zip), "
        f"{truth['enrollments']:,} enrollments, {truth['failed']:,} of them failed."
    )


def _events(bundle: Bundle) -> int | None:
    """Count the events that capflog makes of a bundle."""
    said = subprocess.run([sys.executable, "-c", EVENTS, str(bundle.path)], capture_output=True, text=True, check=False)
    return int(said.stdout) if said.returncode == 0 else None


def growth(measured: Sequence[tuple[str, Bundle, list[Contestant], int | None]]) -> list[str]:
    """Set the table of how cost grows with size, of one kind."""
    titles = (
        "size", "enrollments", "events", "floor s", "capflog s", "min s", "max s", "x floor", "s per GB", "peak MB",
        "bound MB",
    )  # fmt: skip
    rows = []
    for size, bundle, (floor, ours), events in measured:
        counted = [f"{bundle.truth['enrollments']:,}", "-" if events is None else f"{events:,}"]
        bad = ours.failure or floor.failure
        if bad is not None:
            rows.append([size, *counted, f"*{bad}*", *["-"] * 7])
            continue
        walls = [r.wall for r in ours.runs]
        peak = (ours.watched.peak if ours.watched else None) or 0
        bound = None if events is None else MEMORY + MEMORY_OF_EVENT * events
        rows.append([
            size,
            *counted,
            _seconds(median(r.wall for r in floor.runs)),
            *(_seconds(value) for value in (median(walls), min(walls), max(walls))),
            _times(ratio(ours, floor)),
            f"{median(walls) / bundle.size * 1e9:.1f}",
            f"{peak / 1e6:,.0f}",
            "-" if bound is None else f"{bound / 1e6:,.0f}",
        ])  # fmt: skip
    return _table(titles, rows)


# ---- the page ------------------------------------------------------------------------------------------------------


def _first_line(command: Sequence[str]) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    said = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return next(iter((said.stdout or said.stderr).strip().splitlines()), "").partition(" of ")[0] or None


def machine() -> list[str]:
    """Describe the machine and the programs on it."""
    model = memory = "unknown"
    if (info := Path("/proc/cpuinfo")).exists():
        model = next((x.partition(":")[2].strip() for x in info.read_text().splitlines() if "model name" in x), model)
    if (info := Path("/proc/meminfo")).exists():
        memory = f"{int(info.read_text().split()[1]) / 1e6:.0f} GB"
    programs = [
        f"capflog {version('capflog')}",
        f"numba {version('numba')}",
        f"numpy {version('numpy')}",
        f"pandas {version('pandas')}",
        *filter(None, (_first_line(c) for c in (["unzip", "-v"], ["rg", "--version"], ["lnav", "-V"]))),
    ]
    return [
        f"- {len(os.sched_getaffinity(0))} cores ({model}), {memory} of memory, {platform.system()}",
        f"- Python {platform.python_version()} ({platform.python_implementation()}); {'; '.join(programs)}",
    ]


HOW = """\
The bundles are made by `tests/benchmarks/generate.py` from a fixed seed: half CAPF trace, a fifth error.log, the rest
IIS. *day* has 10,000 enrollments a GB among the chatter of a site, *storm* 100,000 a GB. In each round every program
reads the same bundle once, in turns; times are of the whole process from its start, with its output thrown away. The
ratios are medians of those within a round: "x floor" to `unzip -p BUNDLE | wc -l`, "x capflog" to capflog on the same
input, zip or folder. MB/s are of the text read; files lie in the page cache. Peak memory is the sum over all processes
of a run, shared pages counted once, looked at every 50 ms in a round of its own that is not timed. A program that takes
more than four times as long as the floor is timed once only."""


def page(command: str, sections: Sequence[str], contestants: Sequence[Contestant]) -> str:
    """Put the page together."""
    calls = [f"- {c.name}: `{c.shown}`" for c in contestants]
    return "\n".join(
        [
            "# What reading costs",
            "",
            "Written by one command, which makes these figures again:",
            "",
            f"    {command}",
            "",
            *machine(),
            "",
            HOW,
            "",
            *sections,
            *(["## What was run", "", *calls, ""] if calls else []),
        ]
    )


def _kept_of(page: Path) -> str:
    """Give the section of a page that another command writes (``tests.benchmarks.exports``), to keep it."""
    _, title, section = (page.read_text(encoding="utf-8") if page.exists() else "").partition(f"\n{EXPORTS}\n")
    return title + section


def _command(given: argparse.Namespace) -> str:
    """Write the command that makes the figures again; where bundles are kept is nobody else's business."""
    options = {
        "size": given.size,
        "kinds": given.kinds,
        "runs": given.runs,
        **(
            {"scaling": given.scaling, "scaling-kinds": given.scaling_kinds, "scaling-runs": given.scaling_runs}
            if given.scaling
            else {}
        ),
        "seed": given.seed,
        **({"write": "docs/performance.md"} if given.write else {}),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return f"python -m tests.benchmarks.measure {shlex.join(words)}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1G", help="bytes of text of the bundles that all programs read")
    parser.add_argument("--kinds", default="day,storm")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scaling", default="", help="sizes for capflog and the floor alone: 1M,10M,100M,1G,10G")
    parser.add_argument("--scaling-kinds", default="day")
    parser.add_argument("--scaling-runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bundles", type=Path, help="a folder to keep the bundles in, and to take them from")
    parser.add_argument("--write", type=Path, help="the page to write: docs/performance.md")
    given = parser.parse_args()
    kinds, sizes = given.kinds.split(","), [s for s in given.scaling.split(",") if s]
    if given.bundles is not None:
        given.bundles.mkdir(parents=True, exist_ok=True)
    sections: list[str] = []
    contestants: list[Contestant] = []
    began = time.perf_counter()
    kept = nullcontext(str(given.bundles)) if given.bundles else tempfile.TemporaryDirectory()
    with kept as where, tempfile.TemporaryDirectory() as home:
        for kind in kinds:
            bundle = prepared(kind, given.size, given.seed, Path(where), folder=True)
            _tell(f"{kind} {given.size}")
            contestants = everyone(bundle)
            rounds(contestants, given.runs, home)
            sections += [f"## {kind}, {given.size}, {given.runs} rounds", "", _about(bundle), ""]
            sections += [*side_by_side(bundle, contestants), "", *_in_words(contestants, bundle.size), ""]
            if given.bundles is None and bundle.folder is not None:
                shutil.rmtree(bundle.folder)
        for kind in given.scaling_kinds.split(",") if sizes else ():
            measured = []
            for size in sizes:
                bundle = prepared(kind, size, given.seed, Path(where), folder=False)
                _tell(f"{kind} {size}")
                pair = of_zip(bundle)
                rounds(pair, given.scaling_runs, home)
                measured.append((size, bundle, pair, _events(bundle)))
            sections += [f"## How cost grows: {kind}, {given.scaling_runs} rounds", "", *growth(measured), ""]
        if sizes:
            sections += [f"The bound is {MEMORY / 1e6:.0f} MB and {MEMORY_OF_EVENT} bytes for each event.", ""]
    text = page(_command(given), sections, contestants)
    sys.stdout.write(text)
    _tell(f"measured in {(time.perf_counter() - began) / 60:.1f} minutes")
    if given.write is not None:
        given.write.write_text(text + _kept_of(given.write), encoding="utf-8")


if __name__ == "__main__":
    main()
