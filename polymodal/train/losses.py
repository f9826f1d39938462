"""The losses of one batch: each task's, and what each modality reaches by itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from polymodal.contract.balance import Loss
from polymodal.contract.batch import Batch, Outputs
from polymodal.contract.supervised import only
from polymodal.contract.task import Pass, Task
from polymodal.metrics.contribution import discrepancy


def passed(name: str, outputs: Outputs, batch: Batch) -> Pass:
    """A forward pass as one task sees it."""
    return Pass(
        batch.inputs,
        outputs.fused,
        outputs.logits[name],
        outputs.views.get(name, {}),
        batch.targets.get(name),
    )


def losses(
    outputs: Outputs,
    batch: Batch,
    tasks: Mapping[str, Task],
) -> dict[str, Tensor]:
    """The loss of each task that the outputs answer."""
    return {
        name: task.loss(passed(name, outputs, batch))
        for name, task in tasks.items()
        if name in outputs.logits
    }


def alone(
    outputs: Mapping[str, Outputs], batch: Batch, tasks: Mapping[str, Task]
) -> dict[str, Loss]:
    """What each modality reaches by itself, over the rows that have it and a target.

    Args:
        outputs: modality -> the model's with all others absent.

    Returns:
        Modality -> its Loss, without the modalities that no such row has.
    """
    found: dict[str, Tensor] = {}
    right: dict[str, float] = {}
    for modality, own in outputs.items():
        each, likelihoods = [], []
        for name, task in tasks.items():
            if name not in own.logits:
                continue
            target = only(batch.targets[name], batch.inputs[modality].present)
            if target.present.any():
                done = Pass(batch.inputs, own.fused, own.logits[name], {}, target)
                each.append(task.loss(done))
                likelihoods.append(task.likelihood(done)[target.present].mean())
        if each:
            found[modality] = torch.stack(each).sum()
            right[modality] = float(torch.stack(likelihoods).mean())
    ratios = discrepancy(right)
    return {name: Loss(loss, ratios[name]) for name, loss in found.items()}
