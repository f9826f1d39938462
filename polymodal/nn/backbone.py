"""A Hugging Face model inside an encoder."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from polymodal.nn import pretrained


class Backbone(nn.Module):
    """A pretrained model that is trained on; of random weights where its folder holds none.

    That is the case in a saved run, whose own weights file holds the backbone's too.

    Args:
        path: folder or hub id.
        kind: "text" or "image".

    Attributes:
        is_backbone: tells the optimiser to move its weights at a rate of their own.
        width: of the outputs.
    """

    is_backbone: ClassVar[bool] = True

    def __init__(self, path: str, kind: str) -> None:
        super().__init__()
        self.model = pretrained.load(path, kind=kind, weights=pretrained.has_weights(path))
        self.width = pretrained.width(path, kind=kind)

    def forward(self, **inputs: Tensor) -> Tensor:
        """The model's inputs to its last hidden state, `(batch, positions, width)`."""
        return pretrained.hidden(self.model, **inputs)
