"""Every objective: missing targets, saving, scores, predictions, metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError

WORDS = 4
TAGS = [["O", "B-X"], ["B-X", "I-X", "O", "O"], None, ["O"], ["B-Y", "O"], ["O", "B-Y"]]
every_objective = pytest.mark.parametrize("name", lookup.names("tasks"))


@pytest.fixture
def fitted(target_cells):
    """`fitted(name)`: the objective and six cells, one of them missing, that it was fitted on."""

    def make(name: str):
        objective = lookup.build("tasks", name, "y")
        cells = (target_cells | {"tags": TAGS})[objective.kind]
        objective.fit(cells)
        return objective, cells

    return make


def stacked(objective, cells) -> torch.Tensor:
    encoded = objective.encode(cells)
    if objective.level == "row":
        return torch.from_numpy(np.stack(encoded))
    padded = np.full((len(cells), WORDS), objective.missing, np.int64)
    for row, codes in enumerate(encoded):
        padded[row, : len(codes)] = codes
    return torch.from_numpy(padded)


def logits_for(objective, rows: int, dtype=torch.float32) -> torch.Tensor:
    shape = (rows, objective.size) if objective.level == "row" else (rows, WORDS, objective.size)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return logits.requires_grad_()


@every_objective
def test_missing_targets_change_nothing(name, fitted):
    objective, cells = fitted(name)
    logits, target = logits_for(objective, 6), stacked(objective, cells)
    loss = objective.loss(logits, target)
    loss.backward()
    lost = cells.index(None)
    assert loss.item() > 0
    assert (logits.grad[lost] == 0).all()
    assert (logits.grad[[i for i in range(6) if i != lost]] != 0).flatten(1).any(1).all()
    known = [i for i in range(6) if i != lost]
    assert objective.loss(logits[known], target[known]).item() == pytest.approx(loss.item())


@every_objective
def test_no_target_at_all_is_a_loss_of_zero(name, fitted):
    objective, _ = fitted(name)
    logits = logits_for(objective, 2)
    loss = objective.loss(logits, stacked(objective, [None, None]))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


@every_objective
def test_restored_from_json(name, fitted):
    objective, cells = fitted(name)
    restored = lookup.build("tasks", name, "y")
    restored.state = json.loads(json.dumps(objective.state))
    assert restored.size == objective.size and restored.primary == objective.primary
    for ours, theirs in zip(restored.encode(cells), objective.encode(cells), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    logits = logits_for(objective, 6)
    assert torch.equal(restored.scores(logits), objective.scores(logits))
    bias = objective.bias()
    assert (restored.bias() is None) if bias is None else torch.equal(restored.bias(), bias)
    assert bias is None or (bias.shape == (objective.size,) and bias.isfinite().all())


@every_objective
@torch.no_grad()
def test_scores_predictions_and_metrics(name, fitted):
    objective, cells = fitted(name)
    scores = objective.scores(logits_for(objective, 6)).numpy()
    targets = objective.encode(cells)
    rows = (
        list(scores)
        if objective.level == "row"
        else [row[: len(codes)] for row, codes in zip(scores, targets, strict=True)]
    )
    columns = objective.decode(rows)
    assert "y" in columns and all(len(column) == 6 for column in columns.values())
    assert all(key == "y" or key.startswith("y=") for key in columns)
    json.dumps(columns)

    found = objective.metrics(rows, targets)
    assert objective.primary in found
    weights = np.random.default_rng(0).integers(1, 4, (5, 6)).astype(float)
    for metric in found.values():
        values = metric.statistic(weights)
        assert values.shape == (5,) and np.isfinite(values).all()
    assert np.isfinite(objective.criterion(rows, targets))

    lost = cells.index(None)
    heavy = np.ones((1, 6))
    heavy[0, lost] = 100
    for metric in found.values():
        assert metric.statistic(heavy) == pytest.approx(metric.statistic(np.ones((1, 6))))


@every_objective
def test_perfect_scores_are_best(name, fitted):
    """What `criterion` minimises and the primary metric agree on what is better."""
    objective, cells = fitted(name)
    target = stacked(objective, cells)
    torch.manual_seed(0)
    logits = logits_for(objective, 6).detach().requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.3)
    start = objective.scores(logits.detach()).numpy()
    for _ in range(150):
        loss = objective.loss(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    end = objective.scores(logits.detach()).numpy()
    targets = objective.encode(cells)
    assert objective.criterion(end, targets) < objective.criterion(start, targets)
    metric = objective.metrics(end, targets)[objective.primary]
    best = 1.0 if metric.greater_is_better else 0.0
    assert metric.statistic(np.ones((1, 6)))[0] == pytest.approx(best, abs=0.02)


@every_objective
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precisions(name, dtype, fitted):
    objective, cells = fitted(name)
    target = stacked(objective, cells)
    wanted = objective.loss(logits_for(objective, 6), target).item()
    logits = logits_for(objective, 6, dtype)
    loss = objective.loss(logits, target)
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(wanted, rel=0.02)
    assert logits.grad.isfinite().all()
    assert objective.scores(logits).dtype in (torch.float32, torch.float64)


@every_objective
def test_unseen_is_what_encode_refuses(name, fitted):
    objective, cells = fitted(name)
    assert not any(objective.is_unseen(cell) for cell in cells)
    new = {"category": "new", "set": ["new"], "tags": ["O", "new"], "number": 1e9}[objective.kind]
    assert objective.is_unseen(new) == (objective.kind != "number")
    if objective.is_unseen(new):
        with pytest.raises(UserError, match="'new', which no training row had"):
            objective.encode([new])
