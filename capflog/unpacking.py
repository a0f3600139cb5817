"""What the store keeps, read back: nothing here needs numpy, so that a timeline is shown at once.

:mod:`capflog.packing` says how it is packed.
"""

from __future__ import annotations

import json
import sys
import zlib
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import zstandard

from capflog.model import Enrollment, Row, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from capflog.zones import Zone

#: What every sealed blob begins with: two letters and the version of the sealing.
MAGIC = b"CL\x01"

#: No time: the same number as :data:`capflog.table.NONE`.
NONE = -(1 << 63)

#: Whole numbers: a list, or an array of numpy's where they are to be packed.
Column = Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD = len(MAGIC) + 4

#: The types of a block's columns, and Python's names of them.
_TYPES = {"i1": "b", "i2": "h", "i4": "i", "i8": "q"}

CODES = ("source", "member", "level", "event")
TIMES = ("time", "earliest", "latest")
TOLD = ("enrollment", "confidence", "step", "mark")


class UnreadableError(Exception):
    """Bytes that :mod:`capflog.packing` did not make, or that were changed since."""


def unseal(blob: object) -> bytes:
    """Give back what :func:`capflog.packing.seal` was given.

    Raises :class:`UnreadableError` if it is anything but that. The sum is over the compressed bytes: nothing damaged
    reaches the decompressor, where a wrong length would ask for any amount of memory.
    """
    if not isinstance(blob, bytes) or len(blob) < _HEAD or not blob.startswith(MAGIC):
        raise UnreadableError("not a packed blob")
    frame = blob[_HEAD:]
    if zlib.crc32(frame) != int.from_bytes(blob[len(MAGIC) : _HEAD], "big"):
        raise UnreadableError("a packed blob was changed")
    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(frame)
    except zstandard.ZstdError as error:
        raise UnreadableError("a packed blob does not decompress") from error


def load(line: bytes) -> Any:
    """Read what :func:`capflog.packing.dump` wrote; raises :class:`UnreadableError` for anything else."""
    try:
        return json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise UnreadableError("packed text does not parse") from error


@dataclass(slots=True)
class Lines:
    """Lines of logs as columns of equal length, by rising numbers.

    Times are in ticks of ``unit`` microseconds since 1970 UTC, NONE where there is none. ``source``, ``member``,
    ``level`` and ``event`` are places in ``names``.
    """

    unit: int
    names: list[str | None]
    number: Column
    time: Column
    earliest: Column
    latest: Column
    line: Column
    source: Column
    member: Column
    level: Column
    event: Column
    texts: Sequence[str]


@dataclass(slots=True)
class Sheaf:
    """Timelines of some devices; what a run's timelines have alike stands once.

    ``timelines`` are without rows. ``sizes``: how many rows each has; the columns are of the rows of all of them, one
    device after the other. ``number``: that of the line; the others are places in ``names``.
    """

    timelines: list[Timeline]
    sizes: list[int]
    names: list[str | None]
    number: Column
    enrollment: Column
    confidence: Column
    step: Column
    mark: Column


