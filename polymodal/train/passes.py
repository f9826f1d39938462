"""Which forward passes a batch takes: a task that hides something has one of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from polymodal.contract.batch import Batch, Field, Outputs
from polymodal.contract.predictor import Predictor
from polymodal.contract.task import Pass, Task


def passes(
    batch: Batch,
    tasks: Mapping[str, Task],
    model: Predictor,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Batch, dict[str, Task]]]:
    """Each batch that the model sees, and the tasks that ask it then.

    Args:
        batch: on any device, with its targets or without.
        model: it is asked about the batch beforehand where a task hides what it finds alike.
        generator: of what is random; by default the same every time, for answers that stay.
    """
    plain = {name: task for name, task in tasks.items() if not task.spoils}
    if plain:
        yield batch, plain
    for name, task in tasks.items():
        if task.spoils:
            drawn = torch.Generator().manual_seed(0) if generator is None else generator
            if task.mines:
                with torch.no_grad():
                    found = model.fuse(model.encode(batch.inputs), tasks=list(plain))
                yield task.mined(batch, found, drawn), {name: task}
            else:
                yield task.spoil(batch, model.read_in, drawn), {name: task}


def told(batch: Batch, tasks: Mapping[str, Task]) -> dict[str, Field]:
    """What tasks have hidden themselves, for heads that must know how much of it there is, and what
    answers are to say the likelihood of."""
    return {
        name: batch.targets[name]
        for name, task in tasks.items()
        if (task.spoils or task.told) and name in batch.targets
    }


def seen(name: str, task: Task, batch: Batch, found: Outputs) -> Pass:
    """A pass without its target, but for what `told` has."""
    target = told(batch, {name: task}).get(name)
    views = found.views.get(name, {})
    return Pass(batch.inputs, found.fused, found.logits[name], views, target)
