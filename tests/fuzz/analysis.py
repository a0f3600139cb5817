"""Any bytes as the logs of a bundle: the whole way, and every format of what comes out."""

from __future__ import annotations

import csv
import io
import json
from xml.etree import ElementTree as ET

from capflog.analysis import analyze_members
from capflog.bundle import BundleError
from capflog.outputs import FORMATS, Look
from capflog.results import Result
from tests.hostile import hostile_members
from tests.scenes import Held

#: What stands between the members of an input.
BETWEEN = b"\n--- next member ---\n"

WORDS = (
    BETWEEN, b"14:05:04.628 | ", b"23:59:59.999 | ", b"00:00:00.000 | ", b"2:SEP74A02FC0A675:", b"CSFALICE",
    b"2019/01/16 14:05:04 [warn] ", b"2019-01-16 19:05:04 ",
    b"#Fields: date time cs-method cs-uri-stem sc-status time-taken",
    b"Curl call for MS CA login failed with return code 60 (x)", b"99999999999999999999", b"\x1b[2J",
    b"::error::", b"]]>", b"\xed\xb3\xa9", b"2147483648", b"0000-00-00", b"9999-12-31", b"0001-01-01",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Take the hostile bundle, and what the rules' own cases hold."""
    from capflog.rulebook import builtin

    made = [BETWEEN.join(member.content for member in hostile_members())]
    for rule in builtin().rules.values():
        made += [BETWEEN.join(text.encode() for text in case.logs.values()) for case in rule.cases[:1]]
    return sorted(made, key=len)[:40] + made[:1]


def once(data: bytes) -> None:
    """Analyze, and write every format; each can be read by whoever takes it, and lines add up."""
    names = ("capf00000001.txt", "nginx00000001.txt", "error.log", "u_ex190116.log", "httperr1.log")
    members = [
        Held(names[number] if number < len(names) else f"{number}.txt", content)
        for number, content in enumerate(data.split(BETWEEN)[:12])
    ]
    try:
        analysis = analyze_members("bundle", members)
    except BundleError:
        return
    for member in analysis.report.members:
        assert member.source is None or member.lines >= member.events + member.unparsed
    zone = analysis.alignment.display_zone
    for name, form in FORMATS.items():
        result = Result(analysis.report, analysis=analysis, zone=zone, inputs=("bundle",))
        text = "".join(form.pieces([result], Look(unicode=len(data) % 2 == 0)))
        check(name, text)


def check(name: str, text: str) -> None:
    """Read a document of a format as its reader does; text that people see has nothing in it that cannot be seen."""
    written = text.encode("utf-8", "backslashreplace").decode()
    if name in ("json", "sarif", "gitlab"):
        json.loads(written)
        assert written.isascii() or written.replace("\n", "").isprintable()
    elif name == "jsonl":
        for line in written.splitlines():
            json.loads(line)
    elif name == "csv":
        assert len({len(row) for row in csv.reader(io.StringIO(written, newline=""), strict=True)}) == 1
    elif name == "junit":
        ET.fromstring(written)  # (our own)
    else:
        assert text.replace("\n", "").isprintable(), name
        if name == "github":
            assert all(line.startswith("::") for line in text.splitlines())
