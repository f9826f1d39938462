"""Words left out at random, so that no text hangs on one of them."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from polymodal.contract.batch import Field


class Augment:
    """Hides words, pieces or n-grams of training texts (Iyyer et al. 2015, "word dropout").

    A hidden word or piece keeps its place and its shape, with -1 for its id, so that it can still
    be labelled; a hidden n-gram is masked out. A text always keeps one. The outputs of a frozen
    model, and texts that are spelled out, are left as they are.

    Args:
        drop: chance that each is hidden.
    """

    def __init__(self, *, drop: float = 0.1) -> None:
        self.drop = drop

    def __call__(self, field: Field, generator: Generator) -> Field:
        """A Field of form words, pieces, pretrained or ngrams -> the same, some of it hidden."""
        assert field.mask is not None
        if field.data.dtype == torch.uint8:
            return field
        if not field.data.is_floating_point():
            # Column 1 is 0 only for a tokenizer's own marks, which every text needs.
            hidden = self._choose(field.mask & (field.data[..., 1] > 0), generator)
            data = field.data.clone()
            data[..., 0].masked_fill_(hidden, -1)
            return Field(data, field.mask, field.present)
        if field.data.shape[-1] == 2:
            mask = field.mask & ~self._choose(field.mask, generator)
            return Field(field.data * mask.unsqueeze(-1), mask, field.present)
        return field

    def _choose(self, among: Tensor, generator: Generator) -> Tensor:
        """`(batch, length)` bool: True where hidden; per row, never all of `among`."""
        chances = torch.rand(among.shape, generator=generator).to(among.device)
        chances = torch.where(among, chances, -1.0)
        # The one that is least to be hidden stays.
        stays = chances == chances.amax(1, keepdim=True)
        return among & (chances < self.drop) & ~stays
