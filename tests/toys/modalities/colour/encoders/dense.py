"""A colour as one token, by one layer."""

from __future__ import annotations

from typing import final

import torch
from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form


@final
class Dense(Encoder):
    """`colour/channels` to one token `(batch, 1, width)`."""

    kind = "colour"
    form = "channels"

    def __init__(self, form: Form, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(3, width, bias=bias)

    def forward(self, field: Field) -> Tokens:
        mask = field.present.unsqueeze(1)
        values = torch.tanh(self.linear(field.data)).unsqueeze(1)
        return Tokens(torch.where(mask.unsqueeze(-1), values, 0), mask)
