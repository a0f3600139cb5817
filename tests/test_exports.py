"""The exports for log platforms, held against what these publish of their formats."""

from __future__ import annotations

import base64
import csv
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from google.protobuf import json_format
from opentelemetry.proto.logs.v1.logs_pb2 import LogsData

from capflog.analysis import analyze
from capflog.eventlines import EventLine, event_lines
from capflog.events import VALUES
from capflog.exports import EXPORTS, ecs, otlp_json, timesketch
from capflog.exports.ecs import _CATEGORIES
from capflog.reports.json import document
from capflog.rulebook import known_kinds
from tests.reports.handmade import HOSTILE, empty

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
AT = datetime(2019, 1, 16, 18, 16, 38, 480_000, tzinfo=UTC)
PHONE = "SEP74A02FC0A675"
TEXTS = ("ecs", "timesketch", "timesketch-csv", "otlp-json")


def event(**given: Any) -> EventLine:
    """An event of CAPF's trace, or what is given of another."""
    values: dict[str, Any] = {
        "time": AT, "earliest": AT, "latest": AT, "source": "capf", "event": "est.enroll.call", "level": None,
        "device": PHONE, "session": "2", "enrollment": "e1", "confidence": "certain", "step": "call", "fault": False,
        "member": "cucm/capf00000001.txt", "line": 7, "text": "13:16:38.480 |   debug 2: Calling", "values": {},
    }  # fmt: skip
    return EventLine(**(values | given))


def request(**values: Any) -> EventLine:
    """A request of IIS."""
    said = {"method": "GET", "status": 200, "url": "/certsrv/", "client": "14.48.31.125", "server": "14.48.31.152"}
    return event(source="iis", event="iis.request", device=None, values=said | values)


HOST = (
    event(text=HOSTILE, member=HOSTILE, device=HOSTILE, session=HOSTILE, level=HOSTILE, enrollment="e1",
          values={"url": HOSTILE, "detail": HOSTILE, "value": HOSTILE, "function": HOSTILE, "error": HOSTILE}),
    request(url="http://[" + HOSTILE, client=HOSTILE, server=HOSTILE, method=HOSTILE, user=HOSTILE, agent=HOSTILE,
            host=HOSTILE, query=HOSTILE, referer=HOSTILE, computer=HOSTILE, port=1 << 70, taken=1 << 62, utc=1 << 62),
    request(client="fe80::1%eth0", server="0.0.0.0:8084", host="ca.lab:443", port=70000, taken=-1, utc=-(1 << 60)),
    event(text="=cmd|' /C calc'!A0", values={"value": "@SUM(1)", "subject": "+1", "user": "-2"}),
    event(text="\udce9\ud83d \x7f \u2028", member="capf\udce9.txt", enrollment=None),
)  # fmt: skip


@pytest.fixture
def told() -> dict[str, Any]:
    """A document with two enrollments."""
    made = document(empty(bundle="case.zip"))
    one = {"id": "e1", "device": PHONE, "started": "2019-01-16T18:16:38.000Z", "outcome": "failed", "causes": ["ca-x"]}
    made["enrollments"] = [one, {**one, "id": "e2", "device": None, "outcome": "issued", "causes": []}]
    return made


@cache
def sampled(name: str) -> tuple[dict[str, Any], list[EventLine]]:
    """The document and the events of a sample."""
    analysis = analyze([str(ROOT / "samples" / f"{name}.zip")], None)
    return document(analysis.report), list(event_lines(analysis))


