"""What a parser is, how the one for a member is found, and the path that feeds it.

A parser knows the grammar of one kind of log and nothing else: not clocks, not what becomes of a phone, not causes.
It is found by the entry point group ``capflog.parsers``; the engine imports none by name.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from capflog.events import Event, StampForm
from capflog.own_output import OWN, other_form, own_output

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from capflog.stamps import StampLayout

ENTRY_POINTS = "capflog.parsers"

#: How much of a member's start is looked at to tell what it is, in bytes of text.
SAMPLE_BYTES = 64 * 1024

#: How much of it is looked at to tell its encoding and its line ends.
HEAD_BYTES = 4096

#: A log is taken for a parser's own when at least this share of the sample's lines has its shape.
RECOGNISED_SHARE = 0.04


#: The logs that a user may bring, in a user's words.
KNOWN_LOGS = "CAPF trace, CiscoRA, NGINX error.log, IIS W3C, HTTP.sys error log"


class Line(Enum):
    """What a reader says of a physical line that begins no event."""

    QUIET = "understood, bears no fact"
    PART = "belongs to the record before it"
    UNKNOWN = "no pattern of the grammar takes it"


@dataclass(frozen=True, slots=True)
class Signature:
    """A line shape that tells a log: ``weight`` 1 for a line that others may also write, more for its own alone."""

    pattern: re.Pattern[str]
    weight: int
    what: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Lines of this log and the kinds of events they make (None: a line that makes no event); each sample is a test."""

    text: str
    kinds: tuple[str | None, ...]


class Reader(Protocol):
    """Reads the lines of one member in order; holds what a grammar must remember from line to line."""

    def read(self, text: str) -> Event | Line:
        """Say what the next physical line is (without its line end, decoded). Never raises, whatever the line."""
        ...


@runtime_checkable
class StatefulReader(Reader, Protocol):
    """A reader that says what it remembers, so that lines it need not see can be kept from it."""

    def carry(self) -> Hashable | None:
        """Give all that the reading of later lines depends on; None: a record before may still be added to."""
        ...

    def resume(self, carry: Hashable) -> None:
        """Go on as if the lines before had left this behind.

        A reader may have besides: ``literal``, true while what it remembers are words of the log, so that lines must be
        told from others by their very letters; ``parts`` False: no line of it belongs to a record before it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """How many bodies of a log begin: up to 16 fixed bytes, a session's number up to ``close``, a name up to ``close``.

    A hint for the scanner: the grammar takes such a name as one whatever it is. ``session`` False: the name alone.
    """

    before: bytes
    close: int
    session: bool = False


@dataclass(frozen=True, slots=True)
class Derived:
    """Values that are made of a piece of the line and do not stand in it: ``make`` gives them, None: it is none.

    ``pattern``'s group is that piece. ``layout``: it is a stamp of this form, with its zone, and the values are its ms
    since 1970 UTC and the zone in s; then it is read in bulk.
    """

    names: tuple[str, ...]
    pattern: re.Pattern[str]
    make: Callable[[str], tuple[str | int, ...] | None]
    layout: StampLayout | None = None


@dataclass(frozen=True, slots=True)
class Idle:
    """Lines that bear no fact while the reader is as it is, known without reading: other sites' rows in a W3C log.

    Such a line begins with four digits and ``-``, has one of these numbers of blanks, and ``needle`` (ASCII letters, in
    any case) does not stand in it.
    """

    needle: bytes
    blanks: frozenset[int]

    def line(self, text: str) -> bool:
        """Tell of one line."""
        return (
            text.count(" ") in self.blanks
            and self.needle.decode("ascii") not in text.lower()
            and text[4:5] == "-"
            and text[:4].isdecimal()
        )

    @property
    def rarest(self) -> int:
        """Say which of the needle's letters is the rarest one in logs of requests."""
        small = self.needle.lower()
        return min(range(len(small)), key=lambda k: _OFTEN.find(small[k]))


#: Letters in the order of how rare they are in logs of requests.
_OFTEN = b"zqjxkvywbfghumldcnprisatoe"


@runtime_checkable
class Parser(Protocol):
    """One kind of log.

    A parser may say more, so that most of its lines are read in bulk (:mod:`capflog.scanning`): ``layout``
    (:class:`capflog.stamps.StampLayout`: how a line begins that bears a stamp), ``frames`` and ``name`` (a pattern that
    takes a whole name, in bytes), ``named`` (a pattern whose group is a name that stands in a body without a frame) and
    ``opaque`` (a pattern of those in which no word of the grammar can stand: only these are taken for each other),
    ``derived``, and of its reader ``carry`` and ``resume`` (:class:`StatefulReader`) and ``idle``.
    """

    source: ClassVar[str]
    title: ClassVar[str]
    stamp: ClassVar[StampForm]
    resolution_ms: ClassVar[int]
    signatures: ClassVar[tuple[Signature, ...]]
    kinds: ClassVar[Mapping[str, str]]
    samples: ClassVar[tuple[Sample, ...]]
    path_hint: ClassVar[re.Pattern[str]]

    def reader(self) -> Reader:
        """Make a reader for one member."""
        ...


@cache
def parsers() -> tuple[Parser, ...]:
    """Find every installed parser, capflog's own and others', in the order of their names."""
    found = {point.name: point.load() for point in entry_points(group=ENTRY_POINTS)}
    return tuple(found[name]() for name in sorted(found))


