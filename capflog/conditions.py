"""The condition language of rules: what a condition that has been read is, and what it comes to.

    curl.failed with code = 51
    or curl.failed with code = 60 and text matches "does not match target host"

An *episode* is one enrollment, one start of CES, or one exchange that could be put to no phone: its events in the
order of time. A condition that names ``clock`` is asked of each clock beside the reference instead, one that asks of
several phones or of nothing but the bundle once, each together with the events that it names, wherever they stand in
the bundle (of those that fit the same test, the first few).

How sentences are read: :mod:`capflog.grammar`; what each form means: ``docs/rules.md``. Texts compare without regard
to case; a number and a text are equal where they are written alike. A test on a value that the event does not bear is
false, but for ``is missing``, ``!=`` and the ``not`` forms.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from capflog.events import VALUES
from capflog.patterns import Pattern, compile_pattern

if TYPE_CHECKING:
    from capflog.world import Told, World

#: The fact that stands for a clock.
CLOCK = "clock"

#: Fields of the facts that the engine itself puts into an episode, beside the events of the logs.
FACTS = {
    "enrollment": ("outcome", "error", "waited", "reached", "device", "previous"),
    "start": ("outcome",),
    CLOCK: ("source", "whose", "offset", "side", "zone_error", "zone_side", "step", "drift", "quality", "bound"),
}

#: The facts that bear no time.
TIMELESS = frozenset({"start", CLOCK})

#: Fields of the events of the logs.
FIELDS = frozenset(VALUES) | {"device", "session", "level", "source", "text", "raw"}

#: The facts of the whole that each episode has beside its own: the bundle, and what was told at the time: CAPF's
#: service parameters, and the certificates that CES trusts.
BUNDLE, TOLD = "bundle", "told"

Fact = Mapping[str, Any]
"""An event as conditions see it: ``kind``, ``at`` (ms, or None) and the fields by their names; absent = not borne."""

Match = list[Fact]
"""The events that make a condition true: the evidence. Empty where it is true for an absence."""


class ConditionError(ValueError):
    """A condition that cannot be read: what is wrong, and ``line`` and ``column``, 1-based within the condition."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison on a field of an event."""

    field: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class EventTest:
    """``KIND with ...``: the events of the episode that it fits."""

    kind: str
    tests: tuple[Test, ...]

    def all_in(self, episode: Sequence[Fact]) -> list[tuple[int, Fact]]:
        return [
            (i, fact)
            for i, fact in enumerate(episode)
            if fact["kind"] == self.kind and all(t.holds(fact.get(t.field)) for t in self.tests)
        ]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        found = self.all_in(episode)
        return [fact for _, fact in found] if found else None


@dataclass(frozen=True, slots=True)
class Absent:
    """``no KIND with ...``."""

    event: EventTest

    def match(self, episode: Sequence[Fact]) -> Match | None:
        return None if self.event.match(episode) else []


@dataclass(frozen=True, slots=True)
class Not:
    """``not ( ... )``: true where the condition is not."""

    part: Any

    def match(self, episode: Sequence[Fact]) -> Match | None:
        return [] if self.part.match(episode) is None else None


@dataclass(frozen=True, slots=True)
class Pair:
    """``A after B``, ``A before B``, ``A within N s of B``."""

    first: EventTest
    second: EventTest
    fits: Callable[[int, Fact, int, Fact], bool]
    nearness: bool = False

    def match(self, episode: Sequence[Fact]) -> Match | None:
        seconds = self.second.all_in(episode)
        evidence: dict[int, Fact] = {}
        for i, a in self.first.all_in(episode):
            for j, b in seconds:
                if self.fits(i, a, j, b):
                    evidence[i], evidence[j] = a, b
        return [evidence[i] for i in sorted(evidence)] if evidence else None


