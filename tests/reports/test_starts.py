"""The starts of CAPF and of CES as they are shown: a line for a good one, what it reached and lacks for another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from capflog.model import CapfStart, Report, ServiceStart, StartLine
from capflog.reports.json import document
from capflog.reports.starts import SHOWN
from capflog.reports.terminal import render
from tests.conftest import validator
from tests.reports import handmade as h

HOST = "lab-dc.michamen.com"
PARAMETERS = {"certificate_method": "OnlineCA", "ca_hostname": HOST, "ca_port": "443", "ca_template": "CiscoRA"}


def capf(clock: str = "12:31:03", **given: Any) -> CapfStart:
    """A start of CAPF that went well."""
    values: dict[str, Any] = {
        "started": h.at(clock),
        "ended": h.at(clock),
        "ok": True,
        "parameters": PARAMETERS,
        "reached": "server",
        "missing": None,
        "lines": [StartLine(h.CAPF, 1, "capf.param", h.at(clock), "parameters")],
    }
    return CapfStart(**(values | given))


def ces(clock: str | None = "12:31:21", **given: Any) -> ServiceStart:
    """A start of CES that went well."""
    values: dict[str, Any] = {
        "started": None if clock is None else h.at(clock),
        "earliest": None,
        "latest": None,
        "ok": True,
        "pid": 31070,
        "records": [],
        "reached": "workers",
        "missing": None,
        "ca": f"{HOST}:443",
        "libest": "2.2.0",
    }
    return ServiceStart(**(values | given))


FAILED: dict[str, Any] = {"ok": False, "reached": "trust", "missing": "login", "libest": None}


def text_of(report: Report, width: int = 80, **look: Any) -> str:
    values: dict[str, Any] = {"width": width, "color": False, "unicode": True, "zone": h.ZONE}
    return render(report, **(values | look))


def shown(capf_starts: list[CapfStart], starts: list[ServiceStart], width: int = 80, **look: Any) -> str:
    """What stands below the first lines of a report that has starts alone."""
    text = text_of(h.empty(capf_starts=capf_starts, starts=starts), width, **look)
    return text.partition("\n\n")[2].partition("\n\n")[2]


def test_good_starts_take_a_line_each() -> None:
    assert shown([capf()], [ces()]) == (
        "STARTS OF CAPF\n"
        "  at UTC-05:00         result  CA                       template\n"
        "  2019-03-05 12:31:03  ok      lab-dc.michamen.com:443  CiscoRA\n"
        "\n"
        "STARTS OF CES\n"
        "  at UTC-05:00         result  CA                         pid  libEST\n"
        "  2019-03-05 12:31:21  ok      lab-dc.michamen.com:443  31070  2.2.0\n"
    )


def test_a_failed_start_says_how_far_it_came() -> None:
    starts = [ces("12:31:21", **FAILED, causes=["ca-dns-failure"]), ces("14:00:00")]
    assert shown([], starts) == (
        "STARTS OF CES\n"
        "  at UTC-05:00         result  CA                         pid  libEST\n"
        "  2019-03-05 12:31:21  failed  lab-dc.michamen.com:443  31070\n"
        "    reached: trust store; missing: login to the CA; cause: ca-dns-failure\n"
        "  2019-03-05 14:00:00  ok      lab-dc.michamen.com:443  31070  2.2.0\n"
    )


def below(start: CapfStart | ServiceStart, width: int = 80, **look: Any) -> list[str]:
    """The lines under a start's own, without their indents."""
    is_capf = isinstance(start, CapfStart)
    lines = shown([start] if is_capf else [], [] if is_capf else [start], width, **look).splitlines()  # type: ignore[list-item]
    return [line.strip() for line in lines[3:]]


@pytest.mark.parametrize(
    ("start", "line"),
    [
        (ces(ok=None, reached="trust", missing="login"), "reached: trust store; not seen: login to the CA"),
        (ces(ok=None, reached="pop"), "reached: proof of possession off"),
        (ces(ok=False, reached="none", missing="login"), "reached: nothing; missing: login to the CA"),
        (ces(reached="postconf", missing="workers"), "reached: chain handed to EST; not seen: NGINX's workers"),
        (capf(ok=None, reached="read", missing="ces"), "reached: all parameters read; not seen: start of CES"),
        (capf(ok=False, reached="client", missing="cacert"), "reached: EST client; missing: CA certificate"),
    ],
)
def test_what_a_start_lacks(start: CapfStart | ServiceStart, line: str) -> None:
    assert below(start) == [line]


def test_what_changed_is_one_line() -> None:
    changed = [("ca_hostname", "lab-dc.michamen.com", "lab-dcc.michamen.com"), ("ca_port", "443", None),
               ("duration_of_certificate_validity", "365", "1825")]  # fmt: skip
    line = (
        "changed: host name lab-dc.michamen.com → lab-dcc.michamen.com, port 443 → (empty), "
        "duration of certificate validity 365 → 1825"
    )
    assert below(capf(changed=changed), 160) == [line]
    assert " ".join(below(capf(changed=changed), 80)) == line
    assert below(capf(changed=changed), 160, unicode=False) == [line.replace("→", "->")]


