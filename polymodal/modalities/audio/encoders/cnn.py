"""Residual convolutions over the log-mel spectrogram: the encoder for sounds from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.nn.masked import MaskedNorm, Standardise, halve
from polymodal.nn.strided import strided


class Cnn(Encoder):
    """A log-mel CNN after ResNet (He et al. 2016): one token for every 2^depth frames.

    Frequencies keep their places to the end: a pattern's pitch matters, unlike its time.

    Args:
        form: the fitted form.
        width: of the tokens.
        channels: of the first layer; they double with every stage.
        depth: stages, each halving time and frequency.
        dropout: before the tokens are made.
    """

    kind: ClassVar[str] = "audio"
    form: ClassVar[str] = "mel"

    def __init__(
        self, form: Mel, width: int, *, channels: int = 16, depth: int = 3, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.scale = Standardise(form.mels)
        # Neighbouring mel bands are much alike: the stem halves them at once.
        self.stem = nn.Conv2d(1, channels, 3, stride=(1, 2), padding=1, bias=False)
        self.norm = MaskedNorm(channels)
        self.stages = nn.ModuleList(Stage(channels << i, channels << i + 1) for i in range(depth))
        bands = form.mels
        for _ in range(depth + 1):
            bands = (bands + 1) // 2
        self.project = nn.Sequential(
            nn.Dropout(dropout), nn.Linear((channels << depth) * bands, width), nn.LayerNorm(width)
        )

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, frames, mels)` -> Tokens `(batch, ceil(frames / 2^depth), width)`."""
        assert field.mask is not None
        mask = field.mask
        x = self.scale(field).unsqueeze(1).to(memory_format=torch.channels_last)
        x = torch.relu(self.norm(self.stem(x), mask))
        for stage in self.stages:
            x, mask = stage(x, mask), halve(mask)
        values = self.project(x.permute(0, 2, 3, 1).flatten(2))
        return Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)


class Stage(nn.Module):
    """A residual block that halves frequency, and time as well unless `time` is 1."""

    def __init__(self, size: int, out: int, time: int = 2) -> None:
        super().__init__()
        self.time = time
        self.first = nn.Conv2d(size, out, 3, stride=(time, 2), padding=1, bias=False)
        self.second = nn.Conv2d(out, out, 3, padding=1, bias=False)
        # Without a stride: see `strided`.
        self.shortcut = nn.Conv2d(size, out, 1, bias=False)
        self.norms = nn.ModuleList(MaskedNorm(out) for _ in range(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(batch, size, frames, bands)`; the mask is that of the frames that come in."""
        mask = mask[:, :: self.time]
        y = torch.relu(self.norms[0](self.first(x), mask))
        y = self.norms[1](self.second(y), mask)
        shortcut = self.shortcut(strided(x, (self.time, 2)))
        return torch.relu(y + self.norms[2](shortcut, mask))
