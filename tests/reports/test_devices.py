"""What `devices` prints: each device's latest attempt, those that failed first, and what is left out."""

from __future__ import annotations

import csv
import json
import re
from datetime import timedelta
from functools import partial
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from capflog.devices import Devices, Wish, causes_of, devices_of, outcomes_of, rules_meant
from capflog.reports.devices import TITLES, as_csv, as_json, render
from capflog.zones import named
from tests.reports import handmade as h

if TYPE_CHECKING:
    from capflog.model import Enrollment

EVERY = Wish()
FORM = "CES opened the CA's request form (form)"
UNTRUSTED = ["ca-chain-untrusted", "ca-self-signed"]


def some() -> list[Enrollment]:
    """Four devices and an enrollment without one: each outcome, and a device that changed for the better."""
    return [
        h.enrollment(1, h.THIRD, "12:10:05.100", "failed", causes=["ces-no-answer"]),
        h.enrollment(2, h.PHONE, "12:37:54.741", "failed"),
        h.enrollment(3, h.OTHER, "12:41:10.002", "failed"),
        h.enrollment(4, h.OTHER, "13:02:44.950", "incomplete", reached="second-login"),
        h.enrollment(5, h.THIRD, "13:10:05.100", "issued", reached="answer"),
        h.enrollment(6, h.PHONE, "13:37:54.741", "failed", causes=["template-misconfigured"], reached="form"),
        h.enrollment(7, None, "13:36:00.000", "failed", causes=[], reached="none"),
        h.enrollment(8, "CSFjsmith", "09:00:00", "issued", ended=h.at("09:00:00.608"), reached="end"),
    ]


def made(*enrollments: Enrollment, **given: Any) -> Devices:
    values: dict[str, Any] = {"bundle": "case-700123.zip", "clocks": h.clocks(), "zone": h.ZONE} | given
    return Devices(every=devices_of(enrollments or some()), **values)


def text_of(devices: Devices, wish: Wish = EVERY, width: int = 80, **look: Any) -> str:
    return render(devices, wish, **({"width": width, "color": False, "unicode": True} | look))


# ---- which attempt counts -------------------------------------------------------------------------------------------


def test_the_latest_attempt_decides_and_all_are_counted() -> None:
    found = {device.name: device for device in devices_of(some())}
    assert (found[h.THIRD].last.id, found[h.THIRD].last.outcome) == ("e5", "issued")
    assert dict(found[h.THIRD].counts) == {"failed": 1, "issued": 1}
    assert (found[h.OTHER].last.id, found[h.OTHER].attempts) == ("e4", 2)
    assert found[h.PHONE].last.causes == ["template-misconfigured"]
    assert (found["e7"].last.device, found["e7"].attempts) == (None, 1)


def test_those_that_failed_come_first_then_those_not_seen_to_the_end_each_by_time() -> None:
    assert [device.name for device in devices_of(some())] == ["e7", h.PHONE, h.OTHER, "CSFjsmith", h.THIRD]


def test_an_attempt_without_a_time_is_the_latest_only_where_none_has_one() -> None:
    dark = h.enrollment(1, h.PHONE, "12:00:00", "failed", started=None, ended=None)
    lit = h.enrollment(2, h.PHONE, "12:00:00", "issued")
    for order in ([dark, lit], [lit, dark]):
        (device,) = devices_of(order)
        assert device.last.id == "e2"
    (device,) = devices_of([dark])
    assert (device.time, device.seconds) == (None, None)
    assert [d.name for d in devices_of([h.enrollment(3, h.OTHER, "12:00:00", "failed"), dark])] == [h.OTHER, h.PHONE]


def test_of_two_attempts_at_one_time_the_later_in_the_report_counts() -> None:
    two = [
        h.enrollment(n, h.PHONE, "12:00:00", outcome, ended=h.at("12:00:01"))
        for n, outcome in ((1, "failed"), (2, "issued"))
    ]
    assert devices_of(two)[0].last.id == "e2"


