"""What the codes in the logs are called and what they mean between CAPF, CES and the CA.

EST_ERROR values (libEST est.h), CURLcodes (curl curl.h), results of CAPF operations (Cisco Troubleshooting Guide for
CUCM), HTTP statuses with substatus and win32 status (Microsoft), codes of Certificate Services (Microsoft). The tables
are the YAML files in ``rules/reference/``; each row names its source there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: The libEST columns that stand for "2.x" and "3.x"; CUCM 12.5 prints 2.2.0, which was never published.
_TWO, _THREE = "2.1.0", "3.2.0"

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,10}", re.ASCII)
_HEX = re.compile(r"0x[0-9a-f]{1,8}", re.ASCII | re.IGNORECASE)
_BARE_HEX = re.compile(r"[8c][0-9a-f]{7}", re.ASCII | re.IGNORECASE)
_IIS = re.compile(
    r"(?P<status>\d{3})(?:(?:\.|[ \t]+)(?P<substatus>\d{1,4}))?(?:(?:\.|[ \t]+)(?P<win32>0x[0-9a-f]{1,8}|-?\d{1,10}))?",
    re.ASCII | re.IGNORECASE,
)
_KIND = re.compile(r"(?P<kind>[a-z0-9]{1,12})\s*[:=]\s*(?P<rest>.*)", re.ASCII | re.IGNORECASE | re.DOTALL)

#: A query longer than this is no code; what it holds is not searched.
_LONGEST = 200
_SHOWN = 60

_EXAMPLES = "EST_ERR_AUTH_FAIL, 22, curl:60, iis:401.1.2148074254, win32:1326, capf:7, 0x80094800"


@dataclass(slots=True)
class Explanation:
    """What one reading of a code means: ``lines`` are (label, text) to show in order, ``next`` what to do, in order."""

    title: str
    lines: list[tuple[str, str]]
    next: list[str]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row of a table. ``number``: the code (unsigned); of EST_ERROR, which has one for each version, -1."""

    number: int
    name: str
    means: str
    here: str
    next: tuple[str, ...]
    rules: tuple[str, ...]
    source: str
    extra: dict[str, Any] = field(default_factory=dict)
    """The keys that only this table has."""


_COMMON = frozenset({"name", "code", "means", "here", "next", "rules", "source"})


@cache
def _table(name: str) -> dict[str, Any]:
    """Read a table of ``rules/reference/``."""
    import yaml  # noqa: PLC0415  (only who asks for a code pays for it)

    text = files("capflog.rules.reference").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506  (a safe loader, in C where it is built)
    return table


def _entry(row: dict[str, Any], source: str, number: int, name: str) -> _Entry:
    return _Entry(
        number,
        name,
        row["means"],
        row["here"],
        tuple(row["next"]),
        tuple(row.get("rules", ())),
        row.get("source", source),
        {key: value for key, value in row.items() if key not in _COMMON},
    )


@cache
def _entries(name: str) -> tuple[_Entry, ...]:
    table = _table(name)
    return tuple(_entry(row, table["source"], row.get("code", -1), row["name"]) for row in table["codes"])


@cache
def _by_number(name: str) -> dict[int, _Entry]:
    return {entry.number: entry for entry in _entries(name)}


# EST_ERROR


@cache
def _est_columns() -> dict[str, dict[int, str]]:
    """EST_ERROR names by number, for each libEST version of the table, oldest first."""
    columns: dict[str, dict[int, str]] = {version: {} for version in _table("est_errors")["versions"]}
    for entry in _entries("est_errors"):
        for version, number in entry.extra["numbers"].items():
            columns[version][number] = entry.name
    return columns


def _parts(version: str) -> tuple[int, int, int] | None:
    match = _VERSION.search(version)
    return None if match is None else (int(match[1]), int(match[2]), int(match[3] or 0))


@lru_cache(maxsize=64)
def _est_column(version: str) -> str | None:
    """Choose the column for a libEST version: the newest of its major version that is not newer than it."""
    wanted = _parts(version)
    if wanted is None:
        return None
    same = [(parts, known) for known in _est_columns() if (parts := _parts(known)) and parts[0] == wanted[0]]
    if not same:
        return None
    return max((pair for pair in same if pair[0] <= wanted), default=min(same))[1]


