"""What augmentations of sequences share; all randomness comes from the generator handed in."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def retime(
    data: Tensor, mask: Tensor, stretch: float, crop: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Every row read from a start and at a pace of its own.

    Args:
        data: `(batch, length, d)`.
        mask: `(batch, length)`.
        stretch: the pace changes by up to this share.
        crop: up to this share of a row is left out at each end.
        generator: of the random numbers.

    Returns:
        data and mask `(batch, new length ≥ 1, ...)`; a row that had a position keeps at least one.
    """
    length = mask.sum(1, keepdim=True)
    ends = crop * torch.rand(len(data), 2, generator=generator) * length
    pace = 1 + stretch * spread(len(data), generator)
    kept = length - 1 - ends.sum(1, keepdim=True)
    new = torch.where(length > 0, (kept / pace).floor().clamp(min=0) + 1, 0).long()
    steps = int(new.max().clamp(min=1))
    where = (ends[:, :1] + grid(len(data), steps) * pace).minimum((length - 1).clamp(min=0))
    return read_at(data, where), torch.arange(steps) < new


def read_at(data: Tensor, where: Tensor) -> Tensor:
    """`data (batch, length, d)` at fractional steps `where (batch, new)`, linearly interpolated."""
    last = max(data.shape[1] - 1, 0)
    where = where.clamp(0, last)
    low = where.long()
    high = (low + 1).clamp(max=last)
    share = (where - low).unsqueeze(2).to(data.dtype)
    wide = (-1, -1, data.shape[2])
    before = data.gather(1, low.unsqueeze(2).expand(wide))
    after = data.gather(1, high.unsqueeze(2).expand(wide))
    return before + (after - before) * share


def piece(lengths: Tensor, size: int, share: float, generator: Generator) -> Tensor:
    """One random piece of each row, at most `share` of its length: `(batch, size)` bool."""
    chance = torch.rand(len(lengths), 2, generator=generator)
    width = (((share * lengths).floor() + 1) * chance[:, 0]).floor()
    start = ((lengths - width + 1) * chance[:, 1]).floor()
    at = torch.arange(size)
    return (at >= start.unsqueeze(1)) & (at < (start + width).unsqueeze(1))


def mean(data: Tensor, mask: Tensor) -> Tensor:
    """Each row's mean over its real positions, `(batch, d)`; zeros where there are none."""
    real = torch.where(mask.unsqueeze(2), data, 0)
    return real.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def spread(rows: int, generator: Generator) -> Tensor:
    """Uniform in [-1, 1), `(rows, 1)`."""
    return 2 * torch.rand(rows, 1, generator=generator) - 1


def grid(rows: int, length: int) -> Tensor:
    """0, 1, 2, … in every row, `(rows, length)` float."""
    return torch.arange(length).expand(rows, length).float()
