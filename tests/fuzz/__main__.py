"""``python -m tests.fuzz NAME --seconds N``: run a harness; what it finds is left in a file that runs again."""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import importlib.util
import sys
import tempfile
import traceback
from pathlib import Path

from tests.fuzz import HARNESSES, harness


def main() -> None:
    """Run what the words say; exit status 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("name", choices=list(HARNESSES), help="; ".join(f"{n}: {w}" for n, w in HARNESSES.items()))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corpus", type=Path, help="a folder that is begun with, and added to (atheris)")
    parser.add_argument("--found", type=Path, default=Path(tempfile.gettempdir()), help="where findings are put")
    parser.add_argument("--plain", action="store_true", help="without atheris, though it is installed")
    parser.add_argument("--again", type=Path, action="append", default=[], help="try these files alone")
    asked = parser.parse_args()
    if asked.again:
        for path in asked.again:
            harness(asked.name).once(path.read_bytes())
    elif asked.plain or importlib.util.find_spec("atheris") is None:
        _mutate(asked)
    else:
        _guided(asked)


def _mutate(asked: argparse.Namespace) -> None:
    from tests.fuzz.mutating import FoundError, try_each

    faulthandler.dump_traceback_later(asked.seconds + 120, exit=True)
    try:
        count = try_each(harness(asked.name), asked.seed, seconds=asked.seconds)
    except FoundError as found:
        traceback.print_exception(found.__cause__)
        path = asked.found / f"{asked.name}-{hashlib.sha256(found.data).hexdigest()[:12]}"
        path.write_bytes(found.data)
        sys.stdout.write(f"found: {found}\nkept as {path}\n")
        sys.exit(1)
    sys.stdout.write(f"{asked.name}: {count} inputs, nothing found\n")


def _guided(asked: argparse.Namespace) -> None:
    import atheris

    with atheris.instrument_imports(include=["capflog"]):
        chosen = harness(asked.name)
        seeds = chosen.seeds()
    with tempfile.TemporaryDirectory() as folder:
        corpus = asked.corpus or Path(folder) / "corpus"
        corpus.mkdir(parents=True, exist_ok=True)
        for data in seeds:
            (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        words = Path(folder) / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in chosen.WORDS), encoding="ascii")
        atheris.Setup(
            [
                f"capflog-{asked.name}",
                f"-max_total_time={int(asked.seconds)}",
                f"-seed={asked.seed + 1}",
                f"-dict={words}",
                f"-artifact_prefix={asked.found}/{asked.name}-",
                "-timeout=20",
                "-rss_limit_mb=3000",
                f"-max_len={max(4096, *(2 * len(data) for data in seeds))}",
                "-print_final_stats=1",
                str(corpus),
            ],
            chosen.once,
            enable_python_coverage=True,
        )
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
