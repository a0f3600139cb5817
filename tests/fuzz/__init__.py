"""Harnesses that throw broken bytes at everything that reads what others wrote.

``python -m tests.fuzz NAME --seconds N`` runs one: guided by coverage where atheris is installed (the extra ``fuzz``),
else with seeded mutations of the corpus. tests/test_fuzz.py runs each for a moment.

A harness is a module with ``seeds()``, its corpus, made by code; ``WORDS``, what is worth putting into an input; and
``once(data)``, which raises where something is wrong and does nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence


class Harness(Protocol):
    """What a module of this room gives."""

    WORDS: Sequence[bytes]

    def seeds(self) -> list[bytes]:
        """Make the corpus."""
        ...

    def once(self, data: bytes) -> None:
        """Try one input; raises where the program would have done wrong."""
        ...


#: Each by its name: what it is thrown at.
HARNESSES = {
    "bundle": "archives, folders and pipes: any bytes as a bundle",
    "parsers": "recognition and every parser: any bytes as a log",
    "analysis": "the whole way, and every format: any bytes as the logs of a bundle",
    "conditions": "the language of rules and of --where, read and asked",
    "rule_files": "files of rules, read and shown",
    "settings": "capflog.toml and pyproject.toml",
    "reports": "JSON that diff and check's baseline read back",
    "kept": "the store's file",
}


def harness(name: str) -> Harness:
    """Load one."""
    return cast("Harness", import_module(f"tests.fuzz.{name}"))
