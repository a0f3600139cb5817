"""Bundles of known truth: what the clocks of a node and of a CA really were, when each line was written, whose it is.

``simulate(seed)`` draws a site and writes its logs; ``site.truth`` says what capflog is to find out; ``measure`` tells
how well it did. All chance comes of the seed; nothing of the host's zone, locale or time. The reference clock is the
node's, as in capflog: all times are ms since 1970-01-01 UTC on it (a float; CAPF's stamps show whole ms of it).

``python -m tests.simulator --seed 5 --out x.zip`` writes a bundle, ``--measure 200`` runs capflog on so many.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import struct
import sys
import zipfile
from bisect import bisect_left, bisect_right
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from tests.benchmarks import blocks
from tests.benchmarks.scenes import capf_stamp
from tests.scenes import BROWSER, CES_AGENT, Held, analyzed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from capflog.analysis import Analysis
    from capflog.model import Clock

Outcome = Literal["issued", "late", "refused", "dead"]
LogName = Literal["capf", "nginx", "ciscora", "iis"]
Place = tuple[str, int]
"""A physical line: its member and its number, from 1."""

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
QUARTER = 15 * MINUTE

#: What EST's client waits for an answer (libEST: EST_SSL_READ_TIMEOUT_DEF), and curl within CES for each request. (ms)
CAPF_WAITS, CURL_WAITS = 10_000, 9_900

#: The addresses of another cluster's CES, and the tick of Windows' coarse clock in ms.
NEIGHBOUR, TICK = "14.49.31.125", 15.625

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (wall time: of which zone, the caller knows)

# ---- zones ---------------------------------------------------------------------------------------------------------

#: Zones to draw from: what Java calls them in standard and in daylight saving time (TimeZoneNames of the JDK).
ZONES: dict[str, tuple[str, str]] = {
    "UTC": ("UTC", "UTC"),
    "America/New_York": ("EST", "EDT"),
    "America/Chicago": ("CST", "CDT"),
    "America/Denver": ("MST", "MDT"),
    "America/Phoenix": ("MST", "MST"),
    "America/Los_Angeles": ("PST", "PDT"),
    "America/Anchorage": ("AKST", "AKDT"),
    "America/Halifax": ("AST", "ADT"),
    "America/St_Johns": ("NST", "NDT"),
    "America/Argentina/Buenos_Aires": ("ART", "ARST"),
    "America/Santiago": ("CLT", "CLST"),
    "America/Bogota": ("COT", "COST"),
    "Pacific/Honolulu": ("HST", "HST"),
    "Pacific/Marquesas": ("MART", "MART"),
    "Atlantic/Azores": ("AZOT", "AZOST"),
    "Europe/London": ("GMT", "BST"),
    "Europe/Berlin": ("CET", "CEST"),
    "Europe/Athens": ("EET", "EEST"),
    "Europe/Moscow": ("MSK", "MSD"),
    "Africa/Johannesburg": ("SAST", "SAST"),
    "Africa/Lagos": ("WAT", "WAST"),
    "Asia/Jerusalem": ("IST", "IDT"),
    "Asia/Dubai": ("GST", "GDT"),
    "Asia/Kabul": ("AFT", "AFT"),
    "Asia/Karachi": ("PKT", "PKST"),
    "Asia/Kolkata": ("IST", "IST"),
    "Asia/Kathmandu": ("NPT", "NPT"),
    "Asia/Yangon": ("MMT", "MMST"),
    "Asia/Singapore": ("SGT", "SGT"),
    "Asia/Shanghai": ("CST", "CDT"),
    "Australia/Eucla": ("ACWST", "ACWDT"),
    "Asia/Tokyo": ("JST", "JDT"),
    "Australia/Adelaide": ("ACST", "ACDT"),
    "Australia/Darwin": ("ACST", "ACDT"),
    "Australia/Sydney": ("AEST", "AEDT"),
    "Australia/Lord_Howe": ("LHST", "LHDT"),
    "Pacific/Auckland": ("NZST", "NZDT"),
    "Pacific/Chatham": ("CHAST", "CHADT"),
    "Pacific/Kiritimati": ("LINT", "LINT"),
}
#: Abbreviations of several zones: they tell none. (Amman and Damascus, at +3 since October 2022, are EET still.)
AMBIGUOUS = frozenset({"AST", "BST", "CST", "EET", "GST", "IST"})
_FIXED = (-43_200, -34_200, -12_600, -5_400, 0, 16_200, 20_700, 31_500, 45_900, 50_400)


class NodeZone:
    """The zone of a node: an IANA name, or a fixed offset in seconds."""

    def __init__(self, zone: str | int) -> None:
        self.zone = zone
        self.info: tzinfo = ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(seconds=zone))
        self._offsets: dict[int, int] = {}

    def offset(self, at: float) -> int:
        """Give local time minus UTC, in s."""
        quarter = math.floor(at / QUARTER)  # no zone changes within a quarter of an hour (since 2018)
        if quarter not in self._offsets:
            offset = datetime.fromtimestamp(quarter * QUARTER / SECOND, self.info).utcoffset()
            self._offsets[quarter] = int((offset or timedelta(0)) / timedelta(seconds=1))
        return self._offsets[quarter]

    def wall(self, at: float) -> int:
        """Turn a time into the node's wall time, in whole ms since 1970-01-01 there."""
        return math.floor(at) + self.offset(at) * SECOND

    def local(self, at: float) -> datetime:
        return _EPOCH + timedelta(milliseconds=self.wall(at))

    def utc(self, local: datetime) -> int:
        """Turn wall time into a time; of an hour that there is twice the first."""
        return round(local.replace(tzinfo=self.info).timestamp() * SECOND)

    def abbreviation(self, at: float) -> str:
        """Name the zone as Java's ``Date.toString`` does."""
        if isinstance(self.zone, str):
            summer = datetime.fromtimestamp(at / SECOND, self.info).dst()
            return ZONES.get(self.zone, ("UTC", "UTC"))[bool(summer)]
        return "UTC" if not self.zone else f"GMT{_signed(self.zone, ':')}"

    def changes(self, year: int) -> list[tuple[int, int]]:
        """List the changes of a year: when, and by how many seconds."""
        begin = round(datetime(year, 1, 1, tzinfo=UTC).timestamp() * SECOND)
        found = []
        for at in range(begin, begin + 365 * DAY, DAY):
            if self.offset(at) != self.offset(at + DAY):
                when = next(t for t in range(at + QUARTER, at + DAY + 1, QUARTER) if self.offset(t) != self.offset(at))
                found.append((when, self.offset(when) - self.offset(when - 1)))
        return found


@lru_cache(maxsize=256)
def zone_of(zone: str | int) -> NodeZone:
    return NodeZone(zone)


@lru_cache(maxsize=256)
def _has_summer(zone: str | int) -> bool:
    return len(zone_of(zone).changes(2024)) == 2


def _signed(zone: int, between: str = "") -> str:
    minutes = abs(zone) // 60
    return f"{'-' if zone < 0 else '+'}{minutes // 60:02d}{between}{minutes % 60:02d}"


# ---- choices -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choices:
    """What was chosen or drawn for a site; each can be given to :func:`simulate`."""

    zone: str | int
    """The node's: an IANA name or a fixed offset in s."""
    hours: float
    change: Literal["spring", "autumn"] | None
    """The zone changes within the bundle."""
    start: datetime
    """The first enrollment, by the node's wall clock (a date: at a random time of it)."""
    enrollments: int
    night: float
    """How much goes on from 22 to 5 h, of what does by day; 0: nobody writes a line on the node."""
    bursts: float
    """Share of the enrollments that come several at once."""
    offset: float
    """How much IIS's clock is ahead of the node's at the first enrollment, in s."""
    drift: float
    """What it gains, in ppm."""
    step: float
    """One jump of IIS's clock in s; 0: none."""
    step_at: float
    """Where in the bundle it jumps (0 to 1)."""
    pace: float
    """All latencies are so many times the usual ones."""
    slow: float
    """Usual time of the CA's form, in ms; 0: some tens or hundreds."""
    network: float
    """From CES to IIS one way, in ms."""
    timer: float
    """The tick of the clock that IIS measures time-taken by, in ms; 0: fine."""
    late: float
    refused: float
    dead: float
    """Shares of enrollments: CAPF gave up before CES was done; refused after the form; CES did not serve."""
    wrong: float
    """Share of enrollments whose lines at IIS stand up to a minute aside."""
    noise: float
    """Of others, at IIS, at CES's port and at CAPF."""
    neighbour: bool
    """Another cluster's CES asks the same IIS."""
    logs: tuple[LogName, ...]
    level: Literal["info", "warn", "error"]
    """From which level on NGINX logs."""
    access: bool
    """error.log holds libEST's ``log_access``."""
    cached: bool
    """NGINX stamps all records of a request with the time at which it began (never drawn)."""
    files: int
    """CAPF's trace is in so many files."""
    counter: int
    """The number of the first of them."""
    header_again: bool
    """IIS was restarted and repeats its header."""
    layout: Literal["rtmt", "flat"]
    record: bool
    """RTMT's record of what it collected is there (layout rtmt)."""
    modified: Literal["utc", "local", "pc", "copy", "none"]
    """Members' times: of the last write in UTC, as the node's wall time, as that of some PC; of a copy; none."""
    starts: int
    """Starts of CES, the first before the first enrollment."""


