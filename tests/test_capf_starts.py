"""The starts of CAPF in its trace: which lines are of one, how far it came, and with which parameters."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from capflog.capf_starts import STEPS, WORDS
from capflog.reports.json import dumps
from capflog.reports.terminal import render
from tests.conftest import PUBLISHED
from tests.scenes import Held, Line, Lines, analyzed, at, capf_starts, ces_starts, held, raw, said, seconds, tries
from tests.sites import site

if TYPE_CHECKING:
    from datetime import datetime

    from capflog.model import CapfStart

INIT, ONLINE = "CServiceParameters::Init()", "CServiceParameters::OnlineCAInit()"
HOST = "lab-dc.michamen.com"

#: The published start line by line: ms since the first, text, the step that is the last one reached with this line.
WHOLE: tuple[tuple[int, str, str], ...] = (
    (0, f"{INIT} Certificate Generation Method=OnlineCA:4", "parameters"),
    (4, f"{INIT} TAM password already exists, no need to create.", "parameters"),
    (34, f"{ONLINE} Online CA hostname is {HOST}", "parameters"),
    (35, f"{ONLINE} Online CA Port : 443", "parameters"),
    (36, f"{ONLINE} Online CA Template is CiscoRA", "parameters"),
    (192, f"{ONLINE} nginx.conf Updated and Credential.txt file is created", "parameters"),
    (192, f"{ONLINE} Reading CAPF Service Parameters done", "read"),
    (193, f"{INIT} OnlineCA Initialized", "read"),
    (65818, f"{INIT} Cisco RA Service Start Initiated. Please check NGINX logs for further details", "ces"),
    (65877, "debug CA Type is Online CA, setting up EST Connection", "client"),
    (65877, "debug Inside setUpESTClient", "client"),
    (65877, "debug cacert read success. cacert length : 1367", "cacert"),
    (65878, "debug EST context ectx initialized", "context"),
    (66307, "debug CA Credentials retrieved", "credentials"),
    (66307, "debug est_client_set_auth() Successful!!", "auth"),
    (66307, "debug EST set server details success!!", "server"),
)
ALL = len(WHOLE)
AUTH = 15


def begins(when: datetime, first: int = 0, last: int = ALL, **others: str) -> Lines:
    """CAPF starts: the published lines from one to before another; ``others``: words put in the place of some."""
    lines: Lines = []
    for ms, text, _ in WHOLE[first:last]:
        for old, new in others.items():
            text = text.replace({"host": HOST, "port": "443", "template": "CiscoRA"}[old], new)  # noqa: PLW2901
        lines += said(when + timedelta(milliseconds=ms), text)
    return lines


def found(*scenes: Lines, name: str = "capf1.txt") -> list[CapfStart]:
    return of(held(name, *scenes))


def of(*members: Held) -> list[CapfStart]:
    return analyzed(*members).report.capf_starts


def way(start: CapfStart) -> tuple[bool | None, str, str | None]:
    return start.ok, start.reached, start.missing


def test_the_published_start() -> None:
    (folder,) = PUBLISHED.glob("01-*")
    trace = (folder / "capf00000001.txt").read_text(encoding="utf-8")
    (start,) = of(raw("capf00000001.txt", trace))
    assert way(start) == (True, "server", None)
    assert list(start.parameters.items()) == [
        ("certificate_method", "OnlineCA"),
        ("ca_hostname", HOST),
        ("ca_port", "443"),
        ("ca_template", "CiscoRA"),
    ]
    assert (start.hostname, start.port, start.template) == (HOST, "443", "CiscoRA")
    assert start.changed == []
    assert start.started is not None
    assert start.ended is not None
    assert start.ended - start.started == timedelta(milliseconds=66307)
    assert [line.step for line in start.lines if line.step] == [
        *["parameters"] * 4, "read", "read", "ces", "client", "client", "cacert", "context", "credentials", "auth",
        "server",
    ]  # fmt: skip
    assert not any(line.fault for line in start.lines)
    assert set(WORDS) == set(STEPS)


@pytest.mark.parametrize("last", range(1, ALL + 1))
def test_a_start_that_breaks_off_knows_what_comes_next(last: int) -> None:
    (start,) = found(begins(at("12:31:03"), 0, last))
    reached = WHOLE[last - 1][2]
    done = STEPS.index(reached) >= STEPS.index("auth")
    assert way(start) == (True if done else None, reached, None if done else STEPS[STEPS.index(reached) + 1])
    assert len(start.lines) == last


@pytest.mark.parametrize("first", range(ALL))
def test_a_start_that_is_cut_in_front_is_one_still(first: int) -> None:
    (start,) = found(begins(at("12:31:03"), first), tries("SEPA", at("12:40:00")))
    assert way(start) == (True, "server", None)
    assert len(start.lines) == ALL - first
    assert start.hostname == (HOST if first <= 2 else None)


@pytest.mark.parametrize("cut", range(1, ALL))
def test_a_start_cut_off_by_the_next_is_another(cut: int) -> None:
    """CAPF was stopped and started again: 20 s lie between."""
    begun = at("12:31:03")
    ended = begun + timedelta(milliseconds=WHOLE[cut - 1][0])
    first, second = found(begins(begun, 0, cut), begins(ended + seconds(20)))
    assert (len(first.lines), len(second.lines)) == (cut, ALL)
    assert first.ok is (True if cut >= AUTH else None)
    assert way(second) == (True, "server", None)


@pytest.mark.parametrize("first", range(1, 9))
def test_what_is_left_of_a_start_is_not_the_next_ones(first: int) -> None:
    """The trace begins within a start that was cut off."""
    rest, whole = found(begins(at("12:31:03"), first, 9), begins(at("12:35:00")))
    assert (len(rest.lines), len(whole.lines)) == (9 - first, ALL)


def test_phones_alone_are_no_start() -> None:
    assert found(tries("SEPA", at("12:00:00")), tries("SEPB", at("12:10:00"))) == []


def test_without_a_trace_there_is_none() -> None:
    ciscora, nginx = ces_starts(at("12:31:21"))
    assert of(held("nginx1.txt", ciscora), held("error.log", nginx)) == []


def test_the_client_is_set_up_anew_while_capf_lives_on() -> None:
    begun = at("12:31:03")
    again = [Line(line.at + seconds(3600), f"13{line.text[2:]}", None) for line in begins(begun, 9)]
    (start,) = found(begins(begun), tries("SEPA", at("12:40:00")), again)
    assert len(start.lines) == ALL


def test_other_functions_ask_for_parameters_too() -> None:
    asked = said(at("14:00:00"), "CServiceParameters::GetPhonePort() Phone Port = 3804")
    (start,) = found(begins(at("12:31:03")), asked)
    assert "phone_port" not in start.parameters


def test_calls_of_est_show_that_a_start_went_well() -> None:
    """Of the EST client's set-up nothing was logged."""
    lines = capf_starts(at("12:00:00"))
    (start,) = found(lines, tries("SEPA", at("12:40:00")))
    assert way(start) == (True, "ces", None)
    first, second = found(lines, capf_starts(at("12:30:00")), tries("SEPA", at("12:40:00")))
    assert way(first) == (None, "ces", "client")
    assert way(second) == (True, "ces", None)


