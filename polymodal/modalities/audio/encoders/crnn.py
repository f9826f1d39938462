"""Convolutions and a recurrent network over the log-mel spectrogram: the encoder for speech."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.audio.encoders.cnn import Stage
from polymodal.modalities.audio.forms.mel import Mel
from polymodal.nn.masked import MaskedNorm, Standardise
from polymodal.nn.recurrent import Lstm


class Crnn(Encoder):
    """Residual convolutions, then a bidirectional LSTM: a token every `stride` frames of 10 ms.

    After "Deep Speech 2" (Amodei et al. 2015, arXiv 1512.02595), smaller.

    Args:
        form: the fitted form.
        width: of the tokens.
        channels: of the first layer; they double with each of the two stages after it.
        hidden: numbers of the recurrent state in each direction.
        depth: recurrent layers.
        stride: frames to a token: 1, 2 or 4.
        dropout: between recurrent layers, and before and after them.
    """

    kind: ClassVar[str] = "audio"
    form: ClassVar[str] = "mel"
    timed = True

    def __init__(
        self,
        form: Mel,
        width: int,
        *,
        channels: int = 16,
        hidden: int = 128,
        depth: int = 1,
        stride: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if stride not in (1, 2, 4):
            raise UserError(f"stride={stride} is not possible", expected="1, 2 or 4")
        self.stride = stride
        self.scale = Standardise(form.mels)
        # Neighbouring mel bands are much alike: the stem halves them at once.
        self.stem = nn.Conv2d(1, channels, 3, stride=(1, 2), padding=1, bias=False)
        self.norm = MaskedNorm(channels)
        times = {1: (1, 1), 2: (2, 1), 4: (2, 2)}[stride]
        self.stages = nn.ModuleList(
            Stage(channels << i, channels << i + 1, time) for i, time in enumerate(times)
        )
        bands = form.mels
        for _ in range(3):
            bands = (bands + 1) // 2
        self.dropout = nn.Dropout(dropout)
        self.narrow = nn.Linear((channels << 2) * bands, 2 * hidden)
        self.network = Lstm(2 * hidden, hidden, depth, True, dropout)
        self.project = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.network.width, width), nn.LayerNorm(width)
        )

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(fields)

    def lengths(self, counts: Tensor) -> Tensor:
        return (counts + self.stride - 1) // self.stride

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, frames, mels)` -> Tokens `(batch, ceil(frames / stride), width)`."""
        assert field.mask is not None
        mask = field.mask
        x = self.scale(field).unsqueeze(1).to(memory_format=torch.channels_last)
        x = torch.relu(self.norm(self.stem(x), mask))
        for stage in self.stages:
            assert isinstance(stage, Stage)
            x, mask = stage(x, mask), mask[:, :: stage.time]
        x = torch.relu(self.narrow(self.dropout(x.permute(0, 2, 3, 1).flatten(2))))
        values = self.project(self.network(x, mask))
        return Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)
