"""What encoders of sounds and series share. Masked positions never change a real one."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens

CLIP = 8.0  # standard deviations; further out is an accident of the recording


class Standardise(nn.Module):
    """A field's features to mean 0 and deviation 1 over the training rows, clipped to ±CLIP.

    Args:
        size: features: the length of the field's last axis.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))

    def adapt(self, fields: Iterable[Field]) -> None:
        """Set mean and deviation from the real positions of `fields`."""
        count, mean = 0, torch.zeros(len(self.mean), dtype=torch.float64)
        squares = torch.zeros_like(mean)
        for field in fields:
            real = field.data[_real(field)].double()
            if len(real):
                # Chan et al. 1983: merging means keeps its digits where sums of squares do not.
                total = count + len(real)
                offset = real.mean(0) - mean
                squares += ((real - real.mean(0)) ** 2).sum(0)
                squares += offset**2 * count * len(real) / total
                mean += offset * len(real) / total
                count = total
        deviation = (squares / max(count, 1)).sqrt()
        # A constant feature says nothing; dividing by its rounding error would make it shout.
        constant = deviation <= 1e-6 * mean.abs().clamp(min=1e-6)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(constant, 1.0, deviation))

    def forward(self, field: Field) -> Tensor:
        """Field -> `data`'s shape, zeros where it is masked or absent."""
        scaled = (field.data.to(self.mean.dtype) - self.mean) / self.deviation
        return torch.where(_real(field).unsqueeze(-1), scaled, 0).clamp(-CLIP, CLIP)


class MaskedNorm(nn.Module):
    """Batch normalisation over the real positions only (Ioffe and Szegedy 2015).

    Plain batch normalisation would count padding, so a row's neighbours' lengths would change it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`x (batch, channels, length, ...)`, `mask (batch, length)` -> as x, masked ones zero."""
        if self.norm.training:
            return self._trained(x, mask)
        real = mask.view(mask.shape[0], 1, mask.shape[1], *[1] * (x.dim() - 3))
        return torch.where(real, self._frozen(x), 0)

    def _trained(self, x: Tensor, mask: Tensor) -> Tensor:
        # Gathered, so that PyTorch's own norm sees the real positions alone: their number is data,
        # as no shape may be when a network is exported, but masked sums take half as long again.
        last = x.movedim(1, -1)
        real = last[mask]
        flat = real.flatten(0, -2)
        if not len(flat):
            return torch.zeros_like(x)
        # One value has no variance: normalise it as at evaluation.
        norm = self.norm if len(flat) > 1 else self._frozen
        out = torch.zeros_like(last, dtype=flat.dtype)
        out[mask] = norm(flat).view_as(real).to(out.dtype)
        return out.movedim(-1, 1)

    def _frozen(self, x: Tensor) -> Tensor:
        norm = self.norm
        return nn.functional.batch_norm(
            x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )


def halve(mask: Tensor) -> Tensor:
    """The mask `(batch, ceil(length / 2))` after a convolution of odd kernel and stride 2."""
    return mask[:, ::2]


class Windows(nn.Module):
    """Windows of `window` steps to tokens: one linear map, plus where in time they are.

    Positions are sines (Vaswani et al. 2017), so there is no longest sequence.
    """

    def __init__(self, size: int, width: int, window: int) -> None:
        super().__init__()
        self.window, self.width = window, width
        self.scale = Standardise(size)
        self.linear = nn.Linear(size * window, width)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, length, size)` -> Tokens `(batch, ceil(length / window), width)`."""
        assert field.mask is not None
        x, mask = self.scale(field), field.mask
        short = -x.shape[1] % self.window
        windows = (x.shape[1] + short) // self.window
        x = nn.functional.pad(x, (0, 0, 0, short)).view(x.shape[0], windows, -1)
        mask = nn.functional.pad(mask, (0, short)).view(x.shape[0], windows, -1).any(2)
        values = self.linear(x)
        values = values + _positions(values.shape[1], self.width).to(values)
        return Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)


class Descriptors(nn.Module):
    """A fixed vector a row to one token, by a small network."""

    def __init__(self, size: int, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.scale = Standardise(size)
        self.layers = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(size, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, size)` -> Tokens `(batch, 1, width)`."""
        return all_real(self.layers(self.scale(field)).unsqueeze(1))


def all_real(values: Tensor) -> Tokens:
    """Tokens `(batch, length, width)` without a mask of their own."""
    return Tokens(values, torch.ones_like(values[..., 0], dtype=torch.bool))


def _real(field: Field) -> Tensor:
    """Where a field holds data: `(batch,)` for a fixed shape, `(batch, length)` if ragged."""
    return field.present if field.mask is None else field.mask


def _positions(length: int, width: int) -> Tensor:
    angle = torch.arange(length).unsqueeze(1) * 10_000 ** (-torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(1)[:, :width]
