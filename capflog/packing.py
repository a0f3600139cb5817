"""Timelines as bytes: how the store packs what it keeps.

A line of a log is kept once, whoever's timelines show it: *lines* are blocks of them in the order in which they were
read, *sheaves* are the timelines of some devices, which name lines by their numbers. So an analysis is packed in one
walk through its lines, and a device is read back from one sheaf and the few blocks in which its lines stand. Lines
that may be of many devices stand in groups (*strays*), in the order of time, and timelines name the groups.

A block is one line of JSON, which names its columns, and behind it the columns as plain numbers and the text. All of
it is compressed: lines that stand together in a log differ by little. Nothing of it is ever executed.
:mod:`capflog.unpacking` reads it back.
"""

from __future__ import annotations

import json
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from capflog.rows import NONE
from capflog.unpacking import CODES, EPOCH, MAGIC, STRAY, TIMES, TOLD, Lines, Sheaf, Strays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from capflog.model import Timeline
    from capflog.zones import Zone

#: zstd's level: 6 saves a tenth and takes twice the time.
LEVEL = 3

_MICROSECOND = timedelta(microseconds=1)


def seal(data: bytes | Iterable[bytes]) -> bytes:
    """Compress data, given as a whole or in pieces, and mark it, so that :func:`unseal` knows whether it is whole."""
    if isinstance(data, bytes):
        frame = zstandard.ZstdCompressor(level=LEVEL).compress(data)
    else:
        packer = zstandard.ZstdCompressor(level=LEVEL).compressobj()
        frame = b"".join([*map(packer.compress, data), packer.flush()])
    return MAGIC + zlib.crc32(frame).to_bytes(4, "big") + frame


def dump(value: object) -> bytes:
    """Write plain values as one line of JSON; any text survives, lone surrogates and NUL too."""
    # Raw characters and not \u escapes: a reader joins two escaped surrogates to one character.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def pack(part: Lines | Sheaf | Strays) -> bytes:
    """Pack a part of an analysis; enrollments' records are left out."""
    if isinstance(part, Lines):
        return _pack_lines(part)
    if isinstance(part, Strays):
        columns = [part.sizes, _differences(part.number), *(getattr(part, name) for name in STRAY)]
        return _block([part.first, part.names], columns, "")
    return _pack_sheaf(part)


def _pack_lines(lines: Lines) -> bytes:
    time = _filled(lines.time)
    columns = [_differences(lines.number), _differences(time), _differences(lines.line)]
    # Bounds are told by how far they are from the time: most rows have one time thrice.
    columns += [time - _filled(lines.earliest, time), _filled(lines.latest, time) - time]
    columns += [np.flatnonzero(getattr(lines, name) == NONE) for name in TIMES]
    columns += [getattr(lines, name) for name in CODES]
    columns.append(np.fromiter(map(len, lines.texts), dtype=np.int64, count=len(lines.texts)))
    return _block([lines.unit, lines.names], columns, "".join(lines.texts))