def _weighted(chance: random.Random, *pairs: tuple[Any, float]) -> Any:
    return chance.choices([value for value, _ in pairs], [weight for _, weight in pairs])[0]


def _log_uniform(chance: random.Random, low: float, high: float) -> float:
    return math.exp(chance.uniform(math.log(low), math.log(high)))


def _zone(chance: random.Random, drawn: Mapping[str, Any]) -> str | int:
    if drawn.get("change"):
        return chance.choice([zone for zone in ZONES if _has_summer(zone)])
    return chance.choice(_FIXED) if chance.random() < 0.1 else chance.choice(list(ZONES))


def _hours(chance: random.Random, _: Mapping[str, Any]) -> float:
    return round(_log_uniform(chance, 0.5, 80), 2)


def _change(chance: random.Random, drawn: Mapping[str, Any]) -> str | None:
    wanted = _weighted(chance, (None, 0.7), ("spring", 0.15), ("autumn", 0.15))
    return wanted if _has_summer(drawn["zone"]) and drawn["hours"] >= 1 else None


def _start(chance: random.Random, drawn: Mapping[str, Any]) -> datetime:
    zone = zone_of(drawn["zone"])
    year, share = chance.randint(2018, 2026), chance.uniform(0.2, 0.8)
    if drawn["change"]:
        for tried in range(year, year + 9):
            for at, by in zone.changes(2018 + (tried - 2018) % 9):
                if (by > 0) == (drawn["change"] == "spring"):
                    return zone.local(at - share * drawn["hours"] * HOUR)
        raise ValueError(f"{drawn['zone']} has no daylight saving time")
    return datetime(year, 1, 1) + timedelta(seconds=chance.randrange(365 * 86_400))  # noqa: DTZ001


def _offset(chance: random.Random, _: Mapping[str, Any]) -> float:
    kind = _weighted(
        chance,
        ("none", 6),
        ("fraction", 26),
        ("seconds", 36),
        ("minutes", 12),
        ("hours", 6),
        ("days", 4),
        ("zone", 10),
    )
    size = {
        "none": 0.0,
        "fraction": chance.uniform(0.001, 1),
        "seconds": chance.uniform(1, 20),
        "minutes": chance.uniform(60, 800),
        "hours": _log_uniform(chance, 1_000, 40_000),
        "days": chance.uniform(1, 30) * 86_400,
        "zone": chance.choice((900, 1800, 3600, 3600, 7200, 18_000, 19_800, 28_800)) + chance.uniform(-4, 4),
    }[kind]
    return round(chance.choice((-1, 1)) * size, 4) or 0.0


def _drift(chance: random.Random, _: Mapping[str, Any]) -> float:
    size = _weighted(chance, (0.0, 0.25), (chance.uniform(0, 20), 0.65), (chance.uniform(20, 100), 0.1))
    return round(chance.choice((-1, 1)) * size, 2) or 0.0


def _step(chance: random.Random, _: Mapping[str, Any]) -> float:
    return round(chance.choice((-1, 1)) * _log_uniform(chance, 1.5, 20_000), 3) if chance.random() < 0.12 else 0.0


def _enrollments(chance: random.Random, _: Mapping[str, Any]) -> int:
    return round(_log_uniform(chance, 20, 200))


_ALL: tuple[LogName, ...] = ("capf", "nginx", "ciscora", "iis")


def _logs(chance: random.Random, _: Mapping[str, Any]) -> tuple[LogName, ...]:
    found: tuple[LogName, ...] = _weighted(
        chance,
        (_ALL, 50),
        (("capf", "ciscora", "iis"), 14),
        (("capf", "iis"), 10),
        (("capf", "nginx", "iis"), 6),
        (("capf", "nginx", "ciscora"), 6),
        (("capf", "ciscora"), 5),
        (("capf",), 3),
        (("nginx", "iis"), 4),
        (("iis",), 2),
    )
    return found


#: How each choice is drawn, in this order; what was chosen before is at hand.
DRAWS: dict[str, Callable[[random.Random, Mapping[str, Any]], Any]] = {
    "zone": _zone,
    "hours": _hours,
    "change": _change,
    "start": _start,
    "enrollments": _enrollments,
    "night": lambda c, _: _weighted(c, (0.0, 3), (0.03, 3), (0.3, 3), (1.0, 1)),
    "bursts": lambda c, _: _weighted(c, (0.0, 6), (0.1, 2), (0.5, 2)),
    "offset": _offset,
    "drift": _drift,
    "step": _step,
    "step_at": lambda c, _: round(c.uniform(0.2, 0.8), 3),
    "pace": lambda c, _: round(_weighted(c, (1.0, 7), (c.uniform(0.5, 1.5), 2), (c.uniform(2, 5), 1)), 2),
    "slow": lambda c, _: round(_weighted(c, (0.0, 9), (c.uniform(1000, 4000), 1))),
    "network": lambda c, _: round(_weighted(c, (_log_uniform(c, 0.2, 5), 9), (c.uniform(20, 45), 1)), 2),
    "timer": lambda c, _: _weighted(c, (0.0, 6), (TICK, 4)),
    "late": lambda c, _: _weighted(c, (0.0, 7), (c.uniform(0.01, 0.1), 3)),
    "refused": lambda c, _: _weighted(c, (0.0, 7), (c.uniform(0.01, 0.2), 3)),
    "dead": lambda c, _: _weighted(c, (0.0, 7), (c.uniform(0.01, 0.2), 3)),
    "wrong": lambda _, __: 0.0,
    "noise": lambda c, _: _weighted(c, (0.0, 2), (0.3, 4), (1.0, 3), (3.0, 1)),
    "neighbour": lambda c, _: c.random() < 0.12,
    "logs": _logs,
    "level": lambda c, _: _weighted(c, ("info", 80), ("warn", 7), ("error", 13)),
    "access": lambda c, _: c.random() < 0.85,
    "cached": lambda _, __: False,
    "files": lambda c, _: _weighted(c, (1, 5), (c.randint(2, 8), 5)),
    "counter": lambda c, _: _weighted(c, (1, 6), (c.randint(2, 240), 4)),
    "header_again": lambda c, _: c.random() < 0.2,
    "layout": lambda c, _: _weighted(c, ("rtmt", 6), ("flat", 4)),
    "record": lambda c, d: c.random() < 0.6 and d["layout"] == "rtmt",
    "modified": lambda c, _: _weighted(c, ("utc", 30), ("local", 30), ("pc", 5), ("copy", 20), ("none", 15)),
    "starts": lambda c, _: _weighted(c, (0, 15), (1, 65), (2, 15), (3, 5)),
}


def draw(seed: int, given: Mapping[str, Any]) -> Choices:
    """Draw what is not given; one choice more or less changes no other that does not depend on it."""
    if unknown := set(given) - set(DRAWS):
        raise TypeError(f"no such choice: {', '.join(sorted(unknown))}")
    root = random.Random(seed)
    drawn: dict[str, Any] = {}
    for name, how in DRAWS.items():
        chance = random.Random(root.getrandbits(64))
        drawn[name] = given[name] if name in given else how(chance, {**given, **drawn})
        if name == "start" and not isinstance(drawn[name], datetime):
            day: date = drawn[name]
            clock = timedelta(seconds=chance.randrange(86_400))
            drawn[name] = datetime(day.year, day.month, day.day) + clock  # noqa: DTZ001
    return Choices(**drawn)


# ---- what is true --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Enrolled:
    """An enrollment as it really was. ``aside``: how far its lines at IIS were displaced, in s."""

    device: str
    tag: str
    call: float
    result: float
    outcome: Outcome
    aside: float = 0.0
    calls: list[Place] = field(default_factory=list)
    """CAPF's lines of its call and of its result."""
    asked: list[Place] = field(default_factory=list)
    """IIS's lines of it, in their order."""


