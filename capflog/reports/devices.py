"""What `capflog devices` prints: the devices with what came of their latest attempts, as a table, JSON or CSV."""

from __future__ import annotations

import json
import re
from datetime import UTC
from typing import TYPE_CHECKING, Any

from capflog.csv_cells import line
from capflog.devices import OUTCOMES, causes_of, outcomes_of
from capflog.reports.layout import Column, Page, joined, seconds, some
from capflog.reports.times import Times, of_node, zone_assumed
from capflog.steps import WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from rich.text import Text

    from capflog.devices import Device, Devices, Wish
    from capflog.zones import Zone

SCHEMA = "capflog-devices-1"

#: The columns of CSV.
TITLES = (
    "device", "latest", "outcome", "causes", "attempts", "issued", "failed", "incomplete",
    "started", "ended", "seconds", "reached", "missing", "est_error",
)  # fmt: skip

#: From this width on a table has all columns by themselves.
WIDE = 120

#: So many causes are counted at the top; the table shows all.
CAUSES_SHOWN = 8

_OUTCOMES = {"failed": "red", "incomplete": "yellow", "issued": "green"}
_UNKNOWN = "not known"
_SURROGATE = re.compile("[\ud800-\udfff]")


def render(devices: Devices, wish: Wish, *, width: int, color: bool, unicode: bool, display: Zone | None = None) -> str:
    """Set the devices that are asked for as text; what is left out is counted.

    ``width``, ``color``, ``unicode`` and ``display`` as in :func:`capflog.reports.terminal.render`.
    """
    page = Page(width, color=color, unicode=unicode)
    shown = [device for device in devices.every if wish.fits(device)]
    ends = [device.time for device in shown if device.time is not None]
    times = Times(
        devices.zone,
        display,
        assumed=zone_assumed(devices.clocks),
        node=of_node(devices.clocks),
        first=min(ends, default=None),
        last=max(ends, default=None),
    )
    _head(page, devices, shown, wish, times)
    if shown:
        page.blank()
        _table(page, shown, times)
    return page.text()


def _head(page: Page, devices: Devices, shown: Sequence[Device], wish: Wish, times: Times) -> None:
    """Count by outcome and by cause, and say what is left out."""
    every = devices.every
    told = _counted(outcomes_of(every))
    tries = sum(device.attempts for device in every)
    by = ", by their latest attempts" if tries > len(every) else ""
    page.add(
        page.join(
            page.say(f"{some(len(every), 'device')} in "),
            page.log(devices.bundle),
            page.say(f"{by}: {told}" if told else ": the logs show no enrollment"),
        )
    )
    causes = causes_of(every)
    if causes:
        counts = [page.join(page.say(f"{n:,} "), page.log(" or ".join(cause) or _UNKNOWN)) for cause, n in causes]
        line = page.say("Causes: ")
        for place, count in enumerate(counts[:CAUSES_SHOWN]):
            line.append_text(page.say(", " if place else ""))
            line.append_text(count)
        more = counts[CAUSES_SHOWN:]
        line.append_text(page.say(f" and {some(len(more), 'more')}" if more else ""))
        page.add(line)
    if wish.words:
        left = len(every) - len(shown)
        page.add(
            page.say(f"Shown: {len(shown):,} of them ({wish.words}); {left:,} {'is' if left == 1 else 'are'} left out")
        )
    days = sorted({times.date(time) for time in (times.first, times.last) if time})
    if days:
        page.add(page.say(f"{' to '.join(map(str, days))}, times are {times.whose}"))


def _counted(counts: dict[str, int]) -> str:
    return joined([f"{count:,} {outcome}" for outcome, count in counts.items()])


def _table(page: Page, devices: Sequence[Device], times: Times) -> None:
    """Set the table; on a narrow page one for each outcome, in fewer columns."""
    _, below = times.column("at", (device.time for device in devices))
    days = {times.date(time) for time in (times.first, times.last) if time}

    def at(time: datetime | None) -> str:
        if time is None:
            return ""
        if len(days) == 1:
            return below.clock(time)
        # The year stands at the top.
        one_year = len({day.year for day in days}) == 1
        return below.stamp(time)[5 if one_year and page.width < WIDE else 0 :]

    if page.width >= WIDE:
        rows = [_wide(page, device, at(device.time), WORDS) for device in devices]
        if page.wants(WIDE_COLUMNS, rows) > page.width:
            rows = [_wide(page, device, at(device.time), {}) for device in devices]
        page.table(WIDE_COLUMNS, rows)
        return
    for outcome in outcomes_of(devices):
        page.heading(outcome)
        own = [device for device in devices if device.last.outcome == outcome]
        page.table(NARROW_COLUMNS, [_narrow(page, device, at(device.time)) for device in own])


