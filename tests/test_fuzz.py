"""Nothing that reads what others wrote raises: the harnesses for a moment, and hypothesis on each reader by itself."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capflog.parsing import parse, parsers
from tests.bundles import LOG, tarred, zipped
from tests.fuzz import HARNESSES, harness
from tests.fuzz.mutating import FoundError, mutated, try_each
from tests.parsers.reading import read

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many mutations of its corpus each is given here; ``python -m tests.fuzz`` gives as many as one has time for.
COUNTS = {"bundle": 300, "parsers": 200, "analysis": 2, "conditions": 100, "rule_files": 60} | {
    "settings": 150, "reports": 40, "kept": 20,
}  # fmt: skip


@pytest.mark.parametrize("name", HARNESSES)
def test_a_harness_finds_nothing(name: str) -> None:
    assert try_each(harness(name), zlib.crc32(name.encode()), count=COUNTS[name]) > COUNTS[name]


def test_a_harness_that_finds_something_says_so_and_gives_the_input() -> None:
    class Wrong:
        WORDS = (b"word",)

        def seeds(self) -> Sequence[bytes]:
            return [b"a seed", b"another"]

        def once(self, data: bytes) -> None:
            if b"word" in data:
                raise KeyError(data)

    with pytest.raises(FoundError) as found:
        try_each(Wrong(), 0, count=10_000)  # type: ignore[arg-type]
    assert b"word" in found.value.data
    assert isinstance(found.value.__cause__, KeyError)


def test_mutations_are_the_same_for_a_seed() -> None:
    def first(seed: int) -> list[bytes]:
        made = mutated([LOG, b""], [b"w"], seed)
        return [next(made) for _ in range(50)]

    assert first(1) == first(1) != first(2)


#: Pieces of which logs are made, and what no log has: any of them may follow any other.
PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([sample.text.encode() for parser in parsers() for sample in parser.samples]),
    st.sampled_from([b"\n", b"\r\n", b"\r", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[2J", b" ", b"24:60:60.999 | "]),
)
LOGS = st.lists(PIECES, max_size=30).map(b"".join)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(LOGS)
@example(b"")
@example(b"\n" * 3)
def test_every_parser_accounts_for_each_line_of_any_bytes(data: bytes) -> None:
    for parser in parsers():
        read(parser, data)  # (which counts: events' lines + quiet + unknown = lines)
    whole = parse([data] if data else [], "log")
    assert whole.lines == sum(event.span for event in whole.events) + whole.quiet + whole.unparsed


ARCHIVES = (zipped({"a/b.txt": LOG, "c": b""}), tarred({"a/b.txt": LOG}), zipped({"x.zip": zipped({"y": LOG})}, 0))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_any_bytes_are_a_bundle_or_told_not_to_be_one(data: st.DataObject) -> None:
    base = bytearray(data.draw(st.sampled_from([*ARCHIVES, b"PK\x03\x04", b"\x1f\x8b\x08", b""])))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(base)))
        base[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    harness("bundle").once(bytes(base))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.text(max_size=80))
def test_any_text_is_a_condition_a_rule_and_settings_or_told_not_to_be(text: str) -> None:
    for name in ("conditions", "rule_files", "settings", "reports"):
        harness(name).once(text.encode("utf-8", "surrogatepass"))
