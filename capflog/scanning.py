"""The hot path: blocks of a member's bytes in, rows of events out, most lines without ever asking the parser.

A block's line starts and stamps are found for all lines at once. What is left of a line, its digits blotted out, makes
a number of 64 bits; a table says what a line of that number is, once the parser has read some such lines
(:mod:`capflog.shapes`). Whatever the table does not know, the parser reads, line by line: what comes out is the same,
and :func:`capflog.parsing.parse` without any of this is what the tests hold it against.

A parser whose reader has no ``carry`` and ``resume`` is asked for every line.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.digests import WIDEST, Known, digests, long_digest, windows, without_digits
from capflog.events import Event
from capflog.parsing import UNKNOWN_KEPT, Derived, Frame, Idle, Line, StatefulReader, decode
from capflog.shapes import Given, Learner, Learnt
from capflog.table import DENSE, HOLE, NONE, NUMBERS, SPAN, WORDS, Rows, Shape, dense_types

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from capflog.parsing import Parser
    from capflog.stamps import StampLayout
    from capflog.table import Vocabulary

#: A line's shape is learnt when so many of it were read: most shapes of a small log are not worth it.
LEARN_AFTER = 4

#: How many shapes, states of the reader and waiting counts of a member are remembered.
SHAPES_MOST, STATES_MOST, COUNTED_MOST = 20_000, 64, 50_000

#: How long a line's body may be that is remembered letter by letter (bytes), and how many of them.
_SHORT, _HOT_MOST = 16, 4

#: How many lines are looked up at once behind one that changes the reader's state.
_CHAIN = 8

#: Lines that are read one by one in another state than that of the block's look-up before they are looked up anew.
PATIENCE = 48

#: A member's first blocks are small and grow: from so many bytes on until so many are read.
_FIRST, _WARM = 16 * 1024, 256 * 1024

#: With so many shapes learnt of other members a member needs no such blocks.
_FEW = 40

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_PADDING = WIDEST + 64

#: Of lines that are not in the table: no line of a block has these codes in it.
_UNREAD, _BY_READER = -1, -2


@dataclass(slots=True)
class _State:
    """A resting state of the reader, and what the lines of each digest are in it."""

    carry: Hashable
    number: int
    known: Known = field(default_factory=Known)
    codes: dict[int, int] = field(default_factory=dict)
    """The same as ``known``, for those who ask for one."""
    seen: Counter[int] = field(default_factory=Counter)
    hot: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)
    """Short stamped lines that make no event and change nothing, letter by letter: length, letters, their mask."""
    named: dict[bytes, int] = field(default_factory=dict)
    seen_named: Counter[bytes] = field(default_factory=Counter)


@dataclass(slots=True)
class _Entry:
    """What lines of one shape are; ``parts``: how those with digits of their own differ, by these digits."""

    learnt: Learnt | None
    shape: int
    next: _State | None
    parts: dict[bytes, int] | None = None
    fixed: tuple[tuple[int, int], ...] = ()


class ShapeBook:
    """What was learnt of a parser's lines so far; all members of a process share it, with one vocabulary."""

    def __init__(self, parser: Parser, vocabulary: Vocabulary) -> None:
        self.parser = parser
        self.vocabulary = vocabulary
        self.entries: list[_Entry] = [_Entry(None, -1, None)]
        self.states: dict[Hashable, _State] = {}
        self.derived: Sequence[Derived] = getattr(parser, "derived", ())
        self.names, self.sessions = Known(), Known()
        self._learner: Learner | None = None
        self._tables: dict[str, Any] = {}

    def state(self, carry: Hashable | None) -> _State | None:
        """Give a resting state of the reader; None: it waits for more of a record, or there are too many states."""
        if carry is None:
            return None
        state = self.states.get(carry)
        if state is None and len(self.states) < STATES_MOST:
            state = self.states[carry] = _State(carry, len(self.states))
        return state

    @property
    def learner(self) -> Learner:
        """Read lines in variations with a reader of its own."""
        if self._learner is None:
            self._learner = Learner(self.parser, self.parser.reader())  # type: ignore[arg-type]
        return self._learner

    def entry(self, learnt: Learnt, state: _State) -> int:
        """Keep what was learnt of lines in a state; gives its number, or -1."""
        follows = self.state(learnt.after)
        if follows is None:
            return _UNREAD
        shape = -1 if learnt.event is None else self.vocabulary.shape(learnt.event)
        return self.add(_Entry(learnt, shape, None if follows is state else follows))

    def add(self, entry: _Entry) -> int:
        """Keep an entry; gives its number."""
        self.entries.append(entry)
        self._tables.clear()
        return len(self.entries) - 1

    def table(self, name: str) -> np.ndarray:
        """Give a property of all entries by their numbers."""
        if not self._tables:
            entries = self.entries
            tables = self._tables
            learnt = [entry.learnt for entry in entries]
            tables["divided"] = np.array([entry.parts is not None for entry in entries])
            tables["stops"] = np.array([
                number > 0 and (entry.learnt is None or entry.next is not None or _one_by_one_made(entry.learnt))
                for number, entry in enumerate(entries)
            ])  # fmt: skip
            tables["shape"] = np.array([entry.shape for entry in entries], dtype=np.int32)
            tables["stamped"] = np.array([one is not None and one.stamped for one in learnt])
            tables["named"] = np.array([one is not None and one.named for one in learnt])
            tables["in_session"] = np.array([one is not None and one.in_session for one in learnt])
            tables["single"] = np.array([one is not None and _one_by_one_made(one) for one in learnt])
            tables["turns"] = np.array([-1 if entry.next is None else entry.next.number for entry in entries])
            # Where in the rest the stamp stands of which values are made in bulk, and of which layout; -1: none does.
            tables["piece"] = np.full(len(entries), -1)
            tables["layout"] = np.full(len(entries), -1)
            for number, one in enumerate(learnt):
                if one is not None and one.derived and not _one_by_one_made(one):
                    tables["piece"][number] = one.derived[0][1]
                    tables["layout"][number] = self.derived.index(one.derived[0][0])
            for line in Line:
                tables[line.name] = np.array(
                    [one is not None and one.event is None and one.line is line for one in learnt]
                )
            tables["QUIET"][0] = True
            places: dict[str, tuple[np.ndarray, np.ndarray]] = {}
            for number, one in enumerate(learnt):
                for place in one.places if one is not None else ():
                    if place.name not in places:
                        places[place.name] = (np.full(len(entries), -1), np.zeros(len(entries), dtype=np.int64))
                    places[place.name][0][number] = place.start
                    places[place.name][1][number] = place.stop - place.start
            tables["places"] = places
        found: np.ndarray = self._tables[name]
        return found


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


