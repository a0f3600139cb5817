"""Timelines as bytes: how the store packs what it keeps.

A timeline becomes one line of JSON that holds its rows as columns: names by their number in a table, times and line
numbers as differences to the row before. Many such lines are compressed together, since a device's lines differ from
the next device's by little more than the name: 12 bytes for a row on disk, where each device for itself takes 29.
JSON rather than a format of our own: it is read by C code that is in every Python, and no byte of it is ever executed.
"""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import zstandard

from capflog.model import Enrollment, Row, Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What every sealed blob begins with: two letters and the version of the packing.
MAGIC = b"CL\x01"

#: zstd's level: 9 saves a byte for a row and takes twice the time.
LEVEL = 6

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEAD = len(MAGIC) + 4


class UnreadableError(Exception):
    """Bytes that :func:`seal` or :func:`pack` did not make, or that were changed since."""


def seal(data: bytes) -> bytes:
    """Compress ``data`` and mark it, so that :func:`unseal` knows whether it is whole."""
    frame = zstandard.ZstdCompressor(level=LEVEL).compress(data)
    return MAGIC + zlib.crc32(frame).to_bytes(4, "big") + frame


def unseal(blob: object) -> bytes:
    """Give back what :func:`seal` was given.

    Raises :class:`UnreadableError` if it is anything but that. The sum is over the compressed bytes: nothing damaged
    reaches the decompressor, where a wrong length would ask for any amount of memory.
    """
    if not isinstance(blob, bytes) or len(blob) < _HEAD or not blob.startswith(MAGIC):
        raise UnreadableError("not a packed blob")
    frame = blob[_HEAD:]
    if zlib.crc32(frame) != int.from_bytes(blob[len(MAGIC) : _HEAD], "big"):
        raise UnreadableError("a packed blob was changed")
    try:
        return zstandard.ZstdDecompressor().decompress(frame)
    except zstandard.ZstdError as error:
        raise UnreadableError("a packed blob does not decompress") from error


def dump(value: object) -> bytes:
    """Write plain values as one line of JSON; any text survives, lone surrogates and NUL too."""
    # Raw characters and not \u escapes: a reader joins two escaped surrogates to one character.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def load(line: bytes) -> Any:
    """Read what :func:`dump` wrote; raises :class:`UnreadableError` for anything else."""
    try:
        return json.loads(line.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise UnreadableError("packed text does not parse") from error


def _ticks(time: datetime | None) -> int | None:
    """Count the microseconds since 1970-01-01 UTC."""
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _whole(number: int | None) -> int | None:
    # A number out of a data frame is numpy's, which JSON does not take.
    return None if number is None else int(number)


class _Names:
    """A table of strings, each stored once."""

    def __init__(self) -> None:
        self.numbers: dict[str | None, int] = {}

    def column(self, names: Iterable[str | None]) -> list[int]:
        numbers = self.numbers
        return [numbers.setdefault(name, len(numbers)) for name in names]


def pack(timeline: Timeline) -> bytes:
    """Pack a timeline into one line of bytes (no line end in it); its enrollments' records are left out.

    Times are kept to the millisecond, or to the microsecond where one has such; they must bear a zone, and come back
    in UTC.
    """
    rows = timeline.rows
    stamps: list[tuple[int | None, int | None, int | None]] = []
    for row in rows:
        time = _ticks(row.time)
        # Most rows have one time thrice: comparing is cheaper than counting.
        early = time if row.earliest == row.time else _ticks(row.earliest)
        late = time if row.latest == row.time else _ticks(row.latest)
        stamps.append((time, early, late))
    spans = [(_ticks(e.started), _ticks(e.ended)) for e in timeline.enrollments]
    unit = 1 if any(t is not None and t % 1000 for group in (*stamps, *spans) for t in group) else 1000

    times: list[int | None] = []
    earliest: list[int | None] = []
    latest: list[int | None] = []
    base = 0
    for time, early, late in stamps:
        if time is not None:
            before, base = base, time // unit
            times.append(base - before)
        else:
            times.append(None)
        earliest.append(None if early is None else base - early // unit)
        latest.append(None if late is None else late // unit - base)
    lines: list[int] = []
    number = 0
    for row in rows:
        before, number = number, int(row.line)
        lines.append(number - before)

    names = _Names()
    columns = [
        names.column([row.source for row in rows]),
        names.column([row.member for row in rows]),
        names.column([row.level for row in rows]),
        names.column([row.event for row in rows]),
        names.column([row.enrollment for row in rows]),
        names.column([row.confidence for row in rows]),
        names.column([row.step for row in rows]),
        names.column([row.mark for row in rows]),
    ]
    enrollments = [
        [
            e.id,
            e.device,
            None if started is None else started // unit,
            None if ended is None else ended // unit,
            e.outcome,
            e.reached,
            e.missing,
            e.est_error,
            _whole(e.est_value),
            e.causes,
        ]
        for e, (started, ended) in zip(timeline.enrollments, spans, strict=True)
    ]
    return dump(
        [
            timeline.device,
            timeline.bundle,
            _whole(timeline.utc_offset_seconds),
            timeline.assumed,
            unit,
            enrollments,
            timeline.findings,
            timeline.lacking,
            list(names.numbers),
            times,
            earliest,
            latest,
            lines,
            columns,
            [row.text for row in rows],
        ]
    )


def unpack(line: bytes) -> Timeline:
    """Give back the timeline of :func:`pack`; raises :class:`UnreadableError` for bytes that it did not make."""
    try:
        return _unpacked(load(line))
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise UnreadableError("a packed timeline does not hold together") from error


def _unpacked(packed: Any) -> Timeline:
    device, bundle, zone, assumed, unit, enrollments, findings, lacking, names, *numbers, columns, texts = packed
    times, earliest, latest, lines = numbers
    sources, members, levels, events, ids, confidences, steps, marks = columns
    tick = timedelta(microseconds=unit)

    def at(ticks: int) -> datetime:
        return _EPOCH + ticks * tick

    rows: list[Row] = []
    base = number = 0
    for i, text in enumerate(texts):
        time = None
        if times[i] is not None:
            base += times[i]
            time = at(base)
        early, late = earliest[i], latest[i]
        number += lines[i]
        rows.append(
            Row(
                time=time,
                earliest=None if early is None else at(base - early),
                latest=None if late is None else at(base + late),
                source=names[sources[i]],
                member=names[members[i]],
                line=number,
                level=names[levels[i]],
                event=names[events[i]],
                text=text,
                enrollment=names[ids[i]],
                confidence=names[confidences[i]],
                step=names[steps[i]],
                mark=names[marks[i]],
            )
        )
    return Timeline(
        device=device,
        bundle=bundle,
        utc_offset_seconds=zone,
        enrollments=[
            Enrollment(
                id=e_id,
                device=of,
                started=None if started is None else at(started),
                ended=None if ended is None else at(ended),
                outcome=outcome,
                reached=reached,
                missing=missing,
                est_error=error,
                est_value=value,
                records=[],
                causes=causes,
            )
            for e_id, of, started, ended, outcome, reached, missing, error, value, causes in enrollments
        ],
        rows=rows,
        findings=findings,
        lacking=lacking,
        assumed=bool(assumed),
    )
