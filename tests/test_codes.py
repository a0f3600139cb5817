"""The code tables and what `capflog explain` says of them."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from capflog.codes import (
    Explanation,
    capf_name,
    certsrv_name,
    curl_name,
    est_name,
    est_values,
    explain,
    iis_title,
    win32_name,
)

TABLES = ("est_errors", "curl_codes", "capf_ops", "iis_statuses", "win32_codes", "certsrv_codes")

#: How many EST_ERROR values each version of est.h has, counted from 0 (libEST, at the versions' tags and commits).
EST_COUNTS = {"1.0.0": 60, "1.0.1": 61, "1.1.0": 66, "2.0.0": 71, "2.1.0": 74, "3.2.0": 95}

#: Numbers that libcurl gave up (curl.h).
CURL_OBSOLETE = {20, 24, 29, 32, 34, 40, 41, 44, 46, 50, 51, 57, 62, 75, 76}

WORDS = {"name", "means", "here", "next", "rules", "source"}
KEYS = {
    "est_errors": WORDS | {"numbers"},
    "curl_codes": WORDS | {"code", "since", "was"},
    "capf_ops": WORDS | {"code", "also"},
    "win32_codes": WORDS | {"code"},
    "certsrv_codes": WORDS | {"code"},
    "iis_statuses": (WORDS - {"name"}) | {"status", "substatus", "title", "substatuses", "win32", "decided_by_win32"},
}


@cache
def table(name: str) -> dict[str, Any]:
    text = files("capflog.rules.reference").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def rows(name: str) -> list[dict[str, Any]]:
    if name != "iis_statuses":
        return list(table(name)["codes"])
    statuses = table(name)["statuses"]
    return [*statuses, *(sub for status in statuses for sub in status.get("substatuses", ()))]


def titles(query: str) -> list[str]:
    return [explanation.title for explanation in explain(query)]


def line(explanation: Explanation, label: str) -> str:
    """The text of an explanation's line; empty: it has none of that label."""
    return dict(explanation.lines).get(label, "")


def refused(query: str) -> str:
    with pytest.raises(LookupError) as error:
        explain(query)
    assert type(error.value) is LookupError
    return str(error.value)


# The tables


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_is_complete(name: str) -> None:
    assert table(name)["source"]
    known = {rule.name.removesuffix(".yaml") for rule in files("capflog.rules").iterdir()}
    for row in rows(name):
        what = (name, row.get("name", row.get("title")))
        assert set(row) <= KEYS[name], what
        assert row["next"], what
        assert set(row.get("rules", ())) <= known, what
        sentences = [row["means"], row["here"], *row["next"], *row.get("win32", {}).values()]
        for sentence in sentences:
            assert isinstance(sentence, str), what
            assert re.fullmatch(r"\S(?:.*\S)?[.)]", sentence), (what, sentence)
            assert "  " not in sentence, (what, sentence)
            assert sentence.count("(") == sentence.count(")"), (what, sentence)
        assert isinstance(row.get("source", ""), str), what


@pytest.mark.parametrize("name", [name for name in TABLES if name != "iis_statuses"])
def test_names_and_numbers_of_a_table_are_unique(name: str) -> None:
    names = [row["name"] for row in rows(name)]
    assert len(names) == len(set(names)) > 5
    if name != "est_errors":
        codes = [row["code"] for row in rows(name)]
        assert codes == sorted(set(codes))
        assert all(0 <= code <= 0xFFFFFFFF for code in codes)


def test_substatuses_are_unique_and_statuses_have_three_digits() -> None:
    statuses = table("iis_statuses")["statuses"]
    assert len({status["status"] for status in statuses}) == len(statuses)
    for status in statuses:
        assert 100 <= status["status"] <= 599
        numbers = [sub["substatus"] for sub in status.get("substatuses", ())]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(("version", "count"), EST_COUNTS.items())
def test_est_numbers_of_a_version_run_without_a_gap_in_the_order_of_the_table(version: str, count: int) -> None:
    numbers = [row["numbers"][version] for row in rows("est_errors") if version in row["numbers"]]
    assert numbers == list(range(count))


def test_est_versions_are_those_of_the_table() -> None:
    assert list(EST_COUNTS) == table("est_errors")["versions"]
    assert {version for row in rows("est_errors") for version in row["numbers"]} == set(EST_COUNTS)


