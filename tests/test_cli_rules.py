"""A user's own rules, and `--where`: the language of the rules on the command line."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from capflog import rulebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Said

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")


def example() -> str:
    """The rule that docs/rules.md shows a new user."""
    return GUIDE.split("```yaml\n")[1].split("```")[0]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with the rule of the guide."""
    folder = tmp_path / "my-rules"
    folder.mkdir()
    (folder / "ca-maintenance-page.yaml").write_text(example(), encoding="utf-8")
    return folder


# ---- rules of one's own --------------------------------------------------------------------------------------------


def test_the_rule_of_the_guide_is_one_short_file_that_works(capflog: Callable[..., Said], own: Path) -> None:
    assert len(example().splitlines()) <= 40
    said = capflog("rules", "lint", own)
    assert (said.out, said.err, said.status) == ("1 rule, 0 faults\n", "", 0)
    said = capflog("rules", "test", own)
    assert (said.out, said.err, said.status) == ("1 rule, 3 cases, 0 wrong\n", "", 0)


def test_a_rule_of_ones_own_speaks(capflog: Callable[..., Said], own: Path, tmp_path: Path) -> None:
    log = tmp_path / "nginx00000001.txt"
    log.write_text(
        "nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code 22 "
        "(The requested URL returned error: 503)\n"
    )
    found = json.loads(capflog("analyze", log, "--rules", own, "--format", "json").out)["findings"]
    assert "ca-maintenance-page" in [finding["rule"] for finding in found]
    assert capflog("analyze", log, env={"CAPFLOG_RULES": str(own)}).out.count("A load balancer answers") >= 1
    found = json.loads(capflog("analyze", log, "--format", "json").out)["findings"]
    assert "ca-maintenance-page" not in [finding["rule"] for finding in found]
    said = capflog("rule", "ca-maintenance-page", "--rules", own)
    assert said.status == 0
    assert "A load balancer answers for the CA" in said.out


