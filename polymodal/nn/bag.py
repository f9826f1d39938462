"""Sums of rows of a table, as many bags as the batch has; and places in a sorted table.

A program that is exported has plain operations in their place, which every runtime knows.
"""

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
    if torch.compiler.is_exporting():
        counts = torch.ones_like(numbers).to(vectors.dtype) if weights is None else weights
        if padding is not None:
            counts = torch.where(numbers == padding, 0, counts)
        return (vectors[numbers] * counts.unsqueeze(-1)).sum(1)
    offsets = torch.arange(numbers.shape[0], device=numbers.device) * numbers.shape[1]
    return F.embedding_bag(
        numbers.flatten(),
        vectors,
        offsets,
        mode="sum",
        per_sample_weights=None if weights is None else weights.flatten(),
        padding_idx=padding,
    )


def places(table: Tensor, values: Tensor) -> Tensor:
    """How many numbers of an ascending table `(n,)` are smaller than each value, int64."""
    if not torch.compiler.is_exporting():
        return torch.searchsorted(table, values)
    size = table.shape[0]
    found = torch.zeros_like(values)
    step = 1 << (size.bit_length() - 1)
    while step:
        further = found + step
        smaller = table[(further - 1).clamp(max=size - 1)] < values
        found = torch.where(smaller & (further <= size), further, found)
        step >>= 1
    return found
