"""Markdown as ticket systems make a page of it: CommonMark with tables and links out of bare addresses."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser

from markdown_it import MarkdownIt

#: What a ticket system makes of plain text: mentions, issues and other references, emoji, hosts, addresses, commits.
LINKED_BY_TRACKERS = (
    r"@\w|#\d|![0-9]|\$\w|~\w|&\w|%\d|:(?!\d\d:)[\w+-]+:|\bGH-\d|https?:|www\.|\w\.[a-z]{2,}\b|\[|\]|"
    r"(?<![\w.])(?=[0-9a-f]*\d)[0-9a-f]{7,40}(?![\w.])"
)


class Page(HTMLParser):
    """What is in a page: how often each element; the text that is no code, by the element it stands in."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.links: list[str] = []
        self.plain: list[str] = []
        self.code: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in ("br", "hr", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "code" in self.open:
            self.code.append(data)
        else:
            self.plain.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


@cache
def _renderer() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def html(markdown: str) -> str:
    """Make the page."""
    made: str = _renderer().render(markdown)
    return made


def page(markdown: str) -> Page:
    """Make the page and take it apart."""
    found = Page()
    found.feed(html(markdown))
    found.close()
    return found
