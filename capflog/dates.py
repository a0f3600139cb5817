"""The days of CAPF's lines, which bear none: by CES's and IIS's lines in its calls, by records of the collection,
else by hints, and then assumed.

A trace counts its midnights (:func:`capflog.attempts.unroll`), so one day tells all others; only a silence may hide
days. So what tells a day *votes* for the day on which the trace would have begun, and where the votes rise in the
course of the trace, days went by in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import CERTIFICATE
from capflog.clock_log import FIRST_MS, LAST_MS, each_once, ms_of
from capflog.collected import collected_at
from capflog.offsets import QUARTER_MS, ZONE_MAX, ZONE_MIN, Here, found_offset, searched
from capflog.rotation import DAY_MS, Changed
from capflog.zone_changes import offsets_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from capflog.asked import Asked
    from capflog.attempts import Trace
    from capflog.clock_log import Calls, Log
    from capflog.collected import CollectedFiles
    from capflog.zones import Zone

#: A silence of this or more may be longer by whole days. (ms)
_QUIET_MS = 1_800_000

#: So far a clock goes back where a zone changes, and a little more for lines of several threads. (ms)
_BACK_MS = 3_660_000

#: A silence so long is a night's; the calls between two nights tell of their day together. (ms)
_NIGHT_MS = 18_000_000

#: A file was last changed at the most this long after its last line was stamped, where its time is that of the line; a
#: zip keeps even seconds only. (ms)
_WRITTEN_MS, _EVEN_MS = 900_000, 3_000

#: An offset that may be anywhere within this tells no day. (ms)
_VAGUE_MS = 600_000

#: What a file's own time is worth, counted in calls: it is there for every file, a call may match by chance.
_OF_FILE = 3

#: What a day more costs, counted in calls.
_JUMP = 2

#: So many days are compared at the most.
_DAYS = 800


@dataclass(slots=True)
class Dated:
    """When a member was last changed, as its container tells it. ``local``: without a zone (zip)."""

    modified: datetime | None
    local: bool


def changes_by(dated: Mapping[str, Dated], files: CollectedFiles) -> Callable[[str], Changed | None]:
    """Give what tells when a member was last written: the collection's record of it, else its own time."""

    def changed(member: str) -> Changed | None:
        record, mark = files.modified_of(member), dated.get(member)
        if record is not None:
            return Changed(record.modified, local=True)
        return None if mark is None or mark.modified is None else Changed(ms_of(mark.modified), local=False)

    return changed


@dataclass(frozen=True, slots=True)
class Days:
    """The days of one trace: from position ``begins[n]`` on its first midnight was at ``midnights[n]``.

    Midnights are ms of the node's clock since 1970, as if it ran on UTC. ``basis`` says by what; ``known``: it is not
    assumed.
    """

    begins: np.ndarray
    midnights: np.ndarray
    basis: str
    known: bool

    def of(self, positions: np.ndarray) -> np.ndarray:
        """Give the first midnight for positions."""
        found: np.ndarray = self.midnights[np.searchsorted(self.begins, positions, side="right") - 1]
        return found

    @staticmethod
    def one(midnight: int, basis: str, *, known: bool) -> Days:
        """Give days of which none is hidden."""
        return Days(np.zeros(1, dtype=np.int64), np.array([midnight], dtype=np.int64), basis, known)


@dataclass(frozen=True, slots=True)
class _Votes:
    """Votes for the first midnight: what stands at ``position`` votes for ``midnight``, ``weight`` calls' worth."""

    position: np.ndarray
    midnight: np.ndarray
    weight: np.ndarray

    @staticmethod
    def together(parts: Sequence[_Votes]) -> _Votes:
        none = np.zeros(0, dtype=np.int64)
        return _Votes(
            *(np.concatenate([none, *(getattr(p, name) for p in parts)]) for name in ("position", "midnight", "weight"))
        )


def midnight(ms: int) -> int:
    """Give the midnight before a moment."""
    return ms // DAY_MS * DAY_MS


