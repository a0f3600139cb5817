"""Completion: what the shells offer, asked of real ones where they are there."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from capflog.cli import COMMANDS, cli
from capflog.commands import completing
from capflog.commands.base import COMPLETE
from capflog.outputs import FORMATS
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

SHELLS = ("bash", "zsh", "fish", "powershell")


def offered(line: str) -> list[str]:
    """Ask as bash does what may stand at the end of a line."""
    env = {COMPLETE: "bash_complete", "COMP_WORDS": line, "COMP_BREAKS": ""}
    done = CliRunner(env=env).invoke(cli, [], prog_name="capflog")
    assert done.stderr == ""
    return [answer.partition(",")[2] for answer in done.stdout.splitlines() if answer.startswith("plain,")]


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """Put capflog on the path as an installed program; give the environment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "capflog"
    path.write_text(f"#!{sys.executable}\nfrom capflog.__main__ import main\n\nmain()\n", encoding="utf-8")
    path.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}


def test_commands_options_and_choices_are_offered() -> None:
    assert offered("capflog ") == list(COMMANDS)
    assert offered("capflog ti") == ["timeline"]
    assert offered("capflog rules ") == ["lint", "test"]
    assert offered("capflog help rules t") == ["test"]
    assert {"--where", "--format", "--output", "--color", "--quiet"} <= set(offered("capflog analyze --"))
    assert offered("capflog analyze --format ") == list(FORMATS)
    assert offered("capflog analyze --format=sar") == ["sarif"]
    assert offered("capflog analyze bundle.zip --color a") == ["auto", "always"]


def test_rules_are_offered_wherever_one_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "ca-mine.yaml").touch()
    for line in ("rule ", "check --select ", "check --ignore ", "devices --cause "):
        assert "ca-dns-failure" in offered(f"capflog {line}ca-d")
        assert "ca-mine" in offered(f"capflog {line.split()[0]} --rules {tmp_path} {line.partition(' ')[2]}ca-m")
    assert offered("capflog check --fail-on warn") == ["warning"]
    assert "ca-dns-failure" in offered("capflog check --fail-on ca-d")


def test_codes_are_offered_by_name_and_by_number() -> None:
    assert "EST_ERR_AUTH_FAIL" in offered("capflog explain est_err_au")
    assert {"curl:6", "curl:60"} <= set(offered("capflog explain curl:6"))
    assert offered("capflog explain iis:401") == ["iis:401"]
    assert CliRunner().invoke(cli, ["explain", "curl:60"]).exit_code == 0


def test_devices_of_the_last_analysis_are_offered_and_no_harm_if_there_is_none(capflog: Call, sample: Find) -> None:
    assert offered("capflog timeline ") == []
    assert capflog("analyze", sample("healthy")).status == 0
    assert offered("capflog timeline sep74a0") == ["SEP74A02FC0A675"]
    assert "CSFjsmith" in offered("capflog export --device ")


def test_a_store_that_cannot_be_read_is_no_harm(own_store: Path) -> None:
    own_store.mkdir()
    (own_store / "capflog.db").write_bytes(b"no database" * 100)
    assert offered("capflog timeline S") == []


def test_no_name_that_a_shell_would_run_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["SEP1", "$(reboot)", "a b", "a;b", "`x`", "SEP\x1b[2J", "SEP*", "a\nplain,b", "~root", "Größe"]
    given = completing._supply(lambda _: names)
    items = given(None, None, "")  # type: ignore[arg-type]
    assert [item.value for item in items] == ["SEP1"]