def unpack_lines(data: bytes) -> Lines:
    """Give back the lines that were packed; raises :class:`UnreadableError` for any other bytes."""
    (unit, names), columns, text = _opened(data, 13)
    try:
        number, time, line = (list(accumulate(column)) for column in columns[:3])
        earliest = [at - before for at, before in zip(time, columns[3], strict=True)]
        latest = [at + after for at, after in zip(time, columns[4], strict=True)]
        for column, missing in zip((time, earliest, latest), columns[5:8], strict=True):
            for place in missing:
                column[place] = NONE
        ends = list(accumulate(columns[12]))
        texts = [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        times = {"time": time, "earliest": earliest, "latest": latest}
        codes = dict(zip(CODES, columns[8:12], strict=True))
        return Lines(int(unit), names, number, **times, line=line, **codes, texts=texts)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UnreadableError("packed lines do not hold together") from error


def unpack_sheaf(data: bytes) -> Sheaf:
    """Give back the sheaf that was packed; raises :class:`UnreadableError` for any other bytes."""
    (unit, shared, devices, sizes, names), columns, _ = _opened(data, 5, head=5)
    try:
        tick = timedelta(microseconds=unit)
        timelines = []
        for device, run, enrollments, findings in devices:
            bundle, zone, assumed, aligned, ahead, lacking = shared[run]
            made = [
                Enrollment(
                    e_id, of, _at(started, tick), _at(ended, tick), outcome, reached, missing, error, value, [], c
                )
                for e_id, of, started, ended, outcome, reached, missing, error, value, c in enrollments
            ]
            known = list(lacking), bool(assumed), bool(aligned), int(ahead)
            timelines.append(Timeline(device, bundle, _zone(zone), made, [], findings, *known))
        if len(sizes) != len(timelines) or sum(sizes) != len(columns[0]):
            raise UnreadableError("a sheaf has other rows than it says")
        return Sheaf(timelines, sizes, names, list(accumulate(columns[0])), *columns[1:])
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UnreadableError("a packed sheaf does not hold together") from error


def _zone(parts: list[Any] | None) -> Zone | None:
    if parts is None:
        return None
    from capflog.zones import Zone  # noqa: PLC0415

    name, offsets, changes = parts
    return Zone(name, tuple(offsets), tuple(changes))


def timeline_of(sheaf: Sheaf, place: int, kept: Callable[[Sequence[int]], Iterable[Lines]]) -> Timeline:
    """Give a timeline of a sheaf with its rows; ``kept`` gives the blocks that hold lines of these (rising) numbers."""
    begin = sum(sheaf.sizes[:place])
    rows = slice(begin, begin + sheaf.sizes[place])
    numbers = sheaf.number[rows]
    wanted = sorted(set(numbers))
    try:
        lines: dict[int, tuple[Any, ...]] = {}
        for block in kept(wanted):
            lines.update(_lines(block, wanted))
        told = (getattr(sheaf, name)[rows] for name in TOLD)
        made = [
            Row(*lines[number], *(sheaf.names[code] for code in codes))
            for number, codes in zip(numbers, zip(*told, strict=True), strict=True)
        ]
        return replace(sheaf.timelines[place], rows=made)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise UnreadableError("a packed timeline does not hold together") from error


def _lines(block: Lines, wanted: Sequence[int]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Give those of the lines that a block has: (number, what a row tells of the line)."""
    tick = timedelta(microseconds=block.unit)
    names = block.names
    columns = [getattr(block, name) for name in ("number", *TIMES, "line", *CODES)]
    # Nearly all that is wanted stands in other blocks.
    begin, end = bisect_left(wanted, block.number[0]), bisect_right(wanted, block.number[-1])
    for wish in wanted[begin:end]:
        place = bisect_left(block.number, wish)
        number, time, earliest, latest, line, source, member, level, event = (column[place] for column in columns)
        if number != wish:
            continue
        times = (_at(None if ticks == NONE else ticks, tick) for ticks in (time, earliest, latest))
        yield number, (*times, names[source], names[member], line, names[level], names[event], block.texts[place])


def _at(ticks: int | None, tick: timedelta) -> datetime | None:
    return None if ticks is None else EPOCH + ticks * tick


def _opened(data: bytes, columns: int, head: int = 2) -> tuple[list[Any], list[Sequence[int]], str]:
    """Read what :mod:`capflog.packing` wrote, with so many columns and items at the head of its JSON."""
    line, _, rest = data.partition(b"\n")
    told = load(line)
    try:
        *first, kinds = told
        if len(first) != head or len(kinds) != columns:
            raise UnreadableError("a packed block is not what it should be")
        found: list[Sequence[int]] = []
        at = 0
        for kind, length in kinds:
            column = array(_TYPES[kind])
            end = at + length * column.itemsize
            column.frombytes(rest[at:end])
            if length < 0 or len(column) != length:
                raise UnreadableError("a packed block is cut")
            if sys.byteorder != "little":
                column.byteswap()
            found.append(column)
            at = end
        return first, found, rest[at:].decode("utf-8", "surrogatepass")
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableError("a packed block does not hold together") from error
