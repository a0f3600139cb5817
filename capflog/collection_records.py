"""Records of a collection: what RTMT and the node's CLI tell of the files collected, above all when each last changed.

CAPF's lines bear no date, and most ways of handing files on lose theirs. RTMT writes beside the node's folder
``TraceCollectionResult_<date>_<node>.xml``, which has each file's date with the zone; the CLI's ``file list`` with
``detail`` prints dates without one. What is not understood for sure is counted and never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from xml.parsers import expat

from capflog.collected import COLLECTED_IN, Collected
from capflog.parsing import SAMPLE_BYTES, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: How much of one record is read, in bytes: some 100,000 files. What stands behind it is named as not read.
READ_MOST = 32 << 20

#: No tag of a record is longer (in bytes) and none stands deeper: what a hostile one can make of memory and time ends
#: here.
_LONGEST_TAG, _DEEPEST = 1 << 20, 200

#: No record tells of more files, or has more tags.
_FILES_MOST = 500_000

#: So much is given to the XML parser at a time, in bytes.
_FED = 1 << 16

Form = Literal["rtmt", "xml", "list"]

TITLES: dict[Form, str] = {
    "rtmt": "RTMT's record of the collection, not a log",
    "xml": "an XML that tells when files were changed, not a log",
    "list": "the CLI's list of files, not a log",
}


@dataclass(slots=True)
class Record:
    """What was read of one record. ``strange``: files whose date is not understood; ``fault``: where reading ended."""

    form: Form
    files: list[Collected] = field(default_factory=list)
    strange: int = 0
    fault: str | None = None
    lines: int = 0

    @property
    def whole(self) -> bool:
        """Whether all of it was read and understood."""
        return bool(self.files) and not self.strange and self.fault is None

    def reason(self, damage: str | None) -> str:
        """Say in one line what was taken from it; ``damage``: of the member's bytes."""
        count = len(self.files)
        text = f"{TITLES[self.form]}: "
        text += (
            f"dates of {count:,} file{'s' * (count != 1)} taken from it" if count else "no date could be taken from it"
        )
        if self.strange:
            text += f", {self.strange:,} not understood"
        if fault := (f"damaged: {damage}" if damage else self.fault):
            text += f"; {fault}"
        return text


# ---- what is a record ------------------------------------------------------------------------------------------------

_ROOT = re.compile(r"<(?:[\w.-]{1,64}:)?TraceCollectionResult\b", re.IGNORECASE)
_DATED_TAG = re.compile(r"\s(?:[\w.-]{1,64}:)?modifiedDate\s{0,64}=\s{0,64}[\"']", re.IGNORECASE)
_COMMAND = re.compile(r"\bfile\s+list\s+(active|inactive)log\s+(\S+)", re.IGNORECASE)
_PROMPT = re.compile(r"\s*admin:", re.IGNORECASE)
_TOTAL = re.compile(r"\s*dir\s+count\s*=\s*\d+\s*,\s*file\s+count\s*=\s*\d+\s*", re.IGNORECASE)


def form_of_record(lines: Sequence[str]) -> Form | None:
    """Tell a record by the first lines of a member that is no log; None: it is none."""
    shown = [line[:SAMPLE_BYTES] for line in lines if line.strip()]
    if not shown:
        return None
    if any("<TraceCollectionResult" in line for line in shown[:5]):
        return "rtmt"
    if shown[0].lstrip().startswith("<"):
        text = "\n".join(shown)[:SAMPLE_BYTES]
        return "rtmt" if _ROOT.search(text) else "xml" if _DATED_TAG.search(text) else None
    listed = [line for line in shown if _listed(line)]
    if not any(_listed(line) != "folder" for line in listed):
        return None
    # In a session of the CLI much else may stand; without a word of it, the list is all there is.
    said = any(_COMMAND.search(line) or _TOTAL.fullmatch(line) for line in shown)
    return "list" if said or 2 * len(listed) >= len(shown) else None


def read_record(form: Form, member: str, blocks: Iterable[bytes]) -> Record:
    """Read a record, whose bytes are as :func:`capflog.parsing.plain` makes them, in blocks of whole lines.

    Never raises, whatever the bytes; all blocks are taken.
    """
    record = Record(form)
    reader = _List(member, record) if form == "list" else _Xml(member, record)
    left, beyond = READ_MOST, False
    for block in blocks:
        record.lines += block.count(b"\n") + (not block.endswith(b"\n"))
        beyond = beyond or len(block) > left
        reader.read(block[:left])
        left -= min(left, len(block))
    if beyond:
        record.fault = record.fault or f"only its first {READ_MOST >> 20} MiB were read"
    else:
        reader.end()
    return record


# ---- RTMT's XML ------------------------------------------------------------------------------------------------------

_DECLARATION = re.compile(rb"<\?xml\s[^>]*\?>")
_CUT = {
    expat.errors.codes[text]
    for text in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}
_NODES = frozenset({"node", "server"})