@dataclass(slots=True)
class Truth:
    """What capflog is to find out.

    ``zone``: of the node at its first stamp, in s. ``lines``: when each stamped line of CAPF's and of error.log's was
    written; ``unstamped``: the same of the others (and of CiscoRA's); ``answers``: when IIS had given each answer that
    it logs, on the node's clock.

    ``date_by``, ``zone_by``: what tells them, None: nothing does. ``shifts``: where nothing but IIS tells the zone, it
    is told modulo IIS's offset, in whole quarters of an hour, and all times are found so many ms later than they were;
    more than one where the offset is halfway between two, or where IIS's clock jumped from one to the other.
    ``zones``: which zones at the first stamp are right: where all that tells the zone is of after its change, no
    longer ``zone`` alone.
    """

    zone: int
    begin: float
    end: float
    lines: dict[Place, float]
    unstamped: dict[Place, float]
    answers: dict[Place, float]
    enrollments: list[Enrolled]
    offset: float
    drift: float
    step: float
    stepped: float
    date_by: Literal["error.log", "record", "iis"] | None = None
    zone_by: Literal["access", "record", "files", "iis"] | None = None
    shifts: tuple[int, ...] = (0,)
    zones: tuple[int, ...] = ()
    bracketed: int = 0

    def offset_at(self, at: float) -> float:
        """Say how much IIS's clock is ahead of the node's at a time, in s."""
        jumped = self.step if self.step and at >= self.stepped else 0.0
        return self.offset + (at - self.begin) / SECOND * self.drift * 1e-6 + jumped

    @property
    def date_determined(self) -> bool:
        return self.date_by is not None

    @property
    def zone_determined(self) -> bool:
        return self.zone_by is not None


@dataclass(slots=True)
class Site:
    """The logs of a site, and the truth about them."""

    seed: int
    choices: Choices
    members: list[Held]
    truth: Truth
    sources: dict[str, LogName]
    """What each member is, but RTMT's record."""
    node: NodeZone


# ---- what happens --------------------------------------------------------------------------------------------------

#: The usual range of what takes time, in ms; each bundle has its own within it, each enrollment some more or less.
HOPS: dict[str, tuple[float, float]] = {
    "call": (0.5, 8),
    "tls": (15, 120),
    "challenge": (0.8, 5),
    "again": (0.5, 6),
    "work": (0.3, 3),
    "ca tls": (10, 60),
    "login": (0.2, 4),
    "next": (0.2, 1.5),
    "told": (1, 8),
    "form": (20, 400),
    "post": (10, 300),
    "fetch": (0.5, 20),
    "pkcs7": (3, 40),
    "back": (0.3, 4),
}


class Pace:
    """How long things take at a site."""

    def __init__(self, chance: random.Random, choices: Choices) -> None:
        self._chance = chance
        self._usual = {hop: _log_uniform(chance, *HOPS[hop]) * choices.pace for hop in HOPS}
        self._usual["net"] = choices.network
        if choices.slow:
            self._usual["form"] = choices.slow

    def __call__(self, hop: str) -> float:
        took = self._usual[hop] * math.exp(self._chance.gauss(0, 0.3))
        if self._chance.random() < 0.01:
            took *= self._chance.uniform(2, 12)
        return max(took, 0.05)


@dataclass(slots=True)
class Request:
    """A request to IIS: all but the stamp of its line up to time-taken; when it came in, when its answer was out."""

    begin: float
    end: float
    text: str
    of: Enrolled | None = None


@dataclass(slots=True)
class Exchange:
    """What CES did for an enrollment.

    When the two connections brought a request, when the first was answered, when CES told of its five steps at the CA,
    when it answered; and what it asked the CA.
    """

    enrolled: Enrolled
    first: float
    challenged: float
    second: float
    told: list[float]
    answered: float
    requests: list[Request]
    reqid: int = 0


def _by(client: str, user: str, agent: str, referer: str = "-") -> str:
    return f"443 {user} {client} {agent} {referer}"


def _asks(
    pace: Pace, at: float, client: str, reqid: int, form: float, post: float
) -> tuple[list[Request], list[float]]:
    """Ask the CA for a certificate: CES's seven requests from ``at`` on, and when it tells of its five steps."""
    requests: list[Request] = []
    told: list[float] = []
    ces = _by(client, blocks.USER, CES_AGENT)
    page = f"https://{blocks.HOST}:443/certsrv/certrqxt.asp"

    def asked(since: float, took: float, text: str) -> float:
        begin = since + pace("net")
        requests.append(Request(begin, begin + took, f"{blocks.WEB_SERVER} {text}"))
        return begin + took + pace("net")

    def login(since: float) -> None:
        challenged = asked(
            since + pace("ca tls"), pace("login"), f"GET /certsrv - {_by(client, '-', CES_AGENT)} 401 1 2148074254"
        )
        told.append(asked(challenged + pace("next"), pace("login"), f"GET /certsrv - {ces} 301 0 0") + pace("told"))

    login(at)
    told.append(asked(told[-1] + pace("next"), form, f"GET /certsrv/certrqxt.asp - {ces} 200 0 0") + pace("told"))
    login(told[-1] + pace("next"))
    posted = f"POST /certsrv/certfnsh.asp - {_by(client, blocks.USER, CES_AGENT, page)} 200 0 0"
    told.append(asked(told[-1] + pace("next"), post, posted) + pace("told"))
    fetched = f"GET /certsrv/certnew.cer ReqID={reqid}&ENC=b64 {ces} 200 0 0"
    told.append(asked(told[-1] + pace("next"), pace("fetch"), fetched) + pace("told"))
    return requests, told


class Happening:
    """All that happens at a site."""

    def __init__(self, seed: int, choices: Choices) -> None:
        self.choices = choices
        self.zone = zone_of(choices.zone)
        root = random.Random(f"{seed} happening")
        names = ("pace", "arrivals", "enrollments", "starts", "noise", "files")
        self.chance = {name: random.Random(root.getrandbits(64)) for name in names}
        self.pace = Pace(self.chance["pace"], choices)
        self.begin = float(self.zone.utc(choices.start)) + self.chance["arrivals"].random() * SECOND
        self.end = self.begin + choices.hours * HOUR
        self.starts = self._starts()
        self.reqid = self.chance["enrollments"].randint(8, 4_000)
        self.exchanges: list[Exchange] = []
        self.enrolled = self._enrolled()

    # When

    def busy(self, at: float) -> float:
        """Say how much goes on at that hour of the node's day (0 to 1)."""
        hour = self.zone.wall(at) % DAY / HOUR
        if 7 <= hour < 19:
            return 1.0
        return max(0.4, self.choices.night) if 5 <= hour < 22 else self.choices.night

    def moments(self, chance: random.Random, count: int) -> list[float]:
        """Place so many moments by the hours: their gaps are exponential at each rate."""
        span = self.end - self.begin
        flat = all(self.busy(self.begin + span * k / 50) < 0.01 for k in range(51))
        found: list[float] = []
        while len(found) < count:
            at = self.begin + chance.random() * span
            if flat or chance.random() < self.busy(at):
                found.append(at)
        return sorted(found)

    def _starts(self) -> list[float]:
        chance, choices = self.chance["starts"], self.choices
        if not choices.starts:
            return []
        first = self.begin - chance.uniform(80, 600) * SECOND
        found = [first]
        for at in self.moments(chance, choices.starts - 1):
            if at > found[-1] + 5 * MINUTE:
                found.append(at)
        return found

    def _arrivals(self) -> list[float]:
        chance, choices = self.chance["arrivals"], self.choices
        found = [self.begin, *self.moments(chance, choices.enrollments - 1)]
        at = 1
        while choices.bursts and at < len(found):
            if chance.random() < choices.bursts / 4:
                size = chance.randint(3, 8)
                for k in range(at + 1, min(at + size, len(found))):
                    found[k] = found[at] + chance.uniform(0.02, 4) * SECOND
                at += size
            at += 1
        # While CES starts nobody is served: who came then comes afterwards.
        for k, when in enumerate(found):
            for start in self.starts:
                if start - 15 * SECOND < when < start + 80 * SECOND:
                    found[k] = start + chance.uniform(80, 200) * SECOND
        return sorted(found)

    # Enrollments

    def _enrolled(self) -> list[Enrolled]:
        chance, choices = self.chance["enrollments"], self.choices
        phones = [
            f"SEP{number:012X}" for number in chance.sample(range(0x0C75BD000000, 0x0C75BDFFFFFF), choices.enrollments)
        ]
        found: list[Enrolled] = []
        for call in self._arrivals():
            fate = chance.random()
            if fate < choices.dead:
                enrolled = self._dead(phones.pop(), call)
            elif fate < choices.dead + choices.refused:
                enrolled = self._served(phones.pop(), call, "refused")
            elif fate < choices.dead + choices.refused + choices.late:
                enrolled = self._served(phones.pop(), call, "late")
            else:
                enrolled = self._served(phones.pop(), call, "issued")
            found.append(enrolled)
        served = [exchange for exchange in self.exchanges if len(exchange.requests) == 7]
        for number, exchange in enumerate(sorted(served, key=lambda e: e.requests[5].end), start=self.reqid):
            exchange.reqid = number
            last = exchange.requests[6]
            last.text = last.text.replace("ReqID=0&", f"ReqID={number}&")
        return found

    def _dead(self, device: str, call: float) -> Enrolled:
        chance = self.chance["enrollments"]
        took = chance.uniform(1, 30) if chance.random() < 0.5 else CAPF_WAITS + chance.uniform(20, 60)
        return Enrolled(device, f"{device}@{int(call)}", call, call + took, "dead")

    def _served(self, device: str, call: float, wanted: Outcome) -> Enrolled:
        chance, pace = self.chance["enrollments"], self.pace
        first = call + pace("call") + pace("tls")
        challenged = first + pace("challenge")
        second = challenged + pace("again") + pace("tls")
        form, post = min(pace("form"), CURL_WAITS), min(pace("post"), CURL_WAITS)
        if wanted == "late":
            form, post = chance.uniform(5_000, CURL_WAITS), chance.uniform(5_300, CURL_WAITS)
        requests, told = _asks(pace, second + pace("work"), blocks.NODE, 0, form, post)
        if wanted == "refused":
            requests, told = requests[:3], told[:2]
        answered = told[-1] + pace("pkcs7")
        result, outcome = answered + pace("back"), wanted
        if answered > second + CAPF_WAITS:
            result, outcome = second + CAPF_WAITS + chance.uniform(5, 45), "late"
        enrolled = Enrolled(device, f"{device}@{int(call)}", call, result, outcome)
        if chance.random() < self.choices.wrong:
            enrolled.aside = round(chance.uniform(-60, 60), 3)
        for request in requests:
            request.of = enrolled
            request.begin += enrolled.aside * SECOND
            request.end += enrolled.aside * SECOND
        self.exchanges.append(Exchange(enrolled, first, challenged, second, told, answered, requests))
        return enrolled


