"""Whole sites with many phones at once, and the truth of whose each line of error.log and of IIS is.

``site(seed)`` lets a site live, event by event in ms: phones that come to CAPF, CES's workers that serve one request at
a time while they wait for the CA, the CA's web server. It is written from the documents (domain.md, the published and
the real logs), apart from what joins the lines in capflog; ``measure`` tells how well that does. All chance comes of
the seed. Times are ms since 1970-01-01 UTC on the node's clock.

``python -m tests.sites --measure 40 --rate 5 --workers 4`` runs capflog on so many, ``--seed 3 --out x.zip`` writes a
bundle, ``--seed 3 --wrong`` shows which lines were put to whom they are not of.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import random
import sys
import zipfile
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from tests.benchmarks import blocks
from tests.scenes import BROWSER, CES_AGENT, FIELDS, Held, analyzed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from capflog.analysis import Analysis
    from capflog.model import Enrollment

Outcome = Literal["issued", "failed", "incomplete"]
LogName = Literal["capf", "nginx", "ciscora", "iis"]
Place = tuple[str, int]
"""A physical line: its member and its number, from 1."""

SECOND, MINUTE, HOUR, DAY = 1000.0, 60_000.0, 3_600_000.0, 86_400_000.0

#: What EST's client waits for an answer, and curl within CES for each of its calls.
CAPF_WAITS, CURL_WAITS = 10 * SECOND, 10 * SECOND

#: The addresses of another cluster's CES; the tick of Windows' coarse clock.
NEIGHBOUR, TICK = "14.49.31.125", 15.625

#: What may go wrong with a request to CES, and the faults of CES itself.
FATES = (
    "template",
    "login",
    "login timeout",
    "form timeout",
    "second timeout",
    "post timeout",
    "fetch timeout",
    "denied",
    "pending",
)
Fate = str

# ---- choices -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen or drawn for a site; each can be given to :func:`site`."""

    rate: float
    """Phones a second."""
    phones: int
    """So many come (and some of them again)."""
    wave: int
    """They come in waves of so many, each within some seconds (0: one by one); the rate stays."""
    workers: int
    """Of NGINX."""
    zone: int
    """Of the node: local time minus UTC, in s."""
    cached: bool
    """NGINX stamps with the time at which the worker's event loop woke, else with the time of the record."""
    level: Literal["info", "warn", "error"]
    """From which level on NGINX logs."""
    access: bool
    """libEST logs its answers (``log_access``, ``log_header``)."""
    trace: bool
    """libEST prints a backtrace after warnings and errors."""
    told: bool
    """CES tells of the post and of the certificate, which no publication shows; else of logins and form alone."""
    patience: Literal["read", "any"]
    """CAPF's ten seconds: from its request on (a handshake that stalls hangs, as libEST 2.1.0 does), or in all."""
    pace: float
    """All latencies are so many times the usual ones."""
    form: float
    """Usual time of the CA's form, in ms."""
    slots: int
    """IIS answers so many at once."""
    slow: float
    """Share of the time in which the CA is three to thirty times as slow."""
    offset: float
    """How much IIS's clock is ahead of the node's at first, in s; what it gains: in ppm."""
    drift: float
    timer: float
    """The tick of the clock that time-taken is measured by, in ms; 0: fine."""
    faults: float
    """Share of requests that the CA does not serve, by ``kinds``."""
    kinds: tuple[Fate, ...]
    retries: int
    """So often does a phone that failed come again, after 30 s each."""
    again: float
    """Share of phones that come once more, to renew (simplereenroll)."""
    gone: float
    """Share of phones that go away within their session."""
    starts: int
    """Starts of CES (0: before the logs begin); all but the first are in the middle and cut off what is under way."""
    down: Literal["", "refused", "silent"]
    """CES fails to start for a while: its port is closed, or nobody serves it."""
    neighbour: float
    """Another cluster's CES asks the same IIS: so many times as often."""
    others: float
    """What people, monitors and strangers do, in so many times of a little."""
    logs: tuple[LogName, ...]
    cut: float
    """Share of CES's requests for phones that IIS's log lacks in front (it begins late), or, below zero, at its end."""
    rotated: bool
    """error.log was rotated; a worker that waits for the CA goes on in the old one."""
    lost: float
    """Share of all lines that are lost."""
    ends: bool
    """The logs end while phones are under way."""


def _log_uniform(chance: random.Random, low: float, high: float) -> float:
    return math.exp(chance.uniform(math.log(low), math.log(high)))


def _weighted(chance: random.Random, *pairs: tuple[Any, float]) -> Any:
    return chance.choices([value for value, _ in pairs], [weight for _, weight in pairs])[0]


_ALL: tuple[LogName, ...] = ("capf", "nginx", "ciscora", "iis")

#: How each choice is drawn.
DRAWS: dict[str, Callable[[random.Random], Any]] = {
    "rate": lambda c: round(_log_uniform(c, 0.01, 20), 3),
    "phones": lambda c: round(_log_uniform(c, 40, 160)),
    "wave": lambda c: _weighted(c, (0, 7), (c.randint(5, 40), 3)),
    "workers": lambda c: _weighted(c, (1, 3), (2, 2), (4, 3), (8, 2)),
    "zone": lambda c: c.choice((-28_800, -18_000, -18_000, -14_400, 0, 3_600, 7_200, 19_800, 34_200)),
    "cached": lambda c: c.random() < 0.5,
    "level": lambda c: _weighted(c, ("info", 85), ("warn", 5), ("error", 10)),
    "access": lambda c: c.random() < 0.9,
    "trace": lambda c: c.random() < 0.3,
    "told": lambda c: c.random() < 0.8,
    "patience": lambda c: c.choice(("read", "any")),
    "pace": lambda c: round(_weighted(c, (1.0, 7), (c.uniform(0.5, 1.5), 2), (c.uniform(2, 5), 1)), 2),
    "form": lambda c: round(_weighted(c, (_log_uniform(c, 20, 400), 9), (c.uniform(1000, 4000), 1))),
    "slots": lambda c: _weighted(c, (25, 5), (c.randint(1, 8), 5)),
    "slow": lambda c: round(_weighted(c, (0.0, 7), (c.uniform(0.03, 0.3), 3)), 3),
    "offset": lambda c: round(
        c.choice((-1, 1)) * _weighted(c, (c.uniform(0, 1), 3), (c.uniform(1, 20), 6), (c.uniform(60, 400), 1)), 3
    ),
    "drift": lambda c: round(c.uniform(-20, 20), 1),
    "timer": lambda c: _weighted(c, (0.0, 6), (TICK, 4)),
    "faults": lambda c: round(_weighted(c, (0.0, 4), (c.uniform(0.01, 0.1), 4), (c.uniform(0.1, 0.5), 2)), 3),
    "kinds": lambda c: tuple(c.sample(FATES, c.randint(1, 4))),
    "retries": lambda c: _weighted(c, (0, 2), (3, 8)),
    "again": lambda c: round(_weighted(c, (0.0, 6), (c.uniform(0.05, 0.3), 4)), 3),
    "gone": lambda c: round(_weighted(c, (0.0, 5), (c.uniform(0.01, 0.1), 5)), 3),
    "starts": lambda c: _weighted(c, (0, 2), (1, 6), (2, 2)),
    "down": lambda c: _weighted(c, ("", 8), ("refused", 1), ("silent", 1)),
    "neighbour": lambda c: round(_weighted(c, (0.0, 8), (c.uniform(0.1, 1), 2)), 2),
    "others": lambda c: _weighted(c, (0.0, 2), (1.0, 6), (4.0, 2)),
    "logs": lambda c: _weighted(
        c,
        (_ALL, 70),
        (("capf", "nginx", "iis"), 8),
        (("capf", "ciscora", "iis"), 7),
        (("capf", "nginx", "ciscora"), 7),
        (("nginx", "ciscora", "iis"), 8),
    ),
    "cut": lambda c: round(_weighted(c, (0.0, 8), (c.uniform(0.05, 0.5), 1), (-c.uniform(0.05, 0.5), 1)), 3),
    "rotated": lambda c: c.random() < 0.2,
    "lost": lambda c: round(_weighted(c, (0.0, 8), (c.uniform(0, 0.01), 2)), 4),
    "ends": lambda c: c.random() < 0.4,
}

