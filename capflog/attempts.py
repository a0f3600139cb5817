"""CAPF's attempts to enroll, and whose line each line of its trace is: by ids and the order of lines, before any clock.

The trace names the device in the prefix ``<session>:<DEVICE>:`` of most lines. The lines between them that name none
(``SetOperationStatus``, ``MsgType : CAPF_MSG_END_SESSION``) belong to the attempt that alone is under way around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from capflog.rotation import DAY_MS, Changed, in_rotation, rotation_key
from capflog.rows import NONE
from capflog.unnamed import TOGETHER, following, give_unnamed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capflog.table import Table

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


def _parts(column: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Part a column, so that what is made of it on the way stays small: (where a part begins, the part).

    Each part but the last holds the first item of the next one, too.
    """
    for begin in range(0, max(1, len(column)), TOGETHER):
        yield begin, column[begin : begin + TOGETHER + 1]


def by_member(table: Table, rows: np.ndarray) -> dict[int, np.ndarray]:
    """Part rows (sorted) by the member that holds them: number of the member -> its rows, in their order."""
    runs = table.runs
    edges = np.searchsorted(rows, runs[:, 0])
    ends = np.append(edges[1:], len(rows))[: len(runs)]
    pieces: dict[int, list[np.ndarray]] = {}
    for run in np.flatnonzero(ends > edges).tolist():
        pieces.setdefault(int(runs[run, 2]), []).append(rows[edges[run] : ends[run]])
    return {code: own[0] if len(own) == 1 else np.concatenate(own) for code, own in sorted(pieces.items())}


def _stamped(table: Table) -> dict[int, np.ndarray]:
    """List CAPF's rows that bear a stamp by the member that holds them, in four bytes each if that is enough."""
    dtype = np.int32 if table.count <= np.iinfo(np.int32).max else np.int64
    pieces: dict[int, list[np.ndarray]] = {}
    for begin, end, member, _ in table.runs_of("capf").tolist():
        for at, part in _parts(table.stamp[begin:end]):
            mask = part[:TOGETHER] != NONE
            all_ = np.arange(begin + at, begin + at + len(mask), dtype=dtype)
            own = all_ if mask.all() else all_[mask]
            if len(own):
                pieces.setdefault(member, []).append(own)
    return {code: own[0] if len(own) == 1 else np.concatenate(own) for code, own in pieces.items()}


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
    first: int | None = None
    """The table's row at the first position, where the rows are the table's own one after the other."""
    members: tuple[int, ...] = ()
    """The numbers of the members that hold them."""

    def of(self, column: np.ndarray) -> np.ndarray:
        """Give a column of the table for each position; it may be a view of it."""
        if self.first is not None:
            return column[self.first : self.first + len(self.rows)]
        found: np.ndarray = column[self.rows]
        return found

    def positions(self, rows: np.ndarray) -> np.ndarray:
        """Give the positions of those of the table's rows (sorted) that are in the trace, in order."""
        if self.first is not None:
            begin, end = np.searchsorted(rows, (self.first, self.first + len(self.rows)))
            found: np.ndarray = rows[begin:end] - self.first
            return found
        there = np.zeros(int(self.rows.max(initial=-1)) + 1, dtype=bool)
        there[rows[: np.searchsorted(rows, len(there))]] = True
        return np.flatnonzero(there[self.rows])

    def folders(self) -> list[Trace]:
        """Give the traces of the folders, each with its times since its own first midnight."""
        edges = (*self.begins, len(self.rows))
        return [
            Trace(
                self.rows[begin:end],
                self.unrolled[begin:end] - n * APART if n else self.unrolled[begin:end],
                (0,),
                None if self.first is None else self.first + begin,
            )
            for n, (begin, end) in enumerate(pairwise(edges))
        ]


