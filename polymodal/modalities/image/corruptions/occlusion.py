"""A grey rectangle before the picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from polymodal.modalities.image.corruptions._pixels import PixelCorruption

GREY = 128


class Occlusion(PixelCorruption):
    """A rectangle of the picture's own proportions over `level` of its area, anywhere inside.

    After the grey squares of Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional
    Networks".
    """

    def change(
        self, pixels: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        sides = np.array(pixels.shape[:2])
        covered = np.rint(sides * level**0.5).astype(int)
        top, left = (rng.random(2) * (sides - covered)).astype(int)
        occluded = pixels.copy()
        occluded[top : top + covered[0], left : left + covered[1]] = GREY
        return occluded
