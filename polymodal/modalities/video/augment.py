"""Training clips changed like pictures, all frames of a clip alike."""

from __future__ import annotations

import torch

from polymodal.contract.batch import Field
from polymodal.modalities.image.augment import Augment as Image


class Augment:
    """One random change a clip: what moves in it still moves as it did.

    Args:
        shift, scale, rotate, light, erase, flip: as for `augment.image.Image`.
    """

    def __init__(
        self,
        *,
        shift: float = 0.1,
        scale: float = 0.15,
        rotate: float = 12.0,
        light: float = 0.2,
        erase: float = 0.25,
        flip: bool = False,
    ) -> None:
        self.image = Image(
            shift=shift, scale=scale, rotate=rotate, light=light, erase=erase, flip=flip
        )

    def __call__(self, field: Field, generator: torch.Generator) -> Field:
        """Change the present rows of a uint8 field `(batch, frames, side, side, 3)`."""
        rows, frames, side, _, _ = field.data.shape
        # To the picture's transform a clip is one picture with three channels a frame.
        together = field.data.permute(0, 2, 3, 1, 4).reshape(rows, side, side, -1)
        changed = self.image(Field(together, field.mask, field.present), generator)
        data = changed.data.reshape(rows, side, side, frames, 3).permute(0, 3, 1, 2, 4)
        return Field(data.contiguous(), field.mask, field.present)
