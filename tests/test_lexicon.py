"""Words by their numbers: in the order of first sight, whether Python keeps them or compiled code."""

from __future__ import annotations

import pytest

from capflog.lexicon import Lexicon
from capflog.shapebook import CompiledLexicon


@pytest.mark.parametrize("kind", [Lexicon, CompiledLexicon])
def test_words_keep_their_numbers_in_the_order_of_first_sight(kind: type[Lexicon]) -> None:
    words = kind()
    long = "y" * 1000
    assert words.codes_of(["b", "a", "b", "", long, "ä", "\udce9"]).tolist() == [0, 1, 0, 2, 3, 4, 5]
    assert words.codes_of([f"w{n}" for n in range(5000)]).tolist() == list(range(6, 5006))
    assert words.codes_of([long, "c", "a", "w9"]).tolist() == [3, 5006, 1, 15]
    assert words.codes_of([]).tolist() == []
    assert (list(words)[:6], len(words)) == (["b", "a", "", long, "ä", "\udce9"], 5007)
    assert words.code("ä") == 4
    other = kind()
    other.codes_of(["c", "new", "a"])
    assert words.absorb(other.packed()).tolist() == [5006, 5007, 1]
    assert words[5007] == "new"
