"""The hot path: blocks of a member's bytes in, rows of events out, most lines without ever asking the parser.

:mod:`capflog.lookup` finds all lines of a block, with what is known of each of them: a line's digits blotted out, what
is left makes a number of 64 bits, and a table says what a line of that number is, once the parser has read some such
lines (:mod:`capflog.shapes`). Whatever the table does not know, the parser reads, line by line: what comes out is the
same, and :func:`capflog.parsing.parse` without any of this is what the tests hold it against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capflog import lookup
from capflog.emitting import Emitter
from capflog.events import Event
from capflog.lookup import BY_READER, UNREAD
from capflog.parsing import UNKNOWN_KEPT, Frame, Line, StatefulReader, decode, parsers
from capflog.rows import HOLE, Vocabulary
from capflog.shapebook import COUNTED_MOST, MISSED_MOST, SHAPES_MOST, CompiledLexicon, Entry, ShapeBook, State, words_of
from capflog.shapes import Given

if TYPE_CHECKING:
    import re
    from collections.abc import Hashable

    from capflog.rows import Rows
    from capflog.shapes import Learnt

#: A line's shape is learnt when so many of it were read: most shapes of a small log are not worth it.
LEARN_AFTER = 4

#: A block is looked up again so often because of words that are no names; then frames are not looked for in it.
_REDONE_MOST = 8

#: A member's first blocks are small and grow: from so many bytes on until so many are read.
_FIRST, _WARM = 16 * 1024, 256 * 1024

#: With so many shapes learnt of other members a member needs no such blocks.
_FEW = 40


class Block:
    """A block of whole lines and what was found of those that may say something.

    The arrays are the book's, and hold until its next block; a line is named by its place in them.
    """

    __slots__ = ("count", "data", "found", "framing", "made", "redone", "rows")

    def __init__(self, data: bytes, book: ShapeBook) -> None:
        self.data = data
        book.take(data)
        self.found = book.lines
        #: How many lines there are, and how many of them are kept, when all were looked up.
        self.count = self.rows = 0
        self.framing = book.framing
        self.redone = 0
        #: Values that are made of pieces of lines: (line, names, values).
        self.made: list[tuple[int, tuple[str, ...], tuple[str | int, ...]]] = []

    def line(self, at: int) -> bytes:
        return self.data[self.found.start[at] : self.found.stop[at]]

    def rest(self, at: int) -> bytes:
        return self.data[self.found.rest[at] : self.found.stop[at]]


class Scanner:
    """See :class:`capflog.stretches.Reads`. The book's parser has a reader with states."""

    def __init__(self, book: ShapeBook, *, keeping: bool = False, unknown_kept: int = UNKNOWN_KEPT) -> None:
        self.book = book
        self._warmed = 0 if len(book.entries) < _FEW else _WARM
        parser = book.parser
        self.vocabulary = book.vocabulary
        reader = parser.reader()
        assert isinstance(reader, StatefulReader)
        self.reader: StatefulReader = reader
        self._frames = book.frames
        self._named: re.Pattern[bytes] | None = getattr(parser, "named", None)
        self._state = book.state(reader.carry())
        self._out = Emitter(book, keeping=keeping, unknown_kept=unknown_kept)
        self._ahead = 1
        self._found = np.zeros(lookup.RESULTS, dtype=np.int64)

    @property
    def lines(self) -> int:
        return self._out.lines

    @property
    def quiet(self) -> int:
        return self._out.quiet

    @property
    def unparsed(self) -> int:
        return self._out.unparsed

    @property
    def unknown(self) -> list[tuple[int, str]]:
        return self._out.unknown

    def resume(self, carry: Hashable) -> None:
        """Begin in this state of the reader."""
        self.reader.resume(carry)
        self._state = self.book.state(carry)

    @property
    def state(self) -> Hashable | None:
        """The state that the reader rests in behind the last line; None: it waits for more of a record."""
        return None if self._state is None else self._state.carry

    def taken_lines(self) -> list[bytes]:
        """Give the lines of the events since it was asked last, where they are kept."""
        return self._out.taken_lines()

    def rows(self) -> Rows:
        """Give all that was read as rows."""
        return self._out.rows()

    # ---- a block --------------------------------------------------------------------------------------------------

    def read(self, data: bytes) -> None:
        """Read a block of whole lines (the last one may lack its end)."""
        # What is learnt of the first lines serves the next ones.
        while self._warmed < _WARM and len(data) > 2 * _WARM:
            size = data.find(b"\n", max(_FIRST, self._warmed)) + 1
            if not size:
                break
            self._warmed += size
            self._read(data[:size])
            data = data[size:]
        self._read(data)

    def _read(self, data: bytes) -> None:
        if not data:
            return
        slow: list[tuple[int, Event | Line]] = []
        block = Block(data, self.book)
        self._walk(block, slow)
        self._out.block(block, slow)
        if self._state is not None or self.reader.carry() is not None:
            self._out.settle()

    def _walk(self, block: Block, slow: list[tuple[int, Event | Line]]) -> None:
        """Look lines up; go through those that the table does not know, or whose values are made one by one."""
        found, missed = self._found, self.book.missed
        found[:] = 0
        while found[lookup.BEGIN] < len(block.data):
            self._look_up(block)
            state, count = int(found[lookup.STATE]), int(found[lookup.MISSED])
            states = list(self.book.states.values())
            right = True
            for row, before, behind, following in missed[:count].tolist():
                self._state = states[before] if before >= 0 else None
                self._single(block, row, slow)
                if self._state is not (states[behind] if behind >= 0 else None):
                    # What was looked up behind this line is of another state.
                    right = following == found[lookup.BEGIN]
                    found[lookup.AT], found[lookup.BEGIN] = block.found.number[row] + 1, following
                    found[lookup.ROW] = row + 1
                    break
            else:
                self._state = states[state] if state >= 0 else None
            self._ahead = min(2 * self._ahead, MISSED_MOST) if right else 1
        block.count, block.rows = int(found[lookup.AT]), int(found[lookup.ROW])

    def _look_up(self, block: Block) -> None:
        """Look lines up from where the last look ended, in the reader's state."""
        book, found = self.book, self._found
        words, scratch = words_of(book.buffer), words_of(book.scratch)
        before = found.copy()
        first = int(before[lookup.ROW])
        while True:
            book.make_room_for_words()
            book.make_room_for_lines(first)
            block.found = book.lines
            found[:] = before
            found[lookup.STATE] = -1 if self._state is None else self._state.number
            found[lookup.FRESH] = 0
            lookup.look(
                book.buffer, words, len(block.data), self._ahead, book.forms, block.framing, book.rests(),
                book.compiled(), book.known, book.holed, book.names, book.sessions, book.lines, book.missed, book.fresh,
                book.makes, book.scratch, scratch, found, lookup.SECRET,
            )  # fmt: skip
            fresh = int(found[lookup.FRESH])
            if not fresh:
                return
            codes = book.take_fresh(block.data, fresh)
            if codes is not None:
                last = int(found[lookup.ROW])
                for column in (book.lines.device[first:last], book.lines.session[first:last]):
                    new = np.flatnonzero(column >= lookup.NEW)
                    column[new] = codes[column[new] - lookup.NEW]
                return
            block.redone += 1
            if block.redone > _REDONE_MOST:
                block.framing = book.no_framing

    # ---- line by line, where it must be -----------------------------------------------------------------------------

    def _code_of(self, block: Block, at: int, state: State) -> int:
        """Look one line up."""
        code = state.codes.get(int(block.found.digest[at]), UNREAD)
        if code >= 0 and (entry := self.book.entries[code]).parts is not None:
            return entry.parts.get(self._piece(block, at, entry), UNREAD)
        return code

    @staticmethod
    def _piece(block: Block, at: int, entry: Entry) -> bytes:
        rest = int(block.found.rest[at])
        return b"".join(block.data[rest + start : rest + stop] for start, stop in entry.fixed)

    def _single(self, block: Block, at: int, slow: list[tuple[int, Event | Line]]) -> None:
        """Take one line: by its entry, or by the parser, from which its shape is learnt if it comes often."""
        code = int(block.found.code[at])
        if code == UNREAD and self._state is not None:
            # It may have been learnt since the block was looked up.
            code = self._code_of(block, at, self._state)
            block.found.code[at] = code
        if code >= 0:
            entry = self.book.entries[code]
            if entry.learnt is not None and (not entry.learnt.derived or self._derive(block, at, entry.learnt)):
                if entry.next is not None:
                    self._state = entry.next
                return
        self._by_reader(block, at, slow)

    @staticmethod
    def _derive(block: Block, at: int, learnt: Learnt) -> bool:
        """Make the values that are made of pieces of this line; False: they cannot be made."""
        rest = int(block.found.rest[at])
        made = []
        for one, start, stop in learnt.derived:
            values = one.make(block.data[rest + start : rest + stop].decode("ascii"))
            if values is None:
                return False
            made.append((at, one.names, values))
        block.made += made
        return True

    def _by_reader(self, block: Block, at: int, slow: list[tuple[int, Event | Line]]) -> None:
        reader, state = self.reader, self._state
        raw = block.line(at)
        key: bytes | None = None
        name = b""
        if state is not None:
            key, name = self._name_in(block, at)
            if key is not None and (code := state.named.get(key, UNREAD)) >= 0:
                entry = self.book.entries[code]
                block.found.code[at] = code
                learnt = entry.learnt
                if learnt is not None and learnt.named:
                    block.found.device[at] = self.vocabulary.devices.code(name.decode("ascii"))
                if entry.next is not None:
                    self._state = entry.next
                return
            reader.resume(state.carry)
        block.found.code[at] = BY_READER
        slow.append((at, reader.read(decode(raw))))
        after = reader.carry()
        self._state = self.book.state(after)
        if state is None or after is None or len(self.book.entries) >= SHAPES_MOST:
            return
        if key is not None:
            self._count_named(block, at, state, key, name)
            return
        digest = int(block.found.digest[at])
        if len(state.seen) > COUNTED_MOST:
            state.seen.clear()
        state.seen[digest] += 1
        if state.seen[digest] >= LEARN_AFTER:
            del state.seen[digest]
            self._learn(block, at, state, digest)

    # ---- learning -------------------------------------------------------------------------------------------------

    def _name_in(self, block: Block, at: int) -> tuple[bytes | None, bytes]:
        """Give a line with a blot in place of the name that its rest bears, as a key; None: it bears none."""
        if self.book.name is None:
            return None, b""
        rest = block.rest(at)
        framed = block.found.rest[at] > block.found.body[at]
        if framed:
            name = self.vocabulary.devices.words[int(block.found.device[at])].encode("ascii")
            if name not in rest:
                return None, b""
        elif self._named is not None and (match := self._named.search(rest)) is not None:
            name = match[match.lastindex or 0]
        else:
            return None, b""
        if b"\0" in rest or self.book.opaque is None or self.book.opaque.fullmatch(name) is None:
            return None, b""
        lead = b""
        if framed:
            frame = self._frame_at(block, at)
            if frame is None:
                return None, b""
            lead = frame.before
        return b"%d\0%b\0%b" % (bool(block.found.stamped[at]), lead, rest.replace(name, b"\0")), name

    def _frame_at(self, block: Block, at: int) -> Frame | None:
        body = block.data[block.found.body[at] : block.found.rest[at]]
        return next((frame for frame in self._frames if body.startswith(frame.before)), None)

    def _count_named(self, block: Block, at: int, state: State, key: bytes, name: bytes) -> None:
        if len(state.seen_named) > COUNTED_MOST:
            state.seen_named.clear()
        state.seen_named[key] += 1
        if state.seen_named[key] != LEARN_AFTER:
            return
        given = self._given(block, at, name.decode("ascii"), hole=True)
        learnt = self._learn_given(block, at, given, state)
        if learnt is not None and not learnt.places and not learnt.derived and not learnt.fixed:
            code = state.named[key] = self.book.entry(learnt, state)
            if code >= 0:
                rest = block.rest(at)
                frame = self._frame_at(block, at) if block.found.rest[at] > block.found.body[at] else None
                number = -1 if frame is None else self._frames.index(frame)
                self.book.know_holed(state, rest, name, number, code, stamped=bool(block.found.stamped[at]))

    def _given(self, block: Block, at: int, name: str = "", *, hole: bool = False) -> Given | None:
        """Take a line apart; None: it has the letter that stands for a name."""
        raw = block.line(at)
        if b"\0" in raw:
            return None
        text = decode(raw)
        begin, body, rest = int(block.found.start[at]), int(block.found.body[at]), int(block.found.rest[at])
        stamp, lead, tail = text[: body - begin], text[body - begin : rest - begin], text[rest - begin :]
        session = ""
        if lead:
            frame = self._frame_at(block, at)
            if frame is None:
                return None
            name = self.vocabulary.devices.words[int(block.found.device[at])]
            close = chr(frame.close)
            lead = frame.before.decode("ascii") + ("{session}" + close if frame.session else "") + "{name}" + close
            if frame.session:
                session = self.vocabulary.sessions.words[int(block.found.session[at])]
        return Given(stamp, lead, tail.replace(name, HOLE) if hole else tail, session, name)

    def _learn_given(self, block: Block, at: int, given: Given | None, state: State) -> Learnt | None:
        if given is None:
            return None
        stamps = []
        if given.stamp and self.book.layout is not None:
            stamps = [(given.stamp, int(block.found.stamp[at])), *self.book.layout.samples(given.stamp)]
        learnt = self.book.learner.learn(given, state.carry, stamps)
        if learnt is not None and (learnt.places or learnt.derived or learnt.fixed) and not given.text.isascii():
            # Places are counted in letters, and here these are not bytes.
            return None
        return learnt

    def _learn(self, block: Block, at: int, state: State, digest: int) -> None:
        """Learn the shape of a line that was read, for all lines of its digest in this state."""
        learnt = self._learn_given(block, at, self._given(block, at), state)
        if learnt is None:
            return
        known = state.codes.get(digest, UNREAD)
        if known >= 0:
            # Another line of this digest was learnt before: one whose own digits differ.
            entry = self.book.entries[known]
            if entry.parts is not None and entry.fixed == learnt.fixed:
                self.book.know_part(known, self._piece(block, at, entry), self.book.entry(learnt, state))
            return
        if not learnt.fixed:
            self.book.know(state, digest, self.book.entry(learnt, state))
            return
        entry = Entry(None, -1, None, {}, learnt.fixed)
        code = self.book.add(entry)
        self.book.know_part(code, self._piece(block, at, entry), self.book.entry(learnt, state))
        self.book.know(state, digest, code)


def prepare() -> None:
    """Have the compiled code at hand: it is compiled, or what was compiled is loaded, before other processes begin.

    It is the same for all logs, so that any serves.
    """
    parser = next(one for one in parsers() if isinstance(one.reader(), StatefulReader))
    book = ShapeBook(parser, Vocabulary(lexicon=CompiledLexicon))
    scanner = Scanner(book)
    scanner.read(b"\n")
    scanner.rows()
    places = np.zeros(0, dtype=np.int64)
    lookup.numbers(book.buffer, places, places)
    book.vocabulary.of("detail").codes(book.buffer, places, places)
    state = next(iter(book.states.values()))
    book.know(state, 1, 0)
    book.know_holed(state, b"of a name", b"name", -1, 0, stamped=False)
    book.know_part(book.add(Entry(None, -1, None, {}, ((0, 1),))), b"1", 0)
