"""Writes docs/cli.md and the man page, docs/capflog.1, of what help says (``python docs/make_cli.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from capflog import __version__
from capflog.cli import cli
from capflog.commands.base import Commands, Group
from capflog.commands.helping import Named, sections, summary
from capflog.commands.settings import KEYS, variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DOCS = Path(__file__).parent

#: Help as a terminal of 80 columns shows it.
WIDTH = 78

ABOUT = "find out why Cisco IP phones do not get their certificates"

HEAD = """# capflog on the command line

Made of what `capflog --help` and `capflog help COMMAND` print, as is the man page (`man capflog`).

"""

EXIT = (
    ("0", "It is done, whatever was found."),
    ("1", "check: a finding fails the gate; rules test, rules lint: something is wrong with a rule; diff --exit-code."),
    ("2", "Nothing could be read, something could not be written, or the call was wrong. Standard error says why."),
    ("130, 143", "It was interrupted (Ctrl-C), or terminated."),
)

VARIABLES = (
    ("CAPFLOG_CONFIG", "The one file of settings, as --config."),
    ("CAPFLOG_NO_CONFIG", "1: settings are taken from no file, as --no-config."),
    ("CAPFLOG_DEBUG", "1: a fault of capflog's own is shown with its place."),
    ("NO_COLOR", "Not empty: no colour where --color does not ask for it."),
    ("FORCE_COLOR", "Not empty: colour, even where the result goes to a pipe."),
    ("COLUMNS", "How wide text is; else as wide as the terminal, and 80 columns in a pipe."),
    ("PAGER, LESS", "What --pager runs, and how; else less, or more."),
)

FILES = (
    ("capflog.toml", "Settings; the nearest one upwards from the working folder, see 'capflog config --help'."),
    ("pyproject.toml", "The same in its table [tool.capflog]."),
    ("~/.config/capflog/capflog.toml", "Your own settings; 'capflog config' names the place on other systems."),
    (
        "~/.local/share/capflog/capflog.db",
        "The last ten analyses, for timeline, devices, export and sql; --store puts them elsewhere.",
    ),
)


def contexts() -> Iterator[click.Context]:
    """Give every command as a call of it would have it, the program itself first."""
    waiting = [_context(cli, "capflog", None)]
    while waiting:
        context = waiting.pop(0)
        yield context
        group = context.command
        if isinstance(group, Commands | Group):
            below = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
            waiting[:0] = [_context(one, name, context) for name, one in below if one is not None]


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return command.make_context(name, [], parent, resilient_parsing=True, terminal_width=WIDTH, color=False)


# docs/cli.md


def page() -> str:
    """Give docs/cli.md."""
    every = list(contexts())
    lines = [HEAD, "| command | what it does |\n|---|---|\n"]
    for context in every[1:]:
        anchor = context.command_path.replace(" ", "-")
        lines.append(f"| [{context.command_path}](#{anchor}) | {summary(context.command)} |\n")
    lines += [f"\n## {context.command_path}\n\n```text\n{context.get_help()}\n```\n" for context in every]
    return "".join(lines)


# docs/capflog.1


def manual() -> str:
    """Give docs/capflog.1, in roff with the macros of man(7)."""
    return "".join(f"{line}\n" for line in _manual())


def _manual() -> Iterator[str]:
    top, *every = contexts()
    yield '.\\" Written by docs/make_cli.py.'
    yield f'.TH CAPFLOG 1 "" "capflog {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"capflog \\- {_roff(ABOUT)}"
    yield ".SH SYNOPSIS"
    yield _usage(top)
    yield ".SH DESCRIPTION"
    yield from _prose(top.command.help or "")
    yield ".SH OPTIONS"
    yield from _options(top)
    yield ".SH COMMON OPTIONS"
    yield "Every command has these, too:"
    yield from _options(every[0], common=True)
    yield ".SH COMMANDS"
    for context in every:
        yield f".SS {_roff(context.command_path)}"
        yield _usage(context)
        yield ".PP"
        yield from _prose(context.command.help or "")
        yield from _options(context)
        yield from _examples(context.command)
    for title, rows in (
        ("EXIT STATUS", EXIT),
        ("ENVIRONMENT", [*_settings(), *VARIABLES]),
        ("FILES", FILES),
    ):
        yield f".SH {title}"
        yield from _list(rows)
    yield ".SH SEE ALSO"
    yield ".BR less (1),"
    yield ".BR unzip (1)"


def _roff(text: str) -> str:
    """Write text so that roff shows it as it is: no macro, no escape, no sign that becomes another."""
    signs = {"\\": "\\e", "-": "\\-", "'": "\\(aq", '"': "\\(dq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti"}
    shown = "".join(signs.get(sign) or (sign if sign.isascii() else f"\\[u{ord(sign):04X}]") for sign in text)
    return f"\\&{shown}" if shown.startswith(".") else shown


def _usage(context: click.Context) -> str:
    words = " ".join(context.command.collect_usage_pieces(context))
    return f"\\fB{_roff(context.command_path)}\\fR {_roff(words)}".rstrip()


def _prose(text: str) -> Iterator[str]:
    """Set help's paragraphs; those that begin with a backspace keep their lines."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        lines = paragraph.strip("\n").split("\n")
        if lines[0].strip() == "\b":
            yield ".nf"
            yield from (_roff(line) for line in lines[1:])
            yield ".fi"
        else:
            yield from (_roff(line.strip()) for line in lines)


def _options(context: click.Context, *, common: bool = False) -> Iterator[str]:
    for title, rows in sections(context.command, context):
        if (title == "Common") != common and context.parent is not None:
            continue
        if title not in ("Options", "Common"):
            yield ".PP"
            yield f".I {_roff(title)}"
        yield from _list(rows)
    if not common:
        for option in context.command.get_params(context):
            if isinstance(option, Named):
                yield ".PP"
                yield f".I {_roff(option.title)}"
                yield from _list(option.meanings.items())


def _list(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, text in rows:
        yield ".TP"
        yield f".B {_roff(term)}"
        yield _roff(" ".join(text.split()))


def _examples(command: click.Command) -> Iterator[str]:
    examples = getattr(command, "examples", ())
    if not examples:
        return
    yield ".PP"
    yield ".I Examples"
    for call, words in examples:
        yield ".PP"
        yield ".nf"
        yield ".RS"
        if words:
            yield _roff(f"# {words}")
        yield _roff(call)
        yield ".RE"
        yield ".fi"


def _settings() -> Iterator[tuple[str, str]]:
    for key in KEYS:
        yield variable(key.name), f"As --{key.name}: {key.what.partition('; ')[0]}.  [default: {key.default}]"


def main() -> None:
    """Write both files."""
    (DOCS / "cli.md").write_text(page(), encoding="utf-8")
    (DOCS / "capflog.1").write_text(manual(), encoding="utf-8")


if __name__ == "__main__":
    main()
