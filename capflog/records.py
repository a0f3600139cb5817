"""The records of enrollments, made out of the table where they are asked for: a storm has millions of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from capflog.advance import step_named
from capflog.facts import when
from capflog.model import Record
from capflog.sieve import blocks, gathered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.advance import Advance
    from capflog.model import Enrollment
    from capflog.story import Story
    from capflog.table import Table

#: How many records are read at a time by who goes through all of them: their texts stay within some MB.
RECORDS_AT_ONCE = 1 << 14


class Recorder:
    """Makes the records of enrollments and of starts out of a table's rows."""

    def __init__(self, table: Table, advance: Advance) -> None:
        self.table = table
        self._advance = advance

    def of_story(self, story: Story) -> list[Record]:
        """Make an enrollment's records, in its order."""
        rows = np.asarray(story.order, dtype=np.int64)
        return self.of_rows(rows, self._advance.steps(rows, np.zeros(len(rows), dtype=np.int64)), story.likely)

    def of_rows(self, rows: np.ndarray, steps: np.ndarray, likely: frozenset[int] = frozenset()) -> list[Record]:
        """Make records of rows that show these steps (see :meth:`capflog.advance.Advance.steps`)."""
        table = self.table
        table.keep_texts(rows.tolist())
        names, kinds, shapes = table.members, table.kinds, table.vocabulary.shapes
        times = [column[rows].tolist() for column in (table.time, table.earliest, table.latest)]
        records = []
        for row, member, line, kind, shape, time, earliest, latest, step, fault in zip(
            rows.tolist(),
            table.member[rows].tolist(),
            table.line[rows].tolist(),
            table.kind[rows].tolist(),
            table.shape[rows].tolist(),
            *times,
            steps.tolist(),
            self._advance.faults(rows).tolist(),
            strict=True,
        ):
            at = when(time)
            records.append(
                Record(
                    member=names[member],
                    line=line,
                    source=table.source_of(row),
                    event=kinds[kind],
                    time=at,
                    earliest=at if earliest == time else when(earliest),
                    latest=at if latest == time else when(latest),
                    confidence="likely" if row in likely else "certain",
                    text=table.text(row),
                    level=shapes[shape].level,
                    step=step_named(step),
                    fault=fault,
                )
            )
        return records


class Records(Sequence[Record]):
    """An enrollment's records, made anew each time that they are asked for; their number costs nothing."""

    __slots__ = ("recorder", "story")

    def __init__(self, recorder: Recorder, story: Story) -> None:
        self.recorder = recorder
        self.story = story

    def __len__(self) -> int:
        return len(self.story.order)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        return self.recorder.of_story(self.story)[place]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.recorder.of_story(self.story))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Records | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


def in_blocks(enrollments: Sequence[Enrollment]) -> Iterator[Sequence[Enrollment]]:
    """Give enrollments out in blocks, the texts of whose records are at hand until the next is asked for.

    The lines of a block are read back all at once, which for each enrollment by itself would take ages.
    """
    for begin, end in blocks([len(e.records) for e in enrollments], RECORDS_AT_ONCE):
        block = enrollments[begin:end]
        lazy = [e.records for e in block if isinstance(e.records, Records)]
        table = lazy[0].recorder.table if lazy else None
        if table is not None:
            rows, _ = gathered([records.story.order for records in lazy])
            table.keep_texts(rows.tolist())
        yield block
        if table is not None:
            table.forget_texts()
