"""The CAPF trace."""

from __future__ import annotations

import pytest
from capflog.parsers.capf_trace import CapfTrace
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.events import VALUES, Event, StampForm, frame
from capflog.parsing import Line, Parser, parse

from .reading import read, walk_samples

PARSER: Parser = CapfTrace()

START = """\
12:31:03.354 | CServiceParameters::Init() Certificate Generation Method=OnlineCA:4
12:31:03.358 | CServiceParameters::Init() TAM password already exists, no need to create.
12:31:03.358 |-->CServiceParameters::OnlineCAInit()
12:31:03.388 | CServiceParameters::OnlineCAInit() Online CA hostname is {host}
12:31:03.389 | CServiceParameters::OnlineCAInit() Online CA Port : {port}
12:31:03.390 | CServiceParameters::OnlineCAInit() Online CA Template is {template}
12:31:03.546 | CServiceParameters::OnlineCAInit() nginx.conf Updated and Credential.txt file is created
12:31:03.546 | CServiceParameters::OnlineCAInit() Reading CAPF Service Parameters done
12:31:03.546 |<--CServiceParameters::OnlineCAInit()
12:31:03.547 | CServiceParameters::Init() OnlineCA Initialized
12:32:09.172 | CServiceParameters::Init() Cisco RA Service Start Initiated. Please check NGINX logs for further details
12:32:09.231 | debug CA Type is Online CA, setting up EST Connection
12:32:09.231 |<--debug
12:32:09.231 |-->debug
12:32:09.231 | debug Inside setUpESTClient
12:32:09.231 | debug cacert read success. cacert length : {length}
12:32:09.232 | debug EST context ectx initialized
12:32:09.661 | debug CA Credentials retrieved
12:32:09.661 | debug est_client_set_auth() Successful!!
12:32:09.661 | debug EST set server details success!!
"""

START_KINDS = [
    "capf.param",
    "capf.init",
    *["capf.param"] * 3,
    *["capf.init"] * 3,
    "ces.start.requested",
    *["est.client.setup"] * 7,
]

