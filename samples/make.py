"""Make the sample bundles: ``python samples/make.py [DIR]`` (without DIR: beside this file).

A sample is a story (``stories.py``) and a layout, which says where the files lie in the bundle. To make a bundle of
your own, write a story and give it an entry in ``SAMPLES``. ``truth.json`` tells what each bundle holds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import stories
from facts import GOOD_PHONE
from lab import Lab
from writers import Enrollment, Line, Member, collection_record, ms, packed, tarred, utc, write_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Written = tuple[str, Member, list[Line]]
    """A file, the source that it holds and its lines."""

NODE = "cucm-pub.michamen.com"
COLLECTED, COLLECTED_AT = "2019-01-16_15-30-00", ms("15:30")
SDI = "cm/trace/capf/sdi"

#: The two causes that CES's words do not tell apart.
TRUST = ("ca-chain-untrusted", "ca-self-signed")


@dataclass(frozen=True)
class Layout:
    """Where a bundle keeps its files; an empty path: it lacks that log."""

    traces: str = f"{NODE}/{COLLECTED}/{SDI}"
    error_log: str = "root/error.log"
    iis: str = "inetpub/logs/LogFiles/W3SVC1/u_ex190116.log"
    ciscora: bool = True
    second_trace: str = "capf00000002.txt.gz"
    tar: str = ""
    """The traces and error.log stand in this archive inside the bundle."""
    collection_record: bool = False

    def of_trace(self, name: str) -> str:
        """Place a trace file."""
        return f"{self.traces}/{name}" if self.traces else name


@dataclass(frozen=True)
class Sample:
    """A bundle to make, and what an analysis of it should find."""

    story: Callable[[Lab], None]
    rules: tuple[str, ...] = ()
    layout: Layout = Layout()
    node: str = "14.48.31.125"
    shown_by: str = "ciscora"
    """The log in which the published lines of the fault stand."""


RTMT = Layout()
EVENING = "2019-01-16_17-30-00"

SAMPLES = {
    "healthy": Sample(stories.healthy, layout=replace(RTMT, collection_record=True)),
    "ca-chain-untrusted": Sample(stories.untrusted, TRUST, replace(RTMT, traces=f"{NODE}_1/{COLLECTED}/{SDI}")),
    "ca-self-signed": Sample(
        stories.self_signed, TRUST, Layout("", "error.log", "u_ex190116.log", second_trace="capf00000002.txt")
    ),
    "ca-hostname-mismatch": Sample(
        stories.hostname_mismatch,
        ("ca-hostname-mismatch",),
        Layout(
            error_log="usr/local/thirdparty/nginx/install/logs/error.log",
            iis="iis/u_ex190116.log",
            tar="cucm-pub.tar.gz",
        ),
    ),
    "ca-dns-failure": Sample(
        stories.dns_failure,
        ("ca-dns-failure",),
        Layout(f"14.48.31.125/2019-01-16/{SDI}", "from-tac-root-access/error.log"),
    ),
    "ca-cert-not-yet-valid": Sample(
        stories.not_yet_valid,
        ("ca-cert-not-yet-valid",),
        replace(RTMT, second_trace="capf00000002.txt.gzo", collection_record=True),
    ),
    "ca-cert-expired": Sample(stories.expired, ("ca-cert-expired",), replace(RTMT, collection_record=True)),
    "template-misconfigured": Sample(
        stories.wrong_template,
        ("template-misconfigured",),
        replace(RTMT, traces=f"{NODE}/{EVENING}/{SDI}"),
        node="14.48.31.128",
        shown_by="nginx",
    ),
    "ces-auth-timeout": Sample(
        stories.login_unanswered, ("ces-auth-timeout",), replace(RTMT, iis="LAB-DC/LogFiles/W3SVC1/u_ex190116.log")
    ),
    "ces-enroll-timeout": Sample(stories.chain_unanswered, ("ces-enroll-timeout",)),
    "ces-overloaded": Sample(stories.overloaded, ("ces-overloaded",), shown_by="capf"),
    "ces-no-answer": Sample(
        stories.no_answer,
        ("ces-no-answer",),
        replace(RTMT, error_log="", iis="", ciscora=False, collection_record=True),
        shown_by="capf",
    ),
}


def files(lab: Lab, layout: Layout) -> Iterator[Written]:
    """Lay the lab's logs out: source, file (its path as an analysis names it) and the lines in it."""
    inside = f"{layout.tar}!/" if layout.tar else ""
    capf = [layout.of_trace("capf00000001.txt"), layout.of_trace(layout.second_trace)]
    for member, lines in lab.capf.log.files([inside + path for path in capf], lab.capf.full_at + lab.starts[1:]):
        yield "capf", member, lines
    if layout.ciscora:
        names = [inside + layout.of_trace(f"nginx0000000{number}.txt") for number, _ in enumerate(lab.starts, start=1)]
        for member, lines in lab.ces.ciscora.files(names, lab.starts[1:]):
            yield "ciscora", member, lines
    if layout.error_log:
        for member, lines in lab.ces.error_log.files([inside + layout.error_log]):
            yield "nginx", member, lines
    if layout.iis:
        for member, lines in lab.ca_server.log.files([layout.iis]):
            yield "iis", member, lines


