"""The samples: ``samples/make.py`` makes what is committed, and what it makes is what its README says."""

from __future__ import annotations

import io
import itertools
import json
import re
import subprocess
import sys
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parent.parent / "samples"
PUBLISHED = SAMPLES / "published"
TRUTH: dict[str, Any] = json.loads((SAMPLES / "truth.json").read_text("utf-8"))

#: Each bundle of a failure and the published lines that it is built on.
FAULTS = {
    "ca-chain-untrusted.zip": "11-missing-ca-certificate-in-issuer-chain/nginx00000001.txt",
    "ca-self-signed.zip": "12-self-signed-web-server-certificate/nginx00000001.txt",
    "ca-hostname-mismatch.zip": "13-hostname-and-common-name-mismatch/nginx00000001.txt",
    "ca-dns-failure.zip": "14-dns-resolution/nginx00000001.txt",
    "ca-cert-not-yet-valid.zip": "15-certificate-validity-dates/nginx00000001.txt",
    "ca-cert-expired.zip": "15-certificate-validity-dates/nginx00000001.txt",
    "template-misconfigured.zip": "16-certificate-template-misconfiguration/error.log",
    "ces-auth-timeout.zip": "17-ces-authentication-timeout/nginx00000001.txt",
    "ces-enroll-timeout.zip": "18-ces-enrollment-timeout/nginx00000001.txt",
    "ces-overloaded.zip": "03-ces-error-as-capf-sees-it/capf00000001.txt",
    "ces-no-answer.zip": "03-ces-error-as-capf-sees-it/capf00000001.txt",
}
#: Words of the published lines that a bundle says otherwise.
INSTEAD = {"ca-cert-expired.zip": ("certificate is not yet valid", "certificate has expired")}
BUNDLES = ("healthy.zip", *FAULTS)
WITH_CES = [name for name in BUNDLES if name != "ces-no-answer.zip"]

GOOD_PHONE, BAD_PHONE = "SEP74A02FC0A675", "SEP001F6C81118B"

