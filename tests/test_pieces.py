"""error.log cut into pieces: each line of a scene says of which piece it is, and lines of one piece are together."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from capflog.attempts import find_attempts, unroll
from capflog.clocks import align
from capflog.pieces import Pieces, cut, row_sureness
from capflog.reading import read_stored
from capflog.serving import LINE
from capflog.starts import find_starts
from capflog.steps import Columns
from tests.scenes import (
    NODE,
    NOT_ALLOWED,
    Held,
    Line,
    Lines,
    at,
    ces_starts,
    challenged,
    connects,
    est,
    exchange,
    held,
    noted,
    seconds,
    serves,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

CALL = at("14:36:10.118")
MS = timedelta(milliseconds=1)

#: The lines of a second connection behind its head: as many records, and what libEST says between them.
HEAD, WORK = 4, 8

SERVED = "[WARNING][est_server_handle_request:1716]--> SSL_shutdown failed"
ASKED = "[INFO][est_server_handle_request:1712]--> Two-phase SSL_shutdown initiated"


def cut_of(*members: Held) -> tuple[Pieces, list[tuple[str, int]]]:
    """Cut the logs; give, too, in which member and on which line each row stands."""
    reading = read_stored(members)
    table = reading.table
    trace = unroll(table)
    attempts, starts = find_attempts(table, trace), find_starts(table)
    align(table, trace, attempts, starts, reading.dated)
    of_starts = np.unique(np.array([row for start in starts for row in start.rows], dtype=np.int64))
    pieces = cut(Columns(table), of_starts)
    return pieces, [(table.member_of(row), int(table.line[row])) for row in pieces.rows.tolist()]


def check(*members: Held) -> tuple[Pieces, dict[str, int]]:
    """Check that lines are together that say so, and no others; give the number of each piece by its name."""
    pieces, places = cut_of(*members)
    names = {member.name: member.owners for member in members}
    truth = [names[member][line - 1] for member, line in places]
    number: dict[str, int] = {}
    for name, piece in zip(truth, pieces.piece.tolist(), strict=True):
        assert name is not None
        assert number.setdefault(name, piece) == piece, name
    assert len(set(number.values())) == len(number) == len(pieces.key)
    told = {(name, line) for name, owners in names.items() for line, of in enumerate(owners, start=1) if of is not None}
    assert set(places) == told
    return pieces, number


def named(lines: Lines, name: str | None) -> Lines:
    return [Line(line.at, line.text, name) for line in lines]


def work(when: datetime, name: str, **more: object) -> Lines:
    """Write a second connection; its answer is the piece ``name'``."""
    lines = serves(when, None, **more)  # type: ignore[arg-type]
    records = [n for n, line in enumerate(lines) if not line.text.startswith("***EST") or "id-kp" in line.text]
    until = max(records, default=HEAD - 1) + 1
    return named(lines[:until], name) + named(lines[until:], f"{name}'")


def whole(when: datetime, name: str, **more: object) -> Lines:
    """Write both connections of an enrollment: the pieces are ``name?``, ``name`` and ``name'``."""
    return named(challenged(when, None), f"{name}?") + work(when + 40 * MS, name, **more)


def in_a_row(*scenes: Lines) -> Held:
    """Lay scenes one behind the other, whatever their times."""
    lines = [line for scene in scenes for line in scene]
    return Held("error.log", "".join(f"{line.text}\n" for line in lines).encode(), owners=[line.of for line in lines])


# ---- pieces --------------------------------------------------------------------------------------------------------


def test_an_enrollment_is_a_challenge_a_piece_of_work_and_a_tail() -> None:
    pieces, number = check(held("error.log", whole(CALL, "a", connection=4, worker=31071)))
    assert [bool(pieces.tail[number[name]]) for name in ("a?", "a", "a'")] == [False, False, True]
    assert pieces.key[number["a"]] >= 0
    assert (pieces.key[[number["a?"], number["a'"]]] == -1).all()
    assert pieces.number[number["a"]] & (1 << 40) - 1 == 4
    assert pieces.pid[[number["a?"], number["a"], number["a'"]]].tolist() == [-1, 31071, -1]
    assert pieces.choices.max() <= 1
    assert row_sureness(pieces).tolist() == [1.0] * len(pieces.rows)


def test_records_tell_how_far_ces_came() -> None:
    pieces, number = check(
        held("error.log", whole(CALL, "a"), whole(CALL + seconds(2), "b", curls=2, rc=NOT_ALLOWED, connection=4))
    )
    for name, steps in (("a", [1, 2, 3, 1, 2, 4, 5]), ("b", [1, 2, 3])):
        mine = pieces.piece == number[name]
        assert pieces.work[mine & (pieces.line == LINE.record)].tolist() == steps
    assert set(pieces.work[pieces.line != LINE.record].tolist()) == {0}


def test_a_call_of_the_ca_that_failed_is_told_from_others() -> None:
    text = "[warn] 31071#0: *4 login_to_certsrv_ca: Curl call for MS CA login failed with return code 28 (Timed out)"
    context = f" while SSL EST handshaking, client: {NODE}, server: 0.0.0.0:8084"
    lines = [*named(connects(CALL, None), "a"), noted(CALL + seconds(10), text + context, "a")]
    pieces, _ = check(held("error.log", whole(CALL - seconds(9), "z"), lines))
    assert pieces.work[-1] == -1


