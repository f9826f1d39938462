"""A pretrained model of video or of pictures, trained on or frozen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.video.forms.pretrained import VIDEO
from polymodal.modalities.video.forms.pretrained import Pretrained as Given
from polymodal.nn import pretrained, processors
from polymodal.nn.backbone import Backbone, Frozen, projection
from polymodal.nn.masked import all_real


class Pretrained(Encoder):
    """A pretrained model's tokens: a frozen one's kept outputs; of one that is trained on, one a
    frame by a model of pictures, one for several patches by a model of video.

    Args:
        form: video/pretrained; its `tune` says which.
        width: of the tokens; None: the model's own.
        tokens: at most so many of a model of video that is trained on, each the mean of as many
            positions that follow each other: models read clips from start to end.
        dropout: of a tuned model's tokens, of a frozen one's outputs.
    """

    kind: ClassVar[str] = "video"
    form: ClassVar[str] = "pretrained"
    bare: ClassVar[bool] = True

    def __init__(
        self, form: Form, width: int | None, *, tokens: int = 16, dropout: float = 0.1
    ) -> None:
        super().__init__()
        assert isinstance(form, Given)
        self.width = width or form.size
        self.frozen = None if form.tune else Frozen(form.size, width, dropout, form.places)
        self.tuned = _Tuned(form, width, tokens, dropout) if form.tune else None

    def adapt(self, fields: Iterable[Field]) -> None:
        if self.frozen is not None:
            self.frozen.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """`(batch, frames, height, width, 3)` uint8 or `(batch, outputs, size)` float -> Tokens
        `(batch, length, width)`."""
        if self.tuned is not None:
            return all_real(self.tuned(field.data))
        assert self.frozen is not None
        return all_real(self.frozen(field))


class _Tuned(nn.Module):
    """A model's last hidden state, averaged and projected, in order of time."""

    shift: Tensor
    scale: Tensor

    def __init__(self, form: Given, width: int | None, tokens: int, dropout: float) -> None:
        super().__init__()
        self.together, self.tokens = bool(form.together), tokens
        self.backbone = Backbone(form.path, VIDEO)
        shift, scale = processors.normalisation(form.path)
        self.register_buffer("shift", torch.tensor(shift)[:, None, None])
        self.register_buffer("scale", torch.tensor(scale)[:, None, None])
        self.project = nn.Sequential(
            nn.LayerNorm(self.backbone.width),
            projection(self.backbone.width, width),
            nn.Dropout(dropout),
        )
        count = 1 if self.together else form.frames
        size = width or self.backbone.width
        self.times = nn.Parameter(0.02 * torch.randn(count, size)) if count > 1 else None

    def forward(self, data: Tensor) -> Tensor:
        """`(batch, frames, height, width, 3)` uint8 -> `(batch, length, width)`."""
        pixels = (data.movedim(-1, 2).to(self.scale.dtype) - self.shift) * self.scale
        found = _outputs(self.backbone.model, pixels, self.together)
        if self.together:
            found = found.squeeze(1)
            parts = found.tensor_split(min(self.tokens, found.shape[1]), 1)
            means = torch.stack([part.mean(1) for part in parts], 1)
        else:
            means = found.mean(2)
        values: Tensor = self.project(means)
        return values if self.times is None else values + self.times


def _outputs(model: nn.Module, clips: Tensor, together: bool) -> Tensor:
    """A loaded model's last hidden state of clips `(batch, frames, 3, height, width)`.

    Args:
        together: whether it reads a clip's frames at once.

    Returns:
        `(batch, 1, positions, width)`, or `(batch, frames, positions, width)` frame by frame.
    """
    if together:
        return pretrained.hidden(model, pixel_values=clips).unsqueeze(1)
    found = pretrained.hidden(model, pixel_values=clips.flatten(0, 1))
    return found.view(*clips.shape[:2], *found.shape[1:])
