"""`capflog diff` as a user calls it: bundles and kept reports, and what ends it with a line."""

from __future__ import annotations

import json
import os
import shutil
import threading
import zipfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]
    Find = Callable[[str], Path]


def kept(capflog: Call, bundle: Path, out: Path) -> Path:
    """Keep a bundle's report."""
    assert capflog("analyze", bundle, "--no-store", "--quiet", "--output", f"json={out}").status == 0
    return out


def causes(said: Said) -> dict[str, str]:
    return {one["rule"]: one["turn"] for one in json.loads(said.out)["causes"]}


def test_a_fault_comes_and_goes(capflog: Call, sample: Find, own_store: Path) -> None:
    said = capflog("diff", sample("healthy"), sample("ces-overloaded"), "--exit-code")
    assert (said.status, said.err) == (1, "")
    assert said.out.startswith("HEALTHY → FAILING  healthy.zip → ces-overloaded.zip\n")
    assert "error:   ces-overloaded: " in said.out
    assert "3  issued before, failing now: CSFmgarcia, SEP" in said.out
    back = capflog("diff", sample("ces-overloaded"), sample("healthy"), "--exit-code", "--format", "json")
    assert back.status == 0
    assert causes(back)["ces-overloaded"] == "gone"
    assert json.loads(back.out)["before"]["verdict"] == "failing"
    # Nothing is kept.
    assert not own_store.exists()


def test_reports_that_were_kept_say_what_the_bundles_say(capflog: Call, sample: Find, tmp_path: Path) -> None:
    healthy = kept(capflog, sample("healthy"), tmp_path / "before.json")
    failing = tmp_path / "failing.json"
    out = capflog("check", sample("ca-dns-failure"), "--no-store", "--format", "json").out
    failing.write_text(out, encoding="utf-8")
    of_bundles = capflog("diff", sample("healthy"), sample("ca-dns-failure"), "--format", "json")
    assert capflog("diff", healthy, failing, "--format", "json").out == of_bundles.out
    assert capflog("diff", healthy, sample("ca-dns-failure"), "--format", "json").out == of_bundles.out
    assert capflog("diff", healthy, "-", "--format", "json", stdin=failing.read_bytes()).out == of_bundles.out
    same = capflog("diff", failing, sample("ca-dns-failure"), "--exit-code")
    assert (same.status, same.out.partition("  ")[0]) == (0, "NO DIFFERENCE")
    schema = json.loads(capflog("schema", "--diff").out)
    jsonschema.validate(json.loads(of_bundles.out), schema)


def test_a_bundle_without_ces_s_logs_does_not_make_a_cause_gone(capflog: Call, sample: Find, tmp_path: Path) -> None:
    after = tmp_path / "after.zip"
    with zipfile.ZipFile(sample("healthy")) as whole, zipfile.ZipFile(after, "w") as part:
        for name in whole.namelist():
            if "capf0000" in name:
                part.writestr(name, whole.read(name))
    said = capflog("diff", sample("ca-hostname-mismatch"), after, "--quiet")
    assert "not checked any more\n    error:   ca-hostname-mismatch: " in said.out
    assert "AFTER could not tell: without logs of" in said.out
    assert "after.zip (AFTER) has no logs of CiscoRA, NGINX and IIS" in said.out
    assert "\n  gone\n" not in said.out


def test_markdown_is_for_a_ticket(capflog: Call, sample: Find) -> None:
    said = capflog("diff", sample("healthy"), sample("ca-dns-failure"), "--format", "markdown")
    assert said.status == 0
    assert said.out.startswith("## HEALTHY → FAILING: `healthy.zip` → `ca-dns-failure.zip`\n")
    assert "| come | error |" in said.out


