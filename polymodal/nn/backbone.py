"""A Hugging Face model inside an encoder, or what a frozen one made."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from polymodal.contract.batch import Field
from polymodal.nn import pretrained
from polymodal.nn.masked import Standardise


class Backbone(nn.Module):
    """A pretrained model that is trained on; of random weights where its folder holds none.

    That is the case in a saved run, whose own weights file holds the backbone's too.

    Args:
        path: folder or hub id.
        half: what of the model is meant.

    Attributes:
        is_backbone: tells the optimiser to move its weights at a rate of their own.
        width: of the outputs.
    """

    is_backbone: ClassVar[bool] = True

    def __init__(self, path: str, half: pretrained.Half) -> None:
        super().__init__()
        self.model = pretrained.load(path, half, weights=pretrained.has_weights(path))
        self.width = pretrained.width(path, half)

    def forward(self, **inputs: Tensor) -> Tensor:
        """The model's inputs to its last hidden state, `(batch, positions, width)`."""
        return pretrained.hidden(self.model, **inputs)


class Frozen(nn.Module):
    """A frozen model's kept outputs, standardised and projected.

    Args:
        path: folder or hub id of the model.
        half: what of it made them.
        width: of the tokens.
        dropout: of the outputs.
    """

    def __init__(self, path: str, half: pretrained.Half, width: int, dropout: float) -> None:
        super().__init__()
        size = pretrained.width(path, half)
        self.scale = Standardise(size)
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(size, width))

    def forward(self, field: Field) -> Tensor:
        """`(..., size)` -> `(..., width)`."""
        values: Tensor = self.project(self.scale(field))
        return values
