"""The grammar of the CAPF trace: its kinds of events and the messages that tell them.

The shapes are those that Cisco 214396 prints; names of operations and messages are those of Cisco's CUCM
Troubleshooting Guide. Words that a program may print otherwise in another release (blanks, ``:`` for ``=``, case) are
taken in each of these forms.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from capflog.events import VALUES, Event

if TYPE_CHECKING:
    from collections.abc import Callable

KINDS: dict[str, str] = {
    "capf.param": "a service parameter as CAPF read it at its start",
    "capf.init": "another step of reading the service parameters",
    "ces.start.requested": "CAPF asks for the start of CES (Cisco RA)",
    "est.client.setup": "a step of preparing the EST client; level error where it failed",
    "est.enroll.mode": "CAPF takes up the enrollment of a device; value is the way",
    "est.enroll.call": "CAPF calls EST with the device's CSR",
    "csr.read.begin": "reading the CSR begins",
    "csr.read.end": "reading the CSR is done",
    "est.enroll.result": "what EST answered: number and name of the error, length of the certificate",
    "est.enroll.aborted": "the EST client gave up",
    "est.enroll.return": "what the EST call returned to CAPF",
    "lsc.signed": "the CA signed the certificate",
    "lsc.unsigned": "the certificate was not signed",
    "lsc.written": "the signed certificate goes to a file",
    "file.write.begin": "writing a file begins",
    "file.write.end": "writing a file is done",
    "lsc.converted": "the certificate is converted from PKCS7",
    "capf.state": "an event of CAPF's state machine and the state that it met",
    "lsc.ready": "the certificate is ready for the device",
    "lsc.received": "CAPF has the device's certificate",
    "lsc.read": "CAPF read the device's certificate",
    "lsc.verified": "the certificate is good, the CSR goes",
    "lsc.file": "a certificate file is loaded",
    "capf.message.sent": "a message to the phone",
    "capf.message": "a message from the phone",
    "capf.op.status": "how the operation on a device ended (CAPF_OP_...)",
    "capf.db.update": "the device's operation and certificate status go to the database",
    "capf.db.status": "the certificate status that stands for the operation's end",
    "capf.device": "a setting of a device, from the database",
    "capf.key": "the phone's public key",
    "capf.cache": "a device is looked up among those at work",
    "capf.poll": "CAPF waits for its connections",
    "capf.debug": "any other message",
}

#: A whole number that an Int64 column holds.
_N = r"-?\d{1,18}(?!\d)"
_NUMBERS = frozenset(name for name, (dtype, _) in VALUES.items() if dtype == "Int64")
_FAILED = re.compile(r"fail|error|unable|cannot|can't|could not|couldn't|unsuccessful|\bnot\b|\binvalid\b", re.I)


def _setup(event: Event, text: str) -> None:
    if _FAILED.search(text):
        event.level = "error"


_CA_PARAMETERS = {"host_name": "hostname", "user_name": "username", "template_name": "template"}
_PARAMETERS = {
    "certificate_generation_method": "certificate_method",
    "certificate_issuer_to_endpoint": "certificate_method",
}
_NAME_AND_NUMBER = re.compile(r"([A-Za-z_][A-Za-z0-9_ ]*):(\d{1,9})")


def _number_apart(values: dict[str, str | int]) -> None:
    """Part ``KEY_SIZE_2048:3`` into the name and its number in the database."""
    if (match := _NAME_AND_NUMBER.fullmatch(str(values.get("value", "")))) is not None:
        values["value"], values["code"] = match[1], int(match[2])


def _parameter(event: Event, _text: str) -> None:
    values = event.values
    name = "_".join(re.findall(r"[a-z0-9]+", str(values["parameter"]).lower()))
    name = _PARAMETERS.get(name, name)
    if (after := re.fullmatch(r"online_?ca_(.+)", name)) is not None:
        name = f"ca_{_CA_PARAMETERS.get(after[1], after[1])}"
    else:
        _number_apart(values)
    if "password" in name:
        values.pop("value", None)
    values["parameter"] = name


def _setting(event: Event, _text: str) -> None:
    _number_apart(event.values)


_OP_NAME = re.compile(rf"\b(CAPF_(?:OP|FETCH)_\w+)(?:\)?:(?P<code>{_N}))?", re.ASCII)
_OP_NUMBER = re.compile(rf"\):(?P<code>{_N})$", re.ASCII)


@lru_cache(maxsize=256)
def _operation_end(words: str) -> tuple[str | None, int | None]:
    """Find the name of an operation's end and its number."""
    if (named := _OP_NAME.search(words)) is not None:
        return named[1], None if named["code"] is None else int(named["code"])
    bare = _OP_NUMBER.search(words)
    return None, None if bare is None else int(bare["code"])