class _Block:
    """One block's lines as arrays."""

    __slots__ = (
        "begins", "body", "buffer", "code", "count", "data", "device", "digest", "found", "layout", "length", "made",
        "plain", "rest", "session", "stamp", "stamped", "start", "stop",
    )  # fmt: skip

    def __init__(self, data: bytes, layout: StampLayout | None, *, begins: bool) -> None:
        self.data = data
        #: The first 16 bytes of each body as two words, where they are asked for.
        self.begins: np.ndarray | None = None
        size = len(data)
        self.buffer = np.zeros(size + _PADDING, dtype=np.uint8)
        self.buffer[:size] = np.frombuffer(data, dtype=np.uint8)
        ends = np.flatnonzero(self.buffer[:size] == 10)
        if not data.endswith(b"\n"):
            ends = np.append(ends, size)
        self.count = len(ends)
        self.start = np.empty_like(ends)
        self.start[0] = 0
        self.start[1:] = ends[:-1] + 1
        self.stop = ends
        # Line ends of Windows, and those that went through it twice.
        while True:
            returns = (self.stop > self.start) & (self.buffer[self.stop - 1] == 13)
            if not returns.any():
                break
            self.stop = self.stop - returns
        self.layout = layout
        if layout is None:
            self.stamped = np.zeros(self.count, dtype=bool)
            self.stamp = np.full(self.count, NONE, dtype=np.int64)
            self.body = self.start
        else:
            # The stamp and what follows on it, with one look at the line.
            window = windows(self.buffer, layout.width + _SHORT)[self.start]
            self.stamped, self.stamp, _ = layout.of_windows(window[:, : layout.width])
            self.stamped &= self.stop - self.start >= layout.width
            self.body = np.where(self.stamped, self.start + layout.width, self.start)
            if begins:
                self.begins = np.ascontiguousarray(window[:, layout.width :]).view(np.uint64)
                others = np.flatnonzero(~self.stamped)
                self.begins[others] = np.ascontiguousarray(window[others, :_SHORT]).view(np.uint64)
        #: Where what is looked up begins: the body, or behind the frame in it.
        self.rest = self.body.copy()
        self.length = self.stop - self.rest
        self.code = np.full(self.count, _UNREAD, dtype=np.int32)
        self.device = np.full(self.count, -1, dtype=np.int32)
        self.session = np.full(self.count, -1, dtype=np.int32)
        self.digest = np.zeros(self.count, dtype=np.uint64)
        self.found: dict[int, np.ndarray] = {}
        #: The buffer without its digits, once it is asked for.
        self.plain: np.ndarray | None = None
        #: Values that are made of pieces of lines: (line, names, values).
        self.made: list[tuple[int, tuple[str, ...], tuple[str | int, ...]]] = []

    def places(self, letter: int) -> np.ndarray:
        """List where a letter stands in the block; behind the last there are two places out of it."""
        found = self.found.get(letter)
        if found is None:
            size = len(self.data)
            places = np.flatnonzero(self.buffer[:size] == letter)
            found = self.found[letter] = np.append(places, (size + _PADDING, size + _PADDING))
        return found

    def line(self, at: int) -> bytes:
        return self.data[self.start[at] : self.stop[at]]


