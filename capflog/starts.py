"""The starts of CES: which lines of the CiscoRA log and of error.log tell of one and the same start.

NGINX writes each start-up record of level warn or worse twice: to error.log with its time, and without one to standard
error, which is the CiscoRA log (nginx ngx_log.c). So a start has one block of lines in each file, and the block in
error.log gives the other its time.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import by_member
from capflog.rotation import rotation_key
from capflog.rows import NONE

if TYPE_CHECKING:
    from capflog.table import Table

#: Kinds of events that tell of a start of CES, where no connection stands with them.
START_KINDS = frozenset(
    {
        "curl.ok",
        "curl.failed",
        "curl.url",
        "curl.data",
        "ces.cert.added",
        "ces.chain.unset",
        "ces.chain.ok",
        "ces.chain.failed",
        "ces.login.failed",
        "ces.pop.off",
        "ces.plugin",
        "ces.service",
        "ces.started",
        "est.version",
        "est.ssl.version",
        "nginx.bind.failed",
        "nginx.config.failed",
        "nginx.started",
    }
)
FAILURES = frozenset(
    {"curl.failed", "ces.login.failed", "ces.chain.failed", "nginx.bind.failed", "nginx.config.failed"}
)
SUCCESSES = frozenset({"ces.chain.ok", "ces.started", "nginx.started"})
#: What libEST logs only while it serves: a start is over when one of these stands in its file.
SERVING = frozenset({"est.peer", "est.request", "est.access", "est.auth.challenge", "est.client.nocert"})


#: Processes that NGINX starts one after another have numbers this near to each other, where the system is not busy with
#: others; numbers begin anew after the last one (Linux: kernel.pid_max, 32768 unless it was raised).
PIDS_APART, PIDS = 64, 32768

#: A start's twin is looked for among so many before it.
_NEAR = 64


@dataclass(slots=True)
class Block:
    """The lines of one start in one file: rows of the table in the order of the file."""

    source: str
    rows: list[int] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    pid: int | None = None
    failures: list[str] = field(default_factory=list)
    served: bool = False
    """CES is seen to serve after it, before anything of another start."""

    @property
    def ok(self) -> bool | None:
        """Whether CES started well; None where its lines do not say."""
        if self.failures:
            return False
        return True if self.kinds & SUCCESSES else None


@dataclass(slots=True)
class Start:
    """One start of CES with its block in each of the two files (either may be missing)."""

    ciscora: Block | None
    nginx: Block | None
    requests: list[int] = field(default_factory=list)
    """CES's requests to the CA while it started: rows of IIS, once they are put to it."""

    @property
    def blocks(self) -> list[Block]:
        """The blocks that there are."""
        return [block for block in (self.nginx, self.ciscora) if block is not None]

    @property
    def rows(self) -> list[int]:
        """Every row of it, those of error.log first."""
        return [*(row for block in self.blocks for row in block.rows), *self.requests]

    @property
    def served(self) -> bool:
        """Whether CES is seen to serve after it."""
        return any(block.served for block in self.blocks)

    @property
    def ok(self) -> bool | None:
        """Whether CES started well; a failure in either file counts."""
        said = [block.ok for block in self.blocks]
        if False in said:
            return False
        return True if True in said else None

    @property
    def pid(self) -> int | None:
        """Process id of the NGINX master, as EnrollmentService.sh tells it, else of the starting process."""
        pids = [block.pid for block in reversed(self.blocks) if block.pid is not None]
        return pids[0] if pids else None


