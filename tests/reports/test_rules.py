"""What `rule`, `rules` and `explain` print."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from capflog.codes import Explanation
from capflog.reports.rules import render_explanation, render_rule, render_rules
from tests.reports import handmade as h

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion


@dataclass(frozen=True, slots=True)
class Higher:
    """A higher severity of a rule, by what is shown of it."""

    severity: str
    when: str


@dataclass
class SomeRule:
    """A rule by what is shown of it."""

    id: str
    title: str
    severity: str = "error"
    status: str = "documented"
    since: str = "0.1.0"
    when: str = ""
    likely: str | None = None
    explanation: str = ""
    remedy: list[str] = field(default_factory=list)
    verify: list[str] = field(default_factory=list)
    alternatives: list[str] = field(default_factory=list)
    supersedes: list[str] = field(default_factory=list)
    references: list[dict[str, str]] = field(default_factory=list)
    raised: list[Higher] = field(default_factory=list)


FOUND = h.chain()
WHOLE = SomeRule(
    FOUND.rule,
    FOUND.title,
    when='curl.failed with code = 60 and text matches "unable to get local issuer certificate"\n'
    "or curl.failed with code = 60 and text is missing\n",
    likely="curl.failed with code = 60",
    explanation=FOUND.explanation + "\nA second paragraph, for {host}.",
    remedy=FOUND.remedy,
    verify=FOUND.verify,
    alternatives=["ca-self-signed", "ca-cert-expired"],
    supersedes=["ces-no-answer"],
    references=[*FOUND.references, {"title": "OpenSSL x509_txt.c"}, {"title": "", "url": "https://example.org/x"}],
)
EXPLANATION = Explanation(
    "EST_ERR_SSL_READ (35)",
    [("means", "The TLS connection broke, or no answer came in time."), ("in CAPF", FOUND.explanation)],
    ["Look at the wait before it.", "Then read the CiscoRA log."],
)


@pytest.mark.parametrize("width", [80, 160])
def test_a_rule_in_full(width: int, snapshot: SnapshotAssertion) -> None:
    assert render_rule(WHOLE, width=width, color=False, unicode=True) == snapshot


def test_each_alternative_of_a_condition_has_its_line() -> None:
    rule = SomeRule("x", "X", when='a.b with text matches "this or that"  or c.d after e.f or (g.h) or "open or')
    assert render_rule(rule, width=80, color=False, unicode=True).split("SPEAKS WHEN\n")[1] == (
        '  a.b with text matches "this or that"\n  or c.d after e.f\n  or (g.h)\n  or "open or\n'
    )


def test_a_rule_of_which_little_is_said() -> None:
    rule = SomeRule("clock-wrong", "A clock is wrong", "warning", "inferred", "")
    assert render_rule(rule, width=80, color=False, unicode=True) == (
        "A clock is wrong\n"
        "clock-wrong, warning\n"
        "inferred from how the programs work; no published source shows its lines\n"
    )


def test_the_table_of_rules_has_errors_first() -> None:
    rules = [
        SomeRule("z-note", "A note", "info"),
        SomeRule("b-error", "The second error of these, whose title is longer than what one line has room for"),
        SomeRule("c-warning", "A warning", "warning", "inferred"),
        SomeRule("a-error", "An error"),
    ]
    assert render_rules(rules, width=80, color=False, unicode=True) == (
        "rule       severity  status      problem\n"
        "a-error    error     documented  An error\n"
        "b-error    error     documented  The second error of these, whose title is\n"
        "                                 longer than what one line has room for\n"
        "c-warning  warning   inferred    A warning\n"
        "z-note     info      documented  A note\n"
        "\n"
        "4 rules; one in full: capflog rule ID\n"
    )


def test_no_rules() -> None:
    assert render_rules([], width=80, color=False, unicode=True) == "0 rules; one in full: capflog rule ID\n"


def test_an_explanation() -> None:
    assert render_explanation(EXPLANATION, width=80, color=False, unicode=True) == (
        "EST_ERR_SSL_READ (35)\n"
        "\n"
        "means    The TLS connection broke, or no answer came in time.\n"
        "in CAPF  CES checks the certificate that the CA's web server (IIS) presents\n"
        "         against its trust store. The root or an intermediate of that\n"
        "         certificate's chain is not in CAPF-trust, so CES breaks off before it\n"
        "         logs in.\n"
        "\n"
        "NEXT\n"
        "  1. Look at the wait before it.\n"
        "  2. Then read the CiscoRA log.\n"
    )


def test_typographic_marks_have_ascii_forms() -> None:
    rule = replace(WHOLE, title="“Online CA” – ±2 s → it’s Müller’s…")
    first = render_rule(rule, width=80, color=False, unicode=False).splitlines()[0]
    assert first == "\"Online CA\" - +/-2 s -> it's M\\xfcller's..."


@pytest.mark.parametrize("hostile", [False, True])
def test_no_text_breaks_the_page(hostile: bool) -> None:
    rule = h.poisoned(WHOLE) if hostile else WHOLE
    h.check_page(partial(render_rule, rule))
    h.check_page(partial(render_rules, [rule, WHOLE]))
    h.check_page(partial(render_explanation, h.poisoned(EXPLANATION) if hostile else EXPLANATION))


def test_on_which_condition_a_rule_is_of_a_higher_severity() -> None:
    rule = SomeRule("clock-offset", "Clocks differ", severity="info", when="clock with offset >= 2")
    text = render_rule(rule, width=80, color=False, unicode=True)
    assert "severity" not in text.lower()
    rule = replace(
        rule, raised=[Higher("error", "curl.failed with code = 60"), Higher("warning", "clock with offset >= 60")]
    )
    lines = render_rule(rule, width=80, color=False, unicode=True).splitlines()
    places = [
        lines.index(line)
        for line in (
            "  clock with offset >= 2",
            "IS OF SEVERITY ERROR WHEN",
            "  curl.failed with code = 60",
            "IS OF SEVERITY WARNING WHEN",
            "  clock with offset >= 60",
        )
    ]
    assert places == sorted(places)
