"""The access log of IIS."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from capflog.parsers.iis_w3c import IisW3cLog
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.events import VALUES, Event, StampForm, frame
from capflog.parsing import Line, Parser, parse

from .reading import read, walk_samples

PARSER: Parser = IisW3cLog()

SOFTWARE = "#Software: Microsoft Internet Information Services 8.5\n#Version: 1.0\n"
DATE = "#Date: 2019-03-05 17:31:15\n"
FIELDS = (
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    "sc-status sc-substatus sc-win32-status time-taken\n"
)
HEADER = SOFTWARE + DATE + FIELDS

#: One certificate, from the login to its download.
INSTALL = """\
{day} 14:05:02 {ca} GET /certsrv - {port} - {ces} CiscoRA+1.0 - 401 1 2148074254 0
{day} 14:05:02 {ca} GET /certsrv - {port} {user} {ces} CiscoRA+1.0 - 301 0 0 0
{day} 14:05:02 {ca} GET /certsrv/certrqxt.asp - {port} {user} {ces} CiscoRA+1.0 - 200 0 0 {taken}
{day} 14:05:02 {ca} POST /certsrv/certfnsh.asp - {port} {user} {ces} CiscoRA+1.0 https://ca.lab/certsrv/ 200 0 0 15
{day} 14:05:03 {ca} GET /certsrv/certnew.cer ReqID={reqid}&ENC=b64 {port} {user} {ces} CiscoRA+1.0 - 200 0 0 0
"""

OTHER_SITE = "2019-03-05 17:31:16 10.0.0.1 GET /owa/ - 443 - 10.0.0.9 Mozilla/5.0+(X11) - 200 0 0 3\n"


def ms(text: str) -> int:
    """Make ms since 1970 of a UTC time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def row(text: str, header: str = "") -> Event:
    """Read the one request of a row."""
    done = read(PARSER, header + text)
    assert done.unknown == []
    (event,) = done.events
    return event


def test_samples_show_every_kind() -> None:
    assert walk_samples(PARSER) == set(PARSER.kinds)
    assert PARSER.stamp is StampForm.UTC


@pytest.mark.parametrize("header", ["", HEADER, HEADER.replace("\n", "\r\n")])
@pytest.mark.parametrize(
    ("day", "ca", "ces", "port", "user", "taken", "reqid"),
    [
        ("2019-01-16", "14.48.31.152", "14.48.31.125", 443, "MICHAMEN\\ciscora", 220, 10),
        ("2024-02-29", "fe80::a1%4", "2001:db8::7", 8443, "Z\u00dcRICH\\j\u00fcrg", 10001, 4711),
        ("2038-12-31", "::1", "2001:db8:0:1:2:3:4:5", 80, "svc+ra@corp.example", 0, 1),
    ],
)
def test_install(header: str, day: str, ca: str, ces: str, port: int, user: str, taken: int, reqid: int) -> None:
    text = INSTALL.format(day=day, ca=ca, ces=ces, port=port, user=user, taken=taken, reqid=reqid)
    done = read(PARSER, header + text + OTHER_SITE)
    assert done.unknown == []
    assert done.kinds == ["iis.request"] * 5
    assert done.quiet == (5 if header else 1)
    assert [e.stamp for e in done.events] == [ms(f"{day}T14:05:02")] * 4 + [ms(f"{day}T14:05:03")]
    login, again, form, post, fetch = (e.values for e in done.events)
    assert login == {
        "method": "GET",
        "url": "/certsrv",
        "port": port,
        "client": ces,
        "server": ca,
        "agent": "CiscoRA 1.0",
        "status": 401,
        "substatus": 1,
        "win32": 2148074254,
        "taken": 0,
    }
    assert (again["user"], again["status"]) == (user, 301)
    assert (form["url"], form["taken"]) == ("/certsrv/certrqxt.asp", taken)
    assert (post["method"], post["referer"]) == ("POST", "https://ca.lab/certsrv/")
    assert (fetch["query"], fetch["reqid"]) == (f"ReqID={reqid}&ENC=b64", reqid)
    assert frame(("iis", "u_ex.log", e) for e in done.events)["win32"].tolist()[0] == 2148074254


