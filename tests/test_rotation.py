"""In which order rotated files were written, where the numbers began anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from capflog.rotation import Changed, in_rotation
from tests.scenes import Held, at, enrollments, held, seconds, tries

DAY = 86_400_000
CLOCKS = ("08:00:00", "10:00:00", "12:00:00", "14:00:00")
#: The oldest file's number was followed by the first one.
NAMES = ("capf00000249.txt", "capf00000250.txt", "capf00000001.txt", "capf00000002.txt")


def traces(*, modified: bool, local: bool = False, late: timedelta = timedelta(0)) -> list[Held]:
    """Four files of a trace, each with a phone; each was last written when its last line was, or so much later."""
    found = []
    for name, clock in zip(NAMES, CLOCKS, strict=True):
        lines = tries(f"SEP{name[4:12]}", at(clock))
        last = max(line.at for line in lines) + late
        when = last if local else last.replace(tzinfo=UTC)
        found.append(held(name, lines, modified=when if modified else None, modified_is_local=local))
    return found


def devices(*members: Held) -> list[str | None]:
    return [e.device for e in enrollments(*members)]


@pytest.mark.parametrize("local", [True, False])
def test_files_whose_numbers_began_anew_are_in_the_order_of_their_times(local: bool) -> None:
    members = traces(modified=True, local=local)
    assert devices(*members) == [f"SEP{name[4:12]}" for name in NAMES]
    starts = [e.started for e in enrollments(*members)]
    assert all(a and b and b - a == timedelta(hours=2) for a, b in pairwise(starts))


def test_without_times_the_numbers_are_believed() -> None:
    assert devices(*traces(modified=False)) == [f"SEP{name[4:12]}" for name in sorted(NAMES)]


def test_copies_times_are_not_believed() -> None:
    """Files that were copied one after another in any order bear the times of that."""
    members = traces(modified=True, late=seconds(137))
    assert devices(*members) == [f"SEP{name[4:12]}" for name in sorted(NAMES)]


def test_the_collections_record_tells_it_too() -> None:
    folder = "pub/2019-01-16_15-30-00/cm/trace/capf/sdi"
    members = [Held(f"{folder}/{m.name}", m.content, owners=m.owners) for m in traces(modified=False)]
    files = "".join(
        f'<FileName name="/var/log/active/cm/trace/capf/sdi/{name}" '
        f'modifiedDate="{at(clock) + seconds(2):%a %b %d %H:%M:%S} EST 2019" size="100">\n'
        for name, clock in zip(NAMES, CLOCKS, strict=True)
    )
    record = (
        f'<?xml version="1.0"?>\n<TraceCollectionResult>\n<Node name="pub">\n{files}</Node></TraceCollectionResult>\n'
    )
    xml = Held("TraceCollectionResult_2019-01-16_pub.xml", record.encode())
    assert devices(*members, xml) == [f"SEP{name[4:12]}" for name in NAMES]


def test_more_than_one_drop_is_no_rotation() -> None:
    """Of times that rise and fall nothing can be believed."""
    lasts = {f"capf{n}.txt": 0 for n in range(4)}
    times = dict(zip(lasts, (3, 1, 4, 2), strict=True))
    assert in_rotation(lasts, lambda name: Changed(times[name] * DAY, local=True)) == list(lasts)
    times = dict(zip(lasts, (3, 4, 1, 2), strict=True))
    assert in_rotation(lasts, lambda name: Changed(times[name] * DAY, local=True)) == [
        "capf2.txt",
        "capf3.txt",
        "capf0.txt",
        "capf1.txt",
    ]


def test_each_folder_is_a_rotation_of_its_own() -> None:
    lasts = {"b/capf1.txt": 0, "b/capf2.txt": 0, "a/capf1.txt": 0, "a/capf2.txt": 0}
    times = {"b/capf1.txt": 2, "b/capf2.txt": 1, "a/capf1.txt": 3, "a/capf2.txt": 4}
    assert in_rotation(lasts, lambda name: Changed(times[name] * DAY, local=True)) == [
        "a/capf1.txt",
        "a/capf2.txt",
        "b/capf2.txt",
        "b/capf1.txt",
    ]


@pytest.mark.parametrize(
    ("clock", "local", "own"),
    [
        ("10:00:00", True, True),
        ("10:14:00", True, True),
        ("10:20:00", True, False),
        ("09:59:58", True, True),
        ("15:00:01", False, True),
        ("15:45:00", False, True),
        ("15:07:00", False, False),
    ],
)
def test_a_files_time_is_its_last_lines_or_a_copys(clock: str, local: bool, own: bool) -> None:
    """The last line is of ten o'clock; a time in UTC is of some zone, and zones are quarters of an hour."""
    when = datetime.fromisoformat(f"2019-01-16T{clock}").replace(tzinfo=UTC)
    assert Changed(round(when.timestamp() * 1000), local).is_of(10 * 3_600_000) is own
