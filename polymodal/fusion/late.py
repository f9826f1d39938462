"""Late fusion: every modality decides by itself, and the decisions are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Late(Fusion):
    """Each modality's masked mean is a view with heads of its own; logits are averaged.

    It cannot learn an interaction between modalities (XOR), and cannot overfit one. A row's
    weights are those of `alpha` over the modalities that it has.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.

    Attributes:
        alpha: log-weights `(modalities,)`, a buffer that starts equal; to be chosen on validation
            rows after training.
    """

    decides = True
    log_weights: Tensor

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.register_buffer("log_weights", torch.zeros(len(names)))

    @property
    def alpha(self) -> Tensor:
        return self.log_weights

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        means = _pooling.means(tokens)
        weights = _pooling.shares(self.log_weights, _pooling.present(tokens))
        views = dict(zip(tokens, means.unbind(1), strict=True))
        return Fused((means * weights.unsqueeze(-1)).sum(1), tokens, views, weights)
