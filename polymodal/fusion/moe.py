"""Mixture of experts: networks over all modalities, mixed anew for every row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Moe(Fusion):
    """A soft mixture of MLPs; which of them speaks depends on what a row has and what it shows.

    Every expert sees the modalities' masked means side by side, a learned vector for an absent
    one, and so does the router. Its logits are sharpness * cosine, which bounds every share from
    below by 1 / (1 + (experts - 1) exp(2 sharpness)): no expert can starve, so no loss that
    balances them is needed.
    Papers: "Adaptive Mixtures of Local Experts" (Jacobs 1991); the cosine router is that of "On
    the Representation Collapse of Sparse Mixture of Experts" (Chi 2022); experts for missing
    modalities as in "Flex-MoE" (Yun 2024).

    For M modalities, the width w and E experts it has
    E (M w^2 + w^2 + 3 M w + 2 w) + 3 M w parameters.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        experts: how many.
        sharpness: how unequal their shares can be; towards 0 all experts speak alike.
    """

    def __init__(
        self, names: Sequence[str], width: int, *, experts: int = 4, sharpness: float = 2.0
    ) -> None:
        super().__init__()
        if experts < 2 or not sharpness > 0:
            raise UserError(
                "A mixture needs several experts",
                expected="two experts or more, and a sharpness above 0",
                got=f"experts={experts}, sharpness={sharpness}",
            )
        inputs = len(names) * width
        self.sharpness = sharpness
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in names)
        # As large as a normalised view, so that the router sees who is absent.
        self.absent = nn.Parameter(torch.randn(len(names), width))
        self.router = nn.Parameter(torch.randn(experts, inputs))
        self.experts = nn.ModuleList(_pooling.mlp(inputs, width) for _ in range(experts))

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        present = _pooling.present(tokens)
        views = torch.where(
            present.unsqueeze(-1), _pooling.normed(tokens, self.norms), self.absent
        ).flatten(1)
        said = torch.stack([expert(views) for expert in self.experts], 1)
        pooled = (said * self.shares(views).unsqueeze(-1)).sum(1)
        return Fused(_pooling.only_present(pooled, present), tokens)

    def shares(self, views: Tensor) -> Tensor:
        """Of views `(batch, modalities * width)`, every expert's share `(batch, experts)`."""
        cosines = F.linear(F.normalize(views, dim=1), F.normalize(self.router, dim=1))
        return (self.sharpness * cosines).softmax(1)
