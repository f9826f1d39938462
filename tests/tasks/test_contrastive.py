"""Contrastive: known answers, absent modalities, retrieval figures, cached gradients."""

from __future__ import annotations

import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field, Fused, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.task import Pass
from polymodal.contract.unlabelled import Nothing
from polymodal.fusion.sum import Sum
from polymodal.models.model import Model
from polymodal.tasks.contrastive import MOST, Contrastive, info_nce, sigmoid
from polymodal.train import cached
from polymodal.train.losses import losses

WIDTH = 16


def done(vectors: torch.Tensor, present: torch.Tensor, scale: float = 10.0) -> Pass:
    rows = len(vectors)
    given = {"vectors": vectors, "present": present, "scale": torch.full((rows,), scale)}
    return Pass({}, None, given | {"bias": torch.full((rows,), -10.0)})


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    vectors = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return nn.functional.normalize(vectors, dim=-1)


def test_orthonormal_pairs_have_known_losses() -> None:
    x = torch.eye(4)
    assert float(info_nce(x, x, 10.0)) == pytest.approx(1.362e-4, rel=1e-3)
    assert float(info_nce(x, x, 10.0)) == pytest.approx(math.log1p(3 * math.exp(-10)), rel=1e-3)
    two = torch.eye(2)
    assert float(sigmoid(two, two, 10.0, -10.0)) == pytest.approx(0.693193, abs=1e-6)


def test_unrelated_vectors_have_the_loss_of_a_guess() -> None:
    x, y = unit(64, 20_000), unit(64, 20_000, seed=1)
    assert float(info_nce(x, y, 1.0)) == pytest.approx(math.log(64), abs=1e-3)


@pytest.mark.parametrize("rule", ["info_nce", "sigmoid"])
def test_rows_that_lack_a_modality_change_nothing_to_the_bit(rule: str) -> None:
    task = Contrastive("pairs", rule=rule)
    vectors, present = unit(6, 3, 8), torch.ones(6, 3, dtype=torch.bool)
    present[1, 0] = present[3, 2] = False
    vectors[~present] = 0
    wanted = task.loss(done(vectors, present))
    apart = torch.stack([a.float() for a in _pairs(task, vectors, present)]).mean()
    assert wanted == apart
    # Whatever stands where nothing is: rows with one modality take part in no pair.
    more = torch.cat([vectors, 1e3 * torch.ones(2, 3, 8)])
    lone = torch.tensor([[True, False, False], [False, False, False]])
    assert task.loss(done(more, torch.cat([present, lone]))) == wanted
    nothing = torch.zeros(6, 3, dtype=torch.bool)
    vectors.requires_grad_()
    loss = task.loss(done(vectors, nothing))
    loss.backward()
    assert loss == 0 and vectors.grad is not None


def _pairs(task: Contrastive, vectors: torch.Tensor, present: torch.Tensor) -> list[torch.Tensor]:
    """Each pair's loss over the rows that have both."""
    found = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = present[:, a] & present[:, b]
        x, y = vectors[both, a], vectors[both, b]
        is_sigmoid = task.rule == "sigmoid"
        found.append(sigmoid(x, y, 10.0, -10.0) if is_sigmoid else info_nce(x, y, 10.0))
    return found


def test_its_scale_starts_at_clips_and_ends_at_100() -> None:
    forms = {"a": Nothing(), "b": Nothing()}
    fused = Fused(torch.zeros(2, 8), {}, own={n: _tokens(2, 8) for n in forms})
    head = Contrastive("pairs").heads(8, [], 0.0, forms).requires_grad_(False)
    assert float(head(fused).output["scale"][0]) == pytest.approx(1 / 0.07)
    with torch.no_grad():
        head.log_scale.fill_(10.0)
    assert float(head(fused).output["scale"][0]) == pytest.approx(MOST)
    other = Contrastive("pairs", rule="sigmoid").heads(8, [], 0.0, forms)
    other = other.requires_grad_(False)(fused).output
    assert [float(other[n][0]) for n in ("scale", "bias")] == pytest.approx([10.0, -10.0])
    assert head(fused).output["vectors"].norm(dim=-1).numpy() == pytest.approx(np.ones((2, 2)))


