"""Lines of libEST, as NGINX's error.log and the CiscoRA log hold them."""

from __future__ import annotations

import pytest
from capflog.parsers.cisco_ra import CiscoRaLog
from capflog.parsers.libest import EstReader, access_time
from capflog.parsers.nginx_error import NginxErrorLog

from capflog.parsing import Parser

from .reading import read

BOTH: tuple[Parser, ...] = (NginxErrorLog(), CiscoRaLog())
NGINX = BOTH[0]

#: A request that fails, with what a build with backtraces writes between its lines.
FAILED = """\
***EST [INFO][est_server_handle_request:{n}]--> Peer IP address: {client}
***EST [INFO][est_server_handle_request:{n}]--> Peer port      : {port}
***EST [INFO][ossl_verify_cb:{n}]--> enter function: ok=1 cert_error=0
***EST [INFO][parse_http_message:{n}]--> request_len={length}
***EST [INFO][parse_http_message:{n}]--> request uri=/.well-known/est/{label}/simpleenroll?x=1
***EST [INFO][handle_request:{n}]--> /.well-known/est/{label}/simpleenroll
***EST [INFO][est_enroll_auth:{n}]--> TLS: no peer certificate
***EST [WARNING][est_enroll_auth:{n}]--> HTTP authentication failed. Auth type={auth}

./ces(+0x1224a) [0x563f3560124a]
/usr/lib64/libest.so.0(est_handle+0x1a) [0x563f35609169]
libc.so.6(__libc_start_main+0xf5) [0x7f48151e01f5]
[0x7f48151e01f5]

***EST [WARNING][est_http_request:{n}]--> Enrollment failed with rc={code} ({error})


***EST [INFO][mg_send_http_error:{n}]--> [Error {status}: Unauthorized
The server was unable to authorize the request.
]
***EST [ERROR][est_mg_handler:{n}]--> EST error response code: {code} ({error})
***EST [WARNING][handle_request:{n}]--> Incoming request failed rv={code} ({error})
***EST [INFO][log_access:{n}]--> {client} [27/Feb/2019:16:53:28 {zone}] "POST /.well-known/est/{label}/simpleenroll HTTP/1.1" {status} {length}
***EST [INFO][log_header:{n}]-->  -
***EST [INFO][log_header:{n}]-->  "{agent}"
***EST [INFO][est_server_handle_request:{n}]--> Two-phase SSL_shutdown initiated
"""  # noqa: E501

FAILED_KINDS = [
    "est.peer",
    "est.peer.port",
    "est.message",
    "est.request.length",
    "est.request",
    "est.message",
    "est.client.nocert",
    "est.auth.failed",
    "est.enroll.failed",
    "est.error.page",
    "est.response",
    "est.request.failed",
    "est.access",
    "est.referer",
    "est.agent",
    "est.shutdown",
]

ONE = {
    "n": 356,
    "client": "192.0.2.128",
    "port": 51828,
    "length": 188,
    "label": "a",
    "auth": 1,
    "code": 22,
    "error": "EST_ERR_AUTH_FAIL",
    "status": 401,
    "zone": "-0500",
    "agent": "Cisco EST client 1.0",
}
TWO = {
    "n": 99,
    "client": "2001:db8::7",
    "port": 40000,
    "length": 9999,
    "label": "b",
    "auth": 2,
    "code": 19,
    "error": "EST_ERR_OTHER",
    "status": 400,
    "zone": "+0530",
    "agent": "LibEST client 1.0",
}


def est(text: str, function: str = "f", level: str = "INFO") -> str:
    return f"***EST [{level}][{function}:1]--> {text}"