def test_wrong_words_before_the_cursor_are_told_to_nobody() -> None:
    assert "--output" in offered("capflog analyze --where 'no (condition' --tz Mars/Olympus --format nothing --out")
    assert offered("capflog nothing --fo") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_its_script(shell: str, capflog: Call) -> None:
    said = capflog("completion", shell)
    assert (said.status, said.err) == (0, "")
    assert f"{COMPLETE}" in said.out
    assert f"{shell}_complete" in said.out
    assert "cli" not in re.findall(r"\w+", said.out)
    assert shell in capflog("completion", "--help").out.lower()
    wrong = capflog("completion", f"{shell}x")
    assert (wrong.status, wrong.out) == (2, "")
    assert f"did you mean {shell}?" in wrong.err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(program: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bundle one.zip").touch()
    script = """
        eval "$(capflog completion bash)"
        complete -p capflog
        try() {
            COMP_LINE="$1" COMP_POINT=${#1}
            COMPREPLY=()
            _capflog_completion capflog "$2" ""
            (IFS='|'; echo "${COMPREPLY[*]}")
        }
        try "capflog ana" "ana"
        try "capflog analyze --format=ma" "ma"
        try "capflog explain curl:60" "60"
        try "capflog analyze bun" "bun"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, env=program, cwd=tmp_path, check=True
    )
    first, *others = done.stdout.splitlines()
    assert first.endswith("-F _capflog_completion capflog")
    assert (others, done.stderr) == (["analyze", "markdown", "60", "bundle one.zip"], "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_completes(program: dict[str, str], tmp_path: Path) -> None:
    script = (
        "capflog completion fish | source; complete -C 'capflog ana'; complete -C 'capflog analyze --format mark'; "
        "complete -C 'capflog rule ca-dns-'"
    )
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, env=program, cwd=tmp_path, check=True
    )
    words = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert words[:2] == ["analyze", "markdown"]
    assert "ca-dns-failure" in words


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_zsh_completes(program: dict[str, str], tmp_path: Path) -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.execvpe("zsh", ["zsh", "-f", "-i"], {**program, "TERM": "dumb", "PS1": "> "})
    try:
        send(terminal, 'unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D; PS1="> "\n')
        send(terminal, 'eval "$(capflog completion zsh)"; echo re""ady\n')
        assert "ready" in read_until(terminal, "ready")
        send(terminal, "capflog ana\t")
        assert "capflog analyze" in read_until(terminal, "capflog analyze")
        send(terminal, "--format mark\t")
        assert "markdown" in read_until(terminal, "markdown")
    finally:
        os.kill(child, 9)
        os.close(terminal)
        os.waitpid(child, 0)


def send(terminal: int, text: str) -> None:
    """Type into a terminal."""
    os.write(terminal, text.encode())


def read_until(terminal: int, words: str, most: float = 20) -> str:
    """Read what a terminal shows until words are there, or nothing comes for long."""
    shown = ""
    end = time.monotonic() + most
    while words not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 0.5)[0]:
            shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|.\x08", "", os.read(terminal, 65536).decode(errors="replace"))
    return shown


def powershell(line: str, cursor: int) -> list[dict[str, str]]:
    """Ask as the script of PowerShell does."""
    env = {COMPLETE: "powershell_complete", "COMP_WORDS": line, "COMP_CWORD": str(cursor)}
    done = CliRunner(env=env).invoke(cli, [], prog_name="capflog")
    lines = done.stdout.splitlines()
    return [dict(zip(("type", "value", "text"), lines[i : i + 3], strict=True)) for i in range(0, len(lines), 3)]


def test_powershell_is_answered_as_its_script_reads_it() -> None:
    (only,) = powershell("capflog ana", 1)
    assert (only["type"], only["value"]) == ("plain", "analyze")
    assert only["text"].startswith("What is wrong")
    assert [one["value"] for one in powershell("capflog analyze --format mark", 3)] == ["markdown"]
    assert powershell("capflog analyze bun", 2)[0]["type"] == "file"


@pytest.mark.skipif(shutil.which("pwsh") is None, reason="there is no PowerShell")
def test_powershell_completes(program: dict[str, str], tmp_path: Path) -> None:
    script = (
        "capflog completion powershell | Out-String | Invoke-Expression; "
        "(TabExpansion2 'capflog ana' 11).CompletionMatches.CompletionText"
    )
    done: subprocess.CompletedProcess[Any] = subprocess.run(
        ["pwsh", "-NoProfile", "-Command", script],
        capture_output=True,
        text=True,
        env=program,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.split() == ["analyze"]


def test_an_own_script_of_bash_is_free_of_what_macos_lacks() -> None:
    text = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    for word in ("mapfile", "readarray", "declare -A", "${COMP_WORDS"):
        assert word not in text
    if shutil.which("bash"):
        subprocess.run(["bash", "-n", "-c", text], check=True)
