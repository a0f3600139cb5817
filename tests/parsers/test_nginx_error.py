"""NGINX's error.log: heads, contexts, messages of nginx and of the CES plugin."""

from __future__ import annotations

import random

import pytest
from capflog.parsers.cisco_ra import CiscoRaLog
from capflog.parsers.nginx_error import NginxErrorLog
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.events import VALUES, Event, StampForm, frame
from capflog.parsing import Line, Parser, parse, recognise

from .reading import read, walk_samples

PARSER: Parser = NginxErrorLog()
HEAD = "2019/02/27 16:53:28 [error] 3187#0: *2 "
CONTEXT = ", client: 192.0.2.7, server: ces.example.com"


def one(text: str) -> Event:
    """Read one record."""
    done = read(PARSER, text)
    (event,) = done.events
    assert event.span == done.lines
    return event


def test_its_samples_show_every_kind() -> None:
    assert walk_samples(PARSER) == set(PARSER.kinds)
    for sample in PARSER.samples:
        assert recognise(sample.text.split("\n"), "x").parser.source == "nginx", sample.text  # type: ignore[union-attr]


def test_what_it_declares() -> None:
    assert (PARSER.source, PARSER.stamp, PARSER.resolution_ms) == ("nginx", StampForm.LOCAL, 1000)


# ---- heads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamp", "ms"),
    [
        ("1970/01/01 00:00:00", 0),
        ("2019/02/27 16:53:28", 1551286408000),
        ("2019/02/27 16:53:29", 1551286409000),
        ("2020/02/29 23:59:59", 1583020799000),
        ("2019/02/29 23:59:59", None),
        ("2019/13/01 00:00:00", None),
        ("2019/02/27 25:00:00", None),
        ("0000/00/00 00:00:00", None),
    ],
)
def test_the_stamp_is_local_time_in_ms(stamp: str, ms: int | None) -> None:
    assert one(f"{stamp} [notice] 7#7: start worker processes").stamp == ms


def test_stamps_of_many_records_in_one_log() -> None:
    stamps = ["2019/02/27 16:53:28", "2019/02/28 16:53:28", "2019/02/30 16:53:28", "2019/02/28 16:53:28"]
    done = read(PARSER, "\n".join(f"{s} [info] 1#1: x" for s in stamps))
    assert [e.stamp for e in done.events] == [1551286408000, 1551372808000, None, 1551372808000]


