"""Regular expressions of rules, which must not hang the run: a bound is proven for each, or each search has its time.

Python's matcher goes back and tries again, which can take longer than anyone waits. A pattern is *bounded* if its parse
tree shows that the work grows with the square of the text at most: what repeats without a limit is single characters,
and from such a repetition on there is one way to go, or nothing else that repeats. Other patterns are run by the
``regex`` package, which can be told to stop. A text is searched up to :data:`LONGEST` characters.
"""

from __future__ import annotations

import re
import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: So much of a text is searched: NGINX cuts its records at 2,048 characters (ngx_log.h, NGX_MAX_ERROR_STR).
LONGEST = 4096

#: So long may one search of a pattern without a proven bound take, and all searches of one pattern together. (s)
ONE_SEARCH, ALL_SEARCHES = 1.0, 30.0

#: From so many times on a repetition counts as one without a limit.
_MANY = 64

#: A set of characters: which of the first 256 are in it, and of which sorts any other one is (digits, letters, blanks,
#: others).
_Chars = tuple[int, int]

_DIGITS, _LETTERS, _BLANKS, _OTHERS = 1, 2, 4, 8
_NO_CHARS: _Chars = (0, 0)
_ALL_CHARS: _Chars = ((1 << 256) - 1, 15)


class PatternTooSlowError(Exception):
    """A pattern took longer than it may."""


@dataclass(slots=True, eq=False)
class Pattern:
    """A pattern that has been compiled. Each search may raise :class:`PatternTooSlowError`."""

    pattern: str
    groups: int
    bounded: bool
    """Whether a bound for its time is proven."""
    _compiled: Any = field(repr=False)
    _spent: float = 0.0

    def search(self, text: str) -> bool:
        """Tell whether it is found in a text."""
        begun = time.perf_counter()
        try:
            if self.bounded:
                return self._compiled.search(text, 0, LONGEST) is not None
            return self._compiled.search(text, 0, LONGEST, timeout=ONE_SEARCH) is not None
        except TimeoutError:
            raise self._too_slow(ONE_SEARCH) from None
        finally:
            self._spend(begun)

    def groups_in(self, text: str) -> Iterator[str]:
        """Give what the groups of each match in a text hold, those that took part and are not empty."""
        begun = time.perf_counter()
        more = {} if self.bounded else {"timeout": ONE_SEARCH}
        try:
            found = [group for match in self._compiled.finditer(text, 0, LONGEST, **more) for group in match.groups()]
        except TimeoutError:
            raise self._too_slow(ONE_SEARCH) from None
        self._spend(begun)
        return (group for group in found if group)

    def _spend(self, begun: float) -> None:
        self._spent += time.perf_counter() - begun
        if self._spent > ALL_SEARCHES:
            raise self._too_slow(ALL_SEARCHES)

    def _too_slow(self, limit: float) -> PatternTooSlowError:
        shown = self.pattern if len(self.pattern) <= 60 else f"{self.pattern[:57]}..."
        return PatternTooSlowError(f'the pattern "{shown}" took longer than {limit:g} s')


def compile_pattern(pattern: str) -> Pattern:
    """Compile a rule's pattern; letters match without regard to case.

    Raises :class:`ValueError` that says what is wrong with it.
    """
    try:
        with warnings.catch_warnings():
            # A pattern that another version of Python may read otherwise ("[[a]") is no fault of the user's.
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern, re.IGNORECASE)
            bounded = is_bounded(pattern)
    except (re.error, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    except RecursionError:
        raise ValueError("not a regular expression: too many brackets within each other") from None
    if bounded:
        return Pattern(pattern, compiled.groups, True, compiled)
    import regex  # noqa: PLC0415  (for patterns of others alone)

    try:
        return Pattern(pattern, compiled.groups, False, regex.compile(pattern, regex.IGNORECASE | regex.VERSION0))
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error}") from None


