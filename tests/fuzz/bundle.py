"""Any bytes as a bundle: as a file, and through a pipe."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from capflog.bundle import BundleError, Damage, Damaged, Limits, Refused, open_bundle
from tests.bundles import COMPRESS, LOG, OTHER, pipe, streamed_zip, tarred, zipped

if TYPE_CHECKING:
    from typing import BinaryIO

#: Small, so that what is beyond them comes up, too.
LIMITS = Limits(member_bytes=1 << 18, total_bytes=1 << 20, members=40, depth=3, held_bytes=1 << 18)

WORDS = (
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x07\x08", b"ustar\x0000",
    b"ustar  \x00", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"../", b"C:\\", b"\x1b[2J",
    b"GNU.sparse", b"30 path=", b"28 linkpath=", b"x" * 100, b"\x01\x00\x18\x00",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Make archives of every form, one within another, too."""
    members = {"capf/capf00000001.txt": LOG * 3, "error.log": OTHER, "../../\u202e\x1b[2J.log": LOG}
    made = [zipped(members), zipped(members, 0), streamed_zip(members), tarred(members)]
    made += [compress(LOG) for compress in COMPRESS.values()]
    made += [compress(tarred(members)) for compress in COMPRESS.values()]
    made += [zipped({"inner.zip": zipped(members), "inner.tar.gz": COMPRESS["gz"](tarred(members))}), LOG, b""]
    return made


def once(data: bytes) -> None:
    """Walk it, and once more without reading the members: names and numbers are the same."""
    ways = [(_walk(io.BytesIO(data), reading=reading), _walk(pipe(data), reading=reading)) for reading in (True, False)]
    for read, unread in zip(*ways, strict=True):
        limited = any("over a limit" in line for line in (*read, *unread))
        assert limited or [line.partition("\t")[0] for line in read] == [line.partition("\t")[0] for line in unread]


def _walk(stream: BinaryIO, *, reading: bool) -> list[str]:
    found: list[str] = []
    names: set[str] = set()
    unpacked = 0
    try:
        for item in open_bundle(["-"], stream, LIMITS):
            item.name.encode()
            if isinstance(item, Refused | Damage):
                assert item.reason
                item.reason.encode("utf-8", "surrogatepass")
                if isinstance(item, Refused):
                    found.append(f"{item.name!r} {item.status}\t{item.reason}")
                else:
                    found.append(f"\t{item.reason}")
                    continue
            else:
                found.append(f"{item.name!r} {item.number}\t")
                size = 0
                try:
                    for chunk in item.chunks() if reading else ():
                        assert 0 < len(chunk) <= 1 << 20
                        size += len(chunk)
                except Damaged as damaged:
                    found[-1] += str(damaged)
                assert size <= LIMITS.member_bytes
                unpacked += size
            assert item.name not in names
            names.add(item.name)
    except BundleError as error:
        assert not names
        return [str(error)]
    assert unpacked <= LIMITS.total_bytes
    assert len(names) <= LIMITS.members
    return [line for line in found if not line.startswith("\t")]