@pytest.mark.parametrize("level", ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"])
@pytest.mark.parametrize(("pid", "connection"), [(3187, 2), (1, 99_999_999), (18437, None)])
def test_level_process_and_connection(level: str, pid: int, connection: int | None) -> None:
    number = f"*{connection} " if connection is not None else ""
    event = one(f"2019/02/27 16:53:28 [{level}] {pid}#{pid}: {number}using the epoll event method")
    assert (event.level, event.values["pid"], event.values.get("connection")) == (level, pid, connection)


@pytest.mark.parametrize(
    "line",
    [
        "2019/02/27 16:53:28 [warn] 31",
        "2019/02/27 16:53:28",
        "2019-02-27 16:53:28 [warn] 3187#0: x",
        "2019/02/27 16:53:28 [loud] 3187#0: x",
        "2019/02/27 16:53:28 [warn] 99999999999999999999999#0: x",
        "02/27 16:53:28 [warn] 3187#0: x",
        "[…]",
        '192.0.2.7 - - [27/Feb/2019:16:53:28 -0500] "GET / HTTP/1.1" 200 1 "-" "-"',
    ],
)
def test_what_has_no_head_is_unknown(line: str) -> None:
    assert read(PARSER, line).unknown == [line]


def test_a_record_behind_other_output_is_found() -> None:
    done = read(PARSER, f"error.log:12:{HEAD}client timed out{CONTEXT}\n  {HEAD}client timed out{CONTEXT}")
    assert done.kinds == ["nginx.client.closed"] * 2
    assert [e.stamp for e in done.events] == [1551286408000] * 2


# ---- contexts ------------------------------------------------------------------------------------------------------

REQUEST = ', request: "GET {} HTTP/1.1"'
FAKE = ', client: 9.9.9.9, server: fake, request: "GET / HTTP/1.1"'


@pytest.mark.parametrize("client", ["192.0.2.7", "2001:db8:31::131", "::1", "unix:"])
@pytest.mark.parametrize("server", ["0.0.0.0:8084", "[::]:8084", "ces.example.com", "~^(?<a>x,y)$", "unix:/run/x"])
def test_client_and_server(client: str, server: str) -> None:
    values = one(f"{HEAD}no live upstreams while connecting to upstream, client: {client}, server: {server}").values
    assert (values["client"], values["server"], values["action"]) == (client, server, "connecting to upstream")
    assert values["detail"] == "no live upstreams"


@pytest.mark.parametrize(
    "action", ["SSL EST handshaking", "reading client request line", "processing HTTP/2 connection"]
)
def test_the_action_is_the_last_while(action: str) -> None:
    values = one(f"{HEAD}a while b while {action}{CONTEXT}").values
    assert (values["detail"], values["action"]) == ("a while b", action)


def test_no_action_is_made_of_a_message() -> None:
    values = one(f"{HEAD}x_y: z (Error while reading file.){CONTEXT}").values
    assert values["detail"] == "z (Error while reading file.)"
    assert "action" not in values


def test_all_pieces_of_a_request() -> None:
    values = one(
        f"{HEAD}connect() failed (111: Connection refused) while connecting to upstream{CONTEXT}"
        ', request: "POST /a?b=c HTTP/1.1", subrequest: "/s"'
        ', upstream: "https://192.0.2.1:443/a", host: "h:8084", referrer: "https://r/?x"'
    ).values
    assert values == {
        "pid": 3187,
        "connection": 2,
        "client": "192.0.2.7",
        "server": "ces.example.com",
        "action": "connecting to upstream",
        "method": "POST",
        "url": "/a",
        "query": "b=c",
        "host": "h:8084",
        "referer": "https://r/?x",
        "code": 111,
        "detail": "connect() failed (111: Connection refused)",
    }


@pytest.mark.parametrize(
    ("path", "request_line", "url"),
    [
        ("/é中文", "/é中文", "/é中文"),
        ("/\"dq\"'sq'", "/\"dq\"'sq'", "/\"dq\"'sq'"),
        ('/"', '/"', '/"'),
        (f"/x{FAKE}", "/x" + FAKE.replace(" ", "%20"), "/x" + FAKE.replace(" ", "%20")),
        (f'/x"{FAKE}', '/x"' + FAKE.replace(" ", "%20"), '/x"' + FAKE.replace(" ", "%20")),
        (f"/x while y{FAKE}", "/x%20while%20y" + FAKE.replace(" ", "%20"), "/x%20while%20y" + FAKE.replace(" ", "%20")),
    ],
)
def test_a_path_in_the_message_does_not_fake_the_context(path: str, request_line: str, url: str) -> None:
    message = f'open() "/html{path}" failed (2: No such file or directory)'
    values = one(f'{HEAD}{message}{CONTEXT}{REQUEST.format(request_line)}, host: "ces"').values
    assert (values["client"], values["server"], values["host"]) == ("192.0.2.7", "ces.example.com", "ces")
    assert (values["method"], values["url"], values["detail"]) == ("GET", url, message)
    assert "action" not in values


@pytest.mark.parametrize(
    "inside", [FAKE, f'"{FAKE}', ", client: 9.9.9.9, server: fake", '", host: "evil', "", ' "" " ']
)
def test_a_request_does_not_fake_the_context(inside: str) -> None:
    values = one(
        f"{HEAD}client sent invalid request while reading client request line{CONTEXT}{REQUEST.format('/b c' + inside)}"
    ).values
    assert (values["client"], values["server"]) == ("192.0.2.7", "ces.example.com")
    assert (values["detail"], values["action"]) == ("client sent invalid request", "reading client request line")


@pytest.mark.parametrize("inside", ['a="b", host: "evil"', f'"{FAKE}', f'x", referrer: "y{FAKE}', '"', ""])
def test_a_referrer_does_not_fake_the_context(inside: str) -> None:
    values = one(
        f'{HEAD}open() "/html/n" failed (2: No such file or directory){CONTEXT}{REQUEST.format("/n")}, host: "ces", '
        f'referrer: "{inside}"'
    ).values
    assert (values["client"], values["server"], values["host"]) == ("192.0.2.7", "ces.example.com", "ces")
    assert (values["url"], values.get("referer", "")) == ("/n", inside)


def test_a_header_that_the_message_quotes_does_not_fake_the_context() -> None:
    message = f'client sent too long header line: "X: y{FAKE}..."'
    values = one(f"{HEAD}{message} while reading client request headers{CONTEXT}{REQUEST.format('/one')}").values
    assert (values["client"], values["url"], values["detail"]) == ("192.0.2.7", "/one", message)


def test_a_text_of_the_ca_does_not_fake_the_context() -> None:
    text = "SSL: certificate subject name 'x, client: 9.9.9.9, server: fake' does not match"
    values = one(f"{HEAD}login_to_certsrv_ca: Curl request failed with return code 51 ({text}){CONTEXT}").values
    assert (values["client"], values["server"], values["detail"]) == ("192.0.2.7", "ces.example.com", text)


@pytest.mark.parametrize("head", ["2019/02/27 16:53:28 [info] 3187#0: ", "2019/02/27 16:53:28 [debug] 3187#0: *2 "])
def test_a_record_without_context_takes_none_from_its_message(head: str) -> None:
    values = one(f"{head}http header x{CONTEXT}").values
    assert values["detail"] == f"http header x{CONTEXT}"
    assert "client" not in values


@pytest.mark.parametrize("request_line", ["SSH-2.0-OpenSSH_7.4", "", "GET", '"'])
def test_a_request_that_is_none_gives_no_url(request_line: str) -> None:
    values = one(f'{HEAD}client sent invalid method{CONTEXT}, request: "{request_line}"').values
    assert values["client"] == "192.0.2.7"
    assert "url" not in values


def cut(text: str) -> str:
    """Cut a record where nginx does, between bytes of UTF-8 letters too, and read it as the engine does."""
    record = text.encode()[:2047]
    assert len(record) == 2047
    (line,) = record.decode("utf-8", "ignore").splitlines() if record[-1] < 128 else [record.decode("cp1252")]
    return line


@pytest.mark.parametrize("filler", ["x", "é", "中"])
@pytest.mark.parametrize("over", range(0, 130, 7))
def test_a_record_that_nginx_cut_gives_what_is_whole(filler: str, over: int) -> None:
    tail = f'" failed{CONTEXT}, request: "GET /b?c HTTP/1.1", host: "ces"'
    head = f'{HEAD}open() "/html/'
    room = 2047 - len(head) - len(tail) + over
    size = len(filler.encode())
    path = filler * (room // size) + "a" * (room % size)
    text = cut(f"{head}{path}{tail}")
    values = one(text).values
    assert (values["pid"], values["connection"]) == (3187, 2)
    assert str(values["detail"]).startswith('open() "/html/')
    assert "192.0" not in str(values["detail"])
    shown = text[text.index('"', len(head)) :] if '"' in text[len(head) :] else ""
    for name, piece, mark in (
        ("client", "192.0.2.7", ", client: 192.0.2.7,"),
        ("server", "ces.example.com", ", server: ces.example.com,"),
        ("url", "/b", "GET /b?c HTTP/1.1"),
        ("host", "ces", 'host: "ces"'),
    ):
        whole = mark in shown and (name != "url" or f'{mark}"' in shown)
        assert values.get(name) == (piece if whole else None), (name, shown)


def test_a_cut_message_keeps_its_process() -> None:
    values = one(cut(f'{HEAD}open() "/html/{"z" * 3000}')).values
    assert (values["pid"], values["connection"]) == (3187, 2)
    assert len(str(values["detail"])) == 2047 - len(HEAD)


@pytest.mark.parametrize("end", ["", ",", ", ser", ", server: "])
def test_a_record_cut_elsewhere(end: str) -> None:
    values = one(f"{HEAD}client timed out, client: 192.0.2.7{end}").values
    assert values.get("client") == ("192.0.2.7" if end else None)
    assert values["detail"] == "client timed out"
    assert "server" not in values


# ---- messages of nginx ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "message", "kind", "values"),
    [
        ("emerg", "bind() to 0.0.0.0:8084 failed (98: Address already in use)", "nginx.bind.failed", {"code": 98}),
        ("emerg", "bind() to [::]:443 failed (13: x)", "nginx.bind.failed", {"code": 13, "host": "[::]:443"}),
        ("notice", "try again to bind() after 500ms", "nginx.record", {}),
        ("emerg", 'unknown directive "x" in /a/n.conf:17', "nginx.config.failed", {"url": "/a/n.conf:17"}),
        ("emerg", 'unknown directive "x" in /a/n.conf:17', "nginx.config.failed", {"detail": 'unknown directive "x"'}),
        ("alert", "could not open error log file", "nginx.config.failed", {}),
        ("warn", '"ssl_stapling" ignored, issuer certificate not found', "nginx.record", {}),
        ("crit", "*7 SSL_do_handshake() failed (SSL: error:1)", "nginx.handshake.failed", {"connection": 7}),
        ("crit", '*7 open() "/a" failed (24: Too many open files)', "nginx.record", {}),
        ("error", f"*7 connect() failed (113: No route){CONTEXT}", "nginx.connect.failed", {"code": 113}),
        ("crit", "*7 connect() to unix:/x failed (2: No such file)", "nginx.connect.failed", {"code": 2}),
        ("error", f"*7 upstream timed out (110: x) while reading{CONTEXT}", "nginx.upstream.failed", {"code": 110}),
        ("error", f"*7 upstream prematurely closed connection{CONTEXT}", "nginx.upstream.failed", {}),
        ("error", f"*7 no live upstreams while connecting to upstream{CONTEXT}", "nginx.upstream.failed", {}),
        ("error", "*7 upstream SSL certificate verify error: (10:x)", "nginx.upstream.failed", {"code": 10}),
        (
            "error",
            f"*7 recv() failed (104: Connection reset by peer) while reading response header from upstream{CONTEXT}",
            "nginx.upstream.failed",
            {"code": 104},
        ),
        ("info", f"*7 recv() failed (104: x) while waiting for request{CONTEXT}", "nginx.client.closed", {"code": 104}),
        ("info", f"*7 client timed out (110: x) while waiting{CONTEXT}", "nginx.client.closed", {"code": 110}),
        ("info", "*7 client 192.0.2.7 closed keepalive connection", "nginx.client.closed", {}),
        (
            "info",
            f"*7 peer closed connection in SSL handshake while SSL handshaking{CONTEXT}",
            "nginx.client.closed",
            {},
        ),
        ("info", f'*7 client sent invalid header line: "closed"{CONTEXT}', "nginx.record", {}),
        ("notice", "start worker processes", "nginx.started", {}),
        ("notice", "start worker process 18407", "nginx.worker.started", {"detail": "start worker process 18407"}),
        ("notice", "start cache manager process 18407", "nginx.record", {}),
        ("notice", "signal 15 (SIGTERM) received from 1, exiting", "nginx.stopping", {}),
        ("notice", "signal 3 (SIGQUIT) received from 1, shutting down", "nginx.stopping", {}),
        ("notice", "signal 17 (SIGCHLD) received from 1", "nginx.record", {}),
        ("notice", "exiting", "nginx.stopping", {}),
        ("notice", "gracefully shutting down", "nginx.stopping", {}),
        ("notice", "signal 1 (SIGHUP) received from 1, reconfiguring", "nginx.reload", {}),
        ("notice", "reconfiguring", "nginx.reload", {}),
        ("alert", "worker process 18454 exited on signal 11 (core dumped)", "nginx.worker.died", {"code": 11}),
        ("notice", "worker process 18454 exited with code 0", "nginx.record", {}),
        ("alert", "worker process 1 exited with fatal code 2 and cannot be respawned", "nginx.worker.died", {}),
        ("notice", "OS: Linux 4.18", "nginx.record", {"detail": "OS: Linux 4.18"}),
        ("notice", "", "nginx.record", {"detail": ""}),
    ],
)
def test_a_message_of_nginx(level: str, message: str, kind: str, values: dict[str, object]) -> None:
    event = one(f"2019/02/27 16:53:28 [{level}] 3187#0: {message}")
    assert event.kind == kind
    assert {name: event.values.get(name) for name in values} == values
    assert "function" not in event.values


# ---- messages of the plugin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["", f" while SSL EST handshaking{CONTEXT}"])
@pytest.mark.parametrize(
    ("message", "kind", "values"),
    [
        (
            "f_g: Secure connection to MS CertServ completed successfully using the following URL https://h:443/certsrv?a=b",
            "curl.ok",
            {"url": "https://h:443/certsrv", "query": "a=b"},
        ),
        ("f_g: URL used: https://h2/certsrv/", "curl.url", {"url": "https://h2/certsrv/"}),
        ("f_g: Rcvd data len: 163", "curl.data", {"bytes": 163}),
        ("f_g: Rcvd data len: 99999999999999999999999", "curl.data", {}),
        ("f_g: Adding cert to store (/CN=A (B))", "ces.cert.added", {"subject": "/CN=A (B)"}),
        ("f_g: Adding cert to store ()", "ces.cert.added", {"subject": ""}),
        ("f_g: Unable to execute login to certsrv with curl", "ces.login.failed", {}),
        ("f_g: Curl request failed with return code 7", "curl.failed", {"code": 7}),
        ("f_g: Curl request failed with return code 28: Timeout", "curl.failed", {"code": 28, "detail": "Timeout"}),
        ("f_g: the CURL post gave return code -5 (x) again", "curl.failed", {"code": -5, "detail": "x"}),
        ("f_g: curl done, return code 0", "ces.plugin", {"detail": "curl done, return code 0"}),
        ("f_g: script ended with return code 5", "ces.plugin", {}),
        ("f_g: no template CiscoRA", "ces.plugin", {"detail": "no template CiscoRA"}),
    ],
)
def test_a_message_of_the_plugin(message: str, kind: str, values: dict[str, object], context: str) -> None:
    event = one(f"2019/02/27 16:53:28 [info] 3187#0: {'*2 ' if context else ''}{message}{context}")
    assert event.kind == kind
    assert event.values["function"] == "f_g"
    assert {name: event.values.get(name) for name in values} == values
    assert event.values.get("client") == ("192.0.2.7" if context else None)


def test_the_url_of_the_ca_is_not_that_of_the_request() -> None:
    context = f'{CONTEXT}, request: "POST /.well-known/est/simpleenroll?x HTTP/1.1"'
    values = one(f"{HEAD}f_g: URL used: https://ca/certsrv while reading{context}").values
    assert values["url"] == "https://ca/certsrv"
    assert not {"query", "method"} & set(values)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("CA Chain requested but this value has not yet been set", "ces.chain.unset"),
        ("CA Cert response requested but this value has not yet been set", "ces.chain.unset"),
        ("CA is far away", "nginx.record"),
        ("ra_x: Unable to retrieve CA Cert chain from CA", "ces.chain.failed"),
        ("ra_x: CA Cert chain retrieved from CA, will be passed to EST", "ces.chain.ok"),
        ("pop_enabled off in nginx.conf. Disabling EST Proof of Possession", "ces.pop.off"),
        ("plugin: bad", "ces.plugin"),
    ],
)
def test_what_ces_says_as_it_starts(message: str, kind: str) -> None:
    assert one(f"2019/02/27 16:53:28 [warn] 3187#0: {message}").kind == kind
    assert read(CiscoRaLog(), f"nginx: [warn] {message}").kinds == [kind]


