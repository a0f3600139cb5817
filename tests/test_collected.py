"""Records of a collection: RTMT's XML and the CLI's list of files, and which file of theirs a member is."""

from __future__ import annotations

import gzip
import io
import random
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capflog import collection_records
from capflog.analysis import analyze
from capflog.collected import Collected, CollectedFiles, collected_at, node_of
from capflog.collection_records import form_of_record, read_date, read_record
from capflog.linestream import stream_of
from capflog.parsing import lines_of, parsers
from capflog.reading import read_bundle, read_stored

from .bundles import LOG, tarred, zipped
from .plainly import analyzed_plainly, document

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from capflog.collection_records import Record
    from capflog.reading import Reading

TRACE = "/var/log/active/cm/trace/capf/sdi/capf00000012.txt"
NAME = "TraceCollectionResult_2020-04-03_22-00-00_pub.lab.xml"
RTMT = "RTMT's record of the collection, not a log: "
LISTED = "the CLI's list of files, not a log: "
DATE = "Fri Apr 03 21:48:56 EDT 2020"


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc, arg-type]


def modified_of(member: str, records: Sequence[Collected]) -> Collected | None:
    return CollectedFiles(records).modified_of(member)


NINE = at(2020, 4, 3, 21, 48, 56)


def tag(name: str = TRACE, date: str = DATE, size: str = "88452") -> str:
    return f'<FileName name="{name}" modifiedDate="{date}" size="{size}"/>'


def xml(*tags: str, node: str = "10.1.1.1", before: str = '<?xml version="1.0" encoding="UTF-8"?>\n') -> str:
    inside = "".join(f"        {one}\n" for one in tags)
    return (
        f'{before}<TraceCollectionResult>\n  <Node name="{node}">\n    <ServiceName name="Cisco CallManager">\n'
        f'      <FileType name="sdl">\n{inside}      </FileType>\n    </ServiceName>\n  </Node>\n'
        "</TraceCollectionResult>\n"
    )


def of(data: str | bytes, name: str = NAME) -> Record:
    """Read a record as a bundle's member is read."""
    content = data.encode() if isinstance(data, str) else data
    form = form_of_record(list(lines_of([content])))
    assert form is not None
    return read_record(form, name, stream_of([content]).until(float("inf")))


def told(data: str | bytes) -> list[tuple[str, str, int, str, int | None]]:
    return [(file.node, file.path, file.modified, file.zone, file.size) for file in of(data).files]


ONE = [("10.1.1.1", TRACE, NINE, "EDT", 88452)]


def reasons(reading: Reading) -> dict[str, tuple[str | None, str, str | None, int]]:
    return {m.member: (m.source, m.status, m.reason, m.lines) for m in reading.members if m.source is None}


# ---- in a bundle -----------------------------------------------------------------------------------------------------

LIST = (
    "admin:file list activelog cm/trace/capf/sdi/* date detail\n"
    "03 Apr,2020 21:48:56      957,290  capf00000012.txt.gz\n"
    "03 Apr,2020 21:50:01           34  capf00000013.txt\n"
    "02 Dec,2019 15:06:59        <dir>  drf\n"
    "dir count = 1, file count = 2\n"
    "admin:\n"
)


