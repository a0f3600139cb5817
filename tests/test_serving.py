"""Which line of error.log waits for which: small logs as libEST and NGINX write them, line by line.

Each line of a scene says of which piece it is (by a letter; ``-``: of none), and, where it matters, of how many pieces
it might have been.
"""

from __future__ import annotations

from itertools import count as counting
from typing import NamedTuple

import numpy as np
import pytest

from capflog import serving
from capflog.serving import LINE, serve

PEER, PORT, LENGTH, URI, PATH, CERT = LINE.peer, LINE.port, LINE.length, LINE.uri, LINE.path, LINE.cert
CHALLENGE, RECORD, CMC, MESSAGE = LINE.challenge, LINE.record, LINE.cmc, LINE.message
UNAUTHORIZED, FAILED, PAGE, RESPONSE, REFUSED = LINE.unauthorized, LINE.failed, LINE.page, LINE.response, LINE.refused
RETRY, ACCESS, REFERER, AGENT = LINE.retry, LINE.access, LINE.referer, LINE.agent
BROKEN, SHUTDOWN, START = LINE.broken, LINE.shutdown, LINE.start

#: How a connection ends on which credentials were asked for, and how others do.
ASKING, SERVED = 1, 2

LOGIN, FORM, POST, CERTIFICATE = 2, 3, 4, 5


class Row(NamedTuple):
    """A line and the piece that it is of; ``key``: NGINX's connection, ``at``: the ms of the clock so far."""

    of: str
    line: int
    key: int = -1
    work: int = 0
    client: int = -1
    status: int = 0
    ending: int = 0
    at: int = 0
    choices: int | None = None


class Found(NamedTuple):
    """Of each line the piece, by letters in the order of first sight, and the number of choices; of each piece ..."""

    piece: str
    choices: list[int]
    key: dict[str, int]
    tails: str


def found(*rows: Row) -> Found:
    """Serve the lines, and name the pieces by the letters of the lines that they begin with."""
    last = [
        row.key >= 0 and row.work != 0 and all(row.key != later.key for later in rows[n + 1 :])
        for n, row in enumerate(rows)
    ]
    columns = [[getattr(row, name) for row in rows] for name in ("line", "key", "work")]
    columns.append([int(value) for value in last])
    columns += [[getattr(row, name) for row in rows] for name in ("client", "status", "ending", "at")]
    # (No line bears a time of its own; each is from then.)
    columns += [[-1] * len(rows), [row.at for row in rows]]
    piece, choices, key, tail = serve(*(np.array(column, dtype=np.int64) for column in columns))
    names: dict[int, str] = {-1: "-"}
    spare = (f"({n})" for n in counting(1))
    for number, row in zip(piece.tolist(), rows, strict=True):
        if number not in names:
            names[number] = next(spare) if row.of in names.values() else row.of
    return Found(
        "".join(names[number] for number in piece.tolist()),
        choices.tolist(),
        {names[n]: int(value) for n, value in enumerate(key.tolist())},
        "".join(sorted(names[n] for n in np.flatnonzero(tail).tolist())),
    )


def check(*rows: Row) -> Found:
    """Check that each line is put to the piece that it says, and that there were as many choices as it says."""
    given = found(*rows)
    assert given.piece == "".join(row.of for row in rows)
    for row, choices in zip(rows, given.choices, strict=True):
        assert row.choices is None or choices == row.choices, row
    return given


def head(of: str, client: int = 7, at: int = 0) -> list[Row]:
    return [
        Row(of, line, client=client if line == PEER else -1, at=at) for line in (PEER, PORT, LENGTH, URI, PATH, CERT)
    ]


def accessed(of: str, status: int = -1, at: int = 0, choices: int | None = None) -> list[Row]:
    return [
        Row(of, ACCESS, status=status, client=7, at=at, choices=choices),
        Row(of, REFERER, at=at),
        Row(of, AGENT, at=at),
    ]


def challenged(of: str, at: int = 0) -> list[Row]:
    return [
        *head(of, at=at),
        Row(of, CHALLENGE, at=at),
        *accessed(of, 401, at=at),
        Row(of, SHUTDOWN, ending=ASKING, at=at),
    ]


def worked(of: str, key: int, at: int = 0, *steps: int) -> list[Row]:
    return [Row(of, RECORD, key=key, work=step, at=at) for step in (1, *(steps or (LOGIN, FORM)))]


