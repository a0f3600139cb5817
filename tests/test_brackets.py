"""Brackets of IIS's offset hold the true one: of enrollments alone, of crowds, and by CES's own words."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from capflog import brackets as engine
from capflog import clock_tracks
from capflog.analysis import analyze_members
from capflog.clock_log import Log
from capflog.told import Told
from capflog.tracks import Brackets
from capflog.zones import Zone
from tests.scenes import (
    BROWSER,
    CES_AGENT,
    NODE,
    NOT_ANSWERED,
    REQUESTS,
    Held,
    Line,
    Lines,
    asked,
    at,
    ca_answers,
    chain_fetched,
    exchange,
    held,
    iis,
    seconds,
    serves,
    tries,
)
from tests.scenes import EASTERN as ZONE
from tests.simulator import TICK, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from capflog.asked import Asked
    from capflog.brackets import Guess
    from capflog.offsets import Here

AHEAD = -2.4
TOLD = Told(zones=(("", Zone.fixed(-18_000)),))

Taken = tuple[float, ...]

#: How long each of CES's seven requests takes the CA, by CES's own haste.
QUICK: Taken = (0.004, 0.002, 0.09, 0.003, 0.002, 0.06, 0.004)
SLOW: Taken = (0.2, 0.1, 2.9, 0.2, 0.1, 1.7, 0.15)


def ca_works(when: datetime, of: str, taken: Taken, *, ahead: float = AHEAD, tick: float = 0.0) -> Lines:
    """CES's requests from a moment on, each 9 ms after the one before it; ``tick``: of the clock of time-taken (ms)."""
    lines: Lines = []
    for took, (_, method, page, query, user, ending) in zip(taken, REQUESTS, strict=True):
        begun = when + seconds(0.009)
        when = begun + seconds(took)
        line = asked(
            when,
            f"{method} /certsrv{page} {query}",
            ending,
            of,
            zone=ZONE,
            ahead=ahead,
            who=f"{NODE} {CES_AGENT}",
            user=user,
        )
        ms = took * 1000
        if tick:
            since = (begun - at("00:00:00")).total_seconds() * 1000
            ms = ((since + ms) // tick - since // tick) * tick
        lines.append(Line(when, f"{line.text.rpartition(' ')[0]} {int(ms)}", of))
    return lines


def enrolls(
    device: str, when: datetime, taken: Taken = QUICK, *, ahead: float = AHEAD, tick: float = 0.0
) -> tuple[Lines, Lines]:
    """A phone's certificate: CAPF calls, CES asks 70 ms later, CAPF has its answer 20 ms after the CA's last."""
    web = ca_works(when + seconds(0.07), device, taken, ahead=ahead, tick=tick)
    done = (web[-1].at - when).total_seconds() + 0.02
    return tries(device, when, taken=done), web


def found(*members: Held, told: Told = TOLD) -> list[Brackets]:
    """Analyze a bundle and give the brackets that were made on the way, each time that they were."""
    made: list[Brackets] = []
    own = engine.brackets_of

    def brackets_of(here: Here, requests: Asked, guesses: Sequence[Guess]) -> list[Brackets]:
        parts = own(here, requests, guesses)
        made.append(Brackets.together(list(parts)))
        return parts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock_tracks, "brackets_of", brackets_of)
        analyze_members("bundle", members, told=told)
    return made


def wrong(brackets: Brackets, ahead: float = AHEAD) -> list[tuple[int, int]]:
    """List the brackets that do not hold the offset."""
    true = round(ahead * 1000)
    return [
        (low, high)
        for low, high in zip(brackets.low.tolist(), brackets.high.tolist(), strict=True)
        if not low <= true <= high
    ]


def check(made: list[Brackets], least: int, ahead: float = AHEAD) -> Brackets:
    """Check that all brackets hold the offset, and that there are some; gives the last."""
    assert [wrong(brackets, ahead) for brackets in made] == [[] for _ in made]
    assert len(made[-1]) >= least
    return made[-1]


def bundle(scenes: Iterable[tuple[Lines, Lines]], *more: Lines) -> tuple[Held, Held]:
    trace, web = zip(*scenes, strict=True)
    return held("capf00000001.txt", *trace), iis("u_ex190116.log", *web, *more)


# ---- an enrollment alone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tick", [0.0, TICK])
@pytest.mark.parametrize("taken", [QUICK, SLOW])
def test_an_enrollment_bounds_the_offset_whatever_the_second_s_phase(taken: Taken, tick: float) -> None:
    """One a minute and a bit, each some milliseconds later in its second."""
    phases = range(0, 1_000, 4)
    phones = {f"SEP{phase:012d}": at("08:00:00") + seconds(n * 67 + phase / 1000) for n, phase in enumerate(phases)}
    last = check(
        found(*bundle(enrolls(device, when, taken, tick=tick) for device, when in phones.items())), len(phases)
    )
    # A chain bounds the offset to what its second allows; where a second changed within it that is much.
    assert len(last) == len(phases)
    width = last.high - last.low
    assert width.max() <= 1_300
    assert width.min() < 300
    assert last.high.min() - last.low.max() < 150


