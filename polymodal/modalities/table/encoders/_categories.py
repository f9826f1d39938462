"""Categories' codes to vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polymodal.contract.form import Slots


class Categories(nn.Module):
    """One embedding of all categories of all columns.

    Code 0, missing or unseen, starts as zeros: it says nothing until training rows with it do.

    Args:
        slots: the form's; those of other kinds are passed over.
        width: of each vector.
    """

    columns: Tensor
    offsets: Tensor

    def __init__(self, slots: Sequence[Slots], width: int) -> None:
        super().__init__()
        chosen = [s for s in slots if s.kind == "category"]
        self.count = len(chosen)
        columns = torch.tensor([s.start for s in chosen], dtype=torch.long)
        codes = torch.tensor([0, *(s.codes for s in chosen)], dtype=torch.long).cumsum(0)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("offsets", codes[:-1], persistent=False)
        weight = 0.1 * torch.randn(int(codes[-1]), width)
        weight[self.offsets] = 0
        self.embedding = nn.Embedding(len(weight), width, _weight=weight)

    def codes(self, data: Tensor) -> Tensor:
        """The form's arrays `(batch, d)` -> `(batch, categories)` int64, 0 where missing."""
        return data[:, self.columns].nan_to_num().long()

    def forward(self, data: Tensor) -> Tensor:
        """The form's arrays `(batch, d)` -> `(batch, categories, width)`."""
        found: Tensor = self.embedding(self.codes(data) + self.offsets)
        return found
