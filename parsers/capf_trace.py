"""The CAPF trace (``capf<number>.txt`` in ``cm/trace/capf/sdi``): CAPF's work for phones and its side of EST.

A line is ``HH:MM:SS.mmm |-->function``, ``HH:MM:SS.mmm |<--function`` or ``HH:MM:SS.mmm |   function message``, node's
local time without a date. Messages of the function ``debug`` that serve a phone begin with ``<session>:<device>:``.
The messages themselves are in :mod:`.capf_shapes`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from capflog.events import Event, StampForm
from capflog.parsing import Frame, Line, Sample, Signature
from capflog.stamps import StampLayout

from .capf_shapes import KINDS, SHAPES, Shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

_LEADS = {lead for shape in SHAPES for lead in shape.leads}
_BY_LEAD = {lead: tuple(shape for shape in SHAPES if lead in shape.leads) for lead in _LEADS}


def _rows_of(function: str) -> tuple[tuple[str, Shape], ...]:
    """List what a message of a function may be, in the table's order, each with the literal that it must hold."""
    rows: list[tuple[str, Shape]] = []
    for shape in SHAPES:
        if function and shape.within == function:
            rows.append(("", shape))
        rows.extend((literal, shape) for literal in shape.holds)
    return tuple(rows)


_BY_FUNCTION = {function: _rows_of(function) for function in {shape.within for shape in SHAPES}}
_BY_LITERAL = _BY_FUNCTION[""]
_OTHER = SHAPES[-1]

_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_DATE = r"(?:\d{4}[/-]\d\d[/-]\d\d|\d\d[/-]\d\d[/-]\d{4})[ T]+"
_STAMPED = re.compile(
    rf"(?:{_DATE})?({_CLOCK})\.(\d{{1,6}})[ \t]*\|(-->|<--)?[ \t]*+(.*)",
    re.ASCII | re.DOTALL,
)
#: What is left of ``-->`` and ``<--`` where the line is cut.
_CUT_ARROW = frozenset({"<", "<-", "-", "--"})

#: A device's name in CUCM: letters, digits, dot, underscore, dash.
_DEVICE = r"[A-Za-z0-9._-]{0,127}[A-Za-z0-9_-]"
_FUNCTION = re.compile(r"(?:[^\s(]++|\((?:[^()]++|\([^()]*+\))*+\))++(?=\s|$)")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_LEAD = re.compile(r"\w+", re.ASCII)
_PREFIX = re.compile(rf"(\d{{1,10}}):((?=[0-9._-]*[A-Za-z]|\d{{5}}){_DEVICE})?: *", re.ASCII)
_SELECT = re.compile(rf"\bSelect\(((?=[0-9._-]*[A-Za-z]|\d{{5}}){_DEVICE})\)", re.ASCII)
#: Where CAPF keeps CSRs and certificates on the node.
_FILES = "/tmp/capf/"  # noqa: S108
_NAMED = re.compile(
    rf"{_FILES}csr/({_DEVICE})\.csr\b|{_FILES}cert/({_DEVICE})\.der\b"
    rf"|(?<=cache map )'?((?=[a-z._-]*[A-Z0-9]){_DEVICE})'?\.?$|my_lower\( ?'({_DEVICE})'",
    re.ASCII,
)

#: Characters that bytes of a key leave after decoding and no text has.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffd]")


def _is_bytes(text: str) -> bool:
    """Tell a key's raw bytes from a line of text."""
    return _NO_TEXT.search(text) is not None or sum(not c.isascii() for c in text) * 2 > len(text)


def _named_device(function: str, text: str) -> str | None:
    """Find the one device that a message names, if it is one."""
    if "Select(" in function and (selected := _SELECT.search(function)) is not None:
        return str(selected[1])
    if _FILES in text or "cache map" in text or "my_lower" in text:
        found: set[str] = {name for match in _NAMED.findall(text) for name in match if name}
        if len(found) == 1:
            return found.pop()
    return None