#: A site on which nothing goes wrong and nothing is lacking, for measurements of what crowds alone do.
PLAIN: dict[str, Any] = {
    "wave": 0,
    "level": "info",
    "access": True,
    "pace": 1.0,
    "slow": 0.0,
    "faults": 0.0,
    "again": 0.0,
    "gone": 0.0,
    "starts": 1,
    "down": "",
    "neighbour": 0.0,
    "others": 1.0,
    "logs": _ALL,
    "cut": 0.0,
    "rotated": False,
    "lost": 0.0,
    "ends": False,
}


def draw(seed: int, given: Mapping[str, Any]) -> Choices:
    """Draw what is not given; no choice depends on another."""
    if unknown := set(given) - set(DRAWS):
        raise TypeError(f"no such choice: {', '.join(sorted(unknown))}")
    root = random.Random(f"{seed} choices")
    drawn = {name: how(random.Random(root.getrandbits(64))) for name, how in DRAWS.items()}
    return Choices(**{**drawn, **given})


# ---- what is true --------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Enrolled:
    """A call of EST for a phone, as it really was.

    ``rv``: what EST told CAPF (None: CAPF did not live to see it); ``step``: the last step that succeeded, by the names
    of the report's contract; ``done``: the end of all that was done for it, on whichever host. ``outcome`` is as
    CAPF's log shows it, None where lines of it are lost. ``others``: how many more were under way at its busiest.
    """

    device: str
    call: float
    fate: Fate = ""
    renews: bool = False
    result: float | None = None
    rv: int | None = None
    step: str = "call"
    done: float = 0.0
    outcome: Outcome | None = "incomplete"
    others: int = 0
    called: Place | None = None
    """CAPF's line of the call."""

    @property
    def tag(self) -> str:
        return f"{self.device}@{self.call:.0f}"


class Served(NamedTuple):
    """A connection that a worker dealt with, from waking up for it to its end."""

    start: int
    pid: int
    number: int
    woke: float
    begin: float
    end: float
    of: Enrolled | None


@dataclass(slots=True)
class Truth:
    """Whose each line of error.log and of IIS is (None: nobody's), when it was written, and what happened."""

    owners: dict[Place, str | None] = field(default_factory=dict)
    times: dict[Place, float] = field(default_factory=dict)
    enrollments: list[Enrolled] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    begin: float = 0.0
    offset: float = 0.0
    drift: float = 0.0

    def ahead(self, at: float) -> float:
        """Say how much IIS's clock is ahead of the node's, in ms."""
        return self.offset * SECOND + (at - self.begin) * self.drift * 1e-6


@dataclass(slots=True)
class Site:
    """The logs of a site, and the truth about them."""

    seed: int
    choices: Choices
    members: list[Held]
    truth: Truth
    sources: dict[str, LogName]


# ---- time passes ---------------------------------------------------------------------------------------------------


class Signal:
    """Something that others wait for; it happens once."""

    __slots__ = ("happened", "waiting")

    def __init__(self) -> None:
        self.happened = False
        self.waiting: list[tuple[Task, int]] = []


class Wait(NamedTuple):
    """Wait for a signal; False is given back where it has not happened within so many ms."""

    signal: Signal
    most: float = math.inf


_Given = TypeVar("_Given")
Steps = Generator["float | Wait", bool, _Given]
"""What somebody does: each step says how long it takes, or what is waited for."""


class Task:
    """Somebody who does something, until it is done or ended."""

    __slots__ = ("ended", "steps", "turn")

    def __init__(self, steps: Steps[None]) -> None:
        self.steps = steps
        self.turn = 0
        self.ended = False


class Engine:
    """Lets time pass from event to event."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._heap: list[tuple[float, int, Task, int, bool]] = []
        self._count = 0

    def _later(self, at: float, task: Task, *, value: bool) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, task, task.turn, value))

    def start(self, steps: Steps[None], at: float | None = None) -> Task:
        task = Task(steps)
        self._later(self.now if at is None else at, task, value=True)
        return task

    def fire(self, signal: Signal) -> None:
        if signal.happened:
            return
        signal.happened = True
        for task, turn in signal.waiting:
            if task.turn == turn:
                self._later(self.now, task, value=True)

    def run(self, until: float) -> None:
        """Let time pass to that moment; what would be later stays undone."""
        heap = self._heap
        begun: set[Task] = set()
        while heap and heap[0][0] <= until:
            self.now, _, task, turn, value = heapq.heappop(heap)
            if task.ended or task.turn != turn:
                continue
            task.turn += 1
            try:
                asked = task.steps.send(value) if task in begun else next(task.steps)
                begun.add(task)
            except StopIteration:
                task.ended = True
                begun.discard(task)
                continue
            if not isinstance(asked, Wait):
                self._later(self.now + asked, task, value=True)
                continue
            if asked.signal.happened:
                self._later(self.now, task, value=True)
                continue
            asked.signal.waiting.append((task, task.turn))
            if asked.most < math.inf:
                self._later(self.now + asked.most, task, value=False)
        self.now = max(self.now, until)


# ---- what is written -----------------------------------------------------------------------------------------------


class Written(NamedTuple):
    """What a program writes in one go, when, whose it is, and into which part of a log."""

    at: float
    order: int
    text: str
    of: Enrolled | None
    part: int


class Log:
    """What programs wrote into a log, in any order; its lines stand in that of time."""

    def __init__(self) -> None:
        self.pieces: list[Written] = []

    def say(self, at: float, text: str, of: Enrolled | None = None, part: int = 0) -> None:
        self.pieces.append(Written(at, len(self.pieces), text, of, part))


@dataclass(slots=True, eq=False)
class Request:
    """A request to IIS; ``ending``: its status and companions; ``left``: who asked has gone before the answer."""

    text: str
    who: str
    ending: str
    begin: float
    of: Enrolled | None
    answered: Signal = field(default_factory=Signal)
    reqid: int = 0
    left: bool = False


@dataclass(slots=True, eq=False)
class Connection:
    """A connection to CES's port; ``of`` None: a stranger's."""

    of: Enrolled | None
    basic: bool = False
    port: int = 0
    number: int = 0
    shaken: Signal = field(default_factory=Signal)
    answered: Signal = field(default_factory=Signal)
    status: int = 0
    gone: bool = False


@dataclass(slots=True, eq=False)
class Worker:
    """A process of NGINX's."""

    pid: int
    woken: Signal = field(default_factory=Signal)
    woke: float = 0.0
    ready: list[Connection] = field(default_factory=list)
    part: int = 0


#: The usual range of what takes time, in ms; each site has its own within it, each time some more or less.
HOPS: dict[str, tuple[float, float]] = {
    "call": (0.5, 8),
    "tls": (4, 40),
    "work": (0.3, 3),
    "ca tls": (8, 50),
    "net": (0.2, 3),
    "login": (0.2, 4),
    "next": (0.2, 1.5),
    "post": (10, 300),
    "fetch": (0.5, 20),
    "pkcs7": (1, 15),
    "convert": (15, 80),
    "store": (100, 700),
    "key": (800, 4_000),
}

_EST = "/.well-known/est/simple"
_HANDSHAKING = f" while SSL EST handshaking, client: {blocks.NODE}, server: 0.0.0.0:8084"
_CERTSRV = f"https://{blocks.HOST}:443/certsrv"
_DONE = "Secure connection to MS CertServ completed successfully using the following URL "
_FRAMES = (
    "/usr/local/thirdparty/nginx/install/sbin/nginx(+0x1224a) [0x560037b5024a]",
    "/usr/lib64/libest-2.2.0.so(+0x1a169) [0x7f2598858169]",
    "/usr/lib64/libc.so.6(+0x891f5) [0x7f25982771f5]",
)
_HIDDEN = {"info": frozenset[str](), "warn": {"info", "notice"}, "error": {"info", "notice", "warn"}}
_ERRORS = {
    9: "EST_ERR_BAD_PKCS10",
    0: "EST_ERR_NONE",
    10: "EST_ERR_HTTP_WRITE",
    13: "EST_ERR_HTTP_BAD_REQ",
    22: "EST_ERR_AUTH_FAIL",
    25: "EST_ERR_CA_ENROLL_FAIL",
    26: "EST_ERR_CA_ENROLL_RETRY",
    35: "EST_ERR_SSL_READ",
    43: "EST_ERR_IP_CONNECT",
}
_PAGES = {
    400: "[Error 400: Bad Request\nInvalid or corrupted pkcs10 request.\n]",
    401: "[Error 401: Unauthorized\nThe server was unable to authorize the request.\n]",
}
#: What EST's client makes of CES's answer.
_TOLD = {200: 0, 202: 26, 400: 13, 401: 22}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (wall time: of which zone, the caller knows)


