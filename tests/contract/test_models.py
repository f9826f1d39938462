"""Every encoder x fusion x task: one training step, saved, loaded, the same predictions.

Each model has the encoder under test and a stub, and one target per task, so that every
triple occurs; and every fusion x task occurs alone too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from polymodal.base import lookup
from polymodal.contract.batch import Field, Outputs
from polymodal.contract.kind import kinds
from polymodal.contract.task import Task
from polymodal.models.model import Head, Model
from polymodal.run.run import fill

WIDTH = 16
FUSIONS = lookup.names("fusion")
TASKS = lookup.names("tasks")
PLAIN = [
    (kind, name, False) for kind in kinds() for name in lookup.names(f"modalities/{kind}/encoders")
]
BY_WORD = [
    (kind, name, True)
    for kind, name, _ in PLAIN
    if lookup.find(f"modalities/{kind}/encoders", name).words
]
# The first step's gradient is 0 by design where the next layer starts at 0.
STEPS = 2


@dataclass
class Case:
    """A model to be built twice, its batch and its targets."""

    build: Callable[[], Model]
    inputs: dict[str, Field]
    tasks: dict[str, Task]
    targets: dict[str, Tensor]


@pytest.fixture
def case(subject, stub, target_cells) -> Callable[..., Case]:
    """`case(encoder, fusion, tasks)`: `encoder` is (kind, name, words); None: two stubs."""

    def make(encoder: tuple[str, str, bool] | None, fusion: str, names: list[str]) -> Case:
        stub_class, stub_field, tags = stub
        reversed_field = Field(
            stub_field.data.flip(0), stub_field.mask.flip(0), stub_field.present.flip(0)
        )
        s = subject(*encoder) if encoder else None
        inputs = {"subject": s.field if s else reversed_field, "stub": stub_field}
        tagged = "stub"
        if s and s.tags:
            tags, tagged = s.tags, "subject"
        tasks, targets, heads = {}, {}, {}
        for name in names:
            task = lookup.build("tasks", name, name)
            cells = (target_cells | {"tags": tags})[task.kind]
            task.fit(cells)
            tasks[name] = task
            tokens = task.level == "token"
            targets[name] = stacked(task, cells)
            heads[name] = Head(task.size, tagged if tokens else None, task.bias())

        def build(adapt: bool = True) -> Model:
            encoders = {"subject": s.build(WIDTH, adapt) if s else stub_class(WIDTH)}
            encoders["stub"] = stub_class(WIDTH)
            built = lookup.build("fusion", fusion, list(encoders), WIDTH)
            return Model(encoders, built, heads, WIDTH, modality_dropout=0.0)

        return Case(build, inputs, tasks, targets)

    return make


def stacked(task: Task, cells: list[Any]) -> Tensor:
    encoded = task.encode(cells)
    if task.level == "row":
        return torch.from_numpy(np.stack(encoded))
    padded = np.full((len(cells), max(map(len, encoded))), task.missing, np.int64)
    for row, codes in enumerate(encoded):
        padded[row, : len(codes)] = codes
    return torch.from_numpy(padded)


def total_loss(outputs: Outputs, c: Case) -> Tensor:
    """As in training: a fusion of decisions learns view by view."""
    losses = []
    for name, task in c.tasks.items():
        logits, target = outputs.logits[name], c.targets[name]
        if logits.dim() == 3:
            logits = logits[:, : target.shape[1]]
        losses.append(task.loss(logits, target))
        if outputs.views and task.level == "row":
            losses += [task.loss(view, target) for view in outputs.views[name].values()]
    return torch.stack(losses).sum()


def train(model: Model, c: Case) -> set[str]:
    """Two steps; the names of parameters that no gradient has reached."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    unreached = {name for name, p in model.named_parameters() if p.requires_grad}
    model.train()
    for _ in range(STEPS):
        loss = total_loss(model(c.inputs), c)
        assert loss.isfinite()
        optimizer.zero_grad()
        loss.backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), name
                if (parameter.grad != 0).any():
                    unreached.discard(name)
        optimizer.step()
    return unreached


@torch.no_grad()
def scores(model: Model, c: Case, inputs: dict[str, Field] | None = None) -> dict[str, Tensor]:
    logits = model.eval()(inputs or c.inputs).logits
    return {name: task.scores(logits[name]) for name, task in c.tasks.items()}


def close(ours: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    for name in wanted:
        kept = ours[name][:, : wanted[name].shape[1]]
        torch.testing.assert_close(kept, wanted[name], atol=tolerance, rtol=tolerance, msg=name)


@torch.no_grad()
def assert_idle(model: Model, c: Case, names: set[str], wanted: dict[str, Tensor]) -> None:
    """What no gradient reaches must not matter: the query of a single token, an unused pooler."""
    before = {name: p.clone() for name, p in model.named_parameters() if name in names}
    for name in names:
        model.get_parameter(name).add_(torch.randn_like(before[name]))
    close(scores(model, c), wanted)
    for name in names:
        model.get_parameter(name).copy_(before[name])


def check(c: Case) -> None:
    torch.manual_seed(0)
    model = c.build()
    unreached = train(model, c)
    learned = {name for name, p in model.named_parameters() if p.requires_grad} - unreached
    for part in ("encoders.0.", "encoders.1.", *(f"heads.{i}." for i in range(len(c.tasks)))):
        assert any(name.startswith(part) for name in learned), part
    wanted = scores(model, c)
    assert all(value.isfinite().all() for value in wanted.values())
    assert_idle(model, c, unreached, wanted)
    torch.manual_seed(1)
    other = c.build(adapt=False)
    fill(other, load(save({k: v.contiguous() for k, v in model.state_dict().items()})))
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
        rows = slice(None) if task.level == "row" else slice(0, 3)
        torch.testing.assert_close(by_row[name][rows], wanted[name][rows], atol=1e-5, rtol=1e-5)


def row_of(field: Field, row: int) -> Field:
    mask = None if field.mask is None else field.mask[row : row + 1]
    return Field(field.data[row : row + 1], mask, field.present[row : row + 1])


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("encoder", PLAIN + BY_WORD, ids=lambda e: "-".join(map(str, e)))
def test_every_encoder_with_every_fusion_for_every_task(encoder, fusion, case):
    check(case(encoder, fusion, TASKS))


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("task", TASKS)
def test_every_fusion_for_every_task_alone(fusion, task, case):
    check(case(None, fusion, [task]))
