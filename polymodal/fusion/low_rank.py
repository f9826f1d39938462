"""Low-rank tensor fusion: a map of the outer product that never writes the product down."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class LowRank(Fusion):
    """A linear map of the outer product of [1; x_m], of rank `rank`: mean_r prod_m W_rm [1; x_m].

    Its size grows with the number M of modalities, where that of `tensor` is a power of it:
    M rank (w + 1) w + (2 M + 1) w parameters for the width w. An absent modality is [1; 0], so it
    only takes away what contains it.
    Paper: "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors" (Liu 2018).

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        rank: how many products are averaged.
    """

    def __init__(self, names: Sequence[str], width: int, *, rank: int = 8) -> None:
        super().__init__()
        if rank < 1:
            raise UserError(
                "A low-rank fusion needs a rank", expected="rank: 1 or more", got=f"rank={rank}"
            )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in names)
        self.factors = nn.Parameter(_start(len(names), rank, width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        ones_views = F.pad(_pooling.normed(tokens, self.norms), (1, 0), value=1.0)
        factors = torch.einsum("bmi,mrio->bmro", ones_views, self.factors)
        pooled = factors.prod(1).mean(1) + self.bias
        return Fused(_pooling.only_present(pooled, _pooling.present(tokens)), tokens)


def _start(modalities: int, rank: int, width: int) -> torch.Tensor:
    """Factors `(modalities, rank, 1 + width, width)` whose product neither vanishes nor explodes.

    A factor is a random sign plus noise of variance 1 / modalities: the product's mean square is
    (1 + 1 / modalities) ** modalities < e, and every modality counts linearly from the start.
    """
    signs = 2.0 * torch.randint(2, (modalities, rank, 1, width)) - 1
    noise = torch.randn(modalities, rank, width, width) * (modalities * width) ** -0.5
    return torch.cat([signs, noise], 2)
