"""Every task without labels, on every kind that it can be pretrained on."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from polymodal.base import lookup
from polymodal.contract.batch import Batch, Field
from polymodal.contract.kind import kinds
from polymodal.contract.unlabelled import Adapting, Unlabelled
from polymodal.models import build
from polymodal.models.model import Model
from polymodal.train.losses import losses
from polymodal.train.passes import passes, seen, told

WIDTH = 16


def _cases() -> list[tuple[str, str, dict[str, Any], str]]:
    """Task, its name, options, and the kind that stands beside its own."""
    found: dict[str, tuple[str, str, dict[str, Any], str]] = {}
    for name in lookup.names("tasks"):
        cls = lookup.find("tasks", name)
        # What is hidden by what the model finds alike depends on other rows, and on other tasks.
        if not issubclass(cls, Unlabelled) or cls.mines:
            continue
        for kind in kinds():
            other = next(k for k in kinds() if k != kind)
            for called, options in cls.pretrains({kind: kind, other: other}).items():
                own = options.get("modality", kind)
                beside = other if own == kind else kind
                key = json.dumps([name, own, beside if "modality" not in options else ""])
                found.setdefault(key, (name, called, options, own))
    return list(found.values())


CASES = _cases()
every_case = pytest.mark.parametrize(
    ("name", "called", "options", "own"), CASES, ids=[f"{n}-{o}" for n, _, _, o in CASES]
)


@pytest.fixture
def made(subject):
    """`made(name, called, options, own)`: the fitted task, its model and a batch of six rows."""

    def make(name: str, called: str, options: dict[str, Any], own: str):
        task = lookup.build("tasks", {"name": name, **options}, called)
        beside = next(kind for kind in options.get("modalities", kinds()) if kind != own)
        subjects = {}
        for kind in (own, beside):
            usual = kinds()[kind].encoder
            encoder = build.able(kind, task.asks.get(kind, ()), usual)
            if encoder is None:
                pytest.skip(f"no encoder of {kind} declares {task.asks[kind]}")
            subjects[kind] = subject(kind, encoder)
        inputs = {kind: one.field for kind, one in subjects.items()}
        task.fit(_cells(task, subjects))
        encoders = {kind: one.build(WIDTH) for kind, one in subjects.items()}
        forms = {kind: one.form for kind, one in subjects.items()}
        fusion = lookup.build("fusion", "cross_attention", list(encoders), WIDTH)
        tasks = {called: task}
        model = Model(encoders, fusion, tasks, WIDTH, 0.0, modality_dropout=0.0, read_in=forms)
        for head in model.heads:
            if isinstance(head, Adapting):
                head.adapt([inputs[head.modality]])
        targets = {called: Field(torch.zeros(6, 0), None, torch.ones(6, dtype=torch.bool))}
        return task, model, Batch(inputs, targets, torch.arange(6))

    return make


def _cells(task: Any, subjects: Any) -> list[Any]:
    if not task.columns:
        return [None] * 6
    return ["a quick brown fox in the house", "no more rain in London. None at all.", None] * 2


def _seen(task, model, batch, called):
    """The batch and the pass of a prediction."""
    model.eval()
    ((given, asked),) = passes(batch, {called: task}, model)
    with torch.no_grad():
        outputs = model.fuse(model.encode(given.inputs), (), told(given, asked), asked)
    return given, seen(called, task, given, outputs)


def _row(batch: Batch, row: int) -> Batch:
    """One row alone, padded no longer than it needs."""
    inputs = {}
    for name, field in batch.inputs.items():
        mask, data = field.mask, field.data[row : row + 1]
        if mask is not None:
            longest = max(1, int(mask[row].sum()))
            mask, data = mask[row : row + 1, :longest], data[:, :longest]
        inputs[name] = Field(data, mask, field.present[row : row + 1])
    targets = {
        n: Field(f.data[row : row + 1], None, f.present[row : row + 1])
        for n, f in batch.targets.items()
    }
    return Batch(inputs, targets, batch.rows[row : row + 1])


@every_case
def test_what_is_hidden(name, called, options, own, made):
    """The same for the same generator, of the row alone, and what was given stays as it is."""
    task, model, batch = made(name, called, options, own)
    before = {n: f.data.clone() for n, f in batch.inputs.items()}

    def spoiled(batch: Batch, seed: int = 0) -> Batch:
        return task.spoil(batch, model.read_in, torch.Generator().manual_seed(seed))

    one, again = spoiled(batch), spoiled(batch)
    for n, field in batch.inputs.items():
        torch.testing.assert_close(field.data, before[n], equal_nan=True)
        torch.testing.assert_close(
            one.inputs[n].data, again.inputs[n].data, equal_nan=True, rtol=0, atol=0
        )
    if not task.spoils:
        assert one.inputs[own] is batch.inputs[own]
        return
    assert set(batch.targets) == set(one.targets) == {called}
    for row in range(4):
        alone = spoiled(_row(batch, row)).inputs[own]
        length = alone.data.shape[1]
        field = one.inputs[own]
        if field.mask is not None:
            length = int(field.mask[row].sum())
            assert int(alone.mask.sum()) == length
            torch.testing.assert_close(
                alone.data[0, :length], field.data[row, :length], equal_nan=True, rtol=0, atol=0
            )
        else:
            torch.testing.assert_close(
                alone.data[0], field.data[row], equal_nan=True, rtol=0, atol=0
            )
    assert any(
        not torch.equal(
            spoiled(batch, seed).inputs[own].data.nan_to_num(),
            one.inputs[own].data.nan_to_num(),
        )
        for seed in range(1, 40)
    )


@every_case
def test_a_training_step(name, called, options, own, made):
    """A finite loss whose gradient reaches the encoder; absent rows say nothing."""
    task, model, batch = made(name, called, options, own)
    generator = torch.Generator().manual_seed(1)
    # Until something is hidden of these few short rows.
    for _ in range(20):
        ((given, asked),) = passes(batch, {called: task}, model, generator)
        loss = losses(model(given.inputs, given.targets, asked), given, asked)[called]
        if loss.item() > 0:
            break
    assert loss.isfinite() and loss.item() > 0
    loss.backward()
    grads = [p.grad for p in model.encoders[0].parameters() if p.grad is not None]
    assert any((g != 0).any() for g in grads) and all(g.isfinite().all() for g in grads)

    inputs = {}
    for n, field in batch.inputs.items():
        data = field.data.clone()
        data[~field.present] = data[0].clone()
        inputs[n] = Field(data, field.mask, field.present)
    model.eval()
    other = Batch(inputs, batch.targets, batch.rows)
    found = []
    for one in (batch, other):
        ((given, asked),) = passes(one, {called: task}, model)
        with torch.no_grad():
            outputs = model(given.inputs, given.targets, asked)
        found.append(losses(outputs, given, asked)[called].item())
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@every_case
def test_nothing_present_is_a_loss_of_zero(name, called, options, own, made):
    task, model, batch = made(name, called, options, own)
    gone = {
        n: Field(f.data, f.mask, torch.zeros(6, dtype=torch.bool)) for n, f in batch.inputs.items()
    }
    ((given, asked),) = passes(Batch(gone, batch.targets, batch.rows), {called: task}, model)
    loss = losses(model(given.inputs, given.targets, asked), given, asked)[called]
    loss.backward()
    assert loss.item() == 0


@every_case
def test_answers_and_metrics(name, called, options, own, made):
    task, model, batch = made(name, called, options, own)
    _, done = _seen(task, model, batch, called)
    rows = task.answer(done)
    assert len(rows) == 6 and all(np.isfinite(row).all() for row in rows)
    assert [np.shape(a) for a in task.constant(rows)] == [np.shape(a) for a in rows]
    assert len(task.merge({"a": rows, "b": rows}, {"a": 0.3, "b": 0.7})) == 6
    columns = task.decode(rows)
    assert called in columns and all(len(column) == 6 for column in columns.values())
    json.dumps(columns)
    found = task.metrics(rows, [np.zeros(0)] * 6)
    weights = np.random.default_rng(0).integers(1, 4, (5, 6)).astype(float)
    for metric in found.values():
        values = metric.statistic(weights)
        assert values.shape == (5,) and np.isfinite(values).all()
    assert not found or task.primary in found
    assert np.isfinite(task.criterion(rows, [np.zeros(0)] * 6))
    assert task.criterion([], []) in (0, 1) and task.metrics([], []) == {}
    judged = task.judged(rows, [np.zeros(0)] * 6)
    assert judged.right.shape == judged.loss.shape == (6,) and judged.right.dtype == bool
    assert all(np.isfinite(task.support(row, row)) for row in rows)

    again = lookup.build("tasks", {"name": name, **options}, called)
    again.state = json.loads(json.dumps(task.state))
    for ours, theirs in zip(again.answer(done), rows, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@every_case
def test_a_modality_left_out(name, called, options, own, made):
    """As measuring does it: encoded once, then fused without one of them."""
    task, model, batch = made(name, called, options, own)
    model.eval()
    ((given, asked),) = passes(batch, {called: task}, model)
    with torch.no_grad():
        tokens = model.encode(given.inputs)
        for absent in model.names:
            outputs = model.fuse(tokens, [absent], told(given, asked), asked)
            rows = task.answer(seen(called, task, given, outputs))
            assert len(rows) == 6 and all(np.isfinite(row).all() for row in rows)
