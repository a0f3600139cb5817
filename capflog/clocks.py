"""One clock: the date of CAPF's lines, the node's zone, the time of CiscoRA's lines and the offset of IIS.

The reference is the CUCM node's clock, which CAPF and NGINX share. Stamps as logged are never changed; :func:`align`
fills the table's ``time``, ``earliest`` and ``latest``:

- the zone is read off libEST's ``log_access`` records, or taken from the match with IIS (whole quarters of an hour);
- the date of CAPF's lines comes from lines of CES or IIS in its attempts, else from hints, and then is assumed;
- the offset of IIS is the one interval that most pairs of a line there and a line here agree on (Marzullo 1984);
- a record without a stamp lies between its neighbours, or has the time of its twin in error.log.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import APART, DAY_MS, Attempt, Trace
from capflog.model import Clock, Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from capflog.starts import Start

#: No time: numpy's NaT seen as an integer.
NONE = np.iinfo(np.int64).min

#: Times are told from year 2 to year 9998, so that zones and days can be added within the years that datetime has. (ms)
FIRST_MS, LAST_MS = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (2, 9999))

#: Zones are whole quarters of an hour (IANA time zone database); local minus UTC lies between these. (ms)
QUARTER_MS = 900_000
ZONE_MIN, ZONE_MAX = -12 * 3_600_000, 14 * 3_600_000

#: Bounds closer than this make a time to show; farther apart a record has bounds alone. (ms)
NARROW_MS = 2_000

#: Requests of CES to the CA that follow one another by less than this are of one piece of work. (ms)
CHAIN_GAP_MS = 30_000

#: Offsets that differ by less than this are one. (ms)
SAME_MS = 5_000

#: How many pairs of lines are compared at the most when the offset of IIS is sought.
PAIRS_MAX = 4_000_000


@dataclass(slots=True)
class Dated:
    """When a member was last changed, as its container tells it. ``local``: without a zone (zip)."""

    modified: datetime | None
    local: bool


@dataclass(slots=True)
class Alignment:
    """What was found out: the clocks for the report, the node's zone (s), the shift of IIS (ms), CAPF's times."""

    clocks: list[Clock]
    zone: int
    zone_known: bool
    iis_known: bool
    capf_at: np.ndarray
    """Node's local time of each line of the trace, in ms since 1970."""
    display_zone: int | None = None
    sources: set[str] = field(default_factory=set)


def _ints(table: pd.DataFrame, column: str) -> np.ndarray:
    return table[column].to_numpy(dtype="int64", na_value=NONE)


def _times(table: pd.DataFrame, column: str) -> np.ndarray:
    """Give a column of times in ms, without those that no report can tell."""
    times = _ints(table, column)
    return np.where((times >= FIRST_MS) & (times < LAST_MS), times, NONE)


