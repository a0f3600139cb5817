"""The condition language of rules: a sentence over the events of one episode, read by pyparsing.

    curl.failed with code = 51
    or curl.failed with code = 60 and text matches "does not match target host"

An *episode* is one enrollment, one start of CES, or one exchange that could be put to no phone: its events in the
order of time. ``KIND with FIELD OP VALUE and ...`` is true where such an event is in the episode; ``no KIND with ...``
where none is; ``A after B``, ``A before B`` and ``A within 10 s of B`` tie two of them. ``not`` before ``matches`` or
``in`` turns a test round. A field is a name of :data:`capflog.events.VALUES` or ``device``, ``session``, ``level``,
``source``; ``text`` is the program's own words (the value ``detail``), ``raw`` the line as logged. A test on a value
that the event does not bear is false, but for ``is missing``, ``!=`` and the ``not`` forms.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from capflog.events import VALUES

if TYPE_CHECKING:
    import pyparsing as pp

#: Fields of the two facts that the engine itself puts into an episode, beside the events of the logs.
FACTS = {
    "enrollment": ("outcome", "error", "waited", "reached", "device"),
    "start": ("outcome",),
}
FIELDS = frozenset(VALUES) | {"device", "session", "level", "source", "text", "raw", "outcome", "waited", "reached"}

Fact = Mapping[str, Any]
"""An event as conditions see it: ``kind``, ``at`` (ms, or None) and the fields by their names; absent = not borne."""

Match = list[Fact]
"""The events that make a condition true: the evidence. Empty where it is true for an absence."""


class ConditionError(ValueError):
    """A condition that cannot be read; ``line`` and ``column`` are 1-based within the condition."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison on a field of an event."""

    field: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class EventTest:
    """``KIND with ...``: the events of the episode that it fits."""

    kind: str
    tests: tuple[Test, ...]

    def all_in(self, episode: Sequence[Fact]) -> list[tuple[int, Fact]]:
        return [
            (i, fact)
            for i, fact in enumerate(episode)
            if fact["kind"] == self.kind and all(t.holds(fact.get(t.field)) for t in self.tests)
        ]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        found = self.all_in(episode)
        return [fact for _, fact in found] if found else None


@dataclass(frozen=True, slots=True)
class Absent:
    """``no KIND with ...``."""

    event: EventTest

    def match(self, episode: Sequence[Fact]) -> Match | None:
        return None if self.event.match(episode) else []


@dataclass(frozen=True, slots=True)
class Pair:
    """``A after B``, ``A before B``, ``A within N s of B``."""

    first: EventTest
    second: EventTest
    fits: Callable[[int, Fact, int, Fact], bool]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        seconds = self.second.all_in(episode)
        evidence: dict[int, Fact] = {}
        for i, a in self.first.all_in(episode):
            for j, b in seconds:
                if self.fits(i, a, j, b):
                    evidence[i], evidence[j] = a, b
        return [evidence[i] for i in sorted(evidence)] if evidence else None


@dataclass(frozen=True, slots=True)
class AllOf:
    """``... and ...``."""

    parts: tuple[Any, ...]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        evidence: Match = []
        for part in self.parts:
            found = part.match(episode)
            if found is None:
                return None
            evidence += [fact for fact in found if fact not in evidence]
        return evidence


@dataclass(frozen=True, slots=True)
class AnyOf:
    """``... or ...``: the evidence of every part that holds."""

    parts: tuple[Any, ...]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        evidence: Match | None = None
        for part in self.parts:
            found = part.match(episode)
            if found is not None:
                evidence = [*(evidence or []), *(fact for fact in found if fact not in (evidence or []))]
        return evidence


