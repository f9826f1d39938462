"""Residual convolutions over time: the encoder for series from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.series.forms.steps import Steps
from polymodal.nn.masked import MaskedNorm, Standardise, halve


class Cnn(Encoder):
    """A 1-d ResNet (Wang et al. 2017), which halves time: one token for every 2^depth steps.

    Args:
        form: the fitted form.
        width: of the tokens.
        channels: of every layer.
        depth: blocks.
        kernel: steps that a convolution sees; odd.
        dropout: before the tokens are made.
    """

    kind: ClassVar[str] = "series"
    form: ClassVar[str] = "steps"

    def __init__(
        self,
        form: Steps,
        width: int,
        *,
        channels: int = 64,
        depth: int = 2,
        kernel: int = 5,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.scale = Standardise(form.channels)
        self.stem = nn.Conv1d(form.channels, channels, kernel, padding=kernel // 2, bias=False)
        self.norm = MaskedNorm(channels)
        self.blocks = nn.ModuleList(_Block(channels, kernel) for _ in range(depth))
        self.project = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(channels, width), nn.LayerNorm(width)
        )

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, steps, channels)` -> Tokens `(batch, ceil(steps / 2^depth), width)`."""
        assert field.mask is not None
        mask = field.mask
        x = torch.relu(self.norm(self.stem(self.scale(field).transpose(1, 2)), mask))
        for block in self.blocks:
            x, mask = block(x, mask), halve(mask)
        values = self.project(x.transpose(1, 2))
        return Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)


class _Block(nn.Module):
    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        half = kernel // 2
        self.first = nn.Conv1d(channels, channels, kernel, stride=2, padding=half, bias=False)
        self.second = nn.Conv1d(channels, channels, kernel, padding=half, bias=False)
        self.norms = nn.ModuleList(MaskedNorm(channels) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        mask = halve(mask)
        y = torch.relu(self.norms[0](self.first(x), mask))
        y = self.norms[1](self.second(y), mask)
        return torch.relu(y + x[:, :, ::2])
