"""What the reports for people share: lines that fit a width, columns, and words for amounts.

A page knows two kinds of text, and both go through :mod:`capflog.safe_text`: ``log`` is what a log, a bundle or a
device says, ``say`` is capflog's own prose. Nothing is ever read as markup.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from rich.cells import cell_len, get_character_cell_size
from rich.console import Console
from rich.text import Text

from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


#: No page is narrower than this many cells, however narrow the terminal.
NARROWEST = 40

#: Prose is not set wider than this: longer lines are hard to read. Log lines take the whole width.
PROSE = 100

_PLAIN_MARKS = str.maketrans(
    {
        "…": "...",
        "–": "-",
        "—": "-",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "±": "+/-",
        "→": "->",
        "×": "x",
        "\u00a0": " ",
    }
)
_SOURCE_NAMES = {"capf": "CAPF", "ciscora": "CiscoRA", "nginx": "NGINX", "iis": "IIS", "httperr": "HTTPERR"}
_BREAKS = frozenset("/-_.,;:&?=)|")


def source_name(source: str) -> str:
    """Name a log as people do: ``CiscoRA`` for ``ciscora``; another parser's source in capitals."""
    return _SOURCE_NAMES.get(source, source.upper())


def some(count: int, one: str, many: str = "") -> str:
    """Say an amount: ``1 phone``, ``1,200 phones``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def joined(words: Sequence[str], last: str = "and") -> str:
    """Put words into a sentence: ``a, b and c``."""
    return f" {last} ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else "".join(words)


def seconds(amount: float) -> str:
    """Say a time span, given in seconds, with the digits that matter: ``0.608 s``, ``2 min 3 s``, ``5 h 0 min``."""
    amount = abs(amount)
    if amount < 60:
        return f"{amount:.3f} s"
    whole = round(amount)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _fitting(plain: str, start: int, width: int) -> int:
    """The end of the longest piece from ``start`` that takes at most ``width`` cells; one character at least."""
    if plain.isascii():
        return min(len(plain), start + width)
    end, cells = start, 0
    while end < len(plain):
        cells += get_character_cell_size(plain[end])
        if cells > width:
            break
        end += 1
    return max(end, start + 1)


def _place_to_cut(plain: str, floor: int, end: int) -> int:
    """Where a long word is best cut, behind ``floor`` and not behind ``end``; 0: nowhere better than elsewhere."""
    for breaks in ("/", _BREAKS):
        for place in range(end, floor, -1):
            if plain[place - 1] in breaks and "://" not in plain[max(place - 3, 0) : place + 2]:
                return place
    return 0


def longest(text: Text) -> int:
    """Say how many cells the longest line of a text takes."""
    return max(map(cell_len, text.plain.split("\n"))) if "\n" in text.plain else text.cell_len


def wrap(text: Text, width: int) -> list[Text]:
    """Break text into lines of at most ``width`` cells: between words, else in one, best behind a ``/`` or ``-``.

    Where it has line ends (what went through ``visible`` has none of a log's), lines end there in any case.
    """
    if "\n" in text.plain:
        return [line for part in text.split("\n", allow_blank=True) for line in wrap(part, width)]
    spans = list(_lines(text.plain, width))
    if text.spans:
        # Cut at once: cutting off line by line would copy what is left each time.
        edges = sorted({edge for span in spans for edge in span})
        pieces = dict(zip(zip([0, *edges], [*edges, len(text)], strict=True), text.divide(edges), strict=True))
        lines = [pieces[span] if span in pieces else text[slice(*span)] for span in spans]
    else:
        lines = [Text(text.plain[begin:end], text.style) for begin, end in spans]
    for line in lines:
        line.rstrip()
    return lines or [Text("")]


def _lines(plain: str, width: int) -> Iterator[tuple[int, int]]:
    """Give the begin and the end of each line."""
    start = 0
    while start < len(plain):
        end = _fitting(plain, start, width)
        if end == len(plain):
            yield start, end
            return
        blank = end if plain[end] == " " else plain.rfind(" ", start + 1, end)
        if not plain[start:blank].strip():
            blank = -1
        if blank > start:
            # A word that is longer than a line is as good as one that ends beyond it.
            following = plain.find(" ", blank + 1, blank + width + 2)
            word = plain[blank + 1 : following if following >= 0 else blank + width + 2]
            if plain[end] == " " or cell_len(word) <= width:
                yield start, blank
                start = blank
                while start < len(plain) and plain[start] == " ":
                    start += 1
                continue
        floor = max(start + (end - start) // 2, blank + 1)
        cut = _place_to_cut(plain, floor, end)
        if not cut and blank > start:
            yield start, blank
            start = blank + 1
            continue
        cut = cut or end
        yield start, cut
        start = cut


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. ``yields``: it becomes narrower, down to ``least`` cells, where the table is too wide.

    ``folds``: its title may stand in several lines, where the page has no room for it.
    """

    title: str
    right: bool = False
    yields: bool = False
    least: int = 12
    folds: bool = False

    def wants(self, cells: Iterable[Text], *, folded: bool) -> int:
        """Say how many cells it takes if nothing is wrapped but, where it is ``folded``, its title."""
        words = self.title.split() if folded and self.folds else [self.title]
        return max(*map(cell_len, words), *(longest(cell) for cell in cells), 0)


class Page:
    """Lines that fit a width, in colour or not, of ASCII alone or not."""

    def __init__(self, width: int, *, color: bool, unicode: bool) -> None:
        self.width = max(width, NARROWEST)
        self.color = color
        self.unicode = unicode
        self.lines: list[Text] = []

    def log(self, text: str, style: str = "") -> Text:
        """Text that is not ours: a log's line, a member's or a device's name."""
        return Text(visible(text, ascii=not self.unicode), style)

    def say(self, text: str, style: str = "") -> Text:
        """Prose of capflog or of a rule file; its line ends are blanks, typographic marks have ASCII equivalents."""
        text = " ".join(text.split("\n")) if "\n" in text else text
        return Text(visible(text if self.unicode else text.translate(_PLAIN_MARKS), ascii=not self.unicode), style)

    def join(self, *parts: Text) -> Text:
        """Put pieces of text one behind the other."""
        return Text.assemble(*parts)

    def blank(self) -> None:
        """An empty line, but never two and none at the top."""
        if self.lines and self.lines[-1].plain:
            self.lines.append(Text(""))

    def heading(self, title: str) -> None:
        """A section's title, after an empty line."""
        self.blank()
        self.add(self.say(title.upper(), "bold"))

    def add(self, body: Text, *, first: Text | None = None, indent: int = 0, hang: int = 0, width: int = 0) -> None:
        """Set text in lines. All begin ``indent + hang`` cells in; ``first`` stands before the first of them.

        ``width``: no line beyond this many cells, where the page is wider.
        """
        width = min(self.width, width or self.width)
        inside = indent + hang
        lead = Text(" " * indent)
        if first is not None:
            lead.append_text(first)
        if lead.cell_len > inside:
            if first is not None and hang:
                self.add(first, indent=indent, width=width)
                lead = Text("")
            else:
                inside = lead.cell_len
        lead.append(" " * (inside - lead.cell_len))
        for line in wrap(body, max(width - inside, 8)):
            self.lines.append(Text.assemble(lead, line))
            self.lines[-1].rstrip()
            lead = Text(" " * inside)

    def prose(self, text: str, *, first: Text | None = None, indent: int = 0, hang: int = 0, style: str = "") -> None:
        """Set prose of a rule file: an empty line ends a paragraph; an indented line (a command) stays a line."""
        for piece in paragraphs(text) or [""]:
            command = len(piece) - len(piece.lstrip(" "))
            width = self.width if command else PROSE
            self.add(self.say(piece.strip(), style), first=first, indent=indent, hang=hang + command, width=width)
            first = None

    def numbered(self, items: Sequence[str], *, first: Text | None = None, indent: int = 0, hang: int = 0) -> None:
        """Set a list of things to do one after the other."""
        for number, item in enumerate(items, 1):
            mark = f"{number}. "
            lead = Text("") if first is None else first.copy()
            lead.append(" " * (hang - lead.cell_len) + mark)
            self.prose(item, first=lead, indent=indent, hang=hang + len(mark))
            first = None

    def row(
        self,
        cells: Sequence[Text],
        widths: Sequence[int],
        *,
        right: frozenset[int] = frozenset(),
        gap: int = 2,
        indent: int = 0,
    ) -> None:
        """Set cells beside each other, each wrapped in its own column."""
        wrapped = [wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
        for level in range(max(len(lines) for lines in wrapped)):
            out = Text(" " * indent)
            for place, (lines, width) in enumerate(zip(wrapped, widths, strict=True)):
                cell = lines[level] if level < len(lines) else Text("")
                room = " " * max(width - cell.cell_len, 0)
                out.append(" " * gap if place else "")
                if place in right:
                    out.append(room)
                out.append_text(cell)
                if place not in right:
                    out.append(room)
            out.rstrip()
            self.lines.append(out)

    def wants(self, columns: Sequence[Column], rows: Sequence[Sequence[Text]]) -> int:
        """Say how many cells a table would take if nothing in it but titles were wrapped."""
        filled = [
            c.wants((row[i] for row in rows), folded=True)
            for i, c in enumerate(columns)
            if any(row[i].plain for row in rows)
        ]
        return sum(filled) + 2 * (len(filled) - 1)

    def widths(self, columns: Sequence[Column], rows: Sequence[Sequence[Text]], *, indent: int = 0) -> list[int]:
        """Give each column the room that it wants, or what the page has for it."""
        room = self.width - indent - 2 * (len(columns) - 1)
        widths = [c.wants((row[i] for row in rows), folded=False) for i, c in enumerate(columns)]
        if sum(widths) > room:
            widths = [c.wants((row[i] for row in rows), folded=True) for i, c in enumerate(columns)]
        for yielding in (True, False):
            while sum(widths) > room:
                able = [
                    i
                    for i, c in enumerate(columns)
                    if widths[i] > (c.least if yielding else 1) and c.yields >= yielding
                ]
                if not able:
                    break
                widths[max(able, key=lambda i: widths[i])] -= 1
        return widths

    def titles(self, columns: Sequence[Column], widths: Sequence[int], *, indent: int = 0) -> None:
        """Set the titles of columns."""
        right = frozenset(i for i, c in enumerate(columns) if c.right)
        self.row([self.say(c.title, "dim") for c in columns], widths, right=right, indent=indent)

    def table(
        self,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Text]],
        *,
        indent: int = 0,
        below: Sequence[Sequence[Text]] = (),
    ) -> None:
        """Set a table with titles; columns that no row fills are left out.

        ``below``: what else there is to say of each row, in lines of their own under it.
        """
        keep = [i for i in range(len(columns)) if any(row[i].plain for row in rows)]
        if not keep:
            return
        columns = [columns[i] for i in keep]
        cells = [[row[i] for i in keep] for row in rows]
        widths = self.widths(columns, cells, indent=indent)
        right = frozenset(i for i, c in enumerate(columns) if c.right)
        self.titles(columns, widths, indent=indent)
        for place, row in enumerate(cells):
            self.row(row, widths, right=right, indent=indent)
            for line in below[place] if below else ():
                self.add(line, indent=indent + 2)

    def text(self) -> str:
        """The finished page; it ends with a line end."""
        while self.lines and not self.lines[-1].plain:
            self.lines.pop()
        if not self.color:
            return "".join(f"{line.plain}\n" for line in self.lines)
        out = StringIO()
        console = Console(
            file=out,
            width=self.width,
            color_system="standard",
            force_terminal=True,
            legacy_windows=False,
            no_color=False,
            highlight=False,
            markup=False,
            emoji=False,
            _environ={},
        )
        for line in self.lines:
            console.print(line, soft_wrap=True)
        return out.getvalue()