@dataclass(frozen=True, slots=True)
class Counted:
    """``at least N KIND with ...``, and ``within`` so many seconds, where that is asked."""

    least: int
    event: EventTest
    seconds: float | None = None

    def match(self, episode: Sequence[Fact]) -> Match | None:
        found = [fact for _, fact in self.event.all_in(episode)]
        if self.seconds is None:
            return found if len(found) >= self.least else None
        timed = sorted((fact for fact in found if fact["at"] is not None), key=lambda fact: fact["at"])
        spell = crowded([fact["at"] for fact in timed], self.least, self.seconds)
        return None if spell is None else timed[spell[0] : spell[1]]


def crowded(times: Sequence[int], least: int, seconds: float) -> tuple[int, int] | None:
    """Give the places, first and behind the last, of the most of these times (ms, rising) that lie so near together."""
    best: tuple[int, int] | None = None
    first = 0
    for last, time in enumerate(times):
        while time - times[first] > seconds * 1000:
            first += 1
        if last + 1 - first >= max(least, 0 if best is None else best[1] - best[0] + 1):
            best = first, last + 1
    return best


@dataclass(frozen=True, slots=True)
class Within:
    """``... in the same enrollment``, ``start`` or ``bundle``: asked of such, and true of nothing else."""

    kind: str
    part: Any

    def match(self, episode: Sequence[Fact]) -> Match | None:
        return self.part.match(episode) if any(fact["kind"] == self.kind for fact in episode) else None


class Before:
    """What is asked of what CAPF and CES had told of themselves before; ``kind``: the events that tell it."""

    kind: ClassVar[str]
    holds: Callable[[Any], bool]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        told: Told | None = next((fact["told"] for fact in episode if fact["kind"] == TOLD), None)
        return None if told is None else self.of(told)

    def of(self, told: Told) -> Match | None:
        """Ask it of what was told."""
        raise NotImplementedError


@dataclass(frozen=True)
class Parameter(Before):
    """``parameter NAME OP VALUE``: of CAPF's service parameters, as it read them last before the episode."""

    kind: ClassVar[str] = "capf.param"
    name: str
    holds: Callable[[Any], bool]

    def of(self, told: Told) -> Match | None:
        fact = told.parameters.get(self.name)
        return [fact] if fact is not None and self.holds(fact["value"]) else None


@dataclass(frozen=True)
class Trusted(Before):
    """``trust list names "..."``, ``lacks``: of the list that CES printed at its last start before; none: neither."""

    kind: ClassVar[str] = "ces.cert.added"
    named: bool
    holds: Callable[[Any], bool]

    def of(self, told: Told) -> Match | None:
        found = [fact for fact in told.trusted if self.holds(fact["value"])]
        if self.named:
            return found or None
        return list(told.trusted) if told.trusted and not found else None


class Whole:
    """What is asked of the bundle as a whole."""

    __slots__ = ()

    def match(self, episode: Sequence[Fact]) -> Match | None:
        world: World | None = next((fact["world"] for fact in episode if fact["kind"] == BUNDLE), None)
        return None if world is None else self.of(world)

    def of(self, world: World) -> Match | None:
        """Ask it of the bundle."""
        raise NotImplementedError


@dataclass(frozen=True)
class Logged(Whole):
    """``iis log``: there is one; ``no iis log``: there is none."""

    source: str
    there: bool

    def of(self, world: World) -> Match | None:
        return [] if (self.source in world.sources) == self.there else None


@dataclass(frozen=True)
class Offset(Whole):
    """``offset of iis over 2 s``: how far a clock is from the node's, by what is known of it; its zone is taken off."""

    source: str
    holds: Callable[[Any], bool]

    def of(self, world: World) -> Match | None:
        return world.offset(self.source, self.holds)


@dataclass(frozen=True)
class Spread(Whole):
    """``at least N devices with ...``: so many phones (or enrollments) of which that is true, maybe within a time."""

    least: int
    devices: bool
    tests: tuple[Test, ...]
    seconds: float | None = None

    def of(self, world: World) -> Match | None:
        return world.spread(self.least, self.tests, self.seconds, devices=self.devices)


@dataclass(frozen=True)
class Every(Whole):
    """``every enrollment with ... since KIND has ...``: each that begins after the last such event, and one does."""

    chosen: tuple[Test, ...]
    since: EventTest | None
    tests: tuple[Test, ...]

    def of(self, world: World) -> Match | None:
        return world.every(self.chosen, self.since, self.tests)


