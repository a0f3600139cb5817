r"""Markdown that pastes well into a ticket (GitHub, GitLab, Jira, ServiceNow), and the door by which text gets into it.

What a log, a bundle or a device says is set as code, where nothing is markup: in a line in backticks
(:meth:`Sheet.code`), by itself in a fence (:meth:`Sheet.fence`). capflog's prose and that of rule files may quote
logs, so no word of it is trusted either (:meth:`Sheet.prose`): a word stays plain only if nothing in it could be markup
or be made a link by a ticket system (``@team``, ``#12``, ``!34``, a commit, a host name, ``:smile:``); every other
word is set as code, which suits what such words are: file names, commands, ``EST_ERR_AUTH_FAIL``.

Text is shown as :func:`capflog.safe_text.visible` shows it. Paragraphs are one line each, however long: ticket systems
show a line end as one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capflog.reports.layout import PROSE, Page, paragraphs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Backticks in a row that code in backticks may hold; where there are more, they are escaped: renderers do not look for
#: an end of any length.
_TICKS = 3
_RUN = re.compile("`+")

#: A piece of prose: ``<the account>`` with its blanks, or a word.
_PIECE = re.compile(r"[(\"']*(?:<[^<>`]{1,60}>[^\s<>]*)+|\S+")
_BEFORE, _AFTER = "(\"'‘“", ")\"'’”.,;:!?…%"

#: Words that are plain: no character that may be markup but behind a letter or digit, and none of those at all.
_LETTERS = re.compile(r"(?:(?:\+/-|[-+])(?=\d))?[^\x00-/:-@\[-`{-\x7f][^\x00-&*<>?@\[-`{-\x7f]*")
_SIGNS = frozenset({"-", "--", "+", "=", "/", "%", ">", "->", "=>", "<", "<=", ">=", "+/-", ""})

#: What is made a link though it is of such characters alone: an address, a host's name, an issue, a commit, an emoji.
_LINKED = re.compile(r":/|\w\.[^\W\d_]{2}|^gh-\d|^(?=.*\d)[0-9a-f]{7,64}$", re.IGNORECASE)

_EMOJI = re.compile(r":(?!\d\d:)[\w+-]+:")

#: What begins a list, a heading, a quotation or a rule where it stands first in a line.
_FIRST = re.compile(r"^([-+>=]|\d{1,9}(?=[.)](?:\s|$)))")

#: An address that may be a link: of characters alone that end none.
_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(?:/[A-Za-z0-9./_%?=&~+#:,-]*)?")


class Sheet:
    """A Markdown text in the making. ``unicode``: not of ASCII alone."""

    def __init__(self, *, unicode: bool) -> None:
        self._page = Page(PROSE, color=False, unicode=unicode)
        self._parts: list[str] = []

    def code(self, text: str, *, cell: bool = False) -> str:
        """Set what is not ours as code. ``cell``: in a table, where a bar would end the cell: it is escaped."""
        return _code(self._page.log(text).plain, cell=cell)

    def prose(self, text: str, *, cell: bool = False) -> str:
        """Set prose in a line; ``cell`` as in :meth:`code`."""
        return marked(self._page.say(text).plain, cell=cell)

    def link(self, title: str, url: str) -> str:
        """Set a rule's reference; an address that holds anything odd is shown, but no link."""
        named = self.prose(title) if title.strip() else ""
        if not url.strip():
            return named
        if not _ADDRESS.fullmatch(url):
            return f"{named} {self.code(url)}".strip()
        return f"[{named or self.code(url)}]({url})"

    def add(self, text: str) -> None:
        """Add a paragraph, or another block, that is Markdown already."""
        self._parts.append(text)

    def heading(self, level: int, text: str) -> None:
        """Add a heading; the text is Markdown already."""
        self.add(f"{'#' * level} {text}")

    def listed(self, items: Iterable[str]) -> None:
        """Add a list; the items are Markdown already, a line each."""
        made = "\n".join(f"- {item}" for item in items)
        if made:
            self.add(made)

    def paragraphs(self, text: str) -> None:
        """Add prose of a rule; what is indented in it (a command) stands in a fence."""
        for block in self._blocks(text):
            self.add(block)

    def numbered(self, items: Sequence[str]) -> None:
        """Add prose of a rule as a numbered list."""
        made = []
        for number, item in enumerate(items, 1):
            lead = f"{number}. "
            lines = "\n\n".join(self._blocks(item) or [""]).split("\n")
            made += [lead + lines[0], *((" " * len(lead) + line if line else "") for line in lines[1:])]
        if made:
            self.add("\n".join(made))

    def fence(self, lines: Iterable[str]) -> str:
        """Set lines that are not ours as they are, in a fence that none of them can end."""
        shown = [self._page.log(line).plain for line in lines]
        longest = max((len(run) for line in shown for run in _RUN.findall(line)), default=0)
        ticks = "`" * max(3, longest + 1)
        return "\n".join([f"{ticks}text", *shown, ticks])

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; the cells are Markdown already, with ``cell``. Columns that no row fills are left out."""
        keep = [place for place in range(len(titles)) if any(row[place] for row in rows)]
        if not keep:
            return
        lines = [[titles[place] for place in keep], ["---"] * len(keep)]
        lines += [[row[place] for place in keep] for row in rows]
        self.add("\n".join(f"| {' | '.join(cells)} |" for cells in lines))

    def text(self) -> str:
        """The finished text; it ends with a line end."""
        return "\n\n".join(self._parts) + "\n"

    def _blocks(self, text: str) -> list[str]:
        blocks: list[str] = []
        commands: list[str] = []
        for piece in paragraphs(text):
            if piece.startswith(" "):
                commands.append(piece.strip())
                continue
            if commands:
                blocks.append(self.fence(commands))
                commands = []
            blocks.append(self.prose(piece))
        return [*blocks, self.fence(commands)] if commands else blocks


def _code(shown: str, *, cell: bool = False) -> str:
    if not shown:
        return ""
    if cell:
        shown = shown.replace("|", r"\x7c")
    shown = _RUN.sub(lambda run: run[0] if len(run[0]) <= _TICKS else r"\x60" * len(run[0]), shown)
    longest = max(map(len, _RUN.findall(shown)), default=0)
    ticks = "`" * (longest + 1)
    # One blank at each end is taken off where there is one at both; a backtick there would lengthen the others.
    padded = shown[0] == "`" or shown[-1] == "`" or (shown[0] == shown[-1] == " " and shown.strip())
    return f"{ticks} {shown} {ticks}" if padded else f"{ticks}{shown}{ticks}"


def marked(shown: str, *, cell: bool = False) -> str:
    """Set prose that is visible already (see :func:`capflog.safe_text.visible`) as Markdown, in a line."""
    made: list[str] = []
    code = ""  # words in a row that are set as one
    end = 0
    for found in _PIECE.finditer(shown):
        piece, gap = found[0], " " if found.start() > end else ""
        end = found.end()
        rest = piece.lstrip(_BEFORE)
        before = piece[: len(piece) - len(rest)]
        core = rest.rstrip(_AFTER)
        plain = _plain(core, rest)
        if code and (plain or before):
            made.append(_code(code, cell=cell))
            code = ""
        if plain:
            made.append(gap + piece)
            continue
        if code:
            code += gap + core
        else:
            made.append(gap + before)
            code = core
        if len(core) < len(rest):
            made.append(_code(code, cell=cell) + rest[len(core) :])
            code = ""
    made.append(_code(code, cell=cell))
    return _FIRST.sub(lambda first: _escaped(first[1]), "".join(made).strip())


def _plain(core: str, rest: str) -> bool:
    """Tell whether a word can be nothing but a word; ``core``: it without stops and quotes."""
    if core in _SIGNS:
        return True
    return bool(_LETTERS.fullmatch(core)) and not _LINKED.search(core) and not _EMOJI.search(rest)


def _escaped(first: str) -> str:
    # "1." begins a list where the stop is one; all else does by itself.
    return f"{first}\\" if first[0].isdigit() else f"\\{first}"
