"""The CiscoRA log of the CUCM node (``nginx<number>.txt`` in ``cm/trace/capf/sdi``): what CES says while it starts.

It is the standard error of NGINX and of its start script (nginx ngx_log.c, main/nginx.c): nginx copies each record of
level warn or worse there until its workers run, as ``nginx: [level] message`` without time and process; libEST writes
there; ``EnrollmentService.sh`` adds the process id. So no line of it bears a time. A record with a time, which people
paste in from error.log, is read as well, without its time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from capflog.events import StampForm
from capflog.parsing import Derived, Sample, Signature

from . import ces_samples, libest
from .nginx_error import EST_ANY, EST_START, KINDS, ErrorReader

if TYPE_CHECKING:
    from collections.abc import Mapping

#: In front of libEST's lines, which other logs may hold too, so that each sample is one of this log.
_LEAD = Sample(
    "nginx: [warn] CA Chain requested but this value has not yet been set\n"
    "nginx: [warn] CA Cert response requested but this value has not yet been set",
    ("ces.chain.unset", "ces.chain.unset"),
)


class CiscoRaLog:
    """The CiscoRA log."""

    source: ClassVar[str] = "ciscora"
    title: ClassVar[str] = "CiscoRA log of the Certificate Enrollment Service"
    stamp: ClassVar[StampForm] = StampForm.NONE
    resolution_ms: ClassVar[int] = 0
    signatures: ClassVar[tuple[Signature, ...]] = (
        Signature(
            re.compile(r"^\s*nginx: \[(?:emerg|alert|crit|error|warn|notice|info|debug)\] "),
            6,
            "a record of NGINX's start, without time",
        ),
        Signature(re.compile(r"^\s*EnrollmentService\.sh ?: "), 6, "a line of the start script"),
        Signature(EST_START, 2, "a line of libEST's start"),
        Signature(EST_ANY, 1, "another line of libEST"),
    )
    kinds: ClassVar[Mapping[str, str]] = KINDS
    samples: ClassVar[tuple[Sample, ...]] = (
        *(Sample(f"nginx: [{level}] {message}", (kind,)) for level, message, kind in ces_samples.MESSAGES),
        Sample(
            "nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code 77 "
            "(error setting certificate verify locations:\n  CAfile: /etc/ca.pem\n  CApath: none)",
            ("curl.failed", None, None),
        ),
        *(Sample(text, (kind,)) for text, kind in ces_samples.SERVICE),
        *ces_samples.est_samples(_LEAD),
    )
    derived: ClassVar[tuple[Derived, ...]] = libest.DERIVED
    path_hint: ClassVar[re.Pattern[str]] = re.compile(r"(?i)(?:\A|[/\\])nginx\d*\.txt(?:\.gzo?)?\Z")

    def reader(self) -> ErrorReader:
        """Make a reader for one member."""
        return ErrorReader(stamped=False)
