"""Any bytes as a file of a rule: read, and shown where it can be read."""

from __future__ import annotations

from importlib.resources import files

from capflog.reports.rules import render_rule, render_rules
from capflog.rulebook import RuleError, known_kinds, read_rule
from tests.fuzz.mutating import must

WORDS = (
    b"id: ", b"title: ", b"severity: error", b"when: ", b"likely: ", b"raised:", b"read:", b"cases:", b"show: [",
    b"references:", b"&a ", b"*a", b"<<: *a", b"!!python/object/apply:os.system", b"!!binary |", b"!!set", b"---\n",
    b"...\n",
    b"[[[[[[[[[[[[[[[[", b"{? ", b"\t", b": ", b"- ", b"|\n", b">\n", b"2019-01-16", b"0x1", b".nan", b"~",
    b"%YAML 1.1\n",
    b"\x00", b"\x1b[2J", b"\xed\xb3\xa9", b"'(?:a+)+$'", b"(?P<x>", b"{ca_template}", b"{", b"\\",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Take every rule that is shipped."""
    folder = files("capflog.rules")
    return [
        entry.read_bytes() for entry in sorted(folder.iterdir(), key=lambda e: e.name) if entry.name[-5:] == ".yaml"
    ]


def once(data: bytes) -> None:
    """Read it: it is a rule, or it is told what is wrong, in lines that name the file."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    try:
        rule = read_rule(text, "x.yaml", known_kinds())
    except RuleError as error:
        must(bool(error.every))
        must(all(line.startswith("x.yaml") for line in error.every))
        return
    for page in (
        render_rule(rule, width=80, color=False, unicode=True),
        render_rules([rule], width=80, color=False, unicode=True),
    ):
        assert page.replace("\n", "").isprintable()
