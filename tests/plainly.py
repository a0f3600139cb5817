"""The reference that the fast path is held against: one process, one reader, line by line, every event an object."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.analysis import Analysis, analyze_reading
from capflog.bundle import Damage, Damaged, Refused, name_of, open_bundle
from capflog.collected import Collected
from capflog.collection_records import TITLES, form_of_record, read_record
from capflog.dates import Dated
from capflog.linestream import stream_of
from capflog.model import Member, Status
from capflog.parsing import lines_of, parse
from capflog.reading import Reading
from capflog.reports import json as json_report
from capflog.rows import SPAN, OwnPart, Rows, Vocabulary
from capflog.table import Table, TableBuilder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def analyzed_plainly(paths: Sequence[str]) -> Analysis:
    """Analyze bundles without the scanner."""
    members: list[Member] = []
    builder = TableBuilder()
    dated: dict[str, Dated] = {}
    seen: dict[tuple[str, bytes], str] = {}
    records: list[Collected] = []
    for item in open_bundle(paths, None):
        if isinstance(item, Refused | Damage):
            members.append(
                Member(item.name, None, item.status if isinstance(item, Refused) else "partial", item.reason)
            )
            continue
        content, damage = _read(item.chunks())
        parsed = parse([content], item.name)
        form = form_of_record(list(lines_of([content]))) if parsed.parser is None else None
        if form is not None:
            record = read_record(form, item.name, stream_of([content]).until(float("inf")))
            records += record.files
            members.append(Member(item.name, None, "skipped", record.reason(damage), TITLES[form], record.lines))
            continue
        if parsed.parser is None:
            status: Status = "unreadable" if damage else "skipped"
            members.append(Member(item.name, None, status, damage or parsed.why, parsed.why, parsed.lines))
            continue
        source = parsed.parser.source
        file = item.name.rpartition("/")[2].removesuffix(".gz").removesuffix(".gzo")
        twin = seen.setdefault((file, content), item.name)
        if twin != item.name:
            reason = f"the same, byte for byte, as {twin}"
            members.append(Member(item.name, source, "skipped", reason, parsed.why, parsed.lines))
            continue
        read, unknown = (len(parsed.events), parsed.unparsed), parsed.unknown
        status = "partial" if damage else "parsed"
        members.append(Member(item.name, source, status, damage, parsed.why, parsed.lines, *read, unknown=unknown))
        builder.add(source, item.name, parsed.events)
        dated[item.name] = Dated(item.modified, item.modified_is_local)
    return analyze_reading(
        name_of(paths), Reading(members, builder.table(), dated, sorted(records, key=lambda file: file.order))
    )


def _read(chunks: Iterator[bytes]) -> tuple[bytes, str | None]:
    pieces: list[bytes] = []
    try:
        pieces.extend(chunks)
    except Damaged as damaged:
        return b"".join(pieces), str(damaged)
    return b"".join(pieces), None


def document(analysis: Analysis) -> str:
    """Give the JSON report."""
    return json.dumps(json_report.document(analysis.report))


def told(parts: Sequence[tuple[Rows, int]], vocabulary: Vocabulary) -> list[tuple[Any, ...]]:
    """Say all that rows say, with the lines before each part of them, but where their lines stand."""
    table = Table([OwnPart(0, 0, rows, lines) for rows, lines in parts], ["log"], vocabulary, _NoTexts())
    return [
        (
            int(table.line[row]),
            int(max(table.numbers(SPAN, np.array([row]))[0], 0)),
            table.kind_of(row),
            int(table.stamp[row]),
            *(table.word(name, row) for name in ("device", "session", "level")),
            sorted(table.values(row).items()),
        )
        for row in range(len(table))
    ]


class _NoTexts:
    """There are no lines to be read back."""

    def fetch(self, _table: Table, _rows: Any) -> Iterator[tuple[int, str]]:
        raise AssertionError
