"""One member's text in stretches, which several processes may read at once, and put together again.

A large member is cut into stripes of equal length. A stretch begins with the first line that starts in its stripe, with
the reader in a state that is only a guess: that behind the member's head. So whoever read the stretch before it goes on
beyond the border, beside a second reader that began there with that guess, until both say the same of a line and are in
the same state: from that line on the next stretch is right, and what it made of the lines before is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from capflog.bundle import BundleError
from capflog.compiling import made_ready, worthwhile_from
from capflog.events import Event
from capflog.onebyone import OneByOne
from capflog.parsing import SAMPLE_BYTES, UNKNOWN_KEPT, Line, Recognition, StatefulReader, decode, recognise

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from capflog.linestream import LineStream
    from capflog.parsing import Parser
    from capflog.rows import Rows, Vocabulary

#: How many bytes a stripe has, and from which size on a member is cut into them.
STRIPE, STRIPED_FROM = 16 << 20, 64 << 20

#: How many lines are read at once while a reader beyond its border waits for the end of a record.
_STEP = 32


@dataclass(slots=True)
class Meeting:
    """Where a stretch hands over: to that of which stripe, and what that one has counted before it is right."""

    stripe: int
    lines: int
    quiet: int
    unparsed: int


@dataclass(slots=True)
class Stretch:
    """What was read of a member from one stripe on. ``starts``: how many lines start in each stripe, from the first.

    ``rows`` count lines from 1 where the stretch begins. ``meeting`` None: it goes to the member's end.
    """

    stripe: int
    starts: list[int]
    lines: int
    quiet: int
    unparsed: int
    unknown: list[tuple[int, str]]
    rows: Rows | None
    meeting: Meeting | None = None
    away: tuple[int, int] | None = None
    """Where the rows are, if another process has them: their number there, and how many they are."""
    marks: list[tuple[int, int]] = field(default_factory=list)
    """Where lines stand: how many lines of the stretch are before a line, and its offset in the member's bytes."""


class Reads(Protocol):
    """Reads a member, or a stretch of one, block by block; then ``rows`` gives its events.

    ``lines``, ``quiet``, ``unparsed``: counts as of :class:`capflog.parsing.Parsed`; ``unknown``: the first lines that
    no pattern takes, with their numbers. ``state``: the one that the reader rests in behind the last line; None: it
    waits for more of a record.
    """

    @property
    def lines(self) -> int: ...
    @property
    def quiet(self) -> int: ...
    @property
    def unparsed(self) -> int: ...
    @property
    def unknown(self) -> list[tuple[int, str]]: ...
    @property
    def state(self) -> Hashable | None: ...
    def resume(self, carry: Hashable) -> None:
        """Begin in this state of the reader."""
        ...

    def read(self, data: bytes) -> None:
        """Read a block of whole lines (the last one may lack its end)."""
        ...

    def taken_lines(self) -> list[bytes]:
        """Give the lines of the events since it was asked last, where they are kept."""
        ...

    def rows(self) -> Rows:
        """Give all that was read as rows."""
        ...


class Book(Protocol):
    """How the members that one parser knows are read."""

    parser: Parser

    def begin(self, *, keeping: bool = False, unknown_kept: int = UNKNOWN_KEPT) -> Reads:
        """Begin a member, or a stretch of one. ``keeping``: the lines of events are kept for who asks for them."""
        ...


@dataclass(slots=True)
class PlainBook:
    """The parser is asked for every line."""

    parser: Parser
    vocabulary: Vocabulary

    def begin(self, *, keeping: bool = False, unknown_kept: int = UNKNOWN_KEPT) -> Reads:
        """See :class:`Book`."""
        return OneByOne(self.parser, self.vocabulary, keeping=keeping, unknown_kept=unknown_kept)


