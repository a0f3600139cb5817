"""The events one by one, as exports give them: what a line says, when that was, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event of the table. Times are UTC on the reference clock; None: nothing tells it.

    ``device``: that the line names, else that of its enrollment; ``enrollment`` and ``confidence``: that it was put to
    (None: none); ``step``: of the enrollment that it shows; ``fault``: it tells of a failure; ``line``: 1-based, in its
    member; ``values``: the named values of its kind (:data:`capflog.events.VALUES`), empty where they were not kept.
    """

    time: datetime | None
    earliest: datetime | None
    latest: datetime | None
    source: str
    event: str
    level: str | None
    device: str | None
    session: str | None
    enrollment: str | None
    confidence: Literal["certain", "likely"] | None
    step: str | None
    fault: bool
    member: str
    line: int
    text: str
    values: dict[str, str | int] = field(default_factory=dict)
