"""Manners at a terminal: what is told of wrong calls, colours, pager, how much is told, how wide it is."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from capflog.cli import main
from tests.conftest import ROOT, Said
from tests.test_stopping import heed_signals

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

ESC = "\x1b"


# ---- wrong calls -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said", "of"),
    [
        (["analyse", "x.zip"], "no such command: analyse; did you mean analyze?", "capflog"),
        (["ANALYZE"], "no such command: ANALYZE; did you mean analyze?", "capflog"),
        (["rules", "tset"], "no such command: tset; did you mean test?", "capflog rules"),
        (["analyze"], "BUNDLE... is missing", "capflog analyze"),
        (["timeline"], "DEVICE is missing", "capflog timeline"),
        (["rule"], "ID is missing", "capflog rule"),
        (["rule", "a", "b", "c"], "more arguments than it takes: b c", "capflog rule"),
        (["analyze", "--formt", "json"], "no such option: --formt; did you mean --format?", "capflog analyze"),
        (["analyze", "-x"], "no such option: -x", "capflog analyze"),
        (["check", "x.zip", "--no-config"],
         "--no-config stands before the command: 'capflog --no-config check ...'", "capflog"),
        (["rules", "test", "--config=f"],
         "--config stands before the command: 'capflog --config FILE rules test ...'", "capflog"),
        (["config", "--version"], "--version stands by itself: 'capflog --version'", "capflog"),
        (["--quite"], "no such option: --quite", "capflog"),
        (["check", "x.zip", "--tz"], "--tz: a value is missing", "capflog check"),
        (["check", "x.zip", "--quiet=yes"], "--quiet takes no value", "capflog check"),
        (["check", "x.zip", "--color", "alway"],
         "--color: alway is none of auto, always, never; did you mean always?", "capflog check"),
        (["devices", "--outcome", "broken"], "--outcome: broken is none of issued, failed, incomplete",
         "capflog devices"),
        (["check", "x.zip", "--min-coverage", "200"], "--min-coverage: 200 is no share in percent, from 0 to 100",
         "capflog check"),
        (["check", "x.zip", "--min-coverage", "much"], "--min-coverage: much is no share in percent, from 0 to 100",
         "capflog check"),
        (["analyze", "x.zip", "--rules", "nowhere"], "--rules: directory 'nowhere' does not exist", "capflog analyze"),
        (["--config", "nowhere.toml", "config"], "--config: file 'nowhere.toml' does not exist", "capflog"),
        (["completion", "tcsh"], "SHELL: tcsh is none of bash, zsh, fish, powershell", "capflog completion"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)  # fmt: skip
def test_a_wrong_call_gets_a_line_that_says_what_and_one_that_says_where_to_look(
    words: list[str], said: str, of: str, capflog: Call
) -> None:
    got = capflog(*words)
    assert (got.status, got.out) == (2, "")
    first, second = got.err.splitlines()
    assert first.startswith(f"capflog: {said}")
    assert second == f"capflog: '{of} --help' shows how it is called"


def test_what_is_no_command_but_a_file_is_offered_to_analyze(capflog: Call, sample: Find) -> None:
    path = sample("healthy")
    said = capflog(path)
    assert said.status == 2
    assert said.err.splitlines()[0] == f"capflog: no such command: {path}; it is a file: 'capflog analyze {path}'?"


def test_a_file_that_is_not_there_has_its_nearest_offered(capflog: Call, sample: Find, tmp_path: Path) -> None:
    shutil.copy(sample("healthy"), tmp_path / "monday\x1b[2J.zip")
    said = capflog("analyze", tmp_path / "mondey\x1b[2J.zip")
    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.endswith(f"no such file or folder; did you mean {tmp_path}/monday\\x1b[2J.zip?\n")
    far = capflog("analyze", tmp_path / "other.zip")
    assert far.err.endswith("no such file or folder\n")


def test_without_a_command_help_is_shown_and_nothing_is_done(capflog: Call) -> None:
    said = capflog()
    assert (said.status, said.out) == (2, "")
    assert said.err == capflog("--help").out


def test_a_wrong_call_writes_nothing_of_its_words_to_the_terminal_as_it_is(capflog: Call) -> None:
    for words in (["\x1b[2J"], ["analyze", "--\x1b[2Jx"], ["analyze", "x", "--format", "\x1b]0;x\x07\n::error::"],
                  ["rule", "a", "\x1b[2J"], ["help", "\u202e\n"], ["rules", "lint", "\x1b[2J\nx"]):  # fmt: skip
        said = capflog(*words)
        assert said.status == 2
        assert said.err.count("\n") <= 2
        assert not [sign for sign in said.err if not sign.isprintable() and sign != "\n"]


def test_a_wrong_value_is_told_with_where_it_is_from(capflog: Call, tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text("min-coverage = 101\n", encoding="utf-8")
    said = capflog("--config", file, "check", "x.zip")
    assert said.status == 2
    assert said.err.splitlines()[0].endswith(f"101 is no share in percent, from 0 to 100 (from {file})")
    said = capflog("check", "x.zip", env={"CAPFLOG_COLOR": "pink"})
    assert said.err.splitlines()[0] == "capflog: --color: pink is none of auto, always, never (from CAPFLOG_COLOR)"
    said = capflog("check", "x.zip", "--color", "pink", env={"CAPFLOG_COLOR": "never"})
    assert "from" not in said.err.splitlines()[0]


def test_a_zone_that_is_set_for_good_is_no_reason_not_to_ask_the_last_analysis(capflog: Call, sample: Find) -> None:
    assert capflog("analyze", sample("healthy")).status == 0
    env = {"CAPFLOG_TZ": "-05:00", "CAPFLOG_DATE": "2019-01-16"}
    assert capflog("devices", env=env) == capflog("devices")
    assert capflog("timeline", "CSF*", env=env) == capflog("timeline", "CSF*")
    assert capflog("devices", "--tz", "-05:00").status == 2


# ---- colour ------------------------------------------------------------------------------------------------------


def on_terminal(*words: str) -> tuple[str, int]:
    """Run the program with a real terminal as its standard output and error; give what it shows there."""
    ours, its = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(ours, 65536):
                shown.append(piece)
        except OSError:  # the other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    before = sys.argv
    sys.argv = ["capflog", *words]
    try:
        with (
            os.fdopen(its, "w", encoding="utf-8") as stream,
            redirect_stdout(stream),
            redirect_stderr(stream),
            pytest.raises(SystemExit) as end,
        ):
            main()
    finally:
        sys.argv = before
        reader.join()
        os.close(ours)
    assert isinstance(end.value.code, int)
    return b"".join(shown).decode().replace("\r\n", "\n"), end.value.code


def words_alone(text: str) -> str:
    """Take colours, and what progress drew, away."""
    return re.sub(r"\x1b\[[0-9;]*m|[^\n]*\r", "", text).replace("python -m pytest.capflog", "capflog")


def test_a_terminal_gets_colour_and_a_pipe_the_same_words_without(
    capflog: Call, sample: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for words in (["analyze", str(sample("ca-dns-failure"))], ["rule", "ca-dns-failure"], ["analyze", "--help"]):
        piped = capflog(*words)
        assert ESC not in piped.out + piped.err
        shown, status = on_terminal(*words)
        assert f"{ESC}[1m" in shown
        assert status == piped.status == 0
        assert words_alone(shown) == piped.out


@pytest.mark.parametrize(
    ("env", "words", "colored"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": ""}, [], True),
        ({"TERM": "dumb"}, [], False),
        ({"CAPFLOG_COLOR": "never"}, [], False),
        ({}, ["--color", "never"], False),
        ({"NO_COLOR": "1"}, ["--color", "always"], True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, [], False),
    ],
)
def test_who_decides_of_colour_on_a_terminal(
    env: dict[str, str], words: list[str], *, colored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert (ESC in on_terminal("rule", "ca-dns-failure", *words)[0]) is colored
    if not set(env) & {"CAPFLOG_COLOR"}:  # (help reads no settings)
        assert (ESC in on_terminal("rule", *words, "--help")[0]) is colored


def test_who_decides_of_colour_in_a_pipe(capflog: Call) -> None:
    for env, words, colored in (
        ({}, [], False),
        ({"FORCE_COLOR": "1"}, [], True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1"}, ["--color", "never"], False),
        ({}, ["--color", "always"], True),
    ):
        assert (ESC in capflog("rule", "ca-dns-failure", *words, env=env).out) is colored
    assert ESC in capflog("rule", "--color", "always", "--help").out


def test_no_machine_reads_colour(capflog: Call, sample: Find) -> None:
    for name in ("json", "jsonl", "sarif", "junit", "csv"):
        said = capflog("analyze", sample("ca-dns-failure"), "--format", name, "--color", "always", "--pager")
        assert ESC not in said.out


# ---- pager -------------------------------------------------------------------------------------------------------


def paged(*words: str, folder: Path, env: dict[str, str], started: list[int] | None = None) -> tuple[str, int]:
    """Run capflog as a process of a terminal of its own; give what is shown there."""
    ours, its = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name not in ("PAGER", "LESS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "capflog", *words],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=folder,
        env={**plain, "TERM": "xterm", "COLUMNS": "80", "PYTHONPATH": str(ROOT), **env},
        start_new_session=True,
        preexec_fn=heed_signals,  # noqa: PLW1509
    )
    if started is not None:
        started.append(process.pid)
    os.close(its)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # nobody has the other end any more
        pass
    os.close(ours)
    return shown.decode().replace("\r\n", "\n"), process.wait()


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], str]:
    """Write a pager."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    return write


