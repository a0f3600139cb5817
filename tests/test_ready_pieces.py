"""The ready pieces for pipelines: valid by the published schemas, and run here as a runner would run them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from check_jsonschema.cli import main as check_jsonschema
from click.testing import CliRunner

from capflog.cli import main
from capflog.commands.settings_files import load
from capflog.outputs import FORMATS
from capflog.rulebook import builtin

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Said

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
INSTALL, CHECK = ACTION["runs"]["steps"]
HEADER, JOB = yaml.safe_load_all((ROOT / "templates" / "capflog.yml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))}

BASH = shutil.which("bash") or "bash"
posix = pytest.mark.skipif(os.name == "nt", reason="bash and sh are a POSIX system's")


def examples(language: str) -> list[str]:
    """The guide's examples in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def valid(schema: str, text: str, tmp_path: Path) -> None:
    """See that a file is valid by a schema that check-jsonschema brings."""
    path = tmp_path / "instance.yml"
    path.write_text(text, encoding="utf-8")
    said = CliRunner().invoke(check_jsonschema, ["--builtin-schema", schema, "-v", str(path)])
    assert said.exit_code == 0, f"{said.output}\n{text}"


# ---- they are what GitHub, GitLab and pre-commit take for valid ----------------------------------------------------


def test_the_action_is_valid(tmp_path: Path) -> None:
    valid("vendor.github-actions", (ROOT / "action.yml").read_text(encoding="utf-8"), tmp_path)


def test_a_schema_finds_a_fault(tmp_path: Path) -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8").replace("using: composite", "using: composte")
    with pytest.raises(AssertionError, match="composte"):
        valid("vendor.github-actions", text, tmp_path)


@pytest.mark.parametrize("step", [INSTALL, CHECK], ids=["install", "check"])
def test_no_expression_is_part_of_a_script(step: dict[str, Any]) -> None:
    assert "${{" not in step["run"]
    assert step["shell"] == "bash"
    for name, value in step["env"].items():
        assert re.fullmatch(r"\$\{\{ (inputs|steps\.install\.outputs)\.[a-z-]+ \}\}", value), name


def test_each_input_comes_to_a_script_and_stands_in_the_guide() -> None:
    passed = {value[4:-3].removeprefix("inputs.") for step in (INSTALL, CHECK) for value in step["env"].values()}
    assert passed == set(ACTION["inputs"]) | {"steps.install.outputs.python"}
    rows = re.findall(r"^\| ((?:`[a-z-]+`(?:, )?)+) \|", GUIDE.split("| input |")[1].split("\n\nThe step")[0], re.M)
    told = {name for row in rows for name in re.findall("`([a-z-]+)`", row)}
    assert told == set(ACTION["inputs"]) | set(ACTION["outputs"])


def interpolated(**inputs: str) -> str:
    """The GitLab job as GitLab makes it of the template: inputs put into its text."""
    known = {name: one.get("default") for name, one in HEADER["spec"]["inputs"].items()} | inputs
    text = (ROOT / "templates" / "capflog.yml").read_text(encoding="utf-8").split("\n---\n")[1]
    return re.sub(r"\$\[\[ inputs\.([a-z-]+) \]\]", lambda found: known[found[1]], text)


def test_the_gitlab_job_is_valid(tmp_path: Path) -> None:
    valid("vendor.gitlab-ci", interpolated(bundle="bundles/*.zip", install="."), tmp_path)
    valid("vendor.gitlab-ci", yaml.safe_dump(HEADER), tmp_path)
    mandatory = {name for name, one in HEADER["spec"]["inputs"].items() if "default" not in one}
    assert mandatory == {"bundle", "install"}


def test_the_hooks_are_what_pre_commit_knows() -> None:
    # https://pre-commit.com/#new-hooks
    known = {"id", "name", "description", "entry", "language", "files", "pass_filenames", "require_serial"}
    assert list(HOOKS) == ["capflog-rules-lint", "capflog-rules-test", "capflog-check"]
    for hook in HOOKS.values():
        assert {"id", "name", "entry", "language"} <= set(hook) <= known
        assert hook["language"] == "python"


