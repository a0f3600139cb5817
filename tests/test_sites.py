"""The simulator of whole sites keeps to what the documents say: its logs, read again, agree with its truth."""

from __future__ import annotations

import math
import re
import zipfile
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from .scenes import analyzed
from .sites import PLAIN, Site, class_of, draw, main, measure, site

if TYPE_CHECKING:
    from pathlib import Path

#: A crowd at a CES of few workers, on which nothing goes wrong.
CROWD = PLAIN | {"phones": 40, "rate": 3, "form": 200, "told": True, "others": 4.0}
LOGIN = [("/certsrv", "401"), ("/certsrv", "301")]
PAGES = [
    *LOGIN,
    ("/certsrv/certrqxt.asp", "200"),
    *LOGIN,
    ("/certsrv/certfnsh.asp", "200"),
    ("/certsrv/certnew.cer", "200"),
]
#: What CES's log says of a good enrollment, in order.
SAID = (
    "HTTP auth headers missing",
    "login_to_certsrv_ca: Secure connection",
    "/certsrv/certrqxt.asp while",
    "id-kp-cmcRA present",
    "login_to_certsrv_ca: Secure connection",
    "/certsrv/certfnsh.asp while",
    "/certsrv/certnew.cer?ReqID=",
    "SSL_shutdown failed",
)
_RECORD = re.compile(r"(\S+ \S+) \[\w+\] (\d+)#0: \*(\d+) ")


def lines(made: Site, source: str) -> list[tuple[str, str | None, float]]:
    """Read a log again: its lines, whose they are, when they were written."""
    found = []
    for member in made.members:
        if made.sources[member.name] == source:
            texts = member.content.decode("latin-1").split("\n")[:-1]
            assert len(texts) == len(member.owners)
            for number, (text, owner) in enumerate(zip(texts, member.owners, strict=True), start=1):
                assert made.truth.owners[member.name, number] == owner
                found.append((text.removesuffix("\r"), owner, made.truth.times[member.name, number]))
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_seed_says_it_all(seed: int) -> None:
    one, two = site(seed, phones=12), site(seed, phones=12)
    assert [(m.name, m.content, m.owners) for m in one.members] == [(m.name, m.content, m.owners) for m in two.members]
    other = site(seed + 1, phones=12)
    assert [m.content for m in other.members] != [m.content for m in one.members]


def test_no_choice_depends_on_another() -> None:
    drawn, given = draw(4, {}), draw(4, {"rate": 5, "workers": 8})
    assert (given.rate, given.workers) == (5, 8)
    assert (drawn.offset, drawn.logs, drawn.ends) == (given.offset, given.logs, given.ends)
    with pytest.raises(TypeError, match="no such choice: rats"):
        draw(4, {"rats": 5})


@pytest.mark.parametrize("seed", range(4))
def test_every_line_is_one_that_the_parsers_know(seed: int) -> None:
    analysis = analyzed(*site(seed, phones=15, lost=0.0, trace=True, faults=0.5, others=4.0).members)
    assert [(m.member, m.unknown) for m in analysis.report.members if m.unparsed] == []
    assert all(m.status == "parsed" for m in analysis.report.members)


@pytest.mark.parametrize("seed", range(4))
def test_a_worker_serves_one_at_a_time(seed: int) -> None:
    made = site(seed, **CROWD, workers=1 + seed, cached=seed % 2 == 0, patience="any")
    by_worker = defaultdict(list)
    for served in made.truth.served:
        by_worker[served.pid].append(served)
    assert len(by_worker) == 1 + seed
    for own in by_worker.values():
        assert all(before.end <= after.begin for before, after in pairwise(own))
    # Connections are counted over all workers, and each is one worker's.
    numbers = [served.number for served in made.truth.served]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    # In the log a worker is done with a connection before it says a word of the next.
    spoken = defaultdict(list)
    for text, _, _ in lines(made, "nginx"):
        if record := _RECORD.match(text):
            spoken[record[2]].append(int(record[3]))
    for said in spoken.values():
        changes = [after for before, after in pairwise([0, *said]) if after != before]
        assert len(changes) == len(set(changes))