STAMPS = re.compile(
    r"^\d\d:\d\d:\d\d\.\d{3} |^\d{4}[/-]\d\d[/-]\d\d \d\d:\d\d:\d\d "
    r"|(?<=\[)\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}(?=\])",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Member:
    """A member as a bundle holds it, and its content, decompressed."""

    time: tuple[int, ...]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode("cp1252", errors="replace").replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        return self.text.removesuffix("\n").split("\n")


def unpacked(name: str, content: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(content) if name.endswith((".gz", ".gzo")) else content


def members(bundle: Path) -> dict[str, Member]:
    """Read every member, those of an archive inside too, by the names that a report gives them."""
    found: dict[str, Member] = {}
    with zipfile.ZipFile(bundle) as archive:
        for entry in archive.infolist():
            content = unpacked(entry.filename, archive.read(entry))
            found[entry.filename] = Member(entry.date_time, content)
            if entry.filename.endswith(".tar.gz"):
                with tarfile.open(fileobj=io.BytesIO(content)) as inner:
                    for item in inner:
                        held = inner.extractfile(item)
                        assert held is not None
                        inside = Member((int(item.mtime),), unpacked(item.name, held.read()))
                        found[f"{entry.filename}!/{item.name}"] = inside
    return found


@pytest.fixture(scope="module")
def bundles() -> dict[str, dict[str, Member]]:
    return {name: members(SAMPLES / name) for name in BUNDLES}


def of_kind(found: dict[str, Member], kind: str) -> list[Member]:
    """Choose the members of one log, in the order of their numbers."""
    pattern = {"capf": r"capf\d+\.txt", "ciscora": r"nginx\d+\.txt", "nginx": r"error\.log$", "iis": r"u_ex\d+\.log$"}[
        kind
    ]
    return [member for path, member in sorted(found.items()) if re.search(pattern, path)]


def words(text: str) -> str:
    """Take stamps off, and blanks and line feeds for what the document made of them: one blank."""
    return " ".join(STAMPS.sub("", text).split())


def same_node(text: str) -> str:
    return re.sub(r"14\.48\.31\.12[58]\b", "NODE", text)


def published(path: str) -> list[str]:
    return [line for line in (PUBLISHED / path).read_text("utf-8").splitlines() if line != "[…]"]


def shown_in(name: str) -> list[str]:
    """Read the published lines that a bundle is built on, in its words."""
    lines = published(FAULTS[name])
    if name in INSTEAD:
        old, new = INSTEAD[name]
        assert sum(old in line for line in lines) == 1
        return [line.replace(old, new) for line in lines]
    return lines


def stand_in_order(wanted: list[str], text: str) -> str | None:
    """Find the first of the wanted texts that does not stand in the text behind the one before it."""
    at = 0
    for item in wanted:
        at = text.find(item, at)
        if at < 0:
            return item
        at += len(item)
    return None


def clock(stamp: str) -> int:
    hours, minutes, seconds = stamp.split(":")
    return round(((int(hours) * 60 + int(minutes)) * 60 + float(seconds)) * 1000)


def capf_calls(found: dict[str, Member]) -> list[tuple[str, int, int, int]]:
    """Read each enrollment off the CAPF trace: device, time of the call, ms to the answer, EST number."""
    pattern = re.compile(r"^([\d:.]+) \|   debug \d+:(\w+):(CA Mode is OnlineCA|Enrollment rv = (\d+))")
    calls: dict[str, int] = {}
    result = []
    for line in (line for member in of_kind(found, "capf") for line in member.lines):
        match = pattern.match(line)
        if match and match[4] is None:
            calls[match[2]] = clock(match[1])
        elif match:
            begun = calls.pop(match[2])
            result.append((match[2], begun, clock(match[1]) - begun, int(match[4])))
    assert not calls
    return sorted(result, key=lambda call: call[1])


# Made again


def test_making_them_again_gives_what_is_committed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SAMPLES / "make.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*BUNDLES, "truth.json"])
    for name in BUNDLES:
        made, committed = members(tmp_path / name), members(SAMPLES / name)
        assert list(made) == list(committed), name
        for path, member in committed.items():
            assert made[path] == member, f"{name}: {path}"
    assert (tmp_path / "truth.json").read_text("utf-8") == (SAMPLES / "truth.json").read_text("utf-8")


def test_every_bundle_is_small_and_every_log_of_it_is_named_in_the_readme() -> None:
    readme = (SAMPLES / "README.md").read_text("utf-8")
    assert sorted(path.name for path in SAMPLES.glob("*.zip")) == sorted(BUNDLES) == sorted(TRUTH)
    for name in BUNDLES:
        assert (SAMPLES / name).stat().st_size < 150_000
        assert f"`{name}`" in readme
        for rule in TRUTH[name]["rules"]:
            assert f"`{rule}`" in readme


def test_member_times_are_those_of_the_logs(bundles: dict[str, dict[str, Member]]) -> None:
    for name, found in bundles.items():
        for path, member in found.items():
            if "!/" not in path:
                assert member.time[:3] == (2019, 1, 16), f"{name}: {path}"
    capf = of_kind(bundles["healthy.zip"], "capf")[0]
    last = clock(capf.lines[-1][:12]) // 2000 * 2000  # a zip keeps every second second
    hours, minutes, seconds = capf.time[3:]
    assert ((hours * 60 + minutes) * 60 + seconds) * 1000 == last


# Published lines


@pytest.mark.parametrize(("name", "path"), FAULTS.items())
def test_the_published_lines_of_the_fault_stand_unchanged(
    bundles: dict[str, dict[str, Member]], name: str, path: str
) -> None:
    kind = "capf" if "capf0" in path else "nginx" if "error" in path else "ciscora"
    wanted = [words(line) for line in shown_in(name)]
    logs = [words(member.text) for member in of_kind(bundles[name], kind)]
    assert None in {stand_in_order(wanted, log) for log in logs}
    altered = [*wanted[:-1], wanted[-1] + "?"]
    assert None not in {stand_in_order(altered, log) for log in logs}


@pytest.mark.parametrize("name", BUNDLES)
def test_the_published_start_and_enrollment_stand_in_the_trace_with_their_times(
    bundles: dict[str, dict[str, Member]], name: str
) -> None:
    text = " ".join("\n".join(member.text for member in of_kind(bundles[name], "capf")).split())
    for path in ("01-ces-startup/capf00000001.txt", "02-phone-lsc-install/capf00000001.txt"):
        assert stand_in_order([" ".join(line.split()) for line in published(path)], text) is None


@pytest.mark.parametrize("name", WITH_CES)
def test_the_published_start_and_enrollment_stand_in_the_other_logs(
    bundles: dict[str, dict[str, Member]], name: str
) -> None:
    for kind, path in (
        ("ciscora", "01-ces-startup/nginx00000001.txt"),
        ("nginx", "01-ces-startup/error.log"),
        ("iis", "01-ces-startup/u_ex190305.log"),
        ("iis", "02-phone-lsc-install/u_ex190116.log"),
    ):
        log = same_node(words(of_kind(bundles[name], kind)[0].text))
        assert stand_in_order([same_node(words(line)) for line in published(path)], log) is None, path


def test_the_template_case_keeps_its_time_of_day(bundles: dict[str, dict[str, Member]]) -> None:
    log = " ".join(of_kind(bundles["template-misconfigured.zip"], "nginx")[0].text.split())
    moved = [
        line.replace("2019/02/27", "2019/01/16").replace("27/Feb/2019", "16/Jan/2019")
        for line in published(FAULTS["template-misconfigured.zip"])
    ]
    assert stand_in_order([" ".join(line.split()) for line in moved], log) is None


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "template-misconfigured.zip"])
def test_the_failing_phone_waits_as_published(bundles: dict[str, dict[str, Member]], name: str) -> None:
    text = "\n".join(member.text for member in of_kind(bundles[name], "capf"))
    moved = [
        re.sub(r"^12:3(\d):", lambda m: f"14:4{m[1]}:", line)
        for line in published("03-ces-error-as-capf-sees-it/capf00000001.txt")
    ]
    assert moved[0].startswith("14:47:54.741 ")
    assert stand_in_order([line.replace(" | ", " |   ") for line in moved], text) is None


