"""Concatenation: pooled vectors side by side, and a small network over them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Concat(Fusion):
    """Masked means of the modalities, concatenated, through an MLP.

    An absent modality is replaced by a learned vector of its own. Neighbours: `sum` has fewer
    parameters; `gated` lets each row choose.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
    """

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.absent = nn.Parameter(0.02 * torch.randn(len(names), width))
        self.mlp = _pooling.mlp(len(names) * width, width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        present = _pooling.present(tokens)
        views = torch.where(present.unsqueeze(-1), _pooling.means(tokens), self.absent)
        return Fused(_pooling.only_present(self.mlp(views.flatten(1)), present), tokens)
