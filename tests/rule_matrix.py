"""What speaks on the cases of the rules besides the rule that a case is of (``python -m tests.rule_matrix`` writes it).

Every rule is asked of every case of every other one. What comes of it stands in ``tests/data/rule_matrix.tsv``, a line
for each case on which others speak: rule, case, and the others with their severity and confidence. A change to it is to
be looked at line by line.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from capflog.rulebook import builtin

from .scenes import analyzed, raw

if TYPE_CHECKING:
    from capflog.rulebook import Case, Rule

FILE = Path(__file__).parent / "data" / "rule_matrix.tsv"


def others(rule: Rule, case: Case) -> str:
    """Name what speaks on a case besides its rule: rule (severity, confidence)."""
    report = analyzed(*(raw(name, text) for name, text in case.logs.items())).report
    told = sorted((f.rule, f.severity, f.confidence) for f in report.findings if f.rule != rule.id)
    return ", ".join(f"{name} ({severity}, {confidence})" for name, severity, confidence in told)


def reviewed() -> dict[tuple[str, str], str]:
    """Read the reviewed file: the others by rule and case."""
    rows = (line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines())
    return {(rule, case): told for rule, case, told in rows}


def main() -> None:
    """Write the file anew."""
    rows = []
    for rule in sorted(builtin().rules.values(), key=lambda rule: rule.id):
        for case in rule.cases:
            told = others(rule, case)
            if told:
                rows.append(f"{rule.id}\t{case.name}\t{told}\n")
    FILE.write_text("".join(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
