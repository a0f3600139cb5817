"""The fast path gives what the parsers give line by line: whatever lines, blocks and number of processes there are."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capflog.analysis import analyze
from capflog.events import Event
from capflog.linestream import LineStream, stream_of
from capflog.onebyone import OneByOne
from capflog.parsing import Derived, Line, Parser, decode, lines_of, parse, parsers
from capflog.rows import Vocabulary, rows_of_events
from capflog.scanning import Scanner
from capflog.shapebook import ShapeBook
from capflog.stretches import joined, read_stretches, state_behind
from capflog.table import TableBuilder

from .conftest import PUBLISHED, ROOT, SAMPLES
from .plainly import analyzed_plainly, document, told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARSERS = {parser.source: parser for parser in parsers()}
SOURCES = sorted(PARSERS)


@dataclass
class Outcome:
    """What was made of a text: all that its rows say, and the counts of its other lines."""

    rows: list[tuple[Any, ...]]
    lines: int
    quiet: int
    unparsed: int
    unknown: list[tuple[int, str]]


def plainly(parser: Parser, data: bytes) -> Outcome:
    """Read a text line by line."""
    reader = parser.reader()
    events: list[Event] = []
    quiet = unparsed = number = 0
    unknown = []
    for number, text in enumerate(lines_of([data]), start=1):
        said = reader.read(text)
        if isinstance(said, Event):
            said.line = number
            events.append(said)
        elif said is Line.PART and events:
            events[-1].span += 1
        elif said is Line.UNKNOWN:
            unparsed += 1
            unknown.append((number, text))
        else:
            quiet += 1
    vocabulary = Vocabulary()
    return Outcome(told([(rows_of_events(events, vocabulary), 0)], vocabulary), number, quiet, unparsed, unknown[:20])


def scanned(parser: Parser, data: bytes, sizes: Iterator[int] | None = None) -> Outcome:
    """Read a text by the scanner, in blocks of these sizes (or as one)."""
    book = ShapeBook(parser, Vocabulary())
    scanner = Scanner(book)
    stream = stream_of([data])
    while stream.peek(1):
        for block in stream.until(stream.at + next(sizes) if sizes is not None else float("inf")):
            scanner.read(block)
    rows = told([(scanner.rows(), 0)], book.vocabulary)
    return Outcome(rows, scanner.lines, scanner.quiet, scanner.unparsed, scanner.unknown)


# ---- lines such as the logs have -----------------------------------------------------------------------------------

#: All lines that the parsers themselves show, by log.
LINES = {
    source: sorted({line for sample in parser.samples for line in sample.text.split("\n")})
    for source, parser in PARSERS.items()
}
NAMES = ("SEP74A02FC0A675", "SEP001F6C81118B", "CSFjsmith", "ATA0C75BD00F3", "BOTA", "x.y-z_1", "debug", "Select")
_PHONES = [*(f"SEP0C75BD{n:06X}" for n in range(9)), "CSFfailla", "CSFectx", "pubKey", "Select", "SEP0C75BD0000FF"]
_KNOWN_NAME = re.compile(r"SEP74A02FC0A675|SEP001F6C81118B|CSFjsmith|BOTA|TCTJOHN|TABX")


def varied(line: str, chance: random.Random) -> str:
    """Write a line with other numbers, another phone, or damaged."""
    kind = chance.random()
    if kind < 0.75:
        most = chance.choice(("0", "9", "123456789", "0123456789"))
        line = re.sub(r"[0-9]", lambda _: chance.choice(most), line) if chance.random() < 0.3 else line
        line = re.sub(r"(?<=[ =:(])[0-9]+(?=[ ,)\n]|$)", lambda n: str(chance.randrange(10 ** len(n[0]))), line)
        return _KNOWN_NAME.sub(chance.choice(NAMES), line)
    if kind < 0.80:
        return line[: chance.randrange(len(line) + 1)]
    if kind < 0.85:
        at = chance.randrange(len(line) + 1)
        return line[:at] + chance.choice(("\0", "é", "\x85", " ", "  ", "\t", ":", "(", "]", "€")) + line[at:]
    if kind < 0.87:
        return ""
    return line


def written(source: str, seed: int, count: int) -> bytes:
    """Write a log of such lines; many come often, so that there is something to learn."""
    chance = random.Random(seed)
    stock = chance.sample(LINES[source], min(len(LINES[source]), 25))
    if chance.random() < 0.3:
        other = chance.choice(SOURCES)
        stock += chance.sample(LINES[other], min(len(LINES[other]), 4))
    ends = chance.choice((["\n"], ["\n"], ["\r\n"], ["\n", "\r\n", "\r\r\n"]))
    text = "".join(varied(chance.choice(stock), chance) + chance.choice(ends) for _ in range(count))
    return text.encode(chance.choice(("utf-8", "utf-8", "cp1252")), "replace")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", range(6))
def test_lines_of_every_kind_in_any_variation_say_what_the_parser_says(source: str, seed: int) -> None:
    data = written(source, seed, 1500)
    parser = PARSERS[source]
    wanted = plainly(parser, data)
    assert wanted.rows or source == "httperr"
    assert scanned(parser, data) == wanted
    chance = random.Random(seed)
    assert scanned(parser, data, iter(lambda: chance.choice((1, 50, 700, 9_000)), 0)) == wanted


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SOURCES), st.lists(st.text() | st.binary(), max_size=8), st.integers(0, 10_000))
def test_foreign_text_between_the_lines_changes_nothing(source: str, strange: list[str | bytes], seed: int) -> None:
    chance = random.Random(seed)
    lines = written(source, seed, 60).split(b"\n")
    for piece in strange:
        data = piece.encode("utf-8", "replace") if isinstance(piece, str) else piece
        for _ in range(chance.randrange(1, 7)):
            lines.insert(chance.randrange(len(lines) + 1), data)
    data = b"\n".join(lines)
    assert scanned(PARSERS[source], data) == plainly(PARSERS[source], data)


def test_most_lines_are_read_without_the_parser() -> None:
    """Else all of this is in vain, and the tests above would not see it."""
    calls = 0

    class Counting:
        def __init__(self, reader: Any) -> None:
            self._reader = reader
            self.carry, self.resume = reader.carry, reader.resume

        def read(self, text: str) -> Event | Line:
            nonlocal calls
            calls += 1
            said: Event | Line = self._reader.read(text)
            return said

    lines = [
        f"14:05:{n % 60:02d}.000 |   debug {n % 400}:SEP0C75BD{n * 7919 % 0xFFFFFF:06X}:Sending END_SESSION msg\n"
        f"14:05:{n % 60:02d}.{n % 1000:03d} |   debug addded {n % 400} to readset\n"
        for n in range(10_000)
    ]
    scanner = Scanner(ShapeBook(PARSERS["capf"], Vocabulary()))
    scanner.reader = Counting(scanner.reader)
    scanner.read("".join(lines).encode())
    assert len(scanner.rows()) == 20_000
    assert calls < 100


_MEANING = {
    "a function's own name": (
        "capf",
        ["14:05:04.000 |-->Select(FOO1) bar"]
        + [f"14:05:04.000 |   Select(BAR{n}) bar x=3" for n in range(9)]
        + ["14:05:04.000 |   Select(FOO1) bar x=3", "14:05:04.000 |   Select(BAR1) bar x=3"],
    ),
    "a function that ends": (
        "capf",
        ["14:05:04.000 |-->Select(FOO1) bar"]
        + [f"14:05:04.000 |<--Select(BAR{n}) bar" for n in range(9)]
        + ["14:05:04.000 |<--Select(FOO1) bar", "14:05:04.000 |   Select(FOO1) bar x=3"],
    ),
    "digits of a function's name": (
        "capf",
        ["14:05:04.000 |-->foo(12 bar"]
        + [f"14:05:04.000 |   foo(3{n} bar text" for n in range(9)]
        + ["14:05:04.000 |   foo(12 bar text", "14:05:04.000 |<--foo(31 bar", "14:05:04.000 |   foo(12 bar text"],
    ),
    "a name that is a word of the grammar": (
        "capf",
        [f"14:05:04.000 |   debug 9:{name}:cacert file /tmp/capf/cert/{name}.der read" for name in _PHONES]
        + [f"14:05:04.000 |   debug loading /tmp/capf/cert/{name}.der now" for name in _PHONES]
        + [f"14:05:04.000 |   debug 2:{name}:loading {name} now" for name in _PHONES]
        + [f"14:05:04.000 |   debug 2:{name}: {name} words here" for name in _PHONES]
        + [f"14:05:04.000 |   debug 2:{name}:{name} length" for name in _PHONES],
    ),
    "a leap second": (
        "nginx",
        [
            f'***EST [INFO][log_access:1298]--> 1.1.1.1 [27/Feb/2019:16:53:{second} -0500] "POST /a HTTP/1.1" 200 26'
            for second in [*range(20, 50), 60, 61, 59]
        ],
    ),
    "two numbers wrong at once": (
        "iis",
        ["#Fields: time cs-uri-stem sc-status c-ip"]
        + ["17:61:18 /certsrv 099 14.48.31.128"] * 6
        + ["17:31:17 /certsrv 200 14.48.31.128"] * 2,
    ),
    "a time that is none, in two ways": (
        "nginx",
        ['***EST [INFO][log_access:1]--> 1.1.1.1 [27/Feb/2019:45:61:28 -0500] "POST /a HTTP/1.1" 200 26'] * 9
        + ['***EST [INFO][log_access:1]--> 1.1.1.1 [27/Feb/2019:15:01:28 -0500] "POST /a HTTP/1.1" 200 26'] * 3,
    ),
    "a certificate in base64": (
        "nginx",
        ["***EST [INFO][f:1]--> " + "A" * 64, *(["B" * 64] * 70), "C" * 20]
        + ["***EST [INFO][handle_request:1261]--> /x", "D" * 64] * 120,
    ),
}


@pytest.mark.parametrize("case", _MEANING)
def test_what_looks_alike_and_means_something_else_is_told_apart(case: str) -> None:
    source, lines = _MEANING[case]
    data = "\n".join(lines * 2).encode()
    assert scanned(PARSERS[source], data) == plainly(PARSERS[source], data)


def test_a_reader_without_states_may_add_to_an_event_of_the_block_before() -> None:
    data = _PAGE.encode()
    parser = PARSERS["nginx"]
    scanner = OneByOne(parser, vocabulary := Vocabulary())
    for line in data.splitlines(keepends=True):
        scanner.read(line)
    assert told([(scanner.rows(), 0)], vocabulary) == plainly(parser, data).rows


# ---- a grammar with traps ------------------------------------------------------------------------------------------


class TrapReader:
    """Reads lines in which numbers mean something, and one line changes what the next ones mean."""

    def __init__(self) -> None:
        self.mood = 0
        self.last: Event | None = None

    def carry(self) -> int | None:
        return None if self.last is not None else self.mood

    def resume(self, carry: int) -> None:
        self.mood, self.last = carry, None

    def read(self, text: str) -> Event | Line:
        word, _, rest = text.partition(" ")
        if word == "more" and self.last is not None:
            self.last.values["detail"] = f"{self.last.values['detail']}+{rest}"
            return Line.PART
        if word == "open":
            self.last = Event("open", values={"detail": rest})
            return self.last
        self.last = None
        if word == "mood":
            self.mood = int(rest) % 3
            return Line.QUIET
        if word == "code" and rest.isdecimal() and rest.isascii():
            number = int(rest)
            kind = "ok" if number == 0 else "bad" if 400 <= number <= 999 else "odd"
            return Event(kind, values={"code": number, "detail": f"mood {self.mood}"})
        if word == "pair" and rest.count(",") == 1:
            one, _, other = rest.partition(",")
            return Event("pair", values={"url": one, "query": other, "bytes": len(one)})
        if word == "sum" and rest.replace("+", "").isdecimal() and rest.isascii():
            return Event("sum", values={"code": sum(int(n) for n in rest.split("+") if n)})
        return Line.UNKNOWN


class Trap:
    """A log of its own; what is derived in it is not read in bulk."""

    source = "trap"
    derived = (
        Derived(("code",), re.compile(r"sum (\S+)$"), lambda piece: (sum(int(n) for n in piece.split("+") if n),)),
    )

    def reader(self) -> TrapReader:
        return TrapReader()


@pytest.mark.parametrize("seed", range(10))
def test_numbers_that_mean_something_are_told_apart(seed: int) -> None:
    chance = random.Random(seed)
    make = {
        "mood": lambda: str(chance.randrange(4)),
        "code": lambda: chance.choice(("0", "00", "7", "22", "404", "999", "000", str(chance.randrange(2000)))),
        "pair": lambda: f"a{chance.randrange(100)},b{chance.randrange(100)}",
        "sum": lambda: f"{chance.randrange(30)}+{chance.randrange(30)}",
        "open": lambda: str(chance.randrange(10)),
        "more": lambda: str(chance.randrange(10)),
        "what": lambda: str(chance.randrange(10)),
    }
    words = chance.choices(list(make), weights=[1, 9, 5, 5, 1, 2, 2], k=2000)
    data = "".join(f"{word} {make[word]()}\n" for word in words).encode()
    trap: Any = Trap()
    assert scanned(trap, data) == plainly(trap, data)


# ---- stretches -----------------------------------------------------------------------------------------------------

_PAGE = """\
***EST [INFO][est_server_handle_request:1651]--> Peer IP address: 14.48.31.128
2019/02/27 16:53:28 [warn] 3187#0: *2 login_to_certsrv_ca: Curl call for MS CA login failed with return code 77 (error
  CAfile: /etc/ca.pem
  CApath: none) while SSL EST handshaking, client: 14.48.31.128, server: 0.0.0.0:8084
