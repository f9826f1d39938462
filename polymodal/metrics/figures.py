"""Counts of true against predicted values, of a size that does not grow with the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from polymodal.metrics._weighted import Array

# Classes that a confusion matrix tells apart, and bins a side of a histogram.
CLASSES, BINS = 40, 32


def confusion(
    targets: Array, predicted: Array, classes: Sequence[str], most: int = CLASSES
) -> dict[str, Any]:
    """How often each class was taken for each.

    Args:
        targets, predicted: `(rows,)` class codes, all known.
        classes: their names.
        most: the classes with the most rows are shown, the rest merged into one.

    Returns:
        {"classes": names, the largest first, "merged": how many classes the last line and column
        hold together (0: there are none), "counts": true classes x predicted classes}. Classes
        that occur in neither are left out.
    """
    support = np.bincount(targets, minlength=len(classes))
    occurs = support + np.bincount(predicted, minlength=len(classes)) > 0
    order = np.argsort(-support, kind="stable")
    order = order[occurs[order]]
    shown = order[:most]
    merged = len(order) - len(shown)
    place = np.full(len(classes), len(shown))
    place[shown] = np.arange(len(shown))
    side = len(shown) + (merged > 0)
    counts = np.bincount(place[targets] * side + place[predicted], minlength=side * side)
    return {
        "classes": [classes[i] for i in shown],
        "merged": merged,
        "counts": counts.reshape(side, side).tolist(),
    }


def histogram(targets: Array, predicted: Array, bins: int = BINS) -> dict[str, Any]:
    """How many rows lie where in the plane of true and predicted numbers.

    Args:
        targets, predicted: `(rows,)` in the same unit, all known.
        bins: on each side.

    Returns:
        {"low", "high": ends of both axes, which are those of the true numbers, "outside": how many
        predictions lie beyond them, each in the bin at the edge, "counts": true bins x predicted
        bins}.
    """
    low, high = float(targets.min()), float(targets.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    outside = int(((predicted < low) | (predicted > high)).sum())
    inside = np.clip(predicted, low, high)
    counts, _, _ = np.histogram2d(targets, inside, bins, [(low, high)] * 2)
    return {"low": low, "high": high, "outside": outside, "counts": counts.astype(int).tolist()}
