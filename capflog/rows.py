"""Rows of events on their way into the table: compact columns, and what their codes mean.

What many events share is kept once. Each row bears the number of its *shape*: the kind of event, the level, and the
values that all lines of that shape have alike; a value of it may hold the device's name, which stands in it as ``\\0``.
What differs from line to line has columns of its own, which hold only the rows that bear it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from capflog.events import VALUES
from capflog.lexicon import Lexicon

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capflog.events import Event

#: No time, no number: numpy's NaT seen as an integer.
NONE = int(np.iinfo(np.int64).min)

#: Where the device's name stands in a shape's value.
HOLE = "\0"

#: The named values that are numbers; all others are words.
NUMBERS = frozenset(name for name, (dtype, _) in VALUES.items() if dtype == "Int64")
WORDS = frozenset(VALUES) - NUMBERS


@dataclass(frozen=True, slots=True)
class Shape:
    """What all events of one shape have alike. ``words`` may hold :data:`HOLE`; ``own``: values that differ."""

    kind: str
    level: str | None = None
    words: tuple[tuple[str, str], ...] = ()
    numbers: tuple[tuple[str, int], ...] = ()
    own: frozenset[str] = frozenset()


class Interned:
    """Words by their numbers and back; the number is the place in the order of first sight."""

    __slots__ = ("codes", "words")

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words: list[str] = list(words)
        self.codes: dict[str, int] = {word: code for code, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def code(self, word: str) -> int:
        """Give the number of a word, a new one where it was not there."""
        code = self.codes.get(word)
        if code is None:
            code = self.codes[word] = len(self.words)
            self.words.append(word)
        return code

    def absorb(self, words: Iterable[str]) -> np.ndarray:
        """Take the words of another dictionary; gives this one's number for each of its numbers."""
        return np.array([self.code(word) for word in words], dtype=np.int32)


@dataclass(slots=True)
class Vocabulary:
    """What the codes of :class:`Rows` mean."""

    shapes: list[Shape] = field(default_factory=list)
    devices: Interned = field(default_factory=Interned)
    sessions: Interned = field(default_factory=Interned)
    words: dict[str, Lexicon] = field(default_factory=dict)
    """The words of each value that differs from line to line, by the value's name."""
    known: dict[Shape, int] = field(default_factory=dict)
    lexicon: Callable[[], Lexicon] = Lexicon

    def shape(self, shape: Shape) -> int:
        """Give the number of a shape."""
        code = self.known.get(shape)
        if code is None:
            code = self.known[shape] = len(self.shapes)
            self.shapes.append(shape)
        return code

    def of(self, name: str) -> Lexicon:
        """Give the words of a value."""
        found = self.words.get(name)
        if found is None:
            found = self.words[name] = self.lexicon()
        return found

    def absorb(self, other: Packed) -> Mapped:
        """Take another vocabulary's; gives what makes its codes this one's."""
        shapes, devices, sessions, words = other
        return Mapped(
            np.array([self.shape(shape) for shape in shapes], dtype=np.int32),
            np.append(self.devices.absorb(devices), np.int32(-1)),
            np.append(self.sessions.absorb(sessions), np.int32(-1)),
            {name: self.of(name).absorb(packed) for name, packed in words.items()},
        )

    def packed(self) -> Packed:
        """Give all of it in a form that can be sent."""
        words = {name: lexicon.packed() for name, lexicon in self.words.items()}
        return self.shapes, self.devices.words, self.sessions.words, words


#: Shapes, devices, sessions, and words by the name of their value.
Packed = tuple[list[Shape], list[str], list[str], dict[str, tuple[bytes, np.ndarray]]]


@dataclass(frozen=True, slots=True)
class Mapped:
    """This vocabulary's codes by those of another one; the last of devices and sessions is -1: none."""

    shapes: np.ndarray
    devices: np.ndarray
    sessions: np.ndarray
    words: dict[str, np.ndarray]

    def of(self, name: str) -> np.ndarray | None:
        """Give those of a dense column; None: it bears no codes."""
        return {"shape": self.shapes, "device": self.devices, "session": self.sessions}.get(name)