def written(name: str, told: dict[str, Any], lines: Any) -> str:
    """What a format makes of events."""
    return "".join(EXPORTS[name].pieces(told, lines))


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of lines of JSON."""
    assert text.isascii()
    assert "\x7f" not in text
    return [json.loads(line) for line in text.splitlines()]


# ---- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_logs_does_no_harm(name: str, told: dict[str, Any]) -> None:
    text = written(name, told, HOST)
    text.encode()  # no lone surrogate
    assert all(c.isprintable() or c in "\r\n" for c in text)
    if name == "timesketch-csv":
        assert len(pd.read_csv(StringIO(text))) == len(HOST)
        cells = [cell for row in csv.reader(StringIO(text)) for cell in row]
        assert not [cell for cell in cells if cell[:1] in {*"=+-@"} and not cell.lstrip("-").isdigit()]
    elif name != "otlp-json":
        assert len(objects(text)) == len(HOST)


def test_text_stays_as_it_was_logged(told: dict[str, Any]) -> None:
    line = event(text="\x1b[2J \u202e é 漢 😀 \udce9")
    wanted = "\x1b[2J \u202e é 漢 😀 \\udce9"
    assert objects(written("ecs", told, [line]))[0]["message"] == wanted
    assert objects(written("timesketch", told, [line]))[0]["message"] == wanted
    (found,) = records(written("otlp-json", told, [line]))
    assert found.body.string_value == wanted


@pytest.mark.parametrize("name", TEXTS)
def test_of_no_events_comes_a_valid_document(name: str, told: dict[str, Any]) -> None:
    text = written(name, told, [])
    if name == "timesketch-csv":
        assert pd.read_csv(StringIO(text)).columns[:3].tolist() == ["message", "datetime", "timestamp_desc"]
    elif name == "otlp-json":
        assert not logs(text)[0].resource_logs
    else:
        assert text == ""


@pytest.mark.parametrize("name", TEXTS)
def test_events_are_written_as_they_come(name: str, told: dict[str, Any]) -> None:
    """Millions of events are never held."""
    taken = 0

    def endless() -> Iterator[EventLine]:
        nonlocal taken
        while True:
            taken += 1
            yield event(line=taken)

    made = EXPORTS[name].pieces(told, endless())
    for _ in range(3):
        assert next(made)
    assert taken <= 3 * otlp_json.EVENTS + 1


def test_what_dates_an_event_is_told(told: dict[str, Any]) -> None:
    bare = event(time=None, earliest=None, latest=None)
    lines = [
        event(),
        replace(bare, earliest=AT + timedelta(seconds=1), latest=AT + timedelta(seconds=2)),
        replace(bare, latest=AT + timedelta(seconds=3)),
        bare,
    ]
    found = objects(written("ecs", told, lines))
    assert [(one["@timestamp"][17:], one["capflog"]["time"]) for one in found] == [
        ("38.480Z", "logged"), ("39.480Z", "earliest"), ("41.480Z", "latest"),
    ]  # fmt: skip
    assert [one["timestamp_desc"] for one in objects(written("timesketch", told, lines))] == [
        "Event Logged", "Earliest Possible Time", "Latest Possible Time",
    ]  # fmt: skip
    stamps = [one.time_unix_nano for one in records(written("otlp-json", told, lines))]
    assert stamps == [1547662598480000000, 1547662599480000000, 1547662601480000000, 0]


# ---- Elastic -------------------------------------------------------------------------------------------------------


@cache
def fields() -> dict[str, tuple[str, bool, str]]:
    """The published fields: name -> type, whether it takes several values, allowed values."""
    text = (ROOT / "tests" / "data" / "ecs_fields.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")][1:]
    return {name: (kind, several == "list", allowed) for name, kind, several, allowed in rows}


def flat(value: dict[str, Any], room: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a document by their dotted names."""
    for name, part in value.items():
        if isinstance(part, dict):
            yield from flat(part, f"{room}{name}.")
        else:
            yield room + name, part


def categories() -> dict[str, list[str]]:
    """The published categories with the types that are allowed there."""
    pairs = (word.split(":") for word in fields()["event.category"][2].split())
    return {category: types.split("/") for category, types in pairs}


