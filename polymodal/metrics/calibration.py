"""Whether a model's probabilities are true: by bins and by class.

The ECE over confidence bins is the metric "ece" of `metrics.classification`. Rows whose target is
negative are unknown and left out of everything here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.metrics import _weighted as weighted
from polymodal.metrics._weighted import ECE_BINS, Array
from polymodal.metrics.statistics import Clusters, interval


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence lies in (low, high]; their mean confidence and share that is right.

    Both means are NaN in a bin without rows.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


def reliability(scores: Array, targets: Array) -> list[Bin]:
    """The bins of a reliability diagram; sum of rows/N * |accuracy - confidence| is the ECE.

    Args:
        scores: `(rows, classes)` probabilities.
        targets: `(rows,)` class codes.

    Paper: "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (Naeini et al. 2015).
    """
    known = (targets >= 0) & np.isfinite(scores).all(1)
    confidence = scores[known].max(1).astype(float)
    right = scores[known].argmax(1) == targets[known]
    bins = weighted.confidence_bins(confidence)
    count, sure, hits = (
        np.bincount(bins, weights, minlength=ECE_BINS)
        for weights in (np.ones(len(bins)), confidence, right)
    )
    columns = (count.astype(int), weighted.ratio(sure, count), weighted.ratio(hits, count))
    return [
        Bin(i / ECE_BINS, (i + 1) / ECE_BINS, int(rows), float(mean), float(share))
        for i, (rows, mean, share) in enumerate(zip(*columns, strict=True))
    ]


def described(scores: Array, targets: Array, clusters: Clusters | None) -> dict[str, Any]:
    """The reliability diagram, and what a calibrated model's ECE would be at this size."""
    classwise = classwise_ece(scores, targets)
    return {
        "bins": [asdict(one) for one in reliability(scores, targets) if one.rows],
        "null_ece": calibrated_ece(scores.max(1)),
        "classwise_ece": asdict(interval(classwise, len(targets), clusters)),
    }


def classwise_ece(scores: Array, targets: Array) -> Metric:
    """The mean over classes of the ECE of "is it this class?", all probabilities counted.

    Unlike the ECE of the likeliest class, it sees what a model says of the classes that it does
    not choose.

    Args:
        scores: `(rows, classes)` probabilities.
        targets: `(rows,)` class codes.

    Paper: "Beyond temperature scaling" (Kull et al. 2019, arXiv 1910.12656).
    """
    classes = range(scores.shape[1])
    errors = weighted.macro(
        [weighted.ece(scores[:, k].astype(float), (targets == k).astype(float)) for k in classes]
    )
    known = targets >= 0
    return Metric(lambda w: errors(w * known), greater_is_better=False)


def calibrated_ece(confidence: Array, simulations: int = 200, seed: int = 0) -> float:
    """The ECE that these confidences `(rows,)` would score on average if they were all true.

    The null value to print beside an ECE: it is not 0, and large for few rows. The mean of it
    over the columns of `(rows, classes)` probabilities is the null value of `classwise_ece`.
    """
    rng = np.random.default_rng(seed)
    confidence = confidence.astype(float)
    bins = weighted.confidence_bins(confidence)
    total = 0.0
    for _ in range(simulations):
        right = rng.random(len(confidence)) < confidence
        total += np.abs(np.bincount(bins, right - confidence)).sum()
    return float(total / simulations / len(confidence))
