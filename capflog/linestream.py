"""A member's bytes in blocks of whole lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.parsing import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: How many bytes are read as one block, at least: enough that what a block costs whatever is in it does not count.
BLOCK = 1 << 20

#: How many bytes are at hand while lines are handed out one by one.
_FEW_LINES = 1 << 16


class LineStream:
    """A member's bytes, as :func:`capflog.parsing.plain` makes them, in blocks of whole lines.

    ``at``: the offset of the next line that was not handed out.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._data = self._later = b""
        self.at = 0

    def _pull(self) -> bool:
        """Get more, about a block of it and up to a line's end; False: there is no more."""
        if self._later:
            self._data, self._later = self._data + self._later, b""
            return True
        pieces = [self._data]
        size = len(self._data)
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= BLOCK and b"\n" in piece:
                break
        else:
            self._data = b"".join(pieces)
            return False
        self._data = b"".join(pieces)
        return True

    def _take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        self.at += size
        return taken

    def _block(self, offset: float) -> bytes:
        """Take a block of whole lines as it comes, which all end before ``offset``; empty: it goes beyond, or ends."""
        pieces = [self._data + self._later]
        self._later = b""
        size = len(pieces[0])
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if self.at + size >= offset:
                break
            if size >= BLOCK and (end := piece.rfind(b"\n") + 1):
                pieces[-1] = piece[:end]
                self._data = piece[end:]
                block = b"".join(pieces)
                self.at += len(block)
                return block
        self._data = b"".join(pieces)
        return b""

    def until(self, offset: float) -> Iterator[bytes]:
        """Hand out the lines that start before ``offset``, in blocks."""
        while self.at < offset:
            if block := self._block(offset):
                yield block
                continue
            size = len(self._data)
            if self.at + size >= offset:
                # The last line that starts before the offset ends at the first line end from there on.
                end = self._data.find(b"\n", max(int(offset) - 1 - self.at, 0)) + 1
                if end:
                    yield self._take(end)
                    return
            else:
                end = self._data.rfind(b"\n") + 1
                if end:
                    yield self._take(end)
                    continue
            if not self._pull() and len(self._data) == size:
                if self._data:
                    yield self._take(size)
                return

    def skip_to(self, offset: int) -> None:
        """Pass over the lines that start before ``offset``."""
        if self.at >= offset:
            return
        data: bytes | None = self._data + self._later
        self._data = self._later = b""
        while data is not None:
            # The last of these lines ends at the first line end from the byte before the offset on.
            passed = min(max(offset - 1 - self.at, 0), len(data))
            end = data.find(b"\n", passed) + 1
            if end:
                self._data = data[end:]
                self.at += end
                return
            self.at += len(data)
            data = next(self._pieces, None)

    def peek(self, size: int) -> bytes:
        """Show the next bytes, at least ``size`` of them unless there are fewer."""
        pieces = [self._data, self._later]
        there = sum(map(len, pieces))
        while there < size and (piece := next(self._pieces, None)) is not None:
            pieces.append(piece)
            there += len(piece)
        self._data, self._later = b"".join(pieces), b""
        return self._data

    def lines(self) -> Iterator[bytes]:
        """Hand out line after line, each with its end."""
        while True:
            if len(self._data) > 2 * _FEW_LINES and (cut := self._data.find(b"\n", _FEW_LINES) + 1):
                # Each line is cut off the data: off little of them.
                self._data, self._later = self._data[:cut], self._data[cut:] + self._later
            end = self._data.find(b"\n") + 1
            if not end:
                before = len(self._data)
                if self._pull() or len(self._data) > before:
                    continue
                end = before
            if not end:
                return
            yield self._take(end)


def count_lines(stream: LineStream) -> int:
    """Count the lines that are left."""
    count = 0
    for block in stream.until(float("inf")):
        count += block.count(b"\n") + (not block.endswith(b"\n"))
    return count


def stream_of(chunks: Iterable[bytes]) -> LineStream:
    """Make the stream of a member's bytes."""
    return LineStream(plain(chunks))
