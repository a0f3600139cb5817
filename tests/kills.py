"""``python -m tests.kills 200``: analyses that are killed at random moments, and what they leave.

Each is a process of its own that keeps its analysis and writes a file. SIGKILL ends it somewhere on its way, half of
them while they keep it. Then the store opens without a word, every run in it is whole, none is lost, and the file is
the old one or the new one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from capflog.store import Store
from tests.conftest import ROOT

SAMPLES = ("healthy", "ca-dns-failure", "ces-no-answer")


def warm() -> None:
    """Load what an analysis loads, so that those that are started need not."""
    from click.testing import CliRunner

    from capflog.cli import cli

    CliRunner().invoke(cli, ["analyze", "--no-store", str(ROOT / "samples" / f"{SAMPLES[0]}.zip")])


def start(store: Path, sample: str, output: Path, told: int | None = None) -> int:
    """Start an analysis; give its process. ``told``: it writes a byte there when it begins to keep it."""
    process = os.fork()
    if process:
        return process
    code = 99
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        from capflog.cli import main

        if told is not None:
            kept = Store.keep

            def keep(*given: object) -> int:
                os.write(told, b"x")
                return kept(*given)  # type: ignore[arg-type]

            Store.keep = keep  # type: ignore[method-assign, assignment]
        path = str(ROOT / "samples" / f"{sample}.zip")
        sys.argv = ["capflog", "analyze", path, "--store", str(store), "--output", str(output)]
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def runs_of(store: Path) -> list[str]:
    """Give the reports in the store, the oldest first, having seen that each can be asked."""
    with Store.open(store, create=False) as kept:
        reports = []
        for run in sorted(kept.runs(), key=lambda run: run.id):
            reports.append(kept.report(run.id))
            for device in kept.devices(run.id)[:1]:
                assert kept.timeline(run.id, device, every=True) is not None
        assert kept.notices == [], kept.notices
    return reports


def loop(times: int, seed: int, folder: Path) -> tuple[int, int]:
    """Kill so many analyses; give how many were killed, and how many of these had kept theirs already."""
    warm()
    draw = random.Random(seed)
    whole: dict[str, str] = {}
    took = 0.0
    for sample in SAMPLES:
        begun = time.monotonic()
        os.waitpid(start(folder / f"{sample}.db", sample, folder / f"{sample}.json"), 0)
        took = time.monotonic() - begun
        (whole[sample],) = runs_of(folder / f"{sample}.db")
    store, output = folder / "store" / "capflog.db", folder / "out" / "report.json"
    output.parent.mkdir()
    before: list[str] = []
    written: str | None = None
    killed = late = 0
    for number in range(times):
        sample = draw.choice(SAMPLES)
        end, ours = os.pipe()
        process = start(store, sample, output, ours)
        os.close(ours)
        if number % 2:
            os.read(end, 1)  # it begins to keep it (or has ended)
            time.sleep(draw.random() * 0.05)
        else:
            time.sleep(draw.random() * took)
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        os.close(end)
        killed += os.WIFSIGNALED(status)
        now = runs_of(store)
        # (The last ten are kept.)
        assert now in (before, [*before, whole[sample]][-10:]), f"{number}: {len(before)} runs, then {len(now)}"
        late += os.WIFSIGNALED(status) and now != before
        others = {path.name for path in store.parent.iterdir()} if store.parent.exists() else set()
        assert others <= {store.name, f"{store.name}-wal", f"{store.name}-shm", f"{store.name}-journal"}, others
        text = output.read_text(encoding="utf-8") if output.exists() else None
        if text != written:
            assert text == (folder / f"{sample}.json").read_text(encoding="utf-8")
            json.loads(text or "")
        before, written = now, text
    return killed, late


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
        number_killed, number_late = loop(count, int(sys.argv[2]) if len(sys.argv) > 2 else 0, Path(place))
        sys.stdout.write(
            f"{count} analyses, {number_killed} killed ({number_late} of them had kept theirs): "
            "the store opened and was right each time\n"
        )
