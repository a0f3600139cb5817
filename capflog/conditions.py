"""The condition language of rules: a sentence over the events of one episode, read by pyparsing.

    curl.failed with code = 51
    or curl.failed with code = 60 and text matches "does not match target host"

An *episode* is one enrollment, one start of CES, or one exchange that could be put to no phone: its events in the
order of time. A condition that names ``clock`` is asked of each clock beside the reference instead, together with the
events that it names, wherever they stand in the bundle (of those that fit the same test, the first few).

``KIND with FIELD OP VALUE and ...`` is true where such an event is in the episode; ``no KIND with ...`` where none is;
``A after B``, ``A before B`` and ``A within 10 s of B`` tie two of them. ``not`` before ``matches`` or ``in`` turns a
test round. A field is a name of :data:`capflog.events.VALUES` or ``device``, ``session``, ``level``, ``source``;
``text`` is the program's own words (the value ``detail``), ``raw`` the line as logged. Texts compare without regard to
case; a number and a text are equal where they are written alike. A test on a value that the event does not bear is
false, but for ``is missing``, ``!=`` and the ``not`` forms.
"""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from capflog.events import VALUES

if TYPE_CHECKING:
    import pyparsing as pp

#: The fact that stands for a clock.
CLOCK = "clock"

#: Fields of the facts that the engine itself puts into an episode, beside the events of the logs.
FACTS = {
    "enrollment": ("outcome", "error", "waited", "reached", "device"),
    "start": ("outcome",),
    CLOCK: ("source", "whose", "offset", "side", "zone_error", "zone_side", "step", "drift", "quality", "bound"),
}

#: The facts that bear no time.
_TIMELESS = frozenset({"start", CLOCK})

#: Fields of the events of the logs.
FIELDS = frozenset(VALUES) | {"device", "session", "level", "source", "text", "raw"}

#: Words of the language itself: no kind and no field is called so.
_WORDS = "with|and|or|not|no|in|is|missing|present|matches|after|before|within|of"

Fact = Mapping[str, Any]
"""An event as conditions see it: ``kind``, ``at`` (ms, or None) and the fields by their names; absent = not borne."""

Match = list[Fact]
"""The events that make a condition true: the evidence. Empty where it is true for an absence."""


