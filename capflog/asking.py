"""Which rules speak on which episode: an enrollment, a start of CES, lines that belong to neither, or a clock.

The most specific rule speaks; those that it supersedes are silent, and a rule of last resort speaks only where no
other error does. What the rules say depends on which of their tests the episode's rows fit, in which order: episodes
that are alike in that are asked once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.clock_facts import clock_fact
from capflog.conditions import CLOCK, by_time, event_tests, may_hold
from capflog.facts import by_moment
from capflog.sieve import Sieve, blocks, gathered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from capflog.conditions import Condition, EventTest, Fact, Match
    from capflog.facts import Facts
    from capflog.model import Clock, Confidence, Severity
    from capflog.rulebook import Rule
    from capflog.starts import Start
    from capflog.steps import Columns
    from capflog.story import Story

SURENESS: tuple[Confidence, ...] = ("possible", "likely", "certain")

#: The kind of an episode's fact, its outcome and its error, which have few values: by them most rules are ruled out.
_Known = tuple[str | None, str | None, str | None]

_NO_ROWS = np.zeros(0, dtype=np.int64)

#: Of the events of the bundle that fit one test a clock's episode holds the first so many: more prove no more.
_BESIDE_CLOCK = 2


@dataclass(slots=True)
class Spoken:
    """One rule that spoke on one episode, and the rows that prove it, in the order of time."""

    rule: Rule
    rows: np.ndarray
    severity: Severity
    confidence: Confidence
    alternatives: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Episode:
    """What some rule had something to say on."""

    story: Story | None = None
    start: Start | None = None
    clock: Clock | None = None
    spoken: list[Spoken] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A condition that may hold: its rule, and whether it is the one that is only likely."""

    rule: Rule
    condition: Condition
    likely: bool
    of_clocks: bool


@dataclass(frozen=True, slots=True)
class _Said:
    """What a rule says on all episodes that are alike: ``places`` among those of their rows that fit any test."""

    rule: Rule
    places: tuple[int, ...]
    severity: Severity
    confidence: Confidence
    alternatives: tuple[str, ...]


