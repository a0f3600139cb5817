r"""The one door by which text reaches a cell of CSV.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and a formula can fetch a page
or start a program; whoever can make a web request writes into these logs. So, as OWASP's page on CSV injection says, an
apostrophe stands before such a cell: spreadsheets take what follows for text. What else counts as such a beginning:

- the same behind blanks, quotes and apostrophes (one more apostrophe then stands before them: taking one off gives back
  what was there),
- the full-width, small and superscript forms of these characters, and the minus sign U+2212,
- the same behind a ``;``: where lists are parted by semicolons (most of Europe), a spreadsheet parts a line of CSV
  there whatever quotes are around it. The apostrophe then stands behind the ``;``.

A tab, a line end or any other control character cannot begin a cell, nor be in one: text goes through
:func:`capflog.safe_text.visible` first, which makes a tab a blank and escapes the others. Where texts have lines of
their own (steps of a remedy), each line goes through this door by itself, and they stand in one quoted cell.

Numbers are no text: ``-2.4`` given as a number stays one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from capflog.safe_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a line of CSV ends with (RFC 4180).
LINE_END = "\r\n"

#: Where a text ends its lines.
LINE_ENDS = re.compile(r"\r?\n")

#: ``= + - @`` and what a spreadsheet may take for them: their compatibility forms (Unicode), and the minus sign.
_STARTS = "=+\\-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌₊₋﬩\u2212"
_FORMULA = re.compile(rf"(^|;)(?=[\s'\"]*[{_STARTS}])")


def cell(value: object) -> str:
    """Give the text of a cell: one line, harmless, and no formula. None: an empty cell; a truth: ``true``, ``false``.

    Once is enough: a second pass would escape the first one's escapes.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = visible(str(value))
    # (Few texts can be one: millions of cells pass here.)
    return _FORMULA.sub(r"\1'", text) if not text[:1].isalnum() or ";" in text else text


def cell_of_lines(value: object) -> str:
    """Give the text of a cell that may have several lines: each is as harmless as :func:`cell` makes a whole cell."""
    if not isinstance(value, str) or "\n" not in value:
        return cell(value)
    return "\n".join(map(cell, LINE_ENDS.split(value)))


def line(values: Iterable[object], end: str = LINE_END, *, folded: bool = False) -> str:
    """Write a line of CSV, its end included: each value through :func:`cell`, quoted where RFC 4180 wants it.

    ``folded``: a text's own line ends are line ends within its cell.
    """
    made = cell_of_lines if folded else cell
    cells = ["" if value is None else quoted(made(value)) for value in values]
    # A line with nothing in it would be no row.
    return ('""' if cells == [""] else ",".join(cells)) + end


def quoted(text: str) -> str:
    """Put the text of a cell between quotes where RFC 4180 wants it."""
    if "," in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text
