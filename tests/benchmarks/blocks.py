"""The words of the generated logs: blocks of lines with ``{names}`` in place of what differs.

The lines are those that Cisco 214396 prints and that the small samples are made of; NGINX's own are those of its source
(ngx_http_request.c, ngx_event_openssl.c), IIS's columns the defaults of IIS 8 and later (Microsoft IIS W3C reference).
A block is what a program writes in one go: nothing of another phone or process comes in between.

``full`` False leaves out what bears no step of an enrollment (a storm's bytes do not suffice for it): CAPF's polls, the
last look at the device, NGINX's data lengths and trust store, libEST's peer ports and request headers.
"""

from __future__ import annotations

NODE = "14.48.31.125"
WEB_SERVER = "14.48.31.152"
HOST = "lab-dc.michamen.com"
CA = "/DC=com/DC=michamen/CN=lab-ca.michamen.com"
USER = "MICHAMEN\\ciscora"

# ---- CAPF's trace --------------------------------------------------------------------------------------------------


def _function(name: str, *bodies: str) -> str:
    return "".join(
        (f"{{stamp}} |-->{name}\n", *(f"{{stamp}} |   {name} {b}\n" for b in bodies), f"{{stamp}} |<--{name}\n")
    )


def _debug(*bodies: str) -> str:
    return "".join(_function("debug", body) for body in bodies)


def _of_phone(*bodies: str) -> str:
    return _debug(*(f"{{session}}:{{device}}:{body}" for body in bodies))


_POLL = ("addded {socket} to readset", "Recd event")


def _device(operation: str, status: str) -> str:
    return _function(
        "Select({device})",
        "device exists",
        "BEFORE DB query Authentication Mode=AUTH_BY_STR:1",
        "KeySize=KEY_SIZE_2048:3",
        "ECKeySize=INVALID:0",
        "KeyOrder=KEYORDER_RSA_ONLY:1",
        f"Operation={operation}",
        f"Operation Status ={status}",
        "Authentication Mode=AUTH_BY_NULL_STR:2",
        "Operation Should Finish By=2019:01:20:12:00",
    )


_NOTHING_TO_DO = _device("OPERATION_NONE:1", "CERT_STATUS_UPGRADE_SUCCESS:3")
_TO_BE_DONE = _device("OPERATION_UPGRADE:2", "CERT_STATUS_OPERATION_PENDING:2")


def _bytes(*blocks: str) -> tuple[bytes, ...]:
    return tuple(block.encode("latin-1") for block in blocks)


#: A phone that nothing is to be done for: it comes, is looked up, is sent away, goes.
CAPF_QUIET = _bytes(
    _debug(*_POLL, "MsgType : CAPF_MSG_AUTH_RES"),
    _NOTHING_TO_DO,
    _of_phone("Sending END_SESSION msg"),
    _debug("MsgType : CAPF_MSG_END_SESSION"),
)

#: A phone that keeps its connection alive.
CAPF_ALIVE = _bytes(
    _debug(*_POLL, "MsgType : CAPF_MSG_STATUS_REQ") + _of_phone("Sending STATUS_RES msg"), _debug(_POLL[0])
)


def _prepared(*, full: bool) -> tuple[str, ...]:
    """CAPF meets a phone, has it make its key, and calls EST."""
    poll = _POLL if full else ()
    state = "CAPF CORE: Rcvd Event: CAPF_EV_KEY_GEN_REP in State: CAPF_STATE_AWAIT_KEY_GEN_RESP"
    return (
        _debug(*poll, "MsgType : CAPF_MSG_AUTH_RES"),
        _TO_BE_DONE,
        _of_phone("Sending KEY_GEN_REQ msg"),
        _debug(*poll, "MsgType : CAPF_MSG_KEY_GEN_RES") + _of_phone(state),
        _of_phone(
            "CA Mode is OnlineCA, Initiating Automatic Certificate Enrollment",
            "Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{device}.csr",
            "Inside X509_REQ *read_csr()",
            "Completed action in X509_REQ *read_csr()",
        ),
    )


