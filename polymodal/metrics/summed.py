"""Metrics of rows that hold several things each: a row counts by how many there are of them."""

from __future__ import annotations

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import Array, ratio


def mean(sums: Array, counts: Array, greater_is_better: bool = True) -> Metric:
    """Mean over all things.

    Args:
        sums: `(rows,)`, of each row's things.
        counts: `(rows,)`, how many they are.
    """
    return Metric(lambda w: ratio(w @ sums, w @ counts), greater_is_better)


def perplexity(nats: Array, counts: Array) -> Metric:
    """exp of the mean negative log-likelihood: V where V things are equally likely.

    Args:
        nats: `(rows,)`, the sums of a row's negative log-likelihoods.
        counts: `(rows,)`.
    """
    return Metric(lambda w: np.exp(ratio(w @ nats, w @ counts)), greater_is_better=False)


def explained(errors: Array, spread: Array) -> Metric:
    """R²: 1 less the sum of squared errors over that of the mean's.

    Args:
        errors, spread: `(rows,)`, a row's sums of squared errors, and about the mean.
    """
    return Metric(lambda w: 1 - ratio(w @ errors, w @ spread))
