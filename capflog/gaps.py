"""What the bundle lacks for a firm answer, and how to collect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capflog.model import Gap
from capflog.rows import NONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capflog.story import Story
    from capflog.table import Table


def gaps_of(sources: set[str], stories: Sequence[Story], table: Table) -> list[Gap]:
    """Name what the bundle lacks, and how to collect it (Cisco 214396; 12.5(1) release notes; Microsoft logFile)."""
    gaps = []
    if "capf" not in sources:
        gaps.append(
            Gap(
                "no-capf",
                "No CAPF trace: nothing tells which phones tried, nor what CAPF was told.",
                "RTMT may not list the CAPF service (CSCvo28048). On the publisher's CLI: "
                "file get activelog cm/trace/capf/sdi/* recurs compress. The trace level must be Detailed.",
            )
        )
    if "ciscora" not in sources:
        gaps.append(
            Gap(
                "no-ciscora",
                "No CiscoRA log (nginx<number>.txt): nothing tells how CES started.",
                "It stands beside the CAPF traces and needs no trace level. On the publisher's CLI: "
                "file get activelog cm/trace/capf/sdi/nginx*.",
            )
        )
    if "nginx" not in sources:
        gaps.append(
            Gap(
                "no-nginx",
                "No NGINX error.log: what CES said to the CA for each phone is missing.",
                "Only root can read it (usually /usr/local/thirdparty/nginx/install/logs/error.log): "
                "ask Cisco TAC for it, with root access through a remote account.",
            )
        )
    if "iis" not in sources:
        gaps.append(
            Gap(
                "no-iis",
                "No IIS log of the CA's web enrollment: nothing tells what the CA answered.",
                "On the CA: run 'netsh http flush logbuffer' (IIS holds back up to 64 KB), then copy u_ex<yymmdd>.log "
                "of the day (UTC) from %SystemDrive%\\inetpub\\logs\\LogFiles\\W3SVC<n>.",
            )
        )
    else:
        # NONE is less than any time.
        last = int(table.time[table.of_source("iis")].max(initial=NONE))
        late = 0 if last == NONE else sum(1 for story in stories if story.begin > last + 60_000)
        if late:
            gaps.append(
                Gap(
                    "iis-ends-early",
                    f"The IIS log ends before {late} of {len(stories)} enrollments: what is not in it proves "
                    "nothing about them.",
                    "IIS holds back up to 64 KB: run 'netsh http flush logbuffer' on the CA and copy the log again.",
                )
            )
    return gaps
