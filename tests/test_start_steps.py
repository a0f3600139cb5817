"""How far the starts of CES came: the steps that their lines show, and the one that is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capflog.start_steps import STEPS, WORDS
from tests.conftest import PUBLISHED
from tests.scenes import (
    RESOLVE,
    TOO_LATE,
    Held,
    Line,
    Lines,
    analyzed,
    at,
    ces_starts,
    chain_fetched,
    exchange,
    held,
    iis,
    noted,
    raw,
    seconds,
    tries,
)
from tests.sites import site

if TYPE_CHECKING:
    from capflog.model import ServiceStart

SERVED = exchange(at("13:00:00"), "SEPA")
BEGUN = at("12:31:21")
CISCORA, LOG = "nginx00000001.txt", "error.log"
Way = tuple[bool | None, str, str | None]


def starts(*members: Held) -> list[ServiceStart]:
    return analyzed(*members).report.starts


def way(start: ServiceStart) -> Way:
    return start.ok, start.reached, start.missing


def published(number: str, *names: str) -> list[Held]:
    (folder,) = PUBLISHED.glob(f"{number}-*")
    return [
        raw(path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.iterdir())
        if not names or path.name in names
    ]


def ways(*members: Held) -> list[Way]:
    return [way(start) for start in starts(*members)]


# ---- the published starts ------------------------------------------------------------------------------------------


def test_the_published_start() -> None:
    (start,) = starts(*published("01"))
    assert way(start) == (True, "service", None)
    assert (start.ca, start.pid, start.libest) == ("lab-dc.michamen.com:443", 31070, "2.2.0")
    shown = [(record.source, record.step) for record in start.records if record.source != "ciscora"]
    assert shown == [
        ("nginx", "login"), ("nginx", "chain"), ("nginx", "postconf"),
        ("iis", "login"), ("iis", "login"), ("iis", "chain"),
    ]  # fmt: skip
    steps = [record.step for record in start.records if record.source == "ciscora"]
    assert steps == ["config"] * 2 + ["trust"] * 8 + ["libest"] * 3 + ["libest"] * 8 + ["pop", "service"]
    assert set(WORDS) == set(STEPS)


@pytest.mark.parametrize(
    ("names", "expected", "ca", "libest"),
    [
        ((CISCORA,), (True, "service", None), None, "2.2.0"),
        # The excerpt's error.log ends with the chain: nothing in it tells that CES went on.
        ((LOG,), (True, "postconf", "workers"), "lab-dc.michamen.com:443", None),
    ],
)
def test_the_published_start_in_one_log_alone(
    names: tuple[str, ...], expected: Way, ca: str | None, libest: str | None
) -> None:
    (start,) = starts(*published("01", *names))
    assert (way(start), start.ca, start.libest) == (expected, ca, libest)


@pytest.mark.parametrize(
    ("number", "reached", "missing"),
    [
        ("11", "none", "login"),
        ("12", "none", "login"),
        ("13", "none", "login"),
        ("14", "config", "login"),
        ("15", "none", "login"),
        ("17", "none", "login"),
        # Who asks for the chain has logged in.
        ("18", "login", "chain"),
    ],
)
def test_the_published_failures(number: str, reached: str, missing: str) -> None:
    (start,) = starts(*published(number))
    assert way(start) == (False, reached, missing)
    assert start.ca is not None
    assert start.ca.endswith(".michamen.com:443")


# ---- starts that are cut -------------------------------------------------------------------------------------------

#: The published CiscoRA log: how many of its lines are there, and the last step that they show.
CISCORA_STEPS = [*[(n, "config") for n in (1, 2)], *[(n, "trust") for n in range(3, 11)], *[
    (n, "libest") for n in range(11, 22)], (22, "pop")]  # fmt: skip


@pytest.mark.parametrize(("count", "reached"), CISCORA_STEPS[1:])
def test_the_ciscora_log_ends_within_a_start(count: int, reached: str) -> None:
    """It cannot show the login: what it lacks is what it would have shown next."""
    (log,) = published("01", CISCORA)
    text = "".join(log.content.decode().splitlines(keepends=True)[:count])
    (start,) = starts(raw(CISCORA, text))
    missing = {"config": "trust", "trust": "libest", "libest": "service", "pop": "service"}[reached]
    assert way(start) == (None, reached, missing)


@pytest.mark.parametrize("first", range(24))
def test_the_ciscora_log_begins_within_a_start(first: int) -> None:
    (log,) = published("01", CISCORA)
    text = "".join(log.content.decode().splitlines(keepends=True)[first:])
    assert ways(raw(CISCORA, text)) == [(True, "service", None)]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (2, (None, "config", "trust")),
        (3, (None, "trust", "login")),
        (4, (None, "login", "chain")),
        (5, (None, "chain", "postconf")),
        (6, (True, "postconf", "workers")),
        (7, (True, "pop", "workers")),
        (8, (True, "workers", None)),
    ],
)
def test_error_log_ends_within_a_start(count: int, expected: Way) -> None:
    _, log = ces_starts(BEGUN)
    assert ways(held("error.log", log[:count])) == [expected]


@pytest.mark.parametrize("first", range(8))
def test_error_log_begins_within_a_start(first: int) -> None:
    _, log = ces_starts(BEGUN)
    assert ways(held("error.log", log[first:], SERVED)) == [(True, "workers", None)]


def test_what_serves_has_started() -> None:
    """Nothing tells of the workers, but one of them is at work."""
    _, log = ces_starts(BEGUN)
    assert ways(held("error.log", log[:-1], SERVED)) == [(True, "pop", None)]
    later, soon = (ces_starts(at(clock), pid=4000)[1] for clock in ("14:00:00", "12:50:00"))
    assert ways(held("error.log", log[:-1], SERVED, later)) == [(True, "pop", None), (True, "workers", None)]
    assert ways(held("error.log", log[:-1], soon, SERVED)) == [(True, "pop", "workers"), (True, "workers", None)]


def test_both_logs_break_off() -> None:
    """NGINX's master was never seen to run: CES had its chain, though."""
    ciscora, log = ces_starts(BEGUN)
    assert ways(held("nginx1.txt", ciscora[:-1]), held("error.log", log[:-1])) == [(True, "pop", "service")]


