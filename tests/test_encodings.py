"""Every command and every format, whatever the encoding of the streams and whatever bytes are in names and logs."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from capflog.cli import COMMANDS, main
from capflog.exports import EXPORTS
from capflog.outputs import FORMATS
from tests.conftest import PUBLISHED, ROOT

if TYPE_CHECKING:
    from pathlib import Path

ENCODINGS = ("ascii", "cp437", "cp1252", "latin-1", "utf-8")
LACKING = ENCODINGS[:-1]

#: A name with a byte that is no UTF-8, letters beyond ASCII, an escape sequence and a control that turns text around.
HOSTILE = "l\udce9 größe\x1b[2J\u202etxt 日本"

DEVICE = "SEP74A02FC0A675"

TEXT, JSON, LINES, CSV, XML, LOG = "text", "json", "jsonl", "csv", "xml", "log"

KINDS = {
    **dict.fromkeys(("text", "markdown"), TEXT),
    **dict.fromkeys(("json", "sarif", "gitlab"), JSON),
    **dict.fromkeys(("jsonl", "ecs", "timesketch", "otlp-json"), LINES),
    **dict.fromkeys(("csv", "timesketch-csv"), CSV),
    "junit": XML,
    "github": LOG,
}

CALLS: list[tuple[str, list[str]]] = [
    *((KINDS[name], [command, "BUNDLE", "--format", name]) for command in ("analyze", "check") for name in FORMATS),
    *((KINDS[name], ["export", "BUNDLE", "--format", name]) for name in EXPORTS if name in KINDS),
    (LINES, ["export", "--format", "ecs"]),
    (TEXT, ["export", "BUNDLE", "-o", "events.sqlite"]),
    (TEXT, ["export", "BUNDLE", "-o", "nowhere/events.sqlite"]),
    *((kind, ["devices", *bundle, "--format", kind]) for kind in (TEXT, JSON, CSV) for bundle in (["BUNDLE"], [])),
    (TEXT, ["timeline", DEVICE, "BUNDLE", "--all"]),
    (TEXT, ["timeline", "*"]),
    (TEXT, ["timeline", HOSTILE]),
    (TEXT, ["inspect", "BUNDLE"]),
    (TEXT, ["inspect", f"{HOSTILE}.zip"]),
    (TEXT, ["analyze", "BUNDLE", "--output", f"{HOSTILE}.nothing"]),
    (TEXT, ["analyze", "BUNDLE", "--where", f"curl.failed with text = '{HOSTILE}"]),
    (TEXT, ["analyze", "BUNDLE", "-v", "--tz", HOSTILE]),
    (TEXT, ["analyze", "BUNDLE", "-v"]),
    *((kind, ["diff", "BUNDLE", "HEALTHY", "--format", name]) for name, kind in ((TEXT, TEXT), (JSON, JSON))),
    *((kind, ["sql", "SELECT * FROM events", "BUNDLE", "--format", kind]) for kind in (TEXT, JSON, CSV, LINES)),
    (TEXT, ["sql", f"SELECT '{HOSTILE}"]),
    (TEXT, ["explain", "60"]),
    (TEXT, ["explain", HOSTILE]),
    (TEXT, ["rules"]),
    (TEXT, ["rules", "lint", "RULES"]),
    (TEXT, ["rule", "ca-dns-failure"]),
    (TEXT, ["rule", HOSTILE]),
    (TEXT, ["config"]),
    (JSON, ["config", "--format", "json"]),
    (JSON, ["schema"]),
    (TEXT, ["completion", "bash"]),
    (TEXT, ["help"]),
    (TEXT, ["help", HOSTILE]),
    (TEXT, [HOSTILE]),
    (TEXT, ["BUNDLE"]),
]
CALLS = [(kind, words) for kind, words in CALLS if words[0] in COMMANDS or words[0] in (HOSTILE, "BUNDLE")]


def test_every_command_and_format_is_called() -> None:
    assert {words[0] for _, words in CALLS} >= set(COMMANDS)
    assert set(FORMATS) | set(EXPORTS) == set(KINDS) | {"sqlite", "parquet"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of a hostile name with a bundle of hostile logs, settings and a rule."""
    folder = tmp_path / HOSTILE
    bundle = folder / f"{HOSTILE}-bundle"
    (bundle / HOSTILE).mkdir(parents=True)
    (log,) = (PUBLISHED / "14-dns-resolution").iterdir()
    (bundle / HOSTILE / "error.log").write_bytes(
        log.read_bytes().replace(
            b"Could not resolve", "Cöuld\u202e \x1b[31mnot \udce9 resolve".encode("utf-8", "surrogateescape")
        )
    )
    (bundle / "capf00000001.txt").write_bytes(
        (
            f"14:05:04.628 | debug 2:{DEVICE}:Calling enrollCertUsingEST() csr_file=/tmp/Größe‚\u202e\x07.csr\n"
            f"14:05:05.236 | debug 2:{DEVICE}:Enrollment rv = 13 (EST_ERR_HTTP_BAD_REQ) with pkcs7 length = 0\n"
        ).encode()
    )
    (bundle / f"{HOSTILE}.bin").write_bytes(b"\xff\xfe\0nothing")
    (folder / "rules").mkdir()
    (folder / "rules" / f"{HOSTILE}.yaml").write_text(f"id: '{HOSTILE[3:8]}\u202e'\n", encoding="utf-8")
    (folder / "capflog.toml").write_text('tz = "-05:00"\n', encoding="utf-8")
    monkeypatch.chdir(folder)
    return bundle


