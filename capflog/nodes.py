"""The CUCM nodes of a bundle, each with a clock of its own: its zone, the days of its traces, its times in UTC."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from capflog.asked import steps_of
from capflog.attempts import Trace
from capflog.clock_log import Calls, Log, each_once, ms_of
from capflog.clock_log import told as tellable
from capflog.collected import node_of
from capflog.dates import Dating, Days
from capflog.folds import second_pass
from capflog.offsets import QUARTER_MS, ZONE_MAX, ZONE_MIN, Here
from capflog.rotation import DAY_MS
from capflog.rows import NONE
from capflog.zone_changes import agreed, changes_so, observed
from capflog.zone_names import called
from capflog.zones import Zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from capflog.asked import Asked
    from capflog.collected import CollectedFiles
    from capflog.dates import Dated
    from capflog.table import Table
    from capflog.told import Told

UTC = Zone.fixed(0)

#: A zone's changes matter where they lie this near to the bundle's times. (ms)
_AROUND_MS = 2 * DAY_MS

#: A file is written to at the latest so long after its last line was stamped, where its time is that of the line; and
#: its last line stands among so many rows at its end.
_WRITTEN_MS, _LAST_ROWS = 3_000, 256

#: A clock that steps back by this or more was put back; threads mix their lines by less. (ms)
_LEAST_BACK_MS, _HOUR_MS = 600_000, 3_600_000

#: A day apart are -10:00, where many people live, and +14:00, where hardly anybody does; west of -10:00 it is the other
#: way round. (ms)
_HAWAII_MS = -36_000_000

#: No node's zone has more names than this; a record of more is no help.
_NAMES = 6

_NODES_LOGS = ("capf", "ciscora", "nginx")


@dataclass
class Folder:
    """The trace of one folder, its calls (since its own first midnight) and its days."""

    trace: Trace
    calls: Calls
    days: Days = field(default_factory=lambda: Days.one(0, "", known=False))
    later: np.ndarray | None = None
    """Which lines are of the second pass of an hour that happened twice; None: there is no such hour."""
    unsure: np.ndarray | None = None

    def local(self, positions: np.ndarray | slice) -> np.ndarray:
        """Give the node's local time at positions, in ms since 1970 as if it were UTC."""
        if len(self.days.begins) == 1:
            found: np.ndarray = self.trace.unrolled[positions] + self.days.midnights[0]
            return found
        places = np.arange(positions.start, positions.stop) if isinstance(positions, slice) else positions
        dated: np.ndarray = self.trace.unrolled[positions] + self.days.of(places)
        return dated

    def utc(self, positions: np.ndarray | slice, zone: Zone) -> np.ndarray:
        """Give the time at positions in UTC, by the node's clock."""
        local = self.local(positions)
        found = zone.utc(local)
        if self.later is not None:
            later = self.later[positions]
            if later.any():
                found[later] = zone.utc(local[later], later=True)
        return found


