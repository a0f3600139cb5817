"""What the command that measures exports is made of."""

from __future__ import annotations

from pathlib import Path

from capflog.exports import EXPORTS

from .exports import ANALYSIS, FILES, LINES, everyone, put_into, section
from .measure import EXPORTS as TITLE
from .measure import Bundle, _kept_of
from .watch import Run


def test_every_export_is_measured_beside_the_analysis() -> None:
    assert {*LINES, *FILES} == {*EXPORTS}
    found = everyone(Bundle(Path("/made/day.zip"), None, {}), Path("/made"))
    assert found[0].name == ANALYSIS
    for place, one in enumerate(found):
        one.watched = Run(9.0, 9.0, 250_000_000, 0, "")
        one.runs = [Run(wall * (place + 1), 2.0 * place + 1, None, 0, "") for wall in (2.0, 4.0)]
    found[-1].runs = [Run(1.0, 1.0, None, 137, "killed")]
    text = section(found, "About it.", "python -m it")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows[0] == "| `capflog analyze --no-store BUNDLE` | 3.00 | 2.00 | 4.00 | 1.00 | 250 | 1.00 | 1.00 |"
    assert rows[1].endswith("| 6.00 | 4.00 | 8.00 | 3.00 | 250 | 2.00 | 3.00 |")
    assert "*failed with status 137: killed*" in rows[-1]
    assert "/made" not in text


def test_the_section_takes_the_place_of_the_one_before() -> None:
    once = put_into("# Page\n\nText.\n", f"{TITLE}\n\nold\n")
    assert once == f"# Page\n\nText.\n\n{TITLE}\n\nold\n"
    assert put_into(once, f"{TITLE}\n\nnew\n") == once.replace("old", "new")
    followed = f"{once}\n## More\n\nrest\n"
    assert put_into(followed, f"{TITLE}\n\nnew\n") == followed.replace("old", "new")


def test_the_page_that_is_measured_anew_keeps_the_section(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    assert _kept_of(page) == ""
    page.write_text(put_into("# Page\n\nText.\n", f"{TITLE}\n\nold\n"))
    assert "# Page\n\nNew text.\n" + _kept_of(page) == put_into("# Page\n\nNew text.\n", f"{TITLE}\n\nold\n")
