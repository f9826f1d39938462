"""Whether a model's probabilities are true: by bins, by class, and after one temperature.

The ECE over confidence bins is the metric "ece" of `metrics.classification`. Rows whose target is
negative are unknown and left out of everything here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from polymodal.base.errors import UserError
from polymodal.contract.metric import Metric
from polymodal.metrics import _weighted as weighted
from polymodal.metrics._weighted import ECE_BINS, Array
from polymodal.metrics.statistics import Clusters, interval

# Where the likelihood has no maximum (every row right) the temperature stops here.
COLDEST, HOTTEST = 0.01, 100.0


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
    known = targets >= 0
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


def fit_temperature(logits: Array, targets: Array) -> float:
    """The temperature T for which softmax(logits / T) gives the targets the greatest likelihood.

    To be fitted on validation rows, never on those it is judged on. T > 1: the model was too sure.

    Args:
        logits: `(rows, classes)`; log-probabilities do as well.
        targets: `(rows,)` class codes.

    Raises:
        UserError: no row has a target.

    Paper: "On Calibration of Modern Neural Networks" (Guo et al. 2017, arXiv 1706.04599).
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    known = targets >= 0
    if not known.any():
        raise UserError(
            "A temperature cannot be fitted without targets", expected="at least one known target"
        )
    z = logits[known].astype(float)
    own = z[np.arange(len(z)), targets[known].astype(np.intp)].mean()

    def slope(log_cold: float) -> float:
        """Of the mean negative log-likelihood, convex in 1 / T, in 1 / T."""
        return float((softmax(z * np.exp(log_cold), axis=1) * z).sum(1).mean() - own)

    hot, cold = -np.log(HOTTEST), -np.log(COLDEST)
    if slope(hot) >= 0:
        return HOTTEST
    if slope(cold) <= 0:
        return COLDEST
    return float(np.exp(-brentq(slope, hot, cold, xtol=1e-12)))


def with_temperature(logits: Array, temperature: float) -> Array:
    """Probabilities `(rows, classes)`: softmax(logits / temperature). No row's order changes."""
    from scipy.special import softmax

    return np.asarray(softmax(logits / temperature, axis=1))
