"""Encoders, one fusion and a head per target, as one module.

It knows components only through `contract`; `experts/` holds the two members that are not trained
by gradient and share this class's three methods (`encode`, `fuse`, `forward`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Fused, Outputs, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.fusion import Fusion


@dataclass(frozen=True)
class Head:
    """What a target needs of a model.

    Attributes:
        size: outputs per row or per token.
        tagged: the modality whose tokens are labelled, for a target per token; None for one a row.
        bias: the prior to start from, `(size,)`, or None for zeros.
    """

    size: int
    tagged: str | None = None
    bias: Tensor | None = None


class Model(nn.Module):
    """A multimodal model.

    Args:
        encoders: modality -> encoder; all of the same output width.
        fusion: built for the same names in the same order.
        heads: target -> Head.
        width: the common width.
        dropout: before the heads.
        modality_dropout: chance that a present modality of a training row is hidden (never the
            row's last one), so that the model learns to do without any.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        fusion: Fusion,
        heads: Mapping[str, Head],
        width: int,
        dropout: float = 0.1,
        modality_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.names = list(encoders)
        self.targets = list(heads)
        self.tagged = {name: head.tagged for name, head in heads.items() if head.tagged}
        # ModuleDict keys may not hold dots, and column names may: modules go by position.
        self.encoders = nn.ModuleList(encoders.values())
        self.fusion = fusion
        self.dropout = nn.Dropout(dropout)
        self.modality_dropout = modality_dropout
        self.heads = nn.ModuleList(
            nn.ModuleList(self._head(width, head) for _ in range(self._views()))
            for head in heads.values()
        )
        self.token_heads = nn.ModuleList(
            nn.Linear(width, head.size) if head.tagged else nn.Identity() for head in heads.values()
        )

    def _views(self) -> int:
        return len(self.names) if getattr(self.fusion, "decides", False) else 1

    @staticmethod
    def _head(width: int, head: Head) -> nn.Linear:
        linear = nn.Linear(width, head.size)
        if head.bias is not None:
            with torch.no_grad():
                linear.bias.copy_(head.bias)
        return linear

    def encode(self, inputs: Mapping[str, Field]) -> dict[str, Tokens]:
        """Every encoder once. Masked positions leave as zeros, absent rows without a real one."""
        tokens: dict[str, Tokens] = {}
        for name, encoder in zip(self.names, self.encoders, strict=True):
            encoded = encoder(inputs[name])
            mask = encoded.mask & inputs[name].present.unsqueeze(1)
            # where, not a product: an absent row's values may be anything, NaN included.
            values = torch.where(mask.unsqueeze(-1), encoded.values, 0)
            tokens[name] = Tokens(values, mask)
        return tokens

    def fuse(self, tokens: Mapping[str, Tokens], absent: Collection[str] = ()) -> Outputs:
        """Fusion and heads on encoded tokens, as if the modalities in `absent` were missing."""
        hidden = dict(tokens)
        for name in absent:
            # One masked position is as absent as many, and costs the fusion less.
            values, mask = hidden[name].values[:, :1], hidden[name].mask[:, :1]
            hidden[name] = Tokens(torch.zeros_like(values), torch.zeros_like(mask))
        if self.training and self.modality_dropout > 0 and len(self.names) > 1:
            hidden = self._drop(hidden)
        fused: Fused = self.fusion(hidden)
        logits: dict[str, Tensor] = {}
        views: dict[str, dict[str, Tensor]] = {}
        for i, target in enumerate(self.targets):
            views[target] = self._decide(i, fused)
            combined = _combine(list(views[target].values()), fused.weights)
            if target in self.tagged:
                own = fused.tokens[self.tagged[target]].values
                combined = self.token_heads[i](self.dropout(own)) + combined.unsqueeze(1)
            logits[target] = combined
        return Outputs(logits, fused, views if fused.views else {})

    def forward(self, inputs: Mapping[str, Field]) -> Outputs:
        return self.fuse(self.encode(inputs))

    def alone(self, tokens: Mapping[str, Tokens]) -> dict[str, Outputs]:
        """Modality -> the outputs with all others absent, whatever the fusion."""
        return {
            name: self.fuse(tokens, [other for other in self.names if other != name])
            for name in self.names
        }

    def _decide(self, target: int, fused: Fused) -> dict[str, Tensor]:
        views = fused.views or {"": fused.pooled}
        heads = self.heads[target]
        assert isinstance(heads, nn.ModuleList)
        return {
            name: head(self.dropout(view))
            for (name, view), head in zip(views.items(), heads, strict=True)
        }

    def _drop(self, tokens: dict[str, Tokens]) -> dict[str, Tokens]:
        present = torch.stack([t.present() for t in tokens.values()], 1)
        keep = torch.rand(present.shape, device=present.device) >= self.modality_dropout
        kept = present & keep
        # A row that would lose everything keeps all it had.
        kept = torch.where(kept.any(1, keepdim=True), kept, present)
        return {
            name: Tokens(
                torch.where(kept[:, i, None, None], t.values, 0), t.mask & kept[:, i, None]
            )
            for i, (name, t) in enumerate(tokens.items())
        }


def _combine(views: list[Tensor], weights: Tensor | None) -> Tensor:
    """Views' logits `(batch, size)` each to their weighted mean."""
    if len(views) == 1:
        return views[0]
    assert weights is not None
    return (torch.stack(views, 1) * weights.unsqueeze(-1)).sum(1)
