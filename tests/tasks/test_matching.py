"""Matching: which negatives are drawn, what a guess costs, and what is answered."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polymodal.contract.batch import Batch, Field, Fused, Outputs, Tokens
from polymodal.contract.task import Pass
from polymodal.tasks.matching import Matching, alike, equal, negatives


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_equal_similarities_draw_every_other_row_alike() -> None:
    similar, nothing = torch.zeros(5, 5), torch.zeros(5, 5, dtype=torch.bool)
    draw = generator()
    drawn = torch.stack([negatives(similar, nothing, draw) for _ in range(4000)])
    for row in range(5):
        share = torch.bincount(drawn[:, row], minlength=5) / 4000
        assert share[row] == 0
        assert share[[j for j in range(5) if j != row]] == pytest.approx(0.25, abs=0.03)


def test_what_is_more_alike_is_drawn_more_often_and_equal_content_never() -> None:
    similar = torch.tensor([0.0, math.log(3), 0.0, 5.0]).expand(4, 4)
    same = torch.zeros(4, 4, dtype=torch.bool)
    same[0, 3] = same[2, 3] = True
    same[3] = True
    draw = generator()
    drawn = torch.stack([negatives(similar, same, draw) for _ in range(4000)])
    assert (torch.bincount(drawn[:, 0], minlength=4) / 4000)[1] == pytest.approx(0.75, abs=0.03)
    assert not (drawn[:, [0, 2]] == 3).any() and (drawn[:, 3] == -1).all()


def test_equal_content_is_told_whatever_the_padding_holds() -> None:
    mask = torch.tensor([[True, True, False], [True, True, False], [True, True, True]])
    data = torch.tensor([[1.0, 2.0, 9.0], [1.0, 2.0, 7.0], [1.0, 2.0, 0.0]])
    found = equal(Field(data, mask, torch.ones(3, dtype=torch.bool)))
    assert found.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    missing = torch.tensor([[torch.nan], [torch.nan], [0.0]])
    assert equal(Field(missing, None, torch.ones(3, dtype=torch.bool)))[0].tolist() == [
        True,
        True,
        False,
    ]


def field(values: list[float], present: list[bool]) -> Field:
    return Field(torch.tensor(values).unsqueeze(1), None, torch.tensor(present))


def outputs(batch: Batch) -> Outputs:
    own = {
        name: Tokens(torch.ones(len(batch), 1, 2), one.present.unsqueeze(1))
        for name, one in batch.inputs.items()
    }
    return Outputs({}, Fused(torch.zeros(len(batch), 2), own, own=own))


def test_rows_come_twice_and_the_second_time_with_another_ones() -> None:
    here = [True, True, True, False]
    inputs = {"a": field([1, 2, 3, 0], here), "b": field([5, 6, 7, 8], [True] * 4)}
    batch = Batch(inputs, {}, torch.arange(4))
    seen = set()
    for seed in range(6):
        found = Matching("pairs").mined(batch, outputs(batch), generator(seed))
        target = found.targets["pairs"]
        assert len(found) == 8 and target.data.tolist() == [1.0] * 4 + [0.0] * 4
        # The row without `a` has nothing that could belong together.
        assert target.present.tolist() == 2 * here
        moved = [n for n in inputs if not torch.equal(_half(found, n, 0), _half(found, n, 1))]
        assert len(moved) == 1
        first, second = _half(found, moved[0], 0), _half(found, moved[0], 1)
        assert (first != second)[:3].all() and torch.equal(first, inputs[moved[0]].data)
        seen.update(moved)
    assert seen == {"a", "b"}
    assert len(batch) == 4 and "pairs" not in batch.targets


def _half(batch: Batch, name: str, which: int) -> torch.Tensor:
    return batch.inputs[name].data.unflatten(0, (2, -1))[which]


def test_what_a_task_beside_it_compares_says_what_is_alike() -> None:
    vectors = torch.eye(3).unsqueeze(1).expand(3, 2, 3)
    own = {n: Tokens(torch.ones(3, 1, 2), torch.ones(3, 1, dtype=torch.bool)) for n in "ab"}
    fused = Fused(torch.zeros(3, 2), own, own=own)
    assert alike(Outputs({}, fused), 0, ["a", "b"]) == pytest.approx(torch.ones(3, 3))
    compared = {"vectors": vectors, "scale": torch.full((3,), 4.0)}
    assert torch.equal(alike(Outputs({"x": compared}, fused), 0, ["a", "b"]), 4 * torch.eye(3))


def test_a_guess_costs_ln_2_and_figures_are_of_rows_that_could_be_exchanged() -> None:
    task = Matching("pairs")
    present = torch.tensor([True, True, False, True, True, False])
    target = Field(torch.tensor([1.0, 1, 1, 0, 0, 0]), None, present)
    logits = torch.zeros(6, 1, requires_grad=True)
    loss = task.loss(Pass({}, None, logits, {}, target))
    loss.backward()
    assert loss.item() == pytest.approx(0.6931, abs=1e-4)
    assert logits.grad is not None and logits.grad[[2, 5]].abs().sum() == 0
    told = torch.tensor([[3.0], [3.0], [0.0], [-3.0], [3.0], [0.0]])
    rows = task.answer(Pass({}, None, told, {}, target))
    assert [len(rows), rows[2][1]] == [3, -1.0]
    ones = np.ones((1, 3))
    found = task.metrics(rows, rows)
    assert found["accuracy"].statistic(ones) == pytest.approx(0.75)
    assert found["preferred"].statistic(ones) == pytest.approx(0.5)
    assert task.criterion(rows, rows) == pytest.approx(found["log_loss"].statistic(ones)[0])
    assert task.decode(rows)["pairs"][0] == pytest.approx(1 / (1 + math.exp(-3)))
    assert task.metrics([], []) == {} and task.criterion([], []) == 0.0
    assert task.judged(rows, rows).right.tolist() == [True, False, False]
