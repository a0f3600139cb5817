"""`capflog devices`, and `capflog timeline` with a window or with all that may be of a phone, as a user calls them."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from capflog import analysis as analysis_module
from capflog.store import Store
from tests.conftest import SAMPLES, TRUTH, Said
from tests.scenes import NOT_ALLOWED, at, ca_answers, ces_starts, exchange, held, iis, tries, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capflog.steps import Columns
    from tests.scenes import Held

    Call = Callable[..., Said]
    Find = Callable[[str], Path]

PHONE, OTHER = "SEP74A02FC0A675", "SEP001F6C81118B"


def zipped(path: Path, *members: Held) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(zipfile.ZipInfo(member.name, (2019, 1, 20, 12, 0, 0)), member.content)
    return path


def case(path: Path) -> Path:
    """One phone gets its certificate, one is refused twice; of a third enrollment CES alone knows, and no phone."""
    trace, log, web = whole(PHONE, at("14:05:04.628"))
    capf = [trace, *(tries(OTHER, at(clock), NOT_ALLOWED) for clock in ("15:00:00", "15:10:00"))]
    early = exchange(at("11:00:00"), None, connection=9)
    return zipped(path, held("capf1.txt", *capf), held("error.log", early, log), iis("u_ex190116.log", web))


def names(said: Said) -> list[str]:
    """The devices of a text, in their order."""
    return [line.split()[0] for line in said.out.splitlines() if line.startswith(("SEP", "ATA", "CSF", "TCT", "e0"))]


# ---- devices --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_devices_of_each_sample_agree_with_what_is_true_of_it(name: str, capflog: Call, sample: Find) -> None:
    said = capflog("devices", "--format", "json", sample(name))
    assert (said.status, said.err) == (0, "") or "no trailer" in said.err
    document = json.loads(said.out)
    causes = {rule for one in document["devices"] for rule in one["causes"]}
    assert causes <= set(TRUTH[f"{name}.zip"]["rules"])
    assert bool(causes) == (TRUTH[f"{name}.zip"]["verdict"] != "healthy")
    assert document["total"] == document["shown"] == len(document["devices"]) == sum(document["outcomes"].values())


@pytest.mark.parametrize("width", [80, 160])
def test_devices_as_text_fit_the_page(width: int, capflog: Call, sample: Find) -> None:
    for name in SAMPLES:
        said = capflog("devices", sample(name), env={"COLUMNS": str(width)})
        assert "\x1b" not in said.out
        assert max(len(line) for line in said.out.splitlines()) <= width
        assert len(set(names(said))) == len(names(said)) in (8, 10)


def test_devices_that_failed_come_first(capflog: Call, tmp_path: Path) -> None:
    said = capflog("devices", case(tmp_path / "case.zip"))
    assert names(said) == [OTHER, "e0001", PHONE]
    assert "3 devices in case.zip, by their latest attempts: 1 failed and 2 issued\n" in said.out


def test_devices_without_a_bundle_are_of_what_was_analyzed_last(capflog: Call, tmp_path: Path) -> None:
    bundle = case(tmp_path / "case.zip")
    assert capflog("analyze", bundle).status == 0
    for words in (
        [],
        ["--format", "json"],
        ["--format", "csv"],
        ["--outcome", "failed"],
        ["--display-tz", "Asia/Tokyo"],
    ):
        assert capflog("devices", *words) == capflog("devices", bundle, *words)
    bundle.unlink()
    assert names(capflog("devices")) == [OTHER, "e0001", PHONE]
    assert capflog("timeline", "e0001").status == 0


def test_devices_keep_nothing(capflog: Call, sample: Find) -> None:
    assert capflog("devices", sample("healthy")).status == 0
    said = capflog("devices")
    assert (said.status, said.out) == (2, "")
    assert (
        said.err
        == "capflog: nothing has been analyzed yet: run 'capflog analyze BUNDLE' first, or name the bundle here\n"
    )


def test_devices_are_chosen_by_outcome_and_cause(capflog: Call, sample: Find) -> None:
    bundle = sample("ca-chain-untrusted")
    failed = capflog("devices", bundle, "--outcome", "failed")
    assert len(names(failed)) == 3
    assert "Shown: 3 of them (--outcome failed); 5 are left out\n" in failed.out
    for cause in ("ca-self-signed", "ca-chain-*", "CA-Chain-Untrusted"):
        assert names(capflog("devices", bundle, "--cause", cause)) == names(failed)
    assert names(capflog("devices", bundle, "--cause", "ca-dns-failure")) == []
    assert names(capflog("devices", bundle, "--cause", "ca-dns-failure", "--cause", "ca-self-signed")) == names(failed)
    assert names(capflog("devices", bundle, "--outcome", "issued", "--cause", "ca-self-signed")) == []
    both = capflog("devices", bundle, "--outcome", "issued", "--outcome", "failed")
    assert len(names(both)) == 8
    rows = list(csv.DictReader(io.StringIO(capflog("devices", bundle, "--outcome", "failed", "--format", "csv").out)))
    assert [row["device"] for row in rows] == names(failed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cause", "ca-dns-failur"], "capflog: --cause ca-dns-failur: no such rule; did you mean ca-dns-failure"),
        (["--cause", "zzz*"], "capflog: --cause zzz*: no such rule; 'capflog rules' lists them\n"),
        (["--cause", "\x1b[2J"], "capflog: --cause \\x1b[2J: no such rule; "),
        (["--tz", "Mars/Olympus"], "capflog: --tz Mars/Olympus: "),
    ],
)
def test_a_wrong_call_of_devices_gets_one_line_before_anything_is_read(
    words: list[str], said: str, capflog: Call, tmp_path: Path
) -> None:
    told = capflog("devices", tmp_path / "no-such.zip", *words)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(said)
    assert told.err.count("\n") == 1


def test_devices_of_what_cannot_be_read_get_one_line(capflog: Call, tmp_path: Path) -> None:
    told = capflog("devices", tmp_path / "no-such.zip")
    assert (told.status, told.out) == (2, "")
    assert "no-such.zip" in told.err
    assert capflog("devices", "--outcome", "well").status == 2


def test_what_is_told_of_clocks_needs_a_bundle(capflog: Call, sample: Find) -> None:
    assert capflog("analyze", sample("healthy")).status == 0
    told = capflog("devices", "--tz", "UTC")
    assert (told.status, told.out) == (2, "")
    assert told.err == "capflog: --tz: name the bundle too, so that it is analyzed with that\n"


def test_where_no_device_tried_that_is_an_answer(capflog: Call, tmp_path: Path) -> None:
    ciscora, log = ces_starts(at("14:40:30"), fails=True)
    said = capflog("devices", zipped(tmp_path / "case.zip", held("nginx1.txt", ciscora), held("error.log", log)))
    assert (said.status, said.out) == (0, "0 devices in case.zip: the logs show no enrollment\n")


def test_of_a_damaged_bundle_the_devices_are_listed_and_the_damage_is_named(capflog: Call, tmp_path: Path) -> None:
    whole_ = case(tmp_path / "case.zip").read_bytes()
    cut = tmp_path / "cut.zip"
    cut.write_bytes(whole_[: len(whole_) // 2])
    said = capflog("devices", cut, "--format", "csv")
    assert said.status == 0
    assert "truncated" in said.err
    assert said.out.startswith("device,latest,outcome,")


# ---- a window of a timeline -----------------------------------------------------------------------------------------


@pytest.fixture(params=["bundle", "store"])
def ask(request: pytest.FixtureRequest, capflog: Call, tmp_path: Path) -> Iterator[Call]:
    """Ask for a timeline: of a bundle that is there, or of what was analyzed last."""
    bundle = case(tmp_path / "case.zip")
    if request.param == "bundle":
        yield lambda *words, device=PHONE, width=200: capflog(
            "timeline", device, bundle, *words, env={"COLUMNS": str(width)}
        )
        return
    assert capflog("analyze", bundle).status == 0
    bundle.unlink()
    yield lambda *words, device=PHONE, width=200: capflog("timeline", device, *words, env={"COLUMNS": str(width)})


def test_a_window_shows_its_lines_and_says_what_is_left_out(ask: Call) -> None:
    whole_, part = ask(), ask("--since", "14:05:05", "--until", "14:05:05")
    assert part.status == 0
    assert "Limited to 2019-01-16 14:05:05 (--since 14:05:05 --until 14:05:05): " in part.out
    assert " 14:05:05" in part.out
    assert " 14:05:04.628  CAPF" in whole_.out
    assert " 14:05:04.628  CAPF" not in part.out
    assert len(part.out.splitlines()) < len(whole_.out.splitlines())


def test_a_window_can_be_told_by_its_middle(ask: Call) -> None:
    near = ask("--around", "14:05:04.7", "--within", "100ms")
    assert "Limited to 2019-01-16 14:05:04.600 to 14:05:04.800 (--around 14:05:04.7 --within 100ms): " in near.out
    assert "14:05:05.236" not in near.out
    assert "(--around 14:08): " in ask("--around", "14:08").out
    assert ask("--around", "14:08", "--within", "2m").status == 2


def test_a_zone_that_is_typed_counts(ask: Call) -> None:
    told = ["--since 14:05:05 --until 14:05:06", "--since 19:05:05Z --until 19:05:06Z"]
    said = [ask(*words.split()).out.replace(words, "") for words in told]
    assert said[0] == said[1]
    tokyo = ask("--since", "2019-01-17 04:05:05", "--display-tz", "Asia/Tokyo")
    assert "Limited to 2019-01-17 04:05:05 and later" in tokyo.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "15:00"],
         f"--since 15:00: no line of {PHONE} lies there; its timeline spans 2019-01-16 14:05:04 to 14:05:05 UTC-05:00"),
        (["--until", "2018-01-01"], f"--until 2018-01-01: no line of {PHONE} lies there; its timeline spans "),
        (["--since", "14:00Z", "--until", "05:00-05:00"],
         "--since 14:00Z --until 05:00-05:00: this ends before it begins"),
    ],
)  # fmt: skip
def test_a_window_that_holds_nothing_gets_one_line(words: list[str], said: str, ask: Call) -> None:
    told = ask(*words)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"capflog: {said}")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "then"], "--since then: this is no time: write "),
        (["--until", "03/05/2019 14:00"], "--until 03/05/2019 14:00: this can be 2019-03-05 or 2019-05-03: "),
        (["--around", "Wed 14:00"], "--around Wed 14:00: this tells a part of a day: "),
        (["--around", "2019-01-16"], "--around 2019-01-16: a day has no middle: "),
        (["--around", "14:00", "--within", "5"], "--within 5: this is no span of time: write 5m, 30s or 1h"),
        (["--within", "5m"], "--within tells how much is shown around a time: give --around TIME, too"),
        (["--around", "14:00", "--since", "13:00"], "--around tells the window by itself: "),
        (["--since", "15:00", "--until", "14:00"],
         "--since 15:00 --until 14:00: this ends before it begins: if it goes over midnight, tell both days"),
        (["--since", "2019-01-17", "--until", "2019-01-16"], "--since 2019-01-17 --until 2019-01-16: this ends"),
        (["--since", "14:00 Mars/Olympus"], "--since 14:00 Mars/Olympus: 'Mars/Olympus' is not a time zone: "),
        (["--since", "\x1b[2J\nx"], "--since \\x1b[2J\\x0ax: this is no time: "),
        (["--since", ""], "--since : this is no time: "),
    ],
)  # fmt: skip
def test_what_cannot_be_a_window_gets_one_line_before_anything_is_read(
    words: list[str], said: str, capflog: Call, tmp_path: Path
) -> None:
    told = capflog("timeline", PHONE, tmp_path / "no-such.zip", *words)
    assert (told.status, told.out) == (2, "")
    assert told.err.startswith(f"capflog: {said}")
    assert told.err.count("\n") == 1


def test_of_several_devices_those_without_a_line_there_are_named(ask: Call) -> None:
    said = ask("--since", "14:55", "--until", "15:05", device="*")
    assert said.status == 0
    assert f"{OTHER}  in case.zip\n" in said.out
    assert f"{PHONE}  in case.zip\n" not in said.out
    assert said.out.endswith(f"\n\nNo line there (--since 14:55 --until 15:05): {PHONE}, e0001\n")
    none = ask("--since", "20:00", device="*")
    assert (none.status, none.out) == (2, "")
    assert none.err.startswith("capflog: --since 20:00: no line of these 3 devices lies there; their timelines span ")


def test_where_the_zone_is_not_known_times_are_the_nodes_own(capflog: Call, tmp_path: Path) -> None:
    bundle = zipped(tmp_path / "case.zip", held("capf1.txt", tries(PHONE, at("14:05:04.628"))))
    said = capflog("timeline", PHONE, bundle, "--since", "14:05:05")
    assert "Limited to " in said.out
    assert "14:05:04.628 CAPF" not in said.out
    told = capflog("timeline", PHONE, bundle, "--since", "14:05:05Z")
    assert (told.status, told.out) == (2, "")
    assert "the zone of these logs is not known" in told.err


@pytest.mark.parametrize("width", [80, 160])
def test_a_limited_timeline_fits_the_page(width: int, ask: Call) -> None:
    said = ask("--around", "14:05:05", "--within", "1s", "--all", width=width)
    assert "\x1b" not in said.out
    assert max(len(line) for line in said.out.splitlines()) <= width


# ---- what may be of a phone -----------------------------------------------------------------------------------------


@pytest.fixture
def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two phones at the same time; of the CA's requests nothing tells which of them is whose.

    The test says itself that it is so, whatever else could be told of them.
    """
    one, two = whole(PHONE, at("14:00:00")), whole(OTHER, at("14:00:00.5"), connection=4)
    beside = ca_answers(at("14:00:00.3"), None, agent="Mozilla/5.0", client="10.1.1.1")
    bundle = zipped(
        tmp_path / "crowd.zip",
        held("capf1.txt", one[0], two[0]),
        held("error.log", one[1], two[1]),
        iis("u_ex190116.log", one[2], two[2], beside),
    )

    def asked_about(columns: Columns, _strays: object, _alignment: object) -> list[np.ndarray]:
        agents, words = columns.table.codes("agent", np.arange(columns.table.count))
        return [np.flatnonzero(np.array([*(word == "Mozilla/5.0" for word in words), False])[agents])]

    monkeypatch.setattr(analysis_module, "asked_about", asked_about)
    return bundle


