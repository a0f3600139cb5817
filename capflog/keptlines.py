"""The lines that the store holds of an analysis, one by one (:func:`capflog.eventlines.kept_lines`)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.eventlines import ROWS_AT_ONCE, EventLine
from capflog.events import SOURCES
from capflog.unpacking import EPOCH, NONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from capflog.store import Store
    from capflog.unpacking import Lines, Sheaf


def in_time(store: Store, run_id: int) -> Iterator[EventLine]:
    """Give the lines in the order of time; see :func:`capflog.eventlines.kept_lines`."""
    whose = _Whose(store, run_id)
    blocks, places, rows = _kept_in_time(store, run_id, whose)
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(begin, begin + ROWS_AT_ONCE)
        held = {block: store.lines(run_id, block) for block in sorted({*blocks[part].tolist()})}
        for block, place, row in zip(blocks[part].tolist(), places[part].tolist(), rows[part].tolist(), strict=True):
            yield whose.line(row, held[block], place)


class _Whose:
    """Whose each line is that a store's timelines show, as columns of equal length; the lines' numbers rise."""

    def __init__(self, store: Store, run_id: int) -> None:
        self.words: list[Any] = [None]
        self._code: dict[str | None, int] = {None: 0}
        self._device_of: dict[str | None, str | None] = {None: None}
        parts = [np.zeros((7, 0), dtype=np.int64), *(self._of_sheaf(sheaf) for sheaf in store.sheaves(run_id))]
        every = np.concatenate(parts, axis=1)
        # Of a line that several timelines show, what its own enrollment says counts, then what its own device says.
        every = every[:, np.lexsort((every[6], every[0]))]
        first = np.append(True, every[0, 1:] != every[0, :-1])[: every.shape[1]]
        self.number, *columns = every[:, first]
        self._told = columns[:5]

    def _code_of(self, word: str | None) -> int:
        code = self._code.get(word)
        if code is None:
            code = self._code[word] = len(self.words)
            self.words.append(word)
        return code

    def _of_sheaf(self, sheaf: Sheaf) -> np.ndarray:
        """Give of a sheaf's rows: number, device, enrollment, confidence, step (codes), fault, how much that counts."""
        for timeline in sheaf.timelines:
            self._device_of.update((e.id, e.device) for e in timeline.enrollments)
        words = np.array([self._code_of(name) for name in sheaf.names], dtype=np.int64)
        number, enrollment, confidence, step, mark = (
            np.array(column, dtype=np.int64)
            for column in (sheaf.number, sheaf.enrollment, sheaf.confidence, sheaf.step, sheaf.mark)
        )
        owned = words[enrollment] != 0
        cause = np.array([name == "cause" for name in sheaf.names], dtype=bool)[mark]
        fault = np.array([name == "fault" for name in sheaf.names], dtype=bool)[mark]
        named = [self._code_of(timeline.device) for timeline in sheaf.timelines]
        of_enrollment = np.array([self._code_of(self._device_of.get(name)) for name in sheaf.names], dtype=np.int64)
        device = np.where(cause, 0, np.repeat(np.array(named, dtype=np.int64), sheaf.sizes))
        device = np.where(owned, of_enrollment[enrollment], device)
        rank = np.where(owned, 0, np.where(cause, 2, 1))
        return np.stack([number, device, words[enrollment], words[confidence], words[step], fault, rank])

    def line(self, row: int, block: Lines, place: int) -> EventLine:
        """Make a line of what a block holds at a place and what is told of it here."""
        device, enrollment, confidence, step = (self.words[column[row]] for column in self._told[:4])
        time, earliest, latest = (_tick(block.unit, column[place]) for column in _times(block))
        return EventLine(
            time,
            earliest,
            latest,
            block.names[block.source[place]] or "",
            block.names[block.event[place]] or "",
            block.names[block.level[place]] or None,
            device,
            None,
            enrollment,
            confidence,
            step,
            bool(self._told[4][row]),
            block.names[block.member[place]] or "",
            block.line[place],
            block.texts[place],
        )


def _times(block: Lines) -> tuple[Sequence[int], ...]:
    return block.time, block.earliest, block.latest


def _tick(unit: int, ticks: int) -> datetime | None:
    return None if ticks == NONE else EPOCH + timedelta(microseconds=unit * ticks)


def _kept_in_time(store: Store, run_id: int, whose: _Whose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put kept lines in order: the blocks that hold them, their places there, their places in ``whose``."""
    members: dict[str | None, int] = {}
    parts = [np.zeros((7, 0), dtype=np.int64)]
    for number in range(1, store.blocks_of_lines(run_id) + 1):
        block = store.lines(run_id, number)
        numbers = np.array(block.number, dtype=np.int64)
        row = np.searchsorted(whose.number, numbers)
        row[row == len(whose.number)] = 0
        there = np.flatnonzero(whose.number[row] == numbers) if len(whose.number) else row[:0]
        time, earliest, latest = (np.array(column, dtype=np.int64)[there] for column in _times(block))
        at = np.where(time != NONE, time, np.where(earliest != NONE, earliest, latest))
        at = np.where(at == NONE, np.iinfo(np.int64).max, at)
        sources = [SOURCES.index(name) if name in SOURCES else len(SOURCES) for name in block.names]
        codes = [members.setdefault(name, len(members)) for name in block.names]
        source, member = np.array(sources)[block.source][there], np.array(codes)[block.member][there]
        line = np.array(block.line, dtype=np.int64)[there]
        parts.append(np.stack([np.full(len(there), number), there, row[there], at, source, member, line]))
    every = np.concatenate(parts, axis=1)
    # Members by their names, as an analysis numbers them.
    rank = np.zeros(max(len(members), 1), dtype=np.int64)
    for place, name in enumerate(sorted(members, key=lambda name: name or "")):
        rank[members[name]] = place
    order = np.lexsort((every[6], rank[every[5]], every[4], every[3]))
    blocks, places, rows = every[:3, order]
    return blocks, places, rows
