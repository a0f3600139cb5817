"""A block's lines, all in one pass of compiled code: where each stands, its stamp, its frame, its digest, what it is.

numba compiles what is here when it is first called, and keeps that beside the module or in the user's cache. Nothing of
it knows a log: forms of stamps, frames, and the table of known lines are handed in as arrays.

All of it stands in one module: what numba keeps of a function has in it what that function calls, and is made anew only
when the function's own module has changed.

A line is looked up in the state that the reader is in before it, and its entry says in which state the reader is after
it. Of a line that is not in the table it is supposed that it leaves the state as it is: who asked is told of all such
lines, and where one does not, asks again from the next line on.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from capflog.compiling import compiled

if TYPE_CHECKING:
    Array = np.ndarray
    #: A number of fixed width.
    Word = Any

#: A buffer goes on for so many zero bytes behind its lines.
PADDING = 512

#: The widest form of a stamp. (bytes)
FORM_MOST = 64

#: How long a session's number and a name in a frame may be. (bytes)
SESSION_MOST, NAME_MOST = 10, 128

#: Codes of lines that no entry stands for: not in the table; read by the parser, which made an event of it, or said
#: that it is quiet, a part of the record before, or unknown.
UNREAD, BY_READER, READ_QUIET, READ_PART, READ_UNKNOWN = -1, -2, -3, -4, -5

#: What lines of an entry need besides being known, as bits: digits of their own tell them apart, a stamp stands in
#: them, the reader's state changes, the caller goes through them, they say something.
PARTED, STAMPED, TURNING, SINGLE, SAYING = 1, 2, 4, 8, 16

#: What lines of an entry are, in the same order.
EVENT, QUIET, PART, UNKNOWN = range(4)

#: A word that is not known yet has this number and its place among those that are new.
NEW = 1 << 28

#: In the table of names: of a piece that is none. Of one that is, twice its code, and 1 more where it is opaque.
BAD = -2

#: How many makes of names are told apart.
MAKES = 1 << 12

#: The shortest word that is tried as a name in the midst of a line, the longest line in which one is (bytes), and how
#: many words of one line are.
OPAQUE_LEAST, HOLED_MOST, TRIED_MOST = 10, 4_096, 16

#: Numbers of a run's results: the next line and where it starts, the reader's state (-1: none that is known), how many
#: lines are kept, how many are not in the table, how many words are new, and whether there is no room for more.
AT, BEGIN, STATE, ROW, MISSED, FRESH, FULL = range(7)
RESULTS = 7


class Forms(NamedTuple):
    """Stamps' forms (n, :data:`FORM_MOST`): letters, whether each is literal; widths; how much tells the second."""

    letters: np.ndarray
    fixed: np.ndarray
    width: np.ndarray
    head: np.ndarray


class Frames(NamedTuple):
    """What bodies begin with, as :class:`capflog.parsing.Frame` has it; two words and their masks for each."""

    begin: np.ndarray
    mask: np.ndarray
    length: np.ndarray
    close: np.ndarray
    session: np.ndarray


class Rests(NamedTuple):
    """Which lines say nothing in each state (:class:`capflog.parsing.Idle`): ``on``; needles and their lengths; the
    place of their rarest letter; and for each number of blanks whether a line has so many."""

    on: np.ndarray
    needle: np.ndarray
    length: np.ndarray
    rare: np.ndarray
    blanks: np.ndarray


class Entries(NamedTuple):
    """What lines are, by their codes.

    ``needs``: bits of :data:`PARTED` and so on; ``turns``: the state behind them; ``parts``: the digits of their own
    (n, 2: the first and behind the last row of ``places``), which are (m, 2) pieces of the rest; ``piece``, ``form``:
    where in the rest the stamp stands, and of which form behind the first.
    """

    needs: np.ndarray
    turns: np.ndarray
    parts: np.ndarray
    places: np.ndarray
    piece: np.ndarray
    form: np.ndarray


class Keyed(NamedTuple):
    """A table of numbers by keys of 64 bits (0: free), a power of two long; ``held``: how many there are (1,)."""

    keys: np.ndarray
    values: np.ndarray
    held: np.ndarray


