"""Gradients of a loss over a large batch with the graph of only some of its rows at a time.

"Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (Gao et al. 2021, arXiv
2101.06983): the head's output for all rows comes first, without a graph; the loss gives its
gradient; then each chunk is computed again, and its own part of that goes on to the weights. What
is random is the same both times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from polymodal.contract.batch import Batch, Field
from polymodal.contract.task import Pass, Task
from polymodal.models.model import Model


def backward(
    model: Model,
    batch: Batch,
    task: Task,
    chunk: int,
    context: Callable[[], AbstractContextManager[Any]],
) -> Tensor:
    """Add one task's gradients to those there are; its loss, without a graph.

    Args:
        chunk: rows whose graph is kept at once.
        context: of the forward passes: autocast.
    """

    def output(part: Batch) -> tuple[list[Tensor], pytree.TreeSpec]:
        with context():
            tokens = model.encode(part.inputs)
            found = model.fuse(tokens, (), part.targets, [task.name]).logits[task.name]
        return pytree.tree_flatten(found)

    places = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    # As even as can be: some layers cannot learn from one row that is left over.
    count = math.ceil(len(batch) / chunk)
    ends = [round(i * len(batch) / count) for i in range(count + 1)]
    parts = [_cut(batch, start, end) for start, end in pairwise(ends)]
    states, found = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_state(places))
            found.append(output(part))
    after = _state(places)
    whole = [torch.cat(each).detach() for each in zip(*(own for own, _ in found), strict=True)]
    for leaf in whole:
        leaf.requires_grad_(leaf.is_floating_point())
    made = pytree.tree_unflatten(whole, found[0][1])
    loss = task.loss(Pass(batch.inputs, None, made, {}, batch.targets.get(task.name)))
    torch.autograd.backward(loss)
    for state, part, start, end in zip(states, parts, ends, ends[1:], strict=False):
        _restore(state, places)
        own, _ = output(part)
        reached, grads = [], []
        for leaf, all_rows in zip(own, whole, strict=True):
            if leaf.requires_grad and all_rows.grad is not None:
                reached.append(leaf)
                grads.append(all_rows.grad[start:end])
        if reached:
            torch.autograd.backward(reached, grads)
    _restore(after, places)
    return loss.detach()


def _cut(batch: Batch, start: int, end: int) -> Batch:
    """Some rows of a batch, as they lie in it."""

    def own(field: Field) -> Field:
        mask = None if field.mask is None else field.mask[start:end]
        return Field(field.data[start:end], mask, field.present[start:end])

    inputs = {name: own(field) for name, field in batch.inputs.items()}
    targets = {name: own(field) for name, field in batch.targets.items()}
    return Batch(inputs, targets, batch.rows[start:end])


def _state(places: list[int]) -> list[Tensor]:
    """Where torch's random numbers stand, of the CPU and of some GPUs."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(place) for place in places)]


def _restore(state: list[Tensor], places: list[int]) -> None:
    torch.set_rng_state(state[0])
    for place, own in zip(places, state[1:], strict=True):
        torch.cuda.set_rng_state(own, place)