def test_a_start_that_the_next_one_cuts_off() -> None:
    first, second = ces_starts(at("10:00:00"), pid=100), ces_starts(BEGUN)
    found = ways(held("nginx1.txt", first[0][:3], second[0]))
    assert found == [(None, "trust", "libest"), (True, "service", None)]


# ---- starts that fail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("logs", ["both", "ciscora", "nginx"])
def test_a_failed_start_then_a_good_one(logs: str) -> None:
    bad, good = ces_starts(at("10:00:00"), pid=100, fails=True), ces_starts(BEGUN)
    members = [held("nginx1.txt", bad[0], good[0]), held("error.log", bad[1], good[1], SERVED)]
    members = members if logs == "both" else members[logs == "nginx" :][:1]
    found = starts(*members)
    last = "service" if logs == "ciscora" else "workers"
    assert [way(start) for start in found] == [(False, "trust", "login"), (True, last, None)]
    assert [start.ca for start in found] == [
        "lab-dc.michamen.com:443",
        None if logs == "ciscora" else "lab-dc.michamen.com:443",
    ]


def test_a_chain_that_never_came() -> None:
    ciscora, _ = ces_starts(BEGUN, fails=True, error=TOO_LATE)
    chain = "nginx: [warn] retrieve_cacerts: Curl request failed with return code 28"
    lines = [*ciscora[:3], Line(BEGUN, chain), *ciscora[6:]]
    assert ways(held("nginx1.txt", lines)) == [(False, "login", "chain")]
    # The lines that tell why are cut off.
    assert ways(held("nginx1.txt", ciscora[6:])) == [(False, "none", "chain")]


def test_a_name_that_is_not_resolved_is_not_trusted_either() -> None:
    ciscora, _ = ces_starts(BEGUN, fails=True, error=RESOLVE)
    assert ways(held("nginx1.txt", ciscora[:2], ciscora[3:])) == [(False, "config", "login")]


