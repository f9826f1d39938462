"""Weighted statistics: `(resamples, rows)` weights -> `(resamples,)`, as matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from polymodal.contract import Metric

Array = np.ndarray[Any, Any]
Statistic = Callable[[Array], Array]
Ranking = Callable[[Array], tuple[Array, Array]]

ECE_BINS = 15


def measured(known: Array, metrics: dict[str, Metric]) -> dict[str, Metric]:
    """The metrics that are defined, made to take weights of all rows and to use the known ones."""
    metrics = {name: _on(np.flatnonzero(known), metric) for name, metric in metrics.items()}
    ones = np.ones((1, len(known)))
    return {name: m for name, m in metrics.items() if not np.isnan(m.statistic(ones)[0])}


def _on(rows: Array, metric: Metric) -> Metric:
    return Metric(
        lambda w: metric.statistic(w if len(rows) == w.shape[1] else w[:, rows]),
        metric.greater_is_better,
    )


def ratio(a: Array, b: Array) -> Array:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.shape(b), np.nan), where=b > 0)


def nanmean(values: Array) -> Array:
    """Mean over the last axis of what is defined; NaN if nothing is."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1).astype(float))


def mean(values: Array) -> Statistic:
    """The weighted mean of values `(rows,)`."""
    return lambda w: ratio(w @ values, w.sum(1))


def macro(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of those statistics that are defined."""
    return lambda w: nanmean(np.stack([statistic(w) for statistic in statistics], 1))


def class_sums(codes: Array, classes: int, values: Array | None = None) -> Statistic:
    """`(resamples, classes)` sums of weight times value (1 if not given) over each class's rows."""
    from scipy.sparse import csr_array

    rows = np.arange(len(codes))
    values = np.ones(len(codes)) if values is None else values
    matrix = csr_array((values, (codes, rows)), shape=(classes, len(codes)))
    return lambda w: (matrix @ w.T).T


def ece(confidence: Array, right: Array) -> Statistic:
    """Sum over bins (low, high] of the weight in a bin times |accuracy - mean confidence|."""
    bins = np.clip(np.ceil(confidence * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = class_sums(bins, ECE_BINS, right - confidence)
    return lambda w: ratio(np.abs(gaps(w)).sum(1), w.sum(1))


def ranking(scores: Array, positive: Array) -> Ranking:
    """Weights -> weights of positives and of negatives at each distinct score, highest first."""
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    up = positive[order]

    def sums(w: Array) -> tuple[Array, Array]:
        w = w[:, order]
        positives = np.add.reduceat(w * up, starts, axis=1)
        return positives, np.add.reduceat(w * ~up, starts, axis=1)

    return sums


def roc_auc(ranking: Ranking) -> Statistic:
    """The chance that a positive row scores above a negative one, ties counting half."""

    def statistic(w: Array) -> Array:
        up, down = ranking(w)
        above = down.cumsum(1)
        total = above[:, -1:]
        won = (up * (total - above + down / 2)).sum(1)
        return ratio(won, up.sum(1) * total[:, 0])

    return statistic


def average_precision(ranking: Ranking) -> Statistic:
    """Mean precision at the positives' ranks, rows of equal score together."""

    def statistic(w: Array) -> Array:
        up, down = ranking(w)
        above = up.cumsum(1)
        precision = np.nan_to_num(ratio(above, above + down.cumsum(1)))
        return ratio((up * precision).sum(1), above[:, -1])

    return statistic