def _mentioned(tree: Any) -> frozenset[str]:
    """Name the kinds of which an event must be there; empty where the condition can hold without any."""
    if isinstance(tree, EventTest):
        return frozenset({tree.kind})
    if isinstance(tree, Pair):
        return _mentioned(tree.first)
    if isinstance(tree, AllOf):
        return min((m for part in tree.parts if (m := _mentioned(part))), key=len, default=frozenset())
    if isinstance(tree, AnyOf):
        parts = [_mentioned(part) for part in tree.parts]
        return frozenset().union(*parts) if all(parts) else frozenset()
    return frozenset()


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that has been read; :meth:`match` asks it of an episode."""

    text: str
    tree: Any
    mentioned: frozenset[str]
    """An episode with none of these kinds of events cannot make it true (empty: any can)."""

    def match(self, episode: Sequence[Fact]) -> Match | None:
        """Give the events that make it true (maybe none, for an absence), or None where it is false."""
        found: Match | None = self.tree.match(episode)
        return found


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compare(name: str, value: Any) -> Callable[[Any], bool]:
    compare = _OPERATORS[name]

    def holds(borne: Any) -> bool:
        if borne is None:
            return name == "!="
        if isinstance(value, str) and isinstance(borne, str):
            return compare(borne.casefold(), value.casefold())
        if isinstance(value, str) or isinstance(borne, str):
            return name == "!="
        return compare(borne, value)

    return holds


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda borne: borne is not None and compiled.search(str(borne)) is not None


def _among(values: Sequence[Any]) -> Callable[[Any], bool]:
    tests = [_compare("=", value) for value in values]
    return lambda borne: any(test(borne) for test in tests)


def _negated(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda borne: not test(borne)


def _within(seconds: float) -> Callable[[int, Fact, int, Fact], bool]:
    def fits(_i: int, a: Fact, _j: int, b: Fact) -> bool:
        return a["at"] is not None and b["at"] is not None and abs(a["at"] - b["at"]) <= seconds * 1000

    return fits


@cache
def _grammar(kinds: frozenset[str]) -> pp.ParserElement:
    """Build the grammar for the kinds of events that there are (a kind that no parser makes is an error)."""
    import pyparsing as pp  # noqa: PLC0415  (20 ms: only where conditions are read)

    words = ("with", "and", "or", "not", "no", "after", "before", "within", "of", "is", "missing", "present", "matches")
    keyword = {word: pp.Keyword(word) for word in (*words, "in", "s")}
    kind = pp.Regex(r"[a-z][a-z0-9]*(?:[._][a-z0-9]+)*").set_name("a kind of event")
    field = pp.Regex(r"[a-z][a-z0-9_]*").set_name("a field")
    number = pp.Regex(r"-?\d+(?:\.\d+)?(?![\w.])").set_name("a number")
    number.set_parse_action(lambda t: float(t[0]) if "." in t[0] else int(t[0]))
    string = pp.QuotedString('"', esc_char="\\", unquote_results=False).set_name("a text in double quotes")
    # Backslashes belong to the pattern: only an escaped quote is undone.
    string.set_parse_action(lambda t: t[0][1:-1].replace('\\"', '"'))
    word = pp.Regex(r"[A-Za-z_][\w.:/-]*").set_name("a word")
    value = (number | string | word).set_name("a value")
    operator_ = pp.one_of(list(_OPERATORS)).set_name("an operator")

    def fail(at: int, text: str, message: str) -> None:
        raise pp.ParseFatalException(text, at, message)

    def known_kind(text: str, at: int, found: pp.ParseResults) -> None:
        if found[0] not in kinds and found[0] not in FACTS:
            near = _nearest(found[0], kinds | set(FACTS))
            fail(at, text, f"no log has events of kind '{found[0]}'{near}")

    def known_field(text: str, at: int, found: pp.ParseResults) -> None:
        if found[0] not in FIELDS:
            fail(at, text, f"events have no field '{found[0]}'{_nearest(found[0], FIELDS)}")

    def pattern(text: str, at: int, found: pp.ParseResults) -> Any:
        try:
            return _matches(found[-1])
        except re.error as error:
            return fail(at, text, f"not a regular expression: {error}")

    comparison = (operator_ + value).set_parse_action(lambda t: _compare(t[0], t[1]))
    matching = (keyword["matches"].suppress() + string).set_parse_action(pattern)
    listed = (
        keyword["in"].suppress() + pp.Suppress("(") + pp.DelimitedList(value) + pp.Suppress(")")
    ).set_parse_action(lambda t: _among(list(t)))
    absent = (keyword["is"] + keyword["missing"]).set_parse_action(lambda: [lambda borne: borne is None])
    present = (keyword["is"] + keyword["present"]).set_parse_action(lambda: [lambda borne: borne is not None])
    turned = (keyword["not"].suppress() + (matching | listed)).set_parse_action(lambda t: _negated(t[0]))
    predicate = (comparison | matching | listed | absent | present | turned).set_name("an operator and a value")
    starts = (
        operator_
        | keyword["matches"]
        | keyword["in"]
        | keyword["is"]
        | (keyword["not"] + (keyword["matches"] | keyword["in"]))
    )
    test = (field.copy().add_parse_action(known_field) + predicate).set_parse_action(
        lambda t: Test({"text": "detail"}.get(t[0], t[0]), t[1])
    )
    more = keyword["and"].suppress() + pp.FollowedBy(field + starts) + test
    event = (
        kind.copy().add_parse_action(known_kind) + pp.Optional(keyword["with"].suppress() - test + pp.ZeroOrMore(more))
    ).set_parse_action(lambda t: EventTest(t[0], tuple(t[1:])))
    absence = (keyword["no"].suppress() - event).set_parse_action(lambda t: Absent(t[0]))
    order = (keyword["after"] | keyword["before"]).set_parse_action(
        lambda t: [(lambda i, _a, j, _b: i > j) if t[0] == "after" else (lambda i, _a, j, _b: i < j)]
    )
    nearness = (
        keyword["within"].suppress() - number - keyword["s"].suppress() - keyword["of"].suppress()
    ).set_parse_action(lambda t: [_within(float(t[0]))])
    events = (event + pp.Optional((order | nearness) - event)).set_parse_action(
        lambda t: t[0] if len(t) == 1 else Pair(t[0], t[2], t[1])
    )
    condition = pp.Forward()
    condition.set_name("a condition")
    atom = ((pp.Suppress("(") - condition - pp.Suppress(")")) | absence | events).set_name("an event")
    conjunction = (atom + pp.ZeroOrMore(keyword["and"].suppress() - atom)).set_parse_action(
        lambda t: t[0] if len(t) == 1 else AllOf(tuple(t))
    )
    condition <<= (conjunction + pp.ZeroOrMore(keyword["or"].suppress() - conjunction)).set_parse_action(
        lambda t: t[0] if len(t) == 1 else AnyOf(tuple(t))
    )
    return condition


def _nearest(word: str, known: frozenset[str] | set[str]) -> str:
    import difflib  # noqa: PLC0415  (only for an error)

    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def read(text: str, kinds: frozenset[str]) -> Condition:
    """Read a condition over events of the given kinds. Raises :class:`ConditionError` where it cannot be read."""
    import pyparsing as pp  # noqa: PLC0415

    try:
        (tree,) = _grammar(kinds).parse_string(text, parse_all=True)
    except pp.ParseBaseException as error:
        message = error.msg[:1].lower() + error.msg[1:]
        if text[error.loc :].strip() and message == "expected end of text":
            message = f"'and', 'or' or the end is expected before '{text[error.loc :].split(maxsplit=1)[0]}'"
        raise ConditionError(message, error.lineno, error.column) from None
    return Condition(text, tree, _mentioned(tree))
