"""Sample lines of the two logs of CES, without the heads that tell one log from the other."""

from __future__ import annotations

from capflog.parsing import Sample

#: A message of each kind: level, message, kind. Without head and context, for the samples of both logs.
MESSAGES: tuple[tuple[str, str, str], ...] = (
    (
        "info",
        (
            "login_to_certsrv_ca: Secure connection to MS CertServ completed successfully using the following URL "
            "https://ca.example.com:443/certsrv"
        ),
        "curl.ok",
    ),
    (
        "warn",
        (
            "login_to_certsrv_ca: Curl call for MS CA login failed with return code 6 "
            "(Could not resolve: ca.example.com (Domain name not found))"
        ),
        "curl.failed",
    ),
    ("warn", "retrieve_cacerts: Curl request failed with return code 28", "curl.failed"),
    (
        "warn",
        "retrieve_cacerts: URL used: https://ca.example.com:443/certsrv/certnew.p7b?ReqID=CACert&Renewal=0&Enc=bin",
        "curl.url",
    ),
    ("info", "ra_certsrv_auth_curl_data_cb: Rcvd data len: 11771", "curl.data"),
    ("warn", "ossl_init_cert_store: Adding cert to store (/DC=com/DC=example/CN=EXAMPLE-CA (2))", "ces.cert.added"),
    ("warn", "CA Chain requested but this value has not yet been set", "ces.chain.unset"),
    ("warn", "CA Cert response requested but this value has not yet been set", "ces.chain.unset"),
    ("error", "retrieve_cacerts: Unable to execute login to certsrv with curl", "ces.login.failed"),
    ("warn", "ra_certsrv_ca_plugin_postconf: Unable to retrieve CA Cert chain from CA", "ces.chain.failed"),
    (
        "info",
        "ra_certsrv_ca_plugin_postconf: CA Cert chain retrieved from CA, will be passed to EST",
        "ces.chain.ok",
    ),
    ("warn", "pop_enabled off in nginx.conf. Disabling EST Proof of Possession", "ces.pop.off"),
    ("info", "navigate_to_certsrv_page: template found", "ces.plugin"),
    ("error", "plugin: no memory", "ces.plugin"),
    ("emerg", "bind() to 0.0.0.0:8084 failed (98: Address already in use)", "nginx.bind.failed"),
    ("emerg", "still could not bind()", "nginx.bind.failed"),
    ("emerg", 'host not found in upstream "ca.example.com:443" in /opt/nginx/nginx.conf:8', "nginx.config.failed"),
    (
        "info",
        "SSL_do_handshake() failed (SSL: error:0A000102:SSL routines::unsupported protocol)",
        "nginx.handshake.failed",
    ),
    ("error", "connect() failed (111: Connection refused)", "nginx.connect.failed"),
    ("error", "upstream timed out (110: Connection timed out)", "nginx.upstream.failed"),
    (
        "error",
        "upstream SSL certificate verify error: (21:unable to verify the first certificate)",
        "nginx.upstream.failed",
    ),
    ("info", "client timed out (110: Connection timed out)", "nginx.client.closed"),
    (
        "info",
        "epoll_wait() reported that client prematurely closed connection, so upstream connection is closed too",
        "nginx.client.closed",
    ),
    ("notice", "start worker processes", "nginx.started"),
    ("notice", "start worker process 18407", "nginx.worker.started"),
    ("notice", "signal 15 (SIGTERM) received from 18234, exiting", "nginx.stopping"),
    ("notice", "gracefully shutting down", "nginx.stopping"),
    ("notice", "signal 1 (SIGHUP) received from 18234, reconfiguring", "nginx.reload"),
    ("alert", "worker process 18454 exited on signal 9", "nginx.worker.died"),
    ("notice", "OS: Linux 4.18.0", "nginx.record"),
)

#: Kinds of records that no connection causes.
OUTSIDE_CONNECTIONS = frozenset(
    {
        "ces.chain.failed",
        "ces.chain.ok",
        "ces.chain.unset",
        "ces.pop.off",
        "nginx.bind.failed",
        "nginx.config.failed",
        "nginx.reload",
        "nginx.started",
        "nginx.stopping",
        "nginx.worker.died",
        "nginx.worker.started",
    }
)

#: Lines of the start script.
SERVICE: tuple[tuple[str, str], ...] = (
    ("EnrollmentService.sh : nginx server PID value = 31070", "ces.started"),
    ("EnrollmentService.sh : nginx server stopped", "ces.service"),
)