# Written as the programs write


@pytest.mark.parametrize("name", BUNDLES)
def test_stamps_never_go_back(bundles: dict[str, dict[str, Member]], name: str) -> None:
    for kind, pattern in (
        ("capf", r"^\d\d:\d\d:\d\d\.\d{3}(?= )"),
        ("nginx", r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?= \[)"),
        ("iis", r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?= )"),
    ):
        text = "\n".join(member.text for member in of_kind(bundles[name], kind))
        stamps = re.findall(pattern, text, re.MULTILINE)
        assert stamps == sorted(stamps)
        assert len(stamps) > 100 or name == "ces-no-answer.zip"


@pytest.mark.parametrize("name", BUNDLES)
def test_a_trace_record_has_three_blanks_behind_the_bar(bundles: dict[str, dict[str, Member]], name: str) -> None:
    for line in (line for member in of_kind(bundles[name], "capf") for line in member.lines):
        if line != "\x02‚\x01\x01":  # the rest of a public key, logged as bytes
            assert re.match(r"[\d:]{8}\.\d{3} \|(-->|<--|   )\S", line), line


@pytest.mark.parametrize("name", WITH_CES)
def test_iis_columns_are_as_the_header_says(bundles: dict[str, dict[str, Member]], name: str) -> None:
    (member,) = of_kind(bundles[name], "iis")
    assert member.content.count(b"\n") == member.content.count(b"\r\n") > 100
    header = next(line for line in member.lines if line.startswith("#Fields: "))
    for line in member.lines:
        if not line.startswith("#"):
            assert len(line.split(" ")) == len(header.split(" ")) - 1 == 15, line


@pytest.mark.parametrize("name", WITH_CES)
def test_other_clients_visit_the_web_server(bundles: dict[str, dict[str, Member]], name: str) -> None:
    rows = [line.split(" ") for line in of_kind(bundles[name], "iis")[0].lines if not line.startswith("#")]
    others = {row[9].split("/")[0] for row in rows if row[9] != "CiscoRA+1.0"}
    assert {"Mozilla", "check_http", "Microsoft-CryptoAPI"} <= others
    assert any(row[4].startswith("/certsrv") and row[9].startswith("Mozilla") for row in rows)
    assert any(not row[4].startswith("/certsrv") for row in rows)
    assert {row[8] for row in rows if row[9] == "CiscoRA+1.0"} <= {"14.48.31.125", "14.48.31.128"}
    assert len({row[8] for row in rows if row[9] == "CiscoRA+1.0"}) == 1


@pytest.mark.parametrize("name", WITH_CES)
def test_request_numbers_rise(bundles: dict[str, dict[str, Member]], name: str) -> None:
    for kind in ("iis", "nginx"):
        numbers = [int(n) for n in re.findall(r"certnew\.cer[ ?]ReqID=(\d+)&", of_kind(bundles[name], kind)[0].text)]
        assert numbers == sorted(set(numbers))
        assert 10 in numbers


@pytest.mark.parametrize("name", WITH_CES)
def test_connections_are_counted_from_one_after_each_start(bundles: dict[str, dict[str, Member]], name: str) -> None:
    starts = re.split(r"start worker processes", of_kind(bundles[name], "nginx")[0].text)[1:]
    assert len(starts) == len(of_kind(bundles[name], "ciscora"))
    for served in starts:
        workers = set(re.findall(r"start worker process (\d+)", served))
        seen = {int(number): worker for worker, number in re.findall(r" (\d+)#0: \*(\d+) ", served)}
        assert set(seen.values()) <= workers
        # libEST tells the port of each connection of CAPF's; NGINX has no record of the anonymous ones.
        peers = served.count("--> Peer port") + served.count("client closed connection")
        assert max(seen, default=0) == peers
        assert list(seen) == sorted(seen)


@pytest.mark.parametrize("name", WITH_CES)
def test_error_log_has_a_stamped_copy_of_each_start_up_warning(
    bundles: dict[str, dict[str, Member]], name: str
) -> None:
    warned = [
        re.sub(r"^nginx: ", "", line)
        for member in of_kind(bundles[name], "ciscora")
        for line in member.lines
        if line.startswith("nginx: ")
    ]
    records = re.findall(
        r"^[\d/]{10} [\d:]{8} (\[(?:warn|error)\]) \d+#0: ([^*].*)$",
        of_kind(bundles[name], "nginx")[0].text,
        re.MULTILINE,
    )
    assert [f"{level} {message}" for level, message in records] == warned


def test_two_phones_enroll_at_once_in_the_healthy_bundle_alone(bundles: dict[str, dict[str, Member]]) -> None:
    for name, found in bundles.items():
        calls = capf_calls(found)
        overlapping = [first[0] for first, second in itertools.pairwise(calls) if second[1] < first[1] + first[2]]
        assert len(overlapping) == (1 if name == "healthy.zip" else 0)


# The truth about them


@pytest.mark.parametrize("name", BUNDLES)
def test_truth_and_trace_tell_of_the_same_enrollments(bundles: dict[str, dict[str, Member]], name: str) -> None:
    told = [
        (entry["device"], clock(entry["started"][11:-1]) - 5 * 3_600_000, entry["outcome"])
        for entry in TRUTH[name]["enrollments"]
    ]
    calls = capf_calls(bundles[name])
    assert told == [(device, at, "issued" if number == 0 else "failed") for device, at, _, number in calls]
    for _, _, taken, number in calls:
        assert {0: taken < 1500, 22: taken < 500, 35: 10_000 < taken < 10_060}[number]


@pytest.mark.parametrize("name", BUNDLES)
def test_who_fails_and_why(name: str) -> None:
    entries = TRUTH[name]["enrollments"]
    outcomes = [entry["outcome"] for entry in entries]
    failed = [entry for entry in entries if entry["outcome"] == "failed"]
    assert {GOOD_PHONE, BAD_PHONE} <= {entry["device"] for entry in entries}
    assert all(entry["outcome"] == "issued" for entry in entries if entry["device"] == GOOD_PHONE)
    assert len({entry["device"] for entry in entries} - {GOOD_PHONE, BAD_PHONE}) >= 4
    assert all((entry["causes"] != []) == (entry["outcome"] == "failed") for entry in entries)
    if name == "healthy.zip":
        assert failed == []
        assert TRUTH[name]["verdict"] == "healthy"
        return
    assert TRUTH[name]["verdict"] == "failing"
    assert outcomes == sorted(outcomes, reverse=True), "somebody got a certificate after the fault"
    assert failed[0]["device"] == BAD_PHONE
    assert len({entry["device"] for entry in failed}) == 3
    assert all(entry["causes"] == TRUTH[name]["rules"] for entry in failed)


@pytest.mark.parametrize("name", FAULTS)
def test_truth_points_at_the_published_lines(bundles: dict[str, dict[str, Member]], name: str) -> None:
    found = bundles[name]
    wanted = words("\n".join(shown_in(name)))
    for key in ("failing_lines", "failing_lines_copied"):
        shown = [found[path].lines[number - 1] for path, numbers in TRUTH[name][key].items() for number in numbers]
        assert bool(shown) == (key == "failing_lines" or FAULTS[name].endswith("nginx00000001.txt"))
        for line in shown:
            message = words(line) if key == "failing_lines" else line.split("#0: ")[1]
            message = message.replace("|   ", "| ")
            assert message in wanted


@pytest.mark.parametrize("name", WITH_CES)
def test_truth_points_at_the_lines_of_the_good_phone(bundles: dict[str, dict[str, Member]], name: str) -> None:
    ((path, numbers),) = TRUTH[name]["iis_lines_of_good_phone"].items()
    lines = [bundles[name][path].lines[number - 1] for number in numbers]
    assert [same_node(words(line)) for line in lines] == [
        same_node(words(line)) for line in published("02-phone-lsc-install/u_ex190116.log")
    ]
    assert {line[:19] for line in lines} == {"2019-01-16 19:05:02"}


@pytest.mark.parametrize("name", WITH_CES)
def test_no_line_belongs_to_two_enrollments(bundles: dict[str, dict[str, Member]], name: str) -> None:
    owned: set[tuple[str, int]] = set()
    for entry in TRUTH[name]["enrollments"]:
        for key in ("nginx_lines", "iis_lines"):
            for path, numbers in entry[key].items():
                places = {(path, number) for number in numbers}
                assert not places & owned
                owned |= places
    agents = {
        path: [number for number, line in enumerate(member.lines, start=1) if " CiscoRA+1.0 " in line]
        for path, member in bundles[name].items()
        if path.endswith("u_ex190116.log")
    }
    ((path, of_ces),) = agents.items()
    left = [number for number in of_ces if (path, number) not in owned]
    # What is left are the requests of CES's starts.
    assert 3 <= len(left) <= 6


def test_what_the_ca_sees_of_a_failed_start(bundles: dict[str, dict[str, Member]]) -> None:
    seen = {}
    for name in WITH_CES:
        rows = [line.split(" ") for line in of_kind(bundles[name], "iis")[0].lines if " CiscoRA+1.0 " in line]
        seen[name] = [" ".join([row[4], *row[11:14]]) for row in rows if row[1] > "19:36:30"]
        slow = [int(row[14]) for row in rows if int(row[14]) >= 10_000]
        assert len(slow) == (1 if name in {"ces-auth-timeout.zip", "ces-enroll-timeout.zip"} else 0), name
    for name in FAULTS:
        if name.startswith("ca-"):
            assert seen[name] == []
    assert seen["ces-auth-timeout.zip"] == ["/certsrv 200 0 64"]
    assert seen["ces-enroll-timeout.zip"] == [
        "/certsrv 401 1 2148074254",
        "/certsrv 301 0 0",
        "/certsrv/certnew.p7b 200 0 64",
    ]
    assert not any("certfnsh" in request for request in seen["template-misconfigured.zip"])
    assert any("certrqxt.asp 200" in request for request in seen["template-misconfigured.zip"])


def test_the_overloaded_ca_answers_in_time_and_together_too_late(bundles: dict[str, dict[str, Member]]) -> None:
    found, entries = bundles["ces-overloaded.zip"], TRUTH["ces-overloaded.zip"]["enrollments"]
    calls = {(device, at): at + taken for device, at, taken, _ in capf_calls(found)}
    failed = [entry for entry in entries if entry["outcome"] == "failed"]
    assert len(failed) == 12
    free = 0
    for entry in failed:
        begun = clock(entry["started"][11:-1]) - 5 * 3_600_000
        gave_up = calls[entry["device"], begun]
        ((path, numbers),) = entry["iis_lines"].items()
        rows = [found[path].lines[number - 1].split(" ") for number in numbers]
        spent = [int(row[14]) for row in rows]
        assert len(spent) == 7
        assert all(1500 <= one <= 3000 for one in spent)
        assert 11_000 <= sum(spent) <= 13_000
        assert (rows[-1][4], rows[-1][11]) == ("/certsrv/certnew.cer", "200")

        ((path, numbers),) = entry["nginx_lines"].items()
        lines = [found[path].lines[number - 1] for number in numbers]
        text = "\n".join(lines)
        stamps = [clock(line[11:19]) for line in lines if line.startswith("2019/")]
        assert stamps[0] < gave_up < stamps[-1] <= begun + 13_000
        assert begun > free, "the phone comes while CES is still at the last attempt"
        free = stamps[-1] + 1000
        assert text.count("(EST_ERR_HTTP_WRITE)") == 3
        assert "[Error 400: Bad Request\nInvalid or corrupted pkcs10 request.\n]" in text
        (received,) = re.findall(r"16/Jan/2019:([\d:]{8}) -0500\] .* 400 0$", text, re.MULTILINE)
        assert begun - 1000 < clock(received) < begun + 1000
