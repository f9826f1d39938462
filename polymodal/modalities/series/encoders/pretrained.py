"""A pretrained model of series, trained on or frozen."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.series.forms.pretrained import Patches
from polymodal.modalities.series.forms.pretrained import Pretrained as Given
from polymodal.nn import checkpoint
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
        weights = checkpoint.has_weights(form.path)
        self.backbone = Patches(form.path, form.channels, weights=weights)
        self.project = nn.Sequential(
            nn.LayerNorm(form.size), projection(form.size, width), nn.Dropout(dropout)
        )
        self.channels = nn.Parameter(0.02 * torch.randn(form.channels, width or form.size))

    def forward(self, data: Tensor) -> Tensor:
        values: Tensor = self.project(self.backbone(data)) + self.channels
        return values