@pytest.mark.parametrize("parser", BOTH, ids=lambda p: p.source)
@pytest.mark.parametrize("said", [ONE, TWO], ids=["one", "two"])
def test_a_failed_request_line_by_line(parser: Parser, said: dict[str, object]) -> None:
    done = read(parser, FAILED.format(**said))
    assert done.kinds == FAILED_KINDS
    assert done.unknown == []
    assert all(e.stamp is None for e in done.events)
    values = {kind: done.one(kind).values for kind in set(FAILED_KINDS) - {"est.message"}}
    path = f"/.well-known/est/{said['label']}/simpleenroll"
    assert values["est.peer"]["client"] == said["client"]
    assert values["est.peer.port"]["port"] == said["port"]
    assert values["est.request.length"]["bytes"] == said["length"]
    assert (values["est.request"]["url"], values["est.request"]["query"]) == (path, "x=1")
    assert values["est.auth.failed"]["code"] == said["auth"]
    for kind in ("est.enroll.failed", "est.response", "est.request.failed"):
        assert (values[kind]["code"], values[kind]["error"]) == (said["code"], said["error"])
    page = done.one("est.error.page")
    assert page.span == 3
    assert page.values["status"] == said["status"]
    assert page.values["detail"] == "Unauthorized The server was unable to authorize the request."
    zone = {"-0500": -18000, "+0530": 19800}[str(said["zone"])]
    assert values["est.access"] == {
        "function": "log_access",
        "client": said["client"],
        "utc": 1551286408000 - zone * 1000,
        "zone": zone,
        "method": "POST",
        "url": path,
        "status": said["status"],
        "bytes": said["length"],
    }
    assert values["est.referer"] == {"function": "log_header"}
    assert values["est.agent"]["agent"] == said["agent"]
    assert done.one("est.auth.failed").span == 5
    assert [e.level for e in done.events][7:12] == ["warn", "warn", "info", "error", "warn"]


def test_the_line_number_of_a_function_changes_nothing() -> None:
    one = read(NGINX, FAILED.format(**ONE))
    other = read(NGINX, FAILED.format(**{**ONE, "n": 4711}))
    assert [(e.kind, e.level, e.values, e.span) for e in one.events] == [
        (e.kind, e.level, e.values, e.span) for e in other.events
    ]


@pytest.mark.parametrize(
    ("function", "text", "kind", "values"),
    [
        ("est_log_version", "libest 2.2.0 (API level 4)", "est.version", {"version": "2.2.0"}),
        ("est_log_version", "libest 3.2.0p (API level 5)", "est.version", {"version": "3.2.0p"}),
        ("est_log_version", "Compiled against OpenSSL 1.0.2s  28 May 2019", "est.ssl.version", {}),
        ("est_log_version", "Linking to CiscoSSL 1.0.2n", "est.ssl.version", {"version": "CiscoSSL 1.0.2n"}),
        ("renamed", "Adding cert to store (/CN=A (old))", "ces.cert.added", {"subject": "/CN=A (old)"}),
        ("g", "TLS: client certificate is valid", "est.client.cert", {"detail": "TLS: client certificate is valid"}),
        ("g", "HTTP auth headers missing, sending HTTP auth request to client.", "est.auth.challenge", {}),
        ("g", "Reenroll failed with rc=25 (EST_ERR_CA_ENROLL_FAIL)", "est.enroll.failed", {"code": 25}),
        ("g", "Enrollment failed with rc=25", "est.enroll.failed", {"code": 25}),
        ("g", "EST error response code: -1 ()", "est.response", {"code": -1}),
        ("g", "CA server requests retry, possibly it's not setup for auto-enroll", "est.retry", {}),
        ("g", "PoP is valid", "est.pop", {"detail": "PoP is valid"}),
        ("g", "Cert request does not contain PoP challengePassword attribute", "est.pop", {}),
        ("g", "Problem reading DER encoded certificate request", "est.csr.bad", {}),
        ("g", "CSR did not contain ecPublicKey attribute, CSR will be rejected", "est.csr.bad", {}),
        ("g", "SSL_shutdown failed", "est.shutdown", {"detail": "SSL_shutdown failed"}),
        ("tcw_direct_connect", "Could not connect to 192.0.2.1:8084", "est.client.connect.failed", {}),
        ("est_client_connect", "Unable to connect to EST server at ces", "est.client.connect.failed", {}),
        ("est_ssl_read", "Socket poll timeout.  No data received from server.", "est.client.timeout", {}),
        ("est_io_get_response", "HTTP status 401 received", "est.client.status", {"status": 401}),
        ("est_io_get_response", "HTTP status -1 received", "est.client.status", {"status": -1}),
        (
            "est_client_send_enroll_request",
            "EST request failed: 35 (EST_ERR_SSL_READ)",
            "est.client.failed",
            {"code": 35, "error": "EST_ERR_SSL_READ"},
        ),
        (
            "est_client_enroll_req",
            "EST enrollment failed, error code is 13 (EST_ERR_HTTP_BAD_REQ)",
            "est.client.failed",
            {"code": 13, "error": "EST_ERR_HTTP_BAD_REQ"},
        ),
        ("tcw_connect", "Successfully connected to 192.0.2.1:8084", "est.client.record", {}),
        ("est_client_set_auth", "HTTP auth failure", "est.client.record", {"detail": "HTTP auth failure"}),
        ("set_ssl_option", "TLS SRP not enabled", "est.message", {"detail": "TLS SRP not enabled"}),
        ("g", "Enrollment failed", "est.message", {"detail": "Enrollment failed"}),
        ("g", "Peer port : none", "est.message", {"detail": "Peer port : none"}),
        ("g", "request_len=99999999999999999999999", "est.message", {}),
        ("g", "", "est.message", {"detail": ""}),
    ],
)
def test_a_message(function: str, text: str, kind: str, values: dict[str, object]) -> None:
    (event,) = read(NGINX, est(text, function)).events
    assert event.kind == kind
    assert event.values["function"] == function
    assert {name: event.values.get(name) for name in values} == values


