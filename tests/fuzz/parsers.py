"""Any bytes as a log: recognised, and read by every parser, whatever they are."""

from __future__ import annotations

from capflog.collection_records import form_of_record, read_record
from capflog.linestream import stream_of
from capflog.parsing import lines_of, parse, parsers
from tests.parsers.reading import read

WORDS = (
    b"14:05:04.628 | ", b"  debug 2:SEP74A02FC0A675:", b"|<--debug", b"***EST [INFO]", b"2019/01/16 14:05:04 [warn] ",
    b"#Fields: date time cs-method cs-uri-stem sc-status", b"#Software: Microsoft HTTP Server API 2.0",
    b"2019-01-16 19:05:04 ", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\r", b"\x00", b"\x1b]0;x\x07",
    b"\xe2\x80\xae", b"\xed\xb3\xa9", b"99999999999999999999", b"-1", b"24:61:61.999", b"2019-02-30", b"<?xml version=",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Take every sample of every parser, and what the hostile bundle holds."""
    from tests.hostile import hostile_members

    made = [sample.text.encode() for parser in parsers() for sample in parser.samples]
    made += [member.content for member in hostile_members()]
    made += [made[0].decode().encode("utf-16"), made[-1].replace(b"\n", b"\r\n"), b""]
    made.append(
        b'<?xml version="1.0"?><TraceCollectionResult><Node name="a"><File name="capf1.txt" /></Node>'
        b"</TraceCollectionResult>"
    )
    return made


def once(data: bytes) -> None:
    """Each line is accounted for, whoever reads it, and however the bytes come in."""
    for parser in parsers():
        read(parser, data)  # (which counts)
    whole = parse([data] if data else [], "log")
    assert whole.lines == sum(event.span for event in whole.events) + whole.quiet + whole.unparsed
    cut = data[0] % (len(data) + 1) if data else 0
    pieces = [piece for piece in (data[:cut], *(data[at : at + 999] for at in range(cut, len(data), 999))) if piece]
    again = parse(pieces, "log")
    assert (again.lines, again.quiet, again.unparsed, again.why) == (
        whole.lines,
        whole.quiet,
        whole.unparsed,
        whole.why,
    )
    assert [(event.kind, event.line, event.text) for event in again.events] == [
        (event.kind, event.line, event.text) for event in whole.events
    ]
    form = form_of_record(list(lines_of([data])))
    if form is not None:
        read_record(form, "record", stream_of([data]).until(float("inf")))
