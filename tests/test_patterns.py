"""Patterns of rules: for which a bound is proven, and that none hangs the run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog import patterns
from capflog.patterns import LONGEST, PatternTooSlowError, compile_pattern, is_bounded
from capflog.rulebook import builtin
from capflog.rulelint import patterns_of

if TYPE_CHECKING:
    from capflog.rulebook import Rule


@pytest.mark.parametrize(
    "pattern",
    [
        "does not match target",
        r"^resolv|^name lookup",
        r"https://([^/:\s]+)",
        r"a.*b",
        r"a\s*=\s*b",
        r"\w+\s+\w+",
        r"x[^']+'y'.*z",
        r"(a|b)?c{2,5}",
        r"subject name ['(](.+?)[')] does not match",
    ],
)
def test_a_bound_is_proven(pattern: str) -> None:
    assert is_bounded(pattern)
    assert compile_pattern(pattern).bounded


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+b",
        r".*.*",
        r"(?:ab|c)+d",
        r"a*a*b",
        r"(?=a)b",
        r"(a)\1",
        r"(?:\w+ ?){3}",
        r"a{0,200}b*c*b",
        r"[a-z]*\w+!",
    ],
)
def test_no_bound_is_proven(pattern: str) -> None:
    assert not is_bounded(pattern)
    assert not compile_pattern(pattern).bounded


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.id) for rule in builtin().rules.values()])
def test_a_bound_is_proven_for_every_pattern_that_ships(rule: Rule) -> None:
    assert [one.pattern for one in patterns_of(rule) if not one.bounded] == []


_PIECES = st.sampled_from(
    [*"ab.cK", r"\w", r"\s", r"\d", "[ab]", "[^a]", "a*", "b+", r"\w*", r"\s+", ".*", "(a|b)", "x?"]
)


@given(st.lists(_PIECES, min_size=1, max_size=6).map("".join), st.text("abcxkK 1\u212a", max_size=20))
@settings(max_examples=300, deadline=None)
def test_a_pattern_finds_what_re_finds(pattern: str, text: str) -> None:
    # (The same text for the matcher of those that are bounded and for that of the others.)
    expected = re.search(pattern, text, re.IGNORECASE) is not None
    assert compile_pattern(pattern).search(text) == expected


def test_groups_are_read_in_their_order_and_empty_ones_left_out() -> None:
    assert list(compile_pattern(r"(\w+)=(\d*)").groups_in("a=1 b= c=22")) == ["a", "1", "b", "c", "22"]


def test_what_is_behind_the_longest_text_is_not_searched() -> None:
    pattern = compile_pattern("needle")
    assert pattern.search(" " * (LONGEST - 6) + "needle")
    assert not pattern.search(" " * (LONGEST - 5) + "needle")


def test_a_pattern_without_a_bound_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "ONE_SEARCH", 0.05)
    pattern = compile_pattern(r"^(\w+\s?)*\W$|(x+x+)+y")
    with pytest.raises(PatternTooSlowError, match=r"took longer than 0\.05 s"):
        pattern.search("x" * 4000)
    with pytest.raises(PatternTooSlowError):
        list(pattern.groups_in("x" * 4000))


def test_all_searches_of_one_pattern_have_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "ALL_SEARCHES", 0.0)
    with pytest.raises(PatternTooSlowError, match="took longer than 0 s"):
        compile_pattern("a").search("b")


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "a{3,1}", "(?P<n>a)(?P<n>b)", "*"])
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        compile_pattern(pattern)
