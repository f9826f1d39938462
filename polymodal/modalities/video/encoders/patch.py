"""Patches of every frame as tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.video.forms.frames import Frames
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise, Patches


class Patch(Encoder):
    """One linear token a patch of a frame, place and time added: for a fusion with layers.

    Tokens `(batch, frames · ceil(size / patch)², width)`, frame by frame.

    Args:
        form: gives `(batch, frames, size, size, 3)` uint8.
        width: of the tokens.
        patch: side of a patch in pixels.
    """

    kind: ClassVar[str] = "video"
    form: ClassVar[str] = "frames"

    def __init__(self, form: Frames, width: int, *, patch: int = 16) -> None:
        super().__init__()
        if not 1 <= patch <= form.size:
            raise UserError(f"patch={patch} is out of range", expected=f"1 to {form.size} pixels")
        self.normalise = Normalise()
        self.patches = Patches(form.size, patch, width)
        self.times = nn.Parameter(0.02 * torch.randn(form.frames, 1, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        tokens = self.patches(self.normalise(field.data).flatten(0, 1))
        by_frame = tokens.view(*field.data.shape[:2], *tokens.shape[1:]) + self.times
        return all_real(by_frame.flatten(1, 2))