def several(*count: str) -> dict[str, Any]:
    return {"schema": "capflog-reports-1", "reports": [{"schema": name} for name in count]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (several("capflog-report-1", "capflog-report-1"), "it holds 2 reports, one is wanted"),
        (several(), "it holds no report"),
        ({"schema": "capflog-devices-1"}, "not a report that can be compared: its 'schema' is not capflog-report-1"),
        ({"schema": "capflog-report-1"}, "not a report that can be compared: something in it is missing"),
        ({"schema": "another"}, "before.json"),
        ("{", "before.json"),
        ("{" + "[" * 100_000, "before.json"),
    ],
)
def test_what_is_no_report_ends_with_a_line(
    capflog: Call, sample: Find, tmp_path: Path, document: object, words: str
) -> None:
    before = tmp_path / "before.json"
    before.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    said = capflog("diff", before, sample("healthy"))
    assert (said.status, said.out) == (2, "")
    assert words in said.err
    assert len(said.err.splitlines()) == 1


def test_what_is_not_there_ends_with_a_line(capflog: Call, sample: Find, tmp_path: Path) -> None:
    said = capflog("diff", sample("healthy"), tmp_path / "nowhere.zip")
    assert (said.status, said.out) == (2, "")
    assert "nowhere.zip" in said.err
    assert capflog("diff", "-", "-").status == 2


def test_clocks_that_are_told_are_told_of_both(capflog: Call, sample: Find, tmp_path: Path) -> None:
    after = tmp_path / "after.zip"
    shutil.copy(sample("healthy"), after)
    said = capflog("diff", sample("healthy"), after, "--tz", "America/New_York", "--format", "json")
    assert (said.status, json.loads(said.out)["same"]) == (0, True)
    assert capflog("diff", sample("healthy"), after, "--tz", "Nowhere/Land").status == 2


def test_times_are_in_the_zone_that_is_asked_for(capflog: Call, sample: Find) -> None:
    for form in ("text", "markdown"):
        said = capflog(
            "diff", sample("healthy"), sample("ces-overloaded"), "--display-tz", "Asia/Tokyo", "--format", form
        )
        assert "2019-01-17 02:31:03 to 05:26:41 UTC+09:00" in " ".join(said.out.split())


def test_bundles_of_one_name_are_told_apart(capflog: Call, sample: Find, tmp_path: Path) -> None:
    paths = [tmp_path / day / "logs.zip" for day in ("mon", "tue")]
    for path, name in zip(paths, ("healthy", "ca-dns-failure"), strict=True):
        path.parent.mkdir()
        shutil.copy(sample(name), path)
    said = capflog("diff", *paths)
    assert said.out.startswith("HEALTHY → FAILING  mon/logs.zip → tue/logs.zip\n")
    report = kept(capflog, paths[0], tmp_path / "monday.json")
    said = capflog("diff", report, paths[1])
    assert said.out.startswith("HEALTHY → FAILING  logs.zip in monday.json → logs.zip\n")
    both = json.loads(capflog("analyze", *paths, "--no-store", "--format", "json").out)
    assert both["bundle"]["name"] == "mon/logs.zip, tue/logs.zip"


def test_settings_and_starts_are_told_in_the_words_of_the_report(capflog: Call, sample: Find) -> None:
    for form in ("text", "markdown"):
        said = capflog("diff", sample("healthy"), sample("ca-dns-failure"), "--format", form).out.replace("`", "")
        for word in ("host name", "login to the CA", "NGINX's workers", "result"):
            assert word in said, (form, word)
        for word in ("ca_hostname", "missing: nothing → login\n", " ok: ", "workers → config\n"):
            assert word not in said, (form, word)


