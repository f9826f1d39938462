"""Weighted statistics: `(resamples, rows)` weights -> `(resamples,)`, as matrix products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from polymodal.contract.metric import Metric

Array = np.ndarray[Any, Any]
Statistic = Callable[[Array], Array]

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


def confidence_bins(confidence: Array) -> Array:
    """The code of each confidence's bin: ECE_BINS of equal width, (low, high], 0 in the first.

    NaN is in the first too: it has no bin, and what casting it gives is not defined.
    """
    upto = np.nan_to_num(np.ceil(confidence * ECE_BINS), nan=1)
    return np.clip(upto, 1, ECE_BINS).astype(int) - 1


def ece(confidence: Array, right: Array) -> Statistic:
    """Sum over bins of the weight in a bin times |accuracy - mean confidence|.

    NaN where the weights sum to 0, and for any weights if a confidence is NaN.
    """
    gaps = class_sums(confidence_bins(confidence), ECE_BINS, right - confidence)
    return lambda w: ratio(np.abs(gaps(w)).sum(1), w.sum(1))


class Ranked(NamedTuple):
    """Weights `(resamples, positives)` around each positive row, best first; ties are together.

    Attributes:
        own: the row's own.
        right: of the positives that score as high or higher.
        above: of all rows that score higher.
        upto: of all rows that score as high or higher.
        total: of all rows, `(resamples, 1)`.
    """

    own: Array
    right: Array
    above: Array
    upto: Array
    total: Array


Ranking = Callable[[Array], Ranked]


def ranking(scores: Array, positive: Array) -> Ranking:
    """Row weights -> Ranked, by scores `(rows,)` and which rows are positive `(rows,)`."""
    order = np.argsort(-scores, kind="stable")
    falling = -scores[order]
    rows = order[positive[order]]
    asked = -scores[rows]
    first, last = np.searchsorted(falling, asked), np.searchsorted(falling, asked, "right")
    last_positive = np.searchsorted(asked, asked, "right") - 1

    def ranked(w: Array) -> Ranked:
        running = np.zeros((len(w), len(order) + 1))
        np.cumsum(np.take(w, order, axis=1), axis=1, out=running[:, 1:])
        own = w[:, rows]
        right = own.cumsum(1)[:, last_positive]
        return Ranked(own, right, running[:, first], running[:, last], running[:, -1:])

    return ranked


def roc_auc(ranking: Ranking) -> Statistic:
    """The chance that a positive row scores above a negative one, ties counting half."""

    def statistic(w: Array) -> Array:
        r = ranking(w)
        positives = r.own.sum(1)
        # Over all rows, positives too: those pairs come to half their squared weight.
        beaten = (r.own * (r.total - (r.above + r.upto) / 2)).sum(1) - positives**2 / 2
        return ratio(beaten, positives * (r.total[:, 0] - positives))

    return statistic


def average_precision(ranking: Ranking) -> Statistic:
    """Mean precision at the positives' ranks, rows of equal score together."""

    def statistic(w: Array) -> Array:
        r = ranking(w)
        precision = np.nan_to_num(ratio(r.right, r.upto))
        return ratio((r.own * precision).sum(1), r.own.sum(1))

    return statistic
