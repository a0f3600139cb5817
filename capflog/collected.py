"""What records of a collection tell of a bundle's members: which file each is, when it was last changed, on which node.

The records themselves are read by :mod:`capflog.collection_records`.
"""

from __future__ import annotations

import ipaddress
import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Years in which a file may have been collected.
COLLECTED_IN = range(1970, 2101)

#: Of so many files of one name nobody can say which is meant.
_CANDIDATES_MOST = 1024


@dataclass(frozen=True, slots=True)
class Collected:
    """A file as a record of the collection tells of it.

    ``record``: the member that holds the record. ``node``: the node's name or address, "" where it is not told.
    ``path``: the file's path or name on the node. ``modified``: its last change by the node's wall clock (ms since
    1970-01-01, as if that clock ran on UTC). ``zone``: as written ("EDT", "GMT+05:30"), "" where none is. ``size``: in
    bytes as told.
    """

    record: str
    node: str
    path: str
    modified: int
    zone: str
    size: int | None

    @property
    def order(self) -> tuple[str, str, str, int, str, int]:
        """Where it stands among others, whatever the order of reading was."""
        return self.record, self.node, self.path, self.modified, self.zone, -1 if self.size is None else self.size


# ---- whose node a member is ------------------------------------------------------------------------------------------

_MOMENT = re.compile(r"(\d{4})-(\d\d)-(\d\d)_(\d\d)-(\d\d)-(\d\d)", re.ASCII)
_ARCHIVE = re.compile(
    r"(?P<stem>.*?)(?:\.(?:zip|tgz|tar(?:\.\w{1,4})?))?(?:#\d+)?!", re.ASCII | re.IGNORECASE | re.DOTALL
)
_NUMBERED = re.compile(r"(?P<name>.+?)_\d{1,3}", re.ASCII | re.DOTALL)
_RECORD_OF = re.compile(
    r"TraceCollectionResult(?P<told>(?:_.+?)?)(?:_\d{1,3})?(?: ?\(\d+\))?\.xml(?:#\d+)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)


def _parts(path: str) -> list[str]:
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]


def _stem(part: str) -> str:
    """Give a folder's name; of an archive that stands for a folder, what it was called before it was one."""
    found = _ARCHIVE.fullmatch(part)
    return found["stem"] if found else part


