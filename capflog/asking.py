"""Which rules speak on which episode: an enrollment, a start of CES, lines of neither, a clock, or the bundle.

The most specific rule speaks; those that it supersedes are silent, and a rule of last resort speaks only where no
other error does. What the rules say depends on which of their tests the episode's rows fit, in which order: episodes
that are alike in that are asked once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.clock_facts import clock_fact
from capflog.conditions import BUNDLE, CLOCK, TOLD, Before, Whole, by_time, event_tests, may_hold
from capflog.facts import by_moment
from capflog.patterns import PatternTooSlowError
from capflog.rows import NONE
from capflog.sieve import Sieve, blocks, gathered
from capflog.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from capflog.conditions import Condition, EventTest, Fact, Match
    from capflog.facts import Facts
    from capflog.model import Clock, Confidence, Severity
    from capflog.rulebook import Rule
    from capflog.starts import Start
    from capflog.steps import Columns
    from capflog.story import Story
    from capflog.world import History

SURENESS: tuple[Confidence, ...] = ("possible", "likely", "certain")

#: The kind of an episode's fact, its outcome, its error, and the version of what had been told before it: these have
#: few values, and by them most rules are ruled out.
_Known = tuple[str | None, str | None, str | None, tuple[int, int]]

_NO_ROWS = np.zeros(0, dtype=np.int64)

#: Of the events of the bundle that fit one test a clock's episode holds the first so many: more prove no more.
_BESIDE_CLOCK = 2

#: The same of the bundle's episode, which may be asked how many there are.
_IN_BUNDLE = 2000


@dataclass(slots=True)
class Spoken:
    """One rule that spoke on one episode, and the rows that prove it, in the order of time."""

    rule: Rule
    rows: np.ndarray
    severity: Severity
    confidence: Confidence
    alternatives: list[str] = field(default_factory=list)
    among: tuple[Story, ...] = ()
    """Of the bundle: the enrollments that prove it."""


@dataclass(slots=True)
class Episode:
    """What some rule had something to say on."""

    story: Story | None = None
    start: Start | None = None
    clock: Clock | None = None
    whole: bool = False
    """Whether it is the bundle."""
    spoken: list[Spoken] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A condition that may hold: its rule, and whether it is the one that is only likely."""

    rule: Rule
    condition: Condition
    likely: bool
    of: str
    """What it is asked of: "clock", "bundle", or "" for all others."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a rule says on all episodes that are alike: ``places`` among those of their rows that fit any test.

    ``others``: rows that are of none of them alone; ``stories``: the numbers of the enrollments that prove it.
    """

    rule: Rule
    places: tuple[int, ...]
    others: tuple[int, ...]
    stories: tuple[int, ...]
    severity: Severity
    confidence: Confidence
    alternatives: tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """A rule of which a condition holds: what proves it, and how sure that is."""

    rule: Rule
    places: list[int]
    others: list[int]
    stories: list[int]
    confidence: Confidence

    def add(self, places: Iterable[int], others: Iterable[int]) -> None:
        """Add what proves another of its conditions."""
        self.places += [place for place in places if place not in self.places]
        self.others += [row for row in others if row not in self.others]


