"""Early fusion: the modalities' tokens stand in one sequence that one Transformer reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling
from polymodal.nn.attention import Block


class Early(Fusion):
    """A joint Transformer encoder over all modalities' tokens.

    Every token gets its modality's embedding; absent modalities and padding are masked as keys.
    The pooled vector is the mean over all real tokens. Cost grows with the square of the total
    length. Neighbours: `cross_attention` keeps a stream per modality.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        depth: Transformer blocks.
        heads: attention heads; must divide `width`.
        dropout: on each residual branch.
    """

    raw = True

    def __init__(
        self,
        names: Sequence[str],
        width: int,
        *,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _pooling.check_depth(depth)
        self.modality = nn.Parameter(0.02 * torch.randn(len(names), width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        values, mask = _pooling.joined(tokens, self.modality)
        for block in self.blocks:
            values = block(values, mask)
        values = self.norm(values)
        return Fused(Tokens(values, mask).mean(), _pooling.parted(tokens, values))