def test_a_port_that_is_taken() -> None:
    taken = "[emerg] 31067#0: bind() to 0.0.0.0:8084 failed (98: Address already in use)"
    assert ways(held("error.log", [noted(BEGUN, taken)])) == [(False, "none", "service")]
    _, log = ces_starts(BEGUN)
    assert ways(held("error.log", log[:-1], [noted(BEGUN + seconds(1), taken)])) == [(False, "pop", "service")]


def test_a_configuration_that_nginx_refuses() -> None:
    refused = '[emerg] 31067#0: host not found in upstream "ca" in /etc/nginx.conf:8'
    assert ways(held("error.log", [noted(BEGUN, refused)])) == [(False, "none", "config")]
    _, log = ces_starts(BEGUN)
    assert ways(held("error.log", log[:3], [noted(BEGUN, refused)])) == [(False, "trust", "login")]


# ---- what the other logs tell --------------------------------------------------------------------------------------


def breaks_off() -> list[Held]:
    """A phone was served; then CES starts, error.log shows its warnings alone, and nothing further."""
    ciscora, log = ces_starts(BEGUN)
    warned = [line for line in log if "[warn]" in line.text][:3]
    served, phone = exchange(at("11:00:00"), "SEPA"), tries("SEPA", at("11:00:00"))
    return [held("capf1.txt", phone), held("nginx1.txt", ciscora[:3]), held("error.log", served, warned)]


def test_iis_shows_the_login_and_the_chain() -> None:
    assert ways(*breaks_off()) == [(None, "trust", "login")]
    (start,) = starts(*breaks_off(), iis("u_ex190116.log", chain_fetched(BEGUN)))
    assert way(start) == (None, "chain", "postconf")
    assert [record.step for record in start.records if record.source == "iis"] == ["login", "login", "chain"]


def test_what_the_ca_refuses_is_not_done() -> None:
    lines = [Line(line.at, line.text.replace(" 200 0 0", " 500 0 64")) for line in chain_fetched(BEGUN)]
    (start,) = starts(*breaks_off(), iis("u_ex190116.log", lines))
    assert [record.step for record in start.records if record.source == "iis"] == ["login", "login", "chain"]
    assert way(start) == (None, "login", "chain")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("libest 2.2.0 (API level 4)", "2.2.0"),
        ("libest 3.2.0p (API level 4)", "3.2.0p"),
        ("libest 1.0.0 (API level 1)", "1.0.0"),
        ("libest develop (API level 4)", "develop"),
    ],
)
def test_the_version_of_libest(said: str, version: str) -> None:
    ciscora, _ = ces_starts(BEGUN)
    lines = [Line(line.at, line.text.replace("libest 2.2.0 (API level 4)", said)) for line in ciscora]
    (start,) = starts(held("nginx1.txt", lines))
    assert start.libest == version


@pytest.mark.parametrize(
    ("url", "ca"),
    [
        ("https://10.4.5.6:8443/certsrv", "10.4.5.6:8443"),
        ("https://[2001:db8::1]:443/certsrv", "[2001:db8::1]:443"),
        ("https://ca.example.com/certsrv", "ca.example.com"),
        ("https://:443/certsrv", ":443"),
        ("https://ciscora:hunter2@ca.example.com:443/certsrv", "ca.example.com:443"),
    ],
)
def test_the_ca_that_was_asked(url: str, ca: str) -> None:
    ciscora, _ = ces_starts(BEGUN, fails=True)
    lines: Lines = [
        Line(line.at, line.text.replace("https://lab-dc.michamen.com:443/certsrv", url)) for line in ciscora
    ]
    (start,) = starts(held("nginx1.txt", lines))
    assert start.ca == ca


# ---- whole sites ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_the_starts_of_a_whole_site(seed: int) -> None:
    made = site(seed, starts=2, down="refused", phones=30, lost=0.0, ends=False, level="info",
                logs=("capf", "nginx", "ciscora", "iis"))  # fmt: skip
    for start in starts(*made.members):
        expected = (True, "workers", None) if start.ok else (False, "trust", "login")
        assert (way(start), start.libest) == (expected, "2.2.0")
