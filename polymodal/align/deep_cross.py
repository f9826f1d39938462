"""Deep & cross: products of a token's numbers beside a network of them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from polymodal.align.mlp import layers
from polymodal.base.errors import UserError
from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens


class DeepCross(Align):
    """Every token by cross layers and, beside them, a deep network, whose results are added.

    A cross layer multiplies the token with a linear map of what the layer before it made:
    x_next = x_0 * (W x + b) + x, so that `crosses` of them hold products of up to `crosses` + 1 of
    the token's numbers, which a network has to learn piece by piece.

    Args:
        size: of the tokens that come in.
        width: of those that go out.
        crosses: cross layers.
        rank: of their W, as a product of two thin matrices; None: whole.
        hidden: units of the deep network's hidden layers; None: twice the width.
        depth: its hidden layers.
        dropout: of each.

    Papers: "Deep & Cross Network for Ad Click Predictions" (Wang et al. 2017, arXiv 1708.05123);
    "DCN V2" (Wang et al. 2021, arXiv 2008.13535), whose layers with a matrix these are.
    """

    def __init__(
        self,
        size: int,
        width: int,
        *,
        crosses: int = 2,
        rank: int | None = None,
        hidden: int | None = None,
        depth: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if crosses < 1 or (rank is not None and not 1 <= rank <= size):
            raise UserError(
                "'align: deep_cross' cannot be so",
                expected=f"1 cross layer or more, a rank from 1 to {size}, the encoder's width",
                got=f"crosses={crosses}, rank={rank}",
            )
        self.crosses = nn.ModuleList(Cross(size, rank) for _ in range(crosses))
        self.project = nn.Linear(size, width)
        self.deep = layers(size, width, hidden or 2 * width, depth, dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        *_, crossed = self.crossed(tokens.values)
        return Tokens(self.project(crossed) + self.deep(tokens.values), tokens.mask)

    def crossed(self, values: Tensor) -> Iterator[Tensor]:
        """`(..., size)` -> the same after each cross layer."""
        after = values
        for cross in self.crosses:
            after = cross(values, after)
            yield after


class Cross(nn.Module):
    """`x_0 * (W x + b) + x`."""

    def __init__(self, size: int, rank: int | None) -> None:
        super().__init__()
        thin = [] if rank is None else [nn.Linear(size, rank, bias=False)]
        self.map = nn.Sequential(*thin, nn.Linear(rank or size, size))

    def forward(self, first: Tensor, values: Tensor) -> Tensor:
        found: Tensor = first * self.map(values) + values
        return found