def _pack_sheaf(sheaf: Sheaf) -> bytes:
    spans = [(_ticks(e.started), _ticks(e.ended)) for timeline in sheaf.timelines for e in timeline.enrollments]
    unit = _unit(tick for span in spans for tick in span)
    times = iter(spans)
    shared: list[Any] = []
    devices = []
    for timeline in sheaf.timelines:
        run = [
            timeline.bundle,
            _zone(timeline.zone),
            timeline.assumed,
            timeline.aligned,
            _whole(timeline.ahead_ms),
            timeline.lacking,
        ]
        if run not in shared[-1:]:
            shared.append(run)
        enrollments = []
        for e, (started, ended) in zip(timeline.enrollments, times, strict=False):
            span = [None if tick is None else tick // unit for tick in (started, ended)]
            told = [e.id, e.device, *span, e.outcome, e.reached, e.missing, e.est_error, _whole(e.est_value), e.causes]
            enrollments.append(told)
        more = [int(timeline.more), int(timeline.beyond)]
        devices.append([timeline.device, len(shared) - 1, enrollments, timeline.findings, *more])
    columns = [_differences(sheaf.number), *(getattr(sheaf, name) for name in TOLD), _differences(sheaf.groups)]
    return _block([unit, shared, devices, sheaf.sizes, sheaf.names, sheaf.groups_of], columns, "")


def parts_of(timelines: Iterable[Timeline], size: int) -> Iterator[Lines | Sheaf | Strays]:
    """Take timelines apart, into blocks of about ``size`` characters of text.

    Times are kept to the millisecond, or to the microsecond where one has such; they must bear a zone, and come back
    in UTC.
    """
    held: list[Timeline] = []
    length = number = group = 0
    for timeline in timelines:
        held.append(timeline)
        length += sum(len(row.text) for row in (*timeline.rows, *timeline.perhaps))
        if length >= size:
            yield from _parts(held, number, group)
            number += sum(len(one.rows) + len(one.perhaps) for one in held)
            group += sum(len(one.perhaps) for one in held)
            held, length = [], 0
    if held:
        yield from _parts(held, number, group)


def _parts(timelines: list[Timeline], number: int, group: int) -> Iterator[Lines | Sheaf | Strays]:
    """Take timelines apart into a sheaf, its lines from ``number`` on, and groups of a line each from ``group`` on."""
    own = [row for timeline in timelines for row in timeline.rows]
    perhaps = [row for timeline in timelines for row in timeline.perhaps]
    rows = own + perhaps
    numbers = np.arange(number, number + len(rows))
    ticks = {name: [_ticks(getattr(row, name)) for row in rows] for name in TIMES}
    unit = _unit(tick for column in ticks.values() for tick in column)
    times = {name: _column([NONE if t is None else t // unit for t in column]) for name, column in ticks.items()}
    names = _Names()
    codes = {name: _column([names.number(getattr(row, name)) for row in rows]) for name in CODES}
    line = _column([int(row.line) for row in rows])
    if rows:
        yield Lines(unit, names.names, numbers, **times, line=line, **codes, texts=[row.text for row in rows])
    if perhaps:
        names = _Names()
        step, mark = (_column([names.number(getattr(row, name)) for row in perhaps]) for name in ("step", "mark"))
        among, sizes = _column([row.among for row in perhaps]), np.ones(len(perhaps), dtype=np.int64)
        yield Strays(group, names.names, sizes, numbers[len(own) :], among, step, mark)
    names = _Names()
    told = {name: _column([names.number(getattr(row, name)) for row in own]) for name in TOLD}
    sizes_of = [[len(one.rows) for one in timelines], [len(one.perhaps) for one in timelines]]
    groups = np.arange(group, group + len(perhaps))
    yield Sheaf(timelines, sizes_of[0], names.names, numbers[: len(own)], **told, groups_of=sizes_of[1], groups=groups)


class _Names:
    """A table of strings, each stored once."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {}

    @property
    def names(self) -> list[str | None]:
        return list(self._numbers)

    def number(self, name: str | None) -> int:
        return self._numbers.setdefault(name, len(self._numbers))


def _column(values: Sequence[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def _ticks(time: datetime | None) -> int | None:
    """Count the microseconds since 1970-01-01 UTC."""
    return None if time is None else (time - EPOCH) // _MICROSECOND


def _unit(ticks: Iterable[int | None]) -> int:
    """Give the unit in microseconds that these microseconds need."""
    return 1 if any(tick is not None and tick % 1000 for tick in ticks) else 1000


def _whole(number: int | None) -> int | None:
    # A number out of a data frame is numpy's, which JSON does not take.
    return None if number is None else int(number)


def _zone(zone: Zone | None) -> list[Any] | None:
    """Tell a zone by its parts: rules of zones change, and what was shown once is shown again."""
    if zone is None:
        return None
    return [zone.name, *([int(number) for number in part] for part in (zone.offsets, zone.changes))]


def _differences(column: np.ndarray) -> np.ndarray:
    return np.diff(column, prepend=0)


def _filled(column: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Put other numbers where there is none; by itself the number before."""
    there = column != NONE
    if there.all():
        return column
    if other is None:
        last = np.maximum.accumulate(np.where(there, np.arange(len(column)), -1))
        return np.where(last < 0, 0, column[last])
    return np.where(there, column, other)


def _block(head: list[Any], columns: Sequence[np.ndarray], text: str) -> bytes:
    """Write a block: a line of JSON that ends with (type, length) of each column, the columns, the text."""
    narrow = [_narrowed(column) for column in columns]
    head = [*head, [[f"i{column.itemsize}", len(column)] for column in narrow]]
    return b"".join(
        [dump(head), b"\n", *(column.tobytes() for column in narrow), text.encode("utf-8", "surrogatepass")]
    )


def _narrowed(column: np.ndarray) -> np.ndarray:
    """Give whole numbers the narrowest type that holds them; little-endian, whatever the machine."""
    low, high = (int(column.min()), int(column.max())) if len(column) else (0, 0)
    kinds = ("i1", "i2", "i4", "i8")
    kind = next(kind for kind in kinds if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max)
    return column.astype(f"<{kind}")
