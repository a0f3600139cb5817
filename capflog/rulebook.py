"""Rules: one YAML file for each root cause, loaded and checked; what is wrong in one hides nothing of another.

A file directly in ``rules/`` holds one rule (see :class:`Rule` for its keys). A rule's cases stand inside it: lines on
which it must speak, and lines on which it must not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from capflog import conditions, grammar, patterns
from capflog.parsing import parsers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.resources.abc import Traversable

    import yaml

    from capflog.model import Severity

_T = TypeVar("_T")

ID = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
#: CAPF's service parameters, which any rule's text may name besides what the rule reads itself: {ca_template}.
PARAMETERS = ("ca_hostname", "ca_port", "ca_template")
#: All that any rule's text may name: those, and what CAPF was told of the enrollments.
GIVEN = (*PARAMETERS, "told")
#: What the text of a rule about clocks may name besides: see :mod:`capflog.clock_facts`.
GIVEN_OF_CLOCKS = ("whose", "offset", "side", "bound", "zone_error", "step", "drift")
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
SCOPES = ("service", "device")
STATUSES = ("documented", "inferred")


class RuleError(Exception):
    """A rule file that cannot be used: the file, the place in it, what was expected; ``every``: all that is wrong."""

    def __init__(self, *every: str) -> None:
        super().__init__("\n".join(every))
        self.every = list(every)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read out of the evidence for the rule's text: ``pattern``'s first group, else ``otherwise``."""

    pattern: patterns.Pattern
    otherwise: str


@dataclass(frozen=True, slots=True)
class Raised:
    """The condition on which a rule that speaks is of a higher severity."""

    severity: Severity
    when: str
    condition: conditions.Condition


@dataclass(frozen=True, slots=True)
class Case:
    """A case of a rule: the text of logs by member name, and whether the rule must speak on them.

    ``severity``: that which its finding must have; None: any.
    """

    name: str
    speaks: bool
    logs: dict[str, str]
    severity: Severity | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One root cause.

    ``when``: the condition on which it speaks for sure; ``likely``: one on which it speaks, but only ``likely``.
    ``raised``: higher severities with their conditions, the highest first: where the rule speaks it has the first of
    them whose condition holds, else ``severity``.
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
    raised: list[Raised] = field(default_factory=list)
    read: dict[str, Reading] = field(default_factory=dict)
    show: list[str] = field(default_factory=list)
    last_resort: bool = False
    cases: list[Case] = field(default_factory=list)

    @property
    def every_condition(self) -> list[conditions.Condition]:
        """Every condition that is asked for it."""
        own = [self.condition] if self.likely_condition is None else [self.condition, self.likely_condition]
        return own + [raised.condition for raised in self.raised]


@dataclass(slots=True)
class Rulebook:
    """All rules that could be loaded, by their ids, and all that is wrong with those that could not.

    ``remarks``: what is wrong with rules that are asked all the same.
    """

    rules: dict[str, Rule]
    errors: list[str]
    remarks: list[str] = field(default_factory=list)


def known_kinds() -> frozenset[str]:
    """Name every kind of event that some parser makes."""
    return frozenset(kind for parser in parsers() for kind in parser.kinds)


@cache
def builtin() -> Rulebook:
    """Load the rules that capflog ships."""
    return load(files("capflog.rules"))


def with_folders(own: Iterable[Traversable]) -> Rulebook:
    """Load the rules that capflog ships, and those of other folders."""
    return load_all([files("capflog.rules"), *own])


def load(folder: Traversable) -> Rulebook:
    """Load every ``*.yaml`` file of a folder; a file that is no good is told of in ``errors``, with all that is."""
    return load_all([folder])


def load_all(folders: Iterable[Traversable]) -> Rulebook:
    """Load the rules of several folders, which must differ in their ids; of two with one id the earlier one counts."""
    rules: dict[str, Rule] = {}
    names: dict[str, str] = {}
    errors: list[str] = []
    left_out: set[str] = set()
    kinds = known_kinds()
    for folder in folders:
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if not entry.name.endswith((".yaml", ".yml")):
                continue
            try:
                rule = read_rule(entry.read_text(encoding="utf-8-sig"), entry.name, kinds)
            except UnicodeDecodeError:
                errors.append(f"{entry.name}: not UTF-8 text")
            except OSError as error:
                errors.append(f"{entry.name}: cannot be read: {error.strerror or error}")
            except RuleError as error:
                errors += error.every
            else:
                if rule.id not in rules:
                    rules[rule.id], names[rule.id] = rule, entry.name
                    continue
                errors.append(f"{entry.name}: id '{rule.id}' is taken by {names[rule.id]}")
            left_out.add(entry.name.rpartition(".")[0])
    remarks: list[str] = []
    for rule in rules.values():
        # A rule that is told of already is not told of once more by each that names it.
        unknown = [n for n in (*rule.alternatives, *rule.supersedes) if n not in rules and n not in left_out]
        remarks += [
            f"{names[rule.id]}: names the rule '{name}', which there is not{conditions.nearest(name, rules)}"
            for name in dict.fromkeys(unknown)
        ]
        remarks += [
            f"{names[rule.id]}: supersedes {name if name != rule.id else 'itself'}"
            + (", which supersedes it: neither would speak" if name != rule.id else "")
            for name in rule.supersedes
            if name in rules and rule.id in rules[name].supersedes
        ]
    return Rulebook(rules, errors, remarks)