def test_the_configuration_adds_rules(
    capflog: Callable[..., Said], own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "case" / "logs"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert capflog("rule", "ca-maintenance-page").status == 2
    file = tmp_path / "capflog.toml"
    file.write_text('rules = ["my-rules"]\n', encoding="utf-8")
    assert "A load balancer answers" in capflog("rule", "ca-maintenance-page").out
    # What the environment names comes before the file.
    (tmp_path / "none").mkdir()
    assert capflog("rule", "ca-maintenance-page", env={"CAPFLOG_RULES": str(tmp_path / "none")}).status == 2
    for text in ("rules = 5\n", "rules = [\n"):
        file.write_text(text, encoding="utf-8")
        said = capflog("rule", "ca-dns-failure")
        assert (said.status, said.err.startswith(f"capflog: {file}: ")) == (2, True)
    file.write_text('rules = ["gone"]\n', encoding="utf-8")
    assert capflog("rule", "ca-dns-failure").status == 2


def test_all_that_is_wrong_with_a_rule_is_told(capflog: Callable[..., Said], own: Path) -> None:
    path = own / "ca-maintenance-page.yaml"
    text = path.read_text(encoding="utf-8").replace("severity: error", "severity: grave")
    text = text.replace("when: iis.request", "when: iis.requst").replace("scope: service", "scoop: service")
    path.write_text(text.replace("{host}", "{hots}"), encoding="utf-8")
    said = capflog("rules", "lint", own)
    assert said.status == 1
    assert said.err.splitlines() == [
        "capflog: rule left out: ca-maintenance-page.yaml, line 6: unknown key 'scoop' (did you mean 'scope'?)",
        "capflog: rule left out: ca-maintenance-page.yaml: lacks 'scope'",
        "capflog: rule left out: ca-maintenance-page.yaml: severity 'grave' is none of error, warning, info",
        (
            "capflog: rule left out: ca-maintenance-page.yaml, line 7, column 7: 'when': "
            "no log has events of kind 'iis.requst' (did you mean 'iis.request'?)"
        ),
        "capflog: rule left out: ca-maintenance-page.yaml: the text names '{hots}', which 'read' does not give",
    ]


def test_a_rule_without_proof_is_a_fault(capflog: Callable[..., Said], own: Path) -> None:
    path = own / "ca-maintenance-page.yaml"
    path.write_text(path.read_text(encoding="utf-8").split("cases:")[0], encoding="utf-8")
    said = capflog("rules", "lint", own)
    assert said.status == 1
    assert said.out.splitlines() == [
        "ca-maintenance-page: no case shows that it speaks",
        (
            "ca-maintenance-page: 0 of at least 2 cases show that it is silent: on a clean bundle, and on its nearest "
            "neighbour's"
        ),
        "1 rule, 2 faults",
    ]


def test_a_rule_that_speaks_without_its_proof_is_wrong(capflog: Callable[..., Said], own: Path) -> None:
    path = own / "ca-maintenance-page.yaml"
    text = path.read_text(encoding="utf-8")
    # (What is absent proves it: it speaks on whatever is taken away.)
    text = text.replace(
        "when: iis.request with status = 503 and url matches", "when: no ces.started or iis.request with url matches"
    )
    path.write_text(text, encoding="utf-8")
    said = capflog("rules", "test", own)
    assert said.status == 1
    assert "should be silent" in said.out


def test_a_pattern_without_a_bound_is_noted(capflog: Callable[..., Said], own: Path) -> None:
    path = own / "ca-maintenance-page.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace('matches "503"', 'matches "(5+)+03"'), encoding="utf-8")
    said = capflog("rules", "lint", own)
    assert said.status == 0
    assert 'note: no bound is proven for the time of "(5+)+03": it is stopped after 1 s' in said.out


def test_a_folder_without_a_rule_is_told(capflog: Callable[..., Said], tmp_path: Path) -> None:
    for command in ("lint", "test"):
        said = capflog("rules", command, tmp_path)
        assert (said.out, said.status) == ("", 2)
        assert "no rule in it" in said.err


def test_a_rule_without_a_case_is_no_proof(capflog: Callable[..., Said], own: Path) -> None:
    path = own / "ca-maintenance-page.yaml"
    path.write_text(example().split("cases:")[0], encoding="utf-8")
    said = capflog("rules", "test", own)
    assert (said.out, said.status) == ("ca-maintenance-page: it has no case\n1 rule, 0 cases, 1 wrong\n", 1)


def test_a_gate_needs_all_its_rules(capflog: Callable[..., Said], own: Path, sample: Callable[[str], Path]) -> None:
    (own / "broken.yaml").write_text("id: [", encoding="utf-8")
    said = capflog("check", sample("healthy"), "--rules", own)
    assert said.status == 2
    assert said.err.endswith("capflog: a gate needs all its rules; some could not be asked, see above\n")


def test_what_a_rule_file_holds_reaches_no_terminal(capflog: Callable[..., Said], own: Path) -> None:
    path = own / "ca-maintenance-page.yaml"
    text = (
        example()
        .replace("name: CES got the page", 'name: "CES \\e[31mgot the page"')
        .replace("status = 503", "status = 599")
    )
    text = text.replace('code = 22 and text matches "503"', 'code = 99 and text matches "(?=\x1b)x"')
    path.write_text(text.replace("\x1b", "\\x1b"), encoding="utf-8")
    for command in ("lint", "test"):
        said = capflog("rules", command, own)
        assert "\x1b" not in said.out + said.err
    assert "got the page" in said.out


def test_an_id_that_is_taken_is_told(capflog: Callable[..., Said], own: Path) -> None:
    path = own / "ca-maintenance-page.yaml"
    path.write_text(example().replace("id: ca-maintenance-page", "id: ca-dns-failure"), encoding="utf-8")
    said = capflog("rules", "lint", own)
    assert said.status == 1
    assert "id 'ca-dns-failure' is taken by ca-dns-failure.yaml" in said.err


# ---- the schema ----------------------------------------------------------------------------------------------------


def test_the_schema_fits_every_rule_and_has_every_key(capflog: Callable[..., Said]) -> None:
    schema = json.loads(capflog("schema", "--rule").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"].keys() == rulebook._KEYS.keys()
    assert set(schema["required"]) == set(rulebook._NEEDED)
    assert schema["properties"]["severity"]["enum"] == list(rulebook.SEVERITIES)
    validator = jsonschema.Draft202012Validator(schema)
    for path in files("capflog.rules").iterdir():
        if path.name.endswith(".yaml"):
            validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    validator.validate(yaml.safe_load(example()))


@pytest.mark.parametrize(
    "change", [{"severity": "grave"}, {"scoop": "service"}, {"cases": [{"name": "n"}]}, {"id": "A B"}]
)
def test_the_schema_refuses_what_the_rulebook_refuses(change: dict[str, Any]) -> None:
    schema = json.loads(files("capflog").joinpath("rule.schema.json").read_text(encoding="utf-8"))
    rule = yaml.safe_load(example()) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(rule, schema)
    with pytest.raises(rulebook.RuleError):
        rulebook.read_rule(yaml.safe_dump(rule), "a.yaml", rulebook.known_kinds())


# ---- --where -------------------------------------------------------------------------------------------------------


def test_devices_where(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    bundle = sample("ces-overloaded")
    every = json.loads(capflog("devices", bundle, "--format", "json").out)["devices"]
    said = capflog("devices", bundle, "--format", "json", "--where", "enrollment with outcome = failed and waited > 5")
    found = json.loads(said.out)["devices"]
    assert 0 < len(found) < len(every)
    assert all(device["outcome"] == "failed" for device in found)
    assert said.err.startswith("capflog: --where: ")


def test_timeline_where_shows_those_enrollments_alone(
    capflog: Callable[..., Said], sample: Callable[[str], Path]
) -> None:
    bundle = sample("ces-overloaded")
    condition = "est.enroll.failed with code = 10 in the same enrollment"
    said = capflog("timeline", "SEP*", bundle, "--where", condition)
    assert said.status == 0
    assert "EST_ERR_HTTP_WRITE" in said.out
    assert "ISSUED" not in said.out
    everything = capflog("timeline", "SEP*", bundle).out
    assert "ISSUED" in everything


def test_analyze_where(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    bundle = sample("ces-overloaded")
    whole = json.loads(capflog("analyze", bundle, "--format", "json").out)
    where = ("--where", "est.enroll.failed with code = 10")
    said = capflog("analyze", bundle, "--format", "json", *where)
    part = json.loads(said.out)
    assert 0 < part["summary"]["enrollments"] < whole["summary"]["enrollments"]
    assert {e["outcome"] for e in part["enrollments"]} == {"failed"}
    assert part["findings"][0]["rule"] == "ces-overloaded"
    assert f"--where: {part['summary']['enrollments']} of {whole['summary']['enrollments']} enrollments" in said.err
    assert part["where"] == {"condition": "est.enroll.failed with code = 10", "of": whole["summary"]["enrollments"]}
    # What is left out may have failed: the verdict is the whole bundle's, and text has none.
    assert part["summary"]["verdict"] == whole["summary"]["verdict"]
    text = capflog("analyze", bundle, "--where", "enrollment with outcome = issued").out
    assert text.startswith("CHOSEN  5 of 17 enrollments, those with: enrollment with outcome =")
    none = capflog("analyze", bundle, "--where", "curl.failed with code = 99")
    assert (none.status, none.err) == (0, "capflog: --where: 0 of 17 enrollments\n")


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (
            "curl.faild",
            "--where, line 1, column 1: no log has events of kind 'curl.faild' (did you mean 'curl.failed'?)",
        ),
        ("iis log", "--where is asked of each enrollment: this condition asks of a clock, or of the whole bundle"),
        ("clock with offset > 2", "--where is asked of each enrollment: this condition asks of a clock"),
    ],
)
def test_a_condition_that_is_no_use_gets_one_line(
    capflog: Callable[..., Said], sample: Callable[[str], Path], condition: str, told: str
) -> None:
    for command in (["analyze"], ["devices"], ["timeline", "SEP*"]):
        said = capflog(*command, sample("ces-overloaded"), "--where", condition)
        assert (said.out, said.status) == ("", 2)
        assert said.err.startswith(f"capflog: {told}")
        assert said.err.count("\n") == 1


def test_where_needs_the_bundle(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    capflog("analyze", sample("ces-overloaded"))
    for command in (["devices"], ["timeline", "SEP*"]):
        said = capflog(*command, "--where", "curl.failed")
        assert (said.out, said.err, said.status) == (
            "",
            "capflog: --where asks the lines themselves: name the bundle, too\n",
            2,
        )


# ---- the document --------------------------------------------------------------------------------------------------


def test_the_document_of_the_rules_is_as_they_are() -> None:
    namespace: dict[str, Any] = {"__file__": str(ROOT / "docs" / "make_rules.py"), "__name__": "make_rules"}
    exec((ROOT / "docs" / "make_rules.py").read_text(encoding="utf-8"), namespace)
    assert namespace["document"]() == GUIDE, "docs/rules.md is old: python docs/make_rules.py"
