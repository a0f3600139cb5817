"""The published log lines (``published/``) and the names in them."""

from __future__ import annotations

import re
from pathlib import Path

from writers import ms

PUBLISHED = Path(__file__).parent / "published"

#: The document's mark for lines that it leaves out.
LEFT_OUT = "[…]"

#: The device that the document shows getting its certificate, the one that it shows failing, and when.
GOOD_PHONE = "SEP74A02FC0A675"
GOOD_CALL = ms("14:05:04.628")
BAD_PHONE = "SEP001F6C81118B"
BAD_CALL, BAD_ANSWER = ms("12:37:54.741"), ms("12:38:04.779")

HOST = "lab-dc.michamen.com"
CA = "/DC=com/DC=michamen/CN=lab-ca.michamen.com"


def published(path: str) -> list[str]:
    """Read the published lines of one file, as the document prints them."""
    return (PUBLISHED / path).read_text("utf-8").splitlines()


def published_capf(folder: str) -> list[tuple[int, str]]:
    """Read published CAPF lines: time in ms, and text with the blanks that the document took out.

    The mark for lines left out has the time of the line before it.
    """
    lines: list[tuple[int, str]] = []
    for line in published(f"{folder}/capf00000001.txt"):
        if line == LEFT_OUT:
            lines.append((lines[-1][0], line))
        else:
            stamp, text = line.split(" ", 1)
            lines.append((ms(stamp), re.sub(r"^\| ", "|   ", text)))
    return lines


def published_error_log(folder: str) -> list[str]:
    """Read the messages of published NGINX records, without stamp, level and pid."""
    return [line.split("#0: ")[1] for line in published(f"{folder}/error.log") if "#0: " in line]


def published_iis(path: str, node: str, host: str = HOST) -> list[str]:
    """Read published IIS lines without their stamps, with this node's address and this web server's name."""
    lines = [line.split(" ", 2)[2] for line in published(path)]
    return [re.sub(r"14\.48\.31\.12[58]", node, line).replace(HOST, host) for line in lines]
