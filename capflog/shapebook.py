"""What was learnt of a parser's lines, kept so that compiled code (:mod:`capflog.lookup`) finds it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog import lookup
from capflog.lexicon import Lexicon
from capflog.parsing import UNKNOWN_KEPT, Line
from capflog.shapes import Learner
from capflog.stamps import DIGITS

if TYPE_CHECKING:
    import re
    from collections.abc import Hashable, Iterable, Sequence

    from capflog.parsing import Derived, Frame, Parser
    from capflog.rows import Vocabulary
    from capflog.scanning import Scanner
    from capflog.shapes import Learnt
    from capflog.stamps import StampLayout

#: How many shapes, states of the reader and waiting counts of a member are remembered.
SHAPES_MOST, STATES_MOST, COUNTED_MOST = 20_000, 64, 50_000

#: How many names or sessions are remembered, and how many new ones a run may find before they are looked at.
_WORDS_MOST, _FRESH_MOST = 200_000, 4_096

#: For so many lines of a block there is room at first.
_LINES_LEAST = 1 << 12

#: How many lines of a run may be missed.
MISSED_MOST = 1 << 12

#: More blanks than these are not told apart in one line.
_BLANKS_MOST = 256


@dataclass(slots=True)
class State:
    """A resting state of the reader, and how often lines were read in it that are not known yet.

    ``named``: lines by their letters with a blot in place of the name, and their entries.
    """

    carry: Hashable
    number: int
    codes: dict[int, int] = field(default_factory=dict)
    seen: Counter[int] = field(default_factory=Counter)
    named: dict[bytes, int] = field(default_factory=dict)
    seen_named: Counter[bytes] = field(default_factory=Counter)


@dataclass(slots=True)
class Entry:
    """What lines of one shape are; ``parts``: how those with digits of their own differ, by these digits."""

    learnt: Learnt | None
    shape: int
    next: State | None
    parts: dict[bytes, int] | None = None
    fixed: tuple[tuple[int, int], ...] = ()

    @property
    def single(self) -> bool:
        """Whether it has values that are made of pieces of its lines, and not in bulk."""
        learnt = self.learnt
        return learnt is not None and (
            len(learnt.derived) > 1 or any(one.layout is None for one, _, _ in learnt.derived)
        )


@dataclass(frozen=True, slots=True)
class Tables:
    """What becomes of lines, by their codes; the first entry is that of lines that say nothing.

    ``firsts``, ``places``, ``names``: the values that stand in lines, as :func:`capflog.lookup.standing` has them.
    """

    shape: np.ndarray
    stamped: np.ndarray
    named: np.ndarray
    in_session: np.ndarray
    piece: np.ndarray
    layout: np.ndarray
    means: np.ndarray
    firsts: np.ndarray
    places: np.ndarray
    names: Sequence[str]


class ShapeBook:
    """What was learnt of a parser's lines so far; all members of a process share it, with one vocabulary."""

    def __init__(self, parser: Parser, vocabulary: Vocabulary) -> None:
        self.parser = parser
        self.vocabulary = vocabulary
        self.layout: StampLayout | None = getattr(parser, "layout", None)
        self.frames: Sequence[Frame] = getattr(parser, "frames", ())
        self.derived: Sequence[Derived] = getattr(parser, "derived", ())
        self.name: re.Pattern[bytes] | None = getattr(parser, "name", None)
        self.opaque: re.Pattern[bytes] | None = getattr(parser, "opaque", None)
        self.scratch = np.zeros(lookup.HOLED_MOST + lookup.PADDING, dtype=np.uint8)
        self.entries: list[Entry] = [Entry(None, -1, None)]
        self.states: dict[Hashable, State] = {}
        self.known, self.holed, self.names, self.sessions = (new_table() for _ in range(4))
        self.fresh = np.zeros((_FRESH_MOST, lookup.FRESH_COLUMNS), dtype=np.int64)
        self.makes = np.ones(lookup.MAKES, dtype=np.int8)
        self.missed = np.zeros((MISSED_MOST, lookup.MISSED_COLUMNS), dtype=np.int64)
        self.lines = _room(0)
        self.buffer = np.zeros(0, dtype=np.uint8)
        self.forms = forms_of([self.layout, *(derived.layout for derived in self.derived)])
        self.framing = _framing(self.frames if self.name is not None else ())
        self.no_framing = _framing(())
        self._rests: lookup.Rests | None = None
        self._columns = {name: _column(64, name) for name in _COLUMNS}
        self._places: list[tuple[int, int, int]] = []
        self._firsts = [0, 0]
        self._value_names: dict[str, int] = {}
        self._places_made: tuple[np.ndarray, np.ndarray] | None = None
        self._pieces: list[tuple[int, int]] = []
        self._pieces_made = np.zeros((0, 2), dtype=np.int64)
        self._learner: Learner | None = None

    def begin(self, *, keeping: bool = False, unknown_kept: int = UNKNOWN_KEPT) -> Scanner:
        """Begin a member, or a stretch of one: see :class:`capflog.stretches.Book`."""
        from capflog.scanning import Scanner  # noqa: PLC0415  (it is made of the words of this module)

        return Scanner(self, keeping=keeping, unknown_kept=unknown_kept)

    def state(self, carry: Hashable | None) -> State | None:
        """Give a resting state of the reader; None: it waits for more of a record, or there are too many states."""
        if carry is None:
            return None
        state = self.states.get(carry)
        if state is None and len(self.states) < STATES_MOST:
            state = self.states[carry] = State(carry, len(self.states))
            self._rests = None
        return state

    @property
    def learner(self) -> Learner:
        """Read lines in variations with a reader of its own."""
        if self._learner is None:
            self._learner = Learner(self.parser, self.parser.reader())  # type: ignore[arg-type]
        return self._learner

    # ---- what is learnt ---------------------------------------------------------------------------------------------

    def entry(self, learnt: Learnt, state: State) -> int:
        """Keep what was learnt of lines in a state; gives its number, or UNREAD."""
        follows = self.state(learnt.after)
        if follows is None:
            return lookup.UNREAD
        shape = -1 if learnt.event is None else self.vocabulary.shape(learnt.event)
        return self.add(Entry(learnt, shape, None if follows is state else follows))

    def add(self, entry: Entry) -> int:
        """Keep an entry; gives its number."""
        number = len(self.entries)
        self.entries.append(entry)
        if number >= len(self._columns["shape"]):
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column, _column(number, name)])
        self._write(number, entry)
        return number

    def _write(self, number: int, entry: Entry) -> None:
        """Write an entry into the arrays."""
        columns, learnt = self._columns, entry.learnt
        columns["shape"][number] = entry.shape
        needs = 0
        if entry.next is not None:
            columns["turns"][number] = entry.next.number
            needs |= lookup.TURNING
        if entry.parts is not None:
            needs |= lookup.PARTED
            columns["parts"][number] = len(self._pieces), len(self._pieces) + len(entry.fixed)
            self._pieces += entry.fixed
            self._pieces_made = np.array(self._pieces, dtype=np.int64).reshape(-1, 2)
        for place in () if learnt is None else learnt.places:
            name = self._value_names.setdefault(place.name, len(self._value_names))
            self._places.append((name, place.start, place.stop - place.start))
        self._firsts.append(len(self._places))
        self._places_made = None
        columns["needs"][number] = needs
        if learnt is None:
            return
        columns["stamped"][number], columns["named"][number] = learnt.stamped, learnt.named
        columns["in_session"][number] = learnt.in_session
        means = columns["means"][number] = _MEANS[None if learnt.event is not None else learnt.line]
        if means != lookup.QUIET:
            needs |= lookup.SAYING
        if entry.single:
            needs |= lookup.SINGLE
        elif learnt.derived:
            needs |= lookup.STAMPED
            # Where in the rest the stamp stands of which values are made in bulk, and of which layout.
            columns["piece"][number] = learnt.derived[0][1]
            columns["layout"][number] = self.derived.index(learnt.derived[0][0])
        columns["needs"][number] = needs

    def know(self, state: State, digest: int, code: int) -> None:
        """Say what lines of a digest are in a state."""
        if code >= 0:
            state.codes[digest] = code
            self.known = with_number(self.known, lookup.line_key(np.uint64(digest), state.number), code)

    def know_holed(self, state: State, line: bytes, name: bytes, frame: int, code: int, *, stamped: bool) -> None:
        """Say what lines of the same rest as this one are in a state, whichever opaque name stands in it."""
        if len(line) > lookup.HOLED_MOST:
            return
        buffer = np.frombuffer(bytearray(line + name), dtype=np.uint8)
        key = lookup.holed_key(
            buffer, 0, len(line), len(line), len(name), self.scratch, words_of(self.scratch),
            np.uint64(lookup.seed_of(stamped, frame, lookup.SECRET)),
        )  # fmt: skip
        if key:
            self.holed = with_number(self.holed, lookup.line_key(np.uint64(key), state.number), code)

    def know_part(self, code: int, digits: bytes, part: int) -> None:
        """Say what lines of a shape are that have these digits."""
        entry = self.entries[code]
        assert entry.parts is not None
        entry.parts[digits] = part
        if part < 0:
            return
        # The digits alone, where they stand in a line.
        buffer = np.zeros(max(stop for _, stop in entry.fixed), dtype=np.uint8)
        at = 0
        for start, stop in entry.fixed:
            buffer[start:stop] = np.frombuffer(digits[at : at + stop - start], dtype=np.uint8)
            at += stop - start
        self.known = with_number(self.known, lookup.part_key(buffer, self.compiled(), code, lookup.SECRET), part)

    # ---- for compiled code ------------------------------------------------------------------------------------------

    def compiled(self) -> lookup.Entries:
        """Give what the look-up has to know of entries."""
        columns = self._columns
        return lookup.Entries(
            columns["needs"],
            columns["turns"],
            columns["parts"],
            self._pieces_made,
            columns["piece"],
            columns["layout"],
        )

    def rests(self) -> lookup.Rests:
        """Give what lines say nothing in each state."""
        if self._rests is None:
            states = list(self.states.values())
            count = len(states) + 1
            on, length = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.int64)
            needle, rare = np.zeros((count, 64), dtype=np.uint8), np.zeros(count, dtype=np.int64)
            blanks = np.zeros((count, _BLANKS_MOST), dtype=np.bool_)
            reader = self.parser.reader()
            for state in states:
                reader.resume(state.carry)  # type: ignore[attr-defined]
                idle = getattr(reader, "idle", None)
                if idle is None or not 0 < len(idle.needle) <= needle.shape[1]:
                    continue
                at = state.number
                on[at], length[at], rare[at] = True, len(idle.needle), idle.rarest
                needle[at, : length[at]] = np.frombuffer(idle.needle.lower(), dtype=np.uint8)
                blanks[at, [number for number in idle.blanks if number < _BLANKS_MOST]] = True
            self._rests = lookup.Rests(on, needle, length, rare, blanks)
        return self._rests

    def take(self, data: bytes) -> None:
        """Take a block's bytes."""
        size = len(data)
        if size + lookup.PADDING > len(self.buffer):
            self.buffer = np.zeros(size + size // 4 + lookup.PADDING, dtype=np.uint8)
        self.buffer[:size] = np.frombuffer(data, dtype=np.uint8)
        self.buffer[size : size + lookup.PADDING] = 0

    def make_room_for_lines(self, lines: int) -> None:
        """See to it that more than so many lines of a block can be kept; those that were found stay."""
        if lines >= len(self.lines.start):
            room = _room(max(lines, _LINES_LEAST))
            self.lines = lookup.Lines(*(np.concatenate(pair) for pair in zip(self.lines, room, strict=True)))

    def take_fresh(self, data: bytes, count: int) -> np.ndarray | None:
        """Give the codes of words that were met for the first time; None: one of them is no name after all.

        Then that is remembered, and what was made of the lines does not hold.
        """
        fresh, devices, sessions = self.fresh, self.vocabulary.devices, self.vocabulary.sessions
        codes, values = np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.int32)
        right = True
        for number, (at, length, named, _, taken, make) in enumerate(fresh[:count].tolist()):
            piece = data[at : at + length]
            if not named:
                codes[number] = values[number] = sessions.code(piece.decode("ascii"))
            elif self.name is None or self.name.fullmatch(piece) is None:
                values[number] = lookup.BAD
                right = False
            else:
                code = codes[number] = devices.code(piece.decode("ascii"))
                opaque = self.opaque is not None and self.opaque.fullmatch(piece) is not None
                values[number] = 2 * code + opaque
                self.makes[make & (lookup.MAKES - 1)] = opaque
                right &= opaque or not taken
        are_names, place = fresh[:count, lookup.FRESH_NAMED] == 1, fresh[:count, lookup.FRESH_PLACE]
        self.names.values[place[are_names]] = values[are_names]
        self.sessions.values[place[~are_names]] = values[~are_names]
        return codes if right else None

    def make_room_for_words(self) -> None:
        """See to it that new names and sessions can be taken."""
        self.names, self.sessions = (
            new_table() if table.held[0] > _WORDS_MOST else grown(table) if _is_full(table) else table
            for table in (self.names, self.sessions)
        )

    # ---- for rows ---------------------------------------------------------------------------------------------------

    def tables(self) -> Tables:
        """Give what becomes of lines by their codes."""
        if self._places_made is None:
            self._places_made = (
                np.array(self._firsts, dtype=np.int64),
                np.array(self._places, dtype=np.int64).reshape(-1, 3),
            )
        own = {name: self._columns[name] for name in _OF_ROWS}
        return Tables(**own, firsts=self._places_made[0], places=self._places_made[1], names=list(self._value_names))


