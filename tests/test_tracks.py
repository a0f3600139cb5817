"""The lines that brackets allow: drift, jumps, wrong brackets, and bounds that hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.tracks import DRIFT_USUAL, Brackets, Piece, fitted, pieces_of

HOUR_MS = 3_600_000

#: A moment of 2019, on a day of the tests' scenes. (ms)
BASE = 1_547_640_000_000


@dataclass(frozen=True)
class Made:
    """Brackets, and the truth: the offset at each of their moments, and which of them are not true."""

    brackets: Brackets
    true: np.ndarray
    wrong: np.ndarray


def made(
    seed: int,
    count: int,
    *,
    hours: float = 8.0,
    offset: float = -2_400.0,
    ppm: float = 0.0,
    jumps: tuple[tuple[float, float], ...] = (),
    wrong: float = 0.0,
    clustered: bool = False,
    farther: float = 2_000.0,
) -> Made:
    """Draw brackets of up to 1.2 s; ``jumps``: after which share of them, by how much; ``wrong``: share of them
    that stand aside by ``farther`` ms to thirty times that; ``clustered``: one after another.
    """
    chance = np.random.default_rng(seed)
    at = np.sort(chance.integers(0, int(hours * HOUR_MS), count))
    true = offset + ppm * 1e-6 * at
    for share, by in jumps:
        true[round(share * count) :] += by
    low = np.floor(true - chance.uniform(1, 600, count)).astype(np.int64)
    high = np.ceil(true + chance.uniform(1, 600, count)).astype(np.int64)
    many = round(wrong * count)
    begin = int(chance.integers(0, count - many + 1))
    spoilt = np.arange(begin, begin + many) if clustered else chance.choice(count, many, replace=False)
    aside = (chance.choice((-1, 1), many) * chance.uniform(farther, 30 * farther, many)).astype(np.int64)
    low[spoilt] += aside
    high[spoilt] += aside
    return Made(Brackets(BASE + at, low, high, np.arange(count)), true, np.isin(np.arange(count), spoilt))


def holds(piece: Piece, at: np.ndarray, true: np.ndarray) -> bool:
    """Tell whether the truth is within a piece's bounds, but for the steps in which slopes are looked at (a 64th)."""
    low, high = piece.bounds(at)
    slack = 1 + (high - low) / 50
    return bool(((low - slack <= true) & (true <= high + slack)).all())


def all_hold(pieces: list[Piece], what: Made) -> bool:
    """Tell whether the truth is within the bounds of the piece that each true bracket is of."""
    order = what.brackets.order
    return all(
        holds(piece, what.brackets.at[mine], what.true[mine])
        for piece in pieces
        for mine in [(order >= piece.begin) & (order <= piece.end)]
    )


def width(piece: Piece) -> float:
    low, high = piece.bounds(np.linspace(piece.first, piece.last, 20))
    return float((high - low).max())


# ---- one line ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ppm", [0.0, 50.0, -50.0, 300.0, -300.0])
@pytest.mark.parametrize("count", [12, 60, 200])
def test_a_clock_that_drifts_is_followed(count: int, ppm: float) -> None:
    for seed in range(10):
        what = made(seed, count, ppm=ppm)
        (piece,) = pieces_of(what.brackets)
        assert (piece.matched, piece.of, piece.begin, piece.end) == (count, count, 0, count - 1)
        assert (piece.first, piece.last) == (what.brackets.at[0], what.brackets.at[-1])
        assert holds(piece, what.brackets.at, what.true)
        assert np.abs(piece.offset(what.brackets.at) - what.true).max() < width(piece)
        # A fourteenth of a second over eight hours is 2.5 ppm.
        assert abs(piece.slope * 1e6 - ppm) < (25 if count < 60 else 8)
        assert piece.drift_known or abs(ppm) < 300
        assert not (piece.drift_known and piece.slope * ppm < 0)


