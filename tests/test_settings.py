"""Settings: from which file or variable a value is, and what is told of one that cannot be."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from capflog.cli import COMMANDS, cli
from capflog.commands.settings import BY_NAME, KEYS, SettingsError, key_of, variable
from capflog.commands.settings_files import load
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Said

    Call = Callable[..., Said]
    Find = Callable[[str], Path]


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, two below one that has no settings yet."""
    below = tmp_path / "case" / "logs"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return tmp_path / "case"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Where the user's own file is; it is not there yet."""
    folder = tmp_path / "settings" / "capflog"
    folder.mkdir(parents=True)
    return folder / "capflog.toml"


def settings(call: Call, **env: str) -> dict[str, dict[str, Any]]:
    said = call("config", "--format", "json", env=env)
    assert said.status == 0, said.err
    return {row["key"]: row for row in json.loads(said.out)["settings"]}


def test_every_option_that_can_be_set_is_of_a_command_and_the_other_way_round() -> None:
    context = cli.make_context("capflog", ["schema"])
    options = {
        key_of(option)
        for name in COMMANDS
        if (command := cli.get_command(context, name)) is not None
        for option in command.params
    }
    assert set(BY_NAME) <= options


def test_a_call_wins_over_the_environment_and_that_over_files(
    capflog: Call, sample: Find, case: Path, own: Path
) -> None:
    bundle = sample("ca-dns-failure")
    own.write_text('fail-on = "clock-offset"\n', encoding="utf-8")
    assert settings(capflog)["fail-on"] == {
        "key": "fail-on",
        "variable": "CAPFLOG_FAIL_ON",
        "what": BY_NAME["fail-on"].what,
        "value": "clock-offset",
        "source": str(own),
    }
    assert "of clock-offset" in capflog("check", bundle).out
    (case / "capflog.toml").write_text('fail-on = ["warning"]\n', encoding="utf-8")
    assert settings(capflog)["fail-on"]["source"] == str(case / "capflog.toml")
    assert "at or above warning" in capflog("check", bundle).out
    env = {"CAPFLOG_FAIL_ON": "info"}
    assert settings(capflog, **env)["fail-on"]["source"] == "CAPFLOG_FAIL_ON"
    assert "at or above info" in capflog("check", bundle, env=env).out
    assert "at or above error" in capflog("check", bundle, "--fail-on", "error", env=env).out


def test_what_the_nearest_file_leaves_open_the_users_own_says(capflog: Call, case: Path, own: Path) -> None:
    (case / "capflog.toml").write_text("min-coverage = 90\n", encoding="utf-8")
    (case.parent / "capflog.toml").write_text('color = "never"\n', encoding="utf-8")
    own.write_text('min-coverage = 10\ndisplay-tz = "UTC"\n', encoding="utf-8")
    said = settings(capflog)
    assert (said["min-coverage"]["value"], said["display-tz"]["value"]) == (90, "UTC")
    # Of the files upwards the nearest alone is read.
    assert said["color"]["source"] == "default"


def test_pyproject_serves_too_and_another_programs_is_passed_over(capflog: Call, case: Path) -> None:
    (case / "logs" / "pyproject.toml").write_text("[tool.ruff]\nline-length = 100\n", encoding="utf-8")
    (case / "pyproject.toml").write_text('[tool.capflog]\nfail-on = "info"\n', encoding="utf-8")
    assert settings(capflog)["fail-on"]["source"] == str(case / "pyproject.toml")
    (case / "logs" / "pyproject.toml").write_text("[tool.ruff\n", encoding="utf-8")
    assert settings(capflog)["fail-on"]["source"] == str(case / "pyproject.toml")
    (case / "logs" / "capflog.toml").write_text("", encoding="utf-8")
    assert settings(capflog)["fail-on"]["source"] == "default"


