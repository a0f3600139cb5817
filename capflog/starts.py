"""The starts of CES: which lines of the CiscoRA log and of error.log tell of one and the same start.

NGINX writes each start-up record of level warn or worse twice: to error.log with its time, and without one to standard
error, which is the CiscoRA log (nginx ngx_log.c). So a start has one block of lines in each file, and the block in
error.log gives the other its time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import rotation_key
from capflog.table import NONE

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


@dataclass(slots=True)
class Block:
    """The lines of one start in one file: rows of the table in the order of the file."""

    source: str
    rows: list[int] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    pid: int | None = None
    failures: list[str] = field(default_factory=list)

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
    rows = table.of_source(source)
    if not len(rows):
        return []
    kinds = np.array(table.kinds, dtype=object)[table.kind]
    codes, names = table.member, table.members
    connection = table.numbers("connection") == NONE
    pids = table.numbers("pid")
    details = table.words("detail")
    numbers = table.numbers("code")
    order = sorted({int(codes[i]) for i in rows}, key=lambda code: rotation_key(str(names[code])))
    blocks: list[Block] = []
    for member in order:
        block: Block | None = None
        for i in rows[codes[rows] == member]:
            kind = str(kinds[i])
            if kind in SERVING:
                block = None
                continue
            if kind not in START_KINDS or not connection[i]:
                continue
            pid = None if pids[i] == NONE else int(pids[i])
            if block is not None and _begins_anew(block, kind, pid):
                block = None
            if block is None:
                block = Block(source)
                blocks.append(block)
            block.rows.append(int(i))
            block.kinds.add(kind)
            if kind in FAILURES:
                number = "" if numbers[i] == NONE else str(int(numbers[i]))
                block.failures.append(f"{kind} {number} {details[i]}")
            if pid is not None:
                block.pid = pid
            if kind == "ces.started":
                block = None
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
    starts: list[Start] = []
    free = len(nginx)
    for block in reversed(ciscora):
        twin = next((k for k in range(free - 1, -1, -1) if _alike(block, nginx[k])), None)
        if twin is None:
            starts.append(Start(block, None))
            continue
        starts += [Start(None, nginx[k]) for k in range(free - 1, twin, -1)]
        starts.append(Start(block, nginx[twin]))
        free = twin
    starts += [Start(None, nginx[k]) for k in range(free - 1, -1, -1)]
    return starts[::-1]


def _alike(ciscora: Block, nginx: Block) -> bool:
    if not ciscora.failures or not nginx.failures:
        return not ciscora.failures and not nginx.failures
    return set(ciscora.failures) <= set(nginx.failures) or set(nginx.failures) <= set(ciscora.failures)