class Asking:
    """Asks every rule of every episode.

    The episodes are numbered: the enrollments, then the starts, then what belongs to none, then the clocks, then the
    bundle; what is asked of clocks or of the bundle is asked of nothing else. ``spoken`` holds those on which a rule
    speaks, by their numbers in order; ``at_work`` the numbers of those in which CES's requests failed; ``failed`` the
    rules that could not be asked, and why.
    """

    def __init__(
        self,
        columns: Columns,
        facts: Facts,
        stories: Sequence[Story],
        starts: Sequence[Start],
        strays: Sequence[np.ndarray],
        clocks: Sequence[Clock],
        rules: Sequence[Rule],
        reached: Callable[[int], str | None],
        sources: Collection[str] = (),
        told: History | None = None,
    ) -> None:
        """Ask; ``reached`` tells of an enrollment, by its number, the last step that succeeded.

        ``sources``: the logs that there are; ``told``: what CAPF and CES tell of themselves.
        """
        self._columns, self._facts = columns, facts
        self._stories, self._starts = stories, starts
        self._conditions = [
            _Asked(rule, condition, likely, CLOCK if condition.of_clocks else BUNDLE if condition.of_bundle else "")
            for rule in rules
            for condition, likely in ((rule.condition, False), (rule.likely_condition, True))
            if condition is not None
        ]
        self._reached = reached if asked_for(rules, "reached") else None
        self._previous = asked_for(rules, "previous")
        self.spoken: dict[int, Episode] = {}
        self.failed: dict[str, str] = {}
        self._sieve = Sieve(facts, rules, self.failed)
        self._world = World(facts.table, sources, stories, clocks, reached, self._rows_of)
        self._told = told if any(c.of_before for rule in rules for c in rule.every_condition) else None
        self._outcomes: dict[Any, tuple[_Said, ...]] = {}
        self._tests: dict[tuple[_Asked, ...], np.ndarray] = {}
        self._shown: dict[str, np.ndarray | None] = {}
        self._of_whole: dict[Whole, Match | None] = {}
        self._unsorted: list[Spoken] = []
        groups: list[Sequence[int] | np.ndarray] = [*(s.order for s in stories), *(s.rows for s in starts), *strays]
        self._before_clocks = len(groups)
        of_clocks = [one for one in self._conditions if one.of == CLOCK]
        self._clocks = list(clocks) if of_clocks else []
        if self._clocks:
            most = max(condition.most for condition in _all_of(of_clocks))
            beside = self._sieve.first_of(_tests(of_clocks), max(_BESIDE_CLOCK, most))
            groups += [beside] * len(self._clocks)
        of_bundle = [one for one in self._conditions if one.of == BUNDLE]
        if of_bundle:
            groups.append(self._sieve.first_of(_tests(of_bundle), _IN_BUNDLE))
        sorts, bits_of_sort = self._sieve.of_episodes(groups)
        at_work = np.array([self._sieve.fits(self._sieve.at_work, bits) for bits in bits_of_sort], dtype=bool)
        self.at_work: set[int] = set(np.flatnonzero(at_work[sorts]).tolist()) if groups else set()
        self._ask_all(groups, sorts, bits_of_sort, self._known(strays, bundle=bool(of_bundle)))
        self._sort()

    def _rows_of(self, test: EventTest) -> np.ndarray:
        """Give all rows that fit a test."""
        return self._sieve.first_of([test], self._facts.table.count)

    # ---- what an episode is, and what may hold on it ---------------------------------------------------------------

    def _known(self, strays: Sequence[np.ndarray], *, bundle: bool) -> tuple[np.ndarray, list[_Known]]:
        """Give of each episode in turn the kind of its fact, with outcome and error, by a number: few differ."""
        numbers: dict[_Known, int] = {}

        def number(kind: str | None, outcome: str | None, error: str | None, at: int | None) -> int:
            version = (0, 0) if self._told is None else self._told.version(at)
            return numbers.setdefault((kind, outcome, error, version), len(numbers))

        every = [number("enrollment", s.outcome, s.error, s.begin) for s in self._stories]
        for start in self._starts:
            outcome = {True: "ok", False: "failed", None: "unknown"}[start.ok]
            every.append(number("start", outcome, None, self._last_time(start.rows)))
        every += [number(None, None, None, at) for at in self._first_times(strays)]
        every += [number(CLOCK, None, None, None)] * len(self._clocks)
        every += [number(BUNDLE, None, None, None)] * bundle
        return np.array(every, dtype=np.int64), list(numbers)

    def _last_time(self, rows: Sequence[int] | np.ndarray) -> int | None:
        """Give the last time at which any of these rows can be; only where it is of use."""
        if self._told is None:
            return None
        times = self._facts.table.latest[np.asarray(rows, dtype=np.int64)]
        times = times[times != NONE]
        return int(times.max()) if len(times) else None

    def _first_times(self, groups: Sequence[np.ndarray]) -> Sequence[int | None]:
        """Give the first time that any row of each group bears, NONE where none does; only where it is of use."""
        if self._told is None or not len(groups):
            return [None] * len(groups)
        rows, owner = gathered(groups)
        times = self._facts.table.time[rows]
        known = times != NONE
        found = np.full(len(groups), np.iinfo(np.int64).max)
        np.minimum.at(found, owner[known], times[known])
        first: list[int | None] = np.where(found == np.iinfo(np.int64).max, NONE, found).tolist()
        return first

    def _ask_all(
        self,
        groups: Sequence[Sequence[int] | np.ndarray],
        sorts: np.ndarray,
        bits_of_sort: Sequence[tuple[int, ...]],
        known: tuple[np.ndarray, list[_Known]],
    ) -> None:
        """Let rules speak on those episodes on which a condition may hold; most of the others are alike."""
        if not groups:
            return
        numbers, words = known
        both = sorts * len(words) + numbers
        there = np.zeros(len(bits_of_sort) * len(words), dtype=bool)
        there[both] = True
        candidates = {
            pair: asked
            for pair in np.flatnonzero(there).tolist()
            if (asked := self._candidates(bits_of_sort[pair // len(words)], words[pair % len(words)]))
        }
        for pair, asked in candidates.items():
            numbers_of_pair = np.flatnonzero(both == pair)
            own = [groups[number] for number in numbers_of_pair.tolist()]
            for first, last in blocks([len(rows) for rows in own]):
                self._ask_alike(numbers_of_pair[first:last].tolist(), words[pair % len(words)], own[first:last], asked)
        self.spoken = dict(sorted(self.spoken.items()))

    def _ask_alike(
        self,
        numbers: Sequence[int],
        known: _Known,
        groups: Sequence[Sequence[int] | np.ndarray],
        asked: tuple[_Asked, ...],
    ) -> None:
        """Let rules speak on episodes on which the same conditions may hold."""
        rows, owner = gathered(groups)
        if known[0] in (None, CLOCK, BUNDLE):
            rows = rows[by_moment(self._facts.table, rows, owner)]
        places, bits = self._sieve.bits_of(rows, self._tests_of(asked))
        every = np.arange(len(groups) + 1)
        edges = np.searchsorted(owner, every).tolist()
        edges_of_own = np.searchsorted(owner[places], every).tolist()
        own = rows[places]
        for k, number in enumerate(numbers):
            some = slice(edges_of_own[k], edges_of_own[k + 1])
            self._ask(number, known, rows[edges[k] : edges[k + 1]], own[some], bits[some].tobytes(), asked)

    def _fact(self, number: int, known: _Known) -> dict[str, Any] | None:
        """Make the fact about the whole of an episode."""
        kind, outcome, error, _ = known
        if kind in (None, BUNDLE):
            return None
        if kind == CLOCK:
            return clock_fact(self._clocks[number - self._before_clocks])
        fact: dict[str, Any] = {"kind": kind, "at": None, "outcome": outcome}
        if kind == "enrollment":
            story = self._stories[number]
            fact["at"] = story.begin
            if error is not None:
                fact["error"] = error
            if story.device is not None:
                fact["device"] = story.device
            if story.answered is not None:
                fact["waited"] = (story.answered - story.begin) / 1000
            if self._reached is not None:
                fact["reached"] = self._reached(number)
            if self._previous and (previous := self._world.previous[number]) is not None:
                fact["previous"] = previous
        return fact

    def _candidates(self, bits: tuple[int, ...], known: _Known) -> tuple[_Asked, ...]:
        """Give the conditions that may hold on an episode whose rows fit those tests."""
        kind, outcome, error, version = known
        few = {"outcome": outcome, "error": error}

        def fits(test: Any) -> bool | None:
            if isinstance(test, Whole):
                return self._of_world(test) is not None
            if isinstance(test, Before):
                return self._told is not None and test.of(self._told.of(version)) is not None
            if test.kind not in self._sieve.of_facts:
                return self._sieve.fits(test, bits)
            if test.kind != kind or not all(t.holds(few[t.field]) for t in test.tests if t.field in few):
                return False
            return None if any(t.field not in few for t in test.tests) else True

        return tuple(
            one
            for one in self._conditions
            if one.of == (kind if kind in (CLOCK, BUNDLE) else "")
            and one.rule.id not in self.failed
            and self._may_hold(one, fits)
        )

    def _may_hold(self, asked: _Asked, fits: Callable[[Any], bool | None]) -> bool:
        try:
            return may_hold(asked.condition.tree, fits) is not False
        except Exception as error:  # noqa: BLE001  (whatever a rule does: it is told of, and stops no other)
            self._fail(asked.rule, error)
            return False

    def _fail(self, rule: Rule, error: Exception) -> None:
        """Note that a rule could not be asked."""
        self.failed[rule.id] = str(error) if isinstance(error, PatternTooSlowError) else repr(error)

    def _of_world(self, asked: Whole) -> Match | None:
        """Ask of the bundle, once."""
        if asked not in self._of_whole:
            self._of_whole[asked] = asked.of(self._world)
        return self._of_whole[asked]

    # ---- what is said ---------------------------------------------------------------------------------------------

    def _ask(
        self, number: int, known: _Known, rows: np.ndarray, own: np.ndarray, bits: bytes, asked: tuple[_Asked, ...]
    ) -> None:
        """Let rules speak on one episode, of whose rows ``own`` fit the tests that their bits say."""
        kind = known[0]
        fact = self._fact(number, known)
        likely = self._likely(number)
        sure = tuple(row not in likely for row in own.tolist()) if likely else ()
        of_fact: tuple[bool, ...] = ()
        if fact is not None:
            tests = self._sieve.of_facts[fact["kind"]]
            of_fact = tuple(self._fits(test, fact) for test in tests)
        key = (asked, bits, of_fact, sure, known[3])
        # (What more than the episode proves has rows of its own.)
        alike = not any(by_time(condition.tree) or condition.by_whole for condition in _all_of(asked))
        said = self._outcomes.get(key) if alike else None
        if said is None:
            said = self._said(own, fact, asked, sure, known[3])
            if alike:
                self._outcomes[key] = said
        if not said:
            return
        clock = self._clocks[number - self._before_clocks] if kind == CLOCK else None
        spoken = []
        for one in said:
            proof = own[list(one.places)] if one.places else _NO_ROWS
            if one.others:
                proof = np.concatenate((proof, np.array(one.others, dtype=np.int64)))
            shows = self._shows(one.rule)
            if shows is not None:
                proof = np.concatenate((proof, rows[shows[self._facts.table.kind[rows]]]))
            if clock is not None:
                proof = np.concatenate((proof, np.array(clock.proof, dtype=np.int64)))
            if not len(proof) and one.rule.last_resort:
                proof = rows[-1:]
            among = tuple(self._stories[number] for number in dict.fromkeys(one.stories))
            spoken.append(Spoken(one.rule, proof, one.severity, one.confidence, list(one.alternatives), among))
        self._unsorted += spoken
        of_start = number - len(self._stories)
        self.spoken[number] = Episode(
            self._stories[number] if kind == "enrollment" else None,
            self._starts[of_start] if kind == "start" else None,
            clock,
            kind == BUNDLE,
            spoken,
        )

    def _fits(self, test: EventTest, fact: dict[str, Any]) -> bool:
        """Tell whether the fact of an episode fits; where that cannot be told, its conditions tell it once more."""
        try:
            return all(one.holds(fact.get(one.field)) for one in test.tests)
        except PatternTooSlowError:
            return False

    def _tests_of(self, asked: tuple[_Asked, ...]) -> np.ndarray:
        """Give the bits of the tests that conditions ask for: no other row can make them true."""
        found = self._tests.get(asked)
        if found is None:
            found = self._tests[asked] = self._sieve.bits_for(_tests(asked))
        return found

    def _likely(self, number: int) -> frozenset[int]:
        return self._stories[number].likely if number < len(self._stories) else frozenset()

    def _shows(self, rule: Rule) -> np.ndarray | None:
        """Tell of each kind of event whether a rule shows it beside its proof."""
        if rule.id not in self._shown:
            table = self._facts.table
            shows = np.array([kind in rule.show for kind in table.kinds], dtype=bool)
            self._shown[rule.id] = shows if shows.any() else None
        return self._shown[rule.id]

    def _said(
        self,
        own: np.ndarray,
        fact: dict[str, Any] | None,
        asked: tuple[_Asked, ...],
        sure: tuple[bool, ...],
        version: tuple[int, int],
    ) -> tuple[_Said, ...]:
        """Ask the conditions of rows that fit some test; where ``sure`` is given some of them are merely likely."""
        place_of = {row: place for place, row in enumerate(own.tolist())}
        kinds = self._facts.table.kind[own].tolist()
        names = self._facts.table.kinds
        facts = [
            self._facts.of(row, raw=names[kind] in self._sieve.raw)
            for row, kind in zip(own.tolist(), kinds, strict=True)
        ]
        if fact is not None:
            facts.append(fact)
        facts.append({"kind": BUNDLE, "at": None, "world": self._world})
        if self._told is not None:
            facts.append({"kind": TOLD, "at": None, "told": self._told.of(version)})
        found: dict[str, _Found] = {}
        for one in asked:
            rule = one.rule
            try:
                match = one.condition.match(facts)
            except Exception as error:  # noqa: BLE001  (whatever a rule does: it is told of, and stops no other)
                self._fail(rule, error)
                continue
            if match is None:
                continue
            places = [place_of[f["row"]] for f in match if f.get("row") in place_of]
            others = [f["row"] for f in match if "row" in f and f["row"] not in place_of]
            if rule.id in found:
                found[rule.id].add(places, others)
                continue
            confidence: Confidence = "likely" if one.likely or rule.status == "inferred" else "certain"
            if places and sure and not any(sure[place] for place in places):
                confidence = "likely"
            stories = [f["story"] for f in match if "story" in f]
            found[rule.id] = _Found(rule, places, others, stories, confidence)
        graded = [(its, self._severity(its.rule, facts)) for its in found.values() if its.rule.id not in self.failed]
        spoken = [(its, *grade) for its, grade in graded if grade is not None]
        firm = any(severity == "error" and not its.rule.last_resort for its, severity, _ in spoken)
        spoken = [one for one in spoken if not (one[0].rule.last_resort and firm)]
        silenced = {name for its, *_ in spoken for name in its.rule.supersedes}
        spoken = [one for one in spoken if one[0].rule.id not in silenced]
        said = []
        for its, severity, raising in spoken:
            rule, places = its.rule, its.places
            alike = tuple(
                other.rule.id
                for other, *_ in spoken
                if other is not its and other.rule.id in rule.alternatives and set(other.places) & set(places)
            )
            proof = dict.fromkeys((*places, *(place_of[f["row"]] for f in raising if f.get("row") in place_of)))
            sureness: Confidence = "possible" if alike else its.confidence
            said.append(_Said(rule, tuple(proof), tuple(its.others), tuple(its.stories), severity, sureness, alike))
        said.sort(key=lambda s: (-SURENESS.index(s.confidence), s.rule.last_resort, s.rule.id))
        return tuple(said)

    def _severity(self, rule: Rule, facts: Sequence[Fact]) -> tuple[Severity, Match] | None:
        """Give the severity of a rule that speaks, and the events that raise it; None: it could not be asked."""
        try:
            for raised in rule.raised:
                match = raised.condition.match(facts)
                if match is not None:
                    return raised.severity, match
        except Exception as error:  # noqa: BLE001  (whatever a rule does: it is told of, and stops no other)
            self._fail(rule, error)
            return None
        return rule.severity, []

    def _sort(self) -> None:
        """Put the proof of all that was said in the order of time, each row once."""
        spoken, self._unsorted = self._unsorted, []
        table = self._facts.table
        rows, owner = gathered([one.rows for one in spoken])
        order = by_moment(table, rows, owner)
        rows, owner = rows[order], owner[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = (rows[1:] != rows[:-1]) | (owner[1:] != owner[:-1])
        rows, owner = rows[first], owner[first]
        bounds = np.searchsorted(owner, np.arange(len(spoken) + 1)).tolist()
        for one, begin, end in zip(spoken, bounds, bounds[1:], strict=False):
            one.rows = rows[begin:end]


def _all_of(asked: Iterable[_Asked]) -> list[Condition]:
    """Give the conditions and those that raise the severity of their rules."""
    return [c for one in asked for c in (one.condition, *(raised.condition for raised in one.rule.raised))]


def _tests(asked: Iterable[_Asked]) -> Iterator[EventTest]:
    """Give all that is asked of the events for these."""
    return (test for condition in _all_of(asked) for test in event_tests(condition.tree))


def asked_for(rules: Sequence[Rule], name: str) -> bool:
    """Tell whether any condition asks for a field."""
    conditions = [condition for rule in rules for condition in rule.every_condition]
    return any(one.field == name for c in conditions for test in event_tests(c.tree) for one in test.tests)
