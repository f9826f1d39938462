"""Cells replaced by another row's: how many, which, what stood there."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from polymodal.base.errors import UserError
from polymodal.contract.batch import Batch, Field, Fused, Tokens
from polymodal.contract.task import Pass
from polymodal.modalities.table.forms.cells import Cells
from polymodal.tasks.masked_cells import MaskedCells, present

COLUMNS = [("n", "number"), ("c", "category"), ("s", "set")]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "n": float(rng.normal(5, 3)),
            "c": "abcd"[int(rng.integers(4))],
            "s": ";".join(x for x in "xyz" if rng.random() < 0.5) or "x",
        }
        for _ in range(count)
    ]


def form_and_field(count: int = 200) -> tuple[Cells, Field]:
    cells = rows(count)
    form = Cells(columns=[{"name": n, "kind": k} for n, k in COLUMNS])
    form.fit(cells)
    data = torch.from_numpy(np.stack([form.encode(cell) for cell in cells]))
    return form, Field(data, None, torch.ones(count, dtype=torch.bool))


def spoiled(task: MaskedCells, form: Cells, field: Field, seed: int = 0) -> Batch:
    batch = Batch({"table": field}, {}, torch.arange(len(field.data)))
    return task.spoil(batch, {"table": form}, seeded(seed))


def told(task: MaskedCells, form: Cells, batch: Batch) -> Pass:
    count = len(batch.rows)
    torch.manual_seed(0)
    head = task.heads(8, [], 0.0, {"table": form})
    values = torch.randn(count, 3, 8)
    tokens = {"table": Tokens(values, torch.ones(count, 3, dtype=torch.bool))}
    output = head(Fused(values.mean(1), tokens, own=tokens)).output
    return Pass(batch.inputs, None, output, {}, batch.targets[task.name])


def test_what_training_rows_hold_is_kept_by_column() -> None:
    form, field = form_and_field()
    known = form.marginals
    assert known.mean[0] == pytest.approx(field.data[:, 0].mean().item(), rel=1e-4)
    assert known.deviation[0] == pytest.approx(field.data[:, 0].std(correction=0).item(), rel=1e-4)
    assert known.mean[1:].tolist() == [0] * 4 and known.deviation[1:].tolist() == [1] * 4
    assert set(known.sample[:, 0]) <= set(field.data[:, 0].tolist())
    assert set(known.sample[:, 1]) == {1, 2, 3, 4}
    before = form.fingerprint
    again = Cells(columns=form.columns)
    again.state = form.state
    assert again.fingerprint == before
    np.testing.assert_array_equal(again.marginals.sample, known.sample)
    old = {key: value for key, value in form.state.items() if key != "marginals"}
    again.state = old
    # Of no array: the same arrays have the same fingerprint.
    assert again.fingerprint == before and again.marginals is None


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_share_of_the_present_cells_is_chosen(share: float) -> None:
    form, field = form_and_field(20_000 // 10)
    field.data[::4, 0] = torch.nan
    field.data[1::4, 1] = 0
    batch = spoiled(MaskedCells("cells", modality="table", share=share), form, field)
    target, data = batch.targets["cells"], batch.inputs["table"].data
    replaced = target.data[:, -3:] > 0
    assert torch.equal(target.mask, present(field.data, form.slots))
    assert not (replaced & ~target.mask).any()
    # A number that comes in is hardly ever the one that stood there.
    assert replaced[:, 0][target.mask[:, 0]].float().mean().item() == pytest.approx(share, abs=0.03)
    torch.testing.assert_close(target.data[:, :-3], field.data, equal_nan=True, rtol=0, atol=0)
    changed = torch.stack(
        [
            (data[:, s.start : s.stop] != field.data[:, s.start : s.stop])
            .logical_and(~field.data[:, s.start : s.stop].isnan())
            .any(1)
            for s in form.slots
        ],
        1,
    )
    assert torch.equal(changed, replaced)


def test_none_replaced_is_a_loss_of_zero() -> None:
    form, field = form_and_field()
    task = MaskedCells("cells", modality="table", share=0.0)
    loss = task.loss(told(task, form, spoiled(task, form, field)))
    loss.backward()
    assert loss.item() == 0


def test_losses_are_those_of_replaced_cells() -> None:
    form, field = form_and_field()
    task = MaskedCells("cells", modality="table", share=0.3)
    batch = spoiled(task, form, field)
    done = told(task, form, batch)
    output, target = done.output, done.target
    gone = target.data[:, -3:] > 0
    shown = gone.any(1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    which = bce(output["which"][shown], gone[shown].float())
    z = (field.data[:, 0] - form.marginals.mean[0]) / form.marginals.deviation[0]
    errors = [
        (output["told"][0][:, 0] - z)[gone[:, 0]] ** 2,
        torch.nn.functional.cross_entropy(
            output["told"][1][gone[:, 1]], field.data[gone[:, 1], 1].long(), reduction="none"
        ),
        bce(output["told"][2][gone[:, 2]], field.data[gone[:, 2], 2:], reduction="none").mean(1),
    ]
    wanted = which + torch.cat(errors).mean()
    assert task.loss(done).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_figures() -> None:
    form, field = form_and_field()
    task = MaskedCells("cells", modality="table", share=0.3)
    done = told(task, form, spoiled(task, form, field))
    answers, ones = task.answer(done), np.ones((1, 200))
    found = {name: m.statistic(ones)[0] for name, m in task.metrics(answers, []).items()}
    gone = done.target.data[:, -3:] > 0
    assert found["found_majority"] == pytest.approx(1 - gone.float().mean().item())
    constant = task.constant(answers)
    own = {name: m.statistic(ones)[0] for name, m in task.metrics(constant, []).items()}
    assert own["found"] == found["found_majority"] and own["r2"] == 0
    assert own["category_accuracy"] == found["category_majority"]
    share = gone.float().mean().item()
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    assert task.criterion(constant, []) > entropy


def test_it_learns(one_pass) -> None:
    """Two numbers and a category that say the same: one that differs was replaced."""
    rng = np.random.default_rng(0)
    cells = [
        {"a": s + 0.01 * i, "b": 2 * s, "c": "plus" if s > 0 else "minus"}
        for i, s in enumerate(rng.choice([-2.0, 2.0], 64).tolist())
    ]
    task = MaskedCells("cells", modality="table")
    columns = [
        {"name": n, "kind": k} for n, k in [("a", "number"), ("b", "number"), ("c", "category")]
    ]
    _, last, constant = one_pass(
        task, "table", "cells", {"columns": columns}, cells, fusion="cross_attention", steps=120
    )
    assert last < 0.9 * constant


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="is no share of cells"):
        MaskedCells("x", modality="table", share=1.0)
    with pytest.raises(UserError, match="has no cells of 'table' to replace"):
        MaskedCells("x", modality="table").heads(8, [], 0.0, {})
