"""`capflog diff` of reports in which any one value is another: a comparison, or a line that says what is wrong."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from capflog.comparing import compare
from capflog.model import CapfStart, NotChecked
from capflog.reports import difference, difference_json, difference_markdown
from capflog.reports.json import document
from capflog.sides import SideError, checked
from capflog.zones import Zone
from tests.reports import handmade as h

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Said

    Call = Callable[..., Said]
    Place = tuple[str | int, ...]

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 3.5, float("nan"), float("inf"), 1e308, 10**400, "", "x", "\x1b[31m\u202e", "\ud800",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2019-01-16T10:00:00", [], [None], {}, {"x": []},
)  # fmt: skip


def whole() -> dict[str, Any]:
    """A report with something in each of its rooms."""
    report = h.failing()
    report.not_checked = [NotChecked("ces-overloaded", ["nginx"])]
    report.capf_starts = [CapfStart(None, None, True, {"ca_port": "443"}, "none", None, [], node="pub")]
    made: dict[str, Any] = json.loads(json.dumps(document(report)))
    for one in made["enrollments"]:
        one["records"] = []
    return made


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """List where values stand, lists and objects included; of a list the first two."""
    if place:
        yield place
    parts = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*place, name))


def changed(report: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    """The report with another value at a place; of it alone what is on the way is copied."""
    made = report = dict(report)
    here: Any = made
    for name in place[:-1]:
        here[name] = here[name].copy()
        here = here[name]
    here[place[-1]] = value
    return made


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def test_any_odd_value_is_compared_or_told() -> None:
    report, after = whole(), checked(whole())
    after = {**after, "findings": after["findings"][1:], "clocks": [{**c, "zone": None} for c in after["clocks"]]}
    refused = compared = 0
    told: set[str] = set()
    for place in places(report):
        for value in ODD:
            odd = changed(report, place, value)
            try:
                checked(odd)
            except SideError as error:
                refused += 1
                told.add(str(error))
                continue
            compared += 1
            for pair in ((odd, after), (after, odd)):
                found = compare(*pair)
                strict(difference_json.text(found))
                if compared % 7 == 0:
                    text = difference.text(found, width=80, color=False, unicode=True, display=Zone.fixed(14 * 3600))
                    text += difference_markdown.markdown(found, unicode=True)
                    assert "\x1b" not in text
                    assert "\u202e" not in text
    assert not any("\n" in words for words in told)
    # Both happen, or nothing is shown by it.
    assert refused > 1000
    assert compared > 1000


def test_any_odd_value_ends_the_call_well(capflog: Call, tmp_path: Path) -> None:
    report, chance = whole(), random.Random(214396)
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(report))
    every = list(places(report))
    refused = 0
    for place in chance.sample(every, 60):
        bad.write_text(json.dumps(changed(report, place, chance.choice(ODD))))
        pair = (good, bad) if chance.random() < 0.5 else (bad, good)
        said = capflog("diff", *pair, "--format", chance.choice(["text", "json", "markdown"]))
        assert "a fault of capflog's own" not in said.err
        assert (said.status, said.err.count("\n"), bool(said.out)) in {(0, 0, True), (2, 1, False)}, said.err
        refused += said.status == 2
    assert 10 < refused < 60


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("tool",), "x", "tool is no object"),
        (("bundle", "members", 0, "member"), [], "bundle.members[0].member is no text"),
        (("clocks", 0, "utc_offset_seconds"), float("nan"), "clocks[0].utc_offset_seconds is no number of seconds"),
        (("clocks", 0, "quality"), float("nan"), "clocks[0].quality is no text"),
        (
            ("bundle", "members", 0, "first"),
            "0001-01-01T00:00:00+14:00",
            "bundle.members[0].first is a time of a year that",
        ),
        (("bundle", "members", 0, "first"), "2019-01-16", "bundle.members[0].first is a time without a zone"),
        (("enrollments", 1, "outcome"), "well", "enrollments[1].outcome is none of failed, incomplete, issued"),
        (("findings", 0, "occurrences"), 10**400, "findings[0].occurrences is no count"),
    ],
)
def test_what_is_wrong_is_named(capflog: Call, tmp_path: Path, place: Place, value: Any, words: str) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(whole()))
    bad.write_text(json.dumps(changed(whole(), place, value)))
    said = capflog("diff", good, bad)
    assert (said.status, said.out, said.err.count("\n")) == (2, "", 1)
    assert f"not a report that can be compared: something in it is missing or wrong: {words}" in said.err


@pytest.mark.parametrize("depth", [300, 900, 960, 990, 100_000])
def test_what_is_nested_deep_ends_with_a_line_or_a_comparison(capflog: Call, tmp_path: Path, depth: int) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text(json.dumps(whole())[:-1] + ', "deep": ' + "[" * depth + "]" * depth + "}")
    said = capflog("diff", deep, deep)
    assert (said.status, said.err.count("\n")) in {(0, 0), (2, 1)}
    assert said.status == (0 if depth == 300 else 2 if depth == 100_000 else said.status)
    assert said.status == 0 or "nested too deep" in said.err


def test_a_number_of_thousands_of_digits(capflog: Call, tmp_path: Path) -> None:
    long = tmp_path / "long.json"
    long.write_text(json.dumps(whole())[:-1] + f', "long": {"9" * 5000}}}')
    said = capflog("diff", long, long)
    assert (said.status, said.err.count("\n")) == (2, 1)
    assert "it is damaged: a number in it has too many digits" in said.err


def test_what_no_report_says_is_of_no_account() -> None:
    report = whole()
    other = deepcopy(report) | {"odd": float("nan")}
    assert compare(checked(report), checked(other)).same
