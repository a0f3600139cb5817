"""Reads condition sentences, by pyparsing: what is wrong is told with its place and with what was expected there.

The forms are listed in ``docs/rules.md``; what they come to is in :mod:`capflog.conditions`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from capflog import conditions as tree_of
from capflog.conditions import CLOCK, FACTS, FIELDS, OPERATORS, Condition, ConditionError, event_tests, nearest
from capflog.events import SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyparsing as pp

    from capflog.conditions import Fact

#: Words of the language itself: no kind and no field is called so.
WORDS = "with|and|or|not|no|in|is|missing|present|matches|after|before|within|of"

#: Other words of the language, which fields or kinds may have as well.
_OTHER_WORDS = (
    "s|min|h|log|offset|over|under|at|least|devices|enrollments|every|enrollment|start|since|has|parameter|trust|list"
    "|names|lacks|the|same|bundle"
)

#: How an episode can end.
OUTCOMES = {"enrollment": ("issued", "failed", "incomplete"), "start": ("ok", "failed", "unknown")}

#: Units of time, in seconds.
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}

#: No more than so many of anything are counted.
_MOST = 1_000


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
    condition = Condition(text, tree)
    if condition.of_bundle and named:
        raise ConditionError(f"'{min(named)}' is of one episode, the rest is asked of the whole bundle", 1, 1)
    return condition


def _near(seconds: float) -> Callable[[int, Fact, int, Fact], bool]:
    def fits(_i: int, a: Fact, _j: int, b: Fact) -> bool:
        return a["at"] is not None and b["at"] is not None and abs(a["at"] - b["at"]) <= seconds * 1000

    return fits


def _having(field: str) -> str:
    """Name the facts that have a field."""
    return " or ".join(f"'{name}'" for name, own in FACTS.items() if field in own)


def _fail(at: int, text: str, message: str) -> Any:
    import pyparsing as pp  # noqa: PLC0415

    raise pp.ParseFatalException(text, at, message)


class _Checks:
    """What is checked of a sentence while it is read: kinds and fields that there are."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.kinds = kinds
        self.fields = FIELDS | {name for own in FACTS.values() for name in own}

    def kind(self, text: str, at: int, found: pp.ParseResults) -> None:
        if found[0] in self.kinds or found[0] in FACTS:
            return
        if found[0] in self.fields:
            _fail(at, text, f"'{found[0]}' is a field: =, !=, <, <=, >, >=, in, matches or is must follow it")
        near = nearest(found[0], self.kinds | set(FACTS))
        _fail(at, text, f"no log has events of kind '{found[0]}'{near}")

    def field(self, text: str, at: int, found: pp.ParseResults) -> None:
        if found[0] not in self.fields:
            _fail(at, text, f"events have no field '{found[0]}'{nearest(found[0], self.fields)}")

    @staticmethod
    def own_fields(text: str, at: int, found: pp.ParseResults) -> tree_of.EventTest:
        name, *tests = found
        return tree_of.EventTest(name, _Checks.fields_of(name, tests, text, at))

    @staticmethod
    def fields_of(name: str, tests: list[tree_of.Test], text: str, at: int) -> tuple[tree_of.Test, ...]:
        own = FACTS.get(name, FIELDS)
        strange = next((t.field for t in tests if t.field not in own), None)
        if strange is not None:
            has = f"it has {', '.join(own)}" if name in FACTS else f"only {_having(strange)} has it"
            _fail(at, text, f"'{name}' has no field '{strange}'; {has}")
        for test in tests:
            known = OUTCOMES.get(name) if test.field == "outcome" else None
            wrong = [v for v in tree_of.values_of(test.holds) if known is not None and str(v).lower() not in known]
            if known is not None and wrong:
                _fail(at, text, f"no {name} has the outcome '{wrong[0]}': it is one of {', '.join(known)}")
        return tuple(tests)

    @staticmethod
    def paired(text: str, at: int, found: pp.ParseResults) -> Any:
        if len(found) == 1:
            return found[0]
        first, (word, fits), second = found
        facts = [event.kind for event in (first, second) if event.kind in FACTS]
        if facts and (word != "within" or tree_of.TIMELESS & set(facts)):
            _fail(at, text, f"'{facts[0]}' is a fact of the whole: '{word}' cannot be asked of it")
        return tree_of.Pair(first, second, fits, word == "within")

    @staticmethod
    def pattern(text: str, at: int, found: pp.ParseResults) -> Any:
        try:
            return tree_of.matching(found[0])
        except ValueError as error:
            return _fail(at, text, str(error))

    @staticmethod
    def counted(text: str, at: int, found: pp.ParseResults) -> Any:
        least, what, *seconds = found
        if not 1 <= least <= _MOST:
            _fail(at, text, f"at least 1 of it must be asked for, and no more than {_MOST:,}")
        if isinstance(what, tree_of.EventTest):
            if what.kind in FACTS:
                _fail(at, text, f"'{what.kind}' is a fact of the whole: there is one")
            return tree_of.Counted(least, what, *seconds)
        word, tests = what
        return tree_of.Spread(least, word == "devices", _Checks.fields_of("enrollment", tests, text, at), *seconds)

    @staticmethod
    def every(text: str, at: int, found: pp.ParseResults) -> Any:
        chosen, since, tests = found
        return tree_of.Every(
            _Checks.fields_of("enrollment", list(chosen), text, at),
            since[0] if since else None,
            _Checks.fields_of("enrollment", list(tests), text, at),
        )