def test_records_are_read_by_every_way_of_reading_and_told_as_what_they_are(tmp_path: Path) -> None:
    members = {
        "pub_1/2020-04-03_22-00-00/cm/trace/capf/sdi/capf00000012.txt": LOG,
        NAME: xml(tag(), tag(f"{TRACE}3", "avr. 03 2020")).encode(),
        "again.xml": xml(tag()).encode(),
        "list.txt": LIST.encode(),
        "cut.xml.gz": gzip.compress(xml(*[tag(f"{TRACE}{random.random()}") for _ in range(3000)]).encode())[:-20_000],
        "notes.txt": b"the phone does not register\n",
    }
    folder = tmp_path / "bundle"
    for name, data in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    alone = read_bundle([str(folder)], processes=1)
    said = reasons(alone)
    assert said[NAME] == (None, "skipped", f"{RTMT}dates of 1 file taken from it, 1 not understood", 11)
    assert said["list.txt"] == (None, "skipped", f"{LISTED}dates of 2 files taken from it", 6)
    assert said["notes.txt"][2] == "not a log that capflog knows (" + said["notes.txt"][2].partition("(")[2]  # type: ignore[union-attr]
    source, status, reason, _ = said["cut.xml.gz"]
    assert (source, status) == (None, "skipped")
    assert reason is not None
    count = sum(file.record == "cut.xml.gz" for file in alone.records)
    assert 100 < count < 3000
    assert reason.startswith(f"{RTMT}dates of {count:,} files taken from it; damaged: ")
    # The same, whoever reads and in whatever order.
    others = [read_bundle([str(folder)], processes=3) for _ in range(2)]
    stream = zipped(dict(reversed(members.items())))
    piped = read_bundle(["-"], io.BytesIO(stream))
    packed = tmp_path / "bundle.tar"
    packed.write_bytes(tarred(dict(reversed(members.items()))))
    for other in (*others, piped, read_bundle([str(packed)], processes=1)):
        assert other.records == alone.records
        assert reasons(other) == said
    assert document(analyze([str(folder)], processes=2)) == document(analyzed_plainly([str(folder)]))


def test_a_record_that_is_read_in_stripes_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capflog.workers.STRIPED_FROM", 1000)
    (tmp_path / "a.log").write_bytes(LOG)
    (tmp_path / NAME).write_text(xml(*[tag(f"{TRACE}{number}") for number in range(100)]))
    alone, together = (read_bundle([str(tmp_path)], processes=count) for count in (1, 3))
    assert len(alone.records) == 100
    assert together.records == alone.records
    assert reasons(together) == reasons(alone)


def test_a_bundle_of_records_alone_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(xml(tag()))
    with pytest.raises(Exception, match="RTMT's record of the collection, not a log: dates of 1 file"):
        analyze([str(tmp_path / NAME)])


def test_no_records_no_dates() -> None:
    assert read_stored([]).records == []


# ---- RTMT's XML ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        xml(tag()),
        xml(tag(), before=""),
        xml(tag(), before="\n\n  "),
        xml(tag(), before="﻿"),
        xml(tag()).encode("utf-16"),
        xml(tag(), before='<?xml version="1.0" encoding="UTF-16"?>\n').encode("utf-16-be"),
        xml(tag(), before='<?xml version="1.1"\n encoding="Shift_JIS"?>\n'),
        xml(tag()).replace("\n", "\r\n"),
        xml(tag()).replace("\n", "\r"),
        xml(tag()).replace("\n", ""),
        xml(f"<FileName\n  size='88,452'\n\tMODIFIEDDATE = '{DATE}'\n Name='{TRACE}'></FileName>"),
        xml(f'<x:File xmlns:x="urn:x" x:name="{TRACE}" x:modifiedDate="{DATE}" x:size="88452"/>'),
        xml(tag()).replace("TraceCollectionResult", "Files"),
        xml(tag()).replace("<Trace", "<c:Trace").replace("</Trace", "</c:Trace"),
        xml(tag()).replace("FileName", "Datei").replace("ServiceName", "Dienst"),
        xml(tag(size="88452").replace("capf/", "&#99;apf/")),
        xml("<!-- a remark & so on -->", "<![CDATA[<FileName]]>", tag()),
        "This XML file does not appear to have any style information.\n" + xml(tag(), before=""),
    ],
)
def test_however_an_xml_is_written(data: str | bytes) -> None:
    assert told(data) == ONE
    assert of(data).fault is None


def test_code_pages() -> None:
    named = TRACE.replace("capf00", "größe00")
    declared = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    expected = [("10.1.1.1", named, NINE, "EDT", 88452)]
    assert told(xml(tag(named), before=declared).encode("latin-1")) == expected
    assert told(xml(tag(named), before=declared)) == expected


