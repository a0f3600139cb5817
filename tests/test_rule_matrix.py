"""Every rule on every case of every other one: nothing speaks there that nobody has looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from capflog.rulebook import builtin

from .rule_matrix import others, reviewed

if TYPE_CHECKING:
    from capflog.rulebook import Rule

REVIEWED = reviewed()
RULES = builtin().rules


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.id) for rule in RULES.values()])
def test_what_speaks_besides_is_reviewed(rule: Rule) -> None:
    found = {(rule.id, case.name): others(rule, case) for case in rule.cases}
    told = {key: REVIEWED.get(key, "") for key in found}
    assert found == told, "python -m tests.rule_matrix writes tests/data/rule_matrix.tsv anew: look at each change"


def test_the_reviewed_file_is_of_cases_that_there_are() -> None:
    assert REVIEWED.keys() <= {(rule.id, case.name) for rule in RULES.values() for case in rule.cases}
