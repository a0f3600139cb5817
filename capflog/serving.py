"""How CES's workers write their lines, and which line waits for which.

Plain loops over numbers, so that they can be compiled (:func:`capflog.compiling.fast`).
"""

from __future__ import annotations

from typing import Final

import numpy as np


class LINE:
    """What a line of error.log is, in the order in which libEST writes of a request."""

    start: Final = 0
    other: Final = 1
    peer: Final = 2
    port: Final = 3
    length: Final = 4
    uri: Final = 5
    path: Final = 6
    cert: Final = 7
    challenge: Final = 8
    record: Final = 9
    """NGINX's, of a connection."""
    cmc: Final = 10
    message: Final = 11
    unauthorized: Final = 12
    failed: Final = 13
    page: Final = 14
    response: Final = 15
    refused: Final = 16
    retry: Final = 17
    access: Final = 18
    referer: Final = 19
    agent: Final = 20
    broken: Final = 21
    shutdown: Final = 22


def _bits(*lines: int) -> int:
    return sum(1 << line for line in lines)


_L = LINE
#: For each line what the line before it of the same request may be where both are written in one go, and where
#: something takes its time between them.
_AT_ONCE = np.zeros(32, dtype=np.int64)
_LATER = np.zeros(32, dtype=np.int64)
for _line, _before in (
    (_L.port, _bits(_L.peer)),
    (_L.uri, _bits(_L.length)),
    (_L.path, _bits(_L.uri, _L.length)),
    (_L.cert, _bits(_L.path, _L.uri, _L.length)),
    (_L.challenge, _bits(_L.cert, _L.path, _L.uri)),
    (_L.failed, _bits(_L.unauthorized)),
    (_L.page, _bits(_L.failed, _L.unauthorized)),
    (_L.response, _bits(_L.page, _L.failed, _L.unauthorized)),
    (_L.refused, _bits(_L.response, _L.page, _L.failed, _L.unauthorized)),
    (_L.access, _bits(_L.refused, _L.response, _L.page, _L.retry, _L.failed, _L.unauthorized)),
    (_L.referer, _bits(_L.access)),
    (_L.agent, _bits(_L.referer, _L.access)),
):
    _AT_ONCE[_line] = _before
for _line, _before in (
    (_L.length, _bits(_L.port, _L.peer)),
    (_L.uri, _bits(_L.port, _L.peer)),
    (_L.path, _bits(_L.port, _L.peer)),
    (_L.cert, _bits(_L.port, _L.peer)),
    (_L.broken, _bits(_L.port, _L.peer)),
    (_L.access, _bits(_L.challenge, _L.path, _L.uri)),
):
    _LATER[_line] = _before

#: The head of a request: NGINX's first record of its connection follows on it.
_HEAD = _bits(_L.length, _L.uri, _L.path, _L.cert)
#: What has been answered.
_ANSWERED = _bits(_L.access, _L.referer, _L.agent)
_REFUSED = _bits(_L.refused, _L.response, _L.page, _L.failed, _L.unauthorized, _L.retry)
_TAILS = _bits(_L.unauthorized, _L.failed, _L.retry, _L.page, _L.response, _L.refused, _L.access, _L.shutdown)

#: So many pieces may wait for a line at once; a piece that so many rows passed by waits no more.
_OPEN, _PATIENCE = 96, 20_000

#: What comes within some ms comes within so many rows and so much time (whole seconds: more than one has passed); a
#: piece that waits longer has lost its line. (ms)
_SOON_ROWS, _SOON_MS = 12, 1_999


