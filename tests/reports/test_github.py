"""Annotations as the runner of GitHub Actions reads them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from capflog.model import Evidence
from capflog.results import Result
from tests.conftest import SAMPLES
from tests.reports import ci_cases as ci
from tests.reports import handmade as h

#: What the runner takes for a command, of those that a line of output may be.
COMMANDS = frozenset({
    "error", "warning", "notice", "debug", "group", "endgroup", "add-mask", "add-path", "set-env", "set-output",
    "save-state", "echo", "add-matcher", "remove-matcher", "stop-commands",
})  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A workflow command as the runner understands it."""

    name: str
    values: dict[str, str]
    text: str


def _decoded(text: str, *signs: tuple[str, str]) -> str:
    for code, sign in (("%0D", "\r"), ("%0A", "\n"), *signs, ("%25", "%")):
        text = text.replace(code, sign)
    return text


def command(line: str) -> Command | None:
    """Read a line as the runner does: ``::name key=value::text``, else ``##[name]`` anywhere; None: it is output."""
    stripped = line.lstrip()
    if stripped.startswith("::") and "::" in stripped[2:]:
        head, text = stripped[2:].split("::", 1)
        name, _, listed = head.partition(" ")
        if name in COMMANDS:
            pairs = (pair.split("=", 1) for pair in listed.strip().split(",") if pair)
            values = {
                pair[0]: _decoded(pair[1], ("%3A", ":"), ("%2C", ",")) for pair in pairs if len(pair) == 2 and all(pair)
            }
            return Command(name, values, _decoded(text))
    _, begun, rest = line.partition("##[")
    head, ended, text = rest.partition("]")
    if begun and ended and head.split(" ")[0] in COMMANDS:
        return Command(head.split(" ")[0], {}, text)
    return None


def read(case: str | list[Result]) -> list[Command]:
    """Read every line; each must be a command."""
    text = ci.written("github", case)
    assert text.endswith("\n")
    found = [command(line) for line in text[:-1].split("\n")]
    assert None not in found, text
    return [one for one in found if one is not None]


def test_the_reader_reads_what_is_documented() -> None:
    assert command("::error file=app.js,line=10,title=A%3A%2C%250A::Missing%0Asemicolon, 100%25") == Command(
        "error", {"file": "app.js", "line": "10", "title": "A:,%0A"}, "Missing\nsemicolon, 100%"
    )
    assert command("  ::notice::x::y") == Command("notice", {}, "x::y")
    assert command("output ##[error]forged") == Command("error", {}, "forged")
    assert command("output ::error::x") is None
    assert command("::unknown::x") is None


@ci.every_case
def test_every_line_is_an_annotation_and_the_last_one_sums_up(case: str) -> None:
    commands = read(case)
    assert {one.name for one in commands} <= {"error", "warning", "notice"}
    assert (commands[-1].name, commands[-1].values) == ("notice", {"title": "capflog"})
    assert sum(one.name == "notice" for one in commands) <= 10
    for one in commands[:-1]:
        assert set(one.values) <= {"file", "line", "title"}
        assert one.values["title"].strip()
        assert int(one.values.get("line", 1)) >= 1


def test_a_finding_says_what_where_for_whom_and_what_to_do() -> None:
    first, second, cut, *_, third, last = read([ci.judged(h.failing())])
    assert first.name == second.name == "error"
    assert first.values == {
        "file": f"case-700123.zip/{h.CISCORA}",
        "line": "13",
        "title": "CES does not trust the certificate of the CA's web server",
    }
    lines = first.text.split("\n")
    assert lines[:2] == [
        "case-700123.zip: ca-chain-untrusted, likely",
        f"Whom: the service itself, so every device; seen with 2 devices: {h.PHONE}, {h.OTHER}",
    ]
    for told in (f"{h.CISCORA}:13: {h.UNTRUSTED}", "Do:", RESTART):
        assert told in lines
    assert (cut.name, cut.values["title"]) == ("warning", "Not all is well with the gate or its bundle")
    assert (third.name, third.values["file"]) == ("warning", "case-700123.zip")
    assert last.text == "case-700123.zip: FAIL: 2 findings at or above error; the bundle is failing; 1 below error"


RESTART = "3. Restart Cisco Certificate Enrollment Service, then Cisco CAPF, on the publisher:"


