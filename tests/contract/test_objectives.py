"""Every task: missing targets, saving, scores, predictions, metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError

WORDS = 4
TAGS = [["O", "B-X"], ["B-X", "I-X", "O", "O"], None, ["O"], ["B-Y", "O"], ["O", "B-Y"]]
every_task = pytest.mark.parametrize("name", lookup.names("tasks"))


@pytest.fixture
def fitted(target_cells):
    """`fitted(name)`: the task and six cells, one of them missing, that it was fitted on."""

    def make(name: str):
        task = lookup.build("tasks", name, "y")
        cells = (target_cells | {"tags": TAGS})[task.kind]
        task.fit(cells)
        return task, cells

    return make


def stacked(task, cells) -> torch.Tensor:
    encoded = task.encode(cells)
    if task.level == "row":
        return torch.from_numpy(np.stack(encoded))
    padded = np.full((len(cells), WORDS), task.missing, np.int64)
    for row, codes in enumerate(encoded):
        padded[row, : len(codes)] = codes
    return torch.from_numpy(padded)


def logits_for(task, rows: int, dtype=torch.float32) -> torch.Tensor:
    shape = (rows, task.size) if task.level == "row" else (rows, WORDS, task.size)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return logits.requires_grad_()


@every_task
def test_missing_targets_change_nothing(name, fitted):
    task, cells = fitted(name)
    logits, target = logits_for(task, 6), stacked(task, cells)
    loss = task.loss(logits, target)
    loss.backward()
    lost = cells.index(None)
    assert loss.item() > 0
    assert (logits.grad[lost] == 0).all()
    assert (logits.grad[[i for i in range(6) if i != lost]] != 0).flatten(1).any(1).all()
    known = [i for i in range(6) if i != lost]
    assert task.loss(logits[known], target[known]).item() == pytest.approx(loss.item())


@every_task
def test_no_target_at_all_is_a_loss_of_zero(name, fitted):
    task, _ = fitted(name)
    logits = logits_for(task, 2)
    loss = task.loss(logits, stacked(task, [None, None]))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


@every_task
def test_restored_from_json(name, fitted):
    task, cells = fitted(name)
    restored = lookup.build("tasks", name, "y")
    restored.state = json.loads(json.dumps(task.state))
    assert restored.size == task.size and restored.primary == task.primary
    for ours, theirs in zip(restored.encode(cells), task.encode(cells), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    logits = logits_for(task, 6)
    assert torch.equal(restored.scores(logits), task.scores(logits))
    bias = task.bias()
    assert (restored.bias() is None) if bias is None else torch.equal(restored.bias(), bias)
    assert bias is None or (bias.shape == (task.size,) and bias.isfinite().all())


@every_task
@torch.no_grad()
def test_scores_predictions_and_metrics(name, fitted):
    task, cells = fitted(name)
    scores = task.scores(logits_for(task, 6)).numpy()
    targets = task.encode(cells)
    rows = (
        list(scores)
        if task.level == "row"
        else [row[: len(codes)] for row, codes in zip(scores, targets, strict=True)]
    )
    columns = task.decode(rows)
    assert "y" in columns and all(len(column) == 6 for column in columns.values())
    assert all(key == "y" or key.startswith("y=") for key in columns)
    json.dumps(columns)

    found = task.metrics(rows, targets)
    assert task.primary in found
    weights = np.random.default_rng(0).integers(1, 4, (5, 6)).astype(float)
    for metric in found.values():
        values = metric.statistic(weights)
        assert values.shape == (5,) and np.isfinite(values).all()
    assert np.isfinite(task.criterion(rows, targets))

    lost = cells.index(None)
    heavy = np.ones((1, 6))
    heavy[0, lost] = 100
    for metric in found.values():
        assert metric.statistic(heavy) == pytest.approx(metric.statistic(np.ones((1, 6))))


@every_task
def test_perfect_scores_are_best(name, fitted):
    """What `criterion` minimises and the primary metric agree on what is better."""
    task, cells = fitted(name)
    target = stacked(task, cells)
    torch.manual_seed(0)
    logits = logits_for(task, 6).detach().requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.3)
    start = task.scores(logits.detach()).numpy()
    for _ in range(150):
        loss = task.loss(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    end = task.scores(logits.detach()).numpy()
    targets = task.encode(cells)
    assert task.criterion(end, targets) < task.criterion(start, targets)
    metric = task.metrics(end, targets)[task.primary]
    best = 1.0 if metric.greater_is_better else 0.0
    assert metric.statistic(np.ones((1, 6)))[0] == pytest.approx(best, abs=0.02)


@every_task
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precisions(name, dtype, fitted):
    task, cells = fitted(name)
    target = stacked(task, cells)
    wanted = task.loss(logits_for(task, 6), target).item()
    logits = logits_for(task, 6, dtype)
    loss = task.loss(logits, target)
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(wanted, rel=0.02)
    assert logits.grad.isfinite().all()
    assert task.scores(logits).dtype in (torch.float32, torch.float64)


@every_task
def test_unseen_is_what_encode_refuses(name, fitted):
    task, cells = fitted(name)
    assert not any(task.is_unseen(cell) for cell in cells)
    new = {"category": "new", "set": ["new"], "tags": ["O", "new"], "number": 1e9}[task.kind]
    assert task.is_unseen(new) == (task.kind != "number")
    if task.is_unseen(new):
        with pytest.raises(UserError, match="'new', which no training row had"):
            task.encode([new])