def _operation(event: Event, text: str) -> None:
    """Take name and number of the operation's end from the message, else from the function's own name."""
    values = event.values
    name, number = _operation_end(text) if "CAPF_" in text else (None, None)
    of_function, its_number = _operation_end(str(values.get("function", "")))
    if name is None or name == of_function:
        name, number = of_function, its_number if number is None else number
    if name is not None:
        values["error"] = name
    if number is not None:
        values["code"] = number


_WHERE = re.compile(r"\bwhere\b", re.I)
_SET = re.compile(r"tkCertificate(Operation|Status)\s*=\s*'?(\d{1,9})", re.I | re.ASCII)


def _update(event: Event, text: str) -> None:
    asked = _WHERE.split(text, maxsplit=1)[0]
    found = {name.lower(): number for name, number in _SET.findall(asked)}
    if found:
        event.values["value"] = " ".join(f"{n}={found[n]}" for n in ("operation", "status") if n in found)


class Shape:
    """One row of the grammar: a message and the event that it is.

    ``pattern`` is matched from the message's first letter, in any case; its groups are names of
    :data:`capflog.events.VALUES`. Rows whose ``leads`` name the message's first word (small letters) are tried first;
    then, in the table's order, those of the function (``within``: the first word of its name) and those of which the
    message has one of ``holds`` (small letters). ``detail`` keeps the message as the value of that name. ``sample``
    is a line of it without the stamp.
    """

    __slots__ = ("detail", "finish", "holds", "kind", "leads", "names", "pattern", "sample", "within")

    def __init__(
        self,
        kind: str,
        pattern: str,
        sample: str,
        *,
        leads: str = "",
        within: str = "",
        holds: tuple[str, ...] = (),
        detail: bool = False,
        finish: Callable[[Event, str], None] | None = None,
    ) -> None:
        """Compile a row."""
        self.kind = kind
        self.pattern = re.compile(pattern, re.I | re.ASCII)
        self.sample = sample
        self.leads = leads.split()
        self.within = within
        self.holds = holds
        self.detail = detail
        self.finish = finish
        self.names = tuple((name, name in _NUMBERS) for name in self.pattern.groupindex)


