"""Sounds varied as recordings vary: tempo, pitch, loudness, parts not heard."""

from __future__ import annotations

import torch
from torch import Generator

from polymodal.contract.batch import Field
from polymodal.modalities.series.sequence import grid, mean, piece, read_at, retime, spread


class Augment:
    """Random variations of a training batch of `audio/mel`, and of `audio/waveform` as far as they
    apply to samples; forms that are not ragged come back as they are.

    Args:
        stretch: tempo changes by up to this share.
        crop: up to this share is cut from each end.
        shift: mel bands that the whole spectrum moves up or down by, at most.
        gain: change of the log power, at most.
        hide_time: up to this share of the frames is hidden in one piece (SpecAugment, Park et al.
            2019) behind the sound's own mean.
        hide_mels: the same for mel bands.
    """

    def __init__(
        self,
        *,
        stretch: float = 0.15,
        crop: float = 0.05,
        shift: float = 2.0,
        gain: float = 1.0,
        hide_time: float = 0.15,
        hide_mels: float = 0.15,
    ) -> None:
        self.stretch, self.crop, self.shift, self.gain = stretch, crop, shift, gain
        self.hide_time, self.hide_mels = hide_time, hide_mels

    def __call__(self, field: Field, generator: Generator) -> Field:
        """Field `(batch, frames, mels)`, or of samples `(batch, samples, 1)` -> Field; lengths
        change, masked positions are zero."""
        if field.mask is None:
            return field
        data, mask = retime(field.data, field.mask, self.stretch, self.crop, generator)
        rows, frames, mels = data.shape
        if mels == 1:
            hidden = piece(mask.sum(1), frames, self.hide_time, generator)
            # Half of a change of the log power is one of the log amplitude.
            louder = torch.exp(self.gain / 2 * spread(rows, generator)).unsqueeze(2)
            kept = mask & ~hidden
            return Field(torch.where(kept.unsqueeze(2), data * louder, 0), mask, field.present)
        bands = grid(rows, mels) + self.shift * spread(rows, generator)
        data = read_at(data.transpose(1, 2), bands).transpose(1, 2)
        usual = mean(data, mask)
        hidden = piece(mask.sum(1), frames, self.hide_time, generator)
        data = torch.where(hidden.unsqueeze(2), usual.unsqueeze(1), data)
        hidden = piece(torch.full((rows,), mels), mels, self.hide_mels, generator)
        data = torch.where(hidden.unsqueeze(1), usual.mean(1)[:, None, None], data)
        data = data + self.gain * spread(rows, generator).unsqueeze(2)
        return Field(torch.where(mask.unsqueeze(2), data, 0), mask, field.present)
