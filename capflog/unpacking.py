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
STRAY = ("among", "step", "mark")


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
    device after the other. ``number``: that of the line; the others are places in ``names``. ``groups``: the numbers
    of the groups that may be of each device's enrollments, as many as ``groups_of`` says.
    """

    timelines: list[Timeline]
    sizes: list[int]
    names: list[str | None]
    number: Column
    enrollment: Column
    confidence: Column
    step: Column
    mark: Column
    groups_of: list[int]
    groups: Column


@dataclass(slots=True)
class Strays:
    """Groups of lines that could be put to no enrollment for sure, numbered from ``first`` on.

    ``sizes``: how many lines each has. The columns are of the lines of all of them, one group after the other:
    ``number``: that of the line; ``among``: of how many enrollments it may be; the others are places in ``names``.
    """

    first: int
    names: list[str | None]
    sizes: Column
    number: Column
    among: Column
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
    (unit, shared, devices, sizes, names, groups_of), columns, _ = _opened(data, 6, head=6)
    try:
        tick = timedelta(microseconds=unit)
        timelines = []
        for device, run, enrollments, findings, more, beyond in devices:
            bundle, zone, assumed, aligned, ahead, lacking = shared[run]
            made = [
                Enrollment(
                    e_id, of, _at(started, tick), _at(ended, tick), outcome, reached, missing, error, value, [], c
                )
                for e_id, of, started, ended, outcome, reached, missing, error, value, c in enrollments
            ]
            known = list(lacking), bool(assumed), bool(aligned), int(ahead), int(more), int(beyond)
            timelines.append(Timeline(device, bundle, _zone(zone), made, [], findings, *known))
        if not len(sizes) == len(groups_of) == len(timelines) or sum(sizes) != len(columns[0]):
            raise UnreadableError("a sheaf has other rows than it says")
        if sum(groups_of) != len(columns[5]):
            raise UnreadableError("a sheaf has other groups than it says")
        number, groups = (list(accumulate(columns[place])) for place in (0, 5))
        told = dict(zip(TOLD, columns[1:5], strict=True))
        return Sheaf(timelines, sizes, names, number, **told, groups_of=groups_of, groups=groups)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UnreadableError("a packed sheaf does not hold together") from error


def unpack_strays(data: bytes) -> Strays:
    """Give back the groups of lines that were packed; raises :class:`UnreadableError` for any other bytes."""
    (first, names), columns, _ = _opened(data, 5)
    try:
        sizes, number, *told = columns
        if any(size < 0 for size in sizes) or sum(sizes) != len(number):
            raise UnreadableError("groups of lines are not as long as they say")
        return Strays(int(first), names, sizes, list(accumulate(number)), *told)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UnreadableError("packed groups of lines do not hold together") from error


def _zone(parts: list[Any] | None) -> Zone | None:
    if parts is None:
        return None
    from capflog.zones import Zone  # noqa: PLC0415

    name, offsets, changes = parts
    return Zone(name, tuple(offsets), tuple(changes))


def timeline_of(
    sheaf: Sheaf,
    place: int,
    kept: Callable[[Sequence[int]], Iterable[Lines]],
    strays: Callable[[Sequence[int]], Iterable[Strays]] | None = None,
) -> Timeline:
    """Give a timeline of a sheaf with its rows; ``kept`` gives the blocks that hold lines of these (rising) numbers.

    ``strays`` likewise gives those that hold groups of these (rising) numbers; None: they are not asked for.
    """
    begin = sum(sheaf.sizes[:place])
    rows = slice(begin, begin + sheaf.sizes[place])
    numbers = sheaf.number[rows]
    try:
        perhaps = [] if strays is None else list(_perhaps(sheaf, place, strays))
        wanted = sorted({*numbers, *(number for number, _ in perhaps)})
        lines: dict[int, tuple[Any, ...]] = {}
        for block in kept(wanted):
            lines.update(_lines(block, wanted))
        told = (getattr(sheaf, name)[rows] for name in TOLD)
        made = [
            Row(*lines[number], *(sheaf.names[code] for code in codes))
            for number, codes in zip(numbers, zip(*told, strict=True), strict=True)
        ]
        may_be = [Row(*lines[number], *codes) for number, codes in perhaps]
        return replace(sheaf.timelines[place], rows=made, perhaps=sorted(may_be, key=_moment))
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise UnreadableError("a packed timeline does not hold together") from error


def _perhaps(
    sheaf: Sheaf, place: int, strays: Callable[[Sequence[int]], Iterable[Strays]]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Give the lines that may be of a timeline's enrollments: (number, what a row tells of the line besides)."""
    begin = sum(sheaf.groups_of[:place])
    wanted = sheaf.groups[begin : begin + sheaf.groups_of[place]]
    left = len(wanted)
    for block in strays(wanted) if left else ():
        ends = list(accumulate(block.sizes))
        own = wanted[bisect_left(wanted, block.first) : bisect_left(wanted, block.first + len(ends))]
        left -= len(own)
        for group in own:
            last = ends[group - block.first]
            for at in range(last - block.sizes[group - block.first], last):
                step, mark = block.names[block.step[at]], block.names[block.mark[at]]
                yield block.number[at], (None, None, step, mark, block.among[at])
    if left:
        raise UnreadableError("groups of lines are not kept")


def _moment(row: Row) -> tuple[bool, datetime]:
    """Sort rows by time; those that have none come last."""
    time = row.time or row.earliest or row.latest
    return time is None, time or EPOCH


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
