"""Bundles as they come: other names and versions, logs missing, twins, workers side by side. Each once went wrong."""

from __future__ import annotations

import gzip
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PUBLISHED, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Reporter = Callable[..., dict[str, Any]]
    Writer = Callable[..., Path]

CALL = "12:37:54.741 |   debug 2:{0}:Calling enrollCertUsingEST() csr_file=/tmp/capf/csr/{0}.csr\n"
ANSWER = "12:38:04.779 |   debug 2:{0}:Enrollment rv = {1} with pkcs7 length = 0\n"
LOGIN = "Secure connection to MS CertServ completed successfully using the following URL https://ca.corp.example:443/certsrv"
WHILE = "while SSL EST handshaking, client: 14.48.31.128, server: 0.0.0.0:8084\n"


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    """Write logs into a folder and give it."""

    def write(**logs: str) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        for name, text in logs.items():
            (folder / (name.replace("__", ".") + ".log")).write_text(text, encoding="utf-8")
        return folder

    return write


def rules(document: dict[str, Any]) -> list[str]:
    return [finding["rule"] for finding in document["findings"]]


def nginx(second: int, connection: int, message: str, level: str = "info") -> str:
    return f"2019/02/27 12:37:{second:02d} [{level}] 3187#0: *{connection} {message} {WHILE}"


def est(text: str, function: str = "est_http_request:1435", level: str = "INFO") -> str:
    return f"***EST [{level}][{function}]--> {text}\n"


def access(second: int, status: int) -> str:
    stamp = f"[27/Feb/2019:12:37:{second:02d} -0500]"
    return est(f'14.48.31.128 {stamp} "POST /.well-known/est/simpleenroll HTTP/1.1" {status} 0', "log_access:1298")


@pytest.mark.parametrize(
    "device", ["SEP001F6C81118B", "ATA74A02FC0A67501", "CSFjsmith", "CIPC-lab.7", "5551001", "x_1"]
)
def test_any_device_name_has_its_enrollment(device: str, report: Reporter, written: Writer) -> None:
    found = report(written(capf=CALL.format(device) + ANSWER.format(device, "35 (EST_ERR_SSL_READ)")))
    assert [e["device"] for e in found["enrollments"]] == [device]
    assert rules(found) == ["ces-no-answer"]


@pytest.mark.parametrize(
    ("version", "number", "name"),
    [
        ("1.1.0", 32, "EST_ERR_SSL_READ"),
        ("2.2.0", 35, "EST_ERR_SSL_READ"),
        ("3.2.0", 94, "EST_ERR_UNKNOWN"),
        ("1.0.0", 18, "EST_ERR_AUTH_FAIL"),
    ],
)
def test_a_number_without_a_name_is_read_by_the_version_that_the_logs_tell(
    version: str, number: int, name: str, report: Reporter, written: Writer
) -> None:
    said = f"***EST [INFO][est_log_version:216]--> libest {version} (API level 4)"
    start = f"{said}\nEnrollmentService.sh : nginx server PID value = 31070\n"
    found = report(written(capf=CALL.format("SEPA") + ANSWER.format("SEPA", number), nginx1=start))
    assert found["enrollments"][0]["est_error"] == {"name": name, "value": number}


def test_a_number_that_no_version_explains_is_not_lost(report: Reporter, written: Writer) -> None:
    found = report(written(capf=CALL.format("SEPA") + ANSWER.format("SEPA", 94)))
    assert found["enrollments"][0]["est_error"] == {"name": "EST error 94", "value": 94}
    assert found["enrollments"][0]["outcome"] == "failed"


def test_libests_own_sign_of_success_is_one(report: Reporter, written: Writer) -> None:
    log = est("TLS: no peer certificate", "est_enroll_auth:356") + nginx(55, 2, f"login_to_certsrv_ca: {LOGIN}")
    found = report(written(error=log + access(55, -1)))
    assert [e["outcome"] for e in found["enrollments"]] == ["issued"]
    assert found["summary"]["verdict"] == "healthy"


def test_a_request_that_curl_failed_for_is_a_failed_enrollment(report: Reporter, written: Writer) -> None:
    text = "Could not resolve: ca (Domain name not found)"
    failed = f"login_to_certsrv_ca: Curl call for MS CA login failed with return code 6 ({text})"
    found = report(written(error=nginx(55, 5, failed, "warn")))
    assert [(e["outcome"], e["causes"]) for e in found["enrollments"]] == [("failed", ["ca-dns-failure"])]
    assert found["summary"]["verdict"] == "failing"


