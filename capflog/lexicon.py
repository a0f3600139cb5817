"""Words by their numbers and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A buffer goes on for so many bytes behind its last word.
BEHIND = 8


class Lexicon:
    """Words by their numbers and back, taken and given by whole arrays; a word's number is its place."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._bytes: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._count = 0
        self._strings: dict[int, str] = {}
        self._joined: tuple[bytes, np.ndarray] | None = None

    def __len__(self) -> int:
        return self._count

    def codes(self, buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> np.ndarray:
        """Give the numbers of pieces of a buffer of bytes, new ones where they were not there.

        The buffer must go on for :data:`BEHIND` bytes behind each piece.
        """
        codes, new = self._codes(buffer, at, length)
        if len(new):
            self._keep(*_pieces(buffer, at[new], length[new]))
        return codes

    def _codes(self, buffer: np.ndarray, at: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the same, and which of the pieces are the first of the new ones, in order."""
        data = buffer.tobytes()
        new: list[int] = []
        codes = np.empty(len(at), dtype=np.int32)
        for k, (begin, size) in enumerate(zip(at.tolist(), length.tolist(), strict=True)):
            code = self._known.setdefault(data[begin : begin + size], len(self._known))
            if code == self._count + len(new):
                new.append(k)
            codes[k] = code
        return codes, np.array(new, dtype=np.int64)

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
        buffer = np.zeros(len(data) + BEHIND, dtype=np.uint8)
        buffer[: len(data)] = np.frombuffer(data, dtype=np.uint8)
        return self.codes(buffer, np.cumsum(lengths) - lengths, lengths)

    def code(self, word: str) -> int:
        """Give the number of one word."""
        return int(self.codes_of([word])[0])

    def absorb(self, packed: tuple[bytes, np.ndarray]) -> np.ndarray:
        """Take the words of another lexicon, as :meth:`packed` gives them; gives this one's number for each of them."""
        data, ends = packed
        buffer = np.zeros(len(data) + BEHIND, dtype=np.uint8)
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
