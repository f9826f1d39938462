from __future__ import annotations

import numpy as np
import pytest
import torch

from polymodal.base import deadline
from polymodal.models.experts._boosting import _grow
from polymodal.models.experts._convex import minimise


def test_without_a_limit_nothing_is_late() -> None:
    deadline.check()


def test_late_inside_and_free_again_outside() -> None:
    with deadline.within(-1), pytest.raises(deadline.Late):
        deadline.check()
    deadline.check()


def test_an_earlier_limit_holds() -> None:
    with deadline.within(-1), deadline.within(60), pytest.raises(deadline.Late):
        deadline.check()


def loss(logits: torch.Tensor) -> torch.Tensor:
    return (logits**2).mean()


def test_a_convex_fit_stops() -> None:
    with deadline.within(-1), pytest.raises(deadline.Late):
        minimise(np.ones((4, 1)), loss, 1, 1.0)


def test_boosting_stops() -> None:
    rows = np.arange(40)
    start, settings = np.zeros((40, 1)), {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 1}
    features = rows[:, None].astype(float)
    with deadline.within(-1), pytest.raises(deadline.Late):
        _grow(features, lambda z, _: loss(z - 1), start, (rows, rows[:0]), settings, 3)
