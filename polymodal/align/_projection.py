"""What linear alignments share: one matrix, and how it can be set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens

Array = np.ndarray[Any, Any]
# Under this part of the largest eigenvalue there is nothing but rounding.
ROUNDING = 1e-10


class Projection(Align):
    """`W x + b` of every token."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(size, width)

    def forward(self, tokens: Tokens) -> Tokens:
        return Tokens(self.linear(tokens.values), tokens.mask)

    def begin(self, rows: Array, mean: Array) -> None:
        """Begin as `rows (k, size)` of what is left without `mean (size,)`.

        What of the width goes beyond k keeps the random start of a linear layer.
        """
        with torch.no_grad():
            weight, bias = self.linear.weight, self.linear.bias
            weight[: len(rows)] = torch.from_numpy(rows).to(weight)
            bias[: len(rows)] = torch.from_numpy(-rows @ mean).to(bias)


def moments(batches: Iterable[Tensor]) -> tuple[int, Array, Array]:
    """Number, mean `(d,)` and covariance `(d, d)`, divided by the number less 1, of `(n, d)`s."""
    count, mean, products = 0, np.zeros(0), np.zeros((0, 0))
    for batch in batches:
        values = batch.double().numpy()
        if not count:
            mean, products = np.zeros(values.shape[1]), np.zeros((values.shape[1],) * 2)
        if len(values):
            # Chan et al. 1983: merging means keeps its digits where sums of squares do not.
            total = count + len(values)
            own, apart = values.mean(0), values.mean(0) - mean
            products += (values - own).T @ (values - own)
            products += np.outer(apart, apart) * (count * len(values) / total)
            mean += apart * len(values) / total
            count = total
    return count, mean, products / max(count - 1, 1)


def principal(covariance: Array, most: int, whiten: bool) -> Array:
    """The principal components `(k, d)`, the largest first, of those that vary at all.

    Args:
        most: k at most.
        whiten: each by the deviation along it, so that what it gives has variance 1.
    """
    values, vectors = np.linalg.eigh(covariance)
    values, rows = values[::-1][:most], vectors.T[::-1][:most]
    varies = values > ROUNDING * max(values[0], np.finfo(np.float64).tiny)
    values, rows = values[varies], signed(rows[varies])
    found: Array = rows / np.sqrt(values)[:, None] if whiten else rows
    return found


def signed(rows: Array) -> Array:
    """Rows `(k, d)` turned so that the largest number of each is above 0: one answer, not two."""
    if not rows.size:
        return rows
    largest = np.take_along_axis(rows, np.abs(rows).argmax(1, keepdims=True), 1)
    found: Array = rows * np.where(largest < 0, -1.0, 1.0)
    return found