def refused(of: str, at: int = 0) -> list[Row]:
    lines = (UNAUTHORIZED, FAILED, PAGE, RESPONSE, REFUSED)
    return [
        *(Row(of, line, at=at) for line in lines),
        *accessed(of, 401, at=at),
        Row(of, SHUTDOWN, ending=SERVED, at=at),
    ]


# ---- one after the other -------------------------------------------------------------------------------------------


def test_a_request_is_a_challenge_then_work_then_a_tail() -> None:
    issued = [*accessed("t", 200), Row("t", SHUTDOWN, ending=SERVED)]
    rows = [
        *challenged("a"),
        *head("b"),
        *worked("b", 0),
        Row("b", CMC),
        *worked("b", 0, 0, LOGIN, POST, CERTIFICATE),
        *issued,
    ]
    given = check(*rows)
    assert given.tails == "t"
    assert given.key == {"a": -1, "b": 0, "t": -1}
    assert max(given.choices) <= 1


def test_what_refuses_a_request_is_a_tail_from_its_first_line_on() -> None:
    given = check(*head("a"), *worked("a", 0), *refused("t"), *challenged("b"))
    assert given.tails == "t"


@pytest.mark.parametrize("first", [UNAUTHORIZED, FAILED, RETRY, PAGE, RESPONSE, REFUSED, ACCESS, SHUTDOWN])
def test_whatever_a_tail_begins_with_it_is_one(first: int) -> None:
    given = check(*head("a"), *worked("a", 0), Row("t", first, status=200, ending=SERVED))
    assert given.tails == "t"


def test_what_comes_before_any_request_is_of_none() -> None:
    """The lines before the first one that is kept: the end of a word of headers, libEST's other messages."""
    check(Row("-", MESSAGE), *challenged("a"))
    check(Row("-", REFERER), Row("-", AGENT), Row("-", BROKEN), *challenged("a"))


def test_a_log_that_begins_in_a_request_has_a_piece_of_the_rest_of_it() -> None:
    for begin in range(1, 5):
        rows = challenged("a")[begin:]
        assert check(*rows).tails == ""
    given = check(*worked("a", 0, 0, POST, CERTIFICATE), *accessed("t", 200))
    assert (given.tails, given.key["a"]) == ("t", 0)


def test_another_message_is_of_what_the_line_before_it_is_of() -> None:
    check(
        *head("a")[:3], Row("a", MESSAGE), *head("a")[3:], Row("a", CHALLENGE), Row("a", MESSAGE), *accessed("a", 401)
    )


# ---- two workers ---------------------------------------------------------------------------------------------------


def test_a_block_that_anothers_line_breaks_goes_on_where_it_was() -> None:
    """Two heads, written at once, each a line at a time: a line goes to the piece that lacks just it."""
    one, two = head("a"), head("b")
    rows = [*one[:4], *two[:2], *one[4:], *two[2:]]
    given = check(*rows)
    assert max(given.choices) <= 1


def test_a_record_of_another_connection_breaks_nothing() -> None:
    given = check(
        *head("a"), *worked("a", 0), *head("b")[:4], *worked("a", 0, 0, LOGIN), *head("b")[4:], Row("b", CHALLENGE)
    )
    assert given.key == {"a": 0, "b": -1}


def test_a_challenge_within_anothers_work_is_a_piece_of_its_own() -> None:
    check(*head("a"), *worked("a", 0), *challenged("b"), *worked("a", 0, 0, POST, CERTIFICATE), *accessed("t", 200))


def test_of_two_heads_without_a_request_the_older_one_is_served_first() -> None:
    """Both have shaken hands: which of them asks first, nothing tells; the one that came first is as good as any."""
    rows = [
        *head("a")[:2],
        *head("b")[:2],
        Row("a", LENGTH, choices=2),
        *head("a")[3:],
        Row("a", CHALLENGE),
        *accessed("a", 401),
        Row("b", LENGTH),
        *head("b")[3:],
    ]
    given = check(*rows)
    # Whoever was left is as unsure as the one that was taken.
    assert given.choices[12] == 2


def test_the_first_record_of_a_connection_follows_on_its_head() -> None:
    given = check(*head("a"), *worked("a", 3, 0, LOGIN), *head("b"), *worked("b", 4, 0, LOGIN))
    assert given.key == {"a": 3, "b": 4}
    assert max(given.choices) == 1


def test_of_two_heads_the_record_is_of_the_one_right_before_it_and_says_that_there_was_a_choice() -> None:
    given = found(*head("a"), *head("b"), Row("b", RECORD, key=3, work=1), Row("a", RECORD, key=4, work=1))
    assert given.piece[12:] == "ba"
    assert given.choices[12] == 2
    assert given.key == {"a": 4, "b": 3}


