"""What is asked of a rule beside that it can be read: proof, patterns that end in time, texts that lead somewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from capflog.conditions import pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from capflog.patterns import Pattern
    from capflog.rulebook import Rule

#: A title longer than this is cut in tables.
_TITLE = 100


@dataclass(frozen=True, slots=True)
class Remark:
    """What is to be said of a rule. ``fault``: it must be mended; else it is good to know."""

    rule: str
    text: str
    fault: bool


def remarks(rule: Rule, known: Mapping[str, Rule]) -> Iterator[Remark]:
    """Say what is wrong with one rule; ``known``: all rules by their ids."""

    def fault(text: str) -> Remark:
        return Remark(rule.id, text, True)

    speaking = sum(case.speaks for case in rule.cases)
    silent = len(rule.cases) - speaking
    if not speaking:
        yield fault("no case shows that it speaks")
    if silent < 2:
        yield fault(
            f"{silent} of at least 2 cases show that it is silent: on a clean bundle, and on its nearest neighbour's"
        )
    if not rule.references:
        yield fault("'references' is empty: where is it known from?")
    for key, texts in (("remedy", rule.remedy), ("verify", rule.verify)):
        if not texts:
            yield fault(f"'{key}' is empty")
    if len(rule.title) > _TITLE:
        yield fault(f"the title has {len(rule.title)} characters; {_TITLE} fit")
    for other in rule.alternatives:
        if other in known and rule.id not in known[other].alternatives:
            yield fault(f"'alternatives' names {other}, which does not name it: what either allows, both do")
        if other in rule.supersedes:
            yield fault(f"{other} is superseded, and so never an alternative")
    for pattern in patterns_of(rule):
        if not pattern.bounded:
            yield Remark(
                rule.id, f'no bound is proven for the time of "{pattern.pattern}": it is stopped after 1 s', False
            )


def patterns_of(rule: Rule) -> Iterator[Pattern]:
    """Give every pattern of a rule: those of its conditions, and those that read names."""
    for condition in rule.every_condition:
        yield from (pattern for holds in condition.tests if (pattern := pattern_of(holds)) is not None)
    yield from (reading.pattern for reading in rule.read.values())