#: One phone from the CSR to the end of its session.
INSTALL = """\
14:05:04.628 |-->debug
14:05:04.628 | debug {n}:{device}:CA Mode is OnlineCA, Initiating Automatic Certificate Enrollment
14:05:04.628 |<--debug
14:05:04.628 | debug {n}:{device}:Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{device}.csr
14:05:04.628 | debug {n}:{device}:Inside X509_REQ *read_csr()
14:05:04.628 | debug {n}:{device}:Completed action in X509_REQ *read_csr()
14:05:05.236 | debug {n}:{device}:Enrollment rv = 0 (EST_ERR_NONE) with pkcs7 length = {length}
14:05:05.236 | debug {n}:{device}:Signed Cert written to /tmp/capf/cert/ location...
14:05:05.236 | debug {n}:{device}:Inside write_binary_file()
14:05:05.236 | debug {n}:{device}:Completed action in write_binary_file()
14:05:05.236 | debug {n}:{device}:Converting PKCS7 file to PEM format and PEM to DER
14:05:05.289 | debug {n}:{device}:Return value from enrollCertUsingEST() : 0
14:05:05.289 | debug {n}:{device}:Online Cert Signing successful
14:05:05.289 |-->findAndPost
14:05:05.289 | findAndPost Device found in the cache map {device}
14:05:05.289 |<--findAndPost
14:05:05.289 | debug addded 6 to readset
14:05:05.289 | debug Recd event
14:05:05.289 | debug {n}:{device}:CA CERT RES certificate ready .
14:05:05.289 | debug {n}:{device}:CAPF CORE: Rcvd Event: CAPF_EV_CA_CERT_REP in State: CAPF_STATE_AWAIT_CA_CERT_RESP
14:05:05.289 | debug {n}:{device}:CAPF got device certificate
14:05:05.289 | debug loadFile('/tmp/capf/cert/{device}.der')
14:05:05.289 | debug loadFile() successfully loaded file: '/tmp/capf/cert/{device}.der'
14:05:05.289 | debug {n}:{device}:Read certificate for device
14:05:05.289 | debug LSC is verified. removing CSR at /tmp/capf/csr/{device}.csr
14:05:05.290 | debug {n}:{device}:Sending STORE_CERT_REQ msg
14:05:05.419 |<--Select({device})
14:05:05.419 |-->SetOperationStatus(Success:CAPF_OP_SUCCESS):0
14:05:05.419 | SetOperationStatus(Success:CAPF_OP_SUCCESS):0 Operation status Value is '0'
14:05:05.419 |-->CAPFDevice::MapCapf_OpStatusToDBLTypeCertificateStatus(OPERATION_UPGRADE, Suc
14:05:05.419 | CAPFDevice::MapCapf_OpStatusToDBLTypeCertificateStatus(OPERATION_UPGRADE, Suc =>DbStatus=CERT_STATUS_UPGRADE_SUCCESS
14:05:05.419 |<--CAPFDevice::MapCapf_OpStatusToDBLTypeCertificateStatus(OPERATION_UPGRADE, Suc
14:05:05.419 | SetOperationStatus(Success:CAPF_OP_SUCCESS):0 Operation status is set to 1
14:05:05.419 | SetOperationStatus(Success:CAPF_OP_SUCCESS):0 Operation status is set to Success:CAPF_OP_SUCCESS
14:05:05.419 | SetOperationStatus(Success:CAPF_OP_SUCCESS):0 sql query - (UPDATE Device SET tkCertificateOperation=1, \
tkcertificatestatus='3' WHERE my_lower(name)=my_lower('{device}'))
14:05:05.503 |<--SetOperationStatus(Success:CAPF_OP_SUCCESS):0
14:05:05.503 | debug {n}:{device}:In capf_ui_set_ph_public_key()
14:05:05.503 | debug {n}:{device}:pubKey: 0\u201a
14:05:05.503 | debug {n}:{device}:pubKey length: 270
14:05:05.503 |-->Select({device})
14:05:05.511 | Select({device}) device exists
14:05:05.511 | Select({device}) BEFORE DB query Authentication Mode=AUTH_BY_STR:1
14:05:05.511 | Select({device}) KeySize=KEY_SIZE_2048:3
14:05:05.511 | Select({device}) ECKeySize=INVALID:0
14:05:05.511 | Select({device}) KeyOrder=KEYORDER_RSA_ONLY:1
14:05:05.511 | Select({device}) Operation=OPERATION_NONE:1
14:05:05.511 | Select({device}) Operation Status =CERT_STATUS_UPGRADE_SUCCESS:3
14:05:05.511 | Select({device}) Authentication Mode=AUTH_BY_NULL_STR:2
14:05:05.511 | Select({device}) Operation Should Finish By=2019:01:20:12:00
14:05:05.971 | debug MsgType : CAPF_MSG_END_SESSION
"""  # noqa: E501  (as logged)

INSTALL_KINDS = [
    "est.enroll.mode",
    "est.enroll.call",
    "csr.read.begin",
    "csr.read.end",
    "est.enroll.result",
    "lsc.written",
    "file.write.begin",
    "file.write.end",
    "lsc.converted",
    "est.enroll.return",
    "lsc.signed",
    "capf.cache",
    "capf.poll",
    "capf.poll",
    "lsc.ready",
    "capf.state",
    "lsc.received",
    "lsc.file",
    "lsc.file",
    "lsc.read",
    "lsc.verified",
    "capf.message.sent",
    "capf.op.status",
    "capf.db.status",
    "capf.op.status",
    "capf.op.status",
    "capf.db.update",
    *["capf.key"] * 3,
    *["capf.device"] * 9,
    "capf.message",
]

FAILED = """\
12:37:54.741 | debug {n}:{device}:CA Mode is OnlineCA, Initiating Automatic Certificate Enrollment
12:37:54.741 | debug {n}:{device}:Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{device}.csr
12:37:54.742 | debug {n}:{device}:Inside X509_REQ *read_csr()
12:37:54.742 | debug {n}:{device}:Completed action in X509_REQ *read_csr()
12:38:04.779 | debug {n}:{device}:Enrollment rv = {code} ({name}) with pkcs7 length = 0
12:38:04.779 | debug {n}:{device}:est_client_enroll_csr() Failed! Could not obtain new certificate. Aborting.
12:38:04.779 |<--debug
12:38:04.779 |-->debug
12:38:04.779 | debug {n}:{device}:Return value from enrollCertUsingEST() : {code}
12:38:04.779 | debug {n}:{device}:Online Cert Signing Failed
12:38:04.779 | debug addded 10 to readset
"""

