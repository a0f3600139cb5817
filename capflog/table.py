"""The event table as compact columns: a row for each event, in the order in which the members were read.

Its rows are those of :mod:`capflog.rows`. A line's text is not kept at all: :class:`Texts` reads it back from its
member, by the number of the line.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from capflog.events import SOURCES, VALUES
from capflog.rows import (
    HOLE,
    MADE,
    NONE,
    NUMBERS,
    SPAN,
    Interned,
    OwnPart,
    Vocabulary,
    dense_types,
    own_room,
    rows_of_events,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    import pandas as pd

    from capflog.events import Event
    from capflog.lexicon import Lexicon
    from capflog.rows import Part, Room, Rows

#: So many kinds of events are looked for one by one.
_FEW = 8

#: Rows are of a stretch of the table where this is the most rows of it for each of them.
_DENSE = 4

#: So many rows are gone through at a time: what is made of them on the way stays in the processor's cache.
_PIECE = 1 << 18


class Texts(Protocol):
    """Gives the lines of rows as logged."""

    def fetch(self, table: Table, rows: np.ndarray) -> Iterator[tuple[int, str]]:
        """Yield (row, line) for each of the rows, which are sorted and distinct."""
        ...


class HeldTexts:
    """Lines that were kept as they came."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def fetch(self, _table: Table, rows: np.ndarray) -> Iterator[tuple[int, str]]:
        """Yield (row, line)."""
        for row in rows.tolist():
            yield row, self._texts[row]