@pytest.mark.parametrize(
    ("text", "reached", "missing"),
    [
        ("debug cacert read failed", "client", "cacert"),
        ("debug Failed to initialize EST context", "cacert", "context"),
        ("debug CA Credentials could not be retrieved", "context", "credentials"),
        ("debug est_client_set_auth() Failed!!", "credentials", "auth"),
        ("debug EST set server details failed!! rv = 44", "auth", "server"),
        (f"{ONLINE} Error : could not open nginx.conf", "parameters", "read"),
    ],
)
def test_a_step_that_fails(text: str, reached: str, missing: str) -> None:
    begun = at("12:31:03")
    count = next(n for n, line in enumerate(WHOLE) if STEPS.index(line[2]) > STEPS.index(reached))
    lines = begins(begun, 0, count)
    failed, good = found(lines, said(lines[-1].at, text), begins(at("12:50:00")))
    assert way(failed) == (False, reached, missing)
    assert failed.lines[-1].fault
    assert way(good) == (True, "server", None)


def test_a_step_that_succeeds_at_the_second_try() -> None:
    begun = at("12:31:03")
    lines = begins(begun)
    (start,) = found(lines[:11], said(lines[10].at, "debug cacert read failed"), lines[11:])
    assert way(start) == (True, "server", None)


def test_words_of_failure_that_stopped_nothing() -> None:
    begun = at("12:31:03")
    odd = said(begun + seconds(0.1), f"{ONLINE} Error : no proxy")
    assert [start.ok for start in found(begins(begun), odd)] == [False]
    assert [start.ok for start in found(begins(begun), odd, tries("SEPA", at("12:40:00")))] == [True]


def test_another_method_needs_no_ces() -> None:
    lines = said(at("12:31:03"), f"{INIT} Certificate Generation Method=CAPF:1", f"{INIT} Phone Port = 3804")
    (start,) = found(lines)
    assert way(start) == (True, "parameters", None)
    assert start.parameters == {"certificate_method": "CAPF", "phone_port": "3804"}


@pytest.mark.parametrize(
    ("line", "hostname", "port"),
    [("Online CA hostname is", None, "443"), ("Online CA Port :", HOST, None)],
)
def test_a_parameter_without_a_value(line: str, hostname: str | None, port: str | None) -> None:
    lines = begins(at("12:31:03"))
    lines = [Line(li.at, li.text.partition(line)[0] + line, None) if line in li.text else li for li in lines]
    (start,) = found(lines)
    assert (start.hostname, start.port) == (hostname, port)
    assert len(start.parameters) == 4
    assert start.ok is True