def test_curl_codes_run_without_a_gap_and_the_obsolete_ones_say_so() -> None:
    codes = {row["code"]: row for row in rows("curl_codes")}
    assert sorted(codes) == list(range(102))
    assert {code for code, row in codes.items() if row["name"].startswith("CURLE_OBSOLETE")} == CURL_OBSOLETE
    for code in CURL_OBSOLETE:
        assert codes[code]["name"] == f"CURLE_OBSOLETE{code}"
        assert codes[code]["was"], code


def test_versions_of_curl_names_are_versions_and_go_back_in_time() -> None:
    def parts(version: str) -> list[int]:
        assert re.fullmatch(r"\d\.(?:\d+\.\d+|x)", version), version
        return [int(part) for part in version.replace("x", "999").split(".")]

    for row in rows("curl_codes"):
        was = [parts(earlier["until"]) for earlier in row.get("was", ())]
        assert was == sorted(was, reverse=True), row["name"]
        if was:
            assert parts(row["since"]) >= was[0], row["name"]


def test_windows_codes_lie_where_their_kind_lies() -> None:
    for row in rows("certsrv_codes"):
        assert row["name"].startswith("CERTSRV_E_")
        assert row["code"] >> 4 in {0x8009400, 0x8009401, 0x8009480, 0x8009481}
    for row in rows("win32_codes"):
        if row["name"].startswith("SEC_E_"):
            assert row["code"] >> 8 == 0x800903
        elif row["name"].startswith(("ERROR_", "RPC_S_", "EPT_S_")):
            assert row["code"] < 0x10000


# EST_ERROR names


@pytest.mark.parametrize(
    ("value", "version", "name"),
    [
        (22, "2.2.0", "EST_ERR_AUTH_FAIL"),
        (22, "2.1.0", "EST_ERR_AUTH_FAIL"),
        (22, "3.2.0", "EST_ERR_AUTH_FAIL"),
        (22, None, "EST_ERR_AUTH_FAIL"),
        (18, "1.0.0", "EST_ERR_AUTH_FAIL"),
        (19, "1.1.0", "EST_ERR_AUTH_FAIL"),
        (22, "1.1.0", "EST_ERR_CA_ENROLL_FAIL"),
        (35, "2.2.0", "EST_ERR_SSL_READ"),
        (35, None, "EST_ERR_SSL_READ"),
        (31, "1.0.0", "EST_ERR_SSL_READ"),
        (32, "1.1.0", "EST_ERR_SSL_READ"),
        (10, None, "EST_ERR_HTTP_WRITE"),
        (9, "1.0.0", "EST_ERR_HTTP_WRITE"),
        (13, "2.1.0", "EST_ERR_HTTP_BAD_REQ"),
        (23, "2.1.0", "EST_ERR_AUTH_FAIL_TLSUID"),
        (38, "2.1.0", "EST_ERR_SSL_CONNECT"),
        (43, "2.1.0", "EST_ERR_IP_CONNECT"),
        (53, "2.1.0", "EST_ERR_FQDN_MISMATCH"),
        (54, None, "EST_ERR_SYSCALL"),
        (0, None, "EST_ERR_NONE"),
        (73, "2.1.0", "EST_ERR_UNKNOWN"),
        (94, "3.2.0", "EST_ERR_UNKNOWN"),
        (70, "2.0.0", "EST_ERR_UNKNOWN"),
        (59, "1.0.0", "EST_ERR_UNKNOWN"),
        (56, "2.2.0", "EST_ERR_CSR_ATTR_MISSING"),
        (58, "3.2.0", "EST_ERR_CSR_ATTR_MISSING"),
        (58, "2.1.0", "EST_ERR_CACERT_VERIFICATION"),
    ],
)
def test_est_name_is_read_by_the_version(value: int, version: str | None, name: str) -> None:
    assert est_name(value, version) == name


@pytest.mark.parametrize("value", [55, 56, 58, 70, 73, 81, 94, 95, -1])
def test_est_name_without_a_version_is_silent_where_2_and_3_differ(value: int) -> None:
    assert est_name(value, None) is None


@pytest.mark.parametrize("value", range(55))
def test_est_name_without_a_version_is_what_2_and_3_agree_on(value: int) -> None:
    assert est_name(value, None) == est_name(value, "2.1.0") == est_name(value, "2.2.0") == est_name(value, "3.2.0")
    assert est_name(value, None) is not None