def est_name(value: int, version: str | None) -> str | None:
    """Name an EST_ERROR value by the numbers of a libEST version (libEST est.h).

    ``version`` is what the log prints ("2.2.0", or the line that holds it); a version between two known ones is read by
    the older. Where it is None, or of an unknown major version, only the values on which 2.x and 3.x agree (0 to 54)
    have a name. None: no name, or not for sure.
    """
    columns = _est_columns()
    column = _est_column(version) if version else None
    if version is None or column is None:
        name = columns[_TWO].get(value)
        return name if name == columns[_THREE].get(value) else None
    unsure: dict[str, int] = _table("est_errors")["unsure"]
    for build, first in unsure.items():
        if value >= first and re.search(rf"(?<![\d.]){re.escape(build)}\b", version):
            return None
    return columns[column].get(value)


def est_values(name: str) -> dict[str, int]:
    """Give the number of an EST_ERROR name (in any case) by libEST version, oldest first; empty: no version has it."""
    wanted = name.upper()
    for entry in _entries("est_errors"):
        if entry.name == wanted:
            return dict(entry.extra["numbers"])
    return {}


def _and(words: Iterable[str]) -> str:
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def _est_number(numbers: dict[str, int]) -> str:
    """Write the number of a name as a log of today may have it: "22 in libEST 2.x and 3.x"."""
    by_number: dict[int, list[str]] = {}
    for version, major in ((_TWO, "2.x"), (_THREE, "3.x")):
        if version in numbers:
            by_number.setdefault(numbers[version], []).append(major)
    return ", ".join(f"{number} in libEST {_and(majors)}" for number, majors in by_number.items())


def _est_explanation(entry: _Entry, asked: int | None) -> Explanation:
    numbers: dict[str, int] = entry.extra["numbers"]
    by_number: dict[int, list[str]] = {}
    for version in reversed(numbers):
        by_number.setdefault(numbers[version], []).insert(0, version)
    versions = "; ".join(f"{number} in libEST {_and(of)}" for number, of in by_number.items())
    if numbers.get(_TWO) != numbers.get(_THREE):
        versions += '. From 55 up 2.x and 3.x differ: the line "libest ..." of the CES log tells the version'
    lines = [("Versions", versions + ".")]
    others: dict[str, list[str]] = {}
    for version, column in _est_columns().items():
        name = column.get(asked) if asked is not None else None
        if name is not None and name != entry.name:
            others.setdefault(name, []).append(version)
    if others:
        told = ", ".join(f"{name} in libEST {_and(of)}" for name, of in others.items())
        lines.append(("Other versions", f"{asked} is {told}."))
    return _explanation(f"{entry.name} ({_est_number(numbers)})", entry, lines)


def _explain_est(text: str) -> list[Explanation]:
    number = _decimal(text)
    if number is None:
        return [_est_explanation(entry, None) for entry in _named("est_errors", text)]
    columns = _est_columns()
    names = dict.fromkeys(columns[version].get(number) for version in (_TWO, _THREE))
    return [_est_explanation(entry, number) for name in names for entry in _entries("est_errors") if entry.name == name]


# CURLcode


def curl_name(code: int, version: str | None = None) -> str | None:
    """Name a CURLcode (curl curl.h) as a libcurl version ("7.61.1") calls it.

    Without a version it is today's name, and of a number that libcurl gave up the last real one: only a libcurl that
    still had that name returns it (51 is CURLE_PEER_FAILED_VERIFICATION).
    """
    entry = _by_number("curl_codes").get(code)
    if entry is None:
        return None
    was = entry.extra.get("was", [])
    wanted = _parts(version) if version else None
    if wanted is None:
        return was[0]["name"] if was and entry.name.startswith("CURLE_OBSOLETE") else entry.name
    for earlier in reversed(was):
        until = _parts(earlier["until"])
        if until is not None and wanted <= until:
            return str(earlier["name"])
    return entry.name