FAILED_KINDS = [
    "est.enroll.mode",
    "est.enroll.call",
    "csr.read.begin",
    "csr.read.end",
    "est.enroll.result",
    "est.enroll.aborted",
    "est.enroll.return",
    "lsc.unsigned",
    "capf.poll",
]

#: (session, device): phones, soft clients and adapters, with every letter that CUCM allows in a name.
DEVICES = [
    ("2", "SEP74A02FC0A675"),
    ("17", "SEP001F6C81118B"),
    ("1", "CSFjsmith"),
    ("104", "ATA74A02FC0A67501"),
    ("3", "CIPC-lab.7"),
    ("9", "TCTJOHN"),
    ("0", "BOTA"),
    ("2147483647", "TABX_1"),
]


def body(text: str, *before: str) -> Event:
    """Read one body line, behind others."""
    done = read(PARSER, "\n".join([*before, f"14:05:04.628 | {text}"]))
    assert done.unknown == []
    return done.events[-1]


def test_samples_show_every_kind() -> None:
    assert walk_samples(PARSER) == set(PARSER.kinds)


def test_kinds_are_told_in_words_and_values_are_known() -> None:
    done = read(PARSER, START + INSTALL + FAILED)
    assert all(PARSER.kinds.values())
    for event in done.events:
        assert event.kind in PARSER.kinds
        assert set(event.values) <= set(VALUES)


@pytest.mark.parametrize(
    ("host", "port", "template", "length"),
    [("lab-dc.michamen.com", "443", "CiscoRA", 1367), ("10.4.5.6", "8443", "Phones LSC v2", 2901)],
)
def test_start(host: str, port: str, template: str, length: int) -> None:
    done = read(PARSER, START.format(host=host, port=port, template=template, length=length))
    assert done.unknown == []
    assert done.kinds == START_KINDS
    assert done.quiet == 4
    settings_read = {e.values["parameter"]: e.values["value"] for e in done.events if e.kind == "capf.param"}
    assert settings_read == {
        "certificate_method": "OnlineCA",
        "ca_hostname": host,
        "ca_port": port,
        "ca_template": template,
    }
    assert done.events[0].values["code"] == 4
    setup = [e for e in done.events if e.kind == "est.client.setup"]
    assert [e.values.get("bytes") for e in setup] == [None, None, length, None, None, None, None]
    assert {e.level for e in setup} == {None}
    assert {e.device for e in done.events} == {None}
    assert done.events[0].stamp == ((12 * 60 + 31) * 60 + 3) * 1000 + 354