class _Functions:
    """The functions under way whose names no rule can tell from the message after them: with blanks, or cut.

    Kept by their first word; of those that never end the oldest go first.
    """

    WORDS, EACH = 256, 16

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}

    def enter(self, name: str) -> None:
        """Remember a function, if its name is such a one."""
        if " " not in name and name.count("(") == name.count(")"):
            return
        first = name.partition(" ")[0]
        known = self.names.setdefault(first, [])
        known.append(name)
        if len(known) > self.EACH:
            known.pop(0)
        if len(self.names) > self.WORDS:
            del self.names[next(iter(self.names))]

    def leave(self, name: str) -> None:
        """Forget a function that ends."""
        first = name.partition(" ")[0]
        known = self.names.get(first, [])
        if name in known:
            known.remove(name)
            if not known:
                del self.names[first]

    def part(self, body: str) -> tuple[str, str]:
        """Part a body into its function and the message."""
        first, _, message = body.partition(" ")
        best = ""
        for name in self.names.get(first, ()):
            if len(name) > len(best) and body.startswith(name) and body[len(name) : len(name) + 1] in {"", " "}:
                best = name
        if best:
            return best, body[len(best) + 1 :]
        if first not in self.names and (match := _FUNCTION.match(body)) is not None:
            return match[0], body[match.end() + 1 :]
        return first, message


class CapfReader:
    """Reads one CAPF trace."""

    def __init__(self) -> None:
        """Start at the first line."""
        self._functions = _Functions()
        self._clock = ""
        self._second = 0
        self._in_key = False

    @property
    def literal(self) -> bool:
        """Tell whether it remembers words of the log: names of functions."""
        return bool(self._functions.names)

    def carry(self) -> Hashable:
        """Give what the reading of later lines depends on."""
        names = self._functions.names
        return tuple((first, *known) for first, known in names.items()), self._in_key

    def resume(self, carry: Hashable) -> None:
        """Go on where such lines were left behind."""
        names: tuple[tuple[str, ...], ...]
        names, self._in_key = carry  # type: ignore[misc]
        self._functions.names = {first: known for first, *known in names}

    def read(self, text: str) -> Event | Line:
        """Say what the next line is."""
        match = _STAMPED.match(text)
        if match is None:
            if not text.strip(" \t\r"):
                return Line.QUIET
            return Line.PART if self._in_key and _is_bytes(text) else Line.UNKNOWN
        self._in_key = False
        clock, fraction, arrow, body = match.groups()
        if arrow is not None:
            if arrow == "-->":
                self._functions.enter(" ".join(body.split()))
            elif self._functions.names:
                self._functions.leave(" ".join(body.split()))
            return Line.QUIET
        body = body.rstrip()
        if not body:
            return Line.QUIET
        if body in _CUT_ARROW:
            return Line.UNKNOWN
        if clock != self._clock:
            self._clock = clock
            self._second = (int(clock[:2]) * 3600 + int(clock[3:5]) * 60 + int(clock[6:])) * 1000
        stamp = self._second + int(fraction if len(fraction) == 3 else fraction.ljust(3, "0")[:3])
        return self._event(stamp, body)

    def _event(self, stamp: int, body: str) -> Event:
        if "  " in body or "\t" in body:
            body = " ".join(body.split())
        if body.startswith("debug "):
            function, text = "debug", body[6:]
        elif body[0].isdigit() and _PREFIX.match(body) is not None:
            function, text = "", body
        else:
            function, text = self._functions.part(body)
        session = device = None
        if text[:1].isdigit() and (prefix := _PREFIX.match(text)) is not None:
            session, device = prefix.groups()
            text = text[prefix.end() :]
        event = Event("", stamp, device or _named_device(function, text), session)
        if function:
            event.values["function"] = function
        shape = self._tell(event, function, text)
        event.kind = shape.kind
        if shape.detail and text:
            event.values.setdefault("detail", text)
        if shape.finish is not None:
            shape.finish(event, text)
        self._in_key = shape.kind == "capf.key"
        return event

    @staticmethod
    def _tell(event: Event, function: str, text: str) -> Shape:
        """Find the row that takes a message and put its values into the event."""
        lead = _LEAD.match(text)
        rows = _BY_LEAD.get(lead[0].lower(), ()) if lead is not None else ()
        for shape in rows:
            if (match := shape.pattern.match(text)) is not None:
                return _filled(shape, match, event)
        further = _BY_LITERAL
        if function != "debug" and (name := _IDENTIFIER.match(function)) is not None:
            further = _BY_FUNCTION.get(name[0], _BY_LITERAL)
        small = text.lower()
        for literal, shape in further:
            if literal in small and (match := shape.pattern.match(text)) is not None:
                return _filled(shape, match, event)
        return _OTHER


