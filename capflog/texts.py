"""The lines of rows, as logged: kept as they came, or read back from the bundle when somebody wants to see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from capflog.bundle import Damage, Damaged, Refused, open_bundle
from capflog.parsing import decode, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.bundle import Member
    from capflog.table import Table

#: What stands for a line that is not there any more.
GONE = "(this line cannot be read again: the bundle is not what it was)"


class BundleTexts:
    """Reads lines back from a bundle, which is still there: each time a walk through the members that have them."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)

    def fetch(self, table: Table, rows: np.ndarray) -> Iterator[tuple[int, str]]:
        """Yield (row, line) for sorted, distinct rows, in no order of members."""
        by_member: dict[str, np.ndarray] = {}
        codes = table.member[rows]
        for code in np.unique(codes).tolist():
            by_member[table.members[code]] = rows[codes == code]
        for item in open_bundle(self._paths, None) if len(rows) else ():
            if isinstance(item, Refused | Damage) or item.name not in by_member:
                continue
            wanted = by_member.pop(item.name)
            yield from _lines(item, wanted.tolist(), table.offset[wanted].tolist(), table.length[wanted].tolist())
            if not by_member:
                return
        for left in by_member.values():
            yield from ((row, GONE) for row in left.tolist())


def _lines(member: Member, rows: list[int], offsets: list[int], lengths: list[int]) -> Iterator[tuple[int, str]]:
    """Read lines at offsets, which rise, of a member."""
    at, number = 0, 0
    held = b""
    begin = 0
    try:
        for piece in plain(member.chunks()):
            if begin + len(held) + len(piece) <= offsets[number]:
                begin += len(held) + len(piece)
                held = b""
                continue
            held = held + piece if held else piece
            while number < len(rows) and offsets[number] + lengths[number] <= begin + len(held):
                at = offsets[number] - begin
                yield rows[number], decode(held[at : at + lengths[number]])
                number += 1
            if number == len(rows):
                return
            keep = max(offsets[number] - begin, 0)
            begin += min(keep, len(held))
            held = held[keep:]
    except Damaged:
        # What was read before the damage has been read again.
        pass
    while number < len(rows):
        yield rows[number], GONE
        number += 1


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
