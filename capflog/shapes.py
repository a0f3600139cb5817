"""What a line's shape is, learnt from the parser that reads it.

Millions of lines of a log are alike but for their numbers and a phone's name. A parser reads a few of each shape; then
the shape is remembered: what all such lines have alike, and which bytes of a line are which value. Nothing about the
log is known here: a line is read again with other numbers and another name in place of its own, and what changes tells
which value comes from where. What does not change as it should is part of the shape, so that another number there is
another shape; so are digits within a word. Where even that does not explain the reading, the line has no shape and is
always read by the parser.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capflog.events import Event
from capflog.parsing import Line
from capflog.rows import HOLE, NUMBERS, Shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from capflog.parsing import Derived, Parser, StatefulReader

_RUN = re.compile(r"[0-9]+")

#: Names in place of a line's own, of several lengths and letters.
_NAMES = ("SEP0123456789AB", "x1", "CSFa-b_c.d9Z", "ATA76543210FEDC00")
#: How many lines are remembered to try on others that differ in the length of their numbers.
_MODELS_MOST = 5_000

_SESSIONS = ("7", "40", "9999999999")


@dataclass(frozen=True, slots=True)
class Place:
    """A value that stands in the line: where, from the beginning of the rest, in letters."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Learnt:
    """What all lines of a shape say. ``event`` None: it makes no event, and ``line`` says what it is.

    ``stamped``: the event's stamp is the line's. ``fixed``: digits that belong to the shape: (start, stop) in the rest.
    ``derived``: values that are made of a piece of the line. ``named``, ``in_session``: the event's device is the name
    in the line, its session the session there. ``after``: the reader's state behind such a line.
    """

    line: Line | None
    event: Shape | None
    stamped: bool
    places: tuple[Place, ...]
    derived: tuple[tuple[Derived, int, int], ...]
    fixed: tuple[tuple[int, int], ...]
    named: bool
    in_session: bool
    after: Hashable


@dataclass(frozen=True, slots=True)
class Given:
    """A line in its parts: the stamp, what stands before the rest (with session and name in it), the rest.

    ``lead`` holds ``{session}`` and ``{name}`` where it is a frame. In ``rest`` the name stands as :data:`HOLE`.
    """

    stamp: str
    lead: str
    rest: str
    session: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """Write the line."""
        lead = self.lead.replace("{session}", self.session).replace("{name}", self.name)
        return self.stamp + lead + self.rest.replace(HOLE, self.name)


@dataclass(slots=True)
class _Reading:
    said: Event | Line
    after: Hashable


