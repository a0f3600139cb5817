"""A device's way through all logs: how it is asked for, and which lines are shown in which order."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest

from capflog import timelines as timelines_module
from capflog.store import Store
from capflog.timelines import UnknownDeviceError, match_devices, names, parts, timelines
from tests.scenes import (
    EASTERN,
    NOT_ALLOWED,
    NOT_ANSWERED,
    analyzed,
    at,
    begins_session,
    ca_answers,
    capf_starts,
    ces_starts,
    comes_by,
    exchange,
    held,
    iis,
    seconds,
    tries,
    utc,
    whole,
)

if TYPE_CHECKING:
    from pathlib import Path

    from capflog.analysis import Analysis
    from capflog.model import Row, Timeline

PHONE, OTHER, QUIET, SOFT = "SEP74A02FC0A675", "SEP001F6C81118B", "ATA00270DC3F5E9", "CSFjsmith"
KNOWN = [PHONE, OTHER, QUIET, SOFT, "CSFmgarcia", "TCTJOHN", "e0007"]


# ---- which device is meant -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [PHONE, "sep74a02fc0a675", "Sep74a02Fc0a675"])
def test_a_name_in_any_case(wanted: str) -> None:
    assert match_devices(wanted, KNOWN) == [PHONE]


@pytest.mark.parametrize(
    "wanted",
    [
        "74A02FC0A675",
        "74a02fc0a675",
        "74:A0:2F:C0:A6:75",
        "74-a0-2f-c0-a6-75",
        "74A0.2FC0.A675",
        "74 a0 2f c0 a6 75",
        "74a0-2fc0-a675",
        "74.a0.2f.c0.a6.75",
        "74A0 2FC0 A675",
        "74:A0:2f:C0:a6:75",
        " 74a0.2fc0.a675 ",
        "SEP74:A0:2F:C0:A6:75",
        "sep-74-a0-2f-c0-a6-75",
        "SEP 74a0.2fc0.a675",
    ],
)
def test_a_mac_address_in_any_spelling(wanted: str) -> None:
    assert match_devices(wanted, KNOWN) == [PHONE]


def test_a_mac_address_with_what_stands_before_it_means_that_device_alone() -> None:
    known = [*KNOWN, "SEP00270DC3F5E9"]
    assert match_devices("ata 00:27:0d:c3:f5:e9", known) == [QUIET]
    assert match_devices("SEP0027.0dc3.f5e9", known) == ["SEP00270DC3F5E9"]
    assert match_devices("ab:cd:ef:01:23:45", ["SEPABCDEF012345"]) == ["SEPABCDEF012345"]


@pytest.mark.parametrize("wanted", ["74:A0:2F:C0:A6", "74:A0-2F:C0:A6:75", "XYZ 74a0.2fc0.a675", "74A02FC0A6750"])
def test_what_is_no_whole_mac_address_means_none(wanted: str) -> None:
    with pytest.raises(UnknownDeviceError, match=f"^{wanted}: no such device"):
        match_devices(wanted, KNOWN)


def test_a_mac_address_of_two_devices_means_both() -> None:
    assert match_devices("00:27:0d:c3:f5:e9", [*KNOWN, "SEP00270DC3F5E9"]) == [QUIET, "SEP00270DC3F5E9"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("CSF*", [SOFT, "CSFmgarcia"]),
        ("csf*", [SOFT, "CSFmgarcia"]),
        ("*", sorted(KNOWN)),
        ("*118b", [OTHER]),
        ("SEP7?A02FC0A675", [PHONE]),
        ("e00*", ["e0007"]),
    ],
)
def test_a_name_with_wildcards(wanted: str, found: list[str]) -> None:
    assert match_devices(wanted, KNOWN) == found


def test_of_names_that_differ_in_case_the_one_that_is_written_is_meant() -> None:
    known = ["CSFjsmith", "CSFJSMITH"]
    assert [match_devices(name, known) for name in known] == [[name] for name in known]
    assert match_devices("csfjsmith", known) == sorted(known)


def test_a_name_with_a_bracket_is_no_wildcard_by_accident() -> None:
    assert match_devices("CSF[1]", ["CSF[1]", "CSF1"]) == ["CSF[1]"]


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [("SEP74A02FC0A676", PHONE), ("csfjsmit", SOFT), ("TCTJON", "TCTJOHN"), ("CSF garcia", "CSFmgarcia")],
)
def test_the_nearest_names_are_offered(wanted: str, offered: str) -> None:
    with pytest.raises(UnknownDeviceError, match=f"{wanted}: no such device in these logs; did you mean: ") as caught:
        match_devices(wanted, KNOWN)
    assert str(caught.value).split(": ")[2].split(", ")[0] == offered


@pytest.mark.parametrize("wanted", ["zzz", "ZZ*", "00:00:00:00:00:00", "", "*[", "\x1b[31m"])
def test_where_nothing_is_near_some_are_shown(wanted: str) -> None:
    with pytest.raises(UnknownDeviceError, match=r"there are: .*, and 4 more|did you mean"):
        match_devices(wanted, KNOWN)


def test_where_there_is_no_device_that_is_said() -> None:
    with pytest.raises(UnknownDeviceError, match="no line of these logs names a device"):
        match_devices("*", [])


# ---- what is shown of it -------------------------------------------------------------------------------------------


@cache
def lab() -> Analysis:
    """One phone gets its certificate, one does not for a fault of CES's start, one comes by; CES serves one early."""
    trace, log, web = whole(PHONE, at("13:00:00"))
    ciscora, start = ces_starts(at("14:40:30"), pid=1923, fails=True)
    first = tries(OTHER, at("14:47:54.741"), NOT_ANSWERED, taken=10.038, session=3)
    return analyzed(
        held(
            "capf1.txt",
            trace,
            capf_starts(at("14:40:12")),
            comes_by(QUIET, at("14:45:00")),
            begins_session(OTHER, at("14:47:52"), session=3),
            first,
            tries(OTHER, at("14:48:35"), NOT_ANSWERED, taken=10.038, session=3),
        ),
        held("nginx2.txt", ciscora),
        held("error.log", exchange(at("11:00:00"), "early", connection=9), log, start),
        iis("u_ex.log", ca_answers(at("11:00:00.07"), "early"), web),
    )


