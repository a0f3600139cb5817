"""What rooms that look for partners share: values at places where there may be none, and what was found so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from capflog.one_order import Partners

#: Later than any time or row; beyond any time, and far enough from it to be reckoned with.
NEVER = int(np.iinfo(np.int64).max)
FAR = 1 << 60


def at_places(values: np.ndarray, places: np.ndarray, otherwise: float) -> np.ndarray:
    """Give the values at these places, something else where there is none (-1)."""
    known = places >= 0
    found = np.full(len(places), otherwise, dtype=values.dtype)
    found[known] = values[places[known]]
    return found


def named(items: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Give the items at these places, -1 where there is none."""
    return at_places(items, places, -1)


def take(partner: np.ndarray, sure: np.ndarray, found: Partners, here: np.ndarray, there: np.ndarray) -> None:
    """Take partners that were found among some."""
    good = (found.partner >= 0) & (found.sure > 0.3)
    partner[here[good]] = there[found.partner[good]]
    sure[here[good]] = found.sure[good]


def agreed(
    one: np.ndarray, one_sure: np.ndarray, other: np.ndarray, other_sure: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put together what two ways tell of the same things, and how sure each is (-1: it tells nothing).

    Where they agree, the odds of the weaker one count half: they share what they were told before. Where they differ,
    the likelier one holds, as far as the other can be wrong.
    """
    odds, others = (
        np.log(sure / (1 - sure)) for sure in (np.clip(each, 1e-9, 1 - 1e-9) for each in (one_sure, other_sure))
    )
    both = (one >= 0) & (other >= 0)
    alike = one == other
    found = np.where((one >= 0) & ~(both & (others > odds)), one, other)
    weight = np.where(alike, np.maximum(odds, others) + np.minimum(odds, others) / 2, np.abs(odds - others))
    sure = np.where(both, 1 / (1 + np.exp(-weight)), np.where(one >= 0, one_sure, other_sure))
    return found, sure