@pytest.mark.parametrize("after_bar", ["| ", "|   ", "|\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize(("session", "device"), DEVICES)
def test_install(session: str, device: str, line_end: str, after_bar: str) -> None:
    text = INSTALL.format(n=session, device=device, length=1963).replace("| ", after_bar).replace("\n", line_end)
    done = read(PARSER, text)
    assert done.unknown == []
    assert done.kinds == INSTALL_KINDS
    assert {e.device for e in done.events} == {device, None}
    with_session = [e for e in done.events if e.session is not None]
    assert {e.session for e in with_session} == {session}
    assert {e.device for e in with_session} == {device}
    unnamed = [e.kind for e in done.events if e.device is None]
    assert unnamed == ["capf.poll"] * 2 + INSTALL_KINDS[22:26] + ["capf.message"]
    assert done.one("est.enroll.call").values["url"] == f"/tmp/capf/csr/{device}.csr"
    assert done.one("lsc.verified").values["url"] == f"/tmp/capf/csr/{device}.csr"
    assert {e.values["url"] for e in done.events if e.kind == "lsc.file"} == {f"/tmp/capf/cert/{device}.der"}


def test_install_bears_its_values() -> None:
    done = read(PARSER, INSTALL.format(n="5", device="CSFjsmith", length=2048))
    assert done.one("est.enroll.mode").values["value"] == "OnlineCA"
    assert done.one("est.enroll.result").values == {
        "function": "debug",
        "code": 0,
        "error": "EST_ERR_NONE",
        "bytes": 2048,
    }
    assert done.one("est.enroll.return").values["code"] == 0
    state = done.one("capf.state").values
    assert (state["message"], state["value"]) == ("CAPF_EV_CA_CERT_REP", "CAPF_STATE_AWAIT_CA_CERT_RESP")
    assert done.one("capf.message.sent").values["message"] == "STORE_CERT_REQ"
    assert done.one("capf.message").values["message"] == "END_SESSION"
    assert done.one("capf.db.update").values["value"] == "operation=1 status=3"
    status = done.one("capf.db.status").values
    assert status["value"] == "CERT_STATUS_UPGRADE_SUCCESS"
    assert status["function"] == "CAPFDevice::MapCapf_OpStatusToDBLTypeCertificateStatus(OPERATION_UPGRADE, Suc"
    ends = [e.values for e in done.events if e.kind == "capf.op.status"]
    assert {(v["error"], v["code"]) for v in ends} == {("CAPF_OP_SUCCESS", 0)}
    assert [v["detail"] for v in ends] == [
        "Operation status Value is '0'",
        "Operation status is set to 1",
        "Operation status is set to Success:CAPF_OP_SUCCESS",
    ]
    assert [e.values.get("bytes") for e in done.events if e.kind == "capf.key"] == [None, None, 270]
    device = [
        tuple(e.values.get(name) for name in ("parameter", "value", "code", "detail"))
        for e in done.events
        if e.kind == "capf.device"
    ]
    assert device == [
        (None, None, None, "device exists"),
        ("Authentication Mode", "AUTH_BY_STR", 1, "BEFORE DB query"),
        ("KeySize", "KEY_SIZE_2048", 3, None),
        ("ECKeySize", "INVALID", 0, None),
        ("KeyOrder", "KEYORDER_RSA_ONLY", 1, None),
        ("Operation", "OPERATION_NONE", 1, None),
        ("Operation Status", "CERT_STATUS_UPGRADE_SUCCESS", 3, None),
        ("Authentication Mode", "AUTH_BY_NULL_STR", 2, None),
        ("Operation Should Finish By", "2019:01:20:12:00", None, None),
    ]


@pytest.mark.parametrize(
    ("code", "name"), [(35, "EST_ERR_SSL_READ"), (22, "EST_ERR_AUTH_FAIL"), (94, "EST_ERR_UNKNOWN")]
)
@pytest.mark.parametrize(("session", "device"), DEVICES[:4])
def test_failed_enrollment(session: str, device: str, code: int, name: str) -> None:
    done = read(PARSER, FAILED.format(n=session, device=device, code=code, name=name))
    assert done.unknown == []
    assert done.kinds == FAILED_KINDS
    assert done.one("est.enroll.result").values == {"function": "debug", "code": code, "error": name, "bytes": 0}
    assert done.one("est.enroll.return").values["code"] == code
    assert {(e.device, e.session) for e in done.events[:-1]} == {(device, session)}
    called, answered = done.one("est.enroll.call"), done.one("est.enroll.result")
    assert called.stamp is not None
    assert answered.stamp is not None
    assert answered.stamp - called.stamp == 10038


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Enrollment rv = 35 (EST_ERR_SSL_READ)", {"code": 35, "error": "EST_ERR_SSL_READ"}),
        ("Enrollment rv = 35", {"code": 35}),
        ("enrollment RV=13(EST_ERR_X) with pkcs7 length=0", {"code": 13, "error": "EST_ERR_X", "bytes": 0}),
        ("Enrollment  rv  =  26  ( EST_ERR_X )  with length  :  7", {"code": 26, "error": "EST_ERR_X", "bytes": 7}),
        ("ENROLLMENT RV = 0 with pkcs7 length = 1811", {"code": 0, "bytes": 1811}),
        ("Enrollment rv = 35 (EST_ERR_SSL_RE", {"code": 35}),
        ("Enrollment rv = -1 (X) with pkcs7 length = -1", {"code": -1, "error": "X", "bytes": -1}),
    ],
)
def test_result_in_other_spellings(text: str, values: dict[str, str | int]) -> None:
    event = body(f"debug 4:SEPAABBCCDDEEFF:{text}")
    assert event.kind == "est.enroll.result"
    assert event.values == {"function": "debug", **values}


