"""Masked self-attention by either of two kernels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polymodal.errors import UserError

KERNELS = ("auto", "plain", "sdpa")
# On a CPU the fused kernel's backward pass is the slower one up to about this many positions.
LONG = 256


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017).

    Args:
        width: a multiple of `heads`.
        heads: how many.
        attention: "plain" (two matrix products and a softmax), "sdpa" (PyTorch's fused kernel), or
            "auto": plain for up to LONG positions on a CPU, else sdpa.
    """

    def __init__(self, width: int, heads: int, attention: str) -> None:
        super().__init__()
        if attention not in KERNELS:
            raise UserError(
                f"There is no attention kernel '{attention}'",
                expected=f"one of {', '.join(KERNELS)}",
            )
        if width % heads:
            raise UserError(
                f"A width of {width} cannot be shared out among {heads} heads",
                expected="a multiple of the number of heads",
                do="change heads or the width",
            )
        self.heads, self.attention = heads, attention
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`(batch, length, width)`, `(batch, length)` bool -> `(batch, length, width)`.

        A row with no real position attends to its padding: finite, and ignored by everyone.
        """
        batch, length, width = x.shape
        parts = self.inputs(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        allowed = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        if self._fused(x):
            mixed = F.scaled_dot_product_attention(query, key, value, allowed)
        else:
            scores = (query @ key.transpose(-2, -1)).float() / math.sqrt(width // self.heads)
            weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1).to(value.dtype)
            mixed = weights @ value
        return self.output(mixed.transpose(1, 2).reshape(batch, length, width))

    def _fused(self, x: Tensor) -> bool:
        if self.attention == "auto":
            return x.device.type != "cpu" or x.shape[1] > LONG
        return self.attention == "sdpa"