def call(words: list[str], encoding: str) -> tuple[bytes, bytes, int]:
    """Run the program with streams of an encoding, as ``python -m capflog`` does."""
    out, err = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(one, encoding=encoding, errors="strict", write_through=True) for one in (out, err)]
    before = sys.argv
    sys.argv = ["capflog", *words]
    try:
        with redirect_stdout(streams[0]), redirect_stderr(streams[1]), pytest.raises(SystemExit) as end:
            main()
    finally:
        sys.argv = before
    for stream in streams:
        stream.flush()
    assert isinstance(end.value.code, int)
    return out.getvalue(), err.getvalue(), end.value.code


def harmless(data: bytes, encoding: str) -> str:
    """Decode text that goes to a terminal: ASCII where its encoding lacks characters, and no control in any case."""
    text = data.decode("ascii" if encoding in LACKING else encoding)
    assert not [sign for sign in text if not sign.isprintable() and sign != "\n"]
    return text


def read(kind: str, data: bytes) -> object:
    """Read a result as the program does that it is for: it is UTF-8 whatever the terminal's encoding."""
    text = data.decode("utf-8")
    if kind == LOG:
        return harmless(data, "utf-8")
    if kind == JSON:
        return json.loads(text)
    if kind == LINES:
        return [json.loads(line) for line in text.splitlines()]
    if kind == CSV:
        rows = list(csv.reader(io.StringIO(text), strict=True))
        assert len({len(row) for row in rows}) == 1
        return rows
    return ET.fromstring(data)  # (our own)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [(number, kind, words) for number, (kind, words) in enumerate(CALLS)],
    ids=[ascii(" ".join(words)) for _, words in CALLS],
)
def test_no_encoding_breaks_a_command(number: int, kind: str, words: list[str], place: Path) -> None:
    bundles = {"BUNDLE": str(place), "HEALTHY": str(ROOT / "samples" / "healthy.zip"), "RULES": "rules"}
    words = [bundles.get(word, word) for word in words]
    if words[0] in ("timeline", "devices", "export") and str(place) not in words:
        call(["analyze", str(place)], "utf-8")
    told = {}
    # All encodings would take long: each call has two that lack characters, by turns.
    for encoding in (LACKING[number % 4], LACKING[(number + 1) % 4], "utf-8"):
        out, err, status = call(words, encoding)
        shown = harmless(err, encoding)
        assert "Traceback" not in shown
        assert "fault of capflog's own" not in shown
        assert out or status == 2 or "-o" in words
        if kind == TEXT:
            told[encoding] = (harmless(out, encoding), shown, status)
        else:
            read(kind, out)
            told[encoding] = (out.decode(), shown, status)
    lacking = [what for encoding, what in told.items() if encoding != "utf-8"]
    if not {"-v", "otlp-json"} & set(words):  # (which tell how late it is)
        assert lacking[0] == lacking[1]
    assert told["utf-8"][2] == lacking[0][2]
    if kind != TEXT and "otlp-json" not in words:  # (which bears the time of writing)
        assert told["utf-8"][0] == lacking[0][0]


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LANG": "C.UTF-8", "PYTHONUTF8": "1"},
    ],
    ids=lambda env: " ".join(f"{name}={value}" for name, value in env.items()),
)
def test_a_process_takes_names_of_any_bytes(env: dict[str, str], place: Path) -> None:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"capflog", b"check", os.fsencode(place), b"no-such-\xff.zip"],
        capture_output=True,
        check=False,
        env={**plain, "PYTHONPATH": str(ROOT), **env},
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    encoding = "utf-8" if env.get("PYTHONUTF8") == "1" else "ascii"
    assert "no-such-\\udcff.zip: " in harmless(done.stderr, encoding)
    assert "gr" in harmless(done.stdout, encoding)
