from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polymodal.modalities.series.slices import slices


def test_whole_parts_are_plain_means() -> None:
    x = np.arange(12.0).reshape(6, 2)
    np.testing.assert_allclose(slices(x, 3), x.reshape(3, 2, 2).mean(1))


def test_fractions_of_steps_count_by_their_share() -> None:
    # Three steps in two parts: each takes one step and half of the middle one.
    found = slices(np.array([[0.0], [3.0], [6.0]]), 2)
    np.testing.assert_allclose(found, [[1.0], [5.0]])


@given(st.integers(1, 40), st.integers(1, 20), st.floats(-5, 5))
def test_means_and_constants_are_kept(steps: int, count: int, level: float) -> None:
    x = np.random.default_rng(steps).normal(size=(steps, 2))
    np.testing.assert_allclose(slices(x, count).mean(0), x.mean(0), atol=1e-9)
    np.testing.assert_allclose(slices(np.full((steps, 1), level), count), level, atol=1e-9)
    assert slices(x, steps) == pytest.approx(x)