#: What libcurl of many versions and TLS libraries says, with what breaks a reader of brackets and quotes.
CURL_TEXTS = [
    "",
    "SSL certificate problem: unable to get local issuer certificate",
    "SSL certificate problem: certificate is not yet valid",
    "SSL certificate OpenSSL verify result: unable to get local issuer certificate (20)",
    "SSL: certificate subject name 'ca' does not match target host name 'ca.example.com'",
    "SSL: certificate subject name 'ca' (old)' does not match target host name 'ca.example.com'",
    "SSL: certificate subject name 'ca (old' does not match target host name 'ca.example.com'",
    "SSL: certificate subject name 'ca) old' does not match target host name 'ca.example.com'",
    "SSL: certificate subject name 'Köln ☎ CA' does not match target host name 'ca.example.com'",
    "SSL: certificate subject name () does not match target host name 'ca.example.com'",
    "SSL: certificate subject name (*.example) does not match target host name 'ca.example.com'",
    "SSL: certificate subject name (ca' (old)) does not match target host name 'ca.example.com'",
    "SSL: no alternative certificate subject name matches target ipv4 address '192.0.2.10'",
    "SSL: unable to obtain common name from peer certificate",
    "Could not resolve: ca.example.com (Domain name not found)",
    "Could not resolve host: ca.example.com  (DNS server returned answer with no data)",
    "Could not resolve host: (nil); Name or service not known",
    "Could not resolve proxy: proxy.example.com (Could not contact DNS servers)",
    "Couldn't resolve host 'ca.example.com'",
    "Failed connect to ca.example.com:443; Connection refused",
    "Failed to connect to ::1 port 443 after 2 ms: Couldn't connect to server",
    "Connection timed out after 10001 milliseconds",
    "Operation timed out after 10000 milliseconds with 0 out of -1 bytes received",
    "Operation timed out after 10000 milliseconds with 512 out of 11771 bytes received",
    "Resolving timed out after 10002 milliseconds",
    "SSL connection timeout",
    "Maximum (3) redirects followed",
    "The requested URL returned error: 401 Unauthorized",
    "Empty reply from server",
    "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to ca.example.com:443 ",
    "Unknown SSL protocol error in connection to ca.example.com:443 ",
    "OpenSSL/3.0.19: error:0A00010B:SSL routines::wrong version number",
    "error:14094410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure",
    "SSL read: error:00000000:lib(0):func(0):reason(0), errno 104",
    "gnutls_handshake() failed: Key usage violation in certificate has been detected.",
    "GnuTLS recv error (-110): The TLS connection was non-properly terminated.",
    "server certificate verification failed. CAfile: /etc/ca.pem CRLfile: none",
    "error setting certificate verify locations:  CAfile: /etc/ca.pem CApath: /etc/ssl/certs",
    "error setting certificate verify locations:\n  CAfile: /etc/ca.pem\n  CApath: none",
    "error setting certificate verify locations:\n  CAfile: /etc/ca (2).pem\n  CApath: (null)",
    "error (first)\n  CApath: none",
    "Received HTTP/0.9 when not allowed\n",
    "error setting certificate file: /etc/ca.pem",
    "error reading crl file /etc/ca.crl (Error while reading file.)",
    "could not load PEM client certificate, OpenSSL error error:02001002:x, (no key found, or wrong file format?)",
    'Protocol "httpss" not supported or disabled in libcurl',
    "Host name 'ca example.com' contains bad letter",
    "x, client: 9.9.9.9, server: fake",
    "((((",
    "))))",
    ")(",
]

