"""Answers of models, as arrays to calculate with; numpy alone is needed for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# What always gives the same answer is called so; no model may be.
CONSTANT = "constant"

# What a model says of rows: one array a row, of one shape or (words, n) each.
Answers = Sequence[Array]


def mean(answers: Mapping[str, Answers], shares: Mapping[str, float]) -> list[Array]:
    """The weighted mean of what several models answer, row by row."""
    return list(sum(share * joined(answers[name]) for name, share in shares.items()))


def strongest(answers: Mapping[str, Answers], shares: Mapping[str, float]) -> list[Array]:
    """What the model of the largest share answers, where answers have no mean."""
    return list(answers[max(shares, key=lambda name: shares[name])])


def joined(values: Answers) -> Any:
    """Rows as one array to calculate with; of objects where their lengths differ."""
    if len({np.shape(v) for v in values}) == 1:
        return np.stack(list(values))
    found = np.empty(len(values), object)
    for i, value in enumerate(values):
        found[i] = value
    return found


def likeliest(scores: Array) -> Array:
    """Each row's likeliest class `(rows,)`; -1, which is no class, where a probability is none.

    Args:
        scores: `(rows, classes)` probabilities.
    """
    return np.where(np.isfinite(scores).all(1), scores.argmax(1), -1)
