"""Pictures stored once more, too small."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from polymodal.modalities.image.corruptions._pixels import PixelCorruption

BEST, WORST = 95, 1  # the range of qualities that Pillow recommends


class Jpeg(PixelCorruption):
    """JPEG at a quality that falls with the level from BEST to WORST, nothing drawn."""

    def change(
        self, pixels: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        file = io.BytesIO()
        quality = round(BEST + level * (WORST - BEST))
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))
