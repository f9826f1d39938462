"""Weighted sum: one weight per modality, learned, chosen on validation rows, or given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Weighted(Fusion):
    """The weighted mean of the present modalities' masked means, through an MLP.

    Weights are a softmax of log-weights over the modalities that a row has, so they sum to 1.
    Neighbours: `sum` weighs all alike, `gated` weighs per row, `late` weighs decisions.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        weights: "learned" (by gradient, with everything else); "validation" (training draws a
            fresh mixture for every batch, uniform over all mixtures, so that whichever `alpha`
            validation rows choose afterwards has been trained); or the weights themselves, one
            per modality in the order of `names`.

    Attributes:
        log_weights: `(modalities,)`, a parameter if learned, else a buffer.
        alpha: the same if it is for validation rows to choose, else None.
    """

    log_weights: Tensor

    def __init__(
        self, names: Sequence[str], width: int, *, weights: str | Sequence[float] = "learned"
    ) -> None:
        super().__init__()
        self.mlp = _pooling.mlp(width, width)
        self.weights = weights
        if weights == "learned":
            self.log_weights = nn.Parameter(torch.zeros(len(names)))
        else:
            self.register_buffer("log_weights", _start(weights, names))

    @property
    def alpha(self) -> Tensor | None:
        return self.log_weights if self.weights == "validation" else None

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        present = _pooling.present(tokens)
        weights = _pooling.shares(self._logits(), present)
        pooled = self.mlp((_pooling.means(tokens) * weights.unsqueeze(-1)).sum(1))
        return Fused(_pooling.only_present(pooled, present), tokens, weights=weights)

    def _logits(self) -> Tensor:
        if self.training and self.weights == "validation":
            # Normalised draws of Exp(1) are uniform on the simplex: Dirichlet(1, ..., 1).
            return torch.empty_like(self.log_weights).exponential_().log()
        return self.log_weights


def _start(weights: str | Sequence[float], names: Sequence[str]) -> Tensor:
    if weights == "validation":
        return torch.zeros(len(names))
    usable = not isinstance(weights, str) and len(weights) == len(names)
    given = torch.tensor([float(w) for w in weights] if usable else [])
    if not usable or not bool((given >= 0).all() and given.sum() > 0 and given.isfinite().all()):
        raise UserError(
            "The weights of fusion 'weighted' cannot be used",
            expected=f"learned, validation, or {len(names)} numbers of 0 or more, not all 0, "
            f"for {', '.join(names)}",
            got=repr(weights),
        )
    return given.log()