@pytest.mark.parametrize("pause", [0, 5, 500])
@pytest.mark.parametrize("gap", [1, 3, 10, 45, 70, 150, 400])
def test_two_workers_lines_stand_between_one_another(gap: int, pause: int) -> None:
    """The lines of one come into the other's heads, work and tails; each is written in one go."""
    one = whole(CALL, "a", connection=4)
    two = whole(CALL + gap * MS, "b", connection=6, worker=31072)
    before = whole(CALL - seconds(pause), "z", connection=2) if pause else []
    check(held("error.log", before, one, two))


def test_blocks_are_broken_by_another_process_and_hold_together() -> None:
    """Two processes write into one file, each line at once: a block of four lines may be broken behind any of them."""
    for behind in range(1, HEAD):
        one, two = work(CALL, "a", connection=4), work(CALL, "b", connection=6, worker=31072)
        heads = [*one[:behind], *two[:1], *one[behind:HEAD], *one[HEAD : HEAD + WORK], *two[1:]]
        if behind == 1:
            # (Two peers side by side: which of them is which port's, nothing tells.)
            continue
        check(in_a_row(whole(CALL - seconds(3), "z"), heads, one[HEAD + WORK :]))


def test_an_answer_that_another_process_breaks_into_holds_together() -> None:
    one = work(CALL, "a", status=401, rc=NOT_ALLOWED, curls=2, connection=4)
    tail = [n for n, line in enumerate(one) if line.of == "a'"]
    for behind in tail[1:]:
        record = whole(CALL, "b", connection=6)[9 : 9 + HEAD + 1]
        check(in_a_row(whole(CALL - seconds(3), "z"), one[:behind], record, one[behind:]))


def test_lines_that_are_lost_leave_the_others_together() -> None:
    """Any one line; but for those without which others are nobody's: see tests/test_serving.py."""
    lines = [
        *whole(CALL, "a", connection=4),
        *whole(CALL + seconds(2), "b", status=401, rc=NOT_ALLOWED, curls=2, connection=6),
    ]
    for lost, line in enumerate(lines):
        if any(word in line.text for word in ("log_access", "auth headers missing", "certrqxt")):
            continue
        check(in_a_row(lines[:lost], lines[lost + 1 :], whole(CALL + seconds(4), "c", connection=8)))


# ---- how sure it is -------------------------------------------------------------------------------------------------


def test_of_two_challenges_that_are_answered_at_once_the_answers_are_not_sure() -> None:
    """Heads and questions are known; which of two access records and ends is whose, is a toss."""
    one, two = named(challenged(CALL, None), "a"), named(challenged(CALL, None), "b")
    pieces, number = check(
        in_a_row(whole(CALL - seconds(3), "z"), one[:5], two[:5], one[5:8], two[5:8], one[8:], two[8:])
    )
    sure = row_sureness(pieces)
    for name in "ab":
        mine = pieces.piece == number[name]
        assert (sure[mine & (pieces.line <= LINE.challenge)] == 1.0).all()
        assert (sure[mine & (pieces.line >= LINE.access)] <= 0.5).all()


def test_of_two_that_wait_for_their_requests_the_peers_are_not_sure() -> None:
    one, two = named(challenged(CALL, None), "a"), named(challenged(CALL, None), "b")
    pieces, number = check(in_a_row(whole(CALL - seconds(3), "z"), one[:2], two[:2], one[2:], two[2:]))
    sure = row_sureness(pieces)
    mine = np.isin(pieces.piece, [number["a"], number["b"]])
    # (These logs have no line of the request's length; then it is the request itself.)
    heads = mine & np.isin(pieces.line, (LINE.uri, LINE.cert, LINE.challenge))
    assert (pieces.choices[mine & (pieces.line == LINE.uri)] == 2).all()
    assert (sure[heads] >= 0.9).all()


def test_who_had_gone_is_a_piece_of_its_own_and_takes_nothing() -> None:
    """A connection waited for a worker until its client gave up."""
    gone = [
        *connects(CALL + seconds(10), "g")[:2],
        est(CALL + seconds(10), "[ERROR][est_server_handle_request:1690]--> OpenSSL system call error", "g"),
        est(CALL + seconds(10), SERVED, "g"),
    ]
    late = whole(CALL, "a", taken=12, connection=4)
    pieces, number = check(held("error.log", late, gone, whole(CALL + seconds(20), "b", connection=6)))
    assert not pieces.tail[number["g"]]
    assert pieces.key[number["g"]] == -1


# ---- strangers, and what is not logged -------------------------------------------------------------------------------


def test_a_connection_that_ces_did_not_work_on_has_no_piece() -> None:
    """A scanner: NGINX tells of it, CES does not."""
    strange = [
        noted(CALL + n * MS, f"[info] 31072#0: *77 {text}, client: 14.48.31.60, server: 0.0.0.0:8084")
        for n, text in enumerate(
            ("client sent invalid request while reading client request line", "SSL_do_handshake() failed")
        )
    ]
    check(held("error.log", whole(CALL, "a", connection=4), strange))


