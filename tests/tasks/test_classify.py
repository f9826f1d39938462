"""Labels in any spelling, missing ones, weights, and errors that name the culprit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.base.spelling import canonical
from polymodal.contract.batch import Field
from polymodal.prepared.targets import prepared
from polymodal.tasks.classify import Classify


def fitted(cells, **options) -> Classify:
    task = Classify("y", **options)
    task.fit(cells)
    return task


def field(task, cells) -> Field:
    """The cells as a batch has them."""
    return prepared(task, cells).gather(np.arange(len(cells)))


def codes(task, cells) -> list[int]:
    return [int(code) for code in task.encode(cells)]


@pytest.mark.parametrize(
    ("cells", "spellings"),
    [
        (["true", "False"], [True, False, "True", "FALSE", np.True_, " true "]),
        (["1", "2"], [1, 2.0, "1.0", "2", np.int64(1), np.float32(2)]),
        ([0.5, 1.5], ["0.5", "1.5", 0.5]),
        (["01", "1"], ["01", 1, "1.0"]),
    ],
)
def test_one_class_whatever_the_spelling(cells, spellings):
    task = fitted(cells)
    assert task.size == 2
    names = {task.classes[code] for code in codes(task, spellings)}
    assert names <= {"true", "false", "1", "2", "0.5", "1.5", "01"}
    assert codes(task, spellings) == codes(task, [canonical(s) for s in spellings])


def test_numbers_are_in_order_and_the_second_class_is_positive():
    assert fitted([10, 9, "2"]).classes == ["2", "9", "10"]
    assert fitted(["no", "yes"]).classes == ["no", "yes"]
    assert fitted(["b", "10", "9"]).classes == ["10", "9", "b"]


def test_missing_targets_are_skipped():
    task = fitted(["a", None, math.nan, "b", " ", "b"])
    assert task.counts == [1, 2]
    target = field(task, ["a", None, float("nan"), "b"])
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    wanted = F.cross_entropy(logits[[0, 3]], torch.tensor([0, 1]))
    assert task.loss_of(logits, target).item() == pytest.approx(wanted.item())


@pytest.mark.parametrize("options", [{}, {"class_weights": "balanced"}, {"smoothing": 0.1}])
def test_loss_without_any_target_is_zero_with_a_gradient(options):
    task = fitted(["a", "b", "b"], **options)
    logits = torch.randn(3, 2, requires_grad=True)
    loss = task.loss_of(logits, field(task, [None] * 3))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_balanced_weights_and_smoothing_equal_the_references(smoothing):
    cells = ["a"] * 6 + ["b"] * 2 + ["c"]
    task = fitted(cells, class_weights="balanced", smoothing=smoothing)
    given = field(task, cells)
    target = given.data
    weights = compute_class_weight("balanced", classes=np.arange(3), y=target.numpy())
    logits = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    wanted = F.cross_entropy(
        logits, target, torch.tensor(weights).float(), label_smoothing=smoothing
    )
    assert task.loss_of(logits, given).item() == pytest.approx(wanted.item(), rel=1e-6)
    plain = fitted(cells).loss_of(logits, given)
    assert task.loss_of(logits, given).item() != pytest.approx(plain.item(), rel=1e-3)


def test_bias_is_the_prior():
    task = fitted(["a"] * 3 + ["b"])
    assert task.answer_of(task.bias()).tolist() == pytest.approx([0.75, 0.25])
    assert fitted(["a", "b"], class_weights="balanced").bias() is None


def test_state_survives_json():
    task = fitted(["x", "y", "y"])
    again = Classify("y")
    again.state = json.loads(json.dumps(task.state))
    assert again.size == 2 and codes(again, ["y"]) == [1]
    assert torch.equal(again.bias(), task.bias())


def test_decode_names_class_and_probabilities():
    task = fitted(["no", "yes"])
    columns = task.decode([np.array([0.75, 0.25]), np.array([0.5, 0.5])])
    assert columns == {"y": ["no", "no"], "y=no": [0.75, 0.5], "y=yes": [0.25, 0.5]}


def test_scores_are_probabilities_in_full_precision():
    logits = torch.tensor([[3.0, -2.0]], dtype=torch.bfloat16)
    scores = fitted(["a", "b"]).answer_of(logits)
    assert scores.dtype == torch.float32 and scores.sum().item() == pytest.approx(1, abs=1e-6)


def test_criterion_is_the_log_loss():
    task = fitted(["a", "b"])
    scores = [np.array([0.9, 0.1]), np.array([0.4, 0.6])]
    targets = task.encode(["a", "a"])
    wanted = log_loss([0, 0], np.stack(scores), labels=[0, 1])
    assert task.criterion(scores, targets) == pytest.approx(wanted)
    assert task.metrics(scores, targets)["log_loss"].statistic(np.ones((1, 2)))[0] == pytest.approx(
        wanted
    )
    assert task.primary in task.metrics(scores, targets)


def test_an_unseen_class_is_named():
    with pytest.raises(UserError, match="class 'c', which no training row had") as error:
        fitted(["a", "b"]).encode(["c"])
    assert "a, b" in error.value.expected


@pytest.mark.parametrize("cells", [["a", "a", None], [None, math.nan], []])
def test_nothing_to_learn_is_an_error(cells):
    with pytest.raises(UserError, match="nothing to learn"):
        fitted(cells)


@pytest.mark.parametrize(
    "cells", [[["a", "b"], ["c"]], [{"a": 1}, {"b": 2}], [np.zeros(2), np.ones(2)]]
)
def test_several_values_in_a_cell_are_an_error(cells):
    with pytest.raises(UserError, match="several values"):
        fitted(cells)


@pytest.mark.parametrize("options", [{"class_weights": "sqrt"}, {"smoothing": 1.0}])
def test_options_are_checked(options):
    with pytest.raises(UserError):
        Classify("y", **options)
