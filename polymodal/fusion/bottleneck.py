"""Attention bottlenecks: streams that meet only in a few shared tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Fused, Tokens
from polymodal.contract.fusion import Fusion
from polymodal.fusion import _pooling
from polymodal.nn.attention import Block


class Bottleneck(Fusion):
    """A Transformer stream per modality; all share `tokens` bottleneck tokens.

    In a block, a stream's tokens and the bottleneck tokens attend to each other; the streams'
    versions of the bottleneck tokens are then averaged over the modalities that a row has. So what
    one modality tells another passes through `tokens` vectors, one block later. The pooled vector
    is the mean of the present streams' means. Neighbours: `cross_attention` has no such limit.
    Paper: "Attention Bottlenecks for Multimodal Fusion" (Nagrani 2021).

    For M modalities and the width w it has depth M (12 w^2 + 10 w) + (3 M + tokens) w parameters.

    Args:
        names: modalities, in the order of the tokens.
        width: of tokens and result.
        depth: blocks per stream.
        start: blocks before the streams share anything (the paper's fusion layer).
        tokens: bottleneck tokens.
        heads: attention heads; must divide `width`.
        dropout: on each residual branch.
    """

    def __init__(
        self,
        names: Sequence[str],
        width: int,
        *,
        depth: int = 2,
        start: int = 0,
        tokens: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if tokens < 1 or start < 0 or depth - start < 2:
            raise UserError(
                "The streams of this fusion would never meet",
                expected="tokens of 1 or more, and two blocks or more from start to depth",
                got=f"tokens={tokens}, start={start}, depth={depth}",
                do=f"set depth to {max(start, 0) + 2} or more",
            )
        self.start = start
        self.modality = nn.Parameter(0.02 * torch.randn(len(names), width))
        self.bottleneck = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.layers = nn.ModuleList(
            Layer(Block(width, heads, dropout) for _ in names) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in names)

    def forward(self, tokens: dict[str, Tokens]) -> Fused:
        masks = [t.mask for t in tokens.values()]
        streams = [t.values + self.modality[i] for i, t in enumerate(tokens.values())]
        present = _pooling.present(tokens)
        bottleneck = self.bottleneck.expand(present.shape[0], -1, -1)
        shared = bottleneck[:, :0]
        for number, layer in enumerate(self.layers):
            if number == self.start:
                shared = bottleneck
            streams, shared = layer(streams, masks, shared, present)
        streams = [norm(stream) for norm, stream in zip(self.norms, streams, strict=True)]
        after = _pooling.restored(tokens, streams)
        return Fused(_pooling.balanced(after), after)


class Layer(nn.Module):
    """One block per stream, over its tokens and the shared ones `(batch, shared, width)`."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self, streams: list[Tensor], masks: list[Tensor], shared: Tensor, present: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        count = shared.shape[1]
        after, told = [], []
        for block, stream, mask in zip(self.blocks, streams, masks, strict=True):
            seen = torch.cat([mask.new_ones(mask.shape[0], count), mask], 1)
            whole = block(torch.cat([shared, stream], 1), seen)
            told.append(whole[:, :count])
            after.append(whole[:, count:])
        weights = present[:, :, None, None].to(shared.dtype)
        total = (torch.stack(told, 1) * weights).sum(1)
        return after, total / weights.sum(1).clamp(min=1)
