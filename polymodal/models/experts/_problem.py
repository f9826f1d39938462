"""One target as an expert sees it: its known rows, their loss, and folds of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polymodal.contract.batch import Field
from polymodal.contract.supervised import Supervised
from polymodal.models.experts._convex import Array, Fold
from polymodal.prepared.prepare import Prepared


@dataclass(frozen=True)
class Problem:
    """A target over the rows where it is known: first those for training, then for validation.

    Attributes:
        target: `(known, ...)`, encoded.
        known: `(known,)`, positions in training and validation rows, joined.
        rows: how many of them are for training.
        folds: of the training rows, as positions in `known`.
        memo: what was fitted before to the same numbers; experts of one fit share it.
    """

    task: Supervised
    target: Array
    known: Array
    rows: int
    folds: list[Fold]
    memo: dict[Any, Any] = field(default_factory=dict)

    def loss(self, logits: Tensor, rows: Array) -> Tensor:
        """The task's mean loss of logits at some positions."""
        every = torch.ones(len(rows), dtype=torch.bool)
        return self.task.loss_of(logits, Field(torch.from_numpy(self.target[rows]), None, every))


def problem(
    task: Supervised,
    target: Prepared,
    train: Array,
    valid: Array | None,
    folds: int,
    seed: int,
    groups: Array | None,
    memo: dict[Any, Any] | None = None,
) -> Problem:
    """A target's Problem.

    Args:
        target: of all rows.
        train, valid: row numbers.
        folds: how many.
        groups: of all rows, never cut apart.
        memo: shared by the experts of one fit, whose seed, folds and groups are the same.
    """
    rows = train if valid is None else np.concatenate([train, valid])
    known = np.flatnonzero(target.present[rows])
    y = np.stack(target.arrays(rows[known]))
    count = int((known < len(train)).sum())
    own = None if groups is None else groups[rows[known[:count]]]
    rng = np.random.default_rng(seed)
    cut = deal(y[:count], folds, rng, own)
    return Problem(task, y, known, count, cut, {} if memo is None else memo)


def deal(
    target: Array, count: int, rng: np.random.Generator, groups: Array | None = None
) -> list[Fold]:
    """Cut rows into folds of like targets; equal groups are never cut apart.

    Args:
        target: `(rows,)` or `(rows, outputs)`.
        count: folds; less where there are fewer rows or groups.
        groups: `(rows,)`.
    """
    rows = len(target)
    key = target if target.ndim == 1 else target.sum(1)
    unit = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    if unit.max(initial=0) == 0:  # one group, of which there is no other way to hold out any
        unit = np.arange(rows)
    sizes = np.bincount(unit)
    count = min(count, len(sizes))
    # Neighbours in the order of targets go to different folds.
    order = np.lexsort((rng.random(len(sizes)), np.bincount(unit, key) / sizes))
    hands = [rng.permutation(count) for _ in range(-(-len(sizes) // count))]
    fold = np.empty(len(sizes), np.int64)
    fold[order] = np.concatenate(hands)[: len(sizes)]
    held = [fold[unit] == i for i in range(count)]
    return [(np.flatnonzero(~own), np.flatnonzero(own)) for own in held]