def check_ecs(one: dict[str, Any]) -> None:
    """Hold a document against the schema."""
    for name, value in flat(one):
        if name.startswith("capflog."):
            continue
        assert name in fields(), name
        kind, several, allowed = fields()[name]
        assert isinstance(value, list) == several, name
        for part in value if several else [value]:
            if kind == "long":
                assert type(part) is int, name
                assert -(1 << 63) <= part < 1 << 63, name
                continue
            assert isinstance(part, str), name
            if kind == "ip":
                assert "%" not in part
                ip_address(part)
            elif kind == "date":
                assert datetime.fromisoformat(part).tzinfo is not None
            elif allowed and name != "event.category":
                assert part in allowed.split(), name
    for category in one["event"].get("category", ()):
        assert set(one["event"]["type"]) <= set(categories()[category])
    assert one["ecs"]["version"] == ecs.VERSION
    assert one["@timestamp"]


@pytest.mark.parametrize("name", ["ca-hostname-mismatch", "healthy"])
def test_documents_of_samples_are_elastic_common_schema(name: str) -> None:
    told, lines = sampled(name)
    found = objects(written("ecs", told, lines))
    assert len(found) > 100
    for one in found:
        check_ecs(one)
    assert len({one["event"]["id"] for one in found}) == len(found)


def test_documents_of_hostile_events_are_elastic_common_schema(told: dict[str, Any]) -> None:
    for one in objects(written("ecs", told, HOST)):
        check_ecs(one)


def test_every_kind_of_event_fits_the_schema(told: dict[str, Any]) -> None:
    every: dict[str, Any] = {name: 7 if kind == "Int64" else "ca.lab" for name, (kind, _) in VALUES.items()}
    lines = [
        event(event=kind, source=source, fault=fault, values=every | {"status": status})
        for kind in sorted(known_kinds())
        for source in ("capf", "nginx", "iis")
        for fault in (True, False)
        for status in (200, 404)
    ]
    for one in objects(written("ecs", told, lines)):
        check_ecs(one)
    assert set(_CATEGORIES) <= known_kinds()


def test_a_request_has_the_names_that_elastic_looks_for(told: dict[str, Any]) -> None:
    line = request(user="LAB\\ciscora", agent="curl", taken=31, port=443, query="ReqID=7", reqid=7, computer="LAB-DC",
                   host="ca.lab:443", referer="https://ca.lab/", status=401)  # fmt: skip
    (one,) = objects(written("ecs", told, [line]))
    found = dict(flat(one))
    wanted = {
        "http.request.method": "GET", "http.response.status_code": 401, "url.path": "/certsrv/",
        "url.query": "ReqID=7", "url.domain": "ca.lab", "user.name": "ciscora", "user.domain": "LAB",
        "user_agent.original": "curl", "source.ip": "14.48.31.125", "client.ip": "14.48.31.125",
        "server.port": 443, "host.name": "LAB-DC", "event.duration": 31_000_000, "event.outcome": "failure",
        "event.category": ["web"], "event.type": ["access", "error"], "event.dataset": "capflog.iis",
        "related.user": ["ciscora"], "related.ip": ["14.48.31.125", "14.48.31.152"], "related.hosts": ["ca.lab"],
        "http.request.referrer": "https://ca.lab/", "capflog.reqid": 7, "capflog.enrollment.outcome": "failed",
        "capflog.enrollment.causes": ["ca-x"], "log.file.path": "cucm/capf00000001.txt", "capflog.line": 7,
    }  # fmt: skip
    assert {name: found.get(name) for name in wanted} == wanted


def test_a_failed_call_has_its_error(told: dict[str, Any]) -> None:
    said = {"code": 60, "detail": "certificate has expired", "url": "https://ca.lab:443/certsrv", "pid": 31067}
    line = event(source="nginx", event="curl.failed", level="warn", fault=True, values=said)
    found = dict(flat(objects(written("ecs", told, [line]))[0]))
    assert found["error.code"] == "60"
    assert found["error.message"] == "certificate has expired"
    assert (found["url.domain"], found["url.port"], found["url.path"]) == ("ca.lab", 443, "/certsrv")
    assert (found["log.level"], found["process.pid"], found["service.name"]) == ("warn", 31067, "ces")