class World:
    """A site that lives: phones, CAPF, CES with its workers, the CA's web server and who else asks it."""

    def __init__(self, seed: int, choices: Choices) -> None:
        self.choices = choices
        self.chance = random.Random(f"{seed} world")
        chance = self.chance
        self.usual = {hop: _log_uniform(chance, *HOPS[hop]) * choices.pace for hop in HOPS}
        self.usual["form"] = choices.form * choices.pace
        day = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(6 * 365 * 86_400))
        self.begin = day.timestamp() * SECOND + chance.random() * SECOND
        self.engine = Engine(self.begin - 15 * MINUTE)
        self.logs: dict[LogName, Log] = {"capf": Log(), "nginx": Log(), "iis": Log(), "ciscora": Log()}
        self.ciscora: list[Log] = []
        self.enrolled: list[Enrolled] = []
        self.served: list[Served] = []
        self.trusted = chance.sample(("/O=Cisco/CN=ACT2 SUDI CA", "/O=Cisco Systems/CN=Cisco Root CA 2048"), 2)
        self.trusted = [*self.trusted[: chance.choice((0, 0, 1, 2))], blocks.CA]
        self.last_first = chance.random() < 0.5
        self.answer = chance.choice(("-1 0", "-1 0", "200 0"))
        self.rc10 = chance.choice((1.0, 1.0, 0.7))
        # CES
        self.up: Literal["up", "refused", "silent"] = "up"
        self.start = 0
        self.master = 0
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []
        self.backlog: deque[Connection] = deque()
        self.connections = 0
        self.tasks: list[Task] = []
        self.part = 0
        # CAPF
        self.capf_up = True
        self.sessions: set[int] = set()
        self.present: set[str] = set()
        # The CA
        self.busy = 0
        self.queue: deque[Signal] = deque()
        self.reqid = chance.randint(8, 4_000)
        arrivals = self._arrivals()
        self.last = arrivals[-1][0]
        self.spells = self._spells()
        self._plan(arrivals)

    def took(self, hop: str) -> float:
        """Draw how long it takes this time."""
        took = self.usual[hop] * math.exp(self.chance.gauss(0, 0.3))
        if self.chance.random() < 0.01:
            took *= self.chance.uniform(2, 12)
        return max(took, 0.05)

    def gap(self) -> float:
        """Draw the time between two lines that a program writes at once; now and then another process has the CPU."""
        gap = 0.004 + 0.02 * self.chance.random()
        return gap + self.chance.uniform(0.3, 4) if self.chance.random() < 0.004 else gap

    # Plans

    def _arrivals(self) -> list[tuple[float, str, bool]]:
        """Say when which phones come, and whether to renew."""
        chance, choices = self.chance, self.choices
        at, found = self.begin, []
        devices = [f"SEP{n:012X}" for n in chance.sample(range(0x0C75BD000000, 0x0C75BDFFFFFF), choices.phones)]
        spread = choices.wave / chance.uniform(2, 20) * SECOND if choices.wave else 0.0
        for n, device in enumerate(devices):
            if not choices.wave:
                at += chance.expovariate(choices.rate) * SECOND
            elif n % choices.wave == 0 and n:
                at += max(chance.expovariate(choices.rate / choices.wave) * SECOND, spread + 5 * SECOND)
            found.append((at + chance.random() * spread, device, False))
        span = max(at - self.begin, 2 * MINUTE)
        for when, device, _ in list(found):
            if chance.random() < choices.again:
                found.append((when + chance.uniform(2 * MINUTE, span + 3 * MINUTE), device, True))
        return sorted(found)

    def _spells(self) -> list[tuple[float, float, float]]:
        """Draw when the CA is slow, and how slow."""
        chance, found, at = self.chance, [], self.begin
        while self.choices.slow and at < self.last + 10 * MINUTE:
            length = _log_uniform(chance, 2, 60) * SECOND
            at += chance.expovariate(self.choices.slow / length)
            found.append((at, at + length, _log_uniform(chance, 3, 30)))
            at += length
        return found

    def _plan(self, arrivals: Sequence[tuple[float, str, bool]]) -> None:
        chance, choices, engine = self.chance, self.choices, self.engine
        span = self.last - self.begin
        if choices.starts:
            engine.start(self._starts(), self.begin - chance.uniform(130, 600) * SECOND)
        else:
            self._workers_start(chance.randint(3_000, 30_000), said=False)
        for _ in range(1, choices.starts):
            engine.start(self._starts(), self.begin + chance.uniform(0.3, 0.7) * span)
        if choices.down:
            engine.start(self._fails(choices.down), self.begin + chance.uniform(0.2, 0.8) * span)
        if choices.rotated:
            engine.start(self._rotates(), self.begin + chance.uniform(0.2, 0.8) * span)
        for at, device, renews in arrivals:
            engine.start(self._phone(device, renews=renews), at)
        end = self.last + MINUTE
        self._others(end)
        if choices.ends:
            self.end = self.begin + span * chance.uniform(0.5, 0.95)
        else:
            self.end = self.last + 2 * HOUR

    def live(self) -> None:
        self.engine.run(self.end)

    # CAPF

    def _capf(self, block: bytes, names: Mapping[str, object], of: Enrolled | None = None) -> float:
        """Write a block of CAPF's trace; gives how long that took."""
        text, at = block.decode("latin-1"), self.engine.now
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", str(value))
        for piece in text.split("{stamp}")[1:]:
            self.logs["capf"].say(at, piece, of)
            at += self.gap()
        return at - self.engine.now

    def _phone(self, device: str, *, renews: bool) -> Steps[None]:
        """A phone comes to CAPF, again if that failed; to renew, not before it is done with the first time."""
        while device in self.present:
            yield 10 * SECOND
        self.present.add(device)
        yield from self._tries(device, renews=renews)
        self.present.discard(device)

    def _tries(self, device: str, *, renews: bool) -> Steps[None]:
        for _ in range(1 + self.choices.retries):
            while not self.capf_up:
                yield 30 * SECOND
            ended = Signal()
            session = [False]
            self.tasks.append(self.engine.start(self._session(device, ended, session, renews=renews)))
            yield Wait(ended, 5 * MINUTE)
            if session[0]:
                return
            yield 30 * SECOND + self.chance.uniform(0, 400)

    def _session(self, device: str, ended: Signal, good: list[bool], *, renews: bool) -> Steps[None]:
        chance = self.chance
        number = next(n for n in range(1, 1 << 20) if n not in self.sessions)
        self.sessions.add(number)
        names: dict[str, object] = {"session": number, "device": device, "socket": number + 4}
        names["length"] = 1947 + 4 * chance.randrange(10)
        issued, failed = blocks.capf_issued(full=True), blocks.capf_failed(full=True)
        leaves = chance.random() < self.choices.gone
        yield self._capf(issued[0], names)
        yield chance.uniform(4, 15)
        yield self._capf(issued[1], names)
        yield chance.uniform(20, 90)
        yield self._capf(issued[2], names)
        yield self.took("key")
        if leaves and chance.random() < 0.4:
            yield self._capf(failed[6], names)
            good[0] = True
        else:
            yield self._capf(issued[3], names)
            yield chance.uniform(1, 40)
            enrolled = Enrolled(device, self.engine.now, renews=renews)
            self.enrolled.append(enrolled)
            if chance.random() < self.choices.faults:
                enrolled.fate = chance.choice(self.choices.kinds)
            yield self._capf(issued[4], names, enrolled)
            rv = yield from self._est_client(enrolled)
            enrolled.rv, enrolled.result = rv, self.engine.now
            enrolled.done = max(enrolled.done, self.engine.now)
            if rv == 0:
                enrolled.step = "answer"
                yield self._capf(issued[5], names, enrolled)
                yield self.took("convert")
                yield self._capf(issued[6], names, enrolled)
                good[0] = True
                if not leaves:
                    yield self.took("store")
                    yield self._capf(issued[7], names, enrolled)
                    yield chance.uniform(40, 120)
                    yield self._capf(issued[8], names, enrolled)
                yield chance.uniform(200, 600)
                yield self._capf(issued[9], names, enrolled)
            else:
                text = failed[5].replace(b"35 (EST_ERR_SSL_READ)", f"{rv} ({_ERRORS[rv]})".encode())
                text = text.replace(b"enrollCertUsingEST() : 35", f"enrollCertUsingEST() : {rv}".encode())
                yield self._capf(text, names, enrolled)
                yield chance.uniform(2, 30)
                yield self._capf(failed[6], names, enrolled)
        self.sessions.discard(number)
        self.engine.fire(ended)

    def _est_client(self, enrolled: Enrolled) -> Steps[int]:
        """CAPF's thread asks CES: once to be challenged, once with its credentials; gives what libEST returns."""
        chance, ends = self.chance, self.engine.now + CAPF_WAITS
        for basic in (False, True):
            yield self.took("call")
            if self.up == "refused":
                return 43
            connection = Connection(enrolled, basic, chance.randint(32_768, 60_999))
            self._comes(connection)
            if self.choices.patience == "any":
                answered = yield Wait(connection.answered, ends - self.engine.now)
            else:
                if self.up == "silent":
                    yield CAPF_WAITS
                    return 35
                yield Wait(connection.shaken)
                answered = yield Wait(connection.answered, CAPF_WAITS)
            if not answered:
                connection.gone = True
                yield chance.uniform(1, 30)
                return 35
            enrolled.step = max(enrolled.step, "connect", key=_STEPS.index)
            yield chance.uniform(0.2, 2)
            if basic:
                return _TOLD[connection.status]
        raise AssertionError

    # CES: its processes

    def note(self, worker: Worker | None, level: str, text: str, of: Enrolled | None = None, at: float = 0.0) -> None:
        """Write a record of NGINX's at once, of a worker or of its master."""
        if level in _HIDDEN[self.choices.level]:
            return
        at = at or self.engine.now
        stamped = worker.woke if worker is not None and self.choices.cached else at
        pid, part = (worker.pid, worker.part) if worker is not None else (self.master, self.part)
        self.logs["nginx"].say(at, f"{self.nginx_stamp(stamped)} [{level}] {pid}#0: {text}\n", of, part)

    def nginx_stamp(self, at: float) -> str:
        return f"{_wall(at, self.choices.zone):%Y/%m/%d %H:%M:%S}"

    def _starts(self) -> Steps[None]:
        """CAPF starts and starts CES anew; what either was about is cut off."""
        chance = self.chance
        self.capf_up = False
        for task in self.tasks:
            task.ended = True
        self.tasks.clear()
        self.sessions.clear()
        if self.workers:
            self._stops()
        init, online = "CServiceParameters::Init()", "CServiceParameters::OnlineCAInit()"
        say = self.logs["capf"].say
        say(self.engine.now, f" |   {init} Certificate Generation Method=OnlineCA:4\n")
        say(self.engine.now + 4, f" |-->{online}\n")
        say(self.engine.now + 34, f" |   {online} Online CA hostname is {blocks.HOST}\n")
        say(self.engine.now + 192, f" |   {online} Reading CAPF Service Parameters done\n")
        say(self.engine.now + 192, f" |<--{online}\n")
        yield chance.uniform(9, 30) * SECOND
        yield from self._ces_starts("")
        self.up = "up"
        yield chance.uniform(20, 50) * SECOND
        asked = "Cisco RA Service Start Initiated. Please check NGINX logs for further details"
        say(self.engine.now, f" |   {init} {asked}\n")
        yield 490.0
        for text in ("-->debug", "   debug est_client_set_auth() Successful!!", "<--debug"):
            say(self.engine.now, f" |{text}\n")
        self.capf_up = True

    def _stops(self) -> None:
        now = self.engine.now
        self.note(None, "notice", "signal 15 (SIGTERM) received from 3127, exiting")
        for worker in self.workers:
            worker.woke = now
            self.note(worker, "notice", "exiting")
            self.note(worker, "notice", "exit")
        self.workers, self.idle = [], []
        self.backlog.clear()

    def _fails(self, how: Literal["refused", "silent"]) -> Steps[None]:
        """CES is restarted and fails for a while; what it was about is cut off, CAPF lives on."""
        if not self.workers or not self.capf_up:
            return
        self.up, start = how, self.start
        under_way = list(self.workers)
        while any(worker not in self.idle for worker in under_way):
            # (systemd's stop waits for them)
            yield 50.0
        if self.start != start:
            return
        self._stops()
        yield self.chance.uniform(2, 10) * SECOND
        yield from self._ces_starts(
            "Curl call for MS CA login failed with return code 60 "
            "(SSL certificate problem: unable to get local issuer certificate)"
        )
        yield self.chance.uniform(15, 90) * SECOND
        if self.capf_up and self.start == start + 1:
            yield from self._ces_starts("")
            self.up = "up"

    def _ces_starts(self, fault: str) -> Steps[None]:
        """CES starts: its lines in the CiscoRA log, their twins in error.log, what it asks the CA."""
        chance, log = self.chance, Log()
        self.ciscora.append(log)
        pid = chance.randint(3_000, 30_000)
        self.start += 1
        nginx = self.logs["nginx"]

        def both(level: str, text: str) -> None:
            log.say(self.engine.now, f"nginx: [{level}] {text}\n")
            if level not in _HIDDEN[self.choices.level]:
                stamp = self.nginx_stamp(self.engine.now)
                nginx.say(self.engine.now, f"{stamp} [{level}] {pid}#0: {text}\n", None, self.part)

        def noted(text: str) -> None:
            if self.choices.level == "info":
                stamp = self.nginx_stamp(self.engine.now)
                nginx.say(self.engine.now, f"{stamp} [info] {pid}#0: {text}\n", None, self.part)

        both("warn", "CA Chain requested but this value has not yet been set")
        both("warn", "CA Cert response requested but this value has not yet been set")
        yield chance.uniform(30, 200)
        for subject in self.trusted:
            both("warn", f"ossl_init_cert_store: Adding cert to store ({subject})")
        yield self.took("ca tls")
        if fault:
            both("warn", f"login_to_certsrv_ca: {fault}")
            both("warn", f"login_to_certsrv_ca: URL used: {_CERTSRV}")
            both("error", "retrieve_cacerts: Unable to execute login to certsrv with curl")
            both("warn", "ra_certsrv_ca_plugin_postconf: Unable to retrieve CA Cert chain from CA")
        else:
            client = Client(self, blocks.NODE, None)
            yield from client.login()
            noted(f"login_to_certsrv_ca: {_DONE}{_CERTSRV}")
            yield from client.get("/certnew.p7b", "ReqID=CACert&Renewal=0&Enc=bin", "fetch")
            noted(f"retrieve_cacerts: {_DONE}{_CERTSRV}/certnew.p7b?ReqID=CACert&Renewal=0&Enc=bin")
            noted("ra_certsrv_ca_plugin_postconf: CA Cert chain retrieved from CA, will be passed to EST")
        yield 2.0
        for text in (
            "est_log_version:216]--> libest 2.2.0 (API level 4)",
            "set_ssl_option:1432]--> TLS SRP not enabled",
        ):
            log.say(self.engine.now, f"***EST [INFO][{text}\n")
        both("warn", "pop_enabled off in nginx.conf. Disabling EST Proof of Possession")
        yield 15.0
        log.say(self.engine.now, f"EnrollmentService.sh : nginx server PID value = {pid + 3}\n")
        if not fault:
            self._workers_start(pid, said=True)

    def _workers_start(self, pid: int, *, said: bool) -> None:
        self.master = pid + 3
        self.workers = [Worker(self.master + n, part=self.part) for n in range(1, self.choices.workers + 1)]
        self.connections = 0 if said else self.chance.randint(0, 500)
        if said:
            self.note(None, "notice", "start worker processes")
        for worker in self.workers:
            if said:
                self.note(None, "notice", f"start worker process {worker.pid}")
            self.tasks.append(self.engine.start(self._work(worker)))

    def _rotates(self) -> Steps[None]:
        """error.log is moved away and NGINX told to open it anew: a worker does when it is back in its event loop."""
        if self.workers:
            self.part = 1
            self.note(None, "notice", "signal 10 (SIGUSR1) received from 22120, reopening logs")
            self.note(None, "notice", "reopening logs")
            for worker in self.idle:
                worker.part, worker.woke = self.part, self.engine.now
                self.note(worker, "notice", "reopening logs")
        yield 0.0

    # CES: its connections

    def _comes(self, connection: Connection) -> None:
        """The kernel takes a connection; one of the workers that wait for any wakes up."""
        if self.up != "up" or not self.workers:
            return
        self.backlog.append(connection)
        if self.idle:
            which = -1 if self.last_first else self.chance.randrange(len(self.idle))
            self.engine.fire(self.idle.pop(which).woken)

    def _work(self, worker: Worker) -> Steps[None]:
        """A worker's event loop: each round takes one new connection and deals with those whose words have come."""
        while True:
            if worker.part != self.part:
                worker.part, worker.woke = self.part, self.engine.now
                self.note(worker, "notice", "reopening logs")
            if not self.backlog and not worker.ready:
                worker.woken = Signal()
                self.idle.append(worker)
                yield Wait(worker.woken)
            worker.woke = self.engine.now
            ready, worker.ready = worker.ready, []
            if self.backlog:
                connection = self.backlog.popleft()
                self.connections += 1
                connection.number = self.connections
                worker.ready.append(connection)
                yield self.chance.uniform(0.01, 0.05)
            for connection in ready:
                begin = self.engine.now
                yield from Serving(self, worker, connection).all()
                end = self.engine.now
                self.served.append(
                    Served(self.start, worker.pid, connection.number, worker.woke, begin, end, connection.of)
                )
                if connection.of is not None:
                    connection.of.done = max(connection.of.done, end)
            yield self.chance.uniform(0.005, 0.02)

    # The CA

    def slowness(self) -> float:
        now = self.engine.now
        return max((by for since, until, by in self.spells if since <= now < until), default=1.0)

    def ask(self, request: Request, took: float) -> None:
        """Send a request to IIS."""
        self.engine.start(self._answer(request, took))

    def _answer(self, request: Request, took: float) -> Steps[None]:
        if self.busy >= self.choices.slots:
            turn = Signal()
            self.queue.append(turn)
            yield Wait(turn)
        else:
            self.busy += 1
        yield took * self.slowness()
        if self.queue:
            self.engine.fire(self.queue.popleft())
        else:
            self.busy -= 1
        if "certfnsh.asp" in request.text:
            self.reqid += 1
            request.reqid = self.reqid
        now, tick = self.engine.now, self.choices.timer
        spent = now - request.begin
        if tick:
            spent = (math.floor(now / tick) - math.floor(request.begin / tick)) * tick
        ending = f"{request.ending.rpartition(' ')[0]} 64" if request.left else request.ending
        self.logs["iis"].say(
            now, f" {blocks.WEB_SERVER} {request.text} {request.who} {ending} {math.floor(spent)}\r\n", request.of
        )
        if request.of is not None:
            request.of.done = max(request.of.done, now)
        self.engine.fire(request.answered)

    # Others

    def _others(self, end: float) -> None:
        chance, choices, engine = self.chance, self.choices, self.engine
        span = end - self.begin

        def moments(count: float) -> list[float]:
            return [self.begin + chance.random() * span for _ in range(math.ceil(count))]

        if choices.neighbour:
            for at in moments(choices.neighbour * choices.phones):
                engine.start(self._neighbour(), at)
        if not choices.others:
            return
        for at in moments(min(40, choices.others * span / (5 * MINUTE))):
            engine.start(self._person(), at)
        for at in moments(min(60, choices.others * span / (4 * MINUTE))):
            engine.start(self._stranger(), at)
        for at in moments(min(60, choices.others * span / MINUTE)):
            engine.start(self._quiet(), at)
        for at in moments(min(120, choices.others * span / MINUTE)):
            client = "10.20.0.9 check_http/v2.2+(monitoring-plugins+2.2) -"
            engine.start(self._requests([("GET /certsrv/ -", f"443 - {client}", "401 2 5")]), at)

    def _requests(self, asked: Iterable[tuple[str, str, str]], pause: float = 0.0) -> Steps[None]:
        for text, who, ending in asked:
            request = Request(text, who, ending, self.engine.now, None)
            self.ask(request, self.chance.uniform(0.5, 200))
            yield Wait(request.answered)
            yield self.chance.uniform(0.1, 1) * pause

    def _neighbour(self) -> Steps[None]:
        """Another cluster's CES asks for a certificate."""
        client = Client(self, NEIGHBOUR, None)
        if not (yield from client.login()):
            return
        if not (yield from client.get("/certrqxt.asp", "-", "form")):
            return
        if not (yield from client.login()) or not (yield from client.post()):
            return
        yield from client.get("/certnew.cer", f"ReqID={client.reqid}&ENC=b64", "fetch")

    def _person(self) -> Steps[None]:
        chance = self.chance
        client = f"10.20.{chance.randrange(64)}.{chance.randrange(256)} {BROWSER} -"
        nobody, pat = f"443 - {client}", f"443 MICHAMEN\\pat {client}"
        asked = (
            ("GET /certsrv -", nobody, "401 2 5"),
            ("GET /certsrv/ -", pat, "200 0 0"),
            ("GET /certsrv/certrqxt.asp -", pat, "200 0 0"),
            ("POST /certsrv/certfnsh.asp -", pat, "200 0 0"),
            (f"GET /certsrv/certnew.cer ReqID={self.reqid + 1}&Enc=b64", pat, "200 0 0"),
        )
        yield from self._requests(asked[: chance.randint(1, 5)], 30 * SECOND)

    def _quiet(self) -> Steps[None]:
        """A phone that nothing is to be done for, or that keeps its connection alive."""
        if not self.capf_up:
            return
        chance = self.chance
        number = next(n for n in range(1, 1 << 20) if n not in self.sessions)
        self.sessions.add(number)
        names = {"device": f"SEP2C3ECF{chance.randrange(1 << 24):06X}", "session": number, "socket": number + 4}
        for block in chance.choice((blocks.CAPF_QUIET, blocks.CAPF_ALIVE)):
            yield self._capf(block, names)
            yield chance.uniform(4, 90)
        self.sessions.discard(number)

    def _stranger(self) -> Steps[None]:
        if self.up == "up":
            self._comes(Connection(None))
        yield 0.0