def _curl_explanation(entry: _Entry) -> Explanation:
    was, since = entry.extra.get("was", []), entry.extra.get("since")
    gone = entry.name.startswith("CURLE_OBSOLETE")
    told = [f"{earlier['name']} up to {earlier['until']}" for earlier in was]
    if since and gone:
        told.append(f"not returned any more since {since}")
    elif since:
        told.insert(0, f"{entry.name} since {since}")
    lines = [("Versions", "; ".join(told) + ".")] if told else []
    until = f", up to {was[0]['until']}" if gone and was else ""
    return _explanation(f"{curl_name(entry.number)} (curl {entry.number}{until})", entry, lines)


def _explain_curl(text: str) -> list[Explanation]:
    return [_curl_explanation(entry) for entry in _numbered("curl_codes", _decimal(text)) or _named("curl_codes", text)]


# CAPF operations


def capf_name(code: int) -> str | None:
    """Name the result of a CAPF operation as CAPF prints it (Cisco Troubleshooting Guide for CUCM)."""
    entry = _by_number("capf_ops").get(code)
    return None if entry is None else entry.name


def _explain_capf(text: str) -> list[Explanation]:
    found = _numbered("capf_ops", _decimal(text)) or _named("capf_ops", text)
    return [
        _explanation(
            f"{entry.name} (CAPF {entry.number})",
            entry,
            [("Spelling", f"Also {', '.join(also)}.")] if (also := entry.extra.get("also")) else [],
        )
        for entry in found
    ]


# Windows


def _unsigned(number: int) -> int:
    """Bring an error number to the form of the tables: unsigned, and 0x8007nnnn (a wrapped Windows error) as nnnn."""
    number &= 0xFFFFFFFF
    return number & 0xFFFF if number >> 16 == 0x8007 else number


def win32_name(code: int) -> str | None:
    """Name a sc-win32-status or HRESULT, signed or unsigned, Certificate Services included (Microsoft winerror)."""
    number = _unsigned(code)
    entry = _by_number("win32_codes").get(number) or _by_number("certsrv_codes").get(number)
    return None if entry is None else entry.name


def certsrv_name(code: int) -> str | None:
    """Name a code of Certificate Services, signed or unsigned (Microsoft COM error codes 4)."""
    entry = _by_number("certsrv_codes").get(_unsigned(code))
    return None if entry is None else entry.name


def _windows_number(text: str, table: str) -> int | None:
    """Read a number of a table: decimal, with 0x, or eight bare hexadecimal digits as ASP errors have them."""
    found = _by_number(table)
    number = _decimal(text)
    if number is None and _HEX.fullmatch(text):
        number = int(text, 16)
    if (number is None or _unsigned(number) not in found) and _BARE_HEX.fullmatch(text):
        number = int(text, 16)
    return None if number is None else _unsigned(number)


def _explain_win32(text: str) -> list[Explanation]:
    found = _numbered("win32_codes", _windows_number(text, "win32_codes")) or _named("win32_codes", text)
    return [
        _explanation(
            f"{entry.name} (win32 {entry.number} = 0x{entry.number:X})",
            entry,
            [("As HRESULT", f"0x{0x80070000 + entry.number:08X}")] if 0 < entry.number <= 0xFFFF else [],
        )
        for entry in found
    ]


def _explain_certsrv(text: str) -> list[Explanation]:
    found = _numbered("certsrv_codes", _windows_number(text, "certsrv_codes")) or _named("certsrv_codes", text)
    return [_explanation(f"{entry.name} (0x{entry.number:X} = {entry.number})", entry, []) for entry in found]


# IIS


@cache
def _statuses() -> dict[int, tuple[_Entry, dict[int, _Entry]]]:
    """HTTP statuses: number -> (the status, its substatuses)."""
    table = _table("iis_statuses")
    return {
        row["status"]: (
            _entry(row, table["source"], row["status"], row["title"]),
            {
                sub["substatus"]: _entry(sub, row.get("source", table["source"]), sub["substatus"], sub["title"])
                for sub in row.get("substatuses", ())
            },
        )
        for row in table["statuses"]
    }


