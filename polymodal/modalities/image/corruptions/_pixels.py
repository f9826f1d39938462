"""What corruptions of pictures share: they work on RGB pixels at one modest size."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from polymodal.contract.corruption import Corruption
from polymodal.contract.form import Form
from polymodal.modalities._levelled import levels
from polymodal.modalities.image import picture as _picture
from polymodal.modalities.image.levels import PLAIN, Levels
from polymodal.table.media import Media

# Larger pictures are scaled down to this side first, as ImageNet-C's are: noise on every pixel of
# a camera's picture would vanish when a form scales it down.
SIDE = 224


def load(cell: Media, levels: Levels = PLAIN) -> np.ndarray[Any, Any]:
    """A picture as uint8 RGB `(height, width, 3)`, at most SIDE a side; bytes keep
    their numbers, for forms bring these to their levels themselves."""
    picture = _picture.read(cell, SIDE, levels.wide)
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture)


class PixelCorruption(Corruption):
    """A corruption of pictures of at most SIDE pixels a side (Hendrycks and Dietterich 2019,
    "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations")."""

    kind: ClassVar[str] = "image"
    levels: Levels = PLAIN

    def fit(self, form: Form, cells: Iterable[Any]) -> None:
        self.levels = levels(form)

    def corrupt(self, cell: Media, level: float, rng: np.random.Generator) -> Media:
        return Media(cell.label, values=self.change(load(cell, self.levels), level, rng))

    @abstractmethod
    def change(
        self, pixels: np.ndarray[Any, Any], level: float, rng: np.random.Generator
    ) -> np.ndarray[Any, Any]:
        """uint8 `(height, width, 3)` -> the same, worse."""
