"""One enrollment while it is put together: what CAPF was told of it, the bounds of its time, and its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Outcome = Literal["issued", "failed", "incomplete"]

#: libEST's client gives up this long after it sent its request (EST_SSL_READ_TIMEOUT_DEF, 10 s); less a margin. (ms)
GAVE_UP_MS = 9_000

#: How long after CAPF gave up CES's late answer is still looked for. (ms)
LATE_MS = 60_000

#: CAPF's lines and CES's may stand this much outside of each other's bounds. (ms)
SLACK_MS = 1_000

#: Requests of CES to the CA that follow one another by less than this belong to one enrollment. (ms)
CHAIN_GAP_MS = 30_000

NO_ROWS = np.zeros(0, dtype=np.int64)

#: What most enrollments have that is only likely theirs: nothing.
NONE_LIKELY: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False)
class Story:
    """One enrollment with its rows of the table; times in ms since 1970 UTC."""

    device: str | None
    begin: int
    end: int
    answered: int | None
    outcome: Outcome
    error: str | None
    value: int | None
    started: int | None = None
    ended: int | None = None
    order: np.ndarray = field(default_factory=lambda: NO_ROWS)
    """Its rows (int64) in the order in which things happened; while it is put together, those of the log it is from."""
    likely: frozenset[int] = NONE_LIKELY
    """Those of them that are only likely its own."""

    @property
    def gave_up(self) -> bool:
        """Whether CAPF was not answered in time."""
        waited = self.answered - self.begin if self.answered is not None else 0
        return self.error == "EST_ERR_SSL_READ" and waited >= GAVE_UP_MS

    @property
    def until(self) -> int:
        """The latest time at which CES or the CA may have been at work for it."""
        return self.end + (LATE_MS if self.gave_up else SLACK_MS)


def inside(at: np.ndarray, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Tell of each time whether it is in one of the spans."""
    found = np.zeros(len(at), dtype=bool)
    for lo, hi in spans:
        found |= (lo <= at) & (at <= hi)
    return found