def test_a_file_can_be_named_and_files_left_out(capflog: Call, case: Path, own: Path, tmp_path: Path) -> None:
    (case / "capflog.toml").write_text('fail-on = "info"\n', encoding="utf-8")
    own.write_text("quiet = true\n", encoding="utf-8")
    named = tmp_path / "ci.toml"
    named.write_text("min-coverage = 50\n", encoding="utf-8")
    found = {
        row["key"]: row["source"]
        for row in json.loads(capflog("--config", named, "config", "--format", "json").out)["settings"]
    }
    assert {key: source for key, source in found.items() if source != "default" and key != "store"} == {
        "min-coverage": str(named)
    }
    found = {
        row["key"]: row["source"]
        for row in json.loads(capflog("--no-config", "config", "--format", "json").out)["settings"]
    }
    assert {source for key, source in found.items() if key != "store"} == {"default"}


def test_paths_are_relative_to_the_file_that_names_them(case: Path) -> None:
    (case / "capflog.toml").write_text('rules = ["my-rules"]\nbaseline = "known.json"\n', encoding="utf-8")
    found = load(Path.cwd()).values
    assert found["rules"].value == (str(case / "my-rules"),)
    assert found["baseline"].value == str(case / "known.json")


def test_words_of_a_variable_stand_between_commas(capflog: Call, sample: Find) -> None:
    said = capflog("check", sample("ca-dns-failure"), env={"CAPFLOG_FAIL_ON": "ca-dns-failure, ca-cert-*"})
    assert said.status == 1
    assert "of ca-dns-failure or ca-cert-*" in said.out
    dated = capflog("analyze", sample("healthy"), env={"CAPFLOG_DATE": "5 Mar 2019"})
    assert dated.status == 0


def test_a_format_is_that_of_the_commands_that_have_it(capflog: Call, sample: Find, case: Path) -> None:
    (case / "capflog.toml").write_text('format = "json"\n', encoding="utf-8")
    assert capflog("analyze", sample("healthy")).out.startswith("{")
    (case / "capflog.toml").write_text('format = "sarif"\n', encoding="utf-8")
    assert capflog("devices", sample("healthy")).out.startswith("10 devices")
    assert capflog("devices", sample("healthy"), env={"CAPFLOG_FORMAT": "csv"}).out.startswith("device,")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fail_on = 'info'", "there is no key 'fail_on'; did you mean 'fail-on'?"),
        ("xyzzy = 1", "there is no key 'xyzzy'; 'capflog config' lists those that there are"),
        ("quiet = 'yes'", "'quiet' is true or false"),
        ("min-coverage = nan", "'min-coverage' is a number"),
        ("fail-on = []", "'fail-on' names nothing"),
        ("min-coverage = '95'", "'min-coverage' is a number"),
        ("display-tz = 5", "'display-tz' is a text"),
        ("baseline = ['a', 'b']", "'baseline' is a text"),
        ("select = [1]", "'select' is a list of texts"),
        ("color = 'maybe'", "'color' is one of auto, always, never"),
        ("format = 'jsn'", "'format' is one of text, json"),
        ("fail-on = [", "(at "),
        ("fail-on=warning", 'Invalid value (at line 1, column 9); texts stand in quotes: "..."'),
        ("[tool.capflog]", "belongs into pyproject.toml; in capflog.toml the keys stand by themselves"),
        ("[tool.ruff]", "belongs into pyproject.toml; in capflog.toml the keys stand by themselves"),
        ("store = 'x.db'", "'store' is taken from your own settings alone"),
        ("ignore = ['a']", "ignore 1: in a file it is a table [[ignore]]"),
        ("[[ignore]]\nrule = 'a'", "ignore 1 (a): 'reason' is wanted"),
        ("[[ignore]]\nreason = 'a'", "ignore 1: 'rule' is wanted"),
        ("[[ignore]]\nrule = 'a'\nreason = 'b'", "ignore 1 (a): 'until' is wanted"),
        ("[[ignore]]\nrule = 'a'\nreason = 'b'\nuntil = 'soon'", "ignore 1 (a): 'until' is wanted"),
        ("[[ignore]]\nrule = 'a'\nreason = 'b'\nuntil = 2027-01-31\nunitl = 1", "ignore 1: there is no key 'unitl'"),
        ("[[ignore]]\nrule = 'a'\nreason = 'b'\nuntil = 2027-01-31\ndevices = 5", "'devices' is a list of names"),
        ("[[ignore]]\nrule = 'a'\nreason = 'b'\nuntil = 2027-01-31\ndevices = []", "'devices' is a list of names"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line_with_its_name(capflog: Call, case: Path, text: str, words: str) -> None:
    path = case / "capflog.toml"
    path.write_text(text + "\n", encoding="utf-8")
    for command in ("config", "rules"):
        said = capflog(command)
        assert (said.status, said.err.count("\n")) == (2, 1)
        assert said.err.startswith(f"capflog: {path}: ")
        assert words in said.err
        # The command that is for looking at settings shows all that can be.
        assert bool(said.out) is (command == "config")
        assert all(key.name in said.out for key in KEYS if command == "config")
    assert capflog("help", "check").err == ""
    # Help is to be had in any case.
    assert capflog("check", "--help").status == 0
    assert capflog("--no-config", "rules").status == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("tz", '"Mars/Base"', "--tz Mars/Base"),
        ("fail-on", '"eror"', "--fail-on eror: no such rule; did you mean error"),
        ("rules", '"gone"', "gone"),
    ],
)
def test_a_wrong_value_of_a_file_is_told_with_the_files_name(
    capflog: Call, sample: Find, case: Path, key: str, value: str, words: str
) -> None:
    path = case / "capflog.toml"
    path.write_text(f"{key} = {value}\n", encoding="utf-8")
    said = capflog("check", sample("healthy"))
    assert (said.status, said.out) == (2, "")
    assert words in said.err
    assert str(path) in said.err