class Lines(NamedTuple):
    """What is found of each line that is kept, for it may say something; ``number``: which line of the block it is."""

    number: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    body: np.ndarray
    rest: np.ndarray
    stamp: np.ndarray
    digest: np.ndarray
    code: np.ndarray
    device: np.ndarray
    session: np.ndarray
    stamped: np.ndarray


#: Columns of words that were not known: where they stand, how long they are, whether it is a name (1) or a session
#: (0), where in their table they were put, whether a line was taken for another one with another name there (1), and a
#: number that all names of a make have.
FRESH_AT, FRESH_LENGTH, FRESH_NAMED, FRESH_PLACE, FRESH_OPAQUE, FRESH_MAKE = range(6)
FRESH_COLUMNS = 6

#: Columns of lines that are not in the table or gone through by the caller: where they are among the lines that are
#: kept, state before, supposed state behind, and where the next line starts.
MISSED_ROW, MISSED_BEFORE, MISSED_BEHIND, MISSED_NEXT = range(4)
MISSED_COLUMNS = 4


#: Numbers of fixed width, as compiled code has them; to a type checker they are numbers.
_U: Any = np.uint64
_I: Any = np.int64
_N: Any = np.int32
_ONES, _HIGHS, _LOWS = _U(0x0101010101010101), _U(0x8080808080808080), _U(0x7F7F7F7F7F7F7F7F)
_NEWLINES, _BLANKS, _SMALL = _U(0x0A0A0A0A0A0A0A0A), _U(0x2020202020202020), _U(0x2020202020202020)
_ZEROS, _SEVENTY, _SIXES, _FIRSTS = (
    _U(0x3030303030303030),
    _U(0x4646464646464646),
    _U(0x0606060606060606),
    _U(0xF0F0F0F0F0F0F0F0),
)
_STIR, _MULTIPLY = _U(0x9E3779B97F4A7C15), _U(0xBF58476D1CE4E5B9)
_ONE, _SEVEN, _EIGHT, _HALF, _TOP, _FULL_WORD = _U(1), _U(7), _U(8), _U(32), _U(56), _U(0xFFFFFFFFFFFFFFFF)
_HOLED = _U(0xD6E8FEB86659FD93)
#: No time, as :data:`capflog.table.NONE`.
NONE_TOLD = np.int64(np.iinfo(np.int64).min)
_MONTHS = np.array([int.from_bytes(m, "big") for m in b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()])
_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])

#: Another one in each run, so that nobody can write lines whose digests are equal. (Compiled code is given it: what it
#: takes from its module is that of the run in which it was compiled.)
SECRET: Word = np.frombuffer(os.urandom(8), dtype=np.uint64)[0]


@compiled
def _first(found: Word) -> Word:
    """Which byte is the first one that is marked in its highest bit."""
    low = found & (~found + _ONE)
    return _I((((low - _ONE) & _ONES) * _ONES) >> _TOP) - 1


@compiled
def _line_end(words: Array, at: int, size: int) -> int:
    """Where the next line end stands, or the end of all."""
    while at < size:
        other = words[at] ^ _NEWLINES
        found = (other - _ONES) & ~other & _HIGHS
        if found:
            at += _first(found)
            return at if at < size else size
        at += 8
    return size


@compiled
def _masked(word: Word) -> Word:
    """Write a 0 in place of each digit of eight bytes."""
    # A byte is a digit where its upper half is 3 and adding 6 to the lower half does not carry out of it.
    other = (word ^ _ZEROS) & _FIRSTS
    above = ((word & ~_FIRSTS) + _SIXES) & _U(0x1010101010101010)
    none = other | above
    # The highest bit of each byte in which anything is set.
    none = (((none & _LOWS) + _LOWS) | none) & _HIGHS
    digit = (~none & _HIGHS) >> _SEVEN
    return word & ~(digit * _U(0x0F))


@compiled
def _stirred(value: Word, word: Word) -> Word:
    value = (value ^ word) * _MULTIPLY
    return value ^ (value >> _HALF)


@compiled
def _settled(value: Word) -> Word:
    """Finish a number; 0 stands for none."""
    value = (value ^ (value >> _U(29))) * _STIR
    value ^= value >> _HALF
    return value if value else _ONE


@compiled
def _begin_of(word: Word, length: int) -> Word:
    """Clear what stands behind the first bytes, fewer than eight, of a word."""
    return word & ((_ONE << _U(8 * length)) - _ONE)