def test_est_name_takes_the_line_that_holds_the_version_and_versions_in_between() -> None:
    assert est_name(56, "libest 2.2.0 (API level 4)") == "EST_ERR_CSR_ATTR_MISSING"
    assert est_name(56, "2.0.5") == est_name(56, "2.0.0")
    assert est_name(19, "1.0.7") == "EST_ERR_AUTH_FAIL"  # as in 1.0.1
    assert est_name(56, "3.0.1") == "EST_ERR_ALREADY_DISABLED"  # older than any 3.x at hand: the oldest of them
    assert est_name(22, "2.1") == "EST_ERR_AUTH_FAIL"


@pytest.mark.parametrize("version", ["", "unknown", "4.0.0", "0.9.1", "2", "\u0662.\u0661.\u0660", "9" * 5000])
def test_est_name_of_a_version_that_nobody_knows_is_read_as_if_there_were_none(version: str) -> None:
    assert est_name(35, version) == "EST_ERR_SSL_READ"
    assert est_name(56, version) is None


def test_est_name_does_not_guess_in_builds_that_number_otherwise() -> None:
    assert est_name(53, "1.1.1") == "EST_ERR_CSR_ATTR_MISSING"
    assert est_name(54, "1.1.1") is None
    assert est_name(72, "2.1.0.brski") == "EST_ERR_INVALID_CLIENT_PROXY_AUTH"
    assert est_name(73, "2.1.0.brski") is None
    assert est_name(73, "2.1.0") == "EST_ERR_UNKNOWN"


def test_est_values_give_the_number_of_a_name_by_version() -> None:
    assert est_values("EST_ERR_AUTH_FAIL") == {
        "1.0.0": 18,
        "1.0.1": 19,
        "1.1.0": 19,
        "2.0.0": 22,
        "2.1.0": 22,
        "3.2.0": 22,
    }
    assert est_values("est_err_http_locked") == {"2.0.0": 16, "2.1.0": 16, "3.2.0": 16}
    assert est_values("EST_ERR_NO_SUCH_THING") == {}


def test_est_values_hands_out_a_copy() -> None:
    est_values("EST_ERR_SSL_READ")["2.1.0"] = 0
    assert est_values("EST_ERR_SSL_READ")["2.1.0"] == 35


# The other names


@pytest.mark.parametrize(
    ("code", "version", "name"),
    [
        (0, None, "CURLE_OK"),
        (6, None, "CURLE_COULDNT_RESOLVE_HOST"),
        (7, None, "CURLE_COULDNT_CONNECT"),
        (22, None, "CURLE_HTTP_RETURNED_ERROR"),
        (28, None, "CURLE_OPERATION_TIMEDOUT"),
        (35, None, "CURLE_SSL_CONNECT_ERROR"),
        (52, None, "CURLE_GOT_NOTHING"),
        (56, None, "CURLE_RECV_ERROR"),
        (77, None, "CURLE_SSL_CACERT_BADFILE"),
        (98, None, "CURLE_SSL_CLIENTCERT"),
        (101, None, "CURLE_ECH_REQUIRED"),
        (51, None, "CURLE_PEER_FAILED_VERIFICATION"),
        (51, "7.61.1", "CURLE_PEER_FAILED_VERIFICATION"),
        (51, "7.62.0", "CURLE_OBSOLETE51"),
        (60, None, "CURLE_PEER_FAILED_VERIFICATION"),
        (60, "7.61.1", "CURLE_SSL_CACERT"),
        (60, "7.62.0", "CURLE_PEER_FAILED_VERIFICATION"),
        (49, "7.29.0", "CURLE_TELNET_OPTION_SYNTAX"),
        (62, "8.14.1", "CURLE_OBSOLETE62"),
    ],
)
def test_curl_names(code: int, version: str | None, name: str) -> None:
    assert curl_name(code, version) == name