_STEPS = ("call", "connect", "login", "form", "second-login", "post", "certificate", "answer")


class Client:
    """libcurl within a CES, as it asks the CA: for itself, or for an enrollment (``of``)."""

    def __init__(self, world: World, address: str, of: Enrolled | None) -> None:
        self.world, self.of = world, of
        self.nobody = f"443 - {address} {CES_AGENT} -"
        self.user = f"443 {blocks.USER} {address} {CES_AGENT}"
        self.reqid = 0
        self.late = 0.0
        """How late the next answer comes, in ms."""

    def _ask(self, text: str, who: str, ending: str, hop: str, ends: float) -> Steps[bool]:
        world = self.world
        yield world.took("net")
        took = world.took(hop)
        if self.late:
            took, self.late = self.late, 0.0
        request = Request(text, who, ending, world.engine.now, self.of)
        world.ask(request, took)
        answered = yield Wait(request.answered, max(0.0, ends - world.engine.now))
        if not answered:
            request.left = True
            return False
        self.reqid = request.reqid or self.reqid
        yield world.took("net")
        return True

    def login(self, *, refused: bool = False) -> Steps[bool]:
        ends = self.world.engine.now + CURL_WAITS
        yield self.world.took("ca tls")
        late, self.late = self.late, 0.0
        if not (yield from self._ask("GET /certsrv -", self.nobody, "401 1 2148074254", "login", ends)):
            return False
        self.late = late
        yield self.world.took("next")
        if refused:
            return (yield from self._ask("GET /certsrv -", self.nobody, "401 1 2148074252", "login", ends))
        return (yield from self._ask("GET /certsrv -", f"{self.user} -", "301 0 0", "login", ends))

    def get(self, page: str, query: str, hop: str) -> Steps[bool]:
        ends = self.world.engine.now + CURL_WAITS
        return (yield from self._ask(f"GET /certsrv{page} {query}", f"{self.user} -", "200 0 0", hop, ends))

    def post(self) -> Steps[bool]:
        ends = self.world.engine.now + CURL_WAITS
        who = f"{self.user} {_CERTSRV}/certrqxt.asp"
        return (yield from self._ask("POST /certsrv/certfnsh.asp -", who, "200 0 0", "post", ends))