def test_a_file_of_capf_is_no_url(told: dict[str, Any]) -> None:
    (one,) = objects(written("ecs", told, [event(values={"url": "/tmp/capf/csr/x.csr"})]))
    assert one["file"]["path"] == "/tmp/capf/csr/x.csr"
    assert "url" not in one


def test_success_is_no_error(told: dict[str, Any]) -> None:
    said = {"code": 0, "error": "EST_ERR_NONE"}
    (one,) = objects(written("ecs", told, [event(event="est.enroll.result", values=said)]))
    assert one["event"]["outcome"] == "success"
    assert "error" not in one


# ---- Timesketch ----------------------------------------------------------------------------------------------------


def test_lines_are_what_timesketch_imports(told: dict[str, Any]) -> None:
    (one,) = objects(written("timesketch", told, [event(fault=True, values={"message": "AUTH_RES", "code": 4})]))
    assert one == {
        "message": "13:16:38.480 |   debug 2: Calling", "datetime": "2019-01-16T18:16:38.480000+00:00",
        "timestamp_desc": "Event Logged", "timestamp": 1547662598480000, "data_type": "capflog:capf:est.enroll.call",
        "tag": ["capflog_fault"], "source": "capf", "event": "est.enroll.call", "device": PHONE, "session": "2",
        "enrollment": "e1", "outcome": "failed", "causes": ["ca-x"], "confidence": "certain", "step": "call",
        "fault": True, "member": "cucm/capf00000001.txt", "line": 7, "earliest": "2019-01-16T18:16:38.480000+00:00",
        "latest": "2019-01-16T18:16:38.480000+00:00", "capf_message": "AUTH_RES", "code": 4,
    }  # fmt: skip
    assert set(one) <= set(timesketch.FIELDS)


def test_a_sample_comes_back_from_csv_as_from_json() -> None:
    told, lines = sampled("ca-hostname-mismatch")
    table = pd.read_csv(StringIO(written("timesketch-csv", told, lines)), keep_default_na=False)
    found = objects(written("timesketch", told, lines))
    assert table.columns.tolist() == list(timesketch.FIELDS)
    assert len(table) == len(found) == sum(line.time is not None for line in lines)
    for name in ("datetime", "timestamp", "source", "event", "line", "member"):
        assert table[name].tolist() == [one[name] for one in found]
    assert table["device"].tolist() == [one.get("device", "") for one in found]
    moments = pd.to_datetime(table["datetime"], utc=True)
    assert moments.is_monotonic_increasing
    # Timesketch makes the timestamp anew of the time.
    assert (moments.dt.as_unit("us").astype("int64") == table["timestamp"]).all()
    tags = [json.loads(tag) for tag in table["tag"]]
    assert tags == [one.get("tag", []) for one in found]
    assert [timesketch.FAULT] in tags


# ---- OpenTelemetry -------------------------------------------------------------------------------------------------


def logs(text: str) -> list[LogsData]:
    """Read lines of OTLP/JSON back by the published protocol.

    OTLP writes ids in hex where protobuf's own JSON has base64, so they are put into that before.
    """
    found = []
    for value in objects(text):
        for resource in value["resourceLogs"]:
            for scope in resource["scopeLogs"]:
                for record in scope["logRecords"]:
                    if trace := record.get("traceId"):
                        assert len(trace) == 32
                        assert trace == trace.lower()
                        record["traceId"] = base64.b64encode(bytes.fromhex(trace)).decode()
        found.append(json_format.Parse(json.dumps(value), LogsData()))
    return found


