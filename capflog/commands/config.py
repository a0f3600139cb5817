"""``capflog config``: each setting, its value and where that is from."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.asking_settings import wrong_keys
from capflog.commands.base import Command
from capflog.commands.console import UNUSABLE, put, say, screen
from capflog.commands.settings import KEYS, key_of, shown_environment, user_file, variable
from capflog.commands.this_call import at_call, be_lenient

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from capflog.commands.settings import Settings


class _Lenient(Command):
    """The command that shows settings: one that cannot be does not end it, and has no say in how it is shown."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        for option in self.params:
            option.envvar = None

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Read the call, with what is set of its own options as far as that can be."""
        if parent is not None and not extra.get("resilient_parsing") and not {"-h", "--help"} & set(args):
            be_lenient(parent)
            settings = at_call(parent)
            wrong = wrong_keys(parent, settings, tell=False)
            said = {key: one.value for key, one in settings.values.items()} | shown_environment()
            own = {option.name: (key_of(option), option.type) for option in self.params if option.name is not None}
            extra["default_map"] = {
                name: said[key]
                for name, (key, kind) in own.items()
                if key in said
                and key not in wrong
                and not (isinstance(kind, click.Choice) and said[key] not in kind.choices)
            }
        return super().make_context(info_name, args, parent, **extra)


@click.command(
    cls=_Lenient,
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
    file that names them; several words of a variable stand between commas, several folders as in PATH. Where a value
    cannot be, or a file cannot be read, a line says why, and the exit status is 2.

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
    context = click.get_current_context()
    settings = at_call(context)
    for fault in settings.faults:
        say(fault)
    wrong = wrong_keys(context, settings, tell=True)
    rows = _rows(settings, wrong)
    put(
        json.dumps(_document(settings, rows), indent=2, default=str) + "\n" if form == "json" else _text(settings, rows)
    )
    if wrong or settings.faults:
        raise click.exceptions.Exit(UNUSABLE)


def _rows(settings: Settings, wrong: AbstractSet[str]) -> list[dict[str, Any]]:
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
        elif key.name in settings.wrong:
            value = settings.wrong[key.name]
            row |= {"value": "tables" if key.name == "ignore" else value.shown, "source": str(value.source)}
        elif key.name == "ignore" and settings.ignores:
            row |= {"value": f"{len(settings.ignores)}, see below", "source": settings.ignores[0].source}
        else:
            row |= {"value": None, "source": "default", "default": key.default}
        if key.name in wrong:
            row["wrong"] = True
            if isinstance(row["value"], float) and not math.isfinite(row["value"]):
                row["value"] = str(row["value"])  # JSON has no such number
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
        bad = "wrong" in row
        value = f"wrong: {value}" if bad else value
        cells.append(
            [
                page.say(row["key"], "bold" if given else ""),
                page.log(str(value), "red" if bad else "" if given else "dim"),
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