class Serving:
    """A worker's way through one connection: all within one event, and blocking."""

    def __init__(self, world: World, worker: Worker, connection: Connection) -> None:
        self.world, self.worker, self.connection = world, worker, connection
        self.of = connection.of
        self.received = 0.0

    def all(self) -> Steps[None]:
        if self.of is None:
            yield from self._stranger()
            return
        world, connection = self.world, self.connection
        yield self._est(
            ("INFO", "est_server_handle_request:1651", f"Peer IP address: {blocks.NODE}"),
            ("INFO", "est_server_handle_request:1652", f"Peer port      : {connection.port}"),
        )
        if connection.gone:
            yield world.took("work")
            yield self._est(
                ("ERROR", "est_server_handle_request:1690", "OpenSSL system call error"),
                ("WARNING", "est_server_handle_request:1716", "SSL_shutdown failed"),
            )
            return
        yield world.took("tls")
        world.engine.fire(connection.shaken)
        yield world.took("work")
        self.received = world.engine.now
        uri = self.uri
        yield self._est(
            ("INFO", "parse_http_message:1148", f"request_len={236 if connection.basic else 189}"),
            ("INFO", "parse_http_message:1149", f"request uri={uri}"),
            ("INFO", "handle_request:1261", uri),
            ("INFO", "est_enroll_auth:356", "TLS: no peer certificate"),
        )
        if connection.basic:
            yield from self._enroll()
            return
        missing = "HTTP auth headers missing, sending HTTP auth request to client."
        yield self._est(("INFO", "est_enroll_auth:402", missing))
        yield world.took("work")
        self._answers(401)
        yield self._est(*self._access("401 0"))
        yield from self._shut()

    @property
    def uri(self) -> str:
        return f"{_EST}{'reenroll' if self.of is not None and self.of.renews else 'enroll'}"

    def _answers(self, status: int) -> None:
        self.connection.status = status
        self.world.engine.fire(self.connection.answered)

    def _est(self, *lines: tuple[str, str, str]) -> float:
        """Write libEST's lines, each in one go; gives how long that took."""
        world = self.world
        at, say = world.engine.now, world.logs["nginx"].say
        for level, place, text in lines:
            say(at, f"***EST [{level}][{place}]--> {text}\n", self.of, self.worker.part)
            at += world.gap()
            if world.choices.trace and level != "INFO":
                for frame in ("", *_FRAMES, ""):
                    say(at, f"{frame}\n", self.of, self.worker.part)
                    at += world.gap()
        return at - world.engine.now

    def _note(self, level: str, text: str) -> float:
        world = self.world
        number = self.connection.number
        world.note(self.worker, level, f"*{number} {text}{_HANDSHAKING}", self.of)
        return world.gap()

    def _access(self, answer: str) -> Iterator[tuple[str, str, str]]:
        if not self.world.choices.access:
            return
        zone = self.world.choices.zone
        wall = _wall(self.received, zone)
        stamp = f"{wall.day:02d}/{_MONTHS[wall.month - 1]}/{wall:%Y:%H:%M:%S} {_signed(zone)}"
        yield "INFO", "log_access:1298", f'{blocks.NODE} [{stamp}] "POST {self.uri} HTTP/1.1" {answer}'
        yield "INFO", "log_header:1276", " -"
        yield "INFO", "log_header:1278", ' "Cisco EST client 1.0"'

    def _shut(self) -> Steps[None]:
        yield self.world.took("work")
        if self.connection.basic:
            yield self._est(("WARNING", "est_server_handle_request:1716", "SSL_shutdown failed"))
        else:
            yield self._est(("INFO", "est_server_handle_request:1712", "Two-phase SSL_shutdown initiated"))

    def _curled(self, function: str, page: str, length: int, step: str) -> float:
        """CES tells that a request to the CA was good."""
        assert self.of is not None
        self.of.step = step
        if step in ("post", "certificate") and not self.world.choices.told:
            return 0.0
        took = self._note("info", f"ra_certsrv_auth_curl_data_cb: Rcvd data len: {length}")
        return took + self._note("info", f"{function}: {_DONE}{_CERTSRV}{page}")

    def _failed(self, function: str, page: str, code: int, said: str) -> float:
        call = "Curl call for MS CA login failed" if function.startswith("login") else "Curl request failed"
        took = self._note("warn", f"{function}: {call} with return code {code} ({said})")
        return took + self._note("warn", f"{function}: URL used: {_CERTSRV}{page}")

    def _timed_out(self, function: str, page: str) -> float:
        said = f"Operation timed out after {10_000 + self.world.chance.randrange(3)} milliseconds with 0 bytes received"
        return self._failed(function, page, 28, said)

    def _trust(self) -> float:
        """libcurl sets up TLS: CES adds what it trusts."""
        for subject in self.world.trusted:
            self._note("warn", f"ossl_init_cert_store: Adding cert to store ({subject})")
        return self.world.gap()

    def _enroll(self) -> Steps[None]:
        """Ask the CA, first for whether the client may, then for its certificate; answer."""
        world, of = self.world, self.of
        assert of is not None
        client = Client(world, blocks.NODE, of)
        late, fate = world.chance.uniform(10_100, 40_000), of.fate
        login, page = "login_to_certsrv_ca", "navigate_to_certsrv_page"
        yield world.took("work")
        # The callback for HTTP's authentication: login and template.
        yield self._trust()
        client.late = late if fate == "login timeout" else 0.0
        if not (yield from client.login(refused=fate == "login")):
            yield self._timed_out(login, "")
            yield from self._refuses()
            return
        if fate == "login":
            yield self._failed(login, "", 22, "The requested URL returned error: 401 Unauthorized")
            yield from self._refuses()
            return
        yield self._curled(login, "", 163, "login")
        yield world.took("next")
        client.late = late if fate == "form timeout" else 0.0
        if not (yield from client.get("/certrqxt.asp", "-", "form")):
            yield self._timed_out(page, "/certrqxt.asp")
            yield from self._refuses()
            return
        yield self._curled(page, "/certrqxt.asp", 11_771, "form")
        yield world.took("next")
        if fate == "template":
            yield from self._refuses()
            return
        # The callback for the enrollment.
        yield self._est(("INFO", "est_handle_simple_enroll:1136", "id-kp-cmcRA present: 0"))
        yield self._trust()
        client.late = late if fate == "second timeout" else 0.0
        if not (yield from client.login()):
            yield self._timed_out(login, "")
            yield from self._fails(25, 400)
            return
        yield self._curled(login, "", 163, "second-login")
        yield world.took("next")
        client.late = late if fate == "post timeout" else 0.0
        if not (yield from client.post()):
            yield self._timed_out(page, "/certfnsh.asp")
            yield from self._fails(25, 400)
            return
        yield self._curled(page, "/certfnsh.asp", 3_817, "post")
        yield world.took("next")
        if fate == "denied":
            yield from self._fails(25, 400)
            return
        if fate == "pending":
            retry = "CA server requests retry, possibly it's not setup for auto-enroll"
            yield self._est(("INFO", "est_handle_simple_enroll:1226", retry))
            self._answers(202)
            yield self._est(*self._access("202 0"))
            yield from self._shut()
            return
        query = f"ReqID={client.reqid}&ENC=b64"
        client.late = late if fate == "fetch timeout" else 0.0
        if not (yield from client.get("/certnew.cer", query, "fetch")):
            yield self._timed_out(page, f"/certnew.cer?{query}")
            yield from self._fails(25, 400)
            return
        yield self._curled(page, f"/certnew.cer?{query}", 1_900 + world.chance.randrange(60), "certificate")
        yield world.took("pkcs7")
        if self.connection.gone and world.chance.random() < world.rc10:
            yield from self._fails(10, 400)
            return
        self._answers(200)
        yield self._est(*self._access(world.answer))
        yield from self._shut()

    def _refuses(self) -> Steps[None]:
        yield self.world.took("work")
        yield self._est(("WARNING", "est_enroll_auth:394", "HTTP authentication failed. Auth type=1"))
        yield from self._fails(22, 401)

    def _fails(self, rc: int, status: int) -> Steps[None]:
        error = f"{rc} ({_ERRORS[rc]})"
        what = "Reenroll" if self.of is not None and self.of.renews else "Enrollment"
        yield self._est(
            ("WARNING", "est_http_request:1435", f"{what} failed with rc={error}\n"),
            ("INFO", "mg_send_http_error:389", _PAGES[status]),
        )
        self._answers(status)
        yield self._est(
            ("ERROR", "est_mg_handler:1234", f"EST error response code: {error}\n"),
            ("WARNING", "handle_request:1267", f"Incoming request failed rv={error}"),
            *self._access(f"{status} 0"),
        )
        yield from self._shut()

    def _stranger(self) -> Steps[None]:
        """A scanner, a monitor or a browser at CES's port."""
        world, chance = self.world, self.world.chance
        wall = _wall(world.engine.now, world.choices.zone)
        stamped = self.worker.woke if world.choices.cached else world.engine.now
        text = chance.choice(blocks.STRANGERS).decode()
        if "{challenged}" in text and not world.choices.access:
            text = "".join(line for line in text.splitlines(keepends=True) if "[log_" not in line)
        for name, value in (
            ("who", f"{self.worker.pid}#0: *{self.connection.number}"),
            ("client", f"10.{chance.randint(20, 28)}.{chance.randrange(256)}.{chance.randrange(256)}"),
            ("path", chance.choice(blocks.PATHS).decode()),
            ("port", str(chance.randint(32_768, 60_999))),
            (
                "challenged",
                f"{wall.day:02d}/{_MONTHS[wall.month - 1]}/{wall:%Y:%H:%M:%S} {_signed(world.choices.zone)}",
            ),
            ("stamp", world.nginx_stamp(stamped)),
        ):
            text = text.replace(f"{{{name}}}", value)
        at = world.engine.now
        for line in text.splitlines(keepends=True):
            level = line[21:].partition("]")[0] if line[:1].isdigit() else ""
            if level not in _HIDDEN[world.choices.level]:
                world.logs["nginx"].say(at, line, None, self.worker.part)
            at += world.gap()
        yield at - world.engine.now