@dataclass(frozen=True, slots=True)
class AllOf:
    """``... and ...``."""

    parts: tuple[Any, ...]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        evidence: dict[int, Fact] = {}
        for part in self.parts:
            found = part.match(episode)
            if found is None:
                return None
            evidence.update((id(fact), fact) for fact in found)
        return list(evidence.values())


@dataclass(frozen=True, slots=True)
class AnyOf:
    """``... or ...``: the evidence of every part that holds."""

    parts: tuple[Any, ...]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        matches = [found for part in self.parts if (found := part.match(episode)) is not None]
        return list({id(fact): fact for found in matches for fact in found}.values()) if matches else None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that has been read; :meth:`match` asks it of an episode."""

    text: str
    tree: Any

    @property
    def of_clocks(self) -> bool:
        """Whether it is asked of clocks: it names one."""
        return any(test.kind == CLOCK for test in event_tests(self.tree))

    @property
    def of_bundle(self) -> bool:
        """Whether it is asked of the bundle, once: it names several phones, or nothing that an episode has."""
        every = list(_all_of(self.tree))
        named = any(isinstance(one, (Spread, Every)) or _in_the_bundle(one) for one in every)
        return named or not any(event_tests(self.tree))

    @property
    def of_before(self) -> bool:
        """Whether it asks of what CAPF and CES had told of themselves before."""
        return any(isinstance(one, Before) for one in _all_of(self.tree))

    @property
    def kinds(self) -> frozenset[str]:
        """Every kind of event that must be logged somewhere, for it to be told whether it holds."""
        found = {test.kind for test in event_tests(self.tree) if test.kind not in FACTS}
        return frozenset(found | {one.kind for one in _all_of(self.tree) if isinstance(one, Before)})

    @property
    def parameters(self) -> frozenset[str]:
        """CAPF's service parameters that it asks for."""
        return frozenset(one.name for one in _all_of(self.tree) if isinstance(one, Parameter))

    @property
    def by_whole(self) -> bool:
        """Whether it asks of more than an episode has: what proves it then is not among the episode's events."""
        return any(isinstance(one, (Before, Whole)) for one in _all_of(self.tree))

    @property
    def most(self) -> int:
        """The largest number of events of one sort that it asks for."""
        return max((one.least for one in _all_of(self.tree) if isinstance(one, Counted)), default=1)

    @property
    def tests(self) -> list[Callable[[Any], bool]]:
        """Every test that it makes of a value."""
        found = [one.holds for test in event_tests(self.tree) for one in test.tests]
        for one in _all_of(self.tree):
            if isinstance(one, (Before, Offset)):
                found.append(one.holds)
            elif isinstance(one, Spread):
                found += [test.holds for test in one.tests]
            elif isinstance(one, Every):
                found += [test.holds for test in (*one.chosen, *one.tests)]
        return found

    def match(self, episode: Sequence[Fact]) -> Match | None:
        """Give the events that make it true (maybe none, for an absence), or None where it is false."""
        found: Match | None = self.tree.match(episode)
        return found


def event_tests(tree: Any) -> Iterator[EventTest]:
    """Give every ``KIND with ...`` that a condition asks of, the absent ones too."""
    if isinstance(tree, EventTest):
        yield tree
    elif isinstance(tree, (Absent, Counted)):
        yield tree.event
    elif isinstance(tree, Pair):
        yield tree.first
        yield tree.second
    elif isinstance(tree, Every):
        if tree.since is not None:
            yield tree.since
    else:
        for part in parts_of(tree):
            yield from event_tests(part)


def parts_of(tree: Any) -> Sequence[Any]:
    """Give the conditions that a condition is made of."""
    return (tree.part,) if isinstance(tree, (Within, Not)) else getattr(tree, "parts", ())


def _in_the_bundle(tree: Any) -> bool:
    return isinstance(tree, Within) and tree.kind == BUNDLE


