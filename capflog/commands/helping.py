"""How help is set: options in sections, names that an option takes in a table, examples, headings on a terminal."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

import click

from capflog.commands.console import PIPED_WIDTH, colored
from capflog.commands.settings import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

#: The sections of options, in the order of help; what is in none of them comes first, as "Options".
SECTIONS = {
    "What is asked": frozenset(
        {"where", "rules", "outcome", "cause", "device", "since", "until", "around", "within", "all"}
    ),
    "The gate": frozenset(
        {"together", "fail-on", "select", "ignore", "min-coverage", "require", "baseline", "write-baseline"}
    ),
    "What is written": frozenset({"format", "output"}),
    "What the logs do not tell of their clocks": frozenset({"tz", "iis-tz", "date", "no-align", "display-tz"}),
    "What is kept": frozenset({"store", "no-store"}),
    "Common": frozenset({"color", "pager", "quiet", "verbose", "help"}),
}

#: How many columns help takes at least.
_NARROWEST = 50

#: How many columns a term may take before its text begins in the next line.
_WIDEST = 26


#: Stands for a hyphen while lines are broken: else they were broken within ``--fail-on``.
_HYPHEN = "\u2011"


class Formatter(click.HelpFormatter):
    """Sets headings bold and remarks dim where ``styled``, breaks no line at a hyphen; all else is as click has it."""

    styled = False

    def write_text(self, text: str) -> None:
        """Write prose."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = _WIDEST, col_spacing: int = 2) -> None:
        """Write a list of terms, each with its text."""
        super().write_dl([(term, text.replace("-", _HYPHEN)) for term, text in rows], col_max, col_spacing)

    def getvalue(self) -> str:
        """Give all that was written; no line ends in blanks."""
        lines = super().getvalue().replace(_HYPHEN, "-").split("\n")
        return "\n".join(line.rstrip() for line in lines)

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        text = click.style(f"{heading}:", bold=True) if self.styled else f"{heading}:"
        self.write(f"{'':>{self.current_indent}}{text}\n")


class Context(click.Context):
    """A call, whose help has bold headings where it goes to a terminal that shows them."""

    def make_formatter(self) -> click.HelpFormatter:
        """Make what sets help."""
        room = min(shutil.get_terminal_size().columns, self.max_content_width or PIPED_WIDTH) - 2
        made = Formatter(width=self.terminal_width or max(room, _NARROWEST))
        made.styled = colored(sys.stdout) if self.color is None else self.color
        return made


class Named(click.Option):
    """An option that takes a name; help lists the names with what each means in a section of their own.

    ``meanings``: a few words for each name; ``title``: the section's.
    """

    def __init__(self, *args: Any, meanings: Mapping[str, str], title: str = "Formats", **more: Any) -> None:
        super().__init__(*args, **more)
        self.meanings = dict(meanings)
        self.title = title


def sections(command: click.Command, ctx: click.Context) -> list[tuple[str, list[tuple[str, str]]]]:
    """Give the titles of a command's sections of options, each with its rows: how it is written, what it does."""
    rows: dict[str, list[tuple[str, str]]] = {title: [] for title in ("Options", *SECTIONS)}
    for option in command.get_params(ctx):
        row = option.get_help_record(ctx) if isinstance(option, click.Option) else None
        if row is not None:
            key = key_of(option)
            rows[next((title for title, keys in SECTIONS.items() if key in keys), "Options")].append(row)
    return [(title, found) for title, found in rows.items() if found]


def aligned(rows: Sequence[tuple[str, str]], wide: int) -> list[tuple[str, str]]:
    """Widen a list's first term, so that all lists of a page begin their second column at one place."""
    (term, text), *others = rows
    return [(term.ljust(min(wide, _WIDEST)), text), *others]


def remark(formatter: click.HelpFormatter, words: str) -> None:
    """Write a shell's remark, in as many lines as it takes."""
    styled = isinstance(formatter, Formatter) and formatter.styled
    before = f"{'':>{formatter.current_indent}}# "
    for line in click.formatting.wrap_text(words, formatter.width, before, before).split("\n"):
        formatter.write(f"{click.style(line, dim=True) if styled else line}\n")


def summary(command: click.Command | None) -> str:
    """Say in a few words what a command does; nothing is cut."""
    return "" if command is None else command.get_short_help_str(1000)


def in_lines(call: str, width: int, indent: int) -> str:
    """Set an example; one that is too long goes on in the next line, in the shell's manner, best before an option."""
    room = width - indent - 2
    lines: list[str] = []
    for piece in _pieces(call, _before_option):
        fits = len(piece) <= room - 4
        for part in [piece] if fits else _pieces(piece, _anywhere):
            if lines and len(lines[-1]) + 1 + len(part) <= room - (4 if len(lines) > 1 else 0):
                lines[-1] += f" {part}"
            else:
                lines.append(part)
    margin = " " * indent
    return margin + f" \\\n{margin}    ".join(lines) + "\n"


def _before_option(before: str, after: str) -> bool:
    return after in "-|>" and before not in "-|"


def _anywhere(_before: str, _after: str) -> bool:
    return True


def _pieces(call: str, ends: Callable[[str, str], bool]) -> Iterator[str]:
    """Part a call at blanks where a line may end, as ``ends`` tells of the signs around it; never within quotes."""
    piece, quoted = "", ""
    for place, character in enumerate(call):
        if character in "'\"" and quoted in ("", character):
            quoted = "" if quoted else character
        if character == " " and not quoted and ends(call[place - 1], call[place + 1]):
            yield piece
            piece = ""
            continue
        piece += character
    yield piece