@compiled
def _digest(words: Array, at: int, length: int, seed: Word) -> Word:
    """Give the number of a piece, its digits blotted out; never 0."""
    value = (_U(length) * _STIR) ^ seed
    end = at + length
    while at + 8 <= end:
        value = _stirred(value, _masked(words[at]))
        at += 8
    if at < end:
        value = _stirred(value, _masked(_begin_of(words[at], end - at)))
    return _settled(value)


@compiled
def number_of(words: Array, at: int, length: int, seed: Word) -> Word:
    """Give the number of a piece as it is; never 0."""
    value = (_U(length) * _STIR) ^ seed
    end = at + length
    while at + 8 <= end:
        value = _stirred(value, words[at])
        at += 8
    if at < end:
        value = _stirred(value, _begin_of(words[at], end - at))
    return _settled(value)


@compiled
def _same(words: Array, one: int, other: int, length: int) -> bool:
    """Whether two pieces of a length are alike."""
    while length >= 8:
        if words[one] != words[other]:
            return False
        one += 8
        other += 8
        length -= 8
    return length == 0 or _begin_of(words[one] ^ words[other], length) == 0


@compiled
def place_of(keys: Array, key: Word) -> Word:
    """Where a key stands in a table, or the free place where it would."""
    last = len(keys) - 1
    at = _I(key >> _HALF) & last
    while keys[at] != 0 and keys[at] != key:
        at = (at + 1) & last
    return at


