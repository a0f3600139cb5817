"""CAPF's attempts to enroll, and whose line each line of its trace is: by ids and the order of lines, before any clock.

The trace names the device in the prefix ``<session>:<DEVICE>:`` of most lines. The lines between them that name none
(``SetOperationStatus``, ``MsgType : CAPF_MSG_END_SESSION``) belong to the attempt that alone is under way around them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from capflog.events import SOURCES
from capflog.table import NONE
from capflog.unnamed import TOGETHER, following, give_unnamed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.table import Table

DAY_MS = 86_400_000

#: A step back of the time of day by more than this is midnight, after a quiet night at times; a smaller one is several
#: threads writing, or the end of summer time (two hours at the most: IANA time zone database). (ms)
MIDNIGHT_STEP = 7_500_000

#: Silence after which a line of the same device no longer belongs to its last attempt. (ms)
SILENCE = 60_000

#: The same once CAPF had its answer: a phone that failed comes again after 30 s (Cisco Security Guide, CAPF). (ms)
SILENCE_AFTER_ANSWER = 20_000

#: How long EST's client may wait for an answer: its timeout can be set to an hour (libEST 2.1.0 est_client.c). (ms)
LONGEST_WAIT = 3_660_000

#: A session's end is an attempt's own where the device's last lines stand together, this many of them at least, and at
#: most this many lines that name no device stand between them and the end.
_OWN, _NEXT = 3, 8

#: Kinds of lines that may begin an attempt: a result does where the trace begins in the middle of one.
_BEGINS = ("est.enroll.mode", "est.enroll.call", "est.enroll.result")

#: Silence that is longer than any, before a device's first line. (ms)
_EVER = int(np.iinfo(np.int64).max)


def rotation_key(member: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Order rotated files as they were written: by folder, then by the numbers in the name as numbers."""
    folder, _, name = member.rpartition("/")
    parts = re.split(r"([0-9]+)", name)
    # A number of any length is ordered by how many digits it has, then by these.
    numbers = (part.lstrip("0") for part in parts[1::2])
    parts[1::2] = numbers
    return folder, tuple((len(part) if k % 2 else -1, part) for k, part in enumerate(parts))


def _parts(column: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Part a column, so that what is made of it on the way stays small: (where a part begins, the part).

    Each part but the last holds the first item of the next one, too.
    """
    for begin in range(0, max(1, len(column)), TOGETHER):
        yield begin, column[begin : begin + TOGETHER + 1]


def _places(mask: np.ndarray) -> np.ndarray:
    """List the places at which a mask is true, in four bytes each if that is enough."""
    dtype = np.int32 if len(mask) <= np.iinfo(np.int32).max else np.int64
    return np.concatenate([(np.flatnonzero(p[:TOGETHER]) + at).astype(dtype) for at, p in _parts(mask)])


def by_member(table: Table, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Part rows (sorted) by the member that holds them: number of the member -> its rows, in their order."""
    codes = table.member[rows]
    edges = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(rows)]
    pieces: dict[int, list[np.ndarray]] = {}
    for begin, end in pairwise(edges):
        if end > begin:
            pieces.setdefault(int(codes[begin]), []).append(rows[begin:end])
    return {code: own[0] if len(own) == 1 else np.concatenate(own) for code, own in sorted(pieces.items())}


#: So far apart are the traces of two folders in ``Trace.unrolled``: each has a first day of its own. (ms)
APART = 100_000 * DAY_MS


@dataclass(slots=True)
class Trace:
    """CAPF's rows in the order in which they were written, each with its time in ms since the first day's midnight.

    The files of one folder are one trace; the first midnight of the n-th folder's stands at n times :data:`APART`.
    ``begins``: the positions in ``rows`` at which the folders begin.
    """

    rows: np.ndarray
    unrolled: np.ndarray
    begins: tuple[int, ...]

    def folders(self) -> list[Trace]:
        """Give the traces of the folders, each with its times since its own first midnight."""
        edges = (*self.begins, len(self.rows))
        return [
            Trace(self.rows[begin:end], self.unrolled[begin:end] - n * APART, (0,))
            for n, (begin, end) in enumerate(pairwise(edges))
        ]


