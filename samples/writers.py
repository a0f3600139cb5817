"""Stamps, logs and archives: what the samples are written with.

Every time in here is a whole number of milliseconds since the sample day's midnight in New York, as CAPF counts them;
each log turns it into its own stamp.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SECOND = 1000
MINUTE = 60 * SECOND

#: Midnight of the sample day on the CUCM node: America/New_York in winter, UTC-5.
MIDNIGHT = datetime(2019, 1, 16, tzinfo=timezone(timedelta(hours=-5)))

#: How much the clock of the CA's web server is behind the node's, in ms.
IIS_BEHIND = 2400


def ms(clock: str) -> int:
    """Turn a time of day (``14:05:04.628``, ``14:05:04`` or ``14:05``) into milliseconds since midnight."""
    hours, minutes, seconds = (*clock.split(":"), "0")[:3]
    return (int(hours) * 60 + int(minutes)) * MINUTE + round(float(seconds) * SECOND)


def pick(low: int, high: int, *of: object) -> int:
    """Choose a number from ``low`` to ``high`` by what it is for: the same one on every machine, in every run."""
    return low + crc32("|".join(map(str, of)).encode()) % (high - low + 1)


def moment(at: int) -> datetime:
    """Place a time of the sample day on the node's clock."""
    return MIDNIGHT + timedelta(milliseconds=at)


def capf_stamp(at: int) -> str:
    """Write the time of day as CAPF does: ``14:05:04.628``."""
    return moment(at).time().isoformat("milliseconds")


def nginx_stamp(at: int) -> str:
    """Write the node's local time as NGINX does: ``2019/01/16 14:05:04`` (nginx ngx_times.c)."""
    return moment(at).strftime("%Y/%m/%d %H:%M:%S")


def access_stamp(at: int) -> str:
    """Write the time that libEST's ``log_access`` puts in brackets: ``16/Jan/2019:14:05:04 -0500``."""
    return moment(at).strftime("%d/Jan/%Y:%H:%M:%S %z")


def iis_stamp(at: int) -> str:
    """Write the UTC of the CA's own clock as IIS does: ``2019-01-16 19:05:02``."""
    return moment(at - IIS_BEHIND).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def utc(at: int) -> str:
    """Write the true time as RFC 3339 in UTC: ``2019-01-16T19:05:04.628Z``."""
    return moment(at).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(eq=False, slots=True)
class Enrollment:
    """One attempt of a device to get its certificate, and what becomes of it."""

    device: str
    started: int
    outcome: str
    causes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Line:
    """A physical line: when it was written, which enrollment it belongs to, and whether it tells of the fault."""

    at: int
    text: str
    of: Enrollment | None = None
    fault: bool = False


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle: its path, its bytes and its time of last change."""

    path: str
    content: bytes
    at: int


@dataclass(slots=True)
class Log:
    """One log as its program writes it, over as many files as it takes.

    ``stamp`` writes what stands in front of a line (None: nothing does). Lines of things that go on at once are put in
    order of time, those of the same millisecond in the order in which they came.
    """

    stamp: Callable[[int], str] | None = None
    end: str = "\n"
    encoding: str = "utf-8"
    lines: list[Line] = field(default_factory=list)

    def write(
        self, at: int, text: str, of: Enrollment | None = None, *, stamped: bool = True, fault: bool = False
    ) -> None:
        """Add a line; ``stamped`` False: as it is, without a time."""
        if stamped and self.stamp is not None:
            text = f"{self.stamp(at)} {text}"
        self.lines.append(Line(at, text, of, fault))

    def files(self, paths: Sequence[str], cuts: Sequence[int] = ()) -> Iterator[tuple[Member, list[Line]]]:
        """Cut the log into files: ``paths[n]`` ends where ``cuts[n]`` begins, the last one with the log."""
        ordered = sorted(self.lines, key=lambda line: line.at)
        bounds = [ordered[0].at, *cuts, ordered[-1].at + 1]
        for path, first, last in zip(paths, bounds[:-1], bounds[1:], strict=True):
            held = [line for line in ordered if first <= line.at < last]
            text = "".join(line.text + self.end for line in held)
            yield Member(path, text.encode(self.encoding), held[-1].at), held


def packed(path: str, content: bytes) -> bytes:
    """Compress a trace file as its name says: ``.gz`` is closed, ``.gzo`` still open and so without gzip's trailer."""
    if path.endswith(".gz"):
        return gzip.compress(content, mtime=0)
    if path.endswith(".gzo"):
        return gzip.compress(content, mtime=0)[:-8]
    return content


def tarred(members: Iterable[Member]) -> bytes:
    """Put members into a ``.tar.gz``."""
    heap = io.BytesIO()
    with tarfile.open(fileobj=heap, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member in members:
            entry = tarfile.TarInfo(member.path)
            entry.size = len(member.content)
            entry.mtime = int(moment(member.at).timestamp())
            archive.addfile(entry, io.BytesIO(member.content))
    return gzip.compress(heap.getvalue(), mtime=0)


def write_zip(path: Path, members: Iterable[Member]) -> None:
    """Write a bundle: a zip whose members bear their logs' times, not the time at which this ran."""
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            entry = zipfile.ZipInfo(member.path, moment(member.at).timetuple()[:6])
            entry.create_system = 3  # else the platform that this runs on stands in the file
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, member.content)


def collection_record(node: str, address: str, at: int, sizes: Mapping[str, tuple[int, int]]) -> Member:
    """Write RTMT's list of what it collected; ``sizes``: path on the node -> time of last change and size in bytes."""
    files = "".join(
        f'        <FileName name="{path}" modifiedDate="{moment(changed).strftime("Wed Jan %d %H:%M:%S EST %Y")}" '
        f'size="{size}"/>\n'
        for path, (changed, size) in sizes.items()
    )
    stamp = moment(at).strftime("%Y-%m-%d_%H-%M-%S")
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<TraceCollectionResult>\n'
        f'  <Node name="{address}">\n    <ServiceName name="Cisco Certificate Authority Proxy Function">\n'
        f'      <FileType name="sdi">\n{files}      </FileType>\n'
        "    </ServiceName>\n  </Node>\n</TraceCollectionResult>\n"
    )
    return Member(f"TraceCollectionResult_{stamp}_{node}.xml", text.encode(), at)
