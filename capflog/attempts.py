"""CAPF's attempts to enroll, and whose line each line of its trace is: by ids and the order of lines, before any clock.

The trace names the device in the prefix ``<session>:<DEVICE>:`` of most lines. The lines between them that name none
(``SetOperationStatus``, ``MsgType : CAPF_MSG_END_SESSION``) belong to the attempt that alone is under way around them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from capflog.table import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

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

#: Another device's line within so many named lines, and so close, may be of an unnamed line's session. (ms)
_AROUND, _CLOSE = 8, 200

#: A session's end is an attempt's own where the device's last lines stand together, this many of them at least, and at
#: most this many lines that name no device stand between them and the end.
_OWN, _NEXT = 3, 8

#: How long after an attempt's last line a line that names no device may still be its own. (ms)
AFTERMATH = 2_000


def rotation_key(member: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Order rotated files as they were written: by folder, then by the numbers in the name as numbers."""
    folder, _, name = member.rpartition("/")
    parts = re.split(r"([0-9]+)", name)
    # A number of any length is ordered by how many digits it has, then by these.
    numbers = (part.lstrip("0") for part in parts[1::2])
    parts[1::2] = numbers
    return folder, tuple((len(part) if k % 2 else -1, part) for k, part in enumerate(parts))


#: So far apart are the traces of two folders in ``Trace.unrolled``: each has a first day of its own. (ms)
APART = 100_000 * DAY_MS


@dataclass(slots=True)
class Trace:
    """CAPF's rows in the order in which they were written, each with its time in ms since the first day's midnight.

    The files of one folder are one trace; the first midnight of the n-th folder's stands at n times :data:`APART`.
    """

    rows: np.ndarray
    unrolled: np.ndarray

    def numbers(self) -> np.ndarray:
        """Give the number of each row's folder; a straggler from before the first midnight is of its folder still."""
        numbers: np.ndarray = (self.unrolled + DAY_MS) // APART
        return numbers

    def folders(self) -> list[Trace]:
        """Give the traces of the folders, each with its times since its own first midnight."""
        number = self.numbers()
        return [Trace(self.rows[number == n], self.unrolled[number == n] - n * APART) for n in np.unique(number)]


def unroll(table: Table) -> Trace:
    """Put CAPF's rows in order and count the midnights between them.

    A first stamp of a file before the last of the one before it means that a midnight lay between (or that the files
    overlap by less than :data:`SILENCE`).
    """
    indices = table.of_source("capf")
    if not len(indices):
        return Trace(indices, np.zeros(0, dtype=np.int64))
    stamps = table.stamp
    names = table.members
    codes = table.member
    members = sorted({int(codes[i]) for i in indices}, key=lambda code: rotation_key(str(names[code])))
    rows: list[int] = []
    unrolled: list[int] = []
    day, last = 0, None
    base, folder = -APART, None
    for code in members:
        first = True
        within = rotation_key(str(names[code]))[0]
        if within != folder:
            folder, base, day, last = within, base + APART, 0, None
        for i in indices[codes[indices] == code]:
            stamp = stamps[i]
            if stamp == NONE:
                continue
            if last is not None:
                back = last - stamp
                if back > MIDNIGHT_STEP or (first and back > SILENCE):
                    day += 1
                elif last <= SILENCE and stamp >= DAY_MS - SILENCE and not first:
                    # A straggler from before midnight, written after it.
                    rows.append(int(i))
                    unrolled.append(base + int(stamp) + (day - 1) * DAY_MS)
                    continue
            rows.append(int(i))
            unrolled.append(base + int(stamp) + day * DAY_MS)
            last, first = stamp, False
    return Trace(np.array(rows, dtype=np.int64), np.array(unrolled, dtype=np.int64))


@dataclass(slots=True)
class Attempt:
    """One attempt of a device; its numbers are positions in ``Trace.rows``, not rows of the table.

    ``first`` is where the enrollment starts: CAPF's decision or its call, whichever is first.
    """

    device: str
    session: str | None
    first: int
    call: int | None = None
    result: int | None = None
    lines: dict[int, Literal["certain", "likely"]] = field(default_factory=dict)

    @property
    def positions(self) -> np.ndarray:
        """Its lines, sorted."""
        return np.sort(np.fromiter(self.lines, dtype=np.int64, count=len(self.lines)))

    @property
    def likely(self) -> frozenset[int]:
        """Those of its lines that are only likely its own."""
        return frozenset(p for p, sure in self.lines.items() if sure == "likely")