def test_capf_names_are_spelt_as_printed() -> None:
    assert capf_name(0) == "CAPF_OP_SUCCESS"
    assert capf_name(6) == "CAPF_OP_FAIL_INVALID_CRENDENTIALS"
    assert capf_name(8) == "CAPF_OP_FAIL_OP_TIMED_OUT"
    assert capf_name(11) == "CAPF_OP_FAIL_LATE_REQUEST"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "ERROR_SUCCESS"),
        (5, "ERROR_ACCESS_DENIED"),
        (64, "ERROR_NETNAME_DELETED"),
        (1236, "ERROR_CONNECTION_ABORTED"),
        (1260, "ERROR_ACCESS_DISABLED_BY_POLICY"),
        (1311, "ERROR_NO_LOGON_SERVERS"),
        (1326, "ERROR_LOGON_FAILURE"),
        (1327, "ERROR_ACCOUNT_RESTRICTION"),
        (1328, "ERROR_INVALID_LOGON_HOURS"),
        (1329, "ERROR_INVALID_WORKSTATION"),
        (1330, "ERROR_PASSWORD_EXPIRED"),
        (1331, "ERROR_ACCOUNT_DISABLED"),
        (1385, "ERROR_LOGON_TYPE_NOT_GRANTED"),
        (1907, "ERROR_PASSWORD_MUST_CHANGE"),
        (1909, "ERROR_ACCOUNT_LOCKED_OUT"),
        (2148074248, "SEC_E_INVALID_TOKEN"),
        (2148074252, "SEC_E_LOGON_DENIED"),
        (2148074254, "SEC_E_NO_CREDENTIALS"),
        (-2146893042, "SEC_E_NO_CREDENTIALS"),
        (2148074257, "SEC_E_NO_AUTHENTICATING_AUTHORITY"),
        (2148074310, "SEC_E_BAD_BINDINGS"),
        (2148204809, "CERT_E_UNTRUSTEDROOT"),
        (0x80070005, "ERROR_ACCESS_DENIED"),
        (0x800706BA, "RPC_S_SERVER_UNAVAILABLE"),
        (0x80094800, "CERTSRV_E_UNSUPPORTED_CERT_TYPE"),
    ],
)
def test_windows_names(code: int, name: str) -> None:
    assert win32_name(code) == name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0x80094001, "CERTSRV_E_BAD_REQUESTSUBJECT"),
        (0x80094011, "CERTSRV_E_ENROLL_DENIED"),
        (0x80094012, "CERTSRV_E_TEMPLATE_DENIED"),
        (0x80094800, "CERTSRV_E_UNSUPPORTED_CERT_TYPE"),
        (0x80094801, "CERTSRV_E_NO_CERT_TYPE"),
        (0x80094802, "CERTSRV_E_TEMPLATE_CONFLICT"),
        (0x80094803, "CERTSRV_E_SUBJECT_ALT_NAME_REQUIRED"),
        (0x80094806, "CERTSRV_E_BAD_RENEWAL_SUBJECT"),
        (0x80094807, "CERTSRV_E_BAD_TEMPLATE_VERSION"),
        (0x80094808, "CERTSRV_E_TEMPLATE_POLICY_REQUIRED"),
        (0x80094809, "CERTSRV_E_SIGNATURE_POLICY_REQUIRED"),
        (0x8009480D, "CERTSRV_E_SUBJECT_UPN_REQUIRED"),
        (0x8009480E, "CERTSRV_E_SUBJECT_DIRECTORY_GUID_REQUIRED"),
        (0x8009480F, "CERTSRV_E_SUBJECT_DNS_REQUIRED"),
        (0x80094811, "CERTSRV_E_KEY_LENGTH"),
        (0x80094812, "CERTSRV_E_SUBJECT_EMAIL_REQUIRED"),
    ],
)
def test_certsrv_names(code: int, name: str) -> None:
    assert certsrv_name(code) == name


def test_numbers_that_nobody_knows_have_no_name() -> None:
    assert curl_name(102) is None
    assert curl_name(-1) is None
    assert capf_name(9) is None
    assert win32_name(99) is None
    assert certsrv_name(5) is None
    assert iis_title(299) is None


def test_iis_titles_fall_back_to_the_status() -> None:
    assert iis_title(401, 1) == "Logon failed"
    assert iis_title(401) == iis_title(401, 99) == "Unauthorized"
    assert iis_title(403, 7) == "Client certificate required"
    assert iis_title(404, 2) == "ISAPI or CGI restriction"
    assert iis_title(500, 19) == "Configuration data is invalid"
    assert iis_title(200, 0) == "OK"


