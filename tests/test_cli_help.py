"""Help: nothing is cut, every example runs, and the man page and docs/cli.md say the same."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from click.testing import CliRunner

from capflog.cli import COMMANDS, SECTIONS, cli
from capflog.commands.helping import Named, in_lines, sections, summary
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]


@cache
def made() -> dict[str, Any]:
    """Load docs/make_cli.py."""
    path = ROOT / "docs" / "make_cli.py"
    namespace: dict[str, Any] = {"__file__": str(path), "__name__": "make_cli"}
    exec(path.read_text(encoding="utf-8"), namespace)
    return namespace


@cache
def contexts() -> list[click.Context]:
    """Give every command, those of groups too."""
    return list(made()["contexts"]())


def told_of(path: str) -> str:
    """Give what a command's module says of it."""
    return "".join(f"{one.command.help}\n" for one in contexts() if one.command_path == path)


PATHS = [context.command_path for context in contexts()]
BELOW = [context for context in contexts() if context.parent is not None]


def test_every_command_is_there_once_and_in_a_section() -> None:
    assert [path.split()[1] for path in PATHS if path.count(" ") == 1] == list(COMMANDS)
    placed = [name for names in SECTIONS.values() for name in names]
    assert len(placed) == len(set(placed))
    assert set(COMMANDS) <= set(placed), "cli.SECTIONS lacks a command"


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("path", PATHS)
def test_help_fits_its_width_and_cuts_nothing(path: str, width: int, capflog: Call) -> None:
    said = capflog(*path.split()[1:], "--help", env={"COLUMNS": str(width)})
    assert (said.status, said.err) == (0, "")
    cut = re.sub(r"\b(BUNDLE|ARGS|COMMAND)\]?\.\.\.", "", said.out)
    assert not re.search(r"\w\.\.\.$", cut, re.MULTILINE)
    assert said.out.isascii()
    text, _, examples = said.out.partition("\nExamples:\n")
    # Lines that are to be copied as they are may be wider than 60.
    wide = [line for line in text.splitlines() if len(line) > width]
    assert all(f"{line.strip()}\n" in told_of(path) for line in wide) if width < 80 else not wide
    assert max(map(len, examples.splitlines()), default=0) <= max(width, 80)
    assert "--fail-\n" not in text
    assert not [line for line in said.out.splitlines() if line != line.rstrip()]


def test_each_command_is_told_in_one_line_of_80_columns(capflog: Call) -> None:
    lines = capflog("--help", env={"COLUMNS": "80"}).out.splitlines()
    for context in BELOW:
        if context.command_path.count(" ") == 1:
            told = [line for line in lines if line.startswith(f"  {context.info_name} ")]
            assert len(told) == 1
            assert told[0].endswith(summary(context.command)), "too long for one line"


@pytest.mark.parametrize("path", PATHS[1:])
def test_help_command_shows_what_the_option_shows(path: str, capflog: Call) -> None:
    words = path.split()[1:]
    assert capflog("help", *words) == capflog(*words, "--help")


def test_help_without_a_command_and_of_one_that_there_is_not(capflog: Call) -> None:
    assert capflog("help").out == capflog("--help").out
    wrong = capflog("help", "analyse")
    assert (wrong.status, wrong.out) == (2, "")
    assert wrong.err.startswith("capflog: no such command: analyse; did you mean analyze?\n")
    wrong = capflog("help", "explain", "22")
    assert (wrong.status, wrong.err.splitlines()[0]) == (2, "capflog: 'capflog explain' has no commands: 22")


def test_options_stand_in_sections_and_formats_in_a_table(capflog: Call) -> None:
    out = capflog("check", "--help").out
    titles = re.findall(r"^(\w.*):$", out, re.MULTILINE)
    assert titles == [
        "What is asked",
        "The gate",
        "What is written",
        "What the logs do not tell of their clocks",
        "What is kept",
        "Common",
        "Formats",
        "Examples",
    ]
    assert re.search(r"^  sarif +SARIF 2.1.0, for code scanning$", out, re.MULTILINE)
    for context in contexts():
        shown = [term for _, rows in sections(context.command, context) for term, _ in rows]
        assert len(shown) == sum(isinstance(option, click.Option) for option in context.command.get_params(context))
        for option in context.command.get_params(context):
            if isinstance(option, Named) and isinstance(option.type, click.Choice):
                assert list(option.meanings) == list(option.type.choices)
            if isinstance(option, click.Option):
                assert option.help, f"{context.command_path} {option.opts}: no help"


def test_a_long_example_goes_on_in_the_next_line_as_a_shell_reads_it() -> None:
    call = "capflog analyze bundle.zip --where 'a - b | c' --output report.json | tee x --and more"
    shown = in_lines(call, 40, 2)
    assert shown.count("\n") > 1
    assert max(map(len, shown.splitlines())) <= 40
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(call)


# ---- the examples ------------------------------------------------------------------------------------------------


#: Takes half a minute: test_cli.py runs it, where everything is asked for.
LONG = "capflog rules test"

EXAMPLES = [(context.command_path, call) for context in BELOW for call, _ in getattr(context.command, "examples", ())]

#: Where a result goes at the end of a call.
_INTO = re.compile(r" > [^\s'\"]+$")


def ends(call: str) -> set[int]:
    """Say how an example may end: a gate may fail."""
    return {0, 1} if call.startswith("capflog check") or "--exit-code" in call else {0}


