"""Patches of a picture as tokens, as a Vision Transformer sees it before its first layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise, Patches


class Patch(Encoder):
    """One linear token a square patch, position added: raw material for a fusion with layers.

    Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021. Tokens `(batch,
    ceil(size / patch)², width)`.

    Args:
        form: gives `(batch, size, size, 3)` uint8.
        width: of the tokens.
        patch: side of a patch in pixels.
    """

    kind: ClassVar[str] = "image"
    form: ClassVar[str] = "pixels"
    gridded = True

    def __init__(self, form: Pixels, width: int, *, patch: int = 8) -> None:
        super().__init__()
        if not 1 <= patch <= form.size:
            raise UserError(f"patch={patch} is out of range", expected=f"1 to {form.size} pixels")
        self.normalise = Normalise()
        self.patches = Patches(form.size, patch, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        return all_real(self.patches(self.normalise(field.data)))
