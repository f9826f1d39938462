"""Training clips changed like pictures, all frames of a clip alike."""

from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.modalities.image.augment import Augment as Image


class Augment(Image):
    """One random change a clip: what moves in it still moves as it did.

    Args:
        shift, scale, rotate, light, erase, flip: as of pictures.
    """

    def __call__(self, field: Field, generator: torch.Generator) -> Field:
        """Change the present rows of a uint8 field `(batch, frames, side, side, 3)`."""
        rows, frames, side, _, _ = field.data.shape
        # To the picture's transform a clip is one picture with three channels a frame.
        together = field.data.permute(0, 2, 3, 1, 4).reshape(rows, side, side, -1)
        changed = super().__call__(Field(together, field.mask, field.present), generator)
        data = changed.data.reshape(rows, side, side, frames, 3).permute(0, 3, 1, 2, 4)
        return Field(data.contiguous(), field.mask, field.present)
