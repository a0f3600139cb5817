"""Which rows fit what the rules ask for: each ``KIND with ...`` of a rulebook is put to a whole column at once.

Nearly all enrollments go well, and nearly all rows of one that does not have nothing to say to any rule. What a
condition comes to depends on nothing but the rows that fit its tests, their order and their times: so each test is
asked of each *distinct* value once, and an episode is known by the set of tests that its rows fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.clock_log import each_once
from capflog.conditions import FACTS, EventTest, event_tests
from capflog.patterns import PatternTooSlowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capflog.facts import Facts
    from capflog.rulebook import Rule

#: How many rows of episodes are gone through at a time: what is held of them stays within some tens of MB.
ROWS_AT_ONCE = 1 << 20


class Sieve:
    """The tests of a rulebook over the rows of a table.

    ``tests``: what is asked of the logs' events; ``of_facts``: what is asked of the engine's own facts, by kind.
    """

    def __init__(self, facts: Facts, rules: Iterable[Rule], failed: dict[str, str] | None = None) -> None:
        """Put the tests to all rows; a rule whose pattern takes too long is told of in ``failed``, with the reason."""
        rules = list(rules)
        conditions = [condition for rule in rules for condition in rule.every_condition]
        every = dict.fromkeys(test for condition in conditions for test in event_tests(condition.tree))
        # What says that CES was at work is asked for here too (see diagnosis).
        self.at_work = EventTest("curl.failed", ())
        self.tests: list[EventTest] = [self.at_work, *(t for t in every if t.kind not in FACTS and t != self.at_work)]
        self.of_facts = {kind: [test for test in every if test.kind == kind] for kind in FACTS}
        self.place = {test: place for place, test in enumerate(self.tests)}
        self.raw = frozenset(test.kind for test in self.tests if any(t.field == "raw" for t in test.tests))
        self._rows = facts.table.count
        fitting = self._fitting(facts, rules, {} if failed is None else failed)
        self._hit = np.zeros(self._rows, dtype=bool)
        for rows in fitting:
            self._hit[rows] = True
        self._hits = np.flatnonzero(self._hit)
        # A bit for each test, in as many words of 64 as it takes.
        self._bits = np.zeros((len(self._hits), (len(self.tests) + 63) // 64), dtype=np.uint64)
        for place, rows in enumerate(fitting):
            self._bits[np.searchsorted(self._hits, rows), place // 64] |= np.uint64(1 << place % 64)

    def _fitting(self, facts: Facts, rules: Sequence[Rule], failed: dict[str, str]) -> list[np.ndarray]:
        """Give for each test the rows that fit it; none where a pattern takes too long."""
        columns: dict[tuple[str, str], tuple[np.ndarray, list[Any]]] = {}
        of_kind = facts.table.rows_of_each({test.kind for test in self.tests})
        found = []
        for test in self.tests:
            every = of_kind[test.kind]
            try:
                left = self._asked(facts, test, every, columns)
            except PatternTooSlowError as error:
                left = np.zeros(0, dtype=np.int64)
                asking = (r for r in rules if any(test in event_tests(c.tree) for c in r.every_condition))
                failed.update((rule.id, str(error)) for rule in asking)
            found.append(every[left])
        return found

    @staticmethod
    def _asked(
        facts: Facts,
        test: EventTest,
        every: np.ndarray,
        columns: dict[tuple[str, str], tuple[np.ndarray, list[Any]]],
    ) -> np.ndarray:
        """Give the places of those of the rows, all of one kind, that fit a test; ``columns`` keeps what it reads."""
        left = np.arange(len(every))
        # The lines themselves come last: reading them back is dear.
        for one in sorted(test.tests, key=lambda one: one.field == "raw"):
            if not len(left):
                break
            if one.field == "raw":
                numbers, values = facts.column("raw", test.kind, every[left])
                left = left[np.array([one.holds(value) for value in values], dtype=bool)[numbers]]
                continue
            column = columns.get((test.kind, one.field))
            if column is None:
                column = columns[test.kind, one.field] = facts.column(one.field, test.kind, every)
            numbers, values = column
            own = numbers if len(left) == len(numbers) else numbers[left]
            asked, holds = np.zeros(len(values), dtype=bool), np.zeros(len(values), dtype=bool)
            asked[own] = True
            for number in np.flatnonzero(asked).tolist():
                holds[number] = one.holds(values[number])
            if not holds.all():
                left = left[holds[own]]
        return left

    def bits_for(self, tests: Iterable[EventTest]) -> np.ndarray:
        """Give the bits of tests, as many words as there are of them."""
        found = np.zeros(self._bits.shape[1], dtype=np.uint64)
        for place in (self.place[test] for test in tests if test in self.place):
            found[place // 64] |= np.uint64(1 << place % 64)
        return found

    def bits_of(self, rows: np.ndarray, wanted: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Give the places of those rows that fit any test, and the bits of the tests that each of them fits.

        ``wanted``: the bits of the tests that count (see :meth:`bits_for`).
        """
        places = np.flatnonzero(self._hit[rows])
        bits = self._bits[np.searchsorted(self._hits, rows[places])]
        if wanted is not None:
            bits &= wanted
            some = bits.any(axis=1)
            places, bits = places[some], bits[some]
        return places, bits

    def first_of(self, tests: Iterable[EventTest], most: int) -> np.ndarray:
        """Give for each of these tests the first so many rows of the table that fit it, as one array."""
        found = [np.zeros(0, dtype=np.int64)]
        for place in (self.place[test] for test in tests if test in self.place):
            fits = self._bits[:, place // 64] & np.uint64(1 << place % 64) != 0
            found.append(self._hits[np.flatnonzero(fits)[:most]])
        return each_once(np.concatenate(found))

    def of_episodes(self, episodes: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
        """Tell episodes apart by the tests that some row of them fits.

        Gives for each episode the number of its sort, and of each sort the bits of the tests.
        """
        words = self._bits.shape[1]
        sorts: dict[tuple[int, ...], int] = {}
        found = np.zeros(len(episodes), dtype=np.int32)
        for first, last in blocks([len(rows) for rows in episodes]):
            rows, owner = gathered(episodes[first:last])
            places, bits = self.bits_of(rows)
            # Most episodes have no such row: they are all of one sort.
            owner = owner[places]
            heads = np.flatnonzero(np.append(True, owner[1:] != owner[:-1]))[: len(owner)]
            if len(heads) < last - first:
                found[first:last] = sorts.setdefault((0,) * words, len(sorts))
            if len(heads):
                both = np.bitwise_or.reduceat(bits, heads, axis=0)
                known = [sorts.setdefault(tuple(bits), len(sorts)) for bits in both.tolist()]
                found[first + owner[heads]] = known
        return found, list(sorts)

    def fits(self, test: EventTest, bits: tuple[int, ...]) -> bool:
        """Tell whether a test of the logs' events is among the bits."""
        place = self.place[test]
        return bool(bits[place // 64] >> place % 64 & 1)


def blocks(sizes: Sequence[int], at_once: int = 0) -> Iterator[tuple[int, int]]:
    """Cut a sequence into pieces, (first, behind the last), of about ``at_once`` rows (0: :data:`ROWS_AT_ONCE`)."""
    ends = np.cumsum(sizes)
    first, held = 0, 0
    while first < len(ends):
        last = max(first + 1, int(np.searchsorted(ends, held + (at_once or ROWS_AT_ONCE), side="right")))
        yield first, last
        first, held = last, int(ends[last - 1])


def gathered(groups: Sequence[Sequence[int] | np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Put groups of rows one behind the other: (the rows, for each the number of its group)."""
    sizes = list(map(len, groups))
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *groups]).astype(np.int64, copy=False)
    return rows, np.repeat(np.arange(len(sizes)), sizes)