def test_how_long_an_attempt_took_is_said_only_where_all_of_it_is_seen() -> None:
    took = {device.name: device.seconds for device in devices_of(some())}
    assert took[h.PHONE] == pytest.approx(10.038)
    assert took["CSFjsmith"] == pytest.approx(0.608)
    assert took[h.OTHER] is None
    backwards = h.enrollment(1, h.PHONE, "12:00:00", "issued", ended=h.at("11:59:00"))
    assert devices_of([backwards])[0].seconds is None


def test_outcomes_and_causes_are_counted_by_the_latest_attempts() -> None:
    devices = devices_of(
        [*some(), h.enrollment(9, "A", "14:00:00", "failed"), h.enrollment(10, "B", "14:00:01", "failed")]
    )
    assert outcomes_of(devices) == {"failed": 4, "incomplete": 1, "issued": 2}
    assert causes_of(devices) == [(tuple(UNTRUSTED), 2), (("template-misconfigured",), 1), ((), 1)]


# ---- which are asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (Wish(outcomes=("failed",)), ["e7", h.PHONE]),
        (Wish(outcomes=("issued", "incomplete")), [h.OTHER, "CSFjsmith", h.THIRD]),
        (Wish(rules=("template-misconfigured", "ca-self-signed")), [h.PHONE]),
        (Wish(rules=("ces-no-answer",)), []),
        (Wish(outcomes=("issued",), rules=("template-misconfigured",)), []),
    ],
)
def test_devices_are_chosen_by_their_latest_attempts(wish: Wish, names: list[str]) -> None:
    assert [device.name for device in devices_of(some()) if wish.fits(device)] == names


KNOWN = ["ca-dns-failure", "ca-dns-timeout", "ces-no-answer", "template-misconfigured"]


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        (["ca-dns-failure"], ["ca-dns-failure"]),
        ([" CA-DNS-Failure "], ["ca-dns-failure"]),
        (["ca-dns-*"], ["ca-dns-failure", "ca-dns-timeout"]),
        (["*failure", "ca-*"], ["ca-dns-failure", "ca-dns-timeout"]),
        (["ces-no-answer", "ca-dns-failure"], ["ces-no-answer", "ca-dns-failure"]),
    ],
)
def test_a_rule_is_meant_by_its_id_or_a_part_of_it(wanted: list[str], meant: list[str]) -> None:
    assert rules_meant(wanted, KNOWN) == meant


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("ca-dns-failur", "ca-dns-failur: no such rule; did you mean ca-dns-failure"),
        ("ca-dns-failur-*", "ca-dns-failur-*: no such rule; did you mean ca-dns-failure"),
        ("template", "template: no such rule; did you mean template-misconfigured?"),
        ("zzz", "zzz: no such rule; 'capflog rules' lists them"),
        ("*zzz*", "*zzz*: no such rule; 'capflog rules' lists them"),
        ("", ": no such rule; 'capflog rules' lists them"),
    ],
)
def test_an_unknown_rule_gets_the_nearest(wanted: str, said: str) -> None:
    with pytest.raises(LookupError) as caught:
        rules_meant(["ces-no-answer", wanted], KNOWN)
    assert str(caught.value.args[0]).startswith(said)


# ---- as text --------------------------------------------------------------------------------------------------------


def test_a_narrow_page_has_a_table_for_each_outcome() -> None:
    assert text_of(made()) == (
        "5 devices in case-700123.zip, by their latest attempts: 2 failed, 1 incomplete\n"
        "and 2 issued\n"
        "Causes: 1 template-misconfigured, 1 not known\n"
        "2019-03-05, times are UTC-05:00, the CUCM node's zone\n"
        "\n"
        "FAILED\n"
        "device           ok  failed  at          took  step     cause\n"
        "e7                0  1 of 1  13:36:10  10.0 s  no step  not known\n"
        "SEP001F6C81118B   0  2 of 2  13:38:04  10.0 s  form     template-misconfigured\n"
        "\n"
        "INCOMPLETE\n"
        "device           ok  failed  at        step\n"
        "SEP74A02FC0A675   0  1 of 2  13:02:44  second-login\n"
        "\n"
        "ISSUED\n"
        "device           ok  failed  at          took  step\n"
        "CSFjsmith         1  0 of 1  09:00:00   0.6 s  end\n"
        "SEPB8621F9C4D10   1  1 of 2  13:10:15  10.0 s  answer\n"
    )


