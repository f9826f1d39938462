"""Gated multimodal units: every row weighs its modalities anew, feature by feature."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Gated(Fusion):
    """Gated multimodal units over the modalities' masked means.

    h = sum_m z_m * tanh(W_m x_m), where the gates z are a softmax over the present modalities,
    per feature, of linear functions of all of them. With two modalities this is the paper's
    z and 1 - z. `Fused.weights` are the gates' means over the features.
    Paper: "Gated Multimodal Units for Information Fusion" (Arevalo 2017).

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
    """

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in names)
        self.contents = nn.ModuleList(nn.Linear(width, width) for _ in names)
        self.gates = nn.Linear(len(names) * width, len(names) * width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        present = _pooling.present(tokens)
        inputs = _pooling.normed(tokens, self.norms)
        content = torch.stack(
            [layer(x) for layer, x in zip(self.contents, inputs.unbind(1), strict=True)], 1
        ).tanh()
        gates = self.gates(inputs.flatten(1)).unflatten(1, content.shape[1:])
        shares = _pooling.shares(gates, present)
        pooled = _pooling.only_present((content * shares).sum(1), present)
        return Fused(pooled, tokens, weights=shares.mean(2))
