"""Read a text with one parser's reader, the way the engine does, without recognition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capflog.events import Event
from capflog.parsing import Line, lines_of

if TYPE_CHECKING:
    from capflog.parsing import Parser, Reader


@dataclass
class Read:
    """What a reader made of a text; ``spans + quiet + unknown`` = ``lines``."""

    events: list[Event] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    quiet: int = 0
    lines: int = 0

    @property
    def kinds(self) -> list[str]:
        """List the events' kinds, in order."""
        return [event.kind for event in self.events]

    def one(self, kind: str) -> Event:
        """Give the only event of a kind."""
        (event,) = (e for e in self.events if e.kind == kind)
        return event


def read(parser: Parser, text: str | bytes, reader: Reader | None = None) -> Read:
    """Feed a text's lines to a reader as the engine does, and check that every line is accounted for."""
    reader = reader or parser.reader()
    done = Read()
    current: Event | None = None
    for line in lines_of([text.encode() if isinstance(text, str) else text]):
        done.lines += 1
        said = reader.read(line)
        if isinstance(said, Event):
            said.line, said.text = done.lines, line
            done.events.append(said)
            current = said
        elif said is Line.PART:
            assert current is not None, f"part of no record: {line!r}"
            current.span += 1
        elif said is Line.UNKNOWN:
            done.unknown.append(line)
        else:
            done.quiet += 1
    assert done.lines == sum(e.span for e in done.events) + done.quiet + len(done.unknown)
    return done


def walk_samples(parser: Parser) -> set[str]:
    """Prove each of a parser's samples; give the kinds that they show."""
    shown: set[str] = set()
    for sample in parser.samples:
        reader = parser.reader()
        said = [reader.read(line) for line in sample.text.split("\n")]
        assert Line.UNKNOWN not in said, sample.text
        assert tuple(s.kind if isinstance(s, Event) else None for s in said) == sample.kinds, sample.text
        shown |= {kind for kind in sample.kinds if kind is not None}
    return shown
