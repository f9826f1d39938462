"""Log-mel spectrograms varied as recordings vary: tempo, loudness, pitch, parts not heard."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from polymodal.batch import Field


class Audio:
    """Random variations of a training batch of `audio/mel`; other forms come back as they are.

    Args:
        stretch: tempo changes by up to this share.
        crop: up to this share is cut from each end.
        shift: mel bands the whole spectrum moves up or down, at most.
        gain: change of the log power, at most.
        hide_time: up to this share of the frames is hidden in one piece, as in SpecAugment (Park
            et al. 2019), by the sound's own mean.
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
        """Field `(batch, frames, mels)` -> Field; lengths change, masked positions are zero."""
        if field.mask is None:
            return field
        data, mask = self._retime(field.data, field.mask, generator)
        rows, frames, mels = data.shape
        moved = self.shift * _spread(rows, generator)
        data = _sample(data.transpose(1, 2), _grid(rows, mels) + moved).transpose(1, 2)
        mean = (data * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        out = _piece(mask.sum(1), frames, self.hide_time, generator)
        data = torch.where(out.unsqueeze(2), mean.unsqueeze(1), data)
        out = _piece(torch.full((rows,), mels), mels, self.hide_mels, generator)
        data = torch.where(out.unsqueeze(1), mean.mean(1)[:, None, None], data)
        data = data + self.gain * _spread(rows, generator).unsqueeze(2)
        return Field(torch.where(mask.unsqueeze(2), data, 0), mask, field.present)

    def _retime(self, data: Tensor, mask: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Crop and stretch: every row read at a pace and from a start of its own."""
        rows = len(data)
        length = mask.sum(1, keepdim=True)
        ends = self.crop * torch.rand(rows, 2, generator=generator) * length
        pace = 1 + self.stretch * _spread(rows, generator)
        kept = length - 1 - ends.sum(1, keepdim=True)
        new = torch.where(length > 0, (kept / pace).floor().clamp(min=0) + 1, 0).long()
        steps = int(new.max()) if rows else 0
        # A row of one frame has nothing to crop: its only frame is read.
        where = (ends[:, :1] + _grid(rows, steps) * pace).minimum((length - 1).clamp(min=0))
        return _sample(data, where), torch.arange(steps) < new


def _spread(rows: int, generator: Generator) -> Tensor:
    """Uniform in [-1, 1), `(rows, 1)`."""
    return 2 * torch.rand(rows, 1, generator=generator) - 1


def _grid(rows: int, length: int) -> Tensor:
    return torch.arange(length).expand(rows, length).float()


def _sample(data: Tensor, where: Tensor) -> Tensor:
    """`data (batch, length, d)` read between its steps at `where (batch, new)`, linearly."""
    where = where.clamp(0, max(data.shape[1] - 1, 0))
    low = where.long()
    high = (low + 1).clamp(max=max(data.shape[1] - 1, 0))
    share = (where - low).unsqueeze(2).to(data.dtype)
    wide = (-1, -1, data.shape[2])
    a = data.gather(1, low.unsqueeze(2).expand(wide))
    b = data.gather(1, high.unsqueeze(2).expand(wide))
    return a + (b - a) * share


def _piece(lengths: Tensor, size: int, share: float, generator: Generator) -> Tensor:
    """One random piece of each row, at most `share` of its length, `(batch, size)` bool."""
    chance = torch.rand(len(lengths), 2, generator=generator)
    width = (((share * lengths).floor() + 1) * chance[:, 0]).floor()
    start = ((lengths - width + 1) * chance[:, 1]).floor()
    at = torch.arange(size)
    return (at >= start.unsqueeze(1)) & (at < (start + width).unsqueeze(1))
