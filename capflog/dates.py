"""The date of CAPF's lines, which bear none: by CES's or IIS's lines in its calls, else by hints, and then assumed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from capflog.attempts import DAY_MS, Trace
from capflog.clock_log import (
    FIRST_MS,
    LAST_MS,
    QUARTER_MS,
    ZONE_MAX,
    ZONE_MIN,
    Calls,
    Log,
    each_once,
    midnight,
    ms_of,
)
from capflog.offsets import iis_delta
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class Dated:
    """When a member was last changed, as its container tells it. ``local``: without a zone (zip)."""

    modified: datetime | None
    local: bool


def _hits(windows: np.ndarray, moments: np.ndarray, before: int, after: int) -> int:
    """Count the windows that hold at least one of the (sorted) moments, widened by ``before`` and ``after`` ms."""
    if not len(windows) or not len(moments):
        return 0
    if windows[:, 1].max() + after < moments[0] or windows[:, 0].min() - before > moments[-1]:
        return 0
    left = np.searchsorted(moments, windows[:, 0] - before, side="left")
    right = np.searchsorted(moments, windows[:, 1] + after, side="right")
    return int((right > left).sum())


def _held(moments: np.ndarray, windows: np.ndarray) -> int:
    """Count the (sorted) moments that lie within at least one of the windows."""
    edges = np.searchsorted(moments, windows[:, 0], side="left"), np.searchsorted(moments, windows[:, 1], side="right")
    begun, over = (np.cumsum(np.bincount(edge, minlength=len(moments) + 1)) for edge in edges)
    return int((begun > over)[:-1].sum())


def date_by_ces(log: Log, trace: Trace, windows: np.ndarray) -> tuple[int | None, str, bool]:
    """Find the date of the trace's first day by CES's lines that fall into CAPF's attempts and starts."""
    moments = log.ces_moments
    if not len(moments) or not len(trace.rows):
        return None, "", False
    starts = log.starts_of_capf(trace)
    days = range(-1, int(trace.unrolled[-1] // DAY_MS) + 2)
    candidates = {int(m) * DAY_MS - d * DAY_MS for m in each_once(moments // DAY_MS) for d in days}
    found, best = max(
        (_hits(windows + day, moments, 1000, 2000) + _hits(starts + day, moments, 5000, 5000), day)
        for day in candidates
    )
    # On the right day CES's work lies within CAPF's calls; on a wrong one some of it does by chance.
    known = np.concatenate([windows + np.array((-1000, 2000)), starts + np.array((-5000, 5000))]) + best
    inside = moments[(moments >= best + trace.unrolled[0] - 1000) & (moments <= best + trace.unrolled[-1] + 2000)]
    if not found or _held(inside, known) * 2 < len(inside):
        return None, "", False
    return best, f"date by {found} of {len(windows) + len(starts)} attempts and starts that error.log shows too", True


def date_by_iis(log: Log, calls: Calls, zone: int | None) -> tuple[int | None, str]:
    """Find the date by IIS's requests, with the zone if it is known, else within what zones there are."""
    certificates = log.iis("certificate")
    first = certificates if len(certificates) else log.iis("login")
    if not len(first) or not len(calls.all):
        return None, ""
    base = midnight(int(first[0]))
    lo, hi, matched, of = iis_delta(log, calls.later(base), None, any_day=True)
    if not matched:
        return None, ""
    wanted = -zone * 1000 if zone is not None else 0
    middle = (lo + hi) / 2

    def strange(day: int) -> tuple[bool, float]:
        delta = middle - day * DAY_MS
        return not -ZONE_MAX - QUARTER_MS <= delta <= -ZONE_MIN + QUARTER_MS, abs(delta - wanted)

    days = min(range(-400, 401), key=strange)
    return base + days * DAY_MS, f"date by {matched} of {of} enrollments that IIS shows too"


def date_by_hints(log: Log, trace: Trace, dated: Mapping[str, Dated]) -> tuple[int, str]:
    """Assume the date: the last day that the bundle's own times allow."""
    last = int(trace.unrolled.max())
    bounds: list[tuple[int, str]] = []
    others = [stamps.max() for source in ("nginx", "iis") if len(stamps := log.stamped(source)[1])]
    if others:
        return midnight(int(max(others))) - midnight(last), "date assumed: the last day of the other logs"
    table = log.table
    lasts = np.full(len(table.members), NONE, dtype=np.int64)
    np.maximum.at(lasts, table.member[trace.rows], trace.unrolled)
    for code in np.flatnonzero(lasts != NONE).tolist():
        member, own_last = table.members[code], int(lasts[code])
        folder = re.search(r"(\d{4})-(\d\d)-(\d\d)_(\d\d)-(\d\d)-(\d\d)(?=/)", member)
        when = _moment("{}-{}-{}T{}:{}:{}".format(*folder.groups())) if folder else None
        if when is not None:
            bounds.append((_last_midnight(ms_of(when), own_last), "the folder that the trace was collected into"))
        mark = dated.get(member)
        if mark is not None and mark.modified is not None:
            bounds.append((_last_midnight(ms_of(mark.modified), own_last), "the trace file's own time"))
    settings = table.bearing("parameter")
    settings = settings[log.holding("parameter", settings, lambda name: name == "Operation Should Finish By")]
    values, words = table.codes("value", settings)
    wishes = [words[code] for code in sorted({*values[values >= 0].tolist()}) if words[code]]
    for wish in wishes:
        found = re.fullmatch(r"(\d{4}):(\d\d):(\d\d):(\d\d):(\d\d)", wish.strip())
        when = _moment("{}-{}-{}T{}:{}".format(*found.groups())) if found else None
        if when is not None:
            bounds.append((_last_midnight(ms_of(when), last), "'Operation Should Finish By'"))
    bounds = [bound for bound in bounds if FIRST_MS <= bound[0] < LAST_MS]
    if not bounds:
        return -midnight(last), "date assumed: nothing in the bundle tells it, 1970-01-01 stands for it"
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
    return midnight(bound + 3000 - last)
