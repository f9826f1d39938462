"""A tiny network that learns one task from cells, in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from polymodal.base import lookup
from polymodal.contract.batch import Batch, Field
from polymodal.contract.form import Form
from polymodal.contract.task import Task
from polymodal.contract.unlabelled import Adapting
from polymodal.models.model import Model
from polymodal.prepared.prepare import Prepared
from polymodal.train.losses import losses
from polymodal.train.passes import passes, seen, told

WIDTH = 32


def gathered(form: Form, cells: Sequence[Any]) -> Field:
    arrays = [form.encode(cell) for cell in cells]
    shape = arrays[0].shape[int(form.ragged) :]
    return Prepared.of(arrays, form, shape).gather(np.arange(len(arrays)))


@pytest.fixture
def one_pass() -> Iterator[Callable[..., tuple[float, float, float]]]:
    """`one_pass(task, kind, encoder, form options, cells)`: criteria before, after, the constant's.

    `fusion` and `steps` may be given too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(
        task: Task,
        kind: str,
        encoder: str,
        options: Mapping[str, Any],
        cells: Sequence[Any],
        *,
        fusion: str = "sum",
        steps: int = 60,
        rate: float = 5e-3,
        extra: Mapping[str, Any] | None = None,
    ) -> tuple[float, float, float]:
        torch.manual_seed(0)
        name = next(iter(task.asks), "") or getattr(task, "modality", kind)
        cls = lookup.find(f"modalities/{kind}/encoders", encoder)
        form = lookup.build(f"modalities/{kind}/forms", {"name": cls.form, **options})
        form.fit(cells)
        field = gathered(form, cells)
        built = cls(form, WIDTH, **(extra or {}))
        built.adapt([field])
        forms = {name: form}
        model = Model(
            {name: built},
            lookup.build("fusion", fusion, [name], WIDTH),
            {task.name: task},
            WIDTH,
            0.0,
            0.0,
            read_in=forms,
        )
        for head in model.heads:
            if isinstance(head, Adapting):
                head.adapt([field])
        target = Field(torch.zeros(len(cells), 0), None, torch.ones(len(cells), dtype=torch.bool))
        batch = Batch({name: field}, {task.name: target}, torch.arange(len(cells)))
        generator = torch.Generator().manual_seed(0)

        def measured() -> tuple[float, float]:
            model.eval()
            with torch.no_grad():
                ((given, asked),) = passes(batch, {task.name: task}, model)
                found = model(given.inputs, told(given, asked), asked)
                rows = task.answer(seen(task.name, task, given, found))
            model.train()
            nothing = [np.zeros(0)] * len(rows)
            return task.criterion(rows, nothing), task.criterion(task.constant(rows), nothing)

        first, constant = measured()
        optimizer = torch.optim.AdamW(model.parameters(), rate)
        for _ in range(steps):
            ((given, asked),) = passes(batch, {task.name: task}, model, generator)
            outputs = model(given.inputs, given.targets, asked)
            loss = losses(outputs, given, asked)[task.name]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return first, measured()[0], constant

    yield run
    torch.set_num_threads(threads)