def _filled(shape: Shape, match: re.Match[str], event: Event) -> Shape:
    values = event.values
    for (name, number), value in zip(shape.names, match.groups(), strict=True):
        if value is not None:
            values[name] = int(value) if number else value.strip()
    return shape


class CapfTrace:
    """The log of Cisco CAPF."""

    source: ClassVar[str] = "capf"
    title: ClassVar[str] = "CAPF trace"
    stamp: ClassVar[StampForm] = StampForm.TIME_OF_DAY
    resolution_ms: ClassVar[int] = 1
    signatures: ClassVar[tuple[Signature, ...]] = (
        Signature(
            re.compile(
                rf"^(?:{_DATE})?{_CLOCK}\.\d{{1,6}}[ \t]*\|.*(?:"
                r"\bdebug\s+\d+:[A-Za-z0-9._-]*:|\bCAPF_[A-Z]|/tmp/capf/|\bCAPFDevice::|enrollCertUsingEST|EST_ERR_"
                r"|setUpESTClient|est_client_|OnlineCA|Online CA |Cisco RA |add+ed -?\d+ to readset)",
                re.ASCII,
            ),
            3,
            "messages that CAPF alone writes",
        ),
        Signature(
            re.compile(
                rf"^(?:{_DATE})?{_CLOCK}\.\d{{1,6}}[ \t]*\|(?:-->|<--)?[ \t]*"
                r"(?:debug(?:\s|$)|CServiceParameters::|Select\(|SetOperationStatus\(|findAndPost\b)",
                re.ASCII,
            ),
            2,
            "a time of day, a bar and a function of CAPF's",
        ),
    )
    kinds: ClassVar[Mapping[str, str]] = KINDS
    samples: ClassVar[tuple[Sample, ...]] = (
        *(Sample(f"14:05:04.628 |   {shape.sample}", (shape.kind,)) for shape in SHAPES),
        Sample(
            "14:05:05.503 | debug 2:SEP74A02FC0A675:pubKey: 0\ufffd\n\x02\x01\n14:05:05.503 |<--debug",
            ("capf.key", None, None),
        ),
        Sample("14:05:04.628 |-->debug\n14:05:04.628 |<--debug", (None, None)),
    )
    layout: ClassVar[StampLayout] = StampLayout("hh:mm:ss.fff ")
    frames: ClassVar[tuple[Frame, ...]] = (
        Frame(b"|   debug ", ord(":"), session=True),
        *(Frame(b"|%bSelect(" % arrow, ord(")")) for arrow in (b"   ", b"-->", b"<--")),
    )
    name: ClassVar[re.Pattern[bytes]] = re.compile(rf"(?=[0-9._-]*[A-Za-z]|\d{{5}}){_DEVICE}".encode())
    #: Names made of a MAC address: no word of the grammar is made of such letters.
    opaque: ClassVar[re.Pattern[bytes]] = re.compile(rb"[A-Z]{2,4}[0-9A-F]{12}")
    named: ClassVar[re.Pattern[bytes]] = re.compile(_NAMED.pattern.encode())
    path_hint: ClassVar[re.Pattern[str]] = re.compile(r"(?i)\bcapf\d*[^/]*\.txt|cm/trace/capf/")

    def reader(self) -> CapfReader:
        """Make a reader for one member."""
        return CapfReader()