class Learner:
    """Reads lines in variations."""

    def __init__(self, parser: Parser, reader: StatefulReader) -> None:
        self._reader = reader
        self._derived: Sequence[Derived] = getattr(parser, "derived", ())
        # The same variations in every run: what is learnt must not depend on chance.
        self._random = random.Random(214396)  # noqa: S311
        self._models: dict[tuple[Hashable, str, bool, str], tuple[Learnt, list[tuple[int, int]]]] = {}

    def _read(self, given: Given, before: Hashable) -> _Reading:
        self._reader.resume(before)
        said = self._reader.read(given.text)
        return _Reading(said, self._reader.carry())

    def learn(self, given: Given, before: Hashable, stamps: Sequence[tuple[str, int]]) -> Learnt | None:
        """Learn a line's shape in a state of the reader; None: it has none.

        ``stamps``: other stamps for the line and the ms of each; empty where the line bears none at its beginning.
        The reader is left in any state.
        """
        runs = [] if HOLE in given.rest else [match.span() for match in _RUN.finditer(given.rest)]
        # A line that is as one before but for the length of its numbers most likely says the same.
        kin = (before, given.lead, bool(stamps), _RUN.sub("0", given.rest))
        self._reader.resume(before)
        if (model := self._models.get(kin)) is not None and not getattr(self._reader, "literal", False):
            learnt = _moved(*model, runs)
            if self._holds(learnt, given, before, runs, stamps[:1]):
                return learnt
        found = self._learn(given, before, stamps, runs)
        if found is not None and len(self._models) < _MODELS_MOST:
            self._models[kin] = found, runs
        return found

    def _learn(
        self, given: Given, before: Hashable, stamps: Sequence[tuple[str, int]], runs: list[tuple[int, int]]
    ) -> Learnt | None:
        base = self._read(given, before)
        if base.after is None:
            return None
        self._reader.resume(before)
        if getattr(self._reader, "literal", False) and (runs or given.name):
            return None
        if base.said is Line.UNKNOWN and runs:
            # Other numbers may make sense of it, several of them at once.
            return None
        if any((match := one.pattern.search(given.rest)) and one.make(match[1]) is None for one in self._derived):
            return None
        if not isinstance(base.said, Event):
            return self._of_line(given, before, base, stamps, runs)
        event = base.said
        if event.stamp is not None and not stamps:
            return None
        if event.device is not None and event.device != given.name:
            return None
        if event.session is not None and ("{session}" not in given.lead or event.session != given.session):
            return None
        places: dict[str, tuple[int, int]] = {}
        fixed: list[tuple[int, int]] = []
        derived = self._derivations(event, given.rest)
        made_of = [(start, stop) for _, start, stop in derived]
        for run in runs:
            if _within(run, made_of):
                continue
            if _of_word(given.rest, run):
                fixed.append(run)
                continue
            found = self._effect(given, before, base, run)
            if found is None or any(places.get(name, place) != place for name, place in found.items()):
                fixed.append(run)
            else:
                places |= found
        learnt = self._put_together(base, given, places, fixed, derived)
        if event.device is None and learnt.event is not None and any(HOLE in word for _, word in learnt.event.words):
            return None
        return learnt if self._holds(learnt, given, before, runs, stamps) else None

    def _of_line(
        self,
        given: Given,
        before: Hashable,
        base: _Reading,
        stamps: Sequence[tuple[str, int]],
        runs: Sequence[tuple[int, int]],
    ) -> Learnt | None:
        """Learn a line that makes no event: then it must make none whatever its numbers are."""
        assert not isinstance(base.said, Event)
        fixed: list[tuple[int, int]] = []
        for run in runs:
            if _of_word(given.rest, run):
                fixed.append(run)
                continue
            for other in self._variations(given, [run]):
                read = self._read(other, before)
                if read.said is not base.said or read.after != base.after:
                    fixed.append(run)
                    break
        learnt = Learnt(base.said, None, False, (), (), tuple(fixed), False, False, base.after)
        return learnt if self._holds(learnt, given, before, runs, stamps) else None

    # ---- variations -----------------------------------------------------------------------------------------------

    def _variations(
        self, given: Given, runs: Sequence[tuple[int, int]], make: Sequence[str] = ("", "9", "1", "?", "?")
    ) -> list[Given]:
        """Write other digits in place of the runs': the least, the greatest, small ones, by chance (``?``)."""
        found = []
        for sign in make:
            rest = given.rest
            for start, stop in runs:
                size = stop - start
                digits = self._digits(size) if sign == "?" else sign * size if sign == "9" else sign[-size:].zfill(size)
                rest = rest[:start] + digits + rest[stop:]
            found.append(Given(given.stamp, given.lead, rest, given.session, given.name))
        return found

    def _digits(self, count: int) -> str:
        return "".join(self._random.choice("123456789") for _ in range(count))

    def _effect(
        self,
        given: Given,
        before: Hashable,
        base: _Reading,
        run: tuple[int, int],
    ) -> dict[str, tuple[int, int]] | None:
        """Find the values that a run of digits is part of, and where they stand; None: it changes more than values."""
        event = base.said
        assert isinstance(event, Event)
        read = [(other, self._read(other, before)) for other in self._variations(given, [run])]
        changed: set[str] = set()
        for _, reading in read:
            said = reading.said
            if not isinstance(said, Event) or not _alike(said, event) or reading.after != base.after:
                return None
            changed |= {name for name, value in said.values.items() if value != event.values[name]}
        places: dict[str, tuple[int, int]] = {}
        for name in changed:
            place = next(
                (
                    (start, stop)
                    for start, stop in _candidates(given.rest, event.values[name], run)
                    if all(_at(name, other.rest, start, stop) == r.said.values[name] for other, r in read)  # type: ignore[union-attr]
                ),
                None,
            )
            if place is None:
                return None
            places[name] = place
        return places

    def _derivations(self, event: Event, rest: str) -> list[tuple[Derived, int, int]]:
        """Find the values that are made of a piece of the line, by what the parser says of them."""
        found = []
        for one in self._derived:
            match = one.pattern.search(rest)
            if match is None or not all(name in event.values for name in one.names):
                continue
            start, stop = match.span(1)
            if one.make(match[1]) == tuple(event.values[name] for name in one.names):
                found.append((one, start, stop))
        return found

    # ---- what was learnt --------------------------------------------------------------------------------------------

    @staticmethod
    def _put_together(
        base: _Reading,
        given: Given,
        places: dict[str, tuple[int, int]],
        fixed: Sequence[tuple[int, int]],
        derived: Sequence[tuple[Derived, int, int]],
    ) -> Learnt:
        event = base.said
        assert isinstance(event, Event)
        made = {name for one, _, _ in derived for name in one.names}
        words, numbers = [], []
        for name, value in event.values.items():
            if name in places or name in made:
                continue
            if name in NUMBERS:
                numbers.append((name, int(value)))
            else:
                words.append((name, str(value).replace(given.name, HOLE) if given.name else str(value)))
        shape = Shape(event.kind, event.level, tuple(words), tuple(numbers), frozenset(places) | made)
        return Learnt(
            None,
            shape,
            event.stamp is not None,
            tuple(Place(name, *place) for name, place in places.items()),
            tuple(derived),
            tuple(fixed),
            event.device is not None,
            event.session is not None,
            base.after,
        )

    def _holds(
        self,
        learnt: Learnt,
        given: Given,
        before: Hashable,
        runs: Sequence[tuple[int, int]],
        stamps: Sequence[tuple[str, int]],
    ) -> bool:
        """Prove what was learnt on lines in which all that may differ differs at once."""
        made_of = [(start, stop) for _, start, stop in learnt.derived]
        free = [run for run in runs if run not in learnt.fixed and not _within(run, made_of)]
        timed = [run for run in runs if _within(run, made_of)]
        tests = [given, *self._variations(given, free)] if free else [given]
        if timed:
            tests += self._variations(tests[-1], timed, make=("1", "2", "10", "11"))
        if "{name}" in given.lead or HOLE in given.rest:
            sessions = _SESSIONS if "{session}" in given.lead else (given.session,) * len(_NAMES)
            tests += [
                replace(test, name=name, session=session)
                for test in tests[:2]
                for name, session in zip(_NAMES, (*sessions, sessions[0]), strict=False)
            ]
        tests += [replace(tests[-1], stamp=stamp) for stamp, _ in stamps]
        told = dict(stamps)
        return all(self._is_so(learnt, test, before, told) for test in tests)

    def _is_so(self, learnt: Learnt, test: Given, before: Hashable, told: dict[str, int]) -> bool:
        read = self._read(test, before)
        said = read.said
        if read.after != learnt.after:
            return False
        if not isinstance(said, Event):
            return said is learnt.line
        shape = learnt.event
        if shape is None or said.kind != shape.kind or said.level != shape.level:
            return False
        if said.stamp != (told.get(test.stamp) if learnt.stamped else None):
            return False
        if (said.device, said.session) != (
            test.name if learnt.named else None,
            test.session if learnt.in_session else None,
        ):
            return False
        wanted: dict[str, str | int] = dict(shape.numbers)
        wanted |= {name: word.replace(HOLE, test.name) for name, word in shape.words}
        for place in learnt.places:
            wanted[place.name] = _at(place.name, test.rest, place.start, place.stop)
        for one, start, stop in learnt.derived:
            made = one.make(test.rest[start:stop])
            if made is None:
                # Such a line is left to the parser.
                return True
            wanted |= dict(zip(one.names, made, strict=True))
        return said.values == wanted