def test_a_head_that_waits_too_long_is_given_no_record() -> None:
    """CES works at once: a connection that is named a second later, or fifty lines, is another's."""
    given = found(*head("a"), Row("b", RECORD, key=3, work=1, at=0))
    assert given.piece[-1] == "a"
    late = [*head("a"), *challenged("b", at=2_000), Row("c", RECORD, key=3, work=1, at=2_000)]
    assert found(*late).key == {"a": -1, "b": -1, "c": 3}
    far = [*head("a"), *(row for n in range(6) for row in challenged("bcdefg"[n])), Row("h", RECORD, key=3, work=1)]
    assert found(*far).key["h"] == 3
    near = [*head("a"), *challenged("b"), Row("a", RECORD, key=3, work=1)]
    assert found(*near).key == {"a": 3, "b": -1}


def test_what_libest_says_of_a_csr_is_of_whom_the_next_record_is_of() -> None:
    """CES logs in a second time right after it."""
    form = [*head("a"), *worked("a", 0), *head("b"), *worked("b", 1)]
    again = Row("b", RECORD, key=1, work=LOGIN)
    given = check(*form, Row("b", CMC), again, Row("a", CMC), Row("a", RECORD, key=0, work=LOGIN))
    assert max(given.choices) <= 1


def test_what_libest_says_of_a_csr_is_else_of_whom_had_the_form_first() -> None:
    form = [*head("a"), *worked("a", 0), *head("b"), *worked("b", 1)]
    challenge = challenged("c")
    later = [Row("b", RECORD, key=1, work=LOGIN), Row("a", RECORD, key=0, work=LOGIN)]
    check(*form, Row("a", CMC, choices=2), *challenge, *later)


def test_without_records_what_libest_says_of_a_csr_is_of_the_oldest_head() -> None:
    check(*head("a"), *head("b"), Row("a", CMC, choices=2), Row("b", CMC))


# ---- ends ----------------------------------------------------------------------------------------------------------


def test_of_two_that_were_asked_at_the_same_time_the_older_one_is_answered_first_and_neither_is_sure() -> None:
    rows = [
        *head("a"),
        Row("a", CHALLENGE),
        *head("b"),
        Row("b", CHALLENGE),
        *accessed("a", 401, choices=2),
        *accessed("b", 401, choices=2),
        Row("a", SHUTDOWN, ending=ASKING, choices=2),
        Row("b", SHUTDOWN, ending=ASKING, choices=2),
    ]
    check(*rows)


def test_an_access_record_of_another_status_ends_no_challenge() -> None:
    given = check(*head("a"), Row("a", CHALLENGE), Row("t", ACCESS, status=200, client=7), *accessed("a", 401))
    assert given.tails == "t"


def test_an_access_record_of_another_client_ends_no_challenge() -> None:
    rows = [*head("a"), Row("a", CHALLENGE), *head("b", client=8), Row("b", CHALLENGE), *head("c"), Row("c", CHALLENGE)]
    given = found(*rows, *worked("d", 0), Row("b", ACCESS, status=401, client=8))
    assert given.piece[-1] == "b"
    assert given.choices[-1] == 1


def test_a_challenge_that_lost_its_access_record_waits_no_more() -> None:
    """Two seconds later it takes none from the one that was just asked."""
    rows = [*head("a"), Row("a", CHALLENGE), *challenged("b", at=3_000)]
    given = check(*rows)
    assert given.choices[len(rows) - 4] == 1


def test_the_end_of_a_connection_is_as_that_of_its_kind() -> None:
    """One that asked for credentials and one that was served were both just answered: what is said tells them apart."""
    served = [*accessed("t", 200)]
    asked = [*head("b"), Row("b", CHALLENGE), *accessed("b", 401)]
    ends = [Row("b", SHUTDOWN, ending=ASKING, choices=1), Row("t", SHUTDOWN, ending=SERVED, choices=1)]
    check(*head("a"), *worked("a", 0), *served, *asked, *ends)
    check(*head("a"), *worked("a", 0), *served, *asked, *ends[::-1])


def test_where_nothing_tells_how_connections_end_the_older_answer_ends_first() -> None:
    served = [*accessed("t", 200)]
    asked = [*head("b"), Row("b", CHALLENGE), *accessed("b", 401)]
    check(*head("a"), *worked("a", 0), *served, *asked, Row("t", SHUTDOWN, choices=2), Row("b", SHUTDOWN))