def is_bounded(pattern: str) -> bool:
    """Tell whether it is proven that the pattern's work grows with the square of the text at most."""
    try:
        from re import _parser as parser  # type: ignore[attr-defined]  # noqa: PLC0415
    except ImportError:
        # (Without the parse tree nothing is proven.)
        return False
    tree = parser.parse(pattern, re.IGNORECASE)
    return _walk(list(tree), _NOTHING) is not None


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is known of all that follows: the characters that it can begin with, whether it can be empty, whether
    something in it repeats without a limit.
    """

    first: _Chars
    empty: bool
    repeats: bool


_NOTHING = _Rest(_NO_CHARS, True, False)


def _walk(items: list[tuple[Any, Any]], rest: _Rest) -> _Rest | None:
    """Go through a sequence from its end, before what follows on it; None: no bound is found."""
    for op, value in reversed(items):
        step = _step(str(op), value, rest)
        if step is None:
            return None
        rest = step
    return rest


def _step(op: str, value: Any, rest: _Rest) -> _Rest | None:
    single = _chars(op, value)
    if single is not None:
        return _Rest(single, False, rest.repeats)
    if op == "AT":
        return rest
    if op == "SUBPATTERN":
        return _walk(list(value[-1]), rest)
    if op == "BRANCH":
        ways = [_walk(list(way), rest) for way in value[1]]
        known = [way for way in ways if way is not None]
        return _either(*known) if len(known) == len(ways) else None
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        return _repeated(value, rest)
    return None


def _repeated(value: tuple[int, int, Any], rest: _Rest) -> _Rest | None:
    least, most, what = value
    inside = list(what)
    if most < _MANY:
        # (A few times one after the other: the last one, and before it any number of them.)
        once = _walk(inside, rest)
        if once is None or (most > 1 and once.repeats and not rest.repeats):
            return None
        if most > 1:
            again = _walk(inside, _either(once, rest))
            if again is None:
                return None
            once = _either(again, once) if least <= 1 else again
        return once if least else _either(once, rest)
    if len(inside) != 1:
        return None
    single = _chars(str(inside[0][0]), inside[0][1])
    if single is None:
        return None
    one_way = not rest.empty and not _meet(single, rest.first)
    if rest.repeats and not one_way:
        return None
    own = _Rest(single, False, True)
    return own if least else _Rest(_joined(single, rest.first), rest.empty, True)


def _either(*ways: _Rest) -> _Rest:
    first = _NO_CHARS
    for way in ways:
        first = _joined(first, way.first)
    return _Rest(first, any(way.empty for way in ways), any(way.repeats for way in ways))


def _joined(one: _Chars, other: _Chars) -> _Chars:
    return one[0] | other[0], one[1] | other[1]


def _meet(one: _Chars, other: _Chars) -> bool:
    return bool(one[0] & other[0] or one[1] & other[1])


def _chars(op: str, value: Any) -> _Chars | None:
    """Give the characters that an item of one character stands for; None: it is none."""
    if op == "LITERAL":
        return _cased(value)
    if op == "NOT_LITERAL":
        return _turned(_cased(value))
    if op == "ANY":
        return _ALL_CHARS
    if op != "IN":
        return None
    found, turned = _NO_CHARS, False
    for name, what in value:
        if str(name) == "NEGATE":
            turned = True
        elif str(name) == "LITERAL":
            found = _joined(found, _cased(what))
        elif str(name) == "RANGE":
            for code in range(what[0], min(what[1], 255) + 1):
                found = _joined(found, _cased(code))
            found = (found[0], found[1] | (15 if what[1] > 255 else 0))
        elif str(name) == "CATEGORY":
            found = _joined(found, _category(str(what)))
        else:
            return None
    return _turned(found) if turned else found


def _turned(chars: _Chars) -> _Chars:
    # (Of single characters beyond the first 256 there is always another one of their sort.)
    return ~chars[0] & _ALL_CHARS[0], 15


def _cased(code: int) -> _Chars:
    """Give a character in every case; some have others beyond the first 256 (the sign of Kelvin is a k)."""
    bits, beyond = 0, _LETTERS if chr(code).lower() in "ksi" else 0
    for other in {chr(code), chr(code).lower(), chr(code).upper()}:
        if len(other) == 1 and ord(other) < 256:
            bits |= 1 << ord(other)
        else:
            beyond = 15
    return bits, beyond


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _category(name: str) -> _Chars:
    tests: dict[str, Callable[[str], bool]] = {"DIGIT": str.isdecimal, "SPACE": str.isspace, "WORD": _is_word}
    sorts = {"DIGIT": _DIGITS, "SPACE": _BLANKS, "WORD": _DIGITS | _LETTERS}
    kind = name.removeprefix("CATEGORY_")
    base = kind.removeprefix("NOT_")
    test = tests[base]
    bits = sum(1 << code for code in range(256) if test(chr(code)))
    if kind == base:
        return bits, sorts[base]
    return ~bits & _ALL_CHARS[0], ~sorts[base] & 15
