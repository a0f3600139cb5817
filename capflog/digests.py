"""Pieces of a buffer as numbers of 64 bits, many at once, and words by their numbers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The longest piece that has a digest by numpy, in bytes; a buffer needs as many bytes behind its last piece.
WIDEST = 256

_WIDTHS = (16, 32, 64, 128, WIDEST)
_STIR = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLY = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(32)

#: Another one in each run, so that nobody can write lines whose digests are equal.
_SECRET = np.frombuffer(os.urandom(8), dtype=np.uint64)[0]


def windows(buffer: np.ndarray, width: int) -> np.ndarray:
    """Give the pieces of a width that begin at each byte of a buffer, as a view (n, width) of it."""
    # numpy's own sliding_window_view takes a hundred times as long to make the same.
    return np.ndarray((len(buffer) - width + 1, width), dtype=np.uint8, buffer=buffer, strides=(1, 1))


_COLUMNS = {width: np.arange(width, dtype=np.uint8) for width in _WIDTHS}


def digests(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Give a number of 64 bits for each piece of a buffer of bytes; 0 for those longer than :data:`WIDEST`.

    ``seed``: a number that goes into each (uint64). Equal pieces with equal seeds have equal numbers; that different
    ones do has a chance of one in 2^64 for each pair.
    """
    made = np.zeros(len(start), dtype=np.uint64)
    narrower = -1
    for width in _WIDTHS:
        chosen = np.flatnonzero((length > narrower) & (length <= width))
        narrower = width
        together = _TOGETHER // width
        for begin in range(0, len(chosen), together):
            some = chosen[begin : begin + together]
            made[some] = _digests(buffer, start[some], length[some], width, seed[some])
    return made


def long_digest(piece: bytes, seed: int) -> int:
    """Give a number of 64 bits, not 0, for a piece that is longer than :data:`WIDEST`."""
    return (hash((int(_SECRET), seed, piece)) & 0xFFFF_FFFF_FFFF_FFFF) | 1


#: Bytes of pieces that are looked at together: what the processor's cache holds beside their digests.
_TOGETHER = 1 << 18


def _digests(buffer: np.ndarray, start: np.ndarray, length: np.ndarray, width: int, seed: np.ndarray) -> np.ndarray:
    """Give the digests of pieces of at most ``width`` bytes."""
    window = windows(buffer, width)[start]
    # 256 does not fit a byte: behind the last byte of all nothing need be cleared.
    inside = _COLUMNS[width] < np.minimum(length, 255).astype(np.uint8)[:, None]
    if width == WIDEST:
        inside[length == WIDEST, 255] = True
    window *= inside.view(np.uint8)
    words = np.ascontiguousarray(window.view(np.uint64).T)
    value = length.astype(np.uint64)
    value *= _STIR
    value ^= seed
    value ^= _SECRET
    moved = np.empty_like(value)
    for word in words:
        value ^= word
        value *= _MULTIPLY
        value ^= np.right_shift(value, _HALF, out=moved)
    return value


class Known:
    """Numbers by digests of 64 bits: asked for and filled by whole arrays (open addressing, the next place where one is
    taken). Digest 0 is never known.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all of it."""
        self._bits, self._count = 10, 0
        self._keys = np.zeros(1 << self._bits, dtype=np.uint64)
        self._values = np.full(1 << self._bits, -1, dtype=np.int32)

    def __len__(self) -> int:
        return self._count

    def _places(self, digests: np.ndarray) -> np.ndarray:
        places: np.ndarray = (digests >> np.uint64(64 - self._bits)).astype(np.intp)
        return places

    def add(self, digests: np.ndarray, numbers: np.ndarray) -> None:
        """Keep a number for each of some distinct digests, none of which is known yet."""
        if (self._count + len(digests)) * 2 > 1 << self._bits:
            held = np.flatnonzero(self._keys)
            keys, values = self._keys[held], self._values[held]
            while (self._count + len(digests)) * 4 > 1 << self._bits:
                self._bits += 1
            self._keys = np.zeros(1 << self._bits, dtype=np.uint64)
            self._values = np.full(1 << self._bits, -1, dtype=np.int32)
            self._put(keys, values)
        self._put(digests, numbers)
        self._count += len(digests)

    def _put(self, digests: np.ndarray, numbers: np.ndarray) -> None:
        at, last = self._places(digests), (1 << self._bits) - 1
        waiting = np.arange(len(digests))
        while len(waiting):
            free = waiting[self._keys[at[waiting]] == 0]
            self._keys[at[free]] = digests[free]
            # Of several that wanted one place the last has it.
            won = free[self._keys[at[free]] == digests[free]]
            self._values[at[won]] = numbers[won]
            waiting = waiting[self._keys[at[waiting]] != digests[waiting]]
            at[waiting] = (at[waiting] + 1) & last

    def ask(self, digests: np.ndarray) -> np.ndarray:
        """Give the number of each digest; -1 where it is not known."""
        at, last = self._places(digests), (1 << self._bits) - 1
        keys = self._keys[at]
        found: np.ndarray = np.where(keys == digests, self._values[at], np.int32(-1))
        waiting = np.flatnonzero((keys != digests) & (keys != 0))
        while len(waiting):
            at[waiting] = (at[waiting] + 1) & last
            keys = self._keys[at[waiting]]
            hit = keys == digests[waiting]
            found[waiting[hit]] = self._values[at[waiting[hit]]]
            waiting = waiting[~hit & (keys != 0)]
        return found