def align(
    table: pd.DataFrame,
    trace: Trace,
    attempts: Sequence[Attempt],
    starts: Sequence[Start],
    dated: Mapping[str, Dated],
) -> Alignment:
    """Put every event on the reference clock; fills ``time``, ``earliest`` and ``latest`` of the table."""
    kinds = table["kind"].astype(object).to_numpy()
    source = table["source"].astype(object).to_numpy()
    stamp = _times(table, "stamp")
    function = table["function"].astype(object).to_numpy()
    url = table["url"].astype(object).to_numpy()
    log = _Log(table, kinds, source, stamp, function, url, _times(table, "utc"), _ints(table, "zone"))

    zones = log.zones()
    zone = zones[0] if zones else None
    calls = _calls(log, trace, attempts)
    date_known = True
    bases: list[str] = []
    capf_at = trace.unrolled.copy()
    parts: list[_Calls] = []
    for number, part in zip(np.unique(trace.numbers()), trace.folders(), strict=True):
        own = calls.of_folder(int(number))
        date, basis, known = _date_by_ces(log, part, own.all)
        if date is None:
            date, basis = _date_by_iis(log, own, zone)
            known = date is not None
        if date is None:
            date, basis = _date_by_hints(log, part, dated)
        date_known = date_known and known
        bases += [basis] if basis not in bases else []
        capf_at[trace.numbers() == number] = part.unrolled + date
        parts.append(own.later(date))
    date_basis = "; ".join(bases)
    lo, hi, matched, of = _iis_delta(log, _Calls.together(parts), zone)
    zone_known = zone is not None
    zone_basis = "log_access carries " + _zone_name(zone) if zone is not None else ""
    if zone is None and matched:
        zone = -round((lo + hi) / 2 / QUARTER_MS) * QUARTER_MS // 1000
        zone_known = True
        zone_basis = f"{_zone_name(zone)}, taken from the match with IIS"
    if zone is None:
        zone = 0
        zone_basis = "no line of the logs tells the node's zone: its stamps stand as if they were UTC"
    offset = (lo + zone * 1000, hi + zone * 1000) if matched else None

    time, earliest, latest = (np.full(len(table), NONE, dtype=np.int64) for _ in range(3))
    utc = capf_at - zone * 1000
    time[trace.rows] = earliest[trace.rows] = latest[trace.rows] = utc
    _place_nginx(log, zone, time, earliest, latest)
    _place_iis(log, offset, time, earliest, latest)
    _place_ciscora(log, starts, time, earliest, latest)
    for name, values in (("time", time), ("earliest", earliest), ("latest", latest)):
        table[name] = _datetimes(values)

    clocks = _clocks(
        log, zone, zone_known, zone_basis, date_known, date_basis, offset, matched, of, bool(len(trace.rows))
    )
    return Alignment(
        clocks,
        zone,
        zone_known,
        offset is not None,
        capf_at,
        zone if zone_known else None,
        {str(s) for s in set(source)},
    )


def _datetimes(values: np.ndarray) -> pd.Series:
    import pandas as pd  # noqa: PLC0415

    return pd.Series(values.view("datetime64[ms]")).dt.tz_localize("UTC")


@dataclass(slots=True)
class _Log:
    """The table's columns that the clocks need, as arrays."""

    table: pd.DataFrame
    kind: np.ndarray
    source: np.ndarray
    stamp: np.ndarray
    function: np.ndarray
    url: np.ndarray
    utc: np.ndarray
    zone: np.ndarray

    def of(self, source: str) -> np.ndarray:
        return np.flatnonzero(self.source == source)

    def zones(self) -> list[int]:
        """List the zones that libEST's access records carry, most frequent first, in s."""
        rows = np.flatnonzero((self.kind == "est.access") & (self.zone != NONE))
        return [int(z) for z, _ in Counter(self.zone[rows].tolist()).most_common()]

    def ces_moments(self) -> np.ndarray:
        """Node's local times at which CES was at work on a request, in ms, sorted."""
        nginx = self.source == "nginx"
        at_work = np.isin(self.kind, ["curl.ok", "curl.failed", "curl.data"])
        stamped = self.stamp[nginx & at_work & (self.stamp != NONE)]
        enrolling = np.array([isinstance(url, str) and "enroll" in url for url in self.url], dtype=bool)
        access = nginx & (self.kind == "est.access") & (self.utc != NONE) & enrolling
        return np.sort(np.concatenate([stamped, self.utc[access] + self.zone[access] * 1000]))

    def starts_of_capf(self, trace: Trace) -> np.ndarray:
        """Windows (n, 2) from CAPF's reading of its parameters to its report that CES was started, in trace ms."""
        windows = []
        begun = None
        for p, row in enumerate(trace.rows):
            kind = self.kind[row]
            if kind in ("capf.init", "capf.param"):
                begun = begun if begun is not None else trace.unrolled[p]
            elif kind == "ces.start.requested":
                if begun is not None:
                    windows.append((begun, trace.unrolled[p]))
                begun = None
        return np.array(windows, dtype=np.int64).reshape(-1, 2)

    def iis(self, step: str) -> np.ndarray:
        """Stamps of CES's requests of one kind that IIS answered well, in ms."""
        rows = self.table["source"] == "iis"
        agent = self.table["agent"].astype(object)
        status = self.table["status"].to_numpy(dtype="float64", na_value=np.nan)
        mine = (rows & (agent.isna() | agent.str.startswith("CiscoRA", na=False))).to_numpy()
        paths = {"login": r"/certsrv/?$", "form": "certrqxt", "chain": r"certnew\.p7b", "certificate": r"certnew\.cer"}
        path = self.table["url"].astype("object").str.contains(paths[step], case=False, regex=True, na=False).to_numpy()
        good = (status >= 200) & (status < 400)
        return np.unique(self.stamp[mine & path & good & (self.stamp != NONE)])


