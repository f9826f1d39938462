"""Cells that an encoder brings along as they are."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from polymodal.contract.batch import Field, Tokens
from polymodal.contract.encoder import Encoder
from polymodal.contract.form import Form

BYTES = 256


class SpellingEncoder(Encoder):
    """The cell itself, beside one token for whoever does not read it: its bytes' mean vector.

    Args:
        form: of bytes, such as spelled.
        width: of the token.
    """

    spells: ClassVar[bool] = True

    def __init__(self, form: Form, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(BYTES, width, padding_idx=0)

    def forward(self, field: Field) -> Tokens:
        """`(batch, bytes)` uint8 -> Tokens `(batch, 1, width)`."""
        assert field.mask is not None
        spelled: Tensor = torch.where(field.mask, field.data, 0)
        counts = self.counted(spelled, field.mask)
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        values = (share.to(self.vectors.weight.dtype) @ self.vectors.weight).unsqueeze(1)
        return Tokens(values, torch.ones_like(values[..., 0], dtype=torch.bool), spelled)

    def counted(self, spelled: Tensor, mask: Tensor) -> Tensor:
        """How often each byte stands in a cell: `(batch, bytes)` and its mask to `(batch, 256)`."""
        counts = torch.zeros(spelled.shape[0], BYTES, device=spelled.device)
        return counts.scatter_add_(1, spelled.long(), mask.float())
