"""Every output there is, of a bundle made of nothing but hostile text: seen and harmless, and unchanged in JSON.

Which outputs there are is asked of the commands themselves: one that is added is walked, too, or this fails.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import click
import pytest

from capflog.cli import COMMANDS, main
from capflog.exports import EXPORTS
from capflog.outputs import FORMATS
from capflog.safe_text import visible
from tests.hostile import hostile_members
from tests.test_encodings import CSV, JSON, KINDS, LINES, LOG, TEXT, XML, call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What is to do harm, each by itself; none has a line end or a bracket that would end the record that it stands in.
ATTACKS = {
    "C0": "\x01\x02\x07\x08\x0b\x0c\x0e\x1a",
    "NUL": "a\0b",
    "DEL and C1": "\x7f\x80\x85\x90\x9f",
    "clear the screen": "\x1b[2J\x1b[H\x9b2J",
    "OSC 8": "\x1b]8;;https://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "a title": "\x1b]0;owned\x07",
    "a report of the cursor": '\x1b[6n\x1bP$q"p\x1b\\',
    "bidirectional": "\u202eexe.\u2066x\u2069\u200f\u061c",
    "unseen": "a\u200bb\ufeffc\u00add\u2800e\u3164f",
    "line ends": "\u2028\u2029",
    "rich markup": "[bold red]owned[/bold red][/x][link=https://evil.example]x[/link]",
    "HTML": "<script>alert`1`</script><img src=x onerror=alert`1`>&lt;",
    "XML": "]]><!-- <?x ?> -->",
    "a formula": "=HYPERLINK|' /C calc'!A0",
    "Markdown": "![x]|`x`|**x**|<details>|# x|~~x~~|@all|#1",
    "GitHub": "::error file=x,line=1::owned%0A::stop-commands::x##[error]owned",
    "GitLab": "section_start:0:x\r\x1b[0K",
    "surrogates": "\udce9\ud800",
    "accents": "e" + "\u0301" * 30,
}

#: All of them as one text, as a log can hold it: bytes that are no UTF-8 have become others when a line is decoded.
EVERY = "~".join(text for text in ATTACKS.values()).replace("\r", "").replace("\udce9\ud800", "\u00e9")

DEVICE = "SEP74A02FC0A675"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a bundle whose names are hostile, too: its own, its folders', its members', a device's, a user agent's."""
    odd = "".join(ATTACKS.values()).replace("/", "").replace("\0", "").replace("\ud800", "")[:80]
    folder = tmp_path_factory.mktemp("walk") / f"{ATTACKS['clear the screen']}=1+1 ::error::[x] <b>\u202e.zip"
    members = hostile_members("\udce9")
    for number, member in enumerate(members):
        place = folder / f"@SUM(A1)\x1b[2J::error::{number}\u202e"
        place.mkdir(parents=True)
        content = member.content
        # (The detail that the hostile bundle has, and the phone's agent at IIS.)
        content = content.replace(b"=cmd|' /C calc'!A0", b"=cmd|' /C calc'!A0" + EVERY.encode())
        content = content.replace(b"SEP001F6C81118B", "CSF\u0661[red]<b>=1".encode())
        (place / member.name).write_bytes(content)
    (folder / odd.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")).write_bytes(b"\xff\xfe\0no")
    (folder / "cut\x1b]0;x\x07.zip").write_bytes(b"PK\x03\x04" + EVERY.encode())
    return folder


def walk() -> Iterator[tuple[str, list[str]]]:
    """Name every output with the call that makes it: each command, in each format that it has."""
    # What a command is called with besides: a bundle, or words of its own.
    needed: dict[str, list[list[str]]] = {
        "analyze": [["BUNDLE"]],
        "check": [["BUNDLE"], ["BUNDLE", "--each"]],
        "devices": [["BUNDLE"], []],
        "timeline": [["*", "BUNDLE", "--all"], ["*"], [EVERY], ["*", "BUNDLE", "--since", EVERY]],
        "inspect": [["BUNDLE"], [f"{EVERY.replace('/', '')}.zip"]],
        "diff": [["BUNDLE", "OTHER"], ["BUNDLE", "BUNDLE"]],
        "export": [["BUNDLE"], []],
        "sql": [["SELECT * FROM events", "BUNDLE"], ["SELECT * FROM findings"], [f"SELECT '{EVERY}"], ["--tables"]],
        "explain": [["60"], [EVERY]],
        "rules": [[], ["lint", "RULES"], ["test", "RULES"]],
        "rule": [["ca-dns-failure"], [EVERY]],
        "config": [[]],
        "schema": [[]],
        "completion": [["bash"]],
        "help": [[], [EVERY]],
    }
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        command: click.Command = getattr(import_module(f"capflog.commands.{module}"), attribute)
        choices: list[Any] = [getattr(p.type, "choices", ()) for p in command.params if "--format" in p.opts]
        formats = [[str(one) for one in some] for some in choices if some]
        for words in needed.get(name, [["no words are known for it"]]):
            if not formats:
                yield TEXT, [name, *words]
            for form in formats[0] if formats else ():
                # (One that is added is of no kind, until somebody says how it is read.)
                yield KINDS.get(form, form), [name, *words, "--format", form]


CALLS = [(kind, words) for kind, words in walk() if not {"sqlite", "parquet"} & set(words)]


def test_every_command_has_words_and_every_format_a_reader() -> None:
    assert {words[0] for _, words in CALLS} == set(COMMANDS)
    assert not [words for _, words in CALLS if "no words are known for it" in words]
    assert {kind for kind, _ in CALLS} <= {TEXT, JSON, LINES, CSV, XML, LOG}
    walked = {words[-1] for _, words in CALLS if "--format" in words}
    assert walked >= set(FORMATS) | set(EXPORTS) - {"sqlite", "parquet"}


@pytest.fixture
def place(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stand in a hostile folder, with a rule of one's own that is no better; the bundle was analyzed."""
    folder = tmp_path / "\x1b[2J::error::"
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "[x]\x1b[2J.yaml").write_text("id: '[red]'\ntitle: \"\\x1b[2J=1+1<b>\"\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "100")
    other = str(import_module("tests.conftest").ROOT / "samples" / "healthy.zip")
    return {"BUNDLE": str(bundle), "OTHER": other, "RULES": "rules"}


def harmless(text: str) -> None:
    """Nothing acts on a terminal, or hides: every character can be seen, and no line is a command of a CI system's."""
    assert not [sign for sign in text if not sign.isprintable() and sign != "\n"]
    assert not [sign for sign in text if sign in "\u2800\u3164\u034f\ufe0f"]
    assert "e" + "\u0301" * 4 not in text


@pytest.mark.parametrize(("kind", "words"), CALLS, ids=[ascii(" ".join(w))[:60] for _, w in CALLS])
def test_hostile_text_is_seen_and_harmless(kind: str, words: list[str], place: dict[str, str]) -> None:
    words = [place.get(word, word) for word in words]
    if place["BUNDLE"] not in words and words[0] in ("devices", "timeline", "export", "sql"):
        call(["analyze", "-q", place["BUNDLE"]], "utf-8")
    out, err, status = call(words, "utf-8")
    told = err.decode()
    harmless(told)
    assert "fault of capflog's own" not in told
    assert status in (0, 1) or told
    # A line of GitHub's or Azure's begins so, wherever it is printed.
    assert not [line for line in told.splitlines() if line.lstrip().startswith(("::", "##[", "##vso["))]
    if kind == LOG:
        harmless(out.decode())
        assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in out.decode().splitlines())
        # What follows the last '::' of the command is its message: no other command stands in it unescaped.
        assert all(line.count("%0D") == 0 for line in out.decode().splitlines())
    elif kind == TEXT:
        harmless(out.decode())
        assert not [line for line in out.decode().splitlines() if line.lstrip().startswith(("::", "##[", "##vso["))]
        if words[-1] == "markdown":
            no_page_acts(out.decode())
    elif kind == XML and (out or status != 2):
        harmless("".join(ET.fromstring(out).itertext()))  # (our own)
    elif kind == CSV:
        rows = list(csv.reader(io.StringIO(out.decode(), newline=""), strict=True))
        assert not [one for row in rows for one in row if one[:1] in ("=", "+", "@", "\t", "\r")]
        # (A number that is negative is one.)
        assert not [one for row in rows for one in row if one[:1] == "-" and not one[1:].replace(".", "").isdigit()]
    elif out or status != 2:
        lines = out.decode().splitlines() if kind == LINES else [out.decode()]
        for line in lines:
            json.loads(line)
        # What acts on a terminal is escaped where the document itself is looked at.
        assert out.decode().replace("\n", "").isprintable()


def no_page_acts(markdown: str) -> None:
    """A page that is made of it has no element, link or picture but those of the report itself."""
    from markdown_it import MarkdownIt

    for block in MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(markdown):
        for token in (block, *(block.children or ())):
            if token.type in ("html_block", "html_inline"):
                assert re.fullmatch(r"(?:</?(?:details|summary|b|br)(?: /)?>|\s|[^<>])*", token.content), token.content
            assert token.type != "image"
            assert "evil.example" not in str(token.attrGet("href") or "")


def strings(value: Any) -> Iterator[str]:
    """Give every text in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


@pytest.mark.parametrize(
    "words",
    [["analyze", "BUNDLE", "--format", "json"], ["analyze", "BUNDLE", "--format", "jsonl"],
     ["export", "BUNDLE", "--format", "ecs"], ["export", "BUNDLE", "--format", "timesketch"],
     ["export", "BUNDLE", "--format", "otlp-json"], ["sql", "SELECT * FROM events", "BUNDLE", "--format", "json"]],
    ids=" ".join,
)  # fmt: skip
def test_json_has_it_as_it_was_logged(words: list[str], place: dict[str, str]) -> None:
    out, _, status = call([place.get(word, word) for word in words], "utf-8")
    assert status == 0
    documents = [json.loads(line) for line in out.decode().splitlines()] if words[-1] != "json" else [json.loads(out)]
    assert any(EVERY in text for document in documents for text in strings(document))


def test_a_terminal_shows_each_attack_by_its_escapes(place: dict[str, str]) -> None:
    out, _, _ = call(["timeline", "*", place["BUNDLE"], "--all"], "utf-8")
    analyzed, _, _ = call(["analyze", place["BUNDLE"]], "utf-8")
    shown = "".join((out + analyzed).decode().split())
    for name, text in ATTACKS.items():
        if name not in ("GitLab", "surrogates"):
            assert "".join(visible(text).split()) in shown, name


def test_files_of_tables_have_it_as_it_was_logged(place: dict[str, str], tmp_path: Path) -> None:
    for name in ("events.sqlite", "events.parquet"):
        out, err, status = call(["export", place["BUNDLE"], "-q", "-o", str(tmp_path / name)], "utf-8")
        assert (out, err, status) == (b"", b"", 0)
    with sqlite3.connect(tmp_path / "events.sqlite") as db:
        assert [text for (text,) in db.execute("SELECT text FROM events") if text and EVERY in text]
    db.close()
    import pyarrow.parquet as pq

    column = pq.read_table(tmp_path / "events.parquet").column("text").to_pylist()
    assert [text for text in column if text and EVERY in text]


# ---- | head -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such pipes")
@pytest.mark.parametrize(
    "words",
    # (The first call of each command.)
    [*{words[0]: words for _, words in reversed(CALLS)}.values(), ["check", "BUNDLE", "--format", "json"],
     ["export", "BUNDLE", "--format", "timesketch-csv"], ["sql", "SELECT * FROM events", "BUNDLE", "--format", "jsonl"],
     ["--help"], ["--version"], ["analyze", "--help"]],
    ids=lambda words: ascii(" ".join(words))[:60],
)  # fmt: skip
def test_a_reader_that_has_enough_is_no_error(words: list[str], place: dict[str, str]) -> None:
    words = [place.get(word, word) for word in words]
    if place["BUNDLE"] not in words and words[0] in ("devices", "timeline", "export", "sql"):
        call(["analyze", "-q", place["BUNDLE"]], "utf-8")
    _, told, wanted = call(words, "utf-8")
    gone, ours = os.pipe()
    os.close(gone)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    before = sys.argv
    sys.argv = ["capflog", *words]
    pipe = os.fdopen(ours, "w", encoding="utf-8")
    try:
        with redirect_stdout(pipe), redirect_stderr(err), pytest.raises(SystemExit) as end:
            main()
    finally:
        sys.argv = before
        with suppress(OSError):  # (the program itself ends without closing it)
            pipe.close()
    err.flush()
    said = err.buffer.getvalue()
    assert (said, end.value.code) == (told, wanted)