def test_largest_win32_status() -> None:
    line = f"2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 {2**32 - 1} 0"
    assert row(line).values["win32"] == 2**32 - 1


@pytest.mark.parametrize(
    ("stem", "taken"),
    [
        ("/certsrv", True),
        ("/CertSrv/", True),
        ("/CERTSRV/certnew.cer", True),
        ("/certsrv/en-us/certrqxt.asp", True),
        ("/certsrv2/x", False),
        ("/certsrv.asp", False),
        ("/x/certsrv", False),
        ("/", False),
        ("*", False),
    ],
)
def test_web_enrollment_alone_is_of_interest(stem: str, taken: bool) -> None:
    done = read(PARSER, f"{HEADER}2019-01-16 14:05:02 10.0.0.1 GET {stem} - 443 - 10.0.0.2 x/certsrv - 200 0 0 0")
    assert done.unknown == []
    assert [e.values["url"] for e in done.events] == ([stem] if taken else [])


@pytest.mark.parametrize(
    ("query", "reqid"),
    [
        ("ReqID=10&ENC=b64", 10),
        ("Enc=bin&reqid=11", 11),
        ("REQID=12", 12),
        ("ReqID=CACert&Renewal=0&Enc=bin", None),
        ("xReqID=13", None),
        ("ReqID=14x", None),
        ("ReqID=" + "9" * 30, None),
        ("-", None),
    ],
)
def test_request_id(query: str, reqid: int | None) -> None:
    event = row(f"2019-01-16 14:05:02 10.0.0.1 GET /certsrv/certnew.cer {query} 443 - 10.0.0.2 CiscoRA+1.0 - 200 0 0 0")
    assert event.values.get("reqid") == reqid
    assert event.values.get("query") == (None if query == "-" else query)


@pytest.mark.parametrize(
    ("query", "left", "line", "error", "detail", "reqid"),
    [
        ("ReqID=1|25|80004005|Text_with_blanks", "ReqID=1", 25, "80004005", "Text with blanks", 1),
        (
            "|144|800706BA|The_RPC_server_is_unavailable._",
            None,
            144,
            "800706ba",
            "The RPC server is unavailable.",
            None,
        ),
        ("-|9|80070005|Zugriff_verweigert_f\u00fcr_'a'", None, 9, "80070005", "Zugriff verweigert f\u00fcr 'a'", None),
        (
            "a=b|251|800a01f4|Variable_is_undefined:_'x'|25|80004005|Unspecified_error",
            "a=b",
            251,
            "800a01f4",
            "Variable is undefined: 'x'; 80004005: Unspecified error",
            None,
        ),
        ("|-|ASP_0113|Script_timed_out", None, None, "ASP_0113", "Script timed out", None),
        ("|7|80004005|", None, 7, "80004005", None, None),
        ("a|b|c", "a|b|c", None, None, None, None),
    ],
)
def test_asp_error(
    query: str, left: str | None, line: int | None, error: str | None, detail: str | None, reqid: int | None
) -> None:
    event = row(f"2019-01-16 14:05:02 10.0.0.1 POST /certsrv/certfnsh.asp {query} 443 D\\u 10.0.0.2 A - 500 0 0 15")
    names = ("query", "asp_line", "error", "detail", "reqid")
    assert tuple(event.values.get(name) for name in names) == (left, line, error, detail, reqid)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("referer", ["cs(Referer)", "cs(Referrer)", "CS(REFERER)"])