def _wall(at: float, zone: int) -> datetime:
    """Turn a time into wall time of a zone, in whole seconds."""
    return _EPOCH + timedelta(seconds=math.floor(at / SECOND) + zone)


def _signed(zone: int) -> str:
    minutes = abs(zone) // 60
    return f"{'-' if zone < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d}"


# ---- the bundle ----------------------------------------------------------------------------------------------------


class Maker:
    """Makes members of what a world wrote, and the truth about them."""

    def __init__(self, seed: int, choices: Choices) -> None:
        self.seed, self.choices = seed, choices
        self.world = World(seed, choices)
        self.world.live()
        self.chance = random.Random(f"{seed} files")
        self.truth = Truth(
            enrollments=self.world.enrolled,
            served=self.world.served,
            begin=self.world.begin,
            offset=choices.offset,
            drift=choices.drift,
        )
        self.members: list[Held] = []
        self.sources: dict[str, LogName] = {}
        self.blemished: set[Enrolled] = set()

    def site(self) -> Site:
        logs, world = self.choices.logs, self.world
        for enrolled in world.enrolled:
            if enrolled.rv is not None:
                enrolled.outcome = "issued" if enrolled.rv == 0 else "failed"
        _count_others(world.enrolled, world.engine.now)
        when = _wall(max((p.at for log in world.logs.values() for p in log.pieces), default=0.0), self.choices.zone)
        sdi = f"cucm-pub/{when + timedelta(minutes=9):%Y-%m-%d_%H-%M-%S}/cm/trace/capf/sdi"
        if "capf" in logs:
            self._add("capf", f"{sdi}/capf00000001.txt", self._stamped(world.logs["capf"].pieces, self._capf_stamp))
        if "ciscora" in logs:
            for number, log in enumerate(world.ciscora, start=1):
                self._add("ciscora", f"{sdi}/nginx{number:08d}.txt", log.pieces)
        if "nginx" in logs:
            written = world.logs["nginx"].pieces
            for part in range(world.part + 1):
                name = "root/error.log" + ".1" * (world.part - part)
                self._add("nginx", name, [piece for piece in written if piece.part == part])
        if "iis" in logs:
            self._iis()
        for enrolled in self.blemished:
            enrolled.outcome = None
        return Site(self.seed, self.choices, self.members, self.truth, self.sources)

    def _capf_stamp(self, at: float) -> str:
        ms = (math.floor(at) + self.choices.zone * 1000) % 86_400_000
        return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"

    @staticmethod
    def _stamped(pieces: Iterable[Written], stamp: Callable[[float], str]) -> list[Written]:
        return [piece._replace(text=f"{stamp(piece.at)}{piece.text}") for piece in pieces]

    def _iis(self) -> None:
        cut, log = self.choices.cut, sorted(self.world.logs["iis"].pieces)
        own = [piece.at for piece in log if piece.of is not None]
        if own and cut:
            at = own[int((cut if cut > 0 else 1 + cut) * (len(own) - 1))]
            log = [piece for piece in log if (piece.at >= at) == (cut > 0)]
        days: dict[str, list[Written]] = {}
        for piece in log:
            wall = _wall(piece.at + self.truth.ahead(piece.at), 0)
            held = days.setdefault(f"{wall:%y%m%d}", [])
            stamp = f"{wall:%Y-%m-%d %H:%M:%S}"
            if not held:
                software = (
                    f"#Software: Microsoft Internet Information Services 8.5\r\n#Version: 1.0\r\n#Date: {stamp}\r\n"
                )
                held.append(Written(piece.at, -1, f"{software}{FIELDS}\r\n", None, 0))
            held.append(piece._replace(text=f"{stamp}{piece.text}"))
        for day, held in days.items():
            self._add("iis", f"W3SVC1/u_ex{day}.log", held)

    def _add(self, source: LogName, name: str, pieces: Iterable[Written]) -> None:
        """Make a member of what was written, but for the lines that are lost."""
        owners: list[str | None] = []
        kept: list[str] = []
        last = 0.0
        for piece in sorted(pieces):
            of = piece.of
            if source == "capf" and of is not None and ":Calling enrollCertUsingEST()" in piece.text:
                of.called = (name, len(kept) + 1)
            for text in piece.text.splitlines(keepends=True) if source != "capf" else _split(piece.text):
                if self.chance.random() < self.choices.lost and text[:1] != "#":
                    if source == "capf" and of is not None:
                        self.blemished.add(of)
                    continue
                kept.append(text)
                owners.append(None if of is None else of.tag)
                last = piece.at
                if source in ("nginx", "iis"):
                    place = (name, len(kept))
                    self.truth.owners[place] = owners[-1]
                    self.truth.times[place] = piece.at
        if not kept:
            return
        modified = datetime.fromtimestamp(math.floor(last / SECOND), UTC)
        self.members.append(Held(name, "".join(kept).encode("latin-1"), modified, owners=tuple(owners)))
        self.sources[name] = source