CURL = "login_to_certsrv_ca: Curl call for MS CA login failed with return code {code} ({text})"
NEXT = "login_to_certsrv_ca: URL used: https://ca.example.com:443/certsrv"
FORMS = {
    "connection": (HEAD, f" while SSL EST handshaking{CONTEXT}"),
    "process": ("2019/02/27 16:53:28 [warn] 3187#0: ", ""),
    "start": ("nginx: [warn] ", ""),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", CURL_TEXTS)
def test_the_text_of_libcurl_comes_out_exactly(text: str, form: str) -> None:
    head, context = FORMS[form]
    parser: Parser = CiscoRaLog() if form == "start" else PARSER
    done = read(parser, f"{head}{CURL.format(code=60, text=text)}{context}\n{head}{NEXT}{context}\n")
    assert done.kinds == ["curl.failed", "curl.url"]
    assert done.unknown == []
    failed = done.events[0]
    plain = " ".join(part.strip() for part in text.split("\n") if part.strip()) if "\n" in text else text
    assert (failed.values["detail"], failed.values["code"]) == (plain, 60)
    assert failed.span == 1 + text.count("\n")
    assert failed.values["function"] == "login_to_certsrv_ca"
    if form == "connection":
        assert [failed.values[n] for n in ("client", "server", "action")] == [
            "192.0.2.7",
            "ces.example.com",
            "SSL EST handshaking",
        ]
    else:
        assert "client" not in failed.values


@pytest.mark.parametrize("code", [6, 28, 51, 77])
@pytest.mark.parametrize("what", ["Curl call for MS CA login", "Curl request"])
@pytest.mark.parametrize("function", ["login_to_certsrv_ca", "retrieve_cacerts"])
def test_function_and_code_of_a_failed_request(code: int, what: str, function: str) -> None:
    values = one(f"{HEAD}{function}: {what} failed with return code {code} (a){CONTEXT}").values
    assert (values["function"], values["code"]) == (function, code)


def test_a_text_that_never_closes_is_given_up_softly() -> None:
    head = f"{HEAD}f_g: Curl request failed with return code 77 (error setting:"
    done = read(PARSER, "\n".join([head, *[f"  line {n}" for n in range(20)], f"{HEAD}f_g: URL used: https://h/"]))
    assert done.kinds == ["curl.failed", "curl.url"]
    assert done.events[0].span == 6
    assert len(done.unknown) == 15
    assert str(done.events[0].values["detail"]).startswith("error setting:")


def test_a_record_ends_a_text_that_is_open() -> None:
    done = read(PARSER, f"{HEAD}f_g: Curl request failed with return code 77 (error:\n{HEAD}exiting\n  CApath: none)")
    assert done.kinds == ["curl.failed", "nginx.stopping"]
    assert done.unknown == ["  CApath: none)"]
    assert done.events[0].values["detail"] == "error:"


def test_foreign_lines_do_not_join_a_text_with_an_odd_bracket() -> None:
    done = read(
        PARSER, f"{HEAD}f_g: Curl request failed with return code 51 (name 'a (b' bad){CONTEXT}\n[…]\nfoo (bar)"
    )
    assert done.events[0].values["detail"] == "name 'a (b' bad"
    assert done.unknown == ["[…]", "foo (bar)"]


def test_a_context_on_a_line_of_its_own() -> None:
    done = read(PARSER, f"{HEAD}f_g: some words\n while SSL EST handshaking{CONTEXT}\n while x{CONTEXT}")
    (event,) = done.events
    assert (event.span, event.values["client"], event.values["action"]) == (2, "192.0.2.7", "SSL EST handshaking")
    assert event.values["detail"] == "some words"
    assert len(done.unknown) == 1


# ---- which log it is -----------------------------------------------------------------------------------------------

START_LINES = [
    "***EST [INFO][est_log_version:216]--> libest 2.2.0 (API level 4)",
    "***EST [INFO][est_log_version:220]--> Compiled against CiscoSSL 1.0.2n.6.2.194-fips",
    *[f"***EST [INFO][ossl_init_cert_store_from_raw:182]--> Adding cert to store (/CN={n})" for n in range(7)],
    "***EST [INFO][set_ssl_option:1432]--> TLS SRP not enabled",
]
REQUEST_LINES = [
    "***EST [INFO][est_server_handle_request:1741]--> Peer IP address: 192.0.2.128",
    "***EST [INFO][est_server_handle_request:1742]--> Peer port      : 51828",
    "***EST [INFO][handle_request:1358]--> /.well-known/est/simpleenroll",
    "***EST [INFO][est_enroll_auth:356]--> TLS: no peer certificate",
    '***EST [INFO][log_access:1298]--> 192.0.2.128 [27/Feb/2019:16:53:28 -0500] "POST /a HTTP/1.1" 401 0',
    "***EST [INFO][log_header:1276]--> -",
]
STAMPED = [f"{HEAD}f_g: Rcvd data len: 163{CONTEXT}"]
UNSTAMPED = ["nginx: [warn] CA Chain requested but this value has not yet been set"]
SERVICE = ["EnrollmentService.sh : nginx server PID value = 31070"]


@pytest.mark.parametrize("path", ["x", "a/nginx00000001.txt", "a/error.log"])
@pytest.mark.parametrize(
    ("lines", "source"),
    [
        (STAMPED, "nginx"),
        (START_LINES, "ciscora"),
        (UNSTAMPED, "ciscora"),
        (SERVICE, "ciscora"),
        (REQUEST_LINES, "nginx"),
        (START_LINES + REQUEST_LINES, "nginx"),
        (STAMPED + REQUEST_LINES + START_LINES, "nginx"),
        (UNSTAMPED + START_LINES + SERVICE, "ciscora"),
        (UNSTAMPED * 5 + START_LINES + SERVICE + REQUEST_LINES[:3], "ciscora"),
        (['192.0.2.1 - - [23/Nov/2026:07:51:47 +0000] "GET / HTTP/1.1" 404 153 "-" "x"'] * 20, None),
        (["Certificate Request:", "    Data:", "        Version: 0 (0x0)", "00:bd:aa:"] * 10, None),
        (["nginx server", "[warn] 5#5: x", "EST"], None),
    ],
)
def test_content_says_which_log_it_is(lines: list[str], source: str | None, path: str) -> None:
    chosen = recognise(lines, path).parser
    assert (chosen.source if chosen is not None else None) == source


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a/nginx00000001.txt", "ciscora"),
        ("a\\NGINX1.TXT.gzo", "ciscora"),
        ("logs/error.log", "nginx"),
        ("x/error.log.1", "nginx"),
    ],
)
def test_the_path_breaks_a_tie(path: str, source: str) -> None:
    lines = ["***EST [WARNING][somewhere:1]--> something"]
    assert recognise(lines, path).parser.source == source  # type: ignore[union-attr]


