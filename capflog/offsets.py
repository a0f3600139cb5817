"""About how far IIS's clock is ahead: the offset that most pairs of lines, there and here, agree on (Marzullo 1984).

Which line there belongs to which line here is not known yet: each line or call here claims that one of all the moments
there lies within it. What this finds is good to a second or so; :mod:`capflog.brackets` goes on from there. A clock
that was set, or drifts far, has a *spell* for each stretch of time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, lgamma, log
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import CERTIFICATE, CHAIN, LOGIN, PAGES, Asked
from capflog.intervals import SECOND_MS, Claims, most_agreed

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Zones are whole quarters of an hour (IANA time zone database); local minus UTC lies between these. (ms)
QUARTER_MS = 900_000

ZONE_MIN, ZONE_MAX = -12 * 3_600_000, 14 * 3_600_000

#: Requests of CES to the CA that follow one another by less than this are of one piece of work. (ms)
CHAIN_GAP_MS = 30_000

#: CES tells of an answer at the latest this long after IIS was done with it. (ms)
TOLD_MS = 250

#: A line of CES may be stamped so much earlier than it was written: NGINX reads the clock when it begins something, and
#: CES's plugin holds it up while it waits for the CA. (ms)
HELD_UP_MS = 2_000

#: An enrollment takes CES no longer than this, where CAPF does not say how long it took: its client gives up then. (ms)
WORK_MS = 10_000

#: Offsets that differ by less than this are one. (ms)
SAME_MS = 5_000

#: How many pairs of lines are compared at the most when the offset of IIS is sought.
PAIRS_MAX = 4_000_000

#: An offset that is far from what clocks have is believed if chance has fewer such offsets than this.
_CHANCE = 0.05

#: The same of one of many parts, which are tried one after the other.
_CHANCE_OF_PART = 0.002

#: Of fewer calls than this no spell of their own is told.
_FEW = 6

#: So often what was logged is parted in two.
_DEPTH = 5

#: So few tell one where what matches changes from one moment on, and all of them match otherwise then.
_FEW_AGREED = 3

#: Farther than any offset. (ms)
_FAR = 1 << 60


@dataclass(frozen=True)
class Here:
    """What the node's logs tell of CES's requests to the CA, on the node's clock, in ms.

    ``calls``: (n, 2), CAPF's calls of EST and their answers; ``issued``: those answered with a certificate. ``told``:
    seconds in which CES told that a page came, and ``step`` which. ``received``: seconds in which CES was asked.
    ``peers``: codes of the clients that asked CES: CAPF, on the node that CES is on, too.
    """

    calls: np.ndarray
    issued: np.ndarray
    told: np.ndarray
    step: np.ndarray
    received: np.ndarray
    peers: np.ndarray

    def between(self, begin: int, end: int) -> Here:
        """Give what lies from ``begin`` to before ``end``."""

        def some(at: np.ndarray) -> np.ndarray:
            return (at >= begin) & (at < end)

        calls, told = some(self.calls[:, 0]), some(self.told)
        return Here(
            self.calls[calls],
            self.issued[calls],
            self.told[told],
            self.step[told],
            self.received[some(self.received)],
            self.peers,
        )

    @property
    def moments(self) -> np.ndarray:
        """When something happened that may be matched: calls where there are any, else what CES tells; sorted."""
        if len(self.calls):
            return np.sort(self.calls[:, 0])
        return np.sort(self.told if len(self.told) else self.received)


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch of time, by the node's clock, over which IIS is ahead by some ``low`` to ``high`` ms.

    ``matched`` of ``of`` lines and calls here have their line there.
    """

    begin: int
    end: int
    low: int
    high: int
    matched: int
    of: int

    @property
    def middle(self) -> int:
        return (self.low + self.high) // 2


@dataclass(frozen=True, slots=True)
class Pair:
    """Moments there, sorted, and the bounds within which each line or call here says that one of them lies; in ms."""

    there: np.ndarray
    begin: np.ndarray
    end: np.ndarray

    def met(self, offset: int, slack: int = 0) -> np.ndarray:
        """Tell of each line or call here whether there is such a moment, if IIS is ahead by ``offset``."""
        left = np.searchsorted(self.there, self.begin + offset - SECOND_MS - slack, side="left")
        met: np.ndarray = np.searchsorted(self.there, self.end + offset + slack, side="right") > left
        return met

    def unmet(self, offset: int, slack: int = 0) -> int:
        """Count the moments there that lie in no line or call here, if IIS is ahead by ``offset``."""
        turn = np.argsort(self.begin, kind="stable")
        begin, end = self.begin[turn], np.maximum.accumulate(self.end[turn])
        at = self.there - offset
        last = np.searchsorted(begin, at + SECOND_MS + slack, side="right") - 1
        return int(np.count_nonzero((last < 0) | (end[last] < at - slack)))