@dataclass(slots=True)
class Rows:
    """Events of one member, in its order, as columns of equal length.

    ``shape``, ``device``, ``session`` are codes of a :class:`Vocabulary` (-1: none); ``line`` is 1-based; ``stamp`` as
    :class:`capflog.events.Event` has it, NONE where there is none. ``numbers`` (also under :data:`SPAN`) and
    ``words``: for each value that differs, (rows in order, values) and (rows in order, codes).
    """

    shape: np.ndarray
    line: np.ndarray
    stamp: np.ndarray
    device: np.ndarray
    session: np.ndarray
    numbers: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    words: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.line)

    def after(self, line: int) -> Rows:
        """Give the rows behind a line."""
        first = int(np.searchsorted(self.line, line, side="right"))
        dense = {name: getattr(self, name)[first:] for name in DENSE}
        own = [
            {
                name: (places[at:] - first, values[at:])
                for name, (places, values) in columns.items()
                for at in (int(np.searchsorted(places, first)),)
            }
            for columns in (self.numbers, self.words)
        ]
        return Rows(**dense, numbers=own[0], words=own[1])


#: The dense columns of :class:`Rows` with the type that each is kept in.
DENSE: dict[str, type[np.generic]] = {
    "shape": np.int32,
    "line": np.int32,
    "stamp": np.int64,
    "device": np.int32,
    "session": np.int32,
}

#: Under this name :class:`Rows` tell, among the numbers, how many more physical lines an event takes than one.
SPAN = "span"


def dense_types(vocabulary: Vocabulary) -> dict[str, np.dtype[Any]]:
    """Give the types in which a table with this vocabulary keeps its dense columns: narrow ones, if they do."""
    words = {"shape": vocabulary.shapes, "device": vocabulary.devices, "session": vocabulary.sessions}
    return {
        name: np.dtype(np.int16 if name in words and len(words[name]) < 1 << 15 else dtype)  # type: ignore[arg-type]
        for name, dtype in DENSE.items()
    }


#: The dense columns that are made of the others or filled later, and the types that they are kept in.
MADE: dict[str, type[np.generic]] = {"kind": np.int16, "time": np.int64, "earliest": np.int64, "latest": np.int64}


