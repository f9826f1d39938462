"""MLP: a small network on every token."""

from __future__ import annotations

from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.align import Align
from polymodal.contract.batch import Tokens


class Mlp(Align):
    """Every token by a multilayer perceptron.

    Args:
        size: of the tokens that come in.
        width: of those that go out.
        hidden: units of each hidden layer; None: twice the width.
        depth: hidden layers.
        dropout: of each.
    """

    def __init__(
        self,
        size: int,
        width: int,
        *,
        hidden: int | None = None,
        depth: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.layers = layers(size, width, hidden or 2 * width, depth, dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        return Tokens(self.layers(tokens.values), tokens.mask)


def layers(size: int, width: int, hidden: int, depth: int, dropout: float) -> nn.Sequential:
    """`depth` hidden layers and one that leads out."""
    if hidden < 1 or depth < 1 or not 0 <= dropout < 1:
        raise UserError(
            "A network of an alignment cannot be so",
            expected="hidden and depth of 1 or more, a dropout from 0 to below 1",
            got=f"hidden={hidden}, depth={depth}, dropout={dropout:g}",
        )
    found: list[nn.Module] = []
    for before in [size, *[hidden] * (depth - 1)]:
        found += [nn.Linear(before, hidden), nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*found, nn.Linear(hidden, width))
