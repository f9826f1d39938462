"""One token a column: the raw token stream of a table, for early fusion and cross-attention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import torch
from torch import nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.modalities.table.encoders._categories import Categories
from polymodal.modalities.table.encoders._cellwise import cellwise
from polymodal.modalities.table.encoders._numbers import Numbers
from polymodal.modalities.table.forms import cells as form_cells


@final
class Cells(Encoder):
    """Each column's cell as one token; a missing cell is a masked position.

    A number is a linear function of its standardised value and its bins, a category an embedding,
    a set the sum of its members' embeddings; to each a learned vector of the column is added. The
    order is numbers, categories, sets.

    Args:
        form: fitted `table/cells`.
        width: of the tokens.
        bins: quantile bins a number is cut into (see `Numbers`).
    """

    kind = "table"
    form = "cells"

    def __init__(self, form: form_cells.Cells, width: int, *, bins: int = 16) -> None:
        super().__init__()
        numbers = [s.start for s in form.slots if s.kind == "number"]
        self.sets = [(s.start, s.stop) for s in form.slots if s.kind == "set"]
        self.numbers = Numbers(numbers, bins)
        self.categories = Categories(form.slots, width)
        self.members = nn.ParameterList(
            nn.Parameter(torch.randn(stop - start, width) * 0.1) for start, stop in self.sets
        )
        features = self.numbers.features
        self.weight = nn.Parameter(torch.randn(len(numbers), features, width) * features**-0.5)
        self.column = nn.Parameter(torch.randn(len(form.slots), width) * 0.1)

    def adapt(self, fields: Iterable[Field]) -> None:
        self.numbers.adapt(fields)

    def forward(self, field: Field) -> Tokens:
        numbers = self.numbers.columns, self.numbers(field.data), self.weight
        sets = zip(self.sets, self.members, strict=True)
        values, mask = cellwise(field.data, numbers, self.categories, sets)
        return Tokens(torch.where(mask.unsqueeze(-1), values + self.column, 0), mask)