def _status() -> str:
    """CAPF puts the operation's end into the database."""
    operation = "SetOperationStatus(Success:CAPF_OP_SUCCESS):0"
    mapped = "CAPFDevice::MapCapf_OpStatusToDBLTypeCertificateStatus(OPERATION_UPGRADE, Suc"
    sql = (
        "UPDATE Device SET tkCertificateOperation=1, tkcertificatestatus='3' WHERE my_lower(name)=my_lower('{device}')"
    )
    return "".join(
        f"{{stamp}} |{text}\n"
        for text in (
            "<--Select({device})",
            f"-->{operation}",
            f"   {operation} Operation status Value is '0'",
            f"-->{mapped}",
            f"   {mapped} =>DbStatus=CERT_STATUS_UPGRADE_SUCCESS",
            f"<--{mapped}",
            f"   {operation} Operation status is set to 1",
            f"   {operation} Operation status is set to Success:CAPF_OP_SUCCESS",
            f"   {operation} sql query - ({sql})",
        )
    )


def capf_issued(*, full: bool) -> tuple[bytes, ...]:
    """A phone gets its certificate; names: stamp, session, device, socket, length."""
    poll = _debug(*_POLL) if full else ""
    cache = _function("findAndPost", "Device found in the cache map {device}") if full else ""
    written = ("Inside write_binary_file()", "Completed action in write_binary_file()") if full else ()
    # The key is logged as the bytes of its DER form (30 82 01 0a 02 82 01 01 00): the 0a breaks the line.
    key = _of_phone("pubKey: 0\x82\x01\n\x02\x82\x01\x01")
    operation = "SetOperationStatus(Success:CAPF_OP_SUCCESS):0"
    return _bytes(
        *_prepared(full=full),
        _of_phone(
            "Enrollment rv = 0 (EST_ERR_NONE) with pkcs7 length = {length}",
            "Signed Cert written to /tmp/capf/cert/ location...",
            *written,
            "Converting PKCS7 file to PEM format and PEM to DER",
        ),
        _of_phone("Return value from enrollCertUsingEST() : 0", "Online Cert Signing successful")
        + cache
        + poll
        + _of_phone(
            "CA CERT RES certificate ready .",
            "CAPF CORE: Rcvd Event: CAPF_EV_CA_CERT_REP in State: CAPF_STATE_AWAIT_CA_CERT_RESP",
            "CAPF got device certificate",
        )
        + (_debug("loadFile('/tmp/capf/cert/{device}.der')") if full else "")
        + _debug("loadFile() successfully loaded file: '/tmp/capf/cert/{device}.der'")
        + _of_phone("Read certificate for device")
        + _debug("LSC is verified. removing CSR at /tmp/capf/csr/{device}.csr")
        + _of_phone("Sending STORE_CERT_REQ msg"),
        _status(),
        f"{{stamp}} |<--{operation}\n"
        + _of_phone("In capf_ui_set_ph_public_key()")
        + key
        + _of_phone("pubKey length: 270")
        + (_NOTHING_TO_DO if full else "")
        + _debug("MsgType : CAPF_MSG_STORE_CERT_RES"),
        _debug("MsgType : CAPF_MSG_END_SESSION"),
    )


def capf_failed(*, full: bool) -> tuple[bytes, ...]:
    """A phone's enrollment that CES did not answer in time; names as in :func:`capf_issued`."""
    return _bytes(
        *_prepared(full=full),
        _of_phone(
            "Enrollment rv = 35 (EST_ERR_SSL_READ) with pkcs7 length = 0",
            "est_client_enroll_csr() Failed! Could not obtain new certificate. Aborting.",
            "Return value from enrollCertUsingEST() : 35",
            "Online Cert Signing Failed",
        )
        + _debug(_POLL[0]),
        _debug("Recd event", "MsgType : CAPF_MSG_END_SESSION"),
    )


# ---- NGINX's error.log ---------------------------------------------------------------------------------------------

_URI = "/.well-known/est/simpleenroll"
_IN_HANDSHAKE = f" while SSL EST handshaking, client: {NODE}, server: 0.0.0.0:8084"
_CERTSRV = f"https://{HOST}:443/certsrv"