def test_files_are_of_the_node_that_they_stand_in() -> None:
    text = (
        f'<TraceCollectionResult>{tag("/a0")}<Node name="pub">{tag("/a1")}<Node name="in">{tag("/a2")}</Node>'
        f'{tag("/a3")}</Node><x/>{tag("/a4")}<node NAME="sub">{tag("/a5")}</node></TraceCollectionResult>'
    )
    assert [(file.node, file.path) for file in of(text).files] == [
        ("", "/a0"), ("pub", "/a1"), ("in", "/a2"), ("pub", "/a3"), ("", "/a4"), ("sub", "/a5"),
    ]  # fmt: skip


@pytest.mark.parametrize("size", ["", "x", "-1", "9" * 30, "1e5"])
def test_a_size_that_is_none(size: str) -> None:
    assert told(xml(tag(size=size))) == [("10.1.1.1", TRACE, NINE, "EDT", None)]


def test_a_cut_or_damaged_xml_gives_what_stands_before() -> None:
    text = xml(tag(), tag(f"{TRACE}3"), tag(f"{TRACE}4"))
    cut = of(text[: text.index("capf00000012.txt4")])
    assert [file.path for file in cut.files] == [TRACE, f"{TRACE}3"]
    assert cut.reason(None) == f"{RTMT}dates of 2 files taken from it; cut off in line 8"
    assert of(text[: text.index("</FileType>")]).reason(None).endswith("of 3 files taken from it; cut off in line 9")
    damaged = of(text.replace(f"{TRACE}3", "\0\1<"))
    assert [file.path for file in damaged.files] == [TRACE]
    assert damaged.reason(None) == (
        f"{RTMT}dates of 1 file taken from it; not read from line 7 on: not well-formed (invalid token)"
    )
    assert of("<TraceCollectionResult").reason(None) == f"{RTMT}no date could be taken from it; cut off in line 1"
    assert of(xml()).reason(None) == f"{RTMT}no date could be taken from it"
    # A letter that is cut in two makes no other letters of those before it.
    whole = xml(tag("/größe"), tag("/ß")).replace("\n", "").encode()
    assert [file.path for file in of(whole[: whole.index(b'\x9f" mod')]).files] == ["/größe"]


@pytest.mark.parametrize(
    ("before", "inside", "why"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]>\n', tag(), "from line 1 on: a document type is declared"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd">\n', tag(), "from line 1 on: a document type is declared"),
        ("", f"{tag()}\n{tag('&e;')}", "from line 6 on: undefined entity"),
        ("", tag() + "<a>" * 1000, "tags nested more than 200 deep"),
        ("", f'{tag()}<a b="' + "c" * (3 << 20), "a tag of more than 1 MiB"),
        ("", f"{tag()}<!--" + "c" * (3 << 20), "a tag of more than 1 MiB"),
    ],
)
def test_a_hostile_xml_ends_where_it_is_hostile(before: str, inside: str, why: str) -> None:
    started = time.monotonic()
    record = of(xml(inside, before=before))
    assert [file.path for file in record.files] == ([] if before else [TRACE])
    assert why in (record.fault or "")
    assert time.monotonic() - started < 5


def test_of_an_endless_record_the_beginning_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_records, "READ_MOST", 1 << 20)
    for text in (xml(*[tag()] * 20_000), LIST.replace("admin:\n", LIST.splitlines()[1] + "\n") * 10_000):
        blocks = [text.encode()[k : k + 100_000] for k in range(0, len(text), 100_000)]
        for pieces in (blocks, [text.encode()]):
            form = form_of_record(text[:5000].split("\n"))
            assert form is not None
            record = read_record(form, NAME, pieces)
            assert 5000 < len(record.files) < 20_000
            assert record.reason(None).endswith("; only its first 1 MiB were read")


def test_of_a_record_of_too_many_files_the_first_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_records, "_FILES_MOST", 10)
    record = of(xml(*[tag()] * 20))
    assert (len(record.files), record.fault) == (6, "not read from line 12 on: more than 10 tags")
    record = of((LIST.splitlines()[1] + "\n") * 20)
    assert (len(record.files), record.fault) == (10, "no more than 10 files of it were read")