def _tokens(rows: int, width: int) -> Tokens:
    return Tokens(torch.randn(rows, 3, width), torch.ones(rows, 3, dtype=torch.bool))


def test_one_modality_is_nothing_to_compare() -> None:
    with pytest.raises(UserError, match="nothing to compare"):
        Contrastive("pairs").heads(8, [], 0.0, {"a": Nothing()})
    with pytest.raises(UserError, match="nothing to compare"):
        Contrastive("pairs", modalities=["a", "c"]).heads(
            8, [], 0.0, {"a": Nothing(), "b": Nothing()}
        )
    assert Contrastive.pretrains({"a": "image"}) == {}


def test_retrieval_both_ways_is_over_the_rows_that_have_both() -> None:
    task = Contrastive("pairs", modalities=["picture", "note"])
    answers = np.zeros((5, 2, 4), np.float32)
    answers[:4, 0] = answers[:4, 1] = np.eye(4)
    answers[0, 1], answers[1, 1] = answers[1, 0], answers[0, 0]  # two that are exchanged
    answers[4, 0] = 1  # without a note
    rows = list(3 * answers)
    found = task.metrics(rows, rows)
    ones = np.ones((1, 5))
    assert found["recall_at_1"].statistic(ones) == pytest.approx(0.5)
    assert found["picture to note: recall_at_5"].statistic(ones) == pytest.approx(1.0)
    # Rows 0 and 1 find theirs last: two others tie with it at 0, and the wrong ones come first.
    assert found["note to picture: median_rank"].statistic(ones) == pytest.approx(2.5)
    assert task.criterion(rows, rows) == pytest.approx(math.log(4) / 2)
    judged = task.judged(rows, rows)
    assert judged.right.tolist() == [False, False, True, True, True]
    assert task.decode(rows)["pairs"] == [0.0, 0.0, 1.0, 1.0, None]
    assert task.metrics([], []) == {} and task.criterion([], []) == 0.0
    alike = list(np.ones((5, 2, 4)))
    assert task.metrics(alike, alike)["recall_at_1"].statistic(ones) == 0  # no luck by ties


class _Layers(Encoder):
    """Two layers with dropout, whose noise the second pass has to repeat."""

    kind, form = "table", "cells"

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(5, WIDTH), nn.GELU(), nn.Dropout(0.3), nn.Linear(WIDTH, WIDTH)
        )

    def forward(self, field: Field) -> Tokens:
        values = self.layers(field.data)
        return Tokens(values, torch.ones(values.shape[:2], dtype=torch.bool))


@pytest.mark.parametrize("rule", ["info_nce", "sigmoid"])
@pytest.mark.parametrize("dropout", [False, True])
def test_gradients_by_chunks_are_those_of_the_whole_batch(rule: str, dropout: bool) -> None:
    torch.manual_seed(0)
    task = Contrastive("pairs", rule=rule, size=8)
    forms = {"a": Nothing(), "b": Nothing()}
    model = Model(
        {n: _Layers() for n in forms}, Sum(list(forms), WIDTH), {"pairs": task}, WIDTH, 0, 0, forms
    ).train(dropout)
    present = torch.tensor([True, True, False, True, True, True, True])
    inputs = {"a": Field(torch.randn(7, 2, 5), None, present)}
    inputs["b"] = Field(torch.randn(7, 1, 5), None, present.flip(0))
    batch = Batch(inputs, {}, torch.arange(7))

    def gradients(chunk: int) -> tuple[float, dict[str, torch.Tensor]]:
        torch.manual_seed(1)
        model.zero_grad()
        loss = cached.backward(model, batch, task, chunk, nullcontext)
        return float(loss), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}

    loss, grads = gradients(3)
    if dropout:  # noise differs from the whole batch's, but not from itself
        assert gradients(3)[0] == loss
        assert all(torch.equal(grads[n], g) for n, g in gradients(3)[1].items())
        return
    model.zero_grad()
    wanted = losses(model(inputs), batch, {"pairs": task})["pairs"]
    wanted.backward()
    assert loss == pytest.approx(float(wanted.detach()), abs=1e-5)
    theirs = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert set(theirs) == set(grads) and any("log_scale" in n for n in theirs)
    for name, grad in theirs.items():
        torch.testing.assert_close(grads[name], grad, atol=1e-5, rtol=1e-5)
