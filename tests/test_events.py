"""The event table: its columns, units and names, whatever the logs hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capflog.analysis import analyze
from capflog.bundle import BundleError
from capflog.events import COLUMNS, SOURCES, VALUES, Event, StampForm, frame
from capflog.parsing import Parsed, parse, parsers
from capflog.reading import read_stored
from capflog.rows import NONE, NUMBERS
from tests.conftest import ROOT
from tests.scenes import (
    FIELDS,
    NOT_ALLOWED,
    NOT_ANSWERED,
    Held,
    analyzed,
    at,
    begins_session,
    ca_answers,
    capf_starts,
    ces_starts,
    challenged,
    exchange,
    held,
    iis,
    raw,
    tries,
)

if TYPE_CHECKING:
    from capflog.model import Report

WHOLE = Event(
    "est.enroll.result",
    stamp=50_704_628,
    device="SEP74A02FC0A675",
    session="2",
    level="info",
    values={"code": 35, "error": "EST_ERR_SSL_READ", "bytes": 0},
    line=7,
    span=2,
    text="14:05:04.628 |   debug ...",
)


# ---- the table -----------------------------------------------------------------------------------------------------


def test_the_table_has_the_columns_that_are_documented() -> None:
    assert list(frame([]).columns) == [*COLUMNS, *VALUES]
    assert not set(COLUMNS) & set(VALUES)


def test_an_empty_table_has_the_same_types_as_a_full_one() -> None:
    empty, full = frame([]), frame([("capf", "capf1.txt", WHOLE)])
    assert len(empty) == 0
    kinds = {name: str(dtype) for name, dtype in full.dtypes.items() if name != "text"}
    assert {name: str(dtype) for name, dtype in empty.dtypes.items() if name != "text"} == kinds
    assert kinds["stamp"] == kinds["code"] == "Int64"
    assert {kinds[name] for name in ("time", "earliest", "latest")} == {"datetime64[ms, UTC]"}
    for name, (dtype, _) in VALUES.items():
        assert kinds[name] == dtype


def test_an_event_is_a_row() -> None:
    row = frame([("capf", "capf1.txt", WHOLE)]).iloc[0]
    said = {name: row[name] for name in ("kind", "source", "member", "line", "span", "stamp", "device", "session")}
    assert said == {
        "kind": "est.enroll.result",
        "source": "capf",
        "member": "capf1.txt",
        "line": 7,
        "span": 2,
        "stamp": 50_704_628,
        "device": "SEP74A02FC0A675",
        "session": "2",
    }
    assert (row["code"], row["error"], row["bytes"], row["text"]) == (35, "EST_ERR_SSL_READ", 0, WHOLE.text)


def test_what_an_event_does_not_bear_is_missing() -> None:
    row = frame([("nginx", "error.log", Event("nginx.record")), ("capf", "capf1.txt", WHOLE)]).iloc[0]
    for name in ("stamp", "device", "session", "level", "time", "earliest", "latest", *VALUES):
        assert pd.isna(row[name]), name
    assert (row["text"], row["span"]) == ("", 1)


def test_zero_and_an_empty_text_are_not_missing() -> None:
    row = frame([("capf", "x", Event("k", stamp=0, values={"code": 0, "detail": ""}))]).iloc[0]
    assert (row["stamp"], row["code"], row["detail"]) == (0, 0, "")


def test_rows_keep_their_order_and_their_own_values() -> None:
    rows = [
        ("nginx", f"m{n % 3}", Event("k", values={"pid": n} if n % 2 else {"url": f"/{n}"}, line=n)) for n in range(9)
    ]
    table = frame(rows)
    assert table["line"].tolist() == list(range(9))
    assert table["pid"].dropna().astype(int).tolist() == [1, 3, 5, 7]
    assert table["url"].dropna().tolist() == ["/0", "/2", "/4", "/6", "/8"]
    assert table["member"].tolist() == [f"m{n % 3}" for n in range(9)]


def test_a_value_that_the_table_does_not_know_is_left_out() -> None:
    """A parser of another package may know more than this table."""
    table = frame([("capf", "x", Event("k", values={"code": 1, "weather": "fine"}))])
    assert "weather" not in table.columns
    assert table["code"].tolist() == [1]


def test_numbers_are_kept_whole() -> None:
    big = 2**63 - 1
    table = frame([("iis", "x", Event("k", stamp=-big, values={"win32": big}))])
    assert (table["stamp"].iloc[0], table["win32"].iloc[0]) == (-big, big)


def test_the_sources_of_the_table_are_those_of_the_parsers() -> None:
    assert {parser.source for parser in parsers()} == set(SOURCES)
    assert list(frame([]).source.cat.categories) == list(SOURCES)


def test_each_parser_says_what_its_stamps_are() -> None:
    """The engine goes by the sources: CAPF's are times of day, NGINX's local, IIS's UTC, and CiscoRA has none."""
    assert {parser.source: parser.stamp for parser in parsers()} == {
        "capf": StampForm.TIME_OF_DAY,
        "ciscora": StampForm.NONE,
        "nginx": StampForm.LOCAL,
        "iis": StampForm.UTC,
        "httperr": StampForm.UTC,
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [("u_ex190116.log", f"#Software: Microsoft\n{FIELDS}\n"), ("capf1.txt", "14:05:04.628 |-->debug\n")],
)
def test_a_log_without_an_event_is_a_report_without_an_enrollment(name: str, text: str) -> None:
    try:
        report = analyzed(raw(name, text)).report
    except BundleError:
        # Too little of it to be known for a log.
        return
    assert (report.enrollments, report.starts, report.verdict) == ([], [], "inconclusive")
    assert [member.events for member in report.members] == [0]


