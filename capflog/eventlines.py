"""The events one by one, as exports give them: what a line says, when that was, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import numpy as np

    from capflog.analysis import Analysis
    from capflog.store import Store
    from capflog.table import Table

#: How many rows are made lines of at a time: their texts are read back together and take some MB.
ROWS_AT_ONCE = 1 << 16


@dataclass(slots=True)
class EventLine:
    """One event of the table. Times are UTC on the reference clock; None: nothing tells it.

    Nobody changes one; that nobody can (a frozen class) would take twice as long to make, and there are millions.

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


def event_lines(
    analysis: Analysis, enrollments: set[str] | None = None, devices: Sequence[str] | None = None
) -> Iterator[EventLine]:
    """Give the events of the table in the order of time, each once.

    A line without a time stands where its earliest time is, else its latest; those that nothing dates come last. Of
    equal moments the logs' order decides (capf, ciscora, nginx, iis, httperr), then member and line. ``enrollments``:
    only lines that were put to these (their ids); ``devices``: only lines whose device is one of these. Lines are
    read back from the bundle some ten thousand at a time.
    """
    owners = _Owners(analysis)
    wanted = owners.wanted(enrollments, devices)
    rows = _in_time(analysis.events, wanted)
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        yield from _lines(analysis, owners, rows[begin : begin + ROWS_AT_ONCE])


class _Owners:
    """Whose each row of the table is: places in the report's enrollments and codes of devices, -1: nobody's."""

    def __init__(self, analysis: Analysis) -> None:
        import numpy as np  # noqa: PLC0415

        from capflog.sieve import blocks, gathered  # noqa: PLC0415

        table, stories = analysis.events, analysis.stories
        enrollments = analysis.report.enrollments
        self.ids: list[str | None] = [*(e.id for e in enrollments), None]
        self.devices: list[str | None] = [*table.devices, None]
        self.enrollment = np.full(table.count, -1, dtype=np.int32)
        self.likely = np.zeros(table.count, dtype=bool)
        self.step = np.zeros(table.count, dtype=np.uint8)
        for begin, end in blocks([len(story.order) for story in stories]):
            rows, owner = gathered([story.order for story in stories[begin:end]])
            self.enrollment[rows] = owner + begin
            self.step[rows] = analysis.advance.steps(rows, owner)
            for story in stories[begin:end]:
                if story.likely:
                    self.likely[list(story.likely)] = True
        code = {name: place for place, name in enumerate(table.devices)}
        # Behind the enrollments stands none: -1 finds it.
        of_enrollment = np.array([*(code.get(e.device or "", -1) for e in enrollments), -1], dtype=np.int32)
        self.device = np.where(table.device >= 0, table.device, of_enrollment[self.enrollment])

    def wanted(self, enrollments: set[str] | None, devices: Sequence[str] | None) -> np.ndarray | None:
        """Tell of each row whether it is of these enrollments and devices; None: all are wanted."""
        import numpy as np  # noqa: PLC0415

        found: np.ndarray | None = None
        if enrollments is not None:
            found = np.array([name in enrollments for name in self.ids], dtype=bool)[self.enrollment]
        if devices is not None:
            only = set(devices)
            named = np.array([name in only for name in self.devices], dtype=bool)[self.device]
            found = named if found is None else found & named
        return found


def _in_time(table: Table, wanted: np.ndarray | None) -> np.ndarray:
    """List rows in the order of :func:`event_lines`."""
    import numpy as np  # noqa: PLC0415

    from capflog.facts import moments  # noqa: PLC0415
    from capflog.rows import NONE  # noqa: PLC0415

    # Runs are of one member, in its order: to put them in order sorts all rows by source, member and line.
    runs = table.runs[np.lexsort((table.runs[:, 0], table.runs[:, 2], table.runs[:, 3]))]
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *(np.arange(first, end) for first, end, _, _ in runs.tolist())])
    if wanted is not None:
        rows = rows[wanted[rows]]
    at = moments(table, rows)
    at[at == NONE] = np.iinfo(np.int64).max
    found: np.ndarray = rows[np.argsort(at, kind="stable")]
    return found


