"""Corrupted texts: how often, of which kinds, and every word in its place."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.base import lookup

# A word of 20 000 different characters, none of them a letter that a typo may bring.
UNIQUE = "".join(chr(0x4E00 + i) for i in range(20_000))


def corrupted(name: str, cell: Any, level: float, seed: int = 0) -> Any:
    return lookup.build("modalities/text/corruptions", name)(
        cell, level, np.random.default_rng(seed)
    )


@pytest.mark.parametrize("level", [0.02, 0.1])
def test_typos_come_at_their_rate_and_in_four_ways(level: float) -> None:
    found = "".join(corrupted("typos", [UNIQUE], level))
    kept = [ord(c) for c in found if not c.isascii()]
    lost = len(UNIQUE) - len(kept)  # omitted or substituted
    came = len(found) - len(kept)  # inserted or substituted
    swapped = sum(a > b for a, b in itertools.pairwise(kept))
    share = level / 2 / 4  # a quarter of the characters mistyped, at most every second one
    assert lost / len(UNIQUE) == pytest.approx(2 * share, rel=0.25)
    assert came / len(UNIQUE) == pytest.approx(2 * share, rel=0.25)
    assert swapped / len(UNIQUE) == pytest.approx(share, rel=0.3)


def test_at_level_one_every_second_character_is_mistyped() -> None:
    words = list(UNIQUE[:4000])  # nothing to transpose or omit: substituted or followed
    found = corrupted("typos", words, 1.0)
    assert np.mean([a == b for a, b in zip(words, found, strict=True)]) == pytest.approx(
        # An omission that would empty the word is not made.
        1 - 0.5 * 3 / 4,
        abs=0.03,
    )


def test_what_is_mistyped_at_one_level_is_mistyped_at_every_higher_one() -> None:
    words = ["word"] * 500
    changed = [
        np.array([w != "word" for w in corrupted("typos", words, level)])
        for level in (0.1, 0.3, 0.6)
    ]
    # A second typo may by chance undo the first.
    for weak, strong in itertools.pairwise(changed):
        assert (weak & ~strong).sum() <= 5 and strong.sum() > 1.3 * weak.sum()


@pytest.mark.parametrize("level", [0.2, 0.7])
def test_words_are_dropped_at_their_rate_and_leave_a_blank(level: float) -> None:
    words = [f"w{i}" for i in range(5000)]
    found = corrupted("dropped_words", words, level)
    gone = np.array([word == "~" for word in found])
    assert gone.mean() == pytest.approx(level, abs=0.02)
    assert [w for w, g in zip(found, gone, strict=True) if not g] == [
        w for w, g in zip(words, gone, strict=True) if not g
    ]
    higher = np.array([w == "~" for w in corrupted("dropped_words", words, level + 0.1)])
    assert not (gone & ~higher).any() and higher.sum() > gone.sum()


def test_at_level_one_no_word_is_left() -> None:
    assert corrupted("dropped_words", "Anna sees\n the fox", 1.0) == "~ ~\n ~ ~"


def test_a_string_and_its_words_are_corrupted_alike() -> None:
    words = ["Anna", "sees", "the", "brown", "fox", "in", "a", "quiet", "house", "at", "night"]
    for name in ("typos", "dropped_words"):
        as_list = corrupted(name, words, 0.5)
        assert corrupted(name, "  ".join(words), 0.5) == "  ".join(as_list) != "  ".join(words)


@given(
    st.one_of(
        st.text(), st.lists(st.text(min_size=1).filter(lambda w: not any(map(str.isspace, w))))
    ),
    st.sampled_from(["typos", "dropped_words"]),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_there_are_always_as_many_words(cell: Any, name: str, level: float, seed: int) -> None:
    found = corrupted(name, cell, level, seed)
    assert type(found) is type(cell)
    if isinstance(cell, str):
        assert len(found.split()) == len(cell.split())
        assert [c for c in found if c.isspace()] == [c for c in cell if c.isspace()]
    else:
        assert len(found) == len(cell) and all(found)
