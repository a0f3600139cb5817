"""The CA's web server: its log, and the clients that it has besides CES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from writers import MINUTE, Enrollment, Log, iis_stamp, pick

if TYPE_CHECKING:
    from collections.abc import Iterable

ADDRESS = "14.48.31.152"

#: Client and User-Agent of those who are not CES.
MONITOR = ("14.48.31.60", "check_http/v2.2+(monitoring-plugins+2.2)")
BROWSER = ("14.48.31.77", "Mozilla/5.0+(Windows+NT+10.0;+Win64;+x64;+rv:64.0)+Gecko/20100101+Firefox/64.0")
NOBODY = "-"
ADMINISTRATOR = "MICHAMEN\\administrator"

#: The columns that IIS 8 and later log by default (Microsoft IIS W3C reference).
W3C_FIELDS = (
    "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) "
    "sc-status sc-substatus sc-win32-status time-taken"
)


class CaServer:
    """IIS with certificate enrollment; ``request_id`` is the number that the CA gave last."""

    def __init__(self) -> None:
        self.log = Log(iis_stamp, end="\r\n")
        self.request_id = 6

    def begins(self, at: int) -> None:
        """Write the header with which IIS begins a file, and again after its service was restarted."""
        product = "#Software: Microsoft Internet Information Services 8.5"
        for text in (product, "#Version: 1.0", f"#Date: {iis_stamp(at)}", W3C_FIELDS):
            self.log.write(at, text, stamped=False)

    def answered(self, at: int, text: str, of: Enrollment | None = None) -> None:
        """Log a request as its answer is done: IIS stamps the end."""
        self.log.write(at, text, of)

    def other_clients(self, first: int, last: int) -> None:
        """Have a monitor look every quarter of an hour, and Windows machines fetch revocation lists."""
        for number, at in enumerate(range(first, last, 15 * MINUTE)):
            self._visits([(at, "GET /iisstart.htm - 80", NOBODY, f"- 200 0 0 {pick(0, 2, at)}")], MONITOR)
            if number % 4 == 1:
                self._visits([(at + 2100, "GET /certsrv/ - 443", NOBODY, "- 401 2 5 0")], MONITOR)
            if number % 3 == 2:
                crl = "GET /CertEnroll/lab-ca.michamen.com.crl - 80"
                machine = (f"14.48.31.{pick(100, 119, at)}", "Microsoft-CryptoAPI/6.3")
                self._visits([(at + pick(60_000, 700_000, at), crl, NOBODY, "- 200 0 0 15")], machine)

    def browser(self, at: int) -> None:
        """Have an administrator request a certificate for a web server in the browser."""
        self.request_id += 1
        home = "https://lab-dc.michamen.com/certsrv"
        certificate = f"GET /certsrv/certnew.cer ReqID={self.request_id}&Enc=b64 443"
        self._visits(
            [
                (at, "GET /certsrv - 443", NOBODY, "- 401 2 5 3"),
                (at + 20, "GET /certsrv - 443", NOBODY, "- 401 1 2148074254 0"),
                (at + 45, "GET /certsrv - 443", ADMINISTRATOR, "- 301 0 0 16"),
                (at + 110, "GET /certsrv/ - 443", ADMINISTRATOR, "- 200 0 0 47"),
                (at + 240, "GET /certsrv/certspc.gif - 443", ADMINISTRATOR, f"{home}/ 200 0 0 0"),
                (at + 390, "GET /favicon.ico - 443", NOBODY, "- 404 0 2 1"),
                (at + 6_900, "GET /certsrv/certrqus.asp - 443", ADMINISTRATOR, f"{home}/ 200 0 0 31"),
                (at + 11_300, "GET /certsrv/certrqxt.asp - 443", ADMINISTRATOR, f"{home}/certrqad.asp 200 0 0 188"),
                (at + 58_700, "POST /certsrv/certfnsh.asp - 443", ADMINISTRATOR, f"{home}/certrqxt.asp 200 0 0 62"),
                (at + 63_200, certificate, ADMINISTRATOR, f"{home}/certfnsh.asp 200 0 0 0"),
            ],
            BROWSER,
        )

    def _visits(self, requests: Iterable[tuple[int, str, str, str]], who: tuple[str, str]) -> None:
        client, agent = who
        for at, request, user, ending in requests:
            self.log.write(at, f"{ADDRESS} {request} {user} {client} {agent} {ending}")