def test_of_several_reports_one_is_chosen(capflog: Call, sample: Find, tmp_path: Path) -> None:
    two = tmp_path / "two.json"
    said = capflog("check", sample("healthy"), sample("ca-dns-failure"), "--no-store", "--format", "json")
    two.write_text(said.out, encoding="utf-8")
    # The one that is named as the other side.
    chosen = capflog("diff", two, sample("ca-dns-failure"))
    assert (chosen.status, chosen.out.partition("  ")[0]) == (0, "NO DIFFERENCE")
    said = capflog("diff", two, sample("ces-overloaded"))
    assert (said.status, said.out) == (2, "")
    assert "it holds 2 reports, one is wanted: --before NAME, of healthy.zip, ca-dns-failure.zip" in said.err
    said = capflog("diff", sample("ces-overloaded"), two, "--after", "healthy.zip")
    assert said.out.startswith("FAILING → HEALTHY  ces-overloaded.zip → healthy.zip\n")
    said = capflog("diff", two, two, "--before", "healthy.zip", "--after", "ca-dns-failure.zip")
    assert said.out.startswith("HEALTHY → FAILING  healthy.zip → ca-dns-failure.zip\n")
    said = capflog("diff", two, two)
    assert said.status == 2
    said = capflog("diff", two, sample("healthy"), "--before", "nobody.zip")
    assert "--before nobody.zip: not one report in" in said.err
    assert "they are of healthy.zip, ca-dns-failure.zip" in said.err
    said = capflog("diff", sample("healthy"), two, "--before", "healthy.zip")
    assert (said.status, "is a bundle" in said.err) == (2, True)


@pytest.mark.parametrize(
    "words", [("analyze", "--format", "jsonl"), ("export", "--format", "ecs"), ("export", "--format", "otlp-json")]
)
def test_events_are_no_report(capflog: Call, sample: Find, tmp_path: Path, words: tuple[str, ...]) -> None:
    events = tmp_path / "h.jsonl"
    events.write_text(capflog(*words, sample("healthy")).out, encoding="utf-8")
    said = capflog("diff", events, sample("healthy"))
    assert (said.status, said.out) == (2, "")
    assert "h.jsonl: it has events, a line for each, and no report to compare: keep --format json" in said.err


# ---- pipes, and reports that are cut ---------------------------------------------------------------------------------


@contextmanager
def fifo(path: Path, content: bytes) -> Iterator[Path]:
    """Have what a shell makes of <(cat FILE)."""
    os.mkfifo(path)

    def write() -> None:
        # Whoever reads may have seen enough.
        with suppress(BrokenPipeError), path.open("wb") as out:
            out.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    yield path
    writer.join(20)
    assert not writer.is_alive()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_side_may_come_through_a_pipe(capflog: Call, sample: Find, tmp_path: Path) -> None:
    healthy = kept(capflog, sample("healthy"), tmp_path / "healthy.json")
    failing = kept(capflog, sample("ca-dns-failure"), tmp_path / "failing.json")
    wanted = capflog("diff", healthy, failing)
    with fifo(tmp_path / "63", healthy.read_bytes()) as before, fifo(tmp_path / "62", failing.read_bytes()) as after:
        said = capflog("diff", before, after)
    assert (said.status, said.err, said.out) == (0, "", wanted.out)
    with fifo(tmp_path / "61", sample("healthy").read_bytes()) as before:
        said = capflog("diff", before, failing, "--format", "json")
    assert (said.status, said.err) == (0, "")
    found = json.loads(said.out)
    assert found["before"]["bundle"] == "61"
    assert found["causes"] == json.loads(capflog("diff", healthy, failing, "--format", "json").out)["causes"]
    with fifo(tmp_path / "60", b'{"no": "log"}') as before:
        said = capflog("diff", before, failing)
    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert said.err.startswith(f"capflog: {tmp_path / '60'}: ")
    assert "empty" not in said.err


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.999])
def test_a_report_that_is_cut_is_told_as_one(capflog: Call, sample: Find, tmp_path: Path, share: float) -> None:
    whole = kept(capflog, sample("healthy"), tmp_path / "whole.json").read_bytes()
    cut = tmp_path / "cut.json"
    cut.write_bytes(whole[: int(len(whole) * share)])
    for words, data in (((cut, sample("healthy")), None), (("-", sample("healthy")), cut.read_bytes())):
        said = capflog("diff", *words, stdin=data)
        why = "not a report that can be compared: it is cut, its end is missing"
        assert (said.status, said.out, said.err) == (2, "", f"capflog: {words[0]}: {why}\n")
    cut.write_bytes(whole.replace(b'"verdict":', b'"verdict"', 1))
    assert "it is damaged: line 4: " in capflog("diff", cut, sample("healthy")).err