def test_of_two_workers_side_by_side_the_refusal_is_his_whose_work_is_done(report: Reporter, written: Writer) -> None:
    form = f"navigate_to_certsrv_page: {LOGIN}/certrqxt.asp"
    log = (
        est("TLS: no peer certificate", "est_enroll_auth:356")
        + nginx(55, 2, f"login_to_certsrv_ca: {LOGIN}")
        + est("TLS: no peer certificate", "est_enroll_auth:356")
        + nginx(55, 3, f"login_to_certsrv_ca: {LOGIN}")
        + nginx(56, 2, form)
        + nginx(56, 3, form)
        + est("HTTP authentication failed. Auth type=1", "est_enroll_auth:394", "WARNING")
        + est("Enrollment failed with rc=22 (EST_ERR_AUTH_FAIL)", level="WARNING")
        + access(55, 401)
        + nginx(57, 3, f"navigate_to_certsrv_page: {LOGIN}/certfnsh.asp")
        + nginx(57, 3, f"navigate_to_certsrv_page: {LOGIN}/certnew.cer?ReqID=7&ENC=b64")
        + access(55, -1)
    )
    found = report(written(error=log))
    assert sorted(e["outcome"] for e in found["enrollments"]) == ["failed", "issued"]
    # (CAPF's trace would tell of whom it is.)
    assert rules(found) == ["template-misconfigured", "capf-trace-not-collected"]
    proof = {e["line"]: e["text"] for e in found["findings"][0]["evidence"]}
    assert any("*2 navigate" in text for text in proof.values())
    assert not any("*3 " in text for text in proof.values())


def test_two_phones_at_once_in_the_ca_alone_are_not_made_up(
    report: Reporter, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(sample("healthy")) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("u_ex190116.log")]
        (tmp_path / "u_ex190116.log").write_bytes(archive.read(name))
    found = report(tmp_path / "u_ex190116.log")
    assert found["summary"]["failed"] == 0
    assert rules(found) == []


def test_the_ca_alone_does_not_know_what_capf_was_told(report: Reporter, written: Writer) -> None:
    text = (PUBLISHED / "02-phone-lsc-install" / "u_ex190116.log").read_text(encoding="utf-8")
    (enrollment,) = report(written(u_ex190116=text))["enrollments"]
    assert (enrollment["outcome"], enrollment["est_error"], enrollment["device"]) == ("issued", None, None)


def test_an_answer_that_capf_cannot_use_is_no_success(report: Reporter, written: Writer) -> None:
    text = (PUBLISHED / "02-phone-lsc-install" / "capf00000001.txt").read_text(encoding="utf-8")
    text = text.replace("Return value from enrollCertUsingEST() : 0", "Return value from enrollCertUsingEST() : 1")
    text = text.replace("Online Cert Signing successful", "Online Cert Signing Failed")
    found = report(written(capf=text))
    assert rules(found) == ["capf-answer-unusable"]
    assert found["findings"][0]["confidence"] == "likely"
    assert found["summary"]["verdict"] == "degraded"


def test_a_failure_that_nothing_explains_has_evidence_and_says_what_capf_was_told(
    report: Reporter, written: Writer
) -> None:
    log = (
        est("TLS: no peer certificate", "est_enroll_auth:356")
        + nginx(55, 2, f"login_to_certsrv_ca: {LOGIN}")
        + est("Enrollment failed with rc=69 (EST_ERR_CB_FAILED)", level="WARNING")
        + access(55, 400)
    )
    found = report(written(capf=CALL.format("SEPA") + ANSWER.format("SEPA", "13 (EST_ERR_HTTP_BAD_REQ)"), error=log))
    (finding,) = found["findings"]
    assert finding["rule"] == "enrollment-failed"
    assert "EST_ERR_HTTP_BAD_REQ" in finding["explanation"]
    assert "EST_ERR_CB_FAILED" not in finding["explanation"]
    assert finding["evidence"]