# ---- whatever the lines --------------------------------------------------------------------------------------------

_CAPF = [
    *begins_session("SEPA", at("14:00:00")),
    *tries("SEPA", at("14:00:02"), taken=0.6),
    *tries("SEPB", at("14:00:02.3"), NOT_ANSWERED, taken=10.04, session=3),
    *tries("SEPA", at("23:59:58"), "35", taken=10.04),
    *capf_starts(at("13:59:00")),
]
_CES = [
    *exchange(at("14:00:02"), "SEPA"),
    *exchange(at("14:00:02.3"), "SEPB", status=401, rc=NOT_ALLOWED, curls=2, connection=6, worker=31072),
    *challenged(at("14:30:00"), None, client="14.48.31.99"),
]
_STARTS = [*ces_starts(at("13:59:20")), *ces_starts(at("13:59:50"), fails=True)]
_CA = [*ca_answers(at("14:00:02.1"), "SEPA"), *ca_answers(at("14:00:02.3"), None, client="14.48.31.77", agent="x")]
_JUNK = [
    "",
    " ",
    "|",
    "14:00:02.000 |",
    "25:61:61.999 |   debug 2:SEPA:Calling enrollCertUsingEST()",
    "14:00:02.000 |   debug 2:SEPA:Enrollment rv = 99999999999999999999 with pkcs7 length = -1",
    "14:00:03.000 |   debug 2:SEPA:Return value from enrollCertUsingEST() : -7",
    "14:00:03.000 |   Select(SEPA) Operation Should Finish By=9999:12:31:23:59",
    "2019/02/30 14:00:02 [info] 1#0: *2 login_to_certsrv_ca: x",
    "0001/01/01 00:00:00 [warn] 1#0: *2 login_to_certsrv_ca: Curl call for MS CA login failed with return code 6",
    "9999/12/31 23:59:59 [notice] 1#0: start worker processes",
    '***EST [INFO][log_access:1]--> 1.2.3.4 [31/Dec/9999:23:59:59 -1200] "POST /est/simpleenroll HTTP/1.1" 200 0',
    '***EST [INFO][log_access:1]--> 1.2.3.4 [01/Jan/0001:00:00:00 +1400] "POST /est/simpleenroll HTTP/1.1" -1 0',
    "***EST [INFO][mg_send_http_error:389]--> [Error 401: Unauthorized",
    "The server was unable to authorize the request.",
    "]",
    "9999-12-31 23:59:59 14.48.31.152 GET /certsrv/certnew.cer ReqID=1 443 - 14.48.31.125 CiscoRA+1.0 - 200 0 0 15",
    "0001-01-01 00:00:00 14.48.31.152 GET /certsrv - 443 - 14.48.31.125 CiscoRA+1.0 - 301 0 0 99999999999",
    "#Fields: date time",
    "#Date: 2019-01-16 00:00:00",
    "nginx: [warn] \x1b[31m\x00\u202e",
    "EnrollmentService.sh : nginx server PID value = x",
    "\ufffd\u0000\u0085\u2028",
]
POOL = sorted({line.text for scene in (_CAPF, _CES, *_STARTS, _CA) for line in scene} | {FIELDS, *_JUNK})

#: Whole logs of one lab, to be damaged.
LOGS = [
    [line.text for line in sorted(scene, key=lambda line: line.at)]
    for scene in (_CAPF, _CES + _STARTS[1] + _STARTS[3], _STARTS[0] + _STARTS[2], _CA)
]


def damage(log: list[str], harms: list[tuple[str, int, int]]) -> list[str]:
    """Lose, repeat, cut and move lines of a log, and put junk between them."""
    harmed = list(log)
    for harm, where, how in harms:
        place = where % len(harmed)
        if harm == "lose" and len(harmed) > 1:
            del harmed[place]
        elif harm == "repeat":
            harmed.insert(how % len(harmed), harmed[place])
        elif harm == "cut":
            harmed[place] = harmed[place][: how % 120]
        elif harm == "move":
            harmed.insert(how % len(harmed), harmed.pop(place))
        else:
            harmed.insert(place, _JUNK[how % len(_JUNK)])
    return harmed


