"""Healthy sites with right clocks: no rule of severity error or warning speaks (`--bundles 1000` for a thousand)."""

from __future__ import annotations

from typing import Any

import pytest

from .scenes import analyzed
from .sites import site

#: Nothing fails, nothing is slow, nobody gives up, and all clocks are right; all else is drawn.
HEALTHY: dict[str, Any] = {
    "rate": 0.2,
    "workers": 4,
    "wave": 0,
    "phones": 12,
    "form": 120,
    "pace": 1.0,
    "slow": 0.0,
    "faults": 0.0,
    "gone": 0.0,
    "down": "",
    "offset": 0.0,
    "drift": 0.0,
    "cut": 0.0,
    "lost": 0.0,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count, first = metafunc.config.getoption("bundles"), metafunc.config.getoption("bundles_from")
    metafunc.parametrize("seed", range(first, first + count))


def test_no_error_and_no_warning_on_a_healthy_site(seed: int) -> None:
    made = site(seed, **HEALTHY)
    report = analyzed(*made.members).report
    assert [(f.rule, f.explanation) for f in report.findings if f.severity != "info"] == []
    assert report.verdict in ("healthy", "inconclusive")
    # (Where nobody enrolled, or no log tells how it ended, nothing is known.)
    assert report.verdict == "healthy" or not report.enrollments or "capf" not in made.choices.logs
