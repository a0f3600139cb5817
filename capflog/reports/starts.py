"""The starts of CAPF and of CES as a person reads them: a line for each, and what is to be said of it below."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from capflog import capf_starts, start_steps
from capflog.reports.layout import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.text import Text

    from capflog.model import CapfStart, Report, ServiceStart
    from capflog.reports.layout import Page
    from capflog.reports.times import Times

#: So many starts are shown, the last ones; so many changes of a start, the first ones; so many characters of a value.
SHOWN = 20
CHANGES_SHOWN = 6
_VALUE = 64

_RESULTS = {True: ("ok", "green"), False: ("failed", "red"), None: ("not told", "yellow")}

#: A start's result in a word, by whether it is good.
RESULTS = {ok: word for ok, (word, _) in _RESULTS.items()}

#: Parameters in words; others go by their names in the log.
_NAMES = {
    "ca_hostname": "host name",
    "ca_port": "port",
    "ca_template": "template",
    "ca_type": "type of the CA",
    "ca_username": "user name",
    "certificate_method": "method",
}


def parameter_name(name: str) -> str:
    """Name a service parameter of CAPF."""
    return _NAMES.get(name, name.replace("_", " "))


def show(page: Page, report: Report, times: Times) -> None:
    """Show the starts that the report has, each kind in a table of its own."""
    _of_capf(page, report.capf_starts, times)
    _of_ces(page, report.starts, times)


def _of_capf(page: Page, starts: Sequence[CapfStart], times: Times) -> None:
    shown = _heading(page, "Starts of CAPF", starts)
    title, at = times.column("at", (start.started for start in shown))
    rows = [
        [
            page.say("time not known" if start.started is None else at.stamp(start.started)),
            _value(page, start.node),
            page.say(*_RESULTS[start.ok]),
            _its_ca(page, start),
            _value(page, start.template or ""),
        ]
        for start in shown
    ]
    below = [[*_way(page, start, capf_starts.WORDS), *_changes(page, start)] for start in shown]
    columns = [
        Column(title, yields=True, least=19, folds=True),
        Column("node", yields=True),
        Column("result"),
        Column("CA", yields=True),
        Column("template", yields=True, least=8),
    ]
    page.table(columns, rows, indent=2, below=below)


def _its_ca(page: Page, start: CapfStart) -> Text:
    """``host:port`` as CAPF read it, or what there is of it."""
    method = start.parameters.get("certificate_method")
    if method is not None and not capf_starts.is_online(method):
        return page.join(page.say("none: "), _value(page, method))
    port = page.say("") if start.port is None else page.join(page.say(":"), _value(page, start.port))
    if start.hostname is not None:
        return page.join(_value(page, start.hostname), port)
    return page.join(page.say("(no host name)"), port) if "ca_hostname" in start.parameters else page.say("")


def _changes(page: Page, start: CapfStart) -> list[Text]:
    """``changed: host name a.example → b.example, port 443 → 8443``."""
    if not start.changed:
        return []
    line = page.say("changed: ")
    for place, (name, before, after) in enumerate(start.changed[:CHANGES_SHOWN]):
        line.append_text(page.say(", " if place else ""))
        line.append_text(_value(page, parameter_name(name)))
        for mark, value in ((" ", before), (" → ", after)):
            line.append_text(page.say(mark))
            line.append_text(page.say("(empty)") if value is None else _value(page, value))
    more = len(start.changed) - CHANGES_SHOWN
    line.append_text(page.say(f" and {more:,} more" if more > 0 else ""))
    return [line]


def _of_ces(page: Page, starts: Sequence[ServiceStart], times: Times) -> None:
    shown = _heading(page, "Starts of CES", starts)
    title, at = times.column("at", (time for s in shown for time in (s.started, s.earliest, s.latest)))
    rows = [
        [
            page.say(_time(start, at)),
            page.say(*_RESULTS[start.ok]),
            _value(page, start.ca or ""),
            page.say("" if start.pid is None else str(start.pid)),
            _value(page, start.libest or ""),
        ]
        for start in shown
    ]
    below = [_way(page, start, start_steps.WORDS, start.causes) for start in shown]
    columns = [
        Column(title, yields=True, least=20, folds=True),
        Column("result"),
        Column("CA", yields=True),
        Column("pid", right=True),
        Column("libEST", yields=True, least=6),
    ]
    page.table(columns, rows, indent=2, below=below)


def _time(start: ServiceStart, at: Times) -> str:
    if start.started is not None:
        return at.stamp(start.started)
    if start.earliest is not None and start.latest is not None:
        return "between " + at.span(start.earliest, start.latest, bare=True).replace(" to ", " and ")
    if start.earliest is not None:
        return "after " + at.stamp(start.earliest)
    return "time not known" if start.latest is None else "before " + at.stamp(start.latest)


def _way(
    page: Page, start: CapfStart | ServiceStart, words: Mapping[str, str], causes: Sequence[str] = ()
) -> list[Text]:
    """``reached: configuration; missing: login to the CA; cause: ca-dns-failure``; nothing of one that is good."""
    line = page.say("")
    if start.missing is not None or start.ok is not True:
        # Nobody knows that a step failed of which no line is there.
        lacks = "missing" if start.ok is False else "not seen"
        for said, step in (("reached", start.reached), (f"; {lacks}", start.missing)):
            if step is not None:
                line.append_text(page.say(f"{said}: "))
                known = words.get(step, "nothing" if step == "none" else "")
                line.append_text(page.say(known) if known else page.log(step))
    if causes:
        line.append_text(page.say("; cause: " if line.plain else "cause: "))
        line.append_text(page.log(" or ".join(causes)))
    return [line] if line.plain else []


_Start = TypeVar("_Start")


def _heading(page: Page, title: str, starts: Sequence[_Start]) -> Sequence[_Start]:
    """Set the title of a section that has any starts; gives those that are shown."""
    if starts:
        page.heading(title)
    more = len(starts) - SHOWN
    if more > 0:
        page.add(page.say(f"{more:,} earlier ones: capflog analyze --format json"), indent=2)
    return starts[-SHOWN:]


def _value(page: Page, value: str) -> Text:
    """What a log says, as far as a line has room for it."""
    return page.join(page.log(value[:_VALUE]), page.say("…" if len(value) > _VALUE else ""))
