"""Pictures told in codes: how like they are to what they were made of, and how many codes come."""

from __future__ import annotations

from functools import partial

import numpy as np

from polymodal.contract.metric import Metric
from polymodal.metrics._weighted import Array, ratio

# The brightest that a number of a pixel can be.
PEAK = 255


def psnr(errors: Array, numbers: Array) -> Metric:
    """Peak signal-to-noise ratio in decibels: 10 log10(255² / mean squared error).

    The mean is over all numbers of all pictures; infinite where they are equal.

    Args:
        errors: `(rows,)`, each picture's sum of squared errors, of numbers from 0 to 255.
        numbers: `(rows,)`, how many it has.
    """

    def statistic(weights: Array) -> Array:
        with np.errstate(divide="ignore"):
            return -10 * np.log10(ratio(weights @ errors, weights @ numbers) / PEAK**2)

    return Metric(statistic)


def in_use(codes: Array, count: int) -> dict[str, Metric]:
    """codes_used, the share of all codes that come at all, and codes_perplexity, exp of the entropy
    of how often each comes: all of them where they come equally often.

    They are of these rows, and have no interval: a resample of rows would have fewer codes.

    Args:
        codes: `(rows, places)`.
        count: how many there are.
    """
    times = np.bincount(codes.ravel(), minlength=count)
    shares = times[times > 0] / times.sum()
    found = {
        "codes_used": float((times > 0).mean()),
        "codes_perplexity": float(np.exp(-(shares * np.log(shares)).sum())),
    }
    return {name: Metric(partial(_always, value)) for name, value in found.items()}


def _always(value: float, weights: Array) -> Array:
    return np.full(len(weights), value)