@pytest.mark.parametrize(
    "text",
    [
        "<html><body>modifiedDate</body></html>",
        "14:05:04.628 |   debug modifiedDate='x' <Node>",
        "05 Sep,2026 10:55:22 the phone went away",
        "05 Sep,2026 10:55:22 957,290 capf1.txt was sent",
        "05 Sep,2026 10:55:22.100 957,290 capf1.txt",
        "05 Sep,2026 10:55:22 957,290 started",
        "05 Sep,2026 10:55:22 957290x capf1.txt",
        "05 Sep,2026 10:55:22 12 34",
        "02 Dec,2019 15:06:59 <dir> drf.x",
        "admin:file list activelog cm/trace/capf/sdi/*\ncapf1.txt capf2.txt\ndir count = 0, file count = 2",
        "remark\nremark\nremark\n05 Sep,2026 10:55:22 957,290 capf1.txt",
        "",
    ],
)
def test_what_is_no_record(text: str) -> None:
    assert form_of_record(text.split("\n")) is None


def test_no_line_of_a_log_is_taken_for_one() -> None:
    for parser in parsers():
        for sample in parser.samples:
            for line in sample.text.split("\n"):
                assert form_of_record([line]) is None


# ---- the CLI's list --------------------------------------------------------------------------------------------------


def test_the_command_tells_the_folder() -> None:
    assert told(LIST) == [
        ("", TRACE + ".gz", NINE, "", 957_290),
        ("", TRACE.replace("12", "13"), at(2020, 4, 3, 21, 50, 1), "", 34),
    ]
    line = "03 Apr,2020 21:48:56 9 c1.txt\n"
    for asked, path in {
        "activelog /cm/trace/capf/sdi detail": "/var/log/active/cm/trace/capf/sdi/c1.txt",
        "activelog cm/trace/capf/sdi/c1.txt detail": "/var/log/active/cm/trace/capf/sdi/c1.txt",
        "inactivelog cm/* detail": "/var/log/inactive/cm/c1.txt",
        "activelog cm/*/sdi/* detail": "c1.txt",
        "install * detail": "c1.txt",
    }.items():
        assert [path for _, path, *_ in told(f"admin:file list {asked}\n{line}{line}")] == [path, path], asked
    # What another command lists is not of that folder.
    assert [path for _, path, *_ in told(f"{LIST}{line}admin:show tech\n{line}")][2:] == ["c1.txt", "c1.txt"]


@pytest.mark.parametrize(
    "line",
    [
        "03 Apr,2020 21:48:56      957,290  cm/a/capf1.txt",
        "3 apr, 2020 21:48:56 957290 cm/a/capf1.txt  ",
        "  957,290   03 Apr,2020 21:48:56   cm/a/capf1.txt\r",
        "cm/a/capf1.txt 957,290 03 Apr,2020 21:48:56",
        "cm/a/capf1.txt 03 Apr,2020 21:48:56 957,290",
    ],
)
def test_columns_in_any_order(line: str) -> None:
    assert told(line) == [("", "cm/a/capf1.txt", NINE, "", 957_290)]


def test_of_a_list_what_is_no_date_is_counted() -> None:
    record = of(LIST + "31 Feb,2020 10:00:00 5 a.txt\n05 août,2020 10:00:00 5 b.txt\n05 Foo,2020 10:00:00 5 c.txt\n")
    assert record.reason(None) == f"{LISTED}dates of 2 files taken from it, 3 not understood"


# ---- dates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        (DATE, "EDT"),
        ("Fri Apr 3 21:48:56 GMT+05:30 2020", "GMT+05:30"),
        ("fri  APR 03  21:48:56\nChST 2020", "ChST"),
        ("Friday April 03 21:48:56 +03 2020", "+03"),
        ("Fri Apr 03 21:48:56 2020", ""),
        ("Fri, 03 Apr 2020 21:48:56 -0400", "-0400"),
        ("03 Apr 2020 21:48:56 America/New_York", "America/New_York"),
        ("03 Apr,2020 21:48:56", ""),
        ("03-Apr-2020 21:48:56 CEST", "CEST"),
        ("2020-04-03 21:48:56 EDT", "EDT"),
        ("2020-04-03T21:48:56Z", "Z"),
        ("2020-04-03T21:48:56-04:00", "-04:00"),
        ("2020/04/03 21:48:56", ""),
    ],
)
def test_dates_that_are_sure(text: str, zone: str) -> None:
    assert read_date(text) == (NINE, zone)


