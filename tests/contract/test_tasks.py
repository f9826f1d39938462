"""Every supervised task: missing targets, saving, answers, predictions, metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Fused, Tokens
from polymodal.contract.supervised import Supervised
from polymodal.contract.task import Pass
from polymodal.prepared.targets import prepared

WORDS = 4
TAGS = [["O", "B-X"], ["B-X", "I-X", "O", "O"], None, ["O"], ["B-Y", "O"], ["O", "B-Y"]]
TASKS = [
    name for name in lookup.names("tasks") if issubclass(lookup.find("tasks", name), Supervised)
]
every_task = pytest.mark.parametrize("name", TASKS)


@pytest.fixture
def fitted(target_cells):
    """`fitted(name)`: the task and six cells, one of them missing, that it was fitted on."""

    def make(name: str):
        task = lookup.build("tasks", name, "y")
        cells = (target_cells | {"tags": TAGS})[task.kind]
        task.fit(cells, {"text": "note"})
        return task, cells

    return make


def field(task, cells) -> Field:
    return prepared(task, cells).gather(np.arange(len(cells)))


def logits_for(task, rows: int, dtype=torch.float32) -> torch.Tensor:
    shape = (rows, task.size) if task.words is None else (rows, WORDS, task.size)
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return logits.requires_grad_()


def answers(task, logits: torch.Tensor, cells) -> list[np.ndarray]:
    """As a model's: of words, as many as there are."""
    lengths = torch.tensor([len(cell or ()) for cell in cells] if task.words else [1] * len(cells))
    mask = torch.arange(WORDS) < lengths.unsqueeze(1)
    fused = Fused(logits, {"note": Tokens(torch.zeros(*mask.shape, 1), mask)})
    return task.answer(Pass({}, fused, logits.detach()))


@every_task
def test_missing_targets_change_nothing(name, fitted):
    task, cells = fitted(name)
    logits, target = logits_for(task, 6), field(task, cells)
    loss = task.loss(Pass({}, None, logits, target=target))
    loss.backward()
    lost = cells.index(None)
    assert target.present.tolist() == [i != lost for i in range(6)]
    assert loss.item() > 0
    assert (logits.grad[lost] == 0).all()
    known = [i for i in range(6) if i != lost]
    assert (logits.grad[known] != 0).flatten(1).any(1).all()
    rest = field(task, [cells[i] for i in known])
    assert task.loss_of(logits[known], rest).item() == pytest.approx(loss.item())


@every_task
def test_no_target_at_all_is_a_loss_of_zero(name, fitted):
    task, cells = fitted(name)
    logits, target = logits_for(task, 6), field(task, cells)
    nothing = Field(target.data, target.mask, torch.zeros(6, dtype=torch.bool))
    loss = task.loss(Pass({}, None, logits, target=nothing))
    loss.backward()
    assert loss.item() == 0 and (logits.grad == 0).all()


@every_task
def test_likelihood_is_of_each_row(name, fitted):
    task, cells = fitted(name)
    logits, target = logits_for(task, 6), field(task, cells)
    found = task.likelihood(Pass({}, None, logits, target=target))
    for row in range(6):
        mask = None if target.mask is None else target.mask[row : row + 1]
        one = Field(target.data[row : row + 1], mask, target.present[row : row + 1])
        alone = task.loss(Pass({}, None, logits[row : row + 1], target=one))
        assert found[row].item() == pytest.approx(float(torch.exp(-alone.detach())), rel=1e-5)


