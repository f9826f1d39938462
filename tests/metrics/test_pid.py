"""Bits of the games of a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.builtin import interactions
from polymodal.metrics.pid import decompose


def joint(game: str) -> np.ndarray:
    rules = interactions.GAMES[game]
    table = np.zeros((2, 2, 2))
    for bits in rules.bits:
        table[(*bits, rules.label(bits))] += 1 / len(rules.bits)
    return table


def bits(table: np.ndarray) -> tuple[float, ...]:
    found = decompose(table)
    return found.redundant, found.unique1, found.unique2, found.synergy


@pytest.mark.parametrize(
    ("game", "known"),
    [
        ("xor", (0, 0, 0, 1)),
        ("redundant", (1, 0, 0, 0)),
        ("unique", (0, 1, 0, 0)),
        ("and", (0.75 * np.log2(4 / 3), 0, 0, 0.5)),
    ],
)
def test_known_answers(game, known):
    assert bits(joint(game)) == pytest.approx(known, abs=1e-12)


@pytest.mark.parametrize("game", ["xor", "redundant", "unique", "and"])
def test_known_answers_of_rows_drawn(game):
    """The bits read back from the cells of 5 000 rows, counted together with the labels."""
    frame = interactions.frame(game, ("category", "number"), 5000)
    codes = (frame["a_category"] > "e").astype(int), (frame["b_number"] > 0).astype(int)
    drawn = np.zeros((2, 2, 2))
    np.add.at(drawn, (*codes, (frame["label"] == "yes").astype(int)), 1 / len(frame))
    assert bits(drawn) == pytest.approx(bits(joint(game)), abs=0.02)


def test_and_to_the_digits_given():
    assert bits(joint("and")) == pytest.approx((0.311, 0, 0, 0.5), abs=5e-4)


@given(st.integers(0, 10**6))
def test_parts_make_up_the_whole_and_none_is_negative(seed):
    rng = np.random.default_rng(seed)
    table = rng.random((3, 2, 4)) * (rng.random((3, 2, 4)) < 0.7) + 1e-3
    table /= table.sum()

    def entropy(p: np.ndarray) -> float:
        return float(-(p * np.log2(p)).sum())

    found = decompose(table)
    whole = entropy(table.sum(2)) + entropy(table.sum((0, 1))) - entropy(table)
    first = entropy(table.sum((1, 2))) + entropy(table.sum((0, 1))) - entropy(table.sum(1))
    assert sum(bits(table)) == pytest.approx(whole)
    assert found.redundant + found.unique1 == pytest.approx(first)
    assert min(bits(table)) > -1e-12
    other = decompose(table.transpose(1, 0, 2))
    assert (other.unique1, other.unique2) == pytest.approx((found.unique2, found.unique1))