# explain: the forms of a query


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("EST_ERR_AUTH_FAIL", "EST_ERR_AUTH_FAIL (22 in libEST 2.x and 3.x)"),
        ("est:22", "EST_ERR_AUTH_FAIL (22 in libEST 2.x and 3.x)"),
        ("auth_fail", "EST_ERR_AUTH_FAIL (22 in libEST 2.x and 3.x)"),
        ("rv=35", "EST_ERR_SSL_READ (35 in libEST 2.x and 3.x)"),
        ("rc = 10", "EST_ERR_HTTP_WRITE (10 in libEST 2.x and 3.x)"),
        ("EST_ERR_UNKNOWN", "EST_ERR_UNKNOWN (73 in libEST 2.x, 94 in libEST 3.x)"),
        ("est:94", "EST_ERR_UNKNOWN (73 in libEST 2.x, 94 in libEST 3.x)"),
        ("curl:60", "CURLE_PEER_FAILED_VERIFICATION (curl 60)"),
        ("CURLE_SSL_CACERT", "CURLE_PEER_FAILED_VERIFICATION (curl 60)"),
        ("curl:51", "CURLE_PEER_FAILED_VERIFICATION (curl 51, up to 7.61.1)"),
        ("curl:couldnt_resolve_host", "CURLE_COULDNT_RESOLVE_HOST (curl 6)"),
        ("iis:401.1.2148074254", "IIS 401.1 Logon failed, win32 2148074254 SEC_E_NO_CREDENTIALS"),
        ("iis:401.1.0x8009030E", "IIS 401.1 Logon failed, win32 2148074254 SEC_E_NO_CREDENTIALS"),
        ("iis:401.1", "IIS 401.1 Logon failed"),
        ("401.1", "IIS 401.1 Logon failed"),
        ("401 1 2148074254", "IIS 401.1 Logon failed, win32 2148074254 SEC_E_NO_CREDENTIALS"),
        ("401", "IIS 401 Unauthorized"),
        ("win32:2148074254", "SEC_E_NO_CREDENTIALS (win32 2148074254 = 0x8009030E)"),
        ("0x8009030E", "SEC_E_NO_CREDENTIALS (win32 2148074254 = 0x8009030E)"),
        ("-2146893042", "SEC_E_NO_CREDENTIALS (win32 2148074254 = 0x8009030E)"),
        ("SEC_E_NO_CREDENTIALS", "SEC_E_NO_CREDENTIALS (win32 2148074254 = 0x8009030E)"),
        ("1326", "ERROR_LOGON_FAILURE (win32 1326 = 0x52E)"),
        ("0x8007052E", "ERROR_LOGON_FAILURE (win32 1326 = 0x52E)"),
        ("800706ba", "RPC_S_SERVER_UNAVAILABLE (win32 1722 = 0x6BA)"),
        ("80004005", "E_FAIL (win32 2147500037 = 0x80004005)"),
        ("capf:7", "CAPF_OP_FAIL_PHONE_COMM_ERROR (CAPF 7)"),
        ("CAPF_OP_FAIL_OP_TIMED_OUT", "CAPF_OP_FAIL_OP_TIMED_OUT (CAPF 8)"),
        ("0x80094800", "CERTSRV_E_UNSUPPORTED_CERT_TYPE (0x80094800 = 2148091904)"),
        ("2148091904", "CERTSRV_E_UNSUPPORTED_CERT_TYPE (0x80094800 = 2148091904)"),
        ("certsrv:80094012", "CERTSRV_E_TEMPLATE_DENIED (0x80094012 = 2148089874)"),
    ],
)
@pytest.mark.parametrize("change", [str, str.lower, str.upper, lambda query: f"  {query}\n"])
def test_a_query_finds_its_code_in_any_case(query: str, title: str, change: Any) -> None:
    assert titles(change(query)) == [title]


def test_a_bare_number_is_given_every_reading_est_first() -> None:
    assert titles("22") == ["EST_ERR_AUTH_FAIL (22 in libEST 2.x and 3.x)", "CURLE_HTTP_RETURNED_ERROR (curl 22)"]
    assert titles("5") == [
        "EST_ERR_INVALID_PARAMETERS (5 in libEST 2.x and 3.x)",
        "CURLE_COULDNT_RESOLVE_PROXY (curl 5)",
        "CAPF_OP_FAIL_INVALID_MIC (CAPF 5)",
        "ERROR_ACCESS_DENIED (win32 5 = 0x5)",
    ]
    assert titles("56") == [
        "EST_ERR_CSR_ATTR_MISSING (56 in libEST 2.x, 58 in libEST 3.x)",
        "EST_ERR_ALREADY_DISABLED (56 in libEST 3.x)",
        "CURLE_RECV_ERROR (curl 56)",
    ]