@pytest.mark.parametrize("name", ["a.zip", "b/c d.TGZ", "x.tar.gz", "x.tar.zst", "x.tar"])
def test_the_check_hook_is_for_archives(name: str) -> None:
    assert re.search(HOOKS["capflog-check"]["files"], name)
    assert not re.search(HOOKS["capflog-check"]["files"], f"{name}.txt")
    assert not re.search(HOOKS["capflog-check"]["files"], "notes.gz")


# ---- the action, run -----------------------------------------------------------------------------------------------


class Runner:
    """What GitHub's runner gives a step: folders, files for outputs and for the summary, inputs in the environment."""

    def __init__(self, tmp_path: Path) -> None:
        self.workspace, self.temp = tmp_path / "work space", tmp_path / "temp"
        self.workspace.mkdir()
        self.temp.mkdir()
        self.output, self.summary = tmp_path / "output", tmp_path / "summary"

    def run(self, step: dict[str, Any], env: dict[str, str] | None = None, /, **inputs: str) -> Said:
        """Run a step's script with inputs by their names (``_`` for ``-``)."""
        from .conftest import Said

        given = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        self.output.write_text("", encoding="utf-8")
        self.summary.write_text("", encoding="utf-8")
        script = self.temp / "step.sh"
        script.write_text(step["run"], encoding="utf-8")
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.temp), "PYTHON": sys.executable}
        variables |= {
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_TOOL_CACHE": str(self.temp / "no tools"),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        variables |= {
            name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
            for name, value in step["env"].items()
            if "inputs." in value
        }
        done = subprocess.run(
            [BASH, "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.workspace,
            env=variables | (env or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Said(done.stdout, done.stderr, done.returncode)

    def outputs(self) -> dict[str, str]:
        """What the step has put out."""
        return dict(line.split("=", 1) for line in self.output.read_text(encoding="utf-8").splitlines())


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner with a workspace."""
    return Runner(tmp_path)


@posix
def test_the_action_passes_what_is_well(runner: Runner, sample: Find) -> None:
    shutil.copy(sample("healthy"), runner.workspace / "a [b] c.zip")
    # What lies in the workspace is never imported.
    (runner.workspace / "capflog").mkdir()
    (runner.workspace / "capflog" / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    said = runner.run(CHECK, bundle="a [b] c.zip\r\n", report="out/a report.json\nstatus=failed", summary="false")
    assert said.status == 0, said.err
    outputs = runner.outputs()
    assert (outputs["status"], outputs["verdict"]) == ("passed", "healthy")
    assert outputs["report"] == "out/a report.json"
    assert json.loads((runner.workspace / "out" / "a report.json").read_text())["gate"]["passed"] is True
    assert runner.summary.read_text() == ""
    assert all(line.startswith("::notice ") for line in said.out.splitlines())


@posix
def test_the_action_fails_for_what_is_found(runner: Runner, sample: Find) -> None:
    shutil.copy(sample("healthy"), runner.workspace / "cucm pub 1.zip")
    shutil.copy(sample("ca-dns-failure"), runner.workspace / "cucm pub 2.zip")
    said = runner.run(CHECK, bundle="cucm pub *.zip", fail_on="error, ca-dns-*", args="--tz=America/New_York\r\n")
    assert said.status == 1
    outputs = runner.outputs()
    assert (outputs["status"], outputs["verdict"]) == ("failed", "failing")
    document = json.loads(Path(outputs["report"]).read_text(encoding="utf-8"))
    assert document["passed"] is False
    assert [one["bundle"]["name"] for one in document["reports"]] == ["cucm pub 1.zip", "cucm pub 2.zip"]
    assert document["reports"][0]["gate"]["fail_on"] == ["error", "ca-dns-*"]
    assert json.loads(Path(outputs["sarif"]).read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert "ca-dns-failure" in Path(outputs["junit"]).read_text(encoding="utf-8")
    assert "ca-dns-failure" in runner.summary.read_text(encoding="utf-8")
    assert re.search(r"^::error .*cannot resolve", said.out, re.MULTILINE)


@posix
def test_the_action_ignores_what_it_is_told_to(runner: Runner, sample: Find) -> None:
    settings = runner.workspace / "gate.toml"
    settings.write_text('ignore = [{rule = "ces-*", reason = "r", until = 2999-01-01}]', encoding="utf-8")
    (runner.workspace / "capflog.toml").write_text("nonsense = 1", encoding="utf-8")
    said = runner.run(CHECK, bundle=str(sample("ca-dns-failure")), ignore="ca-*\nclock-offset", config="gate.toml")
    assert said.status == 0, said.err
    assert runner.outputs()["status"] == "passed"
    assert runner.outputs()["verdict"] == "failing"


@posix
def test_nothing_in_an_input_is_run(runner: Runner) -> None:
    evil = "\"; touch owned; $(touch owned) `touch owned` ' && touch owned # ${IFS}"
    said = runner.run(CHECK, **{name.replace("-", "_"): evil for name in ("bundle", "fail-on", "args", "baseline")})
    assert said.status == 2
    assert runner.outputs() == {"status": "broken", "verdict": ""}
    assert not [path for path in runner.workspace.rglob("*owned*") if path.name == "owned"]
    for name in ACTION["inputs"]:
        if name not in ("bundle", "report", "sarif", "junit"):
            assert f"INPUT_{name.upper().replace('-', '_')}" in (INSTALL["env"] | CHECK["env"])


@posix
def test_the_action_says_where_it_could_not_judge(runner: Runner) -> None:
    said = runner.run(CHECK, bundle="bundles/*.zip\nsarif=evil", sarif="x.sarif\nstatus=passed")
    assert said.status == 2
    assert "bundles/*.zip: no such file" in said.err
    said_of = runner.outputs()
    assert (said_of["status"], said_of["verdict"], said_of["sarif"]) == ("broken", "", "x.sarif")
    # (So says the output even where the first step failed.)
    assert ACTION["outputs"]["status"]["value"] == "${{ steps.check.outputs.status || 'broken' }}"


#: A Python that makes virtual environments of itself and notes what pip is asked for.
STUB = f"""#!/bin/sh
case "$*" in
  "-I -c"*) exec {shlex.quote(sys.executable)} "$@" ;;
  "-I -m venv "*) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
  "-I -m pip install "*) printf '%s\\n' "$@" > "$RUNNER_TEMP/pip.txt" ;;
  *) exit 9 ;;