_KEYS: dict[str, type] = {
    "id": str,
    "title": str,
    "severity": str,
    "status": str,
    "since": str,
    "scope": str,
    "when": str,
    "likely": str,
    "raised": dict,
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
_TYPES: dict[type, str] = {
    str: "a text (in quotes, if it looks like a number or a date)",
    list: "a list",
    dict: "a mapping",
    bool: "true or false",
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
    try:
        return _read(text, name, kinds, quick=True)
    except RuleError:
        # libyaml reads ten times as fast; of what is wrong, and where, the reader in Python tells better.
        return _read(text, name, kinds, quick=False)


class _Faults:
    """Gathers what is wrong with a rule file: one fault hides no other."""

    def __init__(self) -> None:
        self.every: list[str] = []

    def of(self, reading: Callable[[], _T]) -> _T | None:
        """Read a part; None where it is no good."""
        try:
            return reading()
        except RuleError as error:
            self.every += [one for one in error.every if one not in self.every]
            return None

    def tell(self) -> None:
        """Raise all that is wrong, if anything is."""
        if self.every:
            raise RuleError(*self.every)


def _read(text: str, name: str, kinds: frozenset[str], *, quick: bool) -> Rule:
    data, places = _yaml(text, name, quick=quick)
    faults = _Faults()
    known = set(data)
    for key, value in list(data.items()):
        faults.of(lambda key=key, value=value: _check_key(key, value, places[key], name))  # type: ignore[misc]
        if key in _KEYS and not isinstance(value, _KEYS[key]):
            # (What is of the wrong kind is told of, and not looked into.)
            del data[key]
    missing = [key for key in _NEEDED if key not in known]
    if missing:
        faults.every.append(f"{name}: lacks {', '.join(repr(key) for key in missing)}")
    faults.of(lambda: _check_words(data, name))

    def sentences(key: str) -> list[str]:
        return faults.of(lambda: _sentences(data, key, name)) or []

    def condition(key: str) -> conditions.Condition | None:
        if not data.get(key, "").strip():
            return None
        return faults.of(lambda: _condition(data[key], places[key], name, key, kinds))

    remedy, verify = sentences("remedy"), sentences("verify")
    alternatives, supersedes = sentences("alternatives"), sentences("supersedes")
    when, likely = condition("when"), condition("likely")
    raised = faults.of(lambda: _raised(data, places, name, kinds)) or []
    readings = faults.of(lambda: _readings(data, name)) or {}
    references = faults.of(lambda: _references(data, name)) or []
    shown = faults.of(lambda: _shown(data, name, kinds)) or []
    cases = faults.of(lambda: _cases(data, name)) or []
    every = [one for one in (when, likely, *(one.condition for one in raised)) if one is not None]
    for what in ("a 'clock'", "the whole bundle"):
        if 0 < sum(_asked_of(one) == what for one in every) < len(every):
            faults.every.append(f"{name}: some of its conditions ask of {what}, others do not")
    faults.of(lambda: _check_names(data, name, of_clocks=any(one.of_clocks for one in every)))
    faults.tell()
    assert when is not None  # (It is needed, and a fault otherwise.)
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
        remedy=remedy,
        verify=verify,
        alternatives=alternatives,
        supersedes=supersedes,
        references=references,
        condition=when,
        likely_condition=likely,
        raised=raised,
        read=readings,
        show=shown,
        last_resort=data.get("last_resort", False),
        cases=cases,
    )


def _asked_of(condition: conditions.Condition) -> str:
    """Say what a condition is asked of, in words."""
    if condition.of_clocks:
        return f"a '{conditions.CLOCK}'"
    return "the whole bundle" if condition.of_bundle else ""


def _check_key(key: Any, value: Any, place: _Place, name: str) -> None:
    """See that a key is one of a rule's, and its value of the right kind."""
    where = f"{name}, line {place.line}"
    if key not in _KEYS:
        raise RuleError(f"{where}: unknown key '{key}'{conditions.nearest(str(key), _KEYS)}")
    if not isinstance(value, _KEYS[key]):
        raise RuleError(f"{where}: '{key}' must be {_TYPES[_KEYS[key]]}")
    if isinstance(value, str) and not value.strip():
        raise RuleError(f"{where}: '{key}' is empty")


def _yaml(text: str, name: str, *, quick: bool) -> tuple[dict[str, Any], dict[str, _Place]]:
    """Read YAML: the mapping, and where each of its values stands."""
    import yaml  # noqa: PLC0415  (only where rules are read)

    try:
        loader = _loader(quick=quick)(text)
        node = loader.get_single_node()
        data = loader.construct_document(node) if node is not None else None
    except yaml.reader.ReaderError as error:
        row, column = _row(text, error.position)
        raise RuleError(
            f"{name}, line {row}, column {column}: not YAML: the character U+{error.character:04X} is not allowed"
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise RuleError(f"{name}{place}: not YAML: {getattr(error, 'problem', error)}") from None
    except ValueError as error:
        # Something that looks like a date or a number and is none.
        raise RuleError(f"{name}: not YAML: {error}") from None
    except RecursionError:
        raise RuleError(f"{name}: not YAML: too many brackets within each other") from None
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise RuleError(f"{name}: a rule is a mapping of keys")
    places = dict.fromkeys(data, _Place(text, node, 1))
    places.update(_Place(text, node, 1).within())
    return data, {key: place for key, place in places.items() if key in data}


@cache
def _loader(*, quick: bool) -> Any:
    """Make a loader that takes no key twice: of two conditions one would be lost without a word.

    ``quick``: libyaml's, where PyYAML has it.
    """
    import yaml  # noqa: PLC0415

    base: Any = yaml.CSafeLoader if quick and yaml.__with_libyaml__ else yaml.SafeLoader

    class Loader(base):  # type: ignore[misc]
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.constructor.ConstructorError(None, None, "a key is a word", key.start_mark)
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' stands twice", key.start_mark
                    )
                seen.add(str(key.value))
            mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            return mapping

    return Loader


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value of a rule file stands in it; ``line`` and ``column`` are its key's."""

    text: str
    node: yaml.Node
    line: int
    column: int = 1

    def within(self) -> dict[str, _Place]:
        """Tell where the values of a mapping stand, by their keys."""
        return {
            key.value: _Place(self.text, value, key.start_mark.line + 1, key.start_mark.column + 1)
            for key, value in self.node.value
            if isinstance(key.value, str)
        }

    def find(self, sentence: str, at: int) -> tuple[int, int]:
        """Give line and column in the file of ``sentence[at]``: YAML folds lines, but no letter is lost by that."""
        start, end = self.node.start_mark.index, self.node.end_mark.index
        if self.text[start : start + 1] in (">", "|"):
            start = self.text.find("\n", start)
        elif self.text[start : start + 1] in ("'", '"'):
            start += 1
        letters = [start + m.start() for m in re.finditer(r"\S", self.text[start:end])]
        before = len("".join(sentence[:at].split()))
        return _row(self.text, letters[before] if before < len(letters) else letters[-1] + 1)


def _row(text: str, index: int) -> tuple[int, int]:
    """Give the 1-based line and column of a character."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _check_words(data: dict[str, Any], name: str) -> None:
    wrong = []
    if "id" in data and not ID.fullmatch(data["id"]):
        wrong.append(f"{name}: id '{data['id']}' is not a slug such as 'ca-dns-failure'")
    for key, words in (("severity", SEVERITIES), ("status", STATUSES), ("scope", SCOPES)):
        if key in data and data[key] not in words:
            wrong.append(f"{name}: {key} '{data[key]}' is none of {', '.join(words)}")
    if wrong:
        raise RuleError(*wrong)


def _check_names(data: dict[str, Any], name: str, *, of_clocks: bool) -> None:
    """See that each ``{name}`` in the text is read out of the evidence or given; curl's ``%{name}`` is no such name."""
    texts = [data.get("explanation", ""), *_sentences(data, "remedy", name), *_sentences(data, "verify", name)]
    known = {*GIVEN, *(GIVEN_OF_CLOCKS if of_clocks else ()), *data.get("read", {})}
    words = dict.fromkeys(re.findall(r"(?<!%)\{(\w+)\}", " ".join(texts)))
    wrong = [f"{name}: the text names '{{{word}}}', which 'read' does not give" for word in words if word not in known]
    if wrong:
        raise RuleError(*wrong)


def _sentences(data: dict[str, Any], key: str, name: str) -> list[str]:
    values = data.get(key, [])
    if not all(isinstance(value, str) for value in values):
        raise RuleError(f"{name}: '{key}' must be a list of texts")
    return [" ".join(value.split()) for value in values]


def _references(data: dict[str, Any], name: str) -> list[dict[str, str]]:
    references = data.get("references", [])
    for reference in references:
        good = isinstance(reference, dict) and isinstance(reference.get("title"), str)
        if not good or set(reference) - {"title", "url"} or not isinstance(reference.get("url", ""), str):
            raise RuleError(f"{name}: a reference has a 'title' and maybe a 'url', which are texts")
    return [dict(reference) for reference in references]


def _readings(data: dict[str, Any], name: str) -> dict[str, Reading]:
    readings = {}
    for key, value in data.get("read", {}).items():
        if not isinstance(value, dict) or set(value) != {"pattern", "else"}:
            raise RuleError(f"{name}: read.{key} needs 'pattern' and 'else'")
        if not all(isinstance(part, str | int | float) for part in value.values()):
            raise RuleError(f"{name}: 'pattern' and 'else' of read.{key} must be texts")
        try:
            pattern = patterns.compile_pattern(str(value["pattern"]))
        except ValueError as error:
            raise RuleError(f"{name}: read.{key}: {error}") from None
        if pattern.groups < 1:
            raise RuleError(f"{name}: read.{key}: the pattern needs a group")
        readings[str(key)] = Reading(pattern, str(value["else"]))
    return readings


def _shown(data: dict[str, Any], name: str, kinds: frozenset[str]) -> list[str]:
    shown = _sentences(data, "show", name)
    for kind in shown:
        if kind not in kinds:
            raise RuleError(f"{name}: 'show': no log has events of kind '{kind}'{conditions.nearest(kind, kinds)}")
    return shown


def _condition(sentence: str, place: _Place, name: str, key: str, kinds: frozenset[str]) -> conditions.Condition:
    sentence = sentence.strip()
    try:
        return grammar.read(sentence, kinds)
    except conditions.ConditionError as error:
        before = sum(len(row) for row in sentence.split("\n")[: error.line - 1]) + error.line - 1
        row, column = place.find(sentence, before + error.column - 1)
        raise RuleError(f"{name}, line {row}, column {column}: '{key}': {error.message}") from None


def _raised(data: dict[str, Any], places: dict[str, _Place], name: str, kinds: frozenset[str]) -> list[Raised]:
    """Read the higher severities, the highest first."""
    own: Severity = data.get("severity", "")
    if own not in SEVERITIES:
        return []
    higher = SEVERITIES[: SEVERITIES.index(own)]
    found: dict[Severity, Raised] = {}
    within = places["raised"].within() if "raised" in data else {}
    for key, sentence in data.get("raised", {}).items():
        place = within.get(key, places["raised"])
        where = f"{name}, line {place.line}, column {place.column}: 'raised'"
        severity = next((word for word in higher if word == key), None)
        if severity is None:
            raise RuleError(f"{where}: '{key}' is no severity above {own} ({', '.join(higher) or 'there is none'})")
        if not isinstance(sentence, str) or not sentence.strip():
            raise RuleError(f"{where}: '{key}' must be a condition")
        condition = _condition(sentence, place, name, f"raised.{key}", kinds)
        found[severity] = Raised(severity, sentence.strip(), condition)
    return [found[severity] for severity in higher if severity in found]


def _cases(data: dict[str, Any], name: str) -> list[Case]:
    cases = []
    for value in data.get("cases", []):
        if not isinstance(value, dict) or set(value) - {"severity"} != {"name", "speaks", "logs"}:
            raise RuleError(
                f"{name}: a case has 'name', 'speaks' (true or false) and 'logs' (text by file name), maybe 'severity'"
            )
        logs = value["logs"]
        if not isinstance(value["name"], str | int | float):
            raise RuleError(f"{name}: the 'name' of a case must be a text")
        if not isinstance(value["speaks"], bool):
            raise RuleError(f"{name}: 'speaks' of case '{value['name']}' must be true or false")
        if not isinstance(logs, dict) or not logs or not all(isinstance(text, str) for text in logs.values()):
            raise RuleError(f"{name}: the logs of case '{value['name']}' must be texts by file name")
        severity = value.get("severity")
        if severity is not None and (severity not in SEVERITIES or not value["speaks"]):
            raise RuleError(
                f"{name}: 'severity' of case '{value['name']}' must be one of {', '.join(SEVERITIES)}, where it speaks"
            )
        cases.append(Case(str(value["name"]), value["speaks"], {str(k): v for k, v in logs.items()}, severity))
    return cases