@dataclass(frozen=True, slots=True)
class Search:
    """What an offset may be found to be. ``most``: how many matches there are at the most."""

    pairs: list[Pair]
    most: int
    of: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "of", sum(len(pair.begin) for pair in self.pairs))


def _but_of_starts(logins: np.ndarray, chains: np.ndarray) -> np.ndarray:
    """Take away the logins that CES's request for the CA's chain follows on: those are of its start."""
    after = np.searchsorted(chains, logins + CHAIN_GAP_MS, side="right")
    alone: np.ndarray = logins[after == np.searchsorted(chains, logins, side="left")]
    return alone


def searched(here: Here, asked: Asked, *, only_calls: bool = False) -> Search:
    """List what can be compared of IIS and the node."""
    pairs: list[Pair] = []
    for step in range(len(PAGES)) if not only_calls else ():
        at = here.told[here.step == step]
        there = asked.of_step(step)
        if len(there) and len(at):
            late = SECOND_MS if step in (LOGIN, CHAIN) else SECOND_MS + HELD_UP_MS
            pairs.append(Pair(there, at - TOLD_MS, at + late))
    most = sum(min(len(pair.there), len(pair.begin)) for pair in pairs)
    certificates = asked.of_step(CERTIFICATE)
    issued = here.calls[here.issued]
    if len(certificates) and len(issued):
        # A certificate that CES fetched for a call that was given up may have come after it.
        pairs.append(Pair(certificates, issued[:, 0], issued[:, 1]))
        most += min(len(issued), len(certificates))
    elif len(here.calls) and not pairs:
        there = _but_of_starts(asked.of_step(LOGIN), asked.of_step(CHAIN))
        if len(there):
            pairs.append(Pair(there, here.calls[:, 0], here.calls[:, 1]))
            # A call may end without a certificate; without any, each has to show its login.
            most = min(len(here.calls), len(there)) if len(certificates) else len(here.calls)
    if not pairs and not only_calls and len(here.received):
        there = _but_of_starts(asked.of_step(LOGIN), asked.of_step(CHAIN))
        if len(there):
            pairs.append(Pair(there, here.received, here.received + WORK_MS))
            most = min(len(here.received), len(there))
    return Search(pairs, most)