class Scanner:
    """Reads one member, or a stretch of one, block by block; then ``rows()`` gives its events.

    ``lines``, ``quiet``, ``unparsed``: counts as of :class:`capflog.parsing.Parsed`; ``unknown``: the first lines that
    no pattern takes, with their numbers. ``learning`` False: the parser is asked for each line. ``keeping``: the lines
    of events are kept for who asks for them.
    """

    def __init__(
        self, book: ShapeBook, *, learning: bool = True, keeping: bool = False, unknown_kept: int = UNKNOWN_KEPT
    ) -> None:
        self.book = book
        self._unknown_kept = unknown_kept
        self._kept: list[bytes] | None = [] if keeping else None
        self._warmed = 0 if len(book.entries) < _FEW else _WARM
        parser = book.parser
        self.vocabulary = book.vocabulary
        self.lines = self.quiet = self.unparsed = 0
        self.unknown: list[tuple[int, str]] = []
        self.reader = parser.reader()
        stateful = isinstance(self.reader, StatefulReader)
        self._stateful: StatefulReader | None = self.reader if learning and stateful else None  # type: ignore[assignment]
        self._layout: StampLayout | None = getattr(parser, "layout", None)
        self._frames: Sequence[Frame] = getattr(parser, "frames", ())
        self._name: re.Pattern[bytes] | None = getattr(parser, "name", None)
        self._named: re.Pattern[bytes] | None = getattr(parser, "named", None)
        self._opaque: re.Pattern[bytes] | None = getattr(parser, "opaque", None)
        self._state: _State | None = None
        if self._stateful is not None:
            self._state = book.state(self._stateful.carry())
        self._dense: dict[str, list[np.ndarray]] = {name: [] for name in DENSE}
        self._count = 0
        self._own: dict[str, _Own] = {}
        self._open: list[tuple[int, Event]] = []
        self._late = (array("q"), array("q"))
        self._late_words: dict[str, dict[str, int]] = {}
        self._spans: list[np.ndarray] = []

    def resume(self, carry: Hashable) -> None:
        """Begin in this state of the reader."""
        if self._stateful is not None:
            self._stateful.resume(carry)
            self._state = self.book.state(carry)

    @property
    def state(self) -> Hashable | None:
        """The state that the reader rests in behind the last line; None: it waits for more of a record."""
        return None if self._state is None else self._state.carry

    def taken_lines(self) -> list[bytes]:
        """Give the lines of the events since it was asked last, where they are kept."""
        taken, self._kept = self._kept or [], []
        return taken

    # ---- a block --------------------------------------------------------------------------------------------------

    def read(self, data: bytes) -> None:
        """Read a block of whole lines (the last one may lack its end)."""
        if self._stateful is not None:
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
        block = _Block(data, self._layout, begins=bool(self._frames))
        slow: list[tuple[int, Event | Line]] = []
        if self._stateful is None:
            slow += [(at, self.reader.read(decode(block.line(at)))) for at in range(block.count)]
        else:
            self._look_up(block)
            self._walk(block, slow)
        self._emit(block, slow)

    def _look_up(self, block: _Block, at: int = 0) -> None:
        """Look up all lines from the number ``at`` on, in the reader's state; without one, find their digests alone."""
        state = self._state
        block.code[at:] = _UNREAD
        idle: Idle | None = None
        if state is not None and self._stateful is not None and hasattr(self._stateful, "idle"):
            self._stateful.resume(state.carry)
            idle = self._stateful.idle
        if idle is not None:
            block.code[idle.lines(block.buffer, block.start[at:], block.stop[at:]) + at] = 0
        todo = np.flatnonzero(block.code[at:] == _UNREAD) + at
        if state is not None and state.hot:
            todo = self._pass_over(block, todo, state)
        new = todo[block.digest[todo] == 0]
        if len(new):
            self._digest(block, new)
        if state is not None:
            block.code[todo] = self._codes_in(block, todo, state)

    @staticmethod
    def _pass_over(block: _Block, todo: np.ndarray, state: _State) -> np.ndarray:
        """Leave out the short lines that come most often and say nothing."""
        if block.begins is None:
            begins = windows(block.buffer, _SHORT)[block.body[todo]].view(np.uint64)
        else:
            begins = block.begins[todo]
        first, second = begins[:, 0], begins[:, 1]
        stamped, length = block.stamped[todo], block.stop[todo] - block.body[todo]
        hit = np.zeros(len(todo), dtype=bool)
        for size, letters, mask in state.hot:
            hit |= (length == size) & (first & mask[0] == letters[0]) & (second & mask[1] == letters[1])
        hit &= stamped
        block.code[todo[hit]] = 0
        return todo[~hit]

    def _digest(self, block: _Block, todo: np.ndarray) -> None:
        """Find the digests of lines, and the frames that they begin with."""
        seed = block.stamped[todo].astype(np.uint64)
        if self._frames:
            self._frame(block, todo, seed)
        if block.plain is None:
            block.plain = without_digits(block.buffer)
        length = block.length[todo]
        block.digest[todo] = digests(block.plain, block.rest[todo], length, seed)
        for k in np.flatnonzero(length > WIDEST).tolist():
            at = int(todo[k])
            masked = block.data[block.rest[at] : block.stop[at]].translate(_DIGITS)
            block.digest[at] = long_digest(masked, int(seed[k]))

    def _frame(self, block: _Block, todo: np.ndarray, seed: np.ndarray) -> None:
        """Find the frames with a session or a name in them that bodies begin with; the rest is behind them.

        ``seed``: one number for each of the lines, into which the frame's goes.
        """
        size = _SHORT
        if block.begins is None:
            begins = windows(block.buffer, size)[block.body[todo]].view(np.uint64)
        else:
            begins = block.begins[todo]
        for number, frame in enumerate(self._frames, start=1):
            begin = np.frombuffer(frame.before.ljust(size, b"\0"), dtype=np.uint64)
            mask = np.frombuffer((b"\xff" * len(frame.before)).ljust(size, b"\0"), dtype=np.uint64)
            fits = np.ones(len(todo), dtype=bool)
            for column in range(size // 8):
                if mask[column]:
                    fits &= begins[:, column] & mask[column] == begin[column]
            own = np.flatnonzero(fits)
            if len(own):
                own = own[self._frame_of(block, todo[own], frame)]
                seed[own] += np.uint64(number << 8)

    def _frame_of(self, block: _Block, lines: np.ndarray, frame: Frame) -> np.ndarray:
        """Take session and name of lines that begin as a frame does; gives the numbers of those that are one."""
        at = block.body[lines] + len(frame.before)
        closes = block.places(frame.close)
        following = np.searchsorted(closes, at)
        sessions = np.full(len(lines), -1, dtype=np.int32)
        good = np.ones(len(lines), dtype=bool)
        if frame.session:
            length = closes[following] - at
            good = (length > 0) & (length <= _SESSION_MOST)
            kept = np.flatnonzero(good)
            sessions[kept] = self._codes(
                block, at[kept], length[kept], self.book.sessions, _SESSION, self.vocabulary.sessions
            )
            good &= sessions >= 0
            at = closes[following] + 1
            following = following + 1
        length = closes[following] - at
        good &= (length > 0) & (length <= _NAME_MOST) & (closes[following] < block.stop[lines])
        kept = np.flatnonzero(good)
        if not len(kept) or self._name is None:
            return kept[:0]
        names = self._codes(block, at[kept], length[kept], self.book.names, self._name, self.vocabulary.devices)
        kept, names = kept[names >= 0], names[names >= 0]
        lines = lines[kept]
        block.device[lines] = names
        block.session[lines] = sessions[kept]
        block.rest[lines] = closes[following[kept]] + 1
        block.length[lines] = block.stop[lines] - block.rest[lines]
        return kept

    def _codes(
        self, block: _Block, at: np.ndarray, length: np.ndarray, known: Known, pattern: re.Pattern[bytes], words: Any
    ) -> np.ndarray:
        """Give the numbers of pieces among ``words``; -2: the pattern does not take it."""
        # Lines of one phone stand together: the same piece as in the line before is the same.
        words_at = windows(block.buffer, 16)[at].view(np.uint64)
        changed = np.empty(len(at), dtype=bool)
        changed[:1] = True
        changed[1:] = (length[1:] != length[:-1]) | (length[1:] > 16)
        changed[1:] |= ((words_at[1:, 0] ^ words_at[:-1, 0]) & _LOW[np.minimum(length[1:], 8)]) != 0
        changed[1:] |= ((words_at[1:, 1] ^ words_at[:-1, 1]) & _LOW[np.clip(length[1:] - 8, 0, 8)]) != 0
        firsts = np.flatnonzero(changed)
        codes = self._codes_of(block, at[firsts], length[firsts], known, pattern, words)
        return codes[np.cumsum(changed) - 1] if len(at) else codes

    @staticmethod
    def _codes_of(
        block: _Block, at: np.ndarray, length: np.ndarray, known: Known, pattern: re.Pattern[bytes], words: Any
    ) -> np.ndarray:
        """Give the numbers of pieces, each for itself."""
        found = digests(block.buffer, at, length, np.zeros(len(at), dtype=np.uint64))
        codes = known.ask(found)
        new = np.flatnonzero(codes == -1)
        if len(new):
            distinct, first, back = np.unique(found[new], return_index=True, return_inverse=True)
            order = np.argsort(first, kind="stable").tolist()
            made = np.empty(len(distinct), dtype=np.int32)
            for k in order:
                begin = int(at[new[first[k]]])
                piece = block.data[begin : begin + int(length[new[first[k]]])]
                made[k] = words.code(piece.decode("ascii")) if pattern.fullmatch(piece) is not None else -2
            if len(known) > COUNTED_MOST * 4:
                known.clear()
            known.add(distinct, made)
            codes[new] = made[back]
        return codes

    def _codes_in(self, block: _Block, lines: np.ndarray, state: _State) -> np.ndarray:
        """Give the codes of lines in a state's table; -1: it does not know them."""
        codes = state.known.ask(block.digest[lines])
        divided = self.book.table("divided")
        if divided.any():
            of_parts = np.flatnonzero((codes >= 0) & divided[codes])
            for code in np.unique(codes[of_parts]).tolist():
                own = of_parts[codes[of_parts] == code]
                codes[own] = self._parts(block, lines[own], self.book.entries[code])
        piece = self.book.table("piece")
        if (piece >= 0).any():
            made = np.flatnonzero(piece[codes] >= 0)
            made = made[codes[made] >= 0]
            if len(made):
                good = self._stamps(block, lines[made], codes[made])[0]
                codes[made[~good]] = _UNREAD
        return codes

    def _stamps(self, block: _Block, lines: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Read the stamps within lines of which values are made: whether it is one, UTC in ms, zone in s."""
        good = np.zeros(len(lines), dtype=bool)
        utc, zone = np.zeros(len(lines), dtype=np.int64), np.zeros(len(lines), dtype=np.int64)
        at = block.rest[lines] + self.book.table("piece")[codes]
        layouts = self.book.table("layout")[codes]
        for number, derived in enumerate(self.book.derived):
            own = layouts == number
            if derived.layout is not None and own.any():
                good[own], utc[own], zone[own] = derived.layout.zoned(block.buffer, at[own])
        return good, utc, zone

    def _parts(self, block: _Block, lines: np.ndarray, entry: _Entry) -> np.ndarray:
        """Tell lines of one shape apart by the digits that belong to it."""
        places = np.concatenate([np.arange(start, stop) for start, stop in entry.fixed])
        digits = block.buffer[block.rest[lines][:, None] + places]
        packed = np.ascontiguousarray(digits).view(f"S{len(places)}").ravel()
        distinct, back = np.unique(packed, return_inverse=True)
        parts = entry.parts or {}
        # numpy drops zero bytes at the end of a text; digits have none.
        numbers = np.array([parts.get(bytes(piece), _UNREAD) for piece in distinct.tolist()], dtype=np.int32)
        found: np.ndarray = numbers[back]
        return found

    # ---- line by line, where it must be -----------------------------------------------------------------------------

    def _walk(self, block: _Block, slow: list[tuple[int, Event | Line]]) -> None:
        """Go through the lines that the table does not know, or that change the reader's state."""
        at = 0
        while at < block.count:
            if self._state is None:
                at = self._one_by_one(block, at, slow, None)
                if at < block.count:
                    self._look_up(block, at)
                continue
            base = self._state
            chains = self._chains(block, at, base)
            stops = self.book.table("stops")
            codes = block.code[at:]
            alone = (codes < 0) | stops[codes]
            for begin, end in chains:
                alone[begin - at : end + 1 - at] = False
            again = False
            for place in (np.flatnonzero(alone) + at).tolist():
                if place < at:
                    continue
                self._single(block, place, slow)
                at = place + 1
                while self._state is not base:
                    at = self._one_by_one(block, at, slow, base)
                    if self._state is not base:
                        again = True
                        break
                    # In the midst of a chain what was looked up for the rest of it does not hold.
                    at = self._out_of(block, at, slow, chains)
                if again:
                    break
            if not again:
                return
            if at < block.count and self._state is not None:
                self._look_up(block, at)

    def _chains(self, block: _Block, at: int, base: _State) -> list[tuple[int, int]]:
        """Look up the lines behind those that change the reader's state, up to where it is as before.

        Gives the first and last line of each such chain; its lines need not be gone through one by one.
        """
        turns = self.book.table("turns")
        codes = block.code[at:]
        single = self.book.table("single")
        begins = np.flatnonzero((codes >= 0) & (turns[codes] >= 0) & ~single[codes]) + at
        if not len(begins):
            return []
        states = list(self.book.states.values())
        last, state = begins.copy(), turns[block.code[begins]]
        found: list[tuple[np.ndarray, np.ndarray]] = []
        waiting = np.arange(len(begins))
        done = np.zeros(len(begins), dtype=bool)
        for _ in range(_CHAIN):
            waiting = waiting[last[waiting] + 1 < block.count]
            if not len(waiting):
                break
            last[waiting] += 1
            passed = last[waiting][block.digest[last[waiting]] == 0]
            if len(passed):
                # What says nothing in the state before may change this one.
                self._digest(block, passed)
            own = np.full(len(waiting), _UNREAD, dtype=np.int32)
            for number in set(state[waiting].tolist()):
                mine = state[waiting] == number
                own[mine] = self._codes_in(block, last[waiting[mine]], states[number])
            known = (own >= 0) & ~single[own]
            waiting, own = waiting[known], own[known]
            found.append((waiting, own))
            follows = turns[own]
            state[waiting] = np.where(follows >= 0, follows, state[waiting])
            over = state[waiting] == base.number
            done[waiting[over]] = True
            waiting = waiting[~over]
        ends = np.where(done, last, begins)
        # A chain that begins within another one is none.
        reach = np.maximum.accumulate(ends)
        apart = np.append(True, begins[1:] > reach[:-1])
        taken = done & apart
        for step, (chains, own) in enumerate(found, start=1):
            mine = taken[chains]
            block.code[begins[chains[mine]] + step] = own[mine]
        return list(zip(begins[taken].tolist(), ends[taken].tolist(), strict=True))

    def _out_of(
        self, block: _Block, at: int, slow: list[tuple[int, Event | Line]], chains: list[tuple[int, int]]
    ) -> int:
        """Read on to the end of the chain that ``at`` is in the midst of."""
        begin, end = chains[bisect_right(chains, (at, -1)) - 1] if chains else (at, -1)
        if not begin < at <= end:
            return at
        while at <= end:
            block.code[at] = _UNREAD
            self._single(block, at, slow)
            at += 1
        return at

    def _one_by_one(self, block: _Block, at: int, slow: list[tuple[int, Event | Line]], base: _State | None) -> int:
        """Read on line by line until the reader is in the state ``base`` again, or (None) in any that rests."""
        until = block.count if base is None else min(block.count, at + PATIENCE)
        while at < until:
            state = self._state
            if state is base and base is not None:
                return at
            if base is None and state is not None:
                return at
            block.code[at] = _UNREAD
            self._single(block, at, slow)
            at += 1
        return at

    def _code_of(self, block: _Block, at: int, state: _State) -> int:
        """Look one line up."""
        digest = int(block.digest[at])
        code = state.codes.get(digest, _UNREAD) if digest else _UNREAD
        if code >= 0 and (entry := self.book.entries[code]).parts is not None:
            return entry.parts.get(self._piece(block, at, entry), _UNREAD)
        return code

    def _piece(self, block: _Block, at: int, entry: _Entry) -> bytes:
        rest = int(block.rest[at])
        return b"".join(block.data[rest + start : rest + stop] for start, stop in entry.fixed)

    def _single(self, block: _Block, at: int, slow: list[tuple[int, Event | Line]]) -> None:
        """Take one line: by its entry, or by the parser, from which its shape is learnt if it comes often."""
        code = int(block.code[at])
        if code == _UNREAD and self._state is not None:
            # It may have been learnt since the block was looked up.
            code = self._code_of(block, at, self._state)
            block.code[at] = code
        if code >= 0:
            entry = self.book.entries[code]
            if entry.learnt is not None:
                if not entry.learnt.derived or self._derive(block, at, entry.learnt):
                    if entry.next is not None:
                        self._state = entry.next
                    return
            elif code == 0:
                return
        self._by_reader(block, at, slow)

    @staticmethod
    def _derive(block: _Block, at: int, learnt: Learnt) -> bool:
        """Make the values that are made of pieces of this line; False: they cannot be made."""
        rest = int(block.rest[at])
        made = []
        for one, start, stop in learnt.derived:
            values = one.make(block.data[rest + start : rest + stop].decode("ascii"))
            if values is None:
                return False
            made.append((at, one.names, values))
        block.made += made
        return True

    def _by_reader(self, block: _Block, at: int, slow: list[tuple[int, Event | Line]]) -> None:
        reader, state = self._stateful, self._state
        assert reader is not None
        raw = block.line(at)
        key: bytes | None = None
        name = b""
        if state is not None:
            key, name = self._name_in(block, at)
            if key is not None and (code := state.named.get(key, _UNREAD)) >= 0:
                entry = self.book.entries[code]
                block.code[at] = code
                learnt = entry.learnt
                if learnt is not None and learnt.named:
                    block.device[at] = self.vocabulary.devices.code(name.decode("ascii"))
                if entry.next is not None:
                    self._state = entry.next
                return
            reader.resume(state.carry)
        block.code[at] = _BY_READER
        slow.append((at, reader.read(decode(raw))))
        after = reader.carry()
        self._state = self.book.state(after)
        if state is None or after is None or len(self.book.entries) >= SHAPES_MOST:
            return
        if key is not None:
            self._count_named(block, at, state, key, name)
            return
        digest = int(block.digest[at])
        if digest:
            if len(state.seen) > COUNTED_MOST:
                state.seen.clear()
            state.seen[digest] += 1
            if state.seen[digest] >= LEARN_AFTER:
                del state.seen[digest]
                self._learn(block, at, state, digest)

    # ---- learning -------------------------------------------------------------------------------------------------

    def _name_in(self, block: _Block, at: int) -> tuple[bytes | None, bytes]:
        """Give a line with a blot in place of the name that its rest bears, as a key; None: it bears none."""
        if self._name is None:
            return None, b""
        rest = block.data[block.rest[at] : block.stop[at]]
        framed = block.rest[at] > block.body[at]
        if framed:
            name = self.vocabulary.devices.words[int(block.device[at])].encode("ascii")
            if name not in rest:
                return None, b""
        elif self._named is not None and (match := self._named.search(rest)) is not None:
            name = match[match.lastindex or 0]
        else:
            return None, b""
        if b"\0" in rest or self._opaque is None or self._opaque.fullmatch(name) is None:
            return None, b""
        lead = b""
        if framed:
            frame = self._frame_at(block, at)
            if frame is None:
                return None, b""
            lead = frame.before
        return b"%d\0%b\0%b" % (bool(block.stamped[at]), lead, rest.replace(name, b"\0")), name

    def _frame_at(self, block: _Block, at: int) -> Frame | None:
        body = block.data[block.body[at] : block.rest[at]]
        return next((frame for frame in self._frames if body.startswith(frame.before)), None)

    def _count_named(self, block: _Block, at: int, state: _State, key: bytes, name: bytes) -> None:
        if len(state.seen_named) > COUNTED_MOST:
            state.seen_named.clear()
        state.seen_named[key] += 1
        if state.seen_named[key] != LEARN_AFTER:
            return
        given = self._given(block, at, name.decode("ascii"), hole=True)
        learnt = self._learn_given(block, at, given, state)
        if learnt is not None and not learnt.places and not learnt.derived and not learnt.fixed:
            state.named[key] = self.book.entry(learnt, state)

    def _given(self, block: _Block, at: int, name: str = "", *, hole: bool = False) -> Given | None:
        """Take a line apart; None: it has the letter that stands for a name."""
        raw = block.line(at)
        if b"\0" in raw:
            return None
        text = decode(raw)
        begin, body, rest = int(block.start[at]), int(block.body[at]), int(block.rest[at])
        stamp, lead, tail = text[: body - begin], text[body - begin : rest - begin], text[rest - begin :]
        session = ""
        if lead:
            frame = self._frame_at(block, at)
            if frame is None:
                return None
            name = self.vocabulary.devices.words[int(block.device[at])]
            close = chr(frame.close)
            lead = frame.before.decode("ascii") + ("{session}" + close if frame.session else "") + "{name}" + close
            if frame.session:
                session = self.vocabulary.sessions.words[int(block.session[at])]
        return Given(stamp, lead, tail.replace(name, HOLE) if hole else tail, session, name)

    def _learn_given(self, block: _Block, at: int, given: Given | None, state: _State) -> Learnt | None:
        reader = self._stateful
        if given is None or reader is None:
            return None
        stamps = []
        if given.stamp and self._layout is not None:
            stamps = [(given.stamp, int(block.stamp[at])), *self._layout.samples(given.stamp)]
        learnt = self.book.learner.learn(given, state.carry, stamps)
        if learnt is not None and (learnt.places or learnt.derived or learnt.fixed) and not given.text.isascii():
            # Places are counted in letters, and here these are not bytes.
            return None
        return learnt

    def _learn(self, block: _Block, at: int, state: _State, digest: int) -> None:
        """Learn the shape of a line that was read, for all lines of its digest in this state."""
        learnt = self._learn_given(block, at, self._given(block, at), state)
        if learnt is None:
            return
        known = state.codes.get(digest, _UNREAD)
        if known >= 0:
            # Another line of this digest was learnt before: one whose own digits differ.
            entry = self.book.entries[known]
            if entry.parts is not None and entry.fixed == learnt.fixed:
                entry.parts[self._piece(block, at, entry)] = self.book.entry(learnt, state)
            return
        if learnt.line is Line.QUIET and learnt.after == state.carry:
            self._heat(block, at, state)
        if not learnt.fixed:
            self._know(state, digest, self.book.entry(learnt, state))
            return
        entry = _Entry(None, -1, None, {}, learnt.fixed)
        assert entry.parts is not None
        entry.parts[self._piece(block, at, entry)] = self.book.entry(learnt, state)
        self._know(state, digest, self.book.add(entry))

    @staticmethod
    def _heat(block: _Block, at: int, state: _State) -> None:
        """Remember a short line by its letters."""
        body = block.data[block.body[at] : block.stop[at]]
        if len(state.hot) < _HOT_MOST and block.stamped[at] and len(body) <= _SHORT:
            mask = np.frombuffer((b"\xff" * len(body)).ljust(_SHORT, b"\0"), dtype=np.uint64)
            state.hot.append((len(body), np.frombuffer(body.ljust(_SHORT, b"\0"), dtype=np.uint64), mask))

    @staticmethod
    def _know(state: _State, digest: int, code: int) -> None:
        if code >= 0:
            state.codes[digest] = code
            state.known.add(np.array([digest], dtype=np.uint64), np.array([code], dtype=np.int32))

    # ---- rows -----------------------------------------------------------------------------------------------------

    def _emit(self, block: _Block, slow: Sequence[tuple[int, Event | Line]]) -> None:
        """Make rows of a block's events, and count its other lines."""
        code = block.code
        learnt = np.maximum(code, 0)
        shape = np.where(code >= 0, self.book.table("shape")[learnt], np.int32(-1))
        in_place = {name: self.book.table(name)[learnt] & (code >= 0) for name in ("QUIET", "PART", "UNKNOWN")}
        parts = np.flatnonzero(in_place["PART"]).tolist()
        unknown = np.flatnonzero(in_place["UNKNOWN"]).tolist()
        quiet = int(in_place["QUIET"].sum())
        stamp = np.where(self.book.table("stamped")[learnt] & (code >= 0), block.stamp, NONE)
        device = np.where(self.book.table("named")[learnt], block.device, np.int32(-1))
        session = np.where(self.book.table("in_session")[learnt], block.session, np.int32(-1))
        events: list[tuple[int, Event]] = []
        waiting = self.vocabulary.shape(_TO_COME) if slow else -1
        for at, said in slow:
            if isinstance(said, Event):
                events.append((at, said))
                shape[at] = waiting
                stamp[at] = NONE if said.stamp is None else said.stamp
                device[at] = -1 if said.device is None else self.vocabulary.devices.code(said.device)
                session[at] = -1 if said.session is None else self.vocabulary.sessions.code(said.session)
            elif said is Line.PART:
                parts.append(at)
            elif said is Line.UNKNOWN:
                unknown.append(at)
            else:
                quiet += 1
        rows = np.flatnonzero(shape != -1)
        self._values(block, rows)
        self._dense["shape"].append(shape[rows])
        self._dense["line"].append((self.lines + 1 + rows).astype(np.int32))
        self._dense["stamp"].append(stamp[rows])
        self._dense["device"].append(device[rows])
        self._dense["session"].append(session[rows])
        for at, event in events:
            self._open.append((self._count + int(np.searchsorted(rows, at)), event))
        if parts:
            of = np.searchsorted(rows, np.sort(parts)) - 1 + self._count
            self._spans.append(of[of >= 0])
            quiet += int((of < 0).sum())
        for at in sorted(unknown):
            if len(self.unknown) >= self._unknown_kept:
                break
            self.unknown.append((self.lines + 1 + at, decode(block.line(at))))
        if self._kept is not None:
            self._kept += [block.line(at) for at in rows.tolist()]
        self.quiet += quiet
        self.unparsed += len(unknown)
        self.lines += block.count
        self._count += len(rows)
        # Of a reader that does not say what it waits for nothing is settled before the end.
        if self._state is not None or (isinstance(self.reader, StatefulReader) and self.reader.carry() is not None):
            self._settle()

    def _values(self, block: _Block, rows: np.ndarray) -> None:
        """Read the values that differ from line to line where they stand."""
        # The first entry has no values: it stands for the lines that are in no table.
        code = np.maximum(block.code[rows], 0)
        for name, (starts, lengths) in self.book.table("places").items():  # type: ignore[attr-defined]
            begin = starts[code]
            own = np.flatnonzero(begin >= 0)
            if not len(own):
                continue
            at = block.rest[rows[own]] + begin[own]
            length = lengths[code[own]]
            if name in NUMBERS:
                values = _numbers(block.buffer, at, length)
            else:
                values = self.vocabulary.of(name).codes(block.buffer, at, length)
            self._put(name, own + self._count, values)
        pieces = np.flatnonzero(self.book.table("piece")[code] >= 0)
        if block.made and len(pieces):
            # Those that were gone through one by one have theirs: a leap second is none in bulk.
            pieces = pieces[~np.isin(rows[pieces], [at for at, _, _ in block.made])]
        if len(pieces):
            _, utc, zone = self._stamps(block, rows[pieces], code[pieces])
            layouts = self.book.table("layout")[code[pieces]]
            for number, derived in enumerate(self.book.derived):
                own = layouts == number
                if own.any():
                    for name, values in zip(derived.names, (utc, zone), strict=True):
                        self._put(name, pieces[own] + self._count, values[own])
        for at, names, made in block.made:
            row = self._count + int(np.searchsorted(rows, at))
            for name, value in zip(names, made, strict=True):
                self._late_value(name, row, value)

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

    def _settle(self) -> None:
        """Make columns of the events that the parser made: nothing is added to them any more."""
        for row, event in self._open:
            borne = {name: value for name, value in event.values.items() if value is not None}
            shape = self.vocabulary.shape(Shape(event.kind, event.level, own=frozenset(borne)))
            self._late[0].append(row)
            self._late[1].append(shape)
            for name, value in borne.items():
                self._late_value(name, row, value)
        self._open.clear()

    def rows(self) -> Rows:
        """Give all that was read as rows."""
        self._settle()
        dense = {
            name: np.concatenate(parts) if parts else np.zeros(0, dtype=DENSE[name])
            for name, parts in self._dense.items()
        }
        dense["shape"][np.array(self._late[0], dtype=np.int64)] = np.array(self._late[1], dtype=np.int32)
        for name, dtype in dense_types(self.vocabulary).items():
            dense[name] = dense[name].astype(dtype, copy=False)
        if self._spans:
            rows, more = np.unique(np.concatenate(self._spans), return_counts=True)
            self._put(SPAN, rows, more)
        late = {name: self.vocabulary.of(name).codes_of(list(words)) for name, words in self._late_words.items()}
        columns = {name: own.columns(late.get(name)) for name, own in self._own.items()}
        return Rows(
            **dense,
            numbers={name: found for name, found in columns.items() if name in NUMBERS or name == SPAN},
            words={name: (r, c.astype(np.int32)) for name, (r, c) in columns.items() if name in WORDS},
        )


def _one_by_one_made(learnt: Learnt) -> bool:
    """Tell whether a shape has values that are made of pieces of its lines, and not in bulk."""
    return len(learnt.derived) > 1 or any(one.layout is None for one, _, _ in learnt.derived)


#: How long a session's number and a name in a frame may be. (bytes)
_SESSION_MOST, _NAME_MOST = 10, 128

#: Masks of the first bytes of a word of eight.
_LOW = np.array([(1 << 8 * count) - 1 for count in range(9)], dtype=np.uint64)

_SESSION = re.compile(rb"[0-9]{1,10}")

#: The shape of an event to which the parser may still add something.
_TO_COME = Shape("")


def _numbers(buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Read whole numbers of up to 18 digits, with a sign or without."""
    values = np.zeros(len(at), dtype=np.int64)
    minus = buffer[at] == 45
    for place in range(int(length.max())):
        inside = place < length
        digit = buffer[at + np.where(inside, place, 0)].astype(np.int64) - 48
        values = np.where(inside & ~((place == 0) & minus), values * 10 + digit, values)
    return np.where(minus, -values, values)
