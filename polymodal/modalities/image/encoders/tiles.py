"""A picture's patches as tokens, each seen with its neighbours: what pictures can be made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.image.forms.pixels import Pixels
from polymodal.nn.canvas import Gridded, check_grid
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise


class Tiles(Encoder):
    """One token a square patch, by convolutions that lose nothing of where things are.

    The encoder of a tokenizer of pictures, as in "Taming Transformers for High-Resolution Image
    Synthesis" (Esser et al. 2021, arXiv 2012.09841), small. Tokens `(batch, (size / patch)²,
    width)`. Neighbours: `patch` has no layers, `cnn` has fewer and coarser tokens.

    Args:
        form: gives `(batch, size, size, 3)` uint8.
        width: of the tokens.
        patch: side of a patch in pixels, which divides the size.
        channels: of the convolutions.
        depth: blocks at either fineness.
    """

    kind: ClassVar[str] = "image"
    form: ClassVar[str] = "pixels"
    gridded = True

    def __init__(
        self, form: Pixels, width: int, *, patch: int = 8, channels: int = 64, depth: int = 1
    ) -> None:
        super().__init__()
        check_grid(form.size, patch, channels, depth)
        self.normalise = Normalise()
        self.grid = Gridded(3, patch, channels, depth)
        self.project = nn.Linear(channels, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        return all_real(self.project(self.grid(self.normalise(field.data))))
