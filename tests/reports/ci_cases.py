"""Results of every kind, for the formats that CI systems read."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from capflog.analysis import analyze
from capflog.gate import Excuse, Kept, Known, Wanted, judge
from capflog.model import Evidence, Finding, Member, NotChecked, Report
from capflog.outputs import FORMATS, Look
from capflog.results import Result
from tests.conftest import ROOT, SAMPLES
from tests.reports import handmade as h

if TYPE_CHECKING:
    from collections.abc import Callable

#: What the formats give a meaning to, beside what terminals do.
EVIL = (
    "]]><x a='b\"'>&amp;&#x1b; %0A::error::forged%0D ::warning file=x::forged ##[error]forged\n::error::forged\r\n"
    "##[command]forged [[ATTACHMENT|/etc/passwd]] [click](https://evil.example) ![x](y) {0} {{1}} <b>*_`#| $(id) "
    "\ufffe\uffff\x0b\x00\ud800\udce9\u202e,file=y,title=z"
)


def evil() -> Report:
    """A report in which every text that a log, a bundle or a rule fills is hostile."""
    finding = h.finding(
        EVIL, EVIL, devices=[EVIL, EVIL + "2"], explanation=EVIL, remedy=[EVIL], verify=[EVIL], alternatives=[EVIL],
        evidence=[Evidence(EVIL, 3, EVIL, h.at("12:31:03"), "nginx"), Evidence("=" + EVIL, 0, EVIL, None, EVIL)],
        references=[{"title": EVIL, "url": EVIL}, {"title": EVIL, "url": f"https://evil.example/{EVIL}"}],
    )  # fmt: skip
    return h.empty(
        bundle=EVIL,
        findings=[finding, finding, h.chain(evidence=[], evidence_total=0)],
        members=[Member(EVIL, None, "unreadable", EVIL)],
        notices=[EVIL],
        gaps=h.poisoned(h.failing().gaps),
        verdict="failing",
        not_checked=[NotChecked(EVIL, [EVIL]), NotChecked("ca-dns-failure", [EVIL])],
    )


def judged(report: Report, *untrusted: str, **wanted: Any) -> Result:
    """The report as a gate judges it."""
    return Result(report, judge(report, Wanted(**({"today": date(2027, 1, 15)} | wanted)), untrusted), zone=h.ZONE)


def found(rule: str, severity: str = "error", **given: Any) -> Finding:
    """A finding whose title is made of its rule."""
    return h.finding(rule, f"The {rule}", **({"severity": severity} | given))


def mixed() -> Result:
    """A gate that makes something else of each finding, and fails by itself, too."""
    report = h.empty(
        bundle="mixed.zip",
        verdict="failing",
        members=[Member("a.log", "capf", "parsed", lines=1000, unparsed=100)],
        findings=[
            found("low-one", "info", devices=[], evidence=[], evidence_total=0),
            found("known-one"),
            found("grown-one", devices=[h.PHONE, h.OTHER], scope="devices"),
            found("excused-one"),
            found("quiet-one"),
            found("new-one"),
            found("other"),
        ],
        not_checked=[NotChecked("ca-dns-failure", ["iis", "httperr"]), NotChecked("ces-no-answer", ["ciscora"])],
    )
    return judged(
        report,
        "rules: some could not be asked",
        select=("*-one", "ca-*"),
        ignore=("quiet-*",),
        least=95,
        excuses=(Excuse("excused-*", "being repaired", date(2027, 2, 1)),),
        known=Known(
            {
                "known-one": Kept("error", "service", frozenset(), resolved=False),
                "grown-one": Kept("error", "devices", frozenset({h.PHONE}), resolved=False),
            }
        ),
    )


@cache
def sample(name: str) -> Result:
    """A sample, judged."""
    analysis = analyze([str(ROOT / "samples" / f"{name}.zip")])
    return Result(analysis.report, judge(analysis.report, Wanted(least=99.5)), zone=analysis.alignment.display_zone)


#: Each case by its name: what one call would hand to a format.
CASES: dict[str, Callable[[], list[Result]]] = {
    "none": list,
    "nothing found": lambda: [Result(h.empty())],
    "healthy": lambda: [Result(h.healthy())],
    "healthy, judged": lambda: [judged(h.healthy())],
    "failing": lambda: [Result(h.failing())],
    "failing, judged": lambda: [judged(h.failing(), fail_on=("warning",))],
    "mixed": lambda: [mixed()],
    "hostile": lambda: [Result(h.poisoned(h.failing()))],
    "hostile, judged": lambda: [judged(h.poisoned(h.failing()), h.HOSTILE, fail_on=("info", h.HOSTILE), least=100)],
    "evil": lambda: [judged(evil(), EVIL, fail_on=("error", EVIL), least=100)],
    "evil, ignored": lambda: [judged(evil(), excuses=(Excuse("*", EVIL, date(2028, 1, 1)),))],
    "several": lambda: [judged(h.healthy()), mixed(), judged(evil()), judged(h.failing()), judged(h.failing())],
    "samples": lambda: [sample(name) for name in SAMPLES],
}

#: A test that is asked of every case.
every_case = pytest.mark.parametrize("case", CASES)


def written(form: str, case: str | list[Result]) -> str:
    """Write a case, or results, in a format."""
    results = CASES[case]() if isinstance(case, str) else case
    return "".join(FORMATS[form].pieces(results, Look()))
