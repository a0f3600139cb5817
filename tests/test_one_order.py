"""Two rows of the same things side by side: what is said is what weighing each way by itself says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from capflog import one_order
from capflog.one_order import NO_TAG, Side, Weights, partners

if TYPE_CHECKING:
    from collections.abc import Iterator

#: So far that a pair weighs something however far apart it is.
EVERYWHERE = 1000.0

LEAST, MOST = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def points(*values: int) -> Side:
    return Side(numbers(*values), numbers(*values))


# ---- each way by itself --------------------------------------------------------------------------------------------


def pair(left: Side, right: Side, weights: Weights, n: int, m: int) -> float:
    """Weigh that the n-th left item and the m-th right one are the same."""
    weight = exp(-max(int(right.low[m]) - int(left.high[n]), 0) / weights.early)
    weight *= max(exp(-max(int(left.low[n]) - int(right.high[m]), 0) / weights.late), weights.least)
    if left.also is not None and right.also is not None:
        apart = max(int(right.also[0][m]) - int(left.also[1][n]), 0) + max(
            int(left.also[0][n]) - int(right.also[1][m]), 0
        )
        weight *= exp(-apart / weights.apart)
    if left.kind is not None and right.kind is not None:
        weight *= int(right.kind[m]) >> int(left.kind[n]) & 1
    one = NO_TAG if left.tag is None else int(left.tag[n])
    other = NO_TAG if right.tag is None else int(right.tag[m])
    if NO_TAG in (one, other):
        return weight * weights.unknown
    return weight * (1.0 if one == other else weights.unlike)


@dataclass(frozen=True)
class Ways:
    """All the ways to put items side by side.

    Before the n-th left item at least ``first[n]`` right ones are done with, and at most ``last[n]``.
    """

    left: Side
    right: Side
    weights: Weights
    first: list[int]
    last: list[int]

    def behind(self, n: int, done: int) -> Iterator[tuple[float, dict[int, int]]]:
        """List them from the n-th left item on, so many right ones being done with; each with its weight."""
        left, right, weights = self.left, self.right, self.weights
        count, others = len(left.low), len(right.low)
        if n == count:
            yield weights.lacks_right ** (others - done), {}
            return
        lack = weights.lacks_left if left.lacks is None else max(weights.lacks_left, float(left.lacks[n]))
        for k in range(max(done, self.first[n]), self.last[n] + 1):
            passed = weights.lacks_right ** (k - done)
            for weight, way in self.behind(n + 1, k):
                yield passed * lack * weight, way
            if k < self.last[n]:
                here = pair(left, right, weights, n, k)
                for weight, way in self.behind(n + 1, k + 1):
                    yield passed * here * weight, {n: k, **way}
            if n + 1 < count and k + 1 < self.last[n] and self.first[n + 1] <= k < self.last[n + 1]:
                close = weights.swapped if right.close is None else max(weights.swapped, float(right.close[k]))
                here = close * pair(left, right, weights, n, k + 1) * pair(left, right, weights, n + 1, k)
                for weight, way in self.behind(n + 2, k + 2):
                    yield passed * here * weight, {n: k + 1, n + 1: k, **way}


def enumerated(left: Side, right: Side, weights: Weights) -> np.ndarray:
    """Give for each left item the probability of each right one, last that of having none."""
    first, last = (side.tolist() for side in one_order._bands(left, right, weights))
    found = np.zeros((len(left.low), len(right.low) + 1))
    for weight, way in Ways(left, right, weights, first, last).behind(0, 0):
        for n in range(len(left.low)):
            found[n, way.get(n, -1)] += weight
    shares: np.ndarray = found / found.sum(axis=1, keepdims=True)
    return shares


def agrees(left: Side, right: Side, weights: Weights) -> None:
    """Check what is found against all ways; of two that are as likely either may be it."""
    wanted = enumerated(left, right, weights)
    found = partners(left, right, weights)
    for n, (partner, sure) in enumerate(zip(found.partner.tolist(), found.sure.tolist(), strict=True)):
        assert sure == pytest.approx(wanted[n].max(), rel=1e-6), (n, wanted[n])
        assert wanted[n, partner] == pytest.approx(wanted[n].max(), rel=1e-6), (n, wanted[n])


def drawn(seed: int, *, tags: bool, kinds: bool, also: bool, special: bool) -> tuple[Side, Side, Weights]:
    chance = np.random.default_rng(seed)
    sides: list[Side] = []
    for place in range(2):
        count = int(chance.integers(1, 6))
        low = np.sort(chance.integers(0, 60, count))
        more: dict[str, Any] = {}
        if tags:
            more["tag"] = chance.integers(NO_TAG, 3, count)
        if kinds:
            more["kind"] = chance.integers(1, 8, count) if place else chance.integers(0, 3, count)
        if also:
            begin = chance.integers(0, 40, count)
            more["also"] = (begin, begin + chance.integers(0, 10, count))
        if special:
            more["close" if place else "lacks"] = chance.random(count) * 0.6
        sides.append(Side(low, low + chance.integers(0, 12, count), **more))
    weights = Weights(
        early=float(chance.uniform(2, 20)),
        late=float(chance.uniform(2, 20)),
        reach=EVERYWHERE,
        lacks_left=float(chance.choice([1e-4, 0.05, 0.5])),
        lacks_right=float(chance.choice([1e-4, 0.05, 0.5])),
        swapped=float(chance.choice([0.01, 0.3] if special else [0.0, 0.01, 0.3])),
        unlike=float(chance.choice([0.001, 0.5])) if tags else 1.0,
        unknown=float(chance.choice([0.3, 0.8])) if tags else 1.0,
        apart=float(chance.uniform(3, 30)),
        least=float(chance.choice([0.0, 0.02])),
    )
    return sides[0], sides[1], weights


@pytest.mark.parametrize("seed", range(60))
def test_what_is_found_is_what_all_ways_together_say(seed: int) -> None:
    agrees(*drawn(seed, tags=False, kinds=False, also=False, special=False))


@pytest.mark.parametrize("what", ["tags", "kinds", "also", "special"])
@pytest.mark.parametrize("seed", range(100, 115))
def test_what_is_known_else_of_items_weighs_as_it_is_said(what: str, seed: int) -> None:
    agrees(*drawn(seed, **{name: name == what for name in ("tags", "kinds", "also", "special")}))


@pytest.mark.parametrize("seed", range(200, 230))
def test_all_of_it_together_weighs_as_it_is_said(seed: int) -> None:
    agrees(*drawn(seed, tags=True, kinds=True, also=True, special=True))


@pytest.mark.parametrize("seed", range(300, 330))
def test_what_is_out_of_reach_weighs_nothing(seed: int) -> None:
    """Each left item is compared with a band of right ones only; what the band holds is weighed as ever."""
    left, right, weights = drawn(seed, tags=False, kinds=False, also=False, special=False)
    weights = weights._replace(reach=1.0)
    first, last = one_order._bands(left, right, weights)
    place = np.arange(len(right.low))
    inside = (place >= first[:, None]) & (place < last[:, None])
    near = right.low[None, :] <= left.high[:, None] + int(weights.early)
    near &= right.high[None, :] >= left.low[:, None] - int(weights.late)
    assert not (near & ~inside).any()
    wanted = enumerated(left, right, weights)
    found = partners(left, right, weights)
    for n in range(len(left.low)):
        if inside[n].any():
            assert found.sure[n] == pytest.approx(wanted[n].max(), rel=1e-6)
            assert wanted[n, found.partner[n]] == pytest.approx(wanted[n].max(), rel=1e-6)
        else:
            assert (found.partner[n], found.sure[n]) == (-1, 0.0)


@pytest.mark.parametrize("seed", range(400, 404))
def test_compiled_code_finds_the_same(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    left, right, weights = drawn(seed, tags=True, kinds=True, also=True, special=True)
    plain = partners(left, right, weights)
    monkeypatch.setattr(one_order, "_COMPILED_FROM", 0)
    monkeypatch.setattr(one_order, "_TOGETHER", 2)
    found = partners(left, right, weights)
    monkeypatch.setattr(one_order, "_COMPILED_FROM", 1 << 40)
    plain_in_parts = partners(left, right, weights)
    assert found.partner.tolist() == plain_in_parts.partner.tolist() == plain.partner.tolist()
    assert found.sure == pytest.approx(plain_in_parts.sure, rel=1e-9)


# ---- in words ------------------------------------------------------------------------------------------------------


def test_what_stands_side_by_side_is_the_same() -> None:
    found = partners(points(10, 20, 30), points(11, 19, 30), Weights(5, 5))
    assert found.partner.tolist() == [0, 1, 2]
    assert found.sure.min() > 0.9


def test_an_item_that_lacks_its_partner_takes_no_other() -> None:
    found = partners(points(100, 200, 300), points(100, 300), Weights(5, 5))
    assert found.partner.tolist() == [0, -1, 1]
    found = partners(points(100, 300), points(100, 200, 300), Weights(5, 5))
    assert found.partner.tolist() == [0, 2]
    assert found.sure.min() > 0.99


def test_of_two_that_nothing_tells_apart_either_may_be_it() -> None:
    """Which of two right ones a left one is, is a toss; so is which of two left ones lacks its partner."""
    found = partners(points(50), points(50, 50), Weights(5, 5))
    assert found.sure[0] == pytest.approx(0.5, abs=0.01)
    found = partners(points(50, 50), points(50), Weights(5, 5))
    assert found.sure == pytest.approx([0.5, 0.5], abs=0.01)


def test_neighbours_have_changed_places_only_if_that_is_said_to_happen() -> None:
    left, right = points(50, 51), points(50, 51)
    left, right = replace(left, tag=numbers(7, 8)), replace(right, tag=numbers(8, 7))
    swapping = partners(left, right, Weights(5, 5, swapped=0.1, unlike=0.001))
    assert swapping.partner.tolist() == [1, 0]
    assert swapping.sure.min() > 0.9
    never = partners(left, right, Weights(5, 5, swapped=0.0, unlike=0.001))
    assert never.partner.tolist() != [1, 0]
    # Two that came at the same time may have changed places where others may not.
    together = partners(left, replace(right, close=np.array([0.4, 0.0])), Weights(5, 5, swapped=1e-6, unlike=0.001))
    assert together.partner.tolist() == [1, 0]
    apart = partners(left, replace(right, close=np.array([0.0, 0.4])), Weights(5, 5, swapped=1e-6, unlike=0.001))
    assert together.sure.min() > 0.9
    assert apart.sure.max() < 0.6


def test_kinds_decide_who_may_be_whose_partner() -> None:
    left = replace(points(50, 50), kind=numbers(0, 62))
    right = replace(points(50, 50), kind=numbers(1 << 62, 1))
    found = partners(left, right, Weights(5, 5, swapped=0.01))
    assert found.partner.tolist() == [1, 0]
    nobody = partners(left, replace(right, kind=numbers(1 << 61, 1 << 61)), Weights(5, 5))
    assert nobody.partner.tolist() == [-1, -1]
    assert nobody.sure == pytest.approx([1.0, 1.0])


def test_a_tag_tells_two_apart_that_time_does_not() -> None:
    left = replace(points(50), tag=numbers(4))
    right = replace(points(50, 50), tag=numbers(NO_TAG, 4))
    found = partners(left, right, Weights(5, 5, unlike=0.01, unknown=0.1))
    assert found.partner.tolist() == [1]
    assert found.sure[0] > 0.85
    alike = partners(replace(left, tag=numbers(NO_TAG)), right, Weights(5, 5, unlike=0.01, unknown=0.1))
    assert alike.sure[0] == pytest.approx(0.49, abs=0.02)


def test_another_span_tells_two_apart_that_the_first_does_not() -> None:
    left = replace(points(50), also=(numbers(1000), numbers(1010)))
    right = replace(points(50, 50), also=(numbers(0, 1005), numbers(10, 2000)))
    found = partners(left, right, Weights(5, 5, apart=50))
    assert found.partner.tolist() == [1]
    assert found.sure[0] > 0.95


def test_an_item_may_lack_its_partner_more_easily_than_others() -> None:
    left, right, weights = points(50), points(80), Weights(10, 10, lacks_left=1e-4, lacks_right=0.5)
    assert partners(left, right, weights).partner.tolist() == [0]
    assert partners(replace(left, lacks=np.array([0.9])), right, weights).partner.tolist() == [-1]


def test_late_is_never_less_likely_than_is_said() -> None:
    left, right, weights = points(100), points(50), Weights(10, 5, reach=50, lacks_left=1e-3, lacks_right=1e-3)
    assert partners(left, right, weights._replace(least=0.5)).sure[0] > 0.99
    assert partners(left, right, weights).sure[0] > 0.95
    far = points(0)
    assert partners(left, far, weights._replace(least=0.5)).partner.tolist() == [0]
    assert partners(left, far, weights).partner.tolist() == [-1]


def test_early_and_late_are_different_things() -> None:
    weights = Weights(early=1, late=50, lacks_left=1e-3, lacks_right=1e-3)
    assert partners(points(140), points(100), weights).partner.tolist() == [0]
    assert partners(points(60), points(100), weights).partner.tolist() == [-1]


@pytest.mark.parametrize(("left", "right"), [((), (1, 2)), ((1, 2), ()), ((), ())])
def test_where_one_side_is_empty_nobody_has_a_partner(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    found = partners(points(*left), points(*right), Weights(5, 5))
    assert found.partner.tolist() == [-1] * len(left)
    assert found.sure.tolist() == [0.0] * len(left)


def test_what_has_no_bound_is_anywhere() -> None:
    """Bounds that nothing sets are the least and the greatest of numbers; no sum of them runs over."""
    left = Side(numbers(LEAST, 100, 200), numbers(MOST, 100, MOST))
    right = Side(numbers(50, LEAST, 200), numbers(50, MOST, MOST))
    spans = (np.full(3, LEAST), np.full(3, MOST))
    for also in (None, spans):
        found = partners(replace(left, also=also), replace(right, also=also), Weights(5, 5))
        assert found.partner.tolist() == [0, 1, 2]
        assert found.sure.min() > 0.9


def test_what_is_farther_apart_than_numbers_are_wide_is_not_the_same() -> None:
    far = 1 << 60
    found = partners(points(LEAST, far), points(far), Weights(5, 5))
    assert found.partner.tolist() == [-1, 0]


# ---- many ----------------------------------------------------------------------------------------------------------


def crowd(seed: int, groups: int, *, apart: int) -> tuple[Side, Side]:
    """Draw groups of items close together, each so far from the next; some items are lost, neighbours change places."""
    chance = np.random.default_rng(seed)
    left: list[int] = []
    right: list[int] = []
    for group in range(groups):
        times = group * apart + np.sort(chance.integers(0, 60, int(chance.integers(1, 9))))
        left += [int(time + chance.integers(-3, 4)) for time in times if chance.random() > 0.1]
        right += [int(time) for time in times if chance.random() > 0.1]
    return points(*sorted(left)), points(*sorted(right))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("together", "overlap"), [(1, 16), (8, 16), (40, 16)])
def test_in_however_small_parts_it_is_weighed_it_comes_out_the_same(
    monkeypatch: pytest.MonkeyPatch, seed: int, together: int, overlap: int
) -> None:
    left, right = crowd(seed, 60, apart=10_000)
    weights = Weights(5, 5)
    whole = partners(left, right, weights)
    assert (whole.partner >= 0).sum() > 150
    monkeypatch.setattr(one_order, "_TOGETHER", together)
    monkeypatch.setattr(one_order, "_OVERLAP", overlap)
    found = partners(left, right, weights)
    assert found.partner.tolist() == whole.partner.tolist()
    assert found.sure == pytest.approx(whole.sure, rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_of_a_crowd_without_a_gap_the_overlap_makes_parts_alike(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """What is far enough from where it is cut does not depend on it."""
    left, right = crowd(seed, 80, apart=70)
    weights = Weights(5, 5)
    whole = partners(left, right, weights)
    monkeypatch.setattr(one_order, "_TOGETHER", 50)
    monkeypatch.setattr(one_order, "_OVERLAP", 40)
    found = partners(left, right, weights)
    assert found.partner.tolist() == whole.partner.tolist()
    assert found.sure == pytest.approx(whole.sure, abs=1e-3)


def test_each_item_counts_in_one_part() -> None:
    left, right = crowd(0, 2_000, apart=70)
    first, last = one_order._bands(left, right, Weights(5, 5))
    parts = list(one_order._parts(first, last))
    assert len(parts) > 2
    assert [begin for _, _, begin, _ in parts] == [0, *(end for _, _, _, end in parts[:-1])]
    assert parts[-1][3] == len(left.low)
    assert all(lo <= begin < end <= hi for lo, hi, begin, end in parts)


def test_what_nothing_bounds_is_compared_with_so_many_at_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand items that may be anywhere are told apart by their order alone."""
    monkeypatch.setattr(one_order, "_WIDEST", 20)
    count = 500
    anywhere = Side(np.full(count, LEAST), np.full(count, MOST))
    first, last = one_order._bands(anywhere, anywhere, Weights(5, 5))
    assert (last - first).max() <= 22
    found = partners(anywhere, anywhere, Weights(5, 5, lacks_left=1e-6, lacks_right=1e-6))
    assert found.partner.shape == (count,)


def test_a_thousand_in_one_order_are_put_right() -> None:
    chance = np.random.default_rng(5)
    times = np.cumsum(chance.integers(5, 40, 3_000))
    kept = chance.random(3_000) > 0.02
    left = points(*(times + chance.integers(0, 6, 3_000)).tolist())
    right = points(*times[kept].tolist())
    found = partners(left, right, Weights(3, 6))
    truth = np.where(kept, np.cumsum(kept) - 1, -1)
    right_ones = found.partner == truth
    assert right_ones.mean() > 0.97
    # What is said to be sure is as sure as that.
    for low, high in ((0.6, 0.9), (0.9, 0.99), (0.99, 1.01)):
        some = (found.sure >= low) & (found.sure < high)
        assert right_ones[some].mean() >= low - 0.05