@pytest.mark.parametrize("ahead", [0.0, 0.35, 900.0, -7_200.0])
def test_the_offset_may_be_any(ahead: float) -> None:
    phones = {f"SEP{n:012d}": at("08:00:00") + seconds(n * 97.13) for n in range(40)}
    check(found(*bundle(enrolls(device, when, ahead=ahead) for device, when in phones.items())), 40, ahead)


def test_time_taken_bounds_the_offset_closer() -> None:
    """What a slow form takes lies between the call and the certificate's second."""
    phones = {f"SEP{n:012d}": at("08:00:00") + seconds(n * 97.137) for n in range(20)}
    scenes = [enrolls(device, when, SLOW) for device, when in phones.items()]
    told = check(found(*bundle(scenes)), 20)
    blind = [
        (trace, [Line(line.at, f"{line.text.rpartition(' ')[0]} 0", line.of) for line in web]) for trace, web in scenes
    ]
    untold = check(found(*bundle(blind)), 20)
    assert (told.high - told.low).mean() < (untold.high - untold.low).mean() - 300


def test_the_bundle_need_not_be_told_the_zone() -> None:
    """Then the offset has the zone in it at first; what it is in the end is the same."""
    phones = {f"SEP{n:012d}": at("08:00:00") + seconds(n * 97.13) for n in range(20)}
    members = bundle(enrolls(device, when) for device, when in phones.items())
    first, *_, last = found(*members, told=Told())
    assert wrong(first, AHEAD + 5 * 3600) == []
    assert wrong(last) == []
    assert len(last) == 20


# ---- others --------------------------------------------------------------------------------------------------------


def people(count: int, seed: int = 1) -> Lines:
    """People who fetch certificates with their browsers, and a cluster that is not ours, over a day."""
    chance = random.Random(seed)
    lines: Lines = []
    for n in range(count):
        when = at("07:55:00") + seconds(chance.random() * 12_000)
        client, agent = (f"10.1.0.{n % 200}", BROWSER) if n % 2 else ("14.49.31.125", CES_AGENT)
        lines += ca_answers(when, None, taken=chance.uniform(0.2, 4), ahead=AHEAD, client=client, agent=agent)
    return lines


def shown(brackets: Brackets) -> list[tuple[int, int, int]]:
    return list(zip(brackets.at.tolist(), brackets.low.tolist(), brackets.high.tolist(), strict=True))


def test_requests_of_browsers_and_of_others_make_none() -> None:
    phones = {f"SEP{n:012d}": at("08:00:00") + seconds(n * 97.13) for n in range(40)}
    scenes = [enrolls(device, when) for device, when in phones.items()]
    alone, crowded = (check(found(*bundle(scenes, lines)), 40) for lines in ([], people(300)))
    assert shown(crowded) == shown(alone)
    assert found(bundle(scenes)[0], iis("u_ex190116.log", people(300))) == []


def test_what_ces_asks_at_its_start_makes_none() -> None:
    """Nor does an enrollment that it falls into."""
    phones = {f"SEP{n:012d}": at("08:00:00") + seconds(n * 97.13) for n in range(20)}
    scenes = [enrolls(device, when, SLOW) for device, when in phones.items()]
    starts = [line for when in [*phones.values()][5:10] for line in chain_fetched(when + seconds(1), ahead=AHEAD)]
    assert len(check(found(*bundle(scenes, starts)), 15)) == 15


# ---- crowds --------------------------------------------------------------------------------------------------------


def crowds(seed: int, count: int = 25, slow: float = 0.0) -> list[tuple[Lines, Lines]]:
    """Phones that come two to five at once, every two minutes."""
    chance = random.Random(seed)
    scenes = []
    for n in range(count):
        begin = at("08:00:00") + seconds(n * 127 + chance.random())
        for k in range(chance.randint(2, 5)):
            taken = SLOW if chance.random() < slow else QUICK
            taken = tuple(took * chance.uniform(0.5, 3) for took in taken)
            scenes.append(enrolls(f"SEP{n:06d}{k:06d}", begin + seconds(chance.random() * 1.5), taken))
    return scenes


