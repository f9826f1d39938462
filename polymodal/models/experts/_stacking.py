"""Linear models of single modalities, and one of their out-of-fold logits (Wolpert 1992)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from polymodal.models.experts._convex import Array, Fitted, Fold, Loss, choose, out_of_fold, solve
from polymodal.models.experts._problem import Problem

# One modality's model, and every row's logits by models that were not fitted to it.
Alone = tuple[Fitted, Array]

# So many held-out rows tell strengths of regularisation apart.
ENOUGH = 1000
# Strengths of the second model; the least of them leaves the mean of the logits as it is.
MIXING = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
# A number that takes so few values may be better told apart than drawn a line through.
FEW_VALUES = 20


@dataclass(frozen=True)
class Stacked:
    """One target's linear models, made one linear map a block of features.

    Attributes:
        weights: per block `(features, size)`.
        shifts: per block `(size,)`: what the training rows that have it get on average.
        gaps: `(modalities, size)`: what rows without a modality get; 0 if all had it.
        bias: `(size,)`.
        unseen: `(rows, modalities, size)`: every row's contributions, less the shift, by models
            that were not fitted to it; NaN where the row lacks the modality.
        logits: `(rows, size)`: every row's logits by models that were not fitted to it.
        values: `(size,)` numbers that the logits choose among; empty if they are the output.
    """

    weights: list[Array]
    shifts: list[Array]
    gaps: Array
    bias: Array
    unseen: Array
    logits: Array
    values: Array = field(default_factory=lambda: np.zeros(0))

    def parts(self) -> Array:
        """`unseen` as `(rows, modalities · size)`."""
        return self.unseen.reshape(len(self.unseen), -1)

    def output(self) -> Tensor:
        """`logits` as the task takes them."""
        return expected(torch.from_numpy(self.logits), torch.from_numpy(self.values))


def expected(logits: Tensor, values: Tensor) -> Tensor:
    """The expected value `(batch, 1)` where logits choose among values; else the logits."""
    return logits.softmax(1) @ values.unsqueeze(1) if len(values) else logits


def fit(
    problem: Problem,
    matrices: Sequence[Any],
    present: Sequence[Array],
    size: int,
    owners: Sequence[int],
) -> Stacked:
    """Fit a target; a number of few values as classes too, if held-out rows prefer that.

    Args:
        matrices: per block the features of the problem's rows.
        present: per block `(rows,)` bool.
        size: outputs.
        owners: each block's modality, by its number.
    """
    plain = stack(
        matrices,
        present,
        problem.loss,
        size,
        problem.rows,
        problem.folds,
        owners,
        _remembering(problem, ""),
    )
    values = np.unique(problem.target[: problem.rows]) if problem.task.continuous else np.zeros(0)
    if not 0 < len(values) <= FEW_VALUES:
        return plain
    nearest = np.abs(problem.target[:, None] - values).argmin(1)

    def loss(logits: Tensor, rows: Array) -> Tensor:
        return F.cross_entropy(logits, torch.from_numpy(nearest[rows]))

    remembering = _remembering(problem, "classes")
    classes = stack(
        matrices, present, loss, len(values), problem.rows, problem.folds, owners, remembering
    )
    classes = replace(classes, values=values.astype(np.float64))
    train = np.arange(problem.rows)

    def held_out(found: Stacked) -> float:
        return float(problem.loss(found.output()[: problem.rows], train))

    return min(plain, classes, key=held_out)


def stack(
    matrices: Sequence[Any],
    present: Sequence[Array],
    loss: Loss,
    size: int,
    rows: int,
    folds: Sequence[Fold],
    owners: Sequence[int],
    remembering: Callable[[Any, Array, Callable[[], Alone]], Alone] = lambda x, has, fit: fit(),
) -> Stacked:
    """Fit every block alone, then a linear map of their logits.

    Args:
        matrices: per block the features of training rows, then of validation rows.
        present: per block `(rows,)` bool.
        loss: of logits at given positions.
        size: outputs.
        rows: how many of the rows are for training.
        folds: of the training rows.
        owners: each block's modality, by its number: 0, 1 and so on, in order.
        remembering: (features, present, fit) -> what `fit()` returns, or has returned before.
    """
    total = matrices[0].shape[0]
    fitted = [
        remembering(x, has, partial(_alone, x, has, loss, size, rows, folds))
        for x, has in zip(matrices, present, strict=True)
    ]
    unseen = np.stack([logits for _, logits in fitted], 1)
    joined = unseen.reshape(total, -1)
    length = max(float(np.sqrt((joined[:rows] ** 2).sum(1).mean())), 1e-12)
    missing = ~np.stack(present, 1)[:, np.unique(owners, return_index=True)[1]]
    joined = np.concatenate([joined / length, missing], 1)
    # Drawn to the mean of the logits: what to do where rows are too few to learn better.
    mean = np.tile(np.eye(size), (len(matrices), 1)) * length / len(matrices)
    prior = np.concatenate([mean, np.zeros((missing.shape[1], size))])
    strength = choose(joined, loss, size, folds, MIXING, prior)
    logits = out_of_fold(joined, loss, size, strength, folds, prior)
    top = solve(joined, loss, size, strength, np.arange(rows), prior=prior)
    logits[rows:] = top(joined[rows:])
    mixing, gaps = np.split(top.weight, [len(mean)])
    maps = (mixing / length).reshape(len(matrices), size, size)
    weights = [fit.weight @ mix for (fit, _), mix in zip(fitted, maps, strict=True)]
    shifts = [
        _mean(x[np.flatnonzero(has[:rows])]) @ weight
        for x, has, weight in zip(matrices, present, weights, strict=True)
    ]
    contributions = np.zeros((total, missing.shape[1], size))
    for block, owner in enumerate(owners):
        contributions[:, owner] += unseen[:, block] @ maps[block]
    unseen = np.where(missing[:, :, None], np.nan, contributions)
    return Stacked(weights, shifts, gaps, top.bias, unseen, logits)


def _remembering(problem: Problem, name: str) -> Callable[[Any, Array, Callable[[], Alone]], Alone]:
    """Every modality's model is wanted twice and more: alone, fused, and under boosted trees."""

    def remembered(matrix: Any, present: Array, fit: Callable[[], Alone]) -> Alone:
        from scipy.sparse import issparse

        content = blake2b(digest_size=16)
        parts = (matrix.data, matrix.indices, matrix.indptr) if issparse(matrix) else (matrix,)
        cut = [held for _, held in problem.folds]
        for part in (*parts, present, problem.target, *cut):
            content.update(np.ascontiguousarray(part).data)
        sizes = tuple(map(len, cut))
        key = (problem.task.name, name, problem.rows, matrix.shape, sizes, content.digest())
        if key not in problem.memo:
            problem.memo[key] = fit()
        weight, logits = problem.memo[key]
        return weight, logits.copy()

    return remembered


