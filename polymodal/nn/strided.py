"""Places that a stride takes, for 1 x 1 convolutions that have none of their own.

oneDNN's gradient of the weights of a 1 x 1 convolution with a stride writes beyond its memory with
few channels (torch 2.13, AVX-512).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def strided(maps: Tensor, step: tuple[int, ...]) -> Tensor:
    """Of maps `(batch, channels, height, width)` the first place and every `step`-th after it."""
    # As they are: a mean of one. A slice cannot be exported for all lengths.
    return F.avg_pool2d(maps, 1, step)