def test_columns_in_any_order_with_others_between(reverse: bool, referer: str) -> None:
    columns = {
        "date": "2021-07-08",
        "time": "09:10:11",
        "s-sitename": "W3SVC1",
        "s-computername": "CA01",
        "s-ip": "10.0.0.1",
        "cs-method": "POST",
        "cs-uri-stem": "/certsrv/certfnsh.asp",
        "cs-uri-query": "-",
        "s-port": "443",
        "cs-username": "CORP\\ra",
        "c-ip": "10.0.0.2",
        "cs-version": "HTTP/1.1",
        "cs(User-Agent)": "CiscoRA+1.0",
        "cs(Cookie)": "-",
        referer: "https://ca/",
        "cs-host": "ca.corp.example",
        "sc-status": "200",
        "sc-substatus": "0",
        "sc-win32-status": "64",
        "sc-bytes": "1024",
        "cs-bytes": "2048",
        "time-taken": "10015",
        "X-Forwarded-For": "192.0.2.9",
    }
    names = sorted(columns, reverse=reverse)
    event = row("#Fields: " + " ".join(names) + "\n" + " ".join(columns[n] for n in names))
    assert event.stamp == ms("2021-07-08T09:10:11")
    assert event.values == {
        "site": "W3SVC1",
        "computer": "CA01",
        "server": "10.0.0.1",
        "method": "POST",
        "url": "/certsrv/certfnsh.asp",
        "port": 443,
        "user": "CORP\\ra",
        "client": "10.0.0.2",
        "agent": "CiscoRA 1.0",
        "referer": "https://ca/",
        "host": "ca.corp.example",
        "status": 200,
        "substatus": 0,
        "win32": 64,
        "taken": 10015,
    }


def test_columns_change_within_the_file() -> None:
    text = (
        HEADER
        + "2019-03-05 17:31:15 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 7\n"
        + DATE
        + "#Fields: date time c-ip cs-method cs-uri-stem sc-status\n"
        + "2019-03-05 17:31:16 10.0.0.3 GET /certsrv 301\n"
        + "2019-03-05 17:31:16 10.0.0.3 GET /favicon.ico 404\n"
        + HEADER
        + "2019-03-05 17:31:17 10.0.0.1 GET /certsrv - 443 - 10.0.0.4 CiscoRA+1.0 - 401 1 2148074254 8\n"
    )
    done = read(PARSER, text)
    assert done.unknown == []
    assert [(e.values["client"], e.values["status"], e.values.get("taken")) for e in done.events] == [
        ("10.0.0.2", 401, 7),
        ("10.0.0.3", 301, None),
        ("10.0.0.4", 401, 8),
    ]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (
            "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 401 1 2148074254 5",
            {"agent": "CiscoRA 1.0", "status": 401, "taken": 5},
        ),
        (
            "2019-01-16 14:05:02 W3SVC2 CA01 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 HTTP/1.1 A - - ca 401 1 5 9 8 6",
            {"site": "W3SVC2", "computer": "CA01", "host": "ca", "status": 401, "taken": 6},
        ),
    ],
)
def test_rows_without_header(line: str, values: dict[str, str | int]) -> None:
    event = row(line)
    assert {name: event.values[name] for name in values} == values


@pytest.mark.parametrize("columns", ["cs-host", "sc-bytes cs-bytes X-Custom"])
def test_row_cut_among_the_last_columns_is_counted(columns: str) -> None:
    line = "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 12"
    header = FIELDS.replace("\n", f" {columns}\n")
    assert read(PARSER, header + line).unknown == [line]
    assert row(line + " x" * len(columns.split()), header).values["taken"] == 12


def test_rows_of_two_layouts_without_header() -> None:
    old = "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 401 1 2148074254 5\n"
    new = "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 6\n"
    done = read(PARSER, old + new + old)
    assert [e.values["taken"] for e in done.events] == [5, 6, 5]


def test_a_row_that_the_header_does_not_fit_is_read_by_the_defaults() -> None:
    line = "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 6\n"
    assert row(line, "#Fields: date time s-ip cs-met\n").values["taken"] == 6


