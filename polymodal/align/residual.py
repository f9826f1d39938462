"""Residual: the token itself, and what a network adds to it."""

from __future__ import annotations

from torch import nn

from polymodal.align.mlp import layers
from polymodal.base.errors import UserError
from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens


class Residual(Align):
    """Every token plus what small networks make of it, which is nothing at the start.

    Where the widths are the same, the alignment starts as the identity, so that good tokens come to
    no harm; else a linear map brings them to the width first.

    Args:
        size: of the tokens that come in.
        width: of those that go out.
        blocks: networks, each of which reads what the one before it has changed.
        hidden: units of their hidden layer; None: twice the width.
        dropout: of it.

    Papers: "Deep Residual Learning" (He et al. 2016, arXiv 1512.03385); a last layer of zeros:
    "Fixup Initialization" (Zhang et al. 2019, arXiv 1901.09321).
    """

    def __init__(
        self,
        size: int,
        width: int,
        *,
        blocks: int = 1,
        hidden: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if blocks < 1:
            raise UserError(
                "'align: residual' cannot be so", expected="blocks of 1 or more", got=str(blocks)
            )
        self.project = nn.Identity() if size == width else nn.Linear(size, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), *layers(width, width, hidden or 2 * width, 1, dropout)
            )
            for _ in range(blocks)
        )
        for block in self.blocks:
            assert isinstance(block, nn.Sequential) and isinstance(block[-1], nn.Linear)
            nn.init.zeros_(block[-1].weight)
            nn.init.zeros_(block[-1].bias)

    def forward(self, tokens: Tokens) -> Tokens:
        values = self.project(tokens.values)
        for block in self.blocks:
            values = values + block(values)
        return Tokens(values, tokens.mask)