# ---- logs ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Piece:
    """What a program writes in one go: text with ``{stamp}`` where it stamps, when, and whose it is.

    ``stamp``: the time that it stamps it with, where that is another one.
    """

    at: float
    text: bytes
    of: Enrolled | None = None
    stamp: float | None = None


@dataclass(slots=True)
class Line:
    """A physical line, without its end."""

    at: float
    text: bytes
    of: Enrolled | None
    stamped: bool


def _lines(pieces: Iterable[Piece], stamp: Callable[[float], bytes]) -> list[Line]:
    """Write pieces in the order of time, those of one moment in the order given."""
    found: list[Line] = []
    for piece in sorted(pieces, key=lambda piece: piece.at):
        mark = stamp(piece.at if piece.stamp is None else piece.stamp)
        found += [
            Line(piece.at, text.replace(b"{stamp}", mark), piece.of, text.startswith(b"{stamp}"))
            for text in piece.text.removesuffix(b"\n").split(b"\n")
        ]
    return found


def _fill(text: bytes, **values: object) -> bytes:
    for name, value in values.items():
        text = text.replace(b"{%b}" % name.encode(), str(value).encode("latin-1"))
    return text


class Writer:
    """Writes the logs of what happened."""

    def __init__(self, what: Happening) -> None:
        self.what, self.zone, self.choices = what, what.zone, what.choices
        self.chance = what.chance["noise"]
        self.hours = max(what.choices.hours, 0.5)
        self._chains: list[Request] = []
        self._dates: dict[int, tuple[int, int, int]] = {}
        self.ciscora: list[list[Piece]] = []
        self._nginx_starts: list[Piece] = []
        self._pids: list[tuple[float, tuple[int, ...]]] = []
        for start in what.starts:
            self._ces_starts(start + what.chance["starts"].uniform(9, 30) * SECOND)

    # Stamps

    def _day(self, wall: int) -> tuple[int, int, int]:
        day = wall // DAY
        if day not in self._dates:
            when = _EPOCH + timedelta(days=day)
            self._dates[day] = (when.year, when.month, when.day)
        return self._dates[day]

    @staticmethod
    def _clock(wall: int) -> str:
        s = wall // SECOND % 86_400
        return f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}"

    def capf_stamp(self, at: float) -> bytes:
        return capf_stamp(self.zone.wall(at))

    def nginx_stamp(self, at: float) -> bytes:
        wall = self.zone.wall(at)
        year, month, day = self._day(wall)
        return f"{year:04d}/{month:02d}/{day:02d} {self._clock(wall)}".encode()

    def access_stamp(self, at: float) -> str:
        wall = self.zone.wall(at)
        year, month, day = self._day(wall)
        return f"{day:02d}/{_MONTHS[month - 1]}/{year}:{self._clock(wall)} {_signed(self.zone.offset(at))}"

    def java_date(self, at: float) -> str:
        """Write a time as Java's ``Date.toString`` does."""
        wall = self.zone.wall(at)
        year, month, day = self._day(wall)
        weekday = _WEEKDAYS[(wall // DAY + 3) % 7]
        zone = self.zone.abbreviation(at)
        return f"{weekday} {_MONTHS[month - 1]} {day:02d} {self._clock(wall)} {zone} {year}"

    # CAPF

    def capf(self) -> list[Line]:
        pieces = [piece for start in self.what.starts for piece in self._capf_starts(start)]
        issued, failed = blocks.capf_issued(full=True), blocks.capf_failed(full=True)
        for n, enrolled in enumerate(self.what.enrolled):
            call, done = enrolled.call, enrolled.result
            met, key = call - self.chance.uniform(1800, 2600), self.chance.uniform(1450, 1750)
            times = [met, met + 9, met + 97, met + key, call, done]
            names = {"device": enrolled.device, "session": 1 + n % 400, "socket": 5 + n % 400}
            names["length"] = 1947 + 4 * self.chance.randrange(10)
            texts = list(issued) if enrolled.outcome == "issued" else list(failed)
            if enrolled.outcome == "issued":
                after = self.chance.uniform(15, 80)
                times += [done + after, done + after + 130, done + after + 214, done + after + 690]
            else:
                times += [done + 6]
                rv = ("22", "EST_ERR_AUTH_FAIL") if enrolled.outcome == "refused" else ("35", "EST_ERR_SSL_READ")
                if done - call < CAPF_WAITS and enrolled.outcome == "dead":
                    rv = ("43", "EST_ERR_IP_CONNECT")
                texts[5] = texts[5].replace(b"35 (EST_ERR_SSL_READ)", f"{rv[0]} ({rv[1]})".encode())
                texts[5] = texts[5].replace(b"enrollCertUsingEST() : 35", f"enrollCertUsingEST() : {rv[0]}".encode())
            pieces += [Piece(at, _fill(t, **names), enrolled) for at, t in zip(times, texts, strict=True)]
        pieces += self._quiet_phones()
        return _lines(pieces, self.capf_stamp)

    def _quiet_phones(self) -> Iterator[Piece]:
        chance = self.chance
        count = min(400, 4 + round(self.hours * (4 + 8 * self.choices.noise)))
        for n, at in enumerate(self.what.moments(chance, count)):
            names = {"device": f"SEP2C3ECF{chance.randrange(1 << 24):06X}", "session": 401 + n % 300}
            names["socket"] = 405 + n % 300
            if n % 3:
                texts, times = blocks.CAPF_ALIVE, [at, at + chance.uniform(2, 9)]
            else:
                texts, times = blocks.CAPF_QUIET, [at, at + 9, at + 88, at + 131]
            yield from (Piece(when, _fill(text, **names)) for when, text in zip(times, texts, strict=True))

    def _capf_starts(self, at: float) -> Iterator[Piece]:
        init, online = "CServiceParameters::Init()", "CServiceParameters::OnlineCAInit()"
        done = at + self.what.chance["starts"].uniform(64, 70) * SECOND
        for when, text in (
            (at, f"   {init} Certificate Generation Method=OnlineCA:4"),
            (at + 4, f"   {init} TAM password already exists, no need to create."),
            (at + 4, f"-->{online}"),
            (at + 34, f"   {online} Online CA hostname is {blocks.HOST}"),
            (at + 35, f"   {online} Online CA Port : 443"),
            (at + 36, f"   {online} Online CA Template is CiscoRA"),
            (at + 192, f"   {online} nginx.conf Updated and Credential.txt file is created"),
            (at + 192, f"   {online} Reading CAPF Service Parameters done"),
            (at + 192, f"<--{online}"),
            (at + 193, f"   {init} OnlineCA Initialized"),
            (done, f"   {init} Cisco RA Service Start Initiated. Please check NGINX logs for further details"),
            (done + 59, "-->debug"),
            (done + 59, "   debug CA Type is Online CA, setting up EST Connection"),
            (done + 59, "<--debug"),
            (done + 59, "-->debug"),
            (done + 59, "   debug Inside setUpESTClient"),
            (done + 59, "<--debug"),
            (done + 490, "-->debug"),
            (done + 490, "   debug est_client_set_auth() Successful!!"),
            (done + 490, "<--debug"),
        ):
            yield Piece(when, f"{{stamp}} |{text}\n".encode())

    # CES

    def _ces_starts(self, at: float) -> None:
        """Start CES: its lines in the CiscoRA log and their twins in error.log, and what it asks of the CA."""
        chance = self.what.chance["starts"]
        pace, pid = self.what.pace, chance.randint(3_000, 31_000)
        pids = tuple(range(pid + 4, pid + 8))
        ciscora: list[Piece] = []

        def both(when: float, text: str) -> None:
            ciscora.append(Piece(when, f"nginx: [warn] {text}\n".encode()))
            self._nginx_starts.append(Piece(when, f"{{stamp}} [warn] {pid}#0: {text}\n".encode()))

        def noted(when: float, level: str, number: int, text: str) -> None:
            self._nginx_starts.append(Piece(when, f"{{stamp}} [{level}] {number}#0: {text}\n".encode()))

        both(at, "CA Chain requested but this value has not yet been set")
        both(at, "CA Cert response requested but this value has not yet been set")
        at += chance.uniform(30, 200)
        subjects = ("/O=Cisco/CN=ACT2 SUDI CA", "/O=Cisco Systems/CN=Cisco Root CA 2048", blocks.CA)
        for subject in subjects:
            both(at, f"ossl_init_cert_store: Adding cert to store ({subject})")
        base, done = f"https://{blocks.HOST}:443/certsrv", "Secure connection to MS CertServ completed successfully"
        chain = "/certnew.p7b?ReqID=CACert&Renewal=0&Enc=bin"
        ces = _by(blocks.NODE, blocks.USER, CES_AGENT)
        at += pace("ca tls")
        for text, told in (
            (f"GET /certsrv - {_by(blocks.NODE, '-', CES_AGENT)} 401 1 2148074254", ""),
            (f"GET /certsrv - {ces} 301 0 0", f"login_to_certsrv_ca: {done} using the following URL {base}"),
            (
                f"GET /certsrv/certnew.p7b ReqID=CACert&Renewal=0&Enc=bin {ces} 200 0 0",
                f"retrieve_cacerts: {done} using the following URL {base}{chain}",
            ),
        ):
            begin = at + pace("net")
            request = Request(begin, begin + pace("fetch"), f"{blocks.WEB_SERVER} {text}")
            self._chains.append(request)
            at = request.end + pace("net")
            if told:
                at += pace("told")
                noted(at, "info", pid, told)
        noted(at, "info", pid, "ra_certsrv_ca_plugin_postconf: CA Cert chain retrieved from CA, will be passed to EST")
        est = ["[est_log_version:216]--> libest 2.2.0 (API level 4)"]
        est += [f"[ossl_init_cert_store_from_raw:182]--> Adding cert to store ({subject})" for subject in subjects]
        ciscora += [Piece(at + 2, f"***EST [INFO]{text}\n".encode()) for text in est]
        both(at + 9, "pop_enabled off in nginx.conf. Disabling EST Proof of Possession")
        ciscora.append(Piece(at + 15, f"EnrollmentService.sh : nginx server PID value = {pid + 3}\n".encode()))
        noted(at + 20, "notice", pid + 3, "start worker processes")
        for number in pids:
            noted(at + 20, "notice", pid + 3, f"start worker process {number}")
        self.ciscora.append(ciscora)
        self._pids.append((at, pids))

    def _who(self, accepted: Sequence[float], at: float, worker: int) -> str:
        """Name worker and connection: connections are counted from each start on."""
        began, pids = -math.inf, tuple(range(31_071, 31_075))
        for when, of in self._pids:
            if when <= at:
                began, pids = when, of
        number = bisect_right(accepted, at) - bisect_left(accepted, began)
        return f"{pids[worker % len(pids)]}#0: *{number}"

    def nginx(self) -> list[Line]:
        strangers = self._strangers()
        accepted = sorted(
            [at for e in self.what.exchanges for at in (e.first, e.second)] + [at for at, *_ in strangers]
        )
        pieces = list(self._nginx_starts)
        for n, exchange in enumerate(self.what.exchanges):
            pieces += self._exchange(exchange, self._who(accepted, exchange.second, n))
        for n, (at, text, names) in enumerate(strangers):
            pieces.append(Piece(at, _fill(text, who=self._who(accepted, at, n), **names)))
        lines = _lines(pieces, self.nginx_stamp)
        hidden = {"info": (), "warn": (b"[info]", b"[notice]"), "error": (b"[info]", b"[notice]", b"[warn]")}
        unseen: tuple[bytes, ...] = hidden[self.choices.level]
        unlogged = () if self.choices.access else (b"[log_access", b"[log_header")
        return [
            line
            for line in lines
            if not (line.stamped and any(level in line.text[:34] for level in unseen))
            and not any(function in line.text[:32] for function in unlogged)
        ]

    def _exchange(self, exchange: Exchange, who: str) -> Iterator[Piece]:
        issued, failed = blocks.nginx_issued(full=True), blocks.nginx_failed(full=True)
        outcome = exchange.enrolled.outcome
        length = 1947 + 4 * self.chance.randrange(10)
        names = {"who": who, "first_port": self.chance.randint(32_768, 59_000), "reqid": exchange.reqid}
        names |= {"port": self.chance.randint(32_768, 59_000), "length": length, "content": length - 51}
        names |= {"challenged": self.access_stamp(exchange.first), "received": self.access_stamp(exchange.second)}
        texts = [issued[0], issued[1], *issued[2 : 2 + len(exchange.told)]]
        if outcome == "issued":
            texts.append(issued[7])
        else:
            # The lines after curl's own: the answer that is no certificate.
            ending = failed[2][failed[2].index(b"***EST") :]
            if outcome == "late":
                ending = ending[ending.index(b"\n") + 1 :].replace(
                    b"22 (EST_ERR_AUTH_FAIL)", b"10 (EST_ERR_HTTP_WRITE)"
                )
                ending = ending.replace(b"[Error 401: Unauthorized\n", b"[Error 400: Bad Request\n")
                ending = ending.replace(b"The server was unable to authorize the request.", b"Invalid request.")
                ending = ending.replace(b'HTTP/1.1" 401 ', b'HTTP/1.1" 400 ')
            texts.append(ending)
        times = [exchange.challenged, exchange.second, *exchange.told, exchange.answered]
        for n, (at, text) in enumerate(zip(times, texts, strict=True)):
            stamp = exchange.second if self.choices.cached and n else None
            yield Piece(at, _fill(text, **names), exchange.enrolled, stamp)

    def _strangers(self) -> list[tuple[float, bytes, dict[str, object]]]:
        chance, found = self.chance, []
        count = min(200, round(self.hours * 3 * self.choices.noise))
        for at in self.what.moments(chance, count):
            names: dict[str, object] = {
                "client": f"10.{chance.randint(20, 28)}.{chance.randrange(256)}.{chance.randrange(256)}",
                "path": chance.choice(blocks.PATHS).decode(),
                "port": chance.randint(32_768, 60_000),
                "challenged": self.access_stamp(at),
            }
            found.append((at, chance.choice(blocks.STRANGERS), names))
        return found

    # IIS

    def requests(self) -> list[Request]:
        """List all that IIS is asked, in the order in which it has answered."""
        found = [request for exchange in self.what.exchanges for request in exchange.requests]
        found += [*self._chains, *self._others(), *self._people(), *self._monitor()]
        if self.choices.neighbour:
            for n, at in enumerate(self.what.moments(self.chance, max(10, self.choices.enrollments // 2))):
                form, post = (min(self.what.pace(hop), CURL_WAITS) for hop in ("form", "post"))
                found += _asks(self.what.pace, at, NEIGHBOUR, self.what.reqid + 20_000 + n, form, post)[0]
        return sorted(found, key=lambda request: request.end)

    def _others(self) -> Iterator[Request]:
        chance = self.chance
        count = min(500, round(self.hours * 40 * self.choices.noise))
        for _ in range(count):
            before, after, ending, numbered = chance.choice(blocks.IIS_OTHERS)
            number = b"%d" % chance.randrange(10_000_000) if numbered else b""
            user = (
                b"-" if b" 401 " in ending or after.endswith(b" 80 ") else b"MICHAMEN\\u%05d" % chance.randrange(4_000)
            )
            client = b"10.20.%d.%d" % (chance.randrange(64), chance.randrange(256))
            text = (before + number + after + user + b" " + client + ending).decode().strip()
            begin = chance.uniform(self.what.begin - 10 * MINUTE, self.what.end + 10 * MINUTE)
            yield Request(begin, begin + _log_uniform(chance, 0.3, 2_000), text)

    def _people(self) -> Iterator[Request]:
        """People who ask the CA for certificates with their browsers."""
        chance = self.chance
        for at in self.what.moments(chance, min(25, round(self.hours * self.choices.noise))):
            client = f"10.20.{chance.randrange(64)}.{chance.randrange(256)}"
            nobody, person = _by(client, "-", BROWSER), _by(client, "MICHAMEN\\pat", BROWSER)
            begin = at
            for text in (
                f"GET /certsrv - {nobody} 401 2 5",
                f"GET /certsrv/ - {person} 200 0 0",
                f"GET /certsrv/certrqxt.asp - {person} 200 0 0",
                f"POST /certsrv/certfnsh.asp - {person} 200 0 0",
                f"GET /certsrv/certnew.cer ReqID={self.what.reqid + 9_000}&Enc=b64 {person} 200 0 0",
            )[: chance.randint(1, 5)]:
                request = Request(begin, begin + chance.uniform(1, 300), f"{blocks.WEB_SERVER} {text}")
                yield request
                begin = request.end + chance.uniform(1, 30) * SECOND

    def _monitor(self) -> Iterator[Request]:
        if self.choices.noise < 1:
            return
        at = self.what.begin - self.chance.random() * 5 * MINUTE
        text = f"{blocks.WEB_SERVER} GET /certsrv/ - {_by('10.20.0.9', '-', 'check_http/v2.2')} 401 2 5"
        every = max(5 * MINUTE, (self.what.end - self.what.begin) / 200)
        while at < self.what.end:
            yield Request(at, at + self.chance.uniform(0.5, 5), text)
            at += every


IIS_FIELDS = blocks.IIS_HEADER.decode().replace("\r\n", "\n")


# ---- the bundle ----------------------------------------------------------------------------------------------------


#: CAPF's lines of a call and of its result.
_CALLS = (b":Calling enrollCertUsingEST()", b":Enrollment rv = ")


class Maker:
    """Makes members of logs, and the truth about them."""

    def __init__(self, seed: int, choices: Choices) -> None:
        self.seed, self.choices = seed, choices
        self.what = Happening(seed, choices)
        self.zone = self.what.zone
        self.writer = Writer(self.what)
        self.chance = self.what.chance["files"]
        begin, end = self.what.begin, self.what.end
        self.truth = Truth(
            zone=self.zone.offset(begin),
            begin=begin,
            end=end,
            lines={},
            unstamped={},
            answers={},
            enrollments=self.what.enrolled,
            offset=choices.offset,
            drift=choices.drift,
            step=choices.step,
            stepped=begin + choices.step_at * (end - begin),
        )
        self.members: list[Held] = []
        self.sources: dict[str, LogName] = {}
        self.collected = end + self.chance.uniform(1, 60) * MINUTE + 3 * MINUTE
        self.copied = self.collected + _log_uniform(self.chance, HOUR, 30 * DAY)
        self.pc = zone_of(self.chance.choice(list(ZONES)))
        self._recorded: list[tuple[str, float, int]] = []

    def site(self) -> Site:
        logs = self.choices.logs
        capf, nginx = self.writer.capf(), self.writer.nginx()
        if "capf" in logs:
            self._trace(capf)
        if "ciscora" in logs:
            for number, pieces in enumerate(self.writer.ciscora, start=1):
                self._add("ciscora", self._sdi(f"nginx{number:08d}.txt"), _lines(pieces, self.writer.nginx_stamp))
        if "nginx" in logs and nginx:
            self._add("nginx", "error.log", nginx)
        if "iis" in logs:
            self._iis()
        if self.choices.record and self._recorded:
            self._record()
        stamps = [at for lines in (self.truth.lines, self.truth.unstamped) for at in lines.values()]
        first = min(self.truth.lines.values(), default=min(stamps, default=self.truth.begin))
        self.truth.zone = self.zone.offset(first)
        self._what_tells()
        return Site(self.seed, self.choices, self.members, self.truth, self.sources, self.zone)

    def _sdi(self, name: str) -> str:
        if self.choices.layout == "flat":
            return name
        folder = f"{self.zone.local(self.collected):%Y-%m-%d_%H-%M-%S}"
        return f"cucm-pub/{folder}/cm/trace/capf/sdi/{name}"

    def _trace(self, lines: Sequence[Line]) -> None:
        """Cut CAPF's trace into files of about one size."""
        most = sum(len(line.text) + 1 for line in lines) / self.choices.files
        parts: list[list[Line]] = [[]]
        written = 0
        for line in lines:
            if line.stamped and written >= most * len(parts) and len(parts) < self.choices.files:
                parts.append([])
            parts[-1].append(line)
            written += len(line.text) + 1
        for number, part in enumerate(parts, start=self.choices.counter):
            self._add("capf", self._sdi(f"capf{number:08d}.txt"), part)

    def _add(self, source: LogName, name: str, lines: Sequence[Line], end: bytes = b"\n") -> None:
        if not lines:
            return
        for number, line in enumerate(lines, start=1):
            place = (name, number)
            if source == "iis":
                if line.stamped:
                    self.truth.answers[place] = line.at
                    if line.of is not None:
                        line.of.asked.append(place)
            else:
                (self.truth.lines if line.stamped else self.truth.unstamped)[place] = line.at
                call = source == "capf" and any(words in line.text for words in _CALLS)
                if line.of is not None and call:
                    line.of.calls.append(place)
        content = b"".join(line.text + end for line in lines)
        last = max(line.at for line in lines)
        if source == "iis":
            last += self.truth.offset_at(last) * SECOND
        modified, is_local = self._modified(last)
        owners = tuple(line.of.tag if line.of is not None else None for line in lines)
        self.members.append(Held(name, content, modified, is_local, owners))
        self.sources[name] = source
        if "/sdi/" in name:
            self._recorded.append((name.rpartition("/")[2], last, len(content)))

    def _modified(self, last: float) -> tuple[datetime | None, bool]:
        kind = self.choices.modified
        if kind == "none":
            return None, False
        if kind in ("utc", "copy"):
            at = last if kind == "utc" else self.copied
            return datetime.fromtimestamp(math.floor(at / SECOND), UTC), False
        zone = self.zone if kind == "local" else self.pc
        return zone.local(math.floor(last / SECOND) * SECOND), True

    def _iis(self) -> None:
        """Stamp IIS's lines by its clock and part them by that clock's day."""
        requests = self.writer.requests()
        again = self.chance.randrange(len(requests)) if self.choices.header_again else -1
        files: dict[str, list[Line]] = {}
        for number, request in enumerate(requests):
            there = math.floor((request.end + self.truth.offset_at(request.end) * SECOND) / SECOND)
            stamp = f"{_EPOCH + timedelta(seconds=there):%Y-%m-%d %H:%M:%S}"
            name = f"u_ex{stamp[2:4]}{stamp[5:7]}{stamp[8:10]}.log"
            if self.choices.layout == "rtmt":
                name = f"W3SVC1/{name}"
            lines = files.setdefault(name, [])
            if not lines or number == again:
                header = IIS_FIELDS.replace("{stamp}", stamp).splitlines()
                lines += [Line(request.end, text.encode(), None, stamped=False) for text in header]
            text = f"{stamp} {request.text} {self._taken(request)}"
            lines.append(Line(request.end, text.encode(), request.of, stamped=True))
        for name in sorted(files):
            self._add("iis", name, files[name], b"\r\n")

    def _taken(self, request: Request) -> int:
        if not self.choices.timer:
            return int(request.end - request.begin)
        tick = self.choices.timer
        return math.floor(request.end // tick * tick) - math.floor(request.begin // tick * tick)

    def _record(self) -> None:
        """Write RTMT's record of what it collected."""
        files = "".join(
            f'        <FileName name="/var/log/active/cm/trace/capf/sdi/{name}" '
            f'modifiedDate="{self.writer.java_date(last)}" size="{size}"/>\n'
            for name, last, size in self._recorded
        )
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<TraceCollectionResult>\n'
            f'  <Node name="{blocks.NODE}">\n    <ServiceName name="Cisco Certificate Authority Proxy Function">\n'
            f'      <FileType name="sdi">\n{files}      </FileType>\n'
            "    </ServiceName>\n  </Node>\n</TraceCollectionResult>\n"
        )
        name = f"TraceCollectionResult_{self.zone.local(self.collected):%Y-%m-%d_%H-%M-%S}_cucm-pub.xml"
        modified, is_local = self._modified(self.collected)
        self.members.append(Held(name, text.encode(), modified, is_local))

    # What the logs determine

    def _what_tells(self) -> None:
        truth, choices, logs = self.truth, self.choices, self.choices.logs
        seen = [e for e in truth.enrollments if e.outcome == "issued" and len(e.asked) == 7 and len(e.calls) == 2]
        truth.bracketed = len(seen)
        rightly = sum(1 for e in seen if not e.aside)
        answered = [e for e in truth.enrollments if e.outcome == "issued" and len(e.asked) == 7 and not e.aside]
        told_by_ces = "nginx" in logs and choices.level == "info" and len(answered) >= 3
        log = next((member for member in self.members if self.sources.get(member.name) == "nginx"), None)
        written = list(zip(log.content.split(b"\n"), log.owners, strict=False)) if log is not None else []
        access = any(b"[log_access" in text for text, _ in written)
        told = any(
            owner is not None or (text[:1].isdigit() and _CONNECTION not in text)
            for text, owner in written
            if text[:1].isdigit() or b"[log_access" in text
        )
        recorded = choices.record and any(name.startswith("capf") for name, *_ in self._recorded)
        names = {self.zone.abbreviation(last) for _, last, _ in self._recorded}
        # Near a change one of a zone's two names does not do: who has no summer time may bear it, too.
        near = {self.zone.abbreviation(at) for at in (truth.begin - 2 * DAY, truth.end + 2 * DAY)}
        named = recorded and not names & AMBIGUOUS and names >= near
        if "capf" in logs:
            truth.date_by = "error.log" if told else "record" if recorded else "iis" if rightly >= 3 else None
        if access:
            truth.zone_by = "access"
        elif named:
            truth.zone_by = "record"
        elif choices.modified == "utc" and sum(s == "capf" for s in self.sources.values()) > 1:
            # Two files that were last written when their last lines were, in UTC, tell the zone of these.
            truth.zone_by = "files"
        elif rightly >= 3 or (told_by_ces and "iis" in logs):
            shifts = _quarters(truth)
            if truth.date_by != "iis":
                # With a date of its own the node's zone has to be one that there is.
                shifts = [shift for shift in shifts if -43_200 <= truth.zone - shift / SECOND <= 50_400]
            if shifts:
                truth.zone_by, truth.shifts = "iis", tuple(shifts)
        truth.zones = (truth.zone, *self._zones_told(seen))

    def _zones_told(self, seen: Sequence[Enrolled]) -> list[int]:
        """List the zones after a change before which too little tells the zone, in s.

        One record of libEST's does, or two files; of enrollments that IIS shows a few, and a share of them all.
        """
        zone, lines = self.truth.zone, self.truth.lines
        told = [e.call for e in seen if not e.aside]
        least = max(6, len(told) // 8)
        if self.truth.zone_by == "access":
            told, least = [exchange.answered for exchange in self.what.exchanges], 1
        elif self.truth.zone_by == "files":
            lasts: dict[str, float] = {}
            for (name, _), at in lines.items():
                lasts[name] = max(at, lasts.get(name, at))
            told, least = list(lasts.values()), 2
        elif self.truth.zone_by == "record":
            least = 0
        before = sum(self.zone.offset(at) == zone for at in told)
        return sorted({self.zone.offset(at) for at in lines.values()} - {zone}) if before < least else []


#: NGINX's record of a request or of a stranger: it names a connection, which records of a start do not.
_CONNECTION = b"#0: *"


def _quarters(truth: Truth) -> list[int]:
    """List what may be taken for a part of the zone in IIS's offset, the likeliest first, in ms."""
    middle = truth.offset_at((truth.begin + truth.end) / 2) * SECOND
    about = [middle, *(truth.offset_at(at) * SECOND for at in (truth.begin, truth.end))]
    near = [round(away / QUARTER) * QUARTER for away in about]
    near += [round((away + aside) / QUARTER) * QUARTER for away in about for aside in (-8 * SECOND, 8 * SECOND)]
    return list(dict.fromkeys(near))


def simulate(seed: int, **choices: Any) -> Site:
    """Make the site of a seed; what is not chosen (see :class:`Choices`) is drawn."""
    return Maker(seed, draw(seed, choices)).site()


def write(site: Site, path: Path) -> None:
    """Write a site's members as a zip with their times: wall time, and UTC beside it where it is known (Info-ZIP)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in site.members:
            when, extra = member.modified, b""
            if when is not None and when.tzinfo is not None:
                extra = struct.pack("<HHBl", 0x5455, 5, 1, int(when.timestamp()))
                when = site.node.local(when.timestamp() * SECOND)
            entry = zipfile.ZipInfo(member.name, when.timetuple()[:6] if when is not None else (1980, 1, 1, 0, 0, 0))
            entry.extra, entry.create_system, entry.external_attr = extra, 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.content)


# ---- how well capflog finds it -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Measured:
    """How well an analysis of a site agrees with the truth; None: there is nothing to be right about. Times in s.

    ``sure_and_wrong``: it says of a clock that it knows zone and date, and does not. ``capf_*``: error of CAPF's times,
    but for what nothing can tell (:attr:`Truth.shifts`). ``offset_error``: of IIS's offset, in the middle of CES's
    requests to it, or of those after its jump; ``offset_worst``: the farthest error of what was taken off a stamp of
    one of CES's requests. ``iis_*``: how far the middle of a line's interval is from where a perfect offset would put
    it: that a stamp is of whole seconds is no part of it; ``inside``: share of the lines whose interval holds the
    truth.
    """

    site: str
    date_right: bool | None = None
    zone_right: bool | None = None
    zone_found: int | None = None
    assumed: bool | None = None
    sure_and_wrong: bool = False
    capf_median: float | None = None
    capf_p95: float | None = None
    offset_found: float | None = None
    offset_error: float | None = None
    uncertainty: float | None = None
    in_bound: bool | None = None
    quality: str = ""
    offset_worst: float | None = None
    iis_median: float | None = None
    iis_p95: float | None = None
    inside: float | None = None
    brackets: int = 0

    def faults(self, truth: Truth) -> list[str]:
        """Say what is wrong that the logs determine, or that is claimed."""
        found = []
        if truth.date_determined and self.date_right is False:
            found.append(f"date ({self.capf_median:.0f} s)")
        if truth.zone_determined and self.zone_right is False:
            found.append(f"zone ({self.zone_found} for {truth.zone})")
        if self.sure_and_wrong:
            found.append("sure")
        if self.in_bound is False:
            found.append(f"bound ({self.offset_error:+.3f} > {self.uncertainty:.3f})")
        if self.brackets >= 3 and self.quality == "none":
            found.append("no offset")
        return found


def _high(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def _rows(frame: pd.DataFrame, source: str) -> Iterator[tuple[Place, float | None, float | None, float | None]]:
    """Give a source's rows: place, then time, earliest and latest in ms."""
    own = frame[frame["source"] == source]
    columns = [
        own[name].astype("datetime64[ms, UTC]").astype("int64").tolist() for name in ("time", "earliest", "latest")
    ]
    for member, line, *times in zip(own["member"].astype(str), own["line"].tolist(), *columns, strict=True):
        time, earliest, latest = (at if abs(at) < 1 << 60 else None for at in times)
        yield (member, line), time, earliest, latest


def _clock(analysis: Analysis, source: str) -> Clock | None:
    found = [clock for clock in analysis.report.clocks if clock.source == source]
    return max(found, key=lambda clock: len(clock.members), default=None)


def measure(site: Site, analysis: Analysis) -> Measured:
    """Compare what capflog found with the truth."""
    truth, frame = site.truth, analysis.table
    found = Measured("+".join(site.choices.logs), brackets=truth.bracketed)
    capf = [
        (at, truth.lines[place]) for place, at, *_ in _rows(frame, "capf") if at is not None and place in truth.lines
    ]
    nginx = [(at, truth.lines[p]) for p, at, *_ in _rows(frame, "nginx") if at is not None and p in truth.lines]
    shift = 0
    clock = _clock(analysis, "capf") or _clock(analysis, "nginx")
    if node := capf or nginx:
        # Where no zone is told times are the node's own.
        unknown = clock is not None and clock.utc_offset_seconds is None
        own = [site.node.offset(at) * SECOND for at in (truth.begin, truth.end)] if unknown else []
        shifts = {0, *truth.shifts, *own}
        if truth.zone_by == "iis":
            # There is no zone for every quarter: the next one that there is may be farther off.
            shifts |= {shift + aside * QUARTER for shift in truth.shifts for aside in (-2, -1, 1, 2)}
        errors = {s: statistics.median(abs(at - true - s) for at, true in node) for s in shifts}
        shift = min(errors, key=lambda s: errors[s])
    if clock is not None:
        found.assumed, found.zone_found = clock.assumed, clock.utc_offset_seconds
        wanted = [known - s // SECOND for s in {0, *truth.shifts, shift} for known in truth.zones]
        zone = clock.utc_offset_seconds
        # Where IIS tells both, a zone has a twin a day apart, and the date with it.
        found.zone_right = zone is not None and any((zone - w) % 86_400 == 0 for w in wanted)
    if capf:
        away = [abs(at - true - shift) / SECOND for at, true in capf]
        found.capf_median, found.capf_p95 = statistics.median(away), _high(away)
        found.date_right = found.capf_median < 1
    right = found.zone_right is not False and found.date_right is not False
    found.sure_and_wrong = found.assumed is False and not right
    iis = _clock(analysis, "iis")
    if iis is not None:
        _measure_iis(site, iis, analysis, shift, found)
    return found


def _of_ces(site: Site) -> dict[Place, float]:
    """Give CES's requests at IIS, with the times at which they were answered."""
    agent, client = CES_AGENT.encode(), blocks.NODE.encode()
    return {
        (member.name, number): site.truth.answers[member.name, number]
        for member in site.members
        if site.sources.get(member.name) == "iis"
        for number, line in enumerate(member.content.split(b"\r\n"), start=1)
        if agent in line and client in line and (member.name, number) in site.truth.answers
    }


def _measure_iis(site: Site, clock: Clock, analysis: Analysis, shift: int, found: Measured) -> None:
    truth, frame = site.truth, analysis.table
    found.quality, found.offset_found = clock.quality, clock.offset_seconds
    if clock.offset_seconds is None:
        return
    asked = _of_ces(site)
    times = list(asked.values())
    if truth.step and any(at >= truth.stepped for at in times):
        times = [at for at in times if at >= truth.stepped]
    when = (min(times) + max(times)) / 2 if times else truth.end
    found.offset_error = clock.offset_seconds - (truth.offset_at(when) - shift / SECOND)
    if clock.uncertainty_seconds is not None:
        found.uncertainty = clock.uncertainty_seconds
        found.in_bound = abs(found.offset_error) <= clock.uncertainty_seconds + 0.001
    names, lines = frame["member"].astype(str).tolist(), frame["line"].tolist()
    found.offset_worst = max(
        (
            abs(taken / SECOND - (truth.offset_at(asked[place]) - shift / SECOND))
            for rows, offsets in analysis.alignment.moved
            for row, taken in zip(rows.tolist(), offsets.tolist(), strict=True)
            if (place := (names[row], lines[row])) in asked
        ),
        default=None,
    )
    errors, inside = [], 0
    for place, _, earliest, latest in _rows(frame, "iis"):
        if earliest is None or latest is None or place not in truth.answers:
            continue
        true = truth.answers[place]
        ahead = truth.offset_at(true) * SECOND
        perfect = math.floor((true + ahead) / SECOND) * SECOND - ahead + 499.5 + shift
        errors.append(abs((earliest + latest) / 2 - perfect) / SECOND)
        inside += earliest - 1 <= true + shift <= latest + 1
    if errors:
        found.iis_median, found.iis_p95, found.inside = statistics.median(errors), _high(errors), inside / len(errors)


def _traits(site: Site) -> list[str]:
    """Name the kinds of bundles that a site is of."""
    choices = site.choices
    away = abs(choices.offset)
    size = (
        "none" if not away else "<1 s" if away < 1 else "<1 min" if away < 60 else "<15 min" if away < 896 else "more"
    )
    found = ["all", "+".join(choices.logs), f"offset {size}"]
    found += [f"date by {site.truth.date_by}", f"zone by {site.truth.zone_by}"]
    for name in ("change", "step", "neighbour", "bursts", "slow", "late", "dead", "refused", "wrong", "record"):
        if getattr(choices, name):
            found.append(name)
    found += ["drift > 20 ppm"] if abs(choices.drift) > 20 else []
    found += ["several days"] if choices.hours > 24 else []
    return found


def _shown(choices: Choices) -> str:
    """Show choices in one line: those that differ from nothing."""
    shown = ((f.name, getattr(choices, f.name)) for f in fields(choices))
    return " ".join(f"{name}={value}".replace(" ", "T") for name, value in shown if value not in (0, None, False, ()))


def _run(asked: tuple[int, dict[str, Any]]) -> tuple[list[str], Measured, list[str], str]:
    seed, given = asked
    site = simulate(seed, **given)
    found = measure(site, analyzed(*site.members))
    return _traits(site), found, found.faults(site.truth), _shown(site.choices)


def _share(values: Iterable[bool | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.0f}" if known else "-"


def _number(values: Iterable[float | None], what: Callable[[list[float]], float]) -> str:
    known = [value for value in values if value is not None]
    return f"{what(known):.3f}" if known else "-"


def table_of(runs: Sequence[tuple[list[str], Measured]]) -> str:
    """Make a table of measurements by the kinds of bundles: shares in percent, errors of IIS's times in s."""
    traits = Counter(trait for found, _ in runs for trait in found)
    order = sorted(traits, key=lambda trait: (trait != "all", "+" not in trait, trait))
    heads = ("date", "zone", "wrong", "offset", "bound", "inside", "median", "p95", "worst")
    lines = [f"{'kind':32}{'n':>5}" + "".join(f"{head:>9}" for head in heads)]
    for trait in order:
        own = [measured for found, measured in runs if trait in found]
        cells = (
            _share(m.date_right for m in own),
            _share(m.zone_right for m in own),
            _share(m.sure_and_wrong for m in own),
            _share(m.offset_found is not None for m in own if m.quality),
            _share(m.in_bound for m in own),
            _number((m.inside for m in own), lambda known: 100 * statistics.fmean(known)),
            _number((m.iis_median for m in own), statistics.median),
            _number((m.iis_p95 for m in own), statistics.median),
            _number((m.iis_p95 for m in own), _high),
        )
        lines.append(f"{trait:32}{len(own):>5}" + "".join(f"{cell:>9}" for cell in cells))
    return "\n".join(lines)


def _given(text: str) -> tuple[str, Any]:
    """Read a choice of the command line: ``offset=3.5``, ``logs=capf,iis``, ``start=2024-03-10T01:00``."""
    name, _, value = text.partition("=")
    if name == "logs":
        return name, tuple(value.split(","))
    if name == "start":
        return name, datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)
    if value in ("True", "False", "None"):
        return name, {"True": True, "False": False, "None": None}[value]
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value


def main(words: Sequence[str] | None = None) -> None:
    """Write a bundle, or measure capflog on many."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=main.__doc__)
    parser.add_argument("choices", nargs="*", metavar="choice=value", help="what is not to be drawn: zone=Asia/Kolkata")
    parser.add_argument("--seed", type=int, default=1, help="of the bundle, or of the first one")
    parser.add_argument("--out", type=Path, help="the zip to write")
    parser.add_argument("--measure", type=int, metavar="N", help="run capflog on N bundles")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args(words)
    given = dict(_given(text) for text in asked.choices)
    say = sys.stdout.write
    if asked.measure:
        seeds = range(asked.seed, asked.seed + asked.measure)
        with ProcessPoolExecutor(asked.processes) as pool:
            runs = list(pool.map(_run, ((seed, given) for seed in seeds)))
        say(table_of([(traits, measured) for traits, measured, *_ in runs]) + "\n")
        for seed, (_, _, faults, shown) in zip(seeds, runs, strict=True):
            if faults:
                say(f"seed {seed}: {', '.join(faults)}: {shown}\n")
        return
    site = simulate(asked.seed, **given)
    for choice in fields(site.choices):
        say(f"{choice.name:14}{getattr(site.choices, choice.name)}\n")
    truth = site.truth
    say(f"date by {truth.date_by}, zone {truth.zone} s by {truth.zone_by}, shifts {truth.shifts} ms, ")
    say(f"{truth.bracketed} of {len(truth.enrollments)} enrollments bracketed\n")
    for member in site.members:
        say(f"{len(member.content):>9} {member.modified or '-'!s:26} {member.name}\n")
    if asked.out is not None:
        write(site, asked.out)


if __name__ == "__main__":
    main()
