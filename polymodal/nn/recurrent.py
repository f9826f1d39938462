"""A recurrent network over sequences of different lengths, in one direction or in both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polymodal.base.errors import UserError

# More positions than any sequence has.
LONG = 2**40


class Lstm(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; both ways: Graves 2005).

    Masked positions are passed over: the state goes from one real position to the next, and the
    way back begins at the last of them.

    Args:
        width: of what comes in.
        hidden: of the state; what goes out is twice as wide in both directions.
        depth: layers, each of which reads what the one below puts out.
        both: whether there is a way back too.
        dropout: between layers.
    """

    def __init__(
        self, width: int, hidden: int, depth: int = 1, both: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("depth", depth)):
            if value < 1:
                raise UserError(f"{name}={value} is too small", expected="1 or more")
        self.width = hidden * (1 + both)
        sizes = [width] + [self.width] * (depth - 1)
        self.ahead = nn.ModuleList(_layer(size, hidden) for size in sizes)
        self.back = nn.ModuleList(_layer(size, hidden) for size in sizes if both)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """`(batch, length, width)`, `(batch, length)` bool -> `(batch, length, self.width)`."""
        places = torch.arange(mask.shape[1], device=mask.device)
        # Real positions first, in their order.
        order = torch.where(mask, places, places + LONG).argsort(1)
        real = mask.sum(1, keepdim=True)
        turned = torch.where(places < real, real - 1 - places, places)
        values = _taken(values, order)
        for i, ahead in enumerate(self.ahead):
            values = self.dropout(values) if i else values
            states = _run(ahead, values)
            if len(self.back):
                backward = _taken(_run(self.back[i], _taken(values, turned)), turned)
                states = torch.cat([states, backward], -1)
            values = states
        return _taken(values, order.argsort(1))


def _layer(size: int, hidden: int) -> nn.LSTM:
    layer = nn.LSTM(size, hidden, batch_first=True)
    _, _, bias, _ = layer.parameters()
    with torch.no_grad():
        # Remember at first (Jozefowicz et al. 2015): the second quarter are the forget gates.
        bias[hidden : 2 * hidden] = 1
    return layer


def _taken(values: Tensor, places: Tensor) -> Tensor:
    """Each row's positions in another order."""
    return values.gather(1, places.unsqueeze(-1).expand(-1, -1, values.shape[-1]))


def _run(layer: nn.Module, values: Tensor) -> Tensor:
    assert isinstance(layer, nn.LSTM)
    if torch.compiler.is_compiling():
        return _scanned(layer, values)
    states: Tensor = layer(values)[0]
    return states


def _scanned(layer: nn.LSTM, values: Tensor) -> Tensor:
    """The same step by step: PyTorch's own layer can be exported for one length only."""
    from torch._higher_order_ops.scan import scan

    before, weight, bias_before, bias = layer.parameters()

    def step(state: tuple[Tensor, Tensor], x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        hidden, memory = state
        gates = x + nn.functional.linear(hidden, weight, bias)
        take, keep, new, show = gates.chunk(4, -1)
        memory = keep.sigmoid() * memory + take.sigmoid() * new.tanh()
        hidden = show.sigmoid() * memory.tanh()
        return (hidden, memory), hidden.clone()

    given = nn.functional.linear(values, before, bias_before).transpose(0, 1)
    zeros = given.new_zeros(given.shape[1], layer.hidden_size)
    _, states = scan(step, (zeros, zeros.clone()), given)
    return states.transpose(0, 1)
