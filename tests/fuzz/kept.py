"""Any bytes as the store's file: it is read, or put aside, and a new analysis can be kept."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from capflog.analysis import analyze_members
from capflog.reports import json as json_report
from capflog.store import Store, StoreProblem
from capflog.timelines import parts
from tests.fuzz.mutating import must
from tests.scenes import at, held, whole

WORDS = (b"SQLite format 3\x00", b"CREATE TABLE runs", b"\x0d\x00\x00\x00", b"\x05\x00\x00\x00", b"CAPF", b"\x00" * 64)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="capflog-fuzz-")


def _save(path: Path) -> None:
    trace, _, asked = whole("SEP74A02FC0A675", at("14:05:00"))
    analysis = analyze_members("bundle", [held("capf00000001.txt", trace), held("x.log", asked)])
    with Store.open(path, create=True) as store:
        store.keep(json_report.pieces(analysis.report, records=False), "bundle", parts(analysis))


@cache
def _seed() -> bytes:
    path = Path(_folder().name) / "seed.db"
    _save(path)
    return path.read_bytes()


def seeds() -> list[bytes]:
    """Make a store of one analysis, and an empty file."""
    return [_seed(), b"", b"SQLite format 3\x00" + bytes(500)]


def once(data: bytes) -> None:
    """Open it to ask, and ask all there is; then to write."""
    with tempfile.TemporaryDirectory(dir=_folder().name) as folder:
        path = Path(folder) / "capflog.db"
        for create in (False, True):
            path.write_bytes(data)
            try:
                with Store.open(path, create=create) as store:
                    for run in store.runs():
                        store.report(run.id)
                        store.zone(run.id)
                        for device in store.devices(run.id)[:3]:
                            store.timeline(run.id, device, every=True)
            except StoreProblem as problem:
                must("\n" not in str(problem))