class _HostileError(Exception):
    """What no record has; its text says what."""


class _Xml:
    """Reads the files that an XML names: elements of any name that have a date of change and a name.

    expat itself, and not a library over it: it tells of each element as soon as its tag has ended, so that a cut or
    damaged record gives what stands before. With no DTD there are no entities, which are what makes XML dangerous.
    """

    def __init__(self, member: str, record: Record) -> None:
        self._member, self._record = member, record
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end_of
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._depth = self._tags = 0
        self._nodes: list[tuple[int, str]] = []
        self._fed = 0
        self._begun = False

    def read(self, block: bytes) -> None:
        """Read a block."""
        if self._record.fault:
            return
        data = _utf8(block)
        if not self._begun:
            data = self._beginning(data)
        for at in range(0, len(data), _FED):
            self._feed(data[at : at + _FED])
            if self._record.fault:
                return

    def end(self) -> None:
        """Say whether the end is one."""
        if not self._record.fault:
            self._feed(b"", final=True)

    def _beginning(self, data: bytes) -> bytes:
        """Blot out what stands before the first tag, and the declaration: its encoding is no more what it was."""
        at = data.find(b"<")
        if at < 0:
            return data.translate(None, bytes(set(range(256)) - {10}))
        self._begun = True
        if found := _DECLARATION.match(data, at):
            at = found.end()
        return b"\n" * data.count(b"\n", 0, at) + data[at:]

    def _feed(self, data: bytes, *, final: bool = False) -> None:
        self._fed += len(data)
        try:
            self._parser.Parse(data, final)
        except _HostileError as error:
            self._stop(str(error))
        except expat.ExpatError as error:
            if error.code in _CUT:
                self._record.fault = f"cut off in line {error.lineno:,}"
            else:
                self._record.fault = f"not read from line {error.lineno:,} on: {expat.ErrorString(error.code)}"
        else:
            if self._fed - self._parser.CurrentByteIndex > _LONGEST_TAG:
                self._stop(f"a tag of more than {_LONGEST_TAG >> 20} MiB")

    def _stop(self, why: str) -> None:
        self._record.fault = f"not read from line {self._parser.CurrentLineNumber:,} on: {why}"

    def _doctype(self, *_: object) -> None:
        raise _HostileError("a document type is declared, which no such record does")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _HostileError(f"tags nested more than {_DEEPEST} deep")
        self._tags += 1
        if self._tags > _FILES_MOST:
            raise _HostileError(f"more than {_FILES_MOST:,} tags")
        if not attributes:
            return
        told = {_local(name): value.strip() for name, value in reversed(attributes.items())}
        if "modifieddate" in told and "name" in told:
            date = read_date(told["modifieddate"])
            if date is None or not told["name"]:
                self._record.strange += 1
                return
            node = self._nodes[-1][1] if self._nodes else ""
            size = _size(told.get("size", ""))
            self._record.files.append(Collected(self._member, node, told["name"], *date, size))
        elif _local(tag) in _NODES and "name" in told:
            self._nodes.append((self._depth, told["name"]))

    def _end_of(self, _tag: str) -> None:
        if self._nodes and self._nodes[-1][0] == self._depth:
            self._nodes.pop()
        self._depth -= 1


def _local(name: str) -> str:
    """Leave the namespace out, and case."""
    return name.rpartition(":")[2].lower()


def _utf8(block: bytes) -> bytes:
    """Make UTF-8 of lines of which not all are; a last letter that is cut off is left out."""
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.end == len(block) and error.reason == "unexpected end of data":
            return block[: error.start]
        return block.decode("cp1252", errors="replace").encode("utf-8")
    return block


# ---- the CLI's list --------------------------------------------------------------------------------------------------

# A month of any language: what cannot be read is counted.
_LIST_STAMP = re.compile(
    r"(?<!\S)(?P<stamp>[0-9]{1,2}\s[^\W\d_]{3,9}\.?,\s?[0-9]{4}\s+[0-9]{1,2}:[0-9]{2}:[0-9]{2})(?!\S)"
)
_LIST_SIZE = re.compile(r"\d{1,3}(?:,\d{3})+|\d{1,18}", re.ASCII)
_LIST_NAME = re.compile(r"[^\s<>|\"]*[./][^\s<>|\"]*")

#: A line of a list is no longer. (characters)
_LONGEST_LINE = 4096

#: No line that says anything is shorter: that of the prompt. (bytes)
_SHORTEST_LINE = len("admin:")


@dataclass(frozen=True, slots=True)
class _Listed:
    stamp: str
    size: str
    name: str


def _listed(line: str) -> _Listed | Literal["folder"] | None:
    """Read a line of a date, a size and a file's name, in any order, and nothing else; None: it is no such line."""
    if len(line) > _LONGEST_LINE or (found := _LIST_STAMP.search(line)) is None:
        return None
    words = line[: found.start()].split() + line[found.end() :].split()
    if len(words) != 2:
        return None
    if "<dir>" in words:
        return "folder"
    sizes = [word for word in words if _LIST_SIZE.fullmatch(word)]
    names = [word for word in words if _LIST_NAME.fullmatch(word)]
    return _Listed(found["stamp"], sizes[0], names[0]) if len(sizes) == len(names) == 1 else None