def _all_of(tree: Any) -> Iterator[Any]:
    """Give a condition and all that it is made of."""
    yield tree
    for part in parts_of(tree):
        yield from _all_of(part)


def may_hold(tree: Any, fits: Callable[[Any], bool | None]) -> bool | None:
    """Say what a condition comes to by what is known of an episode, without a look at its events.

    ``fits`` tells of each ``KIND with ...`` whether an event of the episode fits it, and of each :class:`Before` and
    :class:`Whole` whether it holds. True, False; None: not known.
    """
    if isinstance(tree, (EventTest, Before, Whole)):
        return fits(tree)
    if isinstance(tree, Counted):
        # How many there are, only their rows tell.
        return False if fits(tree.event) is False else None
    if isinstance(tree, Within):
        if tree.kind != BUNDLE and fits(EventTest(tree.kind, ())) is False:
            return False
        return may_hold(tree.part, fits)
    if isinstance(tree, (Absent, Not)):
        there = fits(tree.event) if isinstance(tree, Absent) else may_hold(tree.part, fits)
        return None if there is None else not there
    if isinstance(tree, Pair):
        # Whether they stand in that order, only their rows tell.
        return False if False in (fits(tree.first), fits(tree.second)) else None
    told = {may_hold(part, fits) for part in tree.parts}
    if isinstance(tree, AllOf):
        return False if False in told else None if None in told else True
    return True if True in told else None if None in told else False


def by_time(tree: Any) -> bool:
    """Tell whether a condition asks how far apart events are (``within``): then order alone does not decide it."""
    if isinstance(tree, Pair):
        return tree.nearness
    if isinstance(tree, Counted):
        return tree.seconds is not None
    return any(by_time(part) for part in parts_of(tree))


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Comparing:
    """``= VALUE`` and the other comparisons; a text and a number are alike where they are written so."""

    name: str
    value: Any

    def __call__(self, borne: Any) -> bool:
        compare, value = OPERATORS[self.name], self.value
        if borne is None:
            return self.name == "!="
        if isinstance(value, str) and isinstance(borne, str):
            return compare(borne.casefold(), value.casefold())
        if isinstance(value, str) or isinstance(borne, str):
            return self.name in ("=", "!=") and compare(str(borne).casefold(), str(value).casefold())
        return compare(borne, value)


@dataclass(frozen=True, slots=True)
class Matching:
    """``matches "..."``: whether a text has what fits the pattern."""

    pattern: Pattern

    def __call__(self, borne: Any) -> bool:
        return borne is not None and self.pattern.search(str(borne))


def matching(pattern: str) -> Matching:
    """Make the test of a pattern. Raises :class:`ValueError` that says what is wrong with it."""
    return Matching(compile_pattern(pattern))


@dataclass(frozen=True, slots=True)
class Among:
    """``in (...)``: equal to one of them."""

    values: tuple[Any, ...]

    def __call__(self, borne: Any) -> bool:
        return any(Comparing("=", value)(borne) for value in self.values)


def values_of(holds: Callable[[Any], bool]) -> tuple[Any, ...]:
    """Give the values that a test is about, where it names any."""
    if isinstance(holds, Negated):
        return values_of(holds.test)
    if isinstance(holds, Comparing):
        return (holds.value,)
    return holds.values if isinstance(holds, Among) else ()


@dataclass(frozen=True, slots=True)
class Negated:
    """``not matches "..."``, ``not in (...)``."""

    test: Callable[[Any], bool]

    def __call__(self, borne: Any) -> bool:
        return not self.test(borne)


def pattern_of(holds: Callable[[Any], bool]) -> Pattern | None:
    """Give the pattern that a test looks for; None: it looks for none."""
    inner = holds.test if isinstance(holds, Negated) else holds
    return inner.pattern if isinstance(inner, Matching) else None


def nearest(word: str, known: Collection[str]) -> str:
    """Offer the known word that is most like this one, as an error's last words; "" where none is."""
    import difflib  # noqa: PLC0415  (only for an error)

    near = difflib.get_close_matches(word.lower(), sorted(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
