"""Which forward passes a batch takes: a task that hides something has one of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from polymodal.contract.batch import Batch, Outputs
from polymodal.contract.form import Form
from polymodal.contract.task import Pass, Task


def passes(
    batch: Batch,
    tasks: Mapping[str, Task],
    forms: Mapping[str, Form],
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Batch, dict[str, Task]]]:
    """Each batch that the model sees, and the tasks that ask it then.

    Args:
        batch: on any device, with its targets or without.
        forms: modality -> the form that the model reads it in.
        generator: of what is random; by default the same every time, for answers that stay.
    """
    plain = {name: task for name, task in tasks.items() if not task.spoils}
    if plain:
        yield batch, plain
    for name, task in tasks.items():
        if task.spoils:
            if generator is None:
                yield task.spoil(batch, forms, torch.Generator().manual_seed(0)), {name: task}
            else:
                yield task.spoil(batch, forms, generator), {name: task}


def seen(name: str, task: Task, batch: Batch, found: Outputs) -> Pass:
    """A pass without its target, but for what the task has hidden itself."""
    target = batch.targets.get(name) if task.spoils else None
    views = found.views.get(name, {})
    return Pass(batch.inputs, found.fused, found.logits[name], views, target)
