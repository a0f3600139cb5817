"""The simulator writes what it says: its logs, read again by other means, agree with its truth."""

from __future__ import annotations

import math
import os
import re
import time
import zipfile
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from capflog.reading import read_stored

from .bundles import read
from .scenes import analyzed
from .simulator import AMBIGUOUS, DRAWS, NEIGHBOUR, ZONES, NodeZone, Site, draw, main, measure, simulate, write

if TYPE_CHECKING:
    from pathlib import Path

    from .scenes import Held

#: Small sites; what else they are is drawn.
SMALL = {"enrollments": 20, "hours": 1.5, "noise": 0.2}
LOGIN = ("/certsrv", "/certsrv")
PAGES = (*LOGIN, "/certsrv/certrqxt.asp", *LOGIN, "/certsrv/certfnsh.asp", "/certsrv/certnew.cer")


def zone_of(site: Site) -> tzinfo:
    zone = site.choices.zone
    return ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(seconds=zone))


def local(site: Site, at: float) -> datetime:
    """Turn a true time into the node's local one, by the standard library alone."""
    return datetime.fromtimestamp(math.floor(at / 1000), zone_of(site)).replace(
        microsecond=math.floor(at) % 1000 * 1000
    )


def members(site: Site, source: str) -> list[Held]:
    return [member for member in site.members if site.sources.get(member.name) == source]


def texts(member: Held) -> list[str]:
    return member.content.decode("latin-1").removesuffix("\n").split("\n")


def stamps(site: Site, source: str, form: str) -> list[tuple[str, float, str]]:
    """Read a log's stamps again: the stamp, the true time and the rest; each stamped line has a truth, no other has."""
    found = []
    places = set()
    for member in members(site, source):
        assert len(member.owners) == len(texts(member))
        for number, text in enumerate(texts(member), start=1):
            if match := re.match(form, text):
                places.add((member.name, number))
                truth = site.truth.answers if source == "iis" else site.truth.lines
                found.append((match[0], truth[member.name, number], text))
    known = site.truth.answers if source == "iis" else site.truth.lines
    assert places == {place for place in known if site.sources[place[0]] == source}
    return found


def check_capf(site: Site) -> None:
    found = stamps(site, "capf", r"\d\d:\d\d:\d\d\.\d\d\d(?= \|)")
    for stamp, at, _ in found:
        assert stamp == local(site, at).time().isoformat("milliseconds")
    # The files stand in their order, and their lines too; a midnight is never hidden by a day without a line.
    assert all(before <= after < before + 20 * 3_600_000 for (_, before, _), (_, after, _) in pairwise(found))
    numbers = [int(member.name[-12:-4]) for member in members(site, "capf")]
    assert numbers == list(range(site.choices.counter, site.choices.counter + len(numbers)))