@pytest.mark.parametrize("text", ["Enrollment rv = ", "Enrollment rv = 99999999999999999999999", "Enrollment started"])
def test_no_result_without_a_number(text: str) -> None:
    event = body(f"debug 4:SEPAABBCCDDEEFF:{text}")
    assert event.kind == "capf.debug"
    assert event.device == "SEPAABBCCDDEEFF"


@pytest.mark.parametrize(
    "text",
    [
        "cacert read failed",
        "Failed to initialize EST context",
        "CA Credentials could not be retrieved",
        "est_client_set_auth() Failed!!",
        "EST set server details failed!! rv = 44",
        "Unable to read cacert",
    ],
)
def test_failure_of_the_est_client_setup_is_an_error(text: str) -> None:
    event = body(f"debug {text}")
    assert (event.kind, event.level) == ("est.client.setup", "error")
    assert event.values["detail"] == text


@pytest.mark.parametrize(
    ("text", "parameter", "value", "code"),
    [
        ("Certificate Generation Method=CAPF:1", "certificate_method", "CAPF", 1),
        ("Certificate Issuer to Endpoint is Online CA", "certificate_method", "Online CA", None),
        ("Online CA Type is Microsoft CA", "ca_type", "Microsoft CA", None),
        ("Online CA Username : ciscora", "ca_username", "ciscora", None),
        ("Online CA User Name is CORP\\svc-ra", "ca_username", "CORP\\svc-ra", None),
        ("OnlineCA Hostname=ca:8443", "ca_hostname", "ca:8443", None),
        ("Online CA hostname is", "ca_hostname", None, None),
        ("Online CA Password is secret", "ca_password", None, None),
        ("Duration Of Certificate Validity = 1825", "duration_of_certificate_validity", "1825", None),
        ("Phone Port : 3804", "phone_port", "3804", None),
    ],
)
def test_parameter(text: str, parameter: str, value: str | None, code: int | None) -> None:
    event = body(f"CServiceParameters::OnlineCAInit() {text}")
    assert event.kind == "capf.param"
    assert event.values["parameter"] == parameter
    assert event.values.get("value") == value
    assert event.values.get("code") == code


@pytest.mark.parametrize(
    "text",
    ["Error : could not open nginx.conf", "Credential.txt is created", "Online CA is reachable", "Failed to read a=b"],
)
def test_other_words_of_the_start_are_no_parameter(text: str) -> None:
    event = body(f"CServiceParameters::Init() {text}")
    assert (event.kind, event.values["detail"]) == ("capf.init", text)


@pytest.mark.parametrize(
    ("text", "error", "code"),
    [
        (
            "SetOperationStatus(Failed:CAPF_OP_FAIL_INVALID_AUTH_STR):3 Operation status Value is '3'",
            "CAPF_OP_FAIL_INVALID_AUTH_STR",
            3,
        ),
        ("SetOperationStatus(Not ok:CAPF_OP_FAIL_INVALID_CRENDENTIALS):6 x", "CAPF_OP_FAIL_INVALID_CRENDENTIALS", 6),
        ("SetOperationStatus(Late:CAPF_OP_FAIL_LATE_REQUEST):11 x", "CAPF_OP_FAIL_LATE_REQUEST", 11),
        ("SetOperationStatus(No certificate:CAPF_FETCH_SUCCESS_BUT_NO_CERT):1 x", "CAPF_FETCH_SUCCESS_BUT_NO_CERT", 1),
        ("SetOperationStatus(Failed):2 x", None, 2),
        ("SetOperationStatus(A:CAPF_OP_SUCCESS):0 set to B:CAPF_OP_FAIL", "CAPF_OP_FAIL", None),
        ("debug 2:BOTA:operation ends with CAPF_OP_FAIL_PHONE_COMM_ERROR", "CAPF_OP_FAIL_PHONE_COMM_ERROR", None),
        ("debug result CAPF_OP_FAIL_OP_TIMED_OUT:8 sent", "CAPF_OP_FAIL_OP_TIMED_OUT", 8),
    ],
)
def test_end_of_an_operation(text: str, error: str | None, code: int | None) -> None:
    event = body(text)
    assert event.kind == "capf.op.status"
    assert (event.values.get("error"), event.values.get("code")) == (error, code)


