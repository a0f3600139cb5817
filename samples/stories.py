"""What happens in each sample. A story calls the lab's scenes in order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facts import BAD_PHONE, GOOD_CALL, GOOD_PHONE, published
from writers import ms

if TYPE_CHECKING:
    from lab import Lab

#: Who gets a certificate early (the document's good phone between them), and who comes late.
PHONES = ("SEP0C75BD1A2B30", "CSFjsmith", "ATA1C17D3A40B77", "TCTJOHN")
LATE_PHONES = ("SEP68EFBD0D91C4", "CSFmgarcia")

#: IIS's day is one of UTC: its log begins on the evening before.
IIS_DAY = -ms("04:55:48.500")


def morning(lab: Lab, until: str) -> None:
    """CAPF and CES start, four phones and the published one get their certificates; ``until``: when the day ends."""
    lab.ca_server.begins(IIS_DAY)
    lab.ca_server.other_clients(IIS_DAY, ms(until))
    lab.start(ms("12:31:03.354"), 31067)
    lab.quiet_phones("12:33", "12:56")
    lab.enroll(PHONES[0], ms("12:58:11.402"), session=1)
    lab.quiet_phones("13:01", "13:24")
    lab.enroll(PHONES[1], ms("13:27:40.093"), session=3)
    lab.quiet_phones("13:30", "13:49")
    lab.ca_server.browser(ms("13:51:20.300"))
    lab.enroll(GOOD_PHONE, GOOD_CALL)
    lab.quiet_phones("14:07", "14:11")
    lab.enroll(PHONES[2], ms("14:13:29.871"), session=1)
    lab.enroll(PHONES[3], ms("14:22:02.215"), session=4)
    lab.quiet_phones("14:24", "14:38")


def healthy(lab: Lab) -> None:
    """Everybody gets a certificate; two phones at the same time."""
    morning(lab, "15:29")
    lab.ces.port_probe(ms("14:30:00.120"))
    lab.enroll("SEP00506004A1B2", ms("14:36:10.118"), session=2)
    lab.enroll("ATA00270DC3F5E9", ms("14:36:10.421"), session=3)
    lab.capf.full_at.append(ms("14:40"))
    lab.enroll(BAD_PHONE, ms("14:47:54.741"))
    lab.quiet_phones("14:50", "15:04")
    for device, clock in zip(LATE_PHONES, ("15:06:37.552", "15:18:41.007"), strict=True):
        lab.enroll(device, ms(clock), session=1)
    lab.quiet_phones("15:21", "15:29")


def no_answers(lab: Lab) -> None:
    """Nobody gets an answer from CES any more."""
    lab.unanswered(BAD_PHONE, ms("14:47:54.741"))
    lab.unanswered(LATE_PHONES[0], ms("14:56:20.316"), session=1)
    lab.quiet_phones("14:59", "15:10")
    lab.unanswered(LATE_PHONES[1], ms("15:11:02.094"), session=3)
    lab.quiet_phones("15:14", "15:29")


def failed_start(
    lab: Lab,
    failure: str,
    *,
    host: str | None = None,
    ca_removed: bool = False,
    new_iis_certificate: bool = False,
    instead: tuple[str, str] | None = None,
) -> None:
    """After a change CES cannot reach the CA any more.

    ``failure``: the folder of published lines that say how; ``instead``: words of theirs, and what CES says for them.
    """
    morning(lab, "15:29")
    lab.ces.host = host or lab.ces.host
    if ca_removed:
        lab.ces.ca = None
    if new_iis_certificate:
        lab.ca_server.begins(ms("14:37:30.700"))
    lines = published(f"{failure}/nginx00000001.txt")
    if instead:
        lines = [line.replace(*instead) for line in lines]
    lab.start(ms("14:40:12.508"), 1923, lines)
    no_answers(lab)


def untrusted(lab: Lab) -> None:
    """The CA's certificate was deleted from CAPF-trust."""
    failed_start(lab, "11-missing-ca-certificate-in-issuer-chain", ca_removed=True)


def self_signed(lab: Lab) -> None:
    """IIS was given a self-signed certificate."""
    failed_start(lab, "12-self-signed-web-server-certificate", new_iis_certificate=True)


def hostname_mismatch(lab: Lab) -> None:
    """IIS was given a certificate for 'lab-dc' alone."""
    failed_start(lab, "13-hostname-and-common-name-mismatch", new_iis_certificate=True)


def dns_failure(lab: Lab) -> None:
    """The service parameter Online CA Hostname was mistyped."""
    failed_start(lab, "14-dns-resolution", host="lab-dcc.michamen.com")


def not_yet_valid(lab: Lab) -> None:
    """CES was pointed to another web server, whose certificate begins later than the node's time."""
    failed_start(
        lab,
        "15-certificate-validity-dates",
        host="lab-dc-iis.michamen.com",
        new_iis_certificate=True,
    )


def expired(lab: Lab) -> None:
    """CES was pointed to another web server, an old one whose certificate nobody has renewed."""
    failed_start(
        lab,
        "15-certificate-validity-dates",
        host="lab-dc-iis.michamen.com",
        instead=("certificate is not yet valid", "certificate has expired"),
    )


def wrong_template(lab: Lab) -> None:
    """CES was moved to a new CA, and the name of its template mistyped: it starts well and refuses every phone."""
    morning(lab, "17:29")
    lab.quiet_phones("14:43", "16:38")
    lab.ces.host, lab.ces.ca = "lab-dc-iis.michamen.com", "/DC=com/DC=michamen/CN=LAB-DC-RTP"
    lab.template = "CiscoRA-LSC1"
    lab.start(ms("16:41:07.263"), 3183)
    for device, clock in (
        (BAD_PHONE, "16:53:28.087"),
        (LATE_PHONES[0], "17:02:50.640"),
        (LATE_PHONES[1], "17:15:09.377"),
    ):
        lab.refused(device, ms(clock))
    lab.quiet_phones("17:18", "17:29")


def login_unanswered(lab: Lab) -> None:
    """The CA's web server takes connections and does not answer the login."""
    failed_start(lab, "17-ces-authentication-timeout")


def chain_unanswered(lab: Lab) -> None:
    """The CA's web server answers the login and then lets the request for the chain wait."""
    failed_start(lab, "18-ces-enrollment-timeout")


def overloaded(lab: Lab) -> None:
    """The CA answers everything, but slowly: by the time it has issued a certificate CAPF has given up."""
    morning(lab, "15:29")
    lab.capf.full_at.append(ms("14:40"))
    for device, clock, session in (
        (BAD_PHONE, "14:47:54.741", 2),
        (LATE_PHONES[0], "14:56:20.316", 1),
        (LATE_PHONES[1], "15:11:02.094", 3),
    ):
        lab.too_late(device, ms(clock), session)
    lab.quiet_phones("15:14", "15:29")


def no_answer(lab: Lab) -> None:
    """CES stopped answering, and only the CAPF trace was collected."""
    morning(lab, "15:29")
    lab.capf.full_at.append(ms("14:40"))
    no_answers(lab)
