"""Writes docs/rules.md: docs/rules.head.md, the kinds of events, every rule (``python docs/make_rules.py``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from capflog.events import SOURCES, VALUES
from capflog.parsing import parsers
from capflog.rulebook import SEVERITIES, builtin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capflog.rulebook import Rule

DOCS = Path(__file__).parent


def document() -> str:
    """Give the whole text."""
    head = (DOCS / "rules.head.md").read_text(encoding="utf-8")
    fields = ["| field | what it is |", "|---|---|"]
    fields += [f"| `{name}` | {_cell(meaning)} |" for name, (_, meaning) in sorted(VALUES.items()) if name != "detail"]
    head = head.replace("@FIELDS@", "\n".join(fields)).replace("@KINDS@", "\n".join(_kinds()))
    rules = sorted(builtin().rules.values(), key=lambda rule: (SEVERITIES.index(rule.severity), rule.id))
    return "\n".join([head.rstrip("\n"), "", "## The rules that ship", "", *_table(rules), "", *_each(rules)])


def _kinds() -> Iterator[str]:
    logs: dict[str, list[str]] = {}
    words: dict[str, str] = {}
    for parser in sorted(parsers(), key=lambda parser: SOURCES.index(parser.source)):
        for kind, meaning in parser.kinds.items():
            logs.setdefault(kind, []).append(parser.source)
            words[kind] = meaning
    yield "| kind | logs | what happened |"
    yield "|---|---|---|"
    for kind in sorted(words):
        yield f"| `{kind}` | {', '.join(logs[kind])} | {_cell(words[kind])} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _table(rules: list[Rule]) -> Iterator[str]:
    counts = {severity: sum(rule.severity == severity for rule in rules) for severity in SEVERITIES}
    told = ", ".join(f"{count} of severity {severity}" for severity, count in counts.items())
    documented = sum(rule.status == "documented" for rule in rules)
    yield f"{len(rules)} rules: {told}. {documented} are documented, {len(rules) - documented} inferred."
    yield ""
    yield "| rule | severity | status | the problem |"
    yield "|---|---|---|---|"
    for rule in rules:
        yield f"| [{rule.id}](#{rule.id}) | {rule.severity} | {rule.status} | {_cell(rule.title)} |"


def _each(rules: list[Rule]) -> Iterator[str]:
    for rule in rules:
        yield f"### {rule.id}"
        yield ""
        yield f"**{_cell(rule.title)}.** {_cell(rule.explanation)}"
        yield ""
        yield "```"
        yield rule.when
        if rule.likely:
            yield f"likely: {rule.likely}"
        yield from (f"{raised.severity}: {raised.when}" for raised in rule.raised)
        yield "```"
        yield ""
        yield from (f"- {_cell(step)}" for step in rule.remedy)
        yield from (f"- Verify: {_cell(step)}" for step in rule.verify)
        if rule.alternatives:
            yield f"- The same lines may allow: {', '.join(f'[{name}](#{name})' for name in rule.alternatives)}"
        sources = [f"[{_cell(r['title'])}]({r['url']})" if "url" in r else _cell(r["title"]) for r in rule.references]
        yield f"- Known from: {'; '.join(sources)}"
        yield ""


def main() -> None:
    """Write the file."""
    (DOCS / "rules.md").write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