def unroll(table: Table) -> Trace:
    """Put CAPF's rows in order and count the midnights between them.

    A first stamp of a file before the last of the one before it means that a midnight lay between (or that the files
    overlap by less than :data:`SILENCE`).
    """
    rows = _places((table.source == SOURCES.index("capf")) & (table.stamp != NONE))
    if not len(rows):
        return Trace(rows, np.zeros(0, dtype=np.int64), ())
    files = sorted(by_member(table, rows).items(), key=lambda item: rotation_key(table.members[item[0]]))
    if len(files) > 1:
        rows = np.concatenate([own for _, own in files])
    firsts = np.cumsum([0, *(len(own) for _, own in files)])[:-1]
    folders = [rotation_key(table.members[code])[0] for code, _ in files]
    begins = [0, *(int(firsts[k]) for k in range(1, len(files)) if folders[k] != folders[k - 1])]

    unrolled = table.stamp[rows]
    stragglers = _stragglers(unrolled, firsts)
    steps = np.concatenate([np.flatnonzero(np.diff(part) < -SILENCE) + at + 1 for at, part in _parts(unrolled)])
    steps = steps[(unrolled[steps] < unrolled[steps - 1] - MIDNIGHT_STEP) | np.isin(steps, firsts)]
    # What follows a straggler follows on the line before it, which was written after the same midnight.
    steps = steps[~np.isin(steps - 1, stragglers)]
    edges = sorted({*begins, *steps.tolist()})
    unrolled[stragglers] -= DAY_MS
    day, folder, starts = 0, -1, set(begins)
    for begin, end in zip(edges, [*edges[1:], len(rows)], strict=True):
        if begin in starts:
            day, folder = 0, folder + 1
        else:
            day += 1
        unrolled[begin:end] += folder * APART + day * DAY_MS
    return Trace(rows, unrolled, tuple(begins))