SHAPES: tuple[Shape, ...] = (
    # An enrollment
    Shape(
        "est.enroll.mode", r"CA Mode is (?P<value>[\w -]+)", leads="ca",
        sample="debug 2:SEP74A02FC0A675:CA Mode is OnlineCA, Initiating Automatic Certificate Enrollment",
    ),
    Shape(
        "est.enroll.call", r"Calling enrollCertUsingEST\b(?:.*?\bcsr_file ?= ?(?P<url>\S+))?", leads="calling",
        sample="debug 3:CSFjsmith:Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/CSFjsmith.csr",
    ),
    Shape(
        "csr.read.begin", r"Inside (?:X509_REQ \*? ?)?read_csr\b", leads="inside",
        sample="debug 2:SEP74A02FC0A675:Inside X509_REQ *read_csr()",
    ),
    Shape(
        "csr.read.end", r"Completed action in (?:X509_REQ \*? ?)?read_csr\b", leads="completed",
        sample="debug 2:SEP74A02FC0A675:Completed action in X509_REQ *read_csr()",
    ),
    Shape(
        "est.enroll.result",
        rf"Enrollment rv ?[=:]? ?(?P<code>{_N})(?: ?\( ?(?P<error>\w+) ?\))?(?:.*?\blength ?[=:]? ?(?P<bytes>{_N}))?",
        leads="enrollment",
        sample="debug 2:SEP001F6C81118B:Enrollment rv = 35 (EST_ERR_SSL_READ) with pkcs7 length = 0",
    ),
    Shape(
        "est.enroll.aborted", r"est_client_\w*enroll\w*\(\) Fail|.*Could not obtain new certificate", detail=True,
        leads="est_client_enroll_csr est_client_enroll est_client_reenroll", holds=("could not obtain new cert",),
        sample="debug 2:SEP001F6C81118B:est_client_enroll_csr() Failed! Could not obtain new certificate. Aborting.",
    ),
    Shape(
        "est.enroll.return", rf"Return value from enrollCertUsingEST\(?\)? ?[=:]? ?(?P<code>{_N})", leads="return",
        sample="debug 2:SEP001F6C81118B:Return value from enrollCertUsingEST() : 35",
    ),
    Shape(
        "lsc.signed", r"Online Cert Signing (?:is |was )?success", leads="online",
        sample="debug 2:SEP74A02FC0A675:Online Cert Signing successful",
    ),
    Shape(
        "lsc.unsigned", r"Online Cert Signing (?:has |is |was )?(?:fail|unsuccess|not )", leads="online",
        sample="debug 2:SEP001F6C81118B:Online Cert Signing Failed",
    ),
    Shape(
        "lsc.written", r"Signed Cert written to (?P<url>/\S+)?", leads="signed",
        sample="debug 2:SEP74A02FC0A675:Signed Cert written to /tmp/capf/cert/ location...",
    ),
    Shape(
        "file.write.begin", r"Inside write_binary_file\b", leads="inside",
        sample="debug 2:SEP74A02FC0A675:Inside write_binary_file()",
    ),
    Shape(
        "file.write.end", r"Completed action in write_binary_file\b", leads="completed",
        sample="debug 2:SEP74A02FC0A675:Completed action in write_binary_file()",
    ),
    Shape(
        "lsc.converted", r"Converting PKCS7 file to PEM\b", leads="converting",
        sample="debug 2:SEP74A02FC0A675:Converting PKCS7 file to PEM format and PEM to DER",
    ),
    # The certificate's way to the phone
    Shape(
        "capf.state", r"CAPF CORE ?: ?Rcvd Event ?: ?(?P<message>\w+)(?: in State ?: ?(?P<value>\w+))?", leads="capf",
        sample="debug 2:SEP74A02FC0A675:CAPF CORE: Rcvd Event: CAPF_EV_CA_CERT_REP "
        "in State: CAPF_STATE_AWAIT_CA_CERT_RESP",
    ),
    Shape(
        "lsc.ready", r"CA CERT RES certificate ready\b", leads="ca",
        sample="debug 2:SEP74A02FC0A675:CA CERT RES certificate ready .",
    ),
    Shape(
        "lsc.received", r"CAPF got device certificate\b", leads="capf",
        sample="debug 2:SEP74A02FC0A675:CAPF got device certificate",
    ),
    Shape(
        "lsc.read", r"Read certificate for device\b", leads="read",
        sample="debug 2:SEP74A02FC0A675:Read certificate for device",
    ),
    Shape(
        "lsc.verified", r"LSC is verified\b(?:.*? CSR at (?P<url>\S+))?", leads="lsc",
        sample="debug LSC is verified. removing CSR at /tmp/capf/csr/SEP74A02FC0A675.csr",
    ),
    Shape(
        "lsc.file", r"loadFile ?\([^/']*'? ?(?P<url>/[^')]+)|loadFile ?\(", leads="loadfile", detail=True,
        sample="debug loadFile() successfully loaded file: '/tmp/capf/cert/TABX.der'",
    ),
    Shape(
        "capf.message.sent", r"Sending (?:CAPF_MSG_)?(?P<message>[A-Z0-9_]+) (?:msg|message)\b", leads="sending",
        sample="debug 2:SEP74A02FC0A675:Sending STORE_CERT_REQ msg",
    ),
    Shape(
        "capf.message", r"MsgType ?[:=] ?(?:CAPF_MSG_)?(?P<message>\w+)", leads="msgtype",
        sample="debug MsgType : CAPF_MSG_END_SESSION",
    ),
    Shape(
        "capf.key", rf"pubKey length ?[:=] ?(?P<bytes>{_N})|pubKey\b", leads="pubkey",
        sample="debug 2:SEP74A02FC0A675:pubKey length: 270",
    ),
    Shape(
        "capf.key", r"In capf_ui_set_ph_public_key\b", leads="in",
        sample="debug 2:SEP74A02FC0A675:In capf_ui_set_ph_public_key()",
    ),
    Shape("capf.poll", r"add+ed -?\d+ to readset\b", leads="added addded", sample="debug addded 6 to readset"),
    Shape("capf.poll", r"Re?c[ev]*d event$", leads="recd rcvd received", sample="debug Recd event"),
    # The start
    Shape(
        "ces.start.requested", r"Cisco RA Service Start Initiated\b", leads="cisco",
        sample="CServiceParameters::Init() Cisco RA Service Start Initiated. Please check NGINX logs for details",
    ),
    Shape(
        "est.client.setup", rf"(?=.*length ?[:=] ?(?P<bytes>{_N}))?", detail=True, finish=_setup,
        holds=(
            "setting up est", "setupestclient", "cacert read", "cacert file", "read cacert", "ectx", "ca credentials",
            "est context", "est_client_set_", "est_client_init", "est set server",
        ),
        sample="debug cacert read success. cacert length : 1367",
    ),
    Shape(
        "capf.param",
        r"(?P<parameter>Online ?CA (?:host ?name|port|template(?: name)?|type|user ?name|password))"
        r" ?(?:=|:|\bis\b) ?(?P<value>\S.*)?",
        within="CServiceParameters", finish=_parameter,
        sample="CServiceParameters::OnlineCAInit() Online CA hostname is lab-dc.michamen.com",
    ),
    Shape(
        "capf.param",
        r"(?P<parameter>Certificate (?:Generation Method|Issuer to Endpoint|Enrollment Profile Label)"
        r"|Duration of Certificate Validity|Key Size|Maximum Allowable [\w ]+? for Key Generation)"
        r" ?(?:=|:|\bis\b) ?(?P<value>\S.*)?",
        within="CServiceParameters", finish=_parameter,
        sample="CServiceParameters::Init() Certificate Generation Method=OnlineCA:4",
    ),
    Shape(
        "capf.param",
        r"(?!.*(?:fail|error|unable|exception))"
        r"(?P<parameter>[a-z][\w/()-]*(?: [\w/()-]+)*)(?: ?= ?| : )(?P<value>\S.*)?",
        within="CServiceParameters", finish=_parameter,
        sample="CServiceParameters::Init() Phone Port = 3804",
    ),
    Shape(
        "capf.init", r"", within="CServiceParameters", detail=True,
        sample="CServiceParameters::OnlineCAInit() nginx.conf Updated and Credential.txt file is created",
    ),
    # Devices and the database
    Shape(
        "capf.db.update", r"(?>.*?\bsql query\b).*?\b(?:update|insert|delete)\b", holds=("sql query",), finish=_update,
        sample="SetOperationStatus(Success:CAPF_OP_SUCCESS):0 sql query - (UPDATE Device SET tkCertificateOperation=1, "
        "tkcertificatestatus='3' WHERE my_lower(name)=my_lower('SEP74A02FC0A675'))",
    ),
    Shape(
        "capf.db.status", r".*?=> ?DbStatus ?= ?(?P<value>\w+)", holds=("dbstatus",),
        sample="CAPFDevice::MapCapf_OpStatusToDBLTypeCertificateStatus(OPERATION_UPGRADE, Suc "
        "=>DbStatus=CERT_STATUS_UPGRADE_SUCCESS",
    ),
    Shape(
        "capf.op.status", r"", within="SetOperationStatus", detail=True, finish=_operation,
        sample="SetOperationStatus(Success:CAPF_OP_SUCCESS):0 Operation status Value is '0'",
    ),
    Shape(
        "capf.device",
        r"(?:(?P<detail>(?:before|after) DB query) )?(?P<parameter>[a-z][\w ]*?) ?= ?(?P<value>\S.*)?",
        within="Select", finish=_setting,
        sample="Select(SEP74A02FC0A675) KeySize=KEY_SIZE_2048:3",
    ),
    Shape("capf.device", r"", within="Select", detail=True, sample="Select(BOTA) device exists"),
    Shape(
        "capf.cache", r"", within="findAndPost", detail=True,
        sample="findAndPost Device found in the cache map SEP74A02FC0A675",
    ),
    Shape(
        "capf.cache", r"", holds=("cache map",), detail=True, sample="debug Device not found in the cache map TCTJOHN"
    ),
    Shape(
        "capf.op.status", r"", holds=("capf_op_", "capf_fetch_"), detail=True, finish=_operation,
        sample="debug 2:SEP74A02FC0A675:Sending result CAPF_OP_FAIL_INVALID_AUTH_STR:3 to phone",
    ),
    Shape("capf.debug", r"", detail=True, sample="debug 2:SEP74A02FC0A675:some other words"),
)  # fmt: skip