def test_a_prefix_chooses_one_reading() -> None:
    assert titles("curl:22") == ["CURLE_HTTP_RETURNED_ERROR (curl 22)"]
    assert titles("win32:5") == ["ERROR_ACCESS_DENIED (win32 5 = 0x5)"]


def test_a_name_with_two_numbers_is_given_both() -> None:
    assert titles("CURLE_PEER_FAILED_VERIFICATION") == [
        "CURLE_PEER_FAILED_VERIFICATION (curl 51, up to 7.61.1)",
        "CURLE_PEER_FAILED_VERIFICATION (curl 60)",
    ]


def test_both_spellings_of_a_capf_result_are_found_and_shown() -> None:
    printed, meant = explain("CAPF_OP_FAIL_INVALID_CRENDENTIALS"), explain("CAPF_OP_FAIL_INVALID_CREDENTIALS")
    assert printed == meant
    assert printed[0].title == "CAPF_OP_FAIL_INVALID_CRENDENTIALS (CAPF 6)"
    assert "CAPF_OP_FAIL_INVALID_CREDENTIALS" in line(printed[0], "Spelling")


# explain: what it says


def test_a_number_that_depends_on_the_version_says_so() -> None:
    auth = explain("est:22")[0]
    assert line(auth, "Versions") == (
        "22 in libEST 2.0.0, 2.1.0 and 3.2.0; 19 in libEST 1.0.1 and 1.1.0; 18 in libEST 1.0.0."
    )
    assert line(auth, "Other versions") == (
        "22 is EST_ERR_CA_ENROLL_RETRY in libEST 1.0.0, EST_ERR_CA_ENROLL_FAIL in libEST 1.0.1 and 1.1.0."
    )
    assert "tells the version" in line(explain("est:56")[0], "Versions")
    assert "tells the version" not in line(auth, "Versions")
    assert not line(explain("EST_ERR_AUTH_FAIL")[0], "Other versions")
    assert not line(explain("est:0")[0], "Other versions")


def test_curl_names_that_changed_say_when() -> None:
    assert line(explain("curl:60")[0], "Versions") == (
        "CURLE_PEER_FAILED_VERIFICATION since 7.62.0; CURLE_SSL_CACERT up to 7.61.1."
    )
    assert "not returned any more since 7.62.0" in line(explain("curl:51")[0], "Versions")
    assert line(explain("curl:94")[0], "Versions") == "CURLE_AUTH_ERROR since 7.66.0."
    assert not line(explain("curl:6")[0], "Versions")


@pytest.mark.parametrize(
    ("query", "rules"),
    [
        ("curl:6", {"ca-dns-failure", "ca-dns-server-failed", "ca-dns-timeout", "ca-url-malformed"}),
        ("curl:51", {"ca-hostname-mismatch"}),
        (
            "curl:60",
            {
                "ca-chain-untrusted",
                "ca-self-signed",
                "ca-hostname-mismatch",
                "ca-cert-not-yet-valid",
                "ca-cert-expired",
                "ca-cert-revoked",
                "ca-crl-unusable",
                "ca-cert-wrong-purpose",
                "ca-cert-weak",
                "ca-chain-too-long",
                "ca-issuer-invalid",
                "ca-name-constraint",
                "ca-cert-unsupported",
            },
        ),
        (
            "curl:28",
            {
                "ca-dns-timeout",
                "ca-connect-timeout",
                "ca-tls-timeout",
                "ces-auth-timeout",
                "ces-enroll-timeout",
                "ces-timeout-configurable",
            },
        ),
        (
            "est:35",
            {
                "ces-no-answer",
                "ces-overloaded",
                "ces-auth-timeout",
                "ces-enroll-timeout",
                "ces-connection-broke",
                "ces-worker-died",
            },
        ),
        ("curl:7", {"ca-connection-refused", "ca-no-route", "ca-connect-timeout"}),
        ("curl:23", set()),
    ],
)
def test_an_explanation_points_to_the_rules_that_know_more(query: str, rules: set[str]) -> None:
    assert {rule for rule in line(explain(query)[0], "Rules").split(", ") if rule} == rules


def test_the_first_leg_of_ntlm_is_told_from_a_refused_login() -> None:
    first, refusal = explain("iis:401.1.2148074254")[0], explain("iis:401.1.2148074252")[0]
    assert "harmless" in line(first, "Here")
    assert first.next[0].startswith("Nothing")
    assert "harmless" not in line(refusal, "Here")
    assert "Password" in " ".join(refusal.next)


