"""Rules that could not be asked, for the bundle lacks the logs that they need: what is not looked at is not fine."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from capflog.conditions import FACTS, Before, EventTest, may_hold
from capflog.events import SOURCES
from capflog.model import NotChecked
from capflog.parsing import parsers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from capflog.conditions import Condition
    from capflog.rulebook import Rule


@cache
def sources_of_kinds() -> dict[str, frozenset[str]]:
    """Tell of each kind of event which logs have it."""
    found: dict[str, set[str]] = {}
    for parser in parsers():
        for kind in parser.kinds:
            found.setdefault(kind, set()).add(parser.source)
    return {kind: frozenset(sources) for kind, sources in found.items()}


def not_checked(rules: Iterable[Rule], sources: Collection[str]) -> list[NotChecked]:
    """List the rules of which no condition can hold by the logs that there are, with the logs that would do.

    A rule that may speak on one log alone is checked where that is there, even if others would tell it more.
    """
    there = frozenset(sources)
    found = []
    for rule in rules:
        conditions = [c for c in (rule.condition, rule.likely_condition) if c is not None]
        if not any(_can_hold(condition, there) for condition in conditions):
            found.append(NotChecked(rule.id, _lacking(conditions, there)))
    return found


def _can_hold(condition: Condition, there: frozenset[str]) -> bool:
    logs = sources_of_kinds()

    def fits(test: object) -> bool | None:
        if isinstance(test, (EventTest, Before)) and test.kind not in FACTS:
            return None if logs[test.kind] & there else False
        return None

    return may_hold(condition.tree, fits) is not False


def _lacking(conditions: Iterable[Condition], there: frozenset[str]) -> list[str]:
    """Name the logs any of which has events that the conditions ask for and that none of those at hand has."""
    logs = sources_of_kinds()
    kinds = {kind for condition in conditions for kind in condition.kinds}
    lacking = {source for kind in kinds if not logs[kind] & there for source in logs[kind]}
    return [source for source in SOURCES if source in lacking]