def shown(device: str) -> Timeline:
    (timeline,) = timelines(lab(), [device])
    return timeline


def moment(row: Row) -> object:
    return row.time or row.earliest


def test_what_can_be_asked_of_is_every_device_and_every_enrollment_without_one() -> None:
    assert names(lab()) == [QUIET, OTHER, PHONE, "e0001"]
    assert [timeline.device for timeline in timelines(lab())] == names(lab())


def test_what_the_store_keeps_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small its blocks are."""
    monkeypatch.setattr(timelines_module, "_LINES_AT_ONCE", 7)
    monkeypatch.setattr(timelines_module, "_ROWS_AT_ONCE", 30)
    with Store.open(tmp_path, create=True) as store:
        run = store.keep(["{", "}"], "lab", parts(lab()))
        assert store.report(run) == "{}"
        assert store.devices(run) == names(lab())
        assert [store.timeline(run, name) for name in names(lab())] == list(timelines(lab()))
        assert [store.timeline(run, name) for name in names(lab())] == [shown(name) for name in names(lab())]
    with closing(sqlite3.connect(tmp_path / "capflog.db")) as db:
        numbers = [number for (number,) in db.execute("SELECT number FROM blocks")]
    assert min(numbers) < -1
    assert max(numbers) > 0


def test_a_timeline_holds_all_lines_of_its_enrollments() -> None:
    timeline = shown(PHONE)
    (enrollment,) = (e for e in lab().report.enrollments if e.device == PHONE)
    rows = {(row.member, row.line) for row in timeline.rows if row.enrollment == enrollment.id}
    assert rows == {(record.member, record.line) for record in enrollment.records}
    assert [e.id for e in timeline.enrollments] == [enrollment.id]
    assert timeline.enrollments[0].records == []
    assert enrollment.records
    assert timeline.zone is not None
    assert {timedelta(milliseconds=offset) for offset in timeline.zone.offsets} == {EASTERN}


@pytest.mark.parametrize("device", [PHONE, OTHER, QUIET, "e0001"])
def test_rows_are_in_the_order_of_time(device: str) -> None:
    rows = shown(device).rows
    times = [row.time or row.earliest or row.latest for row in rows]
    assert None not in times
    assert times == sorted(time for time in times if time is not None)
    assert len({(row.member, row.line) for row in rows}) == len(rows)


def test_what_a_device_says_besides_is_shown_too() -> None:
    """Its coming and CAPF's look at its settings belong to no enrollment."""
    beside = [row for row in shown(OTHER).rows if row.enrollment is None and row.source == "capf"]
    assert [row.event for row in beside] == ["capf.device", "capf.device", "capf.device", "capf.message.sent"]
    assert {(row.confidence, row.step, row.mark) for row in beside} == {(None, None, "")}
    first = shown(OTHER).enrollments[0].started
    assert all(row.time is not None and first is not None and row.time < first for row in beside)