def test_a_parameter_that_is_not_told() -> None:
    lines = [line for line in begins(at("12:31:03")) if "Port" not in line.text]
    (start,) = found(lines)
    assert (start.hostname, start.port) == (HOST, None)
    assert "ca_port" not in start.parameters


def test_what_changed_between_two_starts() -> None:
    first, second, third = found(
        begins(at("12:00:00")),
        begins(at("13:00:00"), host="lab-dcc.michamen.com", port="8443"),
        begins(at("14:00:00"), host="lab-dcc.michamen.com", port="8443"),
    )
    assert (first.changed, third.changed) == ([], [])
    assert second.changed == [("ca_hostname", HOST, "lab-dcc.michamen.com"), ("ca_port", "443", "8443")]


def test_what_a_cut_start_does_not_tell_did_not_change() -> None:
    first, second, third = found(
        begins(at("12:00:00")), begins(at("13:00:00"), 4), begins(at("14:00:00"), host="b.example")
    )
    assert (first.changed, second.changed) == ([], [])
    assert third.changed == [("ca_hostname", HOST, "b.example")]


def test_a_parameter_that_was_emptied_has_changed() -> None:
    later = [Line(li.at, li.text.removesuffix(f" {HOST}"), None) for li in begins(at("13:00:00"))]
    _, second = found(begins(at("12:00:00")), later)
    assert second.changed == [("ca_hostname", HOST, None)]


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"{ONLINE} Online CA Password is {SECRET}",
        f"{ONLINE} Online CA Password : {SECRET}",
        f"{ONLINE} Online CA pwd = {SECRET}",
        f"{INIT} TAM password = {SECRET}",
        f"{INIT} TAM password created: {SECRET}",
        f"{INIT} Client Secret={SECRET}",
        f"debug CA Credentials retrieved: ciscora/{SECRET}",
    ],
)
def test_a_password_is_never_shown(text: str) -> None:
    begun, later, after = at("12:31:03"), at("13:31:03"), seconds(66.308 if "debug" in text else 0.1)
    secret, other = said(begun + after, text), said(later + after, text.replace(SECRET, f"{SECRET}0"))
    report = analyzed(held("capf1.txt", begins(begun), secret, begins(later), other)).report
    assert len(report.capf_starts) == 2
    assert SECRET not in dumps(report)
    assert SECRET not in render(report, width=160, color=False, unicode=True, zone=None)
    assert [start.changed for start in report.capf_starts] == [[], []]


def test_a_start_may_go_on_in_the_next_file() -> None:
    lines = begins(at("12:31:03"))
    files = [held("capf00000009.txt", lines[:7]), held("capf00000010.txt", lines[7:], tries("SEPA", at("12:40:00")))]
    (start,) = of(*reversed(files))
    assert way(start) == (True, "server", None)
    assert [line.member for line in start.lines] == ["capf00000009.txt"] * 7 + ["capf00000010.txt"] * 9


def test_a_start_may_go_on_after_midnight() -> None:
    (start,) = found(begins(at("23:59:30")))
    assert way(start) == (True, "server", None)
    assert start.started is not None
    assert start.ended is not None
    assert start.ended - start.started == timedelta(milliseconds=66307)


def test_starts_of_several_nodes_are_compared_each_with_its_own() -> None:
    folder = "{}/2019-01-16_20-00-00/cm/trace/capf/sdi/capf00000001.txt"
    pub = held(folder.format("cucm-pub"), begins(at("12:00:00")), begins(at("14:00:00")))
    sub = held(folder.format("cucm-sub"), begins(at("13:00:00"), host="b.example"))
    starts = of(pub, sub)
    assert [(start.node, start.hostname) for start in starts] == [
        ("cucm-pub", HOST),
        ("cucm-sub", "b.example"),
        ("cucm-pub", HOST),
    ]
    assert [start.changed for start in starts] == [[], [], []]
    assert [start.node for start in of(pub)] == ["", ""]


def test_starts_of_one_node_in_two_collections_are_compared() -> None:
    folder = "cucm-pub/2019-01-1{}_20-00-00/cm/trace/capf/sdi/capf00000001.txt"
    first = held(folder.format(6), begins(at("12:00:00")))
    second = held(folder.format(7), begins(at("12:00:00", 1), host="b.example"))
    assert [start.changed for start in of(first, second)] == [[], [("ca_hostname", HOST, "b.example")]]


@pytest.mark.parametrize("seed", range(3))
def test_the_starts_of_a_whole_site(seed: int) -> None:
    """CAPF is restarted among its phones."""
    made = site(seed, starts=2, down="refused", phones=30, lost=0.0, ends=False, logs=("capf", "nginx", "ciscora"))
    (trace,) = (member.content for member in made.members if "capf0" in member.name)
    begun = trace.count(b"Certificate Generation Method")
    starts = analyzed(*made.members).report.capf_starts
    assert len(starts) == begun == 2
    assert [(start.ok, start.hostname) for start in starts] == [(True, HOST)] * 2