def test_a_start_without_a_time_stands_after_the_one_before_it(report: Reporter, tmp_path: Path) -> None:
    good = (PUBLISHED / "01-ces-startup" / "nginx00000001.txt").read_text(encoding="utf-8")
    bad = (PUBLISHED / "14-dns-resolution" / "nginx00000001.txt").read_text(encoding="utf-8")
    stamped = (PUBLISHED / "01-ces-startup" / "error.log").read_text(encoding="utf-8")
    (tmp_path / "error.log").write_text(stamped, encoding="utf-8")
    (tmp_path / "nginx00000001.txt").write_text(good + bad, encoding="utf-8")
    found = report(tmp_path)
    assert found["summary"]["verdict"] == "failing"
    assert [f["resolved"] for f in found["findings"]] == [False]
    (tmp_path / "nginx00000001.txt").write_text(bad + good, encoding="utf-8")
    found = report(tmp_path)
    assert found["summary"]["verdict"] == "degraded"
    assert [f["resolved"] for f in found["findings"]] == [True]


def test_the_same_file_twice_is_told_once(report: Reporter, tmp_path: Path) -> None:
    text = CALL.format("SEPA") + ANSWER.format("SEPA", "35 (EST_ERR_SSL_READ)")
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
    (tmp_path / "monday" / "capf00000001.txt").write_text(text, encoding="utf-8")
    (tmp_path / "tuesday" / "capf00000001.txt.gz").write_bytes(gzip.compress(text.encode()))
    found = report(tmp_path)
    assert len(found["enrollments"]) == 1
    (twin,) = [m for m in found["bundle"]["members"] if m["status"] == "skipped"]
    assert "monday/capf00000001.txt" in twin["reason"]


def test_two_starts_with_the_same_lines_are_two(report: Reporter, tmp_path: Path) -> None:
    bad = (PUBLISHED / "14-dns-resolution" / "nginx00000001.txt").read_bytes()
    for number in (1, 2):
        (tmp_path / f"nginx0000000{number}.txt").write_bytes(bad)
    found = report(tmp_path)
    assert found["findings"][0]["occurrences"] == 2


def test_two_collections_keep_their_own_days(report: Reporter) -> None:
    samples = [ROOT / "samples" / f"{name}.zip" for name in ("template-misconfigured", "ca-dns-failure")]
    found = report(*samples)
    days = {e["started"][:10] for e in found["enrollments"]}
    assert days == {"2019-01-16"}
    assert "ces-no-answer" not in rules(found)


def test_line_ends_of_a_carriage_return_alone_are_line_ends(report: Reporter, tmp_path: Path) -> None:
    text = (PUBLISHED / "03-ces-error-as-capf-sees-it" / "capf00000001.txt").read_bytes()
    (tmp_path / "capf.txt").write_bytes(text.replace(b"\n", b"\r"))
    found = report(tmp_path / "capf.txt")
    assert found["bundle"]["members"][0]["lines"] == text.count(b"\n")
    assert rules(found) == ["ces-no-answer"]


def test_httpsys_errors_belong_to_the_phone_whose_request_they_broke(report: Reporter, written: Writer) -> None:
    capf = CALL.format("SEPA") + ANSWER.format("SEPA", "35 (EST_ERR_SSL_READ)")
    ok = (PUBLISHED / "02-phone-lsc-install" / "u_ex190116.log").read_text(encoding="utf-8")
    good = (PUBLISHED / "02-phone-lsc-install" / "capf00000001.txt").read_text(encoding="utf-8")
    httperr = (
        "#Software: Microsoft HTTP API 2.0\n#Version: 1.0\n#Date: 2019-01-16 12:37:00\n"
        "#Fields: date time c-ip c-port s-ip s-port cs-version cs-method cs-uri sc-status s-siteid s-reason "
        "s-queuename\n"
        "2019-01-16 12:37:53 14.48.31.125 40000 14.48.31.152 443 HTTP/1.1 GET /certsrv 503 1 AppOffline Pool\n"
    )
    found = report(written(capf=capf + good, u_ex190116=ok, httperr1=httperr))
    phone = next(e for e in found["enrollments"] if e["device"] == "SEPA")
    assert [r["source"] for r in phone["records"] if r["source"] == "httperr"] == ["httperr"]


def test_what_is_read_out_of_a_log_cannot_become_a_command(report: Reporter, written: Writer) -> None:
    url = "https://lab;rm$(reboot)`id`/certsrv"
    log = (
        "nginx: [warn] login_to_certsrv_ca: Curl call for MS CA login failed with return code 60 "
        "(SSL certificate problem: unable to get local issuer certificate)\n"
        f"nginx: [warn] login_to_certsrv_ca: URL used: {url}\n"
    )
    found = report(written(nginx1=log))
    for finding in found["findings"]:
        for text in (*finding["remedy"], *finding["verify"]):
            assert "reboot" not in text
            assert "`id`" not in text
