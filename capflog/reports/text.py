"""The text of ``analyze`` and ``check``: the whole report, or the gate's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capflog.reports import gate, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capflog.outputs import Look
    from capflog.results import Result


def results(results: Sequence[Result], look: Look) -> Iterator[str]:
    """Set results as text."""
    shown: dict[str, Any] = {"width": look.width, "color": look.color, "unicode": look.unicode}
    judged = [result for result in results if result.gate is not None]
    if judged:
        yield gate.render(judged, **shown)
        return
    for number, result in enumerate(results):
        if number:
            yield "\n"
        yield terminal.render(result.report, **shown, zone=result.zone, display=look.display)