def _when(name: str) -> int | None:
    """Read the moment that a folder is named after, in ms; None: it is not."""
    found = _MOMENT.fullmatch(name)
    if found is None:
        return None
    try:
        moment = datetime(*(int(part) for part in found.groups()), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    return round(moment.timestamp() * 1000) if moment.year in COLLECTED_IN else None


def _dated_folder(folders: Sequence[str]) -> int | None:
    """Tell which folder of a path, from 0 on, is the one of the collection: the last one that is named so."""
    return next((at for at in reversed(range(len(folders))) if _when(_stem(folders[at])) is not None), None)


def node_of(member: str) -> str:
    """Give the name of the node that a member is of: ``<node>[_n]/<date>/cm/trace/...``; "" where its path is no such.

    An archive counts for the node's folder only where it is named as RTMT names that: others are named after cases.
    """
    folders = _parts(member)[:-1]
    at = _dated_folder(folders)
    # The folder may stand in an archive of its own name.
    while at is not None and at > 0 and _when(_stem(folders[at - 1])) is not None:
        at -= 1
    if not at:
        return ""
    name = _stem(folders[at - 1])
    numbered = _NUMBERED.fullmatch(name)
    if folders[at - 1].endswith("!") and not numbered and _address(name) is None:
        return ""
    return numbered["name"] if numbered else name


def collected_at(member: str) -> int | None:
    """Give the moment that the folder of the collection is named after: ms of its wall clock; None: there is none."""
    folders = _parts(member)[:-1]
    at = _dated_folder(folders)
    return None if at is None else _when(_stem(folders[at]))


def _address(name: str) -> str | None:
    """Give an IP address in its one spelling, None for a name."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _same_node(one: str, other: str) -> bool | None:
    """Tell whether two names are of one node; None: an address and a name tell nothing of each other."""
    addresses = _address(one), _address(other)
    if any(addresses):
        return addresses[0] == addresses[1] if all(addresses) else None
    one, other = sorted((one.lower(), other.lower()), key=len)
    return one == other or other.startswith(f"{one}.")


def _told_by_name(name: str) -> tuple[str, int | None]:
    """Read of which node a record of RTMT's is, and when it was made, out of its name; ``""`` and None: not told.

    There is one for each node: the name tells the host where the text tells the address.
    """
    found = _RECORD_OF.fullmatch(name)
    if found is None:
        return "", None
    node = found["told"].removeprefix("_")
    moment = _MOMENT.match(node)
    at = _when(moment[0]) if moment else None
    if moment and at is not None:
        node = node[moment.end() :].removeprefix("_")
    return ("" if node.isdecimal() else node), at


# ---- which file a member is ------------------------------------------------------------------------------------------


def _file_name(name: str) -> str:
    """Leave out what says that a file is compressed (``.gzo``: it was still written to)."""
    return re.sub(r"(?:\.gzo?)+\Z", "", name)


def _key(parts: Sequence[str]) -> list[str]:
    """Give a path's parts from its end on, as they are compared."""
    tail = [part.lower() for part in parts[: -_PARTS_MOST - 1 : -1]]
    return [_file_name(tail[0]), *tail[1:]] if tail else []


#: So many folders of a path are compared.
_PARTS_MOST = 32


@dataclass(slots=True)
class _Of:
    """A file with what its record tells of where it is from."""

    file: Collected
    nodes: tuple[str, ...]
    moment: int | None
    folders: list[str]

    def fits(self, node: str) -> bool | None:
        """Tell whether it is of a node; None: nothing is told of it."""
        said = {_same_node(node, own) for own in self.nodes} if node else set()
        return True if True in said else False if False in said else None


class CollectedFiles:
    """The files that all records of a bundle tell of."""

    def __init__(self, records: Iterable[Collected]) -> None:
        by_record: defaultdict[str, list[Collected]] = defaultdict(list)
        self.all = list(records)
        self._known: dict[str, Collected | None] = {}
        for file in self.all:
            by_record[file.record].append(file)
        found: list[tuple[str, Collected, _Of]] = []
        for record, files in by_record.items():
            folders = _parts(record)
            name = folders.pop() if folders else ""
            host, at = _told_by_name(name)
            at = collected_at(record) if at is None else at
            if len({file.node for file in files}) > 1:
                host = ""
            around = node_of(record)
            for file in files:
                nodes = tuple(node for node in (file.node, host or ("" if file.node else around)) if node)
                key = "".join(f"{part}/" for part in _key(_parts(file.path)))
                found.append((key, file, _Of(file, nodes, at, folders)))
        found.sort(key=lambda one: (one[0], one[1].order))
        self._keys = [key for key, _, _ in found]
        self._files = [of for _, _, of in found]

    def __len__(self) -> int:
        return len(self._files)

    def modified_of(self, member: str) -> Collected | None:
        """Find what is told of a member (:meth:`_modified_of`); it is looked for once."""
        if member not in self._known:
            self._known[member] = self._modified_of(member)
        return self._known[member]

    def _modified_of(self, member: str) -> Collected | None:
        """Find what is told of a member: of the files that may be of its node, that with the longest common tail.

        Of several, a record of that node, of that collection, and the nearest in the bundle count before others. None:
        no record tells of it, or they do not agree.
        """
        node, at, parts = node_of(member), collected_at(member), _parts(re.sub(r"#\d+\Z", "", member))
        for prefix in self._tails(parts):
            low = bisect_left(self._keys, prefix)
            high = bisect_left(self._keys, f"{prefix}\U0010ffff")
            if high - low > _CANDIDATES_MOST:
                return None
            ranked = [
                ((fits is True, of.moment is not None and of.moment == at, _near(of.folders, parts)), of.file)
                for of in self._files[low:high]
                if (fits := of.fits(node)) is not False
            ]
            if ranked:
                best = max(rank for rank, _ in ranked)
                file = _agreed([file for rank, file in ranked if rank == best])
                if file is None or file.zone:
                    return file
                # Others that tell the same time may tell the zone, too.
                return _agreed([other for _, other in ranked if other.modified == file.modified]) or file
        return None

    def _tails(self, parts: Sequence[str]) -> Iterator[str]:
        """Yield the tails that a member's path has in common with paths of files, the longest first."""
        ways = [parts]
        # What stands in a compressed file is the file.
        ways += [[*parts[:at], part[:-1]] for at, part in enumerate(parts) if re.search(r"\.gzo?!\Z", part.lower())]
        tails: set[tuple[int, str]] = set()
        for way in ways[:8]:
            key = _key(way)
            whole = "".join(f"{part}/" for part in key)
            at = bisect_left(self._keys, whole)
            common = max(
                (_near(self._keys[k].split("/")[:-1], key) for k in (at - 1, at) if 0 <= k < len(self)), default=0
            )
            for length in range(common, 0, -1):
                # Of a bare name: "error.log" there is in many folders, capf00000012.txt in one.
                if length > 1 or re.search(r"\d", key[0]):
                    tails.add((length, "".join(f"{part}/" for part in key[:length])))
        for _, prefix in sorted(tails, key=lambda tail: (-tail[0], tail[1])):
            yield prefix


def _near(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the parts that two paths begin with alike."""
    count = 0
    for own, others in zip(one, other, strict=False):
        if own != others:
            break
        count += 1
    return count


def _agreed(files: Sequence[Collected]) -> Collected | None:
    """Give one of the files if all tell the same, that with a zone before others."""
    zones = {file.zone for file in files if file.zone}
    if len({file.modified for file in files}) > 1 or len(zones) > 1:
        return None
    return min(files, key=lambda file: (not file.zone, file.order))