def bundle(written: list[Written], sample: Sample) -> Iterator[Member]:
    """Pack the files as the sample's layout says."""
    layout = sample.layout
    outer: list[Member] = []
    inner: list[Member] = []
    for _, member, _ in written:
        archive, _, path = member.path.rpartition("!/")
        (inner if archive else outer).append(Member(path, packed(path, member.content), member.at))
    if inner:
        yield Member(layout.tar, tarred(inner), max(member.at for member in inner))
    yield from outer
    if layout.collection_record:
        sizes = {
            f"/var/log/active/{m.path[m.path.index(SDI) :]}": (m.at, len(m.content))
            for _, m, _ in written
            if SDI in m.path
        }
        yield collection_record(NODE, sample.node, COLLECTED_AT, sizes)


def places(written: Iterable[Written], source: str, wanted: Callable[[Line], bool]) -> dict[str, list[int]]:
    """Say where the wanted lines of a source stand: member -> numbers, from 1."""
    found = {
        member.path: [number for number, line in enumerate(lines, start=1) if wanted(line)]
        for of, member, lines in written
        if of == source
    }
    return {path: numbers for path, numbers in found.items() if numbers}


def truth(lab: Lab, sample: Sample, written: list[Written]) -> dict[str, object]:
    """Say what the bundle holds and what an analysis of it should find."""

    def fault(line: Line) -> bool:
        return line.fault

    def lines_of(enrollment: Enrollment, source: str) -> dict[str, list[int]]:
        return places(written, source, lambda line: line.of is enrollment and bool(line.text))

    return {
        "rules": list(sample.rules),
        "verdict": "failing" if sample.rules else "healthy",
        "failing_lines": places(written, sample.shown_by, fault),
        "failing_lines_copied": places(written, "nginx", fault) if sample.shown_by == "ciscora" else {},
        "iis_lines_of_good_phone": lines_of(next(e for e in lab.enrollments if e.device == GOOD_PHONE), "iis"),
        "enrollments": [
            {
                "device": enrollment.device,
                "started": utc(enrollment.started),
                "outcome": enrollment.outcome,
                "causes": enrollment.causes,
                "nginx_lines": lines_of(enrollment, "nginx"),
                "iis_lines": lines_of(enrollment, "iis"),
            }
            for enrollment in lab.enrollments
        ],
    }


def as_json(known: dict[str, dict[str, object]]) -> str:
    """Write the truth with a line for each fact and each enrollment, for people and for ``diff``."""
    samples = []
    for name, facts in known.items():
        shown = []
        for key, value in facts.items():
            rows = ",\n".join(f"      {json.dumps(row)}" for row in value) if isinstance(value, list) else ""
            shown.append(f"    {json.dumps(key)}: " + (f"[\n{rows}\n    ]" if rows else json.dumps(value)))
        samples.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(shown) + "\n  }")
    return "{\n" + ",\n".join(samples) + "\n}\n"


def main() -> None:
    """Write every bundle and ``truth.json``."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    target.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict[str, object]] = {}
    for name, sample in SAMPLES.items():
        lab = Lab(sample.node, sample.rules)
        sample.story(lab)
        written = list(files(lab, sample.layout))
        write_zip(target / f"{name}.zip", bundle(written, sample))
        known[f"{name}.zip"] = truth(lab, sample, written)
    (target / "truth.json").write_text(as_json(known), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