@pytest.mark.parametrize("rc", [None, NOT_ALLOWED])
def test_without_access_records_ends_tell_answers(rc: str | None) -> None:
    """What CES issued says nothing of it but the end of the connection."""
    lines = []
    for n, name in enumerate("abcdef"):
        status, curls = (200, 5) if rc is None else (401, 2)
        own = whole(CALL + seconds(n), name, status=status, rc=rc, curls=curls, connection=4 + 2 * n)
        lines += [line for line in own if "[log_" not in line.text]
    check(held("error.log", lines))


@pytest.mark.parametrize("rc", [None, NOT_ALLOWED])
def test_without_records_heads_and_answers_are_pieces_of_their_own(rc: str | None) -> None:
    """NGINX logs errors alone (level=error): nothing of CES's work is seen."""
    status = 200 if rc is None else 401
    lines = []
    for n, name in enumerate("abcdef"):
        lines += whole(CALL + seconds(n), name, status=status, rc=rc, curls=0)
    pieces, number = check(held("error.log", lines))
    assert (pieces.key == -1).all()
    assert [bool(pieces.tail[number[f"{name}'"]]) for name in "abcdef"] == [True] * 6


def test_an_empty_log_has_no_pieces() -> None:
    pieces, _ = cut_of(held("error.log", ces_starts(CALL)[1]))
    assert len(pieces.key) == len(pieces.rows) == 0 or set(pieces.line.tolist()) <= {LINE.start, LINE.record}
    assert len(row_sureness(pieces)) == len(pieces.rows)


# ---- starts and files -----------------------------------------------------------------------------------------------


def test_a_start_of_ces_ends_what_was_under_way() -> None:
    """Its numbers begin anew: the same number behind the start is another connection."""
    began = CALL + seconds(60)
    cut_off = work(CALL, "a", connection=4)[: HEAD + 3]
    start = named(ces_starts(began)[1], None)
    pieces, number = check_but_starts(held("error.log", cut_off, start, whole(CALL + seconds(90), "b", connection=4)))
    assert pieces.key[number["a"]] != pieces.key[number["b"]]
    one, other = pieces.number[[number["a"], number["b"]]].tolist()
    assert one & (1 << 40) - 1 == other & (1 << 40) - 1 == 4
    assert one < other


def test_a_worker_may_still_write_while_ces_starts_anew() -> None:
    began = CALL + 200 * MS
    start = named(ces_starts(began)[1], None)
    lines = work(CALL, "a", connection=4)
    pieces, number = check_but_starts(held("error.log", start, whole(CALL + seconds(90), "b", connection=4), lines[:0]))
    assert pieces.key[number["b"]] >= 0


def check_but_starts(*members: Held) -> tuple[Pieces, dict[str, int]]:
    """Check as ever, leaving out the rows of starts."""
    pieces, places = cut_of(*members)
    names = {member.name: member.owners for member in members}
    number: dict[str, int] = {}
    for (member, line), piece in zip(places, pieces.piece.tolist(), strict=True):
        name = names[member][line - 1]
        if name is not None:
            assert number.setdefault(name, piece) == piece, name
    assert len(set(number.values())) == len(number)
    return pieces, number


def test_of_rotated_files_each_has_its_own_pieces() -> None:
    """A worker that is at work goes on in the old file; who comes after the rotation is in the new one."""
    slow, quick = whole(CALL, "a", taken=5, connection=4), whole(CALL + seconds(1), "b", connection=6, worker=31072)
    before, after = whole(CALL - seconds(20), "y", connection=2), whole(CALL + seconds(30), "z", connection=8)
    old, new = held("error.log.1", before, slow), held("error.log", quick, after)
    pieces, number = check(old, new)
    # Pieces of the older file come first.
    assert number["a"] < number["b"] < number["z"]
    assert list(check(new, old)[1]) == list(number)
    assert len(pieces.key) == 12


def test_the_same_connection_in_two_files_is_two_pieces() -> None:
    """NGINX opened the new file between two records: its number is the same."""
    lines = work(CALL, "a", connection=4)
    parts: Sequence[Lines] = (lines[: HEAD + 2], lines[HEAD + 2 :])
    first = named(parts[0], "a")
    second = [Line(line.at, line.text, "A" if line.of == "a" else line.of) for line in parts[1]]
    other = whole(CALL - seconds(20), "y", connection=2)
    pieces, number = check(
        held("error.log.1", other, first), held("error.log", second, whole(CALL + seconds(20), "z", connection=6))
    )
    assert pieces.number[number["a"]] & 0xFF == pieces.number[number["A"]] & 0xFF == 4


def test_a_log_may_be_of_one_line() -> None:
    """Whichever it is."""
    for line in exchange(CALL, "a", status=401, rc=NOT_ALLOWED, curls=2):
        pieces, places = cut_of(held("error.log", whole(CALL - seconds(9), "z")), held("error.log.1", [line]))
        assert len(places) >= 20
        assert len(pieces.rows) == len(places)