def _alone(
    matrix: Any,
    present: Array,
    loss: Loss,
    size: int,
    rows: int,
    folds: Sequence[Fold],
) -> Alone:
    """One modality's model, and the logits `(rows, size)` of models that had not seen the row.

    Logits are centred, so that an absent modality, at 0, counts as the training mean.
    """

    def having(cut: Sequence[Fold]) -> list[Fold]:
        return [(fit[present[fit]], held[present[held]]) for fit, held in cut]

    own = np.flatnonzero(present[:rows])
    held = having(choosing(rows, len(present), folds))
    strength = choose(matrix, loss, size, held, after=len(folds) + 1)
    logits = out_of_fold(matrix, loss, size, strength, having(folds))
    fitted = solve(matrix, loss, size, strength, own)
    later = np.arange(rows, len(present))
    logits[later] = fitted(matrix[later])
    logits[own] -= _mean(logits[own])
    logits[later] -= _mean(fitted(matrix[own]))
    return fitted, logits * present[:, None]


def _mean(values: Any) -> Array:
    """Of rows `(rows, n)`, CSR or dense: `(n,)`; zeros if there are none."""
    return np.asarray(values.sum(0)).ravel() / max(values.shape[0], 1)


def choosing(rows: int, total: int, folds: Sequence[Fold]) -> Sequence[Fold]:
    """What strengths are chosen on: the validation rows, or folds where those are too few."""
    if total - rows >= ENOUGH:
        return [(np.arange(rows), np.arange(rows, total))]
    return folds[: -(-len(folds) * ENOUGH // rows)]
