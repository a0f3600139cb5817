"""``capflog export`` as a user calls it."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from capflog.exports import EXPORTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said

PHONE = "SEP74A02FC0A675"
NAME = "ca-hostname-mismatch"


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_bundle_is_exported_in_each_format_of_text(
    capflog: Callable[..., Said], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    counts = {}
    for name in ("ecs", "timesketch", "otlp-json"):
        said = capflog("export", sample(NAME), "--format", name)
        assert said.status == 0
        found = objects(said.out)
        counts[name] = len(found)
        if name == "otlp-json":
            counts[name] = sum(
                len(scope["logRecords"])
                for one in found
                for resource in one["resourceLogs"]
                for scope in resource["scopeLogs"]
            )
            assert said.err == ""
        else:
            assert said.err.startswith("capflog: 2 events left out: nothing in the logs tells when they were")
    out = tmp_path / "timeline.csv"
    said = capflog("export", sample(NAME), "-o", out)
    assert (said.status, said.out) == (0, "")
    assert f"{out}: written, {counts['ecs']:,} events in it" in said.err
    rows = list(csv.DictReader(StringIO(out.read_text(encoding="utf-8"))))
    assert len(rows) == counts["ecs"] == counts["timesketch"] == counts["otlp-json"] - 2


def test_a_device_is_exported_alone(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    said = capflog("export", sample(NAME), "--format", "ecs", "--device", "74:a0:2f:c0:a6:75")
    assert said.status == 0
    found = objects(said.out)
    assert {one["capflog"]["device"] for one in found} == {PHONE}
    # Lines that name no device are its enrollment's.
    assert {one["capflog"]["source"] for one in found} >= {"capf", "nginx"}
    assert said.err == ""


def test_a_device_that_is_not_there_is_told(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    said = capflog("export", sample(NAME), "--format", "ecs", "--device", "SEP74A02FC0A676")
    assert (said.status, said.out) == (2, "")
    assert f"did you mean: {PHONE}" in said.err


def test_a_condition_chooses_enrollments(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    where = "enrollment with outcome = failed"
    said = capflog("export", sample(NAME), "--format", "ecs", "--where", where)
    found = objects(said.out)
    assert found
    assert {one["capflog"]["enrollment"]["outcome"] for one in found} == {"failed"}
    assert {cause for one in found for cause in one["capflog"]["enrollment"]["causes"]} >= {NAME}
    devices = {one["capflog"]["device"] for one in found}
    chosen = min(devices)
    both = objects(capflog("export", sample(NAME), "--format", "ecs", "--where", where, "--device", chosen).out)
    assert both == [one for one in found if one["capflog"]["device"] == chosen]
    assert len(devices) > 1


def test_what_fits_nothing_is_a_valid_document(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    never = "enrollment with waited > 99999"
    for name, wanted in (("ecs", ""), ("timesketch", ""), ("otlp-json", '{"resourceLogs":[]}\n')):
        said = capflog("export", sample("healthy"), "--format", name, "--where", never, "--device", "SEP*")
        assert (said.status, said.out) == (0, wanted)
        assert "no enrollment of SEP* fits --where" in said.err


def test_what_was_analyzed_last_is_exported(capflog: Callable[..., Said], sample: Callable[[str], Path]) -> None:
    assert capflog("analyze", sample(NAME)).status == 0
    said = capflog("export", "--format", "ecs")
    assert said.status == 0
    kept = objects(said.out)
    assert "analyzed last: the lines that timelines show" in said.err
    whole = objects(capflog("export", sample(NAME), "--format", "ecs").out)
    ids = {one["event"]["id"]: one for one in whole}
    # The same events under the same names; the trace of an enrollment is the same, too.
    assert {one["event"]["id"] for one in kept} < set(ids)
    for one in kept:
        other = ids[one["event"]["id"]]
        assert one["message"] == other["message"]
        assert one["@timestamp"] == other["@timestamp"]
        assert one.get("trace") == other.get("trace")
    alone = objects(capflog("export", "--format", "ecs", "--device", PHONE).out)
    assert {one["capflog"]["device"] for one in alone} == {PHONE}
    assert capflog("export", "--format", "ecs", "--device", PHONE, "-q").err == ""


def test_nothing_analyzed_yet_is_told(capflog: Callable[..., Said]) -> None:
    said = capflog("export", "--format", "ecs")
    assert (said.status, said.out) == (2, "")
    assert "nothing has been analyzed yet" in said.err


def test_the_format_must_be_told(capflog: Callable[..., Said], tmp_path: Path) -> None:
    for words in ((), ("-o", tmp_path / "events.txt")):
        said = capflog("export", *words)
        assert (said.status, said.out) == (2, "")
        assert f" which of {', '.join(EXPORTS)} is wanted\n" in said.err
        assert said.err.startswith("capflog: --format is missing: ")
        assert said.err.count("\n") == 1
    said = capflog("export", "--format", "sqlite")
    assert said.status == 2
    assert "name the file, too: -o events.sqlite" in said.err


def test_a_format_of_other_commands_in_the_settings_is_none_here(
    capflog: Callable[..., Said], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    settings = tmp_path / "capflog.toml"
    settings.write_text('format = "json"\n', encoding="utf-8")
    out = tmp_path / "timeline.csv"
    assert capflog("--config", settings, "export", sample(NAME), "-o", out, "-q").err == ""
    assert out.read_text(encoding="utf-8").startswith("message,datetime,timestamp_desc,")
    assert capflog("export", sample(NAME), "-o", out, "-q", env={"CAPFLOG_FORMAT": "json"}).status == 0
    # A call says more than a file's name.
    capflog("export", sample(NAME), "-o", out, "--format", "ecs")
    assert out.read_text(encoding="utf-8").startswith('{"@timestamp"')


def test_a_file_is_whole_or_not_there(
    capflog: Callable[..., Said], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    missing = tmp_path / "none" / "events.ndjson"
    said = capflog("export", sample("healthy"), "--format", "ecs", "-o", missing)
    assert (said.status, said.out) == (2, "")
    assert said.err == f"capflog: --output {missing}: cannot be written: there is no folder {missing.parent}\n"
    assert not missing.exists()
    said = capflog("export", sample("healthy"), "--format", "ecs", "-o", "/dev/full")
    assert (said.status, said.err) == (2, "capflog: /dev/full: not written: No space left on device\n")


def test_a_file_by_the_name_of_a_dash_is_standard_output(
    capflog: Callable[..., Said], sample: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = capflog("export", sample(NAME), "--format", "ecs", "--device", PHONE)
    assert plain.out.startswith('{"@timestamp"')
    assert capflog("export", sample(NAME), "--format", "ecs", "--device", PHONE, "-o", "-").out == plain.out
    said = capflog("export", sample(NAME), "--format", "sqlite", "-o", "-")
    assert (said.status, said.out) == (2, "")
    assert said.err == "capflog: --format sqlite: name the file, too: -o events.sqlite\n"
    assert not (tmp_path / "-").exists()


def test_a_name_that_timesketch_does_not_take_is_told(
    capflog: Callable[..., Said], sample: Callable[[str], Path], tmp_path: Path
) -> None:
    said = capflog("export", sample("healthy"), "--format", "timesketch", "-o", tmp_path / "timeline.json")
    assert said.status == 0
    assert "Timesketch's importer takes a file only if its name ends with .jsonl" in said.err


@pytest.mark.parametrize("words", [("--tz", "Europe/Berlin"), ("--where", "curl.failed")])
def test_what_needs_the_bundle_says_so(capflog: Callable[..., Said], words: tuple[str, str]) -> None:
    said = capflog("export", "--format", "ecs", *words)
    assert said.status == 2
    assert "name the bundle" in said.err