@pytest.mark.parametrize("cached", [False, True])
def test_nginx_stamps_with_the_time_that_it_keeps(cached: bool) -> None:
    made = site(5, **CROWD, workers=2, cached=cached)
    woke = {(served.pid, served.number): served.woke for served in made.truth.served}
    late = 0
    for text, _, at in lines(made, "nginx"):
        if record := _RECORD.match(text):
            meant = woke[int(record[2]), int(record[3])] if cached else at
            stamp = datetime.strptime(record[1], "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
            assert stamp - made.choices.zone == math.floor(meant / 1000)
            late += math.floor(meant / 1000) != math.floor(at / 1000)
    assert bool(late) == cached


def test_error_log_is_in_the_order_of_time_and_lines_of_several_workers_mix() -> None:
    made = site(6, **CROWD, workers=4)
    read = lines(made, "nginx")
    assert all(before <= after for (*_, before), (*_, after) in pairwise(read))
    order = [owner for _, owner, _ in read if owner is not None]
    changes = sum(before != after for before, after in pairwise(order))
    assert changes > 3 * len(set(order))


def test_iis_stamps_by_its_own_clock_in_the_order_in_which_it_has_answered() -> None:
    crowd = CROWD | {"offset": -7.25, "drift": 20.0, "neighbour": 0.5, "timer": 0.0, "rate": 20, "workers": 8}
    made = site(7, **crowd, slots=1)
    read = [line for line in lines(made, "iis") if not line[0].startswith("#")]
    assert all(before <= after for (*_, before), (*_, after) in pairwise(read))
    issued, taken = [], 0
    for text, _, at in read:
        stamp = datetime.strptime(text[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        assert stamp == math.floor((at + made.truth.ahead(at)) / 1000)
        taken += int(text.rpartition(" ")[2])
        if "certnew.cer" in text and "CiscoRA" in text:
            issued.append(int(re.search(r"ReqID=(\d+)", text)[1]))  # type: ignore[index]
    assert len(set(issued)) == len(issued)
    assert {text.split()[8] for text, _, _ in read} >= {"14.48.31.125", "14.49.31.125"}
    # Who waits for others to be answered waits longer than he would at a server of many hands.
    easy = site(7, **crowd, slots=25)
    assert taken > 1.2 * sum(int(text.rpartition(" ")[2]) for text, *_ in lines(easy, "iis") if text[0] != "#")


def test_an_enrollment_has_all_its_lines_in_their_order() -> None:
    made = site(8, **CROWD | {"rate": 8}, workers=4, patience="read", slots=25)
    said, asked = defaultdict(list), defaultdict(list)
    for text, owner, _ in lines(made, "nginx"):
        said[owner].append(text)
    for text, owner, _ in lines(made, "iis"):
        if owner is not None:
            words = text.split()
            asked[owner].append((words[4], words[11]))
    assert len(made.truth.enrollments) == 40
    for enrolled in made.truth.enrollments:
        assert (enrolled.outcome, enrolled.rv, enrolled.step) == ("issued", 0, "answer")
        assert asked[enrolled.tag] == PAGES
        left = iter(said[enrolled.tag])
        assert all(any(words in text for text in left) for words in SAID)
        assert sum("Peer IP address" in text for text in said[enrolled.tag]) == 2
        assert enrolled.called is not None
    assert {class_of(enrolled) for enrolled in made.truth.enrollments} >= {"up to 4", "up to 16"}


def test_a_busy_ces_makes_capf_give_up() -> None:
    made = site(9, **CROWD | {"rate": 20, "retries": 3}, workers=1, patience="any")
    rvs = Counter(enrolled.rv for enrolled in made.truth.enrollments)
    assert rvs[35] > 5
    assert rvs[0] > 5
    for enrolled in made.truth.enrollments:
        if enrolled.rv == 35:
            assert enrolled.result is not None
            assert 10_000 <= enrolled.result - enrolled.call < 10_040
    errors = [text for text, owner, _ in lines(made, "nginx") if owner is not None and "[ERROR]" in text]
    assert any("OpenSSL system call error" in text for text in errors)


@pytest.mark.parametrize(
    ("fate", "rv", "words", "pages"),
    [
        ("template", 22, "HTTP authentication failed", 3),
        ("login", 22, "return code 22", 2),
        ("login timeout", 35, "return code 28", 2),
        ("form timeout", 35, "return code 28", 3),
        ("post timeout", 35, "return code 28", 6),
        ("fetch timeout", 35, "return code 28", 7),
        ("denied", 13, "rc=25 (EST_ERR_CA_ENROLL_FAIL)", 6),
        ("pending", 26, "CA server requests retry", 6),
    ],
)
def test_what_the_ca_does_not_serve(fate: str, rv: int, words: str, pages: int) -> None:
    quiet = PLAIN | {"phones": 3, "rate": 0.02, "retries": 0, "form": 200, "others": 0.0, "told": True}
    made = site(10, **quiet | {"faults": 1.0, "kinds": (fate,)})
    for enrolled in made.truth.enrollments:
        assert (enrolled.rv, enrolled.outcome) == (rv, "failed")
        assert any(words in text for text, owner, _ in lines(made, "nginx") if owner == enrolled.tag)
        assert sum(owner == enrolled.tag for _, owner, _ in lines(made, "iis")) == pages


def test_what_a_bundle_lacks() -> None:
    made = site(11, **CROWD | {"logs": ("capf", "iis"), "cut": 0.5})
    assert set(made.sources.values()) == {"capf", "iis"}
    whole = site(11, **CROWD)
    assert 0.2 < len(lines(made, "iis")) / len(lines(whole, "iis")) < 0.8
    lossy = site(11, **CROWD | {"lost": 0.01})
    assert 0.98 < len(lines(lossy, "nginx")) / len(lines(whole, "nginx")) < 1
    rotated = site(11, **CROWD | {"rotated": True})
    assert {"root/error.log", "root/error.log.1"} <= set(rotated.sources)
    cut = site(11, **CROWD | {"ends": True})
    assert any(enrolled.outcome == "incomplete" for enrolled in cut.truth.enrollments)


def test_phones_that_come_one_by_one_are_told_apart() -> None:
    made = site(12, **PLAIN | {"phones": 12, "rate": 0.01, "form": 100, "patience": "read"})
    measured = measure(made, analyzed(*made.members))
    assert measured.enrollments == measured.found == measured.outcomes == {"1": 12}
    for source in ("nginx", "iis"):
        count = measured.count("1", source)
        assert count.owned == count.put == count.right > 0
    assert (measured.wrong, measured.missing, measured.extra) == ([], [], 0)


def test_called_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--seed", "3", "--plain", "--phones", "6", "--rate", "0.1", "--out", str(tmp_path / "x.zip"), "--wrong"])
    assert "issued (rv 0)" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert "root/error.log" in archive.namelist()
    main(["--measure", "2", "--phones", "6", "--workers", "2", "--processes", "1"])
    table = capsys.readouterr().out.splitlines()
    assert table[0].strip().startswith("at once")
    assert [row.strip().partition("  ")[0] for row in table[1:6]] == ["1", "up to 4", "up to 16", "more", "all"]
