"""What the package tzdata tells of zones: names, rules, when offsets change. In seconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.resources.abc import Traversable
    from zoneinfo import ZoneInfo

#: A zone's changes are known from 1970 to here: 2100. (s)
LAST = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())

#: Offsets are looked for in steps of so much; no zone has ever kept one for less. (s)
STEP = 6 * 86_400

#: Zones that are the same for so long before and after a moment are one there. (s)
NEAR = 400 * 86_400

#: Of zones that are alike the first of these gives its name, and zones that have a name here come first.
_BEST_KNOWN = """
America/New_York America/Chicago America/Denver America/Los_Angeles Europe/London UTC GMT Europe/Berlin Asia/Kolkata
Asia/Tokyo Asia/Shanghai Australia/Sydney America/Sao_Paulo America/Toronto America/Phoenix America/Anchorage
Pacific/Honolulu America/Halifax America/St_Johns America/Mexico_City America/Bogota America/Lima America/Caracas
America/Santiago America/Argentina/Buenos_Aires America/Montevideo America/La_Paz America/Asuncion America/Guayaquil
America/Panama America/Puerto_Rico America/Costa_Rica America/Havana America/Regina Europe/Athens Europe/Moscow
Europe/Istanbul Europe/Lisbon Europe/Dublin Africa/Johannesburg Africa/Nairobi Africa/Lagos Africa/Maputo Africa/Cairo
Africa/Algiers Africa/Casablanca Africa/Tunis Asia/Jerusalem Asia/Dubai Asia/Riyadh Asia/Baghdad Asia/Tehran
Asia/Karachi Asia/Dhaka Asia/Kathmandu Asia/Colombo Asia/Tashkent Asia/Almaty Asia/Yekaterinburg Asia/Bangkok
Asia/Jakarta Asia/Singapore Asia/Kuala_Lumpur Asia/Hong_Kong Asia/Taipei Asia/Manila Asia/Seoul Australia/Brisbane
Australia/Adelaide Australia/Darwin Australia/Perth Pacific/Auckland Pacific/Guam Pacific/Pago_Pago
"""

#: Names that come after so many are none of the best known.
WELL_KNOWN = len(_BEST_KNOWN.split())


def _tzdata() -> Traversable:
    from importlib.resources import files  # noqa: PLC0415

    return files("tzdata")


@cache
def known_names() -> dict[str, str]:
    """Give the names of all zones, by the name in small letters."""
    # Factory stands for a zone that nobody has set.
    names = (_tzdata() / "zones").read_text("ascii").split()
    return {name.lower(): name for name in names if name != "Factory"}


@cache
def alike() -> dict[bytes, list[str]]:
    """Give the names of each zone that there is, by what its file holds: many zones have several."""
    found: dict[bytes, list[str]] = {}
    for name in known_names().values():
        found.setdefault(held(name), []).append(name)
    return found


@cache
def held(name: str) -> bytes:
    """Give what a zone's file holds."""
    file = _tzdata() / "zoneinfo"
    for part in name.split("/"):
        file /= part
    return file.read_bytes()


@cache
def rules_of(name: str) -> ZoneInfo:
    """Give the zone as tzdata has it, not as the host does, which ``ZoneInfo(name)`` would ask first."""
    from io import BytesIO  # noqa: PLC0415
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    return ZoneInfo.from_file(BytesIO(held(name)), key=name)


@cache
def _rank() -> dict[str, int]:
    """Tell how well a name is known: the best, then those of tzdata's own list; what is not here is an old name."""
    listed = (_tzdata() / "zoneinfo" / "zone1970.tab").read_text("utf-8").splitlines()
    names = [*_BEST_KNOWN.split(), *(line.split("\t")[2] for line in listed if line[:1] not in {"", "#"})]
    return {name: place for place, name in reversed([*enumerate(names)])}


def best_of(names: Iterable[str]) -> tuple[int, str]:
    """Give the best known of names, after how many others it comes."""
    rank = _rank()
    return min((rank.get(name, len(rank) * 2), name) for name in names)


def offset_in(rules: ZoneInfo, second: int) -> int:
    """Give a zone's offset at a second since 1970, in seconds."""
    offset = datetime.fromtimestamp(min(max(second, 0), LAST), rules).utcoffset()
    return offset.days * 86_400 + offset.seconds if offset is not None else 0


def changes_in(rules: ZoneInfo, first: int, last: int) -> list[tuple[int, int]]:
    """Give each change after ``first`` up to ``last`` with the offset that begins, all in seconds."""
    found: list[tuple[int, int]] = []
    first, last = max(first, 0), min(last, LAST)
    if first >= last:
        return found
    # Thousands of times asked: what comes is compared as it is.
    shown = datetime.fromtimestamp
    known, before = first, shown(first, rules).utcoffset()
    while known < last:
        ahead = min(known + STEP, last)
        if shown(ahead, rules).utcoffset() != before:
            low, high = known, ahead
            while high - low > 1:
                middle = (low + high) // 2
                if shown(middle, rules).utcoffset() == before:
                    low = middle
                else:
                    high = middle
            ahead, before = high, shown(high, rules).utcoffset()
            found.append((high, offset_in(rules, high)))
        known = ahead
    return found
