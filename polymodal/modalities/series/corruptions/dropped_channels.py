"""Series with dead sensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.series.corruptions._steps import StepCorruption


class DroppedChannels(StepCorruption):
    """Zeros in each channel, with chance `level`."""

    def change(
        self, steps: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        return np.where(rng.random(steps.shape[1]) < level, 0.0, steps)