***EST [WARNING][mg_send_http_error:389]--> [Error 401: Unauthorized
The server was unable to authorize the request.
]
***EST [INFO][log_access:1298]--> 14.48.31.128 [27/Feb/2019:16:53:28 -0500] "POST /a HTTP/1.1" 401 0
***EST [INFO][log_header:1276]-->  -
***EST [INFO][log_header:1278]-->  "Cisco EST client 1.0"
no line of any log
2019/02/27 16:53:29 [info] 3187#0: *3 client closed connection while SSL handshaking, client: 10.1.1.1, server: x
"""
_TRACE = """\
14:05:04.628 |-->CAPFDevice::Map(OPERATION_UPGRADE, Suc
14:05:04.628 |   CAPFDevice::Map(OPERATION_UPGRADE, Suc =>DbStatus=CERT_STATUS_UPGRADE_SUCCESS
14:05:04.628 |   CAPFDevice::Map(OPERATION_UPGRADE, other words
14:05:04.629 |<--CAPFDevice::Map(OPERATION_UPGRADE, Suc
14:05:04.630 |   debug 2:SEP74A02FC0A675:pubKey: 0\ufffd
\x02\x01
\x02\ufffd\x01
14:05:05.503 |<--debug
14:05:05.504 |   Select(SEP74A02FC0A675) KeySize=KEY_SIZE_2048:3
what is this
14:05:05.505 |   debug 2:SEP74A02FC0A675:Enrollment rv = 0 (EST_ERR_NONE) with pkcs7 length = 1963
"""
_WEB = """\
#Software: Microsoft Internet Information Services 8.5\r
#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status\r
2019-03-05 17:31:15 14.48.31.152 GET /certsrv - 443 - 14.48.31.128 CiscoRA+1.0 401\r
2019-03-05 17:31:16 14.48.31.152 GET /other - 443 - 14.48.31.128 Mozilla 200\r
#Fields: time cs-uri-stem sc-status c-ip\r
17:31:17 /certsrv/certrqxt.asp 200 14.48.31.128\r
17:31:18 /other 200 14.48.31.128\r
"""


def in_turns(parser: Parser, data: bytes, stripe: int, readers: int) -> Outcome:
    """Read a text as so many processes would, each every so many-th stripe."""
    guess = state_behind(parser, [decode(line) for line in data.split(b"\n")[:3]])
    book = ShapeBook(parser, Vocabulary())
    stretches = []
    for number in range(readers):
        claims = iter([*range(number, len(data) // stripe + 1, readers), 1 << 40])
        stream = LineStream([data[at : at + 40] for at in range(0, len(data), 40)])
        stretches += list(read_stretches(stream, book, guess, partial(next, claims), stripe=stripe))
    whole = joined(stretches)
    parts = [(s.rows.after(skipped), lines) for s, skipped, lines in whole.parts if s.rows is not None]
    rows = told(parts, book.vocabulary)
    return Outcome(rows, whole.lines, whole.quiet, whole.unparsed, whole.unknown)


@pytest.mark.parametrize(
    ("source", "text"), [("nginx", _PAGE), ("capf", _TRACE), ("iis", _WEB)], ids=["nginx", "capf", "iis"]
)
def test_borders_may_stand_at_every_byte(source: str, text: str) -> None:
    parser = PARSERS[source]
    data = text.encode("latin-1", "replace")
    wanted = plainly(parser, data)
    for border in range(1, len(data) + 1):
        assert in_turns(parser, data, border, 2) == wanted, border


def test_a_border_may_stand_before_a_line_of_any_length() -> None:
    data = _PAGE.encode() * 3 + b"z" * 200_000 + b"\n" + _PAGE.encode() * 3
    parser = PARSERS["nginx"]
    wanted = plainly(parser, data)
    for border in (len(_PAGE) * 3 - 3, len(_PAGE) * 3 + 1, 100_000):
        assert in_turns(parser, data, border, 2) == wanted, border


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", range(4))
def test_many_stripes_of_a_dirty_log_make_the_whole(source: str, seed: int) -> None:
    data = written(source, seed + 100, 400)
    wanted = plainly(PARSERS[source], data)
    for stripe in (100, 777, 5000, len(data)):
        for readers in (1, 2, 3):
            assert in_turns(PARSERS[source], data, stripe, readers) == wanted, (stripe, readers)


# ---- whole reports -------------------------------------------------------------------------------------------------

BUNDLES = [
    *(ROOT / "samples" / f"{name}.zip" for name in SAMPLES),
    *sorted(path for path in PUBLISHED.iterdir() if path.is_dir()),
]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.stem)
def test_the_report_is_that_of_the_plain_path(bundle: Path) -> None:
    wanted = document(analyzed_plainly([str(bundle)]))
    assert document(analyze([str(bundle)])) == wanted
    assert document(analyze([str(bundle)], processes=1, learning=True)) == wanted
    assert document(analyze([str(bundle)], processes=1, learning=False)) == wanted


#: In a process of its own: a process with threads, as pytest may have them, is not to be forked.
_IN_PROCESSES = """
import json, sys
from capflog import reading, stretches, workers
from capflog.analysis import analyze
from capflog.reports import json as json_report
for module in (workers, stretches):
    module.STRIPED_FROM = 3_000
stretches.STRIPE = 3_000
stretches.read_stretches.__kwdefaults__["stripe"] = 3_000
for path in sys.argv[1:]:
    for processes, learning in ((2, True), (3, True), (2, False)):
        print(json.dumps(json_report.document(analyze([path], processes=processes, learning=learning).report)))
"""


def test_the_report_is_the_same_for_any_number_of_processes() -> None:
    paths = [str(path) for path in BUNDLES[::3]]
    done = subprocess.run(
        [sys.executable, "-c", _IN_PROCESSES, *paths], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    said = iter(done.stdout.splitlines())
    for path in paths:
        wanted = document(analyzed_plainly([path]))
        for _ in range(3):
            assert next(said) == wanted, path


def test_lines_are_read_back_as_they_were_logged(tmp_path: Path) -> None:
    """From a zip, a folder, UTF-16, with line ends of Windows, and from what can be read but once."""
    sample = ROOT / "samples" / "ca-dns-failure.zip"
    analysis = analyze([str(sample)])
    texts = analysis.table["text"]
    with sample.open("rb") as file:
        kept = analyze(["-"], file).table["text"]
    assert list(texts) == list(kept)
    log = _TRACE.replace("\ufffd", "ü").replace("\n", "\r\n")
    for name, content in (("a.txt", log.encode("utf-16")), ("b.txt", log.encode("utf-8-sig"))):
        (tmp_path / name).write_bytes(content)
        parsed = parse([content], name)
        assert list(analyze([str(tmp_path / name)]).table["text"]) == [event.text for event in parsed.events]


def test_a_bundle_that_changed_since_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "capf1.txt"
    path.write_text(_TRACE, encoding="latin-1", errors="replace")
    analysis = analyze([str(path)])
    path.write_text("short\n", encoding="utf-8")
    assert "is not what it was" in analysis.events.text(0)


def test_events_one_by_one_make_the_same_table() -> None:
    events = [Event("k", 5, "SEP1", "2", "warn", {"code": 7, "detail": "x"}), Event("k", values={"url": "/"})]
    builder = TableBuilder()
    builder.add("capf", "log", events)
    table = builder.table()
    assert table.values(0) == {"code": 7, "detail": "x"}
    assert (table.values(1), table.word("device", 1), table.word("level", 0)) == ({"url": "/"}, None, "warn")


_WITHOUT_MEMFD = """
import json, os, sys
from capflog.analysis import analyze
from capflog.reports import json as json_report
def refused(*_):
    raise OSError(38, "Function not implemented")
os.memfd_create = refused
print(json.dumps(json_report.document(analyze([sys.argv[1]], processes=2, learning=True).report)))
if hasattr(os, "posix_fallocate"):
    def full(*_):
        raise OSError(28, "No space left on device")
    os.posix_fallocate = full
    try:
        analyze([sys.argv[1]], processes=2, learning=True)
    except Exception as error:
        print(type(error).__name__, error)
"""


def test_columns_are_shared_by_a_file_where_memory_cannot_be() -> None:
    path = str(BUNDLES[0])
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_MEMFD, path], capture_output=True, text=True, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == document(analyzed_plainly([path]))
    assert re.fullmatch(r"BundleError no room for [\d,]+ bytes of temporary data: No space left on device", said[1])