def test_lines_that_may_be_of_a_phone_are_counted_and_shown_with_all(capflog: Call, crowd: Path) -> None:
    few, every = capflog("timeline", PHONE, crowd), capflog("timeline", PHONE, crowd, "--all")
    assert (few.status, every.status) == (0, 0)
    assert "\n7 more lines may be of this phone: --all shows them\n" in few.out
    assert "PERHAPS" not in few.out
    assert every.out.count("PERHAPS (of 2)  ") == 7
    assert " ? PERHAPS (of N): 7 lines, nobody's for sure" in every.out
    assert all(" ?" in line for line in every.out.splitlines() if "PERHAPS (of 2)" in line)


def test_they_are_kept(capflog: Call, crowd: Path) -> None:
    there = [capflog("timeline", PHONE, crowd, *words) for words in ([], ["--all"], ["--around", "14:00", "--all"])]
    assert capflog("analyze", crowd).status == 0
    crowd.unlink()
    assert [capflog("timeline", PHONE, *words) for words in ([], ["--all"], ["--around", "14:00", "--all"])] == there


def test_of_a_window_they_are_counted_too(capflog: Call, crowd: Path) -> None:
    said = capflog("timeline", PHONE, crowd, "--until", "14:00:00")
    assert " there may be of this phone: --all shows " in said.out
    nothing = capflog("timeline", PHONE, crowd, "--since", "14:00:04")
    assert nothing.status == 2


def test_without_any_such_line_nothing_is_said_of_them(capflog: Call, sample: Find) -> None:
    assert "may be of this phone" not in capflog("timeline", PHONE, sample("ca-dns-failure")).out
    assert (
        "\nNo further line may be of this phone\n" in capflog("timeline", PHONE, sample("ca-dns-failure"), "--all").out
    )


def test_an_older_store_is_not_read(
    capflog: Call, sample: Find, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capflog.store_file.SCHEMA", 3)
    with Store.open(own_store, create=True) as store:
        store.save("{}", "old.zip", [])
    monkeypatch.undo()
    monkeypatch.setenv("CAPFLOG_STORE", str(own_store))
    for command in (["devices"], ["timeline", PHONE]):
        said = capflog(*command)
        assert (said.status, said.out) == (2, "")
        assert "of an older capflog" in said.err
    assert capflog("analyze", sample("healthy")).status == 0
    assert capflog("devices").status == 0