def check_nginx(site: Site) -> None:
    found = stamps(site, "nginx", r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?= \[)")
    for stamp, at, _ in found:
        assert stamp == f"{local(site, at):%Y/%m/%d %H:%M:%S}"
    assert all(before <= after for (_, before, _), (_, after, _) in pairwise(found))
    calls = {enrolled.tag: enrolled for enrolled in site.truth.enrollments}
    for member in members(site, "nginx"):
        for number, (text, owner) in enumerate(zip(texts(member), member.owners, strict=True), start=1):
            place = (member.name, number)
            at = site.truth.lines.get(place) or site.truth.unstamped[place]
            if "[log_access" in text:
                stamp = re.findall(r"\[(\d\d/.*?)\]", text)[0]
                received = datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z")
                assert received.utcoffset() == received.astimezone(zone_of(site)).utcoffset()
                assert received.timestamp() * 1000 <= at < received.timestamp() * 1000 + 60_000
            if owner is not None:
                enrolled = calls[owner]
                assert enrolled.call < at
                assert at < enrolled.result or enrolled.outcome == "late"


def check_iis(site: Site) -> None:
    found = stamps(site, "iis", r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= )")
    for stamp, at, text in found:
        there = at + site.truth.offset_at(at) * 1000
        assert datetime.fromisoformat(f"{stamp}+00:00").timestamp() == math.floor(there / 1000)
        assert len(text.removesuffix("\r").split(" ")) == 15
    for member in members(site, "iis"):
        ends = [at for (name, _), at in site.truth.answers.items() if name == member.name]
        assert ends == sorted(ends)
        assert texts(member)[0].startswith("#Software")
        for text in texts(member):
            assert text.startswith("#") or text[2:10].replace("-", "") == member.name[-10:-4]


def check_enrollments(site: Site) -> None:
    lines = {member.name: texts(member) for member in site.members}
    for enrolled in site.truth.enrollments:
        assert enrolled.call < enrolled.result
        if "capf" in site.choices.logs:
            assert [site.truth.lines[place] for place in enrolled.calls] == [enrolled.call, enrolled.result]
            assert all(enrolled.device in lines[name][number - 1] for name, number in enrolled.calls)
        pages = {"issued": PAGES, "late": PAGES, "refused": PAGES[:3], "dead": ()}[enrolled.outcome]
        own = [lines[name][number - 1].split(" ") for name, number in enrolled.asked]
        assert tuple(fields[4] for fields in own) == (pages if "iis" in site.choices.logs else ())
        ends = [site.truth.answers[place] - enrolled.aside * 1000 for place in enrolled.asked]
        for fields, before, end in zip(own, [enrolled.call, *ends], ends, strict=False):
            # A coarse timer may say a tick more than it took.
            assert before < end - int(fields[14]) + (16 if site.choices.timer else 0)
        if enrolled.outcome in ("issued", "refused") and ends:
            assert ends[-1] < enrolled.result


def check_what_tells(site: Site) -> None:
    truth = site.truth
    first = min(truth.lines.values(), default=truth.begin)
    offset = local(site, first).utcoffset() or timedelta(0)
    assert "nginx" in site.choices.logs or "capf" in site.choices.logs or not truth.zone_determined
    assert truth.zone == offset.total_seconds() or not truth.lines
    if truth.zone_by == "iis":
        # What anyone finds who compares the stamps of certificates with the calls by the node's clock.
        away = []
        for enrolled in truth.enrollments:
            if enrolled.outcome == "issued" and not enrolled.aside and enrolled.asked:
                name, number = enrolled.asked[6]
                member = next(member for member in site.members if member.name == name)
                there = datetime.fromisoformat(texts(member)[number - 1][:19])
                away.append((there - local(site, enrolled.result).replace(tzinfo=None)).total_seconds())
        zones = {round(-by / 900) * 900 for by in away}
        wanted = {truth.zone - shift / 1000 for shift in truth.shifts}
        assert zones & wanted
        assert len(away) >= 3
    elif truth.zone_by == "access":
        assert any(b"[log_access" in member.content for member in members(site, "nginx"))
    elif truth.zone_by == "record":
        assert not re.findall(rf' (?:{"|".join(AMBIGUOUS)}) \d{{4}}"', record(site))
    assert truth.zone_by == "iis" or truth.shifts == (0,)


def record(site: Site) -> str:
    return next((m.content.decode() for m in site.members if m.name.startswith("TraceCollectionResult")), "")


def check_times(site: Site) -> None:
    """Members' times, and those in RTMT's record."""
    for member in site.members:
        if member.name not in site.sources:
            continue
        source = site.truth.answers if site.sources[member.name] == "iis" else site.truth.lines
        last = max((at for own in (source, site.truth.unstamped) for (n, _), at in own.items() if n == member.name))
        if site.sources[member.name] == "iis":
            last += site.truth.offset_at(last) * 1000
        if site.choices.modified == "utc":
            assert member.modified == datetime.fromtimestamp(math.floor(last / 1000), UTC)
        elif site.choices.modified == "local":
            assert member.modified == local(site, last).replace(tzinfo=None, microsecond=0)
            assert member.modified_is_local
        told = re.findall(rf'sdi/{member.name.rpartition("/")[2]}" modifiedDate="(.*?)"', record(site))
        for text in told:
            weekday, month, day, clock, zone, year = text.split(" ")
            assert f"{local(site, last):%a %b %d %H:%M:%S %Y}" == f"{weekday} {month} {day} {clock} {year}"
            assert zone == NodeZone(site.choices.zone).abbreviation(last)


def check_known(site: Site) -> None:
    """capflog's parsers know every line."""
    known = {member.member: member for member in read_stored(site.members).members}
    for name, source in site.sources.items():
        assert known[name].source == source
        assert not known[name].unknown, known[name]


def check(site: Site) -> None:
    check_capf(site)
    check_nginx(site)
    check_iis(site)
    check_enrollments(site)
    check_what_tells(site)
    check_times(site)
    check_known(site)


def test_what_is_not_true_is_seen() -> None:
    """The checks above fail where the truth is a little off."""
    for name, away in (("offset", 0.05), ("begin", 3.6e6)):
        site = simulate(3, **SMALL, logs=("capf", "iis"), drift=20.0)
        setattr(site.truth, name, getattr(site.truth, name) + away)
        with pytest.raises(AssertionError):
            check_iis(site)
    site = simulate(3, **SMALL, logs=("capf", "nginx"))
    for source, own in (("capf", check_capf), ("nginx", check_nginx)):
        place = next(place for place in site.truth.lines if site.sources[place[0]] == source)
        site.truth.lines[place] += 1000
        with pytest.raises(AssertionError):
            own(site)


def stamp_steps(site: Site) -> list[float]:
    """List the steps between CAPF's stamps, in s, midnights taken out."""
    found = [stamp for stamp, *_ in stamps(site, "capf", r"\d\d:\d\d:\d\d\.\d\d\d(?= \|)")]
    clocks = [datetime.fromisoformat(f"2000-01-01T{stamp}") for stamp in found]
    steps = [(after - before).total_seconds() for before, after in pairwise(clocks)]
    return [step + 86_400 if step < -43_200 else step for step in steps]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_written_is_what_is_true(seed: int) -> None:
    check(simulate(seed, **SMALL))


@pytest.mark.parametrize(
    "given",
    [
        {"zone": "Australia/Lord_Howe", "change": "autumn", "night": 1.0, "hours": 6.0},
        {"zone": "America/New_York", "change": "spring", "night": 1.0, "hours": 6.0},
        {"zone": 20_700, "start": date(2024, 2, 29), "hours": 75.0, "night": 0.0, "files": 8, "counter": 98},
        {"step": -7200.5, "drift": 95.0, "offset": 3601.3, "hours": 30.0, "header_again": True},
        {"late": 0.3, "refused": 0.3, "dead": 0.3, "timer": 15.625, "slow": 3000},
        {"wrong": 0.5, "neighbour": True, "noise": 3.0},
        {"level": "error", "access": False},
        {"level": "warn", "access": True, "modified": "local", "layout": "rtmt", "record": True},
        {"bursts": 1.0, "starts": 3, "modified": "utc", "layout": "flat"},
    ],
    ids=str,
)
def test_each_choice_is_written_rightly(given: dict[str, Any]) -> None:
    logs = {"logs": ("capf", "nginx", "ciscora", "iis")}
    site = simulate(3, **(SMALL | logs | given))
    check(site)
    assert all(getattr(site.choices, name) == value for name, value in given.items() if name != "start")


def test_a_seed_gives_the_same_bytes_wherever_it_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first = simulate(4, **SMALL)
    before = os.environ.get("TZ")
    try:
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        second = simulate(4, **SMALL)
    finally:
        monkeypatch.setenv("TZ", before) if before is not None else monkeypatch.delenv("TZ")
        time.tzset()
    assert first.members == second.members
    assert first.truth == second.truth
    assert simulate(5, **SMALL).members != first.members


def test_one_choice_leaves_the_others_as_they_are() -> None:
    drawn, other = draw(7, {}), draw(7, {"noise": 2.0})
    assert {name for name in DRAWS if getattr(drawn, name) != getattr(other, name)} <= {"noise"}
    with pytest.raises(TypeError, match="weather"):
        simulate(1, weather="fine")


def test_all_kinds_are_drawn() -> None:
    drawn = [draw(seed, {}) for seed in range(400)]
    for name, values in (
        ("change", {None, "spring", "autumn"}),
        ("level", {"info", "warn", "error"}),
        ("modified", {"utc", "local", "pc", "copy", "none"}),
        ("starts", {0, 1, 2, 3}),
        ("neighbour", {True, False}),
        ("record", {True, False}),
    ):
        assert {getattr(choices, name) for choices in drawn} == values
    share = Counter(choices.logs for choices in drawn)
    assert 0.42 < share["capf", "nginx", "ciscora", "iis"] / len(drawn) < 0.58
    assert {choices.zone for choices in drawn} >= set(ZONES)
    assert all(20 <= choices.enrollments <= 200 and 0.5 <= choices.hours <= 80 for choices in drawn)
    assert all(2017 <= choices.start.year <= 2026 for choices in drawn)
    assert {choices.wrong for choices in drawn} == {0.0}
    offsets = [choices.offset for choices in drawn]
    assert min(offsets) < -86_400
    assert max(offsets) > 86_400
    assert 0.0 in offsets


def test_the_hour_of_autumn_is_written_twice() -> None:
    site = simulate(2, zone="Europe/Berlin", change="autumn", hours=4.0, night=1.0, enrollments=60, logs=("capf",))
    back = [step for step in stamp_steps(site) if step < 0]
    assert len(back) == 1
    assert -3600 <= back[0] < -2400
    assert {site.node.offset(at) for at in site.truth.lines.values()} == {7200, 3600}


def test_the_hour_of_spring_is_written_never() -> None:
    site = simulate(2, zone="Pacific/Auckland", change="spring", hours=4.0, night=1.0, enrollments=60, logs=("capf",))
    found = [stamp for stamp, *_ in stamps(site, "capf", r"\d\d:\d\d:\d\d\.\d\d\d(?= \|)")]
    assert any(stamp.startswith("01:") for stamp in found)
    assert any(stamp.startswith("03:") for stamp in found)
    assert not any(stamp.startswith("02:") for stamp in found)


def test_a_clock_that_jumps_and_drifts() -> None:
    truth = simulate(1, **(SMALL | {"hours": 10.0}), offset=10.0, drift=100.0, step=-3600.0, step_at=0.5).truth
    middle = (truth.begin + truth.end) / 2
    assert truth.offset_at(truth.begin) == 10
    assert truth.offset_at(middle - 1) == pytest.approx(11.8)
    assert truth.offset_at(middle + 1) == pytest.approx(-3588.2)
    assert truth.offset_at(truth.end) == pytest.approx(-3586.4)


def test_what_determines_date_and_zone() -> None:
    def told(**given: Any) -> tuple[str | None, str | None, tuple[int, ...]]:
        truth = simulate(6, **({"layout": "flat", "step": 0.0, "dead": 0.0} | SMALL | given)).truth
        return truth.date_by, truth.zone_by, truth.shifts

    pair = ("capf", "iis")
    both = ("capf", "nginx", "iis")
    assert told(logs=("capf",)) == (None, None, (0,))
    assert told(logs=both, access=True) == ("error.log", "access", (0,))
    assert told(logs=both, access=False, level="info", offset=2.0) == ("error.log", "iis", (0,))
    assert told(logs=both, access=False, level="error", offset=2.0) == ("iis", "iis", (0,))
    assert told(logs=pair, offset=2.0) == ("iis", "iis", (0,))
    assert told(logs=pair, offset=-3601.0) == ("iis", "iis", (-3_600_000,))
    assert told(logs=pair, offset=450.0, drift=0.0) == ("iis", "iis", (0, 900_000))
    assert told(logs=pair, offset=2.0, wrong=1.0) == (None, None, (0,))
    assert told(logs=pair, offset=10 * 86_400.0, drift=0.0) == ("iis", "iis", (864_000_000,))
    # A date of its own and ten days of offset: there is no such zone.
    assert told(logs=both, access=False, level="info", offset=10 * 86_400.0) == ("error.log", None, (0,))
    rtmt = {"layout": "rtmt", "record": True, "logs": ("capf",)}
    assert told(**rtmt, zone="America/New_York") == ("record", "record", (0,))
    assert told(**rtmt, zone="Asia/Kolkata") == ("record", None, (0,))
    assert told(**rtmt, zone=20_700) == ("record", "record", (0,))


def test_noise_and_neighbours() -> None:
    site = simulate(8, **(SMALL | {"noise": 3.0, "neighbour": True, "logs": ("iis",)}))
    text = b"".join(member.content for member in site.members).decode()
    assert f" {NEIGHBOUR} CiscoRA+1.0 " in text
    assert "Mozilla/5.0" in text
    assert "check_http" in text


def test_a_zip_bears_the_members_times(tmp_path: Path) -> None:
    for modified in ("utc", "local", "none"):
        site = simulate(3, **SMALL, modified=modified)
        write(site, tmp_path / "x.zip")
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            assert [archive.read(member.name) for member in site.members] == [m.content for m in site.members]
        found = read(tmp_path / "x.zip").members
        for member in site.members:
            if modified == "utc":
                assert found[member.name].modified == member.modified
            elif modified == "local":
                assert member.modified is not None
                assert found[member.name].modified == member.modified.replace(second=member.modified.second // 2 * 2)


def test_measuring(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plain = {"offset": 2.5, "drift": 0.0, "step": 0.0, "change": None, "access": True, "neighbour": False, "wrong": 0.0}
    logs = ("capf", "nginx", "ciscora", "iis")
    site = simulate(1, **(SMALL | plain), logs=logs, level="info", timer=0.0)
    measured = measure(site, analyzed(*site.members))
    assert measured.date_right
    assert measured.zone_right
    assert not measured.sure_and_wrong
    assert measured.brackets == site.truth.bracketed > 3
    assert measured.offset_error is not None
    assert abs(measured.offset_error) < 1
    assert measured.iis_median is not None
    assert measured.iis_median < 1
    main(["--seed", "3", "--out", str(tmp_path / "x.zip"), "hours=1", "enrollments=20", "logs=capf,iis"])
    said = capsys.readouterr().out
    assert "('capf', 'iis')" in said
    assert zipfile.is_zipfile(tmp_path / "x.zip")