esac
"""


def executable(path: Path, text: str) -> Path:
    """Write a script that can be called."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@posix
@pytest.mark.parametrize("place", ["input", "path", "cache"])
def test_the_action_installs_with_the_python_it_finds(place: str, runner: Runner) -> None:
    tools = runner.temp / "no tools" / "Python" / "3.12.9" / "x64" / "bin"
    stub = executable((tools if place == "cache" else runner.temp / "tools") / "python3", STUB)
    # Only what a script needs is there beside it, and an old Python.
    plain = runner.temp / "plain"
    for name in ("mkdir", "cp"):
        plain.mkdir(exist_ok=True)
        (plain / name).symlink_to(shutil.which(name) or name)
    executable(plain / "python", "#!/bin/sh\nexit 1\n")
    path = f"{stub.parent}{os.pathsep}{plain}" if place == "path" else str(plain)
    said = runner.run(INSTALL, {"PATH": path}, python=str(stub) if place == "input" else "")
    assert said.status == 0, said
    own = runner.temp / "capflog-venv" / "bin" / "python"
    assert runner.outputs() == {"python": str(own)}
    assert own.is_file()
    assert (runner.temp / "pip.txt").read_text().splitlines()[-1] == str(ROOT)


@posix
def test_the_action_says_that_it_needs_a_python(runner: Runner) -> None:
    said = runner.run(INSTALL, python="/no/python")
    assert (said.status, runner.outputs()) == (2, {})
    assert said.out.startswith("::error title=capflog::There is no Python 3.11 or later here")


