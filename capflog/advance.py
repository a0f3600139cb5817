"""How far enrollments came: what :mod:`capflog.steps` says of single rows, said of many enrollments at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capflog.sieve import blocks, gathered
from capflog.steps import FAULT, STEP, STEPS, UNDONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.steps import Columns
    from capflog.story import Story
    from capflog.table import Table

#: No step.
NO_STEP = 0

#: A row's step is kept as its place in STEPS and one more (0: none) in these bits of a byte; two bits are left.
_STEP, _DONE, _FAULT = 0x0F, 0x10, 0x20

_LOGIN, _FORM, _SECOND, _ANSWER = (STEPS.index(step) + 1 for step in ("login", "form", "second-login", "answer"))


#: What a mark of :meth:`capflog.steps.Columns.marks` comes to here.
_OF_MARK = np.zeros(256, dtype=np.uint8)
for _mark in range(256):
    _step = _mark & STEP if _mark & STEP <= len(STEPS) else NO_STEP
    _OF_MARK[_mark] = _step | (_step != NO_STEP and not _mark & UNDONE) * _DONE | bool(_mark & FAULT) * _FAULT


class Advance:
    """Steps and faults of a table's rows."""

    def __init__(self, columns: Columns, table: Table) -> None:
        self._columns, self._table = columns, table

    def marks(self, rows: np.ndarray) -> np.ndarray:
        """Give a byte for each row, see the bits above."""
        found: np.ndarray = _OF_MARK[self._columns.marks(rows)]
        return found

    def faults(self, rows: np.ndarray) -> np.ndarray:
        """Tell of each row whether it tells of a failure."""
        found: np.ndarray = (self.marks(rows) & _FAULT) != 0
        return found

    def steps(self, rows: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """Give the steps that rows show, each enrollment's (``owner``, rising) in the order of time.

        A step is its place in STEPS and one more; :data:`NO_STEP`: none. See :func:`capflog.steps.steps_done`.
        """
        return self._steps(self.marks(rows), rows, owner)

    def _steps(self, marks: np.ndarray, rows: np.ndarray, owner: np.ndarray) -> np.ndarray:
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
            marks = self.marks(rows)
            steps = self._steps(marks, rows, owner)
            steps[(marks & _DONE) == 0] = NO_STEP
            issued = np.array([story.outcome == "issued" for story in stories[begin:end]], dtype=bool)
            # A session that ends without a certificate is no step.
            steps[(steps >= _ANSWER) & ~issued[owner]] = NO_STEP
            if len(rows):
                heads = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))
                found[begin:end][owner[heads]] = np.maximum.reduceat(steps, heads)
        return found


def step_named(step: int) -> str | None:
    """Name a step as :meth:`Advance.steps` gives it."""
    return STEPS[step - 1] if step else None
