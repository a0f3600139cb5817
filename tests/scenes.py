"""Small logs of a lab like that of Cisco 214396, for one test each; every line knows whose enrollment it is of.

Times are the node's local ones without a zone, as ``at()`` makes them; each log writes its own stamp of them. What a
scene gives is a list of lines; ``held`` lays lists together in the order of time and makes a member of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from capflog.analysis import Analysis, analyze_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from capflog.model import Clock, Enrollment
    from capflog.rulebook import Rulebook

NODE = "14.48.31.125"
DAY = datetime(2019, 1, 16)  # noqa: DTZ001  (the node's clock names no zone)
EASTERN = timedelta(hours=-5)

ISSUED = "0 (EST_ERR_NONE)"
NOT_ANSWERED = "35 (EST_ERR_SSL_READ)"
NOT_ALLOWED = "22 (EST_ERR_AUTH_FAIL)"


def at(clock: str, day: int = 0) -> datetime:
    """Place a time of day (``14:05:04.628``) on the first day of the scene, or so many days later."""
    return datetime.fromisoformat(f"{DAY:%Y-%m-%d} {clock}") + timedelta(days=day)


def utc(local: datetime, zone: timedelta = EASTERN) -> datetime:
    """Turn the node's local time into UTC, as a report tells it."""
    return (local - zone).replace(tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@dataclass(frozen=True, slots=True)
class Line:
    """A physical line, when it was written, and whose enrollment it is of (None: nobody's)."""

    at: datetime
    text: str
    of: str | None = None


Lines = list[Line]


@dataclass(frozen=True, slots=True)
class Held:
    """A member of a bundle whose text a test holds; ``owners``: whose each physical line is."""

    name: str
    content: bytes
    modified: datetime | None = None
    modified_is_local: bool = False
    owners: Sequence[str | None] = field(default=())

    def chunks(self) -> Iterator[bytes]:
        yield self.content


def held(name: str, *scenes: Iterable[Line], modified: datetime | None = None, modified_is_local: bool = False) -> Held:
    """Lay scenes together in the order of time, those of one moment in the order given."""
    lines = sorted((line for scene in scenes for line in scene), key=lambda line: line.at)
    text = "".join(f"{line.text}\n" for line in lines)
    return Held(name, text.encode(), modified, modified_is_local, tuple(line.of for line in lines))


def raw(name: str, text: str, modified: datetime | None = None) -> Held:
    """Make a member of a text as it stands."""
    return Held(name, text.encode(), modified)


def analyzed(*members: Held, rulebook: Rulebook | None = None) -> Analysis:
    return analyze_members("bundle", members, rulebook)


def enrollments(*members: Held) -> list[Enrollment]:
    return analyzed(*members).report.enrollments


def clock_of(analysis: Analysis, source: str) -> Clock:
    (found,) = (clock for clock in analysis.report.clocks if clock.source == source)
    return found


def tags(analysis: Analysis, *members: Held) -> list[set[str | None]]:
    """Tell for each enrollment whose lines of these members were put to it."""
    owners = {member.name: member.owners for member in members}
    return [
        {owners[record.member][record.line - 1] for record in enrollment.records if record.member in owners}
        for enrollment in analysis.report.enrollments
    ]


def lacking(analysis: Analysis, *members: Held) -> list[tuple[str, int]]:
    """List the records of these members that are somebody's and were put to nobody."""
    put = {(record.member, record.line) for e in analysis.report.enrollments for record in e.records}
    known = set(zip(analysis.table["member"].astype(str), analysis.table["line"], strict=True))
    return [
        (member.name, number)
        for member in members
        for number, owner in enumerate(member.owners, start=1)
        if owner is not None and (member.name, number) in known and (member.name, number) not in put
    ]


# ---- CAPF ----------------------------------------------------------------------------------------------------------


def said(when: datetime, *texts: str, of: str | None = None) -> Lines:
    """Write messages of one moment into CAPF's trace."""
    return [Line(when, f"{when:%H:%M:%S}.{when.microsecond // 1000:03d} |   {text}", of) for text in texts]


def begins_session(device: str, when: datetime, session: int = 2) -> Lines:
    """A phone comes, CAPF looks it up and has it make its key; its first three lines name no device."""
    return [
        *said(
            when,
            f"debug addded {4 + session} to readset",
            "debug Recd event",
            "debug MsgType : CAPF_MSG_AUTH_RES",
        ),
        *said(
            when + seconds(0.009),
            f"Select({device}) device exists",
            f"Select({device}) Operation=OPERATION_UPGRADE:2",
            f"Select({device}) Operation Should Finish By=2019:01:20:12:00",
        ),
        *said(when + seconds(0.1), f"debug {session}:{device}:Sending KEY_GEN_REQ msg"),
    ]


def tries(
    device: str,
    when: datetime,
    rv: str = ISSUED,
    *,
    taken: float = 0.608,
    session: int = 2,
    mode: bool = True,
    ends: bool = True,
    of: str | None = None,
) -> Lines:
    """CAPF calls EST for a device and is told ``rv`` after ``taken`` seconds; its lines are of the tag, or device."""
    of = of or device
    head = f"debug {session}:{device}:"
    answered = when + seconds(taken)
    issued = rv == ISSUED
    lines = said(when, f"{head}CA Mode is OnlineCA, Initiating Automatic Certificate Enrollment", of=of) if mode else []
    lines += said(
        when,
        f"{head}Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{device}.csr",
        f"{head}Inside X509_REQ *read_csr()",
        f"{head}Completed action in X509_REQ *read_csr()",
        of=of,
    )
    lines += said(answered, f"{head}Enrollment rv = {rv} with pkcs7 length = {1963 if issued else 0}", of=of)
    if not issued:
        gone = f"{head}est_client_enroll_csr() Failed! Could not obtain new certificate. Aborting."
        lines += said(answered, gone, of=of)
    lines += said(
        answered,
        f"{head}Return value from enrollCertUsingEST() : {rv.partition(' ')[0]}",
        f"{head}Online Cert Signing {'successful' if issued else 'Failed'}",
        of=of,
    )
    if issued:
        lines += said(answered, f"{head}Sending STORE_CERT_REQ msg", of=of)
        done = answered + seconds(0.13)
        lines += said(done, "SetOperationStatus(Success:CAPF_OP_SUCCESS):0 Operation status is set to 1", of=of)
        answered = done + seconds(0.5)
    if ends:
        lines += said(answered + seconds(0.006), "debug MsgType : CAPF_MSG_END_SESSION", of=of)
    return lines


def comes_by(device: str, when: datetime, session: int = 5) -> Lines:
    """A phone that nothing is to be done for."""
    return [
        *said(when, f"debug addded {4 + session} to readset", "debug Recd event", "debug MsgType : CAPF_MSG_AUTH_RES"),
        *said(when + seconds(0.009), f"Select({device}) device exists", f"Select({device}) Operation=OPERATION_NONE:1"),
        *said(when + seconds(0.09), f"debug {session}:{device}:Sending END_SESSION msg"),
        *said(when + seconds(0.13), "debug MsgType : CAPF_MSG_END_SESSION"),
    ]


def capf_starts(when: datetime) -> Lines:
    """CAPF reads its parameters and starts CES, which takes it a minute; CES's first line is 17.9 seconds later."""
    init = "CServiceParameters::Init()"
    return [
        *said(when, f"{init} Certificate Generation Method=OnlineCA:4"),
        *said(when + seconds(0.03), "CServiceParameters::OnlineCAInit() Online CA hostname is lab-dc.michamen.com"),
        *said(when + seconds(65.8), f"{init} Cisco RA Service Start Initiated. Please check NGINX logs for details"),
    ]


# ---- CES -----------------------------------------------------------------------------------------------------------


def noted(when: datetime, record: str, of: str | None = None) -> Line:
    """Write a record of NGINX's; ``record`` begins with its level in brackets."""
    return Line(when, f"{when:%Y/%m/%d %H:%M:%S} {record}", of)


def est(when: datetime, text: str, of: str | None = None) -> Line:
    return Line(when, f"***EST {text}", of)


def zone_of(zone: timedelta) -> str:
    minutes = abs(zone) // timedelta(minutes=1)
    return f"{'-' if zone < timedelta(0) else '+'}{minutes // 60:02d}{minutes % 60:02d}"


def accessed(when: datetime, status: int, of: str | None, received: datetime, zone: timedelta, client: str) -> Lines:
    """libEST's three lines of an answered request."""
    stamp = f"{received:%d/%b/%Y:%H:%M:%S} {zone_of(zone)}"
    return [
        est(
            when,
            f'[INFO][log_access:1298]--> {client} [{stamp}] "POST /.well-known/est/simpleenroll HTTP/1.1" {status} 0',
            of,
        ),
        est(when, "[INFO][log_header:1276]-->  -", of),
        est(when, '[INFO][log_header:1278]-->  "Cisco EST client 1.0"', of),
    ]


def connects(when: datetime, of: str | None, client: str = NODE) -> Lines:
    return [
        est(when, f"[INFO][est_server_handle_request:1651]--> Peer IP address: {client}", of),
        est(when, "[INFO][est_server_handle_request:1652]--> Peer port      : 38168", of),
        est(when, "[INFO][parse_http_message:1149]--> request uri=/.well-known/est/simpleenroll", of),
        est(when, "[INFO][est_enroll_auth:356]--> TLS: no peer certificate", of),
    ]


def challenged(when: datetime, of: str | None, zone: timedelta = EASTERN, client: str = NODE) -> Lines:
    """The first, anonymous connection of an enrollment, which CES answers with 401."""
    missing = "HTTP auth headers missing, sending HTTP auth request to client."
    return [
        *connects(when, of, client),
        est(when, f"[INFO][est_enroll_auth:402]--> {missing}", of),
        *accessed(when + seconds(0.003), 401, of, when, zone, client),
        est(when + seconds(0.005), "[INFO][est_server_handle_request:1712]--> Two-phase SSL_shutdown initiated", of),
    ]


#: What CES does for a certificate at the CA: share of its time, function and page.
CURLS = (
    (0.15, "login_to_certsrv_ca", ""),
    (0.50, "navigate_to_certsrv_page", "/certrqxt.asp"),
    (0.60, "login_to_certsrv_ca", ""),
    (0.75, "navigate_to_certsrv_page", "/certfnsh.asp"),
    (0.90, "navigate_to_certsrv_page", "/certnew.cer?ReqID=10&ENC=b64"),
)

#: So many of them are behind CES when it has the form.
FORM = 2


def lasts(taken: float, curls: int) -> float:
    """Tell how long CES is at a request: it answers as soon as a call of the CA leaves nothing more to do."""
    if not curls:
        return taken
    done = taken * CURLS[curls - 1][0]
    return done + 0.003 if curls < len(CURLS) else min(taken, done + 0.008)


def serves(
    when: datetime,
    of: str | None,
    *,
    taken: float = 0.4,
    status: int = 200,
    rc: str | None = None,
    connection: int = 2,
    worker: int = 31071,
    zone: timedelta = EASTERN,
    client: str = NODE,
    curls: int = 5,
) -> Lines:
    """The second connection of an enrollment: CES works ``taken`` seconds at the CA and answers."""
    lines = connects(when, of, client)
    base = "https://lab-dc.michamen.com:443/certsrv"
    context = f"while SSL EST handshaking, client: {client}, server: 0.0.0.0:8084"
    who = f"{worker}#0: *{connection}"
    trusts = f"[warn] {who} ossl_init_cert_store: Adding cert to store (/DC=com/DC=michamen/CN=LAB-DC-RTP) {context}"
    if curls:
        lines.append(noted(when + seconds(0.001), trusts, of))
    for share, function, page in CURLS[:curls]:
        done = f"Secure connection to MS CertServ completed successfully using the following URL {base}{page}"
        told = when + seconds(taken * share)
        lines.append(noted(told, f"[info] {who} {function}: {done} {context}", of))
        if page == "/certrqxt.asp" and curls > FORM:
            # Whether the client may ask for it is clear; now libEST looks at what it asks for.
            told += seconds(0.001)
            lines.append(est(told, "[INFO][est_handle_simple_enroll:1136]--> id-kp-cmcRA present: 0", of))
            lines.append(noted(told, trusts, of))
    end = when + seconds(lasts(taken, curls))
    if rc is not None:
        lines.append(est(end, f"[WARNING][est_http_request:1435]--> Enrollment failed with rc={rc}", of))
        lines.append(est(end, f"[ERROR][est_mg_handler:1234]--> EST error response code: {rc}", of))
    lines += accessed(end, status, of, when, zone, client)
    return [
        *lines,
        est(end + seconds(0.002), "[WARNING][est_server_handle_request:1716]--> SSL_shutdown failed", of),
    ]


def exchange(when: datetime, of: str | None, *, zone: timedelta = EASTERN, client: str = NODE, **more: object) -> Lines:
    """Both connections of an enrollment: the challenge 30 ms after CAPF's call, the request 40 ms later."""
    first = challenged(when + seconds(0.03), of, zone, client)
    return first + serves(when + seconds(0.07), of, zone=zone, client=client, **more)  # type: ignore[arg-type]


UNTRUSTED = (
    "Curl call for MS CA login failed with return code 60 "
    "(SSL certificate problem: unable to get local issuer certificate)"
)
TOO_LATE = (
    "Curl call for MS CA login failed with return code 28 "
    "(Operation timed out after 10000 milliseconds with 0 bytes received)"
)
RESOLVE = (
    "Curl call for MS CA login failed with return code 6 "
    "(Could not resolve: lab-dcc.michamen.com (Domain name not found))"
)


def ces_starts(when: datetime, pid: int = 31067, *, fails: bool = False, error: str = UNTRUSTED) -> tuple[Lines, Lines]:
    """CES starts: its lines in the CiscoRA log and in error.log; ``fails``: its login to the CA, with this error."""
    ciscora: Lines = []
    nginx: Lines = []

    def both(level: str, text: str) -> None:
        ciscora.append(Line(when, f"nginx: [{level}] {text}"))
        nginx.append(noted(when, f"[{level}] {pid}#0: {text}"))

    both("warn", "CA Chain requested but this value has not yet been set")
    both("warn", "CA Cert response requested but this value has not yet been set")
    both("warn", "ossl_init_cert_store: Adding cert to store (/O=Cisco/CN=ACT2 SUDI CA)")
    if not fails:
        done = "Secure connection to MS CertServ completed successfully using the following URL"
        base = "https://lab-dc.michamen.com:443/certsrv"
        chain = f"{base}/certnew.p7b?ReqID=CACert&Renewal=0&Enc=bin"
        nginx += [
            noted(when, f"[info] {pid}#0: login_to_certsrv_ca: {done} {base}"),
            noted(when, f"[info] {pid}#0: retrieve_cacerts: {done} {chain}"),
            noted(
                when,
                f"[info] {pid}#0: ra_certsrv_ca_plugin_postconf: CA Cert chain retrieved from CA, "
                "will be passed to EST",
            ),
        ]
        ciscora.append(Line(when, "***EST [INFO][est_log_version:216]--> libest 2.2.0 (API level 4)"))
    else:
        both("warn", f"login_to_certsrv_ca: {error}")
        both("warn", "login_to_certsrv_ca: URL used: https://lab-dc.michamen.com:443/certsrv")
        both("error", "retrieve_cacerts: Unable to execute login to certsrv with curl")
        both("warn", "ra_certsrv_ca_plugin_postconf: Unable to retrieve CA Cert chain from CA")
    both("warn", "pop_enabled off in nginx.conf. Disabling EST Proof of Possession")
    ciscora.append(Line(when, f"EnrollmentService.sh : nginx server PID value = {pid + 3}"))
    nginx.append(noted(when, f"[notice] {pid + 3}#0: start worker processes"))
    return ciscora, nginx


# ---- the CA --------------------------------------------------------------------------------------------------------

FIELDS = (
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    "sc-status sc-substatus sc-win32-status time-taken"
)
CES_AGENT = "CiscoRA+1.0"
BROWSER = "Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64;+rv:64.0)+Gecko/20100101+Firefox/64.0"

#: CES's requests for one certificate: share of its time, method, page, query, user, status and its two companions.
REQUESTS = (
    (0.10, "GET", "", "-", "-", "401 1 2148074254"),
    (0.14, "GET", "", "-", "MICHAMEN\\ciscora", "301 0 0"),
    (0.49, "GET", "/certrqxt.asp", "-", "MICHAMEN\\ciscora", "200 0 0"),
    (0.55, "GET", "", "-", "-", "401 1 2148074254"),
    (0.59, "GET", "", "-", "MICHAMEN\\ciscora", "301 0 0"),
    (0.74, "POST", "/certfnsh.asp", "-", "MICHAMEN\\ciscora", "200 0 0"),
    (0.89, "GET", "/certnew.cer", "ReqID=10&ENC=b64", "MICHAMEN\\ciscora", "200 0 0"),
)


def asked(
    when: datetime,
    request: str,
    ending: str,
    of: str | None,
    *,
    zone: timedelta,
    ahead: float,
    who: str,
    user: str,
    taken: int = 15,
) -> Line:
    stamp = when - zone + seconds(ahead)
    return Line(when, f"{stamp:%Y-%m-%d %H:%M:%S} 14.48.31.152 {request} 443 {user} {who} - {ending} {taken}", of)


def ca_answers(
    when: datetime,
    of: str | None,
    *,
    taken: float = 0.4,
    steps: int = 7,
    zone: timedelta = EASTERN,
    ahead: float = 0.0,
    client: str = NODE,
    agent: str = CES_AGENT,
    timed: bool = False,
) -> Lines:
    """What IIS logs of CES's work for a certificate; ``ahead``: how far its clock is before the node's, in seconds.

    ``timed``: each request is made as soon as the one before is answered, time-taken says so, and CES tells of an
    answer within some ms; else they are there for their seconds alone.
    """
    lines, before = [], 0.0
    for share, method, page, query, user, ending in REQUESTS[:steps]:
        done = max(taken * share, taken * (share + 0.01) - 0.004) if timed else taken * share
        lines.append(
            asked(
                when + seconds(done),
                f"{method} /certsrv{page} {query}",
                ending,
                of,
                zone=zone,
                ahead=ahead,
                who=f"{client} {agent}",
                user=user,
                taken=int(max(done - before - 0.002, 0) * 1000) if timed else 15,
            )
        )
        before = done
    return lines


def chain_fetched(when: datetime, *, zone: timedelta = EASTERN, ahead: float = 0.0) -> Lines:
    """What IIS logs of CES's start."""
    return [
        asked(when, request, ending, None, zone=zone, ahead=ahead, who=f"{NODE} {CES_AGENT}", user=user)
        for request, ending, user in (
            ("GET /certsrv -", "401 1 2148074254", "-"),
            ("GET /certsrv -", "301 0 0", "MICHAMEN\\ciscora"),
            ("GET /certsrv/certnew.p7b ReqID=CACert&Renewal=0&Enc=bin", "200 0 0", "MICHAMEN\\ciscora"),
        )
    ]


def iis(name: str, *scenes: Iterable[Line]) -> Held:
    """Make IIS's log, with its header."""
    first = min(line.at for scene in scenes for line in scene)
    return held(name, [Line(first, FIELDS)], *scenes)


def whole(
    device: str, when: datetime, *, zone: timedelta = EASTERN, ahead: float = 0.0, connection: int = 2
) -> tuple[Lines, Lines, Lines]:
    """A device gets its certificate: the lines of CAPF, of error.log and of IIS."""
    return (
        tries(device, when),
        exchange(when, device, zone=zone, connection=connection),
        ca_answers(when + seconds(0.07), device, zone=zone, ahead=ahead),
    )