def _est(text: str, level: str = "INFO") -> str:
    return f"***EST [{level}]{text}\n"


def _record(level: str, message: str) -> str:
    """A record of the enrollment's second connection; ``who`` is worker and connection."""
    return f"{{stamp}} [{level}] {{who}} {message}{_IN_HANDSHAKE}\n"


def _received(length: int, port: str, *, full: bool) -> str:
    return (
        _est(f"[est_server_handle_request:1651]--> Peer IP address: {NODE}")
        + (_est(f"[est_server_handle_request:1652]--> Peer port      : {{{port}}}") if full else "")
        + (_est(f"[parse_http_message:1148]--> request_len={length}") if full else "")
        + _est(f"[parse_http_message:1149]--> request uri={_URI}")
        + (_est(f"[handle_request:1261]--> {_URI}") if full else "")
        + _est("[est_enroll_auth:356]--> TLS: no peer certificate")
    )


def _answered(received: str, status: int, length: str, *, full: bool) -> str:
    access = _est(f'[log_access:1298]--> {NODE} [{{{received}}}] "POST {_URI} HTTP/1.1" {status} {length}')
    headers = _est("[log_header:1276]-->  -") + _est('[log_header:1278]-->  "Cisco EST client 1.0"')
    return access + (headers if full else "")


def _challenged(*, full: bool) -> str:
    missing = "HTTP auth headers missing, sending HTTP auth request to client."
    return (
        _received(189, "first_port", full=full)
        + _est(f"[est_enroll_auth:402]--> {missing}")
        + _answered("challenged", 401, "0", full=full)
        + (_est("[est_server_handle_request:1712]--> Two-phase SSL_shutdown initiated") if full else "")
    )


def _curl(function: str, page: str, received: str, *, full: bool) -> str:
    done = "Secure connection to MS CertServ completed successfully using the following URL"
    data = _record("info", f"ra_certsrv_auth_curl_data_cb: Rcvd data len: {received}") if full else ""
    return data + _record("info", f"{function}: {done} {_CERTSRV}{page}")


def nginx_issued(*, full: bool) -> tuple[bytes, ...]:
    """CES's side of a certificate.

    Names: stamp, who, first_port, port, challenged, received, reqid, length, and content (length of the certificate's
    page).
    """
    trusted = _record("warn", f"ossl_init_cert_store: Adding cert to store ({CA})") if full else ""
    page, login = "navigate_to_certsrv_page", "login_to_certsrv_ca"
    present = _est("[est_handle_simple_enroll:1136]--> id-kp-cmcRA present: 0") if full else ""
    return _bytes(
        _challenged(full=full),
        _received(236, "port", full=full) + trusted,
        _curl(login, "", "159", full=full),
        _curl(page, "/certrqxt.asp", "11771", full=full) + present,
        trusted + _curl(login, "", "159", full=full),
        _curl(page, "/certfnsh.asp", "3817", full=full),
        _curl(page, "/certnew.cer?ReqID={reqid}&ENC=b64", "{content}", full=full),
        _answered("received", 200, "{length}", full=full)
        + _est("[est_server_handle_request:1716]--> SSL_shutdown failed", "WARNING"),
    )


def nginx_failed(*, full: bool) -> tuple[bytes, ...]:
    """CES's login that the CA does not answer within curl's ten seconds; names as in :func:`nginx_issued`."""
    curl = "login_to_certsrv_ca: Curl call for MS CA login failed with return code 28"
    refused = "22 (EST_ERR_AUTH_FAIL)"
    return _bytes(
        _challenged(full=full),
        _received(236, "port", full=full) + _record("warn", f"ossl_init_cert_store: Adding cert to store ({CA})"),
        _record("warn", f"{curl} (Operation timed out after 10001 milliseconds with 0 bytes received)")
        + _record("warn", f"login_to_certsrv_ca: URL used: {_CERTSRV}")
        + _est("[est_enroll_auth:394]--> HTTP authentication failed. Auth type=1", "WARNING")
        + _est(f"[est_http_request:1435]--> Enrollment failed with rc={refused}\n", "WARNING")
        + _est("[mg_send_http_error:389]--> [Error 401: Unauthorized")
        + "The server was unable to authorize the request.\n]\n"
        + _est(f"[est_mg_handler:1234]--> EST error response code: {refused}\n", "ERROR")
        + _est(f"[handle_request:1267]--> Incoming request failed rv={refused}", "WARNING")
        + _answered("received", 401, "0", full=full)
        + _est("[est_server_handle_request:1716]--> SSL_shutdown failed", "WARNING"),
    )


