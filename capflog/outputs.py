"""The formats of ``analyze`` and ``check``: which there are, and how one is written.

A format is a module of :mod:`capflog.reports` with ``results(results, look)``, which gives the text in pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capflog.results import Result
    from capflog.zones import Zone


@dataclass(frozen=True, slots=True)
class Look:
    """What the place can show that a text goes to; ``display``: the zone in which to show times (None: the node's)."""

    width: int = 100
    color: bool = False
    unicode: bool = True
    display: Zone | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """A format. ``module``: of capflog.reports; ``suffixes``: of files that are in it, the first is its own.

    ``terminal``: it is read by people where it is printed, so it keeps to what the terminal can show; all others are
    UTF-8 wherever they go. ``records``: it shows records of enrollments, ``events``: it shows the event table.
    """

    name: str
    module: str
    what: str
    suffixes: tuple[str, ...]
    terminal: bool = False
    records: bool = False
    events: bool = False

    def pieces(self, results: Sequence[Result], look: Look) -> Iterable[str]:
        """Write results in this format, piece by piece."""
        made: Iterable[str] = import_module(f"capflog.reports.{self.module}").results(results, look)
        return made


FORMATS = {
    form.name: form
    for form in (
        Format("text", "text", "for people", (".txt",), terminal=True),
        Format("json", "json", "the contract, see 'capflog schema'", (".json",), records=True),
        Format("jsonl", "jsonl", "a line for each event, in order of time", (".jsonl", ".ndjson"), events=True),
        Format("csv", "csv", "a row for each finding", (".csv",)),
        Format("markdown", "markdown", "to paste into a ticket", (".md", ".markdown"), terminal=True),
        Format("junit", "junit", "JUnit XML: a test case for each rule", (".xml",)),
        Format("sarif", "sarif", "SARIF 2.1.0, for code scanning", (".sarif",)),
        Format("github", "github", "annotations of GitHub Actions", (".github",)),
        Format("gitlab", "gitlab", "GitLab's code quality report", (".gitlab.json",)),
    )
}


def format_of(path: str) -> Format | None:
    """Tell the format of a file by its name; None: it tells none."""
    name = path.lower()
    fitting = [(len(suffix), form) for form in FORMATS.values() for suffix in form.suffixes if name.endswith(suffix)]
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None
