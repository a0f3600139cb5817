"""Any bytes as JSON that capflog reads back: reports that are compared, and the gate's baseline."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

import click

from capflog.analysis import analyze_members
from capflog.commands.diff import _kept
from capflog.comparing import compare
from capflog.gate import BASELINE, BaselineError, read_baseline
from capflog.reports import difference, difference_json, difference_markdown
from capflog.reports import json as json_report
from capflog.sides import SideError, checked
from tests.fuzz.mutating import must
from tests.hostile import hostile_members

if TYPE_CHECKING:
    from collections.abc import Mapping

WORDS = (
    b'"schema": "capflog-', b"null", b"[]", b"{}", b'""', b"1e999", b"NaN", b"-Infinity", b"-1", b"true", b'"\\ud800"',
    b'"\\u202e\\u001b[2J"', b"[[[[[[[[[[", b'"2019-01-16T19:05:04Z"', b'"2019-01-16"', b'"9999-12-31T23:59:59+00:00"',
    b'"0001-01-01T00:00:00+14:00"', b"99999999999999999999", b'"error"', b'"issued"', b'"findings":', b'"enrollments":',
    b'"clocks":', b'"members":', b'"devices":', BASELINE.encode(),
)  # fmt: skip


@cache
def _report() -> dict[str, Any]:
    document = json_report.document(analyze_members("bundle", hostile_members()).report)
    for one in document["enrollments"]:
        one["records"] = one["records"][:1]
    made: dict[str, Any] = json.loads(json.dumps(document))
    return made


@cache
def seeds() -> list[bytes]:
    """Make a report, one of hardly anything, several in one, a baseline."""
    report = _report()
    bare = {name: type(value)() if isinstance(value, list) else value for name, value in report.items()}
    baseline = {"rule": "x", "severity": "error", "scope": "service", "devices": ["a"], "resolved": False}
    documents: list[Mapping[str, Any]] = [
        report,
        bare,
        {"schema": json_report.SEVERAL, "reports": [bare, bare]},
        {"schema": BASELINE, "findings": [baseline]},
    ]
    return [json.dumps(one).encode() for one in documents]


#: What is put into the places of a sound report.
_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 10**400, 1.5, 1e308, float("nan"), float("inf"), "", "\ud800\u202e\x1b[2J|*_<b>", "error", [],
    {}, [None],
    [[]], {"": None}, "9999-12-31T23:59:59.999+00:00", "0001-01-01T00:00:00+14:00", "2019-01-16", ["a"] * 3, "issued",
    [1], "x" * 9999,
)  # fmt: skip


def changed(data: bytes) -> bytes:
    """Take bytes as choices of places in a sound report, and of what stands there instead."""
    choices = iter(data)
    document = json.loads(seeds()[0])
    for _ in range(1 + len(data) // 8):
        place = document
        while (count := len(place)) > 0:
            key = (sorted(place) if isinstance(place, dict) else range(count))[next(choices, 0) % count]
            inner = place[key]
            if isinstance(inner, dict | list) and inner and next(choices, 0) % 8:
                place = inner
                continue
            value = deepcopy(_VALUES[next(choices, 0) % len(_VALUES)])
            if next(choices, 1):
                place[key] = value
            else:
                del place[key]
            break
    return json.dumps(document).encode()


def once(data: bytes) -> None:
    """Try the bytes as they are, and what they make of a report that is sound."""
    _read(data)
    _read(changed(data[:64]))


def _read(data: bytes) -> None:
    """Read it; compare what can be compared with a report that is sound, either way, and write what differs."""
    try:
        read_baseline(data.decode("utf-8", "replace"))
    except BaselineError as error:
        must(bool(str(error)))
    with redirect_stderr(io.StringIO()):
        try:
            reports = _kept("x.json", data)
        except click.exceptions.Exit:
            return
    for report in reports or ():
        try:
            side = checked(report)
        except SideError as error:
            must(bool(str(error)))
            continue
        for pair in ((side, _report()), (_report(), side), (side, side)):
            found = compare(*pair)
            json.loads(difference_json.text(found))
            for text in (
                difference.text(found, width=80, color=False, unicode=True),
                difference_markdown.markdown(found, unicode=True),
            ):
                assert text.replace("\n", "").isprintable()
