"""What CAPF writes into its trace."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from facts import BAD_ANSWER, BAD_CALL, BAD_PHONE, GOOD_CALL, GOOD_PHONE, HOST, LEFT_OUT, published_capf
from writers import Log, capf_stamp, ms, pick

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOT_ANSWERED = "35 (EST_ERR_SSL_READ)"


class Capf:
    """CAPF's trace; ``full_at``: when it went on in a new file."""

    def __init__(self) -> None:
        self.log = Log(capf_stamp, encoding="latin-1")
        self.full_at: list[int] = []

    def starts(self, at: int, host: str, template: str) -> None:
        """Read the service parameters, start CES and set up the EST client."""
        lines = published_capf("01-ces-startup")

        def when(published_at: int) -> int:
            return at + published_at - lines[0][0]

        def change(text: str) -> str:
            return text.replace(HOST, host).replace("Template is CiscoRA", f"Template is {template}")

        self._replay(lines, when, change, [lambda gap: self.log.write(gap, "|<--debug")])
        self.log.write(when(lines[-1][0]), "|<--debug")

    def keep_alive(self, device: str, at: int, session: int) -> None:
        """Meet a phone that nothing is to be done for."""
        self._meet(device, at, session, "OPERATION_NONE:1", "CERT_STATUS_UPGRADE_SUCCESS:3")
        self._function(at + 88, "debug", f"{session}:{device}:Sending END_SESSION msg")
        self._function(at + 131, "debug", "MsgType : CAPF_MSG_END_SESSION")

    def issued(self, device: str, at: int, session: int, stretch: int, length: int) -> int:
        """Get a certificate of ``length`` bytes from CES; returns how long CES took, in ms.

        ``stretch``: percent of the published times.
        """
        self._prepare(device, at, session)

        def when(published_at: int) -> int:
            return at + (published_at - GOOD_CALL) * stretch // 100

        def change(text: str) -> str:
            text = text.replace(f"2:{GOOD_PHONE}", f"{session}:{device}").replace(GOOD_PHONE, device)
            text = text.replace("length = 1963", f"length = {length}").replace("addded 6", f"addded {4 + session}")
            return text.replace("pubKey: 0‚", "pubKey: 0\x82\x01")

        def rest_of_key(gap: int) -> None:
            # The key is logged as the bytes of its DER form (30 82 01 0a 02 82 01 01 00): the 0a breaks the line.
            self.log.write(gap, "\x02\x82\x01\x01", stamped=False)

        def end_of_session(gap: int) -> None:
            self.log.write(gap, f"|<--Select({device})")
            self._function(gap, "debug", "MsgType : CAPF_MSG_STORE_CERT_RES")

        lines = published_capf("02-phone-lsc-install")
        self._replay(lines, when, change, [rest_of_key, end_of_session])
        self.log.write(when(lines[-1][0]), "|<--debug")
        return when(ms("14:05:05.236")) - at

    def failed(
        self, device: str, at: int, session: int, *, taken: int, answer: str = NOT_ANSWERED, fault: bool = False
    ) -> None:
        """Get ``answer`` instead of a certificate, after ``taken`` ms."""
        self._prepare(device, at, session)

        def when(published_at: int) -> int:
            return at + (taken if published_at == BAD_ANSWER else published_at - BAD_CALL)

        def change(text: str) -> str:
            text = re.sub(r": 35$", f": {answer[:2]}", text.replace(NOT_ANSWERED, answer))
            text = text.replace(f"2:{BAD_PHONE}", f"{session}:{device}").replace(BAD_PHONE, device)
            return text.replace("addded 10", f"addded {8 + session}")

        sign = re.compile(r"rv = 35|Failed|: 35$") if fault else None
        self._replay(published_capf("03-ces-error-as-capf-sees-it"), when, change, sign=sign)
        for body in ("Recd event", "MsgType : CAPF_MSG_END_SESSION"):
            self._function(at + taken + 6, "debug", body)

    def _function(self, at: int, function: str, *bodies: str) -> None:
        self.log.write(at, f"|-->{function}")
        for body in bodies:
            self.log.write(at, f"|   {function} {body}")
        self.log.write(at, f"|<--{function}")

    def _meet(self, device: str, at: int, session: int, operation: str, status: str) -> None:
        """Take a phone's connection and look the device up."""
        for body in (f"addded {4 + session} to readset", "Recd event", "MsgType : CAPF_MSG_AUTH_RES"):
            self._function(at, "debug", body)
        self._function(
            at + 9,
            f"Select({device})",
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

    def _prepare(self, device: str, call: int, session: int) -> None:
        """Meet a phone and have it make its key, until just before CAPF calls CES."""
        at = call - pick(1800, 2600, device, call)
        self._meet(device, at, session, "OPERATION_UPGRADE:2", "CERT_STATUS_OPERATION_PENDING:2")
        self._function(at + 97, "debug", f"{session}:{device}:Sending KEY_GEN_REQ msg")
        event, state = "CAPF_EV_KEY_GEN_REP", "CAPF_STATE_AWAIT_KEY_GEN_RESP"
        for body in (
            f"addded {4 + session} to readset",
            "Recd event",
            "MsgType : CAPF_MSG_KEY_GEN_RES",
            f"{session}:{device}:CAPF CORE: Rcvd Event: {event} in State: {state}",
        ):
            self._function(at + pick(1450, 1750, device, call), "debug", body)

    def _replay(
        self,
        lines: list[tuple[int, str]],
        when: Callable[[int], int],
        change: Callable[[str], str],
        fill: Sequence[Callable[[int], None]] = (),
        sign: re.Pattern[str] | None = None,
    ) -> None:
        """Write published lines again: at other times, changed, and what the document left out filled in.

        ``sign`` finds the lines that tell of the fault.
        """
        fills = iter(fill)
        for at, text in lines:
            if text == LEFT_OUT:
                next(fills)(when(at))
            else:
                self.log.write(when(at), change(text), fault=sign is not None and bool(sign.search(text)))
