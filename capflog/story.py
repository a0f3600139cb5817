"""One enrollment while it is put together: its rows, the bounds of its time, and the order in which things happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from capflog.steps import STEPS, Columns, in_order, step_of
from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

Sure = Literal["certain", "likely"]

#: libEST's client gives up this long after it sent its request (EST_SSL_READ_TIMEOUT_DEF, 10 s); less a margin. (ms)
GAVE_UP_MS = 9_000

#: How long after CAPF gave up CES's late answer is still looked for. (ms)
LATE_MS = 60_000

#: CAPF's lines and CES's may stand this much outside of each other's bounds. (ms)
SLACK_MS = 1_000

#: Requests of CES to the CA that follow one another by less than this belong to one enrollment. (ms)
CHAIN_GAP_MS = 30_000


@dataclass(slots=True, eq=False)
class Story:
    """One enrollment while it is put together: rows of the table with how surely each is its own."""

    device: str | None
    begin: int
    end: int
    answered: int | None
    outcome: Literal["issued", "failed", "incomplete"]
    error: str | None
    value: int | None
    rows: dict[int, Sure] = field(default_factory=dict)
    started: int | None = None
    ended: int | None = None
    order: list[int] = field(default_factory=list)
    """Its rows in the order in which things happened."""

    @property
    def likely(self) -> frozenset[int]:
        """Its rows that are merely likely its own."""
        return frozenset(row for row, sure in self.rows.items() if sure == "likely")

    @property
    def gave_up(self) -> bool:
        """Whether CAPF was not answered in time."""
        waited = self.answered - self.begin if self.answered is not None else 0
        return self.error == "EST_ERR_SSL_READ" and waited >= GAVE_UP_MS

    @property
    def until(self) -> int:
        """The latest time at which CES or the CA may have been at work for it."""
        return self.end + (LATE_MS if self.gave_up else SLACK_MS)


def tighten(columns: Columns, story: Story) -> None:
    """Narrow the bounds of CES's and the CA's records: they came after CAPF's call and before CAPF's answer.

    CES goes on after CAPF gave up, so then the answer is no bound.
    """
    if story.device is None:
        return
    for row in story.rows:
        low, high = int(columns.earliest[row]), int(columns.latest[row])
        if columns.source[row] == "capf" or (high != NONE and high < story.begin) or low > story.end:
            continue
        columns.earliest[row] = max(low, story.begin)
        if not story.gave_up and story.answered is not None:
            columns.latest[row] = story.end if high == NONE else min(high, story.end)
        if columns.time[row] != NONE:
            columns.time[row] = max(int(columns.time[row]), story.begin)
            if columns.latest[row] != NONE:
                columns.time[row] = min(columns.time[row], columns.latest[row])


def in_sequence(columns: Columns, story: Story) -> list[int]:
    """Put an enrollment's rows in the order in which things happened; where times cannot tell, by the steps.

    CES and the CA work between CAPF's call and CAPF's answer, the CA answers a step before CES tells of it. Times of
    whole seconds are moved within their bounds, so that they rise in that order.
    """
    rows = in_order(columns, story.rows)
    if story.device is None or story.answered is None:
        return rows
    answered = story.answered
    progress: dict[str, float] = {}
    opened: set[str] = set()
    place: dict[int, tuple[int, float]] = {}
    for row in sorted(story.rows, key=lambda row: (columns.member[row], columns.line[row])):
        source = str(columns.source[row])
        at = int(columns.time[row])
        if source == "capf":
            place[row] = (0 if at < answered else 2, 0.0)
            continue
        step = step_of(columns, row)
        if step == "login" and source in opened:
            step = "second-login"
        if step == "form":
            opened.add(source)
        known = STEPS.index(step) + (0.5 if source == "nginx" else 0.0) if step in STEPS else 0.0
        if columns.kind[row] in ANSWERS or (
            columns.kind[row] == "est.access" and columns.integer("status", row) != 401
        ):
            known = float(STEPS.index("answer"))
        progress[source] = max(progress.get(source, float(STEPS.index("connect"))), known)
        place[row] = (1, progress[source]) if at <= answered else (2, 0.0)
    rows.sort(key=lambda row: place[row])
    late = [row for row in rows if place[row][0] == 2]
    rows = [row for row in rows if place[row][0] < 2] + in_order(columns, late)
    last = NONE
    for row in rows:
        at = int(columns.time[row])
        if at == NONE:
            continue
        if columns.source[row] != "capf" and at < last:
            high = int(columns.latest[row])
            columns.time[row] = at = last if high == NONE else max(at, min(last, high))
        last = max(last, at)
    return rows


def inside(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(lo <= at <= hi for lo, hi in spans)


#: What libEST logs of a request that it refuses: its answer.
ANSWERS = frozenset({"est.auth.failed", "est.enroll.failed", "est.error.page", "est.response", "est.request.failed"})