def test_an_answer_that_lost_its_end_waits_no_more() -> None:
    """What ends seconds later is another's end, though that was answered later."""
    lost = [*head("a"), *worked("a", 0), *accessed("t", 200)]
    later = [*accessed("u", 200, at=9_000), Row("u", SHUTDOWN, ending=SERVED, at=9_000, choices=1)]
    check(*lost, *head("b", at=9_000), *worked("b", 1, 9_000), *later)


def test_an_end_that_comes_late_is_of_what_was_answered_before() -> None:
    rows = [
        *head("a"),
        *worked("a", 0),
        *accessed("t", 200),
        *challenged("b", at=5_000),
        Row("t", SHUTDOWN, ending=SERVED, at=5_000),
    ]
    assert check(*rows).choices[-1] == 1


def test_an_end_of_another_kind_is_taken_where_there_is_none_of_its_own() -> None:
    check(*head("a"), Row("a", CHALLENGE), *accessed("a", 401), Row("a", SHUTDOWN, ending=SERVED))


def test_an_answer_without_its_access_record_has_its_end_all_the_same() -> None:
    """The record was lost: that of the refusal that goes before."""
    others = [*challenged("c")]
    lines = [Row("t", UNAUTHORIZED), Row("t", FAILED), Row("t", PAGE), Row("t", RESPONSE), Row("t", REFUSED)]
    check(*others, *head("a"), *worked("a", 0), *lines, Row("t", SHUTDOWN, ending=SERVED))


def test_an_end_that_nothing_waits_for_is_a_piece_of_its_own() -> None:
    given = check(*challenged("a"), Row("t", SHUTDOWN, ending=SERVED))
    assert given.tails == "t"


def test_who_had_gone_ends_at_once() -> None:
    """The connection waited, and its client gave up: libEST finds it closed before any request."""
    gone = [Row("a", BROKEN, choices=1), Row("a", SHUTDOWN, ending=SERVED)]
    given = check(*head("a")[:2], *gone, *challenged("b"))
    assert given.tails == ""


def test_of_two_that_wait_the_older_one_had_gone() -> None:
    rows = [
        *head("a")[:2],
        *head("b")[:2],
        Row("a", BROKEN, choices=2),
        Row("a", SHUTDOWN, ending=SERVED),
        *head("b")[2:],
    ]
    check(*rows)


def test_what_broke_off_ends_at_once_though_another_was_answered_before() -> None:
    answered = [*head("a"), *worked("a", 0), *accessed("t", 200)]
    check(
        *answered,
        *head("b")[:2],
        Row("b", BROKEN),
        Row("b", SHUTDOWN, ending=SERVED, choices=0),
        Row("t", SHUTDOWN, ending=SERVED),
    )


# ---- lines that are lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4, 5, 8, 9, 10])
def test_whichever_line_of_a_challenge_is_lost_the_rest_holds_together(lost: int) -> None:
    rows = challenged("a")
    del rows[lost]
    check(*rows, *head("b"), *worked("b", 0))


def test_headers_without_their_access_record_are_nobodys() -> None:
    """Without it nothing says which answer they are of; the end of the connection is known all the same."""
    end = Row("a", SHUTDOWN, ending=ASKING)
    check(*challenged("c"), *head("a"), Row("a", CHALLENGE), Row("-", REFERER), Row("-", AGENT), end)


def test_an_answer_to_whom_nobody_is_known_to_have_been_asked_is_a_piece_of_its_own() -> None:
    """The line that asks for credentials is lost: 401 may answer any request that was refused."""
    given = check(*head("a"), *accessed("t", 401), Row("t", SHUTDOWN, ending=ASKING), *challenged("b"))
    assert given.tails == "t"


@pytest.mark.parametrize("lost", range(6))
def test_whichever_line_of_a_head_is_lost_its_work_is_known(lost: int) -> None:
    rows = head("a")
    del rows[lost]
    given = check(*challenged("c"), *rows, *worked("a", 0), *challenged("b"))
    assert given.key["a"] == 0


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4, 6, 7, 8])
def test_whichever_line_of_a_refusal_is_lost_the_rest_is_one_tail(lost: int) -> None:
    rows = refused("t")
    del rows[lost]
    given = check(*head("a"), *worked("a", 0), *rows, *challenged("b"))
    assert given.tails == "t"


def test_a_connection_whose_head_is_lost_is_a_piece_of_its_records() -> None:
    given = check(*challenged("b"), *worked("a", 0), *refused("t"))
    assert given.key["a"] == 0


