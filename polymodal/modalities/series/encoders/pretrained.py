"""A pretrained model of series, trained on or frozen."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.series.forms.pretrained import SERIES, alone, shared
from polymodal.modalities.series.forms.pretrained import Pretrained as Given
from polymodal.nn import checkpoint, pretrained
from polymodal.nn.backbone import Frozen, projection
from polymodal.nn.masked import all_real


class Pretrained(Encoder):
    """A pretrained model's tokens, one a channel.

    Args:
        form: series/pretrained; its `tune` says whether the model is trained on.
        width: of the tokens; None: the model's own.
        dropout: of a tuned model's tokens, of a frozen one's outputs.
    """

    kind = "series"
    form = "pretrained"
    bare = True

    def __init__(self, form: Form, width: int | None, *, dropout: float = 0.1) -> None:
        super().__init__()
        assert isinstance(form, Given)
        self.width = width or form.size
        self.frozen = None if form.tune else Frozen(form.size, width, dropout, form.channels)
        self.tuned = _Tuned(form, width, dropout) if form.tune else None

    def adapt(self, fields: Iterable[Field]) -> None:
        if self.frozen is not None:
            self.frozen.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, steps, channels)` or `(batch, channels, size)` -> Tokens `(batch, channels,
        width)`."""
        if self.tuned is not None:
            return all_real(self.tuned(field.data))
        assert self.frozen is not None
        return all_real(self.frozen(field))


class _Tuned(nn.Module):
    """A model's outputs, projected, with each channel's own vector added."""

    def __init__(self, form: Given, width: int | None, dropout: float) -> None:
        super().__init__()
        self.backbone = _Patches(form.path, form.channels)
        self.project = nn.Sequential(
            nn.LayerNorm(form.size), projection(form.size, width), nn.Dropout(dropout)
        )
        self.channels = nn.Parameter(0.02 * torch.randn(form.channels, width or form.size))

    def forward(self, data: Tensor) -> Tensor:
        values: Tensor = self.project(self.backbone(data)) + self.channels
        return values


class _Patches(nn.Module):
    """A model of series: `(batch, steps, channels)` -> means over patches `(batch, channels,
    width)`; of random weights where its folder holds none.

    Attributes:
        is_backbone: tells the optimiser to move its weights at a rate of their own.
    """

    is_backbone = True

    def __init__(self, path: str, channels: int) -> None:
        super().__init__()
        self.alone = alone(path)
        weights, settings = checkpoint.has_weights(path), shared(path, channels)
        self.model = pretrained.load(path, SERIES, weights=weights, **settings)

    def forward(self, data: Tensor) -> Tensor:
        batch, steps, channels = data.shape
        if self.alone:
            # A channel is a row of its own.
            data = data.transpose(1, 2).reshape(batch * channels, steps, 1)
        # `(batch, channels, patches, width)`
        values: Tensor = self.model(past_values=data).last_hidden_state.mean(2)
        return values.view(batch, channels, -1)
