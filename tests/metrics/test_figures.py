"""Counts for plots: nothing is lost by merging classes or binning numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from polymodal.metrics.figures import confusion, histogram


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1), st.integers(1, 6))
def test_confusion_is_sklearns_with_small_classes_merged(
    pairs: list[tuple[int, int]], most: int
) -> None:
    true, predicted = np.array(pairs).T
    names = ["a", "b", "c", "d", "e"]
    found = confusion(true, predicted, names, most)
    counts = np.array(found["counts"])
    assert counts.sum() == len(pairs)
    shown = [names.index(name) for name in found["classes"]]
    full = confusion_matrix(true, predicted, labels=range(5))
    assert (counts[: len(shown), : len(shown)] == full[np.ix_(shown, shown)]).all()
    support = full.sum(1)
    assert [support[i] for i in shown] == sorted(support, reverse=True)[: len(shown)]
    assert len(shown) + found["merged"] == len(set(true) | set(predicted))
    assert len(counts) == len(shown) + (found["merged"] > 0)
    if found["merged"]:
        others = [i for i in range(5) if i not in shown]
        assert counts[-1, -1] == full[np.ix_(others, others)].sum()


def test_histogram_counts_every_row_at_its_place() -> None:
    found = histogram(np.array([0.0, 0.0, 10.0]), np.array([10.0, 10.0, 5.1]), bins=10)
    assert (found["low"], found["high"]) == (0, 10)
    counts = np.array(found["counts"])
    assert counts.sum() == 3
    assert counts[0, 9] == 2  # true across, predicted up
    assert counts[9, 5] == 1


def test_histogram_of_one_value() -> None:
    found = histogram(np.full(4, 3.0), np.full(4, 3.0))
    assert found["low"] < 3 < found["high"]
    assert np.sum(found["counts"]) == 4


def test_the_axes_are_those_of_the_true_numbers() -> None:
    found = histogram(np.array([2.0, 250.0, 100.0]), np.array([-120.0, 375.0, 100.0]), bins=4)
    assert (found["low"], found["high"], found["outside"]) == (2, 250, 2)
    counts = np.array(found["counts"])
    assert counts.sum() == 3 and counts[0, 0] == 1 and counts[3, 3] == 1
