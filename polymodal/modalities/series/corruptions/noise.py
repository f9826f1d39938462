"""Noise over every channel of a series."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.series.corruptions._steps import StepCorruption

STRENGTH = 3.0  # at level 1, in standard deviations of the channel


class Noise(StepCorruption):
    """Gaussian noise, `level` x STRENGTH times as strong as the channel varies in this series."""

    def change(
        self, steps: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        return steps + level * STRENGTH * steps.std(0) * rng.standard_normal(steps.shape)
