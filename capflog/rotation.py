"""In which order rotated files were written: by the numbers in their names, and where these began anew, by their times.

A CUCM service writes so many trace files at the most (250 by default) and then begins again with the first number: the
lowest number may be the newest file. Names do not tell that; the times at which the files were last written do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DAY_MS = 86_400_000

#: A file was last written within this of its last line's stamp, by a clock whose zone may be another one. (ms)
_WRITTEN_MS, _QUARTER_MS = 3_000, 900_000


@dataclass(frozen=True, slots=True)
class Changed:
    """When a file was last written, in ms since 1970; ``local``: by the clock of the node that wrote it."""

    at: int
    local: bool

    def is_of(self, stamp: int) -> bool:
        """Tell whether that is the time of its last line, stamped at this time of day (ms): no copy's."""
        if self.local:
            return (self.at - stamp + _WRITTEN_MS) % DAY_MS <= _QUARTER_MS
        return (self.at - stamp + _WRITTEN_MS) % _QUARTER_MS <= 2 * _WRITTEN_MS


def rotation_key(member: str) -> tuple[str, tuple[tuple[int, str], ...]]:
    """Order rotated files as they were written: by folder, then by the numbers in the name as numbers."""
    folder, _, name = member.rpartition("/")
    parts = re.split(r"([0-9]+)", name)
    # A number of any length is ordered by how many digits it has, then by these.
    numbers = (part.lstrip("0") for part in parts[1::2])
    parts[1::2] = numbers
    return folder, tuple((len(part) if k % 2 else -1, part) for k, part in enumerate(parts))


def in_rotation(lasts: Mapping[str, int], changed: Callable[[str], Changed | None]) -> list[str]:
    """Put files in the order in which they were written, folder by folder.

    ``lasts``: each file's last stamp, a time of day in ms; ``changed``: when it was last written, None: not known.
    """
    names = sorted(lasts, key=rotation_key)
    found: list[str] = []
    for _, of_folder in groupby(names, key=lambda name: rotation_key(name)[0]):
        own = list(of_folder)
        times = [changed(name) for name in own]
        known = [(time.at, time.is_of(lasts[name])) for name, time in zip(own, times, strict=True) if time is not None]
        if len(known) == len(own) and all(fits for _, fits in known):
            drops = [place for place, (a, b) in enumerate(pairwise(known), 1) if b[0] < a[0]]
            if len(drops) == 1 and known[-1][0] <= known[0][0]:
                own = own[drops[0] :] + own[: drops[0]]
        found += own
    return found