def test_a_wide_page_has_one_table() -> None:
    head, _, table = text_of(made(), width=160).partition("\n\n")
    assert head == (
        "5 devices in case-700123.zip, by their latest attempts: 2 failed, 1 incomplete and 2 issued\n"
        "Causes: 1 template-misconfigured, 1 not known\n"
        "2019-03-05, times are UTC-05:00, the CUCM node's zone"
    )
    assert [re.split(r"\s{2,}", line) for line in table.splitlines()] == [
        ["device", "latest", "tries", "issued", "failed", "incomplete", "at", "took", "reached", "cause"],
        ["e7", "failed", "1", "0", "1", "13:36:10", "10.038 s", "no step", "not known"],
        [h.PHONE, "failed", "2", "0", "2", "13:38:04", "10.038 s", FORM, "template-misconfigured"],
        [h.OTHER, "incomplete", "2", "0", "1", "1", "13:02:44", "CES logged in a second time (second-login)"],
        ["CSFjsmith", "issued", "1", "1", "0", "09:00:00", "0.608 s", "the phone's session ended (end)"],
        [h.THIRD, "issued", "2", "1", "1", "13:10:15", "10.038 s", "CAPF got the certificate (answer)"],
    ]
    assert (
        len({line.index(word) for line, word in zip(table.splitlines()[:3], ("cause", "not k", "templ"), strict=True)})
        == 1
    )


def test_where_the_words_for_steps_have_no_room_their_names_stand() -> None:
    text = text_of(made(), width=125)
    assert "second-login" in text
    assert "CES logged" not in text
    assert "template-misconfigured\n" in text


def test_what_is_left_out_is_counted() -> None:
    text = text_of(made(), Wish(outcomes=("failed",), words="--outcome failed"))
    assert "5 devices in case-700123.zip, by their latest attempts: 2 failed, 1 incomplete" in text
    assert "\nShown: 2 of them (--outcome failed); 3 are left out\n" in text
    assert "ISSUED" not in text
    none = text_of(made(), Wish(rules=("ces-no-answer",), words="--cause ces-no-answer"))
    assert none.endswith("\nShown: 0 of them (--cause ces-no-answer); 5 are left out\n")


def test_where_each_tried_once_there_is_no_latest() -> None:
    text = text_of(made(h.enrollment(1, h.PHONE, "12:00:00", "issued")))
    assert text.startswith("1 device in case-700123.zip: 1 issued\n2019-03-05, times")


def test_where_nothing_tried_that_is_said() -> None:
    empty = Devices("case.zip", [], [], None)
    assert text_of(empty) == "0 devices in case.zip: the logs show no enrollment\n"


def test_days_stand_where_there_are_several() -> None:
    two = [h.enrollment(1, h.PHONE, "12:00:00", "failed")]
    later = h.at("12:00:00", "2019-04-06")
    two.append(h.enrollment(2, h.OTHER, "12:00:00", "failed", started=later, ended=later + timedelta(seconds=1)))
    assert "  03-05 12:00:10  " in text_of(made(*two))
    assert "  04-06 12:00:01  " in text_of(made(*two))
    assert "2019-03-05 to 2019-04-06, times are " in text_of(made(*two))
    assert "  2019-03-05 12:00:10  " in text_of(made(*two), width=160)


def test_times_are_in_the_zone_that_is_asked_for() -> None:
    text = text_of(made(), display=named("Asia/Tokyo"))
    assert "2019-03-05 to 2019-03-06, times are Asia/Tokyo, UTC+09:00, as --display-tz asks\n" in text
    assert "03-06 03:38:04" in text
    unknown = text_of(made(zone=None))
    assert "times are the CUCM node's local time, of a zone that is not known" in " ".join(unknown.split())


def test_many_causes_are_cut_with_a_word() -> None:
    many = [h.enrollment(n, f"D{n}", "12:00:00", "failed", causes=[f"rule-{n}"]) for n in range(11)]
    text = " ".join(text_of(made(*many)).split())
    assert "1 rule-6 and 3 more" in text
    assert text.count("rule-9") == 1