def test_a_file_that_is_not_text_or_not_there(capflog: Call, case: Path) -> None:
    (case / "capflog.toml").write_bytes(b"\xff\xfe")
    assert (capflog("config").status, capflog("config").err.count("\n")) == (2, 1)
    (case / "capflog.toml").unlink()
    (case / "capflog.toml").mkdir()
    assert "it is no file" in capflog("rules").err
    (case / "capflog.toml").rmdir()
    for target in ("gone.toml", "capflog.toml"):
        (case / "capflog.toml").symlink_to(target)
        said = capflog("rules")
        assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
        (case / "capflog.toml").unlink()
    os.mkfifo(case / "capflog.toml")
    assert "it is no file" in capflog("rules").err
    (case / "capflog.toml").unlink()
    for content in ("x = " + "[" * 100_000, "#" * 1_000_001):
        (case / "capflog.toml").write_text(content, encoding="utf-8")
        said = capflog("rules")
        assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
        assert said.err.startswith(f"capflog: {case / 'capflog.toml'}: ")
    (case / "capflog.toml").unlink()
    assert capflog("--config", case / "gone.toml", "config").status == 2


def test_config_shows_ignores_with_reason_and_end(capflog: Call, case: Path) -> None:
    (case / "capflog.toml").write_text(
        '[[ignore]]\nrule = "clock-*"\nreason = "no time\\nserver"\nuntil = 2027-01-31\ndevices = ["SEP*"]\n',
        encoding="utf-8",
    )
    said = capflog("config")
    assert "ignore clock-* for SEP* until 2027-01-31: no time server" in said.out
    (one,) = json.loads(capflog("config", "--format", "json").out)["ignores"]
    assert one == {
        "rule": "clock-*",
        "reason": "no time server",
        "until": "2027-01-31",
        "devices": ["SEP*"],
        "source": str(case / "capflog.toml"),
    }


def test_config_names_every_key_with_its_variable(capflog: Call) -> None:
    said = settings(capflog)
    assert list(said) == [key.name for key in KEYS]
    assert {row["variable"] for row in said.values()} == {variable(key.name) for key in KEYS}
    text = capflog("config").out
    assert all(key.name in text for key in KEYS)