class Asking:
    """Asks every rule of every episode.

    The episodes are numbered: the enrollments, then the starts, then what belongs to none, then the clocks; what is
    asked of clocks is asked of nothing else. ``spoken`` holds those on which a rule speaks, by their numbers in order;
    ``at_work`` the numbers of those in which CES's requests failed.
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
    ) -> None:
        """Ask; ``reached`` tells of an enrollment, by its number, the last step that succeeded."""
        self._columns, self._facts = columns, facts
        self._stories, self._starts = stories, starts
        self._conditions = [
            _Asked(rule, condition, likely, condition.of_clocks)
            for rule in rules
            for condition, likely in ((rule.condition, False), (rule.likely_condition, True))
            if condition is not None
        ]
        self._reached = reached if asked_for(rules, "reached") else None
        self.spoken: dict[int, Episode] = {}
        self._sieve = Sieve(facts, rules)
        self._outcomes: dict[Any, tuple[_Said, ...]] = {}
        self._tests: dict[tuple[_Asked, ...], np.ndarray] = {}
        self._shown: dict[str, np.ndarray | None] = {}
        self._unsorted: list[Spoken] = []
        groups: list[Sequence[int] | np.ndarray] = [*(s.order for s in stories), *(s.rows for s in starts), *strays]
        self._before_clocks = len(groups)
        of_clocks = [one for one in self._conditions if one.of_clocks]
        self._clocks = list(clocks) if of_clocks else []
        if self._clocks:
            beside = self._sieve.first_of(_tests(of_clocks), _BESIDE_CLOCK)
            groups += [beside] * len(self._clocks)
        sorts, bits_of_sort = self._sieve.of_episodes(groups)
        at_work = np.array([self._sieve.fits(self._sieve.at_work, bits) for bits in bits_of_sort], dtype=bool)
        self.at_work: set[int] = set(np.flatnonzero(at_work[sorts]).tolist()) if groups else set()
        self._ask_all(groups, sorts, bits_of_sort, self._known(len(strays)))
        self._sort()

    # ---- what an episode is, and what may hold on it ---------------------------------------------------------------

    def _known(self, strays: int) -> tuple[np.ndarray, list[_Known]]:
        """Give of each episode in turn the kind of its fact, with outcome and error, by a number: few differ."""
        numbers: dict[_Known, int] = {}
        every = [numbers.setdefault(("enrollment", s.outcome, s.error), len(numbers)) for s in self._stories]
        for start in self._starts:
            known = ("start", {True: "ok", False: "failed", None: "unknown"}[start.ok], None)
            every.append(numbers.setdefault(known, len(numbers)))
        every += [numbers.setdefault((None, None, None), len(numbers))] * strays
        every += [numbers.setdefault((CLOCK, None, None), len(numbers))] * len(self._clocks)
        return np.array(every, dtype=np.int64), list(numbers)

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
        if known[0] in (None, CLOCK):
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
        kind, outcome, error = known
        if kind is None:
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
        return fact

    def _candidates(self, bits: tuple[int, ...], known: _Known) -> tuple[_Asked, ...]:
        """Give the conditions that may hold on an episode whose rows fit those tests."""
        kind, outcome, error = known
        few = {"outcome": outcome, "error": error}

        def fits(test: EventTest) -> bool | None:
            if test.kind not in self._sieve.of_facts:
                return self._sieve.fits(test, bits)
            if test.kind != kind or not all(t.holds(few[t.field]) for t in test.tests if t.field in few):
                return False
            return None if any(t.field not in few for t in test.tests) else True

        return tuple(
            one
            for one in self._conditions
            if one.of_clocks == (kind == CLOCK) and may_hold(one.condition.tree, fits) is not False
        )

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
            of_fact = tuple(all(t.holds(fact.get(t.field)) for t in test.tests) for test in tests)
        key = (asked, bits, of_fact, sure)
        alike = not any(by_time(condition.tree) for condition in _all_of(asked))
        said = self._outcomes.get(key) if alike else None
        if said is None:
            said = self._said(own, fact, asked, sure)
            if alike:
                self._outcomes[key] = said
        if not said:
            return
        clock = self._clocks[number - self._before_clocks] if kind == CLOCK else None
        spoken = []
        for one in said:
            proof = own[list(one.places)] if one.places else _NO_ROWS
            shows = self._shows(one.rule)
            if shows is not None:
                proof = np.concatenate((proof, rows[shows[self._facts.table.kind[rows]]]))
            if clock is not None:
                proof = np.concatenate((proof, np.array(clock.proof, dtype=np.int64)))
            if not len(proof) and one.rule.last_resort:
                proof = rows[-1:]
            spoken.append(Spoken(one.rule, proof, one.severity, one.confidence, list(one.alternatives)))
        self._unsorted += spoken
        of_start = number - len(self._stories)
        self.spoken[number] = Episode(
            self._stories[number] if kind == "enrollment" else None,
            self._starts[of_start] if kind == "start" else None,
            clock,
            spoken,
        )

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
        self, own: np.ndarray, fact: dict[str, Any] | None, asked: tuple[_Asked, ...], sure: tuple[bool, ...]
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
        found: dict[str, tuple[Rule, list[int], Confidence]] = {}
        for one in asked:
            match = one.condition.match(facts)
            if match is None:
                continue
            places = [place_of[f["row"]] for f in match if "row" in f]
            rule = one.rule
            if rule.id in found:
                before = found[rule.id][1]
                before += [place for place in places if place not in before]
                continue
            confidence: Confidence = "likely" if one.likely or rule.status == "inferred" else "certain"
            if places and sure and not any(sure[place] for place in places):
                confidence = "likely"
            found[rule.id] = (rule, places, confidence)
        spoken = [(*one, _severity(one[0], facts)) for one in found.values()]
        firm = any(severity == "error" and not rule.last_resort for rule, _, _, (severity, _) in spoken)
        spoken = [one for one in spoken if not (one[0].last_resort and firm)]
        silenced = {name for rule, *_ in spoken for name in rule.supersedes}
        spoken = [one for one in spoken if one[0].id not in silenced]
        said = []
        for rule, places, confidence, (severity, raising) in spoken:
            others = tuple(
                other.id
                for other, its, *_ in spoken
                if other is not rule and other.id in rule.alternatives and set(its) & set(places)
            )
            proof = dict.fromkeys((*places, *(place_of[f["row"]] for f in raising if "row" in f)))
            said.append(_Said(rule, tuple(proof), severity, "possible" if others else confidence, others))
        said.sort(key=lambda s: (-SURENESS.index(s.confidence), s.rule.last_resort, s.rule.id))
        return tuple(said)

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


def _severity(rule: Rule, facts: Sequence[Fact]) -> tuple[Severity, Match]:
    """Give the severity of a rule that speaks, and the events that raise it."""
    for raised in rule.raised:
        match = raised.condition.match(facts)
        if match is not None:
            return raised.severity, match
    return rule.severity, []


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
