"""A pretrained model of sounds, trained on or frozen."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form
from polymodal.modalities.audio.forms.pretrained import Pretrained as Given
from polymodal.nn import checkpoint
from polymodal.nn.backbone import Frozen, projection
from polymodal.nn.masked import all_real

# Seconds at most that a token may take for speech to be written down along it.
FINE = 0.04


class Pretrained(Encoder):
    """A pretrained model's tokens: of one that is trained on, one for several of its positions; of
    a frozen one's kept outputs, one a part of the sound.

    Args:
        form: audio/pretrained; its `tune` says which.
        width: of the tokens; None: the model's own.
        window: positions of a tuned model that one token is the mean of; speech is written down
            along every single one, unless told.
        dropout: of a tuned model's tokens, of a frozen one's outputs.
    """

    kind = "audio"
    form = "pretrained"
    bare = True

    def __init__(
        self, form: Form, width: int | None, *, window: int = 10, dropout: float = 0.1
    ) -> None:
        super().__init__()
        assert isinstance(form, Given)
        if window < 1:
            raise UserError("A token stands for a position at least", expected="window ≥ 1")
        size = form.listener.width
        self.width = width or size
        self.frozen = None if form.tune else Frozen(size, width, dropout, form.parts)
        self.tuned = _Tuned(form, width, window, dropout) if form.tune else None
        step = None if self.tuned is None else self.tuned.backbone.step
        self.timed = step is not None and window * step <= FINE

    def adapt(self, fields: Iterable[Field]) -> None:
        if self.frozen is not None:
            self.frozen.adapt(fields)

    @classmethod
    def suited(cls, asked: Collection[str]) -> dict[str, Any]:
        return {"window": 1} if "timed" in asked else {}

    def lengths(self, counts: Tensor) -> Tensor:
        assert self.tuned is not None
        return -(-self.tuned.backbone.lengths(counts) // self.tuned.window)

    def forward(self, field: Field) -> Tokens:
        """`(batch, steps, features)` or `(batch, parts, size)` -> Tokens `(batch, length,
        width)`."""
        if self.tuned is not None:
            tokens: Tokens = self.tuned(field)
            return tokens
        assert self.frozen is not None
        return all_real(self.frozen(field))


class _Tuned(nn.Module):
    """A model's outputs, averaged over windows and projected."""

    def __init__(self, form: Given, width: int | None, window: int, dropout: float) -> None:
        super().__init__()
        self.backbone = form.listener.network(weights=checkpoint.has_weights(form.path))
        self.window = window
        size = form.listener.width
        self.project = nn.Sequential(
            nn.LayerNorm(size), projection(size, width), nn.Dropout(dropout)
        )

    def forward(self, field: Field) -> Tokens:
        assert field.mask is not None
        heard = self.backbone(field.data, field.mask)
        # A row without a sound attends to its padding, and has no token.
        real = heard.mask & field.mask.any(1, keepdim=True)
        means, mask = _windows(heard.values, real, self.window)
        values = self.project(means)
        return Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)


def _windows(values: Tensor, mask: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Means over the real ones of every `window` positions, and where there are any."""
    short = -values.shape[1] % window
    values = F.pad(torch.where(mask.unsqueeze(-1), values, 0), (0, 0, 0, short))
    mask = F.pad(mask, (0, short)).view(mask.shape[0], -1, window)
    sums = values.reshape(values.shape[0], -1, window, values.shape[2]).sum(2)
    return sums / mask.sum(2).clamp(min=1).unsqueeze(-1), mask.any(2)