@pytest.mark.parametrize(
    ("level", "shown"), [("INFO", "info"), ("WARNING", "warn"), ("ERROR", "error"), ("TIMER", "info"), ("ODD", "odd")]
)
def test_levels(level: str, shown: str) -> None:
    (event,) = read(NGINX, est("SSL_shutdown failed", level=level)).events
    assert event.level == shown


@pytest.mark.parametrize(
    "line", ["***EST", "***EST [INFO][est_enr", "***EST [INFO][f:1] SSL", "*** EST [INFO][f:1]--> x"]
)
def test_a_line_with_a_cut_head_is_unknown(line: str) -> None:
    assert read(NGINX, line).unknown == [line]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("27/Feb/2019:16:53:28 -0500", (1551304408000, -18000)),
        ("01/Jan/1970:00:00:00 +0000", (0, 0)),
        ("01/Jan/1970:00:00:00 +0545", (-20700000, 20700)),
        ("31/Feb/2019:16:53:28 -0500", None),
        ("27/Fev/2019:16:53:28 -0500", None),
        ("27/Feb/2019:24:53:28 -0500", None),
        ("27/Feb/2019:16:53:28 -9900", None),
        ("27/Feb/2019:16:53:28", None),
        ("27/Feb/0000:16:53:28 -0500", None),
    ],
)
def test_the_time_of_an_access_line(text: str, said: tuple[int, int] | None) -> None:
    assert access_time(text) == said
    line = est(f'192.0.2.1 [{text}] "GET /.well-known/est/cacerts HTTP/1.1" -1 0', "log_access")
    (event,) = read(NGINX, line).events
    assert event.kind == "est.access"
    assert event.values["status"] == -1
    assert (event.values.get("utc"), event.values.get("zone")) == (said or (None, None))


@pytest.mark.parametrize(
    ("request_line", "method", "url", "query"),
    [
        ("GET /.well-known/est/cacerts HTTP/1.1", "GET", "/.well-known/est/cacerts", None),
        ("POST /a?b=c?d HTTP/1.0", "POST", "/a", "b=c?d"),
        ('GET /a"b" 1 HTTP/1.1', "GET", '/a"b" 1', None),
        ("GET /a", "GET", "/a", None),
        ("x", None, None, None),
    ],
)
def test_the_request_of_an_access_line(request_line: str, method: str, url: str, query: str) -> None:
    line = est(f'192.0.2.1 [27/Feb/2019:16:53:28 -0500] "{request_line}" 200 5', "log_access")
    values = read(NGINX, line).one("est.access").values
    assert [values.get(name) for name in ("method", "url", "query")] == [method, url, query]


