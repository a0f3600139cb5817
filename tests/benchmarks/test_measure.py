"""What the measuring command is made of: runs are watched whole, and what cannot be measured is named."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from .measure import CAPFLOG, CAPFLOG_FOLDER, FLOOR, LNAV, NAIVE, Bundle, Contestant, growth, ratio, side_by_side
from .watch import Run, run

TRUTH = {
    "enrollments": 10,
    "failed": 1,
    "lines": {"capf": 50, "nginx": 20, "iis": 30},
    "bytes": {"capf": 5_000_000, "nginx": 2_000_000, "iis": 3_000_000},
}
BUNDLE = Bundle(Path("bundle.zip"), None, TRUTH)


def measured(name: str, *walls: float, needs: str = "", zipped: bool = False, status: int = 0) -> Contestant:
    """Make a contestant that took so long, round by round."""
    contestant = Contestant(name, name, [name], needs, zipped)
    contestant.runs = [Run(wall, wall / 2, None, status, "out of memory") for wall in walls]
    contestant.watched = Run(1.0, 1.0, 123_000_000, status, "")
    return contestant


def cells(line: str) -> list[str]:
    """Split a row of a table."""
    return [cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="memory is read from /proc")
def test_memory_of_all_processes_of_a_run_counts_together() -> None:
    hold = "kept = b'x' * 40_000_000; import time; "
    one = run([sys.executable, "-c", f"{hold}time.sleep(0.4)"], watched=True)
    child = f"{hold}print(flush=True); input()"
    both = (
        "import subprocess, sys\n"
        "pipe = subprocess.PIPE\n"
        "with subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=pipe, stdout=pipe, text=True) as child:\n"
        f"    child.stdout.readline(); {hold}time.sleep(0.4); child.communicate('go\\n')"
    )
    two = run([sys.executable, "-c", both, child], watched=True)
    assert one.status == two.status == 0
    assert one.peak is not None
    assert two.peak is not None
    assert 40_000_000 < one.peak < 80_000_000 < two.peak


def test_a_run_tells_status_and_last_words() -> None:
    failed = run([sys.executable, "-c", "import sys; sys.exit('first\\nlast')"], watched=False)
    assert (failed.status, failed.said, failed.peak) == (1, "last", None)


def test_cpu_of_child_processes_counts() -> None:
    if shutil.which("sh") is None:
        pytest.skip("no shell")
    busy = "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    assert run(["sh", "-c", '"$1" -c "$2" | cat', "sh", sys.executable, busy], watched=False).cpu >= 0.2


def test_ratios_are_of_the_same_round() -> None:
    slow_machine_in_round_two = measured("a", 2.0, 20.0, 2.2), measured("b", 1.0, 10.0, 1.0)
    assert ratio(*slow_machine_in_round_two) == 2.0


def test_the_table_names_what_is_missing_or_failed() -> None:
    table = side_by_side(
        BUNDLE,
        [
            measured(FLOOR, 1.0, 1.0, zipped=True),
            measured(CAPFLOG, 0.5, 0.7, zipped=True),
            measured(CAPFLOG_FOLDER, 0.4, 0.4),
            measured(NAIVE, 3.0, 3.0, zipped=True, status=137),
            measured(LNAV, needs="no-such-program-here"),
        ],
    )
    assert cells(table[0])[:2] == ["program", "median s"]
    floor, ours, folder, naive, lnav = (cells(line) for line in table[2:])
    assert floor[0] == "unzip -p / wc -l"
    assert ours[1:] == ["0.600", "0.500", "0.700", "17", "0.300", "123", "0.60", "1.00"]
    assert floor[7:] == ["1.00", "1.71"]
    assert folder[7:] == ["0.40", "1.00"]
    assert naive[1] == "*failed with status 137: out of memory*"
    assert lnav[1] == "*no-such-program-here is not installed*"


def test_growth_tells_cost_for_each_gigabyte_and_the_bound_of_memory() -> None:
    (row,) = growth([("10M", BUNDLE, [measured(FLOOR, 1.0), measured(CAPFLOG, 2.0)], 1_000_000)])[2:]
    assert cells(row) == ["10M", "10", "1,000,000", "1.00", "2.00", "2.00", "2.00", "2.00", "200.0", "123", "550"]
