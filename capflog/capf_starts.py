"""The starts of CAPF: it reads its service parameters, has CES started and sets up its EST client.

CAPF's trace tells it line by line (Cisco 214396, "CAPF Starting Up as seen in the CAPF logs"):
``CServiceParameters::Init()`` and ``OnlineCAInit()`` name the parameters in some 200 ms, CES takes its minute to start,
and ``setUpESTClient`` follows on that within half a second.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.collected import node_of
from capflog.facts import when
from capflog.model import CapfStart, StartLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capflog.attempts import Trace
    from capflog.table import Table

#: The steps in their order; a start is done with ``auth``.
STEPS = ("parameters", "read", "ces", "client", "cacert", "context", "credentials", "auth", "server")

#: Steps in words, for people.
WORDS = {
    "parameters": "service parameters",
    "read": "all parameters read",
    "ces": "start of CES",
    "client": "EST client",
    "cacert": "CA certificate",
    "context": "EST context",
    "credentials": "CA credentials",
    "auth": "EST authentication",
    "server": "EST server's details",
}

_DONE = STEPS.index("auth")

#: Lines further apart are not of one start: CES may take minutes to start where the CA does not answer. (ms)
SILENCE_MS = 600_000

#: All parameters are read in one go: what comes this long after the line before is of another start. (ms)
READ_MS = 30_000

#: CAPF does not stop and start within this: a parameter told twice so fast is told twice by one start. (ms)
_TWICE_MS = 2_000

_KINDS = ("capf.param", "capf.init", "ces.start.requested", "est.client.setup")

#: What the lines of ``setUpESTClient`` tell of, looked for in this order.
_SETUP = (
    ("auth", re.compile(r"est_client_set_auth", re.I)),
    ("server", re.compile(r"set[_ ]server", re.I)),
    ("credentials", re.compile(r"credentials", re.I)),
    ("cacert", re.compile(r"ca ?cert", re.I)),
    ("context", re.compile(r"context|ectx|est_client_init", re.I)),
    ("client", re.compile(r"set(?:ting)? ?up", re.I)),
)
_READ = re.compile(r"parameters? done|online ?ca initialized", re.I)
_FAILED = re.compile(r"\b(?:fail\w*|error|unable|could not|cannot|exception)\b", re.I)

#: The functions of a start; the parameters may be asked for by others, too.
_INIT = re.compile(r"Init(?!\w)")

#: Names of parameters whose values nobody may see.
_SECRET = re.compile(r"pass(?:word|wd|phrase|code)|pwd|secret|credential|private_key")


def is_online(method: str) -> bool:
    """Tell whether a Certificate Generation Method is an Online CA (``OnlineCA``, ``Online CA``)."""
    return "online" in method.lower()


@dataclass(slots=True)
class Begun:
    """A start of CAPF with its rows of the table in the trace's order, and the step that each row shows, if any.

    ``position``: of its first line in the trace; ``last``: of its last one, ``at`` the time of that, in trace ms.
    ``furthest``: the last step that succeeded, as its place in :data:`STEPS`; -1: none. ``faults``: the rows that tell
    of a failure; ``failed``: the steps that failed and did not succeed after that ("": it is not told which).
    ``served``: CAPF calls EST for a phone before anything of another start.
    """

    folder: int
    position: int
    last: int
    at: int
    rows: list[int] = field(default_factory=list)
    parameters: dict[str, str | None] = field(default_factory=dict)
    steps: dict[int, str] = field(default_factory=dict)
    faults: set[int] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    furthest: int = -1
    served: bool = False

    @property
    def online(self) -> bool:
        """Whether an Online CA is to sign, as far as it is told: else there is nothing further to set up."""
        method = self.parameters.get("certificate_method")
        return method is None or is_online(method)

    @property
    def reached(self) -> str | None:
        """The last step that was done before the one that is missing."""
        missing = self.missing
        bound = len(STEPS) if missing is None else STEPS.index(missing)
        done = {STEPS.index(step) for row, step in self.steps.items() if row not in self.faults}
        last = max((place for place in done if place < bound), default=-1)
        return STEPS[last] if last >= 0 else None

    @property
    def missing(self) -> str | None:
        """The step that failed, or the next one where the lines break off."""
        following = min(self.furthest + 1, len(STEPS) - 1)
        if self.failed:
            return min(self.failed - {""}, key=STEPS.index, default=STEPS[following])
        return None if self.ok else STEPS[following]

    @property
    def ok(self) -> bool | None:
        """Whether it went well; None where its lines do not say."""
        if self.failed:
            return False
        return True if self.served or not self.online or self.furthest >= _DONE else None


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a start: its row, its place and time in the trace, its kind, the step that it shows."""

    row: int
    position: int
    at: int
    kind: str
    step: str | None
    failed: bool
    parameter: str | None
    value: str | None