def test_the_ends_of_time_and_parts_of_seconds() -> None:
    assert read_date("1970-01-01 00:00:00") == (0, "")
    assert read_date("Fri Dec 31 23:59:59 UTC 2100") == (at(2100, 12, 31, 23, 59, 59), "UTC")
    assert read_date("2020-04-03 21:48:56.5") == (NINE + 500, "")
    assert read_date("2020-04-03 21:48:56,123456") == (NINE + 123, "")
    assert read_date("Thu Sept 03 21:48:56 BST 2020") == (at(2020, 9, 3, 21, 48, 56), "BST")


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "1585950536000",
        "Fri Apr 03 21:48:56 EDT 1969", "2101-01-01 00:00:00", "0000-01-01 00:00:00",
        "Fri Feb 30 21:48:56 EDT 2020", "2020-13-01 00:00:00", "2020-04-03 24:00:00", "2020-04-03 21:48:60",
        # Another weekday: a month that is another one in the language of the weekday, or damage.
        "Sat Apr 03 21:48:56 EDT 2020", "mar abr 03 21:48:56 2020", "ven. avr. 03 21:48:56 CEST 2020",
        "03 avr. 2020 21:48:56", "Fr Apr 03 21:48:56 MESZ 2020", "03 Mär 2020 21:48:56",
        "04/03/2020 21:48:56", "03.04.2020 21:48:56", "03-04-2020 21:48:56",
        "2020-04-03 21:48", "2020-04-03", "2020-04-03 09:48:56 PM", "03 Apr 2020 09:48:56 PM",
        "Fri Apr 03 21:48:56 PM 2020", "2020-04-03 21:48:56 EDT EDT", "２０２０-04-03 21:48:56",
        "Fri Apr 03 21:48:56 EDT 2020" + " " * 200,
    ],
)  # fmt: skip
def test_dates_that_are_not(text: str) -> None:
    assert read_date(text) is None


# ---- which node, which file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "node", "moment"),
    [
        ("cucm-115.home.lab_1/2020-04-03_22-00-00/cm/trace/capf/sdi/capf1.txt", "cucm-115.home.lab", True),
        ("case/pub/2020-04-03_22-00-00/cm/a.txt", "pub", True),
        ("10.1.1.1/2020-04-03_22-00-00/a.txt", "10.1.1.1", True),
        ("case\\pub_12\\2020-04-03_22-00-00\\a.txt", "pub", True),
        ("all.zip!/pub_1/2020-04-03_22-00-00/a.txt", "pub", True),
        ("pub_1.zip!/2020-04-03_22-00-00/a.txt", "pub", True),
        ("10.1.1.1.zip!/2020-04-03_22-00-00/a.txt", "10.1.1.1", True),
        ("pub_1/2020-04-03_22-00-00.zip!/cm/a.txt", "pub", True),
        ("pub_1/2020-04-03_22-00-00.tar.gz!/2020-04-03_22-00-00/a.txt", "pub", True),
        ("2019-01-01_00-00-00/x/2020-04-03_22-00-00/a.txt", "x", True),
        # An archive is named by people: that is no node.
        ("logs.zip!/2020-04-03_22-00-00/a.txt", "", True),
        ("SR_690123456.zip!/2020-04-03_22-00-00/a.txt", "", True),
        ("2020-04-03_22-00-00/a.txt", "", True),
        ("pub_1/2020-13-03_22-00-00/a.txt", "", False),
        ("pub_1/2020-04-03_22-00-00", "", False),
        ("pub_1/a.txt", "", False),
        ("", "", False),
    ],
)
def test_the_node_and_the_moment_of_a_member(member: str, node: str, moment: bool) -> None:
    assert node_of(member) == node
    assert collected_at(member) == (at(2020, 4, 3, 22, 0, 0) if moment else None)


