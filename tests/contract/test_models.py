"""Encoders x fusions x tasks: one training step, saved, loaded, the same predictions.

Every pair of an encoder, a fusion and a task occurs in some model; the products do not, for
encoders know nothing of each other. Each model has a few encoders, a stub, and a target per task.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from polymodal.base import lookup
from polymodal.contract.batch import Batch, Field, Outputs
from polymodal.contract.kind import kinds
from polymodal.contract.supervised import Supervised
from polymodal.models.model import Model
from polymodal.nn.weights import fill
from polymodal.train.losses import losses

FUSIONS = lookup.names("fusion")
TASKS = [
    name for name in lookup.names("tasks") if issubclass(lookup.find("tasks", name), Supervised)
]
PLAIN = [
    (kind, name, False) for kind in kinds() for name in lookup.names(f"modalities/{kind}/encoders")
]
BY_WORD = [
    (kind, name, True)
    for kind, name, _ in PLAIN
    if lookup.find(f"modalities/{kind}/encoders", name).words
]
# Encoders of one model: at most one by word, whose words are tagged.
GROUPS = 6
TOGETHER = [[*PLAIN[i::GROUPS], *BY_WORD[i::GROUPS]] for i in range(GROUPS)]
# The first step's gradient is 0 by design where the next layer starts at 0.
STEPS = 2


def total_loss(outputs: Outputs, c: Any) -> Tensor:
    """As in training: a fusion of decisions learns view by view."""
    batch = Batch(c.inputs, c.targets, torch.arange(len(next(iter(c.inputs.values())).present)))
    return torch.stack(list(losses(outputs, batch, c.tasks).values())).sum()


def train(model: Model, c: Any) -> set[str]:
    """Two steps; the names of parameters that no gradient has reached."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    unreached = {name for name, p in model.named_parameters() if p.requires_grad}
    model.train()
    for _ in range(STEPS):
        loss = total_loss(model(c.inputs), c)
        assert loss.isfinite()
        optimizer.zero_grad()
        loss.backward()
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        # NaN where one of a gradient's numbers is.
        largest = torch.stack([grad.abs().max() for grad in grads.values()])
        sizes = dict(zip(grads, largest.tolist(), strict=True))
        assert not [name for name, size in sizes.items() if not math.isfinite(size)]
        unreached -= {name for name, size in sizes.items() if size > 0}
        optimizer.step()
    return unreached


@torch.no_grad()
def scores(model: Model, c: Any, inputs: dict[str, Field] | None = None) -> dict[str, Tensor]:
    logits = model.eval()(inputs or c.inputs).logits
    return {name: task.answer_of(logits[name]) for name, task in c.tasks.items()}


def close(ours: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    for name in wanted:
        kept = ours[name][:, : wanted[name].shape[1]]
        torch.testing.assert_close(kept, wanted[name], atol=tolerance, rtol=tolerance, msg=name)


@torch.no_grad()
def spoil(model: Model, names: set[str]) -> None:
    """What no gradient reaches must not matter: the query of a single token, an unused pooler."""
    for name in names:
        model.get_parameter(name).add_(torch.randn_like(model.get_parameter(name)))


def check(c: Any) -> None:
    torch.manual_seed(0)
    model = c.build()
    unreached = train(model, c)
    learned = {name for name, p in model.named_parameters() if p.requires_grad} - unreached
    parts = [f"encoders.{i}." for i in range(len(c.inputs))]
    for part in (*parts, *(f"heads.{i}." for i in range(len(c.tasks)))):
        assert any(name.startswith(part) for name in learned), part
    wanted = scores(model, c)
    assert all(value.isfinite().all() for value in wanted.values())
    torch.manual_seed(1)
    other = c.build(adapt=False)
    fill(other, load(save({k: v.contiguous() for k, v in model.state_dict().items()})))
    spoil(other, unreached)
    close(scores(other, c), wanted, 1e-6)

    one = {name: row_of(field, 4) for name, field in c.inputs.items()}
    alone = scores(model, c, one)
    for name in wanted:
        length = alone[name].shape[1]
        torch.testing.assert_close(
            alone[name][0], wanted[name][4][:length], atol=1e-5, rtol=1e-5, msg=name
        )

    # An absent modality's cells change nothing.
    garbage = {}
    for name, field in c.inputs.items():
        data = field.data.clone()
        data[~field.present] = field.data[0]
        garbage[name] = Field(data, field.mask, field.present)
    by_row = scores(model, c, garbage)
    for name, task in c.tasks.items():
        rows = slice(None) if task.words is None else slice(0, 3)
        torch.testing.assert_close(by_row[name][rows], wanted[name][rows], atol=1e-5, rtol=1e-5)


def row_of(field: Field, row: int) -> Field:
    mask = None if field.mask is None else field.mask[row : row + 1]
    return Field(field.data[row : row + 1], mask, field.present[row : row + 1])


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("group", range(GROUPS))
def test_every_encoder_with_every_fusion_for_every_task(group, fusion, case):
    check(case(TOGETHER[group], fusion, TASKS))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_without_an_encoder_of_interest(fusion, case):
    check(case([], fusion, TASKS))


def test_no_group_is_tagged_twice():
    assert all(sum(words for *_, words in group) <= 1 for group in TOGETHER)
    assert sum(map(len, TOGETHER)) == len(PLAIN + BY_WORD)
