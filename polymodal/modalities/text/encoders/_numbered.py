"""The field of `forms/text/pieces` for networks with a vector a piece."""

from __future__ import annotations

import torch
from torch import Tensor

from polymodal.contract.batch import Field
from polymodal.modalities.text.forms.pieces import MASK, PAD


def numbers(field: Field) -> Tensor:
    """`(batch, length)` int64: what each position holds; padding is [PAD], what is hidden [MASK].

    Padding is zeros by contract, yet what stands there must not matter.
    """
    assert field.mask is not None
    ids = field.data[..., 0].long()
    return torch.where(field.mask, torch.where(ids < 0, MASK, ids), PAD)


def by_word(values: Tensor, field: Field) -> tuple[Tensor, Tensor]:
    """Means over each word's pieces: `(batch, length, width)`, and which of them there are.

    A text has a piece for each of its words at least: there is room for all.
    """
    batch, length, width = values.shape
    assert field.mask is not None
    words = torch.where(field.mask, field.data[..., 1], 0).long().clamp(0, length)
    index = words.unsqueeze(-1).expand(-1, -1, width)
    sums = values.new_zeros(batch, length + 1, width).scatter_add(1, index, values)
    ones = torch.ones_like(values[..., 0])
    counts = values.new_zeros(batch, length + 1).scatter_add(1, words, ones)
    means = sums / counts.clamp(min=1).unsqueeze(-1)
    mask = torch.arange(1, length + 1, device=words.device) <= words.amax(1, keepdim=True)
    return means[:, 1:], mask
