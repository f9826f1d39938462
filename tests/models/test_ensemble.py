"""Mixtures with a known best: greedy selection, averages, weights on the simplex."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.models.ensemble import greedy, simplex
from polymodal.tasks.classify import Classify

TRUTH = np.random.default_rng(0).normal(size=(400, 1))


def squared(scores) -> float:
    return float(np.mean((np.asarray(scores) - TRUTH) ** 2))


def noisy(*parts: tuple[float, int]) -> np.ndarray:
    """The truth with independent unit errors, each by its size and number."""
    errors = [size * np.random.default_rng(seed).normal(size=TRUTH.shape) for size, seed in parts]
    return TRUTH + sum(errors)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_greedy_is_never_worse_than_the_best_member_and_shares_sum_to_one(seed, count):
    rng = np.random.default_rng(seed)
    scores = {str(i): TRUTH + rng.normal(rng.normal(), 1, TRUTH.shape) for i in range(count)}
    shares = greedy(scores, squared)
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) > 0
    best = min(squared(values) for values in scores.values())
    assert squared(Classify("y").merge({n: scores[n] for n in shares}, shares)) <= best


def test_greedy_finds_the_known_best_mixture():
    """Errors e, and -3 e of equal direction: three parts of the first cancel one of the second."""
    error = np.random.default_rng(1).normal(size=TRUTH.shape)
    shares = greedy({"a": TRUTH + error, "b": TRUTH - 3 * error}, squared)
    assert shares == {"a": 0.75, "b": 0.25}


def test_greedy_weighs_independent_errors_by_their_precision():
    """Least squares of independent errors: shares as 1 / variance, here 4 : 1."""
    shares = greedy({"sharp": noisy((1, 1)), "blunt": noisy((2, 2))}, squared)
    assert shares["sharp"] == pytest.approx(0.8, abs=0.06)


def test_greedy_leaves_a_useless_member_and_a_copy_out():
    scores = {"good": noisy((0.1, 1)), "noise": noisy((3, 2)), "same": noisy((0.1, 1))}
    assert greedy(scores, squared) == {"good": 1.0}


@pytest.mark.parametrize(("gain", "joins"), [(0.0005, False), (0.002, True)])
def test_a_gain_of_less_than_a_thousandth_is_no_reason(gain, joins):
    scores = {"a": [np.array([1.0])], "b": [np.array([2.0])]}

    def loss(rows) -> float:
        return {1.0: 1.0, 2.0: 2.0}.get(float(rows[0][0]), 1 - gain)

    assert ("b" in greedy(scores, loss)) == joins


def test_ties_go_by_name_whatever_the_order():
    values = noisy((1, 1))
    assert greedy({"b": values, "a": values}, squared) == {"a": 1.0}
    assert greedy({"a": values, "b": values}, squared) == {"a": 1.0}


def test_nothing_joins_a_perfect_member():
    assert greedy({"b": TRUTH, "a": TRUTH.copy()}, squared) == {"a": 1.0}
    assert greedy({"b": TRUTH, "a": noisy((1, 1))}, squared) == {"b": 1.0}


def test_a_member_of_no_numbers_is_never_taken_in():
    broken = np.full_like(TRUTH, np.nan)
    assert greedy({"a": broken, "b": noisy((1, 1))}, squared) == {"b": 1.0}
    assert greedy({"a": broken, "b": broken}, squared) == {"a": 1.0}


def test_the_average_is_the_weighted_mean_of_the_rows():
    scores = {"a": [np.array([1.0, 0.0])] * 2, "b": [np.array([0.0, 1.0]), np.array([1.0, 1.0])]}
    found = Classify("y").merge(scores, {"a": 0.25, "b": 0.75})
    np.testing.assert_allclose(found, [[0.25, 0.75], [1.0, 0.75]])
    np.testing.assert_array_equal(Classify("y").merge(scores, {"b": 1.0}), scores["b"])


def test_the_average_of_rows_of_different_lengths():
    lengths = [3, 1, 0, 2]
    rng = np.random.default_rng(0)
    scores = {name: [rng.random((n, 4)) for n in lengths] for name in "ab"}
    found = Classify("y").merge(scores, {"a": 0.25, "b": 0.75})
    assert [len(row) for row in found] == lengths
    for row, a, b in zip(found, scores["a"], scores["b"], strict=True):
        np.testing.assert_allclose(row, 0.25 * a + 0.75 * b)
    alike = {name: [rows[0], rows[0]] for name, rows in scores.items()}
    np.testing.assert_allclose(Classify("y").merge(alike, {"a": 0.25, "b": 0.75})[1], found[0])
    assert Classify("y").merge({"a": []}, {"a": 1.0}) == []


@given(st.lists(st.floats(0.02, 1), min_size=2, max_size=4))
def test_simplex_finds_a_minimiser_inside(parts):
    wanted = np.array(parts) / np.sum(parts)
    found = simplex(len(wanted), lambda w: float(((w - wanted) ** 2).sum()))
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    np.testing.assert_allclose(found, wanted, atol=0.05)


def test_simplex_finds_a_corner_and_a_kink():
    slope = np.array([0.3, 0.1, 0.2])
    np.testing.assert_allclose(simplex(3, lambda w: float(w @ slope)), [0, 1, 0])
    kink = np.array([0.7, 0.3])
    found = simplex(2, lambda w: float(np.abs(w - kink).max()))
    np.testing.assert_allclose(found, kink, atol=0.02)


def test_simplex_of_one_and_of_a_flat_loss_stays_at_the_centre():
    np.testing.assert_array_equal(simplex(1, lambda w: 0.0), [1])
    np.testing.assert_array_equal(simplex(4, lambda w: 0.0), [0.25] * 4)
