"""A small residual network, trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import MOST, Normalise, Trunk, on_present


class Cnn(Encoder):
    """A convolutional network's last map as tokens, one a place, position added.

    Strong from some 500 pictures on. Tokens `(batch, places, width)`: 16 places at sizes 28, 32
    and 64, 36 at 96; with `side` 8 49 to 64 there.

    Args:
        form: gives `(batch, size, size, 3)` uint8.
        width: of the tokens.
        channels: of the last stage; each of the finer ones before it has half as many.
        depth: residual blocks a stage.
        dropout: on the last map.
        side: places along a side of the last map, at most. More tell small things apart, and cost.
    """

    kind: ClassVar[str] = "image"
    form: ClassVar[str] = "pixels"

    def __init__(
        self,
        form: Pixels,
        width: int,
        *,
        channels: int = 128,
        depth: int = 1,
        dropout: float = 0.1,
        side: int = MOST,
    ) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.trunk = Trunk(3, form.size, channels, depth, side)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(channels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(self.trunk.side**2, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        return all_real(on_present(self._encode, field, self.training))

    def _encode(self, pixels: Tensor) -> Tensor:
        maps = self.trunk(self.normalise(pixels))
        places = self.dropout(maps.flatten(2).transpose(1, 2))
        tokens: Tensor = self.project(places) + self.positions
        return tokens