def test_missing_columns_leave_values_out() -> None:
    event = row(
        "2019-01-16 14:05:02 GET /certsrv 401",
        "#Fields: date time cs-method cs-uri-stem sc-status\n",
    )
    assert event.values == {"method": "GET", "url": "/certsrv", "status": 401}


def test_date_is_taken_from_the_directive() -> None:
    header = "#Date: 2019-03-05 22:00:00\n#Fields: time c-ip cs-method cs-uri-stem sc-status\n"
    rows = "23:59:59 10.0.0.1 GET /certsrv 401\n23:59:58 10.0.0.1 GET /certsrv 301\n00:00:01 10.0.0.1 GET /a 200\n"
    rows += "07:00:00 10.0.0.1 GET /certsrv 200\n06:59:00 10.0.0.1 GET /a 200\n01:00:00 10.0.0.1 GET /certsrv 200\n"
    done = read(PARSER, header + rows)
    assert done.unknown == []
    days = ["2019-03-05T23:59:59", "2019-03-05T23:59:58", "2019-03-06T07:00:00", "2019-03-07T01:00:00"]
    assert [e.stamp for e in done.events] == [ms(day) for day in days]


def test_a_time_without_any_date_is_no_stamp() -> None:
    assert row("23:59:59 GET /certsrv 401", "#Fields: time cs-method cs-uri-stem sc-status\n").stamp is None


@pytest.mark.parametrize(
    "line",
    [
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 21480",
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 4",
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv",
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 0 more",
        "2019-01-16 25:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 0",
        "2019-02-30 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 0",
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 40x 1 2148074254 0",
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 2148074254 1 401 0",
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - \u0664\u0664\u0663 - 10.0.0.2 A - 401 1 2148074254 0",
        "GET /certsrv",
        "words of certsrv",
        "words",
        "#words",
    ],
)
@pytest.mark.parametrize("header", ["", HEADER])
def test_what_is_no_row_is_counted(line: str, header: str) -> None:
    done = read(PARSER, header + line)
    assert (done.unknown, done.events) == ([line], [])


def test_cut_in_the_middle_of_the_file() -> None:
    whole = INSTALL.format(
        day="2019-01-16", ca="10.0.0.1", ces="10.0.0.2", port=443, user="D\\u", taken=1, reqid=2
    ).splitlines()
    done = read(PARSER, HEADER + "\n".join([whole[0][20:], *whole[1:4], whole[4][:-12]]))
    assert len(done.events) == 3
    assert len(done.unknown) == 2


def test_zero_bytes_of_a_crash_are_passed_over() -> None:
    row_ = "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 - 401 1 2148074254 0\n"
    done = read(PARSER, HEADER + row_ + "\0" * 500 + SOFTWARE + DATE + FIELDS + row_ + "\0" * 300)
    assert len(done.events) == 2
    assert done.unknown == []


def test_empty_user_agent_and_plus_signs() -> None:
    event = row("2019-01-16 14:05:02 10.0.0.1 GET /certsrv a+b 443 D\\a+b 10.0.0.2 Mozilla/5.0+(X11;+U) - 401 2 5 0")
    assert (event.values["query"], event.values["user"]) == ("a+b", "D\\a+b")
    assert event.values["agent"] == "Mozilla/5.0 (X11; U)"
    assert "agent" not in row("2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 - - 401 2 5 0").values


