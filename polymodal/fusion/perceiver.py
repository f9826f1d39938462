"""Perceiver: a few latent vectors read all modalities' tokens, at linear cost."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling
from polymodal.nn.attention import Attention, Block


class Perceiver(Fusion):
    """Latents that cross-attend to every token, attend to each other, and are read by the tokens.

    Tokens carry their modality's embedding. In each block the latents read all real tokens, then
    one another; their mean is the pooled vector. At last every token reads the latents (Perceiver
    IO's decoder, each token its own query). The cost is linear in the total length, where that of
    `early` is quadratic.
    Papers: "Perceiver" (Jaegle 2021a), "Perceiver IO" (Jaegle 2021b).

    For M modalities and the width w it has
    depth (16 w^2 + 15 w) + 4 w^2 + (M + latents + 5) w parameters.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        depth: blocks.
        latents: how many.
        heads: attention heads; must divide `width`.
        dropout: on each residual branch.
    """

    def __init__(
        self,
        names: Sequence[str],
        width: int,
        *,
        depth: int = 2,
        latents: int = 8,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _pooling.check_depth(depth)
        if latents < 1:
            raise UserError(
                "A perceiver needs latents", expected="latents: 1 or more", got=f"latents={latents}"
            )
        self.modality = nn.Parameter(0.02 * torch.randn(len(names), width))
        self.latents = nn.Parameter(0.02 * torch.randn(latents, width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout, cross=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.read = Attention(width, heads)
        self.read_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        values, mask = _pooling.joined(tokens, self.modality)
        latents = self.latents.expand(mask.shape[0], -1, -1)
        all_latents = mask.new_ones(latents.shape[:2])
        for block in self.blocks:
            latents = block(latents, all_latents, values, mask)
        latents = self.norm(latents)
        read = self.read(self.read_norm(values), latents, all_latents)
        after = _pooling.parted(tokens, values + self.dropout(read))
        return Fused(_pooling.only_present(latents.mean(1), _pooling.present(tokens)), after)