def _split(text: str) -> list[str]:
    """Split at line feeds alone: CAPF's trace has bytes that look like other ends of lines."""
    return [f"{line}\n" for line in text.removesuffix("\n").split("\n")]


def _count_others(enrolled: Sequence[Enrolled], end: float) -> None:
    """Find how many others were under way at the busiest moment of each."""
    begins = sorted(e.call for e in enrolled)
    ends = sorted((e.done if e.rv is not None else end) for e in enrolled)
    moments = sorted(begins + ends)
    at_once = [bisect_right(begins, at) - bisect_left(ends, at) for at in moments]
    for e in enrolled:
        first = bisect_left(moments, e.call)
        last = bisect_right(moments, e.done if e.rv is not None else end)
        e.others = max(at_once[first:last], default=1) - 1


def site(seed: int, **choices: Any) -> Site:
    """Make the site of a seed; what is not chosen (see :class:`Choices`) is drawn."""
    return Maker(seed, draw(seed, choices)).site()


def write(made: Site, path: Path) -> None:
    """Write a site's members as a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in made.members:
            assert member.modified is not None
            entry = zipfile.ZipInfo(member.name, member.modified.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.content)


# ---- how well capflog finds it -------------------------------------------------------------------------------------

#: Classes of concurrency: how many were under way at once, at the most.
CLASSES = ((1, "1"), (4, "up to 4"), (16, "up to 16"), (1 << 30, "more"))
JUDGED: tuple[LogName, ...] = ("nginx", "iis")


@dataclass(slots=True)
class Count:
    """Lines: those of somebody, those put to somebody, those put right; and of these who are `certain`."""

    owned: int = 0
    put: int = 0
    right: int = 0
    sure: int = 0
    sure_right: int = 0

    def add(self, other: Count) -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Wrong(NamedTuple):
    """A line that was put to an enrollment it is not of."""

    source: str
    place: Place
    given: str
    owner: str | None
    confidence: str
    text: str


@dataclass(slots=True)
class Measured:
    """How well an analysis agrees with the truth, by classes of concurrency (see :data:`CLASSES`)."""

    enrollments: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    """Those whose outcome is right; ``judged``: those of which CAPF's log tells it."""
    judged: Counter[str] = field(default_factory=Counter)
    extra: int = 0
    """Enrollments that it reports and that are none of the node's."""
    lines: dict[tuple[str, str], Count] = field(default_factory=dict)
    """By class and source."""
    wrong: list[Wrong] = field(default_factory=list)
    missing: list[tuple[str, Place, str]] = field(default_factory=list)
    """Lines of somebody that were put to nobody: source, place, owner."""

    def count(self, group: str, source: str) -> Count:
        return self.lines.setdefault((group, source), Count())

    def add(self, other: Measured) -> None:
        for mine, theirs in (
            (self.enrollments, other.enrollments),
            (self.found, other.found),
            (self.outcomes, other.outcomes),
            (self.judged, other.judged),
        ):
            mine.update(theirs)
        self.extra += other.extra
        for key, count in other.lines.items():
            self.count(*key).add(count)


