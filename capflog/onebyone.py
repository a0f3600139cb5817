"""A member, or a stretch of one, read line by line: the parser is asked for each.

For small logs that is the fastest way, and for a parser whose reader does not say what it remembers it is the only one.
What :class:`capflog.scanning.Scanner` makes of a log is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.events import Event
from capflog.parsing import UNKNOWN_KEPT, Line, StatefulReader, decode
from capflog.rows import joined_rows, rows_of_events

if TYPE_CHECKING:
    from collections.abc import Hashable

    from capflog.parsing import Parser
    from capflog.rows import Rows, Vocabulary

#: So many events are held before they become rows.
_HELD_MOST = 20_000


class OneByOne:
    """See :class:`capflog.stretches.Reads`."""

    def __init__(
        self, parser: Parser, vocabulary: Vocabulary, *, keeping: bool = False, unknown_kept: int = UNKNOWN_KEPT
    ) -> None:
        self._vocabulary = vocabulary
        self._unknown_kept = unknown_kept
        self._kept: list[bytes] | None = [] if keeping else None
        self._reader = parser.reader()
        self._parts: list[Rows] = []
        self._events: list[Event] = []
        self._any = False
        self.lines = self.quiet = self.unparsed = 0
        self.unknown: list[tuple[int, str]] = []

    def resume(self, carry: Hashable) -> None:
        """Begin in this state of the reader."""
        if isinstance(self._reader, StatefulReader):
            self._reader.resume(carry)

    @property
    def state(self) -> Hashable | None:
        """The state that the reader rests in; None: it waits for more of a record, or has no states."""
        return self._reader.carry() if isinstance(self._reader, StatefulReader) else None

    def taken_lines(self) -> list[bytes]:
        """Give the lines of the events since it was asked last, where they are kept."""
        taken, self._kept = self._kept or [], []
        return taken

    def read(self, data: bytes) -> None:
        """Read a block of whole lines (the last one may lack its end)."""
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for raw in lines:
            line = raw.rstrip(b"\r")
            text = decode(line)
            said = self._reader.read(text)
            self.lines += 1
            if isinstance(said, Event):
                said.line = self.lines
                self._events.append(said)
                self._any = True
                if self._kept is not None:
                    self._kept.append(line)
            elif said is Line.PART and self._any:
                self._events[-1].span += 1
            elif said is Line.UNKNOWN:
                self.unparsed += 1
                if len(self.unknown) < self._unknown_kept:
                    self.unknown.append((self.lines, text))
            else:
                self.quiet += 1
        if len(self._events) > _HELD_MOST and self.state is not None:
            # The last one stays: a line may still belong to it.
            self._parts.append(rows_of_events(self._events[:-1], self._vocabulary))
            del self._events[:-1]

    def rows(self) -> Rows:
        """Give all that was read as rows."""
        self._parts.append(rows_of_events(self._events, self._vocabulary))
        self._events = []
        return joined_rows(self._parts)
