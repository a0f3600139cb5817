"""How well lines are put to phones, over whole sites (tests/sites.py) that nothing was tuned to.

``--bundles 400 --bundles-from 9000`` measures more sites, and others; ``python -m tests.sites --measure N`` prints the
table of docs/accuracy.md, and ``--seed S --wrong`` the lines of one site that are put wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.scenes import analyzed
from tests.sites import PLAIN, Count, Measured, measure, site

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(NamedTuple):
    """Sites of one kind, and what is asked of them: classes of concurrency, and shares in percent."""

    name: str
    given: dict[str, Any]
    classes: tuple[str, ...]
    right: dict[str, float]
    """Of what is put to somebody, so much is right at least, by the source."""
    found: dict[str, float]
    """Of what is somebody's, so much is put right at least."""


#: Nothing goes wrong and nothing is lacking: what is asked is what docs/accuracy.md tells, less what chance does.
ALONE = Kind(
    "one at a time",
    {**PLAIN, "rate": 0.1, "workers": 2, "form": 200.0},
    ("1",),
    {"nginx": 99.5, "iis": 99.5},
    {"nginx": 99.0, "iis": 99.0},
)
FEW = Kind(
    "up to four",
    {**PLAIN, "rate": 1.0, "workers": 4, "form": 200.0},
    ("1", "up to 4"),
    {"nginx": 98.5, "iis": 98.5},
    {"nginx": 95.0, "iis": 92.0},
)
#: Whatever is drawn: faults, lost lines, missing logs, crowds that CES is not up to.
ANY = Kind(
    "whatever is drawn",
    {},
    ("1", "up to 4"),
    {"nginx": 97.5, "iis": 97.0},
    {"nginx": 90.0, "iis": 75.0},
)
KINDS = (ALONE, FEW, ANY)
#: Of so many bundles (--bundles) one is a whole site of each kind, for a site holds some hundred enrollments.
SITES = 10


def counts(measured: Measured, kind: Kind) -> Iterator[tuple[str, Count]]:
    """Give the counts of the classes that are asked about, by their source."""
    for source in ("nginx", "iis"):
        whole = Count()
        for name in kind.classes:
            whole.add(measured.count(name, source))
        yield source, whole


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_lines_are_put_to_the_phones_that_caused_them(kind: Kind, request: pytest.FixtureRequest) -> None:
    count, first = request.config.getoption("--bundles"), request.config.getoption("--bundles-from")
    whole = Measured()
    for seed in range(first, first + max(4, count // SITES)):
        made = site(seed, **kind.given)
        whole.add(measure(made, analyzed(*made.members)))
    # Of enrollments that CAPF tells of none is missed, nor is its outcome.
    assert whole.outcomes == whole.judged
    assert sum(whole.found.values()) >= 0.999 * sum(whole.enrollments.values())
    for source, lines in counts(whole, kind):
        assert lines.owned > 0
        assert 100 * lines.right >= kind.right[source] * lines.put, (source, lines)
        assert 100 * lines.right >= kind.found[source] * lines.owned, (source, lines)
        assert lines.sure_right >= 0.995 * lines.sure, (source, lines)


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_site_is_joined_alike_however_its_members_come(seed: int) -> None:
    made = site(seed)
    one, other = analyzed(*made.members), analyzed(*reversed(made.members))
    assert [
        [(record.member, record.line, record.confidence) for record in enrollment.records]
        for enrollment in one.report.enrollments
    ] == [
        [(record.member, record.line, record.confidence) for record in enrollment.records]
        for enrollment in other.report.enrollments
    ]