class _List:
    """Reads the files that ``file list`` printed; the command, where it stands before them, tells their folder."""

    def __init__(self, member: str, record: Record) -> None:
        self._member, self._record = member, record
        self._folder = ""

    def read(self, block: bytes) -> None:
        """Read a block."""
        for raw in block.split(b"\n"):
            if self._record.fault:
                return
            if len(raw) < _SHORTEST_LINE:
                continue
            line = decode(raw.rstrip(b"\r"))
            listed = _listed(line)
            if isinstance(listed, _Listed):
                if len(self._record.files) + self._record.strange >= _FILES_MOST:
                    self._record.fault = f"no more than {_FILES_MOST:,} files of it were read"
                    return
                date = read_date(listed.stamp)
                if date is None:
                    self._record.strange += 1
                    continue
                path = listed.name if "/" in listed.name else self._folder + listed.name
                self._record.files.append(Collected(self._member, "", path, *date, _size(listed.size)))
            elif listed is None and len(line) <= _LONGEST_LINE:
                if found := _COMMAND.search(line):
                    self._folder = _folder_of(found[1].lower(), found[2])
                elif _PROMPT.match(line) or _TOTAL.fullmatch(line):
                    self._folder = ""

    def end(self) -> None:
        """See :class:`_Xml`: a list that is cut off cannot be told from a whole one."""


def _folder_of(partition: str, asked: str) -> str:
    """Tell in which folder on the node the files are that were asked for; "" where many may be meant."""
    parts = [part for part in asked.split("/") if part]
    if parts and ("*" in parts[-1] or "." in parts[-1]):
        parts.pop()
    return "" if any("*" in part for part in parts) else "/".join(["", "var", "log", partition, *parts, ""])


# ---- dates -----------------------------------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)"
# Of three letters and more, since AM, PM and their likes in other languages have two.
_ZONE = (
    r"(?P<zone>Z|[A-Z][A-Za-z]{2,5}(?:[+-]\d{1,2}(?::?\d\d)?)?|[+-]\d\d(?::?\d\d)?"
    r"|[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+)"
)
_WEEKDAY, _MONTH = r"(?P<weekday>[A-Za-z]{3,9})", r"(?P<month>[A-Za-z]{3,9})"
_DATES = (
    # Java's Date.toString(). The weekday proves the month an English one: Spanish "mar abr 03" begins like one.
    re.compile(rf"{_WEEKDAY} {_MONTH} (?P<day>\d{{1,2}}) {_TIME}(?: {_ZONE})? (?P<year>\d{{4}})", re.ASCII),
    re.compile(
        rf"(?:{_WEEKDAY},? )?(?P<day>\d{{1,2}})[ -]{_MONTH}(?:, ?|[ -])(?P<year>\d{{4}}) {_TIME}(?: {_ZONE})?", re.ASCII
    ),
    re.compile(
        rf"(?P<year>\d{{4}})(?P<between>[-/])(?P<number>\d\d)(?P=between)(?P<day>\d\d)[T ]{_TIME}"
        rf"(?:[.,](?P<fraction>\d{{1,9}}))?(?: ?{_ZONE})?",
        re.ASCII,
    ),
)


def read_date(text: str) -> tuple[int, str] | None:
    """Read a date with its time and, if it has one, its zone: ms of the wall clock, as of :class:`Collected`, the zone.

    None: there is no such time from 1970 to 2100, or it can be read in more than one way.
    """
    if len(text) > 128:
        return None
    text = " ".join(text.split())
    found = next((match for form in _DATES if (match := form.fullmatch(text))), None)
    if found is None:
        return None
    told = found.groupdict()
    month = int(told["number"]) if told.get("number") else _number(_MONTHS, told["month"])
    if month is None:
        return None
    try:
        hour, minute, second = (int(told[unit]) for unit in ("hour", "minute", "second"))
        date = datetime(int(told["year"]), month, int(told["day"]), hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    if date.year not in COLLECTED_IN:
        return None
    if told.get("weekday") and _number(_WEEKDAYS, told["weekday"]) != date.isoweekday():
        return None
    fraction = int((told.get("fraction") or "0").ljust(3, "0")[:3])
    return (date - _EPOCH) // timedelta(milliseconds=1) + fraction, told["zone"] or ""


def _number(names: Sequence[str], name: str) -> int | None:
    """Tell the place of an English name, or of its first three letters, from 1 on."""
    name = "sep" if name.lower() == "sept" else name.lower()
    return next((at for at, whole in enumerate(names, 1) if name in (whole, whole[:3])), None)


def _size(text: str) -> int | None:
    return int(text.replace(",", "")) if _LIST_SIZE.fullmatch(text) else None
