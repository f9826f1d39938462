"""Gaussian noise on every pixel."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.image.corruptions._pixels import PixelCorruption

DEVIATION = 127.5  # at level 1, of 255: beyond the 0.38 of the full range of ImageNet-C's worst


class Noise(PixelCorruption):
    """Independent noise of standard deviation `level` x DEVIATION on each channel, then clipped."""

    def change(
        self, pixels: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        noisy = pixels + level * DEVIATION * rng.standard_normal(pixels.shape)
        return np.rint(noisy.clip(0, 255)).astype(np.uint8)