WIDE_COLUMNS = [
    Column("device", yields=True, least=15),
    Column("latest"),
    Column("tries", right=True),
    Column("issued", right=True),
    Column("failed", right=True),
    Column("incomplete", right=True),
    Column("at"),
    Column("took", right=True),
    Column("reached", yields=True, least=15),
    Column("cause", yields=True, least=20),
]
NARROW_COLUMNS = [
    Column("device", yields=True, least=15),
    Column("ok", right=True),
    Column("failed", right=True),
    Column("at", yields=True, least=8),
    Column("took", right=True),
    Column("step", yields=True, least=6),
    Column("cause", yields=True, least=13),
]


def _cause(page: Page, device: Device) -> Text:
    return page.log(" or ".join(device.last.causes) or (_UNKNOWN if device.last.outcome == "failed" else ""))


def _reached(device: Device) -> str:
    return "no step" if device.last.reached == "none" else device.last.reached


def _wide(page: Page, device: Device, at: str, words: Mapping[str, str]) -> list[Text]:
    reached, took = _reached(device), device.seconds
    issued, failed, incomplete = (device.counts.get(o, 0) for o in ("issued", "failed", "incomplete"))
    return [
        page.log(device.name),
        page.say(device.last.outcome, _OUTCOMES[device.last.outcome]),
        page.say(f"{device.attempts:,}"),
        page.say(f"{issued:,}"),
        page.say(f"{failed:,}"),
        page.say(f"{incomplete:,}" if incomplete else ""),
        page.say(at),
        page.say("" if took is None else seconds(took)),
        page.say(f"{words[reached]} ({reached})" if reached in words else reached),
        _cause(page, device),
    ]


def _narrow(page: Page, device: Device, at: str) -> list[Text]:
    took = device.seconds
    return [
        page.log(device.name),
        page.say(f"{device.counts.get('issued', 0):,}"),
        page.say(f"{device.counts.get('failed', 0):,} of {device.attempts:,}"),
        page.say(at),
        page.say("" if took is None else f"{took:.1f} s" if took < 60 else seconds(took)),
        page.say(_reached(device)),
        _cause(page, device),
    ]


def document(devices: Devices, wish: Wish) -> dict[str, Any]:
    """Make the JSON document: times in UTC, the devices that were asked for."""
    shown = [device for device in devices.every if wish.fits(device)]
    return {
        "schema": SCHEMA,
        "bundle": devices.bundle,
        "asked": {
            "outcomes": None if wish.outcomes is None else list(wish.outcomes),
            "causes": None if wish.rules is None else list(wish.rules),
        },
        "total": len(devices.every),
        "shown": len(shown),
        "outcomes": dict.fromkeys(OUTCOMES, 0) | outcomes_of(devices.every),
        "causes": [{"causes": list(causes), "devices": count} for causes, count in causes_of(devices.every)],
        "devices": [_plain(device) | {"causes": list(device.last.causes)} for device in shown],
    }


def _plain(device: Device) -> dict[str, Any]:
    """Give what is told of a device, by the names that JSON and CSV have for it."""
    last = device.last
    return {
        "device": last.device,
        "latest": last.id,
        "outcome": last.outcome,
        "causes": " or ".join(last.causes),
        "attempts": device.attempts,
        "issued": device.counts.get("issued", 0),
        "failed": device.counts.get("failed", 0),
        "incomplete": device.counts.get("incomplete", 0),
        "started": _utc(last.started),
        "ended": _utc(last.ended),
        "seconds": None if device.seconds is None else round(device.seconds, 3),
        "reached": last.reached,
        "missing": last.missing,
        "est_error": last.est_error,
    }


def _utc(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def as_json(devices: Devices, wish: Wish) -> str:
    """Set the document, a line for each device; nothing in it acts on a terminal."""
    made = document(devices, wish)
    parts = []
    for name, value in made.items():
        items = ",\n".join(map(_json, value)) if name == "devices" else ""
        parts.append(f'"{name}": ' + (f"[\n{items}\n]" if items else _json(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _json(value: Any) -> str:
    # ASCII alone: whatever a terminal could take for a command is escaped.
    return json.dumps(_clean(value), allow_nan=False)


def _clean(value: Any) -> Any:
    """Write lone surrogates, which are no characters, as the text that stands for them, as the report does."""
    if isinstance(value, str):
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    if isinstance(value, list):
        return [_clean(part) for part in value]
    if isinstance(value, dict):
        return {name: _clean(part) for name, part in value.items()}
    return value


def as_csv(devices: Devices, wish: Wish) -> str:
    """Set the devices as CSV, with a line of titles; an enrollment without a device has an empty name."""
    rows = [line(TITLES, "\n")]
    for device in devices.every:
        if wish.fits(device):
            told = _plain(device)
            rows.append(line((told[name] for name in TITLES), "\n"))
    return "".join(rows)
