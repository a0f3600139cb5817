"""The tables that a database takes of an analysis, alike for SQLite, Parquet and ``capflog sql``.

All but ``events`` are made of the contract's document (:mod:`capflog.reports.json`), so that what the store holds gives
the same as the bundle.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from capflog.devices import devices_in
from capflog.exports.common import stamp
from capflog.exports.event_table import EVENTS, Row, Table, columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The version of the tables: it rises where a table or a column goes or changes its meaning, not where one is added.
VERSION = 1


def _joined(words: Iterable[str]) -> str:
    return ", ".join(words)


def _bundle(document: dict[str, Any]) -> Iterator[Row]:
    summary = document["summary"]
    counts = (summary[name] for name in ("devices", "enrollments", "issued", "failed", "incomplete"))
    yield (
        document["bundle"]["name"],
        document["tool"]["version"],
        summary["verdict"],
        *counts,
        document["unattributed"],
        document["aligned"],
    )


def _members(document: dict[str, Any]) -> Iterator[Row]:
    names = [column.name for column in TABLES["members"].columns]
    for one in document["bundle"]["members"]:
        yield tuple(one[name] for name in names)


def _enrollments(document: dict[str, Any]) -> Iterator[Row]:
    for one in document["enrollments"]:
        told = one["est_error"] or {"name": None, "value": None}
        yield (
            one["id"],
            one["device"],
            one["started"],
            one["ended"],
            _seconds(one["started"], one["ended"]),
            one["outcome"],
            one["reached"],
            one["missing"],
            told["name"],
            told["value"],
            _joined(one["causes"]),
        )


def _seconds(started: str | None, ended: str | None) -> float | None:
    if started is None or ended is None:
        return None
    return round((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds(), 3)


def _devices(document: dict[str, Any]) -> Iterator[Row]:
    first: dict[str, str] = {}
    for one in document["enrollments"]:
        if one["started"] is not None:
            name = one["device"] or one["id"]
            first[name] = min(one["started"], first.get(name, one["started"]))
    for device in devices_in(document, None).every:
        if device.last.device is None:
            continue
        last = device.last
        yield (
            device.name,
            last.outcome,
            _joined(last.causes),
            device.attempts,
            *(device.counts.get(outcome, 0) for outcome in ("issued", "failed", "incomplete")),
            first.get(device.name),
            stamp(device.time),
            last.reached,
            last.missing,
            last.est_error,
        )


def _findings(document: dict[str, Any]) -> Iterator[Row]:
    for one in document["findings"]:
        yield (
            *(one[name] for name in ("rule", "title", "severity", "confidence", "scope", "resolved")),
            *(one[name] for name in ("first", "last", "occurrences")),
            len(one["devices"]),
            one["evidence_total"],
            one["explanation"],
            *("\n".join(one[name]) for name in ("remedy", "verify")),
            _joined(one["alternatives"]),
        )


def _affected(document: dict[str, Any]) -> Iterator[Row]:
    for one in document["findings"]:
        yield from ((one["rule"], device) for device in one["devices"])


def _evidence(document: dict[str, Any]) -> Iterator[Row]:
    for finding in document["findings"]:
        for one in finding["evidence"]:
            yield (finding["rule"], *(one[name] for name in ("time", "source", "member", "line", "text")))


def _clocks(document: dict[str, Any]) -> Iterator[Row]:
    names = [column.name for column in TABLES["clocks"].columns]
    for one in document["clocks"]:
        yield tuple(", ".join(one[name]) if name == "members" else one[name] for name in names)


def _starts(document: dict[str, Any]) -> Iterator[Row]:
    for one in document["starts"]:
        yield (
            *("ces", "", one["started"], one["earliest"], one["latest"], one["ok"], one["reached"], one["missing"]),
            *(one["ca"], one["libest"], one["pid"], _joined(one["causes"])),
        )
    for one in document["capf_starts"]:
        host, port = (one["parameters"].get(name) for name in ("ca_hostname", "ca_port"))
        yield (
            *("capf", one["node"], one["started"], one["started"], one["ended"], one["ok"], one["reached"]),
            *(one["missing"], f"{host}:{port}" if host and port else host, None, None, ""),
        )


TABLES = {
    table.name: table
    for table in (
        EVENTS,
        Table(
            "enrollments",
            "each attempt of a device to have its certificate enrolled",
            columns(
                ("id", "text", "its name in this analysis"),
                ("device", "text", "missing where no line names one"),
                ("started", "time", "when it began"),
                ("ended", "time", "when it ended"),
                ("seconds", "real", "how long it took"),
                ("outcome", "text", "issued, failed, incomplete"),
                ("reached", "text", "the last step that the logs show"),
                ("missing", "text", "the step that it lacks"),
                ("est_error", "text", "what CAPF was told: EST_ERR_..."),
                ("est_value", "integer", "the number of that"),
                ("causes", "text", "rules that explain the failure, most likely first"),
            ),
            _enrollments,
        ),
        Table(
            "devices",
            "each device that tried, and what came of its latest attempt",
            columns(
                ("device", "text", "its name"),
                ("outcome", "text", "of its latest attempt: issued, failed, incomplete"),
                ("causes", "text", "rules that explain it, most likely first"),
                ("attempts", "integer", "how often it tried"),
                ("issued", "integer", "how many of these got a certificate"),
                ("failed", "integer", "how many failed"),
                ("incomplete", "integer", "how many are not seen to the end"),
                ("first", "time", "when its first attempt began"),
                ("last", "time", "when its latest attempt ended, else began"),
                ("reached", "text", "the last step of its latest attempt"),
                ("missing", "text", "the step that it lacks"),
                ("est_error", "text", "what CAPF was told of it"),
            ),
            _devices,
        ),
        Table(
            "findings",
            "each rule that spoke, most important first",
            columns(
                ("rule", "text", "its id"),
                ("title", "text", "what is wrong, in a sentence"),
                ("severity", "text", "error, warning, info"),
                ("confidence", "text", "certain, likely, possible"),
                ("scope", "text", "device, devices, service"),
                ("resolved", "flag", "a later success shows that it is over"),
                ("first", "time", "when it was first seen"),
                ("last", "time", "when it was last seen"),
                ("occurrences", "integer", "how often it was seen"),
                ("devices", "integer", "how many devices it affects; which ones: affected"),
                ("evidence_total", "integer", "how many lines prove it; the first of them: evidence"),
                ("explanation", "text", "why"),
                ("remedy", "text", "what to do, a line for each step"),
                ("verify", "text", "how to confirm it, a line for each check"),
                ("alternatives", "text", "rules that the same evidence allows"),
            ),
            _findings,
        ),
        Table(
            "affected",
            "each device that a finding affects",
            columns(("rule", "text", "findings.rule"), ("device", "text", "its name")),
            _affected,
        ),
        Table(
            "evidence",
            "lines that prove findings, the first ones of each",
            columns(
                ("rule", "text", "findings.rule"),
                ("time", "time", "when, on the reference clock"),
                ("source", "text", "which log"),
                ("member", "text", "the file in the bundle"),
                ("line", "integer", "its line there, counted from 1"),
                ("text", "text", "the line as logged"),
            ),
            _evidence,
        ),
        Table(
            "members",
            "each file of the bundle, read or not",
            columns(
                ("member", "text", "its path in the bundle"),
                ("source", "text", "which log it is; missing: none that capflog knows"),
                ("status", "text", "parsed, partial, skipped, unreadable"),
                ("reason", "text", "why it is not plainly parsed"),
                ("lines", "integer", "how many lines it has"),
                ("events", "integer", "how many events these are"),
                ("unparsed", "integer", "how many lines no pattern takes"),
                ("first", "time", "of its first event"),
                ("last", "time", "of its last event"),
                ("why", "text", "what it was taken for and by which signs"),
            ),
            _members,
        ),
        Table(
            "clocks",
            "each clock that stamped lines",
            columns(
                ("source", "text", "which log it stamps"),
                ("whose", "text", "of which node or server, where there are several"),
                ("zone", "text", "the zone of its stamps"),
                ("utc_offset_seconds", "integer", "local time minus UTC, at the first stamp"),
                ("offset_seconds", "real", "it minus the reference clock; -2.4: behind"),
                ("uncertainty_seconds", "real", "how far that may be off"),
                ("quality", "text", "reference, good, weak, one-sided, none, conflict"),
                ("assumed", "flag", "nothing in the bundle fixes its zone or date"),
                ("zone_error_seconds", "integer", "the part of the offset that is a zone set wrong"),
                ("drift_ppm", "real", "what it gains on the reference, in microseconds a second"),
                ("basis", "text", "by what that is known"),
                ("members", "text", "the files that it stamped"),
            ),
            _clocks,
        ),
        Table(
            "starts",
            "each start of CES (the NGINX that asks the CA) and of CAPF",
            columns(
                ("service", "text", "ces, capf"),
                ("node", "text", "the node, where the bundle holds starts of several"),
                ("started", "time", "when"),
                ("earliest", "time", "the earliest time that it can have been"),
                ("latest", "time", "the latest; of CAPF: when it was done"),
                ("ok", "flag", "it served afterwards; missing: the lines do not say"),
                ("reached", "text", "the last step that it is seen to have done"),
                ("missing", "text", "the step at which it failed, or its lines break off"),
                ("ca", "text", "host:port of the CA"),
                ("libest", "text", "the version of libEST"),
                ("pid", "integer", "the process"),
                ("causes", "text", "rules that explain its failure"),
            ),
            _starts,
        ),
        Table(
            "bundle",
            "what was analyzed, in one row",
            columns(
                ("name", "text", "its name"),
                ("capflog", "text", "the version of capflog"),
                ("verdict", "text", "healthy, degraded, failing, inconclusive"),
                ("devices", "integer", "how many devices tried"),
                ("enrollments", "integer", "how often"),
                ("issued", "integer", "how many got a certificate"),
                ("failed", "integer", "how many failed"),
                ("incomplete", "integer", "how many are not seen to the end"),
                ("unattributed", "integer", "lines of enrollments that could be put to none for sure"),
                ("aligned", "flag", "times of IIS are on the reference clock"),
            ),
            _bundle,
        ),
    )
}