#: Level, function and message of each kind.
_EST: tuple[tuple[str, str, str, str], ...] = (
    ("INFO", "est_log_version:216", "libest 2.2.0 (API level 4)", "est.version"),
    ("INFO", "est_log_version:220", "Compiled against CiscoSSL 1.0.2n.6.2.194-fips", "est.ssl.version"),
    ("INFO", "est_log_version:221", "Linking to CiscoSSL 1.0.2n.6.2.194-fips", "est.ssl.version"),
    ("INFO", "ossl_init_cert_store_from_raw:182", "Adding cert to store (/O=Example/CN=CA)", "ces.cert.added"),
    ("INFO", "est_server_handle_request:1741", "Peer IP address: 192.0.2.128", "est.peer"),
    ("INFO", "est_server_handle_request:1742", "Peer port      : 51828", "est.peer.port"),
    ("INFO", "parse_http_message:1242", "request_len=188", "est.request.length"),
    ("INFO", "parse_http_message:1243", "request uri=/.well-known/est/simpleenroll", "est.request"),
    ("INFO", "est_enroll_auth:356", "TLS: no peer certificate", "est.client.nocert"),
    ("INFO", "est_enroll_auth:340", "TLS: client certificate is valid", "est.client.cert"),
    (
        "INFO",
        "est_enroll_auth:401",
        "HTTP auth headers missing, sending HTTP auth request to client.",
        "est.auth.challenge",
    ),
    ("WARNING", "est_enroll_auth:394", "HTTP authentication failed. Auth type=1", "est.auth.failed"),
    ("WARNING", "est_http_request:1435", "Enrollment failed with rc=22 (EST_ERR_AUTH_FAIL)", "est.enroll.failed"),
    ("WARNING", "est_http_request:1450", "Reenroll failed with rc=25 (EST_ERR_CA_ENROLL_FAIL)", "est.enroll.failed"),
    ("ERROR", "est_mg_handler:1234", "EST error response code: 22 (EST_ERR_AUTH_FAIL)", "est.response"),
    ("WARNING", "handle_request:1267", "Incoming request failed rv=22 (EST_ERR_AUTH_FAIL)", "est.request.failed"),
    (
        "INFO",
        "est_handle_simple_enroll:1226",
        "CA server requests retry, possibly it's not setup for auto-enroll",
        "est.retry",
    ),
    ("WARNING", "est_tls_uid_auth:560", "PoP is not valid", "est.pop"),
    ("ERROR", "est_server_check_csr:639", "CSR signature mismatch", "est.csr.bad"),
    ("ERROR", "est_handle_simple_enroll:1125", "PKCS10 CSR sent by the client failed sanity check", "est.csr.bad"),
    ("WARNING", "est_server_handle_request:1716", "SSL_shutdown failed", "est.shutdown"),
    ("INFO", "est_server_handle_request:1806", "Two-phase SSL_shutdown initiated", "est.shutdown"),
    ("ERROR", "tcw_direct_connect:201", "Could not connect to 192.0.2.10:8084", "est.client.connect.failed"),
    ("ERROR", "est_client_connect:2462", "Unable to connect to EST server at ces", "est.client.connect.failed"),
    ("ERROR", "est_ssl_read:1167", "Socket poll timeout.  No data received from server.", "est.client.timeout"),
    ("INFO", "est_io_get_response:1271", "HTTP status 401 received", "est.client.status"),
    (
        "ERROR",
        "est_client_send_enroll_request:1590",
        "EST request failed: 35 (EST_ERR_SSL_READ)",
        "est.client.failed",
    ),
    (
        "ERROR",
        "est_client_enroll_req:1787",
        "EST enrollment failed, error code is 35 (EST_ERR_SSL_READ)",
        "est.client.failed",
    ),
    ("INFO", "tcw_direct_connect:183", "connect(192.0.2.10 port 8084)", "est.client.record"),
    ("INFO", "set_ssl_option:1432", "TLS SRP not enabled", "est.message"),
)

_EST_MANY: tuple[Sample, ...] = (
    Sample(
        '***EST [INFO][log_access:1298]--> 192.0.2.128 [27/Feb/2019:16:53:28 -0500] "POST '
        '/.well-known/est/simpleenroll HTTP/1.1" 401 0\n'
        "***EST [INFO][log_header:1276]-->  -\n"
        '***EST [INFO][log_header:1278]-->  "Cisco EST client 1.0"',
        ("est.access", "est.referer", "est.agent"),
    ),
    Sample(
        "***EST [INFO][mg_send_http_error:389]--> [Error 401: Unauthorized\n"
        "The server was unable to authorize the request.\n"
        "]",
        ("est.error.page", None, None),
    ),
    Sample(
        "***EST [WARNING][ossl_dump_ssl_errors:246]--> OSSL error: 140487214945984:error:14094418:SSL routines:"
        "ssl3_read_bytes:tlsv1 alert unknown ca:s3_pkt.c:1498:SSL alert number 48\n"
        "140487214945984:error:140940E5:SSL routines:ssl3_read_bytes:ssl handshake failure:s3_pkt.c:1216:\n"
        "\n"
        "./nginx(+0x1224a) [0x564342f5924a]\n"
        "libc.so.6(+0x891f5) [0x7fc5bb13b1f5]",
        ("est.ssl.error", None, None, None, None),
    ),
)


def est_samples(lead: Sample) -> tuple[Sample, ...]:
    """Make samples of every kind of libEST's lines; ``lead`` comes first in each: lines of the log that holds them."""
    single = (Sample(f"***EST [{level}][{place}]--> {text}", (kind,)) for level, place, text, kind in _EST)
    return tuple(Sample(f"{lead.text}\n{s.text}", (*lead.kinds, *s.kinds)) for s in (*single, *_EST_MANY))
