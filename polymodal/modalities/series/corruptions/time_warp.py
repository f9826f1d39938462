"""Series that now hurry and now linger."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.series.corruptions._steps import StepCorruption

KNOTS = 6  # paces drawn for a series; between them the pace changes smoothly
SPREAD = 2.0  # standard deviation of the pace at level 1, in octaves: four times faster or slower


class TimeWarp(StepCorruption):
    """All channels read at an uneven pace; the first step, the last and their number stay.

    After Um et al. 2017, "Data Augmentation of Wearable Sensor Data for Parkinson's Disease
    Monitoring Using Convolutional Neural Networks".
    """

    def change(
        self, steps: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        knots = rng.standard_normal(KNOTS)
        if len(steps) < 3:
            return steps
        octaves = np.interp(np.linspace(0, KNOTS - 1, len(steps) - 1), np.arange(KNOTS), knots)
        where = np.append(0, np.cumsum(2 ** (level * SPREAD * octaves)))
        where *= (len(steps) - 1) / where[-1]
        times = np.arange(len(steps))
        return np.stack([np.interp(where, times, channel) for channel in steps.T], axis=1)