def test_a_substatus_keeps_its_advice_whatever_the_win32_status() -> None:
    assert explain("iis:403.7.64")[0].next == explain("iis:403.7")[0].next
    assert line(explain("iis:401.2.5")[0], "Here") == line(explain("iis:401.2")[0], "Here")
    together = explain("iis:404.0.64")[0]
    assert set(together.next) == {*explain("iis:404.0")[0].next, *explain("win32:64")[0].next}


def test_what_capflog_does_not_know_beside_a_status_is_named() -> None:
    assert "99 is not one that capflog knows" in line(explain("iis:401.99")[0], "Substatus")
    assert titles("iis:401.1.77") == ["IIS 401.1 Logon failed, win32 77"]
    assert "77 is not one that capflog knows" in line(explain("iis:401.1.77")[0], "win32")
    assert not line(explain("iis:401.1")[0], "Substatus")
    assert not line(explain("iis:200.0")[0], "Substatus")


def test_a_status_alone_lists_its_substatuses() -> None:
    assert "401.1 Logon failed" in line(explain("iis:401")[0], "Substatuses")
    assert not line(explain("iis:301")[0], "Substatuses")


def test_the_advice_of_a_code_can_be_followed() -> None:
    """Whatever an explanation tells to explain, is explained."""
    told = {
        query
        for name in TABLES
        for row in rows(name)
        for text in (row["here"], *row["next"])
        for query in re.findall(r"\b(?:curl|iis|win32|capf|est):[\w.]*\w|\b0x[0-9A-F]{8}\b|\b8\w{7}\b(?= is)", text)
    }
    assert len(told) >= 5
    for query in told:
        assert explain(query)


def everything() -> list[str]:
    queries = [row["name"] for name in TABLES if name != "iis_statuses" for row in rows(name)]
    queries += [earlier["name"] for row in rows("curl_codes") for earlier in row.get("was", ())]
    queries += [f"est:{number}" for number in range(95)]
    kinds = {"curl_codes": "curl", "capf_ops": "capf", "win32_codes": "win32", "certsrv_codes": "certsrv"}
    queries += [f"{kind}:{row['code']}" for name, kind in kinds.items() for row in rows(name)]
    queries += [f"0x{row['code']:08x}" for name in ("win32_codes", "certsrv_codes") for row in rows(name)]
    for status in table("iis_statuses")["statuses"]:
        queries.append(f"iis:{status['status']}")
        queries += [f"iis:{status['status']}.0.{win32}" for win32 in status.get("win32", ())]
        for sub in status.get("substatuses", ()):
            queries.append(f"iis:{status['status']}.{sub['substatus']}")
            queries += [f"iis:{status['status']}.{sub['substatus']}.{win32}" for win32 in sub.get("win32", ())]
    return queries


def test_everything_in_the_tables_can_be_explained() -> None:
    queries = everything()
    assert len(queries) > 700
    for query in queries:
        found = explain(query)
        assert found, query
        for explanation in found:
            labels = [label for label, _ in explanation.lines]
            assert labels[:2] == ["Means", "Here"], query
            assert labels[-1] == "Source", query
            assert len(labels) == len(set(labels)), query
            assert explanation.next, query
            for text in (explanation.title, *(text for _, text in explanation.lines), *explanation.next):
                assert text.isprintable(), (query, text)
                assert text.strip() == text, (query, text)
                assert text, query


def test_an_explanation_can_be_changed_without_changing_the_next_one() -> None:
    first = explain("curl:6")[0]
    first.next.clear()
    first.lines.clear()
    assert explain("curl:6")[0].next
    assert explain("curl:6")[0].lines


# explain: what it does not know


@pytest.mark.parametrize(
    ("query", "offer"),
    [
        ("EST_ERR_AUTH_FIAL", "EST_ERR_AUTH_FAIL"),
        ("AUTH_FIAL", "EST_ERR_AUTH_FAIL"),
        ("est_err_sslread", "EST_ERR_SSL_READ"),
        ("CURLE_COULD_NOT_RESOLVE_HOST", "CURLE_COULDNT_RESOLVE_HOST"),
        ("curl:SSL_CACERTT", "CURLE_SSL_CACERT"),
        ("CURLE_FTP_WRITE_ERR", "CURLE_FTP_WRITE_ERROR"),
        ("CAPF_OP_FAIL_TIMED_OUT", "CAPF_OP_FAIL_OP_TIMED_OUT"),
        ("SEC_E_NO_CREDENTIAL", "SEC_E_NO_CREDENTIALS"),
        ("CERTSRV_UNSUPPORTED_CERT_TYPE", "CERTSRV_E_UNSUPPORTED_CERT_TYPE"),
    ],
)
def test_a_name_that_nobody_knows_is_offered_the_nearest(query: str, offer: str) -> None:
    message = refused(query)
    assert repr(query) in message
    assert message.index("did you mean") < message.index(offer)