def test_the_pager_is_called_on_request_alone(tmp_path: Path) -> None:
    plain, status = paged("rule", "ca-dns-failure", folder=tmp_path, env={"PAGER": "cat -n"})
    assert ESC in plain
    assert "     1\t" not in plain
    shown, paged_status = paged("rule", "ca-dns-failure", "--pager", folder=tmp_path, env={"PAGER": "cat -n"})
    lines = words_alone(plain).splitlines()
    assert shown.splitlines() == [f"{number:6}\t{line}" for number, line in enumerate(lines, 1)]
    assert status == paged_status == 0


def test_less_gets_colours_that_it_shows(script: Callable[[str, str], str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    less = script("bin/less", 'echo "LESS is $LESS"; cat')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for env, told, colored in (
        ({"PATH": path}, "LESS is -FRX", True),  # PAGER is not set
        ({"PAGER": less, "LESS": "-i"}, "LESS is -i", False),
        ({"PAGER": f"{shlex.quote(less)} -R"}, "LESS is -FRX", True),
    ):
        shown, status = paged("rule", "ca-dns-failure", "--pager", folder=tmp_path, env=env)
        assert (shown.splitlines()[0], ESC in shown, status) == (told, colored, 0)


@pytest.mark.parametrize("pager", ["no-such-pager", "'", "/dev/null", "{}/folder", "{}/garbage"])
def test_a_pager_that_cannot_run_costs_nothing(pager: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "garbage").write_bytes(b"\x7fELF\0")
    (tmp_path / "garbage").chmod(0o755)
    shown, status = paged("explain", "curl:60", "--pager", folder=tmp_path, env={"PAGER": pager.format(tmp_path)})
    assert status == 0
    assert "Traceback" not in shown
    assert "CURLE_PEER_FAILED_VERIFICATION" in shown


def test_a_pager_that_is_left_early_is_no_error(script: Callable[[str, str], str], tmp_path: Path) -> None:
    pager = script("impatient", "head -c 20; exit 3")
    shown, status = paged("rules", "--pager", folder=tmp_path, env={"PAGER": pager})
    assert (len(shown.rstrip("\n")), status) == (20, 0)


def test_ctrl_c_is_the_pagers(script: Callable[[str, str], str], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    pager = script(
        "patient", f"trap 'echo caught; exit' INT; cat > /dev/null; : > {ready}; while :; do sleep 0.05; done"
    )
    processes: list[int] = []

    def interrupt() -> None:
        while not ready.exists():
            time.sleep(0.02)
        os.killpg(processes[0], signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    assert paged("rules", "--pager", folder=tmp_path, started=processes, env={"PAGER": pager}) == ("caught\n", 0)
    thread.join()


def test_in_a_pipe_there_is_no_pager(capflog: Call, script: Callable[[str, str], str]) -> None:
    env = {"PAGER": script("loud", "echo paged; cat")}
    assert capflog("rule", "ca-dns-failure", "--pager", env=env) == capflog("rule", "ca-dns-failure")


def test_a_result_that_fails_a_gate_is_paged_too(sample: Find, tmp_path: Path) -> None:
    shown, status = paged("check", str(sample("ca-dns-failure")), "--pager", folder=tmp_path, env={"PAGER": "cat -n"})
    assert status == 1
    assert "     1\t" in shown


# ---- how much is told --------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(sample: Find, tmp_path: Path) -> Path:
    """Make a bundle of which a part cannot be read, with a member that is no log."""
    import zipfile

    folder = tmp_path / "case"
    folder.mkdir()
    with zipfile.ZipFile(sample("healthy")) as archive:
        archive.extractall(folder)
    (folder / "cut.zip").write_bytes(sample("ca-dns-failure").read_bytes()[:9000])
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    return folder


def test_quiet_tells_failures_alone(capflog: Call, damaged: Path) -> None:
    told = capflog("analyze", damaged)
    assert "cut.zip" in told.err
    still = capflog("analyze", damaged, "--quiet")
    assert (still.err, still.status) == ("", 0)
    failed = capflog("analyze", damaged / "nothing", "-q")
    assert (failed.status, failed.err.count("\n")) == (2, 1)
    wrong = capflog("analyze", "-q", "--nothing")
    assert (wrong.status, wrong.err.count("\n")) == (2, 2)
    assert capflog("analyze", damaged, env={"CAPFLOG_QUIET": "1"}).err == ""
    assert capflog("analyze", damaged, "-q", "-v").err == ""


def test_verbose_tells_what_is_done_and_from_where_settings_are(
    capflog: Call, damaged: Path, tmp_path: Path, own_store: Path
) -> None:
    file = tmp_path / "site.toml"
    file.write_text('display-tz = "UTC"\n', encoding="utf-8")
    said = capflog("--config", file, "analyze", damaged, "--verbose")
    assert said.status == 0
    assert said.out == capflog("analyze", damaged, "--display-tz", "UTC").out
    for line in (
        rf"settings of {re.escape(str(file))}",
        rf"CAPFLOG_STORE is set: {re.escape(str(own_store))}",
        r"[0-9]+ rules are asked",
        r" *[0-9]+\.[0-9] s  correlating [0-9,]+ events",
        r".*photo\.png: skipped: .*PNG.*",
        rf"kept in {re.escape(str(own_store))}\S*\.db",
    ):
        assert re.search(f"^capflog: {line}$", said.err, re.MULTILINE), line
    asked = capflog("devices", "-v")
    assert re.search(rf"^capflog: asked of {re.escape(str(own_store))}", asked.err, re.MULTILINE)
    assert all(line.startswith("capflog: ") for line in (said.err + asked.err).splitlines())


# ---- width -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 160])
def test_reports_follow_the_width(width: int, capflog: Call, sample: Find) -> None:
    bundle = sample("ca-dns-failure")
    for words in (
        ["analyze", bundle],
        ["check", bundle],
        ["devices", bundle],
        ["inspect", bundle],
        ["timeline", "SEP001F6C81118B", bundle],
        ["rules"],
        ["rule", "ca-dns-failure"],
        ["explain", "60"],
        ["config"],
    ):
        lines = capflog(*words, env={"COLUMNS": str(width)}).out.splitlines()
        assert max(map(len, lines)) <= width, words
        assert max(map(len, lines)) > width * 0.6, f"{words}: the width is not made use of"


def test_a_terminal_tells_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_: os.terminal_size((64, 24)))
    shown = words_alone(on_terminal("rule", "ca-dns-failure")[0])
    assert 50 < max(map(len, shown.splitlines())) <= 64


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("words", [["rule", "ca-dns-failure"], ["analyze", "BUNDLE", "--format", "json"]])
def test_a_full_disk_is_told_in_one_line(words: list[str], sample: Find) -> None:
    words = [str(sample("healthy")) if word == "BUNDLE" else word for word in words]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "capflog", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "capflog: standard output cannot be written: No space left on device\n"