def find_attempts(table: Table, trace: Trace) -> list[Attempt]:
    """Find the attempts in CAPF's trace and give each of its lines to one of them, or to none."""
    kinds = np.array(table.kinds, dtype=object)[table.kind[trace.rows]]
    devices = np.array([*table.devices, None], dtype=object)[table.device[trace.rows]]
    sessions = np.array([*table.sessions, None], dtype=object)[table.session[trace.rows]]
    attempts: list[Attempt] = []
    current: dict[str, Attempt] = {}
    last_line: dict[str, int] = {}
    named: list[int] = []
    owner: dict[int, Attempt | None] = {}
    ends = table.words("message", trace.rows) == "END_SESSION"
    last: str | None = None
    row_of_own = 0
    for p in range(len(trace.rows)):
        device = devices[p]
        if not isinstance(device, str):
            over = current.get(last) if last is not None and ends[p] and row_of_own >= _OWN else None
            if over is not None and over.result is not None and p - last_line[over.device] < _NEXT:
                # What follows on the session's end is of another session.
                current.pop(over.device)
            continue
        named.append(p)
        row_of_own = row_of_own + 1 if device == last else 1
        last = device
        kind, session = kinds[p], sessions[p] if isinstance(sessions[p], str) else None
        attempt = current.get(device)
        if attempt is not None:
            silent = trace.unrolled[p] - trace.unrolled[last_line[device]]
            other = session is not None and attempt.session is not None and session != attempt.session
            waiting = attempt.call is not None and attempt.result is None
            patience = SILENCE if attempt.result is None else SILENCE_AFTER_ANSWER
            awaited = waiting and kind == "est.enroll.result" and silent <= LONGEST_WAIT
            if other or (silent > patience and not awaited):
                attempt = None
        if kind == "est.enroll.mode" or (kind == "est.enroll.call" and (attempt is None or attempt.call is not None)):
            attempt = Attempt(device, session, p)
            attempts.append(attempt)
        elif kind == "est.enroll.result" and attempt is None:
            # The trace begins in the middle of this attempt.
            attempt = Attempt(device, session, p)
            attempts.append(attempt)
        if attempt is None:
            current.pop(device, None)
            owner[p] = None
            continue
        if kind == "est.enroll.call":
            attempt.call = p
        elif kind in ("est.enroll.result", "est.enroll.return") and attempt.result is None:
            attempt.result = p
        attempt.session = attempt.session or session
        attempt.lines[p] = "certain"
        current[device] = attempt
        last_line[device] = p
        owner[p] = attempt
    _give_unnamed(trace, ends, devices, named, owner, attempts)
    return attempts


def _give_unnamed(
    trace: Trace,
    ends: np.ndarray,
    devices: Sequence[object],
    named: list[int],
    owner: dict[int, Attempt | None],
    attempts: list[Attempt],
) -> None:
    """Give the lines that name no device to the attempt around them: certain where no other is under way."""
    if not attempts:
        return
    spans = sorted((min(a.lines), max(a.lines)) for a in attempts)
    starts = [s for s, _ in spans]
    longest = max(e - s for s, e in spans)

    def under_way(p: int) -> int:
        """Count the attempts whose first and last named line lie around ``p``, or just before it."""
        count = 0
        k = bisect_right(starts, p) - 1
        while k >= 0 and starts[k] >= p - longest - 1000:
            start, end = spans[k]
            if start <= p <= end or (end < p and trace.unrolled[p] - trace.unrolled[end] <= AFTERMATH):
                count += 1
            k -= 1
        return count

    def others_near(p: int, k: int, device: str) -> bool:
        """Tell whether a line of another device stands close by, of a session that need not enroll."""
        around = (*named[max(0, k - _AROUND) : k], *named[k : k + _AROUND])
        return any(devices[q] != device and abs(trace.unrolled[q] - trace.unrolled[p]) <= _CLOSE for q in around)

    ended: set[int] = set()
    final = {id(a): max(a.lines) for a in attempts}
    latest: dict[int, int] = {}
    for p in range(len(trace.rows)):
        if isinstance(devices[p], str):
            continue
        k = bisect_right(named, p)
        before = owner.get(named[k - 1]) if k else None
        if before is None or id(before) in ended:
            continue
        last = max(named[k - 1], latest.get(id(before), -1))
        within = p < final[id(before)]
        after = owner.get(named[k]) if k < len(named) else None
        alone = under_way(p) == 1 and not others_near(p, k, before.device)
        if within:
            # While CAPF waits for CES nothing happens in the phone's session: least of all does it end.
            waits = before.call is not None and before.call < p and (before.result is None or p < before.result)
            if after is before and not (waits and (ends[p] or not alone)):
                before.lines[p] = "certain" if alone else "likely"
        elif trace.unrolled[p] - trace.unrolled[last] <= AFTERMATH:
            apart = trace.unrolled[named[k]] - trace.unrolled[p] if k < len(named) else AFTERMATH
            if alone and apart > 0:
                before.lines[p] = "certain"
            elif ends[p] and trace.unrolled[p] == trace.unrolled[last]:
                before.lines[p] = "likely"
        if p in before.lines:
            latest[id(before)] = p
        if ends[p] and not within:
            ended.add(id(before))
