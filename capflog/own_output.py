"""What capflog itself writes, told by how it begins: who keeps reports beside the logs must not have them read as logs.

A report shows lines of logs, so that some of what it holds has a log's shape. What is told here is told by the first
lines alone, which no log has: the words at the head of a page, the names of columns, the schema of a document.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What is said of such a member.
OWN = "a report of capflog's own, no log"

#: So many lines that are not empty, and so many characters of each, are looked at.
_LINES, _CHARACTERS = 24, 4000

#: Colours and other escape sequences of a terminal.
_ESCAPES = re.compile(r"\x1b\[[0-9;:?]*[A-Za-z]")

_VERDICT = r"(?:HEALTHY|DEGRADED|FAILING|INCONCLUSIVE|CHOSEN)"
_TURN = rf"(?:STILL {_VERDICT}|{_VERDICT} (?:→|->|-\\?>|to) {_VERDICT})"

#: How the first line of a page begins, whatever the width: of analyze, check, diff as text and as Markdown, of github.
_FIRST = re.compile(
    rf"(?:{_VERDICT}|PASS|FAIL|VOID|NO DIFFERENCE|{_TURN})  \S"
    rf"|#{{1,3}} (?:{_VERDICT}|{_TURN}): `"
    r"|\*\*(?:PASS|FAIL|VOID|NO DIFFERENCE)\*\* [`\w]"
    r"|::(?:error|warning|notice) (?:file|title)="
)

#: How the other pages begin; their lines are joined by one blank, since where they are broken depends on the width.
_PAGES = tuple(
    re.compile(pattern)
    for pattern in (
        r"[\d,]+ devices? in .{1,600}?: (?:[\d,]+ (?:issued|failed|incomplete)|the logs show )",
        r".{1,600}?: [\d,]+ members?, [\d,]+ read as logs",
        r"[^ ]{1,200} in .{1,600}? [\d,]+ enrollments?\b.{0,120}?\b[Tt]imes are ",
    )
)

#: The columns that a file of comma-separated values begins with.
_HEADS = (
    "bundle,rule,title,severity,confidence,",
    "device,latest,outcome,causes,attempts,",
    "message,datetime,timestamp_desc,timestamp,data_type,",
)
#: Names of columns alone: what a query's answer begins with.
_COLUMNS = re.compile(r"[A-Za-z_][\w()*]*(?:,[A-Za-z_][\w()*]*)+")

#: What a document in JSON or XML says of itself; its lines are joined as those of a page.
_DOCUMENTS = re.compile(
    r"""[\[{]\ ?"schema":\ ?"capflog-[a-z]+-\d     # json, devices, diff, a baseline
    | \{"bundle":".{0,600}?","time":(?:null|")     # jsonl
    | \{"@timestamp":.*?"module":"capflog"         # ecs
    | \{.*?"data_type":"capflog:                   # timesketch
    | \{"resourceLogs":.*?"capflog\.               # otlp-json
    | \{.*?"driver":\ ?\{.{0,60}?"name":\ ?"capflog"                 # sarif
    | \[\ ?\{"description":.*?"check_name":        # gitlab
    | (?:<\?xml[^>]*>\ ?)?<testsuites\ [^>]*?name="capflog"          # junit
    """,
    re.VERBOSE,
)


def own_output(lines: Sequence[str]) -> bool:
    """Tell by a file's first lines whether capflog wrote it, coloured or not."""
    shown = _first(lines)
    if not shown:
        return False
    if shown[0].startswith(_HEADS) or _FIRST.match(shown[0]):
        return True
    text = " ".join(" ".join(shown).split())
    if shown[0].startswith(("{", "[", "<")):
        return bool(_DOCUMENTS.match(text))
    return any(page.match(text) for page in _PAGES)


@dataclass(frozen=True, slots=True)
class Form:
    """A form that no log has which capflog reads. ``begins``: what its own lines begin with; ``table``: any text."""

    name: str
    begins: str = ""
    table: bool = False


_JSON, _XML, _CSV = Form("JSON", '{}[]"'), Form("XML or HTML", "<"), Form("comma-separated values", table=True)


def other_form(lines: Sequence[str]) -> Form | None:
    """Tell by a file's first lines that it is JSON, XML or a table of columns, whatever stands in it."""
    shown = _first(lines)
    if not shown:
        return None
    first = shown[0]
    if re.match(r'\{ *(?:"|$)|\[ *(?:[{"]|\]?$)', first):
        return _JSON
    if re.match(r"<(?:\?xml|!DOCTYPE|html|svg)\b", first, re.IGNORECASE):
        return _XML
    if _COLUMNS.fullmatch(first) and len(shown) > 1:
        names, values = csv.reader(shown[:2])
        return _CSV if len(names) == len(values) else None
    return None


def _first(lines: Iterable[str]) -> list[str]:
    """Give the first lines that are not empty, without colours."""
    found: list[str] = []
    for line in lines:
        plain = _ESCAPES.sub("", line[:_CHARACTERS]).strip("\ufeff \t\r")
        if plain:
            found.append(plain)
            if len(found) == _LINES:
                break
    return found
