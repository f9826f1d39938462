"""White noise over a sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.audio.corruptions._samples import SampleCorruption

LOUDNESS = 3.0  # of the noise at level 1, in that of the sound: -9.5 dB signal-to-noise ratio


class Noise(SampleCorruption):
    """Gaussian noise of standard deviation `level` x LOUDNESS x the sound's root mean square."""

    def change(
        self, samples: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        loud = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
        noise = level * LOUDNESS * loud * rng.standard_normal(len(samples))
        return (samples + noise).astype(np.float32)