def test_database_update_takes_what_is_set_and_no_condition() -> None:
    event = body(
        "SetOperationStatus(Failed:CAPF_OP_FAIL):2 sql query - (UPDATE Device SET tkcertificatestatus = '4' "
        "WHERE tkCertificateOperation=2 AND my_lower(name)=my_lower('TCTJOHN'))"
    )
    assert (event.kind, event.device, event.values["value"]) == ("capf.db.update", "TCTJOHN", "status=4")
    asked = body("debug sql query - (SELECT tkcertificatestatus FROM Device WHERE my_lower(name)=my_lower('BOTA'))")
    assert (asked.kind, asked.device) == ("capf.debug", "BOTA")


def test_update_of_several_devices_is_nobody_s() -> None:
    event = body("debug sql query - (UPDATE Device SET a=1 WHERE n IN (my_lower('SEP01'), my_lower('SEP02')))")
    assert event.device is None


@pytest.mark.parametrize(
    ("text", "session", "device"),
    [
        ("debug 2:SEP74A02FC0A675:words", "2", "SEP74A02FC0A675"),
        ("debug   12:CIPC-lab.7:   words", "12", "CIPC-lab.7"),
        ("2:SEP74A02FC0A675:words", "2", "SEP74A02FC0A675"),
        ("debug 2::words", "2", None),
        ("debug 12:31:03:words", None, None),
        ("debug words 2:SEP74A02FC0A675:more", None, None),
        ("Select(TABX) words", None, "TABX"),
        ("Select(4711) words", None, None),
        ("debug cannot open /tmp/capf/csr/SEP1.2.csr", None, "SEP1.2"),
        ("debug Device not found in the cache map TCTJOHN.", None, "TCTJOHN"),
        ("debug the cache map is empty", None, None),
    ],
)
def test_whose_message_it_is(text: str, session: str | None, device: str | None) -> None:
    event = body(text)
    assert (event.session, event.device) == (session, device)


def test_prefix_is_stronger_than_a_path() -> None:
    assert body("debug 2:TABX:removing /tmp/capf/csr/BOTA.csr").device == "TABX"


def test_function_with_blanks_is_known_once_entered() -> None:
    entered = "14:05:04.100 |-->X509_REQ *read_csr(BIO *in, int  x"
    event = body("X509_REQ *read_csr(BIO *in, int x cannot read", entered)
    assert (event.values["function"], event.values["detail"]) == ("X509_REQ *read_csr(BIO *in, int x", "cannot read")
    longer = "14:05:04.100 |-->X509_REQ *read_csr(BIO *in, int x cannot"
    assert body("X509_REQ *read_csr(BIO *in, int x cannot read", entered, longer).values["detail"] == "read"
    assert body("X509_REQ *read_csr(BIO *in, int x cannotread", entered, longer).values["detail"] == "cannotread"
    assert body("X509_REQ *read_csr(BIO *in) cannot read").values["function"] == "X509_REQ"


def test_cut_function_that_was_not_entered_still_bears_its_fact() -> None:
    event = body(
        "CAPFDevice::MapCapf_OpStatusToDBLTypeCertificateStatus(OPERATION_INSTALL, Inv =>DbStatus=CERT_STATUS_X"
    )
    assert (event.kind, event.values["value"]) == ("capf.db.status", "CERT_STATUS_X")


def test_functions_remembered_are_bounded() -> None:
    many = [f"14:05:04.100 |-->f{n} (cut" for n in range(1000)]
    many += [f"14:05:04.100 |-->g (cut{n}" for n in range(1000)]
    reader = PARSER.reader()
    read(PARSER, "\n".join(many), reader)
    assert read(PARSER, "14:05:04.628 | f0 (cut words", reader).events[0].values["function"] == "f0"
    assert read(PARSER, "14:05:04.628 | g (cut0 words", reader).events[0].values["function"] == "g"
    assert read(PARSER, "14:05:04.628 | f999 (cut words", reader).events[0].values["function"] == "f999 (cut"
    assert read(PARSER, "14:05:04.628 | g (cut999 words", reader).events[0].values["function"] == "g (cut999"


