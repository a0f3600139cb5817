"""How far enrollments came: what :mod:`capflog.steps` says of one row, said of all rows at once.

What a row shows depends on a few of its values, and few of those differ: each combination is asked once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capflog.facts import distinct, rows_by_kind
from capflog.sieve import blocks, gathered
from capflog.steps import STEPS, is_fault, last_step, steps_done
from capflog.table import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.steps import Columns
    from capflog.story import Story
    from capflog.table import Table

#: The values that a row's step, its success and its fault depend on beside its kind (see :mod:`capflog.steps`).
ASKED: dict[str, tuple[str, ...]] = {
    "curl.ok": ("url", "function"),
    "iis.request": ("url", "status", "win32", "user"),
    "est.enroll.result": ("error", "code"),
    "est.enroll.return": ("code",),
    "est.access": ("status",),
    "capf.message": ("message",),
    "capf.op.status": ("error",),
}

#: No step.
NO_STEP = 0

#: A row's step is kept as its place in STEPS and one more (0: none) in these bits of a byte; two bits are left.
_STEP, _DONE, _FAULT = 0x0F, 0x10, 0x20

_LOGIN, _FORM, _SECOND, _ANSWER = (STEPS.index(step) + 1 for step in ("login", "form", "second-login", "answer"))


class Advance:
    """Steps and faults of a table's rows. ``marks``: a byte for each row, see the bits above."""

    def __init__(self, columns: Columns, table: Table) -> None:
        self._table = table
        # Of the other kinds every row says the same.
        same = np.zeros(len(table.kinds) + 1, dtype=np.uint8)
        kinds, first = np.unique(table.kind, return_index=True)
        for kind, row in zip(kinds.tolist(), first.tolist(), strict=True):
            if table.kinds[kind] not in ASKED:
                same[kind] = _mark(columns, row)
        self.marks: np.ndarray = same[table.kind]
        for name, rows in rows_by_kind(table, ASKED.keys()).items():
            if len(rows):
                alike, numbers = self._alike(rows, ASKED[name])
                self.marks[rows] = np.array([_mark(columns, row) for row in alike], dtype=np.uint8)[numbers]

    def _alike(self, rows: np.ndarray, names: Sequence[str]) -> tuple[list[int], np.ndarray]:
        """Tell rows of one kind apart by those values: (a row of each sort, for each row the number of its sort)."""
        numbers = np.zeros(len(rows), dtype=np.int64)
        first = np.zeros(1, dtype=np.int64)
        for name in names:
            if name in NUMBERS:
                column, words = self._table.numbers(name, rows), None
            else:
                column, words = self._table.codes(name, rows)
            if (column == column[0]).all():
                continue
            if words is None:
                values, places = np.unique(column, return_inverse=True)
            else:
                values, places = distinct(column, len(words))
            _, first, numbers = np.unique(numbers * len(values) + places, return_index=True, return_inverse=True)
        found: list[int] = rows[first].tolist()
        return found, numbers

    def faults(self, rows: np.ndarray) -> np.ndarray:
        """Tell of each row whether it tells of a failure."""
        found: np.ndarray = (self.marks[rows] & _FAULT) != 0
        return found

    def steps(self, rows: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """Give the steps that rows show, each enrollment's (``owner``, rising) in the order of time.

        A step is its place in STEPS and one more; :data:`NO_STEP`: none. See :func:`capflog.steps.steps_done`.
        """
        marks = self.marks[rows]
        steps: np.ndarray = marks & _STEP
        login = np.flatnonzero(steps == _LOGIN)
        form = np.flatnonzero((steps == _FORM) & ((marks & _DONE) != 0))
        if len(login) and len(form):
            # Each log counts for itself, since their clocks agree to a second at best.
            log = owner.astype(np.int64) << 8 | self._table.source[rows]
            logs, at = np.unique(log[form], return_index=True)
            # The first form of each log: what is found first stands first.
            place = np.searchsorted(logs, log[login])
            place[place == len(logs)] = 0
            second = (logs[place] == log[login]) & (form[at[place]] < login)
            steps[login[second]] = _SECOND
        return steps

    def reached(self, stories: Sequence[Story]) -> np.ndarray:
        """Give the last step of each enrollment that succeeded, as :meth:`steps` does."""
        found = np.zeros(len(stories), dtype=np.uint8)
        for begin, end in blocks([len(story.order) for story in stories]):
            rows, owner = gathered([story.order for story in stories[begin:end]])
            steps = self.steps(rows, owner)
            steps[(self.marks[rows] & _DONE) == 0] = NO_STEP
            issued = np.array([story.outcome == "issued" for story in stories[begin:end]], dtype=bool)
            # A session that ends without a certificate is no step.
            steps[~issued[owner] & (steps >= _ANSWER)] = NO_STEP
            np.maximum.at(found[begin:end], owner, steps)
        return found


def step_named(step: int) -> str | None:
    """Name a step as :meth:`Advance.steps` gives it."""
    return STEPS[step - 1] if step else None


def _mark(columns: Columns, row: int) -> int:
    """Say of one row, by itself, what it shows."""
    shown = steps_done(columns, (row,))
    mark = STEPS.index(shown[row]) + 1 if row in shown else NO_STEP
    if last_step(columns, shown, issued=True) is not None:
        mark |= _DONE
    return mark | _FAULT if is_fault(columns, row) else mark