def test_thousands_of_devices_are_all_listed() -> None:
    many = [h.enrollment(n, f"SEP{n:012X}", "12:00:00", "failed") for n in range(3000)]
    text = text_of(made(*many))
    assert "3,000 devices in case-700123.zip: 3,000 failed\n" in text
    assert sum(line.startswith("SEP0") for line in text.splitlines()) == 3000


@pytest.mark.parametrize("devices", [made(), made(*h.poisoned(some()), bundle=h.HOSTILE)], ids=["plain", "hostile"])
def test_no_text_breaks_the_page(devices: Devices) -> None:
    h.check_page(partial(render, devices, EVERY))
    h.check_page(partial(render, devices, Wish(outcomes=("failed",), words=f"--cause {h.HOSTILE}")))


# ---- for scripts ----------------------------------------------------------------------------------------------------


def test_json_has_all_that_the_table_has() -> None:
    document = json.loads(as_json(made(), Wish(outcomes=("failed", "incomplete"))))
    assert document["schema"] == "capflog-devices-1"
    assert (document["bundle"], document["total"], document["shown"]) == ("case-700123.zip", 5, 3)
    assert document["asked"] == {"outcomes": ["failed", "incomplete"], "causes": None}
    assert document["outcomes"] == {"failed": 2, "incomplete": 1, "issued": 2}
    assert document["causes"] == [
        {"causes": ["template-misconfigured"], "devices": 1},
        {"causes": [], "devices": 1},
    ]
    assert document["devices"][1] == {
        "device": h.PHONE,
        "latest": "e6",
        "outcome": "failed",
        "causes": ["template-misconfigured"],
        "attempts": 2,
        "issued": 0,
        "failed": 2,
        "incomplete": 0,
        "started": "2019-03-05T18:37:54.741Z",
        "ended": "2019-03-05T18:38:04.779Z",
        "seconds": 10.038,
        "reached": "form",
        "missing": "connect",
        "est_error": "EST_ERR_SSL_READ",
    }
    assert [one["device"] for one in document["devices"]] == [None, h.PHONE, h.OTHER]
    assert document["devices"][2]["seconds"] is None


def test_json_of_nothing() -> None:
    document = json.loads(as_json(made(), Wish(rules=("x",))))
    assert (document["devices"], document["shown"], document["total"]) == ([], 0, 5)


def test_csv_has_a_line_of_titles_and_one_for_each_device() -> None:
    text = as_csv(made(), EVERY)
    rows = list(csv.DictReader(StringIO(text)))
    assert list(rows[0]) == list(TITLES)
    assert [row["device"] for row in rows] == ["", h.PHONE, h.OTHER, "CSFjsmith", h.THIRD]
    assert [row["latest"] for row in rows] == ["e7", "e6", "e4", "e8", "e5"]
    assert (rows[1]["causes"], rows[1]["seconds"], rows[2]["ended"]) == ("template-misconfigured", "10.038", "")
    assert "\r" not in text
    first = h.enrollment(1, h.PHONE, "12:00:00", "failed")
    assert next(csv.DictReader(StringIO(as_csv(made(first), EVERY))))["causes"] == " or ".join(UNTRUSTED)


def test_no_name_is_a_formula_in_a_spreadsheet() -> None:
    text = as_csv(made(h.enrollment(1, '=HYPERLINK("http://evil.example")', "12:00:00", "issued")), EVERY)
    assert next(csv.DictReader(StringIO(text)))["device"] == '\'=HYPERLINK("http://evil.example")'


def test_nothing_in_them_acts_on_a_terminal() -> None:
    devices = made(*h.poisoned(some()), bundle=h.HOSTILE)
    for text in (as_json(devices, EVERY), as_csv(devices, EVERY)):
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode()
    assert len(as_csv(devices, EVERY).splitlines()) == 6
    document = json.loads(as_json(devices, EVERY))
    assert document["devices"][1]["device"] == h.poisoned(h.PHONE).replace("\udce9", "\\udce9")
