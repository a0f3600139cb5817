"""Brackets of IIS's offset: requests of which a line here and a line there tell, each with its bounds.

An enrollment alone in its time is a chain of requests, each of which begins after the one before it was answered. So
from CAPF's call (ms) to its answer (ms), and from one request's ``time-taken`` to the next, each of IIS's whole seconds
has its place, and where IIS's second changed within the chain the bounds are close.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import CERTIFICATE, CHAIN, FORM, PAGES, POST, Asked
from capflog.intervals import SECOND_MS
from capflog.offsets import TOLD_MS, WORK_MS
from capflog.story import GAVE_UP_MS, LATE_MS
from capflog.tracks import DRIFT_USUAL, Brackets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capflog.offsets import Here, Spell
    from capflog.tracks import Piece

#: A line there may stand this far from where the spell has it; and where a line is known. (ms)
_SLACK_MS, _CLOSE_MS = 2_000, 300

#: IIS's time-taken may be that of a timer that ticks so slowly. (ms)
_TICK_MS = 16

#: CES asks the CA seven times for one certificate, and a few times more where something is asked again.
_CHAIN_MOST = 12

#: From so many calls on CES's own words are not needed.
_CALLS_ENOUGH = 10

_MINUTE_MS = 60_000

#: So many brackets of a kind are enough.
_ENOUGH = 2_000

#: Before and behind every moment. (ms)
_FAR = 1 << 60

_NONE = np.zeros(0, dtype=np.int64)
_NO_BRACKETS = Brackets(_NONE, _NONE, _NONE, _NONE)


@dataclass(frozen=True, slots=True)
class Guess:
    """What the offset is about, from ``begin`` to before ``end`` by the node's clock, and give or take what; in ms."""

    begin: int
    end: int
    offset: Callable[[np.ndarray], np.ndarray]
    slack: int

    @staticmethod
    def of_spells(spells: Sequence[Spell]) -> list[Guess]:
        """Take what the spells say."""
        edges = [-_FAR, *((a.end + b.begin) // 2 for a, b in pairwise(spells)), _FAR]
        return [
            Guess(begin, end, _constant(spell.middle), _SLACK_MS + (spell.high - spell.low) // 2)
            for spell, (begin, end) in zip(spells, pairwise(edges), strict=True)
        ]

    @staticmethod
    def of_pieces(pieces: Sequence[Piece]) -> list[Guess]:
        """Take what the pieces say: closer by far."""
        moments = [(piece.first - round(piece.start), piece.last - round(piece.start)) for piece in pieces]
        edges = [-_FAR, *((a[1] + b[0]) // 2 for a, b in pairwise(moments)), _FAR]
        found = []
        for piece, (begin, end) in zip(pieces, pairwise(edges), strict=True):
            low, high = piece.bounds(np.array([piece.first, piece.last]))
            slack = round(float((high - low).max()) / 2) + _CLOSE_MS
            found.append(Guess(begin, end, _of_line(piece), min(slack, 2 * _SLACK_MS)))
        return found


def _constant(offset: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda at: np.full(len(at), offset, dtype=np.int64)


def _of_line(piece: Piece) -> Callable[[np.ndarray], np.ndarray]:
    return lambda at: np.round(piece.offset(at + round(piece.start))).astype(np.int64)


def brackets_of(here: Here, asked: Asked, guesses: Sequence[Guess]) -> list[Brackets]:
    """List the brackets that both logs give for each guess, in the order of IIS's log.

    Where CAPF's calls give enough, CES's whole seconds are not asked: NGINX stamps a line with the time at which it
    began what it is about, and a plugin that waits for the CA holds it up.
    """
    found = []
    for guess in guesses:
        parts = [_of_calls(here, asked, guess), _of_crowds(here, asked, guess)]
        if sum(len(part) for part in parts) < _CALLS_ENOUGH:
            parts.append(_of_ces(here, asked, guess))
        found.append(Brackets.together(parts))
    return found


def bracket_of_spell(spell: Spell, asked: Asked) -> Brackets:
    """Make a bracket of a spell on which all lines and calls agree, whichever of the lines there each is of.

    They agree on one offset for all of it: where the clock drifts that may be off in the middle by what it drifts.
    """
    drifted = round(DRIFT_USUAL * (spell.end - spell.begin) / 2)
    middle = (spell.begin + spell.end) // 2 + spell.middle
    order = int(np.searchsorted(asked.at[asked.by_time], middle))
    place = int(asked.by_time[min(order, len(asked) - 1)])
    return Brackets(*np.array([[middle], [spell.low - drifted], [spell.high + drifted], [place]], dtype=np.int64))


def _alone(here: Here, slack: int) -> np.ndarray:
    """Tell of each of the calls, which are in order, whether no other was under way, or worked for still, with it."""
    begin, end = here.calls.T
    slow = ~here.issued & (end - begin >= GAVE_UP_MS)
    until = np.maximum.accumulate(end + np.where(slow, LATE_MS, 0)) + 2 * slack
    alone = np.ones(len(begin), dtype=bool)
    alone[1:] &= begin[1:] > until[:-1]
    alone[:-1] &= begin[1:] > end[:-1] + 2 * slack
    return alone


def _of_crowds(here: Here, asked: Asked, guess: Guess) -> Brackets:
    """Make brackets of enrollments that overlap: whichever is whose, the first of their certificates comes before the
    first of their answers, the second before the second, and so on; and the first form after the first call.

    That holds of requests there that are of none of them, too, as long as none of theirs is missing.
    """
    called, answered = here.calls.T
    within = np.flatnonzero((called >= guess.begin) & (called < guess.end))
    if len(within) < 2:
        return _NO_BRACKETS
    until = np.maximum.accumulate(answered[within]) + 2 * guess.slack
    starts = np.flatnonzero(np.append(True, called[within][1:] > until[:-1]))
    ends = np.append(starts[1:], len(within))
    every = asked.by_time
    good = asked.good[every]
    certificates = every[(asked.step[every] == CERTIFICATE) & good]
    forms = every[(asked.step[every] == FORM) & good]
    parts = []
    crowds = _enough(np.flatnonzero(ends - starts > 1))
    for begin, end in zip(starts[crowds].tolist(), ends[crowds].tolist(), strict=True):
        mine = within[begin:end]
        edges = np.array([called[mine[0]], answered[mine].max()])
        first, last = (edges + guess.offset(edges) + np.array([-guess.slack - SECOND_MS, guess.slack])).tolist()
        issued = mine[here.issued[mine]]
        fetched, opened = (own[np.searchsorted(asked.at[own], first) :] for own in (certificates, forms))
        fetched, opened = (own[: np.searchsorted(asked.at[own], last, side="right")] for own in (fetched, opened))
        if not len(issued) or len(fetched) < len(issued) or not len(opened) or len(opened) > len(mine):
            continue
        done = asked.at[fetched[: len(issued)]]
        low = done - np.sort(answered[issued])
        begun = np.sort(asked.at[opened] - np.maximum(asked.taken[opened] - _TICK_MS, 0)) + SECOND_MS
        high = begun - called[mine[: len(opened)]]
        parts.append(_by_minutes(done, low, begun - SECOND_MS, high, fetched))
    return Brackets.together(parts) if parts else _NO_BRACKETS


def _by_minutes(done: np.ndarray, low: np.ndarray, begun: np.ndarray, high: np.ndarray, order: np.ndarray) -> Brackets:
    """Put bounds from below and from above together where they are of the same minute, the closest of each.

    ``done`` and ``begun`` are in order.
    """
    minutes, first = np.unique(done // _MINUTE_MS, return_index=True)
    others, begins = np.unique(begun // _MINUTE_MS, return_index=True)
    _, here, there = np.intersect1d(minutes, others, assume_unique=True, return_indices=True)
    lows, highs = np.maximum.reduceat(low, first)[here], np.minimum.reduceat(high, begins)[there]
    some = _enough(np.arange(len(here)))
    return Brackets(done[first[here]], lows, highs, order[first[here]]).chosen(some)


def _enough(places: np.ndarray) -> np.ndarray:
    if len(places) <= _ENOUGH:
        return places
    found: np.ndarray = places[np.linspace(0, len(places) - 1, _ENOUGH).astype(int)]
    return found


def _of_calls(here: Here, asked: Asked, guess: Guess) -> Brackets:
    """Make brackets of enrollments that were alone in their time and whose certificate IIS shows."""
    if not len(here.calls) or not len(asked):
        return _NO_BRACKETS
    called, answered = here.calls.T
    within = (called >= guess.begin) & (called < guess.end)
    mine = _enough(np.flatnonzero(_alone(here, guess.slack) & here.issued & within))
    ahead = guess.offset(called[mine])
    places = asked.by_time
    at = asked.at[places]
    first = np.searchsorted(at, called[mine] + ahead - guess.slack - SECOND_MS, side="left")
    last = np.searchsorted(at, answered[mine] + ahead + guess.slack, side="right")

    def count(which: np.ndarray) -> np.ndarray:
        sums = np.append(0, np.cumsum(which[places]))
        found: np.ndarray = sums[last] - sums[first]
        return found

    size = last - first
    whole = (size > 0) & (size <= _CHAIN_MOST)
    whole &= (count((asked.step == CERTIFICATE) & asked.good) == 1) & (count(asked.step == CHAIN) == 0)
    whole &= (count(asked.step == FORM) <= 1) & (count(asked.step == POST) <= 1)
    mine, first, last = mine[whole], first[whole], last[whole]
    if not len(mine):
        return _NO_BRACKETS
    # The chain ends with its certificate, is one client's, and stands together in the log.
    ends = asked.step[places[last - 1]] == CERTIFICATE
    client, order = asked.client[places], places
    changed = np.append(0, np.cumsum((client[1:] != client[:-1]) | (order[1:] < order[:-1])))
    ends &= changed[last - 1] == changed[first]
    mine, first, last = mine[ends], first[ends], last[ends]
    if not len(mine):
        return _NO_BRACKETS
    sizes = last - first
    chain = np.repeat(np.arange(len(mine)), sizes)
    bounds = np.append(0, np.cumsum(sizes))
    item = np.arange(len(chain)) - bounds[chain] + first[chain]
    taken = np.maximum(asked.taken[places] - _TICK_MS, 0)
    done = np.append(0, np.cumsum(taken))
    stamp = at[item]
    # It was answered no later than this before CAPF's answer, and begun no earlier than this after its call.
    low = stamp - answered[mine][chain] + (done[last[chain]] - done[item + 1])
    high = stamp + SECOND_MS - called[mine][chain] - (done[item + 1] - done[first[chain]])
    low, high = np.maximum.reduceat(low, bounds[:-1]), np.minimum.reduceat(high, bounds[:-1])
    # A chain that took longer than the call, by IIS's account, tells of its stamps alone.
    plain_low, plain_high = stamp - answered[mine][chain], stamp + SECOND_MS - called[mine][chain]
    odd = low >= high
    low[odd] = np.maximum.reduceat(plain_low, bounds[:-1])[odd]
    high[odd] = np.minimum.reduceat(plain_high, bounds[:-1])[odd]
    return Brackets(stamp[bounds[:-1]], low, high, places[first])


def _of_ces(here: Here, asked: Asked, guess: Guess) -> Brackets:
    """Make brackets of the seconds in which CES told that a page of the CA came."""
    parts = []
    slack = min(guess.slack, 2 * SECOND_MS)
    every = asked.by_time
    # How long the CA was at work for what each is part of: so much earlier CES's line may have been stamped.
    begun = np.append(True, np.diff(asked.at[every]) > _SLACK_MS)[: len(every)]
    busy = np.cumsum(asked.taken[every])
    before = (busy - asked.taken[every])[np.flatnonzero(begun)]
    busy -= before[np.cumsum(begun) - 1]
    for step in range(len(PAGES)):
        told = here.told[(here.step == step) & (here.told >= guess.begin) & (here.told < guess.end)]
        own = np.flatnonzero((asked.step[every] == step) & asked.good[every])
        if not len(told) or not len(own):
            continue
        told = told[_enough(np.arange(len(told)))]
        at, held_up = asked.at[every[own]], busy[own]
        ahead = guess.offset(told)
        first = np.searchsorted(at, told + ahead - slack - SECOND_MS - TOLD_MS, side="left")
        last = np.searchsorted(at, told + ahead + slack + SECOND_MS, side="right") - 1
        some = last >= first
        told, first, last = told[some], first[some], last[some]
        # Of several that are near it is one: close enough they say the same.
        near = at[last] - at[first] <= SECOND_MS
        told, first, last = told[near], first[near], last[near]
        low = at[first] - told - SECOND_MS - held_up[last] - TOLD_MS
        high = at[last] + SECOND_MS - told + TOLD_MS
        parts.append(Brackets(at[first], low, high, every[own[first]]))
    return Brackets.together(parts) if parts else _NO_BRACKETS


def highest_of(here: Here, asked: Asked, spell: Spell) -> int | None:
    """Give how far IIS can be ahead at the most by requests to CES alone: CES asks the CA after it was asked, in ms.

    What is asked of either after a silence is one and the same enrollment, if only one such follows on the other.
    """
    received = here.received[_first_of(here.received)]
    begun = asked.by_time[_first_of(asked.at[asked.by_time])]
    at = asked.at[begun]
    first = np.searchsorted(at, received + spell.low - SECOND_MS, side="left")
    last = np.searchsorted(at, received + spell.high + WORK_MS, side="right")
    one = last - first == 1
    if not one.any():
        return None
    begun, received = begun[first[one]], received[one]
    bounds = asked.at[begun] + SECOND_MS - np.maximum(asked.taken[begun] - _TICK_MS, 0) - received
    # A clock may drift: what bounds it all the time is the highest of what bounds it for a while. What is far below
    # most others there is of another enrollment.
    spans = np.array_split(bounds, max(1, min(8, len(bounds) // 5)))
    return max(int(own[own >= np.median(own) - _SLACK_MS].min()) for own in spans)


def _first_of(times: np.ndarray) -> np.ndarray:
    """Give the places of those moments, which are in order, that come after a silence."""
    return np.flatnonzero(np.append(True, np.diff(times) > WORK_MS)[: len(times)])