class Part(Protocol):
    """The rows of one member, or of a stretch of it, on their way into a table."""

    source: int
    member: int
    """The number of the member among those of the table's builder."""

    @property
    def count(self) -> int: ...
    def give(self, columns: Mapping[str, np.ndarray], kinds: np.ndarray) -> None:
        """Write the dense columns, in the codes of the table's vocabulary, to where they belong; it is asked for once.

        ``columns``: those of :data:`DENSE` and :data:`MADE`, by name; ``kinds``: the kinds of shapes, by their codes.
        What is written is there when :meth:`wait` has come back.
        """
        ...

    def wait(self) -> None:
        """Wait until all is written."""
        ...

    def values(self, which: Literal["numbers", "words"]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Give what differs from line to line, in the codes of the table's vocabulary; it is asked for once."""
        ...


def write_columns(
    rows: Rows, columns: Mapping[str, np.ndarray], kinds: np.ndarray, lines: int, mapped: Mapped | None = None
) -> None:
    """Write the dense columns of rows; ``lines``: those before the ones that they count."""
    for name in DENSE:
        own = getattr(rows, name)
        if name == "line":
            np.add(own, np.int32(lines), out=columns[name])
        elif mapped is None or (codes := mapped.of(name)) is None:
            columns[name][:] = own
        else:
            # -1 is the last one.
            columns[name][:] = codes.take(own, mode="wrap")
    columns["kind"][:] = kinds.take(columns["shape"])
    for name in ("time", "earliest", "latest"):
        columns[name].fill(NONE)


@dataclass(slots=True)
class OwnPart:
    """Rows of this process, which they leave. ``lines``: those before the ones that they count."""

    source: int
    member: int
    rows: Rows
    lines: int = 0

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows.line)

    def give(self, columns: Mapping[str, np.ndarray], kinds: np.ndarray) -> None:
        """See :class:`Part`."""
        write_columns(self.rows, columns, kinds, self.lines)
        for name in DENSE:
            if name != "line":
                setattr(self.rows, name, NOTHING)

    def wait(self) -> None:
        """See :class:`Part`."""

    def values(self, which: Literal["numbers", "words"]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """See :class:`Part`."""
        found: dict[str, tuple[np.ndarray, np.ndarray]] = getattr(self.rows, which)
        setattr(self.rows, which, {})
        return found


#: What is left of a column that was given away.
NOTHING = np.zeros(0, dtype=np.int8)

#: Makes room for the columns of a table: of so many rows, each of its type.
Room = Callable[[int, "Mapping[str, np.dtype[Any]]"], "dict[str, np.ndarray]"]


def own_room(count: int, types: Mapping[str, np.dtype[Any]]) -> dict[str, np.ndarray]:
    """Make room in this process."""
    return {name: np.empty(count, dtype=dtype) for name, dtype in types.items()}


def rows_of_events(events: Sequence[Event], vocabulary: Vocabulary) -> Rows:
    """Make rows of events that were read one by one: every value is its row's own."""
    numbers: dict[str, tuple[list[int], list[int]]] = {}
    words: dict[str, tuple[list[int], list[str]]] = {}
    shapes: list[int] = []
    for row, event in enumerate(events):
        borne = {name: value for name, value in event.values.items() if name in VALUES and value is not None}
        for name, value in borne.items():
            if name in NUMBERS:
                places, values = numbers.setdefault(name, ([], []))
                values.append(int(value))
            else:
                places, said = words.setdefault(name, ([], []))
                said.append(str(value))
            places.append(row)
        shapes.append(vocabulary.shape(Shape(event.kind, event.level, own=frozenset(borne))))
    if longer := [(row, event.span - 1) for row, event in enumerate(events) if event.span > 1]:
        numbers[SPAN] = ([row for row, _ in longer], [more for _, more in longer])
    devices, sessions = vocabulary.devices, vocabulary.sessions
    columns: Mapping[str, Sequence[int]] = {
        "shape": shapes,
        "line": [event.line for event in events],
        "stamp": [NONE if event.stamp is None else event.stamp for event in events],
        "device": [-1 if event.device is None else devices.code(event.device) for event in events],
        "session": [-1 if event.session is None else sessions.code(event.session) for event in events],
    }
    dense = {name: np.array(columns[name], dtype=dtype) for name, dtype in DENSE.items()}
    return Rows(
        **dense,
        numbers={n: (np.array(p, np.int64), np.array(v, np.int64)) for n, (p, v) in numbers.items()},
        words={n: (np.array(p, np.int64), vocabulary.of(n).codes_of(w)) for n, (p, w) in words.items()},
    )


def joined_rows(parts: Sequence[Rows]) -> Rows:
    """Put rows of one member, in order, together."""
    dense = {name: np.concatenate([getattr(rows, name) for rows in parts]) for name in DENSE}
    before = np.cumsum([0, *(len(rows) for rows in parts)]).tolist()
    own: list[dict[str, tuple[np.ndarray, np.ndarray]]] = []
    for which in ("numbers", "words"):
        found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for rows, at in zip(parts, before, strict=False):
            for name, (places, values) in getattr(rows, which).items():
                found.setdefault(name, []).append((places + at, values))
        own.append({
            name: (np.concatenate([p for p, _ in columns]), np.concatenate([v for _, v in columns]))
            for name, columns in found.items()
        })  # fmt: skip
    return Rows(**dense, numbers=own[0], words=own[1])
