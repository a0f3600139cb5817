"""What CES writes into the CiscoRA log and into NGINX's error.log, and what the CA's web server logs of its requests.

NGINX writes each start-up message of level warn or worse to standard error, which is the CiscoRA log, and with time and
pid to error.log (nginx ngx_log.c). Once it has started, error.log takes everything, libEST's unstamped lines included.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ca_server import ADDRESS
from facts import CA, GOOD_PHONE, HOST, published, published_error_log, published_iis
from writers import Enrollment, Log, access_stamp, nginx_stamp, pick

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ca_server import CaServer

START = "01-ces-startup/nginx00000001.txt"
START_IIS = "01-ces-startup/u_ex190305.log"
ENROLL_IIS = "02-phone-lsc-install/u_ex190116.log"
TEMPLATE_CASE = "16-certificate-template-misconfiguration"

#: From CES's first line of a start to its login at the CA, in ms.
LOGIN = 150


class Ces:
    """CES on one node. ``ca``: the subject of the CA's certificate in CAPF-trust (None: it is not there)."""

    def __init__(self, node: str, ca_server: CaServer) -> None:
        self.node, self.ca_server = node, ca_server
        self.host = HOST
        self.ca: str | None = CA
        self.ciscora = Log()
        self.error_log = Log(nginx_stamp)
        self.master = 0
        self.workers: Sequence[int] = ()
        self.connection = 0
        self.served = 0
        self.port = 38_114

    # Starts

    def starts(self, at: int, pid: int, failure: Sequence[str] | None) -> None:
        """Start, or start anew; ``failure``: the published lines with which that fails (None: it is good)."""
        if self.master:
            self._stops(at - 20_000)
        self.master, self.workers, self.connection = pid + 3, (pid + 4, pid + 5), 0
        for line in published(START)[:2]:
            self._starting(at, pid, line)
        login = at + LOGIN
        done = self._chain_retrieved(login, pid) if failure is None else self._chain_missing(login, pid, failure)
        self._starting(done, pid, f"EnrollmentService.sh : nginx server PID value = {self.master}")
        for message in (
            'using the "epoll" event method',
            "nginx/1.10.2",
            "OS: Linux 3.10.0-862.el7.x86_64",
            "getrlimit(RLIMIT_NOFILE): 1024:4096",
        ):
            self.error_log.write(done, f"[notice] {pid}#0: {message}")
        for message in ("start worker processes", *(f"start worker process {worker}" for worker in self.workers)):
            self.error_log.write(done + 4, f"[notice] {self.master}#0: {message}")

    def _starting(self, at: int, pid: int, text: str, *, fault: bool = False) -> None:
        self.ciscora.write(at, text, fault=fault)
        record = re.fullmatch(r"nginx: (\[\w+\]) (.*)", text)
        if record:
            self.error_log.write(at, f"{record[1]} {pid}#0: {record[2]}", fault=fault)

    def _load_trust(self, at: int, pid: int) -> None:
        for line in published(START):
            if "] ossl_init_cert_store:" in line and (self.ca or CA not in line):
                self._starting(at, pid, line.replace(CA, str(self.ca)))

    def _chain_retrieved(self, login: int, pid: int) -> int:
        """Write a good start from the login on; returns when it is done."""
        self._load_trust(login, pid)
        for offset, message in zip((35, 70, 71), published_error_log("01-ces-startup"), strict=True):
            self.error_log.write(login + offset, f"[info] {pid}#0: {message.replace(HOST, self.host)}")
        for offset, text in zip((12, 33, 66), published_iis(START_IIS, self.node), strict=True):
            self.ca_server.answered(login + offset, text)
        lines = published(START)
        libest = next(number for number, line in enumerate(lines) if line.startswith("***EST"))
        for line in lines[libest:-1]:
            self._starting(login + 80, pid, line.replace(CA, str(self.ca)))
        return login + 90

    def _chain_missing(self, login: int, pid: int, failure: Sequence[str]) -> int:
        """Write a start that fails from the login on, and what the CA sees of it; returns when it is done."""
        lines = [line for line in failure if "requested but" not in line]
        if "Could not resolve" not in lines[0]:
            # libcurl asks for the trust store as TLS begins, and so never where there is no address to connect to.
            self._load_trust(login, pid)
        first, second, chain = published_iis(START_IIS, self.node)
        failed = login + 46
        if "return code 28" in lines[0]:
            failed = login + 10_037
            if "retrieve_cacerts" in lines[0]:
                self.error_log.write(login + 35, f"[info] {pid}#0: {published_error_log('01-ces-startup')[0]}")
                self.ca_server.answered(login + 12, first)
                self.ca_server.answered(login + 33, second)
                self.ca_server.answered(login + 10_052, chain.replace("200 0 0 2", "200 0 64 10015"))
            else:
                request = f"{ADDRESS} GET /certsrv - 443 - {self.node} CiscoRA+1.0 -"
                self.ca_server.answered(failed + 8, f"{request} 200 0 64 10012")
        for line in lines:
            self._starting(failed, pid, line, fault=True)
        if "ra_certsrv_ca_plugin_postconf" not in lines[-1]:
            self._starting(failed, pid, published("14-dns-resolution/nginx00000001.txt")[-1])
        return failed + 90

    def _stops(self, at: int) -> None:
        self.error_log.write(at, f"[notice] {self.master}#0: signal 15 (SIGTERM) received, exiting")
        for worker in self.workers:
            self.error_log.write(at, f"[notice] {worker}#0: exiting")
            self.error_log.write(at, f"[notice] {worker}#0: exit")
            self.error_log.write(at + 12, f"[notice] {self.master}#0: signal 17 (SIGCHLD) received")
            self.error_log.write(at + 12, f"[notice] {self.master}#0: worker process {worker} exited with code 0")
        self.error_log.write(at + 15, f"[notice] {self.master}#0: exit")

    # Connections

    def port_probe(self, at: int) -> None:
        """Have a monitor open CES's port and close it again."""
        self.connection += 1
        end = "client closed connection while SSL handshaking, client: 14.48.31.60, server: 0.0.0.0:8084"
        self.error_log.write(at, f"[info] {self.workers[1]}#0: *{self.connection} {end}")

    def issues(self, of: Enrollment, taken: int, length: int) -> None:
        """Log in, open the form, log in again, post the request and fetch the certificate, in ``taken`` ms.

        Which lines NGINX writes of the post and of the fetch, no publication shows: they follow those of the form.
        """

        def part(share: float) -> int:
            return of.started + round(taken * share)

        self._challenge(part(0.05), of)
        who = self._request(part(0.12), of, 236)
        form = round(taken * 0.36)
        times = (0, 0, form, 0, 16 * pick(0, 1, form), pick(14, 47, form), 0)
        shares = (0.16, 0.20, 0.56, 0.62, 0.68, 0.78, 0.86)
        self._asks_ca(
            of,
            who,
            length,
            told=[part(share) for share in (0.14, 0.21, 0.57, 0.58, 0.60, 0.69, 0.79, 0.87)],
            answered=[part(share) for share in shares],
            times=None if of.device == GOOD_PHONE else times,
        )
        # libEST's server logs -1 for an answer that the application has written: a success.
        self._answered(part(0.92), of, part(0.12), status=-1, length=0)
        self._est(part(0.94), of, "***EST [WARNING][est_server_handle_request:1716]--> SSL_shutdown failed")

    def too_late(self, of: Enrollment, times: Sequence[int], length: int) -> None:
        """Do the same at a CA that needs ``times`` ms for the seven requests.

        CAPF has closed the connection by then: libEST cannot write its answer (libEST est_server_http.c).
        """
        self._challenge(of.started + 30, of)
        received = of.started + 70
        who = self._request(received, of, 236)
        asked = received + 14
        answered: list[int] = []
        for number, spent in enumerate(times):
            answered.append(asked + spent)
            asked = answered[-1] + pick(3, 11, of.started, number)
        _, login, form, _, again, posted, fetched = (at + 2 for at in answered)
        told = [received + 12, login, form, form, form + 1, again, posted, fetched]
        self._asks_ca(of, who, length, told=told, answered=answered, times=times)
        for line in published(f"{TEMPLATE_CASE}/error.log"):
            text = line.replace("22 (EST_ERR_AUTH_FAIL)", "10 (EST_ERR_HTTP_WRITE)")
            if "mg_send_http_error" in text:
                text = f"{text.partition('[Error')[0]}[Error 400: Bad Request\nInvalid or corrupted pkcs10 request.\n]"
            if "(EST_ERR_HTTP_WRITE)" in text or "[Error 400" in text:
                self._est(fetched + 3, of, text)
        self._answered(fetched + 3, of, received, status=400, length=0)
        self._est(fetched + 4, of, "***EST [WARNING][est_server_handle_request:1716]--> SSL_shutdown failed")

    def _asks_ca(
        self,
        of: Enrollment,
        who: str,
        length: int,
        *,
        told: Sequence[int],
        answered: Sequence[int],
        times: Sequence[int] | None,
    ) -> None:
        """Write the CA's seven answers and what CES tells of them, from the login to the fetched certificate.

        ``told``: when CES tells of trust store, login, form, libEST's look at the request, trust store, login, post and
        certificate. ``times``: time-taken of each answer in ms (None: as published).
        """
        base = f"https://{self.host}:443/certsrv"
        self.ca_server.request_id += 1
        reqid = self.ca_server.request_id

        def note(at: int, level: str, message: str) -> None:
            context = f"while SSL EST handshaking, client: {self.node}, server: 0.0.0.0:8084"
            self.error_log.write(at, f"[{level}] {who}{message} {context}", of)

        def curl(at: int, function: str, url: str, received: int) -> None:
            done = "Secure connection to MS CertServ completed successfully using the following URL"
            note(at, "info", f"ra_certsrv_auth_curl_data_cb: Rcvd data len: {received}")
            note(at, "info", f"{function}: {done} {url}")

        # IIS redirects /certsrv with a page of 163 bytes where the host's name has 23 letters (the template case).
        moved = 163 - len("lab-dc-iis.michamen.com") + len(self.host)
        trusted = f"ossl_init_cert_store: Adding cert to store ({self.ca})"
        note(told[0], "warn", trusted)
        curl(told[1], "login_to_certsrv_ca", base, moved)
        curl(told[2], "navigate_to_certsrv_page", f"{base}/certrqxt.asp", 11_771)
        self._est(told[3], of, "***EST [INFO][est_handle_simple_enroll:1136]--> id-kp-cmcRA present: 0")
        note(told[4], "warn", trusted)
        curl(told[5], "login_to_certsrv_ca", base, moved)
        curl(told[6], "navigate_to_certsrv_page", f"{base}/certfnsh.asp", 3_817)
        curl(told[7], "navigate_to_certsrv_page", f"{base}/certnew.cer?ReqID={reqid}&ENC=b64", length - 51)

        lines = published_iis(ENROLL_IIS, self.node, self.host)
        if times is not None:
            lines = [f"{line.rsplit(' ', 1)[0]} {spent}" for line, spent in zip(lines, times, strict=True)]
        for at, line in zip(answered, lines, strict=True):
            self.ca_server.answered(at, line.replace("ReqID=10&", f"ReqID={reqid}&"), of)

    def refuses(self, of: Enrollment, *, fault: bool) -> None:
        """Log in and open the form, which does not offer the template: libEST hears that the user is not allowed."""
        call = of.started
        self._challenge(call + 13, of)
        received = call + 40
        who = self._request(received, of, 236)
        sign = re.compile(r"authentication failed|rc=22|response code: 22|rv=22")
        for line in published(f"{TEMPLATE_CASE}/error.log")[1:]:
            _, _, record = line.partition(" 16:53:28 ")
            if record:
                level, message = record.split(" 3187#0: *2 ")
                offset = 55 if "[warn]" in record else 297 if "11771" in record or "navigate" in record else 92
                self.error_log.write(call + offset, f"{level} {who}{message}", of)
            elif "log_access" in line:
                self._answered(call + 303, of, received, status=401, length=0)
            elif "log_header" not in line:
                offset = 306 if "SSL_shutdown" in line else 300
                self._est(call + offset, of, line, fault=fault and bool(sign.search(line)))
        lines = published_iis(ENROLL_IIS, self.node)
        for offset, line, spent in zip((72, 88, 295), lines, (0, 0, 203), strict=False):
            self.ca_server.answered(call + offset, f"{line.rsplit(' ', 1)[0]} {spent}", of)

    def _challenge(self, at: int, of: Enrollment) -> None:
        """Write the first, anonymous connection of every enrollment: libEST asks for credentials."""
        self.served += 1
        self._request(at, of, 189)
        missing = "HTTP auth headers missing, sending HTTP auth request to client."
        self._est(at + 2, of, f"***EST [INFO][est_enroll_auth:402]--> {missing}")
        self._answered(at + 3, of, at, status=401, length=0)
        self._est(at + 5, of, "***EST [INFO][est_server_handle_request:1712]--> Two-phase SSL_shutdown initiated")

    def _request(self, at: int, of: Enrollment, length: int) -> str:
        """Take a TLS connection of CAPF's; returns the worker and number that NGINX puts before a message of it."""
        self.connection += 1
        self.port += pick(2, 60, self.port)
        for text in (
            f"[est_server_handle_request:1651]--> Peer IP address: {self.node}",
            f"[est_server_handle_request:1652]--> Peer port      : {self.port}",
            f"[parse_http_message:1148]--> request_len={length}",
            "[parse_http_message:1149]--> request uri=/.well-known/est/simpleenroll",
            "[handle_request:1261]--> /.well-known/est/simpleenroll",
            "[est_enroll_auth:356]--> TLS: no peer certificate",
        ):
            self._est(at, of, f"***EST [INFO]{text}")
        worker = self.workers[0 if self.connection <= 2 else self.served % 2]
        return f"{worker}#0: *{self.connection} "

    def _answered(self, at: int, of: Enrollment, received: int, *, status: int, length: int) -> None:
        request = "POST /.well-known/est/simpleenroll HTTP/1.1"
        access = f'{self.node} [{access_stamp(received)}] "{request}" {status} {length}'
        self._est(at, of, f"***EST [INFO][log_access:1298]--> {access}")
        self._est(at, of, "***EST [INFO][log_header:1276]-->  -")
        self._est(at, of, '***EST [INFO][log_header:1278]-->  "Cisco EST client 1.0"')

    def _est(self, at: int, of: Enrollment, text: str, *, fault: bool = False) -> None:
        """Write a line of libEST's with the line feeds that the document took out of it (libEST est_server.c)."""
        text = text.replace("Unauthorized The", "Unauthorized\nThe").replace("request. ]", "request.\n]")
        if "Enrollment failed with rc" in text or "EST error response code" in text:
            text += "\n"
        for part in text.split("\n"):
            self.error_log.write(at, part, of, stamped=False, fault=fault and bool(part))