places = st.integers(0, 500)
harms = st.lists(st.tuples(st.sampled_from(["lose", "repeat", "cut", "move", "junk"]), places, places), max_size=25)
drawn = st.lists(st.sampled_from(POOL), min_size=1, max_size=24)
texts = (drawn | st.builds(damage, st.sampled_from(LOGS), harms)).map(lambda chosen: "\n".join(chosen).encode())
names = st.sampled_from(
    ["capf00000009.txt", "capf00000010.txt", "nginx1.txt", "error.log", "u_ex190116.log", "pub/2019-01-16_15-30-00/x"]
)
modified = st.none() | st.sampled_from(
    [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(2019, 1, 16, tzinfo=UTC)]
)
bundles = st.lists(st.tuples(names, texts, modified), min_size=1, max_size=5, unique_by=lambda member: member[0])


def agrees(parsed: Parsed) -> bool:
    return parsed.lines == sum(event.span for event in parsed.events) + parsed.quiet + parsed.unparsed


def consistent(report: Report) -> None:
    """Check what holds for every report, whatever was read."""
    ids = [e.id for e in report.enrollments]
    assert len(set(ids)) == len(ids)
    put = [(r.member, r.line) for e in report.enrollments for r in e.records]
    assert len(set(put)) == len(put)
    for e in report.enrollments:
        assert e.started is None or e.ended is None or e.started <= e.ended
        assert (e.outcome == "issued") <= (e.est_error in ("EST_ERR_NONE", None))
        assert e.causes == [] or e.outcome == "failed"
        for r in e.records:
            assert r.earliest is None or r.latest is None or r.earliest <= r.latest
    for clock in report.clocks:
        assert (clock.offset_seconds is None) == (clock.quality in ("none", "one-sided", "conflict"))
        assert (clock.uncertainty_seconds is None) == (clock.offset_seconds is None)
    assert report.count("issued") + report.count("failed") + report.count("incomplete") == len(report.enrollments)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(bundles)
def test_any_mixture_of_lines_makes_a_report_or_is_no_log(found: list[tuple[str, bytes, datetime | None]]) -> None:
    members = [Held(name, content, when) for name, content, when in found]
    counted = {member.name: parse(member.chunks(), member.name) for member in members}
    assert all(agrees(parsed) for parsed in counted.values())
    try:
        report = analyzed(*members).report
    except BundleError:
        assert all(parsed.parser is None for parsed in counted.values())
        return
    consistent(report)
    for member in report.members:
        parsed = counted[member.member]
        assert member.lines == parsed.lines
        if member.source is not None:
            assert (member.events, member.unparsed) == (len(parsed.events), parsed.unparsed)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(names, texts | st.binary(max_size=300))
def test_every_line_of_a_member_is_accounted_for(name: str, content: bytes) -> None:
    parsed = parse(iter([content[:7], content[7:]]), name)
    assert agrees(parsed)
    assert [event.line for event in parsed.events] == sorted({event.line for event in parsed.events})
    assert all(1 <= event.line <= parsed.lines for event in parsed.events)


def test_the_logs_of_a_whole_lab_are_accounted_for() -> None:
    members = [
        held("capf1.txt", _CAPF),
        held("error.log", _CES, _STARTS[1]),
        held("nginx1.txt", _STARTS[0], _STARTS[2]),
        iis("u_ex.log", _CA),
    ]
    for member in members:
        parsed = parse(member.chunks(), member.name)
        assert agrees(parsed)
        assert (parsed.unparsed, bool(parsed.events)) == (0, True)
    consistent(analyzed(*members).report)


def test_the_table_has_the_times_of_the_report() -> None:
    """What the enrollments tell of a line's time stands in the table as in the report's records."""
    analysis = analyze([str(ROOT / "samples" / "healthy.zip")])
    table = analysis.table
    times = dict(zip(zip(table["member"], table["line"], strict=True), table["time"], strict=True))
    latest = dict(zip(zip(table["member"], table["line"], strict=True), table["latest"], strict=True))
    records = [record for enrollment in analysis.report.enrollments for record in enrollment.records]
    assert records
    for record in records:
        assert pd.Timestamp(times[record.member, record.line]) == record.time
        assert pd.Timestamp(latest[record.member, record.line]) == record.latest


def test_values_of_some_rows_are_those_of_all() -> None:
    """However many rows are asked of, and in which order."""
    chance = np.random.default_rng(5)
    call = at("14:36:10.118")
    table = read_stored([held("error.log", exchange(call, "SEPA")), held("capf1.txt", tries("SEPA", call))]).table
    every = np.arange(len(table))
    some = np.flatnonzero(chance.random(len(table)) < 0.5)
    for rows in (every, every[3:17], every[-4:], every[::9], every[:0], some, some[::-1], chance.permutation(every)):
        for name in VALUES:
            if name not in NUMBERS:
                assert (table.codes(name, rows)[0] == table.codes(name)[0][rows]).all()
                continue
            wanted = table.numbers(name)[rows]
            assert (table.numbers(name, rows) == wanted).all()
            if (rows[1:] > rows[:-1]).all():
                borne, numbers = table.borne(name, rows)
                assert borne.tolist() == np.flatnonzero(wanted != NONE).tolist()
                assert numbers.tolist() == wanted[borne].tolist()
