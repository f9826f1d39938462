"""Squeeze and excitation across modalities: each one's channels are gated by what all show."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling


class Exchange(Fusion):
    """Multimodal transfer modules between the layers of one stream per modality.

    The streams' means are squeezed into one joint vector, which excites each stream by a gate per
    channel, 2 sigmoid(.); then every token passes a residual feed-forward layer of its stream. So
    streams of any lengths change each other at linear cost. The pooled vector is the mean of the
    present streams' means. Neighbours: `cross_attention` lets tokens choose what they read.
    Paper: "MMTM: Multimodal Transfer Module for CNN Fusion" (Joze 2020).

    For M modalities, the width w and s = M w / ratio, a layer has
    2 M w s + s + M (2 w^2 + 7 w) parameters.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        depth: layers.
        ratio: by how much the joint vector is smaller than the means together.
        dropout: on each residual branch.
    """

    def __init__(
        self,
        names: Sequence[str],
        width: int,
        *,
        depth: int = 1,
        ratio: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if not 1 <= ratio <= len(names) * width:
            raise UserError(
                f"The {len(names) * width} channels together cannot be squeezed by {ratio}",
                expected=f"ratio: from 1 to {len(names) * width}",
            )
        _pooling.check_depth(depth)
        self.layers = nn.ModuleList(Layer(len(names), width, ratio, dropout) for _ in range(depth))

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        for layer in self.layers:
            tokens = layer(tokens)
        return Fused(_pooling.balanced(tokens), tokens)


class Layer(nn.Module):
    """Gates across the streams, then a feed-forward layer in each."""

    def __init__(self, modalities: int, width: int, ratio: int, dropout: float) -> None:
        super().__init__()
        channels = modalities * width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(modalities))
        self.squeeze = nn.Linear(channels, channels // ratio)
        self.excite = nn.Linear(channels // ratio, channels)
        self.mlps = nn.ModuleList(_pooling.mlp(width, width) for _ in range(modalities))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        joint = self.squeeze(_pooling.normed(tokens, self.norms).flatten(1)).relu()
        gates = 2 * self.excite(joint).sigmoid()
        own = gates.chunk(len(tokens), 1)
        gated = [t.values * g.unsqueeze(1) for t, g in zip(tokens.values(), own, strict=True)]
        streams = [x + self.dropout(mlp(x)) for mlp, x in zip(self.mlps, gated, strict=True)]
        return _pooling.restored(tokens, streams)