def file(
    path: str = TRACE + ".gzo", node: str = "10.1.1.1", modified: int = 1, record: str = "r.xml", zone: str = "EDT"
) -> Collected:
    return Collected(record, node, path, modified, zone, None)


DEEP = "2020-04-03_22-00-00/cm/trace/capf/sdi/capf00000012.txt"


@pytest.mark.parametrize(
    "member",
    [
        f"pub_1/{DEEP}", f"pub_1/{DEEP}.gz", f"all.zip!/pub_1/{DEEP}.gzo", f"pub_1.zip!/{DEEP}", "capf00000012.txt",
        f"pub_1/{DEEP.upper()}", f"pub_1/{DEEP}#2", f"pub_1/{DEEP}.gz!/capf", f"pub_1\\{DEEP}".replace("/", "\\"),
        "traces/capf00000012.txt.gz",
    ],
)  # fmt: skip
def test_a_member_is_found_by_the_tail_of_its_path(member: str) -> None:
    others = [file("/var/log/active/cm/trace/capf/sdi/capf00000013.txt"), file("/x/acapf00000012.txt")]
    assert modified_of(member, [*others, file()]) == file()
    assert modified_of(member, others) is None
    assert modified_of(member, []) is None


def test_the_longest_tail_decides() -> None:
    near, far = (
        file("/var/log/active/cm/trace/cti/sdl/SDL1.txt"),
        file("/var/log/active/cm/trace/ccm/sdl/SDL1.txt", modified=2),
    )
    assert modified_of("p/2020-04-03_22-00-00/cm/trace/ccm/sdl/SDL1.txt", [near, far]) == far
    assert modified_of("p/2020-04-03_22-00-00/cm/trace/cti/sdl/SDL1.txt", [near, far]) == near
    assert modified_of("sdl/SDL1.txt", [near, far]) is None
    assert modified_of("SDL1.txt", [near, far]) is None
    # A name that is in many folders tells nothing.
    assert modified_of("root/error.log", [file("/var/log/active/tomcat/error.log")]) is None


def test_the_node_decides_where_both_tell_it() -> None:
    pub, sub = file(node="pub.lab"), file(node="sub", modified=2)
    assert modified_of(f"pub_1/{DEEP}", [pub, sub]) == pub
    assert modified_of(f"sub.lab_1/{DEEP}", [pub, sub]) == sub
    assert modified_of(f"other_1/{DEEP}", [pub, sub]) is None
    assert modified_of(DEEP, [pub, sub]) is None
    assert modified_of(f"10.1.1.2/{DEEP}", [pub]) == pub
    assert modified_of(f"10.1.1.2/{DEEP}", [file(node="10.1.1.1"), file(node="10.1.1.2", modified=2)]) == file(
        node="10.1.1.2", modified=2
    )
    # Addresses tell nothing of names, but RTMT names the record after the host.
    by_address = [
        file(record="TraceCollectionResult_2020-04-03_22-00-00_pub.lab.xml"),
        file(record="TraceCollectionResult_2020-04-03_22-00-00_sub.xml", node="10.1.1.2", modified=2),
    ]
    assert modified_of(f"pub_1/{DEEP}", by_address) == by_address[0]
    assert modified_of(f"sub.lab_1/{DEEP}", by_address) == by_address[1]
    assert modified_of(f"x_1/{DEEP}", by_address) is None
    unnamed = [file(), file(node="10.1.1.2", modified=2)]
    assert modified_of(f"pub_1/{DEEP}", unnamed) is None
    assert modified_of(f"pub_1/{DEEP}", unnamed[:1]) == unnamed[0]
    named_by_date_alone = file(record="TraceCollectionResult_2020-04-03_22-00-00.xml")
    assert modified_of(f"pub_1/{DEEP}", [named_by_date_alone]) == named_by_date_alone