class Books:
    """What a process has learnt, by parser.

    ``learning``: whether most lines are read by compiled code; None: when there is so much to read that it is worth
    while.
    """

    def __init__(self, vocabulary: Vocabulary, *, learning: bool | None = None) -> None:
        self.vocabulary = vocabulary
        self._learning = learning
        self._left = worthwhile_from()
        self._books: dict[int, Book] = {}

    def of(self, parser: Parser, stream: LineStream) -> Book:
        """Give a parser's, for the member whose stream it is."""
        if self._learning is None:
            there = len(stream.peek(int(self._left))) if self._left < float("inf") else 0
            self._left -= there
            if self._left <= 0:
                self._learning = made_ready()
                self._books.clear()
        book = self._books.get(id(parser))
        if book is None:
            book = self._books[id(parser)] = self._book(parser)
        return book

    def _book(self, parser: Parser) -> Book:
        if self._learning and isinstance(parser.reader(), StatefulReader):
            from capflog.shapebook import ShapeBook  # noqa: PLC0415  (500 ms: not for small logs)

            return ShapeBook(parser, self.vocabulary)
        return PlainBook(parser, self.vocabulary)


def recognised(stream: LineStream, path: str) -> tuple[Recognition, list[str]]:
    """Recognise a member by its first lines, which stay in the stream; gives these, too."""
    wanted = SAMPLE_BYTES
    while True:
        data = stream.peek(wanted)
        whole = len(data) < wanted
        pieces = data.split(b"\n")
        # What stands behind the last line end is no line yet, or none at all.
        if not whole or not pieces[-1]:
            pieces.pop()
        head: list[str] = []
        size = 0
        for piece in pieces:
            head.append(decode(piece.rstrip(b"\r")))
            size += len(head[-1]) + 1
            if size >= SAMPLE_BYTES:
                break
        if whole or size >= SAMPLE_BYTES:
            break
        wanted *= 2
    return recognise(head, path), head


def state_behind(parser: Parser, lines: Iterable[str]) -> Hashable | None:
    """Give the last resting state of a parser's reader over some lines; None: it has no states."""
    reader = parser.reader()
    if not isinstance(reader, StatefulReader):
        return None
    carry = reader.carry()
    for line in lines:
        reader.read(line)
        resting = reader.carry()
        carry = carry if resting is None else resting
    return carry


def read_stretches(
    stream: LineStream,
    book: Book,
    guess: Hashable | None,
    claim: Callable[[], int],
    *,
    stripe: int = STRIPE,
    keeping: bool = False,
    watch: Callable[[Reads, bytes], None] | None = None,
) -> Iterator[Stretch]:
    """Read the stripes that ``claim`` gives: each time the number of the next one that nobody has taken.

    ``guess`` None: the whole member is one stretch. ``watch`` is told of each block that was read.
    """
    number = claim()
    if guess is None:
        if number == 0:
            scanner = book.begin(keeping=keeping)
            marks: list[tuple[int, int]] = []
            _read_until(scanner, stream, float("inf"), watch, marks)
            yield _stretch(scanner, 0, [scanner.lines], None, marks)
        return
    while True:
        stream.skip_to(number * stripe)
        if number and not stream.peek(1):
            return
        # Those of the lines before the meeting are left out later.
        scanner = book.begin(unknown_kept=UNKNOWN_KEPT if number == 0 else UNKNOWN_KEPT * 50)
        if number:
            scanner.resume(guess)
        first, starts, marks = number, [], []
        while True:
            before = scanner.lines
            _read_until(scanner, stream, (number + 1) * stripe, watch, marks)
            starts.append(scanner.lines - before)
            if not stream.peek(1):
                yield _stretch(scanner, first, starts, None, marks)
                return
            following = claim()
            if following != number + 1:
                break
            number = following
        meeting = _meet(scanner, stream, book.parser, guess, number + 1, stripe, watch)
        yield _stretch(scanner, first, starts, meeting, marks)
        if meeting is None:
            return
        number = following


def _read_until(
    scanner: Reads,
    stream: LineStream,
    offset: float,
    watch: Callable[[Reads, bytes], None] | None,
    marks: list[tuple[int, int]] | None = None,
) -> None:
    for block in stream.until(offset):
        if marks is not None:
            marks.append((scanner.lines, stream.at - len(block)))
        scanner.read(block)
        if watch is not None:
            watch(scanner, block)


def _stretch(
    scanner: Reads, first: int, starts: list[int], meeting: Meeting | None, marks: list[tuple[int, int]]
) -> Stretch:
    return Stretch(
        first, starts, scanner.lines, scanner.quiet, scanner.unparsed, scanner.unknown, scanner.rows(), meeting,
        marks=marks,
    )  # fmt: skip


