"""Series varied as measurements vary: tempo, strength, noise, gaps, a silent channel."""

from __future__ import annotations

import torch
from torch import Generator

from polymodal.contract.batch import Field
from polymodal.modalities.series.sequence import mean, piece, retime


class Augment:
    """Random variations of a training batch of `series/steps`; other forms come back as they are.

    Levels are kept: they often are what tells classes apart.

    Args:
        stretch: tempo changes by up to this share.
        crop: up to this share is cut from each end.
        scale: deviation of the factor by which a channel's excursions from its mean grow.
        jitter: deviation of added noise, in standard deviations of the channel in the batch.
        hide: up to this share of the steps is hidden in one piece behind the row's own mean.
        drop: chance that a channel of several is hidden altogether behind the batch's mean.
    """

    def __init__(
        self,
        *,
        stretch: float = 0.05,
        crop: float = 0.05,
        scale: float = 0.1,
        jitter: float = 0.05,
        hide: float = 0.05,
        drop: float = 0.0,
    ) -> None:
        self.stretch, self.crop, self.scale = stretch, crop, scale
        self.jitter, self.hide, self.drop = jitter, hide, drop

    def __call__(self, field: Field, generator: Generator) -> Field:
        """Field `(batch, steps, channels)` -> Field; lengths change, masked positions are zero."""
        if field.mask is None or not field.mask.any():
            return field
        data, mask = retime(field.data, field.mask, self.stretch, self.crop, generator)
        rows, steps, channels = data.shape
        usual = mean(data, mask).unsqueeze(1)
        factor = 1 + self.scale * torch.randn(rows, 1, channels, generator=generator)
        data = usual + (data - usual) * factor
        hidden = piece(mask.sum(1), steps, self.hide, generator)
        data = torch.where(hidden.unsqueeze(2), usual, data)
        real = data[mask]
        noise = torch.randn(data.shape, generator=generator)
        data = data + self.jitter * real.std(0, correction=0) * noise
        silent = torch.rand(rows, 1, channels, generator=generator) < self.drop
        data = torch.where(silent & (channels > 1), real.mean(0), data)
        return Field(torch.where(mask.unsqueeze(2), data, 0), mask, field.present)