class Table:
    """The events of a bundle.

    Dense columns are arrays with an item for each row: ``kind`` (a number of ``kinds``), ``source`` (of
    :data:`capflog.events.SOURCES`), ``member`` (of ``members``, which are in the order of their names), ``line``,
    ``stamp``, ``device`` and ``session`` (numbers of ``devices`` and ``sessions``; -1: none); and on the one clock, in
    ms since 1970 UTC, ``time``, ``earliest`` and ``latest``. Where there is no number or time there is :data:`NONE`.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        members: Sequence[str],
        vocabulary: Vocabulary,
        texts: Texts,
        room: Room = own_room,
    ) -> None:
        """Put together the rows of members, which leave ``parts``."""
        self.vocabulary = vocabulary
        self.devices = vocabulary.devices.words
        self.sessions = vocabulary.sessions.words
        self.texts = texts
        self.members: list[str] = sorted(members)
        place = {name: code for code, name in enumerate(self.members)}
        sizes = [part.count for part in parts]
        self.count = count = sum(sizes)
        starts = np.cumsum([0, *sizes]).tolist()
        kinds = Interned()
        of_shape = np.array([kinds.code(shape.kind) for shape in vocabulary.shapes], dtype=np.int16)
        self.kinds: list[str] = kinds.words
        self._kind_codes = kinds.codes
        types = dense_types(vocabulary) | {name: np.dtype(dtype) for name, dtype in MADE.items()}
        columns = room(count, types)
        for part, at, size in zip(parts, starts, sizes, strict=False):
            if size:
                part.give({name: column[at : at + size] for name, column in columns.items()}, of_shape)
        for name, column in columns.items():
            setattr(self, name, column)
        self._numbers = self._gathered(parts, starts, "numbers", np.int64)
        self._words = self._gathered(parts, starts, "words", np.int32)
        self.source = np.repeat(np.array([part.source for part in parts], dtype=np.uint8), sizes)
        of_part = [place[members[part.member]] for part in parts]
        self.member = np.repeat(np.array(of_part, dtype=np.int16 if len(place) < 1 << 15 else np.int32), sizes)
        for part in parts:
            part.wait()
        self._kept_texts: dict[int, str] = {}
        self._constants: dict[str, np.ndarray] = {}

    shape: np.ndarray
    line: np.ndarray
    stamp: np.ndarray
    device: np.ndarray
    session: np.ndarray
    kind: np.ndarray
    time: np.ndarray
    earliest: np.ndarray
    latest: np.ndarray

    @staticmethod
    def _gathered(
        parts: Sequence[Part], starts: Sequence[int], which: Literal["numbers", "words"], dtype: type[np.generic]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Join what differs from line to line over all members."""
        found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {}
        for part, at in zip(parts, starts, strict=False):
            for name, (places, values) in part.values(which).items():
                own = found.setdefault(name, ([], []))
                own[0].append(places + np.int64(at))
                own[1].append(values)
        joined = {}
        for name in list(found):
            of_rows, of_values = found.pop(name)
            places = np.concatenate(of_rows).astype(np.int64, copy=False)
            joined[name] = (places, np.concatenate(of_values).astype(dtype, copy=False))
        return joined

    def __len__(self) -> int:
        return self.count

    # ---- kinds and sources ----------------------------------------------------------------------------------------

    def of_kinds(self, kinds: Iterable[str]) -> np.ndarray:
        """Tell of each row whether it is of one of the kinds."""
        codes = [self._kind_codes[kind] for kind in kinds if kind in self._kind_codes]
        if len(codes) <= _FEW:
            # A comparison goes through a column ten times as fast as a look-up.
            mask = np.zeros(self.count, dtype=bool)
            for code in codes:
                mask |= self.kind == code
            return mask
        wanted = np.zeros(len(self.kinds), dtype=bool)
        wanted[codes] = True
        found: np.ndarray = wanted[self.kind]
        return found

    def rows_of(self, *kinds: str, source: str | None = None) -> np.ndarray:
        """List the rows of these kinds (and of a source), in order."""
        codes = [self._kind_codes[kind] for kind in kinds if kind in self._kind_codes]
        runs = [(0, self.count)] if source is None else self.runs_of(source)[:, :2].tolist()
        return _places(self.kind, codes, runs)

    @cached_property
    def runs(self) -> np.ndarray:
        """Where rows of one member and source stand together: (n, 4), first, behind the last, member, source."""
        begins = [np.zeros(min(1, self.count), dtype=np.int64)]
        for at in range(1, self.count, _PIECE):
            end = min(at + _PIECE, self.count)
            new = self.member[at:end] != self.member[at - 1 : end - 1]
            new |= self.source[at:end] != self.source[at - 1 : end - 1]
            begins.append(np.flatnonzero(new) + at)
        begin = np.concatenate(begins)
        return np.stack(
            [begin, np.append(begin[1:], self.count)[: len(begin)], self.member[begin], self.source[begin]], 1
        )

    def runs_of(self, source: str) -> np.ndarray:
        """Give those of the :attr:`runs` that are of a source."""
        found: np.ndarray = self.runs[self.runs[:, 3] == SOURCES.index(source)]
        return found

    def of_source(self, source: str) -> np.ndarray:
        """List the rows of a source, in order."""
        runs = self.runs_of(source)[:, :2].tolist()
        if not runs:
            return np.zeros(0, dtype=np.int64)
        return np.concatenate([np.arange(begin, end) for begin, end in runs])

    def rows_saying(self, name: str, word: str) -> np.ndarray:
        """List the rows whose value of that name is this word, in order."""
        code = self.vocabulary.of(name).code(word)
        own, codes = self._words.get(name, (np.zeros(0, dtype=np.int64),) * 2)
        said: np.ndarray = own[codes == code]
        of_shape = self._codes_of_shapes(name)
        shapes = np.flatnonzero(of_shape == code)
        if len(shapes) and self.count:
            shared = _places(self.shape, shapes.tolist(), [(0, self.count)])
            # What a row says itself counts more than what its shape says.
            at = np.searchsorted(shared, own)
            at, own = at[at < len(shared)], own[at < len(shared)]
            shared = np.delete(shared, at[shared[at] == own]) if len(own) else shared
            said = np.sort(np.concatenate([said, shared])) if len(said) else shared
        return said

    def rows_of_each(self, kinds: Iterable[str]) -> dict[str, np.ndarray]:
        """List the rows of each of these kinds, in order, with one look at all rows."""
        codes = {self._kind_codes[kind]: kind for kind in kinds if kind in self._kind_codes}
        found: dict[str, list[np.ndarray]] = {kind: [np.zeros(0, dtype=np.int64)] for kind in kinds}
        for at in range(0, self.count if codes else 0, _PIECE):
            piece = self.kind[at : at + _PIECE]
            there = np.flatnonzero(np.bincount(piece)).tolist()
            for code in there:
                if code in codes:
                    found[codes[code]].append(np.flatnonzero(piece == code) + at)
        return {kind: np.concatenate(own) for kind, own in found.items()}

    def kind_of(self, row: int) -> str:
        """Name a row's kind."""
        return self.kinds[int(self.kind[row])]

    def source_of(self, row: int) -> str:
        """Name a row's source."""
        return SOURCES[int(self.source[row])]

    def member_of(self, row: int) -> str:
        """Name the member that holds a row."""
        return self.members[int(self.member[row])]

    # ---- values ---------------------------------------------------------------------------------------------------

    def numbers(self, name: str, rows: np.ndarray | slice | None = None) -> np.ndarray:
        """Give a value that is a number for the given rows (all of them: None) as int64; NONE where it is not borne."""
        shape = self.shape if rows is None else self.shape[rows]
        of_shape = self._constants.get(name)
        if of_shape is None:
            shapes = self.vocabulary.shapes
            of_shape = np.array([dict(s.numbers).get(name, NONE) for s in shapes] or [NONE], dtype=np.int64)
            self._constants[name] = of_shape
        found: np.ndarray = of_shape[shape]
        own = self._numbers.get(name)
        if own is not None:
            self._put(found, own, rows)
        return found

    def put_numbers(self, name: str, rows: np.ndarray, values: np.ndarray) -> None:
        """Put other numbers in the place of those that rows (sorted) bear of their own."""
        own = self._numbers.get(name)
        if own is not None:
            places, held = own
            at = np.searchsorted(places, rows)
            there = (at < len(places)) & (places[np.minimum(at, len(places) - 1)] == rows)
            held[at[there]] = values[there]

    def borne(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the places among rows, which are sorted and distinct, of those that bear a number; and their numbers."""
        own = self._numbers.get(name)
        if not len(rows) or own is None or any(n == name for s in self.vocabulary.shapes for n, _ in s.numbers):
            found = self.numbers(name, rows)
            at = np.flatnonzero(found != NONE)
            return at, found[at]
        places, values = own
        first, last = int(rows[0]), int(rows[-1])
        lo, hi = np.searchsorted(places, (first, last + 1)).tolist()
        places, values = places[lo:hi], values[lo:hi]
        if last - first + 1 == len(rows):
            at = places - first
        else:
            at = np.searchsorted(rows, places)
            there = rows[at] == places
            at, values = at[there], values[there]
        there = values != NONE
        return (at, values) if there.all() else (at[there], values[there])

    def bearing(self, name: str) -> np.ndarray:
        """List the rows that bear a value, in order."""
        shapes = self.vocabulary.shapes
        shared = np.array([any(own == name for own, _ in (*s.words, *s.numbers)) for s in shapes] or [False])
        own = (self._numbers if name in NUMBERS else self._words).get(name, (np.zeros(0, dtype=np.int64),))[0]
        if not shared.any():
            return own
        rows: np.ndarray = np.union1d(np.flatnonzero(shared[self.shape]), own)
        return rows

    def codes(self, name: str, rows: np.ndarray | None = None) -> tuple[np.ndarray, Lexicon]:
        """Give a value that is a word for the given rows as numbers of the words given beside it; -1: not borne."""
        words = self.vocabulary.of(name)
        shape = self.shape if rows is None else self.shape[rows]
        found: np.ndarray = self._codes_of_shapes(name)[shape]
        holes = np.flatnonzero(found == -2)
        if len(holes):
            where = holes if rows is None else np.asarray(rows)[holes]
            both = self.shape[where].astype(np.int64) << 32 | self.device[where].astype(np.int64) & 0xFFFFFFFF
            distinct, back = np.unique(both, return_inverse=True)
            shapes = self.vocabulary.shapes
            made = [
                dict(shapes[pair >> 32].words)[name].replace(HOLE, self.devices[pair & 0xFFFFFFFF])
                for pair in distinct.tolist()
            ]
            found[holes] = words.codes_of(made)[back]
        own = self._words.get(name)
        if own is not None:
            self._put(found, own, rows)
        return found, words

    def _codes_of_shapes(self, name: str) -> np.ndarray:
        """Give the number of the word that all rows of a shape have alike; -1: none, -2: it holds the device's name."""
        of_shape = self._constants.get(name)
        if of_shape is None:
            words = self.vocabulary.of(name)
            said = [dict(s.words).get(name) for s in self.vocabulary.shapes]
            # Of shapes that hold the device's name the word is made row by row: -2.
            plain = sorted({word for word in said if word is not None and HOLE not in word})
            codes = dict(zip(plain, words.codes_of(plain).tolist(), strict=True))
            numbers = [-1 if w is None else -2 if HOLE in w else codes[w] for w in said]
            of_shape = self._constants[name] = np.array(numbers or [-1], dtype=np.int32)
        return of_shape

    @staticmethod
    def _put(found: np.ndarray, own: tuple[np.ndarray, np.ndarray], rows: np.ndarray | slice | None) -> None:
        places, values = own
        if rows is None:
            found[places] = values
            return
        if isinstance(rows, slice):
            low, high = np.searchsorted(places, (rows.start, rows.stop))
            found[places[low:high] - rows.start] = values[low:high]
            return
        if not len(rows) or not len(places):
            return
        first, last = int(rows.min()), int(rows.max())
        low, high = np.searchsorted(places, (first, last + 1)).tolist()
        if low == high:
            return
        places, values = places[low:high], values[low:high]
        span = last - first + 1
        rising = (rows[1:] > rows[:-1]).all()
        if rising and span == len(rows):
            found[places - first] = values
        elif rising and len(places) < len(rows):
            # Whichever are fewer are looked for among the others.
            at = np.searchsorted(rows, places)
            hit = rows[at] == places
            found[at[hit]] = values[hit]
        elif span <= _DENSE * len(rows):
            # Of most rows of a stretch one look-up tells the place: no search for each.
            number = np.zeros(span, dtype=np.int32)
            number[places - first] = np.arange(1, high - low + 1, dtype=np.int32)
            at = number[rows - first]
            hit = np.flatnonzero(at)
            found[hit] = values[at[hit] - 1]
        else:
            at = np.searchsorted(places, rows)
            at[at == len(places)] = 0
            hit = np.flatnonzero(places[at] == rows)
            found[hit] = values[at[hit]]

    def words(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Give a value that is a word for the given rows as an array of str, None where it is not borne."""
        codes, words = self.codes(name, rows)
        distinct, back = np.unique(codes, return_inverse=True)
        found: np.ndarray = np.array([None if c < 0 else words[c] for c in distinct.tolist()], dtype=object)[back]
        return found

    def number(self, name: str, row: int) -> int | None:
        """Give a number that the row bears, or None."""
        shape = self.vocabulary.shapes[int(self.shape[row])]
        if name in shape.own:
            places, values = self._numbers[name]
            at = int(np.searchsorted(places, row))
            return int(values[at]) if at < len(places) and places[at] == row else None
        return next((value for own, value in shape.numbers if own == name), None)

    def word(self, name: str, row: int) -> str | None:
        """Give a word that the row bears, or None; ``device``, ``session`` and ``level`` are words too."""
        if name == "level":
            return self.vocabulary.shapes[int(self.shape[row])].level
        if name in ("device", "session"):
            code = int(getattr(self, name)[row])
            return None if code < 0 else (self.devices if name == "device" else self.sessions)[code]
        shape = self.vocabulary.shapes[int(self.shape[row])]
        if name in shape.own:
            places, codes = self._words[name]
            at = int(np.searchsorted(places, row))
            return self.vocabulary.of(name)[int(codes[at])] if at < len(places) and places[at] == row else None
        said = next((word for own, word in shape.words if own == name), None)
        if said is not None and HOLE in said:
            return said.replace(HOLE, self.devices[int(self.device[row])])
        return said

    def values(self, row: int) -> dict[str, str | int]:
        """Give all named values that the row bears."""
        shape = self.vocabulary.shapes[int(self.shape[row])]
        found: dict[str, str | int] = {}
        for name in (*(own for own, _ in shape.words), *(own for own, _ in shape.numbers), *shape.own):
            value = self.number(name, row) if name in NUMBERS else self.word(name, row)
            if value is not None:
                found[name] = value
        return found

    # ---- lines ----------------------------------------------------------------------------------------------------

    def keep_texts(self, rows: Iterable[int]) -> None:
        """Read the lines of rows back, all at once, so that :meth:`text` has them at hand."""
        wanted = sorted({int(row) for row in rows if row not in self._kept_texts})
        if wanted:
            self._kept_texts.update(self.texts.fetch(self, np.array(wanted, dtype=np.int64)))

    def text(self, row: int) -> str:
        """Give a row's line as logged."""
        row = int(row)
        if row not in self._kept_texts:
            self.keep_texts((row,))
        return self._kept_texts[row]

    def texts_of(self, rows: np.ndarray, keep: Container[int] = ()) -> Iterator[tuple[int, str]]:
        """Read the lines of rows back, all at once: (row, line), each once, in the table's order.

        Those of the rows ``keep`` are at hand for :meth:`text` afterwards, the others are not kept.
        """
        if (rows[1:] <= rows[:-1]).any():
            rows = np.unique(rows)
        for row, line in self.texts.fetch(self, rows):
            if row in keep:
                self._kept_texts[row] = line
            yield row, line

    def forget_texts(self) -> None:
        """Let go of the lines that :meth:`keep_texts` read."""
        self._kept_texts.clear()

    # ---- for those who want all of it -----------------------------------------------------------------------------

    @cached_property
    def _level(self) -> np.ndarray:
        levels = [shape.level for shape in self.vocabulary.shapes]
        found: np.ndarray = np.array([*levels, None], dtype=object)[self.shape]
        return found

    def frame(self) -> pd.DataFrame:
        """Make a pandas frame with the columns of :data:`capflog.events.COLUMNS` and VALUES: all of it, much memory."""
        import pandas as pd  # noqa: PLC0415  (160 ms: only where it is needed)

        def words(codes: np.ndarray, names: Sequence[str] | Lexicon) -> pd.Categorical:
            used = np.unique(codes[codes >= 0])
            number = np.full(len(names) + 1, -1, dtype=np.int32)
            number[used] = np.arange(len(used))
            categories = pd.Index([names[code] for code in used.tolist()], dtype=object)
            return pd.Categorical.from_codes(number[codes], categories=categories)

        def numbers(values: np.ndarray) -> pd.arrays.IntegerArray:
            return pd.arrays.IntegerArray(np.where(values == NONE, 0, values), values == NONE)

        def times(values: np.ndarray) -> pd.Series[pd.Timestamp]:
            return pd.Series(values.view("datetime64[ms]")).dt.tz_localize("UTC")

        every = np.arange(self.count)
        texts = np.empty(self.count, dtype=object)
        for row, text in self.texts.fetch(self, every):
            texts[row] = text
        data: dict[str, object] = {
            "kind": words(self.kind, self.kinds),
            "source": pd.Categorical.from_codes(self.source.astype(np.int8), categories=pd.Index(SOURCES)),
            "member": words(self.member, self.members),
            "line": self.line.astype(np.int64),
            "span": np.where((more := self.numbers(SPAN)) == NONE, 0, more) + 1,
            "stamp": numbers(self.stamp),
            "device": words(self.device, self.devices),
            "session": words(self.session, self.sessions),
            "level": pd.Categorical(self._level),
            "time": times(self.time),
            "earliest": times(self.earliest),
            "latest": times(self.latest),
            "text": texts,
        }
        for name in VALUES:
            data[name] = numbers(self.numbers(name)) if name in NUMBERS else words(*self.codes(name))
        return pd.DataFrame(data)


def _places(column: np.ndarray, codes: Sequence[int], runs: Iterable[Sequence[int]]) -> np.ndarray:
    """List the places, within the runs (first, behind the last), at which a column has one of the codes."""
    found = [np.zeros(0, dtype=np.int64)]
    wanted = np.zeros(max(codes, default=0) + 1, dtype=bool)
    wanted[list(codes)] = True
    for begin, end in runs if len(codes) else ():
        for at in range(begin, end, _PIECE):
            piece = column[at : min(at + _PIECE, end)]
            if len(codes) <= _FEW:
                # A comparison goes through a column ten times as fast as a look-up.
                mask = piece == codes[0]
                for code in codes[1:]:
                    mask |= piece == code
            else:
                mask = wanted.take(piece, mode="clip") & (piece < len(wanted))
            found.append(np.flatnonzero(mask) + at)
    return np.concatenate(found)


class TableBuilder:
    """Gathers the events of members: rows that the scanner made, or events one by one, with or without their text."""

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self.vocabulary = vocabulary or Vocabulary()
        self._members: dict[str, int] = {}
        self._parts: list[Part] = []
        self._texts: list[str] = []

    def add(self, source: str, member: str, events: Iterable[Event]) -> None:
        """Take the events of one member, with their texts."""
        events = list(events)
        self._texts += [event.text for event in events]
        self.add_rows(source, member, rows_of_events(events, self.vocabulary))

    def add_rows(self, source: str, member: str, rows: Rows, *, lines: int = 0) -> None:
        """Take rows of one member, for good; ``lines``: those before the ones that the rows count from 1."""
        self.add_part(OwnPart(SOURCES.index(source), self.number(member), rows, lines))

    def add_part(self, part: Part) -> None:
        """Take a part whose codes are of this builder's vocabulary."""
        self._parts.append(part)

    def number(self, member: str) -> int:
        """Give a member's number in parts."""
        return self._members.setdefault(member, len(self._members))

    def table(self, texts: Texts | None = None, room: Room = own_room) -> Table:
        """Make the event table; without ``texts`` those of the events are kept."""
        return Table(self._parts, list(self._members), self.vocabulary, texts or HeldTexts(self._texts), room)