def find_capf_starts(table: Table, trace: Trace) -> list[Begun]:
    """Find the starts of CAPF in its trace, in the order of that."""
    edges = [*trace.begins, len(trace.rows)]
    found: list[Begun] = []
    begun: Begun | None = None
    named = _FirstNamed(table, trace)
    for line in _lines(table, trace):
        folder = bisect_right(edges, line.position) - 1
        if begun is not None and begun.folder != folder:
            begun = None
        if begun is not None and line.step == "client" and begun.furthest >= _DONE:
            # The client is set up anew while CAPF lives on.
            begun = None
        if begun is not None and _begins_anew(begun, line):
            begun = None
        if begun is None:
            # What sets the EST client up is the end of a start where the trace begins within that.
            if line.kind == "est.client.setup" and named.before(line.position, edges[folder]):
                continue
            begun = Begun(folder, line.position, line.position, line.at)
            found.append(begun)
        _take(begun, line)
    found = [one for one in found if one.steps or one.faults]
    calls = trace.positions(table.rows_of("est.enroll.call"))
    for one, after in pairwise([*found, None]):
        assert one is not None
        until = edges[one.folder + 1] if after is None or after.folder != one.folder else after.position
        first = np.searchsorted(calls, one.last)
        one.served = bool(first < len(calls) and calls[first] < until)
        if one.served:
            # What words alone tell of a failure was none that matters.
            one.failed.discard("")
    return found


def _lines(table: Table, trace: Trace) -> Iterable[_Line]:
    """Read the lines that a start may consist of, in the trace's order."""
    positions = trace.positions(table.rows_of(*_KINDS))
    rows = trace.rows[positions].astype(np.int64)
    words = (table.words(name, rows).tolist() for name in ("parameter", "value", "function", "detail"))
    for row, position, at, parameter, value, function, detail in zip(
        rows.tolist(), positions.tolist(), trace.unrolled[positions].tolist(), *words, strict=True
    ):
        kind, said = table.kind_of(row), detail or ""
        step, failed = None, False
        if kind == "ces.start.requested":
            step = "ces"
        elif kind == "est.client.setup":
            step = next((name for name, sign in _SETUP if sign.search(said)), None)
            failed = table.word("level", row) == "error"
        elif _INIT.search(function or "") is None:
            continue
        elif kind == "capf.param":
            step = "parameters"
        else:
            failed = _FAILED.search(said) is not None
            step = "read" if _READ.search(said) else None
        yield _Line(row, position, at, kind, step, failed, parameter, value)


class _FirstNamed:
    """Where a folder's first line stands that names a device: asked for where it matters, which is rare."""

    def __init__(self, table: Table, trace: Trace) -> None:
        self._table, self._trace = table, trace
        self._first: dict[int, int] = {}

    def before(self, position: int, begin: int) -> bool:
        """Tell whether one stands before a position, in the folder that begins there."""
        if begin not in self._first:
            edges = [*self._trace.begins, len(self._trace.rows)]
            end = edges[edges.index(begin) + 1]
            named = self._table.device[self._trace.rows[begin:end]] >= 0
            self._first[begin] = begin + int(named.argmax()) if named.any() else end
        return self._first[begin] < position


def _begins_anew(begun: Begun, line: _Line) -> bool:
    """Tell whether a line cannot belong to the start that is under way."""
    silence = line.at - begun.at
    if silence > SILENCE_MS:
        return True
    asked = begun.furthest >= STEPS.index("ces")
    if line.kind == "capf.param":
        return asked or silence > READ_MS or (line.parameter in begun.parameters and silence > _TWICE_MS)
    if line.kind == "capf.init":
        return asked and silence > READ_MS
    return line.kind == "ces.start.requested" and asked


def _take(begun: Begun, line: _Line) -> None:
    begun.rows.append(line.row)
    begun.last, begun.at = line.position, max(begun.at, line.at)
    if line.step is not None:
        begun.steps[line.row] = line.step
    if line.failed:
        begun.faults.add(line.row)
        begun.failed.add(line.step or "")
    elif line.step is not None:
        begun.failed.discard(line.step)
        begun.furthest = max(begun.furthest, STEPS.index(line.step))
    if line.parameter is not None:
        secret = _SECRET.search(line.parameter) is not None
        begun.parameters[line.parameter] = None if secret else line.value or None


def described(starts: Sequence[Begun], table: Table) -> list[CapfStart]:
    """Make what a report shows of the starts, in the order of time; their rows have their times by then."""
    nodes = [node_of(table.member_of(start.rows[0])) for start in starts]
    several = len(set(nodes)) > 1
    told = [_described(start, node if several else "", table) for start, node in zip(starts, nodes, strict=True)]
    told.sort(key=lambda start: (start.started is None, start.started))
    known: dict[str, dict[str, str | None]] = {}
    for start in told:
        before = known.setdefault(start.node, {})
        start.changed = [
            (name, before[name], value)
            for name, value in start.parameters.items()
            if name in before and before[name] != value
        ]
        # A start that is cut does not tell all of them.
        before |= start.parameters
    return told


def _described(start: Begun, node: str, table: Table) -> CapfStart:
    rows = np.array(start.rows, dtype=np.int64)
    lines = [
        StartLine(
            table.members[member], line, table.kind_of(row), when(time), start.steps.get(row), row in start.faults
        )
        for row, member, line, time in zip(
            start.rows,
            table.member[rows].tolist(),
            table.line[rows].tolist(),
            table.time[rows].tolist(),
            strict=True,
        )
    ]
    return CapfStart(
        lines[0].time,
        lines[-1].time,
        start.ok,
        start.parameters,
        start.reached or "none",
        start.missing,
        lines,
        node=node,
    )