@pytest.mark.parametrize("ppm", [50.0, -50.0])
def test_few_brackets_allow_a_usual_drift(ppm: float) -> None:
    for seed in range(40):
        what = made(seed, 3, ppm=ppm)
        (piece,) = pieces_of(what.brackets)
        assert holds(piece, what.brackets.at, what.true)
        assert piece.slopes.min() >= -DRIFT_USUAL
        assert piece.slopes.max() <= DRIFT_USUAL


def test_a_drift_is_told_where_no_line_without_one_is_allowed() -> None:
    many = made(1, 60, ppm=50.0)
    assert pieces_of(many.brackets)[0].drift_known
    assert not pieces_of(made(1, 60).brackets)[0].drift_known
    assert not pieces_of(made(1, 2, ppm=50.0, hours=0.5).brackets)[0].drift_known


@given(
    seed=st.integers(0, 1 << 30),
    count=st.integers(1, 60),
    hours=st.floats(0.1, 100),
    ppm=st.floats(-55, 55),
    offset=st.floats(-1e9, 1e9),
)
@settings(max_examples=60, deadline=None)
def test_where_all_brackets_are_true_the_truth_is_within_the_bounds_at_every_moment(
    seed: int, count: int, hours: float, ppm: float, offset: float
) -> None:
    what = made(seed, count, hours=hours, ppm=ppm, offset=offset)
    (piece,) = pieces_of(what.brackets)
    at = np.linspace(piece.first, piece.last, 50)
    assert holds(piece, at, offset + ppm * 1e-6 * (at - BASE))
    assert piece.matched == piece.of == count


@given(seed=st.integers(0, 1 << 30), count=st.integers(2, 60), ppm=st.floats(-55, 55), share=st.floats(0.1, 0.9))
@settings(max_examples=60, deadline=None)
def test_more_brackets_never_widen_the_bounds(seed: int, count: int, ppm: float, share: float) -> None:
    what = made(seed, count, ppm=ppm)
    few = np.random.default_rng(seed + 1).random(count) < share
    few[0] = True
    (narrow,), (wide,) = pieces_of(what.brackets), pieces_of(what.brackets.chosen(few))
    at = np.linspace(wide.first, wide.last, 20)
    (low, high), (lower, higher) = narrow.bounds(at), wide.bounds(at)
    slack = 1 + (higher - lower) / 50
    assert (low >= lower - slack).all()
    assert (high <= higher + slack).all()


def test_many_brackets_narrow_the_bounds() -> None:
    for seed in range(10):
        widths = [width(pieces_of(made(seed, count).brackets)[0]) for count in (4, 40, 400)]
        assert widths[0] > 1.5 * widths[1]
        assert widths[1] > 3 * widths[2]


def test_bounds_at_many_moments_are_no_closer_than_at_each() -> None:
    """They are reckoned at some of them; what lies between is bounded by straight lines."""
    (piece,) = pieces_of(made(2, 30).brackets)
    at = np.linspace(piece.first - 10 * HOUR_MS, piece.last + 10 * HOUR_MS, 1_000)
    low, high = piece.bounds(at)
    alone = np.array([piece.bounds(moment) for moment in np.split(at, 1_000)])[:, :, 0]
    assert (low <= alone[:, 0] + 0.001).all()
    assert (high >= alone[:, 1] - 0.001).all()
    assert np.abs(low - alone[:, 0]).max() < 10
    assert np.abs(high - alone[:, 1]).max() < 10


# ---- wrong brackets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize(("count", "ppm"), [(20, 0.0), (60, 50.0), (200, 0.0)])
@pytest.mark.parametrize("wrong", [0.05, 0.3])
def test_brackets_that_contradict_the_most_are_left_out(wrong: float, count: int, ppm: float, clustered: bool) -> None:
    """Of a hundred cases a few may fail: some of the wrong ones may agree with the true ones."""
    seeds = 8
    held = 0
    for seed in range(seeds):
        what = made(seed, count, ppm=ppm, wrong=wrong, clustered=clustered)
        pieces = pieces_of(what.brackets)
        (true,) = pieces_of(what.brackets.chosen(~what.wrong))
        held += len(pieces) == 1 and all_hold(pieces, what)
        assert sum(piece.matched for piece in pieces) >= count - what.wrong.sum() - 1
        # What they cost is known: the bounds are wider.
        assert width(pieces[0]) >= width(true) - 1
    assert held >= seeds - 1