def find_blocks(table: Table, source: str) -> list[Block]:
    """Cut one source's start-up lines into starts, in the order of its files."""
    here = table.of_source(source)
    kind = table.kind[here]
    starting, serving_kinds = (
        np.array([name in kinds for name in table.kinds], dtype=bool) for kinds in (START_KINDS, SERVING)
    )
    rows = here[starting[kind]]
    rows = rows[table.numbers("connection", rows) == NONE]
    if not len(rows):
        return []
    serving = by_member(table, here[serving_kinds[kind]])
    files = sorted(by_member(table, rows).items(), key=lambda item: rotation_key(table.members[item[0]]))
    blocks: list[Block] = []
    for member, own in files:
        block: Block | None = None
        last: Block | None = None
        # How many lines that CES writes only while it serves stand before each.
        at_work = serving.get(member, rows[:0])
        served = np.searchsorted(at_work, own)
        over = np.diff(served, prepend=served[0]) > 0
        lines = zip(
            own.tolist(),
            over.tolist(),
            table.kind[own].tolist(),
            table.numbers("pid", own).tolist(),
            table.numbers("code", own).tolist(),
            strict=True,
        )
        for row, ended, number, process, code in lines:
            kind = table.kinds[number]
            pid = None if process == NONE else process
            if ended and last is not None:
                last.served = True
            if block is not None and (ended or _begins_anew(block, kind, pid)):
                block = None
            if block is None:
                block = last = Block(source)
                blocks.append(block)
            block.rows.append(row)
            block.kinds.add(kind)
            if kind in FAILURES:
                said = "" if code == NONE else code
                block.failures.append(f"{kind} {said} {table.word('detail', row)}")
            if pid is not None:
                block.pid = pid
            if kind == "ces.started":
                block = None
        if last is not None and len(at_work) > served[-1]:
            last.served = True
    return [block for block in blocks if block.ok is not None or len(block.rows) > 1]


def _begins_anew(block: Block, kind: str, pid: int | None) -> bool:
    """Tell whether a line cannot belong to the start that is under way."""
    if pid is not None and block.pid is not None and pid != block.pid and kind not in ("ces.started", "nginx.started"):
        return True
    if kind == "ces.chain.unset":
        return bool(block.kinds - {"ces.chain.unset"})
    if kind == "est.version":
        return "est.version" in block.kinds
    if kind in ("curl.ok", "curl.failed"):
        return bool(block.kinds & {"ces.chain.ok", "ces.chain.failed", "nginx.started"})
    return "nginx.started" in block.kinds and kind not in ("nginx.started", "ces.started")


def find_starts(table: Table) -> list[Start]:
    """Find the starts of CES and pair their blocks in the two files, the latest with the latest.

    Two blocks are one start where they fail alike, or both do not fail.
    """
    ciscora = find_blocks(table, "ciscora")
    nginx = find_blocks(table, "nginx")
    # Of blocks that fail alike there are many, of ways to fail there are few.
    ways: dict[frozenset[str], list[int]] = {}
    for k, block in enumerate(nginx):
        ways.setdefault(frozenset(block.failures), []).append(k)
    starts: list[Start] = []
    free = len(nginx)
    for block in reversed(ciscora):
        alike = [own for way, own in ways.items() if _alike(block, way)]
        twin = max((_last_below(own, free) for own in alike), default=-1)
        if twin >= 0 and not _one_process(block, nginx[twin]):
            # Its process's number tells it from the others, if any is its own.
            near = (own[max(0, bisect_left(own, free) - _NEAR) : bisect_left(own, free)] for own in alike)
            others = (k for own in near for k in own if _one_process(block, nginx[k]))
            twin = max(others, default=-1)
        if twin < 0:
            starts.append(Start(block, None))
            continue
        starts += [Start(None, nginx[k]) for k in range(free - 1, twin, -1)]
        starts.append(Start(block, nginx[twin]))
        free = twin
    starts += [Start(None, nginx[k]) for k in range(free - 1, -1, -1)]
    return starts[::-1]


def _one_process(ciscora: Block, nginx: Block) -> bool:
    """Tell whether blocks may be of one process: the one that starts, and the NGINX master that it leaves behind."""
    if ciscora.pid is None or nginx.pid is None:
        return True
    return 0 <= (ciscora.pid - nginx.pid) % PIDS <= PIDS_APART


def _last_below(numbers: list[int], bound: int) -> int:
    """Give the last of the (sorted) numbers that is below the bound, -1 where none is."""
    k = bisect_left(numbers, bound)
    return numbers[k - 1] if k else -1


def _alike(ciscora: Block, nginx: frozenset[str]) -> bool:
    """Tell whether a block of the CiscoRA log fails as one of error.log does, of which the failures are given."""
    if not ciscora.failures or not nginx:
        return not ciscora.failures and not nginx
    return nginx.issubset(ciscora.failures) or nginx.issuperset(ciscora.failures)