@dataclass(frozen=True, slots=True)
class Recognition:
    """Which parser takes a member, and why (``parser`` is None: none does)."""

    parser: Parser | None
    why: str


def recognise(lines: Sequence[str], path: str) -> Recognition:
    """Tell what a member is by the first lines of it; its path breaks ties alone."""
    if own_output(lines):
        return Recognition(None, OWN)
    shown = [line for line in lines if line.strip()]
    form = other_form(lines)
    if form is not None:
        # What stands in its values has a log's shape; a log that begins as if it were one has lines of its own.
        shown = [] if form.table else [line for line in shown if line.lstrip()[0] not in form.begins]
    best: tuple[float, bool, str] | None = None
    chosen: Parser | None = None
    for parser in parsers():
        weight, hits = 0, Counter[str]()
        for line in shown:
            match = max(
                (s for s in parser.signatures if (s.pattern.search if form is None else s.pattern.match)(line)),
                key=lambda s: s.weight,
                default=None,
            )
            if match is not None:
                weight += match.weight
                hits[match.what] += 1
        if not hits or sum(hits.values()) < RECOGNISED_SHARE * len(shown):
            continue
        why = "; ".join(f"{count} of {len(shown)} lines: {what}" for what, count in hits.most_common(2))
        hinted = bool(parser.path_hint.search(path))
        rank = (weight, hinted, why)
        if best is None or rank[:2] > best[:2]:
            best, chosen = rank, parser
    if best is None or chosen is None:
        what = "" if form is None else f"{form.name}, "
        return Recognition(None, f"{what}not a log that capflog knows ({KNOWN_LOGS})")
    return Recognition(chosen, best[2])


@dataclass(slots=True)
class Parsed:
    """What a parser made of one member. ``lines`` = events' spans + ``quiet`` + ``unparsed``."""

    parser: Parser | None
    why: str
    lines: int = 0
    quiet: int = 0
    unparsed: int = 0
    events: list[Event] = field(default_factory=list)
    unknown: list[tuple[int, str]] = field(default_factory=list)
    """The first lines that no pattern takes, with their numbers, to show."""


UNKNOWN_KEPT = 20


def _utf16(head: bytes) -> str | None:
    """Name the UTF-16 codec of a text by its byte-order mark, or by the zero bytes of its first letters."""
    if head.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    pairs = head[:512]
    if len(pairs) >= 16:
        even, odd = pairs[0::2].count(0), pairs[1::2].count(0)
        if odd > len(pairs) * 0.4 and even == 0:
            return "utf-16-le"
        if even > len(pairs) * 0.4 and odd == 0:
            return "utf-16-be"
    return None


def decode(line: bytes) -> str:
    """Decode one line: UTF-8 where it is that, else Windows' Latin-1, which takes any byte."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


def plain(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Make a member's bytes such as all later reading expects: UTF-8 or a code page of single bytes, lines ended by LF.

    UTF-16 is written anew, a byte-order mark is left out, and carriage returns alone become line ends.
    """
    source = iter(chunks)
    head = b""
    for chunk in source:
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    else:
        if not head:
            return
    codec = _utf16(head)
    if codec is not None:
        decoder = codecs.getincrementaldecoder(codec)(errors="replace")
        first = decoder.decode(head).encode("utf-8", errors="replace")
        yield first.removeprefix(codecs.BOM_UTF8)
        for chunk in source:
            yield decoder.decode(chunk).encode("utf-8", errors="replace")
        yield decoder.decode(b"", final=True).encode("utf-8", errors="replace")
        return
    head = head.removeprefix(codecs.BOM_UTF8)
    # Line ends of a carriage return alone: a file that went through an old tool.
    if b"\n" not in head and b"\r" in head.rstrip(b"\r"):
        yield head.replace(b"\r", b"\n")
        for chunk in source:
            yield chunk.replace(b"\r", b"\n")
        return
    yield head
    yield from source


def lines_of(chunks: Iterable[bytes]) -> Iterator[str]:
    """Split a member's bytes into physical lines, whatever its encoding and line ends; a cut last line counts."""
    kept = b""
    for chunk in plain(chunks):
        parts = (kept + chunk).split(b"\n")
        kept = parts.pop()
        for part in parts:
            yield decode(part.rstrip(b"\r"))
    if kept:
        yield decode(kept.rstrip(b"\r"))


def parse(chunks: Iterable[bytes], path: str) -> Parsed:
    """Recognise a member by its content and read all of it; an exception of ``chunks`` goes through."""
    lines = lines_of(chunks)
    head: list[str] = []
    size = 0
    for line in lines:
        head.append(line)
        size += len(line) + 1
        if size >= SAMPLE_BYTES:
            break
    recognition = recognise(head, path)
    parsed = Parsed(recognition.parser, recognition.why)
    if recognition.parser is None:
        parsed.lines = parsed.unparsed = len(head) + sum(1 for _ in lines)
        return parsed
    reader = recognition.parser.reader()
    number = 0
    current: Event | None = None

    def every() -> Iterator[str]:
        yield from head
        yield from lines

    for text in every():
        number += 1
        said = reader.read(text)
        if isinstance(said, Event):
            said.line, said.text = number, text
            parsed.events.append(said)
            current = said
        elif said is Line.PART and current is not None:
            current.span += 1
        elif said is Line.UNKNOWN:
            parsed.unparsed += 1
            if len(parsed.unknown) < UNKNOWN_KEPT:
                parsed.unknown.append((number, text))
        else:
            parsed.quiet += 1
    parsed.lines = number
    return parsed
