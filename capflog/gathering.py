"""Rows and values of the lines that :mod:`capflog.lookup` found, gathered in one pass of compiled code each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from capflog.compiling import compiled
from capflog.lookup import EVENT, NONE_TOLD, PART, UNKNOWN, number_of, place_of, read_stamp

if TYPE_CHECKING:
    from capflog.lookup import Array, Forms, Keyed, Word

_I: Any = np.int64


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
