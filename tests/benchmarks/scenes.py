"""What happens in a generated bundle, and the pieces of text that the programs write of it.

All times are ms since the first day's midnight on the node. Chance is whole-number arithmetic on a seed and a number,
so that any stretch of time can be written without the one before it, and alike on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING, Literal

import numpy as np

from . import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["day", "storm"]
Piece = tuple[int, bytes]
"""What a program writes in one go, and when."""

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000

#: The first day's midnight on the node, whose zone is UTC-5, and how much IIS's clock is behind. (ms)
MIDNIGHT = datetime(2019, 1, 16, tzinfo=timezone(timedelta(hours=-5)))
UTC_MIDNIGHT, IIS_BEHIND = 5 * HOUR, 2400

#: The worker processes of CES.
WORKERS = tuple(range(31071, 31079))

#: In a storm phones come in waves: so many, twenty a second, and a pause until the next wave. (ms)
WAVE, WAVE_EVERY = 240, 24 * SECOND

#: A phone is met at most LEAD before CAPF calls EST for it, and is done with at most TAIL after the call.
LEAD, TAIL = 3_000, 15_000

# ---- chance, by arithmetic -----------------------------------------------------------------------------------------


def mixed(seed: int, stream: int, index: np.ndarray) -> np.ndarray:
    """Give a number of 64 bits for each index: the same one in every run, whatever was asked before (splitmix64)."""
    start = (seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) & 0xFFFF_FFFF_FFFF_FFFF
    with np.errstate(over="ignore"):
        x = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def spread(chance: np.ndarray, low: int, high: int) -> np.ndarray:
    """Turn chance into whole numbers from ``low`` to ``high``."""
    return (chance % np.uint64(high - low + 1)).astype(np.int64) + low


# ---- stamps --------------------------------------------------------------------------------------------------------

_CLOCK = [b"%02d:%02d:%02d" % (s // 3600, s // 60 % 60, s % 60) for s in range(86_400)]
_MILLI = [b".%03d" % n for n in range(1000)]


@lru_cache(maxsize=64)
def day_of(day: int, form: str) -> bytes:
    """Write a day, counted from the first one, as ``form`` says (strftime)."""
    return (MIDNIGHT + timedelta(days=day)).strftime(form).encode()


def capf_stamp(at: int) -> bytes:
    """Write ``14:05:04.628``."""
    return _CLOCK[at // 1000 % 86_400] + _MILLI[at % 1000]


def nginx_stamp(at: int) -> bytes:
    """Write ``2019/01/16 14:05:04``."""
    return day_of(at // DAY, "%Y/%m/%d ") + _CLOCK[at // 1000 % 86_400]


def access_stamp(at: int) -> bytes:
    """Write ``16/Jan/2019:14:05:04 -0500``."""
    return day_of(at // DAY, "%d/Jan/%Y:") + _CLOCK[at // 1000 % 86_400] + b" -0500"


def iis_stamp(at: int) -> bytes:
    """Write the UTC of IIS's own clock: ``2019-01-16 19:05:02``."""
    at += UTC_MIDNIGHT - IIS_BEHIND
    return day_of(at // DAY, "%Y-%m-%d ") + _CLOCK[at // 1000 % 86_400]


# ---- what happens --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Enrollments:
    """All enrollments in the order of CAPF's calls; times in ms as everywhere."""

    call: np.ndarray
    taken: np.ndarray
    fault: np.ndarray
    worker: np.ndarray
    reqid: np.ndarray
    chance: np.ndarray

    def starting(self, begin: int, end: int) -> range:
        """Give those whose phone may be met first from ``begin`` to before ``end``."""
        low, high = np.searchsorted(self.call, (begin + LEAD, end + LEAD))
        return range(int(low), int(high))


def is_fault(index: np.ndarray) -> np.ndarray:
    """Tell which enrollments the CA does not answer in time: one in fifty."""
    fault: np.ndarray = index % 50 == 13
    return fault


def storm_length(count: int) -> int:
    """Say how long it takes until so many phones have come, in ms."""
    return -(-count // WAVE) * WAVE_EVERY


def enrollments(kind: Kind, seed: int, count: int, begin: int, duration: int) -> Enrollments:
    """Place the enrollments: eight workers of CES do one at a time each, and a phone waits for a free one."""
    index = np.arange(count, dtype=np.int64)
    chance = mixed(seed, 1, index)
    if kind == "storm":
        wave, place = np.divmod(index, WAVE)
        arrival = wave * WAVE_EVERY + place * 50 + spread(chance, 0, 49)
        taken = spread(chance >> np.uint64(8), 180, 520)
    else:
        group, place = np.divmod(index, 4)
        together = mixed(seed, 2, group) % np.uint64(4) == 0
        room = duration - LEAD - TAIL
        alone = index * room // count + spread(chance, 0, max(room // count - 1, 0))
        arrival = np.where(together, group * 4 * room // count + place * 200, alone)
        taken = spread(chance >> np.uint64(8), 456, 973)
    fault = is_fault(index)
    taken = np.where(fault, spread(chance >> np.uint64(16), 10_026, 10_047), taken)
    arrival = np.maximum.accumulate(arrival + begin + LEAD)
    calls, workers = np.empty(count, np.int64), np.empty(count, np.int64)
    free = [(0, worker) for worker in range(len(WORKERS))]
    heapify(free)
    for i, (at, busy) in enumerate(zip(arrival.tolist(), taken.tolist(), strict=True)):
        ready, worker = free[0]
        call = max(at, ready)
        calls[i], workers[i] = call, worker
        heapreplace(free, (call + busy + 60, worker))
    posted = np.argsort(calls + taken * 7 // 10 + fault * DAY, kind="stable")
    reqid = np.empty(count, np.int64)
    reqid[posted] = index + 101
    return Enrollments(calls, taken, fault, workers, reqid, chance)


class Chatter:
    """Scenes spread evenly over the bundle's time; ``scene`` makes one of its number, its time and its chance."""

    def __init__(
        self,
        scene: Callable[[int, int, int], Iterator[Piece]],
        seed: int,
        stream: int,
        count: int,
        span: tuple[int, int],
    ) -> None:
        self.scene, self.count = scene, count
        self._seed, self._stream = seed, stream
        self._begin, self._length = span[0], span[1] - span[0]

    def times(self, index: np.ndarray) -> np.ndarray:
        """Say when scenes begin; a later one never begins earlier."""
        chance = mixed(self._seed, self._stream + 100, index)
        times: np.ndarray = self._begin + index * self._length // self.count
        times += spread(chance, 0, max(self._length // self.count - 1, 0))
        return times

    def before(self, at: np.ndarray) -> np.ndarray:
        """Count the scenes that begin before each time."""
        if not self.count:
            return np.zeros(len(at), np.int64)
        # Whole numbers are rounded down: the count by proportion may be one off to either side.
        count: np.ndarray = np.clip((at - self._begin) * self.count // self._length - 1, 0, self.count)
        for _ in range(3):
            count += (count < self.count) & (self.times(np.minimum(count, self.count - 1)) < at)
        return count

    def __call__(self, begin: int, end: int) -> Iterator[Piece]:
        """Make the scenes that begin from ``begin`` to before ``end``."""
        low, high = self.before(np.array([begin, end], np.int64)).tolist()
        index = np.arange(low, high, dtype=np.int64)
        chances = mixed(self._seed, self._stream, index).tolist()
        for number, at, chance in zip(range(low, high), self.times(index).tolist(), chances, strict=True):
            yield from self.scene(number, at, chance)


def filled(block: bytes, at: bytes, values: dict[bytes, bytes]) -> bytes:
    """Put the stamp and the values into a block."""
    block = block.replace(b"{stamp}", at)
    for name, value in values.items():
        block = block.replace(name, value)
    return block


def phone(number: int) -> bytes:
    """Name the phone of an enrollment: each has its own."""
    own = number * 0x9E37_79B1 & 0xFF_FFFF
    if number % 40 == 7:
        return b"CSFuser%06x" % own
    return (b"ATA0C75BD%06X" if number % 40 == 23 else b"SEP0C75BD%06X") % own


def capf_enrollments(all_of: Enrollments, *, full: bool) -> Callable[[int, int], Iterator[Piece]]:
    """Make CAPF's side of the enrollments."""
    issued, failed = blocks.capf_issued(full=full), blocks.capf_failed(full=full)

    def pieces(begin: int, end: int) -> Iterator[Piece]:
        for i in all_of.starting(begin, end):
            call, taken, chance = int(all_of.call[i]), int(all_of.taken[i]), int(all_of.chance[i])
            values = {
                b"{device}": phone(i),
                b"{session}": b"%d" % (1 + i % 400),
                b"{socket}": b"%d" % (5 + i % 400),
                b"{length}": b"%d" % (1947 + 4 * (chance % 10)),
            }
            met, key = call - 1800 - (chance >> 20) % 800, 1450 + (chance >> 32) % 300
            done = call + taken
            before = (met, met + 9, met + 97, met + key, call, done)
            if all_of.fault[i]:
                script = zip((*before, done + 6), failed, strict=True)
            else:
                after = (done + 66, done + 230, done + 336, done + 926)
                script = zip((*before, *after), issued, strict=True)
            for at, block in script:
                yield at, filled(block, capf_stamp(at), values)

    return pieces


def quiet_phone(number: int, at: int, chance: int) -> Iterator[Piece]:
    """Make a phone that CAPF has nothing to do for: one in three is looked up, the others keep their connection."""
    session = 401 + number % 300
    values = {
        b"{device}": b"SEP2C3ECF%06X" % (chance % 10_000 * 4_057),
        b"{session}": b"%d" % session,
        b"{socket}": b"%d" % (session + 4),
    }
    if number % 3 == 0:
        script = zip((at, at + 9, at + 88, at + 131), blocks.CAPF_QUIET, strict=True)
    else:
        script = zip((at, at + 2 + chance % 7), blocks.CAPF_ALIVE, strict=True)
    for when, block in script:
        yield when, filled(block, capf_stamp(when), values)


def nginx_enrollments(all_of: Enrollments, strangers: Chatter, *, full: bool) -> Callable[[int, int], Iterator[Piece]]:
    """Make CES's side of the enrollments; connections are counted over all that come, strangers too."""
    issued, failed = blocks.nginx_issued(full=full), blocks.nginx_failed(full=full)
    shares = (5, 12, 21, 57, 69, 79, 87, 93)

    def pieces(begin: int, end: int) -> Iterator[Piece]:
        chosen = all_of.starting(begin, end)
        others = strangers.before(all_of.call[chosen.start : chosen.stop]).tolist()
        for i, other in zip(chosen, others, strict=True):
            call, taken, chance = int(all_of.call[i]), int(all_of.taken[i]), int(all_of.chance[i])
            length, port = 1947 + 4 * (chance % 10), 32_768 + chance % 27_000
            if all_of.fault[i]:
                times: tuple[int, ...] = (call + 20, call + 48, call + 10_058)
                script = failed
            else:
                times = tuple(call + taken * share // 100 for share in shares)
                script = issued
            values = {
                b"{who}": b"%d#0: *%d" % (WORKERS[int(all_of.worker[i])], 2 * i + 2 + other),
                b"{first_port}": b"%d" % port,
                b"{port}": b"%d" % (port + 2 + chance % 20),
                b"{challenged}": access_stamp(times[0]),
                b"{received}": access_stamp(times[1]),
                b"{reqid}": b"%d" % all_of.reqid[i],
                b"{content}": b"%d" % (length - 51),
                b"{length}": b"%d" % length,
            }
            for at, block in zip(times, script, strict=True):
                yield at, filled(block, nginx_stamp(at), values)

    return pieces


def strangers_to(all_of: Enrollments) -> Callable[[int, int, int], Iterator[Piece]]:
    """Make strangers at CES's port: scanners, monitors, browsers."""

    def stranger(number: int, at: int, chance: int) -> Iterator[Piece]:
        connection = number + 1 + 2 * int(np.searchsorted(all_of.call, at, side="right"))
        block = blocks.STRANGERS[chance % len(blocks.STRANGERS)]
        values = {
            b"{who}": b"%d#0: *%d" % (WORKERS[chance >> 8 & 7], connection),
            b"{client}": b"10.%d.%d.%d" % (20 + (chance >> 16) % 9, chance >> 24 & 255, chance >> 32 & 255),
            b"{path}": blocks.PATHS[(chance >> 40) % len(blocks.PATHS)],
        }
        if block.startswith(b"***"):
            values[b"{port}"] = b"%d" % (32_768 + (chance >> 44) % 28_000)
            values[b"{challenged}"] = access_stamp(at)
        yield at, filled(block, nginx_stamp(at), values)

    return stranger


def iis_enrollments(all_of: Enrollments) -> Callable[[int, int], Iterator[Piece]]:
    """Make the CA's side of the enrollments: CES's seven requests."""
    shares = (16, 20, 56, 62, 68, 78, 86)

    def pieces(begin: int, end: int) -> Iterator[Piece]:
        for i in all_of.starting(begin, end):
            call, taken = int(all_of.call[i]), int(all_of.taken[i])
            if all_of.fault[i]:
                yield call + 10_066, iis_stamp(call + 10_066) + blocks.IIS_FAILED
                continue
            values = {
                b"{reqid}": b"%d" % all_of.reqid[i],
                b"{form}": b"%d" % (taken * 36 // 100),
                b"{post}": b"%d" % (14 + int(all_of.chance[i]) % 30),
            }
            for share, block in zip(shares, blocks.IIS_ISSUED, strict=True):
                at = call + taken * share // 100
                yield at, filled(iis_stamp(at) + block, b"", values)

    return pieces


def other_site(_number: int, at: int, chance: int) -> Iterator[Piece]:
    """Make a request that is nothing to do with phones."""
    rare = chance & 255 == 255
    kinds = range(blocks.RARE, len(blocks.IIS_OTHERS)) if rare else range(blocks.RARE)
    before, after, ending, numbered = blocks.IIS_OTHERS[kinds[(chance >> 8) % len(kinds)]]
    user = b"-" if b" 401 " in ending or after.endswith(b" 80 ") else b"MICHAMEN\\u%05d" % ((chance >> 16) % 4_000)
    yield (
        at,
        b"%b%b%b%b%b 10.20.%d.%d%b%d\r\n"
        % (
            iis_stamp(at),
            before,
            b"%d" % ((chance >> 28) % 9_999_991) if numbered else b"",
            after,
            user,
            chance >> 32 & 63,
            chance >> 38 & 255,
            ending,
            (chance >> 46) % 97 if chance >> 62 else (chance >> 46) % 2_900,
        ),
    )
