"""Sums of rows of a table, as many bags as the batch has."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def bag(
    numbers: Tensor, vectors: Tensor, weights: Tensor | None = None, padding: int | None = None
) -> Tensor:
    """The (weighted) sums of the vectors that each bag names, `(bags, width)`.

    Args:
        numbers: `(bags, n)` int64, rows of `vectors`.
        vectors: `(rows, width)`.
        weights: `(bags, n)`, or None for ones.
        padding: the number that counts for nothing.
    """
    # Offsets of their own: those that PyTorch makes of a matrix cannot be exported.
    offsets = torch.arange(numbers.shape[0], device=numbers.device) * numbers.shape[1]
    return F.embedding_bag(
        numbers.flatten(),
        vectors,
        offsets,
        mode="sum",
        per_sample_weights=None if weights is None else weights.flatten(),
        padding_idx=padding,
    )
