"""What compiled code makes of bytes: line ends, numbers of pieces, tables, names; and where it is used at all."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capflog import compiling, linestream, lookup, stretches
from capflog.analysis import analyze
from capflog.compiling import compiled
from capflog.linestream import LineStream
from capflog.onebyone import OneByOne
from capflog.parsing import parsers
from capflog.rows import Vocabulary
from capflog.scanning import Scanner
from capflog.shapebook import CompiledLexicon, ShapeBook, new_table, with_number, words_of
from capflog.stretches import Books

from .conftest import ROOT
from .plainly import document, told

PARSERS = {parser.source: parser for parser in parsers()}


def buffer_of(data: bytes) -> np.ndarray:
    return np.frombuffer(data + bytes(lookup.PADDING), dtype=np.uint8)


def blotted(piece: bytes, behind: bytes = b"", seed: int = 7) -> int:
    """Give a piece's number without its digits."""
    return int(lookup._digest(words_of(buffer_of(b"?" + piece + behind)), 1, len(piece), np.uint64(seed)))


def as_it_is(piece: bytes, behind: bytes = b"") -> int:
    return int(lookup.number_of(words_of(buffer_of(b"?" + piece + behind)), 1, len(piece), np.uint64(7)))


def test_line_ends_are_found_wherever_they_stand() -> None:
    chance = random.Random(4)
    for _ in range(300):
        data = bytes(chance.choices(b"\n\x0b\x09\x8a\x0a\x00a", k=chance.randrange(1, 40)))
        words = words_of(buffer_of(data))
        for at in range(len(data)):
            end = data.find(b"\n", at)
            assert lookup._line_end(words, at, len(data)) == (len(data) if end < 0 else end), (data, at)


def test_lines_that_differ_in_digits_alone_have_one_number() -> None:
    assert blotted(b"a 123 b") == blotted(b"a 409 b")
    assert blotted(b"a 123 b") != blotted(b"a 12 b")
    assert as_it_is(b"a 123 b") != as_it_is(b"a 409 b")
    for byte in range(256):
        # Whatever stands beside it, and no other byte is taken for a digit.
        for place in range(9):
            piece = bytes(place) + bytes([byte]) + b"\xff"
            same = blotted(piece) == blotted(bytes(place) + b"0\xff")
            assert same == (48 <= byte <= 57), (byte, place)


def test_pieces_that_differ_have_different_numbers() -> None:
    chance = random.Random(1)
    pieces = {bytes(chance.choices(b"ab \0:", k=size)) for size in range(300) for _ in range(4)}
    pieces |= {b"\xff" * size for size in (7, 8, 9, 255, 256)} | {b"", b"\0", b"\0\0"}
    for number in (blotted, as_it_is):
        assert len({number(piece) for piece in pieces}) == len(pieces)
        assert all(number(piece) != 0 for piece in pieces)
    assert {blotted(piece) for piece in pieces}.isdisjoint({blotted(piece, seed=8) for piece in pieces})


def test_what_stands_behind_a_piece_does_not_matter() -> None:
    for size in range(40):
        assert blotted(b"x" * size, b"one") == blotted(b"x" * size, b"7other")
        assert as_it_is(b"x" * size, b"one") == as_it_is(b"x" * size, b"7other")


def test_a_table_keeps_what_is_put_into_it_however_it_grows() -> None:
    chance = random.Random(2)
    # Many that want the same place: it is told by the upper half.
    wanted = {chance.randrange(1, 1 << 64) if k % 3 else (5 << 32) + k + 1: k for k in range(20_000)}
    table = new_table()
    for key, number in wanted.items():
        table = with_number(table, key, number)
    for key, number in wanted.items():
        place = lookup.place_of(table.keys, np.uint64(key))
        assert (int(table.keys[place]), int(table.values[place])) == (key, number)
    assert int(table.held[0]) == len(wanted)
    strange = [key for key in (chance.randrange(1, 1 << 64) for _ in range(2000)) if key not in wanted]
    assert all(table.keys[lookup.place_of(table.keys, np.uint64(key))] == 0 for key in strange)


NAMES = [
    *(f"SEP0C75BD{n:06X}" for n in range(60)),
    *(f"CSFuser{n:06x}" for n in range(0, 6_000_000, 100_003)),
    *(f"AB{n:012X}" for n in range(60)),
    *(f"0123456789{n:04X}" for n in range(60)),
    *("debug:x", "a" * 128, "a" * 129, "..", "x-", "Select(a", "é"),
]


@pytest.mark.parametrize("guess", [0, 1, None])
def test_a_name_that_is_not_of_the_make_that_was_guessed_changes_nothing(guess: int | None) -> None:
    """A new name is held to be what its like were; where that is wrong the lines are looked up once more."""
    chance = random.Random(5)
    lines = [
        line
        for name in NAMES
        for line in (
            f"14:05:04.000 |   debug 2:{name}:Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{name}.csr",
            f"14:05:04.000 |   debug loadFile('/tmp/capf/cert/{name}.der')",
            f"14:05:04.000 |   debug LSC is verified. removing CSR at /tmp/capf/csr/{name}.csr",
            f"14:05:04.000 |   Select({name}) device exists",
        )
    ]
    chance.shuffle(lines)
    data = "\n".join(lines * 2).encode("latin-1")
    book = ShapeBook(PARSERS["capf"], Vocabulary(lexicon=CompiledLexicon))
    scanner = Scanner(book)
    plain = OneByOne(PARSERS["capf"], vocabulary := Vocabulary())
    stream = LineStream([data])
    while stream.peek(1):
        for block in stream.until(stream.at + 9_000):
            if guess is not None:
                book.makes[:] = guess
            scanner.read(block)
            plain.read(block)
    assert told([(scanner.rows(), 0)], book.vocabulary) == told([(plain.rows(), 0)], vocabulary)
    assert (scanner.lines, scanner.quiet, scanner.unparsed) == (plain.lines, plain.quiet, plain.unparsed)


