"""``capflog config``: each setting, its value and where that is from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.base import Command
from capflog.commands.console import put, screen
from capflog.commands.settings import KEYS, at_call, shown_environment, user_file, variable

if TYPE_CHECKING:
    from capflog.commands.settings import Settings


@click.command(
    cls=Command,
    short_help="The settings, and where each is from.",
    examples=(
        ("capflog config", ""),
        ("capflog config --format json", ""),
        ("CAPFLOG_FAIL_ON=warning capflog config", "what the environment says"),
    ),
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What standard output gets.",
)
def config(form: str) -> None:
    """Show every setting, its value, and which file or variable it is from.

    What a call says goes before the environment, that before the files: the nearest capflog.toml, or pyproject.toml
    with a table [tool.capflog], upwards from the working folder; then capflog.toml in your own configuration folder.
    A key is an option's name without dashes, its variable CAPFLOG_ and that in capitals. Paths are relative to the
    file that names them; several words of a variable stand between commas, several folders as in PATH.

    \b
      fail-on = ["warning"]
      baseline = "known.json"
    \b
      [[ignore]]
      rule = "clock-offset"
      reason = "the lab's CA has no time server, CHG0042"
      until = 2027-01-31
      devices = ["SEP*"]              # of these alone; may be left out
    """
    settings = at_call(click.get_current_context())
    rows = _rows(settings)
    if form == "json":
        put(json.dumps(_document(settings, rows), indent=2) + "\n")
        return
    put(_text(settings, rows))


def _rows(settings: Settings) -> list[dict[str, Any]]:
    environment = shown_environment()
    rows = []
    for key in KEYS:
        row: dict[str, Any] = {"key": key.name, "variable": variable(key.name), "what": key.what}
        if key.name in environment:
            row |= {"value": environment[key.name], "source": variable(key.name)}
        elif key.name in settings.values:
            value = settings.values[key.name]
            shown = value.value if key.kind in ("path", "paths") else value.shown
            row |= {"value": list(shown) if isinstance(shown, tuple) else shown, "source": str(value.source)}
        elif key.name == "ignore" and settings.ignores:
            row |= {"value": f"{len(settings.ignores)}, see below", "source": settings.ignores[0].source}
        else:
            row |= {"value": None, "source": "default", "default": key.default}
        rows.append(row)
    return rows


def _document(settings: Settings, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schema": "capflog-config-1",
        "files": [str(path) for path in settings.files],
        "own": str(user_file()),
        "settings": rows,
        "ignores": [
            {
                "rule": one.rule,
                "reason": one.reason,
                "until": one.until.isoformat(),
                "devices": list(one.devices),
                "source": one.source,
            }
            for one in settings.ignores
        ],
    }


def _text(settings: Settings, rows: list[dict[str, Any]]) -> str:
    from capflog.reports.layout import Column, Page  # noqa: PLC0415  (rich is behind it)

    page = Page(**screen())
    columns = [
        Column("key"),
        Column("value", yields=True, least=10),
        Column("from", yields=True, least=10),
        Column("what it is", yields=True, least=14),
    ]
    cells = []
    for row in rows:
        given = row["source"] != "default"
        value = row["value"] if given else f"({row['default']})"
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, bool):
            value = str(value).lower()
        cells.append(
            [
                page.say(row["key"], "bold" if given else ""),
                page.log(str(value), "" if given else "dim"),
                page.log(row["source"] if given else "default", "" if given else "dim"),
                page.say(row["what"], "dim"),
            ]
        )
    page.table(columns, cells)
    for one in settings.ignores:
        page.blank()
        of = f" for {', '.join(one.devices)}" if one.devices else ""
        page.add(page.log(f"ignore {one.rule}{of} until {one.until.isoformat()}: {one.reason}"), hang=2)
        page.add(page.log(f"from {one.source}", "dim"), indent=2)
    page.blank()
    files = ", then ".join(str(path) for path in settings.files) or "none"
    page.add(page.log(f"Files read: {files}. Your own would be {user_file()}."))
    return page.text()
