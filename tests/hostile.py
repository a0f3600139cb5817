"""A bundle whose lines and names try to do harm to whoever shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.scenes import Held, at, capf_starts, ces_starts, exchange, held, iis, tries, whole

if TYPE_CHECKING:
    from pathlib import Path

#: A terminal's commands, bidirectional and line-breaking characters, a command of GitHub Actions, a formula, markup.
HOSTILE = "\x1b[2J\x9b1m\u202eexe\u2028::error::x,\"'=1+1|<b>&amp;\\x1b\x7f|@SUM(A1)"

#: What curl is said to have said, and the line that bears it.
DETAIL = f"=cmd|' /C calc'!A0 {HOSTILE}"

PHONE = "SEP74A02FC0A675"


def hostile_members(odd: str = "\udce9") -> list[Held]:
    """Give the members; ``odd`` stands in the name of one of them (a byte that is no UTF-8)."""
    error = f"Curl call for MS CA login failed with return code 60 ({DETAIL})"
    ciscora, nginx = ces_starts(at("14:00:00"), fails=True, error=error)
    trace, served, asked = whole(PHONE, at("14:05:00"))
    return [
        held("capf00000001.txt", capf_starts(at("13:59:00")), trace, tries("SEP001F6C81118B", at("14:01:00"))),
        held(f"nginx0000000{odd}.txt", ciscora),
        held("error.log", nginx, served, exchange(at("14:20:00"), None)),
        iis("u_ex190116.log", asked),
    ]


def hostile_bundle(folder: Path, odd: str = "\udce9") -> Path:
    """Write them into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for member in hostile_members(odd):
        (folder / member.name).write_bytes(member.content)
    return folder
