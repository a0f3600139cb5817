"""Regular expressions of rules, which must not hang the run: a bound is proven for each, or each search has its time.

Python's matcher goes back and tries again, which can take longer than anyone waits. A pattern is *bounded* if its parse
tree shows that the work grows with the square of the text at most: what repeats is single characters, and from such a
repetition on there is one way to go, or nothing else that repeats; of other choices, few are open at a time. Other
patterns are run by the
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

#: So many ways to go on may be open at a place; a group may be repeated so often, each time told from the next.
_WAYS, _UNROLLED = 64, 16

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
    if tree.state.flags & ~(re.IGNORECASE | re.UNICODE):
        return False
    return _walk(list(tree), _NOTHING) is not None


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is known of all that follows: the characters that it can begin with, at least; whether it can be empty;
    whether something in it repeats; how many ways to go on there are at the most.
    """

    first: _Chars
    empty: bool
    repeats: bool
    ways: int = 1


_NOTHING = _Rest(_NO_CHARS, True, False)


def _walk(items: list[tuple[Any, Any]], rest: _Rest) -> _Rest | None:
    """Go through a sequence from its end, before what follows on it; None: no bound is found."""
    for op, value in reversed(items):
        step = _step(str(op), value, rest)
        if step is None or step.ways > _WAYS:
            return None
        rest = step
    return rest


def _step(op: str, value: Any, rest: _Rest) -> _Rest | None:
    single = _chars(op, value)
    if single is not None:
        return _Rest(single, False, rest.repeats, rest.ways)
    if op == "AT":
        return rest
    if op == "SUBPATTERN":
        _, added, taken, inside = value
        return None if added or taken else _walk(list(inside), rest)
    if op == "BRANCH":
        found: _Rest | None = None
        for way in value[1]:
            one = _walk(list(way), rest)
            if one is None:
                return None
            found = one if found is None else _choice(found, one)
        return found
    if op in ("MAX_REPEAT", "MIN_REPEAT"):
        return _repeated(value, rest)
    return None


def _repeated(value: tuple[int, int, Any], rest: _Rest) -> _Rest | None:
    least, most, what = value
    inside = list(what)
    single = _chars(str(inside[0][0]), inside[0][1]) if len(inside) == 1 else None
    if single is not None and (least, most) != (0, 1):
        if least == most:
            return _Rest(single, False, rest.repeats, rest.ways) if least else rest
        # However few times it may be: each length is a way to go on, unless the next character tells it.
        one_way = not rest.empty and not _meet(single, rest.first)
        if rest.repeats and not one_way:
            return None
        if least:
            return _Rest(single, False, True, rest.ways)
        return _Rest(_joined(single, rest.first), rest.empty, True, rest.ways)
    if most > _UNROLLED:
        return None
    found: _Rest | None = rest
    for nth in range(most, 0, -1):
        again = None if found is None else _walk(inside, found)
        if again is None:
            return None
        # From ``least`` times on it may end here, too.
        found = again if nth <= least else _choice(again, rest)
    return found


def _choice(one: _Rest, other: _Rest) -> _Rest | None:
    """Put two ways to go on together: where the next character does not tell them apart, both may be tried."""
    open_ = one.empty or other.empty or _meet(one.first, other.first)
    ways = one.ways + other.ways if open_ else max(one.ways, other.ways)
    if ways > _WAYS:
        return None
    return _Rest(_joined(one.first, other.first), one.empty or other.empty, one.repeats or other.repeats, ways)


def _joined(one: _Chars, other: _Chars) -> _Chars:
    return one[0] | other[0], one[1] | other[1]


def _meet(one: _Chars, other: _Chars) -> bool:
    return bool(one[0] & other[0] or one[1] & other[1])


def _chars(op: str, value: Any) -> _Chars | None:
    """Give the characters that an item of one character stands for, at least; None: it is none."""
    if op == "LITERAL":
        return _cased(value)
    if op == "NOT_LITERAL":
        return _without(_surely("LITERAL", value))
    if op == "ANY":
        return _ALL_CHARS
    if op != "IN":
        return None
    turned = any(str(name) == "NEGATE" for name, _ in value)
    found = _NO_CHARS
    for name, what in value:
        if str(name) == "NEGATE":
            continue
        own = _surely(str(name), what) if turned else _perhaps(str(name), what)
        if own is None:
            return None
        found = _joined(found, own)
    return _without(found) if turned else found


def _perhaps(name: str, what: Any) -> _Chars | None:
    """Give all characters that an item of a set may stand for."""
    if name == "LITERAL":
        return _cased(what)
    if name == "RANGE":
        found = _NO_CHARS
        for code in range(what[0], min(what[1], 255) + 1):
            found = _joined(found, _cased(code))
        return _joined(found, _cased(what[1])) if what[1] > 255 else found
    return _category(str(what)) if name == "CATEGORY" else None


def _surely(name: str, what: Any) -> _Chars:
    """Give characters that an item of a set stands for without doubt: fewer than there are, if need be."""
    if name == "CATEGORY":
        return _category(str(what))
    codes = [what] if name == "LITERAL" else range(what[0], min(what[1], 127) + 1) if name == "RANGE" else []
    bits = 0
    for code in codes:
        if code < 128:
            bits |= 1 << ord(chr(code).lower()) | 1 << ord(chr(code).upper())
    return bits, 0


def _without(chars: _Chars) -> _Chars:
    return ~chars[0] & _ALL_CHARS[0], ~chars[1] & 15


def _cased(code: int) -> _Chars:
    """Give a character in every case. Letters have others beyond ASCII (the sign of Kelvin is a k), so all may be."""
    if code < 128:
        char = chr(code)
        return 1 << ord(char.lower()) | 1 << ord(char.upper()), _LETTERS if char.isalpha() else 0
    # (Beyond ASCII: any of them, and the letters that are of one with such.)
    ascii_too = sum(1 << ord(char) for char in "iIkKsS")
    return (((1 << 256) - 1) ^ ((1 << 128) - 1)) | ascii_too, 15


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _category(name: str) -> _Chars:
    tests: dict[str, Callable[[str], bool]] = {"DIGIT": str.isdecimal, "SPACE": str.isspace, "WORD": _is_word}
    sorts = {"DIGIT": _DIGITS, "SPACE": _BLANKS, "WORD": _DIGITS | _LETTERS}
    kind = name.removeprefix("CATEGORY_")
    base = kind.removeprefix("NOT_")
    test = tests[base]
    bits = sum(1 << code for code in range(256) if test(chr(code)))
    found = bits, sorts[base]
    return found if kind == base else _without(found)