class Lexicon:
    """Words by their numbers and back, taken and given by whole arrays; a word's number is its place."""

    def __init__(self) -> None:
        self._known = Known()
        self._bytes: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._count = 0
        self._strings: dict[int, str] = {}
        self._joined: tuple[bytes, np.ndarray] | None = None

    def __len__(self) -> int:
        return self._count

    def codes(self, buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Give the numbers of pieces of a buffer of bytes, new ones where they were not there.

        The buffer must go on for :data:`WIDEST` bytes behind each piece's start.
        """
        codes, new = self._codes(buffer, at, length)
        if len(new):
            self._keep(*_pieces(buffer, at[new], length[new]))
        return codes

    def _codes(self, buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the same, and which of the pieces are the first of the new ones, in order."""
        found = digests(buffer, at, length, np.zeros(len(at), dtype=np.uint64))
        for k in np.flatnonzero(length > WIDEST).tolist():
            piece = buffer[at[k] : at[k] + length[k]].tobytes()
            found[k] = long_digest(piece, 0)
        codes = self._known.ask(found)
        new = np.flatnonzero(codes == -1)
        if not len(new):
            return codes, new
        distinct, first, back = np.unique(found[new], return_index=True, return_inverse=True)
        # In the order of first sight, so that nothing depends on the digests.
        order = np.argsort(first, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        numbers = (place + self._count).astype(np.int32)
        self._known.add(distinct, numbers)
        codes[new] = numbers[back]
        return codes, new[first[order]]

    def _keep(self, data: np.ndarray, lengths: np.ndarray) -> None:
        self._bytes.append(data)
        self._lengths.append(lengths)
        self._count += len(lengths)
        self._joined = None

    def codes_of(self, words: list[str]) -> np.ndarray:
        """Give the numbers of words, new ones where they were not there."""
        encoded = [word.encode("utf-8", "surrogatepass") for word in words]
        lengths = np.array([len(piece) for piece in encoded], dtype=np.int64)
        data = b"".join(encoded)
        buffer = np.zeros(len(data) + WIDEST, dtype=np.uint8)
        buffer[: len(data)] = np.frombuffer(data, dtype=np.uint8)
        return self.codes(buffer, np.cumsum(lengths) - lengths, lengths)

    def code(self, word: str) -> int:
        """Give the number of one word."""
        return int(self.codes_of([word])[0])

    def absorb(self, packed: tuple[bytes, np.ndarray]) -> np.ndarray:
        """Take the words of another lexicon, as :meth:`packed` gives them; gives this one's number for each of them."""
        data, ends = packed
        buffer = np.zeros(len(data) + WIDEST, dtype=np.uint8)
        buffer[: len(data)] = np.frombuffer(data, dtype=np.uint8)
        lengths = np.diff(ends, prepend=0)
        return self.codes(buffer, ends - lengths, lengths)

    def packed(self) -> tuple[bytes, np.ndarray]:
        """Give all words: their bytes one after the other, and where each ends."""
        if self._joined is None:
            lengths = np.concatenate([*self._lengths, np.zeros(0, dtype=np.int64)])
            data = np.concatenate([*self._bytes, np.zeros(0, dtype=np.uint8)])
            self._bytes, self._lengths = [data], [lengths]
            self._joined = data.tobytes(), np.cumsum(lengths)
        return self._joined

    def __iter__(self) -> Iterator[str]:
        return (self[code] for code in range(self._count))

    def __getitem__(self, code: int) -> str:
        word = self._strings.get(code)
        if word is None:
            data, ends = self.packed()
            begin = int(ends[code - 1]) if code else 0
            word = data[begin : int(ends[code])].decode("utf-8", "surrogatepass")
            if len(self._strings) < _STRINGS_MOST:
                self._strings[code] = word
        return word


#: How many words a lexicon keeps as strings.
_STRINGS_MOST = 100_000


def _pieces(buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put pieces of a buffer one behind the other; gives them and their lengths."""
    ends = np.cumsum(length)
    whole = np.repeat(at - (ends - length), length) + np.arange(int(ends[-1]) if len(ends) else 0)
    return buffer[whole], length.astype(np.int64)