def test_many_changes_are_counted() -> None:
    (line,) = below(capf(changed=[(f"p{number}", "1", "2") for number in range(50)]), 160)
    assert line.endswith("p5 1 → 2 and 44 more")


@pytest.mark.parametrize(
    ("parameters", "ca"),
    [
        ({"ca_hostname": HOST}, HOST),
        ({"ca_hostname": None, "ca_port": "443"}, "(no host name):443"),
        ({"ca_hostname": None}, "(no host name)"),
        ({"ca_port": "443"}, ""),
        ({}, ""),
        ({"certificate_method": "CAPF"}, "none: CAPF"),
        ({"ca_hostname": HOST, "ca_port": "443", "ca_password": None}, f"{HOST}:443"),
    ],
)
def test_the_ca_of_a_start(parameters: dict[str, str | None], ca: str) -> None:
    line = shown([capf(parameters=parameters)], []).splitlines()[2]
    assert line == f"  2019-03-05 12:31:03  ok      {ca}".rstrip()


def test_the_node_is_named_where_there_are_several() -> None:
    text = shown([capf(node="cucm-pub"), capf("13:00:00", node="cucm-sub")], [])
    assert "  2019-03-05 12:31:03  cucm-pub  ok  " in text
    assert "  2019-03-05 13:00:00  cucm-sub  ok  " in text


def test_of_many_starts_the_last_ones_are_shown() -> None:
    starts = [ces("12:31:21", pid=number) for number in range(1, SHOWN + 4)]
    lines = shown([capf()] * (SHOWN + 1), starts).splitlines()
    assert "  1 earlier ones: capflog analyze --format json" in lines
    assert "  3 earlier ones: capflog analyze --format json" in lines
    assert [line.split()[-2] for line in lines if line.endswith("2.2.0")] == [str(n) for n in range(4, SHOWN + 4)]


def test_a_long_value_is_cut() -> None:
    changed = [("ca_template", "T" * 5000, "b")]
    start = capf(parameters=PARAMETERS | {"ca_template": "T" * 5000}, changed=changed)
    text = shown([start], [ces(ca="c" * 5000)], 160)
    assert "T" * 64 + "…" in text
    assert len(text) < 2000


def report() -> Report:
    """A report with starts of each kind."""
    changed = [("ca_hostname", "a.example", HOST), ("phone_port", None, "3804")]
    return h.empty(
        capf_starts=[capf(), capf("13:00:00", ok=None, reached="read", missing="ces", changed=changed, node="cucm-pub"),
                     capf(started=None, parameters={"certificate_method": "CAPF"})],
        starts=[ces(), ces(None, **FAILED, causes=["ca-dns-failure"]),
                ces(None, earliest=h.at("12:31:03"), latest=h.at("12:32:09"), ok=None)],
    )  # fmt: skip


@pytest.mark.parametrize("made", [report(), h.poisoned(report())], ids=["plain", "poisoned"])
def test_no_text_breaks_the_page(made: Report) -> None:
    h.check_page(partial(render, made, zone=h.ZONE))


def test_a_name_of_a_parameter_cannot_forge_a_line() -> None:
    evil = "x\x1b[2J\nHEALTHY"
    text = text_of(h.empty(capf_starts=[capf(parameters={evil: evil}, changed=[(evil, evil, evil)], reached=evil)]))
    assert "\x1b" not in text
    assert not any(line.startswith("HEALTHY") for line in text.splitlines())


def test_json_has_the_starts_beside_the_contract() -> None:
    written = document(report())
    Draft202012Validator(validator().schema, format_checker=FormatChecker()).validate(written)
    first, second, _ = written["capf_starts"]
    assert list(first["parameters"].items()) == list(PARAMETERS.items())
    assert (first["started"], first["ok"], first["reached"], first["missing"]) == (
        "2019-03-05T17:31:03.000Z", True, "server", None,
    )  # fmt: skip
    assert first["lines"] == [
        {"member": h.CAPF, "line": 1, "event": "capf.param", "time": "2019-03-05T17:31:03.000Z", "step": "parameters",
         "fault": False},
    ]  # fmt: skip
    assert second["changed"][1] == {"parameter": "phone_port", "before": None, "after": "3804"}
    assert second["node"] == "cucm-pub"
    start = written["starts"][1]
    assert (start["reached"], start["missing"], start["ca"], start["libest"]) == ("trust", "login", f"{HOST}:443", None)


def test_the_head_counts_them() -> None:
    head = text_of(replace(report(), starts=[ces()])).partition("\n\n")[2]
    assert "Found    0 devices, 0 enrollments; starts: CAPF 3, CES 1\n" in head