def test_what_fails_stands_first_and_what_is_passed_over_is_only_counted() -> None:
    commands = read("mixed")
    assert [(one.name, one.values["title"]) for one in commands[:-1]] == [
        ("error", "The gate did not ask all its rules"),
        ("error", "Too few of the logs' lines are understood"),
        ("error", "The grown-one"),
        ("error", "The new-one"),
        ("notice", "The low-one"),
    ]
    assert commands[-1].text == (
        "mixed.zip: VOID: 2 findings at or above error; the bundle is failing; 1 below error; 2 ignored; "
        "1 known by the baseline; 1 not selected"
    )


def test_what_fails_stands_before_what_does_not_whatever_bundle_it_is_of() -> None:
    below = ci.judged(h.empty(bundle="a.zip", findings=[ci.found("w", "warning")]))
    failing = ci.judged(h.empty(bundle="b.zip", findings=[ci.found("x", "warning")]), fail_on=("x",))
    assert [one.values["title"] for one in read([below, failing])] == ["The x", "The w", "capflog"]


def test_an_error_for_which_the_gate_does_not_fail_is_a_warning() -> None:
    result = ci.judged(h.empty(findings=[ci.found("x")]), fail_on=("other-*",))
    assert [one.name for one in read([result])] == ["warning", "notice"]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("healthy", "good.zip: 0 findings; the bundle is healthy"),
        ("healthy, judged", "good.zip: PASS: 0 findings at or above error; the bundle is healthy"),
        ("nothing found", "empty.zip: 0 findings; the bundle is inconclusive"),
        ("none", "no bundle was read"),
    ],
)
def test_where_nothing_is_wrong_one_notice_says_so(case: str, said: str) -> None:
    assert ci.written("github", case) == f"::notice title=capflog::{said}\n"


def test_several_bundles_are_summed_up() -> None:
    text = read("samples")[-1].text.split("\n")
    assert [line.split(": ")[:2] for line in text[: len(SAMPLES)]] == [
        [f"{name}.zip", "PASS" if name == "healthy" else "FAIL"] for name in SAMPLES
    ]
    assert text[len(SAMPLES)] == f"{len(SAMPLES) - 1} of {len(SAMPLES)} bundles fail"
    text = read([ci.judged(h.healthy()), ci.judged(h.healthy())])[-1].text.split("\n")
    assert text[-1] == "all 2 bundles pass"


def test_the_sum_is_shown_however_many_notes_there_are() -> None:
    report = h.empty(findings=[ci.found(f"r{number}", "info") for number in range(30)])
    commands = read([ci.judged(report)])
    assert [one.values["title"] for one in commands] == [*(f"The r{number}" for number in range(9)), "capflog"]
    assert commands[-1].text.endswith("\n21 notes more: capflog analyze shows them")


def test_errors_beyond_what_is_shown_are_in_the_log_of_the_step() -> None:
    report = h.empty(findings=[ci.found(f"r{number}") for number in range(30)])
    assert sum(one.name == "error" for one in read([ci.judged(report)])) == 30


@pytest.mark.parametrize("case", ["hostile", "hostile, judged", "evil", "evil, ignored", "several"])
def test_no_text_is_a_command_or_adds_a_value(case: str) -> None:
    text = ci.written("github", case)
    assert text.replace("\n", "").isprintable()
    for one in read(case):
        assert set(one.values) <= {"file", "line", "title"}
        assert all(value.isprintable() for value in one.values.values())
        assert one.text.replace("\n", "").isprintable()
        # The lines into which it is broken are ours: none is a command if it is printed again.
        assert not any(line.lstrip().startswith(("::", "##[")) for line in one.text.split("\n"))


def test_values_come_back_whatever_is_in_them() -> None:
    member = "=a,b:c%0A;d::e.log"
    finding = h.finding("x", "50 %: a, b :: c", evidence=[Evidence(member, 5, "100 % ::error::x", None, "nginx")])
    one = read([ci.judged(h.empty(bundle="=z.zip", findings=[finding]))])[0]
    assert one.values == {"file": f"z.zip/{member}", "line": "5", "title": "50 %: a, b :: c"}
    assert f"{member}:5: 100 % \\x3a:error::x" in one.text.split("\n")


def test_a_long_line_is_cut() -> None:
    finding = ci.found("x", evidence=[Evidence("a.log", 5, "y" * 100_000, None, "nginx")])
    assert len(ci.written("github", [ci.judged(h.empty(findings=[finding]))])) < 5000
