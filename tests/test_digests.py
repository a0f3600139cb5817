"""Pieces of a buffer as numbers, and words by their numbers: whole arrays say what each piece alone would."""

from __future__ import annotations

import random

import numpy as np
import pytest

from capflog.digests import WIDEST, Known, Lexicon, digests


def buffer_of(data: bytes) -> np.ndarray:
    """Make a buffer as the scanner has it."""
    buffer = np.zeros(len(data) + WIDEST, dtype=np.uint8)
    buffer[: len(data)] = np.frombuffer(data, dtype=np.uint8)
    return buffer


def of(pieces: list[bytes], seed: int = 0) -> list[int]:
    """Give the digests of pieces that stand one behind the other."""
    data = b"".join(pieces)
    lengths = np.array([len(piece) for piece in pieces])
    starts = np.cumsum(lengths) - lengths
    found: list[int] = digests(buffer_of(data), starts, lengths, np.full(len(pieces), seed, dtype=np.uint64)).tolist()
    return found


def test_equal_pieces_have_equal_digests_and_different_ones_others() -> None:
    chance = random.Random(1)
    pieces = [bytes(chance.choices(b"ab \0", k=size)) for size in range(WIDEST + 1) for _ in range(4)]
    pieces += [b"\xff" * size for size in (7, 8, 9, 255, 256)] + [b"", b"\0", b"\0\0"]
    found = of(pieces + pieces)
    assert found[: len(pieces)] == found[len(pieces) :]
    assert len(set(found)) == len(set(pieces))
    assert set(found).isdisjoint(of(pieces, seed=7))


def test_what_stands_behind_a_piece_does_not_matter() -> None:
    for size in (0, 1, 15, 16, 17, 200, 256):
        piece = b"x" * size
        assert of([piece, b"one"])[0] == of([piece, b"other"])[0]


def test_a_digest_sees_every_byte() -> None:
    """Also where two bytes differ that stand at the same place of two words."""
    seen = set()
    for first in range(64):
        for second in range(64):
            seen.add(of([bytes([0] * 7 + [first] + [0] * 7 + [second])])[0])
    assert len(seen) == 64 * 64


def test_longer_pieces_have_none() -> None:
    assert of([b"x" * (WIDEST + 1)]) == [0]


@pytest.mark.parametrize("count", [1, 500, 40_000])
def test_what_is_known_is_found_and_nothing_else(count: int) -> None:
    numbers = np.random.default_rng(5)
    keys = np.unique(numbers.integers(1, 1 << 63, 2 * count, dtype=np.uint64))
    # Many that want the same place.
    keys[: len(keys) // 4] = np.arange(len(keys) // 4, dtype=np.uint64) + np.uint64(1)
    keys = np.unique(keys)
    numbers.shuffle(keys)
    here, missing = keys[: len(keys) // 2], keys[len(keys) // 2 :]
    known = Known()
    for part in np.array_split(np.arange(len(here)), 7):
        known.add(here[part], part.astype(np.int32))
    assert known.ask(here).tolist() == list(range(len(here)))
    assert set(known.ask(missing).tolist()) <= {-1}
    assert len(known) == len(here)
    known.clear()
    assert set(known.ask(here).tolist()) == {-1}


def test_words_keep_their_numbers_in_the_order_of_first_sight() -> None:
    words = Lexicon()
    long = "y" * 1000
    assert words.codes_of(["b", "a", "b", "", long, "ä", "\udce9"]).tolist() == [0, 1, 0, 2, 3, 4, 5]
    assert words.codes_of([long, "c", "a"]).tolist() == [3, 6, 1]
    assert list(words) == ["b", "a", "", long, "ä", "\udce9", "c"]
    assert words.code("ä") == 4
    other = Lexicon()
    other.codes_of(["c", "new", "a"])
    assert words.absorb(other.packed()).tolist() == [6, 7, 1]
    assert (words[7], len(words)) == ("new", 8)