@dataclass
class Node:
    """A CUCM node: its name ("" where there is but one), what it logged, and its zone (None: not known)."""

    name: str
    log: Log
    folders: list[Folder] = field(default_factory=list)
    zone: Zone | None = None
    basis: str = ""
    """By what the zone is known, in words."""
    unclear: str = ""
    """What is said of the zone that tells it not, in words."""
    by_files: bool = False
    """The zone is that of the files' last lines: it may have changed before."""
    zone_of_files: Zone | None = None
    """The zone in which the files' own times are those of their last lines, if they were never unpacked."""
    assumed: bool = False
    """The zone is a guess."""
    notices: list[str] = field(default_factory=list)
    """What contradicts what the user told, in words."""
    matched: bool = False
    """The zone was taken from the match with IIS: quarters of an hour of its offset are in it."""
    ahead: int = 0
    """How far its clock is ahead of the reference clock, in ms; ``bound``: give or take this."""
    bound: int = 0
    apart: bool = False
    """It was compared by lines of another time: a server's clock may have been set between."""
    related: bool = True
    """Whether that is known."""
    unsure: int = 0
    """Stamped lines of an hour that happened twice of which nothing tells the pass."""

    @property
    def clock(self) -> Zone:
        """The zone, or what stands for one that is not known."""
        return self.zone or UTC

    def fold(self) -> None:
        """Tell the passes of an hour that happened twice in the traces, by the order of their lines and by CES's."""
        self.unsure = 0
        for folder in self.folders:
            folder.later = folder.unsure = None
            if self.clock.constant or not len(folder.trace.rows):
                continue
            local = folder.local(slice(0, len(folder.trace.rows)))
            if not self.clock.twice(local).any():
                continue
            folder.later, folder.unsure = second_pass(self.clock, local, self._hints(folder))
            self.unsure += int(folder.unsure.sum())

    def turned(self) -> Zone | None:
        """Give a zone in which the hour by which a trace's stamps step back happened twice; None: none does.

        Which zone it was nothing tells yet: it stands as if it had been at UTC before.
        """
        for folder in self.folders:
            local = folder.local(slice(0, len(folder.trace.rows)))
            before = np.maximum.accumulate(local)
            back = before - local
            if not len(back) or not _LEAST_BACK_MS < back.max() < _HOUR_MS + _LEAST_BACK_MS // 10:
                continue
            place = int(np.argmax(back > _LEAST_BACK_MS))
            # Zones change at whole hours.
            change = -(-int(before[place - 1] + 1) // _HOUR_MS) * _HOUR_MS
            return Zone("", (0, -_HOUR_MS), (min(change, int(local[place]) + _HOUR_MS),))
        return None

    def _hints(self, folder: Folder) -> tuple[np.ndarray, np.ndarray]:
        """Tell of CAPF's calls in such an hour whether CES was asked for them in the first pass or in the second."""
        positions = folder.calls.positions[:, 0]
        local = folder.local(positions)
        twice = self.clock.twice(local)
        positions, local = positions[twice], local[twice]
        received = np.sort(self.log.accesses[1])

        def asked(utc: np.ndarray) -> np.ndarray:
            left = np.searchsorted(received, utc - 1000, side="left")
            found: np.ndarray = np.searchsorted(received, utc + 3000, side="right") > left
            return found

        first, second = asked(self.clock.utc(local)), asked(self.clock.utc(local, later=True))
        sure = first != second
        return positions[sure], second[sure]

    def nginx_utc(self, rows: np.ndarray, local: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Give stamps of rows of one member of NGINX's log (local ms, NONE: none) in UTC, and which are unsure."""
        zone = self.clock
        utc = np.where(local != NONE, zone.utc(local), NONE)
        if zone.constant or not zone.twice(local[local != NONE]).any():
            return utc, None
        access, received, offset = self.log.accesses
        mine = np.isin(access, rows)
        access, received, offset = access[mine], received[mine], offset[mine]
        ambiguous = zone.twice(received + offset)
        places = np.searchsorted(rows, access[ambiguous])
        wall = received[ambiguous] + offset[ambiguous]
        later, unsure = second_pass(zone, local, (places, zone.utc(wall) != received[ambiguous]))
        utc[later] = zone.utc(local[later], later=True)
        return utc, unsure if unsure.any() else None

    def told_utc(self, *kinds: str) -> tuple[np.ndarray, np.ndarray]:
        """Give the rows of these kinds in NGINX's log that are stamped, and their times in UTC, by the node's clock."""
        rows, local = self.log.stamped("nginx", *kinds)
        if self.clock.constant:
            return rows, self.clock.utc(local)
        times = np.full(len(rows), NONE, dtype=np.int64)
        table = self.log.table
        every = self.log.of("nginx")
        for member in np.unique(table.member[rows]).tolist():
            own = every[table.member[every] == member]
            utc, _ = self.nginx_utc(own, tellable(table.stamp[own]))
            mine = table.member[rows] == member
            times[mine] = utc[np.searchsorted(own, rows[mine])]
        return rows, times

    def here(self) -> Here:
        """Give what the node's logs tell of CES's requests to the CA, in UTC, by the node's clock."""
        none = np.zeros((0, 2), dtype=np.int64)
        calls = [
            np.stack([folder.utc(folder.calls.positions[:, k], self.clock) for k in (0, 1)], axis=1)
            for folder in self.folders
            if len(folder.calls)
        ]
        every = np.concatenate([none, *calls])
        issued = np.concatenate([none[:, 0] != 0, *(folder.calls.issued for folder in self.folders)])
        turn = np.argsort(every[:, 0], kind="stable")
        rows, told = self.told_utc("curl.ok")
        access, received, _ = self.log.accesses
        enrolling = self.log.holding("url", access, lambda url: "enroll" in url)
        asked = access[enrolling] if enrolling.any() else self.log.of("nginx", "est.peer")
        peers = each_once(self.log.table.codes("client", asked)[0].astype(np.int64))
        peers = peers[peers >= 0]
        steps = steps_of(self.log, rows)
        return Here(every[turn], issued[turn], told, steps, np.sort(received[enrolling]), peers)


def nodes_of(table: Table, trace: Trace, calls: Calls, told: Told) -> list[Node]:
    """Part the CUCM nodes' members by the node whose folder they stand in; what stands in none is the publisher's.

    The publisher, on which CAPF runs, is the node of which the most lines of CAPF are; it comes first. Members of which
    the user told a zone of their own are of a node of their own.
    """
    names = [named_node(member, told) for member in table.members]
    used = {int(code) for source in _NODES_LOGS for code in table.runs_of(source)[:, 2]}
    distinct = sorted({names[code] for code in used} - {""})
    sizes = dict.fromkeys(distinct, 0)
    for begin, end, code, _ in table.runs_of("capf").tolist():
        if names[code]:
            sizes[names[code]] += end - begin
    distinct.sort(key=lambda name: (-sizes[name], name))
    if len(distinct) < 2:
        nodes = [Node("", Log(table))]
    else:
        nodes = []
        for number, name in enumerate(distinct):
            mine = np.array([own == name or (own == "" and number == 0) for own in names], dtype=bool)
            nodes.append(Node(name, Log(table, mine)))
    for number, folder in enumerate(trace.folders()):
        if not len(folder.rows):
            continue
        name = names[int(table.member[folder.rows[0]])]
        node = next((node for node in nodes if node.name == name), nodes[0])
        node.folders.append(Folder(folder, calls.of_folder(number, trace.begins[number])))
    return nodes


def named_node(member: str, told: Told) -> str:
    """Name the node that a member is of, "" where nothing tells it."""
    parts = [part for part, _ in told.zones if part and part in member]
    return max(parts, key=len) if parts else node_of(member)


def part_told(told: Sequence[tuple[str, object]], members: Sequence[str]) -> object | None:
    """Give what a user told of members: by the longest part of the path of any of them, None where none is."""
    fitting = [(len(part), value) for part, value in told if any(part in member for member in members)]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


def find_zone(
    node: Node,
    told: Told,
    files: CollectedFiles,
    dated: Mapping[str, Dated],
) -> None:
    """Find a node's zone by what is told, by libEST's access records and by the collection's."""
    table = node.log.table
    members = [table.members[int(code)] for source in _NODES_LOGS for code in np.unique(table.runs_of(source)[:, 2])]
    if node.name:
        members = [member for member in members if named_node(member, told) == node.name]
    declared = part_told(told.zones, members)
    _, utc, offset = node.log.accesses
    first, last = _span(node, utc)
    seen = observed(utc, offset)
    if isinstance(declared, Zone):
        node.zone = declared.within(first, last)
        node.basis = f"declared with --tz as {declared.name}"
        if seen is not None and any(node.zone.offset_at(at) != seen.offset_at(at) for at in (utc.min(), utc.max())):
            node.basis += f" (log_access carries {seen.name})"
            node.notices.append(f"--tz {declared.name} is believed, but log_access carries {seen.name}")
            # The stamp is believed, and what it is said to be of is what was told.
            rows, utc, offset = node.log.accesses
            table.put_numbers("utc", rows, node.zone.utc(utc + offset))
            node.log.forget()
        elif (named := _collected_zone(node, files, members, seen, utc)[1]) and not _fits(declared, named, first, last):
            node.notices.append(f"--tz {declared.name} is believed, but the collection's record names {named}")
        return
    zone, collected_names = _collected_zone(node, files, members, seen, utc)
    if zone is not None:
        names = collected_names
        node.zone = zone.within(first, last)
        node.basis = f"the collection's record names {names}"
        if seen is not None:
            node.basis += f", log_access carries {seen.name}"
        return
    if seen is not None:
        node.zone = seen
        node.basis = f"log_access carries {_carried(seen)}"
        if collected_names:
            node.basis += f" (the collection's record names {collected_names})"
        return
    by_files = _zone_of_files(node, dated)
    if by_files is not None:
        if not _maybe_unpacked(node, dated):
            node.zone, node.by_files = by_files, True
            node.basis = f"the files' own times are those of their last lines at {by_files.name}"
        node.zone_of_files = by_files
    elif collected_names:
        node.unclear = f"the collection's record names {collected_names}, which several zones bear"


def _maybe_unpacked(node: Node, dated: Mapping[str, Dated]) -> bool:
    """Tell whether files may have been unpacked from a zip, by a machine that took its local times for those of its own
    zone: then they bear even seconds, all of them.
    """
    table = node.log.table
    members = {int(code) for source in ("capf", "nginx") for code in table.runs_of(source)[:, 2]}
    marks = [dated.get(table.members[code]) for code in members]
    return all(ms_of(mark.modified) % 2000 == 0 for mark in marks if mark is not None and mark.modified is not None)


def _zone_of_files(node: Node, dated: Mapping[str, Dated]) -> Zone | None:
    """Find the zone by the times in UTC at which the files of a node were last written, and their last lines' stamps.

    One file may be so by chance: two have to agree to the second. Where they say two things, and a zone changed from
    the one to the other between them, so did this one.
    """
    table = node.log.table
    marks: list[tuple[int, int]] = []
    for source in ("capf", "nginx"):
        for begin, end, code, _ in table.runs_of(source).tolist():
            mark = dated.get(table.members[code])
            if mark is None or mark.modified is None or mark.local or not len(node.log.mine(np.array([begin]))):
                continue
            stamps = table.stamp[max(begin, end - _LAST_ROWS) : end]
            stamps = stamps[stamps != NONE]
            if not len(stamps):
                continue
            ahead = (int(stamps[-1]) - ms_of(mark.modified)) % DAY_MS
            quarters = round(ahead / QUARTER_MS) * QUARTER_MS
            if -_WRITTEN_MS <= ahead - quarters <= 1000:
                marks.append((ms_of(mark.modified), quarters))
    if not marks:
        return None
    _, dates = node.log.stamped("nginx")

    def strange(own: Iterable[tuple[int, int]]) -> tuple[bool, int, bool]:
        local = [utc + offset for utc, offset in own]
        apart = sum(max(int(dates.min()) - at, at - int(dates.max()), 0) for at in local) if len(dates) else 0
        fits = all(ZONE_MIN <= offset <= ZONE_MAX for _, offset in own)
        return not fits, apart, any(offset == ZONE_MAX or offset < _HAWAII_MS for _, offset in own)

    # Of two zones a day apart that which the dates of error.log fit, else the one where more people live.
    parted = [(utc, offset if offset <= ZONE_MAX else offset - DAY_MS) for utc, offset in marks]
    twins = [parted, [(utc, offset - DAY_MS) for utc, offset in parted]]
    marks = sorted(min(twins, key=strange))
    (quarters, often), *others = Counter(offset for _, offset in marks).most_common(2)
    turns = [(a, b) for a, b in pairwise(marks) if a[1] != b[1]]
    if often > 1 and turns and all(changes_so(a[1], b[1], a[0], b[0]) for a, b in turns):
        return observed(*np.array(marks, dtype=np.int64).T)
    return Zone.fixed(quarters // 1000) if often > 1 and not any(count * 2 > often for _, count in others) else None


def _fits(declared: Zone, names: str, first: int, last: int) -> bool:
    """Tell whether a zone is one of those that a record's names mean."""
    middle = (first + last) // 2 if last - first < 1 << 50 else 0
    offsets = {zone.offset_at(middle) for name in names.split(" and ") for zone in called(name, middle)}
    return not middle or not offsets or declared.offset_at(middle) in offsets


def _carried(zone: Zone) -> str:
    """Name the offsets of a zone that was read off records, one after another."""
    names = [Zone.fixed(offset // 1000).name for offset in zone.offsets]
    when = [f"{np.datetime64(change, 'ms')}"[:16].replace("T", " ") for change in zone.changes]
    return names[0] + "".join(f", from {at} UTC on {name}" for at, name in zip(when, names[1:], strict=True))


def _span(node: Node, utc: np.ndarray) -> tuple[int, int]:
    """Give about from when to when the bundle's lines are; all times where nothing tells it."""
    times = [utc, *(node.log.stamped(source)[1] for source in ("nginx", "iis"))]
    times = [own for own in times if len(own)]
    if not times:
        return -(1 << 60), 1 << 60
    return min(int(own.min()) for own in times) - _AROUND_MS, max(int(own.max()) for own in times) + _AROUND_MS


def _collected_zone(
    node: Node,
    files: CollectedFiles,
    members: Sequence[str],
    seen: Zone | None,
    utc: np.ndarray,
) -> tuple[Zone | None, str]:
    """Find the zone that the collection's record of a node's files names, and its name or names there.

    None where it names none, or one that several zones bear.
    """
    own = [record for member in members if (record := files.modified_of(member)) is not None and record.zone]
    if not own and not node.name:
        own = [record for record in files.all if record.zone]
    by_name: dict[str, int] = {}
    for record in own:
        by_name.setdefault(record.zone, record.modified)
    zones: list[Zone] | None = None
    if len(by_name) > _NAMES:
        return None, ""
    for name, at in sorted(by_name.items()):
        found = called(name, at)
        if not found:
            continue
        # Winter and summer of one place: what fits the one and the other.
        both = {other.name for other in found}
        zones = found if zones is None else [zone for zone in zones if zone.name in both]
    names = " and ".join(sorted(by_name))
    if not zones:
        return None, ""
    if seen is not None:
        moments = np.unique(utc)[:: max(1, len(utc) // 200)]
        zones = [z for z in zones if all(z.offset_at(int(at)) == seen.offset_at(int(at)) for at in moments.tolist())]
    if not zones:
        return None, ""
    ats = list(by_name.values())
    first, last = min([*ats, *utc.tolist()[:1]]) - _AROUND_MS, max([*ats, *utc.tolist()[-1:]]) + _AROUND_MS
    # The rules beyond are those of the zone that most know by the name.
    if agreed(zones, first, last) is None:
        return None, names
    # Which of the places it is that know the zone by that name nothing tells.
    return Zone(names.replace(" and ", "/"), zones[0].offsets, zones[0].changes), names


def date_traces(
    node: Node,
    told: Told,
    asked: Sequence[Asked],
    files: CollectedFiles,
    dated: Mapping[str, Dated],
) -> None:
    """Find the days of a node's traces."""
    table = node.log.table
    for folder in node.folders:
        members = [table.members[int(code)] for code in np.unique(table.member[folder.trace.rows]).tolist()]
        declared = part_told(told.dates, members)
        day = declared if isinstance(declared, int) else None
        of_files = node.zone or node.zone_of_files
        dating = Dating(node.log, folder.trace, folder.calls, day, node.zone, of_files, asked, files, dated)
        folder.days = dating.days()
        node.notices += dating.notices
