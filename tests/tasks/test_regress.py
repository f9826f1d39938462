"""Standardised inside, the column's unit outside."""

from __future__ import annotations

import datetime
import decimal
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field
from polymodal.prepared.targets import prepared
from polymodal.tasks.regress import Regress


def fitted(cells, **options) -> Regress:
    task = Regress("y", **options)
    task.fit(cells)
    return task


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=2, max_size=20, unique=True)
)
def test_scores_undo_encode(cells):
    task = fitted(cells)
    encoded = np.stack(task.encode(cells))
    assert encoded.mean() == pytest.approx(0, abs=1e-4)
    assert encoded.std() == pytest.approx(1, abs=1e-4)
    scores = task.answer_of(torch.tensor(encoded).unsqueeze(1))
    assert scores.squeeze(1).tolist() == pytest.approx(cells, abs=1e-5 * task.scale + 1e-9)
    assert task.decode(scores.numpy())["y"] == scores.squeeze(1).tolist()


def test_cells_of_every_kind_of_number():
    task = fitted(["1", 2, 3.0, np.float32(4), decimal.Decimal(5), " 6 ", None, math.nan])
    assert task.mean == 3.5
    assert task.encode([None]) == [None]


def test_dates_are_seconds_in_any_spelling():
    new_year = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    task = fitted(["2024-01-01", datetime.date(2024, 1, 3), ""])
    assert task.low == new_year.timestamp() and task.high - task.low == 2 * 86400
    encoded = task.encode(["2024-01-02T00:00", new_year, None])
    assert [float(v) for v in encoded[:2]] == [0, -1] and encoded[2] is None


def test_scores_stay_near_the_training_range():
    scores = fitted([0.0, 10.0]).answer_of(torch.tensor([[-99.0], [99.0]]))
    assert scores.squeeze(1).tolist() == [-0.5, 10.5]


def field(task, cells) -> Field:
    """The cells as a batch has them."""
    return prepared(task, cells).gather(np.arange(len(cells)))


@pytest.mark.parametrize(("error", "wanted"), [("mse", 2.5), ("mae", 1.5), ("huber", 1.0)])
def test_errors_are_means_over_known_targets(error, wanted):
    task = fitted([0, 1], error=error)
    logits = torch.tensor([[1.0], [2.0], [5.0]], requires_grad=True)
    loss = task.loss_of(logits, Field(torch.zeros(3), None, torch.tensor([True, True, False])))
    assert loss.item() == pytest.approx(wanted)
    loss.backward()
    assert logits.grad.isfinite().all() and logits.grad[2].item() == 0
    none = task.loss_of(logits, field(task, [None] * 3))
    none.backward()
    assert none.item() == 0 and logits.grad.isfinite().all()


def test_metrics_are_in_the_columns_unit():
    task = fitted([100.0, 300.0])
    scores = [np.array([110.0]), np.array([280.0])]
    targets = task.encode([100.0, 300.0])
    found = task.metrics(scores, targets)
    ones = np.ones((1, 2))
    assert found["mae"].statistic(ones)[0] == pytest.approx(15)
    assert found["rmse"].statistic(ones)[0] == pytest.approx(math.sqrt(250))
    assert task.criterion(scores, targets) == pytest.approx(250 / task.scale**2)
    assert task.primary in found


def test_large_values_keep_their_digits():
    task = fitted([1.7e9, 1.7e9 + 100])
    scores = task.answer_of(torch.tensor([[0.0]]))
    assert scores.item() == 1.7e9 + 50


def test_state_survives_json():
    task = fitted([1.0, 2.5, 7.25])
    again = Regress("y")
    again.state = json.loads(json.dumps(task.state))
    assert again.encode([4.0]) == task.encode([4.0])


@pytest.mark.parametrize("cell", ["many", "inf", -math.inf, "1_000", True, "3.5.1", [1.0]])
def test_what_is_no_finite_number_is_an_error(cell):
    with pytest.raises(UserError, match="no finite number"):
        fitted([1.0, 2.0, cell])


@pytest.mark.parametrize("cells", [[1.0, 1.0], [None], []])
def test_nothing_to_learn_is_an_error(cells):
    with pytest.raises(UserError, match="nothing to learn"):
        fitted(cells)


def test_options_are_checked():
    with pytest.raises(UserError, match="unknown error 'rmse'"):
        Regress("y", error="rmse")