def test_what_was_left_open_long_ago_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a challenge the answer was lost; many lines later another's answer is not taken for it."""
    rows = [*head("a"), Row("a", CHALLENGE), *head("b"), *worked("b", 0, 0, *[LOGIN] * 30)]
    answer = Row("a", ACCESS, status=401, client=7)
    check(*rows, answer)
    monkeypatch.setattr(serving, "_PATIENCE", 20)
    assert check(*rows, answer._replace(of="t")).tails == "t"


def test_a_stale_connection_costs_the_next_one_its_first_two_lines_and_that_is_said() -> None:
    """Whose request it is is known by its head; which of two peers it is, is not."""
    given = found(*head("a")[:2], *challenged("b"), *head("c"), *worked("c", 0))
    assert given.piece == "aa" + "bb" + "a" * 9 + "cc" + "b" * 7
    assert [given.choices[n] for n in (4, 15)] == [2, 2]
    assert given.key == {"a": -1, "b": 0, "c": -1}


def test_so_many_wait_at_once_and_the_oldest_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_OPEN", 3)
    rows = [row for of in "abcd" for row in head(of)[:2]]
    given = found(*rows, *(Row("x", LENGTH) for _ in range(3)))
    assert given.piece == "aabbccddbcd"


# ---- a worker at work -----------------------------------------------------------------------------------------------


def test_a_worker_that_goes_on_after_the_rest_of_its_lines_was_cut_makes_no_new_piece() -> None:
    """Records bear their connection: whatever came between, they are of one piece."""
    rows = [*head("a"), *worked("a", 0), *(row for of in "bcdefgh" for row in challenged(of)), *worked("a", 0, 0, POST)]
    check(*rows)


def test_after_its_last_record_a_connection_waits_for_nothing() -> None:
    """The answer is a tail, whose work is found elsewhere: a refusal may be of any that is done."""
    rows = [*head("a"), *worked("a", 0), *head("b"), *worked("b", 1), *refused("t"), *refused("u")]
    given = check(*rows)
    assert given.tails == "tu"


# ---- what is not logged ---------------------------------------------------------------------------------------------


def test_where_no_access_is_logged_a_challenge_ends_with_its_connection() -> None:
    rows = [*head("a"), Row("a", CHALLENGE), Row("a", SHUTDOWN, ending=ASKING, choices=1)]
    refusal = [Row("t", UNAUTHORIZED), Row("t", FAILED), Row("t", RESPONSE), Row("t", REFUSED)]
    check(*rows, *head("b"), *worked("b", 0), *refusal, Row("t", SHUTDOWN, ending=SERVED, choices=1))


def test_where_no_access_is_logged_the_end_of_one_that_was_served_is_no_challenges() -> None:
    """What CES issued says nothing of it: the end alone is the tail."""
    asked = [*head("b"), Row("b", CHALLENGE)]
    rows = [*head("a"), *worked("a", 0), *asked, Row("t", SHUTDOWN, ending=SERVED), Row("b", SHUTDOWN, ending=ASKING)]
    given = check(*rows)
    assert given.tails == "t"


def test_where_no_records_are_logged_answers_are_of_heads_in_their_order() -> None:
    """NGINX at level=error: of CES's work there is nothing between head and answer."""
    rows = [*challenged("a"), *head("b"), *refused("t"), *challenged("c"), *head("d"), *refused("u")]
    given = check(*rows)
    assert given.tails == "tu"
    assert given.key == dict.fromkeys("abtcdu", -1)


def test_without_records_a_head_whose_answer_came_waits_for_nothing_more() -> None:
    """Of two heads the older one is answered; the next end of a challenge is then the younger one's own."""
    rows = [*head("a"), *head("b"), *refused("t"), Row("b", CMC, choices=1)]
    check(*rows)


# ---- starts --------------------------------------------------------------------------------------------------------


def test_what_was_under_way_when_ces_starts_gets_no_line_any_more() -> None:
    rows = [*head("a")[:2], Row("-", START), *head("b")[2:], Row("b", CHALLENGE), *accessed("b", 401)]
    check(*rows)
    check(*head("a"), Row("a", CHALLENGE), Row("-", START), Row("t", ACCESS, status=401, client=7))


def test_a_record_that_a_dying_worker_writes_into_a_start_is_its_connections() -> None:
    check(
        *head("a"),
        *worked("a", 0),
        Row("-", START),
        Row("a", RECORD, key=0, work=POST),
        Row("-", START),
        *challenged("b"),
    )
