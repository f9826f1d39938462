"""Pictures out of focus."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.image.corruptions._pixels import PixelCorruption

WIDTH = 0.1  # standard deviation at level 1, as a share of the longer side


class Blur(PixelCorruption):
    """Gaussian blur of standard deviation `level` x WIDTH of the longer side, nothing drawn."""

    def change(
        self, pixels: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        from scipy.ndimage import gaussian_filter

        sigma = level * WIDTH * max(pixels.shape)
        blurred = gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0), mode="nearest")
        return np.rint(blurred).astype(np.uint8)