class ConditionError(ValueError):
    """A condition that cannot be read: what is wrong, and ``line`` and ``column``, 1-based within the condition."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
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
    nearness: bool = False

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
        evidence: dict[int, Fact] = {}
        for part in self.parts:
            found = part.match(episode)
            if found is None:
                return None
            evidence.update((id(fact), fact) for fact in found)
        return list(evidence.values())


@dataclass(frozen=True, slots=True)
class AnyOf:
    """``... or ...``: the evidence of every part that holds."""

    parts: tuple[Any, ...]

    def match(self, episode: Sequence[Fact]) -> Match | None:
        matches = [found for part in self.parts if (found := part.match(episode)) is not None]
        return list({id(fact): fact for found in matches for fact in found}.values()) if matches else None


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

    @property
    def of_clocks(self) -> bool:
        """Whether it is asked of clocks: it names one."""
        return any(test.kind == CLOCK for test in event_tests(self.tree))

    def match(self, episode: Sequence[Fact]) -> Match | None:
        """Give the events that make it true (maybe none, for an absence), or None where it is false."""
        found: Match | None = self.tree.match(episode)
        return found


def event_tests(tree: Any) -> Iterator[EventTest]:
    """Give every ``KIND with ...`` that a condition asks of, the absent ones too."""
    if isinstance(tree, EventTest):
        yield tree
    elif isinstance(tree, Absent):
        yield tree.event
    elif isinstance(tree, Pair):
        yield tree.first
        yield tree.second
    else:
        for part in tree.parts:
            yield from event_tests(part)


def may_hold(tree: Any, fits: Callable[[EventTest], bool | None]) -> bool | None:
    """Say what a condition comes to by what is known of an episode, without a look at its events.

    ``fits`` tells of each ``KIND with ...`` whether an event of the episode fits it. True, False; None: not known.
    """
    if isinstance(tree, EventTest):
        return fits(tree)
    if isinstance(tree, Absent):
        there = fits(tree.event)
        return None if there is None else not there
    if isinstance(tree, Pair):
        # Whether they stand in that order, only their rows tell.
        return False if False in (fits(tree.first), fits(tree.second)) else None
    told = {may_hold(part, fits) for part in tree.parts}
    if isinstance(tree, AllOf):
        return False if False in told else None if None in told else True
    return True if True in told else None if None in told else False


def by_time(tree: Any) -> bool:
    """Tell whether a condition asks how far apart events are (``within``): then order alone does not decide it."""
    if isinstance(tree, Pair):
        return tree.nearness
    return any(by_time(part) for part in getattr(tree, "parts", ()))


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
            return name in ("=", "!=") and compare(str(borne).casefold(), str(value).casefold())
        return compare(borne, value)

    return holds


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a rule's regular expression. Raises :class:`ValueError` that says what is wrong with it."""
    try:
        with warnings.catch_warnings():
            # A pattern that another version of Python may read otherwise ("[[a]") is no fault of the user's.
            warnings.simplefilter("ignore")
            return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    except RecursionError:
        raise ValueError("not a regular expression: too many brackets within each other") from None


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = compile_pattern(pattern)
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

    keyword = {word: pp.Regex(rf"{word}(?![\w.])").set_name(f"'{word}'") for word in (*_WORDS.split("|"), "s")}
    reserved = rf"(?!(?:{_WORDS})(?![\w.]))"
    kind = pp.Regex(reserved + r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*").set_name("a kind of event")
    field = pp.Regex(reserved + r"[A-Za-z][A-Za-z0-9_]*").set_name("a field")
    number = pp.Regex(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?(?![\w.])").set_name("a number")
    number.set_parse_action(lambda t: float(t[0]) if "." in t[0] else int(t[0]))
    string = pp.QuotedString('"', esc_char="\\", unquote_results=False).set_name("a text in double quotes")
    # Backslashes belong to the pattern: only an escaped quote is undone.
    string.set_parse_action(lambda t: t[0][1:-1].replace('\\"', '"'))
    word = pp.Regex(r"[A-Za-z_][\w.:/-]*").set_name("a word")
    value = (number | string | word).set_name("a value")
    fields = FIELDS | {name for own in FACTS.values() for name in own}
    operator_ = pp.one_of(list(_OPERATORS)).set_name("an operator")

    def fail(at: int, text: str, message: str) -> None:
        raise pp.ParseFatalException(text, at, message)

    def known_kind(text: str, at: int, found: pp.ParseResults) -> None:
        if found[0] in kinds or found[0] in FACTS:
            return
        if found[0] in fields:
            fail(at, text, f"'{found[0]}' is a field: =, !=, <, <=, >, >=, in, matches or is must follow it")
        else:
            near = nearest(found[0], kinds | set(FACTS))
            fail(at, text, f"no log has events of kind '{found[0]}'{near}")

    def known_field(text: str, at: int, found: pp.ParseResults) -> None:
        if found[0] not in fields:
            fail(at, text, f"events have no field '{found[0]}'{nearest(found[0], fields)}")

    def own_fields(text: str, at: int, found: pp.ParseResults) -> EventTest:
        name, *tests = found
        own = FACTS.get(name, FIELDS)
        strange = next((t.field for t in tests if t.field not in own), None)
        if strange is not None:
            has = f"it has {', '.join(own)}" if name in FACTS else f"only {_having(strange)} has it"
            fail(at, text, f"'{name}' has no field '{strange}'; {has}")
        return EventTest(name, tuple(tests))

    def paired(text: str, at: int, found: pp.ParseResults) -> Any:
        if len(found) == 1:
            return found[0]
        first, (word, fits), second = found
        facts = [event.kind for event in (first, second) if event.kind in FACTS]
        if facts and (word != "within" or _TIMELESS & set(facts)):
            fail(at, text, f"'{facts[0]}' is a fact of the whole: '{word}' cannot be asked of it")
        return Pair(first, second, fits, word == "within")

    def pattern(text: str, at: int, found: pp.ParseResults) -> Any:
        try:
            return _matches(found[0])
        except ValueError as error:
            return fail(at, text, str(error))

    comparison = (operator_ - value).set_parse_action(lambda t: _compare(t[0], t[1]))
    matching = keyword["matches"].suppress() - string.copy().add_parse_action(pattern)
    listed = (
        keyword["in"].suppress() - pp.Suppress("(") - pp.DelimitedList(value) - pp.Suppress(")")
    ).set_parse_action(lambda t: _among(list(t)))
    borne = (keyword["missing"] | keyword["present"]).set_name("'missing' or 'present'")
    there = (keyword["is"].suppress() - borne).set_parse_action(
        lambda t: [(lambda value: value is None) if t[0] == "missing" else (lambda value: value is not None)]
    )
    turned = (keyword["not"].suppress() - (matching | listed).set_name("'matches' or 'in'")).set_parse_action(
        lambda t: _negated(t[0])
    )
    predicate = (comparison | matching | listed | there | turned).set_name("an operator and a value")
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
    ).set_parse_action(own_fields)
    absence = (keyword["no"].suppress() - event).set_parse_action(lambda t: Absent(t[0]))
    order = (keyword["after"] | keyword["before"]).set_parse_action(
        lambda t: [(t[0], (lambda i, _a, j, _b: i > j) if t[0] == "after" else (lambda i, _a, j, _b: i < j))]
    )
    nearness = (
        keyword["within"].suppress() - number - keyword["s"].suppress() - keyword["of"].suppress()
    ).set_parse_action(lambda t: [("within", _within(float(t[0])))])
    events = (event + pp.Optional((order | nearness) - event)).set_parse_action(paired)
    condition = pp.Forward()
    condition.set_name("a condition")
    atom = ((pp.Suppress("(") - condition - pp.Suppress(")")) | absence | events).set_name("an event")
    conjunction = (atom + pp.ZeroOrMore(keyword["and"].suppress() - atom)).set_parse_action(
        lambda t: t[0] if len(t) == 1 else AllOf(tuple(t))
    )
    condition <<= (conjunction + pp.ZeroOrMore(keyword["or"].suppress() - conjunction)).set_parse_action(
        lambda t: t[0] if len(t) == 1 else AnyOf(tuple(t))
    )
    # Without this a tab counts as up to eight columns.
    return condition.parse_with_tabs()


def _having(field: str) -> str:
    """Name the facts that have a field."""
    return " or ".join(f"'{name}'" for name, own in FACTS.items() if field in own)


def nearest(word: str, known: Collection[str]) -> str:
    """Offer the known word that is most like this one, as an error's last words; "" where none is."""
    import difflib  # noqa: PLC0415  (only for an error)

    near = difflib.get_close_matches(word.lower(), sorted(known), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""


def read(text: str, kinds: frozenset[str]) -> Condition:
    """Read a condition over events of the given kinds. Raises :class:`ConditionError` where it cannot be read."""
    import pyparsing as pp  # noqa: PLC0415

    grammar = _grammar(kinds)
    try:
        (tree,) = grammar.parse_string(text, parse_all=True)
    except pp.ParseBaseException as error:
        message = error.msg[:1].lower() + error.msg[1:]
        if text[error.loc :].strip() and message == "expected end of text":
            message = f"'and', 'or' or the end is expected before '{text[error.loc :].split(maxsplit=1)[0]}'"
        raise ConditionError(message, error.lineno, error.column) from None
    except RecursionError:
        raise ConditionError("too many brackets within each other", 1, 1) from None
    named = {test.kind for test in event_tests(tree)} & FACTS.keys()
    if CLOCK in named and len(named) > 1:
        other = min(named - {CLOCK})
        raise ConditionError(f"no episode has both a '{CLOCK}' and '{other}'", 1, 1)
    return Condition(text, tree, _mentioned(tree))
