"""The error log of HTTP.sys."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from capflog.parsers.httperr import HttperrLog
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.events import VALUES, Event, StampForm
from capflog.parsing import Line, Parser, parse

from .reading import read, walk_samples

PARSER: Parser = HttperrLog()

SOFTWARE = "#Software: Microsoft HTTP API 2.0\n#Version: 1.0\n#Date: 2019-03-05 17:31:15\n"
ASKED = "#Fields: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri "

#: What stands behind the URI, by release: header, row.
ANSWERS = [
    ("sc-status s-siteid s-reason", "{status} {site} {reason}"),
    ("sc-status s-siteid s-reason s-queuename", "{status} {site} {reason} DefaultAppPool"),
    ("streamid sc-status s-siteid s-reason s-queuename", "- {status} {site} {reason} DefaultAppPool"),
    ("streamid sc-status s-siteid s-reason s-queuename transport", "5 {status} {site} {reason} DefaultAppPool TCP"),
    ("streamid streamid_ex sc-status s-siteid s-reason s-queuename transport", "5 - {status} {site} {reason} - TCP"),
]


def test_samples_show_every_kind() -> None:
    assert walk_samples(PARSER) == set(PARSER.kinds)
    assert PARSER.stamp is StampForm.UTC


@pytest.mark.parametrize("with_header", [True, False])
@pytest.mark.parametrize(("names", "cells"), ANSWERS)
@pytest.mark.parametrize(
    ("client", "server", "port", "status", "site", "reason"),
    [
        ("14.48.31.128", "14.48.31.152", 443, 503, "1", "AppOffline"),
        ("2001:db8::7%12", "fe80::1%4", 8443, 503, "4711", "Disabled"),
        ("10.0.0.9", "10.0.0.8", 80, 400, "2", "N/A"),
    ],
)
def test_request(
    with_header: bool, names: str, cells: str, client: str, server: str, port: int, status: int, site: str, reason: str
) -> None:
    header = SOFTWARE + ASKED + names + " \n" if with_header else ""
    line = f"2019-03-05 17:31:15 {client} 50123 {server} {port} HTTP/1.1 GET /CertSrv/certnew.cer?ReqID=10&ENC=b64 "
    done = read(PARSER, header + line + cells.format(status=status, site=site, reason=reason) + "\r\n")
    assert done.unknown == []
    (event,) = done.events
    assert event.stamp == int(datetime(2019, 3, 5, 17, 31, 15, tzinfo=UTC).timestamp() * 1000)
    assert event.values == {
        "client": client,
        "server": server,
        "port": port,
        "version": "HTTP/1.1",
        "method": "GET",
        "url": "/CertSrv/certnew.cer",
        "query": "ReqID=10&ENC=b64",
        "status": status,
        "site": site,
        "error": reason,
    }


@pytest.mark.parametrize(
    "cells", ["- - Timer_ConnectionIdle", "- - Timer_ConnectionIdle -", "- - - Timer_ConnectionIdle -"]
)
def test_connection_without_request(cells: str) -> None:
    done = read(PARSER, f"2019-03-05 17:33:15 14.48.31.128 50130 14.48.31.152 443 - - - {cells}")
    (event,) = done.events
    assert event.values == {
        "client": "14.48.31.128",
        "server": "14.48.31.152",
        "port": 443,
        "error": "Timer_ConnectionIdle",
    }


@pytest.mark.parametrize(
    ("uri", "taken"),
    [("/certsrv", True), ("/CERTSRV/?a", True), ("/certsrv2", False), ("/", False), ("/x?/certsrv", False)],
)
def test_web_enrollment_alone_is_of_interest(uri: str, taken: bool) -> None:
    done = read(PARSER, f"2019-03-05 17:33:15 10.0.0.1 50130 10.0.0.2 443 HTTP/1.1 GET {uri} 503 1 AppOffline Pool")
    assert (len(done.events), done.quiet, done.unknown) == (1, 0, []) if taken else (0, 1, [])


def test_header_with_few_columns() -> None:
    done = read(
        PARSER,
        "#Fields: date time cs-version cs-method cs-uri sc-status s-reason \n"
        "2012-11-14 20:36:36 HTTP/1.1 GET /certsrv 400 FieldLength",
    )
    (event,) = done.events
    assert (event.values["status"], event.values["error"]) == (400, "FieldLength")


@pytest.mark.parametrize(
    "line",
    [
        "2019-03-05 17:33:15 10.0.0.1 50130 10.0.0.2 443 HTTP/1.1 GET /certsrv 503",
        "2019-03-05 17:33:15 10.0.0.1 50130 10.0.0.2 443 HTTP/1.1 GET /certsrv 503 1 2",
        "2019-03-05 24:33:15 10.0.0.1 50130 10.0.0.2 443 HTTP/1.1 GET /certsrv 503 1 AppOffline Pool",
        "05 17:33:15 10.0.0.1 50130 10.0.0.2 443 HTTP/1.1 GET /certsrv 503 1 AppOffline Pool",
        "words",
    ],
)
@pytest.mark.parametrize("header", ["", SOFTWARE + ASKED + "sc-status s-siteid s-reason s-queuename\n"])
def test_what_is_no_row_is_counted(line: str, header: str) -> None:
    done = read(PARSER, header + line)
    assert (done.unknown, done.events) == ([line], [])


ROW = "2019-03-05 17:33:15 10.0.0.1 50130 10.0.0.2 443 HTTP/1.1 GET /certsrv 503 1 AppOffline Pool\n"


def test_cut_row_gives_no_part_of_a_reason() -> None:
    cut = ROW[: ROW.index("line")]
    for whole in (ROW, SOFTWARE + ASKED + "sc-status s-siteid s-reason s-queuename\n" + ROW):
        done = read(PARSER, whole + cut)
        assert (len(done.events), done.unknown) == (1, [cut])


@pytest.mark.parametrize(
    "text",
    [
        SOFTWARE,
        SOFTWARE + ASKED + "sc-status s-siteid s-reason s-queuename\n",
        ROW * 3000,
        ROW.replace("503", "- 503"),
        ROW.replace(" Pool", ""),
        ROW.replace("HTTP/1.1", "HTTP/?.?"),
        "2019-03-05 17:33:15 fe80::1%4 50130 ::1 443 - - - - - Timer_HeaderWait -\n",
    ],
)
@pytest.mark.parametrize("path", ["HTTPERR/httperr1.log", "unnamed", "W3SVC1/u_ex190305.log"])
def test_recognised_by_content(text: str, path: str) -> None:
    parsed = parse([text.encode()], path)
    assert parsed.parser is not None
    assert parsed.parser.source == "httperr"
    assert parsed.unparsed == 0


@pytest.mark.parametrize(
    "text",
    [
        "#Software: Microsoft Internet Information Services 10.0\n",
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip sc-status\n",
        "2019-03-05 17:31:15 14.48.31.152 GET /certsrv - 443 - 14.48.31.128 CiscoRA+1.0 - 401 1 2148074254 0\n",
        "2019-03-05 17:31:15 14.48.31.152 GET /certsrv - 443 - 14.48.31.128 CiscoRA+1.0 401 1 2148074254 0\n",
        '14.48.31.128 - - [05/Mar/2019:17:31:15 -0500] "GET /certsrv HTTP/1.1" 401 1293\n',
        "2019-03-05 17:31:15 ALLOW TCP 10.0.0.1 10.0.0.2 50123 443 0 - 0 0 0 - - - RECEIVE\n",
    ],
)
def test_other_logs_are_not_taken(text: str) -> None:
    assert not any(s.pattern.search(text.rstrip("\n")) for s in PARSER.signatures)
    parsed = parse([(text * 20).encode()], "httperr1.log")
    assert parsed.parser is None or parsed.parser.source != "httperr"


#: Pieces that lead deep into the grammar, between anything.
PIECES = [ROW.strip(), "#Fields: ", "cs-uri ", "date ", "sc-status ", " ", "?", "-", "9" * 5000, "\0"]


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)), max_size=6))
def test_reader_takes_any_line(lines: list[str]) -> None:
    reader = PARSER.reader()
    for line in lines:
        said = reader.read(line)
        assert said in {Line.QUIET, Line.UNKNOWN} if isinstance(said, Line) else said.kind == "httperr.request"
        if isinstance(said, Event):
            for name, value in said.values.items():
                assert isinstance(value, int if VALUES[name][0] == "Int64" else str)