@pytest.mark.parametrize(
    ("stamp", "ms"),
    [
        ("00:00:00.000", 0),
        ("23:59:59.999", 86_399_999),
        ("14:05:04.6", 50_704_600),
        ("14:05:04.62", 50_704_620),
        ("14:05:04.628491", 50_704_628),
        ("2019/01/16 14:05:04.628", 50_704_628),
        ("2019-01-16 14:05:04.628", 50_704_628),
        ("01/16/2019 14:05:04.628", 50_704_628),
    ],
)
@pytest.mark.parametrize("bar", [" | ", "|", "| ", " |   ", "\t|\t"])
def test_stamp(stamp: str, ms: int, bar: str) -> None:
    done = read(PARSER, f"{stamp}{bar}debug 2:BOTA:Online Cert Signing Failed")
    assert [(e.kind, e.stamp, e.device) for e in done.events] == [("lsc.unsigned", ms, "BOTA")]
    assert PARSER.stamp is StampForm.TIME_OF_DAY


@pytest.mark.parametrize(
    "line",
    [
        "24:00:00.000 | debug words",
        "14:60:04.628 | debug words",
        "14:05:60.628 | debug words",
        "4:05:04.628 | debug words",
        ":04.628 | debug 2:SEP74A02FC0A675:Online Cert Signing Failed",
        "14:05:04.6284917 | debug words",
        "14:05:04 | debug words",
        "14:05:04.628 debug words",
        "14:05:04.6",
        "14:05:04.628 |<-",
        "debug 2:SEP74A02FC0A675:Online Cert Signing Failed",
        "[\u2026]",
        "\u0661\u0664:05:04.628 | debug words",
        "2019/03/05 12:31:21 [info] 31067#0: words",
        "***EST [INFO][est_log_version:216]--> libest 2.2.0 (API level 4)",
    ],
)
def test_what_is_no_line_of_the_trace_is_counted(line: str) -> None:
    done = read(PARSER, line)
    assert (done.unknown, done.events) == ([line], [])


def test_blank_lines_and_function_lines_bear_no_fact() -> None:
    done = read(
        PARSER, "\n \n\t\r\n14:05:04.628 |-->debug\n14:05:04.628 |<--f(a b)\n14:05:04.628 |\n14:05:04.628 |-->\n"
    )
    assert (done.quiet, done.events, done.unknown) == (7, [], [])


def test_every_other_message_is_kept() -> None:
    event = body("debug 3:BOTA:words of  a release to come", "14:05:04.000 |-->debug")
    assert (event.kind, event.device, event.session) == ("capf.debug", "BOTA", "3")
    assert event.values == {"function": "debug", "detail": "words of a release to come"}
    assert body("debug").values == {"function": "debug"}
    assert body("CPhone::Answer() words").values == {"function": "CPhone::Answer()", "detail": "words"}


KEY = b"14:05:05.503 | debug 2:BOTA:pubKey: 0\x82\x01\n"


@pytest.mark.parametrize(
    "raw", [b"\x02\x03\x01\x00\x01", b"\xff\xfe\xd0z\xe9", b"a\x81b", "\u00e4\u00f6\u00fca".encode()]
)
def test_bytes_of_a_key_belong_to_its_record(raw: bytes) -> None:
    done = read(PARSER, KEY + raw + b"\n" + raw + b"\n14:05:05.503 |<--debug\n")
    assert [(e.kind, e.span) for e in done.events] == [("capf.key", 3)]
    assert done.unknown == []


@pytest.mark.parametrize("text", ["[\u2026]", "words", "Gr\u00fc\u00dfe"])
def test_text_after_a_key_does_not(text: str) -> None:
    done = read(PARSER, KEY + text.encode() + b"\n")
    assert [(e.kind, e.span) for e in done.events] == [("capf.key", 1)]
    assert done.unknown == [text]


@pytest.mark.parametrize(
    "before", ["", "14:05:05.503 | debug words\n", KEY.decode("cp1252", "replace") + "14:05:05.503 |<--debug\n"]
)
def test_bytes_belong_to_nothing_but_a_key(before: str) -> None:
    done = read(PARSER, before + "\x01\x02\n")
    assert done.unknown == ["\x01\x02"]