def test_the_engine_reads_it() -> None:
    text = "\n".join([*REQUEST_LINES, *STAMPED, "[…]", "", "./ces(+0x1224a) [0x563f3560124a]"])
    parsed = parse([text.encode()], "some/error.log")
    assert parsed.parser is not None
    assert parsed.parser.source == "nginx"
    assert (parsed.lines, parsed.quiet, parsed.unparsed, parsed.unknown) == (10, 1, 1, [(8, "[…]")])
    table = frame(("nginx", "error.log", e) for e in parsed.events)
    assert list(table["client"].dropna()) == ["192.0.2.128", "192.0.2.128", "192.0.2.7"]
    assert list(table["stamp"].dropna()) == [1551286408000]


# ---- any line whatever ---------------------------------------------------------------------------------------------

NUMBERS = {name for name, (dtype, _) in VALUES.items() if dtype == "Int64"}


def fits_the_table(said: Event | Line) -> None:
    if isinstance(said, Event):
        assert said.kind in PARSER.kinds
        for name, value in said.values.items():
            assert isinstance(value, int if name in NUMBERS else str), (name, value)
            assert not isinstance(value, int) or abs(value) < 2**63


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.lists(st.text(), max_size=5))
def test_no_line_raises(lines: list[str]) -> None:
    reader = PARSER.reader()
    for number, line in enumerate(lines):
        said = reader.read(line)
        fits_the_table(said)
        assert said is not Line.PART or number > 0


