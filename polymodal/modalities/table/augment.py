"""Augmentation of table fields: cells go missing."""

from __future__ import annotations

from typing import final

import torch

from polymodal.contract.batch import Field


@final
class Augment:
    """Random slots set to missing, so that a model learns to do without any one of them;
    cells that are spelled out are left as they are.

    Args:
        drop: chance of each slot.
    """

    def __init__(self, *, drop: float = 0.05) -> None:
        self.drop = drop

    def __call__(self, field: Field, generator: torch.Generator) -> Field:
        """A Field `(batch, d)` with some slots NaN; the same generator state gives the same."""
        if field.data.dtype == torch.uint8:
            return field
        chance = torch.rand(field.data.shape, generator=generator)
        hidden = (chance < self.drop).to(field.data.device)
        return Field(field.data.masked_fill(hidden, torch.nan), field.mask, field.present)
