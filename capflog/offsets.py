"""The offset of IIS's clock: the one interval that most pairs of lines, there and here, agree on (Marzullo 1984)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import DAY_MS
from capflog.clock_log import QUARTER_MS, ZONE_MAX, ZONE_MIN, Calls, Log
from capflog.intervals import Claims, most_agreed

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Requests of CES to the CA that follow one another by less than this are of one piece of work. (ms)
CHAIN_GAP_MS = 30_000

#: Offsets that differ by less than this are one. (ms)
SAME_MS = 5_000

#: How many pairs of lines are compared at the most when the offset of IIS is sought.
PAIRS_MAX = 4_000_000

#: Farther than any offset. (ms)
_FAR = 1 << 60

#: Moments in IIS's log, and the bounds in the node's time within which a line or call here says that they lie. (ms)
Pair = tuple[np.ndarray, np.ndarray, np.ndarray]


def _but_of_starts(logins: np.ndarray, chains: np.ndarray) -> np.ndarray:
    """Take away the logins that CES's request for the CA's chain follows on: those are of its start."""
    after = np.searchsorted(chains, logins + CHAIN_GAP_MS, side="right")
    alone: np.ndarray = logins[after == np.searchsorted(chains, logins, side="left")]
    return alone


def _iis_pairs(log: Log, calls: Calls, *, only_calls: bool) -> tuple[list[Pair], int]:
    """List what can be compared of IIS and the node, and how many matches there are at the most."""
    pairs: list[Pair] = []
    rows, stamps = log.stamped("nginx", "curl.ok") if not only_calls else (np.zeros(0, dtype=np.int64),) * 2
    for step, name in (("login", "login"), ("form", "navigate"), ("chain", "cacerts")):
        there = log.iis(step)
        at = stamps[log.holding("function", rows, re.compile(name).search)]
        if len(there) and len(at):
            pairs.append((there, at, at + 1000))
    most = sum(min(len(there), len(begin)) for there, begin, _ in pairs)
    certificates = log.iis("certificate")
    if len(certificates) and len(calls.issued):
        # A certificate that CES fetched for a call that was given up may have come after it.
        pairs.append((certificates, calls.issued[:, 0], calls.issued[:, 1]))
        most += min(len(calls.issued), len(certificates))
    elif len(calls.all) and not pairs:
        there = _but_of_starts(log.iis("login"), log.iis("chain"))
        if len(there):
            pairs.append((there, calls.all[:, 0], calls.all[:, 1]))
            # A call may end without a certificate; without any, each has to show its login.
            most = min(len(calls.all), len(there)) if len(certificates) else len(calls.all)
    return pairs, most


def iis_delta(log: Log, calls: Calls, zone: int | None, *, any_day: bool = False) -> tuple[int, int, int, int]:
    """Find what IIS's stamp is ahead of the node's local time: (lowest, highest, matches, of how many), in ms.

    ``any_day``: the day of the windows is not known, so that the node's other lines say nothing of them. Logs that have
    nothing to do with each other match somewhere: half of what can match has to, but where the clocks agree.
    """
    pairs, most = _iis_pairs(log, calls, only_calls=any_day)
    of = sum(len(begin) for _, begin, _ in pairs)
    if zone is None:
        limits = None if any_day else (-ZONE_MAX - QUARTER_MS, -ZONE_MIN + QUARTER_MS)
        tries = [(limits, most)]
    else:
        utc = -zone * 1000
        tries = [((utc - 2 * DAY_MS, utc + 2 * DAY_MS), most), ((utc - QUARTER_MS, utc + QUARTER_MS), 1)]
    for limits, wanted in tries:
        lo, hi, matched = _best_delta(pairs, zone, limits)
        if matched and matched * 2 >= wanted:
            return lo, hi, matched, of
    return 0, 0, 0, of


def _best_delta(pairs: Sequence[Pair], zone: int | None, limits: tuple[int, int] | None) -> tuple[int, int, int]:
    """Find the interval within the limits that most pairs agree on, and how many lines or calls here it matches."""
    lows, highs = most_agreed([claims for pair in pairs for claims in _claims_of(pair)], limits or (-_FAR, _FAR))
    if not len(lows):
        return 0, 0, 0
    lo, hi, clear = _nearest(lows, highs, zone)
    if not clear:
        return 0, 0, 0
    middle = (lo + hi) // 2
    matched = 0
    for there, begin, end in pairs:
        left = np.searchsorted(there, begin + middle - 1000, side="left")
        matched += int((np.searchsorted(there, end + middle, side="right") > left).sum())
    return lo, hi, matched


def _claims_of(pair: Pair) -> list[Claims]:
    """Make claims of what can be compared, or of as many of the lines or calls here as :data:`PAIRS_MAX` allows."""
    there, begin, end = pair
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
        away = np.abs(middle + zone * 1000)
    else:
        away = np.abs(middle - np.round(middle / QUARTER_MS) * QUARTER_MS) + np.abs(middle) / 1e6
    pick = int(np.argmin(away))
    near = np.abs(middle - middle[pick]) <= SAME_MS
    clear = near.all() or 3 * away[pick] + 2 * SAME_MS <= away[~near].min()
    # Of several that are near one another none is better than another: the offset lies in one of them.
    return int(lo[near].min()), int(hi[near].max()), bool(clear)