def test_of_several_collections_each_has_its_own_record() -> None:
    early = file(record="TraceCollectionResult_2020-04-03_22-00-00_pub.xml")
    late = file(record="TraceCollectionResult_2020-04-04_22-00-00_pub.xml", modified=2)
    assert modified_of(f"pub_1/{DEEP}", [early, late]) == early
    assert modified_of(f"pub_1/{DEEP.replace('04-03', '04-04')}", [early, late]) == late
    assert modified_of("capf00000012.txt", [early, late]) is None
    one, two = file(record="one/r.xml"), file(record="two/r.xml", modified=2)
    assert modified_of("one/capf00000012.txt", [one, two]) == one
    assert modified_of("two/x/capf00000012.txt", [one, two]) == two
    assert modified_of("three/capf00000012.txt", [one, two]) is None


def test_records_that_agree_are_one_and_the_zone_is_told() -> None:
    listed = file(record="a.txt", node="", zone="")
    rtmt = file(record="b.xml")
    assert modified_of(f"pub_1/{DEEP}", [listed, rtmt]) == rtmt
    assert modified_of("capf00000012.txt", [listed, listed]) == listed
    assert modified_of("x/capf00000012.txt", [file(record="x/a.txt", node="", zone=""), rtmt]) == rtmt
    assert modified_of("x/capf00000012.txt", [rtmt, file(record="c.xml", zone="CEST")]) is None
    # A list in the folder of a node is that node's.
    of_sub = file(record="sub_1/2020-04-03_22-00-00/list.txt", node="", zone="")
    assert modified_of(f"pub_1/{DEEP}", [of_sub]) is None
    assert modified_of(f"sub_1/{DEEP}", [of_sub]) == of_sub


def test_many_members_and_many_records() -> None:
    files = [
        file(f"/var/log/active/cm/trace/capf/sdi/capf{number:08d}.txt.gz", f"node{node}", node, f"r{node}.xml")
        for node in range(10)
        for number in range(10_000)
    ]
    files += [file(TRACE, f"other{number}", number) for number in range(3000)]
    started = time.monotonic()
    found = CollectedFiles(files)
    for number in range(10_000):
        node = number % 10
        member = f"node{node}_1/2020-04-03_22-00-00/cm/trace/capf/sdi/capf{number:08d}.txt.gz"
        one = found.modified_of(member)
        assert number == 12 or (one is not None and one.modified == node)
    for _ in range(100):
        assert found.modified_of(f"x/{DEEP}") is None
    assert time.monotonic() - started < 20


# ---- whatever the bytes ----------------------------------------------------------------------------------------------

_WORDS = [
    tag(), '<Node name="x">', "</Node>", "<", ">", '"', "&amp;", "&x;", "<!DOCTYPE a [", "]>", "\r\n",
    "<?xml version='1.0'?>", "<!--", "-->", "<![CDATA[", *LIST.splitlines(keepends=True),
]  # fmt: skip
_PIECES = st.lists(
    st.one_of(st.binary(max_size=30), st.sampled_from(_WORDS).map(str.encode)),
    max_size=12,
).map(b"".join)


@given(st.sampled_from([b"<TraceCollectionResult>", b"\xef\xbb\xbf<TraceCollectionResult", LIST.encode()]), _PIECES)
def test_no_bytes_behind_a_head_raise(head: bytes, rest: bytes) -> None:
    for data in (head + rest, (head + rest).decode("latin-1").encode("utf-16")):
        record = of(data)
        assert record.lines == len(list(lines_of([data])))
        assert "\n" not in record.reason(None)
        for one in record.files:
            assert one.path
            modified_of("x/capf00000012.txt", record.files)


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_name_raises(member: str, path: str) -> None:
    for name in (member, f"{member}/2020-04-03_22-00-00/{path}", f"{member}!/{path}"):
        node_of(name)
        collected_at(name)
        modified_of(name, [file(path), file(name, record=member)])


@given(st.text(max_size=40))
def test_no_date_raises(text: str) -> None:
    read_date(text)
    read_date(f"Fri Apr 03 21:48:56 {text} 2020")