def _hits(windows: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Tell of each window whether it holds at least one of the (sorted) moments."""
    left = np.searchsorted(moments, windows[:, 0], side="left")
    hit: np.ndarray = np.searchsorted(moments, windows[:, 1], side="right") > left
    return hit


def _held(moments: np.ndarray, windows: np.ndarray) -> int:
    """Count the (sorted) moments that lie within at least one of the windows."""
    edges = np.searchsorted(moments, windows[:, 0], side="left"), np.searchsorted(moments, windows[:, 1], side="right")
    begun, over = (np.cumsum(np.bincount(edge, minlength=len(moments) + 1)) for edge in edges)
    return int((begun > over)[:-1].sum())


def _matched(moments: np.ndarray, windows: np.ndarray, positions: np.ndarray, last: int) -> tuple[_Votes | None, int]:
    """Let windows of the trace vote for the days on which they hold moments; how many do so on the best day.

    None: on no day more than chance has it. ``last``: the trace's last time.
    """
    if not len(moments) or not len(windows):
        return None, 0
    days = range(-1, last // DAY_MS + 2)
    candidates = sorted({int(day) * DAY_MS - d * DAY_MS for day in each_once(moments // DAY_MS) for d in days})
    if len(candidates) > _DAYS:
        # A trace of years beside a log of years: the days that both have most of are tried.
        candidates = candidates[:: len(candidates) // _DAYS + 1]
    hits = {day: _hits(windows + day, moments) for day in candidates}
    best = max(candidates, key=lambda day: (int(hits[day].sum()), day))
    found = int(hits[best].sum())
    if not found:
        return None, 0
    days_of = [day for day in candidates if hits[day].any()]
    votes = _Votes.together(
        [
            _Votes(positions[hits[day]], np.full(int(hits[day].sum()), day), np.ones(int(hits[day].sum()), np.int64))
            for day in days_of
        ]
    )
    return votes, found


def _counted(trace: Trace, votes: _Votes) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Find the first midnights for which most votes are, rising in the course of the trace.

    They fall by a day where no midnight was, but an hour that happened twice, as one file ended and the next began.
    Gives the positions from which each holds, the midnights, and how many votes each has; None: there are no votes.
    """
    if not len(votes.position):
        return None
    days = each_once(votes.midnight)
    at = np.searchsorted(days, votes.midnight)
    total = np.bincount(at, votes.weight, minlength=len(days))
    best = int(len(days) - 1 - np.argmax(total[::-1]))
    whole = np.array([0]), days[best : best + 1], total[best : best + 1]
    if len(days) == 1:
        return whole
    quiet = np.flatnonzero(_steps(trace) >= _QUIET_MS) + 1
    group = np.searchsorted(quiet, votes.position, side="right")
    groups, place = np.unique(group, return_inverse=True)
    table = np.zeros((len(groups), len(days)))
    np.add.at(table, (place, at), votes.weight)
    if table.max(axis=1).sum() - total[best] <= _JUMP or table.size > 4_000_000:
        return whole
    # The best way through the groups: each on the day of the one before it, or on a later one.
    every = np.arange(len(days))
    next_day = np.searchsorted(days, days + DAY_MS)
    next_day[next_day == len(days)] = 0
    falls = days[next_day] == days + DAY_MS
    folds = _folds(trace)
    score, came = table[0], []
    for number, own in enumerate(table[1:], 1):
        top = np.maximum.accumulate(score)
        first = np.array([int(np.argmax(score[: k + 1])) for k in range(len(days))])
        stay = score >= top - _JUMP
        best_of, source = np.where(stay, score, top - _JUMP), np.where(stay, every, first)
        if np.isin(quiet[groups[number - 1] : groups[number]], folds).any():
            back = falls & (score[next_day] - _JUMP > best_of)
            best_of, source = np.where(back, score[next_day] - _JUMP, best_of), np.where(back, next_day, source)
        came.append(source)
        score = best_of + own
    way = [int(np.argmax(score))]
    for back in came[::-1]:
        way.append(int(back[way[-1]]))
    way.reverse()
    begins, midnights, held = [0], [int(days[way[0]])], [table[0, way[0]]]
    for k in range(1, len(way)):
        if way[k] == way[k - 1]:
            held[-1] += table[k, way[k]]
            continue
        # The longest silence between the two groups is where the days went by.
        between = quiet[groups[k - 1] : groups[k]]
        if way[k] < way[k - 1]:
            between = between[np.isin(between, folds)]
        begins.append(int(between[np.argmax(_steps(trace)[between - 1])]))
        midnights.append(int(days[way[k]]))
        held.append(table[k, way[k]])
    return np.array(begins), np.array(midnights), np.array(held)


def _steps(trace: Trace) -> np.ndarray:
    found: np.ndarray = np.diff(trace.unrolled)
    return found


def _folds(trace: Trace) -> np.ndarray:
    """List the positions at which, if no midnight is counted there, the clock went back by no more than zones do."""
    steps = _steps(trace)
    found: np.ndarray = np.flatnonzero((steps > DAY_MS - _BACK_MS) & (steps < DAY_MS)) + 1
    return found


@dataclass(frozen=True)
class Dating:
    """What may tell the days of one folder's trace."""

    log: Log
    trace: Trace
    calls: Calls
    told: int | None
    """The day that the user told, as its midnight."""
    zone: Zone | None
    zone_of_files: Zone | None
    """The zone by which the files' own times, in UTC, are the node's."""
    asked: Sequence[Asked]
    records: CollectedFiles
    dated: Mapping[str, Dated]
    notices: list[str] = field(default_factory=list)
    """What contradicts what was told, in words."""

    def days(self) -> Days:
        """Find them; what is told counts for the first day, and the logs for those that went by in silence."""
        found = self._found()
        if self.told is None:
            return found
        if found.known and found.midnights[0] != self.told:
            day, other = (f"{np.datetime64(int(at), 'ms')}"[:10] for at in (self.told, found.midnights[0]))
            self.notices.append(f"--date {day} is believed, but the logs tell {other} ({found.basis})")
        later = found.midnights - found.midnights[0] if found.known else found.midnights[:1] * 0
        return Days(found.begins[: len(later)], self.told + later, "date declared with --date", known=True)

    def _found(self) -> Days:
        lasts = self._lasts()
        by_ces, found, of = self._by_ces()
        by_record = self._by_records(lasts)
        parts = [votes for votes in (by_ces, by_record) if votes is not None]
        counted = _counted(self.trace, _Votes.together(parts)) if parts else None
        if counted is not None:
            told = []
            if by_ces is not None:
                told.append(f"date by {found} of {of} attempts and starts that error.log shows too")
            if by_record is not None:
                told.append("date by the collection's own record of the trace files")
            return self._known(counted, "; ".join(told))
        by_iis, basis = self._by_iis()
        by_files, exact = self._by_files(lasts)
        if by_iis is not None:
            counted = _counted(self.trace, by_iis)
            assert counted is not None
            if exact and by_files is not None:
                # IIS's clock may be off by days, that of the files' last lines is the node's own.
                apart = np.unique(by_files.midnight - Days(*counted[:2], "", known=True).of(by_files.position))
                if len(apart) == 1 and apart[0]:
                    counted = counted[0], counted[1] + apart[0], counted[2]
                    basis += "; by the trace files' own times IIS is of another day"
            return self._known(counted, basis)
        if by_files is not None:
            counted = _counted(self.trace, by_files)
            assert counted is not None
            return self._known(counted, "date by the trace files' own times, which are those of their last lines")
        day, basis = self._by_hints(lasts)
        return Days.one(day, basis, known=False)

    @staticmethod
    def _known(counted: tuple[np.ndarray, np.ndarray, np.ndarray], basis: str) -> Days:
        begins, midnights, _ = counted
        if len(begins) > 1:
            rises = np.diff(midnights)
            rises = rises[rises > 0]
            if len(rises):
                basis += f"; {int(rises.sum()) // DAY_MS} days without a line in {len(rises)} places"
        return Days(begins, midnights, basis, known=True)

    def _lasts(self) -> dict[str, tuple[int, int]]:
        """Give the position and the time of each member's last line in the trace."""
        table = self.log.table
        members = table.member[self.trace.rows]
        ends = np.append(np.flatnonzero(members[1:] != members[:-1]), len(members) - 1)
        found: dict[str, tuple[int, int]] = {}
        for position in ends.tolist():
            name = table.members[int(members[position])]
            at = int(self.trace.unrolled[position])
            if name not in found or found[name][1] < at:
                found[name] = position, at
        return found

    def _by_ces(self) -> tuple[_Votes | None, int, int]:
        """Ask CES's lines, which fall into CAPF's attempts and starts."""
        moments = self.log.ces_moments
        starts = self.log.starts_of_capf(self.trace)
        begun = starts.windows + np.array((-5000, 5000))
        windows = np.concatenate([self.calls.windows + np.array((-1000, 2000)), begun])
        positions = np.concatenate([self.calls.positions[:, 0], starts.positions])
        votes, found = _matched(moments, windows, positions, int(self.trace.unrolled[-1]))
        if votes is None:
            return None, 0, len(windows)
        counted = _counted(self.trace, votes)
        assert counted is not None
        days = Days(counted[0], counted[1], "", known=True)
        # On the right day CES's work lies within CAPF's calls; on a wrong one some of it does by chance.
        base = days.of(positions)[:, None]
        ends = np.array([0, len(self.trace.rows) - 1])
        first, last = (self.trace.unrolled[ends] + days.of(ends)).tolist()
        inside = moments[(moments >= first - 1000) & (moments <= last + 2000)]
        if _held(inside, windows + base) * 2 < len(inside):
            return None, 0, len(windows)
        found = int(_hits(windows + base, moments).sum())
        return votes, found, len(windows)

    def _by_records(self, lasts: Mapping[str, tuple[int, int]]) -> _Votes | None:
        """Ask the collection's records of the trace's files."""
        votes = []
        for name, (position, last) in lasts.items():
            record = self.records.modified_of(name)
            if record is None:
                continue
            day = _last_midnight(record.modified, last)
            if record.modified - day - last <= _WRITTEN_MS:
                votes.append((position, day, _OF_FILE))
        return _Votes(*np.array(votes, dtype=np.int64).T) if votes else None

    def _by_files(self, lasts: Mapping[str, tuple[int, int]]) -> tuple[_Votes | None, bool]:
        """Ask the members' own times: one that is the last line's to the second is no copy's; tells whether they are.

        They may be so but for the zone of whoever made the zip.
        """
        votes = []
        by_shift: dict[int, list[tuple[int, int, int]]] = {}
        for name, (position, last) in lasts.items():
            mark = self.dated.get(name)
            if mark is None or mark.modified is None:
                continue
            local = self._local_of(mark)
            if local is None:
                continue
            day = _last_midnight(local, last)
            if local - day - last <= 2 * _EVEN_MS:
                votes.append((position, day, _OF_FILE))
            elif mark.local:
                # Whoever made the zip may live in another zone: then its times are all off by the same.
                shift = round((local - last) % DAY_MS / QUARTER_MS) * QUARTER_MS
                for one in (shift, shift - DAY_MS):
                    day = _last_midnight(local - one, last)
                    if abs(local - one - day - last) <= 2 * _EVEN_MS and ZONE_MIN * 2 < one < ZONE_MAX * 2:
                        by_shift.setdefault(one, []).append((position, day, _OF_FILE))
        exact = bool(votes)
        if not votes:
            near = [(len(own), -abs(shift), own) for shift, own in by_shift.items() if len(own) > 1]
            votes = max(near)[2] if near else []
        return (_Votes(*np.array(votes, dtype=np.int64).T) if votes else None), exact

    def _local_of(self, mark: Dated) -> int | None:
        """Give a member's time by the node's clock; of one in UTC None where the zone is not known."""
        if mark.modified is None:
            return None
        at = ms_of(mark.modified)
        if mark.local:
            return at
        return None if self.zone_of_files is None else at + self.zone_of_files.offset_at(at)

    def _by_iis(self) -> tuple[_Votes | None, str]:
        """Ask IIS's requests: with the zone if it is known, else within what zones there are."""
        for asked in self.asked:
            certificates = asked.of_step(CERTIFICATE)
            first = certificates if len(certificates) else asked.at
            if not len(first) or not len(self.calls):
                continue
            base = midnight(int(first[0]))
            none = np.zeros(0, dtype=np.int64)
            here = Here(self.calls.windows + base, self.calls.issued, none, none, none, none)
            search = searched(here, asked, only_calls=True)
            low, high, matched = found_offset(search, None, None, max(search.most, 1))
            if not matched:
                low, high, matched = self._by_parts(here, asked)
            if not matched or high - low > _VAGUE_MS:
                continue
            wanted = -self.zone.offset_at(base) if self.zone is not None else 0
            delta = (low + high) // 2
            zones = {*offsets_at(base), *offsets_at(base + DAY_MS)}

            def strange(
                day: int, delta: int = delta, wanted: int = wanted, zones: set[int] = zones
            ) -> tuple[bool, bool, float]:
                apart = delta - day * DAY_MS
                strange = not -ZONE_MAX - QUARTER_MS <= apart <= -ZONE_MIN + QUARTER_MS
                # Of two days that on which there is such a zone.
                fits = any(abs(apart + zone) <= QUARTER_MS // 2 for zone in zones)
                return strange and self.zone is None, not fits and self.zone is None, abs(apart - wanted)

            about = round((delta - wanted) / DAY_MS)
            day = min(range(about - 2, about + 3), key=strange)
            votes = [
                found
                for pair in search.pairs
                for found in [
                    _matched(
                        each_once(pair.there - delta + day * DAY_MS),
                        np.stack([pair.begin - base - 1000, pair.end - base + 1000], axis=1),
                        self.calls.positions[self.calls.issued, 0]
                        if len(pair.begin) == int(self.calls.issued.sum())
                        else self.calls.positions[:, 0],
                        int(self.trace.unrolled[-1]),
                    )[0]
                ]
                if found is not None
            ]
            basis = f"date by {matched} of {search.of} enrollments that IIS shows too"
            if votes:
                return _Votes.together(votes), basis
        return None, ""

    def _by_parts(self, here: Here, asked: Asked) -> tuple[int, int, int]:
        """Find an offset by the calls between two long silences: days may have gone by in any of them.

        And by half of the calls, since the zone may have changed, or IIS's clock have been set, before the others.
        """
        called = self.calls.positions[:, 0]
        quiet = [np.flatnonzero(_steps(self.trace) >= least) + 1 for least in (_QUIET_MS, _NIGHT_MS)]
        for edges in (*quiet, called[len(called) // 2 :][:1]):
            group = np.searchsorted(edges, called, side="right")
            numbers, often = np.unique(group, return_counts=True)
            for number in numbers[np.argsort(-often, kind="stable")][:8].tolist():
                own = group == number
                part = replace(here, calls=here.calls[own], issued=here.issued[own])
                search = searched(part, asked, only_calls=True)
                if search.pairs and int(own.sum()) >= 3:
                    found = found_offset(search, None, None, max(search.most, 3))
                    if found[2]:
                        return found
        return 0, 0, 0

    def _by_hints(self, lasts: Mapping[str, tuple[int, int]]) -> tuple[int, str]:
        """Assume the date: the last day that the bundle's own times allow."""
        log, trace = self.log, self.trace
        last = int(trace.unrolled.max())
        others = [stamps.max() for source in ("nginx", "iis") if len(stamps := log.stamped(source)[1])]
        if others:
            return midnight(int(max(others))) - midnight(last), "date assumed: the last day of the other logs"
        bounds: list[tuple[int, str]] = []
        for name, (_, own_last) in sorted(lasts.items()):
            record = self.records.modified_of(name)
            if record is not None:
                bounds.append((_last_midnight(record.modified, own_last), "the collection's record of the trace file"))
            when = collected_at(name)
            if when is not None:
                bounds.append((_last_midnight(when, own_last), "the folder that the trace was collected into"))
            mark = self.dated.get(name)
            if mark is not None and mark.modified is not None:
                local = self._local_of(mark)
                at = ms_of(mark.modified) if local is None else local
                bounds.append((_last_midnight(at, own_last), "the trace file's own time"))
        for wish in self._wishes():
            found = re.fullmatch(r"(\d{4}):(\d\d):(\d\d):(\d\d):(\d\d)", wish.strip())
            moment = _moment("{}-{}-{}T{}:{}".format(*found.groups())) if found else None
            if moment is not None:
                bounds.append((_last_midnight(ms_of(moment), last), "'Operation Should Finish By'"))
        bounds = [bound for bound in bounds if FIRST_MS <= bound[0] < LAST_MS]
        if not bounds:
            return -midnight(last), "date assumed: nothing in the bundle tells it, 1970-01-01 stands for it"
        day, basis = min(bounds)
        return day, f"date assumed: the last day that {basis} allows"

    def _wishes(self) -> list[str]:
        """List until when operations on phones should have been done."""
        log, table = self.log, self.log.table
        settings = table.bearing("parameter")
        settings = settings[log.holding("parameter", settings, lambda name: name == "Operation Should Finish By")]
        values, words = table.codes("value", settings)
        return [words[code] for code in sorted({*values[values >= 0].tolist()}) if words[code]]


def _moment(text: str) -> datetime | None:
    """Read a time that a setting bears; None where there is no such day or hour."""
    from dateutil.parser import isoparse  # noqa: PLC0415

    try:
        return isoparse(text)
    except (ValueError, OverflowError):
        return None


def _last_midnight(bound: int, last: int) -> int:
    """Give the latest midnight for the trace's first day by which a line at ``last`` is not after ``bound``, in ms.

    A file's time may be a moment before its last line's stamp: a zip keeps even seconds only.
    """
    return midnight(bound + _EVEN_MS - last)