@cache
def _grammar(kinds: frozenset[str]) -> pp.ParserElement:
    """Build the grammar for the kinds of events that there are (a kind that no parser makes is an error)."""
    import pyparsing as pp  # noqa: PLC0415  (20 ms: only where conditions are read)

    checks = _Checks(kinds)
    words = (*WORDS.split("|"), *_OTHER_WORDS.split("|"))
    keyword = {word: pp.Regex(rf"{word}(?![\w.])").set_name(f"'{word}'") for word in words}
    reserved = rf"(?!(?:{WORDS})(?![\w.]))"
    kind = pp.Regex(reserved + r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*").set_name("a kind of event")
    field = pp.Regex(reserved + r"[A-Za-z][A-Za-z0-9_]*").set_name("a field")
    number = pp.Regex(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?(?![\w.])").set_name("a number")
    number.set_parse_action(lambda t: float(t[0]) if "." in t[0] else int(t[0]))
    count = pp.Regex(r"[0-9]{1,6}(?![\w.])").set_name("a whole number").set_parse_action(lambda t: int(t[0]))
    string = pp.QuotedString('"', esc_char="\\", unquote_results=False).set_name("a text in double quotes")
    # Backslashes belong to the pattern: only an escaped quote is undone.
    string.set_parse_action(lambda t: t[0][1:-1].replace('\\"', '"'))
    word = pp.Regex(r"[A-Za-z_][\w.:/-]*").set_name("a word")
    value = (number | string | word).set_name("a value")
    operator_ = pp.one_of(list(OPERATORS)).set_name("an operator")

    comparison = (operator_ - value).set_parse_action(lambda t: tree_of.Comparing(t[0], t[1]))
    pattern = string.copy().add_parse_action(checks.pattern)
    matching = keyword["matches"].suppress() - pattern
    listed = (
        keyword["in"].suppress() - pp.Suppress("(") - pp.DelimitedList(value) - pp.Suppress(")")
    ).set_parse_action(lambda t: tree_of.Among(tuple(t)))
    borne = (keyword["missing"] | keyword["present"]).set_name("'missing' or 'present'")
    there = (keyword["is"].suppress() - borne).set_parse_action(
        lambda t: [(lambda value: value is None) if t[0] == "missing" else (lambda value: value is not None)]
    )
    turned = (keyword["not"].suppress() - (matching | listed).set_name("'matches' or 'in'")).set_parse_action(
        lambda t: tree_of.Negated(t[0])
    )
    predicate = (comparison | matching | listed | there | turned).set_name("an operator and a value")
    starts = (
        operator_
        | keyword["matches"]
        | (keyword["in"] + pp.Literal("("))
        | keyword["is"]
        | (keyword["not"] + (keyword["matches"] | keyword["in"]))
    )
    test = (field.copy().add_parse_action(checks.field) + predicate).set_parse_action(
        lambda t: tree_of.Test({"text": "detail"}.get(t[0], t[0]), t[1])
    )
    tests = test + pp.ZeroOrMore(keyword["and"].suppress() + pp.FollowedBy(field + starts) + test)
    event = (
        kind.copy().add_parse_action(checks.kind) + pp.Optional(keyword["with"].suppress() - tests)
    ).set_parse_action(checks.own_fields)
    absence = (keyword["no"].suppress() - event).set_parse_action(lambda t: tree_of.Absent(t[0]))
    order = (keyword["after"] | keyword["before"]).set_parse_action(
        lambda t: [(t[0], (lambda i, _a, j, _b: i > j) if t[0] == "after" else (lambda i, _a, j, _b: i < j))]
    )
    unit = (keyword["min"] | keyword["s"] | keyword["h"]).set_name("'s', 'min' or 'h'")
    amount = pp.Regex(r"[0-9]{1,9}(?:\.[0-9]{1,9})?(?![\w.])").set_name("a number")
    duration = (amount + unit).set_parse_action(lambda t: float(t[0]) * _UNITS[t[1]])
    nearness = (keyword["within"].suppress() - duration - keyword["of"].suppress()).set_parse_action(
        lambda t: [("within", _near(t[0]))]
    )
    events = (event + pp.Optional((order | nearness) - event)).set_parse_action(checks.paired)

    in_time = pp.Optional(keyword["within"].suppress() - duration)
    phones = (keyword["devices"] | keyword["enrollments"]) + pp.Group(pp.Optional(keyword["with"].suppress() - tests))
    several = phones.set_parse_action(lambda t: [(t[0], list(t[1]))])
    counted = (
        keyword["at"].suppress() + keyword["least"].suppress() - count - (several | event) + in_time
    ).set_parse_action(checks.counted)
    every = (
        keyword["every"].suppress()
        - keyword["enrollment"].suppress()
        - pp.Group(pp.Optional(keyword["with"].suppress() - tests))
        - pp.Group(pp.Optional(keyword["since"].suppress() - event))
        - keyword["has"].suppress()
        - pp.Group(tests)
    ).set_parse_action(checks.every)
    source = pp.Regex(rf"(?:{'|'.join(SOURCES)})(?![\w.])").set_name(f"one of {', '.join(SOURCES)}")
    logged = (pp.Optional(keyword["no"]) + source + keyword["log"].suppress()).set_parse_action(
        lambda t: tree_of.Logged(t[-1], len(t) == 1)
    )
    offset = (
        keyword["offset"].suppress()
        + keyword["of"].suppress()
        - source
        - (keyword["over"] | keyword["under"]).set_name("'over' or 'under'")
        - duration
    ).set_parse_action(lambda t: tree_of.Offset(t[0], tree_of.Comparing(">" if t[1] == "over" else "<", t[2])))
    parameter = (
        keyword["parameter"].suppress()
        + pp.NotAny(starts)
        - pp.Regex(r"[a-z][a-z0-9_]*").set_name("the name of a service parameter")
        - predicate
    ).set_parse_action(lambda t: tree_of.Parameter(t[0], t[1]))
    trusted = (
        keyword["trust"].suppress()
        + keyword["list"].suppress()
        - (keyword["names"] | keyword["lacks"]).set_name("'names' or 'lacks'")
        - pattern
    ).set_parse_action(lambda t: tree_of.Trusted(t[0] == "names", t[1]))

    condition = pp.Forward()
    condition.set_name("a condition")
    turned_round = (keyword["not"].suppress() - pp.Suppress("(") - condition - pp.Suppress(")")).set_parse_action(
        lambda t: tree_of.Not(t[0])
    )
    atom = (
        (pp.Suppress("(") - condition - pp.Suppress(")"))
        | turned_round
        | logged
        | absence
        | counted
        | every
        | offset
        | parameter
        | trusted
        | events
    ).set_name("an event")
    same = (
        keyword["in"].suppress()
        + keyword["the"].suppress()
        - keyword["same"].suppress()
        - (keyword["enrollment"] | keyword["start"] | keyword["bundle"]).set_name("'enrollment', 'start' or 'bundle'")
    )
    conjunction = (
        (atom + pp.ZeroOrMore(keyword["and"].suppress() - atom)).set_parse_action(
            lambda t: t[0] if len(t) == 1 else tree_of.AllOf(tuple(t))
        )
        + pp.Optional(same)
    ).set_parse_action(lambda t: t[0] if len(t) == 1 else tree_of.Within(t[1], t[0]))
    condition <<= (conjunction + pp.ZeroOrMore(keyword["or"].suppress() - conjunction)).set_parse_action(
        lambda t: t[0] if len(t) == 1 else tree_of.AnyOf(tuple(t))
    )
    # Without this a tab counts as up to eight columns.
    return condition.parse_with_tabs()
