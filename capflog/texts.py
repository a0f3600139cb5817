"""The lines of rows, as logged: kept as they came, or read back from the bundle when somebody wants to see them."""

from __future__ import annotations

from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from capflog.bundle import Damage, Damaged, Refused, open_bundle
from capflog.linestream import stream_of
from capflog.parsing import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from capflog.bundle import Member
    from capflog.table import Table

#: What stands for a line that is not there any more.
GONE = "(this line cannot be read again: the bundle is not what it was)"


#: How many threads read lines back, and how many lines at most: they are held until all are there.
_THREADS, _TOGETHER_MOST = 2, 50_000


class BundleTexts:
    """Reads lines back from a bundle, which is still there: each time a walk through the members that have them."""

    def __init__(self, paths: Sequence[str], marks: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        """Take the paths, and where some lines of each member stand: how many are before one, its offset; rising."""
        self._paths = tuple(paths)
        self._marks = marks

    def fetch(self, table: Table, rows: np.ndarray) -> Iterator[tuple[int, str]]:
        """Yield (row, line) for sorted, distinct rows, in the order of the members in the bundle."""
        by_member: dict[str, np.ndarray] = {}
        codes = table.member[rows]
        for code in np.unique(codes).tolist():
            by_member[table.members[code]] = rows[codes == code]
        if len(by_member) < 2 or len(rows) > _TOGETHER_MOST:
            yield from self._fetched(table, by_member)
        else:
            # Inflating takes the time, and leaves Python to the other thread; each takes what none has taken.
            pool = ThreadPoolExecutor(_THREADS)
            turns = [pool.submit(lambda: list(self._fetched(table, by_member))) for _ in range(_THREADS)]
            try:
                found = sorted(chain.from_iterable(turn.result() for turn in turns))
            except BaseException:
                # Nobody waits for it any more: there is nothing left to take, and no line is wanted of what was taken.
                by_member.clear()
                raise
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
            yield from found
        for left in by_member.values():
            yield from ((row, GONE) for row in left.tolist())

    def _fetched(self, table: Table, by_member: dict[str, np.ndarray]) -> Iterator[tuple[int, str]]:
        """Yield (row, line) for the rows of the members that are found, which are taken out of ``by_member``."""
        for item in open_bundle(self._paths, None):
            if not by_member:
                return
            if isinstance(item, Refused | Damage):
                continue
            wanted = by_member.pop(item.name, None)
            if wanted is not None:
                yield from _lines(item, wanted.tolist(), table.line[wanted].tolist(), self._marks[item.name])


def _lines(
    member: Member, rows: list[int], numbers: list[int], marks: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, str]]:
    """Read lines of a member by their numbers, which rise."""
    stream = stream_of(_undamaged(member))
    place = passed = 0
    while place < len(rows):
        before, offset = marks[bisect_left(marks, (numbers[place],)) - 1]
        if offset > stream.at:
            stream.skip_to(offset)
            passed = before
        block = next(stream.until(float("inf")), None)
        if block is None:
            yield from ((row, GONE) for row in rows[place:])
            return
        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _LINE_END)
        count = len(ends)
        last = passed + count + (not block.endswith(b"\n"))
        while place < len(rows) and numbers[place] <= last:
            own = numbers[place] - passed - 1
            begin = int(ends[own - 1]) + 1 if own else 0
            stop = int(ends[own]) if own < count else len(block)
            yield rows[place], decode(block[begin:stop].rstrip(b"\r"))
            place += 1
        passed = last


def _undamaged(member: Member) -> Iterator[bytes]:
    """Give a member's bytes up to where it is damaged, as they were read the first time."""
    with suppress(Damaged):
        yield from member.chunks()


_LINE_END = 10


class KeptTexts:
    """Keeps lines as they come, compressed: for what cannot be read a second time."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._ends: list[int] = []
        self._count = 0
        self._begun = (0, 0)

    def begin(self) -> None:
        """Take note that a member begins."""
        self._begun = len(self._blocks), self._count

    def drop(self) -> None:
        """Forget the lines of the member that was begun last."""
        blocks, self._count = self._begun
        del self._blocks[blocks:], self._ends[blocks:]

    def keep(self, lines: Sequence[bytes]) -> None:
        """Keep the lines of the next rows."""
        import zstandard  # noqa: PLC0415

        if lines:
            self._blocks.append(zstandard.ZstdCompressor(level=1).compress(b"\n".join(lines)))
            self._count += len(lines)
            self._ends.append(self._count)

    def fetch(self, _table: Table, rows: np.ndarray) -> Iterator[tuple[int, str]]:
        """Yield (row, line) for sorted, distinct rows."""
        import zstandard  # noqa: PLC0415

        of_block = np.searchsorted(self._ends, rows, side="right")
        for block in np.unique(of_block).tolist():
            lines = zstandard.ZstdDecompressor().decompress(self._blocks[block]).split(b"\n")
            first = self._ends[block] - len(lines)
            for row in rows[of_block == block].tolist():
                yield row, decode(lines[row - first])
