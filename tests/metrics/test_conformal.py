"""Split-conformal limits: closed forms, and the coverage that they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.metrics.conformal import coverage, strangeness


@pytest.mark.parametrize(("rows", "rank"), [(9, 9), (19, 18), (99, 90), (100, 91)])
def test_the_limit_is_the_row_of_rank_level_times_one_more(rows: int, rank: int) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, rows + 1))
    assert strangeness(scores).within(0.9) == rank


@pytest.mark.parametrize("rows", [0, 1, 8])
def test_too_few_rows_say_nothing(rows: int) -> None:
    assert strangeness(np.arange(float(rows))).within(0.9) == math.inf


def test_rows_of_a_group_count_once_together() -> None:
    # Nine groups of one row and one of a hundred: the hundred are a tenth, not most of all.
    scores = np.concatenate([np.arange(9.0), np.full(100, 50.0)])
    groups = np.concatenate([np.arange(9), np.full(100, 9)])
    assert strangeness(scores, groups).within(0.8) == 8.0
    assert strangeness(scores).within(0.8) == 50.0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_groups_of_one_row_are_no_groups(scores: list[int], level: float) -> None:
    values = np.array(scores, float)
    own = strangeness(values, np.arange(len(values)))
    assert own.within(level) == strangeness(values).within(level)


def test_new_rows_lie_within_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    held = [
        rng.exponential() <= strangeness(rng.exponential(size=49)).within(0.8) for _ in range(4000)
    ]
    assert abs(np.mean(held) - 0.8) < 0.02  # (49 + 1) · .8 is a whole number: exact


def test_coverage_is_the_share_inside() -> None:
    found = coverage(np.array([True, True, False, True]))
    assert found.statistic(np.ones((1, 4))) == pytest.approx([0.75])
