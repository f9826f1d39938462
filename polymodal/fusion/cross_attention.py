"""Cross-attention: one stream per modality, each of which reads the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling
from polymodal.nn.attention import Block


class CrossAttention(Fusion):
    """A Transformer stream per modality; in every block it reads the other streams' tokens first.

    The pooled vector is the mean of the present streams' means, so a long modality does not
    outweigh a short one. Neighbours: `early` shares one stream between all tokens.
    Papers: ViLBERT (Lu 2019), LXMERT (Tan 2019); here for any number of modalities.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        depth: blocks per stream.
        heads: attention heads; must divide `width`.
        dropout: on each residual branch.
    """

    def __init__(
        self,
        names: Sequence[str],
        width: int,
        *,
        depth: int = 1,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _pooling.check_depth(depth)
        cross = len(names) > 1
        self.modality = nn.Parameter(0.02 * torch.randn(len(names), width))
        self.layers = nn.ModuleList(
            Layer(Block(width, heads, dropout, cross) for _ in names) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in names)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        masks = [t.mask for t in tokens.values()]
        streams = [t.values + self.modality[i] for i, t in enumerate(tokens.values())]
        for layer in self.layers:
            streams = layer(streams, masks)
        streams = [norm(stream) for norm, stream in zip(self.norms, streams, strict=True)]
        after = _pooling.restored(tokens, streams)
        return Fused(_pooling.balanced(after), after)


class Layer(nn.Module):
    """One block per stream; all read the streams as they were before this layer."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, streams: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
        return [
            block(stream, mask, _others(streams, i), _others(masks, i))
            for i, (block, stream, mask) in enumerate(zip(self.blocks, streams, masks, strict=True))
        ]


def _others(parts: list[Tensor], own: int) -> Tensor | None:
    """Every modality's part but one's own, joined along the length; None if there is no other."""
    others = parts[:own] + parts[own + 1 :]
    return torch.cat(others, 1) if others else None
