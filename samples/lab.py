"""The lab: one CUCM node with CAPF and CES, the CA's web server, and phones.

A scene writes what every program logs of it, in all logs at once. The words are the published ones (``published/``)
with other times, devices and numbers; what no publication shows is put together from the names and shapes that they do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca_server import CaServer
from capf import Capf
from ces import Ces
from facts import BAD_PHONE, GOOD_PHONE
from writers import SECOND, Enrollment, ms, pick

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Phones that nothing is to be done for.
QUIET_PHONES = ("SEP2C3ECF0B7E15", "BOTHLEE", "SEPE4AA5D8F2201")

#: From CAPF's first line of a start to CES's first, in ms.
CAPF_TO_CES = 17_900


class Lab:
    """One day of the lab. Scenes are called in order of their times, ``at``, in ms since midnight.

    ``causes``: the ids of the rules that explain why an enrollment of this day fails.
    """

    def __init__(self, node: str, causes: Sequence[str] = ()) -> None:
        self.causes = list(causes)
        self.template = "CiscoRA"
        self.ca_server = CaServer()
        self.capf = Capf()
        self.ces = Ces(node, self.ca_server)
        self.enrollments: list[Enrollment] = []
        self.starts: list[int] = []

    def start(self, at: int, pid: int, failure: Sequence[str] | None = None) -> None:
        """Start CAPF and with it CES; ``failure``: the published lines with which CES fails (None: it starts well)."""
        self.starts.append(at)
        self.capf.starts(at, self.ces.host, self.template)
        self.ces.starts(at + CAPF_TO_CES, pid, failure)

    def quiet_phones(self, first: str, last: str) -> None:
        """Have phones that nothing is to be done for come by, about every five minutes."""
        for number, at in enumerate(range(ms(first), ms(last), ms("00:05"))):
            device = QUIET_PHONES[number % len(QUIET_PHONES)]
            self.capf.keep_alive(device, at + pick(0, 45_000, device, at), pick(1, 5, device))

    def enroll(self, device: str, at: int, session: int = 2) -> None:
        """Have a device get its certificate; ``at``: when CAPF says 'CA Mode is OnlineCA'."""
        enrollment = Enrollment(device, at, "issued")
        self.enrollments.append(enrollment)
        as_published = device == GOOD_PHONE
        stretch = 100 if as_published else pick(75, 160, device, at)
        length = 1963 if as_published else 1947 + 4 * pick(0, 9, device)
        taken = self.capf.issued(device, at, session, stretch, length)
        self.ces.issues(enrollment, taken, length)

    def unanswered(self, device: str, at: int, session: int = 2) -> None:
        """Have a device try four times (the phone retries three times), and CES not answer within ten seconds."""
        for attempt in range(4):
            self.enrollments.append(Enrollment(device, at, "failed", self.causes))
            as_published = device == BAD_PHONE and attempt == 0
            taken = 10_038 + (0 if as_published else pick(-12, 9, device, attempt))
            self.capf.failed(device, at, session, taken=taken, fault=as_published)
            at += taken + 30 * SECOND + pick(90, 400, device, attempt)

    def too_late(self, device: str, at: int, session: int = 2) -> None:
        """Have a device try four times, and the CA need 1.5 to 3 s for each request: CES is done when CAPF has gone."""
        for attempt in range(4):
            enrollment = Enrollment(device, at, "failed", self.causes)
            self.enrollments.append(enrollment)
            as_published = device == BAD_PHONE and attempt == 0
            taken = 10_038 + (0 if as_published else pick(-12, 9, device, attempt))
            self.capf.failed(device, at, session, taken=taken, fault=as_published)
            # The form and the post, for which the CA has most to do, take longest.
            least = (1500, 1500, 2150, 1500, 1500, 1850, 1500)
            times = [low + pick(3, 140, device, attempt, number) for number, low in enumerate(least)]
            self.ces.too_late(enrollment, times, 1947 + 4 * pick(0, 9, device))
            at += taken + 30 * SECOND + pick(90, 400, device, attempt)

    def refused(self, device: str, at: int, session: int = 2) -> None:
        """Have a device try four times, and CES refuse it as in the published template case."""
        for attempt in range(4):
            enrollment = Enrollment(device, at, "failed", self.causes)
            self.enrollments.append(enrollment)
            taken = pick(330, 380, device, attempt)
            self.capf.failed(device, at, session, taken=taken, answer="22 (EST_ERR_AUTH_FAIL)")
            self.ces.refuses(enrollment, fault=device == BAD_PHONE and attempt == 0)
            at += taken + 30 * SECOND + pick(90, 400, device, attempt)