@every_task
def test_restored_from_json(name, fitted):
    task, cells = fitted(name)
    restored = lookup.build("tasks", name, "y")
    restored.state = json.loads(json.dumps(task.state))
    assert restored.size == task.size and restored.primary == task.primary
    assert restored.form.fingerprint == task.form.fingerprint
    for ours, theirs in zip(restored.encode(cells), task.encode(cells), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    logits = logits_for(task, 6)
    assert torch.equal(restored.answer_of(logits), task.answer_of(logits))
    bias = task.bias()
    assert (restored.bias() is None) if bias is None else torch.equal(restored.bias(), bias)
    assert bias is None or (bias.shape == (task.size,) and bias.isfinite().all())


@every_task
def test_targets_can_be_undone(name, fitted):
    task, cells = fitted(name)
    known = [cell for cell in cells if cell is not None]
    for array in task.encode(known):
        again = task.encode([task.truth(array)])[0]
        np.testing.assert_allclose(again, array, rtol=1e-5, atol=1e-6)


@every_task
def test_answers_predictions_and_metrics(name, fitted):
    task, cells = fitted(name)
    rows = answers(task, logits_for(task, 6), cells)
    columns = task.decode(rows)
    assert "y" in columns and all(len(column) == 6 for column in columns.values())
    assert all(key == "y" or key.startswith("y=") for key in columns)
    json.dumps(columns)
    constant = task.constant(rows)
    assert [np.shape(a) for a in constant] == [np.shape(a) for a in rows]
    merged = task.merge({"a": rows, "b": constant}, {"a": 0.25, "b": 0.75})
    for one, a, b in zip(merged, rows, constant, strict=True):
        np.testing.assert_allclose(one, 0.25 * a + 0.75 * b, rtol=1e-6)
    stacked = np.stack([row[:1] if task.words else row for row in rows if len(row)])
    np.testing.assert_allclose(task.unlink(task.link(stacked)), stacked, rtol=1e-5, atol=1e-7)

    known = [i for i, cell in enumerate(cells) if cell is not None]
    mine, targets = [rows[i] for i in known], task.encode([cells[i] for i in known])
    found = task.metrics(mine, targets)
    assert task.primary in found
    weights = np.random.default_rng(0).integers(1, 4, (5, len(known))).astype(float)
    for metric in found.values():
        values = metric.statistic(weights)
        assert values.shape == (5,) and np.isfinite(values).all()
    assert np.isfinite(task.criterion(mine, targets))
    assert task.criterion([], []) in (0, 1) and task.metrics([], []) == {}
    judged = task.judged(mine, targets)
    assert judged.right.shape == judged.loss.shape == (len(known),)
    if task.exact:
        share = found[task.primary].statistic(np.ones((1, len(known))))[0]
        assert share == pytest.approx(judged.right.mean())
    for answer in rows:
        assert np.isfinite(task.support(answer, answer))


@every_task
def test_perfect_answers_are_best(name, fitted):
    """What `criterion` minimises and the primary metric agree on what is better."""
    task, cells = fitted(name)
    cells = [cell for cell in cells if cell is not None]
    target, targets = field(task, cells), task.encode(cells)
    torch.manual_seed(0)
    logits = logits_for(task, 5).detach().requires_grad_()
    optimizer = torch.optim.Adam([logits], 0.3)
    start = answers(task, logits, cells)
    for _ in range(150):
        loss = task.loss(Pass({}, None, logits, target=target))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    end = answers(task, logits, cells)
    assert task.criterion(end, targets) < task.criterion(start, targets)
    assert task.judged(end, targets).right.all()
    metric = task.metrics(end, targets)[task.primary]
    best = 1.0 if metric.greater_is_better else 0.0
    assert metric.statistic(np.ones((1, 5)))[0] == pytest.approx(best, abs=0.02)


@every_task
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_precisions(name, dtype, fitted):
    task, cells = fitted(name)
    target = field(task, cells)
    wanted = task.loss(Pass({}, None, logits_for(task, 6), target=target)).item()
    logits = logits_for(task, 6, dtype)
    loss = task.loss(Pass({}, None, logits, target=target))
    loss.backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert loss.item() == pytest.approx(wanted, rel=0.02)
    assert logits.grad.isfinite().all()
    assert task.answer_of(logits).dtype in (torch.float32, torch.float64)


@every_task
def test_unseen_is_what_encode_refuses(name, fitted):
    task, cells = fitted(name)
    assert not any(task.is_unseen(cell) for cell in cells)
    new = {"category": "new", "set": ["new"], "tags": ["O", "new"], "number": 1e9}[task.kind]
    assert task.is_unseen(new) == (task.kind != "number")
    if task.is_unseen(new):
        with pytest.raises(UserError, match="'new', which no training row had"):
            task.encode([new])
