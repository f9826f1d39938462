"""What the picture and video encoders share: pixels normalised, and a convolutional trunk."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from polymodal.batch import Field


class Normalise(nn.Module):
    """uint8 pixels `(..., 3)` to numbers of mean 0 and deviation 1 over the training pictures."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((3,), 127.5))
        self.register_buffer("deviation", torch.full((3,), 64.0))

    def adapt(self, fields: Iterable[Field]) -> None:
        """Take the mean and deviation of each colour over all present rows."""
        count, total, squares = 0, torch.zeros(3).double(), torch.zeros(3).double()
        for field in fields:
            pixels = field.data[field.present].reshape(-1, 3).double()
            count += len(pixels)
            total += pixels.sum(0)
            squares += (pixels**2).sum(0)
        if count:
            mean = total / count
            self.mean.copy_(mean)
            # Pictures of one colour throughout have no deviation to divide by.
            self.deviation.copy_((squares / count - mean**2).clamp(min=1).sqrt())

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels.to(self.mean.dtype) - self.mean) / self.deviation