@dataclass(frozen=True, slots=True)
class _Calls:
    """CAPF's calls of EST: (n, 2), the call and its answer in ms; ``issued``: those that were answered well."""

    all: np.ndarray
    issued: np.ndarray

    def of_folder(self, number: int) -> _Calls:
        """Give the calls of the n-th folder's trace, since its own first midnight."""
        parts = [p[(p[:, 0] + DAY_MS) // APART == number] - number * APART for p in (self.all, self.issued)]
        return _Calls(*parts)

    @staticmethod
    def together(parts: Sequence[_Calls]) -> _Calls:
        """Put the calls of several traces together."""
        none = np.zeros((0, 2), dtype=np.int64)
        return _Calls(
            np.concatenate([none, *(part.all for part in parts)]),
            np.concatenate([none, *(part.issued for part in parts)]),
        )

    def later(self, ms: int) -> _Calls:
        """Give the same calls on another day."""
        return _Calls(self.all + ms, self.issued + ms)


def _calls(log: _Log, trace: Trace, attempts: Sequence[Attempt]) -> _Calls:
    """Give the calls of the attempts that have both ends, in trace ms."""
    whole = [a for a in attempts if a.call is not None and a.result is not None]
    rows = [(trace.unrolled[a.call], trace.unrolled[a.result]) for a in whole]
    windows = np.array(rows, dtype=np.int64).reshape(-1, 2)
    errors = log.table["error"].astype(object).to_numpy()
    codes = _ints(log.table, "code")
    issued = [
        errors[row] == "EST_ERR_NONE" or (not isinstance(errors[row], str) and codes[row] == 0)
        for row in (trace.rows[a.result] for a in whole)
    ]
    return _Calls(windows, windows[np.array(issued, dtype=bool)])


def _zone_name(seconds: int) -> str:
    sign = "-" if seconds < 0 else "+"
    minutes = abs(seconds) // 60
    return f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _midnight(ms: int) -> int:
    return ms // DAY_MS * DAY_MS


def _hits(windows: np.ndarray, moments: np.ndarray, before: int, after: int) -> int:
    """Count the windows that hold at least one of the (sorted) moments, widened by ``before`` and ``after`` ms."""
    left = np.searchsorted(moments, windows[:, 0] - before, side="left")
    right = np.searchsorted(moments, windows[:, 1] + after, side="right")
    return int((right > left).sum())


def _held(moments: np.ndarray, windows: np.ndarray) -> int:
    """Count the (sorted) moments that lie within at least one of the windows."""
    edges = np.zeros(len(moments) + 1, dtype=np.int64)
    np.add.at(edges, np.searchsorted(moments, windows[:, 0], side="left"), 1)
    np.add.at(edges, np.searchsorted(moments, windows[:, 1], side="right"), -1)
    return int((np.cumsum(edges)[:-1] > 0).sum())


def _date_by_ces(log: _Log, trace: Trace, windows: np.ndarray) -> tuple[int | None, str, bool]:
    """Find the date of the trace's first day by CES's lines that fall into CAPF's attempts and starts."""
    moments = log.ces_moments()
    if not len(moments) or not len(trace.rows):
        return None, "", False
    starts = log.starts_of_capf(trace)
    days = range(-1, int(trace.unrolled[-1] // DAY_MS) + 2)
    candidates = sorted({int(m) * DAY_MS - d * DAY_MS for m in np.unique(moments // DAY_MS) for d in days})
    best = max(
        candidates,
        key=lambda day: (_hits(windows + day, moments, 1000, 2000) + _hits(starts + day, moments, 5000, 5000), day),
    )
    found = _hits(windows + best, moments, 1000, 2000) + _hits(starts + best, moments, 5000, 5000)
    # On the right day CES's work lies within CAPF's calls; on a wrong one some of it does by chance.
    known = np.concatenate([windows + np.array((-1000, 2000)), starts + np.array((-5000, 5000))]) + best
    inside = moments[(moments >= best + trace.unrolled[0] - 1000) & (moments <= best + trace.unrolled[-1] + 2000)]
    if not found or _held(inside, known) * 2 < len(inside):
        return None, "", False
    return best, f"date by {found} of {len(windows) + len(starts)} attempts and starts that error.log shows too", True


def _date_by_iis(log: _Log, calls: _Calls, zone: int | None) -> tuple[int | None, str]:
    """Find the date by IIS's requests, with the zone if it is known, else within what zones there are."""
    certificates = log.iis("certificate")
    first = certificates if len(certificates) else log.iis("login")
    if not len(first) or not len(calls.all):
        return None, ""
    base = _midnight(int(first[0]))
    lo, hi, matched, of = _iis_delta(log, calls.later(base), None, any_day=True)
    if not matched:
        return None, ""
    wanted = -zone * 1000 if zone is not None else 0
    middle = (lo + hi) / 2

    def strange(day: int) -> tuple[bool, float]:
        delta = middle - day * DAY_MS
        return not -ZONE_MAX - QUARTER_MS <= delta <= -ZONE_MIN + QUARTER_MS, abs(delta - wanted)

    days = min(range(-400, 401), key=strange)
    return base + days * DAY_MS, f"date by {matched} of {of} enrollments that IIS shows too"


def _date_by_hints(log: _Log, trace: Trace, dated: Mapping[str, Dated]) -> tuple[int, str]:
    """Assume the date: the last day that the bundle's own times allow."""
    last = int(trace.unrolled.max())
    bounds: list[tuple[int, str]] = []
    others = log.stamp[np.isin(log.source, ["nginx", "iis"]) & (log.stamp != NONE)]
    if len(others):
        return _midnight(int(others.max())) - _midnight(last), "date assumed: the last day of the other logs"
    codes = log.table["member"].astype(object).to_numpy()
    members = codes[trace.rows].astype(str)
    for member in sorted(set(members)):
        own_last = int(trace.unrolled[members == member].max())
        folder = re.search(r"(\d{4})-(\d\d)-(\d\d)_(\d\d)-(\d\d)-(\d\d)(?=/)", member)
        when = _moment("{}-{}-{}T{}:{}:{}".format(*folder.groups())) if folder else None
        if when is not None:
            bounds.append((_last_midnight(_ms(when), own_last), "the folder that the trace was collected into"))
        mark = dated.get(member)
        if mark is not None and mark.modified is not None:
            bounds.append((_last_midnight(_ms(mark.modified), own_last), "the trace file's own time"))
    wishes = log.table.loc[log.table["parameter"] == "Operation Should Finish By", "value"].dropna().astype(str)
    for wish in wishes:
        found = re.fullmatch(r"(\d{4}):(\d\d):(\d\d):(\d\d):(\d\d)", wish.strip())
        when = _moment("{}-{}-{}T{}:{}".format(*found.groups())) if found else None
        if when is not None:
            bounds.append((_last_midnight(_ms(when), last), "'Operation Should Finish By'"))
    bounds = [bound for bound in bounds if FIRST_MS <= bound[0] < LAST_MS]
    if not bounds:
        return -_midnight(last), "date assumed: nothing in the bundle tells it, 1970-01-01 stands for it"
    day, basis = min(bounds)
    return day, f"date assumed: the last day that {basis} allows"


def _moment(text: str) -> datetime | None:
    """Read a time that a name or a setting bears; None where there is no such day or hour."""
    from dateutil.parser import isoparse  # noqa: PLC0415

    try:
        return isoparse(text)
    except ValueError:
        return None


def _last_midnight(bound: int, last: int) -> int:
    """Give the latest midnight for the trace's first day by which a line at ``last`` is not after ``bound``, in ms.

    A file's time may be a moment before its last line's stamp: a zip keeps even seconds only.
    """
    return _midnight(bound + 3000 - last)


def _ms(when: datetime) -> int:
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return int((aware - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


#: Moments in IIS's log, and the bounds in the node's time within which a line or call here says that they lie. (ms)
Pair = tuple[np.ndarray, np.ndarray, np.ndarray]


def _but_of_starts(logins: np.ndarray, chains: np.ndarray) -> np.ndarray:
    """Take away the logins that CES's request for the CA's chain follows on: those are of its start."""
    after = np.searchsorted(chains, logins + CHAIN_GAP_MS, side="right")
    alone: np.ndarray = logins[after == np.searchsorted(chains, logins, side="left")]
    return alone


def _iis_pairs(log: _Log, calls: _Calls, *, only_calls: bool) -> tuple[list[Pair], int]:
    """List what can be compared of IIS and the node, and how many matches there are at the most."""
    pairs: list[Pair] = []
    for step, name in (("login", "login"), ("form", "navigate"), ("chain", "cacerts")):
        there = log.iis(step)
        here = [
            i
            for i in np.flatnonzero((log.source == "nginx") & (log.kind == "curl.ok") & (log.stamp != NONE))
            if name in str(log.function[i])
        ]
        if len(there) and here and not only_calls:
            at = log.stamp[here]
            pairs.append((there, at, at + 1000))
    most = sum(min(len(there), len(begin)) for there, begin, _ in pairs)
    certificates = log.iis("certificate")
    if len(certificates) and len(calls.issued):
        # A certificate that CES fetched for a call that was given up may have come after it.
        pairs.append((certificates, calls.issued[:, 0], calls.issued[:, 1]))
        most += min(len(calls.issued), len(certificates))
    elif len(calls.all) and not pairs:
        there = _but_of_starts(log.iis("login"), log.iis("chain"))
        if len(there):
            pairs.append((there, calls.all[:, 0], calls.all[:, 1]))
            # A call may end without a certificate; without any, each has to show its login.
            most = min(len(calls.all), len(there)) if len(certificates) else len(calls.all)
    return pairs, most


def _iis_delta(log: _Log, calls: _Calls, zone: int | None, *, any_day: bool = False) -> tuple[int, int, int, int]:
    """Find what IIS's stamp is ahead of the node's local time: (lowest, highest, matches, of how many), in ms.

    ``any_day``: the day of the windows is not known, so that the node's other lines say nothing of them. Logs that have
    nothing to do with each other match somewhere: half of what can match has to, but where the clocks agree.
    """
    pairs, most = _iis_pairs(log, calls, only_calls=any_day)
    of = sum(len(begin) for _, begin, _ in pairs)
    if zone is None:
        limits = None if any_day else (-ZONE_MAX - QUARTER_MS, -ZONE_MIN + QUARTER_MS)
        tries = [(limits, most)]
    else:
        utc = -zone * 1000
        tries = [((utc - 2 * DAY_MS, utc + 2 * DAY_MS), most), ((utc - QUARTER_MS, utc + QUARTER_MS), 1)]
    for limits, wanted in tries:
        lo, hi, matched = _best_delta(pairs, zone, limits)
        if matched and matched * 2 >= wanted:
            return lo, hi, matched, of
    return 0, 0, 0, of


def _best_delta(pairs: Sequence[Pair], zone: int | None, limits: tuple[int, int] | None) -> tuple[int, int, int]:
    """Find the interval within the limits that most pairs agree on, and how many lines or calls here it matches."""
    lows, highs = [], []
    for there, begin, end in pairs:
        keep = np.linspace(0, len(begin) - 1, min(len(begin), max(1, PAIRS_MAX // len(there)))).astype(int)
        anchor = np.repeat(np.arange(len(keep)), len(there))
        low = (there[None, :] - end[keep][:, None]).ravel()
        high = (there[None, :] + 1000 - begin[keep][:, None]).ravel()
        if limits is not None:
            likely = (high >= limits[0]) & (low <= limits[1])
            anchor, low, high = anchor[likely], low[likely], high[likely]
        if len(low):
            # A line here agrees once with an offset, however many lines there would fit it.
            begins = np.append(True, (np.diff(anchor) > 0) | (low[1:] >= high[:-1]))
            lows.append(low[begins])
            highs.append(high[np.append(np.flatnonzero(begins)[1:] - 1, len(high) - 1)])
    if not lows:
        return 0, 0, 0
    low, high = np.concatenate(lows), np.concatenate(highs)
    lo, hi, clear = _agreed(low, high, zone)
    if not clear:
        return 0, 0, 0
    middle = (lo + hi) // 2
    matched = 0
    for there, begin, end in pairs:
        left = np.searchsorted(there, begin + middle - 1000, side="left")
        matched += int((np.searchsorted(there, end + middle, side="right") > left).sum())
    return lo, hi, matched


def _agreed(low: np.ndarray, high: np.ndarray, zone: int | None) -> tuple[int, int, bool]:
    """Find the interval that most of the intervals hold; of equals the one nearest to a zone, if it is so clearly.

    The intervals are open: where one ends and another begins in the same millisecond they do not agree.
    """
    ends = np.concatenate([low, high])
    steps = np.concatenate([np.ones(len(low), dtype=np.int64), -np.ones(len(high), dtype=np.int64)])
    order = np.lexsort((steps, ends))
    ends, count = ends[order], np.cumsum(steps[order])
    count = np.where(np.diff(ends) > 0, count[:-1], 0)
    best = np.flatnonzero(count == count.max())
    lo, hi = ends[best], ends[best + 1]
    middle = (lo + hi) / 2
    if zone is not None:
        away = np.abs(middle + zone * 1000)
    else:
        away = np.abs(middle - np.round(middle / QUARTER_MS) * QUARTER_MS) + np.abs(middle) / 1e6
    pick = int(np.argmin(away))
    near = np.abs(middle - middle[pick]) <= SAME_MS
    clear = near.all() or 3 * away[pick] + 2 * SAME_MS <= away[~near].min()
    # Of several that are near one another none is better than another: the offset lies in one of them.
    return int(lo[near].min()), int(hi[near].max()), bool(clear)


def _place_nginx(log: _Log, zone: int, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray) -> None:
    """Place NGINX's stamped records at their second and libEST's unstamped ones between their neighbours."""
    rows = log.of("nginx")
    if not len(rows):
        return
    codes = log.table["member"].cat.codes.to_numpy()
    for member in np.unique(codes[rows]):
        mine = rows[codes[rows] == member]
        known = np.where(log.stamp[mine] != NONE, log.stamp[mine] - zone * 1000, NONE)
        # A record's own time with its zone is when the request came in: it cannot have been written before.
        received = np.where(log.utc[mine] != NONE, log.utc[mine], NONE)
        floor = np.maximum.accumulate(np.maximum(known, received))
        after = np.where(known != NONE, known + 999, np.iinfo(np.int64).max)
        ceiling = np.minimum.accumulate(after[::-1])[::-1]
        lead = _request_received(log, mine, received)
        for k, row in enumerate(mine):
            if known[k] != NONE:
                time[row], earliest[row], latest[row] = known[k], known[k], known[k] + 999
                continue
            low = max(floor[k], lead[k])
            high = ceiling[k] if ceiling[k] != np.iinfo(np.int64).max else NONE
            if low == NONE and high == NONE:
                continue
            if low == NONE:
                time[row] = high - 999
            else:
                time[row] = low
            earliest[row], latest[row] = low, high if high == NONE or high >= low else NONE


def _request_received(log: _Log, mine: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Give each libEST record of a request the time at which the request came in: its access record tells it later."""
    lead = np.full(len(mine), NONE, dtype=np.int64)
    pending: list[int] = []
    for k, row in enumerate(mine):
        kind = log.kind[row]
        if kind == "est.shutdown":
            pending = []
        elif kind == "est.peer":
            pending = [k]
        elif isinstance(kind, str) and kind.startswith("est."):
            pending.append(k)
        if received[k] != NONE:
            lead[pending] = received[k]
            pending = []
    return lead


def _place_iis(
    log: _Log, offset: tuple[int, int] | None, time: np.ndarray, earliest: np.ndarray, latest: np.ndarray
) -> None:
    """Place IIS's records on the node's clock: the stamp less the offset, within the second and the offset's bound."""
    lo, hi = offset if offset is not None else (0, 0)
    for source in ("iis", "httperr"):
        rows = log.of(source)
        rows = rows[log.stamp[rows] != NONE]
        earliest[rows] = log.stamp[rows] - hi
        latest[rows] = log.stamp[rows] + 999 - lo
        time[rows] = log.stamp[rows] - round((lo + hi) / 2)


def _place_ciscora(
    log: _Log, starts: Sequence[Start], time: np.ndarray, earliest: np.ndarray, latest: np.ndarray
) -> None:
    """Give CiscoRA's lines the time of their twins in error.log, or bounds by CAPF's own account of the starts."""
    asked: list[tuple[int, int]] = []
    begun = None
    for row in log.of("capf"):
        if log.kind[row] in ("capf.init", "capf.param"):
            begun = begun if begun is not None else int(time[row])
        elif log.kind[row] == "ces.start.requested":
            asked.append((begun if begun is not None else int(time[row]) - 120_000, int(time[row]) + 60_000))
            begun = None
    details = log.table["text"].astype(object).to_numpy()

    def said(row: int) -> str:
        return re.sub(r"^(?:nginx: \[\w+\] |\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: )", "", str(details[row]))

    for back, start in enumerate(reversed(starts), start=1):
        if start.ciscora is None:
            continue
        rows = start.ciscora.rows
        if start.nginx is not None:
            twins: dict[str, list[int]] = {}
            for row in start.nginx.rows:
                twins.setdefault(said(row), []).append(row)
            for row in rows:
                twin = twins.get(said(row))
                if twin:
                    match = twin.pop(0) if len(twin) > 1 else twin[0]
                    time[row], earliest[row], latest[row] = time[match], earliest[match], latest[match]
            known = [int(t) for t in time[start.nginx.rows] if t != NONE]
            low, high = (min(known), max(known) + 999) if known else (NONE, NONE)
        elif back <= len(asked):
            low, high = asked[-back]
        else:
            low, high = NONE, NONE
        for row in rows:
            if time[row] == NONE:
                earliest[row], latest[row] = low, high
                if low != NONE and high - low <= NARROW_MS:
                    time[row] = low
    _bound_by_order(starts, earliest, latest)


def _bound_by_order(starts: Sequence[Start], earliest: np.ndarray, latest: np.ndarray) -> None:
    """Bound the starts of which nothing tells the time by the starts before and after them in the logs."""
    untold = [start for start in starts if all(earliest[row] == latest[row] == NONE for row in start.rows)]
    for edge, order, pick in ((earliest, starts, max), (latest, starts[::-1], min)):
        other = latest if edge is earliest else earliest
        known: int | None = None
        for start in order:
            if any(start is one for one in untold):
                edge[start.rows] = NONE if known is None else known + (1 if edge is earliest else -1)
                continue
            bounds = [int(other[row]) for row in start.rows if other[row] != NONE]
            known = pick(bounds) if bounds else known


def _clocks(
    log: _Log,
    zone: int,
    zone_known: bool,
    zone_basis: str,
    date_known: bool,
    date_basis: str,
    offset: tuple[int, int] | None,
    matched: int,
    of: int,
    has_capf: bool,
) -> list[Clock]:
    """Describe each clock that stamped lines."""
    members = log.table["member"].astype(object).to_numpy()
    clocks = []

    def stamped(source: str) -> list[str]:
        rows = log.of(source)
        return sorted({str(m) for m in members[rows[log.stamp[rows] != NONE]]})

    told = zone if zone_known else None
    if has_capf:
        basis = "; ".join(part for part in (zone_basis, date_basis) if part)
        assumed = not (zone_known and date_known)
        clocks.append(Clock("capf", stamped("capf"), told, 0.0, 0.0, "reference", assumed, basis))
    if stamped("nginx"):
        clocks.append(Clock("nginx", stamped("nginx"), told, 0.0, 0.0, "reference", not zone_known, zone_basis))
    for source in ("iis", "httperr"):
        names = stamped(source)
        if not names:
            continue
        if offset is None:
            basis = "no request of CES here could be matched with a line of the CUCM node"
            clocks.append(Clock(source, names, 0, None, None, "none", False, basis))
            continue
        middle, half = sum(offset) / 2000, (offset[1] - offset[0]) / 2000
        quality: Quality = "good" if matched >= 5 and half <= 1.0 and matched * 2 >= of else "weak"
        basis = f"matched {matched} of {of} requests with lines of the CUCM node"
        clocks.append(Clock(source, names, 0, round(middle, 3), round(half, 3), quality, False, basis))
    return clocks
