"""Finite scalar quantisation: each number of a vector is rounded to one of a few levels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from polymodal.base.errors import UserError
from polymodal.nn.quantizer import Quantized, Quantizer

# Codes at most: a decoder has a vector and a score for each.
MOST = 2**16
# The outermost levels are reached by finite numbers.
MARGIN = 1e-3


class Fsq(Quantizer):
    """Every combination of levels is a code: nothing is learned, and no code dies.

    Paper: "Finite Scalar Quantization: VQ-VAE Made Simple" (Mentzer et al. 2023, arXiv 2309.15505).

    Args:
        levels: of each number, 2 or more; the usual ones make 1 000 codes.
    """

    reach: Tensor
    offset: Tensor
    basis: Tensor
    count_of: Tensor

    def __init__(self, *, levels: Sequence[int] = (8, 5, 5, 5)) -> None:
        super().__init__()
        count = math.prod(levels)
        if not levels or min(levels) < 2 or count > MOST:
            raise UserError(
                f"levels={list(levels)} make no codes",
                expected=f"2 or more levels of each number, {MOST:,} combinations at most",
            )
        self.size, self.count = len(levels), count
        each = torch.tensor(list(levels))
        before = [math.prod(levels[:i]) for i in range(len(levels))]
        # Nothing of it is learned: options say it all.
        self.register_buffer("count_of", each, persistent=False)
        self.register_buffer("basis", torch.tensor(before), persistent=False)
        self.register_buffer("reach", (each - 1) * (1 + MARGIN) / 2, persistent=False)
        # Of an even number of levels none is in the middle.
        self.register_buffer("offset", (1 - each % 2) / 2, persistent=False)

    def forward(self, values: Tensor) -> Quantized:
        # In bfloat16 neighbouring levels are not told apart.
        bounded = self._bounded(values.float())
        rounded = bounded.round()
        codes = ((rounded.long() + self.count_of // 2) * self.basis).sum(-1)
        through = bounded + (rounded - bounded).detach()
        return Quantized(through / (self.count_of // 2), codes)

    def vectors(self, codes: Tensor) -> Tensor:
        levels = codes.unsqueeze(-1) // self.basis % self.count_of
        middle = self.count_of // 2
        return (levels - middle) / middle

    def _bounded(self, values: Tensor) -> Tensor:
        """Between half a level below the lowest and above the highest; 0 stays where it is."""
        shift = (self.offset / self.reach).atanh()
        return (values + shift).tanh() * self.reach - self.offset