class _Shadow:
    """A reader that began at a border with a guess, and what it has counted since."""

    def __init__(self, parser: Parser, guess: Hashable, stripe: int) -> None:
        reader = parser.reader()
        assert isinstance(reader, StatefulReader)
        self.reader = reader
        self.reader.resume(guess)
        self.stripe = stripe
        self.lines = self.quiet = self.unparsed = 0
        self._events = False

    def read(self, text: str) -> Event | Line:
        return self.reader.read(text)

    def count(self, said: Event | Line) -> None:
        self.lines += 1
        if isinstance(said, Event):
            self._events = True
        elif said is Line.UNKNOWN:
            self.unparsed += 1
        elif said is Line.QUIET or not self._events:
            self.quiet += 1


def _meet(
    scanner: Reads,
    stream: LineStream,
    parser: Parser,
    guess: Hashable,
    stripe_after: int,
    stripe: int,
    watch: Callable[[Reads, bytes], None] | None,
) -> Meeting | None:
    """Read on beyond a border until the next stretch is right, or to the end; see the module's words.

    Where it does not become right within a whole stripe, all the rest is read here.
    """
    shadow = _Shadow(parser, guess, stripe_after)
    lines = stream.lines()
    held: list[bytes] = []

    def flush() -> None:
        if held:
            block = b"".join(held)
            held.clear()
            scanner.read(block)
            if watch is not None:
                watch(scanner, block)

    reader: StatefulReader | None = None
    start = stream.at
    for line in lines:
        if start >= (stripe_after + 1) * stripe:
            held.append(line)
            flush()
            _read_until(scanner, stream, float("inf"), watch)
            return None
        text = decode(line.rstrip(b"\n").rstrip(b"\r"))
        if reader is None and not held and (carry := scanner.state) is not None:
            fresh = parser.reader()
            assert isinstance(fresh, StatefulReader)
            reader = fresh
            reader.resume(carry)
        said = shadow.read(text)
        if reader is not None:
            ours = reader.read(text)
            if ours == said and (isinstance(ours, Event) or not getattr(reader, "parts", True)):
                carry = reader.carry()
                if carry is not None and carry == shadow.reader.carry():
                    flush()
                    return Meeting(stripe_after, shadow.lines, shadow.quiet, shadow.unparsed)
        shadow.count(said)
        held.append(line)
        if reader is None and len(held) >= _STEP:
            flush()
        start = stream.at
    flush()
    return None


@dataclass(slots=True)
class Whole:
    """A member of which all was read.

    ``parts``: stretches in the order of the member, how many of each one's lines are left out, and how many lines stand
    before it. ``marks``: where lines stand, as of :class:`Stretch`, of the member.
    """

    lines: int = 0
    quiet: int = 0
    unparsed: int = 0
    unknown: list[tuple[int, str]] = field(default_factory=list)
    parts: list[tuple[Stretch, int, int]] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)


def joined(stretches: Iterable[Stretch]) -> Whole:
    """Put a member's stretches together as if one had read all of it."""
    known = sorted(stretches, key=lambda one: one.stripe)
    by_stripe = {one.stripe: one for one in known}
    counts: dict[int, int] = {}
    for one in known:
        counts |= {one.stripe + k: count for k, count in enumerate(one.starts)}
    whole = Whole()
    current, skipped = known[0], Meeting(0, 0, 0, 0)
    while True:
        base = sum(count for stripe, count in counts.items() if stripe < current.stripe)
        whole.parts.append((current, skipped.lines, base))
        whole.marks += [(base + line, offset) for line, offset in current.marks]
        whole.unknown += [(base + line, text) for line, text in current.unknown if line > skipped.lines]
        whole.lines += current.lines - skipped.lines
        whole.quiet += current.quiet - skipped.quiet
        whole.unparsed += current.unparsed - skipped.unparsed
        if current.meeting is None:
            break
        skipped = current.meeting
        if skipped.stripe not in by_stripe:
            raise BundleError("the bundle was changed while it was read: read it again")
        current = by_stripe[skipped.stripe]
    del whole.unknown[UNKNOWN_KEPT:]
    return whole
