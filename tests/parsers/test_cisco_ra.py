"""The CiscoRA log: what CES says while it starts."""

from __future__ import annotations

import pytest
from capflog.parsers.cisco_ra import CiscoRaLog
from capflog.parsers.nginx_error import NginxErrorLog

from capflog.events import StampForm, frame
from capflog.parsing import Parser, parse, recognise

from .reading import read, walk_samples

PARSER: Parser = CiscoRaLog()

#: A good start.
START = """\
nginx: [warn] CA Chain requested but this value has not yet been set
nginx: [warn] CA Cert response requested but this value has not yet been set
nginx: [warn] ossl_init_cert_store: Adding cert to store ({subject})
***EST [INFO][est_log_version:{n}]--> libest {version} (API level 4)
***EST [INFO][est_log_version:{n}]--> Compiled against {ssl}
***EST [INFO][est_log_version:{n}]--> Linking to {ssl}
***EST [INFO][ossl_init_cert_store_from_raw:{n}]--> Adding cert to store ({subject})
nginx: [warn] pop_enabled off in nginx.conf. Disabling EST Proof of Possession
***EST [INFO][set_ssl_option:{n}]--> Using non-default ECDHE curve (nid=415)
EnrollmentService.sh : nginx server PID value = {pid}
"""

START_KINDS = [
    "ces.chain.unset",
    "ces.chain.unset",
    "ces.cert.added",
    "est.version",
    "est.ssl.version",
    "est.ssl.version",
    "ces.cert.added",
    "ces.pop.off",
    "est.message",
    "ces.started",
]

#: A start that gets no answer of the CA.
FAILED = """\
nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code {code} ({text})
nginx: [warn] login_to_certsrv_ca: URL used: https://{host}:443/certsrv
nginx: [error] retrieve_cacerts: Unable to execute login to certsrv with curl
nginx: [warn] ra_certsrv_ca_plugin_postconf: Unable to retrieve CA Cert chain from CA
"""

STAMPED = (
    "2019/02/27 16:53:28 [info] 3187#0: *2 f_g: Rcvd data len: 163 while SSL EST handshaking, client: 192.0.2.1, "
    "server: 0.0.0.0:8084"
)


def test_its_samples_show_every_kind() -> None:
    assert walk_samples(PARSER) == set(PARSER.kinds)
    for sample in PARSER.samples:
        assert recognise(sample.text.split("\n"), "x").parser.source == "ciscora", sample.text  # type: ignore[union-attr]


def test_what_it_declares() -> None:
    assert (PARSER.source, PARSER.stamp, PARSER.resolution_ms) == ("ciscora", StampForm.NONE, 0)
    assert PARSER.kinds == NginxErrorLog().kinds


@pytest.mark.parametrize(
    "said",
    [
        {"subject": "/O=Cisco/CN=ACT2 SUDI CA", "n": 1, "version": "2.2.0", "ssl": "CiscoSSL 1.0.2n", "pid": 31070},
        {"subject": "/DC=com/CN=CA (2)", "n": 99, "version": "3.2.0", "ssl": "OpenSSL 1.1.1w  1 Jan", "pid": 7},
    ],
    ids=["one", "two"],
)
def test_a_good_start(said: dict[str, object]) -> None:
    done = read(PARSER, START.format(**said))
    assert done.kinds == START_KINDS
    assert done.unknown == []
    assert all(e.stamp is None for e in done.events)
    added = [e for e in done.events if e.kind == "ces.cert.added"]
    assert [e.values["subject"] for e in added] == [said["subject"]] * 2
    assert [(e.level, e.values["function"]) for e in added] == [
        ("warn", "ossl_init_cert_store"),
        ("info", "ossl_init_cert_store_from_raw"),
    ]
    assert done.one("est.version").values["version"] == said["version"]
    assert [e.values["version"] for e in done.events if e.kind == "est.ssl.version"] == [said["ssl"]] * 2
    assert done.one("ces.started").values == {"pid": said["pid"]}