# ---- where it is used ----------------------------------------------------------------------------------------------


def test_without_a_folder_to_keep_it_in_code_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    original = numba.njit

    def njit(**how: Any) -> Any:
        if how.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return original(**how)

    monkeypatch.setattr(numba, "njit", njit)

    def twice(number: int) -> int:
        return 2 * number

    assert compiled(twice)(21) == 42


def test_without_a_compiler_the_parsers_read_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "find_spec", lambda _: None)
    assert compiling.worthwhile_from() == float("inf")
    books = Books(Vocabulary())
    book = books.of(PARSERS["capf"], LineStream([b"x\n" * (40 << 20)]))
    assert isinstance(book.begin(), OneByOne)


#: In a process of its own: nothing is loaded there yet. WHAT is done to it before.
_SPOILT = """
import sys
from capflog import compiling, linestream, stretches
from capflog.parsing import parsers
from capflog.rows import Vocabulary
WHAT
stretches.worthwhile_from = lambda: 10.0
book = stretches.Books(Vocabulary()).of(parsers()[0], linestream.LineStream([b"x" * 200]))
print(compiling.made_ready(), type(book.begin()).__name__)
"""


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("", "True Scanner"),
        # It does not know this Python, or this numpy.
        ("sys.modules['numba'] = None", "False OneByOne"),
        # There is no room to keep what was compiled.
        (
            """import os, resource, signal, tempfile
os.environ['NUMBA_CACHE_DIR'] = tempfile.mkdtemp()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))""",
            "False OneByOne",
        ),
    ],
    ids=["ready", "foreign", "full"],
)
def test_a_compiler_that_does_not_work_is_none(what: str, said: str) -> None:
    code = _SPOILT.replace("WHAT", what)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, said + "\n"), done.stderr


def test_a_line_of_any_length_is_handed_out_alone() -> None:
    lines = [b"short\n", b"x" * 300_000 + b"\n", b"\n", b"y" * 70_000 + b"\n", b"last" * 50_000]
    data = b"".join(lines)
    for size in (1000, 65_536, len(data)):
        stream = LineStream([data[at : at + size] for at in range(0, len(data), size)])
        assert list(stream.lines()) == lines
        assert stream.at == len(data)
    stream = LineStream([data[at : at + 1000] for at in range(0, len(data), 1000)])
    assert stream.peek(100_000)[:100_000] == data[:100_000]
    stream.skip_to(10)
    assert next(stream.until(float("inf"))) == b"".join(lines[2:4])


def test_compiled_code_is_seen_where_numba_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "installed" / "capflog" / "lookup.py"
    module.parent.mkdir(parents=True)
    module.touch()
    monkeypatch.setattr(compiling, "__file__", str(module.with_name("compiling.py")))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.delitem(sys.modules, "capflog.lookup")
    assert not compiling.is_at_hand()
    assert compiling.worthwhile_from() == compiling.COMPILED_FROM
    tag = f"py{sys.version_info.major}{sys.version_info.minor}"
    for folder in (module.with_name("__pycache__"), tmp_path / "own" / "capflog_0123"):
        folder.mkdir(parents=True)
        kept = folder / f"lookup.look-600.{tag}.nbi"
        (folder / "lookup.look-600.py20.nbi").touch()
        assert not compiling.is_at_hand()
        kept.touch()
        assert compiling.is_at_hand()
        assert compiling.worthwhile_from() == compiling.LOADED_FROM
        # Of a module that has changed since, it is of no use.
        os.utime(kept, (1, 1))
        assert not compiling.is_at_hand()


def test_small_logs_are_read_one_by_one_until_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "worthwhile_from", lambda: 1000.0)
    books = Books(Vocabulary())
    begun = [type(books.of(PARSERS["capf"], LineStream([b"x\n" * 200])).begin()) for _ in range(4)]
    assert begun == [OneByOne, OneByOne, Scanner, Scanner]
    assert isinstance(Books(Vocabulary()).of(PARSERS["iis"], LineStream([b"x\n" * 600])).begin(), Scanner)


def test_what_comes_in_by_a_pipe_says_the_same_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = (ROOT / "samples" / "healthy.zip").read_bytes()
    wanted = document(analyze(["-"], io.BytesIO(sample)))
    monkeypatch.setattr(stretches, "worthwhile_from", lambda: 20_000.0)
    assert document(analyze(["-"], io.BytesIO(sample))) == wanted


def test_lines_are_read_back_from_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From several members, by the marks of small blocks, some of the lines or all, in the table's order."""
    monkeypatch.setattr(linestream, "BLOCK", 600)
    lines = [f"14:05:04.{n:03d} |   debug addded {n} to readset\r\n" for n in range(900)]
    for name in ("capf1.txt", "capf2.txt", "capf3.txt"):
        (tmp_path / name).write_text("".join(lines) + "14:05:05.000 |   debug Recd event", encoding="utf-8", newline="")
    table = analyze([str(tmp_path)]).events
    assert len(table) == 3 * 901
    every = [text for _, text in table.texts_of(np.arange(len(table)))]
    assert every == [*(line.rstrip() for line in lines), "14:05:05.000 |   debug Recd event"] * 3
    chance = random.Random(6)
    for count in (1, 2, 40, 900):
        rows = sorted(chance.sample(range(len(table)), count))
        assert list(table.texts_of(np.array(rows))) == [(row, every[row]) for row in rows]