def class_of(enrolled: Enrolled) -> str:
    return next(name for most, name in CLASSES if enrolled.others + 1 <= most)


def _matched(made: Site, reported: Sequence[Enrollment]) -> list[Enrolled | None]:
    """Say which enrollment each reported one is: by CAPF's line of the call, without it by whose its lines are."""
    truth = made.truth
    calls = {e.called: e for e in truth.enrollments if e.called is not None}
    tags = {e.tag: e for e in truth.enrollments}
    owners = {
        (member.name, number): owner
        for member in made.members
        for number, owner in enumerate(member.owners, start=1)
        if owner is not None
    }
    found: list[Enrolled | None] = []
    taken: set[str] = set()
    for each in reported:
        places = [(record.member, record.line) for record in each.records]
        known = next((calls[place] for place in places if place in calls), None)
        if known is None:
            # Without the line of its call: by the lines of CAPF's that bear its device, else by most of its lines.
            own = Counter(owners[place] for place in places if place in owners)
            known = next((tags[tag] for tag, _ in own.most_common() if tag not in taken), None)
        if known is not None and known.tag in taken:
            known = None
        if known is not None:
            taken.add(known.tag)
        found.append(known)
    return found


def measure(made: Site, analysis: Analysis) -> Measured:
    """Compare what capflog found with the truth."""
    truth, measured = made.truth, Measured()
    names = analysis.table["member"].astype(str).tolist()
    known = set(zip(names, analysis.table["line"].tolist(), strict=True))
    groups = {e.tag: class_of(e) for e in truth.enrollments}
    capf = "capf" in made.choices.logs
    seen = {owner for place, owner in truth.owners.items() if place in known}
    for e in truth.enrollments:
        # Of whom nothing is left in the logs, there is nothing to find.
        measured.enrollments[groups[e.tag]] += e.called is not None or e.tag in seen
    for place, owner in truth.owners.items():
        if owner is not None and place in known:
            measured.count(groups[owner], made.sources[place[0]]).owned += 1
    put: set[Place] = set()
    reported = analysis.report.enrollments
    for each, enrolled in zip(reported, _matched(made, reported), strict=True):
        if enrolled is None:
            # A stranger's at the CA, or what is left of one that was torn in two: nobody's lines are in wrong hands.
            measured.extra += 1
            continue
        group = groups[enrolled.tag]
        measured.found[group] += each.device == enrolled.device or not capf
        if capf and enrolled.outcome is not None:
            measured.judged[group] += 1
            measured.outcomes[group] += each.outcome == enrolled.outcome
        for record in each.records:
            if record.source not in JUDGED:
                continue
            place = (record.member, record.line)
            put.add(place)
            owner, sure = truth.owners[place], record.confidence == "certain"
            right = owner == enrolled.tag
            count = measured.count(group, record.source)
            count.put += 1
            count.right += right
            count.sure += sure
            count.sure_right += sure and right
            if not right:
                measured.wrong.append(Wrong(record.source, place, enrolled.tag, owner, record.confidence, record.text))
    measured.missing = [
        (made.sources[place[0]], place, owner)
        for place, owner in truth.owners.items()
        if owner is not None and place in known and place not in put
    ]
    return measured


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}" if whole else "-"


def table_of(measured: Measured) -> str:
    """Make a table: a line for each class of concurrency; all but the counts in percent.

    ``prec``: of the lines that were put to somebody, those put right; ``recall``: of the lines that are somebody's,
    those put right; ``sure``: of these, those put right for certain; ``of sure``: of what is called certain, the right.
    """
    heads = ["at once", "n", "found", "outcome"]
    heads += [f"{source} {what}" for source in JUDGED for what in ("lines", "prec", "recall", "sure", "of sure")]
    rows = []
    for _, group in (*CLASSES, (0, "all")):
        own = [name for _, name in CLASSES if group in (name, "all")]
        total = sum(measured.enrollments[name] for name in own)
        row = [group, str(total), _percent(sum(measured.found[name] for name in own), total)]
        row.append(_percent(sum(measured.outcomes[n] for n in own), sum(measured.judged[n] for n in own)))
        for source in JUDGED:
            count = Count()
            for name in own:
                count.add(measured.lines.get((name, source), Count()))
            row += [str(count.owned), _percent(count.right, count.put), _percent(count.right, count.owned)]
            row += [_percent(count.sure_right, count.owned), _percent(count.sure_right, count.sure)]
        rows.append(row)
    more = f"\n{measured.extra} reported that are no enrollments of the node's" if measured.extra else ""
    widths = [max(len(cell) for cell in column) for column in zip(heads, *rows, strict=True)]
    lines = ("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows))
    return "\n".join(lines) + more


def _shown(choices: Choices) -> str:
    shown = ((each.name, getattr(choices, each.name)) for each in fields(choices))
    return " ".join(
        f"{name}={','.join(value) if isinstance(value, tuple) else value}".replace(" ", "_")
        for name, value in shown
        if value not in (0, False, "") and not (name == "kinds" and not choices.faults)
    )


def _run(asked: tuple[int, dict[str, Any]]) -> tuple[Measured, str]:
    seed, given = asked
    made = site(seed, **given)
    return measure(made, analyzed(*made.members)), _shown(made.choices)


def _given(name: str, text: str) -> Any:
    """Read a choice of the command line."""
    if name in ("logs", "kinds"):
        return tuple(text.replace("_", " ").split(","))
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _show(made: Site, measured: Measured, say: Callable[[str], object]) -> None:
    """Show the lines that were put wrong."""
    for wrong in measured.wrong:
        say(f"{wrong.place[0]}:{wrong.place[1]} {wrong.confidence}, put to {wrong.given}, of {wrong.owner}\n")
        say(f"    {wrong.text.splitlines()[0][:150]}\n")
    for (source, group), count in Counter(
        (source, next(class_of(e) for e in made.truth.enrollments if e.tag == owner))
        for source, _, owner in measured.missing
    ).items():
        say(f"put to nobody: {count} lines of {source}, {group} at once\n")


def main(words: Sequence[str] | None = None) -> None:
    """Write a bundle, or measure how capflog puts lines to enrollments, on many."""
    parser = argparse.ArgumentParser(prog="python -m tests.sites", description=main.__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the bundle, or of the first one")
    parser.add_argument("--out", type=Path, help="the zip to write")
    parser.add_argument("--measure", type=int, metavar="N", help="run capflog on N bundles")
    parser.add_argument("--plain", action="store_true", help="nothing goes wrong, nothing lacks")
    parser.add_argument("--wrong", action="store_true", help="show the lines that were put wrong")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    for name in DRAWS:
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    given: dict[str, Any] = dict(PLAIN) if asked.plain else {}
    given |= {name: _given(name, getattr(asked, name)) for name in DRAWS if getattr(asked, name) is not None}
    say = sys.stdout.write
    if asked.measure:
        seeds = range(asked.seed, asked.seed + asked.measure)
        with ProcessPoolExecutor(asked.processes) as pool:
            runs = list(pool.map(_run, ((seed, given) for seed in seeds)))
        whole = Measured()
        for measured, _ in runs:
            whole.add(measured)
        say(table_of(whole) + "\n")
        worst = sorted(zip(seeds, runs, strict=True), key=lambda run: -len(run[1][0].wrong))
        for seed, (measured, shown) in worst[:8]:
            if measured.wrong:
                sure = sum(wrong.confidence == "certain" for wrong in measured.wrong)
                own = sum(count.owned for count in measured.lines.values())
                say(f"seed {seed}: {len(measured.wrong)} of {own} lines wrong ({sure} certain): {shown}\n")
        return
    made = site(asked.seed, **given)
    say(f"{_shown(made.choices)}\n")
    for member in made.members:
        say(f"{len(member.content):>9} {member.name}\n")
    groups = Counter((class_of(e), e.outcome, e.rv) for e in made.truth.enrollments)
    for (group, outcome, rv), count in sorted(groups.items(), key=str):
        say(f"{count:>5} {outcome or 'lost'} (rv {rv}), {group} at once\n")
    if asked.out is not None:
        write(made, asked.out)
    if asked.wrong:
        measured = measure(made, analyzed(*made.members))
        say(table_of(measured) + "\n")
        _show(made, measured, say)


if __name__ == "__main__":
    main()
