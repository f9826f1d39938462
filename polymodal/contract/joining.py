"""A frozen model's outputs of a cell and an array of fixed features as one array."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def join(frozen: Array, plain: Array, ragged: bool) -> Array:
    """A vector `(width,)` ahead of an array `(d,)`, or in lines of k ahead of a ragged `(n, k)`,
    the last line filled up with zeros: float32."""
    if not ragged:
        return np.concatenate([frozen, plain]).astype(np.float32)
    columns = plain.shape[1]
    ahead = np.zeros(lines(len(frozen), columns) * columns, np.float32)
    ahead[: len(frozen)] = frozen
    return np.concatenate([ahead.reshape(-1, columns), plain])


def lines(width: int, columns: int) -> int:
    """How many lines of a ragged array a vector takes."""
    return -(-width // columns)


def vector(array: Array) -> Array:
    """A frozen model's output for a cell, `(width,)` or `(positions, width)`, as one vector."""
    if array.ndim == 1:
        return array
    return array.sum(0) / np.float32(max(1, len(array)))