def _lines(analysis: Analysis, owners: _Owners, wanted: np.ndarray) -> Iterator[EventLine]:
    """Make lines of some rows, in the order given; what they say is looked up in the table's order."""
    import numpy as np  # noqa: PLC0415

    from capflog.advance import step_named  # noqa: PLC0415
    from capflog.events import SOURCES  # noqa: PLC0415
    from capflog.facts import when  # noqa: PLC0415
    from capflog.steps import STEPS  # noqa: PLC0415

    table = analysis.events
    in_table = np.argsort(wanted, kind="stable")
    rows = wanted[in_table]
    text_of = dict(table.texts_of(rows))
    values = np.empty(len(rows), dtype=object)
    values[:] = _values(table, rows)
    back = np.empty(len(rows), dtype=np.int64)
    back[in_table] = np.arange(len(rows))
    steps = [step_named(step) for step in range(len(STEPS) + 1)]
    kinds, members, ids, devices = table.kinds, table.members, owners.ids, owners.devices
    sessions: list[str | None] = [*table.sessions, None]
    moment = lru_cache(1 << 10)(when)
    levels = [shape.level or None for shape in table.vocabulary.shapes]
    for (
        row,
        time,
        earliest,
        latest,
        source,
        kind,
        shape,
        device,
        session,
        owner,
        likely,
        step,
        fault,
        member,
        line,
        own,
    ) in zip(
        wanted.tolist(),
        *(column[wanted].tolist() for column in (table.time, table.earliest, table.latest)),
        *(column[wanted].tolist() for column in (table.source, table.kind, table.shape)),
        owners.device[wanted].tolist(),
        table.session[wanted].tolist(),
        *(column[wanted].tolist() for column in (owners.enrollment, owners.likely, owners.step)),
        analysis.advance.faults(wanted).tolist(),
        table.member[wanted].tolist(),
        table.line[wanted].tolist(),
        values[back].tolist(),
        strict=True,
    ):
        at = moment(time)
        yield EventLine(
            at,
            at if earliest == time else moment(earliest),
            at if latest == time else moment(latest),
            SOURCES[source],
            kinds[kind],
            levels[shape],
            devices[device],
            sessions[session],
            ids[owner],
            None if owner < 0 else "likely" if likely else "certain",
            steps[step],
            fault,
            members[member],
            line,
            text_of[row],
            own,
        )


def _values(table: Table, rows: np.ndarray) -> list[dict[str, Any]]:
    """Give the named values of rows, which rise, in the order of VALUES."""
    import numpy as np  # noqa: PLC0415

    from capflog.events import VALUES  # noqa: PLC0415
    from capflog.rows import NONE, NUMBERS  # noqa: PLC0415

    found: list[dict[str, Any]] = [{} for _ in range(len(rows))]
    borne: set[str] = set()
    for shape in np.unique(table.shape[rows]).tolist():
        known = table.vocabulary.shapes[shape]
        borne.update(known.own, (name for name, _ in known.words), (name for name, _ in known.numbers))
    for name in VALUES:
        if name not in borne:
            continue
        said: list[Any]
        if name in NUMBERS:
            numbers = table.numbers(name, rows)
            places = np.flatnonzero(numbers != NONE)
            said = numbers[places].tolist()
        else:
            codes, words = table.codes(name, rows)
            places = np.flatnonzero(codes >= 0)
            used, number = np.unique(codes[places], return_inverse=True)
            distinct = [words[code] for code in used.tolist()]
            said = [distinct[code] for code in number.tolist()]
        for place, value in zip(places.tolist(), said, strict=True):
            found[place][name] = value
    return found


def kept_lines(store: Store, run_id: int) -> Iterator[EventLine]:
    """Give the lines that a store holds of an analysis, each once, in the order of :func:`event_lines`.

    It holds those that timelines show: lines of enrollments, CAPF's other lines of a device, and what proves that a
    failure was caused elsewhere, which has no device. Sessions and named values are not kept, nor what failed on the
    way of an enrollment that was issued; groups of lines that may be of many are left out. Raises
    :class:`capflog.store.StoreProblem`.
    """
    from capflog.keptlines import in_time  # noqa: PLC0415

    return in_time(store, run_id)