@pytest.mark.parametrize("slow", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_bounds_the_offset_whoever_is_who(seed: int, slow: float) -> None:
    """Brackets are made of crowds alone here, one a crowd or two where a minute ends within it."""
    last = check(found(*bundle(crowds(seed, slow=slow))), 24)
    assert (last.high - last.low).min() < 700


@pytest.mark.parametrize("seed", range(4))
def test_a_crowd_of_which_iis_lost_lines_bounds_it_too(seed: int) -> None:
    chance = random.Random(seed)
    scenes = [(trace, [line for line in web if chance.random() > 0.1]) for trace, web in crowds(seed)]
    made = found(*bundle(scenes))
    check(made, 5)
    whole = found(*bundle(crowds(seed)))
    assert len(made[-1]) < len(whole[-1])


@pytest.mark.parametrize("seed", range(3))
def test_a_crowd_among_others_requests_bounds_it_too(seed: int) -> None:
    check(found(*bundle(crowds(seed), people(100, seed))), 24)


@pytest.mark.parametrize("seed", range(4))
def test_a_crowd_with_late_answers_bounds_it_too(seed: int) -> None:
    """CAPF has given one of each crowd up after ten seconds; CES fetches its certificate all the same."""
    late = []
    for n in range(25):
        call = at("08:00:00") + seconds(n * 127 + random.Random(n).random())
        web = ca_works(call + seconds(0.07), f"late{n}", (0.2, 0.1, 6.0 + n % 5 / 2, 0.2, 0.1, 5.0, 0.1))
        late.append((tries(f"ATA{n:012d}", call, NOT_ANSWERED, taken=10.04), web))
    check(found(*bundle([*crowds(seed), *late])), 20)


# ---- CES's own words -----------------------------------------------------------------------------------------------


def cached(lines: Lines) -> Lines:
    """Stamp all that NGINX logs of a request with the moment at which it began."""
    began: datetime | None = None
    found = []
    for line in lines:
        if "Peer IP address" in line.text:
            began = line.at
        stamped = line.text[:4].isdigit() and began is not None
        text = f"{began:%Y/%m/%d %H:%M:%S}{line.text[19:]}" if stamped else line.text
        found.append(Line(line.at, text, line.of))
    return found


def as_it_is(lines: Lines) -> Lines:
    return lines


@pytest.mark.parametrize("stamping", [as_it_is, cached])
@pytest.mark.parametrize("taken", [0.4, 1.7])
@pytest.mark.parametrize("access", [True, False])
def test_ces_s_own_words_bound_the_offset(taken: float, stamping: Callable[[Lines], Lines], access: bool) -> None:
    """There is no trace of CAPF's; CES tells of a page in the second in which it came, or in which it was asked."""
    logs, web = [], []
    for phase in range(0, 1_000, 20):
        when = at("08:00:00") + seconds(phase * 6.7 + phase / 1000)
        lines = stamping(serves(when, None, taken=taken))
        logs.append(lines if access else [line for line in lines if "[log_access" not in line.text])
        answers = ca_answers(when, None, taken=taken, ahead=AHEAD)
        # The shares of the time at which they end tell how long they took.
        spans = np.diff([0.0, *(share for share, *_ in REQUESTS)]) * taken * 950
        web += [
            Line(line.at, f"{line.text.rpartition(' ')[0]} {int(ms)}", None)
            for line, ms in zip(answers, spans.tolist(), strict=True)
        ]
    last = check(found(held("error.log", *logs), iis("u_ex190116.log", web)), 50)
    # Whole seconds on either side, and what the CA may have held NGINX up.
    assert last.high.min() - last.low.max() < 1_500 + 1_000 * taken


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("slow", [0.0, 1_500.0])
def test_ces_s_own_words_bound_it_in_whole_bundles(seed: int, slow: float) -> None:
    for cache in (False, True):
        site = simulate(
            seed,
            hours=1.0,
            enrollments=40,
            zone="America/New_York",
            change=None,
            step=0.0,
            drift=0.0,
            slow=slow,
            cached=cache,
            neighbour=False,
            logs=("nginx", "iis"),
            level="info",
            offset=AHEAD,
        )
        told = Told(zones=(("", Zone.fixed(site.truth.zone)),))
        made = found(*site.members, told=told)
        spoilt = wrong(made[-1])
        assert len(spoilt) <= len(made[-1]) * 0.03
        assert len(made[-1]) >= 40


def test_where_capf_s_calls_suffice_ces_s_words_are_not_asked() -> None:
    """They are of whole seconds."""
    phones = {f"SEP{n:012d}": at("08:00:00") + seconds(n * 97.13) for n in range(30)}
    scenes = [enrolls(device, when) for device, when in phones.items()]
    trace, web = bundle(scenes)
    log = held("error.log", *(exchange(when, device, taken=0.23) for device, when in phones.items()))
    assert len(check(found(trace, log, web), 30)) == 30
    few = [*phones.items()][:4]
    trace, web = bundle(scenes[:4])
    log = held("error.log", *(exchange(when, device, taken=0.23) for device, when in few))
    assert len(check(found(trace, log, web), 5)) > 4


def test_requests_to_ces_bound_it_from_above() -> None:
    """CES asks the CA after it was asked: IIS is not farther ahead than its first request's second allows."""
    chance = random.Random(3)
    whens = [at("08:00:00") + seconds(n * 97 + chance.random()) for n in range(40)]
    log = held("error.log", *(serves(when, None, taken=0.4, curls=0) for when in whens))
    web = iis("u_ex190116.log", *(ca_answers(when, None, taken=0.4, ahead=AHEAD) for when in whens))
    analysis = analyze_members("bundle", [log, web])
    (clock,) = (clock for clock in analysis.report.clocks if clock.source == "iis")
    assert clock.quality == "one-sided"
    assert Log(analysis.events).accesses[1].size == 40
