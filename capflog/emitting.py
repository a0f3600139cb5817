"""Rows of what was found in a block: the events' columns, and how many of its other lines there are."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from capflog import lookup
from capflog.events import Event
from capflog.parsing import Line, decode
from capflog.rows import DENSE, NONE, NUMBERS, SPAN, WORDS, Rows, Shape, dense_types

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.scanning import Block
    from capflog.shapebook import ShapeBook


@dataclass(slots=True)
class _Own:
    """A value that differs from line to line: rows and values, as they come."""

    rows: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    late_rows: array[int] = field(default_factory=lambda: array("q"))
    late_values: array[int] = field(default_factory=lambda: array("q"))

    def columns(self, late: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Give rows and values in order; ``late``: what the late values are numbers of."""
        late_values = np.array(self.late_values, dtype=np.int64)
        rows = np.concatenate([*self.rows, np.array(self.late_rows, dtype=np.int64)])
        values = np.concatenate([*self.values, late_values if late is None else late[late_values]])
        order = np.argsort(rows, kind="stable")
        return rows[order], values[order]


class Emitter:
    """Makes the rows of a member, or of a stretch of one, block by block. See :class:`capflog.scanning.Scanner`."""

    def __init__(self, book: ShapeBook, *, keeping: bool, unknown_kept: int) -> None:
        self._book = book
        self._vocabulary = book.vocabulary
        self._unknown_kept = unknown_kept
        self._kept: list[bytes] | None = [] if keeping else None
        self.lines = self.quiet = self.unparsed = 0
        self.unknown: list[tuple[int, str]] = []
        self._dense: dict[str, list[np.ndarray]] = {name: [] for name in DENSE}
        self._count = 0
        self._own: dict[str, _Own] = {}
        self._open: list[tuple[int, Event]] = []
        self._late = (array("q"), array("q"))
        self._late_words: dict[str, dict[str, int]] = {}
        self._spans: list[np.ndarray] = []

    def taken_lines(self) -> list[bytes]:
        """Give the lines of the events since it was asked last, where they are kept."""
        taken, self._kept = self._kept or [], []
        return taken

    def block(self, block: Block, slow: Sequence[tuple[int, Event | Line]]) -> None:
        """Take a block; ``slow``: what the parser said of the lines that it has read."""
        found, most = block.found, block.rows
        code = found.code[:most]
        devices, sessions = self._vocabulary.devices, self._vocabulary.sessions
        events = []
        for at, said in slow:
            if not isinstance(said, Event):
                code[at] = _READ[said]
                continue
            events.append((at, said))
            found.stamp[at] = NONE if said.stamp is None else said.stamp
            found.device[at] = -1 if said.device is None else devices.code(said.device)
            found.session[at] = -1 if said.session is None else sessions.code(said.session)
        tables = self._book.tables()
        waiting = self._vocabulary.shape(_TO_COME) if events else -1
        rows = np.empty(most, dtype=np.int64)
        to = {name: np.empty(most, dtype=dtype) for name, dtype in DENSE.items()}
        parts, unknown = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int64)
        made, of_parts, of_unknown = lookup.gather(
            found.number, code, found.stamp, found.device, found.session, tables.shape, tables.stamped, tables.named,
            tables.in_session, tables.means, np.int32(waiting), self.lines + 1, rows, to["shape"], to["line"],
            to["stamp"], to["device"], to["session"], parts, unknown,
        )  # fmt: skip
        rows = rows[:made]
        for name, column in to.items():
            self._dense[name].append(column[:made].copy())
        for at, event in events:
            self._open.append((self._count + int(np.searchsorted(rows, at)), event))
        # Those that were not kept say nothing.
        quiet = block.count - made - of_parts - of_unknown
        if of_parts:
            of = np.searchsorted(rows, parts[:of_parts]) - 1 + self._count
            self._spans.append(of[of >= 0])
            quiet += int((of < 0).sum())
        for at in unknown[: min(of_unknown, max(self._unknown_kept - len(self.unknown), 0))].tolist():
            self.unknown.append((self.lines + 1 + int(found.number[at]), decode(block.line(at))))
        if self._kept is not None:
            self._kept += [block.line(at) for at in rows.tolist()]
        self.quiet += quiet
        self.unparsed += of_unknown
        self.lines += block.count
        self._values(block, rows, self._count)
        self._count += made

    def _values(self, block: Block, rows: np.ndarray, before: int) -> None:
        """Read the values that differ from line to line where they stand; ``before``: how many rows there were."""
        book, tables = self._book, self._book.tables()
        found = block.found
        begins, own, at, length = lookup.standing(
            found.code, found.rest, rows, tables.firsts, tables.places, len(tables.names)
        )
        for name, begin, end in zip(tables.names, begins[:-1].tolist(), begins[1:].tolist(), strict=True):
            if begin == end:
                continue
            where, long = at[begin:end], length[begin:end]
            if name in NUMBERS:
                values = lookup.numbers(book.buffer, where, long)
            else:
                values = self._vocabulary.of(name).codes(book.buffer, where, long)
            self._put(name, own[begin:end] + before, values)
        which, layouts, utc, zone = lookup.stamps(
            book.buffer, found.code, found.rest, rows, tables.piece, tables.layout, book.forms
        )
        if block.made and len(which):
            # Those that were gone through one by one have theirs: a leap second is none in bulk.
            layouts[np.isin(rows[which], [at for at, _, _ in block.made])] = -1
        for own_layout, derived in enumerate(book.derived if len(which) else ()):
            mine = layouts == own_layout
            for name, values in zip(derived.names, (utc, zone), strict=False):
                self._put(name, which[mine] + before, values[mine])
        for line, names, made in block.made:
            own_row = before + int(np.searchsorted(rows, line))
            for name, said in zip(names, made, strict=True):
                self._late_value(name, own_row, said)

    def _put(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
        own = self._own.setdefault(name, _Own())
        own.rows.append(rows)
        own.values.append(values.astype(np.int64))

    def _late_value(self, name: str, row: int, value: str | int) -> None:
        own = self._own.get(name)
        if own is None:
            own = self._own[name] = _Own()
        own.late_rows.append(row)
        if name in NUMBERS:
            own.late_values.append(int(value))
        else:
            # Their numbers in the vocabulary are asked for all at once, at the end.
            words = self._late_words.setdefault(name, {})
            own.late_values.append(words.setdefault(str(value), len(words)))

    def settle(self) -> None:
        """Make columns of the events that the parser made: nothing is added to them any more."""
        for row, event in self._open:
            borne = {name: value for name, value in event.values.items() if value is not None}
            shape = self._vocabulary.shape(Shape(event.kind, event.level, own=frozenset(borne)))
            self._late[0].append(row)
            self._late[1].append(shape)
            for name, value in borne.items():
                self._late_value(name, row, value)
        self._open.clear()

    def rows(self) -> Rows:
        """Give all that was read as rows."""
        self.settle()
        dense = {
            name: np.concatenate(parts) if parts else np.zeros(0, dtype=DENSE[name])
            for name, parts in self._dense.items()
        }
        dense["shape"][np.array(self._late[0], dtype=np.int64)] = np.array(self._late[1], dtype=np.int32)
        for name, dtype in dense_types(self._vocabulary).items():
            dense[name] = dense[name].astype(dtype, copy=False)
        if self._spans:
            rows, more = np.unique(np.concatenate(self._spans), return_counts=True)
            self._put(SPAN, rows, more)
        late = {name: self._vocabulary.of(name).codes_of(list(words)) for name, words in self._late_words.items()}
        columns = {name: own.columns(late.get(name)) for name, own in self._own.items()}
        return Rows(
            **dense,
            numbers={name: found for name, found in columns.items() if name in NUMBERS or name == SPAN},
            words={name: (r, c.astype(np.int32)) for name, (r, c) in columns.items() if name in WORDS},
        )


#: What stands for lines that the parser has read and that make no event.
_READ = {Line.QUIET: lookup.READ_QUIET, Line.PART: lookup.READ_PART, Line.UNKNOWN: lookup.READ_UNKNOWN}

#: The shape of an event to which the parser may still add something.
_TO_COME = Shape("")
