"""What `diff` prints, as text, Markdown and JSON."""

from __future__ import annotations

import json
import re
from functools import partial
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from capflog.comparing import Change, Difference, compare
from capflog.reports.difference import DEVICES_SHOWN
from capflog.reports.difference import text as as_text
from capflog.reports.difference_json import text as as_json
from capflog.reports.difference_markdown import ROWS_SHOWN
from capflog.reports.difference_markdown import markdown as as_markdown
from capflog.reports.json import document
from capflog.sides import checked
from tests.reports import handmade as h
from tests.reports.rendered import LINKED_BY_TRACKERS, page
from tests.test_comparing import later

SCHEMA = json.loads(files("capflog").joinpath("diff.schema.json").read_text(encoding="utf-8"))


def told() -> Difference:
    """A day on which much changed: a cause went, one came, one cannot be told; devices healed and broke."""
    before, after = h.failing(), h.failing()
    after.bundle = "case-700124.zip"
    after.verdict = "degraded"
    after.findings = [
        h.chain(devices=[h.PHONE], resolved=True),
        h.finding("ces-overloaded", "CES needs longer than CAPF waits", scope="devices", devices=[h.THIRD]),
        h.finding("clock-offset", "The clocks differ", severity="info", devices=[], evidence=[]),
    ]
    after.enrollments = [
        h.enrollment(1, h.PHONE, "12:00:00", "issued"),
        h.enrollment(2, h.THIRD, "12:10:00", "failed", causes=["ces-overloaded"]),
        h.enrollment(3, h.OTHER, "12:20:00", "failed", causes=["ces-overloaded"]),
        h.enrollment(4, "SEPNEW", "12:20:00", "issued"),
    ]
    before.enrollments = [one for one in before.enrollments if one.outcome != "incomplete"]
    after.members = [member for member in after.members if member.source != "iis"]
    before.findings[1].evidence = [h.chain().evidence[0]]
    before.findings[1].evidence[0].source = "iis"
    after.clocks[1].offset_seconds = None
    after.clocks[2].offset_seconds, after.clocks[2].uncertainty_seconds = 65.2, 0.5
    return compare(checked(document(before)), later(after))


def text_of(difference: Difference, width: int = 80, **look: Any) -> str:
    return as_text(difference, **({"width": width, "color": False, "unicode": True} | look))


def flat(text: str) -> str:
    return " ".join(text.split())


def test_text_says_what_came_stayed_and_went() -> None:
    text = text_of(told())
    assert text.startswith(
        "FAILING → DEGRADED  case-700123.zip → case-700124.zip\n"
        "\n"
        "Before  case-700123.zip: 2019-03-05 17:10:05 to 18:02:44 UTC; 3 devices, 3\n"
    )
    for words in (
        "CAUSES come error: ces-overloaded: CES needs longer than CAPF waits (1 device)",
        "stayed error: ca-chain-untrusted: CES does not trust the certificate of the CA's web server (the service, 1",
        "device) 1 fewer: 1 device now; resolved now",
        "not checked any more error: ca-self-signed:",
        "AFTER could not tell: without logs of IIS",
        "gone warning: clock-behind:",
        "come, of less weight: clock-offset",
        f"1 issued before, failing now: {h.THIRD}",
        f"1 still failing, for another cause: {h.OTHER}",
        f"1 failing before, issued now: {h.PHONE}",
        "1 in AFTER alone: SEPNEW",
        "CLOCKS NGINX, offset: in step → 1 min 5 s ahead",
        "case-700124.zip (AFTER) has no logs of IIS",
    ):
        assert words in flat(text)


def test_nothing_different_is_one_line() -> None:
    made = checked(document(h.failing()))
    for shown in (text_of(compare(made, made), width=160), as_markdown(compare(made, made), unicode=True)):
        assert len(shown.splitlines()) == 1
        assert "NO DIFFERENCE" in shown
        assert "both are failing, and say the same of 4 enrollments" in shown
    again = compare(checked(document(h.healthy())), later(h.healthy()))
    assert "no device fares otherwise" in flat(text_of(again))


def test_a_page_fits() -> None:
    h.check_page(partial(as_text, told()))