def iis_title(status: int, substatus: int | None = None) -> str | None:
    """Say in a few words what a status of IIS is, with its substatus where that says more (Microsoft)."""
    if status not in _statuses():
        return None
    entry, details = _statuses()[status]
    return details.get(-1 if substatus is None else substatus, entry).name


def _explain_iis(text: str) -> list[Explanation]:
    match = _IIS.fullmatch(text)
    if match is None or int(match["status"]) not in _statuses():
        return []
    general, details = _statuses()[int(match["status"])]
    substatus = None if match["substatus"] is None else int(match["substatus"])
    entry = general if substatus is None else details.get(substatus, general)
    shown = f"{general.number}" if substatus is None else f"{general.number}.{substatus}"
    title = f"IIS {shown} {entry.name}"
    lines: list[tuple[str, str]] = []
    if substatus and substatus not in details:
        lines.append(("Substatus", f"{substatus} is not one that capflog knows; the rest is said of {general.number}."))
    elif substatus is None and details:
        known = "; ".join(f"{general.number}.{number} {detail.name}" for number, detail in details.items())
        lines.append(("Substatuses", known + "."))
    if match["win32"] is None:
        return [_explanation(title, entry, lines)]
    number = _unsigned(int(match["win32"], 16 if _HEX.fullmatch(match["win32"]) else 10))
    code = _by_number("win32_codes").get(number) or _by_number("certsrv_codes").get(number)
    if code is None:
        lines.append(("win32", f"{number} is not one that capflog knows."))
        return [_explanation(f"{title}, win32 {number}", entry, lines)]
    together: str | None = entry.extra.get("win32", {}).get(number)
    if together and entry.extra.get("decided_by_win32"):
        said = code.means
        both = replace(entry, here=together, next=code.next, rules=code.rules, source=_sources(entry, code))
    elif together:
        said, both = together, entry
    else:
        said = f"{code.means} {code.here}"
        steps = tuple(dict.fromkeys((*entry.next, *code.next)))
        rules = tuple(dict.fromkeys((*entry.rules, *code.rules)))
        both = replace(entry, next=steps, rules=rules, source=_sources(entry, code))
    lines.append(("win32", f"{code.name}. {said}"))
    return [_explanation(f"{title}, win32 {number} {code.name}", both, lines)]


def _sources(*entries: _Entry) -> str:
    return "; ".join(dict.fromkeys(source for entry in entries for source in entry.source.split("; ")))


# All of them


def _decimal(text: str) -> int | None:
    return int(text) if _DECIMAL.fullmatch(text) else None


#: What names in each table begin with; it may be left out.
_PREFIXES = {
    "est_errors": ("EST_ERR_",),
    "curl_codes": ("CURLE_",),
    "capf_ops": ("CAPF_OP_FAIL_", "CAPF_OP_", "CAPF_"),
    "win32_codes": ("ERROR_", "SEC_E_"),
    "certsrv_codes": ("CERTSRV_E_",),
}


@cache
def _names(table: str) -> dict[str, dict[str, list[_Entry]]]:
    """Every name of a table, older and other spellings too: with and without a prefix -> full name -> its rows."""
    names: dict[str, dict[str, list[_Entry]]] = {}
    for entry in _entries(table):
        every = [entry.name, *entry.extra.get("also", ()), *(was["name"] for was in entry.extra.get("was", ()))]
        for name in every:
            for spelling in dict.fromkeys((name, *(name.removeprefix(prefix) for prefix in _PREFIXES[table]))):
                names.setdefault(spelling, {}).setdefault(name, []).append(entry)
    return names


def _named(table: str, text: str) -> list[_Entry]:
    return [entry for entries in _names(table).get(text.upper(), {}).values() for entry in entries]


def _numbered(table: str, number: int | None) -> list[_Entry]:
    entry = None if number is None else _by_number(table).get(number)
    return [] if entry is None else [entry]


def _explanation(title: str, entry: _Entry, lines: list[tuple[str, str]]) -> Explanation:
    shown = [("Means", entry.means), ("Here", entry.here), *lines]
    if entry.rules:
        shown.append(("Rules", ", ".join(entry.rules)))
    shown.append(("Source", entry.source))
    return Explanation(title, shown, list(entry.next))


