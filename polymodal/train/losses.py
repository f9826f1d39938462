"""The losses of one batch: each target's, and what each modality reaches by itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from polymodal.contract.balance import Alone
from polymodal.contract.batch import Batch, Outputs
from polymodal.contract.task import Task
from polymodal.metrics.contribution import discrepancy


def losses(outputs: Outputs, batch: Batch, tasks: Mapping[str, Task]) -> dict[str, Tensor]:
    """Each target's loss; a fusion of decisions is trained view by view, on rows that have it."""
    found: dict[str, Tensor] = {}
    for name, task in tasks.items():
        target = batch.targets[name]
        views = outputs.views.get(name)
        if not views or task.level == "token":
            found[name] = task.loss(_fit_length(outputs.logits[name], target), target)
            continue
        each = []
        for modality, logits in views.items():
            kept = _only(target, batch.inputs[modality].present, task)
            each.append(task.loss(logits, kept))
        found[name] = torch.stack(each).mean()
    return found


def alone(
    outputs: Mapping[str, Outputs], batch: Batch, tasks: Mapping[str, Task]
) -> dict[str, Alone]:
    """What each modality reaches by itself, over the rows that have it and a target.

    Args:
        outputs: modality -> the model's with all others absent.

    Returns:
        Modality -> Alone, without the modalities that no such row has.
    """
    found: dict[str, Tensor] = {}
    right: dict[str, float] = {}
    for modality, own in outputs.items():
        each, likelihoods = [], []
        for name, task in tasks.items():
            target = _only(batch.targets[name], batch.inputs[modality].present, task)
            known = _known(target, task)
            if known.any():
                logits = own.logits[name]
                if task.level == "token" and logits.shape[1] == 1:
                    # Where the tagged text is absent, one decision stands for all its words.
                    logits = logits.expand(-1, target.shape[1], -1)
                logits = _fit_length(logits, target)
                each.append(task.loss(logits, target))
                likelihoods.append(_likelihood(logits, target, task)[known].mean())
        if each:
            found[modality] = torch.stack(each).sum()
            right[modality] = float(torch.stack(likelihoods).mean())
    ratios = discrepancy(right)
    return {name: Alone(loss, ratios[name]) for name, loss in found.items()}


def _likelihood(logits: Tensor, target: Tensor, task: Task) -> Tensor:
    """exp(-loss) of each row `(batch,)`: of a class without smoothing, its probability."""
    with torch.no_grad():
        rows = torch.vmap(task.loss)(logits.unsqueeze(1), target.unsqueeze(1))
    return torch.exp(-rows)


def _only(target: Tensor, present: Tensor, task: Task) -> Tensor:
    """The target with the value for missing in all rows that are not present."""
    lacks = ~present.view(-1, *[1] * (target.dim() - 1))
    return target.masked_fill(lacks, task.missing)


def _known(target: Tensor, task: Task) -> Tensor:
    """Rows `(batch,)` that have a target."""
    missing = task.missing
    known = target != missing if missing == missing else ~target.isnan()
    return known.flatten(1).any(1) if known.dim() > 1 else known


def _fit_length(logits: Tensor, target: Tensor) -> Tensor:
    """Logits of a padded token target cut or padded to its length (a form may cut long texts)."""
    if logits.dim() == 3 and logits.shape[1] != target.shape[1]:
        short = target.shape[1] - logits.shape[1]
        logits = nn.functional.pad(logits, (0, 0, 0, short))
    return logits


def as_float(outputs: Outputs) -> Outputs:
    """Logits in float32, whatever the autocast made of them: losses need the precision."""
    views = {
        target: {name: logits.float() for name, logits in views.items()}
        for target, views in outputs.views.items()
    }
    return Outputs({k: v.float() for k, v in outputs.logits.items()}, outputs.fused, views)
