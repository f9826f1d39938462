"""Sum: pooled vectors added up, and a small network over the sum."""

from __future__ import annotations

from collections.abc import Sequence

from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Sum(Fusion):
    """The sum of the present modalities' masked means, through an MLP.

    The MLP is what makes interactions between modalities possible. Neighbours: `weighted` sums
    with a weight per modality; `concat` keeps them apart.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
    """

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.mlp = _pooling.mlp(width, width)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        pooled = self.mlp(_pooling.means(tokens).sum(1))
        return Fused(_pooling.only_present(pooled, _pooling.present(tokens)), tokens)