def _stragglers(stamps: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """List the positions of lines from before midnight that were written after it; ``firsts``: those of new files."""
    late = np.flatnonzero(stamps >= DAY_MS - SILENCE)
    if not len(late):
        return late
    first_of_file = np.isin(late, firsts)
    heads = first_of_file.copy()
    heads[0] = True
    heads[1:] |= np.diff(late) > 1
    # Lines that stand together are all of the day of the line before them, or none is.
    head = late[heads]
    early = ~first_of_file[heads] & (stamps[head - 1] <= SILENCE)
    found: np.ndarray = late[early[np.cumsum(heads) - 1]]
    return found


@dataclass(slots=True)
class Attempt:
    """One attempt of a device; its numbers are positions in ``Trace.rows``, not rows of the table.

    ``first`` is where the enrollment starts: CAPF's decision or its call, whichever is first. ``positions`` are its
    lines, ``unsure`` those of them that are only likely its own; both are sorted.
    """

    device: str
    session: str | None
    first: int
    call: int | None
    result: int | None
    positions: np.ndarray
    unsure: np.ndarray

    @property
    def likely(self) -> frozenset[int]:
        """The positions of its lines that are only likely its own."""
        return frozenset(self.unsure.tolist())

    @property
    def lines(self) -> dict[int, Literal["certain", "likely"]]:
        """The positions of its lines, each with how sure it is that the line is its own."""
        likely = self.likely
        return {p: "likely" if p in likely else "certain" for p in self.positions.tolist()}


@dataclass(slots=True)
class Columns:
    """CAPF's trace as columns: an item for each position.

    ``device``: its number, -1 for none; ``kind``: a number of the table's; ``ends``: the positions of sessions' ends
    that name no device; ``named``: the positions of the lines that name one; ``owner``: the attempt that a line is of,
    -1 for none.
    """

    table: Table
    rows: np.ndarray
    at: np.ndarray
    device: np.ndarray
    kind: np.ndarray
    ends: np.ndarray
    named: np.ndarray
    owner: np.ndarray

    @classmethod
    def of(cls, table: Table, trace: Trace) -> Columns:
        said = table.bearing("message")
        codes, words = table.codes("message", said)
        ending = np.zeros(len(table), dtype=bool)
        ending[said[codes == words.code("END_SESSION")]] = True
        device = table.device[trace.rows]
        ends = np.flatnonzero(ending[trace.rows] & (device < 0))
        named = _places(device >= 0)
        kind, owner = table.kind[trace.rows], np.full(len(trace.rows), -1, dtype=np.int32)
        return cls(table, trace.rows, trace.unrolled, device, kind, ends, named, owner)

    def is_of(self, kind: str, positions: np.ndarray | None = None) -> np.ndarray:
        """Tell of each position (of all: None) whether its line is of the kind."""
        codes = [code for code, name in enumerate(self.table.kinds) if name == kind]
        mask: np.ndarray = (self.kind if positions is None else self.kind[positions]) == (codes[0] if codes else -1)
        return mask


@dataclass(slots=True)
class Found:
    """Attempts as columns, in the order of ``first``: numbers of device and session, then positions (-1: none)."""

    device: np.ndarray
    session: np.ndarray
    first: np.ndarray
    last: np.ndarray
    call: np.ndarray
    result: np.ndarray


def find_attempts(table: Table, trace: Trace) -> list[Attempt]:
    """Find the attempts in CAPF's trace and give each of its lines to one of them, or to none."""
    columns = Columns.of(table, trace)
    found = _by_name(columns)
    if found is None:
        return []
    likely = give_unnamed(columns, found)
    unsure = np.zeros(len(trace.rows), dtype=bool)
    unsure[likely] = True
    return list(_made(columns, found, unsure))


def _made(columns: Columns, found: Found, unsure: np.ndarray) -> Iterator[Attempt]:
    """Make the attempts of their columns, each with its lines."""
    table, owner = columns.table, columns.owner
    # Its last lines may name no device; they stand before the next line that names one.
    reach = np.maximum.accumulate(following(columns.named, found.last, len(owner)))
    step = max(1, TOGETHER * len(found.first) // max(1, len(owner)))
    for begin in range(0, len(found.first), step):
        end = min(begin + step, len(found.first))
        low, high = int(found.first[begin]), int(reach[end - 1])
        own = owner[low:high]
        places = np.flatnonzero((own >= begin) & (own < end))
        key = own[places].astype(np.int64) << 32 | places
        key.sort()
        positions = ((key & 0xFFFFFFFF) + low).astype(columns.rows.dtype)
        edges = np.searchsorted(key >> 32, np.arange(begin, end + 1)).tolist()
        doubted = np.flatnonzero(unsure[positions])
        doubts = positions[doubted]
        edges_of_doubts = np.searchsorted(doubted, edges).tolist()
        whole = zip(
            found.device[begin:end].tolist(),
            found.session[begin:end].tolist(),
            found.first[begin:end].tolist(),
            found.call[begin:end].tolist(),
            found.result[begin:end].tolist(),
            strict=True,
        )
        for k, (device, session, first, call, result) in enumerate(whole):
            yield Attempt(
                table.devices[device],
                table.sessions[session] if session >= 0 else None,
                first,
                call if call >= 0 else None,
                result if result >= 0 else None,
                positions[edges[k] : edges[k + 1]],
                doubts[edges_of_doubts[k] : edges_of_doubts[k + 1]],
            )


def _by_name(columns: Columns) -> Found | None:
    """Find the attempts by the lines that name their devices, and put these lines to them in ``columns.owner``."""
    device, last = columns.device, len(columns.table.devices)
    enrolls = np.zeros(last + 1, dtype=bool)
    for kind in _BEGINS:
        enrolls[device[columns.is_of(kind)]] = True
    enrolls[last] = False
    if not enrolls.any():
        return None
    group = np.where(enrolls, 0, -1).astype(np.int16)
    if len(device) > TOGETHER:
        # Devices know nothing of one another: as many are looked at together as have about so many lines.
        lines = np.zeros(last + 1, dtype=np.int64)
        for _, part in _parts(device):
            lines += np.bincount(part[:TOGETHER] + 1, minlength=last + 1)
        group[enrolls] = np.cumsum(lines[1:][enrolls[:-1]]) // TOGETHER
    ended = _ended(columns)
    parts: list[Found] = []
    count = 0
    for number in np.unique(group[group >= 0]).tolist():
        mine = np.concatenate([np.flatnonzero(group[p[:TOGETHER]] == number) + at for at, p in _parts(device)])
        parts.append(_of_devices(columns, mine, ended, count))
        count += len(parts[-1].first)
    whole = Found(*(np.concatenate([getattr(part, name) for part in parts]) for name in Found.__slots__))
    order = np.argsort(whole.first)
    rank = np.full(count + 1, -1, dtype=np.int32)
    rank[order] = np.arange(count)
    columns.owner[columns.named] = rank[columns.owner[columns.named]]
    return Found(*(getattr(whole, name)[order] for name in Found.__slots__))


def _ended(columns: Columns) -> np.ndarray:
    """Tell of each position whether the end of a session follows that is the line's own device's."""
    device, named, ends = columns.device, columns.named, columns.ends
    ended = np.zeros(len(device), dtype=bool)
    k = np.searchsorted(named, ends)
    ends, k = ends[k >= _OWN], k[k >= _OWN]
    before = named[k - 1]
    own = ends - before < _NEXT
    for back in range(2, _OWN + 1):
        own &= device[named[k - back]] == device[before]
    ended[before[own]] = True
    return ended


def _of_devices(columns: Columns, mine: np.ndarray, ended: np.ndarray, count: int) -> Found:
    """Find the attempts of some devices, whose lines stand at the positions ``mine``; the first's number is ``count``.

    Each line that may begin an attempt is asked how far it would reach; then each device's are gone through in turn.
    """
    key = columns.device[mine].astype(np.int64) << 32 | mine
    key.sort()
    mine = key & 0xFFFFFFFF
    none = len(mine)
    silent = np.diff(columns.at[mine], prepend=0)
    silent[np.append(True, np.diff(key >> 32) > 0)] = _EVER
    del key
    session = columns.table.session[columns.rows[mine]]
    mode, call, result, returned = (columns.is_of(kind, mine) for kind in (*_BEGINS, "est.enroll.return"))
    begin = np.flatnonzero(mode | call | result)
    calls = np.flatnonzero(call)
    called = np.where(call[begin], begin, following(calls, begin, none))
    answered = following(np.flatnonzero(result | returned), begin - 1, none)
    # The next decision, or the call after its own, is another attempt's.
    end = np.minimum(following(np.flatnonzero(mode), begin, none), following(calls, called, none))
    # So is another session's line.
    bearing = np.flatnonzero(session >= 0)
    own = following(bearing, begin - 1, none)
    other = bearing[1:][np.diff(session[bearing]) != 0]
    end = np.minimum(end, following(other, own, none))
    # CAPF may have to wait for the answer, but for nothing else.
    patience = following(np.flatnonzero(silent > SILENCE), begin, none)
    place = np.minimum(answered, none - 1)
    awaited = result[place] & (called < answered) & (silent[place] <= LONGEST_WAIT) & (patience == answered)
    over = silent > SILENCE_AFTER_ANSWER
    over[1:] |= ended[mine[:-1]]
    after = following(np.flatnonzero(over), answered, none)
    end = np.minimum(end, np.where((patience <= answered) & ~awaited, patience, after))

    then = np.searchsorted(begin, end).tolist()
    chosen: list[int] = []
    k = 0
    while k < len(then):
        chosen.append(k)
        k = then[k]
    begin, end, called, answered, own = (column[chosen] for column in (begin, end, called, answered, own))
    sizes = end - begin
    places = np.repeat(begin - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
    columns.owner[mine[places]] = np.repeat(np.arange(count, count + len(begin), dtype=np.int32), sizes)

    def within(at: np.ndarray, column: np.ndarray) -> np.ndarray:
        return np.where(at < end, column[np.minimum(at, none - 1)], -1)

    return Found(
        columns.device[mine[begin]],
        within(own, session),
        mine[begin],
        mine[end - 1],
        within(called, mine),
        within(answered, mine),
    )