def test_the_file_of_another_user_is_no_traceback(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = case / "capflog.toml"
    path.write_text("", encoding="utf-8")

    def refuse(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(SettingsError, match=r"capflog\.toml: Permission denied"):
        load(Path.cwd())


def test_what_a_call_says_goes_before_flags_of_a_file(
    capflog: Call, sample: Find, case: Path, own: Path, tmp_path: Path
) -> None:
    own.write_text("quiet = true\nno-store = true\n", encoding="utf-8")
    assert capflog("analyze", sample("healthy")).err == ""
    assert "reading" in capflog("analyze", sample("healthy"), "-v").err
    assert not list(tmp_path.rglob("*.db"))
    store = tmp_path / "here.db"
    assert capflog("analyze", sample("healthy"), "--store", store).status == 0
    assert store.is_file()
    store.unlink()
    assert capflog("analyze", sample("healthy"), "--store", store, "--no-store").status == 0
    assert not store.exists()


def test_the_guide_names_every_key() -> None:
    guide = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [key.name for key in KEYS if f"`{key.name}`" not in guide] == []
    example = guide.split("```toml\n")[1].split("```")[0]
    assert set(tomllib.loads(example)) <= set(BY_NAME)


# ---- nothing is passed over in silence -----------------------------------------------------------------------------


WRONG = {
    "fail-on": ("errr", '["errr"]', "--fail-on errr: no such rule; did you mean error?"),
    "select": ("clok-*", '["clok-*"]', "--select clok-*: no such rule"),
    "min-coverage": ("abc", "101", " is no share in percent, from 0 to 100"),
    "tz": ("Mars/X", '"Mars/X"', "--tz Mars/X: 'Mars/X' is not a time zone"),
    "iis-tz": ("Mars/X", '"Mars/X"', "--iis-tz Mars/X: "),
    "display-tz": ("Mars/X", '"Mars/X"', "--display-tz Mars/X: "),
    "date": ("03/05/2019", '"03/05/2019"', "--date 03/05/2019: "),
    "rules": ("gone", '["gone"]', "does not exist"),
    "format": ("jsn", '"jsn"', "json"),
    "color": ("pink", '"pink"', "auto, always, never"),
    "quiet": ("maybe", '"maybe"', "true"),
    "require": ("capf,isi", '["isi"]', "capf, ciscora"),
}


@pytest.mark.parametrize("key", WRONG)
def test_config_finds_a_value_that_a_command_would_refuse(capflog: Call, case: Path, key: str) -> None:
    text, toml, words = WRONG[key]
    path = case / "capflog.toml"
    path.write_text(f"{key} = {toml}\n", encoding="utf-8")
    for env, source in (({}, str(path)), ({variable(key): text}, variable(key))):
        said = capflog("config", env=env)
        assert (said.status, said.err.count("\n")) == (2, 1 if not env or key not in ONE_OF else 2)
        assert words in said.err
        assert source in said.err
        assert f"{key} " in next(line for line in said.out.splitlines() if "wrong: " in line)
        told = capflog("config", "--format", "json", env=env)
        marked = [row for row in json.loads(told.out)["settings"] if row.get("wrong")]
        assert [(row["key"], row["source"]) for row in marked] == [(key, source)]
        assert told.err == said.err


#: What a file may say of these is looked at when it is read, whatever the environment says.
ONE_OF = ("format", "color", "quiet", "require")


def test_config_tells_all_that_is_wrong_at_once_as_the_command_does(capflog: Call, sample: Find, case: Path) -> None:
    env = {variable(key): text for key, (text, _, _) in WRONG.items()}
    said = capflog("config", env=env)
    assert (said.status, said.err.count("\n")) == (2, len(WRONG))
    assert said.out.count("wrong: ") == len(WRONG)
    for key in ("fail-on", "min-coverage", "tz", "rules", "color"):
        one = {variable(key): WRONG[key][0]}
        assert capflog("check", sample("healthy"), env=one).err.splitlines()[0] in said.err.splitlines()


def test_config_is_content_with_what_commands_take(capflog: Call, case: Path) -> None:
    (case / "mine").mkdir()
    guide = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    rule = next(text for text in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "\ncases:" in text)
    name = next(line for line in rule.splitlines() if line.startswith("id:")).partition(":")[2].strip()
    (case / "mine" / f"{name}.yaml").write_text(rule, encoding="utf-8")
    (case / "capflog.toml").write_text(
        f'rules = ["mine"]\nselect = ["{name}", "ca-*"]\ntz = ["pub=Europe/Berlin", "-05:00"]\ndate = 2019-03-05\n'
        'color = "never"\nno-align = true\nbaseline = "later.json"\n',
        encoding="utf-8",
    )
    env = {"CAPFLOG_MIN_COVERAGE": "95%", "CAPFLOG_REQUIRE": "capf, iis", "CAPFLOG_FORMAT": "sarif"}
    said = capflog("config", env=env)
    assert (said.status, said.err) == (0, "")
    assert "wrong" not in said.out
    # A day of TOML is one of JSON, too.
    assert settings(capflog, CAPFLOG_FORMAT="json")["date"]["value"] == "2019-03-05"
    (case / "capflog.toml").write_text("min-coverage = nan\n", encoding="utf-8")
    said = capflog("config", env={"CAPFLOG_FORMAT": "json"})
    assert (said.status, '"value": "nan"' in said.out) == (2, True)


def test_an_ignore_of_no_rule_is_told_with_its_file(capflog: Call, case: Path) -> None:
    path = case / "capflog.toml"
    path.write_text('[[ignore]]\nrule = "clok-offset"\nreason = "a"\nuntil = 2099-01-31\n', encoding="utf-8")
    said = capflog("config")
    assert said.err.startswith("capflog: ignore clok-offset: no such rule; did you mean clock-offset")
    assert f"(from {path})" in said.err
    assert "1, see below" in said.out


def test_see_below_stands_where_there_is_something_below(capflog: Call) -> None:
    assert "see below" not in capflog("config").out
    assert "does not fail for" in capflog("config", env={"COLUMNS": "200"}).out


@pytest.mark.parametrize(
    ("name", "offer"),
    [("CAPFLOG_FIAL_ON", "did you mean CAPFLOG_FAIL_ON?"), ("CAPFLOG_XYZZY", "'capflog config' lists the keys")],
)
def test_a_variable_that_is_none_is_told(capflog: Call, sample: Find, name: str, offer: str) -> None:
    env = {name: "info", "CAPFLOG_VENV": "x", "CAPFLOG_DEBUG": ""}
    calls: list[tuple[str | Path, ...]] = [
        ("check", sample("healthy")),
        ("config",),
        ("explain", "22"),
        ("rules", "lint"),
    ]
    for words in calls:
        said = capflog(*words, env=env)
        assert said.status == 0
        (line,) = said.err.splitlines()
        assert line.startswith(f"capflog: {name} is set, but there is no such variable; {offer}")
    silent = (("--help",), ("help",), ("help", "check"), ("check", "--help"), ("completion", "bash"), ("--version",))
    for quiet in (*silent, ("explain", "22", "-q")):
        assert capflog(*quiet, env=env).err == ""
    assert capflog(env={**env, "_CAPFLOG_COMPLETE": "bash_complete", "COMP_WORDS": "capflog ch"}).err == ""


def test_a_format_of_another_command_in_the_environment_is_passed_over(capflog: Call, sample: Find) -> None:
    assert capflog("devices", sample("healthy"), env={"CAPFLOG_FORMAT": "sarif"}).out.startswith("10 devices")
    said = capflog("devices", sample("healthy"), env={"CAPFLOG_FORMAT": "jsn"})
    assert said.err.splitlines()[0].endswith("did you mean json? (from CAPFLOG_FORMAT)")
