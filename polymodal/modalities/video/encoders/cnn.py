"""A small residual network on every frame, and convolutions over time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.video.forms.frames import Frames
from polymodal.nn.masked import all_real
from polymodal.nn.trunk import Normalise, Trunk, on_present

QUARTERS = 2


class Cnn(Encoder):
    """Each frame and its change since the one before, seen by one network, then read in order.

    The change makes motion visible to the network at once; the frame's quarters are kept apart
    so that where something is can be followed from frame to frame. Tokens `(batch, frames,
    width)`, time added.

    Args:
        form: gives `(batch, frames, size, size, 3)` uint8.
        width: of the tokens.
        channels: of the last stage; each of the finer ones before it has half as many.
        depth: residual blocks a stage.
        dropout: on a frame's features.
    """

    kind: ClassVar[str] = "video"
    form: ClassVar[str] = "frames"

    def __init__(
        self,
        form: Frames,
        width: int,
        *,
        channels: int = 128,
        depth: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.trunk = Trunk(6, form.size, channels, depth)
        self.join = nn.Linear(channels * QUARTERS**2, channels)
        self.over_time = nn.Conv1d(channels, channels, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(channels, width)
        self.times = nn.Parameter(0.02 * torch.randn(form.frames, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.normalise.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        return all_real(on_present(self._encode, field, self.training))

    def _encode(self, clips: Tensor) -> Tensor:
        pixels = self.normalise(clips)
        # The first frame stands before itself: it has not changed.
        change = pixels - torch.cat([pixels[:, :1], pixels[:, :-1]], 1)
        maps = self.trunk(torch.cat([pixels, change], -1).flatten(0, 1))
        quarters = F.adaptive_avg_pool2d(maps, QUARTERS).flatten(1)
        frames = F.relu(self.join(quarters)).view(*clips.shape[:2], self.join.out_features)
        frames = frames + F.relu(self.over_time(frames.transpose(1, 2))).transpose(1, 2)
        tokens: Tensor = self.project(self.dropout(frames)) + self.times
        return tokens