@pytest.mark.parametrize("host", ["ca.example.com", "ca2"])
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (60, "SSL certificate problem: unable to get local issuer certificate"),
        (6, "Could not resolve: ca.example.com (Domain name not found)"),
        (77, "error setting certificate verify locations:\n  CAfile: /a\n  CApath: none"),
    ],
)
def test_a_start_without_the_ca(host: str, code: int, text: str) -> None:
    done = read(PARSER, FAILED.format(host=host, code=code, text=text))
    assert done.kinds == ["curl.failed", "curl.url", "ces.login.failed", "ces.chain.failed"]
    assert [e.level for e in done.events] == ["warn", "warn", "error", "warn"]
    failed = done.events[0]
    assert failed.values == {
        "function": "login_to_certsrv_ca",
        "code": code,
        "detail": " ".join(text.split()),
    }
    assert failed.span == 1 + text.count("\n")
    assert done.events[1].values["url"] == f"https://{host}:443/certsrv"
    assert done.events[2].values["function"] == "retrieve_cacerts"


@pytest.mark.parametrize(
    ("line", "kind", "values"),
    [
        ("EnrollmentService.sh : nginx server PID value = 5", "ces.started", {"pid": 5}),
        ("EnrollmentService.sh: nginx server PID value=6", "ces.started", {"pid": 6}),
        (
            "EnrollmentService.sh : nginx server PID value = ",
            "ces.service",
            {"detail": "nginx server PID value ="},
        ),
        ("EnrollmentService.sh : stopping nginx", "ces.service", {"detail": "stopping nginx"}),
        (
            'nginx: [emerg] host not found in upstream "ca:443" in /a/nginx.conf:8',
            "nginx.config.failed",
            {"url": "/a/nginx.conf:8", "detail": 'host not found in upstream "ca:443"'},
        ),
        (
            "nginx: [emerg] bind() to 0.0.0.0:8084 failed (98: Address already in use)",
            "nginx.bind.failed",
            {"code": 98, "host": "0.0.0.0:8084"},
        ),
        ("nginx: [emerg] still could not bind()", "nginx.bind.failed", {}),
        ('nginx: [warn] "ssl_stapling" ignored, issuer certificate not found', "nginx.record", {}),
        ("nginx: [warn] the directive is deprecated in /a/n.conf:3", "nginx.record", {"url": "/a/n.conf:3"}),
        ("nginx: configuration file /a/nginx.conf test is successful", "nginx.record", {}),
        ("Starting nginx: nginx: [emerg] still could not bind()", "nginx.bind.failed", {}),
    ],
)
def test_a_line(line: str, kind: str, values: dict[str, object]) -> None:
    (event,) = read(PARSER, line).events
    assert event.kind == kind
    assert {name: event.values.get(name) for name in values} == values


@pytest.mark.parametrize("line", ["[…]", "nginx", "nginx: ["[:5], "EnrollmentService.sh", "Shutting down", "  x"])
def test_other_lines_are_unknown(line: str) -> None:
    assert read(PARSER, f"{START.format(subject='/CN=a', n=1, version='2', ssl='x', pid=1)}{line}").unknown == [line]


def test_a_record_with_a_time_is_read_without_it() -> None:
    (here,) = read(PARSER, STAMPED).events
    (there,) = read(NginxErrorLog(), STAMPED).events
    assert (here.kind, here.level, here.values) == (there.kind, there.level, there.values)
    assert here.stamp is None
    assert there.stamp == 1551286408000


def test_the_engine_reads_it() -> None:
    text = START.format(subject="/CN=a", n=1, version="2.2.0", ssl="x", pid=31070) + FAILED.format(
        host="ca", code=77, text="error:\n  CApath: none"
    )
    parsed = parse([text.encode()], "cm/trace/capf/sdi/nginx00000001.txt")
    assert parsed.parser is not None
    assert parsed.parser.source == "ciscora"
    assert (parsed.lines, parsed.quiet, parsed.unparsed) == (15, 0, 0)
    table = frame(("ciscora", "nginx00000001.txt", e) for e in parsed.events)
    assert list(table["span"]) == [1] * 10 + [2, 1, 1, 1]
    assert list(table["pid"].dropna()) == [31070]
    assert table["stamp"].isna().all()