ALL_LINES = [
    line for parser in (NginxErrorLog(), CiscoRaLog()) for sample in parser.samples for line in sample.text.split("\n")
]


def damaged(line: str, draw: random.Random) -> str:
    """Change a line as damage does: cut, doubled, letters swapped for what breaks patterns."""
    at, to = sorted((draw.randrange(len(line) + 1), draw.randrange(len(line) + 1)))
    changed: str = draw.choice(
        [
            line[:at],
            line[at:],
            line[:at] + line[to:],
            line[:to] + line[at:],
            line[:at] + draw.choice(list('()[]",:#*\0\x1b é9-\r\ufffd²')) + line[to:],
            line[:at] + draw.choice(ALL_LINES),
        ]
    )
    return changed


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.randoms(use_true_random=False))
def test_no_damaged_line_raises(draw: random.Random) -> None:
    reader = draw.choice([NginxErrorLog(), CiscoRaLog()]).reader()
    seen = False
    for _ in range(20):
        line = draw.choice(ALL_LINES)
        for _ in range(draw.randrange(3)):
            line = damaged(line, draw) if line else line
        said = reader.read(line)
        fits_the_table(said)
        assert said is not Line.PART or seen
        seen = seen or isinstance(said, Event)


@pytest.mark.parametrize(
    "line",
    [
        HEAD + ", client: a, server: b" * 20_000,
        HEAD + '", host: "' * 30_000 + CONTEXT,
        f'{HEAD}x{CONTEXT}, request: "' + '", host: "' * 30_000,
        HEAD + "curl " * 50_000,
        HEAD + "f_g: curl return code 5 (" + "(" * 100_000,
        "[warn] 1#1" * 20_000,
        "***EST [INFO][f:1]--> " + "/" * 100_000 + ' [1] "',
        "nginx: [" * 20_000,
        "] 1#1: " * 30_000,
        "A" * 200_000,
    ],
    ids=range(10),
)
def test_a_line_of_no_end_is_read_at_once(line: str) -> None:
    reader = PARSER.reader()
    fits_the_table(reader.read(line))
    fits_the_table(reader.read(line))
