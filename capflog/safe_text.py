"""The one door by which text of a log, an archive or a rule file reaches a terminal or a page.

Whoever can make a phone, a certificate or a web request can write into these logs: an escape sequence that clears the
screen, a bidirectional control that turns a host name around, a line break that forges a line of the report.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters that Python calls printable and nobody can see: the printable ones of Unicode's
#: Default_Ignorable_Code_Point (DerivedCoreProperties.txt), and the empty Braille pattern.
_UNSEEN = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)

#: What the log itself writes like one of our escapes; its backslash is escaped, so that nobody takes it for one.
_LIKE_AN_ESCAPE = re.compile(r"\\(?=x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")

#: What CI systems take for a command to themselves where a line of their log begins with it (``::error ...::``; where a
#: report is wrapped, a line begins anywhere) or has it anywhere (``##vso[...]``): its first character is escaped.
_COMMAND = re.compile(r"::(?=[A-Za-z][A-Za-z-]*(?: [^\n]*?)?::)|##(?=\[|vso\[|teamcity\[)")

#: Marks (accents) that one letter may bear: three are in use, a pile of them paints over the lines above and below.
_MARKS = 3


def escape(character: str) -> str:
    r"""Write one character as Python does: ``\x1b``, ``\u202e``, ``\U000e0041``."""
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


#: So many characters of a line are shown to people: whoever writes into a log could fill their screen with one.
LONGEST = 2000


def shortened(text: str, most: int = LONGEST) -> str:
    """Cut a line of a log that is longer than anybody reads, and say how much that leaves out."""
    return text if len(text) <= most else f"{text[:most]} ... ({len(text) - most:,} more characters)"


def visible(text: str, *, ascii: bool = False) -> str:  # noqa: A002  (the word that says it)
    r"""Make text harmless and show what is in it: one line, in which every character can be seen.

    Control characters (C0, DEL, C1; so every ESC sequence), bidirectional controls, zero-width characters, line and
    paragraph separators, blanks that are not U+0020, unassigned and private characters, lone surrogates and piles of
    accents become escapes such as ``\x1b`` and ``\u202e``; a tab becomes a blank. A backslash stays one backslash
    (``LAB\ciscora``), except before what reads like an escape: there it is ``\x5c``. What CI systems take for a command
    begins with an escape, too (``\x3a:error::``). So, tabs apart, the text that was logged can be told from what is
    shown, and a host name with a no-break space in it shows why it does not resolve.

    With ``ascii`` every character beyond ASCII is escaped likewise: a question mark would lose which one it was.

    The result is plain text: no markup, no escape sequence, no line end. Letters that are written from right to left
    stay as they are. Once is enough: what is shown is itself a text with backslashes in it, and a second pass would
    tell of those.
    """
    if "\\" in text:
        text = _LIKE_AN_ESCAPE.sub(r"\\x5c", text)
    if "::" in text or "##" in text:
        text = _COMMAND.sub(lambda found: f"{escape(found[0][0])}{found[0][1]}", text)
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\t", " ")
    shown: list[str] = []
    marks = _MARKS  # a mark at the start has no letter to stand on
    for character in text:
        if character.isascii():
            marks = 0 if character.isalnum() else _MARKS
            shown.append(character if character.isprintable() else escape(character))
            continue
        if unicodedata.category(character) in {"Mn", "Me"}:
            marks += 1
        else:
            marks = 0
        harmless = character.isprintable() and character not in _UNSEEN and marks <= _MARKS
        shown.append(character if harmless and not ascii else escape(character))
    return "".join(shown)
