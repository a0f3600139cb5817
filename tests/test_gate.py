"""The gate: what fails it, what is passed over and why, what a baseline knows."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from capflog.gate import (
    BaselineError,
    Excuse,
    Kept,
    Known,
    Wanted,
    baseline_of,
    coverage,
    ended,
    gone,
    idle,
    judge,
    read_baseline,
)
from capflog.model import Member
from tests.reports import handmade as h

TODAY = date(2027, 1, 15)
OTHER = h.OTHER


def found(*rules: str, severity: str = "error", **more: Any) -> list[Any]:
    return [
        h.finding(rule, f"The {rule}", **({"severity": severity, "devices": [h.PHONE], "scope": "devices"} | more))
        for rule in rules
    ]


def held(findings: list[Any], **wanted: Any) -> dict[str, str]:
    gate = judge(h.empty(findings=findings), Wanted(**({"today": TODAY} | wanted)))
    return {one.finding.rule: one.held for one in gate.judged}


@pytest.mark.parametrize(
    ("fail_on", "fails"),
    [
        (("error",), {"e"}),
        (("warning",), {"e", "w"}),
        (("info",), {"e", "w", "i"}),
        (("i",), {"i"}),
        (("w", "i"), {"w", "i"}),
        (("error", "i"), {"e", "i"}),
        (("nothing-*",), set()),
        (("*",), {"e", "w", "i"}),
    ],
)
def test_what_fails_is_told_by_severities_and_rules(fail_on: tuple[str, ...], fails: set[str]) -> None:
    findings = found("e") + found("w", severity="warning") + found("i", severity="info")
    said = held(findings, fail_on=fail_on)
    assert {rule for rule, how in said.items() if how == "fails"} == fails
    assert {how for rule, how in said.items() if rule not in fails} <= {"below"}


def test_only_selected_rules_are_asked_and_ignored_ones_do_not_fail() -> None:
    findings = found("ca-a", "ca-b", "ces-c")
    assert held(findings, select=("ca-*",)) == {"ca-a": "fails", "ca-b": "fails", "ces-c": "not selected"}
    assert held(findings, ignore=("ca-*",)) == {"ca-a": "ignored", "ca-b": "ignored", "ces-c": "fails"}
    assert held(findings, select=("ca-*",), ignore=("ca-a",))["ca-a"] == "ignored"


@pytest.mark.parametrize(
    ("excuse", "how"),
    [
        (Excuse("ca-a", "why", TODAY), "ignored"),
        (Excuse("ca-*", "why", date(2027, 1, 14)), "fails"),
        (Excuse("ca-b", "why", TODAY), "fails"),
        (Excuse("ca-a", "why", TODAY, ("SEP*",)), "ignored"),
        (Excuse("ca-a", "why", TODAY, (h.PHONE.lower(),)), "ignored"),
        (Excuse("ca-a", "why", TODAY, ("CSF*",)), "fails"),
    ],
)
def test_an_excuse_holds_until_its_day_and_for_its_devices(excuse: Excuse, how: str) -> None:
    assert held(found("ca-a"), excuses=(excuse,)) == {"ca-a": how}


def test_an_excuse_for_devices_does_not_cover_others_nor_what_names_none() -> None:
    excuse = Excuse("*", "why", TODAY, (h.PHONE,))
    assert held(found("a", devices=[h.PHONE, OTHER]), excuses=(excuse,)) == {"a": "fails"}
    assert held(found("a", devices=[]), excuses=(excuse,)) == {"a": "fails"}


def test_the_reason_and_the_end_of_an_excuse_are_told() -> None:
    gate = judge(h.empty(findings=found("a")), Wanted(excuses=(Excuse("a", "change 7", TODAY),), today=TODAY))
    assert gate.passed
    assert gate.judged[0].why == "until 2027-01-15: change 7"


def test_an_excuse_that_serves_no_more_is_told() -> None:
    reports = [h.empty(findings=found("a", "b"))]
    excuses = [
        Excuse("a", "why", TODAY, source="x.toml"),
        Excuse("c", "why", TODAY, source="x.toml"),
        Excuse("b", "why", date(2026, 12, 31), source="x.toml"),
        Excuse("d", "why", date(2026, 12, 31)),
    ]
    assert idle(excuses, reports, TODAY) == ["x.toml: the ignore of c matches nothing any more: remove it"]
    assert ended(excuses, TODAY) == [
        "x.toml: the ignore of b ended on 2026-12-31",
        "the ignore of d ended on 2026-12-31",
    ]


def test_an_excuse_that_fits_its_rule_but_not_the_devices_is_not_to_be_removed() -> None:
    reports = [h.empty(findings=found("a", devices=[h.PHONE, OTHER, "CSF1"]))]
    excuse = Excuse("a", "why", TODAY, ("SEP*",))
    assert idle([excuse], reports, TODAY) == ["the ignore of a does not cover CSF1: it does not hold"]
    reports = [h.empty(findings=found("a", devices=[]))]
    (told,) = idle([excuse], reports, TODAY)
    assert "names devices, and the finding is of none" in told


def test_what_is_damaged_is_told_and_fails_where_all_is_required() -> None:
    report = h.empty()
    report.members = [
        Member("a.log", "nginx", "partial", "truncated: the archive ends inside this member"),
        Member("b.gz", "capf", "partial", "no trailer: the file was still being written"),
        Member("c.log", None, "unreadable", "encrypted"),
    ]
    told = ["a.log: truncated: the archive ends inside this member", "c.log: encrypted"]
    gate = judge(report, Wanted(remarks=("an ignore ended",)))
    assert (gate.passed, gate.remarks) == (True, [*told, "an ignore ended"])
    gate = judge(report, Wanted(require=("whole",)))
    assert (gate.passed, gate.lacking) == (False, [f"whole: {line}" for line in told])


def test_coverage_is_the_share_of_lines_of_logs() -> None:
    report = h.empty()
    report.members = [
        Member("a.log", "nginx", "parsed", lines=90, unparsed=10),
        Member("b.log", "capf", "parsed", lines=110, unparsed=0),
        Member("photo.png", None, "skipped", lines=1000, unparsed=0),
    ]
    assert coverage(report) == 95.0
    assert judge(report, Wanted(least=95.0)).passed
    gate = judge(report, Wanted(least=95.1))
    assert not gate.passed
    assert gate.lacking == [
        "coverage: 95.00 % of the lines are understood, 95.1 % are wanted: capflog inspect shows the others"
    ]
    report.members.append(Member("c.log", "nginx", "unreadable", "encrypted"))
    gate = judge(report, Wanted(least=50))
    assert gate.lacking == ["coverage: not all could be read, so it cannot be told: c.log: encrypted"]
    report.members = []
    assert coverage(report) is None


def test_nearly_all_is_not_told_as_all() -> None:
    report = h.empty()
    report.members = [Member("a.log", "nginx", "parsed", lines=1_000_000, unparsed=1)]
    (line,) = judge(report, Wanted(least=100)).lacking
    assert "99.99 %" in line


def test_a_baseline_knows_what_it_was_written_of() -> None:
    findings = found("a", devices=[h.PHONE]) + found("s", scope="service", devices=[h.PHONE])
    gate = judge(h.empty(findings=findings + found("w", severity="warning")), Wanted())
    known = read_baseline(baseline_of([gate], TODAY))
    assert set(known.rules) == {"a", "s"}
    assert held(findings, known=known) == {"a": "known", "s": "known"}
    # Of the service it is known whomever it hits, of devices for those alone.
    more = found("a", devices=[h.PHONE, OTHER]) + found("s", scope="service", devices=[OTHER])
    assert held(more, known=known) == {"a": "fails", "s": "known"}
    assert held(found("n"), known=known) == {"n": "fails"}
    assert gone(known, [judge(h.empty(findings=found("a")), Wanted())]) == ["s"]


def test_what_is_new_about_a_known_finding_is_told() -> None:
    known = Known({"a": Kept("warning", "devices", frozenset({h.PHONE}), resolved=False)})
    assert known.new_in(found("a")[0]) == "known as warning"
    assert known.new_in(found("a", severity="warning")[0]) is None
    (one,) = found("a", severity="warning", scope="service")
    assert known.new_in(one) == "known of devices, now it is of the service"
    (one,) = found("a", severity="warning", devices=[])
    assert known.new_in(one) == "known of devices, now no line names one"
    over = Known({"a": Kept("error", "service", frozenset(), resolved=True)})
    (one,) = found("a", scope="service")
    assert over.new_in(one) == "known as resolved, and it is back"
    (one,) = found("a", scope="service", resolved=True)
    assert over.new_in(one) is None
    (one,) = found("a", severity="warning", devices=[h.PHONE, OTHER, "X1", "X2", "X3"])
    assert known.new_in(one) == f"known, but not for {OTHER}, X1, X2 and 1 more"
    assert known.new_in(found("b")[0]) == ""


def test_a_baseline_of_several_bundles_and_of_what_was_known_before() -> None:
    first = judge(h.empty(findings=found("a", devices=[h.PHONE])), Wanted())
    second = judge(h.empty(findings=found("a", devices=[OTHER]) + found("b", severity="error")), Wanted())
    known = read_baseline(baseline_of([first, second], TODAY))
    assert known.rules["a"].devices == {h.PHONE, OTHER}
    again = judge(h.empty(findings=found("a")), Wanted(known=known))
    assert set(read_baseline(baseline_of([again], TODAY)).rules) == {"a"}
    assert read_baseline(baseline_of([], TODAY)).rules == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema": "capflog-report-1"}',
        '{"schema": "capflog-baseline-1"}',
        '{"schema": "capflog-baseline-1", "findings": [1]}',
        '{"schema": "capflog-baseline-1", "findings": [{"rule": "a"}]}',
        '{"schema": "capflog-baseline-1", "findings": [{"rule": "a", "severity": "bad", "devices": []}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_baseline_is_refused(text: str) -> None:
    with pytest.raises(BaselineError):
        read_baseline(text)
