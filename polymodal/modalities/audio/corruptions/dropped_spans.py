"""Sounds with gaps, as a bad line has."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.audio.corruptions._samples import SampleCorruption

SPANS = 50


class DroppedSpans(SampleCorruption):
    """Silence in `level` of the SPANS equal spans that a sound is cut into."""

    def change(
        self, samples: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        dropped = rng.permutation(SPANS) < round(level * SPANS)
        span = np.arange(len(samples)) * SPANS // len(samples)
        return np.where(dropped[span], np.float32(0), samples)
