"""What the exports have in common: how JSON is written, which moment an event has, what its enrollment is called."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from capflog.eventlines import EventLine

#: What tells an event's moment: its own time, else the earliest that it can have happened, else the latest.
Told = Literal["logged", "earliest", "latest"]

#: The program that wrote each log.
PROGRAMS = {"capf": "capf", "ciscora": "ces", "nginx": "ces", "iis": "iis", "httperr": "http.sys"}

#: One for all lines: ``json.dumps`` makes one for each.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_line(value: Any) -> str:
    r"""Write a line of JSON in ASCII alone, its end included.

    A lone surrogate (a byte of a file's name that is no UTF-8) is no character and many readers refuse it: as in the
    report it is written as the six characters ``\udce9``.
    """
    text = _encode(value)
    if "\\ud" in text:
        text = _encode(_clean(value))
    return (text if "\x7f" not in text else text.replace("\x7f", "\\u007f")) + "\n"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    if isinstance(value, dict):
        return {_clean(name): _clean(part) for name, part in value.items()}
    return [_clean(part) for part in value] if isinstance(value, list) else value


def moment(line: EventLine) -> tuple[datetime, Told] | None:
    """Give the moment at which a platform shows an event, and what tells it; None: nothing does."""
    if line.time is not None:
        return line.time, "logged"
    if line.earliest is not None:
        return line.earliest, "earliest"
    return None if line.latest is None else (line.latest, "latest")


@lru_cache(1 << 10)
def stamp(time: datetime | None) -> str | None:
    """Write a time as RFC 3339 in UTC with milliseconds (no log has more).

    The three times of an event, and those of its neighbours, are mostly the same.
    """
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


@dataclass(frozen=True, slots=True)
class Whose:
    """What the events of an enrollment say of it. ``trace``: 16 bytes in hex, the same in every export of it."""

    outcome: str
    causes: list[str]
    trace: str


class Enrollments:
    """The enrollments of a document, by their ids."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._of = dict(_whose(document))

    def of(self, line: EventLine) -> Whose | None:
        """Give what is known of an event's enrollment; None: it has none."""
        return None if line.enrollment is None else self._of.get(line.enrollment)


def _whose(document: dict[str, Any]) -> Iterator[tuple[str, Whose]]:
    taken: set[str] = set()
    for one in document["enrollments"]:
        # Ids count from one in each bundle; a phone and its time are the same in two bundles of one night.
        names = [one["device"], one["started"]]
        if not all(names):
            names = [document["bundle"]["name"], one["id"]]
        trace = _digest(names, 16)
        if trace in taken:
            trace = _digest([*names, one["id"]], 16)
        taken.add(trace)
        yield one["id"], Whose(one["outcome"], list(one["causes"]), trace)


def event_id(bundle: str, line: EventLine) -> str:
    """Name an event: a second import of the same bundle names it alike."""
    return _digest((bundle, line.member, str(line.line)), 16)


def _digest(parts: Iterable[str], size: int) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=size).hexdigest()