def test_wrong_brackets_that_do_not_contradict_are_reckoned_with() -> None:
    """Of those that are wrong by a second or less some agree with others: the bounds allow for as many as showed."""
    held = 0
    for seed in range(30):
        what = made(seed, 80, wrong=0.1, farther=60.0)
        (piece,) = pieces_of(what.brackets)
        held += holds(piece, what.brackets.at, what.true)
    assert held >= 27


# ---- a clock that was set ------------------------------------------------------------------------------------------

JUMPS = [5_000.0, -5_000.0, 90_000.0, -3_600_000.0, 259_200_000.0]


@pytest.mark.parametrize("by", JUMPS)
@pytest.mark.parametrize("count", [6, 12, 40, 200])
@pytest.mark.parametrize("ppm", [0.0, 50.0])
def test_a_clock_that_was_set_has_two_pieces(count: int, by: float, ppm: float) -> None:
    for seed in range(5):
        what = made(seed, count, jumps=((0.5, by),), ppm=ppm)
        before, after = pieces_of(what.brackets)
        assert (before.begin, before.end) == (0, count // 2 - 1)
        assert (after.begin, after.end) == (count // 2, count - 1)
        assert (before.last, after.first) == tuple(what.brackets.at[count // 2 - 1 : count // 2 + 1])
        assert all_hold([before, after], what)


@pytest.mark.parametrize("by", JUMPS)
@pytest.mark.parametrize("back", [-1, 1])
@pytest.mark.parametrize("count", [20, 100])
def test_a_clock_that_was_set_twice_has_three(count: int, by: float, back: int) -> None:
    """Set wrong and put right again, or set twice in one direction."""
    for seed in range(5):
        what = made(seed, count, jumps=((0.3, by), (0.7, back * by)))
        pieces = pieces_of(what.brackets)
        assert [piece.begin for piece in pieces] == [0, round(0.3 * count), round(0.7 * count)]
        assert all_hold(pieces, what)


def test_a_clock_that_was_set_shows_some_moments_twice() -> None:
    """Brackets are in the order of the log, and not of the clock."""
    what = made(3, 60, hours=1.0, jumps=((0.5, -1_800_000.0),))
    stamps = what.brackets.at.copy()
    stamps[30:] -= 1_800_000
    before, after = pieces_of(Brackets(stamps, what.brackets.low, what.brackets.high, what.brackets.order))
    assert after.first < before.last
    assert (before.end, after.begin) == (29, 30)


def test_a_jump_is_found_among_wrong_brackets() -> None:
    for seed in range(10):
        what = made(seed, 100, jumps=((0.6, -5_000.0),), wrong=0.05)
        before, after = pieces_of(what.brackets)
        assert abs(before.end - 59) <= 3
        assert abs(after.begin - 60) <= 3
        assert abs(after.start - before.start + 5_000) < 500


@pytest.mark.parametrize(("by", "ppm"), [(0.0, 0.0), (0.0, 300.0), (30.0, 0.0)])
def test_what_one_line_allows_is_not_cut(by: float, ppm: float) -> None:
    """A drift is none, nor is a step that the bounds hide."""
    for seed in range(10):
        assert len(pieces_of(made(seed, 20, hours=2.0, ppm=ppm, jumps=((0.5, by),)).brackets)) == 1


# ---- few -----------------------------------------------------------------------------------------------------------


def bracket(*rows: tuple[int, int, int]) -> Brackets:
    at, low, high = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Brackets(at, low, high, np.arange(len(at)))


def test_no_bracket_tells_nothing() -> None:
    assert pieces_of(bracket()) == []
    assert pieces_of(Brackets.together([])) == []


def test_one_bracket_tells_its_middle_and_its_ends() -> None:
    (piece,) = pieces_of(bracket((BASE, 1_000, 1_400)))
    assert (piece.first, piece.last, piece.matched, piece.of) == (BASE, BASE, 1, 1)
    assert piece.offset(np.array([BASE])) == pytest.approx(1_200)
    assert [float(bound[0]) for bound in piece.bounds(np.array([BASE]))] == pytest.approx([1_000, 1_400])
    assert not piece.drift_known


def test_far_from_its_brackets_a_line_is_less_sure() -> None:
    """An hour may have drifted 60 ppm of it, 0.216 s, either way."""
    (piece,) = pieces_of(bracket((BASE, 1_000, 1_400)))
    (low,), (high,) = piece.bounds(np.array([BASE + HOUR_MS]))
    assert (low, high) == pytest.approx((1_000 - 216, 1_400 + 216))


def test_two_that_contradict_each_other_tell_nothing() -> None:
    assert pieces_of(bracket((BASE, 0, 400), (BASE + 60_000, 5_000, 5_400))) == []
    assert fitted(bracket((BASE, 0, 400), (BASE + 60_000, 5_000, 5_400))) is None


def test_two_that_agree_bound_each_other() -> None:
    (piece,) = pieces_of(bracket((BASE, 0, 400), (BASE + 1, 300, 900)))
    assert [float(bound[0]) for bound in piece.bounds(np.array([BASE]))] == pytest.approx([300, 400], abs=0.01)


def test_one_of_three_that_contradicts_is_left_out() -> None:
    (piece,) = pieces_of(bracket((BASE, 0, 400), (BASE + 60_000, 9_000, 9_400), (BASE + 120_000, 100, 500)))
    assert (piece.matched, piece.of, piece.begin, piece.end) == (2, 3, 0, 2)


def test_brackets_of_several_kinds_are_put_in_the_order_of_the_log() -> None:
    first, second = bracket((BASE, 1, 2), (BASE + 7, 3, 4)), bracket((BASE + 5, 5, 6))
    both = Brackets.together([Brackets(second.at, second.low, second.high, np.array([1])), first])
    assert both.order.tolist() == [0, 1, 1]
    assert both.at.tolist() == [BASE, BASE + 5, BASE + 7]
    assert both.low.tolist() == [1, 5, 3]


# ---- where on the scales -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_so", [{}, {"jumps": ((0.4, 9_000.0),)}, {"wrong": 0.2}, {"ppm": -300.0}], ids=str)
@pytest.mark.parametrize("days", [-20_000, -30, 1, 9_000])
def test_neither_the_era_nor_the_offset_matters(given_so: dict[str, object], days: int) -> None:
    aside = days * 86_400_000
    what = made(5, 60, **given_so).brackets  # type: ignore[arg-type]
    pieces = pieces_of(what)
    for by, moved in (
        ((aside, 0), Brackets(what.at + aside, what.low, what.high, what.order)),
        ((0, aside), Brackets(what.at, what.low + aside, what.high + aside, what.order)),
        ((aside, aside), Brackets(what.at + aside, what.low + aside, what.high + aside, what.order)),
    ):
        again = pieces_of(moved)
        assert [(p.matched, p.begin, p.end) for p in again] == [(p.matched, p.begin, p.end) for p in pieces]
        for one, other in zip(pieces, again, strict=True):
            assert (other.first, other.last) == (one.first + by[0], one.last + by[0])
            assert other.zero == pytest.approx(one.zero + by[0], abs=1)
            assert other.start - by[1] == pytest.approx(one.start, abs=0.01)
            assert other.slope == pytest.approx(one.slope, abs=1e-9)
            assert other.lows - by[1] == pytest.approx(one.lows, abs=0.05)
            assert other.highs - by[1] == pytest.approx(one.highs, abs=0.05)