def unroll(table: Table, changed: Callable[[str], Changed | None] = lambda _: None) -> Trace:
    """Put CAPF's rows in order and count the midnights between them; ``changed``: when a member was last written.

    A first stamp of a file before the last of the one before it means that a midnight lay between (or that the files
    overlap by less than :data:`SILENCE`).
    """
    stamped = _stamped(table)
    lasts = {table.members[code]: int(table.stamp[own[-1]]) for code, own in stamped.items()}
    codes = {table.members[code]: code for code in stamped}
    files = [(codes[name], stamped[codes[name]]) for name in in_rotation(lasts, changed)]
    if not files:
        return Trace(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64), ())
    rows = files[0][1] if len(files) == 1 else np.concatenate([own for _, own in files])
    # Files that follow one another in the table, too, are nothing but a piece of it.
    whole = all(own[-1] - own[0] == len(own) - 1 for _, own in files)
    whole = whole and all(own[0] == before[-1] + 1 for (_, before), (_, own) in pairwise(files))
    first = int(rows[0]) if whole else None
    firsts = np.cumsum([0, *(len(own) for _, own in files)])[:-1]
    folders = [rotation_key(table.members[code])[0] for code, _ in files]
    begins = [0, *(int(firsts[k]) for k in range(1, len(files)) if folders[k] != folders[k - 1])]

    unrolled = table.stamp[rows] if first is None else table.stamp[first : first + len(rows)].copy()
    stragglers = _stragglers(unrolled, firsts)
    steps = np.concatenate([np.flatnonzero(part[1:] < part[:-1] - SILENCE) + at + 1 for at, part in _parts(unrolled)])
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
    return Trace(rows, unrolled, tuple(begins), first, tuple(sorted(code for code, _ in files)))