_STRANGER = ", client: {client}, server: 0.0.0.0:8084\n"
_ASKED = ', client: {client}, server: ces, request: "GET {path} HTTP/1.1", host: "cucm-pub.michamen.com:8084"\n'
_HTML = "/usr/local/thirdparty/nginx/install/html"

#: Strangers at CES's port; names: stamp, who, client, path, port, challenged.
STRANGERS = _bytes(
    "{stamp} [info] {who} SSL_do_handshake() failed (SSL: error:1408F10B:SSL routines:SSL3_GET_RECORD:wrong version "
    f"number) while SSL handshaking{_STRANGER}",
    "{stamp} [info] {who} SSL_do_handshake() failed (SSL: error:14094418:SSL routines:ssl3_read_bytes:tlsv1 alert "
    f"unknown ca:SSL alert number 48) while SSL handshaking{_STRANGER}",
    f"{{stamp}} [info] {{who}} client closed connection while SSL handshaking{_STRANGER}",
    f"{{stamp}} [info] {{who}} recv() failed (104: Connection reset by peer) while waiting for request{_STRANGER}",
    "{stamp} [info] {who} client sent plain HTTP request to HTTPS port while reading client request headers"
    f"{_ASKED}",
    f'{{stamp}} [error] {{who}} open() "{_HTML}{{path}}" failed (2: No such file or directory){_ASKED}',
    _est("[est_server_handle_request:1651]--> Peer IP address: {client}")
    + _est("[est_server_handle_request:1652]--> Peer port      : {port}")
    + _est("[parse_http_message:1148]--> request_len=78")
    + _est("[parse_http_message:1149]--> request uri={path}")
    + _est("[handle_request:1261]--> {path}")
    + _est('[log_access:1298]--> {client} [{challenged}] "GET {path} HTTP/1.1" 404 0')
    + _est("[log_header:1276]-->  -")
    + _est("[log_header:1276]-->  -")
    + _est("[est_server_handle_request:1712]--> Two-phase SSL_shutdown initiated"),
)
PATHS = _bytes("/", "/index.html", "/favicon.ico", "/admin/", "/ccmadmin/showHome.do", "/robots.txt", "/.env")

# ---- IIS's access log ----------------------------------------------------------------------------------------------

#: What IIS writes as it begins a file; {stamp} is UTC.
IIS_HEADER = (
    b"#Software: Microsoft Internet Information Services 8.5\r\n#Version: 1.0\r\n#Date: {stamp}\r\n"
    b"#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    b"sc-status sc-substatus sc-win32-status time-taken\r\n"
)
_BY_CES = f"443 {USER} {NODE} CiscoRA+1.0"
_CHALLENGED = f" {WEB_SERVER} GET /certsrv - 443 - {NODE} CiscoRA+1.0 - 401 1 2148074254 0\r\n"
_MOVED = f" {WEB_SERVER} GET /certsrv - {_BY_CES} - 301 0 0 0\r\n"

#: CES's seven requests for a certificate, without the stamp in front; names: reqid, form and post (time-taken in ms).
IIS_ISSUED = _bytes(
    _CHALLENGED,
    _MOVED,
    f" {WEB_SERVER} GET /certsrv/certrqxt.asp - {_BY_CES} - 200 0 0 {{form}}\r\n",
    _CHALLENGED,
    _MOVED,
    f" {WEB_SERVER} POST /certsrv/certfnsh.asp - {_BY_CES} {_CERTSRV}/certrqxt.asp 200 0 0 {{post}}\r\n",
    f" {WEB_SERVER} GET /certsrv/certnew.cer ReqID={{reqid}}&ENC=b64 {_BY_CES} - 200 0 0 0\r\n",
)
#: The login whose answer CES did not wait for (sc-win32-status 64: the client went away).
IIS_FAILED = f" {WEB_SERVER} GET /certsrv - 443 - {NODE} CiscoRA+1.0 - 200 0 64 10012\r\n".encode()