#: What a shell has to do before capflog can: pipes, redirection, variables. All else is called in this process.
_SHELL = re.compile(r"[|><$]|^[A-Z_]+=")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with all that examples name."""
    import zipfile

    folder = tmp_path_factory.mktemp("examples")
    samples = ROOT / "samples"
    faulty, healthy = samples / "ca-dns-failure.zip", samples / "healthy.zip"
    for name, source in (
        ("bundle", faulty),
        ("before", faulty),
        ("after", healthy),
        ("monday", faulty),
        ("tuesday", healthy),
        ("friday", healthy),
        ("cucm", faulty),
    ):
        shutil.copy(source, folder / f"{name}.zip")
    with zipfile.ZipFile(faulty) as archive:
        members = {name.rsplit("/", 1)[-1]: name for name in archive.namelist()}
        for name in ("capf00000001.txt", "nginx00000001.txt", "u_ex190116.log"):
            (folder / name).write_bytes(archive.read(members[name]))
    rules = folder / "my-rules"
    rules.mkdir()
    guide = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    rule = next(text for text in re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL) if "\ncases:" in text)
    (rules / f"{yaml.safe_load(rule)['id']}.yaml").write_text(rule, encoding="utf-8")
    run = CliRunner(env={"CAPFLOG_STORE": str(folder / "store")})
    for name in ("before", "monday"):
        done = run.invoke(cli, ["analyze", "--no-store", f"{folder / name}.zip", "--output", f"{folder / name}.json"])
        assert done.exit_code == 0
    return folder


@pytest.fixture
def there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the folder of the examples, with a store in it."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("CAPFLOG_STORE", str(place / "store"))
    if not (place / "store").exists():
        assert CliRunner().invoke(cli, ["analyze", "bundle.zip"]).exit_code == 0
        written = CliRunner().invoke(cli, ["check", "bundle.zip", "--baseline", "known.json", "--write-baseline"])
        assert written.exit_code == 0
    return place


def test_every_command_has_examples() -> None:
    assert {context.command_path for context in BELOW} == {path for path, _ in EXAMPLES}
    for path, call in EXAMPLES:
        assert f"{path} " in f"{call} ", "an example is of its own command"


def needs_shell(call: str) -> bool:
    """Tell whether there is more in a call than words, quotes, and a file for the result."""
    return bool(_SHELL.search(re.sub(r"'[^']*'|\"[^\"$]*\"", "", _INTO.sub("", call))))


@pytest.mark.parametrize("call", sorted({call for _, call in EXAMPLES if call != LONG and not needs_shell(call)}))
def test_an_example_runs(call: str, there: Path, capflog: Call) -> None:
    program, *words = shlex.split(_INTO.sub("", call))
    assert program == "capflog"
    said = capflog(*words)
    assert said.status in ends(call), said.err
    assert "shows how it is called" not in said.err
    assert said.out or " -o " in call or "--output" in call or "--write-baseline" in call


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_examples_with_pipes_run_in_a_shell(there: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "capflog").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m capflog "$@"\n', encoding="utf-8"
    )
    (programs / "capflog").chmod(0o755)
    for folder in (".local/share/bash-completion/completions", ".config/fish/completions"):
        (tmp_path / folder).mkdir(parents=True)
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for call in [call for _, call in EXAMPLES if needs_shell(call)]:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", call], capture_output=True, env=env, check=False)
        assert done.returncode in ends(call), (call, done.stderr)
        assert b"shows how it is called" not in done.stderr
        assert b"not found" not in done.stderr


# ---- docs/cli.md and the man page --------------------------------------------------------------------------------


def test_the_pages_are_what_help_says_now() -> None:
    assert made()["page"]() == (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), "python docs/make_cli.py"
    assert made()["manual"]() == (ROOT / "docs" / "capflog.1").read_text(encoding="utf-8"), "python docs/make_cli.py"


def test_the_pages_have_every_command_option_and_example() -> None:
    page, manual = made()["page"](), made()["manual"]()
    plain = manual.replace("\\-", "-").replace("\\(aq", "'").replace("\\(dq", '"').replace("\\(ti", "~")
    for context in contexts():
        assert f"\n## {context.command_path}\n" in page
        assert f"({'#' + context.command_path.replace(' ', '-')})" in page or context.parent is None
        assert f"\n.SS {context.command_path}\n" in plain or context.parent is None
        for option in context.command.get_params(context):
            if isinstance(option, click.Option):
                assert max(option.opts, key=len) in plain
        for call, _ in getattr(context.command, "examples", ()):
            assert f"\n{call}\n" in plain.replace("\\e", "\\")


def test_the_pages_do_not_depend_on_where_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    before = made()["page"](), made()["manual"]()
    for name, value in (("COLUMNS", "200"), ("FORCE_COLOR", "1"), ("CAPFLOG_FORMAT", "json"), ("CAPFLOG_TZ", "UTC")):
        monkeypatch.setenv(name, value)
    assert (made()["page"](), made()["manual"]()) == before


def test_roff_takes_no_word_of_help_for_a_command() -> None:
    roff = made()["_roff"]
    assert roff(".TH is -1 'x' \\n é") == "\\&.TH is \\-1 \\(aqx\\(aq \\en \\[u00E9]"
    for line in made()["manual"]().splitlines():
        assert line.isascii()
        assert not line.startswith("'")


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff")
def test_the_man_page_is_set_without_a_warning() -> None:
    call = ["groff", "-ww", "-man", "-Tutf8", "-rLL=80n", str(ROOT / "docs" / "capflog.1")]
    done = subprocess.run(call, capture_output=True, check=True)
    assert done.stderr == b""
    shown = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout.decode())
    assert "--where 'enrollment with outcome = failed and waited > 9'" in shown
    assert 'fail-on = ["warning"]' in shown
