"""Several losses of one model: which are balanced, and what each of them moves."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.balance import JOINT, MODALITIES, TASKS, Balance, Loss, Part
from polymodal.contract.batch import Batch
from polymodal.contract.recipe import Training
from polymodal.contract.task import Task
from polymodal.models.model import Model


def balance(model: Model, settings: Training, tasks: Mapping[str, Task]) -> Balance | None:
    """What balances a model's losses; None where nothing does, or there is only one.

    Raises:
        UserError: a task's loss is of a batch in chunks, which has no graph.
    """
    if settings.balance is None:
        return None
    built = lookup.build("train/balance", settings.balance)
    assert isinstance(built, Balance)
    names = model.names if built.over == MODALITIES else model.targets
    if len(names) < 2:
        return None
    if any(task.chunk is not None for task in tasks.values()):
        raise UserError(
            "Losses cannot be balanced on a batch that is computed in chunks",
            expected="either `balance` or a task's `chunk`",
            do="leave one of them out",
        )
    built.expect([JOINT, *names] if built.over == MODALITIES else names)
    return built


def of_tasks(each: Mapping[str, Tensor], batch: Batch) -> dict[str, Loss]:
    """The losses of the tasks for which the batch has a target, or that need none."""
    return {
        name: Loss(value)
        for name, value in each.items()
        if name not in batch.targets or batch.targets[name].present.any()
    }


def parts(model: Model, over: str) -> dict[str, Part]:
    """What is trained of a model, by the losses that reach it."""
    if over == TASKS:
        own = dict(zip(model.targets, model.heads, strict=True))
    else:
        own = dict(zip(model.names, model.encoders, strict=True))
    found: dict[str, Part] = {}
    inside: set[int] = set()
    for name, module in own.items():
        params = [p for p in module.parameters() if p.requires_grad]
        inside |= {id(p) for p in params}
        found[name] = Part(params, (name,) if over == TASKS else (JOINT, name))
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in inside]
    found[JOINT] = Part(rest, tuple(own) if over == TASKS else (JOINT, *own))
    return found