@compiled
def read_stamp(buffer: Array, at: int, letters: Array, fixed: Array, width: int) -> tuple[bool, Word, Word]:
    """Read a stamp: whether it is one, ms (UTC where it has a zone), and the zone in s."""
    year = month = day = hour = minute = second = part = zone_hour = zone_minute = 0
    dated = behind = False
    named = 0
    for k in range(width):
        byte, letter = buffer[at + k], letters[k]
        if fixed[k]:
            if byte != letter:
                return False, 0, 0
        elif letter == 98:  # b
            named = named << 8 | _I(byte)
        elif letter == 83:  # S
            if byte != 43 and byte != 45:  # noqa: PLR1714  (a set is slow here)
                return False, 0, 0
            behind = byte == 45
        else:
            digit = _I(byte) - 48
            if digit < 0 or digit > 9:
                return False, 0, 0
            if letter == 104:  # h
                hour = hour * 10 + digit
            elif letter == 109:  # m
                minute = minute * 10 + digit
            elif letter == 115:  # s
                second = second * 10 + digit
            elif letter == 102:  # f
                part = part * 10 + digit
            elif letter == 89:  # Y
                year = year * 10 + digit
                dated = True
            elif letter == 77:  # M
                month = month * 10 + digit
            elif letter == 68:  # D
                day = day * 10 + digit
            elif letter == 72:  # H
                zone_hour = zone_hour * 10 + digit
            else:  # N
                zone_minute = zone_minute * 10 + digit
    if hour > 23 or minute > 59 or second > 59 or zone_hour > 15 or zone_minute > 59:
        return False, 0, 0
    if named:
        for k in range(12):
            if _MONTHS[k] == named:
                month = k + 1
        if month == 0:
            return False, 0, 0
    stamp = ((hour * 60 + minute) * 60 + second) * 1000 + part
    if dated:
        if year < 1 or month < 1 or month > 12 or day < 1:
            return False, 0, 0
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if day > _MONTH_DAYS[month - 1] + (1 if leap and month == 2 else 0):
            return False, 0, 0
        # Days since 1970-01-01 in the Gregorian calendar, years beginning in March.
        years = year - (1 if month < 3 else 0)
        of_year = (153 * (month + (9 if month < 3 else -3)) + 2) // 5 + day - 1
        stamp += (years * 365 + years // 4 - years // 100 + years // 400 + of_year - 719468) * 86_400_000
    zone = zone_hour * 3600 + zone_minute * 60
    if behind:
        zone = -zone
    return True, stamp - zone * 1000, zone


@compiled
def _idles(
    buffer: Array, words: Array, start: int, stop: int, needle: Array, length: int, rare: int, blanks: Array
) -> bool:
    """Whether a line is one that says nothing: see :class:`capflog.parsing.Idle`."""
    if stop - start < 5 or buffer[start + 4] != 45:
        return False
    for k in range(4):
        if buffer[start + k] < 48 or buffer[start + k] > 57:
            return False
    letter = needle[rare]
    wanted = _U(letter) * _ONES
    count = 0
    at = start
    while at < stop:
        word = words[at]
        if stop - at < 8:
            word = _begin_of(word, stop - at)
        other = word ^ _BLANKS
        zero = ~(((other & _LOWS) + _LOWS) | other) & _HIGHS
        count += _I(((zero >> _SEVEN) * _ONES) >> _TOP)
        other = (word | _SMALL) ^ wanted
        found = (other - _ONES) & ~other & _HIGHS
        while found:
            first = at + _first(found) - rare
            found &= found - _ONE
            if first >= start and first + length <= stop:
                k = 0
                while k < length and (buffer[first + k] | 32) == needle[k]:
                    k += 1
                if k == length:
                    return False
        at += 8
    return count < len(blanks) and blanks[count]


@compiled
def _make_of(buffer: Array, at: int, length: int) -> Word:
    """Give a number that a name shares with those whose letters are of the same kinds, whatever its digits."""
    value = _U(length)
    before = 48
    for place in range(at, at + length):
        byte = _I(buffer[place])
        if 48 <= byte <= 57:
            byte = before
        elif 65 <= byte <= 70:
            byte = 65
        elif 71 <= byte <= 90:
            byte = 71
        elif 97 <= byte <= 122:
            byte = 97
        before = byte
        value = (value ^ _U(byte)) * _MULTIPLY
    return _I((value ^ (value >> _HALF)) | _ONE)


@compiled
def _word(
    buffer: Array,
    words: Array,
    keys: Array,
    values: Array,
    count: Array,
    at: int,
    length: int,
    fresh: Array,
    found: Array,
    named: int,
    makes: Array,
    secret: Word,
) -> Word:
    """Give the number of a word in a table, a new one where it is not known."""
    key = number_of(words, at, length, secret)
    place = place_of(keys, key)
    if keys[place] != 0:
        return values[place]
    number = NEW + found[FRESH]
    if named:
        # A new name is held to be what the last one of its make was, until the caller has looked at it.
        make = _make_of(buffer, at, length)
        number = 2 * number + makes[make & (MAKES - 1)]
        fresh[found[FRESH], FRESH_MAKE] = make
    number = _N(number)
    keys[place] = key
    values[place] = number
    count[0] += 1
    fresh[found[FRESH], FRESH_AT] = at
    fresh[found[FRESH], FRESH_LENGTH] = length
    fresh[found[FRESH], FRESH_NAMED] = named
    fresh[found[FRESH], FRESH_PLACE] = place
    fresh[found[FRESH], FRESH_OPAQUE] = 0
    found[FRESH] += 1
    return number


@compiled
def _part_key(buffer: Array, rest: int, parts: Array, places: Array, code: int, secret: Word) -> Word:
    """Give the key of a line of a shape whose lines digits of their own tell apart."""
    key = secret ^ (_U(code) * _STIR)
    for k in range(parts[code, 0], parts[code, 1]):
        for place in range(places[k, 0], places[k, 1]):
            key = (key ^ _U(buffer[rest + place])) * _MULTIPLY
            key ^= key >> _HALF
    return key


@compiled
def part_key(buffer: Array, entries: Entries, code: int, secret: Word) -> Word:
    """Give the key of a line of a shape whose lines digits of their own tell apart; its rest is at the beginning."""
    return _part_key(buffer, 0, entries.parts, entries.places, code, secret)


@compiled
def seed_of(stamped: bool, frame: int, secret: Word) -> Word:
    """Give the number that goes into a line's digest; ``frame``: the number of its frame, -1: it has none."""
    return secret ^ _U(stamped) ^ (_U(frame + 1) << _EIGHT)


@compiled
def holed_key(
    buffer: Array, start: int, stop: int, at: int, length: int, scratch: Array, scratch_words: Array, seed: np.uint64
) -> Word:
    """Give a number for a piece, letter by letter, but for a name that stands at ``at``: it is blotted out wherever it
    stands. 0: it does not stand there, or the blot itself does. ``scratch``: room for the piece."""
    made = 0
    blots = 0
    place = start
    while place < stop:
        byte = buffer[place]
        if byte == 0:
            return _U(0)
        if byte == buffer[at] and place + length <= stop:
            k = 1
            while k < length and buffer[place + k] == buffer[at + k]:
                k += 1
            if k == length:
                scratch[made] = 0
                made += 1
                blots += 1
                place += length
                continue
        scratch[made] = byte
        made += 1
        place += 1
    if not blots:
        return _U(0)
    return number_of(scratch_words, 0, made, seed ^ _HOLED)


@compiled
def _is_word(byte: int) -> bool:
    """Whether a byte is a letter or digit of ASCII's."""
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122


@compiled
def line_key(digest: Word, state: int) -> Word:
    """Give the key of lines of a digest in a state."""
    return digest ^ (_U(state + 1) * _STIR)


@compiled
def put(table: Keyed, key: Word, value: int) -> None:
    """Keep a number, for which there is room, in a table."""
    place = place_of(table.keys, key)
    if table.keys[place] == 0:
        table.keys[place] = key
        table.held[0] += 1
    table.values[place] = value


@compiled
def put_all(table: Keyed, keys: Array, values: Array) -> None:
    """Keep numbers of distinct keys, for which there is room, in a table."""
    for k in range(len(keys)):
        put(table, keys[k], values[k])


@compiled
def _code_by_word(
    buffer: Array,
    words: Array,
    rest: int,
    stop: int,
    state: int,
    seed: Word,
    holed_keys: Array,
    name_keys: Array,
    name_values: Array,
    name_count: Array,
    fresh: Array,
    scratch: Array,
    scratch_words: Array,
    found: Array,
    makes: Array,
    secret: Word,
) -> tuple[int, Word]:
    """Find the word in a line without a frame that makes it one that is known, when it is blotted out.

    Gives where it stands in the table of such lines, or -1, and the word's number in that of names.
    """
    begin = rest
    tried = 0
    while begin < stop and tried < TRIED_MOST:
        end = begin
        while end < stop and _is_word(buffer[end]):
            end += 1
        length = end - begin
        if length >= OPAQUE_LEAST and length <= NAME_MOST:
            tried += 1
            key = holed_key(buffer, rest, stop, begin, length, scratch, scratch_words, seed)
            if key != 0:
                place = place_of(holed_keys, line_key(key, state))
                if holed_keys[place] != 0:
                    name = _word(
                        buffer,
                        words,
                        name_keys,
                        name_values,
                        name_count,
                        begin,
                        length,
                        fresh,
                        found,
                        1,
                        makes,
                        secret,
                    )
                    return place, name
        begin = end + 1
    return -1, _N(BAD)


@compiled
def look(
    buffer: Array,
    words: Array,
    size: int,
    most: int,
    forms: Forms,
    frames: Frames,
    rests: Rests,
    entries: Entries,
    known: Keyed,
    holed: Keyed,
    names: Keyed,
    sessions: Keyed,
    lines: Lines,
    missed: Array,
    fresh: Array,
    makes: Array,
    scratch: Array,
    scratch_words: Array,
    found: Array,
    secret: Word,
) -> None:
    """Look up lines from ``found`` on, up to the end of all, or behind ``most`` of them that are not in the table."""
    # Each array by itself: a tuple's would be taken out of it, and counted, for every line.
    starts, stops, bodies, rested = lines.start, lines.stop, lines.body, lines.rest
    stamps, digests, codes, devices = lines.stamp, lines.digest, lines.code, lines.device
    numbered, needs = lines.number, entries.needs
    in_sessions, are_stamped = lines.session, lines.stamped
    known_keys, known_values, holed_keys, holed_values = known.keys, known.values, holed.keys, holed.values
    name_keys, name_values, name_count = names.keys, names.values, names.held
    session_keys, session_values, session_count = sessions.keys, sessions.values, sessions.held
    turns, parts, pieces, piece_forms = entries.turns, entries.parts, entries.piece, entries.form
    places = entries.places
    form_letters, form_fixed, form_width = forms.letters, forms.fixed, forms.width
    frame_begin, frame_mask, frame_length = frames.begin, frames.mask, frames.length
    frame_close, frame_session = frames.close, frames.session
    resting, needles, needle_length, rare, blanks = rests.on, rests.needle, rests.length, rests.rare, rests.blanks
    letters, fixed = form_letters[0], form_fixed[0]
    width, head = form_width[0], forms.head[0]
    any_holed = holed.held[0] > 0
    # For so many new words there is room, and for so many lines.
    fresh_most = min(
        len(fresh) - 3,
        (len(name_keys) - 4) // 2 - name_count[0],
        (len(session_keys) - 4) // 2 - session_count[0],
    )
    rows_most = len(starts)
    # The digits of a stamp that tell more than its second, and what is literal behind them.
    tail, tail_literal, tail_mask = _I(0), _U(0), _U(0)
    for k in range(head, width):
        if fixed[k]:
            tail_literal |= _U(letters[k]) << _U(8 * (k - head))
            tail_mask |= _U(255) << _U(8 * (k - head))
        else:
            tail += 1
    at, begin, state, row = found[AT], found[BEGIN], found[STATE], found[ROW]
    misses = 0
    found[FULL] = 0
    # The last stamp that was read in full, and the second that it tells.
    stamp_at, stamp_base = _I(-1), _I(0)
    name_at, name_length, name_code, name_close = _I(-1), _I(0), _N(-1), _I(-1)
    session_at, session_length, session_code = _I(-1), _I(0), _N(-1)
    while begin < size:
        if row >= rows_most or found[FRESH] > fresh_most:
            found[FULL] = 1
            break
        end = _line_end(words, begin, size)
        stop = end
        while stop > begin and buffer[stop - 1] == 13:
            stop -= 1
        if (
            state >= 0
            and resting[state]
            and _idles(buffer, words, begin, stop, needles[state], needle_length[state], rare[state], blanks[state])
        ):
            at += 1
            begin = end + 1
            continue
        device = in_session = _N(-1)
        body = begin
        stamped = False
        stamp = NONE_TOLD
        if width > 0 and stop - begin >= width:
            if stamp_at >= 0 and _same(words, begin, stamp_at, head):
                word = words[begin + head]
                stamped = (word & tail_mask) == tail_literal
                part = _I(0)
                for _ in range(tail):
                    digit = _I(word & _U(255)) - 48
                    stamped &= digit >= 0 and digit <= 9
                    part = part * 10 + digit
                    word >>= _EIGHT
                stamp = stamp_base + part if stamped else NONE_TOLD
            else:
                stamped, stamp, _ = read_stamp(buffer, begin, letters, fixed, width)
                if stamped:
                    stamp_at = begin
                    stamp_base = stamp - stamp % 1000 if head < width else stamp
                else:
                    stamp = NONE_TOLD
            if stamped:
                body = begin + width
        rest = body
        of_frame = -1
        name = _N(BAD)
        for frame in range(len(frame_length)):
            if (words[body] & frame_mask[frame, 0]) != frame_begin[frame, 0] or (
                words[body + 8] & frame_mask[frame, 1]
            ) != frame_begin[frame, 1]:
                continue
            place = body + frame_length[frame]
            close = frame_close[frame]
            session = _N(-1)
            # The lines of a phone stand together: most often it is the name, and the session, of the line before.
            if frame_session[frame]:
                behind = place + session_length
                if (
                    session_length == 0
                    or behind >= stop
                    or buffer[behind] != close
                    or not _same(words, place, session_at, session_length)
                ):
                    behind = place
                    while behind < stop and behind - place <= SESSION_MOST and 48 <= buffer[behind] <= 57:
                        behind += 1
                    length = behind - place
                    if length == 0 or length > SESSION_MOST or behind >= stop or buffer[behind] != close:
                        continue
                    session_at, session_length = place, length
                    session_code = _word(
                        buffer, words, session_keys, session_values, session_count, place, length, fresh, found, 0,
                        makes, secret,
                    )  # fmt: skip
                session = session_code
                place = behind + 1
            behind = place + name_length
            if (
                name_length == 0
                or name_close != close
                or behind >= stop
                or buffer[behind] != close
                or not _same(words, place, name_at, name_length)
            ):
                behind = place
                while behind < stop and behind - place <= NAME_MOST and buffer[behind] != close:
                    behind += 1
                length = behind - place
                if length == 0 or length > NAME_MOST or behind >= stop or buffer[behind] != close:
                    continue
                name_at, name_length, name_close = place, length, close
                name_code = _word(
                    buffer, words, name_keys, name_values, name_count, place, length, fresh, found, 1, makes, secret
                )
            if name_code == BAD:
                continue
            name = name_code
            device = name >> 1
            in_session = session
            rest = behind + 1
            of_frame = frame
            break
        seed = seed_of(stamped, of_frame, secret)
        digest = _digest(words, rest, stop - rest, seed)
        code = _N(UNREAD)
        need = SINGLE
        if state >= 0:
            place = place_of(known_keys, line_key(digest, state))
            if known_keys[place] != 0:
                code = known_values[place]
                need = needs[code]
                if need == 0:
                    at += 1
                    begin = end + 1
                    continue
                if need & PARTED:
                    place = place_of(known_keys, _part_key(buffer, rest, parts, places, code, secret))
                    code = known_values[place] if known_keys[place] != 0 else _N(UNREAD)
            if code < 0 and any_holed and stop - rest <= HOLED_MOST:
                place = -1
                if of_frame < 0:
                    place, name = _code_by_word(
                        buffer, words, rest, stop, state, seed, holed_keys, name_keys, name_values, name_count, fresh,
                        scratch, scratch_words, found, makes, secret,
                    )  # fmt: skip
                elif name & 1:
                    key = holed_key(buffer, rest, stop, name_at, name_length, scratch, scratch_words, seed)
                    if key != 0:
                        place = place_of(holed_keys, line_key(key, state))
                if place >= 0 and holed_keys[place] != 0 and name >= 0 and name & 1:
                    code = holed_values[place]
                    device = name >> 1
                    if name >> 1 >= NEW:
                        fresh[(name >> 1) - NEW, FRESH_OPAQUE] = 1
        behind_state = state
        if code >= 0:
            need = needs[code]
            if need & STAMPED:
                form = piece_forms[code] + 1
                good, _, _ = read_stamp(
                    buffer, rest + pieces[code], form_letters[form], form_fixed[form], form_width[form]
                )
                if not good:
                    code = _N(UNREAD)
            if code >= 0 and need & TURNING:
                behind_state = turns[code]
        missing = code < 0 or need & SINGLE
        if missing or need & SAYING:
            numbered[row] = at
            starts[row] = begin
            stops[row] = stop
            bodies[row] = body
            rested[row] = rest
            stamps[row] = stamp
            digests[row] = digest
            codes[row] = code
            devices[row] = device
            in_sessions[row] = in_session
            are_stamped[row] = stamped
            if missing:
                missed[misses, MISSED_ROW] = row
                missed[misses, MISSED_BEFORE] = state
                missed[misses, MISSED_BEHIND] = behind_state
                missed[misses, MISSED_NEXT] = end + 1
                misses += 1
            row += 1
        state = behind_state
        at += 1
        begin = end + 1
        if misses >= most:
            break
    found[AT] = at
    found[BEGIN] = begin
    found[STATE] = state
    found[ROW] = row
    found[MISSED] = misses


# ---- rows and values of the lines that were found --------------------------------------------------------------------


@compiled
def gather(
    number: Array,
    code: Array,
    stamp: Array,
    device: Array,
    session: Array,
    shapes: Array,
    stamped: Array,
    named: Array,
    in_session: Array,
    means: Array,
    waiting: Word,
    first: int,
    rows: Array,
    to_shape: Array,
    to_line: Array,
    to_stamp: Array,
    to_device: Array,
    to_session: Array,
    parts: Array,
    unknown: Array,
) -> tuple[int, int, int]:
    """Write rows of the lines that are events, and list the others.

    ``number``: their numbers in the block; ``waiting``: the shape of those that the parser made; ``first``: the number
    of the block's first line. Gives how many rows, parts of records and unknown lines there are.
    """
    made = of_parts = of_unknown = 0
    for at in range(len(code)):
        own = code[at]
        what = means[own] if own >= 0 else -2 - own
        if what == EVENT:
            rows[made] = at
            to_line[made] = first + number[at]
            if own >= 0:
                to_shape[made] = shapes[own]
                to_stamp[made] = stamp[at] if stamped[own] else NONE_TOLD
                to_device[made] = device[at] if named[own] else -1
                to_session[made] = session[at] if in_session[own] else -1
            else:
                to_shape[made] = waiting
                to_stamp[made] = stamp[at]
                to_device[made] = device[at]
                to_session[made] = session[at]
            made += 1
        elif what == PART:
            parts[of_parts] = at
            of_parts += 1
        elif what == UNKNOWN:
            unknown[of_unknown] = at
            of_unknown += 1
    return made, of_parts, of_unknown


@compiled
def numbers(buffer: Array, at: Array, length: Array) -> Array:
    """Read whole numbers of up to 18 digits, with a sign or without."""
    values = np.empty(len(at), dtype=np.int64)
    for k in range(len(at)):
        place, stop = at[k], at[k] + length[k]
        minus = length[k] > 0 and buffer[place] == 45
        if minus:
            place += 1
        value = 0
        while place < stop:
            value = value * 10 + _I(buffer[place]) - 48
            place += 1
        values[k] = -value if minus else value
    return values


@compiled
def standing(
    code: Array, rest: Array, rows: Array, firsts: Array, places: Array, count: int
) -> tuple[Array, Array, Array, Array]:
    """Find the values that stand in lines, by their names, of which there are ``count``.

    ``places`` (n, 3): name, where in the rest it begins, how long it is; an entry's are those from ``firsts[code]`` to
    ``firsts[code + 1]``. Gives where those of each name begin and end among them all, and of each the place among the
    rows, where it stands, and its length.
    """
    begins = np.zeros(count + 1, dtype=np.int64)
    for k in range(len(rows)):
        own = code[rows[k]]
        if own >= 0:
            for place in range(firsts[own], firsts[own + 1]):
                begins[places[place, 0] + 1] += 1
    for name in range(count):
        begins[name + 1] += begins[name]
    following = begins[:-1].copy()
    own_rows = np.empty(begins[count], dtype=np.int64)
    at, length = np.empty_like(own_rows), np.empty_like(own_rows)
    for k in range(len(rows)):
        own = code[rows[k]]
        if own >= 0:
            for place in range(firsts[own], firsts[own + 1]):
                name = places[place, 0]
                to = following[name]
                following[name] += 1
                own_rows[to] = k
                at[to] = rest[rows[k]] + places[place, 1]
                length[to] = places[place, 2]
    return begins, own_rows, at, length


@compiled
def stamps(
    buffer: Array, code: Array, rest: Array, rows: Array, piece: Array, layout: Array, forms: Forms
) -> tuple[Array, Array, Array, Array]:
    """Read the stamps within lines of which values are made: places among the rows, layouts, UTC in ms, zone in s."""
    letters, fixed, width = forms.letters, forms.fixed, forms.width
    count = 0
    for k in range(len(rows)):
        own = code[rows[k]]
        count += own >= 0 and piece[own] >= 0
    which = np.empty(count, dtype=np.int64)
    layouts, utc, zones = np.empty_like(which), np.empty_like(which), np.empty_like(which)
    count = 0
    for k in range(len(rows)):
        own = code[rows[k]]
        if own >= 0 and piece[own] >= 0:
            form = layout[own] + 1
            _, ms, zone = read_stamp(buffer, rest[rows[k]] + piece[own], letters[form], fixed[form], width[form])
            which[count], layouts[count], utc[count], zones[count] = k, layout[own], ms, zone
            count += 1
    return which, layouts, utc, zones


@compiled
def codes_of(words: Array, at: Array, length: Array, table: Keyed, secret: Word) -> tuple[Array, Array]:
    """Give the numbers of pieces in a table, to which new ones are added in order, and which pieces are the first of
    these. There must be room for all of them."""
    keys, values, count = table.keys, table.values, table.held
    codes, new = np.empty(len(at), dtype=np.int32), np.empty(len(at), dtype=np.int64)
    fresh = 0
    for k in range(len(at)):
        key = number_of(words, at[k], length[k], secret)
        place = place_of(keys, key)
        if keys[place] == 0:
            keys[place] = key
            values[place] = count[0]
            count[0] += 1
            new[fresh] = k
            fresh += 1
        codes[k] = values[place]
    return codes, new[:fresh].copy()
