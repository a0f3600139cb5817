"""Seeded mutations of a corpus: what stands in for atheris where it is not installed, and in the tests."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fuzz import Harness

#: An input that takes longer than this hangs, in seconds. (One of the usual size takes some milliseconds.)
HANGS = 20.0

#: No input is made longer than this, in bytes.
LONGEST = 1 << 18


def must(so: bool) -> None:
    """Raise AssertionError unless it is so: of what is said in an error, where nothing is expected to raise."""
    assert so


class FoundError(Exception):
    """An input on which a harness failed; its cause says how."""

    def __init__(self, data: bytes) -> None:
        super().__init__(f"an input of {len(data)} bytes: {data[:200]!r}")
        self.data = data


def mutated(seeds: Sequence[bytes], words: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Yield inputs without end, the same for the same seed."""
    draw = random.Random(seed)
    while True:
        data = bytearray(draw.choice(seeds))
        for _ in range(draw.choice((1, 1, 2, 3, 8))):
            _change(data, seeds, words, draw)
        yield bytes(data[:LONGEST])


def _change(data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes], draw: random.Random) -> None:
    place = draw.randrange(len(data) + 1)
    length = draw.choice((1, 2, 4, 16, 200))
    match draw.randrange(10):
        case 0 if place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        case 1:
            data[place : place + length] = draw.randbytes(length)
        case 2:
            del data[place : place + length]
        case 3:
            data[place:place] = data[place : place + length] * draw.choice((1, 3, 50))
        case 4:
            del data[place:]
        case 5:
            other = draw.choice(seeds)
            begin = draw.randrange(len(other) + 1)
            data[place : place + length] = other[begin : begin + draw.choice((length, 2000))]
        case 6:
            data[place : place + length] = bytes([draw.choice((0, 0xFF, 0x0A, 0x20, 0x7F))]) * length
        case 7:
            lines = bytes(data).split(b"\n")
            draw.shuffle(lines)
            data[:] = b"\n".join(lines)
        case 8:
            data[place : place + 4] = draw.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)).to_bytes(4, "little")
        case _:
            data[place : place + draw.choice((0, length))] = draw.choice(words)


def try_each(harness: Harness, seed: int, *, count: int | None = None, seconds: float | None = None) -> int:
    """Try the corpus, then mutations of it, ``count`` of them or for so long; give how many inputs that were.

    Raises :class:`FoundError` with the first input on which something is wrong, or on which it hangs.
    """
    seeds = harness.seeds()
    begun = time.monotonic()
    tried = 0
    for data in seeds:
        _try(harness, data)
        tried += 1
    for data in mutated(seeds, harness.WORDS, seed):
        if (count is not None and tried >= len(seeds) + count) or (
            seconds is not None and time.monotonic() - begun > seconds
        ):
            return tried
        _try(harness, data)
        tried += 1
    raise AssertionError("mutations have no end")


def _try(harness: Harness, data: bytes) -> None:
    begun = time.monotonic()
    try:
        harness.once(data)
    except (Exception, SystemExit) as error:
        raise FoundError(data) from error
    if time.monotonic() - begun > HANGS:
        raise FoundError(data) from TimeoutError(f"it took {time.monotonic() - begun:.0f} s")
