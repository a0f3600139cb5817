"""Draws the README's picture: what ``capflog analyze`` prints for a sample (``python docs/make_pictures.py``)."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from capflog.analysis import analyze
from capflog.reports import terminal

DOCS = Path(__file__).parent
WIDTH = 100
LINES = 34


def draw(sample: str) -> str:
    """Give the first lines of a sample's report as an SVG."""
    analysis = analyze([str(DOCS.parent / "samples" / f"{sample}.zip")])
    zone = analysis.alignment.display_zone
    text = terminal.render(analysis.report, width=WIDTH, color=True, unicode=True, zone=zone)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    for line in text.splitlines()[:LINES]:
        console.print(Text.from_ansi(line), soft_wrap=True)
    # The id keeps the file the same from run to run; a picture fetches nothing from a network.
    svg = console.export_svg(title=f"capflog analyze samples/{sample}.zip", theme=MONOKAI, unique_id="capflog")
    return re.sub(r"@font-face\s*\{.*?\}\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    (DOCS / "analyze.svg").write_text(draw("ca-hostname-mismatch"), encoding="utf-8")
