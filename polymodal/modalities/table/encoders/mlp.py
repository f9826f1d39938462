"""Numbers, categories and sets through a multilayer perceptron, one token a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.table.encoders._categories import Categories
from polymodal.modalities.table.encoders._numbers import Numbers
from polymodal.modalities.table.forms.cells import Cells
from polymodal.nn.masked import all_real


@final
class Mlp(Encoder):
    """Standardised and binned numbers, embedded categories and set members, then `depth` layers.

    Args:
        form: fitted `table/cells`.
        width: of the token.
        hidden: of the layers between.
        depth: how many of them.
        dropout: after each.
        embedding: numbers that stand for a category.
        bins: quantile bins a number is cut into (see `Numbers`).
    """

    kind = "table"
    form = "cells"

    def __init__(
        self,
        form: Cells,
        width: int,
        *,
        hidden: int = 256,
        depth: int = 2,
        dropout: float = 0.3,
        embedding: int = 8,
        bins: int = 16,
    ) -> None:
        super().__init__()
        numbers = [s.start for s in form.slots if s.kind == "number"]
        self.sets = [(s.start, s.stop) for s in form.slots if s.kind == "set"]
        self.numbers = Numbers(numbers, bins)
        self.categories = Categories(form.slots, embedding)
        size = (
            len(numbers) * self.numbers.features
            + self.categories.count * embedding
            + sum(stop - start + 1 for start, stop in self.sets)
        )
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(size, hidden), nn.GELU(), nn.Dropout(dropout)]
            size = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(size, width))

    def adapt(self, fields: Iterable[Field]) -> None:
        self.numbers.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        data = field.data
        parts = [self.numbers(data).flatten(1), self.categories(data).flatten(1)]
        for start, stop in self.sets:
            members = data[:, start:stop]
            missing = members.isnan().all(1, keepdim=True)
            parts += [members.nan_to_num(), missing.to(data.dtype)]
        features = torch.cat(parts, 1).to(self.categories.embedding.weight.dtype)
        return all_real(self.layers(features).unsqueeze(1))