def _stragglers(stamps: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """List the positions of lines from before midnight that were written after it; ``firsts``: those of new files."""
    late = np.concatenate([np.flatnonzero(p[:TOGETHER] >= DAY_MS - SILENCE) + at for at, p in _parts(stamps)])
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

    ``device``: its number, -1 for none; ``session``: likewise; ``kind``: a number of the table's; ``ends``: the
    positions of sessions' ends that name no device; ``named``: the positions of the lines that name one.
    """

    table: Table
    at: np.ndarray
    device: np.ndarray
    session: np.ndarray
    kind: np.ndarray
    ends: np.ndarray
    named: np.ndarray

    @classmethod
    def of(cls, table: Table, trace: Trace) -> Columns:
        device = trace.of(table.device)
        ends = trace.positions(table.rows_saying("message", "END_SESSION"))
        ends = ends[device[ends] < 0]
        # What is never written to costs no memory.
        named = np.empty(len(device), dtype=trace.rows.dtype)
        count = 0
        for begin, part in _parts(device):
            own = np.flatnonzero(part[:TOGETHER] >= 0)
            np.add(own, begin, out=named[count : count + len(own)], casting="unsafe")
            count += len(own)
        session, kind = trace.of(table.session), trace.of(table.kind)
        return cls(table, trace.unrolled, device, session, kind, ends, named[:count])

    def of_kinds(self, *kinds: str) -> list[np.ndarray]:
        """List the positions of the lines of each of the kinds, in order."""
        codes = [next((code for code, name in enumerate(self.table.kinds) if name == kind), -1) for kind in kinds]
        found: list[list[np.ndarray]] = [[] for _ in kinds]
        for begin, part in _parts(self.kind):
            for code, own in zip(codes, found, strict=True):
                own.append(np.flatnonzero(part[:TOGETHER] == code) + begin)
        return [np.concatenate(own) for own in found]


@dataclass(slots=True)
class Found:
    """Attempts as columns, in the order of ``first``: numbers of device and session, then positions (-1: none)."""

    device: np.ndarray
    session: np.ndarray
    first: np.ndarray
    last: np.ndarray
    call: np.ndarray
    result: np.ndarray


@dataclass(slots=True)
class Lines:
    """The lines of the attempts that name their devices, one attempt's behind the other's.

    ``positions``: where they are, each attempt's in order; ``edges``: where an attempt's begin, and behind the last;
    ``attempt``: which the attempts are, as numbers of :class:`Found`. ``gaps``: the places of the lines that a line
    follows on that names no device, if the next that does is the attempt's own or it has no other; ``named``: where
    each of these stands among the trace's named lines.
    """

    positions: np.ndarray
    edges: np.ndarray
    attempt: np.ndarray
    gaps: np.ndarray
    named: np.ndarray


def find_attempts(table: Table, trace: Trace) -> list[Attempt]:
    """Find the attempts in CAPF's trace and give each of its lines to one of them, or to none."""
    columns = Columns.of(table, trace)
    named = _by_name(columns)
    if named is None:
        return []
    found, lines = named
    place, positions, likely = give_unnamed(columns, found, lines)
    return _made(table, found, lines, place, positions.astype(trace.rows.dtype), likely)


def _made(
    table: Table, found: Found, lines: Lines, place: np.ndarray, unnamed: np.ndarray, likely: np.ndarray
) -> list[Attempt]:
    """Make the attempts of their columns, each with its lines.

    ``unnamed``: the positions of lines that name no device; ``place``: of which attempt each is, by its place in
    ``lines``; ``likely``: whether it is only likely its own.
    """
    order = np.lexsort((unnamed, place))
    place, unnamed, likely = place[order], unnamed[order], likely[order]
    # Each stands behind the lines of its attempt that are before it.
    behind = _ranks(lines.positions, lines.edges, place, unnamed)
    positions = np.insert(lines.positions, behind, unnamed) if len(unnamed) else lines.positions
    every = np.arange(len(lines.edges))
    edges = (lines.edges + np.searchsorted(place, every)).tolist()
    doubts = unnamed[likely]
    edges_of_doubts = np.searchsorted(place[likely], every).tolist()
    none = doubts[:0]
    whole = zip(
        found.device.tolist(),
        found.session.tolist(),
        found.first.tolist(),
        found.call.tolist(),
        found.result.tolist(),
        np.argsort(lines.attempt).tolist(),
        strict=True,
    )
    devices, sessions = table.devices, table.sessions
    return [
        Attempt(
            devices[device],
            sessions[session] if session >= 0 else None,
            first,
            call if call >= 0 else None,
            result if result >= 0 else None,
            positions[edges[k] : edges[k + 1]],
            doubts[begin:end] if (begin := edges_of_doubts[k]) < (end := edges_of_doubts[k + 1]) else none,
        )
        for device, session, first, call, result, k in whole
    ]


def _ranks(positions: np.ndarray, edges: np.ndarray, group: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Give the place of the first in a group's ``positions`` (between its edges, sorted) that is above ``wanted``."""
    low: np.ndarray = edges[group]
    high: np.ndarray = edges[group + 1]
    # The pieces in question are halved as often as the largest group can be.
    while len(open_ := np.flatnonzero(low < high)):
        middle = (low[open_] + high[open_]) // 2
        above = positions[middle] > wanted[open_]
        high[open_[above]] = middle[above]
        low[open_[~above]] = middle[~above] + 1
    return low


#: What a line is, in a few bits: what it may begin or be, whether the session ends behind it, whether a line that
#: names no device follows.
_MODE, _CALL, _RESULT, _RETURN, _WHAT, _ENDED, _UNNAMED = 1, 2, 3, 4, 7, 8, 16


@dataclass(slots=True)
class _Marked:
    """Lines that name devices that enroll, as columns: the device's turn, the line's place in ``named``, what it is."""

    turn: np.ndarray
    named: np.ndarray
    what: np.ndarray

    def chosen(self, places: np.ndarray) -> _Marked:
        return _Marked(self.turn[places], self.named[places], self.what[places])


def _by_name(columns: Columns) -> tuple[Found, Lines] | None:
    """Find the attempts by the lines that name their devices, and these lines."""
    kinds = columns.of_kinds(*_BEGINS, "est.enroll.return")
    enrolls = np.zeros(len(columns.table.devices) + 1, dtype=bool)
    for own in kinds[: len(_BEGINS)]:
        enrolls[columns.device[own]] = True
    enrolls[-1] = False
    if not enrolls.any():
        return None
    parts = [_of_devices(columns, marked) for marked in _by_device(_marked(columns, enrolls, kinds))]
    whole = Found(*(np.concatenate([getattr(found, name) for found, *_ in parts]) for name in Found.__slots__))
    order = np.argsort(whole.first)
    attempt = np.empty(len(order), dtype=np.int64)
    attempt[order] = np.arange(len(order))
    before = np.cumsum([0, *(len(positions) for _, positions, *_ in parts)]).tolist()
    lines = Lines(
        np.concatenate([positions for _, positions, *_ in parts]),
        np.append(0, np.cumsum(np.concatenate([sizes for _, _, sizes, *_ in parts]))),
        attempt,
        np.concatenate([gaps + at for (*_, gaps, _), at in zip(parts, before, strict=False)]),
        np.concatenate([named for *_, named in parts]),
    )
    return Found(*(getattr(whole, name)[order] for name in Found.__slots__)), lines


def _marked(columns: Columns, enrolls: np.ndarray, kinds: list[np.ndarray]) -> _Marked:
    """List the lines of the devices that enroll; ``kinds``: the positions of the lines that decide."""
    turn_of = np.where(enrolls, np.cumsum(enrolls, dtype=np.int32) - 1, -1).astype(np.int32)
    marks = list(zip((_MODE, _CALL, _RESULT, _RETURN, _ENDED), (*kinds, _ended(columns)), strict=True))
    found: list[tuple[np.ndarray, ...]] = []
    before = -1
    for begin, part in _parts(columns.device):
        # The line after the part's last belongs to the next part.
        count = min(len(part), TOGETHER)
        what = np.zeros(count, dtype=np.uint8)
        what[: len(part) - 1][part[1:] < 0] = _UNNAMED
        for bits, places in marks:
            low, high = np.searchsorted(places, (begin, begin + count))
            what[places[low:high] - begin] |= bits
        named = np.cumsum(part[:count] >= 0, dtype=columns.named.dtype)
        named += before
        before = int(named[-1])
        turn = turn_of[part[:count]]
        own = np.flatnonzero(turn >= 0)
        found.append((turn[own], named[own], what[own]))
    return _Marked(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _by_device(lines: _Marked) -> Iterator[_Marked]:
    """Give the lines device by device, in their order.

    Devices know nothing of one another: as many are looked at together as have about so many lines.
    """
    last = int(lines.turn.max())
    for group in range((last >> 16) + 1):
        own = lines if last >> 16 == 0 else lines.chosen(np.flatnonzero(lines.turn >> 16 == group))
        # Numbers of 16 bits numpy sorts by counting, which takes a fifth of the time.
        turn = own.turn.astype(np.uint16)
        order = np.argsort(turn, kind="stable")
        ends = np.cumsum(np.bincount(turn))
        begin = 0
        while begin < len(order):
            end = int(ends[np.searchsorted(ends, min(begin + TOGETHER, len(order)))])
            yield own.chosen(order[begin:end])
            begin = end


def _ended(columns: Columns) -> np.ndarray:
    """List the positions, sorted, on which the end of a session follows that is the line's own device's."""
    device, named, ends = columns.device, columns.named, columns.ends
    k = np.searchsorted(named, ends)
    ends, k = ends[k >= _OWN], k[k >= _OWN]
    before = named[k - 1]
    own = ends - before < _NEXT
    for back in range(2, _OWN + 1):
        own &= device[named[k - back]] == device[before]
    found: np.ndarray = before[own]
    return found


def _of_devices(columns: Columns, lines: _Marked) -> tuple[Found, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the attempts of some devices, whose lines are given device by device.

    Each line that may begin an attempt is asked how far it would reach; then each device's are gone through in turn.
    Gives besides the positions of the attempts' lines, how many each has, and what :class:`Lines` says of gaps.
    """
    none = len(lines.named)
    mine = columns.named[lines.named]
    silent = np.diff(columns.at[mine], prepend=0)
    silent[np.append(True, lines.turn[1:] != lines.turn[:-1])] = _EVER
    session = columns.session[mine]
    what = lines.what & _WHAT
    mode, call, result = what == _MODE, what == _CALL, what == _RESULT
    begin = np.flatnonzero(mode | call | result)
    calls = np.flatnonzero(call)
    called = np.where(call[begin], begin, following(calls, begin, none))
    answered = following(np.flatnonzero(what >= _RESULT), begin - 1, none)
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
    over[1:] |= (lines.what[:-1] & _ENDED) != 0
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

    def within(at: np.ndarray, column: np.ndarray) -> np.ndarray:
        return np.where(at < end, column[np.minimum(at, none - 1)], -1)

    found = Found(
        columns.device[mine[begin]],
        within(own, session),
        mine[begin],
        mine[end - 1],
        within(called, mine),
        within(answered, mine),
    )
    named = lines.named[places]
    near = np.append(named[1:] == named[:-1] + 1, True)
    near[np.cumsum(sizes) - 1] = True
    gaps = np.flatnonzero(near & ((lines.what[places] & _UNNAMED) != 0))
    return found, mine[places], sizes, gaps, named[gaps]