ACCESS = est('192.0.2.1 [27/Feb/2019:16:53:28 -0500] "GET /a HTTP/1.1" 200 5', "log_access")


def test_referer_and_agent_are_told_apart_by_their_order() -> None:
    lines = [ACCESS, est('"https://ces/?a=b"', "log_header"), est('"x/1 (+http://x)"', "log_header")]
    done = read(NGINX, "\n".join([*lines, ACCESS, est("-", "log_header"), est("-", "log_header")]))
    assert done.kinds == ["est.access", "est.referer", "est.agent"] * 2
    assert done.events[1].values["referer"] == "https://ces/?a=b"
    assert done.events[2].values["agent"] == "x/1 (+http://x)"
    assert "agent" not in done.events[5].values


def test_referer_and_agent_of_requests_that_mix() -> None:
    none, agent = est("-", "log_header"), est('"agent 1"', "log_header")
    done = read(NGINX, "\n".join([ACCESS, ACCESS, none, agent, none, agent, none, agent]))
    assert done.kinds[2:] == ["est.referer", "est.agent"] * 3


def test_an_error_page_in_one_line_is_closed() -> None:
    line = est("[Error 401: Unauthorized The server was unable to authorize the request. ]")
    done = read(NGINX, f"{line}\n]\nThe server was unable to authorize the request.")
    assert done.events[0].values["detail"] == "Unauthorized The server was unable to authorize the request."
    assert done.events[0].span == 1
    assert len(done.unknown) == 2


def test_the_lines_of_an_error_page_may_come_after_other_records() -> None:
    page = est("[Error {}: Some")
    done = read(
        NGINX,
        "\n".join(
            [
                page.format(401),
                est("request_len=5"),
                page.format(400),
                "2019/02/27 16:53:28 [info] 3187#0: *2 client timed out, client: 192.0.2.1, server: 0.0.0.0:8084",
                "The server was unable to authorize the request.",
                "Invalid or corrupted pkcs10 request.",
                "]",
                est("request_len=6"),
                "]",
                "]",
            ]
        ),
    )
    assert done.unknown == ["]"]
    assert [e.values["detail"] for e in done.events if e.kind == "est.error.page"] == [
        "Some The server was unable to authorize the request.",
        "Some Invalid or corrupted pkcs10 request.",
    ]


def test_open_pages_are_few_and_do_not_wait_for_ever() -> None:
    many = "\n".join(est(f"[Error {n}: Some") for n in range(400, 500))
    done = read(NGINX, f"{many}\n" + "\n".join("]" * 50))
    assert len(done.unknown) == 50 - EstReader.PAGES
    others = [est("request_len=5"), *["junk = 5"] * 100]
    assert len(read(NGINX, "\n".join([est("[Error 401: Some"), *others, "]"])).unknown) == 101


def test_other_programs_lines_are_no_part_of_an_open_page() -> None:
    dump = ["Certificate Request:", "    Data:", "00:bd:aa:d2:6a:", "        Attributes:"]
    done = read(NGINX, "\n".join([est("[Error 401: Some"), est("request_len=5"), *dump, "Some words.", "]"]))
    assert done.unknown == dump


def test_a_certificate_in_base64_is_part_of_its_record() -> None:
    line = "czCCAxqgAwIBAgIBKjAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxlc3RFeGFtcGxl"
    lines = [
        est(f"Newly Enrolled Client certificate: {line}", "est_client_enroll_req"),
        line,
        est("length: 1268", "est_client_enroll_req"),
        line,
        "6d25TLvCF3Xgh3+ljzv6nb3c19UxAA==",
        line,
    ]
    done = read(NGINX, "\n".join(lines))
    assert done.kinds == ["est.client.record"] * 2
    assert [e.span for e in done.events] == [2, 3]
    assert done.unknown == [line]


