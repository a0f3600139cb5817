"""What differs between two reports: what came and went, and what only seems gone because nobody could see it."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from capflog.comparing import Change, Difference, compare
from capflog.model import CapfStart, Clock, NotChecked, ServiceStart
from capflog.reports.json import document
from capflog.sides import SideError, checked
from capflog.zones import named
from tests.reports import handmade as h

if TYPE_CHECKING:
    from capflog.model import Report

DAY = timedelta(days=1)


def doc(report: Report, **given: Any) -> dict[str, Any]:
    for name, value in given.items():
        setattr(report, name, value)
    return checked(document(report))


def later(report: Report) -> dict[str, Any]:
    """The same report of the next day."""
    for member in report.members:
        member.first, member.last = (time and time + DAY for time in (member.first, member.last))
    for enrollment in report.enrollments:
        enrollment.started, enrollment.ended = (time and time + DAY for time in (enrollment.started, enrollment.ended))
    return checked(document(report))


def turns(found: Difference) -> dict[str, str]:
    return {cause.rule: cause.turn for cause in found.causes}


def fates(found: Difference) -> dict[str, str]:
    return {one.device: one.fate for one in found.devices}


# ---- causes ---------------------------------------------------------------------------------------------------------


def test_causes_come_stay_and_go() -> None:
    before = h.failing()
    after = h.failing()
    after.findings = [h.chain(devices=[h.PHONE, h.THIRD], resolved=True), h.finding("ces-overloaded", "CES is slow")]
    found = compare(doc(before), later(after))
    assert turns(found) == {
        "ces-overloaded": "come",
        "ca-chain-untrusted": "stayed",
        "ca-self-signed": "gone",
        "clock-behind": "gone",
    }
    (stayed,) = (cause for cause in found.causes if cause.turn == "stayed")
    assert stayed.changed
    assert stayed.before is not None
    assert stayed.after is not None
    assert (stayed.before.devices, stayed.after.devices) == ((h.PHONE, h.OTHER), (h.PHONE, h.THIRD))
    assert (stayed.before.resolved, stayed.after.resolved) == (False, True)
    assert found.worse
    assert not found.same


def test_a_rule_that_could_not_be_asked_is_not_gone() -> None:
    after = h.failing()
    after.findings = []
    after.not_checked = [NotChecked("ca-chain-untrusted", ["ciscora", "nginx"]), NotChecked("ca-self-signed", [])]
    found = compare(doc(h.failing()), later(after))
    assert turns(found) == {
        "ca-chain-untrusted": "not checked any more",
        "ca-self-signed": "not checked any more",
        "clock-behind": "gone",
    }
    assert [cause.why for cause in found.causes] == [
        "without logs of ciscora and nginx", "the rule could not be asked", "",
    ]  # fmt: skip


def test_without_the_logs_that_proved_it_a_cause_is_not_gone() -> None:
    after = h.failing()
    after.findings = []
    after.members = [member for member in after.members if member.source in ("capf", "iis")]
    found = compare(doc(h.failing()), later(after))
    assert turns(found)["ca-chain-untrusted"] == "not checked any more"
    assert found.causes[0].why == "without logs of ciscora"
    assert (found.before.lacks, found.after.lacks) == ([], ["ciscora", "nginx"])
    # NGINX's error.log has what CiscoRA's log has.
    after.members = [member for member in h.failing().members if member.source != "ciscora"]
    assert turns(compare(doc(h.failing()), later(after)))["ca-chain-untrusted"] == "gone"


def test_the_logs_of_a_proof_are_told_by_the_members_where_the_proof_does_not() -> None:
    before = doc(h.failing())
    for finding in before["findings"]:
        for proof in finding["evidence"]:
            del proof["source"]
    after = h.failing()
    after.findings = []
    after.members = [member for member in after.members if member.source == "capf"]
    assert turns(compare(before, later(after)))["ca-chain-untrusted"] == "not checked any more"


def test_where_nobody_tried_nothing_is_gone() -> None:
    after = h.failing()
    after.findings, after.enrollments, after.starts = [], [], []
    assert set(turns(compare(doc(h.failing()), later(after))).values()) == {"not checked any more"}
    # CES started, but what phones met is not gone for it.
    after.starts = h.failing().starts
    assert turns(compare(doc(h.failing()), later(after))) == {
        "ca-chain-untrusted": "not checked any more",
        "ca-self-signed": "not checked any more",
        "clock-behind": "gone",
    }
    after = h.failing()
    after.findings = []
    after.where = "enrollment with outcome = issued"
    found = compare(doc(h.failing()), later(after))
    assert set(turns(found).values()) == {"not checked any more"}
    assert any("AFTER holds chosen enrollments alone" in note for note in found.notes)


def test_a_phone_s_cause_is_not_gone_where_the_phone_did_not_try_again() -> None:
    before = h.failing()
    before.findings = [h.finding("phone-too-late", "The phone was late", scope="device", devices=[h.PHONE])]
    after = h.failing()
    after.findings = []
    assert turns(compare(doc(before), later(after))) == {"phone-too-late": "gone"}
    after = h.failing()
    after.findings = []
    after.enrollments = [one for one in after.enrollments if one.device != h.PHONE]
    found = compare(doc(before), later(after))
    assert [(cause.turn, cause.why) for cause in found.causes] == [
        ("not checked any more", "none of its devices tried")
    ]


def test_what_the_earlier_side_could_not_see_may_have_been_there() -> None:
    before = h.failing()
    before.findings = []
    before.not_checked = [NotChecked("ca-chain-untrusted", ["ciscora"])]
    found = compare(doc(before), later(h.failing()))
    assert turns(found)["ca-chain-untrusted"] == "not checked before"
    assert turns(found)["ca-self-signed"] == "come"
    assert found.worse


def test_a_warning_that_became_an_error_is_worse_and_a_note_is_not() -> None:
    def of(severity: str) -> dict[str, Any]:
        report = h.healthy()
        report.findings = [h.finding("clock-offset", "Clocks differ", severity=severity, devices=[], evidence=[])]
        return doc(report)

    assert compare(of("warning"), of("error")).worse
    for old, new in (("error", "error"), ("error", "info"), ("info", "warning")):
        assert not compare(of(old), of(new)).worse


# ---- devices --------------------------------------------------------------------------------------------------------


def test_devices_fare_by_their_latest_attempts() -> None:
    def of(**outcomes: str) -> dict[str, Any]:
        made = [h.enrollment(n, name, "12:00:00", outcome) for n, (name, outcome) in enumerate(outcomes.items(), 1)]
        return doc(h.healthy(), enrollments=made)

    found = compare(
        of(A="failed", B="issued", C="failed", D="issued", E="failed", F="issued", G="incomplete"),
        of(A="issued", B="failed", C="failed", D="issued", E="incomplete", H="failed", G="incomplete"),
    )
    assert fates(found) == {
        "B": "broken", "C": "failing", "A": "healed", "E": "unclear", "G": "unclear", "H": "new", "F": "missing",
        "D": "well",
    }  # fmt: skip
    assert found.worse
    assert not compare(of(A="failed", B="issued"), of(A="issued", B="incomplete", C="failed")).worse


def test_an_enrollment_that_names_no_device_is_none() -> None:
    report = h.healthy()
    report.enrollments.append(h.enrollment(2, None, "12:00:00", "failed"))
    assert fates(compare(doc(h.healthy()), doc(report))) == {h.OTHER: "well"}


# ---- clocks and settings --------------------------------------------------------------------------------------------


def clocked(**given: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "source": "iis", "members": [h.IIS], "utc_offset_seconds": 0, "offset_seconds": -2.4,
        "uncertainty_seconds": 0.8, "quality": "good", "assumed": False, "basis": "",
    }  # fmt: skip
    return doc(h.healthy(), clocks=[Clock(**(values | given))])


def test_an_offset_within_the_bounds_of_both_has_not_changed() -> None:
    assert compare(clocked(), clocked(offset_seconds=-1.0)).changes == []
    assert compare(clocked(), clocked(offset_seconds=-0.7)).changes == [Change("clocks", "iis", "offset", -2.4, -0.7)]
    assert compare(clocked(), clocked(offset_seconds=None)).changes == []


def test_a_zone_has_changed_where_it_is_another_not_in_summer() -> None:
    winter = clocked(source="capf", utc_offset_seconds=-18000, zone=named("America/New_York"), whose="pub")
    summer = clocked(source="capf", utc_offset_seconds=-14400, zone=named("America/New_York"), whose="pub")
    fixed = clocked(source="capf", utc_offset_seconds=-18000, zone=h.ZONE, whose="pub")
    bogota = clocked(source="capf", utc_offset_seconds=-18000, zone=named("America/Bogota"), whose="pub")
    berlin = clocked(source="capf", utc_offset_seconds=3600, zone=None, whose="pub")
    for one, other in ((winter, summer), (winter, fixed), (fixed, winter), (fixed, fixed)):
        assert compare(one, other).changes == []
    assert compare(winter, bogota).changes == [
        Change("clocks", "capf pub", "zone", "America/New_York", "America/Bogota")
    ]
    assert compare(fixed, berlin).changes == [Change("clocks", "capf pub", "zone", h.ZONE.name, 3600)]


def test_how_sure_a_clock_is_is_told() -> None:
    changes = compare(clocked(), clocked(quality="weak", assumed=True)).changes
    assert [(c.what, c.before, c.after) for c in changes] == [("quality", "good", "weak"), ("assumed", False, True)]


def test_parameters_are_those_of_capf_s_last_start_on_each_node() -> None:
    def of(*starts: tuple[str, dict[str, str | None]]) -> dict[str, Any]:
        made = [CapfStart(None, None, True, parameters, "end", None, [], node=node) for node, parameters in starts]
        return doc(h.healthy(), capf_starts=made)

    before = of(("", {"ca_hostname": "old"}), ("", {"ca_hostname": "lab-dc", "ca_port": "443", "password": None}))
    after = of(("", {"ca_hostname": "lab-dc.michamen.com", "ca_port": "443", "password": None, "more": "1"}))
    assert compare(before, after).changes == [Change("capf", "", "ca_hostname", "lab-dc", "lab-dc.michamen.com")]
    assert compare(before, doc(h.healthy())).changes == []
    two = of(("pub", {"ca_port": "443"}), ("sub", {"ca_port": "443"}))
    assert compare(two, of(("pub", {"ca_port": "443"}), ("sub", {"ca_port": "8443"}))).changes == [
        Change("capf", "sub", "ca_port", "443", "8443")
    ]


def test_ces_is_told_by_its_last_start() -> None:
    def of(ok: bool, **given: Any) -> dict[str, Any]:
        return doc(h.healthy(), starts=[ServiceStart(h.at("12:00:00"), None, None, ok, 1, [], **given)])

    changes = compare(
        of(True, ca="lab-dc:443", libest="2.2.0"),
        of(False, ca="lab:443", missing="login"),
    ).changes
    assert [(c.what, c.before, c.after) for c in changes] == [
        ("ok", True, False), ("missing", None, "login"), ("ca", "lab-dc:443", "lab:443"),
    ]  # fmt: skip


# ---- notes and sides ------------------------------------------------------------------------------------------------


def test_time_that_runs_backwards_or_overlaps_is_noted() -> None:
    early, late = doc(h.healthy()), later(h.healthy())
    assert compare(early, late).notes == []
    assert compare(late, early).notes == ["AFTER lies before BEFORE in time: are the two the wrong way round?"]
    assert [note.partition(":")[0] for note in compare(early, doc(h.healthy())).notes] == ["The two overlap in time"]


def test_what_to_bear_in_mind_is_noted() -> None:
    after = h.failing()
    after.members = [member for member in after.members if member.source != "capf"]
    after.clocks[0].assumed = True
    made = later(after)
    made["tool"] = {"name": "capflog", "version": "9.9"}
    notes = " ".join(compare(doc(h.failing()), made).notes)
    for words in (
        "AFTER has no trace of CAPF, which alone names the phones.",
        "ASSUMED in AFTER",
        "AFTER was not read in full: 1 of its members is damaged",
        "AFTER by 9.9",
    ):
        assert words in notes


def test_a_report_does_not_differ_from_itself() -> None:
    for report in (h.failing(), h.healthy(), h.empty(), h.poisoned(h.failing())):
        made = checked(document(report))
        other = deepcopy(made)
        other["bundle"]["name"] = "another"
        found = compare(made, other)
        assert found.same
        assert found.equal
        assert not found.worse
    assert not compare(doc(h.failing()), later(h.failing())).equal
    assert compare(doc(h.failing()), later(h.failing())).same


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(schema="capflog-devices-1"),
        lambda d: d.pop("findings"),
        lambda d: d.update(findings={"a": 1}),
        lambda d: d.update(enrollments=[1]),
        lambda d: d["enrollments"][0].update(outcome="great"),
        lambda d: d["enrollments"][0].update(started="yesterday"),
        lambda d: d["enrollments"][0].update(started="2019-01-01T00:00:00"),
        lambda d: d["findings"][0].update(severity="fatal"),
        lambda d: d["findings"][0].update(devices=None),
        lambda d: d["findings"][0].update(evidence=[{}]),
        lambda d: d["bundle"].update(members=None),
        lambda d: d["summary"].pop("verdict"),
        lambda d: d["clocks"][0].update(offset_seconds="much"),
        lambda d: d.update(capf_starts=[{"parameters": 7}]),
        lambda d: d.update(not_checked=["x"]),
        lambda d: d.update(starts=7),
        lambda d: d["starts"][0].update(ok="yes"),
        lambda d: d["summary"].update(verdict="great"),
        lambda d: d["clocks"][0].update(offset_seconds=float("inf")),
        lambda d: d["findings"][0].update(occurrences=float("inf")),
    ],
)
def test_what_is_no_report_is_refused_in_words(spoil: Any) -> None:
    made = document(h.failing())
    spoil(made)
    with pytest.raises(SideError):
        checked(made)


def test_what_stands_beside_the_contract_may_be_missing() -> None:
    made = document(h.failing())
    for name in ("not_checked", "starts", "capf_starts", "unattributed", "aligned"):
        del made[name]
    for clock in made["clocks"]:
        del clock["zone"], clock["whose"]
    assert compare(checked(made), made).same
