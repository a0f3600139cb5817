"""What is asked without a bundle, of an earlier analysis too (--of); and names that stand in the wrong place."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

PHONE = "SEP68EFBD0D91C4"
FIRST, SECOND = "ca-dns-failure", "healthy"


@pytest.fixture
def two(capflog: Call, sample: Find) -> None:
    """Two analyses are kept, that of the failing bundle is the older one."""
    assert capflog("check", sample(FIRST), sample(SECOND)).status == 1


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("name", [f"{FIRST}.zip", "ca-dns*", "CA-DNS-FAILURE.ZIP", f"samples/{FIRST}.zip", "*"])
def test_an_earlier_analysis_can_be_asked(capflog: Call, sample: Find, name: str) -> None:
    bundle = f"{SECOND if name == '*' else FIRST}.zip"
    said = capflog("devices", "--of", name, "--format", "json")
    assert (said.status, said.err, json.loads(said.out)["bundle"]) == (0, "", bundle)
    if name == "*":
        return
    assert capflog("devices", "--of", name).out == capflog("devices", sample(FIRST)).out
    assert capflog("timeline", PHONE, "--of", name).out == capflog("timeline", PHONE, sample(FIRST)).out
    said = capflog(
        "sql", "SELECT name, (SELECT count(*) FROM events) AS n FROM bundle", "--of", name, "--format", "csv"
    )
    assert said.out.splitlines()[1].startswith(f"{bundle},")
    assert f"events of {bundle}, analyzed 20" in said.err
    said = capflog("export", "--of", name, "--format", "otlp-json")
    assert said.status == 0
    assert f'"{bundle}"' in said.out
    assert f"of {bundle}, analyzed 20" in said.err


@pytest.mark.usefixtures("two")
def test_what_is_not_kept_is_told_with_what_is(capflog: Call, sample: Find) -> None:
    for words in (("devices",), ("timeline", PHONE), ("sql", "SELECT 1"), ("export", "--format", "ecs")):
        said = capflog(*words, "--of", "monday.zip")
        assert (said.status, said.out) == (2, "")
        assert "--of monday.zip: no analysis of that name is kept; there are healthy.zip (20" in said.err
        assert " UTC), ca-dns-failure.zip (20" in said.err
        assert len(said.err.splitlines()) == 1
        said = capflog(*words, sample(FIRST), "--of", f"{FIRST}.zip")
        assert (said.status, "no bundle can be named beside it" in said.err) == (2, True)


def test_of_two_analyses_of_a_name_the_newest_is_asked(capflog: Call, sample: Find, tmp_path: Path) -> None:
    for name in (FIRST, SECOND, FIRST):
        shutil.copy(sample(name), tmp_path / "[a] b.zip")
        capflog("analyze", tmp_path / "[a] b.zip", "--quiet")
    capflog("analyze", sample(SECOND), "--quiet")
    said = capflog("sql", "SELECT verdict FROM bundle", "--of", "[a] *", "--format", "csv")
    assert said.out.split() == ["verdict", "failing"]


def test_of_is_nothing_where_nothing_is_kept(capflog: Call) -> None:
    said = capflog("devices", "--of", "x")
    assert (said.status, "nothing has been analyzed yet" in said.err) == (2, True)


@pytest.mark.usefixtures("two")
def test_kept_bundles_are_completed(capflog: Call) -> None:
    words = {"_CAPFLOG_COMPLETE": "bash_complete", "COMP_WORDS": "capflog devices --of ca", "COMP_CWORD": "3"}
    assert capflog(env=words).out.split() == ["plain,ca-dns-failure.zip"]


def test_a_bundle_where_the_device_belongs(capflog: Call, sample: Find) -> None:
    said = capflog("timeline", sample(FIRST))
    assert (said.status, said.out) == (2, "")
    assert f"'capflog timeline DEVICE {sample(FIRST)}', and 'capflog devices {sample(FIRST)}' lists" in said.err


@pytest.mark.parametrize("name", [PHONE, "68:ef:bd:0d:91:c4", "CSFmgarcia"])
def test_a_device_where_the_bundle_belongs(capflog: Call, name: str) -> None:
    said = capflog("devices", name)
    assert (said.status, said.out) == (2, "")
    assert said.err == f"capflog: {name}: no such file or folder; if that is a device: capflog timeline {name}\n"


def test_what_is_no_device_is_a_file_that_is_not_there(capflog: Call) -> None:
    assert "capflog timeline" not in capflog("devices", "monday.zip").err
