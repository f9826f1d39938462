"""A Hugging Face model inside an encoder, or what a frozen one made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field
from polymodal.nn import checkpoint, pretrained
from polymodal.nn.masked import Standardise


class Backbone(nn.Module):
    """A pretrained model that is trained on; of random weights where its folder holds none.

    That is the case in a saved run, whose own weights file holds the backbone's too.

    Args:
        path: name of a package of weights, folder or hub id.
        half: what of the model is meant.
        settings: of its configuration, instead of what that says.

    Attributes:
        is_backbone: tells the optimiser to move its weights at a rate of their own.
        width: of the outputs.
    """

    is_backbone: ClassVar[bool] = True

    def __init__(self, path: str, half: pretrained.Half, **settings: Any) -> None:
        super().__init__()
        weights = checkpoint.has_weights(path)
        self.model = pretrained.load(path, half, weights=weights, **settings)
        self.width = pretrained.width(path, half)

    def forward(self, **inputs: Tensor) -> Tensor:
        """The model's inputs to its last hidden state, `(batch, positions, width)`."""
        return pretrained.hidden(self.model, **inputs)


class Frozen(nn.Module):
    """A frozen model's kept outputs, standardised and projected.

    Args:
        size: of the outputs.
        width: of the tokens; None: they are not projected.
        dropout: of the outputs.
        places: how many a row has, if all have as many: each has a place in the tokens then.
    """

    def __init__(self, size: int, width: int | None, dropout: float, places: int = 1) -> None:
        super().__init__()
        self.scale = Standardise(size)
        self.project = nn.Sequential(nn.Dropout(dropout), projection(size, width))
        self.width = width or size
        self.places = nn.Parameter(0.02 * torch.randn(places, self.width)) if places > 1 else None

    def adapt(self, fields: Iterable[Field]) -> None:
        """Set mean and deviation from training batches."""
        self.scale.adapt(_flat(field) for field in fields)

    def forward(self, field: Field) -> Tensor:
        """`(batch, length, size)` -> `(batch, length, width)`."""
        scaled = self.scale(_flat(field)).view(field.data.shape)
        values: Tensor = self.project(scaled)
        return values if self.places is None else values + self.places


def projection(size: int, width: int | None) -> nn.Module:
    """A model's outputs to the width of the tokens; None: as they are."""
    return nn.Identity() if width is None else nn.Linear(size, width)


def _flat(field: Field) -> Field:
    """Every output as a row of its own, where all rows have as many."""
    if field.mask is not None:
        return field
    present = field.present.repeat_interleave(field.data.shape[1])
    return Field(field.data.flatten(0, 1), None, present)