def paragraphs(text: str) -> list[str]:
    """Split prose into what is set as one piece each."""
    pieces: list[str] = []
    fresh = True
    for raw in text.replace("\r\n", "\n").split("\n"):
        line = raw.replace("\t", " ").rstrip()
        if not line.strip():
            fresh = True
        elif fresh or line.startswith(" "):
            pieces.append(line)
            fresh = line.startswith(" ")
        else:
            pieces[-1] += " " + line
    return pieces


def short_names(members: Iterable[str]) -> dict[str, str]:
    """Name members by their file alone where that is clear, else with the folder that tells them apart."""
    every = sorted(set(members))
    names = {member: member.rsplit("/", 1)[-1] for member in every}
    by_name: dict[str, list[str]] = {}
    for member, name in names.items():
        by_name.setdefault(name, []).append(member)
    for name, alike in by_name.items():
        if len(alike) > 1:
            names.update(_told_apart(name, alike))
    return names


def _told_apart(name: str, members: list[str]) -> dict[str, str]:
    parts = {member: member.split("/")[:-1][::-1] for member in members}
    for depth in range(max(len(p) for p in parts.values())):
        folders = {member: p[depth] if depth < len(p) else "" for member, p in parts.items()}
        if len(set(folders.values())) == len(members):
            between = "/" if depth == 0 else "/.../"
            return {member: f"{folder}{between}{name}" if folder else name for member, folder in folders.items()}
    return {member: member for member in members}