# ---- the GitLab job, run -------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize(("shell", "wrong"), [("sh", False), ("bash", True)])
def test_the_gitlab_job_judges(shell: str, wrong: bool, tmp_path: Path, sample: Find) -> None:
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(sample("healthy"), work / "a b.zip")
    shutil.copy(sample("ca-dns-failure" if wrong else "healthy"), work / "c.zip")
    job = yaml.safe_load(interpolated(bundle="a b.zip, *c.zip", install="x; touch owned"))["capflog"]
    executable(tmp_path / "bin" / "pip", '#!/bin/sh\nprintf "%s\\n" "$@" > ../pip.txt\n')
    python = shlex.quote(sys.executable)
    executable(tmp_path / "bin" / "capflog", f'#!/bin/sh\nexec {python} -m capflog "$@"\n')
    done = subprocess.run(
        [shell, "-e", "-c", "\n".join([*job["before_script"], *job["script"]])],
        cwd=work,
        env={"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"} | job["variables"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == int(wrong), done.stderr
    assert (tmp_path / "pip.txt").read_text().splitlines()[-1] == "x; touch owned"
    assert not (work / "owned").exists()
    reports = job["artifacts"]["reports"]
    assert 'failures="1"' in (work / reports["junit"]).read_text() if wrong else True
    found = [one["check_name"] for one in json.loads((work / reports["codequality"]).read_text())]
    assert ("ca-dns-failure" in found) == wrong
    assert set(reports.values()) < set(job["artifacts"]["paths"])
    assert all((work / path).is_file() for path in job["artifacts"]["paths"])


def test_the_gitlab_job_hands_on_what_it_is_told(capflog: Call, sample: Find) -> None:
    inputs = {"fail-on": "info", "select": "clock-*", "ignore": "clock-step", "min-coverage": "12.5"}
    variables = yaml.safe_load(interpolated(bundle="x", install="x", **inputs))["capflog"]["variables"]
    said = capflog("check", "--format", "json", sample("healthy"), env=variables)
    gate = json.loads(said.out)["gate"]
    assert (said.status, gate["fail_on"], gate["min_coverage"]) == (1, ["info"], 12.5)


# ---- the hooks, run ------------------------------------------------------------------------------------------------


def test_the_check_hook_judges_each_file(capflog: Call, sample: Find) -> None:
    program, *words = shlex.split(HOOKS["capflog-check"]["entry"])
    assert program == "capflog"
    said = capflog(*words, sample("healthy"), sample("ca-dns-failure"))
    assert said.status == 1
    assert "PASS  healthy.zip" in said.out
    assert "FAIL  ca-dns-failure.zip" in said.out


@pytest.mark.parametrize("hook", ["capflog-rules-lint", "capflog-rules-test"])
def test_the_hooks_for_rules_ask_a_folder(hook: str, capflog: Call, tmp_path: Path) -> None:
    words = shlex.split(HOOKS[hook]["entry"])[1:]
    assert HOOKS[hook]["pass_filenames"] is False
    rule = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "ca-maintenance-page.yaml"
    path.write_text(rule, encoding="utf-8")
    assert capflog(*words, tmp_path).status == 0
    path.write_text(rule.replace("severity: ", "severity: not-"), encoding="utf-8")
    assert capflog(*words, tmp_path).status == 1


# ---- the image -----------------------------------------------------------------------------------------------------

DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))


