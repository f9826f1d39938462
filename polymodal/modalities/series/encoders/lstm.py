"""A recurrent network over the steps of a series, trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
from torch import nn

from polymodal.base.errors import UserError
from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.series.forms.steps import Steps
from polymodal.nn.masked import Standardise
from polymodal.nn.recurrent import Lstm as Network


class Lstm(Encoder):
    """Long short-term memory over steps; a token is the state at its step.

    Hochreiter and Schmidhuber 1997; in both directions Graves and Schmidhuber 2005.

    Args:
        form: the fitted form.
        width: of the tokens.
        hidden: numbers of the state in each direction.
        depth: layers.
        bidirectional: whether the series is read backwards as well.
        window: steps that are read at once and give one token; long series are slow step by step.
        dropout: between layers and of the states.
    """

    kind: ClassVar[str] = "series"
    form: ClassVar[str] = "steps"

    def __init__(
        self,
        form: Steps,
        width: int,
        *,
        hidden: int = 64,
        depth: int = 1,
        bidirectional: bool = True,
        window: int = 1,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if window < 1:
            raise UserError(f"window={window} is too small", expected="1 or more")
        self.window = window
        self.scale = Standardise(form.channels)
        self.network = Network(form.channels * window, hidden, depth, bidirectional, dropout)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(self.network.width, width)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.scale.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        """Field `(batch, steps, channels)` -> Tokens `(batch, ceil(steps / window), width)`."""
        assert field.mask is not None
        short = -field.mask.shape[1] % self.window
        x = nn.functional.pad(self.scale(field), (0, 0, 0, short))
        x = x.reshape(x.shape[0], -1, self.window * x.shape[2])
        mask = nn.functional.pad(field.mask, (0, short)).view(x.shape[0], -1, self.window).any(2)
        values = self.project(self.dropout(self.network(x, mask)))
        return Tokens(torch.where(mask.unsqueeze(2), values, 0), mask)