#: Types of the arrays over all entries, and what is in them where nothing else is said: the first entry has all of it.
_COLUMNS: dict[str, tuple[type[np.generic], Any]] = {
    "shape": (np.int32, -1),
    "stamped": (np.bool_, False),
    "named": (np.bool_, False),
    "in_session": (np.bool_, False),
    "piece": (np.int64, -1),
    "layout": (np.int64, -1),
    "means": (np.int64, lookup.QUIET),
    "turns": (np.int64, -1),
    "parts": (np.int64, (-1, -1)),
    "needs": (np.int64, 0),
}

#: Those that :class:`Tables` has.
_OF_ROWS = ("shape", "stamped", "named", "in_session", "piece", "layout", "means")


def _column(count: int, name: str) -> np.ndarray:
    dtype, empty = _COLUMNS[name]
    return np.full((count, *np.shape(empty)), empty, dtype=dtype)


#: What an entry's lines are.
_MEANS = {None: lookup.EVENT, Line.QUIET: lookup.QUIET, Line.PART: lookup.PART, Line.UNKNOWN: lookup.UNKNOWN}

# ---- arrays ----------------------------------------------------------------------------------------------------------


def new_table() -> lookup.Keyed:
    """Make a table of numbers by keys."""
    return _table_of(np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int32), 1 << 11)


