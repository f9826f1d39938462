"""What corruptions of pictures share: they work on RGB pixels at one modest size."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.corruption import Corruption
from polymodal.modalities.image import picture as _picture
from polymodal.table.media import Media

# Larger pictures are scaled down to this side first, as ImageNet-C's are: noise on every pixel of
# a camera's picture would vanish when a form scales it down.
SIDE = 224


def load(cell: Media) -> np.ndarray[Any, Any]:
    """A picture as uint8 RGB `(height, width, 3)`, at most SIDE a side."""
    picture = _picture.read(cell, SIDE)
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture)


class PixelCorruption(Corruption):
    """A corruption of pictures of at most SIDE pixels a side (Hendrycks and Dietterich 2019,
    "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations")."""

    kind: ClassVar[str] = "image"

    def corrupt(self, cell: Media, level: float, rng: np.random.Generator) -> Media:
        return Media(cell.label, values=self.change(load(cell), level, rng))

    @abstractmethod
    def change(
        self, pixels: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """uint8 `(height, width, 3)` -> the same, worse."""