def test_table_takes_every_value() -> None:
    done = read(PARSER, START + INSTALL + FAILED)
    table = frame(("capf", "capf00000001.txt", event) for event in done.events)
    assert list(table["kind"]) == done.kinds


def test_marks_of_what_was_left_out_are_all_that_is_unknown() -> None:
    lines = (START + INSTALL).splitlines()
    lines.insert(14, "[\u2026]")
    lines.insert(-1, "[\u2026]")
    assert read(PARSER, "\n".join(lines)).unknown == ["[\u2026]", "[\u2026]"]


@pytest.mark.parametrize(
    "text",
    [
        START,
        FAILED.format(n=7, device="CSFjsmith", code=43, name="EST_ERR_IP_CONNECT"),
        "14:05:04.628 |-->debug\n",
        "14:05:05.289 | debug addded 6 to readset\n" * 3,
        "04.100 | debug cut\n2019/01/16 14:05:04.628 |   debug 2:TABX:some words\r\n",
    ],
)
@pytest.mark.parametrize("path", ["capf00000001.txt", "x/unnamed.log"])
def test_recognised_by_content(text: str, path: str) -> None:
    parsed = parse([text.encode()], path)
    assert parsed.parser is not None
    assert parsed.parser.source == "capf"
    assert parsed.lines == sum(e.span for e in parsed.events) + parsed.quiet + parsed.unparsed


@pytest.mark.parametrize(
    "text",
    [
        "14:05:04.628 |-->RISDCAccess::Open()\n14:05:04.629 |   RISDCAccess::Open() port 2555\n",
        "00000001.000 |14:05:04.628 |AppInfo  |StationInit: words\n",
        "14:05:04.628 debug words\n",
        "2019-03-05 17:31:15 14.48.31.152 GET /certsrv - 443 - 14.48.31.128 CiscoRA+1.0 - 401 1 2148074254 0\n",
    ],
)
def test_other_logs_are_not_taken(text: str) -> None:
    parsed = parse([text.encode()], "cm/trace/capf/sdi/capf00000001.txt")
    assert parsed.parser is None or parsed.parser.source != "capf"


#: Pieces that lead deep into the grammar, between anything.
PIECES = [
    *("14:05:04.628 |", " debug ", "2:SEP74A02FC0A675:", "Enrollment rv = ", "(", ")", "pubKey: ", "\n", "\x00", "-->"),
    *(
        "SetOperationStatus(",
        "CAPF_OP_",
        "Select(",
        "=",
        " is ",
        "CServiceParameters::Init() ",
        "sql query ",
        "<--",
        ":",
    ),
    *("/tmp/capf/csr/", ".csr", "cache map ", "my_lower('", "loadFile('", "9" * 5000, "\u0663", "'", " ", "UPDATE "),
]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)), max_size=6))
def test_reader_takes_any_line(lines: list[str]) -> None:
    reader = PARSER.reader()
    before = False
    for line in lines:
        said = reader.read(line)
        assert isinstance(said, (Event, Line))
        assert said is not Line.PART or before
        if isinstance(said, Event):
            before = True
            assert said.kind in PARSER.kinds
            assert set(said.values) <= set(VALUES)
            for name, value in said.values.items():
                assert isinstance(value, int if VALUES[name][0] == "Int64" else str)
                assert not isinstance(value, int) or abs(value) < 2**63


@pytest.mark.parametrize(
    "line",
    [
        "14:05:04.628 | " + "(" * 60_000,
        "14:05:04.628 | f(" + "a (b) " * 20_000,
        "14:05:04.628 | debug " + "sql query " * 10_000,
        "14:05:04.628 | CServiceParameters::Init() " + "a " * 30_000,
        "14:05:04.628 | Select(X) " + "a " * 30_000,
        "14:05:04.628 | debug /tmp/capf/csr/" + "a." * 30_000,
        "14:05:04.628 | debug loadFile(" + "'" * 60_000,
        "14:05:04.628 | debug ectx " + "length " * 10_000,
    ],
)
def test_a_long_hostile_line_is_an_event_like_any(line: str) -> None:
    done = read(PARSER, line)
    assert len(done.events) == 1