def instructions(name: str) -> list[str]:
    """What the Dockerfile says with an instruction."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def test_the_image_is_built_of_all_that_is_needed_and_of_nothing_else() -> None:
    copied = {word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {name.split(".")[0] for name in project["tool"]["setuptools"]["packages"]}
    folders |= set(project["tool"]["setuptools"]["package-dir"].values())
    beside = {path for files in project["tool"]["setuptools"]["data-files"].values() for path in files}
    needed = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"], *beside, *folders}
    assert copied == needed
    assert all((ROOT / name).exists() for name in copied)
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_the_image_runs_capflog_as_nobody_in_particular(capflog: Call) -> None:
    assert [json.loads(line) for line in instructions("ENTRYPOINT")] == [["capflog"]]
    assert capflog(*json.loads(instructions("CMD")[0])).status == 0
    (user,) = instructions("USER")
    assert f"useradd --uid {user} " in DOCKERFILE
    prepared = instructions("RUN")[-1].split("-c '")[1].split("'")[0]
    compile(prepared, "Dockerfile", "exec")
    from capflog import scanning

    assert callable(scanning.prepare)


@posix
def test_a_user_without_a_home_can_check(
    sample: Find, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pwd

    def nobody(number: int) -> pwd.struct_passwd:
        raise KeyError(number)

    for name in ("HOME", "CAPFLOG_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(sys, "argv", ["capflog", "check", str(sample("healthy"))])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out[:19]) == (0, "PASS  healthy.zip: ")
    assert "this analysis is not kept" in said.err


# ---- the guide -----------------------------------------------------------------------------------------------------


def test_the_guides_files_are_valid(tmp_path: Path) -> None:
    schemas = {".github/workflows/": "vendor.github-workflows", ".gitlab-ci.yml": "vendor.gitlab-ci"}
    seen = []
    for text in examples("yaml"):
        name = text.splitlines()[0].removeprefix("# ")
        seen.append(name)
        schema = next((schema for start, schema in schemas.items() if name.startswith(start)), None)
        if schema is not None:
            valid(schema, text, tmp_path)
    assert seen.count(".gitlab-ci.yml") == 3
    assert sum(name.startswith(".github/workflows/") for name in seen) == 2


def test_the_guides_examples_name_what_there_is() -> None:
    for text in examples("yaml"):
        document = yaml.safe_load(text)
        for job in document.get("jobs", {}).values():
            for step in job["steps"]:
                if "capflog@" in step.get("uses", ""):
                    assert set(step["with"]) <= set(ACTION["inputs"])
            for name in re.findall(r"steps\.capflog\.outputs\.([a-z]+)", text):
                assert name in ACTION["outputs"]
        for include in document.get("include", []):
            assert set(include["inputs"]) <= set(HEADER["spec"]["inputs"])
            assert all(isinstance(value, str) for value in include["inputs"].values())
        for repository in document.get("repos", []):
            assert {hook["id"] for hook in repository["hooks"]} <= set(HOOKS)
    table = GUIDE.split("## The formats")[1]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE) != []
    assert set(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)) == set(FORMATS)


def test_the_guides_settings_can_be_read(tmp_path: Path) -> None:
    (text,) = examples("toml")
    (tmp_path / "capflog.toml").write_text(text, encoding="utf-8")
    settings = load(tmp_path)
    assert settings.values["baseline"].shown == "known.json"
    assert {excuse.rule for excuse in settings.ignores} <= set(builtin().rules)


def test_the_guide_shows_an_annotation_as_it_is(capflog: Call, sample: Find) -> None:
    (shown,) = examples("text")
    said = capflog("check", "--format", "github", sample("ca-dns-failure")).out.splitlines()[0]
    title, text = re.sub(r"^::error .*?,title=", "", said).split("::", 1)
    lines = [title, *text.split("%0A")]
    assert [line for line in lines if line in shown.splitlines()] == shown.splitlines()


def calls() -> list[str]:
    """Each call of capflog in the guide's shell, GitLab and Jenkins examples, without what the shell makes of it."""
    found = []
    for text in [*examples("sh"), *examples("yaml"), *examples("groovy")]:
        for call in re.findall(
            r"(?:^|(?<=[ /']))capflog ((?:analyze|check|devices)\b[^'\n]*(?:'[^'\n]*'[^'\n]*)*)", text, re.M
        ):
            plain = re.sub(r"\s(?:>\S+|2>&1|\|\|.*)", "", call)
            found.append(plain if plain.count("'") % 2 == 0 else plain.rstrip("'"))
    return list(dict.fromkeys(found))


def test_the_guides_calls_can_be_made(
    capflog: Call, sample: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample("ca-dns-failure"), tmp_path / "bundle.zip")
    Path("bundles").mkdir()
    shutil.copy(sample("ca-dns-failure"), tmp_path / "bundles" / "one.zip")
    made = calls()
    assert len(made) >= 10
    capflog("check", "bundle.zip", "--baseline", "known.json", "--write-baseline")
    for call in made:
        words = [word.replace("*", "one") if word.startswith("bundles/") else word for word in shlex.split(call)]
        said = capflog(
            *(word for word in words if word != "<" and not (word == "bundle.zip" and "<" in words)),
            stdin=(tmp_path / "bundle.zip").read_bytes(),
        )
        assert said.status in (0, 1), f"{call}: {said.err}"
        assert "--baseline" not in words or said.status == 0, call