def records(text: str) -> list[Any]:
    """The records of all lines."""
    return [
        record
        for one in logs(text)
        for resource in one.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def attributes(record: Any) -> dict[str, Any]:
    """The attributes of a record."""
    found = {one.key: json_format.MessageToDict(one.value) for one in record.attributes}
    assert len(found) == len(record.attributes)
    return {name: next(iter(value.values())) for name, value in found.items()}


@cache
def conventions() -> frozenset[str]:
    """The names that the semantic conventions have."""
    text = (ROOT / "tests" / "data" / "otel_attributes.tsv").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def test_a_sample_is_read_by_the_protocol() -> None:
    told, lines = sampled("ca-hostname-mismatch")
    text = written("otlp-json", told, lines)
    found = records(text)
    assert len(found) == len(lines)
    assert {record.event_name for record in found} == {line.event for line in lines}
    names = {name for record in found for name in attributes(record)}
    assert {name for name in names if not name.startswith("capflog.")} <= conventions() | {
        "http.request.header.referer"
    }
    # The collector's file receiver cuts longer lines.
    assert max(map(len, text.splitlines())) < 1 << 20
    services = {
        one.value.string_value
        for line in logs(text)
        for resource in line.resource_logs
        for one in resource.resource.attributes
        if one.key == "service.name"
    }
    assert services == {"capf", "ces", "iis"}


def test_hostile_events_are_read_by_the_protocol(told: dict[str, Any]) -> None:
    found = records(written("otlp-json", told, HOST))
    assert len(found) == len(HOST)
    (strange,) = [one for one in map(attributes, found) if one.get("http.request.method") == "_OTHER"]
    assert strange["http.request.method_original"].startswith("[/x][bold]")


def test_long_events_make_short_batches(told: dict[str, Any]) -> None:
    text = written("otlp-json", told, [event(text="x" * 300_000) for _ in range(9)])
    assert len(records(text)) == 9
    assert max(map(len, text.splitlines())) < 1 << 20


def test_a_record_says_what_its_line_says(told: dict[str, Any]) -> None:
    lines = [
        event(source="nginx", event="curl.failed", level="warn", values={"code": 60, "function": "login"}),
        event(source="nginx", level="emerg", enrollment="e2"),
        request(),
    ]
    now = datetime(2026, 11, 28, tzinfo=UTC)
    first, second, third = records("".join(otlp_json.pieces(told, lines, now)))
    assert (first.severity_number, first.severity_text, second.severity_number) == (13, "warn", 21)
    assert (third.severity_number, third.severity_text) == (0, "")
    assert first.observed_time_unix_nano == 1795824000 * 10**9
    assert first.trace_id == third.trace_id != second.trace_id
    assert len(first.trace_id) == 16
    found = attributes(first)
    assert found["capflog.code"] == "60"
    assert found["code.function.name"] == "login"
    assert found["capflog.enrollment.causes"] == {"values": [{"stringValue": "ca-x"}]}
    assert found["log.file.name"] == "capf00000001.txt"
    assert attributes(third)["http.response.status_code"] == "200"


def test_an_enrollment_has_one_trace_in_all_exports(told: dict[str, Any]) -> None:
    (elastic,) = objects(written("ecs", told, [event()]))
    (record,) = records(written("otlp-json", told, [event()]))
    assert elastic["trace"]["id"] == record.trace_id.hex()
    # Of the same phone at the same time in another bundle, where it has another number.
    other = {**told, "bundle": {"name": "other.zip"}, "enrollments": [{**told["enrollments"][0], "id": "e9"}]}
    (again,) = objects(written("ecs", other, [event(enrollment="e9")]))
    assert again["trace"]["id"] == elastic["trace"]["id"]
    assert again["event"]["id"] != elastic["event"]["id"]
    # Two of one phone at one time are two.
    twice = {**told, "enrollments": [told["enrollments"][0], {**told["enrollments"][0], "id": "e2"}]}
    pair = objects(written("ecs", twice, [event(), event(enrollment="e2")]))
    assert pair[0]["trace"]["id"] != pair[1]["trace"]["id"]


def test_csv_has_a_column_for_every_value() -> None:
    assert {*VALUES} - {"message"} <= set(timesketch.FIELDS)
    assert len(timesketch.FIELDS) == len(set(timesketch.FIELDS))