def poisoned() -> Difference:
    """A difference of reports in which every text is hostile; its own words are not."""
    before, after = (h.poisoned(report) for report in (h.failing(), h.failing()))
    after.findings = after.findings[:1]
    after.findings[0].devices = after.findings[0].devices[:1]
    after.enrollments = after.enrollments[:2]
    found = compare(checked(document(before)), later(after))
    found.changes = [
        Change("capf", h.HOSTILE, h.HOSTILE, h.HOSTILE, None),
        Change("clocks", "iis", "zone", 0, h.HOSTILE),
    ]
    return found


def test_hostile_reports_make_no_markup_and_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = (
        " @team #12 !34 GH-12 :tada: http://evil.example <img src=x> <!-- ![x](y) [y](http://evil.example) | a | b | ` "
        "``` ~~~ &lt; **b** \n# heading\n- item\n---\n| a |\n| --- |\n"
    )
    for text in (h.HOSTILE, trouble):
        monkeypatch.setattr(h, "HOSTILE", text)
        for unicode in (True, False):
            markdown = as_markdown(poisoned(), unicode=unicode)
            assert all(line.isprintable() for line in markdown.split("\n"))
            assert unicode or markdown.isascii()
            found = page(markdown)
            assert found.links == []
            assert not re.search(LINKED_BY_TRACKERS, "".join(found.plain), re.IGNORECASE)
            assert set(found.count) <= {
                "h2", "h3", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "code",
            }  # fmt: skip
            assert found.count["h2"] == 1
            assert {len(row) for row in found.rows} <= {3, 4, 5, 6}
        h.check_page(partial(as_text, poisoned()))


def test_markdown_has_a_row_for_each_cause_and_device() -> None:
    found = page(as_markdown(told(), unicode=True))
    rules = {row[3]: row[0] for row in found.rows if len(row) == 6 and row[1] in ("error", "warning", "info")}
    assert rules == {
        "ces-overloaded": "come",
        "clock-offset": "come",
        "ca-chain-untrusted": "stayed",
        "ca-self-signed": "not checked any more",
        "clock-behind": "gone",
    }
    assert [h.THIRD, "issued before, failing now", "issued", "failed: ces-overloaded"] in found.rows
    assert ["NGINX", "offset", "in step", "1 min 5 s ahead"] in found.rows


def test_of_many_devices_the_first_are_named_and_the_rest_counted() -> None:
    before, after = h.healthy(), h.healthy()
    names = [f"SEP{number:012X}" for number in range(50)]
    before.enrollments = [h.enrollment(n, name, "12:00:00", "issued") for n, name in enumerate(names)]
    after.enrollments = [h.enrollment(n, name, "12:00:00", "failed") for n, name in enumerate(names)]
    difference = compare(checked(document(before)), later(after))
    text = flat(text_of(difference))
    assert "50 issued before, failing now:" in text
    assert f"and {50 - DEVICES_SHOWN} more" in text
    markdown = as_markdown(difference, unicode=True)
    assert sum(row[0].startswith("SEP") for row in page(markdown).rows) == ROWS_SHOWN
    assert f"and {50 - ROWS_SHOWN} more" in markdown


@pytest.mark.parametrize("made", [told, poisoned], ids=["told", "poisoned"])
def test_json_is_as_its_schema_says(made: Any) -> None:
    difference = made()
    text = as_json(difference)
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    document = json.loads(text)
    jsonschema.validate(document, SCHEMA)
    assert [one["turn"] for one in document["causes"]] == [cause.turn for cause in difference.causes]


def test_json_says_it_all() -> None:
    found = json.loads(as_json(told()))
    assert (found["same"], found["worse"], found["well"]) == (False, True, 0)
    assert {one["device"]: one["fate"] for one in found["devices"]} == {
        h.THIRD: "broken", h.OTHER: "failing", h.PHONE: "healed", "SEPNEW": "new",
    }  # fmt: skip
    assert found["after"]["lacks"] == ["iis"]
    assert {"room": "clocks", "of": "nginx", "what": "offset", "before": 0.0, "after": 65.2} in found["changes"]
    (gone,) = (one for one in found["causes"] if one["turn"] == "gone")
    assert (gone["rule"], gone["before"]["devices"], gone["after"]) == ("clock-behind", [], None)


def test_json_of_no_difference() -> None:
    made = checked(document(h.empty()))
    found = json.loads(as_json(compare(made, made)))
    jsonschema.validate(found, SCHEMA)
    assert (found["same"], found["causes"], found["devices"], found["changes"]) == (True, [], [], [])
