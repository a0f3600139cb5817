"""Rule files: what is wrong in one is told with its place and hides no other; the rules that ship are whole."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from capflog.clock_facts import words_of
from capflog.model import Clock
from capflog.rulebook import (
    GIVEN,
    GIVEN_OF_CLOCKS,
    Rule,
    Rulebook,
    RuleError,
    builtin,
    known_kinds,
    load,
    read_rule,
)
from capflog.rulecases import run_case, run_cases
from capflog.rulelint import remarks

if TYPE_CHECKING:
    from pathlib import Path

LINE = "nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code 6 (x)\n"
RULE: dict[str, Any] = {
    "id": "a-rule",
    "title": "A rule",
    "severity": "error",
    "status": "documented",
    "since": "0.1.0",
    "scope": "service",
    "when": "curl.failed with code = 6",
    "explanation": "It is so.",
    "remedy": ["Do this."],
    "verify": ["Look there."],
    "references": [{"title": "A page"}],
}


def written(**changes: object) -> str:
    """A rule file; a key that is changed to None is left out."""
    data = {key: value for key, value in (RULE | changes).items() if value is not None}
    return yaml.safe_dump(data, sort_keys=False, width=1000)


def read(text: str) -> Rule:
    return read_rule(text, "a-rule.yaml", known_kinds())


def refused(text: str) -> str:
    with pytest.raises(RuleError) as caught:
        read(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def loaded(folder: Path, **texts: str | bytes) -> Rulebook:
    """Load a folder of rule files, by their names without ``.yaml``; ``_`` stands for ``-``."""
    for name, text in texts.items():
        content = text.encode() if isinstance(text, str) else text
        (folder / f"{name.replace('_', '-')}.yaml").write_bytes(content)
    return load(folder)


# ---- one file ------------------------------------------------------------------------------------------------------


def test_a_rule_is_read_as_it_is_written() -> None:
    rule = read(
        written(
            title="  A rule ",
            explanation="It is\n  so.",
            likely="curl.failed",
            alternatives=["other-rule"],
            supersedes=["third-rule"],
            show=["curl.url"],
            read={"host": {"pattern": "https://([^/]+)", "else": "the CA"}},
            last_resort=True,
            cases=[{"name": "one", "speaks": True, "logs": {"nginx1.txt": LINE}}],
        )
    )
    assert (rule.id, rule.title, rule.explanation) == ("a-rule", "A rule", "It is so.")
    assert (rule.severity, rule.status, rule.scope, rule.last_resort) == ("error", "documented", "service", True)
    assert (rule.alternatives, rule.supersedes, rule.show) == (["other-rule"], ["third-rule"], ["curl.url"])
    assert rule.condition.match([{"kind": "curl.failed", "at": None, "code": 6}])
    assert not rule.condition.match([{"kind": "curl.failed", "at": None, "code": 7}])
    assert rule.likely_condition is not None
    assert rule.likely_condition.match([{"kind": "curl.failed", "at": None, "code": 7}])
    assert rule.read["host"].otherwise == "the CA"
    assert rule.references == [{"title": "A page"}]
    assert [(case.name, case.speaks, case.logs) for case in rule.cases] == [("one", True, {"nginx1.txt": LINE})]


def test_higher_severities_are_read_the_highest_first() -> None:
    raised = {"warning": " curl.failed\n with code = 6 ", "error": "curl.failed with code = 7"}
    rule = read(written(severity="info", when="curl.failed", raised=raised))
    assert [(one.severity, one.when) for one in rule.raised] == [
        ("error", "curl.failed with code = 7"),
        ("warning", "curl.failed\n with code = 6"),
    ]
    assert rule.raised[0].condition.match([{"kind": "curl.failed", "at": None, "code": 7}])
    assert rule.every_condition == [rule.condition, *(one.condition for one in rule.raised)]
    assert read(written(severity="warning", raised={})).raised == []


def test_what_may_be_left_out() -> None:
    rule = read(written())
    assert rule.likely is None
    assert rule.likely_condition is None
    assert (rule.alternatives, rule.supersedes, rule.show, rule.read, rule.cases) == ([], [], [], {}, [])
    assert rule.raised == []
    assert rule.last_resort is False


@pytest.mark.parametrize("key", sorted(RULE))
def test_what_may_not(key: str) -> None:
    assert refused(written(**{key: None})) == f"a-rule.yaml: lacks '{key}'"


def test_everything_that_is_lacking_is_told_at_once() -> None:
    assert refused(written(title=None, remedy=None)) == "a-rule.yaml: lacks 'title', 'remedy'"


TEXT = "a text (in quotes, if it looks like a number or a date)"
WRONG: list[tuple[str, str]] = [
    ("", "a-rule.yaml: a rule is a mapping of keys"),
    ("- a\n- b\n", "a-rule.yaml: a rule is a mapping of keys"),
    ("just words\n", "a-rule.yaml: a rule is a mapping of keys"),
    ("id: a\nid: b\n", "a-rule.yaml, line 2, column 1: not YAML: the key 'id' stands twice"),
    ("id: a\ntitle: b: c\n", "a-rule.yaml, line 2, column 9: not YAML: mapping values are not allowed here"),
    ("id: a\n\ttitle: b\n", "a-rule.yaml, line 2, column 1: not YAML: "),
    ("id: [a\n", "a-rule.yaml, line 2, column 1: not YAML: "),
    ("id: *a\n", "a-rule.yaml, line 1, column 5: not YAML: found undefined alias 'a'"),
    ("id: !!python/object:os.system x\n", "a-rule.yaml, line 1, column 5: not YAML: could not determine"),
    ("id: a\n---\nid: b\n", "a-rule.yaml, line 2, column 1: not YAML: but found another document"),
    ("? [a]\n: b\n", "a-rule.yaml, line 1, column 3: not YAML: a key is a word"),
    ("id: a\ntitle: b\x07\n", "a-rule.yaml, line 2, column 9: not YAML: the character U+0007 is not allowed"),
    ("since: 2019-99-99\n", "a-rule.yaml: not YAML: month must be in 1..12"),
    ("[" * 700, "a-rule.yaml: not YAML: too many brackets within each other"),
    (written(whn="x"), "a-rule.yaml, line 15: unknown key 'whn' (did you mean 'when'?)"),
    (written(qqqq="x"), "a-rule.yaml, line 15: unknown key 'qqqq'"),
    (written(title=5), f"a-rule.yaml, line 2: 'title' must be {TEXT}"),
    (written(since=0.1), f"a-rule.yaml, line 5: 'since' must be {TEXT}"),
    (written(remedy="Do this."), "a-rule.yaml, line 9: 'remedy' must be a list"),
    (written(last_resort="yes"), "a-rule.yaml, line 15: 'last_resort' must be true or false"),
    (written(read=["x"]), "a-rule.yaml, line 15: 'read' must be a mapping"),
    (written(title=" "), "a-rule.yaml, line 2: 'title' is empty"),
    (written(when=""), "a-rule.yaml, line 7: 'when' is empty"),
    (written(id="A rule"), "a-rule.yaml: id 'A rule' is not a slug such as 'ca-dns-failure'"),
    (written(severity="fatal"), "a-rule.yaml: severity 'fatal' is none of error, warning, info"),
    (written(status="guessed"), "a-rule.yaml: status 'guessed' is none of documented, inferred"),
    (written(scope="phone"), "a-rule.yaml: scope 'phone' is none of service, device"),
    (written(remedy=[5]), "a-rule.yaml: 'remedy' must be a list of texts"),
    (written(alternatives=[{}]), "a-rule.yaml: 'alternatives' must be a list of texts"),
    (
        written(show=["curl.urll"]),
        "a-rule.yaml: 'show': no log has events of kind 'curl.urll' (did you mean 'curl.url'?)",
    ),
    (written(references=["x"]), "a-rule.yaml: a reference has a 'title' and maybe a 'url'"),
    (written(references=[{"url": "x"}]), "a-rule.yaml: a reference has a 'title' and maybe a 'url'"),
    (written(references=[{"title": "x", "page": 3}]), "a-rule.yaml: a reference has a 'title' and maybe a 'url'"),
    (written(read={"host": "x"}), "a-rule.yaml: read.host needs 'pattern' and 'else'"),
    (written(read={"host": {"pattern": "(x)"}}), "a-rule.yaml: read.host needs 'pattern' and 'else'"),
    (
        written(read={"host": {"pattern": "(x", "else": "y"}}),
        "a-rule.yaml: read.host: not a regular expression: missing ), unterminated subpattern at position 0",
    ),
    (written(read={"host": {"pattern": "x", "else": "y"}}), "a-rule.yaml: read.host: the pattern needs a group"),
    (
        written(cases=[{"name": "x", "logs": {}}]),
        "a-rule.yaml: a case has 'name', 'speaks' (true or false) and 'logs' (text by file name), maybe 'severity'",
    ),
    (
        written(cases=["x"]),
        "a-rule.yaml: a case has 'name', 'speaks' (true or false) and 'logs' (text by file name)",
    ),
    (
        written(cases=[{"name": "x", "speaks": "false", "logs": {"a": "b"}}]),
        "a-rule.yaml: 'speaks' of case 'x' must be true or false",
    ),
    (
        written(cases=[{"name": "x", "speaks": True, "logs": {}}]),
        "a-rule.yaml: the logs of case 'x' must be texts by file name",
    ),
    (
        written(cases=[{"name": "x", "speaks": True, "logs": {"a": 5}}]),
        "a-rule.yaml: the logs of case 'x' must be texts by file name",
    ),
    (
        written(cases=[{"name": "x", "speaks": True, "severity": "fatal", "logs": {"a": "b"}}]),
        "a-rule.yaml: 'severity' of case 'x' must be one of error, warning, info, where it speaks",
    ),
    (
        written(cases=[{"name": "x", "speaks": False, "severity": "info", "logs": {"a": "b"}}]),
        "a-rule.yaml: 'severity' of case 'x' must be one of error, warning, info, where it speaks",
    ),
    (written(severity="info", raised=["x"]), "a-rule.yaml, line 15: 'raised' must be a mapping"),
    (
        written(severity="warning", raised={"error": "curl.failed", "warning": "curl.failed"}),
        "a-rule.yaml, line 17, column 3: 'raised': 'warning' is no severity above warning (error)",
    ),
    (
        written(raised={"fatal": "curl.failed"}),
        "a-rule.yaml, line 16, column 3: 'raised': 'fatal' is no severity above error (there is none)",
    ),
    (
        written(severity="info", raised={"error": 5}),
        "a-rule.yaml, line 16, column 3: 'raised': 'error' must be a condition",
    ),
    (
        written(severity="info", raised={"error": " "}),
        "a-rule.yaml, line 16, column 3: 'raised': 'error' must be a condition",
    ),
    (
        written(severity="info", raised={"warning": "curl.failed", "error": "curl.failed with cod = 6"}),
        "a-rule.yaml, line 17, column 27: 'raised.error': events have no field 'cod' (did you mean 'code'?)",
    ),
    (
        written(severity="info", raised={"error": "clock with offset > 60"}),
        "a-rule.yaml: some of its conditions ask of a 'clock', others do not",
    ),
    (
        written(when="clock", likely="curl.failed"),
        "a-rule.yaml: some of its conditions ask of a 'clock', others do not",
    ),
    (written(explanation="{offset}"), "a-rule.yaml: the text names '{offset}', which 'read' does not give"),
    (
        written(when="curl.failed and"),
        "a-rule.yaml, line 7, column 22: 'when': expected an event",
    ),
    (
        written(likely="curl.failed with cod = 6"),
        "a-rule.yaml, line 15, column 26: 'likely': events have no field 'cod' (did you mean 'code'?)",
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message[:60] for _, message in WRONG])
def test_a_wrong_file_is_told_in_one_line_with_its_place(text: str, message: str) -> None:
    assert refused(text).startswith(message)


@pytest.mark.parametrize(
    ("condition", "row", "column"),
    [
        ("when: curl.failed and curl.faild\n", 3, 23),
        ("when: 'curl.failed and curl.faild'\n", 3, 24),
        ('when: "curl.failed and curl.faild"\n', 3, 24),
        ("when:\n  curl.failed\n  and curl.faild\n", 5, 7),
        ("when: >\n  curl.failed\n\n  and curl.faild\n", 6, 7),
        ("when: >-\n    curl.failed and\n    curl.faild or curl.ok\n", 5, 5),
        ("when: |\n  curl.failed\n  and curl.faild\n", 5, 7),
        ("when: >  # why\n  curl.failed\n  and (curl.faild\n  or curl.ok)\n", 5, 8),
        ("when: >\n  curl.failed\n  and\n", 5, 6),
        ("when: curl.failed and\n", 3, 22),
    ],
)
def test_a_fault_in_a_condition_is_placed_in_the_file(condition: str, row: int, column: int) -> None:
    head = "# a comment\nid: a-rule\n"
    rest = written(when=None, id=None)
    assert refused(head + condition + rest).startswith(f"a-rule.yaml, line {row}, column {column}: 'when': ")
    nested = "".join(f"  {line}\n" for line in condition.replace("when:", "error:").splitlines())
    text = f"{head}raised:\n{nested}{written(id=None, severity='info')}"
    assert refused(text).startswith(f"a-rule.yaml, line {row + 1}, column ")
    assert ": 'raised.error': " in refused(text)


def test_keys_that_come_by_a_merge_are_placed_somewhere() -> None:
    text = f"x: 1\n<<: {{when: curl.faild}}\n{written(when=None)}"
    with pytest.raises(RuleError) as caught:
        read(text)
    # (One fault hides no other one.)
    assert caught.value.every == [
        "a-rule.yaml, line 1: unknown key 'x'",
        "a-rule.yaml, line 2, column 12: 'when': no log has events of kind 'curl.faild' (did you mean 'curl.failed'?)",
    ]
    assert refused(text.removeprefix("x: 1\n")).startswith("a-rule.yaml, line 1, column ")


# ---- a folder ------------------------------------------------------------------------------------------------------


def test_a_bad_file_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "notes.txt").write_text("not a rule", "utf-8")
    book = loaded(
        tmp_path,
        a_rule=written(),
        bad_condition=written(id="bad-condition", when="curl.faild"),
        bad_yaml="id: [",
        bad_bytes=b"id: caf\xe9\n",
        deep="[" * 700,
        other_rule=written(id="other-rule"),
    )
    assert sorted(book.rules) == ["a-rule", "other-rule"]
    assert [error.split(":")[0].split(",")[0] for error in book.errors] == [
        "bad-bytes.yaml",
        "bad-condition.yaml",
        "bad-yaml.yaml",
        "deep.yaml",
        "folder.yaml",
    ]
    assert book.errors[0] == "bad-bytes.yaml: not UTF-8 text"
    assert book.errors[4].startswith("folder.yaml: cannot be read: ")


def test_two_files_of_one_id(tmp_path: Path) -> None:
    book = loaded(tmp_path, a_rule=written(title="first"), b_rule=written(title="second"))
    assert book.rules["a-rule"].title == "first"
    assert book.errors == ["b-rule.yaml: id 'a-rule' is taken by a-rule.yaml"]


def test_a_rule_that_another_names_must_be_there(tmp_path: Path) -> None:
    book = loaded(
        tmp_path, first=written(alternatives=["no-rule"], supersedes=["no-rule", "b-rule"]), b_rule=written(id="b-rule")
    )
    assert (book.errors, book.remarks) == (
        [],
        ["first.yaml: names the rule 'no-rule', which there is not (did you mean 'b-rule'?)"],
    )
    assert sorted(book.rules) == ["a-rule", "b-rule"]


def test_a_rule_that_could_not_be_read_is_told_of_once(tmp_path: Path) -> None:
    book = loaded(
        tmp_path,
        a_rule=written(alternatives=["b-rule"]),
        b_rule=written(id="b-rule", when="curl.faild"),
        c_rule=written(id="c-rule", supersedes=["b-rule"]),
    )
    assert len(book.errors) == 1
    assert book.errors[0].startswith("b-rule.yaml, line 7, column 7: ")


def test_rules_that_silence_themselves_or_each_other(tmp_path: Path) -> None:
    book = loaded(
        tmp_path,
        a_rule=written(supersedes=["a-rule"]),
        b_rule=written(id="b-rule", supersedes=["c-rule"]),
        c_rule=written(id="c-rule", supersedes=["b-rule"]),
    )
    assert book.remarks == [
        "a-rule.yaml: supersedes itself",
        "b-rule.yaml: supersedes c-rule, which supersedes it: neither would speak",
        "c-rule.yaml: supersedes b-rule, which supersedes it: neither would speak",
    ]


# ---- cases ---------------------------------------------------------------------------------------------------------


def wrongs(folder: Path, *, speaks: bool, logs: dict[str, str]) -> list[str]:
    book = loaded(folder, a_rule=written(cases=[{"name": "one", "speaks": speaks, "logs": logs}]))
    assert book.errors == []
    return [outcome.wrong for outcome in run_cases(book)]


def test_a_case_that_is_as_it_should_be(tmp_path: Path) -> None:
    assert wrongs(tmp_path, speaks=True, logs={"nginx1.txt": LINE}) == [""]


def test_a_case_on_which_the_rule_is_silent(tmp_path: Path) -> None:
    logs = {"nginx1.txt": LINE.replace("code 6", "code 7")}
    assert wrongs(tmp_path, speaks=True, logs=logs) == ["should speak; what spoke: nothing"]


def test_a_case_on_which_the_rule_must_not_speak(tmp_path: Path) -> None:
    assert wrongs(tmp_path, speaks=False, logs={"nginx1.txt": LINE}) == ["should be silent; what spoke: a-rule"]


def test_a_case_whose_finding_is_of_another_severity(tmp_path: Path) -> None:
    cases = [
        {"name": severity, "speaks": True, "severity": severity, "logs": {"nginx1.txt": LINE}}
        for severity in ("error", "warning", "info")
    ]
    raised = {"warning": "curl.failed with code = 6", "error": "curl.failed with code = 7"}
    book = loaded(tmp_path, a_rule=written(severity="info", raised=raised, cases=cases))
    assert [outcome.wrong for outcome in run_cases(book)] == [
        "should be of severity error, is warning",
        "",
        "should be of severity info, is warning",
    ]


def test_a_case_with_a_line_that_no_log_has(tmp_path: Path) -> None:
    logs = {"nginx1.txt": LINE, "notes.txt": "hello\n"}
    assert wrongs(tmp_path, speaks=True, logs=logs) == ["not understood as a log: notes.txt"]
    logs = {"nginx1.txt": f"{LINE}hello\n"}
    assert wrongs(tmp_path, speaks=True, logs=logs) == ["not understood as a log: nginx1.txt"]


def test_a_case_that_is_no_log_at_all_does_not_end_the_run(tmp_path: Path) -> None:
    book = loaded(
        tmp_path,
        a_rule=written(
            cases=[
                {"name": "one", "speaks": False, "logs": {"notes.txt": "hello\n"}},
                {"name": "two", "speaks": True, "logs": {"nginx1.txt": LINE}},
            ]
        ),
    )
    first, second = run_cases(book)
    assert (first.rule, first.case) == ("a-rule", "one")
    assert first.wrong.startswith("not understood as a log: ")
    assert second.wrong == ""


def test_another_rule_may_speak_on_a_case(tmp_path: Path) -> None:
    logs = {"nginx1.txt": LINE}
    book = loaded(
        tmp_path,
        a_rule=written(when="curl.failed with code = 7", cases=[{"name": "x", "speaks": False, "logs": logs}]),
        b_rule=written(id="b-rule"),
    )
    rule = book.rules["a-rule"]
    assert run_case(rule, rule.cases[0], book).wrong == ""


# ---- the rules that ship -------------------------------------------------------------------------------------------

BOOK = builtin()
RULES = [pytest.param(rule, id=rule.id) for rule in BOOK.rules.values()]
CONTRACT = {
    "ca-chain-untrusted",
    "ca-self-signed",
    "ca-hostname-mismatch",
    "ca-dns-failure",
    "ca-cert-not-yet-valid",
    "ca-cert-expired",
    "template-misconfigured",
    "ces-auth-timeout",
    "ces-enroll-timeout",
    "ces-overloaded",
    "ces-no-answer",
}


def test_all_that_ship_load() -> None:
    assert (BOOK.errors, BOOK.remarks) == ([], [])
    assert BOOK.rules.keys() >= CONTRACT


@pytest.mark.parametrize("rule", RULES)
def test_a_shipped_rule_has_cases_of_both_kinds(rule: Rule) -> None:
    speaks = Counter(case.speaks for case in rule.cases)
    assert speaks[True] >= 1
    assert speaks[False] >= 2
    assert [name for name, count in Counter(case.name for case in rule.cases).items() if count > 1] == []


@pytest.mark.parametrize("rule", RULES)
def test_a_shipped_rule_says_what_to_do_and_where_it_stands(rule: Rule) -> None:
    assert rule.references
    assert rule.remedy
    assert rule.verify
    for reference in rule.references:
        assert reference["title"].strip()
        assert reference.get("url", "https://").startswith("https://")
    for text in (rule.title, rule.explanation, *rule.remedy, *rule.verify):
        assert text == text.strip() != ""
    assert not rule.title.endswith(".")
    assert re.fullmatch(r"\d+\.\d+\.\d+", rule.since)


@pytest.mark.parametrize("rule", RULES)
def test_a_shipped_rule_names_in_its_text_what_it_reads_and_reads_what_it_names(rule: Rule) -> None:
    said = " ".join((rule.explanation, *rule.remedy, *rule.verify))
    given = {*GIVEN, *(GIVEN_OF_CLOCKS if rule.condition.of_clocks else ())}
    # curl's own %{time_total} is no name of ours.
    assert set(re.findall(r"(?<!%)\{(\w+)\}", said)) - given == set(rule.read)


@pytest.mark.parametrize("rule", RULES)
def test_alternatives_name_each_other(rule: Rule) -> None:
    assert [name for name in rule.alternatives if rule.id not in BOOK.rules[name].alternatives] == []
    assert rule.id not in rule.alternatives
    assert not set(rule.alternatives) & set(rule.supersedes)


def test_no_circle_of_rules_silences_all_of_them() -> None:
    for rule in BOOK.rules.values():
        reached, todo = set[str](), list(rule.supersedes)
        while todo:
            name = todo.pop()
            if name not in reached:
                reached.add(name)
                todo += BOOK.rules[name].supersedes
        assert rule.id not in reached


def test_a_rule_stands_in_the_file_of_its_name() -> None:
    names = {entry.name for entry in files("capflog.rules").iterdir() if entry.name.endswith(".yaml")}
    assert names == {f"{name}.yaml" for name in BOOK.rules}


def test_a_name_in_the_text_that_nothing_gives_is_an_error() -> None:
    import yaml

    kinds = known_kinds()
    text = yaml.safe_dump({**RULE, "explanation": "Of {ca_template}, %{time_total} and {nobody}."})
    with pytest.raises(RuleError, match=r"'\{nobody\}'"):
        read_rule(text, "a-rule.yaml", kinds)
    read_rule(text.replace("{nobody}", "somebody"), "a-rule.yaml", kinds)


def test_the_text_of_a_rule_about_clocks_may_name_what_is_known_of_one() -> None:
    said = " ".join(f"{{{name}}}" for name in GIVEN_OF_CLOCKS)
    assert read(written(when="clock", explanation=said)).explanation == said
    with pytest.raises(RuleError, match=r"'\{whose\}'"):
        read(written(remedy=["{whose}"]))


def test_the_words_for_a_clock_are_those_that_a_text_may_name() -> None:
    clock = Clock("iis", [], 0, None, None, "none", assumed=False, basis="")
    assert tuple(words_of(clock)) == GIVEN_OF_CLOCKS


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_ships_has_its_proof_and_its_source(rule: Rule) -> None:
    assert [remark.text for remark in remarks(rule, BOOK.rules)] == []


def test_there_are_forty_causes_beside_the_documents_and_the_catch_alls() -> None:
    contract = {
        *("ca-chain-untrusted", "ca-self-signed", "ca-hostname-mismatch", "ca-dns-failure", "ca-cert-not-yet-valid"),
        *("ca-cert-expired", "template-misconfigured", "ces-auth-timeout", "ces-enroll-timeout", "ces-overloaded"),
        "ces-no-answer",
    }
    assert contract <= BOOK.rules.keys()
    others = [r for r in BOOK.rules.values() if r.id not in contract and r.severity != "info" and not r.last_resort]
    assert len(others) >= 40
