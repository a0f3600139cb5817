"""What ``capflog diff --format json`` prints.

The document (``diff.schema.json``) has ``before`` and ``after`` (each side: bundle, verdict, first, last, counts,
sources, and ``lacks``: logs that the other side has), ``same`` (nothing differs), ``worse`` (an error came, or a device
broke), ``notes``, ``causes``, ``devices`` (all but those that are well on both sides) and ``well`` (how many are),
``changes`` of clocks and settings. Times are RFC 3339 in UTC; text stands as it was logged.
"""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

import capflog

if TYPE_CHECKING:
    from datetime import datetime

    from capflog.comparing import Difference
    from capflog.sides import Seen, Side

SCHEMA = "capflog-diff-1"


def document(difference: Difference) -> dict[str, Any]:
    """Make the document of ``diff.schema.json``."""
    return {
        "schema": SCHEMA,
        "tool": {"name": "capflog", "version": capflog.__version__},
        "before": _side(difference.before),
        "after": _side(difference.after),
        "same": difference.same,
        "worse": difference.worse,
        "notes": list(difference.notes),
        "causes": [
            {
                "rule": cause.rule,
                "title": cause.title,
                "turn": cause.turn,
                "severity": cause.severity,
                "why": cause.why,
                "changed": cause.changed,
                "before": _seen(cause.before),
                "after": _seen(cause.after),
            }
            for cause in difference.causes
        ],
        "devices": [
            {
                "device": one.device,
                "fate": one.fate,
                "before": None
                if one.before is None
                else {"outcome": one.before.outcome, "causes": [*one.before.causes]},
                "after": None if one.after is None else {"outcome": one.after.outcome, "causes": [*one.after.causes]},
            }
            for one in difference.devices
            if one.fate != "well"
        ],
        "well": sum(one.fate == "well" for one in difference.devices),
        "changes": [
            {"room": one.room, "of": one.of, "what": one.what, "before": one.before, "after": one.after}
            for one in difference.changes
        ],
    }


def text(difference: Difference) -> str:
    """Write the document, a line for each cause and device; ASCII alone: nothing in it acts on a terminal."""
    parts = []
    for name, value in document(difference).items():
        lines = ",\n".join(map(_json, value)) if isinstance(value, list) else ""
        parts.append(f'"{name}": ' + (f"[\n{lines}\n]" if lines else _json(value)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _side(side: Side) -> dict[str, Any]:
    return {
        "bundle": side.name,
        "verdict": side.verdict,
        "first": _utc(side.first),
        "last": _utc(side.last),
        **side.counts,
        "sources": list(side.sources),
        "lacks": list(side.lacks),
    }


def _seen(seen: Seen | None) -> dict[str, Any] | None:
    if seen is None:
        return None
    return {
        "severity": seen.severity,
        "scope": seen.scope,
        "devices": list(seen.devices),
        "occurrences": seen.occurrences,
        "resolved": seen.resolved,
    }


def _utc(time: datetime | None) -> str | None:
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