def grown(table: lookup.Keyed) -> lookup.Keyed:
    """Make a table with the same numbers and more room."""
    held = np.flatnonzero(table.keys)
    return _table_of(table.keys[held], table.values[held], 4 * len(table.keys))


def with_number(table: lookup.Keyed, key: int, number: int) -> lookup.Keyed:
    """Keep a number under a key; gives the table, which may be a larger one."""
    if _is_full(table):
        table = grown(table)
    lookup.put(table, np.uint64(key), number)
    return table


def words_of(buffer: np.ndarray) -> np.ndarray:
    """Give the eight bytes from each byte on as a number."""
    return np.ndarray(len(buffer) - 7, dtype=np.uint64, buffer=buffer, strides=(1,))


def _table_of(keys: np.ndarray, values: np.ndarray, size: int) -> lookup.Keyed:
    table = lookup.Keyed(np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.int32), np.zeros(1, dtype=np.int64))
    lookup.put_all(table, keys, values)
    return table


class CompiledLexicon(Lexicon):
    """A lexicon that compiled code fills."""

    def __init__(self) -> None:
        super().__init__()
        self._table = new_table()

    def _codes(self, buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        while (self._table.held[0] + len(at)) * 2 > len(self._table.keys):
            self._table = grown(self._table)
        codes, new = lookup.codes_of(words_of(buffer), at, length, self._table, lookup.SECRET)
        return codes, new


def _is_full(table: lookup.Keyed) -> bool:
    return bool(table.held[0] * 2 + 4 > len(table.keys))


def _room(lines: int) -> lookup.Lines:
    types = {"digest": np.uint64, "code": np.int32, "device": np.int32, "session": np.int32, "stamped": np.bool_}
    return lookup.Lines(*(np.zeros(lines, dtype=types.get(name, np.int64)) for name in lookup.Lines._fields))


def forms_of(layouts: Iterable[StampLayout | None]) -> lookup.Forms:
    """Write stamps' forms as arrays; one that there is none of has no width."""
    rows = [layout.form if layout is not None else "" for layout in layouts]
    letters = np.zeros((len(rows), lookup.FORM_MOST), dtype=np.uint8)
    fixed = np.zeros((len(rows), lookup.FORM_MOST), dtype=np.bool_)
    width, head = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    for number, form in enumerate(rows):
        encoded = np.frombuffer(form.encode("ascii"), dtype=np.uint8)
        letters[number, : len(form)] = encoded
        fixed[number, : len(form)] = [letter not in f"{DIGITS}bS" for letter in form]
        width[number] = len(form)
        # Behind the thousandths there may be a few literal letters alone; else the whole of it tells the second.
        at = form.find("f")
        behind = form[at:].lstrip("f") if at >= 0 else "Y"
        plain = not any(letter in f"{DIGITS}bS" for letter in behind) and len(form) - at <= 8
        head[number] = at if plain else len(form)
    return lookup.Forms(letters, fixed, width, head)


def _framing(frames: Sequence[Frame]) -> lookup.Frames:
    begin = np.zeros((len(frames), 2), dtype=np.uint64)
    mask = np.zeros((len(frames), 2), dtype=np.uint64)
    for number, frame in enumerate(frames):
        begin[number] = np.frombuffer(frame.before.ljust(16, b"\0"), dtype=np.uint64)
        mask[number] = np.frombuffer((b"\xff" * len(frame.before)).ljust(16, b"\0"), dtype=np.uint64)
    return lookup.Frames(
        begin,
        mask,
        np.array([len(frame.before) for frame in frames], dtype=np.int64),
        np.array([frame.close for frame in frames], dtype=np.int64),
        np.array([frame.session for frame in frames], dtype=np.bool_),
    )
