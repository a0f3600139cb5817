"""Rules: one YAML file for each root cause, loaded and checked; what is wrong in one hides nothing of another.

A file directly in ``rules/`` holds one rule (see :class:`Rule` for its keys). A rule's cases stand inside it: lines on
which it must speak, and lines on which it must not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

from capflog import conditions
from capflog.parsing import parsers

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from capflog.model import Severity

ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
SEVERITIES = ("error", "warning", "info")
SCOPES = ("service", "device")
STATUSES = ("documented", "inferred")


class RuleError(Exception):
    """A rule file that cannot be used: the file, the place in it, and what was expected."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read out of the evidence for the rule's text: ``pattern``'s first group, else ``otherwise``."""

    pattern: re.Pattern[str]
    otherwise: str


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a rule: the text of logs by member name, and whether the rule must speak on them."""

    name: str
    speaks: bool
    logs: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """One root cause.

    ``when``: the condition on which it speaks for sure; ``likely``: one on which it speaks, but only ``likely``.
    ``status``: "documented" (a published source shows its lines) or "inferred" (then it is never ``certain``).
    ``scope``: whom it hits: the "service" (a later success of any phone refutes it) or a "device" (only its own does).
    ``supersedes``: rules that say less of the same thing. ``alternatives``: rules that the same lines may allow.
    ``show``: kinds of events beside the match that are shown as evidence. ``last_resort``: it speaks only where no
    other rule of severity error does.
    """

    id: str
    title: str
    severity: Severity
    status: Literal["documented", "inferred"]
    since: str
    scope: Literal["service", "device"]
    when: str
    likely: str | None
    explanation: str
    remedy: list[str]
    verify: list[str]
    alternatives: list[str]
    supersedes: list[str]
    references: list[dict[str, str]]
    condition: conditions.Condition
    likely_condition: conditions.Condition | None
    read: dict[str, Reading] = field(default_factory=dict)
    show: list[str] = field(default_factory=list)
    last_resort: bool = False
    cases: list[Case] = field(default_factory=list)


@dataclass(slots=True)
class Rulebook:
    """All rules that could be loaded, by their ids, and one message for each that could not."""

    rules: dict[str, Rule]
    errors: list[str]


def known_kinds() -> frozenset[str]:
    """Name every kind of event that some parser makes."""
    return frozenset(kind for parser in parsers() for kind in parser.kinds)


@cache
def builtin() -> Rulebook:
    """Load the rules that capflog ships."""
    return load(files("capflog.rules"))


def load(folder: Traversable) -> Rulebook:
    """Load every ``*.yaml`` file of a folder; a file that is no good is told of in ``errors``."""
    rules: dict[str, Rule] = {}
    errors: list[str] = []
    kinds = known_kinds()
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not entry.name.endswith(".yaml"):
            continue
        try:
            rule = read_rule(entry.read_text(encoding="utf-8"), entry.name, kinds)
        except (RuleError, UnicodeDecodeError) as error:
            errors.append(str(error) if isinstance(error, RuleError) else f"{entry.name}: not UTF-8 text")
            continue
        if rule.id in rules:
            errors.append(f"{entry.name}: id '{rule.id}' is taken by another file")
            continue
        rules[rule.id] = rule
    for rule in rules.values():
        named = (*rule.alternatives, *rule.supersedes)
        errors += [
            f"{rule.id}.yaml: names the rule '{name}', which there is not" for name in named if name not in rules
        ]
    return Rulebook(rules, errors)


_KEYS = {
    "id": str,
    "title": str,
    "severity": str,
    "status": str,
    "since": str,
    "scope": str,
    "when": str,
    "likely": str,
    "explanation": str,
    "remedy": list,
    "verify": list,
    "alternatives": list,
    "supersedes": list,
    "references": list,
    "read": dict,
    "show": list,
    "last_resort": bool,
    "cases": list,
}
_NEEDED = (
    "id",
    "title",
    "severity",
    "status",
    "since",
    "scope",
    "when",
    "explanation",
    "remedy",
    "verify",
    "references",
)


def read_rule(text: str, name: str, kinds: frozenset[str]) -> Rule:
    """Read one rule file. Raises :class:`RuleError` with the file's name and the place of the fault."""
    import yaml  # noqa: PLC0415  (only where rules are read)

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RuleError(f"{name}{place}: not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(data, dict):
        raise RuleError(f"{name}: a rule is a mapping of keys")
    for key, value in data.items():
        if key not in _KEYS:
            raise RuleError(f"{name}: unknown key '{key}'")
        if not isinstance(value, _KEYS[key]):
            raise RuleError(f"{name}: '{key}' must be a {_KEYS[key].__name__}")
    missing = [key for key in _NEEDED if key not in data]
    if missing:
        raise RuleError(f"{name}: lacks {', '.join(repr(key) for key in missing)}")
    _check_words(data, name)
    return Rule(
        id=data["id"],
        title=data["title"].strip(),
        severity=data["severity"],
        status=data["status"],
        since=data["since"],
        scope=data["scope"],
        when=data["when"].strip(),
        likely=data["likely"].strip() if "likely" in data else None,
        explanation=" ".join(data["explanation"].split()),
        remedy=_sentences(data, "remedy", name),
        verify=_sentences(data, "verify", name),
        alternatives=_sentences(data, "alternatives", name),
        supersedes=_sentences(data, "supersedes", name),
        references=_references(data, name),
        condition=_condition(data["when"], text, name, "when", kinds),
        likely_condition=_condition(data["likely"], text, name, "likely", kinds) if "likely" in data else None,
        read=_readings(data, name),
        show=_sentences(data, "show", name),
        last_resort=data.get("last_resort", False),
        cases=_cases(data, name),
    )


def _check_words(data: dict[str, Any], name: str) -> None:
    if not ID.fullmatch(data["id"]):
        raise RuleError(f"{name}: id '{data['id']}' is not a slug such as 'ca-dns-failure'")
    for key, words in (("severity", SEVERITIES), ("status", STATUSES), ("scope", SCOPES)):
        if data[key] not in words:
            raise RuleError(f"{name}: {key} '{data[key]}' is none of {', '.join(words)}")


def _sentences(data: dict[str, Any], key: str, name: str) -> list[str]:
    values = data.get(key, [])
    if not all(isinstance(value, str) for value in values):
        raise RuleError(f"{name}: '{key}' must be a list of texts")
    return [" ".join(value.split()) for value in values]


def _references(data: dict[str, Any], name: str) -> list[dict[str, str]]:
    references = data["references"]
    for reference in references:
        good = isinstance(reference, dict) and isinstance(reference.get("title"), str)
        if not good or set(reference) - {"title", "url"}:
            raise RuleError(f"{name}: a reference has a 'title' and maybe a 'url'")
    return [dict(reference) for reference in references]


def _readings(data: dict[str, Any], name: str) -> dict[str, Reading]:
    readings = {}
    for key, value in data.get("read", {}).items():
        if not isinstance(value, dict) or set(value) != {"pattern", "else"}:
            raise RuleError(f"{name}: read.{key} needs 'pattern' and 'else'")
        try:
            pattern = re.compile(str(value["pattern"]), re.IGNORECASE)
        except re.error as error:
            raise RuleError(f"{name}: read.{key}: not a regular expression: {error}") from None
        if pattern.groups < 1:
            raise RuleError(f"{name}: read.{key}: the pattern needs a group")
        readings[str(key)] = Reading(pattern, str(value["else"]))
    return readings


def _condition(sentence: str, text: str, name: str, key: str, kinds: frozenset[str]) -> conditions.Condition:
    try:
        return conditions.read(sentence.strip(), kinds)
    except conditions.ConditionError as error:
        line = next((n for n, row in enumerate(text.splitlines(), 1) if row.startswith(f"{key}:")), 1)
        raise RuleError(f"{name}: '{key}' (from line {line}), {error}") from None


def _cases(data: dict[str, Any], name: str) -> list[Case]:
    cases = []
    for value in data.get("cases", []):
        if not isinstance(value, dict) or set(value) != {"name", "speaks", "logs"}:
            raise RuleError(f"{name}: a case has 'name', 'speaks' (true or false) and 'logs' (text by file name)")
        logs = value["logs"]
        if not isinstance(logs, dict) or not all(isinstance(text, str) for text in logs.values()):
            raise RuleError(f"{name}: the logs of case '{value['name']}' must be texts by file name")
        cases.append(Case(str(value["name"]), bool(value["speaks"]), {str(k): v for k, v in logs.items()}))
    return cases