_FIREFOX = "Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64;+rv:64.0)+Gecko/20100101+Firefox/64.0"
_CHROME = "Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64)+AppleWebKit/537.36+(KHTML,+like+Gecko)+Chrome/71.0.3578.98"
_OUTLOOK = "Microsoft+Office/16.0+(Windows+NT+10.0;+Microsoft+Outlook+16.0.4639;+Pro)"
_PORTAL = "https://portal.michamen.com"

#: Requests of others, up to the user name (a ``#`` stands for a number), with agent, referer and the answer.
IIS_OTHERS = tuple(
    (
        f" {WEB_SERVER} {before}".encode(),
        f"{after} {port} ".encode() if number else f" {port} ".encode(),
        f" {agent} {referer} {answer} ".encode(),
        bool(number),
    )
    for request, port, agent, referer, answer in (
        ("GET /portal/default.aspx -", 443, _FIREFOX, "-", "200 0 0"),
        ("GET /portal/item.aspx id=#&view=full", 443, _CHROME, f"{_PORTAL}/portal/default.aspx", "200 0 0"),
        ("GET /portal/item.aspx id=#", 443, _FIREFOX, f"{_PORTAL}/portal/search.aspx", "200 0 0"),
        ("GET /portal/style/site.css v=#", 443, _CHROME, f"{_PORTAL}/portal/default.aspx", "304 0 0"),
        ("GET /portal/script/jquery.min.js -", 443, _FIREFOX, f"{_PORTAL}/portal/default.aspx", "200 0 0"),
        ("GET /portal/images/logo.png -", 443, _CHROME, f"{_PORTAL}/portal/default.aspx", "304 0 0"),
        ("POST /portal/search.aspx -", 443, _CHROME, f"{_PORTAL}/portal/default.aspx", "302 0 0"),
        ("POST /api/orders session=#", 443, _CHROME, f"{_PORTAL}/portal/orders.aspx", "200 0 0"),
        ("GET /api/orders/# -", 443, _FIREFOX, f"{_PORTAL}/portal/orders.aspx", "200 0 0"),
        ("POST /EWS/Exchange.asmx -", 443, _OUTLOOK, "-", "200 0 0"),
        ("POST /autodiscover/autodiscover.xml -", 443, _OUTLOOK, "-", "401 1 2148074254"),
        ("POST /mapi/emsmdb/ MailboxId=#@michamen.com", 443, _OUTLOOK, "-", "200 0 0"),
        ("GET /CertEnroll/lab-ca.michamen.com.crl -", 80, "Microsoft-CryptoAPI/6.3", "-", "200 0 0"),
        ("GET /CertEnroll/lab-ca.michamen.com+.crl -", 80, "Microsoft-CryptoAPI/10.0", "-", "404 0 2"),
        ("GET /iisstart.htm -", 80, "check_http/v2.2+(monitoring-plugins+2.2)", "-", "200 0 0"),
        (
            "HEAD /wsus/content/#.cab -",
            80,
            "Windows-Update-Agent/10.0.10011.16384+Client-Protocol/1.40",
            "-",
            "200 0 0",
        ),
        # One in sixteen, and then one in sixteen of these (:func:`rarely`): the CA's pages, by people and monitors.
        ("GET /favicon.ico -", 443, _FIREFOX, f"https://{HOST}/certsrv/", "404 0 2"),
        ("GET /certsrv/ -", 443, "check_http/v2.2+(monitoring-plugins+2.2)", "-", "401 2 5"),
    )
    for before, number, after in (request.partition("#"),)
)
#: Where the rare ones begin in :data:`IIS_OTHERS`.
RARE = 16