@pytest.mark.parametrize(
    "text",
    [
        HEADER,
        SOFTWARE,
        FIELDS + OTHER_SITE,
        OTHER_SITE * 2000,
        HEADER + OTHER_SITE * 2000,
        "2019-01-16 14:05:02 10.0.0.1 GET /certsrv - 443 - 10.0.0.2 CiscoRA+1.0 401 1 2148074254 5\n",
        "2019-01-16 14:05:02 W3SVC2 CA01 fe80::1%4 GET /certsrv - 443 - ::1 HTTP/1.1 A - - ca 401 1 5 1293 120 6\n",
        "#Fields: s-sitename date time cs-method cs-uri-stem c-ip sc-status sc-substatus time-taken\n"
        + "W3SVC1 2019-03-05 17:31:16 GET /certsrv 10.0.0.1 401 1 12\n" * 2000,
        "#Fields: time s-ip cs-method cs-uri-stem c-ip sc-status sc-substatus time-taken\n"
        + "17:31:16 10.0.0.1 PROPFIND /certsrv 10.0.0.2 401 1 12\n" * 2000,
    ],
)
@pytest.mark.parametrize("path", ["W3SVC1/u_ex190305.log", "unnamed", "httperr1.log"])
def test_recognised_by_content(text: str, path: str) -> None:
    parsed = parse([text.encode()], path)
    assert parsed.parser is not None
    assert parsed.parser.source == "iis"
    assert parsed.unparsed == 0
    assert parsed.lines == len(parsed.events) + parsed.quiet


@pytest.mark.parametrize(
    "text",
    [
        # NCSA
        '14.48.31.128 - MICHAMEN\\ciscora [05/Mar/2019:17:31:15 -0500] "GET /certsrv HTTP/1.1" 401 1293\n',
        # IIS's own format
        "14.48.31.128, -, 3/5/2019, 17:31:15, W3SVC1, CA01, 14.48.31.152, 16, 120, 1293, 401, 5, GET, /certsrv, -,\n",
        # HTTP.sys
        "2019-03-05 17:31:15 14.48.31.128 50123 14.48.31.152 443 HTTP/1.1 GET /certsrv 503 1 AppOffline Pool\n",
        "2019-03-05 17:31:15 14.48.31.128 50123 14.48.31.152 443 HTTP/1.1 GET /certsrv - 503 1 AppOffline Pool -\n",
        "2019-03-05 17:31:15 14.48.31.128 50123 14.48.31.152 443 - - - - - Timer_ConnectionIdle -\n",
        # NGINX and programs of all kinds
        '2019/03/05 12:31:21 [info] 31067#0: *1 words, client: 10.0.0.1, request: "GET /certsrv HTTP/1.1"\n',
        "2019-03-05 17:31:15 INFO web GET /certsrv answered in 12 ms by 3\n",
        "2019-03-05 17:31:15,123 10.0.0.1 words GET /certsrv a b c d e f g h\n",
    ],
)
def test_other_logs_are_not_taken(text: str) -> None:
    assert not any(s.pattern.search(text.rstrip("\n")) for s in PARSER.signatures)
    parsed = parse([(text * 20).encode()], "W3SVC1/u_ex190305.log")
    assert parsed.parser is None or parsed.parser.source != "iis"


#: Pieces that lead deep into the grammar, between anything.
PIECES = [
    *("2019-01-16 14:05:02 10.0.0.1 GET /certsrv ", "|25|80004005|", " 443 - 10.0.0.2 A - ", "401 1 5 0", "-", " "),
    *("#Fields: ", "#Date: ", "date ", "time ", "cs-uri-stem ", "sc-status ", "ReqID=", "9" * 5000, "\u0663", "|"),
    *("certsrv", "\0"),
]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)), max_size=6))
def test_reader_takes_any_line(lines: list[str]) -> None:
    reader = PARSER.reader()
    for line in lines:
        said = reader.read(line)
        assert said in {Line.QUIET, Line.UNKNOWN} if isinstance(said, Line) else said.kind == "iis.request"
        if isinstance(said, Event):
            for name, value in said.values.items():
                assert isinstance(value, int if VALUES[name][0] == "Int64" else str)


@pytest.mark.parametrize("piece", [":", "0:", "a ", "|1|80004005|", "GET / ", "10.0.0.1 ", "/ "])
def test_a_long_hostile_line_is_read_in_time(piece: str) -> None:
    line = "2019-03-05 17:31:15 10.0.0.1 GET /certsrv " + piece * 20_000
    parsed = parse([(line + "\n" + HEADER).encode()], "u_ex190305.log")
    assert parsed.lines == 5