def _moved(learnt: Learnt, before: Sequence[tuple[int, int]], runs: Sequence[tuple[int, int]]) -> Learnt:
    """Put what was learnt of a line to one whose runs of digits have other lengths."""

    def moved(place: int) -> int:
        passed = sum(stop <= place for _, stop in before)
        return place - before[passed - 1][1] + runs[passed - 1][1] if passed else place

    return replace(
        learnt,
        places=tuple(Place(place.name, moved(place.start), moved(place.stop)) for place in learnt.places),
        derived=tuple((one, moved(start), moved(stop)) for one, start, stop in learnt.derived),
        fixed=tuple((moved(start), moved(stop)) for start, stop in learnt.fixed),
    )


def _of_word(rest: str, run: tuple[int, int]) -> bool:
    """Tell whether digits are part of a word (X509, PKCS10): there a grammar may mean just these."""
    before, after = rest[run[0] - 1 : run[0]], rest[run[1] : run[1] + 1]
    return before.isalpha() or before == "_" or after.isalpha() or after == "_"


def _within(run: tuple[int, int], pieces: Sequence[tuple[int, int]]) -> bool:
    return any(start <= run[0] and run[1] <= stop for start, stop in pieces)


def _alike(one: Event, other: Event) -> bool:
    return (
        one.kind == other.kind
        and one.level == other.level
        and one.device == other.device
        and one.session == other.session
        and (one.stamp is None) == (other.stamp is None)
        and list(one.values) == list(other.values)
    )


def _candidates(rest: str, value: str | int, run: tuple[int, int]) -> list[tuple[int, int]]:
    """List where a value can stand in the line so that the run is part of it."""
    if isinstance(value, int):
        sign = 1 if run[0] and rest[run[0] - 1] == "-" and value < 0 else 0
        return [(run[0] - sign, run[1])] if int(rest[run[0] - sign : run[1]]) == value else []
    found = []
    at = rest.find(value)
    while at >= 0 and at <= run[0]:
        if at + len(value) >= run[1]:
            found.append((at, at + len(value)))
        at = rest.find(value, at + 1)
    return found


def _at(name: str, rest: str, start: int, stop: int) -> str | int:
    """Read a value where it stands."""
    return int(rest[start:stop]) if name in NUMBERS else rest[start:stop]