def test_the_offer_keeps_to_the_kind_that_was_asked_for() -> None:
    assert "CURLE_SSL_CONNECT_ERROR" in refused("SSL_CONNECT_ERRORR")
    assert "EST_ERR" not in refused("curl:SSL_CONNECT_ERRORR")
    assert "CURLE" not in refused("est:SSL_CONNECTED")
    assert "EST_ERR_SSL_CONNECT" in refused("est:SSL_CONNECTED")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("est:95", "EST_ERROR values run from 0 to 94"),
        ("curl:200", "CURLcodes run from 0 to 101"),
        ("capf:9", "0, 1, 2, 3, 4, 5, 6, 7, 8 and 11"),
        ("iis:418", "200, 301, 302"),
        ("win32:99", "1326"),
        ("certsrv:0x80090000", "0x80094800"),
        ("0x16", "iis:401.1"),
        ("99999", "curl:60"),
        ("curl:0x16", "CURLcodes run from 0 to 101"),
        ("est:-22", "EST_ERROR values run from 0 to 94"),
        ("1.0.0", "curl:60"),
        ("iis:401.1.5.5", "iis:401.1"),
        ("", "curl:60"),
        ("zzzz", "curl:60"),
        ("crul:60", "did you mean curl:?"),
        ("libest:22", "est, curl, capf, iis, win32 and certsrv"),
        ("\u0662\u0662", "curl:60"),
        ("9" * 5000, "curl:60"),
        ("x" * 100_000, "curl:60"),
    ],
)
def test_a_code_that_nobody_knows_says_what_is_known(query: str, says: str) -> None:
    assert says in refused(query)


@pytest.mark.parametrize("query", ["a\nb", "curl:\x1b[31m", "EST_ERR_AUTH\u2028FAIL", "\ud800", "x" * 5000, "a\x00:b"])
def test_a_refusal_is_one_short_line_without_control_characters(query: str) -> None:
    message = refused(query)
    assert message.isprintable()
    assert len(message) < 400


KINDS = st.sampled_from(["", "est:", "curl:", "iis:", "win32:", "capf:", "certsrv:", "rv=", "IIS: ", ":", "x:"])
PARTS = st.one_of(
    st.integers(-(2**40), 2**40).map(str),
    st.integers(-5, 110).map(str),
    st.integers(0, 2**33).map(hex),
    st.sampled_from(["401", ".1", " ", ".", "2148074254", "EST_ERR_", "AUTH_FAIL", "CURLE_", "8009030e", "-", "0x"]),
    st.text(max_size=5),
)
steady = settings(derandomize=True, database=None, deadline=None, max_examples=100)


def one_answer(query: str) -> None:
    refusal: LookupError | None = None
    found: list[Explanation] = []
    try:
        found = explain(query)
    except LookupError as error:
        refusal = error
    assert (refusal is None) == bool(found)
    assert type(refusal) in {type(None), LookupError}
    assert str(refusal).isprintable()


@steady
@given(st.text(max_size=60))
def test_any_text_is_explained_or_refused(query: str) -> None:
    one_answer(query)


@steady
@given(KINDS, st.lists(PARTS, max_size=4))
def test_anything_like_a_code_is_explained_or_refused(kind: str, parts: list[str]) -> None:
    one_answer(kind + "".join(parts))


@steady
@given(st.integers(), st.one_of(st.none(), st.text(max_size=12), st.from_regex(r"[0-4]\.[0-9]{1,3}(\.[0-9]{1,6})?")))
def test_est_name_takes_any_number_and_any_version(value: int, version: str | None) -> None:
    name = est_name(value, version)
    assert name is None or value in est_values(name).values()


@steady
@given(st.integers())
def test_names_take_any_number(value: int) -> None:
    for name in (curl_name(value), capf_name(value), win32_name(value), certsrv_name(value), iis_title(value, value)):
        assert name is None or name


def test_the_tables_are_not_read_before_somebody_asks() -> None:
    code = "import sys, capflog.codes; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
