"""The condition language: what a sentence holds for, which events prove it, and what is said of one that is wrong."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog import conditions, grammar
from capflog.conditions import Condition, ConditionError
from capflog.rulebook import known_kinds

KINDS = known_kinds()

Fact = dict[str, Any]


def fact(kind: str, at: int | None = None, **values: str | float) -> Fact:
    """An event of an episode; ``at`` in ms."""
    return {"kind": kind, "at": at, **values}


def read(sentence: str) -> Condition:
    return grammar.read(sentence, KINDS)


def match(sentence: str, *episode: Fact) -> list[Fact] | None:
    found = read(sentence).match(episode)
    return None if found is None else [dict(event) for event in found]


def holds(sentence: str, *episode: Fact) -> bool:
    return match(sentence, *episode) is not None


def refused(sentence: str) -> ConditionError:
    with pytest.raises(ConditionError) as caught:
        read(sentence)
    return caught.value


REFUSED_LOGIN = fact("curl.failed", code=60, detail="certificate is not yet valid", function="login_to_certsrv_ca")


# ---- tests on one value --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "below", "equal", "above"),
    [
        ("code = 60", False, True, False),
        ("code != 60", True, False, True),
        ("code < 60", True, False, False),
        ("code <= 60", True, True, False),
        ("code > 60", False, False, True),
        ("code >= 60", False, True, True),
        ("code >= 59.5", False, True, True),
        ("code > -1", True, True, True),
        ("code in (60, 61)", False, True, True),
        ("code not in (60, 61)", True, False, False),
        ('code matches "^6"', False, True, True),
        ('code not matches "^6"', True, False, False),
    ],
)
def test_numbers_are_compared(test: str, *, below: bool, equal: bool, above: bool) -> None:
    spoke = [holds(f"curl.failed with {test}", fact("curl.failed", code=code)) for code in (59, 60, 61)]
    assert spoke == [below, equal, above]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("level = warn", True),
        ("level = WARN", True),
        ('level = "Warn"', True),
        ("level = war", False),
        ("level != WARN", False),
        ("level != error", True),
        ("level < x", True),
        ("level > x", False),
        ("level in (error, WARN)", True),
        ("level not in (error, crit)", True),
        ("level not in (error, Warn)", False),
        ('level matches "^W.RN$"', True),
        ('level matches "a"', True),
        ('level matches "^a"', False),
        ('level not matches "^a"', True),
    ],
)
def test_texts_are_compared_without_regard_to_case(test: str, *, expected: bool) -> None:
    assert holds(f"curl.failed with {test}", fact("curl.failed", level="Warn")) is expected


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("session = 2", True),
        ('session = "2"', True),
        ("session != 2", False),
        ("session = 22", False),
        ("session in (1, 2)", True),
        ('code = "60"', True),
        ('code != "60"', False),
        ("code = sixty", False),
        ("code != sixty", True),
        ("code in (sixty, 60)", True),
        # Of a number and a text neither is the smaller one.
        ('code < "61"', False),
        ('code >= "1"', False),
        ("session < 3", False),
    ],
)
def test_a_number_and_a_text_are_equal_where_they_are_written_alike(test: str, *, expected: bool) -> None:
    assert holds(f"curl.failed with {test}", fact("curl.failed", session="2", code=60)) is expected


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("code = 60", False),
        ("code != 60", True),
        ("code < 60", False),
        ("code >= 0", False),
        ("code in (60, 61)", False),
        ("code not in (60, 61)", True),
        ('code matches ""', False),
        ('code not matches ""', True),
        ("code is missing", True),
        ("code is present", False),
    ],
)
def test_a_value_that_is_not_there_fits_denials_alone(test: str, *, expected: bool) -> None:
    assert holds(f"curl.failed with {test}", fact("curl.failed")) is expected


def test_a_value_that_is_there_is_present() -> None:
    assert holds("curl.failed with code is present", fact("curl.failed", code=0))
    assert not holds("curl.failed with code is missing", fact("curl.failed", code=0))


def test_text_is_what_the_program_said_and_raw_is_the_line() -> None:
    event = fact("curl.failed", detail="expired", raw="nginx: [warn] login: return code 60 (expired)")
    assert holds('curl.failed with text matches "^expired$" and raw matches "^nginx: "', event)
    assert not holds('curl.failed with text matches "nginx"', event)


def test_a_pattern_keeps_its_backslashes_and_may_hold_a_quote() -> None:
    event = fact("curl.failed", detail='certnew.cer said "no" (7)')
    assert holds(r'curl.failed with text matches "certnew\.cer said \"no\" \(\d\)$"', event)
    assert not holds(r'curl.failed with text matches "certnew\.cer$"', event)
    assert holds(r'curl.failed with text = "certnew.cer said \"no\" (7)"', event)


@pytest.mark.parametrize("word", ["lab-dc.corp.example", "certsrv/certnew.cer", "a:b", "S_1", "info"])
def test_a_word_needs_no_quotes(word: str) -> None:
    assert holds(f"curl.url with url = {word}", fact("curl.url", url=word))


def test_every_test_of_an_event_must_hold_for_one_and_the_same() -> None:
    sentence = 'curl.failed with code = 60 and function matches "login"'
    assert holds(sentence, REFUSED_LOGIN)
    assert not holds(sentence, fact("curl.failed", code=60), fact("curl.failed", function="login"))


# ---- events of an episode ------------------------------------------------------------------------------------------

A, B, C = "curl.failed", "curl.ok", "iis.request"


def test_an_event_proves_itself_every_time_it_happened() -> None:
    first, other, second = fact(A, code=1), fact(B), fact(A, code=2)
    assert match(A, first, other, second) == [first, second]
    assert match(A, other) is None
    assert match(A) is None


def test_an_absence_holds_without_evidence() -> None:
    assert match(f"no {A}", fact(B)) == []
    assert match(f"no {A}") == []
    assert match(f"no {A}", fact(A)) is None
    assert match(f"no {A} with code = 1", fact(A, code=2)) == []


@pytest.mark.parametrize(
    ("sentence", "there", "expected"),
    [
        (f"{A} and {B}", {A, B}, True),
        (f"{A} and {B}", {A}, False),
        (f"{A} or {B}", {B}, True),
        (f"{A} or {B}", {C}, False),
        (f"{A} or {B} and {C}", {A}, True),
        (f"{A} or {B} and {C}", {B}, False),
        (f"{B} and {C} or {A}", {A}, True),
        (f"({A} or {B}) and {C}", {A}, False),
        (f"({A} or {B}) and {C}", {B, C}, True),
        (f"{A} and no {B}", {A}, True),
        (f"{A} and no {B}", {A, B}, False),
        (f"{A} and (no {B} or {C})", {A, B, C}, True),
        (f"(({A}))", {A}, True),
        (f"{A}\n  and\t{B}", {A, B}, True),
        # What follows "and" is a further test of the event only where an operator comes after it.
        (f"{A} with code = 1 and {B} with code = 1", {A, B}, True),
        (f"{A} with code = 1 and no {B}", {A}, True),
        (f"{A} with code = 1 and no {B}", {A, B}, False),
        (f"{A} with code = 1 or {B} with code = 2", {B}, False),
    ],
)
def test_and_binds_closer_than_or(sentence: str, there: set[str], *, expected: bool) -> None:
    assert holds(sentence, *(fact(kind, code=1) for kind in sorted(there))) is expected


def test_the_evidence_is_that_of_every_part_that_holds_and_each_event_once() -> None:
    a, b, c = fact(A, code=1), fact(B), fact(C)
    assert match(f"{A} and {B}", a, b, c) == [a, b]
    assert match(f"{C} or {A} with code = 1 or {A}", a, b, c) == [c, a]
    assert match(f"{A} and no {B}", a) == [a]
    assert match(f"{C} or no {A} or {B}", b) == [b]


def test_two_events_that_say_the_same_are_two() -> None:
    assert match(f"{A} and {A} with code = 1", fact(A, code=1), fact(A, code=1)) == [fact(A, code=1)] * 2


@pytest.mark.parametrize(
    ("word", "order", "expected"),
    [
        ("after", [B, A], True),
        ("after", [A, B], False),
        ("after", [A, B, A], True),
        ("after", [A], False),
        ("after", [B], False),
        ("before", [A, B], True),
        ("before", [B, A], False),
        ("before", [B, A, B], True),
    ],
)
@pytest.mark.parametrize("at", [None, 1000])
def test_order_is_that_of_the_episode_and_needs_no_time(
    word: str, order: list[str], at: int | None, *, expected: bool
) -> None:
    assert holds(f"{A} {word} {B}", *(fact(kind, at) for kind in order)) is expected


def test_nothing_is_before_or_after_itself() -> None:
    assert not holds(f"{A} after {A}", fact(A))
    assert not holds(f"{A} before {A}", fact(A))


def test_a_pair_is_proved_by_the_events_that_stand_so() -> None:
    early, ok, late, last = fact(A, code=1), fact(B), fact(A, code=2), fact(B, code=9)
    assert match(f"{A} after {B}", early, ok, late, last) == [ok, late]
    assert match(f"{A} with code = 1 before {B}", early, ok, late, last) == [early, ok, last]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (0, 10_000, True),
        (10_000, 0, True),
        (0, 10_001, False),
        (5_000, 5_000, True),
        (None, 0, False),
        (0, None, False),
        (None, None, False),
    ],
)
def test_within_asks_for_the_time_of_both(a: int | None, b: int | None, *, expected: bool) -> None:
    assert holds(f"{A} within 10 s of {B}", fact(A, a), fact(B, b)) is expected


def test_within_takes_part_of_a_second() -> None:
    assert holds(f"{A} within 0.5 s of {B}", fact(A, 0), fact(B, 500))
    assert not holds(f"{A} within 0.5 s of {B}", fact(A, 0), fact(B, 501))


def test_tests_of_both_sides_of_a_pair_count() -> None:
    sentence = f"{A} with code = 28 within 5 s of {B} with code = 0 and code != 1"
    assert holds(sentence, fact(A, 0, code=28), fact(B, 0, code=0))
    assert not holds(sentence, fact(A, 0, code=28), fact(B, 0, code=1))


def test_the_facts_of_the_whole_episode() -> None:
    failed = fact(
        "enrollment", 0, outcome="failed", error="EST_ERR_SSL_READ", waited=10.038, reached="login", device="SEP01"
    )
    for test in (
        "outcome = failed",
        "error = est_err_ssl_read",
        "waited >= 9",
        "waited < 10.04",
        "reached = login",
        "device = SEP01",
    ):
        assert holds(f"enrollment with {test}", failed)
    assert not holds("enrollment with waited < 9", failed)
    assert not holds("enrollment with outcome = issued", failed)
    assert holds(f"enrollment within 20 s of {A}", failed, fact(A, 12_000))
    assert holds("start with outcome = failed and no enrollment", fact("start", outcome="failed"))
    assert not holds("start", failed)


CLOCK = fact("clock", source="iis", quality="good", offset=60.5, side="ahead", bound=1)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("clock with offset >= 60", True),
        ("clock with offset >= 60.5", True),
        ("clock with offset > 60.5", False),
        ("clock with offset < 60.51", True),
        ("clock with offset = 60.50", True),
        ('clock with offset = "60.5"', True),
        ("clock with bound = 1.0", True),
        ("clock with zone_error is missing", True),
        ("clock with step > 0", False),
        ("clock with source in (iis, httperr) and side = ahead", True),
        ('clock with offset >= 60 and side = "ahead" and curl.failed with code = 60 and text matches "not yet"', True),
        (
            'clock with offset >= 60 and side = "behind" and curl.failed with code = 60 and text matches "not yet"',
            False,
        ),
        ('clock with offset >= 60 and side = "ahead" and curl.failed with code = 60 and text matches "expired"', False),
        ("clock and no curl.failed", False),
    ],
)
def test_what_is_asked_of_a_clock(sentence: str, *, expected: bool) -> None:
    assert holds(sentence, REFUSED_LOGIN, CLOCK) is expected
    assert read(sentence).of_clocks


def test_what_names_no_clock_is_asked_of_none() -> None:
    assert not read("curl.failed or no start").of_clocks
    assert read("no curl.failed or (curl.ok and no clock)").of_clocks


# ---- the filter before ---------------------------------------------------------------------------------------------


EVENT = st.builds(
    lambda kind, test: f"{kind} with {test}" if test else kind,
    st.sampled_from([A, B, C]),
    st.sampled_from(["", "code = 1", "code != 1", "code is missing"]),
)
SENTENCE = st.recursive(
    st.one_of(
        EVENT,
        EVENT.map("no {}".format),
        st.tuples(EVENT, st.sampled_from(["after", "before", "within 2 s of"]), EVENT).map(" ".join),
    ),
    lambda inner: st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=5,
)
EPISODE = st.lists(
    st.builds(
        lambda kind, at, code: {"kind": kind, "at": at, **({} if code is None else {"code": code})},
        st.sampled_from([A, B, C]),
        st.sampled_from([None, 0, 1500, 4000]),
        st.sampled_from([None, 1, 2]),
    ),
    max_size=4,
)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(SENTENCE, EPISODE)
def test_what_proves_a_condition_is_of_the_episode_and_there_once(sentence: str, episode: list[Fact]) -> None:
    condition = read(sentence)
    found = condition.match(episode)
    if found is None:
        return
    assert all(any(event is own for own in episode) for event in found)
    assert len({id(event) for event in found}) == len(found)


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(SENTENCE, EPISODE)
def test_brackets_around_the_whole_change_nothing(sentence: str, episode: list[Fact]) -> None:
    assert read(f"( {sentence} )").match(episode) == read(sentence).match(episode)


# ---- sentences that are wrong --------------------------------------------------------------------------------------

WRONG = [
    ("", 1, 1, "expected an event"),
    ("   ", 1, 4, "expected an event"),
    ("()", 1, 2, "expected an event"),
    ("with", 1, 1, "expected an event"),
    ("not curl.failed", 1, 5, "expected '('"),
    ("curl.failed and", 1, 16, "expected an event"),
    ("curl.failed or or", 1, 16, "expected an event"),
    ("curl.failed\n\nor", 3, 3, "expected an event"),
    ("no", 1, 3, "expected a kind of event"),
    ("no no curl.failed", 1, 4, "expected a kind of event"),
    ("curl.failed after", 1, 18, "expected a kind of event"),
    ("curl.failed within 5 s of no curl.ok", 1, 27, "expected a kind of event"),
    ("curl.faild", 1, 1, "no log has events of kind 'curl.faild' (did you mean 'curl.failed'?)"),
    ("CURL.FAILED", 1, 1, "no log has events of kind 'CURL.FAILED' (did you mean 'curl.failed'?)"),
    ("\tcurl.faild", 1, 2, "no log has events of kind 'curl.faild' (did you mean 'curl.failed'?)"),
    ("curl.ok and\n  no curl.faild", 2, 6, "no log has events of kind 'curl.faild' (did you mean 'curl.failed'?)"),
    ("enrolment", 1, 1, "no log has events of kind 'enrolment' (did you mean 'enrollment'?)"),
    ("qqqqqq", 1, 1, "no log has events of kind 'qqqqqq'"),
    ("curl.failed with", 1, 17, "expected a field"),
    ("curl.failed with not code = 5", 1, 18, "expected a field"),
    ("curl.failed with cod = 5", 1, 18, "events have no field 'cod' (did you mean 'code'?)"),
    ("curl.failed with Text = x", 1, 18, "events have no field 'Text' (did you mean 'text'?)"),
    ("curl.failed with qqqq = 5", 1, 18, "events have no field 'qqqq'"),
    ("curl.failed with code", 1, 22, "expected an operator and a value"),
    ('curl.failed with text machtes "x"', 1, 23, "expected an operator and a value"),
    (
        'curl.failed with code = 5 and text machtes "x"',
        1,
        31,
        "'text' is a field: =, !=, <, <=, >, >=, in, matches or is must follow it",
    ),
    (
        "curl.failed with code = 5 or code = 6",
        1,
        30,
        "'code' is a field: =, !=, <, <=, >, >=, in, matches or is must follow it",
    ),
    ("curl.failed with code =", 1, 24, "expected a value"),
    ("curl.failed with code == 5", 1, 24, "expected a value"),
    ("curl.failed with code = 5.5.5", 1, 25, "expected a value"),
    (f"curl.failed with code = {'9' * 5000}", 1, 25, "expected a value"),
    ("curl.failed with code in 5", 1, 26, "expected '('"),
    ("curl.failed with code in ()", 1, 27, "expected a value"),
    ("curl.failed with code in (5", 1, 28, "expected ')'"),
    ("curl.failed with code is", 1, 25, "expected 'missing' or 'present'"),
    ("curl.failed with code is not missing", 1, 26, "expected 'missing' or 'present'"),
    ("curl.failed with code not = 5", 1, 27, "expected 'matches' or 'in'"),
    ("curl.failed with text matches foo", 1, 31, "expected a text in double quotes"),
    ('curl.failed with text matches "foo', 1, 31, "expected a text in double quotes"),
    (
        'curl.failed with text matches "(a"',
        1,
        31,
        "not a regular expression: missing ), unterminated subpattern at position 0",
    ),
    (
        'curl.failed with text matches "a{99999999999}"',
        1,
        31,
        "not a regular expression: the repetition number is too large",
    ),
    (
        f'curl.failed with text matches "{"(" * 3000}{")" * 3000}"',
        1,
        31,
        "not a regular expression: too many brackets within each other",
    ),
    ("curl.failed within", 1, 19, "expected a number"),
    ("curl.failed within ten s of curl.ok", 1, 20, "expected a number"),
    ("curl.failed within 5 of curl.ok", 1, 22, "expected 's', 'min' or 'h'"),
    ("curl.failed within 5 s", 1, 23, "expected 'of'"),
    ("(curl.failed", 1, 13, "expected ')'"),
    ("curl.failed)", 1, 12, "'and', 'or' or the end is expected before ')'"),
    ("curl.failed code = 5", 1, 13, "'and', 'or' or the end is expected before 'code'"),
    ("curl.failed AND curl.ok", 1, 13, "'and', 'or' or the end is expected before 'AND'"),
    ("no curl.failed after curl.ok", 1, 16, "'and', 'or' or the end is expected before 'after'"),
    ("curl.failed after curl.ok after curl.ok", 1, 27, "'and', 'or' or the end is expected before 'after'"),
    (
        "enrollment with code = 3",
        1,
        1,
        "'enrollment' has no field 'code'; it has outcome, error, waited, reached, device, previous",
    ),
    ("curl.ok and start with waited > 9", 1, 13, "'start' has no field 'waited'; it has outcome"),
    ("curl.failed with waited > 9", 1, 1, "'curl.failed' has no field 'waited'; only 'enrollment' has it"),
    (
        "curl.ok or curl.failed after enrollment",
        1,
        12,
        "'enrollment' is a fact of the whole: 'after' cannot be asked of it",
    ),
    ("start within 5 s of curl.failed", 1, 1, "'start' is a fact of the whole: 'within' cannot be asked of it"),
    ("curl.failed within 5 s of clock", 1, 1, "'clock' is a fact of the whole: 'within' cannot be asked of it"),
    ("clock with offse > 5", 1, 12, "events have no field 'offse' (did you mean 'offset'?)"),
    ("curl.failed with offset > 5", 1, 1, "'curl.failed' has no field 'offset'; only 'clock' has it"),
    ("clock and enrollment", 1, 1, "no episode has both a 'clock' and 'enrollment'"),
    ("clock or no start", 1, 1, "no episode has both a 'clock' and 'start'"),
    ("(" * 3000, 1, 1, "too many brackets within each other"),
    ("\0", 1, 1, "expected an event"),
]


@pytest.mark.parametrize(
    ("sentence", "line", "column", "message"), WRONG, ids=[f"{n}-{wrong[0][:40]!r}" for n, wrong in enumerate(WRONG)]
)
def test_a_wrong_sentence_is_told_with_its_place(sentence: str, line: int, column: int, message: str) -> None:
    error = refused(sentence)
    assert (error.line, error.column, error.message) == (line, column, message)
    assert str(error) == f"line {line}, column {column}: {message}"


def test_a_pattern_that_python_warns_of_is_taken() -> None:
    assert holds('curl.failed with text matches "[[a]"', fact("curl.failed", detail="["))


#: What pyparsing says of its own parts, and of regular expressions of the grammar.
INSIDE = re.compile(r"(?i)suppress|keyword|regex|forward|[{}|\\]|found|w:\(|end of text")
#: Messages that repeat what was written, which may hold anything.
REPEATS = ("no log has", "events have no", "not a regular expression", "'and', 'or' or the end is expected before")
WORDS = [
    *("curl.failed", "enrollment", "no", "not", "with", "and", "or", "after", "before", "within", "5", "s", "of"),
    *("code", "text", "outcome", "=", ">=", "matches", "in", "is", "missing", '"a|b"', '"("', "(", ")", ",", "\n", "x"),
]


def refusal(sentence: str) -> ConditionError | None:
    try:
        read(sentence).match([REFUSED_LOGIN])
    except ConditionError as error:
        return error
    return None


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)))
def test_whatever_is_written_is_read_or_refused_in_plain_words(sentence: str) -> None:
    error = refusal(sentence)
    if error is None:
        return
    rows = sentence.split("\n")
    assert 1 <= error.line <= len(rows)
    assert 1 <= error.column <= len(rows[error.line - 1]) + 1
    assert error.message.startswith(REPEATS) or not INSIDE.search(error.message), error.message


# ---- what is known beforehand ---------------------------------------------------------------------------------------

SENTENCES = [
    "curl.failed with code = 6",
    "no curl.failed",
    "est.response after curl.ok",
    "est.response before curl.ok and no curl.failed with code = 7",
    "curl.failed with code = 6 within 2 s of est.response",
    "(curl.failed or no curl.ok) and est.response",
    "enrollment with outcome = failed and no curl.ok",
]
EVENTS = [
    fact("curl.failed", 0, code=6),
    fact("curl.failed", 5000, code=7),
    fact("curl.ok", 1000),
    fact("est.response", 1500),
    fact("curl.url", 1600),
]


@pytest.mark.parametrize("sentence", SENTENCES)
@pytest.mark.parametrize("outcome", ["failed", "issued"])
def test_what_fits_tells_what_a_condition_can_come_to(sentence: str, outcome: str) -> None:
    """And no event that fits none of its tests has a say in it."""
    tree = read(sentence).tree
    tests = list(conditions.event_tests(tree))
    for length in range(4):
        for events in itertools.permutations(EVENTS, length):
            episode = [*events, fact("enrollment", 0, outcome=outcome)]
            told = conditions.may_hold(tree, lambda test, episode=episode: bool(test.all_in(episode)))  # type: ignore[misc]
            assert told in (None, holds(sentence, *episode))
            fitting = [event for event in episode if any(test.all_in([event]) for test in tests)]
            assert match(sentence, *fitting) == match(sentence, *episode)
    assert conditions.may_hold(tree, lambda _: None) is None


def test_only_nearness_asks_for_times() -> None:
    assert [sentence for sentence in SENTENCES if conditions.by_time(read(sentence).tree)] == [SENTENCES[4]]