def test_errors_of_openssl_in_more_lines() -> None:
    more = "140487214945984:error:140940E5:SSL routines:ssl3_read_bytes:ssl handshake failure:s3_pkt.c:1216:"
    first = "140487214945984:error:14094418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:s3_pkt.c:1498:"
    done = read(NGINX, f"{est(f'OSSL error: {first}')}\n{more}\n\n")
    assert done.one("est.ssl.error").values["detail"] == f"{first} {more}"
    assert done.one("est.ssl.error").span == 2
    assert read(NGINX, more).unknown == [more]


def test_headers_of_an_answer_that_the_client_does_not_know() -> None:
    text = est("Unhandled HTTP response HTTP/1.1 500 Internal Server Error", "est_io_parse_response_status_code")
    done = read(NGINX, f"{text}\nServer: nginx\nContent-Length: 0\n\nServer: nginx\n")
    assert done.one("est.client.record").span == 3
    assert done.unknown == ["Server: nginx"]


@pytest.mark.parametrize(
    "line",
    [
        "./ces(+0x1224a) [0x563f3560124a]",
        "]",
        "The server was unable to authorize the request.",
        "czCCAxqgAwIBAgIBKjAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxlc3RFeGFtcGxl",
    ],
)
def test_nothing_is_part_of_no_record(line: str) -> None:
    assert read(NGINX, line).unknown == [line]


def test_a_record_behind_what_another_program_left_unfinished() -> None:
    done = read(NGINX, f"Ending thread 0{est('request_len=5')}\n  {est('request_len=6')}")
    assert [e.values["bytes"] for e in done.events] == [5, 6]


def test_a_bare_subject_is_quiet() -> None:
    done = read(NGINX, "/C=US/O=Example/CN=CAPF-1/ST=nc\n/usr/bin/x\n/.well-known/est=1\n")
    assert (done.quiet, done.unknown) == (1, ["/usr/bin/x", "/.well-known/est=1"])


#: Lines of other programs in the same standard error: openssl's ca, a test server's and a test client's own words.
OTHERS = """\
Using configuration from ./ca.cnf
DEBUG: unique_subject = "no"
DEBUG[load_index]: unique_subject = "no"
message digest is sha256
policy is policy_any
next serial number is 2A
Certificate Request:
    Data:
        Version: 0 (0x0)
        Subject: CN=SEP001122334455
            Public Key Algorithm: rsaEncryption
                Public-Key: (4096 bit)
                    00:bd:aa:d2:6a:ee:94:68:9a:25:fc:c5:f4:4e:cb:
                    cb:80:45
                Exponent: 65537 (0x10001)
            a0:00
    Signature Algorithm: sha256WithRSAEncryption
Check that the request matches the signature
Signature ok
Certificate is to be certified until Nov 23 07:55:29 2027 GMT (365 days)
            commonName                = SEP001122334455
                  URI:http://example.com/crl.pem
Write out database with 1 new entries
writing \x08Eðèé/9D.pem
Data Base Updated
Using OpenSSL 1.0.2s  28 May 2019
Retry period being set to: 300
Launching EST server...
bind call failed
process_pkcs10_enrollment - User ID is estuser
ex_data value is deadbeef
dumpbin (800 bytes):
-----BEGIN PUBLIC KEY-----
MIICIjANBgkqhkiG9w0BAQEFAAOCAg8AMIICCgKCAgEAnaRzvFWFlWlrNv3+PtXK
-----END PUBLIC KEY-----
Using EST server 127.0.0.1:8084
Starting thread 0
enrollment rv = 35 (EST_ERR_SSL_READ) with pkcs7 length = 0
Simple enrollment without server-defined attributes failed with code 35 (EST_ERR_SSL_READ)
client_manual_cert_verify: OpenSSL/EST server cert verification failed with the following error: openssl_cert_error = 19
"""


def test_lines_of_other_programs_stay_unknown() -> None:
    own = FAILED.format(**ONE)
    done = read(NGINX, own + OTHERS + own)
    assert done.unknown == OTHERS.splitlines()
    assert done.kinds == FAILED_KINDS * 2