#: How the kinds are asked for, in the order in which the readings of a bare number are given.
_KINDS: dict[str, Callable[[str], list[Explanation]]] = {
    "est": _explain_est,
    "curl": _explain_curl,
    "capf": _explain_capf,
    "iis": _explain_iis,
    "win32": _explain_win32,
    "certsrv": _explain_certsrv,
}
_ALIASES = {"rv": "est", "rc": "est", "http": "iis", "hresult": "win32"}


def _nearest(text: str, tables: Iterable[str]) -> list[str]:
    """Name what is spelt most like a text: at most three full names, the most like first."""
    spellings: dict[str, str] = {}
    for table in tables:
        for spelling, full in _names(table).items():
            spellings.setdefault(spelling, next(iter(full)))
    matches = get_close_matches(text.upper()[:_SHOWN], spellings, n=6, cutoff=0.6)
    return list(dict.fromkeys(spellings[match] for match in matches))[:3]


def _unknown(query: str, kind: str | None, text: str) -> str:
    shown = repr(query if len(query) <= _SHOWN else query[:_SHOWN] + "...")
    if _DECIMAL.fullmatch(text) or _HEX.fullmatch(text):
        known = {
            "est": f"EST_ERROR values run from 0 to {max(_est_columns()[_THREE])}",
            "curl": f"CURLcodes run from 0 to {max(_by_number('curl_codes'))}",
            "capf": f"results of CAPF operations are {_and(map(str, _by_number('capf_ops')))}",
            "iis": f"statuses that capflog knows are {_and(map(str, _statuses()))}",
            "win32": "Windows errors that capflog knows are those of IIS logins, such as 5, 64, 1326 or 2148074252",
            "certsrv": "codes of Certificate Services are such as 0x80094012 or 0x80094800",
        }.get(kind or "", f"try one like these: {_EXAMPLES}")
        return f"no code {shown} is known; {known}"
    near = _nearest(text, [table for table in _PREFIXES if kind is None or table.startswith(kind)])
    if near:
        return f"no code {shown} is known; did you mean {', '.join(near[:-1]) + ' or ' if near[1:] else ''}{near[-1]}?"
    return f"no code {shown} is known; try one like these: {_EXAMPLES}"


def names() -> list[tuple[str, str]]:
    """Give what can be asked for, each with what it means: every name, and every number behind its kind."""
    found = [(entry.name, entry.means) for table in _PREFIXES for entry in _entries(table)]
    for kind, table in (("curl", "curl_codes"), ("capf", "capf_ops"), ("win32", "win32_codes")):
        found += [(f"{kind}:{entry.number}", entry.means) for entry in _entries(table)]
    found += [(f"iis:{status}", entry.means) for status, (entry, _) in _statuses().items()]
    return found


def explain(query: str) -> list[Explanation]:
    """Explain a code as it stands in a log or as its name; every reading that it has, EST_ERROR first.

    ``EST_ERR_AUTH_FAIL``, ``22``, ``curl:60``, ``CURLE_SSL_CACERT``, ``iis:401.1.2148074254``, ``iis:401.1``, ``401 1
    2148074254``, ``win32:2148074254``, ``0x8009030E``, ``capf:7``, ``0x80094800``; in any case. The list is not empty.

    Raises:
        LookupError: nothing of that name or number is known; its text is one line that offers what is near.
    """
    text = query.strip()
    kind: str | None = None
    split = _KIND.fullmatch(text)
    if split is not None:
        asked = split["kind"].lower()
        kind = _ALIASES.get(asked, asked)
        text = split["rest"].strip()
        if kind not in _KINDS:
            near = get_close_matches(kind, _KINDS, n=1)
            meant = f"did you mean {near[0]}:? The kinds are" if near else "the kinds are"
            raise LookupError(f"there is no kind of code {asked!r}; {meant} {_and(_KINDS)}")
    found: list[Explanation] = []
    if len(text) <= _LONGEST:
        for reading in [_KINDS[kind]] if kind else _KINDS.values():
            found.extend(reading(text))
    if not found:
        raise LookupError(_unknown(query.strip(), kind, text))
    return found