def found_offset(
    search: Search,
    zone: int | None,
    limits: tuple[int, int] | None,
    wanted: int,
    near: tuple[int, int] | None = None,
    *,
    part: bool = False,
) -> tuple[int, int, int]:
    """Find the interval within the limits that most pairs agree on: (lowest, highest, matches), in ms.

    ``zone``: what UTC is ahead of the node's time, in ms, None: not known. No match: 0, 0, 0; so where they are fewer
    than half of those ``wanted``: logs that have nothing to do with each other match somewhere. ``near``: what is
    within these limits is preferred. ``part``: it is one of many parts that may each have an offset of its own.
    """
    best = (0, 0, 0)
    for number, limit in enumerate([near, limits] if near is not None else [limits]):
        low, high, matched = _best(search.pairs, zone, limit)
        if matched and matched * 2 >= wanted and matched > best[2] * (1.3 if number else 1):
            doubtful = part or number or matched * 5 < wanted * 4
            if doubtful and by_chance(search.pairs, (low + high) // 2, limit) > (_CHANCE_OF_PART if part else _CHANCE):
                continue
            best = low, high, matched
    return best


def by_chance(pairs: Sequence[Pair], offset: int, limits: tuple[int, int] | None) -> float:
    """Give how many offsets as good as this one logs would have that have nothing to do with each other.

    What stands together, here or there, is of one enrollment: only enrollments may match by chance each for itself.
    ``limits``: where the offset was sought, in ms.
    """
    begins = np.concatenate([pair.begin for pair in pairs])
    met = np.concatenate([pair.met(offset) for pair in pairs])
    every = _groups(begins)
    # What stands together may fall apart where some of it has no match.
    matched = min(every, _groups(begins[met]))
    there = np.concatenate([pair.there for pair in pairs])
    others, span = _groups(there), max(int(there.max() - there.min()), SECOND_MS)
    width = float(np.mean(np.concatenate([pair.end - pair.begin for pair in pairs]))) + SECOND_MS
    share = min(1.0, others * width / span)
    sought = 1.0 if limits is None else min(1.0, (limits[1] - limits[0]) / span)
    ways = lgamma(every + 1) - lgamma(matched + 1) - lgamma(every - matched + 1)
    return exp(min(ways + log(others) + log(sought) + (matched - 1) * log(share), 700.0))


def _groups(moments: np.ndarray) -> int:
    """Count the groups of moments that stand together."""
    return int(np.count_nonzero(np.diff(np.sort(moments)) > SAME_MS)) + 1 if len(moments) else 0


def _best(pairs: Sequence[Pair], zone: int | None, limits: tuple[int, int] | None) -> tuple[int, int, int]:
    """Find the interval within the limits that most pairs agree on, and how many lines or calls here it matches."""
    lows, highs = most_agreed([claims for pair in pairs for claims in _claims_of(pair)], limits or (-_FAR, _FAR))
    if not len(lows):
        return 0, 0, 0
    low, high, clear = _nearest(lows, highs, zone)
    if not clear:
        return 0, 0, 0
    middle = (low + high) // 2
    return low, high, sum(int(pair.met(middle).sum()) for pair in pairs)


def _claims_of(pair: Pair) -> list[Claims]:
    """Make claims of what can be compared, or of as many of the lines or calls here as :data:`PAIRS_MAX` allows."""
    there, begin, end = pair.there, pair.begin, pair.end
    keep = np.linspace(0, len(begin) - 1, min(len(begin), max(1, PAIRS_MAX // len(there)))).astype(int)
    width = (end - begin)[keep]
    if width.min() < width.max():
        # Those of about one length see the same lines there as standing together.
        return [Claims(there, begin[own], end[own]) for own in np.array_split(keep[np.argsort(width)], 8) if len(own)]
    return [Claims(there, begin[keep], end[keep])]


def _nearest(lo: np.ndarray, hi: np.ndarray, zone: int | None) -> tuple[int, int, bool]:
    """Choose of intervals that are held by equally many the one nearest to a zone, if it is so clearly."""
    middle = (lo + hi) / 2
    if zone is not None:
        away = np.abs(middle - zone)
    else:
        away = np.abs(middle - np.round(middle / QUARTER_MS) * QUARTER_MS) + np.abs(middle) / 1e6
    pick = int(np.argmin(away))
    near = np.abs(middle - middle[pick]) <= SAME_MS
    clear = near.all() or 3 * away[pick] + 2 * SAME_MS <= away[~near].min()
    # Of several that are near one another none is better than another: the offset lies in one of them.
    return int(lo[near].min()), int(hi[near].max()), bool(clear)


def spells_of(here: Here, asked: Asked, zone_known: bool) -> tuple[list[Spell], int]:
    """Find the spells of a server's clock, in the order of time; and how many lines and calls here could be matched.

    ``zone_known``: the node's times are UTC; otherwise its local time as if it were, and a day is the farthest that the
    two can be apart but for the clocks.
    """
    whole = searched(here, asked)
    if not whole.pairs:
        return [], whole.of
    near = (-QUARTER_MS, QUARTER_MS) if zone_known else (-ZONE_MAX - QUARTER_MS, -ZONE_MIN + QUARTER_MS)
    found = _Spells(asked, 0 if zone_known else None, near).of(here, whole, _DEPTH)
    # A few parts that match while most of the whole does not are chance.
    if sum(spell.matched for spell in found) * 5 < whole.most * 2:
        found = []
    if not found and zone_known and len(here.moments) >= _FEW and not torn(whole, zone_known):
        # Where the clocks agree a third of them is no chance.
        low, high, matched = found_offset(whole, 0, (-SAME_MS, SAME_MS), whole.most * 2 // 3)
        if matched:
            found = [_spell(here, low, high, matched, whole.of)]
    return _but_strange(found), whole.of


def _spell(here: Here, low: int, high: int, matched: int, of: int) -> Spell:
    moments = here.moments
    return Spell(int(moments[0]), int(moments[-1]), low, high, matched, of)


@dataclass(frozen=True, slots=True)
class _Spells:
    asked: Asked
    zone: int | None
    near: tuple[int, int]

    def of(self, here: Here, search: Search, depth: int) -> list[Spell]:
        """Find the spells of what was logged here; of halves of it where the whole has none or is not of one."""
        low, high, matched = found_offset(search, self.zone, None, max(search.most, 1), self.near, part=depth < _DEPTH)
        moments = here.moments
        if not matched:
            if not depth or len(moments) < 2 * _FEW_AGREED:
                return []
            # In the middle between two: what CES tells is of whole seconds, which begin before the call.
            middle = int(moments[len(moments) // 2 - 1 : len(moments) // 2 + 1].sum()) // 2
            if len(moments) >= 2 * _FEW:
                return self._halves(here, middle, depth)
            # As many before a clock was set as after it.
            parts = self._parts(here, middle, depth)
            return parts if len(parts) > 1 else []
        own = _spell(here, low, high, matched, search.of)
        if not depth or len(moments) < 2 * _FEW_AGREED:
            return [own]
        cut = self._border(search, own)
        if cut is None:
            return [own]
        parts = self._parts(here, cut, depth)
        # What the parts find has to be more than what the whole has.
        better = sum(part.matched for part in parts)
        return parts if better > matched + 2 else [own]

    def _parts(self, here: Here, cut: int, depth: int) -> list[Spell]:
        """Find the spells before and after a moment at which what matches changes; a few that all match are enough."""
        found: list[Spell] = []
        for begin, end in ((-_FAR, cut), (cut, _FAR)):
            part = here.between(begin, end)
            if len(part.moments) >= 2 * _FEW:
                found += self.of(part, searched(part, self.asked), depth - 1)
            elif len(part.moments) >= _FEW_AGREED:
                search = searched(part, self.asked)
                # Nine of ten, and not half of them.
                low, high, matched = found_offset(
                    search, self.zone, None, max(search.most, 1) * 9 // 5, self.near, part=True
                )
                if matched:
                    found.append(_spell(part, low, high, matched, search.of))
        return found

    def _halves(self, here: Here, cut: int, depth: int) -> list[Spell]:
        found: list[Spell] = []
        for begin, end in ((-_FAR, cut), (cut, _FAR)):
            part = here.between(begin, end)
            if len(part.moments) >= _FEW:
                found += self.of(part, searched(part, self.asked), depth - 1)
        return found

    def _border(self, search: Search, spell: Spell) -> int | None:
        """Find the moment from which on, or up to which, most of what is here has no match there; None: none is so."""
        at, met = [], []
        slack = (spell.high - spell.low) // 2
        for pair in search.pairs:
            begin = pair.begin + spell.middle
            hit = pair.met(spell.middle, slack)
            # What lies beyond the log there is no miss, unless much of the log has no match here: it may be of that.
            known = (begin >= pair.there[0] - SECOND_MS) & (begin <= pair.there[-1] + SECOND_MS)
            if pair.unmet(spell.middle, slack) * 2 >= np.count_nonzero(~hit):
                known[:] = True
            at.append(pair.begin[known])
            met.append(hit[known])
        moments, hits = np.concatenate(at), np.concatenate(met)
        turn = np.argsort(moments, kind="stable")
        moments, hits = moments[turn], hits[turn]
        missed = len(hits) - int(hits.sum())
        if missed < 3 or missed < len(hits) * 0.1:
            return None
        share = np.cumsum(hits - hits.mean())
        best = int(np.argmax(np.abs(share)))
        if best + 1 >= len(moments) or moments[best + 1] == moments[0]:
            return None
        # Between the last of the one kind and the first of the other.
        left, right = hits[: best + 1].mean(), hits[best + 1 :].mean()
        if abs(left - right) < 0.3:
            return None
        return int(moments[best + 1])


def _but_strange(spells: list[Spell]) -> list[Spell]:
    """Leave out short spells that say something quite different from those around them, which agree."""
    kept = []
    for k, spell in enumerate(spells):
        around = [spells[n].middle for n in (k - 1, k + 1) if 0 <= n < len(spells)]
        agreed = len(around) == 2 and abs(around[0] - around[1]) < 2 * SAME_MS
        if agreed and abs(spell.middle - around[0]) > 60_000 and spell.matched * 5 < sum(s.matched for s in spells):
            continue
        kept.append(spell)
    return kept


def torn(search: Search, zone_known: bool) -> bool:
    """Tell whether offsets that are far from each other are held by most, and equally many."""
    if search.of < 2 * _FEW:
        return False
    near = (-QUARTER_MS, QUARTER_MS) if zone_known else (-ZONE_MAX - QUARTER_MS, -ZONE_MIN + QUARTER_MS)
    lows, highs = most_agreed([claims for pair in search.pairs for claims in _claims_of(pair)], near)
    if not len(lows):
        return False
    middles = (lows + highs) // 2
    if int(middles.max() - middles.min()) <= SAME_MS:
        return False
    return all(
        sum(int(pair.met(int(middle)).sum()) for pair in search.pairs) * 2 >= search.most
        for middle in (middles[0], middles[-1])
    )
