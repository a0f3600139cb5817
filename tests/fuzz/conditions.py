"""Any text as a condition: read, and asked of a bundle's enrollments where it can be read."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from capflog.analysis import analyze_members
from capflog.asking import Asking
from capflog.clock_facts import compared
from capflog.commands.where import _rule
from capflog.conditions import Condition, ConditionError
from capflog.grammar import OUTCOMES, read
from capflog.grammar import WORDS as OF_LANGUAGE
from capflog.rulebook import builtin, known_kinds
from capflog.starts import find_starts
from capflog.world import History
from tests.fuzz.mutating import must
from tests.hostile import hostile_members

if TYPE_CHECKING:
    from capflog.analysis import Analysis

WORDS = (
    *(f" {word} ".encode() for word in OF_LANGUAGE.split("|")),
    *(kind.encode() for kind in sorted(known_kinds())),
    *(word.encode() for words in OUTCOMES.values() for word in words),
    b"enrollment", b"start", b"clock", b" with ", b"(", b")", b"((((((((((((((((((", b"/(a+)+$/", b"'", b'"', b" = ",
    b" != ",
    b" > ", b" < ", b"99999999999999999999", b"1e400", b"-1", b" s ", b" min ", b"text", b"code", b"device",
    b"\xe2\x80\xa8",
    b"at least 3 devices", b"within 10 s of",
)  # fmt: skip


def seeds() -> list[bytes]:
    """Take every condition of every rule."""
    return [condition.text.encode() for rule in builtin().rules.values() for condition in rule.every_condition]


@cache
def _bundle() -> Analysis:
    return analyze_members("bundle", hostile_members())


def once(data: bytes) -> None:
    """Read it, and ask it as ``--where`` does."""
    try:
        condition = read(data.decode("utf-8", "replace"), known_kinds())
    except ConditionError as error:
        must(bool(str(error)))
        return
    if not (condition.of_clocks or condition.of_bundle):
        ask(condition)


def ask(condition: Condition) -> None:
    analysis = _bundle()
    columns, facts = analysis.columns, analysis.facts
    Asking(
        columns,
        facts,
        analysis.stories,
        [],
        [],
        compared(analysis.report.clocks),
        [_rule(condition)],
        lambda number: "",
        {member.source for member in analysis.report.members if member.source},
        History(columns, facts.table, find_starts(analysis.events), [condition]),
    )