def serve(
    line: np.ndarray,
    key: np.ndarray,
    work: np.ndarray,
    last: np.ndarray,
    client: np.ndarray,
    status: np.ndarray,
    ending: np.ndarray,
    clock: np.ndarray,
    moment: np.ndarray,
    coming: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give the piece of each row (-1: none), how many waited for it; of each piece its connection, and if it is a tail.

    The arguments are columns of rows in the order of one file, see :class:`capflog.pieces._File`.
    """
    count = len(line)
    piece = np.full(count, -1, dtype=np.int64)
    choices = np.zeros(count, dtype=np.int64)
    key_of = np.full(count + 1, -1, dtype=np.int64)
    tail = np.zeros(count + 1, dtype=np.bool_)
    # Of each piece: its last line and row, whether credentials were asked for, its client, the step CES came to.
    at_line = np.zeros(count + 1, dtype=np.int64)
    at_row = np.zeros(count + 1, dtype=np.int64)
    # When its last line was written: by a time of its own, else that of the next line that bears one.
    since = np.full(count + 1, -1, dtype=np.int64)
    timed = np.zeros(count + 1, dtype=np.bool_)
    asked = np.zeros(count + 1, dtype=np.bool_)
    who = np.full(count + 1, -1, dtype=np.int64)
    step = np.zeros(count + 1, dtype=np.int64)
    # Of each piece: it waited together with another for a line of about this kind, and the other got one.
    mixed = np.zeros(count + 1, dtype=np.int64)
    rivals = np.zeros(_OPEN, dtype=np.int64)
    keys = 0
    logs_access = False
    for n in range(count):
        keys = max(keys, key[n] + 1)
        if line[n] == 18:
            logs_access = True
    of_key = np.full(keys, -1, dtype=np.int64)
    opened = np.zeros(_OPEN, dtype=np.int64)
    many = 0
    made = 0
    current = -1
    for n in range(count):
        what = line[n]
        if what == 0:
            many = 0
            current = -1
            continue
        here = -1
        waited = 0
        rivalry = 0
        if what == 9:
            here = of_key[key[n]]
            if here < 0:
                if current >= 0 and not tail[current] and key_of[current] < 0 and (_HEAD >> at_line[current]) & 1:
                    here = current
                for k in range(many):
                    e = opened[k]
                    if (
                        key_of[e] < 0
                        and not tail[e]
                        and (_HEAD >> at_line[e]) & 1
                        and n - at_row[e] <= 4 * _SOON_ROWS
                        and clock[n] - since[e] <= _SOON_MS
                    ):
                        waited += 1
                        if here < 0:
                            here = e
                if here >= 0:
                    key_of[here] = key[n]
                    of_key[key[n]] = here
        elif what == 10:
            # Once the form is open libEST looks at the CSR; CES logs in again right after.
            if n + 1 < count and line[n + 1] == 9 and of_key[key[n + 1]] >= 0 and step[of_key[key[n + 1]]] == 3:
                here = of_key[key[n + 1]]
            else:
                for form in (1, 0):
                    for k in range(many):
                        e = opened[k]
                        if tail[e] or asked[e]:
                            continue
                        if (form == 1 and key_of[e] >= 0 and step[e] == 3) or (
                            form == 0 and key_of[e] < 0 and (_HEAD >> at_line[e]) & 1
                        ):
                            waited += 1
                            if here < 0 or at_row[e] < at_row[here]:
                                here = e
                    if here >= 0:
                        break
        elif what == 11:
            # Another message of libEST's: of what the line before is of.
            here = current
        elif what == 22:
            # The end of a connection: of the one that was answered first; what broke off ends at once.
            if current >= 0 and at_line[current] == 21:
                here = current
            for exact in (3, 2, 1, 0, -1):
                if here >= 0:
                    break
                soon = exact >= 2
                like = exact in (3, 1, -1)
                for k in range(many):
                    e = opened[k]
                    before = at_line[e]
                    ready = (_ANSWERED >> before) & 1 or before == 21
                    if not logs_access or exact == -1:
                        # (Where access records are logged, this one was lost.)
                        ready = ready or before == 8 or (tail[e] and (_REFUSED >> before) & 1)
                    if not ready:
                        continue
                    if like and ((ending[n] == 1 and not asked[e]) or (ending[n] == 2 and asked[e])):
                        continue
                    if soon and (n - at_row[e] > _SOON_ROWS or clock[n] - since[e] > _SOON_MS):
                        continue
                    waited += 1
                    rivals[rivalry] = e
                    rivalry += 1
                    if here < 0 or at_row[e] < at_row[here]:
                        here = e
                if here >= 0 or (not logs_access and ending[n] == 2):
                    break
        elif what != 2:
            at_once, later = _AT_ONCE[what], _LATER[what]
            if current >= 0 and (at_once >> at_line[current]) & 1:
                here = current
            else:
                # Written in one go, but another process came between.
                for k in range(many):
                    e = opened[k]
                    if (at_once >> at_line[e]) & 1 and (what < 4 or what > 8 or not tail[e]):
                        waited += 1
                        if here < 0 or at_row[e] > at_row[here]:
                            here = e
                if here < 0 and (what != 18 or status[n] == 401 or status[n] == 404):
                    if what == 18 and status[n] == 401 and current >= 0 and at_line[current] == 8:
                        # What waited longer than for some ms has lost this line.
                        here = current
                        for k in range(many):
                            e = opened[k]
                            if at_line[e] == 8 and n - at_row[e] <= _SOON_ROWS and clock[n] - since[e] <= _SOON_MS:
                                waited += 1
                                rivals[rivalry] = e
                                rivalry += 1
                                if at_row[e] < at_row[here]:
                                    here = e
                    for k in range(many if here < 0 else 0):
                        e = opened[k]
                        before = at_line[e]
                        if not (later >> before) & 1 or tail[e]:
                            continue
                        if what == 18 and (before == 8) != (status[n] == 401):
                            continue
                        if client[n] >= 0 and who[e] >= 0 and client[n] != who[e]:
                            continue
                        waited += 1
                        rivals[rivalry] = e
                        rivalry += 1
                        if here < 0 or at_row[e] < at_row[here]:
                            here = e
        if here < 0:
            if 2 <= what <= 9 or (_TAILS >> what) & 1:
                here = made
                made += 1
                tail[here] = bool((_TAILS >> what) & 1)
                if tail[here]:
                    # Of requests that no record of NGINX's names a connection of, one is answered.
                    oldest = -1
                    for k in range(many):
                        e = opened[k]
                        if (
                            oldest < 0
                            and not tail[e]
                            and key_of[e] < 0
                            and not asked[e]
                            and ((_HEAD >> at_line[e]) & 1 or at_line[e] == 10)
                        ):
                            oldest = k
                    if oldest >= 0:
                        for j in range(oldest + 1, many):
                            opened[j - 1] = opened[j]
                        many -= 1
                if what == 9:
                    key_of[here] = key[n]
                    of_key[key[n]] = here
                if many == _OPEN:
                    for k in range(1, many):
                        opened[k - 1] = opened[k]
                    many -= 1
                opened[many] = here
                many += 1
            else:
                current = -1
                continue
        if rivalry:
            # (Any line of a head is of about the same kind.)
            about = min(what, 7) if what < 8 else what
            about = 3 if 2 < about < 8 else about
            if rivalry > 1:
                for k in range(rivalry):
                    mixed[rivals[k]] = about
            elif mixed[here] == about:
                waited = 2
        piece[n] = here
        choices[n] = waited
        at_row[here] = n
        if moment[n] >= 0:
            since[here] = moment[n]
            timed[here] = True
        elif not timed[here]:
            since[here] = coming[n]
        if what != 11 or at_line[here] == 0:
            at_line[here] = what
        if what == 8:
            asked[here] = True
        if client[n] >= 0:
            who[here] = client[n]
        if what == 9 and work[n] != 0 and work[n] != 1:
            step[here] = work[n]
        current = here
        if what == 22 or (what == 9 and last[n]):
            # Nothing of it follows but, of a connection that CES worked on, its tail.
            for k in range(many):
                if opened[k] == here:
                    for j in range(k + 1, many):
                        opened[j - 1] = opened[j]
                    many -= 1
                    break
        elif many and n - at_row[opened[0]] > _PATIENCE:
            for j in range(1, many):
                opened[j - 1] = opened[j]
            many -= 1
    return piece, choices, key_of[:made], tail[:made]