def test_lines_of_the_failure_are_marked() -> None:
    marked = [row for row in shown(OTHER).rows if row.mark == "fault"]
    assert len(marked) == 2 * 4
    said = [row.text.partition(f"{OTHER}:")[2].split(" =")[0].split(" :")[0] for row in marked[:4]]
    assert said == [
        "Enrollment rv",
        "est_client_enroll_csr() Failed! Could not obtain new certificate. Aborting.",
        "Return value from enrollCertUsingEST()",
        "Online Cert Signing Failed",
    ]


def test_lines_of_the_cause_outside_of_the_enrollment_are_shown_and_marked() -> None:
    """CES failed to start seven minutes before the phone came: each line stands there once, for both attempts."""
    timeline = shown(OTHER)
    causes = [row for row in timeline.rows if row.mark == "cause"]
    assert {row.source for row in causes} == {"ciscora", "nginx"}
    assert any("return code 60" in row.text for row in causes)
    assert {row.enrollment for row in causes} == {None}
    assert all(moment(row) == utc(at("14:40:30")) for row in causes)
    assert timeline.rows.index(causes[0]) < timeline.rows.index(
        next(row for row in timeline.rows if row.step == "call")
    )
    assert set(timeline.findings) == {"ca-chain-untrusted", "ca-self-signed"}
    assert all(timeline.findings.values())


def test_an_issued_enrollment_has_no_marks() -> None:
    timeline = shown(PHONE)
    assert {row.mark for row in timeline.rows} == {""}
    assert timeline.findings == {}


def test_steps_are_told() -> None:
    steps = [row.step for row in shown(PHONE).rows if row.source == "iis"]
    assert list(dict.fromkeys(steps)) == ["login", "form", "second-login", "post", "certificate"]


def test_a_device_without_an_enrollment_has_a_timeline() -> None:
    timeline = shown(QUIET)
    assert timeline.enrollments == []
    assert [row.event for row in timeline.rows] == ["capf.device", "capf.device", "capf.message.sent"]
    assert {row.enrollment for row in timeline.rows} == {None}


def test_an_enrollment_without_a_device_is_asked_for_by_its_id() -> None:
    timeline = shown("e0001")
    assert [e.id for e in timeline.enrollments] == ["e0001"]
    assert {row.source for row in timeline.rows} == {"nginx", "iis"}
    assert {row.enrollment for row in timeline.rows} == {"e0001"}
    assert timeline.enrollments[0].started is not None
    assert abs(timeline.enrollments[0].started - utc(at("11:00:00"))) <= seconds(1)
    assert match_devices("E0001", names(lab())) == ["e0001"]


def test_a_timeline_says_what_the_bundle_lacks() -> None:
    (timeline,) = timelines(analyzed(held("capf1.txt", tries(PHONE, at("14:00:00"), NOT_ALLOWED))))
    assert len(timeline.lacking) == 3
    assert timeline.zone is None
    assert shown(PHONE).lacking == [gap.message for gap in lab().report.gaps]


def test_a_device_that_nobody_knows_has_an_empty_timeline() -> None:
    timeline = shown("SEPFFFFFFFFFFFF")
    assert (timeline.enrollments, timeline.rows, timeline.findings) == ([], [], {})


def test_a_fault_outside_of_any_enrollment_is_marked() -> None:
    """The trace begins after CAPF's call was answered: there is no enrollment, but the failure is told."""
    rest = [line for line in tries(PHONE, at("14:00:00"), NOT_ALLOWED) if "Signing Failed" in line.text]
    (timeline,) = timelines(analyzed(held("capf1.txt", rest, comes_by(QUIET, at("14:01:00") + seconds(1)))), [PHONE])
    assert [(row.mark, row.enrollment) for row in timeline.rows] == [("fault", None)]
