"""Sounds recorded too loud."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.audio.corruptions._samples import SampleCorruption


class Clipping(SampleCorruption):
    """The loudest `level` of the samples cut down to the loudest of the others; nothing drawn."""

    def change(
        self, samples: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        limit = np.quantile(np.abs(samples), 1 - level)
        return samples.clip(-limit, limit).astype(np.float32)
